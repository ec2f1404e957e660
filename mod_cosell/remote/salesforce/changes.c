/* What changed in a table since a cursor: lists of updated and deleted rows, or the rows by their
 * time of modification where the CRM keeps no such lists. (crm-apis.md B6, B7)
 *
 * A beginning reads all rows, or those modified since a time, ordered by that time. Afterwards the
 * lists are asked for from the date that the last ones covered, which long transactions of anybody
 * may hold back for hours: what is shown twice has the version that it had. All times are the
 * CRM's; what it is there now follows from how far its clock was ahead of ours at the last answer.
 *
 * A cursor is compact JSON that only this file reads, its times in microseconds:
 *   {"v": 1, "query": digest of the fields,   another query has another answer: begin anew
 *    "from": where the lists go on, or a scan begins
 *    "scan": 1                  rows are being read page by page
 *    "begin": 1                 which is a beginning
 *    "next": path               of the next page; absent = ask for the rows since "seen"
 *    "seen": the newest time of a row so far
 *    "then": "from" once the scan is over
 *    "upto": end of a list of deleted rows that is shown in parts, of which
 *    "gone": n                  are shown
 *    "polled": 1                there is no list of updated rows: every turn is a scan
 *    "lasting": 1               there is no list of deleted rows
 *    "asked": when that was found, by our clock
 *    "ahead": how far their clock is before ours}
 */
#include "parts.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/log.h"
#include "../../base/time.h"

#define MOST_CURSOR 8000
#define MOST_PATH 2000
#define MOST_IDS (CS_SF_MANY * CS_SF_QUERIES) /* rows that are read by id: one composite */
#define MOST_DELETED 1000                     /* of a page; with the others fewer than 2,000 */
#define MOST_TRIES 20                         /* columns that are found hidden one by one */
/* A row may become visible some time after the moment that it names. */
#define OVERLAP apr_time_from_sec(600)
#define MINUTE apr_time_from_sec(60)
/* Deleted rows are remembered for 15 days, updated ones for 30. */
#define OLDEST apr_time_from_sec(14 * 86400)
#define OLDEST_UPDATED apr_time_from_sec(29 * 86400)
/* An administrator may have changed meanwhile what is listed. */
#define ASK_EVERY apr_time_from_sec(86400)

/* Where a cursor stands; zero = at the very beginning. */
typedef struct place_t {
    apr_time_t from, seen, then, upto, asked;
    apr_interval_time_t ahead;
    const char *next;
    int scan, begin, gone, polled, lasting;
} place_t;

/* One call. */
typedef struct step_t {
    cs_crm_t *crm;
    cs_crm_changes_t *changes;
    apr_array_header_t *fields; /* const char * */
    const char *digest;         /* of them */
    place_t at;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} step_t;

/* A row that went. */
typedef struct gone_t {
    const char *id, *date;
} gone_t;

int cs_sf_is_passing(const cs_sf_call_t *call)
{
    const cs_result_t *res = &call->result;

    return !call->status || call->status == 401 || res->cls == CS_CLASS_RETRY ||
           res->cls == CS_CLASS_THROTTLED || res->cls == CS_CLASS_TOKEN ||
           res->cls == CS_CLASS_UNKNOWN ||
           (res->problem && !strncmp(res->problem, "quota:", sizeof("quota:") - 1));
}

/* ---- cursors ---- */

/* A page of a query, under whatever version the answer named. */
static int is_page(const char *path)
{
    static const char base[] = "/services/data/v";
    apr_size_t len = strlen(path), i;

    if (len > MOST_PATH || strncmp(path, base, sizeof(base) - 1) || strstr(path, "..")) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        if ((unsigned char)path[i] <= 0x20 || (unsigned char)path[i] >= 0x7f || path[i] == '#') {
            return 0;
        }
    }
    return 1;
}

static apr_time_t time_member(const json_t *json, const char *name)
{
    apr_int64_t at = cs_json_int(json, name, 0);

    return at > 0 && at < APR_INT64_C(253402300800000000) ? at : 0;
}

