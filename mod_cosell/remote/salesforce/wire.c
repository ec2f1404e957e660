#include "wire.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/decimal.h"
#include "../../base/json.h"
#include "../../base/time.h"

#define NAME_MAX_LEN 128
#define YOUNG apr_time_from_sec(2)

/* ---- names and ids ---- */

int cs_sf_name_valid(const char *name)
{
    apr_size_t n;

    if (!name || !apr_isalpha(*name)) {
        return 0;
    }
    for (n = 0; n <= NAME_MAX_LEN && name[n]; n++) {
        if (!apr_isascii(name[n]) || (!apr_isalnum(name[n]) && name[n] != '_')) {
            return 0;
        }
    }
    return n <= NAME_MAX_LEN;
}

/* One letter for five characters: a bit for each capital one. */
static char check_letter(const char *five)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    int i, bits = 0;

    for (i = 0; i < 5; i++) {
        bits |= (five[i] >= 'A' && five[i] <= 'Z') << i;
    }
    return letters[bits];
}

const char *cs_sf_id(const char *text, apr_pool_t *p)
{
    apr_size_t len = text ? strlen(text) : 0, i;
    char *out;

    if (len != 15 && len != 18) {
        return NULL;
    }
    for (i = 0; i < len; i++) {
        if (!apr_isascii(text[i]) || !apr_isalnum(text[i])) {
            return NULL;
        }
    }
    out = apr_palloc(p, 19);
    memcpy(out, text, 15);
    for (i = 0; i < 3; i++) {
        out[15 + i] = check_letter(text + 5 * i);
    }
    out[18] = '\0';
    return len == 15 || !strcmp(out, text) ? out : NULL;
}

/* ---- values ---- */

/* Digits and marks exactly as "2026-03-31T12:00:00.000+0000", or with Z. */
static int looks_instant(const char *text)
{
    static const char form[] = "0000-00-00T00:00:00";
    apr_size_t i;

    for (i = 0; form[i]; i++) {
        if (form[i] == '0' ? !apr_isdigit(text[i]) : text[i] != form[i]) {
            return 0;
        }
    }
    text += i;
    if (*text == '.') {
        i = strspn(text + 1, "0123456789");
        text += i ? i + 1 : 0;
    }
    return !strcmp(text, "Z") || !strcmp(text, "+0000") || !strcmp(text, "+00:00");
}

const char *cs_sf_instant(const char *text, apr_pool_t *p)
{
    const char *fraction;
    apr_size_t len;

    if (!text || strlen(text) > 40 || !looks_instant(text)) {
        return NULL;
    }
    fraction = text + 19;
    len = *fraction == '.' ? 1 + strspn(fraction + 1, "0123456789") : 0;
    /* A fraction of nothing is none. */
    while (len > 0 && (fraction[len - 1] == '0' || fraction[len - 1] == '.')) {
        len--;
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, text, 19 + len), "Z", NULL);
}

/* Texts come with CRLF. */
static const char *line_ends(const char *text, apr_pool_t *p)
{
    char *out, *to;

    if (!strchr(text, '\r')) {
        return text;
    }
    out = to = apr_palloc(p, strlen(text) + 1);
    for (; *text; text++) {
        if (*text != '\r') {
            *to++ = *text;
        }
        else if (text[1] != '\n') {
            *to++ = '\n';
        }
    }
    *to = '\0';
    return out;
}

/* New reference; NULL for what is no value of a column. */
static json_t *plain_value(const json_t *value, apr_pool_t *p)
{
    const char *text = json_string_value(value), *instant;

    if (text) {
        instant = cs_sf_instant(text, p);
        return json_string(instant ? instant : line_ends(text, p));
    }
    return json_is_object(value) || json_is_array(value) ? NULL : json_incref((json_t *)value);
}

static int is_told_lookup(const char *column, const apr_array_header_t *lookups)
{
    int i;

    for (i = 0; lookups && i < lookups->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(lookups, i, cs_crm_lookup_t).column, column)) {
            return 1;
        }
    }
    return 0;
}

/* "AccountId" says what it is. */
static int is_named_lookup(const char *column)
{
    apr_size_t len = strlen(column);

    return len > 2 && !strcmp(column + len - 2, "Id");
}

