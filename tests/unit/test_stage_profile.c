/* The shipped profile of a CRM whose state follows from a stage: what every stage asks for, what every state of the referral shows, and what a record is made of. */
#include "unit_stage.h"

#define PROFILE "conf/mapping/salesforce.json"
#define ROW(stage, closed, won) "{\"StageName\":\"" stage "\",\"IsClosed\":" closed ",\"IsWon\":" won ",\"Loss_Reason__c\":\"Price\"}"

static cs_mapping_t *shipped(apr_pool_t *p)
{
    const char *text = deal_read(p, PROFILE);
    cs_mapping_t *mapping = NULL;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "salesforce.json", &cs_salesforce_facts, NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static const struct {
    const char *kind, *pc, *row, *actions, *reason;
} heard[] = {
    {"opportunity", "New/Pending", ROW(STAGE_HOLD, "false", "false"), "wait", NULL},
    {"opportunity", "New/Received", ROW("Qualification", "false", "false"), "accept", NULL},
    {"opportunity", "New/Pending", ROW("Closed Won", "true", "true"), "accept+win", NULL},
    {"opportunity", "New/Pending", ROW("Closed Lost", "true", "false"), "decline", "ProjectBudgetNotAdequate"},
    {"opportunity", "Active/Accepted", ROW(STAGE_HOLD, "false", "false"), "refuse", NULL},
    {"opportunity", "Active/Accepted", ROW("Negotiation/Review", "false", "false"), "stay", NULL},
    {"opportunity", "Active/Accepted", ROW("A stage of theirs", "true", "true"), "win", NULL},
    {"opportunity", "Active/Accepted", ROW("A stage of theirs", "true", "false"), "lose", "ProjectBudgetNotAdequate"},
    {"opportunity", "Closed/Won", ROW("Qualification", "false", "false"), "refuse", NULL},
    {"opportunity", "Closed/Lost", ROW("Closed Lost", "true", "false"), NULL, NULL},
    {"lead", "New/Pending", "{\"Status\":\"Open - Not Contacted\",\"IsConverted\":false}", "wait", NULL},
    {"lead", "New/Pending", "{\"Status\":\"Working - Contacted\",\"IsConverted\":false}", "wait", NULL},
    {"lead", "New/Pending", "{\"Status\":\"Closed - Not Converted\",\"IsConverted\":false,\"Loss_Reason__c\":\"Price\"}", "decline", "ProjectBudgetNotAdequate"},
    {"lead", "New/Received", "{\"Status\":\"Closed - Converted\",\"IsConverted\":true}", "accept", NULL},
};

static void test_what_a_stage_asks_for(void **state)
{
    cs_mapping_t *mapping = shipped(*state);
    size_t i;

    for (i = 0; i < sizeof(heard) / sizeof(heard[0]); i++) {
        const cs_heard_t *h = cs_state_hear(cs_mapping_kind(mapping, heard[i].kind), heard[i].pc, deal_json(*state, heard[i].row), NULL, *state);
        const char *actions = h ? apr_array_pstrcat(*state, h->actions, '+') : "nothing";

        if (strcmp(actions, heard[i].actions ? heard[i].actions : "nothing") || (heard[i].reason && (!h->reason || strcmp(h->reason, heard[i].reason)))) {
            fail_msg("%s %s %s: %s (%s)", heard[i].kind, heard[i].pc, heard[i].row, actions, h && h->reason ? h->reason : "no reason");
        }
    }
}

static const struct {
    const char *kind, *pc, *set, *if_was;
} shown[] = {
    {"opportunity", "New/Pending", "{\"StageName\":\"" STAGE_HOLD "\"}", NULL},
    {"opportunity", "Active/Accepted", "{\"StageName\":\"Qualification\"}", NULL},
    {"opportunity", "Closed/Won", "{\"StageName\":\"Closed Won\"}", NULL},
    {"opportunity", "Closed/Lost", "{\"StageName\":\"Closed Lost\",\"Loss_Reason__c\":\"Competition\"}", NULL},
    {"opportunity", "Closed/Declined", "{\"StageName\":\"Closed Lost\",\"Loss_Reason__c\":\"Competition\"}", NULL},
    {"opportunity", "Closed/Expired", "{\"StageName\":\"Closed Lost\",\"Loss_Reason__c\":\"Other\"}", "New"},
    {"lead", "Closed/Declined", "{\"Status\":\"Closed - Not Converted\",\"Loss_Reason__c\":\"Competition\"}", NULL},
    {"lead", "Closed/Won", "{}", NULL},
};

static void test_what_a_state_shows(void **state)
{
    cs_mapping_t *mapping = shipped(*state);
    deal_world_t *w = deal_world_of(*state, mapping);
    cs_card_t card = {.doc = w->doc};
    size_t i;

    deal_set(w, "/statusReason", "\"ChoseAnotherVendor:Fabrikam\"");
    for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        const cs_shown_t *s = cs_state_show(cs_mapping_kind(mapping, shown[i].kind), shown[i].pc, &card, NULL, *state);

        assert_non_null(s);
        assert_null(s->call);
        assert_false(s->unlink);
        assert_json(w, s->set, shown[i].set);
        assert_string_equal(s->if_was ? s->if_was : "", shown[i].if_was ? shown[i].if_was : "");
    }
    assert_true(cs_state_show(w->kind, "Closed/Error", &card, NULL, *state)->unlink);
}

static const cs_step_t *step_of(const cs_plan_t *plan, const char *table)
{
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->kind == CS_STEP_CREATE && !strcmp(step->table, table)) {
            return step;
        }
    }
    fail_msg("nothing is made in %s", table);
    return NULL;
}

/* Every row that is made can be found again, and points to the record that has no id yet. */
static void test_what_a_record_is_made_of(void **state)
{
    deal_world_t *w = deal_world_of(*state, shipped(*state));
    const char *reserved = cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":Opportunity:", *state);
    const cs_step_t *record, *solution;
    const json_t *account;

    deal_set(w, "/details/requirements", "{\"solutions\":[{\"id\":\"SOL-1\",\"name\":\"Backup\"}]}");
    deal_plan(w);
    record = step_of(w->plan, "Opportunity");
    assert_string_equal(record->id, reserved);
    assert_json(w, record->key, "{\"Referral_Identifier__c\":\"" DEAL_REFERRAL "\"}");
    assert_string_equal(cs_json_str(record->columns, "StageName"), STAGE_HOLD);
    assert_string_equal(cs_json_str(record->columns, "CurrencyIsoCode"), "USD");
    assert_string_equal(cs_json_str(record->columns, "CloseDate"), "2026-03-31");
    assert_null(cs_json_get(record->columns, "IsClosed"));
    assert_null(cs_json_get(record->columns, STAGE_STATE));
    account = cs_json_get(cs_json_get(record->columns, "AccountId"), "$lookup");
    assert_string_equal(cs_json_str(account, "key"), "Co_sell_Row_Key__c");
    solution = step_of(w->plan, "Microsoft_Solution__c");
    assert_string_equal(cs_json_str(solution->key, "Row_Key__c"), solution->id);
    assert_string_equal(cs_json_str(cs_json_get(cs_json_get(solution->columns, "Opportunity__c"), "$ref"), "id"), reserved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_what_a_stage_asks_for),
        UNIT_TEST(test_what_a_state_shows),
        UNIT_TEST(test_what_a_record_is_made_of),
    };

    return UNIT_RUN(tests);
}
