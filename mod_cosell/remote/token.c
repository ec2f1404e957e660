/* remote/token.c: an access token in memory, and the trouble of getting one. */
#include "token_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/time.h"

#define MINUTE apr_time_from_sec(60)

/* A refresh ahead of time that fails is not repeated at each call. */
#define REFRESH_PAUSE apr_time_from_sec(30)
#define TROUBLE_BASE apr_time_from_sec(1)
#define TROUBLE_CAP apr_time_from_sec(30)
#define TROUBLE_FLOOR apr_time_from_msec(500)

static void forget(cs_token_t *token)
{
    if (token->p) {
        apr_pool_destroy(token->p);
    }
    token->p = NULL;
    token->access = NULL;
    token->identity = NULL;
}

static void keep(cs_token_t *token, const cs_exchange_t *x)
{
    apr_interval_time_t now = cs_time_boot();
    char *access;

    forget(token);
    apr_pool_create(&token->p, token->parent);
    apr_pool_tag(token->p, "cs_token");
    access = apr_pstrdup(token->p, x->access);
    cs_wipe_at_end(access, strlen(access), token->p);
    token->access = access;
    token->identity = apr_pstrdup(token->p, x->identity);
    token->got_at = now;
    token->renew_at = now + apr_time_from_sec(x->life) * 8 / 10;
    token->expires_at = now + apr_time_from_sec(x->life);
    token->not_before = 0;
    token->failures = 0;
    token->ask_at = 0;
}

/* Passing trouble is remembered, what needs a person is not: a probe asks about it in its own time.
 */
static void remember_trouble(cs_token_t *token, const cs_result_t *res)
{
    if (res->cls != CS_CLASS_RETRY) {
        return;
    }
    token->ask_at =
        cs_time_boot() + cs_backoff(token->failures, TROUBLE_BASE, TROUBLE_CAP, TROUBLE_FLOOR);
    token->failures += token->failures < 16;
    apr_cpystrn(token->problem, res->problem ? res->problem : "transport", sizeof(token->problem));
    apr_cpystrn(token->detail, res->detail ? res->detail : "no token", sizeof(token->detail));
    token->trouble.rv = res->rv;
}

/* Costs no attempt, for nothing was tried. */
static apr_status_t still_in_trouble(const cs_token_t *token, apr_interval_time_t now,
                                     apr_pool_t *ptemp, cs_result_t *res)
{
    cs_result_set(res, ptemp, token->trouble.rv, CS_CLASS_THROTTLED,
                  apr_pstrdup(ptemp, token->problem), "%s", token->detail);
    if (res) {
        res->retry_at = cs_time_now() + (token->ask_at - now);
    }
    return token->trouble.rv;
}

static apr_status_t fetch(cs_token_t *token, apr_interval_time_t deadline, apr_pool_t *ptemp,
                          cs_result_t *res)
{
    cs_exchange_t x = {0};
    apr_status_t rv = cs_token_exchange(token, &x, deadline, ptemp, res);

    if (rv == APR_SUCCESS) {
        keep(token, &x);
    }
    return rv;
}

static int outlives_a_minute(const cs_token_t *token)
{
    return token->access && cs_time_boot() + MINUTE < token->expires_at;
}

apr_status_t cs_token_create(cs_token_t **ptoken, const cs_token_config_t *cfg, cs_http_t *http,
                             cs_limiter_t *limiter, apr_pool_t *p)
{
    cs_token_t *token = apr_pcalloc(p, sizeof(*token));

    token->cfg = *cfg;
    token->http = http;
    token->limiter = limiter;
    token->parent = p;
    *ptoken = token;
    return APR_SUCCESS;
}

apr_status_t cs_token_get(cs_token_t *token, const char **pbearer, apr_interval_time_t deadline,
                          apr_pool_t *ptemp, cs_result_t *res)
{
    apr_interval_time_t now = cs_time_boot();
    int usable = outlives_a_minute(token);
    apr_status_t rv;

    *pbearer = NULL;
    cs_result_clear(res);
    if (!usable && now < token->ask_at && token->ask_at - now <= TROUBLE_CAP) {
        return still_in_trouble(token, now, ptemp, res);
    }
    if (!usable || (now >= token->renew_at && now >= token->not_before)) {
        rv = fetch(token, deadline, ptemp, res);
        if (rv != APR_SUCCESS && !usable) {
            remember_trouble(token, res);
        }
        if (rv != APR_SUCCESS &&
            !(usable && (res->cls == CS_CLASS_RETRY || res->cls == CS_CLASS_THROTTLED))) {
            return rv;
        }
        if (rv != APR_SUCCESS) {
            token->not_before = now + REFRESH_PAUSE;
            cs_result_clear(res);
        }
    }
    *pbearer = token->access;
    return APR_SUCCESS;
}

apr_status_t cs_token_renew(cs_token_t *token, apr_interval_time_t deadline, apr_pool_t *ptemp,
                            cs_result_t *res)
{
    cs_result_clear(res);
    return fetch(token, deadline, ptemp, res);
}

void cs_token_forget(cs_token_t *token)
{
    forget(token);
    token->failures = 0;
    token->ask_at = 0;
    token->not_before = 0;
}

const char *cs_token_entra_url(const char *tenant, apr_pool_t *p)
{
    return apr_pstrcat(p, "https://login.microsoftonline.com/",
                       cs_http_escape(tenant ? tenant : "", p), "/oauth2/v2.0/token", NULL);
}

const cs_token_config_t *cs_token_config(const cs_token_t *token)
{
    return &token->cfg;
}

const char *cs_token_identity(const cs_token_t *token)
{
    return token->identity;
}

int cs_token_refused(cs_token_t *token)
{
    int young = token->access && cs_time_boot() - token->got_at < MINUTE;

    forget(token);
    return young;
}
