/* domain/compare_facts.c: whether the CRM has a column, of a type, with a choice, that a mapping
 * asks for. */
#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "compare_internal.h"
#include "../base/text.h"

#define PROBLEMS_MAX 50

void cs_compare_complain(cs_compare_t *c, const char *pointer, const char *fmt, ...)
{
    const char *text;
    va_list ap;
    int i;

    if (c->problems->nelts >= PROBLEMS_MAX) {
        return;
    }
    va_start(ap, fmt);
    text = apr_pvsprintf(c->p, fmt, ap);
    va_end(ap);
    text = apr_pstrcat(c->p, cs_source_place(c->mapping->sources, pointer, c->p), ": ", text, NULL);
    for (i = 0; i < c->problems->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(c->problems, i, const char *), text)) {
            return;
        }
    }
    APR_ARRAY_PUSH(c->problems, const char *) = text;
}

const json_t *cs_compare_table(cs_compare_t *c, const char *table, const char *pointer)
{
    const json_t *found = cs_json_get(c->tables, table);

    if (!found) {
        cs_compare_complain(c, pointer, "the table %s does not exist or cannot be read", table);
    }
    return found;
}

const json_t *cs_compare_column(cs_compare_t *c, const char *table, const char *column,
                                const char *pointer)
{
    const json_t *found = cs_compare_table(c, table, pointer), *out;

    if (!found) {
        return NULL;
    }
    out = cs_json_get(cs_json_get(found, "columns"), column);
    if (!out) {
        cs_compare_complain(c, pointer, "the table %s has no column %s", table, column);
    }
    return out;
}

/* The choices are texts and not numbers that stand for labels: what is written is what is read. */
static int has_text_choices(const json_t *column)
{
    return json_is_string(cs_json_get(json_array_get(cs_json_get(column, "options"), 0), "value"));
}

static const char *joined(const char *const *words, apr_pool_t *p)
{
    const char *out = *words;

    for (words++; *words; words++) {
        out = apr_pstrcat(p, out, ", ", *words, NULL);
    }
    return out;
}

void cs_compare_type(cs_compare_t *c, const json_t *column, const char *name,
                     const char *const *types, const char *pointer)
{
    const char *type = cs_json_str(column, "type");

    if (type && !cs_text_is_one_of(type, types) && has_text_choices(column)) {
        type = cs_text_is_one_of("text", types) ? "text" : type;
    }
    if (type && strcmp(type, "other") && !cs_text_is_one_of(type, types)) {
        cs_compare_complain(c, pointer, "the column %s is %s; allowed here: %s", name, type,
                            joined(types, c->p));
    }
}

void cs_compare_right(cs_compare_t *c, const json_t *column, const char *name, const char *right,
                      const char *what, const char *pointer)
{
    if (!cs_json_bool(column, right, 1)) {
        cs_compare_complain(c, pointer, "the column %s cannot be %s", name, what);
    }
}

const json_t *cs_compare_path(cs_compare_t *c, const char *table, const cs_column_t *column,
                              const char *pointer)
{
    static const char *const lookups[] = {"look-up", NULL};
    const json_t *found = cs_compare_column(c, table, column->name, pointer), *targets;

    if (!found || !column->of) {
        return found;
    }
    cs_compare_type(c, found, column->name, lookups, pointer);
    targets = cs_json_get(found, "targets");
    if (json_array_size(targets) == 1) {
        const char *target = json_string_value(json_array_get(targets, 0));

        /* The target is described when somebody asked for it. */
        return target && cs_json_get(c->tables, target)
                   ? cs_compare_column(c, target, column->of, pointer)
                   : NULL;
    }
    return NULL;
}

/* ---- choices ---- */

static int has_label(const json_t *option, const char *label)
{
    const json_t *labels = cs_json_get(option, "labels");
    const char *own = cs_json_str(option, "label");
    size_t i;

    if (own && !strcasecmp(own, label)) {
        return 1;
    }
    for (i = 0; i < json_array_size(labels); i++) {
        const char *other = json_string_value(json_array_get(labels, i));

        if (other && !strcasecmp(other, label)) {
            return 1;
        }
    }
    return 0;
}

static int has_choice(const json_t *options, const json_t *value, int label)
{
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i), *own = cs_json_get(option, "value");

        if (label
                ? json_is_string(value) && has_label(option, json_string_value(value))
                : json_equal(own, value) || (json_is_number(own) && json_is_number(value) &&
                                             json_number_value(own) == json_number_value(value))) {
            return 1;
        }
    }
    return 0;
}

