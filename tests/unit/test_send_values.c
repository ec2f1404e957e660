/* What the record's values do at Partner Center: only what differs, guarded, checked before; what is refused or not kept stays known. (deals 2) */
#include "unit_deal.h"

#define LINES "/records/opportunity/lines/"
#define TOLD "/names/status", "\"acme_status\"", "/names/problem", "\"acme_problem\""

static const cs_step_t *patch_of(deal_world_t *w)
{
    return deal_find_step(w->plan, CS_STEP_PATCH_PC);
}

/* A deal at rest on both sides, accepted. */
static deal_world_t *settled(apr_pool_t *p, const char *const *changes)
{
    deal_world_t *w = deal_world(p, changes);

    deal_status(w, "Active", "Accepted");
    deal_look(w);
    deal_look(w);
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_non_null(w->row);
    return w;
}

static void quiet(deal_world_t *w)
{
    int lines = w->journal->nelts;

    deal_look(w);
    if (deal_sent(w->plan)) {
        fail_msg("a second look writes: %s", cs_json_print(cs_json_get(w->plan->explain, "steps"), w->p));
    }
    assert_int_equal(w->journal->nelts, lines);
    assert_null(w->deal.intent);
}

static const json_t *image(deal_world_t *w, const char *line, const char *member)
{
    return cs_json_get(cs_json_get(w->deal.images, line), member);
}

static const cs_journal_t *last_of(deal_world_t *w, const char *line)
{
    int i;

    for (i = w->journal->nelts - 1; i >= 0; i--) {
        const cs_journal_t *j = APR_ARRAY_IDX(w->journal, i, cs_journal_t *);

        if (j->line && !strcmp(j->line, line)) {
            return j;
        }
    }
    fail_msg("the journal says nothing of %s", line);
    return NULL;
}

/* A look that covers a notice, of the changed mapping or not. */
static void look_notified(deal_world_t *w)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->look.notified = 1;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    deal_apply(w);
    deal_settle(w);
}

#define assert_why(w, line, text) assert_has(deal_view((w)->plan, (line))->why, (text))

static void test_an_edit_is_one_guarded_patch(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    const cs_step_t *step;

    deal_edit(w, "estimatedvalue", "61234.5");
    deal_edit(w, "description", "\"mine\"");
    deal_plan(w);
    step = patch_of(w);
    assert_int_equal(step->send, 1);
    assert_string_equal(step->id, DEAL_REFERRAL);
    assert_string_equal(step->guard, deal_etag(w));
    assert_int_equal(step->after, -1);
    assert_string_equal(step->why, "2 fields changed in the CRM");
    assert_json(w, step->columns, "[{\"op\":\"replace\",\"path\":\"/details/notes\",\"value\":\"mine\"},"
                                  "{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":61234.50}]");
    assert_json(w, step->parts, "{\"notes\":[\"/details/notes\"],\"value\":[\"/details/dealValue\"]}");
    /* Nothing for the CRM to do. */
    assert_int_equal(deal_sent(w->plan), 1);
    deal_apply(w);
    deal_settle(w);
    assert_json(w, cs_json_pointer(w->doc, "/details/dealValue"), "61234.5");
    assert_json(w, image(w, "value", "pc"), "{\"amount\":\"61234.50\",\"currency\":\"USD\"}");
    assert_json(w, image(w, "value", "crm"), "{\"amount\":\"61234.50\",\"currency\":\"USD\"}");
    assert_null(image(w, "value", "rest"));
    assert_string_equal(w->deal.pc_version, deal_etag(w));
    assert_string_equal(last_of(w, "notes")->direction, "to_pc");
    assert_string_equal(last_of(w, "notes")->outcome, "done");
    assert_string_equal(last_of(w, "notes")->action, "update");
    assert_string_equal(last_of(w, "notes")->why, "changed in the CRM");
    assert_json(w, last_of(w, "notes")->from, "\"First call\"");
    assert_json(w, last_of(w, "notes")->to, "\"mine\"");
    quiet(w);
    assert_int_equal(w->pc_writes, 2); /* the record's id, and this */
}

