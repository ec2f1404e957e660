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

/* The row was made and nobody heard of it; then both sides were seen to agree on another text, in a look that could not write something else. */
static deal_world_t *agreed_since(apr_pool_t *p)
{
    deal_world_t *w = deal_world(p, NULL);

    deal_plan(w);
    deal_apply(w);
    deal_set(w, "/details/notes", "\"Second call\"");
    deal_edit(w, "description", "\"Second call\"");
    deal_set(w, "/referralProgram", "\"Spring\"");
    w->fail = 1;
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_EQUAL);
    w->fail = 0;
    return w;
}

/* What was meant before that is no longer ours when it comes back. */
static void test_settled_after_a_crash(void **state)
{
    deal_world_t *w = agreed_since(*state);

    deal_edit(w, "description", "\"First call\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC);
    assert_json(w, cs_json_get(w->row, "description"), "\"First call\"");
}

/* What could not be written then still is. */
static void test_unsettled_after_a_crash(void **state)
{
    deal_world_t *w = agreed_since(*state);

    deal_edit(w, "msft_referralprogram", "\"Spring\"");
    deal_set(w, "/referralProgram", "\"Autumn\"");
    deal_look(w);
    assert_verdict(w, "program", CS_VERDICT_TO_CRM);
    assert_json(w, cs_json_get(w->row, "msft_referralprogram"), "\"Autumn\"");
}

/* The same where it was written since, and only the closing failed. */
static void test_written_since(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);
    int i;

    deal_plan(w);
    deal_apply(w);
    deal_set(w, "/details/notes", "\"Second call\"");
    deal_status(w, "Closed", "Lost");
    deal_plan(w);
    deal_apply(w);
    i = w->plan->steps->nelts - 1;
    assert_int_equal(APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *)->kind, CS_STEP_CALL);
    json_object_set_new(w->row, "statecode", json_integer(0));
    json_object_set_new(w->row, "statuscode", json_integer(1));
    w->applied[i].done = 0;
    w->applied[i].result.cls = CS_CLASS_RETRY;
    deal_settle(w);
    assert_non_null(w->deal.intent);
    assert_null(cs_json_pointer(w->deal.intent, "/steps/0/lines/notes"));
}

/* How long the column is was known when the head of the text was written, and is not known when it is read. */
static void test_head_of_a_text(void **state)
{
    static const char *const cut[] = {"/records/opportunity/lines/notes/to_crm", "{\"cut\":\"plain\"}", NULL};
    deal_world_t *w = deal_world(*state, cut);
    cs_result_t res = {0};

    deal_look(w);
    deal_look(w);
    deal_edit_pc(w, "/details/notes", "\"Second call\"");
    deal_fetch(w);
    w->look.metadata = deal_json(w->p, "{\"language\":1033,\"tables\":{\"opportunity\":{\"columns\":{\"description\":{\"type\":\"memo\",\"max\":6}}}}}");
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    deal_apply(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"Second\"");
    deal_look(w);
    assert_int_not_equal(deal_view(w->plan, "notes")->verdict, CS_VERDICT_HELD);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    assert_quiet(w);
    deal_edit(w, "description", "\"Typed\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_head_of_a_text), UNIT_TEST(test_half_kept), UNIT_TEST(test_half_kept_and_moved_on), UNIT_TEST(test_half_kept_over_another),
                                       UNIT_TEST(test_amount_not_kept), UNIT_TEST(test_edit_of_the_other_half),
                                       UNIT_TEST(test_settled_after_a_crash), UNIT_TEST(test_unsettled_after_a_crash), UNIT_TEST(test_written_since)};

    return UNIT_RUN(tests);
}
