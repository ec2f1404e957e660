/* store/sqlite_read.c: everything that only looks, secrets, pruning. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/time.h"
#include "sqlite_impl.h"

#define PRUNE_MAX 500
/* Jobs that ended are kept so long, with their rows. */
#define KEEP_JOBS apr_time_from_sec(30 * 86400)
/* Deals whose words are written in a turn of pruning: some twenty rows each. */
#define FILL_MAX 50
/* Rows of deals that one call looks through. */
#define SCAN_MAX 1000

/* ---- deals ---- */

apr_status_t cs_sqlite_deal_of_row(cs_sqlite_t *sq, sqlite3_stmt *st, cs_deal_t **pdeal,
                                   apr_pool_t *p)
{
    cs_deal_t *d = apr_pcalloc(p, sizeof(*d));
    apr_status_t rv;

    *pdeal = d;
    d->id = sqlite3_column_int64(st, 0);
    d->site = cs_sqlite_text(st, 1, p);
    d->state = (cs_deal_state_e)sqlite3_column_int(st, 2);
    d->crm = cs_sqlite_text(st, 3, p);
    d->kind = cs_sqlite_text(st, 4, p);
    d->referral_id = cs_sqlite_text(st, 5, p);
    d->engagement_id = cs_sqlite_text(st, 6, p);
    d->table = cs_sqlite_text(st, 7, p);
    d->record_id = cs_sqlite_text(st, 8, p);
    d->title = cs_sqlite_text(st, 9, p);
    d->status = cs_sqlite_text(st, 10, p);
    d->problem = cs_sqlite_text(st, 11, p);
    d->pc_version = cs_sqlite_text(st, 12, p);
    d->pc_status = cs_sqlite_text(st, 13, p);
    d->crm_version = cs_sqlite_text(st, 14, p);
    d->mapping = cs_sqlite_text(st, 15, p);
    d->next_look = sqlite3_column_int64(st, 20);
    d->created = sqlite3_column_int64(st, 21);
    d->updated = sqlite3_column_int64(st, 22);
    d->planned = sqlite3_column_int(st, 23);
    d->crossed = sqlite3_column_int(st, 24);
    d->crossed_since = sqlite3_column_int64(st, 25);
    rv = cs_sqlite_json(sq, st, 16, &d->images, p);
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_json(sq, st, 17, &d->intent, p);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_json(sq, st, 18, &d->told, p);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_json(sq, st, 19, &d->explain, p);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_json(sq, st, 26, &d->posted, p);
    }
    return rv;
}

/* Takes the row under st, if there is one. */
static apr_status_t take_deal(cs_sqlite_t *sq, apr_status_t rv, sqlite3_stmt *st, cs_deal_t **pdeal,
                              apr_pool_t *p)
{
    if (st) {
        rv = cs_sqlite_deal_of_row(sq, st, pdeal, p);
        cs_sqlite_reset(st);
    }
    if (rv != APR_SUCCESS) {
        *pdeal = NULL;
    }
    return rv;
}

