/* remote/curl_transfer.c: one transfer: an easy handle with its buffer, kept between requests, what
 * is set at it for a request, and what libcurl calls while it runs. */
#include "curl_internal.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/trace.h"

#ifndef CS_VERSION
#define CS_VERSION "0.1.0"
#endif
#define USER_AGENT "mod_cosell/" CS_VERSION
#define CONNECT_TIMEOUT apr_time_from_sec(5)
#define MAX_HEADER_BYTES ((apr_size_t)64 * 1024)
#define DEFAULT_MAX_RESPONSE ((apr_size_t)4 * 1024 * 1024)
#define KEEP_BUFFER ((apr_size_t)256 * 1024)
#define MAX_IDLE 64
#define LOW_SPEED_BYTES 16L

/* ---- transfers ---- */

static void free_headers(cs_transfer_t *t)
{
    for (struct curl_slist *h = t->headers; h; h = h->next) {
        cs_wipe(h->data, strlen(h->data));
    }
    curl_slist_free_all(t->headers);
    t->headers = NULL;
}

void cs_transfer_destroy(cs_transfer_t *t)
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

cs_transfer_t *cs_transfer_take(cs_http_t *http)
{
    cs_transfer_t *t = http->idle;

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

void cs_transfer_give_back(cs_http_t *http, cs_transfer_t *t, int good)
{
    free_headers(t);
    if (!good || http->n_idle >= MAX_IDLE) {
        cs_transfer_destroy(t);
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

static int grow(cs_transfer_t *t, apr_size_t need)
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
    cs_transfer_t *t = baton;
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
static void take_status_line(cs_transfer_t *t, const char *line, size_t n)
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
    cs_transfer_t *t = baton;
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
    cs_transfer_t *t = baton;
    size_t n = size * nmemb;

    n = n > t->upload_left ? t->upload_left : n;
    memcpy(out, t->upload, n);
    t->upload += n;
    t->upload_left -= n;
    return n;
}

/* ---- setting up ---- */

/* No copy of a token stays behind in the pool. */
static int add_header(cs_transfer_t *t, const char *name, const char *scheme, const char *value)
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

static int add_headers(cs_transfer_t *t, const cs_http_request_t *request, const char *trace)
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

/* Where it goes, and how the other end proves who it is. */
static CURLcode set_peer(cs_transfer_t *t, const char *url, const cs_upstream_t *up)
{
    CURLcode rc = CURLE_OK;
    int https = !strncasecmp(url, "https://", 8);

    SET(CURLOPT_URL, url);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    /* An explicit proxy, even an empty one, also keeps the environment's out. Plain http goes to
     * loopback and never through a proxy. */
    SET(CURLOPT_PROXY, https && up->proxy ? up->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 60L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (up->ca) {
        SET(CURLOPT_CAINFO, up->ca);
        SET(CURLOPT_CAPATH, NULL);
    }
    if (up->cert) {
        SET(CURLOPT_SSLCERT, up->cert);
        SET(CURLOPT_SSLKEY, up->key ? up->key : up->cert);
    }
    return rc;
}

static CURLcode set_times(cs_transfer_t *t, apr_interval_time_t timeout)
{
    CURLcode rc = CURLE_OK;
    long low = in_ms(timeout) / 1000 * 2 / 3;

    SET(CURLOPT_CONNECTTIMEOUT_MS, in_ms(timeout < CONNECT_TIMEOUT ? timeout : CONNECT_TIMEOUT));
    SET(CURLOPT_TIMEOUT_MS, in_ms(timeout));
    SET(CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES);
    SET(CURLOPT_LOW_SPEED_TIME, low > 10 ? low : 10L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    return rc;
}

static CURLcode set_request(cs_transfer_t *t, const cs_http_request_t *request)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_USERAGENT, USER_AGENT);
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
    return rc;
}

static CURLcode set_callbacks(cs_transfer_t *t)
{
    CURLcode rc = CURLE_OK;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_PRIVATE, t);
    return rc;
}

#undef SET

CURLcode cs_transfer_prepare(cs_transfer_t *t, const cs_http_request_t *request,
                             cs_http_response_t *response, const cs_upstream_t *up,
                             apr_interval_time_t timeout, const char *trace, apr_pool_t *p)
{
    CURLcode rc;

    t->request = request;
    t->response = response;
    t->up = up;
    t->p = p;
    t->len = t->header_bytes = 0;
    t->max = request->max_response ? request->max_response : DEFAULT_MAX_RESPONSE;
    t->upload = request->body;
    t->upload_left = request->body ? request->body_len : 0;
    t->over = NULL;
    t->error[0] = '\0';
    if (!add_headers(t, request, trace)) {
        return CURLE_BAD_FUNCTION_ARGUMENT;
    }
    rc = set_peer(t, request->url, up);
    rc = rc ? rc : set_times(t, timeout);
    rc = rc ? rc : set_request(t, request);
    return rc ? rc : set_callbacks(t);
}
