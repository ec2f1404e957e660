/* httpd/config_site.c: the site that a host's settings describe, its CRMs, upstreams and trust,
 * with every default of theirs. */
#include "config_check.h"

#include <apr_strings.h>
#include <string.h>

static const cosell_upstream_t *upstream_named(const cosell_check_t *ck, const char *name)
{
    int i;

    for (i = 0; ck->conf->upstreams && i < ck->conf->upstreams->nelts; i++) {
        const cosell_upstream_t *up = APR_ARRAY_IDX(ck->conf->upstreams, i, cosell_upstream_t *);

        if (!strcmp(up->name, name)) {
            return up;
        }
    }
    return NULL;
}

static void apply_upstream(cs_upstream_t *up, const cosell_upstream_t *set)
{
    if (!set) {
        return;
    }
    up->ca = set->ca ? set->ca : up->ca;
    up->proxy = set->proxy ? set->proxy : up->proxy;
    up->rate = set->rate >= 0 ? set->rate : up->rate;
    up->concurrency = set->concurrency > 0 ? set->concurrency : up->concurrency;
    up->timeout = set->timeout > 0 ? set->timeout : up->timeout;
    up->reserve = set->reserve >= 0 ? set->reserve : up->reserve;
}

cs_upstream_t *cosell_upstream_make(cosell_check_t *ck, const char *name, double rate,
                                    int concurrency, int timeout)
{
    cs_upstream_t *up = apr_pcalloc(ck->p, sizeof(*up));

    up->name = name;
    up->origins = apr_array_make(ck->p, 2, sizeof(const char *));
    up->rate = rate;
    up->concurrency = concurrency;
    up->reserve = -1; /* the default of its client */
    up->timeout = apr_time_from_sec(timeout);
    apply_upstream(up, upstream_named(ck, "*"));
    apply_upstream(up, upstream_named(ck, name));
    return up;
}

void cosell_upstream_origin(cosell_check_t *ck, const cs_upstream_t *up, const char *url)
{
    const char *origin = cs_http_origin(url, ck->p);
    int i;

    if (!origin) {
        return;
    }
    for (i = 0; i < up->origins->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(up->origins, i, const char *), origin)) {
            return;
        }
    }
    APR_ARRAY_PUSH(up->origins, const char *) = origin;
}

static int upstream_known(const cosell_check_t *ck, const char *name)
{
    static const char *const fixed[] = {"*", "partner-center", "login", "certificate"};
    apr_size_t i;
    int k;

    for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (!strcmp(name, fixed[i])) {
            return 1;
        }
    }
    for (k = 0; ck->conf->crms && k < ck->conf->crms->nelts; k++) {
        if (!strcmp(name, APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *)->name)) {
            return 1;
        }
    }
    return 0;
}

static const char *crm_names(const cosell_check_t *ck)
{
    const char *text = "";
    int k;

    for (k = 0; ck->conf->crms && k < ck->conf->crms->nelts; k++) {
        text = apr_pstrcat(ck->ptemp, text, ", ",
                           APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *)->name, NULL);
    }
    return text;
}

/* NULL = it has a quota of a day, of which some can be kept; else who has: ", sales". */
static const char *with_quota(const cosell_check_t *ck, const char *name)
{
    const char *text = "";
    int k, has = !strcmp(name, "*");

    for (k = 0; ck->conf->crms && k < ck->conf->crms->nelts; k++) {
        const cosell_crm_t *crm = APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *);
        const cs_crm_impl_t *impl = cs_crm_impl_of(crm->type);

        if (impl && impl->usage) {
            text = apr_pstrcat(ck->ptemp, text, ", ", crm->name, NULL);
            has |= !strcmp(name, crm->name);
        }
    }
    return has ? NULL : text;
}

static void check_reserve(cosell_check_t *ck, const cosell_upstream_t *up)
{
    const char *others = with_quota(ck, up->name);

    if (up->reserve >= 0 && others) {
        cosell_mistake(ck, up->where,
                       "CosellUpstream: reserve=%d means nothing for \"%s\", which has no quota of "
                       "requests a day; allowed for it are ca=, rate=, concurrency=, timeout= and "
                       "proxy=, and reserve= for *%s",
                       up->reserve, up->name, others);
    }
}

static void check_upstreams(cosell_check_t *ck)
{
    int i;

    for (i = 0; ck->conf->upstreams && i < ck->conf->upstreams->nelts; i++) {
        const cosell_upstream_t *up = APR_ARRAY_IDX(ck->conf->upstreams, i, cosell_upstream_t *);

        if (!upstream_known(ck, up->name)) {
            cosell_mistake(ck, up->where,
                           "CosellUpstream: there is no upstream \"%s\"; allowed are *, "
                           "partner-center, login, certificate%s",
                           up->name, crm_names(ck));
        }
        else {
            check_reserve(ck, up);
        }
        if (up->ca) {
            cosell_check_file(ck, up->where, "CosellUpstream: ca=", up->ca);
        }
    }
}

