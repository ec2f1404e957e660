/* base/gauge.h: what is the case right now, and what was in the last hours, in the shared memory of
 * counter.h: written by the runner, read by pages, cosell-metrics and mod_status without store,
 * lock or wait. (design 7.5)
 *
 * One table feeds code, page, metrics and documentation: each gauge is a line of CS_GAUGES.
 * Readers may be in any process and thread; a reader never waits for a writer, and reads a text
 * whole or not at all.
 */
#ifndef CS_BASE_GAUGE_H
#define CS_BASE_GAUGE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <stdatomic.h>

/* ---- what there is to measure ---- */

#define CS_GAUGE_SITES 64
/* CRMs of a site, Partner Center, sign-in and certificates. */
#define CS_GAUGE_UPSTREAMS 12
#define CS_GAUGE_NAME 72 /* a name and its NUL; longer ones are cut */

/* Of what: S = the whole server, T = a site, U = an upstream of a site. */
typedef enum { CS_GAUGE_OF_SERVER = 0, CS_GAUGE_OF_SITE, CS_GAUGE_OF_UPSTREAM } cs_gauge_scope_e;
/* NUMBER is told as it is. AGE holds a time and is told as the seconds since then, TIME as the
 * seconds since 1970. TOTAL only grows: a counter. */
typedef enum { CS_GAUGE_NUMBER = 0, CS_GAUGE_AGE, CS_GAUGE_TIME, CS_GAUGE_TOTAL } cs_gauge_form_e;

/* X(id, scope, form, name of the metric without "cosell_", what it shows and what to do about it)
 */
#define CS_GAUGES(X)                                                                               \
    X(RUNNER_UP, SERVER, NUMBER, "runner_up",                                                      \
      "1 while the runner works; 0: notices are accepted and nothing is looked at")                \
    X(WATCHED, SERVER, AGE, "watch_age_seconds",                                                   \
      "how old these gauges are: the runner takes them every few seconds")                         \
    X(STORE_UP, SERVER, NUMBER, "store_up", "1 while the store can be read and written")           \
    X(STORE_BYTES, SERVER, NUMBER, "store_bytes", "size of the store's file")                      \
    X(STORE_WAL_BYTES, SERVER, NUMBER, "store_wal_bytes",                                          \
      "size of the store's log; above 100 MB a reader has been left open for long")                \
    X(STORE_FREE_BYTES, SERVER, NUMBER, "store_free_bytes", "free space where CosellStateDir is")  \
    X(NOTIFY_CALLS, SERVER, TOTAL, "notify_calls_total",                                           \
      "commands run and documents sent for CosellNotify")                                          \
    X(NOTIFY_FAILED, SERVER, TOTAL, "notify_failed_total",                                         \
      "of those, the ones that failed; the log has the reason")                                    \
    X(BACKLOG, SITE, NUMBER, "backlog", "notices that wait for their look")                        \
    X(BACKLOG_OLDEST, SITE, AGE, "backlog_oldest_seconds",                                         \
      "age of the oldest notice that waits for its look; none while none waits")                   \
    X(DEAD_LOOKS, SITE, NUMBER, "dead_looks",                                                      \
      "looks that were given up and wait for a person: the page of problems has them by cause")    \
    X(LOOKING, SITE, NUMBER, "looks_under_way",                                                    \
      "looks of the batch that is worked on; jobs wait for its end")                               \
    X(SUSPENDED_LOOKS, SITE, NUMBER, "suspended_looks",                                            \
      "looks that wait for a suspended upstream or for a brake")                                   \
    X(BLOCKED, SITE, NUMBER, "blocked_deals",                                                      \
      "deals that wait for somebody: a value, a decision, an answer; one may count several times") \
    X(CAUSES, SITE, NUMBER, "causes", "different causes that deals or dead looks wait for")        \
    X(HELD, SITE, NUMBER, "held_brakes",                                                           \
      "brakes that hold a bulk change until a person releases them")                               \
    X(DEALS, SITE, NUMBER, "deals", "deals that the store knows")                                  \
    X(JOURNAL, SITE, NUMBER, "journal_lines", "lines of the journal")                              \
    X(PAUSED, SITE, NUMBER, "site_paused", "1 while a person has stopped looks and polls")         \
    X(DEGRADED, SITE, NUMBER, "site_degraded",                                                     \
      "1 while the site answers 503 for a reason that the log and the status page name")           \
    X(TOKEN_SIGNED_IN, SITE, AGE, "token_age_seconds",                                             \
      "time since the sign-in that the refresh token comes from")                                  \
    X(TOKEN_ROTATED, SITE, AGE, "token_rotation_age_seconds",                                      \
      "time since the refresh token was last rotated; it dies 90 days after")                      \
    X(WEBHOOK_OK, SITE, NUMBER, "webhook_registered",                                              \
      "1 while Partner Center's webhook is as we registered it, 0 when somebody changed it")       \
    X(EXPIRING, SITE, NUMBER, "expiring_referrals",                                                \
      "referrals that nobody has answered and that expire within three days")                      \
    X(SUSPENDED, UPSTREAM, NUMBER, "upstream_suspended",                                           \
      "1 while the upstream waits for a person; an alert says what to do")                         \
    X(BREAKER, UPSTREAM, NUMBER, "breaker_open",                                                   \
      "1 while nothing is sent to the upstream because it does not work")                          \
    X(QUOTA_USED, UPSTREAM, NUMBER, "quota_used_requests", "requests of the day that are used")    \
    X(QUOTA_MOST, UPSTREAM, NUMBER, "quota_limit_requests",                                        \
      "requests of the day that are allowed")                                                      \
    X(QUOTA_KEPT, UPSTREAM, NUMBER, "quota_reserved_requests",                                     \
      "requests of the day that are kept for others")                                              \
    X(HEARD_AT, UPSTREAM, TIME, "last_notice_timestamp_seconds",                                   \
      "when the upstream last sent a notice")                                                      \
    X(HEARD, UPSTREAM, TOTAL, "notices_total", "notices accepted from the upstream")               \
    X(FOUND, UPSTREAM, TOTAL, "found_changes_total",                                               \
      "changes that a poll found and no notice had told of: notices get lost when it grows")       \
    X(FOUND_AT, UPSTREAM, TIME, "last_found_timestamp_seconds",                                    \
      "when a poll last found a change that no notice had told of")

