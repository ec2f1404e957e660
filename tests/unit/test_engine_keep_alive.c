/* The refresh token in force: what is told of it, that a site without one waits for a sign-in, and
 * that it does not die of idleness. */
#include "unit_engine.h"

#define DAY 86400

static const char *told(void)
{
    const char *text;

    assert_ok(cs_store_meta_get(W->store, SITE, CS_FACT_TOKEN, &text, W->p, NULL));
    return text;
}

/* As token.c does when one comes. */
static void store_token(const char *value)
{
    const char *old;
    apr_int64_t version;
    cs_result_t res = {0};

    assert_ok(W->lane->vault.get(W->lane->vault.baton, CS_VAULT_REFRESH, &old, &version, W->p, &res));
    assert_ok(W->lane->vault.put(W->lane->vault.baton, CS_VAULT_REFRESH, value, version, W->p, &res));
}

static void test_site_without_a_token_waits(void **state)
{
    new_world(*state);
    W->site.pc.refresh_token = NULL;
    begin_lane();
    one_batch();
    assert_string_equal(suspended(CS_UPSTREAM_PC)->problem, "config:refresh-token");
    assert_has(suspended(CS_UPSTREAM_PC)->detail, "cosellctl login");
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    /* Said once, and not redeemed. */
    W->pc_fails = CS_CLASS_SUSPEND;
    W->pc_problem = "config:refresh-token";
    begin_lane();
    one_batch();
    pass_seconds(30 * DAY);
    one_batch();
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_int_equal(W->kept_alive, 0);
    assert_null(told());
}

static void test_site_whose_token_is_in_the_vault_does_not_wait(void **state)
{
    new_world(*state);
    W->site.pc.refresh_token = NULL;
    begin_lane();
    store_token("{\"token\":\"t\",\"seed\":\"\"}");
    one_batch();
    assert_null(suspended(CS_UPSTREAM_PC));
    assert_int_equal(W->lane->token_asked, 1);
}

static void test_what_is_told(void **state)
{
    apr_time_t before = cs_time_now();
    json_t *doc = NULL;

    new_world(*state);
    begin_lane();
    one_batch();
    assert_null(told());
    store_token("{\"token\":\"secret-token\",\"seed\":\"d\"}");
    assert_ok(cs_json_parse(&doc, told(), strlen(told()), NULL, W->p, NULL));
    assert_string_equal(cs_json_str(doc, "source"), "file");
    assert_true(cs_json_int(doc, "rotated", 0) >= before);
    assert_null(json_object_get(doc, "account"));
    assert_null(json_object_get(doc, "signed_in"));
    json_decref(doc);
    store_token("{\"token\":\"secret-token\",\"seed\":\"\",\"account\":\"a@b.example\",\"source\":\"login\","
                "\"signed_in\":77,\"ends\":99,\"public\":true}");
    assert_ok(cs_json_parse(&doc, told(), strlen(told()), NULL, W->p, NULL));
    assert_string_equal(cs_json_str(doc, "source"), "login");
    assert_string_equal(cs_json_str(doc, "account"), "a@b.example");
    assert_int_equal(cs_json_int(doc, "signed_in", 0), 77);
    assert_int_equal(cs_json_int(doc, "ends", 0), 99);
    assert_int_equal(json_object_size(doc), 5);
    json_decref(doc);
    assert_null(strstr(told(), "secret-token"));
}

static void test_redeemed_weekly_whatever_stands_still(void **state)
{
    new_world(*state);
    begin_lane();
    one_batch();
    store_token("{\"token\":\"t\",\"seed\":\"\"}");
    pass_seconds(6 * DAY - 10);
    assert_false(cs_keep_alive_due(W->lane, cs_time_now()));
    one_batch();
    assert_int_equal(W->kept_alive, 0);
    W->lane->paused = 1;
    pass_seconds(20);
    assert_true(cs_keep_alive_due(W->lane, cs_time_now()));
    one_batch();
    assert_int_equal(W->kept_alive, 1);
    /* A server that does not rotate is asked once a day from then on. */
    one_batch();
    pass_seconds(DAY - 100);
    one_batch();
    assert_int_equal(W->kept_alive, 1);
    pass_seconds(200);
    one_batch();
    assert_int_equal(W->kept_alive, 2);
    store_token("{\"token\":\"u\",\"seed\":\"\"}");
    pass_seconds(5 * DAY);
    one_batch();
    assert_int_equal(W->kept_alive, 2);
    /* How old it is outlives the runner. */
    begin_lane();
    one_batch();
    assert_int_equal(W->kept_alive, 2);
    pass_seconds(DAY);
    one_batch();
    assert_int_equal(W->kept_alive, 3);
}

static void test_failing_to_redeem(void **state)
{
    new_world(*state);
    begin_lane();
    one_batch();
    store_token("{\"token\":\"t\",\"seed\":\"\"}");
    pass_seconds(7 * DAY);
    W->pc_fails = CS_CLASS_RETRY;
    one_batch();
    assert_int_equal(W->kept_alive, 1);
    assert_null(suspended(CS_UPSTREAM_PC));
    one_batch();
    assert_int_equal(W->kept_alive, 1);
    pass_seconds(3700);
    W->pc_fails = CS_CLASS_SUSPEND;
    W->pc_problem = "oauth:invalid_grant";
    one_batch();
    assert_int_equal(W->kept_alive, 2);
    assert_string_equal(suspended(CS_UPSTREAM_PC)->problem, "oauth:invalid_grant");
    /* From here on its probes ask. */
    pass_seconds(3700);
    one_batch();
    assert_int_equal(W->kept_alive, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_site_without_a_token_waits),
        UNIT_TEST(test_site_whose_token_is_in_the_vault_does_not_wait),
        UNIT_TEST(test_what_is_told),
        UNIT_TEST(test_redeemed_weekly_whatever_stands_still),
        UNIT_TEST(test_failing_to_redeem),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
