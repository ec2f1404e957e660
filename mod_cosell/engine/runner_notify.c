/* engine/runner_notify.c: calls whom CosellNotify names. A thread of its own, for a call may take
 * ten seconds; it reads the alerts as any page does, and never touches the disk. */
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_proc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/command.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../base/pool.h"
#include "../base/time.h"
#include "runner_watch.h"

#define ROUND apr_time_from_sec(1)
#define CALL_TIME apr_time_from_sec(10)
#define LOG_INTERVAL apr_time_from_sec(3600)

struct cs_notifier_t {
    const cs_node_config_t *node;
    apr_pool_t *pool;
    const char *server, *path;
    int n;
    const cs_notify_target_t *targets[CS_NOTIFY_TARGETS];
    cs_notify_state_t states[CS_NOTIFY_TARGETS];
    cs_limiter_t limiters[CS_NOTIFY_TARGETS];
    cs_log_state_t logs[CS_NOTIFY_TARGETS];
    cs_http_t *http;
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    int stop, ended; /* under the mutex */
};

/* ---- a call ---- */

static apr_status_t run_command(const cs_notifier_t *n, int i, const json_t *document,
                                apr_pool_t *p, cs_result_t *res)
{
    char *const *argv = cs_command_split(n->targets[i]->command, p);
    const char *text = cs_json_print(document, p);

    if (!argv) {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_RETRY, "command", "there is no command");
    }
    return cs_command_run(argv, cs_notify_environment(document, n->path, p), text, strlen(text),
                          CALL_TIME, p, res);
}

static apr_status_t send_document(cs_notifier_t *n, int i, const json_t *document, apr_pool_t *p,
                                  cs_result_t *res)
{
    const cs_notify_target_t *target = n->targets[i];
    cs_http_request_t request = {0};
    cs_http_response_t response = {0};
    apr_status_t rv;

    request.method = "POST";
    request.url = target->url;
    request.headers = apr_table_make(p, 2);
    apr_table_setn(request.headers, "Content-Type", "application/json");
    request.body = cs_json_print(document, p);
    request.body_len = strlen(request.body);
    request.max_response = 64 * 1024;
    request.timeout = CALL_TIME;
    request.label = apr_pstrcat(p, "notify ", cs_http_origin(target->url, p), NULL);
    rv = cs_http_perform(n->http, target->upstream, &n->limiters[i], &request, &response, 1,
                         cs_time_mono() + CALL_TIME, p);
    if (rv == APR_SUCCESS) {
        cs_http_classify(res, &response, &request, p);
        rv = res->rv;
    }
    return rv;
}

/* The rest of an address is often what lets one in; arguments of a program may be, too. */
static const char *shown(const cs_notify_target_t *target, apr_pool_t *p)
{
    return target->command ? cs_command_split(target->command, p)[0]
                           : cs_http_origin(target->url, p);
}

static void say_outcome(cs_notifier_t *n, int i, apr_status_t rv, const cs_result_t *res,
                        apr_pool_t *p)
{
    unsigned long silent = 0;
    const char *why = res->detail ? res->detail : "no detail";

    if (!cs_log_state_changed(&n->logs[i],
                              rv == APR_SUCCESS ? NULL
                              : res->problem    ? res->problem
                                                : "failed",
                              LOG_INTERVAL, &silent)) {
        return;
    }
    if (rv == APR_SUCCESS) {
        cs_log(CS_LOG_NOTICE, 0, NULL, CSLOGNO(2370) "CosellNotify %s works again",
               shown(n->targets[i], p));
    }
    else {
        cs_log(CS_LOG_WARNING, 0, NULL,
               CSLOGNO(2371) "CosellNotify %s failed and is tried again: %s; %lu failures before "
                             "were not logged",
               shown(n->targets[i], p), why, silent);
    }
}

/* 1 = something was told. */
static int call_target(cs_notifier_t *n, int i, const apr_array_header_t *alerts, apr_pool_t *p)
{
    const cs_notify_target_t *target = n->targets[i];
    cs_notify_state_t *state = &n->states[i];
    cs_result_t res = {0};
    cs_notify_call_t call;
    json_t *document;
    apr_status_t rv;

    if (state->next && cs_time_boot() < state->next) {
        return 0;
    }
    cs_notify_next(&call, state, target, alerts, cs_time_now());
    if (call.kind == CS_NOTIFY_NOTHING) {
        return 0;
    }
    document = cs_notify_document(&call, state, target, alerts, n->server, n->node->user_agent,
                                  cs_time_now(), p);
    rv = target->command ? run_command(n, i, document, p, &res)
                         : send_document(n, i, document, p, &res);
    cs_gauge_add(CS_GAUGE_NOTIFY_CALLS, -1, -1, 1);
    cs_gauge_add(CS_GAUGE_NOTIFY_FAILED, -1, -1, rv != APR_SUCCESS);
    say_outcome(n, i, rv, &res, p);
    cs_notify_done(state, &call, target, alerts, rv == APR_SUCCESS, cs_time_now(), cs_time_boot());
    return 1;
}

