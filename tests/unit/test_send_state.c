/* What an ordinary edit of the record asks of the referral: the shipped table `hear` row by row, with reasons, in time. (deals 5) */
#include "unit_deal.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/time.h"

#define PROFILE "conf/mapping/dynamics365.json"
#define HEAR "/records/opportunity/state/hear"
#define CREATED "\"2026-02-01T00:00:00Z\"" /* a day and some hours before DEAL_NOW */

static cs_mapping_t *shipped(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, deal_read(p, PROFILE));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    for (; changes && changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "shipped.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

/* ---- the table itself ---- */

static const struct {
    const char *kind, *pc, *row, *actions, *reason;
} table[] = {
    {"opportunity", "New/Pending", "{\"statecode\":0,\"statuscode\":2}", "wait", NULL},
    {"opportunity", "New/Received", "{\"statecode\":0,\"statuscode\":2}", "wait", NULL},
    {"opportunity", "New/Pending", "{\"statecode\":0,\"statuscode\":1}", "accept", NULL},
    {"opportunity", "New/Received", "{\"statecode\":0,\"statuscode\":17}", "accept", NULL},
    {"opportunity", "New/Pending", "{\"statecode\":1,\"statuscode\":3}", "accept+win", NULL},
    {"opportunity", "New/Pending", "{\"statecode\":2,\"statuscode\":5}", "decline", "ChoseAnotherVendor"},
    {"opportunity", "New/Pending", "{\"statecode\":2,\"statuscode\":4}", "decline", "Others"},
    {"opportunity", "Active/Accepted", "{\"statecode\":0,\"statuscode\":1}", "stay", NULL},
    {"opportunity", "Active/Accepted", "{\"statecode\":0,\"statuscode\":2}", "stay", NULL},
    {"opportunity", "Active/Accepted", "{\"statecode\":1,\"statuscode\":3}", "win", NULL},
    {"opportunity", "Active/Accepted", "{\"statecode\":2,\"statuscode\":5}", "lose", "ChoseAnotherVendor"},
    {"opportunity", "Active/Accepted", "{\"statecode\":2,\"statuscode\":99}", "lose", "Others"},
    {"opportunity", "Closed/Won", "{\"statecode\":0,\"statuscode\":1}", "refuse", NULL},
    {"opportunity", "Closed/Lost", "{\"statecode\":0,\"statuscode\":1}", "refuse", NULL},
    {"opportunity", "Closed/Declined", "{\"statecode\":0,\"statuscode\":2}", "refuse", NULL},
    {"opportunity", "Closed/Expired", "{\"statecode\":0,\"statuscode\":1}", "refuse", NULL},
    {"opportunity", "Closed/Won", "{\"statecode\":1,\"statuscode\":3}", NULL, NULL},
    {"lead", "New/Pending", "{\"statecode\":0,\"statuscode\":1}", "wait", NULL},
    {"lead", "New/Received", "{\"statecode\":1,\"statuscode\":3}", "accept", NULL},
    {"lead", "New/Pending", "{\"statecode\":2,\"statuscode\":4}", "decline", "NotACustomer"},
    {"lead", "New/Pending", "{\"statecode\":2,\"statuscode\":6}", "decline", "Others"},
    {"lead", "Active/Accepted", "{\"statecode\":2,\"statuscode\":6}", NULL, NULL},
    {"lead", "Closed/Declined", "{\"statecode\":0,\"statuscode\":1}", NULL, NULL},
};

static void test_the_whole_table(void **state)
{
    cs_mapping_t *mapping = shipped(*state, NULL);
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const cs_heard_t *h = cs_state_hear(cs_mapping_kind(mapping, table[i].kind), table[i].pc, deal_json(*state, table[i].row), NULL, *state);
        const char *actions = h ? apr_array_pstrcat(*state, h->actions, '+') : "nothing";

        if (strcmp(actions, table[i].actions ? table[i].actions : "nothing") || (table[i].reason && (!h->reason || strcmp(h->reason, table[i].reason)))) {
            fail_msg("%s %s %s: %s (%s)", table[i].kind, table[i].pc, table[i].row, actions, h && h->reason ? h->reason : "no reason");
        }
    }
}

