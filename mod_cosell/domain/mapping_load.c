/* domain/mapping_load.c: from the text of a mapping to a cs_mapping_t, or to the list of its
 * mistakes.
 *
 * Loading never stops at the first mistake: each part reports what it sees and goes on with what it
 * understood, so that one run names them all.
 */
#include <apr_file_io.h>
#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/time.h"
#include "mapping_internal.h"

#define ERRORS_MAX 50
#define STATUS_MAX 100 /* a text column nobody sized */
#define AUDIT_MAX 2000
#define AUDIT_KEEP 30
#define MAPPING_BYTES (1024 * 1024)

/* ---- mistakes ---- */

void cs_load_error(cs_load_t *l, const char *pointer, const char *fmt, ...)
{
    const char *text;
    int line = 0, column = 0;
    va_list ap;

    if (l->errors->nelts >= ERRORS_MAX) {
        return;
    }
    va_start(ap, fmt);
    text = apr_pvsprintf(l->p, fmt, ap);
    va_end(ap);
    cs_json_source_locate(l->source, pointer, &line, &column);
    APR_ARRAY_PUSH(l->errors, const char *) = apr_psprintf(l->p, "%s:%d:%d: %s: %s", l->file, line,
                                                           column, *pointer ? pointer : "/", text);
}

const char *cs_load_ptr(cs_load_t *l, const char *ptr, const char *name)
{
    char *out = apr_palloc(l->p, strlen(ptr) + 2 * strlen(name) + 2);
    char *to = out + strlen(ptr);

    memcpy(out, ptr, strlen(ptr));
    *to++ = '/';
    for (; *name; name++) {
        if (*name == '~' || *name == '/') {
            *to++ = '~';
            *to++ = *name == '~' ? '0' : '1';
        }
        else {
            *to++ = *name;
        }
    }
    *to = '\0';
    return out;
}

const char *cs_load_ptr_at(cs_load_t *l, const char *ptr, size_t index)
{
    return apr_psprintf(l->p, "%s/%" APR_SIZE_T_FMT, ptr, index);
}

static unsigned kind_of(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return CS_J_OBJECT;
    case JSON_ARRAY:
        return CS_J_ARRAY;
    case JSON_STRING:
        return CS_J_TEXT;
    case JSON_INTEGER:
        return CS_J_INT;
    case JSON_REAL:
        return CS_J_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return CS_J_BOOL;
    default:
        return CS_J_NULL;
    }
}

static const char *kind_words(unsigned kinds, apr_pool_t *p)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {{CS_J_OBJECT, "an object"}, {CS_J_ARRAY, "an array"},
                 {CS_J_TEXT, "a text"},      {CS_J_INT, "a whole number"},
                 {CS_J_REAL, "a number"},    {CS_J_BOOL, "true or false"},
                 {CS_J_NULL, "null"}};
    const char *out = NULL;
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (kinds & words[i].bit) {
            out = out ? apr_pstrcat(p, out, ", ", words[i].word, NULL) : words[i].word;
        }
    }
    return out ? out : "nothing";
}

static const char *member_names(const cs_member_t *table, apr_pool_t *p)
{
    const char *out = "";

    for (; table->name; table++) {
        out = apr_pstrcat(p, out, *out ? ", " : "", table->name, NULL);
    }
    return out;
}

static int check_member(cs_load_t *l, const char *key, const json_t *value, const char *ptr,
                        const cs_member_t *table)
{
    const cs_member_t *m = table;
    const char *at = cs_load_ptr(l, ptr, key);

    while (m->name && strcmp(m->name, key)) {
        m++;
    }
    if (!m->name) {
        cs_load_error(l, at, "unknown member \"%s\"; allowed: %s", key, member_names(table, l->p));
        return 0;
    }
    if (m->later) {
        cs_load_error(l, at, "%s not supported by this version", m->later);
        return 0;
    }
    if (!(m->kinds & kind_of(value))) {
        cs_load_error(l, at, "%s is %s; allowed: %s", cs_json_print(value, l->p),
                      kind_words(kind_of(value), l->p), kind_words(m->kinds, l->p));
        return 0;
    }
    return 1;
}

int cs_load_members(cs_load_t *l, const json_t *obj, const char *ptr, const cs_member_t *table)
{
    const char *key;
    json_t *value;
    int good = 1;

    if (!json_is_object(obj)) {
        cs_load_error(l, ptr, "%s is %s; allowed: an object", cs_json_print(obj, l->p),
                      obj ? kind_words(kind_of(obj), l->p) : "nothing");
        return 0;
    }
    json_object_foreach((json_t *)obj, key, value) {
        if (strcmp(key, "$comment")) {
            good &= check_member(l, key, value, ptr, table);
        }
    }
    return good;
}

