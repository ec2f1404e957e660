/* The smallest cases that random deals (test_reconcile_properties.c) found, each a reason why looks did not come to rest or wrote what they should not.
 */
#include "unit_refuse.h"

#define LINES "/records/opportunity/lines/"
#define TELL "/records/opportunity/tell/"
#define LISTS "/records/opportunity/lists"

static const json_t *column_sent(deal_world_t *w, const char *column)
{
    const cs_step_t *step = deal_find_step(w->plan, CS_STEP_UPDATE);

    return step ? cs_json_get(step->columns, column) : NULL;
}

static void assert_quiet(deal_world_t *w)
{
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
}

/* The world at rest: made, looked at twice. */
static deal_world_t *at_rest(apr_pool_t *p, const char *const *changes)
{
    deal_world_t *w = deal_world(p, changes);

    deal_look(w);
    deal_look(w);
    assert_quiet(w);
    return w;
}

/* Whether it is open cannot be read: nothing is written into what may be closed. */
static void test_hidden_state(void **state)
{
    deal_world_t *w = at_rest(*state, NULL);

    deal_set(w, "/details/notes", "\"Second call\"");
    json_object_del(w->row, "statecode");
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_verdict(w, "notes", CS_VERDICT_UNREADABLE);
    deal_edit(w, "statecode", "0");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_CRM);
}

/* A constant that is a number, in a line of text. */
static void test_constant_number(void **state)
{
    static const char *const changes[] = {LINES "source", "{\"const\":8,\"crm\":\"acme_source\",\"direction\":\"to_crm\",\"enforce\":true}", NULL};
    deal_world_t *w = at_rest(*state, changes);

    assert_verdict(w, "source", CS_VERDICT_EQUAL);
    deal_edit(w, "acme_source", "9");
    deal_look(w);
    assert_json(w, column_sent(w, "acme_source"), "8");
    assert_quiet(w);
}

/* A constant that only a new referral gets is no side of a line that goes both ways. */
static void test_constant_of_two_ways(void **state)
{
    static const char *const changes[] = {LINES "notes/to_pc", "{\"const\":\"From us\",\"events\":[\"create\"]}", NULL};
    deal_world_t *w = at_rest(*state, changes);

    deal_set(w, "/details/notes", "\"Second call\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"Second call\"");
    assert_quiet(w);
}

/* Whatever the mapping says, a latch that is set in the CRM alone is not reset. */
static void test_latch_against_enforce(void **state)
{
    static const char *const changes[] = {LINES "visible/latch", "true", LINES "visible/enforce", "true", NULL};
    deal_world_t *w = deal_world(*state, changes);

    deal_set(w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    deal_look(w);
    deal_edit(w, "msft_referralvisibility", "true");
    deal_look(w);
    assert_null(column_sent(w, "msft_referralvisibility"));
    assert_json(w, cs_json_get(w->row, "msft_referralvisibility"), "true");
    assert_quiet(w);
}

/* A member that only an empty column takes has moved for ever while its column is occupied: it takes nobody along, or a partner that the CRM writes in its
 * own way would be sent at every look. */
static void test_group_with_an_occupied_column(void **state)
{
    static const char *const changes[] = {LINES "program/group", "\"g\"", LINES "first",
                                          "{\"pc\":\"/quality\",\"crm\":\"acme_first\",\"direction\":\"to_crm\",\"group\":\"g\",\"only_if_empty\":true}", NULL};
    deal_world_t *w = at_rest(*state, changes);

    deal_set(w, "/referralProgram", "\"autumn\"");
    deal_edit(w, "acme_first", "\"typed\"");
    deal_look(w);
    deal_edit(w, "msft_referralprogram", "\"AUTUMN\"");
    deal_set(w, "/quality", "\"high\"");
    deal_look(w);
    assert_null(column_sent(w, "msft_referralprogram"));
    assert_quiet(w);
}

/* What a condition keeps back moves every day, and its partner is not kept by the CRM. */
static void test_group_behind_a_condition(void **state)
{
    static const char *const changes[] = {LINES "program/group", "\"g\"", LINES "program/when", "{\"pc\":\"/status\",\"is\":\"Active\"}",
                                          LINES "first", "{\"pc\":\"/quality\",\"crm\":\"acme_first\",\"direction\":\"to_crm\",\"group\":\"g\"}", NULL};
    deal_world_t *w = deal_world(*state, changes);

    json_object_set_new(w->habits, "acme_first", json_integer(HABIT_IGNORES));
    deal_look(w);
    deal_set(w, "/referralProgram", "\"Spring\"");
    deal_set(w, "/quality", "\"High\"");
    deal_look(w);
    deal_look(w);
    assert_quiet(w);
}

/* Nobody knows what the CRM made of the text: what it shows at the next look is that. */
static void test_told_and_not_shown(void **state)
{
    static const char *const changes[] = {"/names/status", "\"acme_status\"", NULL};
    deal_world_t *w = deal_world(*state, changes);

    json_object_set_new(w->habits, "acme_status", json_integer(HABIT_CUTS));
    w->silent = 1;
    deal_look(w);
    deal_look(w);
    assert_quiet(w);
    assert_json(w, cs_json_get(w->row, "acme_status"), "\"Not a\"");
}

/* Nobody knows which status a row took whose making showed nothing, but it was open: who closes it is heard. */
static void test_declined_before_it_was_seen(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);

    w->silent = 1;
    deal_look(w);
    deal_edit(w, "statecode", "2");
    deal_edit(w, "statuscode", "5");
    deal_look(w);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_TO_PC);
    assert_string_equal(cs_json_str(w->doc, "substatus"), "Declined");
}

