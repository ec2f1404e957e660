/* httpd/admin_list.c: lists a page at a time: deals, what stands in their way, looks that were
 * given up, journal, jobs. */
#include "admin.h"

#include <apr_strings.h>
#include <string.h>

#define DEALS_FEW 50
#define DEALS_MOST 200
#define CAUSES_MOST 100
#define DEAD_MOST 200
#define JOURNAL_FEW 50
#define JOURNAL_MOST 1000
#define JOBS_MOST 100
#define JOB_ROWS 200
#define ID_MAX 64

/* ---- pieces ---- */

json_t *cosell_totals_json(cosell_page_t *page, const cosell_site_t *site)
{
    apr_int64_t totals[CS_DEAL_STATES] = { 0 };
    json_t *json = json_object();
    int i;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_deal_totals(page->store, site->cfg.name, totals, page->p,
                                                &page->res))) {
        for (i = 0; i < CS_DEAL_STATES; i++) {
            cosell_put(json, cs_deal_state_name((cs_deal_state_e)i), json_integer(totals[i]));
        }
    }
    return json;
}

json_t *cosell_causes_json(cosell_page_t *page, const cosell_site_t *site, int max)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_causes(page->store, site->cfg.name, max, &list, page->p,
                                           &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            json_array_append_new(json, cosell_cause_json(APR_ARRAY_IDX(list, i, cs_cause_t *),
                                                          page->p));
        }
    }
    return json;
}

json_t *cosell_jobs_json(cosell_page_t *page, const cosell_site_t *site, int max, int ended)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_job_list(page->store, site->cfg.name, max, &list, page->p,
                                             &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            const cs_job_t *job = APR_ARRAY_IDX(list, i, cs_job_t *);

            if (job->state == CS_JOB_WAITING || job->state == CS_JOB_RUNNING || ended-- > 0) {
                json_array_append_new(json, cosell_job_json(page, job));
            }
        }
    }
    return json;
}

json_t *cosell_suspensions_json(cosell_page_t *page, const cosell_site_t *site)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_suspended(page->store, site->cfg.name, &list, page->p,
                                              &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            json_array_append_new(
                json, cosell_suspended_json(&APR_ARRAY_IDX(list, i, cs_suspended_t), page->p));
        }
    }
    return json;
}

json_t *cosell_dead_json(cosell_page_t *page, const cosell_site_t *site, const char *cause,
                         const char *after, int max, const char **pnext)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    *pnext = NULL;
    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_dead(page->store, site->cfg.name, cause, after, max, &list,
                                         page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            const cs_work_t *work = APR_ARRAY_IDX(list, i, cs_work_t *);

            json_array_append_new(json, cosell_work_json(work, page->p));
            *pnext = list->nelts == max ? work->name : NULL;
        }
    }
    return json;
}

static json_t *site_object(const cosell_site_t *site)
{
    return json_pack("{s:s}", "site", site->cfg.name);
}

/* ---- deals ---- */

static int deal_state(const char *name)
{
    int i;

    for (i = 0; name && i < CS_DEAL_STATES; i++) {
        if (!strcmp(name, cs_deal_state_name((cs_deal_state_e)i))) {
            return i;
        }
    }
    return -1;
}

static const char *states_allowed(apr_pool_t *p)
{
    const char *out = "";
    int i;

    for (i = 0; i < CS_DEAL_STATES; i++) {
        out = apr_pstrcat(p, out, i ? ", " : "", cs_deal_state_name((cs_deal_state_e)i), NULL);
    }
    return out;
}

int cosell_add_deals(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    cs_deal_query_t query = { 0 };
    cs_deal_page_t found = { 0 };
    json_t *json = site_object(site), *list = json_array();
    apr_status_t rv;
    int i;

    query.state = deal_state(cosell_query_text(page, "deals"));
    query.search = cosell_query_text(page, "search");
    query.cause = cosell_query_text(page, "cause");
    query.after = cosell_query_text(page, "after");
    query.max = (int)cosell_query_number(page, "max", DEALS_FEW, 1, DEALS_MOST);
    cosell_put(json, "totals", cosell_totals_json(page, site));
    if (cosell_may_ask(page)) {
        rv = cs_store_deal_page(page->store, site->cfg.name, &query, &found, page->p, &page->res);
        if (rv == APR_EINVAL) {
            page->wrong = "after: this is no place in this list";
        }
        else if (cosell_asked(page, rv)) {
            for (i = 0; i < found.deals->nelts; i++) {
                json_array_append_new(
                    list, cosell_deal_json(site, APR_ARRAY_IDX(found.deals, i, cs_deal_t *), 0,
                                           page->p));
            }
        }
    }
    if (query.search && !json_array_size(list) && strlen(query.search) <= ID_MAX) {
        json_t *waiting = cosell_waiting_json(page, site, query.search);

        cosell_put(json, "waiting", waiting ? waiting : json_null());
    }
    cosell_put(json, "deals", list);
    cosell_put(json, "next", cosell_text_json(found.next));
    json_array_append_new(baton, json);
    return 0;
}

/* ---- problems ---- */

