/* httpd/page_timeline.c: what happened to a deal: what one look did stands together. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static const char *number_of(const cosell_view_t *v, const json_t *deal)
{
    return apr_psprintf(v->p, "%" APR_INT64_T_FMT, cs_json_int(deal, "id", 0));
}

static int is(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

static const char *direction_words(const char *direction)
{
    return is(direction, "to_crm") ? " to the CRM" : is(direction, "to_pc") ? " to Partner Center"
                                                                            : "";
}

static void event(cosell_html_t *h, const cosell_view_t *v, const json_t *row)
{
    const json_t *from = cs_json_get(row, "from"), *to = cs_json_get(row, "to");
    const char *name = cs_json_str(row, "line"), *why = cs_json_str(row, "why");
    const char *outcome = cs_json_str(row, "outcome");

    cosell_open(h, "li");
    if (outcome) {
        cosell_badge(h, outcome, outcome);
        cosell_text(h, " ");
    }
    cosell_foreign(h, cs_json_str(row, "action"), 60);
    cosell_text(h, direction_words(cs_json_str(row, "direction")));
    if (name) {
        cosell_text(h, ": ");
        cosell_open(h, "strong");
        cosell_foreign(h, cosell_line_name(name), 100);
        cosell_close(h);
        cosell_text(h, " ");
        cosell_open(h, "del");
        cosell_foreign(h, cosell_value(from, v->p), 300);
        cosell_close(h);
        cosell_text(h, " \xe2\x86\x92 ");
        cosell_open(h, "ins");
        cosell_foreign(h, cosell_value(to, v->p), 300);
        cosell_close(h);
    }
    if (why) {
        cosell_text(h, ". ");
        cosell_foreign(h, why, 500);
    }
    cosell_close(h);
}

static void cost(cosell_html_t *h, const json_t *row)
{
    const char *correlation = cs_json_str(row, "correlation");
    int calls = (int)cs_json_int(row, "calls", 0);

    if (!calls && !correlation) {
        return;
    }
    cosell_open(h, "details");
    cosell_attr(h, "class", "ago");
    cosell_open(h, "summary");
    cosell_textf(h, "%d call%s, %d ms", calls, calls == 1 ? "" : "s",
                 (int)cs_json_int(row, "ms", 0));
    cosell_close(h);
    cosell_foreign(h, correlation ? correlation : "nothing tells which", 400);
    cosell_close(h);
}

/* What one look did stands together. */
void cosell_timeline(cosell_html_t *h, const cosell_view_t *v, const json_t *deal,
                     const json_t *journal)
{
    size_t n = json_array_size(journal), i = 0;

    cosell_element(h, "h2", "What happened");
    if (!n) {
        cosell_element(h, "p", "Nothing is in the journal: no look had anything to do.");
        return;
    }
    cosell_open(h, "ol");
    cosell_attr(h, "class", "timeline");
    while (i < n) {
        const json_t *first = json_array_get(journal, i);
        const char *at = cs_json_str(first, "at"), *its = at;

        cosell_open(h, "li");
        cosell_open(h, "p");
        cosell_attr(h, "class", "when");
        cosell_time(h, v, at, "");
        cosell_close(h);
        cost(h, first);
        cosell_open(h, "ul");
        for (; i < n && is(its, at ? at : ""); i++) {
            event(h, v, json_array_get(journal, i));
            its = i + 1 < n ? cs_json_str(json_array_get(journal, i + 1), "at") : NULL;
        }
        cosell_close(h);
        cosell_close(h);
        i += at ? 0 : 1;
    }
    cosell_close(h);
    cosell_open(h, "p");
    cosell_link(h, cosell_url(v, "journal", "", "deal", number_of(v, deal), NULL),
                "All of its journal");
    cosell_close(h);
}
