/* remote/token_perform.c: requests with a token: what a fresh one may help against is sent once
 * more. */
#include "token.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"

/* Refused in a way that a fresh token may help against. */
static int is_unauthorized(const cs_token_t *token, const cs_http_response_t *response)
{
    const char *const *text = cs_token_config(token)->hopeless;

    if (response->outcome != CS_HTTP_ANSWERED || response->status != 401) {
        return 0;
    }
    for (; text && *text; text++) {
        if (response->body && strstr(response->body, *text)) {
            return 0;
        }
    }
    return 1;
}

static void fail_all(cs_http_response_t *responses, int n, const cs_result_t *why, apr_pool_t *p)
{
    cs_result_t *failure = apr_palloc(p, sizeof(*failure));
    int i;

    cs_result_copy(failure, why, p);
    memset(responses, 0, sizeof(*responses) * (apr_size_t)n);
    for (i = 0; i < n; i++) {
        responses[i].outcome = CS_HTTP_NOT_SENT;
        responses[i].headers = apr_table_make(p, 1);
        responses[i].body = responses[i].reason = "";
        responses[i].error = failure->detail;
        responses[i].failure = failure;
    }
}

static void merge(cs_http_response_t *to, const cs_http_response_t *second, apr_pool_t *p)
{
    cs_http_response_t first = *to;

    *to = *second;
    to->calls += first.calls;
    to->took += first.took;
    to->sent_at = first.sent_at;
    if (first.correlation && !second->correlation) {
        to->correlation = apr_pstrdup(p, first.correlation);
    }
}

/* Each call carries an id of its own, a repeated one too; what correlates them stays. */
static apr_table_t *renew_ids(const apr_table_t *headers, apr_pool_t *p)
{
    static const char *const ids[] = {"client-request-id", "x-ms-client-request-id"};
    apr_table_t *fresh = headers ? apr_table_copy(p, headers) : NULL;
    size_t i;

    for (i = 0; fresh && i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (apr_table_get(fresh, ids[i])) {
            apr_table_setn(fresh, ids[i], cs_uuid4(p));
        }
    }
    return fresh;
}

/* The few that were refused, once more; a 401 means that nothing was done, so writes may be
 * repeated too. */
static apr_status_t repeat_unauthorized(cs_token_t *token, cs_http_t *http, const cs_upstream_t *up,
                                        cs_limiter_t *limiter, cs_http_request_t *requests,
                                        cs_http_response_t *responses, int n, int m,
                                        apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_http_request_t *again = apr_palloc(p, sizeof(*again) * (apr_size_t)m);
    cs_http_response_t *answers = apr_palloc(p, sizeof(*answers) * (apr_size_t)m);
    cs_result_t res = {0}, *failure;
    const char *bearer;
    apr_status_t rv;
    int i, k = 0;

    cs_token_refused(token);
    if (cs_token_get(token, &bearer, deadline, p, &res) != APR_SUCCESS) {
        failure = apr_palloc(p, sizeof(*failure));
        cs_result_copy(failure, &res, p);
        for (i = 0; i < n; i++) {
            if (is_unauthorized(token, &responses[i])) {
                responses[i].failure = failure;
            }
        }
        return APR_SUCCESS;
    }
    for (i = 0; i < n; i++) {
        requests[i].bearer = bearer;
        if (is_unauthorized(token, &responses[i])) {
            again[k] = requests[i];
            again[k++].headers = renew_ids(requests[i].headers, p);
        }
    }
    rv = cs_http_perform(http, up, limiter, again, answers, k, deadline, p);
    for (i = 0, k = 0; rv == APR_SUCCESS && i < n; i++) {
        if (is_unauthorized(token, &responses[i])) {
            merge(&responses[i], &answers[k++], p);
        }
    }
    return rv;
}

apr_status_t cs_token_perform(cs_token_t *token, cs_http_t *http, const cs_upstream_t *up,
                              cs_limiter_t *limiter, cs_http_request_t *requests,
                              cs_http_response_t *responses, int n, apr_interval_time_t deadline,
                              apr_pool_t *p)
{
    cs_result_t res = {0};
    const char *bearer;
    apr_status_t rv;
    int i, m = 0;

    if (n <= 0) {
        return APR_SUCCESS;
    }
    if (cs_token_get(token, &bearer, deadline, p, &res) != APR_SUCCESS) {
        fail_all(responses, n, &res, p);
        return APR_SUCCESS;
    }
    for (i = 0; i < n; i++) {
        requests[i].bearer = bearer;
    }
    rv = cs_http_perform(http, up, limiter, requests, responses, n, deadline, p);
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        m += is_unauthorized(token, &responses[i]);
    }
    if (m && rv == APR_SUCCESS) {
        rv = repeat_unauthorized(token, http, up, limiter, requests, responses, n, m, deadline, p);
    }
    for (i = 0; i < n; i++) {
        requests[i].bearer = NULL;
    }
    return rv;
}
