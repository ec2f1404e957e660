#include "wire_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/decimal.h"
#include "../../base/json.h"
#include "../../base/text.h"
#include "../../base/time.h"

#define GUID_LEN 36

apr_status_t cs_wire_refuse(cs_result_t *res, apr_pool_t *p, const char *column, const char *why)
{
    return cs_result_set(res, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:column",
                         "column \"%.128s\": %s", column, why);
}

int cs_wire_is_guid(const char *text)
{
    return text && strlen(text) == GUID_LEN && cs_uuid_valid(text, GUID_LEN);
}

const char *cs_wire_value_name(const char *column, apr_pool_t *p)
{
    return apr_pstrcat(p, "_", column, "_value", NULL);
}

/* ---- selecting ---- */

/* One expanded look-up and the columns wanted from its target. */
typedef struct expansion_t {
    const char *nav;
    const cs_dyn_table_t *target;
    apr_array_header_t *columns;
} expansion_t;

static expansion_t *expansion_of(apr_array_header_t *expansions, const char *nav,
                                 const char *target, apr_pool_t *p)
{
    expansion_t *one;
    int i;

    for (i = 0; i < expansions->nelts; i++) {
        one = &APR_ARRAY_IDX(expansions, i, expansion_t);
        if (!strcmp(one->nav, nav)) {
            return one;
        }
    }
    one = apr_array_push(expansions);
    one->nav = nav;
    one->target = target ? cs_dyn_table_std(target) : NULL;
    one->columns = apr_array_make(p, 4, sizeof(const char *));
    return one;
}

static const char *wire_column(const cs_dyn_table_t *table, const char *column,
                               const apr_array_header_t *lookups, apr_pool_t *p)
{
    return cs_dyn_is_lookup(table, column, lookups) ? cs_wire_value_name(column, p) : column;
}

/* The table a look-up leads to, as far as it can be told. */
static const char *target_of(const cs_dyn_table_t *table, const char *column,
                             const apr_array_header_t *lookups)
{
    const char *target = cs_dyn_target(lookups, column);
    const cs_dyn_nav_t *nav;

    if (target || !table) {
        return target;
    }
    for (nav = table->navs; nav && nav->column; nav++) {
        if (!strcmp(nav->column, column)) {
            return nav->target;
        }
    }
    return NULL;
}

static apr_status_t select_path(const char *path, const char *slash, const cs_dyn_table_t *table,
                                const apr_array_header_t *lookups, apr_array_header_t *selects,
                                apr_array_header_t *expansions, apr_pool_t *p, cs_result_t *res)
{
    const char *base = apr_pstrmemdup(p, path, (apr_size_t)(slash - path)), *column = slash + 1;
    const char *target = target_of(table, base, lookups);
    expansion_t *one;
    const char *nav;

    if (!cs_dyn_name_valid(base, strlen(base)) || !cs_dyn_name_valid(column, strlen(column))) {
        return cs_wire_refuse(res, p, path,
                              "a path is a look-up, a slash and a column of its target");
    }
    cs_text_add_once(selects, cs_wire_value_name(base, p));
    nav = cs_dyn_expand(table, base, cs_dyn_target(lookups, base));
    if (!expansions || !nav) {
        return APR_SUCCESS;
    }
    one = expansion_of(expansions, nav, target, p);
    cs_text_add_once(one->columns, wire_column(one->target, column, NULL, p));
    return APR_SUCCESS;
}

static const char *expand_text(const apr_array_header_t *expansions, apr_pool_t *p)
{
    const char *text = "";
    int i;

    for (i = 0; i < expansions->nelts; i++) {
        const expansion_t *one = &APR_ARRAY_IDX(expansions, i, expansion_t);

        text = apr_pstrcat(p, text, i ? "," : "&$expand=", one->nav,
                           "($select=", apr_array_pstrcat(p, one->columns, ','), ")", NULL);
    }
    return text;
}

