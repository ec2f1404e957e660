#include "certificate.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/counter.h"
#include "../base/crypto.h"

#define MAX_CERTIFICATE ((apr_size_t)64 * 1024)
#define TOTAL_TIME apr_time_from_sec(10)
#define OWNER_ONLY (APR_FPROT_UREAD | APR_FPROT_UWRITE)

static apr_status_t write_whole(apr_file_t *file, const cs_http_response_t *response)
{
    apr_status_t rv = apr_file_write_full(file, response->body, response->body_len, NULL);

    /* Renamed before its bytes are durable, a power cut would leave an empty certificate where a
     * good one was. */
    if (rv == APR_SUCCESS) {
        rv = apr_file_sync(file);
    }
    return rv;
}

static apr_status_t replace(const char *dir, const char *path, const cs_http_response_t *response,
                            apr_pool_t *ptemp)
{
    char *temp = apr_pstrcat(ptemp, path, ".XXXXXX", NULL);
    apr_file_t *file = NULL;
    apr_status_t rv, closed;

    rv = apr_dir_make(dir, OWNER_ONLY | APR_FPROT_UEXECUTE, ptemp);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EEXIST(rv)) {
        return rv;
    }
    /* mkstemp: mode 0600 from the first moment on */
    rv = apr_file_mktemp(
        &file, temp, APR_FOPEN_CREATE | APR_FOPEN_EXCL | APR_FOPEN_WRITE | APR_FOPEN_BINARY, ptemp);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = write_whole(file, response);
    closed = apr_file_close(file);
    rv = rv == APR_SUCCESS ? closed : rv;
    if (rv == APR_SUCCESS) {
        rv = apr_file_rename(temp, path, ptemp);
    }
    if (rv != APR_SUCCESS) {
        apr_file_remove(temp, ptemp);
    }
    return rv;
}

static apr_status_t store(const cs_http_response_t *response, const cs_http_request_t *request,
                          const char *state_dir, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *dir = apr_pstrcat(ptemp, state_dir, "/certs", NULL);
    const char *path = apr_pstrcat(ptemp, dir, "/",
                                   cs_sha256_hex(request->url, strlen(request->url), ptemp), NULL);
    char reason[120];
    apr_status_t rv;

    if (response->body_len == 0) {
        return cs_result_set(res, ptemp, CS_EREMOTE, CS_CLASS_RETRY, "certificate:empty", "%s",
                             cs_http_describe(response, request, "the file is empty", ptemp));
    }
    rv = replace(dir, path, response, ptemp);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, ptemp, rv, CS_CLASS_RETRY, "certificate:file",
                             "could not write %s: %s", path,
                             cs_strerror(rv, reason, sizeof(reason)));
    }
    return APR_SUCCESS;
}

apr_status_t cs_certificate_fetch(cs_http_t *http, const cs_upstream_t *up, cs_limiter_t *limiter,
                                  const char *state_dir, const char *url, apr_pool_t *ptemp,
                                  cs_result_t *res)
{
    cs_http_request_t request = {0};
    cs_http_response_t response;
    apr_status_t rv;

    request.method = "GET";
    request.url = url;
    request.max_response = MAX_CERTIFICATE;
    request.timeout = up->timeout > 0 && up->timeout < TOTAL_TIME ? up->timeout : TOTAL_TIME;
    request.label = apr_pstrcat(ptemp, "certificate ", url, NULL);
    cs_result_clear(res);
    rv = cs_http_perform(http, up, limiter, &request, &response, 1, 0, ptemp);
    if (rv == APR_SUCCESS) {
        cs_http_classify(res, &response, &request, ptemp);
        rv = res->rv;
    }
    if (rv == APR_SUCCESS && response.status != 200) {
        rv = cs_result_set(res, ptemp, CS_EREMOTE, CS_CLASS_REFUSED,
                           apr_psprintf(ptemp, "http:%d", response.status), "%s",
                           cs_http_describe(&response, &request, NULL, ptemp));
    }
    if (rv == APR_SUCCESS) {
        rv = store(&response, &request, state_dir, ptemp, res);
    }
    cs_count(rv == APR_SUCCESS ? CS_COUNT_CERTIFICATE_FETCHES : CS_COUNT_CERTIFICATE_ERRORS, 1);
    return rv;
}
