/* What the property test of both sides found, each as a story: how old an answer is, rows that a list does not show yet, answers that show nothing, a deal that was
 * switched off amid its making, sides that have nothing to say, groups that are refused. (deals 2)
 */
#include "unit_list.h"

#define LINES "/records/opportunity/lines/"

static deal_world_t *settled(apr_pool_t *p, const char *const *changes)
{
    deal_world_t *w = deal_world(p, changes);

    deal_status(w, "Active", "Accepted");
    deal_look(w);
    deal_look(w);
    assert_int_equal(deal_sent(deal_look(w)), 0);
    return w;
}

static void plan_now(deal_world_t *w)
{
    cs_result_t res = {0};

    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res));
}

static void settle_at(deal_world_t *w, apr_time_t modified, apr_int64_t order)
{
    deal_fetch(w);
    w->record.modified = modified;
    w->record.order = order;
    plan_now(w);
    deal_apply(w);
    deal_settle(w);
}

/* Two versions of a row within one second. */
static void test_the_number_of_a_row_tells_its_age(void **state)
{
    deal_world_t *w = settled(*state, NULL);

    settle_at(w, 5000, 71);
    deal_fetch(w);
    w->record.modified = 5000;
    w->record.order = 70;
    plan_now(w);
    assert_int_equal(w->plan->stale, 1);
    w->record.order = 72;
    w->record.modified = 4000; /* their clock went back */
    plan_now(w);
    assert_int_equal(w->plan->stale, 0);
    w->record.order = 1;
    w->record.id = "99999999-1111-4222-8333-944455566677"; /* another row */
    plan_now(w);
    assert_int_equal(w->plan->stale, 0);
}

static int stale_lines(const deal_world_t *w, int from)
{
    int i, n = 0;

    for (i = from; i < w->journal->nelts; i++) {
        n += !strcmp(APR_ARRAY_IDX(w->journal, i, cs_journal_t *)->action, "stale");
    }
    return n;
}

static void read_at(deal_world_t *w, int second, apr_int64_t order)
{
    deal_fetch(w);
    w->look.now = DEAL_NOW + apr_time_from_sec(second);
    w->card.updated = apr_time_from_sec(1000 + second);
    w->record.modified = apr_time_from_sec(5000) + order;
    w->record.order = order;
    plan_now(w);
}

static void settle_then(deal_world_t *w, int second, apr_int64_t order)
{
    read_at(w, second, order);
    deal_apply(w);
    w->record.order = order;
    deal_settle(w);
}

/* The CRM was restored from a backup: its versions went back and count on from there. */
static void test_a_restored_crm_is_not_held_for_good(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int lines;

    settle_then(w, 0, 700);
    read_at(w, 60, 300);
    assert_int_equal(w->plan->stale, 1);
    assert_non_null(strstr(w->plan->why, "counts from 2"));
    assert_true(w->plan->look_at > w->look.now && w->plan->look_at <= DEAL_NOW + apr_time_from_sec(900));
    lines = w->journal->nelts;
    deal_edit(w, "description", "\"as it was in the backup\"");
    settle_then(w, 900, 300);
    assert_int_equal(w->plan->stale, 0);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"as it was in the backup\"");
    assert_int_equal(stale_lines(w, lines), 1);
    /* From now on it is as new as it shows itself: nothing waits any more. */
    deal_edit(w, "description", "\"and on it goes\"");
    settle_then(w, 910, 310);
    assert_int_equal(w->plan->stale, 0);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"and on it goes\"");
    assert_int_equal(stale_lines(w, lines), 1);
    read_at(w, 920, 300);
    assert_int_equal(w->plan->stale, 1); /* a lagging answer is one as before */
}

/* ---- rows of lists ---- */

static json_t *child_rows(list_world_t *l)
{
    return list_table(l, "msft_microsoftsolution");
}

