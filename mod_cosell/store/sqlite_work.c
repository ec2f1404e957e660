/* store/sqlite_work.c: work rows: accepting, leases, claiming. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "sqlite_impl.h"

/* Rows looked at by one folding: its transaction must not hold up an accept. */
#define FOLD_MAX 500
#define DIGEST_LEN 32

/* ---- rows ---- */

/* A row whose hints are damaged is a row all the same: only its own look ends, saying so. */
static apr_status_t read_hints(cs_sqlite_t *sq, sqlite3_stmt *st, int pc_column, cs_work_t *work,
                               apr_pool_t *p)
{
    apr_status_t rv = cs_sqlite_json(sq, st, pc_column + 1, &work->hints, p);

    if (rv == CS_EPARSE) {
        work->damaged = apr_pstrdup(p, sq->detail);
        sq->detail[0] = '\0';
        rv = APR_SUCCESS;
    }
    if (rv == APR_SUCCESS && !json_is_object(work->hints)) {
        work->hints = cs_json_own(json_object(), p);
    }
    if (rv == APR_SUCCESS) {
        cs_store_hint_merge(work->hints, CS_SYSTEM_PC, sqlite3_column_int64(st, pc_column));
        cs_store_causes_drop(work);
    }
    return rv;
}

apr_status_t cs_sqlite_work_of_row(cs_sqlite_t *sq, sqlite3_stmt *st, cs_work_t **pwork,
                                   apr_pool_t *p)
{
    cs_work_t *work = apr_pcalloc(p, sizeof(*work));

    *pwork = work;
    work->site = cs_sqlite_text(st, 0, p);
    work->kind = cs_sqlite_text(st, 1, p);
    work->name = cs_sqlite_text(st, 2, p);
    work->wanted = sqlite3_column_int64(st, 3);
    work->done = sqlite3_column_int64(st, 4);
    work->first = sqlite3_column_int64(st, 7);
    work->due = sqlite3_column_int64(st, 8);
    work->attempts = sqlite3_column_int(st, 9);
    work->state = (cs_work_state_e)sqlite3_column_int(st, 10);
    work->upstream = cs_sqlite_text(st, 11, p);
    work->problem_class = cs_sqlite_text(st, 12, p);
    work->problem = cs_sqlite_text(st, 13, p);
    work->detail = cs_sqlite_text(st, 14, p);
    work->seen = sqlite3_column_int64(st, 15);
    work->trace = cs_sqlite_text(st, 16, p);
    return read_hints(sq, st, 5, work, p);
}

apr_status_t cs_sqlite_work_get(cs_sqlite_t *sq, const char *site, const char *kind,
                                const char *name, cs_work_t **pwork, apr_pool_t *p)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_WORK_GET, "sss", site, kind, name);

    *pwork = NULL;
    if (st) {
        rv = cs_sqlite_work_of_row(sq, st, pwork, p);
        cs_sqlite_reset(st);
    }
    return rv;
}

/* As the row that a notice makes: the trigger that follows what is dead leaves it out. */
static int looks_new(const cs_work_t *work)
{
    return work->wanted == 1 && !work->done && !work->attempts;
}

apr_status_t cs_sqlite_work_put(cs_sqlite_t *sq, const cs_work_t *work, apr_pool_t *ptemp)
{
    json_t *others = work->hints ? cs_json_own(json_copy(work->hints), ptemp) : NULL;
    apr_int64_t pc = json_integer_value(json_object_get(others, CS_SYSTEM_PC));
    apr_status_t rv;

    json_object_del(others, CS_SYSTEM_PC);
    if (json_object_size(others) == 0) {
        others = NULL;
    }
    rv = work->state == CS_WORK_DEAD ? cs_sqlite_cause_dead(sq, work, ptemp)
         : looks_new(work)           ? cs_sqlite_exec(sq, CS_SQL_DEAD_DROP, "sss", work->site,
                                                      work->name, work->kind)
                                     : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return cs_sqlite_exec(sq, CS_SQL_WORK_PUT, "sssiiijiiiissssis", work->site, work->kind,
                          work->name, work->wanted, work->done, pc, others, ptemp,
                          (apr_int64_t)work->first, (apr_int64_t)work->due,
                          (apr_int64_t)work->attempts, (apr_int64_t)work->state, work->upstream,
                          work->problem_class, work->problem, work->detail, work->seen,
                          work->trace);
}

