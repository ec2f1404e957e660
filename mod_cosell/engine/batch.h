/* engine/batch.h: one batch of looks on its way through fetch, plan, apply and settle. Inside the
 * engine only; one thread. */
#ifndef CS_ENGINE_BATCH_H
#define CS_ENGINE_BATCH_H

#include "../domain/reconcile.h"
#include "lane.h"

/* Member of work's hints beside those of store.h: a resync asks for it, and its brake counts it. */
#define CS_CAUSE_RESYNC CS_CAUSE "resync"

/* One deal of the batch. */
typedef struct cs_item_t {
    cs_work_t *work;     /* the claimed row; after meeting the deal's own row */
    const char *asked;   /* referral id the work names; NULL when it names a deal */
    const char *asked_row; /* CRM row the work names, of the CRM `crm`; NULL when it names none */
    const char *asked_table; /* its table; NULL = not said */
    int related_only;    /* only related-referral-* events named it */
    apr_int64_t covered; /* notices this look covers: added to work->done at settle */
    cs_deal_t *deal;     /* NULL until met */
    int fresh;           /* the deal was made in this batch: its row cannot exist yet */
    int untold;          /* what writing found out has yet to be told */
    int notified;        /* the look covers a notice that no look has worked on yet */
    int by_mapping;      /* no notice asks for it, and it is the deal's first under its mapping */
    int again;           /* it is a planned look at what waits or was refused, and nothing more */
    int by_job;          /* a job asks for it, and no notice does */

    /* cs_card_t *: all cards of the engagement as a list showed them a while ago: they are not read
     * again, and the look covers no notice; NULL = they are read. */
    const apr_array_header_t *ahead;
    cs_card_t *ahead_own; /* the own card alone is known so: the engagement is listed */

    cs_card_t *asked_card; /* what GET of `asked` showed */
    cs_card_t *own, *microsoft;
    apr_array_header_t *others;   /* cs_card_t * */
    apr_array_header_t *siblings; /* cs_card_t *: other referrals of ours in the engagement */
    apr_array_header_t *listed;   /* cs_card_t *, the engagement; NULL = not listed */
    apr_time_t
        unseen; /* the version a notice spoke of, when all that was read is older; 0 = none */
    const char *unseen_at; /* whose version that is */

    int crm; /* index of the owning CRM, -1 = none */
    const cs_mapping_kind_t *kind;
    cs_record_t *record;
    int record_read;

    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
    apr_array_header_t *journal; /* cs_journal_t * */

    cs_meeting_t *meetings; /* what the referral is to each CRM; NULL = not asked */
    cs_meeting_t meeting; /* what the deal's referral is, when it had to be met */
    int meets;            /* 1 = meeting says something */
    int by_name;          /* its work named something else than a deal */
    int was_parked;       /* the deal was parked when the batch began */
    json_t *candidates;   /* existing rows that could be the deal's; NULL = none */

    int over;             /* nothing more to be done in this batch: result says how it ended */
    int quiet;            /* over, and its work is done */
    cs_result_t result;   /* cls OK = fine */
    const char *upstream; /* whose answer result is */
    int moved;            /* the deal has another record now: it is looked at again at once */
    int posted;           /* so it is when something was posted for it, whatever came of that */
    cs_deal_t *copy_of;   /* its record is a copy of this deal's: no deal is kept of it */
    int made;             /* its new record is there, though not all of it could be written */
    int adopted; /* the deal has the row's own id since this look's writes: its alias is to be */
    int unheard; /* a row that cannot be found by a key was sent, and not heard of */
    int put_off; /* over, and looked at again at work->due: nothing has happened */
    int untouched; /* put off with its work row left as it is */
    int well;      /* its work is done, as far as this batch's transaction is */
    int chosen;           /* a person had chosen one of several rows for one of its look-ups */
    int recalled;         /* a look-up's row was found in an earlier batch */
    int calls;
    apr_interval_time_t took;
    const char *correlation;
    const char *trace; /* what its look belongs to (base/trace.h); NULL = nothing */
} cs_item_t;

