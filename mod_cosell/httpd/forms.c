/* httpd/forms.c: the pages' own forms: POST of application/x-www-form-urlencoded to cosell-admin.
 * (design 7.5)
 *
 * A browser sends such a form with the user's sign-in from any page of the web. Therefore each
 * carries a token that only our own pages have: when it was made, and an HMAC of that, the user and
 * the site under a random key, which is made once per server and kept over reloads. A token is good
 * for 12 hours. Origin and Sec-Fetch-Site are checked as of any other POST.
 *
 * What is asked is a job; 303 leads to its page. "drop", "unlink" and "ignore" ask again first.
 */
#include "admin.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/crypto.h"
#include "../engine/job.h"

APLOG_USE_MODULE(cosell);

#define BODY_MAX 16384
#define TOKEN_LIFE apr_time_from_sec(12 * 3600)
#define TIME_DIGITS 12

/* ---- the token ---- */

/* HMAC in hexadecimal; NULL = there is no key. */
static const char *sign(const request_rec *r, const char *site, const char *made, apr_pool_t *p)
{
    const cosell_shared_t *shared = cosell_node ? cosell_node->shared : NULL;
    const char *text = apr_pstrcat(p, "form\n", made, "\n", site, "\n", r->user, NULL);
    unsigned char mac[CS_SHA256_LEN];
    char hex[2 * CS_SHA256_LEN + 1];

    if (!shared || !shared->form_keyed
        || cs_hmac_sha256(mac, shared->form_key, sizeof(shared->form_key), text, strlen(text))
               != APR_SUCCESS) {
        return NULL;
    }
    ap_bin2hex(mac, sizeof(mac), hex);
    return apr_pstrdup(p, hex);
}

const char *cosell_form_token(const request_rec *r, const char *site)
{
    const char *made = apr_psprintf(r->pool, "%0*" APR_INT64_T_FMT, TIME_DIGITS,
                                    (apr_int64_t)apr_time_sec(cs_time_now()));
    const char *mac = r->user ? sign(r, site, made, r->pool) : NULL;

    return mac ? apr_pstrcat(r->pool, made, mac, NULL) : NULL;
}

/* NULL when it is good, or what to say. */
static const char *token_wrong(const request_rec *r, const char *site, const char *token)
{
    apr_time_t made;
    const char *mac, *time_text;

    if (!token || strlen(token) != TIME_DIGITS + 2 * CS_SHA256_LEN) {
        return "this form did not come from a page of this server: open the page anew";
    }
    time_text = apr_pstrndup(r->pool, token, TIME_DIGITS);
    mac = sign(r, site, time_text, r->pool);
    if (!mac || !cs_equal_consttime(mac, strlen(mac), token + TIME_DIGITS,
                                    strlen(token + TIME_DIGITS))) {
        return "this form was not made for you, for this site or by this server: open the page "
               "anew";
    }
    made = apr_time_from_sec(apr_atoi64(time_text));
    if (made > cs_time_now() + apr_time_from_sec(60) || cs_time_now() - made > TOKEN_LIFE) {
        return "this page is older than 12 hours: open it anew and press the button again";
    }
    return NULL;
}

/* ---- what was sent ---- */

typedef struct form_t {
    cosell_page_t *page;
    apr_table_t *fields;
    const char *wrong;
} form_t;

static int is_text(const char *value)
{
    json_t *json = json_string(value);
    const char *c;

    json_decref(json);
    for (c = value; json && *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return 0;
        }
    }
    return json != NULL;
}

static void read_fields(form_t *form, char *body)
{
    char *last = NULL, *pair;

    for (pair = apr_strtok(body, "&", &last); pair; pair = apr_strtok(NULL, "&", &last)) {
        char *value = strchr(pair, '=');

        if (value) {
            *value++ = '\0';
        }
        if (!value || ap_unescape_urlencoded(pair) != OK || ap_unescape_urlencoded(value) != OK
            || !is_text(pair) || !is_text(value)) {
            form->wrong = "a field of the form is not URL-encoded text";
        }
        else {
            apr_table_addn(form->fields, pair, value);
        }
    }
}

