/* domain/mapping_apply.c: values read through a mapping, brought to the other side, and compared.
 *
 * Each side of a line has its own canonical form (domain/record.h); comparing means bringing one
 * over. Money is decimal text in its currency's scale, a date is a day in the line's zone, text has
 * LF line ends and no trailing blanks. Text is compared byte by byte and never changed otherwise.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/decimal.h"
#include "../base/time.h"
#include "mapping_internal.h"

#define SCALE_UNKNOWN                                                                              \
    4 /* an amount whose currency nobody knows keeps what a money column can hold */

/* ---- text ---- */

const char *cs_text_canonical(const char *text, apr_pool_t *p)
{
    char *out = apr_palloc(p, strlen(text) + 1), *to = out;

    for (; *text; text++) {
        if (*text == '\r') {
            *to++ = '\n';
            text += text[1] == '\n';
        }
        else {
            *to++ = *text;
        }
    }
    while (to > out && strchr(" \t\n", to[-1])) {
        to--;
    }
    *to = '\0';
    return *out ? out : NULL;
}

static int is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

int cs_text_units(const char *text)
{
    int units = 0;

    for (; *text; text++) {
        if (!is_continuation(*text)) {
            units += (unsigned char)*text >= 0xF0 ? 2 : 1;
        }
    }
    return units;
}

const char *cs_text_head(const char *text, int units, apr_pool_t *p)
{
    const char *end = text;

    while (*end) {
        units -= (unsigned char)*end >= 0xF0 ? 2 : 1;
        if (units < 0) {
            break;
        }
        for (end++; is_continuation(*end); end++) {
        }
    }
    return apr_pstrmemdup(p, text, (apr_size_t)(end - text));
}

static json_t *own(json_t *json, apr_pool_t *p)
{
    return cs_json_own(json, p);
}

/* Scalars as text; NULL for nothing and for objects and arrays. */
static const char *scalar_text(const json_t *json, apr_pool_t *p)
{
    if (json_is_string(json)) {
        return json_string_value(json);
    }
    if (json_is_number(json) || json_is_boolean(json)) {
        return cs_json_print(json, p);
    }
    return NULL;
}

static int is_empty(const json_t *json)
{
    return !json || json_is_null(json) || (json_is_string(json) && !*json_string_value(json));
}

/* ---- places ---- */

