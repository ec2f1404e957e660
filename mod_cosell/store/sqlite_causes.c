/* store/sqlite_causes.c: what stands in the way of deals, and of how many. The totals follow the
 * rows of `deal_cause` and `dead` (sqlite_schema.c).
 *
 * A program of schema 1.2 that worked on this database in between says nothing of what it settled
 * deals with, and a trigger could only guess: what such a deal is counted by stays until its next
 * look, a sweep's for an open deal, a resync's for any other. */
#include <string.h>

#include <apr_strings.h>

#include "../base/time.h"
#include "../base/json.h"
#include "sqlite_impl.h"

#define PORTION 500

/* ---- dead looks ---- */

apr_status_t cs_sqlite_cause_dead(cs_sqlite_t *sq, const cs_work_t *work, apr_pool_t *ptemp)
{
    const char *cause, *text, *old = NULL;
    apr_int64_t since = work->due ? work->due : cs_time_now();
    sqlite3_stmt *st;
    apr_status_t rv =
        cs_sqlite_query(sq, &st, CS_SQL_DEAD_GET, "sss", work->site, work->name, work->kind);

    if (st) {
        old = cs_sqlite_text(st, 0, ptemp);
        cs_sqlite_reset(st);
    }
    cs_store_cause_of_dead(work, &cause, &text, ptemp);
    if (rv != APR_SUCCESS || (old && !strcmp(old, cause))) {
        return rv;
    }
    if (old) {
        rv = cs_sqlite_exec(sq, CS_SQL_DEAD_DROP, "sss", work->site, work->name, work->kind);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_CAUSE_PUT, "sssii", work->site, cause, text, since,
                            (apr_int64_t)1);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_DEAD_ADD, "ssssi", work->site, work->name, work->kind, cause,
                            since);
    }
    return rv;
}

/* Key of a row: where the next portion begins. */
typedef struct place_t {
    const char *site, *name, *kind;
} place_t;

static apr_status_t list_dead(cs_sqlite_t *sq, const place_t *after, apr_array_header_t **plist,
                              apr_pool_t *p)
{
    sqlite3_stmt *st;
    place_t *place;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_DEAD_ALL, "sssi", after->site, after->name,
                                      after->kind, (apr_int64_t)PORTION);

    *plist = apr_array_make(p, PORTION, sizeof(place_t));
    while (st) {
        place = apr_array_push(*plist);
        place->site = cs_sqlite_text(st, 0, p);
        place->name = cs_sqlite_text(st, 1, p);
        place->kind = cs_sqlite_text(st, 2, p);
        rv = cs_sqlite_next(sq, &st);
    }
    return rv;
}

apr_status_t cs_sqlite_causes_fill(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    place_t after = {"", "", ""};
    apr_array_header_t *list;
    apr_status_t rv = APR_SUCCESS;
    cs_work_t *work;
    apr_pool_t *pools[2];
    int i, turn = 0;

    if (apr_pool_create(&pools[0], ptemp) || apr_pool_create(&pools[1], ptemp)) {
        return cs_sqlite_say(sq, APR_ENOMEM, "out of memory");
    }
    do {
        /* What is named in `after` is of the turn before. */
        apr_pool_clear(pools[turn]);
        rv = list_dead(sq, &after, &list, pools[turn]);
        for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
            after = APR_ARRAY_IDX(list, i, place_t);
            rv = cs_sqlite_work_get(sq, after.site, after.kind, after.name, &work, pools[turn]);
            if (rv == APR_SUCCESS && work) {
                rv = cs_sqlite_cause_dead(sq, work, pools[turn]);
            }
        }
        turn = !turn;
    } while (rv == APR_SUCCESS && list->nelts == PORTION);
    return rv;
}

/* ---- deals ---- */

static apr_status_t add_cause(cs_sqlite_t *sq, const char *site, const cs_deal_t *deal,
                              const char *cause, const char *text)
{
    apr_int64_t since = deal->updated ? deal->updated : cs_time_now();
    apr_status_t rv =
        cs_sqlite_exec(sq, CS_SQL_CAUSE_PUT, "sssii", site, cause, text, since, (apr_int64_t)0);

    return rv == APR_SUCCESS ? cs_sqlite_exec(sq, CS_SQL_CAUSE_ADD, "ssi", site, cause, deal->id)
                             : rv;
}

