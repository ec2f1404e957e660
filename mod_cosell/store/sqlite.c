/* store/sqlite.c: a handle on the SQLite store: opening, statements, transactions, errors. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/time.h"
#include "sqlite_impl.h"

#define WAL_KEPT 16777216
/* VM instructions between two looks at the clock: about a tenth of a millisecond. */
#define PROGRESS_STEPS 2000

static const char *const sql_of[] = {
#define CS_SQLITE_SQL(id, sql) sql,
    CS_SQLITE_STATEMENTS(CS_SQLITE_SQL)
#undef CS_SQLITE_SQL
};

/* ---- errors ---- */

apr_status_t cs_sqlite_say(cs_sqlite_t *sq, apr_status_t rv, const char *fmt, ...)
{
    va_list ap;

    /* The first failure is the cause, what follows are its consequences. */
    if (!sq->detail[0]) {
        va_start(ap, fmt);
        apr_vsnprintf(sq->detail, sizeof(sq->detail), fmt, ap);
        va_end(ap);
    }
    return rv;
}

/* What errno adds. That something is missing it says only of opening: elsewhere it may be of an
 * earlier call. */
static apr_status_t status_of_errno(int rc, int err, apr_status_t dflt)
{
    apr_status_t rv = err ? cs_store_status_of_errno(err) : dflt;

    if (rv == CS_EREADONLY || rv == CS_EFULL || rv == APR_ENOMEM) {
        return rv;
    }
    return rv == CS_EMISSING && (rc & 0xFF) == SQLITE_CANTOPEN ? rv : dflt;
}

static apr_status_t status_of(int rc, int err)
{
    switch (rc) {
    case SQLITE_READONLY_DBMOVED:
        return CS_EMISSING;
    case SQLITE_IOERR_NOMEM:
        return APR_ENOMEM;
    case SQLITE_CANTOPEN_FULLPATH:
    case SQLITE_CANTOPEN_NOTEMPDIR:
        return status_of_errno(rc, err, CS_EMISSING);
    }
    switch (rc & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return CS_EBUSY;
    case SQLITE_FULL:
        return CS_EFULL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return CS_EREADONLY;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
        return status_of_errno(rc, err, CS_EIO);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_EMPTY:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR:
        return CS_ECORRUPT; /* our statements are right, so a table or column is not there */
    case SQLITE_NOMEM:
        return APR_ENOMEM;
    case SQLITE_INTERRUPT:
        return CS_ETIMEOUT;
    case SQLITE_TOOBIG:
        return CS_ELIMIT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return APR_EINVAL;
    default:
        return APR_EGENERAL;
    }
}

/* A refused value or a call cut short says nothing against the handle. */
static int is_harmless(apr_status_t rv)
{
    return rv == APR_EINVAL || rv == CS_ELIMIT || rv == CS_ETIMEOUT;
}

/* 0 = not known. Of a failed write to the log only the log's file knows it. */
static int errno_of(cs_sqlite_t *sq, int rc)
{
    int err = sq->db ? sqlite3_system_errno(sq->db) : 0;
    sqlite3_file *log = NULL;

    if (err || !sq->db || (rc & 0xFF) != SQLITE_IOERR) {
        return err;
    }
    if (sqlite3_file_control(sq->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK && log
        && log->pMethods) {
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &err);
    }
    return err;
}

apr_status_t cs_sqlite_fail(cs_sqlite_t *sq, int rc, const char *what)
{
    int err = errno_of(sq, rc);
    apr_status_t rv = status_of(rc, err);
    const char *text = sq->db && sqlite3_extended_errcode(sq->db) == rc ? sqlite3_errmsg(sq->db)
                                                                        : sqlite3_errstr(rc);
    char why[120];

    sq->broken |= !is_harmless(rv);
    return cs_sqlite_say(sq, rv, "could not %s %s: %s (%s, SQLite %d%s%s)", what, sq->db_path,
                         cs_strerror(rv, why, sizeof(why)), text, rc, err ? ", " : "",
                         err ? strerror(err) : "");
}

/* ---- statements ---- */

