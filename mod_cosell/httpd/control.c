/* httpd/control.c: handler cosell-admin: what an administrator may do, as JSON. (design 7.5)
 *
 *   POST /cosell-admin                     Content-Type: application/json, X-Cosell-Request: 1
 *   {"do": "release", "site": "contoso", "brake": "mapping"}
 *
 * "release" lets a paused bulk cause go on: brake is "mapping" (on a site of several CRMs
 * "mapping:<CRM>"), "missing:<CRM>" or "missing:partner-center", with or without the "brake:" that
 * the status page's "suspended" puts before it. For a mapping it holds until the mapping changes,
 * for a missing side for an hour. A deal that is held because it wrote against somebody else is
 * "quarrel:<its number>": it goes on at once, and its writes are counted anew.
 *
 *   202  durable; the runner does it and journals the user: {"accepted": true, ...}
 *   400  not such a document
 *   403  no user, a foreign Origin, no X-Cosell-Request, another host's site
 *   404  no such brake is on; 405, 413, 415; 503 not durable
 *
 * The Location must require a user. A browser sends the two headers to another host only after
 * asking it, and is not answered.
 */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/time.h"
#include "../engine/lane.h"

APLOG_USE_MODULE(cosell);

#define BODY_MAX 8192
#define USER_MAX 128

static int respond(request_rec *r, int status, json_t *out)
{
    const char *text = apr_pstrcat(r->pool, cs_json_pretty(out, r->pool), "\n", NULL);

    json_decref(out);
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   "default-src 'none'; frame-ancestors 'none'");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    ap_set_content_type(r, "application/json");
    r->status = status;
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ap_rputs(text, r);
    return OK;
}

/* What a client wrote, perhaps cut amidst a letter, as text that JSON can hold: one line. */
static const char *clean(char *text)
{
    json_t *json = json_string(text);
    char *c;

    for (c = text; *c; c++) {
        *c = apr_iscntrl(*c) || (!json && (unsigned char)*c >= 0x80) ? '?' : *c;
    }
    json_decref(json);
    return text;
}

static int refuse(request_rec *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(request_rec *r, int status, const char *fmt, ...)
{
    const char *why;
    va_list ap;

    va_start(ap, fmt);
    why = clean(apr_pvsprintf(r->pool, fmt, ap));
    va_end(ap);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, CSLOGNO(1060) "cosell-admin answered %d: %s",
                  status, cs_log_redact(why, 500, r->pool));
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", "5");
    }
    return respond(r, status, json_pack("{s:s}", "error", why));
}

/* ---- who asks, and from where ---- */

/* A page of another host may not use the user's sign-in here. */
static int is_foreign(const request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");
    const char *host = apr_table_get(r->headers_in, "Host");
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");

    if (site && strcmp(site, "same-origin") && strcmp(site, "none")) {
        return 1;
    }
    return origin && (!host || strcasecmp(origin, apr_pstrcat(r->pool, ap_http_scheme(r), "://",
                                                              host, NULL)));
}

static int is_json(const char *type)
{
    static const char json[] = "application/json";
    apr_size_t len = sizeof(json) - 1;

    return type && !strncasecmp(type, json, len) &&
           (!type[len] || strchr("; \t", type[len]));
}

static int check_request(request_rec *r)
{
    const char *mark = apr_table_get(r->headers_in, "X-Cosell-Request");

    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", "POST");
        return refuse(r, HTTP_METHOD_NOT_ALLOWED, "allowed is POST");
    }
    if (!is_json(apr_table_get(r->headers_in, "Content-Type"))) {
        return refuse(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type: allowed is application/json");
    }
    if (!mark || strcmp(mark, "1")) {
        return refuse(r, HTTP_FORBIDDEN, "the header X-Cosell-Request: 1 is missing");
    }
    if (is_foreign(r)) {
        return refuse(r, HTTP_FORBIDDEN, "requests from pages of other origins are not allowed");
    }
    if (!r->user || !*r->user) {
        return refuse(r, HTTP_FORBIDDEN, "there is no authenticated user; the Location of "
                      "cosell-admin must require one (Require valid-user)");
    }
    return DECLINED;
}