/* ---- the thread ---- */

static int must_stop(cs_notifier_t *n)
{
    int stop;

    apr_thread_mutex_lock(n->mutex);
    stop = n->stop;
    apr_thread_mutex_unlock(n->mutex);
    return stop;
}

static void tell_all(cs_notifier_t *n, apr_pool_t *p)
{
    const apr_array_header_t *alerts = cs_alerts_list(NULL, p);
    int i, told = 0;

    for (i = 0; i < n->n && !must_stop(n); i++) {
        told |= call_target(n, i, alerts, p);
    }
    if (told) {
        cs_memo_put(cs_notify_save(n->states, n->targets, n->n, p));
    }
}

static void rest(cs_notifier_t *n)
{
    apr_thread_mutex_lock(n->mutex);
    if (!n->stop) {
        apr_thread_cond_timedwait(n->cond, n->mutex, cs_time_wait(ROUND));
    }
    apr_thread_mutex_unlock(n->mutex);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    cs_notifier_t *n = baton;
    apr_pool_t *p;

    (void)thread;
    if (cs_pool_create_own(&p, NULL, 0, "cosell-notify-round") == APR_SUCCESS) {
        while (!must_stop(n)) {
            tell_all(n, p);
            apr_pool_clear(p);
            rest(n);
        }
        apr_pool_destroy(p);
    }
    apr_thread_mutex_lock(n->mutex);
    n->ended = 1;
    apr_thread_cond_broadcast(n->cond);
    apr_thread_mutex_unlock(n->mutex);
    return NULL;
}

static const char *server_name(apr_pool_t *p)
{
    char name[256] = "";

    return gethostname(name, sizeof(name) - 1) || !*name ? "localhost" : apr_pstrdup(p, name);
}

static apr_status_t make(cs_notifier_t *n)
{
    apr_status_t rv = apr_thread_mutex_create(&n->mutex, APR_THREAD_MUTEX_DEFAULT, n->pool);

    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&n->cond, n->pool);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_http_create(&n->http, NULL, n->pool);
    }
    return rv == APR_SUCCESS ? apr_thread_create(&n->thread, NULL, run, n, n->pool) : rv;
}

apr_status_t cs_notifier_start(cs_notifier_t **pnotifier, const cs_node_config_t *node,
                               const char *saved, apr_pool_t *p, cs_result_t *res)
{
    const apr_array_header_t *list = node->notify;
    cs_notifier_t *n;
    apr_pool_t *pool;
    apr_status_t rv;
    int i;

    *pnotifier = NULL;
    if (!list || !list->nelts) {
        return APR_SUCCESS;
    }
    rv = cs_pool_create_own(&pool, p, 1, "cosell-notify");
    if (rv != APR_SUCCESS) {
        return rv;
    }
    n = apr_pcalloc(pool, sizeof(*n));
    n->node = node;
    n->pool = pool;
    n->server = server_name(pool);
    n->path = getenv("PATH");
    n->n = list->nelts < CS_NOTIFY_TARGETS ? list->nelts : CS_NOTIFY_TARGETS;
    for (i = 0; i < n->n; i++) {
        n->targets[i] = APR_ARRAY_IDX(list, i, const cs_notify_target_t *);
    }
    cs_notify_load(n->states, n->targets, n->n, saved, pool);
    rv = make(n);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "thread",
                             "could not start the thread of CosellNotify");
    }
    *pnotifier = n;
    return APR_SUCCESS;
}

int cs_notifier_stop(cs_notifier_t *n, apr_interval_time_t budget)
{
    apr_interval_time_t end = cs_time_mono() + budget;
    apr_status_t rv;
    int ended;

    if (!n) {
        return 1;
    }
    cs_http_abort(n->http);
    apr_thread_mutex_lock(n->mutex);
    n->stop = 1;
    apr_thread_cond_broadcast(n->cond);
    cs_command_end_all(); /* what it was to tell is told by the next one */
    while (!n->ended && cs_time_mono() < end) {
        apr_thread_cond_timedwait(n->cond, n->mutex, end - cs_time_mono() + 1000);
    }
    ended = n->ended;
    apr_thread_mutex_unlock(n->mutex);
    if (ended) {
        apr_thread_join(&rv, n->thread);
    }
    return ended;
}
