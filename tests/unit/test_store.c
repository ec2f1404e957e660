/* The store's contract, store.h, for every kind of store. */
#include "unit_store.h"

/* ---- helpers ---- */

static cs_lease_t take(cs_store_t *store, const char *owner, apr_time_t now, apr_pool_t *p)
{
    cs_lease_t lease;
    cs_result_t res;

    if (cs_store_lease_take(store, SITE, owner, 90 * SEC, now, &lease, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return lease;
}

static cs_work_t *work_at(const apr_array_header_t *works, int i)
{
    return APR_ARRAY_IDX(works, i, cs_work_t *);
}

static apr_array_header_t *claim(cs_store_t *store, const cs_lease_t *lease, apr_time_t now,
                                 int max, apr_pool_t *p)
{
    apr_array_header_t *works;
    cs_result_t res;

    if (cs_store_claim(store, lease, now, max, &works, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return works;
}

static apr_array_header_t *list(cs_store_t *store, int state, apr_pool_t *p)
{
    apr_array_header_t *works;
    cs_result_t res;

    assert_ok(cs_store_work_list(store, SITE, state, 100, &works, p, &res));
    return works;
}

static cs_work_t *row(cs_store_t *store, const char *name, apr_pool_t *p)
{
    apr_array_header_t *works = list(store, -1, p);
    int i;

    for (i = 0; i < works->nelts; i++) {
        if (!strcmp(work_at(works, i)->name, name)) {
            return work_at(works, i);
        }
    }
    return NULL;
}

static apr_time_t hint(const cs_work_t *work, const char *system)
{
    return json_integer_value(json_object_get(work->hints, system));
}

static cs_change_t *add(apr_array_header_t *changes, cs_change_e kind)
{
    cs_change_t *c = apr_array_push(changes);

    memset(c, 0, sizeof(*c));
    c->kind = kind;
    return c;
}

static apr_array_header_t *changes_new(apr_pool_t *p)
{
    return apr_array_make(p, 4, sizeof(cs_change_t));
}

static void write_ok(cs_store_t *store, const cs_lease_t *lease, const apr_array_header_t *changes,
                     apr_pool_t *p)
{
    cs_result_t res;

    if (cs_store_write(store, lease, changes, p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static cs_deal_t *make_deal(apr_pool_t *p, const char *title)
{
    cs_deal_t *d = apr_pcalloc(p, sizeof(*d));

    d->site = SITE;
    d->title = title;
    d->created = d->updated = T0;
    return d;
}

/* A stored deal with one alias. */
static cs_deal_t *deal_with_alias(cs_store_t *store, const cs_lease_t *lease, const char *system,
                                  const char *id, apr_pool_t *p)
{
    apr_array_header_t *changes = changes_new(p);
    cs_deal_t *d = make_deal(p, "a deal");
    cs_change_t *c;

    add(changes, CS_CHANGE_DEAL)->deal = d;
    c = add(changes, CS_CHANGE_ALIAS);
    c->deal = d;
    c->system = system;
    c->name = id;
    write_ok(store, lease, changes, p);
    assert_true(d->id > 0);
    return d;
}

static void later(cs_store_t *store, const cs_lease_t *lease, cs_work_t *work, apr_time_t at,
                  int attempts, cs_work_state_e state, apr_int64_t done, apr_pool_t *p)
{
    apr_array_header_t *changes = changes_new(p);
    cs_change_t *c = add(changes, CS_CHANGE_WORK_LATER);
    cs_result_t why;

    cs_result_set(&why, p, CS_EREMOTE, CS_CLASS_RETRY, "http:503", "busy over there");
    work->attempts = attempts;
    work->state = state;
    work->seen = state == CS_WORK_DEAD ? work->wanted : work->seen; /* given up is what a look knew */
    work->upstream = state == CS_WORK_SUSPENDED ? "crm" : NULL;
    c->work = work;
    c->at = at;
    c->value = done;
    c->result = &why;
    write_ok(store, lease, changes, p);
}

/* ---- opening ---- */

static void test_open_refuses_what_it_cannot_do(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t cfg = {"pgsql", "host=localhost", "/nowhere", 0, 0};
    cs_store_t *store;
    cs_result_t res;

    assert_int_not_equal(cs_store_open(&store, &cfg, CS_STORE_WRITER, p, &res), APR_SUCCESS);
    assert_null(store);
    assert_has(res.detail, "'pgsql'");
    cfg.kind = "sqlite";
    cfg.state_dir = "relative";
    assert_int_not_equal(cs_store_open(&store, &cfg, CS_STORE_WRITER, p, &res), APR_SUCCESS);
    assert_has(res.detail, "'relative'");
}

static void test_open_is_lazy_and_reports_at_use(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t cfg = {"sqlite", NULL, "/nonexistent/state", 0, 0};
    cs_store_t *store;
    cs_result_t res;

    assert_ok(cs_store_open(&store, &cfg, CS_STORE_WRITER, p, &res));
    assert_int_equal(cs_store_check(store, p, &res), CS_EMISSING);
    assert_string_equal(res.problem, "store:missing");
    assert_has(res.detail, "/nonexistent/state");
    assert_int_equal(res.cls, CS_CLASS_RETRY);
}

static void test_node_is_made_once(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    const char *id, *again;
    cs_result_t res;

    assert_ok(cs_store_node(open_store(cfg, CS_STORE_WRITER, p), &id, p, &res));
    assert_int_equal(strlen(id), 36);
    assert_ok(cs_store_node(open_store(cfg, CS_STORE_WRITER, p), &again, p, &res));
    assert_string_equal(id, again);
    assert_ok(cs_store_node(open_store(cfg, CS_STORE_READER, p), &again, p, &res));
    assert_string_equal(id, again);
}

static void test_handle_closes_and_opens_again(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);

    notice(store, "pc:a", T0, p);
    cs_store_close(store);
    cs_store_close(store);
    notice(store, "pc:a", T0, p);
    assert_int_equal(row(store, "pc:a", p)->wanted, 2);
}

/* ---- accepting ---- */

static void test_accept_makes_work(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_store_counts_t counts;
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    work = row(store, "pc:a", p);
    assert_non_null(work);
    assert_string_equal(work->site, SITE);
    assert_string_equal(work->kind, CS_WORK_LOOK);
    assert_int_equal(work->wanted, 1);
    assert_int_equal(work->done, 0);
    assert_true(work->first == T0 && work->due == T0);
    assert_int_equal(work->attempts, 0);
    assert_int_equal(work->state, CS_WORK_READY);
    assert_true(hint(work, "pc") == T0);
    assert_null(work->problem);
    counts = counts_of(store, SITE, p);
    assert_int_equal(counts.deliveries, 1);
    assert_int_equal(counts.outstanding, 1);
    assert_true(counts.oldest == T0);
    assert_true(counts.bytes > 0);
    assert_int_equal(counts_of(store, NULL, p).deliveries, 1);
    assert_int_equal(counts_of(store, "other", p).deliveries, 0);
}

static void test_accept_counts_and_keeps_the_newest_hint(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_notice_t *n = make_notice(p, "pc:a", T0 + SEC);
    cs_result_t res;
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    assert_ok(accept_one(store, n, p, &res));
    n->hint = T0 - SEC;
    assert_ok(accept_one(store, n, p, &res));
    n->hint = 0;
    assert_ok(accept_one(store, n, p, &res));
    work = row(store, "pc:a", p);
    assert_int_equal(work->wanted, 4);
    assert_true(hint(work, "pc") == T0 + SEC);
    assert_true(work->due == T0 && work->first == T0);
    assert_int_equal(list(store, -1, p)->nelts, 1);
}

static void test_accept_keeps_hints_per_system(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_notice_t *n = make_notice(p, "deal:7", T0);
    cs_result_t res;
    cs_work_t *work;

    assert_ok(accept_one(store, n, p, &res));
    n->system = "crm \"one\"";
    n->hint = T0 + 5;
    assert_ok(accept_one(store, n, p, &res));
    n->hint = T0 + 3;
    assert_ok(accept_one(store, n, p, &res));
    n->system = "two";
    assert_ok(accept_one(store, n, p, &res));
    work = row(store, "deal:7", p);
    assert_int_equal(work->wanted, 4);
    assert_true(hint(work, "pc") == T0);
    assert_true(hint(work, "crm \"one\"") == T0 + 5);
    assert_true(hint(work, "two") == T0 + 3);
    assert_int_equal(json_object_size(work->hints), 3);
}

static void test_accept_without_work_is_only_delivered(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_notice_t *n = make_notice(p, "pc:a", T0);
    cs_result_t res;

    n->kind = NULL;
    assert_ok(accept_one(store, n, p, &res));
    n = make_notice(p, NULL, T0);
    n->problem = "no names";
    n->digest = "no digest";
    assert_ok(accept_one(store, n, p, &res));
    n->names = NULL;
    n->digest = NULL;
    n->event = NULL;
    assert_ok(accept_one(store, n, p, &res));
    assert_int_equal(list(store, -1, p)->nelts, 0);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 3);
}

static void test_accept_takes_many_names(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_notice_t *n = make_notice(p, NULL, T0);
    cs_result_t res;
    int i;

    for (i = 0; i < 100; i++) {
        APR_ARRAY_PUSH(n->names, const char *) = apr_psprintf(p, "sf:%d", i);
    }
    n->system = "sf";
    assert_ok(accept_one(store, n, p, &res));
    assert_ok(accept_one(store, n, p, &res));
    assert_int_equal(counts_of(store, SITE, p).outstanding, 100);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
    assert_int_equal(row(store, "sf:99", p)->wanted, 2);
}

static void test_accept_is_all_or_nothing(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    const cs_notice_t *group[3];
    cs_notice_t *bad = make_notice(p, "pc:b", T0);
    char *huge = apr_palloc(p, 17 * 1024 * 1024);
    cs_result_t res;

    memset(huge, 'x', 17 * 1024 * 1024 - 1);
    huge[17 * 1024 * 1024 - 1] = '\0';
    bad->body = huge;
    group[0] = make_notice(p, "pc:a", T0);
    group[1] = bad;
    group[2] = make_notice(p, "pc:c", T0);
    assert_int_equal(cs_store_accept(store, group, 3, p, &res), CS_ELIMIT);
    assert_int_equal(res.cls, CS_CLASS_REFUSED);
    assert_int_equal(list(store, -1, p)->nelts, 0);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 0);
    bad->body = NULL;
    bad->site = NULL;
    assert_int_equal(cs_store_accept(store, group, 3, p, &res), APR_EINVAL);
    assert_int_equal(counts_of(store, NULL, p).deliveries, 0);
    bad->site = "other";
    assert_ok(cs_store_accept(store, group, 3, p, &res));
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
    assert_int_equal(counts_of(store, "other", p).deliveries, 1);
    assert_int_equal(counts_of(store, NULL, p).deliveries, 3);
}

static void test_accept_leaves_a_waiting_attempt_alone(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    later(store, &lease, row(store, "pc:a", p), T0 + 60 * SEC, 3, CS_WORK_READY, 0, p);
    notice(store, "pc:a", T0 + SEC, p);
    work = row(store, "pc:a", p);
    assert_int_equal(work->wanted, 2);
    assert_true(work->due == T0 + 60 * SEC);
    assert_int_equal(work->attempts, 3);
    assert_string_equal(work->problem, "http:503");
    assert_string_equal(work->problem_class, "retry");
    assert_string_equal(work->detail, "busy over there");
    assert_true(work->first == T0);
    assert_true(hint(work, "pc") == T0 + SEC);
}

static void test_accept_wakes_the_dead(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    later(store, &lease, row(store, "pc:a", p), T0 + 60 * SEC, 9, CS_WORK_DEAD, 0, p);
    assert_int_equal(counts_of(store, SITE, p).dead, 1);
    assert_int_equal(list(store, CS_WORK_DEAD, p)->nelts, 1);
    assert_int_equal(claim(store, &lease, T0 + 90 * SEC, 10, p)->nelts, 0);
    notice(store, "pc:a", T0 + SEC, p);
    work = row(store, "pc:a", p);
    assert_int_equal(work->state, CS_WORK_READY);
    assert_int_equal(work->attempts, 0);
    assert_true(work->due == T0 + SEC);
    assert_true(work->first == T0);
    assert_null(work->problem);
    assert_null(work->detail);
    assert_true(hint(work, "pc") == T0 + SEC);
    assert_int_equal(work->wanted, 2);
    assert_int_equal(counts_of(store, SITE, p).dead, 0);
}

static void test_accept_starts_over_when_nothing_was_outstanding(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    later(store, &lease, row(store, "pc:a", p), T0 + 600 * SEC, 2, CS_WORK_READY, 1, p);
    notice(store, "pc:a", T0 + SEC, p);
    work = row(store, "pc:a", p);
    assert_int_equal(work->wanted, 2);
    assert_int_equal(work->done, 1);
    assert_true(work->due == T0 + SEC && work->first == T0 + SEC);
    assert_int_equal(work->attempts, 0);
    assert_null(work->problem);
}

static void test_accept_does_not_wake_the_suspended(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    later(store, &lease, row(store, "pc:a", p), T0 + 60 * SEC, 1, CS_WORK_SUSPENDED, 0, p);
    notice(store, "pc:a", T0 + SEC, p);
    work = row(store, "pc:a", p);
    assert_int_equal(work->state, CS_WORK_SUSPENDED);
    assert_string_equal(work->upstream, "crm");
    assert_int_equal(work->wanted, 2);
    assert_int_equal(counts_of(store, SITE, p).suspended, 1);
}

/* ---- lanes ---- */

static void test_lease_is_exclusive_and_its_epoch_rises(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t mine, other;
    cs_result_t res;

    mine = take(store, NODE, T0, p);
    assert_int_equal(mine.epoch, 1);
    assert_true(mine.until == T0 + 90 * SEC);
    assert_int_equal(cs_store_lease_take(store, SITE, NODE2, 90 * SEC, T0 + SEC, &other, p, &res),
                     APR_EBUSY);
    assert_string_equal(other.owner, NODE);
    assert_true(other.until == mine.until);
    assert_has(res.detail, NODE);
    mine = take(store, NODE, T0 + SEC, p);
    assert_int_equal(mine.epoch, 2);
    assert_ok(cs_store_lease_take(store, SITE, NODE2, 90 * SEC, T0 + 91 * SEC, &other, p, &res));
    assert_int_equal(other.epoch, 3);
    assert_int_equal(
        cs_store_lease_take(store, SITE, NODE, 90 * SEC, T0 + 92 * SEC, &mine, p, &res), APR_EBUSY);
    assert_ok(cs_store_lease_release(store, &other, p, &res));
    assert_ok(cs_store_lease_take(store, SITE, NODE, 90 * SEC, T0 + 92 * SEC, &mine, p, &res));
    assert_int_equal(mine.epoch, 4);
}

static void test_lease_renewal_needs_the_epoch(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t old = take(store, NODE, T0, p), mine, other;
    cs_result_t res;

    assert_ok(cs_store_lease_renew(store, &old, 90 * SEC, T0 + 15 * SEC, p, &res));
    assert_true(old.until == T0 + 105 * SEC);
    assert_int_equal(
        cs_store_lease_take(store, SITE, NODE2, 90 * SEC, T0 + 100 * SEC, &other, p, &res),
        APR_EBUSY);
    mine = take(store, NODE, T0 + 16 * SEC, p);
    assert_int_equal(cs_store_lease_renew(store, &old, 90 * SEC, T0 + 17 * SEC, p, &res),
                     CS_ELEASE);
    assert_true(old.until == T0 + 105 * SEC);
    assert_int_equal(cs_store_lease_release(store, &old, p, &res), CS_ELEASE);
    assert_ok(cs_store_lease_renew(store, &mine, 90 * SEC, T0 + 17 * SEC, p, &res));
    /* Renewing to the very same instant changes nothing and is no loss. */
    assert_ok(cs_store_lease_renew(store, &mine, 90 * SEC, T0 + 17 * SEC, p, &res));
}

static void test_nothing_is_changed_without_the_lease(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t old = take(store, NODE, T0, p), unknown = {"nobody", NODE, 1, T0};
    apr_array_header_t *changes = changes_new(p), *works;
    cs_deal_t *deal = make_deal(p, "lost");
    const char *text;
    cs_change_t *c;
    cs_result_t res;
    int left;

    take(store, NODE, T0, p);
    notice(store, "pc:a", T0, p);
    add(changes, CS_CHANGE_DEAL)->deal = deal;
    c = add(changes, CS_CHANGE_META);
    c->name = "organization";
    c->text = "x";
    assert_int_equal(cs_store_write(store, &old, changes, p, &res), CS_ELEASE);
    assert_string_equal(res.problem, "store:lease");
    assert_int_equal(deal->id, 0);
    assert_ok(cs_store_meta_get(store, SITE, "organization", &text, p, &res));
    assert_null(text);
    assert_int_equal(counts_of(store, SITE, p).deals, 0);
    assert_int_equal(cs_store_claim(store, &old, T0, 10, &works, p, &res), CS_ELEASE);
    assert_int_equal(works->nelts, 0);
    assert_int_equal(cs_store_prune(store, &old, T0, 10, &left, p, &res), CS_ELEASE);
    assert_int_equal(cs_store_write(store, &unknown, changes, p, &res), CS_ELEASE);
}

/* ---- claiming ---- */

static void test_sites_are_named_by_due_time(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    apr_array_header_t *sites = apr_array_make(p, 4, sizeof(const char *)), *due;
    static const char *const names[] = {"one", "two", "three", "four"};
    static const int offsets[] = {30, 10, 50};
    cs_notice_t *n;
    apr_time_t next;
    cs_result_t res;
    int i;

    for (i = 0; i < 4; i++) {
        APR_ARRAY_PUSH(sites, const char *) = names[i];
    }
    assert_ok(cs_store_sites_due(store, sites, T0, &due, &next, p, &res));
    assert_int_equal(due->nelts, 0);
    assert_true(next == 0);
    for (i = 0; i < 3; i++) {
        n = make_notice(p, "pc:a", T0 + offsets[i] * SEC);
        n->site = names[i];
        assert_ok(accept_one(store, n, p, &res));
    }
    assert_ok(cs_store_sites_due(store, sites, T0 + 40 * SEC, &due, &next, p, &res));
    assert_int_equal(due->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(due, 0, const char *), "two");
    assert_string_equal(APR_ARRAY_IDX(due, 1, const char *), "one");
    assert_true(next == T0 + 10 * SEC);
    assert_ok(cs_store_sites_due(store, sites, T0, &due, NULL, p, &res));
    assert_int_equal(due->nelts, 0);
}

static void test_claim_takes_the_oldest_due_first(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *works;

    notice(store, "pc:c", T0 + 3 * SEC, p);
    notice(store, "pc:a", T0 + SEC, p);
    notice(store, "pc:b", T0 + 2 * SEC, p);
    notice(store, "pc:z", T0 + 9 * SEC, p);
    works = claim(store, &lease, T0 + 5 * SEC, 2, p);
    assert_int_equal(works->nelts, 2);
    assert_string_equal(work_at(works, 0)->name, "pc:a");
    assert_string_equal(work_at(works, 1)->name, "pc:b");
    assert_int_equal(claim(store, &lease, T0 + 5 * SEC, 10, p)->nelts, 3);
    assert_int_equal(claim(store, &lease, T0, 10, p)->nelts, 0);
}

static void test_claim_folds_names_into_their_deal(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_deal_t *d = deal_with_alias(store, &lease, "pc", "a", p);
    apr_array_header_t *changes = changes_new(p), *works;
    cs_change_t *c = add(changes, CS_CHANGE_ALIAS);
    cs_notice_t *n = make_notice(p, "crm:b", T0 + SEC);
    cs_result_t res;

    c->deal = d;
    c->system = "crm";
    c->name = "b";
    write_ok(store, &lease, changes, p);
    notice(store, "pc:a", T0 + 2 * SEC, p);
    notice(store, "pc:a", T0 + 3 * SEC, p);
    notice(store, "pc:other", T0, p);
    n->system = "crm";
    assert_ok(accept_one(store, n, p, &res));
    works = claim(store, &lease, T0 + 5 * SEC, 10, p);
    assert_int_equal(works->nelts, 2);
    assert_string_equal(work_at(works, 0)->name, "pc:other");
    assert_string_equal(work_at(works, 1)->name, apr_psprintf(p, "deal:%" APR_INT64_T_FMT, d->id));
    assert_int_equal(work_at(works, 1)->wanted, 3);
    assert_int_equal(work_at(works, 1)->done, 0);
    assert_true(work_at(works, 1)->due == T0 + SEC);
    assert_true(work_at(works, 1)->first == T0 + SEC);
    assert_true(hint(work_at(works, 1), "pc") == T0 + 3 * SEC);
    assert_true(hint(work_at(works, 1), "crm") == T0 + SEC);
    assert_null(row(store, "pc:a", p));
    assert_null(row(store, "crm:b", p));
}

static void test_claim_folds_into_a_row_that_is_there(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_deal_t *d = deal_with_alias(store, &lease, "pc", "a", p);
    const char *own = apr_psprintf(p, "deal:%" APR_INT64_T_FMT, d->id);
    cs_work_t *work;

    notice(store, own, T0 + 50 * SEC, p);
    notice(store, "pc:a", T0 + 2 * SEC, p);
    claim(store, &lease, T0 + 5 * SEC, 10, p);
    work = row(store, own, p);
    assert_int_equal(work->wanted, 2);
    assert_true(work->due == T0 + 2 * SEC);
    /* A dead row wakes up. */
    later(store, &lease, work, T0 + 60 * SEC, 9, CS_WORK_DEAD, 2, p);
    notice(store, "pc:a", T0 + 7 * SEC, p);
    assert_int_equal(claim(store, &lease, T0 + 8 * SEC, 10, p)->nelts, 1);
    work = row(store, own, p);
    assert_int_equal(work->state, CS_WORK_READY);
    assert_int_equal(work->attempts, 0);
    assert_null(work->problem);
    assert_int_equal(work->wanted - work->done, 1);
    assert_true(work->due == T0 + 7 * SEC);
    assert_true(work->first == T0 + 7 * SEC);
    /* One that waits for its next attempt waits on. */
    later(store, &lease, work, T0 + 90 * SEC, 4, CS_WORK_READY, 0, p);
    notice(store, "pc:a", T0 + 9 * SEC, p);
    assert_int_equal(claim(store, &lease, T0 + 10 * SEC, 10, p)->nelts, 0);
    work = row(store, own, p);
    assert_int_equal(work->attempts, 4);
    assert_true(work->due == T0 + 90 * SEC);
    assert_int_equal(work->wanted - work->done, 2);
}

static void test_refresh_sees_what_came_in(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *works, *changes = changes_new(p);
    cs_change_t *c;
    cs_result_t res;

    notice(store, "pc:a", T0, p);
    notice(store, "pc:b", T0 + SEC, p);
    works = claim(store, &lease, T0 + SEC, 10, p);
    notice(store, "pc:a", T0 + 2 * SEC, p);
    c = add(changes, CS_CHANGE_WORK_DONE);
    c->work = work_at(works, 1);
    c->value = 1;
    write_ok(store, &lease, changes, p);
    assert_ok(cs_store_refresh(store, works, p, &res));
    assert_int_equal(work_at(works, 0)->wanted, 2);
    assert_true(hint(work_at(works, 0), "pc") == T0 + 2 * SEC);
    assert_true(work_at(works, 0)->first == T0);
    assert_int_equal(work_at(works, 1)->wanted, 1);
    assert_true(hint(work_at(works, 1), "pc") == T0 + SEC);
}

/* ---- deals ---- */

static json_t *doc(const char *text, apr_pool_t *p)
{
    json_t *json;
    cs_result_t res;

    assert_ok(cs_json_parse(&json, text, strlen(text), NULL, p, &res));
    return cs_json_own(json, p);
}

static void fill_deal(cs_deal_t *d, apr_pool_t *p)
{
    d->state = CS_DEAL_LINKED;
    d->crm = "crm";
    d->kind = "opportunity";
    d->referral_id = "r";
    d->engagement_id = "e";
    d->table = "opportunity";
    d->record_id = "rec";
    d->title = "Größe \xE2\x82\xAC";
    d->status = "In sync";
    d->problem = "none";
    d->pc_version = "\"etag\"";
    d->pc_status = "Active/Accepted";
    d->crm_version = "W/1";
    d->mapping = "digest";
    d->images =
        doc("{\"name\":{\"pc\":\"x\",\"crm\":null},\"sum\":{\"pc\":{\"amount\":\"5.00\"}}}", p);
    d->intent = doc("{\"steps\":[1,2]}", p);
    d->told = doc("{\"audit\":[]}", p);
    d->explain = doc("[\"a\"]", p);
    d->next_look = T0 + 1;
    d->created = T0 + 2;
    d->updated = T0 + 3;
}

static void assert_same_deal(const cs_deal_t *a, const cs_deal_t *b)
{
    assert_int_equal(a->id, b->id);
    assert_string_equal(a->site, b->site);
    assert_int_equal(a->state, b->state);
    assert_string_equal(a->crm, b->crm);
    assert_string_equal(a->kind, b->kind);
    assert_string_equal(a->referral_id, b->referral_id);
    assert_string_equal(a->engagement_id, b->engagement_id);
    assert_string_equal(a->table, b->table);
    assert_string_equal(a->record_id, b->record_id);
    assert_string_equal(a->title, b->title);
    assert_string_equal(a->status, b->status);
    assert_string_equal(a->problem, b->problem);
    assert_string_equal(a->pc_version, b->pc_version);
    assert_string_equal(a->pc_status, b->pc_status);
    assert_string_equal(a->crm_version, b->crm_version);
    assert_string_equal(a->mapping, b->mapping);
    assert_true(json_equal(a->images, b->images));
    assert_true(json_equal(a->intent, b->intent));
    assert_true(json_equal(a->told, b->told));
    assert_true(json_equal(a->explain, b->explain));
    assert_true(a->next_look == b->next_look && a->created == b->created &&
                a->updated == b->updated);
}

static void test_deal_comes_back_as_it_was(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p);
    cs_deal_t *d = deal_with_alias(store, &lease, "pc", "a", p), *found;
    cs_result_t res;

    assert_ok(cs_store_deal_load(store, SITE, d->id, &found, p, &res));
    assert_int_equal(found->state, CS_DEAL_NEW);
    assert_null(found->crm);
    assert_null(found->images);
    assert_null(found->intent);
    fill_deal(d, p);
    add(changes, CS_CHANGE_DEAL)->deal = d;
    write_ok(store, &lease, changes, p);
    assert_ok(cs_store_deal_find(store, SITE, "pc", "a", &found, p, &res));
    assert_same_deal(found, d);
    assert_ok(cs_store_deal_find(store, SITE, "crm", "a", &found, p, &res));
    assert_null(found);
    assert_ok(cs_store_deal_find(store, "other", "pc", "a", &found, p, &res));
    assert_null(found);
    assert_ok(cs_store_deal_load(store, "other", d->id, &found, p, &res));
    assert_null(found);
    assert_int_equal(counts_of(store, SITE, p).deals, 1);
}

static void test_deals_are_listed_newest_change_first(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p), *deals;
    cs_deal_t *d;
    cs_result_t res;
    int i;

    for (i = 0; i < 3; i++) {
        d = make_deal(p, apr_psprintf(p, "%d", i));
        d->updated = T0 + (i == 1 ? 9 : i);
        add(changes, CS_CHANGE_DEAL)->deal = d;
    }
    write_ok(store, &lease, changes, p);
    assert_ok(cs_store_deal_list(store, SITE, 2, &deals, p, &res));
    assert_int_equal(deals->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(deals, 0, cs_deal_t *)->title, "1");
    assert_string_equal(APR_ARRAY_IDX(deals, 1, cs_deal_t *)->title, "2");
    assert_ok(cs_store_deal_list(store, "other", 2, &deals, p, &res));
    assert_int_equal(deals->nelts, 0);
}

static void test_alias_belongs_to_one_deal(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_deal_t *one = deal_with_alias(store, &lease, "pc", "a", p), *two = make_deal(p, "two"),
              *found;
    apr_array_header_t *changes = changes_new(p);
    cs_journal_t j;
    const char *text;
    cs_change_t *c;
    cs_result_t res;

    c = add(changes, CS_CHANGE_ALIAS);
    c->deal = one;
    c->system = "pc";
    c->name = "a";
    write_ok(store, &lease, changes, p);
    memset(&j, 0, sizeof(j));
    c = add(changes, CS_CHANGE_META);
    c->name = "n";
    c->text = "t";
    add(changes, CS_CHANGE_DEAL)->deal = two;
    c = add(changes, CS_CHANGE_JOURNAL);
    c->journal = &j;
    c->deal = two;
    c = add(changes, CS_CHANGE_ALIAS);
    c->deal = two;
    c->system = "pc";
    c->name = "a";
    assert_int_equal(cs_store_write(store, &lease, changes, p, &res), CS_ESTALE);
    assert_has(res.detail, "pc:a");
    /* Nothing of it happened, in the store or here. */
    assert_int_equal(two->id, 0);
    assert_int_equal(j.id, 0);
    assert_int_equal(j.deal, 0);
    assert_ok(cs_store_meta_get(store, SITE, "n", &text, p, &res));
    assert_null(text);
    assert_int_equal(counts_of(store, SITE, p).deals, 1);
    assert_int_equal(counts_of(store, SITE, p).journal, 0);
    assert_ok(cs_store_deal_find(store, SITE, "pc", "a", &found, p, &res));
    assert_int_equal(found->id, one->id);
}

static void test_replacing_an_unknown_deal_is_stale(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p);
    cs_deal_t *d = make_deal(p, "x");
    cs_result_t res;

    d->id = 77;
    add(changes, CS_CHANGE_DEAL)->deal = d;
    assert_int_equal(cs_store_write(store, &lease, changes, p, &res), CS_ESTALE);
    assert_int_equal(d->id, 77);
}

static void test_journal_comes_back_newest_first(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p), *lines;
    cs_deal_t *d = deal_with_alias(store, &lease, "pc", "a", p);
    cs_journal_t j[3];
    const cs_journal_t *got;
    cs_change_t *c;
    cs_result_t res;
    int i;

    memset(j, 0, sizeof(j));
    for (i = 0; i < 3; i++) {
        j[i].at = T0 + i;
        j[i].action = "update";
        c = add(changes, CS_CHANGE_JOURNAL);
        c->journal = &j[i];
        c->deal = i == 1 ? NULL : d;
    }
    j[2].direction = "to_crm";
    j[2].line = "name";
    j[2].from = doc("\"old\"", p);
    j[2].to = doc("{\"amount\":\"5.00\",\"currency\":\"USD\"}", p);
    j[2].outcome = "done";
    j[2].why = "because";
    j[2].calls = 4;
    j[2].took = 1234;
    j[2].correlation = "x/y";
    j[2].mapping = "rev";
    write_ok(store, &lease, changes, p);
    assert_true(j[0].id > 0 && j[2].id > j[1].id);
    assert_int_equal(j[2].deal, d->id);
    assert_ok(cs_store_journal_list(store, SITE, d->id, 10, &lines, p, &res));
    assert_int_equal(lines->nelts, 2);
    got = APR_ARRAY_IDX(lines, 0, cs_journal_t *);
    assert_int_equal(got->id, j[2].id);
    assert_int_equal(got->deal, d->id);
    assert_true(got->at == T0 + 2 && got->took == 1234);
    assert_string_equal(got->direction, "to_crm");
    assert_string_equal(got->action, "update");
    assert_string_equal(got->line, "name");
    assert_true(json_equal(got->from, j[2].from) && json_equal(got->to, j[2].to));
    assert_string_equal(got->outcome, "done");
    assert_string_equal(got->why, "because");
    assert_int_equal(got->calls, 4);
    assert_string_equal(got->correlation, "x/y");
    assert_string_equal(got->mapping, "rev");
    assert_ok(cs_store_journal_list(store, SITE, 0, 10, &lines, p, &res));
    assert_int_equal(lines->nelts, 3);
    assert_null(APR_ARRAY_IDX(lines, 1, cs_journal_t *)->line);
    assert_null(APR_ARRAY_IDX(lines, 1, cs_journal_t *)->from);
    assert_int_equal(counts_of(store, SITE, p).journal, 3);
}

