/* httpd/config_text.c: a site's settings as text, so that hosts that share it can be compared. */
#include "mod_cosell.h"

#include <apr_strings.h>
#include <string.h>

static const char *list_text(const apr_array_header_t *list, apr_pool_t *p)
{
    return apr_array_pstrcat(p, list, ' ');
}

static const char *text_of(const char *text)
{
    return text ? text : "-";
}

static const char *upstream_text(const cs_upstream_t *up, apr_pool_t *p)
{
    return apr_psprintf(p, "CosellUpstream %s ca=%s rate=%g concurrency=%d timeout=%" APR_TIME_T_FMT
                        " proxy=%s reserve=%d\n", up->name, text_of(up->ca), up->rate,
                        up->concurrency, up->timeout, text_of(up->proxy), up->reserve);
}

static const char *crm_text(const cs_site_crm_t *crm, apr_pool_t *p)
{
    return apr_psprintf(p, "CosellCrm %s %s %s mapping=%s tenant=%s client-id=%s client-secret=%s "
                        "certificate=%s key=%s webhook-secret=%s organization=%s token-url=%s\n%s",
                        crm->cfg.name, crm->cfg.type, crm->cfg.url, crm->mapping_path,
                        text_of(crm->cfg.tenant),
                        text_of(crm->cfg.client_id),
                        crm->cfg.client_secret ? crm->cfg.client_secret->ref : "-",
                        text_of(crm->cfg.certificate), crm->cfg.key ? crm->cfg.key->ref : "-",
                        crm->cfg.webhook_secret ? crm->cfg.webhook_secret->ref : "-",
                        text_of(crm->cfg.organization), text_of(crm->cfg.token_url),
                        upstream_text(crm->cfg.upstream, p));
}

const char *cosell_settings_text(const cs_site_config_t *cfg, apr_pool_t *p)
{
    const char *text;
    int i;

    text = apr_psprintf(p, "CosellPartnerCenter tenant=%s client-id=%s client-secret=%s "
                        "refresh-token=%s organization=%s token-url=%s webhooks-url=%s "
                        "referrals-url=%s\n%s%s%s", cfg->pc.tenant, cfg->pc.client_id,
                        cfg->pc.client_secret->ref,
                        cfg->pc.refresh_token ? cfg->pc.refresh_token->ref : "",
                        text_of(cfg->pc.organization), cfg->pc.token_url, cfg->pc.webhooks_url,
                        cfg->pc.referrals_url, upstream_text(cfg->pc.upstream, p),
                        upstream_text(cfg->pc.login, p), upstream_text(cfg->certificate, p));
    for (i = 0; i < cfg->ncrms; i++) {
        text = apr_pstrcat(p, text, crm_text(&cfg->crms[i], p), NULL);
    }
    return apr_psprintf(p, "%sCosellSignature url=%s ca=%s intermediates=%s issuer=%s subject=%s "
                        "name=%s revocation=%s\nCosellPoll %" APR_TIME_T_FMT
                        "\nCosellSweep %" APR_TIME_T_FMT "\n", text,
                        list_text(cfg->trust.urls, p), text_of(cfg->trust.ca_file),
                        text_of(cfg->trust.intermediates_file), cfg->trust.issuer_org,
                        cfg->trust.subject_org, list_text(cfg->trust.names, p),
                        text_of(cfg->trust.crl_file), cfg->poll, cfg->sweep);
}

const char *cosell_settings_difference(const char *a, const char *b, apr_pool_t *p)
{
    const char *line = a;

    for (; *a && *a == *b; a++, b++) {
        line = *a == '\n' ? a + 1 : line;
    }
    return apr_pstrmemdup(p, line, strcspn(line, " \n"));
}
