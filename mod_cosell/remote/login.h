/* remote/login.h: a person signs in to Entra ID and leaves us a refresh token: authorization code
 * with PKCE (RFC 6749, 7636) and device code (RFC 8628). (partner-center-api.md 3.2)
 *
 * The addresses follow from the token endpoint's: ".../oauth2/v2.0/token" has ".../authorize" and
 * ".../devicecode" beside it, the first version's ".../oauth2/token" likewise; their forms differ
 * as the versions do. Nothing is kept here: what a step needs later its caller keeps, sealed. What
 * comes out lives in p and is wiped with it, as far as it is a secret. */
#ifndef CS_REMOTE_LOGIN_H
#define CS_REMOTE_LOGIN_H

#include "http.h"
#include "../base/secret.h"

typedef struct cs_login_config_t {
    const char *token_url, *audience, *client_id; /* as cs_token_config_t has them */
    const cs_secret_t *client_secret;
    int is_public;                 /* an answer has said so: the secret is not sent */
    const cs_upstream_t *upstream; /* "login" */
    cs_http_t *http;
    cs_limiter_t *limiter;
} cs_login_config_t;

/* What a sign-in gave. */
typedef struct cs_login_answer_t {
    const char *refresh; /* the refresh token */
    const char *account; /* who signed in, as the id_token says; shown, never trusted; NULL = it
                            does not say */
    int is_public;       /* Entra takes the application for a public client: no secret goes with it;
                            said while it is pending, too */
} cs_login_answer_t;

/* NULL, or why nobody can be signed in with these settings. */
const char *cs_login_wrong(const cs_login_config_t *cfg, apr_pool_t *p);

/* 43 characters of base64url: a state, a verifier. NULL = no random bytes. */
const char *cs_login_random(apr_pool_t *p);

/* ---- authorization code ---- */

/* Where the person's browser goes; the challenge in it is the verifier's S256. */
const char *cs_login_url(const cs_login_config_t *cfg, const char *redirect_uri, const char *state,
                         const char *verifier, apr_pool_t *p);
/* The code that came back. Errors as cs_token_get()'s, CS_CLASS_SUSPEND with what to do about it; a
 * code is good for one try. */
apr_status_t cs_login_redeem(cs_login_answer_t *answer, const cs_login_config_t *cfg,
                             const char *code, const char *redirect_uri, const char *verifier,
                             apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);

/* ---- device code ---- */

typedef struct cs_login_device_t {
    const char *device_code; /* the secret: whoever has it gets the tokens */
    const char *user_code;   /* what the person types */
    const char *open;        /* where */
    apr_interval_time_t life, interval;
} cs_login_device_t;

apr_status_t cs_login_device(cs_login_device_t *device, const cs_login_config_t *cfg,
                             apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);

typedef enum {
    CS_LOGIN_SIGNED_IN = 0,
    CS_LOGIN_PENDING,  /* ask again after the interval */
    CS_LOGIN_SLOW_DOWN /* ... which is five seconds longer from now on */
} cs_login_state_e;

/* Asks once. APR_SUCCESS: *pstate says how it stands. A code that expired or a sign-in that was
 * declined is CS_CLASS_SUSPEND. */
apr_status_t cs_login_device_ask(cs_login_answer_t *answer, cs_login_state_e *pstate,
                                 const cs_login_config_t *cfg, const char *device_code,
                                 apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res);

/* ---- words ---- */

/* What the browser brought back instead of a code, for people, with what to do about it. */
const char *cs_login_refusal(const char *error, const char *description, apr_pool_t *p);

#endif
