/* What the seller sees, row by row of the table of deals 6, and that it is written only where it differs. */
#include "unit_create.h"

#define NOTHING_MORE(w) \
    do { \
        int writes_ = (w)->writes; \
        create_look(w); \
        create_look(w); \
        assert_int_equal((w)->writes, writes_); \
    } while (0)

/* The record shows what the deal says. */
static void assert_shown(create_world_t *w, const char *status, const char *problem)
{
    const char *shown = cs_json_str(w->row, "acme_cosellproblem");

    assert_told(w, status, problem);
    assert_string_equal(cs_json_str(w->row, "acme_cosellstatus"), status);
    assert_string_equal(shown ? shown : "", problem);
}

static create_world_t *linked(apr_pool_t *p, const char *const *changes)
{
    create_world_t *w = create_world(p, changes);

    create_look(w);
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    return w;
}

static void test_waiting(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_set_new(cs_json_get(w->row, "parentaccountid"), "address1_country", json_null());
    create_look(w);
    assert_shown(w, "Waiting", "Waiting for: Account \xe2\x80\xba Country");
    NOTHING_MORE(w);
}

static void test_sending(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->modified = w->now;
    create_look(w);
    assert_shown(w, "Sending", "Sends at 02:41 UTC");
    NOTHING_MORE(w);
}

static void test_in_sync(void **state)
{
    static const char *const changes[] = { "/names/synced", "\"acme_synced\"", NULL };
    create_world_t *w = linked(*state, changes);

    assert_shown(w, "In sync", "");
    /* The time of it travels with another reason, and is none. */
    assert_has(cs_json_str(w->row, "acme_synced"), "2026-02-02T02:40:00");
    w->now += SEC(3600);
    NOTHING_MORE(w);
}

static void test_in_sync_not_all(void **state)
{
    create_world_t *w = linked(*state, NULL);

    create_edit(w, "name", "\"Contoso\"");
    create_look(w);
    assert_shown(w, "In sync, not all", "Topic cannot change in Partner Center; stays \"Fabrikam migration\"");
    NOTHING_MORE(w);
    create_edit(w, "name", "\"Fabrikam migration\"");
    create_look(w);
    assert_shown(w, "In sync", "");
}

static create_world_t *inbound(apr_pool_t *p)
{
    create_world_t *w = create_world(p, NULL);

    create_asks_help(w);
    create_edit(w, "msft_referralvisibility", "true");
    w->deal.referral_id = DEAL_REFERRAL;
    w->deal.engagement_id = CREATE_ENGAGEMENT;
    w->own = deal_json(p, "{\"id\":\"" DEAL_REFERRAL "\",\"engagementId\":\"" CREATE_ENGAGEMENT "\",\"externalReferenceId\":\"" CREATE_RECORD "\",\"status\":\"New\",\"substatus\":\"Pending\","
                          "\"type\":\"Shared\",\"name\":\"Fabrikam migration\",\"expirationDateTime\":\"2026-03-03T10:00:00Z\",\"inviteContext\":{\"assistanceRequestCode\":\"GeneralOrOther\","
                          "\"invitedBy\":{\"organizationId\":\"msft\"}},\"customerProfile\":{\"name\":\"Fabrikam Inc\",\"team\":[{\"email\":\"sue@fabrikam.example\"}]},"
                          "\"team\":[{\"email\":\"ann@partner.example\"}],\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":true},"
                          "\"details\":{\"notes\":\"Lift and shift\",\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-06-30T12:00:00Z\","
                          "\"requirements\":{\"solutions\":[{\"id\":\"SOL-1\"}]}}}");
    create_look(w);
    create_look(w);
    return w;
}

static void test_not_accepted(void **state)
{
    create_world_t *w = inbound(*state);

    assert_shown(w, "Not accepted", "Expires Tue 3 Mar; set Status Reason to In Progress to accept, close as lost to decline");
    NOTHING_MORE(w);
    w->now += SEC(3600); /* whoever answers in the minute in which the record shows the referral is no person */
    create_edit(w, "statuscode", "1");
    create_look(w);
    assert_json(w, cs_json_get(w->own, "status"), "\"Active\"");
    create_look(w);
    assert_shown(w, "In sync", "");
    NOTHING_MORE(w);
}

