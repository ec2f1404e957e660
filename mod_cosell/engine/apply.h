/* engine/apply.h: what the three files of stage 6 know of each other: turns (apply.c), look-ups
 * (symbols.c), writing without what was refused (refuse.c). Inside the stage only; one thread. */
#ifndef CS_ENGINE_APPLY_H
#define CS_ENGINE_APPLY_H

#include "batch.h"

/* ---- symbols.c ---- */

typedef enum {
    CS_SYMBOL_OPEN,   /* to be looked for */
    CS_SYMBOL_WANTED, /* not there: to be made */
    CS_SYMBOL_FOUND,  /* or made */
    CS_SYMBOL_NONE,   /* not there, and nobody makes it */
    CS_SYMBOL_HELD,   /* a person must decide */
    CS_SYMBOL_FAILED
} cs_symbol_e;

/* What a look-up stands for, known by its canonical text: one row however many ask for it. */
typedef struct cs_symbol_t {
    const char *text;
    const json_t *lookup;       /* the member of "$lookup" of who asked first */
    const json_t *maker;        /* of who may make the row; NULL = it is never made */
    const json_t *keys;         /* folded */
    apr_array_header_t *within; /* cs_symbol_within_t: must point to these; NULL = anywhere */
    cs_item_t *item;            /* who asked: pays, and lends its name to a row that is made */
    const char *key;            /* item of a list it was asked for; NULL = none */
    cs_symbol_e state;
    int recalled; /* found in an earlier batch, or made of one that was */
    int made;     /* in this batch: nothing can point to it yet */
    int nested;   /* the look-ups of the row to be made are known */
    const char *id, *why;
    json_t *row; /* to be made, as it is sent */
    apr_array_header_t *without; /* const char *: its columns that the CRM refused; NULL = none */
    cs_result_t result;
} cs_symbol_t;

typedef struct cs_symbol_within_t {
    const char *column;
    cs_symbol_t *symbol;
} cs_symbol_within_t;

typedef struct cs_symbols_t cs_symbols_t;

/* A look-up that names no row. */
typedef struct cs_unresolved_t {
    const cs_symbol_t *symbol;
    const json_t *lookup; /* of this row: another row's may name other columns and another line */
    const char *why;      /* held: for people */
    int failed;           /* symbol->result says how */
    const char *skipped;  /* a column was left out, for there is no such row: for people */
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

/* write was refused. NULL = it has no lines that could be left out: it failed. */
cs_refusal_t *cs_refusal_begin(const cs_step_t *step, const cs_crm_write_t *write, apr_pool_t *p);
/* 1 with the next write; 0 = it is over. */
int cs_refusal_next(cs_refusal_t *r, cs_crm_write_t *write);
void cs_refusal_take(cs_refusal_t *r, const cs_crm_write_t *write);

typedef struct cs_refusal_end_t {
    cs_result_t result; /* cls OK = the step took effect without what was refused */
    const cs_record_t *after;  /* of the last write; NULL = nothing had to be written */
    json_t *refused;           /* {"<line>": the CRM's words}; NULL = none */
    apr_array_header_t *left;  /* const char *: lines that were not sent, for there were too many
                                  refusals; NULL = none */
} cs_refusal_end_t;
void cs_refusal_end(const cs_refusal_t *r, cs_refusal_end_t *end);

/* 1 when the answer blames this column. */
int cs_refusal_blames(const cs_result_t *result, const char *column);

#endif
