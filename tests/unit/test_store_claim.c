/* A claim gives no name that is known to be a deal's: such a name's look would read the deal a
 * second time, or once more than needed. */
#include "unit_store.h"

#define PORTION 500 /* of names that one claim folds, store.h */
#define MAX 200
#define LATER (T0 + 3600 * SEC)

typedef struct site_t {
    cs_store_config_t *cfg;
    cs_store_t *store;
    cs_lease_t lease;
    apr_pool_t *p;
} site_t;

static site_t *new_site(apr_pool_t *p)
{
    site_t *s = apr_pcalloc(p, sizeof(*s));

    s->p = p;
    s->cfg = make_state(p);
    s->store = open_store(s->cfg, CS_STORE_WRITER, p);
    assert_ok(cs_store_lease_take(s->store, SITE, NODE, 90 * SEC, cs_time_now(), &s->lease, p,
                                  NULL));
    return s;
}

static void write_all(site_t *s, apr_array_header_t *changes)
{
    cs_result_t res = {0};

    if (cs_store_write(s->store, &s->lease, changes, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static cs_change_t *add(apr_array_header_t *changes, cs_change_e kind)
{
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = kind;
    change->at = T0;
    return change;
}

static const char *name_of(site_t *s, int i)
{
    return apr_psprintf(s->p, "r%05d", i);
}

/* One deal that is known by n names. */
static const char *deal_of_names(site_t *s, int n)
{
    apr_array_header_t *changes = apr_array_make(s->p, n + 1, sizeof(cs_change_t));
    cs_deal_t *deal = apr_pcalloc(s->p, sizeof(*deal));
    int i;

    deal->site = SITE;
    deal->created = deal->updated = T0;
    add(changes, CS_CHANGE_DEAL)->deal = deal;
    for (i = 0; i < n; ++i) {
        cs_change_t *alias = add(changes, CS_CHANGE_ALIAS);
        alias->deal = deal;
        alias->system = CS_SYSTEM_PC;
        alias->name = name_of(s, i);
    }
    write_all(s, changes);
    return apr_psprintf(s->p, "deal:%" APR_INT64_T_FMT, deal->id);
}

static void ask_for(site_t *s, const char *kind, const char *name, apr_time_t due)
{
    apr_array_header_t *changes = apr_array_make(s->p, 1, sizeof(cs_change_t));
    cs_work_t *work = apr_pcalloc(s->p, sizeof(*work));

    work->site = SITE;
    work->kind = kind;
    work->name = name;
    work->hints = cs_json_own(json_object(), s->p);
    work->first = work->due = due;
    add(changes, CS_CHANGE_WORK_ADD)->work = work;
    write_all(s, changes);
}

/* What a claim gives but timers: how many rows, and how many of them by a name. */
static int claim(site_t *s, const char *own, int *pnames)
{
    apr_array_header_t *works = NULL;
    cs_result_t res = {0};
    int i;

    if (cs_store_claim(s->store, &s->lease, LATER, MAX, &works, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
    *pnames = 0;
    for (i = 0; i < works->nelts; ++i) {
        *pnames += strcmp(APR_ARRAY_IDX(works, i, cs_work_t *)->name, own) != 0;
    }
    return works->nelts;
}

static int outstanding(site_t *s, const char *name)
{
    cs_work_t *work = NULL;

    assert_ok(cs_store_work_named(s->store, SITE, CS_WORK_LOOK, name, &work, s->p, NULL));
    return work ? (int)(work->wanted - work->done) : 0;
}

static void test_more_names_than_one_portion(void **state)
{
    site_t *s = new_site(*state);
    const int n = PORTION + 100;
    const char *own = deal_of_names(s, n);
    int i, names;

    for (i = 0; i < n; ++i) {
        notice(s->store, apr_pstrcat(s->p, "pc:", name_of(s, i), NULL), T0 + i, s->p);
    }
    assert_int_equal(claim(s, own, &names), 1);
    assert_int_equal(names, 0);
    assert_int_equal(outstanding(s, own), PORTION);
    assert_int_equal(claim(s, own, &names), 1);
    assert_int_equal(names, 0);
    assert_int_equal(outstanding(s, own), n);
}

/* However many jobs wait, names become their deals. */
static void test_names_behind_jobs(void **state)
{
    site_t *s = new_site(*state);
    const char *own = deal_of_names(s, 1);
    int i, names;

    for (i = 0; i < PORTION; ++i) {
        ask_for(s, CS_WORK_JOB, apr_psprintf(s->p, "job:%d", i), T0);
    }
    notice(s->store, "pc:r00000", T0 + SEC, s->p);
    assert_int_equal(claim(s, own, &names), 1);
    assert_int_equal(names, 0);
}

typedef struct sender_t {
    cs_store_t *store;
    atomic_int stop, sent;
} sender_t;

static void *send_notices(void *data)
{
    sender_t *sender = data;
    apr_pool_t *p;
    cs_result_t res;

    apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    while (!atomic_load(&sender->stop)) {
        if (accept_one(sender->store, make_notice(p, "pc:r00000", T0), p, &res) == APR_SUCCESS) {
            atomic_fetch_add(&sender->sent, 1);
        }
        apr_pool_clear(p);
    }
    apr_pool_destroy(p);
    return NULL;
}

/* Notices that come in just when a claim has folded those before them are the next claim's. */
static void test_notices_come_while_claiming(void **state)
{
    site_t *s = new_site(*state);
    const char *own = deal_of_names(s, 1);
    sender_t sender = {open_store(s->cfg, CS_STORE_WRITER, s->p), 0, 0};
    pthread_t thread;
    int i, names, by_name = 0, got = 0;

    assert_int_equal(pthread_create(&thread, NULL, send_notices, &sender), 0);
    for (i = 0; i < 400 || atomic_load(&sender.sent) < 100; ++i) {
        got += claim(s, own, &names);
        by_name += names;
    }
    atomic_store(&sender.stop, 1);
    pthread_join(thread, NULL);
    assert_true(got > 0);
    assert_int_equal(by_name, 0);
    assert_int_equal(claim(s, own, &names), 1);
    assert_int_equal(names, 0);
    assert_int_equal(outstanding(s, own), atomic_load(&sender.sent));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_more_names_than_one_portion),
        UNIT_TEST(test_names_behind_jobs),
        UNIT_TEST(test_notices_come_while_claiming),
    };

    return UNIT_RUN(tests);
}
