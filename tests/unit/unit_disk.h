/* A disk with faults, as a layer under SQLite: full, broken, read-only, or a sync that does not
 * return. */
#ifndef CS_TESTS_UNIT_DISK_H
#define CS_TESTS_UNIT_DISK_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

typedef enum { DISK_GOOD, DISK_FULL, DISK_BROKEN, DISK_READONLY, DISK_HANGS } disk_e;

static atomic_int disk_state = DISK_GOOD;
static atomic_int disk_syncs;   /* finished well */
static atomic_int disk_hanging; /* threads inside a sync that hangs */
static sqlite3_vfs disk_vfs;
static sqlite3_vfs *disk_below;

typedef struct disk_file_t {
    sqlite3_file base;
    sqlite3_io_methods methods;
} disk_file_t;

#define BELOW(f) ((sqlite3_file *)((disk_file_t *)(f) + 1))

static inline int disk_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    switch (atomic_load(&disk_state)) {
    case DISK_FULL:
        return SQLITE_FULL;
    case DISK_BROKEN:
        return SQLITE_IOERR_WRITE;
    case DISK_READONLY:
        return SQLITE_READONLY;
    default:
        return BELOW(f)->pMethods->xWrite(BELOW(f), data, n, at);
    }
}

static inline int disk_sync(sqlite3_file *f, int flags)
{
    int rc;

    if (atomic_load(&disk_state) == DISK_BROKEN) {
        return SQLITE_IOERR_FSYNC;
    }
    if (atomic_load(&disk_state) == DISK_HANGS) {
        atomic_fetch_add(&disk_hanging, 1);
        while (atomic_load(&disk_state) == DISK_HANGS) {
            sqlite3_sleep(1);
        }
        atomic_fetch_sub(&disk_hanging, 1);
    }
    rc = BELOW(f)->pMethods->xSync(BELOW(f), flags);
    atomic_fetch_add(&disk_syncs, rc == SQLITE_OK);
    return rc;
}

static inline int disk_close(sqlite3_file *f)
{
    return BELOW(f)->pMethods->xClose(BELOW(f));
}

static inline int disk_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    return BELOW(f)->pMethods->xRead(BELOW(f), data, n, at);
}

static inline int disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return BELOW(f)->pMethods->xTruncate(BELOW(f), size);
}

static inline int disk_size(sqlite3_file *f, sqlite3_int64 *psize)
{
    return BELOW(f)->pMethods->xFileSize(BELOW(f), psize);
}

static inline int disk_lock(sqlite3_file *f, int level)
{
    return BELOW(f)->pMethods->xLock(BELOW(f), level);
}

static inline int disk_unlock(sqlite3_file *f, int level)
{
    return BELOW(f)->pMethods->xUnlock(BELOW(f), level);
}

static inline int disk_reserved(sqlite3_file *f, int *pout)
{
    return BELOW(f)->pMethods->xCheckReservedLock(BELOW(f), pout);
}

static inline int disk_control(sqlite3_file *f, int op, void *arg)
{
    return BELOW(f)->pMethods->xFileControl(BELOW(f), op, arg);
}

static inline int disk_sector(sqlite3_file *f)
{
    return BELOW(f)->pMethods->xSectorSize(BELOW(f));
}

static inline int disk_traits(sqlite3_file *f)
{
    return BELOW(f)->pMethods->xDeviceCharacteristics(BELOW(f));
}

static inline int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **pp)
{
    return BELOW(f)->pMethods->xShmMap(BELOW(f), page, size, extend, pp);
}

static inline int disk_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return BELOW(f)->pMethods->xShmLock(BELOW(f), at, n, flags);
}

static inline void disk_shm_barrier(sqlite3_file *f)
{
    BELOW(f)->pMethods->xShmBarrier(BELOW(f));
}

static inline int disk_shm_unmap(sqlite3_file *f, int remove)
{
    return BELOW(f)->pMethods->xShmUnmap(BELOW(f), remove);
}

static inline int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags,
                            int *pflags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = disk_close,
        .xRead = disk_read,
        .xWrite = disk_write,
        .xTruncate = disk_truncate,
        .xSync = disk_sync,
        .xFileSize = disk_size,
        .xLock = disk_lock,
        .xUnlock = disk_unlock,
        .xCheckReservedLock = disk_reserved,
        .xFileControl = disk_control,
        .xSectorSize = disk_sector,
        .xDeviceCharacteristics = disk_traits,
        .xShmMap = disk_shm_map,
        .xShmLock = disk_shm_lock,
        .xShmBarrier = disk_shm_barrier,
        .xShmUnmap = disk_shm_unmap,
    };
    int rc;

    (void)vfs;
    memset(f, 0, sizeof(disk_file_t));
    rc = disk_below->xOpen(disk_below, name, BELOW(f), flags, pflags);
    f->pMethods = BELOW(f)->pMethods ? &methods : NULL;
    return rc;
}

/* Once, before the first database is opened. */
static inline int disk_install(void)
{
    disk_below = sqlite3_vfs_find(NULL);
    if (!disk_below) {
        return SQLITE_ERROR;
    }
    disk_vfs = *disk_below;
    disk_vfs.pNext = NULL;
    disk_vfs.zName = "faulty";
    disk_vfs.szOsFile = (int)sizeof(disk_file_t) + disk_below->szOsFile;
    disk_vfs.xOpen = disk_open;
    return sqlite3_vfs_register(&disk_vfs, 1);
}

static inline void disk_set(disk_e state)
{
    atomic_store(&disk_state, state);
}

#endif
