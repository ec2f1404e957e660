/* engine/brake.c: a cause that would change many deals at once is paused before it does. (design
 * 6)
 *
 * Bulk causes are a changed mapping, a resync, and a side that suddenly reads as missing. A deal's
 * first look under a mapping is by that mapping unless a notice asks for it. All plans of a batch
 * are made first; then those that only such a cause makes are counted, together with what the
 * cause has changed before; beyond max(20, 5 % of the site's deals) none of them is written. Their
 * work waits under a pseudo-upstream that nobody probes. A deal's own notice wakes that deal,
 * another mapping or a person ends the pause. Deals with causes of their own go on in the same
 * batch.
 *
 * And one deal: more than 12 looks within an hour that each write a value over what somebody else
 * had made of it meanwhile are a quarrel. The deal is held for the rest of the hour, or until a
 * person releases it: nothing is compared, and the seller reads until when. */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "apply.h"

#define LIMIT_LEAST 20
#define LIMIT_PERCENT 5
#define HOUR apr_time_from_sec(3600)
#define CROSSED_MAX 12
#define LINES_NAMED 3
#define BRAKE_JOB CS_BRAKE CS_BRAKE_RESYNC

/* ---- what the store says ---- */

static const char *mapping_fact(const cs_lane_t *lane, int crm, apr_pool_t *p)
{
    return apr_pstrcat(p, CS_BRAKE_MAPPING, ":", lane->site->crms[crm].cfg.name, NULL);
}

static const char *missing_name(const cs_lane_t *lane, int upstream, apr_pool_t *p)
{
    return apr_pstrcat(p, CS_BRAKE_MISSING, cs_lane_upstream(lane, upstream), NULL);
}

static void store_brake(const cs_lane_brake_t *brake, const char *name, apr_array_header_t *changes,
                        apr_pool_t *p)
{
    json_t *fact = cs_json_own(json_pack("{s:s, s:I, s:I}", "cause", brake->cause, "changed",
                                         (json_int_t)brake->changed, "released",
                                         (json_int_t)brake->released),
                               p);

    cs_lane_fact(name, cs_json_print(fact, p), changes);
}

static apr_status_t load_brake(cs_lane_t *lane, cs_lane_brake_t *brake, const char *name,
                               apr_pool_t *p, cs_result_t *res)
{
    const char *text, *cause;
    json_t *fact = NULL;
    apr_status_t rv = cs_store_meta_get(lane->store, lane->site->name, name, &text, p, res);

    memset(brake, 0, sizeof(*brake));
    if (rv != APR_SUCCESS || !text) {
        return rv;
    }
    cs_json_parse(&fact, text, strlen(text), NULL, p, NULL);
    cause = cs_json_str(fact, "cause");
    apr_cpystrn(brake->cause, cause ? cause : "", sizeof(brake->cause));
    brake->changed = cs_json_int(fact, "changed", 0);
    brake->released = cs_json_int(fact, "released", 0);
    json_decref(fact);
    return APR_SUCCESS;
}

/* The cause counts from nothing when it is another one. 1 if it is. */
static int begin_cause(cs_lane_brake_t *brake, const char *cause)
{
    if (!strcmp(brake->cause, cause)) {
        return 0;
    }
    apr_cpystrn(brake->cause, cause, sizeof(brake->cause));
    brake->changed = 0;
    return 1;
}

/* The brake of a CRM's mapping. */
static const char *mapping_name(const cs_lane_t *lane, int crm, apr_pool_t *p)
{
    return lane->site->ncrms > 1 ? mapping_fact(lane, crm, p) : CS_BRAKE_MAPPING;
}

int cs_brake_holds_mapping(const cs_lane_t *lane, int crm)
{
    const apr_size_t len = sizeof(CS_BRAKE_MAPPING) - 1;
    int i;

    for (i = 0; i < lane->suspended->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t).upstream;
        if (strncmp(name, CS_BRAKE_MAPPING, len)) {
            continue;
        }
        if (lane->site->ncrms == 1 ||
            (name[len] == ':' && !strcmp(name + len + 1, lane->site->crms[crm].cfg.name))) {
            return 1;
        }
    }
    return 0;
}

