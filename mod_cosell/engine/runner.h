/* engine/runner.h: the runner: lanes that are due, worker threads, wake, stop. No httpd here.
 * (design 4)
 *
 * The caller's process is the only user: either the forked runner process, or with -X a thread of
 * the one process.
 */
#ifndef CS_ENGINE_RUNNER_H
#define CS_ENGINE_RUNNER_H

#include "notify.h"
#include "site.h"

typedef struct cs_node_config_t {
    cs_store_config_t store;
    int workers; /* CosellWorkers; 0 = accept only: no lane is claimed, certificates are still
                    fetched */
    apr_array_header_t *sites; /* cs_site_config_t * */
    apr_array_header_t *notify; /* cs_notify_target_t *, at most CS_NOTIFY_TARGETS; NULL = none */
    cs_secret_t *passphrase; /* CosellCryptoPassphrase; NULL = <state>/secret.key, made when absent
                                (O_EXCL, 0600) */
    int wake_fd;             /* read end of the wake pipe, non-blocking; -1 = none */
    const char *user_agent;  /* "mod_cosell/0.1.0" */
} cs_node_config_t;

/* What children write to the wake pipe. */
#define CS_WAKE_WORK 'w'        /* a group of notices was committed */
#define CS_WAKE_CERTIFICATE 'c' /* a wish for a certificate was made */

typedef struct cs_runner_t cs_runner_t;

/* Loads every secret that cfg's sites name (as root, before privileges are dropped). A secret that
 * cannot be loaded degrades its site: reason logged once, work kept. */
apr_status_t cs_runner_secrets_load(const cs_node_config_t *cfg, apr_pool_t *p);
/* Takes <state>/runner.lock (waits up to 10 s for a former runner), opens the store, starts the
 * worker threads. Not before the fork. */
apr_status_t cs_runner_create(cs_runner_t **prunner, const cs_node_config_t *cfg, apr_pool_t *p,
                              cs_result_t *res);
/* The main loop: wakes on the pipe, every second at the latest; renews leases every 15 s; hands due
 * lanes to workers; fetches certificates. Calls alive(baton) about once a second and returns when
 * that returns 0 or after cs_runner_stop(). Never returns because of a missing database or a dead
 * upstream. */
void cs_runner_run(cs_runner_t *runner, int (*alive)(void *baton), void *baton);
/* Any thread, async-signal-safe: cs_runner_run returns soon. */
void cs_runner_stop(cs_runner_t *runner);
/* Aborts transfers, joins threads within budget; for -X only (the runner process just ends).
 * APR_TIMEUP names what was left behind in the log. */
apr_status_t cs_runner_destroy(cs_runner_t *runner, apr_interval_time_t budget);

/* A child's wish for a certificate: made as the file <state>/certs/<sha256>.wish (content: the
 * URL), then the pipe is written. The runner fetches wishes whose URL the site's trust allows, at
 * most one fetch per URL and 60 s, and removes the wish. */
apr_status_t cs_certificate_wish(const char *state_dir, const char *url, apr_pool_t *ptemp);

#endif
