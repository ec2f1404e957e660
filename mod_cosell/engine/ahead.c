/* engine/ahead.c: Partner Center's list, page by page, into memory. */
#include "ahead.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../base/pool.h"

#define LIFE apr_time_from_sec(1800)
#define PATIENCE apr_time_from_sec(15)
#define TURN apr_time_from_sec(3)
/* Texts that are kept; of further referrals only who they are. */
#define ROOM ((apr_size_t)192 * 1024 * 1024)
#define PROOFS 3

typedef struct entry_t {
    cs_ahead_own_t own; /* of any card, ours or not */
    const char *organization, *etag;
    apr_time_t updated;
    const char *text; /* NULL = it had no room */
    int shared;
    struct entry_t *next; /* of the same engagement */
} entry_t;

typedef enum { LISTING, TOP_AGAIN, PROVING, READY } phase_e;

struct cs_ahead_t {
    apr_pool_t *pool;
    apr_time_t floor;
    apr_interval_time_t begun; /* cs_time_boot() */
    phase_e phase;
    const char *skip; /* where the list goes on; NULL = at its top */
    apr_time_t newest, top;
    int pages, whole, trusted;
    apr_size_t bytes;
    apr_hash_t *by_id, *by_engagement; /* entry_t */
    apr_array_header_t *own;           /* entry_t *, by id */
    apr_hash_t *settled;               /* deal -> apr_interval_time_t, cs_time_boot() */
};

static int same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* ---- life ---- */

static int is_old(const cs_ahead_t *ahead)
{
    return cs_time_boot() - ahead->begun > LIFE;
}

void cs_ahead_drop(cs_lane_t *lane)
{
    cs_ahead_t *ahead = lane->ahead;

    lane->ahead = NULL;
    if (ahead) {
        apr_pool_destroy(ahead->pool);
    }
}

void cs_ahead_expire(cs_lane_t *lane)
{
    if (lane->ahead && is_old(lane->ahead)) {
        cs_ahead_drop(lane);
    }
}

static int reaches(const cs_ahead_t *ahead, apr_time_t floor)
{
    return !ahead->floor || (floor && ahead->floor <= floor);
}

cs_ahead_t *cs_ahead_of(cs_lane_t *lane, apr_time_t floor)
{
    cs_ahead_t *ahead = lane->ahead;

    return ahead && ahead->phase == READY && reaches(ahead, floor) && !is_old(ahead) ? ahead : NULL;
}

static cs_ahead_t *begin(cs_lane_t *lane, apr_time_t floor)
{
    cs_ahead_t *ahead;
    apr_pool_t *pool;

    cs_ahead_drop(lane);
    if (cs_pool_create_own(&pool, lane->pool, 0, "cosell-ahead") != APR_SUCCESS) {
        return NULL;
    }
    ahead = apr_pcalloc(pool, sizeof(*ahead));
    ahead->pool = pool;
    ahead->floor = floor;
    ahead->begun = cs_time_boot();
    ahead->by_id = apr_hash_make(pool);
    ahead->by_engagement = apr_hash_make(pool);
    ahead->settled = apr_hash_make(pool);
    return lane->ahead = ahead;
}

/* ---- deals that were looked at since ---- */

void cs_ahead_settled(cs_lane_t *lane, apr_int64_t deal)
{
    cs_ahead_t *ahead = lane->ahead;
    apr_interval_time_t *at;

    if (!ahead) {
        return;
    }
    at = apr_hash_get(ahead->settled, &deal, sizeof(deal));
    if (!at) {
        at = apr_palloc(ahead->pool, sizeof(*at));
        apr_hash_set(ahead->settled, apr_pmemdup(ahead->pool, &deal, sizeof(deal)), sizeof(deal),
                     at);
    }
    *at = cs_time_boot();
}

int cs_ahead_is_settled(const cs_ahead_t *ahead, const cs_ahead_own_t *own, apr_int64_t deal)
{
    const apr_interval_time_t *at = apr_hash_get(ahead->settled, &deal, sizeof(deal));

    return at && *at >= own->read;
}

int cs_ahead_pages(const cs_lane_t *lane, int *pcards)
{
    *pcards = lane->ahead ? (int)apr_hash_count(lane->ahead->by_id) : 0;
    return lane->ahead ? lane->ahead->pages : 0;
}

