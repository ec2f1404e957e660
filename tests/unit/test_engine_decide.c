/* What a person decides about a deal: link, create, ignore, unlink, resolve. */
#include "unit_engine.h"

#define ROW1 "aaaaaaaa-0000-4000-8000-000000000001"
#define ROW2 "aaaaaaaa-0000-4000-8000-000000000002"

static const char *ask_about(const referral_t *r, const char *kind, const char *more)
{
    const char *id = ask_for(kind, apr_psprintf(W->p, "{'deal':'%s'%s}", r->id, more));

    work();
    return id;
}

static void assert_done(const char *id)
{
    const cs_job_t *job = job_of(id);

    if (job->state != CS_JOB_DONE) {
        fail_msg("%s", cs_json_print(job->result, W->p));
    }
}

static void assert_failed(const char *id, const char *why)
{
    const cs_job_t *job = job_of(id);

    assert_int_equal(job->state, CS_JOB_FAILED);
    if (!strstr(cs_json_str(job->result, "error"), why)) {
        fail_msg("%s", cs_json_str(job->result, "error"));
    }
}

/* Partner Center names a record that is not there: parked. */
static referral_t *parked_referral(void)
{
    referral_t *r = new_referral();

    set_member(r, "/externalReferenceId", "'" ROW1 "'");
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_PARKED);
    return r;
}

static void test_parked_deal_is_linked_by_a_person(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    begin_lane();
    r = parked_referral();
    put_row("opportunity", ROW2, "{'name':'Here before'}");
    assert_done(ask_about(r, "link", ",'record':'" ROW2 "'"));
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_string_equal(deal_of(r)->record_id, ROW2);
    assert_int_equal(deal_of_row(ROW2)->id, deal_of(r)->id);
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(journal_lines("link"), 1);
    assert_failed(ask_about(r, "link", ",'record':'" ROW2 "'"), "unlink it first");
}

static void test_link_wants_a_record_that_is_there_and_free(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r, *other;

    new_world(p);
    begin_lane();
    other = new_referral();
    notify(other);
    work();
    r = parked_referral();
    assert_failed(ask_about(r, "link", ",'record':'" ROW2 "'"), "no record that the mapping knows");
    assert_failed(ask_about(r, "link", apr_psprintf(p, ",'record':'%s'", deal_of(other)->record_id)), "unlink that first");
    assert_int_equal(deal_of(r)->state, CS_DEAL_PARKED);
    assert_done(ask_about(other, "unlink", ""));
    assert_done(ask_about(r, "link", apr_psprintf(p, ",'record':'%s'", deal_of(other)->record_id)));
    assert_int_equal(deal_of_row(deal_of(r)->record_id)->id, deal_of(r)->id);
}

/* Else the record would seem to be nobody's. */
static void test_refused_link_leaves_the_former_record(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r, *other;
    const char *former;

    new_world(p);
    begin_lane();
    other = new_referral();
    r = new_referral();
    notify(other);
    notify(r);
    work();
    former = deal_of(r)->record_id;
    assert_done(ask_about(r, "unlink", ""));
    assert_failed(ask_about(r, "link", apr_psprintf(p, ",'record':'%s'", deal_of(other)->record_id)), "unlink that first");
    assert_string_equal(deal_of(r)->record_id, former);
    assert_non_null(deal_of_row(former));
    assert_int_equal(deal_of_row(former)->id, deal_of(r)->id);
}

static void test_parked_deal_gets_a_record_of_its_own(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    begin_lane();
    r = parked_referral();
    assert_done(ask_about(r, "create", ""));
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_int_equal(count_rows("opportunity"), 1);
    assert_non_null(row_by_id("opportunity", deal_of(r)->record_id));
    notify(r);
    work();
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
}

static void test_ignored_deal_rests_until_it_is_brought_back(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    begin_lane();
    r = parked_referral();
    assert_failed(ask_about(r, "unlink", ""), "parked");
    assert_done(ask_about(r, "ignore", ""));
    assert_int_equal(deal_of(r)->state, CS_DEAL_UNLINKED);
    assert_non_null(strstr(deal_of(r)->problem, "ignored by alice"));
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_UNLINKED);
    assert_int_equal(count_rows("opportunity"), 0);
    assert_done(ask_about(r, "create", ""));
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
}

static void test_unlinked_deal_is_left_alone(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    int written;

    new_world(p);
    begin_lane();
    r = new_referral();
    notify(r);
    work();
    assert_failed(ask_about(r, "ignore", ""), "unlink it");
    assert_done(ask_about(r, "unlink", ""));
    written = W->rows_written;
    set_member(r, "/name", "'Moved on'");
    notify(r);
    work();
    assert_int_equal(W->rows_written, written);
    assert_int_equal(deal_of(r)->state, CS_DEAL_UNLINKED);
}

static row_t *record_of_deal(const referral_t *r)
{
    return row_by_id("opportunity", deal_of(r)->record_id);
}

static const char *image_rest(const referral_t *r, const char *line)
{
    return cs_json_str(json_object_get(deal_of(r)->images, line), "rest");
}

/* Both sides change the notes at once. */
static referral_t *contradiction(apr_pool_t *p)
{
    referral_t *r;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", ",'notes':{'pc':'/details/notes','crm':'description','type':'text','max':2000}");
    begin_lane();
    r = new_referral();
    set_member(r, "/details/notes", "'At first'");
    notify(r);
    work();
    set_member(r, "/details/notes", "'Theirs'");
    edit_row(record_of_deal(r), "{'description':'Ours'}");
    notify(r);
    work();
    assert_non_null(image_rest(r, "notes"));
    assert_string_equal(image_rest(r, "notes"), "held");
    return r;
}

