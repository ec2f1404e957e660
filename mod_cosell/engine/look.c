/* engine/look.c: stages 3 to 7 for one batch of one site.
 *
 *   claim -> names (of CRM rows) -> fetch (all cards) -> meet (names become deals) -> read (CRM
 * rows) -> plan -> intent -> apply (Partner Center, then the CRM) -> settle
 *
 * Four transactions at most: names, meet, intent, settle; a POST adds two of its own. A crash
 * between any two of them repeats the look, and store.h says why that does no harm.
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/gauge.h"
#include "../base/json.h"
#include "../base/log.h"
#include "ahead.h"
#include "apply.h"
#include "job.h"
#include "pulse.h"
#include "registration.h"
#include "timers.h"

#define CLAIM_MAX 200

/* ---- items ---- */

void cs_item_fail(cs_item_t *item, const char *upstream, const cs_result_t *result)
{
    item->over = 1;
    item->quiet = 0;
    item->upstream = upstream;
    item->result = *result;
}

void cs_item_finish(cs_item_t *item)
{
    item->over = 1;
    item->quiet = 1;
}

void cs_item_account(cs_batch_t *b, cs_item_t *item, int calls, apr_interval_time_t took,
                     const char *correlation)
{
    item->calls += calls;
    item->took += took;
    if (correlation && *correlation) {
        item->correlation = item->correlation
                                ? apr_pstrcat(b->p, item->correlation, "; ", correlation, NULL)
                                : correlation;
    }
}

cs_change_t *cs_batch_change(cs_batch_t *b, cs_change_e kind)
{
    cs_change_t *change = apr_array_push(b->changes);

    memset(change, 0, sizeof(*change));
    change->kind = kind;
    change->at = b->now;
    return change;
}

static cs_work_t *look_at(cs_batch_t *b, const char *name, const char *trace)
{
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_WORK_ADD);
    cs_work_t *work = apr_pcalloc(b->p, sizeof(*work));

    work->site = b->lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->hints = cs_json_own(json_object(), b->p);
    work->first = work->due = b->now;
    work->trace = trace;
    change->work = work;
    return work;
}

void cs_batch_look_at(cs_batch_t *b, const char *name, const char *trace)
{
    look_at(b, name, trace);
}

void cs_batch_pass_on(cs_batch_t *b, const char *name, apr_time_t first, const char *trace)
{
    cs_work_t *work = look_at(b, name, trace);

    json_object_set_new(work->hints, CS_CAUSE_POLL, json_integer(1));
    work->first = first ? first : b->now;
}

const char *cs_deal_words(const cs_deal_t *deal, apr_pool_t *p)
{
    return deal->referral_id ? apr_pstrcat(p, "referral ", deal->referral_id, NULL)
                             : apr_pstrcat(p, "record ", deal->record_id ? deal->record_id : "?",
                                           NULL);
}

int cs_batch_alias_taken(const cs_batch_t *b, const cs_deal_t *deal, const char *system,
                         const char *id)
{
    int i;

    for (i = 0; i < b->changes->nelts; ++i) {
        const cs_change_t *change = &APR_ARRAY_IDX(b->changes, i, cs_change_t);
        if (change->kind == CS_CHANGE_ALIAS && change->deal != deal &&
            !strcmp(change->system, system) && !strcmp(change->name, id)) {
            return 1;
        }
    }
    return 0;
}

cs_journal_t *cs_item_journal(cs_batch_t *b, cs_item_t *item, const char *action,
                              const char *outcome, const char *why)
{
    cs_journal_t *journal = apr_pcalloc(b->p, sizeof(*journal));

    journal->at = b->now;
    journal->direction = "";
    journal->action = action;
    journal->outcome = outcome;
    journal->why = why;
    journal->mapping = item->crm >= 0 && b->lane->site->crms[item->crm].mapping
                           ? cs_mapping_revision(b->lane->site->crms[item->crm].mapping)
                           : NULL;
    APR_ARRAY_PUSH(item->journal, cs_journal_t *) = journal;
    return journal;
}

