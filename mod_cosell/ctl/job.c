/* A job from the wish to its end. */
#include "ctl.h"

#include <apr_strings.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/json.h"
#include "../base/time.h"

#define PAUSE_FIRST apr_time_from_msec(200)
#define PAUSE_MOST apr_time_from_sec(2)
/* A server that restarts is waited for so long. */
#define AWAY_MOST apr_time_from_sec(120)
/* A job that has not begun by then: somebody should know why. */
#define BEGINS_WITHIN apr_time_from_sec(5)

static volatile sig_atomic_t interrupted;
static ctl_progress_fn *watch;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* The second time it ends the program. */
static void catch_interrupts(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_interrupt;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void rest(apr_interval_time_t pause)
{
    struct timespec ts = {(time_t)(pause / APR_USEC_PER_SEC),
                          (long)(pause % APR_USEC_PER_SEC) * 1000};

    if (!interrupted) {
        nanosleep(&ts, NULL);
    }
}

void ctl_job_watch(ctl_progress_fn *fn)
{
    watch = fn;
}

json_t *ctl_wish(ctl_t *c, const char *verb)
{
    return cs_json_own(json_pack("{s:s}", "do", verb), c->p);
}

void ctl_wish_text(json_t *wish, const char *name, const char *value)
{
    if (value) {
        json_object_set_new(wish, name, json_string(value));
    }
}

/* ---- what came of it ---- */

static const char *state_of(const json_t *job)
{
    const char *state = cs_json_str(job, "state");

    return state ? state : "";
}

static int has_ended(const json_t *job)
{
    const char *state = state_of(job);

    return !strcmp(state, "done") || !strcmp(state, "failed") || !strcmp(state, "cancelled");
}

int ctl_job_code(ctl_t *c, const ctl_job_t *job, int tell)
{
    const json_t *result = cs_json_get(job->job, "result");
    const char *text = cs_json_str(result, "text"), *error = cs_json_str(result, "error");
    const char *kind = cs_json_str(job->job, "kind");

    if (!strcmp(state_of(job->job), "done")) {
        if (tell && text && !c->json) {
            ctl_out("%s\n", ctl_clean(text, c->p));
        }
        return CTL_DONE;
    }
    if (!strcmp(state_of(job->job), "cancelled")) {
        ctl_error("job %s was cancelled%s%s; what it did stays done", job->id, text ? ": " : "",
                  ctl_clean(text, c->p));
        return CTL_FAILED;
    }
    ctl_error("%s failed: %s", kind ? ctl_clean(kind, c->p) : "the job",
              error ? ctl_clean(error, c->p) : "no reason is given");
    return cs_json_bool(result, "missing", 0) ? CTL_NOT_FOUND : CTL_FAILED;
}

/* ---- waiting ---- */

typedef struct wait_t {
    ctl_t *c;
    ctl_job_t *job;
    apr_int64_t after;
    apr_interval_time_t began, away; /* since when; 0 = it answers */
    int warned, tell_tale;
} wait_t;

static void say_check(ctl_t *c, const char *state, const char *check, const char *text,
                      const char *fix)
{
    (void)check;
    if (strcmp(state, "ok")) {
        ctl_note("%s: %s%s%s", state, text, fix ? " — " : "", fix ? fix : "");
    }
    (void)c;
}

/* Once: a job that does not begin waits for something that the overview knows. */
static void say_why_waiting(wait_t *w, const json_t *job, apr_pool_t *p)
{
    ctl_answer_t overview;

    if (w->warned || strcmp(state_of(job), "waiting") ||
        cs_time_mono() - w->began < BEGINS_WITHIN) {
        return;
    }
    w->warned = 1;
    ctl_ask(w->c, NULL, NULL, &overview, p);
    ctl_note("the job waits to begin");
    if (!overview.code) {
        ctl_overview_checks(w->c, overview.doc, say_check, p);
    }
}

static void take_rows(wait_t *w, const json_t *doc)
{
    const json_t *rows = cs_json_get(doc, "rows");
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)rows, i, row) {
        apr_int64_t n = cs_json_int(row, "n", 0);

        if (n > w->after) {
            w->after = n;
            json_array_append(w->job->rows, row);
        }
    }
}

