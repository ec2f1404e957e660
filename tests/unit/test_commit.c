/* The group committer: everybody gets an outcome of their own, in time, whatever the disk does. */
#include "unit_store.h"

#include "unit_disk.h"

#include "mod_cosell/base/counter.h"
#include "mod_cosell/engine/commit.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LEAK_BEGIN() __lsan_disable()
#define LEAK_END() __lsan_enable()
#else
#define LEAK_BEGIN() ((void)0)
#define LEAK_END() ((void)0)
#endif

/* Of requests behind a commit that hangs; shipped are 2 s and 250 ms. */
#define PATIENCE apr_time_from_msec(1500)
#define SLOW apr_time_from_msec(200)
/* Of all others: a slow machine is no failure. */
#define LONG apr_time_from_sec(60)
#define BUDGET apr_time_from_sec(10)

typedef struct fixture_t {
    cs_store_config_t *store;
    cs_committer_config_t cfg;
    cs_committer_t *c;
    atomic_int committed;
    apr_int64_t base; /* deliveries when the test begins */
} fixture_t;

static void note_commit(void *baton)
{
    atomic_fetch_add((atomic_int *)baton, 1);
}

static fixture_t *start_with(apr_pool_t *p, int threads, apr_interval_time_t patience,
                             apr_interval_time_t slow)
{
    fixture_t *f = apr_pcalloc(p, sizeof(*f));
    cs_result_t res;

    captured_clear();
    disk_set(DISK_GOOD);
    f->store = make_state(p);
    f->cfg.store = f->store;
    f->cfg.threads = threads;
    f->cfg.patience = patience;
    f->cfg.slow = slow;
    f->cfg.committed = note_commit;
    f->cfg.baton = &f->committed;
    assert_ok(cs_committer_start(&f->c, &f->cfg, p, &res));
    return f;
}

static fixture_t *start(apr_pool_t *p, int threads)
{
    return start_with(p, threads, LONG, LONG);
}

static cs_store_counts_t stored(const fixture_t *f, apr_pool_t *p)
{
    return counts_of(open_store(f->store, CS_STORE_READER, p), NULL, p);
}

/* For the tests of a hang: open and warm, so that only the hang is slow. */
static fixture_t *start_warm(apr_pool_t *p, int threads)
{
    fixture_t *f = start_with(p, threads, PATIENCE, SLOW);
    cs_result_t res;

    WAIT_UNTIL(cs_committer_submit(f->c, make_notice(p, "pc:warm", T0), p, &res) == APR_SUCCESS);
    f->base = stored(f, p).deliveries;
    return f;
}

static void submit_ok(fixture_t *f, const cs_notice_t *n, apr_pool_t *p)
{
    cs_result_t res;

    if (cs_committer_submit(f->c, n, p, &res)) {
        fail_msg("%s", res.detail);
    }
}

/* ---- request threads ---- */

typedef struct request_t {
    pthread_t thread;
    fixture_t *f;
    const char *name;
    int bad; /* a notice that no store takes */
    int rounds;
    apr_status_t rv;
    apr_interval_time_t took; /* by the last one */
    char detail[200];
    atomic_int over;
} request_t;

static void *run_request(void *baton)
{
    request_t *r = baton;
    apr_interval_time_t began;
    apr_pool_t *p;
    cs_result_t res;
    cs_notice_t *n;
    int i;

    for (i = 0; i < r->rounds && r->rv == APR_SUCCESS; i++) {
        /* As a request's pool: its memory is gone as soon as the answer is known. */
        apr_pool_create_unmanaged_ex(&p, NULL, NULL);
        n = make_notice(p, apr_pstrdup(p, r->name), T0);
        n->site = r->bad ? NULL : SITE;
        began = cs_time_mono();
        cs_result_clear(&res);
        r->rv = cs_committer_submit(r->f->c, n, p, &res);
        r->took = cs_time_mono() - began;
        apr_cpystrn(r->detail, res.detail ? res.detail : "", sizeof(r->detail));
        apr_pool_destroy(p);
    }
    atomic_store(&r->over, 1);
    return NULL;
}

