/* The only user of libcurl. One multi per lane, easy handles kept between batches, connections kept
 * by the multi. */
#include "http.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limiter.h"
#include "../base/counter.h"
#include "../base/gauge.h"
#include "../base/crypto.h"
#include "../base/log.h"
#include "../base/time.h"
#include "../base/trace.h"

#ifndef CS_VERSION
#define CS_VERSION "0.1.0"
#endif
#define USER_AGENT "mod_cosell/" CS_VERSION
#define DEFAULT_TIMEOUT apr_time_from_sec(30)
/* With less than this left of a deadline a request would only cost an attempt. */
#define WORTH_STARTING (APR_USEC_PER_SEC / 10)
#define CONNECT_TIMEOUT apr_time_from_sec(5)
#define DEFAULT_MAX_RESPONSE ((apr_size_t)4 * 1024 * 1024)
#define MAX_HEADER_BYTES ((apr_size_t)64 * 1024)
#define KEEP_BUFFER ((apr_size_t)256 * 1024)
#define MAX_IDLE 64
#define MAX_CONNECTIONS 32L
#define LOW_SPEED_BYTES 16L

typedef struct transfer_t transfer_t;
struct transfer_t {
    CURL *easy;
    transfer_t *next_idle;
    struct curl_slist *headers;
    const cs_http_request_t *request;
    cs_http_response_t *response;
    const cs_upstream_t *up;
    apr_pool_t *p;
    char *buf; /* malloc'd, kept between requests */
    apr_size_t len, size, max;
    apr_size_t header_bytes;
    const char *upload;
    apr_size_t upload_left;
    apr_interval_time_t started; /* cs_time_mono() */
    const char *over;            /* which limit of ours was exceeded */
    char error[CURL_ERROR_SIZE];
};

struct cs_http_t {
    const char *site;
    CURLM *multi;
    transfer_t *idle;
    int n_idle;
    atomic_int aborted;
    cs_may_write_fn *may_write;
    void *baton;
    const char *trace;
};

/* One call of cs_http_perform. */
typedef struct run_t {
    cs_http_t *http;
    const cs_upstream_t *up;
    cs_limiter_t *limiter;
    const cs_http_request_t *requests;
    cs_http_response_t *responses;
    transfer_t **active; /* one place per request */
    int n, next, n_active;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} run_t;

/* ---- transfers ---- */

static void free_headers(transfer_t *t)
{
    for (struct curl_slist *h = t->headers; h; h = h->next) {
        cs_wipe(h->data, strlen(h->data));
    }
    curl_slist_free_all(t->headers);
    t->headers = NULL;
}

static void destroy_transfer(transfer_t *t)
{
    free_headers(t);
    if (t->easy) {
        curl_easy_cleanup(t->easy);
    }
    if (t->buf) {
        cs_wipe(t->buf, t->size);
        free(t->buf);
    }
    free(t);
}

static transfer_t *take_transfer(cs_http_t *http)
{
    transfer_t *t = http->idle;

    if (t) {
        http->idle = t->next_idle;
        http->n_idle--;
        return t;
    }
    t = calloc(1, sizeof(*t));
    if (t) {
        t->easy = curl_easy_init();
    }
    if (t && !t->easy) {
        free(t);
        t = NULL;
    }
    return t;
}

/* A handle that failed is not trusted with another request. */
static void give_back(cs_http_t *http, transfer_t *t, int good)
{
    free_headers(t);
    if (!good || http->n_idle >= MAX_IDLE) {
        destroy_transfer(t);
        return;
    }
    curl_easy_reset(t->easy);
    if (t->len) {
        cs_wipe(t->buf, t->len);
        t->len = 0;
    }
    if (t->size > KEEP_BUFFER) {
        free(t->buf);
        t->buf = NULL;
        t->size = 0;
    }
    t->next_idle = http->idle;
    http->idle = t;
    http->n_idle++;
}

/* ---- callbacks of libcurl ---- */

