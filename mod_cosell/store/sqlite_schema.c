/* store/sqlite_schema.c: tables and versions.
 *
 * Version major.minor: a minor one only adds (tables, columns with defaults, indexes) and older
 * code goes on beside it; a newer major is refused. Older minors are raised by whoever opens first,
 * in the queue, in one transaction.
 *
 * The file is made under another name and renamed, so that the path holds a whole database or none:
 * a file that vanished and one that was never finished cannot be confused.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../base/log.h"
#include "../base/time.h"
#include "sqlite_impl.h"

#define SCHEMA_MAJOR 1
#define SCHEMA_MINOR 3
/* Deals whose words are written while the schema is raised, the newest: notices wait for it. Those
 * of the others come with the turns of pruning. */
#define FILL_MAX 1000
#define STR_(x) #x
#define STR(x) STR_(x)
#define SCHEMA_VERSION STR(SCHEMA_MAJOR) "." STR(SCHEMA_MINOR)

/* A job is found by the name that whoever asked gave it. It ended when `ended` says. */
#define JOB_PARTS                                                                                  \
    "CREATE UNIQUE INDEX job_name ON job(site,name);"                                              \
    "CREATE INDEX job_list ON job(site);"                                                          \
    "CREATE INDEX job_ended ON job(ended) WHERE ended>0;"                                          \
    "CREATE TABLE job_row(job INTEGER NOT NULL,n INTEGER NOT NULL,deal INTEGER NOT NULL,row TEXT " \
    "NOT NULL,PRIMARY KEY(job,n)) WITHOUT ROWID;"

/* What is kept so that pages need not count and search: `tally` holds deals by state
 * ("deal:<state>") and dead looks ("dead"); `cause` what stands in the way, and of how many;
 * `deal_cause` and `dead` of whom; `word` by what deals are found. Triggers keep them, because an
 * older program that goes on beside a newer one writes deals and work, too; `unworded` names the
 * deals whose words such a program left to us. A row of `work` that is replaced does not tell the
 * one it was (no trigger for deletion is run then), so what was dead is looked up; a row that a
 * notice has just made was not, and is left out for the sake of accepting. For the same reason
 * nothing here can fail halfway (OR IGNORE): SQLite keeps no copy of the pages then. */
