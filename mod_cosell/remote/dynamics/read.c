#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"

#define MAX_CANDIDATES 10
#define MAX_PATH 60000

static int known_id(const char *id)
{
    return id && cs_uuid_valid(id, strlen(id));
}

/* ---- rows by id ---- */

/* A look-up's id can be read without knowing more; a path needs its navigation property. */
static void want_of_read(cs_crm_t *crm, apr_array_header_t *names, const cs_crm_read_t *read,
                         apr_pool_t *p)
{
    const char *column, *slash;
    int i;

    cs_dyn_want(crm, names, read->table, NULL);
    for (i = 0; read->columns && i < read->columns->nelts; i++) {
        column = APR_ARRAY_IDX(read->columns, i, const char *);
        slash = strchr(column, '/');
        if (slash) {
            cs_dyn_want(crm, names, read->table,
                        apr_pstrmemdup(p, column, (apr_size_t)(slash - column)));
        }
    }
}

static void take_row(const cs_dyn_batch_t *batch, int at)
{
    const cs_dyn_call_t *call = &batch->calls[at];
    const cs_http_response_t *response = &batch->responses[at];
    const cs_http_request_t *request = &batch->requests[at];
    cs_crm_read_t *read = call->item;
    json_t *json;

    read->calls += response->calls;
    read->took = response->took;
    read->correlation = response->correlation;
    cs_dyn_classify(&read->result, response, request, CS_DYN_READ, call->id, batch->p);
    if (read->result.cls != CS_CLASS_OK ||
        !(json = cs_dyn_object(&read->result, response, request, CS_DYN_READ, batch->p))) {
        return;
    }
    read->record = cs_dyn_record(json, apr_table_get(response->headers, "ETag"), call->table,
                                 read->columns, read->lookups, batch->p);
    if (!read->record || strcasecmp(read->record->id, read->id)) {
        read->record = NULL;
        cs_dyn_unreadable(&read->result, response, request, CS_DYN_READ,
                          "the answer is not the row that was asked for", batch->p);
    }
}

static void ask_row(cs_dyn_batch_t *batch, cs_crm_read_t *read, apr_hash_t *failures)
{
    cs_dyn_call_t call = {.item = read,
                          .take = take_row,
                          .result = &read->result,
                          .table = read->table ? cs_dyn_table(batch->crm, read->table) : NULL,
                          .id = read->id,
                          .kind = CS_DYN_READ};
    apr_pool_t *p = batch->p;
    apr_array_header_t *names = apr_array_make(p, 2, sizeof(const char *));
    const char *query, *path;

    want_of_read(batch->crm, names, read, p);
    if (!call.table || names->nelts) {
        cs_dyn_unknown(&read->result, names, failures, p);
        return;
    }
    if (!known_id(read->id)) {
        cs_result_set(&read->result, p, CS_EPARSE, CS_CLASS_REFUSED, "dataverse:id",
                      "\"%.80s\" is not a GUID", read->id ? read->id : "");
        return;
    }
    if (cs_dyn_select(&query, call.table, read->columns, read->lookups, 1, p, &read->result) !=
        APR_SUCCESS) {
        return;
    }
    path = apr_pstrcat(p, call.table->set, "(", read->id, ")?", query, NULL);
    if (strlen(path) > MAX_PATH) {
        cs_result_set(&read->result, p, CS_ELIMIT, CS_CLASS_SUSPEND, "config:column",
                      "too many columns of %s for one address", read->table);
        return;
    }
    cs_dyn_batch_add(batch, "GET", path, apr_psprintf(p, "GET %s %s", read->table, read->id),
                     &call);
}

static void clear_read(cs_crm_read_t *read)
{
    read->record = NULL;
    read->calls = 0;
    read->took = 0;
    read->correlation = NULL;
    cs_result_clear(&read->result);
}

/* Tables and team templates that these reads need and that are not known yet. */
static apr_status_t prepare(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_hash_t *failures,
                            apr_interval_time_t deadline, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 4, sizeof(const char *));
    apr_array_header_t *templates = apr_array_make(p, 2, sizeof(const char *));
    apr_status_t rv = APR_SUCCESS;
    int i, calls = 0, more = 0;

    for (i = 0; i < n; i++) {
        clear_read(&reads[i]);
        want_of_read(crm, names, &reads[i], p);
        cs_dyn_lists_want(crm, &reads[i], names, templates);
    }
    if (names->nelts) {
        rv = cs_dyn_learn(crm, names, deadline, &calls, failures, p);
    }
    if (rv == APR_SUCCESS && templates->nelts) {
        rv = cs_dyn_templates(crm, templates, deadline, &more, failures, p);
    }
    if (n > 0) {
        reads[0].calls = calls + more;
    }
    return rv;
}