static int grow(transfer_t *t, apr_size_t need)
{
    apr_size_t size = t->size ? t->size : 4096;
    char *buf;

    while (size < need) {
        size *= 2;
    }
    if (size == t->size) {
        return 1;
    }
    buf = malloc(size);
    if (!buf) {
        return 0;
    }
    if (t->len) {
        memcpy(buf, t->buf, t->len);
        cs_wipe(t->buf, t->len);
    }
    free(t->buf);
    t->buf = buf;
    t->size = size;
    return 1;
}

/* Anything but the length ends the transfer with CURLE_WRITE_ERROR. */
static size_t on_body(char *data, size_t size, size_t nmemb, void *baton)
{
    transfer_t *t = baton;
    size_t n = size * nmemb;

    if (n > t->max - t->len) {
        t->over = apr_psprintf(t->p, "more than %" APR_SIZE_T_FMT " bytes in the answer", t->max);
        return 0;
    }
    if (!grow(t, t->len + n)) {
        t->over = "no memory for the answer";
        return 0;
    }
    memcpy(t->buf + t->len, data, n);
    t->len += n;
    return n;
}

/* "HTTP/1.1 401 Unauthorized - MFA required": keeps what follows the code, printable ASCII only. */
static void take_status_line(transfer_t *t, const char *line, size_t n)
{
    const char *at = memchr(line, ' ', n), *end = line + n;
    char *reason, *to;

    apr_table_clear(t->response->headers);
    t->response->reason = "";
    if (!at || end - at < 6) {
        return;
    }
    reason = to = apr_palloc(t->p, 129);
    for (at += 5; at < end && to - reason < 128; at++) {
        if ((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f) {
            *to++ = *at;
        }
    }
    *to = '\0';
    t->response->reason = reason;
}

/* Headers of an interim answer or of a proxy are forgotten when the next status line comes. */
static size_t on_header(char *data, size_t size, size_t nmemb, void *baton)
{
    transfer_t *t = baton;
    size_t n = size * nmemb;
    const char *colon, *value, *end = data + n;

    t->header_bytes += n;
    if (t->header_bytes > MAX_HEADER_BYTES) {
        t->over = apr_psprintf(t->p, "more than %" APR_SIZE_T_FMT " bytes of headers in the answer",
                               MAX_HEADER_BYTES);
        return 0;
    }
    if (n >= 5 && !memcmp(data, "HTTP/", 5)) {
        take_status_line(t, data, n);
        return n;
    }
    colon = memchr(data, ':', n);
    if (colon && colon > data) {
        for (value = colon + 1; value < end && apr_isspace(*value); value++)
            ;
        while (end > value && apr_isspace(end[-1])) {
            end--;
        }
        apr_table_setn(t->response->headers, apr_pstrmemdup(t->p, data, (apr_size_t)(colon - data)),
                       apr_pstrmemdup(t->p, value, (apr_size_t)(end - value)));
    }
    return n;
}

/* A body is read through here and not from CURLOPT_POSTFIELDS: libcurl repeats a request on a fresh
 * connection when a kept one dies without an answer, but only if it can rewind the body. Without a
 * seek function it cannot, so no write is ever silently sent twice. */
static size_t on_upload(char *out, size_t size, size_t nmemb, void *baton)
{
    transfer_t *t = baton;
    size_t n = size * nmemb;

    n = n > t->upload_left ? t->upload_left : n;
    memcpy(out, t->upload, n);
    t->upload += n;
    t->upload_left -= n;
    return n;
}

/* ---- setting up ---- */

/* No copy of a token stays behind in the pool. */
static int add_header(transfer_t *t, const char *name, const char *scheme, const char *value)
{
    struct curl_slist *list;
    char *line;

    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return 0;
        }
    }
    line = apr_pstrcat(t->p, name, *value ? ": " : ":", scheme, value, NULL);
    list = curl_slist_append(t->headers, line);
    cs_wipe(line, strlen(line));
    if (list) {
        t->headers = list;
    }
    return list != NULL;
}

