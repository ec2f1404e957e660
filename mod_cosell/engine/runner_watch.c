#include "runner_watch.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_proc.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/log.h"
#include "../base/pool.h"
#include "../base/time.h"

#define ROUND apr_time_from_sec(5)
/* After a start what was on before has this long to be found again. */
#define GRACE apr_time_from_sec(40)
#define LOG_INTERVAL apr_time_from_sec(3600)
/* At the very first start the store is missing until somebody has made it; the alert waits as long.
 */
#define MADE_WITHIN apr_time_from_sec(10)

struct cs_watch_t {
    const cs_node_config_t *node;
    apr_pool_t *pool;
    cs_store_t *store;
    cs_watch_memory_t memory;
    cs_board_t board;
    cs_notifier_t *notifier;
    const char *path; /* of what was told, for the next start */
    char saved[65];   /* digest of what it holds */
    cs_log_state_t log;
    apr_interval_time_t began;
    int met; /* the store was read, or fails otherwise than by being absent */
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    int stop, ended; /* under the mutex */
};

/* ---- over a restart ---- */

static const char *read_saved(const cs_watch_t *w, apr_pool_t *p)
{
    apr_file_t *file;
    apr_size_t len = CS_MEMO_MAX - 1;
    apr_status_t rv;
    char *text;

    if (apr_file_open(&file, w->path, APR_FOPEN_READ, 0, p) != APR_SUCCESS) {
        return NULL;
    }
    text = apr_pcalloc(p, CS_MEMO_MAX);
    rv = apr_file_read_full(file, text, len, &len);
    apr_file_close(file);
    return rv == APR_SUCCESS || APR_STATUS_IS_EOF(rv) ? text : NULL;
}

static int is_configured(const cs_watch_t *w, const char *site)
{
    int i;

    for (i = 0; i < w->node->sites->nelts; i++) {
        const cs_site_config_t *cfg = APR_ARRAY_IDX(w->node->sites, i, const cs_site_config_t *);
        if (!strncmp(cfg->name, site, CS_GAUGE_NAME - 1)) {
            return 1;
        }
    }
    return 0;
}

/* Not what readers find out by themselves, nor of a site that is gone. */
static int is_to_restore(const cs_watch_t *w, const cs_alert_t *alert)
{
    return *alert->site ? is_configured(w, alert->site)
                        : strcmp(alert->what, "runner") && strcmp(alert->what, "watch");
}

/* What is in memory is newer than the file, and has the sentences whole. */
static const char *restore(cs_watch_t *w, apr_pool_t *p)
{
    const char *saved = cs_memo_get(p);
    const apr_array_header_t *list = cs_alerts_list(NULL, p);
    int i, n = 0;

    saved = saved ? saved : read_saved(w, p);
    for (i = 0; i < list->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(list, i, const cs_alert_t *);
        if (is_to_restore(w, alert)) {
            cs_board_restore(&w->board, alert, GRACE, cs_time_boot());
            n++;
        }
    }
    list = n ? NULL : cs_notify_saved_alerts(saved, p);
    for (i = 0; list && i < list->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(list, i, const cs_alert_t *);
        if (is_to_restore(w, alert)) {
            cs_board_restore(&w->board, alert, GRACE, cs_time_boot());
        }
    }
    return saved ? apr_pstrdup(w->pool, saved) : NULL;
}

