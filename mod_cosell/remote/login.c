#include "login.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

#include "oauth.h"
#include "../base/counter.h"
#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/log.h"

#define GRANT_DEVICE "urn:ietf:params:oauth:grant-type:device_code"
#define RANDOM_LEN 32
#define ACCOUNT_MAX 200
#define TOKEN_MAX 16384
#define CLIENT_IS_PUBLIC 700025
/* What RFC 8628 says where an answer does not; and bounds, for an answer that says nonsense. */
#define INTERVAL 5
#define INTERVAL_MAX 60
#define LIFE 900
#define LIFE_LEAST 30

/* ---- addresses ---- */

static int ends_in_token(const char *url)
{
    apr_size_t len = strlen(url);

    return len > 6 && !strcmp(url + len - 6, "/token");
}

const char *cs_login_wrong(const cs_login_config_t *cfg, apr_pool_t *p)
{
    if (!ends_in_token(cfg->token_url)) {
        return apr_psprintf(p,
                            "token-url=\"%.200s\" does not end in /token, so that the address to "
                            "sign in at does not follow from it",
                            cfg->token_url);
    }
    return NULL;
}

static const char *beside(const cs_login_config_t *cfg, const char *name, apr_pool_t *p)
{
    apr_size_t len = strlen(cfg->token_url);

    return apr_pstrcat(p, apr_pstrmemdup(p, cfg->token_url, len > 5 ? len - 5 : 0), name, NULL);
}

static int is_v1(const cs_login_config_t *cfg)
{
    return cs_oauth_is_v1(cfg->token_url);
}

/* What is asked for. */
static void add_scope(apr_table_t *form, const cs_login_config_t *cfg, apr_pool_t *p)
{
    if (is_v1(cfg)) {
        apr_table_setn(form, "resource", cfg->audience);
        apr_table_setn(form, "scope", "openid");
        return;
    }
    apr_table_setn(form, "scope",
                   apr_pstrcat(p, cfg->audience, "/.default offline_access openid profile", NULL));
}

/* ---- randomness ---- */

const char *cs_login_random(apr_pool_t *p)
{
    unsigned char bytes[RANDOM_LEN];
    const char *text;

    if (cs_random(bytes, sizeof(bytes)) != APR_SUCCESS) {
        return NULL;
    }
    text = cs_base64url_encode(bytes, sizeof(bytes), p);
    cs_wipe(bytes, sizeof(bytes));
    cs_wipe_at_end((char *)text, strlen(text), p);
    return text;
}

static const char *challenge_of(const char *verifier, apr_pool_t *p)
{
    unsigned char digest[CS_SHA256_LEN];

    cs_sha256(digest, verifier, strlen(verifier));
    return cs_base64url_encode(digest, sizeof(digest), p);
}

const char *cs_login_url(const cs_login_config_t *cfg, const char *redirect_uri, const char *state,
                         const char *verifier, apr_pool_t *p)
{
    apr_table_t *query = apr_table_make(p, 10);

    apr_table_setn(query, "client_id", cfg->client_id);
    apr_table_setn(query, "response_type", "code");
    apr_table_setn(query, "response_mode", "query");
    apr_table_setn(query, "redirect_uri", redirect_uri);
    add_scope(query, cfg, p);
    apr_table_setn(query, "state", state);
    apr_table_setn(query, "code_challenge", challenge_of(verifier, p));
    apr_table_setn(query, "code_challenge_method", "S256");
    /* The browser is somebody's who is signed in as himself already; the account that is wanted is
     * the integration's. */
    apr_table_setn(query, "prompt", "select_account");
    return apr_pstrcat(p, beside(cfg, "authorize", p), "?", cs_http_form(query, p), NULL);
}

/* ---- requests ---- */

static const char *form_with_secret(const apr_table_t *fields, const cs_login_config_t *cfg,
                                    int secret, apr_pool_t *p)
{
    apr_table_t *form = apr_table_copy(p, fields);

    apr_table_setn(form, "client_id", cfg->client_id);
    if (secret && cfg->client_secret && cfg->client_secret->value) {
        apr_table_setn(form, "client_secret", cfg->client_secret->value);
    }
    return cs_oauth_form(form, p);
}

/* *pjson: the answer's document, whatever its status; a new reference or NULL. CS_EREMOTE where the
 * status is not 200: res says why. */