/* ---- settling ---- */

static void test_done_removes_or_goes_on(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p);
    cs_work_t *work, *left;
    cs_change_t *c;

    notice(store, "pc:a", T0, p);
    notice(store, "pc:a", T0, p);
    later(store, &lease, row(store, "pc:a", p), T0, 5, CS_WORK_READY, 0, p);
    work = work_at(claim(store, &lease, T0, 10, p), 0);
    notice(store, "pc:a", T0 + SEC, p);
    c = add(changes, CS_CHANGE_WORK_DONE);
    c->work = work;
    c->value = 2;
    c->at = T0 + 7 * SEC;
    write_ok(store, &lease, changes, p);
    left = row(store, "pc:a", p);
    assert_int_equal(left->wanted, 3);
    assert_int_equal(left->done, 2);
    assert_int_equal(left->attempts, 0);
    assert_null(left->problem);
    assert_true(left->due == T0 + 7 * SEC && left->first == T0 + 7 * SEC);
    /* A settle of the past takes nothing back. */
    c->value = 1;
    write_ok(store, &lease, changes, p);
    assert_int_equal(row(store, "pc:a", p)->done, 2);
    c->value = 3;
    write_ok(store, &lease, changes, p);
    assert_null(row(store, "pc:a", p));
    /* Nor does one of a row that is gone do anything. */
    write_ok(store, &lease, changes, p);
    assert_null(row(store, "pc:a", p));
}

