/* engine/ahead.h: all referrals as Partner Center's list shows them, read ahead of the looks of a
 * resync, so that none of these asks for a single one. In memory, one thread (the lane's).
 *
 * Whose cards an engagement has. A list with a filter shows a part of the list without one, so the
 * cards of an engagement are those that the whole list shows of it; that holds for a list that was
 * read to its end, and is proved on some engagements that seem to lack a card before it is relied
 * on. Where it was not read to its end, where the proof fails, or where not everything had room,
 * the engagement's own list is asked for. (partner-center-api.md 4.1, 4.3)
 *
 * A card that changes while the list is read moves to its top: the top is read again at the end.
 */
#ifndef CS_ENGINE_AHEAD_H
#define CS_ENGINE_AHEAD_H

#include "lane.h"

typedef struct cs_ahead_t cs_ahead_t;

/* Of one of our referrals on the list. */
typedef struct cs_ahead_own_t {
    const char *id, *engagement; /* engagement NULL = none */
    apr_interval_time_t read;    /* when the list was asked for; cs_time_boot() */
} cs_ahead_own_t;

/* The list down to what changed before `floor` (0 = all of it), not too old, or one that shows
 * more; NULL = it must be read. */
cs_ahead_t *cs_ahead_of(cs_lane_t *lane, apr_time_t floor);
/* Reads on for some seconds: pages, then what proves them. *pready = 1 when cs_ahead_of() answers.
 * What Partner Center says when it does not answer is in `result`; what was read so far stays. */
void cs_ahead_read(cs_lane_t *lane, apr_time_t floor, int *pready, cs_result_t *result,
                   apr_pool_t *ptemp);
/* What is known of the reading under way: pages and referrals so far; 0 = none is. */
int cs_ahead_pages(const cs_lane_t *lane, int *pcards);
/* Forgets what is too old, or all of it. */
void cs_ahead_expire(cs_lane_t *lane);
void cs_ahead_drop(cs_lane_t *lane);

/* Our referrals, by id. */
int cs_ahead_count(const cs_ahead_t *ahead);
const cs_ahead_own_t *cs_ahead_at(const cs_ahead_t *ahead, int i);
/* Index of the first whose id comes after this one ("" = of the first). */
int cs_ahead_after(const cs_ahead_t *ahead, const char *id);
/* 1 when the list shows this referral. */
int cs_ahead_has(const cs_ahead_t *ahead, const char *id);

/* The deal was looked at with what both sides show now. Clocks that were set do not matter. */
void cs_ahead_settled(cs_lane_t *lane, apr_int64_t deal);
/* 1 when that was after its referral was read here. */
int cs_ahead_is_settled(const cs_ahead_t *ahead, const cs_ahead_own_t *own, apr_int64_t deal);

/* All cards of the engagement of this referral: cs_card_t * in p; NULL = its own list is to be
 * asked for. *pown = the referral's own card, NULL = it had no room. */
apr_array_header_t *cs_ahead_cards(const cs_ahead_t *ahead, const cs_ahead_own_t *own,
                                   cs_card_t **pown, apr_pool_t *p);

#endif
