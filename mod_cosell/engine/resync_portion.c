/* engine/resync_portion.c: which deals a turn of a resync takes, and what their looks come to. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "resync.h"

#define PORTION 50
/* Deals whose cards must be asked for take a request or two each. */
#define ASKED_SECONDS 6
#define ASKED_MIN 4
#define OPEN_AT_ONCE 200
/* How long a turn looks for deals that need a look. */
#define SEARCH apr_time_from_sec(2)
#define ROWS_MAX 20000

/* ---- counting ---- */

apr_int64_t cs_resync_count_of(const cs_resync_t *r, const char *name)
{
    return cs_json_int(r->cursor, name, 0);
}

void cs_resync_set_count(cs_resync_t *r, const char *name, apr_int64_t n)
{
    json_object_set_new(r->cursor, name, json_integer(n));
}

void cs_resync_count(cs_resync_t *r, const char *name, int n)
{
    cs_resync_set_count(r, name, cs_resync_count_of(r, name) + n);
    cs_resync_set_count(r, "done", cs_resync_count_of(r, "done") + n);
}

/* Of "contacts/ann@contoso.com" the list: items are as many as there are people. */
static const char *list_or_line(const char *line, apr_pool_t *p)
{
    const char *slash = strchr(line, '/');

    return slash ? apr_pstrmemdup(p, line, (apr_size_t)(slash - line)) : line;
}

static void count_lines(cs_resync_t *r, const json_t *changes)
{
    json_t *lines = json_object_get(r->cursor, "lines"), *once = json_object();
    const json_t *change;
    const char *line;
    json_t *value;
    size_t i;

    if (!lines) {
        lines = json_object();
        json_object_set_new(r->cursor, "lines", lines);
    }
    json_array_foreach((json_t *)changes, i, change) {
        json_object_set_new(once, list_or_line(cs_json_str(change, "line"), r->b->p), json_true());
    }
    json_object_foreach(once, line, value) {
        json_object_set_new(lines, line, json_integer(cs_json_int(lines, line, 0) + 1));
    }
    json_decref(once);
}

/* ---- rows ---- */

static void add_row(cs_resync_t *r, cs_batch_t *b, const cs_item_t *item, json_t *changes,
                    const char *error)
{
    const cs_deal_t *deal = item->deal;
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_JOB_ROW);

    change->job = r->t->job;
    change->value = deal ? deal->id : 0;
    change->rows =
        cs_json_own(json_pack("{s:o, s:s*, s:s*, s:o, s:s*}", "deal",
                              deal && deal->id ? json_integer(deal->id) : json_null(), "referral",
                              deal && deal->referral_id ? deal->referral_id : item->asked, "title",
                              deal ? deal->title : NULL, "changes",
                              changes ? json_deep_copy(changes) : json_array(), "error", error),
                    b->p);
}

static int has_room(const cs_resync_t *r)
{
    return cs_resync_count_of(r, "changed") + cs_resync_count_of(r, "failed") <= ROWS_MAX;
}

/* ---- what became of an item ---- */

static int has_failed(const cs_item_t *item)
{
    return item->over && !item->quiet;
}

/* It is looked at again by itself, and nothing is wrong with it. */
static int comes_later(const cs_item_t *item)
{
    cs_class_e cls = item->result.cls;

    return item->put_off || (item->plan && item->plan->stale) ||
           (has_failed(item) && (cls == CS_CLASS_THROTTLED || cls == CS_CLASS_SUSPEND ||
                                 cls == CS_CLASS_TOKEN || cls == CS_CLASS_CONFLICT));
}

static int did_change(const cs_item_t *item)
{
    int i;

    for (i = 0; item->plan && i < item->plan->steps->nelts; ++i) {
        if (item->applied[i].done && APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *)->send) {
            return 1;
        }
    }
    return item->plan && item->plan->what != CS_PLAN_STEPS && cs_item_would_change(item);
}

