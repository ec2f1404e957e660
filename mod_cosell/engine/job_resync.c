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
 *    "misses": how often in a row the list did not answer
 *    "lines": {"<line>": n}     of a dry run: deals in which it would change
 *    "at": microseconds, "rate": deals per second, smoothed } */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "resync.h"

#define AGAIN apr_time_from_sec(5)
#define RETRY_BASE apr_time_from_sec(5)
#define RETRY_CAP apr_time_from_sec(300)

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

/* Deals per second, of the last turns above all. */
static void note_rate(cs_resync_t *r, apr_int64_t before)
{
    apr_time_t at = cs_json_int(r->cursor, "at", 0), now = cs_time_now();
    double rate = json_real_value(json_object_get(r->cursor, "rate")), this;

    if (at && now > at && now - at < apr_time_from_sec(300)) {
        this = (double)(cs_resync_count_of(r, "done") - before) * 1e6 / (double)(now - at);
        rate = rate > 0 ? rate * 0.8 + this * 0.2 : this;
        json_object_set_new(r->cursor, "rate", json_real((double)(long)(rate * 100) / 100));
    }
    cs_resync_set_count(r, "at", now);
}

static void copy_count(cs_resync_t *r, json_t *to, const char *name, const char *as)
{
    json_object_set_new(to, as, json_integer(cs_resync_count_of(r, name)));
}

static void tell_counts(cs_resync_t *r, json_t *to)
{
    copy_count(r, to, "changed", r->dry ? "would_change" : "changed");
    copy_count(r, to, "nothing", "nothing");
    copy_count(r, to, "failed", "failed");
    copy_count(r, to, "later", "later");
}