static void test_later_keeps_or_sets_done(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    notice(store, "pc:a", T0, p);
    later(store, &lease, row(store, "pc:a", p), T0 + 5, 1, CS_WORK_READY, 0, p);
    work = row(store, "pc:a", p);
    assert_int_equal(work->done, 0);
    assert_true(work->due == T0 + 5);
    later(store, &lease, work, T0 + 6, 2, CS_WORK_READY, 1, p);
    assert_int_equal(row(store, "pc:a", p)->done, 1);
    later(store, &lease, work, T0 + 6, 2, CS_WORK_READY, 0, p);
    work = row(store, "pc:a", p);
    assert_int_equal(work->done, 1);
    assert_int_equal(work->wanted, 2);
}

static void test_later_never_loses_a_row(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_work_t *work;

    notice(store, "pc:a", T0, p);
    work = row(store, "pc:a", p);
    work->name = "pc:b";
    later(store, &lease, work, T0 + 5, 1, CS_WORK_READY, 0, p);
    assert_int_equal(row(store, "pc:b", p)->wanted, 1);
    assert_true(hint(row(store, "pc:b", p), "pc") == T0);
}

static void test_add_takes_the_earlier_time(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p);
    cs_work_t add_me, *work;

    memset(&add_me, 0, sizeof(add_me));
    add_me.kind = CS_WORK_POLL;
    add_me.name = "referrals";
    add_me.due = T0 + 100;
    add_me.hints = json_pack("{s:I}", "crm", (json_int_t)5);
    add(changes, CS_CHANGE_WORK_ADD)->work = &add_me;
    write_ok(store, &lease, changes, p);
    work = row(store, "referrals", p);
    assert_string_equal(work->kind, CS_WORK_POLL);
    assert_int_equal(work->wanted, 1);
    assert_true(work->due == T0 + 100 && work->first == T0 + 100);
    assert_true(hint(work, "crm") == 5);
    add_me.due = T0 + 200;
    write_ok(store, &lease, changes, p);
    assert_true(row(store, "referrals", p)->due == T0 + 100);
    add_me.due = T0 + 50;
    write_ok(store, &lease, changes, p);
    work = row(store, "referrals", p);
    assert_true(work->due == T0 + 50);
    assert_int_equal(work->wanted, 3);
    json_decref(add_me.hints);
}