#define LOOKING_PARTS                                                                              \
    "CREATE TABLE tally(site TEXT NOT NULL,what TEXT NOT NULL,n INTEGER NOT NULL,PRIMARY "         \
    "KEY(site,what)) WITHOUT ROWID;"                                                               \
    "CREATE TABLE cause(site TEXT NOT NULL,cause TEXT NOT NULL,text TEXT NOT NULL,n INTEGER NOT "  \
    "NULL,since INTEGER NOT NULL,dead INTEGER NOT NULL,PRIMARY KEY(site,cause)) WITHOUT ROWID;"    \
    "CREATE INDEX cause_n ON cause(site,n);"                                                       \
    "CREATE TABLE deal_cause(site TEXT NOT NULL,cause TEXT NOT NULL,deal INTEGER NOT NULL,"        \
    "PRIMARY KEY(site,cause,deal)) WITHOUT ROWID;"                                                 \
    "CREATE INDEX deal_cause_deal ON deal_cause(deal);"                                            \
    "CREATE TABLE dead(site TEXT NOT NULL,name TEXT NOT NULL,kind TEXT NOT NULL,cause TEXT NOT "   \
    "NULL,since INTEGER NOT NULL,PRIMARY KEY(site,name,kind)) WITHOUT ROWID;"                      \
    "CREATE INDEX dead_cause ON dead(site,cause,name);"                                            \
    "CREATE TABLE word(site TEXT NOT NULL,word TEXT NOT NULL,deal INTEGER NOT NULL,PRIMARY "       \
    "KEY(site,word,deal)) WITHOUT ROWID;"                                                          \
    "CREATE INDEX word_deal ON word(deal);"                                                        \
    "CREATE TABLE unworded(deal INTEGER PRIMARY KEY);"                                             \
    "CREATE INDEX deal_state ON deal(site,state,updated);"                                         \
    "CREATE TRIGGER deal_add AFTER INSERT ON deal BEGIN INSERT INTO tally VALUES(new.site,"        \
    "'deal:'||new.state,1) ON CONFLICT(site,what) DO UPDATE SET n=n+1;INSERT OR IGNORE INTO "      \
    "unworded VALUES(new.id);END;"                                                                 \
    "CREATE TRIGGER deal_move AFTER UPDATE OF state ON deal WHEN old.state<>new.state BEGIN "      \
    "UPDATE tally SET n=n-1 WHERE site=old.site AND what='deal:'||old.state;INSERT INTO tally "    \
    "VALUES(new.site,'deal:'||new.state,1) ON CONFLICT(site,what) DO UPDATE SET n=n+1;END;"        \
    "CREATE TRIGGER deal_name AFTER UPDATE OF title,referral_id,engagement_id,record_id ON deal "  \
    "WHEN old.title IS NOT new.title OR old.referral_id IS NOT new.referral_id OR "                \
    "old.engagement_id IS NOT new.engagement_id OR old.record_id IS NOT new.record_id BEGIN "      \
    "INSERT OR IGNORE INTO unworded VALUES(new.id);END;"                                           \
    "CREATE TRIGGER deal_drop AFTER DELETE ON deal BEGIN UPDATE tally SET n=n-1 WHERE "            \
    "site=old.site AND what='deal:'||old.state;DELETE FROM word WHERE deal=old.id;DELETE FROM "    \
    "unworded WHERE deal=old.id;DELETE FROM deal_cause WHERE deal=old.id;END;"                     \
    "CREATE TRIGGER deal_cause_add AFTER INSERT ON deal_cause BEGIN UPDATE cause SET n=n+1 "       \
    "WHERE site=new.site AND cause=new.cause;END;"                                                 \
    "CREATE TRIGGER deal_cause_drop AFTER DELETE ON deal_cause BEGIN UPDATE cause SET n=n-1 "      \
    "WHERE site=old.site AND cause=old.cause;DELETE FROM cause WHERE site=old.site AND "           \
    "cause=old.cause AND n<=0;END;"                                                                \
    "CREATE TRIGGER work_put AFTER INSERT ON work WHEN new.state=1 OR new.wanted<>1 OR "           \
    "new.done<>0 OR new.attempts<>0 OR new.kind<>'look' BEGIN DELETE FROM dead WHERE "             \
    "new.state<>1 AND site=new.site AND name=new.name AND kind=new.kind;INSERT OR IGNORE INTO "    \
    "dead SELECT new.site,new.name,new.kind,'dead '||coalesce(new.problem,'unknown'),new.due "     \
    "WHERE new.state=1 AND NOT EXISTS(SELECT 1 FROM dead WHERE site=new.site AND name=new.name "   \
    "AND kind=new.kind);END;"                                                                      \
    "CREATE TRIGGER work_drop AFTER DELETE ON work WHEN old.state=1 BEGIN DELETE FROM dead "       \
    "WHERE site=old.site AND name=old.name AND kind=old.kind;END;"                                 \
    "CREATE TRIGGER dead_add AFTER INSERT ON dead BEGIN INSERT OR IGNORE INTO tally SELECT "       \
    "new.site,'dead',0 WHERE NOT EXISTS(SELECT 1 FROM tally WHERE site=new.site AND "              \
    "what='dead');UPDATE OR IGNORE tally SET n=n+1 WHERE site=new.site AND what='dead';INSERT "    \
    "OR IGNORE INTO cause SELECT new.site,new.cause,'',0,new.since,1 WHERE NOT EXISTS(SELECT 1 "   \
    "FROM cause WHERE site=new.site AND cause=new.cause);UPDATE OR IGNORE cause SET n=n+1 WHERE "  \
    "site=new.site AND cause=new.cause;END;"                                                       \
    "CREATE TRIGGER dead_drop AFTER DELETE ON dead BEGIN UPDATE OR IGNORE tally SET n=n-1 WHERE "  \
    "site=old.site AND what='dead';UPDATE OR IGNORE cause SET n=n-1 WHERE site=old.site AND "      \
    "cause=old.cause;DELETE FROM cause WHERE site=old.site AND cause=old.cause AND n<=0;END;"

