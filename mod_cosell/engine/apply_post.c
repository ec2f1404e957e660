/* engine/apply_post.c: stage 6 towards Partner Center: new referrals. (deals 3)
 *
 *   "sent" into the deal -> is it there already? -> POST -> what it is into the deal, at once
 *
 * A POST is not idempotent and nothing can be deleted there, so the deal says "sent" in a
 * transaction before anything leaves, and keeps saying so while the answer is not known: later
 * looks search for it before they may post again. Only when surely nothing was made is it taken
 * back. Whatever came of it, the deal is looked at again at once: what follows is planned from what
 * is there then. */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/log.h"
#include "apply.h"

#define STAGE apr_time_from_sec(120)
/* As many answers as a crash may lose at once. */
#define PORTION 8
/* How far before its own first moment a deal's referral is searched for: two clocks. */
#define SLACK apr_time_from_sec(3600)
#define SEARCH_MAX apr_time_from_sec(7 * 24 * 3600)
/* Within this time of a store's beginning the records come by that another store knew. */
#define BEGINNING apr_time_from_sec(24 * 3600)
#define CARD_PAUSE apr_time_from_sec(300)
#define SYSTEM_ENGAGEMENT "pc-engagement"

#define OWN "own"
#define CONNECTED "connected"

typedef struct posting_t {
    cs_item_t *item;
    const cs_step_t *step;
    cs_applied_t *applied;
    const char *which; /* OWN, CONNECTED */
    int search_only;
    json_t *before; /* posted.<which> as it was; NULL = nothing */
    const char *request;
    const cs_card_t *card; /* found or made */
    int made;
    int open; /* is still to be posted */
} posting_t;

typedef struct posts_t {
    cs_batch_t *b;
    posting_t *posts;
    int n;
} posts_t;

/* ---- what the deal says ---- */

static json_t *entry_of(const cs_deal_t *deal, const char *which)
{
    return json_object_get(deal->posted, which);
}

/* entry NULL takes it away. The former document stays as it was. */
static void set_entry(cs_batch_t *b, cs_deal_t *deal, const char *which, json_t *entry)
{
    json_t *posted = cs_json_own(deal->posted ? json_copy(deal->posted) : json_object(), b->p);

    if (entry) {
        json_object_set(posted, which, entry);
    }
    else {
        json_object_del(posted, which);
    }
    deal->posted = json_object_size(posted) ? posted : NULL;
}

static json_t *changed_entry(cs_batch_t *b, const cs_deal_t *deal, const char *which)
{
    json_t *entry = entry_of(deal, which);

    return cs_json_own(entry ? json_deep_copy(entry) : json_object(), b->p);
}

static void is_done(cs_batch_t *b, cs_deal_t *deal, const char *which, const char *referral)
{
    json_t *entry = changed_entry(b, deal, which);

    json_object_set_new(entry, "state", json_string("done"));
    json_object_set_new(entry, "id", json_string(referral));
    json_object_del(entry, "why");
    set_entry(b, deal, which, entry);
}

void cs_posted_is(cs_batch_t *b, cs_deal_t *deal, const char *referral)
{
    const char *state = cs_json_str(entry_of(deal, OWN), "state");

    /* Of a record that only waited, or was refused, somebody else made it: it is met as any other
     * is. */
    if (state && strcmp(state, "refused")) {
        is_done(b, deal, OWN, referral);
    }
    else if (state) {
        set_entry(b, deal, OWN, NULL);
    }
}

static const char *digest_of(const cs_batch_t *b, const json_t *document)
{
    const char *text = cs_json_print(document, b->p);

    return cs_sha256_hex(text, strlen(text), b->p);
}

