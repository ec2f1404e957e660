#include "command.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "time.h"

typedef struct running_t {
    pid_t pid;
    int in, out; /* our ends; -1 = closed */
    const char *text;
    apr_size_t left;
    char said[CS_COMMAND_SAID + 1];
    apr_size_t len;
    apr_interval_time_t deadline;
} running_t;

/* Groups of programs that run, for whoever ends this process. 0 = free. */
#define AT_ONCE 8
static _Atomic pid_t groups[AT_ONCE];

char *const *cs_command_split(const char *line, apr_pool_t *p)
{
    char **argv = apr_pcalloc(p, sizeof(*argv) * (CS_COMMAND_ARGS + 1));
    char *state = NULL;
    char *word = apr_strtok(apr_pstrdup(p, line), " \t", &state);
    int n = 0;

    for (; word; word = apr_strtok(NULL, " \t", &state)) {
        if (n == CS_COMMAND_ARGS) {
            return NULL;
        }
        argv[n++] = word;
    }
    return n ? argv : NULL;
}

/* A group of its own, so that the end of its time also ends what it started; the signal state of a
 * new process. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t all, none;

    sigfillset(&all);
    sigemptyset(&none);
    return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF) ||
           posix_spawnattr_setpgroup(attr, 0) || posix_spawnattr_setsigmask(attr, &none) ||
           posix_spawnattr_setsigdefault(attr, &all);
}

static int set_files(posix_spawn_file_actions_t *actions, int in, int out)
{
    int err = posix_spawn_file_actions_adddup2(actions, in, 0);

    err = err ? err : posix_spawn_file_actions_adddup2(actions, out, 1);
    err = err ? err : posix_spawn_file_actions_adddup2(actions, out, 2);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    err = err ? err : posix_spawn_file_actions_addclosefrom_np(actions, 3);
#endif
#endif
    return err;
}

static int spawn(pid_t *ppid, int in, int out, char *const *argv, char *const *env)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int err;

    if (posix_spawn_file_actions_init(&actions)) {
        return ENOMEM;
    }
    if (posix_spawnattr_init(&attr)) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    err = set_attributes(&attr) ? EINVAL : set_files(&actions, in, out);
    if (!err) {
        err = posix_spawnp(ppid, argv[0], &actions, &attr, argv, env);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return err;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static int start(running_t *r, char *const *argv, char *const *env)
{
    int in[2], out[2], err;

    if (pipe2(in, O_CLOEXEC)) {
        return errno;
    }
    if (pipe2(out, O_CLOEXEC)) {
        err = errno;
        close(in[0]);
        close(in[1]);
        return err;
    }
    r->in = in[1];
    r->out = out[0];
    /* Ours alone: the program's ends stay as programs expect them. */
    err = fcntl(r->in, F_SETFL, O_NONBLOCK) || fcntl(r->out, F_SETFL, O_NONBLOCK)
              ? errno
              : spawn(&r->pid, in[0], out[1], argv, env);
    close(in[0]);
    close(out[1]);
    if (err) {
        shut(&r->in);
        shut(&r->out);
    }
    return err;
}

static void note(pid_t pid)
{
    int i, placed = 0;

    for (i = 0; i < AT_ONCE && !placed; i++) {
        pid_t none = 0;
        placed = atomic_compare_exchange_strong(&groups[i], &none, pid);
    }
}

/* Before it is waited for: afterwards its number may be another's. */
static void forget(pid_t pid)
{
    int i;

    for (i = 0; i < AT_ONCE; i++) {
        pid_t it = pid;
        atomic_compare_exchange_strong(&groups[i], &it, 0);
    }
}

void cs_command_end_all(void)
{
    int i;

    for (i = 0; i < AT_ONCE; i++) {
        pid_t pid = atomic_load(&groups[i]);
        if (pid > 0) {
            kill(-pid, SIGKILL);
        }
    }
}

