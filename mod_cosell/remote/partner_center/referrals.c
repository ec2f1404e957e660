#include "partner_center.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/counter.h"
#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/time.h"

#define DEFAULT_URL "https://api.partner.microsoft.com"
#define PATH "/v1.0/engagements/referrals"
#define GUID_LEN 36
#define MAX_PAGES 5
#define MAX_TOKEN 4096

/* A page of 100 referrals of some hundred values each. */
static const cs_json_limits_t answer_limits = {4 * 1024 * 1024, 100000, 32};

struct cs_pc_t {
    cs_pc_config_t cfg;
    cs_token_t *token;
    cs_http_t *http;
    cs_limiter_t *limiter;
    const char *base; /* without a trailing slash: ".../v1.0/engagements/referrals" */
};

/* ---- creation ---- */

/* http is allowed for loopback alone, where only a simulator can listen. */
static const char *audience_of(const cs_pc_config_t *cfg, const char *url, apr_pool_t *p)
{
    const char *origin = cs_http_origin(url, p);

    if (cfg->token_audience) {
        return cfg->token_audience;
    }
    return !origin || !strncmp(origin, "http:", 5) || strstr(origin, "://127.") ||
                   strstr(origin, "://localhost") || strstr(origin, "://[::1]")
               ? DEFAULT_URL
               : origin;
}

/* The path is ours; an address that already ends in it is taken as it is. */
static const char *base_of(const char *url, apr_pool_t *p)
{
    apr_size_t len = strlen(url), n = sizeof(PATH) - 1;

    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    url = apr_pstrmemdup(p, url, len);
    return len > n && !strcmp(url + len - n, PATH) ? url : apr_pstrcat(p, url, PATH, NULL);
}

apr_status_t cs_pc_create(cs_pc_t **ppc, const cs_pc_config_t *cfg, const cs_vault_t *vault,
                          cs_http_t *http, cs_limiter_t *limiter, cs_limiter_t *login_limiter,
                          apr_pool_t *p)
{
    cs_pc_t *pc = apr_pcalloc(p, sizeof(*pc));
    const char *url = cfg->referrals_url ? cfg->referrals_url : DEFAULT_URL;
    cs_token_config_t tc = {0};

    pc->cfg = *cfg;
    pc->http = http;
    pc->limiter = limiter;
    pc->base = base_of(url, p);
    tc.grant = CS_GRANT_REFRESH_TOKEN;
    tc.url = cfg->token_url ? cfg->token_url
                            : apr_pstrcat(p, "https://login.microsoftonline.com/",
                                          cs_http_escape(cfg->tenant ? cfg->tenant : "", p),
                                          "/oauth2/v2.0/token", NULL);
    tc.audience = audience_of(cfg, url, p);
    tc.client_id = cfg->client_id;
    tc.client_secret = cfg->client_secret;
    tc.refresh_seed = cfg->refresh_token;
    tc.vault = vault;
    tc.upstream = cfg->login;
    *ppc = pc;
    return cs_token_create(&pc->token, &tc, http, login_limiter, p);
}

/* ---- documents ---- */

