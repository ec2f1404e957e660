/* httpd/config_check.c: what concerns several directives or files, and the node made of all
 * hosts.
 *
 * Runs from the check_config hook, so that -t and -k graceful see every mistake before a server
 * is touched (post_config would be too late: its failure ends a running server). It reads
 * mapping, secret and certificate files and opens nothing else. While a running server is
 * reloaded nothing is an error any more: the host is degraded and answers 503.
 */
#include "mod_cosell.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_core.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/command.h"
#include "../base/crypto.h"

APLOG_USE_MODULE(cosell);

/* Far above every good file of these kinds; their readers have closer limits of their own. */
#define FILE_MOST (16 * 1024 * 1024)
#define PEM_MOST (64 * 1024)

cosell_node_t *cosell_node;

typedef struct check_t {
    apr_pool_t *p, *ptemp;
    server_rec *s;
    cosell_conf_t *conf;
    int reloading;
    int mistakes;
    const char *first; /* of this host, while reloading */
} check_t;

static void say(const check_t *ck, int level, const char *where, const char *text)
{
    const char *host = cosell_host_name(ck->s, ck->ptemp);

    ap_log_error(APLOG_MARK, level | (ck->reloading ? 0 : APLOG_STARTUP), 0,
                 ck->reloading ? ck->s : NULL, CSLOGNO(1002) "%s: %s (in %s)", where, text, host);
}

/* For what no directive of its own stands for. */
static const char *place_of(const check_t *ck)
{
    if (!ck->s->is_virtual || !ck->s->defn_name) {
        return "main server";
    }
    return apr_psprintf(ck->p, "%s:%u", ck->s->defn_name, ck->s->defn_line_number);
}

static void mistake(check_t *ck, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void mistake(check_t *ck, const char *where, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = apr_pvsprintf(ck->p, fmt, ap);
    va_end(ap);
    where = where ? where : place_of(ck);
    ck->mistakes++;
    if (!ck->first) {
        ck->first = apr_psprintf(ck->p, "%s: %s", where, text);
    }
    say(ck, APLOG_ERR, where, text);
}

static void warn(check_t *ck, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void notice(check_t *ck, const char *where, const char *text)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        say(ck, APLOG_NOTICE, where ? where : place_of(ck), text);
    }
}

static void warn(check_t *ck, const char *where, const char *fmt, ...)
{
    va_list ap;

    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        return; /* said once, in the first of the passes of a start */
    }
    va_start(ap, fmt);
    say(ck, APLOG_WARNING, where ? where : place_of(ck), apr_pvsprintf(ck->p, fmt, ap));
    va_end(ap);
}

/* ---- files ---- */

/* APR_SUCCESS when it is a regular file that can be opened for reading. */
static apr_status_t try_file(const char *path, apr_off_t *psize, apr_pool_t *ptemp)
{
    apr_file_t *file;
    apr_finfo_t finfo;
    apr_status_t rv;

    rv = apr_stat(&finfo, path, APR_FINFO_TYPE | APR_FINFO_SIZE, ptemp);
    if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) {
        return rv;
    }
    if (finfo.filetype != APR_REG) {
        return APR_EINVAL;
    }
    rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, ptemp);
    if (rv == APR_SUCCESS) {
        apr_file_close(file);
    }
    *psize = finfo.size;
    return rv;
}

/* Under an account that is not root's a file for root alone says nothing about the real start. */
static int only_for_root(apr_status_t rv)
{
    return APR_STATUS_IS_EACCES(rv) && geteuid() != 0;
}