static void test_fold_moves_a_row_and_its_work(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_deal_t *d = make_deal(p, "new");
    apr_array_header_t *changes = changes_new(p);
    cs_work_t *work, *own, *named;
    const char *name;
    cs_change_t *c;
    cs_result_t res;

    notice(store, "pc:a", T0, p);
    notice(store, "pc:a", T0 + SEC, p);
    work = work_at(claim(store, &lease, T0, 10, p), 0);
    add(changes, CS_CHANGE_DEAL)->deal = d;
    c = add(changes, CS_CHANGE_FOLD);
    c->deal = d;
    c->work = work;
    write_ok(store, &lease, changes, p);
    name = apr_psprintf(p, "deal:%" APR_INT64_T_FMT, d->id);
    assert_string_equal(work->name, name);
    assert_int_equal(work->wanted, 2);
    assert_int_equal(work->done, 0);
    assert_true(hint(work, "pc") == T0 + SEC);
    assert_null(row(store, "pc:a", p));
    assert_ok(cs_store_work_of_deal(store, SITE, d->id, &own, p, &res));
    assert_non_null(own);
    assert_string_equal(own->name, name);
    /* Once more is the same. */
    write_ok(store, &lease, changes, p);
    assert_string_equal(work->name, name);
    assert_int_equal(work->wanted, 2);
    assert_ok(cs_store_work_named(store, SITE, CS_WORK_LOOK, own->name, &named, p, &res));
    assert_non_null(named);
    assert_string_equal(named->name, own->name);
    assert_ok(cs_store_work_named(store, SITE, CS_WORK_POLL, own->name, &named, p, &res));
    assert_null(named);
    assert_ok(cs_store_work_of_deal(store, SITE, d->id + 1, &own, p, &res));
    assert_null(own);
}

