/* httpd/receive.c: what the two handlers that take notices have in common: reading the request,
 * refusing it, answering.
 *
 * What a stranger can cause is never logged above INFO, and is counted instead of repeated.
 */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/time.h"

APLOG_USE_MODULE(cosell);

#define BODY_FIRST 4096
#define RETRY_AFTER "5"
#define SAY_EVERY apr_time_from_sec(60)
#define LINES_MOST 10

/* ---- answers ---- */

int cosell_answer_as(request_rec *r, int status, const char *type, const char *text)
{
    apr_size_t len = strlen(text);

    r->status = status;
    ap_set_content_length(r, (apr_off_t)len);
    if (len) {
        ap_set_content_type(r, type);
        ap_rwrite(text, (int)len, r);
    }
    return OK;
}

int cosell_answer(request_rec *r, int status, const char *text)
{
    return cosell_answer_as(r, status, "text/plain", text);
}

/* Ten lines per kind of refusal and minute, whatever the senders do; the others at DEBUG. */
static int may_say(int kind, unsigned long *psuppressed)
{
    static _Atomic apr_int64_t minute[4];
    static atomic_int lines[4];
    apr_int64_t now = cs_time_mono() / SAY_EVERY;
    apr_int64_t before = atomic_exchange(&minute[kind], now);
    int n;

    *psuppressed = 0;
    if (before != now) {
        n = atomic_exchange(&lines[kind], 0);
        *psuppressed = n > LINES_MOST ? (unsigned long)(n - LINES_MOST) : 0;
    }
    return atomic_fetch_add(&lines[kind], 1) < LINES_MOST;
}

static void say(request_rec *r, int status, const char *reason)
{
    int kind = status == 400 ? 0 : status == 401 ? 1 : status == 503 ? 2 : 3;
    unsigned long suppressed;
    int level = may_say(kind, &suppressed) ? APLOG_INFO : APLOG_DEBUG;

    if (suppressed) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      CSLOGNO(1050) "%lu more callbacks were answered %d in a minute before",
                      suppressed, status);
    }
    ap_log_rerror(APLOG_MARK, level, 0, r, CSLOGNO(1051) "callback answered %d: %s", status,
                  cs_log_redact(reason, 1000, r->pool));
}

int cosell_refuse(request_rec *r, int status, const char *reason)
{
    static const struct {
        int status;
        cs_counter_e counter;
        const char *text;
    } kinds[] = {
        {HTTP_BAD_REQUEST, CS_COUNT_REJECTED_400, "bad request\n"},
        {HTTP_UNAUTHORIZED, CS_COUNT_REJECTED_401, "not authentic\n"},
        {HTTP_SERVICE_UNAVAILABLE, CS_COUNT_UNAVAILABLE, "try again later\n"},
        {HTTP_METHOD_NOT_ALLOWED, CS_COUNT_REJECTED_OTHER, "method not allowed\n"},
        {HTTP_REQUEST_ENTITY_TOO_LARGE, CS_COUNT_REJECTED_OTHER, "too large\n"},
        {HTTP_UNSUPPORTED_MEDIA_TYPE, CS_COUNT_REJECTED_OTHER, "unsupported media type\n"},
        {0, CS_COUNT_REJECTED_OTHER, "the request could not be read\n"},
    };
    apr_size_t i = 0;

    while (kinds[i].status != status && i + 1 < sizeof(kinds) / sizeof(kinds[0])) {
        i++;
    }
    cs_count(kinds[i].counter, 1);
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", RETRY_AFTER);
    }
    if (status == HTTP_METHOD_NOT_ALLOWED) {
        apr_table_setn(r->headers_out, "Allow", "POST");
    }
    say(r, status, reason);
    return cosell_answer(r, status, kinds[i].text);
}

int cosell_end(request_rec *r, int status, const cs_result_t *res)
{
    if (status == AP_FILTER_ERROR || !ap_is_HTTP_ERROR(status)) {
        return status;
    }
    return cosell_refuse(r, status, res->detail ? res->detail
                                    : res->problem ? res->problem : "no reason known");
}

/* ---- the request ---- */

