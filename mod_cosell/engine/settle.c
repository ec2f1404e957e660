/* engine/settle.c: stage 7: images, journal and work in one transaction; or again later, with the
 * reason. (design 6) */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/json.h"
#include "../base/log.h"
#include "ahead.h"
#include "apply.h"

#define CONFLICTS_AT_ONCE 5
#define GIVE_UP apr_time_from_sec(75 * 3600)
#define GIVE_UP_ATTEMPTS 12
#define NOT_YET_VISIBLE apr_time_from_sec(3600)
#define RETRY_BASE apr_time_from_sec(1)
#define RETRY_CAP apr_time_from_sec(300)
#define RETRY_FLOOR apr_time_from_msec(100)
#define SAME_500_MAX 3
#define UNHEARD apr_time_from_sec(120)
#define PROBLEM_STALE "pc:stale"
#define PROBLEM_STALE_CRM "crm:stale"
#define PROBLEM_OLDER "older"
#define PROBLEM_UNTOLD "deal:untold"
#define UNTOLD_MAX 2 /* looks in a row for the sake of what the seller reads */
#define NEXT_LOOK apr_time_from_sec(900)
#define NEXT_LOOK_MAX apr_time_from_sec(12 * 3600)

/* A look that read an older version than the notice spoke of is repeated after these, then it
 * counts. (design 2) */
static const int stale_waits[] = {5, 30, 120, 600};
#define STALE_MAX ((int)(sizeof(stale_waits) / sizeof(stale_waits[0])))

typedef enum { NEXT_DONE, NEXT_LATER, NEXT_DEAD, NEXT_SUSPENDED } next_e;

/* ---- what follows from a failure ---- */

static apr_interval_time_t waiting_since(const cs_batch_t *b, const cs_item_t *item)
{
    return item->work->first && item->work->first < b->now ? b->now - item->work->first : 0;
}

static next_e retry_later(const cs_batch_t *b, cs_item_t *item)
{
    cs_work_t *work = item->work;

    /* Also what never reached the other end: a refused connection repeated each second by every
     * deal would be a storm. What the limiter kept back is of class throttled and costs nothing. */
    ++work->attempts;
    if (work->attempts >= GIVE_UP_ATTEMPTS && waiting_since(b, item) > GIVE_UP) {
        return NEXT_DEAD;
    }
    work->due = b->now + cs_backoff(work->attempts - 1, RETRY_BASE, RETRY_CAP, RETRY_FLOOR);
    if (item->result.retry_at > work->due) {
        work->due = item->result.retry_at;
    }
    if (item->unheard && work->due < b->now + UNHEARD) {
        /* What was sent may yet be made, and no key would let a second one find it. */
        work->due = b->now + UNHEARD;
    }
    return NEXT_LATER;
}

/* An error the CRM's own code names, again and again the same, is a refusal and no passing fault.
 */
static int same_internal_error(const cs_item_t *item)
{
    const char *problem = item->result.problem;

    return problem && !strncmp(problem, "internal:", 9) && item->work->problem &&
           !strcmp(item->work->problem, problem) && item->work->attempts >= SAME_500_MAX - 1;
}

static next_e after_conflict(const cs_batch_t *b, cs_item_t *item)
{
    cs_count(CS_COUNT_CONFLICTS, 1);
    if (item->work->attempts < CONFLICTS_AT_ONCE) {
        ++item->work->attempts;
        item->work->due = b->now;
        return NEXT_LATER;
    }
    return retry_later(b, item);
}

/* The next look reads that row: one of ours is updated then. Refused again for the same reason it
 * is not ours, and a person must decide. (deals 1) */
static next_e after_duplicate(const cs_batch_t *b, cs_item_t *item)
{
    const char *problem = item->result.problem;

    return problem && item->work->problem && !strcmp(problem, item->work->problem)
               ? NEXT_DEAD
               : after_conflict(b, item);
}

static int from_partner_center(const cs_item_t *item)
{
    return item->upstream && !strcmp(item->upstream, CS_UPSTREAM_PC);
}

/* The card of somebody else in an engagement that no deal knows. */
static int is_counterpart(const cs_item_t *item)
{
    return from_partner_center(item) && !item->deal && item->related_only;
}

/* This card is not for us; what is wrong with the sign-in itself says so by these names. */
static int is_forbidden(const cs_result_t *res)
{
    return res->problem && (!strcmp(res->problem, "http:403") ||
                            (!strncmp(res->problem, "pc:", 3) && strcmp(res->problem, "pc:mfa") &&
                             strcmp(res->problem, "pc:unauthenticated")));
}