static void test_failed_write_gives_work_back(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    cs_deal_t *one = deal_with_alias(store, &lease, "pc", "x", p), *d = make_deal(p, "new");
    apr_array_header_t *changes = changes_new(p);
    cs_work_t *work;
    cs_change_t *c;
    cs_result_t res;

    (void)one;
    notice(store, "pc:a", T0, p);
    work = row(store, "pc:a", p);
    add(changes, CS_CHANGE_DEAL)->deal = d;
    c = add(changes, CS_CHANGE_FOLD);
    c->deal = d;
    c->work = work;
    c = add(changes, CS_CHANGE_ALIAS);
    c->deal = d;
    c->system = "pc";
    c->name = "x";
    assert_int_equal(cs_store_write(store, &lease, changes, p, &res), CS_ESTALE);
    assert_string_equal(work->name, "pc:a");
    assert_int_equal(d->id, 0);
    assert_non_null(row(store, "pc:a", p));
}

static void test_suspend_and_resume(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p), *suspended;
    const cs_suspended_t *s;
    cs_change_t *c = add(changes, CS_CHANGE_SUSPEND);
    cs_result_t why, res;
    apr_time_t since;

    notice(store, "pc:a", T0, p);
    notice(store, "pc:b", T0, p);
    cs_result_set(&why, p, CS_EREMOTE, CS_CLASS_SUSPEND, "token:revoked", "sign in again");
    c->system = "crm";
    c->result = &why;
    c->at = T0 + 60 * SEC;
    write_ok(store, &lease, changes, p);
    later(store, &lease, row(store, "pc:a", p), T0 + 60 * SEC, 0, CS_WORK_SUSPENDED, 0, p);
    assert_ok(cs_store_suspended(store, NULL, &suspended, p, &res));
    assert_int_equal(suspended->nelts, 1);
    s = &APR_ARRAY_IDX(suspended, 0, cs_suspended_t);
    assert_string_equal(s->site, SITE);
    assert_string_equal(s->upstream, "crm");
    assert_string_equal(s->problem, "token:revoked");
    assert_string_equal(s->detail, "sign in again");
    assert_true(s->probe == T0 + 60 * SEC);
    since = s->since;
    c->at = T0 + 120 * SEC;
    write_ok(store, &lease, changes, p);
    assert_ok(cs_store_suspended(store, SITE, &suspended, p, &res));
    assert_true(APR_ARRAY_IDX(suspended, 0, cs_suspended_t).since == since);
    assert_true(APR_ARRAY_IDX(suspended, 0, cs_suspended_t).probe == T0 + 120 * SEC);
    assert_int_equal(claim(store, &lease, T0 + 200 * SEC, 10, p)->nelts, 1);
    c->kind = CS_CHANGE_RESUME;
    c->system = "another";
    write_ok(store, &lease, changes, p);
    assert_int_equal(claim(store, &lease, T0 + 200 * SEC, 10, p)->nelts, 1);
    c->system = "crm";
    c->at = T0 + 5;
    write_ok(store, &lease, changes, p);
    assert_int_equal(claim(store, &lease, T0 + 200 * SEC, 10, p)->nelts, 2);
    assert_true(row(store, "pc:a", p)->due == T0 + 5);
    assert_null(row(store, "pc:a", p)->upstream);
    assert_ok(cs_store_suspended(store, SITE, &suspended, p, &res));
    assert_int_equal(suspended->nelts, 0);
}

