/* Rows that belong to records: child tables and record teams. (deals 5; crm-apis.md A9) */
#include "client.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/log.h"

#define MEMBERS "teammembership_association"
#define REGARDING "regardingobjectid"
#define MOST_TOGETHER 25 /* records in one query */
#define MOST_ROWS 500    /* of one list of one record */
#define MOST_ROUNDS 20
#define MOST_ADDRESS 60000
#define PAGE_SIZE "odata.maxpagesize=1000"

/* One list of one record. */
typedef struct entry_t {
    cs_crm_read_t *read;
    const cs_related_t *list;
    apr_hash_t *seen; /* ids */
    json_t *rows;
    int pending; /* queries that are not answered */
    int bad;
    const cs_result_t *trouble; /* passing: the record must be read again; NULL = none */
} entry_t;

/* One query: a list of some records, or a further page. */
typedef struct query_t {
    cs_dyn_lists_t *all;
    const cs_related_t *list;
    apr_array_header_t *entries; /* entry_t * */
    const char *next;            /* path of a further page; NULL = the first */
    int members;                 /* 1 = a page of the users of one team */
    int rounds;
} query_t;

struct cs_dyn_lists_t {
    cs_crm_t *crm;
    apr_array_header_t *entries; /* entry_t *: all */
    apr_array_header_t *open;    /* query_t *: not sent */
    apr_pool_t *p;
};

/* ---- what has to be known first ---- */

static void want_list(cs_crm_t *crm, const cs_related_t *list, apr_array_header_t *names,
                      apr_pool_t *p)
{
    const char *column, *slash;
    int i;

    cs_dyn_want(crm, names, list->table, NULL);
    for (i = 0; list->columns && i < list->columns->nelts; i++) {
        column = APR_ARRAY_IDX(list->columns, i, const char *);
        slash = strchr(column, '/');
        if (slash) {
            cs_dyn_want(crm, names, list->table,
                        apr_pstrmemdup(p, column, (apr_size_t)(slash - column)));
        }
    }
}

static int lists_of(const cs_crm_read_t *read)
{
    return read->related ? read->related->nelts : 0;
}

static const cs_related_t *list_of(const cs_crm_read_t *read, int at)
{
    return &APR_ARRAY_IDX(read->related, at, cs_related_t);
}

void cs_dyn_lists_want(cs_crm_t *crm, const cs_crm_read_t *read, apr_array_header_t *names,
                       apr_array_header_t *templates)
{
    int i, j;

    for (i = 0; i < lists_of(read); i++) {
        const cs_related_t *list = list_of(read, i);

        if (list->table) {
            want_list(crm, list, names, names->pool);
        }
        else if (list->team && !cs_dyn_template(crm, list->team)) {
            for (j = 0; j < templates->nelts; j++) {
                if (!strcmp(APR_ARRAY_IDX(templates, j, const char *), list->team)) {
                    break;
                }
            }
            if (j == templates->nelts) {
                APR_ARRAY_PUSH(templates, const char *) = list->team;
            }
        }
    }
}

/* ---- lists that cannot be read ---- */

/* The record is there all the same; said once per list and reason. */
static void give_up(cs_dyn_lists_t *all, const cs_related_t *list, const char *problem,
                    const char *detail)
{
    const char *what = list->table ? list->table : list->team ? list->team : "";

    if (cs_dyn_say_once(all->crm, apr_pstrcat(all->p, list->list, " ", problem, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4103) "%s: the rows of list \"%s\" (%s) cannot be read: %s",
               all->crm->cfg.name, list->list, what, detail);
    }
}

static void spoil(query_t *q, const char *problem, const char *detail)
{
    int i;

    for (i = 0; i < q->entries->nelts; i++) {
        APR_ARRAY_IDX(q->entries, i, entry_t *)->bad = 1;
    }
    give_up(q->all, q->list, problem, detail);
}

/* Trouble on the way is not the list's: what was not answered is asked for again, with its record.
 */
static void postpone_entry(entry_t *entry, const cs_result_t *why)
{
    entry->bad = 1;
    if (entry->read->result.cls == CS_CLASS_OK) {
        entry->read->result = *why;
        entry->read->record = NULL;
    }
}

static void postpone(query_t *q, const cs_result_t *why)
{
    int i;

    for (i = 0; i < q->entries->nelts; i++) {
        postpone_entry(APR_ARRAY_IDX(q->entries, i, entry_t *), why);
    }
}

