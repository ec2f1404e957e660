/* domain/reconcile.h: images + both sides -> plan -> what was achieved. Pure: no I/O, no clock, no
 * threads. (deals 2, 5, 6)
 *
 *   meet   a referral without a record yet: which kind, which CRM row could be its own
 *   plan   everything that differs and may be changed, as ordered steps with guards; nothing,
 *          and why
 *   settle what the steps did, turned into the deal's new images and journal lines
 *
 * The engine calls meet for unknown referrals, reads the row that meet names, plans, stores the
 * intent, applies the steps, settles. A plan that was not applied (dry run) is exactly what `show`
 * prints.
 */
#ifndef CS_DOMAIN_RECONCILE_H
#define CS_DOMAIN_RECONCILE_H

#include "mapping.h"

/* One look's view of the world. Everything borrowed for the time of the call and of the plan. */
typedef struct cs_look_t {
    const cs_mapping_t *mapping;
    const char *site;
    const char *crm;            /* configured name of the CRM that owns or would own the deal */
    const char *organization;   /* own organisation's id; NULL = not known yet */
    const cs_deal_t *deal;      /* never NULL; a fresh one has images == NULL */
    const cs_card_t *own;       /* NULL when the referral could not be read (gone) */
    const cs_card_t *microsoft; /* NULL when there is none */
    const apr_array_header_t *others; /* cs_card_t *, may be NULL */
    const cs_record_t *record;        /* NULL = no such row */
    int record_read; /* 1 = a row was asked for, so record == NULL means it does not exist */
    const json_t *metadata; /* of the CRM (domain/record.h); NULL = not known (yet) */
    int notified;           /* this look covers a new notice: what was refused is tried again */
    const json_t *candidates; /* rows that `match` found: array of {"id","name"}; NULL = none */
    const char *explain_url;  /* where this deal is explained; NULL = nowhere yet */
    int edited; /* the record's row is not the one that was last settled: somebody else wrote */
    const char *held; /* nothing may be written for now, and this is what the seller reads of it;
                         NULL = it may */
    apr_time_t now;  /* for the text of an audit line only */
} cs_look_t;

/* ---- meet ---- */

typedef enum {
    CS_MEET_CREATE, /* nobody has a row: reserve `record_id` (derived) and create */
    CS_MEET_LINK,   /* externalReferenceId names a row: read `record_id`; it is the deal's if it
                       exists, else park */
    CS_MEET_LEAD,   /* a lead, and no kind takes leads: left alone */
    CS_MEET_IGNORE, /* no kind's `when` holds; why says it */
    CS_MEET_CLOSED  /* first met Closed: not created, only journalled */
} cs_meet_e;

typedef struct cs_meeting_t {
    cs_meet_e what;
    const char *kind;
    const char *table;
    const char *record_id;
    const char *why;
    /* CREATE: the look-up, as in domain/record.h, of existing rows that could be this deal's; its
     * first key is the referral's id in the column that carries it: a row found by that one IS the
     * deal's. "within" never makes a row here. NULL = not asked for. */
    json_t *match;
} cs_meeting_t;
/* Is a record that no deal knows worth one? look->record is its row, look->own NULL. what = CREATE:
 * it is opted in and has no referral: a deal with its identity (record_id) is reserved before
 * anything is posted (deals 1, 3); LINK: it names the referral `record_id`, which is to be looked
 * at; IGNORE: neither, why says it. In p. */
apr_status_t cs_reconcile_meet_record(cs_meeting_t *meeting, const cs_look_t *look,
                                      const char *table, apr_pool_t *p, cs_result_t *res);

/* look->deal may be fresh; look->record is not used. Derived id: UUIDv5(URL,
 * "cosell:<site>:<referral>:<table>:") (deals 1). In p. */
apr_status_t cs_reconcile_meet(cs_meeting_t *meeting, const cs_look_t *look, apr_pool_t *p,
                               cs_result_t *res);

/* ---- plan ---- */