apr_status_t cs_sqlite_total_add(cs_sqlite_t *sq, const char *site, apr_int64_t deals,
                                 apr_int64_t journal, apr_int64_t deliveries)
{
    return cs_sqlite_exec(sq, CS_SQL_TOTAL_ADD, "siii", site, deals, journal, deliveries);
}

/* ---- accepting ---- */

static void hint_table(cs_work_t *work, const char *table, apr_pool_t *ptemp)
{
    if (table && strncmp(work->name, "deal:", 5)) {
        cs_store_hint_merge(work->hints, apr_pstrcat(ptemp, CS_HINT_TABLE, table, NULL), 1);
    }
}

/* A row that is dead, held by a brake, has nothing outstanding, is new, or takes a CRM's hint. */
static apr_status_t wake_work(cs_sqlite_t *sq, const cs_notice_t *n, const char *name,
                              const char *table, apr_pool_t *ptemp)
{
    cs_work_t *work;
    apr_status_t rv = cs_sqlite_work_get(sq, n->site, n->kind, name, &work, ptemp);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!work) {
        work = apr_pcalloc(ptemp, sizeof(*work));
        work->site = n->site;
        work->kind = n->kind;
        work->name = name;
        work->hints = cs_json_own(json_object(), ptemp);
    }
    if (work->state == CS_WORK_DEAD || cs_store_is_braked(work) || work->wanted <= work->done) {
        work->first = work->wanted <= work->done ? n->received : work->first;
        work->due = n->received;
        work->attempts = 0;
        if (work->state == CS_WORK_DEAD || cs_store_is_braked(work)) {
            work->state = CS_WORK_READY;
            work->upstream = NULL;
        }
        work->problem_class = work->problem = work->detail = NULL;
    }
    work->wanted++;
    work->trace = n->trace ? n->trace : work->trace;
    cs_store_hint_merge(work->hints, n->system, n->hint);
    hint_table(work, table, ptemp);
    cs_store_causes_drop(work);
    return cs_sqlite_work_put(sq, work, ptemp);
}

static apr_status_t bump_work(cs_sqlite_t *sq, const cs_notice_t *n, const char *name,
                              apr_int64_t hint)
{
    return n->trace ? cs_sqlite_exec(sq, CS_SQL_WORK_BUMP_TRACED, "sssis", n->site, n->kind, name,
                                     hint, n->trace)
                    : cs_sqlite_exec(sq, CS_SQL_WORK_BUMP, "sssi", n->site, n->kind, name, hint);
}

static apr_status_t new_work(cs_sqlite_t *sq, const cs_notice_t *n, const char *name,
                             apr_int64_t hint)
{
    return n->trace ? cs_sqlite_exec(sq, CS_SQL_WORK_NEW_TRACED, "sssiis", n->site, n->kind, name,
                                     hint, (apr_int64_t)n->received, n->trace)
                    : cs_sqlite_exec(sq, CS_SQL_WORK_NEW, "sssii", n->site, n->kind, name, hint,
                                     (apr_int64_t)n->received);
}