static int is_passing(const cs_http_response_t *response)
{
    int status = response->status;

    return response->failure || response->outcome != CS_HTTP_ANSWERED || status == 401 ||
           status == 408 || status == 429 || (status >= 502 && status <= 504);
}

/* ---- asking ---- */

static query_t *new_query(cs_dyn_lists_t *all, const cs_related_t *list)
{
    query_t *q = apr_pcalloc(all->p, sizeof(*q));

    q->all = all;
    q->list = list;
    q->entries = apr_array_make(all->p, 4, sizeof(entry_t *));
    APR_ARRAY_PUSH(all->open, query_t *) = q;
    return q;
}

static void add_to_query(query_t *q, entry_t *entry)
{
    APR_ARRAY_PUSH(q->entries, entry_t *) = entry;
    entry->pending++;
}

static const cs_dyn_table_t *table_of(const query_t *q)
{
    return cs_dyn_table(q->all->crm, q->list->table ? q->list->table : "team");
}

static const char *parent_of(const cs_related_t *list)
{
    return list->table ? list->parent : REGARDING;
}

/* "(_parent_value eq a or _parent_value eq b)", then the constants or the template. */
static apr_status_t make_filter(const char **pfilter, const query_t *q, cs_result_t *res)
{
    apr_pool_t *p = q->all->p;
    const char *text = "", *parent = parent_of(q->list);
    int i, n = q->entries->nelts;

    for (i = 0; i < n; i++) {
        text = apr_pstrcat(p, text,
                           i       ? " or _"
                           : n > 1 ? "(_"
                                   : "_",
                           parent, "_value eq ", APR_ARRAY_IDX(q->entries, i, entry_t *)->read->id,
                           n > 1 && i == n - 1 ? ")" : "", NULL);
    }
    if (!q->list->table) {
        *pfilter = apr_pstrcat(p, text, " and _teamtemplateid_value eq ",
                               cs_dyn_template(q->all->crm, q->list->team), NULL);
        return APR_SUCCESS;
    }
    return cs_dyn_where(pfilter, text, q->list->where, table_of(q), p, res);
}

static apr_array_header_t *parent_lookup(const cs_related_t *list, apr_pool_t *p)
{
    apr_array_header_t *lookups = apr_array_make(p, 1, sizeof(cs_crm_lookup_t));
    cs_crm_lookup_t lookup = {list->parent, NULL};

    APR_ARRAY_PUSH(lookups, cs_crm_lookup_t) = lookup;
    return lookups;
}

/* The users of a team come along with it; of their columns only plain ones. */
static apr_status_t make_team_query(const char **pquery, const query_t *q, cs_result_t *res)
{
    apr_pool_t *p = q->all->p;
    apr_array_header_t *plain = apr_array_make(p, 8, sizeof(const char *));
    const char *select;
    apr_status_t rv;
    int i;

    for (i = 0; q->list->columns && i < q->list->columns->nelts; i++) {
        APR_ARRAY_PUSH(plain, const char *) = APR_ARRAY_IDX(q->list->columns, i, const char *);
    }
    APR_ARRAY_PUSH(plain, const char *) = "systemuserid";
    rv = cs_dyn_select(&select, cs_dyn_table(q->all->crm, "systemuser"), plain, NULL, 0, p, res);
    *pquery = apr_pstrcat(p, "$select=teamid,_" REGARDING "_value&$expand=" MEMBERS "(",
                          rv == APR_SUCCESS ? select : "", ")", NULL);
    return rv;
}

static apr_status_t make_query(const char **pquery, const query_t *q, cs_result_t *res)
{
    apr_pool_t *p = q->all->p;
    apr_array_header_t *columns;

    if (!q->list->table) {
        return make_team_query(pquery, q, res);
    }
    columns = q->list->columns ? apr_array_copy(p, q->list->columns)
                               : apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(columns, const char *) = q->list->parent;
    return cs_dyn_select(pquery, table_of(q), columns, parent_lookup(q->list, p), 1, p, res);
}

static void take_list(const cs_dyn_batch_t *batch, int at);

