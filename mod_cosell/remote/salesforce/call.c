/* Calls: token, headers, quota, answers. (crm-apis.md B1, B2, B9) */
#include "client.h"

#include <apr_date.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/counter.h"
#include "../../base/json.h"
#include "../../base/time.h"
#include "../limiter.h"

#define MAX_ANSWER ((apr_size_t)32 * 1024 * 1024)
#define MAX_NEXT 2000

static const cs_json_limits_t answer_limits = {32 * 1024 * 1024, 400000, 32};

/* ---- who we are ---- */

/* The n-th part from the end of "https://login.salesforce.com/id/00D.../005...". */
static const char *identity_part(const cs_crm_t *crm, int from_end, apr_pool_t *p)
{
    const char *identity = cs_token_identity(crm->token), *slash;
    char *copy = apr_pstrdup(p, identity ? identity : "");
    char *at = NULL;

    while (from_end-- > 0) {
        at = strrchr(copy, '/');
        if (!at) {
            return NULL;
        }
        slash = at + 1;
        if (!from_end) {
            return cs_sf_id(slash, p);
        }
        *at = '\0';
    }
    return NULL;
}

const char *cs_sf_user(const cs_crm_t *crm, apr_pool_t *p)
{
    return identity_part(crm, 1, p);
}

const char *cs_sf_organization(const cs_crm_t *crm, apr_pool_t *p)
{
    return identity_part(crm, 2, p);
}

/* A copied sandbox answers under an address that was another's: nothing must be written there. */
static apr_status_t check_organization(const cs_crm_t *crm, apr_pool_t *p, cs_result_t *res)
{
    const char *is = cs_sf_organization(crm, p), *pinned = cs_sf_id(crm->cfg.organization, p);

    if (!crm->cfg.organization || (is && pinned && !strcmp(is, pinned))) {
        return APR_SUCCESS;
    }
    return cs_result_set(res, p, CS_EREMOTE, CS_CLASS_SUSPEND, "config:organization",
                         "%s is the organisation %s, but %s was expected", crm->cfg.url,
                         is ? is : "(not named)", crm->cfg.organization);
}

/* ---- requests ---- */

static int is_get(const cs_sf_call_t *call)
{
    return !strcmp(call->method, "GET");
}

void cs_sf_request(const cs_crm_t *crm, const cs_sf_call_t *call, cs_http_request_t *request,
                   apr_pool_t *p)
{
    apr_table_t *headers = apr_table_make(p, 10);

    memset(request, 0, sizeof(*request));
    request->method = call->method;
    request->url =
        apr_pstrcat(p, crm->origin, *call->path == '/' ? "" : CS_SF_BASE, call->path, NULL);
    request->label = call->label ? call->label : call->method;
    request->write = call->kind != CS_SF_READ;
    request->headers = headers;
    request->max_response = MAX_ANSWER;
    apr_table_setn(headers, "Accept", "application/json");
    apr_table_setn(headers, "Sforce-Call-Options", "client=mod_cosell");
    apr_table_setn(headers, "Sforce-Mru", "updateMru=false");
    if (is_get(call)) {
        apr_table_setn(headers, "Accept-Encoding", "gzip");
    }
    if (request->write) {
        /* Whose row it is, is decided by the mapping and not by an assignment rule. */
        apr_table_setn(headers, "Sforce-Auto-Assign", "FALSE");
    }
    if (call->unmodified) {
        apr_table_setn(headers, "If-Unmodified-Since", call->unmodified);
    }
    if (call->modified) {
        apr_table_setn(headers, "If-Modified-Since", call->modified);
    }
    if (call->body) {
        apr_table_setn(headers, "Content-Type", "application/json; charset=UTF-8");
        request->body = call->body;
        request->body_len = strlen(call->body);
    }
}

static void clear_out(cs_sf_call_t *call, apr_pool_t *p)
{
    call->status = 0;
    call->json = NULL;
    call->date = 0;
    call->reason = "";
    call->headers = apr_table_make(p, 1);
    call->calls = 0;
    call->took = 0;
    call->correlation = NULL;
    cs_result_clear(&call->result);
}

static void fail_all(cs_sf_call_t *calls, int n, const cs_result_t *why, apr_pool_t *p)
{
    int i;

    for (i = 0; i < n; i++) {
        clear_out(&calls[i], p);
        cs_result_copy(&calls[i].result, why, p);
    }
}