/* The first page of everything in one batch, then what lists have left, and what is read of closed
 * records alone. */
static apr_status_t read_all(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_hash_t *failures,
                             apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_dyn_lists_t *lists = cs_dyn_lists_make(crm, reads, n, failures, p);
    cs_dyn_batch_t batch;
    apr_status_t rv = APR_SUCCESS, one;
    int i, open = cs_dyn_lists_open(lists), rounds = 0;

    cs_dyn_batch_init(&batch, crm, n + open, p);
    for (i = 0; i < n; i++) {
        ask_row(&batch, &reads[i], failures);
    }
    for (;;) {
        cs_dyn_lists_ask(lists, &batch);
        one = cs_dyn_batch_send(&batch, deadline);
        rv = rv == APR_SUCCESS ? one : rv;
        cs_dyn_batch_take(&batch, one);
        if (!rounds++) {
            cs_dyn_lists_of_closed(lists, reads, n, failures);
        }
        open = cs_dyn_lists_open(lists);
        if (!open || one != APR_SUCCESS) {
            break;
        }
        cs_dyn_batch_init(&batch, crm, open, p);
    }
    cs_dyn_lists_finish(lists);
    return rv;
}

apr_status_t cs_dyn_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                         apr_pool_t *p)
{
    apr_hash_t *failures = apr_hash_make(p);
    apr_status_t rv;
    int i;

    rv = prepare(crm, reads, n, failures, deadline, p);
    if (rv == APR_SUCCESS) {
        return read_all(crm, reads, n, failures, deadline, p);
    }
    for (i = 0; i < n; i++) {
        cs_result_set(&reads[i].result, p, rv, CS_CLASS_RETRY, "transport",
                      "no request could be sent to %s", crm->cfg.name);
    }
    return rv;
}

/* ---- rows by key ---- */

/* Where one search stands: key sets are tried one after the other. */
typedef struct search_t {
    cs_crm_find_t *find;
    size_t next;
    int done;
} search_t;

static json_t *candidate(const json_t *row, const cs_dyn_table_t *table)
{
    const char *id = cs_json_str(row, table->key),
               *name = table->title ? cs_json_str(row, table->title) : NULL;

    return known_id(id) ? json_pack("{s:s, s:s}", "id", id, "name", name ? name : "") : NULL;
}

/* Fills candidates; 0 when the answer is no list of rows. */
static int take_candidates(cs_crm_find_t *find, const json_t *page, const cs_dyn_table_t *table,
                           apr_pool_t *p)
{
    const json_t *value = cs_json_get(page, "value");
    json_t *one;
    size_t i;

    if (!json_is_array(value)) {
        return 0;
    }
    find->candidates = cs_json_own(json_array(), p);
    for (i = 0; i < json_array_size(value) && i < MAX_CANDIDATES; i++) {
        one = candidate(json_array_get(value, i), table);
        if (!one) {
            return 0;
        }
        json_array_append_new(find->candidates, one);
    }
    return 1;
}

static void take_found(const cs_dyn_batch_t *batch, int at)
{
    const cs_dyn_call_t *call = &batch->calls[at];
    const cs_http_response_t *response = &batch->responses[at];
    const cs_http_request_t *request = &batch->requests[at];
    search_t *s = call->item;
    cs_crm_find_t *find = s->find;
    json_t *page;

    find->calls += response->calls;
    find->took += response->took;
    find->correlation = response->correlation ? response->correlation : find->correlation;
    cs_dyn_classify(&find->result, response, request, CS_DYN_READ, NULL, batch->p);
    if (find->result.cls != CS_CLASS_OK ||
        !(page = cs_dyn_object(&find->result, response, request, CS_DYN_READ, batch->p))) {
        s->done = 1;
        return;
    }
    if (!take_candidates(find, page, call->table, batch->p)) {
        find->candidates = NULL;
        s->done = 1;
        cs_dyn_unreadable(&find->result, response, request, CS_DYN_READ,
                          "the answer is not a list of rows", batch->p);
        return;
    }
    find->found =
        json_array_size(find->candidates) > 1 ? 2 : (int)json_array_size(find->candidates);
    if (find->found == 1) {
        find->id = apr_pstrdup(batch->p, cs_json_str(json_array_get(find->candidates, 0), "id"));
    }
    if (find->found != 2) {
        find->candidates = NULL;
    }
    s->done = find->found > 0;
}

