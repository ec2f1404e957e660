/* Rows whose ids the CRM gives: what stands for them until they are known, and what an answer that was lost leaves behind. */
#include "unit_engine.h"

#define ID_LINE ",'id':{'pc':'/externalReferenceId','crm':'opportunityid','direction':'to_pc'}"
#define ROW_KEY "cosell_row"

static referral_t *giving_world(apr_pool_t *p, const char *key, int referrals)
{
    referral_t *first = NULL;
    int i;

    new_world(p);
    use_crm(0, CRM_NAME, GIVING, make_giving_mapping(p, "1", key, "", ID_LINE));
    begin_lane();
    for (i = 0; i < referrals; i++) {
        referral_t *r = new_referral();
        first = first ? first : r;
        notify(r);
    }
    return first;
}

static const row_t *only_record(void)
{
    const row_t *found = NULL;
    int i;

    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        if (row->row && !strcmp(row->table, "opportunity")) {
            assert_null(found);
            found = row;
        }
    }
    assert_non_null(found);
    return found;
}

static void assert_knows(const referral_t *r, const row_t *row)
{
    assert_int_equal(strlen(row->id), 18);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_string_equal(deal_of(r)->record_id, row->id);
    assert_non_null(deal_of_row(row->id));
    assert_int_equal(deal_of_row(row->id)->id, deal_of(r)->id);
    assert_string_equal(cs_json_str(r->doc, "externalReferenceId"), row->id);
    assert_string_equal(cs_json_str(row->row, "cosell_referral"), r->id);
    assert_null(deal_of(r)->intent);
}

static void assert_settled(const referral_t *r)
{
    int writes = W->writes, patches = W->patches;

    notify(r);
    work();
    assert_int_equal(W->writes, writes);
    assert_int_equal(W->patches, patches);
}

static void test_given_id_takes_the_reserved_ones_place(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);
    row_t *row;

    work();
    assert_int_equal(W->creates, 1);
    assert_knows(r, only_record());
    assert_settled(r);
    /* What is said of the row by its own id is said of the deal. */
    row = row_by_id("opportunity", only_record()->id);
    edit_row(row, "{'name':'Renamed in the CRM'}");
    work();
    assert_string_equal(deal_of(r)->crm_version, apr_psprintf(p, "W/%d", row->version));
    assert_int_equal(journal_lines("create"), 2); /* and the account */
    assert_null(strstr(cs_json_print(deal_of(r)->explain, p), "-0000-5"));
}

/* Made, and the answer lost: the next look finds it by its key and makes no second one. */
static void test_lost_answer_is_found_by_the_key(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);
    int journal;

    W->site.crms[0].mapping = make_giving_mapping(p, "1", ROW_KEY, "", ID_LINE);
    put_row("account", given_id("account"), "{'name':'customer 0'}");
    W->unheard = 1;
    one_batch();
    assert_int_equal(W->creates, 1);
    assert_int_equal(strlen(deal_of(r)->record_id), 36);
    assert_non_null(deal_of(r)->intent);
    journal = journal_lines("park");
    begin_lane();
    pass_seconds(10);
    work();
    assert_int_equal(W->creates, 1);
    assert_knows(r, only_record());
    assert_settled(r);
    assert_int_equal(journal_lines("park"), journal);
}

/* The CRM tells of its new row before anybody here knows what it is called. */
static void test_notice_of_the_new_row_finds_its_deal(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);

    W->unheard = 2; /* the account, then the record */
    one_batch();
    pass_seconds(10);
    one_batch();
    assert_int_equal(W->creates, 1);
    begin_lane();
    notify_row("opportunity", only_record()->id, cs_time_now());
    pass_seconds(10);
    work();
    assert_knows(r, only_record());
    assert_int_equal(journal_lines("copy"), 0);
    assert_int_equal(count_rows("opportunity"), 1);
    (void)p;
}

/* An upsert that finds the row is as good as one that makes it. */
static void test_upsert_that_finds_the_row(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);

    W->upserts = 1;
    put_row("opportunity", given_id("opportunity"), apr_psprintf(p, "{'cosell_referral':'%s','statecode':0,'statuscode':1}", r->id));
    work();
    assert_knows(r, only_record());
}

