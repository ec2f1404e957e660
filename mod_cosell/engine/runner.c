/* engine/runner.c: which lanes are due, who works them, when they stop. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_pool.h>

#include "../base/counter.h"
#include "../base/gauge.h"
#include "../base/log.h"
#include "../base/pool.h"
#include "certs.h"
#include "lane.h"
#include "pulse.h"
#include "runner_watch.h"

#define TICK apr_time_from_sec(1)
#define LOCK_PATIENCE apr_time_from_sec(10)
#define LEASE_RETRY apr_time_from_sec(10)
#define PRUNE_EVERY apr_time_from_sec(600)
#define PRUNE_AT_REST apr_time_from_sec(6 * 3600)
#define PRUNE_ROWS 500
#define BREATH_MS 4

struct cs_runner_t {
    const cs_node_config_t *cfg;
    apr_pool_t *pool;
    const char *node;  /* NULL until the store could be opened */
    cs_store_t *store; /* the main thread's handle */
    unsigned char key[CS_KEY_LEN];
    apr_array_header_t *lanes;  /* cs_lane_t *, made once the node id is known */
    apr_array_header_t *names;  /* const char *, parallel */
    apr_thread_pool_t *threads; /* NULL with 0 workers */
    cs_certs_t *certs;
    cs_watch_t *watch;
    int lock_fd;
    int self_pipe[2]; /* stop and "a lane became free" */
    _Atomic int stop;
    apr_interval_time_t renewed; /* cs_time_boot() of the last round of renewals */
    cs_log_state_t log_store;
};

/* ---- secrets ---- */

static void load_secret(cs_secret_t *secret, const char *what, const cs_site_config_t *site,
                        apr_pool_t *p)
{
    cs_result_t res = {0};

    if (secret && cs_secret_load(secret, p, &res) != APR_SUCCESS) {
        cs_log(CS_LOG_ERR, 0, site ? site->name : NULL, CSLOGNO(2020) "cannot load the %s: %s",
               what, res.detail ? res.detail : secret->ref);
    }
}

apr_status_t cs_runner_secrets_load(const cs_node_config_t *cfg, apr_pool_t *p)
{
    int i, j;

    load_secret(cfg->passphrase, "passphrase of CosellCryptoPassphrase", NULL, p);
    for (i = 0; i < cfg->sites->nelts; ++i) {
        cs_site_config_t *site = APR_ARRAY_IDX(cfg->sites, i, cs_site_config_t *);
        load_secret(site->pc.client_secret, "client secret of CosellPartnerCenter", site, p);
        load_secret(site->pc.refresh_token, "refresh token of CosellPartnerCenter", site, p);
        for (j = 0; j < site->ncrms; ++j) {
            load_secret(site->crms[j].cfg.client_secret, "client secret of CosellCrm", site, p);
            load_secret(site->crms[j].cfg.key, "key of CosellCrm", site, p);
        }
    }
    return APR_SUCCESS;
}

/* ---- the sealing key ---- */

static apr_status_t read_key(const char *path, unsigned char *key)
{
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    n = read(fd, key, CS_KEY_LEN);
    close(fd);
    return n == CS_KEY_LEN ? APR_SUCCESS : CS_ECORRUPT;
}

/* Complete under its final name or not there at all: written aside, synced, linked. */
static apr_status_t make_key(const char *path, apr_pool_t *ptemp)
{
    unsigned char key[CS_KEY_LEN];
    const char *tmp = apr_psprintf(ptemp, "%s.%s", path, cs_uuid4(ptemp));
    apr_status_t rv = cs_random(key, sizeof(key));
    int fd;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        rv = APR_FROM_OS_ERROR(errno);
    }
    else {
        if (write(fd, key, sizeof(key)) != (ssize_t)sizeof(key) || fsync(fd) != 0 ||
            link(tmp, path) != 0) {
            rv = errno == EEXIST ? APR_SUCCESS : APR_FROM_OS_ERROR(errno);
        }
        close(fd);
        unlink(tmp);
    }
    cs_wipe(key, sizeof(key));
    return rv;
}

static apr_status_t load_key(cs_runner_t *r, apr_pool_t *ptemp, cs_result_t *res)
{
    const cs_secret_t *pass = r->cfg->passphrase;
    const char *path = apr_pstrcat(ptemp, r->cfg->store.state_dir, "/secret.key", NULL);
    apr_status_t rv;

    if (pass) {
        return pass->value
                   ? cs_key_derive(r->key, pass->value, pass->len, "mod_cosell sealing key", 22)
                   : cs_result_set(res, ptemp, APR_EGENERAL, CS_CLASS_SUSPEND, "config:passphrase",
                                   "the passphrase %s could not be loaded", pass->ref);
    }
    rv = read_key(path, r->key);
    if (APR_STATUS_IS_ENOENT(rv)) {
        rv = make_key(path, ptemp);
        if (rv == APR_SUCCESS) {
            rv = read_key(path, r->key);
        }
    }
    return rv == APR_SUCCESS ? rv
                             : cs_result_set(res, ptemp, rv, CS_CLASS_RETRY, "secret.key",
                                             "could not read or make %s", path);
}

