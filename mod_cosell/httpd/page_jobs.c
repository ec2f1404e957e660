/* httpd/page_jobs.c: what a person asked for, and how far it is. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

#define REFRESH 3
#define SAID_MAX 100

static int is_alive(const json_t *job)
{
    const char *state = cs_json_str(job, "state");

    return state && (!strcmp(state, "waiting") || !strcmp(state, "running"));
}

/* "look at deal 12" */
static const char *what_of(const json_t *job)
{
    const char *what = cs_json_str(job, "what");

    return what ? what : cs_json_str(job, "kind");
}

static const char *outcome_of(const json_t *job)
{
    const json_t *result = cs_json_get(job, "result");
    const char *text = cs_json_str(result, "error");

    text = text ? text : cs_json_str(result, "text");
    text = text ? text : cs_json_str(cs_json_get(job, "progress"), "text");
    return text ? text : cs_json_str(cs_json_get(job, "progress"), "waits");
}

/* ---- a list ---- */

static void job_row(cosell_html_t *h, const cosell_view_t *v, const json_t *job)
{
    const char *id = cs_json_str(job, "id");

    cosell_open(h, "tr");
    cosell_cell(h, "Job");
    cosell_open(h, "a");
    cosell_attr(h, "href", cosell_url(v, "job", id, NULL));
    cosell_foreign(h, what_of(job), 160);
    cosell_close(h);
    cosell_close(h);
    cosell_cell(h, "State");
    cosell_badge(h, cs_json_str(job, "state"), cs_json_str(job, "state"));
    cosell_close(h);
    cosell_cell_text(h, "What came of it", outcome_of(job));
    cosell_cell_text(h, "Asked by", cs_json_str(job, "user"));
    cosell_cell(h, "Asked");
    cosell_time(h, v, cs_json_str(job, "created"), "");
    cosell_close(h);
    cosell_close(h);
}

void cosell_jobs(cosell_html_t *h, const cosell_view_t *v, const char *site, const json_t *jobs)
{
    static const char *const columns[] = {"Job",   "State", "What came of it", "Asked by",
                                          "Asked", NULL};
    size_t i;

    (void)site;
    cosell_table_begin(h, "Jobs, newest first", columns);
    for (i = 0; i < json_array_size(jobs); i++) {
        job_row(h, v, json_array_get(jobs, i));
    }
    cosell_table_end(h);
}

void cosell_view_jobs(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    cosell_frame_begin(h, v, "Jobs", 0);
    cosell_element(h, "p", "What was asked for in the last 30 days, newest first.");
    for (i = 0; i < json_array_size(sites); i++) {
        const json_t *site = json_array_get(sites, i);

        cosell_site_heading(h, v, doc, site);
        if (json_array_size(cs_json_get(site, "jobs"))) {
            cosell_jobs(h, v, cs_json_str(site, "site"), cs_json_get(site, "jobs"));
        }
        else {
            cosell_element(h, "p", "There is none.");
        }
    }
    cosell_frame_end(h, v);
}

/* ---- one job ---- */

static const char *digits(json_int_t n, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)n);
}

static void progress(cosell_html_t *h, const cosell_view_t *v, const json_t *json)
{
    json_int_t done = cs_json_int(json, "done", 0), of = cs_json_int(json, "of", 0);
    double rate = json_number_value(cs_json_get(json, "rate"));

    if (!json_is_object(json)) {
        return;
    }
    cosell_open(h, "p");
    if (cs_json_get(json, "of") || cs_json_get(json, "done")) {
        cosell_open(h, "progress");
        cosell_attr(h, "aria-label", "how far it is");
        if (of > 0) {
            cosell_attr(h, "max", digits(of, v->p));
            cosell_attr(h, "value", digits(done < of ? done : of, v->p));
        }
        cosell_text(h, "so far:");
        cosell_close(h);
        cosell_textf(h, " %s", cosell_count(done, v->p));
        if (of > 0) {
            cosell_textf(h, " of %s", cosell_count(of, v->p));
        }
        if (rate > 0) {
            cosell_textf(h, ", %.3g a second", rate);
        }
        cosell_text(h, ". ");
    }
    cosell_foreign(h, cs_json_str(json, "text"), 500);
    if (cs_json_str(json, "waits")) {
        cosell_text(h, "It waits: ");
        cosell_foreign(h, cs_json_str(json, "waits"), 500);
    }
    cosell_close(h);
}

