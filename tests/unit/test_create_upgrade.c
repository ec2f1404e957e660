/* Kinds only rise: Microsoft is invited, at once or later. (deals 3 (f), partner-center-api.md 4.5) */
#include "unit_create.h"

#define SHARE "/consent/consentToShareReferralWithMicrosoftSellers"

static create_world_t *made(apr_pool_t *p, const char *const *changes, int help, int visible)
{
    create_world_t *w = create_world(p, changes);

    if (help) {
        create_asks_help(w);
    }
    if (visible) {
        create_edit(w, "msft_referralvisibility", "true");
    }
    w->now += CREATE_QUIET;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    return w;
}

/* The step that shows the deal to Microsoft; NULL = none. */
static const cs_step_t *consent(create_world_t *w)
{
    int i;
    size_t k;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        for (k = 0; step->kind == CS_STEP_PATCH_PC && k < json_array_size(step->columns); k++) {
            if (!strcmp(cs_json_str(json_array_get(step->columns, k), "path"), SHARE)) {
                return step;
            }
        }
    }
    return NULL;
}

static void test_cosell_from_the_beginning(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);
    const cs_step_t *step;

    create_plan(w);
    step = create_post_step(w, "connected");
    assert_string_equal(step->id, CREATE_ENGAGEMENT);
    assert_null(consent(w));
    assert_json(w, step->columns,
                "{\"name\":\"Fabrikam migration\",\"qualification\":\"SalesQualified\",\"type\":\"Shared\",\"engagementId\":\"" CREATE_ENGAGEMENT "\","
                "\"target\":[{\"type\":\"BusinessProfileLocation\",\"id\":\"msft\"}],"
                "\"inviteContext\":{\"notes\":\"Lift and shift\",\"assistanceRequestCode\":\"GeneralOrOther\"},"
                "\"consent\":{\"consentToToShareInfoWithOthers\":true,\"consentToContact\":true,\"consentToShareReferralWithMicrosoftSellers\":true},"
                "\"customerProfile\":{\"name\":\"Fabrikam Inc\",\"address\":{\"addressLine1\":\"1 Main St\",\"city\":\"Redmond\",\"state\":\"WA\",\"postalCode\":\"98052\","
                "\"country\":\"US\"},\"team\":[{\"email\":\"sue@fabrikam.example\",\"firstName\":\"Sue\",\"lastName\":\"Smith\",\"phoneNumber\":\"5550100\"}]},"
                "\"team\":[{\"email\":\"ann@partner.example\",\"firstName\":\"Ann\",\"lastName\":\"Lee\",\"phoneNumber\":\"5550101\"}],"
                "\"details\":{\"notes\":\"Lift and shift\",\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-06-30T12:00:00Z\",\"requirements\":{"
                "\"solutions\":[{\"type\":\"Name\",\"id\":\"SOL-1\"}],\"additionalRequirements\":{\"attributes\":[{\"type\":\"CustomerMarketplaceIntent\","
                "\"id\":\"HaveNotDecided\"}]}}}}");
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_string_equal(cs_json_str(cs_json_get(w->deal.posted, "connected"), "state"), "done");
    /* Asking for help shows the deal to Microsoft: the record says so, too. */
    assert_json(w, cs_json_get(w->row, "msft_referralvisibility"), "true");
    assert_told(w, "In sync", "");
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_verdict(w, "help", CS_VERDICT_EQUAL);
    assert_int_equal(deal_sent(create_look(w)), 0);
}

static void test_help_asked_later(void **state)
{
    create_world_t *w = made(*state, NULL, 0, 0);
    const cs_step_t *post, *share;

    create_look(w);
    assert_int_equal(w->posts, 1);
    create_edit(w, "msft_howcanmicrosofthelp", "106");
    create_look(w);
    /* Nobody to call yet. */
    assert_told(w, "Waiting", "Waiting for: Contact");
    assert_int_equal(w->posts, 1);
    assert_null(consent(w));
    create_edit(w, "parentcontactid", CREATE_CONTACT);
    create_plan(w);
    share = consent(w);
    post = create_post_step(w, "connected");
    assert_non_null(share);
    assert_true(share->send);
    assert_int_equal(post->after, w->plan->steps->nelts - 2);
    assert_ptr_equal(APR_ARRAY_IDX(w->plan->steps, post->after, cs_step_t *), share);
    /* Whom the record names now is who Microsoft is told. */
    assert_json(w, cs_json_pointer(post->columns, "/customerProfile/team/0/email"), "\"sue@fabrikam.example\"");
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_json(w, cs_json_pointer(w->own, SHARE), "true");
    create_look(w);
    create_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_told(w, "In sync", "");
}

