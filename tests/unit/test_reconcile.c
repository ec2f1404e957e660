#include "unit_deal.h"

#define TOLD "/names/status", "\"acme_cosellstatus\"", "/names/problem", "\"acme_cosellproblem\""
static const char *const told[] = { TOLD, NULL };

/* A deal that was made and accepted. */
static deal_world_t *settled(apr_pool_t *p, const char *const *changes)
{
    deal_world_t *w = deal_world(p, changes ? changes : told);

    deal_status(w, "Active", "Accepted");
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_non_null(w->row);
    assert_int_equal(deal_sent(deal_look(w)), 0);
    return w;
}

/* ---- meet ---- */

static cs_meeting_t meet(deal_world_t *w)
{
    cs_meeting_t meeting;
    cs_result_t res;

    deal_fetch(w);
    assert_ok(cs_reconcile_meet(&meeting, &w->look, w->p, &res));
    return meeting;
}

static void test_meet(void **state)
{
    deal_world_t *w = deal_world(*state, told);
    cs_meeting_t m = meet(w);
    const char *id = m.record_id;

    assert_int_equal(m.what, CS_MEET_CREATE);
    assert_string_equal(m.table, "opportunity");
    assert_string_equal(id, cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":opportunity:", w->p));
    assert_string_equal(meet(w).record_id, id);

    deal_set(w, "/externalReferenceId", "\"PO 4711\"");
    assert_int_equal(meet(w).what, CS_MEET_CREATE);
    deal_set(w, "/externalReferenceId", "\"{B1C3A7D2-0000-4000-8000-00000000ABCD}\"");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_LINK);
    assert_string_equal(m.record_id, "b1c3a7d2-0000-4000-8000-00000000abcd");

    deal_status(w, "Closed", "Lost");
    assert_int_equal(meet(w).what, CS_MEET_CLOSED);
    deal_status(w, "New", "Pending");
    deal_set(w, "/type", "\"Independent\"");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_LEAD);
    assert_has(m.why, "no record kind of the mapping takes it");
    deal_set(w, "/qualification", "\"Direct\"");
    assert_int_equal(meet(w).what, CS_MEET_LEAD);
}

static void test_meet_ignores_what_no_kind_takes(void **state)
{
    static const char *const changes[] = { "/records/opportunity/from_pc/when", "{\"pc\":\"$kind\",\"is\":\"private\"}", NULL };
    deal_world_t *w = deal_world(*state, changes);
    cs_meeting_t meeting;
    cs_result_t res;

    deal_fetch(w);
    assert_ok(cs_reconcile_meet(&meeting, &w->look, w->p, &res));
    assert_int_equal(meeting.what, CS_MEET_IGNORE);
    assert_has(meeting.why, "co-sell");
}

static void test_kinds_of_referrals(void **state)
{
    static const struct {
        const char *doc, *kind;
        int microsoft;
    } cases[] = {
        { "{\"type\":\"Independent\",\"qualification\":\"Direct\"}", "marketplace-lead", 0 },
        { "{\"type\":\"Independent\",\"qualification\":\"Direct\",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}}}", "marketplace-lead", 0 },
        { "{\"type\":\"Independent\",\"qualification\":\"MarketingQualified\",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"MSFT\"}}}", "qualified-lead", 0 },
        { "{\"type\":\"Independent\",\"qualification\":\"SalesQualified\"}", "private", 0 },
        { "{\"type\":\"Independent\",\"qualification\":\"SalesQualified\"}", "co-sell", 1 },
        { "{\"type\":\"Shared\",\"qualification\":\"SalesQualified\",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}}}", "co-sell", 0 },
        { "{\"type\":\"Shared\",\"qualification\":\"None\",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"partner\"}}}", "p2p", 0 },
        { "{\"type\":\"Independent\",\"qualification\":\"SalesQualified\",\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":true}}", "partner-led", 0 },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cs_card_t own = { .organization_id = "own", .doc = deal_json(*state, cases[i].doc) };
        cs_card_t microsoft = { .organization_id = "msft" };

        assert_string_equal(cs_referral_kind(&own, cases[i].microsoft ? &microsoft : NULL, NULL, "own"), cases[i].kind);
    }
}

/* ---- create ---- */

