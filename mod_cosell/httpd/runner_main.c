/* httpd/runner_main.c: the runner process: forked by the parent as mod_cgid forks its daemon,
 * watched, and forked again when it dies. (design 4)
 *
 * Ends in one way only: at once. Everything the runner does survives kill -9, and httpd waits
 * for it at every reload.
 */
#include "mod_cosell.h"

#include <ap_listen.h>
#include <ap_mpm.h>
#include <apr_signal.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <http_core.h>
#include <mpm_common.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "../base/command.h"
#include "../base/pool.h"
#include "../base/time.h"

APLOG_USE_MODULE(cosell);

#define LONGEST_PAUSE 60
/* A runner that lived so long has not failed at its start. */
#define GOOD_LIFE apr_time_from_sec(60)

int cosell_is_runner;

/* The parent's view. */
static struct {
    cosell_node_t *node;
    apr_pool_t *pconf;
    apr_proc_t *proc;             /* in pconf: looked at when this module is unloaded already */
    int running;
    int failures;                 /* deaths in a row */
    apr_interval_time_t started;  /* cs_time_mono() */
} watch;

/* What the runner process knows of its parent. */
typedef struct process_t {
    cosell_node_t *node;
    pid_t parent;
} process_t;

static int pause_of(int failures)
{
    int pause = failures < 1 ? 0 : 1;

    for (; failures > 1 && pause < LONGEST_PAUSE; failures--) {
        pause *= 2;
    }
    return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

/* ---- in the runner process ---- */

static void end_at_once(int sig)
{
    (void)sig;
    cs_command_end_all();
    _exit(0);
}

static void set_signals(void)
{
    static const int ending[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGQUIT };
    sigset_t none;
    apr_size_t i;

    for (i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
        apr_signal(ending[i], end_at_once);
    }
    /* httpd's handlers for these mean its own life. */
    apr_signal(SIGWINCH, SIG_IGN);
    apr_signal(SIGPIPE, SIG_IGN);
    apr_signal(SIGCHLD, SIG_DFL);
    apr_signal(SIGALRM, SIG_DFL);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* The kernel forgets the wish when the user changes: asked for again after that, and the parent may
 * have died in between. */
static void follow_parent(const process_t *process)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != process->parent) {
        _exit(0);
    }
}

static void beat(cosell_shared_t *shared)
{
    if (shared) {
        atomic_store_explicit(&shared->runner_beat, cs_time_mono(), memory_order_relaxed);
    }
    cs_runner_beat();
}

static int alive(void *baton)
{
    process_t *process = baton;

    if (getppid() != process->parent) {
        end_at_once(0);
    }
    beat(process->node->shared);
    return 1;
}

/* Sleeps without missing the end of the parent. */
static void rest(process_t *process, int seconds)
{
    apr_interval_time_t until = cs_time_mono() + apr_time_from_sec(seconds);

    while (cs_time_mono() < until) {
        poll(NULL, 0, 250);
        alive(process);
    }
}

/* A batch of two hundred deals needs tens of megabytes for a moment, and each worker's own arena
 * would keep its high-water mark. The process is ours alone, so this disturbs nobody. */
static void bound_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
#endif
}

static void drop_privileges(const process_t *process, apr_pool_t *p)
{
    int root = geteuid() == 0;

    if (ap_run_drop_privileges(p, process->node->server)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, process->node->server, CSLOGNO(1020)
                     "runner: could not drop privileges");
        _exit(1);
    }
    /* Its memory holds the API secrets, and scripts of this server run as the same user. The kernel
     * sees to it at the change of users, CoreDumpDirectory undoes it. */
    if (root) {
        prctl(PR_SET_DUMPABLE, 0);
    }
    follow_parent(process);
}

static const char *reason_of(const cs_result_t *res)
{
    return res->detail ? res->detail : "unknown reason";
}

