#include "access.h"
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/counter.h"
#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/time.h"

#define DEFAULT_URL "https://api.partner.microsoft.com"
#define PATH "/v1.0/engagements/referrals"

/* A page of 100 referrals of some hundred values each. */
static const cs_json_limits_t answer_limits = {4 * 1024 * 1024, 100000, 32};

/* ---- creation ---- */

apr_status_t cs_pc_create(cs_pc_t **ppc, const cs_pc_config_t *cfg, const cs_vault_t *vault,
                          cs_http_t *http, cs_limiter_t *limiter, cs_limiter_t *login_limiter,
                          apr_pool_t *p)
{
    cs_pc_t *pc = apr_pcalloc(p, sizeof(*pc));
    const char *url = cfg->referrals_url ? cfg->referrals_url : DEFAULT_URL;
    const char *audience =
        cfg->token_audience ? cfg->token_audience : cs_pc_audience(url, DEFAULT_URL, p);

    pc->cfg = *cfg;
    pc->http = http;
    pc->limiter = limiter;
    pc->base = cs_pc_base(url, PATH, p);
    *ppc = pc;
    return cs_pc_token(&pc->token, cfg, audience, vault, http, login_limiter, p);
}

/* ---- documents ---- */

static const char *guid_text(const char *text, apr_pool_t *p)
{
    return text ? cs_uuid_lower(text, strlen(text), p) : NULL;
}

const char *cs_pc_member(const json_t *doc, const char *name)
{
    return json_string_value(cs_json_get_nocase(doc, name));
}

cs_card_t *cs_pc_card_of(json_t *doc, apr_pool_t *p)
{
    const char *id = guid_text(cs_pc_member(doc, "id"), p);
    const char *organization, *updated;
    cs_card_t *card;

    if (!id) {
        return NULL;
    }
    card = apr_pcalloc(p, sizeof(*card));
    card->id = id;
    card->engagement_id = guid_text(cs_pc_member(doc, "engagementId"), p);
    organization = cs_pc_member(doc, "organizationId");
    card->organization_id = guid_text(organization, p);
    if (!card->organization_id && organization && !strcasecmp(organization, "msft")) {
        card->organization_id = "msft";
    }
    card->etag = apr_pstrdup(p, cs_pc_member(doc, "eTag"));
    updated = cs_pc_member(doc, "updatedDateTime");
    if (!updated || cs_time_parse(&card->updated, updated) != APR_SUCCESS) {
        card->updated = 0;
    }
    card->doc = cs_json_own(json_incref(doc), p);
    return card;
}

/* ---- requests ---- */

void cs_pc_request(cs_http_request_t *request, const char *method, const char *url,
                   const char *label, const char *id, apr_pool_t *p)
{
    memset(request, 0, sizeof(*request));
    id = id ? id : cs_uuid4(p);
    request->method = method;
    request->url = url;
    request->headers = apr_table_make(p, 8);
    apr_table_setn(request->headers, "Accept", "application/json");
    apr_table_setn(request->headers, "Accept-Encoding", "gzip");
    apr_table_setn(request->headers, "client-request-id", id);
    apr_table_setn(request->headers, "MS-CorrelationId", id);
    request->label = label;
}

apr_status_t cs_pc_perform(cs_pc_t *pc, cs_http_request_t *requests, cs_http_response_t *responses,
                           int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    return cs_token_perform(pc->token, pc->http, pc->cfg.upstream, pc->limiter, requests, responses,
                            n, deadline, p);
}

void cs_pc_note(int *pcalls, apr_interval_time_t *ptook, const char **pcorrelation,
                const cs_http_response_t *response)
{
    *pcalls += response->calls;
    *ptook += response->took;
    if (response->correlation) {
        *pcorrelation = response->correlation;
    }
    cs_count(CS_COUNT_CALLS_PARTNER_CENTER, (apr_uint64_t)response->calls);
}

int cs_pc_check_id(const char *id, cs_result_t *res, apr_pool_t *p)
{
    if (id && cs_uuid_valid(id, strlen(id))) {
        return 1;
    }
    cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "pc:id", "\"%.80s\" is not a GUID",
                  id ? id : "");
    return 0;
}

void cs_pc_nothing_sent(cs_result_t *res, apr_status_t rv, apr_pool_t *p)
{
    cs_result_set(res, p, rv, CS_CLASS_RETRY, "transport",
                  "no request could be sent to Partner Center");
}

/* ---- answers ---- */

void cs_pc_unreadable(cs_result_t *res, cs_class_e cls, const cs_http_response_t *response,
                      const cs_http_request_t *request, const char *why, apr_pool_t *p)
{
    cs_result_set(res, p, CS_EPARSE, cls, "pc:answer", "%s",
                  cs_http_describe(response, request, why, p));
    res->correlation = response->correlation;
}

json_t *cs_pc_object(cs_result_t *res, cs_class_e cls, const cs_http_response_t *response,
                     const cs_http_request_t *request, apr_pool_t *p)
{
    cs_result_t why = {0};
    json_t *json = NULL;

    if (cs_json_parse(&json, response->body, response->body_len, &answer_limits, p, &why) !=
        APR_SUCCESS) {
        cs_pc_unreadable(res, cls, response, request, why.detail, p);
        return NULL;
    }
    if (!json_is_object(json)) {
        cs_pc_unreadable(res, cls, response, request, "the answer is not a JSON object", p);
        json_decref(json);
        return NULL;
    }
    return cs_json_own(json, p);
}