static void test_create(void **state)
{
    deal_world_t *w = deal_world(*state, told);
    cs_plan_t *plan = deal_look(w);
    const cs_step_t *step = deal_find_step(plan, CS_STEP_CREATE), *patch = deal_find_step(plan, CS_STEP_PATCH_PC);
    const json_t *account = cs_json_get(cs_json_get(step->columns, "parentaccountid"), "$lookup");

    assert_int_equal(plan->what, CS_PLAN_STEPS);
    assert_null(step->guard);
    assert_json(w, cs_json_get(step->columns, "name"), "\"Contoso migration\"");
    assert_json(w, cs_json_get(step->columns, "estimatedvalue"), "{\"$number\":\"50000.00\"}");
    assert_json(w, cs_json_get(step->columns, "estimatedclosedate"), "\"2026-03-31\"");
    assert_json(w, cs_json_get(step->columns, "statuscode"), "2");
    assert_null(cs_json_get(step->columns, "statecode"));
    assert_json(w, cs_json_get(step->columns, "msft_syncwithpartnercenter"), "true");
    assert_json(w, cs_json_get(step->columns, "msft_referralidentifier"), "\"" DEAL_REFERRAL "\"");
    assert_json(w, cs_json_get(step->columns, "msft_referrallink"),
                "\"https://partner.microsoft.com/dashboard/referrals/v2/inbox?id=" DEAL_REFERRAL "\"");
    assert_json(w, cs_json_get(step->columns, "acme_cosellstatus"), "\"Not accepted\"");
    assert_json(w, cs_json_get(step->columns, "msft_audit"), "\"2026-02-02 02:40 - Not accepted\"");
    assert_json(w, cs_json_get(cs_json_get(step->columns, "transactioncurrencyid"), "$lookup"),
                "{\"find\":\"currency\",\"table\":\"transactioncurrency\",\"keys\":[{\"isocurrencycode\":\"USD\"}],\"several\":\"hold\",\"none\":\"hold\","
                "\"line\":\"value\",\"columns\":[\"estimatedvalue\",\"transactioncurrencyid\"]}");
    /* No external id at Partner Center: that key is left out. */
    assert_json(w, account,
                "{\"find\":\"account\",\"table\":\"account\",\"keys\":[{\"name\":\"Contoso\",\"address1_postalcode\":\"10115\"}],\"where\":{\"statecode\":0},"
                "\"several\":\"hold\",\"none\":\"create\",\"create\":{\"name\":\"Contoso\",\"address1_city\":\"Berlin\",\"address1_postalcode\":\"10115\","
                "\"address1_country\":\"DE\"},\"line\":\"account\",\"columns\":[\"parentaccountid\"]}");
    assert_non_null(patch);
    assert_int_equal(patch->send, 1);
    assert_ptr_equal(APR_ARRAY_IDX(plan->steps, patch->after, cs_step_t *), step); /* it names a record that is there */
    assert_json(w, patch->columns, apr_psprintf(w->p, "[{\"op\":\"add\",\"path\":\"/externalReferenceId\",\"value\":\"%s\"}]", step->id));

    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_string_equal(w->deal.pc_status, "New/Pending");
    assert_null(w->deal.intent);
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "value"), "pc"), "{\"amount\":\"50000.00\",\"currency\":\"USD\"}");
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "value"), "crm"), "{\"amount\":\"50000.00\",\"currency\":\"USD\"}");
    assert_null(cs_json_get(cs_json_get(w->deal.images, "value"), "rest"));
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "id"), "pc"), apr_psprintf(w->p, "\"%s\"", step->id));
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "id"), "crm"), apr_psprintf(w->p, "\"%s\"", step->id));
    assert_int_equal(w->journal->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(w->journal, 0, cs_journal_t *)->action, "create");
    assert_string_equal(APR_ARRAY_IDX(w->journal, 1, cs_journal_t *)->action, "update");
    assert_string_equal(APR_ARRAY_IDX(w->journal, 1, cs_journal_t *)->direction, "to_pc");

    /* The second look: nothing. */
    plan = deal_look(w);
    assert_int_equal(plan->what, CS_PLAN_NOTHING);
    assert_null(deal_find_step(plan, CS_STEP_PATCH_PC));
    assert_int_equal(w->journal->nelts, 2);
    assert_int_equal(w->writes, 1);
}

static void test_create_failed_keeps_nothing(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    w->fail = 1;
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_NEW);
    assert_int_equal(json_object_size(w->deal.images), 0);
    assert_null(w->deal.status);
    assert_non_null(w->deal.intent);
    w->fail = 0;
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_int_equal(deal_look(w)->what, CS_PLAN_NOTHING);
}

