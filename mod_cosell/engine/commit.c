/* engine/commit.c: group commit.
 *
 * An item is one request's notice, in memory of its own: the committer may go on with it when the
 * request has long given up. Two hold it, the request and the committer; who lets go last frees it.
 * Each request sleeps on its own item's semaphore, so an outcome wakes the one it is for, and a
 * post before the wait is not lost.
 *
 *   submit          copy, queue, wake the thread if it sleeps, wait for the item
 *   thread          take up to a group, store it outside the lock, tell each item its outcome
 *
 * A request that gives up takes its item out of the queue, so it is never stored; if it was taken
 * already it may be, which the sender's repeat makes harmless.
 *
 * A hung disk. Requests know when the commit in progress began. Once that is longer ago than
 * `slow`, those above a quarter of the threads leave: the ones that come are refused, the ones that
 * wait look by themselves, `slow` after they came or the commit began.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/gauge.h"
#include "../base/log.h"
#include "../base/pool.h"
#include "../base/time.h"
#include "commit.h"

#define GROUP_MAX 128
#define GROUP_BYTES (1024 * 1024)
/* A name costs about as much as this many bytes: 100 notices of 100 names are not one group. */
#define NAME_COST 1024
/* After a group that failed because of the machine the next one waits: repeating at full speed
 * would only heat it. */
#define FAILED_PAUSE apr_time_from_msec(50)
#define GATHER 500 /* microseconds */
#define LOG_INTERVAL apr_time_from_sec(60)

typedef struct item_t {
    struct item_t *next;
    cs_notice_t notice;
    apr_array_header_t names, tables;
    cs_job_t job;
    apr_size_t cost;
    sem_t told;
    atomic_int over;
    atomic_int refs;
    int taken; /* in the commit in progress; under the mutex */
    apr_status_t rv;
    const char *problem; /* static */
    char reason[300];
    /* the strings follow */
} item_t;

struct cs_committer_t {
    cs_committer_config_t cfg;
    apr_pool_t *pool;  /* own; destroyed after the join, left alone with a thread that hangs */
    apr_pool_t *ptemp; /* the thread's, cleared after each group */
    apr_thread_t *thread;
    cs_store_t *store;     /* the thread's */
    pthread_mutex_t mutex; /* for all below */
    pthread_cond_t work;   /* the thread sleeps */
    pthread_cond_t ended;  /* stop() sleeps */
    atomic_int waiting;    /* requests inside submit(); raised under the mutex */
    item_t *first, **last;
    int limit; /* of waiting requests while a commit is slow */
    int idle, stopping, done;
    int gathering;             /* the thread waits for the expected ones */
    atomic_int expected;       /* requests that are about to submit */
    apr_interval_time_t since; /* the commit in progress began; 0 = none */
    int bad;                   /* the last group failed */
    char reason[300];
    cs_log_state_t log;
};

/* ---- items ---- */

static apr_size_t size_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *keep(char **pto, const char *text)
{
    apr_size_t len = size_of(text);
    char *copy = *pto;

    if (!text) {
        return NULL;
    }
    memcpy(copy, text, len);
    *pto += len;
    return copy;
}

static int names_of(const cs_notice_t *n)
{
    return n->names ? n->names->nelts : 0;
}

static int tables_of(const cs_notice_t *n)
{
    return n->tables ? n->tables->nelts : 0;
}

static apr_size_t text_size(const cs_notice_t *n)
{
    apr_size_t size = size_of(n->site) + size_of(n->source) + size_of(n->event) +
                      size_of(n->digest) + size_of(n->problem) + size_of(n->body) +
                      size_of(n->kind) + size_of(n->system) + size_of(n->trace);
    int i;

    if (n->job) {
        size += size_of(n->job->site) + size_of(n->job->id) + size_of(n->job->kind) +
                size_of(n->job->user);
    }
    for (i = 0; i < tables_of(n); i++) {
        size += size_of(APR_ARRAY_IDX(n->tables, i, const char *));
    }

    for (i = 0; i < names_of(n); i++) {
        size += size_of(APR_ARRAY_IDX(n->names, i, const char *));
    }
    return size;
}