apr_status_t cs_dyn_select(const char **pquery, const cs_dyn_table_t *table,
                           const apr_array_header_t *columns, const apr_array_header_t *lookups,
                           int expand, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *selects = apr_array_make(p, 16, sizeof(const char *));
    apr_array_header_t *expansions = apr_array_make(p, 4, sizeof(expansion_t));
    apr_status_t rv = APR_SUCCESS;
    const char *column, *slash;
    int i;

    cs_text_add_once(selects, "modifiedon");
    for (i = 0; rv == APR_SUCCESS && columns && i < columns->nelts; i++) {
        column = APR_ARRAY_IDX(columns, i, const char *);
        slash = strchr(column, '/');
        if (slash) {
            rv = select_path(column, slash, table, lookups, selects, expand ? expansions : NULL, p,
                             res);
        }
        else if (!cs_dyn_name_valid(column, strlen(column))) {
            rv = cs_wire_refuse(res, p, column,
                                "a column name has letters, digits and underscores only");
        }
        else {
            cs_text_add_once(selects, wire_column(table, column, lookups, p));
        }
    }
    *pquery = apr_pstrcat(p, "$select=", apr_array_pstrcat(p, selects, ','),
                          expand_text(expansions, p), NULL);
    return rv;
}

/* ---- reading ---- */

/* A look-up as {"id": guid}; JSON null when empty, NULL when the answer does not show it. New
 * reference. */
static json_t *lookup_value(const json_t *row, const char *column, apr_pool_t *p)
{
    const json_t *value = cs_json_get(row, cs_wire_value_name(column, p));
    const char *id = json_string_value(value);

    if (json_is_null(value)) {
        return json_null();
    }
    return id ? json_pack("{s:s}", "id", cs_text_lower(id, p)) : NULL;
}

static json_t *plain_value(const json_t *row, const cs_dyn_table_t *table, const char *column,
                           const apr_array_header_t *lookups, apr_pool_t *p)
{
    json_t *value;

    if (cs_dyn_is_lookup(table, column, lookups)) {
        return lookup_value(row, column, p);
    }
    value = cs_json_get(row, column);
    if (table && !strcmp(table->key, column) && json_string_value(value)) {
        return json_string(cs_text_lower(json_string_value(value), p));
    }
    return json_incref(value);
}

/* Adds "column" to the neutral row unless a path made it already. */
static void read_plain(json_t *out, const json_t *row, const cs_dyn_table_t *table,
                       const char *column, const apr_array_header_t *lookups, apr_pool_t *p)
{
    json_t *value =
        json_object_get(out, column) ? NULL : plain_value(row, table, column, lookups, p);

    if (value) {
        json_object_set_new(out, column, value);
    }
}

static void read_path(json_t *out, const json_t *row, const cs_dyn_table_t *table, const char *path,
                      const char *slash, const apr_array_header_t *lookups, apr_pool_t *p)
{
    const char *base = apr_pstrmemdup(p, path, (apr_size_t)(slash - path)), *column = slash + 1;
    const char *nav = cs_dyn_expand(table, base, cs_dyn_target(lookups, base));
    const char *target = target_of(table, base, lookups);
    const json_t *expanded = nav ? cs_json_get(row, nav) : NULL;
    json_t *into = json_object_get(out, base), *value;

    if (!into) {
        into = lookup_value(row, base, p);
        if (!into) {
            return;
        }
        json_object_set_new(out, base, into);
    }
    if (json_is_object(into) && json_is_object(expanded)) {
        value = plain_value(expanded, target ? cs_dyn_table_std(target) : NULL, column, NULL, p);
        if (value) {
            json_object_set_new(into, column, value);
        }
    }
}

/* W/"12345": the row's version number in the database, which only grows. */
static apr_int64_t order_of(const char *version)
{
    const char *digits = strchr(version, '"');
    apr_size_t len = digits ? strspn(digits + 1, "0123456789") : 0;

    return len && len < 19 && digits[1 + len] == '"' ? apr_atoi64(digits + 1) : 0;
}

cs_record_t *cs_dyn_record(const json_t *row, const char *etag, const cs_dyn_table_t *table,
                           const apr_array_header_t *columns, const apr_array_header_t *lookups,
                           apr_pool_t *p)
{
    const char *id = cs_json_str(row, table->key), *version = cs_json_str(row, "@odata.etag"),
               *modified;
    cs_record_t *record;
    const char *column, *slash;
    int i;

    version = version ? version : etag;
    if (!cs_wire_is_guid(id) || !version || !*version) {
        return NULL;
    }
    record = apr_pcalloc(p, sizeof(*record));
    record->table = apr_pstrdup(p, table->name);
    record->id = cs_text_lower(id, p);
    record->version = apr_pstrdup(p, version);
    record->order = order_of(version);
    modified = cs_json_str(row, "modifiedon");
    if (!modified || cs_time_parse(&record->modified, modified) != APR_SUCCESS) {
        record->modified = 0;
    }
    record->row = cs_json_own(json_object(), p);
    for (i = 0; columns && i < columns->nelts; i++) {
        column = APR_ARRAY_IDX(columns, i, const char *);
        slash = strchr(column, '/');
        if (slash) {
            read_path(record->row, row, table, column, slash, lookups, p);
        }
        else {
            read_plain(record->row, row, table, column, lookups, p);
        }
    }
    return record;
}

