#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"

/* ---- what has to be known first ---- */

static int says_lookup(const apr_array_header_t *lookups, const char *column)
{
    int i;

    for (i = 0; lookups && i < lookups->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(lookups, i, cs_crm_lookup_t).column, column)) {
            return 1;
        }
    }
    return 0;
}

static int is_call(const cs_crm_write_t *write, const char *name)
{
    return write->kind == CS_CRM_CALL && write->call && !strcmp(write->call, name);
}

/* The table whose columns the row's members are; NULL = they are parameters. */
static const char *table_of_row(const cs_crm_write_t *write)
{
    if (write->kind == CS_CRM_CALL) {
        return is_call(write, "QualifyLead") ? NULL : "opportunityclose";
    }
    return write->kind == CS_CRM_JOIN ? NULL : write->table;
}

/* Rows by id need a table's names only; a look-up that is set or cleared needs its navigation
 * property. */
static void want_of_write(cs_crm_t *crm, apr_array_header_t *names, const cs_crm_write_t *write)
{
    const char *table = table_of_row(write);
    const char *column;
    const json_t *ref;
    json_t *value;

    cs_dyn_want(crm, names, write->table, NULL);
    json_object_foreach((json_t *)write->row, column, value) {
        ref = cs_json_get(value, "$ref");
        if (ref) {
            cs_dyn_want(crm, names, table, column);
            cs_dyn_want(crm, names, cs_json_str(ref, "table"), NULL);
        }
        else if (json_is_null(value) && says_lookup(write->lookups, column)) {
            cs_dyn_want(crm, names, table, column);
        }
    }
}

static void want_template(const cs_crm_t *crm, apr_array_header_t *templates,
                          const cs_crm_write_t *write)
{
    int i;

    if (write->kind != CS_CRM_JOIN || !write->call || cs_dyn_template(crm, write->call)) {
        return;
    }
    for (i = 0; i < templates->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(templates, i, const char *), write->call)) {
            return;
        }
    }
    APR_ARRAY_PUSH(templates, const char *) = write->call;
}

static cs_dyn_kind_e kind_of(const cs_crm_write_t *write)
{
    switch (write->kind) {
    case CS_CRM_CREATE:
        return CS_DYN_CREATE;
    case CS_CRM_UPDATE:
    case CS_CRM_DELETE:
        return CS_DYN_UPDATE;
    default:
        return CS_DYN_CALL;
    }
}

/* ---- requests ---- */

static void set_body(cs_http_request_t *request, const char *body)
{
    request->body = body;
    request->body_len = strlen(body);
}

/* PATCH is an upsert: If-None-Match makes it a create that never changes a row, If-Match an update
 * that never makes one. */
static void ask_patch(cs_dyn_batch_t *batch, cs_crm_write_t *write, const cs_dyn_call_t *call)
{
    int making = write->kind == CS_CRM_CREATE;
    const char *body, *query = "", *path;
    apr_pool_t *p = batch->p;
    cs_http_request_t *request;

    if (cs_dyn_body(&body, write->row, call->table, write->lookups, cs_dyn_table, batch->crm, p,
                    &write->result) != APR_SUCCESS) {
        return;
    }
    if (write->columns && cs_dyn_select(&query, call->table, write->columns, write->lookups, 0, p,
                                        &write->result) != APR_SUCCESS) {
        return;
    }
    path = apr_pstrcat(p, call->table->set, "(", write->id, ")", write->columns ? "?" : "", query,
                       NULL);
    request = cs_dyn_batch_add(
        batch, "PATCH", path,
        apr_psprintf(p, "%s %s %s", making ? "create" : "update", write->table, write->id), call);
    apr_table_setn(request->headers, making ? "If-None-Match" : "If-Match",
                   making || !write->guard ? "*" : write->guard);
    if (write->columns) {
        apr_table_setn(request->headers, "Prefer", "return=representation");
    }
    if (making) {
        /* The organisation's duplicate rules, which this API leaves out by itself. */
        apr_table_setn(request->headers, "MSCRM.SuppressDuplicateDetection", "false");
    }
    set_body(request, body);
}

static void ask_delete(cs_dyn_batch_t *batch, cs_crm_write_t *write, const cs_dyn_call_t *call)
{
    apr_pool_t *p = batch->p;
    cs_http_request_t *request = cs_dyn_batch_add(
        batch, "DELETE", apr_pstrcat(p, call->table->set, "(", write->id, ")", NULL),
        apr_psprintf(p, "delete %s %s", write->table, write->id), call);

    if (write->guard) {
        apr_table_setn(request->headers, "If-Match", write->guard);
    }
}