static apr_status_t want(cs_sqlite_t *sq, const cs_notice_t *n, const char *name,
                         const char *table, apr_pool_t *ptemp)
{
    int is_pc = !n->system || !strcmp(n->system, CS_SYSTEM_PC);
    apr_int64_t hint = is_pc && n->system ? n->hint : 0;
    apr_status_t rv;

    if (table || (!is_pc && n->hint)) {
        return wake_work(sq, n, name, table, ptemp);
    }
    rv = bump_work(sq, n, name, hint);
    if (rv == APR_SUCCESS && !cs_sqlite_changes(sq)) {
        rv = new_work(sq, n, name, hint);
        if (rv == APR_SUCCESS && !cs_sqlite_changes(sq)) {
            rv = wake_work(sq, n, name, NULL, ptemp);
        }
    }
    return rv;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Half as long as its hex. 0 when it is no digest. */
static apr_size_t pack_digest(unsigned char out[DIGEST_LEN], const char *hex)
{
    int i, hi, lo;

    for (i = 0; hex && i < DIGEST_LEN; i++) {
        hi = hex_value(hex[2 * i]);
        lo = hi < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (lo < 0) {
            return 0;
        }
        out[i] = (unsigned char)(hi << 4 | lo);
    }
    return hex && !hex[2 * DIGEST_LEN] ? DIGEST_LEN : 0;
}

static apr_status_t add_delivery(cs_sqlite_t *sq, const cs_notice_t *n, apr_pool_t *ptemp)
{
    unsigned char digest[DIGEST_LEN];
    apr_size_t len = pack_digest(digest, n->digest);
    const char *names = NULL;

    if (n->names && n->names->nelts) {
        names = n->names->nelts == 1 ? APR_ARRAY_IDX(n->names, 0, const char *)
                                     : apr_array_pstrcat(ptemp, n->names, '\n');
    }
    return cs_sqlite_exec(sq, CS_SQL_DELIVERY_ADD, "sssibssss", n->site, n->source, n->event,
                          (apr_int64_t)n->received, len ? digest : NULL, len, n->kind, names,
                          n->problem, n->body);
}

static const char *table_of(const cs_notice_t *n, int i)
{
    return n->tables && i < n->tables->nelts ? APR_ARRAY_IDX(n->tables, i, const char *) : NULL;
}

static apr_status_t accept_one(cs_sqlite_t *sq, const cs_notice_t *n, apr_pool_t *ptemp)
{
    apr_status_t rv = add_delivery(sq, n, ptemp);
    int i;

    if (rv == APR_SUCCESS && n->job) {
        rv = cs_sqlite_job_add(sq, n->job, n->site, n->received, ptemp);
    }
    for (i = 0; rv == APR_SUCCESS && n->kind && n->names && i < n->names->nelts; i++) {
        rv = want(sq, n, APR_ARRAY_IDX(n->names, i, const char *), table_of(n, i), ptemp);
    }
    return rv;
}

/* One row per site that had notices in the group; groups are small and sites few. */
static apr_status_t count_deliveries(cs_sqlite_t *sq, const cs_notice_t *const *notices, int n)
{
    apr_status_t rv = APR_SUCCESS;
    int i, j, count;

    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        for (j = 0; j < i && strcmp(notices[j]->site, notices[i]->site); j++) {
        }
        if (j < i) {
            continue;
        }
        for (count = 1, j = i + 1; j < n; j++) {
            count += !strcmp(notices[j]->site, notices[i]->site);
        }
        rv = cs_sqlite_total_add(sq, notices[i]->site, 0, 0, count);
    }
    return rv;
}

static apr_status_t check_notices(cs_sqlite_t *sq, const cs_notice_t *const *notices, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        if (!notices[i]->site || !notices[i]->source) {
            return cs_sqlite_say(sq, APR_EINVAL, "a notice without %s cannot be stored",
                                 notices[i]->site ? "source" : "site");
        }
        if (notices[i]->job && (!notices[i]->job->id || !notices[i]->job->kind)) {
            return cs_sqlite_say(sq, APR_EINVAL, "a job without %s cannot be stored",
                                 notices[i]->job->id ? "kind" : "id");
        }
    }
    return APR_SUCCESS;
}

apr_status_t cs_sqlite_accept(cs_store_t *store, const cs_notice_t *const *notices, int n,
                              apr_pool_t *ptemp, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_begin(sq, ptemp);
    int i;

    if (rv == APR_SUCCESS) {
        rv = check_notices(sq, notices, n);
    }
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        rv = accept_one(sq, notices[i], ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = count_deliveries(sq, notices, n);
    }
    return cs_sqlite_end(sq, rv, ptemp, res);
}

/* ---- leases ---- */

