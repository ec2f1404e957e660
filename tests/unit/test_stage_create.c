/* A CRM that names its rows itself: an id stands for a record until the CRM has given its own, whatever happens in between. Leads that are converted there. (deals 1, 4) */
#include "unit_stage.h"

#define SHORT_ID "0065f00000ABCDe"
#define OTHER_ID "0065f00000ABCDfAAP"

static const char *reserved(apr_pool_t *p)
{
    return cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":Opportunity:", p);
}

/* ---- ids ---- */

static void test_what_an_id_looks_like(void **state)
{
    static const struct {
        cs_id_form_e form;
        const char *text, *id;
    } ids[] = {
        {CS_ID_18, STAGE_ID, STAGE_ID},
        {CS_ID_18, SHORT_ID, STAGE_ID},
        {CS_ID_18, "0065f00000ABCDeaap", STAGE_ID}, /* the tail tells the case whatever its own */
        {CS_ID_18, "0065f00000ABCDeAAQ", NULL},
        {CS_ID_18, "0065f00000abcdeAAP", NULL},
        {CS_ID_18, "a0B5f00000ABCDe", "a0B5f00000ABCDeEAP"},
        {CS_ID_18, "aaa5f00000ABCDe", NULL},
        {CS_ID_18, "OfferNumber12345", NULL},
        {CS_ID_18, "Offer4711Berlin", NULL},
        {CS_ID_18, "0065f00000ABCD-", NULL},
        {CS_ID_18, "006300000012345", NULL}, /* an order's number */
        {CS_ID_18, "000000004711082", NULL},
        {CS_ID_18, "006300000012345AAA", "006300000012345AAA"},
        {CS_ID_18, "006300000012345123", NULL},
        {CS_ID_18, "0f0a4b6e-1111-4222-8333-944455566677", NULL},
        {CS_ID_18, "", NULL},
        {CS_ID_18, NULL, NULL},
        {CS_ID_GUID, "{0F0A4B6E-1111-4222-8333-944455566677}", "0f0a4b6e-1111-4222-8333-944455566677"},
        {CS_ID_GUID, STAGE_ID, NULL},
    };
    size_t i;

    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const char *id = cs_row_id(ids[i].form, ids[i].text, *state);

        if (strcmp(id ? id : "none", ids[i].id ? ids[i].id : "none")) {
            fail_msg("%s is %s", ids[i].text, id ? id : "none");
        }
    }
    assert_true(cs_row_id_same(CS_ID_18, SHORT_ID, STAGE_ID));
    assert_false(cs_row_id_same(CS_ID_18, SHORT_ID, OTHER_ID));
    assert_false(cs_row_id_same(CS_ID_18, "0065f00000ABCde", STAGE_ID));
    assert_true(cs_row_id_same(CS_ID_GUID, "0F0A4B6E-1111-4222-8333-944455566677", "0f0a4b6e-1111-4222-8333-944455566677"));
    assert_false(cs_row_id_same(CS_ID_18, NULL, STAGE_ID));
}

static cs_meeting_t meet(stage_t *s, const char *reference)
{
    cs_meeting_t meeting;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    json_object_set_new(s->w->doc, "externalReferenceId", json_string(reference));
    deal_fetch(s->w);
    assert_ok(cs_reconcile_meet(&meeting, &s->w->look, s->w->p, &res));
    return meeting;
}

static void test_what_external_reference_id_names(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    assert_int_equal(meet(s, SHORT_ID).what, CS_MEET_LINK);
    assert_string_equal(meet(s, SHORT_ID).record_id, STAGE_ID);
    assert_string_equal(meet(s, STAGE_ID).record_id, STAGE_ID);
    assert_int_equal(meet(s, "Offer 4711").what, CS_MEET_CREATE);
    assert_int_equal(meet(s, "006300000012345").what, CS_MEET_CREATE);
    assert_int_equal(meet(s, "0f0a4b6e-1111-4222-8333-944455566677").what, CS_MEET_CREATE);
    assert_string_equal(meet(s, "").record_id, reserved(*state));
}

/* ---- a record gets its id ---- */

