/* engine/job_resync.c: all deals are looked at again, a portion a turn.
 *
 * Partner Center's list is read first, into memory (ahead.h); then our referrals on it, by id, and
 * of `all` those open deals that it does not show, by number. A portion's looks, how far the job
 * has come and its counts are one transaction: a killed server reads the list again and goes on
 * with the next portion. A deal that has a look of its own outstanding is left to that, and one
 * that was looked at since its card was read is done.
 *
 * The cursor:
 *   {"floor": microseconds      what changed before is left out; 0 = nothing is
 *    "phase": "listed" | "rest"
 *    "after": "<referral id>"   the last of the list that was taken
 *    "deal": number             the last of the open deals that was considered
 *    "done", "changed", "nothing", "failed", "later", "of": how many
 *    "lines": {"<line>": n}     of a dry run: deals in which it would change
 *    "at": microseconds, "rate": deals per second, smoothed } */
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "ahead.h"
#include "diff.h"
#include "job.h"

#define PORTION 50
/* Deals whose cards must be asked for take a request or two each. */
#define ASKED_SECONDS 6
#define ASKED_MIN 4
#define OPEN_AT_ONCE 200
/* How long a turn looks for deals that need a look. */
#define SEARCH apr_time_from_sec(2)
#define AGAIN apr_time_from_sec(5)
#define ROWS_MAX 20000

typedef struct resync_t {
    cs_job_turn_t *t;
    cs_batch_t *b; /* of this turn's looks */
    json_t *cursor;
    int dry, all;
    const char *id;
    cs_ahead_t *ahead;
    int asked; /* items whose cards are asked for */
    apr_status_t rv;
} resync_t;

/* ---- arguments ---- */

/* "3d", "12h", "90m": how long ago; 0 = it is something else. */
static apr_interval_time_t ago_of(const char *text)
{
    apr_size_t digits = strspn(text, "0123456789");
    apr_int64_t n = apr_atoi64(text);

    if (!digits || digits > 6 || n <= 0 || !text[digits] || text[digits + 1]) {
        return 0;
    }
    switch (text[digits]) {
    case 'd':
        return apr_time_from_sec(n * 86400);
    case 'h':
        return apr_time_from_sec(n * 3600);
    case 'm':
        return apr_time_from_sec(n * 60);
    default:
        return 0;
    }
}

static int since_of(const char *text, apr_time_t now, apr_time_t *pfloor)
{
    apr_interval_time_t ago = ago_of(text);

    if (ago) {
        *pfloor = now > ago ? now - ago : 1;
        return 1;
    }
    return cs_time_parse(pfloor, text) == APR_SUCCESS && *pfloor > 0;
}

static const char *check(const json_t *arguments, apr_pool_t *p)
{
    const char *since = cs_json_str(arguments, "since");
    int n = cs_json_bool(arguments, "all", 0) + (cs_json_str(arguments, "id") != NULL) +
            (since != NULL);
    apr_time_t floor;

    if (n != 1) {
        return "one of all: true, id and since says which deals are looked at again";
    }
    if (since && !since_of(since, apr_time_from_sec(4102444800), &floor)) {
        return apr_psprintf(p,
                            "since \"%.40s\": allowed are a date or time (2026-11-01, "
                            "2026-11-01T08:00:00Z) and how long ago (3d, 12h, 90m)",
                            since);
    }
    return NULL;
}

/* ---- counting ---- */

static apr_int64_t count_of(const resync_t *r, const char *name)
{
    return cs_json_int(r->cursor, name, 0);
}

static void set_count(resync_t *r, const char *name, apr_int64_t n)
{
    json_object_set_new(r->cursor, name, json_integer(n));
}

static void count(resync_t *r, const char *name, int n)
{
    set_count(r, name, count_of(r, name) + n);
    set_count(r, "done", count_of(r, "done") + n);
}

static void count_lines(resync_t *r, const json_t *changes)
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
        json_object_set_new(once, cs_json_str(change, "line"), json_true());
    }
    json_object_foreach(once, line, value) {
        json_object_set_new(lines, line, json_integer(cs_json_int(lines, line, 0) + 1));
    }
    json_decref(once);
}