static void test_a_list_is_given_time_to_show_a_row(void **state)
{
    list_world_t *l = list_world(*state);
    json_t *rows;

    deal_status(l->w, "Active", "Accepted");
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Backup\"}]");
    list_look(l);
    assert_int_equal(json_array_size(child_rows(l)), 1);
    rows = cs_json_own(json_deep_copy(child_rows(l)), l->p);
    json_array_clear(child_rows(l));
    l->w->fetched--; /* the same moment */
    list_look(l);
    assert_int_equal(deal_view(l->w->plan, "solutions/sol-1")->verdict, CS_VERDICT_UNREADABLE);
    assert_null(deal_find_step(l->w->plan, CS_STEP_PATCH_PC));
    assert_true(l->w->plan->look_at > l->w->look.now);
    json_array_extend(child_rows(l), rows);
    list_look(l);
    assert_int_equal(deal_view(l->w->plan, "solutions/sol-1")->verdict, CS_VERDICT_EQUAL);
    /* Later it is somebody who removed it. */
    json_array_clear(child_rows(l));
    list_look(l);
    assert_int_not_equal(deal_view(l->w->plan, "solutions/sol-1")->verdict, CS_VERDICT_UNREADABLE);
}

/* ---- answers that show nothing ---- */

static void test_what_a_silent_referral_made_of_it_is_no_edit(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int writes = w->pc_writes;

    w->pc_silent = 1;
    json_object_set_new(w->pc_habits, "/details/notes", json_string("something else"));
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    assert_int_equal(w->pc_writes, writes + 1);
    deal_look(w);
    assert_int_equal(deal_view(w->plan, "notes")->verdict, CS_VERDICT_NOT_KEPT);
    assert_json(w, cs_json_get(w->row, "description"), "\"mine\"");
    deal_look(w);
    assert_int_equal(deal_sent(w->plan), 0);
}

static void test_what_a_silent_record_made_of_it_is_no_edit(void **state)
{
    deal_world_t *w = settled(*state, NULL);
    int writes = w->pc_writes;

    w->silent = 1;
    json_object_set_new(w->habits, "description", json_integer(HABIT_IGNORES));
    deal_edit_pc(w, "/details/notes", "\"theirs\"");
    deal_look(w);
    deal_look(w);
    assert_int_equal(deal_view(w->plan, "notes")->verdict, CS_VERDICT_NOT_KEPT);
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"theirs\"");
    assert_int_equal(w->pc_writes, writes);
}

/* ---- switched off ---- */

static void test_switched_off_amid_its_making(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);
    int i;

    deal_fetch(w);
    plan_now(w);
    w->deal.intent = w->plan->intent;
    deal_apply(w); /* and dies */
    assert_non_null(w->row);
    for (i = 0; i < 3; i++) {
        deal_edit(w, "msft_syncwithpartnercenter", "false");
        deal_look(w);
        assert_string_equal(w->plan->status, "Paused");
        assert_non_null(w->deal.intent);
        assert_int_equal(w->deal.state, CS_DEAL_LINKED);
        assert_json(w, cs_json_get(w->row, "msft_syncwithpartnercenter"), "false");
    }
}

/* ---- nothing to say ---- */

static void test_an_empty_column_clears_nothing(void **state)
{
    static const char *const to_pc[] = {LINES "camp", "{\"pc\":\"/campaignId\",\"crm\":\"acme_camp\",\"direction\":\"to_pc\",\"introduce\":\"crm\"}", NULL};
    deal_world_t *w = deal_world(*state, to_pc);

    deal_set(w, "/campaignId", "\"Spring\"");
    deal_look(w);
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"Spring\"");
    deal_edit(w, "acme_camp", "\"Autumn\"");
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"Autumn\"");
}

