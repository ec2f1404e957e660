/* POST is not idempotent: what was sent and not answered, and what was refused. (deals 3) */
#include "unit_create.h"

#define AWAITED "Partner Center has not answered yet; it is looked for before it is sent again"

static create_world_t *unanswered(apr_pool_t *p)
{
    create_world_t *w = create_world(p, NULL);

    w->answer = ANSWER_NONE;
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_int_equal(w->deal.state, CS_DEAL_NEW);
    assert_string_equal(cs_json_str(cs_json_get(w->deal.posted, "own"), "state"), "sent");
    return w;
}

static void test_looked_for_three_times(void **state)
{
    static const int minutes[] = { 5, 15, 60 };
    create_world_t *w = unanswered(*state);
    apr_time_t sent = w->now;
    int i;

    w->answer = ANSWER_NOT_FOUND;
    for (i = 0; i < 3; i++) {
        w->now = sent + SEC(60 * minutes[i]) - 1;
        create_look(w);
        assert_null(deal_find_step(w->plan, CS_STEP_POST_PC));
        assert_int_equal(w->plan->look_at, sent + SEC(60 * minutes[i]));
        assert_told(w, "Sending", AWAITED);
        w->now++;
        create_plan(w);
        create_post_step(w, "find");
        assert_json(w, deal_find_step(w->plan, CS_STEP_POST_PC)->columns, "{\"externalReferenceId\":\"" CREATE_RECORD "\"}");
        create_look(w);
        assert_int_equal(w->posts, 1);
    }
    /* Told once, and then sent again. */
    assert_int_equal(w->writes, 1);
    w->answer = ANSWER_MADE;
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
}

static void test_found(void **state)
{
    create_world_t *w = unanswered(*state);
    int journal;

    create_plan(w);
    w->now += SEC(300);
    w->own = create_made(w, deal_json(w->p, "{\"name\":\"Fabrikam migration\",\"details\":{\"notes\":\"Lift and shift\",\"dealValue\":50000,\"currency\":\"USD\","
                                            "\"closingDateTime\":\"2026-06-30T12:00:00Z\"}}"),
                         0);
    w->answer = ANSWER_FOUND;
    journal = w->journal->nelts;
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_int_equal(w->journal->nelts, journal + 1);
    assert_string_equal(APR_ARRAY_IDX(w->journal, journal, cs_journal_t *)->action, "create");
    assert_has(APR_ARRAY_IDX(w->journal, journal, cs_journal_t *)->why, "an earlier attempt");
    create_look(w);
    assert_verdict(w, "notes", CS_VERDICT_EQUAL);
}

/* What was edited between the sending and the finding is an edit like any other. */
static void test_edited_before_it_was_found(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->answer = ANSWER_NONE;
    create_look(w);
    w->own = create_made(w, deal_find_step(w->plan, CS_STEP_POST_PC)->columns, 0);
    w->now += SEC(60);
    create_edit(w, "description", "\"later\"");
    create_look(w);
    w->now += SEC(300);
    w->answer = ANSWER_FOUND;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    create_plan(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC);
    assert_verdict(w, "value", CS_VERDICT_EQUAL);
}

/* A notice told of the referral before anybody searched for it: whoever meets it notes what was posted as answered. */
static create_world_t *met(apr_pool_t *p)
{
    create_world_t *w = create_world(p, NULL);

    w->answer = ANSWER_NONE;
    create_look(w);
    w->own = create_made(w, deal_find_step(w->plan, CS_STEP_POST_PC)->columns, 0);
    json_object_set_new(create_posted(w, "own"), "state", json_string("done"));
    w->deal.referral_id = DEAL_REFERRAL;
    w->deal.engagement_id = CREATE_ENGAGEMENT;
    w->now += SEC(60);
    return w;
}

static void test_the_record_counts_until_it_is_sent(void **state)
{
    create_world_t *w = met(*state);
    int i;

    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("theirs")));
    w->stopped = 1;
    for (i = 0; i < 3; i++) {
        create_look(w);
        assert_verdict(w, "notes", CS_VERDICT_TO_PC);
        w->now += SEC(60);
    }
    w->stopped = 0;
    create_look(w);
    assert_string_equal(cs_json_str(cs_json_get(w->own, "details"), "notes"), "Lift and shift");
    create_look(w);
    assert_verdict(w, "notes", CS_VERDICT_EQUAL);
}