/* Whole or not at all; without space it is tried again in the next round. */
static apr_status_t write_saved(const cs_watch_t *w, const char *text, apr_pool_t *p)
{
    const char *tmp = apr_pstrcat(p, w->path, ".new", NULL);
    apr_file_t *file;
    apr_status_t rv =
        apr_file_open(&file, tmp, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE,
                      APR_FPROT_UREAD | APR_FPROT_UWRITE, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_write_full(file, text, strlen(text), NULL);
    apr_file_close(file);
    if (rv == APR_SUCCESS) {
        rv = apr_file_rename(tmp, w->path, p);
    }
    if (rv != APR_SUCCESS) {
        apr_file_remove(tmp, p);
    }
    return rv;
}

static void save(cs_watch_t *w, apr_pool_t *p)
{
    const char *text = w->notifier ? cs_memo_get(p) : NULL;
    const char *digest = text ? cs_sha256_hex(text, strlen(text), p) : NULL;

    if (digest && strcmp(digest, w->saved) && write_saved(w, text, p) == APR_SUCCESS) {
        apr_cpystrn(w->saved, digest, sizeof(w->saved));
    }
}

/* ---- a round ---- */

static int may_yet_be_made(cs_watch_t *w, const cs_alert_facts_t *facts)
{
    w->met = w->met || facts->store != CS_EMISSING;
    return !w->met && cs_time_mono() - w->began < MADE_WITHIN;
}

static void say_blind(cs_watch_t *w, const cs_alert_facts_t *facts)
{
    unsigned long silent;

    if (may_yet_be_made(w, facts) ||
        !cs_log_state_changed(&w->log, facts->store_detail, LOG_INTERVAL, &silent)) {
        return;
    }
    if (facts->store_detail) {
        cs_log(CS_LOG_INFO, 0, NULL, CSLOGNO(2372) "the watch cannot read the store: %s",
               facts->store_detail);
    }
    else {
        cs_log(CS_LOG_INFO, 0, NULL, CSLOGNO(2373) "the watch reads the store again");
    }
}

static apr_int64_t backlog_of(const cs_alert_facts_t *facts)
{
    apr_int64_t n = 0;
    int i;

    for (i = 0; i < facts->sites->nelts; i++) {
        n += APR_ARRAY_IDX(facts->sites, i, const cs_alert_site_t *)->counts.outstanding;
    }
    return n;
}

static void look(cs_watch_t *w, apr_pool_t *p)
{
    const cs_alert_facts_t *facts = cs_watch_observe(w->node, w->store, &w->memory, p);
    const apr_array_header_t *on;

    say_blind(w, facts);
    cs_board_take(&w->board, cs_alerts_judge(facts, p), facts->store == APR_SUCCESS, facts->now,
                  cs_time_boot());
    on = cs_board_list(&w->board, p);
    cs_alerts_publish((const cs_alert_t *const *)on->elts, on->nelts);
    cs_history_tick(facts->now, backlog_of(facts));
    cs_watch_beat();
    save(w, p);
}

/* ---- the thread ---- */

static int must_stop(cs_watch_t *w)
{
    int stop;

    apr_thread_mutex_lock(w->mutex);
    stop = w->stop;
    apr_thread_mutex_unlock(w->mutex);
    return stop;
}

static void rest(cs_watch_t *w)
{
    apr_thread_mutex_lock(w->mutex);
    if (!w->stop) {
        apr_thread_cond_timedwait(w->cond, w->mutex, cs_time_wait(ROUND));
    }
    apr_thread_mutex_unlock(w->mutex);
}

/* Whoever is to be told hears nothing of what a restart alone has changed. */
static void start_telling(cs_watch_t *w, apr_pool_t *p)
{
    const char *saved = restore(w, p);
    cs_result_t res = {0};
    const apr_array_header_t *on = cs_board_list(&w->board, p);

    cs_alerts_publish((const cs_alert_t *const *)on->elts, on->nelts);
    if (cs_notifier_start(&w->notifier, w->node, saved, w->pool, &res) != APR_SUCCESS) {
        cs_log(CS_LOG_ERR, 0, NULL, CSLOGNO(2374) "nobody is told of alerts: %s",
               res.detail ? res.detail : "no detail");
    }
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    cs_watch_t *w = baton;
    apr_pool_t *p;

    (void)thread;
    if (cs_pool_create_own(&p, NULL, 0, "cosell-watch-round") == APR_SUCCESS) {
        start_telling(w, p);
        while (!must_stop(w)) {
            apr_pool_clear(p);
            look(w, p);
            rest(w);
        }
        apr_pool_destroy(p);
    }
    apr_thread_mutex_lock(w->mutex);
    w->ended = 1;
    apr_thread_cond_broadcast(w->cond);
    apr_thread_mutex_unlock(w->mutex);
    return NULL;
}

static apr_status_t make(cs_watch_t *w, cs_result_t *res)
{
    apr_status_t rv = cs_store_open(&w->store, &w->node->store, CS_STORE_READER, w->pool, res);

    if (rv == APR_SUCCESS) {
        rv = apr_thread_mutex_create(&w->mutex, APR_THREAD_MUTEX_DEFAULT, w->pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&w->cond, w->pool);
    }
    return rv == APR_SUCCESS ? apr_thread_create(&w->thread, NULL, run, w, w->pool) : rv;
}

apr_status_t cs_watch_start(cs_watch_t **pwatch, const cs_node_config_t *node, apr_pool_t *p,
                            cs_result_t *res)
{
    cs_watch_t *w;
    apr_pool_t *pool;
    apr_status_t rv = cs_pool_create_own(&pool, p, 1, "cosell-watch");

    if (rv != APR_SUCCESS) {
        return rv;
    }
    w = apr_pcalloc(pool, sizeof(*w));
    w->node = node;
    w->pool = pool;
    w->began = cs_time_mono();
    w->path = apr_pstrcat(pool, node->store.state_dir, "/alerts.json", NULL);
    cs_watch_memory_make(&w->memory, node, pool);
    rv = make(w, res);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "thread", "could not start the watch");
    }
    *pwatch = w;
    return APR_SUCCESS;
}

int cs_watch_stop(cs_watch_t *w, apr_interval_time_t budget)
{
    apr_interval_time_t end = cs_time_mono() + budget;
    apr_status_t rv;
    int ended;

    apr_thread_mutex_lock(w->mutex);
    w->stop = 1;
    apr_thread_cond_broadcast(w->cond);
    while (!w->ended && cs_time_mono() < end) {
        apr_thread_cond_timedwait(w->cond, w->mutex, end - cs_time_mono() + 1000);
    }
    ended = w->ended;
    apr_thread_mutex_unlock(w->mutex);
    if (!ended) {
        return 0;
    }
    apr_thread_join(&rv, w->thread);
    return cs_notifier_stop(w->notifier, end - cs_time_mono());
}