/* 1 when the file can be used now. `what` is directive and option: "CosellCrm: mapping=". */
static int check_file(check_t *ck, const char *where, const char *what, const char *path)
{
    char text[160];
    apr_off_t size = 0;
    apr_status_t rv = try_file(path, &size, ck->ptemp);

    if (rv == APR_EINVAL) {
        mistake(ck, where, "%s\"%s\": not a regular file", what, path);
    }
    else if (only_for_root(rv)) {
        warn(ck, where, "%s\"%s\": not readable to this user and therefore not checked", what,
             path);
    }
    else if (rv != APR_SUCCESS) {
        mistake(ck, where, "%s\"%s\": could not be read: %s", what, path,
                apr_strerror(rv, text, sizeof(text)));
    }
    else if (size == 0 || size > FILE_MOST) {
        mistake(ck, where, "%s\"%s\": it has %" APR_OFF_T_FMT " bytes; allowed are 1 to %d", what,
                path, size, FILE_MOST);
        return 0;
    }
    return rv == APR_SUCCESS;
}

/* A small file as a whole; wiped with the pool, for it may be a key. */
static int read_small(const char *path, const char **ptext, apr_size_t *plen, apr_pool_t *ptemp)
{
    char *text = apr_palloc(ptemp, PEM_MOST);
    apr_file_t *file;
    apr_status_t rv;

    if (apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, ptemp) != APR_SUCCESS) {
        return 0;
    }
    cs_wipe_at_end(text, PEM_MOST, ptemp);
    rv = apr_file_read_full(file, text, PEM_MOST, plen);
    apr_file_close(file);
    *ptext = text;
    return rv == APR_SUCCESS || APR_STATUS_IS_EOF(rv);
}

/* The API secrets are the runner's alone: here only whether they are there. At reload a missing one
 * is no reason to answer 503, the runner says it and keeps the work. */
static void check_secret(check_t *ck, const char *where, const char *what,
                         const cs_secret_t *secret)
{
    const char *command;

    if (!secret || ck->reloading) {
        return;
    }
    if (!strncmp(secret->ref, "file:", 5)) {
        check_file(ck, where, apr_pstrcat(ck->ptemp, what, "file:", NULL), secret->ref + 5);
        return;
    }
    command = secret->ref + 5 + strspn(secret->ref + 5, " \t");
    command = apr_pstrmemdup(ck->ptemp, command, strcspn(command, " \t"));
    if (strchr(command, '/') && access(command, X_OK) != 0) {
        if (only_for_root(APR_FROM_OS_ERROR(errno))) {
            warn(ck, where, "%sexec:%s: the command cannot be checked by this user", what, command);
        }
        else {
            mistake(ck, where, "%sexec:%s: the command cannot be executed", what, command);
        }
    }
}

/* A certificate and its key, when both can be read now. */
static void check_pair(check_t *ck, const char *where, const char *certificate,
                       const cs_secret_t *key)
{
    unsigned char digest[CS_SHA256_LEN];
    const char *pem, *key_pem;
    apr_size_t len, key_len, digest_len;

    if (!certificate || !check_file(ck, where, "CosellCrm: certificate=", certificate) ||
        !read_small(certificate, &pem, &len, ck->ptemp)) {
        return;
    }
    if (cs_cert_digest(digest, &digest_len, 0, pem, len) != APR_SUCCESS) {
        mistake(ck, where, "CosellCrm: certificate=\"%s\": allowed is a file that holds a "
                "certificate as PEM", certificate);
        return;
    }
    if (!key || ck->reloading || strncmp(key->ref, "file:", 5) ||
        !read_small(key->ref + 5, &key_pem, &key_len, ck->ptemp)) {
        return;
    }
    if (!cs_cert_has_key(pem, len, key_pem, key_len)) {
        mistake(ck, where, "CosellCrm: key=%s is not the private key (PEM, without a passphrase) "
                "of certificate=\"%s\"", key->ref, certificate);
    }
}

/* A key that signs by itself, when it can be read now. */
static void check_key(check_t *ck, const char *where, const cs_secret_t *key)
{
    const unsigned char *signature;
    const char *pem;
    apr_size_t len, signature_len;

    if (!key || ck->reloading || strncmp(key->ref, "file:", 5) ||
        !read_small(key->ref + 5, &pem, &len, ck->ptemp)) {
        return;
    }
    if (cs_rsa_sign(&signature, &signature_len, 0, pem, len, "", 0, ck->ptemp) != APR_SUCCESS) {
        mistake(ck, where, "CosellCrm: key=%s: allowed is a file that holds a private RSA key as "
                "PEM, without a passphrase", key->ref);
    }
}