/* ---- cards ---- */

static entry_t *new_entry(cs_ahead_t *ahead, const cs_card_t *card)
{
    entry_t *entry = apr_pcalloc(ahead->pool, sizeof(*entry));

    entry->own.id = apr_pstrdup(ahead->pool, card->id);
    apr_hash_set(ahead->by_id, entry->own.id, APR_HASH_KEY_STRING, entry);
    if (card->engagement_id) {
        entry->own.engagement = apr_pstrdup(ahead->pool, card->engagement_id);
        entry->next =
            apr_hash_get(ahead->by_engagement, entry->own.engagement, APR_HASH_KEY_STRING);
        apr_hash_set(ahead->by_engagement, entry->own.engagement, APR_HASH_KEY_STRING, entry);
    }
    return entry;
}

/* Of two sightings the later one counts. */
static void keep(cs_ahead_t *ahead, const cs_card_t *card, apr_interval_time_t asked,
                 apr_pool_t *ptemp)
{
    entry_t *entry = apr_hash_get(ahead->by_id, card->id, APR_HASH_KEY_STRING);
    const char *type = cs_json_str(card->doc, "type");
    const char *text = cs_json_print(card->doc, ptemp);
    apr_size_t len = text ? strlen(text) : 0;

    if (entry && entry->updated >= card->updated && same(entry->etag, card->etag)) {
        return;
    }
    entry = entry ? entry : new_entry(ahead, card);
    entry->own.read = asked;
    entry->organization = apr_pstrdup(ahead->pool, card->organization_id);
    entry->etag = apr_pstrdup(ahead->pool, card->etag);
    entry->updated = card->updated;
    entry->shared = !type || strcmp(type, "Independent");
    entry->text = NULL;
    if (len && ahead->bytes + len < ROOM) {
        entry->text = apr_pstrmemdup(ahead->pool, text, len);
        ahead->bytes += len;
    }
}

static cs_card_t *card_of(const entry_t *entry, apr_pool_t *p)
{
    cs_card_t *card = apr_pcalloc(p, sizeof(*card));
    json_t *doc = NULL;

    if (!entry->text ||
        cs_json_parse(&doc, entry->text, strlen(entry->text), NULL, p, NULL) != APR_SUCCESS) {
        return NULL;
    }
    card->id = apr_pstrdup(p, entry->own.id);
    card->engagement_id = apr_pstrdup(p, entry->own.engagement);
    card->organization_id = apr_pstrdup(p, entry->organization);
    card->etag = apr_pstrdup(p, entry->etag);
    card->updated = entry->updated;
    card->doc = cs_json_own(doc, p);
    return card;
}

/* ---- a page ---- */

/* Everything before this has been seen; what changed since the list was begun stands before it. */
static apr_time_t bottom_of(const cs_ahead_t *ahead)
{
    return ahead->phase == TOP_AGAIN ? ahead->top : ahead->floor;
}

/* 1 when the page shows what lies below the bottom. */
static int take_cards(cs_ahead_t *ahead, const cs_pc_page_t *page, apr_interval_time_t asked,
                      apr_pool_t *ptemp)
{
    apr_time_t bottom = bottom_of(ahead);
    int i, below = 0;

    for (i = 0; i < page->cards->nelts; ++i) {
        const cs_card_t *card = APR_ARRAY_IDX(page->cards, i, cs_card_t *);
        ahead->newest = card->updated > ahead->newest ? card->updated : ahead->newest;
        if (bottom && card->updated && card->updated < bottom) {
            below = 1;
        }
        else {
            keep(ahead, card, asked, ptemp);
        }
    }
    return below;
}

static void next_phase(cs_ahead_t *ahead, int below)
{
    ahead->skip = NULL;
    if (ahead->phase == LISTING) {
        ahead->whole = !below;
        ahead->floor = below ? ahead->floor : 0;
        ahead->phase = TOP_AGAIN;
        return;
    }
    ahead->phase = PROVING;
}