int cs_load_word(cs_load_t *l, const json_t *obj, const char *ptr, const char *name,
                 const char *const *words, int dflt)
{
    const char *text = cs_json_str(obj, name);
    const char *all = "";
    int i;

    if (!text) {
        return dflt;
    }
    for (i = 0; words[i]; i++) {
        if (!strcmp(words[i], text)) {
            return i;
        }
        all = apr_pstrcat(l->p, all, *all ? ", " : "", words[i], NULL);
    }
    cs_load_error(l, cs_load_ptr(l, ptr, name), "\"%s\" is not known here; allowed: %s", text, all);
    return dflt;
}

int cs_load_int(cs_load_t *l, const json_t *obj, const char *ptr, const char *name, int lo, int hi,
                int dflt)
{
    const json_t *json = cs_json_get(obj, name);

    if (!json_is_integer(json)) {
        return dflt;
    }
    if (json_integer_value(json) < lo || json_integer_value(json) > hi) {
        cs_load_error(l, cs_load_ptr(l, ptr, name),
                      "%" APR_INT64_T_FMT " is out of range; allowed: %d to %d",
                      (apr_int64_t)json_integer_value(json), lo, hi);
        return dflt;
    }
    return (int)json_integer_value(json);
}

/* ---- the top ---- */

static void load_names(cs_load_t *l, const json_t *root)
{
    const char *key;
    json_t *value;

    l->names = cs_json_get(root, "names");
    if (!json_is_object(l->names)) {
        l->names = NULL;
        return;
    }
    json_object_foreach((json_t *)l->names, key, value) {
        const char *at = cs_load_ptr(l, "/names", key);

        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (!json_is_null(value) && (!json_is_string(value) || !*json_string_value(value))) {
            cs_load_error(l, at,
                          "%s is no name; allowed: the name of a column, or null to switch it off",
                          cs_json_print(value, l->p));
        }
    }
}

static void load_shared(cs_load_t *l, const json_t *root)
{
    const json_t *finds = cs_json_get(root, "find");
    const char *key;
    json_t *value;

    l->values_json = cs_json_get(root, "values");
    if (json_is_object(l->values_json)) {
        json_object_foreach((json_t *)l->values_json, key, value) {
            if (strcmp(key, "$comment")) {
                const cs_values_t *v =
                    cs_load_values(l, value, cs_load_ptr(l, "/values", key), key);

                if (v) {
                    APR_ARRAY_PUSH(l->values, const cs_values_t *) = v;
                }
            }
        }
    }
    if (json_is_object(finds)) {
        json_object_foreach((json_t *)finds, key, value) {
            if (strcmp(key, "$comment")) {
                const cs_find_t *f = cs_load_find(l, value, cs_load_ptr(l, "/find", key));

                if (f) {
                    ((cs_find_t *)f)->name = apr_pstrdup(l->p, key);
                    APR_ARRAY_PUSH(l->finds, const cs_find_t *) = f;
                }
            }
        }
    }
}

static const cs_member_t from_pc_members[] = {{"when", CS_J_OBJECT | CS_J_BOOL, NULL},
                                              {"set", CS_J_OBJECT, NULL},
                                              {"owner", CS_J_OBJECT, "an owner is"},
                                              {NULL, 0, NULL}};

static void load_from_pc(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr)
{
    const json_t *set = cs_json_get(json, "set");

    if (!json) {
        return;
    }
    cs_load_members(l, json, ptr, from_pc_members);
    if (!cs_json_get(json, "when")) {
        cs_load_error(l, ptr, "\"when\" is missing; allowed: a condition on the referral, or true");
        return;
    }
    kind->from_pc_when = cs_load_cond(l, cs_json_get(json, "when"), cs_load_ptr(l, ptr, "when"));
    if (json_is_object(set)) {
        kind->from_pc_set = cs_load_set(l, set, cs_load_ptr(l, ptr, "set"), 1);
    }
}

static const cs_member_t from_crm_members[] = {{"when", CS_J_OBJECT | CS_J_BOOL, NULL},
                                               {"quiet", CS_J_TEXT, NULL},
                                               {"opt_out", CS_J_TEXT, NULL},
                                               {"gone", CS_J_TEXT, NULL},
                                               {"kind", CS_J_ARRAY, NULL},
                                               {"set", CS_J_OBJECT, NULL},
                                               {NULL, 0, NULL}};