/* ---- claim ---- */

static int related_only(const cs_work_t *work)
{
    return json_object_get(work->hints, CS_SYSTEM_RELATED) &&
           !json_object_get(work->hints, CS_SYSTEM_PC);
}

cs_item_t *cs_item_new(cs_batch_t *b, cs_work_t *work)
{
    cs_item_t *item = apr_pcalloc(b->p, sizeof(*item));

    item->work = work;
    item->crm = -1;
    item->related_only = related_only(work);
    cs_item_trace(b, item);
    item->journal = apr_array_make(b->p, 4, sizeof(cs_journal_t *));
    return item;
}

static void refuse_name(cs_batch_t *b, cs_item_t *item, const char *why)
{
    cs_result_t result = {0};

    cs_result_set(&result, b->p, APR_EINVAL, CS_CLASS_REFUSED, "work:name", "%s: \"%s\"", why,
                  item->work->name);
    cs_item_fail(item, CS_UPSTREAM_PC, &result);
}

/* A row that cannot be read ends its own look, and only that. */
static apr_status_t refuse_row(cs_batch_t *b, cs_item_t *item, const cs_result_t *res)
{
    cs_result_t result = {0};

    cs_result_copy(&result, res, b->p);
    cs_item_fail(item, CS_UPSTREAM_PC, &result);
    return APR_SUCCESS;
}

static void refuse_damaged(cs_batch_t *b, cs_item_t *item)
{
    cs_result_t result = {0};

    cs_result_set(&result, b->p, CS_EPARSE, CS_CLASS_REFUSED, "store:row", "%s",
                  item->work->damaged);
    cs_item_fail(item, CS_UPSTREAM_PC, &result);
}

static apr_status_t load_deal(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    apr_int64_t id = apr_strtoi64(item->work->name + 5, NULL, 10);
    apr_status_t rv;

    rv = cs_store_deal_load(b->lane->store, b->lane->site->name, id, &item->deal, b->p, res);
    if (rv == CS_EPARSE) {
        return refuse_row(b, item, res);
    }
    if (rv == APR_SUCCESS && !item->deal) {
        refuse_name(b, item, "there is no such deal");
    }
    else if (rv == APR_SUCCESS && !item->deal->referral_id && !item->deal->record_id) {
        refuse_name(b, item, "the deal has neither a referral nor a record");
    }
    return rv;
}

/* "pc:<referral>" or "<crm>:<row>". */
static void take_name(cs_batch_t *b, cs_item_t *item)
{
    const char *name = item->work->name, *colon = strchr(name, ':'), *hint;
    json_t *value;

    if (!strncmp(name, "pc:", 3)) {
        item->asked = name + 3;
        return;
    }
    item->crm = colon ? cs_lane_crm_index(b->lane, apr_pstrmemdup(b->p, name,
                                                                  (apr_size_t)(colon - name)))
                      : -1;
    if (item->crm < 0 || !b->lane->site->crms[item->crm].mapping) {
        refuse_name(b, item, "no system known to this version has this name");
        return;
    }
    item->asked_row = colon + 1;
    json_object_foreach(item->work->hints, hint, value) {
        if (!strncmp(hint, CS_HINT_TABLE, sizeof(CS_HINT_TABLE) - 1)) {
            item->asked_table = apr_pstrdup(b->p, hint + sizeof(CS_HINT_TABLE) - 1);
        }
    }
}