int cosell_add_problems(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    json_t *json = site_object(site);

    cosell_put(json, "suspended", cosell_suspensions_json(page, site));
    cosell_put(json, "causes", cosell_causes_json(page, site, CAUSES_MOST));
    json_array_append_new(baton, json);
    return 0;
}

int cosell_add_dead(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    json_t *json = site_object(site);
    const char *next;

    cosell_put(json, "dead",
               cosell_dead_json(page, site, cosell_query_text(page, "cause"),
                                cosell_query_text(page, "after"), DEAD_MOST, &next));
    cosell_put(json, "next", cosell_text_json(next));
    json_array_append_new(baton, json);
    return 0;
}

/* ---- journal ---- */

int cosell_add_journal(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    int max = (int)cosell_query_number(page, "journal", JOURNAL_FEW, 1, JOURNAL_MOST), i;
    apr_int64_t deal = cosell_query_number(page, "deal", 0, 1, APR_INT64_MAX);
    apr_int64_t after = cosell_query_number(page, "after", 0, 0, APR_INT64_MAX);
    apr_int64_t before = cosell_query_number(page, "before", 0, 0, APR_INT64_MAX);
    apr_array_header_t *list = NULL;
    json_t *json = site_object(site), *lines = json_array();

    if (!page->wrong && cosell_may_ask(page) &&
        cosell_asked(page, cs_store_journal_page(page->store, site->cfg.name, deal, after, before,
                                                 max, &list, page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            json_array_append_new(lines, cosell_journal_json(
                                             APR_ARRAY_IDX(list, i, cs_journal_t *), page->p));
        }
    }
    cosell_put(json, "journal", lines);
    cosell_put(json, "more", json_boolean(list && list->nelts == max));
    json_array_append_new(baton, json);
    return 0;
}

/* ---- jobs ---- */

int cosell_add_jobs(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    json_t *json = site_object(site);

    cosell_put(json, "jobs", cosell_jobs_json(page, site, JOBS_MOST, JOBS_MOST));
    json_array_append_new(baton, json);
    return 0;
}

static void put_rows(cosell_page_t *page, const cosell_site_t *site, const char *id)
{
    apr_int64_t after = cosell_query_number(page, "after", 0, 0, APR_INT64_MAX), last = 0;
    apr_array_header_t *list = NULL;
    json_t *rows = json_array();
    int i;

    if (!page->wrong && cosell_may_ask(page) &&
        cosell_asked(page, cs_store_job_rows(page->store, site->cfg.name, id, after, JOB_ROWS,
                                             &list, page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            const cs_job_row_t *row = APR_ARRAY_IDX(list, i, cs_job_row_t *);

            json_array_append_new(rows, json_pack("{s:I, s:o, s:o}", "n", (json_int_t)row->n,
                                                  "deal", row->deal ? json_integer(row->deal)
                                                                    : json_null(),
                                                  "row", cosell_copy_json(row->row)));
            last = row->n;
        }
    }
    cosell_put(page->out, "rows", rows);
    cosell_put(page->out, "next",
               list && list->nelts == JOB_ROWS ? json_integer(last) : json_null());
}

int cosell_show_job(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    const char *id = baton;
    cs_job_t *job = NULL;
    apr_status_t rv;

    if (!cosell_may_ask(page)) {
        return 0;
    }
    rv = cs_store_job_get(page->store, site->cfg.name, id, &job, page->p, &page->res);
    if (rv == CS_EPARSE && job) {
        /* A damaged one is told as one that failed. */
        cs_result_clear(&page->res);
        rv = APR_SUCCESS;
    }
    if (!cosell_asked(page, rv) || !job) {
        return 0;
    }
    cosell_put(page->out, "site", json_string(site->cfg.name));
    cosell_put(page->out, "job", cosell_job_json(page, job));
    put_rows(page, site, id);
    return 1;
}

/* ---- what may be asked ---- */

void cosell_check_lists(cosell_page_t *page)
{
    const char *state = cosell_query_text(page, "deals");
    const char *job = cosell_query_text(page, "job");

    cosell_query_number(page, "max", DEALS_FEW, 1, DEALS_MOST);
    if (page->what == COSELL_PAGE_JOURNAL) {
        cosell_query_number(page, "journal", JOURNAL_FEW, 1, JOURNAL_MOST);
        cosell_query_number(page, "deal", 0, 1, APR_INT64_MAX);
        cosell_query_number(page, "before", 0, 0, APR_INT64_MAX);
    }
    if (page->what == COSELL_PAGE_JOURNAL || page->what == COSELL_PAGE_JOB) {
        cosell_query_number(page, "after", 0, 0, APR_INT64_MAX);
    }
    if (state && deal_state(state) < 0) {
        page->wrong = apr_psprintf(page->p, "deals: allowed are %s, or nothing",
                                   states_allowed(page->p));
    }
    if (job && (strlen(job) != CS_JOB_ID_LEN
                || strspn(job, "0123456789abcdef") != CS_JOB_ID_LEN)) {
        page->wrong = "job: allowed are the 16 hexadecimal digits of a job";
    }
}
