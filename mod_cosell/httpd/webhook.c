/* httpd/webhook.c: handler cosell-webhook: authenticate the raw bytes, decode, make durable,
 * answer. (design 7.3)
 *
 * The order is the contract: method, type, size, headers, body, signature, and only then JSON;
 * 200 only after the commit. Nothing here reads from the network but the request. What a
 * stranger can cause is never logged above INFO, and is counted instead of repeated.
 */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/crash.h"
#include "../base/crypto.h"
#include "../base/time.h"

APLOG_USE_MODULE(cosell);

#define BODY_MAX (64 * 1024)
#define BODY_FIRST 4096
#define RETRY_AFTER "5"
#define SAY_EVERY apr_time_from_sec(60)
#define LINES_MOST 10

typedef struct callback_t {
    request_rec *r;
    cosell_site_t *site;
    char *body;
    apr_size_t len;
    cs_signature_t sig;
    cs_pc_event_t event;
    cs_result_t res;
} callback_t;

/* ---- answers ---- */

static int answer(request_rec *r, int status, const char *text)
{
    apr_size_t len = strlen(text);

    r->status = status;
    ap_set_content_length(r, (apr_off_t)len);
    if (len) {
        ap_set_content_type(r, "text/plain");
        ap_rwrite(text, (int)len, r);
    }
    return OK;
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

static void say(const callback_t *cb, int status, const char *reason)
{
    int kind = status == 400 ? 0 : status == 401 ? 1 : status == 503 ? 2 : 3;
    unsigned long suppressed;
    int level = may_say(kind, &suppressed) ? APLOG_INFO : APLOG_DEBUG;

    if (suppressed) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, cb->r,
                      CSLOGNO(1050) "%lu more callbacks were answered %d in a minute before",
                      suppressed, status);
    }
    ap_log_rerror(APLOG_MARK, level, 0, cb->r, CSLOGNO(1051) "callback answered %d: %s", status,
                  cs_log_redact(reason, 1000, cb->r->pool));
}

static int refuse(callback_t *cb, int status, const char *reason)
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
        apr_table_setn(cb->r->headers_out, "Retry-After", RETRY_AFTER);
    }
    if (status == HTTP_METHOD_NOT_ALLOWED) {
        apr_table_setn(cb->r->headers_out, "Allow", "POST");
    }
    say(cb, status, reason);
    return answer(cb->r, status, kinds[i].text);
}

static const char *reason_of(const cs_result_t *res, const char *otherwise)
{
    return res->detail ? res->detail : res->problem ? res->problem : otherwise;
}

/* ---- the request ---- */

