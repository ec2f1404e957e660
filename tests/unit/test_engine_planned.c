/* Looks that no notice asks for: a changed mapping, the brake that stops it, and what waits or was refused. */
#include "mod_cosell/remote/crm.h"
#include "unit_engine.h"

static void change_mapping(const char *revision, const char *lines)
{
    W->site.crms[0].mapping = make_mapping(W->p, revision, "", lines);
    begin_lane();
}

static void test_changed_mapping_reaches_every_deal(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    live_with(15);
    assert_int_equal(count_set("description"), 0);
    assert_string_equal(fact(CS_FACT_MAPPING CRM_NAME), cs_mapping_digest(W->site.crms[0].mapping));
    change_mapping("2", NOTES_LINE);
    work();
    assert_int_equal(count_set("description"), 15);
    assert_null(suspended(CS_BRAKE_MAPPING));
    assert_string_equal(fact(CS_FACT_MAPPING CRM_NAME), cs_mapping_digest(W->site.crms[0].mapping));
    assert_null(fact(CS_FACT_PLANNED CRM_NAME));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

static void test_unchanged_mapping_costs_nothing(void **state)
{
    apr_pool_t *p = *state;
    int gets;

    new_world(p);
    live_with(15);
    gets = W->gets;
    begin_lane();
    work();
    assert_int_equal(W->gets, gets);
}

static void test_pass_goes_on_where_it_was(void **state)
{
    apr_pool_t *p = *state;
    int before;

    new_world(p);
    W->pc_upstream.rate = 0.25; /* five deals a batch */
    live_with(15);
    change_mapping("2", NOTES_LINE);
    one_batch();
    one_batch();
    before = count_set("description");
    assert_true(before > 0 && before < 15);
    assert_has(fact(CS_FACT_PLANNED CRM_NAME), "\"after\"");
    begin_lane(); /* the runner was killed */
    work();
    assert_int_equal(count_set("description"), 15);
    assert_true(W->rows_written <= 15 + 15 + 15); /* made, told, changed: each once */
}

static void test_brake_trips_before_anything_is_written(void **state)
{
    apr_pool_t *p = *state;
    const cs_suspended_t *why;
    int written;

    new_world(p);
    live_with(60);
    written = W->rows_written;
    change_mapping("2", NOTES_LINE);
    work();
    assert_int_equal(W->rows_written, written);
    assert_int_equal(count_set("description"), 0);
    why = suspended(CS_BRAKE_MAPPING);
    assert_non_null(why);
    assert_has(why->detail, "60 of 60 deals");
    assert_has(why->detail, "notes (60)");
    assert_has(why->detail, "revision 2");
    assert_int_equal(why->probe, 0);
    assert_int_equal(journal_lines("pause"), 1);
    pass_seconds(7200); /* it does not open by itself */
    assert_int_equal(work(), 0);
    assert_int_equal(count_set("description"), 0);
}

static void test_brake_names_the_sellers_columns_by_words(void **state)
{
    apr_pool_t *p = *state;
    char *text = apr_pstrdup(p, double_quoted(p, apr_psprintf(p, mapping_text, "2", "", ""))), *column;
    cs_mapping_t *mapping;
    cs_result_t res = {0};

    new_world(p);
    live_with(60);
    column = strstr(text, "cosell_status");
    memcpy(column, "cosell_spoken", strlen("cosell_spoken"));
    assert_ok(cs_mapping_parse(&mapping, text, strlen(text), "test.json", cs_crm_facts_of("dynamics365"), NULL, p, &res));
    W->site.crms[0].mapping = mapping;
    begin_lane();
    work();
    assert_has(suspended(CS_BRAKE_MAPPING)->detail, "most of them in what the seller reads (60);");
}

static void test_brake_counts_over_batches(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    W->pc_upstream.rate = 0.5; /* ten deals a batch */
    live_with(60);
    change_mapping("2", NOTES_LINE);
    work();
    assert_int_equal(count_set("description"), 20); /* what max(20, 5 %) allows, and not one more */
    assert_has(suspended(CS_BRAKE_MAPPING)->detail, "at least 30 of 60 deals");
    begin_lane(); /* a restart forgets nothing */
    work();
    assert_int_equal(count_set("description"), 20);
}

/* Records that changed a moment ago are written seconds later than the others: it is one cause all the same. */
static void test_brake_counts_what_is_put_off(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(24);
    for (i = 0; i < 19; i++) {
        row_by_id("opportunity", deal_of(&W->referral[i])->record_id)->young = 1;
    }
    change_mapping("2", NOTES_LINE);
    work();
    assert_int_equal(count_set("description"), 0);
    assert_has(suspended(CS_BRAKE_MAPPING)->detail, "at least 24 of 24 deals");
    pass_seconds(3);
    work();
    assert_int_equal(count_set("description"), 0);
    assert_int_equal(journal_lines("pause"), 1);
}

/* Fewer than the measure are written, each when its moment is over. */
static void test_few_that_are_put_off_are_written(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(20);
    for (i = 0; i < 12; i++) {
        row_by_id("opportunity", deal_of(&W->referral[i])->record_id)->young = 1;
    }
    change_mapping("2", NOTES_LINE);
    work();
    assert_int_equal(count_set("description"), 8);
    pass_seconds(3);
    work();
    assert_int_equal(count_set("description"), 20);
    assert_null(suspended(CS_BRAKE_MAPPING));
}

static void test_own_notice_goes_through_the_brake(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    live_with(60);
    change_mapping("2", NOTES_LINE);
    work();
    notify(&W->referral[7]);
    work();
    assert_int_equal(count_set("description"), 1);
    assert_null(work_of(&W->referral[7]));
    assert_non_null(suspended(CS_BRAKE_MAPPING));
}

static void test_another_mapping_releases_the_brake(void **state)
{
    apr_pool_t *p = *state;
    int written;

    new_world(p);
    live_with(60);
    written = W->rows_written;
    change_mapping("2", NOTES_LINE);
    work();
    change_mapping("3", "");
    work();
    assert_null(suspended(CS_BRAKE_MAPPING));
    assert_int_equal(W->rows_written, written);
    assert_int_equal(counts_of(W->store, SITE, p).suspended, 0);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

static void release(const char *brake)
{
    ask_for("release", apr_pstrcat(W->p, "{\"brake\":\"", brake, "\"}", NULL));
    work();
}

static void test_person_releases_the_brake(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    live_with(60);
    change_mapping("2", NOTES_LINE);
    work();
    release("mapping");
    assert_null(suspended(CS_BRAKE_MAPPING));
    assert_int_equal(count_set("description"), 60);
    assert_int_equal(journal_lines("release"), 1);
    begin_lane();
    work();
    assert_null(suspended(CS_BRAKE_MAPPING));
    release("nonsense");
    assert_int_equal(journal_lines("release"), 2);
}

/* Deals that wait are looked at without being asked; under a wrong mapping that is no reason of their own. */
static void test_planned_looks_do_not_go_around_the_brake(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", NOTES_LINE);
    W->refuses = "description";
    W->pc_upstream.rate = 0.5; /* ten deals a batch */
    live_with(60);
    W->refuses = NULL;
    pass_seconds(901); /* every deal's next look is due when the mapping changes */
    for (i = 0; i < W->rows->nelts; i++) {
        assert_null(cs_json_str(APR_ARRAY_IDX(W->rows, i, row_t).row, "cosell_mark"));
    }
    change_mapping("2", NOTES_LINE ",'mark':{'pc':'/name','crm':'cosell_mark','type':'text','max':300,'direction':'to_crm','introduce':'partner-center'}");
    work();
    assert_true(count_set("cosell_mark") <= 20);
    assert_non_null(suspended(CS_BRAKE_MAPPING));
}

/* What failed and is repeated was counted when it was planned first. */
static void test_repeats_are_counted_once_by_the_brake(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(15);
    change_mapping("2", NOTES_LINE);
    W->fails_updates = 1;
    for (i = 0; i < 3; i++) {
        work();
        pass_seconds(400);
    }
    W->fails_updates = 0;
    work();
    pass_seconds(400);
    work();
    assert_null(suspended(CS_BRAKE_MAPPING));
    assert_int_equal(count_set("description"), 15);
}

static void test_side_that_reads_as_missing_is_no_deletion(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(60);
    W->crm_blind = 1;
    for (i = 0; i < 60; i++) {
        notify(&W->referral[i]);
    }
    work();
    assert_has(suspended(CS_BRAKE_MISSING CRM_NAME)->detail, "60 of 60");
    for (i = 0; i < 60; i++) {
        assert_int_equal(deal_of(&W->referral[i])->state, CS_DEAL_LINKED);
    }
    notify(&W->referral[3]); /* still nothing to be seen: still paused */
    work();
    assert_int_equal(deal_of(&W->referral[3])->state, CS_DEAL_LINKED);
    W->crm_blind = 0;
    notify(&W->referral[3]);
    work();
    assert_null(work_of(&W->referral[3]));
    release("missing:" CRM_NAME);
    assert_int_equal(counts_of(W->store, SITE, p).suspended, 0);
    assert_int_equal(deal_of(&W->referral[9])->state, CS_DEAL_LINKED);
}

static void test_few_that_are_missing_are_believed(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(60);
    for (i = 0; i < 3; i++) {
        row_by_id("opportunity", deal_of(&W->referral[i])->record_id)->row = NULL;
        notify(&W->referral[i]);
    }
    work();
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_GONE);
    assert_int_equal(deal_of(&W->referral[2])->state, CS_DEAL_GONE);
    assert_null(suspended(CS_BRAKE_MISSING CRM_NAME));
}

static void test_refused_line_is_tried_again_ever_more_rarely(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    cs_deal_t *deal;
    int writes;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", NOTES_LINE);
    W->refuses = "description";
    live_with(1);
    r = &W->referral[0];
    deal = deal_of(r);
    assert_int_equal(deal->state, CS_DEAL_LINKED);
    assert_true(deal->next_look > cs_time_now() + 800 * SEC && deal->next_look <= cs_time_now() + 900 * SEC);
    writes = W->writes;
    pass_seconds(901);
    work();
    assert_true(W->writes > writes); /* sent again without being asked */
    deal = deal_of(r);
    assert_true(deal->next_look > cs_time_now() + 1700 * SEC);
    assert_int_equal(deal->planned, 1);
    writes = W->writes;
    pass_seconds(901);
    work();
    assert_int_equal(W->writes, writes);
    W->refuses = NULL;
    pass_seconds(901);
    work();
    deal = deal_of(r);
    assert_int_equal(count_set("description"), 1);
    assert_int_equal(deal->next_look, 0);
    assert_int_equal(deal->planned, 0);
}

static void test_repeat_is_no_notice(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    cs_work_t *row;

    new_world(p);
    live_with(1);
    r = &W->referral[0];
    W->crm_fails = CS_CLASS_RETRY;
    notify(r);
    work();
    row = work_of(r);
    assert_int_equal(row->attempts, 1);
    assert_true(cs_work_notified(row)); /* nothing came of it yet */
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(400);
    work();
    assert_null(work_of(r));
}

/* Somebody's workflow puts its own value back after each write of ours. */
static void test_quarrel_is_left_for_an_hour(void **state)
{
    apr_pool_t *p = *state;
    const json_t *told;
    referral_t *r;
    int i, writes;

    new_world(p);
    live_with(1);
    r = &W->referral[0];
    captured_clear();
    for (i = 0; i < 14; i++) {
        row_t *row = row_by_id("opportunity", deal_of(r)->record_id);
        row->version++;
        json_object_set_new(row->row, "name", json_string("workflow"));
        set_member(r, "/name", apr_psprintf(p, "'Deal again %d'", i));
        notify(r);
        work();
    }
    writes = W->writes;
    assert_has(deal_of(r)->problem, "12 times within an hour");
    assert_has(deal_of(r)->problem, "Held until");
    assert_string_equal(deal_of(r)->status, "Paused");
    told = row_by_id("opportunity", deal_of(r)->record_id)->row; /* and so does the seller */
    assert_string_equal(cs_json_str(told, "cosell_status"), "Paused");
    assert_has(cs_json_str(told, "cosell_problem"), "Held until");
    assert_true(deal_of(r)->next_look > cs_time_now() && deal_of(r)->next_look <= cs_time_now() + 3600 * SEC);
    assert_int_equal(journal_lines("pause"), 1);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 1);
    set_member(r, "/name", "'Deal at last'");
    notify(r);
    work();
    assert_int_equal(W->writes, writes);
    pass_seconds(3601);
    work();
    assert_true(W->writes > writes);
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(r)->record_id)->row, "name"), "Deal at last");
    assert_string_equal(deal_of(r)->status, "In sync");
}

