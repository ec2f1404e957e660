/* httpd/webhook.c: handler cosell-webhook: authenticate the raw bytes, decode, make durable,
 * answer. (design 7.3)
 *
 * The order is the contract: method, type, size, headers, body, signature, and only then JSON;
 * 200 only after the commit. Nothing here reads from the network but the request. What a
 * stranger can cause is never logged above INFO, and is counted instead of repeated.
 */
#include "mod_cosell.h"

#include <apr_strings.h>
#include <http_core.h>
#include <string.h>

#include "../base/crash.h"
#include "../base/crypto.h"
#include "../base/time.h"
#include "../base/trace.h"

APLOG_USE_MODULE(cosell);

#define BODY_MAX (64 * 1024)

typedef struct callback_t {
    request_rec *r;
    cosell_site_t *site;
    char *body;
    apr_size_t len;
    cs_signature_t sig;
    cs_pc_event_t event;
    cs_result_t res;
} callback_t;

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

/* No work: who asked for the event finds it in its delivery's row by these names. */
static void name_test_event(cs_notice_t *notice, const callback_t *cb)
{
    APR_ARRAY_PUSH(notice->names, const char *) =
        apr_pstrcat(cb->r->pool, CS_NAME_TEST, cb->event.referral_id, NULL);
    APR_ARRAY_PUSH(notice->names, const char *) =
        apr_table_get(cb->r->headers_in, "x-ms-signature") ? CS_NAME_HEADER "x-ms-signature"
                                                           : CS_NAME_HEADER "Authorization";
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
    notice->names = apr_array_make(p, 2, sizeof(const char *));
    notice->trace = cs_trace_parse(apr_table_get(cb->r->headers_in, CS_TRACE_HEADER), p);
    if (cb->event.is_test && cb->event.referral_id) {
        name_test_event(notice, cb);
    }
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
        status = cosell_body_read(cb->r, BODY_MAX, &cb->body, &cb->len, &cb->res);
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

int cosell_webhook_handler(request_rec *r)
{
    static const char *const types[] = { "application/json", NULL };
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
    status = cosell_request_check(r, BODY_MAX, types);
    if (status != OK) {
        return cosell_refuse(r, status, "method, content type or length");
    }
    why = cosell_unusable(conf);
    if (why) {
        return cosell_refuse(r, HTTP_SERVICE_UNAVAILABLE, why);
    }
    status = receive(&cb);
    if (status == OK) {
        CS_CRASH_POINT("webhook-committed");
        cs_count(CS_COUNT_ACCEPTED, 1);
        cs_gauge_add(CS_GAUGE_HEARD, cb.site->gauge, cb.site->gauge_pc, 1);
        cs_gauge_set(CS_GAUGE_HEARD_AT, cb.site->gauge, cb.site->gauge_pc, cs_time_now());
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, CSLOGNO(1052) "accepted %s %s", cb.event.name,
                      cb.event.referral_id ? cb.event.referral_id : "");
        return cosell_answer(r, HTTP_OK, "");
    }
    return cosell_end(r, status, &cb.res);
}
