/* The store's part in both directions: rows that records show, cursors, timers, what a poll and a
 * sweep ask for, what was posted. */
#include "unit_store.h"

#include "mod_cosell/store/sqlite_impl.h"

#define ROWS 300

typedef struct site_t {
    cs_store_config_t *cfg;
    cs_store_t *store;
    cs_lease_t lease;
    apr_pool_t *p;
} site_t;

static site_t *new_site(apr_pool_t *p)
{
    site_t *s = apr_pcalloc(p, sizeof(*s));
    cs_result_t res = {0};

    s->p = p;
    s->cfg = make_state(p);
    s->store = open_store(s->cfg, CS_STORE_WRITER, p);
    if (cs_store_lease_take(s->store, SITE, NODE, 90 * SEC, cs_time_now(), &s->lease, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return s;
}

static apr_status_t try_one(site_t *s, cs_change_t change)
{
    apr_array_header_t *changes = apr_array_make(s->p, 1, sizeof(cs_change_t));

    APR_ARRAY_PUSH(changes, cs_change_t) = change;
    return cs_store_write(s->store, &s->lease, changes, s->p, NULL);
}

static void write_one(site_t *s, cs_change_t change)
{
    assert_ok(try_one(s, change));
}

static cs_deal_t *new_deal(site_t *s, const char *crm, cs_deal_state_e state)
{
    cs_deal_t *deal = apr_pcalloc(s->p, sizeof(*deal));

    deal->site = SITE;
    deal->crm = crm;
    deal->state = state;
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = deal});
    return deal;
}

static void watch(site_t *s, cs_deal_t *deal, const char *rows)
{
    json_t *json = rows ? cs_json_own(json_loads(rows, 0, NULL), s->p) : NULL;

    write_one(s, (cs_change_t){
                     .kind = CS_CHANGE_WATCH, .deal = deal, .system = "crm", .rows = json});
}

/* "1 2": who watches the row. */
static const char *watchers(site_t *s, const char *crm, const char *row)
{
    apr_array_header_t *ids;
    const char *text = "";
    int i;

    assert_ok(cs_store_watchers(s->store, SITE, crm, row, 0, 100, &ids, s->p, NULL));
    for (i = 0; i < ids->nelts; i++) {
        text = apr_psprintf(s->p, "%s%s%" APR_INT64_T_FMT, text, i ? " " : "",
                            APR_ARRAY_IDX(ids, i, apr_int64_t));
    }
    return text;
}

static cs_work_t *named(site_t *s, const char *kind, const char *name, const char *hint)
{
    cs_work_t *work = apr_pcalloc(s->p, sizeof(*work));

    work->site = SITE;
    work->kind = kind;
    work->name = name;
    work->hints = cs_json_own(json_object(), s->p);
    if (hint) {
        json_object_set_new(work->hints, hint, json_integer(1));
    }
    work->first = work->due = T0;
    return work;
}

static void add(site_t *s, const char *kind, const char *name, const char *hint)
{
    write_one(s, (cs_change_t){
                     .kind = CS_CHANGE_WORK_ADD, .work = named(s, kind, name, hint), .at = T0});
}

static cs_work_t *row(site_t *s, const char *kind, const char *name)
{
    cs_work_t *work;

    assert_ok(cs_store_work_named(s->store, SITE, kind, name, &work, s->p, NULL));
    return work;
}

static int has_hint(const cs_work_t *work, const char *hint)
{
    return json_object_get(work->hints, hint) != NULL;
}

/* ---- watched rows ---- */

static void test_what_a_record_shows_replaces_what_it_showed(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "crm", CS_DEAL_LINKED), *b = new_deal(s, "crm", CS_DEAL_LINKED);

    watch(s, a, "{\"r1\":\"account\",\"r2\":\"contact\"}");
    watch(s, b, "{\"r1\":\"account\"}");
    assert_string_equal(watchers(s, "crm", "r1"), "1 2");
    assert_string_equal(watchers(s, "crm", "r2"), "1");
    assert_string_equal(watchers(s, "other", "r1"), "");
    watch(s, a, "{\"r2\":\"contact\",\"r3\":\"systemuser\"}");
    assert_string_equal(watchers(s, "crm", "r1"), "2");
    assert_string_equal(watchers(s, "crm", "r2"), "1");
    assert_string_equal(watchers(s, "crm", "r3"), "1");
    watch(s, a, NULL);
    assert_string_equal(watchers(s, "crm", "r2"), "");
    write_one(s, (cs_change_t){.kind = CS_CHANGE_WATCH, .deal = b, .system = "new",
                               .rows = cs_json_own(json_pack("{s:s}", "r9", "account"), s->p)});
    assert_string_equal(watchers(s, "crm", "r1"), "");
    assert_string_equal(watchers(s, "new", "r9"), "2");
}