void cs_posted_hidden(cs_batch_t *b, cs_item_t *item, const cs_step_t *share,
                      const cs_result_t *result)
{
    const char *digest = cs_json_str(json_array_get(share->columns, 0), "path");
    json_t *entry = changed_entry(b, item->deal, CONNECTED);
    cs_journal_t *journal;
    int i;

    for (i = 0; i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        if (step->kind == CS_STEP_POST_PC && step->call && !strcmp(step->call, CONNECTED)) {
            digest = digest_of(b, step->columns);
        }
    }
    json_object_set_new(entry, "state", json_string("refused"));
    json_object_set_new(entry, "why", json_string(cs_result_words(result)));
    json_object_set_new(entry, "digest", json_string(digest ? digest : ""));
    json_object_set_new(entry, "at", json_integer((json_int_t)b->now));
    json_object_set_new(entry, "mapping",
                        json_string(cs_mapping_digest(b->lane->site->crms[item->crm].mapping)));
    set_entry(b, item->deal, CONNECTED, entry);
    journal = cs_item_journal(b, item, "invite", "refused", cs_result_words(result));
    journal->direction = "to_pc";
    item->posted = 1;
}

static json_t *sent_entry(const posts_t *t, const posting_t *post)
{
    const char *mapping = cs_mapping_digest(t->b->lane->site->crms[post->item->crm].mapping);

    return cs_json_own(json_pack("{s:s, s:s, s:s, s:I, s:i, s:s}", "state", "sent", "request",
                                 post->request, "digest", digest_of(t->b, post->step->columns),
                                 "at", (json_int_t)cs_time_now(), "tries", 0, "mapping", mapping),
                       t->b->p);
}

/* Into the next transaction. The intent that was stored for this look stays with it. */
static void put_deal(const posts_t *t, const posting_t *post)
{
    cs_deal_t *deal = apr_pmemdup(t->b->p, post->item->deal, sizeof(*deal));

    deal->intent = post->item->plan->intent ? cs_unheard_intent(t->b, post->item) : deal->intent;
    cs_batch_change(t->b, CS_CHANGE_DEAL)->deal = deal;
}

/* ---- which ---- */

static void add_posting(posts_t *t, cs_item_t *item, int index)
{
    posting_t *post = &t->posts[t->n++];
    const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, index, cs_step_t *);

    memset(post, 0, sizeof(*post));
    post->item = item;
    post->step = step;
    post->applied = &item->applied[index];
    post->which = step->call && strstr(step->call, CONNECTED) ? CONNECTED : OWN;
    post->search_only = step->call && !strncmp(step->call, "find", 4);
    post->before = entry_of(item->deal, post->which);
    post->request = cs_uuid4(t->b->p);
    post->open = 1;
}

/* 1 when another referral of ours in the engagement has invited Microsoft, or is about to: there is
 * one card of Microsoft's in it, whether it is shown yet or not. */
static apr_status_t is_invited(const posts_t *t, const posting_t *post, int *pinvited,
                               cs_result_t *res)
{
    const cs_item_t *item = post->item;
    apr_status_t rv = APR_SUCCESS;
    int i;

    *pinvited = 0;
    for (i = 0; &t->posts[i] != post; ++i) {
        const cs_deal_t *other = t->posts[i].item->deal;
        *pinvited |= !strcmp(t->posts[i].which, CONNECTED) && other->engagement_id &&
                     item->deal->engagement_id &&
                     !strcmp(other->engagement_id, item->deal->engagement_id);
    }
    for (i = 0; rv == APR_SUCCESS && !*pinvited && item->siblings && i < item->siblings->nelts;
         ++i) {
        cs_deal_t *other = NULL;
        const char *state;
        rv = cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, CS_SYSTEM_PC,
                                APR_ARRAY_IDX(item->siblings, i, cs_card_t *)->id, &other, t->b->p,
                                res);
        rv = rv == CS_EPARSE ? APR_SUCCESS : rv;
        state = other && other->id != item->deal->id
                    ? cs_json_str(entry_of(other, CONNECTED), "state")
                    : NULL;
        *pinvited = state && strcmp(state, "refused");
    }
    return rv;
}

