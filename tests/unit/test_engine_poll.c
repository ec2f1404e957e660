/* Polls and sweeps: timers, the list of referrals, changed rows of a CRM, regular looks; page by page, over restarts, within bounds. */
#include "unit_engine.h"

#include "mod_cosell/base/counter.h"
#include "mod_cosell/engine/timers.h"

#define POLL (300 * SEC)
#define SWEEP (43200 * SEC)
#define LIST CS_POLL_REFERRALS
#define ROWS CRM_NAME "/opportunity"
#define SHOWN CRM_NAME "/account"
#define CUSTOMER_LINE ",'customer':{'pc':'/customerProfile/name','crm':'parentaccountid/name','direction':'to_pc','events':['create']}"

/* ---- a world with timers ---- */

static world_t *polled_world(apr_pool_t *p)
{
    new_world(p);
    W->site.poll = POLL;
    W->site.sweep = SWEEP;
    W->site.crms[0].mapping = make_mapping(p, "1", "", CUSTOMER_LINE);
    begin_lane();
    one_batch();
    return W;
}

static cs_work_t *named(const char *kind, const char *name)
{
    cs_work_t *row = NULL;

    assert_ok(cs_store_work_named(W->store, SITE, kind, name, &row, W->p, NULL));
    return row;
}

static cs_work_t *look(const char *name)
{
    return named(CS_WORK_LOOK, name);
}

