#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/counter.h"
#include "../../base/json.h"

/* A session's life is not told: it ends with a 401. After this it is renewed anyway, at four fifths
 * of the time given. */
#define SESSION_LIFE apr_time_from_sec(15 * 3600)
#define LOGIN "https://login.salesforce.com"
#define TEST_LOGIN "https://test.salesforce.com"

/* ---- signing in ---- */

static const char *token_url(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    const char *origin = cfg->url ? cs_http_origin(cfg->url, p) : NULL;

    if (cfg->token_url) {
        return cfg->token_url;
    }
    return apr_pstrcat(p, origin ? origin : "", "/services/oauth2/token", NULL);
}

static int ends_with(const char *text, const char *end)
{
    apr_size_t len = strlen(text), n = strlen(end);

    return len >= n && !strcmp(text + len - n, end);
}

const char *cs_sf_addressee(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    const char *at = cs_http_origin(token_url(cfg, p), p), *url = cs_http_origin(cfg->url, p);

    if (!at || strncmp(at, "https://", 8) || !ends_with(at, ".salesforce.com")) {
        return at ? at : "";
    }
    return !strcmp(at, TEST_LOGIN) || strstr(at, ".sandbox.") || (url && strstr(url, ".sandbox."))
               ? TEST_LOGIN
               : LOGIN;
}

static apr_status_t create(cs_crm_t **pcrm, const cs_crm_config_t *cfg, cs_http_t *http,
                           cs_limiter_t *limiter, cs_limiter_t *login_limiter, apr_pool_t *p)
{
    cs_crm_t *crm = apr_pcalloc(p, sizeof(*crm));
    cs_token_config_t tc = {0};

    crm->origin = cs_http_origin(cfg->url, p);
    if (!crm->origin) {
        return APR_EINVAL;
    }
    crm->cfg = *cfg;
    crm->http = http;
    crm->limiter = limiter;
    crm->p = p;
    crm->hidden = apr_hash_make(p);
    crm->said = apr_hash_make(p);
    tc.grant = cfg->client_secret ? CS_GRANT_CLIENT_CREDENTIALS : CS_GRANT_JWT_BEARER;
    tc.url = token_url(cfg, p);
    tc.audience = crm->origin;
    tc.client_id = cfg->client_id;
    tc.client_secret = cfg->client_secret;
    tc.key = cfg->key;
    tc.rs256 = 1;
    tc.user = cfg->user;
    tc.addressee = cs_sf_addressee(cfg, p);
    tc.bare = 1;
    tc.life = SESSION_LIFE;
    tc.instance = crm->origin;
    tc.hopeless = cs_sf_hopeless;
    tc.upstream = cfg->login;
    *pcrm = crm;
    return cs_token_create(&crm->token, &tc, http, login_limiter, p);
}

/* ---- the probe ---- */

/* {"DailyApiRequests": {"Max": 100000, "Remaining": 99321}}: newer than what the header says. */
static void take_limits(cs_crm_t *crm, const json_t *limits)
{
    const json_t *daily = cs_json_get(limits, "DailyApiRequests");
    apr_int64_t most = cs_json_int(daily, "Max", 0), left = cs_json_int(daily, "Remaining", -1);

    if (most > 0 && left >= 0 && left <= most) {
        cs_sf_quota_set(crm, most - left, most);
    }
}

static apr_status_t whoami(cs_crm_t *crm, cs_crm_whoami_t *who, apr_interval_time_t deadline,
                           apr_pool_t *p, cs_result_t *res)
{
    cs_sf_call_t call = {
        .kind = CS_SF_READ, .method = "GET", .path = "limits", .label = "GET limits", .probe = 1};

    memset(who, 0, sizeof(*who));
    cs_sf_send(crm, &call, 1, deadline, p);
    if (call.result.cls == CS_CLASS_GONE) {
        call.result.cls = CS_CLASS_SUSPEND;
    }
    if (call.result.cls == CS_CLASS_OK && !json_is_object(call.json)) {
        cs_sf_unreadable(&call, "this is not a list of limits", p);
    }
    *res = call.result;
    if (res->cls != CS_CLASS_OK) {
        return res->rv;
    }
    take_limits(crm, call.json);
    who->organization = cs_sf_organization(crm, p);
    who->user = cs_sf_user(crm, p);
    if (!who->organization || !who->user) {
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_SUSPEND, "salesforce:answer",
                             "%s: the session names no organisation or user", crm->cfg.url);
    }
    /* The day's requests come back by and by: until there are some, the probe says that too. */
    return cs_sf_quota_over(crm, res, p) ? res->rv : APR_SUCCESS;
}

/* The list of versions is shown without a session, so that it counts for no quota.
 * (crm-apis.md B2) */