static void read_place(step_t *s, const json_t *json)
{
    place_t *at = &s->at;

    at->from = time_member(json, "from");
    at->seen = time_member(json, "seen");
    at->then = time_member(json, "then");
    at->upto = time_member(json, "upto");
    at->asked = time_member(json, "asked");
    at->ahead = cs_json_int(json, "ahead", 0);
    at->next = apr_pstrdup(s->p, cs_json_str(json, "next"));
    at->scan = cs_json_int(json, "scan", 0) == 1;
    at->begin = cs_json_int(json, "begin", 0) == 1;
    at->gone = (int)cs_json_int(json, "gone", 0);
    at->polled = cs_json_int(json, "polled", 0) == 1;
    at->lasting = cs_json_int(json, "lasting", 0) == 1;
}

static int read_cursor(step_t *s)
{
    const char *text = s->changes->cursor, *digest;
    json_t *json = NULL;
    int good;

    if (strlen(text) > MOST_CURSOR ||
        cs_json_parse(&json, text, strlen(text), NULL, s->p, NULL) != APR_SUCCESS) {
        return 0;
    }
    digest = cs_json_str(json, "query");
    good = cs_json_int(json, "v", 0) == 1 && digest && !strcmp(digest, s->digest);
    if (good) {
        read_place(s, json);
        good = (s->at.scan || s->at.from) && (!s->at.next || is_page(s->at.next)) &&
               s->at.gone >= 0;
    }
    json_decref(json);
    return good;
}

static void put_int(json_t *json, const char *name, apr_int64_t value)
{
    if (value) {
        json_object_set_new(json, name, json_integer(value));
    }
}

static const char *write_cursor(const step_t *s)
{
    const place_t *at = &s->at;
    json_t *json = json_pack("{s:i, s:s}", "v", 1, "query", s->digest);
    const char *text;

    put_int(json, "from", at->from);
    put_int(json, "scan", at->scan);
    put_int(json, "begin", at->begin);
    put_int(json, "seen", at->seen);
    put_int(json, "then", at->then);
    put_int(json, "upto", at->upto);
    put_int(json, "gone", at->gone);
    put_int(json, "polled", at->polled);
    put_int(json, "lasting", at->lasting);
    put_int(json, "asked", at->asked);
    put_int(json, "ahead", at->ahead);
    if (at->next) {
        json_object_set_new(json, "next", json_string(at->next));
    }
    text = cs_json_print(json, s->p);
    json_decref(json);
    return text;
}

/* ---- calls ---- */

static void count(step_t *s, const cs_sf_call_t *calls, int n)
{
    cs_crm_changes_t *changes = s->changes;
    int i;

    for (i = 0; i < n; i++) {
        changes->calls += calls[i].calls;
        changes->took += calls[i].took;
        changes->correlation = calls[i].correlation ? calls[i].correlation : changes->correlation;
        if (calls[i].status && calls[i].date) {
            s->at.ahead = calls[i].date - cs_time_now();
        }
    }
}

/* The page is what this call was answered: nothing else of it counts. */
static apr_status_t give_up(step_t *s, const cs_sf_call_t *call, apr_status_t rv)
{
    s->changes->result = call->result;
    s->changes->rows->nelts = 0;
    s->changes->next = NULL;
    s->changes->more = 0;
    return rv;
}

static int is_refused(const cs_sf_call_t *call)
{
    return call->result.cls != CS_CLASS_OK && !cs_sf_is_passing(call);
}

static int has_code(const cs_sf_call_t *call, const char *code)
{
    return call->result.cls != CS_CLASS_OK &&
           !strcmp(cs_sf_error_code(cs_sf_error(call->json)), code);
}

/* Neither list reaches back that far, or holds as many. */
static int is_beyond(const cs_sf_call_t *call)
{
    return has_code(call, "EXCEEDED_ID_LIMIT") || has_code(call, "INVALID_REPLICATION_DATE");
}

/* "2026-01-31T10:00:00" and what tells the zone: queries and lists are shown different forms. */
static const char *second_of(apr_time_t at, const char *zone, apr_pool_t *p)
{
    return apr_pstrcat(p, apr_pstrndup(p, cs_time_format(at, p), 19), zone, NULL);
}

static apr_time_t instant_of(const json_t *row, const char *name, apr_pool_t *p)
{
    const char *text = cs_sf_instant(cs_json_str(row, name), p);
    apr_time_t at;

    return text && cs_time_parse(&at, text) == APR_SUCCESS && at > 0 ? at : 0;
}

/* ---- queries ---- */