apr_status_t cs_sqlite_lease_mine(cs_sqlite_t *sq, const cs_lease_t *lease)
{
    sqlite3_stmt *st;
    apr_status_t rv =
        cs_sqlite_query(sq, &st, CS_SQL_LEASE_MINE, "ssi", lease->site, lease->owner, lease->epoch);

    if (st) {
        cs_sqlite_reset(st);
        return APR_SUCCESS;
    }
    return rv != APR_SUCCESS ? rv
                             : cs_sqlite_say(sq, CS_ELEASE,
                                             "the lease on site %s (epoch %" APR_INT64_T_FMT
                                             ") is no longer ours",
                                             lease->site, lease->epoch);
}

/* What the row says of the holder, 0 and NULL if there is none. */
static apr_status_t read_lease(cs_sqlite_t *sq, const char *site, cs_lease_t *held, apr_pool_t *p)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_LEASE_GET, "s", site);

    memset(held, 0, sizeof(*held));
    held->site = apr_pstrdup(p, site);
    if (st) {
        held->owner = cs_sqlite_text(st, 0, p);
        held->epoch = sqlite3_column_int64(st, 1);
        held->until = sqlite3_column_int64(st, 2);
        cs_sqlite_reset(st);
    }
    return rv;
}

apr_status_t cs_sqlite_lease_take(cs_store_t *store, const char *site, const char *owner,
                                  apr_interval_time_t ttl, apr_time_t now, cs_lease_t *lease,
                                  apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_begin(sq, p);
    cs_lease_t held = {0};

    if (rv == APR_SUCCESS) {
        rv = read_lease(sq, site, &held, p);
    }
    if (rv == APR_SUCCESS && held.owner && held.until > now && strcmp(held.owner, owner)) {
        *lease = held;
        rv = cs_sqlite_say(sq, APR_EBUSY, "site %s is in the hands of node %s", site, held.owner);
    }
    if (rv == APR_SUCCESS) {
        held.owner = apr_pstrdup(p, owner);
        held.epoch++;
        held.until = now + ttl;
        rv = cs_sqlite_exec(sq, CS_SQL_LEASE_PUT, "ssii", site, held.owner, held.epoch,
                            (apr_int64_t)held.until);
    }
    rv = cs_sqlite_end(sq, rv, p, res);
    if (rv == APR_SUCCESS) {
        *lease = held;
    }
    return rv;
}

static apr_status_t move_lease(cs_sqlite_t *sq, const cs_lease_t *lease, apr_time_t until,
                               apr_pool_t *ptemp, cs_result_t *res)
{
    apr_status_t rv = cs_sqlite_begin(sq, ptemp);

    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_LEASE_MOVE, "ssii", lease->site, lease->owner, lease->epoch,
                            (apr_int64_t)until);
    }
    if (rv == APR_SUCCESS && !cs_sqlite_changes(sq)) {
        rv = cs_sqlite_lease_mine(sq, lease);
    }
    return cs_sqlite_end(sq, rv, ptemp, res);
}

apr_status_t cs_sqlite_lease_renew(cs_store_t *store, cs_lease_t *lease, apr_interval_time_t ttl,
                                   apr_time_t now, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_status_t rv = move_lease((cs_sqlite_t *)store, lease, now + ttl, ptemp, res);

    if (rv == APR_SUCCESS) {
        lease->until = now + ttl;
    }
    return rv;
}

apr_status_t cs_sqlite_lease_release(cs_store_t *store, const cs_lease_t *lease, apr_pool_t *ptemp,
                                     cs_result_t *res)
{
    /* The row stays, because its epoch must go on rising. */
    return move_lease((cs_sqlite_t *)store, lease, 0, ptemp, res);
}

/* ---- what is due ---- */

typedef struct site_due_t {
    const char *site;
    apr_time_t due;
} site_due_t;