static void test_a_line_may_become_two_way(void **state)
{
    static const char *const one_way[] = {LINES "camp", "{\"pc\":\"/campaignId\",\"crm\":\"acme_camp\",\"direction\":\"to_crm\"}", NULL};
    static const char *const both_ways[] = {LINES "camp", "{\"pc\":\"/campaignId\",\"crm\":\"acme_camp\"}", NULL};
    deal_world_t *w = settled(*state, one_way);

    deal_edit(w, "acme_camp", "\"mine\"");
    deal_look(w);
    assert_int_equal(deal_view(w->plan, "camp")->verdict, CS_VERDICT_ONE_WAY);
    w->mapping = deal_mapping(w->p, both_ways);
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
    deal_look(w);
    assert_int_equal(deal_view(w->plan, "camp")->verdict, CS_VERDICT_SKIPPED);
    deal_edit(w, "acme_camp", "\"mine again\"");
    deal_look(w);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"mine again\"");
}

/* ---- groups that Partner Center refuses ---- */

static deal_world_t *grouped(apr_pool_t *p)
{
    static const char *const changes[] = {LINES "notes/group", "\"both\"", LINES "camp", "{\"pc\":\"/campaignId\",\"crm\":\"acme_camp\",\"group\":\"both\"}", NULL};
    deal_world_t *w = settled(p, changes);

    deal_edit(w, "acme_camp", "\"Spring\"");
    deal_edit(w, "description", "\"mine\"");
    deal_look(w);
    assert_int_equal(deal_sent(deal_look(w)), 0);
    return w;
}

static void refuse_both(deal_world_t *w, const char *path)
{
    json_object_set_new(w->pc_refuses, path, json_string("unknown"));
    deal_edit(w, "acme_camp", "\"Autumn\"");
    deal_edit(w, "description", "\"mine too\"");
    deal_plan(w);
    deal_apply(w);
}

/* The answer blames the one line that the part is named after; the other went with it. */
static void test_a_refused_group_is_over(void **state)
{
    deal_world_t *w = grouped(*state);

    refuse_both(w, "/campaignId");
    assert_int_equal(json_object_size(w->applied[0].refused), 1);
    assert_non_null(w->deal.intent);
    deal_settle(w);
    assert_null(w->deal.intent);
    deal_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine\"");
    assert_null(w->deal.intent);
}

/* Where nothing at all was taken each line is refused: the notice of a better value takes the rest along. */
static void test_half_of_a_refused_group_is_mended(void **state)
{
    deal_world_t *w = grouped(*state);

    refuse_both(w, "/campaignId");
    json_object_set_new(w->applied[0].refused, "camp", json_string("unknown"));
    json_object_set_new(w->applied[0].refused, "notes", json_string("unknown"));
    deal_settle(w);
    assert_null(w->deal.intent);
    deal_look(w);
    assert_null(deal_find_step(w->plan, CS_STEP_PATCH_PC));
    json_object_clear(w->pc_refuses);
    deal_edit(w, "acme_camp", "\"Winter\"");
    deal_fetch(w);
    w->look.notified = 1;
    plan_now(w);
    deal_apply(w);
    deal_settle(w);
    assert_json(w, cs_json_pointer(w->doc, "/campaignId"), "\"Winter\"");
    assert_json(w, cs_json_pointer(w->doc, "/details/notes"), "\"mine too\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_number_of_a_row_tells_its_age),
        UNIT_TEST(test_a_restored_crm_is_not_held_for_good),
        UNIT_TEST(test_a_list_is_given_time_to_show_a_row),
        UNIT_TEST(test_what_a_silent_referral_made_of_it_is_no_edit),
        UNIT_TEST(test_what_a_silent_record_made_of_it_is_no_edit),
        UNIT_TEST(test_switched_off_amid_its_making),
        UNIT_TEST(test_an_empty_column_clears_nothing),
        UNIT_TEST(test_a_line_may_become_two_way),
        UNIT_TEST(test_a_refused_group_is_over),
        UNIT_TEST(test_half_of_a_refused_group_is_mended),
    };

    return UNIT_RUN(tests);
}