json_t *cs_pc_read_object(cs_result_t *res, const cs_http_response_t *response,
                          const cs_http_request_t *request, apr_pool_t *p)
{
    if (response->status != 200) {
        cs_pc_unreadable(res, CS_CLASS_RETRY, response, request, "200 was expected", p);
        return NULL;
    }
    return cs_pc_object(res, CS_CLASS_RETRY, response, request, p);
}

/* A 403 for one referral may be about the account or about that referral, a counterpart's perhaps.
 * Another answer of this call tells, else the list does: while those are given it is the referral,
 * and the site must not wait for it. */
void cs_pc_judge_forbidden(cs_pc_t *pc, cs_result_t **results, const cs_http_response_t *responses,
                           int m, apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_result_t probe = {0};
    int i, forbidden = 0, allowed = 0;

    for (i = 0; i < m; i++) {
        if (responses[i].outcome == CS_HTTP_ANSWERED && !responses[i].failure) {
            forbidden += responses[i].status == 403;
            allowed += responses[i].status >= 200 && responses[i].status < 300;
        }
    }
    if (!forbidden || (!allowed && cs_pc_probe(pc, deadline, p, &probe) != APR_SUCCESS)) {
        return;
    }
    for (i = 0; i < m; i++) {
        if (responses[i].status == 403 && results[i]->cls == CS_CLASS_SUSPEND) {
            results[i]->cls = CS_CLASS_REFUSED;
        }
    }
}

/* ---- get ---- */

static void take_card(cs_pc_read_t *read, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    json_t *doc;

    cs_pc_note(&read->calls, &read->took, &read->correlation, response);
    cs_pc_classify(&read->result, response, request, CS_PC_READ, NULL, p);
    if (read->result.cls != CS_CLASS_OK ||
        !(doc = cs_pc_read_object(&read->result, response, request, p))) {
        return;
    }
    read->card = cs_pc_card_of(doc, p);
    if (!read->card || strcasecmp(read->card->id, read->id)) {
        read->card = NULL;
        cs_pc_unreadable(&read->result, CS_CLASS_RETRY, response, request,
                         "the answer is not the referral that was asked for", p);
        return;
    }
    if (!read->card->etag) {
        read->card->etag = apr_pstrdup(p, apr_table_get(response->headers, "ETag"));
    }
}

void cs_pc_read_reset(cs_pc_read_t *read)
{
    read->card = NULL;
    read->cards = NULL;
    read->calls = 0;
    read->took = 0;
    read->correlation = NULL;
    cs_result_clear(&read->result);
}

apr_status_t cs_pc_get(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline,
                       apr_pool_t *p)
{
    cs_http_request_t *requests = apr_pcalloc(p, sizeof(*requests) * (apr_size_t)(n + 1));
    cs_http_response_t *responses = apr_pcalloc(p, sizeof(*responses) * (apr_size_t)(n + 1));
    cs_pc_read_t **of = apr_pcalloc(p, sizeof(*of) * (apr_size_t)(n + 1));
    cs_result_t **results = apr_pcalloc(p, sizeof(*results) * (apr_size_t)(n + 1));
    apr_status_t rv;
    int i, m = 0;

    for (i = 0; i < n; i++) {
        cs_pc_read_reset(&reads[i]);
        if (cs_pc_check_id(reads[i].id, &reads[i].result, p)) {
            cs_pc_request(&requests[m], "GET", apr_pstrcat(p, pc->base, "/", reads[i].id, NULL),
                          apr_pstrcat(p, "GET referral ", reads[i].id, NULL), NULL, p);
            requests[m].trace = reads[i].trace;
            results[m] = &reads[i].result;
            of[m++] = &reads[i];
        }
    }
    rv = cs_pc_perform(pc, requests, responses, m, deadline, p);
    for (i = 0; i < m; i++) {
        if (rv == APR_SUCCESS) {
            take_card(of[i], &responses[i], &requests[i], p);
        }
        else {
            cs_pc_nothing_sent(results[i], rv, p);
        }
    }
    if (rv == APR_SUCCESS) {
        cs_pc_judge_forbidden(pc, results, responses, m, deadline, p);
    }
    return rv;
}

/* ---- probe ---- */

apr_status_t cs_pc_probe(cs_pc_t *pc, apr_interval_time_t deadline, apr_pool_t *ptemp,
                         cs_result_t *res)
{
    cs_http_request_t request;
    cs_http_response_t response;
    apr_status_t rv;

    cs_pc_request(&request, "GET", apr_pstrcat(ptemp, pc->base, "?$top=1", NULL),
                  "probe of Partner Center", NULL, ptemp);
    cs_result_clear(res);
    rv = cs_pc_perform(pc, &request, &response, 1, deadline, ptemp);
    if (rv != APR_SUCCESS) {
        cs_pc_nothing_sent(res, rv, ptemp);
        return rv;
    }
    cs_count(CS_COUNT_CALLS_PARTNER_CENTER, (apr_uint64_t)response.calls);
    cs_pc_classify(res, &response, &request, CS_PC_READ, NULL, ptemp);
    if (res->cls == CS_CLASS_OK) {
        cs_pc_read_object(res, &response, &request, ptemp);
    }
    return res->rv;
}
