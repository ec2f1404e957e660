/* engine/fetch.c: stage 4: all cards of the engagements, and the CRM's rows.
 *
 * What a look covers. A read that starts after a notice was committed shows at least what the
 * notice speaks of (up to the read lag that the hint detects). A known deal is read last, so its
 * look covers what was committed before that read. A referral met for the first time must be read
 * before its engagement can be listed; when the list, sent later, shows the same version, the look
 * covers what was committed before the list was sent; else what was claimed. The CRM's rows are
 * read after all that.
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/log.h"
#include "batch.h"

#define STAGE apr_time_from_sec(120)
#define HINT_SLACK apr_time_from_sec(2)

static apr_interval_time_t stage_deadline(void)
{
    return cs_time_mono() + STAGE;
}

/* ---- Partner Center ---- */

static void take_read(cs_batch_t *b, cs_item_t *item, const cs_pc_read_t *read)
{
    cs_item_account(b, item, read->calls, read->took, read->correlation);
    if (read->result.cls != CS_CLASS_OK) {
        cs_item_fail(item, CS_UPSTREAM_PC, &read->result);
    }
}

typedef const char *id_fn(const cs_item_t *item);

/* Its own card needs not be asked for. */
static int is_ahead(const cs_item_t *item)
{
    return item->ahead || item->ahead_own;
}

static const char *id_of_unknown(const cs_item_t *item)
{
    return item->deal || is_ahead(item) ? NULL : item->asked;
}

static const char *id_of_known(const cs_item_t *item)
{
    return item->deal && !is_ahead(item) ? item->deal->referral_id : NULL;
}

static const char *engagement_of(const cs_item_t *item)
{
    if (item->ahead) {
        return NULL;
    }
    if (item->asked_card) {
        return item->asked_card->engagement_id;
    }
    return item->deal ? item->deal->engagement_id : NULL;
}

static cs_pc_read_t *reads_of(cs_batch_t *b, id_fn *id_of, cs_item_t ***pitems, int *pn)
{
    cs_pc_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(b->items->nelts + 1));
    cs_item_t **items = apr_pcalloc(b->p, sizeof(*items) * (apr_size_t)(b->items->nelts + 1));
    int i, n = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        const char *id = item->over ? NULL : id_of(item);
        if (id) {
            reads[n].id = id;
            reads[n].trace = item->trace;
            items[n++] = item;
        }
    }
    *pitems = items;
    *pn = n;
    return reads;
}

static void get_cards(cs_batch_t *b, id_fn *id_of)
{
    cs_item_t **items;
    int i, n;
    cs_pc_read_t *reads = reads_of(b, id_of, &items, &n);

    if (!n) {
        return;
    }
    cs_pc_get(b->lane->pc, reads, n, stage_deadline(), b->p);
    for (i = 0; i < n; ++i) {
        take_read(b, items[i], &reads[i]);
        items[i]->asked_card = reads[i].card;
    }
}

/* What a list showed a while ago is known before anything is asked for. */
static void take_ahead(cs_item_t *item)
{
    item->asked_card = item->ahead_own;
    item->listed = item->ahead ? (apr_array_header_t *)item->ahead : item->listed;
}

/* Several names of one engagement cost one list. */
static void list_engagements(cs_batch_t *b)
{
    cs_item_t **items;
    int i, j, n, m = 0;
    cs_pc_read_t *wanted = reads_of(b, engagement_of, &items, &n);
    cs_pc_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(n + 1));
    int *which = apr_pcalloc(b->p, sizeof(*which) * (apr_size_t)(n + 1));
    apr_hash_t *seen = apr_hash_make(b->p);

    for (i = 0; i < n; ++i) {
        int *first = apr_hash_get(seen, wanted[i].id, APR_HASH_KEY_STRING);
        which[i] = first ? *first : m;
        reads[which[i]].trace = cs_trace_shared(b, reads[which[i]].trace, items[i]);
        if (!first) {
            reads[m++].id = wanted[i].id;
            apr_hash_set(seen, wanted[i].id, APR_HASH_KEY_STRING, &which[i]);
        }
    }
    if (!m) {
        return;
    }
    cs_pc_list_engagement(b->lane->pc, reads, m, stage_deadline(), b->p);
    for (i = 0, j = -1; i < n; ++i) {
        cs_pc_read_t read = reads[which[i]];
        if (which[i] <= j) {
            read.calls = 0;
            read.took = 0;
        }
        j = which[i] > j ? which[i] : j;
        take_read(b, items[i], &read);
        items[i]->listed = read.cards;
    }
}