static const char *guid_text(const char *text, apr_pool_t *p)
{
    char *out;

    if (!text || !cs_uuid_valid(text, strlen(text))) {
        return NULL;
    }
    out = apr_pstrdup(p, text);
    for (char *c = out; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    return out;
}

static const char *member(const json_t *doc, const char *name)
{
    return json_string_value(cs_json_get_nocase(doc, name));
}

cs_card_t *cs_pc_card_of(json_t *doc, apr_pool_t *p)
{
    const char *id = guid_text(member(doc, "id"), p);
    const char *organization, *updated;
    cs_card_t *card;

    if (!id) {
        return NULL;
    }
    card = apr_pcalloc(p, sizeof(*card));
    card->id = id;
    card->engagement_id = guid_text(member(doc, "engagementId"), p);
    organization = member(doc, "organizationId");
    card->organization_id = guid_text(organization, p);
    if (!card->organization_id && organization && !strcasecmp(organization, "msft")) {
        card->organization_id = "msft";
    }
    card->etag = apr_pstrdup(p, member(doc, "eTag"));
    updated = member(doc, "updatedDateTime");
    if (!updated || cs_time_parse(&card->updated, updated) != APR_SUCCESS) {
        card->updated = 0;
    }
    card->doc = cs_json_own(json_incref(doc), p);
    return card;
}

/* ---- errors ---- */

/* {"error":{"code","message"}}, {"code","description"} or {"statusCode","message"}; anything else
 * says nothing. */
static void read_error(const cs_http_response_t *response, const char **pcode,
                       const char **pmessage, apr_pool_t *p)
{
    cs_result_t unread = {0};
    const json_t *error;
    json_t *json = NULL, *code;

    *pcode = *pmessage = NULL;
    if (!response->body_len ||
        cs_json_parse(&json, response->body, response->body_len, NULL, p, &unread) != APR_SUCCESS) {
        return;
    }
    error = cs_json_get_nocase(json, "error");
    error = json_is_object(error) ? error : json;
    code = cs_json_get_nocase(error, "code");
    *pcode = json_is_integer(code)
                 ? apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(code))
                 : apr_pstrdup(p, json_string_value(code));
    *pmessage = apr_pstrdup(p, member(error, "message") ? member(error, "message")
                                                        : member(error, "description"));
    json_decref(json);
}

static int lacks_mfa(const cs_http_response_t *response, const char *code, const char *message)
{
    return (code && !strcmp(code, "900421")) || strstr(response->reason, "MFA required") ||
           (message && strstr(message, "MFA required"));
}

/* What a status means here and not everywhere. (partner-center-api.md 4.11) */
static cs_class_e class_of(const cs_http_response_t *response, cs_class_e general)
{
    switch (response->status) {
    case 401:
    case 403:
        return CS_CLASS_SUSPEND;
    case 405:
    case 406:
    case 411:
    case 413:
    case 415:
        return CS_CLASS_REFUSED;
    case 423:
        return CS_CLASS_CONFLICT;
    default:
        return general;
    }
}

