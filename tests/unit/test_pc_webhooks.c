/* The Webhooks API: what is sent, and what its answers mean. (partner-center-api.md 1.2, 1.3) */
#include "unit_pc.h"

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/remote/partner_center/webhooks.h"

#define ROOT "/webhooks/v1/registration"
#define CORRELATION "04af0000-0000-4000-8000-000000000001"
#define REQUEST "5f0f7c54-8a57-4f0c-9b0c-3f5f6c0d1a11"

static cs_pc_hooks_t *hooks_of(pc_rig_t *r)
{
    cs_pc_hooks_t *hooks;

    r->cfg.webhooks_url = r->server->base;
    assert_ok(cs_pc_hooks_create(&hooks, &r->cfg, &r->vault, r->http, &r->limiter,
                                 &r->login_limiter, r->p));
    return hooks;
}

static cs_pc_hook_t *hook_of(const char *url, const char *events, int marked, apr_pool_t *p)
{
    cs_pc_hook_t *hook = apr_pcalloc(p, sizeof(*hook));
    char *copy = apr_pstrdup(p, events), *state;

    hook->url = url;
    hook->marked = marked;
    hook->events = apr_array_make(p, 4, sizeof(const char *));
    for (char *name = apr_strtok(copy, " ", &state); name; name = apr_strtok(NULL, " ", &state)) {
        APR_ARRAY_PUSH(hook->events, const char *) = name;
    }
    return hook;
}

static const char *joined(const apr_array_header_t *events, apr_pool_t *p)
{
    return apr_array_pstrcat(p, events, ' ');
}

static void test_reads_what_is_registered(void **state)
{
    static const char *const answers[] = {
        "{\"webhookUrl\":\"https://h.example/x\",\"webhookEvents\":[\"test-created\",\"Referral-"
        "Created\"],\"lastModifiedTimestamp\":\"2026-01-01T00:00:00Z\"}",
        "{\"WebhookUrl\":\"https://h.example/x\",\"WebhookEvents\":[\"test-created\",\"test-"
        "created\",null,7,\"\",\"Referral-Created\"]}"};
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_result_t res = {0};
    cs_pc_hook_t *hook;

    for (int i = 0; i < 2; i++) {
        pc_will(r, "200 OK", answers[i]);
        assert_ok(cs_pc_hooks_read(hooks, &hook, 0, p, &res));
        assert_string_equal(hook->url, "https://h.example/x");
        assert_string_equal(joined(hook->events, p), "test-created Referral-Created");
        assert_int_equal(hook->marked, -1);
    }
    assert_string_equal(r->server->ops[0].path, ROOT);
    assert_string_equal(r->server->ops[0].method, "GET");
    assert_string_equal(pc_sent(r, 0, "MS-Contract-Version"), "v1");
    assert_true(cs_uuid_valid(pc_sent(r, 0, "MS-CorrelationId"), 36));
    assert_true(cs_uuid_valid(pc_sent(r, 0, "MS-RequestId"), 36));
    assert_string_not_equal(pc_sent(r, 0, "MS-RequestId"), pc_sent(r, 1, "MS-RequestId"));
    /* a token of its own, for this API */
    assert_non_null(strstr(r->server->last_token_form,
                           "scope=https%3A%2F%2Fapi.partnercenter.microsoft.com%2F.default"));
    assert_int_equal(r->server->n_tokens, 1);
    pc_stop(r);
}

static void test_flag_in_any_form(void **state)
{
    static const struct {
        const char *text;
        int marked;
    } forms[] = {{"true", 1}, {"false", 0}, {"\"True\"", 1}, {"\"false\"", 0}, {"null", -1}};
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_result_t res = {0};
    cs_pc_hook_t *hook;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        pc_will(r, "200 OK",
                apr_psprintf(p, "{\"WebhookUrl\":\"https://h/\",\"WebhookEvents\":[],"
                                "\"signatureTokenToMsSignatureHeader\":%s}",
                             forms[i].text));
        assert_ok(cs_pc_hooks_read(hooks, &hook, 0, p, &res));
        assert_int_equal(hook->marked, forms[i].marked);
    }
    pc_stop(r);
}

static void test_none_has_many_forms(void **state)
{
    static const char *const heads[] = {"404 Not Found", "204 No Content", "200 OK", "200 OK",
                                        "200 OK", "410 Gone"};
    static const char *const bodies[] = {"{\"code\":\"3004\",\"description\":\"none\"}", "", "",
                                         "{}", "{\"webhookUrl\":\"\"}", ""};
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_result_t res = {0};
    cs_pc_hook_t *hook;

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        pc_will(r, heads[i], bodies[i]);
        assert_ok(cs_pc_hooks_read(hooks, &hook, 0, p, &res));
        assert_null(hook);
        assert_int_equal(res.cls, CS_CLASS_OK);
    }
    pc_stop(r);
}