/* Known deals first: a name that turns out to be another name of one of them joins it. */
static apr_status_t make_items(cs_batch_t *b, const apr_array_header_t *works, cs_result_t *res)
{
    apr_array_header_t *named = apr_array_make(b->p, works->nelts + 1, sizeof(cs_item_t *));
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < works->nelts; ++i) {
        cs_work_t *work = APR_ARRAY_IDX(works, i, cs_work_t *);
        cs_item_t *item = cs_item_new(b, work);
        if (strcmp(work->kind, CS_WORK_LOOK)) {
            continue;
        }
        if (work->damaged) {
            refuse_damaged(b, item);
        }
        else if (!strncmp(work->name, "deal:", 5)) {
            rv = load_deal(b, item, res);
            APR_ARRAY_PUSH(b->items, cs_item_t *) = item;
            continue;
        }
        if (!item->over) {
            take_name(b, item);
        }
        APR_ARRAY_PUSH(named, cs_item_t *) = item;
    }
    apr_array_cat(b->items, named);
    return rv;
}

/* ---- suspended upstreams ---- */

static void wait_if_suspended(cs_batch_t *b, cs_item_t *item, const char *upstream)
{
    cs_result_t result = {0};

    if (!item->over && cs_lane_suspension(b->lane, upstream)) {
        cs_result_set(&result, b->p, CS_EREMOTE, CS_CLASS_SUSPEND, "suspended", "%s is suspended",
                      upstream);
        cs_item_fail(item, upstream, &result);
    }
}

/* Costs no attempt: the breaker asks, not the deal. */
static void wait_if_open(cs_batch_t *b, cs_item_t *item, const char *upstream)
{
    cs_result_t result = {0};

    if (!item->over && cs_breaker_open(b->lane, upstream)) {
        cs_result_set(&result, b->p, CS_EREMOTE, CS_CLASS_THROTTLED, "breaker",
                      "%s does not work at present", upstream);
        result.retry_at = cs_breaker_probe_at(b->lane, upstream, b->now);
        cs_item_fail(item, upstream, &result);
    }
}

void cs_item_wait_for_crm(cs_batch_t *b, cs_item_t *item)
{
    if (item->crm >= 0) {
        wait_if_suspended(b, item, cs_lane_upstream(b->lane, item->crm));
        wait_if_open(b, item, cs_lane_upstream(b->lane, item->crm));
    }
}

/* What is known to wait is not fetched in vain. */
static void wait_before_fetch(cs_batch_t *b)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        wait_if_suspended(b, item, CS_UPSTREAM_PC);
        if (!item->over && item->deal && item->deal->crm) {
            wait_if_suspended(b, item, item->deal->crm);
            wait_if_open(b, item, item->deal->crm);
        }
    }
}

static void wait_for_crms(cs_batch_t *b)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_wait_for_crm(b, APR_ARRAY_IDX(b->items, i, cs_item_t *));
    }
}

/* ---- plan and intent ---- */

static int has_crm(cs_batch_t *b, cs_item_t *item)
{
    cs_result_t result = {0};

    if (item->crm >= 0 && b->lane->site->crms[item->crm].mapping) {
        return 1;
    }
    cs_result_set(&result, b->p, APR_EINVAL, CS_CLASS_REFUSED, "config:crm",
                  "the deal belongs to the CRM \"%s\", which is not configured (any more)",
                  item->deal->crm ? item->deal->crm : "?");
    cs_item_fail(item, CS_UPSTREAM_PC, &result);
    return 0;
}

static void find_kind(cs_batch_t *b, cs_item_t *item)
{
    cs_result_t result = {0};

    if (item->over || !item->work || !has_crm(b, item)) {
        return;
    }
    item->kind = item->deal->kind
                     ? cs_mapping_kind(b->lane->site->crms[item->crm].mapping, item->deal->kind)
                     : NULL;
    if (!item->kind) {
        cs_result_set(&result, b->p, APR_EINVAL, CS_CLASS_REFUSED, "mapping:kind",
                      "the mapping has no record kind \"%s\"",
                      item->deal->kind ? item->deal->kind : "?");
        cs_item_fail(item, CS_UPSTREAM_PC, &result);
    }
}

