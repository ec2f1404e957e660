/* remote/curl_internal.h: a transfer and a run of transfers, shared by the files curl*.c, which
 * together are the only users of libcurl. Nobody else includes it. Everything here belongs to the
 * thread that is in cs_http_perform, but for `aborted`. */
#ifndef CS_REMOTE_CURL_INTERNAL_H
#define CS_REMOTE_CURL_INTERNAL_H

#include <curl/curl.h>
#include <stdatomic.h>

#include "http.h"

typedef struct cs_transfer_t cs_transfer_t;
struct cs_transfer_t {
    CURL *easy;
    cs_transfer_t *next_idle;
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
    cs_transfer_t *idle;
    int n_idle;
    atomic_int aborted;
    cs_may_write_fn *may_write;
    void *baton;
    const char *trace;
};

/* One call of cs_http_perform. */
typedef struct cs_http_run_t {
    cs_http_t *http;
    const cs_upstream_t *up;
    cs_limiter_t *limiter;
    const cs_http_request_t *requests;
    cs_http_response_t *responses;
    cs_transfer_t **active; /* one place per request */
    int n, next, n_active;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} cs_http_run_t;

/* ---- one transfer (curl_transfer.c) ---- */

/* An idle one or a new one, to be given back; NULL when there is no memory. */
cs_transfer_t *cs_transfer_take(cs_http_t *http);
/* Keeps it for another request, or frees it: one that failed (good = 0) is not trusted again. Its
 * tokens and bodies are wiped either way. */
void cs_transfer_give_back(cs_http_t *http, cs_transfer_t *t, int good);
/* Frees it; what it held is wiped. */
void cs_transfer_destroy(cs_transfer_t *t);
/* Makes it carry this request: both borrowed until it is given back; the answer's strings in p.
 * trace: NULL = none is sent. Anything but CURLE_OK: a header or an option cannot be used. */
CURLcode cs_transfer_prepare(cs_transfer_t *t, const cs_http_request_t *request,
                             cs_http_response_t *response, const cs_upstream_t *up,
                             apr_interval_time_t timeout, const char *trace, apr_pool_t *p);

/* ---- starting (curl_start.c) ---- */

/* Request number `at` of the run: a place in `active` is taken, or its response says why not. */
void cs_http_start(cs_http_run_t *run, int at);
/* The response carries a result of its own, which wins in classification. text: in p or static. */
void cs_http_fail(cs_http_response_t *response, apr_status_t rv, cs_class_e cls,
                  const char *problem, const char *text, apr_pool_t *p);

/* ---- ending (curl_finish.c) ---- */

/* The transfer of request number `at`, which is active, is over; its place becomes free. code:
 * libcurl's, or below 0 when we end it, for the reason `ended`. */
void cs_http_finish(cs_http_run_t *run, int at, int code, const char *ended);

#endif
