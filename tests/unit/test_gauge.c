/* What shared memory says, while somebody writes it, and over reloads. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/base/counter.h"
#include "mod_cosell/base/gauge.h"
#include "mod_cosell/base/time.h"

static cs_gauges_t *fresh(apr_pool_t *p)
{
    cs_gauges_t *g = apr_pcalloc(p, sizeof(*g));

    cs_gauges_use(g);
    return g;
}

static void layout_of(int n, const char *const *names)
{
    cs_gauge_names_t sites[8];
    int i;

    memset(sites, 0, sizeof(sites));
    for (i = 0; i < n; i++) {
        sites[i].site = names[i];
        sites[i].n = 2;
        sites[i].upstreams[0] = "partner-center";
        sites[i].upstreams[1] = "sales";
    }
    cs_gauges_layout(sites, n);
}

static void test_names_survive_a_reload(void **state)
{
    static const char *const first[] = {"a", "b", "c"}, *const then[] = {"c", "d", "a"};
    int a, c, sales;

    fresh(*state);
    layout_of(3, first);
    a = cs_gauge_site("a");
    c = cs_gauge_site("c");
    sales = cs_gauge_upstream(a, "sales");
    assert_true(a >= 0 && c >= 0 && a != c && sales >= 0);
    cs_gauge_set(CS_GAUGE_BACKLOG, a, -1, 7);
    cs_gauge_set(CS_GAUGE_BACKLOG, c, -1, 9);
    cs_gauge_add(CS_GAUGE_HEARD, a, sales, 3);
    cs_call_count("a", "sales", CS_OUTCOME_CONFLICT);
    layout_of(3, then);
    assert_int_equal(cs_gauge_site("b"), -1);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BACKLOG, cs_gauge_site("a"), -1), 7);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BACKLOG, cs_gauge_site("c"), -1), 9);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BACKLOG, cs_gauge_site("d"), -1), CS_GAUGE_UNKNOWN);
    assert_int_equal(cs_gauge_get(CS_GAUGE_HEARD, cs_gauge_site("d"), 0), 0);
    assert_int_equal(cs_gauge_get(CS_GAUGE_HEARD, cs_gauge_site("a"), sales), 3);
    assert_int_equal(cs_call_get(cs_gauge_site("a"), sales, CS_OUTCOME_CONFLICT), 1);
    /* The place of one that went is another's, without what was measured. */
    layout_of(1, then);
    layout_of(2, first);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BACKLOG, cs_gauge_site("a"), -1), CS_GAUGE_UNKNOWN);
}

static void test_upstreams_come_and_go(void **state)
{
    cs_gauge_names_t site = {"a", 2, {"partner-center", "sales"}};
    int a, pc;

    fresh(*state);
    cs_gauges_layout(&site, 1);
    a = cs_gauge_site("a");
    pc = cs_gauge_upstream(a, "partner-center");
    cs_gauge_set(CS_GAUGE_BREAKER, a, pc, 1);
    cs_gauge_set(CS_GAUGE_BREAKER, a, cs_gauge_upstream(a, "sales"), 1);
    site.upstreams[0] = "other";
    site.upstreams[1] = "partner-center";
    cs_gauges_layout(&site, 1);
    assert_int_equal(cs_gauge_upstream(a, "sales"), -1);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BREAKER, a, cs_gauge_upstream(a, "partner-center")), 1);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BREAKER, a, cs_gauge_upstream(a, "other")), CS_GAUGE_UNKNOWN);
    assert_string_equal(cs_gauge_upstream_name(a, pc, *state), "partner-center");
}

static void test_more_than_there_is_room_for(void **state)
{
    apr_pool_t *p = *state;
    cs_gauge_names_t *sites = apr_pcalloc(p, sizeof(*sites) * 100);
    int i;

    fresh(p);
    for (i = 0; i < 100; i++) {
        sites[i].site = apr_psprintf(p, "site%d", i);
    }
    cs_gauges_layout(sites, 100);
    assert_true(cs_gauge_site("site63") >= 0);
    assert_int_equal(cs_gauge_site("site64"), -1);
    cs_gauge_set(CS_GAUGE_BACKLOG, cs_gauge_site("site64"), -1, 1);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BACKLOG, -1, -1), CS_GAUGE_UNKNOWN);
    assert_int_equal(cs_gauge_get(CS_GAUGE_BACKLOG, 9999, 9999), CS_GAUGE_UNKNOWN);
    cs_call_count("site64", "x", CS_OUTCOME_OK);
    cs_call_count(NULL, NULL, CS_OUTCOME_OK);
    assert_null(cs_gauge_site_name(64, p));
}

/* ---- alerts ---- */

