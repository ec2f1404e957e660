/* store/store.h: what must survive, and the argument why it does.
 *
 * Acknowledgement contract. cs_store_accept() returns APR_SUCCESS only after one transaction
 * holding all given notices was committed and synced (SQLite: WAL, synchronous=FULL, so the
 * commit's frame was fsynced into the WAL before COMMIT returned). Whoever answers 2xx only after
 * that loses nothing to kill -9 or power loss at any instant: before the sync nothing was answered
 * and the sender repeats; after it the work row exists and stays due until a settle stores done >=
 * wanted.
 *
 * Crash argument for the runner. Everything a look does outside is preceded by a stored intent and
 * followed by a settle. A crash before the intent repeats the look; between intent and settle the
 * next look finds the intent and the row it reserved (its id is derived, so a repeated create finds
 * itself); after settle there is nothing left to do. Every write of the runner carries its lease's
 * epoch and changes nothing when the epoch is no longer its own (CS_ELEASE).
 *
 * Handles. One handle belongs to one thread at a time. Open it after the fork, in the process that
 * uses it; never carry it over a fork. A handle that met an error reopens by itself at its next
 * use; the error is never retried silently inside one call. Root opens nothing here. Every call may
 * block for at most the handle's `busy` time plus one disk sync.
 *
 * Errors of every call: CS_EBUSY (locked too long; try again), CS_EFULL, CS_EREADONLY, CS_EIO,
 * CS_ECORRUPT, CS_EMISSING, CS_ESCHEMA, CS_ELEASE, or APR's; res (may be NULL) says it in words
 * that name the file and the cause. All times are cs_time_now() microseconds; all strings UTF-8;
 * results live in the pool p of the call.
 */
#ifndef CS_STORE_STORE_H
#define CS_STORE_STORE_H

#include "../base/result.h"
#include "../domain/record.h"

typedef struct cs_store_t cs_store_t;

typedef struct cs_store_config_t {
    const char *kind;      /* "sqlite"; "pgsql" is refused at configtest until it is built */
    const char *conninfo;  /* pgsql only */
    const char *state_dir; /* absolute; holds cosell.db, store.lock, node, runner.lock, secret.key,
                              certs/ */
    apr_interval_time_t keep_journal; /* CosellRetention */
    apr_interval_time_t keep_delivery;
} cs_store_config_t;

typedef enum {
    CS_STORE_WRITER, /* children's committer and the runner's lanes; creates or migrates the schema
                        under store.lock */
    CS_STORE_READER  /* pages: read-only, each call ended after 250 ms with CS_ETIMEOUT */
} cs_store_mode_e;

/* The handle lives until p ends or cs_store_close(). Opening is lazy: success says nothing about
 * the file, the first call does. The first opener writes <state>/node (a random id, the lease
 * owner's name) if the directory holds neither node nor database. */
apr_status_t cs_store_open(cs_store_t **pstore, const cs_store_config_t *cfg, cs_store_mode_e mode,
                           apr_pool_t *p, cs_result_t *res);
void cs_store_close(cs_store_t *store);
/* Opens now, checks pragmas and schema, runs a trivial read: is the store usable? */
apr_status_t cs_store_check(cs_store_t *store, apr_pool_t *ptemp, cs_result_t *res);
/* This node's random id (content of <state>/node), in p. */
apr_status_t cs_store_node(cs_store_t *store, const char **pnode, apr_pool_t *p, cs_result_t *res);

/* ---- accepting ---- */

/* Kinds of work. */
#define CS_WORK_LOOK "look" /* name "pc:<guid>", "<crm>:<id>" until resolved, then "deal:<id>" */
#define CS_WORK_POLL "poll"
#define CS_WORK_SWEEP "sweep"
#define CS_WORK_WATCH "registration watch"
#define CS_WORK_JOB "job"

