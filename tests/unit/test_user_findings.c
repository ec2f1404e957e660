/* What a seller and an administrator met who used it for the first time: emptiness that erased, latches restored without a word, the last item of a list, words that did not say what to do. */
#include "unit_create.h"

#define AUDIT(w) cs_json_str((w)->row, "msft_audit")

#define NOTHING_MORE(w) \
    do { \
        int writes_ = (w)->writes; \
        create_look(w); \
        create_look(w); \
        assert_int_equal((w)->writes, writes_); \
    } while (0)

static void later(create_world_t *w)
{
    w->now += SEC(3600);
}

static create_world_t *linked(apr_pool_t *p, const char *const *changes, int asks)
{
    create_world_t *w = create_world(p, changes);

    if (asks) {
        create_asks_help(w);
        create_edit(w, "msft_referralvisibility", "true");
    }
    later(w);
    create_look(w);
    create_look(w);
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    later(w);
    return w;
}

/* Somebody else's referral, which this record was linked to. */
static create_world_t *inbound(apr_pool_t *p, const char *const *changes)
{
    create_world_t *w = create_world(p, changes);

    w->deal.referral_id = DEAL_REFERRAL;
    w->deal.engagement_id = CREATE_ENGAGEMENT;
    w->own = deal_json(p, "{\"id\":\"" DEAL_REFERRAL "\",\"engagementId\":\"" CREATE_ENGAGEMENT "\",\"externalReferenceId\":\"" CREATE_RECORD "\",\"status\":\"New\",\"substatus\":\"Pending\","
                          "\"type\":\"Shared\",\"name\":\"Fabrikam migration\",\"expirationDateTime\":\"2026-03-03T10:00:00Z\",\"campaignId\":\"SPRING\","
                          "\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}},\"customerProfile\":{\"name\":\"Fabrikam Inc\"},"
                          "\"team\":[{\"email\":\"ann@partner.example\"}],"
                          "\"details\":{\"notes\":\"Lift and shift\",\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-06-30T12:00:00Z\","
                          "\"requirements\":{\"solutions\":[{\"id\":\"SOL-1\"}]}}}");
    return w;
}

/* ---- emptiness is nobody's opinion ---- */

#define REGION "/records/opportunity/lines/region"

static void test_an_empty_record_erases_nothing(void **state)
{
    static const char *const lines[] = { "{\"pc\":\"/campaignId\",\"crm\":\"acme_region\",\"direction\":\"to_pc\",\"introduce\":\"crm\"}",
                                         "{\"pc\":\"/campaignId\",\"crm\":\"acme_region\",\"introduce\":\"crm\"}",
                                         "{\"pc\":\"/campaignId\",\"crm\":\"acme_region\",\"introduce\":\"crm\",\"to_crm\":{\"events\":[\"create\"]}}" };
    size_t i;

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *changes[] = { REGION, lines[i], NULL };
        create_world_t *w = inbound(*state, changes);

        create_look(w);
        create_look(w);
        later(w);
        create_look(w);
        assert_json(w, cs_json_get(w->own, "campaignId"), "\"SPRING\"");
        create_edit(w, "acme_region", "\"EMEA\"");
        create_look(w);
        assert_json(w, cs_json_get(w->own, "campaignId"), "\"EMEA\"");
        NOTHING_MORE(w);
    }
}

static void test_an_empty_referral_erases_nothing(void **state)
{
    static const char *const lines[] = { "{\"pc\":\"/campaignId\",\"crm\":\"acme_region\",\"direction\":\"to_crm\",\"introduce\":\"partner-center\"}",
                                         "{\"pc\":\"/campaignId\",\"crm\":\"acme_region\",\"introduce\":\"partner-center\"}" };
    size_t i;

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *changes[] = { REGION, lines[i], NULL };
        create_world_t *w = inbound(*state, changes);

        json_object_set_new(w->own, "campaignId", json_null());
        create_edit(w, "acme_region", "\"EMEA\"");
        create_look(w);
        create_look(w);
        later(w);
        create_look(w);
        assert_json(w, cs_json_get(w->row, "acme_region"), "\"EMEA\"");
        NOTHING_MORE(w);
    }
}