typedef enum {
    CS_VERDICT_EQUAL,   /* both sides agree, or both changed to the same */
    CS_VERDICT_TO_CRM,  /* copied to the CRM */
    CS_VERDICT_TO_PC,   /* copied to Partner Center */
    CS_VERDICT_HELD,    /* both changed, different, policy hold (or zero money on create, unknown
                           currency) */
    CS_VERDICT_ONE_WAY, /* differs at the target of a one-way line: noted */
    CS_VERDICT_CREATE_ONLY, /* not compared afterwards */
    CS_VERDICT_NOT_KEPT,    /* the target did not keep what was written; not sent again until the
                               source moves */
    CS_VERDICT_CLOSED,      /* the row is closed: edits wait */
    CS_VERDICT_UNREADABLE,  /* a side could not be read: no change */
    CS_VERDICT_SKIPPED,     /* a `when`, events or zero rule keeps it out; why says which */
    CS_VERDICT_REFUSED, /* the value cannot travel (more than 15 digits, a choice without a pair,
                          text too long ...), or the CRM refused it */
    CS_VERDICT_LATCHED, /* a step down of a latch: not followed, restored where it can be */
    CS_VERDICT_STAYS    /* an item that the other side cannot show: stays where it is */
} cs_verdict_e;
const char *cs_verdict_name(cs_verdict_e verdict);

typedef struct cs_line_view_t {
    const char *line;
    cs_verdict_e verdict;
    json_t *pc, *crm;           /* canonical values now; NULL = unreadable or side absent */
    json_t *seen_pc, *seen_crm; /* images; NULL = none */
    json_t *value;              /* TO_CRM, TO_PC: the canonical value decided upon */
    const char *why;            /* for people */
    int take;                   /* settle makes what both sides show now the images */
    const char *rest;           /* with take: the rule by which they may differ from now on ("held",
                                   "not-kept", "pc-not-kept", "introduced", "one-way"); NULL = they
                                   do not */
    int to_crm, to_pc; /* of a line: 1 = a step brings `value` there; also of a latch that is
                          restored, whose verdict is LATCHED */
    int least; /* of an item that stays: its side must have this many; 0 = that is not why */
    int bulk; /* with to_crm or to_pc: because the mapping changed, for neither side did */
} cs_line_view_t;

/* Names in steps[].lines and plan->lines that are no lines of the mapping: the state (deals 5),
 * what the seller reads (deals 6), and, in steps alone, the per cent that the record's stage stands
 * for. */
#define CS_LINE_STATE "$state"
#define CS_LINE_TELL "$tell"
#define CS_LINE_STAGE "$stage"

typedef enum {
    CS_PLAN_NOTHING, /* both sides are as the rules want them */
    CS_PLAN_STEPS,   /* at least one step with send != 0 */
    CS_PLAN_HOLD,    /* nothing may be written yet: waits for a value or a person; status says so */
    CS_PLAN_PARK,    /* a person must decide; state_after = CS_DEAL_PARKED */
    CS_PLAN_GONE     /* a side is gone: tombstone */
} cs_plan_e;

typedef struct cs_plan_t {
    cs_plan_e what;
    cs_deal_state_e state_after;  /* once every sent step is done */
    const char *why;              /* for people; never NULL */
    apr_array_header_t *steps;    /* cs_step_t *, in order; sent and shown ones */
    apr_array_header_t *lines;    /* cs_line_view_t *, one per line of the kind, mapping order, then
                                     CS_LINE_STATE; empty when the sides were not compared */
    const char *status, *problem; /* what the seller reads afterwards (deals 6) */
    json_t *told;                 /* deal->told afterwards */
    json_t *causes; /* deal->causes afterwards; NULL = as they were */
    json_t *explain; /* all of the above as one document, for the status page and deal->explain */
    json_t *intent;  /* to be stored before the first sent step; NULL when none is sent */
    /* The record turned into another (a lead that was qualified): the deal's kind, table and record
     * from now on; steps are planned at the next look. NULL = it did not. */
    const char *moved_kind, *moved_table, *moved_id;
    /* The plan waits for time alone (the quiet time, not_before, the next search for an unanswered
     * POST): look again then; 0 = it does not. */
    apr_time_t look_at;
    /* A side answered with something older than what was settled, as a lagging replica does:
     * nothing is compared, settled or told; look_at says when to read again. */
    int stale;
    /* The seller has switched the deal off, or it is held: lines are named, and nothing of them was
     * compared. */
    int paused;
    /* An opted-in record that carries another deal's referral id: a copy. Its steps take the id
     * off; no deal is kept of it. (deals 1) */
    int clone;
    /* Of a plan for a record that has no referral yet: what deal->posted is afterwards but for what
     * the steps do. NULL = the plan is none such. */
    json_t *posted;
    int crm_writes; /* sent steps that write to either side because of a bulk cause alone (a mapping
                       that changed), for the brake (design 6): 1 = the plan would not exist
                       without it */
} cs_plan_t;

