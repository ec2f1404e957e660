/* Work that names rows of a CRM: whom a changed row wakes, which records become deals, which are left alone, which are copies. */
#include "unit_engine.h"

#define ACCOUNT "aaaaaaaa-0000-4000-8000-000000000001"
#define ROW1 "bbbbbbbb-0000-4000-8000-000000000001"
#define ROW2 "bbbbbbbb-0000-4000-8000-000000000002"
#define CHILD "cccccccc-1111-4000-8000-000000000001"
#define THROUGH ",'city':{'pc':'/customerProfile/address/city','crm':'parentaccountid/address1_city','type':'text','max':80,'direction':'to_pc','events':['create']}"

static world_t *through_world(apr_pool_t *p)
{
    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", THROUGH);
    return W;
}

static const char *name_of(const referral_t *r)
{
    return cs_json_str(row_by_id("opportunity", deal_of(r)->record_id)->row, "name");
}

static void one_notice(apr_pool_t *p)
{
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    assert_int_equal(counts_of(W->store, SITE, p).dead, 0);
}

/* ---- rows that records show ---- */

static const char *account_of(const referral_t *r)
{
    const json_t *column = json_object_get(row_by_id("opportunity", deal_of(r)->record_id)->row, "parentaccountid");

    return cs_json_str(json_object_get(column, "$ref"), "id");
}

static void test_row_that_a_record_shows_wakes_its_deal(void **state)
{
    apr_pool_t *p = *state;
    const char *account;
    int gets;

    through_world(p);
    live_with(12); /* ten of one customer, two of another */
    notify(&W->referral[0]);
    notify(&W->referral[10]);
    work();
    account = account_of(&W->referral[10]);
    assert_non_null(account);
    set_member(&W->referral[10], "/name", "'Seen through its account'");
    set_member(&W->referral[0], "/name", "'Not asked for'");
    notify_row("account", account, cs_time_now());
    gets = W->gets;
    work();
    assert_string_equal(name_of(&W->referral[10]), "Seen through its account");
    assert_string_not_equal(name_of(&W->referral[0]), "Not asked for");
    assert_int_equal(W->gets - gets, 1); /* the other deal of that customer was not looked at since it was made */
    one_notice(p);
}

/* The row's time is not the record's: nobody waits for a newer record. */
static void test_time_of_a_shown_row_is_not_the_records(void **state)
{
    apr_pool_t *p = *state;

    through_world(p);
    live_with(1);
    notify(&W->referral[0]);
    work();
    notify_row("account", account_of(&W->referral[0]), cs_time_now() + 60 * SEC);
    work();
    one_notice(p);
}

static void test_what_was_refused_wakes_with_a_shown_row(void **state)
{
    apr_pool_t *p = *state;
    cs_deal_t *deal;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", NOTES_LINE THROUGH);
    live_with(1);
    notify(&W->referral[0]);
    work();
    W->refuses = "description";
    set_member(&W->referral[0], "/details/notes", "'too long'");
    notify(&W->referral[0]);
    work();
    deal = deal_of(&W->referral[0]);
    assert_non_null(json_object_get(json_object_get(deal->images, "notes"), "refused"));
    W->refuses = NULL;
    notify_row("account", account_of(&W->referral[0]), cs_time_now());
    work();
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal->record_id)->row, "description"), "too long");
}

static void test_shown_rows_are_stored_when_they_change(void **state)
{
    apr_pool_t *p = *state;
    apr_array_header_t *ids;
    row_t *row;
    const char *before;

    through_world(p);
    live_with(1);
    notify(&W->referral[0]);
    work();
    before = account_of(&W->referral[0]);
    assert_ok(cs_store_watchers(W->store, SITE, CRM_NAME, before, 0, 10, &ids, p, NULL));
    assert_int_equal(ids->nelts, 1);
    row = row_by_id("opportunity", deal_of(&W->referral[0])->record_id);
    put_row("account", ACCOUNT, "{'name':'Another'}");
    edit_row(row, "{'parentaccountid':{'$ref':{'table':'account','id':'" ACCOUNT "'}}}");
    work();
    assert_ok(cs_store_watchers(W->store, SITE, CRM_NAME, before, 0, 10, &ids, p, NULL));
    assert_int_equal(ids->nelts, 0);
    assert_ok(cs_store_watchers(W->store, SITE, CRM_NAME, ACCOUNT, 0, 10, &ids, p, NULL));
    assert_int_equal(ids->nelts, 1);
    row->row = NULL;
    notify_row("opportunity", row->id, 0);
    work();
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_GONE);
    assert_ok(cs_store_watchers(W->store, SITE, CRM_NAME, ACCOUNT, 0, 10, &ids, p, NULL));
    assert_int_equal(ids->nelts, 0);
}