static apr_status_t get_stmt(cs_sqlite_t *sq, cs_sql_e id, sqlite3_stmt **pst)
{
    int rc;

    *pst = sq->stmt[id];
    if (*pst) {
        return APR_SUCCESS;
    }
    rc = sqlite3_prepare_v3(sq->db, sql_of[id], -1, SQLITE_PREPARE_PERSISTENT, pst, NULL);
    if (rc != SQLITE_OK) {
        return cs_sqlite_fail(sq, rc, "use");
    }
    sq->stmt[id] = *pst;
    return APR_SUCCESS;
}

static int bind_json(sqlite3_stmt *st, int i, const json_t *json, apr_pool_t *ptemp)
{
    return json ? sqlite3_bind_text(st, i, cs_json_print(json, ptemp), -1, SQLITE_STATIC)
                : sqlite3_bind_null(st, i);
}

static int bind_all(sqlite3_stmt *st, const char *fmt, va_list ap)
{
    const void *data;
    const json_t *json;
    int rc = SQLITE_OK, i;

    for (i = 1; *fmt && rc == SQLITE_OK; fmt++, i++) {
        switch (*fmt) {
        case 's':
            /* A NULL pointer binds NULL. */
            rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
            break;
        case 'i':
            rc = sqlite3_bind_int64(st, i, va_arg(ap, apr_int64_t));
            break;
        case 'j':
            json = va_arg(ap, const json_t *);
            rc = bind_json(st, i, json, va_arg(ap, apr_pool_t *));
            break;
        default: /* 'b' */
            data = va_arg(ap, const void *);
            rc = sqlite3_bind_blob64(st, i, data, va_arg(ap, apr_size_t), SQLITE_STATIC);
            break;
        }
    }
    return rc;
}

void cs_sqlite_reset(sqlite3_stmt *st)
{
    /* The outcome was told by the step. */
    (void)sqlite3_reset(st);
}

static const char *verb_of(sqlite3_stmt *st)
{
    return sqlite3_stmt_readonly(st) ? "read" : "write to";
}

apr_status_t cs_sqlite_exec(cs_sqlite_t *sq, cs_sql_e id, const char *fmt, ...)
{
    sqlite3_stmt *st;
    apr_status_t rv = get_stmt(sq, id, &st);
    va_list ap;
    int rc;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    va_start(ap, fmt);
    rc = bind_all(st, fmt, ap);
    va_end(ap);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        rv = cs_sqlite_fail(sq, rc, verb_of(st));
    }
    cs_sqlite_reset(st);
    return rv;
}

static apr_status_t step(cs_sqlite_t *sq, sqlite3_stmt **pst)
{
    sqlite3_stmt *st = *pst;
    int rc = sqlite3_step(st);
    apr_status_t rv = APR_SUCCESS;

    if (rc == SQLITE_ROW) {
        return APR_SUCCESS;
    }
    if (rc != SQLITE_DONE) {
        rv = cs_sqlite_fail(sq, rc, verb_of(st));
    }
    cs_sqlite_reset(st);
    *pst = NULL;
    return rv;
}

apr_status_t cs_sqlite_query(cs_sqlite_t *sq, sqlite3_stmt **pst, cs_sql_e id, const char *fmt, ...)
{
    apr_status_t rv = get_stmt(sq, id, pst);
    va_list ap;
    int rc;

    if (rv != APR_SUCCESS) {
        *pst = NULL;
        return rv;
    }
    va_start(ap, fmt);
    rc = bind_all(*pst, fmt, ap);
    va_end(ap);
    if (rc != SQLITE_OK) {
        rv = cs_sqlite_fail(sq, rc, "read");
        cs_sqlite_reset(*pst);
        *pst = NULL;
        return rv;
    }
    return step(sq, pst);
}

apr_status_t cs_sqlite_next(cs_sqlite_t *sq, sqlite3_stmt **pst)
{
    return step(sq, pst);
}

int cs_sqlite_changes(cs_sqlite_t *sq)
{
    return sqlite3_changes(sq->db);
}

const char *cs_sqlite_text(sqlite3_stmt *st, int i, apr_pool_t *p)
{
    const char *text = (const char *)sqlite3_column_text(st, i);

    return text ? apr_pstrmemdup(p, text, (apr_size_t)sqlite3_column_bytes(st, i)) : NULL;
}

