/* Rows by id or key, with the rows that belong to them: all of a batch in as few composites of
 * queries as there can be. (deals 5; crm-apis.md B5, B6, C4) */
#include "rows.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/text.h"

#define MOST_TRIES 40 /* queries that are made again without a hidden column */

/* ---- what is asked for ---- */

/* A key is one column with a text. */
static int take_key(cs_sf_item_t *item, const json_t *key, apr_pool_t *p)
{
    const char *column;
    json_t *value;

    if (json_object_size(key) != 1) {
        return 0;
    }
    json_object_foreach((json_t *)key, column, value) {
        item->key = column;
        item->value = json_is_string(value) ? cs_text_trimmed(json_string_value(value), p) : "";
    }
    return cs_sf_name_valid(item->key) && *item->value;
}

/* 0 = said in the result. */
static int take_read(cs_sf_item_t *item, cs_crm_read_t *read, apr_pool_t *p)
{
    memset(item, 0, sizeof(*item));
    item->read = read;
    read->record = NULL;
    read->calls = 0;
    read->took = 0;
    read->correlation = NULL;
    cs_result_clear(&read->result);
    item->entries = apr_pcalloc(
        p, sizeof(cs_sf_entry_t) * (apr_size_t)((read->related ? read->related->nelts : 0) + 1));
    if (!cs_sf_name_valid(read->table)) {
        cs_result_set(&read->result, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:table",
                      "\"%.128s\" is not the name of a table", read->table ? read->table : "");
        return 0;
    }
    if (read->key) {
        if (take_key(item, read->key, p)) {
            return 1;
        }
        cs_result_set(&read->result, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:key",
                      "a row of %s is found by one column with a text, not by %.200s", read->table,
                      cs_json_print(read->key, p));
        return 0;
    }
    item->id = cs_sf_id(read->id, p);
    if (!item->id) {
        cs_result_set(&read->result, p, CS_EPARSE, CS_CLASS_REFUSED, "salesforce:id",
                      "\"%.80s\" is not an id of 15 or 18 characters", read->id ? read->id : "");
    }
    return item->id != NULL;
}

/* ---- what a query's trouble means ---- */

static void fail_item(cs_sf_item_t *item, const cs_result_t *why)
{
    item->answered = 1;
    item->read->record = NULL;
    if (item->read->result.cls == CS_CLASS_OK) {
        item->read->result = *why;
    }
}

/* A refused list is unreadable and nothing more; trouble on the way is not the list's: what was not
 * answered is asked for again, with its record. */
static void fail_query(const cs_sf_run_t *r, const cs_sf_query_t *q, const cs_result_t *why)
{
    int i, passing = why->cls == CS_CLASS_RETRY || why->cls == CS_CLASS_THROTTLED ||
                     why->cls == CS_CLASS_TOKEN || why->cls == CS_CLASS_UNKNOWN ||
                     (why->cls == CS_CLASS_SUSPEND && strcmp(why->problem, "config:column") &&
                      strcmp(why->problem, "config:table"));

    for (i = 0; i < q->items->nelts; i++) {
        cs_sf_item_t *item = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *);

        if (!q->list || passing) {
            fail_item(item, why);
        }
        else {
            cs_sf_entry_of(item, q->list)->bad = 1;
        }
    }
    if (q->list && !passing) {
        cs_sf_give_up(r, q->list, why->problem, why->detail);
    }
}

/* ---- rows ---- */

static int text_equal(const char *a, const char *b)
{
    return a && b && !strcasecmp(a, b);
}

static void take_record(const cs_sf_run_t *r, cs_sf_item_t *item, const json_t *row,
                        apr_time_t date)
{
    cs_crm_read_t *read = item->read;

    if (read->record) {
        item->several = 1;
        return;
    }
    read->record = cs_sf_record(row, read->table, read->columns, read->lookups, date, r->p);
    if (!read->record) {
        cs_result_set(&read->result, r->p, CS_EPARSE, CS_CLASS_RETRY, "salesforce:answer",
                      "GET %s: the answer holds what is no row", read->table);
    }
}

