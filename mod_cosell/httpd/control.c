/* httpd/control.c: handler cosell-admin: what an administrator may do, as JSON. (design 7.5)
 *
 *   POST /cosell-admin                     Content-Type: application/json, X-Cosell-Request: 1
 *   {"do": "release", "site": "contoso", "brake": "mapping"}
 *
 * "do" is a kind of job, the other members are its arguments (engine/job.h); "site" may be left out
 * for the host's own. The answer names the job, which the status page shows (?job=ID). GET shows
 * the pages with buttons (admin.c), and a form of theirs is taken by forms.c.
 *
 * "release" lets a paused bulk cause go on: brake is "mapping" (on a site of several CRMs
 * "mapping:<CRM>"), "missing:<CRM>" or "missing:partner-center", with or without the "brake:" that
 * the status page's "suspended" puts before it. For a mapping it holds until the mapping changes,
 * for a missing side for an hour. A deal that is held because it wrote against somebody else is
 * "quarrel:<its number>": it goes on at once, and its writes are counted anew.
 *
 *   202  durable; the runner does it and journals the user: {"accepted": true, "job": id, ...}
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
#include "../engine/job.h"

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
int cosell_is_foreign(const request_rec *r)
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

static int is_type(const request_rec *r, const char *wanted)
{
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    apr_size_t len = strlen(wanted);

    return type && !strncasecmp(type, wanted, len) && (!type[len] || strchr("; \t", type[len]));
}

static int check_request(request_rec *r)
{
    const char *mark = apr_table_get(r->headers_in, "X-Cosell-Request");

    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD, POST");
        return refuse(r, HTTP_METHOD_NOT_ALLOWED, "allowed are GET, HEAD and POST");
    }
    if (!is_type(r, "application/json")) {
        return refuse(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type: allowed is application/json");
    }
    if (!mark || strcmp(mark, "1")) {
        return refuse(r, HTTP_FORBIDDEN, "the header X-Cosell-Request: 1 is missing");
    }
    if (cosell_is_foreign(r)) {
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

/* What the document asks for, its arguments alone in *parguments. NULL and *pwrong why not. */
static const cs_job_kind_t *read_wish(json_t *doc, json_t **parguments, const char **pwrong,
                                      apr_pool_t *p)
{
    const char *verb = cs_json_str(doc, "do"), *names = NULL;
    const cs_job_kind_t *kind;

    if (!verb) {
        *pwrong = "\"do\" is missing, or no text";
        return NULL;
    }
    kind = cs_job_kind_of(verb, &names, p);
    if (!kind) {
        *pwrong = apr_psprintf(p, "do=\"%.40s\": allowed are %s", verb, names);
        return NULL;
    }
    *parguments = cs_json_own(json_copy(doc), p);
    json_object_del(*parguments, "do");
    json_object_del(*parguments, "site");
    *pwrong = cs_job_wrong(kind, *parguments, p);
    return kind;
}

static int may_use_all(const request_rec *r)
{
    return !r->server->is_virtual && r->args && !strcmp(r->args, "scope=all");
}

/* The site, if this host may speak of it; NULL = the host's own. */
static const cosell_site_t *site_named(const request_rec *r, const char *name)
{
    const cosell_site_t *own = cosell_conf_of(r->server)->effective;
    int i;

    if (own && (!name || !strcmp(own->cfg.name, name))) {
        return own;
    }
    for (i = 0; name && may_use_all(r) && i < cosell_node->sites->nelts; i++) {
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

/* A disk that hangs holds whoever reads from it: these and the pages together are never more than a
 * quarter of the threads. */
static apr_status_t is_on_bounded(request_rec *r, const cosell_site_t *site, const char *brake,
                                  int *pon, const char **pothers, cs_result_t *res)
{
    apr_status_t rv;

    if (atomic_fetch_add(&cosell_child->pages, 1) < cosell_child->wait_max) {
        rv = is_on(r, site, brake, pon, pothers, res);
    }
    else {
        rv = cs_result_set(res, r->pool, APR_EBUSY, CS_CLASS_RETRY, "pages",
                           "too many requests read the store at once");
    }
    atomic_fetch_sub(&cosell_child->pages, 1);
    return rv;
}

/* OK when the brake may be released, or what the refusal returned, with *prefused 1. */
static int check_brake(request_rec *r, const cosell_site_t *site, json_t *arguments, int *prefused)
{
    const char *brake = without_prefix(cs_json_str(arguments, "brake")), *others = NULL;
    cs_result_t res = { 0 };
    int on = 0;

    *prefused = 1;
    json_object_set_new(arguments, "brake", json_string(brake));
    if (is_on_bounded(r, site, brake, &on, &others, &res) != APR_SUCCESS) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "%s",
                      res.detail ? res.detail : "the store cannot be read");
    }
    if (!on) {
        return refuse(r, HTTP_NOT_FOUND, "the brake \"%.100s\" of site %s is not on; %s%.400s",
                      brake, site->cfg.name, others ? "on: " : "none is", others ? others : "");
    }
    *prefused = 0;
    return OK;
}

/* ---- wishes ---- */

