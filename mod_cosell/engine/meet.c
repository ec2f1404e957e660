/* engine/meet.c: names become deals: created or joined in one transaction before anything is
 * planned. (deals 1) */
#include <string.h>

#include <apr_strings.h>

#include "../base/crash.h"
#include "../base/log.h"
#include "batch.h"

#define SYSTEM_ENGAGEMENT "pc-engagement"

/* ---- who is already known ---- */

static apr_status_t known_deal(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const char *site = b->lane->site->name;
    cs_deal_t *deal = NULL;
    apr_status_t rv;

    rv = cs_store_deal_find(b->lane->store, site, CS_SYSTEM_PC, item->own->id, &deal, b->p, res);
    if (rv == APR_SUCCESS && !deal && item->own->engagement_id) {
        rv = cs_store_deal_find(b->lane->store, site, SYSTEM_ENGAGEMENT, item->own->engagement_id,
                                &deal, b->p, res);
        /* Two referrals of ours in one engagement are two deals. */
        if (deal && deal->referral_id && strcmp(deal->referral_id, item->own->id)) {
            deal = NULL;
        }
    }
    item->deal = deal;
    return rv;
}

static cs_item_t *same_referral(cs_batch_t *b, const cs_item_t *item)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *other = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (other == item) {
            return NULL;
        }
        /* Also one whose meeting ended its look (a lead, first met closed): its deal is about to be
         * stored. */
        if (other->work && other->own && !strcmp(other->own->id, item->own->id)) {
            return other;
        }
    }
    return NULL;
}

/* ---- what it is ---- */

static const char *text_of(const cs_card_t *card, const char *name)
{
    const json_t *value = json_object_get(card->doc, name);

    return json_is_string(value) ? json_string_value(value) : NULL;
}

static void reserve(cs_batch_t *b, cs_item_t *item, const cs_meeting_t *meeting)
{
    cs_deal_t *deal = item->deal;

    deal->state = CS_DEAL_NEW;
    deal->crm = b->lane->site->crms[item->crm].cfg.name;
    deal->kind = meeting->kind;
    deal->table = meeting->table;
    deal->record_id = meeting->record_id;
    item->fresh = item->fresh && meeting->what == CS_MEET_CREATE;
}

/* Left alone: said once, in the journal, and again only when the reason changes. */
static void leave_alone(cs_batch_t *b, cs_item_t *item, const cs_meeting_t *meeting)
{
    cs_deal_state_e state = meeting->what == CS_MEET_LEAD ? CS_DEAL_LEAD : CS_DEAL_IGNORED;
    const char *action = meeting->what == CS_MEET_LEAD     ? "lead"
                         : meeting->what == CS_MEET_CLOSED ? "closed"
                                                           : "ignore";
    /* Without a problem it was a plan that left it alone, and settle has said so. */
    int said = item->deal->id && item->deal->state == state &&
               (!item->deal->problem || !strcmp(item->deal->problem, meeting->why));

    item->deal->state = state;
    item->deal->problem = meeting->why;
    cs_deal_cause(item->deal, NULL, NULL, b->p);
    if (!said) {
        cs_item_journal(b, item, action, "refused", meeting->why);
    }
    cs_item_finish(item);
}

static int needs_meeting(const cs_deal_t *deal)
{
    switch (deal->state) {
    case CS_DEAL_NEW:
    case CS_DEAL_LEAD:
    case CS_DEAL_IGNORED:
        return 1;
    case CS_DEAL_PARKED:
        return !json_object_size(deal->images);
    default:
        return 0;
    }
}

/* What a person parked, or what lives on without its other side, is not looked at further. */
static int rests(const cs_deal_t *deal)
{
    return deal->state == CS_DEAL_PARKED || deal->state == CS_DEAL_UNLINKED;
}