typedef struct cs_batch_t {
    cs_lane_t *lane;
    apr_pool_t *p; /* lives as long as the batch */
    apr_time_t now;
    apr_array_header_t *items;   /* cs_item_t * */
    apr_array_header_t *changes; /* cs_change_t for the next cs_store_write */
    int created, updated, closed, nothing, failed;
    int polled; /* looks that a poll asked for */
    const char *trace; /* of what is asked for several looks at once; NULL until that is so */
    const char *job; /* id of the job that these looks are of; NULL = they are not */
    int dry;         /* they end with their plans: nothing is stored or written */
    int guessed;     /* whose organisation is ours, while they are dry */
    const char *stopped; /* a brake stopped the job before anything was done: why */
} cs_batch_t;

/* look.c: a batch without items, and an item of it about a deal or a name. */
cs_batch_t *cs_batch_new(cs_lane_t *lane, apr_pool_t *p);
cs_item_t *cs_item_new(cs_batch_t *b, cs_work_t *work);
/* Stages 4 and 5 of all items: read, met, planned. With b->dry what meeting would store is left
 * out; b->changes has what the lane itself learnt. b->stopped: nothing more is to be done. */
apr_status_t cs_batch_see(cs_batch_t *b, cs_result_t *res);
/* Stage 6, after the brakes. What follows is cs_batch_settle(). */
apr_status_t cs_batch_act(cs_batch_t *b, cs_result_t *res);
/* Before anything is asked of a CRM it has said who it is. */
void cs_batch_pin_crms(cs_batch_t *b);

/* turn.c: how many looks a batch claims at most, by what the limiters let through. */
int cs_turn_claim(const cs_lane_t *lane);
/* The items from `first` on whose cards are fetched in a few seconds, at least one; those that are
 * over take no place. */
apr_array_header_t *cs_turn_portion(const cs_batch_t *b, const apr_array_header_t *items,
                                    int first);
/* What a portion took. */
void cs_turn_measure(cs_lane_t *lane, int looks, apr_interval_time_t took);
/* 1 = somebody waits for a job that begins after this batch; a job's own looks end with it. */
int cs_turn_called(const cs_batch_t *b);
/* Plans that would send more to Partner Center than fits into a turn are made again in the next. */
void cs_batch_put_off_long(cs_batch_t *b);

/* Ends the item with a result that belongs to upstream. */
void cs_item_fail(cs_item_t *item, const char *upstream, const cs_result_t *result);
/* Ends the item well: its work is done. */
void cs_item_finish(cs_item_t *item);
/* Ends the item for now when its CRM is suspended or its breaker open. */
void cs_item_wait_for_crm(cs_batch_t *b, cs_item_t *item);
void cs_item_account(cs_batch_t *b, cs_item_t *item, int calls, apr_interval_time_t took,
                     const char *correlation);
cs_change_t *cs_batch_change(cs_batch_t *b, cs_change_e kind);
/* brake.c: "quarrel:<deal>": the deal goes on at once. 0 = it is not held. */
int cs_brake_release_quarrel(cs_batch_t *b, const char *brake);
/* Asks for a look at a name ("deal:5", "pc:<id>") that no notice asked for. trace: of what led to
 * it, or NULL. */
