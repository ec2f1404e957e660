/* remote/salesforce/changes_list.c: the lists of updated and deleted rows since a date, and the
 * rows of those ids. */
#include "changes_internal.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"
#include "../../base/time.h"

#define MINUTE apr_time_from_sec(60)
#define MOST_IDS (CS_SF_MANY * CS_SF_QUERIES) /* rows that are read by id: one composite */
#define MOST_DELETED 1000                     /* of a page; with the others fewer than 2,000 */

/* Deleted rows are remembered for 15 days, updated ones for 30. */
#define OLDEST apr_time_from_sec(14 * 86400)
#define OLDEST_UPDATED apr_time_from_sec(29 * 86400)

/* A row that went. */
typedef struct gone_t {
    const char *id, *date;
} gone_t;

/* Neither list reaches back that far, or holds as many. */
static int is_beyond(const cs_sf_call_t *call)
{
    return cs_sf_has_code(call, "EXCEEDED_ID_LIMIT") ||
           cs_sf_has_code(call, "INVALID_REPLICATION_DATE");
}

/* Both dates lose their seconds there: the end is in the next minute, so that there always is one
 * between them. What was covered is what the answer says. */
static apr_time_t end_of(const cs_sf_step_t *s, apr_time_t now)
{
    apr_time_t end = (now > s->at.from ? now : s->at.from) + MINUTE;

    return s->at.upto ? s->at.upto : end - end % MINUTE;
}

static void make_list(const cs_sf_step_t *s, cs_sf_call_t *call, const char *which, apr_time_t end)
{
    memset(call, 0, sizeof(*call));
    call->kind = CS_SF_READ;
    call->method = "GET";
    call->path =
        apr_pstrcat(s->p, "sobjects/", s->changes->table, "/", which,
                    "/?start=", cs_http_escape(cs_sf_second(s->at.from, "+00:00", s->p), s->p),
                    "&end=", cs_http_escape(cs_sf_second(end, "+00:00", s->p), s->p), NULL);
    call->label = apr_pstrcat(s->p, "GET ", which, " rows of ", s->changes->table, NULL);
}

/* The lists, together in one request where the CRM takes that. */
static apr_status_t ask_lists(cs_sf_step_t *s, cs_sf_call_t calls[2])
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
        cs_sf_changes_count(s, calls, n);
        /* It may be the composite that does not take them; that is found out once. */
        if (rv != APR_SUCCESS || !cs_sf_is_refused(&calls[0]) || is_beyond(&calls[0]) || n == 1 ||
            !cs_sf_say_once(s->crm, apr_pstrcat(s->p, "lists alone ", s->changes->table, NULL))) {
            return rv;
        }
    }
}

static apr_time_t covered_by(const cs_sf_step_t *s, cs_sf_call_t *call, const char *member)
{
    apr_time_t at = cs_sf_instant_of(call->json, "latestDateCovered", s->p);

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
static apr_array_header_t *read_deleted(const cs_sf_step_t *s, const json_t *answer)
{
    const json_t *list = cs_json_get(answer, "deletedRecords");
    apr_array_header_t *all = apr_array_make(s->p, (int)json_array_size(list) + 1, sizeof(gone_t));
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

static int is_shown(const cs_sf_step_t *s, const char *id)
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
static int show_deleted(cs_sf_step_t *s, const apr_array_header_t *all, int from)
{
    int live = s->changes->rows->nelts, i;
    apr_time_t at;

    for (i = from; i < all->nelts && i - from < MOST_DELETED; i++) {
        const gone_t *gone = &APR_ARRAY_IDX(all, i, gone_t);

        if (!live || !is_shown(s, gone->id)) {
            cs_sf_changes_deleted(s, gone->id,
                                  cs_time_parse(&at, gone->date) == APR_SUCCESS && at > 0 ? at : 0);
        }
    }
    return i;
}

/* ---- rows by id ---- */

static int make_reads(const cs_sf_step_t *s, cs_sf_call_t *calls, const apr_array_header_t *ids)
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
        if (cs_sf_query(
                &calls[n],
                apr_pstrcat(s->p, cs_sf_changes_select(s, 0), " WHERE Id IN (", list, ")", NULL),
                apr_pstrcat(s->p, "GET changed rows of ", s->changes->table, NULL), s->p,
                &calls[n].result) != APR_SUCCESS) {
            return -1 - n;
        }
    }
    return n;
}