static int add_headers(transfer_t *t, const cs_http_request_t *request, const char *trace)
{
    const apr_array_header_t *elts;
    const apr_table_entry_t *entry;
    int i, good;

    good = add_header(t, "Expect", "", "");
    if (good && trace) {
        good = add_header(t, CS_TRACE_HEADER, "", cs_trace_span(trace, t->p));
    }
    if (good && request->bearer) {
        good = add_header(t, "Authorization", "Bearer ", request->bearer);
    }
    if (good && request->basic) {
        good = add_header(t, "Authorization", "Basic ", request->basic);
    }
    if (!request->headers) {
        return good;
    }
    elts = apr_table_elts(request->headers);
    entry = (const apr_table_entry_t *)elts->elts;
    for (i = 0; good && i < elts->nelts; i++) {
        /* libcurl decodes what it asked for itself. */
        if (strcasecmp(entry[i].key, "Accept-Encoding")) {
            good = add_header(t, entry[i].key, "", entry[i].val);
        }
    }
    return good;
}

static int is_https(const char *url)
{
    return !strncasecmp(url, "https://", 8);
}

static const char *nonempty(const char *text)
{
    return text && *text ? text : NULL;
}

static long in_ms(apr_interval_time_t interval)
{
    return interval > 1000 ? (long)(interval / 1000) : 1L;
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (!rc) {                                                                                 \
            rc = curl_easy_setopt(t->easy, option, value);                                         \
        }                                                                                          \
    } while (0)

/* Every option of every request. */
static CURLcode configure(transfer_t *t, const cs_http_request_t *request, const cs_upstream_t *up,
                          apr_interval_time_t timeout)
{
    CURLcode rc = CURLE_OK;
    int https = is_https(request->url);
    long low = in_ms(timeout) / 1000 * 2 / 3;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_USERAGENT, USER_AGENT);
    /* An explicit proxy, even an empty one, also keeps the environment's out. Plain http goes to
     * loopback and never through a proxy. */
    SET(CURLOPT_PROXY, https && nonempty(up->proxy) ? up->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 60L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, in_ms(timeout < CONNECT_TIMEOUT ? timeout : CONNECT_TIMEOUT));
    SET(CURLOPT_TIMEOUT_MS, in_ms(timeout));
    SET(CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES);
    SET(CURLOPT_LOW_SPEED_TIME, low > 10 ? low : 10L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (nonempty(up->ca)) {
        SET(CURLOPT_CAINFO, up->ca);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (nonempty(up->cert)) {
        SET(CURLOPT_SSLCERT, up->cert);
        SET(CURLOPT_SSLKEY, nonempty(up->key) ? up->key : up->cert);
    }
    if (request->headers && apr_table_get(request->headers, "Accept-Encoding")) {
        SET(CURLOPT_ACCEPT_ENCODING, "gzip");
    }
    if (request->body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        SET(CURLOPT_READFUNCTION, on_upload);
        SET(CURLOPT_READDATA, t);
    }
    else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    SET(CURLOPT_CUSTOMREQUEST, request->method);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_PRIVATE, t);
    return rc;
}

/* ---- may it be sent at all? ---- */

static int is_loopback(const char *origin)
{
    const char *host = strstr(origin, "://") + 3;
    apr_size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    int a, b, c, end = 0;

    if ((len == 9 && !memcmp(host, "localhost", 9)) || (len == 5 && !memcmp(host, "[::1]", 5))) {
        return 1;
    }
    if (len > 15 || len < 9 || memcmp(host, "127.", 4)) {
        return 0;
    }
    return sscanf(host, "127.%3d.%3d.%3d%n", &a, &b, &c, &end) == 3 && (apr_size_t)end == len &&
           a < 256 && b < 256 && c < 256;
}

static int has_origin(const cs_upstream_t *up, const char *origin)
{
    const char **configured = up->origins ? (const char **)up->origins->elts : NULL;
    int i, n = up->origins ? up->origins->nelts : 0;

    for (i = 0; i < n; i++) {
        if (!strcasecmp(configured[i], origin)) {
            return 1;
        }
    }
    return 0;
}

static int is_clean(const char *url)
{
    for (; *url; url++) {
        if ((unsigned char)*url <= 0x20 || (unsigned char)*url >= 0x7f || *url == '\\' ||
            *url == '"' || *url == '<' || *url == '>') {
            return 0;
        }
    }
    return 1;
}

