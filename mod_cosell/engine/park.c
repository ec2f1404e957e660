/* engine/park.c: two referrals that name one record. (deals 1)
 *
 * An external id belongs to one deal. When a second referral names the record of a deal that has a
 * referral, nobody knows which of them is meant: both are parked until one of them names another
 * record. Each knows the other by the site's fact "parked:<referral>".
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "batch.h"

#define FACT_PARKED "parked:"

static const char *fact_of(const cs_batch_t *b, const char *referral)
{
    return apr_pstrcat(b->p, FACT_PARKED, referral, NULL);
}

static cs_item_t *item_of_deal(const cs_batch_t *b, apr_int64_t id)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->deal && item->deal->id == id && item->work) {
            return item;
        }
    }
    return NULL;
}

/* ---- parking both ---- */

void cs_deal_cause(cs_deal_t *deal, const char *cause, const char *text, apr_pool_t *p)
{
    deal->causes = cs_json_own(json_object(), p);
    if (cause) {
        json_object_set_new(deal->causes, cause, json_string(text));
    }
}

static int park(cs_batch_t *b, cs_deal_t *deal, const char *why)
{
    int said = deal->id && deal->state == CS_DEAL_PARKED && deal->problem &&
               !strcmp(deal->problem, why);

    deal->state = CS_DEAL_PARKED;
    deal->problem = why;
    cs_deal_cause(deal, "parked two", "Two referrals name one record", b->p);
    return !said;
}

/* The deal that has the record; perhaps it is looked at in this very batch. */
static void park_holder(cs_batch_t *b, cs_deal_t *holder, const cs_deal_t *claimant)
{
    cs_item_t *item = item_of_deal(b, holder->id);
    cs_deal_t *deal = item ? item->deal : holder;
    const char *why = apr_psprintf(b->p, "referral %s names this deal's record as its own",
                                   claimant->referral_id);
    cs_journal_t *journal;
    cs_change_t *change;

    if (!park(b, deal, why)) {
        return;
    }
    cs_batch_change(b, CS_CHANGE_DEAL)->deal = deal;
    journal = apr_pcalloc(b->p, sizeof(*journal));
    journal->at = b->now;
    journal->direction = "";
    journal->action = "park";
    journal->outcome = "held";
    journal->why = why;
    change = cs_batch_change(b, CS_CHANGE_JOURNAL);
    change->journal = journal;
    change->deal = deal;
    if (item && !item->over) {
        cs_item_finish(item);
    }
}

static void park_claimant(cs_batch_t *b, cs_item_t *item, const cs_deal_t *holder)
{
    const char *why = apr_psprintf(b->p, "the record is linked to referral %s already",
                                   holder->referral_id ? holder->referral_id : "(none)");

    if (park(b, item->deal, why)) {
        cs_item_journal(b, item, "park", "held", why);
    }
    cs_item_finish(item);
}

static void park_both(cs_batch_t *b, cs_item_t *item, cs_deal_t *holder)
{
    park_claimant(b, item, holder);
    if (holder->referral_id && holder->state != CS_DEAL_UNLINKED && holder->state != CS_DEAL_GONE) {
        park_holder(b, holder, item->deal);
        cs_lane_fact(fact_of(b, holder->referral_id), item->deal->referral_id, b->changes);
        cs_lane_fact(fact_of(b, item->deal->referral_id), holder->referral_id, b->changes);
    }
}

static cs_deal_t *taker_of(const cs_batch_t *b, const cs_deal_t *deal, const char *id)
{
    int i;

    for (i = 0; i < b->changes->nelts; ++i) {
        const cs_change_t *change = &APR_ARRAY_IDX(b->changes, i, cs_change_t);
        if (change->kind == CS_CHANGE_ALIAS && change->deal != deal &&
            !strcmp(change->system, deal->crm) && !strcmp(change->name, id)) {
            return (cs_deal_t *)change->deal;
        }
    }
    return NULL;
}

apr_status_t cs_settle_holder(cs_batch_t *b, cs_item_t *item, int *pparked, cs_result_t *res)
{
    cs_deal_t *deal = item->deal, *holder = taker_of(b, deal, deal->record_id);
    apr_status_t rv = APR_SUCCESS;

    if (!holder) {
        rv = cs_store_deal_find(b->lane->store, b->lane->site->name, deal->crm, deal->record_id,
                                &holder, b->p, res);
    }
    *pparked = rv == APR_SUCCESS && holder && holder->id != deal->id;
    if (*pparked && item->moved) {
        /* It is not named by this referral: a person joined them in the CRM, and the other one has
         * done nothing to be stopped for. */
        park_claimant(b, item, holder);
    }
    else if (*pparked) {
        park_both(b, item, holder);
    }
    return rv;
}

/* ---- two that are one ---- */