static void test_enforced_and_not_shown(void **state)
{
    static const char *const changes[] = {LINES "program/enforce", "true", NULL};
    deal_world_t *w = deal_world(*state, changes);

    json_object_set_new(w->habits, "msft_referralprogram", json_integer(HABIT_CUTS));
    deal_set(w, "/referralProgram", "\"A long programme\"");
    w->silent = 1;
    deal_look(w);
    deal_look(w);
    assert_quiet(w);
}

static void look_at_will(deal_world_t *w, const refuse_t *will, int notified)
{
    cs_result_t res = {0};

    deal_fetch(w);
    w->look.notified = notified;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    refuse_apply(will, w);
    deal_settle(w);
}

/* What was refused is not enforced again by itself; once a notice has woken it and the CRM has taken it, it is. */
static void test_enforced_after_a_refusal(void **state)
{
    static const char *const changes[] = {LINES "program/enforce", "true", LINES "program/direction", "\"to_crm\"", NULL};
    deal_world_t *w = at_rest(*state, changes);
    refuse_t will;

    refuse_init(&will, w->p);
    json_object_set_new(will.refuses, "msft_referralprogram", json_string("a forbidden word"));
    deal_set(w, "/referralProgram", "\"Spring\"");
    look_at_will(w, &will, 0);
    look_at_will(w, &will, 0);
    assert_verdict(w, "program", CS_VERDICT_REFUSED);
    json_object_clear(will.refuses);
    deal_edit(w, "msft_referralprogram", "\"By hand\"");
    look_at_will(w, &will, 0);
    assert_null(column_sent(w, "msft_referralprogram"));
    look_at_will(w, &will, 1);
    assert_json(w, cs_json_get(w->row, "msft_referralprogram"), "\"Spring\"");
    deal_edit(w, "msft_referralprogram", "\"By hand\"");
    look_at_will(w, &will, 0);
    assert_json(w, cs_json_get(w->row, "msft_referralprogram"), "\"Spring\"");
}