/* ---- one runner per state directory ---- */

static apr_status_t take_lock(cs_runner_t *r, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *path = apr_pstrcat(ptemp, r->cfg->store.state_dir, "/runner.lock", NULL);
    apr_interval_time_t end = cs_time_mono() + LOCK_PATIENCE;

    r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r->lock_fd < 0) {
        return cs_result_set(res, r->pool, APR_FROM_OS_ERROR(errno), CS_CLASS_RETRY, "runner.lock",
                             "could not open %s", path);
    }
    while (flock(r->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (cs_time_mono() >= end) {
            return cs_result_set(res, r->pool, APR_EBUSY, CS_CLASS_RETRY, "runner.lock",
                                 "another runner holds %s", path);
        }
        apr_sleep(apr_time_from_msec(20));
    }
    return APR_SUCCESS;
}

static apr_status_t close_fds(void *baton)
{
    cs_runner_t *r = baton;

    if (r->lock_fd >= 0) {
        close(r->lock_fd);
    }
    close(r->self_pipe[0]);
    close(r->self_pipe[1]);
    return APR_SUCCESS;
}

/* ---- making ---- */

static apr_status_t start_threads(cs_runner_t *r, cs_result_t *res)
{
    apr_pool_t *pool;
    apr_status_t rv;

    if (r->cfg->workers <= 0) {
        return APR_SUCCESS;
    }
    rv = cs_pool_create_own(&pool, r->pool, 1, "cosell-workers");
    if (rv == APR_SUCCESS) {
        rv = apr_thread_pool_create(&r->threads, r->cfg->workers, r->cfg->workers, pool);
    }
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, r->pool, rv, CS_CLASS_RETRY, "thread",
                             "could not start %d workers", r->cfg->workers);
    }
    apr_thread_pool_threshold_set(r->threads, 0);
    return APR_SUCCESS;
}

static apr_status_t open_self_pipe(cs_runner_t *r)
{
    return pipe2(r->self_pipe, O_CLOEXEC | O_NONBLOCK) == 0 ? APR_SUCCESS
                                                            : APR_FROM_OS_ERROR(errno);
}

