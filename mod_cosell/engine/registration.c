#include "registration.h"

#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "pulse.h"

#define PATIENCE apr_time_from_sec(10)

static const cs_json_limits_t fact_limits = {256 * 1024, 10000, 8};

/* ---- the fact ---- */

apr_status_t cs_registration_fact(cs_lane_t *lane, json_t **pfact, apr_pool_t *p, cs_result_t *res)
{
    json_t *fact = NULL;
    const char *text;
    apr_status_t rv =
        cs_store_meta_get(lane->store, lane->site->name, CS_FACT_WEBHOOK, &text, p, res);

    *pfact = NULL;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (text && cs_json_parse(&fact, text, strlen(text), &fact_limits, p, NULL) != APR_SUCCESS) {
        fact = NULL;
    }
    if (!json_is_object(fact)) {
        json_decref(fact);
        fact = json_object();
    }
    *pfact = cs_json_own(fact, p);
    return rv;
}

json_t *cs_registration_json(const cs_pc_hook_t *hook, apr_pool_t *p)
{
    json_t *events;
    int i;

    if (!hook) {
        return json_null();
    }
    events = json_array();
    for (i = 0; i < hook->events->nelts; ++i) {
        json_array_append_new(events, json_string(APR_ARRAY_IDX(hook->events, i, const char *)));
    }
    return json_pack("{s:s, s:o}", "url", cs_pc_hook_url_shown(hook->url, p), "events", events);
}

static const char *missing_events(const json_t *ours, const cs_pc_hook_t *found, apr_pool_t *p)
{
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(ours); ++i) {
        const char *name = json_string_value(json_array_get(ours, i));
        if (name && !cs_pc_hook_has(found->events, name)) {
            out = apr_pstrcat(p, out, *out ? ", " : "", name, NULL);
        }
    }
    return out;
}

/* NULL = it is as we registered it, or we never did. */
static const char *drift_of(const json_t *fact, const cs_pc_hook_t *found, apr_pool_t *p)
{
    const char *ours = cs_json_str(fact, "url"), *missing;

    if (!ours) {
        return NULL;
    }
    if (!found) {
        return "nothing is registered any more, so that no events are sent";
    }
    if (!cs_pc_hook_url_same(found->url, ours, p)) {
        return apr_psprintf(p, "it was taken over, events go to %s and not to %s any more",
                            cs_pc_hook_url_shown(found->url, p), cs_pc_hook_url_shown(ours, p));
    }
    missing = missing_events(json_object_get(fact, "events"), found, p);
    return *missing ? apr_psprintf(p, "these events are not registered any more: %s", missing)
                    : NULL;
}

static void tell_drift(cs_lane_t *lane, const char *drift, apr_time_t now,
                       apr_array_header_t *changes, apr_pool_t *p)
{
    cs_journal_t *journal = apr_pcalloc(p, sizeof(*journal));
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_JOURNAL;
    change->journal = journal;
    journal->at = now;
    journal->direction = "";
    journal->action = "webhook";
    journal->outcome = drift ? "failed" : "done";
    journal->why = drift ? apr_pstrcat(p, "the webhook's registration was changed: ", drift, NULL)
                         : "the webhook's registration is as it should be again";
    cs_log(drift ? CS_LOG_ERR : CS_LOG_NOTICE, 0, lane->site->name, CSLOGNO(2320) "%s",
           journal->why);
}

static void store_fact(const json_t *fact, apr_array_header_t *changes, apr_pool_t *p)
{
    cs_lane_fact(CS_FACT_WEBHOOK, cs_json_print(fact, p), changes);
}

void cs_registration_note(cs_lane_t *lane, json_t *fact, const cs_pc_hook_t *found, apr_time_t now,
                          apr_array_header_t *changes, apr_pool_t *p)
{
    const char *drift = drift_of(fact, found, p), *before = cs_json_str(fact, "drift");

    if (drift ? !before || strcmp(before, drift) : before != NULL) {
        tell_drift(lane, drift, now, changes, p);
    }
    json_object_set_new(fact, "found", cs_registration_json(found, p));
    json_object_set_new(fact, "read", json_integer(now));
    json_object_del(fact, "trouble");
    json_object_del(fact, "drift");
    if (drift) {
        json_object_set_new(fact, "drift", json_string(drift));
    }
    store_fact(fact, changes, p);
}

