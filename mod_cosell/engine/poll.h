/* engine/poll.h: one turn of a poll or a sweep. Inside engine/poll*.c and engine/sweep.c only.
 *
 * A turn reads one page, asks for looks, and says where it stands; all it says goes into one
 * transaction (b->changes), so that a kill loses nothing and repeats at most one page. */
#ifndef CS_ENGINE_POLL_H
#define CS_ENGINE_POLL_H

#include "batch.h"
#include "timers.h"

/* Looks that one transaction asks for. */
#define CS_POLL_LOOKS 200
/* What was shown so long before the newest of a former pass is looked through again: lists lag. */
#define CS_POLL_OVERLAP apr_time_from_sec(600)

/* Hint of the list's row: for whom it was asked for. */
#define CS_POLL_REASON "related:"

typedef struct cs_poll_t {
    cs_batch_t *b;
    cs_work_t *work;
    const cs_timer_t *timer;
    json_t *state;    /* the cursor; the turn changes it; never NULL */
    apr_time_t stood; /* when it was stored last; 0 = never */
    apr_hash_t *asked; /* names of looks in this turn */
    int looks;         /* asked for in this turn */
    cs_result_t result;
} cs_poll_t;

/* Asks for a look at a deal or at a name nobody knows yet, as a notice would, unless one is waiting
 * for it anyway. hint, version: what was seen, by whom; NULL = not known. */
apr_status_t cs_poll_look(cs_poll_t *t, const char *name, const char *hint, apr_time_t version,
                          cs_result_t *res);
const char *cs_poll_deal_name(cs_poll_t *t, apr_int64_t deal);
/* Where it stands goes into the transaction, whatever else does. */
void cs_poll_store(cs_poll_t *t);
/* How the turn ended: the pass is over; there is more right now; it failed (t->result is set). */
void cs_poll_over(cs_poll_t *t);
/* Over, and yet something is wrong that a person must see to. */
void cs_poll_over_with(cs_poll_t *t, const char *problem, const char *why);
void cs_poll_more(cs_poll_t *t);
void cs_poll_failed(cs_poll_t *t);
/* Not now, for this reason and at least until `at`: costs no attempt. */
void cs_poll_wait(cs_poll_t *t, apr_time_t at, const char *problem, const char *why);

/* Reads where it stands. */
apr_status_t cs_poll_load(cs_poll_t *t, cs_result_t *res);
/* poll_list.c, poll_rows.c, sweep.c: one turn. An error is the store's. */
apr_status_t cs_poll_list(cs_poll_t *t, cs_result_t *res);
apr_status_t cs_poll_rows(cs_poll_t *t, cs_result_t *res);
apr_status_t cs_sweep_portion(cs_poll_t *t, cs_result_t *res);

#endif
