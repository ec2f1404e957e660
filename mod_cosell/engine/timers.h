/* engine/timers.h: what a site does regularly without being asked: polls and sweeps, by name. Pure;
 * also for pages that show them. (deals 7) */
#ifndef CS_ENGINE_TIMERS_H
#define CS_ENGINE_TIMERS_H

#include "site.h"

/* The poll of Partner Center's list, and the sweep: names of work of kinds poll and sweep. The poll
 * of a CRM's table is "<crm>/<table>". */
#define CS_POLL_REFERRALS "referrals"
#define CS_SWEEP_DEALS "deals"

typedef struct cs_timer_t {
    const char *kind, *name; /* of its work row */
    const char *cursor;      /* name of its cursor in the store */
    apr_interval_time_t every; /* 0 = only when asked for */
    int crm; /* -1 = none */
    const cs_watched_t *watched; /* the table, of a CRM's */
} cs_timer_t;

/* cs_timer_t, in the order in which they should come: the referrals first. In p. */
apr_array_header_t *cs_timers_of(const cs_site_config_t *site, apr_pool_t *p);
/* NULL = the site has none of this name (any more). In p. */
const cs_timer_t *cs_timer_named(const cs_site_config_t *site, const char *kind, const char *name,
                                 apr_pool_t *p);

#endif