static void keep_list(apr_array_header_t *to, const apr_array_header_t *from, const char **list,
                      char **ptext)
{
    int i;

    to->elt_size = sizeof(const char *);
    to->nelts = to->nalloc = from->nelts;
    to->elts = (char *)list;
    for (i = 0; i < from->nelts; i++) {
        list[i] = keep(ptext, APR_ARRAY_IDX(from, i, const char *));
    }
}

/* What a person asks for: it is new, and has nothing but its arguments yet. */
static void copy_job(item_t *item, const cs_job_t *job, char **ptext)
{
    item->job = *job;
    item->job.site = keep(ptext, job->site);
    item->job.id = keep(ptext, job->id);
    item->job.kind = keep(ptext, job->kind);
    item->job.user = keep(ptext, job->user);
    item->job.arguments = json_deep_copy(job->arguments);
    item->job.cursor = item->job.progress = item->job.result = NULL;
    item->notice.job = &item->job;
}

/* Whoever waits for it may give up first: nothing of it is borrowed. */
static void copy_notice(item_t *item, const cs_notice_t *n, const char **lists, char *text)
{

    item->notice = *n;
    item->notice.site = keep(&text, n->site);
    item->notice.source = keep(&text, n->source);
    item->notice.event = keep(&text, n->event);
    item->notice.digest = keep(&text, n->digest);
    item->notice.problem = keep(&text, n->problem);
    item->notice.body = keep(&text, n->body);
    item->notice.kind = keep(&text, n->kind);
    item->notice.system = keep(&text, n->system);
    item->notice.trace = keep(&text, n->trace);
    item->notice.names = &item->names;
    item->names.elt_size = sizeof(const char *);
    if (n->names) {
        keep_list(&item->names, n->names, lists, &text);
    }
    if (n->tables) {
        keep_list(&item->tables, n->tables, lists + names_of(n), &text);
        item->notice.tables = &item->tables;
    }
    if (n->job) {
        copy_job(item, n->job, &text);
    }
}

/* One block: the item, its names, its strings. */
static item_t *make_item(const cs_notice_t *n)
{
    apr_size_t texts = text_size(n);
    apr_size_t lists = sizeof(const char *) * (apr_size_t)(names_of(n) + tables_of(n));
    item_t *item = malloc(sizeof(*item) + lists + texts);
    char *rest;

    if (!item) {
        return NULL;
    }
    rest = (char *)(item + 1);
    memset(item, 0, sizeof(*item));
    copy_notice(item, n, (const char **)(void *)rest, rest + lists);
    item->cost = sizeof(*item) + texts + NAME_COST * (apr_size_t)names_of(n);
    sem_init(&item->told, 0, 0);
    atomic_init(&item->refs, 2);
    return item;
}

static void let_go(item_t *item)
{
    if (atomic_fetch_sub_explicit(&item->refs, 1, memory_order_acq_rel) == 1) {
        sem_destroy(&item->told);
        json_decref(item->job.arguments);
        free(item);
    }
}

/* ---- the thread ---- */

/* Takes a group out of the queue. With the mutex. */
static int take_group(cs_committer_t *c, item_t **group)
{
    apr_size_t cost = 0;
    item_t *item;
    int n = 0;

    while ((item = c->first) && n < GROUP_MAX && (!n || cost + item->cost <= GROUP_BYTES)) {
        c->first = item->next;
        if (!c->first) {
            c->last = &c->first;
        }
        item->taken = 1;
        cost += item->cost;
        group[n++] = item;
    }
    return n;
}

static void tell(item_t *item, apr_status_t rv, const cs_result_t *res)
{
    item->rv = rv;
    if (rv != APR_SUCCESS) {
        item->problem = res->problem;
        apr_cpystrn(item->reason, res->detail ? res->detail : "", sizeof(item->reason));
    }
    atomic_store_explicit(&item->over, 1, memory_order_release);
    sem_post(&item->told);
    let_go(item);
}

static apr_status_t store_items(cs_committer_t *c, item_t **group, int n, cs_result_t *res)
{
    const cs_notice_t *notices[GROUP_MAX];
    apr_status_t rv;
    int i;

    for (i = 0; i < n; i++) {
        notices[i] = &group[i]->notice;
    }
    CS_CRASH_POINT("commit-before");
    rv = cs_store_accept(c->store, notices, n, c->ptemp, res);
    CS_CRASH_POINT("commit-after");
    if (rv == APR_SUCCESS) {
        cs_count(CS_COUNT_GROUPS, 1);
    }
    else {
        cs_count(CS_COUNT_STORE_ERRORS, 1);
    }
    return rv;
}

