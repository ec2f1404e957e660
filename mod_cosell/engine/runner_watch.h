/* engine/runner_watch.h: the runner's watch: a thread that looks every few seconds at what is the
 * case, publishes it in shared memory (base/gauge.h), and tells who wants to be told
 * (runner_notify.c). Inside the engine only. (design 7.5)
 *
 * It has a thread of its own, and a reader's handle, because the disk may hang: leases go on to be
 * renewed then, and readers see that it is blind.
 */
#ifndef CS_ENGINE_RUNNER_WATCH_H
#define CS_ENGINE_RUNNER_WATCH_H

#include "alert.h"
#include "runner.h"

typedef struct cs_watch_t cs_watch_t;

/* Starts the thread. p: the runner's pool. */
apr_status_t cs_watch_start(cs_watch_t **pwatch, const cs_node_config_t *node, apr_pool_t *p,
                            cs_result_t *res);
/* 1 = it ended within the time; 0 = it hangs, and its memory must stay. */
int cs_watch_stop(cs_watch_t *watch, apr_interval_time_t budget);

/* ---- runner_facts.c: what is observed ---- */

/* What must be remembered from round to round of an upstream. */
typedef struct cs_watch_upstream_t {
    apr_int64_t heard, found; /* totals at the last notice */
    apr_time_t quiet_since;
    apr_time_t certificate;
} cs_watch_upstream_t;

typedef struct cs_watch_memory_t {
    apr_time_t began;
    cs_watch_upstream_t *upstreams;        /* CS_LANE_UPSTREAMS of each site */
    apr_time_t *signers;                   /* of each site */
    apr_interval_time_t certificates_read; /* cs_time_boot(); 0 = not yet */
    int counted;                           /* the next two were read */
    apr_int64_t unavailable, taken;        /* counters, at the last round */
    apr_int64_t refused;                   /* since something was taken */
    apr_interval_time_t refused_at;        /* cs_time_boot() */
} cs_watch_memory_t;

void cs_watch_memory_make(cs_watch_memory_t *memory, const cs_node_config_t *node, apr_pool_t *p);
/* Asks the store and the file system; sets the gauges, too. In p. */
cs_alert_facts_t *cs_watch_observe(const cs_node_config_t *node, cs_store_t *store,
                                   cs_watch_memory_t *memory, apr_pool_t *p);

/* ---- runner_notify.c ---- */

typedef struct cs_notifier_t cs_notifier_t;

/* *pnotifier NULL when nobody wants to be told. `saved`: what a former server told, or NULL. */
apr_status_t cs_notifier_start(cs_notifier_t **pnotifier, const cs_node_config_t *node,
                               const char *saved, apr_pool_t *p, cs_result_t *res);
int cs_notifier_stop(cs_notifier_t *notifier, apr_interval_time_t budget);

#endif
