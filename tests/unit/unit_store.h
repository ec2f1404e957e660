/* What the tests of the store and of the committer share: a state directory per test, notices, a
 * captured log, faults of the disk.
 *
 * CS_TEST_STORE and CS_TEST_CONNINFO choose the kind of store; "sqlite" without them. */
#ifndef CS_TESTS_UNIT_STORE_H
#define CS_TESTS_UNIT_STORE_H

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/log.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/store/store.h"

#define SITE "main"
#define NODE "11111111-1111-4111-8111-111111111111"
#define NODE2 "22222222-2222-4222-8222-222222222222"
#define T0 ((apr_time_t)1760000000000000)
#define SEC APR_USEC_PER_SEC

/* ---- a directory per test ---- */

static inline void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char sub[4096];

    while (dir && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            apr_snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
            if (unlink(sub)) {
                remove_tree(sub);
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    rmdir(path);
}

static inline apr_status_t remove_state(void *path)
{
    remove_tree(path);
    return APR_SUCCESS;
}

/* A new state directory; it goes with the pool, after the stores opened from it. */
static inline cs_store_config_t *make_state(apr_pool_t *p)
{
    static int count;
    cs_store_config_t *cfg = apr_pcalloc(p, sizeof(*cfg));
    char *dir = apr_psprintf(p, "%s/state%d", unit_dir(p), count++);

    remove_tree(dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    apr_pool_cleanup_register(p, dir, remove_state, apr_pool_cleanup_null);
    cfg->kind = getenv("CS_TEST_STORE") ? getenv("CS_TEST_STORE") : "sqlite";
    cfg->conninfo = getenv("CS_TEST_CONNINFO");
    cfg->state_dir = dir;
    cfg->keep_journal = 90 * 86400 * (apr_interval_time_t)SEC;
    cfg->keep_delivery = 7 * 86400 * (apr_interval_time_t)SEC;
    return cfg;
}

static inline cs_store_t *open_store(const cs_store_config_t *cfg, cs_store_mode_e mode,
                                     apr_pool_t *p)
{
    cs_store_t *store;
    cs_result_t res;

    assert_ok(cs_store_open(&store, cfg, mode, p, &res));
    return store;
}

static inline cs_store_t *new_store(apr_pool_t *p)
{
    return open_store(make_state(p), CS_STORE_WRITER, p);
}

/* ---- older databases ---- */

/* What makes a closed database of schema 1.3 one of 1.2. */
#define UNIT_LOWER_TO_1_2                                                                          \
    "DROP TRIGGER deal_add; DROP TRIGGER deal_move; DROP TRIGGER deal_name; DROP TRIGGER "         \
    "deal_drop; DROP TRIGGER deal_cause_add; DROP TRIGGER deal_cause_drop; DROP TRIGGER "          \
    "work_put; DROP TRIGGER work_drop; DROP TRIGGER dead_add; DROP TRIGGER dead_drop;"             \
    "DROP TABLE tally; DROP TABLE cause; DROP TABLE deal_cause; DROP TABLE dead; DROP TABLE "      \
    "word; DROP TABLE unworded; DROP INDEX deal_state;"                                            \
    "ALTER TABLE work DROP COLUMN trace;"                                                          \
    "DROP INDEX job_name; DROP INDEX job_list; DROP INDEX job_ended; DROP TABLE job_row;"          \
    "ALTER TABLE job DROP COLUMN name; ALTER TABLE job DROP COLUMN asker;"                         \
    "ALTER TABLE job DROP COLUMN cursor; ALTER TABLE job DROP COLUMN ended;"                       \
    "UPDATE meta SET text='1.2' WHERE name='schema';"

/* ---- notices ---- */

static inline cs_notice_t *make_notice(apr_pool_t *p, const char *name, apr_time_t received)
{
    static atomic_uint count;
    cs_notice_t *n = apr_pcalloc(p, sizeof(*n));

    n->site = SITE;
    n->source = CS_SYSTEM_PC;
    n->event = "referral-updated";
    n->received = received;
    n->digest = apr_psprintf(p, "%064x", atomic_fetch_add(&count, 1));
    n->kind = CS_WORK_LOOK;
    n->names = apr_array_make(p, 2, sizeof(const char *));
    if (name) {
        APR_ARRAY_PUSH(n->names, const char *) = name;
    }
    n->system = CS_SYSTEM_PC;
    n->hint = received;
    return n;
}

static inline apr_status_t accept_one(cs_store_t *store, const cs_notice_t *n, apr_pool_t *p,
                                      cs_result_t *res)
{
    return cs_store_accept(store, &n, 1, p, res);
}

static inline void notice(cs_store_t *store, const char *name, apr_time_t received, apr_pool_t *p)
{
    cs_result_t res;

    if (accept_one(store, make_notice(p, name, received), p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static inline cs_store_counts_t counts_of(cs_store_t *store, const char *site, apr_pool_t *p)
{
    cs_store_counts_t counts;
    cs_result_t res;

    if (cs_store_counts(store, site, &counts, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return counts;
}

/* ---- files ---- */

static inline const char *in_state(const cs_store_config_t *cfg, const char *name, apr_pool_t *p)
{
    return apr_pstrcat(p, cfg->state_dir, "/", name, NULL);
}

static inline int exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static inline void write_file(const char *path, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

/* Waits for the child; its exit status, or -1 when a signal ended it. */
static inline int end_of(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Ends a child of a test. Through another program, because what the child inherited is no leak of
 * its own. */
static inline void child_exit(int status)
{
    execl("/bin/sh", "sh", "-c", status ? "exit 1" : "exit 0", (char *)NULL);
    _exit(127);
}

/* In a process of its own: closing a file here would drop the locks SQLite has on it. */
static inline void copy_file(const char *from, const char *to)
{
    char buf[65536];
    pid_t pid = fork();
    int in, out;
    ssize_t n;

    if (!pid) {
        in = open(from, O_RDONLY | O_CLOEXEC);
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        while ((n = read(in, buf, sizeof(buf))) > 0 && write(out, buf, (size_t)n) == n) {
        }
        child_exit(n != 0);
    }
    assert_int_equal(end_of(pid), 0);
}

/* ---- processes ---- */

/* A process that holds store.lock, from before this returns until holder_stop(). */
typedef struct holder_t {
    pid_t pid;
    int quit;
} holder_t;

static inline holder_t holder_start(const char *lock_path)
{
    int ready[2], quit[2];
    holder_t h;
    char c;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(quit), 0);
    h.pid = fork();
    assert_true(h.pid >= 0);
    if (!h.pid) {
        int fd = open(lock_path, O_RDWR | O_CREAT, 0600);

        close(quit[1]);
        if (fd < 0 || flock(fd, LOCK_EX) || write(ready[1], "x", 1) != 1) {
            child_exit(1);
        }
        child_exit(read(quit[0], &c, 1) < 0);
    }
    close(ready[1]);
    close(quit[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    h.quit = quit[1];
    return h;
}

static inline void holder_stop(holder_t *h)
{
    close(h->quit);
    assert_int_equal(end_of(h->pid), 0);
}

/* ---- the log ---- */

typedef struct captured_t {
    pthread_mutex_t mutex;
    int lines[CS_LOG_TRACE4 + 1];
    char last[CS_LOG_TRACE4 + 1][1024];
} captured_t;

static captured_t captured = {PTHREAD_MUTEX_INITIALIZER, {0}, {{0}}};

static inline void capture_line(void *baton, cs_log_level_e level, apr_status_t rv,
                                const char *site, const char *message)
{
    captured_t *c = baton;

    (void)rv;
    (void)site;
    pthread_mutex_lock(&c->mutex);
    c->lines[level]++;
    apr_cpystrn(c->last[level], message, sizeof(c->last[level]));
    pthread_mutex_unlock(&c->mutex);
}

static inline int capture_all(void *baton, cs_log_level_e level, const char *site)
{
    (void)baton;
    (void)site;
    return level <= CS_LOG_INFO;
}

static inline void captured_clear(void)
{
    pthread_mutex_lock(&captured.mutex);
    memset(captured.lines, 0, sizeof(captured.lines));
    memset(captured.last, 0, sizeof(captured.last));
    pthread_mutex_unlock(&captured.mutex);
}

static inline int captured_lines(cs_log_level_e level)
{
    int n;

    pthread_mutex_lock(&captured.mutex);
    n = captured.lines[level];
    pthread_mutex_unlock(&captured.mutex);
    return n;
}

/* Until `condition` holds, at most 20 s. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        apr_interval_time_t wait_end = cs_time_mono() + apr_time_from_sec(20);                     \
        while (!(condition)) {                                                                     \
            if (cs_time_mono() > wait_end) {                                                       \
                fail_msg("did not come true in time: %s", #condition);                             \
            }                                                                                      \
            apr_sleep(1000);                                                                       \
        }                                                                                          \
    } while (0)

#endif
