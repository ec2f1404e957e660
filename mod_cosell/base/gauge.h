/* base/gauge.h: what is the case right now, and what was in the last hours, in the shared memory of
 * counter.h: written by the runner, read by pages, cosell-metrics and mod_status without store,
 * lock or wait. (design 7.5)
 *
 * One table feeds code, page, metrics and documentation: each gauge is a line of CS_GAUGES.
 * Readers may be in any process and thread; a reader never waits for a writer, and reads a text
 * whole or not at all.
 */
#ifndef CS_BASE_GAUGE_H
#define CS_BASE_GAUGE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <stdatomic.h>

/* ---- alerts: what needs a person, most urgent first ---- */

#define CS_ALERTS_MAX 64

typedef enum { CS_ALERT_ERROR = 0, CS_ALERT_WARNING } cs_alert_level_e;

typedef struct cs_alert_t {
    const char *site; /* "" = of the whole server */
    const char *what; /* stable key: "store", "suspended:sales", "dead", "webhook:drift" ... */
    cs_alert_level_e level;
    const char *text; /* what is the case, one sentence */
    const char *todo; /* what to do about it, one sentence; "" = it clears by itself */
    apr_time_t since;
} cs_alert_t;

/* Those that are on, of one site and of the whole server (site NULL = of all): cs_alert_t * in p.
 * Empty while no runner has looked yet. */
apr_array_header_t *cs_alerts_list(const char *site, apr_pool_t *p);

/* ---- what happened lately: a point each minute, for the plots ---- */

#define CS_HISTORY_MINUTES 180

/* X(id, name, unit, what it shows) */
#define CS_HISTORIES(X)                                                                            \
    X(ACCEPTED, "accepted", "a minute", "notices accepted")                                        \
    X(LOOKS, "looks", "a minute", "deals looked at")                                               \
    X(CALLS, "calls", "a minute", "requests sent")                                                 \
    X(FAILED, "failed", "a minute", "requests without a useful answer")                            \
    X(BACKLOG, "backlog", "", "notices that wait for their look, at the end of the minute")        \
    X(LAG, "lag", "s", "the slowest tenth of the changes took longer than this to the other side")

typedef enum {
#define CS_HISTORY_ENUM(id, name, unit, text) CS_HISTORY_##id,
    CS_HISTORIES(CS_HISTORY_ENUM)
#undef CS_HISTORY_ENUM
        CS_HISTORY_MAX
} cs_history_e;

const char *cs_history_name(cs_history_e which);
const char *cs_history_unit(cs_history_e which);
const char *cs_history_text(cs_history_e which);
/* The last n whole minutes, oldest first, into values[CS_HISTORY_MINUTES]; *pend = when the last of
 * them ended. A minute without an observation (LAG) is -1. Returns n, 0 = none yet. Of the whole
 * server. */
int cs_history_read(cs_history_e which, double *values, apr_time_t *pend);

#endif