static const cs_cond_t *find_opt_in(const cs_cond_t *cond)
{
    int i;

    if (!cond) {
        return NULL;
    }
    if (cond->crm && cond->crm->text && cond->name && !strcmp(cond->name, "sync")) {
        return cond;
    }
    for (i = 0; cond->op == CS_COND_ALL && i < cond->items->nelts; i++) {
        const cs_cond_t *found = find_opt_in(APR_ARRAY_IDX(cond->items, i, const cs_cond_t *));

        if (found) {
            return found;
        }
    }
    return NULL;
}

/* Rules for creating referrals: kept in shape, applied by a later version. */
static void check_created_kinds(cs_load_t *l, const json_t *kinds, const char *ptr)
{
    static const cs_member_t words[] = {{"co-sell", CS_J_OBJECT | CS_J_BOOL, NULL},
                                        {"partner-led", CS_J_OBJECT | CS_J_BOOL, NULL},
                                        {"private", CS_J_OBJECT | CS_J_BOOL, NULL},
                                        {NULL, 0, NULL}};
    size_t i;
    json_t *item, *value;
    const char *key;

    json_array_foreach((json_t *)kinds, i, item) {
        const char *at = cs_load_ptr_at(l, ptr, i);

        if (cs_load_members(l, item, at, words)) {
            json_object_foreach(item, key, value) {
                cs_load_cond(l, value, cs_load_ptr(l, at, key));
            }
        }
    }
}

static void check_created_set(cs_load_t *l, const json_t *set, const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)set, key, value) {
        if (strcmp(key, "$comment")) {
            const char *at = cs_load_ptr(l, ptr, key);

            if (cs_load_path(l, key, at) && (json_is_object(value) || json_is_array(value))) {
                cs_load_error(l, at, "%s is no constant; allowed: a text, a number, true, false",
                              cs_json_print(value, l->p));
            }
        }
    }
}

static void load_from_crm(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json,
                          const char *ptr)
{
    static const char *const opt_outs[] = {"pause", "ignore", NULL};
    static const char *const gones[] = {"hold", NULL};
    const json_t *when = cs_json_get(json, "when");
    apr_interval_time_t quiet;

    if (!json) {
        return;
    }
    cs_load_members(l, json, ptr, from_crm_members);
    if (when) {
        kind->from_crm_when = cs_load_cond(l, when, cs_load_ptr(l, ptr, "when"));
    }
    if (cs_json_str(json, "quiet") && cs_interval_parse(&quiet, cs_json_str(json, "quiet"), "s")) {
        cs_load_error(l, cs_load_ptr(l, ptr, "quiet"),
                      "\"%s\" is no time; allowed: \"90s\", \"5m\", \"12h\", \"7d\"",
                      cs_json_str(json, "quiet"));
    }
    kind->pauses = cs_load_word(l, json, ptr, "opt_out", opt_outs, 0) == 0;
    cs_load_word(l, json, ptr, "gone", gones, 0);
    if (json_is_array(cs_json_get(json, "kind"))) {
        check_created_kinds(l, cs_json_get(json, "kind"), cs_load_ptr(l, ptr, "kind"));
    }
    if (json_is_object(cs_json_get(json, "set"))) {
        check_created_set(l, cs_json_get(json, "set"), cs_load_ptr(l, ptr, "set"));
    }
    kind->opt_in = find_opt_in(kind->from_crm_when);
}

/* ---- what the seller sees ---- */

typedef struct told_t {
    const char *column; /* NULL = switched off */
    const char *text;
    int max, keep;
} told_t;

/* An entry of "tell": a column, or an object with one. */
static void load_told(cs_load_t *l, told_t *told, const json_t *json, const char *ptr,
                      const cs_member_t *table)
{
    const json_t *column = json_is_object(json) ? cs_json_get(json, "column") : json;
    const cs_column_t *c;

    memset(told, 0, sizeof(*told));
    if (!json || (json_is_object(json) && !cs_load_members(l, json, ptr, table))) {
        return;
    }
    if (!cs_json_bool(json, "enabled", 1)) {
        return;
    }
    if (!json_is_string(column)) {
        cs_load_error(l, ptr, "\"column\" is missing; allowed: the name of a column");
        return;
    }
    c = cs_load_column(l, json_string_value(column), ptr);
    told->column = c ? c->text : NULL;
    if (c && c->of) {
        cs_load_error(l, ptr, "\"%s\" is read through a look-up and cannot be written", c->text);
    }
    told->text = json_is_object(json) ? cs_json_str(json, "text") : NULL;
    told->max = cs_load_int(l, json, ptr, "max", 1, 1048576, 0);
    told->keep = cs_load_int(l, json, ptr, "keep", 1, 1000, 0);
}