/* ---- the parts of a site ---- */

static const char *path_of(const char *url)
{
    const char *rest = strstr(url, "://");

    rest = rest ? strpbrk(rest + 3, "/?#") : NULL;
    return rest && strcmp(rest, "/") ? rest : NULL;
}

/* Where a sign-in is sent is no server's front page. */
static void check_token_url(cosell_check_t *ck, const char *where, const char *directive,
                            const char *given, const char *standard)
{
    const char *origin = given && !path_of(given) ? cs_http_origin(given, ck->ptemp) : NULL;
    const char *path = origin && standard ? path_of(standard) : NULL;

    if (origin) {
        cosell_mistake(ck, where,
                       "%s: token-url=\"%s\" has no path; allowed is the whole address that gives "
                       "tokens, as %s%s",
                       directive, given, origin, path ? path : "/oauth2/v2.0/token");
    }
}

static void make_partner_center(cosell_check_t *ck, cs_site_config_t *cfg,
                                const cs_upstream_t *login)
{
    const cosell_pc_t *pc = ck->conf->pc;
    cs_upstream_t *up = cosell_upstream_make(ck, "partner-center", 2, 2, 30);

    cfg->pc.tenant = pc->tenant;
    cfg->pc.client_id = pc->client_id;
    cfg->pc.client_secret = pc->client_secret;
    cfg->pc.refresh_token = pc->refresh_token;
    cfg->pc.organization = pc->organization;
    cfg->pc.token_url = pc->token_url ? pc->token_url : cs_token_entra_url(pc->tenant, ck->p);
    cfg->pc.webhooks_url =
        pc->webhooks_url ? pc->webhooks_url : "https://api.partnercenter.microsoft.com";
    cfg->pc.referrals_url =
        pc->referrals_url ? pc->referrals_url : "https://api.partner.microsoft.com";
    cfg->pc.upstream = up;
    cfg->pc.login = login;
    cosell_upstream_origin(ck, up, cfg->pc.referrals_url);
    cosell_upstream_origin(ck, up, cfg->pc.webhooks_url);
    cosell_upstream_origin(ck, login, cfg->pc.token_url);
    check_token_url(ck, pc->where, "CosellPartnerCenter", pc->token_url,
                    cs_token_entra_url(pc->tenant, ck->ptemp));
    cosell_check_secret(ck, pc->where, "CosellPartnerCenter: client-secret=", pc->client_secret);
    cosell_check_secret(ck, pc->where, "CosellPartnerCenter: refresh-token=", pc->refresh_token);
}

static void load_mapping(cosell_check_t *ck, cs_site_crm_t *to, const cosell_crm_t *crm)
{
    apr_array_header_t *errors = NULL;
    cs_mapping_t *mapping = NULL;
    cs_result_t res = {0};
    int i;

    to->mapping_path = crm->mapping;
    if (!cosell_check_file(ck, crm->where, "CosellCrm: mapping=", crm->mapping)) {
        return;
    }
    if (cs_mapping_load(&mapping, crm->mapping, cs_crm_facts_of(crm->type), &errors, ck->p, &res) ==
        APR_SUCCESS) {
        to->mapping = mapping;
        return;
    }
    for (i = 0; errors && i < errors->nelts; i++) {
        cosell_mistake(ck, crm->where, "CosellCrm %s: %s", crm->name,
                       APR_ARRAY_IDX(errors, i, const char *));
    }
    if (!errors || !errors->nelts) {
        cosell_mistake(ck, crm->where, "CosellCrm %s: mapping=\"%s\": %s", crm->name, crm->mapping,
                       res.detail ? res.detail : "could not be loaded");
    }
}

static void make_crm(cosell_check_t *ck, cs_site_config_t *cfg, const cosell_crm_t *crm,
                     const cs_upstream_t *login)
{
    cs_site_crm_t *to = &cfg->crms[cfg->ncrms++];
    cs_upstream_t *up = cosell_upstream_make(ck, crm->name, 20, 8, 30);
    const cs_crm_impl_t *impl = cs_crm_impl_of(crm->type);
    const char *wrong;

    to->cfg.name = crm->name;
    to->cfg.type = crm->type;
    to->cfg.url = crm->url;
    to->cfg.tenant = crm->tenant;
    to->cfg.client_id = crm->client_id;
    to->cfg.client_secret = crm->client_secret;
    to->cfg.certificate = crm->certificate;
    to->cfg.key = crm->key;
    to->cfg.webhook_secret = crm->webhook_secret;
    to->cfg.organization = crm->organization;
    to->cfg.user = crm->user;
    check_token_url(ck, crm->where, apr_pstrcat(ck->ptemp, "CosellCrm ", crm->name, NULL),
                    crm->token_url, impl->token_url(&to->cfg, ck->ptemp));
    to->cfg.token_url = crm->token_url;
    to->cfg.token_url = impl->token_url(&to->cfg, ck->p);
    to->cfg.upstream = up;
    to->cfg.login = login;
    cosell_upstream_origin(ck, up, crm->url);
    cosell_upstream_origin(ck, login, to->cfg.token_url);
    wrong = impl->check ? impl->check(&to->cfg, ck->ptemp) : NULL;
    if (wrong) {
        cosell_mistake(ck, crm->where, "CosellCrm %s: %s", crm->name, wrong);
    }
    cosell_check_secret(ck, crm->where, "CosellCrm: client-secret=", crm->client_secret);
    cosell_check_secret(ck, crm->where, "CosellCrm: key=", crm->key);
    if (crm->certificate) {
        cosell_check_certificate(ck, crm->where, crm->certificate, crm->key);
    }
    else {
        cosell_check_key(ck, crm->where, crm->key);
    }
    load_mapping(ck, to, crm);
}