/* What the referral is to the mappings. Nothing is decided yet. */
static apr_status_t ask(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    if (item->deal->intent && item->deal->crm && item->crm < 0) {
        /* What was begun in a CRM is not begun again in another: the look ends at has_crm(). */
        return APR_SUCCESS;
    }
    item->meets = 1;
    return cs_meet_ask(b, item, res);
}

static apr_status_t decide(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const cs_meeting_t *meeting = &item->meeting;
    apr_status_t rv = APR_SUCCESS;
    int parked = 0;

    if (!item->meets) {
        return rv;
    }
    if (meeting->what == CS_MEET_LINK) {
        rv = cs_meet_holder(b, item, &parked, res);
    }
    if (rv != APR_SUCCESS || parked) {
        return rv;
    }
    if (meeting->what == CS_MEET_CREATE || meeting->what == CS_MEET_LINK) {
        /* An identity once reserved with an intent stays, whatever the user wrote meanwhile; one
         * that came with the record's own deal is there already. */
        if (!item->deal->intent && item->deal->state != CS_DEAL_LINKED) {
            reserve(b, item, meeting);
        }
        return rv;
    }
    leave_alone(b, item, meeting);
    return rv;
}

/* ---- into the store ---- */

static void add_alias(cs_batch_t *b, cs_item_t *item, const char *system, const char *id)
{
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_ALIAS);

    change->deal = item->deal;
    change->system = system;
    change->name = id;
}

static apr_status_t add_free_alias(cs_batch_t *b, cs_item_t *item, const char *system,
                                   const char *id, cs_result_t *res)
{
    cs_deal_t *holder = NULL;
    apr_status_t rv;

    if (cs_batch_alias_taken(b, item->deal, system, id)) {
        return APR_SUCCESS;
    }
    rv = cs_store_deal_find(b->lane->store, b->lane->site->name, system, id, &holder, b->p, res);
    if (rv == APR_SUCCESS && (!holder || (item->deal->id && holder->id == item->deal->id))) {
        add_alias(b, item, system, id);
    }
    return rv;
}

static apr_status_t add_aliases(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    add_alias(b, item, CS_SYSTEM_PC, item->own->id);
    if (item->own->engagement_id) {
        rv = add_free_alias(b, item, SYSTEM_ENGAGEMENT, item->own->engagement_id, res);
    }
    if (rv == APR_SUCCESS && item->microsoft) {
        rv = add_free_alias(b, item, CS_SYSTEM_PC, item->microsoft->id, res);
    }
    for (i = 0; rv == APR_SUCCESS && i < item->others->nelts; ++i) {
        rv = add_free_alias(b, item, CS_SYSTEM_PC, APR_ARRAY_IDX(item->others, i, cs_card_t *)->id,
                            res);
    }
    return rv;
}

/* The row that is about to be made has its deal before it is there: a notice of it, or a poll, may
 * come by before the look that makes it has been settled. */
static apr_status_t reserve_row(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const cs_deal_t *deal = item->deal;

    return !item->over && item->meets && item->meeting.what == CS_MEET_CREATE &&
                   deal->state == CS_DEAL_NEW && deal->crm && deal->record_id
               ? add_free_alias(b, item, deal->crm, deal->record_id, res)
               : APR_SUCCESS;
}

static void put_deal(cs_batch_t *b, cs_item_t *item)
{
    cs_batch_change(b, CS_CHANGE_DEAL)->deal = item->deal;
}

static void fold(cs_batch_t *b, cs_item_t *item, cs_deal_t *deal)
{
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_FOLD);

    change->deal = deal;
    change->work = item->work;
}

/* Microsoft's card belongs to the deal that met it first; what a notice says about it concerns
 * every referral of ours in the engagement. */
static void wake_siblings(cs_batch_t *b, cs_item_t *item)
{
    int i;

    if (!json_object_get(item->work->hints, CS_SYSTEM_RELATED) || !cs_work_notified(item->work)) {
        return;
    }
    for (i = 0; i < item->siblings->nelts; ++i) {
        const cs_card_t *card = APR_ARRAY_IDX(item->siblings, i, cs_card_t *);
        cs_batch_look_at(b, apr_pstrcat(b->p, "pc:", card->id, NULL), item->trace);
    }
}

