#include "unit.h"

#include <errno.h>

#include "mod_cosell/base/log.h"

typedef struct heard_t {
    int lines;
    cs_log_level_e level;
    apr_status_t rv;
    char site[32];
    char text[5000];
} heard_t;

static heard_t heard;

static void hear(void *baton, cs_log_level_e level, apr_status_t rv, const char *site, const char *message)
{
    heard_t *h = baton;

    h->lines++;
    h->level = level;
    h->rv = rv;
    apr_cpystrn(h->site, site ? site : "(none)", sizeof(h->site));
    apr_cpystrn(h->text, message, sizeof(h->text));
}

static int up_to_info(void *baton, cs_log_level_e level, const char *site)
{
    (void)baton;
    return level <= (site && !strcmp(site, "loud") ? CS_LOG_DEBUG : CS_LOG_INFO);
}

static void begin(void)
{
    memset(&heard, 0, sizeof(heard));
    cs_log_set(hear, up_to_info, &heard);
}

static void test_log_goes_nowhere_before_a_printer_is_set(void **state)
{
    (void)state;
    cs_log_set(NULL, NULL, NULL);
    assert_int_equal(cs_log_enabled(CS_LOG_EMERG, NULL), 0);
    cs_log(CS_LOG_EMERG, 0, NULL, "nobody hears %d", 1);
    cs_log_set(hear, NULL, &heard);
    assert_int_equal(cs_log_enabled(CS_LOG_TRACE4, NULL), 1);
}

static void test_log_passes_level_site_and_status(void **state)
{
    (void)state;
    begin();
    cs_log(CS_LOG_WARNING, ENOENT, "acme", CSLOGNO(6001) "could not open %s", "x");
    assert_int_equal(heard.lines, 1);
    assert_int_equal(heard.level, CS_LOG_WARNING);
    assert_int_equal(heard.rv, ENOENT);
    assert_string_equal(heard.site, "acme");
    assert_string_equal(heard.text, "CS6001: could not open x: No such file or directory");
    cs_log(CS_LOG_DEBUG, 0, "acme", "not this");
    assert_int_equal(heard.lines, 1);
    cs_log(CS_LOG_DEBUG, 0, "loud", "but this");
    assert_int_equal(heard.lines, 2);
    cs_log(CS_LOG_ERR, CS_EFULL, NULL, "could not append");
    assert_string_equal(heard.text, "could not append: no space left for the store");
}

static void test_log_escapes_and_cuts(void **state)
{
    apr_pool_t *p = *state;
    char *big = apr_palloc(p, 10001);
    apr_size_t i;

    begin();
    cs_log(CS_LOG_INFO, 0, NULL, "a\nb\x1b[31m\x7f\tc");
    assert_string_equal(heard.text, "a\\x0ab\\x1b[31m\\x7f\\x09c");
    memset(big, 'x', 10000);
    big[10000] = '\0';
    cs_log(CS_LOG_INFO, EIO, NULL, "%s", big);
    assert_int_equal(strlen(heard.text), 4095);
    memset(big, '\n', 10000);
    cs_log(CS_LOG_INFO, 0, NULL, "%s", big);
    assert_true(strlen(heard.text) > 4088 && strlen(heard.text) < 4096);
    /* a two-byte character at the cut is not split */
    for (i = 0; i < 10000; i += 2) {
        memcpy(big + i, "\xc3\xa4", 2);
    }
    memset(big, '\n', 1);
    big[1] = 'y';
    cs_log(CS_LOG_INFO, 0, NULL, "%s", big);
    assert_int_equal((unsigned char)heard.text[strlen(heard.text) - 1], 0xa4);
}