static const cs_member_t plain_members[] = {{"column", CS_J_TEXT, NULL},
                                            {"max", CS_J_INT, NULL},
                                            {"enabled", CS_J_BOOL, NULL},
                                            {NULL, 0, NULL}};
static const cs_member_t link_members[] = {{"column", CS_J_TEXT, NULL},
                                           {"text", CS_J_TEXT, NULL},
                                           {"enabled", CS_J_BOOL, NULL},
                                           {NULL, 0, NULL}};
static const cs_member_t audit_members[] = {{"column", CS_J_TEXT, NULL},
                                            {"keep", CS_J_INT, NULL},
                                            {"max", CS_J_INT, NULL},
                                            {"enabled", CS_J_BOOL, NULL},
                                            {NULL, 0, NULL}};
static const cs_member_t mark_members[] = {{"column", CS_J_TEXT, NULL},
                                           {"ok", CS_J_TEXT, NULL},
                                           {"failed", CS_J_TEXT, NULL},
                                           {"enabled", CS_J_BOOL, NULL},
                                           {NULL, 0, NULL}};
static const cs_member_t tell_members[] = {{"id", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"link", CS_J_OBJECT, NULL},
                                           {"status", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"problem", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"audit", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"synced", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"explain", CS_J_TEXT | CS_J_OBJECT, NULL},
                                           {"mark", CS_J_OBJECT, NULL},
                                           {NULL, 0, NULL}};

/* Entries that are in the format but not told yet: fine while they are switched off. */
static void refuse_told(cs_load_t *l, const json_t *tell, const char *ptr, const char *name,
                        const cs_member_t *table, const char *what)
{
    const char *at = cs_load_ptr(l, ptr, name);
    told_t told;

    load_told(l, &told, cs_json_get(tell, name), at, table);
    if (told.column) {
        cs_load_error(l, at, "%s not supported by this version", what);
    }
}

static void load_tell(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr)
{
    cs_tell_t *tell = &kind->tell;
    told_t told;

    if (!json || !cs_load_members(l, json, ptr, tell_members)) {
        return;
    }
    load_told(l, &told, cs_json_get(json, "id"), cs_load_ptr(l, ptr, "id"), plain_members);
    tell->id = told.column;
    load_told(l, &told, cs_json_get(json, "link"), cs_load_ptr(l, ptr, "link"), link_members);
    tell->link = told.column;
    tell->link_text = apr_pstrdup(l->p, told.text);
    if (tell->link && !tell->link_text) {
        cs_load_error(l, cs_load_ptr(l, ptr, "link"),
                      "\"text\" is missing; allowed: an address with {id}");
        tell->link = NULL;
    }
    load_told(l, &told, cs_json_get(json, "status"), cs_load_ptr(l, ptr, "status"), plain_members);
    tell->status = told.column;
    tell->status_max = told.max ? told.max : STATUS_MAX;
    load_told(l, &told, cs_json_get(json, "problem"), cs_load_ptr(l, ptr, "problem"),
              plain_members);
    tell->problem = told.column;
    tell->problem_max = told.max ? told.max : STATUS_MAX;
    load_told(l, &told, cs_json_get(json, "audit"), cs_load_ptr(l, ptr, "audit"), audit_members);
    tell->audit = told.column;
    tell->audit_max = told.max ? told.max : AUDIT_MAX;
    tell->audit_keep = told.keep ? told.keep : AUDIT_KEEP;
    refuse_told(l, json, ptr, "synced", plain_members, "\"synced\" (the time of the last sync) is");
    refuse_told(l, json, ptr, "explain", link_members,
                "\"explain\" (a link to the explanation) is");
    refuse_told(l, json, ptr, "mark", mark_members, "\"mark\" (a mark in the name) is");
}

/* ---- record kinds ---- */

