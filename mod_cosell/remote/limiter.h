/* remote/limiter.h: rate, slowness and pause of one upstream. Pure: time is passed in, nothing
 * waits here.
 *
 * A clock that went back never stops a lane: a bucket filled in the future is filled now, and a
 * pause longer than any that is granted is over.
 */
#ifndef CS_REMOTE_LIMITER_H
#define CS_REMOTE_LIMITER_H

#include "http.h"

#define CS_LIMITER_PAUSE_MAX (apr_time_from_sec(3600))

/* 0 = one request may start now; else how long until it may. Refills the bucket. rate 0 = not
 * limited. */
apr_interval_time_t cs_limiter_wait(cs_limiter_t *limiter, double rate, apr_time_t now);
/* Requests a second that it lets through at present; 0 = not limited. */
double cs_limiter_pace(const cs_limiter_t *limiter, double rate);
/* Takes the token of a request that starts. */
void cs_limiter_take(cs_limiter_t *limiter, double rate);
/* What is left of a pause; 0 = none. */
apr_interval_time_t cs_limiter_paused(cs_limiter_t *limiter, apr_time_t now);
/* The server told us to stay away: half the rate, and a pause (retry_after, or 2, 4, 8 ... 64 s
 * when 0). */
void cs_limiter_throttled(cs_limiter_t *limiter, apr_time_t now, apr_interval_time_t retry_after);
/* A pause without a lower rate: 503 with Retry-After. */
void cs_limiter_pause(cs_limiter_t *limiter, apr_time_t now, apr_interval_time_t retry_after);
/* A useful answer came: a tenth of the rate comes back for each second with one. */
void cs_limiter_succeeded(cs_limiter_t *limiter, apr_time_t now);
/* Requests at once: `configured` scaled down while slow, at least 1. */
int cs_limiter_concurrency(const cs_limiter_t *limiter, int configured);

#endif