apr_status_t cs_runner_create(cs_runner_t **prunner, const cs_node_config_t *cfg, apr_pool_t *p,
                              cs_result_t *res)
{
    cs_runner_t *r;
    apr_pool_t *pool;
    apr_status_t rv;

    rv = cs_pool_create_own(&pool, p, 1, "cosell-runner");
    if (rv != APR_SUCCESS) {
        return rv;
    }
    r = apr_pcalloc(pool, sizeof(*r));
    r->cfg = cfg;
    r->pool = pool;
    r->lock_fd = -1;
    r->lanes = apr_array_make(pool, cfg->sites->nelts + 1, sizeof(cs_lane_t *));
    r->names = apr_array_make(pool, cfg->sites->nelts + 1, sizeof(const char *));
    rv = open_self_pipe(r);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "pipe", "could not create a pipe");
    }
    apr_pool_cleanup_register(pool, r, close_fds, apr_pool_cleanup_null);
    cs_wipe_at_end(r->key, sizeof(r->key), pool);
    rv = take_lock(r, pool, res);
    if (rv == APR_SUCCESS) {
        rv = cs_store_open(&r->store, &cfg->store, CS_STORE_WRITER, pool, res);
    }
    if (rv == APR_SUCCESS) {
        rv = start_threads(r, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_certs_start(&r->certs, cfg, pool, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_watch_start(&r->watch, cfg, pool, res);
        if (rv != APR_SUCCESS) {
            cs_certs_stop(r->certs);
        }
    }
    *prunner = rv == APR_SUCCESS ? r : NULL;
    return rv;
}

static void make_lanes(cs_runner_t *r)
{
    int i;

    for (i = 0; i < r->cfg->sites->nelts; ++i) {
        const cs_site_config_t *site = APR_ARRAY_IDX(r->cfg->sites, i, const cs_site_config_t *);
        cs_result_t res = {0};
        cs_lane_t *lane;
        if (site->degraded) {
            cs_log(CS_LOG_WARNING, 0, site->name,
                   CSLOGNO(2021) "the site is degraded and its work waits: %s", site->degraded);
            continue;
        }
        if (cs_lane_create(&lane, r->cfg, site, r->key, r->pool, &res) != APR_SUCCESS) {
            cs_log(CS_LOG_ERR, res.rv, site->name, CSLOGNO(2022) "the site's work waits: %s",
                   res.detail ? res.detail : "lane");
            continue;
        }
        lane->runner = r;
        APR_ARRAY_PUSH(r->lanes, cs_lane_t *) = lane;
        APR_ARRAY_PUSH(r->names, const char *) = site->name;
    }
}

/* The store may be away when the runner starts; everything that needs it is made when it answers.
 */
static int ready(cs_runner_t *r, apr_pool_t *ptemp)
{
    cs_result_t res = {0};
    const char *node;
    apr_status_t rv;

    if (r->node) {
        return 1;
    }
    rv = cs_store_node(r->store, &node, ptemp, &res);
    if (rv == APR_SUCCESS) {
        rv = load_key(r, ptemp, &res);
    }
    if (rv != APR_SUCCESS) {
        if (cs_log_state_changed(&r->log_store, res.detail ? res.detail : "store",
                                 apr_time_from_sec(3600), NULL)) {
            cs_log(CS_LOG_ERR, rv, NULL, CSLOGNO(2023) "the runner waits: %s",
                   res.detail ? res.detail : "the store is not usable");
        }
        return 0;
    }
    if (cs_log_state_changed(&r->log_store, NULL, 0, NULL)) {
        cs_log(CS_LOG_NOTICE, 0, NULL, CSLOGNO(2024) "the runner's store is usable");
    }
    r->node = apr_pstrdup(r->pool, node);
    make_lanes(r);
    return 1;
}

/* ---- a worker's task ---- */

static void nudge(cs_runner_t *r)
{
    char byte = 'w';
    ssize_t n;

    do {
        n = write(r->self_pipe[1], &byte, 1);
    } while (n < 0 && errno == EINTR);
}

/* The age of the last pruning does not hang on the wall clock, which may be set back. */
static int prune_due(const cs_lane_t *lane)
{
    return !lane->pruned_at || cs_time_boot() - lane->pruned_at > PRUNE_EVERY;
}

static apr_status_t prune(cs_lane_t *lane, apr_pool_t *ptemp)
{
    cs_lease_t lease = cs_lane_lease(lane);
    int left = 1, rounds = 0;
    apr_status_t rv = APR_SUCCESS;

    while (left && rounds++ < 20 && rv == APR_SUCCESS) {
        rv = cs_store_prune(lane->store, &lease, cs_time_now(), PRUNE_ROWS, &left, ptemp, NULL);
    }
    lane->pruned_at = left && rv == APR_SUCCESS ? 0 : cs_time_boot();
    return rv;
}

/* Only a batch that had work to store proves that it works again. */
static void log_batch_success(cs_lane_t *lane)
{
    cs_trouble_note(CS_TROUBLE_RUNNER, APR_SUCCESS);
    if (cs_log_state_changed(&lane->log_batch, NULL, 0, NULL)) {
        cs_log(CS_LOG_NOTICE, 0, lane->site->name,
               CSLOGNO(2032) "batches are carried through again");
    }
}

static void log_batch_failure(cs_lane_t *lane, apr_status_t rv, const cs_result_t *res)
{
    if (rv == CS_ELEASE) {
        cs_log(CS_LOG_NOTICE, 0, lane->site->name,
               CSLOGNO(2025) "the lane's lease was lost; another look will follow");
        cs_lane_lease_drop(lane);
        return;
    }
    cs_trouble_note(CS_TROUBLE_RUNNER, rv);
    if (!cs_log_state_changed(&lane->log_batch, res->problem ? res->problem : "store",
                              apr_time_from_sec(3600), NULL)) {
        return;
    }
    cs_log(CS_LOG_WARNING, rv, lane->site->name,
           CSLOGNO(2026) "could not carry a batch through, its work stays due: %s",
           res->detail ? res->detail : "store");
}

static void *APR_THREAD_FUNC work_lane(apr_thread_t *thread, void *baton)
{
    cs_lane_t *lane = baton;
    cs_runner_t *r = lane->runner;
    cs_result_t res = {0};
    apr_pool_t *pool;
    apr_status_t rv;
    int more = 0;

    (void)thread;
    rv = cs_pool_create_own(&pool, NULL, 0, "cosell-batch");
    if (rv == APR_SUCCESS) {
        rv = cs_look_batch(lane, &more, pool, &res);
        if (rv == APR_SUCCESS && more) {
            log_batch_success(lane);
        }
        if (rv == APR_SUCCESS && prune_due(lane)) {
            prune(lane, pool);
        }
        if (rv != APR_SUCCESS && !atomic_load(&r->stop)) {
            log_batch_failure(lane, rv, &res);
        }
        apr_pool_destroy(pool);
    }
    /* On failure the next look waits for the tick, so that a broken store is not hammered. */
    atomic_store(&lane->busy, rv == APR_SUCCESS ? 0 : 2);
    if (rv == APR_SUCCESS && more) {
        nudge(r);
    }
    return NULL;
}

static void start_lane(cs_runner_t *r, cs_lane_t *lane)
{
    atomic_store(&lane->busy, 1);
    lane->touched = 1;
    if (apr_thread_pool_push(r->threads, work_lane, lane, APR_THREAD_TASK_PRIORITY_NORMAL, r) !=
        APR_SUCCESS) {
        atomic_store(&lane->busy, 0);
    }
}

/* ---- the main loop ---- */

static int have_lease(cs_runner_t *r, cs_lane_t *lane, apr_pool_t *ptemp)
{
    cs_result_t res = {0};
    apr_status_t rv;

    if (cs_lane_leased(lane)) {
        return 1;
    }
    if (lane->lease_refused && cs_time_boot() - lane->lease_refused < LEASE_RETRY) {
        return 0;
    }
    rv = cs_lane_lease_take(lane, r->store, r->node, ptemp, &res);
    if (rv == APR_EBUSY) {
        lane->lease_refused = cs_time_boot();
        cs_log(CS_LOG_DEBUG, 0, lane->site->name, "another node has the lane: %s",
               res.detail ? res.detail : "");
    }
    return rv == APR_SUCCESS;
}

static void renew_leases(cs_runner_t *r, apr_pool_t *ptemp)
{
    int i;

    if (cs_time_boot() - r->renewed < CS_LEASE_RENEW) {
        return;
    }
    r->renewed = cs_time_boot();
    for (i = 0; i < r->lanes->nelts; ++i) {
        cs_lane_t *lane = APR_ARRAY_IDX(r->lanes, i, cs_lane_t *);
        /* A lane at rest lets its lease lapse, so that another node may take it and this one writes
         * nothing. */
        if (cs_lane_leased(lane) && (lane->touched || atomic_load(&lane->busy) == 1)) {
            lane->touched = 0;
            cs_lane_lease_renew(lane, r->store, ptemp);
        }
    }
}

static cs_lane_t *lane_named(cs_runner_t *r, const char *name)
{
    int i;

    for (i = 0; i < r->lanes->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(r->names, i, const char *), name)) {
            return APR_ARRAY_IDX(r->lanes, i, cs_lane_t *);
        }
    }
    return NULL;
}