/* The holder has no referral: it is this one's. The older deal survives. */
static void merge(cs_batch_t *b, cs_item_t *item, cs_deal_t *holder)
{
    cs_item_t *other = item_of_deal(b, holder->id);
    cs_deal_t *mine = item->deal;
    apr_int64_t goes;

    if (other && other != item) {
        /* The record's own look, of this very batch: its notices are this one's, and it must not
         * make what is there already. */
        item->covered += other->covered;
        holder = other->deal;
        cs_item_finish(other);
        other->work = NULL;
    }
    cs_posted_is(b, holder, mine->referral_id);
    holder->referral_id = mine->referral_id;
    holder->engagement_id = mine->engagement_id;
    holder->title = mine->title;
    item->deal = holder;
    item->fresh = 0;
    if (mine->id) {
        goes = mine->id < holder->id ? holder->id : mine->id;
        if (mine->id < holder->id) {
            holder->created = mine->created;
            holder->id = mine->id;
        }
        cs_batch_change(b, CS_CHANGE_MERGE)->deal = holder;
        APR_ARRAY_IDX(b->changes, b->changes->nelts - 1, cs_change_t).value = goes;
    }
    cs_item_journal(b, item, "merge", "done", "the record's deal and the referral's are one");
}

/* ---- who has it ---- */

static int same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* Another referral that is met in this very batch takes the record, and nobody has it yet. */
static int is_taken_now(const cs_batch_t *b, const cs_item_t *item)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        const cs_item_t *other = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (other == item) {
            return 0;
        }
        if (!other->over && other->deal && other->deal != item->deal && other->crm == item->crm &&
            same(other->deal->record_id, item->meeting.record_id)) {
            return 1;
        }
    }
    return 0;
}

apr_status_t cs_meet_holder(cs_batch_t *b, cs_item_t *item, int *pparked, cs_result_t *res)
{
    cs_deal_t *holder = NULL;
    cs_result_t later = {0};
    apr_status_t rv;

    *pparked = 0;
    rv = cs_store_deal_find(b->lane->store, b->lane->site->name,
                            b->lane->site->crms[item->crm].cfg.name, item->meeting.record_id,
                            &holder, b->p, res);
    if (rv == APR_SUCCESS && !holder && is_taken_now(b, item)) {
        cs_result_set(&later, b->p, CS_ESTALE, CS_CLASS_CONFLICT, "deal:record",
                      "another referral takes the record %s at this moment",
                      item->meeting.record_id);
        cs_item_fail(item, cs_lane_upstream(b->lane, item->crm), &later);
        *pparked = 1;
    }
    if (rv != APR_SUCCESS || !holder || holder->id == item->deal->id) {
        return rv;
    }
    if (holder->referral_id) {
        park_both(b, item, holder);
        *pparked = 1;
    }
    else {
        merge(b, item, holder);
    }
    return rv;
}

/* ---- going on ---- */

/* The deal of the other referral, NULL when this one is not parked for such a reason. */
static apr_status_t other_of(cs_batch_t *b, const cs_item_t *item, const char **preferral,
                             cs_deal_t **pother, cs_result_t *res)
{
    apr_status_t rv = cs_store_meta_get(b->lane->store, b->lane->site->name,
                                        fact_of(b, item->own->id), preferral, b->p, res);

    *pother = NULL;
    if (rv == APR_SUCCESS && *preferral) {
        rv = cs_store_deal_find(b->lane->store, b->lane->site->name, CS_SYSTEM_PC, *preferral,
                                pother, b->p, res);
    }
    return rv;
}

static void forget(cs_batch_t *b, const cs_item_t *item, const char *other)
{
    cs_lane_fact(fact_of(b, item->own->id), NULL, b->changes);
    cs_lane_fact(fact_of(b, other), NULL, b->changes);
}

apr_status_t cs_meet_parked(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const char *referral = NULL;
    cs_deal_t *other;
    apr_status_t rv;

    if (!json_object_size(item->deal->images)) {
        return APR_SUCCESS; /* is met again, whatever kept it */
    }
    rv = other_of(b, item, &referral, &other, res);
    if (rv != APR_SUCCESS || !referral || (other && other->state == CS_DEAL_PARKED)) {
        return rv;
    }
    item->deal->state = CS_DEAL_LINKED;
    item->deal->problem = NULL;
    forget(b, item, referral);
    cs_item_journal(b, item, "resume", "done",
                    apr_psprintf(b->p, "referral %s does not name this deal's record any more",
                                 referral));
    return rv;
}

apr_status_t cs_meet_unparked(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const char *referral = NULL;
    cs_deal_t *other;
    apr_status_t rv;

    if (json_object_size(item->deal->images)) {
        return APR_SUCCESS;
    }
    rv = other_of(b, item, &referral, &other, res);
    if (rv == APR_SUCCESS && referral) {
        if (other) {
            cs_batch_look_at(b, apr_psprintf(b->p, "deal:%" APR_INT64_T_FMT, other->id),
                             item->trace);
        }
    }
    return rv;
}