static apr_status_t pulse(cs_crm_t *crm, apr_interval_time_t deadline, apr_pool_t *p,
                          cs_result_t *res)
{
    cs_http_request_t request = {.method = "GET", .label = "GET versions"};
    cs_http_response_t response;
    apr_status_t rv;

    cs_result_clear(res);
    request.url = apr_pstrcat(p, crm->origin, "/services/data/", NULL);
    request.headers = apr_table_make(p, 2);
    apr_table_setn(request.headers, "Accept", "application/json");
    apr_table_setn(request.headers, "Sforce-Call-Options", "client=mod_cosell");
    rv = cs_http_perform(crm->http, crm->cfg.upstream, crm->limiter, &request, &response, 1,
                         deadline, p);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "transport",
                             "no request could be sent to %s", crm->cfg.name);
    }
    cs_count(CS_COUNT_CALLS_CRM, (apr_uint64_t)response.calls);
    cs_http_classify(res, &response, &request, p);
    return res->rv;
}

/* ---- configuration ---- */

static int has_path(const char *url)
{
    const char *rest = strstr(url, "://");

    rest = rest ? strpbrk(rest + 3, "/?#") : NULL;
    return rest && strcmp(rest, "/") != 0;
}

/* A secret, or a key and the user that it speaks for. */
static const char *check_identity(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    if (cfg->client_secret && cfg->key) {
        return apr_psprintf(p,
                            "%s has client-secret= and key=; it signs in with one of them, not "
                            "both",
                            cfg->name);
    }
    if (!cfg->client_secret && !cfg->key) {
        return apr_psprintf(p,
                            "%s needs key=file:/path or key=exec:command and user=, or "
                            "client-secret=file:/path or client-secret=exec:command",
                            cfg->name);
    }
    if (cfg->key && !cfg->user) {
        return apr_psprintf(p,
                            "%s has key=%s but no user=, the name of the user that it speaks for",
                            cfg->name, cfg->key->ref);
    }
    if (cfg->client_secret && cfg->user) {
        return apr_psprintf(p,
                            "%s has client-secret= and user=\"%s\"; with a secret the connected "
                            "app says who its user is",
                            cfg->name, cfg->user);
    }
    return NULL;
}

static int is_organization(const char *text, apr_pool_t *p)
{
    return !strncmp(text, "00D", 3) && cs_sf_id(text, p);
}

static const char *check_login(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    const char *at = cs_http_origin(token_url(cfg, p), p);

    if (cfg->client_secret && at && (!strcmp(at, LOGIN) || !strcmp(at, TEST_LOGIN))) {
        return apr_psprintf(p,
                            "token-url=\"%s\": with a client-secret= Salesforce signs in at the "
                            "organisation's own address only",
                            cfg->token_url);
    }
    return NULL;
}

static const char *check(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    const char *origin = cfg->url ? cs_http_origin(cfg->url, p) : NULL, *wrong;

    if (!origin || has_path(cfg->url)) {
        return apr_psprintf(p,
                            "\"%s\" is not the address of an organisation; give its My Domain as "
                            "https://organisation.my.salesforce.com",
                            cfg->url ? cfg->url : "");
    }
    if (!strcmp(origin, LOGIN) || !strcmp(origin, TEST_LOGIN)) {
        return apr_psprintf(p,
                            "\"%s\" is where people sign in and has no API; give the "
                            "organisation's My Domain as https://organisation.my.salesforce.com",
                            cfg->url);
    }
    if (ends_with(origin, ".lightning.force.com")) {
        return apr_psprintf(p,
                            "\"%s\" is the address of pages; the API is at "
                            "https://organisation.my.salesforce.com",
                            cfg->url);
    }
    if (!cfg->client_id || !*cfg->client_id) {
        return apr_psprintf(p, "%s needs client-id=, the consumer key of its connected app",
                            cfg->name);
    }
    wrong = check_identity(cfg, p);
    wrong = wrong ? wrong : check_login(cfg, p);
    if (wrong) {
        return wrong;
    }
    if (cfg->organization && !is_organization(cfg->organization, p)) {
        return apr_psprintf(p,
                            "organization=\"%s\" is not the id of an organisation, 15 or 18 "
                            "characters that begin with 00D",
                            cfg->organization);
    }
    return NULL;
}

static const char *link_of(const cs_crm_config_t *cfg, const char *table, const char *id,
                           apr_pool_t *p)
{
    const char *origin = cs_http_origin(cfg->url, p);

    id = cs_sf_id(id, p);
    if (!origin || !id || !cs_sf_name_valid(table)) {
        return NULL;
    }
    return apr_pstrcat(p, origin, "/lightning/r/", table, "/", id, "/view", NULL);
}

static const char *const takes[] = {"mapping",      "client-id", "client-secret",  "key", "user",
                                    "organization", "token-url", "webhook-secret", NULL};
static const char *const needs[] = {"mapping", "client-id", NULL};
static const char *const media_types[] = {"application/json", "text/xml", NULL};

const cs_crm_impl_t cs_salesforce_impl = {
    .facts = &cs_salesforce_facts,
    .takes = takes,
    .needs = needs,
    .create = create,
    .whoami = whoami,
    .pulse = pulse,
    .read = cs_sf_read,
    .find = cs_sf_find,
    .write = cs_sf_write,
    .check = check,
    .token_url = token_url,
    .link = link_of,
    .describe = cs_sf_describe,
    .notice = cs_sf_notice,
    .changes = cs_sf_changes,
    .media_types = media_types,
    .acknowledge = cs_sf_acknowledge,
    .usage = cs_sf_usage,
    .examine = cs_sf_examine,
};