/* What was found about a line; NULL when the plan says nothing of it. Borrowed. */
const cs_line_view_t *cs_plan_view(const cs_plan_t *plan, const char *line);

/* look->own == NULL with a deal that never had a referral: the record is to become one (deals 3):
 * a plan that waits (status "Waiting" or "Sending", look_at), searches or posts. look->own == NULL
 * with a referral_id: the referral is gone.
 * In p. APR_SUCCESS also for HOLD, PARK and GONE; an error only for impossible input (a mapping
 * without the deal's kind: CS_CLASS_REFUSED). */
apr_status_t cs_reconcile_plan(cs_plan_t **pplan, const cs_look_t *look, apr_pool_t *p,
                               apr_pool_t *ptemp, cs_result_t *res);

/* A record that names a referral (cs_reconcile_meet_record: LINK) whose deal has another record,
 * which exists: it was copied from that one. The copy's referral id and link are emptied and its
 * opt-in is switched off, once; whoever switches it on again means the copy. plan->clone is set; no
 * deal is kept, and nothing is settled. look->deal = a fresh deal, look->record = the copy. In p.
 * (deals 1) */
apr_status_t cs_reconcile_clone(cs_plan_t **pplan, const cs_look_t *look, apr_pool_t *p,
                                apr_pool_t *ptemp, cs_result_t *res);

/* ---- settle ---- */

/* What became of a step; one per plan step, same order. Steps with send == 0 have tried == 0. */
typedef struct cs_applied_t {
    int tried;
    int done;  /* it took effect (a create that found itself included) */
    int found; /* CREATE: the row was there already and nothing was written; lines that differ in it
                  are left to the next look */
    cs_result_t result;       /* when tried and not done */
    const cs_record_t *after; /* representation returned or read back; NULL when none */
    json_t *dropped; /* {"value": "why"}: lines that apply left out of this step (a currency the CRM
                      * does not have): held, both images stay as they were; NULL = none */
    json_t *refused; /* {"solutions/abc": "why"}: lines that the CRM refused for their data; the
                      * rest of the step was written without them; NULL = none */
    /* PATCH_PC, POST_PC: the referral as it is after the step, or as it was found; NULL = the
     * answer did not show it */
    const cs_card_t *card;
    json_t *created; /* CALL: rows it made: array of {"table","id"}; NULL = none */
    /* CREATE that is done where the CRM gives ids (facts: names_rows): the id it gave, which
     * whoever applied it has put in the place of the one that stood for it wherever the plan has
     * that; NULL = it gave none. */
    const char *made;
    int calls;
    apr_interval_time_t took;
    const char *correlation;
} cs_applied_t;

/* Brings *deal (a copy the caller owns, id, names and site already set) up to date: images, state,
 * where the CRM gives ids the record's own instead of the one that stood for it,
 * status, problem, versions, told, explain, mapping, intent (cleared when all sent steps were
 * done), posted (what a POST came to; the attempt itself and the searches since are noted by
 * whoever applies them), and appends cs_journal_t * (in p) for what was done, refused, held or
 * newly planned. Lines of steps that were not done or not sent keep both images; written lines take
 * the read-back, the value decided upon when there is none, and are "not kept" when the read-back
 * differs. */
apr_status_t cs_reconcile_settle(cs_deal_t *deal, apr_array_header_t *journal,
                                 const cs_plan_t *plan, const cs_look_t *look,
                                 const cs_applied_t *applied, apr_pool_t *p, apr_pool_t *ptemp,
                                 cs_result_t *res);

#endif