/* What our own write was answered with equals nothing, where it is young; an edit of that very
 * second shows itself by its values. */
static int is_of_one_moment(const char *version, const char *other)
{
    size_t len = strcspn(version, "~");

    return strcspn(other, "~") == len && !strncmp(version, other, len);
}

static void fill_look(cs_batch_t *b, cs_item_t *item)
{
    memset(&item->look, 0, sizeof(item->look));
    item->look.mapping = b->lane->site->crms[item->crm].mapping;
    item->look.crm = b->lane->site->crms[item->crm].cfg.name;
    item->look.site = b->lane->site->name;
    item->look.organization = b->lane->organization;
    item->look.deal = item->deal;
    item->look.own = item->own;
    item->look.microsoft = item->microsoft;
    item->look.others = item->others;
    item->look.record = item->record;
    item->look.record_read = item->record_read;
    item->look.metadata = cs_metadata_of(b->lane, item->crm);
    /* A deal that has no referral yet is looked at when its time has come: nobody asked for what
     * was refused. */
    item->look.notified = item->notified || (item->again && item->deal->referral_id);
    item->look.edited = item->record && item->record->version &&
                        (!item->deal->crm_version ||
                         !is_of_one_moment(item->record->version, item->deal->crm_version));
    item->look.candidates = item->candidates;
    item->look.now = b->now;
}

/* No look was settled under the mapping in force. A deal that was never settled at all counts when
 * the mapping is why it is looked at. */
static int is_under_another(const cs_batch_t *b, const cs_item_t *item, int asked)
{
    const cs_mapping_t *mapping =
        item->crm >= 0 ? b->lane->site->crms[item->crm].mapping : NULL;

    return mapping && (item->deal->mapping
                           ? strcmp(item->deal->mapping, cs_mapping_digest(mapping)) != 0
                           : asked);
}

/* Why it is looked at: after meeting, when the deal's row carries the notices of all its names. The
 * first look under a changed mapping is by that mapping, whatever else no notice asked for. */
static void find_cause(const cs_batch_t *b, cs_item_t *item)
{
    int asked;

    if (item->over || !item->work) {
        return;
    }
    asked = json_object_get(item->work->hints, CS_CAUSE_MAPPING) != NULL;
    item->notified = cs_work_notified(item->work);
    item->by_mapping = !item->notified && is_under_another(b, item, asked);
    item->by_job = !item->notified && json_object_get(item->work->hints, CS_CAUSE_RESYNC);
    item->again = !asked && json_object_get(item->work->hints, CS_CAUSE_AGAIN);
}

static apr_status_t make_plan(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    return item->copy_of ? cs_reconcile_clone(&item->plan, &item->look, b->p, b->p, res)
                         : cs_reconcile_plan(&item->plan, &item->look, b->p, b->p, res);
}

static void plan_item(cs_batch_t *b, cs_item_t *item)
{
    cs_result_t result = {0};

    fill_look(b, item);
    if (item->copy_of && !item->record) {
        cs_item_finish(item); /* deleted meanwhile */
        return;
    }
    if (make_plan(b, item, &result) != APR_SUCCESS) {
        item->plan = NULL;
        cs_item_fail(item, item->look.crm, &result);
        return;
    }
    item->applied =
        apr_pcalloc(b->p, sizeof(cs_applied_t) * (apr_size_t)(item->plan->steps->nelts + 1));
    cs_log(CS_LOG_DEBUG, 0, b->lane->site->name, "%s: %d steps: %s",
           cs_deal_words(item->deal, b->p), item->plan->steps->nelts, item->plan->why);
}

static void plan_items(cs_batch_t *b)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over && item->work) {
            plan_item(b, item);
        }
    }
}