/* Whether rows that went can be told from the others by a query. */
static int shows_deleted(const step_t *s)
{
    return s->at.polled && !s->at.begin &&
           !cs_sf_is_hidden(s->crm, s->changes->table, "IsDeleted");
}

static const char *select_of(const step_t *s, int deleted)
{
    apr_array_header_t *shown = apr_array_make(s->p, s->fields->nelts + 1, sizeof(const char *));
    int i;

    for (i = 0; i < s->fields->nelts; i++) {
        const char *field = APR_ARRAY_IDX(s->fields, i, const char *);

        if (!cs_sf_is_hidden(s->crm, s->changes->table, field)) {
            APR_ARRAY_PUSH(shown, const char *) = field;
        }
    }
    if (deleted) {
        APR_ARRAY_PUSH(shown, const char *) = "IsDeleted";
    }
    return apr_pstrcat(s->p, "SELECT ", apr_array_pstrcat(s->p, shown, ','), " FROM ",
                       s->changes->table, NULL);
}

static void make_scan(step_t *s, cs_sf_call_t *call)
{
    int deleted = shows_deleted(s);
    const char *since =
        s->at.seen ? apr_pstrcat(s->p, " WHERE SystemModstamp >= ",
                                 second_of(s->at.seen, "Z", s->p), NULL)
                   : "";

    /* Fields and a date: long before an address gets too long, columns have run out. */
    cs_sf_query(call,
                apr_pstrcat(s->p, select_of(s, deleted), since, " ORDER BY SystemModstamp, Id",
                            NULL),
                apr_pstrcat(s->p, "GET changes of ", s->changes->table, NULL), s->p,
                &call->result);
    if (deleted) {
        call->path = apr_pstrcat(s->p, "queryAll", call->path + sizeof("query") - 1, NULL);
    }
    if (s->at.next) {
        call->path = s->at.next;
    }
}

/* A page whose query the CRM does not hold any more. */
static int is_forgotten(const step_t *s, const cs_sf_call_t *call)
{
    return s->at.next && (has_code(call, "INVALID_QUERY_LOCATOR") || has_code(call, "NOT_FOUND") ||
                          (is_refused(call) && (call->status == 400 || call->status == 404 ||
                                                call->status == 410)));
}

/* ---- rows ---- */

static void add_deleted(step_t *s, const char *id, apr_time_t at)
{
    cs_crm_changed_t *changed = apr_array_push(s->changes->rows);

    memset(changed, 0, sizeof(*changed));
    changed->id = id;
    changed->deleted = 1;
    changed->modified = at;
}

/* 0 when it is no row. */
static int take_row(step_t *s, const json_t *row, apr_time_t answered)
{
    const cs_record_t *record = cs_sf_record(row, s->changes->table, s->changes->columns,
                                             s->changes->lookups, answered, s->p);
    apr_time_t at = instant_of(row, "SystemModstamp", s->p);
    cs_crm_changed_t *changed;

    if (!record) {
        return 0;
    }
    s->at.seen = at > s->at.seen ? at : s->at.seen;
    if (cs_json_bool(row, "IsDeleted", 0)) {
        add_deleted(s, record->id, at);
        return 1;
    }
    changed = apr_array_push(s->changes->rows);
    memset(changed, 0, sizeof(*changed));
    changed->id = record->id;
    changed->version = record->version;
    changed->modified = record->modified;
    changed->row = record->row;
    return 1;
}

/* An odd entry does not hide the others, for the page would be the same the next time; where all
 * are odd it is no list of rows. */
static int take_rows(step_t *s, cs_sf_call_t *call, const char **pnext)
{
    const json_t *rows = cs_sf_rows(call, pnext, s->p);
    size_t i, odd = 0;

    if (!rows) {
        return 0;
    }
    for (i = 0; i < json_array_size(rows); i++) {
        odd += !take_row(s, json_array_get(rows, i), call->date);
    }
    if (odd && odd == i) {
        cs_sf_unreadable(call, "none of its rows has an id and a version", s->p);
        return 0;
    }
    if (odd) {
        cs_log(CS_LOG_WARNING, 0, NULL,
               CSLOGNO(4161) "%s: %" APR_SIZE_T_FMT " of %" APR_SIZE_T_FMT
                             " changes of table %s are no rows and are left out",
               s->crm->cfg.name, odd, i, s->changes->table);
    }
    return 1;
}

