/* deals: a list, page by page until there are as many as wanted. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"

#define PAGE_MAX 200
#define MOST 100000

/* --max; 0 = it is none, which was said. */
static int max_of(ctl_t *c)
{
    const char *text = ctl_opt(c, "max");
    int max = text ? atoi(text) : 50;

    if (max < 1 || max > MOST || (text && strspn(text, "0123456789") != strlen(text))) {
        ctl_error("--max %s: allowed is 1 to %d", ctl_clean(text, c->p), MOST);
        return 0;
    }
    return max;
}

static const char *query_of(ctl_t *c, int n, const char *after, apr_pool_t *p)
{
    const char *state = ctl_opt(c, "state"), *search = ctl_opt(c, "search");
    const char *cause = ctl_opt(c, "cause");
    const char *out = ctl_parameter("", "deals", state ? state : "", p);

    out = search ? apr_pstrcat(p, out, ctl_parameter("&", "search", search, p), NULL) : out;
    out = cause ? apr_pstrcat(p, out, ctl_parameter("&", "cause", cause, p), NULL) : out;
    out = after ? apr_pstrcat(p, out, ctl_parameter("&", "after", after, p), NULL) : out;
    return apr_psprintf(p, "%s&max=%d", out, n < PAGE_MAX ? n : PAGE_MAX);
}

static const char *problem_of(const json_t *deal, apr_pool_t *p)
{
    const char *problem = cs_json_str(deal, "problem"), *status = cs_json_str(deal, "status");

    return problem ? problem : status && strcmp(status, "In sync") ? status : apr_pstrdup(p, "");
}

static void print_deals(ctl_t *c, const json_t *deals)
{
    static const char *const heads[] = {
        "DEAL", "STATE", "PARTNER CENTER", "TITLE", "CHANGED (UTC)", "PROBLEM", NULL};
    ctl_table_t *table = ctl_table_make(heads, c->p);
    json_t *deal;
    size_t i;

    json_array_foreach((json_t *)deals, i, deal) {
        const char *when = ctl_when(cs_json_get(deal, "updated"), c->p);

        ctl_table_row(
            table, apr_psprintf(c->p, "%" APR_INT64_T_FMT, cs_json_int(deal, "id", 0)),
            cs_json_str(deal, "state"), cs_json_str(deal, "pc_status"), cs_json_str(deal, "title"),
            strlen(when) == 19 ? apr_pstrndup(c->p, when, 16) : when, problem_of(deal, c->p));
    }
    ctl_out("%s", ctl_table_text(table, c->tty ? c->width : 0, c->p));
}

/* A page more of a site: its deals behind those that are there. 0 or an exit code. */
static int add_page(ctl_t *c, json_t *site, int n)
{
    const char *name = cs_json_str(site, "site"), *next = cs_json_str(site, "next");
    json_t *deals = cs_json_get(site, "deals"), *other;
    ctl_answer_t answer;
    size_t i;
    int rc = ctl_get(c, query_of(c, n, next, c->p), &answer, c->p);

    if (rc) {
        return rc;
    }
    json_object_set_new(site, "next", json_null());
    json_array_foreach(cs_json_get(answer.doc, "sites"), i, other) {
        if (name && cs_json_str(other, "site") && !strcmp(name, cs_json_str(other, "site"))) {
            json_array_extend(deals, cs_json_get(other, "deals"));
            json_object_set(site, "next", cs_json_get(other, "next"));
        }
    }
    return CTL_DONE;
}

/* A page may be empty and not the last: the server looks at a bounded number of rows for each. */
static int fill(ctl_t *c, json_t *site, int max, int *pmore)
{
    const json_t *deals = cs_json_get(site, "deals");
    int rc = CTL_DONE;

    while (!rc && cs_json_str(site, "next") && (int)json_array_size(deals) < max) {
        rc = add_page(c, site, max - (int)json_array_size(deals));
        *pmore = 1;
    }
    return rc;
}

static void print_site(ctl_t *c, const json_t *site, int several)
{
    const json_t *deals = cs_json_get(site, "deals");

    if (several) {
        ctl_out("site %s\n", ctl_clean(cs_json_str(site, "site"), c->p));
    }
    if (!json_array_size(deals)) {
        ctl_note("no deals");
        return;
    }
    print_deals(c, deals);
    if (cs_json_str(site, "next")) {
        ctl_note("there are more: --max N, --state or --search");
    }
}

int ctl_run_deals(ctl_t *c)
{
    int max = max_of(c), more = 0, rc, i;
    apr_array_header_t *sites;
    ctl_answer_t answer;

    if (!max) {
        return CTL_USAGE;
    }
    rc = ctl_get(c, query_of(c, max, NULL, c->p), &answer, c->p);
    if (rc) {
        return rc;
    }
    sites = ctl_sites(c, answer.doc, c->p);
    for (i = 0; !rc && i < sites->nelts; i++) {
        rc = fill(c, APR_ARRAY_IDX(sites, i, json_t *), max, &more);
    }
    if (rc || !sites->nelts) {
        return rc ? rc : CTL_NOT_FOUND;
    }
    if (c->json) {
        answer.text = more ? cs_json_pretty(answer.doc, c->p) : answer.text;
        ctl_print_json(&answer);
        return CTL_DONE;
    }
    for (i = 0; i < sites->nelts; i++) {
        print_site(c, APR_ARRAY_IDX(sites, i, json_t *), sites->nelts > 1);
    }
    return CTL_DONE;
}

/* Of the deals that have the id, the only one of the site that is meant; 0 = there is none, or no
 * site was named. */
static apr_int64_t one_of_site(const ctl_t *c, const json_t *candidates)
{
    apr_int64_t found = 0;
    json_t *deal;
    size_t i;

    json_array_foreach((json_t *)candidates, i, deal) {
        const char *site = cs_json_str(deal, "site");

        if (c->site && site && !strcmp(site, c->site)) {
            if (found) {
                return 0;
            }
            found = cs_json_int(deal, "id", 0);
        }
    }
    return found;
}

void ctl_ask_deal(ctl_t *c, const char *id, ctl_answer_t *answer, apr_pool_t *p)
{
    apr_int64_t number;

    ctl_ask(c, ctl_parameter("", "deal", id, p), NULL, answer, p);
    number = one_of_site(c, cs_json_get(answer->doc, "candidates"));
    if (number) {
        ctl_ask(c, apr_psprintf(p, "deal=%" APR_INT64_T_FMT, number), NULL, answer, p);
    }
}