typedef enum {
#define CS_GAUGE_ENUM(id, scope, form, name, text) CS_GAUGE_##id,
    CS_GAUGES(CS_GAUGE_ENUM)
#undef CS_GAUGE_ENUM
        CS_GAUGE_MAX
} cs_gauge_e;

/* How a request to an upstream ended; a batch is one request. X(id, label, text) */
#define CS_OUTCOMES(X)                                                                             \
    X(OK, "ok", "answered as it should")                                                           \
    X(REFUSED, "refused", "4xx: not allowed, not there, not valid")                                \
    X(CONFLICT, "conflict", "409 or 412: somebody else was there before")                          \
    X(THROTTLED, "throttled", "429 or 509: asked to come later")                                   \
    X(FAILED, "failed", "5xx, or it could not be sent")                                            \
    X(UNKNOWN, "unknown", "sent, and no complete answer came")

typedef enum {
#define CS_OUTCOME_ENUM(id, label, text) CS_OUTCOME_##id,
    CS_OUTCOMES(CS_OUTCOME_ENUM)
#undef CS_OUTCOME_ENUM
        CS_OUTCOME_MAX
} cs_outcome_e;

#define CS_GAUGE_UNKNOWN ((apr_int64_t)0x8000000000000000ULL)

const char *cs_gauge_name(cs_gauge_e id); /* "backlog_oldest_seconds" */
const char *cs_gauge_text(cs_gauge_e id);
cs_gauge_scope_e cs_gauge_scope(cs_gauge_e id);
cs_gauge_form_e cs_gauge_form(cs_gauge_e id);
const char *cs_outcome_name(cs_outcome_e outcome);

/* ---- which sites and upstreams there are ---- */

typedef struct cs_gauge_names_t {
    const char *site;
    int n;
    const char *upstreams[CS_GAUGE_UPSTREAMS];
} cs_gauge_names_t;

