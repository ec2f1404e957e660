/* domain/reconcile_internal.h: one planning in progress. Inside domain/ only. */
#ifndef CS_DOMAIN_RECONCILE_INTERNAL_H
#define CS_DOMAIN_RECONCILE_INTERNAL_H

#include "mapping_internal.h"
#include "reconcile.h"
#include "state.h"

/* Of the image of the state: {"pc", "crm": when what was settled last was written there, "order":
 * of that version of the row "of", "at": when we knew, "rows": {"<item>": when we wrote it}}. */
#define CS_IMAGE_READ "read"
/* Of the image of the state: when, by the CRM's clock, we made the row show it. */
#define CS_IMAGE_MADE "made"
#define CS_LINE_START "$start" /* of cs_step_t.parts: constants a record starts with */
#define CS_STAGE_PATH "/salesStage"

/* Why a resting difference may rest: members "rest" of images. */
#define CS_REST_HELD "held"
#define CS_REST_NOT_KEPT "not-kept"
#define CS_REST_INTRODUCED "introduced"
#define CS_REST_ONE_WAY "one-way"
#define CS_REST_LATCHED "latched"
#define CS_REST_STAYS "stays"
#define CS_REST_QUALIFIED "qualified" /* of the state: the record came from a lead */
#define CS_REST_UNSEEN "unseen"       /* written, and the CRM did not show what became of it */
#define CS_REST_CUT "cut"             /* the CRM has the head of a text that is too long for it */
#define CS_REST_PC_NOT_KEPT "pc-not-kept" /* as not-kept and unseen, of what Partner Center made */
#define CS_REST_PC_UNSEEN "pc-unseen"

typedef struct cs_planning_t {
    const cs_look_t *look;
    const cs_mapping_kind_t *kind;
    cs_plan_t *plan;
    apr_pool_t *p, *ptemp;
    const json_t *doc;     /* the own card, Microsoft's under CS_DOC_MICROSOFT */
    const json_t *row;     /* the row; at a create what it will start from, every column present */
    cs_cond_world_t world; /* for conditions */
    cs_table_t table;      /* what the CRM says of the record's table */
    const char *record_id;
    const char *pc_now; /* "Active/Accepted" */
    const char *pc_was; /* when last settled; NULL = never */
    int creating;
    int first;          /* an existing row, met for the first time (or one that a lead became) */
    const char *marked; /* the mark before the name, as the row shows it; NULL = none */
    int terminal;       /* at Partner Center */
    int paused;         /* the seller switched it off, or it is held: nothing is compared, only
                           told */
    int row_state;      /* 0 open, 1 won, 2 lost, -1 unreadable */
    /* what the state asks for (reconcile_state.c) */
    cs_line_view_t *state;
    int reopen; /* the row must be opened before anything else */
    json_t *reopen_set;
    json_t *state_set; /* columns, merged into the update; NULL = none */
    const char *call;  /* closing action; NULL = none */
    json_t *call_set;
    int call_state; /* what the row is after it */
    int unlink;
    const cs_heard_t *heard;   /* actions for Partner Center; NULL = none */
    int stage;                 /* per cent for Partner Center; 0 = none */
    const char *say;           /* refused: for people */
    const char *later;         /* what will be sent when its time has come: for people */
    apr_array_header_t *lists; /* cs_listing_t *: what cs_plan_lists() read and decided */
    struct cs_making_t *making; /* the referral, or Microsoft's card, to be made; NULL = none */
} cs_planning_t;

/* 1 while the row takes writes, if need be after a reopening; not while it hides its state. A row
 * that became another takes none, whatever other closed rows take. */
int cs_planning_writable(const cs_planning_t *pl);

/* Image of a line as stored: a side, or its "rest". NULL = none. Borrowed. */
json_t *cs_image_side(const cs_deal_t *deal, const char *line, const char *side);
const char *cs_image_rest(const cs_deal_t *deal, const char *line);
/* Why apply left the line out when Partner Center showed this very value; NULL = it did not. */
const char *cs_image_waits(const cs_deal_t *deal, const char *line, const json_t *pc);
/* The nth value that the stored intent has for a line on its way to the CRM, the newest first; NULL
 * = no more. Borrowed. */
