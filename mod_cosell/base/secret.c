#include "secret.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto.h"
#include "time.h"

#define VALUE_MAX (64 * 1024)
#define ARGS_MAX 32
#define EXEC_TIME apr_time_from_sec(10)

extern char **environ;

/* What is read before it is known to be good; wiped whatever happens. */
typedef struct buffer_t {
    char bytes[VALUE_MAX + 2];
    apr_size_t len;
} buffer_t;

const char *cs_secret_ref_parse(cs_secret_t **psecret, const char *text, apr_pool_t *p)
{
    static const char allowed[] = "allowed are file:/absolute/path and exec:command args";
    const char *rest;
    cs_secret_t *secret;

    *psecret = NULL;
    if (!text || !*text) {
        return apr_psprintf(p, "the secret reference is empty: %s", allowed);
    }
    if (!strncmp(text, "file:", 5)) {
        if (text[5] != '/' || !text[6]) {
            return apr_psprintf(p, "secret reference \"%s\" names no absolute path: %s", text,
                                allowed);
        }
    }
    else if (!strncmp(text, "exec:", 5)) {
        rest = text + 5 + strspn(text + 5, " \t");
        if (!*rest) {
            return apr_psprintf(p, "secret reference \"%s\" names no command: %s", text, allowed);
        }
    }
    else {
        /* Quoting it would write somebody's password into the error log. */
        return apr_psprintf(p, "the value of %" APR_SIZE_T_FMT " characters is a literal secret or "
                            "an unknown kind of reference: %s", strlen(text), allowed);
    }
    secret = apr_pcalloc(p, sizeof(*secret));
    secret->ref = apr_pstrdup(p, text);
    *psecret = secret;
    return NULL;
}

static apr_status_t fail(const cs_secret_t *secret, apr_status_t rv, const char *reason,
                         apr_pool_t *p, cs_result_t *res)
{
    return cs_result_set(res, p, rv, CS_CLASS_SUSPEND, "secret", "could not load secret \"%s\": %s",
                         secret->ref, reason);
}

static apr_status_t fail_errno(const cs_secret_t *secret, int err, apr_pool_t *p, cs_result_t *res)
{
    char text[160];

    return fail(secret, APR_FROM_OS_ERROR(err),
                cs_strerror(APR_FROM_OS_ERROR(err), text, sizeof(text)), p, res);
}

/* Appends what is there; 1 more to come, 0 at the end or when there is too much, -1 with errno. */
static int read_more(int fd, buffer_t *buf)
{
    ssize_t n;

    if (buf->len > VALUE_MAX) {
        return 0;
    }
    do {
        n = read(fd, buf->bytes + buf->len, VALUE_MAX + 1 - buf->len);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        buf->len += (apr_size_t)n;
    }
    return n < 0 ? -1 : n > 0;
}

static apr_status_t read_file(const cs_secret_t *secret, buffer_t *buf, apr_pool_t *p,
                              cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    struct stat st;
    int fd, more;

    /* Not blocking, for the path may name a FIFO that nobody writes to. */
    fd = open(secret->ref + 5, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return fail_errno(secret, errno, p, res);
    }
    if (fstat(fd, &st)) {
        rv = fail_errno(secret, errno, p, res);
        goto leave;
    }
    if (!S_ISREG(st.st_mode)) {
        rv = fail(secret, APR_EINVAL, "it is not a regular file", p, res);
        goto leave;
    }
    while ((more = read_more(fd, buf)) > 0) {
    }
    if (more < 0) {
        rv = fail_errno(secret, errno, p, res);
    }

leave:
    close(fd);
    return rv;
}

/* Blanks separate; there is no quoting, for there is no shell. */
static apr_status_t split(const cs_secret_t *secret, char *argv[ARGS_MAX + 1], apr_pool_t *p,
                          cs_result_t *res)
{
    char *state = NULL;
    char *word = apr_strtok(apr_pstrdup(p, secret->ref + 5), " \t", &state);
    int n = 0;

    for (; word; word = apr_strtok(NULL, " \t", &state)) {
        if (n == ARGS_MAX) {
            return fail(secret, APR_EINVAL, "more than 32 arguments", p, res);
        }
        argv[n++] = word;
    }
    argv[n] = NULL;
    return n ? APR_SUCCESS : fail(secret, APR_EINVAL, "no command", p, res);
}

