/* engine/resync.h: one turn of a resync. Inside engine/job_resync.c and engine/resync_portion.c
 * only. */
#ifndef CS_ENGINE_RESYNC_H
#define CS_ENGINE_RESYNC_H

#include "ahead.h"
#include "diff.h"
#include "job.h"

typedef struct cs_resync_t {
    cs_job_turn_t *t;
    cs_batch_t *b; /* of this turn's looks */
    json_t *cursor;
    int dry, all;
    const char *id;
    cs_ahead_t *ahead;
    int asked; /* items whose cards are asked for */
    apr_status_t rv;
} cs_resync_t;

/* Counts are members of the cursor. */
apr_int64_t cs_resync_count_of(const cs_resync_t *r, const char *name);
void cs_resync_set_count(cs_resync_t *r, const char *name, apr_int64_t n);
/* So many more of these, and done. */
void cs_resync_count(cs_resync_t *r, const char *name, int n);

/* The next deals that need a look, into r->b->items; 1 = there are more behind them. What goes
 * wrong with the store is r->rv. */
int cs_resync_collect_listed(cs_resync_t *r, cs_result_t *res);
int cs_resync_collect_rest(cs_resync_t *r, cs_result_t *res);
/* The one deal, or referral, that was asked for. */
void cs_resync_collect_one(cs_resync_t *r, cs_deal_t *deal, const char *referral, cs_result_t *res);
/* Their looks, counted; of a dry run their plans. r->b->stopped: a brake stopped them before
 * anything was done. */
apr_status_t cs_resync_look(cs_resync_t *r, cs_result_t *res);

#endif