static void test_create_crashed_before_settle(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    deal_plan(w);
    deal_apply(w);
    w->deal.record_id = cs_json_str(w->row, "opportunityid");
    /* Partner Center moves on meanwhile: the row shows what we meant, so it is ours to change. */
    deal_set(w, "/details/dealValue", "60000");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_TO_CRM);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "60000");
    assert_null(w->deal.intent);
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_create_without_representation(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    w->silent = 1;
    deal_look(w);
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "name"), "crm"), "\"Contoso migration\"");
    assert_null(w->deal.crm_version);
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_closed_before_a_record_was_made(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    deal_status(w, "Closed", "Expired");
    assert_int_equal(deal_look(w)->what, CS_PLAN_NOTHING);
    assert_int_equal(w->deal.state, CS_DEAL_IGNORED);
    assert_null(w->row);
}

/* ---- copy, conflict, one way ---- */

static void test_only_the_changed_column_is_sent(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    const cs_step_t *step;

    deal_set(w, "/details/dealValue", "60000.5");
    step = deal_find_step(deal_look(w), CS_STEP_UPDATE);
    assert_json(w, step->columns, "{\"estimatedvalue\":{\"$number\":\"60000.50\"}}");
    assert_string_equal(step->guard, "W/\"2\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_an_instant_on_the_same_day_is_left_alone(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_set(w, "/details/closingDateTime", "\"2026-03-31T23:59:59Z\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    deal_set(w, "/details/closingDateTime", "\"2026-04-01T00:00:00Z\"");
    assert_json(w, deal_find_step(deal_look(w), CS_STEP_UPDATE)->columns, "{\"estimatedclosedate\":\"2026-04-01\"}");
}

static void test_a_users_edit_is_sent(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int journal = w->journal->nelts;
    const cs_step_t *step;

    deal_edit(w, "estimatedclosedate", "\"2026-05-01\"");
    deal_look(w);
    step = deal_find_step(w->plan, CS_STEP_PATCH_PC);
    assert_verdict(w, "close", CS_VERDICT_TO_PC);
    assert_has(cs_json_print(step->columns, w->p), "\"2026-05-01T12:00:00Z\"");
    assert_json(w, cs_json_get(w->row, "estimatedclosedate"), "\"2026-05-01\"");
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "close"), "pc"), "\"2026-05-01\"");
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "close"), "crm"), "\"2026-05-01\"");
    assert_string_equal(w->deal.status, "In sync");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_int_equal(w->journal->nelts - journal, 1);
    assert_string_equal(APR_ARRAY_IDX(w->journal, journal, cs_journal_t *)->direction, "to_pc");
    assert_json(w, APR_ARRAY_IDX(w->journal, journal, cs_journal_t *)->from, "\"2026-03-31\"");
    deal_edit(w, "estimatedclosedate", "\"2026-05-02\"");
    /* Now Partner Center moves too: nobody wins by default. */
    deal_set(w, "/details/closingDateTime", "\"2026-06-01T00:00:00Z\"");
    deal_look(w);
    assert_verdict(w, "close", CS_VERDICT_HELD);
    assert_json(w, cs_json_get(w->row, "estimatedclosedate"), "\"2026-05-02\"");
    assert_json(w, cs_json_pointer(w->doc, "/details/closingDateTime"), "\"2026-06-01T00:00:00Z\"");
}

static void test_hold_is_settled_by_the_next_edit(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_set(w, "/details/dealValue", "60000");
    deal_edit(w, "estimatedvalue", "70000");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_HELD);
    assert_string_equal(w->deal.status, "Needs you");
    assert_string_equal(w->deal.problem, "Conflict in value: Partner Center 60000.00 USD, here 70000.00 USD; retype the right one");
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "70000");
    assert_json(w, cs_json_get(w->row, "acme_cosellstatus"), "\"Needs you\"");
    assert_int_equal(deal_look(w)->what, CS_PLAN_HOLD);
    assert_int_equal(deal_sent(w->plan), 0);
    deal_set(w, "/details/dealValue", "65000");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "65000");
    assert_string_equal(w->deal.status, "In sync");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_both_changed_to_the_same(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_set(w, "/details/dealValue", "60000");
    deal_edit(w, "estimatedvalue", "60000.00");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "value", CS_VERDICT_EQUAL);
    deal_set(w, "/details/dealValue", "61000");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "61000");
}