/* What somebody writes in its place makes the refused value no other; once both sides show it, it was refused no more. */
static void test_filled_after_a_refusal(void **state)
{
    static const char *const changes[] = {LINES "program/direction", "\"to_crm\"", NULL};
    deal_world_t *w = deal_world(*state, changes);
    refuse_t will;

    refuse_init(&will, w->p);
    json_object_set_new(will.refuses, "msft_referralprogram", json_string("a forbidden word"));
    deal_set(w, "/referralProgram", "\"Spring\"");
    look_at_will(w, &will, 0);
    deal_edit(w, "msft_referralprogram", "\"By hand\"");
    look_at_will(w, &will, 0);
    assert_verdict(w, "program", CS_VERDICT_ONE_WAY);
    assert_json(w, cs_json_get(cs_json_get(cs_json_get(w->deal.images, "program"), "refused"), "pc"), "\"Spring\"");
    deal_edit(w, "msft_referralprogram", "\"Spring\"");
    look_at_will(w, &will, 0);
    assert_null(cs_json_get(cs_json_get(w->deal.images, "program"), "refused"));
}

/* A name that is emptied does not come back with its mark. */
static void test_mark_of_nothing(void **state)
{
    static const char *const changes[] = {TELL "mark", "{\"column\":\"name\",\"ok\":\"+ \",\"failed\":\"! \"}", LINES "name/required", "false", NULL};
    deal_world_t *w = at_rest(*state, changes);

    deal_set(w, "/name", "null");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "name"), "null");
    assert_quiet(w);
}

/* A look that could not read the column forgets nothing of what one meant that died. */
static void test_hidden_after_a_crash(void **state)
{
    deal_world_t *w = at_rest(*state, NULL);
    json_t *shown;

    deal_set(w, "/details/notes", "\"Second call\"");
    deal_plan(w);
    deal_apply(w); /* and dies */
    shown = json_incref(cs_json_get(w->row, "description"));
    json_object_del(w->row, "description");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_UNREADABLE);
    json_object_set_new(w->row, "description", shown);
    deal_set(w, "/details/notes", "\"Third call\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_CRM);
    assert_null(w->deal.intent);
}

/* A text that would fit neither way is no conflict when both sides have it. */
static void test_equal_beyond_bounds(void **state)
{
    static const char *const changes[] = {LINES "notes/max", "3", NULL};
    deal_world_t *w = deal_world(*state, changes);

    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_REFUSED);
    deal_edit(w, "description", "\"First call\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_EQUAL);
    deal_look(w);
    assert_quiet(w);
}

/* ---- a row whose look died ---- */

#define TOGETHER                                                                                                                                            \
    LINES "notes/group", "\"g\"", LINES "notes/introduce", "\"keep\"", LINES "program",                                                                    \
        "{\"pc\":\"/referralProgram\",\"crm\":\"@program\",\"max\":12,\"group\":\"g\"}", "/names/status", "\"acme_status\""

/* Made, and the look died before it settled. */
static void make_and_die(deal_world_t *w)
{
    deal_plan(w);
    deal_apply(w);
    w->deal.record_id = cs_json_str(w->row, "opportunityid");
}

/* Meant once, when the row could not be made, and held since: it waits as it would have without the crash, at every look. */
static void test_held_after_a_crash(void **state)
{
    static const char *const changes[] = {TOGETHER, NULL};
    deal_world_t *w = deal_world(*state, changes);

    w->fail = 1;
    deal_look(w);
    w->fail = 0;
    deal_set(w, "/referralProgram", "\"A long programme\"");
    make_and_die(w);
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_HELD);
    assert_string_equal(w->plan->status, "Waiting");
    assert_quiet(w);
    assert_verdict(w, "notes", CS_VERDICT_HELD);
    assert_string_equal(w->plan->status, "Waiting");
    deal_set(w, "/referralProgram", "\"Spring\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"First call\"");
    assert_quiet(w);
}

/* Nor is it another line because it was never meant. */
static void test_never_meant_after_a_crash(void **state)
{
    static const char *const changes[] = {TOGETHER, NULL};
    deal_world_t *w = deal_world(*state, changes);

    deal_set(w, "/referralProgram", "\"A long programme\"");
    make_and_die(w);
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_HELD);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_quiet(w);
    deal_edit(w, "description", "\"By hand\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"By hand\"");
}

/* ---- lists ---- */

