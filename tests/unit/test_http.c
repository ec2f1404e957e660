/* The pure parts of the transport: addresses, forms, the limiter's arithmetic, what an answer
 * means. */
#include "unit.h"

#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/limiter.h"

#define SEC APR_USEC_PER_SEC
#define T0 ((apr_time_t)1700000000 * SEC)

static void test_escape_keeps_unreserved_only(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(cs_http_escape("aZ09-._~", p), "aZ09-._~");
    assert_string_equal(cs_http_escape("O''Brien & 50%+/?#", p),
                        "O%27%27Brien%20%26%2050%25%2B%2F%3F%23");
    assert_string_equal(cs_http_escape("\xc3\xbc", p), "%C3%BC");
    assert_string_equal(cs_http_escape("", p), "");
}

static void test_form_joins_and_escapes(void **state)
{
    apr_pool_t *p = *state;
    apr_table_t *t = apr_table_make(p, 2);

    assert_string_equal(cs_http_form(t, p), "");
    apr_table_set(t, "grant_type", "refresh_token");
    apr_table_set(t, "scope", "https://a/.default offline_access");
    apr_table_set(t, "empty", "");
    assert_string_equal(
        cs_http_form(t, p),
        "grant_type=refresh_token&scope=https%3A%2F%2Fa%2F.default%20offline_access&empty=");
}

static void test_origin(void **state)
{
    static const char *const good[][2] = {
        {"https://API.Partner.Microsoft.com/v1.0/x?y#z", "https://api.partner.microsoft.com"},
        {"https://a.example:443", "https://a.example"},
        {"http://127.0.0.1:80/", "http://127.0.0.1"},
        {"http://127.0.0.1:8080/", "http://127.0.0.1:8080"},
        {"http://[::1]:9/x", "http://[::1]:9"},
        {"HTTPS://h?q", "https://h"},
    };
    static const char *const bad[] = {"",
                                      "ftp://a",
                                      "//a",
                                      "https://",
                                      "https:///x",
                                      "https://user@evil/",
                                      "https://a:b@evil/",
                                      "https://a:0/",
                                      "https://a:65536/",
                                      "https://a:/",
                                      "https://a\\@evil/",
                                      "https://a%2eb/",
                                      "https://a b/",
                                      "https://[::1/",
                                      "https://.a/",
                                      "https://a:443x/",
                                      "https://a:0000443/"};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_string_equal(cs_http_origin(good[i][0], p), good[i][1]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cs_http_origin(bad[i], p)) {
            fail_msg("\"%s\" has the origin %s", bad[i], cs_http_origin(bad[i], p));
        }
    }
    assert_null(cs_http_origin(NULL, p));
}

/* ---- limiter ---- */

static void test_limiter_starts_full_and_refills(void **state)
{
    cs_limiter_t l = {0};
    apr_time_t now = T0;

    (void)state;
    assert_int_equal(cs_limiter_wait(&l, 2, now), 0);
    cs_limiter_take(&l, 2);
    assert_int_equal(cs_limiter_wait(&l, 2, now), 0);
    cs_limiter_take(&l, 2);
    assert_in_range(cs_limiter_wait(&l, 2, now), SEC / 2, SEC / 2 + 2);
    assert_in_range(cs_limiter_wait(&l, 2, now + SEC / 4), SEC / 4, SEC / 4 + 2);
    assert_int_equal(cs_limiter_wait(&l, 2, now + SEC / 2), 0);
    cs_limiter_take(&l, 2);
    /* An hour of rest fills no more than the bucket. */
    now += apr_time_from_sec(3600);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cs_limiter_wait(&l, 2, now), 0);
        cs_limiter_take(&l, 2);
    }
    assert_true(cs_limiter_wait(&l, 2, now) > 0);
    assert_int_equal(l.sent, 5);
}

/* Driven by its own answers, the limiter lets exactly rate * time + bucket through, and never
 * closer than that. */