static void test_watchers_come_in_portions(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *ids;
    int i;

    for (i = 0; i < 5; i++) {
        watch(s, new_deal(s, "crm", CS_DEAL_LINKED), "{\"r1\":\"account\"}");
    }
    assert_ok(cs_store_watchers(s->store, SITE, "crm", "r1", 2, 2, &ids, s->p, NULL));
    assert_int_equal(ids->nelts, 2);
    assert_int_equal(APR_ARRAY_IDX(ids, 0, apr_int64_t), 3);
    assert_int_equal(APR_ARRAY_IDX(ids, 1, apr_int64_t), 4);
    assert_ok(cs_store_watchers(s->store, "elsewhere", "crm", "r1", 0, 9, &ids, s->p, NULL));
    assert_int_equal(ids->nelts, 0);
}

static void test_a_deal_that_is_gone_shows_nothing(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "crm", CS_DEAL_LINKED);

    watch(s, a, "{\"r1\":\"account\"}");
    a->state = CS_DEAL_GONE;
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = a});
    assert_string_equal(watchers(s, "crm", "r1"), "");
    watch(s, a, "{\"r1\":\"account\"}");
    assert_string_equal(watchers(s, "crm", "r1"), "");
    a->state = CS_DEAL_LINKED;
    watch(s, a, "{\"r1\":\"account\"}");
    assert_string_equal(watchers(s, "crm", "r1"), "1");
}

static void test_merged_deals_watch_together(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *stays = new_deal(s, "crm", CS_DEAL_LINKED), *goes = new_deal(s, "crm", CS_DEAL_LINKED);

    watch(s, stays, "{\"r1\":\"account\"}");
    watch(s, goes, "{\"r1\":\"account\",\"r2\":\"contact\"}");
    write_one(s, (cs_change_t){.kind = CS_CHANGE_MERGE, .deal = stays, .value = goes->id});
    assert_string_equal(watchers(s, "crm", "r1"), "1");
    assert_string_equal(watchers(s, "crm", "r2"), "1");
}

static apr_int64_t rows_in(const site_t *s, const char *table)
{
    sqlite3 *db = ((cs_sqlite_t *)s->store)->db;
    sqlite3_stmt *st;
    apr_int64_t n;

    assert_int_equal(sqlite3_prepare_v2(db, apr_pstrcat(s->p, "SELECT count(*) FROM ", table, NULL),
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static void test_showing_the_same_writes_nothing(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "crm", CS_DEAL_LINKED);
    sqlite3 *db;
    int before;

    watch(s, a, "{\"r1\":\"account\",\"r2\":\"contact\"}");
    db = ((cs_sqlite_t *)s->store)->db;
    before = sqlite3_total_changes(db);
    watch(s, a, "{\"r2\":\"contact\",\"r1\":\"account\"}");
    assert_int_equal(sqlite3_total_changes(db), before);
    assert_int_equal(rows_in(s, "watch"), 2);
}

/* Rows that a statement went through without an index since the handle was opened. */
static int full_scan_steps(cs_store_t *store, int *pused)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    int i, n = 0;

    for (*pused = 0, i = 0; i < CS_SQL_COUNT; i++) {
        if (sq->stmt[i]) {
            n += sqlite3_stmt_status(sq->stmt[i], SQLITE_STMTSTATUS_FULLSCAN_STEP, 0);
            ++*pused;
        }
    }
    return n;
}

static void test_nothing_scans_a_table(void **state)
{
    site_t *s = new_site(*state);
    apr_int64_t after = 0;
    apr_array_header_t *ids;
    const char *text;
    cs_deal_t *deal = NULL;
    int i, left, used;

    for (i = 0; i < ROWS; i++) {
        deal = new_deal(s, "crm", i % 2 ? CS_DEAL_LINKED : CS_DEAL_CLOSED);
        watch(s, deal, apr_psprintf(s->p, "{\"r%d\":\"account\",\"all\":\"systemuser\"}", i));
    }
    watch(s, deal, "{\"all\":\"systemuser\"}");
    assert_ok(cs_store_watchers(s->store, SITE, "crm", "all", 10, 50, &ids, s->p, NULL));
    assert_int_equal(ids->nelts, 50);
    assert_ok(cs_store_deals_open(s->store, SITE, "crm", 50, &after, &ids, &left, s->p, NULL));
    assert_int_equal(ids->nelts, 50);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_CURSOR, .name = "x", .text = "1", .at = T0});
    assert_ok(cs_store_cursor_get(s->store, SITE, "x", &text, NULL, s->p, NULL));
    write_one(s, (cs_change_t){.kind = CS_CHANGE_MERGE, .deal = deal, .value = deal->id - 1});
    write_one(s, (cs_change_t){.kind = CS_CHANGE_CURSOR, .name = "x"});
    assert_int_equal(full_scan_steps(s->store, &used), 0);
    assert_true(used > 12);
}

