/* What the store keeps beside deals and work says the same as deals and work themselves, whatever was
 * done in whatever order, by this program and by an older one beside it. COSELL_KEPT_SEED begins
 * elsewhere. */
#include "unit_store.h"

#include <sqlite3.h>

#include "mod_cosell/store/store_impl.h"

#define ROUNDS 60
#define DEALS 12
#define NAMES 8

typedef struct world_t {
    cs_store_config_t *cfg;
    cs_store_t *store;
    cs_lease_t lease;
    sqlite3 *other; /* the older program's */
    cs_deal_t *deals[DEALS];
    unsigned int random;
    apr_pool_t *p;
} world_t;

static int pick(world_t *w, int n)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (int)((w->random >> 8) % (unsigned int)n);
}

static const char *const titles[] = {"Contoso Azure", "contoso backup", "Fabrikam", "Fabrikam Azure 2", ""};
static const char *const sets[] = {"{}", "{\"a\":\"A\"}", "{\"b\":\"B\",\"a\":\"A\"}", "{\"c\":\"C\"}", NULL};
static const char *const problems[] = {"pc:400", "crm:x", "crm:y"};

static cs_change_t *change(apr_array_header_t *changes, cs_change_e kind)
{
    cs_change_t *c = apr_array_push(changes);

    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

static const char *name_of(world_t *w)
{
    return apr_psprintf(w->p, "pc:n%d", pick(w, NAMES));
}

/* ---- what is done ---- */

static void put_deal(world_t *w, apr_array_header_t *changes)
{
    int i = pick(w, DEALS), set = pick(w, 5), title = pick(w, 5);
    cs_deal_t *deal = w->deals[i];

    if (!deal) {
        deal = w->deals[i] = apr_pcalloc(w->p, sizeof(*deal));
    }
    deal->state = (cs_deal_state_e)pick(w, CS_DEAL_STATES);
    deal->title = title == 4 ? NULL : titles[title];
    deal->record_id = pick(w, 2) ? apr_psprintf(w->p, "record%d", pick(w, 3)) : NULL;
    deal->causes = sets[set] ? cs_json_own(json_loads(sets[set], 0, NULL), w->p) : NULL;
    change(changes, CS_CHANGE_DEAL)->deal = deal;
}

static void merge_deals(world_t *w, apr_array_header_t *changes)
{
    int a = pick(w, DEALS), b = pick(w, DEALS);
    cs_change_t *c;

    if (a != b && w->deals[a] && w->deals[b] && w->deals[a]->id && w->deals[b]->id) {
        c = change(changes, CS_CHANGE_MERGE);
        c->deal = w->deals[a];
        c->value = w->deals[b]->id;
        w->deals[b] = NULL;
    }
}

static void move_work(world_t *w, apr_array_header_t *changes, cs_work_state_e state)
{
    cs_change_t *c = change(changes, CS_CHANGE_WORK_LATER);

    c->work = apr_pcalloc(w->p, sizeof(*c->work));
    c->work->kind = CS_WORK_LOOK;
    c->work->name = name_of(w);
    c->work->wanted = c->work->seen = 1;
    c->work->state = state;
    c->work->attempts = pick(w, 3);
    c->work->upstream = "crm";
    c->work->problem_class = "refused";
    c->work->problem = problems[pick(w, 3)];
    c->work->detail = pick(w, 2) ? apr_psprintf(w->p, "row %d", pick(w, 9)) : NULL;
    c->at = T0;
}

static void end_work(world_t *w, apr_array_header_t *changes, cs_change_e kind)
{
    cs_change_t *c = change(changes, kind);

    c->work = apr_pcalloc(w->p, sizeof(*c->work));
    c->work->kind = CS_WORK_LOOK;
    c->work->name = name_of(w);
    c->work->hints = cs_json_own(json_object(), w->p);
    c->work->due = T0;
    c->value = pick(w, 4);
    c->at = T0;
}

static void do_ours(world_t *w)
{
    apr_array_header_t *changes = apr_array_make(w->p, 4, sizeof(cs_change_t));
    cs_result_t res;

    switch (pick(w, 8)) {
    case 0:
    case 1:
    case 2:
        put_deal(w, changes);
        break;
    case 3:
        merge_deals(w, changes);
        break;
    case 4:
        move_work(w, changes, CS_WORK_DEAD);
        move_work(w, changes, (cs_work_state_e)pick(w, 3));
        break;
    case 5:
        end_work(w, changes, CS_CHANGE_WORK_DONE);
        break;
    case 6:
        end_work(w, changes, pick(w, 2) ? CS_CHANGE_WORK_ADD : CS_CHANGE_WORK_TIMER);
        break;
    default:
        notice(w->store, name_of(w), T0, w->p);
        return;
    }
    if (cs_store_write(w->store, &w->lease, changes, w->p, &res)) {
        fail_msg("%s", res.detail);
    }
}

/* As schema 1.2 says it. */
static void do_theirs(world_t *w)
{
    const char *name = name_of(w), *sql;
    int state = pick(w, 3), id = 1 + pick(w, DEALS);
    char *why = NULL;

    switch (pick(w, 5)) {
    case 0:
        sql = apr_psprintf(w->p, "INSERT OR REPLACE INTO work(site,kind,name,wanted,done,hint_pc,hints,"
                           "first,due,attempts,state,upstream,problem_class,problem,detail,seen) VALUES("
                           "'" SITE "','look','%s',%d,0,0,NULL,1,1,%d,%d,NULL,NULL,%s,NULL,1)",
                           name, 2 + pick(w, 3), pick(w, 2), state, state == 1 ? "'crm:x'" : "NULL");
        break;
    case 1:
        sql = apr_psprintf(w->p, "INSERT INTO work(site,kind,name,wanted,done,hint_pc,first,due,attempts,"
                           "state) VALUES('" SITE "','look','%s',1,0,0,1,1,0,0) ON CONFLICT DO NOTHING", name);
        break;
    case 2:
        sql = apr_psprintf(w->p, "DELETE FROM work WHERE site='" SITE "' AND kind='look' AND name='%s'", name);
        break;
    case 3:
        sql = apr_psprintf(w->p, "INSERT INTO deal(id,site,state,title,next_look,created,updated) VALUES("
                           "nullif(0,0),'" SITE "',%d,'%s',0,1,1)", pick(w, 8), titles[pick(w, 5)]);
        break;
    default:
        sql = apr_psprintf(w->p, "UPDATE deal SET state=%d,title='%s',record_id='record9' WHERE id=%d",
                           pick(w, 8), titles[pick(w, 5)], id);
        break;
    }
    if (sqlite3_exec(w->other, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
}

/* ---- what must be ---- */

static const char *answer(world_t *w, const char *sql)
{
    const char *text = "";
    sqlite3_stmt *st;
    int i;

    if (sqlite3_prepare_v2(w->other, sql, -1, &st, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(w->other));
    }
    while (sqlite3_step(st) == SQLITE_ROW) {
        for (i = 0; i < sqlite3_column_count(st); i++) {
            text = apr_pstrcat(w->p, text, i ? "," : "", sqlite3_column_text(st, i), NULL);
        }
        text = apr_pstrcat(w->p, text, ";", NULL);
    }
    sqlite3_finalize(st);
    return text;
}

/* Words that are missing or too many, of deals that are not named for later. */
static void check_words(world_t *w)
{
    cs_words_t words = {0};
    cs_deal_t deal = {0};
    sqlite3_stmt *st;
    const char *kept;
    int i;

    assert_int_equal(sqlite3_prepare_v2(w->other, "SELECT id,title,record_id FROM deal WHERE id NOT IN "
                                                  "(SELECT deal FROM unworded)", -1, &st, NULL),
                     SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW) {
        deal.title = (const char *)sqlite3_column_text(st, 1);
        deal.record_id = (const char *)sqlite3_column_text(st, 2);
        cs_store_words_of_deal(&words, &deal);
        kept = answer(w, apr_psprintf(w->p, "SELECT word FROM word WHERE site='" SITE "' AND deal=%d",
                                      sqlite3_column_int(st, 0)));
        for (i = 0; i < words.n; i++) {
            assert_non_null(strstr(kept, apr_pstrcat(w->p, words.word[i], ";", NULL)));
        }
        assert_int_equal(atoi(answer(w, apr_psprintf(w->p, "SELECT count(*) FROM word WHERE deal=%d",
                                                     sqlite3_column_int(st, 0)))),
                         words.n);
    }
    sqlite3_finalize(st);
}

static void check(world_t *w)
{
    assert_string_equal(
        answer(w, "SELECT site,what,n FROM tally WHERE n<>0 ORDER BY what"),
        answer(w, "SELECT * FROM (SELECT site,'deal:'||state AS what,count(*) AS n FROM deal GROUP BY "
                  "site,state UNION ALL SELECT site,'dead',count(*) FROM work WHERE state=1 GROUP BY site)"
                  " ORDER BY what"));
    assert_string_equal(answer(w, "SELECT site,name,kind FROM dead ORDER BY 1,2,3"),
                        answer(w, "SELECT site,name,kind FROM work WHERE state=1 ORDER BY 1,2,3"));
    assert_string_equal(
        answer(w, "SELECT site,cause,n,dead FROM cause ORDER BY 1,2"),
        answer(w, "SELECT * FROM (SELECT site,cause,count(*),0 FROM deal_cause GROUP BY site,cause UNION "
                  "ALL SELECT site,cause,count(*),1 FROM dead GROUP BY site,cause) ORDER BY 1,2"));
    assert_string_equal(answer(w, "SELECT deal FROM deal_cause WHERE deal NOT IN (SELECT id FROM deal)"), "");
    assert_string_equal(answer(w, "SELECT deal FROM word WHERE deal NOT IN (SELECT id FROM deal)"), "");
    assert_string_equal(answer(w, "SELECT deal FROM unworded WHERE deal NOT IN (SELECT id FROM deal)"), "");
    check_words(w);
}

static void play(apr_pool_t *p, unsigned int seed)
{
    world_t w = {0};
    cs_result_t res;
    int i, left;

    w.p = p;
    w.random = seed;
    w.cfg = make_state(p);
    w.store = open_store(w.cfg, CS_STORE_WRITER, p);
    assert_ok(cs_store_lease_take(w.store, SITE, NODE, 3600 * SEC, T0, &w.lease, p, &res));
    assert_int_equal(sqlite3_open(in_state(w.cfg, "cosell.db", p), &w.other), SQLITE_OK);
    sqlite3_busy_timeout(w.other, 5000);
    sqlite3_exec(w.other, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
    for (i = 0; i < ROUNDS; i++) {
        if (pick(&w, 3)) {
            do_ours(&w);
        }
        else {
            do_theirs(&w);
        }
        if (i % 5 == 4) {
            check(&w);
        }
    }
    assert_ok(cs_store_prune(w.store, &w.lease, T0, 100, &left, p, &res));
    assert_string_equal(answer(&w, "SELECT deal FROM unworded"), "");
    check(&w);
    sqlite3_close(w.other);
    cs_store_close(w.store);
}

static void test_what_is_kept_is_what_is_there(void **state)
{
    const char *text = getenv("COSELL_KEPT_SEED");
    unsigned int seed = text ? (unsigned int)atoi(text) : 1;
    apr_pool_t *p;
    int i;

    for (i = 0; i < 20; i++) {
        apr_pool_create(&p, *state);
        print_message("seed %u\n", seed + (unsigned int)i);
        play(p, seed + (unsigned int)i);
        apr_pool_destroy(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_what_is_kept_is_what_is_there),
    };

    return UNIT_RUN(tests);
}
