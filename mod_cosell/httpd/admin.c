/* httpd/admin.c: handlers cosell-status and cosell-explain, and GET of cosell-admin: what this
 * server knows, as JSON or as pages. (design 7.5)
 *
 * GET and HEAD only. A host sees its own site; the main server sees all with scope=all. Pages of
 * cosell-status have no buttons; cosell-admin shows the same with them, to an authenticated user.
 * cosell-explain is what sellers may see: one deal in plain words (?explain=ID), nothing else.
 */
#include "admin.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/crypto.h"
#include "../engine/job.h"

APLOG_USE_MODULE(cosell);

#define STYLE_LEN 16

/* ---- sites ---- */

int cosell_each_site(cosell_page_t *page, cosell_site_fn *fn, void *baton)
{
    int i;

    for (i = 0; i < cosell_node->sites->nelts; i++) {
        cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, i, cosell_site_t *);

        if ((page->all || site == page->site) && fn(page, site, baton)) {
            return 1;
        }
    }
    return 0;
}

void cosell_list_sites(cosell_page_t *page, cosell_site_fn *fn)
{
    json_t *list = json_array();

    cosell_each_site(page, fn, list);
    cosell_put(page->out, "sites", list);
}

/* ---- the document ---- */

static void not_found(cosell_page_t *page, const char *why)
{
    if (page->status == HTTP_OK) {
        page->status = HTTP_NOT_FOUND;
        cosell_put(page->out, "error", json_string(why));
    }
}

static void make_deal(cosell_page_t *page, const char *parameter)
{
    const char *id = apr_table_get(page->query, parameter);

    if (!cosell_show_deal(page, id)) {
        not_found(page, "no deal has this number, referral, engagement or record id, and no "
                        "notice about it waits");
    }
}

static void make_document(cosell_page_t *page)
{
    static cosell_site_fn *const lists[] = {
        [COSELL_PAGE_DEALS] = cosell_add_deals, [COSELL_PAGE_PROBLEMS] = cosell_add_problems,
        [COSELL_PAGE_DEAD] = cosell_add_dead,   [COSELL_PAGE_JOURNAL] = cosell_add_journal,
        [COSELL_PAGE_JOBS] = cosell_add_jobs,   [COSELL_PAGE_MAPPING] = cosell_add_mapping,
    };

    switch (page->what) {
    case COSELL_PAGE_OVERVIEW:
        cosell_put_server(page);
        cosell_list_sites(page, cosell_add_site);
        break;
    case COSELL_PAGE_DEAL:
        make_deal(page, "deal");
        break;
    case COSELL_PAGE_EXPLAIN:
        make_deal(page, "explain");
        break;
    case COSELL_PAGE_JOB:
        if (!cosell_each_site(page, cosell_show_job, (void *)apr_table_get(page->query, "job"))) {
            not_found(page, "there is no such job; jobs are kept for 30 days");
        }
        break;
    default:
        cosell_list_sites(page, lists[page->what]);
        break;
    }
    if (page->wrong && page->status == HTTP_OK) {
        json_object_clear(page->out);
        page->status = HTTP_BAD_REQUEST;
        cosell_put(page->out, "error", json_string(page->wrong));
    }
}

/* ---- sending ---- */

void cosell_page_headers(request_rec *r, int html)
{
    apr_table_t *out = r->headers_out;

    apr_table_setn(out, "Cache-Control", "no-store");
    apr_table_setn(out, "Content-Security-Policy",
                   html ? "default-src 'none'; style-src 'self'; form-action 'self'; "
                          "img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
                        : "default-src 'none'; frame-ancestors 'none'");
    apr_table_setn(out, "X-Frame-Options", "DENY");
    apr_table_setn(out, "X-Content-Type-Options", "nosniff");
    /* A page without a referrer sends its forms with "Origin: null", as a stranger's would be. */
    apr_table_setn(out, "Referrer-Policy", html ? "same-origin" : "no-referrer");
    apr_table_mergen(out, "Vary", "Accept");
    ap_set_content_type(r, html ? "text/html; charset=utf-8" : "application/json");
}

static int send_text(cosell_page_t *page, const char *text, apr_size_t len)
{
    request_rec *r = page->r;

    r->status = page->status;
    ap_set_content_length(r, (apr_off_t)len);
    if (!r->header_only) {
        ap_rwrite(text, (int)len, r);
    }
    return OK;
}

static const char *style_sign(apr_pool_t *p)
{
    const char *style = cosell_page_style();

    return apr_pstrndup(p, cs_sha256_hex(style, strlen(style), p), STYLE_LEN);
}