apr_status_t cs_sqlite_json(cs_sqlite_t *sq, sqlite3_stmt *st, int i, json_t **pjson, apr_pool_t *p)
{
    static const cs_json_limits_t limits = {CS_SQLITE_VALUE_MAX, 2000000, 64};
    const char *text = (const char *)sqlite3_column_text(st, i);
    cs_result_t why;
    apr_status_t rv;

    *pjson = NULL;
    if (!text) {
        return APR_SUCCESS;
    }
    cs_result_clear(&why);
    rv = cs_json_parse(pjson, text, (apr_size_t)sqlite3_column_bytes(st, i), &limits, p, &why);
    if (rv != APR_SUCCESS) {
        return cs_sqlite_say(sq, CS_EPARSE, "%s holds a damaged document in column %s: %s",
                             sq->db_path, sqlite3_column_name(st, i), why.detail ? why.detail : "");
    }
    cs_json_own(*pjson, p);
    return APR_SUCCESS;
}

#ifdef CS_TEST
void cs_sqlite_counters(cs_store_t *store, cs_sqlite_counted_fn *fn, void *baton)
{
    static const char *const names[] = {
#define CS_SQLITE_NAME(id, sql) #id,
        CS_SQLITE_STATEMENTS(CS_SQLITE_NAME)
#undef CS_SQLITE_NAME
    };
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    int i, scanned, steps;

    for (i = 0; i < CS_SQL_COUNT; i++) {
        if (sq->stmt[i]) {
            scanned = sqlite3_stmt_status(sq->stmt[i], SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
            steps = sqlite3_stmt_status(sq->stmt[i], SQLITE_STMTSTATUS_VM_STEP, 1);
            if (steps) {
                fn(baton, names[i], scanned, steps);
            }
        }
    }
}
#endif

/* ---- opening and closing ---- */

static void finalize_all(cs_sqlite_t *sq)
{
    int i;

    for (i = 0; i < CS_SQL_COUNT; i++) {
        sqlite3_finalize(sq->stmt[i]);
        sq->stmt[i] = NULL;
    }
}

/* keep_log: leave the log where it is. Without it the last one to close writes the log into the
 * file and removes it *by name*, which is right only if all is well and the names are still ours.
 */
static void close_db(cs_sqlite_t *sq, int keep_log)
{
    if (!sq->db) {
        return;
    }
    finalize_all(sq);
    if (keep_log) {
        sqlite3_db_config(sq->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    }
    sqlite3_close_v2(sq->db);
    sq->db = NULL;
    sq->file = NULL;
}

/* A connection that came over a fork must not even be closed. */
static apr_status_t leave_parents_things(cs_sqlite_t *sq)
{
    sq->pid = getpid();
    sq->db = NULL;
    sq->file = NULL;
    memset(sq->stmt, 0, sizeof(sq->stmt));
    sq->locked = 0;
    sq->lock = cs_sqlite_lock_get(sq->lock_path);
    return sq->lock ? APR_SUCCESS : APR_ENOMEM;
}

static int watch_deadline(void *baton)
{
    cs_sqlite_t *sq = baton;

    return sq->deadline && cs_time_mono() > sq->deadline;
}

static apr_status_t check_pragma(cs_sqlite_t *sq, const char *sql, const char *wanted)
{
    sqlite3_stmt *st = NULL;
    apr_status_t rv = APR_SUCCESS;
    const char *got;
    int rc = sqlite3_prepare_v2(sq->db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(st);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        rv = cs_sqlite_fail(sq, rc, "open");
    }
    else if (wanted) {
        got = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
        if (!got || strcmp(got, wanted)) {
            sq->broken = 1;
            rv = cs_sqlite_say(sq, CS_EIO, "%s refuses the setting \"%s\": it is %s and must be %s",
                               sq->db_path, sql, got ? got : "nothing", wanted);
        }
    }
    sqlite3_finalize(st);
    return rv;
}

static apr_status_t set_pragmas(cs_sqlite_t *sq)
{
    static const struct {
        const char *sql, *wanted;
        int writer;
    } pragmas[] = {
        {"PRAGMA trusted_schema=OFF", NULL, 0},
        {"PRAGMA mmap_size=0", NULL,
         0}, /* a mapped page that cannot be read is a signal, not an error */
        {"PRAGMA temp_store=MEMORY", NULL, 0},
        {"PRAGMA journal_mode=WAL", "wal", 1},
        {"PRAGMA synchronous=FULL", NULL, 1},
        {"PRAGMA synchronous", "2", 1},
        {"PRAGMA journal_size_limit=" APR_STRINGIFY(WAL_KEPT), NULL, 1},
        {"PRAGMA wal_autocheckpoint=1000", "1000", 1},
        {"PRAGMA query_only=1", NULL, 2},
    };
    apr_status_t rv = APR_SUCCESS;
    int reader = sq->base.mode == CS_STORE_READER;
    size_t i;

    for (i = 0; rv == APR_SUCCESS && i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
        if (!pragmas[i].writer || (pragmas[i].writer == 2) == reader) {
            rv = check_pragma(sq, pragmas[i].sql, pragmas[i].wanted);
        }
    }
    return rv;
}

/* Names and values of customers are nobody else's, whatever the umask was. SQLite gives its log
 * the mode of the database; files of an earlier version are set right. What cannot be changed
 * belongs to somebody else, and then it is his. */
static void keep_private(const cs_sqlite_t *sq, const struct stat *st)
{
    const char *shm;
    int unused = 0;

    if (sq->base.mode == CS_STORE_READER || !(st->st_mode & 077)) {
        return;
    }
    shm = apr_pstrcat(sq->base.pool, sq->db_path, "-shm", NULL);
    unused |= chmod(sq->db_path, 0600);
    unused |= chmod(sq->wal_path, 0600);
    unused |= chmod(shm, 0600);
    (void)unused;
}

static apr_status_t connect_db(cs_sqlite_t *sq)
{
    struct stat st;
    int flags = sq->base.mode == CS_STORE_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc;

    if (stat(sq->db_path, &st)) {
        return cs_sqlite_say(sq, cs_store_status_of_errno(errno), "could not open %s: %s",
                             sq->db_path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return cs_sqlite_say(sq, CS_ECORRUPT, "%s is no regular file", sq->db_path);
    }
    sq->dev = st.st_dev;
    sq->ino = st.st_ino;
    sq->counter_noted = 0;
    keep_private(sq, &st);
    rc = sqlite3_open_v2(sq->db_path, &sq->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        return cs_sqlite_fail(sq, rc, "open");
    }
    sqlite3_extended_result_codes(sq->db, 1);
    sqlite3_busy_timeout(sq->db, CS_SQLITE_BUSY_FOREIGN_MS);
    sqlite3_limit(sq->db, SQLITE_LIMIT_LENGTH, CS_SQLITE_VALUE_MAX);
    rc = sqlite3_file_control(sq->db, "main", SQLITE_FCNTL_FILE_POINTER, &sq->file);
    if (rc != SQLITE_OK || !sq->file || !sq->file->pMethods) {
        return cs_sqlite_fail(sq, rc ? rc : SQLITE_CANTOPEN, "open");
    }
    if (sq->base.mode == CS_STORE_READER) {
        sqlite3_progress_handler(sq->db, PROGRESS_STEPS, watch_deadline, sq);
    }
    return cs_sqlite_file_header(sq);
}

/* Neither database nor node: a new store. A node without database, or one that this very handle has
 * used: somebody took it away (or its disk), and an empty one would forget every deal. */
static apr_status_t create_missing(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    struct stat st;

    if (!stat(sq->db_path, &st) || errno != ENOENT) {
        return APR_SUCCESS;
    }
    if (sq->known || cs_store_node_exists(sq->dir)) {
        return cs_sqlite_say(
            sq, CS_EMISSING,
            "%s is missing although this server has used it before; put it back. To "
            "begin anew, remove %s/node as well and restart",
            sq->db_path, sq->dir);
    }
    return cs_sqlite_schema_create(sq, ptemp);
}

static apr_status_t make_node(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    apr_status_t rv =
        cs_store_node_exists(sq->dir) ? APR_SUCCESS : cs_store_node_make(sq->dir, ptemp);
    char why[120];

    return rv == APR_SUCCESS ? rv
                             : cs_sqlite_say(sq, rv, "could not write %s/node: %s", sq->dir,
                                             cs_strerror(rv, why, sizeof(why)));
}

static apr_status_t open_writer(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    apr_status_t rv = create_missing(sq, ptemp);

    if (rv == APR_SUCCESS) {
        rv = connect_db(sq);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_file_wal_check(sq, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = set_pragmas(sq);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_schema_check(sq);
    }
    if (rv == APR_SUCCESS) {
        rv = make_node(sq, ptemp);
    }
    if (rv == APR_SUCCESS) {
        cs_sqlite_file_wal_note(sq);
        sq->known = 1;
    }
    return rv;
}

static apr_status_t open_reader(cs_sqlite_t *sq)
{
    apr_status_t rv = connect_db(sq);

    if (rv == APR_SUCCESS) {
        rv = set_pragmas(sq);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_schema_check(sq);
    }
    return rv;
}

static apr_status_t open_db(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    apr_status_t rv = cs_sqlite_file_place(sq, ptemp);

    if (rv == APR_SUCCESS) {
        rv = sq->base.mode == CS_STORE_READER ? open_reader(sq) : open_writer(sq, ptemp);
    }
    if (rv != APR_SUCCESS) {
        close_db(sq, 1);
    }
    return rv;
}

/* ---- transactions ---- */

static apr_status_t take_lock(cs_sqlite_t *sq)
{
    apr_status_t rv = cs_sqlite_lock_take(sq->lock, CS_SQLITE_BUSY, &sq->lock_fd);
    char why[120];

    if (rv != APR_SUCCESS) {
        return cs_sqlite_say(sq, rv,
                             rv == CS_EBUSY ? "waited too long for other writers of %s: %s"
                                            : "could not lock %s: %s",
                             sq->lock_path, cs_strerror(rv, why, sizeof(why)));
    }
    sq->locked = 1;
    return APR_SUCCESS;
}

static void give_lock(cs_sqlite_t *sq)
{
    if (sq->locked) {
        cs_sqlite_lock_give(sq->lock);
        sq->locked = 0;
    }
}

static apr_status_t enter(cs_sqlite_t *sq)
{
    apr_status_t rv = APR_SUCCESS;

    sq->detail[0] = '\0';
    sq->broken = 0;
    if (sq->pid != getpid() || !sq->lock) {
        rv = leave_parents_things(sq);
        if (rv != APR_SUCCESS) {
            return cs_sqlite_say(sq, rv, "out of memory");
        }
    }
    return rv;
}

/* An open database whose path leads elsewhere now is closed; then whatever is there is opened. */
static apr_status_t ensure_open(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    apr_status_t rv;

    if (sq->db) {
        if (cs_sqlite_file_same(sq) == APR_SUCCESS) {
            return APR_SUCCESS;
        }
        close_db(sq, 1);
    }
    if (sq->locked || sq->base.mode == CS_STORE_READER) {
        return open_db(sq, ptemp);
    }
    rv = take_lock(sq);
    if (rv == APR_SUCCESS) {
        rv = open_db(sq, ptemp);
        give_lock(sq);
    }
    return rv;
}

apr_status_t cs_sqlite_begin(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    apr_status_t rv = enter(sq);

    if (rv == APR_SUCCESS && sq->base.mode == CS_STORE_READER) {
        return cs_sqlite_say(sq, APR_EINVAL, "%s is open for reading only", sq->db_path);
    }
    if (rv == APR_SUCCESS) {
        rv = take_lock(sq);
    }
    if (rv == APR_SUCCESS) {
        rv = ensure_open(sq, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_file_header(sq);
    }
    if (rv == APR_SUCCESS) {
        cs_sqlite_file_wal_note(sq);
        rv = cs_sqlite_exec(sq, CS_SQL_BEGIN, "");
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_schema_check(sq);
    }
    return rv;
}

static void roll_back(cs_sqlite_t *sq)
{
    if (sq->db && !sqlite3_get_autocommit(sq->db)) {
        /* If this fails too, closing rolls back. */
        sq->broken |= cs_sqlite_exec(sq, CS_SQL_ROLLBACK, "") != APR_SUCCESS;
    }
}

apr_status_t cs_sqlite_end(cs_sqlite_t *sq, apr_status_t rv, apr_pool_t *p, cs_result_t *res)
{
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_COMMIT, "");
    }
    if (rv != APR_SUCCESS) {
        roll_back(sq);
    }
    if (sq->broken) {
        close_db(sq, 1);
    }
    give_lock(sq);
    return cs_store_result(res, p, rv, sq->detail);
}

apr_status_t cs_sqlite_read(cs_sqlite_t *sq, int snapshot, apr_pool_t *ptemp)
{
    apr_status_t rv = enter(sq);

    sq->deadline = cs_time_mono() + CS_SQLITE_READ_LIMIT;
    if (rv == APR_SUCCESS) {
        rv = ensure_open(sq, ptemp);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_file_header(sq);
    }
    if (rv == APR_SUCCESS && snapshot) {
        rv = cs_sqlite_exec(sq, CS_SQL_BEGIN_READ, "");
    }
    return rv;
}

apr_status_t cs_sqlite_done(cs_sqlite_t *sq, apr_status_t rv, apr_pool_t *p, cs_result_t *res)
{
    sq->deadline = 0;
    roll_back(sq);
    if (sq->broken) {
        close_db(sq, 1);
    }
    return cs_store_result(res, p, rv, sq->detail);
}

/* ---- the handle ---- */

static void close_store(cs_store_t *store)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    struct stat st;
    int whole;

    if (sq->pid != getpid()) {
        return;
    }
    whole = sq->db && cs_sqlite_file_same(sq) == APR_SUCCESS && !stat(sq->wal_path, &st) &&
            cs_sqlite_file_header(sq) == APR_SUCCESS;
    close_db(sq, !whole);
    if (sq->lock) {
        cs_sqlite_lock_put(sq->lock);
        sq->lock = NULL;
    }
}

static apr_status_t close_at_end(void *data)
{
    close_store(data);
    return APR_SUCCESS;
}

static apr_status_t check(cs_store_t *store, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    apr_status_t rv = cs_sqlite_read(sq, 0, ptemp);

    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_schema_check(sq);
    }
    return cs_sqlite_done(sq, rv, ptemp, res);
}

static const cs_store_impl_t impl = {
    .kind = "sqlite",
    .check = check,
    .close = close_store,
    .accept = cs_sqlite_accept,
    .lease_take = cs_sqlite_lease_take,
    .lease_renew = cs_sqlite_lease_renew,
    .lease_release = cs_sqlite_lease_release,
    .sites_due = cs_sqlite_sites_due,
    .claim = cs_sqlite_claim,
    .jobs_due = cs_sqlite_jobs_due,
    .refresh = cs_sqlite_refresh,
    .deal_find = cs_sqlite_deal_find,
    .deals_named = cs_sqlite_deals_named,
    .deal_load = cs_sqlite_deal_load,
    .deals_of_mapping = cs_sqlite_deals_of_mapping,
    .deals_open = cs_sqlite_deals_open,
    .watchers = cs_sqlite_watchers,
    .cursor_get = cs_sqlite_cursor_get,
    .deals_due = cs_sqlite_deals_due,
    .write = cs_sqlite_write,
    .meta_get = cs_sqlite_meta_get,
    .suspended = cs_sqlite_suspended,
    .secret_get = cs_sqlite_secret_get,
    .secret_put = cs_sqlite_secret_put,
    .prune = cs_sqlite_prune,
    .counts = cs_sqlite_counts,
    .work_list = cs_sqlite_work_list,
    .deal_list = cs_sqlite_deal_list,
    .journal_list = cs_sqlite_journal_list,
    .work_of_deal = cs_sqlite_work_of_deal,
    .deliveries = cs_sqlite_deliveries,
    .work_named = cs_sqlite_work_named,
    .job_get = cs_sqlite_job_get,
    .job_list = cs_sqlite_job_list,
    .job_rows = cs_sqlite_job_rows,
    .journal_page = cs_sqlite_journal_page,
    .deal_page = cs_sqlite_deal_page,
    .deal_totals = cs_sqlite_deal_totals,
    .causes = cs_sqlite_causes,
    .dead = cs_sqlite_dead,
};

apr_status_t cs_sqlite_open(cs_store_t **pstore, const cs_store_config_t *cfg, cs_store_mode_e mode,
                            apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = apr_pcalloc(p, sizeof(*sq));

    (void)res;
    sq->base.impl = &impl;
    sq->base.mode = mode;
    sq->dir = apr_pstrdup(p, cfg->state_dir);
    sq->db_path = apr_pstrcat(p, cfg->state_dir, "/cosell.db", NULL);
    sq->wal_path = apr_pstrcat(p, sq->db_path, "-wal", NULL);
    sq->lock_path = apr_pstrcat(p, cfg->state_dir, "/store.lock", NULL);
    apr_pool_cleanup_register(p, sq, close_at_end, apr_pool_cleanup_null);
    *pstore = &sq->base;
    return APR_SUCCESS;
}
