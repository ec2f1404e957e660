/* httpd/page_frame.c: what stands around every page, links, tables, and the page of an error. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

/* ---- addresses ---- */

const char *cosell_url_of(const cosell_view_t *v, const char *const *pairs)
{
    const char *url = "?";

    for (; *pairs; pairs += 2) {
        if (pairs[1]) {
            url = apr_pstrcat(v->p, url, url[1] ? "&" : "", pairs[0], "=",
                              cosell_query_escape(pairs[1], v->p), NULL);
        }
    }
    return v->all ? apr_pstrcat(v->p, url, url[1] ? "&" : "", "scope=all", NULL) : url;
}

void cosell_link(cosell_html_t *h, const char *url, const char *text)
{
    cosell_open(h, "a");
    cosell_attr(h, "href", url);
    cosell_text(h, text);
    cosell_close(h);
}

void cosell_link_out(cosell_html_t *h, const char *url, const char *text)
{
    const char *safe = cosell_safe_link(url);

    if (!safe) {
        cosell_foreign(h, text, 200);
        return;
    }
    cosell_open(h, "a");
    cosell_attr(h, "href", safe);
    cosell_attr(h, "rel", "noreferrer");
    cosell_foreign(h, text, 200);
    cosell_close(h);
}

/* ---- the frame ---- */

static void search_box(cosell_html_t *h, const cosell_view_t *v)
{
    cosell_open(h, "form");
    cosell_attr(h, "class", "search");
    cosell_attr(h, "role", "search");
    cosell_attr(h, "method", "get");
    cosell_attr(h, "action", "?");
    cosell_open(h, "label");
    cosell_attr(h, "for", "search");
    cosell_text(h, "Find a deal");
    cosell_close(h);
    cosell_void(h, "input");
    cosell_attr(h, "type", "search");
    cosell_attr(h, "id", "search");
    cosell_attr(h, "name", "search");
    cosell_attr(h, "maxlength", "200");
    cosell_attr(h, "placeholder", "title, or any id");
    cosell_attr(h, "value", v->search ? v->search : "");
    if (v->all) {
        cosell_form_hidden(h, "scope", "all");
    }
    cosell_open(h, "button");
    cosell_attr(h, "type", "submit");
    cosell_text(h, "Find");
    cosell_close(h);
    cosell_close(h);
}

static void nav(cosell_html_t *h, const cosell_view_t *v, const char *title)
{
    const struct {
        const char *parameter, *text;
    } items[] = {{NULL, "Overview"},    {"deals", "Deals"}, {"problems", "Problems"},
                 {"journal", "Journal"}, {"jobs", "Jobs"},   {"mapping", "Mapping"}};
    apr_size_t i;

    cosell_open(h, "nav");
    cosell_attr(h, "aria-label", "Pages");
    cosell_open(h, "ul");
    for (i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        cosell_open(h, "li");
        cosell_open(h, "a");
        cosell_attr(h, "href",
                    items[i].parameter ? cosell_url(v, items[i].parameter, "", NULL)
                                       : cosell_url(v, NULL));
        cosell_attr(h, "class", strcmp(title, items[i].text) ? NULL : "here");
        cosell_text(h, items[i].text);
        if (!strcmp(title, items[i].text)) {
            cosell_classed(h, "span", "unseen", " (this page)");
        }
        cosell_close(h);
        cosell_close(h);
    }
    cosell_close(h);
    cosell_close(h);
}

static void head(cosell_html_t *h, const cosell_view_t *v, const char *title, int refresh)
{
    cosell_open(h, "head");
    cosell_void(h, "meta");
    cosell_attr(h, "charset", "utf-8");
    cosell_open(h, "title");
    cosell_text_cut(h, title, 120);
    cosell_text(h, " - mod_cosell");
    cosell_close(h);
    cosell_void(h, "meta");
    cosell_attr(h, "name", "viewport");
    cosell_attr(h, "content", "width=device-width, initial-scale=1");
    cosell_void(h, "meta");
    cosell_attr(h, "name", "color-scheme");
    cosell_attr(h, "content", "light dark");
    if (refresh) {
        cosell_void(h, "meta");
        cosell_attr(h, "http-equiv", "refresh");
        cosell_attr(h, "content", apr_itoa(v->p, refresh));
    }
    cosell_void(h, "link");
    cosell_attr(h, "rel", "stylesheet");
    cosell_attr(h, "href", apr_pstrcat(v->p, "?style=", v->style, NULL));
    cosell_close(h);
}

void cosell_frame_begin(cosell_html_t *h, const cosell_view_t *v, const char *title, int refresh)
{
    cosell_open(h, "html");
    cosell_attr(h, "lang", "en");
    head(h, v, title, refresh);
    cosell_open(h, "body");
    cosell_open(h, "a");
    cosell_attr(h, "class", "skip");
    cosell_attr(h, "href", "#content");
    cosell_text(h, "Skip to the content");
    cosell_close(h);
    if (!v->sellers) {
        cosell_open(h, "header");
        cosell_open(h, "div");
        cosell_attr(h, "class", "bar");
        cosell_classed(h, "span", "brand", "mod_cosell");
        nav(h, v, title);
        search_box(h, v);
        cosell_close(h);
        cosell_close(h);
    }
    cosell_open(h, "main");
    cosell_attr(h, "id", "content");
    cosell_open(h, "h1");
    cosell_foreign(h, title, 300);
    cosell_close(h);
}