/* Not about the machine but about a notice. */
static int is_poison(apr_status_t rv)
{
    return rv == APR_EINVAL || rv == CS_ELIMIT;
}

/* One line per change. The problem's word decides what a change is: the sentence differs with the
 * step that failed. */
static void say_state(cs_committer_t *c, apr_status_t rv, int n, const cs_result_t *res)
{
    const char *word = rv == APR_SUCCESS ? NULL : res->problem ? res->problem : "unknown";
    unsigned long silent = 0;
    int changed;

    pthread_mutex_lock(&c->mutex);
    changed = cs_log_state_changed(&c->log, word, LOG_INTERVAL, &silent);
    pthread_mutex_unlock(&c->mutex);
    if (!changed) {
        return;
    }
    if (rv == APR_SUCCESS) {
        cs_log(CS_LOG_NOTICE, 0, NULL,
               CSLOGNO(2201) "callbacks are stored again; %lu failures were not logged", silent);
    }
    else if (n) {
        cs_log(CS_LOG_ERR, 0, NULL,
               CSLOGNO(2202) "could not store %d callbacks: %s; %lu failures before were not "
                             "logged",
               n, res->detail ? res->detail : word, silent);
    }
    else {
        cs_log(CS_LOG_ERR, 0, NULL, CSLOGNO(2203) "callbacks cannot be stored: %s",
               res->detail ? res->detail : word);
    }
}

static void note_outcome(cs_committer_t *c, apr_status_t rv, const char *reason)
{
    pthread_mutex_lock(&c->mutex);
    c->since = 0;
    c->bad = rv != APR_SUCCESS;
    cs_trouble_note(CS_TROUBLE_ACCEPT, rv);
    apr_cpystrn(c->reason, reason ? reason : "", sizeof(c->reason));
    pthread_mutex_unlock(&c->mutex);
}

static void tell_all(item_t **group, int n, apr_status_t rv, const cs_result_t *res)
{
    int i;

    for (i = 0; i < n; i++) {
        tell(group[i], rv, res);
    }
}

/* One bad notice must not take its neighbours along: each alone, once. Returns the status of the
 * machine. */
static apr_status_t store_each(cs_committer_t *c, item_t **group, int n, cs_result_t *res)
{
    apr_status_t rv, machine = APR_SUCCESS;
    int i;

    for (i = 0; i < n; i++) {
        if (machine == APR_SUCCESS) {
            rv = store_items(c, &group[i], 1, res);
            machine = is_poison(rv) ? APR_SUCCESS : rv;
            if (is_poison(rv)) {
                cs_log(CS_LOG_INFO, 0, group[i]->notice.site,
                       CSLOGNO(2204) "a callback cannot be stored: %s", res->detail);
            }
        }
        else {
            rv = machine;
        }
        tell(group[i], rv, res);
    }
    return machine;
}

static apr_status_t commit_group(cs_committer_t *c, item_t **group, int n)
{
    cs_result_t res;
    apr_status_t rv;

    cs_result_clear(&res);
    rv = store_items(c, group, n, &res);
    if (is_poison(rv)) {
        rv = store_each(c, group, n, &res);
        note_outcome(c, rv, res.detail);
        say_state(c, rv, n, &res);
    }
    else {
        /* Said before it is told: who asks why an answer was 503 finds the line. */
        note_outcome(c, rv, res.detail);
        say_state(c, rv, n, &res);
        tell_all(group, n, rv, &res);
    }
    if (rv == APR_SUCCESS && c->cfg.committed) {
        c->cfg.committed(c->cfg.baton);
    }
    return rv;
}

static void timespec_of(struct timespec *ts, apr_interval_time_t mono)
{
    ts->tv_sec = (time_t)(mono / APR_USEC_PER_SEC);
    ts->tv_nsec = (long)(mono % APR_USEC_PER_SEC) * 1000;
}

/* With the mutex. A stop ends the pause. */
static void pause_after_failure(cs_committer_t *c)
{
    struct timespec until;

    timespec_of(&until, cs_time_mono() + FAILED_PAUSE);
    while (!c->stopping && !pthread_cond_timedwait(&c->work, &c->mutex, &until)) {
    }
}