static int looks(void)
{
    apr_array_header_t *list;
    int i, n = 0;

    assert_ok(cs_store_work_list(W->store, SITE, -1, 2000, &list, W->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        n += !strcmp(APR_ARRAY_IDX(list, i, cs_work_t *)->kind, CS_WORK_LOOK);
    }
    return n;
}

static void store_one(cs_change_t change)
{
    apr_array_header_t *changes = apr_array_make(W->p, 1, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(W->lane);

    APR_ARRAY_PUSH(changes, cs_change_t) = change;
    assert_ok(cs_store_write(W->store, &lease, changes, W->p, NULL));
}

/* All looks that were asked for are made; how many. */
static int made_looks(void)
{
    apr_array_header_t *list;
    int i, n = 0;

    assert_ok(cs_store_work_list(W->store, SITE, -1, 2000, &list, W->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        cs_work_t *work = APR_ARRAY_IDX(list, i, cs_work_t *);
        if (!strcmp(work->kind, CS_WORK_LOOK)) {
            store_one((cs_change_t){.kind = CS_CHANGE_WORK_DONE, .work = work, .value = work->wanted});
            n++;
        }
    }
    return n;
}

static json_t *cursor(const char *timer)
{
    const char *text;

    assert_ok(cs_store_cursor_get(W->store, SITE, timer, &text, NULL, W->p, NULL));
    return text ? cs_json_own(json_loads(text, 0, NULL), W->p) : NULL;
}

/* This one alone is due. */
static void make_due(const char *kind, const char *name)
{
    static const char *const timers[][2] = {{CS_WORK_POLL, LIST}, {CS_WORK_POLL, ROWS}, {CS_WORK_POLL, SHOWN}, {CS_WORK_SWEEP, CS_SWEEP_DEALS}};
    int i;

    for (i = 0; i < 4; i++) {
        cs_work_t *work = named(timers[i][0], timers[i][1]);
        int this = !strcmp(timers[i][0], kind) && !strcmp(timers[i][1], name);
        store_one((cs_change_t){.kind = CS_CHANGE_WORK_TIMER, .work = work, .value = work->wanted, .at = cs_time_now() + (this ? 0 : POLL)});
    }
}

/* Polls only; what they ask for is not looked at. */
static int turn(void)
{
    cs_result_t res = {0};
    apr_pool_t *p;
    int more = 0;

    assert_ok(apr_pool_create(&p, W->p));
    assert_ok(cs_lane_facts_load(W->lane, p, &res));
    if (cs_poll_turn(W->lane, &more, p, &res)) {
        fail_msg("%s", res.detail);
    }
    apr_pool_destroy(p);
    return more;
}

static void restart(void)
{
    begin_lane();
    one_batch();
}

/* Killed, and started again; no look has been made yet. */
static void killed(void)
{
    cs_result_t res = {0};
    const char *node;

    begin_lane();
    assert_ok(cs_store_node(W->lane->store, &node, W->p, &res));
    assert_ok(cs_lane_lease_take(W->lane, W->lane->store, node, W->p, &res));
}

/* ---- timers ---- */

static void test_timers_are_made_once_and_spread(void **state)
{
    static const char *const names[] = {LIST, ROWS, SHOWN};
    apr_time_t begin = cs_time_now(), due[3];
    int i;

    polled_world(*state);
    for (i = 0; i < 3; i++) {
        const cs_work_t *row = named(CS_WORK_POLL, names[i]);
        assert_non_null(row);
        due[i] = row->due;
        assert_true(due[i] >= begin + POLL / 2 && due[i] <= cs_time_now() + POLL);
        assert_true(!i || due[i] > due[i - 1]);
    }
    assert_true(named(CS_WORK_SWEEP, CS_SWEEP_DEALS)->due > begin + SWEEP / 2);
    assert_int_equal(counts_of(W->store, SITE, *state).outstanding, 0);
    restart();
    for (i = 0; i < 3; i++) {
        assert_int_equal(named(CS_WORK_POLL, names[i])->due, due[i]);
    }
    work();
    assert_int_equal(W->changed_lists + W->change_pages, 0);
}

static void test_a_shorter_interval_counts_at_once(void **state)
{
    polled_world(*state);
    W->site.poll = 20 * SEC;
    restart();
    assert_true(named(CS_WORK_POLL, LIST)->due <= cs_time_now() + 22 * SEC);
    assert_true(named(CS_WORK_SWEEP, CS_SWEEP_DEALS)->due > cs_time_now() + SWEEP / 2);
}

static void test_the_interval_is_jittered(void **state)
{
    apr_time_t least = 0, most = 0, due;
    int i;

    polled_world(*state);
    for (i = 0; i < 40; i++) {
        make_due(CS_WORK_POLL, LIST);
        turn();
        due = named(CS_WORK_POLL, LIST)->due - cs_time_now();
        assert_true(due > POLL * 9 / 10 - SEC && due <= POLL * 11 / 10);
        least = !least || due < least ? due : least;
        most = due > most ? due : most;
    }
    assert_true(most - least > POLL / 50);
}

static void test_nothing_is_polled_where_polls_are_off(void **state)
{
    new_world(*state);
    begin_lane();
    work();
    pass_seconds(90000);
    work();
    assert_null(named(CS_WORK_POLL, LIST));
    assert_int_equal(W->changed_lists + W->change_pages, 0);
}

static void test_a_table_nobody_watches_any_more_is_forgotten(void **state)
{
    polled_world(*state);
    W->site.crms[0].mapping = make_mapping(*state, "2", "", "");
    restart();
    make_due(CS_WORK_POLL, SHOWN);
    assert_true(turn());
    assert_null(named(CS_WORK_POLL, SHOWN));
    assert_non_null(named(CS_WORK_POLL, ROWS));
    assert_int_equal(W->change_pages, 0);
}

/* ---- the list of referrals ---- */

typedef struct page_t {
    cs_card_t *cards[260];
    int n;
    const char *next;
} page_t;

static page_t list_pages[4];
static const char *refused_skip;

static void show_page(cs_pc_page_t *page, apr_pool_t *p)
{
    const page_t *from = &list_pages[page->skip ? atoi(page->skip) : 0];
    int i;

    if (page->skip && refused_skip && !strcmp(page->skip, refused_skip)) {
        cs_result_set(&page->result, p, CS_EREMOTE, CS_CLASS_DATA, "http:400", "no such place");
        return;
    }
    for (i = 0; i < from->n; i++) {
        APR_ARRAY_PUSH(page->cards, cs_card_t *) = from->cards[i];
    }
    page->next = from->next;
}

static cs_card_t *card(const char *id, const char *org, const char *etag, apr_time_t updated)
{
    cs_card_t *c = apr_pcalloc(W->p, sizeof(*c));

    c->id = id;
    c->organization_id = org;
    c->engagement_id = apr_pstrcat(W->p, "e-", id, NULL);
    c->etag = etag;
    c->updated = updated;
    return c;
}

static void put_card(int page, cs_card_t *c)
{
    list_pages[page].cards[list_pages[page].n++] = c;
}

static apr_time_t listed_world(apr_pool_t *p)
{
    memset(list_pages, 0, sizeof(list_pages));
    refused_skip = NULL;
    polled_world(p);
    W->list_changed = show_page;
    pass_seconds(1000);
    return cs_time_now();
}

static int poll_list(void)
{
    int turns = 0;

    make_due(CS_WORK_POLL, LIST);
    while (turn()) {
        assert_true(++turns < 20);
    }
    return turns;
}

static void test_only_what_differs_is_looked_at(void **state)
{
    apr_time_t now = listed_world(*state);
    cs_deal_t deal = {.site = SITE, .state = CS_DEAL_LINKED, .crm = CRM_NAME, .referral_id = "known", .pc_version = "\"1\""};
    apr_uint64_t polled = cs_counter_get(CS_COUNT_POLLED);

    store_one((cs_change_t){.kind = CS_CHANGE_DEAL, .deal = &deal});
    store_one((cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = &deal, .system = CS_SYSTEM_PC, .name = "known"});
    put_card(0, card("known", OWN, "\"1\"", now));
    put_card(0, card("fresh", OWN, "\"7\"", now - SEC));
    put_card(0, card("stranger", "0badc0de-0000-4000-8000-000000000001", "\"1\"", now - SEC));
    put_card(0, card("theirs", "msft", "\"1\"", now - SEC));
    assert_int_equal(poll_list(), 1);
    assert_int_equal(looks(), 1);
    assert_true(cs_work_notified(look("pc:fresh")));
    assert_int_equal(json_integer_value(json_object_get(look("pc:fresh")->hints, CS_SYSTEM_PC)), now - SEC);
    assert_int_equal(cs_counter_get(CS_COUNT_POLLED), polled + 1);
    list_pages[0].cards[0]->etag = "\"2\"";
    list_pages[0].cards[0]->updated = now + SEC;
    poll_list();
    assert_int_equal(looks(), 2);
    assert_true(cs_work_notified(look("deal:1")));
    /* Asked for and not looked at yet: not again. */
    list_pages[0].cards[0]->etag = "\"3\"";
    assert_int_equal(look("deal:1")->wanted, 1);
    poll_list();
    assert_int_equal(look("deal:1")->wanted, 1);
    assert_int_equal(cs_counter_get(CS_COUNT_POLLED), polled + 2);
}

static void test_microsofts_card_wakes_the_deal_of_its_engagement(void **state)
{
    apr_time_t now = listed_world(*state);
    cs_deal_t deal = {.site = SITE, .state = CS_DEAL_LINKED, .crm = CRM_NAME, .referral_id = "ours", .pc_version = "\"1\""};

    store_one((cs_change_t){.kind = CS_CHANGE_DEAL, .deal = &deal});
    store_one((cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = &deal, .system = "pc-engagement", .name = "e-theirs"});
    put_card(0, card("theirs", "msft", "\"1\"", now));
    poll_list();
    assert_int_equal(looks(), 1);
    assert_int_equal(json_integer_value(json_object_get(look("deal:1")->hints, CS_SYSTEM_RELATED)), now);
    store_one((cs_change_t){.kind = CS_CHANGE_WORK_DONE, .work = look("deal:1"), .value = 1});
    poll_list(); /* the same version */
    assert_int_equal(looks(), 0);
    list_pages[0].cards[0]->etag = "\"2\"";
    list_pages[0].cards[0]->updated++;
    poll_list();
    assert_int_equal(looks(), 1);
}

static void test_a_pass_ends_at_what_was_seen_before(void **state)
{
    apr_time_t now = listed_world(*state);
    int i;

    for (i = 0; i < 3; i++) {
        list_pages[i].next = apr_itoa(W->p, i + 1);
        put_card(i, card(apr_psprintf(W->p, "a%d", i), OWN, "\"1\"", now - i * SEC));
    }
    put_card(3, card("old", OWN, "\"1\"", now - 7200 * SEC));
    list_pages[3].next = "0"; /* it would go on for ever */
    assert_int_equal(poll_list(), 4);
    assert_int_equal(looks(), 3);
    assert_null(look("pc:old"));
    assert_int_equal(cs_json_int(cursor("poll:" LIST), "watermark", 0), now);
    list_pages[0].next = NULL;
    list_pages[0].cards[0] = card("b", OWN, "\"1\"", now - 590 * SEC); /* late in the list, within the overlap */
    put_card(0, card("c", OWN, "\"1\"", now - 610 * SEC));
    assert_int_equal(poll_list(), 1);
    assert_non_null(look("pc:b"));
    assert_null(look("pc:c"));
}

static void test_a_pass_goes_on_where_it_was_killed(void **state)
{
    apr_time_t now = listed_world(*state);
    int lists;

    list_pages[0].next = "1";
    list_pages[1].next = "2";
    put_card(0, card("a", OWN, "\"1\"", now));
    put_card(1, card("b", OWN, "\"1\"", now - SEC));
    put_card(2, card("c", OWN, "\"1\"", now - 2 * SEC));
    make_due(CS_WORK_POLL, LIST);
    assert_true(turn());
    assert_true(turn());
    assert_string_equal(cs_json_str(cursor("poll:" LIST), "skip"), "2");
    lists = W->changed_lists;
    killed();
    assert_true(turn());
    assert_int_equal(W->changed_lists, lists + 1);
    assert_null(cs_json_str(cursor("poll:" LIST), "skip"));
    assert_int_equal(cs_json_int(cursor("poll:" LIST), "watermark", 0), now);
    assert_non_null(look("pc:c"));
}

static void test_a_place_that_is_gone_begins_the_pass_anew(void **state)
{
    apr_time_t now = listed_world(*state);
    cs_work_t *row;

    list_pages[0].next = "1";
    put_card(0, card("a", OWN, "\"1\"", now));
    put_card(1, card("b", OWN, "\"1\"", now));
    refused_skip = "1";
    make_due(CS_WORK_POLL, LIST);
    assert_true(turn());
    assert_true(turn());
    row = named(CS_WORK_POLL, LIST);
    assert_int_equal(row->attempts, 1);
    assert_string_equal(row->problem, "http:400");
    assert_true(row->due > cs_time_now() && row->due < cs_time_now() + POLL);
    assert_null(json_object_get(cursor("poll:" LIST), "skip"));
    refused_skip = NULL;
    pass_seconds(301);
    while (turn()) {
    }
    assert_non_null(look("pc:b"));
    assert_int_equal(look("pc:a")->wanted, 1);
    assert_null(named(CS_WORK_POLL, LIST)->problem);
}

static void test_failures_are_spread_and_bounded(void **state)
{
    apr_time_t last = 0;
    int i;

    listed_world(*state);
    W->pc_fails = CS_CLASS_RETRY;
    make_due(CS_WORK_POLL, LIST);
    for (i = 1; i <= 15; i++) {
        const cs_work_t *row;
        while (turn()) {
        }
        row = named(CS_WORK_POLL, LIST);
        assert_int_equal(row->attempts, i);
        assert_int_equal(row->state, CS_WORK_READY);
        assert_true(row->due >= cs_time_now() + SEC / 2 && row->due <= cs_time_now() + POLL);
        assert_true(row->due != last);
        last = row->due;
        pass_seconds(301);
    }
    W->pc_fails = CS_CLASS_OK;
    while (turn()) {
    }
    assert_int_equal(named(CS_WORK_POLL, LIST)->attempts, 0);
}

/* A wrong id of our organisation: nothing that comes meanwhile is lost, and it is said. */
static void test_a_list_without_ours_is_said_and_kept(void **state)
{
    static const char other[] = "0badc0de-0000-4000-8000-000000000001";
    apr_time_t now = listed_world(*state);
    json_int_t watermark;

    W->lane->organization = "deadbeef-0000-4000-8000-00000000000f";
    watermark = json_integer_value(json_object_get(cursor("poll:" LIST), "watermark"));
    captured_clear();
    put_card(0, card("fresh", OWN, "\"1\"", now));
    put_card(0, card("theirs", "msft", "\"1\"", now - SEC));
    poll_list();
    poll_list();
    assert_int_equal(looks(), 0);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 1);
    assert_string_equal(named(CS_WORK_POLL, LIST)->problem, "config:organization");
    assert_has(named(CS_WORK_POLL, LIST)->detail, OWN);
    assert_has(named(CS_WORK_POLL, LIST)->detail, "deadbeef-0000-4000-8000-00000000000f");
    assert_true(named(CS_WORK_POLL, LIST)->due > cs_time_now() + POLL / 2);
    assert_int_equal(named(CS_WORK_POLL, LIST)->attempts, 0);
    assert_int_equal(json_integer_value(json_object_get(cursor("poll:" LIST), "watermark")), watermark);
    list_pages[0].cards[0]->organization_id = other;
    poll_list();
    assert_int_equal(captured_lines(CS_LOG_WARNING), 2);
    list_pages[0].cards[0]->organization_id = OWN;
    pass_seconds(7200);
    put_card(0, list_pages[0].cards[0]); /* older ones than the overlap, too */
    list_pages[0].cards[0] = card("newest", OWN, "\"1\"", cs_time_now());
    poll_list();
    W->lane->organization = OWN;
    poll_list();
    assert_int_equal(looks(), 2);
    assert_non_null(look("pc:fresh"));
    assert_null(named(CS_WORK_POLL, LIST)->problem);
    assert_int_equal(json_integer_value(json_object_get(cursor("poll:" LIST), "watermark")), list_pages[0].cards[0]->updated);
}

/* Once one of ours was seen the id is right, whoever else's cards come alone. */
static void test_others_alone_are_no_wonder_later(void **state)
{
    apr_time_t now = listed_world(*state);

    captured_clear();
    put_card(0, card("old", OWN, "\"1\"", now - 90000 * SEC));
    poll_list();
    list_pages[0].cards[0] = card("stranger", "0badc0de-0000-4000-8000-000000000001", "\"1\"", now);
    poll_list();
    assert_int_equal(captured_lines(CS_LOG_WARNING), 0);
    assert_null(named(CS_WORK_POLL, LIST)->problem);
    assert_int_equal(json_integer_value(json_object_get(cursor("poll:" LIST), "watermark")), now);
}

/* ---- rows of a CRM ---- */

static cs_crm_changed_t changed[700];
static int changed_rows, changes_begin, changes_more;
static const char *seen_cursor;
static apr_time_t seen_since;

static void show_changes(cs_crm_changes_t *changes, apr_pool_t *p)
{
    int i;

    seen_cursor = changes->cursor ? apr_pstrdup(W->p, changes->cursor) : NULL;
    seen_since = changes->since;
    for (i = 0; i < changed_rows; i++) {
        APR_ARRAY_PUSH(changes->rows, cs_crm_changed_t) = changed[i];
    }
    changes->beginning = changes_begin;
    changes->more = changes_more-- > 0;
    changes->next = apr_psprintf(p, "after %s", changes->cursor ? changes->cursor : "nothing");
}

static void rows_world(apr_pool_t *p)
{
    polled_world(p);
    W->changes = show_changes;
    changed_rows = changes_begin = changes_more = 0;
    pass_seconds(3600);
}

static void change(const char *id, const char *version, const char *row, apr_time_t modified)
{
    cs_crm_changed_t *c = &changed[changed_rows++];

    c->id = id;
    c->version = version;
    c->deleted = !version;
    c->row = row ? js(W->p, row) : NULL;
    c->modified = modified;
}

static int poll_rows(const char *name)
{
    int turns = 0;

    make_due(CS_WORK_POLL, name);
    while (turn()) {
        assert_true(++turns < 20);
    }
    return turns;
}

static cs_deal_t *linked(const char *record)
{
    cs_deal_t *deal = apr_pcalloc(W->p, sizeof(*deal));

    deal->site = SITE;
    deal->state = CS_DEAL_LINKED;
    deal->crm = CRM_NAME;
    deal->kind = deal->table = "opportunity";
    deal->record_id = record;
    deal->crm_version = "1";
    store_one((cs_change_t){.kind = CS_CHANGE_DEAL, .deal = deal});
    store_one((cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = deal, .system = CRM_NAME, .name = record});
    return deal;
}

static void show_row(cs_deal_t *deal, const char *row)
{
    store_one((cs_change_t){.kind = CS_CHANGE_WATCH, .deal = deal, .system = CRM_NAME, .rows = cs_json_own(json_pack("{s:s}", row, "account"), W->p)});
}

static void test_records_that_are_news(void **state)
{
    cs_deal_t *gone;

    rows_world(*state);
    linked("same");   /* 1 */
    linked("newer");  /* 2 */
    linked("away");   /* 3 */
    gone = linked("gone"); /* 4 */
    gone->state = CS_DEAL_GONE;
    store_one((cs_change_t){.kind = CS_CHANGE_DEAL, .deal = gone});
    change("same", "1", "{}", 0);
    change("newer", "2", "{}", 0);
    change("away", NULL, NULL, 0);
    change("gone", NULL, NULL, 0);
    change("nobody", NULL, NULL, 0);
    change("asks", "1", "{'cosell_sync':true}", 0);
    change("links", "1", "{'cosell_sync':false,'cosell_referral':'0f0a4b6e-0000-4000-8000-000000000009'}", 0);
    change("silent", "1", "{'cosell_sync':false,'cosell_referral':null}", 0);
    assert_int_equal(poll_rows(ROWS), 1);
    assert_non_null(look("deal:2"));
    assert_non_null(look("deal:3"));
    assert_true(cs_work_notified(look(CRM_NAME ":asks")));
    assert_non_null(json_object_get(look(CRM_NAME ":asks")->hints, CS_HINT_TABLE "opportunity"));
    assert_non_null(look(CRM_NAME ":links"));
    assert_int_equal(looks(), 4);
}

static void test_the_first_beginning_takes_in_what_asks_for_it(void **state)
{
    rows_world(*state);
    linked("known");
    changes_begin = 1;
    changes_more = 1;
    change("known", "9", "{}", 1); /* its own look knows it */
    change("asks", "1", "{'cosell_sync':true}", 1);
    change("silent", "1", "{}", 1);
    make_due(CS_WORK_POLL, ROWS);
    turn();
    assert_null(seen_cursor);
    assert_int_equal(seen_since, 0);
    assert_int_equal(looks(), 1);
    changed_rows = 0;
    turn();
    assert_string_equal(seen_cursor, "after nothing");
    /* The CRM forgot where we stood: what is old is no news now. */
    changes_more = 0;
    change("asks too", "1", "{'cosell_sync':true}", 1);
    change("known", "9", "{}", 1);
    poll_rows(ROWS);
    assert_int_equal(looks(), 1);
    changed_rows = 0;
    change("known", "9", "{}", cs_time_now());
    poll_rows(ROWS);
    assert_true(seen_since > cs_time_now() - 700 * SEC);
    assert_non_null(look("deal:1"));
}

static void test_shown_rows_wake_those_who_show_them(void **state)
{
    rows_world(*state);
    show_row(linked("a"), "x");
    show_row(linked("b"), "x");
    show_row(linked("c"), "y");
    change("x", "5", "{}", 0);
    change("y", NULL, NULL, 0); /* deleted */
    change("z", "5", "{}", 0);
    poll_rows(SHOWN);
    assert_int_equal(looks(), 3);
    assert_true(cs_work_notified(look("deal:3")));
}

static void test_no_transaction_holds_too_much(void **state)
{
    int i, n, asked = 0;

    rows_world(*state);
    for (i = 0; i < 450; i++) {
        show_row(linked(apr_psprintf(W->p, "deal %d", i)), "everybody's");
    }
    for (i = 0; i < 200; i++) {
        show_row(linked(apr_psprintf(W->p, "more %d", i)), apr_psprintf(W->p, "own %d", i));
        change(apr_psprintf(W->p, "own %d", i), "2", "{}", 0);
    }
    change("everybody's", "2", "{}", 0);
    make_due(CS_WORK_POLL, SHOWN);
    while (turn()) {
        n = made_looks();
        asked += n;
        assert_true(n <= 200);
        assert_int_equal(W->change_pages, 1); /* also by who goes on after a kill */
        killed();
    }
    assert_int_equal(asked, 650);
    assert_null(json_object_get(cursor("poll:" SHOWN), "left"));
    assert_true(named(CS_WORK_POLL, SHOWN)->due > cs_time_now() + POLL / 2);
}

static void test_a_suspended_crm_is_not_polled(void **state)
{
    cs_result_t why = {0};

    rows_world(*state);
    cs_result_set(&why, W->p, CS_EREMOTE, CS_CLASS_SUSPEND, "crm:role", "no role");
    store_one((cs_change_t){.kind = CS_CHANGE_SUSPEND, .system = CRM_NAME, .result = &why, .at = cs_time_now() + 900 * SEC});
    begin_lane();
    W->crm_fails = CS_CLASS_SUSPEND; /* the probe of a new runner */
    one_batch();
    make_due(CS_WORK_POLL, ROWS);
    turn();
    assert_int_equal(W->change_pages, 0);
    assert_string_equal(named(CS_WORK_POLL, ROWS)->problem, "suspended");
    assert_int_equal(named(CS_WORK_POLL, ROWS)->attempts, 0);
    assert_true(named(CS_WORK_POLL, ROWS)->due > cs_time_now() + 20 * SEC);
}

static void fail_changes(cs_crm_changes_t *changes, apr_pool_t *p)
{
    cs_result_set(&changes->result, p, CS_EREMOTE, CS_CLASS_SUSPEND, "oauth:invalid_client", "the secret is wrong");
}

static void test_a_poll_finds_that_the_crm_does_not_let_us_in(void **state)
{
    rows_world(*state);
    W->changes = fail_changes;
    captured_clear();
    make_due(CS_WORK_POLL, ROWS);
    turn();
    make_due(CS_WORK_POLL, SHOWN);
    turn();
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_int_equal(captured_lines(CS_LOG_WARNING), 0);
    assert_string_equal(suspended(CRM_NAME)->problem, "oauth:invalid_client");
    assert_string_equal(named(CS_WORK_POLL, SHOWN)->problem, "suspended");
    make_due(CS_WORK_POLL, ROWS);
    W->changes = show_changes;
    W->crm_fails = CS_CLASS_OK;
    pass_seconds(120);
    one_batch();
    assert_null(suspended(CRM_NAME));
    assert_null(named(CS_WORK_POLL, SHOWN)->problem);
    assert_true(named(CS_WORK_POLL, SHOWN)->due <= cs_time_now() || W->change_pages > 1);
}

static void columns_lack(cs_crm_changes_t *changes, apr_pool_t *p)
{
    cs_result_set(&changes->result, p, CS_EREMOTE, CS_CLASS_SUSPEND, "config:column", "no such column");
}

static void test_a_table_that_cannot_be_polled_stops_nothing_else(void **state)
{
    rows_world(*state);
    W->changes = columns_lack;
    captured_clear();
    make_due(CS_WORK_POLL, SHOWN);
    turn();
    assert_null(suspended(CRM_NAME));
    assert_int_equal(captured_lines(CS_LOG_WARNING), 1);
    assert_string_equal(named(CS_WORK_POLL, SHOWN)->problem, "config:column");
}

static void test_a_damaged_cursor_is_no_end(void **state)
{
    rows_world(*state);
    linked("known");
    poll_rows(ROWS);
    store_one((cs_change_t){.kind = CS_CHANGE_CURSOR, .name = "poll:" ROWS, .text = "{", .at = cs_time_now() - 60 * SEC});
    change("known", "2", "{}", cs_time_now());
    changes_begin = 1;
    captured_clear();
    poll_rows(ROWS);
    assert_int_equal(captured_lines(CS_LOG_ERR), 1);
    assert_null(seen_cursor);
    assert_non_null(look("deal:1"));
}

/* ---- sweeps ---- */

static void test_a_sweep_goes_in_portions_when_nothing_else_is_due(void **state)
{
    int i;

    rows_world(*state);
    for (i = 0; i < 120; i++) {
        linked(apr_psprintf(W->p, "r%d", i));
    }
    make_due(CS_WORK_SWEEP, CS_SWEEP_DEALS);
    notice(W->store, "pc:live", cs_time_now(), W->p);
    assert_false(turn()); /* a live look first */
    assert_int_equal(looks(), 1);
    assert_int_equal(made_looks(), 1);
    assert_true(turn());
    assert_int_equal(looks(), 50);
    assert_false(cs_work_notified(look("deal:1")));
    assert_non_null(json_object_get(look("deal:1")->hints, CS_CAUSE_SWEEP));
    assert_false(turn()); /* those first */
    assert_int_equal(made_looks(), 50);
    killed();
    assert_true(turn());
    assert_int_equal(looks(), 50);
    assert_non_null(look("deal:51"));
    assert_int_equal(made_looks(), 50);
    assert_true(turn());
    assert_int_equal(looks(), 20);
    assert_true(named(CS_WORK_SWEEP, CS_SWEEP_DEALS)->due > cs_time_now() + SWEEP / 2);
    assert_non_null(json_object_get(cursor("sweep:" CS_SWEEP_DEALS), "done"));
}

/* ---- which organisation it is ---- */

static void test_another_organisation_is_suspended(void **state)
{
    new_world(*state);
    W->organization = "11111111-0000-4000-8000-000000000001";
    live_with(1);
    assert_string_equal(fact(CS_FACT_ORGANIZATION CRM_NAME), W->organization);
    assert_int_equal(W->whoamis, 1);
    notify(&W->referral[0]);
    work();
    assert_int_equal(W->whoamis, 1);
    W->organization = "22222222-0000-4000-8000-000000000002";
    begin_lane();
    W->writes = W->reads = 0;
    set_member(&W->referral[0], "/name", "'Another name'");
    notify(&W->referral[0]);
    work();
    assert_non_null(suspended(CRM_NAME));
    assert_string_equal(suspended(CRM_NAME)->problem, "config:organization");
    assert_int_equal(W->reads + W->writes, 0);
    pass_seconds(120);
    work();
    assert_non_null(suspended(CRM_NAME)); /* its probe meets the same */
    W->organization = "11111111-0000-4000-8000-000000000001";
    pass_seconds(1800);
    work();
    assert_null(suspended(CRM_NAME));
    assert_true(W->writes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_timers_are_made_once_and_spread),
        UNIT_TEST(test_a_shorter_interval_counts_at_once),
        UNIT_TEST(test_the_interval_is_jittered),
        UNIT_TEST(test_nothing_is_polled_where_polls_are_off),
        UNIT_TEST(test_a_table_nobody_watches_any_more_is_forgotten),
        UNIT_TEST(test_only_what_differs_is_looked_at),
        UNIT_TEST(test_microsofts_card_wakes_the_deal_of_its_engagement),
        UNIT_TEST(test_a_pass_ends_at_what_was_seen_before),
        UNIT_TEST(test_a_pass_goes_on_where_it_was_killed),
        UNIT_TEST(test_a_place_that_is_gone_begins_the_pass_anew),
        UNIT_TEST(test_failures_are_spread_and_bounded),
        UNIT_TEST(test_records_that_are_news),
        UNIT_TEST(test_the_first_beginning_takes_in_what_asks_for_it),
        UNIT_TEST(test_shown_rows_wake_those_who_show_them),
        UNIT_TEST(test_no_transaction_holds_too_much),
        UNIT_TEST(test_a_suspended_crm_is_not_polled),
        UNIT_TEST(test_a_list_without_ours_is_said_and_kept),
        UNIT_TEST(test_others_alone_are_no_wonder_later),
        UNIT_TEST(test_a_poll_finds_that_the_crm_does_not_let_us_in),
        UNIT_TEST(test_a_table_that_cannot_be_polled_stops_nothing_else),
        UNIT_TEST(test_a_damaged_cursor_is_no_end),
        UNIT_TEST(test_a_sweep_goes_in_portions_when_nothing_else_is_due),
        UNIT_TEST(test_another_organisation_is_suspended),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
