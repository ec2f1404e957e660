/* engine/poll_list.c: the list of all referrals, newest change first, down to what was seen before.
 *
 * The cursor:
 *   {"watermark": microseconds   everything that changed before it was seen (the service's clock)
 *    "newest", "skip"            while a pass is under way: its newest change, and where it goes on
 *    "unsure": true              the pass met cards while nobody knew which organisation is ours
 *    "seen": {"<id>": [updated, eTag]}   what was near the top: lists lag, so that it is looked
 *                                through again, and each version is asked for once
 *    "found": {"<id>": engagement}       of the ids that the pass was asked for
 *    "answered": {"<id>": microseconds}  ids that were asked for lately, and when that was told
 *    "ours": organisation         it had cards in the list, so that its id is the right one
 *    "others": organisation       while a pass is under way that shows none of ours: whose else
 *    "foreign": "<ours> <others>"} what was warned of last
 *
 * A pass begins at the top, where cards only ever arrive: one that changes meanwhile moves there
 * and is the next pass's. A referral that nobody knows becomes work when it changed after the first
 * pass ever began; older ones are not pulled in. (partner-center-api.md 4.3) */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "poll.h"

#define PATIENCE apr_time_from_sec(60)
#define SEEN_MAX 4000
#define REASON CS_POLL_REASON
#define ANSWERED_MAX 500
#define ANSWER_LIFE apr_time_from_sec(24 * 3600)
#define SYSTEM_ENGAGEMENT "pc-engagement"

static json_t *member(cs_poll_t *t, const char *name)
{
    json_t *object = json_object_get(t->state, name);

    if (!json_is_object(object)) {
        object = json_object();
        json_object_set_new(t->state, name, object);
    }
    return object;
}

static int same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* ---- what was seen ---- */

static int was_seen(const json_t *seen, const cs_card_t *card)
{
    const json_t *entry = json_object_get(seen, card->id);

    return entry && json_integer_value(json_array_get(entry, 0)) == card->updated &&
           (!card->etag || same(json_string_value(json_array_get(entry, 1)), card->etag));
}

static void note_seen(cs_poll_t *t, json_t *seen, const cs_card_t *card)
{
    apr_time_t newest = cs_json_int(t->state, "newest", 0);

    if (card->updated >= newest - CS_POLL_OVERLAP && json_object_size(seen) < SEEN_MAX) {
        json_object_set_new(seen, card->id,
                            json_pack("[I, s]", (json_int_t)card->updated,
                                      card->etag ? card->etag : ""));
    }
}

static void forget_older(json_t *seen, apr_time_t before)
{
    const char *id;
    json_t *entry;
    void *next;

    json_object_foreach_safe(seen, next, id, entry) {
        if (json_integer_value(json_array_get(entry, 0)) < before) {
            json_object_del(seen, id);
        }
    }
}

/* ---- one card ---- */

/* While our organisation is not known the list tells it, if it shows one only. */
static const char *own_organization(const cs_poll_t *t, const cs_pc_page_t *page)
{
    const char *found = t->b->lane->organization;
    int i;

    for (i = 0; !t->b->lane->organization && i < page->cards->nelts; ++i) {
        const char *id = APR_ARRAY_IDX(page->cards, i, cs_card_t *)->organization_id;
        if (!id || same(id, "msft") || same(id, found)) {
            continue;
        }
        if (found) {
            return NULL;
        }
        found = id;
    }
    return found;
}

static apr_status_t find(cs_poll_t *t, const char *system, const char *id, cs_deal_t **pdeal,
                         cs_result_t *res)
{
    apr_status_t rv;

    *pdeal = NULL;
    if (!id) {
        return APR_SUCCESS;
    }
    rv = cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, system, id, pdeal, t->b->p,
                            res);
    /* One that cannot be read has its look, which says so. */
    return rv == CS_EPARSE ? APR_SUCCESS : rv;
}

static int is_known_version(const cs_deal_t *deal, const cs_card_t *card)
{
    return card->etag ? same(deal->pc_version, card->etag) : card->updated <= deal->updated;
}

static apr_status_t judge_own(cs_poll_t *t, const cs_card_t *card, cs_result_t *res)
{
    cs_deal_t *deal;
    apr_status_t rv = find(t, CS_SYSTEM_PC, card->id, &deal, res);

    if (rv != APR_SUCCESS || (deal && is_known_version(deal, card))) {
        return rv;
    }
    return cs_poll_look(t,
                        deal ? cs_poll_deal_name(t, deal->id)
                             : apr_pstrcat(t->b->p, CS_SYSTEM_PC ":", card->id, NULL),
                        CS_SYSTEM_PC, card->updated, res);
}

/* A counterpart's card is of interest in an engagement of ours; what we know of it has no version.
 */