static void test_meta_is_per_site(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p);
    cs_change_t *c = add(changes, CS_CHANGE_META);
    const char *text;
    cs_result_t res;

    c->name = "organization";
    c->text = "one";
    write_ok(store, &lease, changes, p);
    c->text = "two";
    write_ok(store, &lease, changes, p);
    assert_ok(cs_store_meta_get(store, SITE, "organization", &text, p, &res));
    assert_string_equal(text, "two");
    assert_ok(cs_store_meta_get(store, "other", "organization", &text, p, &res));
    assert_null(text);
    c->text = NULL;
    write_ok(store, &lease, changes, p);
    assert_ok(cs_store_meta_get(store, SITE, "organization", &text, p, &res));
    assert_null(text);
}

/* ---- secrets ---- */

static void test_secret_is_compared_and_swapped(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p), *other;
    const unsigned char *sealed;
    static const unsigned char one[] = {1, 0, 255}, two[] = {2, 2};
    apr_int64_t version;
    apr_size_t len;
    cs_result_t res;

    assert_ok(cs_store_secret_get(store, SITE, "refresh", &sealed, &len, &version, p, &res));
    assert_null(sealed);
    assert_int_equal(version, 0);
    assert_int_equal(cs_store_secret_put(store, SITE, "refresh", one, 3, 4, p, &res), CS_ESTALE);
    assert_ok(cs_store_secret_put(store, SITE, "refresh", one, 3, 0, p, &res));
    assert_int_equal(cs_store_secret_put(store, SITE, "refresh", two, 2, 0, p, &res), CS_ESTALE);
    assert_int_equal(res.cls, CS_CLASS_CONFLICT);
    assert_ok(cs_store_secret_get(store, SITE, "refresh", &sealed, &len, &version, p, &res));
    assert_int_equal(version, 1);
    assert_int_equal(len, 3);
    assert_memory_equal(sealed, one, 3);
    assert_ok(cs_store_secret_put(store, SITE, "refresh", two, 2, 1, p, &res));
    assert_int_equal(cs_store_secret_put(store, SITE, "refresh", one, 3, 1, p, &res), CS_ESTALE);
    assert_ok(cs_store_secret_get(store, SITE, "refresh", &sealed, &len, &version, p, &res));
    assert_int_equal(version, 2);
    assert_memory_equal(sealed, two, 2);
    assert_ok(cs_store_secret_get(store, "other", "refresh", &sealed, &len, &version, p, &res));
    assert_int_equal(version, 0);
    other = new_store(p);
    assert_ok(cs_store_secret_put(other, SITE, "empty", one, 0, 0, p, &res));
    assert_ok(cs_store_secret_get(other, SITE, "empty", &sealed, &len, &version, p, &res));
    assert_int_equal(version, 1);
    assert_int_equal(len, 0);
    assert_non_null(sealed);
}

