/* What a record in a stage asks of the referral: the table row by row, and each row played. (deals 5; cosell-connectors.md 3.8) */
#include "unit_stage.h"

#define REFUSED "{\"/salesStage\":\"it is no member of a referral\"}"

/* ---- the table ---- */

static const struct {
    const char *kind, *pc, *row, *actions, *reason;
    int stage;
} table[] = {
    {"opportunity", "New/Pending", "{\"StageName\":\"" STAGE_HOLD "\",\"IsClosed\":false,\"IsWon\":false}", "wait", NULL, 0},
    {"opportunity", "New/Received", "{\"StageName\":\"" STAGE_HOLD "\",\"IsClosed\":false,\"IsWon\":false}", "wait", NULL, 0},
    {"opportunity", "New/Pending", "{\"StageName\":\"Prospecting\",\"IsClosed\":false,\"IsWon\":false}", "accept", NULL, 0},
    {"opportunity", "New/Received", "{\"StageName\":\"A stage of theirs\",\"IsClosed\":false,\"IsWon\":false}", "accept", NULL, 0},
    {"opportunity", "New/Pending", "{\"StageName\":\"Closed Won\",\"IsClosed\":true,\"IsWon\":true}", "accept+win", NULL, 0},
    {"opportunity", "New/Pending", "{\"StageName\":\"Closed Lost\",\"IsClosed\":true,\"IsWon\":false,\"Loss__c\":\"Price\"}", "decline", "ProjectBudgetNotAdequate", 0},
    {"opportunity", "New/Pending", "{\"StageName\":\"Dead\",\"IsClosed\":true,\"IsWon\":false,\"Loss__c\":null}", "decline", "Others", 0},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"" STAGE_HOLD "\",\"IsClosed\":false,\"IsWon\":false}", "refuse", NULL, 0},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Prospecting\",\"IsClosed\":false,\"IsWon\":false}", "stay", NULL, 20},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Qualification\",\"IsClosed\":false,\"IsWon\":false}", "stay", NULL, 20},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Proposal\",\"IsClosed\":false,\"IsWon\":false}", "stay", NULL, 60},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"A stage of theirs\",\"IsClosed\":false,\"IsWon\":false}", "stay", NULL, 0},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Won by Partner\",\"IsClosed\":true,\"IsWon\":true}", "win", NULL, 0},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Dead\",\"IsClosed\":true,\"IsWon\":false,\"Loss__c\":\"Price\"}", "lose", "ProjectBudgetNotAdequate", 0},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Dead\",\"IsClosed\":true,\"IsWon\":false,\"Loss__c\":\"A word of theirs\"}", "lose", "Others", 0},
    {"opportunity", "Closed/Won", "{\"StageName\":\"Prospecting\",\"IsClosed\":false,\"IsWon\":false}", "refuse", NULL, 0},
    {"opportunity", "Closed/Declined", "{\"StageName\":\"" STAGE_HOLD "\",\"IsClosed\":false,\"IsWon\":false}", "refuse", NULL, 0},
    {"opportunity", "Closed/Lost", "{\"StageName\":\"Closed Won\",\"IsClosed\":true,\"IsWon\":true}", NULL, NULL, 0},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Proposal\"}", "stay", NULL, 60},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Another\"}", NULL, NULL, 0}, /* it does not show whether it is closed */
    {"lead", "New/Pending", "{\"IsConverted\":false}", "wait", NULL, 0},
    {"lead", "New/Pending", "{\"IsConverted\":true}", NULL, NULL, 0},
};

static void test_the_whole_table(void **state)
{
    cs_mapping_t *mapping = stage_mapping(*state, NULL);
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const cs_heard_t *h = cs_state_hear(cs_mapping_kind(mapping, table[i].kind), table[i].pc, deal_json(*state, table[i].row), NULL, *state);
        const char *actions = h ? apr_array_pstrcat(*state, h->actions, '+') : "nothing";

        if (strcmp(actions, table[i].actions ? table[i].actions : "nothing") || (table[i].reason && (!h->reason || strcmp(h->reason, table[i].reason))) ||
            (h ? h->sales_stage : 0) != table[i].stage) {
            fail_msg("%s %s: %s, %d (%s)", table[i].pc, table[i].row, actions, h ? h->sales_stage : 0, h && h->reason ? h->reason : "no reason");
        }
    }
}

