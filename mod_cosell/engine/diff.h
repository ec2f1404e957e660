/* engine/diff.h: a planned look in words, for those who ask before anything is done. Pure. */
#ifndef CS_ENGINE_DIFF_H
#define CS_ENGINE_DIFF_H

#include "batch.h"

/* 1 when doing the plan would change something: a step is sent, or the deal ends or is parked. */
int cs_item_would_change(const cs_item_t *item);
/* [{"line", "direction": "to_crm" or "to_pc", "from", "to", "why"}, ...]: a line of the mapping, or
 * what is no line: "$record" (it is made), "$referral", "$state", "$tell" (what the seller reads),
 * or the name of an action. from and to may be null. In p. */
json_t *cs_item_changes(const cs_item_t *item, apr_pool_t *p);
/* What looking at it would come to, one sentence; of an item that ended early, why. In p. */
const char *cs_item_words(const cs_item_t *item, apr_pool_t *p);

#endif