static void test_a_record_is_made_by_the_referral(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);
    const cs_step_t *create, *patch;

    s->w->deal.record_id = reserved(*state);
    stage_plan(s);
    create = deal_find_step(s->w->plan, CS_STEP_CREATE);
    assert_string_equal(create->id, reserved(*state));
    assert_json(s->w, create->key, "{\"Referral__c\":\"" DEAL_REFERRAL "\"}");
    patch = deal_find_step(s->w->plan, CS_STEP_PATCH_PC);
    assert_int_equal(patch->after, 0);
    assert_string_equal(cs_json_str(json_array_get(patch->columns, 0), "value"), reserved(*state));
    stage_apply(s);
    stage_settle(s);
    assert_string_equal(s->w->deal.record_id, STAGE_ID);
    assert_string_equal(cs_json_str(s->w->doc, "externalReferenceId"), STAGE_ID);
    assert_json(s->w, cs_json_get(cs_json_get(s->w->deal.images, "id"), "crm"), "\"" STAGE_ID "\"");
    assert_json(s->w, cs_json_get(cs_json_get(s->w->deal.images, "id"), "pc"), "\"" STAGE_ID "\"");
    assert_null(cs_json_str(cs_json_get(s->w->deal.images, "id"), "rest"));
    assert_null(s->w->deal.intent);
    assert_null(strstr(cs_json_print(s->w->deal.images, *state), reserved(*state)));
    stage_rests(s);
    assert_int_equal(s->made, 1);
}

/* The referral was not written then: it is told the id that the CRM gave. */
static void test_the_referral_is_told_later(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->w->deal.record_id = reserved(*state);
    s->w->pc_fail = 1;
    stage_look(s);
    assert_string_equal(s->w->deal.record_id, STAGE_ID);
    assert_non_null(s->w->deal.intent);
    assert_null(strstr(cs_json_print(s->w->deal.intent, *state), reserved(*state)));
    s->w->pc_fail = 0;
    stage_look(s);
    assert_string_equal(cs_json_str(s->w->doc, "externalReferenceId"), STAGE_ID);
    stage_rests(s);
    assert_int_equal(s->made, 1);
}

/* Made, and nobody lived to say so: found by the referral's id, it is the deal's and no stranger. */
static void test_made_and_not_heard_of(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->w->deal.record_id = reserved(*state);
    assert_json(s->w, cs_mapping_key_of(s->w->kind, &s->w->deal, *state), "{\"Referral__c\":\"" DEAL_REFERRAL "\"}");
    stage_plan(s);
    stage_apply(s);
    assert_string_equal(s->w->deal.record_id, reserved(*state)); /* the settle never came */
    stage_look(s);
    assert_string_equal(s->w->deal.record_id, STAGE_ID);
    assert_int_equal(s->w->deal.state, CS_DEAL_LINKED);
    assert_null(cs_mapping_key_of(s->w->kind, &s->w->deal, *state));
    stage_look(s);
    stage_rests(s);
    assert_int_equal(s->made, 1);
    assert_string_equal(stage_pc(s), "New/Pending");
    assert_string_equal(cs_json_str(s->w->doc, "externalReferenceId"), STAGE_ID);
}

/* The same, and its id was stored: deleted since, it is not made again. */
static void test_made_and_deleted(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->w->deal.record_id = reserved(*state);
    stage_plan(s);
    stage_apply(s);
    s->w->deal.record_id = STAGE_ID;
    s->w->row = NULL;
    stage_look(s);
    assert_int_equal(s->w->plan->what, CS_PLAN_GONE);
    assert_int_equal(s->w->deal.state, CS_DEAL_GONE);
    assert_int_equal(s->made, 1);
}

/* A create of which no id is known is asked again, by its key. */
static void test_not_made(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->w->deal.record_id = reserved(*state);
    s->w->fail = 1;
    stage_look(s);
    assert_string_equal(s->w->deal.record_id, reserved(*state));
    s->w->fail = 0;
    stage_look(s);
    assert_string_equal(s->w->deal.record_id, STAGE_ID);
    stage_rests(s);
    assert_int_equal(s->made, 1);
}

/* externalReferenceId names a record of theirs that there is not. */
static void test_a_stranger_that_does_not_exist(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->w->deal.record_id = OTHER_ID;
    stage_plan(s);
    assert_int_equal(s->w->plan->what, CS_PLAN_PARK);
    assert_has(s->w->plan->why, "externalReferenceId names the record " OTHER_ID ", which does not exist");
}

/* A record with another referral's id is parked, also when the deal has only its reserved id. */
static void test_a_record_of_another_referral(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);

    s->w->deal.record_id = OTHER_ID;
    stage_row(s, OTHER_ID);
    stage_edit(s, "Referral__c", "11111111-1111-4222-8333-944455566677");
    stage_look(s);
    assert_int_equal(s->w->plan->what, CS_PLAN_PARK);
    assert_string_equal(s->w->deal.record_id, OTHER_ID);
}

