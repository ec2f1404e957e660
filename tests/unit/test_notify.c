/* Who is told what, and when; and the program that is run for it. */
#include "unit.h"

#include <apr_thread_proc.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "mod_cosell/base/command.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/engine/notify.h"

#define SEC(n) apr_time_from_sec(n)
#define NOW SEC(1900000000)
#define EVERY SEC(86400)

typedef struct world_t {
    apr_pool_t *p;
    cs_notify_target_t target;
    cs_notify_state_t state;
    apr_array_header_t *alerts;
    apr_time_t now;
    int calls;
} world_t;

static world_t *quiet(apr_pool_t *p)
{
    world_t *w = apr_pcalloc(p, sizeof(*w));

    w->p = p;
    w->target.name = "exec:/bin/tell";
    w->target.every = EVERY;
    w->alerts = apr_array_make(p, 8, sizeof(cs_alert_t *));
    w->now = NOW;
    return w;
}

static cs_alert_t *add(world_t *w, const char *what, cs_alert_level_e level)
{
    cs_alert_t *alert = apr_pcalloc(w->p, sizeof(*alert));

    alert->site = "contoso";
    alert->what = what;
    alert->level = level;
    alert->text = apr_pstrcat(w->p, what, " is the case", NULL);
    alert->todo = "do something";
    alert->since = w->now;
    APR_ARRAY_PUSH(w->alerts, cs_alert_t *) = alert;
    return alert;
}

static void take_away(world_t *w)
{
    apr_array_pop(w->alerts);
}

/* One round; "" = nothing is told. */
static const char *round_of(world_t *w, int good)
{
    cs_notify_call_t call;
    const char *text;
    json_t *doc;

    cs_notify_next(&call, &w->state, &w->target, w->alerts, w->now);
    if (call.kind == CS_NOTIFY_NOTHING) {
        return "";
    }
    doc = cs_notify_document(&call, &w->state, &w->target, w->alerts, "host", "mod_cosell/1", w->now, w->p);
    text = apr_pstrcat(w->p, cs_json_str(doc, "event"), " ", cs_json_str(doc, "what") ? cs_json_str(doc, "what") : "-", NULL);
    cs_notify_done(&w->state, &call, &w->target, w->alerts, good, w->now, w->now);
    w->calls++;
    return text;
}

static void test_once_each(void **state)
{
    world_t *w = quiet(*state);
    cs_alert_t *alert;

    assert_string_equal(round_of(w, 1), "");
    alert = add(w, "dead", CS_ALERT_WARNING);
    assert_string_equal(round_of(w, 1), "alert dead");
    assert_string_equal(round_of(w, 1), "");
    alert->level = CS_ALERT_ERROR;
    assert_string_equal(round_of(w, 1), "alert dead");
    alert->level = CS_ALERT_WARNING;
    assert_string_equal(round_of(w, 1), "");
    take_away(w);
    assert_string_equal(round_of(w, 1), "recovery dead");
    assert_string_equal(round_of(w, 1), "");
}

static void test_errors_only(void **state)
{
    world_t *w = quiet(*state);
    cs_alert_t *alert;

    w->target.errors_only = 1;
    alert = add(w, "paused", CS_ALERT_WARNING);
    assert_string_equal(round_of(w, 1), "");
    alert->level = CS_ALERT_ERROR;
    assert_string_equal(round_of(w, 1), "alert paused");
    take_away(w);
    assert_string_equal(round_of(w, 1), "recovery paused");
}

static void test_reminder(void **state)
{
    world_t *w = quiet(*state);

    add(w, "dead", CS_ALERT_ERROR);
    assert_string_equal(round_of(w, 1), "alert dead");
    w->now += EVERY - 1;
    assert_string_equal(round_of(w, 1), "");
    w->now += 1;
    assert_string_equal(round_of(w, 1), "reminder dead");
    assert_string_equal(round_of(w, 1), "");
    w->target.every = 0;
    w->now += 10 * EVERY;
    assert_string_equal(round_of(w, 1), "");
}

/* As long as it was ahead nobody would be reminded. */
static void test_reminder_after_the_clock_went_back(void **state)
{
    world_t *w = quiet(*state);

    add(w, "dead", CS_ALERT_ERROR);
    assert_string_equal(round_of(w, 1), "alert dead");
    w->now -= 1000;
    assert_string_equal(round_of(w, 1), "");
    w->now -= 100 * EVERY;
    assert_string_equal(round_of(w, 1), "reminder dead");
    assert_string_equal(round_of(w, 1), "");
    w->now += EVERY;
    assert_string_equal(round_of(w, 1), "reminder dead");
}