static apr_status_t earlier_due(cs_sqlite_t *sq, cs_sql_e id, const char *site, apr_time_t *pdue)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, id, "s", site);
    apr_time_t due;

    if (st) {
        due = sqlite3_column_int64(st, 0);
        *pdue = *pdue && *pdue < due ? *pdue : due;
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t next_due(cs_sqlite_t *sq, const char *site, apr_time_t *pdue)
{
    apr_status_t rv;

    *pdue = 0;
    rv = earlier_due(sq, CS_SQL_WORK_NEXT, site, pdue);
    return rv == APR_SUCCESS ? earlier_due(sq, CS_SQL_DEAL_NEXT, site, pdue) : rv;
}

/* Keeps the list in the order of due times; sites are few. */
static void insert_site(site_due_t *list, int *pn, const char *site, apr_time_t due)
{
    int i = (*pn)++;

    for (; i > 0 && list[i - 1].due > due; i--) {
        list[i] = list[i - 1];
    }
    list[i].site = site;
    list[i].due = due;
}

apr_status_t cs_sqlite_sites_due(cs_store_t *store, const apr_array_header_t *sites, apr_time_t now,
                                 apr_array_header_t **pdue, apr_time_t *pnext, apr_pool_t *p,
                                 cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    site_due_t *list = apr_palloc(p, sizeof(*list) * (apr_size_t)(sites->nelts + 1));
    apr_status_t rv = cs_sqlite_read(sq, 0, p);
    apr_time_t due, next = 0;
    const char *site;
    int i, n = 0;

    for (i = 0; rv == APR_SUCCESS && i < sites->nelts; i++) {
        site = APR_ARRAY_IDX(sites, i, const char *);
        rv = next_due(sq, site, &due);
        if (rv == APR_SUCCESS && due) {
            next = !next || due < next ? due : next;
            if (due <= now) {
                insert_site(list, &n, site, due);
            }
        }
    }
    *pdue = apr_array_make(p, n + 1, sizeof(const char *));
    for (i = 0; i < n; i++) {
        APR_ARRAY_PUSH(*pdue, const char *) = apr_pstrdup(p, list[i].site);
    }
    if (pnext) {
        *pnext = next;
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* ---- folding ---- */

apr_status_t cs_sqlite_work_fold(cs_sqlite_t *sq, const char *site, const char *name,
                                 apr_int64_t deal, cs_work_t **pown, apr_pool_t *p)
{
    cs_work_t *row, *own;
    const char *own_name = cs_store_deal_name(deal, p);
    apr_status_t rv;

    rv = cs_sqlite_work_get(sq, site, CS_WORK_LOOK, own_name, &own, p);
    *pown = own;
    if (rv != APR_SUCCESS || !strcmp(name, own_name)) {
        return rv;
    }
    rv = cs_sqlite_work_get(sq, site, CS_WORK_LOOK, name, &row, p);
    if (rv != APR_SUCCESS || !row) {
        return rv;
    }
    if (!own) {
        *pown = own = apr_pcalloc(p, sizeof(*own));
    }
    cs_store_fold(own, row, deal, p);
    rv = cs_sqlite_work_put(sq, own, p);
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_WORK_DELETE, "sss", site, CS_WORK_LOOK, name);
    }
    return rv;
}

typedef struct foldable_t {
    const char *name;
    apr_int64_t deal;
} foldable_t;

static apr_status_t list_foldable(cs_sqlite_t *sq, const char *site, apr_time_t now,
                                  apr_array_header_t **plist, apr_pool_t *p)
{
    sqlite3_stmt *st;
    foldable_t *f;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_WORK_FOLDABLE, "sii", site, (apr_int64_t)now,
                                      (apr_int64_t)FOLD_MAX);

    *plist = apr_array_make(p, 16, sizeof(foldable_t));
    while (st) {
        f = apr_array_push(*plist);
        f->name = cs_sqlite_text(st, 0, p);
        f->deal = sqlite3_column_int64(st, 1);
        rv = cs_sqlite_next(sq, &st);
    }
    return rv;
}

static apr_status_t fold_names(cs_sqlite_t *sq, const apr_array_header_t *list, const char *site,
                               apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    const foldable_t *f;
    cs_work_t *own;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        f = &APR_ARRAY_IDX(list, i, foldable_t);
        rv = cs_sqlite_work_fold(sq, site, f->name, f->deal, &own, p);
    }
    return rv;
}

