/* The store's part in jobs: asked for and made due in one transaction, their rows, how they end, how
 * long they are kept; aliases that go; the trace of a notice; a database of the schema before. */
#include "unit_store.h"

#include <sqlite3.h>

typedef struct site_t {
    cs_store_config_t *cfg;
    cs_store_t *store;
    cs_lease_t lease;
    apr_pool_t *p;
} site_t;

static site_t *new_site(apr_pool_t *p)
{
    site_t *s = apr_pcalloc(p, sizeof(*s));
    cs_result_t res;

    s->p = p;
    s->cfg = make_state(p);
    s->store = open_store(s->cfg, CS_STORE_WRITER, p);
    assert_ok(cs_store_lease_take(s->store, SITE, NODE, 3600 * SEC, T0, &s->lease, p, &res));
    return s;
}

static const char *db_of(site_t *s)
{
    return in_state(s->cfg, "cosell.db", s->p);
}

static void tamper(site_t *s, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;

    assert_int_equal(sqlite3_open(db_of(s), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
    sqlite3_close(db);
}

/* All that the query answers, in one text. */
static const char *answer(site_t *s, const char *sql)
{
    const char *text = "";
    sqlite3_stmt *st;
    sqlite3 *db;
    int i;

    assert_int_equal(sqlite3_open(db_of(s), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        for (i = 0; i < sqlite3_column_count(st); i++) {
            text = apr_pstrcat(s->p, text, i ? "," : "", sqlite3_column_text(st, i), NULL);
        }
        text = apr_pstrcat(s->p, text, ";", NULL);
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    return text;
}

static json_t *doc(site_t *s, const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(json);
    return cs_json_own(json, s->p);
}

static apr_status_t put(site_t *s, cs_change_t c)
{
    apr_array_header_t *changes = apr_array_make(s->p, 1, sizeof(cs_change_t));
    cs_result_t res;

    APR_ARRAY_PUSH(changes, cs_change_t) = c;
    return cs_store_write(s->store, &s->lease, changes, s->p, &res);
}

static void ask(site_t *s, const char *site, const char *id, const char *arguments)
{
    cs_notice_t *n = make_notice(s->p, apr_pstrcat(s->p, CS_JOB_NAME, id, NULL), T0);
    cs_job_t *job = apr_pcalloc(s->p, sizeof(*job));
    cs_result_t res;

    n->site = site;
    n->kind = CS_WORK_JOB;
    n->source = "admin";
    n->hint = 0;
    n->job = job;
    job->site = site;
    job->id = id;
    job->kind = "resync";
    job->user = "ada";
    job->arguments = doc(s, arguments);
    if (accept_one(s->store, n, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static cs_job_t *get(site_t *s, const char *site, const char *id)
{
    cs_job_t *job;
    cs_result_t res;

    if (cs_store_job_get(s->store, site, id, &job, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
    return job;
}

static void set_state(site_t *s, const char *id, cs_job_state_e state, const char *result,
                      apr_time_t at)
{
    cs_job_t job = {0};

    job.id = id;
    job.state = state;
    job.result = result ? doc(s, result) : NULL;
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_JOB, .job = &job, .at = at}));
}

static void add_row(site_t *s, const char *id, apr_int64_t deal, const char *row)
{
    cs_job_t job = {0};

    job.id = id;
    assert_ok(put(s, (cs_change_t){
                         .kind = CS_CHANGE_JOB_ROW, .job = &job, .value = deal, .rows = doc(s, row)}));
}

static apr_array_header_t *rows_of(site_t *s, const char *id, apr_int64_t after, int max)
{
    apr_array_header_t *list;

    assert_ok(cs_store_job_rows(s->store, SITE, id, after, max, &list, s->p, NULL));
    return list;
}

static apr_array_header_t *jobs_of(site_t *s, const char *site, int max)
{
    apr_array_header_t *list;

    assert_ok(cs_store_job_list(s->store, site, max, &list, s->p, NULL));
    return list;
}

#define A "00000000000000aa"
#define B "00000000000000bb"
#define C "00000000000000cc"

/* ---- asking ---- */

static void test_a_job_and_its_work_come_together(void **state)
{
    site_t *s = new_site(*state);
    cs_work_t *work;
    cs_job_t *job;

    ask(s, SITE, A, "{\"all\":true}");
    job = get(s, SITE, A);
    assert_string_equal(job->site, SITE);
    assert_string_equal(job->id, A);
    assert_string_equal(job->kind, "resync");
    assert_string_equal(job->user, "ada");
    assert_int_equal(job->state, CS_JOB_WAITING);
    assert_true(json_is_true(json_object_get(job->arguments, "all")));
    assert_null(job->cursor);
    assert_null(job->progress);
    assert_null(job->result);
    assert_int_equal(job->created, T0);
    assert_int_equal(job->updated, T0);
    assert_ok(cs_store_work_named(s->store, SITE, CS_WORK_JOB, CS_JOB_NAME A, &work, s->p, NULL));
    assert_int_equal(work->wanted, 1);
    assert_int_equal(work->due, T0);
    assert_null(get(s, SITE, B));
    assert_null(get(s, "other", A));
}

/* Whoever does not know whether it was stored asks once more. */
static void test_asked_twice_is_one_job(void **state)
{
    site_t *s = new_site(*state);

    ask(s, SITE, A, "{\"all\":true}");
    set_state(s, A, CS_JOB_RUNNING, NULL, T0 + SEC);
    ask(s, SITE, A, "{\"all\":false}");
    assert_int_equal(jobs_of(s, SITE, 10)->nelts, 1);
    assert_int_equal(get(s, SITE, A)->state, CS_JOB_RUNNING);
    assert_true(json_is_true(json_object_get(get(s, SITE, A)->arguments, "all")));
}

static void test_a_job_without_id_is_refused_with_all_of_its_group(void **state)
{
    site_t *s = new_site(*state);
    const cs_notice_t *both[2];
    cs_notice_t *n = make_notice(s->p, CS_JOB_NAME, T0);
    cs_job_t job = {0};
    cs_result_t res;

    n->job = &job;
    both[0] = make_notice(s->p, "pc:a", T0);
    both[1] = n;
    assert_int_equal(cs_store_accept(s->store, both, 2, s->p, &res), APR_EINVAL);
    assert_non_null(strstr(res.detail, "without id"));
    assert_int_equal(counts_of(s->store, SITE, s->p).outstanding, 0);
}

static void test_jobs_are_listed_newest_first_and_sites_apart(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *list;

    ask(s, SITE, A, "{}");
    ask(s, "other", B, "{}");
    ask(s, SITE, C, "{}");
    list = jobs_of(s, SITE, 10);
    assert_int_equal(list->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(list, 0, cs_job_t *)->id, C);
    assert_string_equal(APR_ARRAY_IDX(list, 1, cs_job_t *)->id, A);
    assert_int_equal(jobs_of(s, SITE, 1)->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(jobs_of(s, "other", 5), 0, cs_job_t *)->id, B);
}

/* ---- turns ---- */

static void test_a_turn_stores_where_the_job_stands(void **state)
{
    site_t *s = new_site(*state);
    cs_job_t job = {0}, *now;

    ask(s, SITE, A, "{\"n\":1}");
    job.id = A;
    job.state = CS_JOB_RUNNING;
    job.cursor = doc(s, "{\"deal\":17}");
    job.progress = doc(s, "{\"done\":3,\"of\":9}");
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_JOB, .job = &job, .at = T0 + SEC}));
    now = get(s, SITE, A);
    assert_int_equal(now->state, CS_JOB_RUNNING);
    assert_int_equal(json_integer_value(json_object_get(now->cursor, "deal")), 17);
    assert_int_equal(json_integer_value(json_object_get(now->progress, "of")), 9);
    assert_int_equal(json_integer_value(json_object_get(now->arguments, "n")), 1);
    assert_int_equal(now->created, T0);
    assert_int_equal(now->updated, T0 + SEC);
    assert_null(APR_ARRAY_IDX(jobs_of(s, SITE, 1), 0, cs_job_t *)->cursor);
    set_state(s, A, CS_JOB_DONE, "{\"text\":\"all well\"}", T0 + 2 * SEC);
    now = get(s, SITE, A);
    assert_int_equal(now->state, CS_JOB_DONE);
    assert_null(now->cursor);
    assert_string_equal(json_string_value(json_object_get(now->result, "text")), "all well");
    /* Of one that is not there nobody asks. */
    set_state(s, B, CS_JOB_DONE, NULL, T0);
    assert_null(get(s, SITE, B));
}

static void test_cancelled_stays_cancelled_and_done_stays_done(void **state)
{
    site_t *s = new_site(*state);

    ask(s, SITE, A, "{}");
    set_state(s, A, CS_JOB_CANCELLED, "{\"text\":\"by eve\"}", T0 + SEC);
    set_state(s, A, CS_JOB_RUNNING, NULL, T0 + 2 * SEC);
    assert_int_equal(get(s, SITE, A)->state, CS_JOB_CANCELLED);
    assert_non_null(get(s, SITE, A)->result);
    set_state(s, A, CS_JOB_DONE, NULL, T0 + 3 * SEC);
    assert_int_equal(get(s, SITE, A)->state, CS_JOB_CANCELLED);
    assert_int_equal(get(s, SITE, A)->updated, T0 + SEC);
    ask(s, SITE, B, "{}");
    set_state(s, B, CS_JOB_DONE, "{\"text\":\"well\"}", T0 + SEC);
    set_state(s, B, CS_JOB_CANCELLED, NULL, T0 + 2 * SEC);
    assert_int_equal(get(s, SITE, B)->state, CS_JOB_DONE);
    assert_non_null(get(s, SITE, B)->result);
}

static void test_rows_are_numbered_within_their_job(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *list;

    ask(s, SITE, A, "{}");
    ask(s, SITE, B, "{}");
    add_row(s, A, 0, "{\"text\":\"begins\"}");
    add_row(s, B, 7, "{\"text\":\"other\"}");
    add_row(s, A, 5, "{\"text\":\"deal\"}");
    add_row(s, A, 6, "{\"text\":\"last\"}");
    add_row(s, C, 6, "{}"); /* no such job */
    list = rows_of(s, A, 0, 2);
    assert_int_equal(list->nelts, 2);
    assert_int_equal(APR_ARRAY_IDX(list, 0, cs_job_row_t *)->n, 1);
    assert_int_equal(APR_ARRAY_IDX(list, 0, cs_job_row_t *)->deal, 0);
    assert_int_equal(APR_ARRAY_IDX(list, 1, cs_job_row_t *)->n, 2);
    assert_int_equal(APR_ARRAY_IDX(list, 1, cs_job_row_t *)->deal, 5);
    list = rows_of(s, A, 2, 10);
    assert_int_equal(list->nelts, 1);
    assert_string_equal(
        json_string_value(json_object_get(APR_ARRAY_IDX(list, 0, cs_job_row_t *)->row, "text")), "last");
    assert_int_equal(rows_of(s, B, 0, 10)->nelts, 1);
    assert_int_equal(rows_of(s, C, 0, 10)->nelts, 0);
    assert_int_equal(put(s, (cs_change_t){.kind = CS_CHANGE_JOB_ROW,
                                          .job = &(cs_job_t){.id = A}}),
                     APR_EINVAL);
}

static void test_a_damaged_job_spoils_no_other(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *list;
    cs_job_t *job;
    cs_result_t res;

    ask(s, SITE, A, "{}");
    ask(s, SITE, B, "{}");
    add_row(s, B, 0, "{}");
    add_row(s, B, 0, "{\"text\":\"good\"}");
    cs_store_close(s->store);
    tamper(s, "UPDATE job SET progress='{\"done\"' WHERE name='" A "';"
              "UPDATE job_row SET row='{' WHERE n=1");
    s->store = open_store(s->cfg, CS_STORE_WRITER, s->p);
    assert_int_equal(cs_store_job_get(s->store, SITE, A, &job, s->p, &res), CS_EPARSE);
    assert_int_equal(job->state, CS_JOB_FAILED); /* who asks for it is told so, and why */
    assert_non_null(strstr(json_string_value(json_object_get(job->result, "error")), "progress"));
    assert_non_null(strstr(res.detail, "progress"));
    list = jobs_of(s, SITE, 10);
    assert_int_equal(list->nelts, 2);
    assert_non_null(json_object_get(APR_ARRAY_IDX(list, 1, cs_job_t *)->result, "error"));
    assert_null(APR_ARRAY_IDX(list, 0, cs_job_t *)->result);
    list = rows_of(s, B, 0, 10);
    assert_int_equal(list->nelts, 2);
    assert_non_null(json_object_get(APR_ARRAY_IDX(list, 0, cs_job_row_t *)->row, "error"));
    assert_non_null(json_object_get(APR_ARRAY_IDX(list, 1, cs_job_row_t *)->row, "text"));
}

/* ---- pruning ---- */

static int prune(site_t *s, apr_time_t now, int max)
{
    int left;

    assert_ok(cs_store_prune(s->store, &s->lease, now, max, &left, s->p, NULL));
    return left;
}

static void test_ended_jobs_go_after_thirty_days(void **state)
{
    site_t *s = new_site(*state);
    apr_time_t day = 86400 * SEC;

    ask(s, SITE, A, "{}");
    ask(s, SITE, B, "{}");
    ask(s, SITE, C, "{}");
    set_state(s, A, CS_JOB_DONE, "{}", T0);
    set_state(s, B, CS_JOB_FAILED, "{}", T0 + day);
    assert_int_equal(prune(s, T0 + 30 * day - SEC, 100), 0);
    assert_int_equal(jobs_of(s, SITE, 10)->nelts, 3);
    assert_int_equal(prune(s, T0 + 30 * day + SEC, 100), 0);
    assert_null(get(s, SITE, A));
    assert_non_null(get(s, SITE, B));
    prune(s, T0 + 400 * day, 100);
    assert_null(get(s, SITE, B));
    assert_non_null(get(s, SITE, C)); /* it waits still */
}

static void test_pruning_takes_a_long_job_in_portions(void **state)
{
    site_t *s = new_site(*state);
    apr_time_t late = T0 + 40 * 86400 * SEC;
    int i, turns = 0, left = 1;

    ask(s, SITE, A, "{}");
    ask(s, SITE, B, "{}");
    for (i = 0; i < 25; i++) {
        add_row(s, A, i, "{}");
        add_row(s, B, i, "{}");
    }
    set_state(s, A, CS_JOB_DONE, "{}", T0);
    prune(s, late, 3); /* the notices' deliveries go first */
    for (; left; turns++) {
        int before = atoi(answer(s, "SELECT count(*) FROM job_row"));
        left = prune(s, late, 10);
        assert_true(before - atoi(answer(s, "SELECT count(*) FROM job_row")) <= 10);
        assert_true(turns < 10);
    }
    assert_null(get(s, SITE, A));
    assert_string_equal(answer(s, "SELECT count(*),count(DISTINCT job) FROM job_row"), "25,1;");
    assert_int_equal(rows_of(s, B, 0, 100)->nelts, 25);
}

/* ---- aliases ---- */

static void test_an_alias_goes_only_from_its_own_deal(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = apr_pcalloc(s->p, sizeof(*a)), *b = apr_pcalloc(s->p, sizeof(*b)), *found;

    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = a}));
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = b}));
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = a, .system = "crm", .name = "r1"}));
    assert_ok(
        put(s, (cs_change_t){.kind = CS_CHANGE_ALIAS_DROP, .deal = b, .system = "crm", .name = "r1"}));
    assert_ok(cs_store_deal_find(s->store, SITE, "crm", "r1", &found, s->p, NULL));
    assert_int_equal(found->id, a->id);
    assert_ok(
        put(s, (cs_change_t){.kind = CS_CHANGE_ALIAS_DROP, .deal = a, .system = "crm", .name = "r1"}));
    assert_ok(cs_store_deal_find(s->store, SITE, "crm", "r1", &found, s->p, NULL));
    assert_null(found);
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = b, .system = "crm", .name = "r1"}));
}