static void take_outcome(cs_resync_t *r, const cs_item_t *item)
{
    int changed = r->dry ? cs_item_would_change(item) : did_change(item);
    json_t *changes;

    if (comes_later(item)) {
        cs_resync_count(r, "later", 1);
    }
    else if (has_failed(item)) {
        cs_resync_count(r, "failed", 1);
        if (has_room(r)) {
            add_row(r, r->b, item, NULL, cs_item_words(item, r->b->p));
        }
    }
    else if (!changed) {
        cs_resync_count(r, "nothing", 1);
    }
    else {
        cs_resync_count(r, "changed", 1);
        if (r->dry) {
            changes = cs_item_changes(item, r->b->p);
            count_lines(r, changes);
            if (has_room(r)) {
                add_row(r, r->b, item, changes, NULL);
            }
        }
    }
}

/* ---- the items of a portion ---- */

static cs_work_t *new_work(cs_resync_t *r, const char *name)
{
    cs_work_t *work = apr_pcalloc(r->b->p, sizeof(*work));

    work->site = r->b->lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->hints = cs_json_own(json_pack("{s:i}", CS_CAUSE_RESYNC, 1), r->b->p);
    /* No row has it yet: should the look be repeated, one is made, and it is no notice's. */
    work->wanted = work->seen = 1;
    work->first = work->due = r->b->now;
    return work;
}

static const char *name_of(cs_resync_t *r, const cs_deal_t *deal, const char *referral)
{
    return deal ? apr_psprintf(r->b->p, "deal:%" APR_INT64_T_FMT, deal->id)
                : apr_pstrcat(r->b->p, CS_SYSTEM_PC ":", referral, NULL);
}

/* A look of its own is outstanding, or was given up: that one is made due. */
static int is_left_to_its_look(cs_resync_t *r, const char *name, cs_result_t *res)
{
    cs_work_t *work = NULL;

    if (r->dry || r->rv != APR_SUCCESS) {
        return 0;
    }
    r->rv = cs_store_work_named(r->b->lane->store, r->b->lane->site->name, CS_WORK_LOOK, name,
                                &work, r->b->p, res);
    if (r->rv != APR_SUCCESS || !work) {
        return 0;
    }
    if (work->state == CS_WORK_DEAD) {
        cs_batch_change(r->t->b, CS_CHANGE_WORK_ADD)->work = new_work(r, name);
    }
    return 1;
}

static void add_item(cs_resync_t *r, cs_deal_t *deal, const cs_ahead_own_t *own, cs_result_t *res)
{
    const char *name = name_of(r, deal, own ? own->id : NULL);
    cs_item_t *item;

    if (deal && own && !r->dry && cs_ahead_is_settled(r->ahead, own, deal->id)) {
        cs_resync_count(r, "nothing", 1);
        return;
    }
    if (is_left_to_its_look(r, name, res)) {
        cs_resync_count(r, "later", 1);
        return;
    }
    if (r->rv != APR_SUCCESS) {
        return;
    }
    item = cs_item_new(r->b, new_work(r, name));
    item->deal = deal;
    item->asked = deal || !own ? NULL : own->id;
    item->by_job = 1;
    if (own) {
        item->ahead = cs_ahead_cards(r->ahead, own, &item->ahead_own, r->b->p);
    }
    r->asked += !item->ahead && (!deal || deal->referral_id);
    APR_ARRAY_PUSH(r->b->items, cs_item_t *) = item;
}

/* A row that cannot be read waits for a person, and nobody else does. */
static void skip_damaged(cs_resync_t *r, const char *what, cs_result_t *res)
{
    cs_resync_count(r, "failed", 1);
    cs_job_say(r->t, "%s: %s", what, res->detail ? res->detail : "it cannot be read");
    cs_result_clear(res);
    r->rv = APR_SUCCESS;
}

static int is_full(const cs_resync_t *r)
{
    double most = r->b->lane->site->pc.upstream->rate * ASKED_SECONDS;
    int asked = most <= 0 || most > PORTION ? PORTION : most < ASKED_MIN ? ASKED_MIN : (int)most;

    return r->b->items->nelts >= PORTION || r->asked >= asked;
}