/* Deals per second, of the last turns above all. */
static void note_rate(resync_t *r, apr_int64_t before)
{
    apr_time_t at = cs_json_int(r->cursor, "at", 0), now = cs_time_now();
    double rate = json_real_value(json_object_get(r->cursor, "rate")), this;

    if (at && now > at && now - at < apr_time_from_sec(300)) {
        this = (double)(count_of(r, "done") - before) * 1e6 / (double)(now - at);
        rate = rate > 0 ? rate * 0.8 + this * 0.2 : this;
        json_object_set_new(r->cursor, "rate", json_real((double)(long)(rate * 100) / 100));
    }
    set_count(r, "at", now);
}

static void copy_count(resync_t *r, json_t *to, const char *name, const char *as)
{
    json_object_set_new(to, as, json_integer(count_of(r, name)));
}

static void tell_counts(resync_t *r, json_t *to)
{
    copy_count(r, to, "changed", r->dry ? "would_change" : "changed");
    copy_count(r, to, "nothing", "nothing");
    copy_count(r, to, "failed", "failed");
    copy_count(r, to, "later", "later");
}

static void tell(resync_t *r, const char *text)
{
    json_t *progress = r->t->progress, *rate = json_object_get(r->cursor, "rate");

    copy_count(r, progress, "done", "done");
    if (count_of(r, "of")) {
        copy_count(r, progress, "of", "of");
    }
    if (rate) {
        json_object_set(progress, "rate", rate);
    }
    copy_count(r, progress, "changed", "changed");
    copy_count(r, progress, "nothing", "nothing");
    copy_count(r, progress, "failed", "failed");
    copy_count(r, progress, "later", "later");
    json_object_set_new(progress, "text", json_string(text));
}

/* ---- rows ---- */

static void add_row(resync_t *r, cs_batch_t *b, const cs_item_t *item, json_t *changes,
                    const char *error)
{
    const cs_deal_t *deal = item->deal;
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_JOB_ROW);

    change->job = r->t->job;
    change->value = deal ? deal->id : 0;
    change->rows = cs_json_own(
        json_pack("{s:o, s:s*, s:s*, s:o, s:s*}", "deal",
                  deal && deal->id ? json_integer(deal->id) : json_null(), "referral",
                  deal && deal->referral_id ? deal->referral_id : item->asked, "title",
                  deal ? deal->title : NULL, "changes",
                  changes ? json_deep_copy(changes) : json_array(), "error", error),
        b->p);
}