/* ---- deals ---- */

static void test_open_deals_come_in_portions(void **state)
{
    static const cs_deal_state_e states[] = {CS_DEAL_NEW,    CS_DEAL_LINKED,   CS_DEAL_CLOSED,
                                             CS_DEAL_PARKED, CS_DEAL_UNLINKED, CS_DEAL_GONE,
                                             CS_DEAL_LEAD,   CS_DEAL_IGNORED,  CS_DEAL_LINKED};
    site_t *s = new_site(*state);
    apr_array_header_t *ids;
    apr_int64_t after = 0;
    int i, left;

    for (i = 0; i < 9; i++) {
        new_deal(s, i == 8 ? "second" : "crm", states[i]);
    }
    assert_ok(cs_store_deals_open(s->store, SITE, NULL, 2, &after, &ids, &left, s->p, NULL));
    assert_int_equal(ids->nelts, 2);
    assert_int_equal(after, 2);
    assert_true(left);
    assert_ok(cs_store_deals_open(s->store, SITE, NULL, 2, &after, &ids, &left, s->p, NULL));
    assert_int_equal(ids->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(ids, 0, apr_int64_t), 9);
    assert_false(left);
    after = 0;
    assert_ok(cs_store_deals_open(s->store, SITE, "crm", 10, &after, &ids, &left, s->p, NULL));
    assert_int_equal(ids->nelts, 2);
    after = 0;
    assert_ok(cs_store_deals_open(s->store, "elsewhere", NULL, 10, &after, &ids, &left, s->p, NULL));
    assert_int_equal(ids->nelts, 0);
}

static void test_what_was_posted_is_kept(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "crm", CS_DEAL_NEW), *loaded;

    a->posted = cs_json_own(json_pack("{s:{s:s}}", "own", "state", "sent"), s->p);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = a});
    assert_ok(cs_store_deal_load(s->store, SITE, a->id, &loaded, s->p, NULL));
    assert_true(json_equal(loaded->posted, a->posted));
    a->posted = NULL;
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = a});
    assert_ok(cs_store_deal_load(s->store, SITE, a->id, &loaded, s->p, NULL));
    assert_null(loaded->posted);
}

/* ---- cursors ---- */

static void test_a_cursor_commits_with_its_work(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *changes = apr_array_make(s->p, 2, sizeof(cs_change_t));
    cs_lease_t lost = s->lease;
    const char *text;
    apr_time_t updated;

    assert_ok(cs_store_cursor_get(s->store, SITE, "poll", &text, &updated, s->p, NULL));
    assert_null(text);
    APR_ARRAY_PUSH(changes, cs_change_t) =
        (cs_change_t){.kind = CS_CHANGE_WORK_ADD,
                      .work = named(s, CS_WORK_LOOK, "pc:a", CS_CAUSE_POLL), .at = T0};
    APR_ARRAY_PUSH(changes, cs_change_t) =
        (cs_change_t){.kind = CS_CHANGE_CURSOR, .name = "poll", .text = "page 2", .at = T0};
    lost.epoch--;
    assert_int_equal(cs_store_write(s->store, &lost, changes, s->p, NULL), CS_ELEASE);
    assert_ok(cs_store_cursor_get(s->store, SITE, "poll", &text, &updated, s->p, NULL));
    assert_null(text);
    assert_null(row(s, CS_WORK_LOOK, "pc:a"));
    assert_ok(cs_store_write(s->store, &s->lease, changes, s->p, NULL));
    assert_ok(cs_store_cursor_get(s->store, SITE, "poll", &text, &updated, s->p, NULL));
    assert_string_equal(text, "page 2");
    assert_int_equal(updated, T0);
    assert_non_null(row(s, CS_WORK_LOOK, "pc:a"));
    assert_ok(cs_store_cursor_get(s->store, "elsewhere", "poll", &text, NULL, s->p, NULL));
    assert_null(text);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_CURSOR, .name = "poll"});
    assert_ok(cs_store_cursor_get(s->store, SITE, "poll", &text, &updated, s->p, NULL));
    assert_null(text);
}

