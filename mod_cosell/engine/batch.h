/* engine/batch.h: one batch of looks on its way through fetch, plan, apply and settle. Inside the
 * engine only; one thread. */
#ifndef CS_ENGINE_BATCH_H
#define CS_ENGINE_BATCH_H

#include "../domain/reconcile.h"
#include "lane.h"

/* One deal of the batch. */
typedef struct cs_item_t {
    cs_work_t *work;     /* the claimed row; after meeting the deal's own row */
    const char *asked;   /* referral id the work names; NULL when it names a deal */
    int related_only;    /* only related-referral-* events named it */
    apr_int64_t covered; /* notices this look covers: added to work->done at settle */
    cs_deal_t *deal;     /* NULL until met */
    int fresh;           /* the deal was made in this batch: its row cannot exist yet */

    cs_card_t *asked_card; /* what GET of `asked` showed */
    cs_card_t *own, *microsoft;
    apr_array_header_t *others; /* cs_card_t * */
    apr_array_header_t *listed; /* cs_card_t *, the engagement; NULL = not listed */
    apr_time_t
        unseen; /* the version a notice spoke of, when all that was read is older; 0 = none */

    int crm; /* index of the owning CRM, -1 = none */
    const cs_mapping_kind_t *kind;
    cs_record_t *record;
    int record_read;

    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
    apr_array_header_t *journal; /* cs_journal_t * */

    int over;             /* nothing more to be done in this batch: result says how it ended */
    int quiet;            /* over, and its work is done */
    cs_result_t result;   /* cls OK = fine */
    const char *upstream; /* whose answer result is */
    int recalled;         /* a look-up's row was found in an earlier batch */
    int calls;
    apr_interval_time_t took;
    const char *correlation;
} cs_item_t;

typedef struct cs_batch_t {
    cs_lane_t *lane;
    apr_pool_t *p; /* lives as long as the batch */
    apr_time_t now;
    apr_array_header_t *items;   /* cs_item_t * */
    apr_array_header_t *changes; /* cs_change_t for the next cs_store_write */
    int created, updated, closed, nothing, failed;
} cs_batch_t;

/* Ends the item with a result that belongs to upstream. */
void cs_item_fail(cs_item_t *item, const char *upstream, const cs_result_t *result);
/* Ends the item well: its work is done. */
void cs_item_finish(cs_item_t *item);
void cs_item_account(cs_batch_t *b, cs_item_t *item, int calls, apr_interval_time_t took,
                     const char *correlation);
cs_change_t *cs_batch_change(cs_batch_t *b, cs_change_e kind);
/* A journal line of the engine's own about this item. */
cs_journal_t *cs_item_journal(cs_batch_t *b, cs_item_t *item, const char *action,
                              const char *outcome, const char *why);
/* settle.c: adds the item's journal lines to the changes of the next transaction, and forgets them.
 */
void cs_item_journal_store(cs_batch_t *b, cs_item_t *item);

/* 1 if a change that waits for this batch's next transaction gives the external id to another deal.
 */
int cs_batch_alias_taken(const cs_batch_t *b, const cs_deal_t *deal, const char *system,
                         const char *id);

/* fetch.c: cards of all items; who is whose. Ends items that cannot be read. */
apr_status_t cs_batch_fetch(cs_batch_t *b, cs_result_t *res);
/* fetch.c: CRM rows of the met items. */
void cs_batch_read_records(cs_batch_t *b);
/* meet.c: names become deals, in one transaction. */
apr_status_t cs_batch_meet(cs_batch_t *b, cs_result_t *res);
/* apply.c: the steps of all planned items. A step about a row of a list that is not done names its
 * line in applied->dropped (held: result is OK) or in applied->refused (result says how); without
 * either it is to be repeated, and so is the item: its result is that of the first such step once
 * everything else was tried. A step about the record that is done may name lines in both. */
void cs_batch_apply(cs_batch_t *b);
/* settle.c: outcomes become images, journal and work, in one transaction. */
apr_status_t cs_batch_settle(cs_batch_t *b, cs_result_t *res);

#endif
