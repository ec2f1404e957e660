/* Many operations in few requests: $batch. (crm-apis.md A10, C4) */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "multipart.h"
#include "../limiter.h"
#include "../../base/counter.h"
#include "../../base/crypto.h"
#include "../../base/log.h"
#include "../../base/time.h"

#define MAX_URL 16000 /* of a request of its own */
#define MAX_BODY ((apr_size_t)4 * 1024 * 1024)
#define MAX_ANSWER ((apr_size_t)32 * 1024 * 1024)
#define TIMEOUT apr_time_from_sec(30)
/* Operations are done one after the other. A write's time must end before the lane's lease does,
 * which has at least this left while it is renewed. */
#define EACH_WRITE apr_time_from_msec(250)
#define MOST_WRITE apr_time_from_sec(70)
#define FAST apr_time_from_sec(10)
/* A gateway that lets no batch through is asked again after this. */
#define REFUSED_PAUSE apr_time_from_sec(600)

void cs_dyn_batch_init(cs_dyn_batch_t *batch, cs_crm_t *crm, int max, apr_pool_t *p)
{
    apr_size_t n = (apr_size_t)(max > 0 ? max : 1);

    batch->crm = crm;
    batch->calls = apr_pcalloc(p, sizeof(*batch->calls) * n);
    batch->requests = apr_pcalloc(p, sizeof(*batch->requests) * n);
    batch->responses = apr_pcalloc(p, sizeof(*batch->responses) * n);
    batch->n = 0;
    batch->p = p;
}

static apr_table_t *common_headers(apr_pool_t *p)
{
    apr_table_t *headers = apr_table_make(p, 10);

    apr_table_setn(headers, "Accept", "application/json");
    apr_table_setn(headers, "OData-MaxVersion", "4.0");
    apr_table_setn(headers, "OData-Version", "4.0");
    apr_table_setn(headers, "x-ms-client-request-id", cs_uuid4(p));
    return headers;
}

cs_http_request_t *cs_dyn_batch_add(cs_dyn_batch_t *batch, const char *method, const char *path,
                                    const char *label, const cs_dyn_call_t *call)
{
    cs_http_request_t *request = &batch->requests[batch->n];
    int get = !strcmp(method, "GET");

    batch->calls[batch->n++] = *call;
    request->method = method;
    request->url = apr_pstrcat(batch->p, batch->crm->root, path, NULL);
    request->label = label;
    request->write = !get;
    request->headers = common_headers(batch->p);
    if (get) {
        apr_table_setn(request->headers, "Accept-Encoding", "gzip");
        /* The word, not a tag: it keeps answers out of caches on the way. */
        apr_table_setn(request->headers, "If-None-Match", "null");
    }
    else if (strcmp(method, "DELETE")) {
        apr_table_setn(request->headers, "Content-Type", "application/json; charset=utf-8");
    }
    return request;
}

/* ---- cutting into requests ---- */

/* One request that goes out: operations first .. first + n - 1 of the batch. */
typedef struct bundle_t {
    int first, n;
    int parts; /* 1 = as a $batch */
} bundle_t;

static int needs_parts(const cs_http_request_t *request)
{
    return strlen(request->url) > MAX_URL && cs_dyn_part_fits(request);
}

static apr_size_t weight_of(const cs_http_request_t *request)
{
    return request->body_len + strlen(request->url) + 512;
}

static int size_of(const cs_crm_t *crm)
{
    int refused = crm->refused_at && cs_time_boot() - crm->refused_at < REFUSED_PAUSE;

    return refused ? 1 : crm->size;
}

/* Bundles of about the same size, each with at most `size` operations. */
static apr_array_header_t *cut(const cs_dyn_batch_t *batch, int from, int to, int size)
{
    apr_array_header_t *bundles = apr_array_make(batch->p, 8, sizeof(bundle_t));
    int count = (to - from + size - 1) / size, most = count ? (to - from + count - 1) / count : 0;
    apr_size_t weight = 0;
    bundle_t *open = NULL;
    int i;

    for (i = from; i < to; i++) {
        const cs_http_request_t *request = &batch->requests[i];
        int fits = cs_dyn_part_fits(request);

        weight += weight_of(request);
        if (!open || !fits || open->n >= most || weight > MAX_BODY) {
            bundle_t fresh = {i, 0, needs_parts(request)};

            APR_ARRAY_PUSH(bundles, bundle_t) = fresh;
            open = &APR_ARRAY_IDX(bundles, bundles->nelts - 1, bundle_t);
            weight = weight_of(request);
        }
        open->n++;
        open->parts |= open->n > 1;
        open = fits ? open : NULL;
    }
    return bundles;
}