static void fail(cs_http_response_t *response, apr_status_t rv, cs_class_e cls, const char *problem,
                 const char *text, apr_pool_t *p)
{
    cs_result_t *res = apr_pcalloc(p, sizeof(*res));

    cs_result_set(res, p, rv, cls, problem, "%s", text);
    response->failure = res;
    response->error = res->detail;
}

/* A token must not reach a host that nobody configured. Returns 0 with the failure filled in. */
static int check_address(const cs_http_request_t *request, cs_http_response_t *response,
                         const cs_upstream_t *up, apr_pool_t *p)
{
    const char *origin = cs_http_origin(request->url, p);
    const char *text = NULL;

    if (!origin || !is_clean(request->url)) {
        text = apr_psprintf(p, "%s: the address is malformed; an absolute https URL is needed",
                            request->label);
    }
    else if (!has_origin(up, origin)) {
        text = apr_psprintf(p, "%s: %s is not an address configured for %s", request->label, origin,
                            up->name);
    }
    else if (!is_https(origin) && !is_loopback(origin)) {
        text =
            apr_psprintf(p, "%s: %s is not allowed; http is for loopback addresses only, use https",
                         request->label, origin);
    }
    if (text) {
        fail(response, APR_EINVAL, CS_CLASS_SUSPEND, "config:origin", text, p);
    }
    return text == NULL;
}

/* ---- ending ---- */

/* libcurl's facts: before a request is written nothing can have happened at the other end. */
static int was_sent(CURL *easy)
{
    curl_off_t pretransfer = 0;
    long bytes = 0;

    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &bytes);
    return pretransfer > 0 || bytes > 0;
}

static const char *hint_of(const transfer_t *t, CURLcode code)
{
    long os = 0;

    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_COULDNT_CONNECT && (os == EACCES || os == EPERM)) {
        return "; the system forbids it: with SELinux see the boolean httpd_can_network_connect";
    }
    if (nonempty(t->up->proxy)) {
        return apr_psprintf(t->p, " (through the proxy %s)", t->up->proxy);
    }
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
        code == CURLE_OPERATION_TIMEDOUT) {
        return was_sent(t->easy)       ? ""
               : nonempty(t->up->hint) ? t->up->hint
                                       : "; if this server needs a proxy, configure it with proxy=";
    }
    return "";
}

static void explain(transfer_t *t, CURLcode code)
{
    cs_http_response_t *response = t->response;
    const char *origin = cs_http_origin(t->request->url, t->p);
    const char *cause = *t->error ? t->error : curl_easy_strerror(code);

    response->error = apr_psprintf(
        t->p, "%s %s: %s%s",
        response->outcome == CS_HTTP_NOT_SENT ? "could not reach" : "no complete answer from",
        strstr(origin, "://") + 3, t->over ? t->over : cause, hint_of(t, code));
    if (t->over) {
        int read = !strcmp(t->request->method, "GET");

        fail(response, CS_ELIMIT, read ? CS_CLASS_REFUSED : CS_CLASS_UNKNOWN, "limit",
             apr_psprintf(t->p, "%s: %s", t->request->label, response->error), t->p);
    }
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        fail(response, CS_EREMOTE, CS_CLASS_SUSPEND,
             code == CURLE_SSL_CACERT_BADFILE ? "config:ca" : "tls:certificate",
             apr_psprintf(t->p, "%s: %s; the trusted certificates are %s", t->request->label,
                          response->error, nonempty(t->up->ca) ? t->up->ca : "the system's"),
             t->p);
    }
}

static void take_body(transfer_t *t)
{
    char *body = apr_palloc(t->p, t->len + 1);

    if (t->len) {
        memcpy(body, t->buf, t->len);
    }
    body[t->len] = '\0';
    t->response->body = body;
    t->response->body_len = t->len;
    if (t->request->secret_body) {
        cs_wipe_at_end(body, t->len, t->p);
    }
}

