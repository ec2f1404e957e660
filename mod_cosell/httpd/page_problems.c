/* httpd/page_problems.c: what stands in the way, by cause; and looks that were given up. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

#define BRAKE "brake:"

/* ---- what is stopped as a whole ---- */

void cosell_stops(cosell_html_t *h, const cosell_view_t *v, const char *site,
                  const json_t *suspended)
{
    size_t i;

    for (i = 0; i < json_array_size(suspended); i++) {
        const json_t *stop = json_array_get(suspended, i);
        const char *name = cs_json_str(stop, "upstream"), *detail = cs_json_str(stop, "detail");
        const char *todo = cs_json_str(stop, "todo");
        int brake = name && !strncmp(name, BRAKE, sizeof(BRAKE) - 1);

        cosell_open(h, "div");
        cosell_attr(h, "class", "note bad");
        cosell_open(h, "p");
        cosell_open(h, "strong");
        cosell_text(h, brake ? "Stopped by a brake: " : "Stopped: ");
        cosell_foreign(h, brake ? name + sizeof(BRAKE) - 1 : name, 100);
        cosell_close(h);
        cosell_text(h, ". ");
        cosell_foreign(h, detail ? detail : cs_json_str(stop, "problem"), 500);
        cosell_text(h, todo ? " What to do: " : "");
        cosell_ticked(h, todo);
        cosell_text(h, todo ? ". Since " : " Since ");
        cosell_time(h, v, cs_json_str(stop, "since"), "an unknown time");
        cosell_text(h, brake ? ". It goes on when somebody lets it." : ". It is tried again ");
        if (!brake) {
            cosell_time(h, v, cs_json_str(stop, "probe"), "by itself");
        }
        cosell_close(h);
        if (brake) {
            cosell_button(h, v, site, "release", "brake", name + sizeof(BRAKE) - 1,
                          "Let it go on");
        }
        cosell_close(h);
    }
}

/* Beneath what was refused, where its own words do not say it. */
static void what_to_do(cosell_html_t *h, const char *todo)
{
    if (todo) {
        cosell_open(h, "p");
        cosell_attr(h, "class", "ago");
        cosell_text(h, "What to do: ");
        cosell_ticked(h, todo);
        cosell_close(h);
    }
}

/* ---- causes ---- */

static void cause_row(cosell_html_t *h, const cosell_view_t *v, const char *site,
                      const json_t *cause)
{
    const char *key = cs_json_str(cause, "cause"), *text = cs_json_str(cause, "text");
    int dead = cs_json_bool(cause, "dead", 0);

    cosell_open(h, "tr");
    cosell_cell(h, "How many");
    cosell_open(h, "a");
    cosell_attr(h, "href", dead ? cosell_url(v, "dead", "", "cause", key, NULL)
                                : cosell_url(v, "deals", "", "cause", key, NULL));
    cosell_text(h, cosell_count(cs_json_int(cause, "deals", 0), v->p));
    cosell_text(h, dead ? " given up" : cs_json_int(cause, "deals", 0) == 1 ? " deal" : " deals");
    cosell_close(h);
    cosell_close(h);
    cosell_cell(h, "Cause");
    cosell_foreign(h, text ? text : key, 400);
    what_to_do(h, cs_json_str(cause, "todo"));
    cosell_close(h);
    cosell_cell(h, "Since");
    cosell_time(h, v, cs_json_str(cause, "since"), "");
    cosell_close(h);
    if (cosell_may(v, site, "retry")) {
        cosell_cell(h, "Do");
        if (dead) {
            cosell_open(h, "div");
            cosell_attr(h, "class", "acts");
            cosell_button(h, v, site, "retry", "cause", key, "Try these again");
            cosell_button(h, v, site, "drop", "cause", key, "Drop these");
            cosell_close(h);
        }
        cosell_close(h);
    }
    cosell_close(h);
}

void cosell_causes(cosell_html_t *h, const cosell_view_t *v, const char *site,
                   const json_t *causes)
{
    const char *columns[] = {"How many", "Cause", "Since",
                             cosell_may(v, site, "retry") ? "Do" : NULL, NULL};
    size_t i;

    cosell_table_begin(h, "Causes, the largest first", columns);
    for (i = 0; i < json_array_size(causes); i++) {
        cause_row(h, v, site, json_array_get(causes, i));
    }
    cosell_table_end(h);
}

static int any_dead(const json_t *causes)
{
    size_t i;

    for (i = 0; i < json_array_size(causes); i++) {
        if (cs_json_bool(json_array_get(causes, i), "dead", 0)) {
            return 1;
        }
    }
    return 0;
}