static void test_duplicate_by_the_key_is_ours(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);

    put_row("opportunity", given_id("opportunity"), apr_psprintf(p, "{'name':'Deal 0','cosell_sync':true,'cosell_referral':'%s','statecode':0,'statuscode':1}", r->id));
    work();
    assert_int_equal(W->creates, 0);
    assert_knows(r, only_record());
}

/* Accounts: one for ten deals, whoever makes it; its own id is what they point to. */
static void test_looked_up_row_is_pointed_to_by_its_own_id(void **state)
{
    apr_pool_t *p = *state;
    const row_t *account = NULL;
    int i;

    giving_world(p, ROW_KEY, 10);
    work();
    assert_int_equal(count_rows("account"), 1);
    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        account = !strcmp(row->table, "account") ? row : account;
    }
    assert_int_equal(strlen(account->id), 18);
    assert_non_null(cs_json_str(account->row, ROW_KEY));
    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        if (!strcmp(row->table, "opportunity")) {
            assert_string_equal(cs_json_str(json_object_get(json_object_get(row->row, "parentaccountid"), "$ref"), "id"), account->id);
        }
    }
}

static void test_lost_account_is_found_by_its_key(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);

    W->unheard = 1;
    one_batch();
    assert_int_equal(count_rows("account"), 1);
    /* Renamed before it is looked for: only its key tells. */
    json_object_set_new(APR_ARRAY_IDX(W->rows, 0, row_t).row, "name", json_string("Another Name"));
    pass_seconds(10);
    work();
    assert_int_equal(count_rows("account"), 1);
    assert_knows(r, only_record());
}

/* A keyed create is an upsert: what an earlier look made is a person's by now, and is not written over. */
static void test_row_made_earlier_and_renamed_stays_as_it_is(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);
    row_t *account;
    int version;

    W->upserts = 1;
    W->unheard = 1;
    one_batch();
    assert_int_equal(count_rows("account"), 1);
    account = &APR_ARRAY_IDX(W->rows, 0, row_t);
    assert_string_equal(account->table, "account");
    json_object_set_new(account->row, "name", json_string("Another Name"));
    version = ++account->version;
    begin_lane();
    pass_seconds(10);
    work();
    account = &APR_ARRAY_IDX(W->rows, 0, row_t);
    assert_int_equal(count_rows("account"), 1);
    assert_string_equal(cs_json_str(account->row, "name"), "Another Name");
    assert_int_equal(account->version, version);
    assert_string_equal(cs_json_str(json_object_get(json_object_get(only_record()->row, "parentaccountid"), "$ref"), "id"), account->id);
    assert_knows(r, only_record());
}

/* What an earlier look sent and did not arrive is made. */
static void test_row_sent_earlier_that_never_arrived_is_made(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, ROW_KEY, 1);

    W->upserts = 1;
    W->unheard = 1;
    W->nothing_arrives = 1;
    one_batch();
    assert_int_equal(count_rows("account"), 0);
    pass_seconds(10);
    work();
    assert_int_equal(count_rows("account"), 1);
    assert_knows(r, only_record());
    (void)p;
}

/* Two deals of one row: nobody knows which of them is meant. */
static void test_row_that_another_deal_has_parks_both(void **state)
{
    apr_pool_t *p = *state;
    referral_t *one = giving_world(p, ROW_KEY, 1), *two;
    row_t *row;

    work();
    row = row_by_id("opportunity", only_record()->id);
    two = new_referral();
    W->unheard = 1;
    W->nothing_arrives = 1;
    notify(two);
    one_batch();
    assert_int_equal(count_rows("opportunity"), 1);
    /* A person writes the second referral's id into the first one's record. */
    json_object_set_new(row->row, "cosell_referral", json_string(two->id));
    row->version++;
    pass_seconds(10);
    notify(two);
    work();
    assert_int_equal(deal_of(two)->state, CS_DEAL_PARKED);
    assert_int_equal(deal_of(one)->state, CS_DEAL_PARKED);
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(deal_of_row(row->id)->id, deal_of(one)->id);
    (void)p;
}