/* ---- traces ---- */

#define TRACE1 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACE2 "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void notice_traced(site_t *s, const char *name, const char *trace, const char *table)
{
    cs_notice_t *n = make_notice(s->p, name, T0);

    n->trace = trace;
    if (table) {
        n->tables = apr_array_make(s->p, 1, sizeof(const char *));
        APR_ARRAY_PUSH(n->tables, const char *) = table;
    }
    assert_ok(accept_one(s->store, n, s->p, NULL));
}

static const char *trace_of(site_t *s, const char *name)
{
    cs_work_t *work;

    assert_ok(cs_store_work_named(s->store, SITE, CS_WORK_LOOK, name, &work, s->p, NULL));
    return work->trace ? work->trace : "none";
}

static void test_the_newest_trace_wins(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *works;

    notice_traced(s, "pc:a", NULL, NULL);
    assert_string_equal(trace_of(s, "pc:a"), "none");
    notice_traced(s, "pc:a", TRACE1, NULL);
    assert_string_equal(trace_of(s, "pc:a"), TRACE1);
    notice_traced(s, "pc:a", NULL, NULL);
    assert_string_equal(trace_of(s, "pc:a"), TRACE1);
    notice_traced(s, "pc:a", TRACE2, NULL);
    assert_string_equal(trace_of(s, "pc:a"), TRACE2);
    notice_traced(s, "crm:1", TRACE1, "account");
    assert_string_equal(trace_of(s, "crm:1"), TRACE1);
    notice_traced(s, "crm:1", TRACE2, "account");
    assert_string_equal(trace_of(s, "crm:1"), TRACE2);
    notice_traced(s, "pc:b", TRACE1, NULL);
    assert_ok(cs_store_claim(s->store, &s->lease, T0 + SEC, 10, &works, s->p, NULL));
    assert_int_equal(works->nelts, 3);
    notice_traced(s, "pc:b", TRACE2, NULL);
    assert_ok(cs_store_refresh(s->store, works, s->p, NULL));
    assert_string_equal(APR_ARRAY_IDX(works, 2, cs_work_t *)->trace, TRACE2);
}

