/* Rows by id or key, with the rows that belong to them: all of a batch in as few composites of
 * queries as there can be. (deals 5; crm-apis.md B5, B6, C4) */
#include "client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"

#define MOST_ROWS 500  /* of one list of one record */
#define MOST_TRIES 40  /* queries that are made again without a hidden column */

/* One list of one record. */
typedef struct entry_t {
    const cs_related_t *list;
    json_t *rows;      /* array; borrowed from p */
    apr_hash_t *seen;  /* ids */
    int bad;           /* unreadable */
} entry_t;

/* One record that is read. */
typedef struct item_t {
    cs_crm_read_t *read;
    const char *id;         /* 18 characters; NULL = found by */
    const char *key, *value; /* column and trimmed text */
    int answered;           /* its query was */
    int several;
    entry_t *entries; /* one for each list of the read */
} item_t;

/* One query: some records of a table, or one list of some records. */
typedef struct query_t {
    const cs_related_t *list; /* NULL = the records themselves */
    const char *table, *key;  /* key NULL = by id */
    apr_array_header_t *items; /* item_t * */
    const char *next;          /* path of a further page; NULL = the first */
    int rounds;
} query_t;

typedef struct run_t {
    cs_crm_t *crm;
    item_t *items;
    int n;
    apr_array_header_t *open; /* query_t * */
    int tries;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} run_t;

/* ---- what is asked for ---- */

static int lists_of(const cs_crm_read_t *read)
{
    return read->related ? read->related->nelts : 0;
}

static const cs_related_t *list_of(const cs_crm_read_t *read, int at)
{
    return &APR_ARRAY_IDX(read->related, at, cs_related_t);
}

static const char *trimmed(const char *text, apr_pool_t *p)
{
    apr_size_t len;

    while (*text && apr_isspace(*text)) {
        text++;
    }
    for (len = strlen(text); len > 0 && apr_isspace(text[len - 1]); len--)
        ;
    return apr_pstrmemdup(p, text, len);
}

/* A key is one column with a text. */
static int take_key(item_t *item, const json_t *key, apr_pool_t *p)
{
    const char *column;
    json_t *value;

    if (json_object_size(key) != 1) {
        return 0;
    }
    json_object_foreach((json_t *)key, column, value) {
        item->key = column;
        item->value = json_is_string(value) ? trimmed(json_string_value(value), p) : "";
    }
    return cs_sf_name_valid(item->key) && *item->value;
}

/* 0 = said in the result. */
static int take_read(item_t *item, cs_crm_read_t *read, apr_pool_t *p)
{
    memset(item, 0, sizeof(*item));
    item->read = read;
    read->record = NULL;
    read->calls = 0;
    read->took = 0;
    read->correlation = NULL;
    cs_result_clear(&read->result);
    item->entries = apr_pcalloc(p, sizeof(entry_t) * (apr_size_t)(lists_of(read) + 1));
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

/* ---- queries ---- */

static query_t *new_query(run_t *r, const cs_related_t *list, const char *table, const char *key)
{
    query_t *q = apr_pcalloc(r->p, sizeof(*q));

    q->list = list;
    q->table = table;
    q->key = key;
    q->items = apr_array_make(r->p, 8, sizeof(item_t *));
    APR_ARRAY_PUSH(r->open, query_t *) = q;
    return q;
}

static int same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static int same_columns(const apr_array_header_t *a, const apr_array_header_t *b)
{
    int i;

    if (a == b || !a || !b || a->nelts != b->nelts) {
        return a == b;
    }
    for (i = 0; i < a->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(a, i, const char *), APR_ARRAY_IDX(b, i, const char *))) {
            return 0;
        }
    }
    return 1;
}

static int same_list(const cs_related_t *a, const cs_related_t *b)
{
    return a == b ||
           (a && b && same(a->list, b->list) && same(a->table, b->table) &&
            same(a->parent, b->parent) && same_columns(a->columns, b->columns) &&
            (a->where == b->where || (a->where && b->where && json_equal(a->where, b->where))));
}