/* Without a version there is no guard, and without a guard no write. */
static void test_no_version_no_write(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_edit(w, "description", "\"mine\"");
    deal_fetch(w);
    w->card.etag = NULL;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    assert_int_equal(patch_of(w)->send, 0);
    assert_int_equal(deal_sent(w->plan), 0);
}

static void test_absent_members_are_added(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit_pc(w, "/details/notes", "null");
    deal_look(w);
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    assert_json(w, patch_of(w)->columns, "[{\"op\":\"add\",\"path\":\"/details/notes\",\"value\":\"mine\"}]");
    quiet(w);
}

/* ---- money ---- */

static void test_money(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    /* the pair */
    deal_edit(w, "transactioncurrencyid", "{\"id\":\"eur\",\"isocurrencycode\":\"EUR\"}");
    deal_edit(w, "estimatedvalue", "100");
    deal_look(w);
    assert_json(w, patch_of(w)->columns, "[{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":100},"
                                         "{\"op\":\"replace\",\"path\":\"/details/currency\",\"value\":\"EUR\"}]");
    assert_json(w, patch_of(w)->parts, "{\"value\":[\"/details/dealValue\",\"/details/currency\"]}");
    quiet(w);
    /* zero and empty */
    deal_edit(w, "estimatedvalue", "0");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_SKIPPED);
    assert_why(w, "value", "a zero or empty amount is not sent");
    assert_null(patch_of(w));
    deal_edit(w, "estimatedvalue", "-5");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_REFUSED);
    assert_why(w, "value", "Partner Center takes no negative amount");
    /* more digits than a number keeps */
    deal_edit(w, "estimatedvalue", "12345678901234567");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_REFUSED);
    assert_null(patch_of(w));
    assert_json(w, cs_json_pointer(w->doc, "/details/dealValue"), "100");
    /* never half */
    deal_edit(w, "estimatedvalue", "7");
    deal_edit(w, "transactioncurrencyid", "null");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_HELD);
    assert_null(patch_of(w));
}

/* ---- rules ---- */

static void test_a_latch_only_rises(void **state)
{
    deal_world_t *w = settled(*state, (const char *const[]){LINES "visible", "{\"pc\":\"/consent/consentToShareReferralWithMicrosoftSellers\",\"crm\":\"msft_referralvisibility\","
                                                               "\"type\":\"flag\",\"latch\":true}", NULL});
    assert_json(w, cs_json_get(w->row, "msft_referralvisibility"), "true");
    deal_edit(w, "msft_referralvisibility", "false");
    deal_look(w); /* a step down is restored */
    assert_null(patch_of(w));
    assert_json(w, cs_json_get(w->row, "msft_referralvisibility"), "true");
    assert_json(w, cs_json_pointer(w->doc, "/consent/consentToShareReferralWithMicrosoftSellers"), "true");
    quiet(w);
}

static void test_create_only_never(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "name", "\"Another name\"");
    deal_look(w);
    assert_null(patch_of(w));
    assert_verdict(w, "name", CS_VERDICT_ONE_WAY);
    assert_has(w->deal.problem, "cannot change in Partner Center; stays \"Contoso migration\"");
}

static void test_closed_takes_nothing(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "description", "\"mine\"");
    deal_status(w, "Closed", "Lost");
    deal_look(w);
    assert_null(patch_of(w));
    assert_verdict(w, "notes", CS_VERDICT_CLOSED);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"First call\"");
}

/* ---- both sides ---- */

