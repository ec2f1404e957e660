/* A site where nothing happens: who is gone is found by the pulse. The registration that raises a doubt is in test_engine_webhook. */
#include "unit_engine.h"

#include "mod_cosell/engine/pulse.h"

static void silent_site(apr_pool_t *p)
{
    new_world(p);
    W->site.pulse = CS_SITE_PULSE;
    live_with(1);
    W->whoamis = W->pc_probes = 0;
}

/* The held clock wavers by what lies between two readings of the machine's. */
static void pass_a_moment(void)
{
    clock_words->offset += 5000;
}

/* What the runner does: a turn when the lane wants one. Returns the seconds until it is so, at most `most`. */
static int seconds_until(int (*what)(void), int most)
{
    int seconds = 0;

    while (!what() && seconds < most) {
        pass_seconds(1);
        pass_a_moment();
        seconds++;
        if (cs_pulse_due(W->lane)) {
            one_batch();
        }
    }
    return seconds;
}

static int crm_is_named(void)
{
    return fact(CS_FACT_BREAKER CRM_NAME) != NULL;
}

static int never(void)
{
    return 0;
}

static void test_silent_crm_is_asked_now_and_then(void **state)
{
    silent_site(*state);
    seconds_until(never, 19);
    assert_int_equal(W->whoamis, 0);
    seconds_until(never, 201);
    assert_in_range(W->whoamis, 10, 11);
    assert_int_equal(W->pc_probes, 0); /* its registration is read */
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
}

static void test_crm_that_answers_anything_is_not_asked(void **state)
{
    int i;

    silent_site(*state);
    for (i = 0; i < 20; i++) {
        pass_seconds(10);
        W->lane->crm_limiter[0].dated = cs_time_now();
        assert_false(cs_pulse_due(W->lane));
    }
    W->lane->crm_limiter[0].dated = cs_time_now() + apr_time_from_sec(3600); /* a clock that went back */
    assert_true(cs_pulse_due(W->lane));
}

static void test_one_that_asked_to_be_left_alone_is(void **state)
{
    silent_site(*state);
    W->lane->crm_limiter[0].pause_until = cs_time_now() + apr_time_from_sec(120);
    pass_seconds(100);
    assert_false(cs_pulse_due(W->lane));
    pass_seconds(30);
    assert_true(cs_pulse_due(W->lane));
}

static void test_crm_that_is_gone_is_named_within_a_minute(void **state)
{
    int probes;

    silent_site(*state);
    pass_seconds(19); /* gone right after it was asked would be worst */
    W->crm_fails = CS_CLASS_RETRY;
    assert_in_range(seconds_until(crm_is_named, 300), 1, 25);
    assert_int_equal(W->whoamis, 3);
    assert_has(fact(CS_FACT_BREAKER CRM_NAME), "the CRM is down");
    /* From now on the breaker asks. */
    probes = W->whoamis;
    assert_false(cs_pulse_due(W->lane));
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(6);
    assert_true(cs_breaker_probe_due(W->lane));
    one_batch();
    assert_int_equal(W->whoamis, probes + 1);
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
}

static void test_one_lost_answer_is_no_outage(void **state)
{
    silent_site(*state);
    W->crm_fails = CS_CLASS_RETRY;
    seconds_until(never, 21);
    assert_int_equal(W->whoamis, 1);
    W->crm_fails = CS_CLASS_OK;
    seconds_until(never, 4);
    assert_int_equal(W->whoamis, 2);
    W->crm_fails = CS_CLASS_RETRY;
    seconds_until(never, 18);
    assert_int_equal(W->whoamis, 3);
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
}

static void test_crm_that_refuses_us_is_suspended(void **state)
{
    silent_site(*state);
    W->crm_fails = CS_CLASS_SUSPEND;
    seconds_until(never, 25);
    assert_int_equal(W->whoamis, 1);
    assert_non_null(suspended(CRM_NAME));
    assert_null(fact(CS_FACT_BREAKER CRM_NAME));
    pass_seconds(40);
    assert_false(cs_pulse_due(W->lane)); /* its probes come by themselves */
}

static int partner_center_is_named(void)
{
    return fact(CS_FACT_BREAKER CS_UPSTREAM_PC) != NULL;
}

/* A list that cannot be read, of somebody who answers: no breaker opens for it, however often. */
static void test_doubt_is_settled_by_the_pulse(void **state)
{
    int i;

    silent_site(*state);
    for (i = 0; i < 10; i++) {
        cs_pulse_doubt(W->lane, CS_LANE_PC);
        cs_pulse_doubt(W->lane, CS_LANE_PC);
        pass_a_moment();
        assert_true(cs_pulse_due(W->lane));
        one_batch();
    }
    assert_int_equal(W->pc_probes, 10);
    assert_false(partner_center_is_named());
    W->pc_fails = CS_CLASS_RETRY;
    cs_pulse_doubt(W->lane, CS_LANE_PC);
    assert_in_range(seconds_until(partner_center_is_named, 60), 2, 6);
    assert_int_equal(W->pc_probes, 13);
}

static void test_nothing_is_asked_where_that_is_not_wanted(void **state)
{
    silent_site(*state);
    W->site.pulse = 0;
    cs_pulse_doubt(W->lane, CS_LANE_PC);
    pass_seconds(600);
    assert_false(cs_pulse_due(W->lane));
    one_batch();
    assert_int_equal(W->whoamis + W->pc_probes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_silent_crm_is_asked_now_and_then),
        UNIT_TEST(test_crm_that_answers_anything_is_not_asked),
        UNIT_TEST(test_one_that_asked_to_be_left_alone_is),
        UNIT_TEST(test_crm_that_is_gone_is_named_within_a_minute),
        UNIT_TEST(test_one_lost_answer_is_no_outage),
        UNIT_TEST(test_crm_that_refuses_us_is_suspended),
        UNIT_TEST(test_doubt_is_settled_by_the_pulse),
        UNIT_TEST(test_nothing_is_asked_where_that_is_not_wanted),
    };

    if (clock_setup()) {
        return 2;
    }
    clock_hold();
    return UNIT_RUN(tests);
}
