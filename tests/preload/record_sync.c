/* record_sync: shows that a completed sync of the write-ahead log lies between each callback and its 200.
 *
 * COSELL_SYNC_LOG names the file, COSELL_SYNC_PATH the path of the callbacks ("/partner-center"). Lines, times in nanoseconds
 * of CLOCK_MONOTONIC:
 *   S <pid> <begun> <completed>            a sync of a file named *-wal returned 0
 *   A <pid> <fd> <last byte read> <answered>   "HTTP/1.1 200" goes out for a callback
 * A line is written before the call it describes returns or, for A, before the answer goes out, so that whoever has the answer has the line, even
 * when the process is killed in the next instant.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 4096

static struct {
    volatile long long read_at; /* of the newest bytes */
    volatile int callback;      /* a callback is being read or answered */
} connections[FDS];

static const char *path_wanted = "/partner-center";
static int log_fd = -1;

__attribute__((constructor)) static void prepare(void)
{
    const char *path = getenv("COSELL_SYNC_PATH");
    const char *file = getenv("COSELL_SYNC_LOG");

    if (path) {
        path_wanted = path;
    }
    if (file) {
        log_fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        /* out of the way of the numbers that connections get */
        if (log_fd >= 0) {
            int high = fcntl(log_fd, F_DUPFD_CLOEXEC, 900);

            if (high >= 0) {
                close(log_fd);
                log_fd = high;
            }
        }
    }
}

static long long now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void record(const char *line, int len)
{
    int saved = errno;

    if (log_fd >= 0 && syscall(SYS_write, log_fd, line, (size_t)len) != len) {
        abort();
    }
    errno = saved;
}

static void seen(int fd, const void *buf, ssize_t len)
{
    char start[128];

    if (len <= 0 || fd < 0 || fd >= FDS) {
        return;
    }
    snprintf(start, sizeof(start), "POST %s ", path_wanted);
    if ((size_t)len >= strlen(start) && !memcmp(buf, start, strlen(start))) {
        connections[fd].callback = 1;
    }
    if (connections[fd].callback) {
        connections[fd].read_at = now();
    }
}

static void answering(int fd, const void *buf, size_t len)
{
    char line[160];

    if (fd < 0 || fd >= FDS || !connections[fd].callback || len < 12 || memcmp(buf, "HTTP/1.1 ", 9)) {
        return;
    }
    if (!memcmp((const char *)buf + 9, "200", 3)) {
        record(line, snprintf(line, sizeof(line), "A %d %d %lld %lld\n", (int)getpid(), fd, connections[fd].read_at, now()));
    }
    connections[fd].callback = 0;
}

ssize_t read(int fd, void *buf, size_t len)
{
    static ssize_t (*real)(int, void *, size_t);
    ssize_t got;

    if (!real) {
        real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    }
    got = real(fd, buf, len);
    seen(fd, buf, got);
    return got;
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    static ssize_t (*real)(int, void *, size_t, int);
    ssize_t got;

    if (!real) {
        real = (ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
    }
    got = real(fd, buf, len, flags);
    seen(fd, buf, got);
    return got;
}

ssize_t write(int fd, const void *buf, size_t len)
{
    static ssize_t (*real)(int, const void *, size_t);

    if (!real) {
        real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    }
    answering(fd, buf, len);
    return real(fd, buf, len);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    static ssize_t (*real)(int, const struct iovec *, int);

    if (!real) {
        real = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    }
    if (n > 0) {
        answering(fd, iov[0].iov_base, iov[0].iov_len);
    }
    return real(fd, iov, n);
}

static int is_wal(int fd)
{
    char name[64], path[4096];
    ssize_t len;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    len = readlink(name, path, sizeof(path));
    return len > 4 && !memcmp(path + len - 4, "-wal", 4);
}

static int synced(int (*real)(int), int fd)
{
    char line[160];
    long long begun = now();
    int rv = real(fd);

    if (rv == 0 && is_wal(fd)) {
        record(line, snprintf(line, sizeof(line), "S %d %lld %lld\n", (int)getpid(), begun, now()));
    }
    return rv;
}

int fsync(int fd)
{
    static int (*real)(int);

    if (!real) {
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    }
    return synced(real, fd);
}

int fdatasync(int fd)
{
    static int (*real)(int);

    if (!real) {
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    }
    return synced(real, fd);
}
