/* engine/poll.c: work that comes back by itself: which polls and sweeps there are, whose turn it
 * is, and how a turn ends.
 *
 * A timer is a work row with nothing outstanding that is due at its next time; asking for it makes
 * it due at once. Live looks go first: a turn is taken after a batch of looks that left room, and
 * is one page of one poll. What a poll finds it asks for as a notice would; a turn's page, its
 * looks and where it stands are one transaction. (deals 7) */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/gauge.h"
#include "../base/json.h"
#include "../base/log.h"
#include "poll.h"
#include "pulse.h"

/* Rows among which a turn looks for its own. */
#define CLAIM 16
#define RETRY_BASE apr_time_from_sec(5)
#define RETRY_CAP apr_time_from_sec(300)
#define RETRY_FLOOR apr_time_from_sec(1)
#define WAIT_MIN apr_time_from_sec(30)
#define STATE_BYTES ((apr_size_t)8 * 1024 * 1024)
#define STATE_NODES ((apr_size_t)200000)

/* ---- when ---- */

static apr_interval_time_t part(apr_interval_time_t whole, int of, int parts)
{
    return whole / parts * of;
}

/* The interval, a tenth more or less. */
static apr_interval_time_t jittered(apr_interval_time_t every)
{
    return part(every, 9, 10) + cs_backoff(0, every / 5, every / 5, 0);
}

static void set_timer(cs_batch_t *b, const cs_timer_t *timer, cs_work_t *work, apr_time_t at)
{
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_WORK_TIMER);

    if (!work) {
        work = apr_pcalloc(b->p, sizeof(*work));
        work->site = b->lane->site->name;
        work->kind = timer->kind;
        work->name = timer->name;
    }
    change->work = work;
    change->value = work->wanted;
    change->at = at;
}

/* ---- the rows of the timers ---- */

static void store_cursor(cs_batch_t *b, const cs_timer_t *timer, const json_t *state)
{
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_CURSOR);

    change->name = timer->cursor;
    change->text = cs_json_print(state, b->p);
}

/* What changes from now on will be found, whenever the first turn is. No turn has been yet. */
static apr_status_t begin_cursor(cs_batch_t *b, const cs_timer_t *timer, cs_result_t *res)
{
    const char *text;
    apr_status_t rv = cs_store_cursor_get(b->lane->store, b->lane->site->name, timer->cursor, &text,
                                          NULL, b->p, res);

    if (rv == APR_SUCCESS && !text && !strcmp(timer->kind, CS_WORK_POLL)) {
        store_cursor(b, timer,
                     cs_json_own(timer->crm < 0
                                     ? json_pack("{s:I}", "watermark", (json_int_t)b->now)
                                     : json_pack("{s:I, s:b}", "since",
                                                 (json_int_t)(b->now - CS_POLL_OVERLAP), "first",
                                                 1),
                                 b->p));
        APR_ARRAY_IDX(b->changes, b->changes->nelts - 1, cs_change_t).at = 0;
    }
    return rv;
}

/* A row that is there keeps its time, unless the interval has become shorter, or the clock went
 * back. */
static apr_status_t ensure(cs_batch_t *b, const cs_timer_t *timer, int i, int n, cs_result_t *res)
{
    cs_work_t *work;
    apr_status_t rv = cs_store_work_named(b->lane->store, b->lane->site->name, timer->kind,
                                          timer->name, &work, b->p, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (work && (work->wanted > work->done || work->problem ||
                 work->due <= b->now + part(timer->every, 11, 10))) {
        return rv;
    }
    /* The first turns are spread over half an interval. */
    set_timer(b, timer, work,
              b->now + (work ? jittered(timer->every)
                             : timer->every / 2 + part(timer->every / 2, i + 1, n)));
    return begin_cursor(b, timer, res);
}

apr_status_t cs_batch_timers(cs_batch_t *b, cs_result_t *res)
{
    const apr_array_header_t *list = cs_timers_of(b->lane->site, b->p);
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < list->nelts; ++i) {
        const cs_timer_t *timer = &APR_ARRAY_IDX(list, i, cs_timer_t);
        if (timer->every > 0) {
            rv = ensure(b, timer, i, list->nelts, res);
        }
    }
    return rv;
}

/* ---- asking for looks ---- */

const char *cs_poll_deal_name(cs_poll_t *t, apr_int64_t deal)
{
    return apr_psprintf(t->b->p, "deal:%" APR_INT64_T_FMT, deal);
}

static int is_waited_for(const cs_work_t *work, const char *hint, apr_time_t version)
{
    return work && work->state == CS_WORK_READY && cs_work_notified(work) &&
           (!hint || json_integer_value(json_object_get(work->hints, hint)) >= version);
}

