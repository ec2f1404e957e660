/* A site with two CRMs: whose a deal is, and that what stops one of them leaves the other alone. */
#include "unit_engine.h"

#define ROW "aaaaaaaa-0000-4000-8000-000000000001"
#define TAKES_ALL "'when':{'pc':'$kind','in':['co-sell','private']}"
#define TAKES_SALES "'when':{'pc':'/details/customerAction','is':'Sales'}"

#define THROUGH ",'city':{'pc':'/customerProfile/address/city','crm':'parentaccountid/address1_city','type':'text','max':80,'direction':'to_pc','events':['create']}"

/* What the mapping of either CRM takes. */
static const cs_mapping_t *mapping_of(const char *type, const char *revision, const char *when, const char *lines)
{
    const char *text = replaced_text(W->p, apr_psprintf(W->p, mapping_text, revision, "", lines), TAKES_ALL, when);

    return parse_mapping(W->p, replaced_text(W->p, text, "'crm':'dynamics365'", apr_psprintf(W->p, "'crm':'%s'", type)), type);
}

static void two_worlds(apr_pool_t *p, const char *type)
{
    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365", mapping_of("dynamics365", "1", TAKES_SALES, ""));
    use_crm(1, OTHER_CRM, type, mapping_of(type, "1", TAKES_ALL, ""));
    begin_lane();
}

static referral_t *referral_for(int sales)
{
    referral_t *r = new_referral();

    set_member(r, "/details/customerAction", sales ? "'Sales'" : "'Field'");
    notify(r);
    return r;
}

static const char *owner_of(const referral_t *r)
{
    return deal_of(r)->crm ? deal_of(r)->crm : "nobody";
}

static row_t *record_of_deal(const referral_t *r)
{
    W->at = owner_of(r);
    return row_by_id("opportunity", deal_of(r)->record_id);
}

static void routes(apr_pool_t *p, const char *type)
{
    referral_t *sales, *field;

    two_worlds(p, type);
    sales = referral_for(1);
    field = referral_for(0);
    work();
    assert_string_equal(owner_of(sales), CRM_NAME);
    assert_string_equal(owner_of(field), OTHER_CRM);
    assert_int_equal(count_rows_of(CRM_NAME, "opportunity"), 1);
    assert_int_equal(count_rows_of(OTHER_CRM, "opportunity"), 1);
    assert_non_null(record_of_deal(sales));
    assert_non_null(record_of_deal(field));
    /* Each look-up is made where its deal is. */
    assert_int_equal(count_rows_of(CRM_NAME, "account"), 1);
    assert_int_equal(count_rows_of(OTHER_CRM, "account"), 1);
    /* For ever: the referral may become what the other one takes. */
    set_member(sales, "/details/customerAction", "'Field'");
    set_member(field, "/details/customerAction", "'Sales'");
    set_member(field, "/name", "'Another Name'");
    notify(sales);
    notify(field);
    work();
    assert_string_equal(owner_of(sales), CRM_NAME);
    assert_string_equal(owner_of(field), OTHER_CRM);
    assert_string_equal(cs_json_str(record_of_deal(field)->row, "name"), "Another Name");
    assert_int_equal(count_rows("opportunity"), 2);
}

static void test_first_that_takes_it_owns_it(void **state)
{
    routes(*state, "dynamics365");
}

static void test_first_of_two_types_owns_it(void **state)
{
    routes(*state, GIVING);
}

/* Two deals whose records have the same id, each in a CRM of its own. */
static row_t *same_id_in_both(apr_pool_t *p, referral_t **psales, referral_t **pfield)
{
    referral_t *sales, *field;
    row_t *row;

    two_worlds(p, "dynamics365");
    W->at = CRM_NAME;
    sales = *psales = new_referral();
    field = *pfield = new_referral();
    put_row("opportunity", ROW, apr_psprintf(p, "{'name':'Deal 0','cosell_sync':true,'statecode':0,'statuscode':1,'cosell_referral':'%s'}", sales->id));
    W->at = OTHER_CRM;
    row = put_row("opportunity", ROW, apr_psprintf(p, "{'name':'Deal 1','cosell_sync':true,'statecode':0,'statuscode':1,'cosell_referral':'%s'}", field->id));
    set_member(sales, "/details/customerAction", "'Sales'");
    set_member(sales, "/externalReferenceId", "'" ROW "'");
    set_member(field, "/details/customerAction", "'Field'");
    set_member(field, "/externalReferenceId", "'" ROW "'");
    notify(sales);
    notify(field);
    work();
    assert_string_equal(owner_of(sales), CRM_NAME);
    assert_string_equal(owner_of(field), OTHER_CRM);
    assert_string_equal(deal_of(sales)->record_id, ROW);
    assert_string_equal(deal_of(field)->record_id, ROW);
    assert_int_not_equal(deal_of(sales)->id, deal_of(field)->id);
    return row;
}