/* ---- those that the list shows ---- */

static void add_listed(cs_resync_t *r, const cs_ahead_own_t *own, cs_result_t *res)
{
    cs_deal_t *deal = NULL;

    r->rv = cs_store_deal_find(r->b->lane->store, r->b->lane->site->name, CS_SYSTEM_PC, own->id,
                               &deal, r->b->p, res);
    if (r->rv == CS_EPARSE) {
        skip_damaged(r, own->id, res);
    }
    else if (r->rv == APR_SUCCESS && deal && deal->referral_id &&
             strcmp(deal->referral_id, own->id)) {
        cs_resync_count(r, "nothing", 1); /* another card of a deal's engagement */
    }
    else if (r->rv == APR_SUCCESS) {
        add_item(r, deal, own, res);
    }
}

/* 1 = there is more of the list. */
int cs_resync_collect_listed(cs_resync_t *r, cs_result_t *res)
{
    const char *after = cs_json_str(r->cursor, "after");
    apr_interval_time_t end = cs_time_mono() + SEARCH;
    int i, n = cs_ahead_count(r->ahead);

    for (i = cs_ahead_after(r->ahead, after ? after : "");
         r->rv == APR_SUCCESS && i < n && !is_full(r) && cs_time_mono() < end; ++i) {
        const cs_ahead_own_t *own = cs_ahead_at(r->ahead, i);
        add_listed(r, own, res);
        json_object_set_new(r->cursor, "after", json_string(own->id));
    }
    return i < n;
}

/* ---- open deals that it does not show ---- */

static void add_rest(cs_resync_t *r, apr_int64_t id, cs_result_t *res)
{
    cs_deal_t *deal = NULL;

    r->rv = cs_store_deal_load(r->b->lane->store, r->b->lane->site->name, id, &deal, r->b->p, res);
    if (r->rv == CS_EPARSE) {
        skip_damaged(r, apr_psprintf(r->b->p, "deal %" APR_INT64_T_FMT, id), res);
    }
    else if (r->rv == APR_SUCCESS && deal &&
             !(deal->referral_id && cs_ahead_has(r->ahead, deal->referral_id)) &&
             (deal->referral_id || deal->record_id)) {
        add_item(r, deal, NULL, res);
    }
}

int cs_resync_collect_rest(cs_resync_t *r, cs_result_t *res)
{
    apr_interval_time_t end = cs_time_mono() + SEARCH;
    apr_int64_t after = cs_resync_count_of(r, "deal"), last = after;
    int i, left = 1;

    while (r->rv == APR_SUCCESS && left && !is_full(r) && cs_time_mono() < end) {
        apr_array_header_t *ids = NULL;
        r->rv = cs_store_deals_open(r->b->lane->store, r->b->lane->site->name, NULL, OPEN_AT_ONCE,
                                    &last, &ids, &left, r->b->p, res);
        for (i = 0; r->rv == APR_SUCCESS && i < ids->nelts && !is_full(r); ++i) {
            after = APR_ARRAY_IDX(ids, i, apr_int64_t);
            add_rest(r, after, res);
        }
        if (r->rv == APR_SUCCESS && i == ids->nelts) {
            after = last;
        }
        else {
            left = 1;
            break;
        }
    }
    cs_resync_set_count(r, "deal", after);
    return left;
}

void cs_resync_collect_one(cs_resync_t *r, cs_deal_t *deal, const char *referral, cs_result_t *res)
{
    const char *name = name_of(r, deal, referral);
    cs_item_t *item;

    if (is_left_to_its_look(r, name, res)) {
        cs_resync_count(r, "later", 1);
        return;
    }
    if (r->rv == APR_SUCCESS) {
        item = cs_item_new(r->b, new_work(r, name));
        item->deal = deal;
        item->asked = deal ? NULL : referral;
        item->by_job = 1;
        APR_ARRAY_PUSH(r->b->items, cs_item_t *) = item;
    }
}