/* ---- a deal of the shipped profile ---- */

static deal_world_t *world_of(apr_pool_t *p, const char *const *changes, const char *status, const char *substatus)
{
    deal_world_t *w = deal_world_of(p, shipped(p, changes));

    deal_set(w, "/createdDateTime", CREATED);
    deal_set(w, "/team", "[{\"email\":\"ann@own.example\"}]");
    deal_status(w, status, substatus);
    deal_look(w);
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    return w;
}

static void edit_state(deal_world_t *w, int statecode, int statuscode)
{
    json_object_set_new(w->row, "statecode", json_integer(statecode));
    json_object_set_new(w->row, "statuscode", json_integer(statuscode));
    w->version++;
}

static const char *state_now(deal_world_t *w)
{
    return apr_pstrcat(w->p, cs_json_str(w->doc, "status"), "/", cs_json_str(w->doc, "substatus"), NULL);
}

static const cs_journal_t *told_of(deal_world_t *w, const char *action)
{
    int i;

    for (i = w->journal->nelts - 1; i >= 0; i--) {
        const cs_journal_t *j = APR_ARRAY_IDX(w->journal, i, cs_journal_t *);

        if (!strcmp(j->action, action)) {
            return j;
        }
    }
    fail_msg("nothing was journalled as %s", action);
    return NULL;
}

/* At most one more look, of what the seller reads; then nothing. */
static void rest(deal_world_t *w)
{
    deal_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_null(w->deal.intent);
}

static void look_at(deal_world_t *w, apr_time_t now)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->look.now = now;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    deal_apply(w);
    deal_settle(w);
}

static void test_accept(void **state)
{
    deal_world_t *w = world_of(*state, NULL, "New", "Pending");
    const cs_step_t *step, *second;

    rest(w); /* a first meeting accepts nothing */
    assert_string_equal(state_now(w), "New/Pending");
    edit_state(w, 0, 1);
    deal_edit(w, "description", "\"mine\"");
    deal_plan(w);
    /* It is accepted before it is edited. */
    step = APR_ARRAY_IDX(w->plan->steps, 0, cs_step_t *);
    second = APR_ARRAY_IDX(w->plan->steps, 1, cs_step_t *);
    assert_json(w, step->columns, "[{\"op\":\"replace\",\"path\":\"/status\",\"value\":\"Active\"},{\"op\":\"replace\",\"path\":\"/substatus\",\"value\":\"Accepted\"}]");
    assert_json(w, step->parts, "{\"$state\":[\"/status\",\"/substatus\"]}");
    assert_int_equal(second->kind, CS_STEP_PATCH_PC);
    assert_int_equal(second->after, 0);
    assert_json(w, second->parts, "{\"notes\":[\"/details/notes\"]}");
    deal_apply(w);
    deal_settle(w);
    assert_string_equal(state_now(w), "Active/Accepted");
    assert_string_equal(w->deal.pc_status, "Active/Accepted");
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, CS_LINE_STATE), "pc"), "\"Active/Accepted\"");
    assert_string_equal(told_of(w, "accept")->direction, "to_pc");
    assert_string_equal(told_of(w, "accept")->outcome, "done");
    assert_json(w, told_of(w, "accept")->from, "\"New/Pending\"");
    assert_json(w, told_of(w, "accept")->to, "\"Active/Accepted\"");
    assert_json(w, cs_json_get(w->row, "statuscode"), "1");
    rest(w);
}

/* What the CRM resets by itself while the record is made is no acceptance. */
static void test_a_reset_reason_accepts_nothing(void **state)
{
    deal_world_t *w = deal_world_of(*state, shipped(*state, NULL));

    json_object_set_new(w->habits, "statuscode", json_integer(HABIT_IGNORES));
    deal_look(w);
    deal_look(w);
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "1");
    assert_string_equal(state_now(w), "New/Pending");
    assert_int_equal(w->pc_writes, 1); /* the record's id */
}