static void publish(int n, int round)
{
    cs_alert_t alerts[CS_ALERTS_MAX + 10];
    const cs_alert_t *list[CS_ALERTS_MAX + 10];
    char texts[CS_ALERTS_MAX + 10][40];
    int i;

    for (i = 0; i < n; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%d of round %d and %d", i, round, round);
        alerts[i] = (cs_alert_t){i % 2 ? "a" : "", texts[i], CS_ALERT_WARNING, texts[i], texts[i], round};
        list[i] = &alerts[i];
    }
    cs_alerts_publish(list, n);
}

static void test_alerts_are_of_a_site(void **state)
{
    fresh(*state);
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 0);
    publish(10, 1);
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 10);
    assert_int_equal(cs_alerts_list("a", *state)->nelts, 10);
    assert_int_equal(cs_alerts_list("b", *state)->nelts, 5);
    publish(CS_ALERTS_MAX + 10, 2);
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, CS_ALERTS_MAX);
    publish(0, 3);
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 0);
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    apr_pool_t *p = *state;
    char *text = apr_pcalloc(p, 3001);
    cs_alert_t alert = {"a", "x", CS_ALERT_ERROR, text, text, 1}, *got;
    const cs_alert_t *list[1] = {&alert};
    apr_size_t i, len;

    fresh(p);
    for (i = 0; i < 3000; i += 3) {
        memcpy(text + i, "\xe2\x82\xac", 3);
    }
    cs_alerts_publish(list, 1);
    got = APR_ARRAY_IDX(cs_alerts_list(NULL, p), 0, cs_alert_t *);
    len = strlen(got->text);
    assert_true(len > 300 && len % 3 == 0);
    assert_int_equal(strlen(got->todo) % 3, 0);
}

static _Atomic int over;

static void *write_alerts(void *unused)
{
    int round;

    (void)unused;
    for (round = 1; round < 20000; round++) {
        publish(1 + round % 40, round);
        if (round % 7 == 0) {
            cs_memo_put(round % 2 ? "odd odd odd odd odd odd" : "even even even even even even even even");
        }
    }
    over = 1;
    return NULL;
}

/* All of one round, each whole. */
static void test_readers_see_whole_tables(void **state)
{
    pthread_t thread;
    int i, n = 0;

    fresh(*state);
    over = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_alerts, NULL), 0);
    while (!over) {
        apr_pool_t *p;
        apr_array_header_t *list;
        const char *memo;
        int round = 0;

        apr_pool_create(&p, *state);
        list = cs_alerts_list(NULL, p);
        for (i = 0; i < list->nelts; i++) {
            const cs_alert_t *alert = APR_ARRAY_IDX(list, i, const cs_alert_t *);
            round = i ? round : (int)alert->since;
            assert_int_equal(alert->since, round);
            assert_string_equal(alert->text, apr_psprintf(p, "%d of round %d and %d", i, round, round));
            assert_string_equal(alert->todo, alert->what);
            n++;
        }
        memo = cs_memo_get(p);
        assert_true(!memo || !strcmp(memo, "odd odd odd odd odd odd") || !strcmp(memo, "even even even even even even even even"));
        apr_pool_destroy(p);
    }
    pthread_join(thread, NULL);
    assert_true(n > 100);
}

/* A writer that dies in the middle leaves what was there. */
static void test_a_dead_writer(void **state)
{
    cs_gauges_t *g = fresh(*state);

    publish(3, 1);
    g->tables[!g->table].seq++;
    g->tables[!g->table].n = 60;
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 3);
    publish(4, 2);
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 4);
    publish(5, 3);
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 5);
}

static int has(apr_array_header_t *list, const char *what)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list, i, cs_alert_t *)->what, what)) {
            return 1;
        }
    }
    return 0;
}

static void test_readers_miss_the_runner(void **state)
{
    cs_gauges_t *g = fresh(*state);

    assert_false(cs_runner_is_alive());
    cs_runner_beat();
    cs_watch_beat();
    assert_true(cs_runner_is_alive());
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 0);
    g->beat = cs_time_mono() - apr_time_from_sec(20);
    assert_false(cs_runner_is_alive());
    assert_true(has(cs_alerts_list("a", *state), "runner"));
    cs_runner_beat();
    assert_int_equal(cs_alerts_list(NULL, *state)->nelts, 0);
    g->began = g->watched = cs_time_mono() - apr_time_from_sec(60);
    assert_true(has(cs_alerts_list(NULL, *state), "watch"));
}

