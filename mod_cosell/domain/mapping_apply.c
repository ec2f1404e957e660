/* domain/mapping_apply.c: places in a referral and in a row, conditions, tables of columns to set.
 *
 * What happens to one line is in line_read.c and line_write.c, rows that are looked for and words
 * of the CRM's metadata in lookup.c.
 */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/decimal.h"
#include "../base/time.h"
#include "reconcile_internal.h"

/* ---- scalars ---- */

const char *cs_scalar_text(const json_t *json, apr_pool_t *p)
{
    if (json_is_string(json)) {
        return json_string_value(json);
    }
    if (json_is_number(json) || json_is_boolean(json)) {
        return cs_json_print(json, p);
    }
    return NULL;
}

int cs_value_empty(const json_t *json)
{
    return !json || json_is_null(json) || (json_is_string(json) && !*json_string_value(json));
}

int cs_value_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        return json_number_value(a) == json_number_value(b);
    }
    return json_equal(a, b);
}

/* ---- places ---- */

/* Whatever a referral itself may call CS_DOC_MICROSOFT is not Microsoft's card. */
json_t *cs_doc_of_look(const cs_look_t *look, apr_pool_t *p)
{
    const json_t *microsoft = look->microsoft ? look->microsoft->doc : NULL;
    json_t *doc = look->own ? look->own->doc : NULL;

    if (!doc || (!microsoft && !json_object_get(doc, CS_DOC_MICROSOFT))) {
        return doc;
    }
    doc = cs_json_own(json_copy(doc), p);
    json_object_del(doc, CS_DOC_MICROSOFT);
    if (microsoft) {
        json_object_set(doc, CS_DOC_MICROSOFT, (json_t *)microsoft);
    }
    return doc;
}

static json_t *root_of(const cs_pc_path_t *path, const json_t *doc)
{
    json_t *microsoft;

    if (path->root == CS_ROOT_OWN) {
        return (json_t *)doc;
    }
    microsoft = cs_json_get(doc, CS_DOC_MICROSOFT);
    return microsoft || path->root == CS_ROOT_MICROSOFT ? microsoft : (json_t *)doc;
}

static json_t *select_item(json_t *array, const cs_pc_step_t *step)
{
    size_t i;
    json_t *item;

    if (step->first) {
        return json_array_get(array, 0);
    }
    json_array_foreach(array, i, item) {
        const char *text = cs_json_str(item, step->sel_name);

        if (text && !strcasecmp(text, step->sel_value)) {
            return item;
        }
    }
    return NULL;
}

json_t *cs_path_get(const cs_pc_path_t *path, const json_t *doc)
{
    json_t *at = root_of(path, doc);
    int i;

    for (i = 0; at && i < path->steps->nelts; i++) {
        const cs_pc_step_t *step = &APR_ARRAY_IDX(path->steps, i, cs_pc_step_t);

        at = cs_json_get(at, step->name);
        if (at && (step->sel_name || step->first)) {
            at = select_item(at, step);
        }
    }
    return json_is_null(at) ? NULL : at;
}

json_t *cs_column_get(const cs_column_t *column, const json_t *row)
{
    json_t *value;

    if (!row || !column->text) {
        return json_null();
    }
    value = cs_json_get(row, column->name);
    if (!value || !column->of || json_is_null(value)) {
        return value;
    }
    return cs_json_get(value, column->of);
}

/* ---- conditions ---- */

/* What nobody set is not true. */
static int value_is(const json_t *value, const json_t *arg)
{
    return cs_value_empty(value) ? json_is_false(arg) : cs_value_equal(value, arg);
}

static int value_in(const json_t *value, const json_t *list)
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        if (value_is(value, json_array_get(list, i))) {
            return 1;
        }
    }
    return 0;
}

static int holds_leaf(const cs_cond_t *cond, const cs_cond_world_t *w)
{
    json_t *value = NULL, *made = NULL;
    int out;

    if (cond->crm) {
        value = cs_column_get(cond->crm, w->row);
        if (!value) {
            return -1;
        }
    }
    else if (cond->kind) {
        value = made = json_string(w->kind);
    }
    else if (cond->pc) {
        value = cs_path_get(cond->pc, w->doc);
    }
    switch (cond->op) {
    case CS_COND_IS:
        out = value_is(value, cond->arg);
        break;
    case CS_COND_IN:
        out = value_in(value, cond->arg);
        break;
    default:
        out = cs_value_empty(value) != json_is_true(cond->arg);
        break;
    }
    json_decref(made);
    return out;
}

