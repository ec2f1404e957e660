/* engine/site.c: lanes. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../base/pool.h"
#include "lane.h"

#define CACHE_LIFE apr_time_from_sec(600)
#define CACHE_MAX 2000
#define PROBE_FIRST apr_time_from_sec(60)
#define PROBE_MAX apr_time_from_sec(900)
#define RELAPSE apr_time_from_sec(3600)

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
               CSLOGNO(2001) "cannot unseal the stored secret \"%s\": the key changed; the "
                             "configured seed is used instead",
               name);
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
    return cs_store_secret_put(lane->store, lane->site->name, name, sealed, len, version, ptemp,
                               res);
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

/* ---- facts and suspensions ---- */

static int is_brake(const char *upstream)
{
    return !strncmp(upstream, CS_BRAKE, sizeof(CS_BRAKE) - 1);
}

/* Few; each is kept once. */
static const char *brake_name(cs_lane_t *lane, const char *upstream)
{
    int i;

    for (i = 0; i < lane->brakes->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(lane->brakes, i, const char *), upstream)) {
            return APR_ARRAY_IDX(lane->brakes, i, const char *);
        }
    }
    return APR_ARRAY_PUSH(lane->brakes, const char *) = apr_pstrdup(lane->pool, upstream);
}

/* Names of configured upstreams outlive the lane, so that nothing is copied into its pool again and
 * again. */
static const char *configured_name(cs_lane_t *lane, const char *upstream)
{
    int crm = cs_lane_crm_index(lane, upstream);

    if (is_brake(upstream)) {
        return brake_name(lane, upstream);
    }
    return crm >= 0 ? lane->site->crms[crm].cfg.name : CS_UPSTREAM_PC;
}

static void suspension_put(cs_lane_t *lane, const char *upstream, apr_time_t probe)
{
    cs_lane_suspension_t *s = cs_lane_suspension(lane, upstream);

    if (!s) {
        s = apr_array_push(lane->suspended);
        s->upstream = configured_name(lane, upstream);
        s->failures = 0;
        s->problem[0] = '\0';
    }
    s->probe = probe;
}

static void suspension_remove(cs_lane_t *lane, cs_lane_suspension_t *s)
{
    cs_lane_suspension_t *last = apr_array_pop(lane->suspended);

    if (last != s) {
        *s = *last;
    }
}

apr_status_t cs_lane_facts_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *list;
    const char *organization;
    apr_status_t rv;
    int i;

    if (lane->facts_loaded) {
        return APR_SUCCESS;
    }
    rv =
        cs_store_meta_get(lane->store, lane->site->name, "organization", &organization, ptemp, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!lane->organization && organization) {
        cs_lane_learn(lane, organization);
    }
    rv = cs_store_suspended(lane->store, lane->site->name, &list, ptemp, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* A new runner may have new secrets: ask at once whether what was suspended works again. */
    for (i = 0; i < list->nelts; ++i) {
        const char *upstream = APR_ARRAY_IDX(list, i, cs_suspended_t).upstream;
        suspension_put(lane, upstream, is_brake(upstream) ? 0 : cs_time_now());
    }
    rv = cs_breaker_load(lane, ptemp, res);
    if (rv == APR_SUCCESS) {
        rv = cs_brake_load(lane, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_planned_load(lane, ptemp, res);
    }
    lane->facts_loaded = rv == APR_SUCCESS;
    return rv;
}

void cs_lane_facts_forget(cs_lane_t *lane)
{
    int i;

    lane->facts_loaded = 0;
    lane->organization = lane->site->pc.organization;
    apr_array_clear(lane->suspended);
    for (i = 0; i < lane->site->ncrms; ++i) {
        lane->metadata[i].misfits = NULL;
        lane->metadata[i].doubted = 1;
    }
}

const char *cs_lane_learn(cs_lane_t *lane, const char *organization)
{
    apr_cpystrn(lane->learnt, organization, sizeof(lane->learnt));
    lane->organization = lane->learnt;
    return lane->organization;
}

cs_lane_suspension_t *cs_lane_suspension(cs_lane_t *lane, const char *upstream)
{
    int i;

    for (i = 0; i < lane->suspended->nelts; ++i) {
        cs_lane_suspension_t *s = &APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t);
        if (!strcmp(s->upstream, upstream)) {
            return s;
        }
    }
    return NULL;
}

static void suspend_change(cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                           apr_time_t probe, apr_array_header_t *changes)
{
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_SUSPEND;
    change->system = upstream;
    change->result = why;
    change->at = probe;
    suspension_put(lane, upstream, probe);
}

static cs_lane_relapse_t *relapse_of(cs_lane_t *lane, const char *upstream)
{
    cs_lane_relapse_t *r;
    int i;

    for (i = 0; i < lane->relapses->nelts; ++i) {
        r = &APR_ARRAY_IDX(lane->relapses, i, cs_lane_relapse_t);
        if (!strcmp(r->upstream, upstream)) {
            return r;
        }
    }
    r = apr_array_push(lane->relapses);
    memset(r, 0, sizeof(*r));
    r->upstream = configured_name(lane, upstream);
    return r;
}

/* How often in a row this upstream stopped for the same reason soon after its probe had been good.
 */
static int count_relapse(cs_lane_t *lane, const char *upstream, const char *problem)
{
    cs_lane_relapse_t *r = relapse_of(lane, upstream);
    int same = r->resumed && cs_time_now() - r->resumed < RELAPSE && !strcmp(r->problem, problem);

    r->times = same ? r->times + 1 : 0;
    return r->times;
}

