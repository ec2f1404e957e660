#include "time.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifdef CS_TEST
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "crypto.h"

#define DAY ((apr_int64_t)86400)

static apr_time_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (apr_time_t)ts.tv_sec * APR_USEC_PER_SEC + ts.tv_nsec / 1000;
}

#ifdef CS_TEST

typedef struct test_clock_t {
    apr_int64_t offset;
    apr_int64_t rate;
    apr_int64_t since;
} test_clock_t;

static pthread_once_t test_once = PTHREAD_ONCE_INIT;
static const volatile test_clock_t *test_map;

static void map_test_clock(void)
{
    const char *path = getenv("COSELL_TEST_CLOCK");
    struct stat st;
    void *map;
    int fd = path && *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0) {
        return;
    }
    if (!fstat(fd, &st) && st.st_size >= (off_t)sizeof(test_clock_t)) {
        map = mmap(NULL, sizeof(test_clock_t), PROT_READ, MAP_SHARED, fd, 0);
        test_map = map == MAP_FAILED ? NULL : map;
    }
    close(fd);
}

/* The writer changes three words without a lock: two equal readings are a whole one. */
static test_clock_t read_test_clock(void)
{
    test_clock_t a = {0, 0, 0}, b;

    pthread_once(&test_once, map_test_clock);
    if (test_map) {
        do {
            a.offset = test_map->offset;
            a.rate = test_map->rate;
            a.since = test_map->since;
            b.offset = test_map->offset;
            b.rate = test_map->rate;
            b.since = test_map->since;
        } while (a.offset != b.offset || a.rate != b.rate || a.since != b.since);
    }
    if (a.rate <= 0) {
        a.rate = 1000;
    }
    return a;
}

static apr_int64_t test_shift(apr_time_t real)
{
    test_clock_t c = read_test_clock();
    __int128 passed = real - c.since;

    return c.offset + (apr_int64_t)(passed * (c.rate - 1000) / 1000);
}

#else
#define test_shift(real) 0
#endif

apr_time_t cs_time_now(void)
{
    apr_time_t real = read_clock(CLOCK_REALTIME);

    return real + test_shift(real);
}

apr_interval_time_t cs_time_boot(void)
{
    apr_interval_time_t boot = read_clock(CLOCK_BOOTTIME);

    return boot + test_shift(read_clock(CLOCK_REALTIME));
}