static void take_record_row(const cs_sf_run_t *r, const cs_sf_query_t *q, const json_t *row,
                            apr_time_t date)
{
    const char *id = cs_sf_id(cs_json_str(row, "Id"), r->p);
    const char *value = q->key ? cs_json_str(row, q->key) : NULL;
    int i;

    value = value ? cs_text_trimmed(value, r->p) : NULL;
    for (i = 0; i < q->items->nelts; i++) {
        cs_sf_item_t *item = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *);

        if (q->key ? text_equal(value, item->value) : id && !strcmp(id, item->id)) {
            take_record(r, item, row, date);
        }
    }
}

static void follow(cs_sf_run_t *r, cs_sf_query_t *q, const char *next)
{
    cs_sf_query_t *more;
    cs_result_t why = {0};

    if (q->rounds >= CS_SF_MAX_ROUNDS) {
        cs_result_set(&why, r->p, CS_ELIMIT, CS_CLASS_REFUSED, "too-many",
                      "GET %s: the answer has more than %d pages", q->table, CS_SF_MAX_ROUNDS);
        fail_query(r, q, &why);
        return;
    }
    more = cs_sf_new_query(r, q->list, q->table, q->key);
    more->items = q->items;
    more->next = next;
    more->rounds = q->rounds + 1;
}

/* What has the form of an id need not be one, and makes the CRM refuse the query for all. */
static int is_no_id(const cs_result_t *res)
{
    static const char *const problems[] = {"salesforce:INVALID_QUERY_FILTER_OPERATOR",
                                           "salesforce:MALFORMED_ID", "salesforce:INVALID_ID_FIELD",
                                           NULL};
    int i;

    for (i = 0; problems[i] && (!res->problem || strcmp(problems[i], res->problem)); i++)
        ;
    return res->cls == CS_CLASS_REFUSED && problems[i] != NULL;
}

/* 1 = asked again in halves, until it is about that one alone: then there is no such row. */
static int find_no_id(cs_sf_run_t *r, const cs_sf_query_t *q, cs_result_t *res)
{
    if (q->key || q->next || !is_no_id(res)) {
        return 0;
    }
    if (r->tries < MOST_TRIES && cs_sf_halve(r, q)) {
        r->tries++;
        return 1;
    }
    if (q->items->nelts == 1 && !q->list) {
        res->cls = CS_CLASS_GONE;
    }
    return 0;
}

static void take_query(cs_sf_run_t *r, cs_sf_query_t *q, cs_sf_call_t *call)
{
    cs_crm_read_t *first = APR_ARRAY_IDX(q->items, 0, cs_sf_item_t *)->read;
    const json_t *rows;
    const char *next;
    size_t i;

    first->calls += call->calls;
    for (i = 0; i < (size_t)q->items->nelts; i++) {
        cs_crm_read_t *read = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *)->read;

        read->took += q->list ? 0 : call->took;
        read->correlation = call->correlation ? call->correlation : read->correlation;
    }
    if (call->result.cls != CS_CLASS_OK) {
        if (r->tries < MOST_TRIES && !q->next &&
            cs_sf_hide(r->crm, q->list ? q->list->table : q->table, &call->result)) {
            r->tries++;
            APR_ARRAY_PUSH(r->open, cs_sf_query_t *) = q;
            return;
        }
        if (find_no_id(r, q, &call->result)) {
            return;
        }
        fail_query(r, q, &call->result);
        return;
    }
    rows = cs_sf_rows(call, &next, r->p);
    if (!rows) {
        fail_query(r, q, &call->result);
        return;
    }
    for (i = 0; i < json_array_size(rows); i++) {
        if (q->list) {
            cs_sf_take_list_row(r, q, json_array_get(rows, i), call->date);
        }
        else {
            take_record_row(r, q, json_array_get(rows, i), call->date);
        }
    }
    if (next) {
        follow(r, q, next);
    }
}

