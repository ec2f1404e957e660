/* engine/job_brief.c: what a person asks for that is done in a turn: releasing a brake, pausing and
 * resuming the site, looking at a deal now, cancelling a job. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "ahead.h"
#include "job.h"
#include "named.h"

static const char *const no_members[] = {NULL};

static void done(cs_job_turn_t *t, const char *text)
{
    cs_job_done(t, json_pack("{s:s}", "text", text));
}

/* ---- release {brake} ---- */

static apr_status_t release(cs_job_turn_t *t, cs_result_t *res)
{
    const char *brake = cs_json_str(t->arguments, "brake"), *text;
    cs_batch_t *b = t->b;

    (void)res;
    text = apr_psprintf(b->p, "brake \"%s\" released", brake);
    if (!cs_brake_release_quarrel(b, brake) &&
        !cs_brake_release(b->lane, brake, b->now, b->changes, b->p)) {
        cs_job_journal(t, 0, "refused",
                       apr_psprintf(b->p, "there is no brake \"%s\" to be released", brake));
        cs_job_failed(t, "there is no brake \"%s\"", brake);
        return APR_SUCCESS;
    }
    cs_job_journal(t, 0, "done", text);
    cs_log(CS_LOG_NOTICE, 0, b->lane->site->name,
           CSLOGNO(2095) "brake \"%s\" is released by %s", brake, t->user);
    done(t, text);
    return APR_SUCCESS;
}

static const char *const release_members[] = {"brake:s", NULL};
static const char *const release_required[] = {"brake", NULL};
const cs_job_kind_t cs_job_release = {"release", release_members, release_required,
                                      NULL,      release,         0,
                                      1};

/* What a person asked for is to be done now; whoever it waits for is asked, too. */
static const char *when_looked_at(cs_job_turn_t *t, const char *what)
{
    const char *waits = cs_lane_waits_for(t->b->lane, t->b->p);

    cs_lane_ask_again(t->b->lane);
    if (cs_lane_paused(t->b->lane)) {
        return apr_psprintf(t->b->p, "%s once the site is resumed", what);
    }
    return waits ? apr_psprintf(t->b->p, "%s as soon as %s works again, which is asked now", what,
                                waits)
                 : apr_psprintf(t->b->p, "%s now", what);
}

/* ---- pause {why}, resume ---- */

static apr_status_t pause_site(cs_job_turn_t *t, cs_result_t *res)
{
    const char *why = cs_json_str(t->arguments, "why");
    cs_batch_t *b = t->b;
    json_t *fact = cs_json_own(json_pack("{s:s, s:I, s:s*}", "by", t->user, "at",
                                         (json_int_t)b->now, "why", why),
                               b->p);

    (void)res;
    if (cs_lane_paused(b->lane)) {
        done(t, "the site was paused already");
        return APR_SUCCESS;
    }
    b->lane->paused = 1;
    cs_lane_fact(CS_FACT_PAUSED, cs_json_print(fact, b->p), b->changes);
    cs_job_journal(t, 0, "done", why ? apr_pstrcat(b->p, "paused (", why, ")", NULL) : "paused");
    cs_log(CS_LOG_NOTICE, 0, b->lane->site->name,
           CSLOGNO(2401) "paused by %s: notices are accepted, nothing is looked at%s%s", t->user,
           why ? ": " : "", why ? why : "");
    done(t, "the site is paused: notices are accepted and wait");
    return APR_SUCCESS;
}

static const char *const pause_members[] = {"why:s", NULL};
const cs_job_kind_t cs_job_pause = {"pause", pause_members, NULL, NULL, pause_site, 0, 1};

static apr_status_t resume_site(cs_job_turn_t *t, cs_result_t *res)
{
    cs_batch_t *b = t->b;

    (void)res;
    if (!cs_lane_paused(b->lane)) {
        done(t, when_looked_at(t, "the site was not paused; what waits is looked at"));
        return APR_SUCCESS;
    }
    b->lane->paused = 0;
    cs_lane_fact(CS_FACT_PAUSED, NULL, b->changes);
    cs_job_journal(t, 0, "done", "resumed");
    cs_log(CS_LOG_NOTICE, 0, b->lane->site->name, CSLOGNO(2402) "resumed by %s", t->user);
    done(t, when_looked_at(t, "the site goes on: what has waited is looked at"));
    return APR_SUCCESS;
}

const cs_job_kind_t cs_job_resume = {"resume", no_members, NULL, NULL, resume_site, 0, 1};

/* ---- look {id} ---- */

const char *cs_job_referral_of(const char *id, apr_pool_t *p)
{
    int may_be = strlen(id) == 36 && strspn(id, "0123456789abcdefABCDEF-") == 36;

    return may_be ? cs_named_id(NULL, -1, id, p) : NULL;
}