static apr_interval_time_t timeout_of(const cs_crm_t *crm, int n, int write)
{
    apr_interval_time_t timeout = crm->cfg.upstream->timeout;

    timeout = timeout > 0 ? timeout : TIMEOUT;
    if (write) {
        timeout += EACH_WRITE * n;
        timeout = timeout > MOST_WRITE ? MOST_WRITE : timeout;
    }
    return timeout;
}

static void make_request(const cs_dyn_batch_t *batch, const bundle_t *bundle,
                         cs_http_request_t *out)
{
    const cs_http_request_t *first = &batch->requests[bundle->first];
    const char *boundary;
    apr_pool_t *p = batch->p;
    int i;

    if (!bundle->parts) {
        *out = *first;
        return;
    }
    boundary = apr_pstrcat(p, "batch_", cs_uuid4(p), NULL);
    memset(out, 0, sizeof(*out));
    out->method = "POST";
    out->url = apr_pstrcat(p, batch->crm->root, "$batch", NULL);
    out->headers = common_headers(p);
    apr_table_setn(out->headers, "Content-Type",
                   apr_pstrcat(p, "multipart/mixed; boundary=\"", boundary, "\"", NULL));
    apr_table_setn(out->headers, "Prefer", "odata.continue-on-error");
    for (i = 0; i < bundle->n; i++) {
        out->write |= batch->requests[bundle->first + i].write;
    }
    if (!out->write) {
        apr_table_setn(out->headers, "Accept-Encoding", "gzip");
    }
    out->body = cs_dyn_multipart_make(first, bundle->n, boundary, &out->body_len, p);
    out->max_response = MAX_ANSWER;
    out->timeout = timeout_of(batch->crm, bundle->n, out->write);
    out->label = apr_psprintf(p, "$batch of %d, first %s", bundle->n, first->label);
}

/* ---- dealing out answers ---- */

static const char *join_ids(const char *outer, const char *part, apr_pool_t *p)
{
    return !part ? outer : outer ? apr_pstrcat(p, outer, " ", part, NULL) : part;
}

/* The operation may have been done or not: that is what its kind makes of it. */
static void no_part(const cs_dyn_batch_t *batch, int at, const char *why)
{
    const cs_http_request_t *request = &batch->requests[at];
    cs_http_response_t *response = &batch->responses[at];
    cs_result_t *failure = apr_palloc(batch->p, sizeof(*failure));

    cs_result_set(failure, batch->p, CS_EPARSE, request->write ? CS_CLASS_UNKNOWN : CS_CLASS_RETRY,
                  "dataverse:answer", "%s: %s", request->label, why);
    failure->correlation = response->correlation;
    response->failure = failure;
}

static void take_part(const cs_dyn_batch_t *batch, int at, const cs_dyn_part_t *part)
{
    cs_http_response_t *response = &batch->responses[at];
    apr_pool_t *p = batch->p;

    if (!part->status) {
        no_part(batch, at, "its part of the batch's answer is not an HTTP message");
        return;
    }
    response->status = part->status;
    response->reason = part->reason;
    response->headers = part->headers;
    response->body = part->body;
    response->body_len = part->body_len;
    response->correlation =
        join_ids(response->correlation, cs_http_correlation(NULL, part->headers, p), p);
    response->retry_after = cs_http_retry_after(response, cs_time_now());
}

/* Which operation a part answers: its Content-ID says so; where none has one, its place does.
 * -1 = nobody knows. */
static int place_of(const apr_array_header_t *parts, int at, int n)
{
    int id = APR_ARRAY_IDX(parts, at, cs_dyn_part_t).id, i;

    for (i = 0; i < parts->nelts; i++) {
        if (APR_ARRAY_IDX(parts, i, cs_dyn_part_t).id) {
            return id >= 1 && id <= n ? id - 1 : -1;
        }
    }
    return at;
}