/* A group of its own, so that the end of its time also ends what it started; the signal state of a
 * new process, for the caller may be a thread that blocks everything. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t all, none;

    sigfillset(&all);
    sigemptyset(&none);
    return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK
                                          | POSIX_SPAWN_SETSIGDEF)
           || posix_spawnattr_setpgroup(attr, 0) || posix_spawnattr_setsigmask(attr, &none)
           || posix_spawnattr_setsigdefault(attr, &all);
}

static int spawn(pid_t *ppid, int out, char **argv)
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
    err = set_attributes(&attr) ? EINVAL : 0;
    if (!err) {
        err = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    }
    if (!err) {
        err = posix_spawn_file_actions_adddup2(&actions, out, 1);
    }
    if (!err) {
        err = posix_spawnp(ppid, argv[0], &actions, &attr, argv, environ);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return err;
}

static int ms_left(apr_interval_time_t deadline)
{
    apr_interval_time_t left = deadline - cs_time_mono();

    return left <= 0 ? 0 : (int)(left / 1000) + 1;
}

/* Reads until the end of output; NULL or why not. */
static const char *drain(int fd, buffer_t *buf, apr_interval_time_t deadline)
{
    struct pollfd pfd = { fd, POLLIN, 0 };
    int n, more = 1;

    while (more > 0) {
        n = poll(&pfd, 1, ms_left(deadline));
        if (n == 0) {
            return "the command took longer than 10 s";
        }
        if (n < 0 && errno != EINTR) {
            return "could not wait for the command's output";
        }
        if (n > 0) {
            more = read_more(fd, buf);
        }
    }
    return more < 0 ? "could not read the command's output" : NULL;
}

/* The command may close its output and stay: it has until the deadline, then it is ended. */
static const char *reap(pid_t pid, const char *reason, apr_interval_time_t deadline, apr_pool_t *p)
{
    int status;
    pid_t got;

    while (!reason && (got = waitpid(pid, &status, WNOHANG)) != pid) {
        if (got < 0 && errno != EINTR) {
            return "could not learn how the command ended";
        }
        if (ms_left(deadline) == 0) {
            reason = "the command took longer than 10 s";
            break;
        }
        poll(NULL, 0, 5);
    }
    if (reason) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        return reason;
    }
    if (WIFSIGNALED(status)) {
        return apr_psprintf(p, "the command was ended by signal %d", WTERMSIG(status));
    }
    if (WEXITSTATUS(status)) {
        return apr_psprintf(p, "the command ended with exit status %d", WEXITSTATUS(status));
    }
    return NULL;
}

static apr_status_t read_command(const cs_secret_t *secret, buffer_t *buf, apr_pool_t *p,
                                 cs_result_t *res)
{
    apr_interval_time_t deadline = cs_time_mono() + EXEC_TIME;
    char *argv[ARGS_MAX + 1];
    const char *reason;
    apr_status_t rv;
    int fds[2], err;
    pid_t pid;

    rv = split(secret, argv, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (pipe2(fds, O_CLOEXEC)) {
        return fail_errno(secret, errno, p, res);
    }
    err = spawn(&pid, fds[1], argv);
    close(fds[1]);
    if (err) {
        close(fds[0]);
        return fail_errno(secret, err, p, res);
    }
    reason = drain(fds[0], buf, deadline);
    if (!reason && buf->len > VALUE_MAX) {
        reason = "more than 65536 bytes of output";
    }
    close(fds[0]);
    reason = reap(pid, reason, deadline, p);
    return reason ? fail(secret, APR_EGENERAL, reason, p, res) : APR_SUCCESS;
}

static apr_status_t keep(cs_secret_t *secret, buffer_t *buf, apr_pool_t *p, cs_result_t *res)
{
    apr_size_t len = buf->len;
    char *value;

    if (len > VALUE_MAX) {
        return fail(secret, CS_ELIMIT, "it is larger than 65536 bytes", p, res);
    }
    if (len > 0 && buf->bytes[len - 1] == '\n') {
        len--;
        len -= len > 0 && buf->bytes[len - 1] == '\r';
    }
    if (len == 0) {
        return fail(secret, APR_EINVAL, "it is empty", p, res);
    }
    value = apr_palloc(p, len + 1);
    cs_wipe_at_end(value, len, p);
    memcpy(value, buf->bytes, len);
    value[len] = '\0';
    secret->value = value;
    secret->len = len;
    apr_cpystrn(secret->digest, cs_sha256_hex(value, len, p), sizeof(secret->digest));
    cs_result_clear(res);
    return APR_SUCCESS;
}

apr_status_t cs_secret_load(cs_secret_t *secret, apr_pool_t *p, cs_result_t *res)
{
    buffer_t *buf = malloc(sizeof(*buf));
    apr_status_t rv;

    if (!buf) {
        return fail(secret, APR_ENOMEM, "no memory", p, res);
    }
    buf->len = 0;
    if (!strncmp(secret->ref, "file:", 5)) {
        rv = read_file(secret, buf, p, res);
    }
    else {
        rv = read_command(secret, buf, p, res);
    }
    if (rv == APR_SUCCESS) {
        rv = keep(secret, buf, p, res);
    }
    cs_wipe(buf, sizeof(*buf));
    free(buf);
    return rv;
}

void cs_secret_forget(cs_secret_t *secret)
{
    if (secret->value) {
        cs_wipe((char *)secret->value, secret->len);
    }
    secret->value = NULL;
    secret->len = 0;
    secret->digest[0] = '\0';
}