static void read_page(cs_lane_t *lane, cs_ahead_t *ahead, cs_result_t *result, apr_pool_t *ptemp)
{
    apr_interval_time_t asked = cs_time_boot();
    cs_pc_page_t page;
    int below;

    memset(&page, 0, sizeof(page));
    page.skip = ahead->skip;
    cs_pc_list_changed(lane->pc, &page, cs_time_mono() + PATIENCE, ptemp);
    *result = page.result;
    if (page.result.cls != CS_CLASS_OK || !page.cards) {
        return;
    }
    ++ahead->pages;
    below = take_cards(ahead, &page, asked, ptemp);
    if (ahead->phase == LISTING && !ahead->top) {
        ahead->top = ahead->newest ? ahead->newest : 1;
    }
    if (below || !page.next || same(page.next, page.skip)) {
        next_phase(ahead, below);
        return;
    }
    ahead->skip = apr_pstrdup(ahead->pool, page.next);
}

/* ---- what proves that the list shows the others' cards ---- */

/* An engagement that should have a counterpart's card, and of which the list shows one card. */
static int seems_to_lack(const entry_t *entry)
{
    return entry->shared && entry->own.engagement && !entry->next;
}

static int doubtful(const cs_ahead_t *ahead, cs_pc_read_t *reads, apr_pool_t *ptemp)
{
    apr_hash_index_t *at;
    int n = 0;

    for (at = apr_hash_first(ptemp, ahead->by_engagement); at && n < PROOFS;
         at = apr_hash_next(at)) {
        const entry_t *entry = apr_hash_this_val(at);
        if (seems_to_lack(entry)) {
            reads[n++].id = entry->own.engagement;
        }
    }
    return n;
}

static int shows_more(const cs_ahead_t *ahead, const cs_pc_read_t *read)
{
    int i;

    for (i = 0; i < read->cards->nelts; ++i) {
        if (!apr_hash_get(ahead->by_id, APR_ARRAY_IDX(read->cards, i, cs_card_t *)->id,
                          APR_HASH_KEY_STRING)) {
            return 1;
        }
    }
    return 0;
}

/* It may be asked again. */
static int is_passing(const cs_result_t *result)
{
    return result->cls == CS_CLASS_RETRY || result->cls == CS_CLASS_THROTTLED ||
           result->cls == CS_CLASS_UNKNOWN || result->cls == CS_CLASS_TOKEN;
}

static void prove(cs_lane_t *lane, cs_ahead_t *ahead, cs_result_t *result, apr_pool_t *ptemp)
{
    cs_pc_read_t reads[PROOFS];
    int i, n;

    memset(reads, 0, sizeof(reads));
    n = ahead->whole ? doubtful(ahead, reads, ptemp) : 0;
    if (n) {
        cs_pc_list_engagement(lane->pc, reads, n, cs_time_mono() + PATIENCE, ptemp);
    }
    ahead->trusted = ahead->whole;
    for (i = 0; i < n; ++i) {
        if (is_passing(&reads[i].result)) {
            *result = reads[i].result;
            return;
        }
        ahead->trusted &=
            reads[i].result.cls == CS_CLASS_OK && reads[i].cards && !shows_more(ahead, &reads[i]);
    }
    ahead->phase = READY;
}

/* ---- which are ours ---- */

/* While our organisation is not known the list tells it, if it shows one only. */
static const char *own_organization(const cs_lane_t *lane, const cs_ahead_t *ahead,
                                    apr_pool_t *ptemp)
{
    const char *found = lane->organization;
    apr_hash_index_t *at;

    for (at = apr_hash_first(ptemp, ahead->by_id); at && !lane->organization;
         at = apr_hash_next(at)) {
        const entry_t *entry = apr_hash_this_val(at);
        if (!entry->organization || same(entry->organization, "msft") ||
            same(entry->organization, found)) {
            continue;
        }
        if (found) {
            return NULL;
        }
        found = entry->organization;
    }
    return found;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(entry_t *const *)a)->own.id, (*(entry_t *const *)b)->own.id);
}

static void sort_own(const cs_lane_t *lane, cs_ahead_t *ahead, apr_pool_t *ptemp)
{
    const char *own = own_organization(lane, ahead, ptemp);
    apr_hash_index_t *at;

    ahead->own =
        apr_array_make(ahead->pool, (int)apr_hash_count(ahead->by_id) + 1, sizeof(entry_t *));
    for (at = apr_hash_first(ptemp, ahead->by_id); at; at = apr_hash_next(at)) {
        entry_t *entry = apr_hash_this_val(at);
        if (!entry->organization || same(entry->organization, own)) {
            APR_ARRAY_PUSH(ahead->own, entry_t *) = entry;
        }
    }
    qsort(ahead->own->elts, (size_t)ahead->own->nelts, sizeof(entry_t *), by_id);
}

