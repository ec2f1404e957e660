/* Writes: by id and guarded, or by an external id; what they left behind is read in the same
 * request. (crm-apis.md B3, B4, B5, C2) */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"

#define MOST_TRIES 20

/* What a write becomes. */
typedef struct item_t {
    cs_crm_write_t *write;
    const char *id;          /* UPDATE, DELETE: 18 characters */
    const char *key, *value; /* CREATE by key */
    const char *unmodified;  /* date of the guard */
    const char *body;
    int sent; /* has a call */
    int read; /* was read back, or need not be */
} item_t;

typedef struct run_t {
    cs_crm_t *crm;
    item_t *items;
    int n;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} run_t;

/* ---- what is asked for ---- */

static apr_status_t refuse(cs_crm_write_t *write, apr_pool_t *p, cs_class_e cls,
                           const char *problem, const char *why, const char *what)
{
    return cs_result_set(&write->result, p, CS_EPARSE, cls, problem, "\"%.128s\" %s",
                         what ? what : "", why);
}

static apr_status_t take_key(item_t *item, apr_pool_t *p)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)item->write->key, column, value) {
        item->key = column;
        item->value = json_string_value(value);
    }
    if (json_object_size(item->write->key) != 1 || !cs_sf_name_valid(item->key) || !item->value ||
        !*item->value) {
        return cs_result_set(&item->write->result, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:key",
                             "a row of %s is found by one column with a text, not by %.200s",
                             item->write->table, cs_json_print(item->write->key, p));
    }
    return APR_SUCCESS;
}

static apr_status_t take_id(item_t *item, apr_pool_t *p)
{
    cs_crm_write_t *write = item->write;

    item->id = cs_sf_id(write->id, p);
    if (!item->id) {
        return refuse(write, p, CS_CLASS_REFUSED, "salesforce:id",
                      "is not an id of 15 or 18 characters", write->id);
    }
    item->unmodified = write->guard ? cs_sf_guard(write->guard, p) : NULL;
    if (write->guard && !item->unmodified) {
        /* Not a version of ours: the next look reads one. */
        return refuse(write, p, CS_CLASS_CONFLICT, "salesforce:version",
                      "is not a version of a row", write->guard);
    }
    return APR_SUCCESS;
}

static apr_status_t take_write(item_t *item, cs_crm_write_t *write, apr_pool_t *p)
{
    apr_status_t rv;

    memset(item, 0, sizeof(*item));
    item->write = write;
    write->record = NULL;
    write->made = NULL;
    write->created = NULL;
    write->calls = 0;
    write->took = 0;
    write->correlation = NULL;
    cs_result_clear(&write->result);
    if (write->kind == CS_CRM_CALL || write->kind == CS_CRM_JOIN) {
        return refuse(write, p, CS_CLASS_REFUSED, "config:call",
                      write->kind == CS_CRM_CALL
                          ? "is not an action of Salesforce; a row is changed by its columns, and "
                            "a lead is converted by a person or a flow"
                          : "is not a team template; Salesforce has none",
                      write->call);
    }
    if (!cs_sf_name_valid(write->table)) {
        return refuse(write, p, CS_CLASS_SUSPEND, "config:table", "is not the name of a table",
                      write->table);
    }
    rv = write->kind != CS_CRM_CREATE ? take_id(item, p)
         : write->key                 ? take_key(item, p)
                                      : APR_SUCCESS;
    if (rv == APR_SUCCESS && write->kind != CS_CRM_DELETE) {
        rv = cs_sf_body(&item->body, write->row, write->key, p, &write->result);
    }
    return rv;
}

static void make_call(const run_t *r, item_t *item, cs_sf_call_t *call)
{
    const cs_crm_write_t *write = item->write;
    const char *table = write->table;
    apr_pool_t *p = r->p;

    memset(call, 0, sizeof(*call));
    call->item = item;
    call->body = item->body;
    call->unmodified = item->unmodified;
    if (write->kind == CS_CRM_CREATE && item->key) {
        call->kind = CS_SF_CREATE;
        call->method = "PATCH";
        call->path = apr_pstrcat(p, "sobjects/", table, "/", item->key, "/",
                                 cs_http_escape(item->value, p), NULL);
        call->label = apr_psprintf(p, "create %s %s %.80s", table, item->key, item->value);
    }
    else if (write->kind == CS_CRM_CREATE) {
        call->kind = CS_SF_CREATE;
        call->method = "POST";
        call->path = apr_pstrcat(p, "sobjects/", table, NULL);
        call->label = apr_psprintf(p, "create %s", table);
    }
    else {
        call->kind = write->kind == CS_CRM_DELETE ? CS_SF_DELETE : CS_SF_UPDATE;
        call->method = write->kind == CS_CRM_DELETE ? "DELETE" : "PATCH";
        call->path = apr_pstrcat(p, "sobjects/", table, "/", item->id, NULL);
        call->label = apr_psprintf(
            p, "%s %s %s", write->kind == CS_CRM_DELETE ? "delete" : "update", table, item->id);
        if (write->kind == CS_CRM_DELETE) {
            /* It is not taken there: the version was compared before. */
            call->unmodified = NULL;
        }
    }
}