static void tell_limiter(run_t *run, cs_http_response_t *response)
{
    apr_time_t now = cs_time_now();
    int throttled = response->status == 429 || response->status == 509;

    if (throttled) {
        cs_limiter_throttled(run->limiter, now, response->retry_after);
        if (!response->retry_after) {
            response->retry_after = cs_limiter_paused(run->limiter, now);
        }
    }
    else if (response->status == 503 && response->retry_after) {
        cs_limiter_pause(run->limiter, now, response->retry_after);
    }
    if (response->outcome != CS_HTTP_ANSWERED || throttled || response->status >= 500) {
        run->limiter->failed++;
        cs_count(CS_COUNT_CALLS_FAILED, 1);
    }
    else {
        cs_limiter_succeeded(run->limiter, now);
    }
}

static cs_outcome_e outcome_of(const cs_http_response_t *response)
{
    int status = response->status;

    switch (response->outcome) {
    case CS_HTTP_ANSWERED:
        return status == 429 || status == 509   ? CS_OUTCOME_THROTTLED
               : status == 409 || status == 412 ? CS_OUTCOME_CONFLICT
               : status >= 500                  ? CS_OUTCOME_FAILED
               : status >= 400                  ? CS_OUTCOME_REFUSED
                                                : CS_OUTCOME_OK;
    case CS_HTTP_UNKNOWN:
        return CS_OUTCOME_UNKNOWN;
    default:
        return CS_OUTCOME_FAILED;
    }
}

/* Their clock against ours: an answer is dated somewhere between its request and its arrival. */
static void tell_clock(run_t *run, const cs_http_response_t *response)
{
    const char *text = response->outcome == CS_HTTP_ANSWERED
                           ? apr_table_get(response->headers, "Date")
                           : NULL;
    apr_time_t now = cs_time_now(), date = text ? apr_date_parse_http(text) : APR_DATE_BAD;

    if (date == APR_DATE_BAD) {
        return;
    }
    date += APR_USEC_PER_SEC / 2;
    run->limiter->dated = now;
    run->limiter->ahead = date > now                 ? date - now
                          : date < response->sent_at ? date - response->sent_at
                                                     : 0;
}

static void log_call(const cs_http_t *http, const transfer_t *t)
{
    const cs_http_response_t *r = t->response;
    int good = r->outcome == CS_HTTP_ANSWERED && r->status < 400;
    cs_log_level_e level = good ? CS_LOG_DEBUG : CS_LOG_INFO;

    if (!cs_log_enabled(level, http->site)) {
        return;
    }
    if (r->outcome == CS_HTTP_ANSWERED) {
        cs_log(level, 0, http->site, CSLOGNO(4001) "%s: %d after %" APR_TIME_T_FMT " ms, %s",
               t->request->label, r->status, r->took / 1000,
               r->correlation ? r->correlation : "no ids");
    }
    else {
        cs_log(level, 0, http->site, CSLOGNO(4002) "%s: %s after %" APR_TIME_T_FMT " ms, %s",
               t->request->label, r->error ? r->error : "ended", r->took / 1000,
               r->correlation ? r->correlation : "no ids");
    }
}

/* code < 0: ended by us. */
static void finish(run_t *run, int at, int code, const char *ended)
{
    transfer_t *t = run->active[at];
    cs_http_response_t *response = t->response;
    long status = 0;

    response->took = cs_time_mono() - t->started;
    curl_multi_remove_handle(run->http->multi, t->easy);
    if (code == CURLE_OK) {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        response->outcome = CS_HTTP_ANSWERED;
        response->status = (int)status;
        take_body(t);
        response->retry_after = cs_http_retry_after(response, cs_time_now());
    }
    else {
        response->outcome = was_sent(t->easy) ? CS_HTTP_UNKNOWN : CS_HTTP_NOT_SENT;
        if (code < 0) {
            response->error = ended;
        }
        else {
            explain(t, (CURLcode)code);
        }
    }
    response->calls = response->outcome != CS_HTTP_NOT_SENT;
    if (!response->calls) {
        response->sent_at = 0;
    }
    response->correlation = cs_http_correlation(t->request->headers, response->headers, t->p);
    tell_limiter(run, response);
    tell_clock(run, response);
    cs_call_count(run->http->site, run->up->name, outcome_of(response));
    log_call(run->http, t);
    run->active[at] = NULL;
    run->n_active--;
    give_back(run->http, t, code == CURLE_OK);
}

/* ---- starting ---- */