static void test_policies(void **state)
{
    static const char *const pc[] = { TOLD, "/records/opportunity/lines/notes/conflict", "\"partner-center\"", NULL };
    static const char *const crm[] = { TOLD, "/records/opportunity/lines/notes/conflict", "\"crm\"", NULL };
    deal_world_t *w = settled(*state, pc);

    deal_set(w, "/details/notes", "\"theirs\"");
    deal_edit(w, "description", "\"ours\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"theirs\"");
    w = settled(*state, crm);
    deal_set(w, "/details/notes", "\"theirs\"");
    deal_edit(w, "description", "\"ours\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC);
    assert_json(w, cs_json_get(w->row, "description"), "\"ours\"");
}

static void test_one_way(void **state)
{
    static const char *const enforced[] = { TOLD, "/records/opportunity/lines/program/enforce", "true", NULL };
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "msft_referralprogram", "\"mine\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "program", CS_VERDICT_ONE_WAY);
    assert_string_equal(w->deal.status, "In sync");
    deal_edit(w, "msft_referralprogram", "\"mine too\"");
    deal_set(w, "/referralProgram", "\"theirs\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "msft_referralprogram"), "\"theirs\"");

    w = settled(*state, enforced);
    deal_edit(w, "msft_referralprogram", "\"mine\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "msft_referralprogram"), "null");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_a_name_that_cannot_change_there(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "name", "\"Better name\"");
    deal_look(w);
    assert_verdict(w, "name", CS_VERDICT_ONE_WAY);
    assert_string_equal(w->deal.status, "In sync, not all");
    assert_string_equal(w->deal.problem, "name cannot change in Partner Center; stays \"Contoso migration\"");
    assert_json(w, cs_json_get(w->row, "name"), "\"Better name\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_not_kept(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    json_object_set_new(w->habits, "estimatedvalue", json_integer(HABIT_ROUNDS));
    json_object_set_new(w->habits, "description", json_integer(HABIT_IGNORES));
    deal_set(w, "/details/dealValue", "60000.4");
    deal_set(w, "/details/notes", "\"Second call\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "60000");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "value", CS_VERDICT_NOT_KEPT);
    assert_verdict(w, "notes", CS_VERDICT_NOT_KEPT);
    assert_int_equal(deal_sent(deal_look(w)), 0);
    deal_set(w, "/details/dealValue", "70000.4");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "70000");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_text_is_compared_as_text(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "description", "\"First call\\r\\n\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "notes", CS_VERDICT_EQUAL);
    /* A combining accent stays one. */
    deal_set(w, "/details/notes", "\"Cafe\\u0301\\r\\nBerlin  \"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"Cafe\\u0301\\nBerlin\"");
    deal_set(w, "/details/notes", "\"\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "null");
}

static void test_a_text_too_long_is_refused(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    char *text = apr_pcalloc(w->p, 4 * 151 + 3), *to = text;
    int i, journal;

    *to++ = '"';
    for (i = 0; i < 151; i++) {
        memcpy(to, "\xF0\x9F\x98\x80", 4); /* two units each */
        to += 4;
    }
    *to = '"';
    deal_set(w, "/name", text);
    deal_look(w);
    assert_verdict(w, "name", CS_VERDICT_REFUSED);
    assert_has(deal_view(w->plan, "name")->why, "302 characters, and only 300 fit");
    assert_string_equal(w->deal.status, "In sync, not all");
    journal = w->journal->nelts;
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_int_equal(w->journal->nelts, journal);
    text[1 + 4 * 150] = '"';
    text[2 + 4 * 150] = '\0';
    deal_set(w, "/name", text);
    deal_look(w);
    assert_int_equal(strlen(cs_json_str(w->row, "name")), 600);
}

static void test_money(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    const cs_step_t *step;

    deal_set(w, "/details/currency", "\"JPY\"");
    step = deal_find_step(deal_look(w), CS_STEP_UPDATE);
    assert_json(w, cs_json_get(step->columns, "estimatedvalue"), "{\"$number\":\"50000\"}");
    assert_non_null(cs_json_get(step->columns, "transactioncurrencyid"));
    deal_set(w, "/details/dealValue", "1234567890123456");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_REFUSED);
    deal_set(w, "/details/dealValue", "null");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_HELD);
    assert_string_equal(w->deal.status, "Waiting");
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "50000");
    deal_set(w, "/details/currency", "null");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_SKIPPED);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "50000");
    deal_set(w, "/details/currency", "\"EUR\"");
    deal_set(w, "/details/dealValue", "0");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "0");
    /* A zero does not go to Partner Center. */
    deal_set(w, "/details/dealValue", "5");
    deal_look(w);
    deal_edit(w, "estimatedvalue", "0");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_SKIPPED);
}