/* The query that takes one more of these, else a new one. */
static void add_item(run_t *r, item_t *item, const cs_related_t *list)
{
    const char *table = item->read->table;
    query_t *q = NULL;
    int i;

    for (i = r->open->nelts; i-- > 0;) {
        q = APR_ARRAY_IDX(r->open, i, query_t *);
        if (!q->next && q->items->nelts < CS_SF_MANY && same(q->table, table) &&
            same(q->key, item->key) && same_list(q->list, list)) {
            break;
        }
    }
    q = i >= 0 ? q : new_query(r, list, table, item->key);
    APR_ARRAY_PUSH(q->items, item_t *) = item;
}

/* "Opportunity__c", or "Opportunity__r.Referral_Identifier__c"; "Id", or the key column. */
static const char *condition_column(const query_t *q, apr_pool_t *p)
{
    const char *relation;

    if (!q->list) {
        return q->key ? q->key : "Id";
    }
    if (!q->key) {
        return q->list->parent;
    }
    relation = cs_sf_relation(q->list->parent, p);
    return relation ? apr_pstrcat(p, relation, ".", q->key, NULL) : NULL;
}

static const char *values_of(const query_t *q, apr_pool_t *p)
{
    apr_array_header_t *values = apr_array_make(p, q->items->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < q->items->nelts; i++) {
        const item_t *item = APR_ARRAY_IDX(q->items, i, item_t *);

        APR_ARRAY_PUSH(values, const char *) = cs_sf_quote(q->key ? item->value : item->id, p);
    }
    return apr_array_pstrcat(p, values, ',');
}

static const char *visible(const run_t *r, const char *table, const apr_array_header_t *fields)
{
    apr_array_header_t *out = apr_array_make(r->p, fields->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const char *field = APR_ARRAY_IDX(fields, i, const char *);

        if (!cs_sf_is_hidden(r->crm, table, field)) {
            APR_ARRAY_PUSH(out, const char *) = field;
        }
    }
    return apr_array_pstrcat(r->p, out, ',');
}

/* The fields that any of its records asks for. */
static apr_status_t fields_of(const run_t *r, const query_t *q, const char **pfields,
                              cs_result_t *res)
{
    apr_array_header_t *fields = apr_array_make(r->p, 32, sizeof(const char *));
    const char *table = q->list ? q->list->table : q->table;
    const apr_array_header_t *last = NULL;
    apr_status_t rv;
    int i;

    rv = cs_sf_fields(fields, table, q->list ? q->list->columns : NULL, r->p, res);
    for (i = 0; rv == APR_SUCCESS && !q->list && i < q->items->nelts; i++) {
        const cs_crm_read_t *read = APR_ARRAY_IDX(q->items, i, item_t *)->read;

        if (read->columns && read->columns != last) {
            last = read->columns;
            rv = cs_sf_fields(fields, table, last, r->p, res);
        }
    }
    if (q->list || q->key) {
        const char *more = q->list ? q->list->parent : q->key;

        for (i = 0; i < fields->nelts && strcmp(APR_ARRAY_IDX(fields, i, const char *), more); i++)
            ;
        if (i == fields->nelts) {
            APR_ARRAY_PUSH(fields, const char *) = more;
        }
    }
    *pfields = visible(r, table, fields);
    return rv;
}

static const char *label_of(const query_t *q, apr_pool_t *p)
{
    const item_t *first = APR_ARRAY_IDX(q->items, 0, item_t *);
    const char *id = first->id ? first->id : first->value;
    int n = q->items->nelts;

    return apr_psprintf(p, n > 1 ? "GET %s%s %s and %d more" : "GET %s%s %s",
                        q->list ? "list of " : "", q->table, id, n - 1);
}

