/* store/sqlite_impl.h: the SQLite store's own parts; included by store/sqlite*.c only.
 *
 *   sqlite.c         a handle: opening, statements, transactions, errors
 *   sqlite_file.c    the files: still the database we opened, may it live here, may its log be used
 *   sqlite_lock.c    the queue of all writers before store.lock
 *   sqlite_schema.c  tables, creation, versions
 *   sqlite_work.c    work rows, accepting, leases, claiming
 *   sqlite_write.c   the guarded transaction
 *   sqlite_words.c   by what deals are found
 *   sqlite_causes.c  what stands in the way of deals, and of how many
 *   sqlite_job.c     what a person asked for
 *   sqlite_page.c    deals and journal page by page
 *   sqlite_read.c    everything else that only looks, secrets, pruning
 *
 * A call is one of two:
 *     rv = cs_sqlite_begin(sq, p);  ... statements while rv is APR_SUCCESS ...;  return
 * cs_sqlite_end(sq, rv, p, res); rv = cs_sqlite_read(sq, p);   ... the same ...; return
 * cs_sqlite_done(sq, rv, p, res); After the first failure no statement may follow: SQLite may have
 * rolled back by itself, and what follows would commit alone.
 */
#ifndef CS_STORE_SQLITE_IMPL_H
#define CS_STORE_SQLITE_IMPL_H

#include <sqlite3.h>
#include <sys/types.h>

#include "store_impl.h"

/* A writer waits this long for its turn, a request's patience being 2 s. */
#define CS_SQLITE_BUSY apr_time_from_msec(1500)
/* For locks of programs that know nothing of store.lock, such as the sqlite3 shell. */
#define CS_SQLITE_BUSY_FOREIGN_MS 200
/* A reader's call ends after this. */
#define CS_SQLITE_READ_LIMIT apr_time_from_msec(250)
/* No value above this is stored. */
#define CS_SQLITE_VALUE_MAX (16 * 1024 * 1024)
/* "CSEL", in the file's header. */
#define CS_SQLITE_APPLICATION_ID 0x4353454C

#define CS_SQLITE_WORK_COLUMNS                                                                     \
    "site,kind,name,wanted,done,hint_pc,hints,first,due,attempts,state,upstream,problem_class,"    \
    "problem,detail,seen,trace"
#define CS_SQLITE_DEAL_COLUMNS                                                                     \
    "id,site,state,crm,kind,referral_id,engagement_id,tbl,record_id,title,status,problem,pc_"      \
    "version,pc_status,"                                                                           \
    "crm_version,mapping,images,intent,told,explain,next_look,created,updated,"                    \
    "planned,crossed,crossed_since,posted"
/* The same without documents, which may be long. */
#define CS_SQLITE_DEAL_SHORT                                                                       \
    "id,site,state,crm,kind,referral_id,engagement_id,tbl,record_id,title,status,problem,pc_"      \
    "version,pc_status,crm_version,mapping,NULL,NULL,NULL,NULL,next_look,created,updated,planned," \
    "crossed,crossed_since,NULL"
#define CS_SQLITE_JOURNAL_COLUMNS                                                                  \
    "id,deal,at,direction,action,line,old,new,outcome,why,calls,took,correlation,mapping"
#define CS_SQLITE_JOB_COLUMNS                                                                      \
    "id,site,name,kind,asker,state,arguments,progress,result,created,updated"

/* Their rows are always there. */
#define CS_SQLITE_TIMERS "('" CS_WORK_POLL "','" CS_WORK_SWEEP "','" CS_WORK_WATCH "')"

/* A row of work that only waits. */
#define CS_SQLITE_WAITING                                                                          \
    " WHERE site=?1 AND kind=?2 AND name=?3 AND wanted>done AND state<>1"                          \
    " AND (upstream IS NULL OR upstream NOT LIKE '" CS_BRAKE "%')"

