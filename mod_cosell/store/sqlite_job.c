/* store/sqlite_job.c: what a person asked for, and what came of it. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "sqlite_impl.h"

/* By cs_job_state_e. */
static const char *const state_names[] = {"waiting", "running", "done", "failed", "cancelled"};

#define STATES ((int)(sizeof(state_names) / sizeof(state_names[0])))

static const char *name_of_state(cs_job_state_e state)
{
    return (int)state >= 0 && (int)state < STATES ? state_names[state] : state_names[0];
}

/* One that is not known is of a newer version: it has not ended for us. */
static cs_job_state_e state_of_name(const char *name)
{
    int i;

    for (i = 0; name && i < STATES; i++) {
        if (!strcmp(name, state_names[i])) {
            return (cs_job_state_e)i;
        }
    }
    return CS_JOB_WAITING;
}

static int has_ended(cs_job_state_e state)
{
    return state == CS_JOB_DONE || state == CS_JOB_FAILED || state == CS_JOB_CANCELLED;
}

/* ---- writing ---- */

apr_status_t cs_sqlite_job_add(cs_sqlite_t *sq, const cs_job_t *job, const char *site,
                               apr_time_t now, apr_pool_t *ptemp)
{
    return cs_sqlite_exec(sq, CS_SQL_JOB_ADD, "sssssji", site, job->id, job->kind, job->user,
                          name_of_state(CS_JOB_WAITING), job->arguments, ptemp,
                          (apr_int64_t)(job->created ? job->created : now));
}

apr_status_t cs_sqlite_job_put(cs_sqlite_t *sq, const char *site, const cs_change_t *change,
                               apr_pool_t *ptemp)
{
    const cs_job_t *job = change->job;

    return cs_sqlite_exec(sq, CS_SQL_JOB_PUT, "sssjjjii", site, job->id, name_of_state(job->state),
                          job->cursor, ptemp, job->progress, ptemp, job->result, ptemp,
                          (apr_int64_t)change->at,
                          (apr_int64_t)(has_ended(job->state) ? change->at : 0));
}

apr_status_t cs_sqlite_job_row_add(cs_sqlite_t *sq, const char *site, const cs_change_t *change,
                                   apr_pool_t *ptemp)
{
    if (!change->rows) {
        return cs_sqlite_say(sq, APR_EINVAL, "a row of job %s has no content", change->job->id);
    }
    return cs_sqlite_exec(sq, CS_SQL_JOB_ROW_ADD, "ssij", site, change->job->id, change->value,
                          change->rows, ptemp);
}

/* ---- reading ---- */

/* What is whole of them, and why the first one is not. */
static apr_status_t read_documents(cs_sqlite_t *sq, sqlite3_stmt *st, cs_job_t *job, apr_pool_t *p)
{
    json_t **documents[] = {&job->arguments, &job->progress, &job->result, &job->cursor};
    static const int columns[] = {6, 7, 8, 11};
    char detail[sizeof(sq->detail)] = "";
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < 4 && columns[i] < sqlite3_column_count(st); i++) {
        apr_status_t its = cs_sqlite_json(sq, st, columns[i], documents[i], p);
        if (its == APR_SUCCESS) {
            continue;
        }
        *documents[i] = NULL;
        if (rv == APR_SUCCESS || its != CS_EPARSE) {
            rv = its;
            apr_cpystrn(detail, sq->detail, sizeof(detail));
        }
    }
    if (rv != APR_SUCCESS) {
        apr_cpystrn(sq->detail, detail, sizeof(sq->detail));
    }
    return rv;
}

/* Nothing more can be done of it, unless it is over already. */
static void take_as_failed(const cs_sqlite_t *sq, cs_job_t *job, apr_pool_t *p)
{
    if (job->state == CS_JOB_WAITING || job->state == CS_JOB_RUNNING) {
        job->state = CS_JOB_FAILED;
    }
    if (!job->result) {
        job->result = cs_json_own(
            json_pack("{s:s}", "error",
                      apr_pstrcat(p, "what was kept of this job cannot be read: ", sq->detail,
                                  NULL)),
            p);
    }
}

static apr_status_t job_of_row(cs_sqlite_t *sq, sqlite3_stmt *st, cs_job_t **pjob, apr_pool_t *p)
{
    cs_job_t *job = apr_pcalloc(p, sizeof(*job));
    apr_status_t rv;

    *pjob = job;
    job->site = cs_sqlite_text(st, 1, p);
    job->id = cs_sqlite_text(st, 2, p);
    job->kind = cs_sqlite_text(st, 3, p);
    job->user = cs_sqlite_text(st, 4, p);
    job->state = state_of_name((const char *)sqlite3_column_text(st, 5));
    job->created = sqlite3_column_int64(st, 9);
    job->updated = sqlite3_column_int64(st, 10);
    rv = read_documents(sq, st, job, p);
    if (rv == CS_EPARSE) {
        take_as_failed(sq, job, p);
    }
    if (!job->arguments) {
        job->arguments = cs_json_own(json_object(), p);
    }
    return rv;
}

