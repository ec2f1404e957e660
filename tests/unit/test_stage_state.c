/* A state that follows from a stage: what is shown of the referral's, in which stage, and what stays as the seller chose it. (deals 5; crm-apis.md B14) */
#include "unit_stage.h"

static void test_a_new_record_waits_and_is_accepted(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    stage_look(s);
    assert_string_equal(stage_of(s), STAGE_HOLD);
    assert_string_equal(s->w->deal.status, "Not accepted");
    assert_has(s->w->deal.problem, "set Stage to Qualification to accept, close as lost to decline");
    stage_rests(s);
    assert_string_equal(stage_pc(s), "New/Pending");
    stage_move_pc(s, "Active", "Accepted");
    stage_look(s);
    assert_string_equal(stage_of(s), "Qualification");
    assert_null(deal_find_step(s->w->plan, CS_STEP_REOPEN));
    stage_rests(s);
    assert_string_equal(s->w->deal.status, "In sync");
}

/* A stage that the seller chose says enough. */
static void test_an_open_stage_is_not_reset(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);

    stage_edit(s, "StageName", "Proposal");
    stage_move_pc(s, "Active", "Accepted");
    stage_look(s);
    assert_string_equal(stage_of(s), "Proposal");
    assert_string_equal(stage_pc(s), "Active/Accepted");
    stage_rests(s);
    assert_string_equal(s->w->deal.status, "In sync");
}

/* Moved within the open stages: Partner Center hears of it at most per cent. */
static void test_open_to_open(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);
    int writes = s->w->writes;

    stage_edit(s, "StageName", "Proposal");
    stage_look(s);
    assert_int_equal(s->w->writes, writes);
    assert_string_equal(stage_pc(s), "Active/Accepted");
    assert_json(s->w, cs_json_get(cs_json_get(s->w->deal.images, CS_LINE_STATE), "crm"),
                "{\"$state\":0,\"StageName\":\"Proposal\",\"IsClosed\":false,\"IsWon\":false}");
    stage_rests(s);
}

static void test_won_in_one_write(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);
    int writes = s->w->writes;

    deal_set(s->w, "/details/notes", "\"the last word\"");
    stage_move_pc(s, "Closed", "Won");
    stage_look(s);
    assert_string_equal(stage_of(s), "Closed Won");
    assert_int_equal(s->w->writes, writes + 1);
    assert_string_equal(cs_json_str(s->w->row, "Description"), "the last word");
    assert_string_equal(cs_json_str(s->w->row, "Status__c"), "Closed");
    assert_null(deal_find_step(s->w->plan, CS_STEP_CALL));
    assert_int_equal(s->w->deal.state, CS_DEAL_CLOSED);
    stage_rests(s);
}

static void test_lost_with_its_reason(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    deal_set(s->w, "/statusReason", "\"ProjectBudgetNotAdequate:too dear\"");
    stage_move_pc(s, "Closed", "Lost");
    stage_look(s);
    assert_string_equal(stage_of(s), "Closed Lost");
    assert_string_equal(cs_json_str(s->w->row, "Loss__c"), "Price");
    stage_rests(s);
}

/* Won in a stage of the organisation's own, and lost in one: nobody resets it. */
static void test_closed_on_both_sides(void **state)
{
    static const struct {
        const char *stage, *sub;
    } ends[] = {{"Won by Partner", "Won"}, {"Dead", "Lost"}};
    size_t i;

    for (i = 0; i < 2; i++) {
        stage_t *s = stage_deal(*state, "Active", NULL);
        int patches = s->w->pc_writes;

        stage_edit(s, "StageName", ends[i].stage);
        stage_move_pc(s, "Closed", ends[i].sub);
        stage_look(s);
        assert_string_equal(stage_of(s), ends[i].stage);
        assert_verdict(s->w, CS_LINE_STATE, CS_VERDICT_EQUAL);
        assert_int_equal(s->w->pc_writes, patches);
        assert_string_equal(cs_json_str(s->w->row, "Status__c"), "Closed");
        stage_rests(s);
    }
}

/* Closed the other way: one write, no reopening. */
static void test_the_end_at_partner_center_counts(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    stage_edit(s, "StageName", "Closed Lost");
    stage_move_pc(s, "Closed", "Won");
    stage_look(s);
    assert_string_equal(stage_of(s), "Closed Won");
    assert_null(deal_find_step(s->w->plan, CS_STEP_REOPEN));
    stage_rests(s);
}

