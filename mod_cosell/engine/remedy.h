/* engine/remedy.h: what a person can do, by the problem that was met. */
#ifndef CS_ENGINE_REMEDY_H
#define CS_ENGINE_REMEDY_H

#include <apr_pools.h>

/* About a suspended upstream; pc 1 = it is Partner Center. Never NULL. */
const char *cs_remedy_of_upstream(const char *problem, const char *upstream, int pc, apr_pool_t *p);
/* About a look that was given up; NULL = the words of the refusal say it themselves. */
const char *cs_remedy_of_dead(const char *problem);
/* The same, of what dead looks have in common (cs_cause_t.cause); NULL also when nothing is dead.
 */
const char *cs_remedy_of_cause(const char *cause, apr_pool_t *p);

#endif