static void test_money_the_crm_computes(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "isrevenuesystemcalculated", "true");
    deal_set(w, "/details/dealValue", "60000");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "value", CS_VERDICT_SKIPPED);
    deal_edit(w, "isrevenuesystemcalculated", "false");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "60000");
}

static void test_an_unknown_currency_holds_the_pair(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int journal;

    deal_set(w, "/details/currency", "\"XTS\"");
    deal_plan(w);
    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * 4);
    w->applied[0].tried = w->applied[0].done = 1;
    w->applied[0].dropped = deal_json(w->p, "{\"value\":\"the CRM has no currency XTS\"}");
    deal_settle(w);
    assert_json(w, cs_json_get(cs_json_get(w->deal.images, "value"), "crm"), "{\"amount\":\"50000.00\",\"currency\":\"USD\"}");
    journal = w->journal->nelts;
    assert_string_equal(APR_ARRAY_IDX(w->journal, journal - 1, cs_journal_t *)->outcome, "held");
    /* Tried again at every look, told once. */
    deal_plan(w);
    assert_verdict(w, "value", CS_VERDICT_TO_CRM);
    assert_string_equal(w->plan->status, "Waiting");
    assert_has(w->plan->problem, "the CRM has no currency XTS");
    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * 4);
    w->applied[0].tried = w->applied[0].done = 1;
    w->applied[0].dropped = deal_json(w->p, "{\"value\":\"the CRM has no currency XTS\"}");
    deal_settle(w);
    assert_int_equal(w->journal->nelts, journal + (w->plan->steps->nelts ? 0 : 1));
}

static void test_unreadable_is_no_change(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    json_object_del(w->row, "estimatedvalue");
    deal_set(w, "/details/dealValue", "60000");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_UNREADABLE);
    assert_null(cs_json_get(w->row, "estimatedvalue"));
    /* It is not silent about it either: the value that has moved meanwhile is not here. */
    assert_string_equal(w->deal.status, "In sync, not all");
    assert_non_null(strstr(w->deal.problem, "cannot be read here, so that Partner Center's 60000.00 USD is not written"));
    assert_int_equal(deal_sent(deal_look(w)), 0);
    deal_edit(w, "estimatedvalue", "50000");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "60000");
    assert_string_equal(w->deal.status, "In sync");
}

static void test_crash_between_write_and_settle(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_set(w, "/details/dealValue", "60000");
    deal_plan(w);
    deal_apply(w);
    /* ... died here; Partner Center goes back, or on. */
    deal_set(w, "/details/dealValue", "50000");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "50000");
    assert_string_equal(w->deal.status, "In sync");
    deal_set(w, "/details/dealValue", "60000");
    deal_plan(w);
    deal_apply(w);
    deal_set(w, "/details/dealValue", "70000");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "70000");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

/* ---- existing records ---- */

static deal_world_t *linked(apr_pool_t *p)
{
    deal_world_t *w = deal_world(p, told);

    w->deal.record_id = "b1c3a7d2-0000-4000-8000-00000000abcd";
    deal_set(w, "/externalReferenceId", "\"b1c3a7d2-0000-4000-8000-00000000abcd\"");
    deal_row(w, w->deal.record_id);
    return w;
}

static void test_link_fills_what_is_empty(void **state)
{
    deal_world_t *w = linked(*state);
    const cs_step_t *step;

    deal_status(w, "Active", "Accepted");
    deal_edit(w, "name", "\"My own name\"");
    step = deal_find_step(deal_look(w), CS_STEP_UPDATE);
    assert_null(cs_json_get(step->columns, "name"));
    assert_null(cs_json_get(step->columns, "parentaccountid"));
    assert_non_null(cs_json_get(step->columns, "estimatedvalue"));
    assert_json(w, cs_json_get(step->columns, "msft_syncwithpartnercenter"), "true");
    assert_verdict(w, "name", CS_VERDICT_SKIPPED);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "name", CS_VERDICT_SKIPPED);
    deal_set(w, "/name", "\"Newer name\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "name"), "\"Newer name\"");
}

static void test_link_accepts_nothing(void **state)
{
    deal_world_t *w = linked(*state);

    deal_look(w); /* New, and the record in progress */
    assert_json(w, cs_json_get(w->row, "statuscode"), "2");
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    w = linked(*state);
    deal_edit(w, "statecode", "1");
    deal_edit(w, "statuscode", "3");
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_json(w, cs_json_get(w->row, "statecode"), "1");
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
}