void cosell_frame_end(cosell_html_t *h, const cosell_view_t *v)
{
    cosell_close(h); /* main */
    cosell_open(h, "footer");
    cosell_open(h, "p");
    if (v->sellers) {
        cosell_text(h, "Times are UTC.");
    }
    else {
        cosell_textf(h, "mod_cosell %s. Times are UTC. ", v->version);
        if (v->user) {
            cosell_text(h, "Signed in as ");
            cosell_foreign(h, v->user, 100);
            cosell_text(h, ".");
        }
    }
    cosell_close(h);
    cosell_close(h);
}

void cosell_site_heading(cosell_html_t *h, const cosell_view_t *v, const json_t *doc,
                         const json_t *site)
{
    if (v->all || json_array_size(cs_json_get(doc, "sites")) > 1) {
        cosell_open(h, "h2");
        cosell_text(h, "Site ");
        cosell_text(h, cs_json_str(site, "site"));
        cosell_close(h);
    }
}

void cosell_heading(cosell_html_t *h, const cosell_view_t *v, const char *text)
{
    if (v->all) {
        cosell_element(h, "h3", text);
    }
    else {
        cosell_element(h, "h2", text);
    }
}

/* ---- tables ---- */

void cosell_table_begin(cosell_html_t *h, const char *caption, const char *const *columns)
{
    cosell_open(h, "div");
    cosell_attr(h, "class", !strncmp(caption, "Both sides", 10) ? "scroll wide" : "scroll");
    cosell_open(h, "table");
    cosell_open(h, "caption");
    cosell_attr(h, "class", "unseen");
    cosell_text(h, caption);
    cosell_close(h);
    cosell_open(h, "thead");
    cosell_open(h, "tr");
    for (; *columns; columns++) {
        cosell_open(h, "th");
        cosell_attr(h, "scope", "col");
        cosell_text(h, *columns);
        cosell_close(h);
    }
    cosell_close(h);
    cosell_close(h);
    cosell_open(h, "tbody");
}

void cosell_table_end(cosell_html_t *h)
{
    cosell_close(h);
    cosell_close(h);
    cosell_close(h);
}

void cosell_cell(cosell_html_t *h, const char *column)
{
    cosell_open(h, "td");
    cosell_attr(h, "data-label", column);
}

void cosell_cell_text(cosell_html_t *h, const char *column, const char *text)
{
    cosell_cell(h, column);
    if (text) {
        cosell_foreign(h, text, 400);
    }
    cosell_close(h);
}

/* ---- an error ---- */

/* The deals that were meant, perhaps. */
static void candidates(cosell_html_t *h, const cosell_view_t *v, const json_t *list)
{
    json_t *deal;
    size_t i;

    if (!json_array_size(list)) {
        return;
    }
    cosell_open(h, "ul");
    json_array_foreach((json_t *)list, i, deal) {
        const char *number = apr_psprintf(v->p, "%" APR_INT64_T_FMT, cs_json_int(deal, "id", 0));
        const char *title = cs_json_str(deal, "title"), *crm = cs_json_str(deal, "crm");

        cosell_open(h, "li");
        cosell_open(h, "a");
        cosell_attr(h, "href", cosell_url(v, "deal", number, NULL));
        cosell_textf(h, "Deal %s", number);
        cosell_close(h);
        cosell_text(h, " ");
        cosell_foreign(h, title ? title : "", 120);
        cosell_text(h, crm ? " in " : "");
        cosell_foreign(h, crm ? crm : "", 120);
        cosell_text(h, " ");
        cosell_badge(h, cs_json_str(deal, "state"), cosell_state_word(cs_json_str(deal, "state")));
        cosell_close(h);
    }
    cosell_close(h);
}

void cosell_view_error(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {{400, "This cannot be asked so"}, {403, "Not allowed"},
                  {404, "Not found"},               {405, "Not allowed"},
                  {409, "Which deal is meant?"},    {503, "Not available now"}};
    const char *title = "This did not work", *error = cs_json_str(doc, "error");
    apr_size_t i;

    for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        title = titles[i].status == v->status ? titles[i].title : title;
    }
    cosell_frame_begin(h, v, title, 0);
    cosell_open(h, "p");
    cosell_attr(h, "class", "note bad");
    cosell_foreign(h, error ? error : "no reason is known", 1000);
    cosell_close(h);
    candidates(h, v, cs_json_get(doc, "candidates"));
    if (!v->sellers) {
        cosell_open(h, "p");
        cosell_link(h, cosell_url(v, NULL), "To the overview");
        cosell_close(h);
    }
    cosell_frame_end(h, v);
}
