/* A record that asks for a referral and cannot have one yet. (deals 3 (a)) */
#include "unit_create.h"

static cs_meeting_t meet(create_world_t *w)
{
    cs_meeting_t meeting;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    create_see(w);
    assert_ok(cs_reconcile_meet_record(&meeting, &w->look, "opportunity", w->p, &res));
    return meeting;
}

static void test_which_records_are_met(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    cs_meeting_t m = meet(w);

    assert_int_equal(m.what, CS_MEET_CREATE);
    assert_string_equal(m.kind, "opportunity");
    assert_string_equal(m.record_id, CREATE_RECORD);
    create_edit(w, "msft_referralidentifier", "\"see mail of Tuesday\"");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_CREATE);
    assert_has(m.why, "\"see mail of Tuesday\" in msft_referralidentifier is no referral id");
    create_edit(w, "msft_referralidentifier", "\"{0F0A4B6E-1111-4222-8333-944455566677}\"");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_LINK);
    assert_string_equal(m.record_id, DEAL_REFERRAL);
    create_edit(w, "msft_syncwithpartnercenter", "false");
    assert_int_equal(meet(w).what, CS_MEET_LINK);
    create_edit(w, "msft_referralidentifier", "null");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_IGNORE);
    assert_has(m.why, "only when");
    create_edit(w, "msft_syncwithpartnercenter", "true");
    create_edit(w, "statecode", "2");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_IGNORE);
    assert_has(m.why, "closed in the CRM");
}

static void test_a_table_of_no_kind(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    cs_meeting_t m;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    create_see(w);
    assert_ok(cs_reconcile_meet_record(&m, &w->look, "quote", w->p, &res));
    assert_int_equal(m.what, CS_MEET_IGNORE);
    assert_has(m.why, "no record kind of the mapping has the table quote");
    assert_ok(cs_reconcile_meet_record(&m, &w->look, "lead", w->p, &res));
    assert_has(m.why, "no record kind makes referrals of the table lead");
}

/* ---- ready ---- */

static void test_missing_inputs_are_named_as_in_the_forms(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_set_new(cs_json_get(w->row, "parentaccountid"), "address1_country", json_null());
    json_object_set_new(w->related, "solutions", json_array());
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_NEW);
    assert_told(w, "Waiting", "Waiting for: Account \xe2\x80\xba Country, Solution");
    assert_int_equal(w->posts, 0);
    assert_json(w, cs_json_get(w->row, "acme_cosellproblem"), "\"Waiting for: Account \xe2\x80\xba Country, Solution\"");
    assert_has(cs_json_str(w->row, "msft_audit"), " - Waiting for: Account");
    /* Nothing moves, nothing is written, nothing is looked at again by the clock. */
    assert_int_equal(create_look(w)->what, CS_PLAN_HOLD);
    assert_int_equal(w->plan->look_at, 0);
    assert_int_equal(w->writes, 1);
}

static void test_without_labels_lines_are_named(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->metadata = NULL;
    create_edit(w, "name", "\"  \"");
    json_object_set_new(w->related, "solutions", json_array());
    create_look(w);
    assert_told(w, "Waiting", "Waiting for: name, Solution");
}

static void waits(create_world_t *w, const char *for_what)
{
    create_look(w);
    assert_int_equal(w->posts, 0);
    assert_told(w, "Waiting", apr_pstrcat(w->p, "Waiting for: ", for_what, NULL));
}

static void test_amounts_wait(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "estimatedvalue", "0");
    waits(w, "Est. Revenue (0)");
    create_edit(w, "estimatedvalue", "null");
    waits(w, "Est. Revenue");
    create_edit(w, "estimatedvalue", "5");
    create_edit(w, "transactioncurrencyid", "null");
    waits(w, "Currency");
    create_edit(w, "transactioncurrencyid", "{\"id\":\"c1000000-0000-4000-8000-000000000002\",\"isocurrencycode\":\"Bitcoin\"}");
    create_look(w);
    assert_string_equal(w->deal.status, "Waiting");
    assert_string_equal(w->deal.title, json_string_value(json_object_get(w->row, "name")));
    assert_has(w->deal.problem, "is no currency code");
}

static void test_what_names_no_country_waits(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_set_new(cs_json_get(w->row, "parentaccountid"), "address1_country", json_string("Neverland"));
    waits(w, "Account \xe2\x80\xba Country (\"Neverland\" is no country)");
}

static void test_no_account_is_named_once(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "parentaccountid", "null");
    create_look(w);
    assert_told(w, "Waiting", "Waiting for: Account");
}

static void test_people_must_be_complete(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_set_new(cs_json_get(w->row, "ownerid"), "address1_telephone1", json_null());
    waits(w, "Team member Ann Lee (ann@partner.example) \xe2\x80\xba Main Phone");
    create_asks_help(w);
    json_object_set_new(cs_json_get(w->row, "ownerid"), "address1_telephone1", json_string("1"));
    json_object_set_new(cs_json_get(w->row, "parentcontactid"), "telephone1", json_null());
    waits(w, "Contact \xe2\x80\xba Business Phone");
    create_edit(w, "parentcontactid", "null");
    waits(w, "Contact");
}

static void test_one_who_is_not_complete_holds_nobody_up(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_set(w->related, "team",
                    deal_json(w->p, "[{\"id\":\"70000000-0000-4000-8000-000000000002\",\"row\":{\"firstname\":\"Bob\",\"lastname\":\"Ray\",\"internalemailaddress\":\"bob@partner.example\","
                                    "\"address1_telephone1\":null}}]"));
    create_plan(w);
    assert_int_equal(json_array_size(cs_json_pointer(create_post_step(w, "own")->columns, "/team")), 1);
}