/* X(id, SQL): prepared when first used, kept as long as the handle is open. */
#define CS_SQLITE_STATEMENTS(X)                                                                    \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(BEGIN_READ, "BEGIN")                                                                         \
    X(COMMIT, "COMMIT")                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                        \
    X(META_GET, "SELECT text FROM meta WHERE site=?1 AND name=?2")                                 \
    X(META_PUT, "INSERT INTO meta(site,name,text) VALUES(?1,?2,?3) ON CONFLICT DO UPDATE SET "     \
                "text=excluded.text")                                                              \
    X(META_DELETE, "DELETE FROM meta WHERE site=?1 AND name=?2")                                   \
    /* A row that is waiting anyway: only the counter and the hint move, and no index is touched.  \
     */                                                                                            \
    X(WORK_BUMP, "UPDATE work SET wanted=wanted+1,hint_pc=max(hint_pc,?4)" CS_SQLITE_WAITING)      \
    X(WORK_BUMP_TRACED,                                                                            \
      "UPDATE work SET wanted=wanted+1,hint_pc=max(hint_pc,?4),trace=?5" CS_SQLITE_WAITING)        \
    /* OR IGNORE, not ON CONFLICT: what then cannot fail halfway needs no copy of the pages that it\
     * and its triggers write, which was a quarter of its time. What it leaves out for another     \
     * reason, the row that is put in its place meets, too. */                                     \
    X(WORK_NEW, "INSERT OR IGNORE INTO work(site,kind,name,wanted,done,hint_pc,first,due,attempts,"\
                "state) VALUES(?1,?2,?3,1,0,?4,?5,?5,0,0)")                                        \
    X(WORK_NEW_TRACED, "INSERT OR IGNORE INTO work(site,kind,name,wanted,done,hint_pc,first,due,"  \
                       "attempts,state,trace) VALUES(?1,?2,?3,1,0,?4,?5,?5,0,0,?6)")               \
    X(WORK_GET,                                                                                    \
      "SELECT " CS_SQLITE_WORK_COLUMNS " FROM work WHERE site=?1 AND kind=?2 AND name=?3")         \
    X(WORK_PUT, "INSERT OR REPLACE INTO work(" CS_SQLITE_WORK_COLUMNS ")"                          \
                " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)")             \
    X(WORK_DELETE, "DELETE FROM work WHERE site=?1 AND kind=?2 AND name=?3")                       \
    /* A name that got its alias, or its notice, since the folding is the next claim's. */         \
    X(WORK_DUE,                                                                                    \
      "SELECT " CS_SQLITE_WORK_COLUMNS " FROM (SELECT * FROM work WHERE site=?1 AND state=0"       \
      " AND due<=?2 AND kind<>'job' ORDER BY due LIMIT ?3) w WHERE w.kind<>'look' OR NOT EXISTS"   \
      " (SELECT 1 FROM alias a WHERE a.site=w.site AND a.name=w.name) ORDER BY w.due")             \
    X(JOBS_DUE, "SELECT " CS_SQLITE_WORK_COLUMNS " FROM work WHERE site=?1 AND kind='job' AND"     \
                " +state=0 AND +due<=?2 ORDER BY +due LIMIT ?3")                                   \
    X(WORK_NEXT, "SELECT due FROM work WHERE site=?1 AND state=0 ORDER BY due LIMIT 1")            \
    X(WORK_REFRESH,                                                                                \
      "SELECT wanted,first,hint_pc,hints,seen,trace FROM work WHERE site=?1 AND kind=?2 AND "      \
      "name=?3")                                                                                   \
    X(WORK_FOLDABLE, "SELECT w.name,a.deal FROM (SELECT name,kind,due FROM work WHERE site=?1 "    \
                     "AND state=0 AND due<=?2 AND kind<>'job'"                                     \
                     " ORDER BY due LIMIT ?3) w CROSS JOIN alias a ON a.site=?1 AND a.name=w.name" \
                     " WHERE w.kind='look' ORDER BY w.due")                                        \
    X(WORK_RESUME, "UPDATE work INDEXED BY work_due SET state=0,upstream=NULL,due=?3 WHERE "       \
                   "site=?1 AND state=2 AND upstream=?2")                                          \
    X(WORK_LIST, "SELECT " CS_SQLITE_WORK_COLUMNS                                                  \
                 " FROM work WHERE site=?1 AND state=?2 ORDER BY due LIMIT ?3")                    \
    /* Rows that somebody waits for, and the oldest. */                                            \
    X(WORK_WAITING, "SELECT count(*),min(first) FROM work WHERE site=?1 AND state=0 AND "          \
                    "kind NOT IN " CS_SQLITE_TIMERS)                                               \
    X(WORK_SUSPENDED, "SELECT count(*) FROM work WHERE site=?1 AND state=2")                       \
    X(WORK_SITE, "SELECT site FROM work WHERE site>?1 ORDER BY site LIMIT 1")                      \
    X(DELIVERY_ADD,                                                                                \
      "INSERT INTO delivery(site,source,event,received,digest,kind,names,problem,body)"            \
      " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)")                                                       \
    X(DELIVERY_NEW,                                                                                \
      "SELECT id,site,digest,received FROM delivery WHERE id>?1 ORDER BY id LIMIT ?2")             \
    X(DELIVERY_SAME, "SELECT id FROM delivery WHERE site=?1 AND digest=?2 AND folded=1 LIMIT 1")   \
    X(DELIVERY_REPEAT, "UPDATE delivery SET repeats=repeats+1,last=?2 WHERE id=?1")                \
    X(DELIVERY_FOLDED, "UPDATE delivery SET folded=1 WHERE id=?1")                                 \
    X(DELIVERY_DELETE, "DELETE FROM delivery WHERE id=?1")                                         \
    X(DELIVERY_LAST, "SELECT max(id) FROM delivery")                                               \
    X(DELIVERY_RECENT, "SELECT id,source,event,names,received FROM delivery WHERE"                 \
                       " id>(SELECT coalesce(max(id),0) FROM delivery)-?5 AND site=?1 AND"         \
                       " source=?2 AND (?3 IS NULL OR event=?3) AND received>=?4"                  \
                       " ORDER BY id DESC LIMIT ?6")                                               \
    X(DELIVERY_OLD, "SELECT id,site,received,repeats FROM delivery WHERE id>0"                     \
                    " ORDER BY id LIMIT ?1")                                                       \
    X(TOTAL_ADD, "INSERT INTO total(site,deals,journal,deliveries) VALUES(?1,?2,?3,?4) ON "        \
                 "CONFLICT DO UPDATE SET"                                                          \
                 " deals=deals+?2,journal=journal+?3,deliveries=deliveries+?4")                    \
    X(TOTAL_GET, "SELECT deals,journal,deliveries FROM total WHERE site=?1")                       \
    X(TOTAL_ALL, "SELECT sum(deals),sum(journal),sum(deliveries) FROM total WHERE site>=''")       \
    X(LEASE_GET, "SELECT owner,epoch,until FROM lease WHERE site=?1")                              \
    X(LEASE_PUT,                                                                                   \
      "INSERT INTO lease(site,owner,epoch,until) VALUES(?1,?2,?3,?4) ON CONFLICT DO UPDATE SET"    \
      " owner=excluded.owner,epoch=excluded.epoch,until=excluded.until")                           \
    X(LEASE_MOVE, "UPDATE lease SET until=?4 WHERE site=?1 AND owner=?2 AND epoch=?3")             \
    X(LEASE_MINE, "SELECT 1 FROM lease WHERE site=?1 AND owner=?2 AND epoch=?3")                   \
    X(ALIAS_GET, "SELECT deal FROM alias WHERE site=?1 AND name=?2")                               \
    X(ALIAS_ADD, "INSERT INTO alias(site,name,deal) VALUES(?1,?2,?3)")                             \
    X(ALIAS_DROP, "DELETE FROM alias WHERE site=?1 AND name=?2 AND deal=?3")                       \
    X(DEAL_ADD, "INSERT INTO deal(" CS_SQLITE_DEAL_COLUMNS                                         \
                ") VALUES(nullif(?1,0),?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,"                   \
                "?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27)")                        \
    X(DEAL_PUT, "UPDATE deal SET "                                                                 \
                "state=?3,crm=?4,kind=?5,referral_id=?6,engagement_id=?7,tbl=?8,record_id=?9,"     \
                "title=?10,status=?11,problem=?12,pc_version=?13,pc_status=?14,crm_version=?15,"   \
                "mapping=?16,images=?17,"                                                          \
                "intent=?18,told=?19,explain=?20,next_look=?21,created=?22,updated=?23,"           \
                "planned=?24,crossed=?25,crossed_since=?26,posted=?27 WHERE "                      \
                "id=?1 AND site=?2")                                                               \
    X(DEAL_GET, "SELECT " CS_SQLITE_DEAL_COLUMNS " FROM deal WHERE id=?2 AND site=?1")             \
    X(DEAL_FIND, "SELECT " CS_SQLITE_DEAL_COLUMNS " FROM deal WHERE site=?1 AND"                   \
                 " id=(SELECT deal FROM alias WHERE site=?1 AND name=?2)")                         \
    X(DEALS_NAMED, "SELECT " CS_SQLITE_DEAL_COLUMNS " FROM deal WHERE +site=?1 AND id IN"          \
                   "(SELECT deal FROM alias WHERE site=?1 AND name IN"                             \
                   "(?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)) ORDER BY id")                               \
    X(DEAL_LIST,                                                                                   \
      "SELECT " CS_SQLITE_DEAL_COLUMNS " FROM deal WHERE site=?1 ORDER BY updated DESC LIMIT ?2")  \
    X(DEAL_AFTER,                                                                                  \
      "SELECT id,site,state,crm,mapping FROM deal WHERE id>?1 ORDER BY id LIMIT ?2")               \
    X(CURSOR_GET, "SELECT text,updated FROM cursor WHERE site=?1 AND name=?2")                     \
    X(CURSOR_PUT, "INSERT INTO cursor(site,name,text,updated) VALUES(?1,?2,?3,?4) ON CONFLICT DO " \
                  "UPDATE SET text=excluded.text,updated=excluded.updated")                        \
    X(CURSOR_DELETE, "DELETE FROM cursor WHERE site=?1 AND name=?2")                               \
    X(WATCH_ROW, "SELECT deal FROM watch WHERE site=?1 AND crm=?2 AND row=?3 AND deal>?4"          \
                 " ORDER BY deal LIMIT ?5")                                                        \
    X(WATCH_OF_DEAL, "SELECT site,crm,row FROM watch WHERE deal=?1")                               \
    X(WATCH_ADD, "INSERT INTO watch(site,crm,row,deal) VALUES(?1,?2,?3,?4) ON CONFLICT DO NOTHING")\
    X(WATCH_DELETE, "DELETE FROM watch WHERE site=?1 AND crm=?2 AND row=?3 AND deal=?4")           \
    X(WATCH_CLEAR, "DELETE FROM watch WHERE deal=?1")                                              \
    X(WATCH_MOVE, "UPDATE OR IGNORE watch SET deal=?2 WHERE deal=?1")                              \
    X(DEAL_DUE, "SELECT id,next_look FROM deal WHERE site=?1 AND next_look>0 AND next_look<=?2"    \
                " ORDER BY next_look LIMIT ?3")                                                    \
    X(DEAL_NEXT, "SELECT next_look FROM deal WHERE site=?1 AND next_look>0"                        \
                 " ORDER BY next_look LIMIT 1")                                                    \
    X(DEAL_PLAN, "UPDATE deal SET next_look=?3 WHERE id=?1 AND site=?2")                           \
    X(DEAL_DELETE, "DELETE FROM deal WHERE id=?1 AND site=?2")                                     \
    X(ALIAS_MOVE, "UPDATE alias SET deal=?2 WHERE deal=?1")                                        \
    X(JOURNAL_MOVE, "UPDATE journal SET deal=?2 WHERE deal=?1")                                    \
    X(JOURNAL_ADD,                                                                                 \
      "INSERT INTO "                                                                               \
      "journal(site,deal,at,direction,action,line,old,new,outcome,why,calls,took,correlation,"     \
      "mapping) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)")                           \
    X(JOURNAL_OLD, "SELECT id,site,at,0 FROM journal WHERE id>0 ORDER BY id LIMIT ?1")             \
    X(JOURNAL_DELETE, "DELETE FROM journal WHERE id=?1")                                           \
    X(SUSPEND_PUT, "INSERT INTO suspended(site,upstream,class,problem,detail,since,probe) "        \
                   "VALUES(?1,?2,?3,?4,?5,?6,?7)"                                                  \
                   " ON CONFLICT DO UPDATE SET "                                                   \
                   "class=excluded.class,problem=excluded.problem,detail=excluded.detail,"         \
                   "probe=excluded.probe")                                                         \
    X(SUSPEND_DELETE, "DELETE FROM suspended WHERE site=?1 AND upstream=?2")                       \
    X(SUSPEND_LIST, "SELECT site,upstream,problem,detail,since,probe FROM suspended WHERE "        \
                    "site=?1 ORDER BY site,upstream")                                              \
    X(SUSPEND_ALL, "SELECT site,upstream,problem,detail,since,probe FROM suspended WHERE "         \
                   "site>='' ORDER BY site,upstream")                                              \
    X(SECRET_GET, "SELECT version,sealed FROM secret WHERE site=?1 AND name=?2")                   \
    X(SECRET_NEW, "INSERT INTO secret(site,name,version,sealed,updated) VALUES(?1,?2,1,?3,?4) ON " \
                  "CONFLICT DO NOTHING")                                                           \
    X(SECRET_PUT, "UPDATE secret SET version=version+1,sealed=?3,updated=?4 WHERE site=?1 AND "    \
                  "name=?2 AND version=?5")                                                        \
    X(TALLY_GET, "SELECT what,n FROM tally WHERE site=?1")                                         \
    X(TALLY_ONE, "SELECT n FROM tally WHERE site=?1 AND what=?2")                                  \
    X(CAUSE_PUT, "INSERT INTO cause(site,cause,text,n,since,dead) VALUES(?1,?2,?3,0,?4,?5) ON "    \
                 "CONFLICT(site,cause) DO UPDATE SET text=excluded.text WHERE text<>excluded.text")\
    X(CAUSE_LIST, "SELECT cause,text,n,since,dead FROM cause WHERE site=?1 AND n>0"                \
                  " ORDER BY n DESC LIMIT ?2")                                                     \
    X(CAUSE_OF_DEAL, "SELECT cause FROM deal_cause WHERE deal=?1")                                 \
    X(CAUSE_ADD, "INSERT INTO deal_cause(site,cause,deal) VALUES(?1,?2,?3)")                       \
    X(CAUSE_DROP, "DELETE FROM deal_cause WHERE site=?1 AND cause=?2 AND deal=?3")                 \
    X(CAUSE_HAS, "SELECT 1 FROM deal_cause WHERE site=?1 AND cause=?2 AND deal=?3")                \
    X(CAUSE_DEALS, "SELECT deal FROM deal_cause WHERE site=?1 AND cause=?2 AND deal<?3"            \
                   " ORDER BY deal DESC LIMIT ?4")                                                 \
    X(DEAD_GET, "SELECT cause FROM dead WHERE site=?1 AND name=?2 AND kind=?3")                    \
    X(DEAD_DROP, "DELETE FROM dead WHERE site=?1 AND name=?2 AND kind=?3")                         \
    X(DEAD_ADD, "INSERT INTO dead(site,name,kind,cause,since) VALUES(?1,?2,?3,?4,?5)")             \
    X(DEAD_LIST,                                                                                   \
      "SELECT kind,name FROM dead WHERE site=?1 AND name>?2 ORDER BY name,kind LIMIT ?3")          \
    X(DEAD_CAUSE, "SELECT kind,name FROM dead WHERE site=?1 AND cause=?2 AND name>?3"              \
                  " ORDER BY name,kind LIMIT ?4")                                                  \
    X(DEAD_ALL, "SELECT site,name,kind FROM dead WHERE (site,name,kind)>(?1,?2,?3)"                \
                " ORDER BY site,name,kind LIMIT ?4")                                               \
    X(UNWORDED_LIST, "SELECT deal FROM unworded WHERE deal>0 ORDER BY deal DESC LIMIT ?1")         \
    X(UNWORDED_DROP, "DELETE FROM unworded WHERE deal=?1")                                         \
    X(WORDS_OF_DEAL, "SELECT word FROM word WHERE deal=?1")                                        \
    X(WORD_ADD, "INSERT INTO word(site,word,deal) VALUES(?1,?2,?3)")                               \
    X(WORD_DROP, "DELETE FROM word WHERE site=?1 AND word=?2 AND deal=?3")                         \
    X(WORD_SAME, "SELECT deal,word FROM word WHERE site=?1 AND word=?2 AND deal<?3"                \
                 " ORDER BY deal DESC LIMIT ?4")                                                   \
    X(WORD_NEXT, "SELECT word FROM word WHERE site=?1 AND word>?2 AND word<?3"                     \
                 " ORDER BY word LIMIT 1")                                                         \
    X(DEAL_NAMES, "SELECT site,title,referral_id,engagement_id,record_id FROM deal WHERE id=?1")   \
    X(DEAL_SHORT, "SELECT " CS_SQLITE_DEAL_SHORT " FROM deal WHERE id=?1 AND site=?2")             \
    X(DEALS_NEWEST, "SELECT id,updated FROM deal WHERE site=?1 AND (updated,id)<(?2,?3)"           \
                    " ORDER BY updated DESC,id DESC LIMIT ?4")                                     \
    X(DEALS_STATE, "SELECT id,updated FROM deal WHERE site=?1 AND state=?2 AND "                   \
                   "(updated,id)<(?3,?4) ORDER BY updated DESC,id DESC LIMIT ?5")                  \
    X(JOURNAL_DEAL_BELOW, "SELECT " CS_SQLITE_JOURNAL_COLUMNS " FROM journal WHERE deal=?2 AND "   \
                          "+site=?1 AND id<?3 ORDER BY id DESC LIMIT ?4")                          \
    X(JOURNAL_DEAL_ABOVE, "SELECT " CS_SQLITE_JOURNAL_COLUMNS " FROM journal WHERE deal=?2 AND "   \
                          "+site=?1 AND id>?3 ORDER BY id LIMIT ?4")                               \
    X(JOURNAL_SITE_BELOW, "SELECT " CS_SQLITE_JOURNAL_COLUMNS " FROM journal WHERE site=?1 AND "   \
                          "id<?2 ORDER BY id DESC LIMIT ?3")                                       \
    X(JOURNAL_SITE_ABOVE, "SELECT " CS_SQLITE_JOURNAL_COLUMNS " FROM journal WHERE site=?1 AND "   \
                          "id>?2 ORDER BY id LIMIT ?3")                                            \
    X(JOB_ADD,                                                                                     \
      "INSERT INTO job(site,name,kind,asker,state,arguments,created,updated)"                      \
      " VALUES(?1,?2,?3,?4,?5,?6,?7,?7) ON CONFLICT(site,name) DO NOTHING")                        \
    X(JOB_GET,                                                                                     \
      "SELECT " CS_SQLITE_JOB_COLUMNS ",cursor FROM job WHERE site=?1 AND name=?2")                \
    X(JOB_LIST,                                                                                    \
      "SELECT " CS_SQLITE_JOB_COLUMNS " FROM job WHERE site=?1 AND name IS NOT NULL"               \
      " ORDER BY id DESC LIMIT ?2")                                                                \
    X(JOB_PUT, "UPDATE job SET state=?3,cursor=?4,progress=?5,result=?6,updated=?7,ended=?8"       \
               " WHERE site=?1 AND name=?2 AND (ended=0 OR state<>'cancelled' AND "                \
               "?3<>'cancelled')")                                                                 \
    X(JOB_ROW_ADD,                                                                                 \
      "INSERT INTO job_row(job,n,deal,row) SELECT id,1+coalesce((SELECT n FROM job_row WHERE "     \
      "job=id ORDER BY n DESC LIMIT 1),0),?3,?4 FROM job WHERE site=?1 AND name=?2")               \
    X(JOB_ROWS, "SELECT n,deal,row FROM job_row WHERE job=(SELECT id FROM job WHERE site=?1 AND "  \
                "name=?2) AND n>?3 ORDER BY n LIMIT ?4")                                           \
    X(JOB_OLD, "SELECT id FROM job WHERE ended>0 AND ended<?1 ORDER BY ended LIMIT ?2")            \
    X(JOB_ROW_PRUNE,                                                                               \
      "DELETE FROM job_row WHERE job=?1 AND n<=(SELECT n FROM job_row WHERE job=?1 ORDER BY n"     \
      " LIMIT 1)+?2-1")                                                                            \
    X(JOB_DELETE, "DELETE FROM job WHERE id=?1")