apr_status_t cs_sqlite_job_get(cs_store_t *store, const char *site, const char *id, cs_job_t **pjob,
                               apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *pjob = NULL;
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_JOB_GET, "ss", site, id);
    }
    if (st) {
        rv = job_of_row(sq, st, pjob, p);
        cs_sqlite_reset(st);
    }
    if (rv != APR_SUCCESS && rv != CS_EPARSE) {
        *pjob = NULL;
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* One that is damaged is listed with the reason as its result. */
static apr_status_t list_job(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                             apr_pool_t *p)
{
    cs_job_t **pjob = apr_array_push(list);
    apr_status_t rv = job_of_row(sq, st, pjob, p);

    if (rv == CS_EPARSE) {
        sq->detail[0] = '\0';
        rv = APR_SUCCESS;
    }
    return rv;
}

apr_status_t cs_sqlite_job_list(cs_store_t *store, const char *site, int max,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 16, sizeof(cs_job_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_JOB_LIST, "si", site, (apr_int64_t)max);
    }
    while (rv == APR_SUCCESS && st) {
        rv = list_job(sq, st, *plist, p);
        if (rv == APR_SUCCESS) {
            rv = cs_sqlite_next(sq, &st);
        }
    }
    if (st) {
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* One that is damaged is {"error": why}: what follows can be read all the same. */
static apr_status_t list_job_row(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                                 apr_pool_t *p)
{
    cs_job_row_t *row = apr_pcalloc(p, sizeof(*row));
    apr_status_t rv;

    APR_ARRAY_PUSH(list, cs_job_row_t *) = row;
    row->n = sqlite3_column_int64(st, 0);
    row->deal = sqlite3_column_int64(st, 1);
    rv = cs_sqlite_json(sq, st, 2, &row->row, p);
    if (rv == CS_EPARSE) {
        row->row = cs_json_own(json_pack("{s:s}", "error", sq->detail), p);
        sq->detail[0] = '\0';
        rv = APR_SUCCESS;
    }
    return rv;
}

apr_status_t cs_sqlite_job_rows(cs_store_t *store, const char *site, const char *id,
                                apr_int64_t after, int max, apr_array_header_t **plist,
                                apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 16, sizeof(cs_job_row_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_JOB_ROWS, "ssii", site, id, after, (apr_int64_t)max);
    }
    while (rv == APR_SUCCESS && st) {
        rv = list_job_row(sq, st, *plist, p);
        if (rv == APR_SUCCESS) {
            rv = cs_sqlite_next(sq, &st);
        }
    }
    if (st) {
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

/* ---- pruning ---- */

/* 1 in *pgone when nothing of the job is left. */
static apr_status_t prune_job(cs_sqlite_t *sq, apr_int64_t job, int *pbudget, int *pgone)
{
    apr_status_t rv = cs_sqlite_exec(sq, CS_SQL_JOB_ROW_PRUNE, "ii", job, (apr_int64_t)*pbudget);

    *pgone = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *pbudget -= cs_sqlite_changes(sq);
    if (*pbudget <= 0) {
        return APR_SUCCESS;
    }
    rv = cs_sqlite_exec(sq, CS_SQL_JOB_DELETE, "i", job);
    *pgone = 1;
    (*pbudget)--;
    return rv;
}

apr_status_t cs_sqlite_job_prune(cs_sqlite_t *sq, apr_time_t before, int *pbudget, int *pleft,
                                 apr_pool_t *ptemp)
{
    apr_array_header_t *jobs = apr_array_make(ptemp, 16, sizeof(apr_int64_t));
    apr_status_t rv = APR_SUCCESS;
    sqlite3_stmt *st = NULL;
    int i, gone = 1;

    if (*pbudget > 0) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_JOB_OLD, "ii", (apr_int64_t)before,
                             (apr_int64_t)*pbudget);
    }
    while (st) {
        APR_ARRAY_PUSH(jobs, apr_int64_t) = sqlite3_column_int64(st, 0);
        rv = cs_sqlite_next(sq, &st);
    }
    for (i = 0; rv == APR_SUCCESS && gone && i < jobs->nelts; i++) {
        rv = prune_job(sq, APR_ARRAY_IDX(jobs, i, apr_int64_t), pbudget, &gone);
    }
    *pleft |= !gone || i < jobs->nelts || *pbudget <= 0;
    return rv;
}
