/* remote/token.h: OAuth 2.0 access tokens: refresh token and client credentials, the client known
 * by a secret or by an assertion that its certificate signs; and assertions that are grants
 * themselves. (partner-center-api.md 3; crm-apis.md A1, B1)
 *
 * One cs_token_t per (site, upstream, audience), owned by the lane: single flight is a consequence.
 * Access tokens are kept in memory only and wiped; a rotated refresh token is sealed and stored
 * through the vault before the access token that came with it is used.
 */
#ifndef CS_REMOTE_TOKEN_H
#define CS_REMOTE_TOKEN_H

#include <jansson.h>

#include "http.h"
#include "../base/secret.h"

/* Where refresh tokens survive; the engine binds it to the store (sealed, compare-and-swap). The
 * one in force has this name; a sign-in that is under way "login:<job>". */
#define CS_VAULT_REFRESH "refresh-token"
typedef struct cs_vault_t {
    void *baton;
    /* *pvalue NULL when there is none; in p, wiped at its end. *pversion for the swap. */
    apr_status_t (*get)(void *baton, const char *name, const char **pvalue, apr_int64_t *pversion,
                        apr_pool_t *p, cs_result_t *res);
    /* CS_ESTALE when somebody else stored a newer one: read again. */
    apr_status_t (*put)(void *baton, const char *name, const char *value, apr_int64_t version,
                        apr_pool_t *ptemp, cs_result_t *res);
} cs_vault_t;

typedef enum {
    CS_GRANT_REFRESH_TOKEN,
    CS_GRANT_CLIENT_CREDENTIALS,
    CS_GRANT_JWT_BEARER /* an assertion about `user`, signed by `key` (RS256), is the grant */
} cs_grant_e;

typedef struct cs_token_config_t {
    cs_grant_e grant;
    const char *url; /* token endpoint, v1 or v2 by its path ("/oauth2/token" is v1: `resource`;
                        else `scope`) */
    const char *audience; /* "https://api.partner.microsoft.com": v1 resource, v2 scope = audience +
                             "/.default" (+ " offline_access" for refresh) */
    const char *client_id;
    const cs_secret_t *client_secret; /* NULL = signs in with a certificate: */
    const char *certificate; /* PEM file, read at each sign-in, so that a renewed one just works */
    const cs_secret_t *key;  /* its private key, PEM */
    int rs256;               /* 1 = RS256 and x5t instead of PS256 and x5t#S256 */
    /* REFRESH_TOKEN: first value, NULL = there is none but the vault's; the vault's wins until the
     * seed's digest changes. The vault holds {"token", "seed": digest}, and what is known about it:
     * "account", "signed_in" and "source" of a sign-in, "public" (no secret goes with it), "ends"
     * (microseconds). A rotation keeps these. */
    const cs_secret_t *refresh_seed;
    const cs_vault_t *vault;       /* REFRESH_TOKEN only */
    const cs_upstream_t *upstream; /* "login" */
    const char *user;              /* JWT_BEARER: whom the assertion is about, */
    const char *addressee;         /* and for whom it is: its audience */
    int bare; /* 1 = neither resource nor scope is asked for: the server has them on file */
    apr_interval_time_t life; /* of a token whose answer does not say; 0 = an hour */
    const char *instance;     /* the origin that the answer's instance_url must name; NULL = it is
                                 not looked at */
    /* Texts in the body of a 401 against which no fresh token helps: it is not repeated. Closed by
     * NULL; NULL = there are none. */
    const char *const *hopeless;
} cs_token_config_t;

/* Microsoft Entra ID's token endpoint of a tenant (NULL = ""), in p. */
const char *cs_token_entra_url(const char *tenant, apr_pool_t *p);

typedef struct cs_token_t cs_token_t;
/* Asks nobody yet. What cfg points to must live as long as p. */
apr_status_t cs_token_create(cs_token_t **ptoken, const cs_token_config_t *cfg, cs_http_t *http,
                             cs_limiter_t *limiter, apr_pool_t *p);

/* A token good for at least another minute, fetched when there is none or 80 % of its life is over.
 * Borrowed until the next call. CS_CLASS_SUSPEND for what needs a person (invalid_grant,
 * interaction_required, invalid_client, unauthorized_client, invalid_scope: problem
 * "oauth:invalid_grant", detail with the AADSTS code; "config:certificate" when the certificate or
 * its key cannot be used), RETRY / THROTTLED otherwise. */
apr_status_t cs_token_get(cs_token_t *token, const char **pbearer, apr_interval_time_t deadline,
                          apr_pool_t *ptemp, cs_result_t *res);
/* Redeems the refresh token although an access token may be good still: what is never redeemed dies
 * of idleness. The access token is replaced. */
apr_status_t cs_token_renew(cs_token_t *token, apr_interval_time_t deadline, apr_pool_t *ptemp,
                            cs_result_t *res);
/* A refresh token of a sign-in becomes the one in force, whatever was. seed: the configured one or
 * NULL, which it wins over until its digest changes. about: an object of the members named at
 * refresh_seed, or NULL. Tokens that are in memory are not touched: cs_token_forget(). */
apr_status_t cs_token_adopt(const cs_vault_t *vault, const cs_secret_t *seed, const char *refresh,
                            const json_t *about, apr_pool_t *ptemp, cs_result_t *res);
/* Forgets the access token, and that there was trouble: the next get fetches. */
void cs_token_forget(cs_token_t *token);
/* As it was made with. */
const cs_token_config_t *cs_token_config(const cs_token_t *token);
/* The address of the identity that the token speaks for ("id" of the answer); NULL when there is no
 * token, or its answer had none. Borrowed until the next call. */
const char *cs_token_identity(const cs_token_t *token);
/* The server answered 401: forget the access token, so that the next get fetches. Returns 1 if the
 * forgotten token was younger than a minute: a second 401 in a row, suspend. */
int cs_token_refused(cs_token_t *token);

/* cs_http_perform() with this token: what is answered 401 is repeated once with a fresh token.
 * calls and took are sums. When there is no token, the responses that needed one were not sent (or
 * keep their 401) and name the reason in `failure`; a second 401 is left to the caller's
 * classification. The status is cs_http_perform's. */
apr_status_t cs_token_perform(cs_token_t *token, cs_http_t *http, const cs_upstream_t *up,
                              cs_limiter_t *limiter, cs_http_request_t *requests,
                              cs_http_response_t *responses, int n, apr_interval_time_t deadline,
                              apr_pool_t *p);

#endif
