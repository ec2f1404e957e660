#include "unit.h"

#include <fcntl.h>

#include "mod_cosell/base/time.h"

static int clock_fd = -1;

static void set_clock(apr_int64_t offset, apr_int64_t rate, apr_int64_t since)
{
    apr_int64_t words[3] = { offset, rate, since };

    assert_int_equal(pwrite(clock_fd, words, sizeof(words), 0), sizeof(words));
}

static void assert_near(apr_int64_t got, apr_int64_t want, apr_int64_t slack)
{
    if (got < want - slack || got > want + slack) {
        fail_msg("%lld is not within %lld of %lld", (long long)got, (long long)slack, (long long)want);
    }
}

static void test_clocks_follow_the_test_file(void **state)
{
    apr_interval_time_t boot, mono;

    (void)state;
    set_clock(0, 0, 0);
    assert_near(cs_time_now(), apr_time_now(), 2 * APR_USEC_PER_SEC);
    boot = cs_time_boot();
    mono = cs_time_mono();
    set_clock(apr_time_from_sec(86400), 1000, 0);
    assert_near(cs_time_now(), apr_time_now() + apr_time_from_sec(86400), 2 * APR_USEC_PER_SEC);
    assert_near(cs_time_boot(), boot + apr_time_from_sec(86400), 2 * APR_USEC_PER_SEC);
    assert_near(cs_time_mono(), mono, 2 * APR_USEC_PER_SEC);
    set_clock(0, 10000, apr_time_now() - apr_time_from_sec(100));
    assert_near(cs_time_now(), apr_time_now() + apr_time_from_sec(900), 20 * APR_USEC_PER_SEC);
    set_clock(-apr_time_from_sec(3600), 500, apr_time_now() - apr_time_from_sec(100));
    assert_near(cs_time_now(), apr_time_now() - apr_time_from_sec(3650), 2 * APR_USEC_PER_SEC);
    set_clock(0, 0, 0);
}

static void test_clock_never_runs_backwards_when_slowed(void **state)
{
    apr_time_t last, now;
    int i;

    (void)state;
    set_clock(0, 500, apr_time_now());
    last = cs_time_now();
    for (i = 0; i < 20000; i++) {
        now = cs_time_now();
        assert_true(now >= last);
        last = now;
    }
    set_clock(0, 0, 0);
}

static void test_wait_follows_the_rate(void **state)
{
    (void)state;
    set_clock(0, 0, 0);
    assert_int_equal(cs_time_wait(apr_time_from_sec(5)), apr_time_from_sec(5));
    assert_int_equal(cs_time_wait(1), 1000);
    assert_int_equal(cs_time_wait(0), 0);
    set_clock(0, 100000, apr_time_now());
    assert_int_equal(cs_time_wait(apr_time_from_sec(100)), apr_time_from_sec(1));
    assert_int_equal(cs_time_wait(1000), 1000);
    set_clock(0, 0, 0);
}

static void test_parse_accepts(void **state)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        { "2025-02-17T00:05:39.5485487+00:00", "2025-02-17T00:05:39.548Z" },
        { "2025-02-17T00:05:39Z", "2025-02-17T00:05:39.000Z" },
        { "2025-02-17T00:05:39", "2025-02-17T00:05:39.000Z" },
        { "2025-02-17t00:05:39z", "2025-02-17T00:05:39.000Z" },
        { "2025-02-17T00:05:39.1-08:30", "2025-02-17T08:35:39.100Z" },
        { "2025-02-17T00:05:39.000+0000", "2025-02-17T00:05:39.000Z" },
        { "2025-02-17T01:05:39.123456789+02:00", "2025-02-16T23:05:39.123Z" },
        { "2025-02-17", "2025-02-17T00:00:00.000Z" },
        { "2024-02-29", "2024-02-29T00:00:00.000Z" },
        { "2000-02-29", "2000-02-29T00:00:00.000Z" },
        { "1900-01-01", "1900-01-01T00:00:00.000Z" },
        { "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z" },
        { "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z" },
        { "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z" },
    };
    apr_pool_t *p = *state;
    apr_size_t i;
    apr_time_t t;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ok(cs_time_parse(&t, cases[i].text));
        assert_string_equal(cs_time_format(t, p), cases[i].want);
    }
    assert_ok(cs_time_parse(&t, "1970-01-01T00:00:00.0000019Z"));
    assert_int_equal(t, 1);
}

