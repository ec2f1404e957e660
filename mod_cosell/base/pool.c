#include "pool.h"

#include <apr_allocator.h>
#include <apr_thread_mutex.h>

/* Blocks beyond this go back to malloc, so that one large batch does not stay with a thread. */
#define MAX_FREE (1024 * 1024)

static apr_status_t add_mutex(apr_allocator_t *allocator, apr_pool_t *pool)
{
    apr_thread_mutex_t *mutex;
    apr_status_t rv;

    rv = apr_thread_mutex_create(&mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    if (rv == APR_SUCCESS) {
        apr_allocator_mutex_set(allocator, mutex);
    }
    return rv;
}

apr_status_t cs_pool_create_own(apr_pool_t **pp, apr_pool_t *parent, int shared, const char *tag)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool = NULL;
    apr_status_t rv;

    *pp = NULL;
    rv = apr_allocator_create(&allocator);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_allocator_max_free_set(allocator, MAX_FREE);
    /* Unmanaged rather than below APR's global pool: apr_terminate() in one thread must not
     * destroy what another still uses. */
    rv = parent ? apr_pool_create_ex(&pool, parent, NULL, allocator)
                : apr_pool_create_unmanaged_ex(&pool, NULL, allocator);
    if (rv != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return rv;
    }
    apr_allocator_owner_set(allocator, pool);
    apr_pool_tag(pool, tag);
    if (shared) {
        rv = add_mutex(allocator, pool);
        if (rv != APR_SUCCESS) {
            apr_pool_destroy(pool);
            return rv;
        }
    }
    *pp = pool;
    return APR_SUCCESS;
}

apr_status_t cs_pool_do(cs_pool_do_fn *fn, void *baton, apr_pool_t *p, const char *tag)
{
    apr_pool_t *ptemp;
    apr_status_t rv;

    rv = apr_pool_create(&ptemp, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_tag(ptemp, tag);
    rv = fn(baton, ptemp);
    apr_pool_destroy(ptemp);
    return rv;
}