/* ---- whose card is whose ---- */

static int same_id(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static int is_microsoft(const cs_card_t *card)
{
    return same_id(card->organization_id, "msft");
}

static int is_own(const cs_batch_t *b, const cs_card_t *card)
{
    return b->lane->organization && same_id(card->organization_id, b->lane->organization);
}

/* The organisation of the first referral that a referral-* event named is ours, for good. (deals 1)
 */
static void learn_organization(cs_batch_t *b)
{
    int i;

    for (i = 0; i < b->items->nelts && !b->lane->organization; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        const cs_card_t *card = item->over || item->related_only ? NULL : item->asked_card;
        if (card && card->organization_id && !is_microsoft(card)) {
            cs_change_t *change;
            if (b->dry) {
                b->lane->organization = card->organization_id;
                b->guessed = 1;
                return;
            }
            change = cs_batch_change(b, CS_CHANGE_META);
            change->name = "organization";
            change->text = cs_lane_learn(b->lane, card->organization_id);
            cs_log(CS_LOG_NOTICE, 0, b->lane->site->name,
                   CSLOGNO(2030) "own organisation is %s, learnt from referral %s",
                   b->lane->organization, card->id);
        }
    }
}

/* The later of two sightings of one card. */
static cs_card_t *later(cs_card_t *a, cs_card_t *b)
{
    return a && (!b || b->updated <= a->updated) ? a : b;
}

static cs_card_t *own_card_of(const cs_batch_t *b, const cs_item_t *item)
{
    const char *known = item->deal ? item->deal->referral_id : NULL;
    cs_card_t *asked = item->asked_card;
    int i;

    if (asked && (known ? same_id(asked->id, known) : is_own(b, asked))) {
        return asked;
    }
    for (i = 0; item->listed && i < item->listed->nelts; ++i) {
        cs_card_t *card = APR_ARRAY_IDX(item->listed, i, cs_card_t *);
        if (known ? same_id(card->id, known) : is_own(b, card)) {
            return card;
        }
    }
    return NULL;
}

static void sort_cards(cs_batch_t *b, cs_item_t *item)
{
    int i;

    item->own = own_card_of(b, item);
    item->others = apr_array_make(b->p, 2, sizeof(cs_card_t *));
    item->siblings = apr_array_make(b->p, 1, sizeof(cs_card_t *));
    for (i = 0; item->listed && i < item->listed->nelts; ++i) {
        cs_card_t *card = APR_ARRAY_IDX(item->listed, i, cs_card_t *);
        if (item->own && same_id(card->id, item->own->id)) {
            item->own = later(item->own, card);
        }
        else if (is_microsoft(card)) {
            item->microsoft = item->microsoft ? later(item->microsoft, card) : card;
        }
        else {
            APR_ARRAY_PUSH(is_own(b, card) ? item->siblings : item->others, cs_card_t *) = card;
        }
    }
}

/* ---- what the look covers, and whether it read old news ---- */

static int list_confirms(const cs_item_t *item)
{
    int i;

    for (i = 0; item->own && item->listed && i < item->listed->nelts; ++i) {
        const cs_card_t *card = APR_ARRAY_IDX(item->listed, i, cs_card_t *);
        if (same_id(card->id, item->own->id)) {
            return card == item->own || (card->etag && same_id(card->etag, item->own->etag));
        }
    }
    return 0;
}

static apr_time_t newest_of(apr_time_t updated, const cs_card_t *card)
{
    return card && card->updated > updated ? card->updated : updated;
}

/* A related-* event speaks of a counterpart's card, or, which is not documented, of our own. */
static apr_time_t newest_card(const cs_item_t *item)
{
    apr_time_t updated = newest_of(newest_of(0, item->own), item->microsoft);
    int i;

    for (i = 0; i < item->others->nelts; ++i) {
        updated = newest_of(updated, APR_ARRAY_IDX(item->others, i, cs_card_t *));
    }
    return updated;
}

static apr_time_t hint_of(const cs_item_t *item, const char *system)
{
    const json_t *hint = json_object_get(item->work->hints, system);

    return json_is_integer(hint) ? (apr_time_t)json_integer_value(hint) : 0;
}

static void note_unseen(cs_item_t *item, apr_time_t hint, apr_time_t read, const char *upstream)
{
    if (read && hint > read + HINT_SLACK && hint > item->unseen) {
        item->unseen = hint;
        item->unseen_at = upstream;
    }
}

static void judge_freshness(cs_item_t *item, apr_int64_t claimed)
{
    if (item->own && item->own->updated) {
        note_unseen(item, hint_of(item, CS_SYSTEM_PC), item->own->updated, CS_UPSTREAM_PC);
        note_unseen(item, hint_of(item, CS_SYSTEM_RELATED), newest_card(item), CS_UPSTREAM_PC);
    }
    if (is_ahead(item)) {
        /* It was read before what is outstanding came in, for all that is known. */
        item->covered = 0;
    }
    else if (!item->deal && !list_confirms(item)) {
        item->covered = claimed;
    }
}

static apr_status_t fetch_portion(cs_batch_t *b, cs_result_t *res)
{
    apr_array_header_t *works = apr_array_make(b->p, b->items->nelts + 1, sizeof(cs_work_t *));
    apr_int64_t *claimed = apr_pcalloc(b->p, sizeof(*claimed) * (apr_size_t)(b->items->nelts + 1));
    apr_status_t rv;
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        if (is_ahead(APR_ARRAY_IDX(b->items, i, cs_item_t *))) {
            take_ahead(APR_ARRAY_IDX(b->items, i, cs_item_t *));
        }
    }
    get_cards(b, id_of_unknown);
    for (i = 0; i < b->items->nelts; ++i) {
        cs_work_t *work = APR_ARRAY_IDX(b->items, i, cs_item_t *)->work;
        claimed[i] = work->wanted - work->done;
        APR_ARRAY_PUSH(works, cs_work_t *) = work;
    }
    rv = cs_store_refresh(b->lane->store, works, b->p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        item->covered = item->work->wanted - item->work->done;
    }
    list_engagements(b);
    get_cards(b, id_of_known);
    learn_organization(b);
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over) {
            sort_cards(b, item);
            judge_freshness(item, claimed[i]);
        }
        else if (is_ahead(item)) {
            item->covered = 0;
        }
        else if (!item->deal) {
            /* It was read before the notices were counted again. */
            item->covered = claimed[i];
        }
    }
    return APR_SUCCESS;
}

