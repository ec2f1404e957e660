/* A record that changed a moment ago: a look that would write it is put off, and nothing else is. */
#include "unit_engine.h"

#include "mod_cosell/engine/batch.h"

static row_t *record_of_deal(const referral_t *r)
{
    return row_by_id("opportunity", deal_of(r)->record_id);
}

static referral_t *settled_deal(apr_pool_t *p)
{
    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", NOTES_LINE ",'close':{'pc':'/details/closingDateTime','crm':'budget','type':'text','direction':'to_pc'}");
    live_with(1);
    return &W->referral[0];
}

static int waits_seconds(const referral_t *r)
{
    const cs_work_t *work = work_of(r);

    return work ? (int)((work->due - cs_time_now() + SEC - 1) / SEC) : -1;
}

static void test_write_of_a_young_record_is_put_off(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = settled_deal(p);
    row_t *row = record_of_deal(r);
    int journal = journal_lines("update"), writes = W->writes, version = row->version, patches = W->patches;
    const cs_deal_t *before = deal_of(r);

    row->young = 1;
    row->version++;
    set_member(r, "/details/notes", "'News'");
    notify(r);
    captured_clear();
    one_batch();
    assert_int_equal(W->writes, writes);
    assert_int_equal(W->patches, patches);
    assert_int_equal(waits_seconds(r), 2);
    assert_int_equal(work_of(r)->attempts, 0);
    assert_has(work_of(r)->problem, "crm:young:");
    assert_int_equal(journal_lines("update"), journal);
    assert_int_equal(deal_of(r)->updated, before->updated);
    assert_null(deal_of(r)->intent);
    assert_int_equal(captured.lines[CS_LOG_WARNING] + captured.lines[CS_LOG_ERR], 0);
    /* Two seconds later its version stands for what was read. */
    pass_seconds(3);
    work();
    assert_int_equal(W->writes, writes + 1);
    assert_true(row->version > version + 1);
    assert_string_equal(cs_json_str(row->row, "description"), "News");
    assert_int_equal(journal_lines("update"), journal + 1);
    assert_null(work_of(r));
}

static void test_somebody_who_edits_without_a_pause_does_not_stop_it(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = settled_deal(p);
    row_t *row = record_of_deal(r);
    int writes = W->writes, i;

    row->young = 100;
    row->version++;
    set_member(r, "/details/notes", "'News'");
    notify(r);
    for (i = 0; i < 5; i++) {
        work();
        assert_int_equal(W->writes, writes);
        assert_int_equal(work_of(r)->attempts, 0);
        pass_seconds(3);
    }
    work();
    assert_true(W->writes > writes);
    assert_string_equal(cs_json_str(row->row, "description"), "News");
}

/* What goes to Partner Center alone is not held up, and nothing is written to the record for it. */
static void test_partner_center_is_written_all_the_same(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = settled_deal(p);
    row_t *row = record_of_deal(r);
    int writes = W->writes;

    row->young = 100;
    edit_row(row, "{'budget':'soon'}");
    work();
    assert_string_equal(cs_json_str(json_object_get(r->doc, "details"), "closingDateTime"), "soon");
    assert_int_equal(W->writes, writes);
    assert_null(work_of(r));
    (void)p;
}

/* Its version never equals another one, so that the same row read later is news, and equal by its values. */
static void test_young_version_equals_no_other(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = settled_deal(p);
    row_t *row = record_of_deal(r);
    int patches;

    row->young = 1;
    edit_row(row, "{'budget':'soon'}");
    work();
    assert_has(deal_of(r)->crm_version, "~");
    patches = W->patches;
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_int_equal(W->patches, patches);
    assert_string_equal(deal_of(r)->crm_version, apr_psprintf(p, "W/%d", row->version));
}

static void test_nothing_to_write_is_not_put_off(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = settled_deal(p);
    row_t *row = record_of_deal(r);
    int reads = W->reads;

    row->young = 100;
    row->version++;
    notify(r);
    work();
    assert_int_equal(W->reads, reads + 1);
    assert_null(work_of(r));
    (void)p;
}

/* A list's row has a version of its own, whatever the record's is. */
static void test_write_of_a_young_row_of_a_list_is_put_off(void **state)
{
    static const struct {
        cs_step_kind_e kind;
        const char *guard;
        int send, put_off;
    } table[] = {{CS_STEP_UPDATE, "7~a1b2c3d4", 1, 1}, {CS_STEP_DELETE, "7~a1b2c3d4", 1, 1}, {CS_STEP_UPDATE, "7", 1, 0},
                 {CS_STEP_UPDATE, "7~a1b2c3d4", 0, 0}, {CS_STEP_UPDATE, NULL, 1, 0},         {CS_STEP_CREATE, NULL, 1, 0}};
    apr_pool_t *p = *state;
    size_t i;

    new_world(p);
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_step_t step = {.kind = table[i].kind, .guard = table[i].guard, .send = table[i].send, .list = "contacts"};
        cs_plan_t plan = {.what = CS_PLAN_STEPS, .steps = apr_array_make(p, 1, sizeof(cs_step_t *))};
        cs_record_t record = {.version = "6"};
        cs_work_t waiting = {.due = 1};
        cs_item_t item = {.plan = &plan, .record = &record, .work = &waiting};
        cs_batch_t batch = {.p = p, .items = apr_array_make(p, 1, sizeof(cs_item_t *))};

        APR_ARRAY_PUSH(plan.steps, cs_step_t *) = &step;
        APR_ARRAY_PUSH(batch.items, cs_item_t *) = &item;
        cs_batch_put_off_young(&batch);
        assert_int_equal(item.put_off, table[i].put_off);
        assert_true(table[i].put_off ? waiting.due > cs_time_now() : waiting.due == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_write_of_a_young_record_is_put_off),
        UNIT_TEST(test_somebody_who_edits_without_a_pause_does_not_stop_it),
        UNIT_TEST(test_partner_center_is_written_all_the_same),
        UNIT_TEST(test_young_version_equals_no_other),
        UNIT_TEST(test_nothing_to_write_is_not_put_off),
        UNIT_TEST(test_write_of_a_young_row_of_a_list_is_put_off),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