static int ms_left(apr_interval_time_t deadline)
{
    apr_interval_time_t left = deadline - cs_time_mono();

    return left <= 0 ? 0 : (int)(left / 1000) + 1;
}

/* One that does not want to read all of it need not. */
static void feed(running_t *r)
{
    ssize_t n = r->left ? write(r->in, r->text, r->left) : 0;

    if (n > 0) {
        r->text += n;
        r->left -= (apr_size_t)n;
    }
    if (!r->left || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        shut(&r->in);
    }
}

static void hear(running_t *r)
{
    char buf[1024];
    ssize_t n = read(r->out, buf, sizeof(buf));
    apr_size_t room = CS_COMMAND_SAID - r->len;

    if (n > 0) {
        room = room < (apr_size_t)n ? room : (apr_size_t)n;
        memcpy(r->said + r->len, buf, room);
        r->len += room;
    }
    else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        shut(&r->out);
    }
}

/* Until both ends are closed; 0 when the time is over. */
static int talk(running_t *r)
{
    while (r->in >= 0 || r->out >= 0) {
        struct pollfd fds[2] = {{r->in, POLLOUT, 0}, {r->out, POLLIN, 0}};
        int n = poll(fds, 2, ms_left(r->deadline));
        if (n == 0) {
            return 0;
        }
        if (n > 0 && fds[0].revents) {
            feed(r);
        }
        if (n > 0 && fds[1].revents) {
            hear(r);
        }
    }
    return 1;
}

/* It may close its output and stay: it has until the deadline. 0 when it had to be ended. */
static int reap(running_t *r, int in_time, int *pstatus)
{
    siginfo_t info = {0};
    int err = 0, ended = 0;

    while (in_time && !ended && !err) {
        err = waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) && errno != EINTR;
        ended = !err && info.si_pid == r->pid;
        if (!ended && !err) {
            in_time = ms_left(r->deadline) > 0;
            poll(NULL, 0, 5);
        }
    }
    if (!ended && !err) {
        kill(-r->pid, SIGKILL);
        kill(r->pid, SIGKILL);
    }
    forget(r->pid);
    while (!err && waitpid(r->pid, pstatus, 0) < 0 && errno == EINTR) {
    }
    return err ? -1 : ended;
}

static const char *end_words(int reaped, int status, apr_interval_time_t time, apr_pool_t *p)
{
    if (reaped == 0) {
        return apr_psprintf(p, "it took longer than %d s and was ended", (int)apr_time_sec(time));
    }
    if (reaped < 0) {
        return "it is not known how it ended";
    }
    if (WIFSIGNALED(status)) {
        return apr_psprintf(p, "it was ended by signal %d", WTERMSIG(status));
    }
    return WEXITSTATUS(status)
               ? apr_psprintf(p, "it ended with exit status %d", WEXITSTATUS(status))
               : NULL;
}

apr_status_t cs_command_run(char *const *argv, char *const *env, const char *in, apr_size_t len,
                            apr_interval_time_t time, apr_pool_t *p, cs_result_t *res)
{
    running_t r = {0};
    const char *why;
    int err, reaped, status = 0;

    r.text = in;
    r.left = len;
    r.deadline = cs_time_mono() + time;
    err = start(&r, argv, env);
    if (err) {
        return cs_result_set(res, p, APR_FROM_OS_ERROR(err), CS_CLASS_RETRY, "command",
                             "could not run %s: %s", argv[0], strerror(err));
    }
    note(r.pid);
    reaped = talk(&r);
    shut(&r.in);
    shut(&r.out);
    reaped = reap(&r, reaped, &status);
    why = end_words(reaped, status, time, p);
    if (!why) {
        cs_result_clear(res);
        return APR_SUCCESS;
    }
    return cs_result_set(res, p, APR_EGENERAL, CS_CLASS_RETRY, "command", "%s: %s%s%s", argv[0],
                         why, r.len ? ": " : "", cs_log_redact(r.said, 200, p));
}
