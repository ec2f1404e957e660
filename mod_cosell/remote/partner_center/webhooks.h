/* remote/partner_center/webhooks.h: the Webhooks API: where Partner Center sends its events.
 * (partner-center-api.md 1)
 *
 * There is one registration for a whole tenant, without an id: who updates it takes away what was
 * there. What that means is the caller's business; here are the calls.
 *
 * Results are of design 6: SUSPEND for what needs a person (403 with the roles that are needed,
 * "pc:mfa", no token), THROTTLED, RETRY, REFUSED with Partner Center's words for what it does not
 * take, CONFLICT when the other way of writing was not accepted either, UNKNOWN when a write was
 * not answered: it may be repeated with the same request id.
 */
#ifndef CS_REMOTE_PARTNER_CENTER_WEBHOOKS_H
#define CS_REMOTE_PARTNER_CENTER_WEBHOOKS_H

#include "partner_center.h"

#define CS_PC_TEST_EVENT "test-created"
/* The four events that tell of referrals, closed by NULL. */
extern const char *const cs_pc_referral_events[];

/* The longest URL that is registered. */
#define CS_PC_HOOK_URL_MAX 1000
#define CS_PC_HOOK_EVENTS_MAX 100

typedef struct cs_pc_hooks_t cs_pc_hooks_t;

/* A token of its own, for the audience of webhooks_url, from the same vault and refresh token. */
apr_status_t cs_pc_hooks_create(cs_pc_hooks_t **phooks, const cs_pc_config_t *cfg,
                                const cs_vault_t *vault, cs_http_t *http, cs_limiter_t *limiter,
                                cs_limiter_t *login_limiter, apr_pool_t *p);

/* Another refresh token is in force: the next call fetches with it. */
void cs_pc_hooks_signed_in(cs_pc_hooks_t *hooks);

typedef struct cs_pc_hook_t {
    const char *url;            /* as registered: it may hold a secret of its owner */
    apr_array_header_t *events; /* const char * */
    int marked; /* the signature comes in x-ms-signature and not in Authorization; -1 = not said */
} cs_pc_hook_t;

/* Names of events that can be registered: const char * in p. */
apr_status_t cs_pc_hooks_events(cs_pc_hooks_t *hooks, apr_array_header_t **pevents,
                                apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);
/* *phook NULL = nothing is registered. */
apr_status_t cs_pc_hooks_read(cs_pc_hooks_t *hooks, cs_pc_hook_t **phook,
                              apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);
/* Registers exactly this. `replace`: something is registered and goes; when that turns out to be
 * otherwise, it is done the other way. marked -1 leaves Partner Center's default. request:
 * MS-RequestId, the same for repetitions. */
apr_status_t cs_pc_hooks_write(cs_pc_hooks_t *hooks, const cs_pc_hook_t *hook, int replace,
                               const char *request, apr_interval_time_t deadline, apr_pool_t *p,
                               cs_result_t *res);

/* Asks for a test event; *pid = its correlation id, a GUID in lower case. Two a minute are allowed.
 */
apr_status_t cs_pc_hooks_test(cs_pc_hooks_t *hooks, const char *request, const char **pid,
                              apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);

/* What Partner Center says came of it. */
typedef struct cs_pc_tested_t {
    const char *status; /* "Submitted", "completed", "failed" ...; "" = not said */
    const char *url;    /* where it was sent; NULL = not said */
    int attempts;
    const char *answer; /* of the last attempt, for people: "NotFound", "no connection"; NULL =
                           there was none */
    int good;           /* 1 = the last attempt was answered well */
} cs_pc_tested_t;
/* *ptested NULL = it is not known there (any more). */
apr_status_t cs_pc_hooks_tested(cs_pc_hooks_t *hooks, const char *id, cs_pc_tested_t **ptested,
                                apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);

/* Pure. */

/* NULL, or what is wrong with a URL that is to be registered, and what is allowed. */
const char *cs_pc_hook_url_wrong(const char *url, apr_pool_t *p);
/* The URL as it may be shown and stored: what could be a secret (query, user) is "...". In p. */
const char *cs_pc_hook_url_shown(const char *url, apr_pool_t *p);
/* 1 when both name one place: scheme and host without regard to case, default ports dropped, the
 * rest exactly. */
int cs_pc_hook_url_same(const char *a, const char *b, apr_pool_t *p);
/* 1 when `name` is among the events, without regard to case. */
int cs_pc_hook_has(const apr_array_header_t *events, const char *name);

#endif