static void test_limiter_holds_the_rate(void **state)
{
    static const double rates[] = {0.5, 1, 2, 7, 20, 333};
    size_t r;

    (void)state;
    for (r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
        cs_limiter_t l = {0};
        double bucket = rates[r] > 1 ? rates[r] : 1;
        apr_time_t now = T0, end = T0 + apr_time_from_sec(100);
        apr_interval_time_t wait;
        int started = 0;

        while (now < end) {
            wait = cs_limiter_wait(&l, rates[r], now);
            if (wait) {
                now += wait;
                continue;
            }
            cs_limiter_take(&l, rates[r]);
            started++;
            assert_true(started <= (double)(now - T0) / SEC * rates[r] + bucket + 0.01);
        }
        assert_true(started >= 100 * rates[r] + bucket - 2);
    }
}

static void test_limiter_without_rate_never_waits(void **state)
{
    cs_limiter_t l = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(cs_limiter_wait(&l, 0, T0), 0);
        cs_limiter_take(&l, 0);
    }
    assert_int_equal(l.sent, 1000);
}

static void test_limiter_slows_and_recovers(void **state)
{
    cs_limiter_t l = {0};
    apr_time_t now = T0;
    int seconds = 0;

    (void)state;
    assert_int_equal(cs_limiter_concurrency(&l, 8), 8);
    cs_limiter_throttled(&l, now, 7 * SEC);
    assert_int_equal(cs_limiter_paused(&l, now), 7 * SEC);
    assert_int_equal(cs_limiter_concurrency(&l, 8), 4);
    assert_int_equal(cs_limiter_paused(&l, now + 7 * SEC), 0);
    now += 10 * SEC;
    cs_limiter_throttled(&l, now, 0);
    /* No Retry-After: 2, 4, 8 seconds. */
    assert_int_equal(cs_limiter_paused(&l, now), 4 * SEC);
    assert_int_equal(cs_limiter_concurrency(&l, 8), 2);
    assert_int_equal(cs_limiter_concurrency(&l, 1), 1);
    while (cs_limiter_concurrency(&l, 100) < 100) {
        cs_limiter_succeeded(&l, now += SEC);
        cs_limiter_succeeded(&l, now);
        assert_in_range(++seconds, 1, 20);
    }
    assert_int_equal(seconds, 8);
    for (int i = 0; i < 100; i++) {
        cs_limiter_throttled(&l, now, SEC);
    }
    assert_int_equal(cs_limiter_concurrency(&l, 8), 1);
    cs_limiter_wait(&l, 64, now);
    l.tokens = 0;
    assert_in_range(cs_limiter_wait(&l, 64, now), SEC, SEC + 2);
}

static void test_limiter_survives_a_clock_set_back(void **state)
{
    cs_limiter_t l = {0};

    (void)state;
    cs_limiter_throttled(&l, T0, apr_time_from_sec(86400));
    assert_int_equal(cs_limiter_paused(&l, T0), CS_LIMITER_PAUSE_MAX);
    assert_int_equal(cs_limiter_paused(&l, T0 - apr_time_from_sec(86400)), 0);
    assert_int_equal(cs_limiter_paused(&l, T0), 0);
    cs_limiter_wait(&l, 1, T0);
    cs_limiter_take(&l, 1);
    assert_true(cs_limiter_wait(&l, 1, T0 - apr_time_from_sec(86400)) <= 3 * SEC);
    assert_int_equal(cs_limiter_wait(&l, 1, T0 - apr_time_from_sec(86400) + 3 * SEC), 0);
}

/* ---- answers ---- */

static void make(cs_http_response_t *r, int status, apr_pool_t *p)
{
    memset(r, 0, sizeof(*r));
    r->outcome = CS_HTTP_ANSWERED;
    r->started = 1;
    r->status = status;
    r->headers = apr_table_make(p, 2);
    r->body = "";
    r->reason = "";
}