/* 1 for the brake of any CRM's mapping. */
static int is_of_mapping(const char *name)
{
    return !strncmp(name, CS_BRAKE_MAPPING, sizeof(CS_BRAKE_MAPPING) - 1);
}

/* A site that has more or fewer CRMs than it had calls them otherwise: what is still too much is
 * paused again under the new name. */
static void drop_renamed(cs_lane_t *lane, apr_array_header_t *changes, apr_pool_t *p)
{
    int i, crm;

    for (i = lane->suspended->nelts - 1; i >= 0; --i) {
        const char *name = APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t).upstream;
        int known = !is_of_mapping(name);
        for (crm = 0; crm < lane->site->ncrms; ++crm) {
            known |= !strcmp(name, mapping_name(lane, crm, p));
        }
        if (!known) {
            cs_lane_resume(lane, name, changes, p);
        }
    }
}

/* Another mapping releases what the former one was paused for. */
static void take_new_mappings(cs_lane_t *lane, apr_array_header_t *changes, apr_pool_t *p)
{
    int crm;

    for (crm = 0; crm < lane->site->ncrms; ++crm) {
        const cs_mapping_t *mapping = lane->site->crms[crm].mapping;
        const char *name = mapping_name(lane, crm, p);
        cs_lane_brake_t *brake = &lane->brake_mapping[crm];
        if (!mapping || !*brake->cause || !begin_cause(brake, cs_mapping_digest(mapping))) {
            continue;
        }
        brake->released = 0;
        store_brake(brake, mapping_fact(lane, crm, p), changes, p);
        if (cs_lane_suspension(lane, name)) {
            cs_log(CS_LOG_NOTICE, 0, lane->site->name,
                   CSLOGNO(2090) "%s is released: the mapping of %s is another one", name,
                   lane->site->crms[crm].cfg.name);
            cs_lane_resume(lane, name, changes, p);
        }
    }
}

apr_status_t cs_brake_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 4, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv = load_brake(lane, &lane->brake_missing[CS_LANE_PC],
                                 missing_name(lane, CS_LANE_PC, ptemp), ptemp, res);
    int crm;

    for (crm = 0; rv == APR_SUCCESS && crm < lane->site->ncrms; ++crm) {
        rv = load_brake(lane, &lane->brake_mapping[crm], mapping_fact(lane, crm, ptemp), ptemp,
                        res);
        if (rv == APR_SUCCESS) {
            rv = load_brake(lane, &lane->brake_missing[crm], missing_name(lane, crm, ptemp), ptemp,
                            res);
        }
    }
    if (rv == APR_SUCCESS) {
        rv = load_brake(lane, &lane->brake_job, BRAKE_JOB, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        drop_renamed(lane, changes, ptemp);
        take_new_mappings(lane, changes, ptemp);
    }
    if (rv == APR_SUCCESS && changes->nelts) {
        rv = cs_store_write(lane->store, &lease, changes, ptemp, res);
    }
    return rv;
}

/* ---- a person releases ---- */

static void release_one(cs_lane_t *lane, cs_lane_brake_t *brake, const char *fact, apr_time_t now,
                        apr_array_header_t *changes, apr_pool_t *p)
{
    (void)lane;
    brake->released = now;
    store_brake(brake, fact, changes, p);
}