static void ask_join(cs_dyn_batch_t *batch, cs_crm_write_t *write, const cs_dyn_call_t *call,
                     apr_hash_t *failures)
{
    const char *templ = write->call ? cs_dyn_template(batch->crm, write->call) : NULL;
    const char *user = cs_json_str(cs_json_get(cs_json_get(write->row, "user"), "$ref"), "id");
    const cs_result_t *why =
        write->call ? apr_hash_get(failures, write->call, APR_HASH_KEY_STRING) : NULL;
    apr_pool_t *p = batch->p;
    const char *body;

    if (!templ) {
        if (why) {
            cs_result_copy(&write->result, why, p);
            return;
        }
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_REFUSED, "config:team",
                      "\"%.128s\" is not a team template of this environment",
                      write->call ? write->call : "");
        return;
    }
    if (!user || !cs_uuid_valid(user, strlen(user))) {
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_REFUSED, "dataverse:id",
                      "\"%.80s\" is not a GUID", user ? user : "");
        return;
    }
    if (cs_dyn_join_body(&body, call->table, write->id, templ, p, &write->result) == APR_SUCCESS) {
        set_body(cs_dyn_batch_add(batch, "POST",
                                  apr_pstrcat(p, "systemusers(", user,
                                              ")/Microsoft.Dynamics.CRM.AddUserToRecordTeam", NULL),
                                  apr_psprintf(p, "add user %s to the team of %s %s", user,
                                               write->table, write->id),
                                  call),
                 body);
    }
}

/* Actions of the Sales solution. */
static void ask_action(cs_dyn_batch_t *batch, cs_crm_write_t *write, const cs_dyn_call_t *call)
{
    int qualify = is_call(write, "QualifyLead");
    apr_pool_t *p = batch->p;
    const char *body, *path;
    apr_status_t rv;

    if (!qualify && !is_call(write, "WinOpportunity") && !is_call(write, "LoseOpportunity")) {
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:call",
                      "\"%.80s\" is not an action; WinOpportunity, LoseOpportunity and QualifyLead "
                      "are",
                      write->call ? write->call : "");
        return;
    }
    if (qualify) {
        rv = cs_dyn_qualify_body(&body, write->row, cs_dyn_table, batch->crm, p, &write->result);
        path = apr_pstrcat(p, call->table->set, "(", write->id,
                           ")/Microsoft.Dynamics.CRM.QualifyLead", NULL);
    }
    else {
        rv = cs_dyn_close_body(&body, write->row, write->call, write->id, cs_dyn_table, batch->crm,
                               p, &write->result);
        path = write->call;
    }
    if (rv == APR_SUCCESS) {
        set_body(cs_dyn_batch_add(batch, "POST", path,
                                  apr_psprintf(p, "%s %s", write->call, write->id), call),
                 body);
    }
}

static void take_write(const cs_dyn_batch_t *batch, int at);

static void ask_write(cs_dyn_batch_t *batch, cs_crm_write_t *write, apr_hash_t *failures,
                      apr_hash_t *teamless)
{
    cs_dyn_call_t call = {.item = write,
                          .take = take_write,
                          .result = &write->result,
                          .table = write->table ? cs_dyn_table(batch->crm, write->table) : NULL,
                          .id = write->id,
                          .kind = kind_of(write)};
    apr_pool_t *p = batch->p;
    apr_array_header_t *names = apr_array_make(p, 2, sizeof(const char *));

    want_of_write(batch->crm, names, write);
    if (!call.table || names->nelts) {
        cs_dyn_unknown(&write->result, names, failures, p);
    }
    else if (!write->id || !cs_uuid_valid(write->id, strlen(write->id))) {
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_REFUSED, "dataverse:id",
                      "\"%.80s\" is not a GUID", write->id ? write->id : "");
    }
    else if (write->kind == CS_CRM_CALL) {
        ask_action(batch, write, &call);
    }
    else if (write->kind == CS_CRM_DELETE) {
        ask_delete(batch, write, &call);
    }
    else if (write->kind == CS_CRM_JOIN) {
        ask_join(batch, write, &call, teamless);
    }
    else {
        ask_patch(batch, write, &call);
    }
}

/* ---- answers ---- */

/* What is refused because it is so already. */
static void forgive(cs_crm_write_t *write)
{
    if ((write->kind == CS_CRM_DELETE && write->result.cls == CS_CLASS_GONE) ||
        (write->kind == CS_CRM_JOIN && write->result.cls == CS_CLASS_DUPLICATE)) {
        const char *correlation = write->result.correlation;

        cs_result_clear(&write->result);
        write->result.correlation = correlation;
    }
}

/* An answer may name the column by its navigation property or as "_column_value". */
static void name_column(cs_crm_write_t *write, const cs_dyn_table_t *table, apr_pool_t *p)
{
    if (write->result.blames) {
        write->result.blames = cs_dyn_column_of(table, write->result.blames, p);
    }
}

/* "https://org/api/data/v9.2/opportunities(guid)" names the row that was written. 0 = it names
 * another one: an answer for somebody else's request. */
static int is_about(const cs_http_response_t *response, const char *id)
{
    const char *entity = apr_table_get(response->headers, "OData-EntityId");
    const char *open = entity ? strrchr(entity, '(') : NULL;

    return !open || strlen(open) < 38 || !cs_uuid_valid(open + 1, 36) ||
           !strncasecmp(open + 1, id, 36);
}