static apr_status_t make_query(const run_t *r, const query_t *q, cs_sf_call_t *call,
                               cs_result_t *res)
{
    const char *fields, *column = condition_column(q, r->p), *text;
    apr_status_t rv;

    if (!column) {
        return cs_result_set(res, r->p, CS_EPARSE, CS_CLASS_SUSPEND, "config:column",
                             "column \"%.128s\" is not the name of a look-up", q->list->parent);
    }
    rv = fields_of(r, q, &fields, res);
    if (rv == APR_SUCCESS) {
        text = apr_pstrcat(r->p, column, " IN (", values_of(q, r->p), ")", NULL);
        rv = cs_sf_where(&text, text, q->list ? q->list->where : NULL, r->p, res);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    text = apr_pstrcat(r->p, "SELECT ", fields, " FROM ", q->list ? q->list->table : q->table,
                       " WHERE ", text, q->list ? " ORDER BY Id" : "", NULL);
    return cs_sf_query(call, text, label_of(q, r->p), r->p, res);
}

/* ---- what a query's trouble means ---- */

static entry_t *entry_of(const item_t *item, const cs_related_t *list)
{
    int i;

    for (i = 0; i < lists_of(item->read); i++) {
        if (same_list(list_of(item->read, i), list)) {
            return &item->entries[i];
        }
    }
    return NULL;
}

/* The record is there all the same; said once per list and reason. */
static void give_up(const run_t *r, const cs_related_t *list, const char *problem,
                    const char *detail)
{
    if (cs_sf_say_once(r->crm, apr_pstrcat(r->p, list->list, " ", problem, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4123) "%s: the rows of list \"%s\" (%s) cannot be read: %s",
               r->crm->cfg.name, list->list, list->table ? list->table : list->team, detail);
    }
}

static void fail_item(item_t *item, const cs_result_t *why)
{
    item->answered = 1;
    item->read->record = NULL;
    if (item->read->result.cls == CS_CLASS_OK) {
        item->read->result = *why;
    }
}

/* A refused list is unreadable and nothing more; trouble on the way is not the list's: what was not
 * answered is asked for again, with its record. */
static void fail_query(const run_t *r, const query_t *q, const cs_result_t *why)
{
    int i, passing = why->cls == CS_CLASS_RETRY || why->cls == CS_CLASS_THROTTLED ||
                     why->cls == CS_CLASS_TOKEN || why->cls == CS_CLASS_UNKNOWN ||
                     (why->cls == CS_CLASS_SUSPEND && strcmp(why->problem, "config:column") &&
                      strcmp(why->problem, "config:table"));

    for (i = 0; i < q->items->nelts; i++) {
        item_t *item = APR_ARRAY_IDX(q->items, i, item_t *);

        if (!q->list || passing) {
            fail_item(item, why);
        }
        else {
            entry_of(item, q->list)->bad = 1;
        }
    }
    if (q->list && !passing) {
        give_up(r, q->list, why->problem, why->detail);
    }
}

/* Too long for one address: in halves. */
static int halve(run_t *r, const query_t *q)
{
    query_t *half;
    int i, n = q->items->nelts;

    if (n < 2) {
        return 0;
    }
    for (i = 0, half = NULL; i < n; i++) {
        if (i == 0 || i == n / 2) {
            half = new_query(r, q->list, q->table, q->key);
        }
        APR_ARRAY_PUSH(half->items, item_t *) = APR_ARRAY_IDX(q->items, i, item_t *);
    }
    return 1;
}

/* ---- rows ---- */

static int text_equal(const char *a, const char *b)
{
    return a && b && !strcasecmp(a, b);
}

static void take_record(const run_t *r, item_t *item, const json_t *row, apr_time_t date)
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

static void take_record_row(const run_t *r, const query_t *q, const json_t *row, apr_time_t date)
{
    const char *id = cs_sf_id(cs_json_str(row, "Id"), r->p);
    const char *value = q->key ? cs_json_str(row, q->key) : NULL;
    int i;

    value = value ? trimmed(value, r->p) : NULL;
    for (i = 0; i < q->items->nelts; i++) {
        item_t *item = APR_ARRAY_IDX(q->items, i, item_t *);

        if (q->key ? text_equal(value, item->value) : id && !strcmp(id, item->id)) {
            take_record(r, item, row, date);
        }
    }
}

/* Lists of records that are found by key come before it is known whose they are: then the record's
 * own id decides at the end. */
static void take_list_row(const run_t *r, const query_t *q, const json_t *row, apr_time_t date)
{
    const char *parent = cs_sf_id(cs_json_str(row, q->list->parent), r->p);
    cs_record_t *record =
        cs_sf_record(row, q->list->table, q->list->columns, NULL, date, r->p);
    json_t *out;
    int i;

    for (i = 0; i < q->items->nelts; i++) {
        item_t *item = APR_ARRAY_IDX(q->items, i, item_t *);
        entry_t *entry = entry_of(item, q->list);

        if (!record || !parent) {
            entry->bad = 1;
            give_up(r, q->list, "salesforce:answer", "the answer holds what is no row");
            continue;
        }
        if ((item->id && strcmp(parent, item->id)) ||
            apr_hash_get(entry->seen, record->id, APR_HASH_KEY_STRING)) {
            continue;
        }
        apr_hash_set(entry->seen, record->id, APR_HASH_KEY_STRING, record);
        out = json_pack("{s:s, s:s, s:s, s:O}", "id", record->id, "version", record->version,
                        "parent", parent, "row", record->row);
        json_array_append_new(entry->rows, out);
        if (json_array_size(entry->rows) > MOST_ROWS && item->id && !entry->bad) {
            entry->bad = 1;
            give_up(r, q->list, "too-many",
                    apr_psprintf(r->p, "%s %s has more than %d of them", q->table, parent,
                                 MOST_ROWS));
        }
    }
}

static void follow(run_t *r, query_t *q, const char *next)
{
    query_t *more;
    cs_result_t why = {0};

    if (q->rounds >= CS_SF_MAX_ROUNDS) {
        cs_result_set(&why, r->p, CS_ELIMIT, CS_CLASS_REFUSED, "too-many",
                      "GET %s: the answer has more than %d pages", q->table, CS_SF_MAX_ROUNDS);
        fail_query(r, q, &why);
        return;
    }
    more = new_query(r, q->list, q->table, q->key);
    more->items = q->items;
    more->next = next;
    more->rounds = q->rounds + 1;
}

static void take_query(run_t *r, query_t *q, cs_sf_call_t *call)
{
    cs_crm_read_t *first = APR_ARRAY_IDX(q->items, 0, item_t *)->read;
    const json_t *rows;
    const char *next;
    size_t i;

    first->calls += call->calls;
    for (i = 0; i < (size_t)q->items->nelts; i++) {
        cs_crm_read_t *read = APR_ARRAY_IDX(q->items, i, item_t *)->read;

        read->took += q->list ? 0 : call->took;
        read->correlation = call->correlation ? call->correlation : read->correlation;
    }
    if (call->result.cls != CS_CLASS_OK) {
        if (r->tries < MOST_TRIES && !q->next &&
            cs_sf_hide(r->crm, q->list ? q->list->table : q->table, &call->result)) {
            r->tries++;
            APR_ARRAY_PUSH(r->open, query_t *) = q;
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
            take_list_row(r, q, json_array_get(rows, i), call->date);
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

static int ask(run_t *r, query_t *q, cs_sf_call_t *call)
{
    cs_result_t why = {0};

    if (q->next) {
        memset(call, 0, sizeof(*call));
        call->kind = CS_SF_READ;
        call->method = "GET";
        call->path = q->next;
        call->label = label_of(q, r->p);
        call->query = 1;
    }
    else if (make_query(r, q, call, &why) != APR_SUCCESS) {
        if (why.rv != CS_ELIMIT || !halve(r, q)) {
            fail_query(r, q, &why);
        }
        return 0;
    }
    call->item = q;
    return 1;
}

static apr_status_t round_of(run_t *r)
{
    apr_array_header_t *queries = r->open;
    cs_sf_call_t *calls = apr_pcalloc(r->p, sizeof(*calls) * (apr_size_t)(queries->nelts + 1));
    apr_status_t rv;
    int i, n = 0;

    r->open = apr_array_make(r->p, 4, sizeof(query_t *));
    for (i = 0; i < queries->nelts; i++) {
        n += ask(r, APR_ARRAY_IDX(queries, i, query_t *), &calls[n]);
    }
    rv = cs_sf_send_together(r->crm, calls, NULL, n, r->deadline, r->p);
    for (i = 0; i < n; i++) {
        take_query(r, calls[i].item, &calls[i]);
    }
    return rv;
}

static void ask_lists(run_t *r, item_t *item)
{
    int i;

    for (i = 0; i < lists_of(item->read); i++) {
        const cs_related_t *list = list_of(item->read, i);
        entry_t *entry = &item->entries[i];

        entry->list = list;
        entry->rows = cs_json_own(json_array(), r->p);
        entry->seen = apr_hash_make(r->p);
        if (!list->table) {
            entry->bad = 1;
            give_up(r, list, "config:team", "there are no record teams here");
        }
        else if (!cs_sf_name_valid(list->table) || !cs_sf_name_valid(list->parent)) {
            entry->bad = 1;
            give_up(r, list, "config:table", "its table or its column has no usable name");
        }
        else {
            add_item(r, item, list);
        }
    }
}

/* ---- at the end ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(cs_json_str(*(json_t *const *)a, "id"), cs_json_str(*(json_t *const *)b, "id"));
}

/* The rows of this record in the order of their ids. New reference. */
static json_t *rows_of(const entry_t *entry, const char *record, apr_pool_t *p)
{
    size_t n = json_array_size(entry->rows), i, m = 0;
    json_t **rows = apr_palloc(p, sizeof(*rows) * (n + 1)), *out = json_array();

    for (i = 0; i < n; i++) {
        json_t *row = json_array_get(entry->rows, i);

        if (!strcmp(cs_json_str(row, "parent"), record)) {
            rows[m++] = row;
        }
    }
    qsort(rows, m, sizeof(*rows), by_id);
    for (i = 0; i < m; i++) {
        json_array_append_new(out, json_pack("{s:O, s:O, s:O}", "id", cs_json_get(rows[i], "id"),
                                             "version", cs_json_get(rows[i], "version"), "row",
                                             cs_json_get(rows[i], "row")));
    }
    return out;
}

/* Read of closed records alone. */
static int is_left_out(const cs_related_t *list, const cs_record_t *record)
{
    const json_t *value = list->closed ? cs_json_get(record->row, list->closed) : NULL;

    return list->closed && !json_is_true(value) && json_integer_value(value) == 0;
}

static void hand_over_lists(const run_t *r, item_t *item)
{
    cs_record_t *record = item->read->record;
    int i;

    if (!record || !item->read->related) {
        return;
    }
    record->related = cs_json_own(json_object(), r->p);
    for (i = 0; i < lists_of(item->read); i++) {
        const entry_t *entry = &item->entries[i];
        json_t *rows = entry->bad || is_left_out(entry->list, record)
                           ? NULL
                           : rows_of(entry, record->id, r->p);

        if (rows && json_array_size(rows) <= MOST_ROWS) {
            json_object_set(record->related, entry->list->list, rows);
        }
        json_decref(rows);
    }
}

static void finish(const run_t *r, item_t *item)
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
        hand_over_lists(r, item);
    }
}

static apr_status_t read_all(cs_crm_t *crm, cs_crm_read_t *reads, int n,
                             apr_interval_time_t deadline, apr_pool_t *p)
{
    run_t r = {.crm = crm, .deadline = deadline, .p = p};
    apr_status_t rv = APR_SUCCESS;
    int i, good;

    r.items = apr_pcalloc(p, sizeof(*r.items) * (apr_size_t)(n + 1));
    r.n = n;
    r.open = apr_array_make(p, 8, sizeof(query_t *));
    for (i = 0; i < n; i++) {
        good = take_read(&r.items[i], &reads[i], p);
        if (good) {
            add_item(&r, &r.items[i], NULL);
        }
        else {
            r.items[i].answered = 1;
        }
    }
    for (i = 0; i < n; i++) {
        if (!r.items[i].answered) {
            ask_lists(&r, &r.items[i]);
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

/* ---- merged rows ---- */

static int can_be_merged(const cs_crm_read_t *read)
{
    return !read->key && read->result.cls == CS_CLASS_GONE &&
           (!strcmp(read->table, "Account") || !strcmp(read->table, "Contact") ||
            !strcmp(read->table, "Lead"));
}

/* "SELECT Id,MasterRecordId FROM Lead WHERE IsDeleted = true AND Id IN (...)" of deleted rows. */
static void ask_masters(cs_sf_call_t *call, const char *table, const apr_array_header_t *ids,
                        apr_pool_t *p)
{
    const char *soql = apr_pstrcat(p, "SELECT Id,MasterRecordId FROM ", table,
                                   " WHERE IsDeleted = true AND Id IN (",
                                   apr_array_pstrcat(p, ids, ','), ")", NULL);

    memset(call, 0, sizeof(*call));
    call->kind = CS_SF_READ;
    call->method = "GET";
    call->path = apr_pstrcat(p, "queryAll?q=", cs_http_escape(soql, p), NULL);
    call->label = apr_psprintf(p, "GET what became of %d rows of %s", ids->nelts, table);
    call->query = 1;
}

static const char *master_in(const cs_sf_call_t *call, const char *id, apr_pool_t *p)
{
    const json_t *rows = cs_json_get(call->json, "records");
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *is = cs_sf_id(cs_json_str(row, "Id"), p);

        if (is && !strcmp(is, id)) {
            return cs_sf_id(cs_json_str(row, "MasterRecordId"), p);
        }
    }
    return NULL;
}

/* Which of the rows that are gone were merged into others: masters[i], NULL = not. */
static int find_masters(cs_crm_t *crm, cs_crm_read_t *reads, int n, const char **masters,
                        apr_interval_time_t deadline, apr_pool_t *p)
{
    static const char *const tables[] = {"Account", "Contact", "Lead"};
    cs_sf_call_t calls[3];
    const char *names[3];
    int t, i, m = 0, found = 0;

    for (t = 0; t < 3; t++) {
        apr_array_header_t *ids = apr_array_make(p, 4, sizeof(const char *));

        for (i = 0; i < n && ids->nelts < CS_SF_MANY; i++) {
            if (can_be_merged(&reads[i]) && !strcmp(reads[i].table, tables[t])) {
                APR_ARRAY_PUSH(ids, const char *) = cs_sf_quote(cs_sf_id(reads[i].id, p), p);
            }
        }
        if (ids->nelts) {
            names[m] = tables[t];
            ask_masters(&calls[m++], tables[t], ids, p);
        }
    }
    cs_sf_send_together(crm, calls, NULL, m, deadline, p);
    for (t = 0; t < m; t++) {
        reads[0].calls += calls[t].calls;
        for (i = 0; i < n && calls[t].result.cls == CS_CLASS_OK; i++) {
            if (can_be_merged(&reads[i]) && !strcmp(reads[i].table, names[t])) {
                masters[i] = master_in(&calls[t], cs_sf_id(reads[i].id, p), p);
                found += masters[i] != NULL;
            }
        }
    }
    return found;
}

/* Reads the rows in which merged ones live on: the record has their id. */
static void read_masters(cs_crm_t *crm, cs_crm_read_t *reads, int n, const char **masters,
                         apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_crm_read_t *again = apr_pcalloc(p, sizeof(*again) * (apr_size_t)(n + 1));
    int i, m = 0;

    for (i = 0; i < n; i++) {
        if (masters[i]) {
            again[m] = reads[i];
            again[m++].id = masters[i];
        }
    }
    read_all(crm, again, m, deadline, p);
    for (i = 0, m = 0; i < n; i++) {
        if (masters[i]) {
            reads[i].record = again[m].record;
            reads[i].result = again[m].result;
            reads[i].calls += again[m++].calls;
        }
    }
}

static void follow_merges(cs_crm_t *crm, cs_crm_read_t *reads, int n,
                          apr_interval_time_t deadline, apr_pool_t *p)
{
    const char **masters = apr_pcalloc(p, sizeof(const char *) * (apr_size_t)(n + 1));
    int i, gone = 0;

    for (i = 0; i < n; i++) {
        gone += can_be_merged(&reads[i]);
    }
    if (gone && find_masters(crm, reads, n, masters, deadline, p)) {
        read_masters(crm, reads, n, masters, deadline, p);
    }
}

apr_status_t cs_sf_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                        apr_pool_t *p)
{
    apr_status_t rv = read_all(crm, reads, n, deadline, p);

    if (rv == APR_SUCCESS) {
        follow_merges(crm, reads, n, deadline, p);
    }
    return rv;
}