/* A webhook secret as far as it can be read now; NULL = it cannot, and is not judged. Commands run
 * at the start only. */
static const cs_secret_t *read_webhook_secret(check_t *ck, const cs_secret_t *secret)
{
    cs_secret_t *copy = apr_pcalloc(ck->ptemp, sizeof(*copy));

    copy->ref = secret->ref;
    if (strncmp(secret->ref, "file:", 5) ||
        cs_secret_load(copy, ck->ptemp, NULL) != APR_SUCCESS) {
        return NULL;
    }
    return copy;
}

/* Which CRM sends is told by its secret alone. Never NULL: the CRM before k with the same secret,
 * or k itself. */
static const cosell_crm_t *crm_of_secret(check_t *ck, int k, const cs_secret_t *value)
{
    const cosell_crm_t *crm = APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *), *other;
    const cs_secret_t *of_other;
    int i;

    for (i = 0; i < k; i++) {
        other = APR_ARRAY_IDX(ck->conf->crms, i, cosell_crm_t *);
        if (!other->webhook_secret) {
            continue;
        }
        of_other = value ? read_webhook_secret(ck, other->webhook_secret) : NULL;
        if (!strcmp(other->webhook_secret->ref, crm->webhook_secret->ref) ||
            (of_other && !strcmp(of_other->digest, value->digest))) {
            return other;
        }
    }
    return crm;
}

static void check_webhook_secret(check_t *ck, int k)
{
    const cosell_crm_t *crm = APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *), *other;
    const cs_secret_t *value;

    if (!crm->webhook_secret || ck->reloading) {
        return;
    }
    check_secret(ck, crm->where, "CosellCrm: webhook-secret=", crm->webhook_secret);
    value = read_webhook_secret(ck, crm->webhook_secret);
    if (value && value->len < COSELL_WEBHOOK_SECRET_LEAST) {
        mistake(ck, crm->where, "CosellCrm: webhook-secret=%s: it has %" APR_SIZE_T_FMT
                " characters; allowed are at least %d, best by chance", crm->webhook_secret->ref,
                value->len, COSELL_WEBHOOK_SECRET_LEAST);
    }
    other = crm_of_secret(ck, k, value);
    if (other != crm) {
        mistake(ck, crm->where, "CosellCrm %s: webhook-secret=%s is also that of %s (%s); allowed "
                "is a secret of its own for each CRM of a host", crm->name,
                crm->webhook_secret->ref, other->name, other->where);
    }
}

/* ---- upstreams ---- */

static const cosell_upstream_t *upstream_named(const check_t *ck, const char *name)
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

static cs_upstream_t *make_upstream(check_t *ck, const char *name, double rate, int concurrency,
                                    int timeout)
{
    cs_upstream_t *up = apr_pcalloc(ck->p, sizeof(*up));

    up->name = name;
    up->origins = apr_array_make(ck->p, 2, sizeof(const char *));
    up->rate = rate;
    up->concurrency = concurrency;
    up->reserve = -1;
    up->timeout = apr_time_from_sec(timeout);
    up->reserve = -1; /* the default of its client */
    apply_upstream(up, upstream_named(ck, "*"));
    apply_upstream(up, upstream_named(ck, name));
    return up;
}

static void add_origin(check_t *ck, const cs_upstream_t *up, const char *url)
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