/* reason NULL = it has started; said only when there was trouble before. */
static void say_start(const process_t *process, cs_log_state_t *state, const char *reason)
{
    if (!cs_log_state_changed(state, reason, apr_time_from_sec(3600), NULL)) {
        return;
    }
    if (reason) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, process->node->server, CSLOGNO(1021)
                     "runner: could not start, trying again: %s", reason);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, process->node->server, CSLOGNO(1026)
                     "runner: started after all");
    }
}

/* Until it can be made: a store directory that is missing today may be there tomorrow. */
static cs_runner_t *create_runner(process_t *process, apr_pool_t *p)
{
    cs_log_state_t state = { 0 };
    cs_runner_t *runner = NULL;
    int attempt;

    for (attempt = 1;; attempt++) {
        cs_result_t res = { 0 };
        apr_pool_t *ptry;
        apr_status_t rv;

        apr_pool_create(&ptry, p);
        rv = cs_runner_create(&runner, &process->node->cfg, ptry, &res);
        say_start(process, &state, rv == APR_SUCCESS ? NULL : reason_of(&res));
        if (rv == APR_SUCCESS) {
            return runner;
        }
        apr_pool_destroy(ptry);
        rest(process, pause_of(attempt));
    }
}

static void be_runner(cosell_node_t *node, pid_t parent, int pause)
    __attribute__((noreturn));
static void be_runner(cosell_node_t *node, pid_t parent, int pause)
{
    process_t process = { node, parent };
    cs_runner_t *runner;
    apr_pool_t *p;

    cosell_is_runner = 1;
    set_signals();
    ap_close_listeners();
    follow_parent(&process);
    prctl(PR_SET_NAME, "cosell-runner");
    bound_memory();
    rest(&process, pause);
    /* Never a child of pconf: what hangs on that belongs to the parent. */
    apr_pool_create(&p, NULL);
    apr_pool_tag(p, "cosell-runner");
    cs_runner_secrets_load(&node->cfg, p);
    drop_privileges(&process, p);
    json_object_seed(0);
    runner = create_runner(&process, p);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, node->server, CSLOGNO(1022)
                 "runner: process %ld works for %d site%s", (long)getpid(), node->sites->nelts,
                 node->sites->nelts == 1 ? "" : "s");
    cs_runner_run(runner, alive, &process);
    cs_command_end_all();
    _exit(0);
}

/* ---- in the parent ---- */

static void maintain(int reason, void *data, apr_wait_t status);

static apr_status_t fork_runner(void)
{
    int pause = pause_of(watch.failures - 1);
    cosell_shared_t *shared = watch.node->shared;
    pid_t parent = getpid(), pid;

    pid = fork();
    if (pid < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    if (pid == 0) {
        be_runner(watch.node, parent, pause);
    }
    watch.running = 1;
    watch.started = cs_time_mono() + apr_time_from_sec(pause);
    watch.proc->pid = pid;
    cs_count(CS_COUNT_RUNNER_STARTS, 1);
    if (shared) {
        atomic_store_explicit(&shared->runner_start, cs_time_now(), memory_order_relaxed);
        atomic_store_explicit(&shared->runner_pid, pid, memory_order_relaxed);
        beat(shared);
    }
    apr_pool_note_subprocess(watch.pconf, watch.proc, APR_KILL_AFTER_TIMEOUT);
    apr_proc_other_child_register(watch.proc, maintain, watch.proc, NULL, watch.pconf);
    return APR_SUCCESS;
}

static int server_goes_on(void)
{
    int state;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state != AP_MPMQ_STOPPING;
}

static void fork_again(void)
{
    apr_status_t rv = fork_runner();

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, watch.node->server, CSLOGNO(1023)
                     "could not fork the runner, trying again");
    }
}

static void runner_died(apr_wait_t status)
{
    watch.running = 0;
    if (watch.node->shared) {
        atomic_store_explicit(&watch.node->shared->runner_pid, 0, memory_order_relaxed);
    }
    if (!server_goes_on()) {
        return;
    }
    watch.failures = cs_time_mono() - watch.started >= GOOD_LIFE ? 1 : watch.failures + 1;
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, watch.node->server, CSLOGNO(1024)
                 "the runner ended (%s %d); a new one starts in %d s",
                 WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                 pause_of(watch.failures - 1));
    fork_again();
}

