/* jobs, job: what was asked for, how far it is, what came of it. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

/* "look at deal 12" */
static const char *what_of(const json_t *job)
{
    const char *what = cs_json_str(job, "what");

    return what ? what : cs_json_str(job, "kind");
}

static const char *outcome_of(const json_t *job, apr_pool_t *p)
{
    const json_t *result = cs_json_get(job, "result");
    const char *text = cs_json_str(result, "error");

    text = text ? text : cs_json_str(result, "text");
    return text ? text : ctl_bar_text(cs_json_get(job, "progress"), 0, p);
}

int ctl_run_jobs(ctl_t *c)
{
    static const char *const heads[] = {"JOB",         "WHAT",    "STATE", "BY",
                                        "ASKED (UTC)", "OUTCOME", NULL};
    ctl_table_t *table = ctl_table_make(heads, c->p);
    apr_array_header_t *sites;
    ctl_answer_t answer;
    int rc = ctl_get(c, "jobs", &answer, c->p), i, n = 0;
    json_t *job;
    size_t at;

    if (rc || c->json) {
        return rc ? rc : ctl_print_sites(c, &answer);
    }
    sites = ctl_sites(c, answer.doc, c->p);
    for (i = 0; i < sites->nelts; i++) {
        json_array_foreach(cs_json_get(APR_ARRAY_IDX(sites, i, json_t *), "jobs"), at, job) {
            ctl_table_row(table, cs_json_str(job, "id"), what_of(job),
                          cs_json_str(job, "state"), cs_json_str(job, "user"),
                          ctl_when(cs_json_get(job, "created"), c->p), outcome_of(job, c->p));
            n++;
        }
    }
    ctl_out("%s", ctl_table_text(table, c->tty ? c->width : 0, c->p));
    if (!n && sites->nelts) {
        ctl_note("no jobs");
    }
    return sites->nelts ? CTL_DONE : CTL_NOT_FOUND;
}

static void print_rows(ctl_t *c, const json_t *rows)
{
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)rows, i, row) {
        apr_int64_t deal = cs_json_int(row, "deal", 0);

        ctl_out("%s%s%s\n", deal ? apr_psprintf(c->p, "deal %" APR_INT64_T_FMT, deal) : "",
                deal ? ": " : "", ctl_clean(cs_json_print(cs_json_get(row, "row"), c->p), c->p));
    }
}

int ctl_run_job(ctl_t *c)
{
    const char *id = ctl_arg(c, 0), *state;
    const json_t *job;
    ctl_answer_t answer;
    ctl_job_t followed;
    int rc;

    if (ctl_opt(c, "follow")) {
        return ctl_job_follow(c, id, 1, &followed);
    }
    rc = ctl_get(c, ctl_parameter("", "job", id, c->p), &answer, c->p);
    if (rc || c->json) {
        return rc ? rc : (ctl_print_json(&answer), CTL_DONE);
    }
    job = cs_json_get(answer.doc, "job");
    state = cs_json_str(job, "state");
    ctl_out(
        "job      %s\nwhat     %s\nstate    %s\nby       %s\nasked    %s UTC\nchanged  %s UTC\n",
        ctl_clean(cs_json_str(job, "id"), c->p), ctl_clean(what_of(job), c->p),
        ctl_clean(state, c->p), ctl_clean(cs_json_str(job, "user"), c->p),
        ctl_when(cs_json_get(job, "created"), c->p), ctl_when(cs_json_get(job, "updated"), c->p));
    if (json_object_size(cs_json_get(job, "arguments"))) {
        ctl_out("wish     %s\n",
                ctl_clean(cs_json_print(cs_json_get(job, "arguments"), c->p), c->p));
    }
    ctl_out("outcome  %s\n", ctl_clean(outcome_of(job, c->p), c->p));
    print_rows(c, cs_json_get(answer.doc, "rows"));
    return state && !strcmp(state, "failed") ? CTL_FAILED : CTL_DONE;
}