static int upstream_known(const check_t *ck, const char *name)
{
    static const char *const fixed[] = { "*", "partner-center", "login", "certificate" };
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

static const char *crm_names(const check_t *ck)
{
    const char *text = "";
    int k;

    for (k = 0; ck->conf->crms && k < ck->conf->crms->nelts; k++) {
        text = apr_pstrcat(ck->ptemp, text, ", ",
                           APR_ARRAY_IDX(ck->conf->crms, k, cosell_crm_t *)->name, NULL);
    }
    return text;
}

static void check_upstreams(check_t *ck)
{
    int i;

    for (i = 0; ck->conf->upstreams && i < ck->conf->upstreams->nelts; i++) {
        const cosell_upstream_t *up = APR_ARRAY_IDX(ck->conf->upstreams, i, cosell_upstream_t *);

        if (!upstream_known(ck, up->name)) {
            mistake(ck, up->where, "CosellUpstream: there is no upstream \"%s\"; allowed are *, "
                    "partner-center, login, certificate%s", up->name, crm_names(ck));
        }
        if (up->ca) {
            check_file(ck, up->where, "CosellUpstream: ca=", up->ca);
        }
    }
}

/* ---- the parts of a site ---- */

static const char *entra_url(const char *tenant, apr_pool_t *p)
{
    return apr_pstrcat(p, "https://login.microsoftonline.com/", tenant, "/oauth2/v2.0/token", NULL);
}

static void make_partner_center(check_t *ck, cs_site_config_t *cfg, const cs_upstream_t *login)
{
    const cosell_pc_t *pc = ck->conf->pc;
    cs_upstream_t *up = make_upstream(ck, "partner-center", 2, 2, 30);

    cfg->pc.tenant = pc->tenant;
    cfg->pc.client_id = pc->client_id;
    cfg->pc.client_secret = pc->client_secret;
    cfg->pc.refresh_token = pc->refresh_token;
    cfg->pc.organization = pc->organization;
    cfg->pc.token_url = pc->token_url ? pc->token_url : entra_url(pc->tenant, ck->p);
    cfg->pc.webhooks_url = pc->webhooks_url ? pc->webhooks_url
                                            : "https://api.partnercenter.microsoft.com";
    cfg->pc.referrals_url = pc->referrals_url ? pc->referrals_url
                                              : "https://api.partner.microsoft.com";
    cfg->pc.upstream = up;
    cfg->pc.login = login;
    add_origin(ck, up, cfg->pc.referrals_url);
    add_origin(ck, up, cfg->pc.webhooks_url);
    add_origin(ck, login, cfg->pc.token_url);
    check_secret(ck, pc->where, "CosellPartnerCenter: client-secret=", pc->client_secret);
    check_secret(ck, pc->where, "CosellPartnerCenter: refresh-token=", pc->refresh_token);
}

static void load_mapping(check_t *ck, cs_site_crm_t *to, const cosell_crm_t *crm)
{
    apr_array_header_t *errors = NULL;
    cs_mapping_t *mapping = NULL;
    cs_result_t res = { 0 };
    int i;

    to->mapping_path = crm->mapping;
    if (!check_file(ck, crm->where, "CosellCrm: mapping=", crm->mapping)) {
        return;
    }
    if (cs_mapping_load(&mapping, crm->mapping, cs_crm_facts_of(crm->type), &errors, ck->p,
                        &res) == APR_SUCCESS) {
        to->mapping = mapping;
        return;
    }
    for (i = 0; errors && i < errors->nelts; i++) {
        mistake(ck, crm->where, "CosellCrm %s: %s", crm->name,
                APR_ARRAY_IDX(errors, i, const char *));
    }
    if (!errors || !errors->nelts) {
        mistake(ck, crm->where, "CosellCrm %s: mapping=\"%s\": %s", crm->name, crm->mapping,
                res.detail ? res.detail : "could not be loaded");
    }
}

static void make_crm(check_t *ck, cs_site_config_t *cfg, const cosell_crm_t *crm,
                     const cs_upstream_t *login)
{
    cs_site_crm_t *to = &cfg->crms[cfg->ncrms++];
    cs_upstream_t *up = make_upstream(ck, crm->name, 20, 8, 30);
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
    to->cfg.token_url = crm->token_url;
    to->cfg.token_url = impl->token_url(&to->cfg, ck->p);
    to->cfg.upstream = up;
    to->cfg.login = login;
    add_origin(ck, up, crm->url);
    add_origin(ck, login, to->cfg.token_url);
    wrong = impl->check ? impl->check(&to->cfg, ck->ptemp) : NULL;
    if (wrong) {
        mistake(ck, crm->where, "CosellCrm %s: %s", crm->name, wrong);
    }
    check_secret(ck, crm->where, "CosellCrm: client-secret=", crm->client_secret);
    check_secret(ck, crm->where, "CosellCrm: key=", crm->key);
    if (crm->certificate) {
        check_pair(ck, crm->where, crm->certificate, crm->key);
    }
    else {
        check_key(ck, crm->where, crm->key);
    }
    load_mapping(ck, to, crm);
}

/* Reads the bundles and throws them away: post_config keeps its own. */
static void check_trust(check_t *ck, const cs_trust_config_t *trust, const char *where)
{
    cs_result_t res = { 0 };
    cs_trust_t *loaded;
    int usable = 1;

    if (trust->ca_file) {
        usable &= check_file(ck, where, "CosellSignature: ca=", trust->ca_file);
    }
    if (trust->intermediates_file) {
        usable &= check_file(ck, where, "CosellSignature: intermediates=",
                             trust->intermediates_file);
    }
    if (trust->crl_file) {
        usable &= check_file(ck, where, "CosellSignature: revocation=crl:", trust->crl_file);
    }
    if (usable && cs_trust_load(&loaded, trust, ck->ptemp, &res) != APR_SUCCESS) {
        mistake(ck, where, "CosellSignature: %s", res.detail ? res.detail : "could not be loaded");
    }
}

static void make_trust(check_t *ck, cs_site_config_t *cfg)
{
    const cosell_signature_t *sig = ck->conf->signature;
    cs_upstream_t *up = make_upstream(ck, "certificate", 0, 1, 10);
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
        add_origin(ck, up, APR_ARRAY_IDX(trust->urls, i, const char *));
    }
    cfg->certificate = up;
    check_trust(ck, trust, sig ? sig->where : NULL);
}

