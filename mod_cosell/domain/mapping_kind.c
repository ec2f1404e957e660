/* domain/mapping_kind.c: record kinds: where their deals come from, what the seller sees, and all
 * their parts. */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "mapping_internal.h"

#define STATUS_MAX 100 /* a text column nobody sized */
#define AUDIT_MAX 2000
#define AUDIT_KEEP 30
#define QUIET apr_time_from_sec(90)

static const cs_member_t from_pc_members[] = {{"when", CS_J_OBJECT | CS_J_BOOL, NULL},
                                              {"set", CS_J_OBJECT, NULL},
                                              {"owner", CS_J_OBJECT, NULL},
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
        kind->from_pc_set =
            cs_load_set(l, set, cs_load_ptr(l, ptr, "set"), CS_SET_START, kind->table);
    }
    kind->leads = cs_cond_takes_leads(kind->from_pc_when);
    if (json_is_object(cs_json_get(json, "owner"))) {
        kind->owner = cs_load_owner(l, cs_json_get(json, "owner"), cs_load_ptr(l, ptr, "owner"));
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

/* What a record asks for, top-down. */
static void load_asked_kinds(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *kinds,
                             const char *ptr)
{
    static const cs_member_t words[] = {
        {"co-sell", CS_J_OBJECT | CS_J_BOOL, NULL},
        {"partner-led", CS_J_OBJECT | CS_J_BOOL, NULL},
        {"private", CS_J_OBJECT | CS_J_BOOL, NULL},
        {"p2p", CS_J_OBJECT | CS_J_BOOL, "inviting another partner from the CRM is"},
        {NULL, 0, NULL}};
    size_t i;
    json_t *item, *value;
    const char *key;

    json_array_foreach((json_t *)kinds, i, item) {
        const char *at = cs_load_ptr_at(l, ptr, i);

        if (!cs_load_members(l, item, at, words)) {
            continue;
        }
        json_object_foreach(item, key, value) {
            cs_asked_kind_t *asked;

            if (strcmp(key, "$comment")) {
                asked = &APR_ARRAY_PUSH(kind->asked_kinds, cs_asked_kind_t);
                asked->word = apr_pstrdup(l->p, key);
                asked->when = cs_load_cond(l, value, cs_load_ptr(l, at, key));
            }
        }
    }
}

static void load_starts(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *set, const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)set, key, value) {
        const char *at = cs_load_ptr(l, ptr, key);
        const cs_pc_path_t *path = strcmp(key, "$comment") ? cs_load_path(l, key, at) : NULL;

        if (path && (json_is_object(value) || json_is_array(value))) {
            cs_load_error(l, at, "%s is no constant; allowed: a text, a number, true, false",
                          cs_json_print(value, l->p));
        }
        else if (path && !json_is_null(value)) {
            cs_start_t *start = &APR_ARRAY_PUSH(kind->starts, cs_start_t);

            start->path = path;
            start->value = value;
        }
    }
}