/* One process, before it forks the others. Names that were there keep what was measured; a name
 * that is not configured any more is forgotten. Sites above CS_GAUGE_SITES are not measured. */
void cs_gauges_layout(const cs_gauge_names_t *sites, int n);
/* Places, for the calls below and for walking through them; -1 = there is none of this name. */
int cs_gauge_site(const char *site);
int cs_gauge_upstream(int site, const char *upstream);
/* The name at a place in p, or NULL when the place is free. */
const char *cs_gauge_site_name(int site, apr_pool_t *p);
const char *cs_gauge_upstream_name(int site, int upstream, apr_pool_t *p);

/* Any thread, any process; relaxed atomics. A place of -1 that the gauge needs is ignored, and
 * reads as unknown. `site` and `upstream` of gauges that are of neither are not looked at. */
void cs_gauge_set(cs_gauge_e id, int site, int upstream, apr_int64_t value);
void cs_gauge_add(cs_gauge_e id, int site, int upstream, apr_int64_t n);
/* CS_GAUGE_UNKNOWN = nobody has measured it; a TOTAL begins at 0. Times are microseconds. */
apr_int64_t cs_gauge_get(cs_gauge_e id, int site, int upstream);

/* A request to an upstream ended so. By name, for it is called once per request sent. */
void cs_call_count(const char *site, const char *upstream, cs_outcome_e outcome);
apr_uint64_t cs_call_get(int site, int upstream, cs_outcome_e outcome);

/* ---- signs of life, and trouble that the runner cannot tell of itself ---- */

/* Who could not use the store. */
typedef enum { CS_TROUBLE_ACCEPT = 0, CS_TROUBLE_RUNNER, CS_TROUBLE_MAX } cs_trouble_e;

/* APR_SUCCESS ends it; costs next to nothing while there is none. Any process. */
void cs_trouble_note(cs_trouble_e who, apr_status_t rv);
/* The status of the newest failure and when it was (cs_time_now()); APR_SUCCESS = none, or it is
 * over. */
apr_status_t cs_trouble_get(cs_trouble_e who, apr_time_t *pat);

/* The runner gives a sign of life, each second. */
void cs_runner_beat(void);
/* 1 = it has given a sign of life within the last seconds. */
int cs_runner_is_alive(void);
/* The watch has looked (engine/runner_watch.h). */
void cs_watch_beat(void);

/* ---- alerts: what needs a person, most urgent first ---- */

#define CS_ALERTS_MAX 64

typedef enum { CS_ALERT_ERROR = 0, CS_ALERT_WARNING } cs_alert_level_e;

typedef struct cs_alert_t {
    const char *site; /* "" = of the whole server */
    const char *what; /* stable key: "store", "suspended:sales", "dead", "webhook:drift" ... */
    cs_alert_level_e level;
    const char *text; /* what is the case, one sentence */
    const char *todo; /* what to do about it, one sentence; "" = it clears by itself */
    apr_time_t since;
} cs_alert_t;

/* Those that are on, of one site and of the whole server (site NULL = of all): cs_alert_t * in p.
 * Empty while no runner has looked yet. That there is no runner, or that the disk does not let it
 * look, the reader finds out by itself: it is one of them. */
apr_array_header_t *cs_alerts_list(const char *site, apr_pool_t *p);
/* The runner alone: what cs_alerts_list() tells from now on; at most CS_ALERTS_MAX of n, texts cut
 * where they are too long. */
void cs_alerts_publish(const cs_alert_t *const *alerts, int n);

/* ---- what happened lately: a point each minute, for the plots ---- */

#define CS_HISTORY_MINUTES 180

/* X(id, name, unit, what it shows) */
#define CS_HISTORIES(X)                                                                            \
    X(ACCEPTED, "accepted", "a minute", "notices accepted")                                        \
    X(LOOKS, "looks", "a minute", "deals looked at")                                               \
    X(CALLS, "calls", "a minute", "requests sent")                                                 \
    X(FAILED, "failed", "a minute", "requests without a useful answer")                            \
    X(BACKLOG, "backlog", "", "notices that wait for their look, at the end of the minute")        \
    X(LAG, "lag", "s", "the slowest tenth of the changes took longer than this to the other side")