static int all_probes(const cs_sf_call_t *calls, int n)
{
    int i;

    for (i = 0; i < n && calls[i].probe; i++)
        ;
    return i == n;
}

int cs_sf_may_send(cs_crm_t *crm, cs_sf_call_t *calls, int n, apr_interval_time_t deadline,
                   apr_pool_t *p)
{
    cs_result_t why = {0};
    const char *bearer;

    if ((!all_probes(calls, n) && cs_sf_quota_over(crm, &why, p)) ||
        cs_token_get(crm->token, &bearer, deadline, p, &why) != APR_SUCCESS ||
        check_organization(crm, p, &why) != APR_SUCCESS) {
        fail_all(calls, n, &why, p);
        return 0;
    }
    return 1;
}

apr_status_t cs_sf_perform(cs_crm_t *crm, cs_http_request_t *requests,
                           cs_http_response_t *responses, int n, apr_interval_time_t deadline,
                           apr_pool_t *p)
{
    apr_status_t rv = cs_token_perform(crm->token, crm->http, crm->cfg.upstream, crm->limiter,
                                       requests, responses, n, deadline, p);
    int i;

    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        cs_count(CS_COUNT_CALLS_CRM, (apr_uint64_t)responses[i].calls);
        cs_sf_quota_take(crm, responses[i].headers);
    }
    return rv;
}

/* ---- answers ---- */

json_t *cs_sf_json(const cs_http_response_t *response, apr_pool_t *p, cs_result_t *why)
{
    json_t *json = NULL;

    cs_result_clear(why);
    if (!response->body_len || cs_json_parse(&json, response->body, response->body_len,
                                             &answer_limits, p, why) != APR_SUCCESS) {
        return NULL;
    }
    return cs_json_own(json, p);
}

void cs_sf_unreadable(cs_sf_call_t *call, const char *why, apr_pool_t *p)
{
    cs_result_set(&call->result, p, CS_EPARSE,
                  call->kind == CS_SF_READ ? CS_CLASS_RETRY : CS_CLASS_UNKNOWN, "salesforce:answer",
                  "%s: answered %d: %s", call->label ? call->label : call->method, call->status,
                  why);
    call->result.correlation = call->correlation;
}

static apr_time_t date_of(const cs_http_response_t *response)
{
    const char *text = apr_table_get(response->headers, "Date");
    apr_time_t date = text ? apr_date_parse_http(text) : APR_DATE_BAD;

    return date == APR_DATE_BAD ? cs_time_now() : date;
}

/* What concerns all calls and not only this one. */
static void learn(cs_crm_t *crm, const cs_result_t *res)
{
    apr_time_t now = cs_time_now();

    if (!res->problem) {
        return;
    }
    if (!strcmp(res->problem, "quota:daily") && crm->usage.most > 0 &&
        crm->usage.used < crm->usage.most) {
        cs_sf_quota_set(crm, crm->usage.most, crm->usage.most);
    }
    /* Once for all calls of a composite. */
    if (res->cls == CS_CLASS_THROTTLED && !strcmp(res->problem, "throttled") &&
        res->retry_at > now && !cs_limiter_paused(crm->limiter, now)) {
        cs_limiter_throttled(crm->limiter, now, res->retry_at - now);
    }
}

/* Rows that are gone are absent from the answer to a query. One that has no address at all is a
 * version of the API that was retired, or a page that is not kept any more. */
static void judge_missing(cs_result_t *res, const char *path)
{
    res->cls = *path == '/' ? CS_CLASS_RETRY : CS_CLASS_SUSPEND;
    res->problem = *path == '/' ? res->problem : "config:version";
}

void cs_sf_take(cs_crm_t *crm, cs_sf_call_t *call, const cs_http_request_t *request,
                const cs_http_response_t *response, json_t *body, apr_pool_t *p)
{
    cs_result_t why = {0};
    int answered = response->outcome == CS_HTTP_ANSWERED && !response->failure;

    call->status = response->status;
    call->reason = response->reason;
    call->headers = response->headers;
    call->calls = response->calls;
    call->took = response->took;
    call->correlation = response->correlation;
    call->date = date_of(response);
    call->json = body ? body : answered ? cs_sf_json(response, p, &why) : NULL;
    cs_sf_classify(&call->result, response, request, call->json, call->kind, p);
    if (call->result.cls == CS_CLASS_OK && why.detail) {
        cs_sf_unreadable(call, why.detail, p);
    }
    if (call->query && call->result.cls == CS_CLASS_GONE) {
        judge_missing(&call->result, call->path);
    }
    learn(crm, &call->result);
}

