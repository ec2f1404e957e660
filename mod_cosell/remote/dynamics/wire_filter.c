#include "wire_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/decimal.h"
#include "../../base/json.h"
#include "../../base/text.h"

static const char *odata_quote(const char *text, apr_size_t len, apr_pool_t *p)
{
    char *out = apr_palloc(p, len * 2 + 3), *to = out;
    apr_size_t i;

    *to++ = '\'';
    for (i = 0; i < len; i++) {
        if (text[i] == '\'') {
            *to++ = '\'';
        }
        *to++ = text[i];
    }
    *to++ = '\'';
    *to = '\0';
    return out;
}

/* {"$ref":{"id"}} and {"id"}, or a bare GUID for a look-up or the key. */
static const char *guid_in(const json_t *value, int guid_column)
{
    const json_t *ref = cs_json_only(value, "$ref");
    const char *id = json_is_object(value) ? cs_json_str(ref ? ref : value, "id")
                     : guid_column         ? json_string_value(value)
                                           : NULL;

    return cs_wire_is_guid(id) ? id : NULL;
}

/* "column eq value"; *ptext NULL = the value is empty. */
static apr_status_t compare(const char **ptext, const char *column, const json_t *value,
                            const cs_dyn_table_t *table, apr_pool_t *p, cs_result_t *res)
{
    int lookup = cs_dyn_is_lookup(table, column, NULL) || json_is_object(value);
    int guid_column = lookup || !strcmp(table->key, column);
    const char *literal = guid_in(value, guid_column), *text;
    const json_t *number = cs_json_only(value, "$number");
    apr_size_t len;

    *ptext = NULL;
    if (!cs_dyn_name_valid(column, strlen(column))) {
        return cs_wire_refuse(res, p, column,
                              "a column name has letters, digits and underscores only");
    }
    if (number) {
        lookup = 0;
        literal = cs_decimal_is_plain(json_string_value(number)) ? json_string_value(number) : NULL;
    }
    else if (!literal && json_is_string(value) && !guid_column) {
        text = cs_text_trim(json_string_value(value), &len);
        if (len == 0) {
            return APR_SUCCESS;
        }
        literal = odata_quote(text, len, p);
    }
    else if (json_is_number(value) || json_is_boolean(value)) {
        literal = cs_json_print(value, p);
    }
    else if (!literal &&
             (json_is_null(value) || (json_is_string(value) && !*json_string_value(value)))) {
        return APR_SUCCESS;
    }
    if (!literal) {
        return cs_wire_refuse(res, p, column, "this value cannot be searched for");
    }
    *ptext = apr_pstrcat(p, lookup ? cs_wire_value_name(column, p) : column, " eq ", literal, NULL);
    return APR_SUCCESS;
}

apr_status_t cs_dyn_where(const char **ptext, const char *text, const json_t *where,
                          const cs_dyn_table_t *table, apr_pool_t *p, cs_result_t *res)
{
    const char *part, *column;
    apr_status_t rv;
    json_t *value;

    *ptext = NULL;
    json_object_foreach((json_t *)where, column, value) {
        rv = compare(&part, column, value, table, p, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        part =
            part ? part
                 : apr_pstrcat(p,
                               cs_dyn_is_lookup(table, column, NULL) ? cs_wire_value_name(column, p)
                                                                     : column,
                               " eq null", NULL);
        text = text ? apr_pstrcat(p, text, " and ", part, NULL) : part;
    }
    *ptext = text;
    return APR_SUCCESS;
}

apr_status_t cs_dyn_filter(const char **ptext, const json_t *key, const json_t *where,
                           const cs_dyn_table_t *table, apr_pool_t *p, cs_result_t *res)
{
    const char *text = NULL, *part, *column;
    apr_status_t rv;
    json_t *value;

    *ptext = NULL;
    json_object_foreach((json_t *)key, column, value) {
        rv = compare(&part, column, value, table, p, res);
        if (rv != APR_SUCCESS || !part) {
            return rv;
        }
        text = text ? apr_pstrcat(p, text, " and ", part, NULL) : part;
    }
    if (!text) {
        return APR_SUCCESS;
    }
    return cs_dyn_where(ptext, text, where, table, p, res);
}