int cs_brake_release(cs_lane_t *lane, const char *brake, apr_time_t now,
                     apr_array_header_t *changes, apr_pool_t *p)
{
    const char *name = apr_pstrcat(p, CS_BRAKE, brake, NULL);
    int i, found = 0;

    for (i = 0; i < CS_LANE_UPSTREAMS; ++i) {
        if (i != CS_LANE_PC && i >= lane->site->ncrms) {
            continue;
        }
        if (i != CS_LANE_PC && *lane->brake_mapping[i].cause &&
            !strcmp(name, mapping_name(lane, i, p))) {
            release_one(lane, &lane->brake_mapping[i], mapping_fact(lane, i, p), now, changes, p);
            found = 1;
        }
        if (!strcmp(name, missing_name(lane, i, p))) {
            release_one(lane, &lane->brake_missing[i], name, now, changes, p);
            found = 1;
        }
    }
    if (!strcmp(name, BRAKE_JOB) && *lane->brake_job.cause) {
        release_one(lane, &lane->brake_job, name, now, changes, p);
        found = 1;
    }
    cs_lane_resume(lane, name, changes, p);
    return found;
}

void cs_brake_begin_job(cs_lane_t *lane, const char *job, apr_array_header_t *changes,
                        apr_pool_t *p)
{
    if (begin_cause(&lane->brake_job, job)) {
        lane->brake_job.released = 0;
        store_brake(&lane->brake_job, BRAKE_JOB, changes, p);
        if (cs_lane_suspension(lane, BRAKE_JOB)) {
            cs_lane_resume(lane, BRAKE_JOB, changes, p);
        }
    }
}

void cs_brake_end_job(cs_lane_t *lane, const char *job, apr_array_header_t *changes, apr_pool_t *p)
{
    if (!strcmp(lane->brake_job.cause, job)) {
        memset(&lane->brake_job, 0, sizeof(lane->brake_job));
        cs_lane_fact(BRAKE_JOB, NULL, changes);
        if (cs_lane_suspension(lane, BRAKE_JOB)) {
            cs_lane_resume(lane, BRAKE_JOB, changes, p);
        }
    }
}

int cs_brake_holds_job(cs_lane_t *lane)
{
    return cs_lane_suspension(lane, BRAKE_JOB) != NULL;
}

/* ---- counting ---- */

/* How many steps go to Partner Center (1), or to the CRM (0). */
static int sends_to(const cs_item_t *item, int pc)
{
    int i, n = 0;

    for (i = 0; item->plan && item->plan->what == CS_PLAN_STEPS && i < item->plan->steps->nelts;
         ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        n += step->send && cs_step_is_pc(step) == pc;
    }
    return n;
}

static int sends(const cs_item_t *item)
{
    return sends_to(item, 0) || sends_to(item, 1);
}

static int is_by_mapping(const cs_item_t *item, int crm)
{
    return !item->over && item->work && item->crm == crm && item->by_mapping && sends(item);
}

/* It would send something, too, and is only put off for a moment: counted with the others, lest
 * they come apart in time and pass one by one. */
static int is_soon_by_mapping(const cs_item_t *item, int crm)
{
    return item->put_off && item->work && item->crm == crm && item->by_mapping;
}

/* What the mapping would change anyway its own brake counts; a repetition was counted. */
static int is_by_job(const cs_item_t *item, int upstream)
{
    (void)upstream;
    return !item->over && item->work && item->by_job && !item->by_mapping &&
           item->work->attempts == 0 && sends(item);
}

/* Its record would be made, or linked. */
static int is_new_to_job(const cs_item_t *item, int upstream)
{
    (void)upstream;
    return !item->over && item->work && item->meets && item->deal &&
           !item->deal->id && item->deal->state == CS_DEAL_NEW;
}

/* The record of a linked deal, or a deal's own referral. */
static int is_missing(const cs_item_t *item, int upstream)
{
    if (upstream == CS_LANE_PC) {
        return item->work && item->over && !item->quiet && item->deal && item->deal->id &&
               item->result.cls == CS_CLASS_GONE && item->upstream &&
               !strcmp(item->upstream, CS_UPSTREAM_PC);
    }
    return !item->over && item->work && item->crm == upstream && item->plan &&
           item->plan->what == CS_PLAN_GONE;
}

typedef int belongs_fn(const cs_item_t *item, int upstream);