static json_t *select_item(json_t *array, const cs_pc_step_t *step)
{
    size_t i;
    json_t *item;

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
    json_t *at = (json_t *)doc;
    int i;

    for (i = 0; at && i < path->steps->nelts; i++) {
        const cs_pc_step_t *step = &APR_ARRAY_IDX(path->steps, i, cs_pc_step_t);

        at = cs_json_get(at, step->name);
        if (at && step->sel_name) {
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

static int scalars_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        return json_number_value(a) == json_number_value(b);
    }
    return json_equal(a, b);
}

/* What nobody set is not true. */
static int value_is(const json_t *value, const json_t *arg)
{
    return is_empty(value) ? json_is_false(arg) : scalars_equal(value, arg);
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
        out = is_empty(value) != json_is_true(cond->arg);
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

/* ---- reading: money ---- */

/* The amount in the currency's scale; what cannot be understood stays as it is, marked bad. */
static json_t *read_amount(cs_side_t *side, const json_t *amount, const char *currency,
                           apr_pool_t *p)
{
    const char *text = NULL;
    int scale = currency ? cs_currency_scale(currency) : SCALE_UNKNOWN;
    apr_status_t rv = cs_decimal_from_json(&text, amount, scale, p);

    if (rv == APR_SUCCESS) {
        return json_string(text);
    }
    side->bad = rv == CS_ELIMIT ? apr_psprintf(p, "%s has more than %d digits",
                                               cs_json_print(amount, p), CS_DECIMAL_DIGITS)
                                : apr_psprintf(p, "%s is no amount", cs_json_print(amount, p));
    return json_string(cs_json_print(amount, p));
}

static int currency_valid(const char *code)
{
    return strlen(code) == 3 && apr_isupper(code[0]) && apr_isupper(code[1]) &&
           apr_isupper(code[2]);
}

static void read_money(cs_side_t *side, const json_t *amount, const json_t *currency, apr_pool_t *p)
{
    const char *text = json_string_value(currency);
    char *code = text && *text ? apr_pstrdup(p, text) : NULL;
    json_t *money;
    char *c;

    for (c = code; c && *c; c++) {
        *c = (char)apr_toupper(*c);
    }
    money = own(json_object(), p);
    json_object_set_new(money, "amount",
                        is_empty(amount) ? json_null() : read_amount(side, amount, code, p));
    json_object_set_new(money, "currency", code ? json_string(code) : json_null());
    if (code && !currency_valid(code) && !side->bad) {
        side->bad = apr_psprintf(p, "\"%s\" is no currency code", code);
    }
    side->value = money;
}

int cs_money_is_half(const json_t *money)
{
    return json_is_object(money) && (json_is_null(cs_json_get(money, "amount")) ||
                                     json_is_null(cs_json_get(money, "currency")));
}

/* ---- reading: dates ---- */

static const char *day_of(const cs_line_t *line, const char *text, apr_pool_t *p)
{
    apr_time_t t;

    if (cs_time_parse(&t, text) != APR_SUCCESS) {
        return NULL;
    }
    /* A text without a time is a day already and passes through no zone. */
    return strlen(text) == 10 ? text : cs_time_format_date(t + apr_time_from_sec(line->zone), p);
}

static const char *instant_of(const cs_line_t *line, const char *day, apr_pool_t *p)
{
    apr_time_exp_t x;
    apr_time_t t;

    if (cs_time_parse(&t, day) != APR_SUCCESS) {
        return NULL;
    }
    apr_time_exp_gmt(&x, t + apr_time_from_sec(line->time - line->zone));
    return apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02dZ", x.tm_year + 1900, x.tm_mon + 1,
                        x.tm_mday, x.tm_hour, x.tm_min, x.tm_sec);
}

static void read_date(cs_side_t *side, const cs_line_t *line, const json_t *json, apr_pool_t *p)
{
    const char *text = json_string_value(json);
    const char *day = text ? day_of(line, text, p) : NULL;

    if (day) {
        side->value = own(json_string(day), p);
        return;
    }
    side->bad = apr_psprintf(p, "%s is no date", cs_json_print(json, p));
    side->value = own(json_deep_copy(json), p);
}

/* ---- reading: one value ---- */

static void read_text(cs_side_t *side, const json_t *json, apr_pool_t *p)
{
    const char *text = scalar_text(json, p);

    if (!text) {
        side->bad = apr_psprintf(p, "%s is no text", cs_json_print(json, p));
        side->value = own(json_deep_copy(json), p);
        return;
    }
    text = cs_text_canonical(text, p);
    side->value = text ? own(json_string(text), p) : json_null();
}

static void read_flag(cs_side_t *side, const json_t *json, apr_pool_t *p)
{
    if (!json_is_boolean(json)) {
        side->bad = apr_psprintf(p, "%s is neither true nor false", cs_json_print(json, p));
    }
    side->value = own(json_deep_copy(json), p);
}

static void read_one(cs_side_t *side, const cs_line_t *line, const json_t *json, apr_pool_t *p)
{
    if (is_empty(json)) {
        /* A flag nobody set is off. */
        side->value = line->type == CS_TYPE_FLAG ? json_false() : json_null();
        return;
    }
    switch (line->type) {
    case CS_TYPE_DATE:
        read_date(side, line, json, p);
        break;
    case CS_TYPE_FLAG:
        read_flag(side, json, p);
        break;
    case CS_TYPE_CHOICE:
        if (json_is_object(json) || json_is_array(json)) {
            side->bad = apr_psprintf(p, "%s is no choice", cs_json_print(json, p));
        }
        side->value = own(json_deep_copy(json), p);
        break;
    default:
        read_text(side, json, p);
        break;
    }
}

/* ---- reading: look-ups ---- */

static json_t *key_set(const apr_array_header_t *parts, const cs_line_t *line, const json_t *doc,
                       apr_pool_t *p)
{
    json_t *set = json_object();
    int i;

    for (i = 0; i < parts->nelts; i++) {
        const cs_find_part_t *part = &APR_ARRAY_IDX(parts, i, cs_find_part_t);
        const cs_pc_path_t *path = part->path ? part->path : line->pc;
        const char *text = path ? scalar_text(cs_path_get(path, doc), p) : NULL;

        text = text ? cs_text_canonical(text, p) : NULL;
        if (!text) {
            /* Half a key finds somebody else's row. */
            json_decref(set);
            return NULL;
        }
        json_object_set_new(set, part->column, json_string(text));
    }
    return set;
}

static json_t *key_sets(const cs_line_t *line, const json_t *doc, apr_pool_t *p)
{
    json_t *sets = json_array();
    int i;

    for (i = 0; i < line->find->by->nelts; i++) {
        json_t *set = key_set(APR_ARRAY_IDX(line->find->by, i, apr_array_header_t *), line, doc, p);

        if (set) {
            json_array_append_new(sets, set);
        }
    }
    return own(sets, p);
}

static void read_lookup_pc(cs_side_t *side, const cs_line_t *line, const json_t *doc, apr_pool_t *p)
{
    json_t *sets = key_sets(line, doc, p);

    side->value = json_array_size(sets) ? json_array_get(sets, 0) : json_null();
}

/* {"id", the columns of its keys}: the other columns of the target are its own business. */
static void read_lookup_crm(cs_side_t *side, const cs_line_t *line, const json_t *row,
                            apr_pool_t *p)
{
    const json_t *found = cs_column_get(line->crm, row);
    json_t *value;
    int i, j;

    if (!json_is_object(found)) {
        side->value = found ? json_null() : NULL;
        return;
    }
    value = own(json_object(), p);
    if (cs_json_get(found, "id")) {
        json_object_set_new(value, "id", json_deep_copy(cs_json_get(found, "id")));
    }
    for (i = 0; i < line->find->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(line->find->by, i, apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            const char *column = APR_ARRAY_IDX(set, j, cs_find_part_t).column;

            if (cs_json_get(found, column)) {
                json_object_set_new(value, column, json_deep_copy(cs_json_get(found, column)));
            }
        }
    }
    side->value = value;
}

void cs_line_read_pc(cs_side_t *side, const cs_line_t *line, const json_t *doc, apr_pool_t *p)
{
    memset(side, 0, sizeof(*side));
    if (!doc) {
        return;
    }
    if (line->to_crm.on && line->to_crm.constant) {
        side->value = own(json_deep_copy(line->to_crm.constant), p);
    }
    else if (line->type == CS_TYPE_MONEY) {
        const json_t *amount = cs_path_get(line->pc, doc),
                     *currency = cs_path_get(line->pc_currency, doc);

        if (is_empty(amount) && is_empty(currency)) {
            side->value = json_null();
        }
        else {
            read_money(side, amount, currency, p);
        }
    }
    else if (line->type == CS_TYPE_LOOKUP) {
        read_lookup_pc(side, line, doc, p);
    }
    else {
        read_one(side, line, line->pc ? cs_path_get(line->pc, doc) : NULL, p);
    }
}

static void read_money_crm(cs_side_t *side, const cs_line_t *line, const json_t *row, apr_pool_t *p)
{
    const json_t *amount = cs_column_get(line->crm, row),
                 *currency = cs_column_get(line->crm_currency, row);
    const char *key =
        APR_ARRAY_IDX(APR_ARRAY_IDX(line->find->by, 0, apr_array_header_t *), 0, cs_find_part_t)
            .column;

    if (!amount || !currency) {
        return;
    }
    if (is_empty(amount)) {
        /* A row always has a currency; without an amount it says nothing. */
        side->value = json_null();
        return;
    }
    if (json_is_object(currency)) {
        currency = cs_json_get(currency, key);
        if (!currency) {
            return;
        }
    }
    read_money(side, amount, currency, p);
}

void cs_line_read_crm(cs_side_t *side, const cs_line_t *line, const json_t *row, apr_pool_t *p)
{
    const json_t *value;

    memset(side, 0, sizeof(*side));
    if (line->to_pc.on && line->to_pc.constant) {
        side->value = own(json_deep_copy(line->to_pc.constant), p);
        return;
    }
    if (!row || !line->crm || !line->crm->text) {
        side->value = row ? json_null() : NULL;
        return;
    }
    if (line->type == CS_TYPE_MONEY) {
        read_money_crm(side, line, row, p);
        return;
    }
    if (line->type == CS_TYPE_LOOKUP) {
        read_lookup_crm(side, line, row, p);
        return;
    }
    value = cs_column_get(line->crm, row);
    if (value) {
        read_one(side, line, value, p);
    }
}

/* ---- bringing over ---- */

static void done(cs_conv_t *conv, json_t *value)
{
    conv->what = CS_CONV_OK;
    conv->value = value;
}

static void refuse(cs_conv_t *conv, cs_conv_e what, const char *why)
{
    conv->what = what;
    conv->why = why;
}

static void take_else(cs_conv_t *conv, const cs_values_t *values, const cs_else_t *other,
                      const json_t *value, apr_pool_t *p)
{
    const char *why = apr_psprintf(p, "%s has no counterpart in the values \"%s\"",
                                   cs_json_print(value, p), values->name);

    switch (other->what) {
    case CS_ELSE_VALUE:
        done(conv, own(json_deep_copy(other->value), p));
        break;
    case CS_ELSE_SKIP:
    case CS_ELSE_OMIT:
        refuse(conv, CS_CONV_SKIP, why);
        break;
    case CS_ELSE_HOLD:
        refuse(conv, CS_CONV_HOLD, why);
        break;
    default:
        refuse(conv, CS_CONV_REFUSE, why);
        break;
    }
}

static int is_listed(const json_t *list, const char *text)
{
    size_t i;

    for (i = 0; text && i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));

        if (item && !strcmp(item, text)) {
            return 1;
        }
    }
    return 0;
}

