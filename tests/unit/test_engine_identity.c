/* Whose record is it: existing rows, two referrals of one record, cards that several share, records that come back. */
#include "unit_engine.h"

#define ROW1 "aaaaaaaa-0000-4000-8000-000000000001"
#define ROW2 "aaaaaaaa-0000-4000-8000-000000000002"
#define ACCOUNT "bbbbbbbb-0000-4000-8000-000000000001"

static world_t *matching_world(apr_pool_t *p)
{
    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", MATCH, "");
    begin_lane();
    return W;
}

static void test_row_with_our_id_is_linked(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    matching_world(p);
    r = new_referral();
    put_row("opportunity", ROW1, apr_psprintf(p, "{'name':'Old','statecode':0,'statuscode':1,'cosell_referral':'%s'}", r->id));
    notify(r);
    work();
    assert_string_equal(deal_of(r)->record_id, ROW1);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_int_equal(count_rows("opportunity"), 1);
}

static void test_plausible_row_is_proposed_and_never_linked(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    matching_world(p);
    r = new_referral();
    put_row("account", ACCOUNT, "{'name':'customer 0'}");
    put_row("opportunity", ROW1, "{'name':'deal 0','parentaccountid':{'$ref':{'table':'account','id':'" ACCOUNT "'}}}");
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_PARKED);
    assert_has(deal_of(r)->problem, ROW1);
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(count_rows("account"), 1);
    assert_int_equal(W->writes, 0);
    /* A person links it: the record gets the referral's id. */
    json_object_set_new(row_by_id("opportunity", ROW1)->row, "cosell_referral", json_string(r->id));
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_string_equal(deal_of(r)->record_id, ROW1);
}

static void test_other_accounts_rows_do_not_count(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    matching_world(p);
    r = new_referral();
    put_row("account", ACCOUNT, "{'name':'somebody else'}");
    put_row("opportunity", ROW1, "{'name':'deal 0','parentaccountid':{'$ref':{'table':'account','id':'" ACCOUNT "'}}}");
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_int_equal(count_rows("opportunity"), 2);
}

static void test_matches_of_a_batch_cost_two_calls(void **state)
{
    apr_pool_t *p = *state;
    int i;

    matching_world(p);
    for (i = 0; i < 40; i++) {
        notify(new_referral());
    }
    W->crm_fails = CS_CLASS_OK;
    one_batch();
    /* Accounts that records must point to, the records themselves, then the accounts to be made. */
    assert_true(W->find_calls <= 3);
    assert_int_equal(count_rows("opportunity"), 40);
}

static void test_match_that_cannot_be_asked_makes_nothing(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    matching_world(p);
    r = new_referral();
    W->crm_fails = CS_CLASS_RETRY;
    notify(r);
    work();
    assert_null(deal_of(r));
    assert_int_equal(W->writes, 0);
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(400);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
}

static void test_two_referrals_of_one_record_are_both_parked(void **state)
{
    apr_pool_t *p = *state;
    referral_t *second;
    const char *record;

    new_world(p);
    live_with(1);
    record = deal_of(&W->referral[0])->record_id;
    second = new_referral();
    set_member(second, "/externalReferenceId", apr_psprintf(p, "'%s'", record));
    notify(second);
    work();
    assert_int_equal(deal_of(second)->state, CS_DEAL_PARKED);
    assert_has(deal_of(second)->problem, W->referral[0].id);
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_PARKED);
    assert_has(deal_of(&W->referral[0])->problem, second->id);
    assert_int_equal(journal_lines("park"), 2);
    notify(&W->referral[0]); /* as long as both name it */
    notify(second);
    work();
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_PARKED);
    assert_int_equal(journal_lines("park"), 2);
    set_member(second, "/externalReferenceId", "null");
    notify(second);
    work();
    assert_int_equal(deal_of(second)->state, CS_DEAL_LINKED);
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_LINKED);
    assert_string_equal(deal_of(&W->referral[0])->record_id, record);
    assert_int_equal(count_rows("opportunity"), 2);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* Both are new and come in one batch: neither has the record yet. */
