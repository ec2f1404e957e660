/* engine/job_dead.c: looks that were given up: tried again, or dropped, by a person: one, those of
 * one cause, or all. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "job.h"

#define PORTION 200

static const char *const which[] = {"deal:s", "name:s", "cause:s", "all:b", NULL};

static const char *check_which(const json_t *arguments, apr_pool_t *p)
{
    (void)p;
    if (json_object_size(arguments) != 1) {
        return "exactly one of deal, name, cause and all says which dead looks are meant";
    }
    if (json_object_get(arguments, "all") && !cs_json_bool(arguments, "all", 0)) {
        return "all: allowed is true";
    }
    return NULL;
}

/* The name of the one row that is meant; NULL = several may be. */
static apr_status_t name_of_one(cs_job_turn_t *t, const char **pname, int *pmany,
                                cs_result_t *res)
{
    const char *id = cs_json_str(t->arguments, "deal");
    cs_deal_t *deal = NULL;
    apr_status_t rv = APR_SUCCESS;

    *pname = cs_json_str(t->arguments, "name");
    *pmany = 0;
    if (id) {
        rv = cs_job_find_deal(t, id, &deal, pmany, res);
        *pname = deal ? apr_psprintf(t->b->p, "deal:%" APR_INT64_T_FMT, deal->id) : id;
    }
    return rv;
}

/* One portion of the rows that are meant: cs_work_t *; NULL = the job has failed. */
static apr_status_t find(cs_job_turn_t *t, apr_array_header_t **plist, cs_result_t *res)
{
    cs_lane_t *lane = t->b->lane;
    const char *name;
    cs_work_t *work = NULL;
    int many;
    apr_status_t rv = name_of_one(t, &name, &many, res);

    if (many) {
        *plist = NULL;
        return rv;
    }
    if (rv == APR_SUCCESS && !name) {
        return cs_store_dead(lane->store, lane->site->name, cs_json_str(t->arguments, "cause"),
                             cs_json_str(t->cursor, "after"), PORTION, plist, t->b->p, res);
    }
    *plist = apr_array_make(t->b->p, 1, sizeof(cs_work_t *));
    if (rv == APR_SUCCESS) {
        rv = cs_store_work_named(lane->store, lane->site->name, CS_WORK_LOOK, name, &work, t->b->p,
                                 res);
    }
    if (work && work->state == CS_WORK_DEAD) {
        APR_ARRAY_PUSH(*plist, cs_work_t *) = work;
    }
    return rv;
}

/* The number of the deal that a row names; 0 = it names none yet. */
static apr_int64_t deal_of(const cs_work_t *work)
{
    return strncmp(work->name, "deal:", 5) ? 0 : apr_atoi64(work->name + 5);
}

static void retry_one(cs_job_turn_t *t, cs_work_t *work)
{
    work->hints = cs_json_own(json_pack("{s:i}", CS_CAUSE_POLL, 1), t->b->p);
    work->first = work->due = t->b->now;
    cs_batch_change(t->b, CS_CHANGE_WORK_ADD)->work = work;
}

static void drop_one(cs_job_turn_t *t, cs_work_t *work)
{
    cs_change_t *change = cs_batch_change(t->b, CS_CHANGE_WORK_DONE);
    const char *why = work->detail ? work->detail : work->problem ? work->problem : "no reason";

    change->work = work;
    change->value = work->wanted;
    cs_job_journal(t, deal_of(work), "done",
                   apr_psprintf(t->b->p, "%s is looked at no more until its next notice; it had "
                                "failed with \"%s\"; dropped", work->name, why));
}

static apr_status_t each_portion(cs_job_turn_t *t, const char *verb,
                                 void (*fn)(cs_job_turn_t *t, cs_work_t *work), cs_result_t *res)
{
    apr_int64_t n = cs_json_int(t->progress, "done", 0);
    apr_array_header_t *list = NULL;
    const char *text;
    apr_status_t rv = find(t, &list, res);
    int i;

    for (i = 0; rv == APR_SUCCESS && list && i < list->nelts; ++i) {
        cs_work_t *work = APR_ARRAY_IDX(list, i, cs_work_t *);
        json_object_set_new(t->cursor, "after", json_string(work->name));
        fn(t, work);
    }
    if (rv != APR_SUCCESS || !list) {
        return rv;
    }
    if (fn == retry_one) {
        cs_lane_ask_again(t->b->lane);
    }
    n += list->nelts;
    json_object_set_new(t->progress, "done", json_integer(n));
    if (list->nelts == PORTION) {
        return rv;
    }
    text = apr_psprintf(t->b->p, "%" APR_INT64_T_FMT " dead looks %s", n, verb);
    if (n) {
        cs_job_journal(t, 0, "done", text);
    }
    cs_job_done(t, json_pack("{s:s, s:I}", "text", n ? text : "no such look is dead", "n",
                             (json_int_t)n));
    return rv;
}

static apr_status_t retry(cs_job_turn_t *t, cs_result_t *res)
{
    return each_portion(t, "tried again", retry_one, res);
}

static apr_status_t drop(cs_job_turn_t *t, cs_result_t *res)
{
    return each_portion(t, "dropped", drop_one, res);
}

const cs_job_kind_t cs_job_retry = {"retry", which, NULL, check_which, retry, 0, 0};
const cs_job_kind_t cs_job_drop = {"drop", which, NULL, check_which, drop, 0, 0};