/* ---- reading back ---- */

/* Rows of one table, by one column. */
typedef struct back_t {
    const char *table, *column;
    apr_array_header_t *items; /* item_t * */
} back_t;

static void add_back(apr_array_header_t *backs, item_t *item, const char *column, apr_pool_t *p)
{
    back_t *back = NULL;
    int i;

    for (i = backs->nelts; i-- > 0;) {
        back = &APR_ARRAY_IDX(backs, i, back_t);
        if (!strcmp(back->table, item->write->table) && !strcmp(back->column, column) &&
            back->items->nelts < CS_SF_MANY) {
            break;
        }
    }
    if (i < 0) {
        back = apr_array_push(backs);
        back->table = item->write->table;
        back->column = column;
        back->items = apr_array_make(p, 8, sizeof(item_t *));
    }
    APR_ARRAY_PUSH(back->items, item_t *) = item;
}

static const char *value_of(const item_t *item, const char *column)
{
    if (strcmp(column, "Id")) {
        return item->value;
    }
    return item->id ? item->id : item->write->made;
}

static const char *fields_text(const run_t *r, const back_t *back, cs_result_t *res)
{
    apr_array_header_t *fields = apr_array_make(r->p, 32, sizeof(const char *));
    apr_array_header_t *out = apr_array_make(r->p, 32, sizeof(const char *));
    const char *field;
    int i;

    for (i = 0; i < back->items->nelts; i++) {
        const cs_crm_write_t *write = APR_ARRAY_IDX(back->items, i, item_t *)->write;

        if (cs_sf_fields(fields, back->table, write->columns, r->p, res) != APR_SUCCESS) {
            return NULL;
        }
    }
    for (i = 0; i < fields->nelts; i++) {
        field = APR_ARRAY_IDX(fields, i, const char *);
        if (!cs_sf_is_hidden(r->crm, back->table, field) && strcmp(field, back->column)) {
            APR_ARRAY_PUSH(out, const char *) = field;
        }
    }
    return apr_pstrcat(r->p, back->column, ",", apr_array_pstrcat(r->p, out, ','), NULL);
}

static int make_back(const run_t *r, const back_t *back, cs_sf_call_t *call)
{
    apr_array_header_t *values = apr_array_make(r->p, 8, sizeof(const char *));
    cs_result_t why = {0};
    const char *fields = fields_text(r, back, &why);
    int i;

    for (i = 0; i < back->items->nelts; i++) {
        APR_ARRAY_PUSH(values, const char *) =
            cs_sf_quote(value_of(APR_ARRAY_IDX(back->items, i, item_t *), back->column), r->p);
    }
    return fields &&
           cs_sf_query(
               call,
               apr_pstrcat(r->p, "SELECT ", fields, " FROM ", back->table, " WHERE ", back->column,
                           " IN (", apr_array_pstrcat(r->p, values, ','), ")", NULL),
               apr_psprintf(r->p, "GET %d written rows of %s", back->items->nelts, back->table),
               r->p, &why) == APR_SUCCESS;
}

static void take_row(const run_t *r, const back_t *back, const json_t *row, apr_time_t date)
{
    const char *is = cs_json_str(row, back->column);
    int i;

    if (!strcmp(back->column, "Id")) {
        is = cs_sf_id(is, r->p);
    }
    for (i = 0; is && i < back->items->nelts; i++) {
        item_t *item = APR_ARRAY_IDX(back->items, i, item_t *);
        cs_crm_write_t *write = item->write;

        if (strcasecmp(is, value_of(item, back->column)) || write->result.cls != CS_CLASS_OK) {
            continue;
        }
        item->read = 1;
        write->made = write->made || write->kind != CS_CRM_CREATE
                          ? write->made
                          : cs_sf_id(cs_json_str(row, "Id"), r->p);
        if (write->columns) {
            write->record =
                cs_sf_record(row, write->table, write->columns, write->lookups, date, r->p);
        }
    }
}

