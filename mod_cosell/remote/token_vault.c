/* remote/token_vault.c: refresh tokens where they survive: which one is redeemed, and its successor
 * in its place before anything is done with what came with it. */
#include "token_internal.h"

#include <string.h>

#include "oauth.h"
#include "../base/crash.h"
#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/time.h"

#define ADOPT_TRIES 5

static const char *seed_digest(const cs_token_t *token)
{
    return token->cfg.refresh_seed ? token->cfg.refresh_seed->digest : "";
}

/* The vault's token wins until the seed's digest changes. */
static apr_status_t read_vault(cs_token_t *token, cs_exchange_t *x, apr_pool_t *ptemp,
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

apr_status_t cs_exchange_choose(cs_token_t *token, cs_exchange_t *x, apr_pool_t *ptemp,
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

apr_status_t cs_exchange_store(cs_token_t *token, cs_exchange_t *x, apr_pool_t *ptemp,
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