/* What the seller reads goes against nobody, and what only one side changed is copied. */
static void test_who_edits_often_has_no_quarrel(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    row_t *row;
    int i;

    new_world(p);
    live_with(1);
    r = &W->referral[0];
    for (i = 0; i < 40; i++) {
        row = row_by_id("opportunity", deal_of(r)->record_id);
        row->version++;
        json_object_set_new(row->row, "cosell_status", json_string("somebody's words"));
        json_object_set_new(row->row, "description", json_string(apr_psprintf(p, "edit %d", i)));
        if (i % 2) {
            set_member(r, "/name", apr_psprintf(p, "'Name %d'", i));
        }
        notify(r);
        work();
    }
    row = row_by_id("opportunity", deal_of(r)->record_id);
    assert_string_equal(cs_json_str(row->row, "name"), "Name 39");
    assert_string_equal(cs_json_str(row->row, "cosell_status"), "In sync");
    assert_int_equal(deal_of(r)->crossed, 0);
    assert_int_equal(journal_lines("pause"), 0);
}

static void test_person_releases_a_quarrel(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    row_t *row;
    int i;

    new_world(p);
    live_with(1);
    r = &W->referral[0];
    for (i = 0; i < 14; i++) {
        row = row_by_id("opportunity", deal_of(r)->record_id);
        row->version++;
        json_object_set_new(row->row, "name", json_string("workflow"));
        set_member(r, "/name", apr_psprintf(p, "'Deal again %d'", i));
        notify(r);
        work();
    }
    assert_true(cs_deal_quarrels(deal_of(r), cs_time_now()));
    release("quarrel:77");
    work();
    assert_true(cs_deal_quarrels(deal_of(r), cs_time_now()));
    release(apr_psprintf(p, "quarrel:%" APR_INT64_T_FMT, deal_of(r)->id));
    work();
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(r)->record_id)->row, "name"), "Deal again 13");
    assert_string_equal(deal_of(r)->status, "In sync");
    assert_false(cs_deal_quarrels(deal_of(r), cs_time_now()));
    assert_int_equal(journal_lines("release"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_changed_mapping_reaches_every_deal),
        UNIT_TEST(test_unchanged_mapping_costs_nothing),
        UNIT_TEST(test_pass_goes_on_where_it_was),
        UNIT_TEST(test_brake_trips_before_anything_is_written),
        UNIT_TEST(test_brake_names_the_sellers_columns_by_words),
        UNIT_TEST(test_brake_counts_over_batches),
        UNIT_TEST(test_brake_counts_what_is_put_off),
        UNIT_TEST(test_few_that_are_put_off_are_written),
        UNIT_TEST(test_own_notice_goes_through_the_brake),
        UNIT_TEST(test_another_mapping_releases_the_brake),
        UNIT_TEST(test_person_releases_the_brake),
        UNIT_TEST(test_planned_looks_do_not_go_around_the_brake),
        UNIT_TEST(test_repeats_are_counted_once_by_the_brake),
        UNIT_TEST(test_side_that_reads_as_missing_is_no_deletion),
        UNIT_TEST(test_few_that_are_missing_are_believed),
        UNIT_TEST(test_refused_line_is_tried_again_ever_more_rarely),
        UNIT_TEST(test_repeat_is_no_notice),
        UNIT_TEST(test_quarrel_is_left_for_an_hour),
        UNIT_TEST(test_who_edits_often_has_no_quarrel),
        UNIT_TEST(test_person_releases_a_quarrel),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
