/* remote/curl_finish.c: the end of one transfer: what its response says, the cause in words where
 * there is no answer, and what limiter, counters and log are told. */
#include "curl_internal.h"

#include <apr_date.h>
#include <apr_strings.h>
#include <errno.h>
#include <string.h>

#include "limiter.h"
#include "../base/counter.h"
#include "../base/gauge.h"
#include "../base/crypto.h"
#include "../base/log.h"
#include "../base/time.h"

/* libcurl's facts: before a request is written nothing can have happened at the other end. */
static int was_sent(CURL *easy)
{
    curl_off_t pretransfer = 0;
    long bytes = 0;

    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &bytes);
    return pretransfer > 0 || bytes > 0;
}

static const char *hint_of(const cs_transfer_t *t, CURLcode code)
{
    long os = 0;

    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_COULDNT_CONNECT && (os == EACCES || os == EPERM)) {
        return "; the system forbids it: with SELinux see the boolean httpd_can_network_connect";
    }
    if (t->up->proxy) {
        return apr_psprintf(t->p, " (through the proxy %s)", t->up->proxy);
    }
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
        code == CURLE_OPERATION_TIMEDOUT) {
        return was_sent(t->easy) ? ""
               : t->up->hint     ? t->up->hint
                                 : "; if this server needs a proxy, configure it with proxy=";
    }
    return "";
}

static void explain(cs_transfer_t *t, CURLcode code)
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

        cs_http_fail(response, CS_ELIMIT, read ? CS_CLASS_REFUSED : CS_CLASS_UNKNOWN, "limit",
                     apr_psprintf(t->p, "%s: %s", t->request->label, response->error), t->p);
    }
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        cs_http_fail(response, CS_EREMOTE, CS_CLASS_SUSPEND,
                     code == CURLE_SSL_CACERT_BADFILE ? "config:ca" : "tls:certificate",
                     apr_psprintf(t->p, "%s: %s; the trusted certificates are %s",
                                  t->request->label, response->error,
                                  t->up->ca ? t->up->ca : "the system's"),
                     t->p);
    }
}

static void take_body(cs_transfer_t *t)
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

static void tell_limiter(cs_http_run_t *run, cs_http_response_t *response)
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
static void tell_clock(cs_http_run_t *run, const cs_http_response_t *response)
{
    const char *text =
        response->outcome == CS_HTTP_ANSWERED ? apr_table_get(response->headers, "Date") : NULL;
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

static void log_call(const cs_http_t *http, const cs_transfer_t *t)
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

void cs_http_finish(cs_http_run_t *run, int at, int code, const char *ended)
{
    cs_transfer_t *t = run->active[at];
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
    cs_transfer_give_back(run->http, t, code == CURLE_OK);
}