static void new_deal(cs_batch_t *b, cs_item_t *item)
{
    item->deal = apr_pcalloc(b->p, sizeof(cs_deal_t));
    item->deal->site = b->lane->site->name;
    item->deal->created = b->now;
    item->fresh = 1;
}

static apr_status_t meet_unknown(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    apr_status_t rv = known_deal(b, item, res);

    if (rv == APR_SUCCESS && !item->deal) {
        new_deal(b, item);
    }
    return rv;
}

/* Which deal it is and what its referral is: before anything is asked of a CRM. */
static apr_status_t identify(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    apr_status_t rv;

    item->by_name = !item->deal;
    rv = item->by_name ? meet_unknown(b, item, res) : APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        item->deal->referral_id = item->own->id;
        item->deal->engagement_id = item->own->engagement_id;
        item->deal->title = text_of(item->own, "name");
        item->crm = cs_lane_crm_index(b->lane, item->deal->crm);
        item->was_parked = item->deal->id && item->deal->state == CS_DEAL_PARKED;
        rv = item->was_parked ? cs_meet_parked(b, item, res) : APR_SUCCESS;
    }
    if (rv == APR_SUCCESS && needs_meeting(item->deal)) {
        rv = ask(b, item, res);
    }
    return rv;
}

static apr_status_t settle_meeting(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    int by_name = item->by_name;
    apr_status_t rv = APR_SUCCESS;

    if (needs_meeting(item->deal)) {
        rv = decide(b, item, res);
    }
    else if (rests(item->deal)) {
        cs_item_finish(item);
    }
    if (rv == APR_SUCCESS && item->was_parked && item->deal->state != CS_DEAL_PARKED) {
        rv = cs_meet_unparked(b, item, res);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (by_name || !item->deal->id || item->over || item->was_parked) {
        put_deal(b, item);
        if (item->over) {
            /* What the deal's state remembers as said must be said in the same transaction. */
            cs_item_journal_store(b, item);
        }
    }
    if (by_name) {
        rv = add_aliases(b, item, res);
        fold(b, item, item->deal);
    }
    if (rv == APR_SUCCESS) {
        rv = reserve_row(b, item, res);
    }
    wake_siblings(b, item);
    return rv;
}

/* A second name of a deal of this batch: its notices belong to the first one's look, which must
 * then know what was read for them, and whether that was old. It was read with the first one, or
 * after it. */
static void share_read(const cs_item_t *item, cs_item_t *first)
{
    first->calls += item->calls;
    if (item->unseen > first->unseen) {
        first->unseen = item->unseen;
        first->unseen_at = item->unseen_at;
    }
    if (item->own->updated > first->own->updated) {
        first->own = item->own;
    }
    if (item->listed) {
        first->microsoft = item->microsoft;
        first->others = item->others;
        first->siblings = item->siblings;
    }
}

static void merge_into(cs_batch_t *b, cs_item_t *item, cs_item_t *first)
{
    item->deal = first->deal;
    fold(b, item, first->deal);
}

/* After the transaction: the deal's work row carries all names' notices, and what was covered under
 * each name counts for it. */
static void join_covered(cs_batch_t *b, cs_item_t **merged_into)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        cs_item_t *first = merged_into[i];
        if (first) {
            first->covered += item->covered;
            first->work = item->work;
            item->over = item->quiet = 1;
            item->work = NULL;
        }
    }
}

/* A deal of a record that has no referral (yet): nothing is there to be met. */
static int is_of_record(const cs_item_t *item)
{
    return item->deal && !item->deal->referral_id;
}

/* Referrals of ours that nobody sees (any more), and engagements without a card of ours, need no
 * deal. */
