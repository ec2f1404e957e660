/* Many calls in few requests: /composite. (crm-apis.md B5, C4) */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"

#define MAX_BODY ((apr_size_t)4 * 1024 * 1024)
#define TIMEOUT apr_time_from_sec(30)
/* Calls are done one after the other. A write's time must end before the lane's lease does. */
#define EACH_WRITE apr_time_from_msec(250)
#define MOST_WRITE apr_time_from_sec(70)

/* One request that goes out: these calls. */
typedef struct bundle_t {
    int at[CS_SF_TOGETHER];
    int n, queries, early, late;
    int closed; /* takes no more */
    apr_size_t weight;
} bundle_t;

typedef struct sending_t {
    cs_crm_t *crm;
    cs_sf_call_t *calls;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} sending_t;

/* ---- cutting ---- */

static apr_size_t weight_of(const cs_sf_call_t *call)
{
    return strlen(call->path) + (call->body ? strlen(call->body) : 0) + 256;
}

/* "@{c0.id}" stands for what another call was answered, and nothing makes it mean the text: such a
 * call goes out as itself. */
static int looks_like_reference(const cs_sf_call_t *call)
{
    return call->body && strstr(call->body, "@{");
}

static int fits(const bundle_t *bundle, const cs_sf_call_t *call)
{
    return !bundle->closed && !looks_like_reference(call) && bundle->n < CS_SF_TOGETHER &&
           bundle->queries + call->query <= CS_SF_QUERIES &&
           bundle->weight + weight_of(call) <= MAX_BODY;
}

static void put(apr_array_header_t *bundles, const sending_t *s, int at, int late)
{
    bundle_t *last = bundles->nelts ? &APR_ARRAY_IDX(bundles, bundles->nelts - 1, bundle_t) : NULL;
    const cs_sf_call_t *call = &s->calls[at];

    if (!last || !fits(last, call)) {
        last = apr_array_push(bundles);
        memset(last, 0, sizeof(*last));
    }
    last->at[last->n++] = at;
    last->queries += call->query;
    last->weight += weight_of(call);
    last->closed = looks_like_reference(call);
    last->early += !late;
    last->late += late;
}

static apr_array_header_t *cut(const sending_t *s, const char *late, int n)
{
    apr_array_header_t *bundles = apr_array_make(s->p, 8, sizeof(bundle_t));
    int i;

    for (i = 0; i < n; i++) {
        if (!late || !late[i]) {
            put(bundles, s, i, 0);
        }
    }
    for (i = 0; late && i < n; i++) {
        if (late[i]) {
            put(bundles, s, i, 1);
        }
    }
    return bundles;
}

/* ---- one request ---- */

static const char *quote(const char *text, apr_pool_t *p)
{
    json_t *json = json_string(text);
    const char *out = cs_json_print(json, p);

    json_decref(json);
    return out;
}

/* What a part says for itself; the rest it has from the request around it. */
static const char *part_headers(const cs_sf_call_t *call, apr_pool_t *p)
{
    const char *text = "";

    if (call->unmodified) {
        text = apr_pstrcat(p, ",\"If-Unmodified-Since\":", quote(call->unmodified, p), NULL);
    }
    if (call->modified) {
        text = apr_pstrcat(p, text, ",\"If-Modified-Since\":", quote(call->modified, p), NULL);
    }
    if (call->kind == CS_SF_CREATE || call->kind == CS_SF_UPDATE) {
        text = apr_pstrcat(p, text, ",\"Sforce-Auto-Assign\":\"FALSE\"", NULL);
    }
    return *text ? apr_pstrcat(p, ",\"httpHeaders\":{", text + 1, "}", NULL) : "";
}

static const char *part_text(const cs_sf_call_t *call, int ref, apr_pool_t *p)
{
    return apr_pstrcat(
        p, "{\"method\":", quote(call->method, p), ",\"url\":",
        quote(apr_pstrcat(p, *call->path == '/' ? "" : CS_SF_BASE, call->path, NULL), p),
        ",\"referenceId\":\"c", apr_itoa(p, ref), "\"", part_headers(call, p),
        call->body ? ",\"body\":" : "", call->body ? call->body : "", "}", NULL);
}

static apr_interval_time_t timeout_of(const cs_crm_t *crm, int n)
{
    apr_interval_time_t timeout = crm->cfg.upstream->timeout;

    timeout = (timeout > 0 ? timeout : TIMEOUT) + EACH_WRITE * n;
    return timeout > MOST_WRITE ? MOST_WRITE : timeout;
}