static void test_two_new_referrals_of_one_record_are_both_parked(void **state)
{
    apr_pool_t *p = *state;
    referral_t *first, *second;
    int i;

    new_world(p);
    begin_lane();
    put_row("opportunity", ROW1, "{'name':'Deal','statecode':0,'statuscode':1}");
    first = new_referral();
    second = new_referral();
    set_member(first, "/externalReferenceId", "'" ROW1 "'");
    set_member(second, "/externalReferenceId", "'" ROW1 "'");
    notify(first);
    notify(second);
    work();
    assert_int_equal(deal_of(first)->state, CS_DEAL_PARKED);
    assert_int_equal(deal_of(second)->state, CS_DEAL_PARKED);
    assert_has(deal_of(first)->problem, second->id);
    assert_has(deal_of(second)->problem, first->id);
    assert_int_equal(journal_lines("park"), 2);
    assert_string_not_equal(cs_json_str(row_by_id("opportunity", ROW1)->row, "cosell_referral"), second->id);
    for (i = 0; i < 2; i++) {
        notify(first);
        notify(second);
        work();
    }
    assert_int_equal(journal_lines("park"), 2);
    set_member(second, "/externalReferenceId", "null");
    notify(second);
    work();
    assert_int_equal(deal_of(second)->state, CS_DEAL_LINKED);
    assert_int_equal(deal_of(first)->state, CS_DEAL_LINKED);
    assert_string_equal(deal_of(first)->record_id, ROW1);
    assert_string_not_equal(deal_of(second)->record_id, ROW1);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* The first one's look came to nothing before it had the record. */
static void test_record_taken_meanwhile_parks_both(void **state)
{
    apr_pool_t *p = *state;
    referral_t *first, *second, *late;

    new_world(p);
    begin_lane();
    put_row("opportunity", ROW1, "{'name':'Deal','statecode':0,'statuscode':1}");
    first = new_referral();
    second = new_referral();
    set_member(first, "/externalReferenceId", "'" ROW1 "'");
    notify(first);
    W->crm_fails = CS_CLASS_RETRY;
    one_batch();
    assert_int_equal(deal_of(first)->state, CS_DEAL_NEW);
    W->crm_fails = CS_CLASS_OK;
    set_member(second, "/externalReferenceId", "'" ROW1 "'");
    notify(second);
    work();
    pass_seconds(400);
    work();
    assert_int_equal(deal_of(first)->state, CS_DEAL_PARKED);
    assert_int_equal(deal_of(second)->state, CS_DEAL_PARKED);
    assert_int_equal(journal_lines("park"), 2);
    late = strstr(deal_of(first)->problem, "already") ? first : second; /* whoever came second */
    set_member(late, "/externalReferenceId", "null");
    notify(late);
    work();
    assert_int_equal(deal_of(first)->state, CS_DEAL_LINKED);
    assert_int_equal(deal_of(second)->state, CS_DEAL_LINKED);
    assert_string_not_equal(deal_of(late)->record_id, ROW1);
    assert_int_equal(count_rows("opportunity"), 2);
}

static void test_shared_card_wakes_both(void **state)
{
    apr_pool_t *p = *state;
    referral_t *first, *second, *microsoft;
    cs_notice_t *n;
    int lists;

    new_world(p);
    begin_lane();
    first = new_referral();
    second = new_referral_of(OWN, first->engagement);
    microsoft = new_referral_of("msft", first->engagement);
    notify(first);
    notify(second);
    work();
    set_member(first, "/name", "'First again'");
    set_member(second, "/name", "'Second again'");
    n = make_notice(p, apr_pstrcat(p, "pc:", microsoft->id, NULL), cs_time_now());
    n->system = CS_SYSTEM_RELATED;
    assert_ok(accept_one(W->store, n, p, NULL));
    lists = W->lists;
    work();
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(first)->record_id)->row, "name"), "First again");
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(second)->record_id)->row, "name"), "Second again");
    assert_true(W->lists <= lists + 2); /* and they do not wake each other for ever */
}

static void test_record_that_comes_back_goes_on(void **state)
{
    apr_pool_t *p = *state;
    json_t *kept;
    row_t *row;

    new_world(p);
    live_with(1);
    row = row_by_id("opportunity", deal_of(&W->referral[0])->record_id);
    kept = row->row;
    row->row = NULL;
    notify(&W->referral[0]);
    work();
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_GONE);
    assert_true(json_object_size(deal_of(&W->referral[0])->images) > 0);
    notify(&W->referral[0]);
    work();
    assert_int_equal(count_rows("opportunity"), 0); /* never made again */
    row->row = kept;
    set_member(&W->referral[0], "/name", "'Undeleted'");
    notify(&W->referral[0]);
    work();
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_LINKED);
    assert_string_equal(cs_json_str(row->row, "name"), "Undeleted");
}

/* The CRM took a new record by halves only, and somebody deleted it before all halves were written. */
static void test_record_deleted_while_it_is_made_is_not_made_again(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", NOTES_LINE);
    W->refuses = "description";
    W->mute = W->deletes_made = 1;
    begin_lane();
    r = new_referral();
    notify(r);
    work();
    assert_int_equal(W->creates, 1);
    assert_int_equal(deal_of(r)->state, CS_DEAL_GONE);
    assert_int_equal(journal_lines("create"), 2); /* the account, too */
    notify(r);
    work();
    assert_int_equal(W->creates, 1);
    assert_int_equal(count_rows("opportunity"), 0);
}

/* What is left of it is written by later looks. */
static void test_record_made_by_halves_is_finished(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    row_t *row;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", NOTES_LINE);
    W->refuses = "description";
    W->mute = W->fails_updates = 1;
    begin_lane();
    r = new_referral();
    notify(r);
    one_batch();
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    row = row_by_id("opportunity", deal_of(r)->record_id);
    assert_non_null(row);
    assert_null(cs_json_str(row->row, "name"));
    W->fails_updates = W->mute = 0;
    W->refuses = NULL;
    pass_seconds(400);
    work();
    assert_string_equal(cs_json_str(row->row, "name"), "Deal 0");
    assert_string_equal(cs_json_str(row->row, "description"), "Notes 0");
    assert_int_equal(W->creates, 1);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_row_with_our_id_is_linked),
        UNIT_TEST(test_plausible_row_is_proposed_and_never_linked),
        UNIT_TEST(test_other_accounts_rows_do_not_count),
        UNIT_TEST(test_matches_of_a_batch_cost_two_calls),
        UNIT_TEST(test_match_that_cannot_be_asked_makes_nothing),
        UNIT_TEST(test_two_referrals_of_one_record_are_both_parked),
        UNIT_TEST(test_two_new_referrals_of_one_record_are_both_parked),
        UNIT_TEST(test_record_taken_meanwhile_parks_both),
        UNIT_TEST(test_shared_card_wakes_both),
        UNIT_TEST(test_record_that_comes_back_goes_on),
        UNIT_TEST(test_record_deleted_while_it_is_made_is_not_made_again),
        UNIT_TEST(test_record_made_by_halves_is_finished),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
