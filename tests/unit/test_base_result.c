#include "unit.h"

#include <errno.h>
#include <pthread.h>

#include "mod_cosell/base/counter.h"
#include "mod_cosell/base/pool.h"
#include "mod_cosell/base/result.h"

static void test_result_set_formats_and_resets(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t res;

    memset(&res, 0xAA, sizeof(res));
    assert_int_equal(cs_result_set(&res, p, CS_EREMOTE, CS_CLASS_DATA, "dataverse:0x1", "field %s: %d",
                                   "x", 7), CS_EREMOTE);
    assert_int_equal(res.rv, CS_EREMOTE);
    assert_int_equal(res.cls, CS_CLASS_DATA);
    assert_string_equal(res.problem, "dataverse:0x1");
    assert_string_equal(res.detail, "field x: 7");
    assert_null(res.correlation);
    assert_int_equal(res.retry_at, 0);
    assert_int_equal(cs_result_set(NULL, p, APR_EINVAL, CS_CLASS_DATA, "x", "%d", 1), APR_EINVAL);
    cs_result_clear(&res);
    assert_int_equal(res.rv, 0);
    assert_null(res.detail);
    cs_result_clear(NULL);
}

static void test_result_copy_is_deep(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t from, to;
    apr_pool_t *sub;

    assert_ok(apr_pool_create(&sub, p));
    cs_result_set(&from, sub, CS_ESTALE, CS_CLASS_CONFLICT, apr_pstrdup(sub, "word"), "why");
    from.correlation = apr_pstrdup(sub, "id-1");
    from.retry_at = 42;
    cs_result_copy(&to, &from, p);
    apr_pool_destroy(sub);
    assert_string_equal(to.problem, "word");
    assert_string_equal(to.detail, "why");
    assert_string_equal(to.correlation, "id-1");
    assert_int_equal(to.retry_at, 42);
    assert_int_equal(to.cls, CS_CLASS_CONFLICT);
}

static void test_class_names_are_inverse(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < CS_CLASS_COUNT; i++) {
        assert_int_equal(cs_class_of_name(cs_class_name((cs_class_e)i)), i);
    }
    assert_string_equal(cs_class_name(CS_CLASS_THROTTLED), "throttled");
    assert_string_equal(cs_class_name((cs_class_e)99), "unknown");
    assert_int_equal(cs_class_of_name(NULL), CS_CLASS_OK);
    assert_int_equal(cs_class_of_name("nonsense"), CS_CLASS_RETRY);
}

static void test_strerror_knows_every_own_status(void **state)
{
    char buf[160], apr[160];
    apr_status_t rv;

    (void)state;
    for (rv = CS_ELEASE; rv <= CS_EREMOTE; rv++) {
        apr_strerror(rv, apr, sizeof(apr));
        assert_string_not_equal(cs_strerror(rv, buf, sizeof(buf)), apr);
        assert_true(strlen(buf) > 5);
    }
    assert_string_equal(cs_strerror(ENOENT, buf, sizeof(buf)), strerror(ENOENT));
    cs_strerror(CS_EFULL, buf, 4);
    assert_int_equal(strlen(buf), 3);
}

static apr_status_t note_pool(void *baton, apr_pool_t *ptemp)
{
    *(apr_pool_t **)baton = ptemp;
    assert_non_null(apr_palloc(ptemp, 100));
    return CS_ESTALE;
}

static void test_pool_do_returns_the_status(void **state)
{
    apr_pool_t *seen = NULL;

    assert_int_equal(cs_pool_do(note_pool, &seen, *state, "unit"), CS_ESTALE);
    assert_non_null(seen);
}

static void test_pool_own_has_its_own_allocator(void **state)
{
    apr_pool_t *p = *state, *own, *other;

    assert_ok(cs_pool_create_own(&own, p, 0, "own"));
    assert_ok(cs_pool_create_own(&other, NULL, 1, "other"));
    assert_ptr_not_equal(apr_pool_allocator_get(own), apr_pool_allocator_get(p));
    assert_ptr_not_equal(apr_pool_allocator_get(own), apr_pool_allocator_get(other));
    assert_ptr_equal(apr_pool_parent_get(own), p);
    assert_null(apr_pool_parent_get(other));
    assert_null(apr_allocator_mutex_get(apr_pool_allocator_get(own)));
    assert_non_null(apr_allocator_mutex_get(apr_pool_allocator_get(other)));
    apr_pool_destroy(other);
    apr_pool_destroy(own);
}

static void *churn(void *shared)
{
    apr_pool_t *sub;
    int i;

    for (i = 0; i < 500; i++) {
        if (apr_pool_create(&sub, shared) != APR_SUCCESS) {
            return "create";
        }
        memset(apr_palloc(sub, 9000), i, 9000);
        apr_pool_destroy(sub);
    }
    return NULL;
}

static void test_pool_shared_serves_many_threads(void **state)
{
    pthread_t threads[4];
    apr_pool_t *shared;
    void *bad;
    int i;

    (void)state;
    assert_ok(cs_pool_create_own(&shared, NULL, 1, "shared"));
    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, shared), 0);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    apr_pool_destroy(shared);
}

static void *count_often(void *unused)
{
    int i;

    for (i = 0; i < 10000; i++) {
        cs_count(CS_COUNT_ACCEPTED, 1);
    }
    return unused;
}

static void test_counters_add_up_and_move(void **state)
{
    static cs_counters_t shared;
    pthread_t threads[4];
    apr_uint64_t before = cs_counter_get(CS_COUNT_LOOKS);
    int i;

    (void)state;
    cs_count(CS_COUNT_LOOKS, 3);
    assert_int_equal(cs_counter_get(CS_COUNT_LOOKS), before + 3);
    cs_counters_use(&shared);
    assert_int_equal(cs_counter_get(CS_COUNT_LOOKS), 0);
    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_often, NULL), 0);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(cs_counter_get(CS_COUNT_ACCEPTED), 40000);
    assert_int_equal(atomic_load(&shared.value[CS_COUNT_ACCEPTED]), 40000);
    cs_counters_use(NULL);
    assert_int_equal(cs_counter_get(CS_COUNT_LOOKS), before + 3);
}

static void test_counters_have_names_and_texts(void **state)
{
    int i, k;

    (void)state;
    for (i = 0; i < CS_COUNT_MAX; i++) {
        assert_true(strlen(cs_counter_name((cs_counter_e)i)) > 2);
        assert_true(strlen(cs_counter_text((cs_counter_e)i)) > 10);
        for (k = 0; k < i; k++) {
            assert_string_not_equal(cs_counter_name((cs_counter_e)i), cs_counter_name((cs_counter_e)k));
        }
    }
    assert_string_equal(cs_counter_name(CS_COUNT_REJECTED_401), "rejected_401");
    assert_null(cs_counter_name(CS_COUNT_MAX));
    assert_null(cs_counter_text(CS_COUNT_MAX));
    assert_int_equal(cs_counter_get(CS_COUNT_MAX), 0);
    cs_count(CS_COUNT_MAX, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_result_set_formats_and_resets),
        UNIT_TEST(test_result_copy_is_deep),
        UNIT_TEST(test_class_names_are_inverse),
        UNIT_TEST(test_strerror_knows_every_own_status),
        UNIT_TEST(test_pool_do_returns_the_status),
        UNIT_TEST(test_pool_own_has_its_own_allocator),
        UNIT_TEST(test_pool_shared_serves_many_threads),
        UNIT_TEST(test_counters_add_up_and_move),
        UNIT_TEST(test_counters_have_names_and_texts),
    };

    return UNIT_RUN(tests);
}