typedef struct delivery_t {
    apr_int64_t id;
    apr_time_t received;
    const char *site;
    const void *digest;
    apr_size_t len;
} delivery_t;

static apr_status_t one_number(cs_sqlite_t *sq, cs_sql_e id, apr_int64_t *pn)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, id, "");

    *pn = 0;
    if (st) {
        *pn = sqlite3_column_int64(st, 0);
        cs_sqlite_reset(st);
    }
    return rv;
}

/* Deliveries behind the mark that the last folding left. */
static apr_status_t list_deliveries(cs_sqlite_t *sq, apr_array_header_t **plist, apr_pool_t *p)
{
    sqlite3_stmt *st;
    delivery_t *d;
    apr_int64_t mark = 0;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_META_GET, "ss", "", "folded");

    *plist = apr_array_make(p, 16, sizeof(delivery_t));
    if (st) {
        mark = sqlite3_column_int64(st, 0);
        cs_sqlite_reset(st);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = cs_sqlite_query(sq, &st, CS_SQL_DELIVERY_NEW, "ii", mark, (apr_int64_t)FOLD_MAX);
    while (st) {
        d = apr_array_push(*plist);
        d->id = sqlite3_column_int64(st, 0);
        d->site = cs_sqlite_text(st, 1, p);
        d->len = (apr_size_t)sqlite3_column_bytes(st, 2);
        d->digest = d->len ? apr_pmemdup(p, sqlite3_column_blob(st, 2), d->len) : NULL;
        d->received = sqlite3_column_int64(st, 3);
        rv = cs_sqlite_next(sq, &st);
    }
    return rv;
}

static apr_status_t fold_delivery(cs_sqlite_t *sq, const delivery_t *d)
{
    sqlite3_stmt *st = NULL;
    apr_status_t rv = APR_SUCCESS;
    apr_int64_t same = 0;

    if (!d->len) {
        return APR_SUCCESS;
    }
    rv = cs_sqlite_query(sq, &st, CS_SQL_DELIVERY_SAME, "sb", d->site, d->digest, d->len);
    if (st) {
        same = sqlite3_column_int64(st, 0);
        cs_sqlite_reset(st);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!same) {
        return cs_sqlite_exec(sq, CS_SQL_DELIVERY_FOLDED, "i", d->id);
    }
    rv = cs_sqlite_exec(sq, CS_SQL_DELIVERY_REPEAT, "ii", same, (apr_int64_t)d->received);
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_DELIVERY_DELETE, "i", d->id);
    }
    return rv;
}

static apr_status_t fold_deliveries(cs_sqlite_t *sq, const apr_array_header_t *list, apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    apr_int64_t last, mark;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        rv = fold_delivery(sq, &APR_ARRAY_IDX(list, i, delivery_t));
    }
    if (rv != APR_SUCCESS || !list->nelts) {
        return rv;
    }
    /* When the last row itself went, its id is given again. */
    rv = one_number(sq, CS_SQL_DELIVERY_LAST, &last);
    if (rv == APR_SUCCESS) {
        mark = APR_ARRAY_IDX(list, list->nelts - 1, delivery_t).id;
        mark = last < mark ? last : mark;
        rv = cs_sqlite_exec(sq, CS_SQL_META_PUT, "sss", "", "folded",
                            apr_psprintf(p, "%" APR_INT64_T_FMT, mark));
    }
    return rv;
}

/* Looks first, so that a claim with nothing to fold waits for nobody and syncs nothing. */
static apr_status_t is_folding_needed(cs_sqlite_t *sq, const cs_lease_t *lease, apr_time_t now,
                                      int *pneeded, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *names = NULL, *deliveries = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 1, p);

    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_lease_mine(sq, lease);
    }
    if (rv == APR_SUCCESS) {
        rv = list_foldable(sq, lease->site, now, &names, p);
    }
    if (rv == APR_SUCCESS) {
        rv = list_deliveries(sq, &deliveries, p);
    }
    *pneeded = rv == APR_SUCCESS && (names->nelts || deliveries->nelts);
    return cs_sqlite_done(sq, rv, p, res);
}

