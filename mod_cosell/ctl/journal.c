/* journal: what was done and refused, oldest first as it is read, on and on with -f. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/json.h"
#include "../base/time.h"

#define LINES_MAX 1000
#define AWAY_MOST apr_time_from_sec(120)

/* "linked: value 1.00 USD -> 2.00 USD to the CRM, done: why" */
const char *ctl_journal_line(const ctl_t *c, const json_t *line, apr_pool_t *p)
{
    const char *direction = cs_json_str(line, "direction"), *name = cs_json_str(line, "line");
    const char *outcome = cs_json_str(line, "outcome"), *why = cs_json_str(line, "why");
    const json_t *from = cs_json_get(line, "from"), *to = cs_json_get(line, "to");
    const char *way = !direction                     ? ""
                      : !strcmp(direction, "to_crm") ? " to the CRM"
                      : !strcmp(direction, "to_pc")  ? " to Partner Center"
                                                     : "";
    const char *values = "", *color;

    if (name && (!json_is_null(from) || !json_is_null(to))) {
        values = apr_pstrcat(p, " ", ctl_value(from, p), " → ", ctl_value(to, p), NULL);
    }
    outcome = outcome ? ctl_clean(outcome, p) : "";
    color = !strcmp(outcome, "done") || !*outcome
                ? outcome
                : ctl_paint(c, strcmp(outcome, "held") && strcmp(outcome, "planned") ? 'r' : 'y',
                            outcome, p);
    return apr_pstrcat(p, ctl_clean(cs_json_str(line, "action"), p), name ? " " : "",
                       ctl_clean(name, p), values, way, *outcome ? ", " : "", color,
                       why ? ": " : "", ctl_clean(why, p), NULL);
}

static void print_line(ctl_t *c, const json_t *line, apr_pool_t *p)
{
    apr_int64_t deal = cs_json_int(line, "deal", 0);

    if (c->json) {
        ctl_out("%s\n", cs_json_print(line, p));
        return;
    }
    ctl_out("%s  %-6s %s\n", ctl_when(cs_json_get(line, "at"), p),
            deal ? apr_psprintf(p, "%" APR_INT64_T_FMT, deal) : "site",
            ctl_journal_line(c, line, p));
}

/* Newest first or oldest first as the server sent them: printed by rising number. */
static apr_int64_t print_lines(ctl_t *c, const json_t *journal, apr_int64_t after, apr_pool_t *p)
{
    size_t n = json_array_size(journal), i;
    int falling = n > 1 && cs_json_int(json_array_get(journal, 0), "id", 0) >
                               cs_json_int(json_array_get(journal, n - 1), "id", 0);

    for (i = 0; i < n; i++) {
        const json_t *line = json_array_get(journal, falling ? n - 1 - i : i);
        apr_int64_t id = cs_json_int(line, "id", 0);

        if (id > after) {
            print_line(c, line, p);
            after = id;
        }
    }
    ctl_flush();
    return after;
}

static const char *query_of(int lines, const char *deal, apr_int64_t after, apr_pool_t *p)
{
    const char *out = apr_psprintf(p, "journal=%d", lines);

    out = deal ? apr_pstrcat(p, out, "&deal=", deal, NULL) : out;
    return after >= 0 ? apr_psprintf(p, "%s&after=%" APR_INT64_T_FMT, out, after) : out;
}

/* The number of a deal that may be named by any of its ids. */
static int number_of(ctl_t *c, const char **pdeal)
{
    ctl_answer_t answer;
    apr_int64_t id;

    if (!*pdeal) {
        return CTL_DONE;
    }
    ctl_ask_deal(c, *pdeal, &answer, c->p);
    if (answer.code) {
        ctl_error("%s", answer.why);
        return answer.code;
    }
    id = cs_json_int(cs_json_get(answer.doc, "deal"), "id", 0);
    if (!id) {
        ctl_error("\"%s\" is not yet a deal and has no journal", ctl_clean(*pdeal, c->p));
        return CTL_NOT_FOUND;
    }
    *pdeal = apr_psprintf(c->p, "%" APR_INT64_T_FMT, id);
    return CTL_DONE;
}

static void rest(void)
{
    const struct timespec second = {1, 0};

    nanosleep(&second, NULL);
}

/* Until interrupted. A server that restarts is waited for. */
static int follow(ctl_t *c, const char *deal, apr_int64_t after)
{
    apr_interval_time_t away = 0;
    ctl_answer_t answer;
    apr_pool_t *ptemp;

    apr_pool_create(&ptemp, c->p);
    for (;;) {
        apr_array_header_t *sites;

        apr_pool_clear(ptemp);
        ctl_ask(c, query_of(LINES_MAX, deal, after, ptemp), NULL, &answer, ptemp);
        if (answer.code == CTL_AWAY && (!away || cs_time_mono() - away < AWAY_MOST)) {
            away = away ? away : (ctl_note("%s; waiting for it", answer.why), cs_time_mono());
        }
        else if (answer.code) {
            ctl_error("%s", answer.why);
            return answer.code;
        }
        else {
            away = 0;
            sites = ctl_sites(c, answer.doc, ptemp);
            if (sites->nelts != 1) {
                return CTL_NOT_FOUND;
            }
            after = print_lines(c, cs_json_get(APR_ARRAY_IDX(sites, 0, json_t *), "journal"), after,
                                ptemp);
        }
        rest();
    }
}

int ctl_run_journal(ctl_t *c)
{
    const char *text = ctl_opt(c, "lines"), *deal = ctl_opt(c, "deal");
    int lines = text ? atoi(text) : 50, rc, i;
    apr_array_header_t *sites;
    apr_int64_t after = 0;
    ctl_answer_t answer;

    if (lines < 1 || lines > LINES_MAX || (text && strspn(text, "0123456789") != strlen(text))) {
        ctl_error("--lines %s: allowed is 1 to %d", ctl_clean(text, c->p), LINES_MAX);
        return CTL_USAGE;
    }
    rc = number_of(c, &deal);
    rc = rc ? rc : ctl_get(c, query_of(lines, deal, -1, c->p), &answer, c->p);
    if (rc) {
        return rc;
    }
    if (c->json && !ctl_opt(c, "follow")) {
        return ctl_print_sites(c, &answer);
    }
    sites = ctl_sites(c, answer.doc, c->p);
    if (sites->nelts > 1 && ctl_opt(c, "follow")) {
        ctl_error("there are several sites; say which with --site");
        return CTL_USAGE;
    }
    for (i = 0; i < sites->nelts; i++) {
        const json_t *site = APR_ARRAY_IDX(sites, i, json_t *);

        if (sites->nelts > 1) {
            ctl_out("site %s\n", ctl_clean(cs_json_str(site, "site"), c->p));
        }
        after = print_lines(c, cs_json_get(site, "journal"), 0, c->p);
    }
    if (sites->nelts && ctl_opt(c, "follow")) {
        return follow(c, deal, after);
    }
    return sites->nelts ? CTL_DONE : CTL_NOT_FOUND;
}