typedef struct cs_notice_t {
    const char *site;
    const char *source; /* "pc" or the CRM's name */
    const char *event;  /* "referral-updated" */
    apr_time_t received;
    const char *digest;  /* SHA-256 hex of the raw body */
    const char *problem; /* accepted, but ...; NULL = none */
    const char *body;    /* NULL unless bodies are kept on request */
    const char *kind;    /* kind of work asked for; NULL = none (test events, unknown names) */
    apr_array_header_t *
        names; /* const char *: names to look at; may be empty; never split over two transactions */
    /* const char *, beside names: the table a CRM's row is of; kept with the work row (its hints'
     * member CS_HINT_TABLE "<table>"). NULL = none. */
    apr_array_header_t *tables;
    const char *system; /* of the hint: "pc" */
    apr_time_t hint;    /* the version the notice speaks of; 0 = unknown */
    /* The W3C traceparent that came with it, valid or NULL: kept with the work row until its look
     * (cs_work_t.trace); the newest wins. */
    const char *trace;
    /* NULL, or the job that is asked for: stored with the row of kind CS_WORK_JOB that names[0]
     * (CS_JOB_NAME and the job's id) makes due, in the same transaction. Its state is WAITING. */
    const struct cs_job_t *job;
} cs_notice_t;

/* One durable transaction for all n notices: appends a delivery per notice and, per name,
 * upserts its work row: wanted + 1, hint = newest, and when the row was dead, held by a brake or
 * had nothing outstanding: due = received, attempts = 0, problem cleared. All or nothing. */
apr_status_t cs_store_accept(cs_store_t *store, const cs_notice_t *const *notices, int n,
                             apr_pool_t *ptemp, cs_result_t *res);

/* ---- jobs: what a person asked for (engine/job.h says which kinds there are) ---- */

/* The work row of a job: kind CS_WORK_JOB, this and the job's id. */
#define CS_JOB_NAME "job:"
#define CS_JOB_ID_LEN 16 /* hexadecimal, random: whoever asks knows it before it is stored */

typedef enum {
    CS_JOB_WAITING = 0,
    CS_JOB_RUNNING,
    CS_JOB_DONE,     /* result says what came of it */
    CS_JOB_FAILED,   /* result's "error" says why */
    CS_JOB_CANCELLED /* by a person; what was done stays done */
} cs_job_state_e;

typedef struct cs_job_t {
    const char *site, *id;
    const char *kind; /* "resync" */
    const char *user; /* who asked */
    cs_job_state_e state;
    json_t *arguments; /* as asked for; never NULL */
    json_t *cursor;    /* where it stands, for its own eyes; NULL = at its beginning */
    json_t *progress;  /* for people: {"done", "of", "text", ...}; NULL = nothing yet */
    json_t *result;    /* NULL until it ends */
    apr_time_t created, updated;
} cs_job_t;

/* *pjob NULL when there is none. CS_EPARSE = not all of it can be read: *pjob is what can, a job
 * that failed and has the reason as its result. */
apr_status_t cs_store_job_get(cs_store_t *store, const char *site, const char *id, cs_job_t **pjob,
                              apr_pool_t *p, cs_result_t *res);