static const cs_member_t kind_members[] = {
    {"table", CS_J_TEXT, NULL},
    {"key", CS_J_TEXT | CS_J_OBJECT, NULL},
    {"from_pc", CS_J_OBJECT, NULL},
    {"from_crm", CS_J_OBJECT, NULL},
    {"state", CS_J_OBJECT, NULL},
    {"lines", CS_J_OBJECT, NULL},
    {"tell", CS_J_OBJECT, NULL},
    {"lists", CS_J_OBJECT, "lists are"},
    {"match", CS_J_OBJECT, "\"match\" (proposing existing records) is"},
    {"becomes", CS_J_OBJECT, "\"becomes\" (a record that turns into another) is"},
    {"like", CS_J_TEXT, "\"like\" (a kind made from another) is"},
    {NULL, 0, NULL}};

static void load_lines(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *lines, const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)lines, key, value) {
        const char *at = cs_load_ptr(l, ptr, key);
        cs_line_t *line;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (!*key || strchr("$@", *key)) {
            cs_load_error(
                l, at,
                "\"%s\" is no name of a line; allowed: a text that begins with neither $ nor @",
                key);
            continue;
        }
        line = cs_load_line(l, apr_pstrdup(l->p, key), value, at);
        if (line) {
            APR_ARRAY_PUSH(kind->lines, cs_line_t *) = line;
        }
    }
}

static void load_kind(cs_load_t *l, const char *name, const json_t *json, const char *ptr)
{
    cs_mapping_kind_t *kind = apr_pcalloc(l->p, sizeof(*kind));
    const char *table = cs_json_str(json, "table");

    kind->mapping = l->mapping;
    kind->name = apr_pstrdup(l->p, name);
    kind->lines = apr_array_make(l->p, 16, sizeof(cs_line_t *));
    kind->hear = apr_array_make(l->p, 8, sizeof(cs_hear_t));
    kind->show = apr_array_make(l->p, 8, sizeof(cs_show_t));
    kind->from_pc_set = apr_array_make(l->p, 1, sizeof(cs_set_t));
    kind->state_columns = apr_array_make(l->p, 4, sizeof(const char *));
    cs_load_members(l, json, ptr, kind_members);
    if (!table || !*table) {
        cs_load_error(l, ptr,
                      "\"table\" is missing; allowed: the logical name of a table, for example "
                      "\"opportunity\"");
        return;
    }
    kind->table = apr_pstrdup(l->p, table);
    kind->key_column = apr_pstrcat(l->p, table, l->facts->key_suffix, NULL);
    load_from_pc(l, kind, cs_json_get(json, "from_pc"), cs_load_ptr(l, ptr, "from_pc"));
    load_from_crm(l, kind, cs_json_get(json, "from_crm"), cs_load_ptr(l, ptr, "from_crm"));
    if (json_is_object(cs_json_get(json, "lines"))) {
        load_lines(l, kind, cs_json_get(json, "lines"), cs_load_ptr(l, ptr, "lines"));
    }
    cs_load_state(l, kind, cs_json_get(json, "state"), cs_load_ptr(l, ptr, "state"));
    load_tell(l, kind, cs_json_get(json, "tell"), cs_load_ptr(l, ptr, "tell"));
    cs_load_check_kind(l, kind, ptr);
    cs_load_columns(l, kind);
    APR_ARRAY_PUSH(l->mapping->kinds, cs_mapping_kind_t *) = kind;
}

static const cs_member_t top_members[] = {{"$schema", CS_J_TEXT, NULL},
                                          {"crm", CS_J_TEXT, NULL},
                                          {"revision", CS_J_TEXT, NULL},
                                          {"names", CS_J_OBJECT, NULL},
                                          {"values", CS_J_OBJECT, NULL},
                                          {"find", CS_J_OBJECT, NULL},
                                          {"records", CS_J_OBJECT, NULL},
                                          {"extends", CS_J_TEXT, "an overlay (\"extends\") is"},
                                          {NULL, 0, NULL}};

static int load_head(cs_load_t *l, const json_t *root, const char *crm)
{
    const char *type = cs_json_str(root, "crm");

    if (!cs_load_members(l, root, "", top_members) && !json_is_object(root)) {
        return 0;
    }
    l->mapping->revision = apr_pstrdup(l->p, cs_json_str(root, "revision"));
    if (!l->mapping->revision) {
        cs_load_error(l, "",
                      "\"revision\" is missing; allowed: a text that changes with the mapping");
    }
    if (cs_json_get(root, "extends")) {
        return 0; /* the rest of an overlay means nothing alone */
    }
    if (!type || strcmp(type, crm) || !cs_crm_facts(type)) {
        cs_load_error(l, type ? "/crm" : "", "%s%s%s is not the type of this CRM; allowed: %s",
                      type ? "\"" : "", type ? type : "no \"crm\"", type ? "\"" : "", crm);
    }
    l->facts = cs_crm_facts(crm);
    if (!l->facts) {
        cs_load_error(l, "/crm", "\"%s\" is not supported by this version; allowed: dynamics365",
                      crm);
    }
    return l->facts != NULL;
}