apr_status_t cs_sqlite_deal_find(cs_store_t *store, const char *site, const char *system,
                                 const char *external_id, cs_deal_t **pdeal, apr_pool_t *p,
                                 cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pdeal = NULL;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DEAL_FIND, "ss", site,
                             apr_pstrcat(p, system, ":", external_id, NULL));
        rv = take_deal(sq, rv, st, pdeal, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

static const char *name_at(const apr_array_header_t *names, int i)
{
    return i < names->nelts ? APR_ARRAY_IDX(names, i, const char *) : NULL;
}

apr_status_t cs_sqlite_deals_named(cs_store_t *store, const char *site,
                                   const apr_array_header_t *names, apr_array_header_t **plist,
                                   apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 1, sizeof(cs_deal_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DEALS_NAMED, "sssssssssss", site, name_at(names, 0),
                             name_at(names, 1), name_at(names, 2), name_at(names, 3),
                             name_at(names, 4), name_at(names, 5), name_at(names, 6),
                             name_at(names, 7), name_at(names, 8), name_at(names, 9));
    }
    while (rv == APR_SUCCESS && st) {
        cs_deal_t *deal = NULL;

        rv = cs_sqlite_deal_of_row(sq, st, &deal, p);
        if (rv != APR_SUCCESS) {
            cs_sqlite_reset(st);
            break;
        }
        APR_ARRAY_PUSH(*plist, cs_deal_t *) = deal;
        rv = cs_sqlite_next(sq, &st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_deal_load(cs_store_t *store, const char *site, apr_int64_t id,
                                 cs_deal_t **pdeal, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pdeal = NULL;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DEAL_GET, "si", site, id);
        rv = take_deal(sq, rv, st, pdeal, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* ---- which deals are to be looked at ---- */

/* Its kind of end does not depend on the mapping. */
static int may_change(cs_deal_state_e state)
{
    return state != CS_DEAL_CLOSED && state != CS_DEAL_UNLINKED && state != CS_DEAL_GONE;
}

static int same_text(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static int is_of_mapping(sqlite3_stmt *st, const char *site, const char *crm, const char *digest)
{
    const char *owner = (const char *)sqlite3_column_text(st, 3);

    return same_text((const char *)sqlite3_column_text(st, 1), site) &&
           may_change((cs_deal_state_e)sqlite3_column_int(st, 2)) &&
           (!owner || !strcmp(owner, crm)) &&
           !same_text((const char *)sqlite3_column_text(st, 4), digest);
}

/* What a walk over the deals is for. digest NULL: the open ones. */
typedef struct walk_t {
    const char *site, *crm, *digest;
} walk_t;

static int is_open(sqlite3_stmt *st, const walk_t *walk)
{
    cs_deal_state_e state = (cs_deal_state_e)sqlite3_column_int(st, 2);

    return same_text((const char *)sqlite3_column_text(st, 1), walk->site) &&
           (state == CS_DEAL_NEW || state == CS_DEAL_LINKED) &&
           (!walk->crm || same_text((const char *)sqlite3_column_text(st, 3), walk->crm));
}

static apr_status_t walk_deals(cs_sqlite_t *sq, const walk_t *walk, int max, apr_int64_t *pafter,
                               apr_array_header_t **pids, int *pleft, apr_pool_t *p,
                               cs_result_t *res)
{
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);
    int rows = 0;

    *pids = apr_array_make(p, 16, sizeof(apr_int64_t));
    *pleft = 0;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DEAL_AFTER, "ii", *pafter, (apr_int64_t)SCAN_MAX);
    }
    while (st) {
        *pafter = sqlite3_column_int64(st, 0);
        if (walk->digest ? is_of_mapping(st, walk->site, walk->crm, walk->digest)
                         : is_open(st, walk)) {
            APR_ARRAY_PUSH(*pids, apr_int64_t) = *pafter;
        }
        if ((*pids)->nelts >= max || ++rows >= SCAN_MAX) {
            *pleft = 1;
            cs_sqlite_reset(st);
            break;
        }
        rv = cs_sqlite_next(sq, &st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_deals_open(cs_store_t *store, const char *site, const char *crm, int max,
                                  apr_int64_t *pafter, apr_array_header_t **pids, int *pleft,
                                  apr_pool_t *p, cs_result_t *res)
{
    walk_t walk = {site, crm, NULL};

    return walk_deals((cs_sqlite_t *)store, &walk, max, pafter, pids, pleft, p, res);
}

apr_status_t cs_sqlite_watchers(cs_store_t *store, const char *site, const char *crm,
                                const char *row, apr_int64_t after, int max,
                                apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pids = apr_array_make(p, 4, sizeof(apr_int64_t));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_WATCH_ROW, "sssii", site, crm, row, after,
                             (apr_int64_t)max);
    }
    while (st) {
        APR_ARRAY_PUSH(*pids, apr_int64_t) = sqlite3_column_int64(st, 0);
        rv = cs_sqlite_next(sq, &st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_cursor_get(cs_store_t *store, const char *site, const char *name,
                                  const char **ptext, apr_time_t *pupdated, apr_pool_t *p,
                                  cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *ptext = NULL;
    if (pupdated) {
        *pupdated = 0;
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_CURSOR_GET, "ss", site, name);
    }
    if (st) {
        *ptext = cs_sqlite_text(st, 0, p);
        if (pupdated) {
            *pupdated = sqlite3_column_int64(st, 1);
        }
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_deals_of_mapping(cs_store_t *store, const char *site, const char *crm,
                                        const char *digest, int max, apr_int64_t *pafter,
                                        apr_array_header_t **pids, int *pleft, apr_pool_t *p,
                                        cs_result_t *res)
{
    walk_t walk = {site, crm, digest};

    return walk_deals((cs_sqlite_t *)store, &walk, max, pafter, pids, pleft, p, res);
}

apr_status_t cs_sqlite_deals_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                                 apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pids = apr_array_make(p, 16, sizeof(apr_int64_t));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DEAL_DUE, "sii", site, (apr_int64_t)now,
                             (apr_int64_t)max);
    }
    while (st) {
        APR_ARRAY_PUSH(*pids, apr_int64_t) = sqlite3_column_int64(st, 0);
        rv = cs_sqlite_next(sq, &st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* ---- lists ---- */

static apr_status_t row_of_work(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                                apr_pool_t *p)
{
    return cs_sqlite_work_of_row(sq, st, apr_array_push(list), p);
}

/* One that is damaged is listed with the reason, in place of its documents. */
static apr_status_t row_of_deal(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                                apr_pool_t *p)
{
    cs_deal_t **pdeal = apr_array_push(list);
    apr_status_t rv = cs_sqlite_deal_of_row(sq, st, pdeal, p);

    if (rv == CS_EPARSE) {
        (*pdeal)->problem = apr_pstrdup(p, sq->detail);
        sq->detail[0] = '\0';
        rv = APR_SUCCESS;
    }
    return rv;
}

static apr_status_t row_of_suspended(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                                     apr_pool_t *p)
{
    cs_suspended_t *s = apr_array_push(list);

    (void)sq;
    s->site = cs_sqlite_text(st, 0, p);
    s->upstream = cs_sqlite_text(st, 1, p);
    s->problem = cs_sqlite_text(st, 2, p);
    s->detail = cs_sqlite_text(st, 3, p);
    s->since = sqlite3_column_int64(st, 4);
    s->probe = sqlite3_column_int64(st, 5);
    return APR_SUCCESS;
}

typedef apr_status_t row_fn(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                            apr_pool_t *p);

/* All rows of a query that cs_sqlite_query() began with status rv. */
static apr_status_t collect(cs_sqlite_t *sq, apr_status_t rv, sqlite3_stmt *st, row_fn *row,
                            apr_array_header_t *list, apr_pool_t *p)
{
    while (st) {
        rv = row(sq, st, list, p);
        if (rv != APR_SUCCESS) {
            cs_sqlite_reset(st);
            return rv;
        }
        rv = cs_sqlite_next(sq, &st);
    }
    return rv;
}

static int by_due(const void *a, const void *b)
{
    const cs_work_t *x = *(cs_work_t *const *)a, *y = *(cs_work_t *const *)b;

    return x->due < y->due ? -1 : x->due > y->due;
}

apr_status_t cs_sqlite_work_list(cs_store_t *store, const char *site, int state, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_read(sq, 1, p);
    int i, last = state < 0 ? CS_WORK_SUSPENDED : state;

    *plist = apr_array_make(p, 16, sizeof(cs_work_t *));
    for (i = state < 0 ? 0 : state; rv == APR_SUCCESS && i <= last; i++) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_WORK_LIST, "sii", site, (apr_int64_t)i,
                             (apr_int64_t)max);
        rv = collect(sq, rv, st, row_of_work, *plist, p);
    }
    if (rv == APR_SUCCESS && state < 0) {
        qsort((*plist)->elts, (size_t)(*plist)->nelts, sizeof(cs_work_t *), by_due);
        (*plist)->nelts = (*plist)->nelts > max ? max : (*plist)->nelts;
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_deal_list(cs_store_t *store, const char *site, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 16, sizeof(cs_deal_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DEAL_LIST, "si", site, (apr_int64_t)max);
        rv = collect(sq, rv, st, row_of_deal, *plist, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_suspended(cs_store_t *store, const char *site, apr_array_header_t **plist,
                                 apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 4, sizeof(cs_suspended_t));
    if (rv == APR_SUCCESS) {
        rv = site ? cs_sqlite_query(sq, &st, CS_SQL_SUSPEND_LIST, "s", site)
                  : cs_sqlite_query(sq, &st, CS_SQL_SUSPEND_ALL, "");
        rv = collect(sq, rv, st, row_of_suspended, *plist, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

static apr_status_t row_of_delivery(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                                    apr_pool_t *p)
{
    cs_delivery_t *d = apr_pcalloc(p, sizeof(*d));

    (void)sq;
    d->id = sqlite3_column_int64(st, 0);
    d->source = cs_sqlite_text(st, 1, p);
    d->event = cs_sqlite_text(st, 2, p);
    d->names = cs_sqlite_text(st, 3, p);
    d->received = sqlite3_column_int64(st, 4);
    APR_ARRAY_PUSH(list, cs_delivery_t *) = d;
    return APR_SUCCESS;
}

apr_status_t cs_sqlite_deliveries(cs_store_t *store, const char *site, const char *source,
                                  const char *event, apr_time_t since, int max,
                                  apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 4, sizeof(cs_delivery_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_DELIVERY_RECENT, "sssiii", site, source, event,
                             (apr_int64_t)since, (apr_int64_t)CS_DELIVERY_WINDOW,
                             (apr_int64_t)max);
        rv = collect(sq, rv, st, row_of_delivery, *plist, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_work_named(cs_store_t *store, const char *site, const char *kind,
                                  const char *name, cs_work_t **pwork, apr_pool_t *p,
                                  cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pwork = NULL;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_work_get(sq, site, kind, name, pwork, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_work_of_deal(cs_store_t *store, const char *site, apr_int64_t deal,
                                    cs_work_t **pwork, apr_pool_t *p, cs_result_t *res)
{
    return cs_sqlite_work_named(store, site, CS_WORK_LOOK, cs_store_deal_name(deal, p), pwork, p,
                                res);
}

apr_status_t cs_sqlite_meta_get(cs_store_t *store, const char *site, const char *name,
                                const char **ptext, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *ptext = NULL;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_META_GET, "ss", site, name);
    }
    if (st) {
        *ptext = cs_sqlite_text(st, 0, p);
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* ---- counts ---- */

static apr_status_t add_number(cs_sqlite_t *sq, cs_sql_e id, const char *site, const char *what,
                               apr_int64_t *psum, apr_int64_t *psecond)
{
    sqlite3_stmt *st = NULL;
    apr_status_t rv = what ? cs_sqlite_query(sq, &st, id, "ss", site, what)
                           : cs_sqlite_query(sq, &st, id, "s", site);

    if (st) {
        *psum += sqlite3_column_int64(st, 0);
        if (psecond) {
            *psecond = sqlite3_column_int64(st, 1);
        }
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t count_work(cs_sqlite_t *sq, const char *site, cs_store_counts_t *counts)
{
    apr_int64_t oldest = 0;
    apr_status_t rv =
        add_number(sq, CS_SQL_WORK_WAITING, site, NULL, &counts->outstanding, &oldest);

    if (oldest && (!counts->oldest || oldest < counts->oldest)) {
        counts->oldest = oldest;
    }
    if (rv == APR_SUCCESS) {
        rv = add_number(sq, CS_SQL_WORK_SUSPENDED, site, NULL, &counts->suspended, NULL);
    }
    return rv == APR_SUCCESS ? add_number(sq, CS_SQL_TALLY_ONE, site, "dead", &counts->dead, NULL)
                             : rv;
}

/* From site to site: they are few. */
static apr_status_t count_all_work(cs_sqlite_t *sq, cs_store_counts_t *counts, apr_pool_t *p)
{
    const char *site = "";
    sqlite3_stmt *st;
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && site) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_WORK_SITE, "s", site);
        site = NULL;
        if (st) {
            site = cs_sqlite_text(st, 0, p);
            cs_sqlite_reset(st);
            rv = count_work(sq, site, counts);
        }
    }
    return rv;
}

static apr_status_t count_totals(cs_sqlite_t *sq, const char *site, cs_store_counts_t *counts)
{
    sqlite3_stmt *st = NULL;
    apr_status_t rv = site ? cs_sqlite_query(sq, &st, CS_SQL_TOTAL_GET, "s", site)
                           : cs_sqlite_query(sq, &st, CS_SQL_TOTAL_ALL, "");

    if (st) {
        counts->deals = sqlite3_column_int64(st, 0);
        counts->journal = sqlite3_column_int64(st, 1);
        counts->deliveries = sqlite3_column_int64(st, 2);
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_int64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) ? 0 : (apr_int64_t)st.st_size;
}

apr_status_t cs_sqlite_counts(cs_store_t *store, const char *site, cs_store_counts_t *counts,
                              apr_pool_t *ptemp, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_read(sq, 1, ptemp);

    memset(counts, 0, sizeof(*counts));
    if (rv == APR_SUCCESS) {
        rv = count_totals(sq, site, counts);
    }
    if (rv == APR_SUCCESS) {
        rv = site ? count_work(sq, site, counts) : count_all_work(sq, counts, ptemp);
    }
    counts->bytes = size_of(sq->db_path);
    counts->wal_bytes = size_of(sq->wal_path);
    return cs_sqlite_done(sq, rv, ptemp, res);
}

/* ---- secrets ---- */

apr_status_t cs_sqlite_secret_get(cs_store_t *store, const char *site, const char *name,
                                  const unsigned char **psealed, apr_size_t *plen,
                                  apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *psealed = NULL;
    *plen = 0;
    *pversion = 0;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_SECRET_GET, "ss", site, name);
    }
    if (st) {
        *pversion = sqlite3_column_int64(st, 0);
        *plen = (apr_size_t)sqlite3_column_bytes(st, 1);
        /* An empty blob has no address. */
        *psealed =
            *plen ? apr_pmemdup(p, sqlite3_column_blob(st, 1), *plen) : (const unsigned char *)"";
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_secret_put(cs_store_t *store, const char *site, const char *name,
                                  const unsigned char *sealed, apr_size_t len, apr_int64_t version,
                                  apr_pool_t *ptemp, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_begin(sq, ptemp);
    apr_int64_t now = cs_time_now();

    if (rv == APR_SUCCESS) {
        rv = version ? cs_sqlite_exec(sq, CS_SQL_SECRET_PUT, "ssbii", site, name, sealed, len, now,
                                      version)
                     : cs_sqlite_exec(sq, CS_SQL_SECRET_NEW, "ssbi", site, name, sealed, len, now);
    }
    if (rv == APR_SUCCESS && !cs_sqlite_changes(sq)) {
        rv = cs_sqlite_say(sq, CS_ESTALE, "the secret %s of site %s was changed by somebody else",
                           name, site);
    }
    return cs_sqlite_end(sq, rv, ptemp, res);
}

/* ---- pruning ---- */

typedef struct old_row_t {
    apr_int64_t id, count;
    const char *site;
} old_row_t;

/* Rows were appended in the order of time, so the old ones come first, and the first that is not
 * old ends the search. The very last row stays: an id must not be given twice. */
static apr_status_t list_old(cs_sqlite_t *sq, cs_sql_e id, apr_time_t before, int max,
                             apr_array_header_t **plist, apr_pool_t *p)
{
    sqlite3_stmt *st;
    old_row_t *row;
    apr_status_t rv = cs_sqlite_query(sq, &st, id, "i", (apr_int64_t)max + 1);

    *plist = apr_array_make(p, max + 1, sizeof(old_row_t));
    while (st) {
        if (sqlite3_column_int64(st, 2) >= before) {
            cs_sqlite_reset(st);
            return rv;
        }
        row = apr_array_push(*plist);
        row->id = sqlite3_column_int64(st, 0);
        row->site = cs_sqlite_text(st, 1, p);
        row->count = 1 + sqlite3_column_int64(st, 3);
        rv = cs_sqlite_next(sq, &st);
    }
    if ((*plist)->nelts) {
        (*plist)->nelts--;
    }
    return rv;
}

static apr_status_t delete_old(cs_sqlite_t *sq, const apr_array_header_t *list, int n,
                               int of_journal)
{
    apr_status_t rv = APR_SUCCESS;
    apr_int64_t count = 0;
    const old_row_t *row;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        row = &APR_ARRAY_IDX(list, i, old_row_t);
        rv = cs_sqlite_exec(sq, of_journal ? CS_SQL_JOURNAL_DELETE : CS_SQL_DELIVERY_DELETE, "i",
                            row->id);
        count += row->count;
        /* Rows of one site stand together more often than not. */
        if (rv == APR_SUCCESS && (i + 1 == n || strcmp(row->site, row[1].site))) {
            rv = cs_sqlite_total_add(sq, row->site, 0, of_journal ? -count : 0,
                                     of_journal ? 0 : -count);
            count = 0;
        }
    }
    return rv;
}

static apr_status_t prune_one(cs_sqlite_t *sq, int of_journal, apr_interval_time_t keep,
                              apr_time_t now, int *pbudget, int *pleft, apr_pool_t *ptemp)
{
    apr_array_header_t *list;
    apr_status_t rv;
    int n;

    if (keep <= 0) {
        return APR_SUCCESS;
    }
    rv = list_old(sq, of_journal ? CS_SQL_JOURNAL_OLD : CS_SQL_DELIVERY_OLD, now - keep, *pbudget,
                  &list, ptemp);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    n = list->nelts;
    *pleft |= n && n == *pbudget;
    *pbudget -= n;
    return delete_old(sq, list, n, of_journal);
}

apr_status_t cs_sqlite_prune(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                             int *pleft, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_begin(sq, ptemp);
    int budget = max > 0 && max < PRUNE_MAX ? max : PRUNE_MAX, unworded = 0;

    *pleft = 0;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_lease_mine(sq, lease);
    }
    if (rv == APR_SUCCESS) {
        rv = prune_one(sq, 0, store->cfg.keep_delivery, now, &budget, pleft, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = prune_one(sq, 1, store->cfg.keep_journal, now, &budget, pleft, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_job_prune(sq, now - KEEP_JOBS, &budget, pleft, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_words_fill(sq, FILL_MAX, &unworded, ptemp);
        *pleft |= unworded;
    }
    return cs_sqlite_end(sq, rv, ptemp, res);
}