static apr_status_t invite_once(posts_t *t, cs_result_t *res)
{
    posting_t *post = &t->posts[t->n - 1];
    cs_result_t later = {0};
    apr_status_t rv;
    int invited;

    if (strcmp(post->which, CONNECTED) || post->search_only) {
        return APR_SUCCESS;
    }
    rv = is_invited(t, post, &invited, res);
    if (rv == APR_SUCCESS && invited) {
        cs_result_set(&later, t->b->p, CS_EREMOTE, CS_CLASS_THROTTLED, "deal:invited",
                      "another referral of the engagement %s has invited Microsoft: its card is "
                      "waited for",
                      post->item->deal->engagement_id);
        later.retry_at = t->b->now + CARD_PAUSE;
        cs_item_fail(post->item, CS_UPSTREAM_PC, &later);
        --t->n;
    }
    return rv;
}

/* One of an item: the second is planned from what became of the first. */
static apr_status_t collect(posts_t *t, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int i, k;

    for (i = 0; rv == APR_SUCCESS && i < t->b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(t->b->items, i, cs_item_t *);
        int most = item->work && !item->over && item->plan && !item->copy_of &&
                           item->plan->what == CS_PLAN_STEPS
                       ? item->plan->steps->nelts
                       : 0;
        for (k = 0; k < most; ++k) {
            const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, k, cs_step_t *);
            if (step->send && step->kind == CS_STEP_POST_PC && !item->applied[k].tried &&
                cs_step_may_follow(item, step)) {
                add_posting(t, item, k);
                rv = invite_once(t, res);
                break;
            }
        }
    }
    return rv;
}

/* ---- how one ends ---- */

static void say(const posts_t *t, posting_t *post, const char *outcome, const char *why)
{
    cs_item_journal(t->b, post->item, "post", outcome, why)->direction = "to_pc";
}

/* Surely nothing was made: as if nothing had been said. */
static void take_back(const posts_t *t, posting_t *post, const cs_result_t *result)
{
    post->open = 0;
    post->applied->tried = 1;
    post->applied->result = *result;
    if (!post->search_only) {
        set_entry(t->b, post->item->deal, post->which, post->before);
        put_deal(t, post);
    }
    cs_item_fail(post->item, CS_UPSTREAM_PC, result);
}

static void refused(const posts_t *t, posting_t *post, const cs_result_t *result)
{
    json_t *entry = changed_entry(t->b, post->item->deal, post->which);

    post->open = 0;
    post->applied->tried = 1;
    post->applied->result = *result;
    post->item->posted = 1;
    json_object_set_new(entry, "state", json_string("refused"));
    json_object_set_new(entry, "why", json_string(cs_result_words(result)));
    set_entry(t->b, post->item->deal, post->which, entry);
    put_deal(t, post);
}

/* From now on it is waited for: others of the batch may have gone before it. */
static void unanswered(const posts_t *t, posting_t *post, const cs_result_t *result)
{
    json_t *entry = changed_entry(t->b, post->item->deal, post->which);

    json_object_set_new(entry, "at", json_integer((json_int_t)cs_time_now()));
    set_entry(t->b, post->item->deal, post->which, entry);
    put_deal(t, post);
    post->open = 0;
    post->applied->tried = 1;
    post->applied->result = *result;
    post->item->posted = 1;
    say(t, post, "held",
        "Partner Center did not answer: the referral is searched for before it is made again");
}

/* ---- it is there ---- */

static void add_alias(const posts_t *t, cs_deal_t *deal, const char *system, const char *id)
{
    cs_change_t *change = cs_batch_change(t->b, CS_CHANGE_ALIAS);

    change->deal = deal;
    change->system = system;
    change->name = id;
}

static int is_another(const char *a, const char *b)
{
    return a && (!b || strcmp(a, b) != 0);
}

/* Another deal met the referral by its own notice. Without a record it is this one; *pstranger =
 * it has one, or is of another referral, and Microsoft's card is its alias. */