static void ask(query_t *q, cs_dyn_batch_t *batch)
{
    cs_dyn_call_t call = {.item = q, .take = take_list, .kind = CS_DYN_READ};
    const char *path = q->next, *query, *filter;
    const cs_dyn_table_t *table = table_of(q);
    cs_http_request_t *request;
    apr_pool_t *p = q->all->p;
    cs_result_t res = {0};

    if (!path) {
        if (make_filter(&filter, q, &res) != APR_SUCCESS ||
            make_query(&query, q, &res) != APR_SUCCESS) {
            spoil(q, res.problem, res.detail);
            return;
        }
        path = apr_pstrcat(p, table->set, "?", query, "&$filter=", cs_http_escape(filter, p),
                           "&$orderby=", table->key, NULL);
    }
    request = cs_dyn_batch_add(batch, "GET", path,
                               apr_psprintf(p, "GET list %s of %s", q->list->list,
                                            APR_ARRAY_IDX(q->entries, 0, entry_t *)->read->id),
                               &call);
    /* A further page keeps the size it was made with only when asked in the same words. */
    apr_table_setn(request->headers, "Prefer", PAGE_SIZE);
}

void cs_dyn_lists_ask(cs_dyn_lists_t *all, cs_dyn_batch_t *batch)
{
    apr_array_header_t *queries = all->open;
    int i;

    all->open = apr_array_make(all->p, 4, sizeof(query_t *));
    for (i = 0; i < queries->nelts; i++) {
        ask(APR_ARRAY_IDX(queries, i, query_t *), batch);
    }
}

int cs_dyn_lists_open(const cs_dyn_lists_t *all)
{
    return all->open->nelts;
}

/* ---- taking ---- */

/* 0 when the row is none. */
static int add_row(entry_t *entry, const json_t *row, const cs_dyn_table_t *table, int user,
                   apr_pool_t *p)
{
    /* A user's version is nobody's guard. */
    cs_record_t *record =
        cs_dyn_record(row, user ? "-" : NULL, table, entry->list->columns, NULL, p);
    json_t *out;

    if (!record) {
        return 0;
    }
    if (apr_hash_get(entry->seen, record->id, APR_HASH_KEY_STRING)) {
        return 1;
    }
    apr_hash_set(entry->seen, record->id, APR_HASH_KEY_STRING, entry);
    out = user ? json_pack("{s:s, s:O}", "id", record->id, "row", record->row)
               : json_pack("{s:s, s:s, s:O}", "id", record->id, "version", record->version, "row",
                           record->row);
    return out && !json_array_append_new(entry->rows, out);
}

/* "https://org/api/data/v9.2/x?..." as a path under the root; NULL for any other address: a page is
 * not fetched from where nobody configured. */
static const char *path_under_root(const cs_crm_t *crm, const char *address)
{
    apr_size_t len = strlen(crm->root);
    const char *at;

    if (!address || strncasecmp(address, crm->root, len) || strlen(address) > MOST_ADDRESS) {
        return NULL;
    }
    for (at = address; *at; at++) {
        if ((unsigned char)*at <= 0x20 || *at == 0x7f) {
            return NULL;
        }
    }
    return address + len;
}

static int follow(query_t *q, entry_t *entry, const char *address, int members)
{
    const char *path = path_under_root(q->all->crm, address);
    query_t *more;

    if (!path || q->rounds >= MOST_ROUNDS) {
        return 0;
    }
    more = new_query(q->all, q->list);
    add_to_query(more, entry);
    more->next = apr_pstrdup(q->all->p, path);
    more->members = members;
    more->rounds = q->rounds + 1;
    return 1;
}

static int add_users(query_t *q, entry_t *entry, const json_t *value, const char *next)
{
    const cs_dyn_table_t *table = cs_dyn_table(q->all->crm, "systemuser");
    size_t i;

    for (i = 0; i < json_array_size(value); i++) {
        if (!add_row(entry, json_array_get(value, i), table, 1, q->all->p)) {
            return 0;
        }
    }
    return next ? follow(q, entry, next, 1) : 1;
}

/* A team with its users, or where they can be read. */
static int add_team(query_t *q, entry_t *entry, const json_t *team)
{
    const json_t *users = cs_json_get(team, MEMBERS);
    const char *next = cs_json_str(team, MEMBERS "@odata.nextLink");

    return json_is_array(users) || next ? add_users(q, entry, users, next) : 0;
}