static void test_what_is_no_registration(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_result_t res = {0};
    cs_pc_hook_t *hook;

    pc_will(r, "200 OK", "<html>service unavailable</html>");
    assert_int_not_equal(cs_pc_hooks_read(hooks, &hook, 0, p, &res), APR_SUCCESS);
    pc_expect(&res, CS_CLASS_RETRY, "pc:answer");
    pc_will(r, "200 OK", "[]");
    assert_int_not_equal(cs_pc_hooks_read(hooks, &hook, 0, p, &res), APR_SUCCESS);
    pc_expect(&res, CS_CLASS_RETRY, "pc:answer");
    assert_null(hook);
    pc_stop(r);
}

static void test_events(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    apr_array_header_t *events;
    cs_result_t res = {0};

    pc_will(r, "200 OK", "[\"test-created\",\"invoice-ready\"]");
    assert_ok(cs_pc_hooks_events(hooks, &events, 0, p, &res));
    assert_string_equal(joined(events, p), "test-created invoice-ready");
    assert_string_equal(r->server->ops[0].path, ROOT "/events");
    pc_will(r, "200 OK", "{}");
    assert_int_not_equal(cs_pc_hooks_events(hooks, &events, 0, p, &res), APR_SUCCESS);
    pc_expect(&res, CS_CLASS_RETRY, "pc:answer");
    pc_stop(r);
}

static void test_registers(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_pc_hook_t *hook = hook_of("https://h.example/x", "test-created referral-created", 1, p);
    cs_result_t res = {0};

    pc_will(r, "200 OK", "{\"subscriberId\":\"1\"}");
    assert_ok(cs_pc_hooks_write(hooks, hook, 0, REQUEST, 0, p, &res));
    assert_string_equal(r->server->ops[0].method, "POST");
    assert_string_equal(pc_sent(r, 0, "MS-RequestId"), REQUEST);
    assert_string_equal(pc_sent(r, 0, "Content-Type"), "application/json");
    assert_string_equal(r->server->ops[0].body,
                        "{\"SignatureTokenToMsSignatureHeader\":true,\"WebhookEvents\":[\"test-"
                        "created\",\"referral-created\"],\"WebhookUrl\":\"https://h.example/x\"}");
    pc_will(r, "200 OK", "");
    hook->marked = -1;
    assert_ok(cs_pc_hooks_write(hooks, hook, 1, REQUEST, 0, p, &res));
    assert_string_equal(r->server->ops[1].method, "PUT");
    assert_null(strstr(r->server->ops[1].body, "Signature"));
    pc_stop(r);
}

/* 409 is PUT, 404 is POST, once; the second request has an id of its own. */
static void test_the_other_way(void **state)
{
    static const char *const first[] = {"409 Conflict", "404 Not Found"};
    apr_pool_t *p = *state;
    cs_pc_hook_t *hook = hook_of("https://h.example/x", "test-created", 1, p);
    cs_result_t res = {0};

    for (int replace = 0; replace < 2; replace++) {
        pc_rig_t *r = pc_rig(p);
        cs_pc_hooks_t *hooks = hooks_of(r);

        pc_will(r, first[replace], "{\"code\":\"1\",\"description\":\"x\"}");
        pc_will(r, "200 OK", "{}");
        assert_ok(cs_pc_hooks_write(hooks, hook, replace, REQUEST, 0, p, &res));
        assert_string_equal(r->server->ops[1].method, replace ? "POST" : "PUT");
        assert_string_equal(r->server->ops[1].body, r->server->ops[0].body);
        assert_string_not_equal(pc_sent(r, 1, "MS-RequestId"), REQUEST);
        pc_will(r, first[replace], "{}");
        pc_will(r, first[!replace], "{}");
        assert_int_not_equal(cs_pc_hooks_write(hooks, hook, replace, REQUEST, 0, p, &res),
                             APR_SUCCESS);
        pc_stop(r);
    }
}