/* ---- scans ---- */

/* Asks until the columns that may not be seen are known. */
static apr_status_t ask_scan(step_t *s, cs_sf_call_t *call)
{
    apr_status_t rv;
    int tries;

    for (tries = 0;; tries++) {
        make_scan(s, call);
        rv = cs_sf_send(s->crm, call, 1, s->deadline, s->p);
        count(s, call, 1);
        if (rv != APR_SUCCESS || call->result.cls == CS_CLASS_OK || tries >= MOST_TRIES) {
            return rv;
        }
        if (is_forgotten(s, call)) {
            /* What was shown is not shown again, but for the rows of one second. */
            s->at.next = NULL;
        }
        else if (!cs_sf_hide(s->crm, s->changes->table, &call->result)) {
            return rv;
        }
    }
}

static apr_status_t scan_page(step_t *s)
{
    cs_sf_call_t call;
    const char *next;
    apr_status_t rv;

    s->changes->beginning = s->at.begin;
    rv = ask_scan(s, &call);
    if (rv != APR_SUCCESS || call.result.cls != CS_CLASS_OK || !take_rows(s, &call, &next)) {
        return give_up(s, &call, rv);
    }
    s->at.then = s->at.then ? s->at.then : call.date - OVERLAP;
    s->at.next = next;
    s->changes->more = next != NULL;
    if (!next) {
        s->at.from = s->at.then > s->at.from ? s->at.then : s->at.from;
        s->at.scan = s->at.begin = 0;
        s->at.seen = s->at.then = 0;
    }
    s->changes->next = write_cursor(s);
    return rv;
}

static apr_status_t scan(step_t *s, apr_time_t since, apr_time_t then)
{
    s->at.scan = 1;
    s->at.next = NULL;
    s->at.seen = since;
    s->at.then = then;
    s->at.upto = 0;
    s->at.gone = 0;
    return scan_page(s);
}

static apr_status_t begin(step_t *s)
{
    apr_interval_time_t ahead = s->at.ahead;

    memset(&s->at, 0, sizeof(s->at));
    s->at.ahead = ahead;
    s->at.begin = 1;
    return scan(s, s->changes->since, 0);
}

static apr_status_t begin_again(step_t *s, const char *why)
{
    cs_log(CS_LOG_INFO, 0, NULL,
           CSLOGNO(4162) "%s: the changes of table %s cannot be listed from where they were (%s); "
                         "its rows are read again",
           s->crm->cfg.name, s->changes->table, why ? why : "no reason given");
    return begin(s);
}

/* A turn of a table that is polled. */
static apr_status_t poll_table(step_t *s)
{
    return scan(s, s->at.from, 0);
}

static apr_status_t begin_polling(step_t *s, const cs_sf_call_t *call)
{
    if (cs_sf_say_once(s->crm, apr_pstrcat(s->p, "polled ", s->changes->table, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4163) "%s: changes of table %s are not listed (%s): it is polled by its "
                             "time of modification",
               s->crm->cfg.name, s->changes->table,
               call->result.detail ? call->result.detail : "no reason given");
    }
    s->at.polled = 1;
    s->at.asked = cs_time_now();
    return poll_table(s);
}

/* ---- lists ---- */

/* Both dates lose their seconds there: the end is in the next minute, so that there always is one
 * between them. What was covered is what the answer says. */
static apr_time_t end_of(const step_t *s, apr_time_t now)
{
    apr_time_t end = (now > s->at.from ? now : s->at.from) + MINUTE;

    return s->at.upto ? s->at.upto : end - end % MINUTE;
}

static void make_list(const step_t *s, cs_sf_call_t *call, const char *which, apr_time_t end)
{
    memset(call, 0, sizeof(*call));
    call->kind = CS_SF_READ;
    call->method = "GET";
    call->path = apr_pstrcat(s->p, "sobjects/", s->changes->table, "/", which, "/?start=",
                             cs_http_escape(second_of(s->at.from, "+00:00", s->p), s->p), "&end=",
                             cs_http_escape(second_of(end, "+00:00", s->p), s->p), NULL);
    call->label = apr_pstrcat(s->p, "GET ", which, " rows of ", s->changes->table, NULL);
}