/* ---- notices of CRMs ---- */

static cs_notice_t *crm_notice(site_t *s, const char *name, const char *table, apr_time_t hint)
{
    cs_notice_t *n = make_notice(s->p, name, T0);

    n->source = n->system = "crm";
    n->hint = hint;
    n->tables = apr_array_make(s->p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(n->tables, const char *) = table;
    return n;
}

static void test_a_notice_keeps_the_table_of_a_row(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal;

    assert_ok(accept_one(s->store, crm_notice(s, "crm:r1", "opportunity", 0), s->p, NULL));
    assert_true(has_hint(row(s, CS_WORK_LOOK, "crm:r1"), CS_HINT_TABLE "opportunity"));
    assert_true(cs_work_notified(row(s, CS_WORK_LOOK, "crm:r1")));
    assert_ok(accept_one(s->store, crm_notice(s, "crm:r1", "lead", T0), s->p, NULL));
    assert_true(has_hint(row(s, CS_WORK_LOOK, "crm:r1"), CS_HINT_TABLE "opportunity"));
    assert_true(has_hint(row(s, CS_WORK_LOOK, "crm:r1"), CS_HINT_TABLE "lead"));
    assert_int_equal(json_integer_value(json_object_get(row(s, CS_WORK_LOOK, "crm:r1")->hints, "crm")),
                     T0);
    assert_int_equal(row(s, CS_WORK_LOOK, "crm:r1")->wanted, 2);
    /* In the deal it is known; a hint of it would only grow. */
    deal = new_deal(s, "crm", CS_DEAL_LINKED);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_FOLD, .deal = deal,
                               .work = named(s, CS_WORK_LOOK, "crm:r1", NULL)});
    assert_null(row(s, CS_WORK_LOOK, "crm:r1"));
    assert_false(has_hint(row(s, CS_WORK_LOOK, "deal:1"), CS_HINT_TABLE "lead"));
    assert_true(has_hint(row(s, CS_WORK_LOOK, "deal:1"), "crm"));
    assert_int_equal(row(s, CS_WORK_LOOK, "deal:1")->wanted, 2);
}

static void test_names_without_a_table_are_as_before(void **state)
{
    site_t *s = new_site(*state);
    cs_notice_t *n = crm_notice(s, "crm:r1", NULL, 0);

    APR_ARRAY_PUSH(n->names, const char *) = "crm:r2"; /* more names than tables */
    assert_ok(accept_one(s->store, n, s->p, NULL));
    assert_int_equal(json_object_size(row(s, CS_WORK_LOOK, "crm:r1")->hints), 0);
    assert_int_equal(row(s, CS_WORK_LOOK, "crm:r2")->wanted, 1);
}

/* ---- what polls and sweeps ask for ---- */

static cs_work_t *end_badly(site_t *s, const char *name, cs_work_state_e end)
{
    cs_result_t why = {0};
    cs_work_t *work;

    notice(s->store, name, T0, s->p);
    work = row(s, CS_WORK_LOOK, name);
    work->state = end;
    work->upstream = "crm";
    work->seen = work->wanted;
    work->attempts = 4;
    cs_result_set(&why, s->p, APR_EGENERAL, CS_CLASS_REFUSED, "crm:refused", "no");
    write_one(s, (cs_change_t){
                     .kind = CS_CHANGE_WORK_LATER, .work = work, .at = T0 + 100 * SEC, .result = &why});
    return row(s, CS_WORK_LOOK, name);
}