/* A referral may be not yet visible to us; a CRM row that vanished under our write shows itself at
 * the next look. */
static next_e after_gone(const cs_batch_t *b, cs_item_t *item)
{
    if (!from_partner_center(item)) {
        return after_conflict(b, item);
    }
    if (is_counterpart(item)) {
        return NEXT_DONE;
    }
    if (waiting_since(b, item) >= NOT_YET_VISIBLE) {
        return NEXT_DEAD;
    }
    return retry_later(b, item);
}

static next_e after_failure(const cs_batch_t *b, cs_item_t *item)
{
    switch (item->result.cls) {
    case CS_CLASS_THROTTLED:
        item->work->due =
            item->result.retry_at > b->now ? item->result.retry_at : b->now + apr_time_from_sec(1);
        return NEXT_LATER;
    case CS_CLASS_CONFLICT:
        return after_conflict(b, item);
    case CS_CLASS_DUPLICATE:
        return after_duplicate(b, item);
    case CS_CLASS_GONE:
        return after_gone(b, item);
    case CS_CLASS_DATA:
    case CS_CLASS_REFUSED:
        /* A counterpart's card that we may not read is none of ours. */
        return is_counterpart(item) ? NEXT_DONE : NEXT_DEAD;
    case CS_CLASS_TOKEN:
        return NEXT_SUSPENDED;
    case CS_CLASS_SUSPEND:
        return is_counterpart(item) && is_forbidden(&item->result) ? NEXT_DONE : NEXT_SUSPENDED;
    default:
        return same_internal_error(item) ? NEXT_DEAD : retry_later(b, item);
    }
}

/* ---- into changes ---- */

static void describe_problem(cs_item_t *item)
{
    item->work->problem_class = cs_class_name(item->result.cls);
    item->work->problem = item->result.problem;
    item->work->detail = item->result.detail;
}

static cs_change_t *work_change(cs_batch_t *b, cs_item_t *item, cs_change_e kind)
{
    cs_change_t *change = cs_batch_change(b, kind);

    change->work = item->work;
    change->at = b->now;
    return change;
}

/* A repeat is no notice: only what this look has not worked on wakes refused lines again. */
static void mark_seen(cs_item_t *item)
{
    apr_int64_t seen = item->work->done + item->covered;

    item->work->seen = seen > item->work->seen ? seen : item->work->seen;
}

/* 1 when the look came as far as writing, or found that it need not. */
static int has_worked(const cs_item_t *item)
{
    int i;

    for (i = 0; item->plan && i < item->plan->steps->nelts; ++i) {
        if (item->applied[i].done || item->applied[i].refused) {
            return 1;
        }
    }
    return !item->over && item->plan && !item->plan->stale;
}

static void work_done(cs_batch_t *b, cs_item_t *item)
{
    work_change(b, item, CS_CHANGE_WORK_DONE)->value = item->work->done + item->covered;
}

static void work_later(cs_batch_t *b, cs_item_t *item)
{
    cs_change_t *change;

    describe_problem(item);
    if (has_worked(item)) {
        mark_seen(item);
    }
    change = work_change(b, item, CS_CHANGE_WORK_LATER);
    change->at = item->work->due;
    change->result = &item->result;
}

static void give_up(cs_batch_t *b, cs_item_t *item)
{
    const char *what = item->deal   ? cs_deal_words(item->deal, b->p)
                       : item->asked ? apr_pstrcat(b->p, "referral ", item->asked, NULL)
                                     : item->work->name;
    const char *why = item->result.detail ? item->result.detail : item->result.problem;

    int said = item->again && item->work->detail && item->result.detail &&
               !strcmp(item->work->detail, item->result.detail);

    item->work->state = CS_WORK_DEAD;
    item->work->due = b->now;
    mark_seen(item);
    if (said) {
        /* A look that nobody asked for found it as it was. */
        work_later(b, item);
        return;
    }
    cs_item_journal(b, item, "dead", "failed", why);
    cs_count(CS_COUNT_DEAD, 1);
    cs_log(CS_LOG_WARNING, 0, b->lane->site->name,
           CSLOGNO(2040) "gave up on %s after %d attempts: %s (%s)", what,
           item->work->attempts + 1, why ? why : "no reason",
           item->result.problem ? item->result.problem : "?");
    work_later(b, item);
}