/* A row that was closed when the referral was accepted is open again. */
static void test_accepted_while_closed(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);

    s->w->deal.images = cs_json_own(json_deep_copy(s->w->deal.images), s->w->p);
    stage_edit(s, "StageName", "Closed Lost");
    json_object_set_new(cs_json_get(s->w->deal.images, CS_LINE_STATE), "crm",
                        json_pack("{s:i,s:s,s:b,s:b}", STAGE_STATE, 2, "StageName", "Closed Lost", "IsClosed", 1, "IsWon", 0));
    stage_move_pc(s, "Active", "Accepted");
    stage_look(s);
    assert_string_equal(stage_of(s), "Qualification");
    assert_null(deal_find_step(s->w->plan, CS_STEP_REOPEN));
    stage_rests(s);
}

/* What the referral brings is written into a closed row, and what the seller reads is not stale there. */
static void test_closed_rows_take_values(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    stage_edit(s, "StageName", "Closed Won");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Closed/Won");
    assert_string_equal(s->w->deal.status, "Closed");
    assert_string_equal(cs_json_str(s->w->row, "Status__c"), "Closed");
    deal_edit_pc(s->w, "/referralProgram", "\"Late\"");
    stage_look(s);
    assert_string_equal(cs_json_str(s->w->row, "Program__c"), "Late");
    stage_edit(s, "Description", "typed too late");
    stage_look(s);
    assert_verdict(s->w, "notes", CS_VERDICT_CLOSED);
    assert_has(deal_view(s->w->plan, "notes")->why, "edits stay here");
    stage_rests(s);
}

/* What the seller typed when he closed it, too late to be sent, is not written over by what Partner Center had meanwhile. */
static void test_a_last_word_stays(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);

    stage_edit(s, "StageName", "Closed Lost");
    stage_edit(s, "Description", "not for us");
    deal_edit_pc(s->w, "/details/notes", "\"please call\"");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Closed/Declined");
    stage_look(s);
    stage_rests(s);
    assert_string_equal(cs_json_str(s->w->row, "Description"), "not for us");
    assert_verdict(s->w, "notes", CS_VERDICT_CLOSED);
}

static void test_error_only_unlinks(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    stage_move_pc(s, "Closed", "Error");
    stage_look(s);
    assert_string_equal(stage_of(s), "Qualification");
    assert_int_equal(s->w->deal.state, CS_DEAL_UNLINKED);
}

static void test_expired_only_if_it_was_never_accepted(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL), *t = stage_deal(*state, "Active", NULL);

    stage_move_pc(s, "Closed", "Expired");
    stage_look(s);
    assert_string_equal(stage_of(s), "Closed Lost");
    assert_string_equal(cs_json_str(s->w->row, "Loss__c"), "Other");
    stage_move_pc(t, "Closed", "Expired");
    stage_look(t);
    assert_string_equal(stage_of(t), "Qualification");
}

/* The CRM would take a stage that it does not have, and the record would stay open. */
static void test_a_stage_that_there_is_not(void **state)
{
    static const char *const changes[] = {"/records/opportunity/state/show/Closed~1Won", "{\"set\":{\"StageName\":\"Gewonnen\"}}", NULL};
    stage_t *s = stage_deal(*state, "Active", changes);

    stage_move_pc(s, "Closed", "Won");
    stage_look(s);
    assert_string_equal(stage_of(s), "Qualification");
    assert_verdict(s->w, CS_LINE_STATE, CS_VERDICT_HELD);
    assert_has(s->w->deal.problem, "Stage has no choice \"Gewonnen\"; it has: Prospecting, ");
    stage_rests(s);
    assert_string_equal(stage_of(s), "Qualification");
}

/* One that nobody has told to close, and a rule that keeps the record open, are said once. */
static void test_a_stage_that_does_not_close(void **state)
{
    static const char *const changes[] = {"/records/opportunity/state/show/Closed~1Won", "{\"set\":{\"StageName\":\"Gewonnen\"}}", NULL};
    stage_t *s = stage_deal(*state, "Active", changes);

    s->metadata = NULL;
    stage_move_pc(s, "Closed", "Won");
    stage_look(s);
    assert_string_equal(stage_of(s), "Gewonnen");
    assert_int_equal(stage_journalled(s, "not-kept"), 1);
    stage_rests(s);
    assert_int_equal(stage_journalled(s, "not-kept"), 1);
}

