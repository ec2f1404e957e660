/* Jobs: what a person asks for, a turn at a time. */
#include "unit_engine.h"

#include <sqlite3.h>

static const char *text_of(const char *id)
{
    const cs_job_t *job = job_of(id);
    const char *text = cs_json_str(job->result, job->state == CS_JOB_FAILED ? "error" : "text");

    return text ? text : "";
}

static int pending(const char *id)
{
    cs_work_t *work = NULL;

    assert_ok(cs_store_work_named(W->store, SITE, CS_WORK_JOB, apr_pstrcat(W->p, CS_JOB_NAME, id, NULL), &work, W->p, NULL));
    return work != NULL;
}

static void test_wish_is_kept_until_it_is_done(void **state)
{
    apr_pool_t *p = *state;
    const char *id;

    new_world(p);
    begin_lane();
    id = ask_for("pause", "{'why':'month end'}");
    assert_int_equal(job_of(id)->state, CS_JOB_WAITING);
    assert_true(pending(id));
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_DONE);
    assert_string_equal(job_of(id)->user, "alice");
    assert_false(pending(id));
    assert_int_equal(journal_lines("pause"), 1);
    assert_null(job_of("0123456789abcdef"));
}

static void test_paused_site_accepts_and_waits(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    begin_lane();
    ask_for("pause", "{}");
    work();
    r = new_referral();
    notify(r);
    work();
    assert_int_equal(count_rows("opportunity"), 0);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 1);
    begin_lane();
    work();
    assert_int_equal(count_rows("opportunity"), 0);
    ask_for("resume", "{}");
    work();
    assert_null(fact(CS_FACT_PAUSED));
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