static void test_the_rules_hold_without_a_mapping(void **state)
{
    static const char *const changes[] = { "/records/opportunity/lines/customer/enabled", "false", "/records/opportunity/from_crm/set", "{}", NULL };
    create_world_t *w = create_world(*state, changes);

    waits(w, "/customerProfile/name (the mapping has no line for it), /consent/consentToToShareInfoWithOthers (the mapping has no line for it), "
             "/consent/consentToContact (the mapping has no line for it)");
}

static void test_what_cannot_be_read_waits(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_del(w->row, "estimatedclosedate");
    waits(w, "Est. Close Date (the CRM did not show it)");
    json_object_set_new(w->row, "estimatedclosedate", json_string("2026-06-30"));
    json_object_del(w->related, "solutions");
    waits(w, "Solution (the CRM did not show its rows)");
}

/* ---- asked at all ---- */

static void test_switched_off(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "msft_syncwithpartnercenter", "false");
    create_look(w);
    assert_int_equal(w->plan->what, CS_PLAN_HOLD);
    assert_null(w->deal.status);
    assert_int_equal(w->writes, 0);
    /* Who was told something is told that, too. */
    create_edit(w, "msft_syncwithpartnercenter", "true");
    create_edit(w, "estimatedclosedate", "null");
    create_look(w);
    create_edit(w, "msft_syncwithpartnercenter", "false");
    create_look(w);
    assert_told(w, "Paused", "Switched off before it was sent; Partner Center has nothing of it");
    assert_int_equal(w->posts, 0);
}

static void test_closed_before_it_was_sent(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "statecode", "1");
    create_look(w);
    assert_int_equal(w->posts + w->writes, 0);
    assert_has(w->plan->why, "closed in the CRM");
    create_edit(w, "statecode", "0");
    w->now += CREATE_QUIET;
    create_look(w);
    assert_int_equal(w->posts, 1);
}

static void test_deleted_and_there_again(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    json_t *row = w->row;

    w->row = NULL;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    assert_int_equal(create_look(w)->what, CS_PLAN_NOTHING);
    w->row = row;
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
}

/* ---- quiet ---- */

static void test_nobody_is_interrupted(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->modified = w->now; /* 02:40:00 */
    create_look(w);
    assert_told(w, "Sending", "Sends at 02:41 UTC");
    assert_int_equal(w->plan->look_at, w->now + CREATE_QUIET);
    assert_int_equal(w->writes, 1);
    assert_null(cs_json_str(w->row, "msft_audit")); /* no event */
    /* What we told is no edit: the time stands, and is said once. */
    w->now += SEC(60);
    create_look(w);
    assert_int_equal(w->plan->look_at, w->now + SEC(30));
    assert_int_equal(w->writes, 1);
    /* An edit is. */
    create_edit(w, "description", "\"more\"");
    create_look(w);
    assert_int_equal(w->plan->look_at, w->now + CREATE_QUIET);
    assert_told(w, "Sending", "Sends at 02:42 UTC");
    w->now += CREATE_QUIET - 1;
    create_look(w);
    assert_int_equal(w->posts, 0);
    w->now += 1;
    create_look(w);
    assert_int_equal(w->posts, 1);
}

static void test_a_child_row_is_an_edit(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->modified = w->now;
    create_look(w);
    w->now += SEC(80);
    json_array_append_new(cs_json_get(w->related, "solutions"),
                          json_pack("{s:s,s:s,s:{s:{s:s,s:s}}}", "id", "50000000-0000-4000-8000-000000000002", "version", "1", "row", "msft_solutiondetailid", "id",
                                    "5d000000-0000-4000-8000-000000000002", "msft_solutionidentifier", "SOL-2"));
    create_look(w);
    assert_int_equal(w->plan->look_at, w->now + CREATE_QUIET);
    w->now += SEC(20);
    create_look(w);
    assert_int_equal(w->plan->look_at, w->now + SEC(70));
}

static void test_a_clock_that_is_ahead_of_ours(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->modified = w->now + SEC(86400);
    create_look(w);
    assert_int_equal(w->plan->look_at, w->now + CREATE_QUIET);
}

static void test_an_old_edit_is_sent_at_once(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_string_equal(w->deal.referral_id, DEAL_REFERRAL);
    assert_int_equal(w->writes, 0);
}

static void test_quiet_is_the_mappings(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_crm/quiet", "\"0s\"", NULL };
    create_world_t *w = create_world(*state, changes);

    w->modified = w->now;
    create_look(w);
    assert_int_equal(w->posts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_which_records_are_met),
        UNIT_TEST(test_a_table_of_no_kind),
        UNIT_TEST(test_missing_inputs_are_named_as_in_the_forms),
        UNIT_TEST(test_without_labels_lines_are_named),
        UNIT_TEST(test_amounts_wait),
        UNIT_TEST(test_what_names_no_country_waits),
        UNIT_TEST(test_no_account_is_named_once),
        UNIT_TEST(test_people_must_be_complete),
        UNIT_TEST(test_one_who_is_not_complete_holds_nobody_up),
        UNIT_TEST(test_the_rules_hold_without_a_mapping),
        UNIT_TEST(test_what_cannot_be_read_waits),
        UNIT_TEST(test_switched_off),
        UNIT_TEST(test_closed_before_it_was_sent),
        UNIT_TEST(test_deleted_and_there_again),
        UNIT_TEST(test_nobody_is_interrupted),
        UNIT_TEST(test_a_child_row_is_an_edit),
        UNIT_TEST(test_a_clock_that_is_ahead_of_ours),
        UNIT_TEST(test_an_old_edit_is_sent_at_once),
        UNIT_TEST(test_quiet_is_the_mappings),
    };

    return UNIT_RUN(tests);
}
