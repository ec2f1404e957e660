/* engine/alert.h: what needs a person, judged from what was observed. Pure: no clock, no I/O, no
 * threads. (design 7.2 CosellNotify, 7.5)
 *
 * Observing is runner_watch.c's; here facts become findings, and the board makes alerts of them:
 * on when a finding has held for its time, off when it has been away for its time, so that nothing
 * flaps.
 */
#ifndef CS_ENGINE_ALERT_H
#define CS_ENGINE_ALERT_H

#include "../base/gauge.h"
#include "../store/store.h"

/* A change must be on the other side within this. */
#define CS_PROMISE apr_time_from_sec(600)
/* A refresh token that is not rotated dies after this; people are warned so long before. */
#define CS_TOKEN_LIFE apr_time_from_sec(90 * 86400)
#define CS_TOKEN_WARN apr_time_from_sec(14 * 86400)
/* Referrals that expire within this and that nobody has answered. */
#define CS_EXPIRING apr_time_from_sec(3 * 86400)
/* A cause's key for them, followed by the day: "expires 2026-11-26". */
#define CS_CAUSE_EXPIRES "expires "
#define CS_CAUSE_PARKED "parked "
#define CS_CAUSE_HELD "held"
/* No notice for so long, while polls found at least so many changes. */
#define CS_SILENCE apr_time_from_sec(1800)
#define CS_SILENCE_FOUND 3
#define CS_FREE_WARN ((apr_int64_t)100 * 1024 * 1024)
#define CS_FREE_ERROR ((apr_int64_t)16 * 1024 * 1024)

/* One upstream of a site. Texts NULL = not so. */
typedef struct cs_alert_upstream_t {
    const char *name;
    int pc; /* Partner Center */
    const cs_suspended_t *suspended;
    const char *breaker; /* why nothing is sent to it */
    apr_time_t breaker_since;
    int notices;         /* 1 = it ought to send notices */
    apr_time_t heard_at; /* the last notice, or since when they are counted */
    apr_int64_t found;   /* changes that polls found since then */
    apr_time_t found_at;
    apr_int64_t quota_used, quota_most, quota_kept; /* most 0 = it has none */
    int misfits;                                    /* what does not fit its mapping */
    const char *misfit;                             /* the first of it */
    apr_time_t certificate; /* our certificate for it expires; 0 = it has none */
} cs_alert_upstream_t;

typedef struct cs_alert_site_t {
    const char *site;
    const char *degraded;
    int known;                     /* 0 = the store could not be asked: only `degraded` is judged */
    apr_array_header_t *upstreams; /* cs_alert_upstream_t */
    apr_array_header_t *brakes;    /* cs_suspended_t */
    apr_array_header_t *causes;    /* cs_cause_t *, the largest first; NULL = none */
    cs_store_counts_t counts;
    int oldest_attempts; /* of the work that waits the longest, and why it does */
    const char *oldest_problem;
    const char *paused_by, *paused_why;
    apr_time_t paused_at;          /* 0 = not paused */
    const char *account;           /* of the refresh token */
    apr_time_t signed_in, rotated; /* 0 = not known */
    const char *drift;             /* of the webhook's registration */
    apr_time_t signer;             /* the newest signing certificate expires; 0 = not known */
} cs_alert_site_t;

typedef struct cs_alert_facts_t {
    apr_time_t now;
    const char *state_dir;
    apr_status_t store; /* of our own reading */
    const char *store_detail;
    apr_status_t accept, look; /* of children and lanes; APR_SUCCESS = they can write */
    apr_int64_t free_bytes;    /* -1 = not known */
    apr_int64_t refused;       /* notices answered 503 since one was taken */
    apr_array_header_t *sites; /* cs_alert_site_t * */
} cs_alert_facts_t;

/* What is the case. */
typedef struct cs_concern_t {
    cs_alert_t alert;          /* since 0 = it is not known since when */
    apr_interval_time_t hold;  /* it is an alert when it has been found for so long */
    apr_interval_time_t clear; /* and none any more when it was not for so long */
} cs_concern_t;

/* cs_concern_t *, in p. */
apr_array_header_t *cs_alerts_judge(const cs_alert_facts_t *facts, apr_pool_t *p);

/* Deals of a site that nobody has answered and that expire soon. */
apr_int64_t cs_alert_expiring(const cs_alert_site_t *site, apr_time_t now);

/* As apr_cpystrn(), and what is cut ends with a whole character of UTF-8. */
void cs_alert_copy(char *to, const char *from, apr_size_t size);

/* ---- the board ---- */

#define CS_BOARD_MAX 128

typedef struct cs_board_entry_t {
    char site[CS_GAUGE_NAME], what[CS_GAUGE_NAME + 24];
    char text[400], todo[400];
    cs_alert_level_e level;
    apr_time_t since;
    apr_interval_time_t first, last, clear; /* of the caller's steady clock */
    int on;
} cs_board_entry_t;

/* Zero-initialised is empty. One thread. What is found when the board is full waits. */
typedef struct cs_board_t {
    int n;
    cs_board_entry_t entries[CS_BOARD_MAX];
} cs_board_t;

/* One round. known = 0: sites could not be asked, and their alerts stay. now: wall clock, for
 * since; steady: a clock that never goes back. */
void cs_board_take(cs_board_t *board, const apr_array_header_t *findings, int known, apr_time_t now,
                   apr_interval_time_t steady);
/* What was on before a restart is on until it has not been found for `clear`. */
void cs_board_restore(cs_board_t *board, const cs_alert_t *alert, apr_interval_time_t clear,
                      apr_interval_time_t steady);
/* What is on, most urgent first: cs_alert_t * in p. Texts stay the board's. */
apr_array_header_t *cs_board_list(const cs_board_t *board, apr_pool_t *p);

#endif
