/* A look that died between a write and its settling said nothing; the one that finds it in place does, once. */
#include "unit_create.h"

static int told(const apr_array_header_t *journal, const char *direction, const char *action, const char *line, const cs_journal_t **pone)
{
    int i, n = 0;

    for (i = 0; i < journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(journal, i, cs_journal_t *);

        if (!strcmp(j->direction, direction) && !strcmp(j->action, action) && (line ? j->line && !strcmp(j->line, line) : !j->line)) {
            *pone = j;
            n++;
        }
    }
    return n;
}

static void die_after_writing(deal_world_t *w)
{
    deal_plan(w);
    deal_apply(w);
}

static deal_world_t *linked(apr_pool_t *p)
{
    deal_world_t *w = deal_world(p, NULL);

    deal_look(w);
    deal_look(w);
    apr_array_clear(w->journal);
    return w;
}

static void test_written_over_in_the_crm(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit_pc(w, "/details/dealValue", "70000");
    die_after_writing(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "70000");
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
    assert_string_equal(j->outcome, "done");
    assert_string_equal(cs_json_str(j->from, "amount"), "50000.00");
    assert_string_equal(cs_json_str(j->to, "amount"), "70000.00");
    assert_non_null(strstr(j->why, "earlier look"));
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
}

static void test_written_over_at_partner_center(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit(w, "estimatedvalue", "60000");
    die_after_writing(w);
    deal_look(w);
    assert_int_equal(told(w->journal, "to_pc", "update", "value", &j), 1);
    assert_string_equal(cs_json_str(j->from, "amount"), "50000.00");
    assert_string_equal(cs_json_str(j->to, "amount"), "60000.00");
    deal_look(w);
    assert_int_equal(told(w->journal, "to_pc", "update", "value", &j), 1);
}

/* Something else stands there by now, and nobody knows who made it so: what was there is said all the same. */
static void test_something_else_is_there(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit_pc(w, "/details/dealValue", "70000");
    die_after_writing(w);
    deal_edit(w, "estimatedvalue", "70001");
    die_after_writing(w);
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
    assert_string_equal(cs_json_str(j->from, "amount"), "50000.00");
    assert_non_null(strstr(j->why, "may have"));
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
}

/* The last word about a record that goes on alone. */
static void test_written_over_and_unlinked(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit_pc(w, "/details/dealValue", "70000");
    die_after_writing(w);
    deal_status(w, "Closed", "Error");
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_UNLINKED);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
    assert_string_equal(cs_json_str(j->from, "amount"), "50000.00");
}

/* Nothing is compared while it is switched off; what was written over is said when it is on again. */
static void test_written_over_and_switched_off(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit(w, "estimatedvalue", "60000");
    die_after_writing(w);
    deal_edit(w, "msft_syncwithpartnercenter", "false");
    deal_look(w);
    deal_look(w);
    deal_edit(w, "msft_syncwithpartnercenter", "true");
    deal_look(w);
    assert_int_equal(told(w->journal, "to_pc", "update", "value", &j), 1);
    assert_string_equal(cs_json_str(j->from, "amount"), "50000.00");
}

/* Nor is it while the CRM does not show the column. */
static void test_written_over_and_hidden(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;
    json_t *shown;

    deal_edit_pc(w, "/details/notes", "\"Second call\"");
    die_after_writing(w);
    shown = json_incref(cs_json_get(w->row, "description"));
    json_object_del(w->row, "description");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_UNREADABLE);
    assert_int_equal(told(w->journal, "to_crm", "update", "notes", &j), 0);
    json_object_set_new(w->row, "description", shown);
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "notes", &j), 1);
    assert_string_equal(json_string_value(j->to), "Second call");
    assert_non_null(j->from);
}

/* Nothing was written: nothing is said but what is done now. */
static void test_died_before_writing(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit_pc(w, "/details/dealValue", "70000");
    deal_plan(w);
    w->deal.intent = w->plan->intent;
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
    assert_null(strstr(j->why, "earlier look"));
}

static void test_heard_to_its_end(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_journal_t *j = NULL;

    deal_edit_pc(w, "/details/dealValue", "70000");
    deal_look(w);
    deal_look(w);
    assert_int_equal(told(w->journal, "to_crm", "update", "value", &j), 1);
    assert_null(strstr(j->why, "earlier look"));
}

static void test_posted(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    const cs_journal_t *j = NULL;
    cs_applied_t applied = { 0 };
    const cs_step_t *step;

    create_plan(w);
    step = deal_find_step(w->plan, CS_STEP_POST_PC);
    assert_non_null(step);
    w->deal.intent = w->plan->intent;
    create_post(w, step, &applied);
    create_look(w);
    assert_int_equal(told(w->journal, "to_pc", "create", NULL, &j), 1);
    assert_non_null(strstr(j->why, "earlier look"));
    create_look(w);
    assert_int_equal(told(w->journal, "to_pc", "create", NULL, &j), 1);
    assert_int_equal(w->posts, 1);
}

static void test_posted_and_heard(void **state)
{
    create_world_t *w = create_world(*state, NULL);
    const cs_journal_t *j = NULL;

    create_look(w);
    create_look(w);
    create_look(w);
    assert_int_equal(w->posts, 1);
    assert_int_equal(told(w->journal, "to_pc", "create", NULL, &j), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_written_over_in_the_crm),
        UNIT_TEST(test_written_over_at_partner_center),
        UNIT_TEST(test_something_else_is_there),
        UNIT_TEST(test_written_over_and_unlinked),
        UNIT_TEST(test_written_over_and_switched_off),
        UNIT_TEST(test_written_over_and_hidden),
        UNIT_TEST(test_died_before_writing),
        UNIT_TEST(test_heard_to_its_end),
        UNIT_TEST(test_posted),
        UNIT_TEST(test_posted_and_heard),
    };

    return UNIT_RUN(tests);
}
