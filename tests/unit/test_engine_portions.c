/* A batch whose cards are fetched in portions, and what is left of it when it ends early or its transaction does. */
#include "unit_engine.h"

#include "mod_cosell/engine/ahead.h"

static referral_t *microsoft;
static int shown_at;

/* Microsoft's card appears when so many cards were asked for. */
static void appears(void)
{
    if (W->gets >= shown_at) {
        microsoft->hidden = 0;
        return;
    }
    W->meanwhile = appears;
}

static void two_names_of_an_engagement(apr_pool_t *p, double rate)
{
    referral_t *own;
    int i;

    new_world(p);
    begin_lane();
    W->pc_upstream.rate = rate;
    own = new_referral();
    microsoft = new_referral_of("msft", own->engagement);
    microsoft->hidden = 404;
    notify(own);
    for (i = 0; i < 5; i++) {
        notify(new_referral());
    }
    notify(microsoft);
    shown_at = 6;
    W->meanwhile = appears;
    W->gets = 0;
    work();
    assert_non_null(deal_of(microsoft));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* The later name's notice is covered by what was listed for it. */
static void test_card_that_appears_between_portions(void **state)
{
    two_names_of_an_engagement(*state, 0);
    two_names_of_an_engagement(*state, 2);
}

static void list_all(cs_pc_page_t *page, apr_pool_t *p)
{
    int i;

    for (i = 0; i < W->referrals; i++) {
        cs_card_t *card = card_of(&W->referral[i], p);
        card->updated -= i;
        APR_ARRAY_PUSH(page->cards, cs_card_t *) = card;
    }
    page->next = NULL;
}

static void lose_the_lease(void)
{
    W->lane->lease.epoch += 7;
}

/* One batch as the runner takes it; 1 = another one should follow. */
static int batch_or_lost_lease(void)
{
    cs_result_t res = {0};
    const char *node;
    int more = 0;

    assert_ok(cs_store_node(W->lane->store, &node, W->p, &res));
    if (!cs_lane_leased(W->lane)) {
        assert_ok(cs_lane_lease_take(W->lane, W->lane->store, node, W->p, &res));
    }
    if (cs_look_batch(W->lane, &more, W->p, &res) != APR_SUCCESS) {
        cs_lane_lease_drop(W->lane);
        return 1;
    }
    return more;
}

/* The rows are written, and the lease is gone when that is to be stored: nothing of it is skipped by those who repeat it. */
static void test_resync_repeats_what_was_not_stored(void **state)
{
    apr_pool_t *p = *state;
    const cs_deal_t *deal;
    int batches = 0;

    new_world(p);
    W->list_changed = list_all;
    live_with(10);
    set_member(&W->referral[5], "/name", "'Renamed 5'");
    ask_for("resync", "{'all':true}");
    W->meanwhile_write = lose_the_lease;
    while (batch_or_lost_lease()) {
        assert_true(++batches < 50);
    }
    assert_null(W->meanwhile_write);
    deal = deal_of(&W->referral[5]);
    assert_null(deal->intent);
    assert_has(cs_json_print(deal->images, p), "Renamed 5");
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* Two at once, half a minute each, and no answer: the lane is free again after one portion, and the breaker opens. */
static void test_partner_center_that_hangs_holds_no_lane(void **state)
{
    apr_pool_t *p = *state;
    apr_time_t began;
    int i, batches = 0;

    new_world(p);
    begin_lane();
    W->pc_upstream.rate = 2;
    W->pc_upstream.concurrency = 2;
    for (i = 0; i < 40; i++) {
        notify(new_referral());
    }
    W->pc_fails = CS_CLASS_UNKNOWN;
    W->pc_takes = 15000;
    W->gets = 0;
    began = cs_time_now();
    one_batch();
    assert_true(W->gets <= 6);
    assert_true(cs_time_now() - began <= apr_time_from_sec(121));
    while (!cs_breaker_open(W->lane, CS_UPSTREAM_PC)) {
        one_batch();
        assert_true(++batches < 4);
    }
    for (i = 0; i < 40; i++) {
        cs_work_t *named = NULL;
        assert_ok(cs_store_work_named(W->store, SITE, CS_WORK_LOOK, apr_pstrcat(p, "pc:", W->referral[i].id, NULL), &named, p, NULL));
        assert_non_null(named);
        assert_true(named->attempts <= 1);
    }
    W->pc_fails = CS_CLASS_OK;
    W->pc_takes = 0;
    pass_seconds(301);
    work();
    assert_int_equal(count_rows("opportunity"), 40);
}

static void pause_it(void)
{
    ask_for("pause", "{}");
}

/* What was done for an account's notice is stored with the batch that somebody's wish ends. */
static void test_names_that_are_over_are_not_met_twice(void **state)
{
    apr_pool_t *p = *state;
    const char *account = NULL, *crm = NULL;
    cs_work_t *named = NULL;
    int i;

    new_world(p);
    live_with(3);
    for (i = 0; i < W->rows->nelts; i++) {
        const row_t *row = &APR_ARRAY_IDX(W->rows, i, row_t);
        if (!strcmp(row->table, "account")) {
            account = row->id;
            crm = row->crm;
        }
    }
    W->pc_upstream.rate = 2;
    for (i = 0; i < 12; i++) {
        notify(new_referral());
    }
    notify_row(crm, account, 0);
    W->gets = 0;
    W->meanwhile = pause_it;
    one_batch();
    assert_true(W->gets < 12);
    assert_ok(cs_store_work_named(W->store, SITE, CS_WORK_LOOK, apr_pstrcat(p, crm, ":", account, NULL), &named, p, NULL));
    assert_true(!named || named->wanted == named->done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_card_that_appears_between_portions),
        UNIT_TEST(test_resync_repeats_what_was_not_stored),
        UNIT_TEST(test_partner_center_that_hangs_holds_no_lane),
        UNIT_TEST(test_names_that_are_over_are_not_met_twice),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