static apr_status_t post(json_t **pjson, const cs_login_config_t *cfg, const char *url,
                         const char *form, const char *label, apr_interval_time_t deadline,
                         apr_pool_t *p, cs_result_t *res)
{
    cs_http_request_t request;
    cs_http_response_t response;
    cs_result_t unread = {0};
    apr_status_t rv;

    *pjson = NULL;
    cs_result_clear(res);
    cs_oauth_request(&request, url, form, label, p);
    rv = cs_http_perform(cfg->http, cfg->upstream, cfg->limiter, &request, &response, 1, deadline,
                         p);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "transport", "%s: could not be asked for",
                             label);
    }
    cs_count(CS_COUNT_CALLS_TOKEN, (apr_uint64_t)response.calls);
    if (response.body_len) {
        cs_json_parse(pjson, response.body, response.body_len, NULL, p, &unread);
    }
    return response.status == 200 && response.outcome == CS_HTTP_ANSWERED
               ? APR_SUCCESS
               : cs_oauth_refused(&response, &request, *pjson, 1, p, res);
}

/* With the client's secret, and without it where Entra says that the application is a public
 * client.
 */
static apr_status_t exchange(json_t **pjson, int *ppublic, const apr_table_t *fields,
                             const cs_login_config_t *cfg, const char *label,
                             apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    apr_status_t rv =
        post(pjson, cfg, cfg->token_url, form_with_secret(fields, cfg, !cfg->is_public, p), label,
             deadline, p, res);

    *ppublic = cfg->is_public;
    if (rv != APR_SUCCESS && !cfg->is_public && cs_oauth_is_code(*pjson, CLIENT_IS_PUBLIC)) {
        json_decref(*pjson);
        *ppublic = 1;
        rv = post(pjson, cfg, cfg->token_url, form_with_secret(fields, cfg, 0, p), label, deadline,
                  p, res);
    }
    return rv;
}

/* ---- who signed in ---- */

static const char *tidy(const char *text, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, text), *c;

    for (c = copy; *c; c++) {
        *c = apr_iscntrl(*c) ? ' ' : *c;
    }
    return copy;
}

/* The claims are what a browser brought to Entra and Entra to us over TLS; the signature is not
 * looked at, for nothing hangs on the name. */
static const char *account_of(const char *id_token, apr_pool_t *p)
{
    static const char *const names[] = {"preferred_username", "upn", "unique_name", "email",
                                        "name"};
    const char *dot = id_token ? strchr(id_token, '.') : NULL, *end, *account = NULL;
    const unsigned char *text;
    cs_result_t unread = {0};
    json_t *claims = NULL;
    apr_size_t len, i;

    end = dot ? strchr(dot + 1, '.') : NULL;
    if (!end ||
        cs_base64url_decode(&text, &len, dot + 1, (apr_size_t)(end - dot - 1), TOKEN_MAX, p) !=
            APR_SUCCESS ||
        cs_json_parse(&claims, (const char *)text, len, NULL, p, &unread) != APR_SUCCESS) {
        return NULL;
    }
    for (i = 0; !account && i < sizeof(names) / sizeof(names[0]); i++) {
        const char *name = cs_json_str(claims, names[i]);
        account = name && *name && strlen(name) <= ACCOUNT_MAX ? tidy(name, p) : NULL;
    }
    json_decref(claims);
    return account;
}

static apr_status_t read_answer(cs_login_answer_t *answer, const json_t *json, const char *label,
                                apr_pool_t *p, cs_result_t *res)
{
    const char *refresh = cs_json_str(json, "refresh_token");

    answer->refresh = NULL;
    answer->account = NULL;
    if (!refresh || !*refresh || strlen(refresh) > TOKEN_MAX) {
        return cs_result_set(
            res, p, CS_EPARSE, CS_CLASS_SUSPEND, "oauth:answer",
            "%s: the answer holds no refresh token; the application must be allowed "
            "offline access",
            label);
    }
    answer->refresh = cs_oauth_keep(refresh, p);
    answer->account = account_of(cs_json_str(json, "id_token"), p);
    return APR_SUCCESS;
}

/* ---- authorization code ---- */

apr_status_t cs_login_redeem(cs_login_answer_t *answer, const cs_login_config_t *cfg,
                             const char *code, const char *redirect_uri, const char *verifier,
                             apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    static const char label[] = "sign-in";
    apr_table_t *form = apr_table_make(p, 8);
    json_t *json = NULL;
    apr_status_t rv;

    memset(answer, 0, sizeof(*answer));
    apr_table_setn(form, "grant_type", "authorization_code");
    apr_table_setn(form, "code", code);
    apr_table_setn(form, "redirect_uri", redirect_uri);
    apr_table_setn(form, "code_verifier", verifier);
    add_scope(form, cfg, p);
    rv = exchange(&json, &answer->is_public, form, cfg, label, deadline, p, res);
    if (rv == APR_SUCCESS) {
        rv = read_answer(answer, json, label, p, res);
    }
    json_decref(json);
    return rv;
}