/* Reads the bundles and throws them away: post_config keeps its own. */
static void check_trust(cosell_check_t *ck, const cs_trust_config_t *trust, const char *where)
{
    cs_result_t res = {0};
    cs_trust_t *loaded;
    int usable = 1;

    if (trust->ca_file) {
        usable &= cosell_check_file(ck, where, "CosellSignature: ca=", trust->ca_file);
    }
    if (trust->intermediates_file) {
        usable &= cosell_check_file(ck, where,
                                    "CosellSignature: intermediates=", trust->intermediates_file);
    }
    if (trust->crl_file) {
        usable &= cosell_check_file(ck, where, "CosellSignature: revocation=crl:", trust->crl_file);
    }
    if (usable && cs_trust_load(&loaded, trust, ck->ptemp, &res) != APR_SUCCESS) {
        cosell_mistake(ck, where, "CosellSignature: %s",
                       res.detail ? res.detail : "could not be loaded");
    }
}

static void make_trust(cosell_check_t *ck, cs_site_config_t *cfg)
{
    const cosell_signature_t *sig = ck->conf->signature;
    cs_upstream_t *up = cosell_upstream_make(ck, "certificate", 0, 1, 10);
    cs_trust_config_t *trust = &cfg->trust;
    int i;

    trust->urls = sig && sig->urls ? sig->urls : apr_array_make(ck->p, 1, sizeof(const char *));
    if (!trust->urls->nelts) {
        APR_ARRAY_PUSH(trust->urls, const char *) = COSELL_CERT_URL;
    }
    trust->names = sig && sig->names ? sig->names : apr_array_make(ck->p, 1, sizeof(const char *));
    trust->ca_file = sig ? sig->ca : NULL;
    trust->intermediates_file = sig ? sig->intermediates : NULL;
    trust->issuer_org = sig && sig->issuer ? sig->issuer : "Microsoft Corporation";
    trust->subject_org = sig && sig->subject ? sig->subject : "Microsoft Corporation";
    trust->crl_file = sig ? sig->crl : NULL;
    for (i = 0; i < trust->urls->nelts; i++) {
        cosell_upstream_origin(ck, up, APR_ARRAY_IDX(trust->urls, i, const char *));
    }
    cfg->certificate = up;
    check_trust(ck, trust, sig ? sig->where : NULL);
}

cosell_site_t *cosell_site_make(cosell_check_t *ck)
{
    cosell_site_t *site = apr_pcalloc(ck->p, sizeof(*site));
    cs_site_config_t *cfg = &site->cfg;
    cs_upstream_t *login = cosell_upstream_make(ck, "login", 0, 1, 30);
    int i;

    site->server = ck->s;
    cfg->name = ck->conf->site;
    cfg->vhost = apr_psprintf(ck->p, "%s:%u", ck->s->server_hostname ? ck->s->server_hostname : "*",
                              ck->s->port || !ck->s->addrs ? ck->s->port : ck->s->addrs->host_port);
    cfg->file = ck->conf->site_where;
    cfg->poll = ck->conf->poll >= 0 ? ck->conf->poll : apr_time_from_sec(300);
    cfg->watch = cfg->poll > 0 ? CS_SITE_WATCH : 0;
    cfg->pulse = cfg->poll > 0 ? CS_SITE_PULSE : 0;
    cfg->sweep = ck->conf->sweep >= 0 ? ck->conf->sweep : apr_time_from_sec(12 * 3600);
    make_partner_center(ck, cfg, login);
    for (i = 0; i < ck->conf->crms->nelts; i++) {
        make_crm(ck, cfg, APR_ARRAY_IDX(ck->conf->crms, i, cosell_crm_t *), login);
        cosell_check_webhook_secret(ck, i);
    }
    make_trust(ck, cfg);
    check_upstreams(ck);
    return site;
}
