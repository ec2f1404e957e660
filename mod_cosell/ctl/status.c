/* status: the overview, warnings first. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/time.h"

static const char *text_of(const json_t *obj, const char *name, apr_pool_t *p)
{
    const char *text = cs_json_str(obj, name);

    return text && *text ? ctl_clean(text, p) : NULL;
}

static void line(const char *name, const char *text)
{
    if (text && *text) {
        ctl_out("  %-12s %s\n", name, text);
    }
}

static const char *ago(const json_t *time, apr_pool_t *p)
{
    const char *since = ctl_since(time, cs_time_now(), p);

    return since ? apr_pstrcat(p, since, " ago", NULL) : "never";
}

/* ---- alerts ---- */

static int print_alerts(ctl_t *c, const json_t *alerts)
{
    json_t *alert;
    size_t i;
    int n = 0;

    json_array_foreach((json_t *)alerts, i, alert) {
        const char *level = cs_json_str(alert, "level"), *todo = text_of(alert, "todo", c->p);
        int error = level && !strcmp(level, "error");
        const char *since = ctl_since(cs_json_get(alert, "since"), cs_time_now(), c->p);
        const char *site = text_of(alert, "site", c->p);

        if (!ctl_is_of_site(c, alert)) {
            continue;
        }
        n++;
        ctl_out("%s  %s%s%s%s%s%s\n",
                ctl_paint(c, error ? 'r' : 'y', error ? "ERROR" : "warn ", c->p), site ? site : "",
                site ? ": " : "", ctl_clean(cs_json_str(alert, "text"), c->p),
                since ? " (for " : "", since ? since : "", since ? ")" : "");
        if (todo) {
            ctl_out("       %s\n", todo);
        }
    }
    return n;
}

/* ---- the server ---- */

static void print_server(ctl_t *c, const json_t *doc)
{
    const json_t *runner = cs_json_get(doc, "runner"), *committer = cs_json_get(doc, "committer");
    const json_t *store = cs_json_get(doc, "store");
    const char *reason = text_of(committer, "reason", c->p);
    const char *version = text_of(doc, "version", c->p);
    apr_int64_t bytes = cs_json_int(store, "bytes", -1);

    ctl_out("%s %s\n", ctl_paint(c, 'b', "Server", c->p), version ? version : "");
    line("runner",
         cs_json_bool(runner, "alive", 0)
             ? apr_psprintf(c->p, "alive, %s, started %s UTC",
                            ctl_count(cs_json_int(runner, "workers", 0), "worker", "workers", c->p),
                            ctl_when(cs_json_get(runner, "started"), c->p))
             : ctl_paint(c, 'r', "NOT ALIVE", c->p));
    line("accepts", cs_json_bool(committer, "troubled", 0)
                        ? apr_pstrcat(c->p, "NO: ", reason ? reason : "?", NULL)
                        : "yes");
    if (bytes >= 0) {
        line("store", apr_psprintf(c->p, "%s, %.1f MB", ctl_clean(cs_json_str(store, "kind"), c->p),
                                   (double)bytes / 1e6));
    }
}

/* ---- a site ---- */

static const char *totals_text(const json_t *totals, apr_pool_t *p)
{
    const char *out = "", *name;
    json_t *n;

    json_object_foreach((json_t *)totals, name, n) {
        if (json_integer_value(n) > 0) {
            out = apr_psprintf(p, "%s%s%" APR_INT64_T_FMT " %s", out, *out ? ", " : "",
                               (apr_int64_t)json_integer_value(n), ctl_clean(name, p));
        }
    }
    return out;
}

static void print_lane(ctl_t *c, const json_t *site)
{
    const json_t *lane = cs_json_get(site, "lane"), *paused = cs_json_get(site, "paused");
    apr_int64_t dead = cs_json_int(lane, "dead", 0), waits = cs_json_int(lane, "outstanding", 0);
    const char *why = text_of(paused, "why", c->p), *by = text_of(paused, "by", c->p);

    line("lane",
         apr_psprintf(
             c->p, "%s, %" APR_INT64_T_FMT " outstanding%s%s%s",
             ctl_clean(cs_json_str(lane, "state"), c->p), waits, waits ? ", the oldest " : "",
             waits ? ago(cs_json_get(lane, "oldest"), c->p) : "",
             dead ? apr_psprintf(c->p, ", %" APR_INT64_T_FMT " dead (cosellctl dead list)", dead)
                  : ""));
    if (json_is_object(paused)) {
        line("paused", apr_pstrcat(c->p, "by ", by ? by : "?", " since ",
                                   ctl_when(cs_json_get(paused, "at"), c->p), why ? ": " : "",
                                   why ? why : "", NULL));
    }
}

static void print_suspended(ctl_t *c, const json_t *site)
{
    json_t *s;
    size_t i;

    json_array_foreach(cs_json_get(site, "suspended"), i, s) {
        const char *detail = text_of(s, "detail", c->p), *problem = text_of(s, "problem", c->p);

        line(i ? "" : "suspended",
             apr_pstrcat(c->p, ctl_clean(cs_json_str(s, "upstream"), c->p), " for ",
                         ctl_since(cs_json_get(s, "since"), cs_time_now(), c->p), ": ",
                         detail    ? detail
                         : problem ? problem
                                   : "?",
                         NULL));
    }
    json_array_foreach(cs_json_get(site, "breakers"), i, s) {
        const char *why = text_of(s, "why", c->p);

        line(i ? "" : "breaker", apr_pstrcat(c->p, ctl_clean(cs_json_str(s, "upstream"), c->p),
                                             why ? ": " : "", why ? why : "", NULL));
    }
}

