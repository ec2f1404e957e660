/* traceparent: strict syntax, later versions, and spans of our own. (base/trace.h) */
#include "unit_pc.h"

#include "mod_cosell/base/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define GOOD "00-" ID "-" SPAN "-01"

static void test_reads(void **state)
{
    static const struct {
        const char *header, *trace;
    } cases[] = {
        {GOOD, GOOD},
        {"00-" ID "-" SPAN "-00", "00-" ID "-" SPAN "-00"},
        {"00-" ID "-" SPAN "-ff", GOOD},
        {"00-" ID "-" SPAN "-02", "00-" ID "-" SPAN "-00"},
        {"01-" ID "-" SPAN "-01", GOOD},
        {"cc-" ID "-" SPAN "-01-what-the-future-will-be-like", GOOD},
        {"fe-" ID "-" SPAN "-00-", "00-" ID "-" SPAN "-00"},
    };
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(cs_trace_parse(cases[i].header, p), cases[i].trace);
    }
}

static void test_refuses(void **state)
{
    static const char *const cases[] = {
        NULL,
        "",
        "00",
        "ff-" ID "-" SPAN "-01",
        "00-" ID "-" SPAN "-01-more",
        "00-" ID "-" SPAN "-0",
        "00-" ID "-" SPAN "-0g",
        "00-" ID "-" SPAN "-0G",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" ID "-0000000000000000-01",
        "0 -" ID "-" SPAN "-01",
        "00_" ID "-" SPAN "-01",
        "00-" ID "_" SPAN "-01",
        "00-" ID "-" SPAN "_01",
        "01-" ID "-" SPAN "-01.more",
        "01-" ID "-" SPAN "-012",
        " " GOOD,
        GOOD " ",
        GOOD ", " GOOD,
        "cc-" ID "-" SPAN "-01, " GOOD,
        "00-" ID "\n" SPAN "-01",
    };
    apr_pool_t *p = *state;
    char *text = apr_pcalloc(p, 1024);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(cs_trace_parse(cases[i], p));
    }
    memset(text, 'x', 1000);
    memcpy(text, "01-" ID "-" SPAN "-01-", 56);
    assert_null(cs_trace_parse(text, p));
    text[400] = '\0';
    assert_string_equal(cs_trace_parse(text, p), GOOD);
}

static void test_own(void **state)
{
    apr_pool_t *p = *state;
    const char *one = cs_trace_new(p), *two = cs_trace_new(p), *span = cs_trace_span(GOOD, p);

    assert_string_equal(cs_trace_parse(one, p), one);
    assert_string_not_equal(cs_trace_id(one, p), cs_trace_id(two, p));
    assert_string_equal(cs_trace_parse(span, p), span);
    assert_string_equal(cs_trace_id(span, p), ID);
    assert_int_equal(strncmp(span, GOOD, 36), 0);
    assert_string_not_equal(span, GOOD);
    assert_string_equal(span + 52, "-01");
    assert_string_not_equal(span, cs_trace_span(GOOD, p));
}

/* On the wire: a request's own trace, else the transport's, else none; a span for each. */
static void test_sent(void **state)
{
    static const char other[] = "00-11111111111111111111111111111111-" SPAN "-00";
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_http_request_t requests[2] = {{0}, {0}};
    cs_http_response_t responses[2];

    for (int i = 0; i < 2; i++) {
        requests[i].method = "GET";
        requests[i].url = apr_pstrcat(p, r->server->base, "/x", NULL);
    }
    for (int i = 0; i < 6; i++) {
        pc_will(r, "200 OK", "");
    }
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 2, 0, p));
    cs_http_trace(r->http, GOOD);
    requests[1].trace = other;
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 2, 0, p));
    cs_http_trace(r->http, NULL);
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 2, 0, p));
    assert_null(pc_sent(r, 0, CS_TRACE_HEADER));
    assert_null(pc_sent(r, 1, CS_TRACE_HEADER));
    assert_string_equal(cs_trace_id(pc_sent(r, 2, CS_TRACE_HEADER), p), ID);
    assert_string_not_equal(pc_sent(r, 2, CS_TRACE_HEADER), GOOD);
    assert_string_equal(cs_trace_id(pc_sent(r, 3, CS_TRACE_HEADER), p),
                        "11111111111111111111111111111111");
    assert_null(pc_sent(r, 4, CS_TRACE_HEADER));
    assert_non_null(pc_sent(r, 5, CS_TRACE_HEADER));
    pc_stop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_reads),
        UNIT_TEST(test_refuses),
        UNIT_TEST(test_own),
        UNIT_TEST(test_sent),
    };

    return UNIT_RUN(tests);
}
