#include "http.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/host.h"
#include "../base/log.h"
#include "../base/text.h"
#include "../base/time.h"

#define MESSAGE_MAX 1000

static int is_unreserved(unsigned char c)
{
    return apr_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

const char *cs_http_escape(const char *text, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *from = (const unsigned char *)text;
    char *out = apr_palloc(p, strlen(text) * 3 + 1), *to = out;

    for (; *from; from++) {
        if (*from < 0x80 && is_unreserved(*from)) {
            *to++ = (char)*from;
        }
        else {
            *to++ = '%';
            *to++ = hex[*from >> 4];
            *to++ = hex[*from & 15];
        }
    }
    *to = '\0';
    return out;
}

const char *cs_http_form(const apr_table_t *fields, apr_pool_t *p)
{
    const apr_array_header_t *elts = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)elts->elts;
    const char **parts;
    apr_size_t len = 1;
    char *out, *to;
    int i;

    parts = apr_palloc(p, sizeof(*parts) * ((apr_size_t)elts->nelts * 2 + 1));
    for (i = 0; i < elts->nelts; i++) {
        parts[i * 2] = cs_http_escape(entry[i].key, p);
        parts[i * 2 + 1] = cs_http_escape(entry[i].val, p);
        len += strlen(parts[i * 2]) + strlen(parts[i * 2 + 1]) + 2;
    }
    out = to = apr_palloc(p, len);
    for (i = 0; i < elts->nelts; i++) {
        to = apr_cpystrn(to, i ? "&" : "", 2);
        to = apr_cpystrn(to, parts[i * 2], len);
        *to++ = '=';
        to = apr_cpystrn(to, parts[i * 2 + 1], len);
    }
    *to = '\0';
    return out;
}

/* ---- origins ---- */

/* A host that every URL parser reads alike: no user, no escapes, no other characters. Returns its
 * length, 0 = none. */
static apr_size_t host_len(const char *s)
{
    apr_size_t n;

    if (*s == '[') {
        n = 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
        return n > 2 && s[n] == ']' ? n + 1 : 0;
    }
    n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.");
    return n && n <= 253 && s[0] != '.' && s[0] != '-' ? n : 0;
}

/* Reads ":<port>" at s. Returns what follows, NULL when it is malformed; *pport 0 = none. */
static const char *parse_port(const char *s, int *pport)
{
    int digits = 0;

    *pport = 0;
    if (*s != ':') {
        return s;
    }
    for (s++; apr_isdigit(*s) && digits < 6; s++, digits++) {
        *pport = *pport * 10 + (*s - '0');
    }
    return digits && *pport > 0 && *pport <= 65535 ? s : NULL;
}

const char *cs_http_origin(const char *url, apr_pool_t *p)
{
    int https, port;
    apr_size_t hlen;
    const char *host, *rest;
    char *out;

    https = url && !strncasecmp(url, "https://", 8);
    if (!url || (!https && strncasecmp(url, "http://", 7))) {
        return NULL;
    }
    host = url + (https ? 8 : 7);
    hlen = host_len(host);
    rest = hlen ? parse_port(host + hlen, &port) : NULL;
    if (!rest || (*rest && !strchr("/?#", *rest))) {
        return NULL;
    }
    out = cs_text_lower(apr_pstrmemdup(p, host, hlen), p);
    if (port == 0 || port == (https ? 443 : 80)) {
        return apr_pstrcat(p, https ? "https://" : "http://", out, NULL);
    }
    return apr_psprintf(p, "%s%s:%d", https ? "https://" : "http://", out, port);
}

int cs_http_is_loopback(const char *origin)
{
    const char *host = strstr(origin, "://") + 3;

    return cs_host_is_loopback(host, *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":"));
}

/* ---- correlation ---- */

static const char *const sent_ids[] = {"client-request-id", "x-ms-client-request-id",
                                       "MS-CorrelationId", NULL};
static const char *const received_ids[] = {
    "request-id", "REQ_ID", "x-ms-service-request-id", "MS-RequestId", "x-ms-request-id", NULL};

static const char *add_ids(const char *text, const apr_table_t *headers, const char *const *names,
                           apr_pool_t *p)
{
    const char *value;

    for (; headers && *names; names++) {
        value = apr_table_get(headers, *names);
        if (value && *value && strlen(value) <= 128 && !(text && strstr(text, value))) {
            text = text ? apr_pstrcat(p, text, " ", *names, "=", value, NULL)
                        : apr_pstrcat(p, *names, "=", value, NULL);
        }
    }
    return text;
}

const char *cs_http_correlation(const apr_table_t *sent, const apr_table_t *received, apr_pool_t *p)
{
    return add_ids(add_ids(NULL, sent, sent_ids, p), received, received_ids, p);
}

/* ---- classification ---- */

static apr_interval_time_t read_hint(const char *body, apr_size_t len)
{
    static const char words[] = "again in ";
    const char *at = len < 4096 ? strstr(body, words) : NULL;
    apr_int64_t seconds = 0;
    int digits = 0;

    if (!at) {
        return 0;
    }
    for (at += sizeof(words) - 1; apr_isdigit(*at) && digits < 6; at++, digits++) {
        seconds = seconds * 10 + (*at - '0');
    }
    if (!digits || strncmp(at, " second", 7)) {
        return 0;
    }
    return apr_time_from_sec(seconds > 3600 ? 3600 : seconds);
}