static apr_status_t judge_other(cs_poll_t *t, const cs_card_t *card, cs_result_t *res)
{
    cs_deal_t *deal;
    apr_status_t rv = find(t, CS_SYSTEM_PC, card->id, &deal, res);

    if (rv == APR_SUCCESS && !deal) {
        rv = find(t, SYSTEM_ENGAGEMENT, card->engagement_id, &deal, res);
    }
    return rv == APR_SUCCESS && deal ? cs_poll_look(t, cs_poll_deal_name(t, deal->id),
                                                    CS_SYSTEM_RELATED, card->updated, res)
                                     : rv;
}

static void note_found(cs_poll_t *t, const cs_card_t *card)
{
    const char *reason = apr_pstrcat(t->b->p, REASON, card->id, NULL);

    if (json_object_get(t->work->hints, reason)) {
        json_object_set_new(member(t, "found"), card->id,
                            json_string(card->engagement_id ? card->engagement_id : ""));
    }
}

static void note_others(cs_poll_t *t, const cs_card_t *card, const char *own)
{
    if (own && card->organization_id && !same(card->organization_id, "msft") &&
        !same(card->organization_id, own) && !json_object_get(t->state, "others")) {
        json_object_set_new(t->state, "others", json_string(card->organization_id));
    }
}

static apr_status_t judge(cs_poll_t *t, const cs_card_t *card, const char *own, cs_result_t *res)
{
    json_t *seen = member(t, "seen");
    apr_status_t rv;

    note_found(t, card);
    note_others(t, card, own);
    if (was_seen(seen, card)) {
        return APR_SUCCESS;
    }
    if (!own && card->organization_id && !same(card->organization_id, "msft")) {
        /* Whose it is will be known later: this part of the list is read again then. */
        json_object_set_new(t->state, "unsure", json_true());
        return APR_SUCCESS;
    }
    if (same(card->organization_id, own) || !card->organization_id) {
        rv = judge_own(t, card, res);
    }
    else {
        rv = judge_other(t, card, res);
    }
    if (rv == APR_SUCCESS) {
        note_seen(t, seen, card);
    }
    return rv;
}

/* ---- a page ---- */

static apr_time_t newest_of(const cs_pc_page_t *page, apr_time_t newest)
{
    int i;

    for (i = 0; i < page->cards->nelts; ++i) {
        apr_time_t updated = APR_ARRAY_IDX(page->cards, i, cs_card_t *)->updated;
        newest = updated > newest ? updated : newest;
    }
    return newest;
}

/* Cards of any age prove that an id is ours. */
static void note_ours(cs_poll_t *t, const cs_pc_page_t *page, const char *own)
{
    int i;

    for (i = 0; own && i < page->cards->nelts; ++i) {
        if (same(APR_ARRAY_IDX(page->cards, i, cs_card_t *)->organization_id, own)) {
            json_object_set_new(t->state, "ours", json_string(own));
            return;
        }
    }
}

/* *pbottom = 1 when what follows was seen by a former pass. */
static apr_status_t judge_page(cs_poll_t *t, const cs_pc_page_t *page, int *pbottom,
                               cs_result_t *res)
{
    apr_time_t floor =
        cs_json_int(t->state, "watermark", t->b->now - CS_POLL_OVERLAP) - CS_POLL_OVERLAP;
    const char *own = own_organization(t, page);
    apr_status_t rv = APR_SUCCESS;
    int i;

    note_ours(t, page, own);
    for (i = 0; rv == APR_SUCCESS && !*pbottom && i < page->cards->nelts; ++i) {
        const cs_card_t *card = APR_ARRAY_IDX(page->cards, i, cs_card_t *);
        if (card->updated && card->updated < floor) {
            *pbottom = 1;
        }
        else {
            rv = judge(t, card, own, res);
        }
    }
    return rv;
}

/* ---- the end of a pass ---- */

static void journal_reason(cs_poll_t *t, const char *id)
{
    const char *engagement = cs_json_str(json_object_get(t->state, "found"), id);
    cs_journal_t *journal = apr_pcalloc(t->b->p, sizeof(*journal));

    journal->at = t->b->now;
    journal->direction = "";
    journal->action = "related";
    journal->outcome = engagement ? "done" : "refused";
    journal->why =
        engagement
            ? apr_psprintf(t->b->p, "the list of all referrals shows %s, of the engagement %s", id,
                           *engagement ? engagement : "that it does not name")
            : apr_psprintf(t->b->p, "the list of all referrals does not show %s either", id);
    cs_batch_change(t->b, CS_CHANGE_JOURNAL)->journal = journal;
    if (json_object_size(member(t, "answered")) < ANSWERED_MAX) {
        json_object_set_new(member(t, "answered"), id, json_integer(t->b->now));
    }
}