/* ---- reading ---- */

/* A place in a list is not kept for ever: it begins anew. */
static int place_is_lost(const cs_ahead_t *ahead, const cs_result_t *result)
{
    return ahead->skip && (result->cls == CS_CLASS_DATA || result->cls == CS_CLASS_REFUSED);
}

static void finish(const cs_lane_t *lane, cs_ahead_t *ahead, apr_pool_t *ptemp)
{
    sort_own(lane, ahead, ptemp);
    cs_log(CS_LOG_INFO, 0, lane->site->name,
           CSLOGNO(2340) "read Partner Center's list ahead: %d referrals, %d of them ours, on %d "
                         "pages%s",
           (int)apr_hash_count(ahead->by_id), ahead->own->nelts, ahead->pages,
           ahead->trusted ? "" : "; what else is in their engagements is asked for one by one");
}

void cs_ahead_read(cs_lane_t *lane, apr_time_t floor, int *pready, cs_result_t *result,
                   apr_pool_t *ptemp)
{
    apr_interval_time_t end = cs_time_mono() + TURN;
    cs_ahead_t *ahead = lane->ahead;

    *pready = 0;
    memset(result, 0, sizeof(*result));
    if (!ahead || ahead->phase == READY || !reaches(ahead, floor) || is_old(ahead)) {
        ahead = begin(lane, floor);
    }
    if (!ahead) {
        cs_result_set(result, ptemp, APR_ENOMEM, CS_CLASS_RETRY, "memory", "out of memory");
        return;
    }
    do {
        if (ahead->phase == PROVING) {
            prove(lane, ahead, result, ptemp);
        }
        else {
            read_page(lane, ahead, result, ptemp);
        }
    } while (result->cls == CS_CLASS_OK && ahead->phase != READY && cs_time_mono() < end);
    if (place_is_lost(ahead, result)) {
        cs_ahead_drop(lane);
        result->cls = CS_CLASS_RETRY;
        return;
    }
    *pready = ahead->phase == READY;
    if (*pready) {
        finish(lane, ahead, ptemp);
    }
}

/* ---- what it shows ---- */

int cs_ahead_count(const cs_ahead_t *ahead)
{
    return ahead->own->nelts;
}

const cs_ahead_own_t *cs_ahead_at(const cs_ahead_t *ahead, int i)
{
    return &APR_ARRAY_IDX(ahead->own, i, entry_t *)->own;
}

int cs_ahead_after(const cs_ahead_t *ahead, const char *id)
{
    int low = 0, high = ahead->own->nelts;

    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(APR_ARRAY_IDX(ahead->own, middle, entry_t *)->own.id, id) > 0) {
            high = middle;
        }
        else {
            low = middle + 1;
        }
    }
    return low;
}

int cs_ahead_has(const cs_ahead_t *ahead, const char *id)
{
    return apr_hash_get(ahead->by_id, id, APR_HASH_KEY_STRING) != NULL;
}

apr_array_header_t *cs_ahead_cards(const cs_ahead_t *ahead, const cs_ahead_own_t *own,
                                   cs_card_t **pown, apr_pool_t *p)
{
    apr_array_header_t *cards = apr_array_make(p, 3, sizeof(cs_card_t *));
    const entry_t *entry = apr_hash_get(ahead->by_id, own->id, APR_HASH_KEY_STRING), *first;
    int complete = ahead->trusted;
    cs_card_t *card;

    *pown = NULL;
    first = own->engagement
                ? apr_hash_get(ahead->by_engagement, own->engagement, APR_HASH_KEY_STRING)
                : entry;
    for (; first; first = first->next) {
        card = card_of(first, p);
        complete &= card != NULL;
        if (card && first == entry) {
            *pown = card;
        }
        if (card) {
            APR_ARRAY_PUSH(cards, cs_card_t *) = card;
        }
    }
    return complete && *pown ? cards : NULL;
}
