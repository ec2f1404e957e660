/* base/gauge_history.c: a point a minute of what the counters grew by, for the plots. */
#include "gauge_internal.h"

#include <string.h>

#include "counter.h"

#define LAGS (CS_LAG_MAX * CS_LAG_BUCKETS)

_Static_assert(LAGS * sizeof(apr_uint64_t) <= sizeof(((cs_gauges_t *)NULL)->lags),
               "the lags have their place");

static const struct {
    const char *name, *unit, *text;
} histories[CS_HISTORY_MAX] = {
#define HISTORY(id, name, unit, text) {name, unit, text},
    CS_HISTORIES(HISTORY)
#undef HISTORY
};

const char *cs_history_name(cs_history_e which)
{
    return (unsigned)which < CS_HISTORY_MAX ? histories[which].name : NULL;
}

const char *cs_history_unit(cs_history_e which)
{
    return (unsigned)which < CS_HISTORY_MAX ? histories[which].unit : NULL;
}

const char *cs_history_text(cs_history_e which)
{
    return (unsigned)which < CS_HISTORY_MAX ? histories[which].text : NULL;
}

static apr_uint64_t grown(cs_history_e which)
{
    switch (which) {
    case CS_HISTORY_ACCEPTED:
        return cs_counter_get(CS_COUNT_ACCEPTED) + cs_counter_get(CS_COUNT_NOTIFIED);
    case CS_HISTORY_LOOKS:
        return cs_counter_get(CS_COUNT_LOOKS);
    case CS_HISTORY_CALLS:
        return cs_counter_get(CS_COUNT_CALLS_PARTNER_CENTER) + cs_counter_get(CS_COUNT_CALLS_CRM) +
               cs_counter_get(CS_COUNT_CALLS_TOKEN);
    case CS_HISTORY_FAILED:
        return cs_counter_get(CS_COUNT_CALLS_FAILED);
    default:
        return 0;
    }
}

static void take_lags(apr_uint64_t now[CS_LAG_BUCKETS], cs_gauges_t *g)
{
    apr_uint64_t all;
    int which, bucket, at;

    memset(now, 0, sizeof(*now) * CS_LAG_BUCKETS);
    for (which = 0; which < CS_LAG_MAX; which++) {
        for (bucket = 0; bucket < CS_LAG_BUCKETS; bucket++) {
            at = which * CS_LAG_BUCKETS + bucket;
            all = cs_lag_get((cs_lag_e)which, bucket);
            now[bucket] += all - atomic_load_explicit(&g->lags[at], memory_order_relaxed);
            atomic_store_explicit(&g->lags[at], all, memory_order_relaxed);
        }
    }
}

/* The 90th percentile of what has been observed since the last point: within its bucket by the
 * share of it. -1 = nothing was observed. */
static double slow_tenth(const apr_uint64_t cumulative[CS_LAG_BUCKETS])
{
    static const double bounds[CS_LAG_BUCKETS - 1] = CS_LAG_BOUNDS;
    double want = (double)cumulative[CS_LAG_BUCKETS - 1] * 0.9;
    double low = 0, below = 0;
    int i;

    if (!cumulative[CS_LAG_BUCKETS - 1]) {
        return -1;
    }
    for (i = 0; i < CS_LAG_BUCKETS - 1; i++) {
        double upto = (double)cumulative[i];
        if (upto >= want) {
            return upto > below ? low + (bounds[i] - low) * (want - below) / (upto - below) : low;
        }
        low = bounds[i];
        below = upto;
    }
    return low;
}

static void put_point(cs_gauges_t *g, cs_history_e which, apr_int64_t at, double value)
{
    atomic_store_explicit(&g->points[which][at % CS_HISTORY_SLOTS], value, memory_order_relaxed);
}

/* Minutes that nobody saw end share evenly in what happened since the last one. */
static void make_points(cs_gauges_t *g, apr_int64_t passed, apr_int64_t backlog)
{
    apr_uint64_t lags[CS_LAG_BUCKETS], now;
    apr_int64_t made = atomic_load_explicit(&g->minutes, memory_order_relaxed);
    double share[CS_HISTORY_MAX];
    apr_int64_t i, n = passed < CS_HISTORY_MINUTES ? passed : CS_HISTORY_MINUTES;
    int which;

    for (which = 0; which < CS_HISTORY_MAX; which++) {
        now = grown((cs_history_e)which);
        share[which] = (double)(now - atomic_load_explicit(&g->base[which], memory_order_relaxed)) /
                       (double)passed;
        atomic_store_explicit(&g->base[which], now, memory_order_relaxed);
    }
    take_lags(lags, g);
    for (i = 0; i < n; i++) {
        for (which = 0; which < CS_HISTORY_MAX; which++) {
            put_point(g, (cs_history_e)which, made + i, share[which]);
        }
        put_point(g, CS_HISTORY_BACKLOG, made + i, (double)(backlog > 0 ? backlog : 0));
        put_point(g, CS_HISTORY_LAG, made + i, i == n - 1 ? slow_tenth(lags) : -1);
    }
    atomic_store_explicit(&g->minutes, made + n, memory_order_release);
}

void cs_history_tick(apr_time_t now, apr_int64_t backlog)
{
    cs_gauges_t *g = cs_gauges_table();
    apr_int64_t minute = apr_time_sec(now) / 60;
    apr_int64_t last = atomic_load_explicit(&g->minute, memory_order_relaxed);
    apr_uint64_t ignored[CS_LAG_BUCKETS];
    int which;

    /* At first, and when the clock went back, there is nothing to compare with. */
    if (!last || minute < last) {
        for (which = 0; which < CS_HISTORY_MAX; which++) {
            atomic_store_explicit(&g->base[which], grown((cs_history_e)which),
                                  memory_order_relaxed);
        }
        take_lags(ignored, g);
    }
    else if (minute > last) {
        make_points(g, minute - last, backlog);
    }
    atomic_store_explicit(&g->minute, minute, memory_order_relaxed);
}

int cs_history_read(cs_history_e which, double *values, apr_time_t *pend)
{
    cs_gauges_t *g = cs_gauges_table();
    apr_int64_t made = atomic_load_explicit(&g->minutes, memory_order_acquire);
    apr_int64_t i, n = made < CS_HISTORY_MINUTES ? made : CS_HISTORY_MINUTES;

    if ((unsigned)which >= CS_HISTORY_MAX) {
        return 0;
    }
    for (i = 0; i < n; i++) {
        values[i] = atomic_load_explicit(&g->points[which][(made - n + i) % CS_HISTORY_SLOTS],
                                         memory_order_relaxed);
    }
    *pend = apr_time_from_sec(atomic_load_explicit(&g->minute, memory_order_relaxed) * 60);
    return (int)n;
}