/* Those that are over cost nothing more, and what was done for them is stored with this batch. */
static apr_array_header_t *over_first(const cs_batch_t *b)
{
    apr_array_header_t *out = apr_array_make(b->p, b->items->nelts + 1, sizeof(cs_item_t *));
    int i, over;

    for (over = 1; over >= 0; --over) {
        for (i = 0; i < b->items->nelts; ++i) {
            cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
            if (!item->over == !over) {
                APR_ARRAY_PUSH(out, cs_item_t *) = item;
            }
        }
    }
    return out;
}

/* Partner Center answered nothing of it: more of that would only hold the lane, and its breaker
 * counts what a batch met. */
static int is_unanswered(const apr_array_header_t *portion)
{
    int i, failed = 0;

    for (i = 0; i < portion->nelts; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(portion, i, cs_item_t *);
        if (item->asked_card || item->listed) {
            return 0;
        }
        failed += item->over && !item->quiet && (item->result.cls == CS_CLASS_RETRY ||
                                                 item->result.cls == CS_CLASS_UNKNOWN);
    }
    return failed > 0;
}

apr_status_t cs_batch_fetch(cs_batch_t *b, cs_result_t *res)
{
    apr_array_header_t *all = over_first(b), *done = apr_array_make(b->p, all->nelts + 1,
                                                                    sizeof(cs_item_t *));
    apr_interval_time_t end = stage_deadline();
    apr_status_t rv = APR_SUCCESS;
    int more = all->nelts > 0;

    while (rv == APR_SUCCESS && more) {
        apr_interval_time_t began = cs_time_boot();
        b->items = cs_turn_portion(b, all, done->nelts);
        rv = fetch_portion(b, res);
        cs_turn_measure(b->lane, b->items->nelts, cs_time_boot() - began);
        apr_array_cat(done, b->items);
        more = done->nelts < all->nelts && !is_unanswered(b->items) && cs_time_mono() < end &&
               !cs_turn_called(b);
    }
    b->items = done;
    return rv;
}