/* The lists, together in one request where the CRM takes that. */
static apr_status_t ask_lists(step_t *s, cs_sf_call_t calls[2])
{
    int n = s->at.lasting ? 1 : 2;
    apr_time_t now = cs_time_now() + s->at.ahead;
    apr_status_t rv;
    int tries;

    for (tries = 0;; tries++) {
        make_list(s, &calls[0], "updated", end_of(s, now));
        make_list(s, &calls[1], "deleted", end_of(s, now));
        rv = tries ? cs_sf_send(s->crm, calls, n, s->deadline, s->p)
                   : cs_sf_send_together(s->crm, calls, NULL, n, s->deadline, s->p);
        count(s, calls, n);
        /* It may be the composite that does not take them; that is found out once. */
        if (rv != APR_SUCCESS || !is_refused(&calls[0]) || is_beyond(&calls[0]) || n == 1 ||
            !cs_sf_say_once(s->crm,
                            apr_pstrcat(s->p, "lists alone ", s->changes->table, NULL))) {
            return rv;
        }
    }
}

static apr_time_t covered_by(const step_t *s, cs_sf_call_t *call, const char *member)
{
    apr_time_t at = instant_of(call->json, "latestDateCovered", s->p);

    if (!at || !json_is_array(cs_json_get(call->json, member))) {
        cs_sf_unreadable(call, "this is no list of rows with the date that it covers", s->p);
        return 0;
    }
    return at;
}

static int by_date(const void *a, const void *b)
{
    const gone_t *one = a, *two = b;
    int order = strcmp(one->date, two->date);

    return order ? order : strcmp(one->id, two->id);
}

/* gone_t, in an order that does not change. */
static apr_array_header_t *read_deleted(const step_t *s, const json_t *answer)
{
    const json_t *list = cs_json_get(answer, "deletedRecords");
    apr_array_header_t *all =
        apr_array_make(s->p, (int)json_array_size(list) + 1, sizeof(gone_t));
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *id = cs_sf_id(cs_json_str(one, "id"), s->p),
                   *date = cs_sf_instant(cs_json_str(one, "deletedDate"), s->p);

        if (id) {
            gone_t *gone = apr_array_push(all);
            gone->id = id;
            gone->date = date ? date : "";
        }
    }
    qsort(all->elts, (size_t)all->nelts, sizeof(gone_t), by_date);
    return all;
}

static int is_shown(const step_t *s, const char *id)
{
    int i;

    for (i = 0; i < s->changes->rows->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(s->changes->rows, i, cs_crm_changed_t).id, id)) {
            return 1;
        }
    }
    return 0;
}

/* From the n-th on, at most a page of them; one that is there (again) is shown as it is. Returns
 * how many were passed. */
static int show_deleted(step_t *s, const apr_array_header_t *all, int from)
{
    int live = s->changes->rows->nelts, i;
    apr_time_t at;

    for (i = from; i < all->nelts && i - from < MOST_DELETED; i++) {
        const gone_t *gone = &APR_ARRAY_IDX(all, i, gone_t);

        if (!live || !is_shown(s, gone->id)) {
            add_deleted(s, gone->id,
                        cs_time_parse(&at, gone->date) == APR_SUCCESS && at > 0 ? at : 0);
        }
    }
    return i;
}

/* ---- rows by id ---- */

static int make_reads(const step_t *s, cs_sf_call_t *calls, const apr_array_header_t *ids)
{
    int i, n;

    for (i = 0, n = 0; i < ids->nelts; i += CS_SF_MANY, n++) {
        const char *list = "";
        int k, end = i + CS_SF_MANY < ids->nelts ? i + CS_SF_MANY : ids->nelts;
        apr_array_header_t *some = apr_array_make(s->p, CS_SF_MANY, sizeof(const char *));

        for (k = i; k < end; k++) {
            APR_ARRAY_PUSH(some, const char *) =
                cs_sf_quote(APR_ARRAY_IDX(ids, k, const char *), s->p);
        }
        list = apr_array_pstrcat(s->p, some, ',');
        if (cs_sf_query(&calls[n],
                        apr_pstrcat(s->p, select_of(s, 0), " WHERE Id IN (", list, ")", NULL),
                        apr_pstrcat(s->p, "GET changed rows of ", s->changes->table, NULL), s->p,
                        &calls[n].result) != APR_SUCCESS) {
            return -1 - n;
        }
    }
    return n;
}

