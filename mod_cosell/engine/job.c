/* engine/job.c: the turns of jobs: loaded, taken, stored with what they did.
 *
 * A turn collects its changes in the batch it was given; they, the job's new state and its work row
 * are one transaction. What contradicts the store fails the job: it would do so again. */
#include "job.h"

#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"

/* Jobs among which those whose turn it is are sought. */
#define AT_ONCE 200
/* Brief ones before the looks of a batch. */
#define BRIEF_AT_ONCE 50
/* Failures of an upstream in a row. */
#define ATTEMPTS 8
#define RETRY_BASE apr_time_from_sec(2)
#define RETRY_CAP apr_time_from_sec(120)
#define RETRY_FLOOR apr_time_from_sec(1)
#define PAUSED_AGAIN apr_time_from_sec(30)
#define TEXT_MAX 1000

typedef enum { GOES_ON, WAITS, ENDED } ending_e;

/* `t` is what a kind sees of it. */
typedef struct turn_t {
    cs_job_turn_t t;
    const cs_job_kind_t *kind;
    cs_job_t *job;
    cs_work_t *work;
    ending_e ending;
    apr_time_t at;
    cs_result_t why; /* WAITS after a failure */
} turn_t;

/* ---- kinds and arguments ---- */

const cs_job_kind_t *cs_job_kind_of(const char *name, const char **pnames, apr_pool_t *p)
{
    const char *names = "";
    int i;

    for (i = 0; cs_job_kinds[i]; ++i) {
        if (!strcmp(cs_job_kinds[i]->name, name)) {
            return cs_job_kinds[i];
        }
        if (pnames) {
            names = apr_pstrcat(p, names, i ? ", " : "", cs_job_kinds[i]->name, NULL);
        }
    }
    if (pnames) {
        *pnames = names;
    }
    return NULL;
}

static int is_texts(const json_t *value)
{
    apr_size_t i;
    json_t *text;

    json_array_foreach((json_t *)value, i, text)
    {
        if (!json_is_string(text)) {
            return 0;
        }
    }
    return json_is_array(value);
}

static int has_type(const json_t *value, char type)
{
    switch (type) {
    case 's':
        return json_is_string(value);
    case 'b':
        return json_is_boolean(value);
    case 'i':
        return json_is_integer(value);
    default:
        return is_texts(value);
    }
}

static const char *type_name(char type)
{
    return type == 's' ? "a text" : type == 'b' ? "true or false" : type == 'i' ? "a whole number"
                                                                               : "a list of texts";
}

/* "deal:s" -> the type of `name`, 0 = there is no such member. */
static char member_type(const char *const *members, const char *name)
{
    apr_size_t len = strlen(name);

    for (; *members; ++members) {
        if (!strncmp(*members, name, len) && (*members)[len] == ':') {
            return (*members)[len + 1];
        }
    }
    return '\0';
}

static const char *member_names(const char *const *members, apr_pool_t *p)
{
    const char *names = "";

    for (; *members; ++members) {
        const char *end = strchr(*members, ':');
        names = apr_pstrcat(p, names, *names ? ", " : "",
                            apr_pstrmemdup(p, *members, (apr_size_t)(end - *members)), NULL);
    }
    return *names ? names : "none";
}

static const char *member_wrong(const cs_job_kind_t *kind, const char *name, const json_t *value,
                                apr_pool_t *p)
{
    char type = member_type(kind->members, name);

    if (!type) {
        return apr_psprintf(p, "\"%.40s\" is no argument of %s; allowed: %s", name, kind->name,
                            member_names(kind->members, p));
    }
    if (!has_type(value, type)) {
        return apr_psprintf(p, "%s: allowed is %s", name, type_name(type));
    }
    if (type == 's' && json_string_length(value) > TEXT_MAX) {
        return apr_psprintf(p, "%s: allowed are %d bytes", name, TEXT_MAX);
    }
    return NULL;
}

const char *cs_job_wrong(const cs_job_kind_t *kind, const json_t *arguments, apr_pool_t *p)
{
    const char *const *required;
    const char *name, *wrong = NULL;
    json_t *value;

    json_object_foreach((json_t *)arguments, name, value)
    {
        wrong = wrong ? wrong : member_wrong(kind, name, value, p);
    }
    for (required = kind->required; !wrong && required && *required; ++required) {
        if (!json_object_get(arguments, *required)) {
            wrong = apr_psprintf(p, "\"%s\" is missing", *required);
        }
    }
    return wrong || !kind->check ? wrong : kind->check(arguments, p);
}