/* What a write showed nothing of is known by the stage alone, and a movement since is heard. */
static void test_a_write_that_showed_nothing(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);

    s->silent = 1;
    stage_move_pc(s, "Active", "Accepted");
    stage_look(s);
    assert_json(s->w, cs_json_get(cs_json_get(s->w->deal.images, CS_LINE_STATE), "crm"), "{\"StageName\":\"Qualification\",\"$state\":0}");
    stage_rests(s);
    assert_string_equal(stage_pc(s), "Active/Accepted");
    stage_move_pc(s, "Active", "Accepted");
    s->w->deal.pc_status = "New/Pending";
    stage_look(s);
    stage_edit(s, "StageName", "Closed Won");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Closed/Won");
    s->silent = 0;
    stage_look(s);
    stage_rests(s);
    assert_string_equal(s->w->deal.status, "Closed");
}

/* A rule that moves a record which was just made accepts nothing; later a person does. */
static void test_moved_by_a_rule(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->rule = "Prospecting";
    s->w->deal.created = s->now;
    stage_look(s);
    assert_int_equal(stage_journalled(s, "not-kept"), 1);
    stage_look(s);
    stage_rests(s);
    assert_int_equal(stage_journalled(s, "not-kept"), 1);
    assert_string_equal(stage_pc(s), "New/Pending");
    assert_verdict(s->w, CS_LINE_STATE, CS_VERDICT_NOT_KEPT);
    assert_has(s->w->deal.problem, "Stage did not stay " STAGE_HOLD "; set it to " STAGE_HOLD " and then to Qualification to accept");
    s->now += apr_time_from_sec(7200);
    stage_edit(s, "StageName", STAGE_HOLD);
    stage_look(s);
    stage_edit(s, "StageName", "Proposal");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Active/Accepted");
}

/* Within two minutes of its making a movement is a rule's, but not a closing. */
static void test_the_first_two_minutes(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL), *t = stage_world(*state, "opportunity", NULL);

    s->w->deal.created = t->w->deal.created = s->now;
    stage_look(s);
    s->now += apr_time_from_sec(60);
    stage_edit(s, "StageName", "Prospecting");
    stage_look(s);
    assert_string_equal(stage_pc(s), "New/Pending");
    assert_verdict(s->w, CS_LINE_STATE, CS_VERDICT_NOT_KEPT);
    stage_look(t);
    t->now += apr_time_from_sec(60);
    stage_edit(t, "StageName", "Closed Lost");
    stage_edit(t, "Loss__c", "Price");
    stage_look(t);
    assert_string_equal(stage_pc(t), "Closed/Declined");
}

/* The state that nobody showed is nobody's. */
static void test_a_hidden_state(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    json_object_del(s->w->row, STAGE_STATE);
    deal_edit_pc(s->w, "/details/notes", "\"new\"");
    stage_plan(s);
    assert_verdict(s->w, CS_LINE_STATE, CS_VERDICT_UNREADABLE);
    assert_int_equal(deal_sent(s->w->plan), 0);
}

/* A stage that the mapping asks for from now on is no movement. */
static void test_a_column_that_was_not_asked_for(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);
    json_t *crm;

    s->w->deal.images = cs_json_own(json_deep_copy(s->w->deal.images), s->w->p);
    crm = cs_json_get(cs_json_get(s->w->deal.images, CS_LINE_STATE), "crm");
    json_object_del(crm, "IsWon");
    json_object_set_new(crm, "Asked_once__c", json_true());
    stage_look(s);
    assert_verdict(s->w, CS_LINE_STATE, CS_VERDICT_EQUAL);
    assert_string_equal(stage_pc(s), "New/Pending");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_new_record_waits_and_is_accepted),
        UNIT_TEST(test_an_open_stage_is_not_reset),
        UNIT_TEST(test_open_to_open),
        UNIT_TEST(test_won_in_one_write),
        UNIT_TEST(test_lost_with_its_reason),
        UNIT_TEST(test_closed_on_both_sides),
        UNIT_TEST(test_the_end_at_partner_center_counts),
        UNIT_TEST(test_accepted_while_closed),
        UNIT_TEST(test_closed_rows_take_values),
        UNIT_TEST(test_a_last_word_stays),
        UNIT_TEST(test_error_only_unlinks),
        UNIT_TEST(test_expired_only_if_it_was_never_accepted),
        UNIT_TEST(test_a_stage_that_there_is_not),
        UNIT_TEST(test_a_stage_that_does_not_close),
        UNIT_TEST(test_a_write_that_showed_nothing),
        UNIT_TEST(test_moved_by_a_rule),
        UNIT_TEST(test_the_first_two_minutes),
        UNIT_TEST(test_a_hidden_state),
        UNIT_TEST(test_a_column_that_was_not_asked_for),
    };

    return UNIT_RUN(tests);
}
