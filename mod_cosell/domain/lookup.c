/* domain/lookup.c: rows that are looked for, and the words of the CRM's metadata.
 *
 * A look-up stays symbolic until it is applied, and is self-contained, so that applying it needs no
 * mapping (domain/record.h).
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "reconcile_internal.h"

#define LABELS_MAX 12 /* named when one is not among them */

/* ---- keys ---- */

/* In canonical form; NULL when there is nothing to look for. */
static const char *part_text(const cs_find_part_t *part, const json_t *doc, const json_t *item,
                             const char *value, apr_pool_t *p)
{
    const char *text = value;

    if (part->path) {
        text = cs_scalar_text(cs_path_get(part->path, doc), p);
    }
    else if (part->member) {
        text = cs_scalar_text(cs_json_get(item, part->member), p);
    }
    return text ? cs_text_canonical(text, p) : NULL;
}

/* NULL when a part is empty, for half a key finds somebody else's row. */
static json_t *key_of(const apr_array_header_t *parts, const json_t *doc, const json_t *item,
                      const char *value, apr_pool_t *p)
{
    json_t *key = json_object();
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const cs_find_part_t *part = &APR_ARRAY_IDX(parts, i, cs_find_part_t);
        const char *text = part->found ? NULL : part_text(part, doc, item, value, p);

        if (text) {
            json_object_set_new(key, part->column, json_string(text));
        }
        else if (!part->found) {
            json_decref(key);
            return NULL;
        }
    }
    if (!json_object_size(key)) {
        json_decref(key);
        return NULL;
    }
    return key;
}

json_t *cs_find_keys(const cs_find_t *find, const json_t *doc, const json_t *item,
                     const char *value, apr_pool_t *p)
{
    json_t *keys = json_array();
    int i;

    for (i = 0; i < find->by->nelts; i++) {
        json_t *key = key_of(APR_ARRAY_IDX(find->by, i, apr_array_header_t *), doc, item, value, p);

        if (key) {
            json_array_append_new(keys, key);
        }
    }
    return cs_json_own(keys, p);
}

/* ---- the look-up itself ---- */

/* What the row starts with. A part that names the row of another look-up is among "within". */
static json_t *new_row(const cs_find_t *find, const json_t *doc, const json_t *item,
                       const char *value, apr_pool_t *p)
{
    json_t *row = json_object();
    int i;

    for (i = 0; i < find->create->nelts; i++) {
        const cs_find_part_t *part = &APR_ARRAY_IDX(find->create, i, cs_find_part_t);
        const char *text = part->found ? NULL : part_text(part, doc, item, value, p);

        if (text) {
            json_object_set_new(row, part->column, json_string(text));
        }
    }
    return row;
}

/* NULL when one of them has no key: then nobody knows among which rows to look. */
static json_t *within_of(const cs_find_t *find, const json_t *doc, const json_t *item, int create,
                         apr_pool_t *p)
{
    json_t *within = cs_json_own(json_object(), p);
    int i;

    for (i = 0; i < find->within->nelts; i++) {
        const cs_within_t *w = &APR_ARRAY_IDX(find->within, i, cs_within_t);
        json_t *inner = cs_find_lookup(w->find, doc, item, NULL, NULL, create, p);

        if (!inner) {
            return NULL;
        }
        json_object_set(within, w->column, inner);
    }
    return within;
}

json_t *cs_find_lookup(const cs_find_t *find, const json_t *doc, const json_t *item,
                       const char *value, const char *line, int create, apr_pool_t *p)
{
    static const char *const nones[] = {"hold", "skip", "create"};
    /* Records are created only when the deal's record is created. (deals 2) */
    cs_none_e none = find->none == CS_NONE_CREATE && !create ? CS_NONE_HOLD : find->none;
    json_t *keys = cs_find_keys(find, doc, item, value, p), *within = NULL, *inner;

    if (!json_array_size(keys)) {
        return NULL;
    }
    if (find->within && find->within->nelts) {
        within = within_of(find, doc, item, create, p);
        if (!within) {
            return NULL;
        }
    }
    inner = json_pack("{s:s,s:s,s:O,s:s,s:s,s:O*,s:s*}", "find", find->name, "table", find->table,
                      "keys", keys, "several", find->several ? find->several : "hold", "none",
                      nones[none], "within", within, "line", line);
    if (find->where) {
        json_t *where = json_deep_copy(find->where);

        json_object_del(where, "$comment");
        json_object_set_new(inner, "where", where);
    }
    if (none == CS_NONE_CREATE) {
        json_object_set_new(inner, "create", new_row(find, doc, item, value, p));
        if (find->key) {
            json_object_set_new(inner, "key", json_string(find->key));
        }
    }
    return cs_json_own(json_pack("{s:o}", "$lookup", inner), p);
}

/* ---- metadata ---- */

static const json_t *table_of(const json_t *metadata, const char *table)
{
    return table ? cs_json_get(cs_json_get(metadata, "tables"), table) : NULL;
}

static const json_t *facts_of(const json_t *metadata, const char *table, const char *column)
{
    return column ? cs_json_get(cs_json_get(table_of(metadata, table), "columns"), column) : NULL;
}