static void test_needs_you(void **state)
{
    create_world_t *w = linked(*state, NULL);

    create_edit(w, "estimatedvalue", "60000");
    assert_ok(cs_json_pointer_set(w->own, "/details/dealValue", json_integer(70000)));
    create_look(w);
    assert_shown(w, "Needs you", "Conflict in Est. Revenue: Partner Center 70000.00 USD, here 60000.00 USD; retype the right one");
    NOTHING_MORE(w);
    create_edit(w, "estimatedvalue", "65000");
    create_look(w);
    assert_shown(w, "In sync", "");
    assert_json(w, cs_json_pointer(w->own, "/details/dealValue"), "65000");
    NOTHING_MORE(w);
}

static void test_closed(void **state)
{
    create_world_t *w = linked(*state, NULL);

    json_object_set_new(w->own, "status", json_string("Closed"));
    json_object_set_new(w->own, "substatus", json_string("Expired"));
    create_look(w);
    assert_shown(w, "Closed", "Closed; edits stay here");
    assert_has(cs_json_str(w->row, "msft_audit"), "02:40 - Closed (Expired)\n");
    NOTHING_MORE(w);
    create_edit(w, "description", "\"afterwards\"");
    create_look(w);
    assert_json(w, cs_json_pointer(w->own, "/details/notes"), "\"Lift and shift\"");
}

static void test_paused_and_on_again(void **state)
{
    create_world_t *w = linked(*state, NULL);

    create_edit(w, "msft_syncwithpartnercenter", "false");
    create_edit(w, "description", "\"here\"");
    create_look(w);
    assert_shown(w, "Paused", "Switched off here: nothing is copied, and Partner Center still has the deal");
    NOTHING_MORE(w);
    assert_ok(cs_json_pointer_set(w->own, "/details/closingDateTime", json_string("2026-07-01T12:00:00Z")));
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("there")));
    create_edit(w, "estimatedvalue", "1");
    create_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedclosedate"), "\"2026-06-30\"");
    assert_json(w, cs_json_pointer(w->own, "/details/dealValue"), "50000");
    /* On again it is merged with what both sides last agreed upon. */
    create_edit(w, "msft_syncwithpartnercenter", "true");
    create_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedclosedate"), "\"2026-07-01\"");
    assert_json(w, cs_json_pointer(w->own, "/details/dealValue"), "1");
    assert_shown(w, "Needs you", "Conflict in Description: Partner Center \"there\", here \"here\"; retype the right one");
}

static void test_opting_out_may_be_ignored(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_crm/opt_out", "\"ignore\"", NULL };
    create_world_t *w = linked(*state, changes);

    create_edit(w, "msft_syncwithpartnercenter", "false");
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("there")));
    create_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"there\"");
    assert_shown(w, "In sync", "");
}

/* The record was deleted, and is there again. */
static void test_undeleted(void **state)
{
    create_world_t *w = linked(*state, NULL);
    json_t *row = w->row;

    w->row = NULL;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    assert_string_equal(w->deal.status, "Gone");
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("there")));
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    w->row = row;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_shown(w, "In sync", "");
    assert_json(w, cs_json_get(w->row, "description"), "\"there\"");
    assert_int_equal(w->posts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_waiting),
        UNIT_TEST(test_sending),
        UNIT_TEST(test_in_sync),
        UNIT_TEST(test_in_sync_not_all),
        UNIT_TEST(test_not_accepted),
        UNIT_TEST(test_needs_you),
        UNIT_TEST(test_closed),
        UNIT_TEST(test_paused_and_on_again),
        UNIT_TEST(test_opting_out_may_be_ignored),
        UNIT_TEST(test_undeleted),
    };

    return UNIT_RUN(tests);
}