/* {"<key>": "<text>"} of what is counted: {} for a deal that is gone. */
static json_t *causes_of(const cs_deal_t *deal, apr_pool_t *p)
{
    json_t *all = json_object();
    const char *cause;
    json_t *text;

    json_object_foreach(deal->causes, cause, text) {
        if (deal->state != CS_DEAL_GONE && *cause && json_object_size(all) < CS_CAUSES_OF_DEAL) {
            cause = cs_store_cut(cause, CS_CAUSE_LEN, p);
            json_object_set_new(
                all, cause,
                json_string(cs_store_cut(json_is_string(text) ? json_string_value(text) : cause,
                                         CS_CAUSE_TEXT_LEN, p)));
        }
    }
    return cs_json_own(all, p);
}

apr_status_t cs_sqlite_causes_put(cs_sqlite_t *sq, const char *site, const cs_deal_t *deal,
                                  apr_pool_t *ptemp)
{
    apr_array_header_t *gone = apr_array_make(ptemp, 4, sizeof(const char *));
    json_t *fresh, *text;
    sqlite3_stmt *st;
    const char *cause;
    apr_status_t rv;
    int i;

    if (!deal->causes && deal->state != CS_DEAL_GONE) {
        return APR_SUCCESS;
    }
    fresh = causes_of(deal, ptemp);
    rv = cs_sqlite_query(sq, &st, CS_SQL_CAUSE_OF_DEAL, "i", deal->id);
    while (st) {
        cause = cs_sqlite_text(st, 0, ptemp);
        if (json_object_del(fresh, cause)) {
            APR_ARRAY_PUSH(gone, const char *) = cause;
        }
        rv = cs_sqlite_next(sq, &st);
    }
    for (i = 0; rv == APR_SUCCESS && i < gone->nelts; i++) {
        rv = cs_sqlite_exec(sq, CS_SQL_CAUSE_DROP, "ssi", site,
                            APR_ARRAY_IDX(gone, i, const char *), deal->id);
    }
    json_object_foreach(fresh, cause, text) {
        if (rv == APR_SUCCESS) {
            rv = add_cause(sq, site, deal, cause, json_string_value(text));
        }
    }
    return rv;
}

/* ---- reading ---- */

apr_status_t cs_sqlite_causes(cs_store_t *store, const char *site, int max,
                              apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    cs_cause_t *cause;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 16, sizeof(cs_cause_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_CAUSE_LIST, "si", site, (apr_int64_t)max);
    }
    while (st) {
        cause = apr_pcalloc(p, sizeof(*cause));
        cause->cause = cs_sqlite_text(st, 0, p);
        cause->text = cs_sqlite_text(st, 1, p);
        cause->n = sqlite3_column_int64(st, 2);
        cause->since = sqlite3_column_int64(st, 3);
        cause->dead = sqlite3_column_int(st, 4);
        if (!*cause->text) {
            /* An older program gave up there. */
            cause->text = cause->dead ? cause->cause + sizeof(CS_CAUSE_DEAD) - 1 : cause->cause;
        }
        APR_ARRAY_PUSH(*plist, cs_cause_t *) = cause;
        rv = cs_sqlite_next(sq, &st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

static apr_status_t query_dead(cs_sqlite_t *sq, sqlite3_stmt **pst, const char *site,
                               const char *cause, const char *after, int max)
{
    const char *from = after ? after : "";

    return cause ? cs_sqlite_query(sq, pst, CS_SQL_DEAD_CAUSE, "sssi", site, cause, from,
                                   (apr_int64_t)max)
                 : cs_sqlite_query(sq, pst, CS_SQL_DEAD_LIST, "ssi", site, from, (apr_int64_t)max);
}

apr_status_t cs_sqlite_dead(cs_store_t *store, const char *site, const char *cause,
                            const char *after, int max, apr_array_header_t **plist, apr_pool_t *p,
                            cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    cs_work_t *work;
    apr_status_t rv = cs_sqlite_read(sq, 1, p);

    *plist = apr_array_make(p, 16, sizeof(cs_work_t *));
    if (rv == APR_SUCCESS) {
        rv = query_dead(sq, &st, site, cause, after, max);
    }
    while (rv == APR_SUCCESS && st) {
        rv = cs_sqlite_work_get(sq, site, cs_sqlite_text(st, 0, p), cs_sqlite_text(st, 1, p), &work,
                                p);
        if (rv == APR_SUCCESS && work) {
            APR_ARRAY_PUSH(*plist, cs_work_t *) = work;
        }
        if (rv == APR_SUCCESS) {
            rv = cs_sqlite_next(sq, &st);
        }
    }
    if (st) {
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}
