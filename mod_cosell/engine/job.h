/* engine/job.h: long work and what a person asks for: releasing a brake, trying dead work again,
 * resync, doctor, signing in, registering the webhook. (design 3, 7.6)
 *
 * A job is a row of the store and a row of work of kind CS_WORK_JOB that makes it due. Whoever has
 * the site's lane takes it a turn at a time; what a turn did, and where the job stands, is one
 * transaction, so that a killed server goes on with the next turn and repeats at most one. A turn
 * is short: it ends within CS_JOB_TURN, so that live edits never wait for long behind it. Jobs have
 * their turns when the lane's upstreams are suspended or their breakers open, too: some are what
 * mends that.
 *
 * A kind whose `check` is given validates in the child that accepts the wish; `turn` runs in the
 * runner, on the lane's thread.
 */
#ifndef CS_ENGINE_JOB_H
#define CS_ENGINE_JOB_H

#include "batch.h"

#define CS_JOB_TURN apr_time_from_sec(20)
/* A job that ended is kept so long, with its rows. */
#define CS_JOB_KEEP apr_time_from_sec(30 * 86400)
/* Members of progress that everybody who shows one knows: "done" and "of" (integers; "of" absent =
 * not known yet), "rate" (per second), "text" (what it is at), "say" (array of lines for people,
 * newest last, at most CS_JOB_SAY). */
#define CS_JOB_SAY 100

typedef struct cs_job_turn_t {
    cs_batch_t *b; /* lane, pool, now, changes; no items */
    const json_t *arguments;
    json_t *cursor;   /* object; the turn changes it; empty at the first turn */
    json_t *progress; /* object; likewise */
    const char *id;
    const char *user;
    const cs_job_t *job; /* for cs_job_row() */
} cs_job_turn_t;

/* How a turn ends: exactly one of these, else the job has another turn as soon as live work allows.
 */
