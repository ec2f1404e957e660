/* What tries to break the way to Partner Center and what wakes it: lost stores, rows met before they are known, timers that fill a claim. */
#include "unit_engine.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/engine/apply.h"

#define RECORD "bbbbbbbb-0000-4000-8000-000000000001"

static const char both_text[] =
    "{'crm':'dynamics365','revision':'2','names':{'sync':'cosell_sync','id':'cosell_referral','status':'cosell_status','problem':'cosell_problem'},"
    "'find':{'account':{'table':'account','by':[{'name':'/customerProfile/name'}],'none':'create','create':{'name':'/customerProfile/name'}}},"
    "'records':{'opportunity':{'table':'opportunity','key':'@id',"
    "'from_pc':{'when':{'pc':'$kind','in':['co-sell','private']},'set':{'@sync':true}},'from_crm':{'when':{'crm':'@sync','is':true},'opt_out':'pause','quiet':'90s',"
    "'set':{'/customerProfile/name':'Customer','/customerProfile/address/addressLine1':'Street 1','/customerProfile/address/city':'Redmond',"
    "'/customerProfile/address/country':'US','/details/dealValue':1000,'/details/currency':'USD','/details/closingDateTime':'2030-01-01T12:00:00Z',"
    "'/consent/consentToToShareInfoWithOthers':true,'/consent/consentToContact':true,'/details/requirements/solutions[first]/id':'SOL-1',"
    "'/team[first]/email':'seller@example.com'}},"
    "'state':{'hear':[{'pc':'New','crm':{'statecode':0},'do':'wait'},{'pc':'Active','crm':{'statecode':0},'do':'stay'}],"
    "'show':{'New':{'set':{'statuscode':2}},'Active':{'set':{'statecode':0,'statuscode':1}},'Closed/Error':{'unlink':true}}},"
    "'lines':{'name':{'pc':'/name','crm':'name','type':'text','max':300,'required':true,'to_pc':{'events':['create']}},"
    "'notes':{'pc':'/details/notes','crm':'description','type':'text','max':2000},"
    "'account':{'crm':'parentaccountid','find':'account','direction':'to_crm','events':['create']}},"
    "'tell':{'id':'@id','status':'@status','problem':'@problem'}}}}";

static void both_world(apr_pool_t *p)
{
    const char *text = double_quoted(p, both_text);
    cs_mapping_t *mapping = NULL;
    cs_result_t res = {0};

    new_world(p);
    if (cs_mapping_parse(&mapping, text, strlen(text), "both.json", cs_crm_facts_of("dynamics365"), NULL, p, &res)) {
        fail_msg("%s", res.detail);
    }
    W->site.crms[0].mapping = mapping;
    begin_lane();
}

/* ---- timers and looks share a claim ---- */

static void test_due_timers_do_not_fill_a_claim(void **state)
{
    new_world(*state);
    W->pc_upstream.rate = 0.1;
    W->site.poll = 300 * SEC;
    W->site.sweep = 3600 * SEC;
    /* A second CRM has tables of its own. */
    W->site.ncrms = 2;
    W->site.crms[1] = W->site.crms[0];
    W->site.crms[1].cfg.name = "other";
    begin_lane();
    work();
    pass_seconds(7200);
    notify(new_referral());
    work();
    assert_int_equal(count_rows("opportunity"), 1);
    assert_true(W->changed_lists > 0 && W->change_pages > 0);
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
}

static void test_polls_have_turns_in_a_flood(void **state)
{
    int i, batches;

    new_world(*state);
    W->pc_upstream.rate = 0.1; /* four looks a batch */
    W->site.poll = 300 * SEC;
    W->site.sweep = 3600 * SEC;
    begin_lane();
    work();
    pass_seconds(400);
    for (i = 0; i < 60; i++) {
        notify(new_referral());
    }
    for (batches = 0; batches < 10; batches++) {
        assert_true(one_batch());
    }
    assert_true(counts_of(W->store, SITE, W->p).outstanding > 10);
    assert_true(W->changed_lists > 0);
    work();
    assert_int_equal(count_rows("opportunity"), 60);
}

/* ---- a referral that somebody else made of a record that waits ---- */