/* Newest first, at most max, without cursors; damaged ones as above: cs_job_t * in p. */
apr_status_t cs_store_job_list(cs_store_t *store, const char *site, int max,
                               apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* A line that a job said of a deal: its diff, what is wrong there. */
typedef struct cs_job_row_t {
    apr_int64_t n;    /* 1, 2, ... within the job */
    apr_int64_t deal; /* 0 = of none */
    json_t *row;
} cs_job_row_t;
/* Rows above `after`, in order, at most max: cs_job_row_t * in p. */
apr_status_t cs_store_job_rows(cs_store_t *store, const char *site, const char *id,
                               apr_int64_t after, int max, apr_array_header_t **plist,
                               apr_pool_t *p, cs_result_t *res);

/* ---- lanes ---- */

typedef struct cs_lease_t {
    const char *site;
    const char *owner; /* node id */
    apr_int64_t epoch;
    apr_time_t until;
} cs_lease_t;

/* Takes the site's lane for `ttl` when it is free, expired, or owned by this very node (whose
 * runner.lock the caller holds); raises the epoch. APR_EBUSY with the owner and its `until` in
 * *lease when another node holds it. */
apr_status_t cs_store_lease_take(cs_store_t *store, const char *site, const char *owner,
                                 apr_interval_time_t ttl, apr_time_t now, cs_lease_t *lease,
                                 apr_pool_t *p, cs_result_t *res);
/* Moves `until` WHERE epoch = mine. CS_ELEASE when it is not. */
apr_status_t cs_store_lease_renew(cs_store_t *store, cs_lease_t *lease, apr_interval_time_t ttl,
                                  apr_time_t now, apr_pool_t *ptemp, cs_result_t *res);
apr_status_t cs_store_lease_release(cs_store_t *store, const cs_lease_t *lease, apr_pool_t *ptemp,
                                    cs_result_t *res);

/* ---- claiming ---- */

typedef enum { CS_WORK_READY = 0, CS_WORK_DEAD, CS_WORK_SUSPENDED } cs_work_state_e;

/* Members of `hints` that name no system: why a look is asked for though no notice came in. A
 * notice that does come in removes them (design 6: never the deals' own notices). */
#define CS_CAUSE "cause:"
#define CS_CAUSE_MAPPING CS_CAUSE "mapping" /* the mapping changed */
#define CS_CAUSE_AGAIN CS_CAUSE "again"     /* a planned look at what waits or was refused */
#define CS_CAUSE_SWEEP CS_CAUSE "sweep" /* a regular look */
#define CS_CAUSE_POLL CS_CAUSE "poll"   /* a poll found a change: counts as a notice */
/* Member of `hints` of a CRM's row that no deal knows: its table. A deal's own row has none. */
#define CS_HINT_TABLE "table:"
/* First letters of the pseudo-upstreams that are brakes: nobody probes them. */
#define CS_BRAKE "brake:"

typedef struct cs_work_t {
    const char *site, *kind, *name;
    apr_int64_t wanted, done; /* outstanding while wanted > done */
    apr_int64_t seen;         /* <= wanted: beyond it (and beyond done) are notices that no look has
                                 worked on yet; repeats of a look and planned looks are below it */
    json_t *hints;            /* {"pc": microseconds, ...} newest version per system; never NULL */
    const char *damaged;      /* the row's hints could not be read: why; NULL = they could */
    apr_time_t first;         /* when the oldest outstanding notice came in */
    apr_time_t due;
    int attempts;
    cs_work_state_e state;
    const char *upstream; /* SUSPENDED: waits for this upstream of the site */
    const char *problem_class, *problem, *detail; /* of the last attempt; NULL = none */
    const char *trace; /* traceparent of the newest notice that had one; NULL = none */
} cs_work_t;

/* For each of the site names: does it have ready work, or a deal's next look, due at `now`?
 * *pnext (may be NULL) = earliest due time over all of them, 0 = none. Returned in p: const char
 * * of the sites with due work, oldest due first. */
apr_status_t cs_store_sites_due(cs_store_t *store, const apr_array_header_t *sites, apr_time_t now,
                                apr_array_header_t **pdue, apr_time_t *pnext, apr_pool_t *p,
                                cs_result_t *res);
/* First folds, in one transaction under the lease, look rows whose name has an alias into the
 * deal's own row "deal:<id>" (wanted summed, newest hint per system, earliest due; a dead row wakes
 * up; a row that waits for its next attempt keeps waiting, as in cs_store_accept(); the name's row
 * goes), due rows only, and delivery repeats (same digest) are folded too, at most 500 rows.
 * Then returns at most max ready rows due at `now`, oldest due first, of any kind but jobs:
 * cs_work_t * in p. A name that has an alias is never among them, also when it came in since the
 * folding: it stays due for the next claim, or its deal would be read for both in one batch.
 * Nothing is marked: the lease is the mark. */
apr_status_t cs_store_claim(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                            apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res);
/* The same of jobs alone, and without folding: however many wait, looks and polls keep their places
 * in a claim. */
apr_status_t cs_store_jobs_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                               apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res);
/* Reads wanted, seen, first and hints of these rows again (a plain read): what has come in since
 * the claim. Rows gone keep their values. */
apr_status_t cs_store_refresh(cs_store_t *store, apr_array_header_t *works, apr_pool_t *p,
                              cs_result_t *res);

/* 1 when notices are outstanding that no look has worked on. */
int cs_work_notified(const cs_work_t *work);

/* ---- deals ---- */

/* A deal whose documents cannot be read is CS_EPARSE with the reason, and no sign of a damaged
 * file: only this deal waits for a person. */
/* The deal with this external id, or *pdeal = NULL. */
apr_status_t cs_store_deal_find(cs_store_t *store, const char *site, const char *system,
                                const char *external_id, cs_deal_t **pdeal, apr_pool_t *p,
                                cs_result_t *res);
/* Deals that any of these names ("<system>:<external id>", const char *, the first
 * CS_STORE_NAMES_MAX of them count) belongs to: cs_deal_t *, by ascending number, at most as many
 * as names. */