static void add_to_its_records(query_t *q, const json_t *row, const cs_dyn_table_t *table)
{
    apr_pool_t *p = q->all->p;
    const char *parent = cs_json_str(row, apr_pstrcat(p, "_", parent_of(q->list), "_value", NULL));
    int i, good;

    for (i = 0; i < q->entries->nelts; i++) {
        entry_t *entry = APR_ARRAY_IDX(q->entries, i, entry_t *);

        if (parent ? strcasecmp(parent, entry->read->id) : q->entries->nelts > 1) {
            continue;
        }
        good = q->list->table ? add_row(entry, row, table, 0, p) : add_team(q, entry, row);
        if (!good && !entry->bad) {
            entry->bad = 1;
            give_up(q->all, q->list, "dataverse:answer", "the answer holds what is no row");
        }
    }
}

static void check_sizes(query_t *q)
{
    int i;

    for (i = 0; i < q->entries->nelts; i++) {
        entry_t *entry = APR_ARRAY_IDX(q->entries, i, entry_t *);

        if (json_array_size(entry->rows) > MOST_ROWS && !entry->bad) {
            entry->bad = 1;
            give_up(q->all, q->list, "too-many",
                    apr_psprintf(q->all->p, "%s %s has more than %d of them", entry->read->table,
                                 entry->read->id, MOST_ROWS));
        }
    }
}

/* Records that fill more than a page together are asked for one by one. */
static void split(query_t *q)
{
    int i;

    for (i = 0; i < q->entries->nelts; i++) {
        entry_t *entry = APR_ARRAY_IDX(q->entries, i, entry_t *);

        if (!entry->bad) {
            json_array_clear(entry->rows);
            apr_hash_clear(entry->seen);
            add_to_query(new_query(q->all, q->list), entry);
        }
    }
}

static void take_page(query_t *q, const json_t *page)
{
    const json_t *value = cs_json_get(page, "value");
    const char *next = cs_json_str(page, "@odata.nextLink");
    entry_t *first = APR_ARRAY_IDX(q->entries, 0, entry_t *);
    const cs_dyn_table_t *table = table_of(q);
    int good = json_is_array(value);
    size_t i;

    if (good && q->members) {
        good = add_users(q, first, value, next);
    }
    else if (good && next && q->entries->nelts > 1) {
        split(q);
        return;
    }
    else if (good) {
        for (i = 0; i < json_array_size(value); i++) {
            add_to_its_records(q, json_array_get(value, i), table);
        }
    }
    check_sizes(q);
    if (good && !q->members && next && !first->bad) {
        good = follow(q, first, next, 0);
    }
    if (!good) {
        spoil(q, "dataverse:answer", "the answer is not a list of rows that can be followed");
    }
}

static void take_list(const cs_dyn_batch_t *batch, int at)
{
    query_t *q = batch->calls[at].item;
    const cs_http_response_t *response = &batch->responses[at];
    const cs_http_request_t *request = &batch->requests[at];
    cs_result_t res = {0};
    json_t *page;
    int i;

    for (i = 0; i < q->entries->nelts; i++) {
        APR_ARRAY_IDX(q->entries, i, entry_t *)->pending--;
    }
    APR_ARRAY_IDX(q->entries, 0, entry_t *)->read->calls += response->calls;
    cs_dyn_classify(&res, response, request, CS_DYN_READ, NULL, q->all->p);
    if (res.cls != CS_CLASS_OK) {
        if (is_passing(response)) {
            postpone(q, &res);
        }
        else {
            spoil(q, res.problem, res.detail);
        }
        return;
    }
    page = cs_dyn_object(&res, response, request, CS_DYN_READ, q->all->p);
    if (page) {
        take_page(q, page);
    }
    else if (q->entries->nelts > 1) {
        /* Perhaps only too much at once. */
        split(q);
    }
    else {
        spoil(q, res.problem, res.detail);
    }
}

/* ---- all of them ---- */

/* The open query of this list that has room. */
static query_t *query_of(cs_dyn_lists_t *all, const cs_related_t *list)
{
    int i;

    for (i = all->open->nelts - 1; i >= 0; i--) {
        query_t *q = APR_ARRAY_IDX(all->open, i, query_t *);

        if (q->list == list && q->entries->nelts < MOST_TOGETHER) {
            return q;
        }
    }
    return new_query(all, list);
}

