#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "mod_cosell/base/crash.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/secret.h"
#include "mod_cosell/base/time.h"

static cs_secret_t *ref(const char *text, apr_pool_t *p)
{
    cs_secret_t *secret;
    const char *why = cs_secret_ref_parse(&secret, text, p);

    if (why) {
        fail_msg("%s", why);
    }
    return secret;
}

static void test_ref_form(void **state)
{
    static const char *const bad[] = { "file:", "file:relative", "file:/", "exec:", "exec:   ", "FILE:/x", "" };
    apr_pool_t *p = *state;
    cs_secret_t *secret;
    const char *why;
    apr_size_t i;

    assert_string_equal(ref("file:/etc/x", p)->ref, "file:/etc/x");
    assert_null(ref("exec:/bin/pass show x", p)->value);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why = cs_secret_ref_parse(&secret, bad[i], p);
        assert_null(secret);
        assert_has(why, "file:/absolute/path");
    }
    /* a literal must not be repeated into the error log */
    why = cs_secret_ref_parse(&secret, "hunter2hunter2", p);
    assert_has(why, "14 characters");
    assert_has_not(why, "hunter2");
    assert_non_null(cs_secret_ref_parse(&secret, NULL, p));
}

static apr_status_t load_file(cs_secret_t **psecret, const char *data, size_t len, apr_pool_t *p, cs_result_t *res)
{
    const char *path = unit_write(p, "secret", data, len);

    *psecret = ref(apr_pstrcat(p, "file:", path, NULL), p);
    return cs_secret_load(*psecret, p, res);
}

static void test_file_secret(void **state)
{
    apr_pool_t *p = *state;
    cs_secret_t *secret;
    cs_result_t res;
    char *big;

    assert_ok(load_file(&secret, "s3cret\n", 7, p, &res));
    assert_string_equal(secret->value, "s3cret");
    assert_int_equal(secret->len, 6);
    assert_string_equal(secret->digest, cs_sha256_hex("s3cret", 6, p));
    assert_ok(load_file(&secret, "s\r\n", 3, p, &res));
    assert_string_equal(secret->value, "s");
    assert_ok(load_file(&secret, "s\n\n", 3, p, &res));
    assert_string_equal(secret->value, "s\n");
    assert_ok(load_file(&secret, "a\0b", 3, p, &res));
    assert_int_equal(secret->len, 3);
    assert_int_equal(load_file(&secret, "", 0, p, &res), APR_EINVAL);
    assert_has(res.detail, "it is empty");
    assert_has(res.detail, secret->ref);
    assert_int_equal(res.cls, CS_CLASS_SUSPEND);
    assert_int_equal(load_file(&secret, "\n", 1, p, &res), APR_EINVAL);
    assert_null(secret->value);
    assert_string_equal(secret->digest, "");
    big = calloc(1, 65537);
    memset(big, 'x', 65537);
    assert_ok(load_file(&secret, big, 65536, p, &res));
    assert_int_equal(load_file(&secret, big, 65537, p, &res), CS_ELIMIT);
    assert_has_not(res.detail, "xxx");
    free(big);
}

static void test_file_secret_missing_or_odd(void **state)
{
    apr_pool_t *p = *state;
    const char *fifo = unit_path(p, "fifo");
    cs_result_t res;

    assert_int_equal(cs_secret_load(ref(apr_pstrcat(p, "file:", unit_path(p, "none"), NULL), p), p, &res), ENOENT);
    assert_has(res.detail, "No such file");
    assert_int_equal(cs_secret_load(ref(apr_pstrcat(p, "file:", unit_dir(p), NULL), p), p, &res), APR_EINVAL);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(cs_secret_load(ref(apr_pstrcat(p, "file:", fifo, NULL), p), p, &res), APR_EINVAL);
    assert_has(res.detail, "not a regular file");
    assert_int_equal(cs_secret_load(ref("file:/none", p), p, NULL), ENOENT);
}

static void test_secret_is_wiped(void **state)
{
    apr_pool_t *p = *state, *sub;
    cs_secret_t *secret;
    const char *value;

    assert_ok(load_file(&secret, "abcdef", 6, p, NULL));
    value = secret->value;
    cs_secret_forget(secret);
    assert_memory_equal(value, "\0\0\0\0\0\0", 6);
    assert_null(secret->value);
    assert_string_equal(secret->digest, "");
    cs_secret_forget(secret);
    assert_ok(apr_pool_create(&sub, p));
    assert_ok(cs_secret_load(secret, sub, NULL));
    assert_string_equal(secret->value, "abcdef");
    cs_secret_forget(secret);
    apr_pool_destroy(sub);
}