static apr_status_t fold(cs_sqlite_t *sq, const cs_lease_t *lease, apr_time_t now, apr_pool_t *p,
                         cs_result_t *res)
{
    apr_array_header_t *list;
    apr_status_t rv = cs_sqlite_begin(sq, p);

    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_lease_mine(sq, lease);
    }
    if (rv == APR_SUCCESS) {
        rv = list_foldable(sq, lease->site, now, &list, p);
    }
    if (rv == APR_SUCCESS) {
        rv = fold_names(sq, list, lease->site, p);
    }
    if (rv == APR_SUCCESS) {
        rv = list_deliveries(sq, &list, p);
    }
    if (rv == APR_SUCCESS) {
        rv = fold_deliveries(sq, list, p);
    }
    return cs_sqlite_end(sq, rv, p, res);
}

/* ---- claiming ---- */

static apr_status_t list_due(cs_sqlite_t *sq, cs_sql_e id, const char *site, apr_time_t now,
                             int max, apr_array_header_t *works, apr_pool_t *p)
{
    sqlite3_stmt *st;
    cs_work_t *work;
    apr_status_t rv =
        cs_sqlite_query(sq, &st, id, "sii", site, (apr_int64_t)now, (apr_int64_t)max);

    while (st) {
        rv = cs_sqlite_work_of_row(sq, st, &work, p);
        if (rv != APR_SUCCESS) {
            cs_sqlite_reset(st);
            return rv;
        }
        APR_ARRAY_PUSH(works, cs_work_t *) = work;
        rv = cs_sqlite_next(sq, &st);
    }
    return rv;
}

apr_status_t cs_sqlite_claim(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                             apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_pool_t *ptemp;
    apr_status_t rv;
    int needed = 0;

    *pworks = apr_array_make(p, 16, sizeof(cs_work_t *));
    rv = apr_pool_create(&ptemp, p);
    if (rv != APR_SUCCESS) {
        return cs_store_result(res, p, rv, "out of memory");
    }
    apr_pool_tag(ptemp, "store fold");
    rv = is_folding_needed(sq, lease, now, &needed, ptemp, NULL);
    if (rv == APR_SUCCESS && needed) {
        rv = fold(sq, lease, now, ptemp, NULL);
    }
    apr_pool_destroy(ptemp);
    if (rv != APR_SUCCESS) {
        return cs_store_result(res, p, rv, sq->detail);
    }
    rv = cs_sqlite_read(sq, 0, p);
    if (rv == APR_SUCCESS) {
        rv = list_due(sq, CS_SQL_WORK_DUE, lease->site, now, max, *pworks, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_jobs_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                                apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pworks = apr_array_make(p, 4, sizeof(cs_work_t *));
    if (rv == APR_SUCCESS) {
        rv = list_due(sq, CS_SQL_JOBS_DUE, site, now, max, *pworks, p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

static apr_status_t refresh_one(cs_sqlite_t *sq, cs_work_t *work, apr_pool_t *p)
{
    sqlite3_stmt *st;
    apr_status_t rv =
        cs_sqlite_query(sq, &st, CS_SQL_WORK_REFRESH, "sss", work->site, work->kind, work->name);

    if (!st) {
        return rv;
    }
    work->wanted = sqlite3_column_int64(st, 0);
    work->first = sqlite3_column_int64(st, 1);
    work->seen = sqlite3_column_int64(st, 4);
    work->trace = cs_sqlite_text(st, 5, p);
    rv = read_hints(sq, st, 2, work, p);
    cs_sqlite_reset(st);
    return rv;
}

apr_status_t cs_sqlite_refresh(cs_store_t *store, apr_array_header_t *works, apr_pool_t *p,
                               cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_read(sq, 1, p);
    int i;

    for (i = 0; rv == APR_SUCCESS && i < works->nelts; i++) {
        rv = refresh_one(sq, APR_ARRAY_IDX(works, i, cs_work_t *), p);
    }
    return cs_sqlite_done(sq, rv, p, res);
}