static void test_policies_say_who_won(void **state)
{
    static const struct {
        const char *policy, *pc, *crm, *why, *direction;
    } cases[] = {{"\"crm\"", "\"mine\"", "\"mine\"", "both sides changed: the CRM's value counts", "to_pc"},
                 {"\"partner-center\"", "\"theirs\"", "\"theirs\"", "both sides changed: Partner Center's value counts", "to_crm"}};
    size_t i;

    for (i = 0; i < 2; i++) {
        deal_world_t *w = settled(*state, (const char *const[]){LINES "notes/conflict", cases[i].policy, NULL});

        deal_edit(w, "description", "\"mine\"");
        deal_edit_pc(w, "/details/notes", "\"theirs\"");
        deal_look(w);
        assert_json(w, cs_json_pointer(w->doc, "/details/notes"), cases[i].pc);
        assert_json(w, cs_json_get(w->row, "description"), cases[i].crm);
        assert_string_equal(last_of(w, "notes")->why, cases[i].why);
        assert_string_equal(last_of(w, "notes")->direction, cases[i].direction);
        assert_json(w, last_of(w, "notes")->from, i ? "\"mine\"" : "\"theirs\"");
        quiet(w);
    }
}

static void test_a_hold_is_settled_on_either_side(void **state)
{
    int here;

    for (here = 0; here < 2; here++) {
        deal_world_t *w = settled(*state, NULL);

        deal_edit(w, "description", "\"mine\"");
        deal_edit_pc(w, "/details/notes", "\"theirs\"");
        deal_look(w);
        assert_verdict(w, "notes", CS_VERDICT_HELD);
        assert_null(patch_of(w));
        quiet(w);
        if (here) {
            deal_edit(w, "description", "\"agreed\"");
        }
        else {
            deal_edit_pc(w, "/details/notes", "\"agreed\"");
        }
        deal_look(w);
        assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"agreed\"");
        assert_json(w, cs_json_get(w->row, "description"), "\"agreed\"");
        assert_has(last_of(w, "notes")->why, "which settles the conflict");
        assert_string_equal(last_of(w, "notes")->direction, here ? "to_pc" : "to_crm");
        deal_look(w); /* the seller reads that it is over */
        quiet(w);
        assert_null(image(w, "notes", "rest"));
    }
}

/* ---- refused, not kept ---- */

static void test_what_is_refused_is_remembered(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    json_object_set_new(w->pc_refuses, "/details/notes", json_string("too rude"));
    deal_edit(w, "description", "\"mine\"");
    deal_edit(w, "estimatedvalue", "70000");
    deal_look(w);
    /* the rest goes on */
    assert_json(w, cs_json_pointer(w->doc, "/details/dealValue"), "70000");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"First call\"");
    assert_json(w, cs_json_get(image(w, "notes", "refused"), "crm"), "\"mine\"");
    assert_json(w, image(w, "notes", "crm"), "\"First call\"");
    assert_string_equal(last_of(w, "notes")->outcome, "refused");
    assert_string_equal(last_of(w, "notes")->direction, "to_pc");
    deal_look(w); /* the seller reads it */
    assert_verdict(w, "notes", CS_VERDICT_REFUSED);
    assert_why(w, "notes", "was refused by Partner Center: too rude");
    assert_string_equal(w->deal.status, "In sync, not all");
    assert_has(w->deal.problem, "was refused by Partner Center: too rude");
    quiet(w);
    /* A notice wakes it; while it is refused again nothing else moves. */
    look_notified(w);
    assert_non_null(patch_of(w));
    assert_int_equal(deal_sent(w->plan), 1);
    quiet(w);
    /* Another value is another matter. */
    deal_edit(w, "description", "\"kind\"");
    json_object_clear(w->pc_refuses);
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"kind\"");
    assert_null(image(w, "notes", "refused"));
    deal_look(w);
    quiet(w);
    assert_string_equal(w->deal.status, "In sync");
}

static void test_another_mapping_wakes_what_was_refused(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    json_object_set_new(w->pc_refuses, "/details/notes", json_string("too rude"));
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    deal_look(w);
    assert_null(patch_of(w));
    json_object_clear(w->pc_refuses);
    w->mapping = deal_mapping(*state, (const char *const[]){"/revision", "\"77\"", NULL});
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine\"");
}

