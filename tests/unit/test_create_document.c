/* What a record looks like as a referral, kind by kind. (deals 3, partner-center-api.md 4.5) */
#include "mod_cosell/remote/crm.h"
#include "unit_create.h"

#define ADDRESS "\"address\":{\"addressLine1\":\"1 Main St\",\"city\":\"Redmond\",\"state\":\"WA\",\"postalCode\":\"98052\",\"country\":\"US\"}"
#define SUE "{\"email\":\"sue@fabrikam.example\",\"firstName\":\"Sue\",\"lastName\":\"Smith\",\"phoneNumber\":\"5550100\"}"
#define ANN "{\"email\":\"ann@partner.example\",\"firstName\":\"Ann\",\"lastName\":\"Lee\",\"phoneNumber\":\"5550101\"}"
#define DETAILS \
    "\"details\":{\"notes\":\"Lift and shift\",\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-06-30T12:00:00Z\",\"requirements\":{" \
    "\"solutions\":[{\"type\":\"Name\",\"id\":\"SOL-1\"}],\"additionalRequirements\":{\"attributes\":[{\"type\":\"CustomerMarketplaceIntent\",\"id\":\"HaveNotDecided\"}]}}}"
#define COMMON "\"name\":\"Fabrikam migration\",\"externalReferenceId\":\"" CREATE_RECORD "\",\"qualification\":\"SalesQualified\",\"team\":[" ANN "]," DETAILS
#define CONSENT(share) "\"consent\":{\"consentToToShareInfoWithOthers\":true,\"consentToContact\":true,\"consentToShareReferralWithMicrosoftSellers\":" share "}"

static const json_t *document(create_world_t *w)
{
    create_plan(w);
    return create_post_step(w, "own")->columns;
}

static void test_private(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    assert_json(w, document(w), "{" COMMON ",\"type\":\"Independent\"," CONSENT("false") ",\"customerProfile\":{\"name\":\"Fabrikam Inc\"," ADDRESS "}}");
    assert_has(w->plan->why, "(private)");
    assert_int_equal(w->plan->state_after, CS_DEAL_LINKED);
}

static void test_partner_led(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "msft_referralvisibility", "true");
    w->now += CREATE_QUIET;
    assert_json(w, document(w), "{" COMMON ",\"type\":\"Independent\"," CONSENT("true") ",\"customerProfile\":{\"name\":\"Fabrikam Inc\"," ADDRESS "}}");
}

static void test_cosell(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_asks_help(w);
    w->now += CREATE_QUIET;
    /* What is said to Microsoft is said to Microsoft only. */
    assert_json(w, document(w), "{" COMMON ",\"type\":\"Shared\",\"target\":[{\"type\":\"SolutionProfile\",\"id\":\"SOL-1\"}]," CONSENT("true") ",\"customerProfile\":{"
                                "\"name\":\"Fabrikam Inc\"," ADDRESS ",\"team\":[" SUE "]}}");
    assert_has(w->plan->why, "(co-sell)");
}

static void test_places_with_selectors_and_constants(void **state)
{
    static const char *const changes[] = { "/names/intent", "\"acme_intent\"", "/names/location", "\"acme_location\"", "/names/campaign", "\"acme_campaign\"",
                                           "/records/opportunity/from_crm/set/~1customerProfile~1size", "\"10to50employees\"",
                                           "/records/opportunity/from_crm/set/~1qualification", "\"MarketingQualified\"", NULL };
    create_world_t *w = create_world(*state, changes);
    const json_t *doc;

    create_edit(w, "acme_intent", "\"Yes\"");
    create_edit(w, "acme_location", "\"1234567\"");
    create_edit(w, "acme_campaign", "\"spring\"");
    w->now += CREATE_QUIET;
    doc = document(w);
    assert_json(w, cs_json_pointer(doc, "/details/requirements/additionalRequirements/attributes"), "[{\"type\":\"CustomerMarketplaceIntent\",\"id\":\"Yes\"}]");
    assert_json(w, cs_json_pointer(doc, "/mpnId"), "\"1234567\"");
    assert_json(w, cs_json_pointer(doc, "/campaignId"), "\"spring\"");
    assert_json(w, cs_json_pointer(doc, "/customerProfile/size"), "\"10to50employees\"");
    assert_json(w, cs_json_pointer(doc, "/qualification"), "\"MarketingQualified\"");
}

static void test_nobody_has_decided_about_the_marketplace(void **state)
{
    static const char *const changes[] = { "/records/opportunity/lines/intent/enabled", "false", NULL };
    create_world_t *w = create_world(*state, changes);

    assert_json(w, cs_json_pointer(document(w), "/details/requirements/additionalRequirements/attributes"), "[{\"type\":\"CustomerMarketplaceIntent\",\"id\":\"HaveNotDecided\"}]");
}

static void test_kinds_are_the_mappings(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_crm/kind", "[{\"partner-led\":{\"crm\":\"name\",\"set\":true}},{\"co-sell\":true}]", NULL };
    create_world_t *w = create_world(*state, changes);
    static const char *const none[] = { "/records/opportunity/from_crm/kind", "[]", NULL };

    create_asks_help(w);
    w->now += CREATE_QUIET;
    assert_json(w, cs_json_pointer(document(w), "/type"), "\"Independent\"");
    w = create_world(*state, none);
    create_asks_help(w);
    w->now += CREATE_QUIET;
    assert_json(w, cs_json_pointer(document(w), "/consent/consentToShareReferralWithMicrosoftSellers"), "false");
}

static void test_another_partner_is_not_invited_from_here(void **state)
{
    apr_pool_t *p = *state;
    json_t *root = deal_json(p, deal_read(p, CREATE_PROFILE));
    cs_mapping_t *mapping;
    cs_result_t res;
    const char *text;

    assert_ok(cs_json_pointer_set(root, "/records/opportunity/from_crm/kind", json_pack("[{s:b}]", "p2p", 1)));
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    assert_int_not_equal(cs_mapping_parse(&mapping, text, strlen(text), "t.json", cs_crm_facts_of("dynamics365"), NULL, p, &res), APR_SUCCESS);
    assert_has(res.detail, "inviting another partner from the CRM is not supported by this version");
}

static void test_a_value_that_need_not_be_there(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "description", "null");
    w->now += CREATE_QUIET;
    assert_null(cs_json_pointer(document(w), "/details/notes"));
}

