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

/* Rows by id need a table's names only; a look-up that is set or cleared needs its navigation
 * property. */
static void want_of_write(cs_crm_t *crm, apr_array_header_t *names, const cs_crm_write_t *write)
{
    const char *table = write->kind == CS_CRM_CALL ? "opportunityclose" : write->table;
    const char *column;
    const json_t *ref;
    json_t *value;

    cs_dyn_want(crm, names, write->table, NULL);
    json_object_foreach((json_t *)write->row, column, value)
    {
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

static cs_dyn_kind_e kind_of(const cs_crm_write_t *write)
{
    return write->kind == CS_CRM_CREATE   ? CS_DYN_CREATE
           : write->kind == CS_CRM_UPDATE ? CS_DYN_UPDATE
                                          : CS_DYN_CALL;
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
    set_body(request, body);
}

static void ask_action(cs_dyn_batch_t *batch, cs_crm_write_t *write, const cs_dyn_call_t *call)
{
    cs_http_request_t *request;
    apr_pool_t *p = batch->p;
    const char *body;

    if (!write->call ||
        (strcmp(write->call, "WinOpportunity") && strcmp(write->call, "LoseOpportunity"))) {
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:call",
                      "\"%.80s\" is not an action; WinOpportunity and LoseOpportunity are",
                      write->call ? write->call : "");
        return;
    }
    if (cs_dyn_close_body(&body, write->row, write->call, write->id, cs_dyn_table, batch->crm, p,
                          &write->result) != APR_SUCCESS) {
        return;
    }
    request = cs_dyn_batch_add(batch, "POST", write->call,
                               apr_psprintf(p, "%s %s", write->call, write->id), call);
    set_body(request, body);
}

static void ask_write(cs_dyn_batch_t *batch, cs_crm_write_t *write, const cs_result_t *learnt)
{
    cs_dyn_call_t call = {write, write->table ? cs_dyn_table(batch->crm, write->table) : NULL,
                          write->id, kind_of(write)};
    apr_pool_t *p = batch->p;
    apr_array_header_t *names = apr_array_make(p, 2, sizeof(const char *));

    want_of_write(batch->crm, names, write);
    if (names->nelts && learnt->cls != CS_CLASS_OK) {
        cs_result_copy(&write->result, learnt, p);
    }
    else if (!call.table) {
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:table",
                      "\"%.128s\" is not a table of this environment",
                      write->table ? write->table : "");
    }
    else if (!write->id || !cs_uuid_valid(write->id, strlen(write->id))) {
        cs_result_set(&write->result, p, CS_EPARSE, CS_CLASS_REFUSED, "dataverse:id",
                      "\"%.80s\" is not a GUID", write->id ? write->id : "");
    }
    else if (write->kind == CS_CRM_CALL) {
        ask_action(batch, write, &call);
    }
    else {
        ask_patch(batch, write, &call);
    }
}

/* ---- answers ---- */

/* The write is done whatever its body says; a body that was asked for and cannot be read leaves
 * open what the row looks like now. */
static void take_write(const cs_dyn_batch_t *batch, int at)
{
    const cs_dyn_call_t *call = &batch->calls[at];
    const cs_http_response_t *response = &batch->responses[at];
    const cs_http_request_t *request = &batch->requests[at];
    cs_crm_write_t *write = call->item;
    json_t *json;

    write->calls += response->calls;
    write->took = response->took;
    write->correlation = response->correlation;
    cs_dyn_classify(&write->result, response, request, call->kind, call->id, batch->p);
    if (write->result.cls != CS_CLASS_OK || !write->columns || call->kind == CS_DYN_CALL ||
        response->status == 204) {
        return;
    }
    json = cs_dyn_object(&write->result, response, request, call->kind, batch->p);
    if (!json) {
        return;
    }
    write->record = cs_dyn_record(json, apr_table_get(response->headers, "ETag"), call->table,
                                  write->columns, write->lookups, batch->p);
    if (!write->record || strcasecmp(write->record->id, write->id)) {
        write->record = NULL;
        cs_dyn_unreadable(&write->result, response, request, call->kind,
                          "the answer is not the row that was written", batch->p);
    }
}

static void clear_out(cs_crm_write_t *write)
{
    write->record = NULL;
    write->calls = 0;
    write->took = 0;
    write->correlation = NULL;
    cs_result_clear(&write->result);
}

apr_status_t cs_dyn_write(cs_crm_t *crm, cs_crm_write_t *writes, int n,
                          apr_interval_time_t deadline, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 4, sizeof(const char *));
    cs_result_t learnt = {0};
    cs_dyn_batch_t batch;
    apr_status_t rv;
    int i, calls = 0;

    for (i = 0; i < n; i++) {
        clear_out(&writes[i]);
        want_of_write(crm, names, &writes[i]);
    }
    rv = names->nelts ? cs_dyn_learn(crm, names, deadline, &calls, p, &learnt) : APR_SUCCESS;
    if (n > 0) {
        writes[0].calls = calls;
    }
    cs_dyn_batch_init(&batch, crm, n, p);
    for (i = 0; i < n; i++) {
        ask_write(&batch, &writes[i], &learnt);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_dyn_batch_send(&batch, deadline);
    }
    for (i = 0; i < batch.n; i++) {
        if (rv == APR_SUCCESS) {
            take_write(&batch, i);
        }
        else {
            cs_result_set(&((cs_crm_write_t *)batch.calls[i].item)->result, p, rv, CS_CLASS_RETRY,
                          "transport", "no request could be sent to %s", crm->cfg.name);
        }
    }
    return rv;
}
