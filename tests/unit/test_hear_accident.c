/* What no person did accepts nothing: workflows and rules of the organisation that move the record when it was made or written. And what was typed when a record was closed.
 * (deals 5) */
#include "mod_cosell/remote/crm.h"
#include "unit_deal.h"

#define PROFILE "conf/mapping/dynamics365.json"
#define SEC(n) apr_time_from_sec(n)
#define NEVER_KEPT "Status Reason did not stay On Hold; set it to On Hold and then to In Progress to accept"

static const char labels[] = "{\"tables\":{\"opportunity\":{\"columns\":{\"statuscode\":{\"label\":\"Status Reason\",\"type\":\"choice\",\"options\":["
                             "{\"value\":1,\"label\":\"In Progress\"},{\"value\":2,\"label\":\"On Hold\"},{\"value\":5,\"label\":\"Out-Sold\"}]}}}}}";

/* A deal with the clock of its CRM, which is an hour late. */
typedef struct accident_t {
    deal_world_t *w;
    apr_time_t now, modified;
    json_t *closes; /* NULL = not read */
    int rule;       /* the CRM makes 1 of the status reason in every write of ours that is no create */
} accident_t;

static accident_t *accident(apr_pool_t *p)
{
    accident_t *a = apr_pcalloc(p, sizeof(*a));
    cs_mapping_t *mapping = NULL;
    json_t *root = deal_json(p, deal_read(p, PROFILE));
    cs_result_t res;
    const char *text;

    memset(&res, 0, sizeof(res));
    assert_ok(cs_json_pointer_set(root, "/names/status", json_string("acme_cosellstatus")));
    assert_ok(cs_json_pointer_set(root, "/names/problem", json_string("acme_cosellproblem")));
    text = cs_json_print(root, p);
    assert_ok(cs_mapping_parse(&mapping, text, strlen(text), "shipped.json", cs_crm_facts_of("dynamics365"), NULL, p, &res));
    a->w = deal_world_of(p, mapping);
    deal_set(a->w, "/team", "[{\"email\":\"ann@own.example\"}]");
    a->now = DEAL_NOW;
    return a;
}

static apr_time_t crm_clock(const accident_t *a)
{
    return a->now - SEC(3600);
}

static void see(accident_t *a)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(a->w);
    a->w->look.now = a->now;
    a->w->look.metadata = deal_json(a->w->p, labels);
    a->w->record.modified = a->modified;
    a->w->record.related = a->closes ? cs_json_own(json_pack("{s:O}", "@close", a->closes), a->w->p) : NULL;
    assert_ok(cs_reconcile_plan(&a->w->plan, &a->w->look, a->w->p, a->w->p, &res));
}

static void write_down(accident_t *a, int i)
{
    const cs_step_t *step = APR_ARRAY_IDX(a->w->plan->steps, i, cs_step_t *);
    cs_record_t *after = (cs_record_t *)a->w->applied[i].after;

    if (!after) {
        return;
    }
    a->modified = crm_clock(a);
    after->modified = a->modified;
    if (a->rule && step->kind == CS_STEP_UPDATE) {
        json_object_set_new(a->w->row, "statuscode", json_integer(1));
        after->row = cs_json_own(json_deep_copy(a->w->row), a->w->p);
    }
}

static void apply(accident_t *a)
{
    int i;

    deal_apply(a->w);
    for (i = 0; i < a->w->plan->steps->nelts; i++) {
        write_down(a, i);
    }
}

static void look(accident_t *a)
{
    see(a);
    apply(a);
    deal_settle(a->w);
}

static void edit(accident_t *a, int statecode, int statuscode)
{
    json_object_set_new(a->w->row, "statecode", json_integer(statecode));
    json_object_set_new(a->w->row, "statuscode", json_integer(statuscode));
    a->w->version++;
    a->modified = crm_clock(a);
}

static const char *state_of(const accident_t *a)
{
    return apr_pstrcat(a->w->p, cs_json_str(a->w->doc, "status"), "/", cs_json_str(a->w->doc, "substatus"), NULL);
}

static int lines_of(const accident_t *a, const char *action)
{
    int i, n = 0;

    for (i = 0; i < a->w->journal->nelts; i++) {
        n += !strcmp(APR_ARRAY_IDX(a->w->journal, i, cs_journal_t *)->action, action);
    }
    return n;
}

/* Nothing was accepted, the seller reads it once, and that is all, however often it is looked at. */
static void assert_unkept(accident_t *a)
{
    int i, writes;

    for (i = 0; i < 3; i++) {
        look(a);
        assert_verdict(a->w, CS_LINE_STATE, CS_VERDICT_NOT_KEPT);
        assert_string_equal(state_of(a), "New/Pending");
        a->now += SEC(3600);
    }
    assert_string_equal(a->w->deal.status, "Not accepted");
    assert_string_equal(a->w->deal.problem, NEVER_KEPT);
    assert_string_equal(cs_json_str(a->w->row, "acme_cosellproblem"), NEVER_KEPT);
    assert_int_equal(lines_of(a, "not-kept"), 1);
    assert_int_equal(lines_of(a, "accept"), 0);
    writes = a->w->writes + a->w->pc_writes;
    look(a);
    assert_int_equal(a->w->writes + a->w->pc_writes, writes);
    assert_json(a->w, cs_json_get(a->w->row, "statuscode"), "1");
}