typedef enum {
#define CS_HISTORY_ENUM(id, name, unit, text) CS_HISTORY_##id,
    CS_HISTORIES(CS_HISTORY_ENUM)
#undef CS_HISTORY_ENUM
        CS_HISTORY_MAX
} cs_history_e;

const char *cs_history_name(cs_history_e which);
const char *cs_history_unit(cs_history_e which);
const char *cs_history_text(cs_history_e which);
/* The last n whole minutes, oldest first, into values[CS_HISTORY_MINUTES]; *pend = when the last of
 * them ended. A minute without an observation (LAG) is -1. Returns n, 0 = none yet. Of the whole
 * server. */
int cs_history_read(cs_history_e which, double *values, apr_time_t *pend);
/* The runner alone, several times a minute: when a minute of the wall clock is over, its point is
 * made of what the counters of counter.h grew by since the last one. backlog: at this moment. */
void cs_history_tick(apr_time_t now, apr_int64_t backlog);

/* ---- what one runner leaves to the next, when the disk may be full ---- */

#define CS_MEMO_MAX (96 * 1024)
/* One writer. APR_EINVAL when it is too long: the former one stays. */
apr_status_t cs_memo_put(const char *text);
/* In p; NULL = there is none since the server was started. */
const char *cs_memo_get(apr_pool_t *p);

/* ---- the memory ---- */

/* Names and texts are words, so that who reads while somebody writes reads atomically and finds out
 * afterwards that they changed. */
typedef struct cs_gauge_label_t {
    _Atomic apr_uint32_t seq; /* odd while it is written */
    _Atomic apr_uint64_t words[CS_GAUGE_NAME / 8];
} cs_gauge_label_t;

typedef struct cs_gauge_upstream_t {
    cs_gauge_label_t name;
    _Atomic apr_int64_t values[CS_GAUGE_MAX];
    _Atomic apr_uint64_t calls[CS_OUTCOME_MAX];
} cs_gauge_upstream_t;

typedef struct cs_gauge_site_t {
    cs_gauge_label_t name;
    _Atomic apr_int64_t values[CS_GAUGE_MAX];
    cs_gauge_upstream_t upstreams[CS_GAUGE_UPSTREAMS];
} cs_gauge_site_t;

#define CS_ALERT_WORDS 128 /* of one alert */

/* Two tables: a writer that dies leaves the one that is read as it was. */
typedef struct cs_alert_table_t {
    _Atomic apr_uint32_t seq;
    _Atomic int n;
    _Atomic apr_uint64_t words[CS_ALERTS_MAX][CS_ALERT_WORDS];
} cs_alert_table_t;

typedef struct cs_memo_t {
    _Atomic apr_uint32_t seq;
    _Atomic apr_uint32_t len;
    _Atomic apr_uint64_t words[CS_MEMO_MAX / 8];
} cs_memo_t;

#define CS_HISTORY_SLOTS 192 /* more than are read, so that none is overwritten meanwhile */

typedef struct cs_gauges_t {
    _Atomic int made;
    _Atomic apr_int64_t beat, watched, began; /* cs_time_mono() */
    _Atomic apr_int64_t trouble_at[CS_TROUBLE_MAX];
    _Atomic apr_int32_t trouble[CS_TROUBLE_MAX];
    _Atomic apr_int64_t values[CS_GAUGE_MAX];
    cs_gauge_site_t sites[CS_GAUGE_SITES];
    _Atomic int table; /* the one to be read */
    cs_alert_table_t tables[2];
    _Atomic int memo; /* 0 = none, else the one to be read, from 1 */
    cs_memo_t memos[2];
    _Atomic apr_int64_t minutes;               /* points made */
    _Atomic apr_int64_t minute;                /* of the last one, since 1970 */
    _Atomic apr_uint64_t base[CS_HISTORY_MAX]; /* counters at its end */
    _Atomic apr_uint64_t lags[32];
    _Atomic double points[CS_HISTORY_MAX][CS_HISTORY_SLOTS];
} cs_gauges_t;

/* The process's table; until this a private one, as counter.h has it. Memory that is all zero is
 * made ready. */
void cs_gauges_use(cs_gauges_t *shared);

#endif
