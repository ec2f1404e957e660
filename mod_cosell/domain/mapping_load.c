/* domain/mapping_load.c: from the text of a mapping to a cs_mapping_t, or to the list of its
 * mistakes.
 *
 * Loading never stops at the first mistake: each part reports what it sees and goes on with what it
 * understood, so that one run names them all. The parts: mapping_overlay.c (several files),
 * mapping_parts.c (paths, columns, conditions, values), mapping_find.c, mapping_line.c,
 * mapping_list*.c, mapping_roles.c, mapping_state.c, mapping_kind.c, mapping_check.c (what only a
 * whole kind shows), mapping_typo.c (what was meant), mapping_columns.c (what is read),
 * mapping_metadata.c (what is to be known).
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>

#include "../base/crypto.h"
#include "mapping_internal.h"

#define ERRORS_MAX 50

/* ---- mistakes ---- */

void cs_load_error(cs_load_t *l, const char *pointer, const char *fmt, ...)
{
    const char *text;
    va_list ap;
    int i;

    l->said++;
    if (l->errors->nelts >= ERRORS_MAX) {
        return;
    }
    va_start(ap, fmt);
    text = apr_pvsprintf(l->p, fmt, ap);
    va_end(ap);
    text = apr_pstrcat(l->p, cs_source_place(l->sources, pointer, l->p), ": ", text, NULL);
    /* Two kinds that are alike have the same mistake at the same place. */
    for (i = 0; i < l->errors->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(l->errors, i, const char *), text)) {
            return;
        }
    }
    APR_ARRAY_PUSH(l->errors, const char *) = text;
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

const char *cs_load_names_of(cs_load_t *l, const json_t *obj, const char *prefix)
{
    const char *key, *out = "";
    json_t *value;

    json_object_foreach((json_t *)obj, key, value) {
        if (strcmp(key, "$comment")) {
            out = apr_pstrcat(l->p, out, *out ? ", " : "", prefix, key, NULL);
        }
    }
    return out;
}

int cs_load_constants(cs_load_t *l, const json_t *obj, const char *ptr, int null_too)
{
    const char *key;
    json_t *value;
    int good = 1;

    json_object_foreach((json_t *)obj, key, value) {
        if (strcmp(key, "$comment") &&
            (json_is_object(value) || json_is_array(value) || (json_is_null(value) && !null_too))) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "%s is no constant; allowed: a number, a text, true, false%s",
                          cs_json_print(value, l->p), null_too ? ", null" : "");
            good = 0;
        }
    }
    return good;
}

/* 0 after a reported mistake. */
static int put_constant(cs_load_t *l, json_t *out, const char *key, const json_t *value,
                        const char *ptr, const char **poff)
{
    const cs_column_t *column = cs_load_own_column(l, key, ptr);
    const json_t *constant;
    int off = 0;

    if (!column) {
        return 0;
    }
    if (!column->text) {
        *poff = apr_pstrdup(l->p, key);
        return 1;
    }
    constant = cs_load_value(l, value, ptr, &off);
    if (constant) {
        json_object_set_new(out, column->text, json_deep_copy(constant));
    }
    return constant || off;
}