/* 15 characters at Partner Center, 18 here: one row. */
static void test_two_spellings(void **state)
{
    stage_t *s = stage_deal(*state, "Active", NULL);
    int patches = s->w->pc_writes;

    deal_edit_pc(s->w, "/externalReferenceId", "\"" SHORT_ID "\"");
    stage_look(s);
    assert_verdict(s->w, "id", CS_VERDICT_EQUAL);
    assert_int_equal(s->w->pc_writes, patches);
    stage_rests(s);
    assert_int_equal(s->w->pc_writes, patches);
}

/* ---- rows of lists and of look-ups ---- */

static stage_t *listed(apr_pool_t *p)
{
    stage_t *s = stage_world(p, "opportunity", NULL);

    deal_set(s->w, "/details/requirements", "{\"solutions\":[{\"id\":\"SOL-1\",\"name\":\"Backup\"}]}");
    return s;
}

static void test_rows_of_a_list(void **state)
{
    stage_t *s = listed(*state);
    const char *id = cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":Solution__c:sol-1", *state);
    const cs_step_t *step;

    s->w->deal.record_id = reserved(*state);
    stage_plan(s);
    step = APR_ARRAY_IDX(s->w->plan->steps, s->w->plan->steps->nelts - 1, cs_step_t *);
    assert_string_equal(step->list, "solutions");
    assert_string_equal(step->id, id);
    assert_json(s->w, step->key, apr_psprintf(*state, "{\"Row_Key__c\":\"%s\"}", id));
    assert_json(s->w, cs_json_get(step->columns, "Opportunity__c"),
                apr_psprintf(*state, "{\"$ref\":{\"table\":\"Opportunity\",\"id\":\"%s\"}}", reserved(*state)));
}

/* Our row became another item's by a seller's hand: the next one does not overwrite it. */
static void test_a_row_that_became_another(void **state)
{
    stage_t *s = listed(*state);
    const char *id = cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":Solution__c:sol-1", *state);
    const cs_step_t *step;
    cs_record_t *record;

    stage_look(s);
    stage_plan(s);
    record = (cs_record_t *)s->w->look.record;
    record->related = deal_json(*state, apr_psprintf(*state, "{\"solutions\":[{\"id\":\"a0B5f00000ABCDeEAP\",\"version\":\"1\",\"row\":{\"Solution_Id__c\":\"SOL-9\","
                                                             "\"Name\":\"Other\",\"Row_Key__c\":\"%s\"}}]}", id));
    json_object_del(s->w->deal.images, "solutions/sol-1");
    {
        cs_result_t res;

        memset(&res, 0, sizeof(res));
        s->w->look.now += apr_time_from_sec(3600);
        assert_ok(cs_reconcile_plan(&s->w->plan, &s->w->look, *state, *state, &res));
    }
    step = deal_find_step(s->w->plan, CS_STEP_CREATE);
    assert_non_null(step);
    assert_string_equal(cs_json_str(step->columns, "Solution_Id__c"), "SOL-1");
    assert_string_not_equal(step->id, id);
    assert_json(s->w, step->key, apr_psprintf(*state, "{\"Row_Key__c\":\"%s\"}", step->id));
}

/* ---- closed rows ---- */

/* A copy of a closed record is set free all the same. */
static void test_a_closed_copy(void **state)
{
    stage_t *s = stage_world(*state, "opportunity", NULL);
    static const cs_deal_t fresh = {.id = 0};
    cs_plan_t *plan;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    stage_row(s, OTHER_ID);
    json_object_set_new(s->w->row, "Sync__c", json_true());
    stage_edit(s, "StageName", "Closed Won");
    stage_edit(s, "Referral__c", DEAL_REFERRAL);
    deal_fetch(s->w);
    s->w->look.deal = &fresh;
    s->w->look.own = NULL;
    s->w->look.record = stage_shown(s);
    assert_ok(cs_reconcile_clone(&plan, &s->w->look, *state, *state, &res));
    assert_int_equal(plan->what, CS_PLAN_STEPS);
    assert_true(json_is_null(cs_json_get(APR_ARRAY_IDX(plan->steps, 0, cs_step_t *)->columns, "Referral__c")));
    assert_true(json_is_false(cs_json_get(APR_ARRAY_IDX(plan->steps, 0, cs_step_t *)->columns, "Sync__c")));
}

/* ---- leads ---- */