static request_t *begin_requests(fixture_t *f, int count, int rounds, apr_pool_t *p)
{
    request_t *r = apr_pcalloc(p, sizeof(*r) * (size_t)count);
    int i;

    for (i = 0; i < count; i++) {
        r[i].f = f;
        r[i].name = apr_psprintf(p, "pc:%d", i);
        r[i].rounds = rounds;
        assert_int_equal(pthread_create(&r[i].thread, NULL, run_request, &r[i]), 0);
    }
    return r;
}

static void end_requests(request_t *r, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        pthread_join(r[i].thread, NULL);
    }
}

static int count_over(request_t *r, int count)
{
    int i, n = 0;

    for (i = 0; i < count; i++) {
        n += atomic_load(&r[i].over);
    }
    return n;
}

/* ---- when all is well ---- */

static void test_submitted_is_durable(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 4);
    const char *why;

    submit_ok(f, make_notice(p, "pc:a", T0), p);
    assert_int_equal(stored(f, p).deliveries, 1);
    assert_true(atomic_load(&disk_syncs) > 0);
    assert_false(cs_committer_troubled(f->c, &why, p));
    assert_null(why);
    WAIT_UNTIL(atomic_load(&f->committed) == 1);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_many_requests_share_commits(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 32);
    apr_uint64_t groups = cs_counter_get(CS_COUNT_GROUPS);
    request_t *r = begin_requests(f, 32, 50, p);
    int i;

    end_requests(r, 32);
    for (i = 0; i < 32; i++) {
        assert_int_equal(r[i].rv, APR_SUCCESS);
    }
    assert_int_equal(stored(f, p).deliveries, 32 * 50);
    assert_int_equal(stored(f, p).outstanding, 32);
    groups = cs_counter_get(CS_COUNT_GROUPS) - groups;
    assert_true(groups < 32 * 50 / 2);
    assert_ok(cs_committer_stop(f->c, BUDGET));
    assert_int_equal(atomic_load(&f->committed), groups);
    assert_int_equal(captured_lines(CS_LOG_ERR), 0);
    assert_int_equal(captured_lines(CS_LOG_NOTICE), 0);
}

static void test_large_notices_are_stored_too(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 8);
    cs_notice_t *n = make_notice(p, NULL, T0);
    char *body = apr_palloc(p, 3 * 1024 * 1024);
    int i;

    memset(body, 'x', 3 * 1024 * 1024 - 1);
    body[3 * 1024 * 1024 - 1] = '\0';
    n->body = body;
    for (i = 0; i < 100; i++) {
        APR_ARRAY_PUSH(n->names, const char *) = apr_psprintf(p, "sf:%d", i);
    }
    submit_ok(f, n, p);
    assert_int_equal(stored(f, p).outstanding, 100);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

/* ---- one's own outcome ---- */

