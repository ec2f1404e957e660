/* What enters a query. (crm-apis.md B6) */
#include "wire.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/decimal.h"
#include "../../base/json.h"
#include "../../base/text.h"

apr_status_t cs_sf_refuse(cs_result_t *res, apr_pool_t *p, const char *column, const char *why)
{
    return cs_result_set(res, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:column",
                         "column \"%.128s\": %s", column, why);
}

/* ---- text ---- */

static const char *escape_of(char c)
{
    switch (c) {
    case '\'':
        return "\\'";
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        return NULL;
    }
}

static const char *quote(const char *text, apr_size_t len, apr_pool_t *p)
{
    char *out = apr_palloc(p, len * 2 + 3), *to = out;
    const char *escape;
    apr_size_t i;

    *to++ = '\'';
    for (i = 0; i < len; i++) {
        escape = escape_of(text[i]);
        if (escape) {
            *to++ = escape[0];
            *to++ = escape[1];
        }
        else {
            *to++ = text[i];
        }
    }
    *to++ = '\'';
    *to = '\0';
    return out;
}

const char *cs_sf_quote(const char *text, apr_pool_t *p)
{
    return quote(text, strlen(text), p);
}

/* ---- fields ---- */

const char *cs_sf_relation(const char *column, apr_pool_t *p)
{
    apr_size_t len = strlen(column);

    if (len > 3 && !strcmp(column + len - 3, "__c")) {
        return apr_pstrcat(p, apr_pstrmemdup(p, column, len - 1), "r", NULL);
    }
    return len > 2 && !strcmp(column + len - 2, "Id") ? apr_pstrmemdup(p, column, len - 2) : NULL;
}

/* What the state is made of. */
static void add_state(apr_array_header_t *fields, const char *table)
{
    if (!strcmp(table, "Lead")) {
        cs_text_add_once(fields, "IsConverted");
    }
    else if (!strcmp(table, "Opportunity")) {
        cs_text_add_once(fields, "IsClosed");
        cs_text_add_once(fields, "IsWon");
    }
}

/* "AccountId/Name" as "Account.Name"; NULL when it is no path. */
static const char *path_field(const char *path, const char *slash, const char **pbase,
                              apr_pool_t *p)
{
    const char *relation;

    *pbase = apr_pstrmemdup(p, path, (apr_size_t)(slash - path));
    relation = cs_sf_relation(*pbase, p);
    if (!relation || !cs_sf_name_valid(*pbase) || !cs_sf_name_valid(slash + 1)) {
        return NULL;
    }
    return apr_pstrcat(p, relation, ".", slash + 1, NULL);
}

static apr_status_t add_path(apr_array_header_t *fields, const char *path, const char *slash,
                             apr_pool_t *p, cs_result_t *res)
{
    const char *base, *field = path_field(path, slash, &base, p);

    if (!field) {
        return cs_sf_refuse(res, p, path,
                            "a path is a look-up, a slash and a column of its target");
    }
    cs_text_add_once(fields, base);
    cs_text_add_once(fields, field);
    return APR_SUCCESS;
}

apr_status_t cs_sf_fields(apr_array_header_t *fields, const char *table,
                          const apr_array_header_t *columns, apr_pool_t *p, cs_result_t *res)
{
    const char *column, *slash;
    apr_status_t rv;
    int i;

    cs_text_add_once(fields, "Id");
    cs_text_add_once(fields, "LastModifiedDate");
    cs_text_add_once(fields, "SystemModstamp");
    for (i = 0; columns && i < columns->nelts; i++) {
        column = APR_ARRAY_IDX(columns, i, const char *);
        slash = strchr(column, '/');
        if (!strcmp(column, CS_SF_STATE)) {
            add_state(fields, table);
        }
        else if (slash) {
            rv = add_path(fields, column, slash, p, res);
            if (rv != APR_SUCCESS) {
                return rv;
            }
        }
        else if (!cs_sf_name_valid(column)) {
            return cs_sf_refuse(res, p, column,
                                "a column name has letters, digits and underscores only");
        }
        else {
            cs_text_add_once(fields, column);
        }
    }
    return APR_SUCCESS;
}

/* ---- conditions ---- */

/* The value as it stands in a query; *ptext NULL = it is empty. 0 = it is none. */
static int literal_of(const char **ptext, const json_t *value, apr_pool_t *p)
{
    const json_t *ref = cs_json_only(value, "$ref"), *number = cs_json_only(value, "$number");
    const char *text = json_string_value(value), *id;
    apr_size_t len;

    *ptext = NULL;
    if (text) {
        text = cs_text_trim(text, &len);
        *ptext = len ? quote(text, len, p) : NULL;
        return 1;
    }
    if (number) {
        *ptext = json_string_value(number);
        return *ptext && cs_decimal_is_plain(*ptext);
    }
    if (json_is_object(value)) {
        id = cs_sf_id(cs_json_str(ref ? ref : value, "id"), p);
        *ptext = id ? quote(id, 18, p) : NULL;
        return id != NULL;
    }
    if (json_is_number(value) || json_is_boolean(value)) {
        *ptext = cs_json_print(value, p);
        return 1;
    }
    return json_is_null(value);
}

static const char *field_of(const char *column, apr_pool_t *p)
{
    const char *slash = strchr(column, '/'), *base;

    if (slash) {
        return path_field(column, slash, &base, p);
    }
    return cs_sf_name_valid(column) ? column : NULL;
}

apr_status_t cs_sf_compare(const char **ptext, const char *column, const json_t *value,
                           apr_pool_t *p, cs_result_t *res)
{
    const char *field = field_of(column, p), *literal;

    *ptext = NULL;
    if (!field) {
        return cs_sf_refuse(res, p, column,
                            "a column name has letters, digits and underscores only");
    }
    if (!literal_of(&literal, value, p)) {
        return cs_sf_refuse(res, p, column, "this value cannot be searched for");
    }
    *ptext = literal ? apr_pstrcat(p, field, " = ", literal, NULL) : NULL;
    return APR_SUCCESS;
}

apr_status_t cs_sf_where(const char **ptext, const char *text, const json_t *where, apr_pool_t *p,
                         cs_result_t *res)
{
    const char *part, *column;
    apr_status_t rv;
    json_t *value;

    *ptext = NULL;
    json_object_foreach((json_t *)where, column, value) {
        rv = cs_sf_compare(&part, column, value, p, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        part = part ? part : apr_pstrcat(p, field_of(column, p), " = null", NULL);
        text = text ? apr_pstrcat(p, text, " AND ", part, NULL) : part;
    }
    *ptext = text;
    return APR_SUCCESS;
}

apr_status_t cs_sf_key(const char **ptext, const json_t *key, apr_pool_t *p, cs_result_t *res)
{
    const char *text = NULL, *part, *column;
    apr_status_t rv;
    json_t *value;

    *ptext = NULL;
    json_object_foreach((json_t *)key, column, value) {
        rv = cs_sf_compare(&part, column, value, p, res);
        if (rv != APR_SUCCESS || !part) {
            return rv;
        }
        text = text ? apr_pstrcat(p, text, " AND ", part, NULL) : part;
    }
    *ptext = text;
    return APR_SUCCESS;
}
