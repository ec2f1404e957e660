/* httpd/page_mapping.c: the mapping in force: which line goes where. */
#include "page.h"

#include <string.h>

#include "../base/json.h"

static const char *direction_words(const char *direction)
{
    return !direction                      ? ""
           : !strcmp(direction, "both")    ? "both ways"
           : !strcmp(direction, "to_crm")  ? "to the CRM"
           : !strcmp(direction, "to_pc")   ? "to Partner Center"
                                           : "none";
}

static void place(cosell_html_t *h, const char *column, const char *path, const char *currency)
{
    cosell_cell(h, column);
    if (path) {
        cosell_open(h, "code");
        cosell_text_cut(h, path, 200);
        cosell_close(h);
    }
    if (currency) {
        cosell_text(h, " ");
        cosell_open(h, "code");
        cosell_text_cut(h, currency, 200);
        cosell_close(h);
    }
    cosell_close(h);
}

static void notes(cosell_html_t *h, const json_t *json)
{
    const char *off = cs_json_str(json, "off"), *when = cs_json_str(json, "when");
    const char *conflict = cs_json_str(json, "conflict"), *on = cs_json_str(json, "on");

    cosell_cell(h, "Rules");
    if (off) {
        cosell_text(h, "off: ");
        cosell_foreign(h, off, 200);
        cosell_text(h, ". ");
    }
    if (cs_json_bool(json, "required", 0)) {
        cosell_text(h, "required. ");
    }
    if (on && strcmp(on, "always")) {
        cosell_textf(h, "only on %s. ", on);
    }
    if (conflict && strcmp(conflict, "hold")) {
        cosell_textf(h, "changed on both sides: %s wins. ", conflict);
    }
    if (when) {
        cosell_text(h, "when ");
        cosell_foreign(h, when, 300);
        cosell_text(h, ". ");
    }
    cosell_close(h);
}

static void line(cosell_html_t *h, const json_t *json)
{
    cosell_open(h, "tr");
    cosell_attr(h, "class", cs_json_str(json, "off") ? "off" : NULL);
    cosell_cell_text(h, "Line", cs_json_str(json, "line"));
    place(h, "Partner Center", cs_json_str(json, "pc"), cs_json_str(json, "pc_currency"));
    place(h, "CRM", cs_json_str(json, "crm"), cs_json_str(json, "crm_currency"));
    cosell_cell_text(h, "Direction", direction_words(cs_json_str(json, "direction")));
    cosell_cell_text(h, "Type", cs_json_str(json, "type"));
    notes(h, json);
    cosell_close(h);
}

static void list(cosell_html_t *h, const json_t *json)
{
    const char *table = cs_json_str(json, "table");

    cosell_open(h, "tr");
    cosell_attr(h, "class", cs_json_str(json, "off") ? "off" : NULL);
    cosell_cell_text(h, "Line", cs_json_str(json, "list"));
    place(h, "Partner Center", cs_json_str(json, "pc"), NULL);
    place(h, "CRM", table ? table : cs_json_str(json, "column"), NULL);
    cosell_cell_text(h, "Direction", direction_words(cs_json_str(json, "direction")));
    cosell_cell_text(h, "Type", "list");
    notes(h, json);
    cosell_close(h);
}

static void kind(cosell_html_t *h, const json_t *json)
{
    static const char *const columns[] = {"Line",      "Partner Center", "CRM",
                                          "Direction", "Type",           "Rules", NULL};
    const json_t *lines = cs_json_get(json, "lines"), *lists = cs_json_get(json, "lists");
    size_t i;

    cosell_open(h, "h3");
    cosell_text(h, "Record kind ");
    cosell_foreign(h, cs_json_str(json, "kind"), 100);
    cosell_text(h, ", table ");
    cosell_foreign(h, cs_json_str(json, "table"), 100);
    cosell_close(h);
    cosell_table_begin(h, "Lines", columns);
    for (i = 0; i < json_array_size(lines); i++) {
        line(h, json_array_get(lines, i));
    }
    for (i = 0; i < json_array_size(lists); i++) {
        list(h, json_array_get(lists, i));
    }
    cosell_table_end(h);
}

static void misfits(cosell_html_t *h, const json_t *misfits_)
{
    size_t i;

    if (!json_array_size(misfits_)) {
        return;
    }
    cosell_element(h, "h3", "Does not fit the CRM");
    cosell_open(h, "ul");
    cosell_attr(h, "class", "plain");
    for (i = 0; i < json_array_size(misfits_) && i < 100; i++) {
        cosell_open(h, "li");
        cosell_attr(h, "class", "note bad");
        cosell_foreign(h, json_string_value(json_array_get(misfits_, i)), 500);
        cosell_close(h);
    }
    cosell_close(h);
}

static void crm(cosell_html_t *h, const json_t *json)
{
    const json_t *kinds = cs_json_get(json, "kinds");
    size_t i;

    cosell_open(h, "h2");
    cosell_text(h, "CRM ");
    cosell_foreign(h, cs_json_str(json, "name"), 100);
    cosell_close(h);
    cosell_open(h, "p");
    cosell_text(h, "File ");
    cosell_open(h, "code");
    cosell_text_cut(h, cs_json_str(json, "mapping"), 300);
    cosell_close(h);
    cosell_text(h, ", revision ");
    cosell_foreign(h, cs_json_str(json, "revision"), 100);
    cosell_text(h, ", digest ");
    cosell_open(h, "code");
    cosell_text_cut(h, cs_json_str(json, "digest"), 12);
    cosell_close(h);
    cosell_close(h);
    misfits(h, cs_json_get(json, "misfits"));
    for (i = 0; i < json_array_size(kinds); i++) {
        kind(h, json_array_get(kinds, i));
    }
    if (!i) {
        cosell_classed(h, "p", "note bad", "The mapping could not be loaded.");
    }
}

void cosell_view_mapping(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites"), *crms;
    size_t i, k;

    cosell_frame_begin(h, v, "Mapping", 0);
    for (i = 0; i < json_array_size(sites); i++) {
        cosell_site_heading(h, v, doc, json_array_get(sites, i));
        crms = cs_json_get(json_array_get(sites, i), "crms");
        for (k = 0; k < json_array_size(crms); k++) {
            crm(h, json_array_get(crms, k));
        }
    }
    cosell_frame_end(h, v);
}