/* Requests whose signature is being verified right now are here in microseconds: one sync does for
 * them, too. When nobody is on the way nobody is waited for. With the mutex. */
static void gather(cs_committer_t *c)
{
    struct timespec until;

    if (!c->first || c->stopping || atomic_load(&c->expected) <= 0) {
        return;
    }
    timespec_of(&until, cs_time_mono() + GATHER);
    c->gathering = 1;
    while (!c->stopping && atomic_load(&c->expected) > 0 &&
           !pthread_cond_timedwait(&c->work, &c->mutex, &until)) {
    }
    c->gathering = 0;
}

/* Returns the size of the next group; 0 when all is written and the end was asked for. */
static int wait_for_group(cs_committer_t *c, item_t **group, apr_status_t last)
{
    int n;

    pthread_mutex_lock(&c->mutex);
    if (last != APR_SUCCESS) {
        pause_after_failure(c);
    }
    while (!c->first && !c->stopping) {
        c->idle = 1;
        pthread_cond_wait(&c->work, &c->mutex);
        c->idle = 0;
    }
    gather(c);
    n = take_group(c, group);
    c->since = n ? cs_time_mono() : 0;
    pthread_mutex_unlock(&c->mutex);
    return n;
}

/* What is wrong is said before the first request meets it, and a new store is made before it. */
static void look_at_store(cs_committer_t *c)
{
    cs_result_t res;
    apr_status_t rv;

    cs_result_clear(&res);
    pthread_mutex_lock(&c->mutex);
    c->since = cs_time_mono();
    pthread_mutex_unlock(&c->mutex);
    rv = cs_store_check(c->store, c->ptemp, &res);
    note_outcome(c, rv, res.detail);
    say_state(c, rv, 0, &res);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    cs_committer_t *c = baton;
    item_t *group[GROUP_MAX];
    apr_status_t rv = APR_SUCCESS;
    int n;

    (void)thread;
    look_at_store(c);
    apr_pool_clear(c->ptemp);
    while ((n = wait_for_group(c, group, rv))) {
        rv = commit_group(c, group, n);
        apr_pool_clear(c->ptemp);
    }
    cs_store_close(c->store);
    pthread_mutex_lock(&c->mutex);
    c->done = 1;
    pthread_cond_broadcast(&c->ended);
    pthread_mutex_unlock(&c->mutex);
    /* Not apr_thread_exit(): it leaves over our frames, and nobody asks for a value. */
    return NULL;
}

/* ---- starting ---- */

static void init_locks(cs_committer_t *c)
{
    pthread_mutexattr_t mattr;
    pthread_condattr_t attr;

    pthread_mutexattr_init(&mattr);
    /* Held for a few instructions by many threads: cheaper to try again than to sleep. */
    pthread_mutexattr_settype(&mattr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&c->mutex, &mattr);
    pthread_mutexattr_destroy(&mattr);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->work, &attr);
    pthread_cond_init(&c->ended, &attr);
    pthread_condattr_destroy(&attr);
}

/* Everything but the committer itself. Failures in words that live in c->pool. */
static apr_status_t set_up(cs_committer_t *c, cs_result_t *res)
{
    apr_status_t rv = apr_pool_create(&c->ptemp, c->pool);

    if (rv != APR_SUCCESS) {
        return cs_result_set(res, c->pool, rv, CS_CLASS_RETRY, "commit:memory", "out of memory");
    }
    apr_pool_tag(c->ptemp, "commit group");
    rv = cs_store_open(&c->store, c->cfg.store, CS_STORE_WRITER, c->pool, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    init_locks(c);
    rv = apr_thread_create(&c->thread, NULL, run, c, c->pool);
    return rv == APR_SUCCESS ? rv
                             : cs_result_set(res, c->pool, rv, CS_CLASS_RETRY, "commit:thread",
                                             "could not start the committer's thread");
}

apr_status_t cs_committer_start(cs_committer_t **pc, const cs_committer_config_t *cfg,
                                apr_pool_t *p, cs_result_t *res)
{
    cs_committer_t *c;
    cs_result_t why;
    apr_pool_t *pool;
    apr_status_t rv;

    *pc = NULL;
    cs_result_clear(&why);
    /* Not below p: a thread that hangs at the end is left behind and must keep its memory. shared:
     * the thread and its creator both use it. */
    rv = cs_pool_create_own(&pool, NULL, 1, "committer");
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "commit:memory", "out of memory");
    }
    c = apr_pcalloc(pool, sizeof(*c));
    c->pool = pool;
    c->cfg = *cfg;
    c->limit = cfg->threads / 4 > 1 ? cfg->threads / 4 : 1;
    c->last = &c->first;
    rv = set_up(c, &why);
    if (rv != APR_SUCCESS) {
        if (res) {
            cs_result_copy(res, &why, p);
        }
        apr_pool_destroy(pool);
        return rv;
    }
    cs_result_clear(res);
    *pc = c;
    return APR_SUCCESS;
}