static void test_parse_refuses(void **state)
{
    static const char *const cases[] = {
        "", " ", "x", "2025", "2025-2-17", "2025-02-30", "2025-13-01", "2025-00-01", "2023-02-29", "1900-02-29", "1899-12-31",
        "0001-01-01T00:00:00Z", "2025-02-17T", "2025-02-17T24:00:00Z", "2025-02-17T00:60:00Z", "2025-02-17T00:00:61Z",
        "2025-02-17T00:05", "2025-02-17T00:05:39.", "2025-02-17T00:05:39.Z", "2025-02-17T00:05:39.1234567890Z", "2025-02-17T00:05:39+",
        "2025-02-17T00:05:39+1", "2025-02-17T00:05:39+24:00", "2025-02-17T00:05:39+01:60", "2025-02-17T00:05:39Zx", "2025-02-17 00:05:39",
        "2025-02-17Z", " 2025-02-17", "2025-02-17 ", "1900-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "20250217", "+025-02-17",
    };
    apr_size_t i;
    apr_time_t t;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cs_time_parse(&t, cases[i]) != APR_EINVAL) {
            fail_msg("\"%s\" was accepted", cases[i]);
        }
    }
    assert_int_equal(cs_time_parse(&t, NULL), APR_EINVAL);
}

static void test_format_agrees_with_apr(void **state)
{
    apr_pool_t *p = *state;
    apr_int64_t day;

    for (day = 0; day < 80000; day += 17) {
        apr_time_t t = apr_time_from_sec(day * 86400 + 86399) + 7000;
        apr_time_exp_t e;
        apr_pool_t *sub;

        assert_ok(apr_pool_create(&sub, p));
        assert_ok(apr_time_exp_gmt(&e, t));
        assert_string_equal(cs_time_format(t, sub),
                            apr_psprintf(sub, "%04d-%02d-%02dT%02d:%02d:%02d.007Z", e.tm_year + 1900, e.tm_mon + 1,
                                         e.tm_mday, e.tm_hour, e.tm_min, e.tm_sec));
        apr_pool_destroy(sub);
    }
    assert_string_equal(cs_time_format_date(-1, p), "1969-12-31");
    assert_string_equal(cs_time_format_minute(apr_time_from_sec(61), p), "1970-01-01 00:01");
}

static void test_retry_after(void **state)
{
    apr_interval_time_t hour = apr_time_from_sec(3600);
    apr_time_t now = apr_time_from_sec(1445412480); /* Wed, 21 Oct 2015 07:28:00 GMT */

    (void)state;
    assert_int_equal(cs_time_retry_after(NULL, now, 7, hour), 7);
    assert_int_equal(cs_time_retry_after("", now, 7, hour), 7);
    assert_int_equal(cs_time_retry_after("soon", now, 7, hour), 7);
    assert_int_equal(cs_time_retry_after("-5", now, 7, hour), 7);
    assert_int_equal(cs_time_retry_after("1.5", now, 7, hour), 7);
    assert_int_equal(cs_time_retry_after("30", now, 7, hour), apr_time_from_sec(30));
    assert_int_equal(cs_time_retry_after(" 30 ", now, 7, hour), apr_time_from_sec(30));
    assert_int_equal(cs_time_retry_after("0", now, 7, hour), 0);
    assert_int_equal(cs_time_retry_after("7200", now, 7, hour), hour);
    assert_int_equal(cs_time_retry_after("99999999999999999999999999", now, 7, hour), hour);
    assert_int_equal(cs_time_retry_after("Wed, 21 Oct 2015 07:28:30 GMT", now, 7, hour), apr_time_from_sec(30));
    assert_int_equal(cs_time_retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now, 7, hour), 0);
    assert_int_equal(cs_time_retry_after("Fri, 21 Oct 2095 07:00:00 GMT", now, 7, hour), hour);
}

