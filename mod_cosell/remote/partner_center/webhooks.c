#include "webhooks.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/counter.h"
#include "../../base/crypto.h"
#include "../../base/json.h"
#include "access.h"
#include "errors.h"

#define DEFAULT_URL "https://api.partnercenter.microsoft.com"
#define PATH "/webhooks/v1"
#define MAX_ANSWER ((apr_size_t)256 * 1024)
#define NAME_MOST 128
#define WORDS_MOST 300

const char *const cs_pc_referral_events[] = {"referral-created", "referral-updated",
                                             "related-referral-created", "related-referral-updated",
                                             NULL};

static const cs_json_limits_t limits = {256 * 1024, 10000, 16};

struct cs_pc_hooks_t {
    const cs_upstream_t *upstream;
    cs_token_t *token;
    cs_http_t *http;
    cs_limiter_t *limiter;
    cs_limiter_t tests; /* of test events, whose own limit must stop nothing else */
    const char *base;   /* ".../webhooks/v1/registration" */
};

/* ---- creation ---- */

apr_status_t cs_pc_hooks_create(cs_pc_hooks_t **phooks, const cs_pc_config_t *cfg,
                                const cs_vault_t *vault, cs_http_t *http, cs_limiter_t *limiter,
                                cs_limiter_t *login_limiter, apr_pool_t *p)
{
    cs_pc_hooks_t *hooks = apr_pcalloc(p, sizeof(*hooks));
    const char *url = cfg->webhooks_url ? cfg->webhooks_url : DEFAULT_URL;

    hooks->upstream = cfg->upstream;
    hooks->http = http;
    hooks->limiter = limiter;
    hooks->base = apr_pstrcat(p, cs_pc_base(url, PATH, p), "/registration", NULL);
    *phooks = hooks;
    return cs_pc_token(&hooks->token, cfg, cs_pc_audience(url, DEFAULT_URL, p), vault, http,
                       login_limiter, p);
}

void cs_pc_hooks_signed_in(cs_pc_hooks_t *hooks)
{
    cs_token_forget(hooks->token);
}

/* ---- one call ---- */

typedef struct call_t {
    cs_http_request_t request;
    cs_http_response_t response;
    json_t *json; /* of a 2xx; NULL = it has no body */
    int is_test;
} call_t;

static void begin(call_t *call, const cs_pc_hooks_t *hooks, const char *method, const char *path,
                  const char *label, const char *id, apr_pool_t *p)
{
    cs_http_request_t *request = &call->request;

    memset(call, 0, sizeof(*call));
    request->method = method;
    request->url = apr_pstrcat(p, hooks->base, path, NULL);
    request->label = label;
    request->max_response = MAX_ANSWER;
    request->headers = apr_table_make(p, 8);
    apr_table_setn(request->headers, "Accept", "application/json");
    apr_table_setn(request->headers, "Accept-Encoding", "gzip");
    apr_table_setn(request->headers, "MS-Contract-Version", "v1");
    apr_table_setn(request->headers, "MS-CorrelationId", cs_uuid4(p));
    apr_table_setn(request->headers, "MS-RequestId", id ? id : cs_uuid4(p));
    apr_table_setn(request->headers, "MS-PartnerCenter-Application", "mod_cosell");
    if (strcmp(method, "GET")) {
        request->write = 1;
        request->body = "";
        apr_table_setn(request->headers, "Content-Type", "application/json");
    }
}

static void unreadable(const call_t *call, const char *why, apr_pool_t *p, cs_result_t *res)
{
    cs_result_set(res, p, CS_EPARSE, call->request.write ? CS_CLASS_UNKNOWN : CS_CLASS_RETRY,
                  "pc:answer", "%s", cs_http_describe(&call->response, &call->request, why, p));
    res->correlation = call->response.correlation;
}

static apr_status_t take_body(call_t *call, apr_pool_t *p, cs_result_t *res)
{
    cs_result_t why = {0};
    json_t *json = NULL;

    if (!call->response.body_len) {
        return APR_SUCCESS;
    }
    if (cs_json_parse(&json, call->response.body, call->response.body_len, &limits, p, &why) !=
        APR_SUCCESS) {
        unreadable(call, why.detail, p, res);
        return res->rv;
    }
    call->json = cs_json_own(json, p);
    return APR_SUCCESS;
}

static apr_status_t perform(cs_pc_hooks_t *hooks, call_t *call, apr_interval_time_t deadline,
                            apr_pool_t *p, cs_result_t *res)
{
    apr_status_t rv = cs_token_perform(hooks->token, hooks->http, hooks->upstream,
                                       call->is_test ? &hooks->tests : hooks->limiter,
                                       &call->request, &call->response, 1, deadline, p);

    cs_result_clear(res);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "transport",
                             "no request could be sent to Partner Center");
    }
    cs_count(CS_COUNT_CALLS_PARTNER_CENTER, (apr_uint64_t)call->response.calls);
    cs_pc_classify(res, &call->response, &call->request, CS_PC_HOOK, NULL, p);
    return res->cls == CS_CLASS_OK ? take_body(call, p, res) : res->rv;
}

