/* map check: what configtest says about a mapping file, without a server. */
#include "ctl.h"

#include <apr_file_info.h>
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"
#include "../domain/mapping.h"
#include "../remote/crm.h"

#define CHAIN_MAX 6

typedef struct chain_t {
    const char *files[CHAIN_MAX]; /* the overlay first */
    const char *type;             /* the CRM; NULL = none of them says one */
    int n;
} chain_t;

static const char *profile_path(const char *file, const char *name, apr_pool_t *p)
{
    const char *slash = strrchr(file, '/');
    const char *beside =
        slash ? apr_pstrcat(p, apr_pstrmemdup(p, file, (apr_size_t)(slash + 1 - file)), name, NULL)
              : name;
    apr_finfo_t info;

    if (strcmp(beside, file) && apr_stat(&info, beside, APR_FINFO_TYPE, p) == APR_SUCCESS) {
        return beside;
    }
    return apr_pstrcat(p, CS_MAPPING_DIR "/", name, NULL);
}

/* Which CRM the file is for, by what it extends; its mistakes are the loader's to tell. */
static void follow(chain_t *chain, const char *file, apr_pool_t *p)
{
    json_t *root = NULL;
    const char *extends;

    while (chain->n < CHAIN_MAX) {
        chain->files[chain->n++] = file;
        if (cs_json_file_read(&root, file, NULL, p, NULL) != APR_SUCCESS) {
            return;
        }
        cs_json_own(root, p);
        chain->type = chain->type ? chain->type : cs_json_str(root, "crm");
        extends = cs_json_str(root, "extends");
        if (!extends || strchr(extends, '/')) {
            return;
        }
        file = profile_path(file, extends, p);
    }
}

/* "file:line:column: /pointer: text" in its parts. */
static json_t *mistake_json(const char *text)
{
    int line = 0, column = 0, at = 0;
    const char *colon = text, *pointer;
    json_t *out;

    /* A name may have colons of its own: the place is the first ":number:number: ". */
    while ((colon = strchr(colon, ':')) != NULL) {
        if (sscanf(colon, ":%9d:%9d: %n", &line, &column, &at) == 2 && at) {
            break;
        }
        colon++;
    }
    if (!colon) {
        return json_pack("{s:s}", "text", text);
    }
    out = json_pack("{s:s%,s:i,s:i}", "file", text, (size_t)(colon - text), "line", line, "column",
                    column);
    text = colon + at;
    pointer = *text == '/' ? strstr(text, ": ") : NULL;
    if (pointer) {
        json_object_set_new(out, "pointer", json_stringn(text, (size_t)(pointer - text)));
        text = pointer + 2;
    }
    json_object_set_new(out, "text", json_string(text));
    return out;
}

static int tell_mistakes(ctl_t *c, const char *file, const apr_array_header_t *errors,
                         const cs_result_t *res)
{
    json_t *list = json_array(), *out;
    int i, n = errors ? errors->nelts : 0;

    for (i = 0; i < n; i++) {
        const char *text = APR_ARRAY_IDX(errors, i, const char *);

        json_array_append_new(list, mistake_json(text));
        if (!c->json) {
            ctl_out("%s\n", ctl_clean(text, c->p));
        }
    }
    if (!n) {
        const char *text = res->detail ? res->detail : "it cannot be loaded";

        json_array_append_new(list, json_pack("{s:s,s:s}", "file", file, "text", text));
        if (!c->json) {
            ctl_out("%s: %s\n", ctl_clean(file, c->p), ctl_clean(text, c->p));
        }
    }
    out = cs_json_own(json_pack("{s:s,s:b,s:o}", "file", file, "good", 0, "mistakes", list), c->p);
    if (c->json) {
        ctl_out("%s\n", cs_json_pretty(out, c->p));
    }
    else {
        ctl_note("%s",
                 ctl_count(n ? n : 1, "mistake", n < 50 ? "mistakes" : "mistakes or more", c->p));
    }
    return CTL_FAILED;
}

static int tell_good(ctl_t *c, const chain_t *chain, const cs_mapping_t *mapping)
{
    const char *revision = cs_mapping_revision(mapping), *digest = cs_mapping_digest(mapping);
    json_t *files = json_array(), *out;
    int i;

    for (i = 0; i < chain->n; i++) {
        json_array_append_new(files, json_string(chain->files[i]));
    }
    out = cs_json_own(json_pack("{s:s,s:b,s:s,s:s?,s:s,s:o,s:[]}", "file", chain->files[0], "good",
                                1, "crm", chain->type, "revision", revision, "digest", digest,
                                "files", files, "mistakes"),
                      c->p);
    if (c->json) {
        ctl_out("%s\n", cs_json_pretty(out, c->p));
        return CTL_DONE;
    }
    ctl_out("%s: good\n", ctl_clean(chain->files[0], c->p));
    ctl_out("  crm       %s\n  revision  %s\n  digest    %.16s\n", chain->type,
            revision ? ctl_clean(revision, c->p) : "-", digest);
    for (i = 1; i < chain->n; i++) {
        ctl_out("  extends   %s\n", ctl_clean(chain->files[i], c->p));
    }
    return CTL_DONE;
}

int ctl_run_map_check(ctl_t *c)
{
    const char *file = ctl_arg(c, 0);
    apr_array_header_t *errors = NULL;
    const cs_crm_facts_t *facts;
    cs_mapping_t *mapping = NULL;
    cs_result_t res = {0};
    chain_t chain = {{NULL}, NULL, 0};
    apr_finfo_t info;
    char why[200];
    apr_status_t rv = apr_stat(&info, file, APR_FINFO_TYPE, c->p);

    if (rv != APR_SUCCESS) {
        ctl_error("%s: %s", ctl_clean(file, c->p), apr_strerror(rv, why, sizeof(why)));
        return CTL_NOT_FOUND;
    }
    follow(&chain, file, c->p);
    facts = cs_crm_facts_of(chain.type);
    /* Without a CRM of ours any facts do: the loader says what is missing or wrong. */
    facts = facts ? facts : cs_crm_facts_of("dynamics365");
    if (cs_mapping_load(&mapping, file, facts, &errors, c->p, &res) != APR_SUCCESS) {
        return tell_mistakes(c, file, errors, &res);
    }
    return tell_good(c, &chain, mapping);
}