/* Work is found by its key and by its due time. `hint_pc` is out of the JSON because it moves with
 * every callback. `work_due` leaves out what moves with every notice, so that a notice for a
 * waiting row touches one page. A delivery is in `delivery_digest` only after the runner has looked
 * at it: accepting appends and touches no index. Deals and journal never give an id twice;
 * deliveries keep their last row for the same reason. */
static const char schema[] =
    "PRAGMA page_size=4096;"
    "PRAGMA application_id=" STR(
        CS_SQLITE_APPLICATION_ID) ";"
                                  "BEGIN;"
                                  "CREATE TABLE meta(site TEXT NOT NULL,name TEXT NOT NULL,text "
                                  "TEXT NOT NULL,"
                                  "PRIMARY KEY(site,name)) WITHOUT ROWID;"
                                  "CREATE TABLE work(site TEXT NOT NULL,kind TEXT NOT NULL,name "
                                  "TEXT NOT NULL,wanted INTEGER NOT NULL,"
                                  "done INTEGER NOT NULL,hint_pc INTEGER NOT NULL DEFAULT 0,first "
                                  "INTEGER NOT NULL,due INTEGER NOT NULL,"
                                  "attempts INTEGER NOT NULL,state INTEGER NOT NULL,hints "
                                  "TEXT,upstream TEXT,problem_class TEXT,problem TEXT,"
                                  "detail TEXT,seen INTEGER NOT NULL DEFAULT 0,"
                                  "trace TEXT,"
                                  "PRIMARY KEY(site,kind,name)) WITHOUT ROWID;"
                                  "CREATE INDEX work_due ON work(site,state,due,first);"
                                  "CREATE TABLE deal(id INTEGER PRIMARY KEY AUTOINCREMENT,site "
                                  "TEXT NOT NULL,state INTEGER NOT NULL,crm TEXT,"
                                  "kind TEXT,referral_id TEXT,engagement_id TEXT,tbl "
                                  "TEXT,record_id TEXT,title TEXT,status TEXT,problem TEXT,"
                                  "pc_version TEXT,pc_status TEXT,crm_version TEXT,mapping "
                                  "TEXT,images TEXT,intent TEXT,told TEXT,explain TEXT,"
                                  "next_look INTEGER NOT NULL,created INTEGER NOT NULL,updated "
                                  "INTEGER NOT NULL,planned INTEGER NOT NULL DEFAULT 0,"
                                  "crossed INTEGER NOT NULL DEFAULT 0,"
                                  "crossed_since INTEGER NOT NULL DEFAULT 0,posted TEXT);"
                                  "CREATE INDEX deal_updated ON deal(site,updated);"
                                  "CREATE INDEX deal_next ON deal(site,next_look) WHERE "
                                  "next_look>0;"
                                  "CREATE TABLE alias(site TEXT NOT NULL,name TEXT NOT NULL,deal "
                                  "INTEGER NOT NULL,"
                                  "PRIMARY KEY(site,name)) WITHOUT ROWID;"
                                  "CREATE INDEX alias_deal ON alias(deal);"
                                  "CREATE TABLE watch(site TEXT NOT NULL,crm TEXT NOT NULL,row "
                                  "TEXT NOT NULL,deal INTEGER NOT NULL,"
                                  "PRIMARY KEY(site,crm,row,deal)) WITHOUT ROWID;"
                                  "CREATE INDEX watch_deal ON watch(deal);"
                                  "CREATE TABLE journal(id INTEGER PRIMARY KEY AUTOINCREMENT,site "
                                  "TEXT NOT NULL,deal INTEGER NOT NULL,"
                                  "at INTEGER NOT NULL,direction TEXT,action TEXT,line TEXT,old "
                                  "TEXT,new TEXT,outcome TEXT,why TEXT,calls INTEGER,"
                                  "took INTEGER,correlation TEXT,mapping TEXT);"
                                  "CREATE INDEX journal_deal ON journal(deal);"
                                  "CREATE INDEX journal_site ON journal(site);"
                                  "CREATE TABLE delivery(id INTEGER PRIMARY KEY,site TEXT NOT "
                                  "NULL,source TEXT NOT NULL,event TEXT,"
                                  "received INTEGER NOT NULL,digest BLOB,kind TEXT,names "
                                  "TEXT,problem TEXT,body TEXT,"
                                  "folded INTEGER NOT NULL DEFAULT 0,repeats INTEGER NOT NULL "
                                  "DEFAULT 0,last INTEGER);"
                                  "CREATE INDEX delivery_digest ON delivery(site,digest) WHERE "
                                  "folded=1;"
                                  "CREATE TABLE cursor(site TEXT NOT NULL,name TEXT NOT NULL,text "
                                  "TEXT NOT NULL,updated INTEGER NOT NULL,"
                                  "PRIMARY KEY(site,name)) WITHOUT ROWID;"
                                  "CREATE TABLE lease(site TEXT PRIMARY KEY NOT NULL,owner TEXT "
                                  "NOT NULL,epoch INTEGER NOT NULL,"
                                  "until INTEGER NOT NULL) WITHOUT ROWID;"
                                  "CREATE TABLE job(id INTEGER PRIMARY KEY AUTOINCREMENT,site TEXT "
                                  "NOT NULL,kind TEXT NOT NULL,state TEXT NOT NULL,"
                                  "arguments TEXT,progress TEXT,result TEXT,created INTEGER NOT "
                                  "NULL,updated INTEGER NOT NULL,name TEXT,asker TEXT,cursor "
                                  "TEXT,ended INTEGER NOT NULL DEFAULT 0);"
                                  "CREATE INDEX job_site ON job(site,state);"
                                  JOB_PARTS
                                  "CREATE TABLE secret(site TEXT NOT NULL,name TEXT NOT "
                                  "NULL,version INTEGER NOT NULL,sealed BLOB NOT NULL,"
                                  "updated INTEGER NOT NULL,PRIMARY KEY(site,name)) WITHOUT ROWID;"
                                  "CREATE TABLE suspended(site TEXT NOT NULL,upstream TEXT NOT "
                                  "NULL,class TEXT,problem TEXT,detail TEXT,"
                                  "since INTEGER NOT NULL,probe INTEGER NOT NULL,PRIMARY "
                                  "KEY(site,upstream)) WITHOUT ROWID;"
                                  "CREATE TABLE total(site TEXT PRIMARY KEY NOT NULL,deals INTEGER "
                                  "NOT NULL,journal INTEGER NOT NULL,"
                                  "deliveries INTEGER NOT NULL) WITHOUT ROWID;"
                                  LOOKING_PARTS
                                  "INSERT INTO meta VALUES('','schema','" SCHEMA_VERSION "');"
                                  "COMMIT;"
                                  "PRAGMA journal_mode=WAL;";