/* A repeated look at what reads as missing is counted once. */
static int count_items(const cs_batch_t *b, belongs_fn *belongs, int upstream)
{
    int i, n = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        n += belongs(item, upstream) &&
             !(upstream == CS_LANE_PC && item->work->attempts > 0);
    }
    return n;
}

/* ---- in words ---- */

typedef struct named_t {
    const char *line;
    int n;
} named_t;

static int by_number(const void *a, const void *b)
{
    const named_t *one = a, *other = b;

    return one->n != other->n ? other->n - one->n : strcmp(one->line, other->line);
}

static void name_lines(apr_array_header_t *names, const cs_item_t *item)
{
    int i, j, k;

    for (i = 0; i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        for (j = 0; step->send && j < step->lines->nelts; ++j) {
            const char *line = APR_ARRAY_IDX(step->lines, j, const char *);
            for (k = 0; k < names->nelts && strcmp(APR_ARRAY_IDX(names, k, named_t).line, line);
                 ++k) {
            }
            if (k == names->nelts) {
                named_t *named = apr_array_push(names);
                named->line = line;
                named->n = 0;
            }
            ++APR_ARRAY_IDX(names, k, named_t).n;
        }
    }
}

/* What is no line of the mapping, in words. */
static const char *line_words(const char *line)
{
    return !strcmp(line, CS_LINE_TELL)    ? "what the seller reads"
           : !strcmp(line, CS_LINE_STATE) ? "the state"
                                          : line;
}

static const char *lines_words(const cs_batch_t *b, belongs_fn *belongs, int crm)
{
    apr_array_header_t *names = apr_array_make(b->p, 8, sizeof(named_t));
    const char *text = "";
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (belongs(item, crm)) {
            name_lines(names, item);
        }
    }
    qsort(names->elts, (size_t)names->nelts, sizeof(named_t), by_number);
    for (i = 0; i < names->nelts && i < LINES_NAMED; ++i) {
        const named_t *named = &APR_ARRAY_IDX(names, i, named_t);
        text = apr_psprintf(b->p, "%s%s%s (%d)", text, i ? ", " : ", most of them in ",
                            line_words(named->line), named->n);
    }
    return text;
}

/* ---- pausing ---- */

static apr_int64_t limit_of(apr_int64_t deals)
{
    apr_int64_t share = deals * LIMIT_PERCENT / 100;

    return share > LIMIT_LEAST ? share : LIMIT_LEAST;
}

static void journal_pause(cs_batch_t *b, const char *name, const char *why)
{
    cs_journal_t *journal = apr_pcalloc(b->p, sizeof(*journal));

    journal->at = b->now;
    journal->direction = "";
    journal->action = "pause";
    journal->outcome = "held";
    journal->why = apr_pstrcat(b->p, name, ": ", why, NULL);
    cs_batch_change(b, CS_CHANGE_JOURNAL)->journal = journal;
}

static void pause_items(cs_batch_t *b, belongs_fn *belongs, int upstream, const char *name,
                        const cs_result_t *why)
{
    int i;

    if (!cs_lane_suspension(b->lane, name)) {
        cs_lane_suspend(b->lane, name, why, b->changes, b->p);
        journal_pause(b, name, why->detail);
    }
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (belongs(item, upstream)) {
            /* Nothing of this look counts: what it would have done is planned again. */
            item->plan = NULL;
            cs_item_fail(item, name, why);
        }
    }
}

/* 1 when n more may be changed: they are counted in the transaction before their writes. */
static int may_change(cs_batch_t *b, cs_lane_brake_t *brake, const char *fact, const char *name,
                      int n, apr_int64_t limit)
{
    apr_interval_time_t ago = b->now - brake->released;
    int released = brake->released &&
                   (is_of_mapping(name) || !strcmp(name, BRAKE_JOB) || (ago >= 0 && ago < HOUR));

    if (!released && (brake->changed + n > limit || cs_lane_suspension(b->lane, name))) {
        return 0;
    }
    brake->changed += n;
    store_brake(brake, fact, b->changes, b->p);
    return 1;
}