static void test_what_a_poll_finds_is_news(void **state)
{
    site_t *s = new_site(*state);
    cs_work_t *work;

    add(s, CS_WORK_LOOK, "deal:1", CS_CAUSE_POLL);
    work = row(s, CS_WORK_LOOK, "deal:1");
    assert_true(cs_work_notified(work));
    assert_int_equal(work->due, T0);
    assert_int_equal(end_badly(s, "deal:2", CS_WORK_DEAD)->state, CS_WORK_DEAD);
    add(s, CS_WORK_LOOK, "deal:2", CS_CAUSE_POLL);
    work = row(s, CS_WORK_LOOK, "deal:2");
    assert_int_equal(work->state, CS_WORK_READY);
    assert_int_equal(work->due, T0);
    assert_int_equal(work->attempts, 0);
    assert_null(work->problem);
    assert_true(cs_work_notified(work));
    /* One that waits for its next attempt goes on waiting. */
    assert_int_equal(end_badly(s, "deal:3", CS_WORK_READY)->due, T0 + 100 * SEC);
    add(s, CS_WORK_LOOK, "deal:3", CS_CAUSE_POLL);
    work = row(s, CS_WORK_LOOK, "deal:3");
    assert_int_equal(work->due, T0 + 100 * SEC);
    assert_int_equal(work->attempts, 4);
    assert_true(cs_work_notified(work));
}

static void test_a_sweep_disturbs_nothing_that_is_under_way(void **state)
{
    static const cs_work_state_e ends[] = {CS_WORK_READY, CS_WORK_DEAD, CS_WORK_SUSPENDED};
    site_t *s = new_site(*state);
    cs_work_t *before, *after;
    const char *name;
    int i;

    add(s, CS_WORK_LOOK, "deal:1", CS_CAUSE_SWEEP);
    assert_false(cs_work_notified(row(s, CS_WORK_LOOK, "deal:1")));
    assert_true(has_hint(row(s, CS_WORK_LOOK, "deal:1"), CS_CAUSE_SWEEP));
    for (i = 0; i < 3; i++) {
        name = apr_psprintf(s->p, "deal:%d", i + 2);
        before = end_badly(s, name, ends[i]);
        add(s, CS_WORK_LOOK, name, CS_CAUSE_SWEEP);
        after = row(s, CS_WORK_LOOK, name);
        assert_int_equal(after->state, before->state);
        assert_int_equal(after->due, before->due);
        assert_int_equal(after->wanted, before->wanted);
        assert_int_equal(after->attempts, 4);
        assert_string_equal(after->problem, "crm:refused");
        assert_false(has_hint(after, CS_CAUSE_SWEEP));
    }
}

/* ---- timers ---- */

static void set_timer(site_t *s, const char *name, apr_int64_t done, apr_time_t at)
{
    write_one(s, (cs_change_t){.kind = CS_CHANGE_WORK_TIMER,
                               .work = named(s, CS_WORK_POLL, name, NULL), .value = done, .at = at});
}

static int claimed(site_t *s, apr_time_t now)
{
    apr_array_header_t *works;

    assert_ok(cs_store_claim(s->store, &s->lease, now, 10, &works, s->p, NULL));
    return works->nelts;
}

static void test_a_timer_is_due_and_no_backlog(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *sites = apr_array_make(s->p, 1, sizeof(const char *)), *due;
    apr_time_t next;

    APR_ARRAY_PUSH(sites, const char *) = SITE;
    set_timer(s, "referrals", 0, T0 + 300 * SEC);
    assert_ok(cs_store_sites_due(s->store, sites, T0, &due, &next, s->p, NULL));
    assert_int_equal(due->nelts, 0);
    assert_int_equal(next, T0 + 300 * SEC);
    assert_int_equal(claimed(s, T0), 0);
    assert_int_equal(claimed(s, T0 + 300 * SEC), 1);
    assert_int_equal(counts_of(s->store, SITE, s->p).outstanding, 0);
    assert_int_equal(counts_of(s->store, SITE, s->p).oldest, 0);
    notice(s->store, "pc:a", T0 + SEC, s->p);
    assert_int_equal(counts_of(s->store, SITE, s->p).outstanding, 1);
    assert_int_equal(counts_of(s->store, SITE, s->p).oldest, T0 + SEC);
    assert_int_equal(counts_of(s->store, NULL, s->p).outstanding, 1);
}