/* ---- records ---- */

static void test_records_notice_folds_into_its_deal(void **state)
{
    apr_pool_t *p = *state;
    const row_t *row;
    int reads;

    new_world(p);
    live_with(1);
    row = row_by_id("opportunity", deal_of(&W->referral[0])->record_id);
    set_member(&W->referral[0], "/name", "'Looked at'");
    reads = W->reads;
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_string_equal(name_of(&W->referral[0]), "Looked at");
    assert_int_equal(W->reads - reads, 1);
    one_notice(p);
}

static void test_record_that_is_not_opted_in_is_left_alone(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    put_row("opportunity", ROW1, "{'name':'Private','cosell_sync':false,'statecode':0}");
    notify_row("opportunity", ROW1, cs_time_now());
    notify_row("opportunity", ROW2, cs_time_now()); /* deleted */
    notify_row("unheard-of", ROW2, cs_time_now());
    notify_row("account", ACCOUNT, cs_time_now());
    work();
    assert_null(deal_of_row(ROW1));
    assert_int_equal(W->writes + W->posts + W->gets + W->lists, 0);
    assert_int_equal(counts_of(W->store, SITE, p).deals, 0);
    one_notice(p);
}

static void test_row_of_another_table_is_not_even_read(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    notify_row("phonecall", ROW1, cs_time_now());
    work();
    assert_int_equal(W->reads, 0);
    one_notice(p);
}

static void test_opted_in_record_is_reserved_once(void **state)
{
    apr_pool_t *p = *state;
    cs_deal_t *deal;

    new_world(p);
    begin_lane();
    put_row("opportunity", ROW1, "{'name':'Shared','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", ROW1, cs_time_now());
    one_batch();
    deal = deal_of_row(ROW1);
    assert_non_null(deal);
    assert_string_equal(deal->crm, CRM_NAME);
    assert_string_equal(deal->kind, "opportunity");
    assert_string_equal(deal->table, "opportunity");
    assert_string_equal(deal->record_id, ROW1);
    assert_null(deal->referral_id);
    notify_row("opportunity", ROW1, cs_time_now());
    one_batch();
    assert_int_equal(counts_of(W->store, SITE, p).deals, 1);
    assert_int_equal(W->gets + W->lists, 0); /* nothing is asked of Partner Center */
}

/* A parent whose table nobody said. */
static void test_table_that_is_not_said_is_tried(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    put_row("opportunity", ROW1, "{'name':'Shared','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row(NULL, ROW1, 0);
    one_batch();
    assert_non_null(deal_of_row(ROW1));
    assert_int_equal(counts_of(W->store, SITE, p).deals, 1);
}

static void test_record_that_names_a_referral_asks_for_it(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", MATCH, "");
    begin_lane();
    r = new_referral();
    put_row("opportunity", ROW1, apr_psprintf(p, "{'name':'Typed in','cosell_sync':true,'cosell_referral':'%s','statecode':0,'statuscode':1}", r->id));
    notify_row("opportunity", ROW1, cs_time_now());
    work();
    assert_non_null(deal_of(r));
    assert_string_equal(deal_of(r)->record_id, ROW1);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_int_equal(W->posts, 0);
    one_notice(p);
}

static void test_crm_that_is_down_keeps_the_name(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    put_row("opportunity", ROW1, "{'name':'Shared','cosell_sync':true,'statecode':0,'statuscode':1}");
    W->crm_fails = CS_CLASS_RETRY;
    notify_row("opportunity", ROW1, cs_time_now());
    one_batch();
    assert_null(deal_of_row(ROW1));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 1);
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(400);
    one_batch();
    assert_non_null(deal_of_row(ROW1));
}

