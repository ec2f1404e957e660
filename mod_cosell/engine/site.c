/* engine/site.c: lanes: what one is made of, its lease, the look-ups it remembers. */
#include <string.h>

#include <apr_strings.h>

#include "../base/log.h"
#include "../base/pool.h"
#include "lane.h"

#define CACHE_LIFE apr_time_from_sec(600)
#define CACHE_MAX 2000

/* ---- vault: refresh tokens, sealed in the store ---- */

static const char *vault_aad(const cs_lane_t *lane, const char *name, apr_int64_t version,
                             apr_pool_t *p)
{
    return apr_psprintf(p, "%s\n%s\n%" APR_INT64_T_FMT, lane->site->name, name, version);
}

static apr_status_t vault_get(void *baton, const char *name, const char **pvalue,
                              apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    cs_lane_t *lane = baton;
    const unsigned char *sealed, *plain;
    apr_size_t len, plain_len;
    apr_status_t rv;

    *pvalue = NULL;
    rv = cs_store_secret_get(lane->store, lane->site->name, name, &sealed, &len, pversion, p, res);
    if (rv != APR_SUCCESS || !sealed) {
        return rv;
    }
    rv = cs_unseal(&plain, &plain_len, lane->key, vault_aad(lane, name, *pversion, p), sealed, len,
                   p);
    if (rv != APR_SUCCESS) {
        cs_log(CS_LOG_WARNING, 0, lane->site->name,
               CSLOGNO(2001) "cannot unseal the stored secret \"%s\": the key changed; %s", name,
               !strcmp(name, CS_VAULT_REFRESH) && lane->site->pc.refresh_token
                   ? "the configured seed is used instead"
                   : "sign in again");
        return APR_SUCCESS;
    }
    *pvalue = (const char *)plain;
    return APR_SUCCESS;
}

static apr_status_t vault_put(void *baton, const char *name, const char *value, apr_int64_t version,
                              apr_pool_t *ptemp, cs_result_t *res)
{
    cs_lane_t *lane = baton;
    const unsigned char *sealed;
    apr_size_t len;
    apr_status_t rv;

    rv = cs_seal(&sealed, &len, lane->key, vault_aad(lane, name, version + 1, ptemp), value,
                 strlen(value), ptemp);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, ptemp, rv, CS_CLASS_RETRY, "crypto",
                             "could not seal the secret \"%s\"", name);
    }
    rv = cs_store_secret_put(lane->store, lane->site->name, name, sealed, len, version, ptemp,
                             res);
    if (rv == APR_SUCCESS && !strcmp(name, CS_VAULT_REFRESH)) {
        cs_keep_alive_note(lane, value, ptemp);
    }
    return rv;
}

/* ---- making and ending ---- */

static apr_status_t connect_upstreams(cs_lane_t *lane, cs_result_t *res)
{
    const cs_site_config_t *site = lane->site;
    apr_status_t rv;
    int i;

    rv = cs_http_create(&lane->http, site->name, lane->pool);
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, lane->pool, rv, CS_CLASS_RETRY, "http",
                             "could not create the transport");
    }
    cs_http_guard(lane->http, cs_lane_may_write, lane);
    rv = cs_pc_create(&lane->pc, &site->pc, &lane->vault, lane->http, &lane->pc_limiter,
                      &lane->login_limiter, lane->pool);
    if (rv == APR_SUCCESS) {
        rv = cs_pc_hooks_create(&lane->hooks, &site->pc, &lane->vault, lane->http,
                                &lane->pc_limiter, &lane->login_limiter, lane->pool);
    }
    for (i = 0; rv == APR_SUCCESS && i < site->ncrms; ++i) {
        lane->crm_impl[i] = cs_crm_impl_of(site->crms[i].cfg.type);
        rv = lane->crm_impl[i] ? lane->crm_impl[i]->create(&lane->crm[i], &site->crms[i].cfg,
                                                           lane->http, &lane->crm_limiter[i],
                                                           &lane->login_limiter, lane->pool)
                               : APR_ENOTIMPL;
    }
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, lane->pool, rv, CS_CLASS_SUSPEND, "config",
                             "could not set up the clients of site %s", site->name);
    }
    return APR_SUCCESS;
}

apr_status_t cs_lane_create(cs_lane_t **plane, const cs_node_config_t *node,
                            const cs_site_config_t *site, const unsigned char *seal_key,
                            apr_pool_t *parent, cs_result_t *res)
{
    cs_lane_t *lane;
    apr_pool_t *pool;
    apr_status_t rv;

    rv = cs_pool_create_own(&pool, parent, 1, "cosell-lane");
    if (rv != APR_SUCCESS) {
        return rv;
    }
    lane = apr_pcalloc(pool, sizeof(*lane));
    lane->pool = pool;
    lane->node = node;
    lane->site = site;
    lane->born = cs_time_now();
    lane->organization = site->pc.organization;
    lane->suspended = apr_array_make(pool, 2, sizeof(cs_lane_suspension_t));
    lane->relapses = apr_array_make(pool, 2, sizeof(cs_lane_relapse_t));
    lane->brakes = apr_array_make(pool, 4, sizeof(const char *));
    lane->vault = (cs_vault_t){lane, vault_get, vault_put};
    memcpy(lane->key, seal_key, CS_KEY_LEN);
    cs_wipe_at_end(lane->key, CS_KEY_LEN, pool);
    lane->lease.site = site->name;
    rv = apr_thread_mutex_create(&lane->lease_mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    if (rv == APR_SUCCESS) {
        rv = cs_store_open(&lane->store, &node->store, CS_STORE_WRITER, pool, res);
    }
    if (rv == APR_SUCCESS) {
        rv = connect_upstreams(lane, res);
    }
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return rv;
    }
    *plane = lane;
    return APR_SUCCESS;
}

