/* httpd/page_overview.c: how things are: what needs somebody first. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

/* ---- what needs somebody ---- */

static void alert(cosell_html_t *h, const cosell_view_t *v, const json_t *json)
{
    const char *level = cs_json_str(json, "level"), *site = cs_json_str(json, "site");

    cosell_open(h, "li");
    cosell_attr(h, "class", level && !strcmp(level, "error") ? "note bad" : "note wait");
    cosell_open(h, "strong");
    cosell_text(h, level && !strcmp(level, "error") ? "Error" : "Warning");
    if (v->all && site && *site) {
        cosell_text(h, ", site ");
        cosell_foreign(h, site, 64);
    }
    cosell_text(h, ": ");
    cosell_ticked(h, cosell_sentence(cs_json_str(json, "text"), v->p));
    cosell_close(h);
    cosell_text(h, " ");
    cosell_ticked(h, cosell_sentence(cs_json_str(json, "todo"), v->p));
    cosell_text(h, " ");
    cosell_open(h, "span");
    cosell_attr(h, "class", "ago");
    cosell_text(h, "Since ");
    cosell_time(h, v, cs_json_str(json, "since"), "an unknown time");
    cosell_close(h);
    cosell_close(h);
}

/* The watch has not said so (yet), and it needs somebody all the same. */
static json_int_t given_up(const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites"), *list = cs_json_get(doc, "alerts");
    json_int_t n = 0;
    size_t i;

    for (i = 0; i < json_array_size(sites); i++) {
        n += cs_json_int(cs_json_get(json_array_get(sites, i), "lane"), "dead", 0);
    }
    for (i = 0; i < json_array_size(list); i++) {
        const char *what = cs_json_str(json_array_get(list, i), "what");

        n = what && !strncmp(what, "dead", 4) ? 0 : n;
    }
    return n;
}

static void given_up_note(cosell_html_t *h, const cosell_view_t *v, json_int_t n)
{
    cosell_open(h, "p");
    cosell_attr(h, "class", "note wait");
    cosell_link(h, cosell_url(v, "problems", "", NULL),
                apr_psprintf(v->p, "%s look%s given up", cosell_count(n, v->p),
                             n == 1 ? " was" : "s were"));
    cosell_text(h, ": a person must see to them.");
    cosell_close(h);
}

static int any_stop(const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    for (i = 0; i < json_array_size(sites); i++) {
        const json_t *site = json_array_get(sites, i);

        if (json_array_size(cs_json_get(site, "suspended")) || cs_json_str(site, "degraded")
            || json_is_object(cs_json_get(site, "paused"))) {
            return 1;
        }
    }
    return !cs_json_bool(cs_json_get(doc, "runner"), "alive", 0)
           || cs_json_bool(cs_json_get(doc, "committer"), "troubled", 0);
}

static void alerts(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *list = cs_json_get(doc, "alerts");
    size_t i, n = json_array_size(list);
    json_int_t dead = given_up(doc);

    cosell_element(h, "h2", n || dead || any_stop(doc) ? "Needs somebody" : "Nothing needs you");
    if (dead) {
        given_up_note(h, v, dead);
    }
    if (n) {
        cosell_open(h, "ul");
        cosell_attr(h, "class", "plain");
        for (i = 0; i < n; i++) {
            alert(h, v, json_array_get(list, i));
        }
        cosell_close(h);
    }
    if (!cs_json_bool(cs_json_get(doc, "runner"), "alive", 0)) {
        cosell_classed(h, "p", "note bad",
                       "The runner does not answer: notices are kept, and nothing is looked at. "
                       "The error log says why.");
    }
    if (cs_json_bool(cs_json_get(doc, "committer"), "troubled", 0)) {
        cosell_open(h, "p");
        cosell_attr(h, "class", "note bad");
        cosell_text(h, "Notices cannot be kept: ");
        cosell_foreign(h, cs_json_str(cs_json_get(doc, "committer"), "reason"), 400);
        cosell_close(h);
    }
}

/* ---- numbers ---- */

static void tile(cosell_html_t *h, const char *name, const char *value, const char *tone,
                 const char *url)
{
    cosell_open(h, "li");
    cosell_attr(h, "class", apr_pstrcat(cosell_html_pool(h), "tile ", tone, NULL));
    cosell_element(h, "span", name);
    cosell_text(h, " ");
    cosell_open(h, "strong");
    if (url) {
        cosell_link(h, url, value);
    }
    else {
        cosell_text(h, value);
    }
    cosell_close(h);
    cosell_close(h);
}

static void tiles(cosell_html_t *h, const cosell_view_t *v, const json_t *site)
{
    const json_t *lane = cs_json_get(site, "lane");
    const char *state = cs_json_str(lane, "state");
    json_int_t dead = cs_json_int(lane, "dead", 0), suspended = cs_json_int(lane, "suspended", 0);

    cosell_open(h, "ul");
    cosell_attr(h, "class", "tiles");
    tile(h, "Lane", state ? state : "unknown", cosell_tone(state), NULL);
    tile(h, "Notices that wait", cosell_count(cs_json_int(lane, "outstanding", 0), v->p), "",
         NULL);
    tile(h, "Wait for an upstream", cosell_count(suspended, v->p), suspended ? "bad" : "", NULL);
    tile(h, "Given up", cosell_count(dead, v->p), dead ? "bad" : "",
         dead ? cosell_url(v, "dead", "", NULL) : NULL);
    tile(h, "Deals", cosell_count(cs_json_int(site, "deals", 0), v->p), "",
         cosell_url(v, "deals", "", NULL));
    cosell_close(h);
    if (cs_json_str(lane, "oldest")) {
        cosell_open(h, "p");
        cosell_text(h, "The oldest notice waits since ");
        cosell_time(h, v, cs_json_str(lane, "oldest"), "");
        cosell_close(h);
    }
}

