/* fault_io: makes the disk below one directory fail, switched while the server runs.
 *
 * COSELL_FAULT_DIR   directory whose files are meant
 * COSELL_FAULT_FILE  64 bytes, mapped by every process; the text in it is the fault:
 *   ""       none
 *   ENOSPC   writes, growing and new files fail
 *   EROFS    writes and opening for writing fail
 *   EIO      writes and syncs fail
 *   HANG     a sync does not return until the fault is taken away
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE 64

static const volatile char *control;
static const char *directory;

__attribute__((constructor)) static void map_control(void)
{
    const char *path = getenv("COSELL_FAULT_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map;

    directory = getenv("COSELL_FAULT_DIR");
    if (fd < 0 || !directory) {
        return;
    }
    map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    control = map == MAP_FAILED ? NULL : map;
    close(fd);
}

static int is(const char *fault)
{
    size_t i;

    if (!control || !control[0]) {
        return 0;
    }
    for (i = 0; fault[i]; i++) {
        if (control[i] != fault[i]) {
            return 0;
        }
    }
    return control[i] == '\0';
}

static int below(const char *path)
{
    size_t len = directory ? strlen(directory) : 0;

    return len && !strncmp(path, directory, len) && (path[len] == '/' || !path[len]);
}

static int meant(int fd)
{
    char name[64], path[4096];
    ssize_t len;

    if (!control || !control[0]) {
        return 0;
    }
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    len = readlink(name, path, sizeof(path) - 1);
    if (len < 0) {
        return 0;
    }
    path[len] = '\0';
    return below(path);
}

/* errno of the fault that hits writing now, or 0 */
static int write_fault(int fd)
{
    if (!meant(fd)) {
        return 0;
    }
    return is("ENOSPC") ? ENOSPC : is("EROFS") ? EROFS : is("EIO") ? EIO : 0;
}

static int open_fault(const char *path, int flags)
{
    if (!control || !control[0] || !path || !below(path)) {
        return 0;
    }
    if (is("EROFS") && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT))) {
        return EROFS;
    }
    if (is("ENOSPC") && (flags & O_CREAT) && access(path, F_OK)) {
        return ENOSPC;
    }
    return 0;
}

#define FAIL(err) do { int fail_ = (err); if (fail_) { errno = fail_; return -1; } } while (0)
#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) { real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name); }

ssize_t write(int fd, const void *buf, size_t len)
{
    REAL(ssize_t, "write", int, const void *, size_t)
    FAIL(write_fault(fd));
    return real(fd, buf, len);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    FAIL(write_fault(fd));
    return real(fd, iov, n);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
    FAIL(write_fault(fd));
    return real(fd, buf, len, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)
    FAIL(write_fault(fd));
    return real(fd, buf, len, off);
}

int ftruncate(int fd, off_t len)
{
    REAL(int, "ftruncate", int, off_t)
    FAIL(write_fault(fd));
    return real(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    REAL(int, "ftruncate64", int, off64_t)
    FAIL(write_fault(fd));
    return real(fd, len);
}

int posix_fallocate(int fd, off_t off, off_t len)
{
    REAL(int, "posix_fallocate", int, off_t, off_t)
    int err = write_fault(fd);

    return err ? err : real(fd, off, len);
}

static int sync_fault(int fd)
{
    while (is("HANG") && meant(fd)) {
        usleep(5000);
    }
    return is("EIO") && meant(fd) ? EIO : 0;
}

int fsync(int fd)
{
    REAL(int, "fsync", int)
    FAIL(sync_fault(fd));
    return real(fd);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int)
    FAIL(sync_fault(fd));
    return real(fd);
}

#define MODE_OF(flags, mode) \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list ap; va_start(ap, flags); (mode) = va_arg(ap, mode_t); va_end(ap); }

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    REAL(int, "open", const char *, int, ...)
    MODE_OF(flags, mode)
    FAIL(open_fault(path, flags));
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    REAL(int, "open64", const char *, int, ...)
    MODE_OF(flags, mode)
    FAIL(open_fault(path, flags));
    return real(path, flags, mode);
}

int openat(int at, const char *path, int flags, ...)
{
    mode_t mode = 0;
    REAL(int, "openat", int, const char *, int, ...)
    MODE_OF(flags, mode)
    FAIL(open_fault(path, flags));
    return real(at, path, flags, mode);
}