static void test_asking_makes_a_timer_due_at_once(void **state)
{
    site_t *s = new_site(*state);
    cs_notice_t *n = make_notice(s->p, "referrals", T0 + SEC);
    cs_work_t *work;

    set_timer(s, "referrals", 0, T0 + 300 * SEC);
    n->kind = CS_WORK_POLL;
    assert_ok(accept_one(s->store, n, s->p, NULL));
    assert_int_equal(row(s, CS_WORK_POLL, "referrals")->due, T0 + SEC);
    add(s, CS_WORK_POLL, "referrals", "related:x");
    work = row(s, CS_WORK_POLL, "referrals");
    assert_true(has_hint(work, "related:x"));
    assert_int_equal(work->wanted, 2);
    /* Done with what was asked for so far, and asked again meanwhile. */
    set_timer(s, "referrals", 1, T0 + 600 * SEC);
    work = row(s, CS_WORK_POLL, "referrals");
    assert_true(work->due > T0 + 600 * SEC); /* now: T0 is long ago */
    assert_true(has_hint(work, "related:x"));
    set_timer(s, "referrals", 2, T0 + 600 * SEC);
    work = row(s, CS_WORK_POLL, "referrals");
    assert_int_equal(work->due, T0 + 600 * SEC);
    assert_int_equal(json_object_size(work->hints), 0);
    assert_int_equal(work->done, work->wanted);
}

static void test_a_timer_forgets_its_trouble(void **state)
{
    site_t *s = new_site(*state);
    cs_result_t why = {0};
    cs_work_t *work;

    set_timer(s, "referrals", 0, T0);
    work = row(s, CS_WORK_POLL, "referrals");
    work->attempts = 3;
    cs_result_set(&why, s->p, CS_EREMOTE, CS_CLASS_RETRY, "pc:503", "away");
    write_one(s, (cs_change_t){
                     .kind = CS_CHANGE_WORK_LATER, .work = work, .at = T0 + SEC, .result = &why});
    work = row(s, CS_WORK_POLL, "referrals");
    assert_int_equal(work->attempts, 3);
    assert_string_equal(work->problem, "pc:503");
    set_timer(s, "referrals", 0, T0 + 9 * SEC);
    work = row(s, CS_WORK_POLL, "referrals");
    assert_int_equal(work->attempts, 0);
    assert_null(work->problem);
    assert_int_equal(work->due, T0 + 9 * SEC);
}

/* ---- versions ---- */

static void test_the_schema_before_this_one_is_raised(void **state)
{
    site_t *s = new_site(*state);
    const char *path = in_state(s->cfg, "cosell.db", s->p);
    cs_deal_t *deal;
    sqlite3 *db;

    new_deal(s, "crm", CS_DEAL_LINKED);
    cs_store_close(s->store);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  UNIT_LOWER_TO_1_2
                                  "ALTER TABLE deal DROP COLUMN posted; DROP TABLE watch;"
                                  "UPDATE meta SET text='1.1' WHERE name='schema'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    s->store = open_store(s->cfg, CS_STORE_WRITER, s->p);
    assert_ok(cs_store_deal_load(s->store, SITE, 1, &deal, s->p, NULL));
    assert_null(deal->posted);
    deal->posted = cs_json_own(json_object(), s->p);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = deal});
    watch(s, deal, "{\"r1\":\"account\"}");
    assert_string_equal(watchers(s, "crm", "r1"), "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_what_a_record_shows_replaces_what_it_showed),
        UNIT_TEST(test_watchers_come_in_portions),
        UNIT_TEST(test_a_deal_that_is_gone_shows_nothing),
        UNIT_TEST(test_merged_deals_watch_together),
        UNIT_TEST(test_showing_the_same_writes_nothing),
        UNIT_TEST(test_nothing_scans_a_table),
        UNIT_TEST(test_open_deals_come_in_portions),
        UNIT_TEST(test_what_was_posted_is_kept),
        UNIT_TEST(test_a_cursor_commits_with_its_work),
        UNIT_TEST(test_a_notice_keeps_the_table_of_a_row),
        UNIT_TEST(test_names_without_a_table_are_as_before),
        UNIT_TEST(test_what_a_poll_finds_is_news),
        UNIT_TEST(test_a_sweep_disturbs_nothing_that_is_under_way),
        UNIT_TEST(test_a_timer_is_due_and_no_backlog),
        UNIT_TEST(test_asking_makes_a_timer_due_at_once),
        UNIT_TEST(test_a_timer_forgets_its_trouble),
        UNIT_TEST(test_the_schema_before_this_one_is_raised),
    };

    return UNIT_RUN(tests);
}