apr_status_t cs_sf_send(cs_crm_t *crm, cs_sf_call_t *calls, int n, apr_interval_time_t deadline,
                        apr_pool_t *p)
{
    cs_http_request_t *requests = apr_pcalloc(p, sizeof(*requests) * (apr_size_t)(n + 1));
    cs_http_response_t *responses = apr_pcalloc(p, sizeof(*responses) * (apr_size_t)(n + 1));
    cs_result_t why = {0};
    apr_status_t rv;
    int i;

    if (n <= 0 || !cs_sf_may_send(crm, calls, n, deadline, p)) {
        return APR_SUCCESS;
    }
    for (i = 0; i < n; i++) {
        clear_out(&calls[i], p);
        cs_sf_request(crm, &calls[i], &requests[i], p);
    }
    rv = cs_sf_perform(crm, requests, responses, n, deadline, p);
    if (rv != APR_SUCCESS) {
        cs_result_set(&why, p, rv, CS_CLASS_RETRY, "transport", "no request could be sent to %s",
                      crm->cfg.name);
        fail_all(calls, n, &why, p);
        return rv;
    }
    for (i = 0; i < n; i++) {
        cs_sf_take(crm, &calls[i], &requests[i], &responses[i], NULL, p);
    }
    return APR_SUCCESS;
}

/* ---- queries ---- */

apr_status_t cs_sf_query(cs_sf_call_t *call, const char *soql, const char *label, apr_pool_t *p,
                         cs_result_t *res)
{
    memset(call, 0, sizeof(*call));
    call->kind = CS_SF_READ;
    call->method = "GET";
    call->path = apr_pstrcat(p, "query?q=", cs_http_escape(soql, p), NULL);
    call->label = label;
    call->query = 1;
    if (strlen(call->path) + sizeof(CS_SF_BASE) > CS_SF_MAX_PATH) {
        return cs_result_set(res, p, CS_ELIMIT, CS_CLASS_DATA, "salesforce:query",
                             "%s: the query is too long (%" APR_SIZE_T_FMT
                             " bytes, %d are allowed)",
                             label, strlen(call->path), CS_SF_MAX_PATH);
    }
    return APR_SUCCESS;
}

int cs_sf_is_page(const char *path)
{
    static const char base[] = "/services/data/v";
    apr_size_t len = strlen(path), i;

    if (len > MAX_NEXT || strncmp(path, base, sizeof(base) - 1) || strstr(path, "..")) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        if ((unsigned char)path[i] <= 0x20 || (unsigned char)path[i] >= 0x7f || path[i] == '#') {
            return 0;
        }
    }
    return 1;
}

const json_t *cs_sf_rows(cs_sf_call_t *call, const char **pnext, apr_pool_t *p)
{
    const json_t *records = cs_json_get(call->json, "records");
    const char *next = cs_json_str(call->json, "nextRecordsUrl");
    int done = cs_json_bool(call->json, "done", 1);

    *pnext = NULL;
    if (!json_is_array(records)) {
        cs_sf_unreadable(call, "this is not a list of rows", p);
        return NULL;
    }
    if (!done && (!next || !cs_sf_is_page(next))) {
        cs_sf_unreadable(call, "the next page has no usable address", p);
        return NULL;
    }
    *pnext = done ? NULL : apr_pstrdup(p, next);
    return records;
}

int cs_sf_is_passing(const cs_sf_call_t *call)
{
    const cs_result_t *res = &call->result;

    return !call->status || call->status == 401 || res->cls == CS_CLASS_RETRY ||
           res->cls == CS_CLASS_THROTTLED || res->cls == CS_CLASS_TOKEN ||
           res->cls == CS_CLASS_UNKNOWN ||
           (res->problem && !strncmp(res->problem, "quota:", sizeof("quota:") - 1));
}