static void wait_for_upstream(cs_batch_t *b, cs_item_t *item)
{
    item->work->state = CS_WORK_SUSPENDED;
    item->work->upstream = item->upstream;
    item->work->due = b->now;
    if (!strncmp(item->upstream, CS_BRAKE, sizeof(CS_BRAKE) - 1)) {
        mark_seen(item);
    }
    cs_lane_suspend(b->lane, item->upstream, &item->result, b->changes, b->p);
    work_later(b, item);
}

static void after_a_failed_look(cs_batch_t *b, cs_item_t *item)
{
    ++b->failed;
    cs_count(CS_COUNT_LOOKS_FAILED, 1);
    switch (after_failure(b, item)) {
    case NEXT_DONE:
        cs_batch_ask_for_list(b, item);
        work_done(b, item);
        break;
    case NEXT_LATER:
        work_later(b, item);
        break;
    case NEXT_DEAD:
        give_up(b, item);
        break;
    case NEXT_SUSPENDED:
        wait_for_upstream(b, item);
        break;
    }
}

/* How often this very version was waited for: a newer one that a notice brings meanwhile has all
 * the waits for itself. */
static int stale_looks(const cs_item_t *item, const char *problem, const char *detail)
{
    const cs_work_t *work = item->work;

    return work->problem && !strcmp(work->problem, problem) && work->detail &&
                   !strcmp(work->detail, detail)
               ? work->attempts
               : 0;
}

static const char *stale_problem(const cs_item_t *item)
{
    return item->unseen_at && strcmp(item->unseen_at, CS_UPSTREAM_PC) ? PROBLEM_STALE_CRM
                                                                      : PROBLEM_STALE;
}

static const char *stale_detail(const cs_batch_t *b, const cs_item_t *item)
{
    return apr_psprintf(b->p, "read an older version than that of %s, which a notice spoke of",
                        cs_time_format(item->unseen, b->p));
}

/* What is older than what was settled is no answer: the look is repeated as if it had not been. */
static int look_again_for_answer(cs_batch_t *b, cs_item_t *item)
{
    if (!item->plan || !item->plan->stale) {
        return 0;
    }
    cs_result_set(&item->result, b->p, CS_ESTALE, CS_CLASS_OK, PROBLEM_OLDER, "%s",
                  item->plan->why);
    item->work->due = item->plan->look_at;
    work_later(b, item);
    return 1;
}

static int look_again_for_hint(cs_batch_t *b, cs_item_t *item)
{
    const char *detail;
    int seen;

    if (!item->unseen) {
        return 0;
    }
    detail = stale_detail(b, item);
    seen = stale_looks(item, stale_problem(item), detail);
    if (seen >= STALE_MAX) {
        cs_item_journal(b, item, "stale", "failed",
                        "the version that the notice spoke of was not seen; what was read counts");
        return 0;
    }
    /* The look itself went well, so that a newer notice need not wait out this pause. */
    cs_result_set(&item->result, b->p, CS_ESTALE, CS_CLASS_OK, stale_problem(item), "%s", detail);
    item->work->attempts = seen + 1;
    item->work->due = b->now + apr_time_from_sec(stale_waits[seen]);
    work_later(b, item);
    return 1;
}

/* What writing found out (a line that waits or was refused, or no longer is) the seller reads only
 * after another look. */
static int look_again_to_tell(cs_batch_t *b, cs_item_t *item)
{
    cs_work_t *work = item->work;
    int times = work->problem && !strcmp(work->problem, PROBLEM_UNTOLD) ? work->attempts : 0;

    if (!item->untold || times >= UNTOLD_MAX) {
        return 0;
    }
    cs_result_set(&item->result, b->p, APR_SUCCESS, CS_CLASS_OK, PROBLEM_UNTOLD,
                  "what this look found out is told by the next");
    work->attempts = times + 1;
    work->due = b->now;
    work_later(b, item);
    return 1;
}

/* A look done well, possibly on old news. */
static void after_a_good_look(cs_batch_t *b, cs_item_t *item)
{
    if (!look_again_for_answer(b, item) && !look_again_for_hint(b, item) &&
        !look_again_to_tell(b, item)) {
        work_done(b, item);
        item->well = 1;
    }
}

/* ---- the deal ---- */

static int newly_linked(const cs_item_t *item, const cs_deal_t *before)
{
    return item->deal->record_id && before->state == CS_DEAL_NEW &&
           (item->deal->state == CS_DEAL_LINKED || item->deal->state == CS_DEAL_CLOSED);
}