/* raise[m] leads from minor m to m + 1. */
static const char *const raise_minor[SCHEMA_MINOR + 1] = {
    "ALTER TABLE work ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE deal ADD COLUMN planned INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE deal ADD COLUMN crossed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE deal ADD COLUMN crossed_since INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX deal_next ON deal(site,next_look) WHERE next_look>0;",
    "ALTER TABLE deal ADD COLUMN posted TEXT;"
    "CREATE TABLE watch(site TEXT NOT NULL,crm TEXT NOT NULL,row TEXT NOT NULL,deal INTEGER NOT "
    "NULL,PRIMARY KEY(site,crm,row,deal)) WITHOUT ROWID;"
    "CREATE INDEX watch_deal ON watch(deal);",
    "ALTER TABLE work ADD COLUMN trace TEXT;"
    "ALTER TABLE job ADD COLUMN name TEXT;"
    "ALTER TABLE job ADD COLUMN asker TEXT;"
    "ALTER TABLE job ADD COLUMN cursor TEXT;"
    "ALTER TABLE job ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;" JOB_PARTS LOOKING_PARTS
    "INSERT INTO tally SELECT site,'deal:'||state,count(*) FROM deal GROUP BY site,state;"
    "INSERT INTO unworded SELECT id FROM deal;"
    "INSERT INTO dead SELECT site,name,kind,'dead '||coalesce(problem,'unknown'),due FROM work "
    "WHERE state=1;",
    NULL};

