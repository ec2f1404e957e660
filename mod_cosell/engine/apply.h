/* engine/apply.h: what the files of stage 6 know of each other: changes at Partner Center
 * (apply_pc.c), new referrals (apply_post.c), then the CRM: rounds and turns (apply.c), writing
 * them (apply_write.c), look-ups (symbols.c), writing without what was refused (refuse.c,
 * refuse_pc.c), what an answer shows (shown.c). Inside the stage only; one thread. */
#ifndef CS_ENGINE_APPLY_H
#define CS_ENGINE_APPLY_H

#include "batch.h"

/* ---- apply.c ---- */

/* How an item fared so far. Nothing ends an item before the answers of its whole round are taken.
 */
typedef struct cs_fate_t {
    cs_result_t result; /* the first failure that is to be repeated, or what ended it; cls OK = none
                         */
    int ends;
} cs_fate_t;

/* One step of one item in this round. */
typedef struct cs_turn_t {
    cs_item_t *item;
    cs_fate_t *fate;
    cs_applied_t *applied;
    int index;
    const cs_step_t *step;
    json_t *row; /* columns with look-ups resolved */
    apr_array_header_t
        *recalled; /* const char *: columns whose row was found in an earlier batch */
    struct cs_refusal_t *refusal; /* is written again without what was refused */
} cs_turn_t;

/* Towards Partner Center. */
int cs_step_is_pc(const cs_step_t *step);
/* What the step depends on is done, or only shown. */
int cs_step_may_follow(const cs_item_t *item, const cs_step_t *step);
/* About a row of a list: nothing depends on it. */
int cs_turn_aside(const cs_turn_t *turn);
void cs_turn_done(cs_batch_t *b, cs_turn_t *turn, const cs_record_t *after);
/* Nothing of it had to be written. */
void cs_turn_done_already(cs_turn_t *turn, const cs_record_t *after);
/* What holds for the whole CRM ends the item; what holds for one row of a list is repeated later,
 * when everything else was tried. */
void cs_turn_fail(cs_turn_t *turn, const cs_result_t *result);
/* Of a list: its one line waits, or is refused; the item goes on. */
void cs_turn_drop(cs_turn_t *turn, const char *why, apr_pool_t *p);
void cs_turn_refuse(cs_turn_t *turn, const cs_result_t *result, apr_pool_t *p);
/* Adds {line: why}; makes the object when there is none. */
void cs_lines_add(json_t **pobject, const char *line, const char *why, apr_pool_t *p);
/* Not about a row, but about whether the CRM can be asked at all. */
int cs_result_everywhere(const cs_result_t *result);
/* DATA or REFUSED: of the row, and not of the CRM or the moment. */
int cs_result_refuses(const cs_result_t *result);
const char *cs_result_words(const cs_result_t *result);

/* ---- apply_write.c ---- */

/* What an answer for a step cost, on the account of the item and of the step. */
void cs_applied_account(cs_batch_t *b, cs_item_t *item, cs_applied_t *applied, int calls,
                        apr_interval_time_t took, const char *correlation);

/* The id of a row that was made, where the answer tells it; NULL = it does not. */
const char *cs_write_made(const cs_crm_write_t *write);
/* Made or not, there is no way to ask: the row has no key. */
int cs_write_unheard(const cs_batch_t *b, int crm, const cs_crm_write_t *write);
/* unheard.c: what such a row is, told apart from all others: nobody asks for it for a while. */
void cs_unheard_note(cs_batch_t *b, cs_item_t *item, const char *what);
/* The intent of the item's plan, with when its look began: {"at": microseconds}. */
json_t *cs_unheard_intent(const cs_batch_t *b, const cs_item_t *item);
/* 1 = it is to be waited for; why says until when. */
int cs_unheard_waits(cs_batch_t *b, const cs_item_t *item, const char *what, cs_result_t *why);
/* Writes what is not tried yet of these turns (cs_turn_t), all of one CRM, in one call; then, call
 * by call, without what was refused. */
void cs_turns_write(cs_batch_t *b, apr_array_header_t *turns, int crm);

/* ---- shown.c ---- */

