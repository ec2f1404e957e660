/* remote/curl.c: many requests at once over one multi handle per lane, which keeps the connections.
 * curl_start.c, curl_transfer.c and curl_finish.c say how one of them starts, runs and ends. */
#include "curl_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "limiter.h"
#include "../base/time.h"

/* With less than this left of a deadline a request would only cost an attempt. */
#define WORTH_STARTING (APR_USEC_PER_SEC / 10)
#define MAX_CONNECTIONS 32L

/* Nothing more will be started: says why at each request that waits. */
static void start_no_more(cs_http_run_t *run, const char *why, apr_interval_time_t pause)
{
    for (; run->next < run->n; run->next++) {
        run->responses[run->next].error = why;
        run->responses[run->next].retry_after = pause;
    }
}

/* Starts what may start now. Returns how long until the next may (cs_time_mono() scale, 0 = when
 * something ends). */
static apr_interval_time_t start_some(cs_http_run_t *run)
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
        cs_http_start(run, run->next++);
    }
    return 0;
}

/* ---- running ---- */

static void harvest(cs_http_run_t *run)
{
    CURLMsg *msg;
    cs_transfer_t *t;
    int left;

    while ((msg = curl_multi_info_read(run->http->multi, &left)) != NULL) {
        CURLcode code = msg->data.result;

        t = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        if (t && msg->msg == CURLMSG_DONE) {
            cs_http_finish(run, (int)(t->response - run->responses), (int)code, NULL);
        }
    }
}

static int wait_ms(const cs_http_run_t *run, apr_interval_time_t wait)
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

static void drive(cs_http_run_t *run)
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

static void prepare(cs_http_run_t *run)
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
    cs_http_run_t run = {http, up, limiter, requests, responses, NULL, n, 0, 0, deadline, p};
    int i;

    if (n <= 0) {
        return APR_SUCCESS;
    }
    run.active = apr_pcalloc(p, sizeof(*run.active) * (apr_size_t)n);
    prepare(&run);
    drive(&run);
    for (i = 0; i < n; i++) {
        if (run.active[i]) {
            cs_http_finish(&run, i, -1, "ended because this process is stopping");
        }
    }
    return APR_SUCCESS;
}

/* ---- life ---- */

static apr_status_t close_http(void *baton)
{
    cs_http_t *http = baton;
    cs_transfer_t *t;

    while ((t = http->idle) != NULL) {
        http->idle = t->next_idle;
        cs_transfer_destroy(t);
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