json_t *cs_intent_value(const cs_deal_t *deal, const char *line, size_t nth);
/* The same for both ways: *pto_pc = it was on its way to Partner Center, and is the CRM's value. */
json_t *cs_intent_meant(const cs_deal_t *deal, const char *line, size_t nth, int *pto_pc);
/* 1 = it writes over this value of Partner Center's. */
int cs_intent_replaces(const cs_deal_t *deal, const char *line, const json_t *pc);
/* 1 for a step of a stored intent that writes at Partner Center. */
int cs_intent_is_to_pc(const json_t *step);
/* The referral was made of the record. */
int cs_deal_is_ours(const cs_deal_t *deal);
/* The deal has just moved to the record that its lead became: nothing of it was compared yet. */
int cs_deal_arrived(const cs_deal_t *deal);
/* 1 when the stored intent makes this row. */
int cs_intent_creates(const cs_deal_t *deal);

/* reconcile_state.c: decides the state first; the lines depend on it. */
void cs_plan_state(cs_planning_t *pl);
/* The state columns of a row; NULL when one could not be read. In p. */
json_t *cs_state_columns(const cs_mapping_kind_t *kind, const json_t *row, apr_pool_t *p);
/* The row with what was typed when it was last closed, under CS_CLOSE; row itself when that was not
 * read. In p. */
const json_t *cs_row_with_close(const cs_mapping_kind_t *kind, const json_t *row,
                                const cs_record_t *record, apr_pool_t *p);
/* The row did not stay as it shows an unanswered referral: that accepts nothing, and how to accept.
 * In words for people; NULL = nothing of the kind. In p. */
const char *cs_state_unkept_words(const cs_planning_t *pl);
/* What accepts an unanswered referral: "In Progress" of *pcolumn "Status Reason", both as the forms
 * call them; NULL = the CRM has not told what it calls them. In p. */
const char *cs_state_accept_words(const cs_planning_t *pl, const char **pcolumn);
/* "Active" for accept and so on; NULL for actions that move nothing. */
const char *cs_state_after_action(const char *action);

/* reconcile_stage.c */

/* The state that a row has once it shows the columns of `set`, which show the referral's state pc:
 * 0, 1 or 2; -1 = they leave it as it is. Where it follows from other columns, the metadata of
 * their choices says it, else what is shown. */
int cs_state_of_set(const cs_mapping_kind_t *kind, const json_t *metadata, const json_t *set,
                    const char *pc);
/* Where it follows: the state columns that are known of a row to which `set` was written, and
 * nothing of those that the CRM makes of them. In p. */
json_t *cs_state_followed(const cs_mapping_kind_t *kind, const json_t *metadata, const json_t *set,
                          const char *pc, apr_pool_t *p);
/* The CRM has no such stage, though it might take it, and the row would not close; NULL = it has
 * all of them, or has not told which it has. In words for people. */
const char *cs_stage_unknown(const cs_planning_t *pl, const json_t *set);
/* The per cent that were heard, for Partner Center unless it shows them already. */
void cs_plan_stage(cs_planning_t *pl, const cs_heard_t *heard);
/* The operation that brings pl->stage; new reference. */
json_t *cs_stage_operation(const cs_planning_t *pl);

/* The row that a call made of a lead, and its kind; NULL = it is not known, or the step is no such
 * call. */
const char *cs_qualified_row(const cs_mapping_kind_t *kind, const cs_step_t *step,
                             const cs_applied_t *applied, const cs_mapping_kind_t **pto);
/* The lead was qualified: the deal goes on with what it became, with no history of its values but
 * with all of its journal. */
void cs_settle_move(cs_deal_t *deal, const cs_plan_t *plan, const cs_look_t *look, apr_pool_t *p);

/* reconcile_values.c: one line. */
void cs_plan_line(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view);
/* reconcile_group.c: makes the judgements of each group one: all of it travels, or nothing. */
void cs_plan_groups(cs_planning_t *pl);

/* reconcile_way.c: may a value travel? */