/* ---- documents ---- */

static const char *text_of(const json_t *doc, const char *name)
{
    const char *text = json_string_value(cs_json_get_nocase(doc, name));

    return text && *text ? text : NULL;
}

/* What they say ends up in logs, documents and pages. */
static const char *plain(const char *text, apr_size_t most, apr_pool_t *p)
{
    apr_size_t n = text ? strlen(text) : 0;
    char *out;

    if (n > most) {
        for (n = most; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
            ;
    }
    out = apr_pstrmemdup(p, text ? text : "", n);
    for (char *c = out; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
    }
    return out;
}

/* Names that nobody could register are left out. */
static apr_array_header_t *names_of(const json_t *list, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 16, sizeof(const char *));
    size_t i;

    for (i = 0; i < json_array_size(list) && names->nelts < CS_PC_HOOK_EVENTS_MAX; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && *name && strlen(name) <= NAME_MOST && !cs_pc_hook_has(names, name)) {
            APR_ARRAY_PUSH(names, const char *) = plain(name, NAME_MOST, p);
        }
    }
    return names;
}

static int flag_of(const json_t *value)
{
    const char *text = json_string_value(value);

    return json_is_boolean(value) ? json_is_true(value) : text ? !strcasecmp(text, "true") : -1;
}

apr_status_t cs_pc_hooks_events(cs_pc_hooks_t *hooks, apr_array_header_t **pevents,
                                apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    call_t call;
    apr_status_t rv;

    *pevents = NULL;
    begin(&call, hooks, "GET", "/events", "GET supported webhook events", NULL, p);
    rv = perform(hooks, &call, deadline, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!json_is_array(call.json)) {
        unreadable(&call, "the answer is not a list of names", p, res);
        return res->rv;
    }
    *pevents = names_of(call.json, p);
    return rv;
}

/* 404, 204, nothing, and a document without an address: the documentation knows none of them, and
 * all have been seen or are to be expected. */