/* ---- a portion ---- */

/* What this turn found out is stored with its looks. */
static void store_standing(cs_resync_t *r)
{
    cs_job_t *job = apr_pmemdup(r->b->p, r->t->job, sizeof(*job));

    job->state = CS_JOB_RUNNING;
    job->cursor = r->cursor;
    job->progress = r->t->progress;
    cs_batch_change(r->b, CS_CHANGE_JOB)->job = job;
}

static void pass_changes(cs_resync_t *r)
{
    apr_array_cat(r->t->b->changes, r->b->changes);
    apr_array_clear(r->b->changes);
}

/* Some of them contradict the store: whoever looks at them one by one finds out which. */
static void hand_over(cs_resync_t *r, cs_result_t *res)
{
    int i;

    cs_log(CS_LOG_INFO, 0, r->b->lane->site->name,
           CSLOGNO(2341) "%d looks of job %s end together and are repeated one by one: %s",
           r->b->items->nelts, r->t->id, res->detail ? res->detail : "they contradict the store");
    cs_result_clear(res);
    cs_lane_facts_forget(r->b->lane);
    cs_batch_watch_forget(r->b);
    apr_array_clear(r->b->changes);
    for (i = 0; i < r->b->items->nelts; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(r->b->items, i, cs_item_t *);
        const char *name = item->asked  ? name_of(r, NULL, item->asked)
                           : item->deal ? name_of(r, item->deal, NULL)
                                        : NULL;
        if (name) {
            cs_batch_change(r->t->b, CS_CHANGE_WORK_ADD)->work = new_work(r, name);
        }
    }
    r->b->lane->narrow = r->b->items->nelts;
    cs_resync_count(r, "later", r->b->items->nelts);
}

/* Nothing that came in meanwhile is covered, for the cards were read before; and should the look be
 * repeated, it is outstanding. */
static void own_its_look(cs_item_t *item)
{
    item->covered = 0;
    if (item->work && item->work->wanted <= item->work->done) {
        item->work->wanted = item->work->seen = item->work->done + 1;
    }
}

static void take_outcomes(cs_resync_t *r)
{
    int i;

    for (i = 0; i < r->b->items->nelts; ++i) {
        own_its_look(APR_ARRAY_IDX(r->b->items, i, cs_item_t *));
        take_outcome(r, APR_ARRAY_IDX(r->b->items, i, cs_item_t *));
    }
}

static apr_status_t plan_portion(cs_resync_t *r, cs_result_t *res)
{
    apr_status_t rv = cs_batch_see(r->b, res);

    if (rv == APR_SUCCESS) {
        take_outcomes(r);
        pass_changes(r);
    }
    return rv;
}

static apr_status_t do_portion(cs_resync_t *r, cs_result_t *res)
{
    apr_status_t rv = cs_batch_see(r->b, res);

    if (rv == APR_SUCCESS && !r->b->stopped) {
        rv = cs_batch_act(r->b, res);
    }
    if (rv == APR_SUCCESS && r->b->stopped) {
        pass_changes(r);
    }
    if (rv != APR_SUCCESS || r->b->stopped) {
        return rv;
    }
    take_outcomes(r);
    store_standing(r);
    return cs_batch_settle(r->b, res);
}

apr_status_t cs_resync_look(cs_resync_t *r, cs_result_t *res)
{
    apr_status_t rv;

    if (!r->b->items->nelts) {
        return APR_SUCCESS;
    }
    cs_batch_trace(r->b);
    rv = r->dry ? plan_portion(r, res) : do_portion(r, res);
    cs_batch_trace_is(r->b, NULL);
    if (rv == CS_ESTALE) {
        hand_over(r, res);
        rv = APR_SUCCESS;
    }
    else if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(r->b->lane);
        cs_batch_watch_forget(r->b);
    }
    return rv;
}