static const char *script(apr_pool_t *p, const char *body)
{
    const char *text = apr_pstrcat(p, "#!/bin/sh\n", body, "\n", NULL);
    const char *path = unit_write(p, "helper", text, strlen(text));

    assert_int_equal(chmod(path, 0700), 0);
    return apr_pstrcat(p, "exec:", path, NULL);
}

static void test_command_secret(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t res;
    cs_secret_t *secret = ref(apr_pstrcat(p, script(p, "echo \"$#:$1:$2\""), "  a\t$HOME ", NULL), p);

    assert_ok(cs_secret_load(secret, p, &res));
    assert_string_equal(secret->value, "2:a:$HOME");
    secret = ref(script(p, "read x; echo \"[$x]\""), p);
    assert_ok(cs_secret_load(secret, p, &res));
    assert_string_equal(secret->value, "[]");
}

static void test_command_failures(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t res;

    assert_int_equal(cs_secret_load(ref(script(p, "echo leaked; exit 3"), p), p, &res), APR_EGENERAL);
    assert_has(res.detail, "exit status 3");
    assert_has_not(res.detail, "leaked");
    assert_int_equal(cs_secret_load(ref(script(p, "kill -TERM $$"), p), p, &res), APR_EGENERAL);
    assert_has(res.detail, "signal 15");
    assert_int_equal(cs_secret_load(ref(script(p, "exit 0"), p), p, &res), APR_EINVAL);
    assert_has(res.detail, "empty");
    assert_int_equal(cs_secret_load(ref(script(p, "exec head -c 70000 /dev/zero"), p), p, &res), APR_EGENERAL);
    assert_has(res.detail, "more than 65536 bytes");
    /* where spawning is emulated (memcheck) a command that cannot start shows as exit status 127 */
    if (cs_secret_load(ref("exec:/nonexistent/helper x", p), p, &res) != ENOENT) {
        assert_has(res.detail, "exit status 127");
    }
    assert_has(res.detail, "exec:/nonexistent/helper x");
}

/* The group ends with its leader: the grandchild that holds the pipe would otherwise hold us. */
static void test_command_is_ended_after_its_time(void **state)
{
    apr_pool_t *p = *state;
    apr_interval_time_t from = cs_time_mono(), took;
    cs_result_t res;

    assert_int_equal(cs_secret_load(ref(script(p, "sleep 60 & sleep 60"), p), p, &res), APR_EGENERAL);
    took = cs_time_mono() - from;
    assert_has(res.detail, "longer than 10 s");
    assert_true(took >= apr_time_from_sec(10) - 100000 && took < apr_time_from_sec(20));
}

/* Runs passages of two points in a child with COSELL_TEST_CRASH set; how it ended. */
static int crash_child(const char *env, int passages)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        setenv("COSELL_TEST_CRASH", env, 1);
        while (passages-- > 0) {
            CS_CRASH_POINT("other");
            CS_CRASH_POINT("here");
        }
        _exit(7);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_crash_point_kills_at_the_nth_passage(void **state)
{
    (void)state;
    assert_int_equal(crash_child("here:3", 3), -SIGKILL);
    assert_int_equal(crash_child("here:3", 2), 7);
    assert_int_equal(crash_child("here", 1), -SIGKILL);
    assert_int_equal(crash_child("nowhere:1", 5), 7);
    assert_int_equal(crash_child("here:0", 5), 7);
    assert_int_equal(crash_child("here:x", 5), 7);
    assert_int_equal(crash_child(":1", 5), 7);
    assert_int_equal(crash_child("", 5), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_ref_form),
        UNIT_TEST(test_file_secret),
        UNIT_TEST(test_file_secret_missing_or_odd),
        UNIT_TEST(test_secret_is_wiped),
        UNIT_TEST(test_command_secret),
        UNIT_TEST(test_command_failures),
        UNIT_TEST(test_command_is_ended_after_its_time),
        UNIT_TEST(test_crash_point_kills_at_the_nth_passage),
    };

    return UNIT_RUN(tests);
}
