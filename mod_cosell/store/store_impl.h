/* store/store_impl.h: what the implementations of store.h share; included by store/ and its tests
 * only.
 *
 * store.c holds the public functions, which go through the table below, and everything about the
 * state directory that does not depend on the kind of database; words.c and causes.c by what deals
 * are searched and dead looks are counted. A second database is one more
 * table.
 */
#ifndef CS_STORE_STORE_IMPL_H
#define CS_STORE_STORE_IMPL_H

#include "store.h"

/* The members are the functions of store.h by name and contract. */
typedef struct cs_store_impl_t {
    const char *kind;
    apr_status_t (*check)(cs_store_t *store, apr_pool_t *ptemp, cs_result_t *res);
    void (*close)(cs_store_t *store);
    apr_status_t (*accept)(cs_store_t *store, const cs_notice_t *const *notices, int n,
                           apr_pool_t *ptemp, cs_result_t *res);
    apr_status_t (*lease_take)(cs_store_t *store, const char *site, const char *owner,
                               apr_interval_time_t ttl, apr_time_t now, cs_lease_t *lease,
                               apr_pool_t *p, cs_result_t *res);
    apr_status_t (*lease_renew)(cs_store_t *store, cs_lease_t *lease, apr_interval_time_t ttl,
                                apr_time_t now, apr_pool_t *ptemp, cs_result_t *res);
    apr_status_t (*lease_release)(cs_store_t *store, const cs_lease_t *lease, apr_pool_t *ptemp,
                                  cs_result_t *res);
    apr_status_t (*sites_due)(cs_store_t *store, const apr_array_header_t *sites, apr_time_t now,
                              apr_array_header_t **pdue, apr_time_t *pnext, apr_pool_t *p,
                              cs_result_t *res);
    apr_status_t (*claim)(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                          apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*jobs_due)(cs_store_t *store, const char *site, apr_time_t now, int max,
                             apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*refresh)(cs_store_t *store, apr_array_header_t *works, apr_pool_t *p,
                            cs_result_t *res);
    apr_status_t (*deal_find)(cs_store_t *store, const char *site, const char *system,
                              const char *external_id, cs_deal_t **pdeal, apr_pool_t *p,
                              cs_result_t *res);
    apr_status_t (*deals_named)(cs_store_t *store, const char *site,
                                const apr_array_header_t *names, apr_array_header_t **plist,
                                apr_pool_t *p, cs_result_t *res);
    apr_status_t (*deal_load)(cs_store_t *store, const char *site, apr_int64_t id,
                              cs_deal_t **pdeal, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*deals_of_mapping)(cs_store_t *store, const char *site, const char *crm,
                                     const char *digest, int max, apr_int64_t *pafter,
                                     apr_array_header_t **pids, int *pleft, apr_pool_t *p,
                                     cs_result_t *res);
    apr_status_t (*deals_open)(cs_store_t *store, const char *site, const char *crm, int max,
                               apr_int64_t *pafter, apr_array_header_t **pids, int *pleft,
                               apr_pool_t *p, cs_result_t *res);
    apr_status_t (*watchers)(cs_store_t *store, const char *site, const char *crm, const char *row,
                             apr_int64_t after, int max, apr_array_header_t **pids, apr_pool_t *p,
                             cs_result_t *res);
    apr_status_t (*cursor_get)(cs_store_t *store, const char *site, const char *name,
                               const char **ptext, apr_time_t *pupdated, apr_pool_t *p,
                               cs_result_t *res);
    apr_status_t (*deals_due)(cs_store_t *store, const char *site, apr_time_t now, int max,
                              apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*write)(cs_store_t *store, const cs_lease_t *lease,
                          const apr_array_header_t *changes, apr_pool_t *ptemp, cs_result_t *res);
    apr_status_t (*meta_get)(cs_store_t *store, const char *site, const char *name,
                             const char **ptext, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*suspended)(cs_store_t *store, const char *site, apr_array_header_t **plist,
                              apr_pool_t *p, cs_result_t *res);
    apr_status_t (*secret_get)(cs_store_t *store, const char *site, const char *name,
                               const unsigned char **psealed, apr_size_t *plen,
                               apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*secret_put)(cs_store_t *store, const char *site, const char *name,
                               const unsigned char *sealed, apr_size_t len, apr_int64_t version,
                               apr_pool_t *ptemp, cs_result_t *res);
    apr_status_t (*prune)(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                          int *pleft, apr_pool_t *ptemp, cs_result_t *res);
    apr_status_t (*counts)(cs_store_t *store, const char *site, cs_store_counts_t *counts,
                           apr_pool_t *ptemp, cs_result_t *res);
    apr_status_t (*work_list)(cs_store_t *store, const char *site, int state, int max,
                              apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*deal_list)(cs_store_t *store, const char *site, int max,
                              apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*journal_list)(cs_store_t *store, const char *site, apr_int64_t deal, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*work_of_deal)(cs_store_t *store, const char *site, apr_int64_t deal,
                                 cs_work_t **pwork, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*deliveries)(cs_store_t *store, const char *site, const char *source,
                               const char *event, apr_time_t since, int max,
                               apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*work_named)(cs_store_t *store, const char *site, const char *kind,
                               const char *name, cs_work_t **pwork, apr_pool_t *p,
                               cs_result_t *res);
    apr_status_t (*job_get)(cs_store_t *store, const char *site, const char *id, cs_job_t **pjob,
                            apr_pool_t *p, cs_result_t *res);
    apr_status_t (*job_list)(cs_store_t *store, const char *site, int max,
                             apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*job_rows)(cs_store_t *store, const char *site, const char *id,
                             apr_int64_t after, int max, apr_array_header_t **plist, apr_pool_t *p,
                             cs_result_t *res);
    apr_status_t (*journal_page)(cs_store_t *store, const char *site, apr_int64_t deal,
                                 apr_int64_t after, apr_int64_t before, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*deal_page)(cs_store_t *store, const char *site, const cs_deal_query_t *query,
                              cs_deal_page_t *page, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*deal_totals)(cs_store_t *store, const char *site,
                                apr_int64_t totals[CS_DEAL_STATES], apr_pool_t *ptemp,
                                cs_result_t *res);
    apr_status_t (*causes)(cs_store_t *store, const char *site, int max,
                           apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
    apr_status_t (*dead)(cs_store_t *store, const char *site, const char *cause, const char *after,
                         int max, apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res);
} cs_store_impl_t;

/* First member of every implementation's handle. */
struct cs_store_t {
    const cs_store_impl_t *impl;
    cs_store_config_t cfg;
    cs_store_mode_e mode;
    apr_pool_t *pool;
    const char *node; /* NULL until read */
};

/* Makes the handle: *pstore is the implementation's own, with the members above still to be filled
 * by the caller. */
apr_status_t cs_sqlite_open(cs_store_t **pstore, const cs_store_config_t *cfg, cs_store_mode_e mode,
                            apr_pool_t *p, cs_result_t *res);

/* "store:full" and so on; static. */
const char *cs_store_problem(apr_status_t rv);
/* APR_SUCCESS clears res; anything else becomes class, problem and the detail given. Returns rv. */
apr_status_t cs_store_result(cs_result_t *res, apr_pool_t *p, apr_status_t rv, const char *detail);
/* A status of ours for an errno. */
apr_status_t cs_store_status_of_errno(int err);

/* 1 if <state>/node exists. */
int cs_store_node_exists(const char *state_dir);
/* Writes <state>/node with a new id unless it exists. Temporary file, sync, link: it is there in
 * full or not at all. */
apr_status_t cs_store_node_make(const char *state_dir, apr_pool_t *ptemp);

/* May a database live on this kind of file system? NULL = yes; else the name of the kind that is
 * refused. magic as in statfs(2), type as in /proc/self/mountinfo ("fuse.sshfs") or NULL. */
const char *cs_store_fs_refused(unsigned long magic, const char *type);
/* 1 for file systems that forget everything at power-off. */
int cs_store_fs_volatile(unsigned long magic);

/* 1 for the members of `hints` that name a table. */
int cs_store_is_table_hint(const char *name);
/* The hint of one system becomes at least `t`; 0 is no hint. */
void cs_store_hint_merge(json_t *hints, const char *system, apr_time_t t);
/* Removes the causes of a row that has notices nobody has worked on. */
void cs_store_causes_drop(cs_work_t *work);
/* 1 for a row that a brake holds. */
int cs_store_is_braked(const cs_work_t *work);
/* The name "deal:<id>" in p. */
const char *cs_store_deal_name(apr_int64_t id, apr_pool_t *p);
/* Folds the row `name` into the deal's own row: *own is the stored row or, with own->wanted 0 and
 * own->name NULL, still to be made. deals.md 1: what is outstanding is summed, the newest hint per
 * system and the earliest due time win; a dead row wakes up; a row that waits for its next attempt
 * goes on waiting, as it does when a notice arrives for it directly. */
void cs_store_fold(cs_work_t *own, const cs_work_t *name, apr_int64_t deal, apr_pool_t *p);

/* ---- words.c ---- */

/* Words of a title that are searched for; what follows them in it is not. */
#define CS_TITLE_WORDS 16
/* With the ids. */
#define CS_WORDS_MAX (CS_TITLE_WORDS + 3)
/* Bytes of a word; of a longer one the beginning. */
#define CS_WORD_LEN 40

/* Folded words, each once. A word is a run of letters and digits; writing without blanks is one
 * word up to its next mark. */
typedef struct cs_words_t {
    int n;
    char word[CS_WORDS_MAX][CS_WORD_LEN + 1];
} cs_words_t;

/* At most max more. Text NULL is none; what is no UTF-8 stands between words. */
void cs_store_words_add(cs_words_t *words, const char *text, int max);
/* An id is one word with all of its signs; only ASCII is folded. */
void cs_store_words_id(cs_words_t *words, const char *id);
void cs_store_words_of_deal(cs_words_t *words, const cs_deal_t *deal);
/* Of what a person typed: a GUID or the beginning of one is an id. */
void cs_store_words_of_search(cs_words_t *words, const char *text);
/* The first, in the order of bytes, of those that begin so; NULL = none does. */
const char *cs_store_words_first(const cs_words_t *words, const char *beginning);

/* ---- causes.c ---- */

/* Of a key and a text no more is kept. */
#define CS_CAUSE_LEN 200
#define CS_CAUSE_TEXT_LEN 300
/* Causes of one deal that are counted. */
#define CS_CAUSES_OF_DEAL 16
/* Begins the key of looks that were given up. */
#define CS_CAUSE_DEAD "dead "

/* At most len bytes of it, whole characters, in p. */
const char *cs_store_cut(const char *text, apr_size_t len, apr_pool_t *p);
/* Key and text of a row that is dead: its problem, and its detail without what differs from deal to
 * deal: words with digits in them, and short quotations. */
void cs_store_cause_of_dead(const cs_work_t *work, const char **pcause, const char **ptext,
                            apr_pool_t *p);

#endif
