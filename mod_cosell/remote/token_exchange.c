/* remote/token_exchange.c: one exchange with a token endpoint: the form that is sent, what is
 * answered, and who may be asked again at once. */
#include "token_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "assertion.h"
#include "oauth.h"
#include "../base/counter.h"
#include "../base/json.h"

#define LIFE_DEFAULT 3600
#define LIFE_MAX (2 * 86400)
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define BEARER_TYPE "urn:ietf:params:oauth:grant-type:jwt-bearer"

/* "Client is public so neither client_assertion nor client_secret should be presented". */
#define CLIENT_IS_PUBLIC 700025

/* The assertion says who asks and for whom. */
static const char *make_bearer_form(const cs_exchange_t *x, apr_pool_t *ptemp)
{
    apr_table_t *form = apr_table_make(ptemp, 2);

    apr_table_setn(form, "grant_type", BEARER_TYPE);
    apr_table_setn(form, "assertion", x->assertion);
    return cs_oauth_form(form, ptemp);
}

static const char *make_form(const cs_token_t *token, const cs_exchange_t *x, apr_pool_t *ptemp)
{
    const cs_token_config_t *cfg = &token->cfg;
    apr_table_t *form = apr_table_make(ptemp, 8);
    int refresh = cfg->grant == CS_GRANT_REFRESH_TOKEN;

    if (cfg->grant == CS_GRANT_JWT_BEARER) {
        return make_bearer_form(x, ptemp);
    }
    apr_table_setn(form, "grant_type", refresh ? "refresh_token" : "client_credentials");
    apr_table_setn(form, "client_id", cfg->client_id);
    if (x->bare) {
        /* A sign-in by device code made a public client of it. */
    }
    else if (x->assertion) {
        apr_table_setn(form, "client_assertion_type", ASSERTION_TYPE);
        apr_table_setn(form, "client_assertion", x->assertion);
    }
    else if (cfg->client_secret && cfg->client_secret->value) {
        apr_table_setn(form, "client_secret", cfg->client_secret->value);
    }
    if (refresh) {
        apr_table_setn(form, "refresh_token", x->refresh);
    }
    if (cfg->bare) {
        return cs_oauth_form(form, ptemp);
    }
    if (cs_oauth_is_v1(cfg->url)) {
        apr_table_setn(form, "resource", cfg->audience);
    }
    else {
        apr_table_setn(
            form, "scope",
            apr_pstrcat(ptemp, cfg->audience, "/.default", refresh ? " offline_access" : "", NULL));
    }
    return cs_oauth_form(form, ptemp);
}

/* ---- the answer ---- */

/* A token is good for one instance. Elsewhere than configured it is not used at all: there may be
 * the rows of another organisation. */
static apr_status_t check_instance(const cs_token_config_t *cfg, const json_t *json,
                                   apr_pool_t *ptemp, cs_result_t *res)
{
    const char *url = cs_json_str(json, "instance_url");
    const char *origin = url ? cs_http_origin(url, ptemp) : NULL;

    if (!cfg->instance || (origin && !strcmp(origin, cfg->instance))) {
        return APR_SUCCESS;
    }
    return cs_result_set(res, ptemp, CS_EREMOTE, CS_CLASS_SUSPEND, "config:instance",
                         "the session is for %.200s, but %s is configured",
                         origin ? origin : "no instance", cfg->instance);
}

static apr_int64_t life_of(const cs_token_config_t *cfg, const json_t *json)
{
    apr_int64_t life =
        cs_json_int(json, "expires_in", cfg->life > 0 ? apr_time_sec(cfg->life) : LIFE_DEFAULT);

    return life < 1 ? 1 : life > LIFE_MAX ? LIFE_MAX : life;
}

static apr_status_t say_no_token(const cs_http_response_t *response,
                                 const cs_http_request_t *request, apr_pool_t *ptemp,
                                 cs_result_t *res)
{
    cs_result_set(res, ptemp, CS_EPARSE, CS_CLASS_RETRY, "oauth:answer", "%s",
                  cs_http_describe(response, request, "the answer holds no access token", ptemp));
    res->correlation = response->correlation;
    return res->rv;
}

static void take_tokens(cs_exchange_t *x, const cs_token_config_t *cfg, const json_t *json,
                        apr_pool_t *ptemp)
{
    const char *rotated = cs_json_str(json, "refresh_token");

    x->access = cs_oauth_keep(cs_json_str(json, "access_token"), ptemp);
    if (rotated && *rotated) {
        x->rotated = cs_oauth_keep(rotated, ptemp);
        x->ends = cs_json_int(json, "refresh_token_expires_in", 0);
    }
    x->identity = apr_pstrdup(ptemp, cs_json_str(json, "id"));
    x->life = life_of(cfg, json);
}