/* ---- requests ---- */

static int is_slow(const cs_committer_t *c, apr_interval_time_t now)
{
    return c->since && now - c->since > c->cfg.slow;
}

/* NULL, or why this request is not let in. With the mutex. */
static const char *refuse(const cs_committer_t *c, apr_interval_time_t now)
{
    if (c->stopping) {
        return "the server is stopping";
    }
    if (is_slow(c, now) && atomic_load(&c->waiting) >= c->limit) {
        return "the store is slow and enough requests wait for it";
    }
    return NULL;
}

static const char *enqueue(cs_committer_t *c, item_t *item, apr_interval_time_t now)
{
    const char *why;
    int wake = 0;

    pthread_mutex_lock(&c->mutex);
    why = refuse(c, now);
    if (!why) {
        *c->last = item;
        c->last = &item->next;
        atomic_fetch_add(&c->waiting, 1);
        wake = c->idle || (c->gathering && atomic_load(&c->expected) <= 0);
        c->idle = 0;
    }
    pthread_mutex_unlock(&c->mutex);
    if (wake) {
        pthread_cond_signal(&c->work);
    }
    return why;
}

/* Woken by the clock: leave, or when to look again? With the mutex. */
static const char *leave_or_stay(const cs_committer_t *c, apr_interval_time_t now,
                                 apr_interval_time_t until, apr_interval_time_t *pnext)
{
    if (now >= until) {
        return "the store did not answer in time";
    }
    if (is_slow(c, now)) {
        if (atomic_load(&c->waiting) > c->limit) {
            return "the store is slow and enough requests wait for it";
        }
        *pnext = until;
        return NULL;
    }
    *pnext = (c->since ? c->since : now) + c->cfg.slow + 1000;
    return NULL;
}

/* Out of the queue, if it is still there. With the mutex. Returns 1 if the queue's hold is now ours
 * to let go. */
static int dequeue(cs_committer_t *c, item_t *item)
{
    item_t **pi = &c->first;

    if (item->taken) {
        return 0;
    }
    while (*pi != item) {
        pi = &(*pi)->next;
    }
    *pi = item->next;
    if (c->last == &item->next) {
        c->last = pi;
    }
    return 1;
}

/* A commit that does not return cannot say so: a request that gives up does. With the mutex.
 * Returns how long the commit has been hanging if that is to be said, else 0. */
static apr_interval_time_t hanging(cs_committer_t *c, apr_interval_time_t now)
{
    apr_interval_time_t age = c->since ? now - c->since : 0;

    if (age < c->cfg.patience - c->cfg.slow) {
        return 0;
    }
    return cs_log_state_changed(&c->log, "hangs", LOG_INTERVAL, NULL) ? age : 0;
}

/* After a time-out of the wait. NULL = wait on until *pnext. */
static const char *reconsider(cs_committer_t *c, item_t *item, apr_interval_time_t until,
                              apr_interval_time_t *pnext)
{
    apr_interval_time_t now = cs_time_mono(), age = 0;
    const char *why;
    int ours = 0;

    pthread_mutex_lock(&c->mutex);
    why = leave_or_stay(c, now, until, pnext);
    if (why) {
        atomic_fetch_sub(&c->waiting, 1);
        ours = dequeue(c, item);
        age = hanging(c, now);
    }
    pthread_mutex_unlock(&c->mutex);
    if (age) {
        cs_log(CS_LOG_ERR, 0, NULL,
               CSLOGNO(2205) "callbacks cannot be stored: the disk below %s has not answered for "
                             "%" APR_TIME_T_FMT " ms",
               c->cfg.store->state_dir, apr_time_as_msec(age));
    }
    if (ours) {
        let_go(item);
    }
    return why;
}

