/* base/time.h: the only reader of clocks, and everything about delays and dates.
 *
 * The test build (-DCS_TEST) adds an offset and a rate from the file named by the environment
 * variable COSELL_TEST_CLOCK, mapped by all processes: two 64-bit little-endian integers, offset in
 * microseconds and rate in thousandths (0 = 1000), then the real time (microseconds) at which they
 * took effect: virtual = real + offset + (real - since) * (rate - 1000) / 1000. The shipped build
 * has none of this. (design 8) All functions may be called by any thread.
 */
#ifndef CS_BASE_TIME_H
#define CS_BASE_TIME_H

#include <apr_pools.h>
#include <apr_time.h>

apr_time_t cs_time_now(void);           /* wall clock, microseconds since 1970 UTC */
apr_interval_time_t cs_time_boot(void); /* CLOCK_BOOTTIME, microseconds; for leases and deadlines */
apr_interval_time_t cs_time_mono(void); /* CLOCK_MONOTONIC, never moved by the test clock: for
                                           measuring and for waits of threads */
/* How long to really wait for a virtual interval; equal to it in the shipped build. At least 1 ms
 * for anything above 0. */
apr_interval_time_t cs_time_wait(apr_interval_time_t interval);

/* "2025-02-17T00:05:39.5485487+00:00", "...Z", 0 to 9 fraction digits, offsets; also "2025-02-17"
 * (noon UTC is NOT assumed: midnight UTC). A value with no zone is taken as UTC. APR_EINVAL on
 * anything else, dates out of 1900..9999 included. */
apr_status_t cs_time_parse(apr_time_t *pt, const char *text);
/* RFC 3339 in UTC with 3 fraction digits, in p: "2026-11-22T10:00:00.123Z". */
const char *cs_time_format(apr_time_t t, apr_pool_t *p);
/* "2026-11-22" of the UTC day. */
const char *cs_time_format_date(apr_time_t t, apr_pool_t *p);
/* "yyyy-MM-dd HH:mm" UTC, for the audit column. */
const char *cs_time_format_minute(apr_time_t t, apr_pool_t *p);
/* "Mon 3 Mar" of the UTC day. */
const char *cs_time_format_day(apr_time_t t, apr_pool_t *p);
/* Retry-After: seconds or HTTP date; clamped to 0 .. max. dflt when text is NULL or neither. */
apr_interval_time_t cs_time_retry_after(const char *text, apr_time_t now, apr_interval_time_t dflt,
                                        apr_interval_time_t max);

/* Full jitter: uniform in 0 .. min(cap, base * 2^attempt), arithmetic clamped, never below `floor`.
 * attempt counts from 0. */
apr_interval_time_t cs_backoff(int attempt, apr_interval_time_t base, apr_interval_time_t cap,
                               apr_interval_time_t floor);

/* "90s", "5m", "12h", "7d", "250ms", or a bare number in `unit` ("s" if NULL). APR_EINVAL
 * otherwise. */
apr_status_t cs_interval_parse(apr_interval_time_t *pi, const char *text, const char *unit);

#endif
