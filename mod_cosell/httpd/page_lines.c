/* httpd/page_lines.c: both sides of a deal, line by line, with the verdict in words. */
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

static const char *verdict_words(const char *verdict)
{
    static const struct {
        const char *verdict, *words;
    } all[] = {
        {"equal", "the same on both sides"},
        {"to crm", "goes to the CRM"},
        {"to partner center", "goes to Partner Center"},
        {"held", "changed on both sides: waits for a person"},
        {"one way", "may differ: it goes one way only"},
        {"create only", "fixed when the deal was made"},
        {"not kept", "the other side did not keep it as written"},
        {"closed", "the record is closed: edits wait"},
        {"unreadable", "cannot be read on one side"},
        {"skipped", "kept out by a rule"},
        {"refused", "cannot travel, or was refused"},
        {"latched", "once set it cannot be taken back"},
        {"stays", "stays where it is"},
    };
    apr_size_t i;

    for (i = 0; verdict && i < sizeof(all) / sizeof(all[0]); i++) {
        if (!strcmp(verdict, all[i].verdict)) {
            return all[i].words;
        }
    }
    return verdict ? verdict : "";
}

static const char *verdict_tone(const char *verdict)
{
    return is(verdict, "equal") ? "good"
           : is(verdict, "held") || is(verdict, "refused") ? "bad"
           : is(verdict, "unreadable") || is(verdict, "not kept") || is(verdict, "to crm")
                   || is(verdict, "to partner center") ? "wait"
                                                       : "";
}

/* A side's value now, and what it showed when that was settled last, if that is another. */
static void side(cosell_html_t *h, const cosell_view_t *v, const char *column, const json_t *now,
                 const json_t *seen)
{
    cosell_cell(h, column);
    if (now) {
        cosell_foreign(h, cosell_value(now, v->p), 300);
    }
    else {
        cosell_classed(h, "span", "ago", "not read");
    }
    if (seen && now && !json_equal((json_t *)seen, (json_t *)now)) {
        cosell_open(h, "span");
        cosell_attr(h, "class", "ago");
        cosell_text(h, " settled: ");
        cosell_foreign(h, cosell_value(seen, v->p), 120);
        cosell_close(h);
    }
    cosell_close(h);
}

static void line(cosell_html_t *h, const cosell_view_t *v, const json_t *deal,
                 const json_t *view)
{
    const char *name = cs_json_str(view, "line"), *verdict = cs_json_str(view, "verdict");
    const json_t *image = name ? cs_json_get(cs_json_get(deal, "images"), name) : NULL;
    const char *why = cs_json_str(view, "why"), *site = cs_json_str(deal, "site");

    cosell_open(h, "tr");
    cosell_cell_text(h, "Line", cosell_line_name(name));
    side(h, v, "Partner Center", cs_json_get(view, "pc"), cs_json_get(image, "pc"));
    side(h, v, "CRM", cs_json_get(view, "crm"), cs_json_get(image, "crm"));
    cosell_cell(h, "Verdict");
    cosell_open(h, "span");
    cosell_attr(h, "class", apr_pstrcat(v->p, "badge ", verdict_tone(verdict), NULL));
    cosell_text(h, verdict_words(verdict));
    cosell_close(h);
    if (why && !is(verdict, "create only")) {
        cosell_open(h, "span");
        cosell_attr(h, "class", "ago");
        cosell_text(h, " ");
        cosell_foreign(h, why, 300);
        cosell_close(h);
    }
    if (is(verdict, "held") && cosell_may(v, site, "resolve")) {
        cosell_open(h, "div");
        cosell_attr(h, "class", "acts");
        cosell_form_begin(h, v, site, "resolve");
        cosell_form_hidden(h, "deal", number_of(v, deal));
        cosell_form_hidden(h, "line", name);
        cosell_form_hidden(h, "side", "partner-center");
        cosell_form_end(h, "Take Partner Center's", NULL);
        cosell_form_begin(h, v, site, "resolve");
        cosell_form_hidden(h, "deal", number_of(v, deal));
        cosell_form_hidden(h, "line", name);
        cosell_form_hidden(h, "side", "crm");
        cosell_form_end(h, "Take the CRM's", NULL);
        cosell_close(h);
    }
    cosell_close(h);
    cosell_close(h);
}

/* Kept out by a rule, and nothing was read of it: in the way of whoever looks for something. */
static int is_out(const json_t *view)
{
    return is(cs_json_str(view, "verdict"), "skipped") && !cs_json_get(view, "pc") &&
           !cs_json_get(view, "crm");
}

static void left_out(cosell_html_t *h, const json_t *list)
{
    size_t i;
    int n = 0;

    for (i = 0; i < json_array_size(list); i++) {
        n += is_out(json_array_get(list, i));
    }
    if (!n) {
        return;
    }
    cosell_open(h, "details");
    cosell_open(h, "summary");
    cosell_textf(h, "%d more %s kept out by a rule", n, n == 1 ? "line is" : "lines are");
    cosell_close(h);
    cosell_open(h, "ul");
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *view = json_array_get(list, i);

        if (is_out(view)) {
            cosell_open(h, "li");
            cosell_foreign(h, cs_json_str(view, "line"), 100);
            cosell_text(h, ": ");
            cosell_foreign(h, cs_json_str(view, "why"), 300);
            cosell_close(h);
        }
    }
    cosell_close(h);
    cosell_close(h);
}

void cosell_deal_lines(cosell_html_t *h, const cosell_view_t *v, const json_t *deal)
{
    static const char *const columns[] = {"Line", "Partner Center", "CRM", "Verdict", NULL};
    const json_t *list = cs_json_get(cs_json_get(deal, "explain"), "lines");
    size_t i;

    cosell_element(h, "h2", "Line by line, at the last look");
    if (!json_array_size(list)) {
        cosell_open(h, "p");
        cosell_text(h, "The two sides were not compared. ");
        cosell_foreign(h, cs_json_str(cs_json_get(deal, "explain"), "why"), 500);
        cosell_close(h);
        return;
    }
    cosell_table_begin(h, "Both sides, line by line", columns);
    for (i = 0; i < json_array_size(list); i++) {
        if (!is_out(json_array_get(list, i))) {
            line(h, v, deal, json_array_get(list, i));
        }
    }
    cosell_table_end(h);
    left_out(h, list);
}