/* ---- writing ---- */

/* Text of a JSON object in the making. */
typedef struct body_t {
    apr_array_header_t *parts;
    cs_dyn_table_fn *table_of;
    void *baton;
    apr_pool_t *p;
    cs_result_t *res;
} body_t;

static const char *quote(const char *text, apr_pool_t *p)
{
    json_t *json = json_string(text);
    const char *out = cs_json_print(json, p);

    json_decref(json);
    return out;
}

static void put(body_t *b, const char *name, const char *text)
{
    APR_ARRAY_PUSH(b->parts, const char *) = apr_pstrcat(b->p, quote(name, b->p), ":", text, NULL);
}

static const char *close_object(const body_t *b)
{
    return apr_pstrcat(b->p, "{", apr_array_pstrcat(b->p, b->parts, ','), "}", NULL);
}

static apr_status_t put_ref(body_t *b, const cs_dyn_table_t *table, const char *column,
                            const json_t *ref)
{
    const char *target = cs_json_str(ref, "table"), *id = cs_json_str(ref, "id");
    const cs_dyn_table_t *to = target ? b->table_of(b->baton, target) : NULL;
    const char *nav;

    if (!to || !cs_wire_is_guid(id)) {
        return cs_wire_refuse(b->res, b->p, column,
                              "the look-up's target needs a known table and a GUID");
    }
    nav = cs_dyn_nav(table, column, target);
    nav = nav ? nav : cs_dyn_nav(table, column, NULL);
    put(b, apr_pstrcat(b->p, nav ? nav : column, "@odata.bind", NULL),
        apr_pstrcat(b->p, "\"/", to->set, "(", cs_text_lower(id, b->p), ")\"", NULL));
    return APR_SUCCESS;
}

static apr_status_t put_value(body_t *b, const cs_dyn_table_t *table,
                              const apr_array_header_t *lookups, const char *column,
                              const json_t *value)
{
    const json_t *inner;
    const char *nav;

    if (!cs_dyn_name_valid(column, strlen(column))) {
        return cs_wire_refuse(b->res, b->p, column,
                              "a column name has letters, digits and underscores only");
    }
    if ((inner = cs_json_only(value, "$ref")) != NULL) {
        return put_ref(b, table, column, inner);
    }
    if ((inner = cs_json_only(value, "$number")) != NULL) {
        if (!cs_decimal_is_plain(json_string_value(inner))) {
            return cs_wire_refuse(b->res, b->p, column, "a $number is decimal text");
        }
        put(b, column, json_string_value(inner));
        return APR_SUCCESS;
    }
    if (json_is_object(value) || json_is_array(value)) {
        return cs_wire_refuse(b->res, b->p, column,
                              "a value is text, a number, true, false, null, $number or $ref");
    }
    if (json_is_null(value) && cs_dyn_is_lookup(table, column, lookups)) {
        nav = cs_dyn_nav(table, column, cs_dyn_target(lookups, column));
        put(b, nav ? nav : column, "null");
        return APR_SUCCESS;
    }
    put(b, column, cs_json_print(value, b->p));
    return APR_SUCCESS;
}

static apr_status_t put_row(body_t *b, const json_t *row, const char *except,
                            const cs_dyn_table_t *table, const apr_array_header_t *lookups)
{
    apr_status_t rv = APR_SUCCESS;
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)row, column, value) {
        if (!except || strcmp(column, except)) {
            rv = put_value(b, table, lookups, column, value);
        }
        if (rv != APR_SUCCESS) {
            break;
        }
    }
    return rv;
}

