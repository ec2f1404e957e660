/* engine/symbols.h: what finding and making rows for look-ups know of each other. Inside stage 6
 * only; one thread. */
#ifndef CS_ENGINE_SYMBOLS_H
#define CS_ENGINE_SYMBOLS_H

#include "apply.h"

typedef enum {
    CS_SYMBOL_OPEN,   /* to be looked for */
    CS_SYMBOL_WANTED, /* not there: to be made */
    CS_SYMBOL_FOUND,  /* or made */
    CS_SYMBOL_NONE,   /* not there, and nobody makes it */
    CS_SYMBOL_HELD,   /* a person must decide */
    CS_SYMBOL_FAILED
} cs_symbol_e;

/* What a look-up stands for, known by its canonical text: one row however many ask for it. */
struct cs_symbol_t {
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
    int unheard;  /* sent, not heard of, and without a key to ask for it by */
    int nested;   /* the look-ups of the row to be made are known */
    const char *id, *why;
    json_t *row;                 /* to be made, as it is sent */
    apr_array_header_t *without; /* const char *: its columns that the CRM refused; NULL = none */
    cs_result_t result;
};

typedef struct cs_symbol_within_t {
    const char *column;
    cs_symbol_t *symbol;
} cs_symbol_within_t;

struct cs_symbols_t {
    cs_batch_t *b;
    apr_hash_t *by_text;
    apr_array_header_t *all; /* cs_symbol_t * */
};

/* ---- symbols.c ---- */

/* The member of "$lookup"; NULL = the value is none. */
const json_t *cs_symbol_lookup(const json_t *value);
const char *cs_symbol_text(cs_symbols_t *t, int crm, const json_t *lookup);
int cs_symbol_none_is(const json_t *lookup, const char *word);
/* "contact ann@contoso.com"; "the CRM has no contact ann@contoso.com". */
const char *cs_symbol_words(const json_t *lookup, apr_pool_t *p);
const char *cs_symbol_none_words(const json_t *lookup, apr_pool_t *p);
/* make 0 = it is only looked for. */
cs_symbol_t *cs_symbols_collect_one(cs_symbols_t *t, cs_item_t *item, const char *key,
                                    const json_t *lookup, int make);
/* In an order that does not hang on who asked first. */
apr_array_header_t *cs_symbols_of(cs_symbols_t *t, int crm, cs_symbol_e state);
int cs_symbol_settled(const cs_symbol_t *s);
void cs_symbol_found(cs_batch_t *b, cs_symbol_t *s, const char *id);
void cs_symbol_hold(cs_symbol_t *s, const char *why);
void cs_symbol_fail_like(cs_symbol_t *s, const cs_symbol_t *other);
/* {"$ref": ...}: new reference. */
json_t *cs_symbol_ref(const cs_symbol_t *s);

/* ---- symbols_make.c ---- */

/* 1 when something moved. */
int cs_symbols_make_rows(cs_symbols_t *t, int crm);

#endif