/* Without due work: facts to load, a suspended or silent upstream to ask, a refresh token to
 * redeem, a changed mapping under way, or old rows, which test events leave behind too; at once
 * where the last turn of pruning left some. Only while no worker has the lane. */
static int needs_a_turn(cs_lane_t *lane, apr_time_t now)
{
    apr_time_t probe = cs_lane_next_probe(lane);

    return !lane->facts_loaded || (probe && probe <= now) || cs_breaker_probe_due(lane) ||
           cs_planned_active(lane) || cs_keep_alive_due(lane, now) || cs_pulse_due(lane) ||
           !lane->pruned_at ||
           cs_time_boot() - lane->pruned_at > PRUNE_AT_REST;
}

static void start_due(cs_runner_t *r, apr_pool_t *ptemp)
{
    apr_array_header_t *due;
    apr_time_t now = cs_time_now();
    cs_result_t res = {0};
    apr_status_t rv;
    int i;

    rv = cs_store_sites_due(r->store, r->names, now, &due, NULL, ptemp, &res);
    if (rv != APR_SUCCESS) {
        if (cs_log_state_changed(&r->log_store, res.detail ? res.detail : "store",
                                 apr_time_from_sec(3600), NULL)) {
            cs_log(CS_LOG_ERR, rv, NULL, CSLOGNO(2027) "cannot look for due work: %s",
                   res.detail ? res.detail : "store");
        }
        return;
    }
    if (cs_log_state_changed(&r->log_store, NULL, 0, NULL)) {
        cs_log(CS_LOG_NOTICE, 0, NULL, CSLOGNO(2028) "the store works again");
    }
    for (i = 0; i < due->nelts; ++i) {
        cs_lane_t *lane = lane_named(r, APR_ARRAY_IDX(due, i, const char *));
        if (lane && !atomic_load(&lane->busy) && have_lease(r, lane, ptemp)) {
            start_lane(r, lane);
        }
    }
    for (i = 0; i < r->lanes->nelts; ++i) {
        cs_lane_t *lane = APR_ARRAY_IDX(r->lanes, i, cs_lane_t *);
        if (!atomic_load(&lane->busy) && needs_a_turn(lane, now) && have_lease(r, lane, ptemp)) {
            start_lane(r, lane);
        }
    }
}

