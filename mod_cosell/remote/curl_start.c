/* remote/curl_start.c: starting one request: whether its address may be called and a write may
 * start now, the time it gets, and a transfer for it. What may not start is not sent, and its
 * response says why. */
#include "curl_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "limiter.h"
#include "../base/time.h"

#define DEFAULT_TIMEOUT apr_time_from_sec(30)

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

void cs_http_fail(cs_http_response_t *response, apr_status_t rv, cs_class_e cls,
                  const char *problem, const char *text, apr_pool_t *p)
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
    else if (strncmp(origin, "https:", 6) && !cs_http_is_loopback(origin)) {
        text =
            apr_psprintf(p, "%s: %s is not allowed; http is for loopback addresses only, use https",
                         request->label, origin);
    }
    if (text) {
        cs_http_fail(response, APR_EINVAL, CS_CLASS_SUSPEND, "config:origin", text, p);
    }
    return text == NULL;
}

static apr_interval_time_t timeout_of(const cs_http_run_t *run, const cs_http_request_t *request)
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

static int may_write(const cs_http_run_t *run, const cs_http_request_t *request,
                     cs_http_response_t *response, apr_interval_time_t timeout)
{
    cs_http_t *http = run->http;

    if (!request->write || !http->may_write || http->may_write(http->baton, timeout)) {
        return 1;
    }
    cs_http_fail(response, CS_ELEASE, CS_CLASS_THROTTLED, "lease",
                 apr_psprintf(run->p, "%s: not sent, the lane's lease does not last long enough",
                              request->label),
                 run->p);
    return 0;
}

void cs_http_start(cs_http_run_t *run, int at)
{
    const cs_http_request_t *request = &run->requests[at];
    cs_http_response_t *response = &run->responses[at];
    apr_interval_time_t timeout = timeout_of(run, request);
    cs_transfer_t *t;

    if (!check_address(request, response, run->up, run->p) ||
        !may_write(run, request, response, timeout)) {
        return;
    }
    t = cs_transfer_take(run->http);
    if (!t) {
        response->error = "no memory for another request";
        return;
    }
    if (cs_transfer_prepare(t, request, response, run->up, timeout,
                            request->trace ? request->trace : run->http->trace,
                            run->p) != CURLE_OK) {
        cs_http_fail(response, APR_EINVAL, CS_CLASS_SUSPEND, "config:request",
                     apr_psprintf(run->p, "%s: a header, the proxy or an option is not usable",
                                  request->label),
                     run->p);
        cs_transfer_give_back(run->http, t, 0);
        return;
    }
    if (curl_multi_add_handle(run->http->multi, t->easy) != CURLM_OK) {
        response->error = "libcurl takes no more requests";
        cs_transfer_give_back(run->http, t, 0);
        return;
    }
    cs_limiter_take(run->limiter, run->up->rate);
    t->started = cs_time_mono();
    response->started = 1;
    response->sent_at = cs_time_now();
    run->active[at] = t;
    run->n_active++;
}