static void test_link_to_nothing_and_to_somebody_elses(void **state)
{
    deal_world_t *w = linked(*state);

    deal_edit(w, "msft_referralidentifier", "\"99999999-1111-4222-8333-944455566677\"");
    assert_int_equal(deal_look(w)->what, CS_PLAN_PARK);
    assert_int_equal(w->deal.state, CS_DEAL_PARKED);
    assert_has(w->deal.problem, "already linked");
    w = linked(*state);
    w->row = NULL;
    assert_int_equal(deal_look(w)->what, CS_PLAN_PARK);
    assert_has(w->deal.problem, "does not exist");
}

static void test_deleted_record_is_a_tombstone(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    json_t *row = w->row;

    w->row = NULL;
    assert_int_equal(deal_look(w)->what, CS_PLAN_GONE);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    assert_int_equal(deal_look(w)->what, CS_PLAN_NOTHING);
    assert_null(w->row);
    w->row = row;
    deal_set(w, "/details/dealValue", "60000");
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "60000");
}

static void test_opt_out_pauses(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int journal = w->journal->nelts;

    deal_edit(w, "msft_syncwithpartnercenter", "false");
    deal_set(w, "/details/dealValue", "60000");
    assert_int_equal(deal_look(w)->what, CS_PLAN_STEPS); /* the seller is told, and nothing else is written */
    assert_string_equal(w->deal.status, "Paused");
    assert_has(cs_json_str(w->row, "msft_audit"), "Paused: Switched off here: nothing is copied, and Microsoft still sees the deal");
    assert_int_equal(deal_look(w)->what, CS_PLAN_HOLD);
    assert_int_equal(w->journal->nelts, journal + 1);
    deal_edit(w, "msft_syncwithpartnercenter", "true");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "60000");
    assert_string_equal(w->deal.status, "In sync");
}

/* Switched off or not, with both sides closed it is at its end. */
static void test_opt_out_and_closed(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "msft_syncwithpartnercenter", "false");
    deal_status(w, "Closed", "Lost");
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    deal_edit(w, "statecode", "2");
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    assert_int_equal(deal_look(w)->what, CS_PLAN_HOLD);
}

/* ---- state ---- */

static void test_accepted_at_partner_center(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "2");
    deal_status(w, "Active", "Accepted");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "1");
    assert_string_equal(w->deal.status, "In sync");
    assert_string_equal(w->deal.pc_status, "Active/Accepted");
    assert_json(w, cs_json_get(w->row, "msft_audit"), "\"2026-02-02 02:40 - In sync\\n2026-02-02 02:40 - Not accepted\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_accepted_in_the_crm(void **state)
{
    deal_world_t *w = deal_world(*state, told);
    int journal;

    deal_look(w);
    deal_edit(w, "statuscode", "1");
    deal_look(w);
    /* Partner Center is told, and the seller. */
    assert_int_equal(deal_sent(w->plan), 2);
    assert_null(cs_json_get(deal_find_step(w->plan, CS_STEP_UPDATE)->parts, "$state"));
    assert_string_equal(w->deal.status, "In sync");
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "\"value\":\"Active\"");
    assert_string_equal(cs_json_str(w->doc, "status"), "Active");
    assert_string_equal(w->deal.pc_status, "Active/Accepted");
    journal = w->journal->nelts;
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_int_equal(w->journal->nelts, journal);
}

static void test_a_hold_that_did_not_stick_accepts_nothing(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    json_object_set_new(w->habits, "statuscode", json_integer(HABIT_IGNORES));
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "1");
    /* It is reported, once, and nothing is asked of Partner Center. */
    assert_string_equal(APR_ARRAY_IDX(w->journal, w->journal->nelts - 1, cs_journal_t *)->action, "not-kept");
    deal_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_NOT_KEPT);
    assert_string_equal(w->deal.status, "Not accepted");
    assert_has(w->deal.problem, "statuscode did not stay 2; set it to 2 and then to 1 to accept"); /* their names here, for there are no labels */
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_NOT_KEPT);
}