/* Who writes there after the first comparing is asked, and not overwritten. */
static void test_edited_before_the_record_was_sent(void **state)
{
    create_world_t *w = met(*state);

    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("theirs")));
    w->stopped = 1;
    create_look(w);
    assert_ok(cs_json_pointer_set(w->own, "/details/notes", json_string("theirs again")));
    w->stopped = 0;
    create_look(w);
    assert_verdict(w, "notes", CS_VERDICT_SKIPPED);
    assert_string_equal(cs_json_str(cs_json_get(w->own, "details"), "notes"), "theirs again");
}

static void win(create_world_t *w)
{
    create_edit(w, "statecode", "1");
    create_edit(w, "statuscode", "3");
}

static void assert_won(create_world_t *w)
{
    create_look(w);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_TO_PC);
    assert_string_equal(cs_json_str(w->own, "substatus"), "Won");
    create_look(w);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_EQUAL);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
}

static void lose(create_world_t *w)
{
    json_object_set_new(w->own, "status", json_string("Closed"));
    json_object_set_new(w->own, "substatus", json_string("Lost"));
}

static void assert_lost(create_world_t *w)
{
    const cs_step_t *step;

    create_plan(w);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_TO_CRM);
    step = deal_find_step(w->plan, CS_STEP_CALL);
    assert_non_null(step);
    assert_string_equal(step->call, "LoseOpportunity");
}

/* It was open when it was sent: who closed it since is heard. */
static void test_won_before_it_was_found(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->answer = ANSWER_NONE;
    create_look(w);
    w->own = create_made(w, deal_find_step(w->plan, CS_STEP_POST_PC)->columns, 0);
    win(w);
    w->now += SEC(300);
    w->answer = ANSWER_FOUND;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_won(w);
}

/* Nor is it forgotten when the referral was closed meanwhile. */
static void test_lost_before_it_was_found(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->answer = ANSWER_NONE;
    create_look(w);
    w->own = create_made(w, deal_find_step(w->plan, CS_STEP_POST_PC)->columns, 0);
    lose(w);
    w->now += SEC(300);
    w->answer = ANSWER_FOUND;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_lost(w);
}

static void test_lost_before_it_was_met(void **state)
{
    create_world_t *w = met(*state);

    lose(w);
    assert_lost(w);
}

/* It was stored that the referral is there, and nothing more: a referral that is met closed has no record, but this one has. */
static void test_lost_before_it_was_linked(void **state)
{
    create_world_t *w = met(*state);
    cs_meeting_t meeting;
    cs_result_t res = {0};

    lose(w);
    create_see(w);
    assert_ok(cs_reconcile_meet(&meeting, &w->look, w->p, &res));
    assert_int_equal(meeting.what, CS_MEET_LINK);
    assert_string_equal(meeting.record_id, CREATE_RECORD);
    json_object_del(w->deal.posted, "own");
    assert_ok(cs_reconcile_meet(&meeting, &w->look, w->p, &res));
    assert_int_equal(meeting.what, CS_MEET_CLOSED);
}

static void test_won_before_it_was_met(void **state)
{
    create_world_t *w = met(*state);
    int i;

    win(w);
    w->stopped = 1;
    for (i = 0; i < 3; i++) {
        create_look(w);
        assert_verdict(w, CS_LINE_STATE, CS_VERDICT_TO_PC);
    }
    w->stopped = 0;
    assert_won(w);
}

static void test_switched_off_while_unanswered(void **state)
{
    create_world_t *w = unanswered(*state);

    create_edit(w, "msft_syncwithpartnercenter", "false");
    w->now += SEC(300);
    create_plan(w);
    create_post_step(w, "find"); /* it may be there */
}

static void test_deleted_while_unanswered(void **state)
{
    create_world_t *w = unanswered(*state);

    w->row = NULL;
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
}

static create_world_t *refused(apr_pool_t *p)
{
    create_world_t *w = create_world(p, NULL);

    w->answer = ANSWER_REFUSED;
    w->refusal = "the customer's address is unknown";
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_string_equal(cs_json_str(cs_json_get(w->deal.posted, "own"), "state"), "refused");
    assert_string_equal(APR_ARRAY_IDX(w->journal, w->journal->nelts - 1, cs_journal_t *)->outcome, "refused");
    create_look(w);
    assert_told(w, "Needs you", "Partner Center refused it: the customer's address is unknown");
    assert_int_equal(w->posts, 1);
    return w;
}