/* What was read of a record that is not this deal's is no image of it: it is met again. */
static void forget_record(cs_batch_t *b, cs_deal_t *deal)
{
    deal->images = cs_json_own(json_object(), b->p);
    deal->intent = NULL;
    deal->told = NULL;
    deal->crm_version = deal->pc_status = NULL;
}

static apr_status_t alias_record(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    cs_change_t *change;
    int parked;
    apr_status_t rv = cs_settle_holder(b, item, &parked, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (parked && !item->moved) {
        forget_record(b, item->deal);
    }
    if (parked) {
        return rv;
    }
    change = cs_batch_change(b, CS_CHANGE_ALIAS);
    change->deal = item->deal;
    change->system = item->deal->crm;
    change->name = item->deal->record_id;
    return APR_SUCCESS;
}

/* The record has turned into another: the former one's alias stays. */
static int has_moved(const cs_item_t *item, const cs_deal_t *before)
{
    return item->deal->record_id && before->record_id && before->kind && item->deal->kind &&
           strcmp(item->deal->kind, before->kind) != 0;
}

/* Why a line waits or was refused, when somebody can do something about it; NULL = it does not. */
static json_t *note_of(const json_t *image)
{
    json_t *waits = json_object_get(image, "waits");

    return waits && !json_is_true(json_object_get(waits, "idle"))
               ? waits
               : json_object_get(image, "refused");
}

/* {"<line>": why it waits or was refused} */
static json_t *left_out(const cs_deal_t *deal, apr_pool_t *p)
{
    json_t *out = cs_json_own(json_object(), p), *image;
    const char *line;

    json_object_foreach(deal->images, line, image) {
        json_t *note = note_of(image);
        if (note) {
            json_object_set(out, line, json_object_get(note, "why"));
        }
    }
    return out;
}

/* A record that was made by halves is there all the same: should somebody delete it before the rest
 * is written, it is not made again. Its intent stays, for the rest is still ours to write. */
static void keep_made(cs_batch_t *b, cs_item_t *item)
{
    cs_journal_t *j;

    if (!item->made || item->deal->state != CS_DEAL_NEW) {
        return;
    }
    item->deal->state = CS_DEAL_LINKED;
    j = cs_item_journal(b, item, "create", "done", "made, but not all of it could be written yet");
    j->direction = "to_crm";
    j->to = cs_json_own(
        json_pack("{s:s*, s:s*}", "table", item->deal->table, "id", item->deal->record_id), b->p);
}

static apr_status_t settle_deal(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    cs_deal_t before = *item->deal;
    apr_status_t rv;

    item->look.deal = &before;
    rv = cs_reconcile_settle(item->deal, item->journal, item->plan, &item->look, item->applied,
                             b->p, b->p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    keep_made(b, item);
    if (before.state == CS_DEAL_PARKED) {
        /* By the look of another deal that was settled just before. */
        item->deal->state = CS_DEAL_PARKED;
        item->deal->problem = before.problem;
        cs_deal_cause(item->deal, "parked two", "Two referrals name one record", b->p);
    }
    item->deal->updated = b->now;
    item->untold = !json_equal(left_out(&before, b->p), left_out(item->deal, b->p));
    cs_batch_change(b, CS_CHANGE_DEAL)->deal = item->deal;
    item->moved = has_moved(item, &before);
    return item->moved || item->adopted || newly_linked(item, &before)
               ? alias_record(b, item, res)
               : APR_SUCCESS;
}

/* ---- the next look ---- */

static int waits_or_refused(const cs_deal_t *deal)
{
    const char *line;
    json_t *image;

    json_object_foreach(deal->images, line, image) {
        if (note_of(image)) {
            return 1;
        }
    }
    return 0;
}

static int is_held(const cs_item_t *item)
{
    return item->over && !item->quiet && item->result.problem &&
           !strcmp(item->result.problem, "lookup:held");
}

/* A record that lacks something for becoming a referral. What it lacks may come without a notice: a
 * look-up's row, what the CRM tells about its tables. */
static int lacks_inputs(const cs_item_t *item)
{
    const char *status = item->deal->status;

    return !item->deal->referral_id && item->deal->record_id && status &&
           !strcmp(status, "Waiting");
}

/* What waits for somebody in the CRM is tried again without being asked, ever more rarely; a notice
 * begins anew. What waits for time alone is looked at when it has come, if that is sooner. */
static void plan_next_look(cs_batch_t *b, cs_item_t *item)
{
    cs_deal_t *deal = item->deal;
    apr_time_t at = item->plan->stale ? 0 : item->plan->look_at; /* that is its work's */
    apr_interval_time_t pause;

    int alive = deal->state == CS_DEAL_NEW || deal->state == CS_DEAL_LINKED;

    deal->next_look = alive ? at : 0;
    if (!alive || (!waits_or_refused(deal) && !is_held(item) && !lacks_inputs(item))) {
        deal->planned = 0;
        return;
    }
    deal->planned = item->notified || !item->again ? 0 : deal->planned + 1;
    pause = NEXT_LOOK << (deal->planned < 6 ? deal->planned : 6);
    pause = pause < NEXT_LOOK_MAX ? pause : NEXT_LOOK_MAX;
    deal->next_look = at && at < b->now + pause ? at : b->now + pause;
}

/* ---- how long it took ---- */

static int only_tells(const cs_step_t *step)
{
    return step->lines && step->lines->nelts == 1 &&
           !strcmp(APR_ARRAY_IDX(step->lines, 0, const char *), CS_LINE_TELL);
}

/* From the oldest notice that this look was for to the other side. */
static void observe(const cs_item_t *item)
{
    int i, wrote[2] = {0, 0};

    for (i = 0; i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        wrote[cs_step_is_pc(step)] |= item->applied[i].done && !item->applied[i].found &&
                                      !only_tells(step);
    }
    if (!item->notified || !item->work->first) {
        return;
    }
    if (wrote[0]) {
        cs_lag_observe(CS_LAG_TO_CRM, cs_time_now() - item->work->first);
    }
    if (wrote[1]) {
        cs_lag_observe(CS_LAG_TO_PC, cs_time_now() - item->work->first);
    }
}

void cs_item_journal_store(cs_batch_t *b, cs_item_t *item)
{
    int i;

    for (i = 0; i < item->journal->nelts; ++i) {
        cs_journal_t *journal = APR_ARRAY_IDX(item->journal, i, cs_journal_t *);
        cs_change_t *change = cs_batch_change(b, CS_CHANGE_JOURNAL);
        change->journal = journal;
        change->deal = item->copy_of ? item->copy_of : item->deal;
        journal->calls = journal->calls ? journal->calls : item->calls;
        journal->took = journal->took ? journal->took : item->took;
        journal->correlation = cs_item_correlation(
            b, item, journal->correlation ? journal->correlation : item->correlation);
    }
    apr_array_clear(item->journal);
}

/* What the CRM refuses for its data, metadata may have foreseen. */
static void doubt_metadata(cs_batch_t *b, const cs_item_t *item)
{
    int i;

    for (i = 0; item->plan && i < item->plan->steps->nelts; ++i) {
        const cs_applied_t *applied = &item->applied[i];
        const char *problem = applied->result.problem;
        if (cs_step_is_pc(APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *))) {
            continue;
        }
        if (applied->refused || (applied->tried && applied->result.cls == CS_CLASS_DATA) ||
            (problem && !strncmp(problem, "config:", 7))) {
            cs_metadata_doubt(b->lane, item->crm);
        }
    }
}

/* No deal is kept of a copy: what was done to it stands in the journal of the deal it was made of.
 */
static void settle_copy(cs_batch_t *b, cs_item_t *item)
{
    int i, done = item->plan->what == CS_PLAN_STEPS;

    for (i = 0; i < item->plan->steps->nelts; ++i) {
        done &= !APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *)->send || item->applied[i].done;
    }
    if (done) {
        cs_item_journal(b, item, "copy", "done",
                        apr_psprintf(b->p, "%s %s: %s", item->deal->table, item->deal->record_id,
                                     item->plan->why ? item->plan->why
                                                     : "a copy of this deal's record"))
            ->direction = "to_crm";
    }
}

