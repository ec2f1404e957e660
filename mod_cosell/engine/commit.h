/* engine/commit.h: group commit: many requests, one transaction, each told its own outcome. (design
 * 5)
 *
 * One committer per child: one thread with its own store handle and pools, started after the fork.
 * Request threads hand in a notice and wait at most `patience` for their own outcome. The thread
 * takes what waits (at most 128 notices or 1 MB): while one commit syncs the next group gathers,
 * and it waits a moment for requests that are on their way already, never for those that may come.
 */
#ifndef CS_ENGINE_COMMIT_H
#define CS_ENGINE_COMMIT_H

#include "../store/store.h"

typedef struct cs_committer_t cs_committer_t;

typedef struct cs_committer_config_t {
    const cs_store_config_t *store;
    int threads; /* request threads of this child: the limit below is a quarter of them, never under
                    one */
    apr_interval_time_t patience;   /* a request waits at most this long; 2 s */
    apr_interval_time_t slow;       /* while the commit in progress is older, only a quarter of the
                                       threads may wait, the rest get 503 at once; 250 ms */
    void (*committed)(void *baton); /* called by the committer's thread after each durable group:
                                       wakes the runner; may be NULL */
    void *baton;
} cs_committer_config_t;

/* Starts the thread; p is the child's pool. cfg is copied shallowly and must outlive the committer.
 */
apr_status_t cs_committer_start(cs_committer_t **pc, const cs_committer_config_t *cfg,
                                apr_pool_t *p, cs_result_t *res);

/* A request that is about to submit: its body is here and its signature is being verified. While
 * there are such, the next group waits for them, 0.5 ms at most; measured at 64 connections, groups
 * grew and a fifth more callbacks were accepted per second. Each call is followed by one of
 * cs_committer_unexpect(), right before the submit or when there will be none. Any thread; takes no
 * lock. */
void cs_committer_expect(cs_committer_t *c);
void cs_committer_unexpect(cs_committer_t *c);

/* Waits until the notice is durable. The notice and all it points to must stay valid until this
 * returns (it does so even when the deadline passes while the commit holding it hangs: the
 * committer works on its own copy). APR_SUCCESS: durable. Anything else: not known to be durable,
 * answer 503; the reason is in res (pool p). */
apr_status_t cs_committer_submit(cs_committer_t *c, const cs_notice_t *notice, apr_pool_t *p,
                                 cs_result_t *res);

/* Writes what waits, ends the thread, joins it for at most `budget`; called from the pre-cleanup of
 * pchild, when no request thread is left. Returns APR_TIMEUP when a hung disk keeps the thread: it
 * is left behind. */
apr_status_t cs_committer_stop(cs_committer_t *c, apr_interval_time_t budget);

/* 1 while the last group failed or the current one hangs; *preason (may be NULL) in p. */
int cs_committer_troubled(cs_committer_t *c, const char **preason, apr_pool_t *p);

/* Requests that wait inside cs_committer_submit() now. */
int cs_committer_waiting(cs_committer_t *c);

#endif
