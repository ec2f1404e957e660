#include "counter.h"

static cs_counters_t private_counters;
static cs_counters_t *_Atomic current = &private_counters;

static const char *const names[CS_COUNT_MAX] = {
#define NAME(id, name, text) name,
    CS_COUNTERS(NAME)
#undef NAME
};

static const char *const texts[CS_COUNT_MAX] = {
#define TEXT(id, name, text) text,
    CS_COUNTERS(TEXT)
#undef TEXT
};

void cs_counters_use(cs_counters_t *shared)
{
    atomic_store(&current, shared ? shared : &private_counters);
}

void cs_count(cs_counter_e id, apr_uint64_t n)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    if ((unsigned)id < CS_COUNT_MAX) {
        atomic_fetch_add_explicit(&table->value[id], n, memory_order_relaxed);
    }
}

apr_uint64_t cs_counter_get(cs_counter_e id)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    if ((unsigned)id >= CS_COUNT_MAX) {
        return 0;
    }
    return atomic_load_explicit(&table->value[id], memory_order_relaxed);
}

const char *cs_counter_name(cs_counter_e id)
{
    return (unsigned)id < CS_COUNT_MAX ? names[id] : NULL;
}

const char *cs_counter_text(cs_counter_e id)
{
    return (unsigned)id < CS_COUNT_MAX ? texts[id] : NULL;
}

static void observe(_Atomic apr_uint64_t *buckets, _Atomic apr_uint64_t *sum, const double *bounds,
                    int n, apr_interval_time_t took)
{
    apr_interval_time_t us = took > 0 ? took : 0;
    int bucket = 0;

    while (bucket < n && (double)us > bounds[bucket] * APR_USEC_PER_SEC) {
        bucket++;
    }
    atomic_fetch_add_explicit(&buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(sum, (apr_uint64_t)us, memory_order_relaxed);
}

static apr_uint64_t upto(const _Atomic apr_uint64_t *buckets, int bucket, int n)
{
    apr_uint64_t sum = 0;
    int i;

    for (i = 0; i <= bucket && i < n; i++) {
        sum += atomic_load_explicit(&buckets[i], memory_order_relaxed);
    }
    return sum;
}

void cs_lag_observe(cs_lag_e which, apr_interval_time_t took)
{
    static const double bounds[CS_LAG_BUCKETS - 1] = CS_LAG_BOUNDS;
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    if ((unsigned)which < CS_LAG_MAX) {
        observe(table->lag[which], &table->lag_us[which], bounds, CS_LAG_BUCKETS - 1, took);
    }
}

apr_uint64_t cs_lag_get(cs_lag_e which, int bucket)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    return (unsigned)which < CS_LAG_MAX ? upto(table->lag[which], bucket, CS_LAG_BUCKETS) : 0;
}

apr_uint64_t cs_lag_sum(cs_lag_e which)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    return (unsigned)which < CS_LAG_MAX
               ? atomic_load_explicit(&table->lag_us[which], memory_order_relaxed)
               : 0;
}

const char *cs_lag_name(cs_lag_e which)
{
    static const char *const lags[CS_LAG_MAX] = {"to_crm", "to_partner_center"};

    return (unsigned)which < CS_LAG_MAX ? lags[which] : NULL;
}

/* ---- answers ---- */

void cs_accept_observe(cs_accept_e which, apr_interval_time_t took)
{
    static const double bounds[CS_ACCEPT_BUCKETS - 1] = CS_ACCEPT_BOUNDS;
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    if ((unsigned)which < CS_ACCEPT_MAX) {
        observe(table->accept[which], &table->accept_us[which], bounds, CS_ACCEPT_BUCKETS - 1,
                took);
    }
}

apr_uint64_t cs_accept_get(cs_accept_e which, int bucket)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    return (unsigned)which < CS_ACCEPT_MAX ? upto(table->accept[which], bucket, CS_ACCEPT_BUCKETS)
                                           : 0;
}

apr_uint64_t cs_accept_sum(cs_accept_e which)
{
    cs_counters_t *table = atomic_load_explicit(&current, memory_order_acquire);

    return (unsigned)which < CS_ACCEPT_MAX
               ? atomic_load_explicit(&table->accept_us[which], memory_order_relaxed)
               : 0;
}

const char *cs_accept_name(cs_accept_e which)
{
    static const char *const names_of[CS_ACCEPT_MAX] = {"stored", "unavailable"};

    return (unsigned)which < CS_ACCEPT_MAX ? names_of[which] : NULL;
}