/* A line without a history that is refused is not taken for one that the record lacks. */
static void test_refused_when_first_compared(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    json_object_set_new(w->pc_refuses, "/campaignId", json_string("unknown campaign"));
    w->mapping = deal_mapping(*state, (const char *const[]){LINES "camp", "{\"pc\":\"/campaignId\",\"crm\":\"acme_camp\"}", NULL});
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
    deal_edit(w, "acme_camp", "\"Spring\"");
    deal_look(w);
    assert_verdict(w, "camp", CS_VERDICT_TO_PC);
    assert_int_equal(w->plan->crm_writes, 1); /* by the mapping alone: the brake counts it */
    deal_look(w);
    assert_verdict(w, "camp", CS_VERDICT_REFUSED);
    assert_json(w, cs_json_get(w->row, "acme_camp"), "\"Spring\"");
    deal_edit_pc(w, "/campaignId", "\"Autumn\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "acme_camp"), "\"Spring\"");
}

static void test_what_is_not_kept_is_not_sent_again(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int writes;

    json_object_set_new(w->pc_habits, "/details/notes", json_string("MINE"));
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    assert_json(w, image(w, "notes", "pc"), "\"MINE\"");
    assert_json(w, image(w, "notes", "crm"), "\"mine\"");
    assert_json(w, image(w, "notes", "rest"), "\"pc-not-kept\"");
    writes = w->pc_writes;
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_NOT_KEPT);
    assert_why(w, "notes", "Partner Center made it \"MINE\"");
    assert_json(w, cs_json_get(w->row, "description"), "\"mine\"");
    deal_look(w);
    assert_int_equal(w->pc_writes, writes);
    /* The next edit here goes there, the next one there comes here. */
    json_object_clear(w->pc_habits);
    deal_edit(w, "description", "\"mine again\"");
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine again\"");
    deal_look(w);
    quiet(w);
}

/* The answer shows nothing: what was decided counts. */
static void test_an_answer_that_shows_nothing(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    w->pc_silent = 1;
    deal_edit(w, "estimatedclosedate", "\"2026-05-01\"");
    deal_edit(w, "estimatedvalue", "70000");
    deal_look(w);
    assert_json(w, image(w, "close", "pc"), "\"2026-05-01\"");
    assert_json(w, image(w, "value", "pc"), "{\"amount\":\"70000.00\",\"currency\":\"USD\"}");
    assert_null(w->deal.pc_version);
    quiet(w);
}

/* ---- crashes ---- */

/* The patch took effect and nobody heard of it; then the seller goes on typing. */
static void test_a_crash_is_no_edit_of_the_portals(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "description", "\"mine\"");
    deal_plan(w);
    deal_apply(w); /* and dies */
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine\"");
    deal_edit(w, "description", "\"mine, longer\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_TO_PC); /* and no conflict */
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine, longer\"");
    quiet(w);
}

/* What is meant for one side is not looked for on the other. */
static void test_the_side_of_an_intent_counts(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    deal_edit(w, "description", "\"mine\"");
    deal_plan(w);
    w->deal.intent = w->plan->intent; /* dies before the patch */
    deal_edit(w, "description", "\"First call\"");
    deal_edit_pc(w, "/details/notes", "\"theirs\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"theirs\"");
    deal_look(w);
    quiet(w);

    w = settled(*state, NULL);
    deal_edit_pc(w, "/details/notes", "\"theirs\"");
    deal_plan(w);
    deal_apply(w); /* the record has it; dies */
    deal_edit_pc(w, "/details/notes", "\"First call\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "description"), "\"First call\"");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"First call\"");
}

/* A guard that was lost: nothing is settled, and the next look decides afresh. */
static void test_a_patch_that_failed_keeps_both_images(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    w->pc_fail = 1;
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    assert_json(w, image(w, "notes", "crm"), "\"First call\"");
    assert_non_null(w->deal.intent);
    w->pc_fail = 0;
    deal_edit_pc(w, "/details/notes", "\"theirs\"");
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_HELD);
    deal_look(w);
    quiet(w);
}

