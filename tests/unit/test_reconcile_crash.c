/* The server died between a write and its settling: what the record shows then is ours, not a user's edit, also where the CRM did not keep all of it. */
#include "unit_deal.h"

#define EUROS "60000"

static void assert_quiet(deal_world_t *w)
{
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
}

/* Made without an amount in a CRM that keeps its own currency, then 60,000 EUR were written, and nobody heard of it. */
static deal_world_t *written_unheard(apr_pool_t *p)
{
    deal_world_t *w = deal_world(p, NULL);

    deal_set(w, "/details/dealValue", "null");
    deal_set(w, "/details/currency", "null");
    deal_look(w);
    deal_look(w);
    json_object_set_new(w->habits, "transactioncurrencyid", json_integer(HABIT_IGNORES));
    deal_edit(w, "transactioncurrencyid", "{\"id\":\"usd\",\"isocurrencycode\":\"USD\"}");
    deal_set(w, "/details/dealValue", EUROS);
    deal_set(w, "/details/currency", "\"EUR\"");
    deal_plan(w);
    deal_apply(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), EUROS);
    return w;
}

static void test_half_kept(void **state)
{
    deal_world_t *w = written_unheard(*state);

    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_NOT_KEPT);
    assert_quiet(w);
    assert_verdict(w, "value", CS_VERDICT_NOT_KEPT);
    deal_edit(w, "estimatedvalue", "70000");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_TO_PC);
}

/* Partner Center alone moved since. */
static void test_half_kept_and_moved_on(void **state)
{
    deal_world_t *w = written_unheard(*state);

    deal_set(w, "/details/dealValue", "80000");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_TO_CRM);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "80000");
}

/* Over an amount that was there: the currency is the one that was. */
static void test_half_kept_over_another(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);

    deal_look(w);
    deal_look(w);
    json_object_set_new(w->habits, "transactioncurrencyid", json_integer(HABIT_IGNORES));
    deal_set(w, "/details/dealValue", EUROS);
    deal_set(w, "/details/currency", "\"EUR\"");
    deal_plan(w);
    deal_apply(w);
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_NOT_KEPT);
}

/* The other half: the amount stayed as it was seen, and the currency is ours. */
static void test_amount_not_kept(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);

    deal_look(w);
    deal_look(w);
    json_object_set_new(w->habits, "estimatedvalue", json_integer(HABIT_IGNORES));
    deal_set(w, "/details/dealValue", EUROS);
    deal_set(w, "/details/currency", "\"EUR\"");
    deal_plan(w);
    deal_apply(w);
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_NOT_KEPT);
}

/* Neither what was meant nor what was there: a user typed it. */
static void test_edit_of_the_other_half(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);

    deal_look(w);
    deal_look(w);
    deal_set(w, "/details/dealValue", EUROS);
    deal_set(w, "/details/currency", "\"EUR\"");
    deal_plan(w);
    deal_apply(w);
    deal_edit(w, "transactioncurrencyid", "{\"id\":\"jpy\",\"isocurrencycode\":\"JPY\"}");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_HELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_half_kept), UNIT_TEST(test_half_kept_and_moved_on), UNIT_TEST(test_half_kept_over_another),
                                       UNIT_TEST(test_amount_not_kept), UNIT_TEST(test_edit_of_the_other_half)};

    return UNIT_RUN(tests);
}