static void states(cosell_html_t *h, const cosell_view_t *v, const json_t *site)
{
    const char *state;
    json_t *n;

    cosell_heading(h, v, "Deals by state");
    cosell_open(h, "ul");
    cosell_attr(h, "class", "tabs");
    json_object_foreach(cs_json_get(site, "totals"), state, n) {
        cosell_open(h, "li");
        cosell_open(h, "a");
        cosell_attr(h, "href", cosell_url(v, "deals", state, NULL));
        cosell_text(h, cosell_state_word(state));
        cosell_text(h, " ");
        cosell_classed(h, "span", "n", cosell_count(json_integer_value(n), v->p));
        cosell_close(h);
        cosell_close(h);
    }
    cosell_close(h);
}

static void history(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *series = cs_json_get(cs_json_get(doc, "history"), "series");
    size_t i;

    if (!json_array_size(series)) {
        return;
    }
    cosell_element(h, "h2", "The last hours");
    cosell_open(h, "div");
    cosell_attr(h, "class", "plots");
    for (i = 0; i < json_array_size(series); i++) {
        cosell_plot(h, v, json_array_get(series, i));
    }
    cosell_close(h);
}

/* ---- what may be done ---- */

static void actions(cosell_html_t *h, const cosell_view_t *v, const json_t *site)
{
    const char *name = cs_json_str(site, "site");
    int paused = json_is_object(cs_json_get(site, "paused"));

    if (!v->tokens || !cs_json_str(v->tokens, name)) {
        return;
    }
    cosell_heading(h, v, "Do");
    cosell_open(h, "div");
    cosell_attr(h, "class", "acts");
    if (paused) {
        cosell_button(h, v, name, "resume", NULL, NULL, "Resume the site");
    }
    else if (cosell_may(v, name, "pause")) {
        cosell_form_begin(h, v, name, "pause");
        cosell_form_text(h, v, "why", "Reason (may be empty)", NULL, 0);
        cosell_form_end(h, "Pause the site", NULL);
    }
    if (cosell_may(v, name, "look")) {
        cosell_form_begin(h, v, name, "look");
        cosell_form_text(h, v, "id", "Id of a deal", NULL, 1);
        cosell_form_end(h, "Look at it now", NULL);
    }
    cosell_button(h, v, name, "doctor", NULL, NULL, "Check everything (doctor)");
    if (cosell_may(v, name, "resync")) {
        cosell_form_begin(h, v, name, "resync");
        cosell_form_hidden(h, "all", "true");
        cosell_form_hidden(h, "dry_run", "true");
        cosell_form_end(h, "What would a resync change? (dry run)", NULL);
    }
    cosell_close(h);
}

static void paused_note(cosell_html_t *h, const cosell_view_t *v, const json_t *paused)
{
    if (!json_is_object(paused)) {
        return;
    }
    cosell_open(h, "p");
    cosell_attr(h, "class", "note wait");
    cosell_text(h, "Paused by ");
    cosell_foreign(h, cs_json_str(paused, "by"), 128);
    cosell_text(h, " ");
    cosell_time(h, v, cs_json_str(paused, "at"), "");
    cosell_text(h, ": notices are kept, and nothing is looked at. ");
    cosell_foreign(h, cs_json_str(paused, "why"), 400);
    cosell_close(h);
}

static void one_site(cosell_html_t *h, const cosell_view_t *v, const json_t *doc,
                     const json_t *site)
{
    const char *name = cs_json_str(site, "site");

    cosell_site_heading(h, v, doc, site);
    if (cs_json_str(site, "degraded")) {
        cosell_open(h, "p");
        cosell_attr(h, "class", "note bad");
        cosell_text(h, "This site answers 503 until the next reload: ");
        cosell_foreign(h, cs_json_str(site, "degraded"), 500);
        cosell_close(h);
    }
    paused_note(h, v, cs_json_get(site, "paused"));
    cosell_stops(h, v, name, cs_json_get(site, "suspended"));
    tiles(h, v, site);
    if (!v->all) {
        history(h, v, doc);
    }
    if (json_array_size(cs_json_get(site, "causes"))) {
        cosell_heading(h, v, "What stands in the way of deals");
        cosell_causes(h, v, name, cs_json_get(site, "causes"));
    }
    states(h, v, site);
    cosell_upstreams(h, v, site);
    cosell_open(h, "div");
    cosell_attr(h, "class", "two");
    cosell_open(h, "section");
    cosell_sign_in(h, v, site);
    cosell_close(h);
    cosell_open(h, "section");
    cosell_registration(h, v, site);
    cosell_close(h);
    cosell_close(h);
    if (json_array_size(cs_json_get(site, "jobs"))) {
        cosell_heading(h, v, "Jobs");
        cosell_jobs(h, v, name, cs_json_get(site, "jobs"));
    }
    cosell_polls(h, v, cs_json_get(site, "polls"));
    actions(h, v, site);
}

void cosell_view_overview(cosell_html_t *h, const cosell_view_t *v, const json_t *doc)
{
    const json_t *sites = cs_json_get(doc, "sites");
    size_t i;

    cosell_frame_begin(h, v, "Overview", 0);
    alerts(h, v, doc);
    for (i = 0; i < json_array_size(sites); i++) {
        one_site(h, v, doc, json_array_get(sites, i));
    }
    if (!i) {
        cosell_element(h, "p", "This host has no site of its own.");
    }
    if (v->all || !i) {
        history(h, v, doc);
    }
    cosell_frame_end(h, v);
}