static void make_request(const sending_t *s, const bundle_t *bundle, cs_http_request_t *request)
{
    const cs_sf_call_t *first = &s->calls[bundle->at[0]];
    apr_array_header_t *parts = apr_array_make(s->p, bundle->n, sizeof(const char *));
    cs_sf_call_t outer = {.kind = CS_SF_READ, .method = "POST", .path = "composite"};
    int i;

    if (bundle->n == 1) {
        cs_sf_request(s->crm, first, request, s->p);
        return;
    }
    for (i = 0; i < bundle->n; i++) {
        const cs_sf_call_t *call = &s->calls[bundle->at[i]];

        outer.kind = call->kind != CS_SF_READ ? call->kind : outer.kind;
        APR_ARRAY_PUSH(parts, const char *) = part_text(call, i, s->p);
    }
    outer.label = apr_psprintf(s->p, "composite of %d, first %s", bundle->n,
                               first->label ? first->label : first->method);
    outer.body = apr_pstrcat(s->p,
                             "{\"allOrNone\":false,\"collateSubrequests\":false,"
                             "\"compositeRequest\":[",
                             apr_array_pstrcat(s->p, parts, ','), "]}", NULL);
    cs_sf_request(s->crm, &outer, request, s->p);
    if (request->write) {
        request->timeout = timeout_of(s->crm, bundle->n);
    }
    else {
        apr_table_setn(request->headers, "Accept-Encoding", "gzip");
    }
}

/* ---- its answer ---- */

static apr_table_t *headers_of(const json_t *part, const apr_table_t *outer, apr_pool_t *p)
{
    apr_table_t *headers = apr_table_make(p, 4);
    const char *name, *date = apr_table_get(outer, "Date");
    json_t *value;

    if (date) {
        apr_table_setn(headers, "Date", date);
    }
    json_object_foreach(cs_json_get(part, "httpHeaders"), name, value) {
        if (json_is_string(value)) {
            apr_table_set(headers, name, json_string_value(value));
        }
    }
    return headers;
}

/* A call as if it had been alone: what it asked, and what it was answered. */
static void take_part(const sending_t *s, int at, const cs_http_response_t *outer,
                      const json_t *part)
{
    cs_sf_call_t *call = &s->calls[at];
    cs_http_response_t response = *outer;
    cs_http_request_t request;
    json_t *body = cs_json_get(part, "body");
    int status = (int)cs_json_int(part, "httpStatusCode", 0), calls = call->calls;

    cs_sf_request(s->crm, call, &request, s->p);
    response.status = status;
    response.reason = "";
    response.headers = headers_of(part, outer->headers, s->p);
    response.body = "";
    response.body_len = 0;
    response.retry_after = 0;
    cs_sf_take(s->crm, call, &request, &response, json_is_null(body) ? NULL : body, s->p);
    call->calls = calls;
}

static const json_t *part_of(const json_t *parts, int ref, apr_pool_t *p)
{
    const char *name = apr_pstrcat(p, "c", apr_itoa(p, ref), NULL), *is;
    size_t i;

    for (i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        int status = (int)cs_json_int(part, "httpStatusCode", 0);

        is = cs_json_str(part, "referenceId");
        if (is && !strcmp(is, name) && status >= 100 && status <= 599) {
            return part;
        }
    }
    return NULL;
}

/* It may have been done or not: that is what its kind makes of it. */
static void no_part(const sending_t *s, int at, const cs_http_response_t *outer)
{
    cs_sf_call_t *call = &s->calls[at];

    call->status = outer->status;
    call->headers = outer->headers;
    cs_sf_unreadable(call, "the composite's answer has no part for it", s->p);
}

static void take_parts(const sending_t *s, const bundle_t *bundle, const cs_http_response_t *outer)
{
    cs_result_t why;
    const json_t *parts = cs_json_get(cs_sf_json(outer, s->p, &why), "compositeResponse"), *part;
    int i, missing = 0;

    for (i = 0; i < bundle->n; i++) {
        part = part_of(parts, i, s->p);
        if (part) {
            take_part(s, bundle->at[i], outer, part);
        }
        else {
            missing++;
            no_part(s, bundle->at[i], outer);
        }
    }
    if (missing) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4121) "%s: the answer to a composite of %d lacks %d parts%s%s",
               s->crm->cfg.name, bundle->n, missing, why.detail ? "; " : "",
               why.detail ? why.detail : "");
    }
}

/* A composite that is refused as a whole says nothing about the calls in it: each is asked for by
 * itself. What concerns the caller, the load or the server does concern them all. */
static int is_refused(const cs_http_response_t *outer)
{
    return outer->outcome == CS_HTTP_ANSWERED && !outer->failure && outer->status >= 300 &&
           outer->status < 500 && outer->status != 401 && outer->status != 403 &&
           outer->status != 408 && outer->status != 420 && outer->status != 429;
}