static void choice_to_crm(cs_conv_t *conv, const cs_values_t *values, const json_t *pc,
                          apr_pool_t *p)
{
    const char *text = scalar_text(pc, p);
    const json_t *found = text ? cs_json_get(values->pairs, text) : NULL;

    if (!text || is_listed(values->empty, text)) {
        done(conv, json_null());
    }
    else if (found && strcmp(text, "$comment")) {
        done(conv, own(json_deep_copy(found), p));
    }
    else {
        take_else(conv, values, &values->to_crm, pc, p);
    }
}

static void choice_to_pc(cs_conv_t *conv, const cs_values_t *values, const json_t *crm,
                         apr_pool_t *p)
{
    const char *key;
    json_t *value;

    if (is_empty(crm)) {
        done(conv, json_null());
        return;
    }
    json_object_foreach((json_t *)values->pairs, key, value) {
        if (strcmp(key, "$comment") && scalars_equal(value, crm)) {
            done(conv, own(json_string(key), p));
            return;
        }
    }
    take_else(conv, values, &values->to_pc, crm, p);
}

/* The default stands in for an empty source, in the target's own form. */
static int take_default(cs_conv_t *conv, const cs_way_t *way, const json_t *value, apr_pool_t *p)
{
    if (!way->dflt || !(is_empty(value) || json_is_false(value))) {
        return 0;
    }
    done(conv, own(json_deep_copy(way->dflt), p));
    return 1;
}