static void test_visible_later(void **state)
{
    create_world_t *w = made(*state, NULL, 0, 0);

    create_look(w);
    create_edit(w, "msft_referralvisibility", "true");
    create_plan(w);
    assert_non_null(consent(w));
    assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
}

static void test_shown_by_a_rule_of_the_mapping(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_crm/kind", "[{\"partner-led\":{\"crm\":\"description\",\"is\":\"share\"}},{\"private\":true}]", NULL };
    create_world_t *w = made(*state, changes, 0, 0);

    create_look(w);
    create_edit(w, "description", "\"share\"");
    create_plan(w);
    assert_non_null(consent(w));
    create_look(w);
    create_look(w);
    assert_null(consent(w));
}

/* Without a line that could say so. */
static void test_sharing_that_is_refused_stays_refused(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_crm/kind", "[{\"partner-led\":{\"crm\":\"description\",\"is\":\"share\"}},{\"private\":true}]", NULL };
    create_world_t *w = made(*state, changes, 0, 0);
    json_t *posted;

    create_look(w);
    create_edit(w, "description", "\"share\"");
    create_plan(w);
    assert_non_null(consent(w));
    posted = create_posted(w, "connected");
    json_object_update(posted, deal_json(w->p, apr_psprintf(w->p, "{\"state\":\"refused\",\"why\":\"no solution\",\"digest\":\"" SHARE "\",\"mapping\":\"%s\",\"at\":%" APR_TIME_T_FMT "}",
                                                            cs_mapping_digest(w->mapping), w->now)));
    create_look(w);
    assert_null(consent(w));
    assert_told(w, "Needs you", "In Partner Center, not yet with Microsoft: no solution");
    w->now += SEC(600);
    w->notified = 1;
    create_plan(w);
    assert_non_null(consent(w));
}

static void test_kinds_do_not_fall(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);

    create_look(w);
    create_look(w);
    create_edit(w, "msft_howcanmicrosofthelp", "null");
    create_look(w);
    /* Taken back here, it is restored and explained. */
    assert_json(w, cs_json_get(w->row, "msft_howcanmicrosofthelp"), "106");
    create_edit(w, "msft_howcanmicrosofthelp", "103");
    create_look(w);
    assert_verdict(w, "help", CS_VERDICT_ONE_WAY);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
    assert_told(w, "In sync, not all", "How can Microsoft help? cannot change in Partner Center; stays General Or Other");
}

static void test_a_code_nobody_knows(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_asks_help(w);
    create_edit(w, "msft_howcanmicrosofthelp", "999");
    w->now += CREATE_QUIET;
    create_look(w);
    assert_string_equal(w->deal.status, "Waiting");
    assert_has(w->deal.problem, "Waiting for: How can Microsoft help? (999 has no counterpart");
}

/* ---- not answered, refused ---- */

static void test_unanswered_invitation(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);
    apr_time_t sent = w->now;

    w->answer = ANSWER_NONE;
    create_look(w);
    assert_int_equal(w->posts, 2);
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_int_equal(w->plan->look_at, sent + SEC(300));
    assert_string_equal(w->deal.status, "Sending");
    assert_has(w->deal.problem, "Microsoft is invited; Partner Center has not answered yet");
    w->now = sent + SEC(300);
    w->answer = ANSWER_NOT_FOUND;
    create_plan(w);
    create_post_step(w, "find-connected");
    create_look(w);
    w->now = sent + SEC(900);
    create_look(w);
    w->now = sent + SEC(3600);
    create_look(w);
    assert_int_equal(w->posts, 2);
    w->answer = ANSWER_MADE;
    create_look(w);
    assert_int_equal(w->posts, 3);
    create_look(w);
    assert_told(w, "In sync", "");
}

static void test_the_card_is_seen_before_it_is_looked_for(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);

    w->answer = ANSWER_NONE;
    create_look(w);
    w->microsoft = create_made(w, deal_find_step(w->plan, CS_STEP_POST_PC)->columns, 1);
    w->now += SEC(86400);
    create_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
    assert_told(w, "In sync", "");
    /* A list that lags later must not make it be asked again. */
    assert_string_equal(cs_json_str(cs_json_get(w->deal.posted, "connected"), "state"), "done");
    w->microsoft = NULL;
    w->now += SEC(86400);
    create_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
    assert_int_equal(w->posts, 2);
}