static void inherit(const sending_t *s, const bundle_t *bundle, const cs_http_response_t *outer)
{
    cs_result_t why;
    json_t *body = outer->outcome == CS_HTTP_ANSWERED && !outer->failure
                       ? cs_sf_json(outer, s->p, &why)
                       : NULL;
    cs_http_request_t request;
    int i, calls;

    for (i = 0; i < bundle->n; i++) {
        cs_sf_call_t *call = &s->calls[bundle->at[i]];

        calls = call->calls;
        cs_sf_request(s->crm, call, &request, s->p);
        cs_sf_take(s->crm, call, &request, outer, body, s->p);
        call->calls = calls;
    }
}

static apr_status_t send_some(const sending_t *s, const bundle_t *bundle, int from, int to)
{
    cs_sf_call_t *alone = apr_pcalloc(s->p, sizeof(*alone) * (apr_size_t)(to - from + 1));
    apr_status_t rv;
    int i;

    for (i = from; i < to; i++) {
        alone[i - from] = s->calls[bundle->at[i]];
    }
    rv = cs_sf_send(s->crm, alone, to - from, s->deadline, s->p);
    for (i = from; i < to; i++) {
        alone[i - from].calls += s->calls[bundle->at[i]].calls;
        s->calls[bundle->at[i]] = alone[i - from];
    }
    return rv;
}

/* The late ones come last in a bundle, and here too when the others were answered. */
static apr_status_t send_alone(const sending_t *s, const bundle_t *bundle)
{
    apr_status_t rv = send_some(s, bundle, 0, bundle->early);

    return rv == APR_SUCCESS ? send_some(s, bundle, bundle->early, bundle->n) : rv;
}

static apr_status_t take_answer(const sending_t *s, const bundle_t *bundle,
                                const cs_http_response_t *outer)
{
    cs_sf_call_t *first = &s->calls[bundle->at[0]];
    cs_http_request_t request;

    if (bundle->n == 1) {
        cs_sf_request(s->crm, first, &request, s->p);
        cs_sf_take(s->crm, first, &request, outer, NULL, s->p);
        return APR_SUCCESS;
    }
    /* One request went out, however many calls it carried. */
    first->calls = outer->calls;
    if (is_refused(outer)) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4122) "%s: a composite of %d was answered %d; its calls go out one by one",
               s->crm->cfg.name, bundle->n, outer->status);
        return send_alone(s, bundle);
    }
    if (outer->outcome == CS_HTTP_ANSWERED && !outer->failure && outer->status >= 200 &&
        outer->status < 300) {
        take_parts(s, bundle, outer);
    }
    else {
        inherit(s, bundle, outer);
    }
    return APR_SUCCESS;
}

/* ---- together ---- */

typedef enum { EARLY, MIXED, LATE } phase_e;

static phase_e phase_of(const bundle_t *bundle)
{
    return !bundle->late ? EARLY : bundle->early ? MIXED : LATE;
}

static apr_status_t send_phase(const sending_t *s, const apr_array_header_t *bundles, phase_e phase)
{
    apr_size_t room = (apr_size_t)bundles->nelts + 1;
    cs_http_request_t *requests = apr_pcalloc(s->p, sizeof(*requests) * room);
    cs_http_response_t *responses = apr_pcalloc(s->p, sizeof(*responses) * room);
    const bundle_t **sent = apr_pcalloc(s->p, sizeof(const bundle_t *) * room);
    apr_status_t rv, one;
    int i, n = 0;

    for (i = 0; i < bundles->nelts; i++) {
        const bundle_t *bundle = &APR_ARRAY_IDX(bundles, i, bundle_t);

        if (phase_of(bundle) == phase) {
            make_request(s, bundle, &requests[n]);
            sent[n++] = bundle;
        }
    }
    if (!n) {
        return APR_SUCCESS;
    }
    rv = cs_sf_perform(s->crm, requests, responses, n, s->deadline, s->p);
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        one = take_answer(s, sent[i], &responses[i]);
        rv = rv == APR_SUCCESS ? one : rv;
    }
    return rv;
}

apr_status_t cs_sf_send_together(cs_crm_t *crm, cs_sf_call_t *calls, const char *late, int n,
                                 apr_interval_time_t deadline, apr_pool_t *p)
{
    sending_t s = {crm, calls, deadline, p};
    apr_array_header_t *bundles;
    apr_status_t rv = APR_SUCCESS;
    int i;

    if (n <= 0 || !cs_sf_may_send(crm, calls, n, deadline, p)) {
        return APR_SUCCESS;
    }
    for (i = 0; i < n; i++) {
        calls[i].calls = 0;
        calls[i].status = 0;
        calls[i].json = NULL;
        calls[i].headers = apr_table_make(p, 1);
        /* Stands until an answer says better. */
        cs_result_set(&calls[i].result, p, CS_ETIMEOUT, CS_CLASS_RETRY, "transport",
                      "no request could be sent to %s", crm->cfg.name);
    }
    bundles = cut(&s, late, n);
    for (i = EARLY; rv == APR_SUCCESS && i <= LATE; i++) {
        rv = send_phase(&s, bundles, (phase_e)i);
    }
    return rv;
}
