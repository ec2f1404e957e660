/* The store's part in looks that no notice asks for: what counts as a notice, which deals are due, brakes, merges, and an older schema. */
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
    cs_result_t res = {0};

    s->p = p;
    s->cfg = make_state(p);
    s->store = open_store(s->cfg, CS_STORE_WRITER, p);
    if (cs_store_lease_take(s->store, SITE, NODE, 90 * SEC, cs_time_now(), &s->lease, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return s;
}

static void write_one(site_t *s, cs_change_t change)
{
    apr_array_header_t *changes = apr_array_make(s->p, 1, sizeof(cs_change_t));
    cs_result_t res = {0};

    APR_ARRAY_PUSH(changes, cs_change_t) = change;
    if (cs_store_write(s->store, &s->lease, changes, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static cs_work_t *named(site_t *s, const char *name, const char *cause)
{
    cs_work_t *work = apr_pcalloc(s->p, sizeof(*work));

    work->site = SITE;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->hints = cs_json_own(json_object(), s->p);
    if (cause) {
        json_object_set_new(work->hints, cause, json_integer(1));
    }
    work->due = T0;
    return work;
}

static void add(site_t *s, const char *name, const char *cause)
{
    write_one(s, (cs_change_t){.kind = CS_CHANGE_WORK_ADD, .work = named(s, name, cause), .at = T0});
}

static cs_work_t *row(site_t *s)
{
    apr_array_header_t *list;

    assert_ok(cs_store_work_list(s->store, SITE, -1, 10, &list, s->p, NULL));
    assert_int_equal(list->nelts, 1);
    return APR_ARRAY_IDX(list, 0, cs_work_t *);
}

static int has_cause(const cs_work_t *work, const char *cause)
{
    return json_object_get(work->hints, cause) != NULL;
}

static cs_deal_t *new_deal(site_t *s, const char *crm, const char *mapping, cs_deal_state_e state)
{
    cs_deal_t *deal = apr_pcalloc(s->p, sizeof(*deal));

    deal->site = SITE;
    deal->crm = crm;
    deal->mapping = mapping;
    deal->state = state;
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = deal});
    return deal;
}

static void later(site_t *s, cs_work_t *work, apr_int64_t seen)
{
    work->seen = seen;
    write_one(s, (cs_change_t){.kind = CS_CHANGE_WORK_LATER, .work = work, .at = T0 + SEC});
}

/* ---- what is a notice ---- */

static void test_asked_for_by_ourselves_is_no_notice(void **state)
{
    site_t *s = new_site(*state);

    add(s, "deal:1", CS_CAUSE_MAPPING);
    assert_int_equal(row(s)->wanted, 1);
    assert_false(cs_work_notified(row(s)));
    assert_true(has_cause(row(s), CS_CAUSE_MAPPING));
    add(s, "deal:1", CS_CAUSE_AGAIN);
    assert_false(cs_work_notified(row(s)));
}

static void test_notice_removes_the_cause_for_good(void **state)
{
    site_t *s = new_site(*state);
    cs_work_t *work;

    add(s, "deal:1", CS_CAUSE_MAPPING);
    notice(s->store, "deal:1", T0, s->p);
    work = row(s);
    assert_true(cs_work_notified(work));
    assert_false(has_cause(work, CS_CAUSE_MAPPING));
    later(s, work, work->wanted); /* the look worked, and is to be repeated */
    assert_false(cs_work_notified(row(s)));
    assert_false(has_cause(row(s), CS_CAUSE_MAPPING));
}

static void test_cause_does_not_hide_a_notice(void **state)
{
    site_t *s = new_site(*state);

    notice(s->store, "deal:1", T0, s->p);
    add(s, "deal:1", CS_CAUSE_MAPPING);
    assert_true(cs_work_notified(row(s)));
    assert_false(has_cause(row(s), CS_CAUSE_MAPPING));
}

static void test_repeat_is_seen_and_what_follows_is_not(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *works = apr_array_make(*state, 1, sizeof(cs_work_t *));
    cs_work_t *work;

    notice(s->store, "deal:1", T0, s->p);
    work = row(s);
    APR_ARRAY_PUSH(works, cs_work_t *) = work;
    notice(s->store, "deal:1", T0, s->p); /* while the look goes on */
    later(s, work, 1);
    assert_int_equal(row(s)->wanted, 2);
    assert_true(cs_work_notified(row(s)));
    later(s, row(s), 2);
    assert_false(cs_work_notified(row(s)));
    assert_ok(cs_store_refresh(s->store, works, s->p, NULL));
    assert_int_equal(work->seen, 2);
    assert_int_equal(work->wanted, 2);
}

static void test_folding_keeps_what_is_new(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal = new_deal(s, "crm", NULL, CS_DEAL_LINKED);
    cs_work_t *work;

    write_one(s, (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = deal, .system = "pc", .name = "a"});
    add(s, "deal:1", CS_CAUSE_MAPPING);
    notice(s->store, "pc:a", T0, s->p);
    work = named(s, "pc:a", NULL);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_FOLD, .deal = deal, .work = work});
    assert_int_equal(work->wanted, 2);
    assert_true(cs_work_notified(work));
    assert_false(has_cause(work, CS_CAUSE_MAPPING));
    later(s, row(s), 2);
    add(s, "pc:a", CS_CAUSE_AGAIN); /* and what is not stays old */
    work = named(s, "pc:a", NULL);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_FOLD, .deal = deal, .work = work});
    assert_int_equal(work->wanted, 3);
    assert_false(cs_work_notified(work));
}

