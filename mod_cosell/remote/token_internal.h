/* remote/token_internal.h: a token and one exchange with its endpoint, inside token.c,
 * token_vault.c and token_exchange.c only. */
#ifndef CS_REMOTE_TOKEN_INTERNAL_H
#define CS_REMOTE_TOKEN_INTERNAL_H

#include "token.h"

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
typedef struct cs_exchange_t {
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
} cs_exchange_t;

/* token_vault.c: the refresh token to redeem, and its version, into x: the vault's, else the seed.
 * CS_CLASS_SUSPEND when there is none. */
apr_status_t cs_exchange_choose(cs_token_t *token, cs_exchange_t *x, apr_pool_t *ptemp,
                                cs_result_t *res);
/* The new token is durable before the access token that came with it is used: a crash in between
 * costs nothing but a request. A first one that the server does not replace is kept as well: from
 * then on it is known since when it is in use. */
apr_status_t cs_exchange_store(cs_token_t *token, cs_exchange_t *x, apr_pool_t *ptemp,
                               cs_result_t *res);
/* token_exchange.c: an access token of any grant into x, with all that must be durable stored. x:
 * zero. */
apr_status_t cs_token_exchange(cs_token_t *token, cs_exchange_t *x, apr_interval_time_t deadline,
                               apr_pool_t *ptemp, cs_result_t *res);

#endif