static const char *problem_of(const cs_http_response_t *response, const char *code,
                              const char *message, apr_pool_t *p)
{
    if (response->status == 401) {
        return lacks_mfa(response, code, message) ? "pc:mfa" : "pc:unauthenticated";
    }
    /* The code goes into a stable word for grouping: only what looks like one. */
    if (code && *code && strlen(code) <= 40 &&
        strspn(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
            strlen(code)) {
        return apr_psprintf(p, "pc:%s", code);
    }
    return apr_psprintf(p, "http:%d", response->status);
}

static const char *advice_of(const cs_http_response_t *response, const char *problem)
{
    if (!strcmp(problem, "pc:mfa")) {
        return "; the account must sign in with multi-factor authentication";
    }
    if (response->status == 401) {
        return "; a fresh token was refused too";
    }
    return response->status == 403 ? "; the account needs the role Referrals admin" : "";
}

static void classify(cs_result_t *res, const cs_http_response_t *response,
                     const cs_http_request_t *request, apr_pool_t *p)
{
    const char *code, *message, *problem;
    apr_time_t retry_at;
    cs_class_e cls;

    cs_http_classify(res, response, request, p);
    if (response->failure || response->outcome != CS_HTTP_ANSWERED || res->cls == CS_CLASS_OK) {
        return;
    }
    read_error(response, &code, &message, p);
    cls = class_of(response, res->cls);
    problem = cls == CS_CLASS_THROTTLED ? "throttled" : problem_of(response, code, message, p);
    retry_at = res->retry_at;
    cs_result_set(res, p, CS_EREMOTE, cls, problem, "%s%s",
                  cs_http_describe(response, request, message, p), advice_of(response, problem));
    res->retry_at = retry_at;
    res->correlation = response->correlation;
}

/* A body that is not what it should be, on a read: it may be cut, so once more. */
static void unreadable(cs_result_t *res, const cs_http_response_t *response,
                       const cs_http_request_t *request, const char *why, apr_pool_t *p)
{
    cs_result_set(res, p, CS_EPARSE, CS_CLASS_RETRY, "pc:answer", "%s",
                  cs_http_describe(response, request, why, p));
    res->correlation = response->correlation;
}

/* A parsed body; NULL with the reason in res. */
static json_t *read_body(cs_result_t *res, const cs_http_response_t *response,
                         const cs_http_request_t *request, apr_pool_t *p)
{
    cs_result_t why = {0};
    json_t *json = NULL;

    if (response->status != 200) {
        unreadable(res, response, request, "200 was expected", p);
        return NULL;
    }
    if (cs_json_parse(&json, response->body, response->body_len, &answer_limits, p, &why) !=
        APR_SUCCESS) {
        unreadable(res, response, request, why.detail, p);
        return NULL;
    }
    if (!json_is_object(json)) {
        unreadable(res, response, request, "the answer is not a JSON object", p);
        json_decref(json);
        return NULL;
    }
    return cs_json_own(json, p);
}

/* ---- requests ---- */

static void make_request(cs_http_request_t *request, const char *url, const char *label,
                         apr_pool_t *p)
{
    const char *id = cs_uuid4(p);

    memset(request, 0, sizeof(*request));
    request->method = "GET";
    request->url = url;
    request->headers = apr_table_make(p, 6);
    apr_table_setn(request->headers, "Accept", "application/json");
    apr_table_setn(request->headers, "Accept-Encoding", "gzip");
    apr_table_setn(request->headers, "client-request-id", id);
    apr_table_setn(request->headers, "MS-CorrelationId", id);
    request->label = label;
}

static void note(cs_pc_read_t *read, const cs_http_response_t *response)
{
    read->calls += response->calls;
    read->took += response->took;
    if (response->correlation) {
        read->correlation = response->correlation;
    }
    cs_count(CS_COUNT_CALLS_PARTNER_CENTER, (apr_uint64_t)response->calls);
}

static void reset(cs_pc_read_t *read)
{
    read->card = NULL;
    read->cards = NULL;
    read->calls = 0;
    read->took = 0;
    read->correlation = NULL;
    cs_result_clear(&read->result);
}

static int check_id(cs_pc_read_t *read, apr_pool_t *p)
{
    if (read->id && cs_uuid_valid(read->id, strlen(read->id))) {
        return 1;
    }
    cs_result_set(&read->result, p, APR_EINVAL, CS_CLASS_REFUSED, "pc:id",
                  "\"%.80s\" is not a GUID", read->id ? read->id : "");
    return 0;
}

static void nothing_sent(cs_result_t *res, apr_status_t rv, apr_pool_t *p)
{
    cs_result_set(res, p, rv, CS_CLASS_RETRY, "transport",
                  "no request could be sent to Partner Center");
}

/* ---- get ---- */

static void take_card(cs_pc_read_t *read, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    json_t *doc;

    note(read, response);
    classify(&read->result, response, request, p);
    if (read->result.cls != CS_CLASS_OK ||
        !(doc = read_body(&read->result, response, request, p))) {
        return;
    }
    read->card = cs_pc_card_of(doc, p);
    if (!read->card || strcasecmp(read->card->id, read->id)) {
        read->card = NULL;
        unreadable(&read->result, response, request,
                   "the answer is not the referral that was asked for", p);
        return;
    }
    if (!read->card->etag) {
        read->card->etag = apr_pstrdup(p, apr_table_get(response->headers, "ETag"));
    }
}

/* A 403 for one referral may be about the account or about that referral, a counterpart's perhaps.
 * Another answer of this call tells, else the list does: while those are given it is the referral,
 * and the site must not wait for it. */
static void judge_forbidden(cs_pc_t *pc, cs_pc_read_t *reads, const cs_http_response_t *responses,
                            const int *of, int m, apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_result_t probe = {0};
    int i, forbidden = 0, allowed = 0;

    for (i = 0; i < m; i++) {
        if (responses[i].outcome == CS_HTTP_ANSWERED && !responses[i].failure) {
            forbidden += responses[i].status == 403;
            allowed += responses[i].status == 200;
        }
    }
    if (!forbidden ||
        (!allowed && cs_pc_probe(pc, deadline, p, &probe) != APR_SUCCESS)) {
        return;
    }
    for (i = 0; i < m; i++) {
        if (responses[i].status == 403 && reads[of[i]].result.cls == CS_CLASS_SUSPEND) {
            reads[of[i]].result.cls = CS_CLASS_REFUSED;
        }
    }
}

apr_status_t cs_pc_get(cs_pc_t *pc, cs_pc_read_t *reads, int n, apr_interval_time_t deadline,
                       apr_pool_t *p)
{
    cs_http_request_t *requests = apr_pcalloc(p, sizeof(*requests) * (apr_size_t)(n + 1));
    cs_http_response_t *responses = apr_pcalloc(p, sizeof(*responses) * (apr_size_t)(n + 1));
    int *of = apr_pcalloc(p, sizeof(*of) * (apr_size_t)(n + 1));
    apr_status_t rv;
    int i, m = 0;

    for (i = 0; i < n; i++) {
        reset(&reads[i]);
        if (check_id(&reads[i], p)) {
            make_request(&requests[m], apr_pstrcat(p, pc->base, "/", reads[i].id, NULL),
                         apr_pstrcat(p, "GET referral ", reads[i].id, NULL), p);
            of[m++] = i;
        }
    }
    rv = cs_token_perform(pc->token, pc->http, pc->cfg.upstream, pc->limiter, requests, responses,
                          m, deadline, p);
    for (i = 0; i < m; i++) {
        if (rv == APR_SUCCESS) {
            take_card(&reads[of[i]], &responses[i], &requests[i], p);
        }
        else {
            nothing_sent(&reads[of[i]].result, rv, p);
        }
    }
    if (rv == APR_SUCCESS) {
        judge_forbidden(pc, reads, responses, of, m, deadline, p);
    }
    return rv;
}

/* ---- list ---- */

/* Where one engagement's list stands between two rounds. */
typedef struct listing_t {
    cs_pc_read_t *read;
    const char *skip; /* escaped $skiptoken of the next page, NULL = first */
    int pages;
    int bare; /* the GUID without quotes: seen live, asked when the documented form is refused */
    int done;
} listing_t;

static int hex_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : apr_tolower(c) - 'a' + 10;
}