/* The next key set that is not empty as a request; marks the search as done when there is none. */
static void ask_key(cs_dyn_batch_t *batch, search_t *s, apr_hash_t *failures)
{
    cs_crm_find_t *find = s->find;
    cs_dyn_call_t call = {.item = s,
                          .take = take_found,
                          .result = &find->result,
                          .table = find->table ? cs_dyn_table(batch->crm, find->table) : NULL,
                          .kind = CS_DYN_READ};
    apr_array_header_t *names = apr_array_make(batch->p, 1, sizeof(const char *));
    const char *filter = NULL, *path;
    apr_pool_t *p = batch->p;

    s->done = 1;
    if (!call.table) {
        APR_ARRAY_PUSH(names, const char *) = find->table ? find->table : "";
        cs_dyn_unknown(&find->result, names, failures, p);
        return;
    }
    while (!filter && s->next < json_array_size(find->keys)) {
        const json_t *key = json_array_get(find->keys, s->next++);

        if (cs_dyn_filter(&filter, key, find->where, call.table, p, &find->result) != APR_SUCCESS) {
            return;
        }
    }
    if (!filter) {
        return;
    }
    path = apr_pstrcat(p, call.table->set, "?$select=", call.table->key,
                       call.table->title ? "," : "", call.table->title ? call.table->title : "",
                       "&$top=", APR_STRINGIFY(MAX_CANDIDATES),
                       "&$filter=", cs_http_escape(filter, p), NULL);
    if (strlen(path) > MAX_PATH) {
        cs_result_set(&find->result, p, CS_ELIMIT, CS_CLASS_DATA, "dataverse:key",
                      "a key of %s is too long to be searched for", find->table);
        return;
    }
    s->done = 0;
    cs_dyn_batch_add(batch, "GET", path, apr_psprintf(p, "find %s", find->table), &call);
}

static apr_status_t find_round(cs_crm_t *crm, search_t *searches, int n, apr_hash_t *failures,
                               apr_interval_time_t deadline, apr_pool_t *p, int *pasked)
{
    cs_dyn_batch_t batch;
    apr_status_t rv;
    int i;

    cs_dyn_batch_init(&batch, crm, n, p);
    for (i = 0; i < n; i++) {
        if (!searches[i].done) {
            ask_key(&batch, &searches[i], failures);
        }
    }
    *pasked = batch.n;
    rv = cs_dyn_batch_send(&batch, deadline);
    cs_dyn_batch_take(&batch, rv);
    return rv;
}

apr_status_t cs_dyn_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline,
                         apr_pool_t *p)
{
    search_t *searches = apr_pcalloc(p, sizeof(*searches) * (apr_size_t)(n + 1));
    apr_array_header_t *names = apr_array_make(p, 4, sizeof(const char *));
    apr_hash_t *failures = apr_hash_make(p);
    apr_status_t rv;
    int i, asked = 1, calls = 0;

    for (i = 0; i < n; i++) {
        finds[i].found = 0;
        finds[i].id = NULL;
        finds[i].candidates = NULL;
        finds[i].calls = 0;
        finds[i].took = 0;
        finds[i].correlation = NULL;
        cs_result_clear(&finds[i].result);
        searches[i].find = &finds[i];
        cs_dyn_want(crm, names, finds[i].table, NULL);
    }
    rv = names->nelts ? cs_dyn_learn(crm, names, deadline, &calls, failures, p) : APR_SUCCESS;
    if (n > 0) {
        finds[0].calls = calls;
    }
    while (n > 0 && rv == APR_SUCCESS && asked) {
        rv = find_round(crm, searches, n, failures, deadline, p, &asked);
    }
    for (i = 0; i < n && rv != APR_SUCCESS; i++) {
        if (!searches[i].done) {
            cs_result_set(&finds[i].result, p, rv, CS_CLASS_RETRY, "transport",
                          "no request could be sent to %s", crm->cfg.name);
        }
    }
    return rv;
}
