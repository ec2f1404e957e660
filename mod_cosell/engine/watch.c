/* engine/watch.c: which rows a deal's record shows, for the store: when one of them changes, the
 * deal is looked at. (deals 7) Written only when they change, as far as this lane remembers. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/pool.h"
#include "batch.h"

#define WATCHED_MAX 20000

void cs_batch_watch_forget(cs_batch_t *b)
{
    if (b->lane->watched) {
        apr_pool_clear(b->lane->watched_pool);
        b->lane->watched = NULL;
    }
}

/* What was stored last, as far as this lane remembers: after a start each deal stores it once. */
static int is_stored(cs_batch_t *b, const cs_deal_t *deal, const char *digest)
{
    cs_lane_t *lane = b->lane;
    const char *stored;

    if (lane->watched && apr_hash_count(lane->watched) >= WATCHED_MAX) {
        cs_batch_watch_forget(b);
    }
    if (!lane->watched_pool &&
        cs_pool_create_own(&lane->watched_pool, lane->pool, 0, "cosell-watched") != APR_SUCCESS) {
        return 0;
    }
    if (!lane->watched) {
        lane->watched = apr_hash_make(lane->watched_pool);
    }
    stored = apr_hash_get(lane->watched, &deal->id, sizeof(deal->id));
    if (stored && !strcmp(stored, digest)) {
        return 1;
    }
    if (stored) {
        memcpy((char *)stored, digest, strlen(digest));
        return 0;
    }
    apr_hash_set(lane->watched,
                 apr_pmemdup(lane->watched_pool, &deal->id, sizeof(deal->id)), sizeof(deal->id),
                 apr_pstrdup(lane->watched_pool, digest));
    return 0;
}

/* A deal that is over is woken by nothing that its record shows. */
void cs_item_watch(cs_batch_t *b, cs_item_t *item)
{
    int alive = item->deal->state == CS_DEAL_NEW || item->deal->state == CS_DEAL_LINKED ||
                item->deal->state == CS_DEAL_PARKED;
    json_t *rows = NULL;
    cs_change_t *change;
    const char *text;

    if (!item->record_read || !item->deal->crm || (alive && !item->record)) {
        return;
    }
    if (alive) {
        rows = cs_mapping_shown_rows(item->kind, item->record, b->p);
    }
    if (alive && !rows) {
        return;
    }
    rows = rows ? rows : cs_json_own(json_object(), b->p);
    text = cs_json_print(rows, b->p);
    if (item->deal->id && is_stored(b, item->deal, cs_sha256_hex(text, strlen(text), b->p))) {
        return;
    }
    change = cs_batch_change(b, CS_CHANGE_WATCH);
    change->deal = item->deal;
    change->system = item->deal->crm;
    change->rows = rows;
}