/* ---- rounds ---- */

static int ask(cs_sf_run_t *r, cs_sf_query_t *q, cs_sf_call_t *call)
{
    cs_result_t why = {0};

    if (q->next) {
        memset(call, 0, sizeof(*call));
        call->kind = CS_SF_READ;
        call->method = "GET";
        call->path = q->next;
        call->label = cs_sf_label_of(q, r->p);
        call->query = 1;
    }
    else if (cs_sf_make_query(r, q, call, &why) != APR_SUCCESS) {
        if (why.rv != CS_ELIMIT || !cs_sf_halve(r, q)) {
            fail_query(r, q, &why);
        }
        return 0;
    }
    call->item = q;
    return 1;
}

static apr_status_t round_of(cs_sf_run_t *r)
{
    apr_array_header_t *queries = r->open;
    cs_sf_call_t *calls = apr_pcalloc(r->p, sizeof(*calls) * (apr_size_t)(queries->nelts + 1));
    apr_status_t rv;
    int i, n = 0;

    r->open = apr_array_make(r->p, 4, sizeof(cs_sf_query_t *));
    for (i = 0; i < queries->nelts; i++) {
        n += ask(r, APR_ARRAY_IDX(queries, i, cs_sf_query_t *), &calls[n]);
    }
    rv = cs_sf_send_together(r->crm, calls, NULL, n, r->deadline, r->p);
    for (i = 0; i < n; i++) {
        take_query(r, calls[i].item, &calls[i]);
    }
    return rv;
}

/* ---- at the end ---- */

static void finish(const cs_sf_run_t *r, cs_sf_item_t *item)
{
    cs_crm_read_t *read = item->read;
    const char *id = item->id ? item->id : item->value;

    if (read->result.cls != CS_CLASS_OK) {
        read->record = NULL;
    }
    else if (item->several) {
        read->record = NULL;
        cs_result_set(&read->result, r->p, CS_EREMOTE, CS_CLASS_DUPLICATE,
                      "salesforce:DUPLICATE_EXTERNAL_ID", "several rows of %s have %s = %s",
                      read->table, item->key, id);
    }
    else if (!read->record) {
        cs_result_set(&read->result, r->p, CS_EREMOTE, CS_CLASS_GONE, "salesforce:NOT_FOUND",
                      "there is no row %s %s, or the user may not see it", read->table, id);
    }
    else {
        cs_sf_hand_over_lists(r, item);
    }
}

apr_status_t cs_sf_read_all(cs_crm_t *crm, cs_crm_read_t *reads, int n,
                            apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_sf_run_t r = {.crm = crm, .deadline = deadline, .p = p};
    apr_status_t rv = APR_SUCCESS;
    int i, good;

    r.items = apr_pcalloc(p, sizeof(*r.items) * (apr_size_t)(n + 1));
    r.n = n;
    r.open = apr_array_make(p, 8, sizeof(cs_sf_query_t *));
    for (i = 0; i < n; i++) {
        good = take_read(&r.items[i], &reads[i], p);
        if (good) {
            cs_sf_add_item(&r, &r.items[i], NULL);
        }
        else {
            r.items[i].answered = 1;
        }
    }
    for (i = 0; i < n; i++) {
        if (!r.items[i].answered) {
            cs_sf_ask_lists(&r, &r.items[i]);
        }
    }
    while (r.open->nelts && rv == APR_SUCCESS) {
        rv = round_of(&r);
    }
    for (i = 0; i < n; i++) {
        finish(&r, &r.items[i]);
    }
    return rv;
}

apr_status_t cs_sf_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                        apr_pool_t *p)
{
    apr_status_t rv = cs_sf_read_all(crm, reads, n, deadline, p);

    if (rv == APR_SUCCESS) {
        cs_sf_follow_merges(crm, reads, n, deadline, p);
    }
    return rv;
}
