/* httpd/page_upstreams.c: the other ends of a site: how they are, who signs in, what is registered,
 * what is read by itself. */
#include "page.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

/* ---- upstreams ---- */

static const json_t *named(const json_t *list, const char *member, const char *name)
{
    size_t i;

    for (i = 0; name && i < json_array_size(list); i++) {
        const char *its = cs_json_str(json_array_get(list, i), member);

        if (its && !strcmp(its, name)) {
            return json_array_get(list, i);
        }
    }
    return NULL;
}

static void reason(cosell_html_t *h, const cosell_view_t *v, const json_t *why)
{
    const char *detail = cs_json_str(why, "detail");

    cosell_foreign(h, detail ? detail : cs_json_str(why, "problem"), 400);
    cosell_text(h, " Since ");
    cosell_time(h, v, cs_json_str(why, "since"), "an unknown time");
    if (cs_json_str(why, "probe")) {
        cosell_text(h, ". Next try ");
        cosell_time(h, v, cs_json_str(why, "probe"), "");
    }
}

static void quota(cosell_html_t *h, const cosell_view_t *v, const json_t *q)
{
    json_int_t used = cs_json_int(q, "used", 0), most = cs_json_int(q, "most", 0);

    if (most <= 0) {
        cosell_text(h, "not told");
        return;
    }
    cosell_open(h, "meter");
    cosell_attr(h, "min", "0");
    cosell_attr(h, "max", apr_psprintf(v->p, "%" APR_INT64_T_FMT, (apr_int64_t)most));
    cosell_attr(h, "value", apr_psprintf(v->p, "%" APR_INT64_T_FMT,
                                         (apr_int64_t)(used < most ? used : most)));
    cosell_textf(h, "%d %%", (int)(100.0 * (double)used / (double)most));
    cosell_close(h);
    cosell_textf(h, " %s of %s used today", cosell_count(used, v->p), cosell_count(most, v->p));
}

static void upstream(cosell_html_t *h, const cosell_view_t *v, const json_t *site,
                     const json_t *json)
{
    const char *name = cs_json_str(json, "name");
    const json_t *suspended = named(cs_json_get(site, "suspended"), "upstream", name);
    const json_t *breaker = named(cs_json_get(site, "breakers"), "upstream", name);
    double rate = json_number_value(cs_json_get(json, "rate"));

    cosell_open(h, "tr");
    cosell_cell_text(h, "Upstream", name);
    cosell_cell(h, "State");
    cosell_badge(h, suspended ? "suspended" : breaker ? "open" : "ok",
                 suspended ? "suspended" : breaker ? "breaker open" : "in use");
    cosell_close(h);
    cosell_cell(h, "Why");
    if (suspended || breaker) {
        reason(h, v, suspended ? suspended : breaker);
    }
    cosell_close(h);
    cosell_cell(h, "Limit");
    if (rate > 0) {
        cosell_textf(h, "%.3g a second, %d at once", rate,
                     (int)cs_json_int(json, "concurrency", 0));
    }
    else {
        cosell_textf(h, "no rate, %d at once", (int)cs_json_int(json, "concurrency", 0));
    }
    cosell_close(h);
    cosell_cell(h, "Quota");
    quota(h, v, cs_json_get(named(cs_json_get(site, "crms"), "name", name), "quota"));
    cosell_close(h);
    cosell_close(h);
}

void cosell_upstreams(cosell_html_t *h, const cosell_view_t *v, const json_t *site)
{
    static const char *const columns[] = {"Upstream", "State", "Why", "Limit", "Quota", NULL};
    const json_t *list = cs_json_get(site, "upstreams");
    size_t i;

    cosell_heading(h, v, "Upstreams");
    cosell_table_begin(h, "Partner Center and CRMs", columns);
    for (i = 0; i < json_array_size(list); i++) {
        upstream(h, v, site, json_array_get(list, i));
    }
    cosell_table_end(h);
}

/* ---- sign-in and registration ---- */

static void pair(cosell_html_t *h, const char *name, const char *value)
{
    cosell_element(h, "dt", name);
    cosell_open(h, "dd");
    cosell_foreign(h, value ? value : "not known", 400);
    cosell_close(h);
}

static void pair_time(cosell_html_t *h, const cosell_view_t *v, const char *name, const char *iso,
                      const char *none)
{
    cosell_element(h, "dt", name);
    cosell_open(h, "dd");
    cosell_time(h, v, iso, none);
    cosell_close(h);
}