/* NULL when it can be asked for, else why not. */
static const cs_result_t *obstacle(cs_dyn_lists_t *all, const cs_related_t *list,
                                   apr_hash_t *failures)
{
    apr_array_header_t *names = apr_array_make(all->p, 2, sizeof(const char *));
    cs_result_t *res = apr_pcalloc(all->p, sizeof(*res));

    if (list->table) {
        want_list(all->crm, list, names, all->p);
        if (!names->nelts && list->parent &&
            cs_dyn_name_valid(list->parent, strlen(list->parent))) {
            return NULL;
        }
    }
    else if (list->team) {
        if (cs_dyn_template(all->crm, list->team)) {
            return NULL;
        }
        APR_ARRAY_PUSH(names, const char *) = list->team;
    }
    cs_dyn_unknown(res, names, failures, all->p);
    return res;
}

static void add_entry(cs_dyn_lists_t *all, cs_crm_read_t *read, const cs_related_t *list,
                      apr_hash_t *failures)
{
    entry_t *entry = apr_pcalloc(all->p, sizeof(*entry));
    const cs_result_t *why = obstacle(all, list, failures);

    entry->read = read;
    entry->list = list;
    entry->rows = cs_json_own(json_array(), all->p);
    entry->seen = apr_hash_make(all->p);
    APR_ARRAY_PUSH(all->entries, entry_t *) = entry;
    if (why && (why->cls == CS_CLASS_RETRY || why->cls == CS_CLASS_THROTTLED)) {
        entry->trouble = why;
        return;
    }
    if (why) {
        entry->bad = 1;
        give_up(all, list, why->problem, why->detail);
        return;
    }
    add_to_query(query_of(all, list), entry);
}

cs_dyn_lists_t *cs_dyn_lists_make(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_hash_t *failures,
                                  apr_pool_t *p)
{
    cs_dyn_lists_t *all = apr_pcalloc(p, sizeof(*all));
    int i, j;

    all->crm = crm;
    all->p = p;
    all->entries = apr_array_make(p, 16, sizeof(entry_t *));
    all->open = apr_array_make(p, 8, sizeof(query_t *));
    for (i = 0; i < n; i++) {
        for (j = 0; j < lists_of(&reads[i]); j++) {
            if (!list_of(&reads[i], j)->closed && reads[i].id &&
                cs_uuid_valid(reads[i].id, strlen(reads[i].id))) {
                add_entry(all, &reads[i], list_of(&reads[i], j), failures);
            }
        }
    }
    return all;
}

void cs_dyn_lists_of_closed(cs_dyn_lists_t *all, cs_crm_read_t *reads, int n, apr_hash_t *failures)
{
    int i, j;

    for (i = 0; i < n; i++) {
        for (j = 0; reads[i].record && j < lists_of(&reads[i]); j++) {
            const char *column = list_of(&reads[i], j)->closed;

            if (column && cs_json_int(reads[i].record->row, column, 0) != 0) {
                add_entry(all, &reads[i], list_of(&reads[i], j), failures);
            }
        }
    }
}

static int by_id(const void *a, const void *b)
{
    const json_t *const *one = a, *const *two = b;

    return strcmp(cs_json_str(*one, "id"), cs_json_str(*two, "id"));
}

/* The server's order of ids is not that of their text. */
static json_t *sorted(const json_t *rows, apr_pool_t *p)
{
    size_t i, n = json_array_size(rows);
    json_t **list = apr_palloc(p, sizeof(*list) * (n + 1)), *out = json_array();

    for (i = 0; i < n; i++) {
        list[i] = json_array_get(rows, i);
    }
    qsort(list, n, sizeof(*list), by_id);
    for (i = 0; i < n; i++) {
        json_array_append(out, list[i]);
    }
    return out;
}

void cs_dyn_lists_finish(cs_dyn_lists_t *all)
{
    cs_result_t unsent;
    int i;

    cs_result_set(&unsent, all->p, CS_ETIMEOUT, CS_CLASS_RETRY, "transport",
                  "a list of the record could not be asked for at %s", all->crm->cfg.name);
    for (i = 0; i < all->entries->nelts; i++) {
        entry_t *entry = APR_ARRAY_IDX(all->entries, i, entry_t *);
        cs_record_t *record;

        if (entry->trouble || (entry->pending && !entry->bad)) {
            postpone_entry(entry, entry->trouble ? entry->trouble : &unsent);
        }
        record = entry->read->record;
        if (!record) {
            continue;
        }
        if (!record->related) {
            record->related = cs_json_own(json_object(), all->p);
        }
        if (!entry->bad) {
            json_object_set_new(record->related, entry->list->list, sorted(entry->rows, all->p));
        }
    }
}