static void print_crms(ctl_t *c, const json_t *site)
{
    json_t *crm;
    size_t i;

    json_array_foreach(cs_json_get(site, "crms"), i, crm) {
        size_t misfits = json_array_size(cs_json_get(crm, "misfits"));
        const json_t *quota = cs_json_get(crm, "quota");
        const char *revision = text_of(crm, "revision", c->p);

        line("crm",
             apr_psprintf(
                 c->p, "%s: %s, mapping %s%s%s", ctl_clean(cs_json_str(crm, "name"), c->p),
                 ctl_clean(cs_json_str(crm, "url"), c->p), revision ? revision : "-",
                 misfits ? apr_psprintf(c->p, ", %d of its names do not fit", (int)misfits) : "",
                 json_is_object(quota)
                     ? apr_psprintf(c->p,
                                    ", %" APR_INT64_T_FMT " of %" APR_INT64_T_FMT
                                    " requests of the day used",
                                    cs_json_int(quota, "used", 0), cs_json_int(quota, "most", 0))
                     : ""));
    }
}

static void print_sign_in(ctl_t *c, const json_t *site)
{
    const json_t *token = cs_json_get(site, "token"), *hook = cs_json_get(site, "webhook");
    const char *account = text_of(token, "account", c->p), *drift = text_of(hook, "drift", c->p);
    const char *url = text_of(hook, "url", c->p), *source = text_of(token, "source", c->p);

    if (json_is_object(token)) {
        int signed_in = json_is_string(cs_json_get(token, "signed_in"));

        line("token", apr_pstrcat(c->p, account ? account : "", account ? ", " : "",
                                  signed_in ? "signed in " : "from ",
                                  signed_in ? ago(cs_json_get(token, "signed_in"), c->p)
                                            : (source ? source : "a file"),
                                  ", changed ", ago(cs_json_get(token, "rotated"), c->p), NULL));
    }
    if (json_is_object(hook)) {
        line("webhook", drift ? ctl_paint(c, 'r', drift, c->p)
                        : url ? url
                              : "not registered by us");
    }
}

static void print_polls(ctl_t *c, const json_t *site)
{
    const char *worst = NULL;
    json_t *poll;
    size_t i;

    json_array_foreach(cs_json_get(site, "polls"), i, poll) {
        const char *detail = text_of(poll, "detail", c->p);

        if (detail) {
            worst =
                apr_pstrcat(c->p, ctl_clean(cs_json_str(poll, "name"), c->p), ": ", detail, NULL);
        }
    }
    line("polls", worst);
}

static void print_causes(ctl_t *c, const json_t *site)
{
    json_t *cause;
    size_t i;

    json_array_foreach(cs_json_get(site, "causes"), i, cause) {
        int dead = cs_json_bool(cause, "dead", 0);

        line(i ? "" : "problems",
             apr_pstrcat(c->p,
                         ctl_count(cs_json_int(cause, "deals", 0), dead ? "dead" : "deal",
                                   dead ? "dead" : "deals", c->p),
                         ": ", ctl_clean(cs_json_str(cause, "text"), c->p), NULL));
    }
}

static void print_jobs(ctl_t *c, const json_t *site)
{
    json_t *job;
    size_t i;

    json_array_foreach(cs_json_get(site, "jobs"), i, job) {
        const char *state = cs_json_str(job, "state"), *what = cs_json_str(job, "what");

        what = what ? what : cs_json_str(job, "kind");
        if (state && (!strcmp(state, "running") || !strcmp(state, "waiting"))) {
            line("job", apr_pstrcat(c->p, ctl_clean(cs_json_str(job, "id"), c->p), " ",
                                    ctl_clean(what, c->p), ", ", state, "  ",
                                    ctl_bar_text(cs_json_get(job, "progress"), 0, c->p), NULL));
        }
    }
}

static void print_site(ctl_t *c, const json_t *site)
{
    const char *degraded = text_of(site, "degraded", c->p);
    const json_t *totals = cs_json_get(site, "totals");

    ctl_out("%s %s\n", ctl_paint(c, 'b', "Site", c->p), ctl_clean(cs_json_str(site, "site"), c->p));
    line("broken", degraded);
    line("deals", json_is_object(totals)
                      ? totals_text(totals, c->p)
                      : apr_psprintf(c->p, "%" APR_INT64_T_FMT, cs_json_int(site, "deals", 0)));
    print_lane(c, site);
    print_suspended(c, site);
    print_crms(c, site);
    print_sign_in(c, site);
    print_polls(c, site);
    print_causes(c, site);
    print_jobs(c, site);
}

int ctl_run_status(ctl_t *c)
{
    ctl_answer_t answer;
    apr_array_header_t *sites;
    int i;

    /* A page that says 503 says more than that. */
    ctl_ask(c, NULL, NULL, &answer, c->p);
    if (answer.code && (answer.code != CTL_AWAY || !cs_json_get(answer.doc, "runner"))) {
        ctl_error("%s", answer.why);
        return answer.code;
    }
    if (c->json) {
        if (!answer.code) {
            return ctl_print_sites(c, &answer);
        }
        ctl_print_json(&answer);
        return answer.code;
    }
    sites = answer.code ? NULL : ctl_sites(c, answer.doc, c->p);
    if (sites && !sites->nelts) {
        return CTL_NOT_FOUND;
    }
    if (print_alerts(c, cs_json_get(answer.doc, "alerts"))) {
        ctl_out("\n");
    }
    print_server(c, answer.doc);
    if (answer.code) {
        ctl_error("%s", answer.why);
        return answer.code;
    }
    for (i = 0; i < sites->nelts; i++) {
        print_site(c, APR_ARRAY_IDX(sites, i, const json_t *));
    }
    return CTL_DONE;
}