/* The rows of these ids, added to the page; those that went meanwhile are in the next list. */
static apr_status_t read_ids(step_t *s, const apr_array_header_t *ids)
{
    cs_sf_call_t *calls = apr_pcalloc(s->p, sizeof(*calls) * (CS_SF_QUERIES + 1));
    const char *next;
    apr_status_t rv = APR_SUCCESS;
    int i, n, tries;

    for (tries = 0;; tries++) {
        n = make_reads(s, calls, ids);
        if (n < 0) {
            return give_up(s, &calls[-1 - n], APR_SUCCESS);
        }
        rv = n ? cs_sf_send_together(s->crm, calls, NULL, n, s->deadline, s->p) : APR_SUCCESS;
        count(s, calls, n);
        s->changes->rows->nelts = 0;
        for (i = 0; rv == APR_SUCCESS && i < n && calls[i].result.cls == CS_CLASS_OK &&
                    take_rows(s, &calls[i], &next);
             i++)
            ;
        if (i == n) {
            s->at.seen = 0;
            return rv;
        }
        if (rv != APR_SUCCESS || tries >= MOST_TRIES ||
            !cs_sf_hide(s->crm, s->changes->table, &calls[i].result)) {
            return give_up(s, &calls[i], rv);
        }
    }
}

static apr_array_header_t *read_updated(const step_t *s, const json_t *answer)
{
    const json_t *list = cs_json_get(answer, "ids");
    apr_array_header_t *ids = apr_array_make(s->p, 16, sizeof(const char *));
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const char *id = cs_sf_id(json_string_value(json_array_get(list, i)), s->p);

        if (id) {
            APR_ARRAY_PUSH(ids, const char *) = id;
        }
    }
    return ids;
}

/* ---- a page of the lists ---- */

/* More deleted rows than a page holds come first, on pages of their own. */
static apr_status_t part_of_deleted(step_t *s, const apr_array_header_t *deleted, apr_time_t end)
{
    s->at.gone = show_deleted(s, deleted, s->at.gone);
    s->at.upto = end;
    s->changes->more = 1;
    s->changes->next = write_cursor(s);
    return APR_SUCCESS;
}

static apr_status_t last_page(step_t *s, const apr_array_header_t *ids,
                              const apr_array_header_t *deleted, apr_time_t covered)
{
    apr_status_t rv = read_ids(s, ids);

    if (rv != APR_SUCCESS || s->changes->result.cls != CS_CLASS_OK) {
        return rv;
    }
    show_deleted(s, deleted, s->at.gone);
    s->at.from = covered > s->at.from ? covered : s->at.from;
    s->at.upto = 0;
    s->at.gone = 0;
    s->changes->next = write_cursor(s);
    return rv;
}

/* Too many to be read by id: they are read by their time, after the deleted ones were shown. */
static apr_status_t many(step_t *s, const apr_array_header_t *deleted, apr_time_t covered)
{
    if (deleted->nelts <= s->at.gone) {
        return scan(s, s->at.from, covered);
    }
    show_deleted(s, deleted, s->at.gone);
    s->at.scan = 1;
    s->at.seen = s->at.from;
    s->at.then = covered;
    s->at.upto = 0;
    s->at.gone = 0;
    s->changes->more = 1;
    s->changes->next = write_cursor(s);
    return APR_SUCCESS;
}

static apr_status_t take_lists(step_t *s, cs_sf_call_t calls[2], apr_time_t end)
{
    apr_time_t covered = covered_by(s, &calls[0], "ids"), other;
    apr_array_header_t *deleted, *ids;

    if (!covered) {
        return give_up(s, &calls[0], APR_SUCCESS);
    }
    other = s->at.lasting ? covered : covered_by(s, &calls[1], "deletedRecords");
    if (!other) {
        return give_up(s, &calls[1], APR_SUCCESS);
    }
    covered = covered < other ? covered : other;
    deleted = read_deleted(s, s->at.lasting ? NULL : calls[1].json);
    if (deleted->nelts - s->at.gone > MOST_DELETED) {
        return part_of_deleted(s, deleted, end);
    }
    ids = read_updated(s, calls[0].json);
    return ids->nelts > MOST_IDS ? many(s, deleted, covered)
                                 : last_page(s, ids, deleted, covered);
}