void cs_lane_destroy(cs_lane_t *lane)
{
    apr_pool_destroy(lane->pool);
}

/* ---- lease ---- */

int cs_lane_leased(cs_lane_t *lane)
{
    int leased;

    apr_thread_mutex_lock(lane->lease_mutex);
    leased = lane->leased && cs_time_boot() < lane->lease_boot;
    apr_thread_mutex_unlock(lane->lease_mutex);
    return leased;
}

cs_lease_t cs_lane_lease(cs_lane_t *lane)
{
    cs_lease_t lease;

    apr_thread_mutex_lock(lane->lease_mutex);
    lease = lane->lease;
    apr_thread_mutex_unlock(lane->lease_mutex);
    return lease;
}

static void lease_set(cs_lane_t *lane, const cs_lease_t *lease, apr_interval_time_t sent)
{
    apr_thread_mutex_lock(lane->lease_mutex);
    lane->lease.owner =
        lane->lease.owner ? lane->lease.owner : apr_pstrdup(lane->pool, lease->owner);
    lane->lease.epoch = lease->epoch;
    lane->lease.until = lease->until;
    lane->leased = 1;
    lane->lease_boot = sent + CS_LEASE_TTL;
    apr_thread_mutex_unlock(lane->lease_mutex);
}

apr_status_t cs_lane_lease_take(cs_lane_t *lane, cs_store_t *store, const char *node,
                                apr_pool_t *ptemp, cs_result_t *res)
{
    apr_interval_time_t sent = cs_time_boot();
    cs_lease_t lease = {lane->site->name, node, 0, 0};
    apr_status_t rv;

    rv = cs_store_lease_take(store, lane->site->name, node, CS_LEASE_TTL, cs_time_now(), &lease,
                             ptemp, res);
    if (rv == APR_SUCCESS) {
        lease_set(lane, &lease, sent);
    }
    return rv;
}

void cs_lane_lease_drop(cs_lane_t *lane)
{
    apr_thread_mutex_lock(lane->lease_mutex);
    lane->leased = 0;
    lane->lease_boot = 0;
    apr_thread_mutex_unlock(lane->lease_mutex);
}

void cs_lane_lease_renew(cs_lane_t *lane, cs_store_t *store, apr_pool_t *ptemp)
{
    apr_interval_time_t sent = cs_time_boot();
    cs_lease_t lease = cs_lane_lease(lane);
    cs_result_t res = {0};
    apr_status_t rv;

    rv = cs_store_lease_renew(store, &lease, CS_LEASE_TTL, cs_time_now(), ptemp, &res);
    if (rv == APR_SUCCESS) {
        lease_set(lane, &lease, sent);
    }
    else if (rv == CS_ELEASE) {
        cs_log(CS_LOG_NOTICE, 0, lane->site->name,
               CSLOGNO(2002) "the lane's lease went to another node");
        cs_lane_lease_drop(lane);
    }
}

int cs_lane_may_write(void *baton, apr_interval_time_t timeout)
{
    cs_lane_t *lane = baton;
    int may;

    apr_thread_mutex_lock(lane->lease_mutex);
    may = lane->leased && cs_time_boot() + timeout < lane->lease_boot;
    apr_thread_mutex_unlock(lane->lease_mutex);
    return may;
}

/* ---- look-ups ---- */

const apr_array_header_t *cs_lane_lookups(const cs_mapping_kind_t *kind, apr_pool_t *p)
{
    const apr_array_header_t *from = cs_mapping_lookups(kind);
    apr_array_header_t *to = apr_array_make(p, from->nelts + 1, sizeof(cs_crm_lookup_t));
    int i;

    for (i = 0; i < from->nelts; ++i) {
        const cs_mapping_lookup_t *f = &APR_ARRAY_IDX(from, i, cs_mapping_lookup_t);
        cs_crm_lookup_t *t = apr_array_push(to);
        t->column = f->column;
        t->table = f->table;
    }
    return to;
}

int cs_lane_crm_index(const cs_lane_t *lane, const char *name)
{
    int i;

    for (i = 0; name && i < lane->site->ncrms; ++i) {
        if (!strcmp(lane->site->crms[i].cfg.name, name)) {
            return i;
        }
    }
    return -1;
}

void cs_lane_cache_clear(cs_lane_t *lane)
{
    if (lane->cache_pool) {
        apr_pool_clear(lane->cache_pool);
    }
    lane->cache = NULL;
}

const char *cs_lane_cache_get(cs_lane_t *lane, const char *symbol, apr_time_t now)
{
    if (lane->cache && (now < lane->cache_since || now - lane->cache_since > CACHE_LIFE ||
                        apr_hash_count(lane->cache) > CACHE_MAX)) {
        cs_lane_cache_clear(lane);
    }
    return lane->cache ? apr_hash_get(lane->cache, symbol, APR_HASH_KEY_STRING) : NULL;
}

void cs_lane_cache_put(cs_lane_t *lane, const char *symbol, const char *id, apr_time_t now)
{
    if (!lane->cache_pool) {
        apr_pool_create(&lane->cache_pool, lane->pool);
        apr_pool_tag(lane->cache_pool, "cosell-lookups");
    }
    if (!lane->cache) {
        lane->cache = apr_hash_make(lane->cache_pool);
        lane->cache_since = now;
    }
    apr_hash_set(lane->cache, apr_pstrdup(lane->cache_pool, symbol), APR_HASH_KEY_STRING,
                 apr_pstrdup(lane->cache_pool, id));
}
