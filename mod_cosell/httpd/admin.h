/* httpd/admin.h: a page in the making: what was asked, the reader's handle and the document that
 * answers. Inside admin*.c, forms.c and page_send.c only. (design 7.5)
 *
 * A page is made in two steps: questions to the store become one JSON document (admin_*.c), and
 * that is sent as it is, or a view makes HTML of it (page_*.c), which knows nothing but the
 * document. A page has a reader handle of its own for as long as it is made and a deadline over all
 * its questions; when the store cannot be asked it says why with 503. Secrets are never here: the
 * store holds them sealed and the configuration as references.
 */
#ifndef COSELL_ADMIN_H
#define COSELL_ADMIN_H

#include "mod_cosell.h"

#include "../base/json.h"
#include "../base/time.h"
#include "page.h"

typedef enum {
    COSELL_PAGE_OVERVIEW = 0,
    COSELL_PAGE_DEALS,
    COSELL_PAGE_DEAL,
    COSELL_PAGE_PROBLEMS,
    COSELL_PAGE_DEAD,
    COSELL_PAGE_JOURNAL,
    COSELL_PAGE_JOBS,
    COSELL_PAGE_JOB,
    COSELL_PAGE_MAPPING,
    COSELL_PAGE_EXPLAIN,
    COSELL_PAGE_STYLE
} cosell_page_e;

typedef struct cosell_page_t {
    request_rec *r;
    apr_pool_t *p;
    apr_table_t *query;
    const char *wrong; /* why the query cannot be answered; NULL = it can */
    cosell_page_e what;
    int html;
    int admin;           /* of cosell-admin: an authenticated user, buttons */
    int all;             /* scope=all on the main server */
    cosell_site_t *site; /* of this host; NULL = none */
    cs_store_t *store;
    apr_interval_time_t started;
    cs_result_t res; /* of the question that failed */
    int status;
    json_t *out;
} cosell_page_t;

/* ---- admin_query.c ---- */

/* Into page->query, what, html and wrong. */
void cosell_query_parse(cosell_page_t *page);
/* A whole number of at most 18 digits, `dflt` when it is absent or empty; notes in page->wrong what
 * is allowed when it is none, or not within least and most. */
apr_int64_t cosell_query_number(cosell_page_t *page, const char *name, apr_int64_t dflt,
                                apr_int64_t least, apr_int64_t most);
/* The value if it is there and not empty; else NULL. */
const char *cosell_query_text(const cosell_page_t *page, const char *name);

/* ---- admin_json.c: questions and rows ---- */

/* 1 while the page may go on: no question failed and there is time. */
int cosell_may_ask(cosell_page_t *page);
/* Notes how a question went; 1 if it was answered. */
int cosell_asked(cosell_page_t *page, apr_status_t rv);

/* New references. */
json_t *cosell_text_json(const char *text);
json_t *cosell_time_json(apr_time_t t, apr_pool_t *p);
json_t *cosell_copy_json(const json_t *json);
void cosell_put(json_t *obj, const char *name, json_t *value);
json_t *cosell_work_json(const cs_work_t *work, apr_pool_t *p);
json_t *cosell_journal_json(const cs_journal_t *j, apr_pool_t *p);
json_t *cosell_suspended_json(const cs_suspended_t *s, apr_pool_t *p);
/* What follows the path of the address of this name may be what lets callers in: "..." instead. */
void cosell_hide_query(json_t *json, const char *name, apr_pool_t *p);
/* admin_job.c: what was asked for, for people; without what not everybody may see. */
const char *cosell_job_words(const cs_job_t *job, apr_pool_t *p);
json_t *cosell_job_json(const cosell_page_t *page, const cs_job_t *job);
json_t *cosell_cause_json(const cs_cause_t *cause, apr_pool_t *p);
/* whole = 1: with images, intent, told and explain. */
json_t *cosell_deal_json(const cosell_site_t *site, const cs_deal_t *deal, int whole,
                         apr_pool_t *p);
/* A fact of the site that is kept as JSON; NULL = there is none. */
json_t *cosell_fact_json(cosell_page_t *page, const cosell_site_t *site, const char *fact,
                         const char *of);

/* ---- documents ---- */

/* Calls fn for each site this page may show, until it returns 1. */
typedef int cosell_site_fn(cosell_page_t *page, cosell_site_t *site, void *baton);
int cosell_each_site(cosell_page_t *page, cosell_site_fn *fn, void *baton);
/* "sites" of the document: fn appends to baton, a JSON array. */
void cosell_list_sites(cosell_page_t *page, cosell_site_fn *fn);

/* admin_server.c: what is known of the whole server. */
void cosell_put_server(cosell_page_t *page);
/* admin_site.c: one site's overview. */
int cosell_add_site(cosell_page_t *page, cosell_site_t *site, void *baton);
/* admin_list.c */
int cosell_add_deals(cosell_page_t *page, cosell_site_t *site, void *baton);
int cosell_add_problems(cosell_page_t *page, cosell_site_t *site, void *baton);
int cosell_add_dead(cosell_page_t *page, cosell_site_t *site, void *baton);
int cosell_add_journal(cosell_page_t *page, cosell_site_t *site, void *baton);
int cosell_add_jobs(cosell_page_t *page, cosell_site_t *site, void *baton);
/* "causes" of a site, at most max, and its jobs: all that run and the last few. */
json_t *cosell_causes_json(cosell_page_t *page, const cosell_site_t *site, int max);
json_t *cosell_jobs_json(cosell_page_t *page, const cosell_site_t *site, int max, int ended);
json_t *cosell_totals_json(cosell_page_t *page, const cosell_site_t *site);
json_t *cosell_suspensions_json(cosell_page_t *page, const cosell_site_t *site);
json_t *cosell_dead_json(cosell_page_t *page, const cosell_site_t *site, const char *cause,
                         const char *after, int max, const char **pnext);
/* What a query says that no list can be made by; into page->wrong. */
void cosell_check_lists(cosell_page_t *page);
/* 1 = found, and in the document. */
int cosell_show_job(cosell_page_t *page, cosell_site_t *site, void *baton);
/* admin_deal.c: 1 = found, and in the document; where several deals have the id it is 409 with
 * which they are ("candidates"). */
int cosell_show_deal(cosell_page_t *page, const char *id);
/* A notice of this id that no look has made a deal of yet; NULL = there is none. */
json_t *cosell_waiting_json(cosell_page_t *page, const cosell_site_t *site, const char *id);
/* admin_mapping.c */
int cosell_add_mapping(cosell_page_t *page, cosell_site_t *site, void *baton);

/* ---- admin.c ---- */

/* What a request asks for, nothing answered yet. */
cosell_page_t *cosell_page_begin(request_rec *r);
/* Sends the document with an error of this status; what the handler returns. */
int cosell_page_refuse(cosell_page_t *page, int status, const char *why);
/* What both kinds of page carry. */
void cosell_page_headers(request_rec *r, int html);
/* The view of a document for this request. */
const cosell_view_t *cosell_page_view(cosell_page_t *page);

/* ---- forms.c ---- */

/* Against forgery: what a form of this site for this user must carry. NULL = there are no forms. */
const char *cosell_form_token(const request_rec *r, const char *site);

#endif
