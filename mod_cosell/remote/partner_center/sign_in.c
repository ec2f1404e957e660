#include "client.h"

#include <string.h>

void cs_pc_login(const cs_pc_t *pc, cs_login_config_t *cfg)
{
    const cs_token_config_t *token = cs_token_config(pc->token);

    memset(cfg, 0, sizeof(*cfg));
    cfg->token_url = token->url;
    cfg->audience = token->audience;
    cfg->client_id = token->client_id;
    cfg->client_secret = token->client_secret;
    cfg->upstream = token->upstream;
}

apr_status_t cs_pc_keep_alive(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp,
                              cs_result_t *res)
{
    return cs_token_renew(pc->token, deadline, ptemp, res);
}

void cs_pc_signed_in(cs_pc_t *pc)
{
    cs_token_forget(pc->token);
}