apr_interval_time_t cs_http_retry_after(const cs_http_response_t *response, apr_time_t now)
{
    const char *text = apr_table_get(response->headers, "Retry-After");
    const char *date = apr_table_get(response->headers, "Date");
    apr_time_t server;

    if (!text) {
        return response->status == 429 || response->status == 509
                   ? read_hint(response->body, response->body_len)
                   : 0;
    }
    if (date && !apr_isdigit(*text) && (server = apr_date_parse_http(date)) != APR_DATE_BAD) {
        now = server;
    }
    return cs_time_retry_after(text, now, 0, apr_time_from_sec(3600));
}

/* Length of the UTF-8 sequence at s, 0 when it is malformed or cut. */
static apr_size_t utf8_len(const unsigned char *s)
{
    apr_size_t n = *s < 0x80                 ? 1
                   : *s >= 0xc2 && *s < 0xe0 ? 2
                   : *s >= 0xe0 && *s < 0xf0 ? 3
                   : *s >= 0xf0 && *s < 0xf5 ? 4
                                             : 0;
    apr_size_t i;

    for (i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

/* What a server says ends up in logs, JSON and pages: one line, UTF-8, no secrets, bounded. */
static const char *one_line(const char *text, apr_pool_t *p)
{
    const unsigned char *from = (const unsigned char *)cs_log_redact(text, MESSAGE_MAX, p);
    char *out = apr_palloc(p, MESSAGE_MAX * 2 + 1), *to = out;
    apr_size_t n;

    while (*from) {
        n = utf8_len(from);
        if (n > 1) {
            memcpy(to, from, n);
            to += n;
        }
        else if (*from > 0x20 && *from < 0x7f) {
            *to++ = (char)*from;
        }
        else if (n == 1 && to > out && to[-1] != ' ') {
            *to++ = ' ';
        }
        from += n ? n : 1;
    }
    *to = '\0';
    return strlen(text) > MESSAGE_MAX ? apr_pstrcat(p, out, "\xe2\x80\xa6", NULL) : out;
}

static const char *host_of(const cs_http_request_t *request, apr_pool_t *p)
{
    const char *origin = cs_http_origin(request->url, p);

    return origin ? strstr(origin, "://") + 3 : "an unusable address";
}

const char *cs_http_describe(const cs_http_response_t *response, const cs_http_request_t *request,
                             const char *message, apr_pool_t *p)
{
    const char *label = request->label ? request->label : request->method;
    const char *what;

    if (response->outcome != CS_HTTP_ANSWERED) {
        return apr_psprintf(p, "%s: %s", label, response->error ? response->error : "no answer");
    }
    what = apr_psprintf(p, "%s: %s answered %d%s%s", label, host_of(request, p), response->status,
                        response->reason && *response->reason ? " " : "",
                        response->reason ? response->reason : "");
    return message && *message ? apr_pstrcat(p, what, ": ", one_line(message, p), NULL) : what;
}

const char *cs_http_plainly(const char *plain, const char *described, apr_pool_t *p)
{
    return plain && *plain ? apr_pstrcat(p, plain, " (", described, ")", NULL) : described;
}

static cs_class_e class_of_status(int status)
{
    if (status >= 200 && status < 300) {
        return CS_CLASS_OK;
    }
    switch (status) {
    case 401:
        return CS_CLASS_TOKEN;
    case 404:
    case 410:
        return CS_CLASS_GONE;
    case 409:
    case 412:
        return CS_CLASS_CONFLICT;
    case 408:
    case 423:
    case 425:
        return CS_CLASS_RETRY;
    case 429:
    case 509:
        return CS_CLASS_THROTTLED;
    case 501:
    case 505:
        return CS_CLASS_REFUSED;
    default:
        break;
    }
    /* A redirect is never followed: somebody gave us an address that has moved. */
    return status >= 500 ? CS_CLASS_RETRY : status >= 400 ? CS_CLASS_REFUSED : CS_CLASS_SUSPEND;
}

static void classify_unanswered(cs_result_t *res, const cs_http_response_t *response,
                                const cs_http_request_t *request, apr_pool_t *p)
{
    int read = !strcmp(request->method, "GET");
    cs_class_e cls =
        response->outcome == CS_HTTP_UNKNOWN && !read ? CS_CLASS_UNKNOWN : CS_CLASS_RETRY;
    const char *problem = cls == CS_CLASS_UNKNOWN ? "unknown" : "transport";

    if (!response->started) {
        /* Nothing was tried, so it costs no attempt. */
        cls = CS_CLASS_THROTTLED;
        problem = response->retry_after ? "throttled" : "not-started";
    }
    cs_result_set(res, p, CS_ETIMEOUT, cls, problem, "%s",
                  cs_http_describe(response, request, NULL, p));
    if (!response->started) {
        res->retry_at =
            cs_time_now() + (response->retry_after ? response->retry_after : APR_USEC_PER_SEC);
    }
}

void cs_http_classify(cs_result_t *res, const cs_http_response_t *response,
                      const cs_http_request_t *request, apr_pool_t *p)
{
    cs_class_e cls;
    const char *problem;

    cs_result_clear(res);
    if (response->failure) {
        cs_result_copy(res, response->failure, p);
    }
    else if (response->outcome != CS_HTTP_ANSWERED) {
        classify_unanswered(res, response, request, p);
    }
    else if ((cls = class_of_status(response->status)) != CS_CLASS_OK) {
        problem =
            cls == CS_CLASS_THROTTLED ? "throttled" : apr_psprintf(p, "http:%d", response->status);
        cs_result_set(res, p, CS_EREMOTE, cls, problem, "%s",
                      cs_http_describe(response, request, NULL, p));
        if (response->retry_after) {
            res->retry_at = cs_time_now() + response->retry_after;
        }
    }
    if (response->correlation) {
        res->correlation = response->correlation;
    }
}