apr_status_t cs_poll_look(cs_poll_t *t, const char *name, const char *hint, apr_time_t version,
                          cs_result_t *res)
{
    cs_work_t *work;
    apr_status_t rv;

    if (apr_hash_get(t->asked, name, APR_HASH_KEY_STRING)) {
        return APR_SUCCESS;
    }
    apr_hash_set(t->asked, name, APR_HASH_KEY_STRING, name);
    rv = cs_store_work_named(t->b->lane->store, t->b->lane->site->name, CS_WORK_LOOK, name, &work,
                             t->b->p, res);
    if (rv != APR_SUCCESS || is_waited_for(work, hint, version)) {
        return rv;
    }
    work = apr_pcalloc(t->b->p, sizeof(*work));
    work->site = t->b->lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->hints = cs_json_own(json_object(), t->b->p);
    json_object_set_new(work->hints, CS_CAUSE_POLL, json_integer(1));
    if (hint) {
        json_object_set_new(work->hints, hint, json_integer(version > 0 ? version : 1));
    }
    work->first = work->due = t->b->now;
    cs_batch_change(t->b, CS_CHANGE_WORK_ADD)->work = work;
    ++t->looks;
    return rv;
}

/* ---- how a turn ends ---- */

void cs_poll_store(cs_poll_t *t)
{
    store_cursor(t->b, t->timer, t->state);
}

/* Of a table that is not watched any more, of a former configuration, or asked for where nothing is
 * polled. */
static void drop(cs_batch_t *b, cs_work_t *work)
{
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_WORK_DONE);

    change->work = work;
    change->value = work->wanted;
}

void cs_poll_over(cs_poll_t *t)
{
    cs_poll_store(t);
    if (t->timer->every <= 0) {
        drop(t->b, t->work);
        return;
    }
    set_timer(t->b, t->timer, t->work, t->b->now + jittered(t->timer->every));
}

static cs_change_t *later(cs_poll_t *t, apr_time_t at)
{
    cs_change_t *change = cs_batch_change(t->b, CS_CHANGE_WORK_LATER);

    t->work->state = CS_WORK_READY;
    t->work->due = at;
    change->work = t->work;
    change->at = at;
    return change;
}

void cs_poll_more(cs_poll_t *t)
{
    cs_poll_store(t);
    t->work->attempts = 0;
    t->work->problem_class = t->work->problem = t->work->detail = NULL;
    later(t, t->b->now);
}

static void describe(cs_poll_t *t, const cs_result_t *why)
{
    t->work->problem_class = cs_class_name(why->cls);
    t->work->problem = why->problem;
    t->work->detail = why->detail;
}

void cs_poll_wait(cs_poll_t *t, apr_time_t at, const char *problem, const char *why)
{
    cs_result_t *res = apr_pcalloc(t->b->p, sizeof(*res));

    cs_result_set(res, t->b->p, CS_EREMOTE, CS_CLASS_THROTTLED, problem, "%s", why);
    describe(t, res);
    later(t, at > t->b->now + WAIT_MIN ? at : t->b->now + WAIT_MIN)->result = res;
}

/* Never longer than the interval: its next time would have come then anyway. */
static apr_time_t repeat_at(const cs_poll_t *t)
{
    apr_interval_time_t most =
        t->timer->every > 0 && t->timer->every < RETRY_CAP ? t->timer->every : RETRY_CAP;
    apr_time_t at = t->b->now + cs_backoff(t->work->attempts, RETRY_BASE, most, RETRY_FLOOR);

    return t->result.retry_at > at ? t->result.retry_at : at;
}

static const char *upstream_of(const cs_poll_t *t)
{
    return t->timer->crm < 0 ? CS_UPSTREAM_PC : cs_lane_upstream(t->b->lane, t->timer->crm);
}

/* 1 = everything that needs the upstream would meet it. What is wrong with one table's columns the
 * looks meet by themselves, when they need them. */
static int stops_upstream(const cs_result_t *res)
{
    static const char *const tables[] = {"config:column", "config:table", "config:key"};
    int i;

    for (i = 0; i < 3; ++i) {
        if (res->problem && !strcmp(res->problem, tables[i])) {
            return 0;
        }
    }
    return res->cls == CS_CLASS_TOKEN || res->cls == CS_CLASS_SUSPEND;
}

static void log_failure(const cs_poll_t *t)
{
    int again = t->work->problem && t->result.problem &&
                !strcmp(t->work->problem, t->result.problem);

    cs_log(again || stops_upstream(&t->result) ? CS_LOG_DEBUG : CS_LOG_WARNING, 0,
           t->b->lane->site->name,
           CSLOGNO(2110) "the %s of %s failed and is repeated: %s (%s)", t->timer->kind,
           t->timer->name, t->result.detail ? t->result.detail : "no detail",
           t->result.problem ? t->result.problem : "?");
}

