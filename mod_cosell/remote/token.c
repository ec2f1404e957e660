#include "token.h"

#include <apr_strings.h>
#include <string.h>

#include "assertion.h"
#include "oauth.h"
#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../base/time.h"

#define LIFE_DEFAULT 3600
#define LIFE_MAX (2 * 86400)
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define BEARER_TYPE "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define MINUTE apr_time_from_sec(60)
#define ADOPT_TRIES 5
/* "Client is public so neither client_assertion nor client_secret should be presented". */
#define CLIENT_IS_PUBLIC 700025
/* A refresh ahead of time that fails is not repeated at each call. */
#define REFRESH_PAUSE apr_time_from_sec(30)
#define TROUBLE_BASE apr_time_from_sec(1)
#define TROUBLE_CAP apr_time_from_sec(30)
#define TROUBLE_FLOOR apr_time_from_msec(500)

struct cs_token_t {
    cs_token_config_t cfg;
    cs_http_t *http;
    cs_limiter_t *limiter;
    apr_pool_t *parent;
    apr_pool_t *p; /* of the access token; NULL = there is none */
    const char *access;
    const char *identity;       /* NULL = the answer had none */
    apr_interval_time_t got_at; /* cs_time_boot() */
    apr_interval_time_t renew_at;
    apr_interval_time_t expires_at;
    apr_interval_time_t not_before; /* of the next refresh ahead of time */
    /* Without a usable token and with a sign-in that is in trouble, every call would ask again. */
    int failures;
    apr_interval_time_t ask_at; /* cs_time_boot() */
    cs_result_t trouble;
    char problem[64], detail[400];
};

/* What one token request is made of; all secrets in it live in ptemp and are wiped with it. */
typedef struct exchange_t {
    const char *refresh; /* the refresh token that is used */
    const char *stored;  /* the vault's, NULL = none of this seed */
    json_t *about;       /* what the vault holds beside it: whose it is; NULL = nothing */
    int is_public;       /* the answer says that the secret is not wanted */
    int bare;            /* it belongs to a public client: no secret goes with it */
    apr_int64_t version;
    apr_int64_t ends;      /* seconds; 0 = the answer does not say when the refresh token ends */
    const char *assertion; /* NULL = the client has a secret */
    const char *rotated;   /* answered */
    const char *access;
    const char *identity;
    apr_int64_t life;
} exchange_t;

/* ---- the vault ---- */

static const char *seed_digest(const cs_token_t *token)
{
    return token->cfg.refresh_seed ? token->cfg.refresh_seed->digest : "";
}

/* The vault's token wins until the seed's digest changes. */
static apr_status_t read_vault(cs_token_t *token, exchange_t *x, apr_pool_t *ptemp,
                               cs_result_t *res)
{
    const cs_vault_t *vault = token->cfg.vault;
    const char *text = NULL, *seed;
    json_t *json = NULL;
    apr_status_t rv;

    x->stored = NULL;
    x->about = NULL;
    x->bare = 0;
    x->version = 0;
    rv = vault ? vault->get(vault->baton, CS_VAULT_REFRESH, &text, &x->version, ptemp, res)
               : APR_SUCCESS;
    if (rv != APR_SUCCESS || !text) {
        return rv;
    }
    if (cs_json_parse(&json, text, strlen(text), NULL, ptemp, res) != APR_SUCCESS) {
        return cs_result_set(res, ptemp, CS_EPARSE, CS_CLASS_SUSPEND, "config:refresh-token",
                             "the stored refresh token is damaged; sign in again");
    }
    seed = cs_json_str(json, "seed");
    if (seed && (!*seed_digest(token) || !strcmp(seed, seed_digest(token))) &&
        cs_json_str(json, "token")) {
        x->stored = cs_oauth_keep(cs_json_str(json, "token"), ptemp);
        x->bare = cs_json_bool(json, "public", 0);
        json_object_del(json, "token");
        x->about = cs_json_own(json_incref(json), ptemp);
    }
    json_decref(json);
    return APR_SUCCESS;
}