static void check_length(cs_conv_t *conv, const cs_way_t *way, apr_pool_t *p)
{
    const char *text = json_string_value(conv->value);

    if (conv->what == CS_CONV_OK && text && way->max && cs_text_units(text) > way->max) {
        refuse(conv, CS_CONV_REFUSE,
               apr_psprintf(p, "%d characters, and only %d fit", cs_text_units(text), way->max));
    }
}

void cs_line_to_crm(cs_conv_t *conv, const cs_line_t *line, const json_t *pc, apr_pool_t *p)
{
    memset(conv, 0, sizeof(*conv));
    if (!line->to_crm.constant && take_default(conv, &line->to_crm, pc, p)) {
        return;
    }
    if (line->type == CS_TYPE_CHOICE && line->values && !line->to_crm.constant) {
        choice_to_crm(conv, line->values, pc, p);
    }
    else {
        done(conv, own(json_deep_copy(pc), p));
    }
    check_length(conv, &line->to_crm, p);
}

void cs_line_to_pc(cs_conv_t *conv, const cs_line_t *line, const json_t *crm, apr_pool_t *p)
{
    memset(conv, 0, sizeof(*conv));
    if (!line->to_pc.constant && take_default(conv, &line->to_pc, crm, p)) {
        return;
    }
    if (line->type == CS_TYPE_CHOICE && line->values && !line->to_pc.constant) {
        choice_to_pc(conv, line->values, crm, p);
    }
    else {
        done(conv, own(json_deep_copy(crm), p));
    }
    check_length(conv, &line->to_pc, p);
}

/* ---- comparing ---- */

static int fold_equal(const json_t *a, const json_t *b)
{
    const char *s = json_string_value(a), *t = json_string_value(b);

    if (!s || !t) {
        return scalars_equal(a, b);
    }
    for (; apr_isspace(*s); s++) {
    }
    for (; apr_isspace(*t); t++) {
    }
    for (; *s && *t && apr_tolower(*s) == apr_tolower(*t); s++, t++) {
    }
    for (; apr_isspace(*s); s++) {
    }
    for (; apr_isspace(*t); t++) {
    }
    return !*s && !*t;
}

