/* domain/tell_internal.h: between what the seller reads and the columns it stands in. Inside
 * reconcile_tell.c and tell_columns.c only. */
#ifndef CS_DOMAIN_TELL_INTERNAL_H
#define CS_DOMAIN_TELL_INTERNAL_H

#include "reconcile_internal.h"

/* 1 = two texts, either of them NULL, say something else. */
int cs_tell_differs(const char *a, const char *b);
/* What the record shows in a column, in canonical form; NULL = nothing. In pl->p. */
const char *cs_tell_shown(const cs_planning_t *pl, const char *column);
/* The audit's lines, newest first: whole ones while they fit. In p. */
const char *cs_tell_join(const json_t *audit, int max, apr_pool_t *p);
/* How long a text in this column may be: max is the mapping's bound. */
int cs_tell_max(const cs_planning_t *pl, const char *column, int max);

#endif