/* ---- what a turn says ---- */

static turn_t *turn_of(cs_job_turn_t *t)
{
    return (turn_t *)t;
}

static void end_with(turn_t *turn, cs_job_state_e state, json_t *result)
{
    turn->ending = ENDED;
    turn->job->state = state;
    turn->job->result = cs_json_own(result, turn->t.b->p);
}

void cs_job_done(cs_job_turn_t *t, json_t *result)
{
    end_with(turn_of(t), CS_JOB_DONE, result);
}

static void fail(turn_t *turn, const char *why)
{
    json_t *result = json_object();

    json_object_set_new(result, "error", cs_json_words(why, turn->t.b->p));
    end_with(turn, CS_JOB_FAILED, result);
    cs_log(CS_LOG_INFO, 0, turn->job->site,
           CSLOGNO(2400) "job %s (%s, asked for by %s) failed: %s", turn->job->id, turn->job->kind,
           turn->job->user, why);
}

void cs_job_failed(cs_job_turn_t *t, const char *fmt, ...)
{
    const char *why;
    va_list ap;

    va_start(ap, fmt);
    why = apr_pvsprintf(t->b->p, fmt, ap);
    va_end(ap);
    fail(turn_of(t), why);
}

void cs_job_not_found(cs_job_turn_t *t, const char *fmt, ...)
{
    turn_t *turn = turn_of(t);
    const char *why;
    va_list ap;

    va_start(ap, fmt);
    why = apr_pvsprintf(t->b->p, fmt, ap);
    va_end(ap);
    fail(turn, why);
    json_object_set_new(turn->job->result, "missing", json_true());
}

void cs_job_wait(cs_job_turn_t *t, apr_time_t at)
{
    turn_t *turn = turn_of(t);

    turn->ending = WAITS;
    turn->at = at;
}

static int is_passing(cs_class_e cls)
{
    return cls == CS_CLASS_RETRY || cls == CS_CLASS_UNKNOWN || cls == CS_CLASS_CONFLICT ||
           cls == CS_CLASS_TOKEN || cls == CS_CLASS_THROTTLED;
}

void cs_job_trouble(cs_job_turn_t *t, const char *upstream, const cs_result_t *result)
{
    turn_t *turn = turn_of(t);
    const char *detail = result->detail ? result->detail : "no reason given";
    apr_time_t at;

    turn->work->attempts += result->cls != CS_CLASS_THROTTLED;
    if (!is_passing(result->cls) || turn->work->attempts > ATTEMPTS) {
        fail(turn, apr_psprintf(t->b->p, "%s: %s", upstream, detail));
        return;
    }
    at = t->b->now + cs_backoff(turn->work->attempts, RETRY_BASE, RETRY_CAP, RETRY_FLOOR);
    cs_job_wait(t, result->retry_at > at ? result->retry_at : at);
    cs_result_copy(&turn->why, result, t->b->p);
    json_object_set_new(t->progress, "waits",
                        json_string(apr_psprintf(t->b->p, "%s: %s", upstream, detail)));
}

void cs_job_say(cs_job_turn_t *t, const char *fmt, ...)
{
    json_t *say = json_object_get(t->progress, "say");
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = apr_pvsprintf(t->b->p, fmt, ap);
    va_end(ap);
    if (!say) {
        say = json_array();
        json_object_set_new(t->progress, "say", say);
    }
    json_array_append_new(say, json_string(text));
    if (json_array_size(say) > CS_JOB_SAY) {
        json_array_remove(say, 0);
    }
}

void cs_job_row(cs_job_turn_t *t, apr_int64_t deal, json_t *row)
{
    cs_change_t *change = cs_batch_change(t->b, CS_CHANGE_JOB_ROW);

    change->job = t->job;
    change->value = deal;
    change->rows = cs_json_own(row, t->b->p);
}

cs_journal_t *cs_job_journal(cs_job_turn_t *t, apr_int64_t deal, const char *outcome,
                             const char *why)
{
    cs_journal_t *journal = apr_pcalloc(t->b->p, sizeof(*journal));

    journal->deal = deal;
    journal->at = t->b->now;
    journal->direction = "";
    journal->action = t->job->kind;
    journal->outcome = outcome;
    journal->why = apr_pstrcat(t->b->p, why, " by ", t->user, NULL);
    cs_batch_change(t->b, CS_CHANGE_JOURNAL)->journal = journal;
    return journal;
}

/* ---- one turn ---- */

