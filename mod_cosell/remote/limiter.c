#include "limiter.h"

#define SLOWEST (1.0 / 64)
/* A token that took a rounding error to fill is a whole one. */
#define WHOLE (1.0 - 1e-6)

static double slowness(const cs_limiter_t *limiter)
{
    return limiter->slow > 0 ? limiter->slow : 1.0;
}

static void fill(cs_limiter_t *limiter, double rate, apr_time_t now)
{
    double capacity = rate > 1 ? rate : 1;

    if (limiter->filled_at == 0) {
        limiter->tokens = capacity;
    }
    else if (now > limiter->filled_at) {
        limiter->tokens +=
            (double)(now - limiter->filled_at) * rate * slowness(limiter) / APR_USEC_PER_SEC;
    }
    limiter->filled_at = now;
    if (limiter->tokens > capacity) {
        limiter->tokens = capacity;
    }
}

apr_interval_time_t cs_limiter_wait(cs_limiter_t *limiter, double rate, apr_time_t now)
{
    if (rate <= 0) {
        return 0;
    }
    fill(limiter, rate, now);
    if (limiter->tokens >= WHOLE) {
        return 0;
    }
    return (apr_interval_time_t)((1.0 - limiter->tokens) / (rate * slowness(limiter)) *
                                 APR_USEC_PER_SEC) +
           1;
}

double cs_limiter_pace(const cs_limiter_t *limiter, double rate)
{
    return rate > 0 ? rate * slowness(limiter) : 0;
}

void cs_limiter_take(cs_limiter_t *limiter, double rate)
{
    limiter->sent++;
    if (rate > 0) {
        limiter->tokens = limiter->tokens > 1 ? limiter->tokens - 1 : 0;
    }
}

apr_interval_time_t cs_limiter_paused(cs_limiter_t *limiter, apr_time_t now)
{
    apr_interval_time_t left = limiter->pause_until - now;

    if (limiter->pause_until == 0) {
        return 0;
    }
    if (left <= 0 || left > CS_LIMITER_PAUSE_MAX) {
        limiter->pause_until = 0;
        return 0;
    }
    return left;
}

void cs_limiter_pause(cs_limiter_t *limiter, apr_time_t now, apr_interval_time_t retry_after)
{
    if (retry_after > CS_LIMITER_PAUSE_MAX) {
        retry_after = CS_LIMITER_PAUSE_MAX;
    }
    if (retry_after > cs_limiter_paused(limiter, now)) {
        limiter->pause_until = now + retry_after;
    }
}

void cs_limiter_throttled(cs_limiter_t *limiter, apr_time_t now, apr_interval_time_t retry_after)
{
    limiter->throttled++;
    limiter->slow = slowness(limiter) / 2;
    if (limiter->slow < SLOWEST) {
        limiter->slow = SLOWEST;
    }
    limiter->eased_at = now;
    if (retry_after <= 0) {
        retry_after = (apr_interval_time_t)(APR_USEC_PER_SEC / limiter->slow);
    }
    cs_limiter_pause(limiter, now, retry_after);
}

void cs_limiter_succeeded(cs_limiter_t *limiter, apr_time_t now)
{
    if (slowness(limiter) >= 1) {
        return;
    }
    if (now < limiter->eased_at) {
        limiter->eased_at = now;
    }
    if (now - limiter->eased_at >= APR_USEC_PER_SEC) {
        limiter->slow = slowness(limiter) + 0.1;
        limiter->slow = limiter->slow > 1 ? 1 : limiter->slow;
        limiter->eased_at = now;
    }
}

int cs_limiter_concurrency(const cs_limiter_t *limiter, int configured)
{
    int n = (int)(slowness(limiter) * (configured > 0 ? configured : 1) + 0.5);

    return n > 0 ? n : 1;
}