static apr_interval_time_t timeout_of(const run_t *run, const cs_http_request_t *request)
{
    apr_interval_time_t timeout = request->timeout ? request->timeout : run->up->timeout;
    apr_interval_time_t left;

    timeout = timeout > 0 ? timeout : DEFAULT_TIMEOUT;
    if (run->deadline) {
        left = run->deadline - cs_time_mono();
        timeout = left < timeout ? left : timeout;
    }
    return timeout;
}

static int may_write(const run_t *run, const cs_http_request_t *request,
                     cs_http_response_t *response, apr_interval_time_t timeout)
{
    cs_http_t *http = run->http;

    if (!request->write || !http->may_write || http->may_write(http->baton, timeout)) {
        return 1;
    }
    fail(response, CS_ELEASE, CS_CLASS_THROTTLED, "lease",
         apr_psprintf(run->p, "%s: not sent, the lane's lease does not last long enough",
                      request->label),
         run->p);
    return 0;
}

static void start(run_t *run, int at)
{
    const cs_http_request_t *request = &run->requests[at];
    cs_http_response_t *response = &run->responses[at];
    apr_interval_time_t timeout = timeout_of(run, request);
    transfer_t *t;

    if (!check_address(request, response, run->up, run->p) ||
        !may_write(run, request, response, timeout)) {
        return;
    }
    t = take_transfer(run->http);
    if (!t) {
        response->error = "no memory for another request";
        return;
    }
    t->request = request;
    t->response = response;
    t->up = run->up;
    t->p = run->p;
    t->len = t->header_bytes = 0;
    t->max = request->max_response ? request->max_response : DEFAULT_MAX_RESPONSE;
    t->upload = request->body;
    t->upload_left = request->body ? request->body_len : 0;
    t->over = NULL;
    t->error[0] = '\0';
    if (!add_headers(t, request, request->trace ? request->trace : run->http->trace) ||
        configure(t, request, run->up, timeout) != CURLE_OK) {
        fail(response, APR_EINVAL, CS_CLASS_SUSPEND, "config:request",
             apr_psprintf(run->p, "%s: a header, the proxy or an option is not usable",
                          request->label),
             run->p);
        give_back(run->http, t, 0);
        return;
    }
    if (curl_multi_add_handle(run->http->multi, t->easy) != CURLM_OK) {
        response->error = "libcurl takes no more requests";
        give_back(run->http, t, 0);
        return;
    }
    cs_limiter_take(run->limiter, run->up->rate);
    t->started = cs_time_mono();
    response->started = 1;
    response->sent_at = cs_time_now();
    run->active[at] = t;
    run->n_active++;
}

/* Nothing more will be started: says why at each request that waits. */
static void start_no_more(run_t *run, const char *why, apr_interval_time_t pause)
{
    for (; run->next < run->n; run->next++) {
        run->responses[run->next].error = why;
        run->responses[run->next].retry_after = pause;
    }
}

/* Starts what may start now. Returns how long until the next may (cs_time_mono() scale, 0 = when
 * something ends). */
static apr_interval_time_t start_some(run_t *run)
{
    int most = run->up->concurrency > 0 ? run->up->concurrency : 1;
    apr_interval_time_t wait, pause;

    while (run->next < run->n) {
        if (run->deadline && cs_time_mono() + WORTH_STARTING > run->deadline) {
            start_no_more(run, "not started within its time", 0);
            break;
        }
        pause = cs_limiter_paused(run->limiter, cs_time_now());
        if (pause) {
            start_no_more(
                run, apr_psprintf(run->p, "not sent, %s asked for a pause", run->up->name), pause);
            break;
        }
        if (run->n_active >= cs_limiter_concurrency(run->limiter, most)) {
            return 0;
        }
        wait = cs_limiter_wait(run->limiter, run->up->rate, cs_time_now());
        if (wait) {
            return cs_time_wait(wait);
        }
        start(run, run->next++);
    }
    return 0;
}

/* ---- running ---- */