/* The job is done: result (an object, new reference stolen) says what came of it. */
void cs_job_done(cs_job_turn_t *t, json_t *result);
/* For good: why, for people, and what to do about it. */
void cs_job_failed(cs_job_turn_t *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For good, because there is no such deal or job: result has "missing" true, so that a client can
 * tell. */
void cs_job_not_found(cs_job_turn_t *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Goes on at `at`, because it waits for something; no attempt is counted. */
void cs_job_wait(cs_job_turn_t *t, apr_time_t at);
/* An upstream said so: as looks do, retry with growing pauses, throttled with its own; a class that
 * needs a person fails the job with the reason. */
void cs_job_trouble(cs_job_turn_t *t, const char *upstream, const cs_result_t *result);

/* A line for people into progress. */
void cs_job_say(cs_job_turn_t *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A row of the job: deal 0 = of none. row: an object, new reference stolen. */
void cs_job_row(cs_job_turn_t *t, apr_int64_t deal, json_t *row);
/* A journal line of the site, or of a deal: direction "", action = the job's kind, why ends in the
 * user's name. */
cs_journal_t *cs_job_journal(cs_job_turn_t *t, apr_int64_t deal, const char *outcome,
                             const char *why);

typedef struct cs_job_kind_t {
    const char *name; /* the verb: `do` of cosell-admin */
    /* Names of the members that arguments may have, closed by NULL; `required` must be there. A
     * name is followed by its type: "deal:s" text, "all:b" boolean, "events:a" array of texts,
     * "n:i" integer. Unknown ones, and other types, are refused by name. */
    const char *const *members, *const *required;
    /* NULL, or what else is wrong with arguments whose members are right; pure, in a child. */
    const char *(*check)(const json_t *arguments, apr_pool_t *p);
    /* An error is the store's: the turn is repeated. Nothing of it was stored. */
    apr_status_t (*turn)(cs_job_turn_t *t, cs_result_t *res);
    /* 1 = it writes through the lane and waits while the site is paused by a person. */
    int pauses;
    /* 1 = it is over in a turn, of the store alone: it goes before the looks. */
    int brief;
} cs_job_kind_t;

/* Asks for a look ("deal:5", "pc:<id>"). A person's wish counts as a notice: what was refused is
 * tried again. */
void cs_job_look_at(cs_job_turn_t *t, const char *name);

/* job_kinds.c: all of them, by name, closed by NULL. */
extern const cs_job_kind_t *const cs_job_kinds[];

/* NULL = there is none; *pnames (may be NULL) = "cancel, doctor, ...", for messages. */
const cs_job_kind_t *cs_job_kind_of(const char *name, const char **pnames, apr_pool_t *p);
/* NULL, or what is wrong with arguments for this kind, and what is allowed. Pure. */
const char *cs_job_wrong(const cs_job_kind_t *kind, const json_t *arguments, apr_pool_t *p);

/* One turn for each brief job that is due, or for the one other job that has waited the longest;
 * each in a transaction of its own. Brief ones go before the lane's looks, the others after.
 * *pmore becomes 1 when there is more to do at once. A job whose row cannot be read fails, and
 * stops nothing else. */
apr_status_t cs_jobs_turn(cs_lane_t *lane, int brief, int *pmore, apr_pool_t *p, cs_result_t *res);

/* 1 = one of the first `most` jobs that are due is not such that has turns as long as it lasts and
 * waits for the looks by its nature (a resync). */
int cs_jobs_wait(const cs_lane_t *lane, int most, apr_pool_t *p);

/* The text as a referral's id, in lower case; NULL = it cannot be one. */
const char *cs_job_referral_of(const char *id, apr_pool_t *p);
/* Of what a person names: the number, the referral's, the engagement's or the record's id. *pdeal
 * NULL = none of the site has it. *pmany 1 = more than one has: the job has failed, naming them. */
apr_status_t cs_job_find_deal(cs_job_turn_t *t, const char *id, cs_deal_t **pdeal, int *pmany,
                              cs_result_t *res);
/* For good, because nothing has the name: which names there could be. */
void cs_job_no_deal(cs_job_turn_t *t, const char *id);

/* job_brief.c: release, pause, resume, cancel, look; job_dead.c: retry, drop. */
extern const cs_job_kind_t cs_job_cancel, cs_job_drop, cs_job_look, cs_job_pause, cs_job_release,
    cs_job_resume, cs_job_retry;
/* job_resync.c, job_show.c */
extern const cs_job_kind_t cs_job_resync, cs_job_show;
/* job_deal.c: what a person decides about a deal. */
extern const cs_job_kind_t cs_job_choose, cs_job_create, cs_job_ignore, cs_job_link, cs_job_resolve,
    cs_job_unlink;
/* job_doctor.c */
extern const cs_job_kind_t cs_job_doctor;
/* job_webhook.c: {action: show, events, register (url, events, overwrite; here =
 * the URL that is taken when none was given or registered before), restore (overwrite) or
 * test}. Result: "text"; "old" and "new" {"url", "events"} or null, as they may be shown; of
 * "events" their names; of "test" "event", "header" and "took". */
extern const cs_job_kind_t cs_job_webhook;

/* job_login.c: signing in to Partner Center. What a sign-in under way has to keep is sealed in the
 * vault under CS_LOGIN_NAME and the job's id; what the browser brings back lies boxed
 * (cs_box_seal()) among the store's secrets under CS_LOGIN_ANSWER and the id, until the job takes
 * it. Its state is "<id>.<random>". Cursor: {"state": SHA-256 of it in hex, "box": the public key
 * in base64, ...}. */
#define CS_LOGIN_NAME "login:"
#define CS_LOGIN_ANSWER "login-answer:"
extern const cs_job_kind_t cs_job_login;

/* 1 while a person has paused the site: looks and polls wait, notices are accepted. (fact
 * CS_FACT_PAUSED) */
int cs_lane_paused(const cs_lane_t *lane);

#endif