static void said(cosell_html_t *h, const json_t *say)
{
    size_t i, n = json_array_size(say);

    if (!n) {
        return;
    }
    cosell_open(h, "ul");
    for (i = n > SAID_MAX ? n - SAID_MAX : 0; i < n; i++) {
        cosell_open(h, "li");
        cosell_foreign(h, json_string_value(json_array_get(say, i)), 500);
        cosell_close(h);
    }
    cosell_close(h);
}

/* A device sign-in: where to go and what to type. */
static void open_here(cosell_html_t *h, const cosell_view_t *v, const json_t *json)
{
    const char *url = cs_json_str(json, "open"), *code = cs_json_str(json, "code");

    if (!url) {
        return;
    }
    cosell_open(h, "p");
    cosell_text(h, "Open ");
    cosell_link_out(h, url, url);
    if (code) {
        cosell_text(h, " and type ");
        cosell_open(h, "strong");
        cosell_foreign(h, code, 40);
        cosell_close(h);
    }
    cosell_text(h, ", until ");
    cosell_time(h, v, cs_json_str(json, "expires"), "it expires");
    cosell_close(h);
}

static int is_state(const json_t *check, const char *state)
{
    const char *its = cs_json_str(check, "state");

    return its && !strcmp(its, state);
}

static void check_row(cosell_html_t *h, const json_t *check)
{
    cosell_open(h, "tr");
    cosell_cell_text(h, "Check", cs_json_str(check, "check"));
    cosell_cell(h, "State");
    cosell_badge(h, cs_json_str(check, "state"), cs_json_str(check, "state"));
    cosell_close(h);
    cosell_cell_text(h, "What was found", cs_json_str(check, "text"));
    cosell_cell_text(h, "What to do", cs_json_str(check, "fix"));
    cosell_close(h);
}

/* What doctor found: what failed first, then what is to be warned of. */
static void checks(cosell_html_t *h, const json_t *list)
{
    static const char *const columns[] = {"Check", "State", "What was found", "What to do", NULL};
    size_t i;
    int turn;

    if (!json_array_size(list)) {
        return;
    }
    cosell_element(h, "h2", "Checks");
    cosell_table_begin(h, "Checks", columns);
    for (turn = 0; turn < 3; turn++) {
        for (i = 0; i < json_array_size(list); i++) {
            const json_t *check = json_array_get(list, i);
            int its = is_state(check, "fail") ? 0 : is_state(check, "warn") ? 1 : 2;

            if (its == turn) {
                check_row(h, check);
            }
        }
    }
    cosell_table_end(h);
}

static int any_failed(const json_t *checks_)
{
    size_t i;

    for (i = 0; i < json_array_size(checks_); i++) {
        if (is_state(json_array_get(checks_, i), "fail")) {
            return 1;
        }
    }
    return 0;
}

/* ---- rows ---- */

static void change(cosell_html_t *h, const cosell_view_t *v, const json_t *json)
{
    const char *direction = cs_json_str(json, "direction"), *why = cs_json_str(json, "why");

    cosell_open(h, "li");
    cosell_open(h, "strong");
    cosell_foreign(h, cosell_line_name(cs_json_str(json, "line")), 100);
    cosell_close(h);
    cosell_text(h, direction && !strcmp(direction, "to_pc") ? " to Partner Center: "
                                                            : " to the CRM: ");
    cosell_open(h, "del");
    cosell_foreign(h, cosell_value(cs_json_get(json, "from"), v->p), 200);
    cosell_close(h);
    cosell_text(h, " \xe2\x86\x92 ");
    cosell_open(h, "ins");
    cosell_foreign(h, cosell_value(cs_json_get(json, "to"), v->p), 200);
    cosell_close(h);
    if (why) {
        cosell_text(h, " ");
        cosell_foreign(h, why, 200);
    }
    cosell_close(h);
}

