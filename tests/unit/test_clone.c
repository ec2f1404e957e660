/* A record that was copied from a linked one. (deals 1) */
#include "unit_create.h"

static cs_plan_t *clone(create_world_t *w)
{
    cs_plan_t *plan;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    create_see(w);
    assert_ok(cs_reconcile_clone(&plan, &w->look, w->p, w->p, &res));
    assert_true(plan->clone);
    return plan;
}

static create_world_t *copied(apr_pool_t *p, const char *const *changes)
{
    create_world_t *w = create_world(p, changes);

    create_edit(w, "msft_referralidentifier", "\"" DEAL_REFERRAL "\"");
    create_edit(w, "msft_referrallink", "\"https://partner.microsoft.com/x\"");
    create_edit(w, "msft_audit", "\"2026-01-01 10:00 - In sync\"");
    return w;
}

static void test_set_free_in_one_step(void **state)
{
    create_world_t *w = copied(*state, NULL);
    cs_plan_t *plan = clone(w);
    const cs_step_t *step;

    assert_int_equal(plan->what, CS_PLAN_STEPS);
    assert_int_equal(plan->steps->nelts, 1);
    step = APR_ARRAY_IDX(plan->steps, 0, cs_step_t *);
    assert_int_equal(step->kind, CS_STEP_UPDATE);
    assert_string_equal(step->guard, w->record.version);
    assert_json(w, step->columns,
                "{\"msft_syncwithpartnercenter\":false,\"msft_referralidentifier\":null,\"msft_referrallink\":null,\"acme_cosellstatus\":\"Paused\","
                "\"acme_cosellproblem\":\"Copied from another record; switch Sync With Partner Center on again to share it\","
                "\"msft_audit\":\"2026-02-02 02:40 - Copied from another record; switch Sync With Partner Center on again to share it\"}");
    assert_string_equal(plan->problem, "Copied from another record; switch Sync With Partner Center on again to share it");
    assert_null(plan->posted);
    assert_int_equal(json_object_size(step->parts), 6);
}

/* Once it is free it is a record like any other. */
static void test_switched_on_again(void **state)
{
    create_world_t *w = copied(*state, NULL);
    const cs_step_t *step = APR_ARRAY_IDX(clone(w)->steps, 0, cs_step_t *);
    cs_meeting_t meeting;
    cs_result_t res;

    json_object_update(w->row, step->columns);
    memset(&res, 0, sizeof(res));
    create_see(w);
    assert_ok(cs_reconcile_meet_record(&meeting, &w->look, "opportunity", w->p, &res));
    assert_int_equal(meeting.what, CS_MEET_IGNORE);
    create_edit(w, "msft_syncwithpartnercenter", "true");
    create_see(w);
    assert_ok(cs_reconcile_meet_record(&meeting, &w->look, "opportunity", w->p, &res));
    assert_int_equal(meeting.what, CS_MEET_CREATE);
    w->now += CREATE_QUIET;
    create_look(w);
    assert_int_equal(w->posts, 1);
}

static void test_nothing_to_switch_off(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_crm/when", "true", NULL };
    create_world_t *w = copied(*state, changes);
    cs_plan_t *plan = clone(w);

    /* Emptied it would become a referral by itself. */
    assert_int_equal(plan->what, CS_PLAN_HOLD);
    assert_int_equal(plan->steps->nelts, 0);
    assert_has(plan->problem, "take the referral's id off to share it");
}

static void test_closed(void **state)
{
    create_world_t *w = copied(*state, NULL);
    cs_plan_t *plan;

    create_edit(w, "statecode", "1");
    plan = clone(w);
    assert_int_equal(plan->what, CS_PLAN_HOLD);
    assert_int_equal(plan->steps->nelts, 0);
}

static void test_a_column_that_is_not_shown_is_not_written(void **state)
{
    create_world_t *w = copied(*state, NULL);
    const cs_step_t *step;

    json_object_del(w->row, "acme_cosellstatus");
    step = APR_ARRAY_IDX(clone(w)->steps, 0, cs_step_t *);
    assert_null(cs_json_get(step->columns, "acme_cosellstatus"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_set_free_in_one_step),
        UNIT_TEST(test_switched_on_again),
        UNIT_TEST(test_nothing_to_switch_off),
        UNIT_TEST(test_closed),
        UNIT_TEST(test_a_column_that_is_not_shown_is_not_written),
    };

    return UNIT_RUN(tests);
}