/* When the last callback came in, as far as that is not long ago. */
static apr_status_t note_delivered(cs_lane_t *lane, json_t *fact, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *list;
    apr_status_t rv =
        cs_store_deliveries(lane->store, lane->site->name, CS_SYSTEM_PC, NULL, 0, 1, &list, p, res);

    if (rv == APR_SUCCESS && list->nelts) {
        json_object_set_new(fact, "delivered",
                            json_integer(APR_ARRAY_IDX(list, 0, cs_delivery_t *)->received));
    }
    return rv;
}

/* ---- the watch ---- */

static apr_time_t next_of(const cs_lane_t *lane, apr_time_t now)
{
    apr_interval_time_t every = lane->site->watch;

    return now + every / 10 * 9 + cs_backoff(0, every / 10, every / 10, 0);
}

static cs_work_t *new_row(const cs_lane_t *lane, apr_pool_t *p)
{
    cs_work_t *work = apr_pcalloc(p, sizeof(*work));

    work->site = lane->site->name;
    work->kind = CS_WORK_WATCH;
    work->name = CS_REGISTRATION;
    return work;
}

static cs_change_t *work_change(apr_array_header_t *changes, cs_change_e kind, cs_work_t *work,
                                apr_time_t at)
{
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = kind;
    change->work = work;
    change->value = work->wanted;
    change->at = at;
    return change;
}

static void set_next(cs_lane_t *lane, apr_time_t now, apr_time_t at)
{
    lane->watch_set = now;
    lane->watch_at = at;
}

static void over(cs_lane_t *lane, cs_work_t *work, apr_time_t now, apr_array_header_t *changes)
{
    set_next(lane, now, next_of(lane, now));
    work_change(changes, CS_CHANGE_WORK_TIMER, work, lane->watch_at);
}

/* What Partner Center refuses us needs a person. Everything else passes, or stops the looks too,
 * and is told there. */
static int needs_person(const cs_result_t *why)
{
    return (why->cls == CS_CLASS_SUSPEND || why->cls == CS_CLASS_REFUSED) && why->problem &&
           !strncmp(why->problem, "pc:", 3) && strcmp(why->problem, "pc:unauthenticated") &&
           strcmp(why->problem, "pc:mfa");
}

static void log_trouble(const cs_lane_t *lane, const cs_work_t *work, const cs_result_t *why)
{
    int again = work->problem && why->problem && !strcmp(work->problem, why->problem);

    cs_log(again               ? CS_LOG_DEBUG
           : needs_person(why) ? CS_LOG_WARNING
                               : CS_LOG_INFO,
           0, lane->site->name, CSLOGNO(2321) "the webhook's registration cannot be read: %s",
           why->detail ? why->detail : "no detail");
}

/* Nothing else waits for this: no upstream is suspended for it. Whether nothing else would work
 * either is for the pulse to find out. */
static void not_read(cs_lane_t *lane, cs_work_t *work, json_t *fact, const cs_result_t *why,
                     apr_time_t now, apr_array_header_t *changes, apr_pool_t *p)
{
    cs_result_t *kept = apr_pcalloc(p, sizeof(*kept));
    apr_time_t at = next_of(lane, now);

    cs_result_copy(kept, why, p);
    log_trouble(lane, work, kept);
    json_object_set_new(fact, "trouble", json_string(kept->detail ? kept->detail : "no detail"));
    store_fact(fact, changes, p);
    work->state = CS_WORK_READY;
    work->attempts += kept->cls != CS_CLASS_THROTTLED && work->attempts < 1000;
    work->problem_class = cs_class_name(kept->cls);
    work->problem = kept->problem;
    work->detail = kept->detail;
    work->due = kept->retry_at > at ? kept->retry_at : at;
    set_next(lane, now, work->due);
    work_change(changes, CS_CHANGE_WORK_LATER, work, work->due)->result = kept;
}