static int has_room(const resync_t *r)
{
    return count_of(r, "changed") + count_of(r, "failed") <= ROWS_MAX;
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

static void take_outcome(resync_t *r, const cs_item_t *item)
{
    int changed = r->dry ? cs_item_would_change(item) : did_change(item);
    json_t *changes;

    if (comes_later(item)) {
        count(r, "later", 1);
    }
    else if (has_failed(item)) {
        count(r, "failed", 1);
        if (has_room(r)) {
            add_row(r, r->b, item, NULL, cs_item_words(item, r->b->p));
        }
    }
    else if (!changed) {
        count(r, "nothing", 1);
    }
    else {
        count(r, "changed", 1);
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

static cs_work_t *new_work(resync_t *r, const char *name)
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

static const char *name_of(resync_t *r, const cs_deal_t *deal, const char *referral)
{
    return deal ? apr_psprintf(r->b->p, "deal:%" APR_INT64_T_FMT, deal->id)
                : apr_pstrcat(r->b->p, CS_SYSTEM_PC ":", referral, NULL);
}

/* A look of its own is outstanding, or was given up: that one is made due. */
static int is_left_to_its_look(resync_t *r, const char *name, cs_result_t *res)
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

static void add_item(resync_t *r, cs_deal_t *deal, const cs_ahead_own_t *own, cs_result_t *res)
{
    const char *name = name_of(r, deal, own ? own->id : NULL);
    cs_item_t *item;

    if (deal && own && deal->updated >= own->read && !r->dry) {
        count(r, "nothing", 1);
        return;
    }
    if (is_left_to_its_look(r, name, res)) {
        count(r, "later", 1);
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
static void skip_damaged(resync_t *r, const char *what, cs_result_t *res)
{
    count(r, "failed", 1);
    cs_job_say(r->t, "%s: %s", what, res->detail ? res->detail : "it cannot be read");
    cs_result_clear(res);
    r->rv = APR_SUCCESS;
}

static int is_full(const resync_t *r)
{
    double most = r->b->lane->site->pc.upstream->rate * ASKED_SECONDS;
    int asked = most <= 0 || most > PORTION ? PORTION : most < ASKED_MIN ? ASKED_MIN : (int)most;

    return r->b->items->nelts >= PORTION || r->asked >= asked;
}

/* ---- those that the list shows ---- */

static void add_listed(resync_t *r, const cs_ahead_own_t *own, cs_result_t *res)
{
    cs_deal_t *deal = NULL;

    r->rv = cs_store_deal_find(r->b->lane->store, r->b->lane->site->name, CS_SYSTEM_PC, own->id,
                               &deal, r->b->p, res);
    if (r->rv == CS_EPARSE) {
        skip_damaged(r, own->id, res);
    }
    else if (r->rv == APR_SUCCESS && deal && deal->referral_id &&
             strcmp(deal->referral_id, own->id)) {
        count(r, "nothing", 1); /* another card of a deal's engagement */
    }
    else if (r->rv == APR_SUCCESS) {
        add_item(r, deal, own, res);
    }
}

/* 1 = there is more of the list. */
static int collect_listed(resync_t *r, cs_result_t *res)
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

static void add_rest(resync_t *r, apr_int64_t id, cs_result_t *res)
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

static int collect_rest(resync_t *r, cs_result_t *res)
{
    apr_interval_time_t end = cs_time_mono() + SEARCH;
    apr_int64_t after = count_of(r, "deal"), last = after;
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
    set_count(r, "deal", after);
    return left;
}

/* ---- a portion ---- */

/* What this turn found out is stored with its looks. */
static void store_standing(resync_t *r)
{
    cs_job_t *job = apr_pmemdup(r->b->p, r->t->job, sizeof(*job));

    job->state = CS_JOB_RUNNING;
    job->cursor = r->cursor;
    job->progress = r->t->progress;
    cs_batch_change(r->b, CS_CHANGE_JOB)->job = job;
}

static void pass_changes(resync_t *r)
{
    apr_array_cat(r->t->b->changes, r->b->changes);
    apr_array_clear(r->b->changes);
}

/* Some of them contradict the store: whoever looks at them one by one finds out which. */
static void hand_over(resync_t *r, cs_result_t *res)
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
        const char *name = item->asked ? name_of(r, NULL, item->asked)
                           : item->deal ? name_of(r, item->deal, NULL)
                                        : NULL;
        if (name) {
            cs_batch_change(r->t->b, CS_CHANGE_WORK_ADD)->work = new_work(r, name);
        }
    }
    r->b->lane->narrow = r->b->items->nelts;
    count(r, "later", r->b->items->nelts);
}

static void take_outcomes(resync_t *r)
{
    int i;

    for (i = 0; i < r->b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(r->b->items, i, cs_item_t *);
        /* Nothing of what came in meanwhile is covered: it was read before. */
        item->covered = 0;
        take_outcome(r, item);
    }
}

static apr_status_t plan_portion(resync_t *r, cs_result_t *res)
{
    apr_status_t rv = cs_batch_see(r->b, res);

    if (rv == APR_SUCCESS) {
        take_outcomes(r);
        pass_changes(r);
    }
    return rv;
}

static apr_status_t do_portion(resync_t *r, cs_result_t *res)
{
    apr_status_t rv = cs_batch_see(r->b, res);

    if (rv == APR_SUCCESS && !r->b->stopped) {
        rv = cs_batch_act(r->b, res);
    }
    if (rv != APR_SUCCESS || r->b->stopped) {
        return rv;
    }
    take_outcomes(r);
    store_standing(r);
    return cs_batch_settle(r->b, res);
}

static apr_status_t look_at_portion(resync_t *r, cs_result_t *res)
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

/* ---- how it ends ---- */

static const char *plural(apr_int64_t n, const char *one, const char *many, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT " %s", n, n == 1 ? one : many);
}

static const char *ending_words(const resync_t *r, apr_pool_t *p)
{
    const char *text =
        apr_psprintf(p, "%s: %s %" APR_INT64_T_FMT ", %" APR_INT64_T_FMT " as they should be",
                     plural(count_of(r, "done"), "deal looked at", "deals looked at", p),
                     r->dry ? "would change" : "changed", count_of(r, "changed"),
                     count_of(r, "nothing"));

    if (count_of(r, "later")) {
        text = apr_psprintf(p, "%s, %" APR_INT64_T_FMT " left to looks of their own", text,
                            count_of(r, "later"));
    }
    if (count_of(r, "failed")) {
        text = apr_psprintf(p, "%s, %" APR_INT64_T_FMT " failed%s", text, count_of(r, "failed"),
                            r->dry ? "" : " and are repeated");
    }
    return r->dry ? apr_pstrcat(p, text, "; nothing was written", NULL) : text;
}

static void end(resync_t *r)
{
    apr_pool_t *p = r->t->b->p;
    const char *text = ending_words(r, p);
    json_t *result = json_object(), *lines = json_object_get(r->cursor, "lines");

    tell(r, text);
    json_object_set_new(result, "text", json_string(text));
    copy_count(r, result, "done", "looked");
    tell_counts(r, result);
    if (r->dry) {
        json_object_set_new(result, "lines", lines ? json_deep_copy(lines) : json_object());
    }
    else {
        cs_brake_end_job(r->t->b->lane, r->t->id, r->t->b->changes, p);
        cs_job_journal(r->t, 0, "done", apr_pstrcat(p, "resync: ", text, ";", NULL));
    }
    cs_ahead_drop(r->t->b->lane);
    cs_job_done(r->t, result);
}

/* ---- what it waits for ---- */

static int is_down(resync_t *r, const char *upstream)
{
    return cs_lane_suspension(r->t->b->lane, upstream) ||
           cs_breaker_open(r->t->b->lane, upstream);
}

static int all_crms_down(resync_t *r)
{
    int crm;

    for (crm = 0; crm < r->t->b->lane->site->ncrms; ++crm) {
        if (!is_down(r, cs_lane_upstream(r->t->b->lane, crm))) {
            return 0;
        }
    }
    return 1;
}

static void wait_for(resync_t *r, const char *why)
{
    json_object_set_new(r->t->progress, "waits", json_string(why));
    set_count(r, "at", 0);
    cs_job_wait(r->t, r->t->b->now + AGAIN);
}

/* 1 = not now. */
static int has_to_wait(resync_t *r)
{
    if (is_down(r, CS_UPSTREAM_PC)) {
        wait_for(r, CS_UPSTREAM_PC " does not work at present");
        return 1;
    }
    if (all_crms_down(r)) {
        wait_for(r, "no CRM works at present");
        return 1;
    }
    if (!r->dry && cs_brake_holds_job(r->t->b->lane)) {
        const char *why = cs_json_str(r->cursor, "braked");
        wait_for(r, why ? why : "the brake \"" CS_BRAKE_RESYNC "\" is on");
        return 1;
    }
    return 0;
}

/* ---- turns ---- */

static apr_status_t read_list(resync_t *r)
{
    cs_lane_t *lane = r->t->b->lane;
    cs_result_t result;
    int ready, pages, cards = 0;

    cs_ahead_read(lane, cs_json_int(r->cursor, "floor", 0), &ready, &result, r->t->b->p);
    pages = cs_ahead_pages(lane, &cards);
    tell(r, apr_psprintf(r->t->b->p, "reading Partner Center's list: %s on %s",
                         plural(cards, "referral", "referrals", r->t->b->p),
                         plural(pages, "page", "pages", r->t->b->p)));
    if (result.cls != CS_CLASS_OK) {
        cs_job_trouble(r->t, CS_UPSTREAM_PC, &result);
    }
    return APR_SUCCESS;
}

/* What the list shows, and what else is known; it shows nearly all of that. */
static apr_status_t estimate(resync_t *r, cs_result_t *res)
{
    apr_int64_t listed = cs_ahead_count(r->ahead);
    apr_status_t rv = APR_SUCCESS;
    cs_store_counts_t counts;

    if (r->all) {
        rv = cs_store_counts(r->t->b->lane->store, r->t->b->lane->site->name, &counts, r->t->b->p,
                             res);
        listed = rv == APR_SUCCESS && counts.deals > listed ? counts.deals : listed;
    }
    set_count(r, "of", listed);
    return rv;
}

/* The portion is abandoned whole, so that it is taken again as it was. */
static void stop(resync_t *r, const json_t *stood)
{
    const char *why = r->b->stopped;

    pass_changes(r);
    json_object_clear(r->cursor);
    json_object_update(r->cursor, (json_t *)stood);
    json_object_set_new(r->cursor, "braked", json_string(why));
    tell(r, "paused: too much would change");
    wait_for(r, why);
}

static void go_on(resync_t *r, int more, apr_int64_t before)
{
    const char *phase = cs_json_str(r->cursor, "phase");

    note_rate(r, before);
    if (count_of(r, "of") < count_of(r, "done")) {
        set_count(r, "of", count_of(r, "done"));
    }
    if (!more && r->all && (!phase || strcmp(phase, "rest"))) {
        json_object_set_new(r->cursor, "phase", json_string("rest"));
        more = 1;
    }
    tell(r, r->dry ? "planning" : "looking at deals");
    if (!more) {
        set_count(r, "of", count_of(r, "done"));
        end(r);
    }
}

static apr_status_t take_portion(resync_t *r, cs_result_t *res)
{
    const json_t *stood = cs_json_own(json_deep_copy(r->cursor), r->t->b->p);
    const char *phase = cs_json_str(r->cursor, "phase");
    apr_int64_t before = count_of(r, "done");
    apr_status_t rv;
    int more;

    cs_batch_pin_crms(r->t->b);
    more = phase && !strcmp(phase, "rest") ? collect_rest(r, res) : collect_listed(r, res);
    rv = r->rv == APR_SUCCESS ? look_at_portion(r, res) : r->rv;
    if (rv == APR_SUCCESS && r->b->stopped) {
        stop(r, stood);
    }
    else if (rv == APR_SUCCESS) {
        go_on(r, more, before);
    }
    return rv;
}

/* ---- one deal ---- */

static int is_guid(const char *id)
{
    return strlen(id) == 36 && strspn(id, "0123456789abcdefABCDEF-") == 36;
}

static const char *lower_case(const char *text, apr_pool_t *p)
{
    char *lower = apr_pstrdup(p, text), *c;

    for (c = lower; *c; ++c) {
        *c = (char)apr_tolower(*c);
    }
    return lower;
}

static apr_status_t take_one(resync_t *r, cs_result_t *res)
{
    cs_ahead_own_t own = {0};
    cs_deal_t *deal = NULL;
    cs_item_t *item;
    apr_status_t rv = cs_job_find_deal(r->t, r->id, &deal, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!deal && !is_guid(r->id)) {
        cs_job_failed(r->t, "no deal has the number, referral, engagement or record id \"%.80s\"",
                      r->id);
        return rv;
    }
    cs_batch_pin_crms(r->t->b);
    set_count(r, "of", 1);
    own.id = deal ? NULL : lower_case(r->id, r->t->b->p);
    if (is_left_to_its_look(r, name_of(r, deal, own.id), res)) {
        count(r, "later", 1);
    }
    else if (r->rv == APR_SUCCESS) {
        item = cs_item_new(r->b, new_work(r, name_of(r, deal, own.id)));
        item->deal = deal;
        item->asked = own.id;
        item->by_job = 1;
        APR_ARRAY_PUSH(r->b->items, cs_item_t *) = item;
        r->rv = look_at_portion(r, res);
    }
    if (r->rv == APR_SUCCESS) {
        end(r);
    }
    return r->rv;
}

/* ---- the job ---- */

static void begin(resync_t *r)
{
    const char *since = cs_json_str(r->t->arguments, "since");
    apr_time_t floor = 0;

    if (json_object_get(r->cursor, "floor")) {
        return;
    }
    if (since) {
        since_of(since, r->t->b->now, &floor);
    }
    json_object_set_new(r->cursor, "floor", json_integer(floor));
    json_object_set_new(r->cursor, "phase", json_string("listed"));
    if (!r->dry) {
        cs_brake_begin_job(r->t->b->lane, r->t->id, r->t->b->changes, r->t->b->p);
    }
}

static apr_status_t turn(cs_job_turn_t *t, cs_result_t *res)
{
    resync_t r = {.t = t, .cursor = t->cursor};

    r.dry = cs_json_bool(t->arguments, "dry_run", 0);
    r.all = cs_json_bool(t->arguments, "all", 0);
    r.id = cs_json_str(t->arguments, "id");
    r.b = cs_batch_new(t->b->lane, t->b->p);
    r.b->job = t->id;
    r.b->dry = r.dry;
    begin(&r);
    if (has_to_wait(&r)) {
        return APR_SUCCESS;
    }
    json_object_del(r.cursor, "braked");
    if (r.id) {
        return take_one(&r, res);
    }
    r.ahead = cs_ahead_of(t->b->lane, cs_json_int(r.cursor, "floor", 0));
    if (!r.ahead) {
        return read_list(&r);
    }
    if (!count_of(&r, "of")) {
        apr_status_t rv = estimate(&r, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return take_portion(&r, res);
}

static const char *const members[] = {"all:b", "id:s", "since:s", "dry_run:b", NULL};
const cs_job_kind_t cs_job_resync = {"resync", members, NULL, check, turn, 1, 0};