static apr_status_t run_creation(cs_sqlite_t *sq, const char *path)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(
        path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3 *outer = sq->db;
    apr_status_t rv = APR_SUCCESS;

    if (db) {
        sqlite3_extended_result_codes(db, 1);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, schema, NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        sq->db = db;
        rv = cs_sqlite_fail(sq, rc, "create");
        sq->db = outer;
    }
    /* The last one to close writes the log into the file and removes it. */
    rc = sqlite3_close(db);
    if (rc != SQLITE_OK && rv == APR_SUCCESS) {
        rv = cs_sqlite_fail(sq, rc, "create");
    }
    return rv;
}

static apr_status_t sync_path(cs_sqlite_t *sq, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd);
    int err = errno;

    if (fd >= 0) {
        close(fd);
    }
    return failed ? cs_sqlite_say(sq, cs_store_status_of_errno(err), "could not sync %s: %s", path,
                                  strerror(err))
                  : APR_SUCCESS;
}

static apr_status_t put_in_place(cs_sqlite_t *sq, const char *tmp)
{
    if (link(tmp, sq->db_path)) {
        return cs_sqlite_say(sq, cs_store_status_of_errno(errno), "could not create %s: %s",
                             sq->db_path, strerror(errno));
    }
    unlink(tmp);
    return sync_path(sq, sq->dir);
}

apr_status_t cs_sqlite_schema_create(cs_sqlite_t *sq, apr_pool_t *ptemp)
{
    static const char *const leftovers[] = {"", "-journal", "-wal", "-shm"};
    const char *tmp = apr_pstrcat(ptemp, sq->db_path, ".new", NULL);
    apr_status_t rv;
    size_t i;

    for (i = 0; i < sizeof(leftovers) / sizeof(leftovers[0]); i++) {
        unlink(apr_pstrcat(ptemp, tmp, leftovers[i], NULL));
    }
    rv = run_creation(sq, tmp);
    if (rv == APR_SUCCESS && chmod(tmp, 0600)) {
        rv = cs_sqlite_say(sq, cs_store_status_of_errno(errno), "could not keep %s private: %s",
                           tmp, strerror(errno));
    }
    if (rv == APR_SUCCESS) {
        rv = sync_path(sq, tmp);
    }
    if (rv == APR_SUCCESS) {
        rv = put_in_place(sq, tmp);
    }
    return rv;
}

/* What only code can tell of the rows that are there. */
static apr_status_t fill_new_parts(cs_sqlite_t *sq)
{
    apr_pool_t *ptemp;
    apr_status_t rv = apr_pool_create(&ptemp, NULL); /* the handle's is its owner's */
    int left;

    if (rv != APR_SUCCESS) {
        return cs_sqlite_say(sq, rv, "out of memory");
    }
    apr_pool_tag(ptemp, "store raise");
    rv = cs_sqlite_causes_fill(sq, ptemp);
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_words_fill(sq, FILL_MAX, &left, ptemp);
    }
    apr_pool_destroy(ptemp);
    return rv;
}