/* ---- one host ---- */

static int check_required(check_t *ck)
{
    int before = ck->mistakes;
    const char *hint = "CosellEngine on needs CosellSite, CosellPartnerCenter and CosellCrm";

    if (!ck->conf->site) {
        mistake(ck, NULL, "CosellSite is missing; %s", hint);
    }
    if (!ck->conf->pc) {
        mistake(ck, NULL, "CosellPartnerCenter is missing; %s", hint);
    }
    if (!ck->conf->crms) {
        mistake(ck, NULL, "CosellCrm is missing; %s", hint);
    }
    return ck->mistakes == before;
}

static cosell_site_t *make_site(check_t *ck)
{
    cosell_site_t *site = apr_pcalloc(ck->p, sizeof(*site));
    cs_site_config_t *cfg = &site->cfg;
    cs_upstream_t *login = make_upstream(ck, "login", 0, 1, 30);
    int i;

    site->server = ck->s;
    cfg->name = ck->conf->site;
    cfg->vhost = apr_psprintf(ck->p, "%s:%u", ck->s->server_hostname ? ck->s->server_hostname : "*",
                              ck->s->port || !ck->s->addrs ? ck->s->port
                                                           : ck->s->addrs->host_port);
    cfg->file = ck->conf->site_where;
    cfg->poll = ck->conf->poll >= 0 ? ck->conf->poll : apr_time_from_sec(300);
    cfg->watch = cfg->poll > 0 ? CS_SITE_WATCH : 0;
    cfg->sweep = ck->conf->sweep >= 0 ? ck->conf->sweep : apr_time_from_sec(12 * 3600);
    make_partner_center(ck, cfg, login);
    for (i = 0; i < ck->conf->crms->nelts; i++) {
        make_crm(ck, cfg, APR_ARRAY_IDX(ck->conf->crms, i, cosell_crm_t *), login);
        check_webhook_secret(ck, i);
    }
    make_trust(ck, cfg);
    check_upstreams(ck);
    return site;
}

/* ---- sites of several hosts ---- */