static void forget_answers(cs_poll_t *t)
{
    json_t *answered = member(t, "answered"), *value;
    const char *id;
    void *next;

    json_object_foreach_safe(answered, next, id, value) {
        apr_time_t at = json_integer_value(value);
        if (at <= t->b->now - ANSWER_LIFE || at > t->b->now) {
            json_object_del(answered, id);
        }
    }
}

/* 1 when the list was asked for this id not long ago. */
int cs_poll_is_answered(cs_batch_t *b, const char *id)
{
    cs_work_t work = {.kind = CS_WORK_POLL, .name = CS_POLL_REFERRALS};
    cs_poll_t t = {.b = b, .work = &work};
    apr_time_t at;

    t.timer = cs_timer_named(b->lane->site, work.kind, work.name, b->p);
    if (cs_poll_load(&t, NULL) != APR_SUCCESS) {
        return 0;
    }
    at = cs_json_int(json_object_get(t.state, "answered"), id, 0);
    return at && at <= b->now && at > b->now - ANSWER_LIFE;
}

/* Why no card of this pass was one of ours, although there were others'; NULL = nothing is wrong.
 * A wrong id of our organisation would lose every new referral without a word. */
static const char *foreign_words(cs_poll_t *t, const char *own)
{
    const char *others = cs_json_str(t->state, "others"), *warned;
    const char *pair, *why;

    if (!own || !others || same(cs_json_str(t->state, "ours"), own)) {
        json_object_del(t->state, "foreign");
        return NULL;
    }
    why = apr_psprintf(t->b->p,
                       "the list shows referrals of the organisation %s and none of %s, which is "
                       "ours: check organization= of CosellPartnerCenter; what changed since is "
                       "looked through again until one of ours is seen",
                       others, own);
    pair = apr_pstrcat(t->b->p, own, " ", others, NULL);
    warned = cs_json_str(t->state, "foreign");
    if (!same(warned, pair)) {
        cs_log(CS_LOG_WARNING, 0, t->b->lane->site->name, CSLOGNO(2112) "%s", why);
        json_object_set_new(t->state, "foreign", json_string(pair));
    }
    return why;
}

static void over(cs_poll_t *t, const char *foreign)
{
    json_object_del(t->state, "newest");
    json_object_del(t->state, "skip");
    json_object_del(t->state, "unsure");
    json_object_del(t->state, "found");
    json_object_del(t->state, "others");
    if (foreign) {
        cs_poll_over_with(t, "config:organization", foreign);
        return;
    }
    cs_poll_over(t);
}

static void end_pass(cs_poll_t *t)
{
    const char *foreign = foreign_words(t, t->b->lane->organization);
    apr_time_t newest = cs_json_int(t->state, "newest", 0);
    apr_time_t watermark = cs_json_int(t->state, "watermark", 0);
    const char *hint;
    json_t *value;

    forget_answers(t);
    json_object_foreach(t->work->hints, hint, value) {
        if (!strncmp(hint, REASON, sizeof(REASON) - 1)) {
            journal_reason(t, hint + sizeof(REASON) - 1);
        }
    }
    if (foreign) {
        json_object_del(t->state, "seen"); /* by who comes after the correction */
    }
    else if (!cs_json_bool(t->state, "unsure", 0)) {
        watermark = newest > watermark ? newest : watermark;
    }
    if (watermark) {
        json_object_set_new(t->state, "watermark", json_integer(watermark));
        forget_older(member(t, "seen"), watermark - CS_POLL_OVERLAP);
    }
    over(t, foreign);
}

/* A place in a list is not kept for ever: the pass begins anew. */
static void failed(cs_poll_t *t, const cs_pc_page_t *page)
{
    cs_class_e cls = page->result.cls;

    t->result = page->result;
    if (page->skip && cls != CS_CLASS_RETRY && cls != CS_CLASS_THROTTLED &&
        cls != CS_CLASS_UNKNOWN && cls != CS_CLASS_TOKEN) {
        json_object_del(t->state, "skip");
        json_object_del(t->state, "newest");
        cs_poll_store(t);
    }
    cs_poll_failed(t);
}

apr_status_t cs_poll_list(cs_poll_t *t, cs_result_t *res)
{
    cs_pc_page_t page;
    apr_status_t rv;
    int bottom = 0;

    memset(&page, 0, sizeof(page));
    page.skip = cs_json_str(t->state, "skip");
    cs_pc_list_changed(t->b->lane->pc, &page, cs_time_mono() + PATIENCE, t->b->p);
    if (page.result.cls != CS_CLASS_OK || !page.cards) {
        failed(t, &page);
        return APR_SUCCESS;
    }
    if (!page.skip) {
        json_object_set_new(t->state, "newest", json_integer(newest_of(&page, 0)));
    }
    rv = judge_page(t, &page, &bottom, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (bottom || !page.next || same(page.next, page.skip)) {
        end_pass(t);
    }
    else {
        json_object_set_new(t->state, "skip", json_string(page.next));
        cs_poll_more(t);
    }
    return rv;
}