/* What came and went while a target was away is not told; what is still on is. */
static void test_away(void **state)
{
    world_t *w = quiet(*state);
    int i;

    add(w, "a", CS_ALERT_ERROR);
    assert_string_equal(round_of(w, 0), "alert a");
    assert_true(w->state.next > w->now - 1 && w->state.failures == 1);
    for (i = 0; i < 5; i++) {
        w->now += SEC(1000);
        assert_string_equal(round_of(w, 0), "alert a");
        assert_true(w->state.next - w->now <= SEC(900));
    }
    take_away(w);
    add(w, "b", CS_ALERT_ERROR);
    assert_string_equal(round_of(w, 1), "alert b");
    assert_int_equal(w->state.next, 0);
    assert_int_equal(w->state.failures, 0);
    assert_string_equal(round_of(w, 1), "");
}

/* Twenty calls an hour; the last is a summary, and then nothing until there is room. */
static void test_a_flood_is_summed_up(void **state)
{
    world_t *w = quiet(*state);
    cs_notify_call_t call;
    json_t *doc;
    int i;

    for (i = 0; i < 30; i++) {
        add(w, apr_psprintf(w->p, "x%d", i), CS_ALERT_ERROR);
    }
    for (i = 0; i < CS_NOTIFY_CALLS - 1; i++) {
        assert_string_equal(round_of(w, 1), apr_psprintf(w->p, "alert x%d", i));
    }
    take_away(w);
    APR_ARRAY_IDX(w->alerts, 0, cs_alert_t *) = APR_ARRAY_IDX(w->alerts, 1, cs_alert_t *);
    cs_notify_next(&call, &w->state, &w->target, w->alerts, w->now);
    assert_int_equal(call.kind, CS_NOTIFY_SUMMARY);
    doc = cs_notify_document(&call, &w->state, &w->target, w->alerts, "host", "mod_cosell/1", w->now, w->p);
    assert_int_equal(json_array_size(cs_json_get(doc, "on")), 29);
    assert_int_equal(json_array_size(cs_json_get(doc, "over")), 1);
    assert_string_equal(cs_json_str(json_array_get(cs_json_get(doc, "over"), 0), "what"), "x0");
    assert_string_equal(round_of(w, 1), "summary -");
    add(w, "y", CS_ALERT_ERROR);
    for (i = 0; i < 50; i++) {
        w->now += SEC(60);
        assert_string_equal(round_of(w, 1), "");
    }
    w->now += SEC(601);
    assert_string_equal(round_of(w, 1), "alert y");
    assert_string_equal(round_of(w, 1), "");
    /* A clock that went back silences nobody. */
    w->now -= SEC(86400);
    add(w, "z", CS_ALERT_ERROR);
    assert_string_equal(round_of(w, 1), "alert z");
}

/* Alerts that come and go all day: never more than twenty calls an hour. */
static void test_flapping_is_bounded(void **state)
{
    world_t *w = quiet(*state);
    int i;

    for (i = 0; i < 7200; i++) {
        w->now += SEC(1);
        if (i % 3 == 0) {
            add(w, "flaps", CS_ALERT_ERROR);
        }
        else if (i % 3 == 1) {
            take_away(w);
        }
        round_of(w, 1);
    }
    assert_in_range(w->calls, 30, 2 * CS_NOTIFY_CALLS + 2);
}

static void test_saved_and_loaded(void **state)
{
    world_t *w = quiet(*state), *again = quiet(*state);
    const cs_notify_target_t *targets[1] = {&w->target};
    apr_array_header_t *alerts;
    const char *text;

    add(w, "a", CS_ALERT_ERROR);
    add(w, "b \"quoted\"\n\xc3\xa4", CS_ALERT_WARNING);
    assert_string_equal(round_of(w, 1), "alert a");
    round_of(w, 1);
    text = cs_notify_save(&w->state, targets, 1, w->p);
    assert_null(strstr(text, w->target.name));
    cs_notify_load(&again->state, targets, 1, text, w->p);
    again->alerts = w->alerts;
    assert_string_equal(round_of(again, 1), "");
    assert_int_equal(again->state.ncalls, 2);
    alerts = cs_notify_saved_alerts(text, w->p);
    assert_int_equal(alerts->nelts, 2);
    assert_int_equal(APR_ARRAY_IDX(alerts, 0, cs_alert_t *)->since, NOW);
    take_away(w);
    assert_string_equal(round_of(again, 1), "recovery b \"quoted\"\n\xc3\xa4");
    /* Another target has been told nothing. */
    memset(&again->state, 0, sizeof(again->state));
    w->target.name = "url:https://other.example";
    cs_notify_load(&again->state, targets, 1, text, w->p);
    assert_string_equal(round_of(again, 1), "alert a");
}