static cosell_site_t *site_named(const cosell_node_t *node, const char *name)
{
    int i;

    for (i = 0; i < node->sites->nelts; i++) {
        cosell_site_t *site = APR_ARRAY_IDX(node->sites, i, cosell_site_t *);

        if (!strcmp(site->cfg.name, name)) {
            return site;
        }
    }
    return NULL;
}

static void share_or_add(check_t *ck, cosell_node_t *node, cosell_site_t *site)
{
    cosell_site_t *other = site_named(node, site->cfg.name);

    site->settings = cosell_settings_text(&site->cfg, ck->p);
    if (other && strcmp(other->settings, site->settings)) {
        mistake(ck, ck->conf->site_where, "CosellSite \"%s\" is also the site of %s (%s) with "
                "other settings: %s differs; allowed are equal settings, or another name",
                site->cfg.name, cosell_host_name(other->server, ck->ptemp), other->cfg.file,
                cosell_settings_difference(site->settings, other->settings, ck->ptemp));
        ck->conf->degraded = ck->first;
        return;
    }
    if (!other) {
        site->index = node->sites->nelts;
        site->cfg.degraded = ck->first;
        APR_ARRAY_PUSH(node->sites, cosell_site_t *) = site;
        APR_ARRAY_PUSH(node->cfg.sites, cs_site_config_t *) = &site->cfg;
        other = site;
    }
    ck->conf->degraded = ck->first;
    ck->conf->effective = other;
}

static int check_host(cosell_node_t *node, server_rec *s, int reloading, apr_pool_t *p,
                      apr_pool_t *ptemp)
{
    check_t ck = { p, ptemp, s, cosell_conf_of(s), reloading, 0, NULL };

    if (ck.conf->engine != 1) {
        return 0;
    }
    ck.first = ck.conf->broken;
    if (check_required(&ck)) {
        share_or_add(&ck, node, make_site(&ck));
    }
    else {
        ck.conf->degraded = ck.first;
    }
    return ck.mistakes;
}

/* ---- the node ---- */

static cosell_node_t *make_node(const cosell_conf_t *conf, server_rec *s, apr_pool_t *p)
{
    cosell_node_t *node = apr_pcalloc(p, sizeof(*node));

    node->server = s;
    node->sites = apr_array_make(p, 4, sizeof(cosell_site_t *));
    node->wake_write = -1;
    node->broken = conf->broken;
    node->cfg.sites = apr_array_make(p, 4, sizeof(cs_site_config_t *));
    node->cfg.store.kind = conf->store ? conf->store : "sqlite";
    node->cfg.store.state_dir = conf->state_dir ? conf->state_dir : COSELL_STATE_DIR;
    node->cfg.store.keep_journal =
        conf->keep_journal > 0 ? conf->keep_journal : apr_time_from_sec(90 * 86400);
    node->cfg.store.keep_delivery =
        conf->keep_delivery > 0 ? conf->keep_delivery : apr_time_from_sec(7 * 86400);
    node->cfg.workers = conf->workers >= 0 ? conf->workers : 4;
    node->cfg.passphrase = conf->passphrase;
    node->cfg.wake_fd = -1;
    node->cfg.user_agent = "mod_cosell/" COSELL_VERSION;
    return node;
}

/* The server's user must be able to run it; whether it may, only the real start shows. */
static void check_command(check_t *ck, const cosell_notify_t *notify)
{
    char *const *argv = cs_command_split(notify->target.command, ck->ptemp);
    struct stat st;

    if (ck->reloading || !argv) {
        return;
    }
    if (stat(argv[0], &st) != 0) {
        if (only_for_root(APR_FROM_OS_ERROR(errno))) {
            warn(ck, notify->where, "CosellNotify \"%s\": not accessible to this user and "
                 "therefore not checked", notify->target.name);
            return;
        }
        mistake(ck, notify->where, "CosellNotify \"%s\": %s: %s", notify->target.name, argv[0],
                strerror(errno));
    }
    else if (!S_ISREG(st.st_mode) || !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
        mistake(ck, notify->where, "CosellNotify \"%s\": %s is not an executable file",
                notify->target.name, argv[0]);
    }
}