/* {"id": ...}, null, or NULL when the answer does not show it. New reference. */
static json_t *lookup_value(const json_t *row, const char *column, apr_pool_t *p)
{
    const json_t *value = cs_json_get(row, column);
    const char *id = cs_sf_id(json_string_value(value), p);

    if (json_is_null(value)) {
        return json_null();
    }
    return id ? json_pack("{s:s}", "id", id) : NULL;
}

/* 0 open, 1 won or converted, 2 lost; NULL where the row has no state. */
static json_t *state_value(const json_t *row)
{
    const json_t *closed = cs_json_get(row, "IsClosed"), *won = cs_json_get(row, "IsWon"),
                 *converted = cs_json_get(row, "IsConverted");

    if (json_is_boolean(converted)) {
        return json_integer(json_is_true(converted));
    }
    if (!json_is_boolean(closed) || (json_is_true(closed) && !json_is_boolean(won))) {
        return NULL;
    }
    return json_integer(json_is_false(closed) ? 0 : json_is_true(won) ? 1 : 2);
}

static json_t *value_of(const json_t *row, const char *column, const apr_array_header_t *lookups,
                        apr_pool_t *p)
{
    const json_t *value = cs_json_get(row, column);
    const char *id;
    json_t *lookup;

    if (!strcmp(column, CS_SF_STATE)) {
        return state_value(row);
    }
    if (!strcmp(column, "Id")) {
        id = cs_sf_id(json_string_value(value), p);
        return id ? json_string(id) : NULL;
    }
    if (is_told_lookup(column, lookups)) {
        return lookup_value(row, column, p);
    }
    if (is_named_lookup(column) && json_is_string(value) &&
        (lookup = lookup_value(row, column, p)) != NULL) {
        return lookup;
    }
    return value ? plain_value(value, p) : NULL;
}

/* ---- rows ---- */

static void read_plain(json_t *out, const json_t *row, const char *column,
                       const apr_array_header_t *lookups, apr_pool_t *p)
{
    json_t *value = json_object_get(out, column) ? NULL : value_of(row, column, lookups, p);

    if (value) {
        json_object_set_new(out, column, value);
    }
}

static void read_path(json_t *out, const json_t *row, const char *path, const char *slash,
                      apr_pool_t *p)
{
    const char *base = apr_pstrmemdup(p, path, (apr_size_t)(slash - path));
    const char *relation = cs_sf_relation(base, p);
    const json_t *there = relation ? cs_json_get(row, relation) : NULL;
    json_t *into = json_object_get(out, base), *value;

    if (!json_is_object(into)) {
        into = lookup_value(row, base, p);
        if (!into) {
            return;
        }
        json_object_set_new(out, base, into);
    }
    if (json_is_object(into) && json_is_object(there)) {
        value = value_of(there, slash + 1, NULL, p);
        if (value) {
            json_object_set_new(into, slash + 1, value);
        }
    }
}

static int read_time(apr_time_t *pt, const char **ptext, const json_t *row, const char *column,
                     apr_pool_t *p)
{
    *ptext = cs_sf_instant(cs_json_str(row, column), p);
    return *ptext && cs_time_parse(pt, *ptext) == APR_SUCCESS;
}

const char *cs_sf_version(const json_t *row, apr_time_t answered, int *pyoung,
                          apr_time_t *pmodified, apr_pool_t *p)
{
    const char *stamp, *modified, *version;
    apr_time_t at, edited;

    *pyoung = 0;
    *pmodified = 0;
    if (!read_time(&at, &stamp, row, "SystemModstamp", p)) {
        return NULL;
    }
    if (!read_time(&edited, &modified, row, "LastModifiedDate", p)) {
        edited = at;
        modified = stamp;
    }
    *pmodified = edited;
    version = apr_pstrcat(p, stamp, "/", modified, NULL);
    if (answered - at < YOUNG) {
        *pyoung = 1;
        version = apr_pstrcat(p, version, "~", apr_pstrmemdup(p, cs_uuid4(p), 8), NULL);
    }
    return version;
}