static void test_decline_takes_no_values_along(void **state)
{
    deal_world_t *w = world_of(*state, NULL, "New", "Pending");
    const cs_step_t *step;

    edit_state(w, 2, 5);
    deal_edit(w, "description", "\"mine\"");
    deal_plan(w);
    step = deal_find_step(w->plan, CS_STEP_PATCH_PC);
    assert_json(w, step->columns, "[{\"op\":\"replace\",\"path\":\"/status\",\"value\":\"Closed\"},{\"op\":\"replace\",\"path\":\"/substatus\",\"value\":\"Declined\"},"
                                  "{\"op\":\"add\",\"path\":\"/statusReason\",\"value\":\"ChoseAnotherVendor\"}]");
    assert_json(w, step->parts, "{\"$state\":[\"/status\",\"/substatus\",\"/statusReason\"]}");
    assert_verdict(w, "notes", CS_VERDICT_CLOSED);
    deal_apply(w);
    deal_settle(w);
    assert_string_equal(state_now(w), "Closed/Declined");
    assert_json(w, told_of(w, "decline")->to, "\"Closed/Declined\"");
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    assert_json(w, cs_json_get(w->row, "statecode"), "2");
}

static void test_lost_with_its_last_values(void **state)
{
    deal_world_t *w = world_of(*state, NULL, "Active", "Accepted");
    const cs_step_t *step;

    edit_state(w, 2, 4);
    deal_edit(w, "estimatedvalue", "70000");
    deal_plan(w);
    step = deal_find_step(w->plan, CS_STEP_PATCH_PC);
    assert_json(w, step->columns, "[{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":70000},"
                                  "{\"op\":\"replace\",\"path\":\"/status\",\"value\":\"Closed\"},{\"op\":\"replace\",\"path\":\"/substatus\",\"value\":\"Lost\"},"
                                  "{\"op\":\"add\",\"path\":\"/statusReason\",\"value\":\"Others\"}]");
    deal_apply(w);
    deal_settle(w);
    assert_string_equal(state_now(w), "Closed/Lost");
    assert_string_equal(told_of(w, "lose")->why, "the record asks for Closed (Lost)");
    rest(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "4"); /* as the seller closed it */
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
}

/* ---- not before its time ---- */

static void test_won_not_before_72_hours(void **state)
{
    deal_world_t *w = world_of(*state, NULL, "Active", "Accepted");
    apr_time_t created, due;

    assert_ok(cs_time_parse(&created, "2026-02-01T00:00:00Z"));
    due = created + apr_time_from_sec(72 * 3600);
    edit_state(w, 1, 3);
    deal_edit(w, "description", "\"final\"");
    deal_look(w);
    /* The values go, the win waits for its time. */
    assert_string_equal(state_now(w), "Active/Accepted");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"final\"");
    assert_true(w->plan->look_at == due);
    assert_has(deal_view(w->plan, CS_LINE_STATE)->why, "2026-02-04 00:00");
    assert_string_equal(w->deal.status, "Sending");
    assert_has(w->deal.problem, "Closed (Won) in Partner Center at 2026-02-04 00:00");
    look_at(w, due - 1);
    assert_string_equal(state_now(w), "Active/Accepted");
    look_at(w, due);
    assert_string_equal(state_now(w), "Closed/Won");
    assert_true(w->plan->look_at == 0);
    assert_json(w, told_of(w, "win")->from, "\"Active/Accepted\"");
    look_at(w, due);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    /* Who reopens meanwhile has changed his mind. */
    w = world_of(*state, NULL, "Active", "Accepted");
    edit_state(w, 1, 3);
    deal_look(w);
    edit_state(w, 0, 1);
    look_at(w, due + 1);
    assert_string_equal(state_now(w), "Active/Accepted");
}