/* ---- answers of a lagging replica ---- */

static void look_as_of(deal_world_t *w, apr_time_t pc, apr_time_t crm, apr_time_t now)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->card.updated = pc;
    w->record.modified = crm;
    w->look.now = now;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
    deal_apply(w);
    deal_settle(w);
}

static void test_an_old_answer_is_no_edit(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    const char *images;
    json_t *row;
    int lines;

    row = cs_json_own(json_deep_copy(w->row), w->p);
    deal_edit(w, "description", "\"mine\"");
    look_as_of(w, 1000, 2000, DEAL_NOW);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine\"");
    images = cs_json_print(w->deal.images, w->p);
    lines = w->journal->nelts;
    /* the row as it was before the edit */
    w->row = row;
    look_as_of(w, 1000, 1999, DEAL_NOW + apr_time_from_sec(1));
    assert_int_equal(w->plan->stale, 1);
    assert_int_equal(w->plan->what, CS_PLAN_HOLD);
    assert_true(w->plan->look_at > DEAL_NOW);
    assert_string_equal(cs_json_print(w->deal.images, w->p), images);
    assert_int_equal(w->journal->nelts, lines);
    look_as_of(w, 999, 2000, DEAL_NOW + apr_time_from_sec(2));
    assert_int_equal(w->plan->stale, 1);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine\"");
    /* After a while the side has gone back, and that is an edit. */
    look_as_of(w, 1000, 1999, DEAL_NOW + apr_time_from_sec(3600));
    assert_int_equal(w->plan->stale, 0);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"First call\"");
}

/* ---- groups ---- */

static void test_a_group_is_one_part(void **state)
{
    static const char *const grouped[] = {LINES "notes/group", "\"both\"", LINES "camp", "{\"pc\":\"/campaignId\",\"crm\":\"acme_camp\",\"group\":\"both\"}", TOLD, NULL};
    deal_world_t *w = settled(*state, grouped);

    deal_edit(w, "acme_camp", "\"Spring\"");
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    assert_int_equal(json_object_size(patch_of(w)->parts), 1);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"Spring\"");
    quiet(w);
    /* one of them refused leaves out all */
    json_object_set_new(w->pc_refuses, "/campaignId", json_string("unknown"));
    deal_edit(w, "acme_camp", "\"Autumn\"");
    deal_edit(w, "description", "\"mine too\"");
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"Spring\"");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine\"");
    deal_look(w);
    assert_null(patch_of(w));
    json_object_clear(w->pc_refuses);
    deal_edit(w, "acme_camp", "\"Winter\"");
    deal_edit(w, "description", "\"mine three\"");
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"Winter\"");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine three\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_an_edit_is_one_guarded_patch),
        UNIT_TEST(test_no_version_no_write),
        UNIT_TEST(test_absent_members_are_added),
        UNIT_TEST(test_money),
        UNIT_TEST(test_a_latch_only_rises),
        UNIT_TEST(test_create_only_never),
        UNIT_TEST(test_closed_takes_nothing),
        UNIT_TEST(test_policies_say_who_won),
        UNIT_TEST(test_a_hold_is_settled_on_either_side),
        UNIT_TEST(test_what_is_refused_is_remembered),
        UNIT_TEST(test_another_mapping_wakes_what_was_refused),
        UNIT_TEST(test_refused_when_first_compared),
        UNIT_TEST(test_what_is_not_kept_is_not_sent_again),
        UNIT_TEST(test_an_answer_that_shows_nothing),
        UNIT_TEST(test_a_crash_is_no_edit_of_the_portals),
        UNIT_TEST(test_the_side_of_an_intent_counts),
        UNIT_TEST(test_a_patch_that_failed_keeps_both_images),
        UNIT_TEST(test_an_old_answer_is_no_edit),
        UNIT_TEST(test_a_group_is_one_part),
    };

    return UNIT_RUN(tests);
}