/* What a write of this step was answered with; where it names the rows of look-ups by their ids
 * alone, with what they were found by or, when they are those of the record as it was read before
 * (may be NULL), with what it said of them. row = what was sent. A copy when there is something to
 * add. */
const cs_record_t *cs_record_shown(const cs_record_t *after, const cs_step_t *step,
                                   const json_t *row, const cs_record_t *before, cs_id_form_e form,
                                   apr_pool_t *p);

/* ---- symbols.c ---- */

typedef struct cs_symbol_t cs_symbol_t;
typedef struct cs_symbols_t cs_symbols_t;

/* A look-up that names no row. */
typedef struct cs_unresolved_t {
    const cs_symbol_t *symbol;
    const json_t *lookup; /* of this row: another row's may name other columns and another line */
    const char *why;      /* held: for people */
    const cs_result_t *failed; /* how; NULL = it is held */
    const char *skipped;       /* a column was left out, for there is no such row: for people */
} cs_unresolved_t;

/* Lives as long as the batch: what was found, made or refused in one round is so in the next. */
cs_symbols_t *cs_symbols_make(cs_batch_t *b);
void cs_symbols_collect(cs_symbols_t *t, cs_item_t *item, const cs_step_t *step);
/* Finds and makes what was collected for this CRM. */
void cs_symbols_resolve(cs_symbols_t *t, int crm);
/* The row with ids in it. bad->lookup is set when one names no row. The columns whose row was found
 * in an earlier batch are appended to recalled (const char *; may be NULL). */
json_t *cs_symbols_row(cs_symbols_t *t, cs_item_t *item, const json_t *row, cs_unresolved_t *bad,
                       apr_array_header_t *recalled);

/* ---- refuse.c ---- */

/* A write that was refused for its data, repeated without the lines that are to blame (deals 2).
 * Pure: says what to send next and takes the answer. */
typedef struct cs_refusal_t cs_refusal_t;

#define CS_REFUSAL_SENDS 24 /* more than the first, per step and look */

/* write was refused. NULL = it has no lines that could be left out: it failed. state_last: once the
 * state is there nothing else is taken, so it goes after the rest instead of before. */
cs_refusal_t *cs_refusal_begin(const cs_step_t *step, const cs_crm_write_t *write, int state_last,
                               apr_pool_t *p);
/* 1 with the next write; 0 = it is over. */
int cs_refusal_next(cs_refusal_t *r, cs_crm_write_t *write);
void cs_refusal_take(cs_refusal_t *r, const cs_crm_write_t *write);

typedef struct cs_refusal_end_t {
    cs_result_t result;       /* cls OK = the step took effect without what was refused */
    int wrote;                /* something was written */
    const cs_record_t *after; /* of the last write; NULL = none, or it showed nothing */
    json_t *refused;          /* {"<line>": the CRM's words}; NULL = none */
    int made;                 /* a new record is there, whatever became of its other lines */
    const char *id;           /* of a new record, where the CRM gave it; NULL = as it was to be */
    apr_array_header_t *left; /* const char *: lines that were not sent, for there were too many
                                 refusals; NULL = none */
} cs_refusal_end_t;
void cs_refusal_end(const cs_refusal_t *r, cs_refusal_end_t *end);

/* 1 when the answer blames this column. */
int cs_refusal_blames(const cs_result_t *result, const char *column);

/* ---- refuse_pc.c ---- */

/* The same for a change at Partner Center. A state that is refused is a line as the others are: the
 * rest goes on without it. */
typedef struct cs_pc_refusal_t cs_pc_refusal_t;

cs_pc_refusal_t *cs_pc_refusal_begin(const cs_step_t *step, const cs_pc_write_t *write,
                                     apr_pool_t *p);
int cs_pc_refusal_next(cs_pc_refusal_t *r, cs_pc_write_t *write);
void cs_pc_refusal_take(cs_pc_refusal_t *r, const cs_pc_write_t *write);
/* end->after is NULL; *pcard = the referral after the last write. What Partner Center took nothing
 * of has each of its lines in end->refused. */
void cs_pc_refusal_end(const cs_pc_refusal_t *r, cs_refusal_end_t *end, const cs_card_t **pcard);

#endif