static void test_dead_row_wakes_and_remembers_why(void **state)
{
    site_t *s = new_site(*state);
    cs_work_t *work;

    notice(s->store, "deal:1", T0, s->p);
    work = row(s);
    work->state = CS_WORK_DEAD;
    work->problem_class = "refused";
    work->problem = "lookup:held";
    work->detail = "no such account";
    later(s, work, 1);
    add(s, "deal:1", CS_CAUSE_AGAIN);
    assert_int_equal(row(s)->state, CS_WORK_READY);
    assert_int_equal(row(s)->attempts, 0);
    assert_string_equal(row(s)->detail, "no such account");
    assert_true(has_cause(row(s), CS_CAUSE_AGAIN));
}

/* ---- brakes ---- */

static void pause_row(site_t *s, const char *upstream)
{
    cs_work_t *work = row(s);

    work->state = CS_WORK_SUSPENDED;
    work->upstream = upstream;
    later(s, work, 0);
}

static void test_notice_wakes_what_a_brake_holds(void **state)
{
    site_t *s = new_site(*state);

    add(s, "deal:1", CS_CAUSE_MAPPING);
    pause_row(s, CS_BRAKE "mapping");
    notice(s->store, "deal:1", T0, s->p);
    assert_int_equal(row(s)->state, CS_WORK_READY);
    assert_null(row(s)->upstream);
    pause_row(s, "partner-center"); /* but not what an upstream holds */
    notice(s->store, "deal:1", T0, s->p);
    assert_int_equal(row(s)->state, CS_WORK_SUSPENDED);
}

static void test_notice_by_another_name_wakes_it_too(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal = new_deal(s, "crm", NULL, CS_DEAL_LINKED);
    apr_array_header_t *works;

    write_one(s, (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = deal, .system = "pc", .name = "a"});
    add(s, "deal:1", CS_CAUSE_MAPPING);
    pause_row(s, CS_BRAKE "mapping");
    notice(s->store, "pc:a", T0, s->p);
    assert_ok(cs_store_claim(s->store, &s->lease, T0 + SEC, 10, &works, s->p, NULL));
    assert_int_equal(works->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(works, 0, cs_work_t *)->name, "deal:1");
}

/* ---- which deals ---- */