static void test_a_stranger_s_referral_is_not_taken_for_ours(void **state)
{
    referral_t *r;
    row_t *row;

    both_world(*state);
    row = put_row("opportunity", RECORD, "{'name':'Ours','description':'From the CRM','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_int_equal(W->posts, 0);
    /* Within the quiet time a colleague makes it at Partner Center. */
    r = new_referral();
    set_member(r, "/externalReferenceId", "'" RECORD "'");
    notify(r);
    work();
    pass_seconds(200);
    work();
    assert_int_equal(W->posts, 0);
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
    assert_string_equal(cs_json_str(row->row, "cosell_referral"), r->id);
    assert_string_equal(cs_json_str(json_object_get(r->doc, "details"), "notes"), "Notes 0");
    assert_string_equal(cs_json_str(row->row, "description"), "From the CRM");
}

/* ---- a row of ours that is seen before its look has ended ---- */

static void test_a_row_made_here_is_no_new_deal(void **state)
{
    referral_t *r;
    cs_deal_t *deal;

    both_world(*state);
    r = new_referral();
    notify(r);
    W->crm_fails = CS_CLASS_UNKNOWN;
    one_batch();
    W->crm_fails = CS_CLASS_OK;
    deal = deal_of(r);
    assert_non_null(deal->record_id);
    /* It was made, though nobody heard of it, and the CRM refused the id. */
    put_row("opportunity", deal->record_id, "{'name':'Deal 0','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", deal->record_id, cs_time_now());
    work();
    pass_seconds(400);
    work();
    assert_int_equal(W->posts, 0);
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
}

/* Somebody spells a row's id in another way: it is one row. */
static void test_one_row_under_two_names(void **state)
{
    row_t *row;

    both_world(*state);
    row = put_row("opportunity", RECORD, "{'name':'Ours','cosell_sync':true,'statecode':0,'statuscode':1}");
    put_row("opportunity", "BBBBBBBB-0000-4000-8000-000000000001", "{}")->row = row->row;
    W->folds_ids = 1;
    notify_row("opportunity", RECORD, row->modified);
    notify_row("opportunity", "BBBBBBBB-0000-4000-8000-000000000001", row->modified);
    work();
    notify_row("opportunity", "BBBBBBBB-0000-4000-8000-000000000001", row->modified);
    work();
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
}

/* A name that leads to a deal which is not there: a copy of the store was put back, perhaps. */
static void test_what_contradicts_the_store_stops_nobody_else(void **state)
{
    apr_array_header_t *changes;
    cs_change_t *change;
    cs_deal_t nobody = {.id = 99, .site = SITE};
    cs_lease_t lease;
    referral_t *bad;
    int i;

    new_world(*state);
    live_with(1);
    bad = new_referral();
    lease = cs_lane_lease(W->lane);
    changes = apr_array_make(W->p, 1, sizeof(cs_change_t));
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_ALIAS;
    change->deal = &nobody;
    change->system = CS_SYSTEM_PC;
    change->name = bad->id;
    assert_ok(cs_store_write(W->lane->store, &lease, changes, W->p, NULL));
    notify(bad);
    for (i = 0; i < 5; i++) {
        notify(new_referral());
    }
    work();
    assert_int_equal(count_rows("opportunity"), 6);
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
    assert_int_equal(counts_of(W->store, SITE, W->p).dead, 1);
    assert_int_equal(W->lane->narrow, 0);
}

/* ---- a lost store ---- */

static void test_a_new_store_searches_all_there_is(void **state)
{
    row_t *row;
    referral_t *r;

    both_world(*state);
    r = new_referral(); /* made long ago, from this record, by a store that is lost */
    set_member(r, "/externalReferenceId", "'" RECORD "'");
    row = put_row("opportunity", RECORD, "{'name':'Deal 0','description':'Notes 0','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    pass_seconds(92);
    work();
    assert_int_equal(W->searched_since, 0);
    assert_int_equal(W->posts, 0);
    assert_string_equal(cs_json_str(row->row, "cosell_referral"), r->id);
}

static void test_an_old_store_knows_since_when(void **state)
{
    row_t *row;

    both_world(*state);
    work();
    pass_seconds(3 * 24 * 3600);
    row = put_row("opportunity", RECORD, "{'name':'Ours','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    pass_seconds(92);
    work();
    assert_int_equal(W->posts, 1);
    assert_true(W->searched_since > cs_time_now() - 2 * 3600 * SEC);
}

/* ---- a record that waits ---- */

static void test_what_a_record_lacks_may_come_without_a_notice(void **state)
{
    row_t *row;
    int reads;

    both_world(*state);
    row = put_row("opportunity", RECORD, "{'cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_string_equal(cs_json_str(row->row, "cosell_status"), "Waiting");
    json_object_set_new(row->row, "name", json_string("Ours"));
    row->version++;
    row->modified = cs_time_now();
    pass_seconds(1000);
    work();
    pass_seconds(100);
    work();
    assert_int_equal(W->posts, 1);
    /* And it is not asked for all the time. */
    row = put_row("opportunity", "bbbbbbbb-0000-4000-8000-000000000002", "{'cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    reads = W->reads;
    while (pass_seconds(600), row->modified + 24 * 3600 * SEC > cs_time_now()) {
        work();
    }
    assert_true(W->reads - reads <= 8);
}

/* ---- an organisation that nobody knows yet ---- */

#define THEIRS "7d230000-0000-4000-8000-0000000000b1"

static apr_time_t listed_at;

static void list_all(cs_pc_page_t *page, apr_pool_t *p)
{
    int i;

    for (i = W->referrals; i-- > 0;) {
        cs_card_t *card = card_of(&W->referral[i], p);
        card->updated = listed_at + i * SEC;
        APR_ARRAY_PUSH(page->cards, cs_card_t *) = card;
    }
}

static void test_what_a_list_shows_waits_for_our_name(void **state)
{
    referral_t *ours;

    new_world(*state);
    W->site.pc.organization = NULL;
    W->site.poll = 300 * SEC;
    W->list_changed = list_all;
    begin_lane();
    work();
    ours = new_referral();
    new_referral_of(THEIRS, NULL);
    listed_at = cs_time_now();
    pass_seconds(600);
    work();
    assert_int_equal(count_rows("opportunity"), 0); /* which of the two is ours? */
    notify(new_referral());
    work();
    assert_int_equal(count_rows("opportunity"), 1);
    pass_seconds(1200);
    work();
    assert_non_null(deal_of(ours));
    assert_int_equal(count_rows("opportunity"), 2);
}

/* ---- an account that many deals show ---- */

#define THROUGH ",'city':{'pc':'/customerProfile/address/city','crm':'parentaccountid/address1_city','type':'text','max':80,'direction':'to_pc','events':['create']}"

static void test_an_account_of_many_keeps_nobody_waiting(void **state)
{
    referral_t *edited;
    const json_t *column;
    int i, gets;

    new_world(*state);
    W->site.crms[0].mapping = make_mapping(*state, "1", "", THROUGH);
    W->pc_upstream.rate = 0.5;
    begin_lane();
    for (i = 0; i < 130; i++) {
        referral_t *r = new_referral();
        set_member(r, "/customerProfile/name", "'One customer'");
        notify(r);
    }
    work();
    for (i = 0; i < 130; i++) {
        notify(&W->referral[i]);
    }
    work();
    edited = new_referral();
    notify(edited);
    work();
    column = json_object_get(row_by_id("opportunity", deal_of(&W->referral[0])->record_id)->row, "parentaccountid");
    gets = W->gets;
    notify_row("account", cs_json_str(json_object_get(column, "$ref"), "id"), cs_time_now());
    assert_true(one_batch());
    pass_seconds(1);
    set_member(edited, "/name", "'Edited'");
    notify(edited);
    for (i = 0; i < 7; i++) {
        one_batch();
    }
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(edited)->record_id)->row, "name"), "Edited");
    work();
    assert_true(W->gets - gets >= 131);
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_due_timers_do_not_fill_a_claim),
        UNIT_TEST(test_polls_have_turns_in_a_flood),
        UNIT_TEST(test_a_stranger_s_referral_is_not_taken_for_ours),
        UNIT_TEST(test_a_row_made_here_is_no_new_deal),
        UNIT_TEST(test_one_row_under_two_names),
        UNIT_TEST(test_what_contradicts_the_store_stops_nobody_else),
        UNIT_TEST(test_a_new_store_searches_all_there_is),
        UNIT_TEST(test_an_old_store_knows_since_when),
        UNIT_TEST(test_what_a_record_lacks_may_come_without_a_notice),
        UNIT_TEST(test_what_a_list_shows_waits_for_our_name),
        UNIT_TEST(test_an_account_of_many_keeps_nobody_waiting),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