static void test_retry_after(void **state)
{
    apr_pool_t *p = *state;
    cs_http_response_t r;

    make(&r, 429, p);
    assert_int_equal(cs_http_retry_after(&r, T0), 0);
    r.body = "{ \"statusCode\": 429, \"message\": \"Rate limit is exceeded. Try again in 57 "
             "seconds.\" }";
    r.body_len = strlen(r.body);
    assert_int_equal(cs_http_retry_after(&r, T0), 57 * SEC);
    r.status = 400;
    assert_int_equal(cs_http_retry_after(&r, T0), 0);
    r.status = 429;
    r.body = "Try again in 99999 seconds.";
    r.body_len = strlen(r.body);
    assert_int_equal(cs_http_retry_after(&r, T0), 3600 * SEC);
    r.body = "Try again in a few seconds";
    assert_int_equal(cs_http_retry_after(&r, T0), 0);
    apr_table_set(r.headers, "retry-after", "13");
    assert_int_equal(cs_http_retry_after(&r, T0), 13 * SEC);
    apr_table_set(r.headers, "Retry-After", "999999999999999999999");
    assert_true(cs_http_retry_after(&r, T0) <= 3600 * SEC);
    apr_table_set(r.headers, "Retry-After", "Tue, 14 Nov 2023 22:13:50 GMT");
    assert_int_equal(cs_http_retry_after(&r, T0), 30 * SEC);
    /* A server whose clock is an hour ahead means the same half minute. */
    apr_table_set(r.headers, "Retry-After", "Tue, 14 Nov 2023 23:13:50 GMT");
    apr_table_set(r.headers, "Date", "Tue, 14 Nov 2023 23:13:20 GMT");
    assert_int_equal(cs_http_retry_after(&r, T0), 30 * SEC);
}

static void test_correlation(void **state)
{
    apr_pool_t *p = *state;
    apr_table_t *sent = apr_table_make(p, 2), *got = apr_table_make(p, 2);

    assert_null(cs_http_correlation(NULL, got, p));
    apr_table_set(sent, "MS-CorrelationId", "a1");
    apr_table_set(sent, "client-request-id", "a1");
    apr_table_set(got, "Request-ID", "b2");
    assert_string_equal(cs_http_correlation(sent, got, p), "client-request-id=a1 request-id=b2");
    assert_string_equal(cs_http_correlation(NULL, got, p), "request-id=b2");
}

static void test_classify_by_outcome(void **state)
{
    apr_pool_t *p = *state;
    cs_http_request_t get = {.method = "GET", .url = "https://h.example/x", .label = "GET x"};
    cs_http_request_t patch = {
        .method = "PATCH", .url = "https://h.example/x", .label = "update x"};
    cs_http_response_t r;
    cs_result_t res, failure = {0};

    make(&r, 0, p);
    r.outcome = CS_HTTP_UNKNOWN;
    r.error = "no complete answer from h.example: reset";
    cs_http_classify(&res, &r, &get, p);
    assert_int_equal(res.cls, CS_CLASS_RETRY);
    assert_has(res.detail, "GET x: no complete answer from h.example: reset");
    cs_http_classify(&res, &r, &patch, p);
    assert_int_equal(res.cls, CS_CLASS_UNKNOWN);
    r.outcome = CS_HTTP_NOT_SENT;
    cs_http_classify(&res, &r, &patch, p);
    assert_int_equal(res.cls, CS_CLASS_RETRY);
    assert_string_equal(res.problem, "transport");
    r.started = 0;
    cs_http_classify(&res, &r, &patch, p);
    assert_int_equal(res.cls, CS_CLASS_THROTTLED);
    assert_string_equal(res.problem, "not-started");
    r.retry_after = 9 * SEC;
    cs_http_classify(&res, &r, &get, p);
    assert_string_equal(res.problem, "throttled");
    assert_in_range(res.retry_at, cs_time_now() + 8 * SEC, cs_time_now() + 9 * SEC);
    cs_result_set(&failure, p, APR_EINVAL, CS_CLASS_SUSPEND, "config:origin", "why");
    r.failure = &failure;
    cs_http_classify(&res, &r, &get, p);
    assert_int_equal(res.cls, CS_CLASS_SUSPEND);
    assert_string_equal(res.problem, "config:origin");
}