static void all_buttons(cosell_html_t *h, const cosell_view_t *v, const char *site)
{
    if (!cosell_may(v, site, "retry")) {
        return;
    }
    cosell_open(h, "div");
    cosell_attr(h, "class", "acts");
    cosell_button(h, v, site, "retry", "all", "true", "Try all that were given up again");
    cosell_button(h, v, site, "drop", "all", "true", "Drop all that were given up");
    cosell_close(h);
}

void cosell_view_problems(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    cosell_frame_begin(h, v, "Problems", 0);
    for (i = 0; i < json_array_size(sites); i++) {
        const json_t *site = json_array_get(sites, i), *causes = cs_json_get(site, "causes");
        const char *name = cs_json_str(site, "site");

        cosell_site_heading(h, v, doc, site);
        cosell_stops(h, v, name, cs_json_get(site, "suspended"));
        if (json_array_size(causes)) {
            cosell_causes(h, v, name, causes);
        }
        else {
            cosell_element(h, "p", "Nothing stands in the way of any deal.");
        }
        if (any_dead(causes)) {
            all_buttons(h, v, name);
        }
    }
    cosell_frame_end(h, v);
}

/* ---- looks that were given up ---- */

/* What a name of work names: "deal:5", "pc:<id>". */
static void name_link(cosell_html_t *h, const cosell_view_t *v, const char *name)
{
    const char *colon = name ? strchr(name, ':') : NULL;

    if (!colon) {
        cosell_foreign(h, name, 200);
        return;
    }
    cosell_open(h, "a");
    cosell_attr(h, "href", cosell_url(v, "deal", colon + 1, NULL));
    cosell_foreign(h, name, 200);
    cosell_close(h);
}

static void dead_row(cosell_html_t *h, const cosell_view_t *v, const char *site,
                     const json_t *work)
{
    const char *name = cs_json_str(work, "name"), *detail = cs_json_str(work, "detail");
    int tried;

    cosell_open(h, "tr");
    cosell_cell(h, "Look");
    name_link(h, v, name);
    cosell_close(h);
    cosell_cell(h, "Why");
    cosell_foreign(h, detail ? detail : cs_json_str(work, "problem"), 600);
    what_to_do(h, cs_json_str(work, "todo"));
    cosell_close(h);
    cosell_cell(h, "Notice of");
    cosell_time(h, v, cs_json_str(work, "first"), "");
    cosell_close(h);
    cosell_cell(h, "Tried");
    tried = (int)cs_json_int(work, "attempts", 0) + 1;
    cosell_text(h, tried == 1 ? "once" : apr_psprintf(v->p, "%d times", tried));
    cosell_close(h);
    if (cosell_may(v, site, "retry")) {
        cosell_cell(h, "Do");
        cosell_open(h, "div");
        cosell_attr(h, "class", "acts");
        cosell_button(h, v, site, "retry", "name", name, "Try again");
        cosell_button(h, v, site, "drop", "name", name, "Drop");
        cosell_close(h);
        cosell_close(h);
    }
    cosell_close(h);
}

static void dead_site(cosell_html_t *h, const cosell_view_t *v, const json_t *doc,
                      const json_t *site)
{
    const char *name = cs_json_str(site, "site"), *next = cs_json_str(site, "next");
    const char *columns[] = {"Look", "Why", "Notice of", "Tried",
                             cosell_may(v, name, "retry") ? "Do" : NULL, NULL};
    const json_t *dead = cs_json_get(site, "dead");
    size_t i;

    cosell_site_heading(h, v, doc, site);
    if (!json_array_size(dead)) {
        cosell_element(h, "p", "No look was given up.");
        return;
    }
    cosell_table_begin(h, "Looks that were given up", columns);
    for (i = 0; i < json_array_size(dead); i++) {
        dead_row(h, v, name, json_array_get(dead, i));
    }
    cosell_table_end(h);
    if (next) {
        cosell_open(h, "p");
        cosell_link(h, cosell_url(v, "dead", "", "cause", v->cause, "after", next, NULL), "More");
        cosell_close(h);
    }
    if (!v->cause) {
        all_buttons(h, v, name);
    }
}

void cosell_view_dead(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    cosell_frame_begin(h, v, "Given up", 0);
    cosell_element(h, "p", "These are tried again by a new notice, a newer version, a changed "
                           "mapping, or by hand.");
    for (i = 0; i < json_array_size(sites); i++) {
        dead_site(h, v, doc, json_array_get(sites, i));
    }
    cosell_frame_end(h, v);
}
