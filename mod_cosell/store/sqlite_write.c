/* store/sqlite_write.c: the guarded transaction: everything the runner changes. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crash.h"
#include "../base/json.h"
#include "../base/time.h"
#include "sqlite_impl.h"

/* What one call is about. */
typedef struct write_t {
    cs_sqlite_t *sq;
    const char *site;
    apr_int64_t deals, journal; /* rows added */
    apr_pool_t *p;
} write_t;

/* ---- deals ---- */

static apr_status_t put_deal(write_t *w, cs_sql_e id, apr_int64_t key, const cs_deal_t *d)
{
    static const char fmt[] = "isisssssssssssssjjjjiiiiiij";
    sqlite3_stmt *st;
    apr_status_t rv;

    rv = cs_sqlite_query(w->sq, &st, id, fmt, key, w->site, (apr_int64_t)d->state, d->crm, d->kind,
                         d->referral_id, d->engagement_id, d->table, d->record_id, d->title,
                         d->status, d->problem, d->pc_version, d->pc_status, d->crm_version,
                         d->mapping, d->images, w->p, d->intent, w->p, d->told, w->p, d->explain,
                         w->p, (apr_int64_t)d->next_look, (apr_int64_t)d->created,
                         (apr_int64_t)d->updated, (apr_int64_t)d->planned,
                         (apr_int64_t)d->crossed, (apr_int64_t)d->crossed_since, d->posted, w->p);
    if (st) {
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t clear_watch(write_t *w, apr_int64_t deal)
{
    return cs_sqlite_exec(w->sq, CS_SQL_WATCH_CLEAR, "i", deal);
}

/* By what it is found and counted. */
static apr_status_t put_beside(write_t *w, const cs_deal_t *deal)
{
    apr_status_t rv = cs_sqlite_words_put(w->sq, deal->id, w->p);

    return rv == APR_SUCCESS ? cs_sqlite_causes_put(w->sq, w->site, deal, w->p) : rv;
}

static apr_status_t change_deal(write_t *w, const cs_change_t *c)
{
    apr_int64_t next = 0;
    apr_status_t rv;

    if (c->deal->id) {
        rv = put_deal(w, CS_SQL_DEAL_PUT, c->deal->id, c->deal);
        if (rv == APR_SUCCESS && !cs_sqlite_changes(w->sq)) {
            rv = cs_sqlite_say(w->sq, CS_ESTALE, "there is no deal %" APR_INT64_T_FMT " in site %s",
                               c->deal->id, w->site);
        }
        if (rv == APR_SUCCESS && c->deal->state == CS_DEAL_GONE) {
            rv = clear_watch(w, c->deal->id);
        }
        return rv == APR_SUCCESS ? put_beside(w, c->deal) : rv;
    }
    rv = put_deal(w, CS_SQL_DEAL_ADD, next, c->deal);
    if (rv == APR_SUCCESS) {
        c->deal->id = sqlite3_last_insert_rowid(w->sq->db);
        w->deals++;
        rv = put_beside(w, c->deal);
    }
    return rv;
}

static apr_status_t change_alias(write_t *w, const cs_change_t *c)
{
    const char *name = apr_pstrcat(w->p, c->system, ":", c->name, NULL);
    apr_int64_t deal = 0;
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(w->sq, &st, CS_SQL_ALIAS_GET, "ss", w->site, name);

    if (st) {
        deal = sqlite3_column_int64(st, 0);
        cs_sqlite_reset(st);
    }
    if (rv != APR_SUCCESS || deal == c->deal->id) {
        return rv;
    }
    if (deal) {
        return cs_sqlite_say(w->sq, CS_ESTALE, "%s belongs to deal %" APR_INT64_T_FMT " already",
                             name, deal);
    }
    return cs_sqlite_exec(w->sq, CS_SQL_ALIAS_ADD, "ssi", w->site, name, c->deal->id);
}

static apr_status_t drop_alias(write_t *w, const cs_change_t *c)
{
    return cs_sqlite_exec(w->sq, CS_SQL_ALIAS_DROP, "ssi", w->site,
                          apr_pstrcat(w->p, c->system, ":", c->name, NULL), c->deal->id);
}

/* ---- watched rows ---- */

/* Goes through what the deal watched so far: what it watches no more goes, what stays is taken out
 * of `fresh`. A look that shows the same as before writes nothing. */
static apr_status_t drop_watched(write_t *w, const cs_change_t *c, json_t *fresh)
{
    apr_array_header_t *gone = apr_array_make(w->p, 4, sizeof(const char *));
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(w->sq, &st, CS_SQL_WATCH_OF_DEAL, "i", c->deal->id);
    int i;

    while (st) {
        const char *crm = cs_sqlite_text(st, 1, w->p), *row = cs_sqlite_text(st, 2, w->p);
        if (strcmp(crm, c->system) || json_object_del(fresh, row)) {
            APR_ARRAY_PUSH(gone, const char *) = cs_sqlite_text(st, 0, w->p);
            APR_ARRAY_PUSH(gone, const char *) = crm;
            APR_ARRAY_PUSH(gone, const char *) = row;
        }
        rv = cs_sqlite_next(w->sq, &st);
    }
    for (i = 0; rv == APR_SUCCESS && i < gone->nelts; i += 3) {
        rv = cs_sqlite_exec(w->sq, CS_SQL_WATCH_DELETE, "sssi",
                            APR_ARRAY_IDX(gone, i, const char *),
                            APR_ARRAY_IDX(gone, i + 1, const char *),
                            APR_ARRAY_IDX(gone, i + 2, const char *), c->deal->id);
    }
    return rv;
}

static apr_status_t change_watch(write_t *w, const cs_change_t *c)
{
    int gone = c->deal->state == CS_DEAL_GONE;
    json_t *fresh = cs_json_own(gone || !json_is_object(c->rows) ? json_object()
                                                                  : json_copy((json_t *)c->rows),
                                w->p);
    apr_status_t rv = drop_watched(w, c, fresh);
    const char *row;
    json_t *table;

    json_object_foreach(fresh, row, table)
    {
        if (rv == APR_SUCCESS) {
            rv = cs_sqlite_exec(w->sq, CS_SQL_WATCH_ADD, "sssi", w->site, c->system, row,
                                c->deal->id);
        }
    }
    return rv;
}

static apr_status_t change_cursor(write_t *w, const cs_change_t *c)
{
    return c->text ? cs_sqlite_exec(w->sq, CS_SQL_CURSOR_PUT, "sssi", w->site, c->name, c->text,
                                    (apr_int64_t)c->at)
                   : cs_sqlite_exec(w->sq, CS_SQL_CURSOR_DELETE, "ss", w->site, c->name);
}

/* ---- work ---- */

static apr_status_t change_fold(write_t *w, const cs_change_t *c)
{
    cs_work_t *own;
    apr_status_t rv = cs_sqlite_work_fold(w->sq, w->site, c->work->name, c->deal->id, &own, w->p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (own) {
        *c->work = *own;
        return rv;
    }
    c->work->name = cs_store_deal_name(c->deal->id, w->p);
    c->work->wanted = c->work->done = 0;
    return rv;
}

static apr_status_t change_done(write_t *w, const cs_change_t *c)
{
    cs_work_t *row;
    apr_status_t rv = cs_sqlite_work_get(w->sq, w->site, c->work->kind, c->work->name, &row, w->p);

    if (rv != APR_SUCCESS || !row) {
        return rv;
    }
    row->done = c->value > row->done ? c->value : row->done;
    if (row->done >= row->wanted) {
        return cs_sqlite_exec(w->sq, CS_SQL_WORK_DELETE, "sss", w->site, row->kind, row->name);
    }
    row->attempts = 0;
    row->state = CS_WORK_READY;
    row->upstream = row->problem_class = row->problem = row->detail = NULL;
    row->due = c->at;
    /* What is left came in after the claim; when exactly, nobody noted. */
    row->first = c->at ? c->at : row->first;
    return cs_sqlite_work_put(w->sq, row, w->p);
}

static void copy_problem(cs_work_t *row, const cs_change_t *c)
{
    const cs_result_t *res = c->result;

    if (res && res->cls != CS_CLASS_OK) {
        row->problem_class = cs_class_name(res->cls);
        row->problem = res->problem;
        row->detail = res->detail;
        return;
    }
    row->problem_class = c->work->problem_class;
    row->problem = c->work->problem;
    row->detail = c->work->detail;
}

static apr_status_t change_later(write_t *w, const cs_change_t *c)
{
    cs_work_t *row;
    apr_status_t rv = cs_sqlite_work_get(w->sq, w->site, c->work->kind, c->work->name, &row, w->p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!row) {
        row = apr_pmemdup(w->p, c->work, sizeof(*row));
        row->site = w->site;
    }
    row->done = c->value > row->done ? c->value : row->done;
    row->seen = c->work->seen > row->seen ? c->work->seen : row->seen;
    row->attempts = c->work->attempts;
    row->state = c->work->state;
    row->upstream = row->state == CS_WORK_SUSPENDED ? c->work->upstream : NULL;
    row->due = c->at;
    copy_problem(row, c);
    if ((row->state == CS_WORK_DEAD || cs_store_is_braked(row)) && cs_work_notified(row)) {
        /* A notice that came in meanwhile: what ended the look is not about it. */
        row->state = CS_WORK_READY;
        row->upstream = NULL;
        row->attempts = 0;
    }
    return cs_sqlite_work_put(w->sq, row, w->p);
}

static apr_status_t change_timer(write_t *w, const cs_change_t *c)
{
    cs_work_t *row;
    apr_status_t rv = cs_sqlite_work_get(w->sq, w->site, c->work->kind, c->work->name, &row, w->p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!row) {
        row = apr_pcalloc(w->p, sizeof(*row));
        row->site = w->site;
        row->kind = c->work->kind;
        row->name = c->work->name;
        row->done = row->wanted = c->value;
    }
    row->done = c->value > row->done ? c->value : row->done;
    row->due = row->wanted > row->done ? cs_time_now() : c->at;
    row->first = row->due;
    row->attempts = 0;
    row->state = CS_WORK_READY;
    row->upstream = row->problem_class = row->problem = row->detail = NULL;
    row->hints = row->wanted > row->done ? row->hints : NULL;
    return cs_sqlite_work_put(w->sq, row, w->p);
}

static int is_for(const cs_work_t *add, const char *cause)
{
    return json_object_get(add->hints, cause) != NULL;
}

/* As accepting a notice does. */
static void wake_for_news(cs_work_t *row, const cs_work_t *add, apr_time_t due)
{
    int stopped = row->state == CS_WORK_DEAD || cs_store_is_braked(row);
    apr_time_t first = add->first ? add->first : due;

    row->first = row->wanted <= row->done || first < row->first ? first : row->first;
    if (stopped || row->wanted <= row->done) {
        row->due = due;
        row->attempts = 0;
        row->problem_class = row->problem = row->detail = NULL;
    }
    if (stopped) {
        row->state = CS_WORK_READY;
        row->upstream = NULL;
    }
}

static void merge_added(cs_work_t *row, const cs_work_t *add, apr_time_t due)
{
    apr_int64_t below = row->seen > row->done ? row->seen : row->done;
    int news = is_for(add, CS_CAUSE_POLL);
    const char *system;
    json_t *value;

    if (news) {
        wake_for_news(row, add, due);
    }
    else if (row->state == CS_WORK_DEAD) {
        row->attempts = 0;
        row->state = CS_WORK_READY;
        row->due = due;
    }
    else if (row->wanted <= row->done) {
        row->first = add->first ? add->first : due;
        row->attempts = 0;
        row->problem_class = row->problem = row->detail = NULL;
        row->due = due;
    }
    else if (due < row->due) {
        row->due = due;
    }
    json_object_foreach(add->hints, system, value)
    {
        cs_store_hint_merge(row->hints, system, json_integer_value(value));
    }
    row->wanted++;
    row->seen = news ? row->seen : below + 1;
    cs_store_causes_drop(row);
}

static apr_status_t change_add(write_t *w, const cs_change_t *c)
{
    apr_time_t due = c->work->due ? c->work->due : c->at;
    cs_work_t *row;
    apr_status_t rv = cs_sqlite_work_get(w->sq, w->site, c->work->kind, c->work->name, &row, w->p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!row) {
        row = apr_pcalloc(w->p, sizeof(*row));
        row->site = w->site;
        row->kind = c->work->kind;
        row->name = c->work->name;
        row->hints = cs_json_own(json_object(), w->p);
    }
    else if (is_for(c->work, CS_CAUSE_SWEEP) &&
             (row->state != CS_WORK_READY || row->wanted > row->done)) {
        return rv;
    }
    merge_added(row, c->work, due);
    row->trace = c->work->trace ? c->work->trace : row->trace;
    return cs_sqlite_work_put(w->sq, row, w->p);
}

/* ---- the site ---- */

static apr_status_t change_journal(write_t *w, const cs_change_t *c)
{
    cs_journal_t *j = c->journal;
    apr_int64_t deal = c->deal ? c->deal->id : j->deal;
    apr_status_t rv;

    rv = cs_sqlite_exec(w->sq, CS_SQL_JOURNAL_ADD, "siisssjjssiiss", w->site, deal,
                        (apr_int64_t)j->at, j->direction, j->action, j->line, j->from, w->p, j->to,
                        w->p, j->outcome, j->why, (apr_int64_t)j->calls, (apr_int64_t)j->took,
                        j->correlation, j->mapping);
    if (rv == APR_SUCCESS) {
        j->deal = deal;
        j->id = sqlite3_last_insert_rowid(w->sq->db);
        w->journal++;
    }
    return rv;
}

static apr_status_t change_suspend(write_t *w, const cs_change_t *c)
{
    const cs_result_t *res = c->result;

    return cs_sqlite_exec(w->sq, CS_SQL_SUSPEND_PUT, "sssssii", w->site, c->system,
                          res ? cs_class_name(res->cls) : NULL, res ? res->problem : NULL,
                          res ? res->detail : NULL, (apr_int64_t)cs_time_now(), (apr_int64_t)c->at);
}

static apr_status_t change_resume(write_t *w, const cs_change_t *c)
{
    apr_status_t rv = cs_sqlite_exec(w->sq, CS_SQL_SUSPEND_DELETE, "ss", w->site, c->system);

    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(w->sq, CS_SQL_WORK_RESUME, "ssi", w->site, c->system,
                            (apr_int64_t)c->at);
    }
    return rv;
}

static apr_status_t change_meta(write_t *w, const cs_change_t *c)
{
    return c->text ? cs_sqlite_exec(w->sq, CS_SQL_META_PUT, "sss", w->site, c->name, c->text)
                   : cs_sqlite_exec(w->sq, CS_SQL_META_DELETE, "ss", w->site, c->name);
}

static apr_status_t change_next_look(write_t *w, const cs_change_t *c)
{
    return cs_sqlite_exec(w->sq, CS_SQL_DEAL_PLAN, "isi", c->value, w->site, (apr_int64_t)c->at);
}

static apr_status_t change_merge(write_t *w, const cs_change_t *c)
{
    cs_work_t *own;
    apr_status_t rv;

    rv = cs_sqlite_work_fold(w->sq, w->site, cs_store_deal_name(c->value, w->p), c->deal->id, &own,
                             w->p);
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(w->sq, CS_SQL_ALIAS_MOVE, "ii", c->value, c->deal->id);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(w->sq, CS_SQL_JOURNAL_MOVE, "ii", c->value, c->deal->id);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(w->sq, CS_SQL_WATCH_MOVE, "ii", c->value, c->deal->id);
    }
    if (rv == APR_SUCCESS) {
        rv = clear_watch(w, c->value);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(w->sq, CS_SQL_DEAL_DELETE, "is", c->value, w->site);
        w->deals -= rv == APR_SUCCESS ? cs_sqlite_changes(w->sq) : 0;
    }
    return rv;
}

/* ---- all of them ---- */

static apr_status_t apply(write_t *w, const cs_change_t *c)
{
    switch (c->kind) {
    case CS_CHANGE_DEAL:
        return change_deal(w, c);
    case CS_CHANGE_ALIAS:
        return change_alias(w, c);
    case CS_CHANGE_FOLD:
        return change_fold(w, c);
    case CS_CHANGE_JOURNAL:
        return change_journal(w, c);
    case CS_CHANGE_WORK_DONE:
        return change_done(w, c);
    case CS_CHANGE_WORK_LATER:
        return change_later(w, c);
    case CS_CHANGE_WORK_ADD:
        return change_add(w, c);
    case CS_CHANGE_WORK_TIMER:
        return change_timer(w, c);
    case CS_CHANGE_CURSOR:
        return change_cursor(w, c);
    case CS_CHANGE_WATCH:
        return change_watch(w, c);
    case CS_CHANGE_SUSPEND:
        return change_suspend(w, c);
    case CS_CHANGE_RESUME:
        return change_resume(w, c);
    case CS_CHANGE_META:
        return change_meta(w, c);
    case CS_CHANGE_NEXT_LOOK:
        return change_next_look(w, c);
    case CS_CHANGE_MERGE:
        return change_merge(w, c);
    case CS_CHANGE_JOB:
        return cs_sqlite_job_put(w->sq, w->site, c, w->p);
    case CS_CHANGE_JOB_ROW:
        return cs_sqlite_job_row_add(w->sq, w->site, c, w->p);
    case CS_CHANGE_ALIAS_DROP:
        return drop_alias(w, c);
    }
    return cs_sqlite_say(w->sq, APR_EINVAL, "there is no change of kind %d", (int)c->kind);
}

/* What a failed call must give back to its caller's structures. */
typedef struct saved_t {
    apr_int64_t deal, journal, journal_deal;
    cs_work_t work;
} saved_t;

static saved_t *save(const apr_array_header_t *changes, apr_pool_t *p)
{
    saved_t *saved = apr_pcalloc(p, sizeof(*saved) * (apr_size_t)(changes->nelts + 1));
    const cs_change_t *c;
    int i;

    for (i = 0; i < changes->nelts; i++) {
        c = &APR_ARRAY_IDX(changes, i, cs_change_t);
        saved[i].deal = c->deal ? c->deal->id : 0;
        saved[i].journal = c->journal ? c->journal->id : 0;
        saved[i].journal_deal = c->journal ? c->journal->deal : 0;
        if (c->work) {
            saved[i].work = *c->work;
        }
    }
    return saved;
}

static void give_back(const apr_array_header_t *changes, const saved_t *saved)
{
    const cs_change_t *c;
    int i;

    for (i = 0; i < changes->nelts; i++) {
        c = &APR_ARRAY_IDX(changes, i, cs_change_t);
        if (c->deal) {
            c->deal->id = saved[i].deal;
        }
        if (c->journal) {
            c->journal->id = saved[i].journal;
            c->journal->deal = saved[i].journal_deal;
        }
        if (c->work) {
            *c->work = saved[i].work;
        }
    }
}

static apr_status_t write_all(write_t *w, const cs_lease_t *lease,
                              const apr_array_header_t *changes)
{
    apr_status_t rv = cs_sqlite_lease_mine(w->sq, lease);
    int i;

    for (i = 0; rv == APR_SUCCESS && i < changes->nelts; i++) {
        rv = apply(w, &APR_ARRAY_IDX(changes, i, cs_change_t));
    }
    if (rv == APR_SUCCESS && (w->deals || w->journal)) {
        rv = cs_sqlite_total_add(w->sq, w->site, w->deals, w->journal, 0);
    }
    return rv;
}

apr_status_t cs_sqlite_write(cs_store_t *store, const cs_lease_t *lease,
                             const apr_array_header_t *changes, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    write_t w = {sq, lease->site, 0, 0, ptemp};
    saved_t *saved = save(changes, ptemp);
    apr_status_t rv;

    CS_CRASH_POINT("settle-before");
    rv = cs_sqlite_begin(sq, ptemp);
    if (rv == APR_SUCCESS) {
        rv = write_all(&w, lease, changes);
    }
    rv = cs_sqlite_end(sq, rv, ptemp, res);
    CS_CRASH_POINT("settle-after");
    if (rv != APR_SUCCESS) {
        give_back(changes, saved);
    }
    return rv;
}
