/* base/pool.h: pools that belong to one thread or one unit of work. (httpd-and-style.md T17, T18)
 */
#ifndef CS_BASE_POOL_H
#define CS_BASE_POOL_H

#include <apr_pools.h>

/* A pool with an allocator of its own, unrelated to any other thread's. parent may be NULL (then
 * the caller destroys it) and is only used for lifetime: create and destroy it in the parent's
 * thread. `shared` != 0 adds an allocator mutex, for when several threads create children of it. */
apr_status_t cs_pool_create_own(apr_pool_t **pp, apr_pool_t *parent, int shared, const char *tag);

/* Runs fn in a tagged subpool that is destroyed at the end; returns fn's status. */
typedef apr_status_t cs_pool_do_fn(void *baton, apr_pool_t *ptemp);
apr_status_t cs_pool_do(cs_pool_do_fn *fn, void *baton, apr_pool_t *p, const char *tag);

#endif