/* The last document with all rows in it. */
static void take_document(wait_t *w, const json_t *doc)
{
    json_t *copy = cs_json_own(json_deep_copy(doc), w->c->p);

    json_object_set(copy, "rows", w->job->rows);
    json_object_set_new(copy, "next", json_null());
    w->job->doc = copy;
    w->job->job = cs_json_get(copy, "job");
}

/* 1 = it ended and all is read; 0 = not yet; else *pcode. */
static int look(wait_t *w, int *pcode, apr_pool_t *p)
{
    const char *query =
        apr_psprintf(p, "job=%s&after=%" APR_INT64_T_FMT, cs_http_escape(w->job->id, p), w->after);
    ctl_answer_t answer;
    const json_t *job;

    ctl_ask(w->c, query, NULL, &answer, p);
    if (answer.code == CTL_AWAY && (!w->away || cs_time_mono() - w->away < AWAY_MOST)) {
        if (!w->away) {
            ctl_note("%s; waiting for it", answer.why);
            w->away = cs_time_mono();
        }
        return 0;
    }
    *pcode = answer.code;
    if (answer.code) {
        ctl_error("%s", answer.why);
        return -1;
    }
    w->away = 0;
    take_rows(w, answer.doc);
    job = cs_json_get(answer.doc, "job");
    if (!has_ended(job)) {
        ctl_progress_show(w->c, cs_json_get(job, "progress"));
        if (watch) {
            watch(w->c, cs_json_get(job, "progress"));
        }
        say_why_waiting(w, job, p);
        return 0;
    }
    if (json_is_integer(cs_json_get(answer.doc, "next"))) {
        return look(w, pcode, p);
    }
    ctl_progress_show(w->c, cs_json_get(job, "progress"));
    if (watch) {
        watch(w->c, cs_json_get(job, "progress"));
    }
    take_document(w, answer.doc);
    return 1;
}

static int interrupted_says(const ctl_job_t *job)
{
    ctl_progress_end();
    ctl_note("job %s goes on by itself; follow it with: cosellctl job %s --follow, end it with: "
             "cosellctl cancel %s",
             job->id, job->id, job->id);
    return CTL_INTERRUPTED;
}

static int wait_for(wait_t *w)
{
    apr_interval_time_t pause = PAUSE_FIRST;
    apr_pool_t *ptemp;
    int ended = 0, code = 0;

    apr_pool_create(&ptemp, w->c->p);
    while (!ended && !interrupted) {
        apr_pool_clear(ptemp);
        ended = look(w, &code, ptemp);
        if (!ended) {
            rest(pause);
            pause = pause * 5 / 4 < PAUSE_MOST ? pause * 5 / 4 : PAUSE_MOST;
        }
    }
    apr_pool_destroy(ptemp);
    if (!ended) {
        return interrupted_says(w->job);
    }
    ctl_progress_end();
    return code;
}

int ctl_job_follow(ctl_t *c, const char *id, int tell, ctl_job_t *job)
{
    wait_t w = {.c = c, .job = job, .began = cs_time_mono()};
    int code;

    memset(job, 0, sizeof(*job));
    job->id = id;
    job->rows = cs_json_own(json_array(), c->p);
    catch_interrupts();
    code = wait_for(&w);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (!code && c->json) {
        ctl_out("%s\n", cs_json_pretty(job->doc, c->p));
    }
    return code ? code : ctl_job_code(c, job, tell);
}

int ctl_job_run(ctl_t *c, json_t *wish, int tell, ctl_job_t *job)
{
    ctl_answer_t answer;
    const char *id;

    memset(job, 0, sizeof(*job));
    ctl_wish_text(wish, "site", c->site);
    ctl_ask(c, NULL, wish, &answer, c->p);
    if (answer.code) {
        ctl_error("%s", answer.why);
        return answer.code;
    }
    id = cs_json_str(answer.doc, "job");
    if (!id) {
        ctl_error("%s took the wish but names no job: it is older than this program", c->url);
        return CTL_AWAY;
    }
    return ctl_job_follow(c, apr_pstrdup(c->p, id), tell, job);
}