/* The same id may be a row of either: a notice is about the CRM that sent it. */
static void test_one_id_in_two_crms_is_two_rows(void **state)
{
    apr_pool_t *p = *state;
    referral_t *sales, *field;
    row_t *row = same_id_in_both(p, &sales, &field);
    int gets;

    gets = W->gets;
    edit_row(row, "{'name':'Edited'}");
    work();
    assert_true(W->gets > gets);
    assert_string_equal(deal_of(field)->crm_version, apr_psprintf(p, "W/%d", row->version));
    W->at = CRM_NAME;
    assert_string_equal(deal_of(sales)->crm_version, apr_psprintf(p, "W/%d", row_by_id("opportunity", ROW)->version));
}

/* A person who names it hears which deals it may be, and nothing is done to either. */
static void test_id_of_two_rows_is_no_name(void **state)
{
    static const char *const asked[][2] = {
        {"show", "{'id':'%s'}"}, {"look", "{'id':'%s'}"}, {"resync", "{'id':'%s'}"},
        {"retry", "{'deal':'%s'}"}, {"ignore", "{'deal':'%s'}"}};
    apr_pool_t *p = *state;
    referral_t *sales, *field;
    const cs_job_t *job;
    const char *says, *id;
    int i;

    same_id_in_both(p, &sales, &field);
    says = apr_psprintf(p, "the id \"%s\" is that of deal %d (opportunity of " CRM_NAME ") and deal %d (opportunity of " OTHER_CRM "); say which by its number",
                        ROW, (int)deal_of(sales)->id, (int)deal_of(field)->id);
    for (i = 0; i < 5; i++) {
        id = ask_for(asked[i][0], apr_psprintf(p, asked[i][1], ROW));
        work();
        job = job_of(id);
        assert_int_equal(job->state, CS_JOB_FAILED);
        assert_string_equal(cs_json_str(job->result, "error"), says);
        assert_null(json_object_get(job->result, "missing"));
    }
    assert_int_equal(deal_of(sales)->state, CS_DEAL_LINKED);
    id = ask_for("show", apr_psprintf(p, "{'id':'%d'}", (int)deal_of(field)->id));
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_DONE);
    id = ask_for("look", apr_psprintf(p, "{'id':'%s'}", field->engagement));
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_DONE);
    id = ask_for("look", "{'id':'no-such-id'}");
    work();
    assert_has(cs_json_str(job_of(id)->result, "error"), "referral, engagement or record id \"no-such-id\"");
    assert_true(json_is_true(json_object_get(job_of(id)->result, "missing")));
}

/* ---- the record that a referral names ---- */