static void say_lasting(step_t *s, const cs_sf_call_t *call)
{
    s->at.lasting = 1;
    s->at.asked = cs_time_now();
    if (cs_sf_say_once(s->crm, apr_pstrcat(s->p, "lasting ", s->changes->table, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4164) "%s: rows deleted from table %s are not listed (%s) and are not "
                             "noticed",
               s->crm->cfg.name, s->changes->table,
               call->result.detail ? call->result.detail : "no reason given");
    }
}

/* An end that the CRM does not take may be our mistake: its clock is known better now. */
static int was_mistaken(const step_t *s, apr_interval_time_t ahead)
{
    apr_interval_time_t off = s->at.ahead - ahead;

    return off > 5 * MINUTE || off < -5 * MINUTE;
}

static apr_status_t list_page(step_t *s)
{
    apr_interval_time_t ahead = s->at.ahead;
    apr_time_t now = cs_time_now() + ahead, end = end_of(s, now);
    cs_sf_call_t calls[2];
    apr_status_t rv;

    s->changes->beginning = 0;
    if (now - s->at.from > (s->at.lasting ? OLDEST_UPDATED : OLDEST)) {
        return begin_again(s, "it is longer ago than the CRM remembers");
    }
    rv = ask_lists(s, calls);
    if (rv == APR_SUCCESS && is_beyond(&calls[0]) && was_mistaken(s, ahead)) {
        end = end_of(s, cs_time_now() + s->at.ahead);
        rv = ask_lists(s, calls);
    }
    if (rv == APR_SUCCESS && is_beyond(&calls[0])) {
        return begin_again(s, calls[0].result.detail);
    }
    if (rv == APR_SUCCESS && is_refused(&calls[0])) {
        return begin_polling(s, &calls[0]);
    }
    if (rv != APR_SUCCESS || calls[0].result.cls != CS_CLASS_OK) {
        return give_up(s, &calls[0], rv);
    }
    if (!s->at.lasting && is_beyond(&calls[1])) {
        return begin_again(s, calls[1].result.detail);
    }
    if (!s->at.lasting && is_refused(&calls[1])) {
        say_lasting(s, &calls[1]);
    }
    else if (!s->at.lasting && calls[1].result.cls != CS_CLASS_OK) {
        return give_up(s, &calls[1], rv);
    }
    return take_lists(s, calls, end);
}

/* ---- one page ---- */

static apr_status_t next_page(step_t *s)
{
    apr_interval_time_t since;

    if (!s->changes->cursor) {
        return begin(s);
    }
    if (!read_cursor(s)) {
        return begin_again(s, "the cursor is of another query");
    }
    if (s->at.scan) {
        return scan_page(s);
    }
    since = cs_time_now() - s->at.asked;
    if ((s->at.polled || s->at.lasting) && (since >= ASK_EVERY || since < 0)) {
        s->at.polled = s->at.lasting = 0;
    }
    return s->at.polled ? poll_table(s) : list_page(s);
}

static int make_fields(step_t *s)
{
    cs_result_t *res = &s->changes->result;

    if (!cs_sf_name_valid(s->changes->table)) {
        cs_result_set(res, s->p, CS_EPARSE, CS_CLASS_SUSPEND, "config:table",
                      "\"%.128s\" is no name of a table",
                      s->changes->table ? s->changes->table : "");
        return 0;
    }
    s->fields = apr_array_make(s->p, 16, sizeof(const char *));
    if (cs_sf_fields(s->fields, s->changes->table, s->changes->columns, s->p, res) !=
        APR_SUCCESS) {
        return 0;
    }
    s->digest = apr_array_pstrcat(s->p, s->fields, ',');
    s->digest = apr_pstrndup(s->p, cs_sha256_hex(s->digest, strlen(s->digest), s->p), 16);
    return 1;
}

apr_status_t cs_sf_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline,
                           apr_pool_t *p)
{
    step_t s = {.crm = crm, .changes = changes, .deadline = deadline, .p = p};

    changes->rows = apr_array_make(p, 16, sizeof(cs_crm_changed_t));
    changes->next = NULL;
    changes->more = changes->beginning = changes->calls = 0;
    changes->took = 0;
    changes->correlation = NULL;
    cs_result_clear(&changes->result);
    return make_fields(&s) ? next_page(&s) : APR_SUCCESS;
}