/* Its page says so already; asking would only be refused. */
static int is_stopped(cs_lane_t *lane)
{
    return cs_lane_suspension(lane, CS_UPSTREAM_PC) || cs_breaker_open(lane, CS_UPSTREAM_PC);
}

static void read_now(cs_lane_t *lane, cs_work_t *work, json_t *fact, apr_time_t now,
                     apr_array_header_t *changes, apr_pool_t *p)
{
    cs_pc_hook_t *found = NULL;
    cs_result_t why = {0};

    if (is_stopped(lane)) {
        cs_result_set(&why, p, CS_EREMOTE, CS_CLASS_THROTTLED, "suspended",
                      CS_UPSTREAM_PC " does not work at present");
        not_read(lane, work, fact, &why, now, changes, p);
    }
    else if (cs_pc_hooks_read(lane->hooks, &found, cs_time_mono() + PATIENCE, p, &why) ==
             APR_SUCCESS) {
        cs_registration_note(lane, fact, found, now, changes, p);
        over(lane, work, now, changes);
    }
    else {
        not_read(lane, work, fact, &why, now, changes, p);
        if (!needs_person(&why) && why.cls != CS_CLASS_THROTTLED) {
            cs_pulse_doubt(lane, CS_LANE_PC);
        }
    }
}

/* The first time after a start comes a period later, unless the row knows of an earlier one. */
static int begins(cs_lane_t *lane, cs_work_t **pwork, apr_time_t now, apr_array_header_t *changes,
                  apr_pool_t *p)
{
    cs_work_t *work = *pwork;

    if (lane->site->watch <= 0) {
        set_next(lane, now, APR_INT64_MAX);
        if (work) {
            work_change(changes, CS_CHANGE_WORK_DONE, work, now);
        }
        return 1;
    }
    if (!work) {
        *pwork = new_row(lane, p);
        over(lane, *pwork, now, changes);
        return 1;
    }
    if (work->due <= now || work->due > now + lane->site->watch * 2) {
        return 0;
    }
    set_next(lane, now, work->due);
    return 1;
}

static apr_status_t take_turn(cs_lane_t *lane, cs_work_t *work, apr_time_t now,
                              apr_array_header_t *changes, apr_pool_t *p, cs_result_t *res)
{
    json_t *fact;
    apr_status_t rv = cs_registration_fact(lane, &fact, p, res);

    if (rv == APR_SUCCESS) {
        rv = note_delivered(lane, fact, p, res);
    }
    if (rv == APR_SUCCESS) {
        read_now(lane, work ? work : new_row(lane, p), fact, now, changes, p);
    }
    return rv;
}

/* A clock that went back must not silence it. */
static int is_due(const cs_lane_t *lane, apr_time_t now)
{
    return lane->site->watch > 0 && (now >= lane->watch_at || now < lane->watch_set);
}

apr_status_t cs_registration_watch(cs_lane_t *lane, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(p, 4, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_time_t now = cs_time_now();
    int first = !lane->watch_at;
    cs_work_t *work;
    apr_status_t rv;

    if (!first && !is_due(lane, now)) {
        return APR_SUCCESS;
    }
    rv = cs_store_work_named(lane->store, lane->site->name, CS_WORK_WATCH, CS_REGISTRATION, &work,
                             p, res);
    if (rv == APR_SUCCESS && !(first && begins(lane, &work, now, changes, p))) {
        rv = take_turn(lane, work, now, changes, p, res);
    }
    if (rv == APR_SUCCESS && changes->nelts) {
        rv = cs_store_write(lane->store, &lease, changes, p, res);
    }
    if (rv != APR_SUCCESS) {
        lane->watch_at = 0;
    }
    return rv;
}