static apr_status_t raise_to_ours(cs_sqlite_t *sq, int minor)
{
    apr_interval_time_t begun = cs_time_mono();
    apr_status_t rv = APR_SUCCESS;
    int rc, was = minor;

    /* Whoever wants to write meanwhile only sees that somebody does. */
    cs_log(CS_LOG_NOTICE, 0, NULL,
           CSLOGNO(3104) "raising %s from schema " STR(SCHEMA_MAJOR) ".%d to " SCHEMA_VERSION
                         ": what comes meanwhile waits, or is answered 503",
           sq->db_path, was);
    for (; minor < SCHEMA_MINOR; minor++) {
        rc = sqlite3_exec(sq->db, raise_minor[minor], NULL, NULL, NULL);
        if (rc != SQLITE_OK) {
            return cs_sqlite_fail(sq, rc, "raise the schema of");
        }
        if (minor == 2) {
            rv = fill_new_parts(sq);
        }
    }
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_exec(sq, CS_SQL_META_PUT, "sss", "", "schema", SCHEMA_VERSION);
    }
    if (rv == APR_SUCCESS) {
        cs_log(CS_LOG_NOTICE, 0, NULL,
               CSLOGNO(3105) "raised %s to schema " SCHEMA_VERSION " in %.1f s",
               sq->db_path, (double)(cs_time_mono() - begun) / APR_USEC_PER_SEC);
    }
    return rv;
}

/* In a transaction of its own; the end of the call rolls back what failed. */
static apr_status_t raise_alone(cs_sqlite_t *sq, int minor)
{
    apr_status_t rv = cs_sqlite_exec(sq, CS_SQL_BEGIN, "");

    if (rv == APR_SUCCESS) {
        rv = raise_to_ours(sq, minor);
    }
    return rv == APR_SUCCESS ? cs_sqlite_exec(sq, CS_SQL_COMMIT, "") : rv;
}

apr_status_t cs_sqlite_schema_check(cs_sqlite_t *sq)
{
    sqlite3_stmt *st = NULL;
    int major_no = 0, minor_no = 0, good = 0;
    char text[24] = "";
    apr_status_t rv;

    rv = cs_sqlite_query(sq, &st, CS_SQL_META_GET, "ss", "", "schema");
    if (st) {
        apr_cpystrn(text, (const char *)sqlite3_column_text(st, 0), sizeof(text));
        cs_sqlite_reset(st);
    }
    /* Asked in every transaction, and nearly always answered here. */
    if (rv != APR_SUCCESS || !strcmp(text, SCHEMA_VERSION)) {
        return rv;
    }
    good = sscanf(text, "%d.%d", &major_no, &minor_no) == 2;
    if (!good || major_no < 1 || minor_no < 0) {
        sq->broken = 1;
        return cs_sqlite_say(sq, CS_ECORRUPT, "%s has no schema version", sq->db_path);
    }
    if (major_no != SCHEMA_MAJOR) {
        sq->broken = 1;
        return cs_sqlite_say(sq, CS_ESCHEMA,
                             "%s was written by a newer version (schema %s, this one knows %d.x); "
                             "install that version again or put a copy of before in its place",
                             sq->db_path, text, SCHEMA_MAJOR);
    }
    /* Whoever opens for writing, or writes, is in the queue and raises; others use what is
     * there. */
    if (minor_no >= SCHEMA_MINOR || !sq->locked) {
        return APR_SUCCESS;
    }
    return sqlite3_get_autocommit(sq->db) ? raise_alone(sq, minor_no)
                                          : raise_to_ours(sq, minor_no);
}
