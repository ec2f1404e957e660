/* remote/salesforce/changes_scan.c: changed rows as a query shows them, and tables that are read
 * page by page in the order of their modification: at a beginning, where the lists do not reach,
 * and at every turn where the CRM keeps none. */
#include "changes_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"
#include "../../base/time.h"

/* A row may become visible some time after the moment that it names. */
#define OVERLAP apr_time_from_sec(600)

/* Whether rows that went can be told from the others by a query. */
static int shows_deleted(const cs_sf_step_t *s)
{
    return s->at.polled && !s->at.begin && !cs_sf_is_hidden(s->crm, s->changes->table, "IsDeleted");
}

const char *cs_sf_changes_select(const cs_sf_step_t *s, int deleted)
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

static void make_scan(cs_sf_step_t *s, cs_sf_call_t *call)
{
    int deleted = shows_deleted(s);
    const char *since = s->at.seen ? apr_pstrcat(s->p, " WHERE SystemModstamp >= ",
                                                 cs_sf_second(s->at.seen, "Z", s->p), NULL)
                                   : "";

    /* Fields and a date: long before an address gets too long, columns have run out. */
    cs_sf_query(call,
                apr_pstrcat(s->p, cs_sf_changes_select(s, deleted), since,
                            " ORDER BY SystemModstamp, Id", NULL),
                apr_pstrcat(s->p, "GET changes of ", s->changes->table, NULL), s->p, &call->result);
    if (deleted) {
        call->path = apr_pstrcat(s->p, "queryAll", call->path + sizeof("query") - 1, NULL);
    }
    if (s->at.next) {
        call->path = s->at.next;
    }
}

/* A page whose query the CRM does not hold any more. */
static int is_forgotten(const cs_sf_step_t *s, const cs_sf_call_t *call)
{
    return s->at.next &&
           (cs_sf_has_code(call, "INVALID_QUERY_LOCATOR") || cs_sf_has_code(call, "NOT_FOUND") ||
            (cs_sf_is_refused(call) &&
             (call->status == 400 || call->status == 404 || call->status == 410)));
}

/* ---- rows ---- */

void cs_sf_changes_deleted(cs_sf_step_t *s, const char *id, apr_time_t at)
{
    cs_crm_changed_t *changed = apr_array_push(s->changes->rows);

    memset(changed, 0, sizeof(*changed));
    changed->id = id;
    changed->deleted = 1;
    changed->modified = at;
}

/* 0 when it is no row. */
static int take_row(cs_sf_step_t *s, const json_t *row, apr_time_t answered)
{
    const cs_record_t *record = cs_sf_record(row, s->changes->table, s->changes->columns,
                                             s->changes->lookups, answered, s->p);
    apr_time_t at = cs_sf_instant_of(row, "SystemModstamp", s->p);
    cs_crm_changed_t *changed;

    if (!record) {
        return 0;
    }
    s->at.seen = at > s->at.seen ? at : s->at.seen;
    if (cs_json_bool(row, "IsDeleted", 0)) {
        cs_sf_changes_deleted(s, record->id, at);
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
int cs_sf_changes_rows(cs_sf_step_t *s, cs_sf_call_t *call, const char **pnext)
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
static apr_status_t ask_scan(cs_sf_step_t *s, cs_sf_call_t *call)
{
    apr_status_t rv;
    int tries;

    for (tries = 0;; tries++) {
        make_scan(s, call);
        rv = cs_sf_send(s->crm, call, 1, s->deadline, s->p);
        cs_sf_changes_count(s, call, 1);
        if (rv != APR_SUCCESS || call->result.cls == CS_CLASS_OK || tries >= CS_SF_HIDDEN_MOST) {
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

apr_status_t cs_sf_scan_page(cs_sf_step_t *s)
{
    cs_sf_call_t call;
    const char *next;
    apr_status_t rv;

    s->changes->beginning = s->at.begin;
    rv = ask_scan(s, &call);
    if (rv != APR_SUCCESS || call.result.cls != CS_CLASS_OK ||
        !cs_sf_changes_rows(s, &call, &next)) {
        return cs_sf_changes_give_up(s, &call, rv);
    }
    s->at.then = s->at.then ? s->at.then : call.date - OVERLAP;
    s->at.next = next;
    s->changes->more = next != NULL;
    if (!next) {
        s->at.from = s->at.then > s->at.from ? s->at.then : s->at.from;
        s->at.scan = s->at.begin = 0;
        s->at.seen = s->at.then = 0;
    }
    s->changes->next = cs_sf_cursor_write(s);
    return rv;
}

apr_status_t cs_sf_scan(cs_sf_step_t *s, apr_time_t since, apr_time_t then)
{
    s->at.scan = 1;
    s->at.next = NULL;
    s->at.seen = since;
    s->at.then = then;
    s->at.upto = 0;
    s->at.gone = 0;
    return cs_sf_scan_page(s);
}

apr_status_t cs_sf_begin(cs_sf_step_t *s)
{
    apr_interval_time_t ahead = s->at.ahead;

    memset(&s->at, 0, sizeof(s->at));
    s->at.ahead = ahead;
    s->at.begin = 1;
    return cs_sf_scan(s, s->changes->since, 0);
}

apr_status_t cs_sf_begin_again(cs_sf_step_t *s, const char *why)
{
    cs_log(CS_LOG_INFO, 0, NULL,
           CSLOGNO(4162) "%s: the changes of table %s cannot be listed from where they were (%s); "
                         "its rows are read again",
           s->crm->cfg.name, s->changes->table, why ? why : "no reason given");
    return cs_sf_begin(s);
}

apr_status_t cs_sf_poll_table(cs_sf_step_t *s)
{
    return cs_sf_scan(s, s->at.from, 0);
}

apr_status_t cs_sf_begin_polling(cs_sf_step_t *s, const cs_sf_call_t *call)
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
    return cs_sf_poll_table(s);
}