static void brake_mapping(cs_batch_t *b, int crm, apr_int64_t deals)
{
    const cs_site_crm_t *site = &b->lane->site->crms[crm];
    cs_lane_brake_t *brake = &b->lane->brake_mapping[crm];
    const char *fact = mapping_fact(b->lane, crm, b->p);
    const char *name = mapping_name(b->lane, crm, b->p);
    int n = count_items(b, is_by_mapping, crm), soon = count_items(b, is_soon_by_mapping, crm);
    cs_result_t why = {0};

    if (!n) {
        return;
    }
    begin_cause(brake, cs_mapping_digest(site->mapping));
    if (may_change(b, brake, fact, name, n, limit_of(deals) - soon)) {
        return;
    }
    store_brake(brake, fact, b->changes, b->p);
    cs_result_set(&why, b->p, CS_EREMOTE, CS_CLASS_SUSPEND, CS_BRAKE_MAPPING,
                  "the changed mapping of %s (revision %s) would change at least %" APR_INT64_T_FMT
                  " of %" APR_INT64_T_FMT " deals%s; %" APR_INT64_T_FMT
                  " were changed and nothing more is until the mapping is corrected and reloaded, "
                  "or cosell-admin releases the brake \"%s\"",
                  site->cfg.name, cs_mapping_revision(site->mapping), brake->changed + n + soon,
                  deals, lines_words(b, is_by_mapping, crm), brake->changed,
                  name + sizeof(CS_BRAKE) - 1);
    pause_items(b, is_by_mapping, crm, name, &why);
}

static void brake_missing(cs_batch_t *b, int upstream, apr_int64_t deals)
{
    cs_lane_brake_t *brake = &b->lane->brake_missing[upstream];
    const char *name = missing_name(b->lane, upstream, b->p);
    int n = count_items(b, is_missing, upstream);
    cs_result_t why = {0};

    if (!n && !(upstream == CS_LANE_PC && cs_lane_suspension(b->lane, name))) {
        return;
    }
    begin_cause(brake, apr_psprintf(b->p, "%" APR_INT64_T_FMT, (apr_int64_t)(b->now / HOUR)));
    if (may_change(b, brake, name, name, n, limit_of(deals))) {
        return;
    }
    cs_result_set(&why, b->p, CS_EREMOTE, CS_CLASS_SUSPEND, "brake:missing",
                  "the %s of at least %" APR_INT64_T_FMT " of %" APR_INT64_T_FMT
                  " deals cannot be found at %s within an hour; %" APR_INT64_T_FMT
                  " were believed and no more are: check what our account may see there; then each "
                  "deal's next notice, or cosell-admin releasing the brake \"%s\", goes on",
                  upstream == CS_LANE_PC ? "referrals" : "records", brake->changed + n, deals,
                  cs_lane_upstream(b->lane, upstream), brake->changed,
                  name + sizeof(CS_BRAKE) - 1);
    pause_items(b, is_missing, upstream, name, &why);
}

/* ---- a job ---- */

/* The looks of the job's own turn stop as a whole, so that it goes on where it was; those that are
 * repeated after it wait. */
static void pause_job(cs_batch_t *b, belongs_fn *belongs, const cs_result_t *why)
{
    if (!b->job) {
        pause_items(b, belongs, 0, BRAKE_JOB, why);
        return;
    }
    if (!cs_lane_suspension(b->lane, BRAKE_JOB)) {
        cs_lane_suspend(b->lane, BRAKE_JOB, why, b->changes, b->p);
        journal_pause(b, BRAKE_JOB, why->detail);
    }
    b->stopped = why->detail;
}