/* Without a key nobody can ask for the row: it is not made again while it may still be on its way. */
static void test_keyless_row_is_waited_for(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, NULL, 1), *other;

    W->unheard = 1;
    W->nothing_arrives = 1;
    one_batch();
    assert_int_equal(count_rows("account"), 0);
    assert_true(work_of(r)->due >= cs_time_now() + 119 * SEC);
    /* Nor does another deal of that customer make it. */
    other = new_referral();
    notify(other);
    work();
    assert_int_equal(count_rows("account"), 0);
    assert_int_equal(work_of(other)->attempts, 0);
    assert_true(work_of(other)->due > cs_time_now() + 100 * SEC);
    /* It has arrived meanwhile. */
    put_row("account", given_id("account"), "{'name':'customer 0'}");
    pass_seconds(125);
    work();
    assert_int_equal(count_rows("account"), 1);
    assert_int_equal(count_rows("opportunity"), 2);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_int_equal(deal_of(other)->state, CS_DEAL_LINKED);
    (void)p;
}

/* A look that was heard to its end leaves nothing to wait for, soon after a start or not. */
static void test_refused_look_that_is_revived_does_not_wait(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, NULL, 1);

    put_row("account", given_id("account"), "{'name':'customer 0'}");
    W->duplicates = "opportunity";
    work();
    assert_int_equal(work_of(r)->state, CS_WORK_DEAD);
    assert_non_null(deal_of(r)->intent);
    /* The plan needs a row without a key now. */
    APR_ARRAY_IDX(W->rows, 0, row_t).row = NULL;
    notify(r);
    work();
    assert_int_equal(count_rows("account"), 1);
    APR_ARRAY_IDX(W->rows, W->rows->nelts - 1, row_t).row = NULL;
    begin_lane();
    W->duplicates = NULL;
    notify(r);
    work();
    assert_int_equal(count_rows("account"), 1);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    (void)p;
}

static void test_keyless_row_that_never_arrived_is_made(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, NULL, 1);

    W->unheard = 1;
    W->nothing_arrives = 1;
    one_batch();
    pass_seconds(60);
    work();
    assert_int_equal(count_rows("account"), 0);
    pass_seconds(70);
    work();
    assert_int_equal(count_rows("account"), 1);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    (void)p;
}

/* The CRM's own rules call a new customer a duplicate, and there is no key to say of which. */
static void test_keyless_duplicate_is_for_a_person(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = giving_world(p, NULL, 1);

    W->duplicates = "account";
    one_batch();
    assert_int_equal(count_rows("account"), 0);
    assert_int_equal(count_rows("opportunity"), 1);
    assert_has(cs_json_print(deal_of(r)->images, p), "refuses another account");
}

/* Refused for its data: it is made without the line, and what follows goes to the row by its own id. */
static void test_record_made_by_halves_goes_by_its_own_id(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    use_crm(0, CRM_NAME, GIVING, make_giving_mapping(p, "1", ROW_KEY, "", ID_LINE NOTES_LINE));
    begin_lane();
    r = new_referral();
    W->refuses = "description";
    W->mute = 1;
    notify(r);
    work();
    assert_knows(r, only_record());
    assert_null(json_object_get(only_record()->row, "description"));
    assert_has(cs_json_print(deal_of(r)->images, p), "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_given_id_takes_the_reserved_ones_place),
        UNIT_TEST(test_lost_answer_is_found_by_the_key),
        UNIT_TEST(test_notice_of_the_new_row_finds_its_deal),
        UNIT_TEST(test_upsert_that_finds_the_row),
        UNIT_TEST(test_duplicate_by_the_key_is_ours),
        UNIT_TEST(test_looked_up_row_is_pointed_to_by_its_own_id),
        UNIT_TEST(test_lost_account_is_found_by_its_key),
        UNIT_TEST(test_row_made_earlier_and_renamed_stays_as_it_is),
        UNIT_TEST(test_row_sent_earlier_that_never_arrived_is_made),
        UNIT_TEST(test_row_that_another_deal_has_parks_both),
        UNIT_TEST(test_keyless_row_is_waited_for),
        UNIT_TEST(test_refused_look_that_is_revived_does_not_wait),
        UNIT_TEST(test_keyless_row_that_never_arrived_is_made),
        UNIT_TEST(test_keyless_duplicate_is_for_a_person),
        UNIT_TEST(test_record_made_by_halves_goes_by_its_own_id),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