static apr_status_t join_holder(const posts_t *t, cs_deal_t *deal, const char *system,
                                const char *id, const cs_deal_t **pstranger, cs_result_t *res)
{
    cs_deal_t *holder = NULL;
    apr_status_t rv;

    *pstranger = NULL;
    rv = cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, system, id, &holder, t->b->p,
                            res);
    if (rv != APR_SUCCESS || !holder || holder->id == deal->id) {
        return rv;
    }
    /* Two CRMs may have rows of one id: a copy of an organisation beside the original. */
    if (is_another(holder->record_id, deal->record_id) || is_another(holder->crm, deal->crm) ||
        is_another(holder->referral_id, deal->referral_id)) {
        *pstranger = holder;
        return rv;
    }
    cs_batch_change(t->b, CS_CHANGE_MERGE)->deal = deal;
    APR_ARRAY_IDX(t->b->changes, t->b->changes->nelts - 1, cs_change_t).value = holder->id;
    return rv;
}

static void learn_organization(const posts_t *t, const cs_card_t *card)
{
    cs_change_t *change;

    if (t->b->lane->organization || !card->organization_id ||
        !strcmp(card->organization_id, "msft")) {
        return;
    }
    change = cs_batch_change(t->b, CS_CHANGE_META);
    change->name = "organization";
    change->text = cs_lane_learn(t->b->lane, card->organization_id);
    cs_log(CS_LOG_NOTICE, 0, t->b->lane->site->name,
           CSLOGNO(2033) "own organisation is %s, learnt from referral %s, which we made",
           t->b->lane->organization, card->id);
}

/* Both deals have a record: which of them the referral is of is for a person to say. */
static void park(const posts_t *t, posting_t *post, const cs_deal_t *stranger)
{
    cs_deal_t *deal = post->item->deal;

    deal->state = CS_DEAL_PARKED;
    deal->problem =
        apr_psprintf(t->b->p,
                     "referral %s was made for this record and belongs to the deal of "
                     "record %s%s%s",
                     post->card->id, stranger->record_id ? stranger->record_id : "(none)",
                     is_another(stranger->crm, deal->crm) ? " of " : "",
                     is_another(stranger->crm, deal->crm) ? stranger->crm : "");
    cs_deal_cause(deal, "parked two", "Two records name one referral", t->b->p);
    say(t, post, "held", deal->problem);
    post->item->plan = NULL;
    cs_batch_change(t->b, CS_CHANGE_DEAL)->deal = deal;
    cs_item_finish(post->item);
}