static void tell(cs_resync_t *r, const char *text)
{
    json_t *progress = r->t->progress, *rate = json_object_get(r->cursor, "rate");

    copy_count(r, progress, "done", "done");
    if (cs_resync_count_of(r, "of")) {
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

/* ---- how it ends ---- */

static const char *plural(apr_int64_t n, const char *one, const char *many, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT " %s", n, n == 1 ? one : many);
}

static const char *ending_words(const cs_resync_t *r, apr_pool_t *p)
{
    const char *text =
        apr_psprintf(p, "%s: %s %" APR_INT64_T_FMT ", %" APR_INT64_T_FMT " as they should be",
                     plural(cs_resync_count_of(r, "done"), "deal looked at", "deals looked at", p),
                     r->dry ? "would change" : "changed", cs_resync_count_of(r, "changed"),
                     cs_resync_count_of(r, "nothing"));

    if (cs_resync_count_of(r, "later")) {
        text = apr_psprintf(p, "%s, %" APR_INT64_T_FMT " left to looks of their own", text,
                            cs_resync_count_of(r, "later"));
    }
    if (cs_resync_count_of(r, "failed")) {
        text = apr_psprintf(p, "%s, %" APR_INT64_T_FMT " failed%s", text,
                            cs_resync_count_of(r, "failed"), r->dry ? "" : " and are repeated");
    }
    return r->dry ? apr_pstrcat(p, text, "; nothing was written", NULL) : text;
}

static void end(cs_resync_t *r)
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

static int is_down(cs_resync_t *r, const char *upstream)
{
    return cs_lane_suspension(r->t->b->lane, upstream) || cs_breaker_open(r->t->b->lane, upstream);
}

static int all_crms_down(cs_resync_t *r)
{
    int crm;

    for (crm = 0; crm < r->t->b->lane->site->ncrms; ++crm) {
        if (!is_down(r, cs_lane_upstream(r->t->b->lane, crm))) {
            return 0;
        }
    }
    return 1;
}

static void wait_until(cs_resync_t *r, apr_time_t at, const char *why)
{
    json_object_set_new(r->t->progress, "waits", json_string(why));
    cs_resync_set_count(r, "at", 0);
    cs_job_wait(r->t, at);
}

static void wait_for(cs_resync_t *r, const char *why)
{
    wait_until(r, r->t->b->now + AGAIN, why);
}

/* 1 = not now. */
static int has_to_wait(cs_resync_t *r)
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

/* It goes on by itself once the list answers again, however long that takes: a person may cancel
 * it. */
static void list_failed(cs_resync_t *r, const cs_result_t *result)
{
    int misses = (int)cs_resync_count_of(r, "misses");
    apr_time_t at = r->t->b->now + cs_backoff(misses, RETRY_BASE, RETRY_CAP, AGAIN);

    if (result->cls != CS_CLASS_RETRY && result->cls != CS_CLASS_UNKNOWN &&
        result->cls != CS_CLASS_THROTTLED) {
        cs_job_trouble(r->t, CS_UPSTREAM_PC, result);
        return;
    }
    cs_resync_set_count(r, "misses", misses < 20 ? misses + 1 : misses);
    wait_until(r, result->retry_at > at ? result->retry_at : at,
               apr_pstrcat(r->t->b->p, CS_UPSTREAM_PC ": ",
                           result->detail ? result->detail : "no reason given", NULL));
}

static apr_status_t read_list(cs_resync_t *r)
{
    cs_lane_t *lane = r->t->b->lane;
    cs_result_t result;
    int ready, pages, cards = 0;

    cs_ahead_read(lane, cs_json_int(r->cursor, "floor", 0), &ready, &result, r->t->b->p);
    pages = cs_ahead_pages(lane, &cards);
    tell(r, apr_psprintf(r->t->b->p, "reading Partner Center's list: %s on %s",
                         plural(cards, "referral", "referrals", r->t->b->p),
                         plural(pages, "page", "pages", r->t->b->p)));
    if (result.cls == CS_CLASS_OK) {
        cs_resync_set_count(r, "misses", 0);
    }
    else {
        list_failed(r, &result);
    }
    return APR_SUCCESS;
}

/* What the list shows, and what else is known; it shows nearly all of that. */
static apr_status_t estimate(cs_resync_t *r, cs_result_t *res)
{
    apr_int64_t listed = cs_ahead_count(r->ahead);
    apr_status_t rv = APR_SUCCESS;
    cs_store_counts_t counts;

    if (r->all) {
        rv = cs_store_counts(r->t->b->lane->store, r->t->b->lane->site->name, &counts, r->t->b->p,
                             res);
        listed = rv == APR_SUCCESS && counts.deals > listed ? counts.deals : listed;
    }
    cs_resync_set_count(r, "of", listed);
    return rv;
}

/* The portion is abandoned whole, so that it is taken again as it was. */
static void stop(cs_resync_t *r, const json_t *stood)
{
    const char *why = r->b->stopped;

    json_object_clear(r->cursor);
    json_object_update(r->cursor, (json_t *)stood);
    json_object_set_new(r->cursor, "braked", json_string(why));
    tell(r, "held: too much would change; release the brake `resync`, or cancel");
    wait_for(r, why);
}

static void go_on(cs_resync_t *r, int more, apr_int64_t before)
{
    const char *phase = cs_json_str(r->cursor, "phase");

    note_rate(r, before);
    if (cs_resync_count_of(r, "of") < cs_resync_count_of(r, "done")) {
        cs_resync_set_count(r, "of", cs_resync_count_of(r, "done"));
    }
    if (!more && r->all && (!phase || strcmp(phase, "rest"))) {
        json_object_set_new(r->cursor, "phase", json_string("rest"));
        more = 1;
    }
    tell(r, r->dry ? "planning" : "looking at deals");
    if (!more) {
        cs_resync_set_count(r, "of", cs_resync_count_of(r, "done"));
        end(r);
    }
}

static apr_status_t take_portion(cs_resync_t *r, cs_result_t *res)
{
    const json_t *stood = cs_json_own(json_deep_copy(r->cursor), r->t->b->p);
    const char *phase = cs_json_str(r->cursor, "phase");
    apr_int64_t before = cs_resync_count_of(r, "done");
    apr_status_t rv;
    int more;

    cs_batch_pin_crms(r->t->b);
    more = phase && !strcmp(phase, "rest") ? cs_resync_collect_rest(r, res)
                                           : cs_resync_collect_listed(r, res);
    rv = r->rv == APR_SUCCESS ? cs_resync_look(r, res) : r->rv;
    if (rv == APR_SUCCESS && r->b->stopped) {
        stop(r, stood);
    }
    else if (rv == APR_SUCCESS) {
        go_on(r, more, before);
    }
    return rv;
}

/* ---- one deal ---- */

static apr_status_t take_one(cs_resync_t *r, cs_result_t *res)
{
    const char *referral = cs_job_referral_of(r->id, r->t->b->p);
    cs_deal_t *deal = NULL;
    int many;
    apr_status_t rv = cs_job_find_deal(r->t, r->id, &deal, &many, res);

    if (rv != APR_SUCCESS || many) {
        return rv;
    }
    if (!deal && !referral) {
        cs_job_no_deal(r->t, r->id);
        return rv;
    }
    cs_batch_pin_crms(r->t->b);
    cs_resync_set_count(r, "of", 1);
    cs_resync_collect_one(r, deal, referral, res);
    rv = r->rv == APR_SUCCESS ? cs_resync_look(r, res) : r->rv;
    if (rv == APR_SUCCESS) {
        end(r);
    }
    return rv;
}

/* ---- the job ---- */

/* The brake counts what one of them changes. */
static apr_status_t find_rival(cs_resync_t *r, int *pwaits, cs_result_t *res)
{
    cs_lane_t *lane = r->t->b->lane;
    const char *other = lane->brake_job.cause;
    cs_job_t *job = NULL;
    apr_status_t rv = APR_SUCCESS;

    if (!r->dry && *other && strcmp(other, r->t->id)) {
        rv = cs_store_job_get(lane->store, lane->site->name, other, &job, r->t->b->p, res);
    }
    if (rv == CS_EPARSE) {
        cs_result_clear(res); /* it fails by itself */
        rv = APR_SUCCESS;
    }
    *pwaits = job && (job->state == CS_JOB_WAITING || job->state == CS_JOB_RUNNING);
    if (*pwaits) {
        wait_for(r, apr_psprintf(r->t->b->p, "the resync %s goes first", other));
    }
    return rv;
}

static void begin(cs_resync_t *r)
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
    cs_resync_t r = {.t = t, .cursor = t->cursor};
    apr_status_t rv;
    int waits;

    r.dry = cs_json_bool(t->arguments, "dry_run", 0);
    r.all = cs_json_bool(t->arguments, "all", 0);
    r.id = cs_json_str(t->arguments, "id");
    r.b = cs_batch_new(t->b->lane, t->b->p);
    r.b->job = t->id;
    r.b->dry = r.dry;
    rv = find_rival(&r, &waits, res);
    if (rv != APR_SUCCESS || waits) {
        return rv;
    }
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
    if (!cs_resync_count_of(&r, "of")) {
        rv = estimate(&r, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return take_portion(&r, res);
}

static const char *const members[] = {"all:b", "id:s", "since:s", "dry_run:b", NULL};
const cs_job_kind_t cs_job_resync = {"resync", members, NULL, check, turn, 1, 0};