/* The type letter of a kind's argument; 0 = it has none of this name. */
static char type_of(const cs_job_kind_t *kind, const char *name)
{
    const char *const *member;
    apr_size_t len = strlen(name);

    for (member = kind->members; member && *member; member++) {
        if (!strncmp(*member, name, len) && (*member)[len] == ':') {
            return (*member)[len + 1];
        }
    }
    return 0;
}

static json_t *value_of(char type, const char *text)
{
    return type == 'b'   ? json_boolean(!strcmp(text, "true"))
           : type == 'i' ? json_integer(apr_atoi64(text))
           : type == 'a' ? json_pack("[s]", text)
                         : json_string(text);
}

typedef struct collect_t {
    form_t *form;
    const cs_job_kind_t *kind;
    json_t *arguments;
} collect_t;

static int collect(void *baton, const char *name, const char *text)
{
    static const char *const own[] = {"token", "site", "do", "sure"};
    collect_t *c = baton;
    json_t *there = cs_json_get(c->arguments, name);
    apr_size_t i;
    char type;

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (!strcmp(name, own[i])) {
            return 1;
        }
    }
    type = type_of(c->kind, name);
    if (!type) {
        c->form->wrong = apr_psprintf(c->form->page->p, "\"%.40s\" is no field of %s", name,
                                      c->kind->name);
        return 0;
    }
    if (type == 'a' && there) {
        json_array_append_new(there, json_string(text));
    }
    else if (*text) {
        cosell_put(c->arguments, name, value_of(type, text));
    }
    return 1;
}

/* ---- answers ---- */

static int refuse(form_t *form, int status, const char *why)
{
    request_rec *r = form->page->r;

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, CSLOGNO(1100) "cosell-admin answered %d to a form: "
                  "%s", status, cs_log_redact(why, 500, r->pool));
    form->page->html = 1;
    return cosell_page_refuse(form->page, status, why);
}

/* What is not easily taken back is asked again; NULL = it need not be. */
static const char *question(const cs_job_kind_t *kind, const char *what, const char *site,
                            apr_pool_t *p)
{
    return !strcmp(kind->name, "drop")
               ? apr_psprintf(p, "Drop %s of site %s? What is dropped is forgotten until a new "
                                 "notice or a newer version names it again; the deals stay.",
                              what, site)
           : !strcmp(kind->name, "unlink")
               ? apr_psprintf(p, "Unlink %s of site %s? Both sides stay as they are, and nothing "
                                 "travels between them any more until somebody links them again.",
                              what, site)
           : !strcmp(kind->name, "ignore")
               ? apr_psprintf(p, "Leave %s of site %s alone for good? It gets no record until "
                                 "somebody links it or makes one.", what, site)
               : NULL;
}

/* The same fields again, after the question. */
static int ask_again(form_t *form, const char *text, const char *site, const cs_job_kind_t *kind,
                     json_t *fields)
{
    cosell_page_t *page = form->page;
    json_t *doc = cs_json_own(json_object(), page->p);
    cosell_html_t *h = cosell_html_create(page->p);
    const char *html;
    apr_size_t len;

    cosell_put(doc, "do", json_string(kind->name));
    cosell_put(doc, "site", json_string(site));
    cosell_put(doc, "arguments", fields);
    cosell_put(doc, "text", json_string(text));
    cosell_view_confirm(h, cosell_page_view(page), doc);
    html = cosell_html_end(h, &len);
    cosell_page_headers(page->r, 1);
    ap_set_content_length(page->r, (apr_off_t)len);
    ap_rwrite(html, (int)len, page->r);
    return OK;
}

/* 1 when the user must say first that it is meant; *pstatus = what the handler returns then. */
static int must_ask(form_t *form, const char *site, const cs_job_kind_t *kind,
                    const json_t *arguments, int *pstatus)
{
    json_t *fields = json_object(), *value;
    const char *name, *what = "", *text;

    json_object_foreach((json_t *)arguments, name, value) {
        const char *as = json_is_string(value) ? json_string_value(value) : "true";

        what = !strcmp(name, "all") ? "all looks that were given up"
                                    : apr_psprintf(form->page->p, "%s %s", name, as);
        cosell_put(fields, name, json_string(as));
    }
    text = question(kind, what, site, form->page->p);
    if (!text || apr_table_get(form->fields, "sure")) {
        json_decref(fields);
        return 0;
    }
    *pstatus = ask_again(form, text, site, kind, fields);
    return 1;
}