/* ---- CRM rows ---- */

/* Of a deal that was made here for its referral the row cannot exist yet; one that was made for its
 * row is about nothing else. */
static int wants_record(const cs_item_t *item, int crm)
{
    return !item->over && item->work && item->deal && item->crm == crm && item->kind &&
           item->deal->record_id && !(item->fresh && item->own);
}

/* 0 = the row cannot be asked for: it has no id yet, and no key. */
static int fill_read(cs_batch_t *b, const cs_item_t *item, cs_crm_read_t *read)
{
    const json_t *key = cs_mapping_key_of(item->kind, item->deal, b->p);

    if (!key && cs_deal_is_reserved(b, item->crm, item->deal)) {
        return 0;
    }
    read->table = item->deal->table;
    read->id = item->deal->record_id;
    read->key = key;
    read->columns = cs_mapping_columns(item->kind);
    read->lookups = cs_lane_lookups(item->kind, b->p);
    read->related = cs_mapping_related(item->kind);
    return 1;
}

static apr_status_t take_record(cs_batch_t *b, cs_item_t *item, const cs_crm_read_t *read,
                                cs_result_t *res)
{
    const char *name = cs_lane_upstream(b->lane, item->crm);

    cs_item_account(b, item, read->calls, read->took, read->correlation);
    if (read->result.cls != CS_CLASS_OK && read->result.cls != CS_CLASS_GONE) {
        cs_item_fail(item, name, &read->result);
        return APR_SUCCESS;
    }
    item->record = read->record;
    item->record_read = 1;
    if (read->record) {
        note_unseen(item, hint_of(item, name), read->record->modified, name);
    }
    return cs_item_adopt(b, item, res);
}

static apr_status_t read_from(cs_batch_t *b, int crm, cs_result_t *res)
{
    cs_crm_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(b->items->nelts + 1));
    cs_item_t **items = apr_pcalloc(b->p, sizeof(*items) * (apr_size_t)(b->items->nelts + 1));
    const char *trace = NULL;
    apr_status_t rv = APR_SUCCESS;
    int i, n = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (wants_record(item, crm) && fill_read(b, item, &reads[n])) {
            items[n++] = item;
            trace = cs_trace_shared(b, trace, item);
        }
    }
    if (!n) {
        return rv;
    }
    cs_batch_trace_is(b, trace);
    b->lane->crm_impl[crm]->read(b->lane->crm[crm], reads, n, stage_deadline(), b->p);
    cs_batch_trace(b);
    for (i = 0; rv == APR_SUCCESS && i < n; ++i) {
        rv = take_record(b, items[i], &reads[i], res);
    }
    return rv;
}

apr_status_t cs_batch_read_records(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int crm;

    for (crm = 0; rv == APR_SUCCESS && crm < b->lane->site->ncrms; ++crm) {
        rv = read_from(b, crm, res);
    }
    return rv;
}