apr_status_t cs_pc_hooks_read(cs_pc_hooks_t *hooks, cs_pc_hook_t **phook,
                              apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    const char *url;
    call_t call;
    apr_status_t rv;

    *phook = NULL;
    begin(&call, hooks, "GET", "", "GET webhook registration", NULL, p);
    rv = perform(hooks, &call, deadline, p, res);
    if (res->cls == CS_CLASS_GONE) {
        cs_result_clear(res);
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (call.json && !json_is_object(call.json)) {
        unreadable(&call, "the answer is not a registration", p, res);
        return res->rv;
    }
    url = text_of(call.json, "WebhookUrl");
    if (url) {
        *phook = apr_pcalloc(p, sizeof(**phook));
        (*phook)->url = apr_pstrdup(p, url);
        (*phook)->events = names_of(cs_json_get_nocase(call.json, "WebhookEvents"), p);
        (*phook)->marked =
            flag_of(cs_json_get_nocase(call.json, "SignatureTokenToMsSignatureHeader"));
    }
    return rv;
}

static const char *document_of(const cs_pc_hook_t *hook, apr_pool_t *p)
{
    json_t *events = json_array();
    json_t *doc =
        cs_json_own(json_pack("{s:s, s:o}", "WebhookUrl", hook->url, "WebhookEvents", events), p);
    int i;

    for (i = 0; i < hook->events->nelts; i++) {
        json_array_append_new(events, json_string(APR_ARRAY_IDX(hook->events, i, const char *)));
    }
    if (hook->marked >= 0) {
        json_object_set_new(doc, "SignatureTokenToMsSignatureHeader", json_boolean(hook->marked));
    }
    return cs_json_print(doc, p);
}

static apr_status_t write_once(cs_pc_hooks_t *hooks, const char *document, int replace,
                               const char *request, apr_interval_time_t deadline, apr_pool_t *p,
                               cs_result_t *res)
{
    call_t call;

    begin(&call, hooks, replace ? "PUT" : "POST", "",
          replace ? "PUT webhook registration" : "POST webhook registration", request, p);
    call.request.body = document;
    call.request.body_len = strlen(document);
    return perform(hooks, &call, deadline, p, res);
}

apr_status_t cs_pc_hooks_write(cs_pc_hooks_t *hooks, const cs_pc_hook_t *hook, int replace,
                               const char *request, apr_interval_time_t deadline, apr_pool_t *p,
                               cs_result_t *res)
{
    const char *document = document_of(hook, p);
    apr_status_t rv = write_once(hooks, document, replace, request, deadline, p, res);

    /* Somebody came or went in between. It is another request, so it has another id. */
    if (rv != APR_SUCCESS && res->cls == (replace ? CS_CLASS_GONE : CS_CLASS_CONFLICT)) {
        rv = write_once(hooks, document, !replace, NULL, deadline, p, res);
    }
    return rv;
}

/* ---- test events ---- */

static const char *guid_of(const char *text, apr_pool_t *p)
{
    return text ? cs_uuid_lower(text, strlen(text), p) : NULL;
}

apr_status_t cs_pc_hooks_test(cs_pc_hooks_t *hooks, const char *request, const char **pid,
                              apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    call_t call;
    apr_status_t rv;

    *pid = NULL;
    begin(&call, hooks, "POST", "/validationEvents", "POST webhook test event", request, p);
    call.is_test = 1;
    rv = perform(hooks, &call, deadline, p, res);
    if (res->cls == CS_CLASS_THROTTLED && call.response.status == 429) {
        res->detail =
            apr_pstrcat(p, res->detail, "; Partner Center sends two test events a minute", NULL);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *pid = guid_of(json_is_string(call.json) ? json_string_value(call.json)
                                             : text_of(call.json, "correlationId"),
                   p);
    if (!*pid) {
        unreadable(&call, "the answer holds no correlation id", p, res);
    }
    return res->rv;
}

/* "OK", as .NET names it, or the number. */
static int is_good(const char *code)
{
    static const char *const names[] = {"OK", "Created", "Accepted", "NoContent", NULL};
    int i;

    for (i = 0; names[i] && strcasecmp(names[i], code); i++)
        ;
    return names[i] || (strlen(code) == 3 && code[0] == '2' && apr_isdigit(code[1]));
}

static void take_results(cs_pc_tested_t *tested, const json_t *results, apr_pool_t *p)
{
    size_t n = json_array_size(results);
    const json_t *last = n ? json_array_get(results, n - 1) : NULL;
    const char *code = text_of(last, "responseCode"), *message = text_of(last, "responseMessage");

    tested->attempts = n > 10000 ? 10000 : (int)n;
    tested->good = code && is_good(code);
    if (last) {
        tested->answer = plain(code && message ? apr_pstrcat(p, code, ": ", message, NULL)
                               : code          ? code
                               : message       ? message
                                               : "no connection",
                               WORDS_MOST, p);
    }
}

apr_status_t cs_pc_hooks_tested(cs_pc_hooks_t *hooks, const char *id, cs_pc_tested_t **ptested,
                                apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    cs_pc_tested_t *tested;
    call_t call;
    apr_status_t rv;

    *ptested = NULL;
    begin(&call, hooks, "GET", apr_pstrcat(p, "/validationEvents/", id, NULL),
          "GET webhook test event", NULL, p);
    rv = perform(hooks, &call, deadline, p, res);
    if (res->cls == CS_CLASS_GONE) {
        cs_result_clear(res);
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS || !json_is_object(call.json)) {
        if (rv == APR_SUCCESS) {
            unreadable(&call, "the answer is not a test event", p, res);
        }
        return res->rv;
    }
    tested = apr_pcalloc(p, sizeof(*tested));
    tested->status = plain(text_of(call.json, "status"), 40, p);
    tested->url = text_of(call.json, "callbackUrl");
    take_results(tested, cs_json_get_nocase(call.json, "results"), p);
    *ptested = tested;
    return rv;
}

/* ---- addresses and names ---- */

int cs_pc_hook_has(const apr_array_header_t *events, const char *name)
{
    int i;

    for (i = 0; events && i < events->nelts; i++) {
        if (!strcasecmp(APR_ARRAY_IDX(events, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

static int is_loopback(const char *origin)
{
    return strstr(origin, "://127.") || strstr(origin, "://localhost") ||
           strstr(origin, "://[::1]");
}

const char *cs_pc_hook_url_wrong(const char *url, apr_pool_t *p)
{
    const char *origin = cs_http_origin(url, p), *c;

    if (strlen(url) > CS_PC_HOOK_URL_MAX) {
        return apr_psprintf(p, "url: it has %" APR_SIZE_T_FMT " bytes, at most %d are allowed",
                            strlen(url), CS_PC_HOOK_URL_MAX);
    }
    for (c = url; *c && (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f && *c != '#'; c++)
        ;
    if (!origin || *c) {
        return "url: https://HOST/PATH is expected, without user, fragment and spaces";
    }
    if (!strncmp(origin, "http:", 5) && !is_loopback(origin)) {
        return apr_psprintf(p, "url: Partner Center sends to https alone, not to \"%.200s\"", url);
    }
    return NULL;
}

/* Where the path begins; NULL when the URL has no such form. */
static const char *rest_of(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? host + 3 + strcspn(host + 3, "/?#") : NULL;
}

const char *cs_pc_hook_url_shown(const char *url, apr_pool_t *p)
{
    const char *origin = cs_http_origin(url, p), *rest = rest_of(url);
    apr_size_t path;

    if (!origin || !rest) {
        return "(an address that is none)";
    }
    path = strcspn(rest, "?#;");
    path = path > 300 ? 300 : path;
    return plain(
        apr_pstrcat(p, origin, apr_pstrmemdup(p, rest, path), rest[path] ? "..." : "", NULL), 600,
        p);
}

int cs_pc_hook_url_same(const char *a, const char *b, apr_pool_t *p)
{
    const char *from = cs_http_origin(a, p), *to = cs_http_origin(b, p);

    if (!from || !to) {
        return !strcmp(a, b);
    }
    return !strcmp(from, to) && !strcmp(rest_of(a), rest_of(b));
}
