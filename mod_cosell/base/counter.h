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

typedef struct cs_counters_t {
    _Atomic apr_uint64_t value[CS_COUNT_MAX];
} cs_counters_t;

/* The process's table; until cs_counters_use() a private one, so that the library counts without
 * httpd. */
void cs_counters_use(cs_counters_t *shared);
void cs_count(cs_counter_e id, apr_uint64_t n);
apr_uint64_t cs_counter_get(cs_counter_e id);
const char *cs_counter_name(cs_counter_e id);
const char *cs_counter_text(cs_counter_e id);

#endif