static void test_refused_invitation(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);

    w->answer = ANSWER_REFUSED;
    w->refusal = "no seller manages this customer";
    create_look(w);
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_told(w, "Needs you", "In Partner Center, not yet with Microsoft: no seller manages this customer");
    assert_int_equal(deal_sent(create_look(w)), 0);
    /* The rest of the deal goes on. */
    assert_ok(cs_json_pointer_set(w->own, "/details/closingDateTime", json_string("2026-07-01T12:00:00Z")));
    w->answer = ANSWER_MADE;
    create_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedclosedate"), "\"2026-07-01\"");
    /* It is another invitation now. */
    assert_int_equal(w->posts, 3);
}

static void test_done_and_not_shown_yet(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);

    create_look(w);
    w->microsoft = NULL;
    create_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
    assert_int_equal(w->posts, 2);
}

/* ---- whose deal it is ---- */

static create_world_t *met(apr_pool_t *p, const char *own)
{
    create_world_t *w = create_world(p, NULL);

    create_asks_help(w);
    w->own = deal_json(p, own);
    w->deal.referral_id = DEAL_REFERRAL;
    w->deal.engagement_id = CREATE_ENGAGEMENT;
    return w;
}

#define OWN(more) \
    "{\"id\":\"" DEAL_REFERRAL "\",\"engagementId\":\"" CREATE_ENGAGEMENT "\",\"status\":\"Active\",\"substatus\":\"Accepted\",\"type\":\"Shared\",\"name\":\"Fabrikam migration\"," \
    "\"customerProfile\":{\"name\":\"Fabrikam Inc\",\"team\":[{\"email\":\"sue@fabrikam.example\",\"firstName\":\"Sue\",\"lastName\":\"Smith\",\"phoneNumber\":\"1\"}]}," \
    "\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":false},\"details\":{\"dealValue\":50000,\"currency\":\"USD\"}" more "}"

static void test_meeting_a_record_invites_nobody(void **state)
{
    create_world_t *w = met(*state, OWN(""));

    create_look(w);
    create_look(w);
    assert_int_equal(w->posts, 0);
    assert_null(consent(w));
    assert_verdict(w, "help", CS_VERDICT_SKIPPED);
    /* An edit does. */
    create_edit(w, "msft_howcanmicrosofthelp", "103");
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_json(w, cs_json_pointer(w->microsoft, "/inviteContext/assistanceRequestCode"), "\"ProofOfConceptOrDemo\"");
}

static void test_invited_by_microsoft(void **state)
{
    create_world_t *w = met(*state, OWN(",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}}"));

    create_look(w);
    create_edit(w, "msft_howcanmicrosofthelp", "103");
    create_look(w);
    assert_int_equal(w->posts, 0);
}

static void test_shared_with_another_partner(void **state)
{
    create_world_t *w = met(*state, OWN(",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"aaaaaaaa-0000-4000-8000-000000000001\"}}"));

    w->deal.posted = deal_json(w->p, "{\"own\":{\"state\":\"done\"}}");
    create_look(w);
    assert_int_equal(w->posts, 0);
    assert_has(w->deal.problem, "this deal is shared with another partner; Microsoft is asked in Partner Center");
}

static void test_not_while_switched_off_or_closed(void **state)
{
    create_world_t *w = made(*state, NULL, 1, 0);

    create_edit(w, "msft_syncwithpartnercenter", "false");
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_told(w, "Paused", "Switched off here: nothing is copied, and Microsoft still sees the deal");
    create_edit(w, "msft_syncwithpartnercenter", "true");
    assert_ok(cs_json_pointer_set(w->own, "/status", json_string("Closed")));
    assert_ok(cs_json_pointer_set(w->own, "/substatus", json_string("Lost")));
    create_plan(w);
    assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_cosell_from_the_beginning),
        UNIT_TEST(test_help_asked_later),
        UNIT_TEST(test_visible_later),
        UNIT_TEST(test_shown_by_a_rule_of_the_mapping),
        UNIT_TEST(test_sharing_that_is_refused_stays_refused),
        UNIT_TEST(test_kinds_do_not_fall),
        UNIT_TEST(test_a_code_nobody_knows),
        UNIT_TEST(test_unanswered_invitation),
        UNIT_TEST(test_the_card_is_seen_before_it_is_looked_for),
        UNIT_TEST(test_refused_invitation),
        UNIT_TEST(test_done_and_not_shown_yet),
        UNIT_TEST(test_meeting_a_record_invites_nobody),
        UNIT_TEST(test_invited_by_microsoft),
        UNIT_TEST(test_shared_with_another_partner),
        UNIT_TEST(test_not_while_switched_off_or_closed),
    };

    return UNIT_RUN(tests);
}
