/* What a statement costs does not depend on how many deals there are: nothing scans a table, and what
 * is visited at many deals is what is visited at a thousand (within 1.2 times), for every function of
 * the store and every statement behind it.
 *
 * COSELL_SCALE_DEALS and COSELL_SCALE_JOURNAL say how many the large store has; 100000 and 1000000
 * take some minutes. */
#include "unit_store.h"

#include <sqlite3.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/store/sqlite_impl.h"

#define SMALL 1000
#define GROUP 250
#define LATER (T0 + 86400 * SEC)

typedef struct world_t {
    cs_store_config_t *cfg;
    cs_store_t *store;
    cs_lease_t lease;
    apr_pool_t *p, *ptemp;
    apr_array_header_t *changes;
    int deals, lines; /* of the journal, of each deal */
    const char *op;   /* what is measured */
    apr_array_header_t *measures;
    cs_deal_t *deal; /* one in the middle */
} world_t;

typedef struct measure_t {
    const char *op, *name;
    int scanned, steps;
} measure_t;

/* ---- building ---- */

static cs_change_t *change(world_t *w, cs_change_e kind)
{
    cs_change_t *c = apr_array_push(w->changes);

    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

static void commit(world_t *w)
{
    cs_result_t res;

    if (cs_store_write(w->store, &w->lease, w->changes, w->ptemp, &res)) {
        fail_msg("%s: %s", w->op, res.detail);
    }
    apr_array_clear(w->changes);
}

static json_t *doc(world_t *w, const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(json);
    return cs_json_own(json, w->ptemp);
}

static const char *const people[] = {"Contoso", "Fabrikam", "Northwind", "Adventure", "Tailspin"};
static const char *const things[] = {"Azure", "migration", "backup", "analytics", "security", "portal",
                                     "renewal"};

static const char *guid(world_t *w, const char *of, int i)
{
    return cs_uuid5_url(apr_psprintf(w->ptemp, "%s %d", of, i), w->ptemp);
}

static cs_deal_t *make_deal(world_t *w, int i)
{
    cs_deal_t *deal = apr_pcalloc(w->ptemp, sizeof(*deal));

    deal->title = apr_psprintf(w->ptemp, "%s %s %s n%d", people[i % 5], things[i % 7],
                               things[i / 3 % 7], i);
    deal->state = i % 10 < 6 ? CS_DEAL_LINKED : i % 10 < 8 ? CS_DEAL_NEW : CS_DEAL_CLOSED;
    deal->crm = "crm";
    deal->mapping = i % 2 ? "new" : "old";
    deal->referral_id = guid(w, "referral", i);
    deal->record_id = guid(w, "record", i);
    deal->updated = deal->created = T0 + i / 4 * SEC;
    deal->next_look = i % 4 ? 0 : T0 + i * SEC;
    deal->images = doc(w, "{\"name\":{\"pc\":\"Contoso\",\"crm\":\"Contoso\"}}");
    deal->causes = doc(w, i % 10 == 3   ? "{\"waits country\":\"Country is empty\"}"
                          : i % 10 == 6 ? "{\"refused name\":\"no name\",\"waits country\":\"x\"}"
                                        : "{}");
    return deal;
}

static void add_deal(world_t *w, int i)
{
    cs_deal_t *deal = make_deal(w, i);
    cs_change_t *c;
    int line;

    change(w, CS_CHANGE_DEAL)->deal = deal;
    for (line = 0; line < 2; line++) {
        c = change(w, CS_CHANGE_ALIAS);
        c->deal = deal;
        c->system = line ? "crm" : "pc";
        c->name = line ? deal->record_id : deal->referral_id;
    }
    c = change(w, CS_CHANGE_WATCH);
    c->deal = deal;
    c->system = "crm";
    c->rows = doc(w, apr_psprintf(w->ptemp, "{\"own%d\":\"account\",\"shared%d\":\"contact\"}", i,
                                  i % (w->deals / 20)));
    for (line = 0; line < w->lines; line++) {
        cs_journal_t *j = apr_pcalloc(w->ptemp, sizeof(*j));
        j->at = T0 + i * SEC;
        j->direction = "to_crm";
        j->action = "update";
        j->line = "name";
        j->from = doc(w, "\"old\"");
        j->to = doc(w, "\"new\"");
        j->outcome = "done";
        c = change(w, CS_CHANGE_JOURNAL);
        c->deal = deal;
        c->journal = j;
    }
}

static void add_work(world_t *w, const char *name, cs_work_state_e state, int i)
{
    cs_change_t *c = change(w, CS_CHANGE_WORK_LATER);

    c->work = apr_pcalloc(w->ptemp, sizeof(*c->work));
    c->work->kind = CS_WORK_LOOK;
    c->work->name = name;
    c->work->wanted = c->work->seen = 1;
    c->work->state = state;
    c->work->upstream = "crm";
    c->work->first = T0 + i;
    c->work->problem_class = "refused";
    c->work->problem = i % 2 ? "crm:0x80040237" : "pc:400";
    c->work->detail = apr_psprintf(w->ptemp, "row %d was refused", i);
    c->at = T0 + i;
}

static void add_notices(world_t *w, int n, const char *prefix)
{
    const cs_notice_t **group = apr_palloc(w->ptemp, sizeof(*group) * (size_t)n);
    cs_result_t res;
    int i;

    for (i = 0; i < n; i++) {
        group[i] = make_notice(w->ptemp, apr_psprintf(w->ptemp, "%s%d", prefix, i), T0 + i);
    }
    if (cs_store_accept(w->store, group, n, w->ptemp, &res)) {
        fail_msg("%s", res.detail);
    }
}

/* What grows with the deals grows; the backlog is the same: it depends on the hour. */
static void fill(world_t *w)
{
    apr_array_header_t *works;
    int i;

    for (i = 0; i < w->deals; i++) {
        add_deal(w, i);
        if (i % 10 == 9) {
            add_work(w, apr_psprintf(w->ptemp, "pc:dead%d", i), CS_WORK_DEAD, i / 10);
        }
        if (i % GROUP == GROUP - 1 || i == w->deals - 1) {
            commit(w);
            add_notices(w, GROUP / 10, "pc:busy");
            assert_ok(cs_store_claim(w->store, &w->lease, T0, 1, &works, w->ptemp, NULL));
            apr_pool_clear(w->ptemp);
            w->changes = apr_array_make(w->p, 64, sizeof(cs_change_t));
        }
    }
    for (i = 0; i < 60; i++) {
        add_work(w, apr_psprintf(w->ptemp, "pc:ready%d", i), CS_WORK_READY, i);
        add_work(w, apr_psprintf(w->ptemp, "pc:held%d", i), CS_WORK_SUSPENDED, i);
    }
    commit(w);
}

static cs_store_config_t *config_of(apr_pool_t *p)
{
    cs_store_config_t *cfg = make_state(p);

    cfg->keep_journal = cfg->keep_delivery = 86400 * (apr_interval_time_t)SEC;
    return cfg;
}

static world_t *build(apr_pool_t *p, int deals, int journal)
{
    world_t *w = apr_pcalloc(p, sizeof(*w));
    cs_result_t res;

    w->p = p;
    w->op = "building";
    w->deals = deals;
    w->lines = journal / deals;
    apr_pool_create(&w->ptemp, p);
    w->changes = apr_array_make(p, 64, sizeof(cs_change_t));
    w->measures = apr_array_make(p, 200, sizeof(measure_t));
    w->cfg = config_of(p);
    w->store = open_store(w->cfg, CS_STORE_WRITER, p);
    assert_ok(cs_store_lease_take(w->store, SITE, NODE, 3600 * SEC, T0, &w->lease, p, &res));
    fill(w);
    assert_ok(cs_store_deal_load(w->store, SITE, deals / 2, &w->deal, p, NULL));
    assert_non_null(w->deal);
    return w;
}

/* ---- measuring ---- */

static void keep(void *baton, const char *name, int scanned, int steps)
{
    world_t *w = baton;
    measure_t *m = apr_array_push(w->measures);

    m->op = w->op;
    m->name = name;
    m->scanned = scanned;
    m->steps = steps;
}

static void forget(void *baton, const char *name, int scanned, int steps)
{
    (void)baton;
    (void)name;
    (void)scanned;
    (void)steps;
}

#define MEASURE(what, call)                                                                        \
    do {                                                                                           \
        cs_result_t measure_res;                                                                   \
        cs_result_t *res = &measure_res;                                                           \
        cs_result_clear(res);                                                                      \
        w->op = what;                                                                              \
        cs_sqlite_counters(w->store, forget, NULL);                                                \
        if (call) {                                                                                \
            fail_msg("%s: %s", w->op, res->detail);                                                \
        }                                                                                          \
        cs_sqlite_counters(w->store, keep, w);                                                     \
    } while (0)

static apr_status_t page(world_t *w, cs_deal_query_t q, int least, cs_result_t *res)
{
    cs_deal_page_t found;
    apr_status_t rv;

    q.max = q.max ? q.max : 50;
    rv = cs_store_deal_page(w->store, SITE, &q, &found, w->ptemp, res);
    if (rv == APR_SUCCESS && q.max == 50 && found.next) {
        q.after = found.next;
        rv = cs_store_deal_page(w->store, SITE, &q, &found, w->ptemp, res);
    }
    if (rv == APR_SUCCESS && found.deals->nelts < least) {
        fail_msg("%s: %d deals, at least %d are expected", w->op, found.deals->nelts, least);
    }
    return rv;
}

static void read_deals(world_t *w)
{
    apr_int64_t totals[CS_DEAL_STATES], after = 10;
    apr_array_header_t *list;
    cs_store_t *st = w->store;
    apr_pool_t *p = w->ptemp;
    apr_array_header_t *names = apr_array_make(p, CS_STORE_NAMES_MAX, sizeof(const char *));
    cs_deal_t *deal;
    int left;

    MEASURE("deal_find", cs_store_deal_find(st, SITE, "pc", w->deal->referral_id, &deal, p, res));
    assert_non_null(deal);
    APR_ARRAY_PUSH(names, const char *) = "crm:nobody";
    APR_ARRAY_PUSH(names, const char *) = apr_pstrcat(p, "pc:", w->deal->referral_id, NULL);
    APR_ARRAY_PUSH(names, const char *) = apr_pstrcat(p, "crm:", w->deal->record_id, NULL);
    MEASURE("deals_named", cs_store_deals_named(st, SITE, names, &list, p, res));
    assert_int_equal(list->nelts, 1);
    assert_true(APR_ARRAY_IDX(list, 0, cs_deal_t *)->id == w->deal->id);
    MEASURE("deal_load", cs_store_deal_load(st, SITE, w->deal->id, &deal, p, res));
    MEASURE("deals_of_mapping",
            cs_store_deals_of_mapping(st, SITE, "crm", "new", 50, &after, &list, &left, p, res));
    assert_int_equal(list->nelts, 50);
    after = 10;
    MEASURE("deals_open", cs_store_deals_open(st, SITE, "crm", 50, &after, &list, &left, p, res));
    assert_int_equal(list->nelts, 50);
    MEASURE("watchers", cs_store_watchers(st, SITE, "crm", "shared7", 0, 10, &list, p, res));
    assert_int_equal(list->nelts, 10);
    MEASURE("deals_due", cs_store_deals_due(st, SITE, LATER, 50, &list, p, res));
    assert_int_equal(list->nelts, 50);
    MEASURE("deal_list", cs_store_deal_list(st, SITE, 50, &list, p, res));
    assert_int_equal(list->nelts, 50);
    MEASURE("deal_totals", cs_store_deal_totals(st, SITE, totals, p, res));
    assert_int_equal(totals[CS_DEAL_LINKED] + totals[CS_DEAL_NEW] + totals[CS_DEAL_CLOSED], w->deals);
}

static void read_pages(world_t *w)
{
    cs_deal_query_t any = {.state = -1};
    const char *number = apr_psprintf(w->p, "%" APR_INT64_T_FMT, w->deal->id);

    MEASURE("page", page(w, any, 50, res));
    MEASURE("page state", page(w, (cs_deal_query_t){.state = CS_DEAL_CLOSED}, 50, res));
    MEASURE("page cause", page(w, (cs_deal_query_t){.state = -1, .cause = "waits country"}, 50, res));
    MEASURE("page cause state",
            page(w, (cs_deal_query_t){.state = CS_DEAL_LINKED, .cause = "waits country"}, 50, res));
    MEASURE("page word", page(w, (cs_deal_query_t){.state = -1, .search = "conto"}, 50, res));
    MEASURE("page words", page(w, (cs_deal_query_t){.state = -1, .search = "conto migr", .max = 40}, 40, res));
    MEASURE("page all words", page(w, (cs_deal_query_t){.state = -1, .search = "n"}, 50, res));
    MEASURE("page word state",
            page(w, (cs_deal_query_t){.state = CS_DEAL_CLOSED, .search = "azure", .max = 20}, 20,
                 res));
    MEASURE("page word cause",
            page(w, (cs_deal_query_t){.state = -1, .search = "azure", .cause = "waits country", .max = 20}, 20, res));
    MEASURE("page nothing", page(w, (cs_deal_query_t){.state = -1, .search = "zzz"}, 0, res));
    MEASURE("page rare", page(w, (cs_deal_query_t){.state = CS_DEAL_GONE, .search = "n"}, 0, res));
    MEASURE("page rare cause", page(w, (cs_deal_query_t){.state = CS_DEAL_NEW, .search = "n", .cause = "none"}, 0, res));
    MEASURE("page id",
            page(w, (cs_deal_query_t){.state = -1, .search = w->deal->referral_id}, 1, res));
    MEASURE("page number", page(w, (cs_deal_query_t){.state = -1, .search = number, .max = 1}, 1, res));
}

static void read_journal(world_t *w)
{
    apr_array_header_t *list;
    apr_int64_t mid = (apr_int64_t)w->deals * w->lines / 2;
    cs_store_t *st = w->store;
    apr_pool_t *p = w->ptemp;

    MEASURE("journal_list", cs_store_journal_list(st, SITE, 0, 100, &list, p, res));
    assert_int_equal(list->nelts, 100);
    MEASURE("journal_list deal", cs_store_journal_list(st, SITE, w->deal->id, 5, &list, p, res));
    assert_int_equal(list->nelts, 5);
    MEASURE("journal_page after", cs_store_journal_page(st, SITE, 0, mid, 0, 100, &list, p, res));
    assert_int_equal(list->nelts, 100);
    MEASURE("journal_page before", cs_store_journal_page(st, SITE, 0, 0, mid, 100, &list, p, res));
    assert_int_equal(list->nelts, 100);
    MEASURE("journal_page deal after",
            cs_store_journal_page(st, SITE, w->deal->id, 1, 0, 5, &list, p, res));
    assert_int_equal(list->nelts, 5);
    MEASURE("journal_page deal before",
            cs_store_journal_page(st, SITE, w->deal->id, 0, INT64_MAX - 1, 5, &list, p, res));
    assert_int_equal(list->nelts, 5);
}

static void read_work(world_t *w)
{
    apr_array_header_t *list, *sites = apr_array_make(w->p, 2, sizeof(const char *));
    cs_store_counts_t counts;
    cs_store_t *st = w->store;
    apr_pool_t *p = w->ptemp;
    const char *cause;
    cs_work_t *work;
    apr_time_t next;
    int i;

    APR_ARRAY_PUSH(sites, const char *) = SITE;
    APR_ARRAY_PUSH(sites, const char *) = "other";
    MEASURE("sites_due", cs_store_sites_due(st, sites, LATER, &list, &next, p, res));
    MEASURE("counts", cs_store_counts(st, SITE, &counts, p, res));
    assert_int_equal(counts.deals, w->deals);
    assert_int_equal(counts.dead, w->deals / 10);
    assert_int_equal(counts.suspended, 60);
    MEASURE("counts all", cs_store_counts(st, NULL, &counts, p, res));
    assert_int_equal(counts.dead, w->deals / 10);
    for (i = -1; i <= CS_WORK_SUSPENDED; i++) {
        MEASURE(apr_psprintf(w->p, "work_list %d", i),
                cs_store_work_list(st, SITE, i, 50, &list, p, res));
        assert_int_equal(list->nelts, 50);
    }
    MEASURE("causes", cs_store_causes(st, SITE, 10, &list, p, res));
    assert_int_equal(list->nelts, 4);
    cause = APR_ARRAY_IDX(list, 3, cs_cause_t *)->cause;
    MEASURE("dead", cs_store_dead(st, SITE, NULL, "pc:dead2", 50, &list, p, res));
    assert_int_equal(list->nelts, 50);
    MEASURE("dead cause", cs_store_dead(st, SITE, cause, NULL, 40, &list, p, res));
    MEASURE("work_of_deal", cs_store_work_of_deal(st, SITE, w->deal->id, &work, p, res));
    MEASURE("work_named", cs_store_work_named(st, SITE, CS_WORK_LOOK, "pc:ready7", &work, p, res));
    assert_non_null(work);
    MEASURE("deliveries", cs_store_deliveries(st, SITE, "pc", NULL, T0, 20, &list, p, res));
    assert_int_equal(list->nelts, 20);
    MEASURE("suspended", cs_store_suspended(st, SITE, &list, p, res));
    MEASURE("suspended all", cs_store_suspended(st, NULL, &list, p, res));
}

/* ---- what verbs and looks write ---- */

static void accept_all(world_t *w)
{
    cs_notice_t *n = make_notice(w->p, "pc:new", T0), *hint = make_notice(w->p, "crm:1", T0),
                *job = make_notice(w->p, CS_JOB_NAME "00000000000000aa", T0);
    cs_job_t asked = {.id = "00000000000000aa", .kind = "resync", .user = "ada"};

    MEASURE("accept new", accept_one(w->store, n, w->ptemp, res));
    n->trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    MEASURE("accept traced", accept_one(w->store, n, w->ptemp, res));
    n->trace = NULL;
    MEASURE("accept again", accept_one(w->store, n, w->ptemp, res));
    n = make_notice(w->p, "pc:dead9", T0);
    MEASURE("accept dead", accept_one(w->store, n, w->ptemp, res));
    n = make_notice(w->p, "pc:newer", T0);
    n->trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    MEASURE("accept new traced", accept_one(w->store, n, w->ptemp, res));
    hint->tables = apr_array_make(w->p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(hint->tables, const char *) = "account";
    MEASURE("accept table", accept_one(w->store, hint, w->ptemp, res));
    job->kind = CS_WORK_JOB;
    job->job = &asked;
    asked.arguments = cs_json_own(json_object(), w->p);
    MEASURE("accept job", accept_one(w->store, job, w->ptemp, res));
}

/* The changes made so far, as one measured transaction. */
static void measure_write(world_t *w, const char *what)
{
    MEASURE(what, cs_store_write(w->store, &w->lease, w->changes, w->ptemp, res));
    apr_array_clear(w->changes);
}

static void write_deals(world_t *w)
{
    cs_deal_t *deal = make_deal(w, 1000000), *other = make_deal(w, 1000001);
    cs_change_t *c;

    change(w, CS_CHANGE_DEAL)->deal = deal;
    measure_write(w, "deal added");
    deal->title = "Another name of it";
    deal->state = CS_DEAL_PARKED;
    deal->causes = doc(w, "{\"parked\":\"a person decides\"}");
    change(w, CS_CHANGE_DEAL)->deal = deal;
    measure_write(w, "deal put");
    deal->causes = doc(w, "{}");
    change(w, CS_CHANGE_DEAL)->deal = deal;
    measure_write(w, "deal put again");
    c = change(w, CS_CHANGE_ALIAS);
    c->deal = deal;
    c->system = "pc";
    c->name = "one";
    measure_write(w, "alias");
    c = change(w, CS_CHANGE_ALIAS_DROP);
    c->deal = deal;
    c->system = "pc";
    c->name = "one";
    measure_write(w, "alias drop");
    c = change(w, CS_CHANGE_WATCH);
    c->deal = deal;
    c->system = "crm";
    c->rows = doc(w, "{\"a\":\"account\",\"b\":\"contact\"}");
    measure_write(w, "watch");
    c = change(w, CS_CHANGE_WATCH);
    c->deal = deal;
    c->system = "crm";
    c->rows = doc(w, "{\"c\":\"account\"}");
    measure_write(w, "watch other");
    c = change(w, CS_CHANGE_JOURNAL);
    c->deal = deal;
    c->journal = apr_pcalloc(w->ptemp, sizeof(*c->journal));
    c->journal->at = T0;
    measure_write(w, "journal");
    c = change(w, CS_CHANGE_NEXT_LOOK);
    c->value = deal->id;
    c->at = LATER;
    measure_write(w, "next look");
    change(w, CS_CHANGE_DEAL)->deal = other;
    commit(w);
    c = change(w, CS_CHANGE_MERGE);
    c->deal = other;
    c->value = deal->id;
    measure_write(w, "merge");
    other->state = CS_DEAL_GONE;
    change(w, CS_CHANGE_DEAL)->deal = other;
    measure_write(w, "deal gone");
}

static cs_work_t *work_of(world_t *w, const char *kind, const char *name)
{
    cs_work_t *work = apr_pcalloc(w->ptemp, sizeof(*work));

    work->site = SITE;
    work->kind = kind;
    work->name = name;
    work->wanted = 1;
    work->due = T0;
    work->hints = doc(w, "{}");
    return work;
}

static void write_work(world_t *w)
{
    cs_change_t *c = change(w, CS_CHANGE_WORK_DONE);

    c->work = work_of(w, CS_WORK_LOOK, "pc:ready1");
    c->value = 1;
    measure_write(w, "work done");
    add_work(w, "pc:ready2", CS_WORK_READY, 7);
    measure_write(w, "work later");
    add_work(w, "pc:ready3", CS_WORK_DEAD, 7);
    measure_write(w, "work dead");
    add_work(w, "pc:ready3", CS_WORK_DEAD, 8);
    measure_write(w, "work dead otherwise");
    c = change(w, CS_CHANGE_WORK_DONE);
    c->work = work_of(w, CS_WORK_LOOK, "pc:ready3");
    c->value = 1;
    measure_write(w, "work dropped");
    change(w, CS_CHANGE_WORK_ADD)->work = work_of(w, CS_WORK_LOOK, "pc:dead19");
    measure_write(w, "work retried");
    c = change(w, CS_CHANGE_WORK_TIMER);
    c->work = work_of(w, CS_WORK_POLL, "referrals");
    c->at = LATER;
    measure_write(w, "work timer");
    c = change(w, CS_CHANGE_FOLD);
    c->deal = w->deal;
    c->work = work_of(w, CS_WORK_LOOK, "pc:ready4");
    measure_write(w, "fold");
}

static void write_site(world_t *w)
{
    const unsigned char *sealed;
    cs_result_t why = {0};
    const char *text;
    apr_int64_t version;
    apr_size_t len;
    cs_change_t *c = change(w, CS_CHANGE_SUSPEND);

    c->system = "crm";
    c->result = &why;
    c->at = LATER;
    measure_write(w, "suspend");
    c = change(w, CS_CHANGE_RESUME);
    c->system = "crm";
    c->at = LATER;
    measure_write(w, "resume");
    c = change(w, CS_CHANGE_META);
    c->name = "fact";
    c->text = "x";
    c = change(w, CS_CHANGE_CURSOR);
    c->name = "delta";
    c->text = "x";
    measure_write(w, "facts");
    MEASURE("meta_get", cs_store_meta_get(w->store, SITE, "fact", &text, w->ptemp, res));
    MEASURE("cursor_get", cs_store_cursor_get(w->store, SITE, "delta", &text, NULL, w->ptemp, res));
    change(w, CS_CHANGE_META)->name = "fact";
    change(w, CS_CHANGE_CURSOR)->name = "delta";
    measure_write(w, "facts gone");
    MEASURE("secret new", cs_store_secret_put(w->store, SITE, "token", (const unsigned char *)"x", 1,
                                              0, w->ptemp, res));
    MEASURE("secret put", cs_store_secret_put(w->store, SITE, "token", (const unsigned char *)"y", 1,
                                              1, w->ptemp, res));
    MEASURE("secret_get", cs_store_secret_get(w->store, SITE, "token", &sealed, &len, &version,
                                              w->ptemp, res));
}

static void write_jobs(world_t *w)
{
    cs_job_t job = {.id = "00000000000000aa", .state = CS_JOB_DONE}, *got;
    apr_array_header_t *list;
    cs_change_t *c;
    int i;

    for (i = 0; i < 30; i++) {
        c = change(w, CS_CHANGE_JOB_ROW);
        c->job = &job;
        c->rows = doc(w, "{\"text\":\"x\"}");
    }
    measure_write(w, "job rows");
    c = change(w, CS_CHANGE_JOB);
    c->job = &job;
    c->at = T0;
    measure_write(w, "job");
    MEASURE("job_get", cs_store_job_get(w->store, SITE, job.id, &got, w->ptemp, res));
    assert_int_equal(got->state, CS_JOB_DONE);
    MEASURE("job_list", cs_store_job_list(w->store, SITE, 20, &list, w->ptemp, res));
    MEASURE("job_rows", cs_store_job_rows(w->store, SITE, job.id, 3, 20, &list, w->ptemp, res));
    assert_int_equal(list->nelts, 20);
}

static void claim_and_lease(world_t *w)
{
    apr_array_header_t *works, *jobs;
    cs_notice_t *n = make_notice(w->p, apr_pstrcat(w->p, "pc:", w->deal->referral_id, NULL), T0),
                *same = make_notice(w->p, "pc:zz", T0);

    same->digest = n->digest;
    assert_ok(accept_one(w->store, n, w->ptemp, NULL));
    assert_ok(accept_one(w->store, same, w->ptemp, NULL));
    MEASURE("claim", cs_store_claim(w->store, &w->lease, LATER, 50, &works, w->ptemp, res));
    assert_int_equal(works->nelts, 50);
    MEASURE("jobs_due", cs_store_jobs_due(w->store, SITE, LATER, 50, &jobs, w->ptemp, res));
    MEASURE("refresh", cs_store_refresh(w->store, works, w->ptemp, res));
    MEASURE("claim again", cs_store_claim(w->store, &w->lease, LATER, 50, &works, w->ptemp, res));
    MEASURE("lease_renew",
            cs_store_lease_renew(w->store, &w->lease, 3600 * SEC, T0, w->ptemp, res));
    MEASURE("lease_release", cs_store_lease_release(w->store, &w->lease, w->ptemp, res));
    MEASURE("lease_take", cs_store_lease_take(w->store, SITE, NODE, 3600 * SEC, T0, &w->lease,
                                              w->ptemp, res));
}

/* Much is old, little goes at a time. */
static void prune_some(world_t *w)
{
    apr_time_t late = T0 + 40 * 86400 * SEC;
    apr_interval_time_t keep_delivery = w->store->cfg.keep_delivery;
    int left;

    MEASURE("prune deliveries", cs_store_prune(w->store, &w->lease, late, 50, &left, w->ptemp, res));
    assert_int_equal(left, 1);
    w->store->cfg.keep_delivery = 0;
    MEASURE("prune journal", cs_store_prune(w->store, &w->lease, late, 50, &left, w->ptemp, res));
    assert_int_equal(left, 1);
    w->store->cfg.keep_journal = 0;
    MEASURE("prune jobs", cs_store_prune(w->store, &w->lease, late, 50, &left, w->ptemp, res));
    assert_int_equal(left, 0);
    w->store->cfg.keep_delivery = keep_delivery;
}

/* What an older program left, and the raise of its schema: each once. */
static void raise_schema(world_t *w)
{
    apr_interval_time_t begin;
    sqlite3 *db;
    char *why = NULL;

    cs_store_close(w->store);
    assert_int_equal(sqlite3_open(in_state(w->cfg, "cosell.db", w->p), &db), SQLITE_OK);
    if (sqlite3_exec(db, UNIT_LOWER_TO_1_2, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s", why);
    }
    sqlite3_close(db);
    w->store = open_store(w->cfg, CS_STORE_WRITER, w->p);
    w->op = "raise";
    begin = cs_time_mono();
    assert_ok(cs_store_check(w->store, w->ptemp, NULL));
    print_message("%d deals are raised in %d ms\n", w->deals,
                  (int)((cs_time_mono() - begin) / 1000));
    cs_sqlite_counters(w->store, keep, w);
}

static void measure_all(world_t *w)
{
    apr_pool_clear(w->ptemp);
    w->changes = apr_array_make(w->p, 64, sizeof(cs_change_t));
    read_deals(w);
    read_pages(w);
    read_journal(w);
    read_work(w);
    accept_all(w);
    write_deals(w);
    write_work(w);
    write_site(w);
    write_jobs(w);
    claim_and_lease(w);
    prune_some(w);
}

/* ---- verdicts ---- */

static const measure_t *same_of(const world_t *w, const measure_t *m)
{
    int i;

    for (i = 0; i < w->measures->nelts; i++) {
        const measure_t *other = &APR_ARRAY_IDX(w->measures, i, measure_t);
        if (!strcmp(other->op, m->op) && !strcmp(other->name, m->name)) {
            return other;
        }
    }
    return NULL;
}

static void judge(const world_t *small, const world_t *large)
{
    const measure_t *m, *base;
    int i, bad = 0;

    for (i = 0; i < large->measures->nelts; i++) {
        m = &APR_ARRAY_IDX(large->measures, i, measure_t);
        base = same_of(small, m);
        if (m->scanned) {
            print_error("%s: %s scans a table (%d rows)\n", m->op, m->name, m->scanned);
            bad++;
        }
        if (!base || m->steps > base->steps * 1.2) {
            print_error("%s: %s takes %d steps at %d deals and %d at %d\n", m->op, m->name, m->steps,
                        large->deals, base ? base->steps : 0, small->deals);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

/* A statement that nothing here runs would not be looked at. */
static void assert_complete(const world_t *w)
{
    static const char *const names[] = {
#define NAME(id, sql) #id,
        CS_SQLITE_STATEMENTS(NAME)
#undef NAME
    };
    size_t i;
    int j, bad = 0;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (j = 0; j < w->measures->nelts &&
                    strcmp(APR_ARRAY_IDX(w->measures, j, measure_t).name, names[i]);
             j++) {
        }
        if (j == w->measures->nelts) {
            print_error("%s is not measured\n", names[i]);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

static int number_of(const char *name, int dflt)
{
    const char *text = getenv(name);

    return text && atoi(text) > 0 ? atoi(text) : dflt;
}

static void test_what_is_visited_does_not_grow(void **state)
{
    int deals = number_of("COSELL_SCALE_DEALS", 5000);
    int journal = number_of("COSELL_SCALE_JOURNAL", deals * 10);
    world_t *small = build(*state, SMALL, SMALL * (journal / deals)),
            *large = build(*state, deals, journal);
    int i;

    measure_all(small);
    measure_all(large);
    judge(small, large);
    raise_schema(large);
    for (i = 0; i < large->measures->nelts; i++) {
        assert_int_equal(APR_ARRAY_IDX(large->measures, i, measure_t).scanned, 0);
    }
    assert_complete(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_what_is_visited_does_not_grow),
    };

    return UNIT_RUN(tests);
}