static void load_root(cs_load_t *l, const json_t *root, const char *crm)
{
    const json_t *records = cs_json_get(root, "records");
    const char *key;
    json_t *value;

    if (!load_head(l, root, crm)) {
        return;
    }
    load_names(l, root);
    load_shared(l, root);
    if (!json_is_object(records) || json_object_size(records) == 0) {
        cs_load_error(l, "",
                      "\"records\" is missing or empty; allowed: an object with a member for each "
                      "record kind");
        return;
    }
    json_object_foreach((json_t *)records, key, value) {
        if (strcmp(key, "$comment")) {
            load_kind(l, key, value, cs_load_ptr(l, "/records", key));
        }
    }
}

apr_status_t cs_mapping_parse(cs_mapping_t **pmapping, const char *text, apr_size_t len,
                              const char *name, const char *crm, apr_array_header_t **perrors,
                              apr_pool_t *p, cs_result_t *res)
{
    cs_mapping_t *m = apr_pcalloc(p, sizeof(*m));
    cs_json_source_t *source = NULL;
    json_t *root = NULL;
    cs_result_t why;
    cs_load_t l = {.p = p, .file = apr_pstrdup(p, name), .mapping = m};
    const char *canonical;

    memset(&why, 0, sizeof(why));
    *pmapping = NULL;
    l.errors = apr_array_make(p, 4, sizeof(const char *));
    l.values = apr_array_make(p, 4, sizeof(const cs_values_t *));
    l.finds = apr_array_make(p, 4, sizeof(const cs_find_t *));
    m->file = l.file;
    m->crm = apr_pstrdup(p, crm);
    m->kinds = apr_array_make(p, 2, sizeof(cs_mapping_kind_t *));
    m->finds = l.finds;
    if (cs_json_source_parse(&root, &source, text, len, NULL, p, &why) != APR_SUCCESS) {
        APR_ARRAY_PUSH(l.errors, const char *) = apr_psprintf(p, "%s: %s", l.file, why.detail);
    }
    else {
        cs_json_own(root, p);
        l.source = source;
        load_root(&l, root, crm);
    }
    if (perrors) {
        *perrors = l.errors;
    }
    if (l.errors->nelts) {
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "mapping:invalid", "%s",
                             APR_ARRAY_IDX(l.errors, 0, const char *));
    }
    canonical = cs_json_print(root, p);
    m->digest = cs_sha256_hex(canonical, strlen(canonical), p);
    *pmapping = m;
    return APR_SUCCESS;
}

static apr_status_t read_text(const char **ptext, apr_size_t *plen, const char *path, apr_pool_t *p)
{
    apr_file_t *file;
    apr_finfo_t info;
    char *text;
    apr_status_t rv =
        apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        rv = APR_EINVAL;
    }
    if (rv == APR_SUCCESS && info.size > MAPPING_BYTES) {
        rv = CS_ELIMIT;
    }
    if (rv == APR_SUCCESS) {
        text = apr_pcalloc(p, (apr_size_t)info.size + 1);
        *plen = (apr_size_t)info.size;
        rv = *plen ? apr_file_read_full(file, text, *plen, plen) : APR_SUCCESS;
        *ptext = text;
    }
    apr_file_close(file);
    return rv;
}

apr_status_t cs_mapping_load(cs_mapping_t **pmapping, const char *path, const char *crm,
                             apr_array_header_t **perrors, apr_pool_t *p, cs_result_t *res)
{
    const char *text = NULL;
    apr_size_t len = 0;
    char why[200];
    apr_status_t rv = read_text(&text, &len, path, p);

    *pmapping = NULL;
    if (rv != APR_SUCCESS) {
        if (perrors) {
            *perrors = apr_array_make(p, 1, sizeof(const char *));
            APR_ARRAY_PUSH(*perrors, const char *) =
                apr_psprintf(p, "%s: cannot be read: %s", path, cs_strerror(rv, why, sizeof(why)));
        }
        return cs_result_set(res, p, rv, CS_CLASS_REFUSED, "mapping:unreadable",
                             "%s: cannot be read: %s", path, cs_strerror(rv, why, sizeof(why)));
    }
    return cs_mapping_parse(pmapping, text, len, path, crm, perrors, p, res);
}
