/* domain/decide.h: what a person decides about a deal where no rule may: which record is its own,
 * that it is to have a new one, that it is left alone, whose value counts in a conflict. Pure: the
 * deal is changed in place and is to be stored and looked at. (deals 1; design 7.6)
 *
 * Nothing is written by a decision: the look that follows compares both sides as ever, under their
 * guards.
 */
#ifndef CS_DOMAIN_DECIDE_H
#define CS_DOMAIN_DECIDE_H

#include "mapping.h"

/* The deal's record is this row, which is there: its next look compares both sides as at a first
 * meeting, each line by its `introduce`. */
void cs_decide_link(cs_deal_t *deal, const char *crm, const cs_mapping_kind_t *kind,
                    const char *record_id);
/* The deal gets a record of its own, whatever its referral names and whichever rows could be it. */
void cs_decide_create(cs_deal_t *deal, const char *crm, const cs_mapping_kind_t *kind,
                      apr_pool_t *p);
/* Both sides are left as they are from now on; why is the deal's problem. */
void cs_decide_rest(cs_deal_t *deal, const char *why, apr_pool_t *p);
/* Whose value counts in the line that is held: the side counts as having changed last. for_pc = 1:
 * Partner Center's. line: a line, or an item "<list>/<key>". NULL, or why not, with the lines that
 * can be decided. */
const char *cs_decide_conflict(cs_deal_t *deal, const char *line, int for_pc, apr_pool_t *p);

#endif