#define SOLUTIONS                                                                                                                                           \
    "{\"solutions\":{\"pc\":\"/details/requirements/solutions\",\"key\":\"id\",\"min\":1,"                                                                   \
    "\"crm\":{\"child\":\"acme_row\",\"parent\":\"acme_opp\",\"fields\":{\"id\":\"acme_key\"}}}}"

static void related(deal_world_t *w, const char *rows)
{
    deal_plan(w);
    w->record.related = deal_json(w->p, apr_psprintf(w->p, "{\"solutions\":%s}", rows));
}

static void plan_again(deal_world_t *w)
{
    cs_result_t res = {0};

    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
}

static deal_world_t *with_rows(apr_pool_t *p, const char *items, const char *rows)
{
    static const char *const changes[] = {LISTS, SOLUTIONS, NULL};
    deal_world_t *w = deal_world(p, changes);

    deal_set(w, "/details/requirements/solutions", items);
    deal_look(w);
    related(w, rows);
    plan_again(w);
    deal_apply(w);
    deal_settle(w);
    return w;
}

/* The last one goes when another is there, which may be refused. */
static void test_last_one_waits(void **state)
{
    deal_world_t *w = with_rows(*state, "[{\"id\":\"S1\"}]", "[{\"id\":\"r1\",\"version\":\"1\",\"row\":{\"acme_key\":\"S1\"}}]");
    const cs_step_t *gone;

    deal_set(w, "/details/requirements/solutions", "[{\"id\":\"S2\"}]");
    related(w, "[{\"id\":\"r1\",\"version\":\"1\",\"row\":{\"acme_key\":\"S1\"}}]");
    plan_again(w);
    gone = deal_find_step(w->plan, CS_STEP_DELETE);
    assert_non_null(gone);
    assert_true(gone->after >= 0);
    assert_int_equal(APR_ARRAY_IDX(w->plan->steps, gone->after, cs_step_t *)->kind, CS_STEP_CREATE);
    /* A row of a list that was meant is no record that was. */
    assert_string_equal(cs_json_str(json_array_get(cs_json_get(w->plan->intent, "steps"), 0), "list"), "solutions");
    /* With one to spare it waits for nothing. */
    related(w, "[{\"id\":\"r1\",\"version\":\"1\",\"row\":{\"acme_key\":\"S1\"}},{\"id\":\"r2\",\"version\":\"1\",\"row\":{\"acme_key\":\"S2\"}}]");
    plan_again(w);
    assert_int_equal(deal_find_step(w->plan, CS_STEP_DELETE)->after, -1);
}

/* Two spellings of one item are one: when it goes, nobody is left. */
static void test_twins_are_one(void **state)
{
    deal_world_t *w = with_rows(*state, "[{\"id\":\"S1\"},{\"id\":\"s1 \"}]", "[{\"id\":\"r1\",\"version\":\"1\",\"row\":{\"acme_key\":\"S1\"}}]");

    related(w, "[]");
    plan_again(w);
    assert_verdict(w, "solutions/s1", CS_VERDICT_STAYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_hidden_state),
        UNIT_TEST(test_constant_number),
        UNIT_TEST(test_constant_of_two_ways),
        UNIT_TEST(test_latch_against_enforce),
        UNIT_TEST(test_group_behind_a_condition),
        UNIT_TEST(test_group_with_an_occupied_column),
        UNIT_TEST(test_told_and_not_shown),
        UNIT_TEST(test_declined_before_it_was_seen),
        UNIT_TEST(test_enforced_and_not_shown),
        UNIT_TEST(test_enforced_after_a_refusal),
        UNIT_TEST(test_filled_after_a_refusal),
        UNIT_TEST(test_mark_of_nothing),
        UNIT_TEST(test_hidden_after_a_crash),
        UNIT_TEST(test_held_after_a_crash),
        UNIT_TEST(test_never_meant_after_a_crash),
        UNIT_TEST(test_equal_beyond_bounds),
        UNIT_TEST(test_last_one_waits),
        UNIT_TEST(test_twins_are_one)};

    return UNIT_RUN(tests);
}