/* The rows of these ids, added to the page; those that went meanwhile are in the next list. */
static apr_status_t read_ids(cs_sf_step_t *s, const apr_array_header_t *ids)
{
    cs_sf_call_t *calls = apr_pcalloc(s->p, sizeof(*calls) * (CS_SF_QUERIES + 1));
    const char *next;
    apr_status_t rv = APR_SUCCESS;
    int i, n, tries;

    for (tries = 0;; tries++) {
        n = make_reads(s, calls, ids);
        if (n < 0) {
            return cs_sf_changes_give_up(s, &calls[-1 - n], APR_SUCCESS);
        }
        rv = n ? cs_sf_send_together(s->crm, calls, NULL, n, s->deadline, s->p) : APR_SUCCESS;
        cs_sf_changes_count(s, calls, n);
        s->changes->rows->nelts = 0;
        for (i = 0; rv == APR_SUCCESS && i < n && calls[i].result.cls == CS_CLASS_OK &&
                    cs_sf_changes_rows(s, &calls[i], &next);
             i++)
            ;
        if (i == n) {
            s->at.seen = 0;
            return rv;
        }
        if (rv != APR_SUCCESS || tries >= CS_SF_HIDDEN_MOST ||
            !cs_sf_hide(s->crm, s->changes->table, &calls[i].result)) {
            return cs_sf_changes_give_up(s, &calls[i], rv);
        }
    }
}

static apr_array_header_t *read_updated(const cs_sf_step_t *s, const json_t *answer)
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
static apr_status_t part_of_deleted(cs_sf_step_t *s, const apr_array_header_t *deleted,
                                    apr_time_t end)
{
    s->at.gone = show_deleted(s, deleted, s->at.gone);
    s->at.upto = end;
    s->changes->more = 1;
    s->changes->next = cs_sf_cursor_write(s);
    return APR_SUCCESS;
}

static apr_status_t last_page(cs_sf_step_t *s, const apr_array_header_t *ids,
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
    s->changes->next = cs_sf_cursor_write(s);
    return rv;
}

/* Too many to be read by id: they are read by their time, after the deleted ones were shown. */
static apr_status_t many(cs_sf_step_t *s, const apr_array_header_t *deleted, apr_time_t covered)
{
    if (deleted->nelts <= s->at.gone) {
        return cs_sf_scan(s, s->at.from, covered);
    }
    show_deleted(s, deleted, s->at.gone);
    s->at.scan = 1;
    s->at.seen = s->at.from;
    s->at.then = covered;
    s->at.upto = 0;
    s->at.gone = 0;
    s->changes->more = 1;
    s->changes->next = cs_sf_cursor_write(s);
    return APR_SUCCESS;
}

static apr_status_t take_lists(cs_sf_step_t *s, cs_sf_call_t calls[2], apr_time_t end)
{
    apr_time_t covered = covered_by(s, &calls[0], "ids"), other;
    apr_array_header_t *deleted, *ids;

    if (!covered) {
        return cs_sf_changes_give_up(s, &calls[0], APR_SUCCESS);
    }
    other = s->at.lasting ? covered : covered_by(s, &calls[1], "deletedRecords");
    if (!other) {
        return cs_sf_changes_give_up(s, &calls[1], APR_SUCCESS);
    }
    covered = covered < other ? covered : other;
    deleted = read_deleted(s, s->at.lasting ? NULL : calls[1].json);
    if (deleted->nelts - s->at.gone > MOST_DELETED) {
        return part_of_deleted(s, deleted, end);
    }
    ids = read_updated(s, calls[0].json);
    return ids->nelts > MOST_IDS ? many(s, deleted, covered) : last_page(s, ids, deleted, covered);
}

static void say_lasting(cs_sf_step_t *s, const cs_sf_call_t *call)
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
static int was_mistaken(const cs_sf_step_t *s, apr_interval_time_t ahead)
{
    apr_interval_time_t off = s->at.ahead - ahead;

    return off > 5 * MINUTE || off < -5 * MINUTE;
}

apr_status_t cs_sf_list_page(cs_sf_step_t *s)
{
    apr_interval_time_t ahead = s->at.ahead;
    apr_time_t now = cs_time_now() + ahead, end = end_of(s, now);
    cs_sf_call_t calls[2];
    apr_status_t rv;

    s->changes->beginning = 0;
    if (now - s->at.from > (s->at.lasting ? OLDEST_UPDATED : OLDEST)) {
        return cs_sf_begin_again(s, "it is longer ago than the CRM remembers");
    }
    rv = ask_lists(s, calls);
    if (rv == APR_SUCCESS && is_beyond(&calls[0]) && was_mistaken(s, ahead)) {
        end = end_of(s, cs_time_now() + s->at.ahead);
        rv = ask_lists(s, calls);
    }
    if (rv == APR_SUCCESS && is_beyond(&calls[0])) {
        return cs_sf_begin_again(s, calls[0].result.detail);
    }
    if (rv == APR_SUCCESS && cs_sf_is_refused(&calls[0])) {
        return cs_sf_begin_polling(s, &calls[0]);
    }
    if (rv != APR_SUCCESS || calls[0].result.cls != CS_CLASS_OK) {
        return cs_sf_changes_give_up(s, &calls[0], rv);
    }
    if (!s->at.lasting && is_beyond(&calls[1])) {
        return cs_sf_begin_again(s, calls[1].result.detail);
    }
    if (!s->at.lasting && cs_sf_is_refused(&calls[1])) {
        say_lasting(s, &calls[1]);
    }
    else if (!s->at.lasting && calls[1].result.cls != CS_CLASS_OK) {
        return cs_sf_changes_give_up(s, &calls[1], rv);
    }
    return take_lists(s, calls, end);
}