/* Of the CRMs that this batch plans for. No look waits for it or ends with it. */
static void refresh_metadata(cs_batch_t *b)
{
    int crm, i;

    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        for (i = 0; i < b->items->nelts; ++i) {
            const cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
            if (!item->over && item->work && item->crm == crm) {
                cs_metadata_refresh(b->lane, crm, b->changes, b->p);
                break;
            }
        }
    }
}

static apr_status_t store_intents(cs_batch_t *b, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(b->lane);
    apr_status_t rv;
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over && !item->copy_of && item->plan && item->plan->intent) {
            cs_deal_t *deal = apr_pmemdup(b->p, item->deal, sizeof(*deal));
            deal->intent = cs_unheard_intent(b, item);
            cs_batch_change(b, CS_CHANGE_DEAL)->deal = deal;
        }
    }
    if (!b->changes->nelts) {
        return APR_SUCCESS;
    }
    rv = cs_store_write(b->lane->store, &lease, b->changes, b->p, res);
    apr_array_clear(b->changes);
    if (rv == APR_SUCCESS) {
        CS_CRASH_POINT("look-intended");
    }
    return rv;
}

/* ---- the batch ---- */

/* Once everybody has a deal: the CRM's rows, and the plans. */
static apr_status_t read_and_plan(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv;
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        find_kind(b, APR_ARRAY_IDX(b->items, i, cs_item_t *));
        find_cause(b, APR_ARRAY_IDX(b->items, i, cs_item_t *));
    }
    wait_for_crms(b);
    rv = cs_batch_read_records(b, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (b->dry) {
        apr_array_clear(b->changes); /* what reading would have stored of deals */
    }
    refresh_metadata(b);
    plan_items(b);
    if (!b->dry) {
        cs_batch_put_off_young(b);
        cs_batch_put_off_long(b);
    }
    return rv;
}

/* For those whose jobs wait. */
static void say_looking(const cs_lane_t *lane, int looks)
{
    cs_gauge_set(CS_GAUGE_LOOKING, cs_gauge_site(lane->site->name), -1, looks);
}

apr_status_t cs_batch_see(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv;

    wait_before_fetch(b);
    say_looking(b->lane, b->items->nelts);
    rv = cs_batch_fetch(b, res);
    say_looking(b->lane, b->items->nelts);
    if (rv == APR_SUCCESS) {
        rv = cs_batch_meet(b, res);
    }
    if (rv == APR_SUCCESS && !b->stopped) {
        rv = read_and_plan(b, res);
    }
    if (b->guessed) {
        b->lane->organization = NULL;
    }
    return rv;
}

apr_status_t cs_batch_act(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv = cs_batch_brake(b, res);

    if (rv != APR_SUCCESS || b->stopped) {
        return rv;
    }
    rv = store_intents(b, res);
    if (rv == APR_SUCCESS) {
        rv = cs_batch_apply_pc(b, res);
    }
    if (rv == APR_SUCCESS) {
        cs_batch_apply(b);
        cs_batch_apply_pc_after(b);
    }
    return rv;
}