static void sign_in_button(cosell_html_t *h, const cosell_view_t *v, const char *site)
{
    if (cosell_may(v, site, "login")) {
        cosell_form_begin(h, v, site, "login");
        cosell_form_hidden(h, "method", "device");
        cosell_form_end(h, "Sign in anew, by a code", NULL);
    }
}

static void sign_in_facts(cosell_html_t *h, const cosell_view_t *v, const json_t *token)
{
    if (!json_is_object(token)) {
        cosell_element(h, "p", "No refresh token has been used yet.");
        return;
    }
    cosell_open(h, "dl");
    cosell_attr(h, "class", "facts");
    pair(h, "Account", cs_json_str(token, "account"));
    pair_time(h, v, "Signed in", cs_json_str(token, "signed_in"),
              "not known: the token came from a file");
    pair_time(h, v, "Token renewed", cs_json_str(token, "rotated"), "never");
    cosell_close(h);
}

void cosell_sign_in(cosell_html_t *h, const cosell_view_t *v, const json_t *site)
{
    cosell_heading(h, v, "Sign-in to Partner Center");
    sign_in_facts(h, v, cs_json_get(site, "token"));
    sign_in_button(h, v, cs_json_str(site, "site"));
}

static const char *events_text(const json_t *registration, apr_pool_t *p)
{
    const json_t *events = cs_json_get(registration, "events");
    const char *out = NULL;
    size_t i;

    for (i = 0; i < json_array_size(events); i++) {
        const char *event = json_string_value(json_array_get(events, i));

        out = out && event ? apr_pstrcat(p, out, ", ", event, NULL) : event ? event : out;
    }
    return out ? out : "none";
}

static void registration_facts(cosell_html_t *h, const cosell_view_t *v, const json_t *webhook)
{
    const json_t *found = cs_json_get(webhook, "found");
    const char *drift = cs_json_str(webhook, "drift");
    const char *trouble = cs_json_str(webhook, "trouble");

    if (!json_is_object(webhook)) {
        cosell_element(h, "p", "Not looked at yet.");
        return;
    }
    if (drift) {
        cosell_open(h, "p");
        cosell_attr(h, "class", "note bad");
        cosell_foreign(h, drift, 500);
        cosell_close(h);
    }
    if (trouble) {
        cosell_open(h, "p");
        cosell_attr(h, "class", "note wait");
        cosell_text(h, "Could not be read since: ");
        cosell_foreign(h, trouble, 500);
        cosell_close(h);
    }
    cosell_open(h, "dl");
    cosell_attr(h, "class", "facts");
    pair(h, "Registered", json_is_object(found) ? cs_json_str(found, "url") : "nothing");
    pair(h, "Events", events_text(found, v->p));
    pair_time(h, v, "Read", cs_json_str(webhook, "read"), "never");
    pair_time(h, v, "Last callback", cs_json_str(webhook, "delivered"), "none yet");
    cosell_close(h);
}

void cosell_registration(cosell_html_t *h, const cosell_view_t *v, const json_t *site)
{
    const char *name = cs_json_str(site, "site");

    cosell_heading(h, v, "Webhook registration");
    registration_facts(h, v, cs_json_get(site, "webhook"));
    cosell_button(h, v, name, "webhook", "action", "test", "Send a test event");
}

/* ---- polls ---- */

static void poll(cosell_html_t *h, const cosell_view_t *v, const json_t *json)
{
    cosell_open(h, "tr");
    cosell_cell(h, "What");
    cosell_text(h, cs_json_str(json, "kind"));
    cosell_text(h, " ");
    cosell_foreign(h, cs_json_str(json, "name"), 100);
    cosell_close(h);
    cosell_cell(h, "Last");
    cosell_time(h, v, cs_json_str(json, "last"), "never");
    cosell_close(h);
    cosell_cell(h, "Next");
    cosell_time(h, v, cs_json_str(json, "next"), "not planned");
    cosell_close(h);
    cosell_cell_text(h, "Problem", cs_json_str(json, "detail"));
    cosell_close(h);
}

void cosell_polls(cosell_html_t *h, const cosell_view_t *v, const json_t *list)
{
    static const char *const columns[] = {"What", "Last", "Next", "Problem", NULL};
    size_t i;

    cosell_heading(h, v, "Polls and sweeps");
    cosell_table_begin(h, "What is read without being asked", columns);
    for (i = 0; i < json_array_size(list); i++) {
        poll(h, v, json_array_get(list, i));
    }
    cosell_table_end(h);
}