/* Both times were read together, so that whatever comes later is later than both. Which of them the
 * condition is compared with is not documented; the later one holds for either. A fraction is
 * rounded up: nothing can have happened in the rest of that second, for the row was not young. */
const char *cs_sf_guard(const char *version, apr_pool_t *p)
{
    const char *slash = version ? strchr(version, '/') : NULL, *end;
    char *date = apr_palloc(p, APR_RFC822_DATE_LEN);
    apr_time_t one, two;

    if (!slash) {
        return NULL;
    }
    end = slash + strcspn(slash, "~");
    if (cs_time_parse(&one, apr_pstrmemdup(p, version, (apr_size_t)(slash - version))) !=
            APR_SUCCESS ||
        cs_time_parse(&two, apr_pstrmemdup(p, slash + 1, (apr_size_t)(end - slash - 1))) !=
            APR_SUCCESS) {
        return NULL;
    }
    one = one > two ? one : two;
    one = (one + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC * APR_USEC_PER_SEC;
    return apr_rfc822_date(date, one) == APR_SUCCESS ? date : NULL;
}

cs_record_t *cs_sf_record(const json_t *row, const char *table, const apr_array_header_t *columns,
                          const apr_array_header_t *lookups, apr_time_t answered, apr_pool_t *p)
{
    const char *id = cs_sf_id(cs_json_str(row, "Id"), p), *version, *column, *slash;
    cs_record_t *record;
    apr_time_t modified;
    int i, young;

    version = cs_sf_version(row, answered, &young, &modified, p);
    if (!id || !version) {
        return NULL;
    }
    record = apr_pcalloc(p, sizeof(*record));
    record->table = apr_pstrdup(p, table);
    record->id = id;
    record->version = version;
    record->modified = modified;
    record->young = young;
    record->row = cs_json_own(json_object(), p);
    for (i = 0; columns && i < columns->nelts; i++) {
        column = APR_ARRAY_IDX(columns, i, const char *);
        slash = strchr(column, '/');
        if (slash) {
            read_path(record->row, row, column, slash, p);
        }
        else {
            read_plain(record->row, row, column, lookups, p);
        }
    }
    return record;
}

/* ---- writing ---- */

static apr_status_t value_text(const char **ptext, const char *column, const json_t *value,
                               apr_pool_t *p, cs_result_t *res)
{
    const json_t *ref = cs_json_only(value, "$ref"), *number = cs_json_only(value, "$number");
    const char *id;

    if (ref) {
        id = cs_sf_id(cs_json_str(ref, "id"), p);
        if (!id) {
            return cs_sf_refuse(res, p, column,
                                "the look-up's target needs an id of 15 or 18 characters");
        }
        *ptext = apr_pstrcat(p, "\"", id, "\"", NULL);
        return APR_SUCCESS;
    }
    if (number) {
        *ptext = json_string_value(number);
        return cs_decimal_is_plain(*ptext)
                   ? APR_SUCCESS
                   : cs_sf_refuse(res, p, column, "a $number is decimal text");
    }
    if (json_is_object(value) || json_is_array(value)) {
        return cs_sf_refuse(res, p, column,
                            "a value is text, a number, true, false, null, $number or $ref");
    }
    *ptext = cs_json_print(value, p);
    return APR_SUCCESS;
}

apr_status_t cs_sf_body(const char **pbody, const json_t *row, const json_t *key, apr_pool_t *p,
                        cs_result_t *res)
{
    apr_array_header_t *parts = apr_array_make(p, 16, sizeof(const char *));
    const char *column, *text = NULL;
    apr_status_t rv;
    json_t *value;

    *pbody = NULL;
    json_object_foreach((json_t *)row, column, value) {
        if (!cs_sf_name_valid(column)) {
            return cs_sf_refuse(res, p, column,
                                "a column name has letters, digits and underscores only");
        }
        if (!strcmp(column, "Id") || cs_json_get(key, column)) {
            continue;
        }
        rv = value_text(&text, column, value, p, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        APR_ARRAY_PUSH(parts, const char *) = apr_pstrcat(p, "\"", column, "\":", text, NULL);
    }
    *pbody = apr_pstrcat(p, "{", apr_array_pstrcat(p, parts, ','), "}", NULL);
    return APR_SUCCESS;
}