/* ---- played ---- */

static const struct {
    const char *was, *stage, *loss, *pc, *reason, *sales, *status;
} played[] = {
    {"New", STAGE_HOLD, NULL, "New/Pending", NULL, NULL, "Not accepted"},
    {"New", "Prospecting", NULL, "Active/Accepted", NULL, "20", "In sync"},
    {"New", "Proposal", NULL, "Active/Accepted", NULL, "60", "In sync"},
    {"New", "A stage of theirs", NULL, "Active/Accepted", NULL, NULL, "In sync"},
    {"New", "Closed Won", NULL, "Closed/Won", NULL, NULL, "Closed"},
    {"New", "Won by Partner", NULL, "Closed/Won", NULL, NULL, "Closed"},
    {"New", "Closed Lost", "Price", "Closed/Declined", "ProjectBudgetNotAdequate", NULL, "Closed"},
    {"New", "Dead", NULL, "Closed/Declined", "Others", NULL, "Closed"},
    {"Active", "Proposal", NULL, "Active/Accepted", NULL, "60", "In sync"},
    {"Active", "Prospecting", NULL, "Active/Accepted", NULL, "20", "In sync"},
    {"Active", "A stage of theirs", NULL, "Active/Accepted", NULL, NULL, "In sync"},
    {"Active", STAGE_HOLD, NULL, "Active/Accepted", NULL, NULL, "Needs you"},
    {"Active", "Closed Won", NULL, "Closed/Won", NULL, NULL, "Closed"},
    {"Active", "Won by Partner", NULL, "Closed/Won", NULL, NULL, "Closed"},
    {"Active", "Closed Lost", "Price", "Closed/Lost", "ProjectBudgetNotAdequate", NULL, "Closed"},
    {"Active", "Dead", "A word of theirs", "Closed/Lost", "Others", NULL, "Closed"},
};

static void play(apr_pool_t *p, size_t i)
{
    stage_t *s = stage_deal(p, played[i].was, NULL);
    const char *sales, *reason;

    stage_edit(s, "StageName", played[i].stage);
    if (played[i].loss) {
        stage_edit(s, "Loss__c", played[i].loss);
    }
    stage_look(s);
    sales = cs_json_str(s->w->doc, "salesStage");
    reason = cs_json_str(s->w->doc, "statusReason");
    if (strcmp(stage_pc(s), played[i].pc) || strcmp(stage_of(s), played[i].stage) || strcmp(sales ? sales : "", played[i].sales ? played[i].sales : "") ||
        strcmp(reason ? reason : "", played[i].reason ? played[i].reason : "")) {
        fail_msg("%s, %s: %s in %s, %s, %s", played[i].was, played[i].stage, stage_pc(s), stage_of(s), sales ? sales : "-", reason ? reason : "-");
    }
    stage_look(s);
    stage_rests(s);
    if (strcmp(cs_json_str(s->w->row, "Status__c"), played[i].status) || strcmp(stage_of(s), played[i].stage)) {
        fail_msg("%s, %s: %s (%s) in %s", played[i].was, played[i].stage, cs_json_str(s->w->row, "Status__c"), s->w->deal.problem ? s->w->deal.problem : "-", stage_of(s));
    }
}

static void test_every_row_played(void **state)
{
    size_t i;

    for (i = 0; i < sizeof(played) / sizeof(played[0]); i++) {
        play(*state, i);
    }
}

/* Accepted and won, or lost, in two patches and one look. */
static void test_accepted_and_won_at_once(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);
    int patches = s->w->pc_writes;

    stage_edit(s, "StageName", "Closed Won");
    stage_look(s);
    assert_int_equal(s->w->pc_writes, patches + 2);
    assert_int_equal(stage_journalled(s, "accept"), 1);
    assert_int_equal(stage_journalled(s, "win"), 1);
}

/* A record that is opened again says that Partner Center does not follow; closing it again settles that. */
static void test_reopened(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    stage_edit(s, "StageName", "Closed Won");
    stage_look(s);
    stage_look(s);
    stage_rests(s);
    stage_edit(s, "StageName", "Proposal");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Closed/Won");
    assert_string_equal(stage_of(s), "Proposal");
    assert_string_equal(cs_json_str(s->w->row, "Problem__c"), "reopened here: Partner Center stays Closed/Won");
    stage_rests(s);
    stage_edit(s, "StageName", "Won by Partner");
    stage_look(s);
    assert_string_equal(cs_json_str(s->w->row, "Problem__c"), "Closed; edits stay here");
    stage_rests(s);
}