static void test_won(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    const cs_step_t *update, *call;

    deal_status(w, "Closed", "Won");
    deal_set(w, "/closedDateTime", "\"2026-02-01T08:00:00.1234567Z\"");
    deal_set(w, "/details/dealValue", "55000");
    deal_look(w);
    update = deal_find_step(w->plan, CS_STEP_UPDATE);
    call = deal_find_step(w->plan, CS_STEP_CALL);
    assert_ptr_equal(APR_ARRAY_IDX(w->plan->steps, 0, cs_step_t *), update);
    assert_int_equal(call->after, 0);
    assert_string_equal(call->call, "WinOpportunity");
    assert_json(w, call->columns, "{\"Status\":3,\"actualrevenue\":{\"$number\":\"55000.00\"},\"actualend\":\"2026-02-01T08:00:00Z\"}");
    assert_json(w, cs_json_get(update->columns, "acme_cosellstatus"), "\"Closed\"");
    assert_has(cs_json_str(w->row, "msft_audit"), "Closed (Won)\n");
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    assert_json(w, cs_json_get(w->row, "statecode"), "1");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_lost_with_a_reason(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_status(w, "Closed", "Lost");
    deal_set(w, "/statusReason", "\"ChoseAnotherVendor:cheaper\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "5");
    w = settled(*state, NULL);
    deal_status(w, "Closed", "Lost");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statuscode"), "4");
}

static void test_a_close_that_failed_is_done_again(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_status(w, "Closed", "Won");
    w->fail = 1;
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_string_equal(w->deal.pc_status, "Active/Accepted");
    w->fail = 0;
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statecode"), "1");
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
}

static void test_closed_the_other_way_is_reopened_first(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    cs_step_t **steps;

    deal_edit(w, "statecode", "2");
    deal_edit(w, "statuscode", "4");
    deal_set(w, "/details/dealValue", "55000");
    w->pc_fail = 1; /* before it could be told, the portal closes it the other way */
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 1);
    assert_verdict(w, "value", CS_VERDICT_CLOSED);
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "\"Lost\"");
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "\"Others\"");
    deal_status(w, "Closed", "Won");
    deal_look(w);
    steps = (cs_step_t **)w->plan->steps->elts;
    assert_int_equal(steps[0]->kind, CS_STEP_REOPEN);
    assert_json(w, steps[0]->columns, "{\"statecode\":0,\"statuscode\":1}");
    assert_int_equal(steps[1]->kind, CS_STEP_UPDATE);
    assert_int_equal(steps[1]->after, 0);
    assert_non_null(cs_json_get(steps[1]->columns, "estimatedvalue"));
    assert_int_equal(steps[2]->kind, CS_STEP_CALL);
    assert_int_equal(steps[2]->after, 1);
    assert_json(w, cs_json_get(w->row, "statecode"), "1");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_won_on_both_sides(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "statecode", "1");
    deal_edit(w, "statuscode", "3");
    deal_status(w, "Closed", "Won");
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
}

