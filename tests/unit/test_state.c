#include "unit_deal.h"

static const cs_mapping_kind_t *profile(apr_pool_t *p)
{
    return cs_mapping_kind(deal_mapping(p, NULL), "opportunity");
}

static void test_names_of_states(void **state)
{
    static const struct {
        const char *doc, *name;
    } cases[] = {
        { "{\"status\":\"New\",\"substatus\":\"Pending\"}", "New/Pending" },
        { "{\"status\":\"Active\"}", "Active" },
        { "{\"status\":\"Active\",\"substatus\":null}", "Active" },
        { "{\"status\":\"New\",\"substatus\":\"None\"}", "New" },
        { "{\"status\":\"Paused\",\"substatus\":\"Odd\"}", "Paused/Odd" },
        { "{}", "" },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cs_card_t card = { .doc = deal_json(*state, cases[i].doc) };

        assert_string_equal(cs_state_of_card(&card, *state), cases[i].name);
    }
    assert_int_equal(cs_state_is_terminal("Closed"), 1);
    assert_int_equal(cs_state_is_terminal("Closed/Expired"), 1);
    assert_int_equal(cs_state_is_terminal("ClosedSoon"), 0);
    assert_int_equal(cs_state_is_terminal("Active/Accepted"), 0);
    assert_int_equal(cs_state_is_terminal(NULL), 0);
}

static void test_the_machine(void **state)
{
    static const char *const all[] = { "New/Pending", "New/Received", "Active/Accepted", "Closed/Won", "Closed/Lost", "Closed/Declined", "Closed/Expired", "Closed/Error" };
    size_t i, j;

    (void)state;
    for (i = 0; i < 8; i++) {
        assert_int_equal(cs_state_may_move(NULL, all[i]), 1);
        for (j = 0; j < 8; j++) {
            /* New anywhere, Active not back, Closed nowhere. */
            int may = i < 2 ? 1 : i == 2 ? j >= 2 : i == j;

            if (cs_state_may_move(all[i], all[j]) != may) {
                fail_msg("%s -> %s", all[i], all[j]);
            }
        }
    }
    assert_int_equal(cs_state_may_move("New", "Active/Won"), 0);
    assert_int_equal(cs_state_may_move("New", "Closed/Wo"), 0);
    assert_int_equal(cs_state_may_move("New", "Clos"), 0);
    assert_int_equal(cs_state_may_move("New", "Paused"), 0);
    assert_int_equal(cs_state_may_move("New", NULL), 0);
    assert_int_equal(cs_state_may_move("Paused", "Active"), 0);
}

static const char *heard(const cs_mapping_kind_t *kind, const char *pc, const char *row, apr_pool_t *p)
{
    const cs_heard_t *h = cs_state_hear(kind, pc, deal_json(p, row), NULL, p);

    return h ? apr_array_pstrcat(p, h->actions, '+') : "nothing";
}

static void test_hear(void **state)
{
    apr_pool_t *p = *state;
    const cs_mapping_kind_t *kind = profile(p);
    const cs_heard_t *h;

    assert_string_equal(heard(kind, "New/Pending", "{\"statecode\":0,\"statuscode\":2}", p), "wait");
    assert_string_equal(heard(kind, "New/Received", "{\"statecode\":0,\"statuscode\":1}", p), "accept");
    assert_string_equal(heard(kind, "New/Pending", "{\"statecode\":1,\"statuscode\":3}", p), "accept+win");
    assert_string_equal(heard(kind, "New/Pending", "{\"statecode\":2,\"statuscode\":4}", p), "decline");
    assert_string_equal(heard(kind, "Active/Accepted", "{\"statecode\":0,\"statuscode\":2}", p), "stay");
    assert_string_equal(heard(kind, "Active/Accepted", "{\"statecode\":2,\"statuscode\":5}", p), "lose");
    assert_string_equal(heard(kind, "Closed/Won", "{\"statecode\":0,\"statuscode\":1}", p), "refuse");
    assert_string_equal(heard(kind, "Closed/Won", "{\"statecode\":1,\"statuscode\":3}", p), "nothing");
    assert_string_equal(heard(kind, "Newer", "{\"statecode\":0,\"statuscode\":2}", p), "nothing");
    /* A column that could not be read matches nothing. */
    assert_string_equal(heard(kind, "Active/Accepted", "{\"statuscode\":1}", p), "nothing");
    assert_string_equal(heard(kind, "Active/Accepted", "{\"statecode\":null,\"statuscode\":1}", p), "nothing");

    h = cs_state_hear(kind, "Active/Accepted", deal_json(p, "{\"statecode\":2,\"statuscode\":5}"), NULL, p);
    assert_string_equal(h->reason, "ChoseAnotherVendor");
    h = cs_state_hear(kind, "Active/Accepted", deal_json(p, "{\"statecode\":2,\"statuscode\":4}"), NULL, p);
    assert_string_equal(h->reason, "Others");
    h = cs_state_hear(kind, "Active/Accepted", deal_json(p, "{\"statecode\":1,\"statuscode\":3}"), NULL, p);
    assert_int_equal(h->not_before, apr_time_from_sec(72 * 3600));
    h = cs_state_hear(kind, "Closed/Won", deal_json(p, "{\"statecode\":0,\"statuscode\":1}"), NULL, p);
    assert_string_equal(h->say, "reopened here");
}