/* A name in the journal and in the store: one line, bounded. */
static const char *user_of(const request_rec *r)
{
    return clean(apr_pstrndup(r->pool, r->user, USER_MAX));
}

/* ---- what is asked ---- */

/* OK with the text, or what the refusal returned (never OK by itself: *ptext NULL then). */
static int read_body(request_rec *r, const char **ptext, apr_size_t *plen)
{
    char *body = apr_palloc(r->pool, BODY_MAX + 1);
    long n;

    *ptext = NULL;
    *plen = 0;
    if (ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK) != OK) {
        return refuse(r, HTTP_BAD_REQUEST, "the body could not be read");
    }
    if (ap_should_client_block(r)) {
        while ((n = ap_get_client_block(r, body + *plen, BODY_MAX + 1 - *plen)) > 0) {
            *plen += (apr_size_t)n;
            if (*plen > BODY_MAX) {
                return refuse(r, HTTP_REQUEST_ENTITY_TOO_LARGE, "allowed are %d bytes", BODY_MAX);
            }
        }
        if (n < 0) {
            return refuse(r, HTTP_BAD_REQUEST, "the body could not be read");
        }
    }
    *ptext = body;
    return OK;
}

static const char *wrong_member(const json_t *doc, apr_pool_t *p)
{
    static const char *const known[] = { "do", "site", "brake" };
    const char *name;
    json_t *value;
    apr_size_t i;

    json_object_foreach((json_t *)doc, name, value) {
        for (i = 0; i < 3 && strcmp(name, known[i]); i++) {
        }
        if (i == 3 || !json_is_string(value)) {
            return apr_psprintf(p, "\"%.40s\": allowed are the texts do, site and brake", name);
        }
    }
    for (i = 0; i < 3; i++) {
        if (!cs_json_str(doc, known[i])) {
            return apr_psprintf(p, "\"%s\" is missing", known[i]);
        }
    }
    if (strcmp(cs_json_str(doc, "do"), "release")) {
        return apr_psprintf(p, "do=\"%.40s\": allowed is release", cs_json_str(doc, "do"));
    }
    return NULL;
}

static int may_use_all(const request_rec *r)
{
    return !r->server->is_virtual && r->args && !strcmp(r->args, "scope=all");
}

/* The site, if this host may speak of it. */
static const cosell_site_t *site_named(const request_rec *r, const char *name)
{
    const cosell_site_t *own = cosell_conf_of(r->server)->effective;
    int i;

    if (own && !strcmp(own->cfg.name, name)) {
        return own;
    }
    for (i = 0; may_use_all(r) && i < cosell_node->sites->nelts; i++) {
        const cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, i, const cosell_site_t *);

        if (!strcmp(site->cfg.name, name)) {
            return site;
        }
    }
    return NULL;
}

/* ---- release ---- */

#define BRAKE_LEN (sizeof(CS_BRAKE) - 1)

static const char *without_prefix(const char *brake)
{
    return strncmp(brake, CS_BRAKE, BRAKE_LEN) ? brake : brake + BRAKE_LEN;
}

static apr_status_t quarrels(request_rec *r, cs_store_t *store, const cosell_site_t *site,
                             const char *brake, int *pon, cs_result_t *res)
{
    const char *id = brake + sizeof(CS_BRAKE_QUARREL) - 1;
    cs_deal_t *deal = NULL;
    apr_status_t rv;

    if (!*id || strlen(id) > 18 || strspn(id, "0123456789") != strlen(id)) {
        return APR_SUCCESS;
    }
    rv = cs_store_deal_load(store, site->cfg.name, apr_atoi64(id), &deal, r->pool, res);
    *pon = rv == APR_SUCCESS && deal && cs_deal_quarrels(deal, cs_time_now());
    return rv;
}