typedef enum {
#define CS_SQLITE_ENUM(id, sql) CS_SQL_##id,
    CS_SQLITE_STATEMENTS(CS_SQLITE_ENUM)
#undef CS_SQLITE_ENUM
        CS_SQL_COUNT
} cs_sql_e;

/* ---- sqlite_lock.c ---- */

typedef struct cs_sqlite_lock_t cs_sqlite_lock_t;

/* This process's one queue before <state>/store.lock; several handles share it. NULL without
 * memory. Made after the fork: a child that asks again gets one of its own. */
cs_sqlite_lock_t *cs_sqlite_lock_get(const char *path);
void cs_sqlite_lock_put(cs_sqlite_lock_t *lock);
/* Waits at most `wait` for all threads and processes in front. CS_EBUSY, CS_EMISSING (no
 * directory), or what open(2) says. *pfd (may be NULL) is the locked file, good until the release.
 */
apr_status_t cs_sqlite_lock_take(cs_sqlite_lock_t *lock, apr_interval_time_t wait, int *pfd);
void cs_sqlite_lock_give(cs_sqlite_lock_t *lock);

/* ---- a handle ---- */

typedef struct cs_sqlite_t {
    cs_store_t base;
    sqlite3 *db; /* NULL while closed */
    sqlite3_file
        *file; /* db's main file, for looking at its header through SQLite's own descriptor */
    sqlite3_stmt *stmt[CS_SQL_COUNT];
    pid_t pid; /* who opened db */
    dev_t dev; /* which file db is */
    ino_t ino;
    cs_sqlite_lock_t *lock;
    int lock_fd; /* while locked */
    int locked;
    int broken;                   /* an error was met: close at the end of the call */
    int known;                    /* was open before */
    unsigned int counter;         /* the header's change counter when last looked at */
    unsigned int counter_noted;   /* and when last written to store.lock */
    apr_interval_time_t deadline; /* of a reader's call, cs_time_mono() */
    const char *dir, *db_path, *wal_path, *lock_path;
    char detail[600]; /* of the first failure of the call */
} cs_sqlite_t;