static int is_json(const char *type)
{
    static const char json[] = "application/json";
    apr_size_t len = sizeof(json) - 1;

    return type && !strncasecmp(type, json, len) &&
           (!type[len] || type[len] == ';' || type[len] == ' ' || type[len] == '\t');
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

static int append(callback_t *cb, apr_size_t *proom, const char *data, apr_size_t len)
{
    if (len > BODY_MAX - cb->len) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    if (cb->len + len + 1 > *proom) {
        apr_size_t room = *proom;
        char *body;

        while (cb->len + len + 1 > room) {
            room *= 2;
        }
        body = apr_palloc(cb->r->pool, room);
        memcpy(body, cb->body, cb->len);
        cb->body = body;
        *proom = room;
    }
    memcpy(cb->body + cb->len, data, len);
    cb->len += len;
    return OK;
}

/* All buckets of one brigade. OK, DONE at the end of the body, or a status. */
static int take_brigade(callback_t *cb, apr_bucket_brigade *bb, apr_size_t *proom)
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
        status = append(cb, proom, data, len);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

/* The raw body, unchanged. OK, a status, or AP_FILTER_ERROR. */
static int read_body(callback_t *cb)
{
    request_rec *r = cb->r;
    apr_off_t length = announced(r);
    apr_bucket_brigade *bb;
    apr_size_t room;
    int status = OK;

    if (length > BODY_MAX) {
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    room = length >= 0 ? (apr_size_t)length + 1 : BODY_FIRST;
    cb->body = apr_palloc(r->pool, room);
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    while (status == OK) {
        apr_status_t rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ,
                                         HUGE_STRING_LEN);

        status = rv == APR_SUCCESS ? take_brigade(cb, bb, &room)
                                   : ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
        apr_brigade_cleanup(bb);
    }
    apr_brigade_destroy(bb);
    cb->body[cb->len] = '\0';
    return status == DONE ? OK : status;
}

/* ---- stages: OK or the status to answer; the reason is in cb->res ---- */

static int check_headers(callback_t *cb)
{
    const apr_table_t *in = cb->r->headers_in;

    switch (cs_signature_parse(
        &cb->sig, apr_table_get(in, "Authorization"), apr_table_get(in, "x-ms-signature"),
        apr_table_get(in, "X-MS-Certificate-Url"), apr_table_get(in, "X-MS-Signature-Algorithm"),
        cb->site->trust, cb->r->pool, &cb->res)) {
    case CS_SIG_OK:
        return OK;
    case CS_SIG_BAD_REQUEST:
        return HTTP_BAD_REQUEST;
    default:
        return HTTP_UNAUTHORIZED;
    }
}

static int check_signature(callback_t *cb)
{
    cosell_signers_t *signers = cosell_child->signers[cb->site->index];

    if (!signers) {
        cs_result_set(&cb->res, cb->r->pool, APR_ENOMEM, CS_CLASS_RETRY, "certificate",
                      "this child has no memory for certificates");
        return HTTP_SERVICE_UNAVAILABLE;
    }
    switch (cosell_signers_verify(signers, &cb->sig, cb->body, cb->len, cb->r->pool, &cb->res)) {
    case CS_SIG_OK:
        return OK;
    case CS_SIG_NO_SIGNER:
        return HTTP_SERVICE_UNAVAILABLE;
    default:
        return HTTP_UNAUTHORIZED;
    }
}

/* What the event asks for: to look at a referral, a poll of the list when it names none, or
 * nothing. */
static void fill_notice(cs_notice_t *notice, callback_t *cb)
{
    apr_pool_t *p = cb->r->pool;

    memset(notice, 0, sizeof(*notice));
    notice->site = cb->site->cfg.name;
    notice->source = CS_SYSTEM_PC;
    notice->event = cb->event.name;
    notice->received = cs_time_now();
    notice->digest = cs_sha256_hex(cb->body, cb->len, p);
    notice->system = CS_SYSTEM_PC;
    notice->names = apr_array_make(p, 1, sizeof(const char *));
    if (!cb->event.is_referral) {
        return;
    }
    if (cb->event.referral_id) {
        notice->kind = CS_WORK_LOOK;
        notice->hint = cb->event.changed;
        if (!strncasecmp(cb->event.name, "related-", 8)) {
            /* Without a date it must still not pass for a referral of ours: any hint marks it. */
            notice->system = CS_SYSTEM_RELATED;
            notice->hint = notice->hint ? notice->hint : 1;
        }
        APR_ARRAY_PUSH(notice->names, const char *) =
            apr_pstrcat(p, CS_SYSTEM_PC ":", cb->event.referral_id, NULL);
        return;
    }
    notice->kind = CS_WORK_POLL;
    notice->problem = "the resource URI ends in no referral id: the list is polled instead";
    APR_ARRAY_PUSH(notice->names, const char *) = CS_SYSTEM_PC;
}

static int decode(callback_t *cb, cs_notice_t *notice)
{
    if (cs_pc_event_decode(&cb->event, cb->body, cb->len, cb->r->pool, &cb->res) != APR_SUCCESS) {
        return HTTP_BAD_REQUEST;
    }
    fill_notice(notice, cb);
    return OK;
}

static int commit(callback_t *cb, const cs_notice_t *notice)
{
    if (cs_committer_submit(cosell_child->committer, notice, cb->r->pool, &cb->res) !=
        APR_SUCCESS) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    return OK;
}

static int receive(callback_t *cb)
{
    cs_notice_t notice;
    int status = check_headers(cb);

    if (status == OK) {
        status = read_body(cb);
        if (status != OK && !cb->res.detail) {
            cs_result_set(&cb->res, cb->r->pool, APR_EGENERAL, CS_CLASS_REFUSED, "body",
                          "the body could not be read or is larger than %d bytes", BODY_MAX);
        }
    }
    if (status != OK) {
        return status;
    }
    cs_committer_expect(cosell_child->committer);
    status = check_signature(cb);
    if (status == OK) {
        status = decode(cb, &notice);
    }
    cs_committer_unexpect(cosell_child->committer);
    return status == OK ? commit(cb, &notice) : status;
}

/* Why nothing can be accepted here now; NULL = it can. */
static const char *unusable(const cosell_conf_t *conf)
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

/* OK or the status of what can be said before anything is read. */
static int check_request(request_rec *r)
{
    if (r->method_number != M_POST) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (!is_json(apr_table_get(r->headers_in, "Content-Type"))) {
        return HTTP_UNSUPPORTED_MEDIA_TYPE;
    }
    return announced(r) > BODY_MAX ? HTTP_REQUEST_ENTITY_TOO_LARGE : OK;
}

int cosell_webhook_handler(request_rec *r)
{
    const cosell_conf_t *conf;
    callback_t cb;
    const char *why;
    int status;

    if (!r->handler || strcmp(r->handler, "cosell-webhook")) {
        return DECLINED;
    }
    conf = cosell_conf_of(r->server);
    if (conf->engine != 1 && !conf->broken) {
        return HTTP_NOT_FOUND;
    }
    memset(&cb, 0, sizeof(cb));
    cb.r = r;
    cb.site = conf->effective;
    status = check_request(r);
    if (status != OK) {
        return refuse(&cb, status, "method, content type or length");
    }
    why = unusable(conf);
    if (why) {
        return refuse(&cb, HTTP_SERVICE_UNAVAILABLE, why);
    }
    status = receive(&cb);
    if (status == OK) {
        CS_CRASH_POINT("webhook-committed");
        cs_count(CS_COUNT_ACCEPTED, 1);
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, CSLOGNO(1052) "accepted %s %s", cb.event.name,
                      cb.event.referral_id ? cb.event.referral_id : "");
        return answer(r, HTTP_OK, "");
    }
    if (status == AP_FILTER_ERROR || !ap_is_HTTP_ERROR(status)) {
        return status;
    }
    return refuse(&cb, status, reason_of(&cb.res, "no reason known"));
}