static const char *notes_of(const referral_t *r)
{
    return cs_json_str(cs_json_get(r->doc, "details"), "notes");
}

static void test_conflict_is_decided_for_partner_center(void **state)
{
    referral_t *r = contradiction(*state);

    assert_failed(ask_about(r, "resolve", ",'line':'value','side':'crm'"), "these do: notes");
    assert_done(ask_about(r, "resolve", ",'line':'notes','side':'partner-center'"));
    assert_string_equal(cs_json_str(record_of_deal(r)->row, "description"), "Theirs");
    assert_string_equal(notes_of(r), "Theirs");
    assert_null(image_rest(r, "notes"));
}

static void test_conflict_is_decided_for_the_crm(void **state)
{
    referral_t *r = contradiction(*state);

    assert_done(ask_about(r, "resolve", ",'line':'notes','side':'crm'"));
    assert_string_equal(cs_json_str(record_of_deal(r)->row, "description"), "Ours");
    assert_string_equal(notes_of(r), "Ours");
    assert_null(image_rest(r, "notes"));
}

/* Two accounts fit: the deal waits for a person, who names one. */
static void test_one_of_several_rows_is_chosen(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    const char *name;

    new_world(p);
    begin_lane();
    r = new_referral();
    name = cs_json_str(cs_json_get(r->doc, "customerProfile"), "name");
    put_row("account", ROW1, apr_psprintf(p, "{'name':'%s'}", name));
    put_row("account", ROW2, apr_psprintf(p, "{'name':'%s'}", name));
    notify(r);
    work();
    assert_non_null(deal_of(r)->problem);
    assert_non_null(strstr(deal_of(r)->problem, "2 accounts match"));
    assert_failed(ask_about(r, "choose", ",'row':'aaaaaaaa-0000-4000-8000-00000000000f'"), "waits for no choice");
    assert_done(ask_about(r, "choose", ",'row':'" ROW2 "'"));
    assert_null(deal_of(r)->problem);
    assert_string_equal(cs_json_str(cs_json_get(cs_json_get(record_of_deal(r)->row, "parentaccountid"), "$ref"), "id"), ROW2);
    assert_null(fact(cs_chosen_fact(deal_of(r)->id, p))); /* it is in the record now */
}

/* A choice that is never used goes with the deal. */
static void test_choice_ends_with_its_deal(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t res = {0};
    apr_array_header_t *changes = apr_array_make(p, 1, sizeof(cs_change_t));
    referral_t *r;
    cs_lease_t lease;

    new_world(p);
    live_with(2);
    for (int i = 0; i < 2; i++) {
        cs_lane_fact(cs_chosen_fact(deal_of(&W->referral[i])->id, p), "[\"" ROW2 "\"]", changes);
    }
    lease = cs_lane_lease(W->lane);
    assert_ok(cs_store_write(W->store, &lease, changes, p, &res));
    r = &W->referral[0];
    json_object_set_new(r->doc, "status", json_string("Closed"));
    json_object_set_new(r->doc, "substatus", json_string("Error"));
    r->version++;
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_UNLINKED);
    assert_null(fact(cs_chosen_fact(deal_of(r)->id, p)));
    r = &W->referral[1];
    notify(r);
    work();
    assert_non_null(fact(cs_chosen_fact(deal_of(r)->id, p)));
    assert_done(ask_about(r, "unlink", ""));
    assert_null(fact(cs_chosen_fact(deal_of(r)->id, p)));
}

static void test_one_of_several_records_is_chosen(void **state)
{
    referral_t *r;

    new_world(*state);
    begin_lane();
    r = parked_referral();
    put_row("opportunity", ROW2, "{'name':'Here before'}");
    assert_done(ask_about(r, "choose", ",'row':'" ROW2 "'"));
    assert_string_equal(deal_of(r)->record_id, ROW2);
}

static void test_a_side_is_named_by_what_it_is(void **state)
{
    referral_t *r = contradiction(*state);

    assert_failed(ask_about(r, "resolve", ",'line':'notes','side':'left'"), "allowed are partner-center, crm and " CRM_NAME);
    assert_done(ask_about(r, "resolve", ",'line':'notes','side':'" CRM_NAME "'"));
    assert_string_equal(notes_of(r), "Ours");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_parked_deal_is_linked_by_a_person),
        UNIT_TEST(test_link_wants_a_record_that_is_there_and_free),
        UNIT_TEST(test_refused_link_leaves_the_former_record),
        UNIT_TEST(test_parked_deal_gets_a_record_of_its_own),
        UNIT_TEST(test_ignored_deal_rests_until_it_is_brought_back),
        UNIT_TEST(test_unlinked_deal_is_left_alone),
        UNIT_TEST(test_conflict_is_decided_for_partner_center),
        UNIT_TEST(test_conflict_is_decided_for_the_crm),
        UNIT_TEST(test_one_of_several_rows_is_chosen),
        UNIT_TEST(test_choice_ends_with_its_deal),
        UNIT_TEST(test_one_of_several_records_is_chosen),
        UNIT_TEST(test_a_side_is_named_by_what_it_is),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