/* A write transaction: in the queue, with the file proven to be the one we think, and BEGIN
 * IMMEDIATE done. */
apr_status_t cs_sqlite_begin(cs_sqlite_t *sq, apr_pool_t *ptemp);
/* COMMIT if rv is APR_SUCCESS (then rv becomes its outcome), else ROLLBACK; leaves the queue;
 * closes a broken handle; fills res. */
apr_status_t cs_sqlite_end(cs_sqlite_t *sq, apr_status_t rv, apr_pool_t *p, cs_result_t *res);
/* A look without a transaction of its own; each statement sees one state. `snapshot` = all
 * statements see the same. */
apr_status_t cs_sqlite_read(cs_sqlite_t *sq, int snapshot, apr_pool_t *ptemp);
apr_status_t cs_sqlite_done(cs_sqlite_t *sq, apr_status_t rv, apr_pool_t *p, cs_result_t *res);

/* Binds by format and runs: s text, i apr_int64_t, j json_t * (as text; the scratch pool follows in
 * the arguments), b bytes (pointer, apr_size_t). NULL pointers are NULL. Bound memory must last
 * until the statement is reset. */
apr_status_t cs_sqlite_exec(cs_sqlite_t *sq, cs_sql_e id, const char *fmt, ...);
/* The same up to the first row: *pst, or NULL when there is none. Go on with cs_sqlite_next();
 * cs_sqlite_reset() after the last row of interest. */