static void test_a_bad_notice_fails_alone(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 16);
    request_t *r, group[8];
    int i, n = 8;

    submit_ok(f, make_notice(p, "pc:first", T0), p);
    /* While one sync hangs the others gather in one group. */
    disk_set(DISK_HANGS);
    r = begin_requests(f, 1, 1, p);
    WAIT_UNTIL(atomic_load(&disk_hanging) == 1);
    memset(group, 0, sizeof(group));
    for (i = 0; i < n; i++) {
        group[i].f = f;
        group[i].name = apr_psprintf(p, "pc:%d", i);
        group[i].bad = i == 3;
        group[i].rounds = 1;
        assert_int_equal(pthread_create(&group[i].thread, NULL, run_request, &group[i]), 0);
    }
    WAIT_UNTIL(cs_committer_waiting(f->c) == 1 + n);
    disk_set(DISK_GOOD);
    end_requests(r, 1);
    end_requests(group, n);
    for (i = 0; i < n; i++) {
        assert_int_equal(group[i].rv, i == 3 ? APR_EINVAL : APR_SUCCESS);
    }
    assert_has(group[3].detail, "without site");
    assert_int_equal(stored(f, p).deliveries, 1 + 1 + n - 1);
    /* Nothing is wrong with the machine. */
    assert_int_equal(captured_lines(CS_LOG_ERR), 0);
    assert_int_equal(captured_lines(CS_LOG_INFO), 1);
    assert_false(cs_committer_troubled(f->c, NULL, p));
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_a_fault_is_told_logged_once_and_passes(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 4);
    apr_uint64_t errors = cs_counter_get(CS_COUNT_STORE_ERRORS);
    const char *why;
    cs_result_t res;
    int i;

    submit_ok(f, make_notice(p, "pc:a", T0), p);
    disk_set(DISK_FULL);
    for (i = 0; i < 3; i++) {
        assert_int_equal(cs_committer_submit(f->c, make_notice(p, "pc:a", T0), p, &res), CS_EFULL);
        assert_has(res.detail, "cosell.db");
    }
    assert_int_equal(cs_counter_get(CS_COUNT_STORE_ERRORS) - errors, 3);
    assert_true(cs_committer_troubled(f->c, &why, p));
    assert_has(why, "no space");
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_has(captured.last[CS_LOG_ERR], "could not store 1 callbacks: ");
    disk_set(DISK_BROKEN);
    assert_int_equal(cs_committer_submit(f->c, make_notice(p, "pc:a", T0), p, &res), CS_EIO);
    assert_int_equal(captured_lines(CS_LOG_ERR), 2);
    disk_set(DISK_GOOD);
    submit_ok(f, make_notice(p, "pc:a", T0), p);
    assert_false(cs_committer_troubled(f->c, NULL, p));
    WAIT_UNTIL(captured_lines(CS_LOG_NOTICE) == 1);
    assert_int_equal(stored(f, p).deliveries, 2);
    assert_ok(cs_committer_stop(f->c, BUDGET));
    assert_int_equal(captured_lines(CS_LOG_ERR), 2);
}

static void test_a_missing_store_comes_back(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 4);
    const char *db = in_state(f->store, "cosell.db", p), *away = in_state(f->store, "away", p);
    cs_result_t res;

    submit_ok(f, make_notice(p, "pc:a", T0), p);
    assert_int_equal(rename(db, away), 0);
    assert_int_equal(cs_committer_submit(f->c, make_notice(p, "pc:a", T0), p, &res), CS_EMISSING);
    assert_int_equal(cs_committer_submit(f->c, make_notice(p, "pc:a", T0), p, &res), CS_EMISSING);
    assert_int_equal(rename(away, db), 0);
    submit_ok(f, make_notice(p, "pc:a", T0), p);
    assert_int_equal(stored(f, p).deliveries, 2);
    WAIT_UNTIL(captured_lines(CS_LOG_NOTICE) == 1);
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_a_store_that_is_bad_at_the_start_is_said_at_once(void **state)
{
    apr_pool_t *p = *state;
    cs_committer_config_t cfg;
    cs_store_config_t *store = make_state(p);
    cs_committer_t *c;
    cs_result_t res;

    write_file(in_state(store, "cosell.db", p), "nonsense", 8);
    memset(&cfg, 0, sizeof(cfg));
    cfg.store = store;
    cfg.threads = 4;
    cfg.patience = PATIENCE;
    cfg.slow = SLOW;
    captured_clear();
    assert_ok(cs_committer_start(&c, &cfg, p, &res));
    WAIT_UNTIL(captured_lines(CS_LOG_ERR) == 1);
    assert_true(cs_committer_troubled(c, NULL, p));
    assert_int_equal(cs_committer_submit(c, make_notice(p, "pc:a", T0), p, &res), CS_ECORRUPT);
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_ok(cs_committer_stop(c, BUDGET));
    store->kind = "other";
    assert_int_not_equal(cs_committer_start(&c, &cfg, p, &res), APR_SUCCESS);
    assert_null(c);
}

/* ---- a disk that hangs ---- */