void cs_poll_failed(cs_poll_t *t)
{
    cs_result_t *res = apr_pcalloc(t->b->p, sizeof(*res));
    apr_time_t at = repeat_at(t);

    cs_result_copy(res, &t->result, t->b->p);
    log_failure(t);
    if (res->cls != CS_CLASS_THROTTLED) {
        ++t->work->attempts;
    }
    if (stops_upstream(res)) {
        cs_lane_suspend(t->b->lane, upstream_of(t), res, t->b->changes, t->b->p);
    }
    else if (res->cls == CS_CLASS_RETRY || res->cls == CS_CLASS_UNKNOWN) {
        cs_pulse_doubt(t->b->lane, t->timer->crm < 0 ? CS_LANE_PC : t->timer->crm);
    }
    describe(t, res);
    later(t, at)->result = res;
}

void cs_poll_over_with(cs_poll_t *t, const char *problem, const char *why)
{
    cs_change_t *change;

    cs_poll_over(t);
    change = &APR_ARRAY_IDX(t->b->changes, t->b->changes->nelts - 1, cs_change_t);
    if (change->kind == CS_CHANGE_WORK_TIMER) {
        cs_poll_wait(t, change->at, problem, why);
    }
}

void cs_poll_resume(cs_lane_t *lane, const char *upstream, apr_array_header_t *changes,
                    apr_pool_t *ptemp)
{
    const apr_array_header_t *list = cs_timers_of(lane->site, ptemp);
    int i, crm = cs_lane_upstream_index(lane, upstream);

    for (i = 0; crm >= 0 && i < list->nelts; ++i) {
        const cs_timer_t *timer = &APR_ARRAY_IDX(list, i, cs_timer_t);
        cs_work_t *work = NULL;
        if (strcmp(timer->kind, CS_WORK_POLL) ||
            timer->crm != (crm == CS_LANE_PC ? -1 : crm) ||
            cs_store_work_named(lane->store, lane->site->name, timer->kind, timer->name, &work,
                                ptemp, NULL) != APR_SUCCESS) {
            continue;
        }
        if (work && work->problem) {
            cs_change_t *change = apr_array_push(changes);
            memset(change, 0, sizeof(*change));
            change->kind = CS_CHANGE_WORK_TIMER;
            change->work = work;
            change->value = work->done;
            change->at = cs_time_now();
        }
    }
}

/* ---- one turn ---- */

apr_status_t cs_poll_load(cs_poll_t *t, cs_result_t *res)
{
    static const cs_json_limits_t limits = {STATE_BYTES, STATE_NODES, 6};
    cs_batch_t *b = t->b;
    json_t *state = NULL;
    const char *text;
    apr_status_t rv = cs_store_cursor_get(b->lane->store, b->lane->site->name, t->timer->cursor,
                                          &text, &t->stood, b->p, res);

    if (rv == APR_SUCCESS && text &&
        (cs_json_parse(&state, text, strlen(text), &limits, b->p, NULL) != APR_SUCCESS ||
         !json_is_object(state))) {
        cs_log(CS_LOG_ERR, 0, b->lane->site->name,
               CSLOGNO(2111) "the cursor of the %s of %s is damaged; what changed since it was "
                             "stored is looked through again",
               t->timer->kind, t->timer->name);
        json_decref(state);
        state = json_pack("{s:I, s:I}", "watermark", (json_int_t)t->stood, "since",
                          (json_int_t)t->stood);
    }
    t->state = cs_json_own(state ? state : json_object(), b->p);
    return rv;
}

static const char *stopped_upstream(cs_poll_t *t)
{
    cs_lane_t *lane = t->b->lane;
    const char *name = upstream_of(t);

    return cs_lane_suspension(lane, name) || cs_breaker_open(lane, name) ? name : NULL;
}

static void wait_for(cs_poll_t *t, const char *upstream)
{
    cs_lane_suspension_t *s = cs_lane_suspension(t->b->lane, upstream);

    cs_poll_wait(t, s ? s->probe : cs_breaker_probe_at(t->b->lane, upstream, t->b->now),
                 s ? "suspended" : "breaker",
                 apr_psprintf(t->b->p, s ? "%s is suspended" : "%s does not work at present",
                              upstream));
}