/* 1 when one of the bytes was `sought`. */
static int drain(int fd, char sought)
{
    char buf[256];
    ssize_t n;
    int found = 0;

    while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0) {
        found |= memchr(buf, sought, (size_t)n) != NULL;
    }
    return found;
}

/* Under load every commit group writes a byte; looking once in a few milliseconds finds the same
 * work. */
static void breathe(cs_runner_t *r)
{
    struct pollfd self = {r->self_pipe[0], POLLIN, 0};

    if (!atomic_load(&r->stop)) {
        poll(&self, 1, BREATH_MS);
    }
}

static void wait_for_something(cs_runner_t *r)
{
    struct pollfd fds[2] = {{r->self_pipe[0], POLLIN, 0}, {r->cfg->wake_fd, POLLIN, 0}};
    int n = poll(fds, r->cfg->wake_fd >= 0 ? 2 : 1, (int)apr_time_as_msec(cs_time_wait(TICK)));

    if (n > 0 && (fds[1].revents & POLLIN) && r->cfg->wake_fd >= 0) {
        if (!(fds[0].revents & POLLIN)) {
            breathe(r);
        }
        if (drain(r->cfg->wake_fd, CS_WAKE_CERTIFICATE)) {
            cs_certs_wake(r->certs);
        }
    }
    drain(r->self_pipe[0], 0);
}

/* Lanes whose last batch failed may try again. */
static void forgive(cs_runner_t *r)
{
    int i;

    for (i = 0; i < r->lanes->nelts; ++i) {
        int failed = 2;
        atomic_compare_exchange_strong(&APR_ARRAY_IDX(r->lanes, i, cs_lane_t *)->busy, &failed, 0);
    }
}

void cs_runner_run(cs_runner_t *r, int (*alive)(void *baton), void *baton)
{
    apr_interval_time_t asked = 0, ticked = 0;
    apr_pool_t *ptemp;

    apr_pool_create(&ptemp, r->pool);
    apr_pool_tag(ptemp, "cosell-runner-loop");
    while (!atomic_load(&r->stop)) {
        apr_interval_time_t now = cs_time_mono();
        if (alive && now - asked >= TICK) {
            asked = now;
            if (!alive(baton)) {
                break;
            }
        }
        if (now - ticked >= cs_time_wait(TICK)) {
            ticked = now;
            forgive(r);
        }
        if (ready(r, ptemp) && r->threads) {
            renew_leases(r, ptemp);
            start_due(r, ptemp);
        }
        apr_pool_clear(ptemp);
        wait_for_something(r);
    }
    apr_pool_destroy(ptemp);
}

void cs_runner_stop(cs_runner_t *r)
{
    atomic_store(&r->stop, 1);
    nudge(r);
}

apr_status_t cs_runner_destroy(cs_runner_t *r, apr_interval_time_t budget)
{
    apr_interval_time_t end = cs_time_mono() + budget;
    int i, busy = 1;

    atomic_store(&r->stop, 1);
    for (i = 0; i < r->lanes->nelts; ++i) {
        cs_http_abort(APR_ARRAY_IDX(r->lanes, i, cs_lane_t *)->http);
    }
    cs_certs_stop(r->certs);
    while (busy && cs_time_mono() < end) {
        for (busy = 0, i = 0; i < r->lanes->nelts; ++i) {
            busy += atomic_load(&APR_ARRAY_IDX(r->lanes, i, cs_lane_t *)->busy) == 1;
        }
        if (busy) {
            apr_sleep(apr_time_from_msec(5));
        }
    }
    if (busy) {
        cs_log(CS_LOG_WARNING, 0, NULL,
               CSLOGNO(2029) "%d workers did not end in time and are left behind", busy);
        return APR_TIMEUP;
    }
    if (!cs_watch_stop(r->watch, end - cs_time_mono())) {
        cs_log(CS_LOG_WARNING, 0, NULL,
               CSLOGNO(2375) "the watch did not end in time and is left behind");
        return APR_TIMEUP;
    }
    if (r->threads) {
        apr_thread_pool_destroy(r->threads);
    }
    apr_pool_destroy(r->pool);
    return APR_SUCCESS;
}