static void test_error_only_unlinks(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_status(w, "Closed", "Error");
    deal_set(w, "/details/dealValue", "1");
    deal_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_UNLINKED);
    assert_json(w, cs_json_get(w->row, "statecode"), "0");
    assert_json(w, cs_json_get(w->row, "estimatedvalue"), "50000");
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_expired(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    deal_look(w);
    deal_status(w, "Closed", "Expired");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statecode"), "2");
    w = settled(*state, NULL);
    deal_status(w, "Closed", "Expired");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "statecode"), "0");
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_reopened_after_the_end(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_status(w, "Closed", "Won");
    deal_look(w);
    deal_edit(w, "statecode", "0");
    deal_edit(w, "statuscode", "1");
    deal_edit(w, "estimatedvalue", "1");
    deal_look(w);
    assert_string_equal(w->deal.status, "Closed");
    assert_has(w->deal.problem, "reopened here");
    assert_json(w, cs_json_get(w->row, "statecode"), "0");
    assert_verdict(w, "value", CS_VERDICT_CLOSED);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

/* ---- what the seller reads ---- */

static void test_tell_is_restored_and_bounded(void **state)
{
    static const char *const small[] = { TOLD, "/records/opportunity/tell/audit", "{\"column\":\"@audit\",\"keep\":2,\"max\":50}", NULL };
    deal_world_t *w = settled(*state, NULL);
    const cs_step_t *step;
    int i;

    deal_edit(w, "msft_audit", "\"what is this\"");
    deal_edit(w, "msft_referralidentifier", "null");
    step = deal_find_step(deal_look(w), CS_STEP_UPDATE);
    assert_int_equal(json_object_size(step->columns), 2);
    assert_json(w, cs_json_get(w->row, "msft_referralidentifier"), "\"" DEAL_REFERRAL "\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);

    w = settled(*state, small);
    for (i = 0; i < 3; i++) {
        deal_set(w, "/details/dealValue", "null");
        deal_look(w);
        deal_set(w, "/details/dealValue", "50000");
        deal_look(w);
    }
    assert_int_equal(json_array_size(cs_json_get(w->deal.told, "audit")), 2);
    assert_json(w, cs_json_get(w->row, "msft_audit"), "\"2026-02-02 02:42 - In sync\"");
}

static void test_a_column_that_cuts_what_it_is_told(void **state)
{
    deal_world_t *w = deal_world(*state, told);

    json_object_set_new(w->habits, "msft_audit", json_integer(HABIT_CUTS));
    json_object_set_new(w->habits, "acme_cosellstatus", json_integer(HABIT_IGNORES));
    deal_look(w);
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_int_equal(deal_sent(deal_look(w)), 0);
}

static void test_audit_after_a_crash_is_not_doubled(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_status(w, "Closed", "Error");
    deal_plan(w);
    deal_apply(w);
    deal_plan(w);
    assert_int_equal(deal_sent(w->plan), 0);
    assert_int_equal(json_array_size(cs_json_get(w->plan->told, "audit")), 2);
}

static void test_explain(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    const json_t *lines = cs_json_get(w->plan->explain, "lines");

    assert_string_equal(cs_json_str(w->plan->explain, "what"), "nothing");
    assert_int_equal(json_array_size(lines), w->plan->lines->nelts);
    assert_json(w, cs_json_get(json_array_get(lines, 1), "verdict"), "\"equal\"");
    deal_edit(w, "description", "\"mine\"");
    deal_plan(w);
    assert_string_equal(cs_json_str(json_array_get(cs_json_get(w->plan->explain, "steps"), 0), "kind"), "patch partner center");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_meet),
        UNIT_TEST(test_meet_ignores_what_no_kind_takes),
        UNIT_TEST(test_kinds_of_referrals),
        UNIT_TEST(test_create),
        UNIT_TEST(test_create_failed_keeps_nothing),
        UNIT_TEST(test_create_crashed_before_settle),
        UNIT_TEST(test_create_without_representation),
        UNIT_TEST(test_closed_before_a_record_was_made),
        UNIT_TEST(test_only_the_changed_column_is_sent),
        UNIT_TEST(test_an_instant_on_the_same_day_is_left_alone),
        UNIT_TEST(test_a_users_edit_is_sent),
        UNIT_TEST(test_hold_is_settled_by_the_next_edit),
        UNIT_TEST(test_both_changed_to_the_same),
        UNIT_TEST(test_policies),
        UNIT_TEST(test_one_way),
        UNIT_TEST(test_a_name_that_cannot_change_there),
        UNIT_TEST(test_not_kept),
        UNIT_TEST(test_text_is_compared_as_text),
        UNIT_TEST(test_a_text_too_long_is_refused),
        UNIT_TEST(test_money),
        UNIT_TEST(test_money_the_crm_computes),
        UNIT_TEST(test_an_unknown_currency_holds_the_pair),
        UNIT_TEST(test_unreadable_is_no_change),
        UNIT_TEST(test_crash_between_write_and_settle),
        UNIT_TEST(test_link_fills_what_is_empty),
        UNIT_TEST(test_link_accepts_nothing),
        UNIT_TEST(test_link_to_nothing_and_to_somebody_elses),
        UNIT_TEST(test_deleted_record_is_a_tombstone),
        UNIT_TEST(test_opt_out_pauses),
        UNIT_TEST(test_opt_out_and_closed),
        UNIT_TEST(test_accepted_at_partner_center),
        UNIT_TEST(test_accepted_in_the_crm),
        UNIT_TEST(test_a_hold_that_did_not_stick_accepts_nothing),
        UNIT_TEST(test_won),
        UNIT_TEST(test_lost_with_a_reason),
        UNIT_TEST(test_a_close_that_failed_is_done_again),
        UNIT_TEST(test_closed_the_other_way_is_reopened_first),
        UNIT_TEST(test_won_on_both_sides),
        UNIT_TEST(test_error_only_unlinks),
        UNIT_TEST(test_expired),
        UNIT_TEST(test_reopened_after_the_end),
        UNIT_TEST(test_tell_is_restored_and_bounded),
        UNIT_TEST(test_a_column_that_cuts_what_it_is_told),
        UNIT_TEST(test_audit_after_a_crash_is_not_doubled),
        UNIT_TEST(test_explain),
    };

    return UNIT_RUN(tests);
}