/* The same for everybody; its address changes with it. */
static int send_style(cosell_page_t *page)
{
    const char *style = cosell_page_style(), *asked = apr_table_get(page->query, "style");
    apr_table_t *out = page->r->headers_out;
    int known = !strcmp(asked, style_sign(page->p));

    cosell_page_headers(page->r, 1);
    apr_table_unset(out, "Vary");
    apr_table_setn(out, "Cache-Control",
                   known ? "private, max-age=31536000, immutable" : "no-cache");
    ap_set_content_type(page->r, "text/css; charset=utf-8");
    page->status = HTTP_OK;
    return send_text(page, style, strlen(style));
}

/* What a user of this request may ask for, and by which token. */
static void put_buttons(cosell_page_t *page, cosell_view_t *view)
{
    static const char *const verbs[] = {"release", "retry",  "drop",   "look",   "pause",
                                        "resume",  "cancel", "link",   "unlink", "create",
                                        "ignore",  "choose", "resolve", "show",  "resync",
                                        "doctor",  "webhook", "login"};
    json_t *may = cs_json_own(json_object(), page->p);
    json_t *tokens = cs_json_own(json_object(), page->p);
    apr_size_t i;
    int n;

    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (cs_job_kind_of(verbs[i], NULL, page->p)) {
            cosell_put(may, verbs[i], json_true());
        }
    }
    for (n = 0; n < cosell_node->sites->nelts; n++) {
        const cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, n, cosell_site_t *);
        const char *token = page->all || site == page->site
                                ? cosell_form_token(page->r, site->cfg.name)
                                : NULL;

        if (token) {
            cosell_put(tokens, site->cfg.name, json_string(token));
        }
    }
    view->verbs = may;
    view->tokens = tokens;
    view->user = page->r->user;
}

const cosell_view_t *cosell_page_view(cosell_page_t *page)
{
    cosell_view_t *view = apr_pcalloc(page->p, sizeof(*view));

    view->p = page->p;
    view->version = COSELL_VERSION;
    view->style = style_sign(page->p);
    view->now = cs_time_now();
    view->all = page->all;
    view->status = page->status;
    view->state = cosell_query_text(page, "deals");
    view->search = cosell_query_text(page, "search");
    view->cause = cosell_query_text(page, "cause");
    view->after = cosell_query_text(page, "after");
    view->before = cosell_query_text(page, "before");
    view->deal = cosell_query_text(page, "deal");
    view->sellers = page->what == COSELL_PAGE_EXPLAIN || !strcmp(page->r->handler,
                                                                 "cosell-explain");
    if (page->admin && cosell_node && page->status == HTTP_OK) {
        put_buttons(page, view);
    }
    return view;
}

static const char *page_html(cosell_page_t *page, apr_size_t *plen)
{
    static cosell_view_fn *const views[] = {
        [COSELL_PAGE_OVERVIEW] = cosell_view_overview, [COSELL_PAGE_DEALS] = cosell_view_deals,
        [COSELL_PAGE_DEAL] = cosell_view_deal,
        [COSELL_PAGE_PROBLEMS] = cosell_view_problems,
        [COSELL_PAGE_DEAD] = cosell_view_dead,         [COSELL_PAGE_JOURNAL] = cosell_view_journal,
        [COSELL_PAGE_JOBS] = cosell_view_jobs,         [COSELL_PAGE_JOB] = cosell_view_job,
        [COSELL_PAGE_MAPPING] = cosell_view_mapping,   [COSELL_PAGE_EXPLAIN] = cosell_view_explain,
    };
    cosell_html_t *h = cosell_html_create(page->p);
    cosell_view_fn *view = page->status == HTTP_OK ? views[page->what] : cosell_view_error;

    view(h, cosell_page_view(page), page->out);
    return cosell_html_end(h, plen);
}

static int send_page(cosell_page_t *page)
{
    request_rec *r = page->r;
    const char *text;
    apr_size_t len;

    if (page->status == HTTP_SERVICE_UNAVAILABLE) {
        if (page->res.detail) {
            cosell_put(page->out, "error", cs_json_words(page->res.detail, page->p));
        }
        apr_table_setn(r->headers_out, "Retry-After", "5");
    }
    cosell_page_headers(r, page->html);
    if (page->html) {
        text = page_html(page, &len);
    }
    else {
        text = apr_pstrcat(page->p, cs_json_pretty(page->out, page->p), "\n", NULL);
        len = strlen(text);
    }
    return send_text(page, text, len);
}