static void test_look_is_a_notice_of_a_person(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    const char *id;
    int looks;

    new_world(p);
    begin_lane();
    r = new_referral();
    ask_for("look", apr_psprintf(p, "{'id':'%s'}", r->id));
    work();
    assert_int_equal(count_rows("opportunity"), 1);
    looks = W->read_calls;
    ask_for("look", apr_psprintf(p, "{'id':'%d'}", (int)deal_of(r)->id));
    ask_for("look", apr_psprintf(p, "{'id':'%s'}", deal_of(r)->record_id));
    work();
    assert_true(W->read_calls > looks);
    id = ask_for("look", "{'id':'nobody'}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_FAILED);
    assert_non_null(strstr(text_of(id), "nobody"));
    assert_true(json_is_true(cs_json_get(job_of(id)->result, "missing")));
    /* What it quotes ends amidst a letter. */
    id = ask_for("look", apr_psprintf(p, "{'id':'%079d\xc3\xa4'}", 0));
    work();
    assert_non_null(strstr(text_of(id), "no deal has"));
    assert_true(json_is_true(cs_json_get(job_of(id)->result, "missing")));
}

/* Suspended, and asked again after an hour of failures only every fifteen minutes: a person need not wait for that. */
static void test_a_wish_asks_whoever_is_suspended(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;
    const char *id;
    int i;

    new_world(p);
    begin_lane();
    r = new_referral();
    W->crm_fails = CS_CLASS_SUSPEND;
    notify(r);
    work();
    for (i = 0; i < 6; i++) {
        pass_seconds(900);
        work();
    }
    assert_non_null(suspended(CRM_NAME));
    W->crm_fails = CS_CLASS_OK;
    work();
    assert_non_null(suspended(CRM_NAME)); /* nobody has asked it yet */
    id = ask_for("look", apr_psprintf(p, "{'id':'%s'}", r->id));
    work();
    assert_string_equal(text_of(id), "it is looked at as soon as " CRM_NAME " works again, which is asked now");
    assert_null(suspended(CRM_NAME));
    assert_int_equal(count_rows("opportunity"), 1);
    id = ask_for("look", apr_psprintf(p, "{'id':'%s'}", r->id));
    work();
    assert_string_equal(text_of(id), "it is looked at now");
    ask_for("pause", "{}");
    id = ask_for("look", apr_psprintf(p, "{'id':'%s'}", r->id));
    work();
    assert_string_equal(text_of(id), "it is looked at once the site is resumed");
}

static void test_unknown_kind_fails_and_says_so(void **state)
{
    apr_pool_t *p = *state;
    const char *id;

    new_world(p);
    begin_lane();
    id = ask_for("brew", "{}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_FAILED);
    assert_non_null(strstr(text_of(id), "brew"));
    assert_false(pending(id));
}

static void test_cancelled_job_is_not_begun(void **state)
{
    apr_pool_t *p = *state;
    const char *id, *missing;

    new_world(p);
    begin_lane();
    ask_for("pause", "{}");
    work();
    id = ask_for("retry", "{'all':true}");
    ask_for("cancel", apr_psprintf(p, "{'job':'%s'}", id));
    missing = ask_for("cancel", "{'job':'ffffffffffffffff'}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_CANCELLED);
    assert_non_null(strstr(text_of(id), "alice"));
    assert_false(pending(id));
    assert_int_equal(job_of(missing)->state, CS_JOB_FAILED);
}

/* Two that Partner Center refuses for good, and one that it does not. */
static void die(referral_t **first, referral_t **second)
{
    *first = new_referral();
    *second = new_referral();
    W->pc_fails = CS_CLASS_REFUSED;
    W->pc_problem = "http:403";
    notify(*first);
    notify(*second);
    work();
    W->pc_fails = CS_CLASS_OK;
    assert_int_equal(counts_of(W->store, SITE, W->p).dead, 2);
}

static void test_dead_looks_are_tried_again(void **state)
{
    apr_pool_t *p = *state;
    apr_array_header_t *causes;
    referral_t *first, *second;
    const char *id;

    new_world(p);
    begin_lane();
    die(&first, &second);
    id = ask_for("retry", apr_psprintf(p, "{'name':'pc:%s'}", first->id));
    work();
    assert_string_equal(text_of(id), "1 dead looks tried again");
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(counts_of(W->store, SITE, p).dead, 1);
    assert_ok(cs_store_causes(W->store, SITE, 10, &causes, p, NULL));
    assert_int_equal(causes->nelts, 1);
    id = ask_for("retry", apr_psprintf(p, "{'cause':'%s'}", APR_ARRAY_IDX(causes, 0, cs_cause_t *)->cause));
    work();
    assert_string_equal(text_of(id), "1 dead looks tried again");
    assert_int_equal(count_rows("opportunity"), 2);
    assert_int_equal(counts_of(W->store, SITE, p).dead, 0);
    id = ask_for("retry", "{'all':true}");
    work();
    assert_string_equal(text_of(id), "no such look is dead");
}

static void test_dead_looks_are_dropped_and_journalled(void **state)
{
    apr_pool_t *p = *state;
    referral_t *first, *second;
    const char *id;

    new_world(p);
    begin_lane();
    die(&first, &second);
    id = ask_for("drop", "{'all':true}");
    work();
    assert_string_equal(text_of(id), "2 dead looks dropped");
    assert_int_equal(counts_of(W->store, SITE, p).dead, 0);
    assert_int_equal(journal_lines("drop"), 3);
    work();
    assert_int_equal(count_rows("opportunity"), 0);
    notify(first); /* a new notice is looked at as ever */
    work();
    assert_int_equal(count_rows("opportunity"), 1);
}

/* A row whose job is not there any more, or that names none. */
static void test_rows_without_a_job_go(void **state)
{
    apr_pool_t *p = *state;
    cs_notice_t *n;

    new_world(p);
    begin_lane();
    n = make_notice(p, "job:00000000000000ff", cs_time_now());
    n->kind = CS_WORK_JOB;
    assert_ok(accept_one(W->store, n, p, NULL));
    n = make_notice(p, "something else", cs_time_now());
    n->kind = CS_WORK_JOB;
    assert_ok(accept_one(W->store, n, p, NULL));
    work();
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
}

/* However many wait, a notice is looked at with the next batch. */
static void test_many_jobs_hold_up_no_look(void **state)
{
    apr_pool_t *p = *state;
    const char *first, *last = NULL;
    int i;

    new_world(p);
    begin_lane();
    work();
    first = ask_for("retry", "{'all':true}");
    for (i = 0; i < 300; i++) {
        last = ask_for("retry", "{'all':true}");
    }
    notify(new_referral());
    one_batch();
    assert_int_equal(count_rows("opportunity"), 1);
    assert_int_equal(job_of(first)->state, CS_JOB_DONE);
    assert_true(pending(last));
    for (i = 0; pending(last) && i < 400; i++) {
        one_batch();
    }
    assert_int_equal(job_of(last)->state, CS_JOB_DONE);
}

/* Also of a paused site, and not only the newest. */
static void test_every_job_of_a_paused_site_has_its_turn(void **state)
{
    apr_pool_t *p = *state;
    const char *ids[120];
    int i;

    new_world(p);
    begin_lane();
    ask_for("pause", "{}");
    work();
    for (i = 0; i < 120; i++) {
        ids[i] = ask_for("retry", "{'all':true}");
    }
    for (i = 0; i < 130; i++) {
        one_batch();
    }
    for (i = 0; i < 120; i++) {
        assert_int_equal(job_of(ids[i])->state, CS_JOB_DONE);
    }
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(in_state(W->cfg, "cosell.db", W->p), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_close(db);
}

/* Nothing else waits for a row that cannot be read. */
static void test_damaged_job_fails_alone(void **state)
{
    apr_pool_t *p = *state;
    const char *id;

    new_world(p);
    begin_lane();
    work();
    id = ask_for("retry", "{'all':true}");
    run_sql(apr_psprintf(p, "UPDATE job SET cursor='{\"after\":' WHERE name='%s'", id));
    notify(new_referral());
    work();
    assert_int_equal(count_rows("opportunity"), 1);
    assert_false(pending(id));
    assert_int_equal(job_of(id)->state, CS_JOB_FAILED);
    assert_non_null(strstr(text_of(id), "cannot be read"));
}

/* What was asked for cannot be read any more: who looks sees that it failed and why, and who cancels it stops nothing else. */
static void test_damaged_arguments_are_told(void **state)
{
    apr_pool_t *p = *state;
    const char *id, *cancel;
    cs_job_t *job = NULL;

    new_world(p);
    begin_lane();
    work();
    id = ask_for("retry", "{'all':true}");
    cancel = ask_for("cancel", apr_psprintf(p, "{'job':'%s'}", id));
    run_sql(apr_psprintf(p, "UPDATE job SET arguments='{\"all\":' WHERE name='%s'", id));
    assert_int_equal(cs_store_job_get(W->store, SITE, id, &job, p, NULL), CS_EPARSE);
    assert_int_equal(job->state, CS_JOB_FAILED);
    assert_has(cs_json_str(job->result, "error"), "cannot be read");
    work();
    assert_false(pending(id));
    assert_false(pending(cancel));
    assert_true(job_of(cancel)->state > CS_JOB_RUNNING);
    assert_int_equal(cs_store_job_get(W->store, SITE, id, &job, p, NULL), CS_EPARSE);
    assert_int_equal(job->state, CS_JOB_FAILED);
    assert_has(cs_json_str(job->result, "error"), "cannot be read");
    assert_string_equal(job->kind, "retry");
}

static void test_arguments_are_judged_by_name(void **state)
{
    static const struct {
        const char *kind, *arguments, *wrong;
    } cases[] = {
        {"release", "{}", "\"brake\" is missing"},
        {"release", "{'brake':1}", "brake: allowed is a text"},
        {"release", "{'brake':'mapping'}", NULL},
        {"pause", "{'because':'x'}", "\"because\" is no argument of pause; allowed: why"},
        {"retry", "{}", "exactly one of deal, name, cause and all says which dead looks are meant"},
        {"retry", "{'all':false}", "all: allowed is true"},
        {"drop", "{'all':'yes'}", "all: allowed is true or false"},
        {"resume", "{'why':'x'}", "\"why\" is no argument of resume; allowed: none"},
    };
    apr_pool_t *p = *state;
    const char *names = NULL;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *wrong = cs_job_wrong(cs_job_kind_of(cases[i].kind, NULL, p), js(p, cases[i].arguments), p);

        if (cases[i].wrong) {
            assert_non_null(wrong);
            assert_string_equal(wrong, cases[i].wrong);
        }
        else {
            assert_null(wrong);
        }
    }
    assert_null(cs_job_kind_of("brew", &names, p));
    assert_non_null(strstr(names, "pause, "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_wish_is_kept_until_it_is_done),
        UNIT_TEST(test_paused_site_accepts_and_waits),
        UNIT_TEST(test_look_is_a_notice_of_a_person),
        UNIT_TEST(test_a_wish_asks_whoever_is_suspended),
        UNIT_TEST(test_unknown_kind_fails_and_says_so),
        UNIT_TEST(test_cancelled_job_is_not_begun),
        UNIT_TEST(test_dead_looks_are_tried_again),
        UNIT_TEST(test_dead_looks_are_dropped_and_journalled),
        UNIT_TEST(test_rows_without_a_job_go),
        UNIT_TEST(test_many_jobs_hold_up_no_look),
        UNIT_TEST(test_every_job_of_a_paused_site_has_its_turn),
        UNIT_TEST(test_damaged_job_fails_alone),
        UNIT_TEST(test_damaged_arguments_are_told),
        UNIT_TEST(test_arguments_are_judged_by_name),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
