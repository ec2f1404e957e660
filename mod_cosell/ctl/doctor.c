/* doctor: the page's own checks, then those of the job that asks the other ends. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

#define NAME_WIDTH 28

static int fails, warnings;

static const char *mark_of(const ctl_t *c, const char *state, apr_pool_t *p)
{
    if (!strcmp(state, "fail")) {
        fails++;
        return ctl_paint(c, 'r', "FAIL", p);
    }
    if (!strcmp(state, "warn")) {
        warnings++;
        return ctl_paint(c, 'y', "warn", p);
    }
    return !strcmp(state, "ok") ? ctl_paint(c, 'g', "ok  ", p) : ctl_pad("-", 4, p);
}

/* "ok    token.partner-center  signed in ..." and what to do, indented. */
static void print_check(ctl_t *c, const char *state, const char *check, const char *text,
                        const char *fix)
{
    int left = 6 + NAME_WIDTH + 2, room = c->width > left + 24 ? c->width - left : 0, i;
    apr_array_header_t *lines = ctl_wrap(text, room, c->p);

    ctl_out("%s  %s%s%s\n", mark_of(c, state, c->p), ctl_pad(check, NAME_WIDTH, c->p),
            ctl_width(check) > NAME_WIDTH ? "\n" : "  ",
            ctl_width(check) > NAME_WIDTH
                ? apr_psprintf(c->p, "%*s%s", left, "", APR_ARRAY_IDX(lines, 0, const char *))
                : APR_ARRAY_IDX(lines, 0, const char *));
    for (i = 1; i < lines->nelts; i++) {
        ctl_out("%*s%s\n", left, "", APR_ARRAY_IDX(lines, i, const char *));
    }
    if (!fix || !*fix) {
        return;
    }
    lines = ctl_wrap(fix, room ? room - 5 : 0, c->p);
    for (i = 0; i < lines->nelts; i++) {
        ctl_out("%*s%s%s\n", left, "",
                i ? "     " : "fix: ", APR_ARRAY_IDX(lines, i, const char *));
    }
}

/* What the page says is well the job says, too. */
static void print_ill(ctl_t *c, const char *state, const char *check, const char *text,
                      const char *fix)
{
    if (strcmp(state, "ok")) {
        print_check(c, state, check, text, fix);
    }
}

static void print_checks(ctl_t *c, const json_t *checks)
{
    json_t *check;
    size_t i;

    json_array_foreach((json_t *)checks, i, check) {
        const char *state = cs_json_str(check, "state"), *fix = cs_json_str(check, "fix");

        print_check(c, state ? state : "fail", ctl_clean(cs_json_str(check, "check"), c->p),
                    ctl_clean(cs_json_str(check, "text"), c->p), fix ? ctl_clean(fix, c->p) : NULL);
    }
}

/* --json: the job's document says it all. */
static int count_fails(const json_t *checks)
{
    json_t *check;
    size_t i;
    int n = 0;

    json_array_foreach((json_t *)checks, i, check) {
        const char *state = cs_json_str(check, "state");

        n += state && !strcmp(state, "fail");
    }
    return n;
}

static void sum_up(ctl_t *c)
{
    if (!fails && !warnings) {
        ctl_out("everything is as it must be\n");
        return;
    }
    ctl_out("%s%s%s\n", fails ? ctl_count(fails, "thing fails", "things fail", c->p) : "",
            fails && warnings ? ", " : "",
            warnings ? ctl_count(warnings, "warning", "warnings", c->p) : "");
}

static int takes_jobs(const json_t *runner)
{
    return cs_json_bool(runner, "alive", 0) && cs_json_int(runner, "workers", 1) > 0;
}

int ctl_run_doctor(ctl_t *c)
{
    ctl_answer_t overview;
    const json_t *checks;
    ctl_job_t job;
    int rc;

    ctl_ask(c, NULL, NULL, &overview, c->p);
    if (overview.code && (overview.code != CTL_AWAY || !overview.doc)) {
        ctl_error("%s", overview.why);
        return overview.code;
    }
    if (!c->json) {
        ctl_overview_checks(c, overview.doc, print_ill, c->p);
        ctl_flush();
    }
    if (overview.code || !takes_jobs(cs_json_get(overview.doc, "runner"))) {
        ctl_error("%s; the other checks need a server that works",
                  overview.code ? overview.why : "no job begins");
        return CTL_AWAY;
    }
    ctl_progress_mute();
    rc = ctl_job_run(c, ctl_wish(c, "doctor"), 0, &job);
    if (rc) {
        return rc;
    }
    checks = cs_json_get(cs_json_get(job.job, "result"), "checks");
    if (c->json) {
        return count_fails(checks) ? CTL_FAILED : CTL_DONE;
    }
    print_checks(c, checks);
    sum_up(c);
    return fails ? CTL_FAILED : CTL_DONE;
}