static void test_refused_until_it_is_something_else(void **state)
{
    create_world_t *w = refused(*state);
    int i;

    for (i = 0; i < 3; i++) {
        w->now += SEC(3600);
        create_look(w);
    }
    assert_int_equal(w->posts, 1);
    assert_int_equal(w->writes, 1);
    /* An edit that changes nothing of it does not help; */
    create_edit(w, "statuscode", "2");
    w->now += SEC(3600);
    create_look(w);
    assert_int_equal(w->posts, 1);
    /* one that does is waited for like any other. */
    create_edit(w, "description", "\"better\"");
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_told(w, "Sending", apr_pstrcat(w->p, "Sends at ", cs_time_format_minute(w->now + CREATE_QUIET, w->p) + 11, " UTC", NULL));
    w->now += CREATE_QUIET;
    w->answer = ANSWER_MADE;
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
}

static void test_a_notice_wakes_what_was_refused(void **state)
{
    create_world_t *w = refused(*state);

    w->notified = 1;
    create_look(w);
    assert_int_equal(w->posts, 1); /* what the seller was told comes back as a notice */
    w->now += SEC(300);
    create_look(w);
    assert_int_equal(w->posts, 2);
    /* It is woken for good, though it waits until nobody writes any more. */
    create_edit(w, "statuscode", "2");
    create_look(w);
    assert_int_equal(w->posts, 2);
    assert_string_equal(w->deal.status, "Sending");
    w->notified = 0;
    w->now += CREATE_QUIET;
    create_look(w);
    assert_int_equal(w->posts, 3);
    create_look(w);
    assert_string_equal(w->deal.status, "Needs you");
}

/* What every notice tries again is said once; another reason is news. */
static void test_a_refusal_is_said_once(void **state)
{
    create_world_t *w = refused(*state);
    int i, said = w->journal->nelts;

    w->notified = 1;
    for (i = 0; i < 3; i++) {
        w->now += SEC(300);
        create_look(w);
        create_look(w);
    }
    assert_int_equal(w->posts, 4);
    assert_int_equal(w->journal->nelts, said);
    w->refusal = "the country is unknown";
    w->now += SEC(300);
    create_look(w);
    create_look(w);
    assert_told(w, "Needs you", "Partner Center refused it: the country is unknown");
    assert_int_equal(w->journal->nelts, said + 3); /* the refusal, what the seller reads, and that it waits */
}

static void test_a_new_mapping_wakes_what_was_refused(void **state)
{
    static const char *const changes[] = { "/revision", "\"other\"", NULL };
    create_world_t *w = refused(*state);

    w->mapping = create_mapping(w->p, changes);
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
    create_look(w);
    assert_int_equal(w->posts, 2);
}

static void test_still_not_ready_after_a_refusal(void **state)
{
    create_world_t *w = refused(*state);

    create_edit(w, "estimatedclosedate", "null");
    create_look(w);
    assert_told(w, "Waiting", "Waiting for: Est. Close Date");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_looked_for_three_times),
        UNIT_TEST(test_found),
        UNIT_TEST(test_edited_before_it_was_found),
        UNIT_TEST(test_the_record_counts_until_it_is_sent),
        UNIT_TEST(test_edited_before_the_record_was_sent),
        UNIT_TEST(test_won_before_it_was_found),
        UNIT_TEST(test_won_before_it_was_met),
        UNIT_TEST(test_lost_before_it_was_found),
        UNIT_TEST(test_lost_before_it_was_met),
        UNIT_TEST(test_lost_before_it_was_linked),
        UNIT_TEST(test_switched_off_while_unanswered),
        UNIT_TEST(test_deleted_while_unanswered),
        UNIT_TEST(test_refused_until_it_is_something_else),
        UNIT_TEST(test_a_notice_wakes_what_was_refused),
        UNIT_TEST(test_a_refusal_is_said_once),
        UNIT_TEST(test_a_new_mapping_wakes_what_was_refused),
        UNIT_TEST(test_still_not_ready_after_a_refusal),
    };

    return UNIT_RUN(tests);
}