static void test_a_trace_outlives_an_attempt_and_a_fold(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal = apr_pcalloc(s->p, sizeof(*deal));
    apr_array_header_t *works;
    cs_work_t *work;

    notice_traced(s, "pc:a", TRACE1, NULL);
    assert_ok(cs_store_work_named(s->store, SITE, CS_WORK_LOOK, "pc:a", &work, s->p, NULL));
    work->attempts = 1;
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_WORK_LATER, .work = work, .at = T0 + SEC}));
    assert_string_equal(trace_of(s, "pc:a"), TRACE1);
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = deal}));
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = deal, .system = "pc", .name = "a"}));
    assert_ok(cs_store_claim(s->store, &s->lease, T0 + 2 * SEC, 10, &works, s->p, NULL));
    assert_string_equal(trace_of(s, "deal:1"), TRACE1);
    notice_traced(s, "pc:a", TRACE2, NULL);
    assert_ok(cs_store_claim(s->store, &s->lease, T0 + 2 * SEC, 10, &works, s->p, NULL));
    assert_string_equal(trace_of(s, "deal:1"), TRACE2);
}

/* ---- versions ---- */

/* Columns and indexes of all tables, in an order of their own. */
static const char *shape(site_t *s)
{
    return answer(s, "SELECT m.name,c.name,c.type,c.\"notnull\",coalesce(c.dflt_value,'') FROM "
                     "sqlite_schema m,pragma_table_info(m.name) c WHERE m.type='table' UNION ALL "
                     "SELECT m.type,m.name,m.tbl_name,m.sql,'' FROM sqlite_schema m WHERE "
                     "m.type<>'table' AND m.sql IS NOT NULL UNION ALL "
                     "SELECT 'version',text,'','','' FROM meta WHERE name='schema' ORDER BY 1,2");
}