/* ---- keeping house ---- */

static int prune(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max, apr_pool_t *p)
{
    cs_result_t res;
    int left;

    if (cs_store_prune(store, lease, now, max, &left, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return left != 0;
}

static void test_prune_removes_old_rows_in_chunks(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes = changes_new(p);
    apr_interval_time_t day = 86400 * (apr_interval_time_t)SEC;
    cs_journal_t j[5];
    int i;

    for (i = 0; i < 10; i++) {
        notice(store, "pc:a", T0, p);
    }
    notice(store, "pc:a", T0 + 10 * day, p);
    notice(store, "pc:a", T0 + 10 * day, p);
    memset(j, 0, sizeof(j));
    for (i = 0; i < 5; i++) {
        j[i].at = T0 + (i == 4 ? 95 * day : 0);
        add(changes, CS_CHANGE_JOURNAL)->journal = &j[i];
    }
    write_ok(store, &lease, changes, p);
    assert_false(prune(store, &lease, T0 + day, 500, p));
    assert_int_equal(counts_of(store, SITE, p).deliveries, 12);
    assert_true(prune(store, &lease, T0 + 11 * day, 4, p));
    assert_int_equal(counts_of(store, SITE, p).deliveries, 8);
    assert_true(prune(store, &lease, T0 + 11 * day, 4, p));
    assert_false(prune(store, &lease, T0 + 11 * day, 4, p));
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2);
    assert_int_equal(counts_of(store, SITE, p).journal, 5);
    while (prune(store, &lease, T0 + 100 * day, 3, p)) {
    }
    assert_int_equal(counts_of(store, SITE, p).journal, 1);
    /* What is outstanding is never old. */
    assert_int_equal(row(store, "pc:a", p)->wanted, 12);
}

/* ---- readers ---- */

static void test_reader_sees_and_does_not_touch(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    cs_store_t *writer = open_store(cfg, CS_STORE_WRITER, p),
               *reader = open_store(cfg, CS_STORE_READER, p);
    cs_lease_t lease;
    cs_result_t res;

    assert_int_equal(cs_store_check(reader, p, &res), CS_EMISSING);
    notice(writer, "pc:a", T0, p);
    assert_ok(cs_store_check(reader, p, &res));
    assert_int_equal(list(reader, -1, p)->nelts, 1);
    notice(writer, "pc:b", T0, p);
    assert_int_equal(list(reader, CS_WORK_READY, p)->nelts, 2);
    assert_int_equal(accept_one(reader, make_notice(p, "pc:c", T0), p, &res), APR_EINVAL);
    assert_int_not_equal(cs_store_lease_take(reader, SITE, NODE, SEC, T0, &lease, p, &res),
                         APR_SUCCESS);
    assert_int_equal(list(writer, -1, p)->nelts, 2);
}

/* Between the claim and the settling of the look that gives up, or that a brake holds. */
static void test_what_stops_does_not_stop_newer_notices(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *changes;
    cs_work_t *known, *work;
    cs_change_t *c;
    int brake;

    for (brake = 0; brake < 2; brake++) {
        const char *name = brake ? "pc:b" : "pc:a";
        notice(store, name, T0, p);
        known = row(store, name, p);
        notice(store, name, T0 + SEC, p);
        known->state = brake ? CS_WORK_SUSPENDED : CS_WORK_DEAD;
        known->upstream = brake ? CS_BRAKE "mapping" : NULL;
        known->seen = known->wanted;
        known->attempts = 7;
        changes = changes_new(p);
        c = add(changes, CS_CHANGE_WORK_LATER);
        c->work = known;
        c->at = T0 + 2 * SEC;
        write_ok(store, &lease, changes, p);
        work = row(store, name, p);
        assert_int_equal(work->state, CS_WORK_READY);
        assert_null(work->upstream);
        assert_int_equal(work->attempts, 0);
        assert_int_equal(work->wanted, 2);
        assert_true(cs_work_notified(work));
    }
    assert_int_equal(claim(store, &lease, T0 + 3 * SEC, 10, p)->nelts, 2);
}

static void test_lists_are_limited_and_most_urgent_first(void **state)
{
    apr_pool_t *p = *state;
    cs_store_t *store = new_store(p);
    cs_lease_t lease = take(store, NODE, T0, p);
    apr_array_header_t *works;
    cs_result_t res;
    int i;

    for (i = 0; i < 6; i++) {
        notice(store, apr_psprintf(p, "pc:%d", i), T0 - i, p);
    }
    later(store, &lease, row(store, "pc:0", p), T0 - 100, 1, CS_WORK_DEAD, 0, p);
    later(store, &lease, row(store, "pc:1", p), T0 - 99, 1, CS_WORK_SUSPENDED, 0, p);
    assert_ok(cs_store_work_list(store, SITE, -1, 3, &works, p, &res));
    assert_int_equal(works->nelts, 3);
    assert_string_equal(work_at(works, 0)->name, "pc:0");
    assert_string_equal(work_at(works, 1)->name, "pc:1");
    assert_string_equal(work_at(works, 2)->name, "pc:5");
    assert_ok(cs_store_work_list(store, SITE, CS_WORK_READY, 2, &works, p, &res));
    assert_int_equal(works->nelts, 2);
    assert_string_equal(work_at(works, 0)->name, "pc:5");
}

/* ---- together ---- */

#define PROCESSES 3
#define ROUNDS 40

/* Everybody writes to one name and to one's own, in groups of 2. */
static int write_rounds(const cs_store_config_t *cfg, int me)
{
    const cs_notice_t *group[2];
    apr_pool_t *p, *ptemp;
    cs_store_t *store;
    cs_result_t res;
    int i;

    apr_pool_create(&p, NULL);
    apr_pool_create(&ptemp, p);
    if (cs_store_open(&store, cfg, CS_STORE_WRITER, p, &res)) {
        return 1;
    }
    for (i = 0; i < ROUNDS; i++) {
        group[0] = make_notice(ptemp, "pc:common", T0);
        group[1] = make_notice(ptemp, apr_psprintf(ptemp, "pc:own%d", me), T0);
        if (cs_store_accept(store, group, 2, ptemp, &res)) {
            fprintf(stderr, "%s\n", res.detail);
            return 2;
        }
        apr_pool_clear(ptemp);
    }
    apr_pool_destroy(p);
    return 0;
}

static void test_processes_share_the_store(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    pid_t pids[PROCESSES];
    cs_store_t *store;
    int i;

    for (i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (!pids[i]) {
            child_exit(write_rounds(cfg, i));
        }
    }
    for (i = 0; i < PROCESSES; i++) {
        assert_int_equal(end_of(pids[i]), 0);
    }
    store = open_store(cfg, CS_STORE_WRITER, p);
    assert_int_equal(counts_of(store, SITE, p).deliveries, 2 * ROUNDS * PROCESSES);
    assert_int_equal(row(store, "pc:common", p)->wanted, ROUNDS * PROCESSES);
    assert_int_equal(row(store, "pc:own0", p)->wanted, ROUNDS);
    assert_int_equal(row(store, "pc:own2", p)->wanted, ROUNDS);
}

typedef struct writer_t {
    const cs_store_config_t *cfg;
    int me, rv;
} writer_t;

static void *write_in_thread(void *baton)
{
    writer_t *w = baton;

    w->rv = write_rounds(w->cfg, w->me);
    return NULL;
}

static void test_threads_share_the_store(void **state)
{
    apr_pool_t *p = *state;
    cs_store_config_t *cfg = make_state(p);
    pthread_t threads[PROCESSES];
    writer_t w[PROCESSES];
    cs_store_t *store;
    int i;

    for (i = 0; i < PROCESSES; i++) {
        w[i].cfg = cfg;
        w[i].me = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_in_thread, &w[i]), 0);
    }
    for (i = 0; i < PROCESSES; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(w[i].rv, 0);
    }
    store = open_store(cfg, CS_STORE_READER, p);
    assert_int_equal(row(store, "pc:common", p)->wanted, ROUNDS * PROCESSES);
    assert_int_equal(counts_of(store, NULL, p).deliveries, 2 * ROUNDS * PROCESSES);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_open_refuses_what_it_cannot_do),
        UNIT_TEST(test_open_is_lazy_and_reports_at_use),
        UNIT_TEST(test_node_is_made_once),
        UNIT_TEST(test_handle_closes_and_opens_again),
        UNIT_TEST(test_accept_makes_work),
        UNIT_TEST(test_accept_counts_and_keeps_the_newest_hint),
        UNIT_TEST(test_accept_keeps_hints_per_system),
        UNIT_TEST(test_accept_without_work_is_only_delivered),
        UNIT_TEST(test_accept_takes_many_names),
        UNIT_TEST(test_accept_is_all_or_nothing),
        UNIT_TEST(test_accept_leaves_a_waiting_attempt_alone),
        UNIT_TEST(test_accept_wakes_the_dead),
        UNIT_TEST(test_accept_starts_over_when_nothing_was_outstanding),
        UNIT_TEST(test_accept_does_not_wake_the_suspended),
        UNIT_TEST(test_lease_is_exclusive_and_its_epoch_rises),
        UNIT_TEST(test_lease_renewal_needs_the_epoch),
        UNIT_TEST(test_nothing_is_changed_without_the_lease),
        UNIT_TEST(test_sites_are_named_by_due_time),
        UNIT_TEST(test_claim_takes_the_oldest_due_first),
        UNIT_TEST(test_claim_folds_names_into_their_deal),
        UNIT_TEST(test_claim_folds_into_a_row_that_is_there),
        UNIT_TEST(test_refresh_sees_what_came_in),
        UNIT_TEST(test_deal_comes_back_as_it_was),
        UNIT_TEST(test_deals_are_listed_newest_change_first),
        UNIT_TEST(test_alias_belongs_to_one_deal),
        UNIT_TEST(test_replacing_an_unknown_deal_is_stale),
        UNIT_TEST(test_journal_comes_back_newest_first),
        UNIT_TEST(test_done_removes_or_goes_on),
        UNIT_TEST(test_later_keeps_or_sets_done),
        UNIT_TEST(test_later_never_loses_a_row),
        UNIT_TEST(test_add_takes_the_earlier_time),
        UNIT_TEST(test_fold_moves_a_row_and_its_work),
        UNIT_TEST(test_failed_write_gives_work_back),
        UNIT_TEST(test_suspend_and_resume),
        UNIT_TEST(test_meta_is_per_site),
        UNIT_TEST(test_secret_is_compared_and_swapped),
        UNIT_TEST(test_prune_removes_old_rows_in_chunks),
        UNIT_TEST(test_reader_sees_and_does_not_touch),
        UNIT_TEST(test_what_stops_does_not_stop_newer_notices),
        UNIT_TEST(test_lists_are_limited_and_most_urgent_first),
        UNIT_TEST(test_processes_share_the_store),
        UNIT_TEST(test_threads_share_the_store),
    };

    return UNIT_RUN(tests);
}