int cosell_page_refuse(cosell_page_t *page, int status, const char *why)
{
    page->status = status;
    cosell_put(page->out, "error", cs_json_words(why, page->p));
    return send_page(page);
}

/* ---- the handlers ---- */

/* DECLINED when the page may be made, or what the refusal returned. */
static int check_query(cosell_page_t *page)
{
    const char *scope = apr_table_get(page->query, "scope");

    cosell_check_lists(page);
    if (page->wrong) {
        return cosell_page_refuse(page, HTTP_BAD_REQUEST, page->wrong);
    }
    if (page->what == COSELL_PAGE_EXPLAIN) {
        page->html = 1; /* it is for people, and of the deal no more than that */
    }
    if (scope && strcmp(scope, "all")) {
        return cosell_page_refuse(page, HTTP_BAD_REQUEST, "scope: allowed is all");
    }
    if (scope && page->r->server->is_virtual) {
        return cosell_page_refuse(page, HTTP_FORBIDDEN,
                                  "scope=all is allowed on the main server only");
    }
    page->all = scope != NULL;
    if (!cosell_node) {
        return cosell_page_refuse(page, HTTP_NOT_FOUND, "no host has CosellEngine on");
    }
    if (!page->all && !page->site && page->r->server->is_virtual) {
        return cosell_page_refuse(page, HTTP_NOT_FOUND, "this host has no usable site");
    }
    return DECLINED;
}

static int answer(cosell_page_t *page)
{
    int status;

    cs_json_own(page->out, page->p);
    if (page->what == COSELL_PAGE_STYLE && !page->wrong) {
        return send_style(page);
    }
    status = check_query(page);
    if (status != DECLINED) {
        return status;
    }
    if (cosell_node->broken) {
        /* Which store was meant is not known. */
        return cosell_page_refuse(page, HTTP_SERVICE_UNAVAILABLE, cosell_node->broken);
    }
    cosell_asked(page, cs_store_open(&page->store, &cosell_node->cfg.store, CS_STORE_READER,
                                     page->p, &page->res));
    make_document(page);
    return send_page(page);
}

/* A disk that hangs holds the page that asks it: never more than a quarter of the threads. */
static int answer_bounded(cosell_page_t *page)
{
    cosell_child_t *child = cosell_child;
    int status;

    if (!child) {
        return answer(page);
    }
    if (atomic_fetch_add(&child->pages, 1) < child->wait_max) {
        status = answer(page);
    }
    else {
        cs_json_own(page->out, page->p);
        status = cosell_page_refuse(page, HTTP_SERVICE_UNAVAILABLE,
                                    "too many status pages at once");
    }
    atomic_fetch_sub(&child->pages, 1);
    return status;
}

cosell_page_t *cosell_page_begin(request_rec *r)
{
    cosell_page_t *page = apr_pcalloc(r->pool, sizeof(*page));

    page->r = r;
    page->p = r->pool;
    page->status = HTTP_OK;
    page->started = cs_time_mono();
    page->out = json_object();
    cosell_query_parse(page);
    page->site = cosell_conf_of(r->server)->effective;
    return page;
}

static int refuse_at_once(cosell_page_t *page, int status, const char *why)
{
    cs_json_own(page->out, page->p);
    return cosell_page_refuse(page, status, why);
}

int cosell_status_handler(request_rec *r)
{
    int sellers = r->handler && !strcmp(r->handler, "cosell-explain");
    cosell_page_t *page;

    if (!r->handler || (strcmp(r->handler, "cosell-status") && !sellers)) {
        return DECLINED;
    }
    page = cosell_page_begin(r);
    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return refuse_at_once(page, HTTP_METHOD_NOT_ALLOWED, "allowed are GET and HEAD");
    }
    if (sellers && page->what != COSELL_PAGE_STYLE && page->what != COSELL_PAGE_EXPLAIN) {
        return refuse_at_once(page, HTTP_NOT_FOUND, "here is what ?explain=ID says of a deal");
    }
    return answer_bounded(page);
}

int cosell_admin_get(request_rec *r)
{
    cosell_page_t *page = cosell_page_begin(r);

    page->admin = 1;
    if (!r->user || !*r->user) {
        page->what = COSELL_PAGE_OVERVIEW;
        return refuse_at_once(page, HTTP_FORBIDDEN,
                              "there is no authenticated user; the Location of cosell-admin must "
                              "require one (Require valid-user)");
    }
    return answer_bounded(page);
}