static void test_a_hung_sync_does_not_hold_the_request(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start_warm(p, 4);
    request_t *r;

    disk_set(DISK_HANGS);
    r = begin_requests(f, 1, 1, p);
    end_requests(r, 1);
    assert_int_equal(r->rv, CS_ENOTDURABLE);
    assert_true(r->took >= PATIENCE && r->took < PATIENCE + SEC);
    assert_has(r->detail, "in time");
    assert_true(cs_committer_troubled(f->c, NULL, p));
    /* Its memory is gone; what the committer holds is its own. */
    disk_set(DISK_GOOD);
    WAIT_UNTIL(stored(f, p).deliveries == f->base + 1);
    WAIT_UNTIL(!cs_committer_troubled(f->c, NULL, p));
    submit_ok(f, make_notice(p, "pc:a", T0), p);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_a_hung_sync_leaves_threads_for_the_server(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start_warm(p, 16);
    int i, quick = 0, slow = 0;
    apr_interval_time_t began;
    cs_result_t res;
    request_t *r;

    disk_set(DISK_HANGS);
    r = begin_requests(f, 16, 1, p);
    /* A quarter may wait; the others are let go long before their patience ends. */
    WAIT_UNTIL(count_over(r, 16) >= 12);
    began = cs_time_mono();
    assert_int_equal(cs_committer_submit(f->c, make_notice(p, "pc:late", T0), p, &res),
                     CS_ENOTDURABLE);
    assert_true(cs_time_mono() - began < PATIENCE);
    assert_has(res.detail, "enough requests wait");
    end_requests(r, 16);
    for (i = 0; i < 16; i++) {
        assert_int_equal(r[i].rv, CS_ENOTDURABLE);
        quick += r[i].took < PATIENCE;
        slow += r[i].took >= PATIENCE;
    }
    assert_int_equal(quick, 12);
    assert_int_equal(slow, 4);
    disk_set(DISK_GOOD);
    WAIT_UNTIL(!cs_committer_troubled(f->c, NULL, p));
    submit_ok(f, make_notice(p, "pc:a", T0), p);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_one_may_always_wait(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start_with(p, 1, LONG, SLOW);
    request_t *r;

    submit_ok(f, make_notice(p, "pc:warm", T0), p);
    disk_set(DISK_HANGS);
    r = begin_requests(f, 1, 1, p);
    WAIT_UNTIL(atomic_load(&disk_hanging) == 1);
    apr_sleep(2 * SLOW);
    assert_int_equal(atomic_load(&r->over), 0);
    disk_set(DISK_GOOD);
    end_requests(r, 1);
    assert_int_equal(r->rv, APR_SUCCESS);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_who_left_before_the_commit_is_not_stored(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start_warm(p, 64);
    request_t *hung, *queued;

    disk_set(DISK_HANGS);
    hung = begin_requests(f, 1, 1, p);
    WAIT_UNTIL(atomic_load(&disk_hanging) == 1);
    queued = begin_requests(f, 3, 1, p);
    end_requests(hung, 1);
    end_requests(queued, 3);
    assert_int_equal(queued[0].rv, CS_ENOTDURABLE);
    disk_set(DISK_GOOD);
    submit_ok(f, make_notice(p, "pc:next", T0), p);
    /* the hung one and the next */
    assert_int_equal(stored(f, p).deliveries, f->base + 2);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_a_lock_held_by_another_process_ends_in_time(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start_warm(p, 4);
    cs_result_t res;
    holder_t h;

    h = holder_start(in_state(f->store, "store.lock", p));
    assert_int_not_equal(cs_committer_submit(f->c, make_notice(p, "pc:a", T0), p, &res),
                         APR_SUCCESS);
    assert_true(cs_committer_troubled(f->c, NULL, p));
    holder_stop(&h);
    WAIT_UNTIL(cs_committer_submit(f->c, make_notice(p, "pc:a", T0), p, &res) == APR_SUCCESS);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

/* ---- stopping ---- */

static void test_stop_writes_what_waits(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 64);
    request_t *r;
    int i;

    submit_ok(f, make_notice(p, "pc:warm", T0), p);
    disk_set(DISK_HANGS);
    r = begin_requests(f, 8, 1, p);
    WAIT_UNTIL(atomic_load(&disk_hanging) == 1);
    WAIT_UNTIL(cs_committer_waiting(f->c) == 8);
    disk_set(DISK_GOOD);
    assert_ok(cs_committer_stop(f->c, BUDGET));
    end_requests(r, 8);
    for (i = 0; i < 8; i++) {
        assert_int_equal(r[i].rv, APR_SUCCESS);
    }
    assert_int_equal(stored(f, p).deliveries, 9);
}

static void test_stop_does_not_wait_for_a_hung_disk(void **state)
{
    apr_pool_t *p = *state;
    apr_interval_time_t began;
    request_t *r;
    fixture_t *f;

    /* Left behind on purpose. */
    LEAK_BEGIN();
    f = start_warm(p, 4);
    LEAK_END();

    disk_set(DISK_HANGS);
    r = begin_requests(f, 1, 1, p);
    end_requests(r, 1);
    assert_int_equal(r->rv, CS_ENOTDURABLE);
    began = cs_time_mono();
    assert_int_equal(cs_committer_stop(f->c, SLOW), APR_TIMEUP);
    assert_true(cs_time_mono() - began < SLOW + SEC);
    disk_set(DISK_GOOD);
    WAIT_UNTIL(atomic_load(&disk_hanging) == 0);
    WAIT_UNTIL(stored(f, p).deliveries == f->base + 1);
}

/* Somebody is expected who never comes: each group waits half a millisecond, and a stop for nobody. */
static void test_who_never_comes_holds_up_nobody(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 8);
    apr_interval_time_t began, took, fastest = LONG;
    int i;

    cs_committer_expect(f->c);
    for (i = 0; i < 50; i++) {
        began = cs_time_mono();
        submit_ok(f, make_notice(p, "pc:a", T0), p);
        took = cs_time_mono() - began;
        fastest = took < fastest ? took : fastest;
    }
    assert_true(fastest < apr_time_from_msec(100));
    assert_int_equal(stored(f, p).deliveries, 50);
    assert_ok(cs_committer_stop(f->c, BUDGET));
}

static void test_stop_of_an_idle_committer_is_quick(void **state)
{
    apr_pool_t *p = *state;
    fixture_t *f = start(p, 4);
    apr_interval_time_t began;

    submit_ok(f, make_notice(p, "pc:a", T0), p);
    began = cs_time_mono();
    assert_ok(cs_committer_stop(f->c, BUDGET));
    assert_true(cs_time_mono() - began < SEC);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_submitted_is_durable),
        UNIT_TEST(test_many_requests_share_commits),
        UNIT_TEST(test_large_notices_are_stored_too),
        UNIT_TEST(test_a_bad_notice_fails_alone),
        UNIT_TEST(test_a_fault_is_told_logged_once_and_passes),
        UNIT_TEST(test_a_missing_store_comes_back),
        UNIT_TEST(test_a_store_that_is_bad_at_the_start_is_said_at_once),
        UNIT_TEST(test_a_hung_sync_does_not_hold_the_request),
        UNIT_TEST(test_a_hung_sync_leaves_threads_for_the_server),
        UNIT_TEST(test_one_may_always_wait),
        UNIT_TEST(test_who_left_before_the_commit_is_not_stored),
        UNIT_TEST(test_a_lock_held_by_another_process_ends_in_time),
        UNIT_TEST(test_stop_writes_what_waits),
        UNIT_TEST(test_stop_does_not_wait_for_a_hung_disk),
        UNIT_TEST(test_who_never_comes_holds_up_nobody),
        UNIT_TEST(test_stop_of_an_idle_committer_is_quick),
    };

    cs_log_set(capture_line, capture_all, &captured);
    if (disk_install() != SQLITE_OK) {
        return 2;
    }
    return UNIT_RUN(tests);
}