static int see_job(form_t *form, const char *id)
{
    request_rec *r = form->page->r;
    const char *url = apr_pstrcat(r->pool, "?job=", id, form->page->all ? "&scope=all" : "", NULL);

    cosell_page_headers(r, 1);
    apr_table_setn(r->headers_out, "Location", url);
    r->status = HTTP_SEE_OTHER;
    ap_set_content_length(r, 0);
    return OK;
}

/* ---- acting ---- */

static const cosell_site_t *site_of(const form_t *form, const char *name)
{
    const cosell_page_t *page = form->page;
    int i;

    for (i = 0; name && i < cosell_node->sites->nelts; i++) {
        const cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, i, const cosell_site_t *);

        if (!strcmp(site->cfg.name, name) && (page->all || site == page->site)) {
            return site;
        }
    }
    return NULL;
}

static int act(form_t *form)
{
    const char *verb = apr_table_get(form->fields, "do");
    const cosell_site_t *site = site_of(form, apr_table_get(form->fields, "site"));
    const cs_job_kind_t *kind = verb ? cs_job_kind_of(verb, NULL, form->page->p) : NULL;
    json_t *arguments = cs_json_own(json_object(), form->page->p);
    collect_t c = { form, kind, arguments };
    const char *wrong, *id = NULL;
    cs_result_t res = { 0 };
    int status;

    if (!site) {
        return refuse(form, HTTP_FORBIDDEN, "this form is of a site that is not this host's");
    }
    wrong = token_wrong(form->page->r, site->cfg.name, apr_table_get(form->fields, "token"));
    if (wrong) {
        return refuse(form, HTTP_FORBIDDEN, wrong);
    }
    if (!kind) {
        return refuse(form, HTTP_BAD_REQUEST, "this form asks for something that is not known");
    }
    apr_table_do(collect, &c, form->fields, NULL);
    wrong = form->wrong ? form->wrong : cs_job_wrong(kind, arguments, form->page->p);
    if (wrong) {
        return refuse(form, HTTP_BAD_REQUEST, wrong);
    }
    if (must_ask(form, site->cfg.name, kind, arguments, &status)) {
        return status;
    }
    if (cosell_job_submit(form->page->r, site, kind, arguments, &id, &res) != APR_SUCCESS) {
        return refuse(form, HTTP_SERVICE_UNAVAILABLE,
                      res.detail ? res.detail : "not durable in time");
    }
    return see_job(form, id);
}

static int check(form_t *form)
{
    const request_rec *r = form->page->r;

    if (cosell_is_foreign(r)) {
        return refuse(form, HTTP_FORBIDDEN, "forms of other origins are not taken");
    }
    if (!r->user || !*r->user) {
        return refuse(form, HTTP_FORBIDDEN,
                      "there is no authenticated user; the Location of cosell-admin must require "
                      "one (Require valid-user)");
    }
    if (!cosell_node || cosell_node->broken || !cosell_child || !cosell_child->committer) {
        return refuse(form, HTTP_SERVICE_UNAVAILABLE,
                      cosell_node && cosell_node->broken ? cosell_node->broken
                                                         : "this server is not ready");
    }
    return DECLINED;
}

int cosell_form_post(request_rec *r)
{
    form_t form = { 0 };
    cs_result_t res = { 0 };
    apr_size_t len;
    char *body;
    int status;

    form.page = cosell_page_begin(r);
    form.fields = apr_table_make(r->pool, 8);
    form.page->what = COSELL_PAGE_OVERVIEW;
    form.page->html = 1;
    form.page->admin = 1;
    form.page->all = !r->server->is_virtual && apr_table_get(form.page->query, "scope") != NULL;
    status = check(&form);
    if (status != DECLINED) {
        return status;
    }
    status = cosell_body_read(r, BODY_MAX, &body, &len, &res);
    if (status == AP_FILTER_ERROR) {
        return status;
    }
    if (status != OK || strlen(body) != len) {
        return refuse(&form, status != OK ? status : HTTP_BAD_REQUEST,
                      res.detail ? res.detail : "the form could not be read");
    }
    read_fields(&form, body);
    return form.wrong ? refuse(&form, HTTP_BAD_REQUEST, form.wrong) : act(&form);
}