/* One direction of a line, now. */
typedef struct cs_travel_t {
    int may;         /* direction and event allow it */
    int holds;       /* and its conditions: 1, 0, -1 unreadable */
    const char *why; /* when they do not hold */
} cs_travel_t;
cs_travel_t cs_travel(const cs_planning_t *pl, const cs_line_t *line, const cs_way_t *way,
                      int events);

/* Both directions of a line, and what happened at its ends. */
typedef struct cs_sides_t {
    cs_travel_t to_crm, to_pc;
    const char *pc_bad, *crm_bad; /* why a value cannot travel; NULL = it can */
    int pc_moved, crm_moved;
    int shortened; /* the record shows the head of a text, and edits of it stay there */
} cs_sides_t;

/* Says what becomes of the line, and nothing else: whatever was said before is forgotten. take
 * makes what both sides show the images. */
void cs_view_judge(cs_line_view_t *view, cs_verdict_e verdict, const char *why);
void cs_view_take(cs_line_view_t *view, cs_verdict_e verdict, const char *rest, const char *why);
/* Brings a side's value to the other side, if it can travel; else says why not. 1 = it goes. */
int cs_view_to_crm(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view, const char *bad,
                   const char *why);
int cs_view_to_pc(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view, const char *bad,
                  const char *why);
/* 1 = the referral takes no values now or after this look: it is closed, or being declined. */
int cs_planning_ended(const cs_planning_t *pl);
/* The same, which the view says then. */
int cs_view_ended(const cs_planning_t *pl, cs_line_view_t *view);
/* 1 = Microsoft sees the referral: what it was shared with is fixed. */
int cs_planning_shared(const cs_planning_t *pl);
/* 1 = the row takes no writes now, which the view says. */
int cs_view_shut(const cs_planning_t *pl, cs_line_view_t *view);
/* 1 when the CRM computes the line's column: nothing is ever written there. */
int cs_line_computed(const cs_planning_t *pl, const cs_line_t *line);
/* 1 when a record that was settled is looked at under another mapping. */
int cs_planning_remapped(const cs_planning_t *pl);
/* How the line reads its two sides, as a short sign ("as" of its image): an image with another sign
 * is of another line, and this one is new. In p. */
const char *cs_line_sign(const cs_line_t *line, apr_pool_t *p);

/* reconcile_first.c: a line without a history: of a new row, or of a row first compared now. */
void cs_plan_line_created(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                          const char *bad);
void cs_plan_line_first(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_sides_t *s);
/* 1 while a row that our own create made, whose look did not settle, shows the CRM's own beginning
 * instead of what the line was to bring: it is judged as if that look had settled. */
int cs_view_unfinished(const cs_deal_t *deal, const cs_line_t *line, const cs_line_view_t *view);
/* Required, and nobody has filled it: the record is made without it, and says so. */
void cs_view_missing(const cs_line_t *line, cs_line_view_t *view);

/* A value in words, at most some 60 characters. */
const char *cs_value_words(const json_t *value, apr_pool_t *p);
/* The same of a text that begins like another one: from shortly before they part. */
const char *cs_difference_words(const json_t *text, const json_t *other, apr_pool_t *p);

/* Why the CRM refused what the line brings when Partner Center showed this very value under this
 * very mapping; NULL = it did not, or a new notice wakes it. (deals 2) */
const char *cs_image_refused(const cs_planning_t *pl, const char *line, const json_t *pc);
/* The same of Partner Center and the CRM's value. */
const char *cs_image_refused_there(const cs_planning_t *pl, const char *line, const json_t *crm);

/* "Account > Country": a column in the words of the CRM's forms. (reconcile_tell.c) */
const char *cs_column_words(const cs_planning_t *pl, const cs_column_t *column);
/* "solution" for the list "solutions", "team member" for "team". In p. (reconcile_list.c) */
const char *cs_list_one(const cs_list_t *list, apr_pool_t *p);

/* The id of the row that is made for a referral: UUIDv5, so that a repeated create finds itself
 * (deals 1). In p. */
const char *cs_deal_row_id(const cs_look_t *look, const char *referral, const char *table,
                           apr_pool_t *p);