static void test_show(void **state)
{
    apr_pool_t *p = *state;
    const cs_mapping_kind_t *kind = profile(p);
    cs_card_t own = { .doc = deal_json(p, "{\"details\":{\"dealValue\":1000.5,\"currency\":\"USD\"},\"closedDateTime\":\"2026-03-01T10:11:12.3456789+01:00\","
                                          "\"statusReason\":\"ChoseAnotherVendor:too dear\"}") };
    cs_card_t bare = { .doc = deal_json(p, "{}") };
    const cs_shown_t *s = cs_state_show(kind, "New/Pending", &own, NULL, p);
    deal_world_t w = { .p = p };

    assert_json(&w, s->set, "{\"statuscode\":2}");
    assert_null(s->call);
    s = cs_state_show(kind, "Closed/Won", &own, NULL, p);
    assert_string_equal(s->call, "WinOpportunity");
    assert_json(&w, s->set, "{\"Status\":3,\"actualrevenue\":{\"$number\":\"1000.50\"},\"actualend\":\"2026-03-01T09:11:12Z\"}");
    s = cs_state_show(kind, "Closed/Lost", &own, NULL, p);
    assert_json(&w, cs_json_get(s->set, "Status"), "5");
    assert_json(&w, cs_json_get(s->set, "description"), "\"ChoseAnotherVendor:too dear\"");
    s = cs_state_show(kind, "Closed/Lost", &bare, NULL, p);
    assert_json(&w, s->set, "{\"Status\":4}");
    assert_int_equal(cs_state_show(kind, "Closed/Error", &own, NULL, p)->unlink, 1);
    assert_string_equal(cs_state_show(kind, "Closed/Expired", &own, NULL, p)->if_was, "New");
    assert_null(cs_state_show(kind, "Closed/Odd", &own, NULL, p));
    assert_null(cs_state_show(kind, "", &own, NULL, p));
}

static void test_a_general_closing_spares_what_must_live(void **state)
{
    static const char *const changes[] = { "/records/opportunity/state/show", "{\"Closed\":{\"call\":\"LoseOpportunity\",\"set\":{\"Status\":4}},"
                                           "\"Closed/Won\":{\"call\":\"WinOpportunity\",\"set\":{\"Status\":3}}}", NULL };
    const cs_mapping_kind_t *kind = cs_mapping_kind(deal_mapping(*state, changes), "opportunity");
    cs_card_t own = { .doc = deal_json(*state, "{}") };

    assert_string_equal(cs_state_show(kind, "Closed/Won", &own, NULL, *state)->call, "WinOpportunity");
    assert_string_equal(cs_state_show(kind, "Closed/Declined", &own, NULL, *state)->call, "LoseOpportunity");
    assert_null(cs_state_show(kind, "Closed/Error", &own, NULL, *state));
    assert_string_equal(cs_state_show(kind, "Closed/Expired", &own, NULL, *state)->if_was, "New");
}

static void test_state_of_a_row(void **state)
{
    const cs_mapping_kind_t *kind = profile(*state);

    assert_int_equal(cs_state_of_row(kind, deal_json(*state, "{\"statecode\":0}")), 0);
    assert_int_equal(cs_state_of_row(kind, deal_json(*state, "{\"statecode\":1}")), 1);
    assert_int_equal(cs_state_of_row(kind, deal_json(*state, "{\"statecode\":2}")), 2);
    assert_int_equal(cs_state_of_row(kind, deal_json(*state, "{\"statecode\":3}")), -1);
    assert_int_equal(cs_state_of_row(kind, deal_json(*state, "{\"statecode\":null}")), -1);
    assert_int_equal(cs_state_of_row(kind, deal_json(*state, "{}")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_names_of_states),
        UNIT_TEST(test_the_machine),
        UNIT_TEST(test_hear),
        UNIT_TEST(test_show),
        UNIT_TEST(test_a_general_closing_spares_what_must_live),
        UNIT_TEST(test_state_of_a_row),
    };

    return UNIT_RUN(tests);
}