/* The record that we make of a referral has nothing to say of what it was not given. */
static void test_a_made_record_erases_nothing(void **state)
{
    static const char *const changes[] = { REGION, "{\"pc\":\"/campaignId\",\"crm\":\"acme_region\",\"direction\":\"to_pc\",\"introduce\":\"crm\"}", NULL };
    deal_world_t *w = deal_world(*state, changes);
    int i;

    json_object_set_new(w->doc, "campaignId", json_string("SPRING"));
    for (i = 0; i < 4; i++) {
        deal_look(w);
    }
    assert_json(w, cs_json_get(w->doc, "campaignId"), "\"SPRING\"");
    deal_edit(w, "acme_region", "\"EMEA\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->doc, "campaignId"), "\"EMEA\"");
}

/* ---- a latch is restored, and says so ---- */

static const cs_journal_t *journalled(create_world_t *w, const char *line, int since)
{
    int i;

    for (i = since; i < w->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(w->journal, i, cs_journal_t *);

        if (j->line && !strcmp(j->line, line)) {
            return j;
        }
    }
    return NULL;
}

static void check_restored(create_world_t *w, const char *column, const char *line, const char *lowered, const char *value, const char *words)
{
    int since = w->journal->nelts, writes = w->writes;
    const cs_journal_t *j;
    const char *audit;

    create_edit(w, column, lowered);
    create_look(w);
    assert_json(w, cs_json_get(w->row, column), value);
    assert_int_equal(w->writes, writes + 1);
    audit = AUDIT(w);
    assert_has(audit, words);
    assert_true(strstr(audit, words) < strchr(audit, '\n')); /* the newest */
    j = journalled(w, line, since);
    assert_non_null(j);
    assert_has(j->why, "restored");
    assert_string_equal(w->deal.status, "In sync");
    NOTHING_MORE(w);
    assert_string_equal(AUDIT(w), audit);
}

static void test_a_restored_latch_says_so(void **state)
{
    create_world_t *w = linked(*state, NULL, 1);

    assert_told(w, "In sync", "");
    check_restored(w, "msft_howcanmicrosofthelp", "help", "null", "106",
                   " - How can Microsoft help? stays General Or Other: once set, it cannot be taken back\n");
    later(w);
    check_restored(w, "msft_referralvisibility", "visible", "false", "true", " - Referral Visibility stays on: once set, it cannot be taken back\n");
}

/* ---- the last of a list ---- */

static void test_the_last_solution_stays(void **state)
{
    create_world_t *w = linked(*state, NULL, 0);
    json_t *rows = json_incref(cs_json_get(w->related, "solutions"));

    assert_told(w, "In sync", "");
    json_object_set_new(w->related, "solutions", json_array());
    create_look(w);
    assert_int_equal(json_array_size(cs_json_pointer(w->own, "/details/requirements/solutions")), 1);
    assert_told(w, "In sync, not all", "Solution SOL-1 stays in Partner Center: at least 1 is needed");
    NOTHING_MORE(w);
    json_object_set_new(w->related, "solutions", rows);
    create_look(w);
    assert_told(w, "In sync", "");
    NOTHING_MORE(w);
}

static void test_the_last_contact_stays(void **state)
{
    static const char *const changes[] = { "/records/opportunity/lists/contacts/min", "1", NULL };
    create_world_t *w = create_world(*state, changes);

    create_edit(w, "parentcontactid", CREATE_CONTACT);
    later(w);
    create_look(w);
    create_look(w);
    assert_told(w, "In sync", "");
    later(w);
    create_edit(w, "parentcontactid", "null");
    create_look(w);
    assert_int_equal(json_array_size(cs_json_pointer(w->own, "/customerProfile/team")), 1);
    assert_told(w, "In sync, not all", "Contact Sue Smith (sue@fabrikam.example) stays in Partner Center: at least 1 is needed");
    NOTHING_MORE(w);
}

/* ---- what is waited for ---- */

static void test_no_account_is_one_lack(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "parentaccountid", "null");
    create_look(w);
    assert_told(w, "Waiting", "Waiting for: Account");
    assert_has(AUDIT(w), " - Waiting for: Account");
    assert_null(strstr(AUDIT(w), "Waiting: "));
    NOTHING_MORE(w);
    w = create_world(*state, NULL);
    w->metadata = NULL;
    create_edit(w, "parentaccountid", "null");
    create_look(w);
    assert_told(w, "Waiting", "Waiting for: parentaccountid");
}

/* ---- times ---- */

static void test_times_name_their_zone(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->modified = w->now;
    create_look(w);
    assert_told(w, "Sending", "Sends at 02:41 UTC");
    w = linked(*state, NULL, 1);
    json_object_set_new(w->own, "createdDateTime", json_string(cs_time_format(w->now, w->p)));
    create_edit(w, "statecode", "1");
    create_look(w);
    assert_string_equal(w->deal.status, "Sending");
    assert_has(w->deal.problem, " UTC");
}