/* What the seller reads is true. */
static void assert_accepts_as_said(accident_t *a)
{
    edit(a, 0, 2);
    look(a);
    assert_string_equal(state_of(a), "New/Pending");
    assert_has(a->w->deal.problem, "set Status Reason to In Progress to accept");
    a->now += SEC(1);
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
    look(a);
    assert_string_equal(a->w->deal.status, "In sync");
}

static accident_t *unanswered(apr_pool_t *p)
{
    accident_t *a = accident(p);

    look(a);
    assert_json(a->w, cs_json_get(a->w->row, "statuscode"), "2");
    return a;
}

static void test_a_workflow_at_once(void **state)
{
    accident_t *a = unanswered(*state);

    edit(a, 0, 1);
    assert_unkept(a);
    assert_accepts_as_said(a);
}

static void test_a_workflow_after_a_look(void **state)
{
    accident_t *a = unanswered(*state);

    look(a);
    look(a);
    a->now += SEC(110);
    edit(a, 0, 1);
    assert_unkept(a);
    assert_accepts_as_said(a);
}

/* When it is seen does not matter, but when it was. */
static void test_a_workflow_seen_late(void **state)
{
    accident_t *a = unanswered(*state);

    a->now += SEC(5);
    edit(a, 0, 1);
    a->now += SEC(24 * 3600);
    assert_unkept(a);
    assert_accepts_as_said(a);
}

static void test_a_person_accepts_at_once(void **state)
{
    accident_t *a = unanswered(*state);

    a->now += SEC(121);
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
    assert_int_equal(lines_of(a, "not-kept"), 0);
}

/* Our own writes of other columns begin nothing anew. */
static void test_an_edit_after_a_write_of_ours(void **state)
{
    accident_t *a = unanswered(*state);

    a->now += SEC(600);
    deal_edit_pc(a->w, "/details/notes", "\"Second call\"");
    look(a);
    assert_json(a->w, cs_json_get(a->w->row, "description"), "\"Second call\"");
    a->now += SEC(1);
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
}

static void test_a_rule_that_answers_our_write(void **state)
{
    accident_t *a = unanswered(*state);

    look(a);
    a->now += SEC(600);
    a->rule = 1;
    deal_edit_pc(a->w, "/details/notes", "\"Second call\"");
    look(a);
    assert_json(a->w, cs_json_get(a->w->row, "statuscode"), "1");
    a->rule = 0;
    assert_unkept(a);
    assert_accepts_as_said(a);
}

/* Nobody heard what became of the record that we made. */
static void test_a_workflow_after_a_crash(void **state)
{
    accident_t *a = accident(*state);

    see(a);
    a->w->deal.record_id = apr_pstrdup(a->w->p, APR_ARRAY_IDX(a->w->plan->steps, 0, cs_step_t *)->id);
    apply(a); /* and never settled */
    a->now += SEC(2);
    edit(a, 0, 1);
    a->now += SEC(3600);
    look(a);
    assert_string_equal(state_of(a), "New/Pending");
    look(a);
    assert_string_equal(state_of(a), "New/Pending");
    assert_string_equal(a->w->deal.problem, NEVER_KEPT);
    assert_accepts_as_said(a);
    /* and where it stayed, a person's edit counts */
    a = accident(*state);
    see(a);
    a->w->deal.record_id = apr_pstrdup(a->w->p, APR_ARRAY_IDX(a->w->plan->steps, 0, cs_step_t *)->id);
    apply(a);
    a->now += SEC(3600);
    look(a);
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
}

/* A deal of a version that did not remember when it made the record. */
static void test_a_deal_of_before(void **state)
{
    accident_t *a = unanswered(*state);

    json_object_del(json_object_get(a->w->deal.images, CS_LINE_STATE), "made");
    a->w->deal.created = a->modified;
    a->now += SEC(60);
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "New/Pending");
    a = unanswered(*state);
    json_object_del(json_object_get(a->w->deal.images, CS_LINE_STATE), "made");
    a->w->deal.created = a->modified - SEC(86400);
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
}

/* A closing is a person's. */
static void test_a_closing_is_believed(void **state)
{
    accident_t *a = unanswered(*state);

    edit(a, 2, 5);
    look(a);
    assert_string_equal(state_of(a), "Closed/Declined");
    a = unanswered(*state);
    edit(a, 1, 3);
    look(a);
    assert_string_equal(state_of(a), "Closed/Won");
}

/* A lead that a person qualified: its opportunity accepts, however new it is. */
static void test_a_qualified_lead_is_believed(void **state)
{
    accident_t *a = unanswered(*state);
    json_t *image = cs_json_own(json_pack("{s:{s:s,s:{},s:s}}", CS_LINE_STATE, "pc", "New/Pending", "crm", "rest", "qualified"), a->w->p);

    a->w->deal.images = image;
    a->w->deal.created = a->modified;
    edit(a, 0, 1);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
}