/* Closed the other way afterwards is the seller's own business. */
static void test_closed_again_the_other_way(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    stage_edit(s, "StageName", "Closed Won");
    stage_look(s);
    stage_look(s);
    stage_edit(s, "StageName", "Closed Lost");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Closed/Won");
    assert_string_equal(stage_of(s), "Closed Lost");
    assert_string_equal(s->w->deal.status, "Closed");
    stage_rests(s);
}

/* Lost and opened again before anybody looked: nothing has happened. */
static void test_closed_and_opened_in_between(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    stage_edit(s, "StageName", "Closed Lost");
    stage_edit(s, "StageName", "Qualification");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Active/Accepted");
    stage_rests(s);
}

/* ---- the per cent ---- */

static void test_per_cent_that_are_there_already(void **state)
{
    static const char *const shown[] = {"60", "\"60\"", "\"Propose\""};
    size_t i;

    for (i = 0; i < 3; i++) {
        stage_t *s = stage_deal(*state, "Active", NULL);
        int patches = s->w->pc_writes;

        deal_set(s->w, "/salesStage", shown[i]);
        stage_edit(s, "StageName", "Proposal");
        stage_look(s);
        assert_int_equal(s->w->pc_writes, patches);
        stage_rests(s);
    }
}

/* They travel with the fields of the same edit. */
static void test_per_cent_in_the_same_patch(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);
    int patches = s->w->pc_writes;

    deal_set(s->w, "/salesStage", "\"20\"");
    stage_edit(s, "StageName", "Proposal");
    stage_edit(s, "Description", "we have offered");
    stage_look(s);
    assert_int_equal(s->w->pc_writes, patches + 1);
    assert_string_equal(cs_json_str(s->w->doc, "salesStage"), "60");
    assert_json(s->w, cs_json_get(deal_find_step(s->w->plan, CS_STEP_PATCH_PC)->parts, CS_LINE_STAGE), "[\"/salesStage\"]");
    stage_rests(s);
}

/* Partner Center does not take them: said in the journal, asked again with the next movement, and nothing else stops. */
static void test_per_cent_refused(void **state)
{
    stage_t *s = stage_deal(*state, "New", NULL);

    s->w->pc_refuses = deal_json(*state, REFUSED);
    stage_edit(s, "StageName", "Proposal");
    stage_edit(s, "Description", "we have offered");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Active/Accepted");
    assert_string_equal(cs_json_str(cs_json_get(s->w->doc, "details"), "notes"), "we have offered");
    assert_null(cs_json_get(s->w->doc, "salesStage"));
    assert_int_equal(stage_journalled(s, "refuse"), 1);
    stage_look(s);
    stage_rests(s);
    assert_string_equal(s->w->deal.status, "In sync");
    s->w->pc_refuses = cs_json_own(json_object(), s->w->p);
    stage_edit(s, "StageName", "Qualification");
    stage_look(s);
    assert_string_equal(cs_json_str(s->w->doc, "salesStage"), "20");
    stage_rests(s);
}

/* Not reached: the movement is still to be told. */
static void test_per_cent_not_sent(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);

    s->w->pc_fail = 1;
    stage_edit(s, "StageName", "Proposal");
    stage_look(s);
    s->w->pc_fail = 0;
    stage_look(s);
    assert_string_equal(cs_json_str(s->w->doc, "salesStage"), "60");
    stage_rests(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_whole_table),
        UNIT_TEST(test_every_row_played),
        UNIT_TEST(test_accepted_and_won_at_once),
        UNIT_TEST(test_reopened),
        UNIT_TEST(test_closed_again_the_other_way),
        UNIT_TEST(test_closed_and_opened_in_between),
        UNIT_TEST(test_per_cent_that_are_there_already),
        UNIT_TEST(test_per_cent_in_the_same_patch),
        UNIT_TEST(test_per_cent_refused),
        UNIT_TEST(test_per_cent_not_sent),
    };

    return UNIT_RUN(tests);
}