static void test_crm_that_is_not_configured_has_no_names(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    notice(W->store, "elsewhere:" ROW1, cs_time_now(), p);
    work();
    assert_int_equal(counts_of(W->store, SITE, p).dead, 1);
}

/* ---- an old reading ---- */

static void test_reading_older_than_the_notice_is_repeated(void **state)
{
    apr_pool_t *p = *state;
    apr_time_t at;
    row_t *row;
    int i, reads;
    static const int waits[] = {5, 30, 120, 600};

    new_world(p);
    live_with(1);
    notify(&W->referral[0]);
    work();
    row = row_by_id("opportunity", deal_of(&W->referral[0])->record_id);
    at = row->modified + 10 * SEC;
    notify_row("opportunity", row->id, at);
    work();
    for (i = 0; i < 4; i++) {
        assert_int_equal(counts_of(W->store, SITE, p).outstanding, 1);
        assert_string_equal(work_of(&W->referral[0])->problem, "crm:stale");
        reads = W->reads;
        pass_seconds(waits[i] - 2);
        work();
        assert_int_equal(W->reads, reads);
        pass_seconds(3);
        work();
        assert_int_equal(W->reads, reads + 1);
    }
    assert_int_equal(journal_lines("stale"), 1);
    one_notice(p);
}

/* The CRM went back, as after a restore: that is waited for, seen to be waited for, and over after a while. */
static void test_answer_older_than_before_is_no_answer(void **state)
{
    apr_pool_t *p = *state;
    const cs_work_t *work_row;
    int reads, patches;
    row_t *row;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", ",'notes':{'pc':'/details/notes','crm':'description','type':'text','max':2000}");
    live_with(1);
    row = row_by_id("opportunity", deal_of(&W->referral[0])->record_id);
    edit_row(row, "{'description':'newest'}");
    work();
    patches = W->patches;
    row->modified -= 3600 * SEC;
    row->version++;
    json_object_set_new(row->row, "description", json_string("from the backup"));
    notify_row("opportunity", row->id, 0);
    work();
    work_row = work_of(&W->referral[0]);
    assert_string_equal(work_row->problem, "older");
    assert_has(work_row->detail, "the CRM answered with an older version than before");
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 1);
    assert_int_equal(W->patches, patches);
    reads = W->reads;
    for (int i = 0; i < 180; i++) {
        pass_seconds(5);
        work();
    }
    assert_in_range(W->reads - reads, 5, 25);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    assert_int_equal(journal_lines("stale"), 1);
    assert_int_equal(W->patches, patches + 1);
    assert_string_equal(cs_json_str(cs_json_pointer(W->referral[0].doc, "/details"), "notes"), "from the backup");
}

static void test_reading_as_new_as_the_notice_is_enough(void **state)
{
    apr_pool_t *p = *state;
    row_t *row;

    new_world(p);
    live_with(1);
    row = row_by_id("opportunity", deal_of(&W->referral[0])->record_id);
    notify_row("opportunity", row->id, row->modified + SEC); /* their clocks */
    work();
    one_notice(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_row_that_a_record_shows_wakes_its_deal),
        UNIT_TEST(test_time_of_a_shown_row_is_not_the_records),
        UNIT_TEST(test_what_was_refused_wakes_with_a_shown_row),
        UNIT_TEST(test_shown_rows_are_stored_when_they_change),
        UNIT_TEST(test_records_notice_folds_into_its_deal),
        UNIT_TEST(test_record_that_is_not_opted_in_is_left_alone),
        UNIT_TEST(test_row_of_another_table_is_not_even_read),
        UNIT_TEST(test_opted_in_record_is_reserved_once),
        UNIT_TEST(test_table_that_is_not_said_is_tried),
        UNIT_TEST(test_record_that_names_a_referral_asks_for_it),
        UNIT_TEST(test_crm_that_is_down_keeps_the_name),
        UNIT_TEST(test_crm_that_is_not_configured_has_no_names),
        UNIT_TEST(test_reading_older_than_the_notice_is_repeated),
        UNIT_TEST(test_answer_older_than_before_is_no_answer),
        UNIT_TEST(test_reading_as_new_as_the_notice_is_enough),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
