/* What every unit test starts from: cmocka, a pool per test, a directory for files.
 *
 * A test is `static void test_x(void **state)` and takes its pool by `apr_pool_t *p = *state;`. List it with UNIT_TEST(test_x) and end
 * main with UNIT_RUN(tests). Files go to unit_path(p, "name"): below $CS_TEST_DIR, else ./build/tmp, a directory of this process alone.
 */
#ifndef CS_TESTS_UNIT_H
#define CS_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_pools.h>
#include <apr_strings.h>

#include "mod_cosell/base/result.h"

static inline int unit_setup(void **state)
{
    apr_pool_t *p;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS) {
        return -1;
    }
    *state = p;
    return 0;
}

static inline int unit_teardown(void **state)
{
    apr_pool_destroy(*state);
    return 0;
}

static inline apr_status_t unit_pool_end(void *apart)
{
    apr_pool_destroy(apart);
    return APR_SUCCESS;
}

/* A pool for another thread, which shares nothing with p and ends with it. */
static inline apr_pool_t *unit_pool_apart(apr_pool_t *p)
{
    apr_pool_t *apart;

    if (apr_pool_create_unmanaged_ex(&apart, NULL, NULL) != APR_SUCCESS) {
        fail_msg("no memory for a pool");
    }
    apr_pool_cleanup_register(p, apart, unit_pool_end, apr_pool_cleanup_null);
    return apart;
}

#define UNIT_TEST(name) cmocka_unit_test_setup_teardown(name, unit_setup, unit_teardown)

/* The directory of this process; made at the first call. */
static inline const char *unit_dir(apr_pool_t *p)
{
    const char *base = getenv("CS_TEST_DIR");
    const char *dir = apr_psprintf(p, "%s/unit.%ld", base ? base : "./build/tmp", (long)getpid());
    char *full;

    if (apr_dir_make_recursive(dir, APR_FPROT_OS_DEFAULT, p) != APR_SUCCESS
        || !(full = realpath(dir, NULL))) {
        fprintf(stderr, "could not make \"%s\"\n", dir);
        exit(2);
    }
    dir = apr_pstrdup(p, full);
    free(full);
    return dir;
}

static inline const char *unit_path(apr_pool_t *p, const char *name)
{
    return apr_pstrcat(p, unit_dir(p), "/", name, NULL);
}

/* Writes a whole file and returns its path. */
static inline const char *unit_write(apr_pool_t *p, const char *name, const void *data, size_t len)
{
    const char *path = unit_path(p, name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    return path;
}

/* Bytes on the heap without a NUL after them, so that a sanitizer sees every overread. */
static inline void *unit_exact(const void *data, size_t len)
{
    void *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static inline void unit_remove_dir(void)
{
    apr_finfo_t info;
    apr_pool_t *p;
    apr_dir_t *dir;
    const char *path;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS) {
        return;
    }
    path = unit_dir(p);
    if (apr_dir_open(&dir, path, p) == APR_SUCCESS) {
        while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
            if (strcmp(info.name, ".") && strcmp(info.name, "..")) {
                apr_file_remove(apr_pstrcat(p, path, "/", info.name, NULL), p);
            }
        }
        apr_dir_close(dir);
    }
    apr_dir_remove(path, p);
    apr_pool_destroy(p);
}

static inline int unit_finish(int failed)
{
    unit_remove_dir();
    apr_terminate();
    return failed;
}

#define UNIT_RUN(tests) \
    (apr_initialize() != APR_SUCCESS ? 2 : unit_finish(cmocka_run_group_tests(tests, NULL, NULL)))

#define assert_ok(call) assert_int_equal((call), APR_SUCCESS)
/* text contains part */
#define assert_has(text, part) \
    do { \
        if (!(text) || !strstr((text), (part))) { \
            fail_msg("\"%s\" does not contain \"%s\"", (text) ? (text) : "(null)", (part)); \
        } \
    } while (0)
#define assert_has_not(text, part) \
    do { \
        if ((text) && strstr((text), (part))) { \
            fail_msg("\"%s\" contains \"%s\"", (text), (part)); \
        } \
    } while (0)

#endif