static void test_classes(void **state)
{
    static const struct {
        const char *head, *body;
        cs_class_e cls;
        const char *problem, *words;
    } cases[] = {
        {"400 Bad Request", "{\"code\":\"3001\",\"description\":\"WebhookUrl must be https.\"}",
         CS_CLASS_REFUSED, "pc:3001", "WebhookUrl must be https."},
        {"403 Forbidden", "{\"code\":\"2001\",\"description\":\"No role.\"}", CS_CLASS_SUSPEND,
         "pc:2001", "Referrals admin, or, where that is refused, Admin agent, Sales agent, "
                    "Helpdesk agent or Billing admin"},
        {"429 Too Many Requests\r\nRetry-After: 57", "{\"statusCode\":429,\"message\":\"x\"}",
         CS_CLASS_THROTTLED, "throttled", NULL},
        {"500 Internal Server Error", "{}", CS_CLASS_RETRY, NULL, NULL},
        {"405 Method Not Allowed", "", CS_CLASS_REFUSED, NULL, NULL},
    };
    apr_pool_t *p = *state;
    cs_pc_hook_t *hook = hook_of("https://h.example/x", "test-created", 1, p);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_rig_t *r = pc_rig(p);
        cs_pc_hooks_t *hooks = hooks_of(r);
        cs_result_t res = {0};

        pc_will(r, cases[i].head, cases[i].body);
        assert_int_not_equal(cs_pc_hooks_write(hooks, hook, 1, REQUEST, 0, p, &res), APR_SUCCESS);
        pc_expect(&res, cases[i].cls, cases[i].problem);
        assert_true(!cases[i].words || strstr(res.detail, cases[i].words));
        assert_null(strstr(res.detail, "Bearer"));
        pc_stop(r);
    }
}

static void test_without_multi_factor(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_result_t res = {0};
    cs_pc_hook_t *hook;

    for (int i = 0; i < 2; i++) {
        pc_will(r, "401 Unauthorized - MFA required",
                "{\"code\":\"900421\",\"description\":\"MFA required\"}");
    }
    assert_int_not_equal(cs_pc_hooks_read(hooks, &hook, 0, p, &res), APR_SUCCESS);
    pc_expect(&res, CS_CLASS_SUSPEND, "pc:mfa");
    assert_non_null(strstr(res.detail, "multi-factor"));
    pc_stop(r);
}

static void test_test_event(void **state)
{
    static const char *const bodies[] = {"{\"correlationId\":\"04AF0000-0000-4000-8000-"
                                         "000000000001\"}",
                                         "{\"CorrelationId\":\"" CORRELATION "\"}",
                                         "\"" CORRELATION "\""};
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_result_t res = {0};
    const char *id;

    for (int i = 0; i < 3; i++) {
        pc_will(r, "200 OK", bodies[i]);
        assert_ok(cs_pc_hooks_test(hooks, REQUEST, &id, 0, p, &res));
        assert_string_equal(id, CORRELATION);
        assert_string_equal(r->server->ops[i].path, ROOT "/validationEvents");
        assert_string_equal(r->server->ops[i].method, "POST");
        assert_string_equal(pc_sent(r, i, "Content-Length"), "0");
        assert_string_equal(pc_sent(r, i, "MS-RequestId"), REQUEST);
    }
    pc_will(r, "200 OK", "{}");
    assert_int_not_equal(cs_pc_hooks_test(hooks, REQUEST, &id, 0, p, &res), APR_SUCCESS);
    pc_expect(&res, CS_CLASS_UNKNOWN, "pc:answer");
    assert_null(id);
    pc_will(r, "429 Too Many Requests\r\nRetry-After: 31", "{\"statusCode\":429}");
    assert_int_not_equal(cs_pc_hooks_test(hooks, REQUEST, &id, 0, p, &res), APR_SUCCESS);
    pc_expect(&res, CS_CLASS_THROTTLED, "throttled");
    assert_non_null(strstr(res.detail, "two test events a minute"));
    assert_in_range(res.retry_at, cs_time_now() + 25 * APR_USEC_PER_SEC,
                    cs_time_now() + 31 * APR_USEC_PER_SEC);
    pc_stop(r);
}