static apr_status_t choose_refresh(cs_token_t *token, exchange_t *x, apr_pool_t *ptemp,
                                   cs_result_t *res)
{
    const cs_secret_t *seed = token->cfg.refresh_seed;
    apr_status_t rv = read_vault(token, x, ptemp, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    x->refresh = x->stored ? x->stored : seed ? seed->value : NULL;
    if (!x->refresh) {
        return cs_result_set(res, ptemp, APR_EINVAL, CS_CLASS_SUSPEND, "config:refresh-token",
                             "there is no refresh token%s%s; sign in with cosellctl login",
                             seed ? " in " : "", seed ? seed->ref : "");
    }
    return APR_SUCCESS;
}

/* The refresh token with what is known about it, as the vault holds it. */
static const char *vault_text(json_t *about, const char *refresh, const char *seed,
                              apr_int64_t ends, apr_pool_t *ptemp)
{
    json_t *json = about ? json_copy(about) : json_object();
    char *text;

    json_object_set_new(json, "seed", json_string(seed));
    json_object_del(json, "ends");
    if (ends > 0) {
        json_object_set_new(json, "ends", json_integer(cs_time_now() + apr_time_from_sec(ends)));
    }
    if (json_object_set_new(json, "token", json_string(refresh)) != 0) {
        json_decref(json);
        return NULL;
    }
    text = (char *)cs_json_print(json, ptemp);
    json_decref(json);
    cs_wipe_at_end(text, strlen(text), ptemp);
    return text;
}

/* The new token is durable before the access token that came with it is used: a crash in between
 * costs nothing but a request. A first one that the server does not replace is kept as well: from
 * then on it is known since when it is in use. */
static apr_status_t store_rotated(cs_token_t *token, exchange_t *x, apr_pool_t *ptemp,
                                  cs_result_t *res)
{
    const cs_vault_t *vault = token->cfg.vault;
    const char *fresh = x->rotated ? x->rotated : x->stored ? NULL : x->refresh, *text;
    apr_status_t rv;

    if (!vault || !fresh || (x->stored && !strcmp(fresh, x->stored))) {
        return APR_SUCCESS;
    }
    if (x->bare) {
        x->about = x->about ? x->about : cs_json_own(json_object(), ptemp);
        json_object_set_new(x->about, "public", json_true());
    }
    text = vault_text(x->about, fresh, seed_digest(token), x->ends, ptemp);
    if (!text) {
        return cs_result_set(res, ptemp, CS_EPARSE, CS_CLASS_RETRY, "oauth:answer",
                             "the refresh token in the answer is no text");
    }
    CS_CRASH_POINT("token-received");
    rv = vault->put(vault->baton, CS_VAULT_REFRESH, text, x->version, ptemp, res);
    CS_CRASH_POINT("token-stored");
    if (rv == CS_ESTALE) {
        /* Somebody else stored a newer one, which is as good as ours; the next exchange reads it.
         */
        cs_result_clear(res);
        return APR_SUCCESS;
    }
    return rv;
}

apr_status_t cs_token_adopt(const cs_vault_t *vault, const cs_secret_t *seed, const char *refresh,
                            const json_t *about, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *old,
        *text = vault_text((json_t *)about, refresh, seed ? seed->digest : "", 0, ptemp);
    apr_int64_t version;
    apr_status_t rv = CS_ESTALE;
    int tries;

    if (!text) {
        return cs_result_set(res, ptemp, CS_EPARSE, CS_CLASS_RETRY, "oauth:answer",
                             "the refresh token in the answer is no text");
    }
    /* Whatever was in force, a rotation that came in between included: this one is newer. */
    for (tries = 0; rv == CS_ESTALE && tries < ADOPT_TRIES; tries++) {
        cs_result_clear(res);
        rv = vault->get(vault->baton, CS_VAULT_REFRESH, &old, &version, ptemp, res);
        if (rv == APR_SUCCESS) {
            rv = vault->put(vault->baton, CS_VAULT_REFRESH, text, version, ptemp, res);
        }
    }
    return rv;
}

/* ---- the request ---- */

/* The assertion says who asks and for whom. */
static const char *make_bearer_form(const exchange_t *x, apr_pool_t *ptemp)
{
    apr_table_t *form = apr_table_make(ptemp, 2);

    apr_table_setn(form, "grant_type", BEARER_TYPE);
    apr_table_setn(form, "assertion", x->assertion);
    return cs_oauth_form(form, ptemp);
}

static const char *make_form(const cs_token_t *token, const exchange_t *x, apr_pool_t *ptemp)
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

static apr_status_t read_answer(const cs_token_config_t *cfg, exchange_t *x,
                                const cs_http_response_t *response,
                                const cs_http_request_t *request, apr_pool_t *ptemp,
                                cs_result_t *res)
{
    cs_result_t unread = {0};
    const char *access, *rotated;
    json_t *json = NULL;

    if (response->body_len) {
        cs_json_parse(&json, response->body, response->body_len, NULL, ptemp, &unread);
    }
    if (response->status != 200) {
        cs_oauth_refused(response, request, json, cfg->grant == CS_GRANT_REFRESH_TOKEN, ptemp, res);
        x->is_public = cs_oauth_is_code(json, CLIENT_IS_PUBLIC);
        json_decref(json);
        return res->rv;
    }
    access = cs_json_str(json, "access_token");
    rotated = cs_json_str(json, "refresh_token");
    if (!access || !*access) {
        json_decref(json);
        cs_result_set(
            res, ptemp, CS_EPARSE, CS_CLASS_RETRY, "oauth:answer", "%s",
            cs_http_describe(response, request, "the answer holds no access token", ptemp));
        res->correlation = response->correlation;
        return res->rv;
    }
    if (check_instance(cfg, json, ptemp, res) != APR_SUCCESS) {
        json_decref(json);
        return res->rv;
    }
    x->access = cs_oauth_keep(access, ptemp);
    if (rotated && *rotated) {
        x->rotated = cs_oauth_keep(rotated, ptemp);
        x->ends = cs_json_int(json, "refresh_token_expires_in", 0);
    }
    x->identity = apr_pstrdup(ptemp, cs_json_str(json, "id"));
    x->life = life_of(cfg, json);
    json_decref(json);
    return APR_SUCCESS;
}

static apr_status_t ask_once(cs_token_t *token, exchange_t *x, apr_interval_time_t deadline,
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
static apr_status_t ask(cs_token_t *token, exchange_t *x, apr_interval_time_t deadline,
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
static apr_status_t ask_again_if_rotated(cs_token_t *token, exchange_t *x,
                                         apr_interval_time_t deadline, apr_pool_t *ptemp,
                                         cs_result_t *res)
{
    cs_result_t first = *res, other = {0};
    const char *used = x->refresh;

    if (!first.problem || strcmp(first.problem, "oauth:invalid_grant") || !token->cfg.vault ||
        choose_refresh(token, x, ptemp, &other) != APR_SUCCESS || !strcmp(used, x->refresh)) {
        *res = first;
        return first.rv;
    }
    return ask(token, x, deadline, ptemp, res);
}

/* ---- keeping it ---- */

static void forget(cs_token_t *token)
{
    if (token->p) {
        apr_pool_destroy(token->p);
    }
    token->p = NULL;
    token->access = NULL;
    token->identity = NULL;
}

static void keep(cs_token_t *token, const exchange_t *x)
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

static int signs_in_by_certificate(const cs_token_t *token)
{
    return !token->cfg.client_secret && token->cfg.certificate && token->cfg.key;
}

static apr_status_t fetch(cs_token_t *token, apr_interval_time_t deadline, apr_pool_t *ptemp,
                          cs_result_t *res)
{
    int refresh = token->cfg.grant == CS_GRANT_REFRESH_TOKEN;
    exchange_t x = {0};
    apr_status_t rv;

    if (token->cfg.grant == CS_GRANT_JWT_BEARER || signs_in_by_certificate(token)) {
        rv = cs_assertion_make(&x.assertion, &token->cfg, ptemp, res);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    else if (!token->cfg.client_secret || !token->cfg.client_secret->value) {
        return cs_result_set(res, ptemp, APR_EINVAL, CS_CLASS_SUSPEND, "config:client-secret",
                             "the client secret %s is not loaded",
                             token->cfg.client_secret ? token->cfg.client_secret->ref : "(none)");
    }
    rv = refresh ? choose_refresh(token, &x, ptemp, res) : APR_SUCCESS;
    if (rv == APR_SUCCESS) {
        rv = ask(token, &x, deadline, ptemp, res);
        if (rv != APR_SUCCESS && refresh) {
            rv = ask_again_if_rotated(token, &x, deadline, ptemp, res);
        }
    }
    if (rv == APR_SUCCESS && refresh) {
        rv = store_rotated(token, &x, ptemp, res);
    }
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

/* ---- requests with a token ---- */

/* Refused in a way that a fresh token may help against. */
static int is_unauthorized(const cs_token_t *token, const cs_http_response_t *response)
{
    const char *const *text = token->cfg.hopeless;

    if (response->outcome != CS_HTTP_ANSWERED || response->status != 401) {
        return 0;
    }
    for (; text && *text; text++) {
        if (response->body && strstr(response->body, *text)) {
            return 0;
        }
    }
    return 1;
}

static void fail_all(cs_http_response_t *responses, int n, const cs_result_t *why, apr_pool_t *p)
{
    cs_result_t *failure = apr_palloc(p, sizeof(*failure));
    int i;

    cs_result_copy(failure, why, p);
    memset(responses, 0, sizeof(*responses) * (apr_size_t)n);
    for (i = 0; i < n; i++) {
        responses[i].outcome = CS_HTTP_NOT_SENT;
        responses[i].headers = apr_table_make(p, 1);
        responses[i].body = responses[i].reason = "";
        responses[i].error = failure->detail;
        responses[i].failure = failure;
    }
}

static void merge(cs_http_response_t *to, const cs_http_response_t *second, apr_pool_t *p)
{
    cs_http_response_t first = *to;

    *to = *second;
    to->calls += first.calls;
    to->took += first.took;
    to->sent_at = first.sent_at;
    if (first.correlation && !second->correlation) {
        to->correlation = apr_pstrdup(p, first.correlation);
    }
}

/* Each call carries an id of its own, a repeated one too; what correlates them stays. */
static apr_table_t *renew_ids(const apr_table_t *headers, apr_pool_t *p)
{
    static const char *const ids[] = {"client-request-id", "x-ms-client-request-id"};
    apr_table_t *fresh = headers ? apr_table_copy(p, headers) : NULL;
    size_t i;

    for (i = 0; fresh && i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (apr_table_get(fresh, ids[i])) {
            apr_table_setn(fresh, ids[i], cs_uuid4(p));
        }
    }
    return fresh;
}

/* The few that were refused, once more; a 401 means that nothing was done, so writes may be
 * repeated too. */
static apr_status_t repeat_unauthorized(cs_token_t *token, cs_http_t *http, const cs_upstream_t *up,
                                        cs_limiter_t *limiter, cs_http_request_t *requests,
                                        cs_http_response_t *responses, int n, int m,
                                        apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_http_request_t *again = apr_palloc(p, sizeof(*again) * (apr_size_t)m);
    cs_http_response_t *answers = apr_palloc(p, sizeof(*answers) * (apr_size_t)m);
    cs_result_t res = {0}, *failure;
    const char *bearer;
    apr_status_t rv;
    int i, k = 0;

    cs_token_refused(token);
    if (cs_token_get(token, &bearer, deadline, p, &res) != APR_SUCCESS) {
        failure = apr_palloc(p, sizeof(*failure));
        cs_result_copy(failure, &res, p);
        for (i = 0; i < n; i++) {
            if (is_unauthorized(token, &responses[i])) {
                responses[i].failure = failure;
            }
        }
        return APR_SUCCESS;
    }
    for (i = 0; i < n; i++) {
        requests[i].bearer = bearer;
        if (is_unauthorized(token, &responses[i])) {
            again[k] = requests[i];
            again[k++].headers = renew_ids(requests[i].headers, p);
        }
    }
    rv = cs_http_perform(http, up, limiter, again, answers, k, deadline, p);
    for (i = 0, k = 0; rv == APR_SUCCESS && i < n; i++) {
        if (is_unauthorized(token, &responses[i])) {
            merge(&responses[i], &answers[k++], p);
        }
    }
    return rv;
}

apr_status_t cs_token_perform(cs_token_t *token, cs_http_t *http, const cs_upstream_t *up,
                              cs_limiter_t *limiter, cs_http_request_t *requests,
                              cs_http_response_t *responses, int n, apr_interval_time_t deadline,
                              apr_pool_t *p)
{
    cs_result_t res = {0};
    const char *bearer;
    apr_status_t rv;
    int i, m = 0;

    if (n <= 0) {
        return APR_SUCCESS;
    }
    if (cs_token_get(token, &bearer, deadline, p, &res) != APR_SUCCESS) {
        fail_all(responses, n, &res, p);
        return APR_SUCCESS;
    }
    for (i = 0; i < n; i++) {
        requests[i].bearer = bearer;
    }
    rv = cs_http_perform(http, up, limiter, requests, responses, n, deadline, p);
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        m += is_unauthorized(token, &responses[i]);
    }
    if (m && rv == APR_SUCCESS) {
        rv = repeat_unauthorized(token, http, up, limiter, requests, responses, n, m, deadline, p);
    }
    for (i = 0; i < n; i++) {
        requests[i].bearer = NULL;
    }
    return rv;
}
