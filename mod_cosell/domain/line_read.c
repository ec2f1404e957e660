/* domain/line_read.c: a line's two values as each side shows them, in canonical form.
 *
 * Each side has its own canonical form (domain/record.h): money is decimal text in its currency's
 * scale, a date is a day in the line's zone, a country its code, text has LF line ends and no
 * trailing blanks. Text is compared byte by byte and never changed otherwise.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/decimal.h"
#include "../base/time.h"
#include "country.h"
#include "mapping_internal.h"

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

/* ---- reading: money ---- */

/* The amount in the currency's scale; what cannot be understood stays as it is, marked bad. */
static json_t *read_amount(cs_side_t *side, const json_t *amount, const char *currency,
                           apr_pool_t *p)
{
    const char *text = NULL;
    int scale = currency ? cs_currency_scale(currency) : CS_SCALE_UNKNOWN;
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
    money = cs_json_own(json_object(), p);
    json_object_set_new(money, "amount",
                        cs_value_empty(amount) ? json_null() : read_amount(side, amount, code, p));
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

static void read_date(cs_side_t *side, const cs_line_t *line, const json_t *json, apr_pool_t *p)
{
    const char *text = json_string_value(json);
    const char *day = text ? day_of(line, text, p) : NULL;

    if (day) {
        side->value = cs_json_own(json_string(day), p);
        return;
    }
    side->bad = apr_psprintf(p, "%s is no date", cs_json_print(json, p));
    side->value = cs_json_own(json_deep_copy(json), p);
}

/* ---- reading: one value ---- */

static void read_text(cs_side_t *side, const json_t *json, apr_pool_t *p)
{
    const char *text = cs_scalar_text(json, p);

    if (!text) {
        side->bad = apr_psprintf(p, "%s is no text", cs_json_print(json, p));
        side->value = cs_json_own(json_deep_copy(json), p);
        return;
    }
    text = cs_text_canonical(text, p);
    side->value = text ? cs_json_own(json_string(text), p) : json_null();
}

static void read_flag(cs_side_t *side, const json_t *json, apr_pool_t *p)
{
    if (!json_is_boolean(json)) {
        side->bad = apr_psprintf(p, "%s is neither true nor false", cs_json_print(json, p));
    }
    side->value = cs_json_own(json_deep_copy(json), p);
}

/* What names no country is still good for seeing that it moved. */
static void read_country(cs_side_t *side, const json_t *json, apr_pool_t *p)
{
    const char *text, *code;

    read_text(side, json, p);
    text = json_string_value(side->value);
    code = text ? cs_country_code(text) : NULL;
    if (code) {
        side->value = cs_json_own(json_string(code), p);
    }
    else if (text && !side->bad) {
        side->bad = apr_psprintf(p, "\"%s\" is no country", text);
    }
}

static void read_one(cs_side_t *side, const cs_line_t *line, const json_t *json, apr_pool_t *p)
{
    if (cs_value_empty(json)) {
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
    case CS_TYPE_COUNTRY:
        read_country(side, json, p);
        break;
    case CS_TYPE_CHOICE:
        if (json_is_object(json) || json_is_array(json)) {
            side->bad = apr_psprintf(p, "%s is no choice", cs_json_print(json, p));
        }
        side->value = cs_json_own(json_deep_copy(json), p);
        break;
    default:
        if (line->to_crm.constant && !json_is_string(line->to_crm.constant) &&
            (json_is_number(json) || json_is_boolean(json))) {
            side->value = cs_json_own(json_deep_copy(json), p); /* as the constant is compared */
        }
        else {
            read_text(side, json, p);
        }
        break;
    }
}

/* ---- reading: columns ---- */

/* A column that the caller may not read is shown as empty by some CRMs. */
static const json_t *read_column(const cs_column_t *column, const cs_table_t *table,
                                 const json_t *row)
{
    const json_t *value = cs_column_get(column, row);

    return cs_value_empty(value) && cs_json_bool(cs_column_facts(table, column), "read", 1) == 0
               ? NULL
               : value;
}

/* The first column that says something. */
static const json_t *read_first(const cs_line_t *line, const cs_table_t *table, const json_t *row)
{
    const json_t *value = read_column(line->crm, table, row);
    int i;

    for (i = 0; line->crm_more && value && cs_value_empty(value) && i < line->crm_more->nelts;
         i++) {
        value = read_column(APR_ARRAY_IDX(line->crm_more, i, const cs_column_t *), table, row);
    }
    return value;
}

/* ---- reading: look-ups ---- */

static void read_lookup_pc(cs_side_t *side, const cs_line_t *line, const json_t *doc, apr_pool_t *p)
{
    const char *text = line->pc ? cs_scalar_text(cs_path_get(line->pc, doc), p) : NULL;
    json_t *keys = cs_find_keys(line->find, doc, NULL, text, p);

    side->value = json_array_size(keys) ? json_array_get(keys, 0) : json_null();
}

/* {"id", the columns of its keys}: the other columns of the target are its own business. */
static void read_lookup_crm(cs_side_t *side, const cs_line_t *line, const cs_table_t *table,
                            const json_t *row, apr_pool_t *p)
{
    const json_t *found = read_column(line->crm, table, row);
    json_t *value;
    int i, j;

    if (!json_is_object(found)) {
        side->value = found ? json_null() : NULL;
        return;
    }
    value = cs_json_own(json_object(), p);
    if (cs_json_get(found, "id")) {
        json_object_set_new(value, "id", json_deep_copy(cs_json_get(found, "id")));
    }
    for (i = 0; i < line->find->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(line->find->by, i, apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            const cs_find_part_t *part = &APR_ARRAY_IDX(set, j, cs_find_part_t);
            const char *column = part->column;

            if (!part->found && cs_json_get(found, column)) {
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
        side->value = cs_json_own(json_deep_copy(line->to_crm.constant), p);
    }
    else if (line->type == CS_TYPE_MONEY) {
        const json_t *amount = cs_path_get(line->pc, doc),
                     *currency = cs_path_get(line->pc_currency, doc);

        if (cs_value_empty(amount) && cs_value_empty(currency)) {
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

static void read_money_crm(cs_side_t *side, const cs_line_t *line, const cs_table_t *table,
                           const json_t *row, apr_pool_t *p)
{
    const json_t *amount = read_column(line->crm, table, row),
                 *currency = line->currency ? cs_json_own(json_string(line->currency), p)
                                            : read_column(line->crm_currency, table, row);
    const char *key = cs_find_own_key(line->find);

    if (!amount || !currency) {
        return;
    }
    if (cs_value_empty(amount)) {
        /* A row always has a currency; without an amount it says nothing. */
        side->value = json_null();
        return;
    }
    if (key && json_is_object(currency)) {
        currency = cs_json_get(currency, key);
        if (!currency) {
            return;
        }
    }
    read_money(side, amount, currency, p);
}

void cs_line_read_crm(cs_side_t *side, const cs_line_t *line, const cs_table_t *table,
                      const json_t *row, apr_pool_t *p)
{
    const json_t *value;

    memset(side, 0, sizeof(*side));
    if (line->to_pc.on && line->to_pc.constant && !line->to_crm.on) {
        side->value = cs_json_own(json_deep_copy(line->to_pc.constant), p);
        return;
    }
    if (!row || !line->crm || !line->crm->text) {
        side->value = row ? json_null() : NULL;
        return;
    }
    if (line->type == CS_TYPE_MONEY) {
        read_money_crm(side, line, table, row, p);
        return;
    }
    if (line->type == CS_TYPE_LOOKUP) {
        read_lookup_crm(side, line, table, row, p);
        return;
    }
    value = read_first(line, table, row);
    if (value) {
        read_one(side, line, cs_facts_value(cs_column_facts(table, line->crm), value, p), p);
    }
}