apr_status_t cs_dyn_body(const char **pbody, const json_t *row, const cs_dyn_table_t *table,
                         const apr_array_header_t *lookups, cs_dyn_table_fn *table_of, void *baton,
                         apr_pool_t *p, cs_result_t *res)
{
    body_t b = {apr_array_make(p, 16, sizeof(const char *)), table_of, baton, p, res};
    /* The key stands in the address. */
    apr_status_t rv = put_row(&b, row, table->key, table, lookups);

    *pbody = close_object(&b);
    return rv;
}

apr_status_t cs_dyn_close_body(const char **pbody, const json_t *row, const char *call,
                               const char *id, cs_dyn_table_fn *table_of, void *baton,
                               apr_pool_t *p, cs_result_t *res)
{
    body_t b = {apr_array_make(p, 16, sizeof(const char *)), table_of, baton, p, res};
    const cs_dyn_table_t *table = cs_dyn_table_std("opportunityclose");
    const json_t *status = cs_json_get(row, "Status");
    apr_status_t rv;

    *pbody = NULL;
    if (status && !json_is_integer(status)) {
        return cs_wire_refuse(res, p, "Status", "the status is an integer, -1 for the default");
    }
    put(&b, "opportunityid@odata.bind",
        apr_pstrcat(p, "\"/opportunities(", cs_text_lower(id, p), ")\"", NULL));
    if (!cs_json_get(row, "subject")) {
        put(&b, "subject",
            !strcmp(call, "WinOpportunity") ? "\"Won in Partner Center\""
                                            : "\"Lost in Partner Center\"");
    }
    rv = put_row(&b, row, "Status", table, NULL);
    *pbody = apr_psprintf(p, "{\"Status\":%" APR_INT64_T_FMT ",\"OpportunityClose\":%s}",
                          status ? (apr_int64_t)json_integer_value(status) : (apr_int64_t)-1,
                          close_object(&b));
    return rv;
}

/* An entity as a parameter of an action: its type and its key. */
static apr_status_t put_entity(body_t *b, const char *name, const json_t *ref)
{
    const char *target = cs_json_str(ref, "table"), *id = cs_json_str(ref, "id");
    const cs_dyn_table_t *to = target ? b->table_of(b->baton, target) : NULL;

    if (!to || !cs_wire_is_guid(id)) {
        return cs_wire_refuse(b->res, b->p, name, "the parameter needs a known table and a GUID");
    }
    put(b, name,
        apr_pstrcat(b->p, "{\"", to->key, "\":\"", cs_text_lower(id, b->p),
                    "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.", to->name, "\"}", NULL));
    return APR_SUCCESS;
}

static void put_unless(body_t *b, const json_t *row, const char *name, const char *text)
{
    if (!cs_json_get(row, name)) {
        put(b, name, text);
    }
}

apr_status_t cs_dyn_qualify_body(const char **pbody, const json_t *row, cs_dyn_table_fn *table_of,
                                 void *baton, apr_pool_t *p, cs_result_t *res)
{
    body_t b = {apr_array_make(p, 8, sizeof(const char *)), table_of, baton, p, res};
    apr_status_t rv = APR_SUCCESS;
    const char *name;
    json_t *value;

    *pbody = NULL;
    json_object_foreach((json_t *)row, name, value) {
        const json_t *ref = cs_json_only(value, "$ref");

        if (json_is_null(value)) {
            continue;
        }
        rv = ref ? put_entity(&b, name, ref) : put_value(&b, NULL, NULL, name, value);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    put_unless(&b, row, "CreateAccount", "false");
    put_unless(&b, row, "CreateContact", "false");
    put_unless(&b, row, "CreateOpportunity", "true");
    put_unless(&b, row, "Status", "3");
    *pbody = close_object(&b);
    return APR_SUCCESS;
}

apr_status_t cs_dyn_join_body(const char **pbody, const cs_dyn_table_t *table, const char *id,
                              const char *templ, apr_pool_t *p, cs_result_t *res)
{
    if (!cs_wire_is_guid(id) || !cs_wire_is_guid(templ)) {
        return cs_wire_refuse(res, p, "user", "the record and the team template need a GUID");
    }
    *pbody = apr_pstrcat(p, "{\"Record\":{\"", table->key, "\":\"", cs_text_lower(id, p),
                         "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.", table->name,
                         "\"},\"TeamTemplate\":{\"teamtemplateid\":\"", cs_text_lower(templ, p),
                         "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.teamtemplate\"}}", NULL);
    return APR_SUCCESS;
}