/* Waits for the outcome. NULL, or why we left without it. */
static const char *await(cs_committer_t *c, item_t *item, apr_interval_time_t now)
{
    apr_interval_time_t until = now + c->cfg.patience;
    apr_interval_time_t next = now + c->cfg.slow + 1000;
    const char *why;
    struct timespec ts;

    for (;;) {
        timespec_of(&ts, next < until ? next : until);
        if (!sem_clockwait(&item->told, CLOCK_MONOTONIC, &ts)) {
            atomic_fetch_sub(&c->waiting, 1);
            (void)atomic_load_explicit(&item->over, memory_order_acquire);
            return NULL;
        }
        if (errno != EINTR) {
            why = reconsider(c, item, until, &next);
            if (why) {
                /* It may have come just now, between the clock and the mutex. */
                return atomic_load_explicit(&item->over, memory_order_acquire) ? NULL : why;
            }
        }
    }
}

apr_status_t cs_committer_submit(cs_committer_t *c, const cs_notice_t *notice, apr_pool_t *p,
                                 cs_result_t *res)
{
    apr_interval_time_t now = cs_time_mono();
    item_t *item = make_item(notice);
    const char *why;
    apr_status_t rv;

    if (!item) {
        return cs_result_set(res, p, APR_ENOMEM, CS_CLASS_RETRY, "commit:memory", "out of memory");
    }
    why = enqueue(c, item, now);
    if (why) {
        let_go(item);
        let_go(item);
        return cs_result_set(res, p, CS_ENOTDURABLE, CS_CLASS_RETRY, "commit:refused", "%s", why);
    }
    why = await(c, item, now);
    if (why) {
        rv = cs_result_set(res, p, CS_ENOTDURABLE, CS_CLASS_RETRY, "commit:late", "%s", why);
    }
    else if (item->rv != APR_SUCCESS) {
        rv = cs_result_set(res, p, item->rv, CS_CLASS_RETRY, item->problem, "%s", item->reason);
    }
    else {
        cs_result_clear(res);
        rv = APR_SUCCESS;
    }
    let_go(item);
    return rv;
}

/* ---- stopping, looking ---- */

/* 1 if the thread has ended before `until`. */
static int await_end(cs_committer_t *c, apr_interval_time_t until)
{
    struct timespec ts;
    int timeup = 0, done;

    timespec_of(&ts, until);
    pthread_mutex_lock(&c->mutex);
    c->stopping = 1;
    pthread_cond_signal(&c->work);
    while (!c->done && !timeup) {
        timeup = pthread_cond_timedwait(&c->ended, &c->mutex, &ts) != 0;
    }
    done = c->done;
    pthread_mutex_unlock(&c->mutex);
    /* Who was told by the last group may still be on the way out. */
    while (done && atomic_load(&c->waiting) > 0) {
        apr_sleep(1000);
        done = cs_time_mono() < until;
    }
    return done;
}

apr_status_t cs_committer_stop(cs_committer_t *c, apr_interval_time_t budget)
{
    apr_status_t rv;

    if (!await_end(c, cs_time_mono() + budget)) {
        apr_thread_detach(c->thread);
        return APR_TIMEUP;
    }
    apr_thread_join(&rv, c->thread);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->ended);
    apr_pool_destroy(c->pool);
    return APR_SUCCESS;
}

void cs_committer_expect(cs_committer_t *c)
{
    atomic_fetch_add(&c->expected, 1);
}

void cs_committer_unexpect(cs_committer_t *c)
{
    atomic_fetch_sub(&c->expected, 1);
}

int cs_committer_waiting(cs_committer_t *c)
{
    return atomic_load(&c->waiting);
}

int cs_committer_troubled(cs_committer_t *c, const char **preason, apr_pool_t *p)
{
    apr_interval_time_t now = cs_time_mono();
    const char *why = NULL;

    pthread_mutex_lock(&c->mutex);
    if (c->bad) {
        why = c->reason;
    }
    if (is_slow(c, now)) {
        why = "the store does not answer";
    }
    if (preason) {
        *preason = why ? apr_pstrdup(p, why) : NULL;
    }
    pthread_mutex_unlock(&c->mutex);
    return why != NULL;
}