static void test_backoff_stays_in_bounds_and_spreads(void **state)
{
    apr_interval_time_t low = APR_INT64_MAX, high = 0, w;
    int i;

    (void)state;
    for (i = 0; i < 2000; i++) {
        w = cs_backoff(3, 1000, 100000, 0);
        assert_true(w >= 0 && w <= 8000);
        low = w < low ? w : low;
        high = w > high ? w : high;
    }
    assert_true(low < 1000 && high > 7000);
    for (i = 0; i < 200; i++) {
        w = cs_backoff(1000000000, apr_time_from_sec(1), apr_time_from_sec(60), 5000);
        assert_true(w >= 5000 && w <= apr_time_from_sec(60));
        w = cs_backoff(62, APR_INT64_MAX / 2, APR_INT64_MAX - 1, 0);
        assert_true(w >= 0);
        assert_true(cs_backoff(-1, 1000, 100, 0) <= 100);
    }
    assert_int_equal(cs_backoff(5, 0, 100, 0), 0);
    assert_int_equal(cs_backoff(5, 1, 2, 1000), 1000);
    assert_int_equal(cs_backoff(0, -5, 100, 0), 0);
}

static void test_interval_parse(void **state)
{
    static const char *const bad[] = { "", "s", "-5s", "5x", "5 s", " 5s", "5s ", "1.5s", "99999999999999999999", "9223372036854775807d", "5S", "+5" };
    apr_interval_time_t t;
    apr_size_t i;

    (void)state;
    assert_ok(cs_interval_parse(&t, "90s", NULL));
    assert_int_equal(t, apr_time_from_sec(90));
    assert_ok(cs_interval_parse(&t, "5m", NULL));
    assert_int_equal(t, apr_time_from_sec(300));
    assert_ok(cs_interval_parse(&t, "12h", NULL));
    assert_int_equal(t, apr_time_from_sec(43200));
    assert_ok(cs_interval_parse(&t, "7d", NULL));
    assert_int_equal(t, apr_time_from_sec(604800));
    assert_ok(cs_interval_parse(&t, "250ms", NULL));
    assert_int_equal(t, 250000);
    assert_ok(cs_interval_parse(&t, "3", NULL));
    assert_int_equal(t, apr_time_from_sec(3));
    assert_ok(cs_interval_parse(&t, "3", "ms"));
    assert_int_equal(t, 3000);
    assert_ok(cs_interval_parse(&t, "0", "h"));
    assert_int_equal(t, 0);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cs_interval_parse(&t, bad[i], NULL) != APR_EINVAL) {
            fail_msg("\"%s\" was accepted", bad[i]);
        }
    }
    assert_int_equal(cs_interval_parse(&t, NULL, NULL), APR_EINVAL);
    assert_int_equal(cs_interval_parse(&t, "5", "fortnights"), APR_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_clocks_follow_the_test_file),
        UNIT_TEST(test_clock_never_runs_backwards_when_slowed),
        UNIT_TEST(test_wait_follows_the_rate),
        UNIT_TEST(test_parse_accepts),
        UNIT_TEST(test_parse_refuses),
        UNIT_TEST(test_format_agrees_with_apr),
        UNIT_TEST(test_retry_after),
        UNIT_TEST(test_backoff_stays_in_bounds_and_spreads),
        UNIT_TEST(test_interval_parse),
    };
    apr_pool_t *p;
    const char *path;
    int failed;

    /* Before the first look at a clock: the library maps the file once. */
    apr_initialize();
    apr_pool_create(&p, NULL);
    path = unit_path(p, "clock");
    clock_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (clock_fd < 0 || ftruncate(clock_fd, 24) || setenv("COSELL_TEST_CLOCK", path, 1)) {
        perror(path);
        return 2;
    }
    failed = UNIT_RUN(tests);
    close(clock_fd);
    return failed;
}
