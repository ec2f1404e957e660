/* engine/sweep.c: every open deal is looked at now and then, whether anything told of a change or
 * not: what neither notices nor lists show (Microsoft's answer, a deleted row) is found in the end.
 *
 * The cursor is {"after": id of the last deal, "found": looks so far, "begun": microseconds}; it is
 * {"done": microseconds} between two sweeps. Nobody waits for these looks: a portion is asked for
 * only when nothing else is due, so that the former one has been looked at, and a sweep is no
 * notice: it wakes nothing that was refused. (deals 4) */
#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "poll.h"

#define PORTION 50

static void add_look(cs_poll_t *t, apr_int64_t deal)
{
    cs_work_t *work = apr_pcalloc(t->b->p, sizeof(*work));

    work->site = t->b->lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = cs_poll_deal_name(t, deal);
    work->hints = cs_json_own(json_object(), t->b->p);
    json_object_set_new(work->hints, CS_CAUSE_SWEEP, json_integer(1));
    work->first = work->due = t->b->now;
    cs_batch_change(t->b, CS_CHANGE_WORK_ADD)->work = work;
    ++t->looks;
}

static void end_sweep(cs_poll_t *t, apr_int64_t found)
{
    cs_log(CS_LOG_INFO, 0, t->b->lane->site->name,
           CSLOGNO(2115) "swept %" APR_INT64_T_FMT " open deals since %s", found,
           cs_time_format(cs_json_int(t->state, "begun", 0), t->b->p));
    json_object_clear(t->state);
    json_object_set_new(t->state, "done", json_integer(t->b->now));
    cs_poll_over(t);
}

apr_status_t cs_sweep_portion(cs_poll_t *t, cs_result_t *res)
{
    apr_int64_t after = cs_json_int(t->state, "after", 0);
    apr_int64_t found = cs_json_int(t->state, "found", 0);
    apr_array_header_t *ids;
    int i, left = 0;
    apr_status_t rv = cs_store_deals_open(t->b->lane->store, t->b->lane->site->name, NULL, PORTION,
                                          &after, &ids, &left, t->b->p, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!json_object_get(t->state, "begun")) {
        json_object_set_new(t->state, "begun", json_integer(t->b->now));
    }
    for (i = 0; i < ids->nelts; ++i) {
        add_look(t, APR_ARRAY_IDX(ids, i, apr_int64_t));
    }
    found += ids->nelts;
    if (!left) {
        end_sweep(t, found);
        return rv;
    }
    json_object_set_new(t->state, "after", json_integer(after));
    json_object_set_new(t->state, "found", json_integer(found));
    cs_poll_more(t);
    return rv;
}