/* ---- how to answer ---- */

static void test_an_answer_is_spelled_out(void **state)
{
    create_world_t *w = inbound(*state, NULL);

    create_look(w);
    create_look(w);
    assert_told(w, "Not accepted", "Expires Tue 3 Mar; set Status Reason to In Progress to accept, close as lost to decline");
    NOTHING_MORE(w);
    /* Whoever cannot name the choice does not name a number. */
    w = inbound(*state, NULL);
    json_object_del(cs_json_get(cs_json_get(cs_json_get(cs_json_get(w->metadata, "tables"), "opportunity"), "columns"), "statuscode"), "options");
    create_look(w);
    create_look(w);
    assert_told(w, "Not accepted", "Expires Tue 3 Mar; change Status Reason to accept, close as lost to decline");
}

/* A closed record that declines nothing is not recommended. */
static void test_an_answer_that_is_not_heard_is_not_named(void **state)
{
    static const char *const changes[] = { "/records/opportunity/state/hear", "[{\"pc\":\"New\",\"crm\":{\"statecode\":0,\"statuscode\":2},\"do\":\"wait\"},"
                                           "{\"pc\":\"New\",\"crm\":{\"statecode\":0},\"do\":\"accept\"},{\"pc\":\"New\",\"crm\":{\"statecode\":2},\"do\":\"stay\"}]", NULL };
    create_world_t *w = inbound(*state, changes);

    create_look(w);
    create_look(w);
    assert_told(w, "Not accepted", "Expires Tue 3 Mar; set Status Reason to In Progress to accept");
}

/* ---- what differs is shown ---- */

#define LONG "The customer runs four hundred virtual machines in two data centres and wants to leave them by "

static void test_a_conflict_shows_what_differs(void **state)
{
    create_world_t *w = linked(*state, NULL, 0);

    create_edit(w, "description", "\"" LONG "the end of June\"");
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string(LONG "Christmas")));
    create_look(w);
    assert_string_equal(w->deal.status, "Needs you");
    assert_string_equal(w->deal.problem, "Conflict in Description: Partner Center \"\xe2\x80\xa6" "and wants to leave them by Christmas\", "
                                         "here \"\xe2\x80\xa6" "and wants to leave them by the end of June\"; retype the right one");
    NOTHING_MORE(w);
    create_edit(w, "description", "\"settled\"");
    create_look(w);
    assert_told(w, "In sync", "");
}

/* Never half a character, and never without bounds. */
static void test_a_difference_of_accents(void **state)
{
    create_world_t *w = linked(*state, NULL, 0);
    const char *head = "", *tail = "";
    int i;

    for (i = 0; i < 100; i++) {
        head = apr_pstrcat(w->p, head, "\xc3\xa9", NULL);
        tail = apr_pstrcat(w->p, tail, "xyz ", NULL);
    }
    create_edit(w, "description", apr_psprintf(w->p, "\"%s\xc3\xa9%s\"", head, tail));
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string(apr_pstrcat(w->p, head, "\xc3\xa8", tail, NULL))));
    create_look(w);
    assert_string_equal(w->deal.status, "Needs you");
    assert_has(w->deal.problem, "\xc3\xa9\xc3\xa8xyz");
    assert_has(w->deal.problem, "\xc3\xa9\xc3\xa9xyz");
    assert_true(strlen(w->deal.problem) < 400);
    assert_non_null(cs_json_own(json_string(w->deal.problem), w->p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_an_empty_record_erases_nothing),
        UNIT_TEST(test_an_empty_referral_erases_nothing),
        UNIT_TEST(test_a_made_record_erases_nothing),
        UNIT_TEST(test_a_restored_latch_says_so),
        UNIT_TEST(test_the_last_solution_stays),
        UNIT_TEST(test_the_last_contact_stays),
        UNIT_TEST(test_no_account_is_one_lack),
        UNIT_TEST(test_times_name_their_zone),
        UNIT_TEST(test_an_answer_is_spelled_out),
        UNIT_TEST(test_an_answer_that_is_not_heard_is_not_named),
        UNIT_TEST(test_a_conflict_shows_what_differs),
        UNIT_TEST(test_a_difference_of_accents),
    };

    return UNIT_RUN(tests);
}