static void harvest(run_t *run)
{
    CURLMsg *msg;
    transfer_t *t;
    int left;

    while ((msg = curl_multi_info_read(run->http->multi, &left)) != NULL) {
        CURLcode code = msg->data.result;

        t = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        if (t && msg->msg == CURLMSG_DONE) {
            finish(run, (int)(t->response - run->responses), (int)code, NULL);
        }
    }
}

static int wait_ms(const run_t *run, apr_interval_time_t wait)
{
    apr_interval_time_t left = APR_USEC_PER_SEC;

    if (wait > 0 && wait < left) {
        left = wait;
    }
    if (run->deadline && run->next < run->n && run->deadline - cs_time_mono() < left) {
        left = run->deadline - cs_time_mono();
    }
    return left > 0 ? (int)((left + 999) / 1000) : 0;
}

static void drive(run_t *run)
{
    apr_interval_time_t wait;
    int running;

    for (;;) {
        if (atomic_load(&run->http->aborted)) {
            start_no_more(run, "not sent, this process is stopping", 0);
            break;
        }
        wait = start_some(run);
        if (run->n_active == 0 && run->next >= run->n) {
            break;
        }
        if (curl_multi_perform(run->http->multi, &running) != CURLM_OK) {
            start_no_more(run, "libcurl failed", 0);
            break;
        }
        harvest(run);
        if (run->n_active == 0 && run->next >= run->n) {
            break;
        }
        if (running < run->n_active || (run->n_active == 0 && !wait)) {
            continue;
        }
        curl_multi_poll(run->http->multi, NULL, 0, wait_ms(run, wait), NULL);
    }
}

static void prepare(run_t *run)
{
    int i;

    memset(run->responses, 0, sizeof(*run->responses) * (apr_size_t)run->n);
    for (i = 0; i < run->n; i++) {
        run->responses[i].outcome = CS_HTTP_NOT_SENT;
        run->responses[i].headers = apr_table_make(run->p, 8);
        run->responses[i].body = "";
        run->responses[i].reason = "";
    }
}

apr_status_t cs_http_perform(cs_http_t *http, const cs_upstream_t *up, cs_limiter_t *limiter,
                             const cs_http_request_t *requests, cs_http_response_t *responses,
                             int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    run_t run = {http, up, limiter, requests, responses, NULL, n, 0, 0, deadline, p};
    int i;

    if (n <= 0) {
        return APR_SUCCESS;
    }
    run.active = apr_pcalloc(p, sizeof(*run.active) * (apr_size_t)n);
    prepare(&run);
    drive(&run);
    for (i = 0; i < n; i++) {
        if (run.active[i]) {
            finish(&run, i, -1, "ended because this process is stopping");
        }
    }
    return APR_SUCCESS;
}

/* ---- life ---- */

static apr_status_t close_http(void *baton)
{
    cs_http_t *http = baton;
    transfer_t *t;

    while ((t = http->idle) != NULL) {
        http->idle = t->next_idle;
        destroy_transfer(t);
    }
    curl_multi_cleanup(http->multi);
    curl_global_cleanup();
    return APR_SUCCESS;
}

apr_status_t cs_http_create(cs_http_t **phttp, const char *site, apr_pool_t *p)
{
    cs_http_t *http = apr_pcalloc(p, sizeof(*http));

    *phttp = NULL;
    /* Counted and thread safe in every libcurl that has CURLOPT_PROTOCOLS_STR; other modules of
     * this process count too. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return APR_EGENERAL;
    }
    http->multi = curl_multi_init();
    if (!http->multi) {
        curl_global_cleanup();
        return APR_ENOMEM;
    }
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, MAX_CONNECTIONS);
    http->site = apr_pstrdup(p, site);
    atomic_init(&http->aborted, 0);
    apr_pool_cleanup_register(p, http, close_http, apr_pool_cleanup_null);
    *phttp = http;
    return APR_SUCCESS;
}

void cs_http_abort(cs_http_t *http)
{
    atomic_store(&http->aborted, 1);
    curl_multi_wakeup(http->multi);
}

void cs_http_guard(cs_http_t *http, cs_may_write_fn *guard, void *baton)
{
    http->may_write = guard;
    http->baton = baton;
}

void cs_http_trace(cs_http_t *http, const char *trace)
{
    http->trace = trace;
}
