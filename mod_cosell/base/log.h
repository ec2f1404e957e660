/* base/log.h: the library's one way to say something.
 *
 * The library knows no httpd: the module, cosellctl and the tests each set a printer. Before one is
 * set, messages go nowhere. Levels mean (reference httpd-and-style.md, rule 19): ERR needs a person
 * now, WARNING this week, NOTICE is a change of state worth a line a day, INFO once per start or
 * batch, DEBUG per item, TRACE the flow. What a remote client can cause is never above INFO.
 * Messages: lower case, cause included, no function names, no secrets (cs_log_redact for text from
 * outside). Any thread may log.
 */
#ifndef CS_BASE_LOG_H
#define CS_BASE_LOG_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

typedef enum {
    CS_LOG_EMERG = 0,
    CS_LOG_ALERT,
    CS_LOG_CRIT,
    CS_LOG_ERR,
    CS_LOG_WARNING,
    CS_LOG_NOTICE,
    CS_LOG_INFO,
    CS_LOG_DEBUG,
    CS_LOG_TRACE1,
    CS_LOG_TRACE2,
    CS_LOG_TRACE3,
    CS_LOG_TRACE4
} cs_log_level_e; /* values equal APLOG_* */

/* Message numbers: CS0001 .. CS9999, each used at one place in the code. Ranges by room: 1000
 * httpd, 2000 engine, 3000 store, 4000 remote, 5000 domain, 6000 base. `make lint` proves
 * uniqueness. */
#define CSLOGNO(n) "CS" #n ": "

/* where = "site" or NULL; baton as given to cs_log_set. */
typedef void cs_log_print_fn(void *baton, cs_log_level_e level, apr_status_t rv, const char *site,
                             const char *message);
typedef int cs_log_enabled_fn(void *baton, cs_log_level_e level, const char *site);

/* Once per process, before any thread starts. */
void cs_log_set(cs_log_print_fn *print, cs_log_enabled_fn *enabled, void *baton);
int cs_log_enabled(cs_log_level_e level, const char *site);

/* rv other than 0: its text (cs_strerror) is appended, so that a printer need not do it again. rv 0
 * = no status text appended. Messages are cut at 4 KB and control characters escaped. */
void cs_log(cs_log_level_e level, apr_status_t rv, const char *site, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A copy of text in p with the values of secret parameters, headers and JSON members (a table:
 * authorization, client_secret, refresh_token, access_token, client_assertion, assertion, code,
 * password, x-ms-signature ...) replaced by "[redacted]" and at most max bytes. Never NULL. */
const char *cs_log_redact(const char *text, apr_size_t max, apr_pool_t *p);

/* A condition that is logged when it changes and then at most once per interval with a count: owned
 * by one thread or guarded by its owner. */
typedef struct cs_log_state_t {
    int bad; /* 0 good, 1 bad */
    char reason[160];
    apr_time_t logged_at;
    unsigned long suppressed;
} cs_log_state_t;
/* 1 if the caller should log now: the state or the reason changed, or `interval` passed while it
 * stays bad. *psuppressed (may be NULL) gets the number of silent repetitions since the last line.
 * reason NULL = good. */
int cs_log_state_changed(cs_log_state_t *st, const char *reason, apr_interval_time_t interval,
                         unsigned long *psuppressed);

#endif
