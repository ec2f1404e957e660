/* What stands in a deal's way, as it is counted: stable keys, texts without any deal's own values. */
#include "unit_create.h"

static void assert_causes(create_world_t *w, const char *text)
{
    json_t *wanted = deal_json(w->p, text);

    if (!json_equal(wanted, w->deal.causes)) {
        fail_msg("causes are %s", cs_json_print(w->deal.causes, w->p));
    }
}

static create_world_t *linked(apr_pool_t *p)
{
    create_world_t *w = create_world(p, NULL);

    create_look(w);
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    return w;
}

static void test_waits_for_an_input(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    json_object_set_new(cs_json_get(w->row, "parentaccountid"), "address1_country", json_null());
    create_look(w);
    assert_causes(w, "{\"waits country\":\"Account \xe2\x80\xba Country is empty\"}");
}

static void test_a_lookup_without_row_is_one_cause(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "parentaccountid", "null");
    create_look(w);
    assert_causes(w, "{\"waits parentaccountid\":\"Account is empty\"}");
}

static void test_solutions_missing(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->related = deal_json(w->p, "{\"solutions\":[],\"team\":[]}");
    create_look(w);
    assert_causes(w, "{\"waits solutions\":\"Solution is empty\"}");
}

static void test_without_labels_the_key_stays(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->metadata = NULL;
    json_object_set_new(cs_json_get(w->row, "parentaccountid"), "address1_country", json_null());
    create_look(w);
    assert_causes(w, "{\"waits country\":\"country is empty\"}");
}

static void test_nothing_stands_in_the_way(void **state)
{
    create_world_t *w = linked(*state);

    assert_causes(w, "{}");
    create_edit(w, "name", "\"Contoso\""); /* a rule keeps it: it rests */
    create_look(w);
    assert_causes(w, "{}");
}

static void test_conflict(void **state)
{
    create_world_t *w = linked(*state);

    assert_ok(cs_json_pointer_set(w->own, "/details/dealValue", json_integer(70000)));
    create_edit(w, "estimatedvalue", "60000");
    create_look(w);
    assert_causes(w, "{\"conflict value\":\"Est. Revenue was changed on both sides\"}");
    create_edit(w, "estimatedvalue", "65000"); /* the next edit settles it */
    create_look(w);
    create_look(w);
    assert_causes(w, "{}");
}

static void test_refused_referral(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    w->answer = ANSWER_REFUSED;
    w->refusal = "Country is not valid";
    create_look(w);
    create_look(w);
    assert_causes(w, "{\"refused referral\":\"Partner Center refused to make the referral\"}");
}

static void test_parked(void **state)
{
    create_world_t *w = linked(*state);
    cs_deal_t fresh = w->deal;
    cs_plan_t *plan;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    fresh.state = CS_DEAL_NEW;
    fresh.images = fresh.intent = fresh.posted = NULL;
    fresh.record_id = "5b1c9a70-0000-4000-8000-00000000dead";
    create_see(w);
    w->look.deal = &fresh;
    w->look.record = NULL;
    w->look.record_read = 1;
    assert_ok(cs_reconcile_plan(&plan, &w->look, w->p, w->p, &res));
    assert_int_equal(plan->what, CS_PLAN_PARK);
    assert_true(json_equal(plan->causes, deal_json(w->p, "{\"parked missing\":\"Partner Center names a record that does not exist\"}")));
}

static void test_closed_has_none(void **state)
{
    create_world_t *w = linked(*state);

    json_object_set_new(w->own, "status", json_string("Closed"));
    json_object_set_new(w->own, "substatus", json_string("Expired"));
    create_look(w);
    assert_causes(w, "{}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_waits_for_an_input), UNIT_TEST(test_a_lookup_without_row_is_one_cause),
        UNIT_TEST(test_solutions_missing), UNIT_TEST(test_without_labels_the_key_stays),
        UNIT_TEST(test_nothing_stands_in_the_way), UNIT_TEST(test_conflict),
        UNIT_TEST(test_refused_referral), UNIT_TEST(test_parked), UNIT_TEST(test_closed_has_none),
    };

    return UNIT_RUN(tests);
}