#define CS_STORE_NAMES_MAX 10
apr_status_t cs_store_deals_named(cs_store_t *store, const char *site,
                                  const apr_array_header_t *names, apr_array_header_t **plist,
                                  apr_pool_t *p, cs_result_t *res);
apr_status_t cs_store_deal_load(cs_store_t *store, const char *site, apr_int64_t id,
                                cs_deal_t **pdeal, apr_pool_t *p, cs_result_t *res);

/* Deals of CRM `crm`, or of none yet, that were last looked at under another mapping than
 * `digest` and may still change (not closed, unlinked or gone): ids (apr_int64_t) above *pafter
 * in their order, at most max, from a bounded number of rows. *pafter moves to the last row that
 * was looked at; *pleft != 0 while there are rows behind it. */
apr_status_t cs_store_deals_of_mapping(cs_store_t *store, const char *site, const char *crm,
                                       const char *digest, int max, apr_int64_t *pafter,
                                       apr_array_header_t **pids, int *pleft, apr_pool_t *p,
                                       cs_result_t *res);
/* Deals whose sides are kept the same (new, linked), of CRM `crm` (NULL = any), by ascending id
 * above *pafter: as cs_store_deals_of_mapping(). */
apr_status_t cs_store_deals_open(cs_store_t *store, const char *site, const char *crm, int max,
                                 apr_int64_t *pafter, apr_array_header_t **pids, int *pleft,
                                 apr_pool_t *p, cs_result_t *res);
/* Deals whose record shows this row (CS_CHANGE_WATCH): ids (apr_int64_t) above `after` in their
 * order, at most max. */
apr_status_t cs_store_watchers(cs_store_t *store, const char *site, const char *crm,
                               const char *row, apr_int64_t after, int max,
                               apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res);
/* A cursor's text and when it was stored; *ptext NULL when there is none. */
apr_status_t cs_store_cursor_get(cs_store_t *store, const char *site, const char *name,
                                 const char **ptext, apr_time_t *pupdated, apr_pool_t *p,
                                 cs_result_t *res);
/* Deals whose next look is due at `now`: ids (apr_int64_t), the longest due first, at most max. */
apr_status_t cs_store_deals_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                                apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res);

/* ---- the guarded transaction: everything the runner changes ---- */

typedef enum {
    CS_CHANGE_DEAL,    /* deal: inserts (id 0: the new id is written into it) or replaces the row */
    CS_CHANGE_ALIAS,   /* deal, system, name: (site, system, external id) -> deal; CS_ESTALE when it
                          belongs to another deal */
    CS_CHANGE_FOLD,    /* deal, work: the name's row goes into "deal:<id>" as in claim, and *work
                          becomes that row (name, wanted, done, hints), in ptemp of the call */
    CS_CHANGE_JOURNAL, /* journal; its deal id is taken from `deal` when that is set */
    CS_CHANGE_WORK_DONE, /* work, value = done: sets done; attempts 0, problem cleared; the row goes
                            when done >= wanted; else due = `at` */
    CS_CHANGE_WORK_LATER, /* work, at = due, result: attempts, state, problem from work; done
                             unchanged, except that value > done sets it; seen rises to work's.
                             A row that would be dead or held by a brake is ready if notices came in
                             that are not seen.
                             A row that has nothing outstanding then is claimed at `at` all the
                             same; a row that is not there is stored: nothing is lost */
    CS_CHANGE_WORK_ADD, /* work: upsert of (site, kind, name) with wanted + 1 and due = the earlier
                           of both; for polls, next looks. It counts as seen: it is no notice. A
                           row that was dead wakes up and keeps its problem. With the hint
                           CS_CAUSE_POLL it counts as a notice in all respects; with CS_CAUSE_SWEEP
                           it changes nothing of a row that is dead, suspended or outstanding */
    CS_CHANGE_WORK_TIMER, /* work, value = done, at = next time: as WORK_DONE, and the row stays (or
                             is made) with nothing outstanding, forgets why it was asked for, and is
                             due at `at`; at once when more was asked for meanwhile */
    CS_CHANGE_SUSPEND,  /* system = upstream, result: the (site, upstream) is suspended with its
                           reason; probe at `at` */
    CS_CHANGE_RESUME,   /* system = upstream: its suspended work becomes ready and due at `at` */
    CS_CHANGE_META,     /* name, text: per-site fact ("organization"); text NULL removes */
    CS_CHANGE_CURSOR, /* name, text, at: commits with the work it produced; text NULL removes */
    CS_CHANGE_WATCH,  /* deal, system = CRM, rows = json object {"<row id>": "<table>"}: what the
                         deal's record shows from now on instead of what it showed. A deal that is
                         gone shows nothing, from CHANGE_DEAL on */
    CS_CHANGE_NEXT_LOOK, /* value = id of a deal, at = its next look, 0 = none */
    CS_CHANGE_MERGE,     /* deal survives, value = id of the deal that goes: its aliases, journal
                            and work are the survivor's from now on */
    CS_CHANGE_JOB,       /* job: state, cursor, progress and result replace the row's; updated =
                            `at`. A job that a person cancelled meanwhile stays so, and one that
                            ended otherwise is cancelled no more; one that is not there stays so */
    CS_CHANGE_JOB_ROW,   /* job, value = deal or 0, rows = the row: appended with the next n */
    CS_CHANGE_ALIAS_DROP /* deal, system, name: the alias goes when it is the deal's */
} cs_change_e;