static void maintain(int reason, void *data, apr_wait_t status)
{
    switch (reason) {
    case APR_OC_REASON_DEATH:
    case APR_OC_REASON_LOST:
        apr_proc_other_child_unregister(data);
        runner_died(reason == APR_OC_REASON_DEATH ? status : 0);
        break;
    case APR_OC_REASON_RESTART:
        /* The server stops or restarts; the end of pconf ends the runner. */
        apr_proc_other_child_unregister(data);
        break;
    default:
        break;
    }
}

apr_status_t cosell_runner_fork(cosell_node_t *node, apr_pool_t *pconf)
{
    watch.node = node;
    watch.pconf = pconf;
    watch.proc = apr_pcalloc(pconf, sizeof(*watch.proc));
    watch.failures = 0;
    watch.running = 0;
    return fork_runner();
}

int cosell_runner_monitor(apr_pool_t *p, server_rec *s)
{
    (void)p, (void)s;
    if (watch.node && watch.node == cosell_node && !watch.running && server_goes_on()) {
        fork_again();
    }
    return DECLINED;
}

/* ---- -X: in a thread ---- */

struct cosell_runner_thread_t {
    cosell_node_t *node;
    apr_pool_t *p;            /* the thread's, with an allocator of its own */
    apr_thread_t *thread;
    cs_runner_t *_Atomic runner;
    atomic_int stopping;
};

static int thread_alive(void *baton)
{
    cosell_runner_thread_t *t = baton;

    beat(t->node->shared);
    return !atomic_load(&t->stopping);
}

static void thread_rest(cosell_runner_thread_t *t, int seconds)
{
    apr_interval_time_t until = cs_time_mono() + apr_time_from_sec(seconds);

    while (cs_time_mono() < until && thread_alive(t)) {
        poll(NULL, 0, 50);
    }
}

static void *APR_THREAD_FUNC run_thread(apr_thread_t *thread, void *baton)
{
    cosell_runner_thread_t *t = baton;
    cs_runner_t *runner = NULL;
    int attempt;

    (void)thread;
    for (attempt = 1; thread_alive(t); attempt++) {
        cs_result_t res = { 0 };
        apr_pool_t *ptry;

        apr_pool_create(&ptry, t->p);
        if (cs_runner_create(&runner, &t->node->cfg, ptry, &res) == APR_SUCCESS) {
            atomic_store(&t->runner, runner);
            cs_runner_run(runner, thread_alive, t);
            atomic_store(&t->runner, NULL);
            cs_runner_destroy(runner, apr_time_from_sec(2));
            break;
        }
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, t->node->server, CSLOGNO(1025)
                     "runner: could not start, trying again: %s",
                     reason_of(&res));
        apr_pool_destroy(ptry);
        thread_rest(t, pause_of(attempt));
    }
    return NULL;
}

apr_status_t cosell_runner_thread_start(cosell_runner_thread_t **pt, cosell_node_t *node,
                                        apr_pool_t *pchild)
{
    cosell_runner_thread_t *t = apr_pcalloc(pchild, sizeof(*t));
    apr_status_t rv;

    t->node = node;
    rv = cs_pool_create_own(&t->p, NULL, 1, "cosell-runner-thread");
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (node->shared) {
        atomic_store(&node->shared->runner_pid, getpid());
        atomic_store(&node->shared->runner_start, cs_time_now());
    }
    cs_count(CS_COUNT_RUNNER_STARTS, 1);
    rv = apr_thread_create(&t->thread, NULL, run_thread, t, pchild);
    if (rv == APR_SUCCESS) {
        *pt = t;
    }
    return rv;
}

void cosell_runner_thread_stop(cosell_runner_thread_t *t)
{
    cs_runner_t *runner;
    apr_status_t rv;

    atomic_store(&t->stopping, 1);
    runner = atomic_load(&t->runner);
    if (runner) {
        cs_runner_stop(runner);
    }
    cosell_wake(NULL);
    apr_thread_join(&rv, t->thread);
    apr_pool_destroy(t->p);
}