static void test_redact_takes_every_form(void **state)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        { "grant_type=refresh_token&client_secret=abc&scope=x", "grant_type=refresh_token&client_secret=[redacted]&scope=x" },
        { "?code=0.AX&state=1", "?code=[redacted]&state=1" },
        { "refresh_token=a%2Bb", "refresh_token=[redacted]" },
        { "client_secret%3Dabc&x=1", "client_secret%3D[redacted]&x=1" },
        { "Authorization: Bearer ey.J.x\r\nHost: h", "Authorization: [redacted]\r\nHost: h" },
        { "x-ms-signature: Signature AAAA==", "x-ms-signature: [redacted]" },
        { "{\"access_token\":\"e\\\"y\",\"expires_in\":3599}", "{\"access_token\":\"[redacted]\",\"expires_in\":3599}" },
        { "{\"Password\" : \"p\" }", "{\"Password\" : \"[redacted]\" }" },
        { "{\"refresh_token\":12345,\"a\":1}", "{\"refresh_token\":[redacted],\"a\":1}" },
        { "{\"client_secret\":[\"a\",\"b\"]}", "{\"client_secret\":[redacted]" },
        { "{\"m\":\"{\\\"refresh_token\\\":\\\"abc\\\",\\\"n\\\":1}\"}",
          "{\"m\":\"{\\\"refresh_token\\\":\\\"[redacted]\\\",\\\"n\\\":1}\"}" },
        { "{\"error\":{\"code\":\"0x80060892\"}}", "{\"error\":{\"code\":\"0x80060892\"}}" },
        { "<SessionId>00D!AQ</SessionId><a/>", "<SessionId>[redacted]</SessionId><a/>" },
        { "sent bearer abc.def, then", "sent bearer [redacted], then" },
        { "password=\"a b\" next", "password=\"[redacted]\" next" },
        { "client_assertion=e.y.J&x", "client_assertion=[redacted]&x" },
        { "my_password_hint=blue", "my_password_hint=blue" },
        { "status code: 401", "status code: 401" },
        { "token expired", "token expired" },
        { "", "" },
    };
    apr_pool_t *p = *state;
    apr_size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(cs_log_redact(cases[i].text, 4096, p), cases[i].want);
    }
    assert_string_equal(cs_log_redact(NULL, 10, p), "");
}

static void test_redact_cuts_after_redacting(void **state)
{
    apr_pool_t *p = *state;
    const char *cut;
    apr_size_t max;

    assert_string_equal(cs_log_redact("abcdef", 3, p), "abc");
    assert_string_equal(cs_log_redact("ab\xc3\xa4", 3, p), "ab");
    assert_string_equal(cs_log_redact("abc", 0, p), "");
    for (max = 0; max < 60; max++) {
        cut = cs_log_redact("a=1&password=SECRETVALUE&b=\xe2\x82\xac\xe2\x82\xac", max, p);
        assert_true(strlen(cut) <= max);
        assert_has_not(cut, "SEC");
    }
    assert_true(strlen(cs_log_redact("sid=1", (apr_size_t)-2, p)) == 14);
}

static void test_state_speaks_on_change_and_per_interval(void **state)
{
    cs_log_state_t st;
    unsigned long suppressed = 77;
    int i;

    (void)state;
    memset(&st, 0, sizeof(st));
    assert_int_equal(cs_log_state_changed(&st, NULL, apr_time_from_sec(60), NULL), 0);
    assert_int_equal(cs_log_state_changed(&st, "refused", apr_time_from_sec(60), &suppressed), 1);
    assert_int_equal(suppressed, 0);
    for (i = 0; i < 5; i++) {
        assert_int_equal(cs_log_state_changed(&st, "refused", apr_time_from_sec(60), &suppressed), 0);
    }
    assert_int_equal(cs_log_state_changed(&st, "timed out", apr_time_from_sec(60), &suppressed), 1);
    assert_int_equal(suppressed, 5);
    assert_int_equal(cs_log_state_changed(&st, "timed out", 0, &suppressed), 1);
    assert_int_equal(cs_log_state_changed(&st, "timed out", apr_time_from_sec(60), NULL), 0);
    assert_int_equal(cs_log_state_changed(&st, NULL, apr_time_from_sec(60), &suppressed), 1);
    assert_int_equal(suppressed, 1);
    assert_int_equal(cs_log_state_changed(&st, NULL, 0, NULL), 0);
}

static void test_state_compares_long_reasons_as_kept(void **state)
{
    cs_log_state_t st;
    char reason[400];

    (void)state;
    memset(&st, 0, sizeof(st));
    memset(reason, 'r', sizeof(reason));
    reason[399] = '\0';
    assert_int_equal(cs_log_state_changed(&st, reason, apr_time_from_sec(60), NULL), 1);
    assert_int_equal(cs_log_state_changed(&st, reason, apr_time_from_sec(60), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_log_goes_nowhere_before_a_printer_is_set),
        UNIT_TEST(test_log_passes_level_site_and_status),
        UNIT_TEST(test_log_escapes_and_cuts),
        UNIT_TEST(test_redact_takes_every_form),
        UNIT_TEST(test_redact_cuts_after_redacting),
        UNIT_TEST(test_state_speaks_on_change_and_per_interval),
        UNIT_TEST(test_state_compares_long_reasons_as_kept),
    };

    return UNIT_RUN(tests);
}