static void load_from_crm(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json,
                          const char *ptr)
{
    static const char *const opt_outs[] = {"pause", "ignore", NULL};
    static const char *const gones[] = {"hold", NULL};
    const json_t *when = cs_json_get(json, "when");

    if (!json) {
        return;
    }
    cs_load_members(l, json, ptr, from_crm_members);
    if (when) {
        kind->from_crm_when = cs_load_cond(l, when, cs_load_ptr(l, ptr, "when"));
    }
    if (cs_json_str(json, "quiet") &&
        cs_interval_parse(&kind->quiet, cs_json_str(json, "quiet"), "s")) {
        cs_load_error(l, cs_load_ptr(l, ptr, "quiet"),
                      "\"%s\" is no time; allowed: \"90s\", \"5m\", \"12h\", \"7d\"",
                      cs_json_str(json, "quiet"));
    }
    kind->pauses = cs_load_word(l, json, ptr, "opt_out", opt_outs, 0) == 0;
    cs_load_word(l, json, ptr, "gone", gones, 0);
    if (json_is_array(cs_json_get(json, "kind"))) {
        load_asked_kinds(l, kind, cs_json_get(json, "kind"), cs_load_ptr(l, ptr, "kind"));
    }
    if (json_is_object(cs_json_get(json, "set"))) {
        load_starts(l, kind, cs_json_get(json, "set"), cs_load_ptr(l, ptr, "set"));
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
    cs_load_case(l, c, cs_load_place(l, json_string_value(column), ptr));
    if (c && c->of) {
        cs_load_error(l, ptr, "\"%s\" is read through a look-up and cannot be written", c->written);
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

/* A mark stands before the text of a column that somebody else writes. */
static void load_mark(cs_load_t *l, cs_tell_t *tell, const json_t *json, const char *ptr)
{
    const char *ok = cs_json_str(json, "ok"), *failed = cs_json_str(json, "failed");
    told_t told;

    load_told(l, &told, json, ptr, mark_members);
    if (!told.column) {
        return;
    }
    if (!ok || !*ok || !failed || !*failed || !strcmp(ok, failed)) {
        cs_load_error(l, ptr,
                      "\"ok\" and \"failed\" are two different texts; allowed: for example "
                      "\"\xE2\x9C\x94 \" and \"\xE2\x9C\x98 \"");
        return;
    }
    tell->mark = told.column;
    tell->mark_ok = apr_pstrdup(l->p, ok);
    tell->mark_failed = apr_pstrdup(l->p, failed);
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
    load_told(l, &told, cs_json_get(json, "synced"), cs_load_ptr(l, ptr, "synced"), plain_members);
    tell->synced = told.column;
    load_told(l, &told, cs_json_get(json, "explain"), cs_load_ptr(l, ptr, "explain"), link_members);
    tell->explain = told.column;
    tell->explain_text = apr_pstrdup(l->p, told.text);
    load_mark(l, tell, cs_json_get(json, "mark"), cs_load_ptr(l, ptr, "mark"));
}

/* ---- record kinds ---- */

static const cs_member_t kind_members[] = {
    {"table", CS_J_TEXT, NULL},     {"key", CS_J_TEXT | CS_J_OBJECT, NULL},
    {"from_pc", CS_J_OBJECT, NULL}, {"from_crm", CS_J_OBJECT, NULL},
    {"state", CS_J_OBJECT, NULL},   {"lines", CS_J_OBJECT, NULL},
    {"tell", CS_J_OBJECT, NULL},    {"lists", CS_J_OBJECT, NULL},
    {"match", CS_J_OBJECT, NULL},   {"becomes", CS_J_OBJECT, NULL},
    {"like", CS_J_TEXT, NULL},      {NULL, 0, NULL}};

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
        if (!*key || strchr("$@", *key) || strchr(key, '/')) {
            /* "<list>/<key>" is an item. */
            cs_load_error(l, at,
                          "\"%s\" is no name of a line; allowed: a text without / that begins with "
                          "neither $ nor @",
                          key);
            continue;
        }
        line = cs_load_line(l, apr_pstrdup(l->p, key), value, at);
        if (line) {
            APR_ARRAY_PUSH(kind->lines, cs_line_t *) = line;
        }
    }
}

/* What the CRM names itself is found again by the referral's id alone. */
static void need_key(cs_load_t *l, const cs_mapping_kind_t *kind, const json_t *key,
                     const char *ptr)
{
    if (l->facts->names_rows && !kind->external_id) {
        cs_load_error(l, ptr,
                      "%s%sthis CRM gives its rows their ids, and one that was made is found again "
                      "by the referral's id; allowed: \"key\" with the external id column for it, "
                      "for example \"@id\"",
                      key ? cs_json_print(key, l->p) : "\"key\" is missing",
                      json_is_string(key) ? " is no column here: " : ": ");
    }
}

/* "@id", the column that carries the referral's id; or {"derived": true}, nothing but the row's own
 * id does. */
static void load_key(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *key, const char *ptr)
{
    static const cs_member_t members[] = {{"derived", CS_J_BOOL, NULL}, {NULL, 0, NULL}};
    const cs_column_t *column;
    int errors = l->said;

    if (json_is_string(key)) {
        column = cs_load_own_column(l, json_string_value(key), ptr);
        kind->external_id = column && l->facts->names_rows ? column->text : NULL;
    }
    else if (json_is_object(key)) {
        cs_load_members(l, key, ptr, members);
    }
    if (l->said == errors) {
        need_key(l, kind, key, ptr);
    }
}

static cs_mapping_kind_t *make_kind(cs_load_t *l, const char *name)
{
    cs_mapping_kind_t *kind = apr_pcalloc(l->p, sizeof(*kind));

    kind->mapping = l->mapping;
    kind->name = apr_pstrdup(l->p, name);
    kind->lines = apr_array_make(l->p, 16, sizeof(cs_line_t *));
    kind->lists = apr_array_make(l->p, 4, sizeof(cs_list_t *));
    kind->hear = apr_array_make(l->p, 8, sizeof(cs_hear_t));
    kind->show = apr_array_make(l->p, 8, sizeof(cs_show_t));
    kind->from_pc_set = apr_array_make(l->p, 1, sizeof(cs_set_t));
    kind->asked_kinds = apr_array_make(l->p, 3, sizeof(cs_asked_kind_t));
    kind->starts = apr_array_make(l->p, 3, sizeof(cs_start_t));
    kind->quiet = QUIET;
    kind->state_columns = apr_array_make(l->p, 4, sizeof(const char *));
    return kind;
}

static void load_parts(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json,
                       const json_t *records, const char *ptr)
{
    const json_t *lists = cs_json_get(json, "lists"), *match = cs_json_get(json, "match"),
                 *becomes = cs_json_get(json, "becomes");

    load_key(l, kind, cs_json_get(json, "key"), cs_load_ptr(l, ptr, "key"));
    load_from_pc(l, kind, cs_json_get(json, "from_pc"), cs_load_ptr(l, ptr, "from_pc"));
    load_from_crm(l, kind, cs_json_get(json, "from_crm"), cs_load_ptr(l, ptr, "from_crm"));
    if (json_is_object(cs_json_get(json, "lines"))) {
        load_lines(l, kind, cs_json_get(json, "lines"), cs_load_ptr(l, ptr, "lines"));
    }
    if (json_is_object(lists)) {
        cs_load_lists(l, kind, lists, cs_load_ptr(l, ptr, "lists"));
    }
    if (json_is_object(match)) {
        kind->match = cs_load_match(l, match, cs_load_ptr(l, ptr, "match"));
    }
    if (json_is_object(becomes)) {
        kind->becomes =
            cs_load_becomes(l, kind->name, becomes, records, cs_load_ptr(l, ptr, "becomes"));
    }
    cs_load_state(l, kind, cs_json_get(json, "state"), cs_load_ptr(l, ptr, "state"));
    load_tell(l, kind, cs_json_get(json, "tell"), cs_load_ptr(l, ptr, "tell"));
}

void cs_load_kind(cs_load_t *l, const char *name, const json_t *json, const json_t *records,
                  const char *ptr)
{
    cs_mapping_kind_t *kind = make_kind(l, name);
    const char *table = cs_json_str(json, "table");
    int off;

    if (!*name || strchr("$@", *name) || strchr(name, '/')) {
        cs_load_error(l, ptr,
                      "\"%s\" is no name of a record kind; allowed: a text without / that begins "
                      "with neither $ nor @",
                      name);
    }
    cs_load_members(l, json, ptr, kind_members);
    if (!table || !*table) {
        cs_load_error(l, ptr,
                      "\"table\" is missing; allowed: the logical name of a table, for example "
                      "that of opportunities");
        return;
    }
    kind->table = cs_load_name(l, table, cs_load_ptr(l, ptr, "table"), &off);
    if (!kind->table) {
        if (off) {
            cs_load_error(l, cs_load_ptr(l, ptr, "table"), "%s is null in \"names\"", table);
        }
        return;
    }
    kind->key_column = l->facts->key_suffix
                           ? apr_pstrcat(l->p, kind->table, l->facts->key_suffix, NULL)
                           : l->facts->key_column;
    load_parts(l, kind, json, records, ptr);
    cs_load_check_kind(l, kind, json, ptr);
    if (l->errors->nelts == 0) {
        cs_load_columns(l, kind, records);
    }
    APR_ARRAY_PUSH(l->mapping->kinds, cs_mapping_kind_t *) = kind;
}
