/* How long a lane's turn takes where an upstream lets few requests through, and who need not wait for it. */
#include "unit_engine.h"

static const char *wish;
static apr_time_t wished;

static void alice_pauses(void)
{
    wish = ask_for("pause", "{'why':'month end'}");
    wished = cs_time_now();
}

/* Two requests a second, as with CosellUpstream partner-center rate=2. */
static void two_a_second(void)
{
    W->pc_upstream.rate = 2;
    W->pc_takes = 500;
}

static void until_it_is_paused(void)
{
    while (!wish || job_of(wish)->state == CS_JOB_WAITING) {
        one_batch();
    }
    assert_int_equal(job_of(wish)->state, CS_JOB_DONE);
}

static int seconds_waited(void)
{
    return (int)apr_time_sec(job_of(wish)->updated - wished);
}

static int waiting(apr_pool_t *p)
{
    return (int)counts_of(W->store, SITE, p).outstanding;
}

static void new_referrals(int n)
{
    while (n-- > 0) {
        notify(new_referral());
    }
}

static void test_wish_cuts_a_turn_short(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    two_a_second();
    new_referrals(40);
    wish = NULL;
    W->meanwhile = alice_pauses;
    until_it_is_paused();
    assert_in_range(seconds_waited(), 1, 12);
    assert_in_range(count_rows("opportunity"), 1, 20);
    assert_int_equal(waiting(p) + count_rows("opportunity"), 40);
    ask_for("resume", "{}");
    work();
    assert_int_equal(count_rows("opportunity"), 40);
    assert_int_equal(waiting(p), 0);
    assert_int_equal(W->gets, 40); /* none of them was asked for in vain */
}

static void test_nobody_waits_and_the_batch_is_large(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    two_a_second();
    new_referrals(40);
    one_batch();
    assert_int_equal(count_rows("opportunity"), 40);
    assert_in_range(W->write_calls, 1, 2);
}

static void test_no_rate_no_portions(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    new_referrals(200);
    wish = NULL;
    W->meanwhile = alice_pauses;
    one_batch();
    assert_int_equal(count_rows("opportunity"), 200);
}

/* The server is slow by itself: what it took last time tells. */
static void test_slow_answers_cut_it_short_as_well(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    W->pc_takes = 1000;
    new_referrals(4);
    work();
    new_referrals(60);
    wish = NULL;
    W->meanwhile = alice_pauses;
    until_it_is_paused();
    assert_in_range(seconds_waited(), 1, 30);
    assert_in_range(count_rows("opportunity"), 5, 20);
}

/* A resync has a turn after every batch: it takes no look's place. */
static void test_resync_cuts_nothing_short(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    two_a_second();
    new_referrals(40);
    ask_for("resync", "{'all':true}");
    one_batch();
    assert_int_equal(count_rows("opportunity"), 40);
}

/* What would be written takes its time, too: what has no room is planned again. */
static void test_many_changes_are_no_long_turn(void **state)
{
    apr_pool_t *p = *state;
    int i;

    new_world(p);
    W->site.crms[0].mapping = make_mapping(p, "1", "", ",'notes':{'pc':'/details/notes','crm':'description','type':'text','max':2000}");
    live_with(40);
    two_a_second();
    wish = NULL;
    for (i = 0; i < W->rows->nelts; i++) {
        row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        if (!strcmp(row->table, "opportunity")) {
            edit_row(row, "{'description':'by hand'}");
        }
    }
    W->meanwhile = alice_pauses;
    until_it_is_paused();
    assert_in_range(seconds_waited(), 1, 15);
    assert_in_range(W->patches, 1, 10);
    ask_for("resume", "{}");
    work();
    assert_int_equal(W->patches, 40);
    assert_int_equal(waiting(p), 0);
}

/* A limiter that was told to slow down lets less through than its rate says. */
static void test_claim_follows_the_limiter(void **state)
{
    apr_pool_t *p = *state;

    new_world(p);
    begin_lane();
    assert_int_equal(cs_turn_claim(W->lane), 200);
    W->crm_upstream.rate = 20;
    assert_int_equal(cs_turn_claim(W->lane), 200);
    W->crm_upstream.rate = 0.5;
    assert_in_range(cs_turn_claim(W->lane), 25, 60); /* a request writes dozens */
    W->crm_upstream.rate = 0;
    W->pc_upstream.rate = 2;
    assert_int_equal(cs_turn_claim(W->lane), 40);
    W->lane->pc_limiter.slow = 0.125;
    assert_int_equal(cs_turn_claim(W->lane), 5);
    W->lane->pc_limiter.slow = 1.0 / 64;
    assert_int_equal(cs_turn_claim(W->lane), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_wish_cuts_a_turn_short),
        UNIT_TEST(test_nobody_waits_and_the_batch_is_large),
        UNIT_TEST(test_no_rate_no_portions),
        UNIT_TEST(test_slow_answers_cut_it_short_as_well),
        UNIT_TEST(test_resync_cuts_nothing_short),
        UNIT_TEST(test_many_changes_are_no_long_turn),
        UNIT_TEST(test_claim_follows_the_limiter),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