static cs_batch_t *new_batch(cs_lane_t *lane, apr_pool_t *p)
{
    cs_batch_t *b = apr_pcalloc(p, sizeof(*b));

    b->lane = lane;
    b->p = p;
    b->now = cs_time_now();
    b->items = apr_array_make(p, 1, sizeof(cs_item_t *));
    b->changes = apr_array_make(p, 32, sizeof(cs_change_t));
    return b;
}

static json_t *object_of(json_t *json, apr_pool_t *p)
{
    return cs_json_own(json_is_object(json) ? json_deep_copy(json) : json_object(), p);
}

static turn_t *new_turn(cs_lane_t *lane, cs_job_t *job, cs_work_t *work, apr_pool_t *p)
{
    turn_t *turn = apr_pcalloc(p, sizeof(*turn));

    turn->job = job;
    turn->work = work;
    turn->kind = cs_job_kind_of(job->kind, NULL, p);
    turn->t.b = new_batch(lane, p);
    turn->t.arguments = job->arguments;
    turn->t.cursor = object_of(job->cursor, p);
    turn->t.progress = object_of(job->progress, p);
    turn->t.id = job->id;
    turn->t.user = job->user;
    turn->t.job = job;
    json_object_del(turn->t.progress, "waits");
    return turn;
}

static void work_over(turn_t *turn)
{
    cs_change_t *change = cs_batch_change(turn->t.b, CS_CHANGE_WORK_DONE);

    change->work = turn->work;
    change->value = turn->work->wanted;
}

static void work_later(turn_t *turn)
{
    cs_work_t *work = turn->work;
    cs_change_t *change;

    work->state = CS_WORK_READY;
    work->due = turn->ending == WAITS ? turn->at : turn->t.b->now;
    work->problem_class = work->problem = work->detail = NULL;
    if (turn->why.problem) {
        work->problem_class = cs_class_name(turn->why.cls);
        work->problem = turn->why.problem;
        work->detail = turn->why.detail;
    }
    else if (turn->ending == GOES_ON) {
        work->attempts = 0;
    }
    change = cs_batch_change(turn->t.b, CS_CHANGE_WORK_LATER);
    change->work = work;
    change->result = &turn->why;
    change->at = work->due;
}

static void store_state(turn_t *turn)
{
    turn->job->state = turn->ending == ENDED ? turn->job->state : CS_JOB_RUNNING;
    turn->job->cursor = turn->t.cursor;
    turn->job->progress = turn->t.progress;
    cs_batch_change(turn->t.b, CS_CHANGE_JOB)->job = turn->job;
    if (turn->ending == ENDED) {
        work_over(turn);
    }
    else {
        work_later(turn);
    }
}

static apr_status_t write_changes(turn_t *turn, cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(turn->t.b->lane);

    return cs_store_write(turn->t.b->lane->store, &lease, turn->t.b->changes, turn->t.b->p, res);
}

/* What memory learnt in this turn is not in the store. */
static apr_status_t give_up(turn_t *turn, cs_result_t *res)
{
    const char *why = res->detail ? apr_pstrdup(turn->t.b->p, res->detail)
                                  : "the store cannot take what it would store";

    apr_array_clear(turn->t.b->changes);
    cs_result_clear(res);
    fail(turn, why);
    store_state(turn);
    return write_changes(turn, res);
}

static apr_status_t take(turn_t *turn, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;

    if (!turn->kind) {
        fail(turn, apr_psprintf(turn->t.b->p, "this version knows no job \"%s\"", turn->job->kind));
    }
    else if (turn->kind->pauses && cs_lane_paused(turn->t.b->lane)) {
        json_object_set_new(turn->t.progress, "waits", json_string("the site is paused"));
        cs_job_wait(&turn->t, turn->t.b->now + PAUSED_AGAIN);
    }
    else {
        rv = turn->kind->turn(&turn->t, res);
    }
    if (rv == APR_SUCCESS) {
        store_state(turn);
        rv = write_changes(turn, res);
        if (rv == CS_ESTALE) {
            rv = give_up(turn, res);
        }
    }
    if (rv != APR_SUCCESS || turn->job->state == CS_JOB_FAILED) {
        cs_lane_facts_forget(turn->t.b->lane);
    }
    return rv;
}

/* Its job was kept too long ago, or never came; or cannot be read, and this is what is left of
 * it. */
