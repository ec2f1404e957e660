/* store/sqlite_lock.c: the queue of all writers of all processes.
 *
 * Within a process a mutex, before the file a flock(2): the kernel gives it back when its holder
 * dies, whatever the way. flock knows no longest wait, so it is asked again and again; and since a
 * writer in full flow would then always be faster than one that sleeps between two questions, there
 * is a turnstile: only who holds byte 0 of the file (a lock of the open file, independent of flock)
 * may ask for it, and gives the byte back when it has it. Whoever comes back for more stands behind
 * the one in the turnstile.
 *
 * Measured with four processes and a 5 ms sync: without a queue three of four starve
 * (httpd-and-style.md 8).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* locks of an open file, pthread_mutex_clocklock */
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/time.h"
#include "sqlite_impl.h"

/* Between two questions: long enough to cost nothing, short against a disk's sync. */
#define ASK_FIRST 60
#define ASK_LONGEST 1000

struct cs_sqlite_lock_t {
    cs_sqlite_lock_t *next;
    pthread_mutex_t mutex;
    pid_t pid;
    int refs;
    int fd;
    dev_t dev;
    ino_t ino;
    char path[];
};

static pthread_mutex_t locks_mutex = PTHREAD_MUTEX_INITIALIZER;
static cs_sqlite_lock_t *locks;

/* An open file is shared with the parent, and so would be its locks: what came over a fork is only
 * closed. Its memory stays, as a thread of the parent may have held the mutex. */
static void drop_inherited(void)
{
    cs_sqlite_lock_t **pl = &locks;
    pid_t pid = getpid();

    while (*pl) {
        if ((*pl)->pid == pid) {
            pl = &(*pl)->next;
            continue;
        }
        if ((*pl)->fd >= 0) {
            close((*pl)->fd);
        }
        *pl = (*pl)->next;
    }
}

static cs_sqlite_lock_t *make_lock(const char *path)
{
    size_t len = strlen(path) + 1;
    cs_sqlite_lock_t *lock = calloc(1, sizeof(*lock) + len);

    if (!lock) {
        return NULL;
    }
    pthread_mutex_init(&lock->mutex, NULL);
    lock->pid = getpid();
    lock->fd = -1;
    memcpy(lock->path, path, len);
    lock->next = locks;
    locks = lock;
    return lock;
}

cs_sqlite_lock_t *cs_sqlite_lock_get(const char *path)
{
    cs_sqlite_lock_t *lock;

    pthread_mutex_lock(&locks_mutex);
    drop_inherited();
    for (lock = locks; lock && strcmp(lock->path, path); lock = lock->next) {
    }
    if (!lock) {
        lock = make_lock(path);
    }
    if (lock) {
        lock->refs++;
    }
    pthread_mutex_unlock(&locks_mutex);
    return lock;
}

void cs_sqlite_lock_put(cs_sqlite_lock_t *lock)
{
    cs_sqlite_lock_t **pl;

    if (lock->pid != getpid()) {
        return;
    }
    pthread_mutex_lock(&locks_mutex);
    if (--lock->refs == 0) {
        for (pl = &locks; *pl != lock; pl = &(*pl)->next) {
        }
        *pl = lock->next;
        if (lock->fd >= 0) {
            close(lock->fd);
        }
        pthread_mutex_destroy(&lock->mutex);
        free(lock);
    }
    pthread_mutex_unlock(&locks_mutex);
}

/* Opens the file at the path unless that is the one already open. *pmoved = 1 when it was another
 * one. */
static apr_status_t open_file(cs_sqlite_lock_t *lock, int *pmoved)
{
    struct stat st;

    *pmoved = 0;
    if (lock->fd >= 0) {
        if (!stat(lock->path, &st) && st.st_ino == lock->ino && st.st_dev == lock->dev) {
            return APR_SUCCESS;
        }
        close(lock->fd);
        lock->fd = -1;
        *pmoved = 1;
    }
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->fd < 0) {
        return cs_store_status_of_errno(errno);
    }
    if (fstat(lock->fd, &st)) {
        return cs_store_status_of_errno(errno);
    }
    lock->dev = st.st_dev;
    lock->ino = st.st_ino;
    return APR_SUCCESS;
}

static int try_turnstile(int fd, short type)
{
    struct flock fl;

    memset(&fl, 0, sizeof(fl));
    fl.l_type = type;
    fl.l_whence = SEEK_SET;
    fl.l_len = 1;
    return fcntl(fd, F_OFD_SETLK, &fl) ? errno : 0;
}

static void sleep_a_bit(long *pus)
{
    struct timespec ts = {0, *pus * 1000};

    nanosleep(&ts, NULL);
    *pus = *pus * 3 / 2 < ASK_LONGEST ? *pus * 3 / 2 : ASK_LONGEST;
}

/* Asks until `until`. */
static apr_status_t ask(int fd, int turnstile, apr_interval_time_t until)
{
    long us = ASK_FIRST;
    int err;

    for (;;) {
        err = turnstile ? try_turnstile(fd, F_WRLCK) : flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
        if (!err) {
            return APR_SUCCESS;
        }
        if (err != EAGAIN && err != EACCES && err != EINTR && err != EWOULDBLOCK) {
            return cs_store_status_of_errno(err);
        }
        if (cs_time_mono() >= until) {
            return CS_EBUSY;
        }
        sleep_a_bit(&us);
    }
}

static apr_status_t pass(int fd, apr_interval_time_t until)
{
    apr_status_t rv = ask(fd, 1, until);

    if (rv == APR_SUCCESS) {
        rv = ask(fd, 0, until);
        try_turnstile(fd, F_UNLCK);
    }
    return rv;
}

static apr_status_t take_mutex(cs_sqlite_lock_t *lock, apr_interval_time_t until)
{
    struct timespec ts;

    if (!pthread_mutex_trylock(&lock->mutex)) {
        return APR_SUCCESS;
    }
    ts.tv_sec = (time_t)(until / APR_USEC_PER_SEC);
    ts.tv_nsec = (long)(until % APR_USEC_PER_SEC) * 1000;
    return pthread_mutex_clocklock(&lock->mutex, CLOCK_MONOTONIC, &ts) ? CS_EBUSY : APR_SUCCESS;
}

apr_status_t cs_sqlite_lock_take(cs_sqlite_lock_t *lock, apr_interval_time_t wait, int *pfd)
{
    apr_interval_time_t until = cs_time_mono() + wait;
    apr_status_t rv = take_mutex(lock, until);
    int moved, round;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* The file may be replaced between opening and locking it; a lock on a file nobody else can
     * find is worth nothing. */
    for (round = 0, moved = 1; rv == APR_SUCCESS && moved; round++) {
        if (round || lock->fd < 0) {
            rv = round < 10 ? open_file(lock, &moved) : CS_EBUSY;
        }
        if (rv == APR_SUCCESS && (moved || !round)) {
            rv = pass(lock->fd, until);
            moved = 1;
        }
    }
    if (rv != APR_SUCCESS) {
        cs_sqlite_lock_give(lock);
        return rv;
    }
    if (pfd) {
        *pfd = lock->fd;
    }
    return APR_SUCCESS;
}

void cs_sqlite_lock_give(cs_sqlite_lock_t *lock)
{
    if (lock->fd >= 0) {
        flock(lock->fd, LOCK_UN);
    }
    pthread_mutex_unlock(&lock->mutex);
}
