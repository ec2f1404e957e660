/* Columns that the user may not see: the CRM says that they do not exist, and refuses the whole
 * query. They are left out of queries for a while, so that the row shows them as unreadable.
 * (crm-apis.md B8; deals 2) */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/log.h"
#include "../../base/time.h"

#define WHILE apr_time_from_sec(600)
#define MOST_HIDDEN 200

int cs_sf_say_once(cs_crm_t *crm, const char *what)
{
    if (apr_hash_get(crm->said, what, APR_HASH_KEY_STRING)) {
        return 0;
    }
    if (apr_hash_count(crm->said) < 1000) {
        apr_hash_set(crm->said, apr_pstrdup(crm->p, what), APR_HASH_KEY_STRING, crm);
    }
    return 1;
}

/* What the words put between quotes after `before`; NULL when it is no name. */
static const char *quoted(const char *words, const char *before, apr_pool_t *p)
{
    const char *at = words ? strstr(words, before) : NULL, *end;
    char *name, *dot;
    int good;

    if (!at) {
        return NULL;
    }
    at += strlen(before);
    end = strchr(at, '\'');
    if (!end || end - at > 200) {
        return NULL;
    }
    name = apr_pstrmemdup(p, at, (apr_size_t)(end - at));
    dot = strrchr(name, '.');
    good = cs_sf_name_valid(dot ? dot + 1 : name);
    return good ? name : NULL;
}

static void hide(cs_crm_t *crm, const char *key)
{
    apr_interval_time_t *at = apr_hash_get(crm->hidden, key, APR_HASH_KEY_STRING);

    if (!at) {
        at = apr_palloc(crm->p, sizeof(*at));
        apr_hash_set(crm->hidden, apr_pstrdup(crm->p, key), APR_HASH_KEY_STRING, at);
    }
    *at = cs_time_boot();
}

static int already(const cs_crm_t *crm, const char *key)
{
    const apr_interval_time_t *at = apr_hash_get(crm->hidden, key, APR_HASH_KEY_STRING);

    return at && cs_time_boot() - *at < WHILE;
}

/* The table that the words name: "on entity 'X'", "on sobject of type X". */
static int is_about(const char *words, const char *table)
{
    static const char *const forms[] = {"on entity '", "on sobject of type "};
    apr_size_t len = strlen(table), i;

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const char *at = strstr(words, forms[i]);

        if (at) {
            at += strlen(forms[i]);
            return !strncasecmp(at, table, len) && !strchr("_", at[len] ? at[len] : ' ');
        }
    }
    return 1;
}

/* What to leave out: "T.Name" of the table itself, "T.*.Name" of what it points to, "T.Account." a
 * whole relation. */
static const char *key_of(const char *words, const char *table, apr_pool_t *p)
{
    const char *name = quoted(words, "No such column '", p);

    if (name) {
        return apr_pstrcat(p, table, is_about(words, table) ? "." : ".*.", name, NULL);
    }
    name = quoted(words, "understand relationship '", p);
    return name ? apr_pstrcat(p, table, ".", name, ".", NULL) : NULL;
}

int cs_sf_hide(cs_crm_t *crm, const char *table, const cs_result_t *refused)
{
    const char *key;
    apr_pool_t *p;
    int fresh;

    if (refused->cls != CS_CLASS_SUSPEND || !refused->said ||
        strcmp(refused->problem, "config:column") || apr_hash_count(crm->hidden) >= MOST_HIDDEN ||
        apr_pool_create(&p, crm->p) != APR_SUCCESS) {
        return 0;
    }
    key = key_of(refused->said, table, p);
    fresh = key && !already(crm, key);
    if (fresh) {
        hide(crm, key);
        if (cs_sf_say_once(crm, apr_pstrcat(p, "hidden ", key, NULL))) {
            cs_log(CS_LOG_INFO, 0, NULL,
                   CSLOGNO(4120) "%s: %s cannot be read: it does not exist, or the user may not "
                                 "see it",
                   crm->cfg.name, key);
        }
    }
    apr_pool_destroy(p);
    return fresh;
}

int cs_sf_is_hidden(const cs_crm_t *crm, const char *table, const char *field)
{
    const char *dot = strrchr(field, '.');
    char key[512];

    if (!apr_hash_count(crm->hidden)) {
        return 0;
    }
    apr_snprintf(key, sizeof(key), "%s.%s", table, field);
    if (already(crm, key) || !dot) {
        return already(crm, key);
    }
    apr_snprintf(key, sizeof(key), "%s.%.*s.", table, (int)(dot - field), field);
    if (already(crm, key)) {
        return 1;
    }
    apr_snprintf(key, sizeof(key), "%s.*.%s", table, dot + 1);
    return already(crm, key);
}