apr_status_t cs_sqlite_query(cs_sqlite_t *sq, sqlite3_stmt **pst, cs_sql_e id, const char *fmt,
                             ...);
/* *pst becomes NULL, and the statement is reset, after the last row. */
apr_status_t cs_sqlite_next(cs_sqlite_t *sq, sqlite3_stmt **pst);
void cs_sqlite_reset(sqlite3_stmt *st);
/* Rows changed by the last statement. */
int cs_sqlite_changes(cs_sqlite_t *sq);

#ifdef CS_TEST
/* What the handle's statements did since this was last asked: for each that ran, its name, rows
 * stepped over in scans of whole tables, and steps of the machine in all. */
typedef void cs_sqlite_counted_fn(void *baton, const char *name, int scanned, int steps);
void cs_sqlite_counters(cs_store_t *store, cs_sqlite_counted_fn *fn, void *baton);
#endif

/* A failure of our own: keeps the words for the result. Returns rv. */
apr_status_t cs_sqlite_say(cs_sqlite_t *sq, apr_status_t rv, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A failure of SQLite's with result code rc while doing `what`. */
apr_status_t cs_sqlite_fail(cs_sqlite_t *sq, int rc, const char *what);

/* Columns, copied into p; NULL stays NULL. */
const char *cs_sqlite_text(sqlite3_stmt *st, int i, apr_pool_t *p);
apr_status_t cs_sqlite_json(cs_sqlite_t *sq, sqlite3_stmt *st, int i, json_t **pjson,
                            apr_pool_t *p);

/* ---- sqlite_file.c ---- */

/* May a database live in this directory? Warns once per process about memory file systems. */
apr_status_t cs_sqlite_file_place(cs_sqlite_t *sq, apr_pool_t *ptemp);
/* Is the database's path still the file that is open? APR_SUCCESS, or CS_EMISSING / CS_ESTALE
 * (another file: reopen). */
apr_status_t cs_sqlite_file_same(cs_sqlite_t *sq);
/* The open file's first bytes: SQLite's and ours? Through SQLite's descriptor, because closing one
 * of our own would drop SQLite's locks. */
apr_status_t cs_sqlite_file_header(cs_sqlite_t *sq);
/* Before the first statement, in the queue: a log that belongs to a newer database than the one at
 * the path is set aside. */
apr_status_t cs_sqlite_file_wal_check(cs_sqlite_t *sq, apr_pool_t *ptemp);
/* In the queue: remembers in store.lock which log belongs to which database. */
void cs_sqlite_file_wal_note(cs_sqlite_t *sq);

/* ---- sqlite_schema.c ---- */

/* In the queue: makes the database (and the node's file) where there is neither, so that the path
 * holds a whole one or none. */
apr_status_t cs_sqlite_schema_create(cs_sqlite_t *sq, apr_pool_t *ptemp);
/* In the transaction or at opening: is the version one we understand? */
apr_status_t cs_sqlite_schema_check(cs_sqlite_t *sq);

/* ---- the table's functions ---- */

apr_status_t cs_sqlite_accept(cs_store_t *store, const cs_notice_t *const *notices, int n,
                              apr_pool_t *ptemp, cs_result_t *res);
apr_status_t cs_sqlite_lease_take(cs_store_t *store, const char *site, const char *owner,
                                  apr_interval_time_t ttl, apr_time_t now, cs_lease_t *lease,
                                  apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_lease_renew(cs_store_t *store, cs_lease_t *lease, apr_interval_time_t ttl,
                                   apr_time_t now, apr_pool_t *ptemp, cs_result_t *res);
apr_status_t cs_sqlite_lease_release(cs_store_t *store, const cs_lease_t *lease, apr_pool_t *ptemp,
                                     cs_result_t *res);
apr_status_t cs_sqlite_sites_due(cs_store_t *store, const apr_array_header_t *sites, apr_time_t now,
                                 apr_array_header_t **pdue, apr_time_t *pnext, apr_pool_t *p,
                                 cs_result_t *res);
apr_status_t cs_sqlite_claim(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                             apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_jobs_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                                apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_refresh(cs_store_t *store, apr_array_header_t *works, apr_pool_t *p,
                               cs_result_t *res);
apr_status_t cs_sqlite_deal_find(cs_store_t *store, const char *site, const char *system,
                                 const char *external_id, cs_deal_t **pdeal, apr_pool_t *p,
                                 cs_result_t *res);
apr_status_t cs_sqlite_deals_named(cs_store_t *store, const char *site,
                                   const apr_array_header_t *names, apr_array_header_t **plist,
                                   apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_deal_load(cs_store_t *store, const char *site, apr_int64_t id,
                                 cs_deal_t **pdeal, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_deals_of_mapping(cs_store_t *store, const char *site, const char *crm,
                                        const char *digest, int max, apr_int64_t *pafter,
                                        apr_array_header_t **pids, int *pleft, apr_pool_t *p,
                                        cs_result_t *res);
apr_status_t cs_sqlite_deals_open(cs_store_t *store, const char *site, const char *crm, int max,
                                  apr_int64_t *pafter, apr_array_header_t **pids, int *pleft,
                                  apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_watchers(cs_store_t *store, const char *site, const char *crm,
                                const char *row, apr_int64_t after, int max,
                                apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_cursor_get(cs_store_t *store, const char *site, const char *name,
                                  const char **ptext, apr_time_t *pupdated, apr_pool_t *p,
                                  cs_result_t *res);
apr_status_t cs_sqlite_deals_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                                 apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_write(cs_store_t *store, const cs_lease_t *lease,
                             const apr_array_header_t *changes, apr_pool_t *ptemp,
                             cs_result_t *res);
apr_status_t cs_sqlite_meta_get(cs_store_t *store, const char *site, const char *name,
                                const char **ptext, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_suspended(cs_store_t *store, const char *site, apr_array_header_t **plist,
                                 apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_secret_get(cs_store_t *store, const char *site, const char *name,
                                  const unsigned char **psealed, apr_size_t *plen,
                                  apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_secret_put(cs_store_t *store, const char *site, const char *name,
                                  const unsigned char *sealed, apr_size_t len, apr_int64_t version,
                                  apr_pool_t *ptemp, cs_result_t *res);
apr_status_t cs_sqlite_prune(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                             int *pleft, apr_pool_t *ptemp, cs_result_t *res);
apr_status_t cs_sqlite_counts(cs_store_t *store, const char *site, cs_store_counts_t *counts,
                              apr_pool_t *ptemp, cs_result_t *res);
apr_status_t cs_sqlite_work_list(cs_store_t *store, const char *site, int state, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_deal_list(cs_store_t *store, const char *site, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_journal_list(cs_store_t *store, const char *site, apr_int64_t deal, int max,
                                    apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_work_of_deal(cs_store_t *store, const char *site, apr_int64_t deal,
                                    cs_work_t **pwork, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_deliveries(cs_store_t *store, const char *site, const char *source,
                                  const char *event, apr_time_t since, int max,
                                  apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_work_named(cs_store_t *store, const char *site, const char *kind,
                                  const char *name, cs_work_t **pwork, apr_pool_t *p,
                                  cs_result_t *res);

apr_status_t cs_sqlite_journal_page(cs_store_t *store, const char *site, apr_int64_t deal,
                                    apr_int64_t after, apr_int64_t before, int max,
                                    apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_deal_page(cs_store_t *store, const char *site, const cs_deal_query_t *query,
                                 cs_deal_page_t *page, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_deal_totals(cs_store_t *store, const char *site,
                                   apr_int64_t totals[CS_DEAL_STATES], apr_pool_t *ptemp,
                                   cs_result_t *res);
apr_status_t cs_sqlite_causes(cs_store_t *store, const char *site, int max,
                              apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_dead(cs_store_t *store, const char *site, const char *cause,
                            const char *after, int max, apr_array_header_t **plist, apr_pool_t *p,
                            cs_result_t *res);
apr_status_t cs_sqlite_job_get(cs_store_t *store, const char *site, const char *id,
                               cs_job_t **pjob, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_job_list(cs_store_t *store, const char *site, int max,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
apr_status_t cs_sqlite_job_rows(cs_store_t *store, const char *site, const char *id,
                                apr_int64_t after, int max, apr_array_header_t **plist,
                                apr_pool_t *p, cs_result_t *res);

/* ---- shared by them ---- */

/* sqlite_job.c: the job that a notice asks for; one change of kind JOB or JOB_ROW; ended jobs of
 * before `before`, at most *pbudget rows, which goes down by what went. */
apr_status_t cs_sqlite_job_add(cs_sqlite_t *sq, const cs_job_t *job, const char *site,
                               apr_time_t now, apr_pool_t *ptemp);
apr_status_t cs_sqlite_job_put(cs_sqlite_t *sq, const char *site, const cs_change_t *change,
                               apr_pool_t *ptemp);
apr_status_t cs_sqlite_job_row_add(cs_sqlite_t *sq, const char *site, const cs_change_t *change,
                                   apr_pool_t *ptemp);
apr_status_t cs_sqlite_job_prune(cs_sqlite_t *sq, apr_time_t before, int *pbudget, int *pleft,
                                 apr_pool_t *ptemp);

/* CS_ELEASE unless the lease is ours; inside a transaction this is WHERE epoch = mine for all that
 * follows. */
apr_status_t cs_sqlite_lease_mine(cs_sqlite_t *sq, const cs_lease_t *lease);
/* The row under the statement, in p. */
apr_status_t cs_sqlite_work_of_row(cs_sqlite_t *sq, sqlite3_stmt *st, cs_work_t **pwork,
                                   apr_pool_t *p);
apr_status_t cs_sqlite_deal_of_row(cs_sqlite_t *sq, sqlite3_stmt *st, cs_deal_t **pdeal,
                                   apr_pool_t *p);
/* One row, or *pwork = NULL. */
apr_status_t cs_sqlite_work_get(cs_sqlite_t *sq, const char *site, const char *kind,
                                const char *name, cs_work_t **pwork, apr_pool_t *p);
/* Stores the whole row. */
apr_status_t cs_sqlite_work_put(cs_sqlite_t *sq, const cs_work_t *work, apr_pool_t *ptemp);
/* Moves the row `name` into the deal's. *pown = the deal's row; NULL when there was neither. */
apr_status_t cs_sqlite_work_fold(cs_sqlite_t *sq, const char *site, const char *name,
                                 apr_int64_t deal, cs_work_t **pown, apr_pool_t *p);
/* sqlite_causes.c: what a row that is dead is counted under, before it is put; what stands in a
 * deal's way from now on, unless deal->causes is NULL; the rows that were dead before there were
 * causes. */
apr_status_t cs_sqlite_cause_dead(cs_sqlite_t *sq, const cs_work_t *work, apr_pool_t *ptemp);
apr_status_t cs_sqlite_causes_put(cs_sqlite_t *sq, const char *site, const cs_deal_t *deal,
                                  apr_pool_t *ptemp);
apr_status_t cs_sqlite_causes_fill(cs_sqlite_t *sq, apr_pool_t *ptemp);

/* sqlite_words.c: the deal's words when they are not those of the row; those of at most max deals
 * that are named in `unworded`. */
apr_status_t cs_sqlite_words_put(cs_sqlite_t *sq, apr_int64_t deal, apr_pool_t *ptemp);
apr_status_t cs_sqlite_words_fill(cs_sqlite_t *sq, int max, int *pleft, apr_pool_t *ptemp);

apr_status_t cs_sqlite_total_add(cs_sqlite_t *sq, const char *site, apr_int64_t deals,
                                 apr_int64_t journal, apr_int64_t deliveries);

#endif