static void test_classify_by_status(void **state)
{
    static const struct {
        int status;
        cs_class_e cls;
    } table[] = {
        {200, CS_CLASS_OK},        {204, CS_CLASS_OK},       {302, CS_CLASS_SUSPEND},
        {400, CS_CLASS_REFUSED},   {401, CS_CLASS_TOKEN},    {403, CS_CLASS_REFUSED},
        {404, CS_CLASS_GONE},      {410, CS_CLASS_GONE},     {405, CS_CLASS_REFUSED},
        {408, CS_CLASS_RETRY},     {412, CS_CLASS_CONFLICT}, {413, CS_CLASS_REFUSED},
        {429, CS_CLASS_THROTTLED}, {500, CS_CLASS_RETRY},    {501, CS_CLASS_REFUSED},
        {502, CS_CLASS_RETRY},     {503, CS_CLASS_RETRY},    {504, CS_CLASS_RETRY},
    };
    apr_pool_t *p = *state;
    cs_http_request_t get = {.method = "GET", .url = "https://h.example/x", .label = "GET x"};
    cs_http_response_t r;
    cs_result_t res;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        make(&r, table[i].status, p);
        r.correlation = "client-request-id=a";
        cs_http_classify(&res, &r, &get, p);
        if (res.cls != table[i].cls) {
            fail_msg("%d is %s, not %s", table[i].status, cs_class_name(res.cls),
                     cs_class_name(table[i].cls));
        }
        assert_string_equal(res.correlation, "client-request-id=a");
    }
    make(&r, 503, p);
    r.retry_after = 5 * SEC;
    cs_http_classify(&res, &r, &get, p);
    assert_string_equal(res.problem, "http:503");
    assert_true(res.retry_at > cs_time_now() + 4 * SEC);
}

static void test_describe_is_one_bounded_line_without_secrets(void **state)
{
    apr_pool_t *p = *state;
    cs_http_request_t get = {.method = "GET", .url = "https://h.example/x", .label = "GET x"};
    cs_http_response_t r;
    char *big = apr_palloc(p, 5001);
    const char *text;

    make(&r, 400, p);
    r.reason = "Bad Request";
    assert_string_equal(cs_http_describe(&r, &get, NULL, p),
                        "GET x: h.example answered 400 Bad Request");
    assert_string_equal(cs_http_describe(&r, &get, "a\r\n\tb \x01 c\xff", p),
                        "GET x: h.example answered 400 Bad Request: a b c");
    memset(big, 'x', 5000);
    big[5000] = '\0';
    text = cs_http_describe(&r, &get, big, p);
    assert_in_range(strlen(text), 1000, 1050);
    assert_string_equal(text + strlen(text) - 4, "x\xe2\x80\xa6"); /* and says that it was cut */
    /* cut inside a character of two bytes */
    for (int i = 0; i < 5000; i += 2) {
        memcpy(big + i, "\xc3\xbc", 2);
    }
    big[0] = 'y';
    big[1] = 'y';
    memmove(big + 1, big + 2, 4999);
    text = cs_http_describe(&r, &get, big, p);
    assert_string_equal(text + strlen(text) - 5, "\xc3\xbc\xe2\x80\xa6");
    assert_has_not(cs_http_describe(&r, &get, "client_secret=hunter2 refused", p), "hunter2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_escape_keeps_unreserved_only),
        UNIT_TEST(test_form_joins_and_escapes),
        UNIT_TEST(test_origin),
        UNIT_TEST(test_limiter_starts_full_and_refills),
        UNIT_TEST(test_limiter_holds_the_rate),
        UNIT_TEST(test_limiter_without_rate_never_waits),
        UNIT_TEST(test_limiter_slows_and_recovers),
        UNIT_TEST(test_limiter_survives_a_clock_set_back),
        UNIT_TEST(test_retry_after),
        UNIT_TEST(test_correlation),
        UNIT_TEST(test_classify_by_outcome),
        UNIT_TEST(test_classify_by_status),
        UNIT_TEST(test_describe_is_one_bounded_line_without_secrets),
    };

    return UNIT_RUN(tests);
}