static void test_trouble(void **state)
{
    cs_gauges_t *g = fresh(*state);
    apr_time_t at;

    assert_int_equal(cs_trouble_get(CS_TROUBLE_ACCEPT, &at), APR_SUCCESS);
    cs_trouble_note(CS_TROUBLE_ACCEPT, CS_EFULL);
    assert_int_equal(cs_trouble_get(CS_TROUBLE_ACCEPT, &at), CS_EFULL);
    assert_true(at <= cs_time_now() && cs_time_now() - at < apr_time_from_sec(5));
    assert_int_equal(cs_trouble_get(CS_TROUBLE_RUNNER, NULL), APR_SUCCESS);
    cs_trouble_note(CS_TROUBLE_ACCEPT, APR_SUCCESS);
    assert_int_equal(cs_trouble_get(CS_TROUBLE_ACCEPT, NULL), APR_SUCCESS);
    cs_trouble_note(CS_TROUBLE_ACCEPT, CS_EBUSY);
    g->trouble_at[CS_TROUBLE_ACCEPT] -= apr_time_from_sec(61);
    assert_int_equal(cs_trouble_get(CS_TROUBLE_ACCEPT, NULL), APR_SUCCESS);
}

/* ---- history ---- */

static void test_history(void **state)
{
    double values[CS_HISTORY_MINUTES];
    apr_time_t end, t = apr_time_from_sec(60 * 1000);
    int i;

    fresh(*state);
    cs_counters_use(apr_pcalloc(*state, sizeof(cs_counters_t)));
    cs_count(CS_COUNT_ACCEPTED, 100);
    cs_history_tick(t, 0);
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), 0);
    cs_count(CS_COUNT_ACCEPTED, 5);
    cs_count(CS_COUNT_NOTIFIED, 2);
    cs_lag_observe(CS_LAG_TO_CRM, apr_time_from_msec(1500));
    cs_history_tick(t + apr_time_from_sec(30), 3);
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), 0);
    cs_history_tick(t + apr_time_from_sec(60), 4);
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), 1);
    assert_true(values[0] == 7 && end == t + apr_time_from_sec(60));
    assert_int_equal(cs_history_read(CS_HISTORY_BACKLOG, values, &end), 1);
    assert_true(values[0] == 4);
    assert_int_equal(cs_history_read(CS_HISTORY_LAG, values, &end), 1);
    assert_true(values[0] > 1 && values[0] <= 2);
    /* Three minutes that nobody saw share what happened. */
    cs_count(CS_COUNT_ACCEPTED, 9);
    cs_history_tick(t + apr_time_from_sec(240), 0);
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), 4);
    assert_true(values[1] == 3 && values[2] == 3 && values[3] == 3);
    assert_int_equal(cs_history_read(CS_HISTORY_LAG, values, &end), 4);
    assert_true(values[1] == -1 && values[3] == -1);
    /* A clock that goes back makes no point, and nothing negative. */
    cs_history_tick(t, 0);
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), 4);
    for (i = 1; i < 500; i++) {
        cs_count(CS_COUNT_ACCEPTED, (apr_uint64_t)i);
        cs_history_tick(t + apr_time_from_sec(60 * i), 0);
    }
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), CS_HISTORY_MINUTES);
    assert_true(values[CS_HISTORY_MINUTES - 1] == 499 && values[0] == 499 - CS_HISTORY_MINUTES + 1);
    cs_history_tick(t + apr_time_from_sec(60 * 100000), 0);
    assert_int_equal(cs_history_read(CS_HISTORY_ACCEPTED, values, &end), CS_HISTORY_MINUTES);
    assert_string_equal(cs_history_name(CS_HISTORY_LAG), "lag");
}

static void test_accept_latency(void **state)
{
    cs_counters_use(apr_pcalloc(*state, sizeof(cs_counters_t)));
    cs_accept_observe(CS_ACCEPT_STORED, 500);
    cs_accept_observe(CS_ACCEPT_STORED, 1000);
    cs_accept_observe(CS_ACCEPT_STORED, apr_time_from_sec(9));
    cs_accept_observe(CS_ACCEPT_STORED, -5);
    assert_int_equal(cs_accept_get(CS_ACCEPT_STORED, 0), 3);
    assert_int_equal(cs_accept_get(CS_ACCEPT_STORED, CS_ACCEPT_BUCKETS - 2), 3);
    assert_int_equal(cs_accept_get(CS_ACCEPT_STORED, CS_ACCEPT_BUCKETS - 1), 4);
    assert_int_equal(cs_accept_sum(CS_ACCEPT_STORED), 9001500);
    assert_int_equal(cs_accept_get(CS_ACCEPT_UNAVAILABLE, CS_ACCEPT_BUCKETS - 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_names_survive_a_reload), UNIT_TEST(test_upstreams_come_and_go), UNIT_TEST(test_more_than_there_is_room_for),
        UNIT_TEST(test_alerts_are_of_a_site), UNIT_TEST(test_long_texts_are_cut_between_characters), UNIT_TEST(test_readers_see_whole_tables),
        UNIT_TEST(test_a_dead_writer), UNIT_TEST(test_readers_miss_the_runner), UNIT_TEST(test_trouble), UNIT_TEST(test_history),
        UNIT_TEST(test_accept_latency),
    };

    return UNIT_RUN(tests);
}