/* {"@odata.type": "#Microsoft.Dynamics.CRM.opportunity", "opportunityid": ...} */
static json_t *created_row(cs_crm_t *crm, const json_t *row)
{
    static const char space[] = "#Microsoft.Dynamics.CRM.";
    const char *type = cs_json_str(row, "@odata.type"), *id;
    const cs_dyn_table_t *table;

    if (!type || strncmp(type, space, sizeof(space) - 1)) {
        return NULL;
    }
    table = cs_dyn_table(crm, type + sizeof(space) - 1);
    id = table ? cs_json_str(row, table->key) : NULL;
    return id && cs_uuid_valid(id, strlen(id))
               ? json_pack("{s:s, s:s}", "table", table->name, "id", id)
               : NULL;
}

static void take_created(const cs_dyn_batch_t *batch, int at, cs_crm_write_t *write)
{
    const cs_http_response_t *response = &batch->responses[at];
    json_t *json, *one;
    size_t i;

    if (response->status == 204) {
        return;
    }
    json = cs_dyn_object(&write->result, response, &batch->requests[at], CS_DYN_CALL, batch->p);
    if (!json) {
        return;
    }
    write->created = cs_json_own(json_array(), batch->p);
    for (i = 0; i < json_array_size(cs_json_get(json, "value")) && i < 10; i++) {
        one = created_row(batch->crm, json_array_get(cs_json_get(json, "value"), i));
        if (one) {
            json_array_append_new(write->created, one);
        }
    }
}

static void take_representation(const cs_dyn_batch_t *batch, int at, cs_crm_write_t *write)
{
    const cs_dyn_call_t *call = &batch->calls[at];
    const cs_http_response_t *response = &batch->responses[at];
    json_t *json;

    if (response->status == 204) {
        return;
    }
    json = cs_dyn_object(&write->result, response, &batch->requests[at], call->kind, batch->p);
    if (!json) {
        return;
    }
    write->record = cs_dyn_record(json, apr_table_get(response->headers, "ETag"), call->table,
                                  write->columns, write->lookups, batch->p);
    if (!write->record || strcasecmp(write->record->id, write->id)) {
        write->record = NULL;
        cs_dyn_unreadable(&write->result, response, &batch->requests[at], call->kind,
                          "the answer is not the row that was written", batch->p);
    }
}

/* The write is done whatever its body says; a body that was asked for and cannot be read leaves
 * open what the row looks like now. */
static void take_write(const cs_dyn_batch_t *batch, int at)
{
    const cs_dyn_call_t *call = &batch->calls[at];
    const cs_http_response_t *response = &batch->responses[at];
    const cs_http_request_t *request = &batch->requests[at];
    cs_crm_write_t *write = call->item;

    write->calls += response->calls;
    write->took = response->took;
    write->correlation = response->correlation;
    cs_dyn_classify(&write->result, response, request, call->kind, call->id, batch->p);
    forgive(write);
    if (write->result.cls != CS_CLASS_OK) {
        name_column(write, call->table, batch->p);
    }
    else if (write->kind == CS_CRM_CREATE || write->kind == CS_CRM_UPDATE) {
        if (!is_about(response, write->id)) {
            cs_dyn_unreadable(&write->result, response, request, call->kind,
                              "the answer is about another row", batch->p);
        }
        else if (write->columns) {
            take_representation(batch, at, write);
        }
    }
    else if (is_call(write, "QualifyLead")) {
        take_created(batch, at, write);
    }
}

static void clear_out(cs_crm_write_t *write)
{
    write->record = NULL;
    write->created = NULL;
    write->calls = 0;
    write->took = 0;
    write->correlation = NULL;
    cs_result_clear(&write->result);
}

/* Tables and team templates that these writes need and that are not known yet. */
static apr_status_t prepare(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_hash_t *failures,
                            apr_hash_t *teamless, apr_interval_time_t deadline, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 4, sizeof(const char *));
    apr_array_header_t *templates = apr_array_make(p, 2, sizeof(const char *));
    apr_status_t rv = APR_SUCCESS;
    int i, calls = 0, more = 0;

    for (i = 0; i < n; i++) {
        clear_out(&writes[i]);
        want_of_write(crm, names, &writes[i]);
        want_template(crm, templates, &writes[i]);
    }
    if (names->nelts) {
        rv = cs_dyn_learn(crm, names, deadline, &calls, failures, p);
    }
    if (rv == APR_SUCCESS && templates->nelts) {
        rv = cs_dyn_templates(crm, templates, deadline, &more, teamless, p);
    }
    if (n > 0) {
        writes[0].calls = calls + more;
    }
    return rv;
}

apr_status_t cs_dyn_write(cs_crm_t *crm, cs_crm_write_t *writes, int n,
                          apr_interval_time_t deadline, apr_pool_t *p)
{
    apr_hash_t *failures = apr_hash_make(p), *teamless = apr_hash_make(p);
    cs_dyn_batch_t batch;
    apr_status_t rv;
    int i;

    rv = prepare(crm, writes, n, failures, teamless, deadline, p);
    cs_dyn_batch_init(&batch, crm, n, p);
    for (i = 0; i < n; i++) {
        ask_write(&batch, &writes[i], failures, teamless);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_dyn_batch_send(&batch, deadline);
    }
    cs_dyn_batch_take(&batch, rv);
    return rv;
}
