/* remote/partner_center/access.h: what referrals.c and webhooks.c begin with. */
#ifndef CS_REMOTE_PARTNER_CENTER_ACCESS_H
#define CS_REMOTE_PARTNER_CENTER_ACCESS_H

#include "partner_center.h"

/* What a token for the API at this URL is for: its origin; `live` for a simulator of it. In p. */
const char *cs_pc_audience(const char *url, const char *live, apr_pool_t *p);
/* The URL without slashes at its end and with this path, which it may end in already. In p. */
const char *cs_pc_base(const char *url, const char *path, apr_pool_t *p);
/* A token of the account that signed in, for this audience; all in cfg as long-lived as p. */
apr_status_t cs_pc_token(cs_token_t **ptoken, const cs_pc_config_t *cfg, const char *audience,
                         const cs_vault_t *vault, cs_http_t *http, cs_limiter_t *login_limiter,
                         apr_pool_t *p);

#endif