const json_t *cs_load_columns_are(cs_load_t *l, const json_t *obj, const char *ptr, int null_too,
                                  const char **poff)
{
    json_t *out = cs_json_own(json_object(), l->p), *value;
    const char *key;
    int good = cs_load_constants(l, obj, ptr, null_too);

    *poff = NULL;
    json_object_foreach((json_t *)obj, key, value) {
        if (strcmp(key, "$comment")) {
            good &= put_constant(l, out, key, value, cs_load_ptr(l, ptr, key), poff);
        }
    }
    return good ? out : NULL;
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

static void load_values(cs_load_t *l, const json_t *root)
{
    const char *key;
    json_t *value;

    l->values_json = cs_json_get(root, "values");
    if (!json_is_object(l->values_json)) {
        return;
    }
    json_object_foreach((json_t *)l->values_json, key, value) {
        if (strcmp(key, "$comment") && json_is_object(value)) {
            const cs_values_t *v = cs_load_values(l, value, cs_load_ptr(l, "/values", key), key);

            if (v) {
                APR_ARRAY_PUSH(l->values, const cs_values_t *) = v;
            }
        }
        else if (strcmp(key, "$comment")) {
            cs_load_error(l, cs_load_ptr(l, "/values", key),
                          "%s is no table of values; allowed: an object",
                          cs_json_print(value, l->p));
        }
    }
}

static const cs_member_t top_members[] = {
    {"$schema", CS_J_TEXT, NULL},  {"crm", CS_J_TEXT, NULL},
    {"revision", CS_J_TEXT, NULL}, {"namespace", CS_J_TEXT | CS_J_NULL, NULL},
    {"names", CS_J_OBJECT, NULL},  {"values", CS_J_OBJECT, NULL},
    {"find", CS_J_OBJECT, NULL},   {"records", CS_J_OBJECT, NULL},
    {"extends", CS_J_TEXT, NULL},  {NULL, 0, NULL}};

#define NAMESPACE_MAX 15

static int namespace_valid(const char *text, const char *joint)
{
    size_t len = strlen(text);
    const char *c;

    if (!len || len > NAMESPACE_MAX || !apr_isalpha(*text) || text[len - 1] == '_' ||
        strstr(text, joint)) {
        return 0;
    }
    for (c = text; *c; c++) {
        if (!apr_isalnum(*c) && *c != '_') {
            return 0;
        }
    }
    return 1;
}

/* What "{ns}" stands for. */
static void load_namespace(cs_load_t *l, const json_t *root)
{
    const char *text = cs_json_str(root, "namespace"), *joint = l->facts->namespaces;

    l->prefix = "";
    if (!text) {
        return;
    }
    if (!joint) {
        cs_load_error(l, "/namespace", "names of this CRM have no prefix; allowed: null");
    }
    else if (!namespace_valid(text, joint)) {
        cs_load_error(l, "/namespace",
                      "\"%s\" is no prefix of a package; allowed: at most %d letters, digits and "
                      "single _, a letter first, without the %s behind it",
                      text, NAMESPACE_MAX, joint);
    }
    else {
        l->prefix = apr_pstrcat(l->p, text, joint, NULL);
    }
}

static int load_head(cs_load_t *l, const json_t *root)
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
    if (!type) {
        cs_load_error(l, "",
                      "\"crm\" is missing; allowed: \"%s\"; an overlay begins with \"extends\": "
                      "\"%s.json\"",
                      l->facts->type, l->facts->type);
    }
    else if (!l->facts->is(type)) {
        cs_load_error(l, "/crm", "\"%s\" is not the type of this CRM; allowed: %s", type,
                      l->facts->type);
    }
    return 1;
}

static void load_root(cs_load_t *l, json_t *root)
{
    json_t *records = cs_json_get(root, "records");
    const char *key;
    json_t *value;

    if (!load_head(l, root)) {
        return;
    }
    load_namespace(l, root);
    load_names(l, root);
    load_values(l, root);
    cs_load_finds(l, cs_json_get(root, "find"));
    if (!json_is_object(records) || json_object_size(records) == 0) {
        cs_load_error(l, "",
                      "\"records\" is missing or empty; allowed: an object with a member for each "
                      "record kind");
        return;
    }
    cs_load_likes(l, records);
    json_object_foreach(records, key, value) {
        if (strcmp(key, "$comment")) {
            cs_load_kind(l, key, value, records, cs_load_ptr(l, "/records", key));
        }
    }
    cs_load_tables(l);
    if (l->errors->nelts == 0) {
        cs_load_watched(l);
    }
}

apr_status_t cs_mapping_parse(cs_mapping_t **pmapping, const char *text, apr_size_t len,
                              const char *name, const cs_crm_facts_t *facts,
                              apr_array_header_t **perrors, apr_pool_t *p, cs_result_t *res)
{
    cs_mapping_t *m = apr_pcalloc(p, sizeof(*m));
    cs_load_t l = {.p = p, .file = apr_pstrdup(p, name), .mapping = m};
    const char *canonical;
    json_t *root;

    *pmapping = NULL;
    l.errors = apr_array_make(p, 4, sizeof(const char *));
    l.values = apr_array_make(p, 4, sizeof(const cs_values_t *));
    l.finds = apr_array_make(p, 4, sizeof(const cs_find_t *));
    m->file = l.file;
    m->finds = l.finds;
    m->facts = l.facts = facts;
    m->kinds = apr_array_make(p, 2, sizeof(cs_mapping_kind_t *));
    root = cs_load_merged(&l, text, len);
    if (root) {
        /* Before "like" is resolved: the text is what the files say. */
        canonical = cs_json_print(root, p);
        m->digest = cs_sha256_hex(canonical, strlen(canonical), p);
        load_root(&l, root);
    }
    if (perrors) {
        *perrors = l.errors;
    }
    if (l.errors->nelts) {
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "mapping:invalid", "%s",
                             APR_ARRAY_IDX(l.errors, 0, const char *));
    }
    *pmapping = m;
    return APR_SUCCESS;
}

apr_status_t cs_mapping_load(cs_mapping_t **pmapping, const char *path, const cs_crm_facts_t *facts,
                             apr_array_header_t **perrors, apr_pool_t *p, cs_result_t *res)
{
    const char *text = NULL;
    apr_size_t len = 0;
    char why[200];
    apr_status_t rv = cs_source_read(&text, &len, path, p);

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
    return cs_mapping_parse(pmapping, text, len, path, facts, perrors, p, res);
}
