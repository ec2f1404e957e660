#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"

#define API "/api/data/v9.2/"

static const cs_json_limits_t answer_limits = {4 * 1024 * 1024, 100000, 32};

/* ---- answers ---- */

void cs_dyn_unreadable(cs_result_t *res, const cs_http_response_t *response,
                       const cs_http_request_t *request, cs_dyn_kind_e kind, const char *why,
                       apr_pool_t *p)
{
    cs_result_set(res, p, CS_EPARSE, kind == CS_DYN_READ ? CS_CLASS_RETRY : CS_CLASS_UNKNOWN,
                  "dataverse:answer", "%s", cs_http_describe(response, request, why, p));
    res->correlation = response->correlation;
}

json_t *cs_dyn_object(cs_result_t *res, const cs_http_response_t *response,
                      const cs_http_request_t *request, cs_dyn_kind_e kind, apr_pool_t *p)
{
    cs_result_t why = {0};
    json_t *json = NULL;

    if (cs_json_parse(&json, response->body, response->body_len, &answer_limits, p, &why) !=
        APR_SUCCESS) {
        cs_dyn_unreadable(res, response, request, kind, why.detail, p);
        return NULL;
    }
    if (!json_is_object(json)) {
        cs_dyn_unreadable(res, response, request, kind, "the answer is not a JSON object", p);
        json_decref(json);
        return NULL;
    }
    return cs_json_own(json, p);
}

/* ---- the client ---- */

static const char *token_url(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    return cfg->token_url ? cfg->token_url : cs_token_entra_url(cfg->tenant, p);
}

static apr_status_t create(cs_crm_t **pcrm, const cs_crm_config_t *cfg, cs_http_t *http,
                           cs_limiter_t *limiter, cs_limiter_t *login_limiter, apr_pool_t *p)
{
    cs_crm_t *crm = apr_pcalloc(p, sizeof(*crm));
    const char *origin = cs_http_origin(cfg->url, p);
    cs_token_config_t tc = {0};

    if (!origin) {
        return APR_EINVAL;
    }
    crm->cfg = *cfg;
    crm->http = http;
    crm->limiter = limiter;
    crm->root = apr_pstrcat(p, origin, API, NULL);
    crm->p = p;
    crm->learnt = apr_hash_make(p);
    crm->size = CS_DYN_BATCH_MOST;
    crm->refused = apr_hash_make(p);
    crm->templates = apr_hash_make(p);
    crm->said = apr_hash_make(p);
    tc.grant = CS_GRANT_CLIENT_CREDENTIALS;
    tc.url = token_url(cfg, p);
    tc.audience = origin;
    tc.client_id = cfg->client_id;
    tc.client_secret = cfg->client_secret;
    tc.certificate = cfg->certificate;
    tc.key = cfg->key;
    tc.rs256 = cfg->assertion_rs256;
    tc.upstream = cfg->login;
    *pcrm = crm;
    return cs_token_create(&crm->token, &tc, http, login_limiter, p);
}

static const char *guid_member(const json_t *json, const char *name, apr_pool_t *p)
{
    const char *text = cs_json_str(json, name);

    return text ? cs_uuid_lower(text, strlen(text), p) : NULL;
}

/* A copied sandbox answers under the old address with an identity of its own: nothing must be
 * written there. */
static apr_status_t check_organization(const cs_crm_t *crm, const cs_crm_whoami_t *who,
                                       apr_pool_t *p, cs_result_t *res)
{
    if (!crm->cfg.organization || !strcasecmp(crm->cfg.organization, who->organization)) {
        return APR_SUCCESS;
    }
    return cs_result_set(res, p, CS_EREMOTE, CS_CLASS_SUSPEND, "config:organization",
                         "%s is the organisation %s, but %s was expected", crm->cfg.url,
                         who->organization, crm->cfg.organization);
}

static apr_status_t whoami(cs_crm_t *crm, cs_crm_whoami_t *who, apr_interval_time_t deadline,
                           apr_pool_t *p, cs_result_t *res)
{
    cs_dyn_call_t call = {.kind = CS_DYN_READ};
    cs_dyn_batch_t batch;
    apr_status_t rv;
    json_t *json;

    memset(who, 0, sizeof(*who));
    cs_result_clear(res);
    cs_dyn_batch_init(&batch, crm, 1, p);
    cs_dyn_batch_add(&batch, "GET", "WhoAmI", "GET WhoAmI", &call);
    rv = cs_dyn_batch_send(&batch, deadline);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "transport",
                             "no request could be sent to %s", crm->cfg.name);
    }
    cs_dyn_classify(res, &batch.responses[0], &batch.requests[0], CS_DYN_READ, NULL, p);
    if (res->cls == CS_CLASS_GONE) {
        res->cls = CS_CLASS_SUSPEND;
    }
    if (res->cls != CS_CLASS_OK ||
        !(json = cs_dyn_object(res, &batch.responses[0], &batch.requests[0], CS_DYN_READ, p))) {
        return res->rv;
    }
    who->organization = guid_member(json, "OrganizationId", p);
    who->user = guid_member(json, "UserId", p);
    if (!who->organization || !who->user) {
        cs_dyn_unreadable(res, &batch.responses[0], &batch.requests[0], CS_DYN_READ,
                          "the answer names no organisation or user", p);
        return res->rv;
    }
    return check_organization(crm, who, p, res);
}