static void test_accepted_and_won_at_once(void **state)
{
    deal_world_t *w = world_of(*state, NULL, "New", "Pending");

    edit_state(w, 1, 3);
    deal_edit(w, "description", "\"final\"");
    deal_plan(w);
    assert_json(w, APR_ARRAY_IDX(w->plan->steps, 1, cs_step_t *)->columns,
                "[{\"op\":\"replace\",\"path\":\"/details/notes\",\"value\":\"final\"},"
                "{\"op\":\"replace\",\"path\":\"/status\",\"value\":\"Closed\"},{\"op\":\"replace\",\"path\":\"/substatus\",\"value\":\"Won\"}]");
    deal_apply(w);
    deal_settle(w);
    assert_string_equal(state_now(w), "Closed/Won");
    assert_json(w, told_of(w, "accept")->to, "\"Active/Accepted\"");
    assert_json(w, told_of(w, "win")->to, "\"Closed/Won\"");
    rest(w);
}

/* ---- reasons ---- */

static const char labels_text[] = "{\"tables\":{\"opportunity\":{\"columns\":{\"statuscode\":{\"label\":\"Status Reason\",\"type\":\"choice\",\"options\":["
                                  "{\"value\":4,\"label\":\"Canceled\"},{\"value\":5,\"label\":\"Out-Sold\",\"labels\":[\"Out-Sold\",\"Ausverkauft\"]}]}}}}}";

static void look_labelled(deal_world_t *w, const char *metadata)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->look.metadata = metadata ? deal_json(w->p, metadata) : NULL;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    deal_apply(w);
    deal_settle(w);
}

static void test_reasons_by_label(void **state)
{
    static const char *const by_label[] = {HEAR, "[{\"pc\":\"Active\",\"crm\":{\"statecode\":2},\"do\":\"lose\",\"reason\":{\"crm\":\"statuscode\",\"values\":"
                                                 "{\"match_by\":\"label\",\"pairs\":{\"ChoseAnotherVendor\":\"out-sold\"}}}}]", NULL};
    deal_world_t *w = world_of(*state, by_label, "Active", "Accepted");

    edit_state(w, 2, 5);
    look_labelled(w, NULL); /* nobody knows yet what 5 is */
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_HELD);
    assert_string_equal(state_now(w), "Active/Accepted");
    look_labelled(w, labels_text);
    assert_string_equal(state_now(w), "Closed/Lost");
    assert_string_equal(cs_json_str(w->doc, "statusReason"), "ChoseAnotherVendor");

    /* a reason without a counterpart, and no `else` */
    w = world_of(*state, by_label, "Active", "Accepted");
    edit_state(w, 2, 4);
    look_labelled(w, labels_text);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_REFUSED);
    assert_string_equal(w->plan->status, "Needs you");
    assert_has(w->plan->problem, "Closed (Lost) needs a reason; choose another Status Reason");
    assert_string_equal(state_now(w), "Active/Accepted");
    edit_state(w, 2, 5);
    look_labelled(w, labels_text);
    assert_string_equal(state_now(w), "Closed/Lost");
}

static void test_a_closing_without_a_reason(void **state)
{
    static const char *const none[] = {HEAR, "[{\"pc\":\"Active\",\"crm\":{\"statecode\":2},\"do\":\"lose\"}]", NULL};
    deal_world_t *w = world_of(*state, none, "Active", "Accepted");

    edit_state(w, 2, 5);
    deal_look(w);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_REFUSED);
    assert_has(deal_view(w->plan, CS_LINE_STATE)->why, "needs a reason, and the mapping names no column for it");
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
}

/* ---- refused, terminal, crashed ---- */

