/* base/counter.h: counters in shared memory, one table for code, status and documentation.
 *
 * The segment is anonymous, made in post_config and inherited by children and the runner.
 * Increments are relaxed atomics; any thread, any process.
 */
#ifndef CS_BASE_COUNTER_H
#define CS_BASE_COUNTER_H

#include <apr_pools.h>
#include <apr_time.h>
#include <stdatomic.h>

/* X(id, json name, what it counts and what to do about it) */
#define CS_COUNTERS(X)                                                                             \
    X(ACCEPTED, "accepted", "callbacks authentic, durable and answered 200")                       \
    X(REJECTED_400, "rejected_400", "callbacks answered 400: headers or body not as documented")   \
    X(REJECTED_401, "rejected_401",                                                                \
      "callbacks answered 401: signature or certificate not good; the log names the reason")       \
    X(REJECTED_OTHER, "rejected_other", "callbacks answered 405, 413 or 415")                      \
    X(UNAVAILABLE, "unavailable",                                                                  \
      "callbacks answered 503: not durable in time or no certificate; the sender repeats")         \
    X(GROUPS, "groups", "commit groups written: accepted / groups is the group size")              \
    X(STORE_ERRORS, "store_errors", "commit groups that failed; see the log for the reason")       \
    X(CERTIFICATE_FETCHES, "certificate_fetches", "signing certificates fetched")                  \
    X(CERTIFICATE_ERRORS, "certificate_errors",                                                    \
      "signing certificates that could not be fetched or used")                                    \
    X(LOOKS, "looks", "deals looked at")                                                           \
    X(LOOKS_NOTHING, "looks_nothing", "looks that found nothing to do")                            \
    X(LOOKS_FAILED, "looks_failed",                                                                \
      "looks that ended in a problem and will be repeated or are dead")                            \
    X(CALLS_PARTNER_CENTER, "calls_partner_center", "requests sent to Partner Center")             \
    X(CALLS_CRM, "calls_crm", "requests sent to CRMs")                                             \
    X(CALLS_TOKEN, "calls_token", "token requests")                                                \
    X(CALLS_FAILED, "calls_failed", "requests without a useful answer: transport, 5xx, 429")       \
    X(NOTIFIED, "notified", "change notifications of CRMs, durable and answered 200")              \
    X(POLLED, "polled", "changes that a poll found and no notice had told of")                     \
    X(PC_CREATED, "pc_created", "referrals created at Partner Center")                             \
    X(PC_UPDATED, "pc_updated", "referrals changed at Partner Center")                             \
    X(CREATED, "created", "CRM records created")                                                   \
    X(UPDATED, "updated", "CRM records updated")                                                   \
    X(CLOSED, "closed", "CRM records closed or reopened")                                          \
    X(CONFLICTS, "conflicts",                                                                      \
      "guarded writes that lost to a concurrent edit and were looked at again")                    \
    X(DEAD, "dead", "looks given up; each is in the dead list with its reason")                    \
    X(RUNNER_STARTS, "runner_starts", "runner processes started since the server start")

typedef enum {
#define CS_COUNTER_ENUM(id, name, text) CS_COUNT_##id,
    CS_COUNTERS(CS_COUNTER_ENUM)
#undef CS_COUNTER_ENUM
        CS_COUNT_MAX
} cs_counter_e;

/* How long a change took from its notice (received, or found by a poll) to the other side. */
typedef enum { CS_LAG_TO_CRM = 0, CS_LAG_TO_PC, CS_LAG_MAX } cs_lag_e;
/* Upper bounds of the buckets in seconds, cumulative as Prometheus has them; the last is +Inf. */
#define CS_LAG_BOUNDS {0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 3600}
#define CS_LAG_BUCKETS 13

/* How long a sender waited for its answer, from when the request's headers were there. */
typedef enum { CS_ACCEPT_STORED = 0, CS_ACCEPT_UNAVAILABLE, CS_ACCEPT_MAX } cs_accept_e;
#define CS_ACCEPT_BOUNDS {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}
#define CS_ACCEPT_BUCKETS 12

typedef struct cs_counters_t {
    _Atomic apr_uint64_t value[CS_COUNT_MAX];
    _Atomic apr_uint64_t lag[CS_LAG_MAX][CS_LAG_BUCKETS]; /* each bucket for itself */
    _Atomic apr_uint64_t lag_us[CS_LAG_MAX];              /* sum of all, microseconds */
    _Atomic apr_uint64_t accept[CS_ACCEPT_MAX][CS_ACCEPT_BUCKETS]; /* each bucket for itself */
    _Atomic apr_uint64_t accept_us[CS_ACCEPT_MAX];
} cs_counters_t;

/* The process's table; until cs_counters_use() a private one, so that the library counts without
 * httpd. */
void cs_counters_use(cs_counters_t *shared);
void cs_count(cs_counter_e id, apr_uint64_t n);
apr_uint64_t cs_counter_get(cs_counter_e id);
void cs_lag_observe(cs_lag_e which, apr_interval_time_t took);
/* Observations not above the bucket's bound, those of the smaller buckets included. */
apr_uint64_t cs_lag_get(cs_lag_e which, int bucket);
apr_uint64_t cs_lag_sum(cs_lag_e which); /* microseconds */
const char *cs_lag_name(cs_lag_e which); /* "to_crm", "to_partner_center" */
/* The same of answers. Request threads call it: relaxed atomics and nothing else. */
void cs_accept_observe(cs_accept_e which, apr_interval_time_t took);
apr_uint64_t cs_accept_get(cs_accept_e which, int bucket);
apr_uint64_t cs_accept_sum(cs_accept_e which);   /* microseconds */
const char *cs_accept_name(cs_accept_e which);   /* "stored", "unavailable" */
const char *cs_counter_name(cs_counter_e id);
const char *cs_counter_text(cs_counter_e id);

#endif