static cs_job_t *new_job(request_rec *r, const cosell_site_t *site, const cs_job_kind_t *kind,
                         json_t *arguments)
{
    cs_job_t *job = apr_pcalloc(r->pool, sizeof(*job));
    unsigned char random[CS_JOB_ID_LEN / 2];
    char id[CS_JOB_ID_LEN + 1];

    if (cs_random(random, sizeof(random)) != APR_SUCCESS) {
        return NULL;
    }
    ap_bin2hex(random, sizeof(random), id);
    job->site = site->cfg.name;
    job->id = apr_pstrdup(r->pool, id);
    job->kind = kind->name;
    job->user = user_of(r);
    job->arguments = arguments;
    job->created = job->updated = cs_time_now();
    return job;
}

/* Where this host is to be called is known here, and not where the job is done. */
static void fill_address(request_rec *r, const cosell_site_t *site, const cs_job_kind_t *kind,
                         json_t *arguments)
{
    const char *action = cs_json_str(arguments, "action"), *url;

    if (kind != &cs_job_webhook || !action || strcmp(action, "register") ||
        json_object_get(arguments, "here") || site != cosell_conf_of(r->server)->effective) {
        return;
    }
    url = cosell_webhook_url(r);
    if (url && !cs_pc_hook_url_wrong(url, r->pool)) {
        json_object_set_new(arguments, "here", json_string(url));
    }
}

apr_status_t cosell_job_submit(request_rec *r, const cosell_site_t *site,
                               const cs_job_kind_t *kind, json_t *arguments, const char **pid,
                               cs_result_t *res)
{
    cs_job_t *job;
    cs_notice_t notice = { 0 };
    apr_status_t rv;

    fill_address(r, site, kind, arguments);
    job = new_job(r, site, kind, arguments);
    if (!job) {
        return cs_result_set(res, r->pool, APR_EGENERAL, CS_CLASS_RETRY, "random",
                             "the system gives no random bytes");
    }
    notice.site = site->cfg.name;
    notice.source = "admin";
    notice.event = kind->name;
    notice.received = job->created;
    notice.digest = cs_sha256_hex(job->id, strlen(job->id), r->pool);
    notice.kind = CS_WORK_JOB;
    notice.job = job;
    notice.names = apr_array_make(r->pool, 1, sizeof(const char *));
    APR_ARRAY_PUSH(notice.names, const char *) = apr_pstrcat(r->pool, CS_JOB_NAME, job->id, NULL);
    rv = cs_committer_submit(cosell_child->committer, &notice, r->pool, res);
    if (rv == APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, CSLOGNO(1061) "user %s asks for %s of site "
                      "%s: job %s", job->user, kind->name, site->cfg.name, job->id);
        *pid = job->id;
    }
    return rv;
}

static int submit(request_rec *r, const cosell_site_t *site, const cs_job_kind_t *kind,
                  json_t *arguments)
{
    const char *brake = cs_json_str(arguments, "brake"), *id = NULL;
    cs_result_t res = { 0 };

    if (cosell_job_submit(r, site, kind, arguments, &id, &res) != APR_SUCCESS) {
        return refuse(r, HTTP_SERVICE_UNAVAILABLE, "%s",
                      res.detail ? res.detail : "not durable in time");
    }
    return respond(r, HTTP_ACCEPTED,
                   json_pack("{s:b,s:s,s:s,s:s,s:s*}", "accepted", 1, "do", kind->name, "site",
                             site->cfg.name, "job", id, "brake", brake));
}

static int act_on(request_rec *r, json_t *doc)
{
    const char *name = cs_json_str(doc, "site"), *wrong = NULL;
    const cs_job_kind_t *kind;
    const cosell_site_t *site;
    json_t *arguments = NULL;
    int refused = 0, status;

    kind = read_wish(doc, &arguments, &wrong, r->pool);
    if (wrong) {
        return refuse(r, HTTP_BAD_REQUEST, "%s", wrong);
    }
    if (!name && json_object_get(doc, "site")) {
        return refuse(r, HTTP_BAD_REQUEST, "site: allowed is a text");
    }
    site = site_named(r, name);
    if (!site) {
        return refuse(r, HTTP_FORBIDDEN, "site \"%.64s\" is not this host's; the main server may "
                      "name others with scope=all", name ? name : "");
    }
    if (!strcmp(kind->name, "release")) {
        status = check_brake(r, site, arguments, &refused);
        if (refused) {
            return status;
        }
    }
    return submit(r, site, kind, arguments);
}

/* In p; NULL and why in res: allowed is an object. */
static json_t *read_document(const char *text, apr_size_t len, apr_pool_t *p, cs_result_t *res)
{
    json_t *doc = NULL;

    if (cs_json_parse(&doc, text, len, NULL, p, res) != APR_SUCCESS) {
        return NULL;
    }
    /* By itself: json_is_object() is a macro that asks for its argument twice. */
    cs_json_own(doc, p);
    return json_is_object(doc) ? doc : NULL;
}

static int act(request_rec *r)
{
    cs_result_t res = { 0 };
    json_t *doc;
    const char *text;
    apr_size_t len;
    int status = read_body(r, &text, &len);

    if (!text) {
        return status;
    }
    doc = read_document(text, len, r->pool, &res);
    if (!doc) {
        return refuse(r, HTTP_BAD_REQUEST, "%s", res.detail ? res.detail
                                                            : "allowed is a JSON object");
    }
    return act_on(r, doc);
}

int cosell_admin_handler(request_rec *r)
{
    int status;

    if (!r->handler || strcmp(r->handler, "cosell-admin")) {
        return DECLINED;
    }
    if (r->method_number == M_GET) {
        return cosell_admin_get(r);
    }
    if (r->method_number == M_POST && is_type(r, "application/x-www-form-urlencoded")) {
        return cosell_form_post(r);
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
