/* Ends that do not work: the breaker, cards that are not for us, rows that cannot be read, metadata. */
#include "unit_engine.h"

#include <sqlite3.h>

static void notify_all(void)
{
    int i;

    for (i = 0; i < W->referrals; i++) {
        notify(&W->referral[i]);
    }
}

static void test_batch_takes_what_partner_center_allows(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    W->crm_upstream.rate = 2; /* a CRM that takes batches has room for many at any but the lowest rate */
    begin_lane();
    for (i = 0; i < 200; i++) {
        notify(new_referral());
    }
    one_batch();
    assert_int_equal(count_rows("opportunity"), 200);
    W->pc_upstream.rate = 2;
    notify_all();
    W->gets = 0;
    one_batch();
    assert_int_equal(W->gets, 40);
}

static void test_crm_that_is_down_is_left_alone(void **state)
{
    apr_pool_t *p = *state;
    int gets, i;

    new_world(p);
    live_with(8);
    W->whoamis = 0; /* at its beginning the lane asks which organisation it is */
    W->crm_fails = CS_CLASS_RETRY;
    notify_all();
    work();
    assert_has(fact(CS_FACT_BREAKER CRM_NAME), "open");
    assert_has(fact(CS_FACT_BREAKER CRM_NAME), "the CRM is down");
    gets = W->gets;
    pass_seconds(3);
    work();
    assert_int_equal(W->gets, gets); /* the only CRM: nothing is fetched in vain */
    assert_int_equal(W->whoamis, 0);
    for (i = 0; i < 12; i++) {
        pass_seconds(301);
        work();
    }
    assert_int_equal(W->whoamis, 12);
    assert_int_equal(W->gets, gets);
    for (i = 0; i < 8; i++) {
        assert_int_equal(work_of(&W->referral[i])->attempts, 1); /* no patience was used up */
    }
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(301);
    work();
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* Both forms of an id are one organisation; another letter's case is another one. */
static void test_organisation_of_fifteen_characters(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    use_crm(0, CRM_NAME, GIVING, make_giving_mapping(p, "1", NULL, "", ""));
    W->organization = "00D5g0000001AbcEAK";
    W->site.crms[0].cfg.organization = "00D5g0000001Abc";
    live_with(1);
    notify_all();
    work();
    assert_null(suspended(CRM_NAME));
    W->site.crms[0].cfg.organization = "00D5g0000001aBC";
    begin_lane();
    notify_all();
    one_batch();
    assert_non_null(suspended(CRM_NAME));
    assert_string_equal(suspended(CRM_NAME)->problem, "config:organization");
}

static void test_probes_come_soon_and_then_rarely(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    live_with(8);
    W->pc_fails = CS_CLASS_RETRY;
    notify_all();
    work();
    assert_non_null(fact(CS_FACT_BREAKER "partner-center"));
    assert_false(cs_breaker_probe_due(W->lane));
    pass_seconds(4);
    assert_false(cs_breaker_probe_due(W->lane));
    pass_seconds(2);
    assert_true(cs_breaker_probe_due(W->lane));
    one_batch();
    assert_int_equal(W->pc_probes, 1);
    begin_lane(); /* a new runner knows and asks at once */
    one_batch();
    assert_int_equal(W->pc_probes, 2);
    W->pc_fails = CS_CLASS_OK;
    pass_seconds(301);
    work();
    assert_null(fact(CS_FACT_BREAKER "partner-center"));
}

/* The new runner asks at its second batch. */
static void begin_again(void)
{
    captured_clear();
    begin_lane();
    one_batch();
    pass_seconds(1);
    one_batch();
}

/* A reload that was to mend a suspension and brings another reason for it: that is said, once. */
static void test_another_reason_for_a_suspension_is_said(void **state)
{
    apr_pool_t *p = *state;
    int probes;

    new_world(p);
    live_with(1);
    W->pc_fails = CS_CLASS_SUSPEND;
    W->pc_problem = "oauth:invalid_grant";
    notify_all();
    captured_clear();
    work();
    assert_non_null(suspended(CS_UPSTREAM_PC));
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    probes = W->pc_probes;
    begin_again();
    assert_true(W->pc_probes > probes);
    assert_int_equal(captured_lines(CS_LOG_ERR), 0); /* the reason is the same */
    W->pc_problem = "config:certificate";
    begin_again();
    assert_string_equal(suspended(CS_UPSTREAM_PC)->problem, "config:certificate");
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_has(captured.last[CS_LOG_ERR], "CS2003");
    assert_has(captured.last[CS_LOG_ERR], "config:certificate");
    pass_seconds(301);
    one_batch();
    /* A moment's trouble is no reason to say it again, nor is its end. */
    W->pc_fails = CS_CLASS_RETRY;
    W->pc_problem = "http:503";
    pass_seconds(301);
    one_batch();
    W->pc_fails = CS_CLASS_SUSPEND;
    W->pc_problem = "config:certificate";
    pass_seconds(301);
    one_batch();
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
}

static void test_one_bad_deal_opens_nothing(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(8);
    W->crm_fails = CS_CLASS_THROTTLED;
    notify_all();
    for (i = 0; i < 5; i++) {
        pass_seconds(400);
        work();
    }
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
    W->crm_fails = CS_CLASS_OK;
}

static void test_three_failed_batches_open(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    live_with(1);
    W->crm_fails = CS_CLASS_RETRY;
    notify_all();
    for (i = 0; i < 2; i++) {
        work();
        assert_null(fact(CS_FACT_BREAKER CRM_NAME));
        pass_seconds(400);
    }
    work();
    assert_non_null(fact(CS_FACT_BREAKER CRM_NAME));
}

static void test_related_card_that_is_not_ours(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    cs_notice_t *n;
    int i;

    new_world(p);
    live_with(1);
    r = new_referral_of("msft", NULL);
    r->hidden = 403;
    for (i = 0; i < 3; i++) {
        n = make_notice(p, apr_pstrcat(p, "pc:", r->id, NULL), cs_time_now());
        n->event = "related-referral-updated";
        n->system = CS_SYSTEM_RELATED;
        assert_ok(accept_one(W->store, n, p, NULL));
        work();
    }
    assert_null(suspended(CS_UPSTREAM_PC));
    assert_int_equal(journal_lines("related"), 2); /* that it was asked for, and what the list says */
    assert_int_equal(W->changed_lists, 1);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    assert_int_equal(counts_of(W->store, SITE, p).dead, 0);
}

static void tamper(const char *sql)
{
    sqlite3 *db;
    char *why = NULL;

    assert_int_equal(sqlite3_open(in_state(W->cfg, "cosell.db", W->p), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s", why);
    }
    sqlite3_close(db);
}

static void good_again(void)
{
    W->pc_fails = CS_CLASS_OK;
    notify(&W->referral[0]);
}

/* What is given up is what the look knew: a notice that came in meanwhile is looked at. */
static void test_notice_during_the_last_look_is_not_given_up(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    new_referral();
    W->pc_fails = CS_CLASS_REFUSED;
    W->meanwhile = good_again;
    notify(&W->referral[0]);
    work();
    assert_int_equal(journal_lines("dead"), 1);
    assert_non_null(deal_of(&W->referral[0]));
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_LINKED);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    /* and without one it is */
    W->pc_fails = CS_CLASS_REFUSED;
    notify(&W->referral[0]);
    work();
    assert_int_equal(work_of(&W->referral[0])->state, CS_WORK_DEAD);
}

static void test_damaged_rows_end_only_their_own_look(void **state)
{
    apr_pool_t *p = *state;
    apr_array_header_t *dead, *deals;
    int i, damaged = 0;

    new_world(p);
    live_with(3);
    tamper("UPDATE deal SET images='{' WHERE id=2");
    notify_all();
    tamper("UPDATE work SET hints='{' WHERE name LIKE '%000000000002'");
    work();
    assert_null(work_of(&W->referral[0]));
    assert_ok(cs_store_work_list(W->store, SITE, CS_WORK_DEAD, 10, &dead, p, NULL));
    assert_int_equal(dead->nelts, 1 + 0);
    assert_has(APR_ARRAY_IDX(dead, 0, cs_work_t *)->detail, "damaged document in column images");
    assert_ok(cs_store_deal_list(W->store, SITE, 10, &deals, p, NULL));
    for (i = 0; i < deals->nelts; i++) {
        const cs_deal_t *deal = APR_ARRAY_IDX(deals, i, cs_deal_t *);
        damaged += deal->problem && strstr(deal->problem, "damaged") != NULL;
    }
    assert_int_equal(damaged, 1);
}

static void test_damaged_hints_are_dead_with_the_reason(void **state)
{
    apr_pool_t *p = *state;
    cs_work_t *row;

    new_world(p);
    live_with(2);
    W->pc_fails = CS_CLASS_THROTTLED;
    notify_all();
    work();
    W->pc_fails = CS_CLASS_OK;
    tamper("UPDATE work SET hints='nonsense' WHERE name='deal:1'");
    pass_seconds(60);
    work();
    row = work_of(&W->referral[0]);
    assert_int_equal(row->state, CS_WORK_DEAD);
    assert_has(row->detail, "damaged document in column hints");
    assert_null(work_of(&W->referral[1]));
    notify(&W->referral[0]); /* and a notice heals it */
    work();
    assert_null(work_of(&W->referral[0]));
}

/* ---- metadata ---- */

#define LONG_NOTES ",'notes':{'pc':'/details/notes','crm':'description','type':'text','direction':'to_crm'}"
#define GOOD_TABLES                                                                                                                              \
    "{'language':1033,'tables':{'opportunity':{'label':'Opportunity','key':'opportunityid','name':'name','columns':{"                            \
    "'name':{'label':'Topic','type':'text','max':300,'create':true,'update':true,'read':true},"                                                 \
    "'description':{'label':'Notes','type':'memo','max':2000,'create':true,'update':true,'read':true}}}}}"

static void test_metadata_is_read_now_and_then(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", LONG_NOTES);
    if (!cs_mapping_wants_metadata(W->site.crms[0].mapping)) {
        fail_msg("a text without a bound of its own wants metadata");
    }
    W->metadata = js(p, GOOD_TABLES);
    live_with(3);
    for (i = 0; i < 3; i++) {
        notify_all();
        work();
    }
    assert_int_equal(W->describes, 1);
    pass_seconds(6 * 3600 + 1);
    notify_all();
    work();
    assert_int_equal(W->describes, 2);
    W->refuses = "description"; /* perhaps the column has changed */
    set_member(&W->referral[0], "/details/notes", "'Other notes'");
    notify(&W->referral[0]);
    work();
    assert_int_equal(W->describes, 2);
    pass_seconds(601); /* not more often than that */
    W->refuses = NULL;
    notify(&W->referral[1]);
    work();
    assert_int_equal(W->describes, 3);
    notify(&W->referral[1]);
    work();
    assert_int_equal(W->describes, 3);
}

/* What a person mended there shows at once. */
static void test_metadata_is_read_again_when_the_crm_resumes(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", LONG_NOTES);
    W->metadata = js(p, GOOD_TABLES);
    live_with(1);
    assert_int_equal(W->describes, 1);
    W->crm_fails = CS_CLASS_SUSPEND;
    notify_all();
    work();
    assert_non_null(suspended(CRM_NAME));
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(120);
    work();
    assert_null(suspended(CRM_NAME));
    assert_int_equal(W->describes, 2);
}

static void test_metadata_that_cannot_be_read_stops_nothing(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", LONG_NOTES);
    live_with(3);
    assert_int_equal(W->describes, 1);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 1);
    for (i = 0; i < 20; i++) {
        notify_all();
        work();
        pass_seconds(10);
    }
    assert_true(W->describes >= 2 && W->describes <= 5);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 1);
    assert_int_equal(count_set("description"), 3);
}

