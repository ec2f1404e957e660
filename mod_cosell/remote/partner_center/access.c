/* remote/partner_center/access.c: what both of Partner Center's APIs need before the first call:
 * where it is, and a token of the one sign-in. */
#include "access.h"

#include <apr_strings.h>
#include <string.h>

/* http is allowed for loopback alone, where only a simulator can listen. */
const char *cs_pc_audience(const char *url, const char *live, apr_pool_t *p)
{
    const char *origin = cs_http_origin(url, p);

    return origin && !strncmp(origin, "https:", 6) && !cs_http_is_loopback(origin) ? origin : live;
}

const char *cs_pc_base(const char *url, const char *path, apr_pool_t *p)
{
    apr_size_t len = strlen(url), n = strlen(path);

    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    url = apr_pstrmemdup(p, url, len);
    return len > n && !strcmp(url + len - n, path) ? url : apr_pstrcat(p, url, path, NULL);
}

apr_status_t cs_pc_token(cs_token_t **ptoken, const cs_pc_config_t *cfg, const char *audience,
                         const cs_vault_t *vault, cs_http_t *http, cs_limiter_t *login_limiter,
                         apr_pool_t *p)
{
    cs_token_config_t tc = {0};

    tc.grant = CS_GRANT_REFRESH_TOKEN;
    tc.url = cfg->token_url ? cfg->token_url : cs_token_entra_url(cfg->tenant, p);
    tc.audience = audience;
    tc.client_id = cfg->client_id;
    tc.client_secret = cfg->client_secret;
    tc.refresh_seed = cfg->refresh_token;
    tc.vault = vault;
    tc.upstream = cfg->login;
    return cs_token_create(ptoken, &tc, http, login_limiter, p);
}