static void test_record_in_the_second_crm_only(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    use_crm(1, OTHER_CRM, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    begin_lane();
    W->at = OTHER_CRM;
    put_row("opportunity", ROW, "{'name':'Deal 0','cosell_sync':true,'statecode':0,'statuscode':1}");
    r = new_referral();
    set_member(r, "/externalReferenceId", "'" ROW "'");
    notify(r);
    work();
    assert_string_equal(owner_of(r), OTHER_CRM);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_string_equal(deal_of(r)->record_id, ROW);
    assert_int_equal(count_rows("opportunity"), 1);
    assert_string_equal(cs_json_str(record_of_deal(r)->row, "cosell_referral"), r->id);
}

/* Its form tells whose id it is. */
static void test_record_in_the_second_crm_by_the_form_of_its_id(void **state)
{
    apr_pool_t *p = *state;
    const char *id;
    referral_t *r;

    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    use_crm(1, OTHER_CRM, GIVING, mapping_of(GIVING, "1", TAKES_ALL, ""));
    begin_lane();
    W->at = OTHER_CRM;
    id = given_id("opportunity");
    put_row("opportunity", id, "{'name':'Deal 0','cosell_sync':true,'statecode':0,'statuscode':1}");
    r = new_referral();
    set_member(r, "/externalReferenceId", apr_psprintf(p, "'%.15s'", id)); /* as somebody copied it */
    notify(r);
    work();
    assert_string_equal(owner_of(r), OTHER_CRM);
    assert_string_equal(deal_of(r)->record_id, id);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    assert_int_equal(count_rows("opportunity"), 1);
}

static void test_record_in_neither_is_for_a_person(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    use_crm(1, OTHER_CRM, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    begin_lane();
    r = new_referral();
    set_member(r, "/externalReferenceId", "'" ROW "'");
    notify(r);
    work();
    assert_int_equal(deal_of(r)->state, CS_DEAL_PARKED);
    assert_has(deal_of(r)->problem, ROW);
    assert_int_equal(count_rows("opportunity"), 0);
    (void)p;
}

/* Nobody can say that it is not in the CRM that does not answer. */
static void test_record_that_a_silent_crm_may_have_is_waited_for(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    use_crm(1, OTHER_CRM, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    begin_lane();
    W->at = OTHER_CRM;
    put_row("opportunity", ROW, "{'name':'Deal 0','cosell_sync':true,'statecode':0,'statuscode':1}");
    W->down = OTHER_CRM;
    W->down_ends = CS_CLASS_RETRY;
    r = new_referral();
    set_member(r, "/externalReferenceId", "'" ROW "'");
    notify(r);
    work();
    assert_null(deal_of(r));
    W->down = NULL;
    pass_seconds(400);
    work();
    assert_string_equal(owner_of(r), OTHER_CRM);
    assert_int_equal(deal_of(r)->state, CS_DEAL_LINKED);
    (void)p;
}

/* A record of one CRM that carries the id of a referral whose record is in the other. */
static void test_record_of_the_other_crm_is_for_a_person(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    row_t *row;
    int writes;

    two_worlds(p, "dynamics365");
    r = referral_for(1);
    work();
    writes = W->writes;
    W->at = OTHER_CRM;
    row = put_row("opportunity", ROW, apr_psprintf(p, "{'name':'Copied','cosell_sync':true,'statecode':0,'cosell_referral':'%s'}", r->id));
    notify_row("opportunity", ROW, row->modified);
    work();
    assert_has(deal_of(r)->problem, "is in " CRM_NAME);
    assert_string_equal(owner_of(r), CRM_NAME);
    assert_int_equal(W->writes, writes);
    assert_int_equal(journal_lines("relink"), 1);
}

/* ---- one stops, the other goes on ---- */

static void rename_both(referral_t *sales, referral_t *field, const char *name)
{
    set_member(sales, "/name", apr_psprintf(W->p, "'%s'", name));
    set_member(field, "/name", apr_psprintf(W->p, "'%s'", name));
    notify(sales);
    notify(field);
    work();
}

static void one_is_suspended(apr_pool_t *p, const char *down, const char *type)
{
    referral_t *sales, *field, *stopped, *goes_on;

    two_worlds(p, type);
    sales = referral_for(1);
    field = referral_for(0);
    work();
    stopped = strcmp(down, CRM_NAME) ? field : sales;
    goes_on = stopped == sales ? field : sales;
    W->down = down;
    W->down_ends = CS_CLASS_SUSPEND;
    W->down_problem = "oauth:invalid_client";
    rename_both(sales, field, "New Name");
    assert_non_null(suspended(down));
    assert_null(suspended(owner_of(goes_on)));
    assert_string_equal(cs_json_str(record_of_deal(goes_on)->row, "name"), "New Name");
    assert_null(work_of(goes_on));
    assert_int_equal(work_of(stopped)->state, CS_WORK_SUSPENDED);
    /* While it waits new deals of the other one are made. */
    referral_for(goes_on == sales);
    work();
    assert_int_equal(count_rows_of(owner_of(goes_on), "opportunity"), 2);
    W->down = NULL;
    pass_seconds(120);
    work();
    assert_null(suspended(down));
    assert_string_equal(cs_json_str(record_of_deal(stopped)->row, "name"), "New Name");
}

static void test_first_is_suspended(void **state)
{
    one_is_suspended(*state, CRM_NAME, "dynamics365");
}

static void test_second_is_suspended(void **state)
{
    one_is_suspended(*state, OTHER_CRM, GIVING);
}

static void test_breaker_is_of_one_crm(void **state)
{
    apr_pool_t *p = *state;
    referral_t *field[6], *sales;
    int i;

    two_worlds(p, "dynamics365");
    for (i = 0; i < 6; i++) {
        field[i] = referral_for(0);
    }
    sales = referral_for(1);
    work();
    W->down = OTHER_CRM;
    W->down_ends = CS_CLASS_RETRY;
    for (i = 0; i < 6; i++) {
        notify(field[i]);
    }
    set_member(sales, "/name", "'New Name'");
    notify(sales);
    work();
    assert_true(cs_breaker_open(W->lane, OTHER_CRM));
    assert_false(cs_breaker_open(W->lane, CRM_NAME));
    assert_string_equal(cs_json_str(record_of_deal(sales)->row, "name"), "New Name");
    set_member(sales, "/name", "'Newer Name'");
    notify(sales);
    work();
    assert_string_equal(cs_json_str(record_of_deal(sales)->row, "name"), "Newer Name");
    (void)p;
}

static int described_in(const char *crm)
{
    int i, n = 0;

    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        n += !strcmp(row->crm, crm) && json_is_string(json_object_get(row->row, "description"));
    }
    return n;
}

static void release(const char *brake)
{
    ask_for("release", apr_pstrcat(W->p, "{\"brake\":\"", brake, "\"}", NULL));
    work();
}

static void change_both_mappings(void)
{
    W->site.crms[0].mapping = mapping_of("dynamics365", "2", TAKES_SALES, NOTES_LINE);
    W->site.crms[1].mapping = mapping_of("dynamics365", "2", TAKES_ALL, NOTES_LINE);
    begin_lane();
    work();
}

static void test_brake_is_of_one_crms_mapping(void **state)
{
    apr_pool_t *p = *state;
    int i;

    two_worlds(p, "dynamics365");
    for (i = 0; i < 40; i++) {
        referral_for(1);
    }
    for (i = 0; i < 10; i++) {
        referral_for(0);
    }
    work();
    change_both_mappings();
    assert_non_null(suspended("brake:mapping:" CRM_NAME));
    assert_has(suspended("brake:mapping:" CRM_NAME)->detail, "mapping:" CRM_NAME);
    assert_null(suspended("brake:mapping:" OTHER_CRM));
    assert_null(suspended("brake:mapping"));
    assert_int_equal(described_in(CRM_NAME), 0);
    assert_int_equal(described_in(OTHER_CRM), 10);
    release("mapping:" OTHER_CRM);
    assert_int_equal(described_in(CRM_NAME), 0);
    release("mapping:" CRM_NAME);
    assert_null(suspended("brake:mapping:" CRM_NAME));
    assert_int_equal(described_in(CRM_NAME), 40);
    (void)p;
}

/* A second CRM is configured while the first one's mapping is held. */
static void test_brake_outlives_another_crm(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    for (i = 0; i < 40; i++) {
        notify(new_referral());
    }
    begin_lane();
    work();
    W->site.crms[0].mapping = make_mapping(p, "2", "", NOTES_LINE);
    begin_lane();
    work();
    assert_non_null(suspended("brake:mapping"));
    use_crm(1, OTHER_CRM, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, ""));
    begin_lane();
    work();
    assert_null(suspended("brake:mapping"));
    pass_seconds(1);
    work();
    assert_non_null(suspended("brake:mapping:" CRM_NAME));
    assert_int_equal(described_in(CRM_NAME), 0);
}

static void test_blind_crm_stops_no_other(void **state)
{
    apr_pool_t *p = *state;
    referral_t *sales = NULL;
    int i;

    two_worlds(p, "dynamics365");
    for (i = 0; i < 30; i++) {
        referral_for(0);
    }
    sales = referral_for(1);
    work();
    for (i = 0; i < W->rows->nelts; i++) {
        row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        if (!strcmp(row->crm, OTHER_CRM)) {
            row->row = NULL;
        }
    }
    for (i = 0; i < W->referrals; i++) {
        set_member(&W->referral[i], "/name", "'New Name'");
        notify(&W->referral[i]);
    }
    work();
    assert_non_null(suspended(CS_BRAKE_MISSING OTHER_CRM));
    assert_null(suspended(CS_BRAKE_MISSING CRM_NAME));
    assert_string_equal(cs_json_str(record_of_deal(sales)->row, "name"), "New Name");
    (void)p;
}

/* ---- what is watched and polled ---- */

static void test_shown_row_wakes_the_deals_of_its_crm(void **state)
{
    apr_pool_t *p = *state;
    referral_t *sales, *field;
    const cs_deal_t *deal;
    int gets, i;

    new_world(p);
    use_crm(0, CRM_NAME, "dynamics365", mapping_of("dynamics365", "1", TAKES_SALES, THROUGH));
    use_crm(1, OTHER_CRM, "dynamics365", mapping_of("dynamics365", "1", TAKES_ALL, THROUGH));
    begin_lane();
    /* Two accounts of one id, one in either CRM. */
    for (i = 0; i < 2; i++) {
        W->at = i ? OTHER_CRM : CRM_NAME;
        put_row("account", ROW, "{'name':'customer 0'}");
    }
    sales = referral_for(1);
    field = referral_for(0);
    work();
    notify(sales); /* what a record shows is known from the second look on */
    notify(field);
    work();
    deal = deal_of(sales);
    gets = W->gets;
    W->at = OTHER_CRM;
    notify_row("account", ROW, cs_time_now());
    work();
    assert_int_equal(W->gets, gets + 1);
    assert_string_equal(deal_of(sales)->crm_version, deal->crm_version);
    (void)field;
    (void)p;
}

static const char *polled_crm, *polled_row;

static void show_one_change(cs_crm_changes_t *changes, apr_pool_t *p)
{
    (void)p;
    if (!strcmp(changes->table, "opportunity") && !strcmp(W->at, polled_crm)) {
        cs_crm_changed_t *c = apr_array_push(changes->rows);
        memset(c, 0, sizeof(*c));
        c->id = polled_row;
        c->version = "W/99";
        c->modified = cs_time_now();
        c->row = js(W->p, "{'cosell_sync':true}");
    }
    changes->next = apr_psprintf(W->p, "after %s", W->at);
}

static const char *cursor_of(const char *name)
{
    const char *text = NULL;
    apr_time_t updated;

    assert_ok(cs_store_cursor_get(W->store, SITE, name, &text, &updated, W->p, NULL));
    return text;
}

static void test_each_crm_has_its_cursors(void **state)
{
    apr_pool_t *p = *state;
    referral_t *sales, *field;
    int gets;

    two_worlds(p, GIVING);
    W->site.poll = 300 * SEC;
    W->site.sweep = 12 * 3600 * SEC;
    begin_lane();
    sales = referral_for(1);
    field = referral_for(0);
    work();
    polled_crm = OTHER_CRM;
    polled_row = deal_of(field)->record_id;
    W->changes = show_one_change;
    gets = W->gets;
    record_of_deal(field)->version = 99;
    pass_seconds(301);
    work();
    assert_has(cursor_of("poll:" CRM_NAME "/opportunity"), "after " CRM_NAME);
    assert_has(cursor_of("poll:" OTHER_CRM "/opportunity"), "after " OTHER_CRM);
    assert_int_equal(W->gets, gets + 1);
    assert_string_equal(deal_of(field)->crm_version, "W/99");
    (void)sales;
    (void)p;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_first_that_takes_it_owns_it),
        UNIT_TEST(test_first_of_two_types_owns_it),
        UNIT_TEST(test_one_id_in_two_crms_is_two_rows),
        UNIT_TEST(test_id_of_two_rows_is_no_name),
        UNIT_TEST(test_record_in_the_second_crm_only),
        UNIT_TEST(test_record_in_the_second_crm_by_the_form_of_its_id),
        UNIT_TEST(test_record_in_neither_is_for_a_person),
        UNIT_TEST(test_record_that_a_silent_crm_may_have_is_waited_for),
        UNIT_TEST(test_record_of_the_other_crm_is_for_a_person),
        UNIT_TEST(test_first_is_suspended),
        UNIT_TEST(test_second_is_suspended),
        UNIT_TEST(test_breaker_is_of_one_crm),
        UNIT_TEST(test_brake_is_of_one_crms_mapping),
        UNIT_TEST(test_brake_outlives_another_crm),
        UNIT_TEST(test_blind_crm_stops_no_other),
        UNIT_TEST(test_shown_row_wakes_the_deals_of_its_crm),
        UNIT_TEST(test_each_crm_has_its_cursors),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