apr_interval_time_t cs_time_mono(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

apr_interval_time_t cs_time_wait(apr_interval_time_t interval)
{
#ifdef CS_TEST
    apr_int64_t rate = read_test_clock().rate;

    if (interval > 0 && rate != 1000) {
        interval =
            interval > APR_INT64_MAX / 1000 ? interval / rate * 1000 : interval * 1000 / rate;
    }
    if (interval <= 0) {
        return interval < 0 ? interval : 0;
    }
#endif
    return interval > 0 && interval < 1000 ? 1000 : interval;
}

/* Days since 1970-01-01 of a Gregorian date; years begin in March so that the leap day is last. */
static apr_int64_t days_of(int y, int m, int d)
{
    apr_int64_t year = y - (m <= 2);
    apr_int64_t era = (year >= 0 ? year : year - 399) / 400;
    apr_int64_t yoe = year - era * 400;
    apr_int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of(apr_int64_t days, int *py, int *pm, int *pd)
{
    apr_int64_t z = days + 719468;
    apr_int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    apr_int64_t doe = z - era * 146097;
    apr_int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    apr_int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    apr_int64_t mp = (5 * doy + 2) / 153;

    *pd = (int)(doy - (153 * mp + 2) / 5 + 1);
    *pm = (int)(mp < 10 ? mp + 3 : mp - 9);
    *py = (int)(yoe + era * 400 + (*pm <= 2));
}

static int days_in(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

    return m == 2 && leap ? 29 : days[m - 1];
}

/* Exactly n digits at *ps, in lo..hi. */
static int take_number(const char **ps, int n, int lo, int hi, int *pvalue)
{
    const char *s = *ps;
    int i, value = 0;

    for (i = 0; i < n; i++) {
        if (!apr_isdigit(s[i])) {
            return 0;
        }
        value = value * 10 + (s[i] - '0');
    }
    *ps = s + n;
    *pvalue = value;
    return value >= lo && value <= hi;
}

static int take_char(const char **ps, char c)
{
    if (**ps != c) {
        return 0;
    }
    (*ps)++;
    return 1;
}

static int take_date(const char **ps, apr_int64_t *pdays)
{
    int y, m, d;

    if (!take_number(ps, 4, 1900, 9999, &y) || !take_char(ps, '-') ||
        !take_number(ps, 2, 1, 12, &m) || !take_char(ps, '-') ||
        !take_number(ps, 2, 1, days_in(y, m), &d)) {
        return 0;
    }
    *pdays = days_of(y, m, d);
    return 1;
}

/* 1 to 9 digits after a '.', digits below a microsecond are dropped. */
static int take_fraction(const char **ps, apr_int64_t *pusec)
{
    const char *s = *ps;
    apr_int64_t usec = 0;
    int n = 0;

    while (apr_isdigit(s[n])) {
        if (n < 6) {
            usec = usec * 10 + (s[n] - '0');
        }
        n++;
    }
    *ps = s + n;
    if (n < 1 || n > 9) {
        return 0;
    }
    while (n < 6) {
        usec *= 10;
        n++;
    }
    *pusec = usec;
    return 1;
}

/* "", "Z", "+hh:mm" or "+hhmm" (Salesforce); seconds east of UTC. */
static int take_zone(const char **ps, apr_int64_t *poffset)
{
    int h, m, sign;

    *poffset = 0;
    if (!**ps || take_char(ps, 'Z') || take_char(ps, 'z')) {
        return 1;
    }
    sign = **ps == '-' ? -1 : 1;
    if (!take_char(ps, '+') && !take_char(ps, '-')) {
        return 0;
    }
    if (!take_number(ps, 2, 0, 23, &h)) {
        return 0;
    }
    take_char(ps, ':');
    if (!take_number(ps, 2, 0, 59, &m)) {
        return 0;
    }
    *poffset = sign * (h * 3600 + m * 60);
    return 1;
}

apr_status_t cs_time_parse(apr_time_t *pt, const char *text)
{
    apr_int64_t days, offset, secs, usec = 0;
    const char *s = text;
    int h, m, sec;

    if (!s || !take_date(&s, &days)) {
        return APR_EINVAL;
    }
    secs = days * DAY;
    if (*s) {
        if ((!take_char(&s, 'T') && !take_char(&s, 't')) || !take_number(&s, 2, 0, 23, &h) ||
            !take_char(&s, ':') || !take_number(&s, 2, 0, 59, &m) || !take_char(&s, ':') ||
            !take_number(&s, 2, 0, 60, &sec) || (take_char(&s, '.') && !take_fraction(&s, &usec)) ||
            !take_zone(&s, &offset) || *s) {
            return APR_EINVAL;
        }
        secs += h * 3600 + m * 60 + sec - offset;
    }
    if (secs < days_of(1900, 1, 1) * DAY || secs >= days_of(10000, 1, 1) * DAY) {
        return APR_EINVAL;
    }
    *pt = secs * APR_USEC_PER_SEC + usec;
    return APR_SUCCESS;
}

typedef struct broken_t {
    int y, mon, d, h, min, s, ms;
} broken_t;

static broken_t break_up(apr_time_t t)
{
    apr_int64_t day_us = DAY * APR_USEC_PER_SEC;
    apr_int64_t days = t / day_us;
    apr_int64_t rest = t % day_us;
    broken_t b;

    if (rest < 0) {
        rest += day_us;
        days--;
    }
    date_of(days, &b.y, &b.mon, &b.d);
    b.ms = (int)(rest / 1000 % 1000);
    rest /= APR_USEC_PER_SEC;
    b.h = (int)(rest / 3600);
    b.min = (int)(rest / 60 % 60);
    b.s = (int)(rest % 60);
    return b;
}

const char *cs_time_format(apr_time_t t, apr_pool_t *p)
{
    broken_t b = break_up(t);

    return apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", b.y, b.mon, b.d, b.h, b.min, b.s,
                        b.ms);
}

const char *cs_time_format_date(apr_time_t t, apr_pool_t *p)
{
    broken_t b = break_up(t);

    return apr_psprintf(p, "%04d-%02d-%02d", b.y, b.mon, b.d);
}

const char *cs_time_format_minute(apr_time_t t, apr_pool_t *p)
{
    broken_t b = break_up(t);

    return apr_psprintf(p, "%04d-%02d-%02d %02d:%02d", b.y, b.mon, b.d, b.h, b.min);
}

const char *cs_time_format_day(apr_time_t t, apr_pool_t *p)
{
    broken_t b = break_up(t);
    apr_int64_t days = t / (APR_USEC_PER_SEC * 86400) - (t % (APR_USEC_PER_SEC * 86400) < 0);

    /* 1970-01-01 was a Thursday. */
    return apr_psprintf(p, "%s %d %s", apr_day_snames[((days + 4) % 7 + 7) % 7], b.d,
                        apr_month_snames[b.mon - 1]);
}

/* Digits up to `end`; saturates at max. -1 when there is none or something else. */
static apr_int64_t read_digits(const char *s, const char *end, apr_int64_t max)
{
    apr_int64_t n = 0;

    if (s == end) {
        return -1;
    }
    for (; s < end; s++) {
        if (!apr_isdigit(*s)) {
            return -1;
        }
        n = n > (max - 9) / 10 ? max : n * 10 + (*s - '0');
    }
    return n;
}

apr_interval_time_t cs_time_retry_after(const char *text, apr_time_t now, apr_interval_time_t dflt,
                                        apr_interval_time_t max)
{
    apr_interval_time_t wait;
    apr_int64_t secs;
    const char *end;
    apr_time_t date;

    if (!text) {
        return dflt;
    }
    text += strspn(text, " \t");
    end = text + strlen(text);
    while (end > text && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    secs = read_digits(text, end, APR_INT64_MAX / APR_USEC_PER_SEC);
    if (secs >= 0) {
        wait = secs * APR_USEC_PER_SEC;
    }
    else {
        date = apr_date_parse_http(text);
        if (date == APR_DATE_BAD) {
            return dflt;
        }
        wait = date - now;
    }
    return wait < 0 ? 0 : wait > max ? max : wait;
}

apr_interval_time_t cs_backoff(int attempt, apr_interval_time_t base, apr_interval_time_t cap,
                               apr_interval_time_t floor)
{
    apr_interval_time_t top = base < cap ? base : cap;
    apr_interval_time_t wait;
    apr_uint64_t r;

    while (attempt-- > 0 && top > 0 && top < cap) {
        top = top > cap / 2 ? cap : top * 2;
    }
    if (top < 0) {
        top = 0;
    }
    /* Without random numbers the middle: late, but not all at once for one caller. */
    if (cs_random(&r, sizeof(r)) == APR_SUCCESS) {
        wait = (apr_interval_time_t)(r % ((apr_uint64_t)top + 1));
    }
    else {
        wait = top / 2;
    }
    return wait < floor ? floor : wait;
}

static apr_int64_t unit_of(const char *unit)
{
    static const struct {
        const char *name;
        apr_int64_t usec;
    } units[] = {
        {"ms", 1000},
        {"s", APR_USEC_PER_SEC},
        {"m", 60 * APR_USEC_PER_SEC},
        {"h", 3600 * APR_USEC_PER_SEC},
        {"d", DAY * APR_USEC_PER_SEC},
    };
    apr_size_t i;

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (!strcmp(unit, units[i].name)) {
            return units[i].usec;
        }
    }
    return 0;
}

apr_status_t cs_interval_parse(apr_interval_time_t *pi, const char *text, const char *unit)
{
    const char *end = text;
    apr_int64_t n, usec;

    if (!text) {
        return APR_EINVAL;
    }
    while (apr_isdigit(*end)) {
        end++;
    }
    n = read_digits(text, end, APR_INT64_MAX);
    usec = unit_of(*end ? end : unit ? unit : "s");
    if (n < 0 || !usec || n > APR_INT64_MAX / usec) {
        return APR_EINVAL;
    }
    *pi = n * usec;
    return APR_SUCCESS;
}