static apr_status_t take(cs_poll_t *t, cs_result_t *res)
{
    apr_status_t rv = cs_poll_load(t, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!strcmp(t->timer->kind, CS_WORK_SWEEP)) {
        return cs_sweep_portion(t, res);
    }
    return t->timer->crm < 0 ? cs_poll_list(t, res) : cs_poll_rows(t, res);
}

apr_status_t cs_batch_poll(cs_batch_t *b, cs_work_t *work, cs_result_t *res)
{
    cs_poll_t *t = apr_pcalloc(b->p, sizeof(*t));
    const char *upstream;
    apr_status_t rv;

    t->b = b;
    t->work = work;
    t->timer = cs_timer_named(b->lane->site, work->kind, work->name, b->p);
    if (!t->timer) {
        drop(b, work);
        return APR_SUCCESS;
    }
    t->asked = apr_hash_make(b->p);
    upstream = stopped_upstream(t);
    if (upstream) {
        wait_for(t, upstream);
        return APR_SUCCESS;
    }
    rv = take(t, res);
    b->polled += !strcmp(work->kind, CS_WORK_POLL) ? t->looks : 0;
    return rv;
}

/* ---- whose turn ---- */

/* The one that is due the longest; a sweep only when nothing else is due. */
static cs_work_t *choose(const apr_array_header_t *works)
{
    cs_work_t *sweep = NULL;
    int i, others = 0;

    for (i = 0; i < works->nelts; ++i) {
        cs_work_t *work = APR_ARRAY_IDX(works, i, cs_work_t *);
        if (!strcmp(work->kind, CS_WORK_POLL)) {
            return work;
        }
        if (!strcmp(work->kind, CS_WORK_SWEEP)) {
            sweep = work;
        }
        others += strcmp(work->kind, CS_WORK_SWEEP) != 0;
    }
    return others ? NULL : sweep;
}

static apr_status_t store(cs_batch_t *b, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(b->lane);
    apr_status_t rv = APR_SUCCESS;

    if (b->changes->nelts) {
        CS_CRASH_POINT("poll-before");
        rv = cs_store_write(b->lane->store, &lease, b->changes, b->p, res);
        CS_CRASH_POINT("poll-after");
        apr_array_clear(b->changes);
    }
    if (rv == APR_SUCCESS) {
        cs_count(CS_COUNT_POLLED, (apr_uint64_t)b->polled);
    }
    return rv;
}

/* Whose notices do not come. */
static void note_found(const cs_batch_t *b, const cs_work_t *work)
{
    const cs_timer_t *timer =
        b->polled ? cs_timer_named(b->lane->site, work->kind, work->name, b->p) : NULL;
    int site = timer ? cs_gauge_site(b->lane->site->name) : -1;
    int upstream = timer ? cs_gauge_upstream(site, timer->crm < 0
                                                       ? CS_UPSTREAM_PC
                                                       : cs_lane_upstream(b->lane, timer->crm))
                         : -1;

    if (upstream >= 0) {
        cs_gauge_add(CS_GAUGE_FOUND, site, upstream, b->polled);
        cs_gauge_set(CS_GAUGE_FOUND_AT, site, upstream, b->now);
    }
}

static apr_status_t set_timers(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv;

    if (b->lane->timers_set) {
        return APR_SUCCESS;
    }
    rv = cs_batch_timers(b, res);
    if (rv == APR_SUCCESS) {
        rv = store(b, res);
    }
    b->lane->timers_set = rv == APR_SUCCESS;
    return rv;
}

static apr_status_t take_turn(cs_batch_t *b, int *pmore, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(b->lane);
    apr_array_header_t *works;
    cs_work_t *work;
    apr_status_t rv = cs_store_claim(b->lane->store, &lease, b->now, CLAIM, &works, b->p, res);

    work = rv == APR_SUCCESS ? choose(works) : NULL;
    if (!work) {
        return rv;
    }
    rv = cs_batch_poll(b, work, res);
    if (rv == APR_SUCCESS) {
        rv = store(b, res);
    }
    if (rv == APR_SUCCESS) {
        note_found(b, work);
    }
    *pmore |= rv == APR_SUCCESS;
    return rv;
}

apr_status_t cs_poll_turn(cs_lane_t *lane, int *pmore, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_batch_t *b = apr_pcalloc(ptemp, sizeof(*b));
    apr_status_t rv;

    b->lane = lane;
    b->p = ptemp;
    b->now = cs_time_now();
    b->items = apr_array_make(ptemp, 1, sizeof(cs_item_t *));
    b->changes = apr_array_make(ptemp, 32, sizeof(cs_change_t));
    rv = set_timers(b, res);
    if (rv == APR_SUCCESS) {
        rv = take_turn(b, pmore, res);
    }
    if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(lane);
    }
    return rv;
}