static const char *all_choices(const json_t *options, int label, apr_pool_t *p)
{
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);
        const char *text = cs_json_str(option, "label"),
                   *value = cs_json_print(cs_json_get(option, "value"), p);

        out = apr_pstrcat(p, out, *out ? ", " : "", label && text ? text : value,
                          !label && text ? " " : "", !label && text ? text : "", NULL);
    }
    return out;
}

/* "a;b": each of them. */
static void want_choices(cs_compare_t *c, const json_t *column, const char *name, const char *text,
                         int label, const char *pointer)
{
    char *copy = apr_pstrdup(c->p, text), *last, *part;

    for (part = apr_strtok(copy, ";", &last); part; part = apr_strtok(NULL, ";", &last)) {
        cs_compare_choice(c, column, name, cs_json_own(json_string(part), c->p), label, pointer);
    }
}

void cs_compare_choice(cs_compare_t *c, const json_t *column, const char *name, const json_t *value,
                       int label, const char *pointer)
{
    const json_t *options = cs_json_get(column, "options");
    const char *type = cs_json_str(column, "type"), *text = json_string_value(value);

    if (json_is_boolean(value)) {
        return; /* a flag has both */
    }
    if (type && text && !strcmp(type, "choices") && strchr(text, ';')) {
        want_choices(c, column, name, text, label, pointer);
        return;
    }
    if (json_array_size(options) && !has_choice(options, value, label)) {
        cs_compare_complain(c, pointer, "the column %s has no choice %s; it has: %s", name,
                            cs_json_print(value, c->p), all_choices(options, label, c->p));
    }
}

void cs_compare_values(cs_compare_t *c, const json_t *column, const char *name,
                       const cs_values_t *values, const char *pointer)
{
    const char *key;
    json_t *value;

    if (!json_array_size(cs_json_get(column, "options"))) {
        if (values->by_label && column) {
            cs_compare_complain(c, pointer,
                                "the column %s has no choices, and \"%s\" names them by label",
                                name, values->name);
        }
        return;
    }
    json_object_foreach((json_t *)values->pairs, key, value) {
        if (strcmp(key, "$comment")) {
            cs_compare_choice(c, column, name, value, values->by_label, pointer);
        }
    }
    if (values->to_crm.what == CS_ELSE_VALUE) {
        cs_compare_choice(c, column, name, values->to_crm.value, values->by_label, pointer);
    }
}
/* ---- keys, record types ---- */

#define KEY_UNITS 36 /* of a UUID as text */

void cs_compare_key(cs_compare_t *c, const char *table, const char *column, const char *pointer)
{
    static const char *const texts[] = {"text", NULL};
    const json_t *facts, *keys;
    size_t i;

    if (!column) {
        return;
    }
    facts = cs_compare_column(c, table, column, pointer);
    keys = cs_json_get(cs_json_get(c->tables, table), "keys");
    cs_compare_type(c, facts, column, texts, pointer);
    if (cs_json_int(facts, "max", 0) > 0 && cs_json_int(facts, "max", 0) < KEY_UNITS) {
        cs_compare_complain(c, pointer,
                            "the column %s holds %d characters; allowed here: at least %d", column,
                            (int)cs_json_int(facts, "max", 0), KEY_UNITS);
    }
    for (i = 0; i < json_array_size(keys); i++) {
        const json_t *columns = cs_json_get(json_array_get(keys, i), "columns");
        const char *one = json_string_value(json_array_get(columns, 0));

        if (json_array_size(columns) == 1 && one && !strcmp(one, column)) {
            return;
        }
    }
    if (facts && keys) {
        cs_compare_complain(
            c, pointer,
            "the column %s of the table %s is no external id, and rows are made by it; make it "
            "one, and unique",
            column, table);
    }
}

void cs_compare_record_type(cs_compare_t *c, const cs_mapping_kind_t *kind, const char *name,
                            const char *pointer)
{
    const json_t *types = cs_json_get(cs_json_get(c->tables, kind->table), "record_types");
    const char *all = "";
    size_t i;

    for (i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));

        if (type && !strcmp(type, name)) {
            return;
        }
        all = apr_pstrcat(c->p, all, *all ? ", " : "", type ? type : "", NULL);
    }
    if (types) {
        cs_compare_complain(c, pointer, "the table %s has no record type \"%s\"; it has: %s",
                            kind->table, name, *all ? all : "none");
    }
}