static void test_damaged_memory(void **state)
{
    static const char *const texts[] = {"", "{", "[]", "{\"exec:/bin/tell\": 7}", "{\"exec:/bin/tell\": {\"told\": [1, null, {\"site\": 3}], \"calls\": [\"x\"]}}",
                                        "null", NULL};
    world_t *w = quiet(*state);
    const cs_notify_target_t *targets[1] = {&w->target};
    const char *key = cs_sha256_hex(w->target.name, strlen(w->target.name), w->p), *text, *at;
    int i;

    for (i = 0; texts[i]; i++) {
        at = strstr(texts[i], "exec:/bin/tell");
        text = at ? apr_pstrcat(w->p, "{\"", key, at + sizeof("exec:/bin/tell") - 1, NULL) : texts[i];
        memset(&w->state, 0, sizeof(w->state));
        cs_notify_load(&w->state, targets, 1, text, w->p);
        assert_int_equal(w->state.n, 0);
        assert_int_equal(cs_notify_saved_alerts(texts[i], w->p)->nelts, 0);
    }
    cs_notify_load(&w->state, targets, 1, NULL, w->p);
}

/* Sentences are left out before anything else is. */
static void test_much_is_saved_whole(void **state)
{
    cs_notify_state_t *states = apr_pcalloc(*state, sizeof(*states) * CS_NOTIFY_TARGETS);
    const cs_notify_target_t *targets[CS_NOTIFY_TARGETS];
    world_t *w = quiet(*state);
    char *text = apr_pcalloc(w->p, 400);
    int i, j;

    memset(text, 'x', 399);
    for (i = 0; i < CS_NOTIFY_TARGETS; i++) {
        cs_notify_target_t *target = apr_pcalloc(w->p, sizeof(*target));
        target->name = apr_psprintf(w->p, "exec:/bin/%d", i);
        targets[i] = target;
        for (j = 0; j < CS_ALERTS_MAX; j++) {
            cs_alert_t alert = {"contoso", apr_psprintf(w->p, "suspended:%d", j), CS_ALERT_ERROR, text, "", NOW};
            cs_notify_call_t call = {CS_NOTIFY_ALERT, &alert, 0};
            cs_notify_done(&states[i], &call, target, w->alerts, 1, NOW, NOW);
        }
    }
    text = (char *)cs_notify_save(states, targets, CS_NOTIFY_TARGETS, w->p);
    assert_true(strlen(text) < CS_MEMO_MAX);
    assert_int_equal(cs_notify_saved_alerts(text, w->p)->nelts, CS_ALERTS_MAX);
}

static void test_environment_has_one_line_each(void **state)
{
    json_t *doc = cs_json_own(json_pack("{s:s, s:n, s:s}", "event", "alert", "site", "text", "one\ntwo\x1b[31m"), *state);
    char *const *env = cs_notify_environment(doc, NULL, *state);
    int i, n = 0;

    for (i = 0; env[i]; i++) {
        assert_null(strpbrk(env[i], "\n\x1b"));
        n += !strcmp(env[i], "COSELL_TEXT=one two [31m") + !strcmp(env[i], "COSELL_SITE=") + !strncmp(env[i], "PATH=/", 6);
    }
    assert_int_equal(n, 3);
}

/* ---- commands ---- */

static apr_status_t run_script(apr_pool_t *p, const char *script, const char *in, apr_interval_time_t time, cs_result_t *res)
{
    static char *const env[] = {"A=b", "PATH=/usr/bin:/bin", NULL};
    char *argv[] = {"/bin/sh", "-c", (char *)script, NULL};

    memset(res, 0, sizeof(*res));
    return cs_command_run(argv, env, in, strlen(in), time, p, res);
}