/* ---- configuration ---- */

static int has_path(const char *url)
{
    const char *rest = strstr(url, "://");

    rest = rest ? strpbrk(rest + 3, "/?#") : NULL;
    return rest && strcmp(rest, "/") != 0;
}

/* A secret, or a certificate with its key. */
static const char *check_identity(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    if (cfg->client_secret && (cfg->certificate || cfg->key)) {
        return apr_psprintf(p,
                            "%s has client-secret= and %s; it signs in with one of them, not both",
                            cfg->name, cfg->certificate ? "certificate=" : "key=");
    }
    if (cfg->certificate && !cfg->key) {
        return apr_psprintf(p,
                            "%s has certificate=%s but no key=file:/path or key=exec:command, the "
                            "private key of it",
                            cfg->name, cfg->certificate);
    }
    if (cfg->key && !cfg->certificate) {
        return apr_psprintf(p, "%s has key=%s but no certificate=/path, the certificate of it",
                            cfg->name, cfg->key->ref);
    }
    if (cfg->certificate && cfg->certificate[0] != '/') {
        return apr_psprintf(p, "certificate=\"%s\" is not the path of a file from the root on",
                            cfg->certificate);
    }
    if (!cfg->client_secret && !cfg->certificate) {
        return apr_psprintf(p,
                            "%s needs client-secret=file:/path or client-secret=exec:command, or "
                            "certificate=/path and key=file:/path",
                            cfg->name);
    }
    return NULL;
}

static const char *check(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    const char *origin = cfg->url ? cs_http_origin(cfg->url, p) : NULL, *wrong;

    if (!origin || has_path(cfg->url)) {
        return apr_psprintf(p,
                            "\"%s\" is not the address of an environment; give it as "
                            "https://organisation.crm.dynamics.com",
                            cfg->url ? cfg->url : "");
    }
    if (!cfg->tenant && !cfg->token_url) {
        return apr_psprintf(p, "%s needs tenant=, the id or domain of its Microsoft Entra tenant",
                            cfg->name);
    }
    if (!cfg->client_id) {
        return apr_psprintf(p, "%s needs client-id=, the application's id", cfg->name);
    }
    if (!cs_uuid_valid(cfg->client_id, strlen(cfg->client_id))) {
        return apr_psprintf(p,
                            "client-id=\"%s\": allowed is the application's id, a GUID such as "
                            "7fe8a18c-5b6e-4b1f-9f3e-0c1d2e3f4a5b",
                            cfg->client_id);
    }
    wrong = check_identity(cfg, p);
    if (wrong) {
        return wrong;
    }
    if (cfg->organization && !cs_uuid_valid(cfg->organization, strlen(cfg->organization))) {
        return apr_psprintf(p, "organization=\"%s\" is not a GUID", cfg->organization);
    }
    return NULL;
}

static const char *link_of(const cs_crm_config_t *cfg, const char *table, const char *id,
                           apr_pool_t *p)
{
    const char *origin = cs_http_origin(cfg->url, p);

    if (!origin || !table || !id || !cs_dyn_name_valid(table, strlen(table)) ||
        !cs_uuid_valid(id, strlen(id))) {
        return NULL;
    }
    return apr_pstrcat(p, origin, "/main.aspx?pagetype=entityrecord&etn=", table, "&id=", id, NULL);
}

static const char *const takes[] = {"mapping",        "tenant",    "client-id",   "client-secret",
                                    "organization",   "token-url", "certificate", "key",
                                    "webhook-secret", NULL};
static const char *const needs[] = {"mapping", "tenant", "client-id", NULL};

const cs_crm_impl_t cs_dynamics_impl = {
    .facts = &cs_dynamics_facts,
    .takes = takes,
    .needs = needs,
    .create = create,
    .whoami = whoami,
    .read = cs_dyn_read,
    .find = cs_dyn_find,
    .write = cs_dyn_write,
    .check = check,
    .token_url = token_url,
    .link = link_of,
    .describe = cs_dyn_describe,
    .notice = cs_dyn_notice,
    .changes = cs_dyn_changes,
    .examine = cs_dyn_examine,
};