static void test_deals_of_another_mapping_in_portions(void **state)
{
    apr_pool_t *p = *state;
    site_t *s = new_site(p);
    apr_array_header_t *ids;
    apr_int64_t after = 0;
    int i, left, found = 0, calls = 0;

    for (i = 0; i < 10; i++) {
        new_deal(s, "crm", i % 2 ? "new" : "old", CS_DEAL_LINKED);
    }
    new_deal(s, "other", "old", CS_DEAL_LINKED);
    new_deal(s, NULL, NULL, CS_DEAL_IGNORED);
    new_deal(s, "crm", "old", CS_DEAL_CLOSED);
    new_deal(s, "crm", "old", CS_DEAL_GONE);
    do {
        assert_ok(cs_store_deals_of_mapping(s->store, SITE, "crm", "new", 2, &after, &ids, &left, p, NULL));
        assert_true(ids->nelts <= 2);
        found += ids->nelts;
        for (i = 0; i < ids->nelts; i++) {
            assert_true(APR_ARRAY_IDX(ids, i, apr_int64_t) == 12 || APR_ARRAY_IDX(ids, i, apr_int64_t) % 2 == 1);
        }
    } while (left && ++calls < 20);
    assert_int_equal(found, 6);
    assert_ok(cs_store_deals_of_mapping(s->store, "elsewhere", "crm", "new", 2, &after, &ids, &left, p, NULL));
    assert_int_equal(ids->nelts, 0);
}

static void test_next_looks_are_due(void **state)
{
    apr_pool_t *p = *state;
    site_t *s = new_site(p);
    apr_array_header_t *ids, *sites = apr_array_make(p, 1, sizeof(const char *)), *due;
    cs_deal_t *a = new_deal(s, "crm", NULL, CS_DEAL_LINKED), *b = new_deal(s, "crm", NULL, CS_DEAL_LINKED);
    cs_deal_t *loaded;
    apr_time_t next;

    APR_ARRAY_PUSH(sites, const char *) = SITE;
    a->next_look = T0 + 20 * SEC;
    a->planned = 3;
    a->crossed = 5;
    a->crossed_since = T0;
    b->next_look = T0 + 10 * SEC;
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = a});
    write_one(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = b});
    assert_ok(cs_store_sites_due(s->store, sites, T0, &due, &next, p, NULL));
    assert_int_equal(due->nelts, 0);
    assert_int_equal(next, b->next_look);
    assert_ok(cs_store_sites_due(s->store, sites, T0 + 15 * SEC, &due, &next, p, NULL));
    assert_int_equal(due->nelts, 1);
    assert_ok(cs_store_deals_due(s->store, SITE, T0 + 15 * SEC, 10, &ids, p, NULL));
    assert_int_equal(ids->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(ids, 0, apr_int64_t), b->id);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_NEXT_LOOK, .value = b->id});
    assert_ok(cs_store_deals_due(s->store, SITE, T0 + 60 * SEC, 10, &ids, p, NULL));
    assert_int_equal(ids->nelts, 1);
    assert_ok(cs_store_deal_load(s->store, SITE, a->id, &loaded, p, NULL));
    assert_int_equal(loaded->planned, 3);
    assert_int_equal(loaded->crossed, 5);
    assert_int_equal(loaded->crossed_since, T0);
}

static void test_two_deals_become_one(void **state)
{
    apr_pool_t *p = *state;
    site_t *s = new_site(p);
    cs_deal_t *stays = new_deal(s, "crm", NULL, CS_DEAL_LINKED), *goes = new_deal(s, "crm", NULL, CS_DEAL_LINKED), *found;
    cs_journal_t journal = {.at = T0, .action = "create", .outcome = "done"};
    apr_array_header_t *list;

    write_one(s, (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = goes, .system = "pc", .name = "b"});
    write_one(s, (cs_change_t){.kind = CS_CHANGE_JOURNAL, .deal = goes, .journal = &journal});
    notice(s->store, "deal:2", T0, p);
    write_one(s, (cs_change_t){.kind = CS_CHANGE_MERGE, .deal = stays, .value = goes->id});
    assert_ok(cs_store_deal_find(s->store, SITE, "pc", "b", &found, p, NULL));
    assert_int_equal(found->id, stays->id);
    assert_ok(cs_store_deal_load(s->store, SITE, goes->id, &found, p, NULL));
    assert_null(found);
    assert_ok(cs_store_journal_list(s->store, SITE, stays->id, 10, &list, p, NULL));
    assert_int_equal(list->nelts, 1);
    assert_string_equal(row(s)->name, "deal:1");
    assert_true(cs_work_notified(row(s)));
    assert_int_equal(counts_of(s->store, SITE, p).deals, 1);
}