static void test_misfits_are_said_once_and_shown(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", LONG_NOTES);
    W->metadata = js(p, "{'language':1033,'tables':{'opportunity':{'label':'Opportunity','key':'opportunityid','name':'name','columns':{"
                        "'name':{'label':'Topic','type':'text','max':300,'create':true,'update':true,'read':true}}}}}");
    live_with(2);
    assert_has(fact(CS_FACT_MISFITS CRM_NAME), "description");
    assert_true(captured_lines(CS_LOG_WARNING) >= 1);
    captured_clear();
    pass_seconds(6 * 3600 + 1);
    notify_all();
    work();
    assert_int_equal(W->describes, 2);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 0);
    assert_null(suspended(CRM_NAME));
}

static void it_tells(const char *upstream)
{
    int site = cs_gauge_site(SITE);

    cs_gauge_add(CS_GAUGE_HEARD, site, cs_gauge_upstream(site, upstream), 1);
}

/* Whoever sends a notice is there again: the pause, which has grown, need not be over. */
static void test_notice_is_a_sign_of_life(void **state)
{
    static const cs_gauge_names_t names = {SITE, 2, {CRM_NAME, CS_UPSTREAM_PC}};
    apr_pool_t *p = *state;
    int i, whoamis;

    new_world(p);
    cs_gauges_layout(&names, 1);
    live_with(8);
    W->crm_fails = CS_CLASS_RETRY;
    notify_all();
    work();
    assert_has(fact(CS_FACT_BREAKER CRM_NAME), "open");
    for (i = 0; i < 8; i++) {
        pass_seconds(120);
        work();
    }
    whoamis = W->whoamis;
    work();
    assert_int_equal(W->whoamis, whoamis); /* it is not its time */
    it_tells(CS_UPSTREAM_PC);
    work();
    assert_int_equal(W->whoamis, whoamis);
    it_tells(CRM_NAME);
    work();
    assert_int_equal(W->whoamis, whoamis + 1);
    for (i = 0; i < 5; i++) { /* in a flood, too, not more often */
        it_tells(CRM_NAME);
        work();
    }
    assert_int_equal(W->whoamis, whoamis + 1);
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(10);
    it_tells(CRM_NAME);
    work();
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_batch_takes_what_partner_center_allows),
        UNIT_TEST(test_crm_that_is_down_is_left_alone),
        UNIT_TEST(test_notice_is_a_sign_of_life),
        UNIT_TEST(test_organisation_of_fifteen_characters),
        UNIT_TEST(test_probes_come_soon_and_then_rarely),
        UNIT_TEST(test_another_reason_for_a_suspension_is_said),
        UNIT_TEST(test_one_bad_deal_opens_nothing),
        UNIT_TEST(test_three_failed_batches_open),
        UNIT_TEST(test_related_card_that_is_not_ours),
        UNIT_TEST(test_notice_during_the_last_look_is_not_given_up),
        UNIT_TEST(test_damaged_rows_end_only_their_own_look),
        UNIT_TEST(test_damaged_hints_are_dead_with_the_reason),
        UNIT_TEST(test_metadata_is_read_now_and_then),
        UNIT_TEST(test_metadata_is_read_again_when_the_crm_resumes),
        UNIT_TEST(test_metadata_that_cannot_be_read_stops_nothing),
        UNIT_TEST(test_misfits_are_said_once_and_shown),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
