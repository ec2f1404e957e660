/* Bodies of authentic callbacks. (partner-center-api.md 1.5) */
#include "unit.h"

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/partner_center/partner_center.h"

#define ID "c5fb0000-0000-0000-0000-000000000003"
#define URI "https://api.partnercenter.microsoft.com/engagements/v1/referrals/"

static cs_pc_event_t decode(const char *text, apr_pool_t *p)
{
    size_t len = strlen(text);
    char *exact = unit_exact(text, len);
    cs_pc_event_t event;
    cs_result_t res = {0};

    assert_ok(cs_pc_event_decode(&event, exact, len, p, &res));
    free(exact);
    return event;
}

static void test_sample_event(void **state)
{
    cs_pc_event_t e = decode("{\"EventName\":\"referral-updated\",\"ResourceUri\":\"" URI ID
                             "\",\"ResourceName\":\"referral\",\"AuditUri\":null,"
                             "\"ResourceChangeUtcDate\":\"2025-02-17T00:05:39.5485487+00:00\"}",
                             *state);
    apr_time_t t;

    assert_string_equal(e.name, "referral-updated");
    assert_string_equal(e.referral_id, ID);
    assert_true(e.is_referral);
    assert_false(e.is_test);
    assert_ok(cs_time_parse(&t, "2025-02-17T00:05:39.5485487+00:00"));
    assert_int_equal(e.changed, t);
}

static void test_names(void **state)
{
    static const char *const referral[] = {"referral-created", "referral-updated",
                                           "related-referral-created", "Related-Referral-Updated"};
    static const char *const other[] = {"test-created", "referral-deleted", "subscription-updated",
                                        "referral-created ", ""};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < 4; i++) {
        assert_true(decode(apr_psprintf(p, "{\"eventName\":\"%s\"}", referral[i]), p).is_referral);
    }
    for (i = 0; i < 5; i++) {
        assert_false(decode(apr_psprintf(p, "{\"eventName\":\"%s\"}", other[i]), p).is_referral);
    }
    assert_true(decode("{\"EVENTNAME\":\"test-created\"}", p).is_test);
}

static void test_what_is_missing_is_empty(void **state)
{
    cs_pc_event_t e = decode("{\"EventName\":7,\"ResourceUri\":null,\"ResourceChangeUtcDate\":"
                             "\"yesterday\",\"New\":{\"a\":[1]}}",
                             *state);

    assert_string_equal(e.name, "");
    assert_null(e.referral_id);
    assert_int_equal(e.changed, 0);
}

static void test_uri_yields_a_guid_or_nothing(void **state)
{
    static const char *const good[] = {URI "C5FB0000-0000-0000-0000-000000000003",
                                       "http://evil.example/x/" ID "?a=b", "/" ID, URI ID "/",
                                       URI ID "#f"};
    static const char *const bad[] = {
        "", ID, URI, URI "1" ID, URI ID "x", URI "..%2f" ID "%00", URI "{" ID "}", "x?y=/" ID};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_string_equal(
            decode(apr_psprintf(p, "{\"ResourceUri\":\"%s\"}", good[i]), p).referral_id, ID);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (decode(apr_psprintf(p, "{\"ResourceUri\":\"%s\"}", bad[i]), p).referral_id) {
            fail_msg("%s yields a GUID", bad[i]);
        }
    }
}

static void test_long_name_is_cut_between_characters(void **state)
{
    apr_pool_t *p = *state;
    char *name = apr_palloc(p, 301);
    cs_pc_event_t e;

    for (int i = 0; i < 300; i += 2) {
        memcpy(name + i, "\xc3\xbc", 2);
    }
    name[300] = '\0';
    e = decode(apr_psprintf(p, "{\"EventName\":\"x%s\"}", name), p);
    assert_int_equal(strlen(e.name), 127);
}

static void test_what_is_no_event(void **state)
{
    static const char *const bad[] = {"",       "[]",
                                      "\"x\"",  "null",
                                      "{",      "\xef\xbb\xbf{}",
                                      "{}x",    "{\"a\":1,\"a\":2}",
                                      "<html>", "{\"EventName\":\"\xff\"}"};
    apr_pool_t *p = *state;
    cs_pc_event_t event;
    char *deep = apr_palloc(p, 2001);
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cs_result_t res = {0};

        if (cs_pc_event_decode(&event, bad[i], strlen(bad[i]), p, &res) != CS_EPARSE ||
            !res.detail) {
            fail_msg("\"%s\" was accepted or not explained", bad[i]);
        }
    }
    memset(deep, '[', 2000);
    deep[2000] = '\0';
    assert_int_equal(cs_pc_event_decode(&event, deep, 2000, p, NULL), CS_EPARSE);
}

static void test_card(void **state)
{
    apr_pool_t *p = *state;
    json_t *doc =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:i}", "Id", "C5FB0000-0000-0000-0000-000000000003",
                  "engagementId", ID, "organizationId", "MSFT", "eTag", "\"84001c9d\"",
                  "updatedDateTime", "2025-02-17T00:05:39.5485487Z", "unknown", 1);
    cs_card_t *card = cs_pc_card_of(doc, p);
    json_t *none = json_pack("{s:s}", "id", "nonsense");

    assert_non_null(card);
    assert_string_equal(card->id, ID);
    assert_string_equal(card->engagement_id, ID);
    assert_string_equal(card->organization_id, "msft");
    assert_string_equal(card->etag, "\"84001c9d\"");
    assert_true(card->updated > 0);
    json_decref(doc);
    assert_int_equal(cs_json_int(card->doc, "unknown", 0), 1);
    assert_null(cs_pc_card_of(none, p));
    json_decref(none);
    assert_null(cs_pc_card_of(NULL, p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_sample_event),
        UNIT_TEST(test_names),
        UNIT_TEST(test_what_is_missing_is_empty),
        UNIT_TEST(test_uri_yields_a_guid_or_nothing),
        UNIT_TEST(test_long_name_is_cut_between_characters),
        UNIT_TEST(test_what_is_no_event),
        UNIT_TEST(test_card),
    };

    return UNIT_RUN(tests);
}