/* ---- what was typed when it was closed ---- */

static json_t *closing(apr_pool_t *p, const char *id, const char *made, const char *text)
{
    return cs_json_own(json_pack("{s:s,s:s,s:{s:s,s:s?}}", "id", id, "version", "1", "row", "createdon", made, "description", text), p);
}

static accident_t *accepted(apr_pool_t *p)
{
    accident_t *a = unanswered(p);

    a->now += SEC(3600);
    edit(a, 0, 1);
    look(a);
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
    return a;
}

static void test_the_note_goes_with_the_reason(void **state)
{
    accident_t *a = accepted(*state);

    edit(a, 2, 5);
    a->closes = cs_json_own(json_array(), *state);
    json_array_append(a->closes, closing(*state, "1", "2026-02-02T01:00:00Z", "too expensive"));
    json_array_append(a->closes, closing(*state, "2", "2026-02-02T03:00:00Z", "They already\r\nhad one  "));
    json_array_append(a->closes, closing(*state, "3", "2026-02-02T02:00:00Z", "won after all"));
    look(a);
    assert_string_equal(state_of(a), "Closed/Lost");
    assert_string_equal(cs_json_str(a->w->doc, "statusReason"), "ChoseAnotherVendor:They already\nhad one");
    look(a);
    assert_int_equal(deal_sent(a->w->plan), 0);
    assert_null(cs_json_get(a->w->deal.images, "@close"));
}

static void test_without_a_note(void **state)
{
    static const char *const texts[] = {NULL, "", "  \n"};
    accident_t *a = accepted(*state);
    size_t i;

    edit(a, 2, 5);
    look(a); /* nobody may read them */
    assert_string_equal(cs_json_str(a->w->doc, "statusReason"), "ChoseAnotherVendor");
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        a = accepted(*state);
        edit(a, 2, 5);
        a->closes = cs_json_own(json_array(), *state);
        json_array_append(a->closes, closing(*state, "1", "2026-02-02T01:00:00Z", texts[i]));
        look(a);
        assert_string_equal(state_of(a), "Closed/Lost");
        assert_string_equal(cs_json_str(a->w->doc, "statusReason"), "ChoseAnotherVendor");
    }
}

/* The same movement with the same text is not asked for again; with another text it is. */
static void test_a_refused_note(void **state)
{
    accident_t *a = accepted(*state);
    int writes;

    edit(a, 2, 5);
    a->closes = cs_json_own(json_array(), *state);
    json_array_append(a->closes, closing(*state, "1", "2026-02-02T01:00:00Z", "rude words"));
    json_object_set_new(a->w->pc_refuses, "/statusReason", json_string("no rude words"));
    look(a);
    assert_string_equal(state_of(a), "Active/Accepted");
    json_object_clear(a->w->pc_refuses);
    writes = a->w->pc_writes;
    look(a);
    assert_int_equal(a->w->pc_writes, writes);
    assert_has(a->w->deal.problem, "no rude words");
    json_array_append(a->closes, closing(*state, "2", "2026-02-02T02:00:00Z", "thank you"));
    look(a);
    assert_string_equal(state_of(a), "Closed/Lost");
    assert_string_equal(cs_json_str(a->w->doc, "statusReason"), "ChoseAnotherVendor:thank you");
}

/* Only what leaves an activity when it is closed has one to read. */
static void test_a_note_of_a_lead_is_a_mistake(void **state)
{
    json_t *root = deal_json(*state, deal_read(*state, PROFILE));
    cs_mapping_t *mapping;
    cs_result_t res;
    const char *text;

    memset(&res, 0, sizeof(res));
    json_object_set_new(cs_json_get(json_array_get(cs_json_pointer(root, "/records/lead/state/hear"), 2), "reason"), "note", json_string("@close/description"));
    text = cs_json_print(root, *state);
    assert_int_not_equal(cs_mapping_parse(&mapping, text, strlen(text), "wrong.json", cs_crm_facts_of("dynamics365"), NULL, *state, &res), APR_SUCCESS);
    assert_has(res.detail, "/records/lead/state/hear/2/reason/note: closing a row of lead leaves no activity; allowed: a column of the record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_workflow_at_once),
        UNIT_TEST(test_a_workflow_after_a_look),
        UNIT_TEST(test_a_workflow_seen_late),
        UNIT_TEST(test_a_person_accepts_at_once),
        UNIT_TEST(test_an_edit_after_a_write_of_ours),
        UNIT_TEST(test_a_rule_that_answers_our_write),
        UNIT_TEST(test_a_workflow_after_a_crash),
        UNIT_TEST(test_a_deal_of_before),
        UNIT_TEST(test_a_closing_is_believed),
        UNIT_TEST(test_a_qualified_lead_is_believed),
        UNIT_TEST(test_the_note_goes_with_the_reason),
        UNIT_TEST(test_without_a_note),
        UNIT_TEST(test_a_refused_note),
        UNIT_TEST(test_a_note_of_a_lead_is_a_mistake),
    };

    return UNIT_RUN(tests);
}