static void test_what_came_of_it(void **state)
{
    static const struct {
        const char *body, *status, *answer;
        int attempts, good;
    } cases[] = {
        {"{\"status\":\"Submitted\",\"results\":[]}", "Submitted", NULL, 0, 0},
        {"{\"status\":\"completed\",\"results\":[{\"responseCode\":\"NotFound\"},{"
         "\"responseCode\":\"OK\",\"responseMessage\":\"\"}]}",
         "completed", "OK", 2, 1},
        {"{\"Status\":\"completed\",\"Results\":[{\"ResponseCode\":\"200\"}]}", "completed", "200",
         1, 1},
        {"{\"status\":\"failed\",\"results\":[{\"responseCode\":\"\",\"systemError\":true,"
         "\"responseMessage\":\"connection\\nrefused\"}]}",
         "failed", "connection refused", 1, 0},
        {"{\"results\":[{}]}", "", "no connection", 1, 0},
        {"{\"status\":\"failed\",\"results\":[{\"responseCode\":\"NotFound\",\"responseMessage\":"
         "\"x\"}]}",
         "failed", "NotFound: x", 1, 0},
    };
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_hooks_t *hooks = hooks_of(r);
    cs_pc_tested_t *tested;
    cs_result_t res = {0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_will(r, "200 OK", cases[i].body);
        assert_ok(cs_pc_hooks_tested(hooks, CORRELATION, &tested, 0, p, &res));
        assert_string_equal(tested->status, cases[i].status);
        assert_int_equal(tested->attempts, cases[i].attempts);
        assert_int_equal(tested->good, cases[i].good);
        if (cases[i].answer) {
            assert_string_equal(tested->answer, cases[i].answer);
        }
        else {
            assert_null(tested->answer);
        }
    }
    assert_string_equal(r->server->ops[0].path, ROOT "/validationEvents/" CORRELATION);
    pc_will(r, "404 Not Found", "{}");
    assert_ok(cs_pc_hooks_tested(hooks, CORRELATION, &tested, 0, p, &res));
    assert_null(tested);
    pc_stop(r);
}

static void test_which_base(void **state)
{
    static const char *const ends[] = {"", "/", "/webhooks/v1", "/webhooks/v1/"};
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        pc_rig_t *r = pc_rig(p);
        cs_result_t res = {0};
        cs_pc_hooks_t *hooks;
        cs_pc_hook_t *hook;

        r->cfg.webhooks_url = apr_pstrcat(p, r->server->base, ends[i], NULL);
        assert_ok(cs_pc_hooks_create(&hooks, &r->cfg, &r->vault, r->http, &r->limiter,
                                     &r->login_limiter, p));
        pc_will(r, "404 Not Found", "");
        assert_ok(cs_pc_hooks_read(hooks, &hook, 0, p, &res));
        assert_string_equal(r->server->ops[0].path, ROOT);
        pc_stop(r);
    }
}

static void test_addresses(void **state)
{
    static const char *const good[] = {"https://h.example/x", "https://h.example:8443/x?y=z",
                                       "http://127.0.0.1:8080/x", "http://localhost/x",
                                       "https://h.example"};
    static const char *const bad[] = {"", "h.example/x", "http://h.example/x", "ftp://h.example/",
                                      "https://u:p@h.example/", "https://h.example/x y",
                                      "https://h.example/x#y", "https://h.example/\xc3\xa4",
                                      "https://h.example/x\n"};
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(cs_pc_hook_url_wrong(good[i], p));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(cs_pc_hook_url_wrong(bad[i], p));
    }
    char *text = apr_pcalloc(p, CS_PC_HOOK_URL_MAX + 2);
    memset(text, 'a', CS_PC_HOOK_URL_MAX + 1);
    memcpy(text, "https://h/", 10);
    assert_non_null(strstr(cs_pc_hook_url_wrong(text, p), "1000"));
}

static void test_how_addresses_are_shown(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(cs_pc_hook_url_shown("https://H.example:443/a/b?sig=geheim", p),
                        "https://h.example/a/b...");
    assert_string_equal(cs_pc_hook_url_shown("https://h.example/a", p), "https://h.example/a");
    assert_null(strstr(cs_pc_hook_url_shown("https://u:geheim@h.example/a", p), "geheim"));
    assert_true(cs_pc_hook_url_same("HTTPS://H.example:443/a", "https://h.example/a", p));
    assert_false(cs_pc_hook_url_same("https://h.example/a", "https://h.example/A", p));
    assert_false(cs_pc_hook_url_same("https://h.example/a", "https://h.example/a?x", p));
    assert_false(cs_pc_hook_url_same("https://h.example/a", "https://i.example/a", p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_reads_what_is_registered), UNIT_TEST(test_flag_in_any_form),
        UNIT_TEST(test_none_has_many_forms),      UNIT_TEST(test_what_is_no_registration),
        UNIT_TEST(test_events),                   UNIT_TEST(test_registers),
        UNIT_TEST(test_the_other_way),            UNIT_TEST(test_classes),
        UNIT_TEST(test_without_multi_factor),     UNIT_TEST(test_test_event),
        UNIT_TEST(test_what_came_of_it),          UNIT_TEST(test_which_base),
        UNIT_TEST(test_addresses),                UNIT_TEST(test_how_addresses_are_shown),
    };

    return UNIT_RUN(tests);
}