static void test_what_is_too_long(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    char text[2500];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_object_set_new(w->row, "description", json_string(text));
    /* Notes are cut; a name that somebody else reads is not. */
    assert_int_equal(strlen(json_string_value(cs_json_pointer(document(w), "/details/notes"))), 2000);
    text[301] = '\0';
    json_object_set_new(w->row, "name", json_string(text));
    create_look(w);
    assert_told(w, "Waiting", "Waiting for: Topic (301 characters, and only 300 fit)");
}

/* ---- made ---- */

static void test_the_next_look_has_nothing_but_names_to_tell(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    const cs_step_t *step;
    int i;

    create_look(w);
    assert_string_equal(w->deal.pc_status, "Active/Accepted");
    assert_string_equal(w->deal.title, "Fabrikam migration");
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "value"), "pc"), "{\"amount\":\"50000.00\",\"currency\":\"USD\"}");
    assert_null(cs_json_get(cs_json_get(w->deal.images, "value"), "rest"));
    assert_non_null(cs_json_get(w->deal.images, "solutions/sol-1"));
    assert_string_equal(cs_json_str(cs_json_get(w->deal.posted, "own"), "state"), "done");
    assert_null(w->deal.intent);
    create_look(w);
    step = deal_find_step(w->plan, CS_STEP_UPDATE);
    assert_non_null(step);
    assert_int_equal(deal_sent(w->plan), 1);
    assert_int_equal(step->lines->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(step->lines, 0, const char *), CS_LINE_TELL);
    assert_json(w, cs_json_get(w->row, "msft_referralidentifier"), "\"" DEAL_REFERRAL "\"");
    assert_has(cs_json_str(w->row, "msft_referrallink"), DEAL_REFERRAL);
    assert_told(w, "In sync", "");
    for (i = 0; i < 3; i++) {
        create_look(w);
        assert_int_equal(deal_sent(w->plan), 0);
    }
}

static void test_what_partner_center_did_not_keep(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_plan(w);
    w->answer = ANSWER_FOUND; /* as it is after Partner Center has made something else of the notes */
    w->own = create_made(w, create_post_step(w, "own")->columns, 0);
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("Lift")));
    create_look(w);
    create_look(w);
    assert_verdict(w, "notes", CS_VERDICT_NOT_KEPT);
    assert_string_equal(deal_view(w->plan, "notes")->why, "Partner Center made it \"Lift\"; sent again when the value here moves");
    assert_json(w, cs_json_get(w->row, "description"), "\"Lift and shift\"");
    assert_int_equal(deal_sent(create_look(w)), 0);
}

static void test_what_partner_center_adds_arrives(void **state)
{
    static const char *const changes[] = { "/names/program", "\"msft_referralprogram\"", NULL };
    create_world_t *w = create_world(*state, changes);

    create_look(w);
    assert_ok(cs_json_pointer_set(w->own, "/referralProgram", json_string("Solutions")));
    create_look(w);
    assert_json(w, cs_json_get(w->row, "msft_referralprogram"), "\"Solutions\"");
}

static void test_an_edit_after_that_travels(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_look(w);
    create_look(w);
    create_edit(w, "description", "\"changed\"");
    create_plan(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC);
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("there")));
    create_plan(w);
    assert_verdict(w, "notes", CS_VERDICT_HELD);
}

/* The look that made it did not live to note anything but that it is there. */
static void test_a_crash_after_the_answer(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    cs_deal_t before = w->deal;

    create_look(w);
    before.referral_id = w->deal.referral_id;
    before.engagement_id = w->deal.engagement_id;
    before.posted = w->deal.posted;
    before.intent = w->plan->intent;
    w->deal = before;
    create_edit(w, "description", "\"while it was down\"");
    create_edit(w, "statuscode", "2");
    create_plan(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC); /* the referral was made of the record */
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_EQUAL);
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_json(w, cs_json_get(w->row, "statuscode"), "2");
    assert_json(w, cs_json_get(w->row, "description"), "\"while it was down\"");
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_private),
        UNIT_TEST(test_partner_led),
        UNIT_TEST(test_cosell),
        UNIT_TEST(test_places_with_selectors_and_constants),
        UNIT_TEST(test_nobody_has_decided_about_the_marketplace),
        UNIT_TEST(test_kinds_are_the_mappings),
        UNIT_TEST(test_another_partner_is_not_invited_from_here),
        UNIT_TEST(test_a_value_that_need_not_be_there),
        UNIT_TEST(test_what_is_too_long),
        UNIT_TEST(test_the_next_look_has_nothing_but_names_to_tell),
        UNIT_TEST(test_what_partner_center_did_not_keep),
        UNIT_TEST(test_what_partner_center_adds_arrives),
        UNIT_TEST(test_an_edit_after_that_travels),
        UNIT_TEST(test_a_crash_after_the_answer),
    };

    return UNIT_RUN(tests);
}