static apr_status_t look_at_items(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv = cs_batch_name_rows(b, res);

    if (rv == APR_SUCCESS) {
        rv = cs_batch_see(b, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_batch_act(b, res);
    }
    return rv == APR_SUCCESS ? cs_batch_settle(b, res) : rv;
}

static void log_batch(const cs_batch_t *b, apr_interval_time_t began)
{
    cs_log(b->created || b->updated || b->closed || b->failed ? CS_LOG_INFO : CS_LOG_DEBUG, 0,
           b->lane->site->name,
           CSLOGNO(2050) "looked at %d deals in %" APR_TIME_T_FMT
                         " ms: %d created, %d updated, %d closed or reopened, %d as they should "
                         "be, %d to be repeated",
           b->items->nelts, apr_time_as_msec(cs_time_mono() - began), b->created, b->updated,
           b->closed, b->nothing, b->failed);
}

cs_batch_t *cs_batch_new(cs_lane_t *lane, apr_pool_t *p)
{
    cs_batch_t *b = apr_pcalloc(p, sizeof(*b));

    b->lane = lane;
    b->p = p;
    b->now = cs_time_now();
    b->items = apr_array_make(p, CLAIM_MAX, sizeof(cs_item_t *));
    b->changes = apr_array_make(p, CLAIM_MAX, sizeof(cs_change_t));
    return b;
}

static apr_status_t prepare(cs_lane_t *lane, cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv = cs_lane_facts_load(lane, b->p, res);

    cs_ahead_expire(lane);
    if (rv == APR_SUCCESS) {
        rv = cs_lane_probe(lane, b->now, b->p);
    }
    if (rv == APR_SUCCESS) {
        cs_lane_take_signs(lane);
        rv = cs_breaker_probe(lane, b->p);
    }
    if (rv == APR_SUCCESS && cs_keep_alive_due(lane, b->now)) {
        rv = cs_keep_alive(lane, b->now, b->p, res);
    }
    return rv;
}

static apr_status_t look_at_works(cs_batch_t *b, const apr_array_header_t *works, cs_result_t *res)
{
    apr_interval_time_t began = cs_time_mono();
    apr_status_t rv = make_items(b, works, res);

    if (rv == APR_SUCCESS) {
        cs_batch_trace(b);
        cs_batch_chores(b, works);
        rv = look_at_items(b, res);
    }
    cs_batch_trace_is(b, NULL);
    if (rv == APR_SUCCESS) {
        log_batch(b, began);
    }
    else {
        /* What this batch learnt was not stored with it. */
        cs_lane_facts_forget(b->lane);
        cs_batch_watch_forget(b);
    }
    return rv;
}

/* ---- what the store can never take ---- */

static apr_status_t set_aside(cs_batch_t *b, cs_work_t *work, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(b->lane);
    cs_result_t *why = apr_pcalloc(b->p, sizeof(*why));
    cs_change_t *change;

    cs_result_set(why, b->p, CS_ESTALE, CS_CLASS_REFUSED, "store:conflict", "%s",
                  res->detail ? res->detail : "the store cannot take what this look would store");
    cs_log(CS_LOG_ERR, 0, b->lane->site->name,
           CSLOGNO(2051) "%s is set aside until its next notice: %s", work->name, why->detail);
    cs_count(CS_COUNT_DEAD, 1);
    apr_array_clear(b->changes);
    work->state = CS_WORK_DEAD;
    work->seen = work->wanted;
    change = cs_batch_change(b, CS_CHANGE_WORK_LATER);
    change->work = work;
    change->result = why;
    cs_result_clear(res);
    return cs_store_write(b->lane->store, &lease, b->changes, b->p, res);
}

/* What contradicts the store does so again: it must not stop everybody else. Batches of one find
 * it; it has a second chance, for what came before it in its batch may have been the reason. */
static apr_status_t after_contradiction(cs_batch_t *b, cs_work_t *first, int n, cs_result_t *res)
{
    cs_lane_t *lane = b->lane;

    cs_log(CS_LOG_INFO, 0, lane->site->name, CSLOGNO(2052) "%d looks end together: %s", n,
           res->detail ? res->detail : "they contradict the store");
    lane->narrow = n;
    if (n > 1) {
        return APR_SUCCESS;
    }
    if (strncmp(lane->stuck, first->name, sizeof(lane->stuck) - 1)) {
        apr_cpystrn(lane->stuck, first->name, sizeof(lane->stuck));
        return APR_SUCCESS;
    }
    *lane->stuck = '\0';
    return set_aside(b, first, res);
}

/* Polls and their like have turns of their own: they take no look's place in a batch.
 * *ppolls = a poll has waited as long as these. */
static apr_array_header_t *looks_of(const apr_array_header_t *works, int max, int *ppolls,
                                    apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, max, sizeof(cs_work_t *));
    int i;

    *ppolls = 0;
    for (i = 0; i < works->nelts && out->nelts < max; ++i) {
        cs_work_t *work = APR_ARRAY_IDX(works, i, cs_work_t *);
        if (!strcmp(work->kind, CS_WORK_POLL)) {
            *ppolls = 1;
        }
        else if (strcmp(work->kind, CS_WORK_SWEEP) && strcmp(work->kind, CS_WORK_WATCH)) {
            APR_ARRAY_PUSH(out, cs_work_t *) = work;
        }
    }
    return out;
}