static apr_status_t is_there(const posts_t *t, posting_t *post, cs_result_t *res)
{
    cs_deal_t *deal = post->item->deal;
    const cs_deal_t *stranger;
    apr_status_t rv;
    int own = !strcmp(post->which, OWN);

    post->open = 0;
    post->applied->tried = post->applied->done = 1;
    post->applied->found = !post->made;
    post->applied->card = post->card;
    post->item->posted = 1;
    is_done(t->b, deal, post->which, post->card->id);
    if (own) {
        deal->referral_id = post->card->id;
    }
    rv = join_holder(t, deal, CS_SYSTEM_PC, post->card->id, &stranger, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (stranger && own) {
        deal->referral_id = NULL;
        park(t, post, stranger);
        return rv;
    }
    if (own) {
        deal->engagement_id = post->card->engagement_id;
        learn_organization(t, post->card);
    }
    put_deal(t, post);
    if (!stranger && !cs_batch_alias_taken(t->b, deal, CS_SYSTEM_PC, post->card->id)) {
        add_alias(t, deal, CS_SYSTEM_PC, post->card->id);
    }
    if (own && post->card->engagement_id) {
        rv = join_holder(t, deal, SYSTEM_ENGAGEMENT, post->card->engagement_id, &stranger, res);
        if (rv == APR_SUCCESS && !stranger &&
            !cs_batch_alias_taken(t->b, deal, SYSTEM_ENGAGEMENT, post->card->engagement_id)) {
            add_alias(t, deal, SYSTEM_ENGAGEMENT, post->card->engagement_id);
        }
    }
    return rv;
}

/* ---- before: it is said ---- */

static apr_status_t say_sent(posts_t *t, cs_result_t *res)
{
    apr_status_t rv;
    int i;

    for (i = 0; i < t->n; ++i) {
        posting_t *post = &t->posts[i];
        if (!post->search_only) {
            set_entry(t->b, post->item->deal, post->which, sent_entry(t, post));
            put_deal(t, post);
        }
    }
    rv = cs_batch_commit(t->b, res);
    if (rv == APR_SUCCESS) {
        CS_CRASH_POINT("post-intended");
    }
    return rv;
}

/* ---- is it there already? ---- */

/* 1 when a store that is lost may have made it, whenever that was. */
static int is_of_the_beginning(const posts_t *t, const posting_t *post)
{
    return !cs_json_int(post->before, "at", 0) &&
           post->item->deal->created < t->b->lane->begun + BEGINNING;
}

static apr_time_t since_of(const posts_t *t, const posting_t *post)
{
    apr_time_t at = cs_json_int(post->before, "at", 0);
    apr_time_t since = (at ? at : post->item->deal->created) - SLACK;

    return since < t->b->now - SEARCH_MAX ? t->b->now - SEARCH_MAX : since;
}

/* What searching for one's own goes by. */
static const char *reference_of(const posting_t *post)
{
    const char *reference = cs_json_str(post->step->columns, "externalReferenceId");

    return reference ? reference : post->item->deal->record_id;
}

static const cs_card_t *microsoft_of(const apr_array_header_t *cards)
{
    int i;

    for (i = 0; cards && i < cards->nelts; ++i) {
        const cs_card_t *card = APR_ARRAY_IDX(cards, i, const cs_card_t *);
        if (card->organization_id && !strcmp(card->organization_id, "msft")) {
            return card;
        }
    }
    return NULL;
}

static void not_there(const posts_t *t, posting_t *post)
{
    json_t *entry;

    if (!post->search_only) {
        return;
    }
    entry = changed_entry(t->b, post->item->deal, post->which);
    json_object_set_new(entry, "tries", json_integer(cs_json_int(entry, "tries", 0) + 1));
    set_entry(t->b, post->item->deal, post->which, entry);
    post->open = 0;
    post->applied->tried = post->applied->done = 1;
    post->item->posted = 1;
    put_deal(t, post);
}

static apr_status_t take_search(const posts_t *t, posting_t *post, const cs_pc_read_t *read,
                                cs_result_t *res)
{
    cs_applied_account(t->b, post->item, post->applied, read->calls, read->took, read->correlation);
    if (read->result.cls != CS_CLASS_OK) {
        take_back(t, post, &read->result);
        return APR_SUCCESS;
    }
    post->card = !strcmp(post->which, OWN) ? read->card : microsoft_of(read->cards);
    if (!post->card) {
        not_there(t, post);
        return APR_SUCCESS;
    }
    return is_there(t, post, res);
}

/* Those of one kind in one call; the earliest moment of all is that of all. Of the beginning: as
 * far back as a search goes. */
static apr_status_t search(posts_t *t, const char *which, int beginning, cs_result_t *res)
{
    cs_pc_read_t *reads = apr_pcalloc(t->b->p, sizeof(*reads) * (apr_size_t)(t->n + 1));
    posting_t **whose = apr_pcalloc(t->b->p, sizeof(*whose) * (apr_size_t)(t->n + 1));
    apr_time_t since = t->b->now;
    apr_status_t rv = APR_SUCCESS;
    int i, n = 0, own = !strcmp(which, OWN);

    for (i = 0; i < t->n; ++i) {
        posting_t *post = &t->posts[i];
        if (!strcmp(post->which, which) && (!own || is_of_the_beginning(t, post) == beginning)) {
            reads[n].id = own ? reference_of(post) : post->item->deal->engagement_id;
            reads[n].trace = post->item->trace;
            since = since_of(t, post) < since ? since_of(t, post) : since;
            whose[n++] = post;
        }
    }
    if (n && own) {
        cs_pc_find(t->b->lane->pc, reads, n, beginning ? 0 : since, cs_time_mono() + STAGE,
                   t->b->p);
    }
    else if (n) {
        cs_pc_list_engagement(t->b->lane->pc, reads, n, cs_time_mono() + STAGE, t->b->p);
    }
    for (i = 0; rv == APR_SUCCESS && i < n; ++i) {
        rv = take_search(t, whose[i], &reads[i], res);
    }
    return rv;
}

/* ---- making it ---- */

static apr_status_t take_answer(const posts_t *t, posting_t *post, const cs_pc_write_t *write,
                                cs_result_t *res)
{
    cs_applied_account(t->b, post->item, post->applied, write->calls, write->took,
                       write->correlation);
    switch (write->result.cls) {
    case CS_CLASS_OK:
        if (write->card) {
            post->card = write->card;
            post->made = 1;
            cs_count(CS_COUNT_PC_CREATED, 1);
            ++t->b->created;
            return is_there(t, post, res);
        }
        unanswered(t, post, &write->result);
        break;
    case CS_CLASS_UNKNOWN:
        unanswered(t, post, &write->result);
        break;
    case CS_CLASS_DATA:
    case CS_CLASS_REFUSED:
        refused(t, post, &write->result);
        break;
    default:
        take_back(t, post, &write->result);
    }
    return APR_SUCCESS;
}

static apr_status_t post_some(posts_t *t, posting_t **whose, int n, cs_result_t *res)
{
    cs_pc_write_t *writes = apr_pcalloc(t->b->p, sizeof(*writes) * (apr_size_t)(n + 1));
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < n; ++i) {
        writes[i].body = whose[i]->step->columns;
        writes[i].request = whose[i]->request;
        writes[i].trace = whose[i]->item->trace;
    }
    cs_pc_post(t->b->lane->pc, writes, n, cs_time_mono() + STAGE, t->b->p);
    CS_CRASH_POINT("post-sent");
    for (i = 0; rv == APR_SUCCESS && i < n; ++i) {
        rv = take_answer(t, whose[i], &writes[i], res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_batch_commit(t->b, res);
    }
    if (rv == APR_SUCCESS) {
        CS_CRASH_POINT("post-known");
    }
    return rv;
}

static apr_status_t post_all(posts_t *t, cs_result_t *res)
{
    posting_t *whose[PORTION];
    apr_status_t rv = APR_SUCCESS;
    int i, n = 0;

    for (i = 0; rv == APR_SUCCESS && i < t->n; ++i) {
        if (t->posts[i].open && !t->posts[i].item->over) {
            whose[n++] = &t->posts[i];
        }
        if (n == PORTION) {
            rv = post_some(t, whose, n, res);
            n = 0;
        }
    }
    return rv == APR_SUCCESS && n ? post_some(t, whose, n, res) : rv;
}

apr_status_t cs_batch_post(cs_batch_t *b, cs_result_t *res)
{
    posts_t t = {b, apr_pcalloc(b->p, sizeof(posting_t) * (apr_size_t)(b->items->nelts + 1)), 0};
    apr_status_t rv;

    rv = collect(&t, res);
    if (rv != APR_SUCCESS || !t.n) {
        return rv;
    }
    rv = say_sent(&t, res);
    if (rv == APR_SUCCESS) {
        rv = search(&t, OWN, 0, res);
    }
    if (rv == APR_SUCCESS) {
        rv = search(&t, OWN, 1, res);
    }
    if (rv == APR_SUCCESS) {
        rv = search(&t, CONNECTED, 0, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_batch_commit(t.b, res);
    }
    return rv == APR_SUCCESS ? post_all(&t, res) : rv;
}