static void test_a_refused_move_is_not_repeated(void **state)
{
    deal_world_t *w = world_of(*state, NULL, "Active", "Accepted");
    int writes;

    json_object_set_new(w->pc_refuses, "/substatus", json_string("not in this program"));
    edit_state(w, 2, 5);
    deal_edit(w, "description", "\"final\"");
    deal_look(w);
    assert_string_equal(state_now(w), "Active/Accepted");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"final\""); /* the rest arrived */
    assert_string_equal(told_of(w, "refuse")->line, CS_LINE_STATE);
    assert_string_equal(told_of(w, "refuse")->direction, "to_pc");
    writes = w->pc_writes;
    deal_look(w);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_REFUSED);
    assert_has(deal_view(w->plan, CS_LINE_STATE)->why, "was refused by Partner Center: not in this program");
    assert_string_equal(w->plan->status, "Needs you");
    assert_int_equal(w->pc_writes, writes);
    /* another reason is another question */
    json_object_clear(w->pc_refuses);
    edit_state(w, 2, 4);
    deal_look(w);
    assert_string_equal(state_now(w), "Closed/Lost");
}

static void test_closed_is_closed(void **state)
{
    static const char *const ends[] = {"Won", "Lost", "Declined", "Expired"};
    size_t i;

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        deal_world_t *w = world_of(*state, NULL, "Active", "Accepted");
        int writes = w->pc_writes;

        deal_status(w, "Closed", ends[i]);
        deal_look(w);
        deal_look(w);
        edit_state(w, 1, 3);
        deal_edit(w, "description", "\"late\"");
        deal_look(w);
        deal_look(w);
        edit_state(w, 2, 5);
        deal_look(w);
        assert_int_equal(w->pc_writes, writes);
        assert_string_equal(cs_json_str(w->doc, "substatus"), ends[i]);
    }
}

static void test_crashes(void **state)
{
    static const struct {
        const char *status, *substatus;
        int statecode, statuscode;
        const char *after;
    } cases[] = {{"New", "Pending", 0, 1, "Active/Accepted"}, {"New", "Pending", 1, 3, "Closed/Won"}, {"New", "Pending", 2, 5, "Closed/Declined"},
                 {"Active", "Accepted", 2, 5, "Closed/Lost"}};
    size_t i;
    int steps;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (steps = 0; steps < 3; steps++) {
            deal_world_t *w = world_of(*state, NULL, cases[i].status, cases[i].substatus);
            int k, done = 0;

            deal_set(w, "/createdDateTime", "\"2026-01-01T00:00:00Z\"");
            edit_state(w, cases[i].statecode, cases[i].statuscode);
            deal_plan(w);
            /* dies after some of its patches */
            w->deal.intent = w->plan->intent;
            w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
            for (k = 0; k < w->plan->steps->nelts && done < steps; k++) {
                const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, k, cs_step_t *);

                if (step->kind == CS_STEP_PATCH_PC) {
                    deal_step(w, step, &w->applied[k]);
                    done++;
                }
            }
            deal_look(w);
            deal_look(w);
            if (strcmp(state_now(w), cases[i].after)) {
                fail_msg("%s after %d steps: %s", cases[i].after, steps, state_now(w));
            }
            rest(w);
            assert_json(w, cs_json_get(w->row, "statecode"), apr_itoa(w->p, cases[i].statecode));
            assert_json(w, cs_json_get(w->row, "statuscode"), apr_itoa(w->p, cases[i].statuscode));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_whole_table),
        UNIT_TEST(test_accept),
        UNIT_TEST(test_a_reset_reason_accepts_nothing),
        UNIT_TEST(test_decline_takes_no_values_along),
        UNIT_TEST(test_lost_with_its_last_values),
        UNIT_TEST(test_won_not_before_72_hours),
        UNIT_TEST(test_accepted_and_won_at_once),
        UNIT_TEST(test_reasons_by_label),
        UNIT_TEST(test_a_closing_without_a_reason),
        UNIT_TEST(test_a_refused_move_is_not_repeated),
        UNIT_TEST(test_closed_is_closed),
        UNIT_TEST(test_crashes),
    };

    return UNIT_RUN(tests);
}