static apr_status_t read_answer(const cs_token_config_t *cfg, cs_exchange_t *x,
                                const cs_http_response_t *response,
                                const cs_http_request_t *request, apr_pool_t *ptemp,
                                cs_result_t *res)
{
    cs_result_t unread = {0};
    json_t *json = NULL;
    const char *access;
    apr_status_t rv;

    if (response->body_len) {
        cs_json_parse(&json, response->body, response->body_len, NULL, ptemp, &unread);
    }
    access = cs_json_str(json, "access_token");
    if (response->status != 200) {
        rv = cs_oauth_refused(response, request, json, cfg->grant == CS_GRANT_REFRESH_TOKEN, ptemp,
                              res);
        x->is_public = cs_oauth_is_code(json, CLIENT_IS_PUBLIC);
    }
    else if (!access || !*access) {
        rv = say_no_token(response, request, ptemp, res);
    }
    else {
        rv = check_instance(cfg, json, ptemp, res);
        if (rv == APR_SUCCESS) {
            take_tokens(x, cfg, json, ptemp);
        }
    }
    json_decref(json);
    return rv;
}

static apr_status_t ask_once(cs_token_t *token, cs_exchange_t *x, apr_interval_time_t deadline,
                             apr_pool_t *ptemp, cs_result_t *res)
{
    cs_http_request_t request;
    cs_http_response_t response;
    apr_status_t rv;

    cs_oauth_request(&request, token->cfg.url, make_form(token, x, ptemp),
                     apr_psprintf(ptemp, "token for %s", token->cfg.audience), ptemp);
    rv = cs_http_perform(token->http, token->cfg.upstream, token->limiter, &request, &response, 1,
                         deadline, ptemp);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, ptemp, rv, CS_CLASS_RETRY, "transport",
                             "%s: could not be asked for", request.label);
    }
    cs_count(CS_COUNT_CALLS_TOKEN, (apr_uint64_t)response.calls);
    return read_answer(&token->cfg, x, &response, &request, ptemp, res);
}

/* Whether Entra takes an application for a public client hangs on how the refresh token came to be,
 * and on its registration, which may change: it is learnt from the answer. */
static apr_status_t ask(cs_token_t *token, cs_exchange_t *x, apr_interval_time_t deadline,
                        apr_pool_t *ptemp, cs_result_t *res)
{
    apr_status_t rv = ask_once(token, x, deadline, ptemp, res);

    if (rv != APR_SUCCESS && x->is_public && !x->bare &&
        token->cfg.grant == CS_GRANT_REFRESH_TOKEN) {
        x->bare = 1;
        cs_result_clear(res);
        rv = ask_once(token, x, deadline, ptemp, res);
    }
    return rv;
}

/* Another node may have rotated the token after we read it: then its successor is used, once. */
static apr_status_t ask_again_if_rotated(cs_token_t *token, cs_exchange_t *x,
                                         apr_interval_time_t deadline, apr_pool_t *ptemp,
                                         cs_result_t *res)
{
    cs_result_t first = *res, other = {0};
    const char *used = x->refresh;

    if (!first.problem || strcmp(first.problem, "oauth:invalid_grant") || !token->cfg.vault ||
        cs_exchange_choose(token, x, ptemp, &other) != APR_SUCCESS || !strcmp(used, x->refresh)) {
        *res = first;
        return first.rv;
    }
    return ask(token, x, deadline, ptemp, res);
}

static int signs_in_by_certificate(const cs_token_t *token)
{
    return !token->cfg.client_secret && token->cfg.certificate && token->cfg.key;
}

apr_status_t cs_token_exchange(cs_token_t *token, cs_exchange_t *x, apr_interval_time_t deadline,
                               apr_pool_t *ptemp, cs_result_t *res)
{
    int refresh = token->cfg.grant == CS_GRANT_REFRESH_TOKEN;
    apr_status_t rv;

    if (token->cfg.grant == CS_GRANT_JWT_BEARER || signs_in_by_certificate(token)) {
        rv = cs_assertion_make(&x->assertion, &token->cfg, ptemp, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    else if (!token->cfg.client_secret || !token->cfg.client_secret->value) {
        return cs_result_set(res, ptemp, APR_EINVAL, CS_CLASS_SUSPEND, "config:client-secret",
                             "the client secret %s is not loaded",
                             token->cfg.client_secret ? token->cfg.client_secret->ref : "(none)");
    }
    rv = refresh ? cs_exchange_choose(token, x, ptemp, res) : APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        rv = ask(token, x, deadline, ptemp, res);
        if (rv != APR_SUCCESS && refresh) {
            rv = ask_again_if_rotated(token, x, deadline, ptemp, res);
        }
    }
    if (rv == APR_SUCCESS && refresh) {
        rv = cs_exchange_store(token, x, ptemp, res);
    }
    return rv;
}