static stage_t *lead(apr_pool_t *p)
{
    stage_t *s = stage_world(p, "lead", NULL);

    deal_set(s->w, "/qualification", "\"MarketingQualified\"");
    deal_set(s->w, "/type", "\"Independent\"");
    s->w->deal.kind = "lead";
    s->w->deal.table = "Lead";
    s->w->deal.record_id = "00Q5f00000ABCDeEAP";
    s->w->deal.created = s->now;
    stage_row(s, s->w->deal.record_id);
    stage_edit(s, "Status", "Open - Not Contacted");
    stage_look(s);
    stage_look(s);
    stage_rests(s);
    assert_int_equal(s->w->deal.state, CS_DEAL_LINKED);
    s->now += apr_time_from_sec(3600);
    return s;
}

static void convert(stage_t *s, const char *to)
{
    json_object_set_new(s->w->row, "IsConverted", json_true());
    json_object_set_new(s->w->row, "ConvertedOpportunityId", to ? json_pack("{s:s}", "id", to) : json_null());
    stage_follow(s);
    s->w->version++;
}

/* The opportunity that the seller made of it: its stage accepts. */
static void test_a_lead_is_converted(void **state)
{
    stage_t *s = lead(*state);

    convert(s, STAGE_ID);
    stage_look(s);
    assert_string_equal(s->w->deal.kind, "opportunity");
    assert_string_equal(s->w->deal.table, "Opportunity");
    assert_string_equal(s->w->deal.record_id, STAGE_ID);
    s->w->kind = cs_mapping_kind(s->w->mapping, "opportunity");
    s->table = "Opportunity";
    stage_row(s, STAGE_ID);
    stage_edit(s, "StageName", "Prospecting");
    stage_edit(s, "Name", "Contoso migration");
    stage_look(s);
    assert_string_equal(stage_pc(s), "Active/Accepted");
    assert_string_equal(stage_of(s), "Prospecting");
    stage_look(s);
    stage_rests(s);
    assert_string_equal(cs_json_str(s->w->row, "Referral__c"), DEAL_REFERRAL);
    assert_string_equal(cs_json_str(s->w->doc, "externalReferenceId"), STAGE_ID);
}

/* Accepted at Partner Center: the seller has to convert it, and is told so. */
static void test_a_lead_that_is_accepted_there(void **state)
{
    stage_t *s = lead(*state);

    stage_move_pc(s, "Active", "Accepted");
    stage_look(s);
    assert_string_equal(s->w->deal.status, "Needs you");
    assert_string_equal(cs_json_str(s->w->row, "Problem__c"), "Accepted in Partner Center: convert this lead");
    assert_null(deal_find_step(s->w->plan, CS_STEP_CALL));
    stage_rests(s);
    convert(s, STAGE_ID);
    stage_look(s);
    assert_string_equal(s->w->deal.record_id, STAGE_ID);
}

/* A converted lead takes no writes, whatever other closed rows take. */
static void test_a_lead_that_became_nothing(void **state)
{
    stage_t *s = lead(*state);
    int writes = s->w->writes;

    stage_move_pc(s, "Active", "Accepted");
    convert(s, NULL);
    deal_edit_pc(s->w, "/customerProfile/name", "\"Contoso AG\"");
    stage_look(s);
    assert_int_equal(s->w->writes, writes);
    assert_has(s->w->deal.problem, "this lead was converted without making an opportunity");
    assert_verdict(s->w, "company", CS_VERDICT_CLOSED);
    stage_rests(s);
}

/* Closed at Partner Center, it is closed here. */
static void test_a_lead_that_is_declined_there(void **state)
{
    stage_t *s = lead(*state);

    stage_move_pc(s, "Closed", "Declined");
    stage_look(s);
    assert_string_equal(cs_json_str(s->w->row, "Status"), "Closed - Not Converted");
    assert_int_equal(stage_journalled(s, "not-kept"), 0);
    stage_rests(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_what_an_id_looks_like),
        UNIT_TEST(test_what_external_reference_id_names),
        UNIT_TEST(test_a_record_is_made_by_the_referral),
        UNIT_TEST(test_the_referral_is_told_later),
        UNIT_TEST(test_made_and_not_heard_of),
        UNIT_TEST(test_made_and_deleted),
        UNIT_TEST(test_not_made),
        UNIT_TEST(test_a_stranger_that_does_not_exist),
        UNIT_TEST(test_a_record_of_another_referral),
        UNIT_TEST(test_two_spellings),
        UNIT_TEST(test_rows_of_a_list),
        UNIT_TEST(test_a_row_that_became_another),
        UNIT_TEST(test_a_closed_copy),
        UNIT_TEST(test_a_lead_is_converted),
        UNIT_TEST(test_a_lead_that_is_accepted_there),
        UNIT_TEST(test_a_lead_that_became_nothing),
        UNIT_TEST(test_a_lead_that_is_declined_there),
    };

    return UNIT_RUN(tests);
}