static int is_one_of(const char *type, const char *const *types)
{
    for (; type && *types; types++) {
        apr_size_t len = strlen(*types);

        if (!strncasecmp(type, *types, len) &&
            (!type[len] || type[len] == ';' || type[len] == ' ' || type[len] == '\t')) {
            return 1;
        }
    }
    return 0;
}

/* What the header announces; -1 = nothing. */
static apr_off_t announced(const request_rec *r)
{
    const char *text = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t len;
    char *end;

    if (!text || apr_strtoff(&len, text, &end, 10) != APR_SUCCESS || *end || len < 0) {
        return -1;
    }
    return len;
}

int cosell_request_check(const request_rec *r, apr_size_t most, const char *const *types)
{
    if (r->method_number != M_POST) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (!is_one_of(apr_table_get(r->headers_in, "Content-Type"), types)) {
        return HTTP_UNSUPPORTED_MEDIA_TYPE;
    }
    return announced(r) > (apr_off_t)most ? HTTP_REQUEST_ENTITY_TOO_LARGE : OK;
}

const char *cosell_unusable(const cosell_conf_t *conf)
{
    if (conf->degraded || conf->broken) {
        return conf->degraded ? conf->degraded : conf->broken;
    }
    if (cosell_node && cosell_node->broken) {
        return cosell_node->broken;
    }
    if (!conf->effective || !conf->effective->trust || conf->effective->cfg.degraded) {
        return conf->effective && conf->effective->cfg.degraded ? conf->effective->cfg.degraded
                                                                : "the site is not usable";
    }
    if (!cosell_child || !cosell_child->committer) {
        return cosell_child && cosell_child->why ? cosell_child->why : "the child is not ready";
    }
    return NULL;
}

/* ---- the body ---- */

typedef struct body_t {
    char *bytes;
    apr_size_t len, room, most;
} body_t;

static int append(request_rec *r, body_t *body, const char *data, apr_size_t len)
{
    if (len > body->most - body->len) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    if (body->len + len + 1 > body->room) {
        char *bytes;

        while (body->len + len + 1 > body->room) {
            body->room *= 2;
        }
        bytes = apr_palloc(r->pool, body->room);
        memcpy(bytes, body->bytes, body->len);
        body->bytes = bytes;
    }
    memcpy(body->bytes + body->len, data, len);
    body->len += len;
    return OK;
}

/* All buckets of one brigade. OK, DONE at the end of the body, or a status. */
static int take_brigade(request_rec *r, body_t *body, apr_bucket_brigade *bb)
{
    apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        int status;

        if (APR_BUCKET_IS_EOS(b)) {
            return DONE;
        }
        if (AP_BUCKET_IS_ERROR(b)) {
            return ((ap_bucket_error *)b->data)->status;
        }
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return HTTP_BAD_REQUEST;
        }
        status = append(r, body, data, len);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

static int read_all(request_rec *r, body_t *body)
{
    apr_off_t length = announced(r);
    apr_bucket_brigade *bb;
    int status = OK;

    if (length > (apr_off_t)body->most) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    body->room = length >= 0 ? (apr_size_t)length + 1 : BODY_FIRST;
    body->bytes = apr_palloc(r->pool, body->room);
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    while (status == OK) {
        apr_status_t rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ,
                                         HUGE_STRING_LEN);

        status = rv == APR_SUCCESS ? take_brigade(r, body, bb)
                                   : ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
        apr_brigade_cleanup(bb);
    }
    apr_brigade_destroy(bb);
    body->bytes[body->len] = '\0';
    return status == DONE ? OK : status;
}

int cosell_body_read(request_rec *r, apr_size_t most, char **pbody, apr_size_t *plen,
                     cs_result_t *res)
{
    body_t body = {NULL, 0, 0, most};
    int status = read_all(r, &body);

    *pbody = body.bytes;
    *plen = body.len;
    if (status != OK) {
        cs_result_set(res, r->pool, APR_EGENERAL, CS_CLASS_REFUSED, "body",
                      "the body could not be read or is larger than %" APR_SIZE_T_FMT " bytes",
                      most);
    }
    return status;
}