void cs_batch_look_at(cs_batch_t *b, const char *name, const char *trace);
/* The same for a notice of another name, which came in at `first`: it counts as a notice. */
void cs_batch_pass_on(cs_batch_t *b, const char *name, apr_time_t first, const char *trace);
/* trace.c: the trace that came with the item's work, or one of its own. */
void cs_item_trace(cs_batch_t *b, cs_item_t *item);
/* What is asked for this item, too, belongs to: so_far (NULL = nothing yet), or the batch's own. */
const char *cs_trace_shared(cs_batch_t *b, const char *so_far, const cs_item_t *item);
/* What is asked for from now on belongs to what all items of the batch share; or to this. */
void cs_batch_trace(cs_batch_t *b);
void cs_batch_trace_is(cs_batch_t *b, const char *trace);
/* The ids of a journal line: those of the requests, and the trace. */
const char *cs_item_correlation(cs_batch_t *b, const cs_item_t *item, const char *ids);
/* The deal has this cause alone (cs_deal_t.causes); cause NULL = it has none. In p. */
void cs_deal_cause(cs_deal_t *deal, const char *cause, const char *text, apr_pool_t *p);
/* "referral <id>", or of a deal without one "record <id>": for messages. */
const char *cs_deal_words(const cs_deal_t *deal, apr_pool_t *p);
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

/* fetch.c: cards of all items; who is whose. Ends items that cannot be read. Once somebody waits
 * for the lane, b->items are those that it has come to: of the others nothing was asked. */
apr_status_t cs_batch_fetch(cs_batch_t *b, cs_result_t *res);
/* fetch.c: CRM rows of the met items; a row that was reserved and is there gives its deal its own
 * id, into the changes. */
apr_status_t cs_batch_read_records(cs_batch_t *b, cs_result_t *res);
/* made.c: rows whose ids the CRM gives. */
/* The CRM of the item gives ids. */
int cs_item_names_rows(const cs_batch_t *b, const cs_item_t *item);
/* The deal's record has no id of its own yet: the one that is reserved only stands for it. */
int cs_deal_is_reserved(const cs_batch_t *b, int crm, const cs_deal_t *deal);
/* The step has made a row: its own id takes the reserved one's place in the plan, and, of the
 * record, in the deal. made NULL = the row has the id that it was to have. */
void cs_item_made(cs_batch_t *b, cs_item_t *item, int index, const char *made);
/* The record that was read says who it is. Whoever has it already is parked with this one. */
apr_status_t cs_item_adopt(cs_batch_t *b, cs_item_t *item, cs_result_t *res);
/* young.c: plans that would write a record whose version may yet stand for something else wait. */
void cs_batch_put_off_young(cs_batch_t *b);
/* meet.c: names become deals, in one transaction. */
apr_status_t cs_batch_meet(cs_batch_t *b, cs_result_t *res);
/* chore.c: work that is no look: what an administrator asked for is done, the rest kept for later.
 */
void cs_batch_chores(cs_batch_t *b, const apr_array_header_t *works);
/* park.c: a record named by two referrals. The record that the meeting names belongs to another
 * deal: both are parked, or the two are one deal; is it about to, this one is met again once it
 * has it. *pparked != 0: the item's look is over. */
apr_status_t cs_meet_holder(cs_batch_t *b, cs_item_t *item, int *pparked, cs_result_t *res);
/* The same of the record that the item's deal has after its look: *pparked != 0 when somebody else
 * has it; this deal alone is parked when its own record became that one. */
apr_status_t cs_settle_holder(cs_batch_t *b, cs_item_t *item, int *pparked, cs_result_t *res);
/* A parked deal with a history goes on when the other referral does not name its record any more.
 */
apr_status_t cs_meet_parked(cs_batch_t *b, cs_item_t *item, cs_result_t *res);
/* A parked deal goes on: the other one may too. */
apr_status_t cs_meet_unparked(cs_batch_t *b, cs_item_t *item, cs_result_t *res);
/* chore.c: a counterpart's card could not be read: the list of all referrals may tell what it is.
 */
void cs_batch_ask_for_list(cs_batch_t *b, cs_item_t *item);
/* route.c: what the referral is to the mappings, and to which of them it belongs; where several
 * CRMs may have the record that it names, cs_batch_route() asks them. */