typedef struct cs_change_t {
    cs_change_e kind;
    cs_deal_t *deal;
    cs_work_t *work;
    cs_journal_t *journal;
    const char *system;
    const char *name;
    const char *text;
    const json_t *rows;
    const cs_job_t *job;
    apr_int64_t value;
    apr_time_t at;
    const cs_result_t *result;
} cs_change_t;

/* All changes in order, in one durable transaction WHERE epoch = mine; CS_ELEASE and nothing
 * changed when the lease is lost. */
apr_status_t cs_store_write(cs_store_t *store, const cs_lease_t *lease,
                            const apr_array_header_t *changes /* cs_change_t */, apr_pool_t *ptemp,
                            cs_result_t *res);

/* Per-site fact; *ptext NULL when absent. */
apr_status_t cs_store_meta_get(cs_store_t *store, const char *site, const char *name,
                               const char **ptext, apr_pool_t *p, cs_result_t *res);

/* Suspended upstreams of a site: cs_suspended_t in p. */
typedef struct cs_suspended_t {
    const char *site, *upstream, *problem, *detail;
    apr_time_t since, probe;
} cs_suspended_t;
apr_status_t cs_store_suspended(cs_store_t *store, const char *site /* NULL = all */,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);

/* ---- secrets: sealed bytes, compare-and-swap ---- */

/* *pversion 0 and *psealed NULL when absent. */
apr_status_t cs_store_secret_get(cs_store_t *store, const char *site, const char *name,
                                 const unsigned char **psealed, apr_size_t *plen,
                                 apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res);
/* Stores version + 1 if the stored version is `version` (0 = absent), else CS_ESTALE. */
apr_status_t cs_store_secret_put(cs_store_t *store, const char *site, const char *name,
                                 const unsigned char *sealed, apr_size_t len, apr_int64_t version,
                                 apr_pool_t *ptemp, cs_result_t *res);

/* ---- keeping house ---- */

/* Removes what is older than the retention, at most `max` rows (<= 500) in one transaction; *pleft
 * != 0 when there is more. */
apr_status_t cs_store_prune(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                            int *pleft, apr_pool_t *ptemp, cs_result_t *res);

/* ---- looking in (readers) ---- */

typedef struct cs_store_counts_t {
    apr_int64_t deals, journal;
    apr_int64_t deliveries;                   /* notices kept, folded repeats included */
    apr_int64_t outstanding, dead, suspended; /* work rows; outstanding = ready, but for polls,
                                                 sweeps and the like: they are timers */
    apr_time_t oldest;                        /* first of the oldest outstanding row; 0 = none */
    apr_int64_t bytes, wal_bytes;             /* file sizes */
} cs_store_counts_t;
/* site NULL = all. Counts of deals, journal, deliveries may come from a kept total, never from a
 * scan of a large table. */
apr_status_t cs_store_counts(cs_store_t *store, const char *site, cs_store_counts_t *counts,
                             apr_pool_t *ptemp, cs_result_t *res);
