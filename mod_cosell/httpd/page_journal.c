/* httpd/page_journal.c: what was done and refused, newest first. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static const char *direction_words(const char *direction)
{
    return !direction || !*direction         ? ""
           : !strcmp(direction, "to_crm")    ? "to the CRM"
           : !strcmp(direction, "to_pc")     ? "to Partner Center"
                                             : direction;
}

/* What a new row was made of. */
static void whole_row(cosell_html_t *h, const cosell_view_t *v, const json_t *row)
{
    if (!json_object_size(row)) {
        return;
    }
    cosell_open(h, "details");
    cosell_element(h, "summary", "what was written");
    cosell_foreign(h, cosell_value(row, v->p), 2000);
    cosell_close(h);
}

static void change(cosell_html_t *h, const cosell_view_t *v, const json_t *row)
{
    const json_t *from = cs_json_get(row, "from"), *to = cs_json_get(row, "to");
    const char *line = cs_json_str(row, "line");

    if (line) {
        cosell_open(h, "strong");
        cosell_foreign(h, cosell_line_name(line), 100);
        cosell_close(h);
        cosell_text(h, " ");
    }
    if (!line) {
        whole_row(h, v, to);
        return;
    }
    if (from && !json_is_null(from)) {
        cosell_open(h, "del");
        cosell_foreign(h, cosell_value(from, v->p), 300);
        cosell_close(h);
        cosell_text(h, " \xe2\x86\x92 ");
    }
    cosell_open(h, "ins");
    cosell_foreign(h, cosell_value(to, v->p), 300);
    cosell_close(h);
}

static void journal_row(cosell_html_t *h, const cosell_view_t *v, const json_t *row, int deals)
{
    const char *outcome = cs_json_str(row, "outcome");
    apr_int64_t deal = cs_json_int(row, "deal", 0);

    cosell_open(h, "tr");
    cosell_cell(h, "When");
    cosell_time(h, v, cs_json_str(row, "at"), "");
    cosell_close(h);
    if (deals) {
        cosell_cell(h, "Deal");
        if (deal) {
            const char *id = apr_psprintf(v->p, "%" APR_INT64_T_FMT, deal);

            cosell_link(h, cosell_url(v, "deal", id, NULL), id);
        }
        cosell_close(h);
    }
    cosell_cell(h, "What");
    cosell_foreign(h, cs_json_str(row, "action"), 60);
    cosell_text(h, " ");
    cosell_text(h, direction_words(cs_json_str(row, "direction")));
    cosell_text(h, " ");
    if (outcome) {
        cosell_badge(h, outcome, outcome);
    }
    cosell_close(h);
    cosell_cell(h, "Change");
    change(h, v, row);
    cosell_close(h);
    cosell_cell_text(h, "Why", cs_json_str(row, "why"));
    cosell_close(h);
}

void cosell_journal(cosell_html_t *h, const cosell_view_t *v, const json_t *journal, int deals)
{
    const char *with[] = {"When", "Deal", "What", "Change", "Why", NULL};
    const char *without[] = {"When", "What", "Change", "Why", NULL};
    size_t i;

    cosell_table_begin(h, "What was done and refused", deals ? with : without);
    for (i = 0; i < json_array_size(journal); i++) {
        journal_row(h, v, json_array_get(journal, i), deals);
    }
    cosell_table_end(h);
}

static void one_site(cosell_html_t *h, const cosell_view_t *v, const json_t *doc,
                     const json_t *site)
{
    const json_t *journal = cs_json_get(site, "journal");
    size_t n = json_array_size(journal);
    apr_int64_t last = n ? cs_json_int(json_array_get(journal, n - 1), "id", 0) : 0;
    const char *id = apr_psprintf(v->p, "%" APR_INT64_T_FMT, last);

    cosell_site_heading(h, v, doc, site);
    if (!n) {
        cosell_element(h, "p", "Nothing is in the journal here.");
        return;
    }
    cosell_journal(h, v, journal, 1);
    if (cs_json_bool(site, "more", 0)) {
        cosell_open(h, "p");
        cosell_link(h, cosell_url(v, "journal", "", "deal", v->deal, v->after ? "after" : "before",
                                  id, NULL),
                    v->after ? "Newer" : "Older");
        cosell_close(h);
    }
}

void cosell_view_journal(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    cosell_frame_begin(h, v, "Journal", 0);
    if (v->deal) {
        cosell_open(h, "p");
        cosell_text(h, "Of one deal. ");
        cosell_link(h, cosell_url(v, "deal", v->deal, NULL), "To the deal");
        cosell_close(h);
    }
    for (i = 0; i < json_array_size(sites); i++) {
        one_site(h, v, doc, json_array_get(sites, i));
    }
    cosell_frame_end(h, v);
}
