/* engine/lane.h: one site's connections, tokens, limiters, caches and lease. Inside the engine
 * only.
 *
 * A lane is worked by at most one thread at a time (`busy`), so nothing inside it needs a lock,
 * except the lease, which the runner's main thread renews while a worker uses it (`lease_mutex`).
 */
#ifndef CS_ENGINE_LANE_H
#define CS_ENGINE_LANE_H

#include <apr_hash.h>
#include <apr_thread_mutex.h>
#include <stdatomic.h>
#include "../base/crypto.h"
#include "../base/log.h"
#include "../base/time.h"
#include "runner.h"

#define CS_UPSTREAM_PC "partner-center"

#define CS_LEASE_TTL apr_time_from_sec(90)
#define CS_LEASE_RENEW apr_time_from_sec(15)

/* An upstream of this site that waits for a person; probed until it works again. */
typedef struct cs_lane_suspension_t {
    const char *upstream;
    apr_time_t probe;
    int failures;
    char problem[64];
} cs_lane_suspension_t;

/* An upstream that worked again by its probe and not for the work: a column that does not exist.
 * Its next pauses grow and it is not announced each time. */
typedef struct cs_lane_relapse_t {
    const char *upstream;
    char problem[64];
    apr_time_t resumed;
    int times;
} cs_lane_relapse_t;

typedef struct cs_lane_t {
    cs_runner_t *runner;
    const cs_node_config_t *node;
    const cs_site_config_t *site;
    apr_pool_t *pool; /* own allocator; lives as long as the lane */
    _Atomic int busy; /* a worker has it */
    int touched;      /* worked on since the last renewal (main thread) */
    apr_interval_time_t
        lease_refused; /* cs_time_boot() when another node was seen to hold it (main thread) */

    cs_store_t *store;
    cs_http_t *http;
    cs_limiter_t pc_limiter, login_limiter;
    cs_limiter_t crm_limiter[CS_SITE_CRMS_MAX];
    cs_pc_t *pc;
    const cs_crm_impl_t *crm_impl[CS_SITE_CRMS_MAX];
    cs_crm_t *crm[CS_SITE_CRMS_MAX];
    cs_vault_t vault;
    unsigned char key[CS_KEY_LEN];

    const char *organization;      /* configured or learnt; NULL = not yet */
    char learnt[64];               /* the bytes of a learnt one */
    int facts_loaded;              /* organization and suspensions were read from the store */
    apr_array_header_t *suspended; /* cs_lane_suspension_t */
    apr_array_header_t *relapses;  /* cs_lane_relapse_t, at most one per upstream */
    apr_pool_t *cache_pool;        /* resolved look-ups: symbol -> row id */
    apr_hash_t *cache;
    apr_time_t cache_since;
    apr_interval_time_t pruned_at; /* cs_time_boot() of the last pruning; 0 = there is more */
    cs_log_state_t log_batch;      /* the worker's: batches that could not be carried through */

    apr_thread_mutex_t *lease_mutex;
    cs_lease_t lease; /* site and owner never change */
    int leased;
    apr_interval_time_t lease_boot; /* cs_time_boot() until which the lease is surely ours */
} cs_lane_t;

/* Opens nothing outside but the store handle (lazily). seal_key: CS_KEY_LEN bytes, copied. */
apr_status_t cs_lane_create(cs_lane_t **plane, const cs_node_config_t *node,
                            const cs_site_config_t *site, const unsigned char *seal_key,
                            apr_pool_t *parent, cs_result_t *res);
void cs_lane_destroy(cs_lane_t *lane);

/* The lease, by any thread. */
int cs_lane_leased(cs_lane_t *lane);
/* A consistent copy for the store's guarded calls. */
cs_lease_t cs_lane_lease(cs_lane_t *lane);
apr_status_t cs_lane_lease_take(cs_lane_t *lane, cs_store_t *store, const char *node,
                                apr_pool_t *ptemp, cs_result_t *res);
void cs_lane_lease_renew(cs_lane_t *lane, cs_store_t *store, apr_pool_t *ptemp);
void cs_lane_lease_drop(cs_lane_t *lane);
/* cs_may_write_fn: the lease outlives a write that takes at most timeout. */
int cs_lane_may_write(void *lane, apr_interval_time_t timeout);

/* Facts of the store that the lane keeps in memory: organisation, suspensions. Idempotent. */
apr_status_t cs_lane_facts_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);
/* After a transaction that failed: what memory says must be what the store says. The next batch
 * loads again. */
void cs_lane_facts_forget(cs_lane_t *lane);
/* NULL = not suspended. */
cs_lane_suspension_t *cs_lane_suspension(cs_lane_t *lane, const char *upstream);
/* Remembers and appends the change to be stored. The same upstream twice is one suspension. */
void cs_lane_suspend(cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                     apr_array_header_t *changes, apr_pool_t *p);
/* Remembers the own organisation; text in memory of the lane's own. */
const char *cs_lane_learn(cs_lane_t *lane, const char *organization);
/* Earliest probe, 0 = none. */
apr_time_t cs_lane_next_probe(const cs_lane_t *lane);
/* Asks each suspended upstream whose probe is due; resumes or postpones it in the store. */
apr_status_t cs_lane_probe(cs_lane_t *lane, apr_time_t now, apr_pool_t *ptemp);

/* Look-ups of a kind in the CRM's form. */
const apr_array_header_t *cs_lane_lookups(const cs_mapping_kind_t *kind, apr_pool_t *p);
/* Index of a CRM by its configured name, -1 = not configured (any more). */
int cs_lane_crm_index(const cs_lane_t *lane, const char *name);

/* Resolved look-ups, kept for ten minutes. */
const char *cs_lane_cache_get(cs_lane_t *lane, const char *symbol, apr_time_t now);
void cs_lane_cache_put(cs_lane_t *lane, const char *symbol, const char *id, apr_time_t now);
void cs_lane_cache_clear(cs_lane_t *lane);

/* ---- look.c ---- */

/* One batch: claim, fetch, plan, apply, settle. *pmore != 0: there may be more due work right now.
 * An error means that the batch could not be carried through (store, lease): nothing is lost, the
 * work is still due. */
apr_status_t cs_look_batch(cs_lane_t *lane, int *pmore, apr_pool_t *p, cs_result_t *res);

#endif