apr_status_t cs_job_find_deal(cs_job_turn_t *t, const char *id, cs_deal_t **pdeal, int *pmany,
                              cs_result_t *res)
{
    cs_lane_t *lane = t->b->lane;
    apr_array_header_t *list = NULL;
    apr_status_t rv = cs_named_find(lane->store, lane->site, id, &list, t->b->p, res);

    *pdeal = NULL;
    *pmany = rv == APR_SUCCESS && list->nelts > 1;
    if (*pmany) {
        cs_job_failed(t, "%s", cs_named_several(list, id, t->b->p));
    }
    else if (rv == APR_SUCCESS && list->nelts) {
        *pdeal = APR_ARRAY_IDX(list, 0, cs_deal_t *);
    }
    return rv;
}

void cs_job_no_deal(cs_job_turn_t *t, const char *id)
{
    cs_job_not_found(t, "no deal has the number, referral, engagement or record id \"%.80s\"", id);
}

void cs_job_look_at(cs_job_turn_t *t, const char *name)
{
    cs_work_t *work = apr_pcalloc(t->b->p, sizeof(*work));

    work->site = t->b->lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->hints = cs_json_own(json_pack("{s:i}", CS_CAUSE_POLL, 1), t->b->p);
    work->first = work->due = t->b->now;
    cs_batch_change(t->b, CS_CHANGE_WORK_ADD)->work = work;
}

static apr_status_t look(cs_job_turn_t *t, cs_result_t *res)
{
    const char *id = cs_json_str(t->arguments, "id");
    const char *referral = cs_job_referral_of(id, t->b->p);
    cs_deal_t *deal;
    int many;
    apr_status_t rv = cs_job_find_deal(t, id, &deal, &many, res);

    if (rv != APR_SUCCESS || many) {
        return rv;
    }
    if (deal) {
        cs_job_look_at(t, apr_psprintf(t->b->p, "deal:%" APR_INT64_T_FMT, deal->id));
    }
    else if (referral) {
        cs_job_look_at(t, apr_pstrcat(t->b->p, CS_SYSTEM_PC ":", referral, NULL));
    }
    else {
        cs_job_no_deal(t, id);
        return rv;
    }
    done(t, when_looked_at(t, "it is looked at"));
    return rv;
}

static const char *const look_members[] = {"id:s", NULL};
static const char *const look_required[] = {"id", NULL};
const cs_job_kind_t cs_job_look = {"look", look_members, look_required, NULL, look, 0, 1};

/* ---- cancel {job} ---- */

static apr_status_t forget_work(cs_job_turn_t *t, const cs_job_t *job, cs_result_t *res)
{
    const char *name = apr_pstrcat(t->b->p, CS_JOB_NAME, job->id, NULL);
    cs_work_t *work = NULL;
    apr_status_t rv = cs_store_work_named(t->b->lane->store, t->b->lane->site->name, CS_WORK_JOB,
                                          name, &work, t->b->p, res);

    if (rv == APR_SUCCESS && work) {
        cs_change_t *change = cs_batch_change(t->b, CS_CHANGE_WORK_DONE);
        change->work = work;
        change->value = work->wanted;
    }
    return rv;
}

static apr_status_t cancel_it(cs_job_turn_t *t, cs_job_t *job, cs_result_t *res)
{
    cs_batch_t *b = t->b;

    job->state = CS_JOB_CANCELLED;
    job->result = cs_json_own(
        json_pack("{s:s}", "text",
                  apr_psprintf(b->p, "cancelled by %s; what was done stays done", t->user)),
        b->p);
    cs_batch_change(b, CS_CHANGE_JOB)->job = job;
    cs_brake_end_job(b->lane, job->id, b->changes, b->p);
    cs_ahead_drop(b->lane);
    cs_job_journal(t, 0, "done",
                   apr_psprintf(b->p, "job %s (%s) cancelled", job->id, job->kind));
    done(t, apr_psprintf(b->p, "job %s is cancelled", job->id));
    return forget_work(t, job, res);
}

static apr_status_t cancel(cs_job_turn_t *t, cs_result_t *res)
{
    const char *id = cs_json_str(t->arguments, "job");
    cs_job_t *job = NULL;
    apr_status_t rv = cs_store_job_get(t->b->lane->store, t->b->lane->site->name, id, &job,
                                       t->b->p, res);

    if (rv == CS_EPARSE && job) {
        cs_result_clear(res); /* a damaged one fails by itself */
        rv = APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!job) {
        cs_job_not_found(t, "there is no job \"%.40s\"", id);
    }
    else if (job->state != CS_JOB_WAITING && job->state != CS_JOB_RUNNING) {
        done(t, apr_psprintf(t->b->p, "job %s is over already", job->id));
    }
    else {
        rv = cancel_it(t, job, res);
    }
    return rv;
}

static const char *const cancel_members[] = {"job:s", NULL};
static const char *const cancel_required[] = {"job", NULL};
const cs_job_kind_t cs_job_cancel = {"cancel", cancel_members, cancel_required,
                                     NULL,     cancel,         0,
                                     1};