static void look_again_at_once(cs_batch_t *b, const cs_item_t *item)
{
    if ((item->moved || item->posted) && item->deal->id) {
        cs_batch_look_at(b, apr_psprintf(b->p, "deal:%" APR_INT64_T_FMT, item->deal->id),
                         item->trace);
    }
}


static int is_alive(cs_deal_state_e state)
{
    return state == CS_DEAL_NEW || state == CS_DEAL_LINKED || state == CS_DEAL_PARKED;
}

/* What a person chose is not asked for again once the rows that were meant are in the record, or
 * the deal has ended. */
static void drop_choice(cs_batch_t *b, const cs_item_t *item, cs_deal_state_e was)
{
    const cs_deal_t *deal = item->deal;
    int used = item->chosen && !item->over && deal->state == CS_DEAL_LINKED &&
               !waits_or_refused(deal);

    if (deal->id && (used || (is_alive(was) && !is_alive(deal->state)))) {
        cs_lane_fact(cs_chosen_fact(deal->id, b->p), NULL, b->changes);
    }
}

static apr_status_t settle_item(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    cs_deal_state_e was = item->deal ? item->deal->state : CS_DEAL_NEW;
    apr_status_t rv = APR_SUCCESS;

    cs_count(CS_COUNT_LOOKS, 1);
    if (item->plan) {
        doubt_metadata(b, item);
        observe(item);
        if (item->copy_of) {
            settle_copy(b, item);
        }
        else {
            rv = settle_deal(b, item, res);
        }
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (item->put_off) {
        if (!item->untouched) {
            work_later(b, item);
        }
    }
    else if (item->over && !item->quiet) {
        after_a_failed_look(b, item);
    }
    else {
        if (item->plan && item->plan->what == CS_PLAN_NOTHING) {
            ++b->nothing;
            cs_count(CS_COUNT_LOOKS_NOTHING, 1);
        }
        after_a_good_look(b, item);
    }
    if (item->plan && !item->copy_of) {
        drop_choice(b, item, was);
        plan_next_look(b, item);
        cs_item_watch(b, item);
    }
    look_again_at_once(b, item);
    cs_item_journal_store(b, item);
    return APR_SUCCESS;
}

/* ---- in the log ---- */

static int ended_early(const cs_item_t *item)
{
    return item->work && item->over && !item->quiet && !item->put_off;
}

static const char *detail_of(const cs_item_t *item)
{
    return item->result.detail ? item->result.detail : "no detail";
}

static const char *problem_of(const cs_item_t *item)
{
    return item->result.problem ? item->result.problem : cs_class_name(item->result.cls);
}

/* How many items from the first on ended for the reason that item i did; 0 = one before it did. */
static int count_alike(const cs_batch_t *b, int i, int settled)
{
    const cs_item_t *item = APR_ARRAY_IDX(b->items, i, const cs_item_t *);
    int j, n = 0;

    for (j = 0; j < settled; ++j) {
        const cs_item_t *other = APR_ARRAY_IDX(b->items, j, const cs_item_t *);
        if (!ended_early(other) || strcmp(detail_of(other), detail_of(item)) ||
            strcmp(problem_of(other), problem_of(item))) {
            continue;
        }
        if (j < i) {
            return 0;
        }
        ++n;
    }
    return n;
}

/* One line for each reason: what stops a whole batch has a long one. */
static void log_ended(const cs_batch_t *b, int settled)
{
    int i;

    for (i = 0; i < settled; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(b->items, i, const cs_item_t *);
        int n = ended_early(item) ? count_alike(b, i, settled) : 0;
        if (n) {
            cs_log(CS_LOG_INFO, 0, b->lane->site->name, CSLOGNO(2041) "%s ended early: %s (%s)",
                   n == 1 ? apr_pstrcat(b->p, "look at ", item->work->name, NULL)
                          : apr_psprintf(b->p, "%d looks, that at %s first,", n, item->work->name),
                   detail_of(item), problem_of(item));
        }
    }
}

apr_status_t cs_batch_commit(cs_batch_t *b, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(b->lane);
    apr_status_t rv = APR_SUCCESS;

    if (b->changes->nelts) {
        rv = cs_store_write(b->lane->store, &lease, b->changes, b->p, res);
        apr_array_clear(b->changes);
    }
    return rv;
}

/* What was only going to be stored must not be skipped by those who repeat it. */
static void note_settled(const cs_batch_t *b)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->well && item->plan && !item->copy_of && item->deal->id) {
            cs_ahead_settled(b->lane, item->deal->id);
        }
    }
}

apr_status_t cs_batch_settle(cs_batch_t *b, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(b->lane);
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->work) {
            rv = settle_item(b, item, res);
        }
    }
    log_ended(b, rv == APR_SUCCESS ? i : i - 1);
    if (rv == APR_SUCCESS) {
        cs_batch_breakers(b);
    }
    if (rv == APR_SUCCESS && b->changes->nelts) {
        rv = cs_store_write(b->lane->store, &lease, b->changes, b->p, res);
        apr_array_clear(b->changes);
    }
    if (rv == APR_SUCCESS) {
        note_settled(b);
        CS_CRASH_POINT("look-settled");
    }
    return rv;
}