static void test_a_raised_database_is_as_a_fresh_one(void **state)
{
    site_t *s = new_site(*state), *old = new_site(*state);

    notice(old->store, "pc:a", T0, old->p);
    cs_store_close(old->store);
    tamper(old, UNIT_LOWER_TO_1_2);
    assert_string_not_equal(shape(old), shape(s));
    old->store = open_store(old->cfg, CS_STORE_WRITER, old->p);
    assert_ok(cs_store_check(old->store, old->p, NULL));
    assert_string_equal(shape(old), shape(s));
    ask(old, SITE, A, "{}");
    assert_non_null(get(old, SITE, A));
    notice_traced(old, "pc:a", TRACE1, NULL);
    assert_string_equal(trace_of(old, "pc:a"), TRACE1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_job_and_its_work_come_together),
        UNIT_TEST(test_asked_twice_is_one_job),
        UNIT_TEST(test_a_job_without_id_is_refused_with_all_of_its_group),
        UNIT_TEST(test_jobs_are_listed_newest_first_and_sites_apart),
        UNIT_TEST(test_a_turn_stores_where_the_job_stands),
        UNIT_TEST(test_cancelled_stays_cancelled_and_done_stays_done),
        UNIT_TEST(test_rows_are_numbered_within_their_job),
        UNIT_TEST(test_a_damaged_job_spoils_no_other),
        UNIT_TEST(test_ended_jobs_go_after_thirty_days),
        UNIT_TEST(test_pruning_takes_a_long_job_in_portions),
        UNIT_TEST(test_an_alias_goes_only_from_its_own_deal),
        UNIT_TEST(test_the_newest_trace_wins),
        UNIT_TEST(test_a_trace_outlives_an_attempt_and_a_fold),
        UNIT_TEST(test_a_raised_database_is_as_a_fresh_one),
    };

    return UNIT_RUN(tests);
}