static void test_command(void **state)
{
    apr_pool_t *p = *state;
    const char *path = unit_path(p, "heard");
    cs_result_t res;
    struct stat st;
    char *big = apr_pcalloc(p, 1000001);

    signal(SIGPIPE, SIG_IGN);
    memset(big, 'x', 1000000);
    assert_int_equal(run_script(p, apr_psprintf(p, "cat > %s; test \"$A\" = b; test -z \"$HOME\"", path), big, SEC(10), &res), APR_SUCCESS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 1000000);
    /* One that does not read, and one that says much. */
    assert_int_equal(run_script(p, "exit 0", big, SEC(10), &res), APR_SUCCESS);
    assert_int_equal(run_script(p, "head -c 1000000 /dev/zero", "", SEC(10), &res), APR_SUCCESS);
    assert_int_not_equal(run_script(p, "echo no such pager >&2; exit 3", "x", SEC(10), &res), APR_SUCCESS);
    assert_non_null(strstr(res.detail, "exit status 3: no such pager"));
    assert_int_not_equal(run_script(p, "kill -9 $$", "x", SEC(10), &res), APR_SUCCESS);
    assert_non_null(strstr(res.detail, "signal 9"));
}

static void test_command_is_bounded(void **state)
{
    apr_interval_time_t began = cs_time_mono();
    cs_result_t res;

    assert_int_not_equal(run_script(*state, "sleep 60 & sleep 60", "x", apr_time_from_msec(300), &res), APR_SUCCESS);
    assert_non_null(strstr(res.detail, "longer than"));
    assert_int_not_equal(run_script(*state, "exec >&- 2>&- <&-; sleep 60", "x", apr_time_from_msec(300), &res), APR_SUCCESS);
    assert_true(cs_time_mono() - began < SEC(10));
}

static void *APR_THREAD_FUNC end_soon(apr_thread_t *thread, void *baton)
{
    (void)thread;
    while (access(baton, F_OK)) {
        apr_sleep(1000);
    }
    cs_command_end_all();
    return NULL;
}

/* Whoever runs it ends, and it with him: its children, too. */
static void test_command_ends_with_who_runs_it(void **state)
{
    apr_pool_t *p = *state;
    const char *mark = unit_path(p, "began");
    apr_interval_time_t began = cs_time_mono();
    apr_thread_t *thread;
    apr_status_t rv;
    cs_result_t res;

    unlink(mark);
    assert_ok(apr_thread_create(&thread, NULL, end_soon, (void *)mark, p));
    assert_int_not_equal(run_script(p, apr_psprintf(p, "sleep 60 & touch %s; sleep 60", mark), "x", SEC(50), &res), APR_SUCCESS);
    assert_ok(apr_thread_join(&rv, thread));
    assert_non_null(strstr(res.detail, "ended by signal 9"));
    assert_true(cs_time_mono() - began < SEC(20));
    cs_command_end_all(); /* of those that ended nothing is known any more */
    assert_ok(run_script(p, "exit 0", "x", SEC(5), &res));
}

static void test_no_command(void **state)
{
    static char *const env[] = {NULL};
    char *argv[] = {"/nonexistent/program", NULL};
    cs_result_t res = {0};

    assert_int_not_equal(cs_command_run(argv, env, "x", 1, SEC(1), *state, &res), APR_SUCCESS);
    assert_non_null(strstr(res.detail, "/nonexistent/program"));
    assert_null(cs_command_split(" \t", *state));
    assert_string_equal(cs_command_split("/a  b\tc", *state)[2], "c");
    assert_null(cs_command_split("a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a", *state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_once_each), UNIT_TEST(test_errors_only), UNIT_TEST(test_reminder), UNIT_TEST(test_reminder_after_the_clock_went_back), UNIT_TEST(test_away), UNIT_TEST(test_a_flood_is_summed_up),
        UNIT_TEST(test_flapping_is_bounded), UNIT_TEST(test_saved_and_loaded), UNIT_TEST(test_damaged_memory), UNIT_TEST(test_much_is_saved_whole),
        UNIT_TEST(test_environment_has_one_line_each), UNIT_TEST(test_command), UNIT_TEST(test_command_is_bounded), UNIT_TEST(test_command_ends_with_who_runs_it), UNIT_TEST(test_no_command),
    };

    return UNIT_RUN(tests);
}