static apr_interval_time_t probe_wait(int failures)
{
    apr_interval_time_t wait = PROBE_FIRST << (failures < 4 ? failures : 4);

    return wait < PROBE_MAX ? wait : PROBE_MAX;
}

void cs_lane_suspend(cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                     apr_array_header_t *changes, apr_pool_t *p)
{
    cs_result_t *kept;
    int relapses;

    if (cs_lane_suspension(lane, upstream)) {
        return;
    }
    kept = apr_pcalloc(p, sizeof(*kept));
    cs_result_copy(kept, why, p);
    if (is_brake(upstream)) {
        suspend_change(lane, brake_name(lane, upstream), kept, 0, changes);
        cs_log(CS_LOG_ERR, 0, lane->site->name, CSLOGNO(2005) "%s: %s", upstream,
               kept->detail ? kept->detail : "no detail");
        return;
    }
    relapses = count_relapse(lane, upstream, kept->problem ? kept->problem : "?");
    suspend_change(lane, upstream, kept, cs_time_now() + probe_wait(relapses), changes);
    apr_cpystrn(cs_lane_suspension(lane, upstream)->problem, kept->problem ? kept->problem : "?",
                sizeof(cs_lane_suspension(lane, upstream)->problem));
    cs_log(relapses ? CS_LOG_INFO : CS_LOG_ERR, 0, lane->site->name,
           CSLOGNO(2003) "%s is suspended: %s (%s); it is asked again every minute or so and "
                         "resumes by itself",
           upstream, kept->detail ? kept->detail : "no detail",
           kept->problem ? kept->problem : "?");
}

apr_time_t cs_lane_next_probe(const cs_lane_t *lane)
{
    apr_time_t next = 0;
    int i;

    for (i = 0; i < lane->suspended->nelts; ++i) {
        apr_time_t probe = APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t).probe;
        if (probe && (!next || probe < next)) {
            next = probe;
        }
    }
    return next;
}

const char *cs_lane_upstream(const cs_lane_t *lane, int index)
{
    return index == CS_LANE_PC ? CS_UPSTREAM_PC : lane->site->crms[index].cfg.name;
}

int cs_lane_upstream_index(const cs_lane_t *lane, const char *name)
{
    return name && !strcmp(name, CS_UPSTREAM_PC) ? CS_LANE_PC : cs_lane_crm_index(lane, name);
}

apr_status_t cs_lane_ask(cs_lane_t *lane, int upstream, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_interval_time_t deadline = cs_time_mono() + apr_time_from_sec(30);
    cs_crm_whoami_t who;

    if (upstream != CS_LANE_PC) {
        return lane->crm_impl[upstream]->whoami(lane->crm[upstream], &who, deadline, ptemp, res);
    }
    return cs_pc_probe(lane->pc, deadline, ptemp, res);
}

void cs_lane_fact(const char *name, const char *text, apr_array_header_t *changes)
{
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_META;
    change->name = name;
    change->text = text;
}

void cs_lane_resume(cs_lane_t *lane, const char *upstream, apr_array_header_t *changes,
                    apr_pool_t *p)
{
    cs_lane_suspension_t *s = cs_lane_suspension(lane, upstream);
    cs_change_t *change;

    if (!s) {
        return;
    }
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_RESUME;
    change->system = apr_pstrdup(p, upstream);
    change->at = cs_time_now();
    suspension_remove(lane, s);
}

static void resume(cs_lane_t *lane, cs_lane_suspension_t *s, apr_time_t now,
                   apr_array_header_t *changes, apr_pool_t *ptemp)
{
    cs_change_t *change = apr_array_push(changes);
    cs_lane_relapse_t *r = relapse_of(lane, s->upstream);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_RESUME;
    change->system = apr_pstrdup(ptemp, s->upstream);
    change->at = now;
    apr_cpystrn(r->problem, s->problem, sizeof(r->problem));
    r->resumed = now;
    cs_log(r->times ? CS_LOG_INFO : CS_LOG_NOTICE, 0, lane->site->name,
           CSLOGNO(2004) "%s works again; its work resumes", s->upstream);
    suspension_remove(lane, s);
}

static void postpone(cs_lane_t *lane, cs_lane_suspension_t *s, apr_time_t now,
                     const cs_result_t *why, apr_array_header_t *changes)
{
    apr_interval_time_t wait = probe_wait(s->failures);

    ++s->failures;
    suspend_change(lane, s->upstream, why, now + wait / 2 + cs_backoff(0, wait / 2, wait / 2, 0),
                   changes);
}

apr_status_t cs_lane_probe(cs_lane_t *lane, apr_time_t now, apr_pool_t *ptemp)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 2, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv;
    int i;

    for (i = lane->suspended->nelts - 1; i >= 0; --i) {
        cs_lane_suspension_t *s = &APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t);
        cs_result_t *why = apr_pcalloc(ptemp, sizeof(*why));
        int upstream = cs_lane_upstream_index(lane, s->upstream);
        if (!s->probe || s->probe > now) {
            continue;
        }
        /* One that is not configured any more has nobody to ask: Partner Center stands for it. */
        rv = cs_lane_ask(lane, upstream >= 0 ? upstream : CS_LANE_PC, ptemp, why);
        if (rv == APR_SUCCESS) {
            resume(lane, s, now, changes, ptemp);
        }
        else {
            postpone(lane, s, now, why, changes);
        }
    }
    if (!changes->nelts) {
        return APR_SUCCESS;
    }
    rv = cs_store_write(lane->store, &lease, changes, ptemp, NULL);
    if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(lane);
    }
    return rv;
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