/* Work rows, most urgent first, at most max: state < 0 = any. cs_work_t * in p. */
apr_status_t cs_store_work_list(cs_store_t *store, const char *site, int state, int max,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* Deals, newest change first, id < before (0 = from the newest), at most max. cs_deal_t * in p. */
apr_status_t cs_store_deal_list(cs_store_t *store, const char *site, int max,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* Journal, newest first; deal 0 = of the whole site. cs_journal_t * in p. */
apr_status_t cs_store_journal_list(cs_store_t *store, const char *site, apr_int64_t deal, int max,
                                   apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* The same from anywhere: after != 0: lines above that id, oldest first; else before != 0: lines
 * below that id, newest first; both 0: the newest. */
apr_status_t cs_store_journal_page(cs_store_t *store, const char *site, apr_int64_t deal,
                                   apr_int64_t after, apr_int64_t before, int max,
                                   apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);

/* Deals by what a person looks for; a page of them, newest change first (with `search`: by words
 * and then by number, with `cause`: by number, the newest first). A deal that changes meanwhile may
 * move to the front; none that stays where it is is left out or comes twice. */
typedef struct cs_deal_query_t {
    int state;          /* cs_deal_state_e, -1 = any */
    const char *search; /* words of the title (each may be the beginning of one; the first 16 of a
                           title are kept), or an id: of the referral, the engagement, the record
                           (or its beginning), the deal ("17", "#17"); NULL = any */
    const char *cause;  /* cs_cause_t.cause; NULL = any */
    const char *after;  /* cs_deal_page_t.next of the page before; NULL = from the beginning */
    int max;
} cs_deal_query_t;
typedef struct cs_deal_page_t {
    apr_array_header_t *deals; /* cs_deal_t *, without images, intent, told, posted, explain */
    const char *next;          /* NULL = that was the last; a page may be empty and not the last */
} cs_deal_page_t;
/* Looks at a bounded number of rows, however many deals there are. APR_EINVAL for an `after`
 * that is none. */
apr_status_t cs_store_deal_page(cs_store_t *store, const char *site, const cs_deal_query_t *query,
                                cs_deal_page_t *page, apr_pool_t *p, cs_result_t *res);
/* Deals of each state, by cs_deal_state_e; kept totals. */
#define CS_DEAL_STATES 8
apr_status_t cs_store_deal_totals(cs_store_t *store, const char *site,
                                  apr_int64_t totals[CS_DEAL_STATES], apr_pool_t *ptemp,
                                  cs_result_t *res);

/* What stands in the way of deals, and of how many: kept totals, written with the rows they count.
 * A deal's causes are cs_deal_t.causes; a dead work row is one more, of whatever it names. */
typedef struct cs_cause_t {
    const char *cause; /* key, stable: "waits Account>Country", "dead crm:0x80040237" */
    const char *text;  /* for people: "Account > Country is empty" */
    apr_int64_t n;     /* deals, or names whose look is dead */
    apr_time_t since;  /* when the first of them came */
    int dead;          /* 1 = looks that were given up: they can be retried and dropped */
} cs_cause_t;
/* The largest first, at most max: cs_cause_t * in p. */
apr_status_t cs_store_causes(cs_store_t *store, const char *site, int max,
                             apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* Dead work rows of one cause (NULL = of any), by name above `after` (NULL = from the first), at
 * most max: cs_work_t * in p. */
apr_status_t cs_store_dead(cs_store_t *store, const char *site, const char *cause,
                           const char *after, int max, apr_array_header_t **plist, apr_pool_t *p,
                           cs_result_t *res);
/* The outstanding or dead work row of one deal, or NULL. */
apr_status_t cs_store_work_of_deal(cs_store_t *store, const char *site, apr_int64_t deal,
                                   cs_work_t **pwork, apr_pool_t *p, cs_result_t *res);
/* A notice as it was accepted; repeats are folded into the first of them. */
typedef struct cs_delivery_t {
    apr_int64_t id;
    const char *source, *event;
    const char *names; /* each on a line; NULL = none */
    apr_time_t received;
} cs_delivery_t;
/* How many of the newest notices, of all sites, are looked through. */
#define CS_DELIVERY_WINDOW 5000
/* Those of a source that came in at `since` or later, newest first, at most max: cs_delivery_t * in
 * p. event NULL = of any. */
apr_status_t cs_store_deliveries(cs_store_t *store, const char *site, const char *source,
                                 const char *event, apr_time_t since, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
/* The work row of this name, whatever its state, or NULL. */
apr_status_t cs_store_work_named(cs_store_t *store, const char *site, const char *kind,
                                 const char *name, cs_work_t **pwork, apr_pool_t *p,
                                 cs_result_t *res);

#endif