static void brake_job(cs_batch_t *b, apr_int64_t deals)
{
    cs_lane_brake_t *brake = &b->lane->brake_job;
    int n = count_items(b, is_by_job, 0);
    cs_result_t *why;

    if (!n || !*brake->cause ||
        may_change(b, brake, BRAKE_JOB, BRAKE_JOB, n, limit_of(deals))) {
        return;
    }
    why = apr_pcalloc(b->p, sizeof(*why));
    cs_result_set(why, b->p, CS_EREMOTE, CS_CLASS_SUSPEND, BRAKE_JOB,
                  "the resync would change at least %" APR_INT64_T_FMT " of %" APR_INT64_T_FMT
                  " deals%s; %" APR_INT64_T_FMT " were changed and nothing more is until "
                  "cosell-admin releases the brake \"" CS_BRAKE_RESYNC
                  "\", or the job is cancelled",
                  brake->changed + n, deals, lines_words(b, is_by_job, 0), brake->changed);
    pause_job(b, is_by_job, why);
}

/* Nothing of it is stored then: no deal is left behind for somebody else to go on with. */
apr_status_t cs_batch_brake_meetings(cs_batch_t *b, cs_result_t *res)
{
    const cs_lane_brake_t *brake = &b->lane->brake_job;
    int n = count_items(b, is_new_to_job, 0);
    cs_store_counts_t counts;
    cs_result_t *why;
    apr_status_t rv;

    if (!n || brake->released) {
        return APR_SUCCESS;
    }
    rv = cs_store_counts(b->lane->store, b->lane->site->name, &counts, b->p, res);
    if (rv != APR_SUCCESS || brake->changed + n <= limit_of(counts.deals)) {
        return rv;
    }
    apr_array_clear(b->changes);
    why = apr_pcalloc(b->p, sizeof(*why));
    cs_result_set(why, b->p, CS_EREMOTE, CS_CLASS_SUSPEND, BRAKE_JOB,
                  "the resync would make records of at least %d referrals that no deal knows, and "
                  "%" APR_INT64_T_FMT " deals are known; none is made until cosell-admin releases "
                  "the brake \"" CS_BRAKE_RESYNC "\", or the job is cancelled",
                  n, counts.deals);
    pause_job(b, is_new_to_job, why);
    return rv;
}

/* ---- one deal against somebody else ---- */

static int differs(const json_t *now, const json_t *settled)
{
    return now && settled && !json_equal(now, settled);
}

/* The line is written where somebody else has changed that very value since we last settled.
 * Copying what only one side changed goes against nobody, nor does what the seller reads. */
static int goes_against(const cs_line_view_t *view)
{
    int to_crm = view->to_crm || view->verdict == CS_VERDICT_TO_CRM;
    int to_pc = view->to_pc || view->verdict == CS_VERDICT_TO_PC;

    return (to_crm && differs(view->crm, view->seen_crm)) ||
           (to_pc && differs(view->pc, view->seen_pc));
}

static int crosses(const cs_item_t *item)
{
    int i;

    for (i = 0; sends(item) && i < item->plan->lines->nelts; ++i) {
        if (goes_against(APR_ARRAY_IDX(item->plan->lines, i, cs_line_view_t *))) {
            return 1;
        }
    }
    return 0;
}

static const char *quarrel_words(const cs_deal_t *deal, apr_pool_t *p)
{
    return apr_psprintf(p,
                        "Held until %s UTC: values were written over %d times within an hour, and "
                        "each time somebody else (a person, a workflow) had changed them; it goes "
                        "on by itself then",
                        cs_time_format_minute(deal->crossed_since + HOUR, p), CROSSED_MAX);
}