/* Nothing is claimed; what a person asks for may be what ends that. */
static apr_status_t jobs_alone(cs_lane_t *lane, int *pmore, apr_pool_t *p, cs_result_t *res)
{
    apr_status_t rv = cs_jobs_turn(lane, 1, pmore, p, res);

    return rv == APR_SUCCESS ? cs_jobs_turn(lane, 0, pmore, p, res) : rv;
}

static apr_status_t take_looks(cs_batch_t *b, apr_array_header_t *looks, int *pmore,
                               cs_result_t *res)
{
    cs_work_t *first;
    apr_status_t rv;

    if (!looks->nelts) {
        return APR_SUCCESS;
    }
    first = apr_pmemdup(b->p, APR_ARRAY_IDX(looks, 0, cs_work_t *), sizeof(*first));
    b->lane->narrow -= b->lane->narrow > 0;
    rv = look_at_works(b, looks, res);
    *pmore |= rv == APR_SUCCESS || rv == CS_ESTALE;
    return rv == CS_ESTALE ? after_contradiction(b, first, looks->nelts, res) : rv;
}

static apr_status_t look_batch(cs_lane_t *lane, int *pmore, apr_pool_t *p, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(lane);
    cs_batch_t *b = cs_batch_new(lane, p);
    apr_array_header_t *works = NULL, *looks = NULL;
    int max = lane->narrow > 0 ? 1 : cs_turn_claim(lane), polls = 0;
    apr_status_t rv;

    *pmore = 0;
    rv = prepare(lane, b, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (cs_breaker_stops_lane(lane) || cs_lane_paused(lane)) {
        return jobs_alone(lane, pmore, p, res);
    }
    rv = cs_store_claim(lane->store, &lease, b->now, max + cs_timers_of(lane->site, p)->nelts,
                        &works, p, res);
    if (rv == APR_SUCCESS) {
        rv = cs_jobs_turn(lane, 1, pmore, p, res);
    }
    if (rv == APR_SUCCESS && cs_lane_paused(lane)) {
        return cs_jobs_turn(lane, 0, pmore, p, res);
    }
    if (rv == APR_SUCCESS) {
        looks = looks_of(works, max, &polls, p);
        rv = take_looks(b, looks, pmore, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_jobs_turn(lane, 0, pmore, p, res);
    }
    /* Only what is left of a batch is for looks that nobody waits for. A poll finds what somebody
     * waits for: in a flood, too, it has its turn when it is the oldest. */
    if (rv == APR_SUCCESS && looks->nelts < max) {
        rv = cs_planned_portion(lane, b->now, max - looks->nelts, pmore, p, res);
    }
    else if (rv == APR_SUCCESS && polls) {
        rv = cs_poll_turn(lane, pmore, p, res);
    }
    return rv == APR_SUCCESS ? cs_quota_store(lane, p, res) : rv;
}

/* The registration is watched, and who is silent is asked, whatever else waits. */
apr_status_t cs_look_batch(cs_lane_t *lane, int *pmore, apr_pool_t *p, cs_result_t *res)
{
    apr_status_t rv = look_batch(lane, pmore, p, res);

    say_looking(lane, 0);
    if (rv == APR_SUCCESS) {
        rv = cs_registration_watch(lane, p, res);
    }
    return rv == APR_SUCCESS ? cs_pulse(lane, p, res) : rv;
}