/* Every operation has what the whole answer says until its part says better. */
static void inherit(const cs_dyn_batch_t *batch, const bundle_t *bundle,
                    const cs_http_response_t *outer)
{
    int i;

    for (i = 0; i < bundle->n; i++) {
        batch->responses[bundle->first + i] = *outer;
        if (i) {
            batch->responses[bundle->first + i].calls = 0;
        }
    }
}

static void take_parts(const cs_dyn_batch_t *batch, const bundle_t *bundle,
                       const cs_http_response_t *outer)
{
    const char *type = apr_table_get(outer->headers, "Content-Type");
    char *taken = apr_pcalloc(batch->p, (apr_size_t)bundle->n);
    apr_array_header_t *parts;
    cs_result_t res = {0};
    int i, at, missing = 0;

    if (cs_dyn_multipart_parse(&parts, type, outer->body, outer->body_len, bundle->n, batch->p,
                               &res) != APR_SUCCESS) {
        parts->nelts = 0;
    }
    for (i = 0; i < parts->nelts; i++) {
        const cs_dyn_part_t *part = &APR_ARRAY_IDX(parts, i, cs_dyn_part_t);

        at = place_of(parts, i, bundle->n);
        if (at >= 0 && !taken[at]) {
            taken[at] = 1;
            take_part(batch, bundle->first + at, part);
        }
    }
    for (i = 0; i < bundle->n; i++) {
        if (!taken[i]) {
            missing++;
            no_part(batch, bundle->first + i,
                    res.detail
                        ? res.detail
                        : apr_psprintf(batch->p, "the batch's answer has only %d of %d parts",
                                       parts->nelts, bundle->n));
        }
    }
    if (missing) {
        cs_log(CS_LOG_INFO, 0, NULL, CSLOGNO(4101) "%s: the answer has %d of %d parts%s%s",
               batch->crm->cfg.name, bundle->n - missing, bundle->n, res.detail ? "; " : "",
               res.detail ? res.detail : "");
    }
}

/* A whole batch that is refused says nothing about the operations in it: each is asked for by
 * itself. What concerns the caller, the load or the server does concern them all. */
static int is_refused(const cs_http_response_t *outer)
{
    return outer->outcome == CS_HTTP_ANSWERED && !outer->failure && outer->status >= 300 &&
           outer->status < 500 && outer->status != 401 && outer->status != 403 &&
           outer->status != 408 && outer->status != 429;
}

static void take_answer(const cs_dyn_batch_t *batch, const bundle_t *bundle,
                        const cs_http_response_t *outer)
{
    int parts = outer->outcome == CS_HTTP_ANSWERED && !outer->failure &&
                ((outer->status >= 200 && outer->status < 300) ||
                 cs_dyn_is_multipart(apr_table_get(outer->headers, "Content-Type")));

    inherit(batch, bundle, outer);
    if (bundle->parts && parts) {
        take_parts(batch, bundle, outer);
    }
}

/* ---- how large ---- */

/* The server's own clocks end what takes too long: then smaller bundles help. */
static void adapt(cs_crm_t *crm, const bundle_t *bundle, const cs_http_response_t *outer)
{
    int answered = outer->outcome == CS_HTTP_ANSWERED;

    if (!outer->started) {
        return;
    }
    if (bundle->n > 1 &&
        (outer->outcome == CS_HTTP_UNKNOWN || (answered && outer->status >= 500))) {
        crm->size = bundle->n / 2;
    }
    else if (answered && outer->status < 300 && outer->took < FAST) {
        crm->size = crm->size * 2 > CS_DYN_BATCH_MOST ? CS_DYN_BATCH_MOST : crm->size * 2;
    }
}

/* A part that was throttled tells as much as an answer that was. */
static void tell_limiter(const cs_dyn_batch_t *batch, const bundle_t *bundle)
{
    apr_interval_time_t longest = 0;
    int i, throttled = 0;

    for (i = bundle->first; bundle->parts && i < bundle->first + bundle->n; i++) {
        const cs_http_response_t *response = &batch->responses[i];

        if (response->outcome == CS_HTTP_ANSWERED && !response->failure &&
            response->status == 429) {
            throttled = 1;
            longest = response->retry_after > longest ? response->retry_after : longest;
        }
    }
    if (throttled) {
        cs_limiter_throttled(batch->crm->limiter, cs_time_now(), longest);
    }
}

