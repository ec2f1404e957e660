/* store/sqlite_file.c: is the file still what we think it is?
 *
 * Administrators move files while servers run. SQLite would go on writing into a file that nobody
 * finds any more, would play the log of one database into another, and would take any bytes under a
 * log for a database. So each call asks first; it costs one stat and one read of 100 bytes.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../base/log.h"
#include "../base/time.h"
#include "sqlite_impl.h"

#define HEADER_LEN 100
#define HEADER_COUNTER 24
#define HEADER_APPLICATION_ID 68

/* ---- where ---- */

/* The kind of the mount that holds device dev, from a line such as "36 35 98:0 /root /mnt rw -
 * fuse.sshfs host:/ rw". */
static const char *type_of_mount_line(char *line, dev_t dev, apr_pool_t *p)
{
    unsigned int major_no, minor_no;
    char *type;

    if (sscanf(line, "%*d %*d %u:%u", &major_no, &minor_no) != 2 ||
        makedev(major_no, minor_no) != dev) {
        return NULL;
    }
    type = strstr(line, " - ");
    if (!type) {
        return NULL;
    }
    type += 3;
    return apr_pstrmemdup(p, type, strcspn(type, " \n"));
}

static const char *type_of_mount(dev_t dev, apr_pool_t *p)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    const char *type = NULL;
    char line[4096];

    while (f && !type && fgets(line, sizeof(line), f)) {
        type = type_of_mount_line(line, dev, p);
    }
    if (f) {
        fclose(f);
    }
    return type;
}

static void warn_volatile(const char *dir)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;

    if (!atomic_flag_test_and_set(&warned)) {
        cs_log(CS_LOG_WARNING, 0, NULL,
               CSLOGNO(3101) "the state directory %s is on a memory file system: everything "
                             "in it, sign-ins included, is lost when the machine stops",
               dir);
    }
}

apr_status_t cs_sqlite_file_place(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    struct statfs fs;
    struct stat st;
    const char *refused;

    if (stat(sq->dir, &st) || statfs(sq->dir, &fs)) {
        return cs_sqlite_say(sq, cs_store_status_of_errno(errno),
                             "the state directory %s cannot be used: %s", sq->dir, strerror(errno));
    }
    refused = cs_store_fs_refused((unsigned long)fs.f_type, type_of_mount(st.st_dev, ptemp));
    if (refused) {
        return cs_sqlite_say(sq, APR_ENOTIMPL,
                             "the state directory %s is on a network file system (%s), where "
                             "SQLite's log cannot work; use a local disk",
                             sq->dir, refused);
    }
    if (cs_store_fs_volatile((unsigned long)fs.f_type)) {
        warn_volatile(sq->dir);
    }
    return APR_SUCCESS;
}

/* ---- which ---- */

apr_status_t cs_sqlite_file_same(cs_sqlite_t *sq)
{
    struct stat st;

    if (stat(sq->db_path, &st)) {
        return cs_store_status_of_errno(errno);
    }
    return st.st_ino == sq->ino && st.st_dev == sq->dev ? APR_SUCCESS : CS_ESTALE;
}

static unsigned int number_at(const unsigned char *p)
{
    return (unsigned int)p[0] << 24 | (unsigned int)p[1] << 16 | (unsigned int)p[2] << 8 | p[3];
}

apr_status_t cs_sqlite_file_header(cs_sqlite_t *sq)
{
    static const char magic[] = "SQLite format 3";
    unsigned char head[HEADER_LEN];
    int rc = sq->file->pMethods->xRead(sq->file, head, HEADER_LEN, 0);

    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
        return cs_sqlite_fail(sq, rc, "read the header of");
    }
    if (rc != SQLITE_OK || memcmp(head, magic, sizeof(magic))) {
        sq->broken = 1;
        return cs_sqlite_say(sq, CS_ECORRUPT,
                             "%s is damaged: it does not begin like a database; put a good copy "
                             "in its place",
                             sq->db_path);
    }
    if (number_at(head + HEADER_APPLICATION_ID) != CS_SQLITE_APPLICATION_ID) {
        sq->broken = 1;
        return cs_sqlite_say(sq, CS_ECORRUPT,
                             "%s is a database of another program; put mod_cosell's in its place",
                             sq->db_path);
    }
    sq->counter = number_at(head + HEADER_COUNTER);
    return APR_SUCCESS;
}

/* ---- whose log ---- */

/* What store.lock remembers: the inodes of the database and of its log when they were last open
 * together, and how far the database's file itself had come: its change counter moves with every
 * checkpoint that matters, and a log begins anew only after a writer has seen that. */
typedef struct note_t {
    unsigned long long db, wal;
    unsigned int counter;
} note_t;

static int read_note(int fd, note_t *note)
{
    char buf[120];
    ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

    if (n <= 0) {
        return 0;
    }
    buf[n] = '\0';
    return sscanf(buf, "database %llu log %llu counter %u", &note->db, &note->wal,
                  &note->counter) == 3;
}

static apr_status_t set_log_aside(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    const char *aside = apr_psprintf(ptemp, "%s.%" APR_TIME_T_FMT, sq->wal_path, cs_time_now());

    if (rename(sq->wal_path, aside)) {
        return cs_sqlite_say(sq, cs_store_status_of_errno(errno),
                             "%s belongs to the database that was at %s before and could not be "
                             "set aside: %s",
                             sq->wal_path, sq->db_path, strerror(errno));
    }
    unlink(apr_pstrcat(ptemp, sq->db_path, "-shm", NULL));
    cs_log(CS_LOG_WARNING, 0, NULL,
           CSLOGNO(3102) "%s was replaced by an older copy while its log still belonged to the "
                         "former file: the log was set aside as %s; what it holds is only "
                         "readable together with the former file",
           sq->db_path, aside);
    return APR_SUCCESS;
}

apr_status_t cs_sqlite_file_wal_check(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    note_t note;
    struct stat st;

    if (!read_note(sq->lock_fd, &note) || note.db == (unsigned long long)sq->ino) {
        return APR_SUCCESS;
    }
    if (stat(sq->wal_path, &st) || !st.st_size || note.wal != (unsigned long long)st.st_ino) {
        return APR_SUCCESS;
    }
    /* A copy of the very file (a move to another disk and back) goes with the log as well as the
     * file did, and without it would lose what was acknowledged. */
    return sq->counter >= note.counter ? APR_SUCCESS : set_log_aside(sq, ptemp);
}

void cs_sqlite_file_wal_note(cs_sqlite_t *sq)
{
    char buf[120];
    struct stat st;
    int len;

    if (sq->counter == sq->counter_noted || stat(sq->wal_path, &st)) {
        return;
    }
    len = snprintf(buf, sizeof(buf), "database %-20llu log %-20llu counter %-10u\n",
                   (unsigned long long)sq->ino, (unsigned long long)st.st_ino, sq->counter);
    /* Only a protection against mishaps: without it everything works as well. */
    if (pwrite(sq->lock_fd, buf, (size_t)len, 0) != len) {
        cs_log(CS_LOG_DEBUG, APR_FROM_OS_ERROR(errno), NULL,
               CSLOGNO(3103) "could not note the log's owner in %s", sq->lock_path);
    }
    sq->counter_noted = sq->counter;
}