/* Every column of the key says the same in the row. */
static int key_matches(const json_t *key, const json_t *row)
{
    const char *name;
    json_t *value;

    if (!json_is_object(key) || !json_is_object(row)) {
        return 0;
    }
    json_object_foreach((json_t *)key, name, value) {
        if (strcmp(name, "id") && !fold_equal(value, cs_json_get(row, name))) {
            return 0;
        }
    }
    return 1;
}

int cs_line_same(const cs_line_t *line, const json_t *pc, const json_t *crm, apr_pool_t *ptemp)
{
    cs_conv_t conv;

    if (line->type == CS_TYPE_LOOKUP && !line->to_crm.constant) {
        return json_is_null(pc) ? json_is_null(crm) : key_matches(pc, crm);
    }
    if (line->to_crm.on) {
        cs_line_to_crm(&conv, line, pc, ptemp);
        if (conv.what == CS_CONV_OK && scalars_equal(conv.value, crm)) {
            return 1;
        }
    }
    if (!line->to_pc.on) {
        return 0;
    }
    cs_line_to_pc(&conv, line, crm, ptemp);
    return conv.what == CS_CONV_OK && scalars_equal(conv.value, pc);
}

int cs_line_unchanged(const cs_line_t *line, const json_t *before, const json_t *now)
{
    const char *a, *b;

    if (line->type == CS_TYPE_LOOKUP && json_is_object(before) && json_is_object(now)) {
        a = cs_json_str(before, "id");
        b = cs_json_str(now, "id");
        /* The same row renamed is the same look-up; an image from before the row's id was known has
         * only its key. */
        return a && b ? !strcasecmp(a, b)
               : a    ? 0
               : b    ? key_matches(before, now)
                      : json_equal(before, now);
    }
    return scalars_equal(before, now);
}

/* ---- writing ---- */

static json_t *created_row(const cs_line_t *line, const json_t *doc, apr_pool_t *p)
{
    json_t *row = json_object();
    int i;

    for (i = 0; i < line->find->create->nelts; i++) {
        const cs_find_part_t *part = &APR_ARRAY_IDX(line->find->create, i, cs_find_part_t);
        const cs_pc_path_t *path = part->path ? part->path : line->pc;
        const char *text = path ? scalar_text(cs_path_get(path, doc), p) : NULL;

        text = text ? cs_text_canonical(text, p) : NULL;
        if (text) {
            json_object_set_new(row, part->column, json_string(text));
        }
    }
    return row;
}

/* Self-contained, so that applying it needs no mapping. */
static json_t *lookup_wrapper(const cs_line_t *line, json_t *keys, const json_t *doc, int creating,
                              apr_pool_t *p)
{
    static const char *const nones[] = {"hold", "skip", "create"};
    const cs_find_t *find = line->find;
    /* Records are created only when the deal's record is created. (deals 2) */
    cs_none_e none = find->none == CS_NONE_CREATE && !creating ? CS_NONE_HOLD : find->none;
    json_t *inner = json_object();

    json_object_set_new(inner, "find", json_string(find->name));
    json_object_set_new(inner, "table", json_string(find->table));
    json_object_set_new(inner, "keys", keys);
    if (find->where) {
        json_t *where = json_deep_copy(find->where);

        json_object_del(where, "$comment");
        json_object_set_new(inner, "where", where);
    }
    json_object_set_new(inner, "several", json_string(find->several));
    json_object_set_new(inner, "none", json_string(nones[none]));
    if (none == CS_NONE_CREATE) {
        json_object_set_new(inner, "create", created_row(line, doc, p));
    }
    return json_pack("{s:o}", "$lookup", inner);
}

static json_t *number_wrapper(const char *decimal)
{
    return json_pack("{s:s}", "$number", decimal);
}

static void money_columns(json_t *row, const cs_line_t *line, const json_t *pc, const json_t *doc,
                          const json_t *now, apr_pool_t *p)
{
    const char *amount = cs_json_str(pc, "amount"), *currency = cs_json_str(pc, "currency");
    const char *theirs = cs_json_str(now, "currency");
    const char *key =
        APR_ARRAY_IDX(APR_ARRAY_IDX(line->find->by, 0, apr_array_header_t *), 0, cs_find_part_t)
            .column;

    if (!amount || !currency) {
        json_object_set_new(row, line->crm->name, json_null());
        return;
    }
    json_object_set_new(row, line->crm->name, number_wrapper(amount));
    if (!theirs || strcmp(theirs, currency)) {
        json_t *wrapper = lookup_wrapper(line, json_pack("[{s:s}]", key, currency), doc, !now, p);

        /* An unknown currency holds the pair and nothing else. */
        json_object_update_new(cs_json_get(wrapper, "$lookup"),
                               json_pack("{s:s,s:[s,s]}", "line", line->name, "columns",
                                         line->crm->name, line->crm_currency->name));
        json_object_set_new(row, line->crm_currency->name, wrapper);
    }
}