/* ---- sending ---- */

static apr_status_t perform(cs_dyn_batch_t *batch, const apr_array_header_t *bundles,
                            cs_http_response_t *answers, apr_interval_time_t deadline)
{
    cs_crm_t *crm = batch->crm;
    cs_http_request_t *requests =
        apr_pcalloc(batch->p, sizeof(*requests) * (apr_size_t)(bundles->nelts + 1));
    apr_status_t rv;
    int i;

    for (i = 0; i < bundles->nelts; i++) {
        make_request(batch, &APR_ARRAY_IDX(bundles, i, bundle_t), &requests[i]);
    }
    rv = cs_token_perform(crm->token, crm->http, crm->cfg.upstream, crm->limiter, requests, answers,
                          bundles->nelts, deadline, batch->p);
    for (i = 0; rv == APR_SUCCESS && i < bundles->nelts; i++) {
        cs_count(CS_COUNT_CALLS_CRM, (apr_uint64_t)answers[i].calls);
    }
    return rv;
}

/* The operations of a refused batch, each by itself. */
static apr_status_t send_alone(cs_dyn_batch_t *batch, const bundle_t *refused,
                               const cs_http_response_t *outer, apr_interval_time_t deadline)
{
    apr_array_header_t *bundles = cut(batch, refused->first, refused->first + refused->n, 1);
    cs_http_response_t *answers =
        apr_pcalloc(batch->p, sizeof(*answers) * (apr_size_t)(bundles->nelts + 1));
    apr_status_t rv = perform(batch, bundles, answers, deadline);
    int i;

    for (i = 0; rv == APR_SUCCESS && i < bundles->nelts; i++) {
        const bundle_t *bundle = &APR_ARRAY_IDX(bundles, i, bundle_t);

        if (bundle->parts && is_refused(&answers[i])) {
            inherit(batch, bundle, &answers[i]);
            no_part(batch, bundle->first, "its address is too long, and $batch is refused");
        }
        else {
            take_answer(batch, bundle, &answers[i]);
        }
    }
    batch->responses[refused->first].calls += outer->calls;
    return rv;
}

static apr_status_t take_answers(cs_dyn_batch_t *batch, const apr_array_header_t *bundles,
                                 const cs_http_response_t *answers, apr_interval_time_t deadline)
{
    cs_crm_t *crm = batch->crm;
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < bundles->nelts; i++) {
        const bundle_t *bundle = &APR_ARRAY_IDX(bundles, i, bundle_t);

        adapt(crm, bundle, &answers[i]);
        if (bundle->parts && is_refused(&answers[i]) &&
            !cs_dyn_is_multipart(apr_table_get(answers[i].headers, "Content-Type"))) {
            cs_log(CS_LOG_INFO, 0, NULL,
                   CSLOGNO(4102) "%s: a $batch of %d was answered %d; its operations go out one by "
                                 "one",
                   crm->cfg.name, bundle->n, answers[i].status);
            crm->refused_at = cs_time_boot();
            rv = send_alone(batch, bundle, &answers[i], deadline);
        }
        else {
            take_answer(batch, bundle, &answers[i]);
            tell_limiter(batch, bundle);
        }
    }
    return rv;
}

apr_status_t cs_dyn_batch_send(cs_dyn_batch_t *batch, apr_interval_time_t deadline)
{
    apr_array_header_t *bundles = cut(batch, 0, batch->n, size_of(batch->crm));
    cs_http_response_t *answers =
        apr_pcalloc(batch->p, sizeof(*answers) * (apr_size_t)(bundles->nelts + 1));
    apr_status_t rv = bundles->nelts ? perform(batch, bundles, answers, deadline) : APR_SUCCESS;

    return rv == APR_SUCCESS ? take_answers(batch, bundles, answers, deadline) : rv;
}

void cs_dyn_batch_take(cs_dyn_batch_t *batch, apr_status_t rv)
{
    int i;

    for (i = 0; i < batch->n; i++) {
        const cs_dyn_call_t *call = &batch->calls[i];

        if (rv == APR_SUCCESS) {
            call->take(batch, i);
        }
        else if (call->result) {
            cs_result_set(call->result, batch->p, rv, CS_CLASS_RETRY, "transport",
                          "no request could be sent to %s", batch->crm->cfg.name);
        }
    }
}
