/* domain/record_words.c: what the wrappers of a row to be written say to people. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/json.h"
#include "record.h"

#define KEYS_MOST 4

/* A column's name, where it tells what it holds. */
static const char *column_said(const char *column)
{
    static const struct {
        const char *part, *word;
    } words[] = {{"mail", "e-mail"},       {"postalcode", "postal code"},
                 {"currencycode", "code"}, {"isocode", "code"},
                 {"name", "name"},         {"number", "number"},
                 {"identifier", "id"},     {"upn", "user name"}};
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasestr(column, words[i].part)) {
            return words[i].word;
        }
    }
    return column;
}

/* "whose name is Fabrikam and postal code is 98052" */
static const char *key_said(const json_t *key, apr_pool_t *p)
{
    const char *out = "", *column, *text;
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        text = json_string_value(value) ? json_string_value(value) : cs_json_print(value, p);
        out =
            apr_pstrcat(p, out, *out ? " and " : "whose ", column_said(column), " is ", text, NULL);
    }
    return out;
}

static const char *lookup_said(const json_t *lookup, apr_pool_t *p)
{
    const char *find = cs_json_str(lookup, "find"), *none = cs_json_str(lookup, "none");
    const json_t *keys = cs_json_get(lookup, "keys");
    const char *out;
    size_t i, n = json_array_size(keys);

    find = find ? find : cs_json_str(lookup, "table");
    out = apr_pstrcat(p, "the ", find ? find : "row", NULL);
    for (i = 0; i < n && i < KEYS_MOST; i++) {
        out = apr_pstrcat(p, out, i ? ", or " : " ", key_said(json_array_get(keys, i), p), NULL);
    }
    if (n > KEYS_MOST) {
        out = apr_psprintf(p, "%s, or by %d more", out, (int)(n - KEYS_MOST));
    }
    return none && !strcmp(none, "create") ? apr_pstrcat(p, out, ", made if there is none", NULL)
                                           : out;
}

const char *cs_wrapper_words(const json_t *value, apr_pool_t *p)
{
    const json_t *inner;

    if (!json_is_object(value) || json_object_size(value) != 1) {
        return NULL;
    }
    inner = json_object_get(value, "$lookup");
    if (json_is_object(inner)) {
        return lookup_said(inner, p);
    }
    inner = json_object_get(value, "$ref");
    if (json_is_object(inner) && cs_json_str(inner, "table") && cs_json_str(inner, "id")) {
        return apr_pstrcat(p, cs_json_str(inner, "table"), " ", cs_json_str(inner, "id"), NULL);
    }
    inner = json_object_get(value, "$number");
    inner = inner ? inner : json_object_get(value, "$choice");
    return json_is_string(inner) ? json_string_value(inner) : NULL;
}