/* 1 = a column was found to be hidden: asked again, it may be answered. */
static int take_back(const run_t *r, const back_t *back, cs_sf_call_t *call)
{
    const json_t *rows;
    const char *next;
    size_t i;

    APR_ARRAY_IDX(back->items, 0, item_t *)->write->calls += call->calls;
    if (call->result.cls != CS_CLASS_OK) {
        return cs_sf_hide(r->crm, back->table, &call->result);
    }
    rows = cs_sf_rows(call, &next, r->p);
    for (i = 0; i < json_array_size(rows); i++) {
        take_row(r, back, json_array_get(rows, i), call->date);
    }
    return 0;
}

/* ---- answers ---- */

static void take_made(const run_t *r, const item_t *item, cs_sf_call_t *call)
{
    cs_crm_write_t *write = item->write;

    write->made = cs_sf_id(cs_json_str(call->json, "id"), r->p);
    if (!write->made && (!item->key || call->status != 204)) {
        cs_sf_unreadable(call, "it does not name the row that was made", r->p);
        write->result = call->result;
    }
}

/* A gateway does not know what became of the request. What has a key or an id finds itself when it
 * is repeated; any other row would be made twice. */
static int may_be_made(const item_t *item, const cs_sf_call_t *call)
{
    return item->write->kind == CS_CRM_CREATE && !item->key && call->status >= 500 &&
           call->result.cls == CS_CLASS_RETRY && !cs_sf_error(call->json);
}

static void take_answer(const run_t *r, cs_sf_call_t *call)
{
    item_t *item = call->item;
    cs_crm_write_t *write = item->write;

    write->calls += call->calls;
    write->took = call->took;
    write->correlation = call->correlation;
    write->result = call->result;
    if (may_be_made(item, call)) {
        write->result.cls = CS_CLASS_UNKNOWN;
    }
    if (write->result.cls == CS_CLASS_OK && write->kind == CS_CRM_CREATE) {
        take_made(r, item, call);
    }
    if (write->kind == CS_CRM_DELETE && write->result.cls == CS_CLASS_GONE) {
        cs_result_clear(&write->result);
    }
}

/* What was written, and how it looks now, in as few requests as there can be. What is found by its
 * id or its key is read in the last of them. */
static apr_status_t send_all(run_t *r)
{
    apr_array_header_t *backs = apr_array_make(r->p, 4, sizeof(back_t));
    apr_size_t room = (apr_size_t)r->n * 2 + 1;
    cs_sf_call_t *calls = apr_pcalloc(r->p, sizeof(*calls) * room);
    char *late = apr_pcalloc(r->p, room);
    apr_status_t rv;
    int i, n = 0, m = 0;

    for (i = 0; i < r->n; i++) {
        item_t *item = &r->items[i];

        if (item->sent) {
            make_call(r, item, &calls[n++]);
            if (item->write->columns && (item->id || item->key)) {
                add_back(backs, item, item->key ? item->key : "Id", r->p);
            }
        }
    }
    for (i = 0; i < backs->nelts; i++) {
        back_t *back = &APR_ARRAY_IDX(backs, i, back_t);

        if (make_back(r, back, &calls[n + m])) {
            calls[n + m].item = back;
            late[n + m++] = 1;
        }
    }
    rv = cs_sf_send_together(r->crm, calls, late, n + m, r->deadline, r->p);
    for (i = 0; i < n; i++) {
        take_answer(r, &calls[i]);
    }
    for (i = n; i < n + m; i++) {
        take_back(r, calls[i].item, &calls[i]);
    }
    return rv;
}

static int lacks(const item_t *item)
{
    const cs_crm_write_t *write = item->write;

    if (!item->sent || item->read || write->result.cls != CS_CLASS_OK ||
        write->kind == CS_CRM_DELETE) {
        return 0;
    }
    return write->columns != NULL || (write->kind == CS_CRM_CREATE && !write->made);
}

/* What could not be read in the same request: rows whose ids came with the answers, and those whose
 * query named a hidden column. */