/* "a/b" is a column of the row that a points to, where that can be one table only. */
const json_t *cs_column_facts(const cs_table_t *table, const cs_column_t *column)
{
    const json_t *facts, *targets;

    if (!table || !column || !column->text) {
        return NULL;
    }
    facts = facts_of(table->metadata, table->name, column->name);
    if (!column->of) {
        return facts;
    }
    targets = cs_json_get(facts, "targets");
    return json_array_size(targets) == 1
               ? facts_of(table->metadata, json_string_value(json_array_get(targets, 0)),
                          column->of)
               : NULL;
}

/* ASCII case, and blanks at the ends, are no difference. */
static int fold_same(const char *a, const char *b)
{
    size_t n, m;

    for (; apr_isspace(*a); a++) {
    }
    for (; apr_isspace(*b); b++) {
    }
    for (n = strlen(a); n && apr_isspace(a[n - 1]); n--) {
    }
    for (m = strlen(b); m && apr_isspace(b[m - 1]); m--) {
    }
    return n == m && !strncasecmp(a, b, n);
}

static int has_label(const json_t *option, const char *label)
{
    const json_t *labels = cs_json_get(option, "labels");
    const char *text = cs_json_str(option, "label");
    size_t i;

    if (text && fold_same(text, label)) {
        return 1;
    }
    for (i = 0; i < json_array_size(labels); i++) {
        text = json_string_value(json_array_get(labels, i));
        if (text && fold_same(text, label)) {
            return 1;
        }
    }
    return 0;
}

const json_t *cs_facts_choice(const json_t *facts, const char *label)
{
    const json_t *options = cs_json_get(facts, "options");
    size_t i;

    for (i = 0; label && i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);

        if (has_label(option, label)) {
            return cs_json_get(option, "value");
        }
    }
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const json_t *cs_facts_value(const json_t *facts, const json_t *value, apr_pool_t *p)
{
    const char *type = cs_json_str(facts, "type"), *text = json_string_value(value);
    apr_array_header_t *parts;
    char *copy, *part, *last;
    int i, n = 0;

    if (!text || !type || strcmp(type, "choices") || !strchr(text, ';')) {
        return value;
    }
    parts = apr_array_make(p, 4, sizeof(const char *));
    copy = apr_pstrdup(p, text);
    for (part = apr_strtok(copy, ";", &last); part; part = apr_strtok(NULL, ";", &last)) {
        apr_collapse_spaces(part, part);
        APR_ARRAY_PUSH(parts, const char *) = part;
    }
    qsort(parts->elts, (size_t)parts->nelts, sizeof(const char *), by_text);
    for (i = 0; i < parts->nelts; i++) {
        const char *one = APR_ARRAY_IDX(parts, i, const char *);

        if (!n || strcmp(APR_ARRAY_IDX(parts, n - 1, const char *), one)) {
            APR_ARRAY_IDX(parts, n++, const char *) = one;
        }
    }
    parts->nelts = n;
    return cs_json_own(json_string(apr_array_pstrcat(p, parts, ';')), p);
}

const char *cs_facts_labels(const json_t *facts, apr_pool_t *p)
{
    const json_t *options = cs_json_get(facts, "options");
    const char *out = "";
    size_t i, n = json_array_size(options);

    for (i = 0; i < n && i < LABELS_MAX; i++) {
        const char *label = cs_json_str(json_array_get(options, i), "label");

        if (label) {
            out = apr_pstrcat(p, out, *out ? ", " : "", label, NULL);
        }
    }
    return !*out ? "none" : n > LABELS_MAX ? apr_pstrcat(p, out, ", ...", NULL) : out;
}

const json_t *cs_choice_of_label(const json_t *metadata, const char *table, const char *column,
                                 const char *label)
{
    return cs_facts_choice(facts_of(metadata, table, column), label);
}

const char *cs_label_of_choice(const json_t *metadata, const char *table, const char *column,
                               const json_t *value)
{
    const json_t *options = cs_json_get(facts_of(metadata, table, column), "options");
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);

        if (cs_value_equal(cs_json_get(option, "value"), value)) {
            return cs_json_str(option, "label");
        }
    }
    return NULL;
}

const char *cs_column_label(const json_t *metadata, const char *table, const char *column)
{
    const char *label = cs_json_str(facts_of(metadata, table, column), "label");

    return label && *label ? label : column;
}

const char *cs_choices_resolve(json_t *columns, const json_t *metadata, const char *table,
                               apr_pool_t *p)
{
    const char *column, *why = NULL;
    json_t *value;
    void *next;

    json_object_foreach_safe(columns, next, column, value) {
        const char *label = cs_json_str(value, "$choice");
        const json_t *facts = label ? facts_of(metadata, table, column) : NULL;
        const json_t *choice = cs_facts_choice(facts, label);

        if (choice) {
            json_object_set_new(columns, column, json_deep_copy(choice));
        }
        else if (label) {
            const char *name = cs_column_label(metadata, table, column);

            why = facts ? apr_psprintf(p, "%s has no choice \"%s\"; it has: %s", name, label,
                                       cs_facts_labels(facts, p))
                        : apr_psprintf(p, "the choices of %s are not known yet", name);
            json_object_del(columns, column);
        }
    }
    return why;
}