static void make_notify(check_t *ck, cosell_node_t *node)
{
    const apr_array_header_t *list = ck->conf->notify;
    int i;

    node->cfg.notify = apr_array_make(ck->p, 2, sizeof(cs_notify_target_t *));
    for (i = 0; list && i < list->nelts; i++) {
        cosell_notify_t *notify = APR_ARRAY_IDX(list, i, cosell_notify_t *);
        cs_notify_target_t *target = apr_pmemdup(ck->p, &notify->target, sizeof(*target));
        cs_upstream_t *up = make_upstream(ck, "notify", 0, 1, 10);

        if (i >= CS_NOTIFY_TARGETS) {
            mistake(ck, notify->where, "CosellNotify: allowed are at most %d of them",
                    CS_NOTIFY_TARGETS);
            break;
        }
        if (target->url) {
            add_origin(ck, up, target->url);
        }
        else {
            check_command(ck, notify);
        }
        target->upstream = up;
        APR_ARRAY_PUSH(node->cfg.notify, cs_notify_target_t *) = target;
    }
}

/* The directory itself is made at the start, its parent is not. */
static void check_state_dir(check_t *ck, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *parent = slash > path ? apr_pstrmemdup(ck->ptemp, path, (apr_size_t)(slash - path))
                                      : "/";
    struct stat st;

    if (ck->reloading) {
        return;
    }
    if (stat(parent, &st) != 0 && errno != EACCES) {
        mistake(ck, ck->conf->state_dir_where, "CosellStateDir \"%s\": its parent %s: %s; make it, "
                "the directory itself is made by the server", path, parent, strerror(errno));
    }
    else if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        mistake(ck, ck->conf->state_dir_where, "CosellStateDir \"%s\": not a directory", path);
    }
}

/* What a host says of its own, and not by inheritance. */
static int says_something(const cosell_conf_t *conf, const cosell_conf_t *base)
{
    return (conf->site && conf->site != base->site) || (conf->pc && conf->pc != base->pc)
        || (conf->crms && conf->crms != base->crms)
        || (conf->signature && conf->signature != base->signature);
}

/* Directives that do nothing are more often forgotten to be switched on than meant so; who writes
 * CosellEngine off means it. */
static void check_switch(check_t *ck, const cosell_conf_t *main_conf, int hosts)
{
    static const cosell_conf_t nothing;
    int is_main = ck->conf == main_conf;

    if (ck->conf->engine != -1 || (is_main && hosts)
        || !says_something(ck->conf, is_main ? &nothing : main_conf)) {
        return;
    }
    notice(ck, NULL,
           "this host has Cosell directives and no CosellEngine on: they do nothing here");
}

int cosell_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    cosell_node_t *node = make_node(cosell_conf_of(s), s, pconf);
    check_t ck = { pconf, ptemp, s, cosell_conf_of(s), cosell_reloading(), 0, NULL };
    int mistakes = 0, hosts = 0;
    server_rec *host;

    (void)plog;
    for (host = s; host; host = host->next) {
        hosts += cosell_conf_of(host)->engine == 1;
        mistakes += check_host(node, host, ck.reloading, pconf, ptemp);
    }
    for (host = s; host; host = host->next) {
        check_t of_host = { pconf, ptemp, host, cosell_conf_of(host), ck.reloading, 0, NULL };

        check_switch(&of_host, ck.conf, hosts);
    }
    if (hosts) {
        check_state_dir(&ck, node->cfg.store.state_dir);
        make_notify(&ck, node);
        check_secret(&ck, ck.conf->passphrase_where, "CosellCryptoPassphrase ",
                     node->cfg.passphrase);
        cosell_node = node;
    }
    mistakes += ck.mistakes;
    return mistakes && !ck.reloading ? HTTP_INTERNAL_SERVER_ERROR : OK;
}
