/* httpd/child.c: one child process from child_init to its end: the committer, the known
 * certificates, and with -X the runner's thread.
 *
 * Nothing of this starts before the fork. child_stopping is not the end: with event and worker
 * request threads still run then, so the committer goes on until the pre-cleanup of pchild, when
 * they are joined. Its budget keeps the whole stop below httpd's first warning at 3 s.
 */
#include "mod_cosell.h"

#include <ap_mpm.h>
#include <apr_strings.h>

APLOG_USE_MODULE(cosell);

#define STOP_BUDGET apr_time_from_msec(2000)

cosell_child_t *cosell_child;

static int request_threads(void)
{
    int n;

    return ap_mpm_query(AP_MPMQ_MAX_THREADS, &n) == APR_SUCCESS && n > 0 ? n : 1;
}

static apr_status_t stop(void *baton)
{
    cosell_child_t *child = baton;

    atomic_store(&child->stopping, 1);
    if (child->committer && cs_committer_stop(child->committer, STOP_BUDGET) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cosell_node->server, CSLOGNO(1030)
                     "the committer did not end within 2 s and is left behind: the disk hangs");
    }
    if (child->runner) {
        cosell_runner_thread_stop(child->runner);
    }
    return APR_SUCCESS;
}

static void start_committer(cosell_child_t *child, int threads, apr_pool_t *pchild)
{
    cs_committer_config_t *cfg = apr_pcalloc(pchild, sizeof(*cfg));
    cs_result_t res = { 0 };
    apr_status_t rv;

    cfg->store = &cosell_node->cfg.store;
    cfg->threads = threads;
    cfg->patience = apr_time_from_sec(2);
    cfg->slow = apr_time_from_msec(250);
    cfg->committed = cosell_wake;
    rv = cs_committer_start(&child->committer, cfg, pchild, &res);
    if (rv != APR_SUCCESS) {
        child->committer = NULL;
        child->why = res.detail ? res.detail : "the committer could not be started";
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, cosell_node->server, CSLOGNO(1031)
                     "this child answers 503: %s", child->why);
    }
}

static void know_certificates(cosell_child_t *child, apr_pool_t *pchild)
{
    int i, n = cosell_node->sites->nelts;

    child->signers = apr_pcalloc(pchild, sizeof(*child->signers) * (apr_size_t)(n ? n : 1));
    for (i = 0; i < n; i++) {
        cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, i, cosell_site_t *);

        if (site->trust
            && cosell_signers_create(&child->signers[i], site, child, pchild) != APR_SUCCESS) {
            child->signers[i] = NULL;
        }
    }
}

void cosell_child_init(apr_pool_t *pchild, server_rec *s)
{
    cosell_child_t *child;
    apr_status_t rv;

    if (!cosell_node || cosell_node->broken) {
        return;
    }
    child = apr_pcalloc(pchild, sizeof(*child));
    child->wait_max = request_threads() / 4 > 1 ? request_threads() / 4 : 1;
    json_object_seed(0);
    know_certificates(child, pchild);
    start_committer(child, request_threads(), pchild);
    if (cosell_node->one_process) {
        rv = cosell_runner_thread_start(&child->runner, cosell_node, pchild);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_ERR, rv, s, CSLOGNO(1032)
                         "could not start the runner's thread: nothing is looked at");
        }
    }
    cosell_child = child;
    apr_pool_pre_cleanup_register(pchild, child, stop);
}

void cosell_child_stopping(apr_pool_t *pchild, int graceful)
{
    (void)pchild;
    if (cosell_child && !graceful) {
        atomic_store(&cosell_child->stopping, 1);
    }
}
