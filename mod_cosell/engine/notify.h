/* engine/notify.h: who is told what, and when. Pure: alerts and time go in, the next call comes
 * out. (design 7.2, CosellNotify)
 *
 * Not events are told but differences: what is on and a target was not told of, what it was told of
 * and is over. So nothing is told twice, a target that was away hears how things are when it is
 * back, and an alert that came and went meanwhile is not told at all.
 */
#ifndef CS_ENGINE_NOTIFY_H
#define CS_ENGINE_NOTIFY_H

#include <jansson.h>

#include "../base/gauge.h"
#include "../remote/http.h"

#define CS_NOTIFY_TARGETS 8
/* Calls of a target within an hour; the last one left sums up what is to be told. */
#define CS_NOTIFY_CALLS 20
#define CS_NOTIFY_EVERY apr_time_from_sec(86400)

/* Configuration. */
typedef struct cs_notify_target_t {
    const char *name;    /* as configured: for the log, and which target it is */
    const char *command; /* command line, run as the server's user; or */
    const char *url;     /* to be POSTed to, through */
    const cs_upstream_t *upstream;
    int errors_only;
    apr_interval_time_t every; /* reminders; 0 = none */
} cs_notify_target_t;

/* What a target was told to be on. */
typedef struct cs_told_t {
    char site[CS_GAUGE_NAME], what[CS_GAUGE_NAME + 24], text[240];
    cs_alert_level_e level;
    apr_time_t since, at;
} cs_told_t;

typedef struct cs_notify_state_t {
    int n;
    cs_told_t told[CS_ALERTS_MAX];
    int ncalls;
    apr_time_t calls[CS_NOTIFY_CALLS]; /* attempts of the last hour, oldest first */
    int failures;                      /* in a row */
    apr_interval_time_t next;          /* steady clock: not before; 0 = at once */
} cs_notify_state_t;

typedef enum {
    CS_NOTIFY_NOTHING = 0,
    CS_NOTIFY_ALERT,    /* it came on, or became an error */
    CS_NOTIFY_RECOVERY, /* it is over */
    CS_NOTIFY_REMINDER, /* it is still on */
    CS_NOTIFY_SUMMARY   /* all that is on, and all that is over */
} cs_notify_e;

typedef struct cs_notify_call_t {
    cs_notify_e kind;
    const cs_alert_t *alert; /* ALERT, REMINDER */
    int told;                /* RECOVERY: index in the state */
} cs_notify_call_t;

/* alerts: cs_alert_t *, as cs_alerts_list() tells them. now: wall clock. */
void cs_notify_next(cs_notify_call_t *call, cs_notify_state_t *state,
                    const cs_notify_target_t *target, const apr_array_header_t *alerts,
                    apr_time_t now);
/* The call was made; good = the target has taken it. */
void cs_notify_done(cs_notify_state_t *state, const cs_notify_call_t *call,
                    const cs_notify_target_t *target, const apr_array_header_t *alerts, int good,
                    apr_time_t now, apr_interval_time_t steady);
/* The document of a call, in p. */
json_t *cs_notify_document(const cs_notify_call_t *call, const cs_notify_state_t *state,
                           const cs_notify_target_t *target, const apr_array_header_t *alerts,
                           const char *server, const char *product, apr_time_t now, apr_pool_t *p);
/* "COSELL_EVENT=alert", ... for commands, closed by NULL: one line each, nothing secret. In p. */
char *const *cs_notify_environment(const json_t *document, const char *path, apr_pool_t *p);

/* What must survive a restart, as text, and back; targets that are not configured any more are
 * left out. */
const char *cs_notify_save(const cs_notify_state_t *states,
                           const cs_notify_target_t *const *targets, int n, apr_pool_t *p);
void cs_notify_load(cs_notify_state_t *states, const cs_notify_target_t *const *targets, int n,
                    const char *text, apr_pool_t *p);
/* All alerts that any target was told of, each once: cs_alert_t * in p. */
apr_array_header_t *cs_notify_saved_alerts(const char *text, apr_pool_t *p);

#endif