void cs_line_columns(json_t *row, const cs_line_t *line, const json_t *pc, const json_t *doc,
                     const json_t *now, apr_pool_t *p)
{
    cs_conv_t conv;

    if (line->type == CS_TYPE_MONEY && !line->to_crm.constant) {
        money_columns(row, line, pc, doc, now, p);
        return;
    }
    if (line->type == CS_TYPE_LOOKUP && !line->to_crm.constant) {
        json_t *keys = json_is_null(pc) ? NULL : key_sets(line, doc, p);

        json_object_set_new(row, line->crm->name,
                            keys ? lookup_wrapper(line, json_incref(keys), doc, !now, p)
                                 : json_null());
        return;
    }
    cs_line_to_crm(&conv, line, pc, p);
    if (conv.what == CS_CONV_OK) {
        json_object_set(row, line->crm->name, conv.value);
    }
}

static void add_operation(json_t *ops, const cs_pc_path_t *path, const json_t *doc, json_t *value)
{
    json_array_append_new(ops, json_pack("{s:s,s:s,s:o}", "op",
                                         cs_path_get(path, doc) ? "replace" : "add", "path",
                                         path->text, "value", value));
}

void cs_line_operations(json_t *ops, const cs_line_t *line, const json_t *crm, const json_t *doc,
                        apr_pool_t *p)
{
    cs_conv_t conv;

    if (line->type == CS_TYPE_MONEY && !line->to_pc.constant) {
        add_operation(ops, line->pc, doc, cs_decimal_to_json(cs_json_str(crm, "amount")));
        add_operation(ops, line->pc_currency, doc, json_string(cs_json_str(crm, "currency")));
        return;
    }
    if (line->type == CS_TYPE_LOOKUP && json_is_object(crm)) {
        const char *key =
            APR_ARRAY_IDX(APR_ARRAY_IDX(line->find->by, 0, apr_array_header_t *), 0, cs_find_part_t)
                .column;

        add_operation(ops, line->pc, doc, json_deep_copy(cs_json_get(crm, key)));
        return;
    }
    cs_line_to_pc(&conv, line, crm, p);
    if (conv.what != CS_CONV_OK) {
        return;
    }
    if (line->type == CS_TYPE_DATE && json_is_string(conv.value) &&
        strlen(json_string_value(conv.value)) == 10) {
        add_operation(ops, line->pc, doc,
                      json_string(instant_of(line, json_string_value(conv.value), p)));
    }
    else {
        add_operation(ops, line->pc, doc, json_deep_copy(conv.value));
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
                             currency ? cs_currency_scale(currency) : SCALE_UNKNOWN,
                             p) == APR_SUCCESS) {
        return number_wrapper(decimal);
    }
    if (text && len > 8 && !strcmp(path->bare + len - 8, "DateTime") &&
        cs_time_parse(&t, text) == APR_SUCCESS) {
        apr_time_exp_gmt(&x, t);
        return json_string(apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02dZ", x.tm_year + 1900,
                                        x.tm_mon + 1, x.tm_mday, x.tm_hour, x.tm_min, x.tm_sec));
    }
    return json_is_object(value) || json_is_array(value) ? NULL : json_deep_copy(value);
}

static json_t *looked_up(const cs_values_t *values, const json_t *value, apr_pool_t *p)
{
    const char *text = scalar_text(value, p), *colon = text ? strchr(text, ':') : NULL;
    json_t *code = text ? own(json_string(apr_pstrmemdup(
                                  p, text, colon ? (apr_size_t)(colon - text) : strlen(text))),
                              p)
                        : json_null();
    cs_conv_t conv;

    memset(&conv, 0, sizeof(conv));
    if (json_is_null(code) || is_listed(values->empty, json_string_value(code))) {
        /* Nothing said, and a close needs something: what `else` says. */
        take_else(&conv, values, &values->to_crm, code, p);
    }
    else {
        choice_to_crm(&conv, values, code, p);
    }
    return conv.what == CS_CONV_OK ? json_incref(conv.value) : NULL;
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