static apr_status_t read_rest(run_t *r, int *pagain)
{
    apr_array_header_t *backs = apr_array_make(r->p, 4, sizeof(back_t));
    cs_sf_call_t *calls;
    apr_status_t rv;
    int i, m = 0;

    for (i = 0; i < r->n; i++) {
        if (lacks(&r->items[i])) {
            add_back(backs, &r->items[i],
                     r->items[i].id || r->items[i].write->made ? "Id" : r->items[i].key, r->p);
        }
    }
    calls = apr_pcalloc(r->p, sizeof(*calls) * (apr_size_t)(backs->nelts + 1));
    for (i = 0; i < backs->nelts; i++) {
        back_t *back = &APR_ARRAY_IDX(backs, i, back_t);

        if (make_back(r, back, &calls[m])) {
            calls[m++].item = back;
        }
    }
    *pagain = 0;
    rv = cs_sf_send_together(r->crm, calls, NULL, m, r->deadline, r->p);
    for (i = 0; i < m; i++) {
        *pagain |= take_back(r, calls[i].item, &calls[i]);
    }
    return rv;
}

/* A create by key that nobody names the row of: done, but by what id is not known. */
static void check_made(const run_t *r)
{
    int i;

    for (i = 0; i < r->n; i++) {
        cs_crm_write_t *write = r->items[i].write;

        if (r->items[i].sent && write->kind == CS_CRM_CREATE && write->result.cls == CS_CLASS_OK &&
            !write->made) {
            cs_result_set(&write->result, r->p, CS_EPARSE, CS_CLASS_UNKNOWN, "salesforce:answer",
                          "create %s %s %.80s: no answer names the row that was made", write->table,
                          r->items[i].key, r->items[i].value);
        }
    }
}

/* ---- deletes ---- */

/* There is no condition on a delete: the version is compared before it. */
static apr_status_t check_versions(run_t *r)
{
    cs_crm_read_t *reads = apr_pcalloc(r->p, sizeof(*reads) * (apr_size_t)(r->n + 1));
    item_t **mine = apr_pcalloc(r->p, sizeof(*mine) * (apr_size_t)(r->n + 1));
    apr_status_t rv;
    int i, n = 0;

    for (i = 0; i < r->n; i++) {
        if (r->items[i].sent && r->items[i].write->kind == CS_CRM_DELETE &&
            r->items[i].write->guard) {
            reads[n].table = r->items[i].write->table;
            reads[n].id = r->items[i].id;
            mine[n++] = &r->items[i];
        }
    }
    rv = cs_sf_read(r->crm, reads, n, r->deadline, r->p);
    for (i = 0; i < n; i++) {
        cs_crm_write_t *write = mine[i]->write;
        apr_size_t len = strcspn(write->guard, "~");

        write->calls += reads[i].calls;
        if (reads[i].result.cls == CS_CLASS_GONE) {
            mine[i]->sent = 0;
        }
        else if (reads[i].result.cls != CS_CLASS_OK) {
            write->result = reads[i].result;
            mine[i]->sent = 0;
        }
        else if (strcspn(reads[i].record->version, "~") != len ||
                 strncmp(reads[i].record->version, write->guard, len)) {
            cs_result_set(&write->result, r->p, CS_EREMOTE, CS_CLASS_CONFLICT, "salesforce:version",
                          "delete %s %s: it changed since it was read", write->table, write->id);
            mine[i]->sent = 0;
        }
    }
    return rv;
}

apr_status_t cs_sf_write(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_interval_time_t deadline,
                         apr_pool_t *p)
{
    run_t r = {.crm = crm, .n = n, .deadline = deadline, .p = p};
    apr_status_t rv;
    int i, tries = 0, again = 1;

    r.items = apr_pcalloc(p, sizeof(*r.items) * (apr_size_t)(n + 1));
    for (i = 0; i < n; i++) {
        r.items[i].sent = 0;
        if (take_write(&r.items[i], &writes[i], p) == APR_SUCCESS) {
            r.items[i].sent = 1;
        }
    }
    rv = check_versions(&r);
    if (rv == APR_SUCCESS) {
        rv = send_all(&r);
    }
    while (rv == APR_SUCCESS && again && tries++ < MOST_TRIES) {
        rv = read_rest(&r, &again);
    }
    check_made(&r);
    for (i = 0; i < n && rv != APR_SUCCESS; i++) {
        if (r.items[i].sent && writes[i].result.cls == CS_CLASS_OK && !writes[i].calls) {
            cs_result_set(&writes[i].result, p, rv, CS_CLASS_RETRY, "transport",
                          "no request could be sent to %s", crm->cfg.name);
        }
    }
    return rv;
}