/* The stored intent's step that makes the row; NULL = none. */
const json_t *cs_intended_create(const cs_deal_t *deal);
/* 1 for a step of a stored intent that makes a row. */
int cs_intent_is_create(const json_t *step);

/* reconcile_age.c: reads that are older than what was settled. */

/* Why nothing can be made of what was read, and when it is read again; NULL = it is no older than
 * what was settled last, or has been for so long that it counts. */
const char *cs_look_stale(const cs_look_t *look, apr_time_t *pagain, apr_pool_t *p);
/* It is older, and counts all the same: what to say of it, else NULL. */
const char *cs_look_went_back(const cs_look_t *look);
/* 1 while a list may still be shown without what we have just done to this item: until *puntil. */
int cs_item_settles(const cs_look_t *look, const char *line, apr_time_t *puntil);
/* How new what both sides show now is, into the images. */
void cs_settle_age(json_t *images, const cs_look_t *look, const cs_plan_t *plan,
                   const cs_applied_t *applied);

/* reconcile_steps.c: the steps of everything that was judged, in order. */
void cs_plan_steps(cs_planning_t *pl);
/* Appends a step that is sent, waits for none and names no line yet. columns, why: of the plan's
 * pool. */
cs_step_t *cs_planning_step(cs_planning_t *pl, cs_step_kind_e kind, json_t *columns,
                            const char *why);
/* Of a step that makes a row: what finds it again where the CRM gives ids; NULL = its id does, or
 * nothing. In p. */
json_t *cs_create_key(const cs_planning_t *pl, const char *column, const char *value);
/* reconcile_sum.c: what the plan is and the state after it; the intent to be stored; the whole of
 * it in words. */
void cs_plan_decide(cs_planning_t *pl);
void cs_plan_intent(cs_planning_t *pl);
void cs_plan_explain(cs_plan_t *plan, const cs_look_t *look, apr_pool_t *p);

/* reconcile_causes.c: what stands in the deal's way (cs_plan_t.causes). One more: "<what> <of>", or
 * what alone. */
void cs_plan_cause(cs_planning_t *pl, const char *what, const char *of, const char *text);
/* The same of a line, whose words and text follow each other; of an item it is its list's. */
void cs_plan_cause_line(cs_planning_t *pl, const cs_line_view_t *view, const char *what,
                        const char *words, const char *text);
/* Of a referral that nobody has answered. */
void cs_plan_cause_expires(cs_planning_t *pl);
/* Of what is in the making. */
void cs_plan_causes_create(cs_planning_t *pl);
/* Nothing does, so far. */
void cs_plan_no_causes(cs_plan_t *plan, apr_pool_t *p);

/* reconcile_list.c: lists, item by item. An item is a line named "<list>/<key>" whose values are
 * the canonical item (an object of its mapped members) or null = not in the list. The key is
 * trimmed and folded in the name and as it is written in the item. */

/* Appends the view of every item that either side or an image knows, list by list in mapping order,
 * items in the order of their keys, to pl->plan->lines: a reordered array changes nothing that the
 * seller reads. */
void cs_plan_lists(cs_planning_t *pl);
/* The columns of the record itself that lists need (a COLUMN list, the owner), into columns; the
 * names of these items into names (const char *) and parts (cs_step_t.parts). */
void cs_list_columns(cs_planning_t *pl, json_t *columns, apr_array_header_t *names, json_t *parts);
/* Appends the steps about rows of lists, each about one row and with one line, to pl->plan->steps;
 * they depend on step `after` (-1 = none: the record is there) and nothing depends on them. */
void cs_list_steps(cs_planning_t *pl, int after);
/* Appends the JSON Patch operations of items that go to Partner Center: the whole array is replaced
 * once, with items and members that the CRM cannot represent as they were; names and parts as
 * above: the array is the part of each item. */
void cs_list_operations(cs_planning_t *pl, json_t *ops, apr_array_header_t *names,
                        json_t *parts);
/* The canonical item of a line as this document of the referral shows it: null = it is not in the
 * list. In p. */