static void without_own(cs_batch_t *b, cs_item_t *item)
{
    cs_result_t gone = {0};

    if (item->deal) {
        cs_result_set(&gone, b->p, CS_EREMOTE, CS_CLASS_GONE, "pc:gone",
                      "referral %s is not in its engagement any more", item->deal->referral_id);
        cs_item_fail(item, CS_UPSTREAM_PC, &gone);
        return;
    }
    cs_item_finish(item);
    if (item->related_only) {
        cs_log(CS_LOG_DEBUG, 0, b->lane->site->name,
               "referral %s is no card of ours and no deal knows its engagement", item->asked);
        return;
    }
    /* A referral-* event names a card of ours: a wrong organization= would show itself here. */
    cs_item_journal(b, item, "ignore", "refused",
                    apr_psprintf(b->p, "referral %s belongs to the organisation %s, and ours is %s",
                                 item->asked,
                                 item->asked_card && item->asked_card->organization_id
                                     ? item->asked_card->organization_id
                                     : "(none)",
                                 b->lane->organization ? b->lane->organization : "not known yet"));
    cs_log(CS_LOG_INFO, 0, b->lane->site->name, CSLOGNO(2031) "%s",
           APR_ARRAY_IDX(item->journal, 0, cs_journal_t *)->why);
}

/* The outcome of one item's question to the store: a row that cannot be read ends that item
 * alone. */
static apr_status_t end_damaged(cs_batch_t *b, cs_item_t *item, apr_status_t rv, cs_result_t *res)
{
    cs_result_t result = {0};

    if (rv == CS_EPARSE || (rv != APR_SUCCESS && res->cls == CS_CLASS_REFUSED)) {
        cs_result_copy(&result, res, b->p);
        cs_item_fail(item, CS_UPSTREAM_PC, &result);
        rv = APR_SUCCESS;
    }
    return rv;
}

static apr_status_t identify_all(cs_batch_t *b, cs_item_t **merged_into, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->over) {
            continue;
        }
        if (is_of_record(item)) {
            item->crm = cs_lane_crm_index(b->lane, item->deal->crm);
            if (rests(item->deal)) {
                cs_item_finish(item);
            }
            continue;
        }
        if (!item->own) {
            without_own(b, item);
            continue;
        }
        merged_into[i] = same_referral(b, item);
        if (merged_into[i]) {
            share_read(item, merged_into[i]);
        }
        else {
            rv = end_damaged(b, item, identify(b, item, res), res);
            if (!item->over && item->meeting.match) {
                cs_item_wait_for_crm(b, item);
            }
        }
    }
    return rv;
}

static apr_status_t settle_all(cs_batch_t *b, cs_item_t **merged_into, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        cs_item_t *first = merged_into[i];
        if (first && first->over && !first->quiet) {
            /* Its meeting failed and is repeated: so is this one's. */
            cs_item_fail(item, first->upstream, &first->result);
            merged_into[i] = NULL;
        }
        else if (first) {
            merge_into(b, item, first);
        }
        else if (item->own && !item->over) {
            rv = end_damaged(b, item, settle_meeting(b, item, res), res);
        }
    }
    return rv;
}

apr_status_t cs_batch_meet(cs_batch_t *b, cs_result_t *res)
{
    cs_item_t **merged_into =
        apr_pcalloc(b->p, sizeof(*merged_into) * (apr_size_t)(b->items->nelts + 1));
    apr_status_t rv = identify_all(b, merged_into, res);

    if (rv == APR_SUCCESS) {
        cs_batch_route(b);
        cs_batch_match(b);
        rv = settle_all(b, merged_into, res);
    }
    if (rv == APR_SUCCESS && b->job && !b->dry) {
        rv = cs_batch_brake_meetings(b, res);
    }
    if (rv != APR_SUCCESS || b->stopped || b->dry) {
        return rv;
    }
    rv = cs_batch_commit(b, res);
    if (rv == APR_SUCCESS) {
        join_covered(b, merged_into);
        CS_CRASH_POINT("look-met");
    }
    return rv;
}