static int holds_group(const cs_cond_t *cond, const cs_cond_world_t *w)
{
    int decisive = cond->op == CS_COND_ANY, unknown = 0, i;

    for (i = 0; i < cond->items->nelts; i++) {
        int one = cs_cond_holds(APR_ARRAY_IDX(cond->items, i, const cs_cond_t *), w);

        if (one == decisive) {
            return decisive;
        }
        unknown |= one < 0;
    }
    return unknown ? -1 : !decisive;
}

int cs_cond_holds(const cs_cond_t *cond, const cs_cond_world_t *w)
{
    int one;

    if (!cond) {
        return 1;
    }
    switch (cond->op) {
    case CS_COND_TRUE:
        return 1;
    case CS_COND_FALSE:
        return 0;
    case CS_COND_ALL:
    case CS_COND_ANY:
        return holds_group(cond, w);
    case CS_COND_NOT:
        one = cs_cond_holds(APR_ARRAY_IDX(cond->items, 0, const cs_cond_t *), w);
        return one < 0 ? -1 : !one;
    default:
        return holds_leaf(cond, w);
    }
}

/* ---- sets ---- */

/* A value of the referral as a CRM takes it: amounts digit by digit, instants in whole seconds. */
static json_t *taken(const cs_pc_path_t *path, const json_t *value, const json_t *doc,
                     apr_pool_t *p)
{
    const char *text = json_string_value(value), *decimal;
    const char *currency = cs_json_str(cs_json_get(doc, "details"), "currency");
    size_t len = strlen(path->bare);
    apr_time_t t;
    apr_time_exp_t x;

    if (json_is_number(value) &&
        cs_decimal_from_json(&decimal, value,
                             currency ? cs_currency_scale(currency) : CS_SCALE_UNKNOWN,
                             p) == APR_SUCCESS) {
        return json_pack("{s:s}", "$number", decimal);
    }
    if (text && len > 8 && !strcmp(path->bare + len - 8, "DateTime") &&
        cs_time_parse(&t, text) == APR_SUCCESS) {
        apr_time_exp_gmt(&x, t);
        return json_string(apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02dZ", x.tm_year + 1900,
                                        x.tm_mon + 1, x.tm_mday, x.tm_hour, x.tm_min, x.tm_sec));
    }
    return json_is_object(value) || json_is_array(value) ? NULL : json_deep_copy(value);
}

/* The text up to the first ':', for a reason is "Code:free text". */
static json_t *looked_up(const cs_values_t *values, const json_t *value, apr_pool_t *p)
{
    const char *text = cs_scalar_text(value, p);
    json_t *code = text ? cs_json_own(json_stringn(text, strcspn(text, ":")), p) : json_null();
    cs_conv_t conv;

    cs_values_to_crm(&conv, values, code, p);
    if (conv.what == CS_CONV_OK && json_is_null(conv.value)) {
        /* Nothing said, and a close needs something: what `else` says. */
        cs_values_else(&conv, values, &values->to_crm, code, p);
    }
    if (conv.what != CS_CONV_OK) {
        return NULL;
    }
    /* Whose column it is for, and so which choice the label names, is known to the planner. */
    return values->by_label && json_is_string(conv.value)
               ? json_pack("{s:O}", "$choice", conv.value)
               : json_incref(conv.value);
}

void cs_set_apply(json_t *row, const apr_array_header_t *set, const json_t *doc, apr_pool_t *p)
{
    int i;

    for (i = 0; i < set->nelts; i++) {
        const cs_set_t *s = &APR_ARRAY_IDX(set, i, cs_set_t);
        const json_t *value = s->path ? cs_path_get(s->path, doc) : s->constant;
        json_t *out = NULL;

        if (s->values) {
            out = looked_up(s->values, value, p);
        }
        else if (s->path) {
            out = value ? taken(s->path, value, doc, p) : NULL;
        }
        else {
            out = json_deep_copy(value);
        }
        if (out) {
            json_object_set_new(row, s->column, out);
        }
    }
}