/* ---- files ---- */

static const char *db_of(const site_t *s)
{
    return in_state(s->cfg, "cosell.db", s->p);
}

static void tamper(const char *path, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s", why);
    }
    sqlite3_close(db);
}

static void test_older_schema_is_raised(void **state)
{
    apr_pool_t *p = *state;
    site_t *s = new_site(p);
    cs_store_t *store;
    cs_deal_t *deal;

    new_deal(s, "crm", "old", CS_DEAL_LINKED);
    notice(s->store, "deal:1", T0, p);
    cs_store_close(s->store);
    tamper(db_of(s), UNIT_LOWER_TO_1_2
                     "DROP INDEX deal_next; ALTER TABLE work DROP COLUMN seen; ALTER TABLE deal DROP COLUMN planned;"
                     "ALTER TABLE deal DROP COLUMN crossed; ALTER TABLE deal DROP COLUMN crossed_since;"
                     "ALTER TABLE deal DROP COLUMN posted; DROP TABLE watch;"
                     "UPDATE meta SET text='1.0' WHERE name='schema'");
    store = open_store(s->cfg, CS_STORE_WRITER, p);
    assert_ok(cs_store_check(store, p, NULL)); /* opening is enough */
    assert_ok(cs_store_deal_load(open_store(s->cfg, CS_STORE_READER, p), SITE, 1, &deal, p, NULL));
    assert_string_equal(deal->mapping, "old");
    s->store = store;
    assert_true(cs_work_notified(row(s)));
    add(s, "deal:1", CS_CAUSE_MAPPING);
    assert_int_equal(row(s)->wanted, 2);
}

static int mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) ? -1 : (int)(st.st_mode & 0777);
}

static void test_files_are_the_owners_alone(void **state)
{
    apr_pool_t *p = *state;
    mode_t before = umask(0);
    site_t *s = new_site(p);
    cs_store_t *store;

    notice(s->store, "pc:a", T0, p);
    assert_int_equal(mode_of(db_of(s)), 0600);
    assert_int_equal(mode_of(apr_pstrcat(p, db_of(s), "-wal", NULL)), 0600);
    assert_int_equal(mode_of(apr_pstrcat(p, db_of(s), "-shm", NULL)), 0600);
    cs_store_close(s->store);
    assert_int_equal(chmod(db_of(s), 0644), 0); /* as an earlier version left it */
    store = open_store(s->cfg, CS_STORE_WRITER, p);
    notice(store, "pc:b", T0, p);
    assert_int_equal(mode_of(db_of(s)), 0600);
    assert_int_equal(mode_of(apr_pstrcat(p, db_of(s), "-wal", NULL)), 0600);
    umask(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_asked_for_by_ourselves_is_no_notice),
        UNIT_TEST(test_notice_removes_the_cause_for_good),
        UNIT_TEST(test_cause_does_not_hide_a_notice),
        UNIT_TEST(test_repeat_is_seen_and_what_follows_is_not),
        UNIT_TEST(test_folding_keeps_what_is_new),
        UNIT_TEST(test_dead_row_wakes_and_remembers_why),
        UNIT_TEST(test_notice_wakes_what_a_brake_holds),
        UNIT_TEST(test_notice_by_another_name_wakes_it_too),
        UNIT_TEST(test_deals_of_another_mapping_in_portions),
        UNIT_TEST(test_next_looks_are_due),
        UNIT_TEST(test_two_deals_become_one),
        UNIT_TEST(test_older_schema_is_raised),
        UNIT_TEST(test_files_are_the_owners_alone),
    };

    return UNIT_RUN(tests);
}