json_t *cs_list_item_at_pc(const cs_list_t *list, const char *line, const json_t *doc,
                           apr_pool_t *p);
/* What the images of an item are after the look. written: 1 = the step that writes it is done, 0 =
 * it was not sent, failed or was left out, -1 = no step writes it; all_done as in settle. Returns 1
 * with both images and rest (NULL = they agree), 0 = the image stays as it was, -1 = it has none
 * any more. */
int cs_list_settled(const cs_list_t *list, const cs_line_view_t *view, int written, int all_done,
                    const cs_applied_t *applied, json_t **ppc, json_t **pcrm, const char **prest,
                    apr_pool_t *p);
/* 1 when two items of a key differ in what is compared. */
int cs_list_differs(const cs_list_t *list, const json_t *a, const json_t *b);
/* An item in the seller's words: "solution Contoso Backup (SOL-1)". In p. */
const char *cs_list_words(const cs_list_t *list, const cs_line_view_t *view, apr_pool_t *p);
/* The list a line's name belongs to; NULL = it is no item of a list. */
const cs_list_t *cs_list_of_line(const cs_mapping_kind_t *kind, const char *line);

/* A look-up of the mapping by its name; NULL = there is none. (reconcile_meet.c) */
const cs_find_t *cs_find_named(const cs_mapping_t *mapping, const char *name);
/* The own card's document, with Microsoft's under CS_DOC_MICROSOFT; in p. (mapping_apply.c) */
json_t *cs_doc_of_look(const cs_look_t *look, apr_pool_t *p);
/* A "find" as the "$lookup" of domain/record.h. item = the list's item or NULL; value = what "."
 * is, or NULL; line NULL = it stands for no line, else the caller adds "columns". create 0 = never
 * makes a row ("none" becomes "hold"). NULL when no key is complete, or none of what it is within.
 * In p. (lookup.c) */
json_t *cs_find_lookup(const cs_find_t *find, const json_t *doc, const json_t *item,
                       const char *value, const char *line, int create, apr_pool_t *p);
/* The value of a choice by its label in the metadata, any language, folded; NULL = unknown.
 * Borrowed. And the other way round. (lookup.c) */
const json_t *cs_choice_of_label(const json_t *metadata, const char *table, const char *column,
                                 const char *label);
const char *cs_label_of_choice(const json_t *metadata, const char *table, const char *column,
                               const json_t *value);
/* The longest text a column takes, in UTF-16 units; 0 = not known. */
int cs_column_max(const json_t *metadata, const char *table, const char *column);
/* A column's label in the organisation's language, else its name. */
const char *cs_column_label(const json_t *metadata, const char *table, const char *column);

/* reconcile_create.c: the record has no referral yet. (deals 3) */
void cs_plan_create(cs_planning_t *pl);
/* Whether Microsoft's card is to be made, too; after the lines, before what the seller reads. */
void cs_plan_connect(cs_planning_t *pl);
/* Its step, after all others. */
void cs_plan_connect_step(cs_planning_t *pl);
/* A line of the "invite:" card, judged like any other: it travels when Microsoft is invited and
 * never again. */
void cs_plan_invited(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view);

/* reconcile_tell.c: status, problem and audit of the plan from its lines; then the columns that
 * differ. */
void cs_plan_tell(cs_planning_t *pl);
/* written = the columns that lines bring in the same write: a name among them gets its mark. */
void cs_tell_columns(const cs_planning_t *pl, json_t *columns, const json_t *written);
/* What travels only in a write made for another reason: the time of it. The column, NULL = none. */
const char *cs_tell_travels(const cs_planning_t *pl, json_t *columns);
/* The row without the mark before its name (row itself when there is none); *pmark = the mark it
 * shows or NULL. In p. */
const json_t *cs_row_unmarked(const cs_mapping_kind_t *kind, const json_t *row, const char **pmark,
                              apr_pool_t *p);
/* Remembers in told what the CRM made of the texts it was given; after NULL = what it shows at the
 * next look. */
void cs_tell_keep(json_t *told, const cs_mapping_kind_t *kind, const json_t *wrote,
                  const json_t *after, apr_pool_t *ptemp);

#endif