apr_status_t cs_meet_ask(cs_batch_t *b, cs_item_t *item, cs_result_t *res);
void cs_batch_route(cs_batch_t *b);
/* match.c: which existing rows could be those of deals that would be created; in one call per CRM,
 * and one more for rows they must point to. Before anything is stored. */
void cs_batch_match(cs_batch_t *b);
/* brake.c: plans that a bulk cause alone makes are counted before anything is written, and paused
 * beyond max(20, 5 %) of the site's deals; so are sides that suddenly read as missing, and a deal
 * that writes against somebody else. */
apr_status_t cs_batch_brake(cs_batch_t *b, cs_result_t *res);
/* brake.c: the same for what a job's looks would make, before their deals are stored. */
apr_status_t cs_batch_brake_meetings(cs_batch_t *b, cs_result_t *res);
/* breaker.c: what the batch says about its upstreams, into the changes. */
void cs_batch_breakers(cs_batch_t *b);
/* apply.c: the steps of all planned items. A step about a row of a list that is not done names its
 * line in applied->dropped (held: result is OK) or in applied->refused (result says how); without
 * either it is to be repeated, and so is the item: its result is that of the first such step once
 * everything else was tried. A step about the record that is done may name lines in both. */
void cs_batch_apply(cs_batch_t *b);
/* names.c: work that names rows of a CRM: rows that records show wake their deals, records that
 * nobody knows become deals or are left alone, in transactions of its own. After it every item that
 * is not over names a referral or has a deal. */
apr_status_t cs_batch_name_rows(cs_batch_t *b, cs_result_t *res);
/* apply_pc.c: the steps towards Partner Center, before those towards the CRM: a lost guard ends
 * the item before anything is written. What it refuses for its data is left out line by line
 * (applied->refused), as towards the CRM. A POST is remembered in the deal (posted) before it
 * leaves and its answer at once, each in a transaction of its own. */
apr_status_t cs_batch_apply_pc(cs_batch_t *b, cs_result_t *res);
/* The changes that wait for a step in the CRM: a referral names a record once it is there. */
void cs_batch_apply_pc_after(cs_batch_t *b);
/* apply_post.c: the part of it that makes referrals. */
apr_status_t cs_batch_post(cs_batch_t *b, cs_result_t *res);
/* The deal's referral is this one, whoever made it: what was posted for it is answered. */
void cs_posted_is(cs_batch_t *b, cs_deal_t *deal, const char *referral);
/* Microsoft must not see the deal: Partner Center refused `share`, so that the invitation which the
 * plan has, or none, is refused with it. Settle stores it. */
void cs_posted_hidden(cs_batch_t *b, cs_item_t *item, const cs_step_t *share,
                      const cs_result_t *result);
/* settle.c: stores the changes made so far under the lane's lease, in a transaction of their own.
 */
apr_status_t cs_batch_commit(cs_batch_t *b, cs_result_t *res);
/* poll.c: one page of a poll, one portion of a sweep; the cursor moves with the work it makes, in
 * the batch's transaction. work is a row of kind CS_WORK_POLL or CS_WORK_SWEEP. */
apr_status_t cs_batch_poll(cs_batch_t *b, cs_work_t *work, cs_result_t *res);
/* poll_list.c: 1 when the list of all referrals was asked for this id not long ago. */
int cs_poll_is_answered(cs_batch_t *b, const char *id);
/* poll.c: the rows of the timers that are not there yet, into the changes. */
apr_status_t cs_batch_timers(cs_batch_t *b, cs_result_t *res);
/* settle.c: outcomes become images, journal and work, in one transaction. */
apr_status_t cs_batch_settle(cs_batch_t *b, cs_result_t *res);
/* watch.c: what the item's record shows from now on, into the changes when it is something else. */
void cs_item_watch(cs_batch_t *b, cs_item_t *item);
/* What was said so was perhaps not stored. */
void cs_batch_watch_forget(cs_batch_t *b);

#endif