/* The link's host and path are known to be wrong at times: only its token is taken. NULL when it
 * has none. */
static const char *skiptoken_of(const char *link, apr_pool_t *p)
{
    const char *at = strchr(link, '?'), *end;
    char *out, *to;

    for (; at; at = strchr(at, '&')) {
        at++;
        if (!strncasecmp(at, "$skiptoken=", 11) || !strncasecmp(at, "%24skiptoken=", 13)) {
            break;
        }
    }
    if (!at) {
        return NULL;
    }
    at = strchr(at, '=') + 1;
    end = at + strcspn(at, "&#");
    if (end == at || end - at > MAX_TOKEN) {
        return NULL;
    }
    out = to = apr_palloc(p, (apr_size_t)(end - at) + 1);
    while (at < end) {
        if (*at == '%' && end - at > 2 && apr_isxdigit(at[1]) && apr_isxdigit(at[2])) {
            *to++ = (char)(hex_of(at[1]) * 16 + hex_of(at[2]));
            at += 3;
        }
        else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return *out ? cs_http_escape(out, p) : NULL;
}

static const char *list_url(const cs_pc_t *pc, const listing_t *l, apr_pool_t *p)
{
    const char *quote = l->bare ? "" : "%27";

    return apr_pstrcat(p, pc->base, "?$filter=engagementId%20eq%20", quote, l->read->id, quote,
                       l->skip ? "&$skiptoken=" : "", l->skip ? l->skip : "", NULL);
}

/* Appends the page's cards; 0 with the reason in why. A foreign card would mix two deals up. */
static int add_cards(cs_pc_read_t *read, const json_t *page, const char **pwhy, apr_pool_t *p)
{
    const json_t *value = cs_json_get_nocase(page, "value");
    cs_card_t *card;
    size_t i;

    *pwhy = "the answer holds no list of referrals";
    if (!json_is_array(value)) {
        return 0;
    }
    for (i = 0; i < json_array_size(value); i++) {
        card = cs_pc_card_of(json_array_get(value, i), p);
        if (!card) {
            return 0;
        }
        if (card->engagement_id && strcasecmp(card->engagement_id, read->id)) {
            *pwhy = "the answer holds a referral of another engagement";
            return 0;
        }
        APR_ARRAY_PUSH(read->cards, cs_card_t *) = card;
    }
    return 1;
}

static void take_page(listing_t *l, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    cs_pc_read_t *read = l->read;
    const char *why, *link;
    json_t *page;

    note(read, response);
    l->done = 1;
    classify(&read->result, response, request, p);
    if (response->outcome == CS_HTTP_ANSWERED && response->status == 400 && !l->bare &&
        l->pages == 0) {
        l->bare = 1;
        l->done = 0;
        return;
    }
    if (read->result.cls != CS_CLASS_OK ||
        !(page = read_body(&read->result, response, request, p))) {
        return;
    }
    if (!add_cards(read, page, &why, p)) {
        unreadable(&read->result, response, request, why, p);
        return;
    }
    l->pages++;
    link = member(page, "@odata.nextLink");
    if (!link) {
        return;
    }
    l->skip = skiptoken_of(link, p);
    if (!l->skip) {
        unreadable(&read->result, response, request, "the link to the next page has no $skiptoken",
                   p);
    }
    else if (l->pages >= MAX_PAGES) {
        cs_result_set(&read->result, p, CS_ELIMIT, CS_CLASS_REFUSED, "pc:pages",
                      "%s: more than %d pages of referrals for one engagement", request->label,
                      MAX_PAGES);
        read->result.correlation = response->correlation;
    }
    else {
        l->done = 0;
    }
}

/* One page of each list that is not complete. Returns how many were asked for. */
static int list_round(cs_pc_t *pc, listing_t *lists, int n, apr_interval_time_t deadline,
                      apr_pool_t *p, apr_status_t *prv)
{
    cs_http_request_t *requests = apr_pcalloc(p, sizeof(*requests) * (apr_size_t)n);
    cs_http_response_t *responses = apr_pcalloc(p, sizeof(*responses) * (apr_size_t)n);
    int *of = apr_pcalloc(p, sizeof(*of) * (apr_size_t)n);
    int i, m = 0;

    for (i = 0; i < n; i++) {
        if (!lists[i].done) {
            make_request(&requests[m], list_url(pc, &lists[i], p),
                         apr_pstrcat(p, "GET referrals of engagement ", lists[i].read->id, NULL),
                         p);
            of[m++] = i;
        }
    }
    *prv = cs_token_perform(pc->token, pc->http, pc->cfg.upstream, pc->limiter, requests, responses,
                            m, deadline, p);
    for (i = 0; i < m; i++) {
        if (*prv == APR_SUCCESS) {
            take_page(&lists[of[i]], &responses[i], &requests[i], p);
        }
        else {
            lists[of[i]].done = 1;
            nothing_sent(&lists[of[i]].read->result, *prv, p);
        }
    }
    return m;
}

apr_status_t cs_pc_list_engagement(cs_pc_t *pc, cs_pc_read_t *reads, int n,
                                   apr_interval_time_t deadline, apr_pool_t *p)
{
    listing_t *lists = apr_pcalloc(p, sizeof(*lists) * (apr_size_t)(n + 1));
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < n; i++) {
        reset(&reads[i]);
        lists[i].read = &reads[i];
        lists[i].done = !check_id(&reads[i], p);
        reads[i].cards = apr_array_make(p, 4, sizeof(cs_card_t *));
    }
    while (n > 0 && rv == APR_SUCCESS && list_round(pc, lists, n, deadline, p, &rv) > 0)
        ;
    for (i = 0; i < n; i++) {
        if (reads[i].result.cls != CS_CLASS_OK) {
            reads[i].cards = NULL;
        }
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

    make_request(&request, apr_pstrcat(ptemp, pc->base, "?$top=1", NULL), "probe of Partner Center",
                 ptemp);
    cs_result_clear(res);
    rv = cs_token_perform(pc->token, pc->http, pc->cfg.upstream, pc->limiter, &request, &response,
                          1, deadline, ptemp);
    if (rv != APR_SUCCESS) {
        nothing_sent(res, rv, ptemp);
        return rv;
    }
    cs_count(CS_COUNT_CALLS_PARTNER_CENTER, (apr_uint64_t)response.calls);
    classify(res, &response, &request, ptemp);
    if (res->cls == CS_CLASS_OK) {
        read_body(res, &response, &request, ptemp);
    }
    return res->rv;
}