/* *pothers = "mapping, missing:dynamics": those that are on, NULL = none. */
static apr_status_t is_on(request_rec *r, const cosell_site_t *site, const char *brake, int *pon,
                          const char **pothers, cs_result_t *res)
{
    apr_array_header_t *list = NULL;
    cs_store_t *store = NULL;
    apr_status_t rv;
    int i;

    *pon = 0;
    *pothers = NULL;
    rv = cs_store_open(&store, &cosell_node->cfg.store, CS_STORE_READER, r->pool, res);
    if (rv == APR_SUCCESS) {
        rv = cs_store_suspended(store, site->cfg.name, &list, r->pool, res);
    }
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        const char *upstream = APR_ARRAY_IDX(list, i, cs_suspended_t).upstream;

        if (!strncmp(upstream, CS_BRAKE, BRAKE_LEN)) {
            const char *name = without_prefix(upstream);

            *pon |= !strcmp(name, brake);
            *pothers = *pothers ? apr_pstrcat(r->pool, *pothers, ", ", name, NULL) : name;
        }
    }
    if (rv == APR_SUCCESS && !strncmp(brake, CS_BRAKE_QUARREL, sizeof(CS_BRAKE_QUARREL) - 1)) {
        rv = quarrels(r, store, site, brake, pon, res);
    }
    return rv;
}

static apr_status_t submit(request_rec *r, const cosell_site_t *site, const char *brake,
                           cs_result_t *res)
{
    cs_notice_t notice = { 0 };
    const char *name = apr_pstrcat(r->pool, CS_JOB_RELEASE, brake, "\n", user_of(r), NULL);
    const char *unique;

    notice.site = site->cfg.name;
    notice.source = "admin";
    notice.event = "release";
    notice.received = cs_time_now();
    unique = apr_psprintf(r->pool, "%s %" APR_TIME_T_FMT, name, notice.received);
    notice.digest = cs_sha256_hex(unique, strlen(unique), r->pool);
    notice.kind = CS_WORK_JOB;
    notice.names = apr_array_make(r->pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(notice.names, const char *) = name;
    return cs_committer_submit(cosell_child->committer, &notice, r->pool, res);
}

static int release(request_rec *r, const cosell_site_t *site, const char *brake)
{
    cs_result_t res = { 0 };
    const char *others;
    int on;

    if (is_on(r, site, brake, &on, &others, &res) != APR_SUCCESS) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "%s",
                      res.detail ? res.detail : "the store cannot be read");
    }
    if (!on) {
        return refuse(r, HTTP_NOT_FOUND, "the brake \"%.100s\" of site %s is not on; %s%.400s",
                      brake, site->cfg.name, others ? "on: " : "none is", others ? others : "");
    }
    if (submit(r, site, brake, &res) != APR_SUCCESS) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "%s",
                      res.detail ? res.detail : "not durable in time");
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, CSLOGNO(1061) "user %s releases brake \"%s\" of "
                  "site %s", user_of(r), brake, site->cfg.name);
    return respond(r, HTTP_ACCEPTED, json_pack("{s:b,s:s,s:s,s:s}", "accepted", 1, "do", "release",
                                               "site", site->cfg.name, "brake", brake));
}

static int act(request_rec *r)
{
    const cosell_site_t *site;
    cs_result_t res = { 0 };
    json_t *doc = NULL;
    const char *text, *wrong;
    apr_size_t len;
    int status = read_body(r, &text, &len);

    if (!text) {
        return status;
    }
    if (cs_json_parse(&doc, text, len, NULL, r->pool, &res) != APR_SUCCESS ||
        !json_is_object(cs_json_own(doc, r->pool))) {
        return refuse(r, HTTP_BAD_REQUEST, "%s", res.detail ? res.detail
                                                            : "allowed is a JSON object");
    }
    wrong = wrong_member(doc, r->pool);
    if (wrong) {
        return refuse(r, HTTP_BAD_REQUEST, "%s", wrong);
    }
    site = site_named(r, cs_json_str(doc, "site"));
    if (!site) {
        return refuse(r, HTTP_FORBIDDEN, "site \"%.64s\" is not this host's; the main server may "
                      "name others with scope=all", cs_json_str(doc, "site"));
    }
    return release(r, site, without_prefix(cs_json_str(doc, "brake")));
}

int cosell_admin_handler(request_rec *r)
{
    int status;

    if (!r->handler || strcmp(r->handler, "cosell-admin")) {
        return DECLINED;
    }
    status = check_request(r);
    if (status != DECLINED) {
        return status;
    }
    if (!cosell_node || cosell_node->broken || !cosell_child || !cosell_child->committer) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "%s",
                      cosell_node && cosell_node->broken ? cosell_node->broken
                                                         : "this server is not ready");
    }
    return act(r);
}
