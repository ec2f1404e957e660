/* httpd/page_deals.c: deals by state, cause and words, a page at a time. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static void tab(cosell_html_t *h, const cosell_view_t *v, const char *state, const char *word,
                json_int_t n, int current)
{
    cosell_open(h, "li");
    cosell_open(h, "a");
    cosell_attr(h, "href", cosell_url(v, "deals", state, "search", v->search, "cause", v->cause,
                                      NULL));
    cosell_attr(h, "class", current ? "here" : NULL);
    cosell_text(h, word);
    if (current) {
        cosell_classed(h, "span", "unseen", " (shown)");
    }
    if (n >= 0) {
        cosell_text(h, " ");
        cosell_classed(h, "span", "n", cosell_count(n, v->p));
    }
    cosell_close(h);
    cosell_close(h);
}

static void tabs(cosell_html_t *h, const cosell_view_t *v, const json_t *totals)
{
    const char *state;
    json_t *n;

    cosell_open(h, "ul");
    cosell_attr(h, "class", "tabs");
    tab(h, v, "", "All", -1, !v->state);
    json_object_foreach((json_t *)totals, state, n) {
        tab(h, v, state, cosell_state_word(state), json_integer_value(n),
            v->state && !strcmp(v->state, state));
    }
    cosell_close(h);
}

static void row(cosell_html_t *h, const cosell_view_t *v, const json_t *deal)
{
    const char *title = cs_json_str(deal, "title"), *status = cs_json_str(deal, "status");
    const char *record = cs_json_str(deal, "record"), *link = cs_json_str(deal, "link");
    const char *id = apr_psprintf(v->p, "%" APR_INT64_T_FMT, cs_json_int(deal, "id", 0));

    cosell_open(h, "tr");
    cosell_cell(h, "Deal");
    cosell_open(h, "a");
    cosell_attr(h, "href", cosell_url(v, "deal", id, NULL));
    cosell_foreign(h, title && *title ? title : "without a title", 120);
    cosell_close(h);
    cosell_close(h);
    cosell_cell(h, "State");
    cosell_badge(h, cs_json_str(deal, "state"), cosell_state_word(cs_json_str(deal, "state")));
    cosell_close(h);
    cosell_cell(h, "The seller reads");
    if (status) {
        cosell_badge(h, status, status);
        cosell_text(h, " ");
    }
    if (cs_json_str(deal, "problem")) {
        cosell_foreign(h, cs_json_str(deal, "problem"), 200);
    }
    cosell_close(h);
    cosell_cell(h, "In the CRM");
    if (link) {
        cosell_link_out(h, link, cs_json_str(deal, "crm"));
    }
    else {
        cosell_text(h, record ? "not yet" : "no record");
    }
    cosell_close(h);
    cosell_cell(h, "Changed");
    cosell_time(h, v, cs_json_str(deal, "updated"), "never");
    cosell_close(h);
    cosell_close(h);
}

static void what_is_shown(cosell_html_t *h, const cosell_view_t *v)
{
    if (!v->search && !v->cause) {
        return;
    }
    cosell_open(h, "p");
    if (v->search) {
        cosell_text(h, "Found by ");
        cosell_open(h, "q");
        cosell_foreign(h, v->search, 200);
        cosell_close(h);
        cosell_text(h, ". ");
    }
    if (v->cause) {
        cosell_text(h, "Only those with the cause ");
        cosell_open(h, "q");
        cosell_foreign(h, v->cause, 200);
        cosell_close(h);
        cosell_text(h, ". ");
    }
    cosell_link(h, cosell_url(v, "deals", "", NULL), "Show all");
    cosell_close(h);
}

/* What was looked for has been noticed, and no look has made a deal of it. */
static void not_yet(cosell_html_t *h, const cosell_view_t *v, const json_t *work)
{
    const char *state = cs_json_str(work, "state"), *detail = cs_json_str(work, "detail");

    cosell_open(h, "div");
    cosell_attr(h, "class", "note wait");
    cosell_open(h, "p");
    cosell_element(h, "strong", "In the CRM: no. ");
    cosell_text(h, state && !strcmp(state, "dead")        ? "Its look was given up"
                   : state && !strcmp(state, "suspended") ? "It waits for an upstream"
                                                          : "A notice of it waits for its look");
    cosell_text(h, detail ? ": " : ". ");
    cosell_foreign(h, detail, 500);
    cosell_close(h);
    cosell_open(h, "p");
    cosell_link(h, cosell_url(v, "deal", v->search, NULL), "What happens next");
    cosell_close(h);
    cosell_close(h);
}

static void one_site(cosell_html_t *h, const cosell_view_t *v, const json_t *doc,
                     const json_t *site)
{
    static const char *const columns[] = {"Deal",       "State",   "The seller reads",
                                          "In the CRM", "Changed", NULL};
    const json_t *deals = cs_json_get(site, "deals");
    const char *next = cs_json_str(site, "next");
    size_t i;

    cosell_site_heading(h, v, doc, site);
    tabs(h, v, cs_json_get(site, "totals"));
    if (json_array_size(deals)) {
        cosell_table_begin(h, "Deals", columns);
        for (i = 0; i < json_array_size(deals); i++) {
            row(h, v, json_array_get(deals, i));
        }
        cosell_table_end(h);
    }
    else if (json_is_object(cs_json_get(site, "waiting"))) {
        not_yet(h, v, cs_json_get(site, "waiting"));
    }
    else {
        cosell_element(h, "p", next ? "None on this page." : "There is no such deal.");
    }
    if (next) {
        cosell_open(h, "p");
        cosell_link(h, cosell_url(v, "deals", v->state ? v->state : "", "search", v->search,
                                  "cause", v->cause, "after", next, NULL),
                    "More deals");
        cosell_close(h);
    }
}

void cosell_view_deals(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    cosell_frame_begin(h, v, "Deals", 0);
    what_is_shown(h, v);
    for (i = 0; i < json_array_size(sites); i++) {
        one_site(h, v, doc, json_array_get(sites, i));
    }
    cosell_frame_end(h, v);
}