/* Instead of what was planned the seller is told. What is held is planned again at its time. */
static void hold_quarrel(cs_batch_t *b, cs_item_t *item)
{
    cs_deal_t *deal = item->deal;
    cs_result_t result = {0};

    item->look.held = quarrel_words(deal, b->p);
    if (deal->crossed == CROSSED_MAX) {
        ++deal->crossed;
        cs_item_journal(b, item, "pause", "held", item->look.held);
        cs_log(CS_LOG_WARNING, 0, b->lane->site->name,
               CSLOGNO(2091) "%s: %s; cosell-admin may release the brake \"" CS_BRAKE_QUARREL
                             "%" APR_INT64_T_FMT "\"",
               cs_deal_words(deal, b->p), item->look.held, deal->id);
    }
    if (cs_reconcile_plan(&item->plan, &item->look, b->p, b->p, &result) != APR_SUCCESS) {
        item->plan = NULL;
        cs_item_fail(item, item->look.crm, &result);
        return;
    }
    item->plan->look_at = deal->crossed_since + HOUR;
    item->applied =
        apr_pcalloc(b->p, sizeof(cs_applied_t) * (apr_size_t)(item->plan->steps->nelts + 1));
}

/* A repetition of what did not get through is the same write. */
static void watch_quarrel(cs_batch_t *b, cs_item_t *item)
{
    cs_deal_t *deal = item->deal;
    apr_interval_time_t since = b->now - deal->crossed_since;

    if (since < 0 || since >= HOUR) {
        deal->crossed = 0;
        deal->crossed_since = b->now;
    }
    if (deal->crossed >= CROSSED_MAX) {
        hold_quarrel(b, item);
        return;
    }
    deal->crossed += item->work->attempts == 0;
}

int cs_deal_quarrels(const cs_deal_t *deal, apr_time_t now)
{
    apr_interval_time_t since = now - deal->crossed_since;

    return deal->crossed >= CROSSED_MAX && since >= 0 && since < HOUR;
}

static cs_deal_t *deal_in_batch(const cs_batch_t *b, apr_int64_t id)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->deal && item->deal->id == id) {
            return item->deal;
        }
    }
    return NULL;
}

int cs_brake_release_quarrel(cs_batch_t *b, const char *brake)
{
    static const char prefix[] = CS_BRAKE_QUARREL;
    apr_size_t len = sizeof(prefix) - 1;
    cs_deal_t *deal;
    apr_int64_t id;

    if (strncmp(brake, prefix, len)) {
        return 0;
    }
    id = apr_strtoi64(brake + len, NULL, 10);
    deal = deal_in_batch(b, id);
    if (!deal && cs_store_deal_load(b->lane->store, b->lane->site->name, id, &deal, b->p, NULL) !=
                     APR_SUCCESS) {
        return 0;
    }
    if (!deal || !cs_deal_quarrels(deal, b->now)) {
        return 0;
    }
    deal->crossed = 0;
    cs_batch_change(b, CS_CHANGE_DEAL)->deal = deal;
    cs_batch_pass_on(b, apr_psprintf(b->p, "deal:%" APR_INT64_T_FMT, id), b->now, NULL);
    return 1;
}

static int has_bulk_cause(const cs_batch_t *b)
{
    int i, n = count_items(b, is_missing, CS_LANE_PC) + count_items(b, is_by_job, 0) +
               (cs_lane_suspension(b->lane, missing_name(b->lane, CS_LANE_PC, b->p)) != NULL);

    for (i = 0; i < b->lane->site->ncrms; ++i) {
        n += count_items(b, is_by_mapping, i) + count_items(b, is_missing, i);
    }
    return n > 0;
}

static apr_status_t brake_bulk(cs_batch_t *b, cs_result_t *res)
{
    cs_store_counts_t counts;
    apr_status_t rv;
    int i;

    rv = cs_store_counts(b->lane->store, b->lane->site->name, &counts, b->p, res);
    for (i = 0; rv == APR_SUCCESS && i < b->lane->site->ncrms; ++i) {
        brake_mapping(b, i, counts.deals);
        brake_missing(b, i, counts.deals);
    }
    if (rv == APR_SUCCESS) {
        brake_missing(b, CS_LANE_PC, counts.deals);
        brake_job(b, counts.deals);
    }
    return rv;
}

apr_status_t cs_batch_brake(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv = has_bulk_cause(b) ? brake_bulk(b, res) : APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over && item->work && !item->copy_of && crosses(item)) {
            watch_quarrel(b, item);
        }
    }
    return rv;
}