/* ---- device code ---- */

static apr_interval_time_t seconds(const json_t *json, const char *name, apr_int64_t dflt,
                                   apr_int64_t low, apr_int64_t high)
{
    apr_int64_t n = cs_json_int(json, name, dflt);

    return apr_time_from_sec(n < low ? low : n > high ? high : n);
}

/* Both versions' names of it. Where a person is sent is an address of https, or of a simulator. */
static const char *address_in(const json_t *json, apr_pool_t *p)
{
    const char *uri = cs_json_str(json, "verification_uri");

    uri = uri ? uri : cs_json_str(json, "verification_url");
    return uri && strlen(uri) <= 500 && cs_http_origin(uri, p) &&
                   strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               ":/?&=.-_~%#+") == strlen(uri)
               ? apr_pstrdup(p, uri)
               : NULL;
}

static int is_user_code(const char *code)
{
    return code && *code && strlen(code) <= 40 &&
           strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789- ") ==
               strlen(code);
}

apr_status_t cs_login_device(cs_login_device_t *device, const cs_login_config_t *cfg,
                             apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    static const char label[] = "device code";
    apr_table_t *form = apr_table_make(p, 4);
    json_t *json = NULL;
    const char *code;
    apr_status_t rv;

    memset(device, 0, sizeof(*device));
    add_scope(form, cfg, p);
    rv = post(&json, cfg, beside(cfg, "devicecode", p), form_with_secret(form, cfg, 0, p), label,
              deadline, p, res);
    if (rv == APR_SUCCESS) {
        code = cs_json_str(json, "device_code");
        device->device_code =
            code && *code && strlen(code) <= TOKEN_MAX ? cs_oauth_keep(code, p) : NULL;
        device->user_code = apr_pstrdup(p, cs_json_str(json, "user_code"));
        device->open = address_in(json, p);
        device->life = seconds(json, "expires_in", LIFE, LIFE_LEAST, LIFE);
        device->interval = seconds(json, "interval", INTERVAL, 1, INTERVAL_MAX);
        if (!device->device_code || !is_user_code(device->user_code) || !device->open) {
            rv = cs_result_set(res, p, CS_EPARSE, CS_CLASS_SUSPEND, "oauth:answer",
                               "%s: the answer holds no code and address for a person", label);
        }
    }
    json_decref(json);
    return rv;
}

static int waits(const json_t *json, cs_login_state_e *pstate)
{
    const char *error = cs_json_str(json, "error");

    if (error && !strcmp(error, "authorization_pending")) {
        *pstate = CS_LOGIN_PENDING;
        return 1;
    }
    if (error && !strcmp(error, "slow_down")) {
        *pstate = CS_LOGIN_SLOW_DOWN;
        return 1;
    }
    return 0;
}

apr_status_t cs_login_device_ask(cs_login_answer_t *answer, cs_login_state_e *pstate,
                                 const cs_login_config_t *cfg, const char *device_code,
                                 apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    static const char label[] = "sign-in by device code";
    apr_table_t *form = apr_table_make(p, 8);
    json_t *json = NULL;
    apr_status_t rv;

    memset(answer, 0, sizeof(*answer));
    *pstate = CS_LOGIN_SIGNED_IN;
    if (is_v1(cfg)) {
        apr_table_setn(form, "grant_type", "device_code");
        apr_table_setn(form, "code", device_code);
        apr_table_setn(form, "resource", cfg->audience);
    }
    else {
        apr_table_setn(form, "grant_type", GRANT_DEVICE);
        apr_table_setn(form, "device_code", device_code);
    }
    rv = exchange(&json, &answer->is_public, form, cfg, label, deadline, p, res);
    if (rv == APR_SUCCESS) {
        rv = read_answer(answer, json, label, p, res);
    }
    else if (waits(json, pstate)) {
        cs_result_clear(res);
        rv = APR_SUCCESS;
    }
    json_decref(json);
    return rv;
}

/* ---- words ---- */

const char *cs_login_refusal(const char *error, const char *description, apr_pool_t *p)
{
    return apr_psprintf(p, "Entra ID did not sign in: %s; %s",
                        cs_log_redact(cs_oauth_words(error, description, p), 400, p),
                        cs_oauth_advice(error, description));
}