static void row_cells(cosell_html_t *h, const cosell_view_t *v, const json_t *json)
{
    const json_t *row = cs_json_get(json, "row"), *changes = cs_json_get(row, "changes");
    const char *title = cs_json_str(row, "title"), *error = cs_json_str(row, "error");
    const char *referral = cs_json_str(row, "referral");
    apr_int64_t deal = cs_json_int(json, "deal", 0);
    size_t i;

    cosell_cell(h, "Deal");
    if (deal || referral) {
        cosell_open(h, "a");
        cosell_attr(h, "href", cosell_url(v, "deal", deal ? digits(deal, v->p) : referral, NULL));
        cosell_foreign(h, title ? title : referral ? referral : digits(deal, v->p), 120);
        cosell_close(h);
    }
    cosell_close(h);
    cosell_cell(h, "What");
    if (error) {
        cosell_foreign(h, error, 400);
    }
    else if (changes) {
        cosell_open(h, "ul");
        for (i = 0; i < json_array_size(changes); i++) {
            change(h, v, json_array_get(changes, i));
        }
        if (!i) {
            cosell_element(h, "li", "nothing");
        }
        cosell_close(h);
    }
    else {
        const char *text = cs_json_str(row, "text");

        cosell_foreign(h, text ? text : cosell_value(row, v->p), 400);
    }
    cosell_close(h);
}

static void rows(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    static const char *const columns[] = {"Deal", "What", NULL};
    const json_t *list = cs_json_get(doc, "rows");
    const char *id = cs_json_str(cs_json_get(doc, "job"), "id");
    size_t i;

    if (!json_array_size(list)) {
        return;
    }
    cosell_element(h, "h2", "Deal by deal");
    cosell_table_begin(h, "What it said of each deal", columns);
    for (i = 0; i < json_array_size(list); i++) {
        cosell_open(h, "tr");
        row_cells(h, v, json_array_get(list, i));
        cosell_close(h);
    }
    cosell_table_end(h);
    if (json_is_integer(cs_json_get(doc, "next"))) {
        cosell_open(h, "p");
        cosell_link(h, cosell_url(v, "job", id, "after",
                                  digits(cs_json_int(doc, "next", 0), v->p), NULL),
                    "More");
        cosell_close(h);
    }
}

static void facts(cosell_html_t *h, const cosell_view_t *v, const json_t *job)
{
    cosell_open(h, "p");
    cosell_badge(h, cs_json_str(job, "state"), cs_json_str(job, "state"));
    cosell_text(h, " Asked by ");
    cosell_foreign(h, cs_json_str(job, "user"), 128);
    cosell_text(h, " ");
    cosell_time(h, v, cs_json_str(job, "created"), "");
    cosell_text(h, ", last moved ");
    cosell_time(h, v, cs_json_str(job, "updated"), "never");
    cosell_close(h);
    if (json_object_size(cs_json_get(job, "arguments"))) {
        cosell_open(h, "p");
        cosell_text(h, "Asked for: ");
        cosell_foreign(h, cosell_value(cs_json_get(job, "arguments"), v->p), 500);
        cosell_close(h);
    }
}

void cosell_view_job(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *job = cs_json_get(doc, "job"), *result = cs_json_get(job, "result");
    const json_t *moving = cs_json_get(job, "progress"), *found = cs_json_get(result, "checks");
    const char *error = cs_json_str(result, "error"), *text = cs_json_str(result, "text");
    int alive = is_alive(job);

    cosell_frame_begin(h, v, apr_pstrcat(v->p, "Job: ", what_of(job), NULL),
                       alive ? REFRESH : 0);
    facts(h, v, job);
    if (error || text) {
        cosell_open(h, "p");
        cosell_attr(h, "class", error || any_failed(found) ? "note bad" : "note good");
        cosell_foreign(h, error ? error : text, 1000);
        cosell_close(h);
    }
    if (alive) {
        progress(h, v, moving);
        open_here(h, v, moving);
        cosell_button(h, v, cs_json_str(doc, "site"), "cancel", "job", cs_json_str(job, "id"),
                      "Cancel it");
        cosell_element(h, "p", "This page asks again every 3 seconds until the job has ended.");
    }
    checks(h, found);
    if (!json_array_size(found)) {
        said(h, cs_json_get(moving, "say"));
    }
    rows(h, v, doc);
    cosell_open(h, "p");
    cosell_link(h, cosell_url(v, "jobs", "", NULL), "All jobs");
    cosell_text(h, ", ");
    cosell_link(h, cosell_url(v, "problems", "", NULL), "problems");
    cosell_text(h, ", ");
    cosell_link(h, cosell_url(v, NULL), "overview");
    cosell_close(h);
    cosell_frame_end(h, v);
}
