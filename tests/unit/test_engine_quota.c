/* A CRM's quota: used up it waits, says why and until when, and goes on by itself; what is left of it is stored now and then. */
#include "unit_engine.h"

static referral_t *world_with_quota(apr_pool_t *p, apr_int64_t used)
{
    new_world(p);
    use_crm(0, CRM_NAME, GIVING, make_giving_mapping(p, "1", NULL, "", NOTES_LINE));
    W->usage.most = 1000;
    W->usage.kept = 50;
    W->usage.used = used;
    W->usage.at = cs_time_now();
    live_with(1);
    return &W->referral[0];
}

static void use_up(void)
{
    W->usage.used = 950;
    W->down = CRM_NAME;
    W->down_ends = CS_CLASS_SUSPEND;
    W->down_problem = "quota:daily";
}

static void refill(void)
{
    W->usage.used = 3;
    W->down = NULL;
}

static void test_used_up_quota_suspends_and_resumes_by_itself(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = world_with_quota(p, 10);
    int i;

    use_up();
    set_member(r, "/details/notes", "'News'");
    notify(r);
    work();
    assert_non_null(suspended(CRM_NAME));
    assert_string_equal(suspended(CRM_NAME)->problem, "quota:daily");
    assert_true(suspended(CRM_NAME)->probe > cs_time_now());
    assert_int_equal(work_of(r)->state, CS_WORK_SUSPENDED);
    assert_string_equal(work_of(r)->upstream, CRM_NAME);
    assert_int_equal(work_of(r)->attempts, 0);
    /* A whole day: it is asked ever more rarely, and at least every 15 minutes. */
    for (i = 0; i < 24 * 60; i++) {
        pass_seconds(60);
        work();
        assert_non_null(suspended(CRM_NAME));
        assert_true(suspended(CRM_NAME)->probe <= cs_time_now() + 900 * SEC);
    }
    assert_true(W->whoamis < 24 * 60 / 7 + 20);
    refill();
    pass_seconds(901);
    work();
    assert_null(suspended(CRM_NAME));
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(r)->record_id)->row, "description"), "News");
    assert_null(work_of(r));
}

/* The probe itself is answered, and what it tells says that nothing else would be. */
static void test_answered_probe_is_not_enough(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = world_with_quota(p, 10);
    int writes;

    use_up();
    set_member(r, "/details/notes", "'News'");
    notify(r);
    work();
    W->down = NULL;
    writes = W->writes;
    pass_seconds(120);
    work();
    assert_non_null(suspended(CRM_NAME));
    assert_string_equal(suspended(CRM_NAME)->problem, "quota:daily");
    assert_has(suspended(CRM_NAME)->detail, "950 of 1000");
    assert_has(suspended(CRM_NAME)->detail, "50");
    assert_int_equal(W->writes, writes);
    W->usage.used = 949;
    pass_seconds(901);
    work();
    assert_null(suspended(CRM_NAME));
    assert_int_equal(W->writes, writes + 1);
}

/* A known deal of a CRM that waits costs Partner Center nothing. */
static void test_waiting_deals_read_nothing(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = world_with_quota(p, 10), *other = new_referral();
    int gets, reads, describes;

    notify(other);
    work();
    use_up();
    notify(r);
    work();
    gets = W->gets + W->lists;
    reads = W->reads;
    describes = W->describes;
    notify(r);
    notify(other);
    work();
    assert_int_equal(W->gets + W->lists, gets);
    assert_int_equal(W->reads, reads);
    assert_int_equal(W->describes, describes);
    assert_int_equal(work_of(other)->state, CS_WORK_SUSPENDED);
    (void)p;
}

static void test_usage_is_stored_when_it_moved(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r = world_with_quota(p, 10);
    const char *first = fact(CS_FACT_QUOTA CRM_NAME);

    assert_has(first, "\"used\":10");
    assert_has(first, "\"most\":1000");
    assert_has(first, "\"kept\":50");
    assert_has(first, "\"at\":\"");
    /* Nine of a thousand is not worth a transaction. */
    W->usage.used = 19;
    notify(r);
    work();
    assert_has(fact(CS_FACT_QUOTA CRM_NAME), "\"used\":10");
    W->usage.used = 20;
    notify(r);
    work();
    assert_has(fact(CS_FACT_QUOTA CRM_NAME), "\"used\":20");
    /* A minute is. */
    W->usage.used = 21;
    pass_seconds(61);
    notify(r);
    work();
    assert_has(fact(CS_FACT_QUOTA CRM_NAME), "\"used\":21");
    (void)p;
}

static void test_crm_without_a_quota_stores_none(void **state)
{
    apr_pool_t *p = *state;

    world_with_quota(p, 0);
    W->usage.most = 0;
    assert_non_null(fact(CS_FACT_QUOTA CRM_NAME));
    new_world(p);
    live_with(1);
    assert_null(fact(CS_FACT_QUOTA CRM_NAME));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_used_up_quota_suspends_and_resumes_by_itself),
        UNIT_TEST(test_answered_probe_is_not_enough),
        UNIT_TEST(test_waiting_deals_read_nothing),
        UNIT_TEST(test_usage_is_stored_when_it_moved),
        UNIT_TEST(test_crm_without_a_quota_stores_none),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