static apr_status_t drop_row(cs_lane_t *lane, cs_work_t *work, cs_job_t *broken, apr_pool_t *p,
                             cs_result_t *res)
{
    cs_lease_t lease = cs_lane_lease(lane);
    cs_batch_t *b = new_batch(lane, p);
    cs_change_t *change = cs_batch_change(b, CS_CHANGE_WORK_DONE);

    change->work = work;
    change->value = work->wanted;
    if (broken) {
        cs_batch_change(b, CS_CHANGE_JOB)->job = broken;
    }
    return cs_store_write(lane->store, &lease, b->changes, p, res);
}

static apr_status_t give_up_broken(cs_lane_t *lane, cs_work_t *work, const char *id, apr_pool_t *p,
                                   cs_result_t *res)
{
    cs_job_t *job = apr_pcalloc(p, sizeof(*job));
    const char *why = apr_psprintf(p, "what was kept of this job cannot be read: %s",
                                   res->detail ? res->detail : "it is damaged");

    cs_log(CS_LOG_ERR, 0, lane->site->name, CSLOGNO(2403) "job %s is given up: %s", id, why);
    cs_result_clear(res);
    job->site = lane->site->name;
    job->id = id;
    job->state = CS_JOB_FAILED;
    job->result = cs_json_own(json_pack("{s:s}", "error", why), p);
    return drop_row(lane, work, job, p, res);
}

static int is_over(const cs_job_t *job)
{
    return job->state != CS_JOB_WAITING && job->state != CS_JOB_RUNNING;
}

static int is_brief(const cs_job_t *job, apr_pool_t *p)
{
    const cs_job_kind_t *kind = cs_job_kind_of(job->kind, NULL, p);

    return !kind || kind->brief;
}

/* *ptaken grows when it was this job's turn. */
static apr_status_t try_job(cs_lane_t *lane, cs_work_t *work, int brief, int *pmore, int *ptaken,
                            apr_pool_t *p, cs_result_t *res)
{
    const char *id = work->name + sizeof(CS_JOB_NAME) - 1;
    cs_job_t *job = NULL;
    turn_t *turn;
    apr_status_t rv = APR_SUCCESS;

    if (!strncmp(work->name, CS_JOB_NAME, sizeof(CS_JOB_NAME) - 1)) {
        rv = cs_store_job_get(lane->store, lane->site->name, id, &job, p, res);
    }
    if (rv == CS_EPARSE) {
        return give_up_broken(lane, work, id, p, res);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!job || is_over(job)) {
        return drop_row(lane, work, NULL, p, res);
    }
    if (is_brief(job, p) != brief) {
        return APR_SUCCESS;
    }
    ++*ptaken;
    turn = new_turn(lane, job, work, p);
    rv = take(turn, res);
    *pmore |= rv == APR_SUCCESS && turn->ending != WAITS;
    return rv;
}

/* ---- whose turn ---- */

apr_status_t cs_jobs_turn(cs_lane_t *lane, int brief, int *pmore, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *works = NULL;
    apr_status_t rv = cs_store_jobs_due(lane->store, lane->site->name, cs_time_now(), AT_ONCE,
                                        &works, p, res);
    int i, taken = 0, most = brief ? BRIEF_AT_ONCE : 1;

    for (i = 0; rv == APR_SUCCESS && i < works->nelts && taken < most; ++i) {
        rv = try_job(lane, APR_ARRAY_IDX(works, i, cs_work_t *), brief, pmore, &taken, p, res);
    }
    return rv;
}

static int is_called(const cs_lane_t *lane, const cs_work_t *work, apr_pool_t *p)
{
    cs_job_t *job = NULL;

    return !strncmp(work->name, CS_JOB_NAME, sizeof(CS_JOB_NAME) - 1) &&
           cs_store_job_get(lane->store, lane->site->name, work->name + sizeof(CS_JOB_NAME) - 1,
                            &job, p, NULL) == APR_SUCCESS &&
           job && strcmp(job->kind, cs_job_resync.name);
}

int cs_jobs_wait(const cs_lane_t *lane, int most, apr_pool_t *p)
{
    apr_array_header_t *works = NULL;
    int i, called = 0;

    if (cs_store_jobs_due(lane->store, lane->site->name, cs_time_now(), most, &works, p, NULL) !=
        APR_SUCCESS) {
        return 0;
    }
    for (i = 0; i < works->nelts && !called; ++i) {
        called = is_called(lane, APR_ARRAY_IDX(works, i, const cs_work_t *), p);
    }
    return called;
}

int cs_lane_paused(const cs_lane_t *lane)
{
    return lane->paused;
}
