/* What pages read from the store: journal and deals page by page, search, kept totals, causes, dead
 * looks; all of it right beside an older program, and in a database of the schema before. */
#include "unit_store.h"

#include <sqlite3.h>

#include "mod_cosell/store/store_impl.h"

typedef struct site_t {
    cs_store_config_t *cfg;
    cs_store_t *store;
    cs_lease_t lease;
    apr_pool_t *p;
} site_t;

static void reopen(site_t *s)
{
    cs_result_t res;

    s->store = open_store(s->cfg, CS_STORE_WRITER, s->p);
    if (cs_store_lease_take(s->store, SITE, NODE, 3600 * SEC, T0, &s->lease, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
}

static site_t *new_site(apr_pool_t *p)
{
    site_t *s = apr_pcalloc(p, sizeof(*s));

    s->p = p;
    s->cfg = make_state(p);
    reopen(s);
    return s;
}

/* As another program would, while this one goes on. */
static void tamper(site_t *s, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;

    assert_int_equal(sqlite3_open(in_state(s->cfg, "cosell.db", s->p), &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 2000);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
    sqlite3_close(db);
}

static apr_status_t put(site_t *s, cs_change_t c)
{
    apr_array_header_t *changes = apr_array_make(s->p, 1, sizeof(cs_change_t));
    cs_result_t res;
    apr_status_t rv;

    APR_ARRAY_PUSH(changes, cs_change_t) = c;
    rv = cs_store_write(s->store, &s->lease, changes, s->p, &res);
    if (rv != APR_SUCCESS && rv != CS_ESTALE) {
        fail_msg("%s", res.detail);
    }
    return rv;
}

static json_t *doc(site_t *s, const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(json);
    return cs_json_own(json, s->p);
}

static void put_deal(site_t *s, cs_deal_t *deal)
{
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = deal}));
}

static cs_deal_t *new_deal(site_t *s, const char *title, cs_deal_state_e state, apr_time_t updated)
{
    cs_deal_t *deal = apr_pcalloc(s->p, sizeof(*deal));

    deal->title = title;
    deal->state = state;
    deal->updated = updated;
    put_deal(s, deal);
    return deal;
}

/* ---- what a page shows, in one text ---- */

static const char *next_page;

static const char *ids_of(site_t *s, cs_deal_query_t q)
{
    const char *text = "";
    cs_deal_page_t page;
    cs_result_t res;
    int i;

    q.max = q.max ? q.max : 50;
    if (cs_store_deal_page(s->store, SITE, &q, &page, s->p, &res)) {
        fail_msg("%s", res.detail);
    }
    for (i = 0; i < page.deals->nelts; i++) {
        text = apr_psprintf(s->p, "%s%s%" APR_INT64_T_FMT, text, i ? "," : "",
                            APR_ARRAY_IDX(page.deals, i, cs_deal_t *)->id);
    }
    next_page = page.next;
    return text;
}

static const char *search(site_t *s, const char *what)
{
    return ids_of(s, (cs_deal_query_t){.state = -1, .search = what});
}

/* All pages of `max`, one after the other; at most `most` of them. */
static const char *all_pages(site_t *s, cs_deal_query_t q, int most)
{
    const char *text = "", *part;

    do {
        part = ids_of(s, q);
        text = *text && *part ? apr_pstrcat(s->p, text, ",", part, NULL)
                              : apr_pstrcat(s->p, text, part, NULL);
        q.after = next_page;
        assert_true(most-- > 0);
    } while (q.after);
    return text;
}

/* "deal causes" as "key=n key=n", the largest first. */
static const char *causes(site_t *s, const char *site)
{
    apr_array_header_t *list;
    const char *text = "";
    int i;

    assert_ok(cs_store_causes(s->store, site, 100, &list, s->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        cs_cause_t *c = APR_ARRAY_IDX(list, i, cs_cause_t *);
        text = apr_psprintf(s->p, "%s%s%s=%d", text, i ? " " : "", c->cause, (int)c->n);
    }
    return text;
}

static const char *totals(site_t *s)
{
    apr_int64_t n[CS_DEAL_STATES];
    const char *text = "";
    int i;

    assert_ok(cs_store_deal_totals(s->store, SITE, n, s->p, NULL));
    for (i = 0; i < CS_DEAL_STATES; i++) {
        text = apr_psprintf(s->p, "%s%s%d", text, i ? "," : "", (int)n[i]);
    }
    return text;
}

/* ---- words ---- */

static const char *words_of(apr_pool_t *p, const char *text)
{
    cs_words_t words = {0};
    const char *out = "";
    int i;

    cs_store_words_add(&words, text, CS_TITLE_WORDS);
    for (i = 0; i < words.n; i++) {
        out = apr_pstrcat(p, out, i ? "|" : "", words.word[i], NULL);
    }
    return out;
}

static void test_words_of_a_title(void **state)
{
    apr_pool_t *p = *state;
    cs_words_t words = {0};
    char many[400] = "";
    int i;

    assert_string_equal(words_of(p, "Contoso, Ltd. \xe2\x80\x93 Azure-Migration (2026)"),
                        "contoso|ltd|azure|migration|2026");
    assert_string_equal(words_of(p, "\xc3\x84RZTE \xc3\x9c""ber \xc5\x81\xc3\x93\xc4\x8e\xc5\xb9 \xc3\x89T\xc3\x89"),
                        "\xc3\xa4rzte|\xc3\xbc""ber|\xc5\x82\xc3\xb3\xc4\x8f\xc5\xba|\xc3\xa9t\xc3\xa9");
    assert_string_equal(words_of(p, "\xd0\x9c\xd0\x9e\xd0\xa1\xd0\x9a\xd0\x92\xd0\x90 \xce\x91\xce\x98\xce\x89\xce\x9d\xce\x91"),
                        "\xd0\xbc\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0|\xce\xb1\xce\xb8\xce\xae\xce\xbd\xce\xb1");
    assert_string_equal(words_of(p, "\xe6\x9d\xb1\xe4\xba\xac\xe3\x80\x80\xe6\xa1\x88\xe4\xbb\xb6"),
                        "\xe6\x9d\xb1\xe4\xba\xac|\xe6\xa1\x88\xe4\xbb\xb6");
    assert_string_equal(words_of(p, "Same SAME same other"), "same|other");
    assert_string_equal(words_of(p, "bad \xff\xfe bytes \xc3"), "bad|bytes");
    assert_string_equal(words_of(p, "cut \xe2\x82"), "cut");
    assert_string_equal(words_of(p, ""), "");
    assert_string_equal(words_of(p, NULL), "");
    assert_string_equal(words_of(p, " ... !"), "");
    for (i = 0; i < 20; i++) {
        apr_snprintf(many + strlen(many), 10, "w%d ", i);
    }
    cs_store_words_add(&words, many, CS_TITLE_WORDS);
    assert_int_equal(words.n, CS_TITLE_WORDS);
    assert_string_equal(words.word[15], "w15");
}

static void test_a_long_word_is_cut_behind_a_character(void **state)
{
    /* 39 letters, then one of two bytes. */
    const char *text = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4" "bbb rest";

    assert_string_equal(words_of(*state, text), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|rest");
    assert_string_equal(words_of(*state, "1234567890123456789012345678901234567890xyz"),
                        "1234567890123456789012345678901234567890");
}

/* ---- journal ---- */

static void write_journal(site_t *s, apr_int64_t deal, int n)
{
    cs_journal_t j = {0};

    for (; n; n--) {
        j.deal = deal;
        j.at = T0;
        j.action = "look";
        assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_JOURNAL, .journal = &j}));
    }
}

static const char *lines(site_t *s, apr_int64_t deal, apr_int64_t after, apr_int64_t before, int max)
{
    apr_array_header_t *list;
    const char *text = "";
    int i;

    assert_ok(cs_store_journal_page(s->store, SITE, deal, after, before, max, &list, s->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        text = apr_psprintf(s->p, "%s%s%" APR_INT64_T_FMT, text, i ? "," : "",
                            APR_ARRAY_IDX(list, i, cs_journal_t *)->id);
    }
    return text;
}

static void test_the_journal_from_anywhere(void **state)
{
    site_t *s = new_site(*state);

    write_journal(s, 1, 3); /* 1..3 */
    write_journal(s, 2, 2); /* 4, 5 */
    write_journal(s, 1, 1); /* 6 */
    tamper(s, "INSERT INTO journal(site,deal,at) VALUES('other',1,1)"); /* 7 */
    assert_string_equal(lines(s, 0, 0, 0, 10), "6,5,4,3,2,1");
    assert_string_equal(lines(s, 0, 0, 0, 2), "6,5");
    assert_string_equal(lines(s, 0, 0, 5, 2), "4,3");
    assert_string_equal(lines(s, 0, 3, 0, 2), "4,5");
    assert_string_equal(lines(s, 0, 6, 0, 2), "");
    assert_string_equal(lines(s, 0, 3, 2, 1), "4"); /* after wins */
    assert_string_equal(lines(s, 1, 0, 0, 10), "6,3,2,1");
    assert_string_equal(lines(s, 1, 0, 3, 10), "2,1");
    assert_string_equal(lines(s, 1, 1, 0, 2), "2,3");
    write_journal(s, 1, 1);
    assert_string_equal(lines(s, 1, 6, 0, 2), "8");
}

/* ---- deals ---- */

static void test_the_newest_change_comes_first(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_query_t any = {.state = -1, .max = 2};
    cs_deal_t *deal;
    int i;

    for (i = 1; i <= 5; i++) {
        deal = new_deal(s, "x", i % 2 ? CS_DEAL_LINKED : CS_DEAL_NEW, T0 + i / 2 * SEC);
        deal->images = doc(s, "{\"big\":1}");
        put_deal(s, deal);
    }
    tamper(s, "INSERT INTO deal(site,state,next_look,created,updated) VALUES('other',1,0,0,99)");
    assert_string_equal(ids_of(s, any), "5,4"); /* equal times by number */
    any.after = next_page;
    assert_string_equal(ids_of(s, any), "3,2");
    any.after = next_page;
    /* Meanwhile one that was shown changes, and one that was not: it moves to the front. */
    deal = new_deal(s, "new", CS_DEAL_LINKED, T0 + 9 * SEC);
    assert_string_equal(ids_of(s, any), "1");
    assert_null(next_page);
    assert_string_equal(all_pages(s, (cs_deal_query_t){.state = CS_DEAL_LINKED, .max = 2}, 3), "7,5,3,1");
    assert_string_equal(all_pages(s, (cs_deal_query_t){.state = CS_DEAL_NEW, .max = 1}, 3), "4,2");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = CS_DEAL_GONE}), "");
    assert_null(next_page);
}

static void test_a_page_has_no_documents(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal = new_deal(s, "Contoso", CS_DEAL_LINKED, T0), *shown;
    cs_deal_query_t q = {.state = -1, .max = 5};
    cs_deal_page_t page;

    deal->images = doc(s, "{\"a\":1}");
    deal->explain = doc(s, "{\"b\":1}");
    deal->status = "In sync";
    deal->referral_id = "r-1";
    deal->next_look = T0 + SEC;
    put_deal(s, deal);
    cs_store_close(s->store);
    tamper(s, "UPDATE deal SET images='{damaged'");
    reopen(s);
    assert_ok(cs_store_deal_page(s->store, SITE, &q, &page, s->p, NULL));
    assert_int_equal(page.deals->nelts, 1);
    shown = APR_ARRAY_IDX(page.deals, 0, cs_deal_t *);
    assert_null(shown->images);
    assert_null(shown->explain);
    assert_string_equal(shown->title, "Contoso");
    assert_string_equal(shown->status, "In sync");
    assert_string_equal(shown->referral_id, "r-1");
    assert_int_equal(shown->next_look, T0 + SEC);
    assert_int_equal(shown->updated, T0);
    assert_null(shown->problem);
}

static void test_cursors_are_checked(void **state)
{
    static const char *const bad[] = {"",      "x",      "u",     "u.1",    "u.1.",  "u.1.2x", "u.-1.2",
                                      "s.1.2", "c.5",    "w.61.1", "u.99999999999999999999.1", "u.1.2.3"};
    static const char *const bad_words[] = {"w..1", "w.6.1", "w.zz.1", "w.00.1", "w.61", "u.1.2", "w.7a.1"};
    site_t *s = new_site(*state);
    cs_deal_query_t q = {.state = -1, .max = 5};
    cs_deal_page_t page;
    cs_result_t res;
    size_t i;

    new_deal(s, "abc", CS_DEAL_LINKED, T0);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        q.after = bad[i];
        assert_int_equal(cs_store_deal_page(s->store, SITE, &q, &page, s->p, &res), APR_EINVAL);
        assert_non_null(strstr(res.detail, "no place"));
        assert_null(page.next);
    }
    q.search = "ab";
    for (i = 0; i < sizeof(bad_words) / sizeof(bad_words[0]); i++) {
        q.after = bad_words[i];
        assert_int_equal(cs_store_deal_page(s->store, SITE, &q, &page, s->p, &res), APR_EINVAL);
    }
}

/* ---- search ---- */

static void test_search_by_words(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal;

    new_deal(s, "Contoso Azure migration", CS_DEAL_LINKED, T0);   /* 1 */
    new_deal(s, "Fabrikam azure", CS_DEAL_NEW, T0 + SEC);         /* 2 */
    new_deal(s, "CONTOSO Contoso2 backup", CS_DEAL_NEW, T0);      /* 3 */
    new_deal(s, "\xc3\x9c""ber-Cloud", CS_DEAL_NEW, T0);          /* 4 */
    tamper(s, "INSERT INTO word VALUES('other','contoso',2)");
    assert_string_equal(search(s, "contoso"), "3,1");
    assert_string_equal(search(s, "cont"), "3,1");
    assert_string_equal(search(s, "  AZ  "), "2,1");
    assert_string_equal(search(s, "azure cont"), "1");
    assert_string_equal(search(s, "azure xyz"), "");
    assert_string_equal(search(s, "\xc3\xbc""ber"), "4");
    assert_string_equal(search(s, "\xc3\x9c""BER cl"), "4");
    assert_string_equal(search(s, "tools"), "");
    assert_string_equal(search(s, "oso"), ""); /* beginnings only */
    assert_string_equal(search(s, "!!!"), "");
    assert_null(next_page);
    assert_string_equal(search(s, "  "), "2,4,3,1"); /* nothing is searched */
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = CS_DEAL_NEW, .search = "contoso"}), "3");
    deal = new_deal(s, "later", CS_DEAL_NEW, T0); /* 5 */
    deal->title = "Contoso again";
    put_deal(s, deal);
    assert_string_equal(search(s, "cont"), "5,3,1");
    assert_string_equal(search(s, "later"), "");
    deal->title = NULL;
    put_deal(s, deal);
    assert_string_equal(search(s, "cont"), "3,1");
}

static void test_search_by_ids(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *deal = new_deal(s, "One 2", CS_DEAL_LINKED, T0);

    new_deal(s, "Two 17", CS_DEAL_LINKED, T0); /* 2 */
    deal->referral_id = "a1B2c3d4-0000-4000-8000-00000000000a";
    deal->engagement_id = "feedface-0000-4000-8000-00000000000b";
    deal->record_id = "001A000001LRdXrIAL";
    put_deal(s, deal);
    assert_string_equal(search(s, "A1b2c3d4-0000-4000-8000-00000000000A"), "1");
    assert_string_equal(search(s, "a1b2c3d4-0000"), "1");
    assert_string_equal(search(s, " feedface-0000-4000-8000-00000000000b "), "1");
    assert_string_equal(search(s, "feedface-0000-4000-8000-00000000000c"), "");
    assert_string_equal(search(s, "001a000001LRdXrIAL"), "1");
    assert_string_equal(search(s, "001A0000"), "1");
    assert_string_equal(search(s, "2"), "2,1"); /* the number, then the word */
    assert_string_equal(search(s, "#2"), "2,1");
    assert_string_equal(search(s, "deal:1"), "1");
    assert_string_equal(search(s, "17"), "2");
    assert_string_equal(search(s, "99"), "");
    assert_string_equal(search(s, "99999999999999999999999999999999999999999999"), "");
    deal->record_id = "001A000001OTHERIAL";
    put_deal(s, deal);
    assert_string_equal(search(s, "001A000001LRdXrIAL"), "");
    assert_string_equal(search(s, "001A000001OTHER"), "1");
}

static void test_search_pages_name_each_once(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_query_t q = {.state = -1, .search = "a", .max = 2};
    int i;

    for (i = 1; i <= 9; i++) {
        new_deal(s, apr_psprintf(s->p, "alpha a%d abc", i % 3), CS_DEAL_LINKED, T0);
    }
    /* By the first of its words: a0, a1, a2; each from its newest. */
    assert_string_equal(all_pages(s, q, 9), "9,6,3,7,4,1,8,5,2");
    q.max = 9;
    assert_string_equal(ids_of(s, q), "9,6,3,7,4,1,8,5,2");
    q.max = 4;
    assert_string_equal(ids_of(s, q), "9,6,3,7");
    q.after = next_page;
    new_deal(s, "alpha a1", CS_DEAL_LINKED, T0 + SEC); /* before that place */
    new_deal(s, "alpha a2", CS_DEAL_LINKED, T0 + SEC); /* behind it */
    assert_string_equal(all_pages(s, q, 3), "4,1,11,8,5,2");
}

static void test_a_search_looks_at_few_rows(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_query_t q = {.state = CS_DEAL_GONE, .search = "common", .max = 10};
    const char *found = "";
    int i, pages = 0;

    for (i = 0; i < 2500; i++) {
        new_deal(s, "Common", i == 3 ? CS_DEAL_GONE : CS_DEAL_LINKED, T0);
    }
    do {
        found = apr_pstrcat(s->p, found, ids_of(s, q), NULL);
        q.after = next_page;
        pages++;
    } while (q.after && pages < 10);
    assert_string_equal(found, "4");
    assert_true(pages == 3); /* a thousand each */
}

/* ---- totals ---- */

static void test_totals_follow_the_deals(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "a", CS_DEAL_NEW, T0), *b = new_deal(s, "b", CS_DEAL_LINKED, T0);
    apr_int64_t n[CS_DEAL_STATES];

    assert_string_equal(totals(s), "1,1,0,0,0,0,0,0");
    a->state = CS_DEAL_LINKED;
    put_deal(s, a);
    put_deal(s, a);
    assert_string_equal(totals(s), "0,2,0,0,0,0,0,0");
    a->state = CS_DEAL_GONE;
    put_deal(s, a);
    assert_string_equal(totals(s), "0,1,0,0,0,0,0,1");
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_MERGE, .deal = b, .value = a->id}));
    assert_string_equal(totals(s), "0,1,0,0,0,0,0,0");
    assert_ok(cs_store_deal_totals(s->store, "other", n, s->p, NULL));
    assert_int_equal(n[CS_DEAL_LINKED], 0);
}

/* ---- causes ---- */

static void set_causes(site_t *s, cs_deal_t *deal, const char *causes_text, apr_time_t at)
{
    deal->causes = causes_text ? doc(s, causes_text) : NULL;
    deal->updated = at;
    put_deal(s, deal);
}

static void test_causes_are_counted(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "a", CS_DEAL_NEW, T0), *b = new_deal(s, "b", CS_DEAL_NEW, T0);
    apr_array_header_t *list;
    cs_cause_t *c;

    assert_string_equal(causes(s, SITE), "");
    set_causes(s, a, "{\"waits country\":\"Country is empty\",\"refused name\":\"no name\"}", T0 + SEC);
    set_causes(s, b, "{\"waits country\":\"Account > Country is empty\"}", T0 + 2 * SEC);
    assert_string_equal(causes(s, SITE), "waits country=2 refused name=1");
    assert_string_equal(causes(s, "other"), "");
    assert_ok(cs_store_causes(s->store, SITE, 1, &list, s->p, NULL));
    assert_int_equal(list->nelts, 1);
    c = APR_ARRAY_IDX(list, 0, cs_cause_t *);
    assert_string_equal(c->text, "Account > Country is empty"); /* the newest words */
    assert_int_equal(c->since, T0 + SEC);
    assert_int_equal(c->dead, 0);
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = -1, .cause = "waits country"}), "2,1");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = -1, .cause = "refused name"}), "1");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = -1, .cause = "other"}), "");
    assert_string_equal(
        ids_of(s, (cs_deal_query_t){.state = -1, .cause = "waits country", .search = "a"}), "1");
    set_causes(s, a, NULL, T0 + 3 * SEC); /* as it was */
    assert_string_equal(causes(s, SITE), "waits country=2 refused name=1");
    set_causes(s, a, "{\"waits country\":\"Account > Country is empty\"}", T0 + 3 * SEC);
    assert_string_equal(causes(s, SITE), "waits country=2");
    set_causes(s, a, "{}", T0 + 3 * SEC);
    assert_string_equal(causes(s, SITE), "waits country=1");
    b->state = CS_DEAL_GONE;
    set_causes(s, b, NULL, T0 + 4 * SEC);
    assert_string_equal(causes(s, SITE), "");
}

static void test_causes_page_by_page(void **state)
{
    site_t *s = new_site(*state);
    int i;

    for (i = 0; i < 5; i++) {
        set_causes(s, new_deal(s, "a", i % 2 ? CS_DEAL_NEW : CS_DEAL_LINKED, T0), "{\"c\":\"t\"}", T0);
    }
    assert_string_equal(all_pages(s, (cs_deal_query_t){.state = -1, .cause = "c", .max = 2}, 3), "5,4,3,2,1");
    assert_string_equal(all_pages(s, (cs_deal_query_t){.state = CS_DEAL_NEW, .cause = "c", .max = 1}, 3), "4,2");
}

static void test_what_is_merged_has_no_causes_of_its_own(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "alpha", CS_DEAL_NEW, T0), *b = new_deal(s, "beta", CS_DEAL_NEW, T0);

    set_causes(s, a, "{\"c\":\"t\"}", T0);
    set_causes(s, b, "{\"c\":\"t\",\"d\":\"t\"}", T0);
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_MERGE, .deal = a, .value = b->id}));
    assert_string_equal(causes(s, SITE), "c=1");
    assert_string_equal(search(s, "beta"), "");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = -1, .cause = "c"}), "1");
}

static void test_what_is_undone_is_not_counted(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = apr_pcalloc(s->p, sizeof(*a));
    apr_array_header_t *changes = apr_array_make(s->p, 2, sizeof(cs_change_t));
    cs_result_t res;

    a->title = "alpha";
    a->causes = doc(s, "{\"c\":\"t\"}");
    APR_ARRAY_PUSH(changes, cs_change_t) = (cs_change_t){.kind = CS_CHANGE_DEAL, .deal = a};
    APR_ARRAY_PUSH(changes, cs_change_t) =
        (cs_change_t){.kind = CS_CHANGE_ALIAS, .deal = a, .system = "pc", .name = "x"};
    assert_ok(cs_store_write(s->store, &s->lease, changes, s->p, &res));
    a = apr_pmemdup(s->p, a, sizeof(*a));
    a->id = 0; /* the alias belongs to the first one: all of it is undone */
    APR_ARRAY_IDX(changes, 0, cs_change_t).deal = APR_ARRAY_IDX(changes, 1, cs_change_t).deal = a;
    assert_int_equal(cs_store_write(s->store, &s->lease, changes, s->p, &res), CS_ESTALE);
    assert_string_equal(causes(s, SITE), "c=1");
    assert_string_equal(totals(s), "1,0,0,0,0,0,0,0");
    assert_string_equal(search(s, "alpha"), "1");
}

/* ---- dead looks ---- */

static void die(site_t *s, const char *name, const char *problem, const char *detail, apr_time_t at)
{
    cs_work_t *work = apr_pcalloc(s->p, sizeof(*work));

    work->site = SITE;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->wanted = work->seen = 1;
    work->state = CS_WORK_DEAD;
    work->attempts = 5;
    work->problem_class = "refused";
    work->problem = problem;
    work->detail = detail;
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_WORK_LATER, .work = work, .at = at}));
}

static const char *dead_of(site_t *s, const char *cause, const char *after, int max)
{
    apr_array_header_t *list;
    const char *text = "";
    int i;

    assert_ok(cs_store_dead(s->store, SITE, cause, after, max, &list, s->p, NULL));
    for (i = 0; i < list->nelts; i++) {
        cs_work_t *work = APR_ARRAY_IDX(list, i, cs_work_t *);
        assert_int_equal(work->state, CS_WORK_DEAD);
        text = apr_pstrcat(s->p, text, i ? "," : "", work->name, NULL);
    }
    return text;
}

static const char *first_cause(site_t *s)
{
    apr_array_header_t *list;

    assert_ok(cs_store_causes(s->store, SITE, 1, &list, s->p, NULL));
    assert_int_equal(list->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(list, 0, cs_cause_t *)->dead, 1);
    return APR_ARRAY_IDX(list, 0, cs_cause_t *)->cause;
}

static void test_equal_deaths_are_one_cause(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *list;
    const char *big;

    die(s, "deal:1", "crm:0x80040237", "account 5b1c9a70-0000-4000-8000-00000000dead was refused: duplicate key", T0);
    die(s, "deal:2", "crm:0x80040237", "account 77777777-0000-4000-8000-00000000beef was refused: duplicate key", T0 + SEC);
    die(s, "deal:3", "crm:0x80040237", "account 77777777-0000-4000-8000-00000000beef was refused: no right", T0);
    die(s, "pc:x", "pc:400", NULL, T0);
    assert_ok(cs_store_causes(s->store, SITE, 10, &list, s->p, NULL));
    assert_int_equal(list->nelts, 3);
    big = first_cause(s);
    assert_non_null(strstr(big, "dead crm:0x80040237 "));
    assert_int_equal(APR_ARRAY_IDX(list, 0, cs_cause_t *)->n, 2);
    assert_int_equal(APR_ARRAY_IDX(list, 0, cs_cause_t *)->since, T0);
    assert_string_equal(APR_ARRAY_IDX(list, 0, cs_cause_t *)->text,
                        "account \xe2\x80\xa6 was refused: duplicate key");
    assert_string_equal(dead_of(s, NULL, NULL, 10), "deal:1,deal:2,deal:3,pc:x");
    assert_string_equal(dead_of(s, NULL, "deal:1", 2), "deal:2,deal:3");
    assert_string_equal(dead_of(s, big, NULL, 10), "deal:1,deal:2");
    assert_string_equal(dead_of(s, big, "deal:1", 10), "deal:2");
    assert_string_equal(dead_of(s, "dead pc:400", NULL, 10), "pc:x");
    assert_string_equal(dead_of(s, "none", NULL, 10), "");
    assert_int_equal(counts_of(s->store, SITE, s->p).dead, 4);
    assert_int_equal(counts_of(s->store, NULL, s->p).dead, 4);
    assert_int_equal(counts_of(s->store, "other", s->p).dead, 0);
}

static void test_who_wakes_is_dead_no_more(void **state)
{
    site_t *s = new_site(*state);
    cs_work_t add = {0}, *work;

    die(s, "pc:a", "pc:400", NULL, T0);
    die(s, "pc:b", "pc:400", NULL, T0);
    die(s, "pc:c", "pc:400", NULL, T0);
    die(s, "pc:d", "pc:400", NULL, T0);
    assert_string_equal(causes(s, SITE), "dead pc:400=4");
    notice(s->store, "pc:a", T0 + SEC, s->p);
    assert_string_equal(causes(s, SITE), "dead pc:400=3");
    add.kind = CS_WORK_LOOK;
    add.name = "pc:b";
    add.due = T0;
    add.hints = doc(s, "{}");
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_WORK_ADD, .work = &add}));
    assert_string_equal(causes(s, SITE), "dead pc:400=2");
    assert_ok(cs_store_work_named(s->store, SITE, CS_WORK_LOOK, "pc:c", &work, s->p, NULL));
    assert_ok(put(s, (cs_change_t){.kind = CS_CHANGE_WORK_DONE, .work = work, .value = work->wanted}));
    assert_string_equal(causes(s, SITE), "dead pc:400=1");
    assert_string_equal(dead_of(s, NULL, NULL, 10), "pc:d");
    die(s, "pc:d", "pc:404", NULL, T0 + SEC); /* of another problem now */
    assert_string_equal(causes(s, SITE), "dead pc:404=1");
    die(s, "pc:d", "pc:404", NULL, T0 + 2 * SEC);
    assert_string_equal(causes(s, SITE), "dead pc:404=1");
    assert_int_equal(counts_of(s->store, SITE, s->p).dead, 1);
}

static void test_words_of_a_death(void **state)
{
    static const struct {
        const char *detail, *text;
    } cases[] = {
        {"HTTP 400: bad", "HTTP \xe2\x80\xa6: bad"},
        {"row 12 34 of x9", "row \xe2\x80\xa6 of \xe2\x80\xa6"},
        {"the record \"Contoso\" is gone", "the record \xe2\x80\xa6 is gone"},
        {"it says \"a record with this key exists\" and \"X\"",
         "it says \"a record with this key exists\" and \xe2\x80\xa6"},
        {"it says \"row 7 has a bad key\".", "it says \"row \xe2\x80\xa6 has a bad key\"."},
        {"open \"quotation", "open \"quotation"},
        {"  much   blank\n\tspace ", "much blank space"},
        {"(5)", "\xe2\x80\xa6)"},
    };
    cs_work_t work = {0};
    const char *cause, *text, *other;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        work.problem = "p";
        work.detail = cases[i].detail;
        cs_store_cause_of_dead(&work, &cause, &text, *state);
        assert_string_equal(text, cases[i].text);
    }
    memset(&work, 0, sizeof(work));
    cs_store_cause_of_dead(&work, &cause, &text, *state);
    assert_string_equal(cause, "dead unknown");
    assert_string_equal(text, "unknown");
    work.problem = "p";
    work.detail = apr_pstrcat(*state, "begins ", apr_psprintf(*state, "%0400d", 1), " ends", NULL);
    cs_store_cause_of_dead(&work, &cause, &text, *state);
    other = cause;
    work.detail = apr_psprintf(*state, "begins %s ends", "2");
    cs_store_cause_of_dead(&work, &cause, &text, *state);
    assert_string_equal(cause, other);
}

/* ---- beside an older program ---- */

/* The statements of schema 1.2, as such a program sends them. */
#define OLD_WORK_PUT                                                                               \
    "INSERT OR REPLACE INTO work(site,kind,name,wanted,done,hint_pc,hints,first,due,attempts,"     \
    "state,upstream,problem_class,problem,detail,seen) VALUES('" SITE "','look',"

static void test_an_older_program_writes_beside(void **state)
{
    site_t *s = new_site(*state);
    cs_deal_t *a = new_deal(s, "alpha", CS_DEAL_NEW, T0);
    int left;

    set_causes(s, a, "{\"c\":\"t\"}", T0);
    die(s, "pc:a", "pc:400", "no 17", T0);
    die(s, "pc:b", "pc:400", "no 18", T0);
    /* It wakes one, gives up another, is asked for a third, ends a dead one. */
    tamper(s, OLD_WORK_PUT "'pc:a',2,0,0,NULL,1,1,0,0,NULL,NULL,NULL,NULL,1)");
    tamper(s, OLD_WORK_PUT "'pc:c',1,0,0,NULL,1,5,9,1,NULL,'refused','crm:x','no 19',1)");
    tamper(s, "INSERT INTO work(site,kind,name,wanted,done,hint_pc,first,due,attempts,state) "
              "VALUES('" SITE "','look','pc:n',1,0,0,1,1,0,0) ON CONFLICT DO NOTHING");
    assert_string_equal(dead_of(s, NULL, NULL, 10), "pc:b,pc:c");
    assert_int_equal(counts_of(s->store, SITE, s->p).dead, 2);
    assert_string_equal(dead_of(s, "dead crm:x", NULL, 10), "pc:c");
    tamper(s, "DELETE FROM work WHERE site='" SITE "' AND kind='look' AND name='pc:c'");
    assert_string_equal(dead_of(s, NULL, NULL, 10), "pc:b");
    /* Deals: it makes one, names one anew, merges one away. */
    tamper(s, "INSERT INTO deal(id,site,state,title,next_look,created,updated) VALUES(NULL,'" SITE
              "',1,'gamma ray',0,1,1)");
    tamper(s, "UPDATE deal SET state=1,title='omega' WHERE id=1 AND site='" SITE "'");
    assert_string_equal(totals(s), "0,2,0,0,0,0,0,0");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = -1, .cause = "c"}), "1");
    assert_string_equal(search(s, "gamma"), "");
    assert_ok(cs_store_prune(s->store, &s->lease, T0, 100, &left, s->p, NULL));
    assert_int_equal(left, 0);
    assert_string_equal(search(s, "gamma"), "2");
    assert_string_equal(search(s, "omega"), "1");
    assert_string_equal(search(s, "alpha"), "");
    tamper(s, "DELETE FROM deal WHERE id=1 AND site='" SITE "'");
    assert_string_equal(totals(s), "0,1,0,0,0,0,0,0");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = -1, .cause = "c"}), "");
    assert_string_equal(dead_of(s, NULL, NULL, 10), "pc:b");
}

static void test_a_database_of_before_is_filled(void **state)
{
    site_t *s = new_site(*state);
    apr_array_header_t *list;
    cs_deal_t *a;
    int left;

    new_deal(s, "Contoso migration", CS_DEAL_LINKED, T0);
    new_deal(s, "Fabrikam", CS_DEAL_CLOSED, T0);
    a = new_deal(s, NULL, CS_DEAL_LINKED, T0);
    a->referral_id = "a1b2c3d4-0000-4000-8000-00000000000a";
    put_deal(s, a);
    die(s, "pc:a", "pc:400", "no 17", T0);
    die(s, "pc:b", "pc:400", "no 18", T0);
    notice(s->store, "pc:c", T0, s->p);
    write_journal(s, 1, 3);
    cs_store_close(s->store);
    tamper(s, UNIT_LOWER_TO_1_2);
    reopen(s);
    assert_string_equal(totals(s), "0,2,1,0,0,0,0,0");
    assert_string_equal(search(s, "cont"), "1");
    assert_string_equal(search(s, "fabrikam"), "2");
    assert_string_equal(search(s, "a1b2c3d4-0000-4000"), "3");
    assert_int_equal(counts_of(s->store, SITE, s->p).dead, 2);
    assert_ok(cs_store_causes(s->store, SITE, 10, &list, s->p, NULL));
    assert_int_equal(list->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(list, 0, cs_cause_t *)->text, "no \xe2\x80\xa6");
    assert_string_equal(dead_of(s, first_cause(s), NULL, 10), "pc:a,pc:b");
    assert_string_equal(ids_of(s, (cs_deal_query_t){.state = CS_DEAL_LINKED}), "3,1");
    assert_ok(cs_store_prune(s->store, &s->lease, T0, 100, &left, s->p, NULL));
    assert_int_equal(left, 0);
}

/* Notices wait while a schema is raised: what takes long with many deals comes afterwards. */
static void test_a_large_database_of_before_is_soon_raised(void **state)
{
    site_t *s = new_site(*state);
    int left = 1, turns = 0;

    cs_store_close(s->store);
    tamper(s, UNIT_LOWER_TO_1_2);
    tamper(s, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5000) INSERT INTO "
              "deal(site,state,title,next_look,created,updated) SELECT '" SITE "',1,'Deal number'||i,0,i,i "
              "FROM n");
    reopen(s);
    assert_string_equal(totals(s), "0,5000,0,0,0,0,0,0");
    assert_string_equal(search(s, "number5000"), "5000");
    assert_string_equal(search(s, "number4100"), "4100");
    assert_string_equal(search(s, "number1234"), ""); /* not yet */
    while (left && turns++ < 1000) {
        assert_ok(cs_store_prune(s->store, &s->lease, T0, 100, &left, s->p, NULL));
    }
    assert_int_equal(left, 0);
    assert_string_equal(search(s, "number3999"), "3999");
    assert_string_equal(search(s, "number1234"), "1234");
    assert_string_equal(search(s, "number0"), "");
}

static void test_a_reader_sees_the_same(void **state)
{
    site_t *s = new_site(*state);

    new_deal(s, "alpha", CS_DEAL_LINKED, T0);
    set_causes(s, new_deal(s, "beta", CS_DEAL_LINKED, T0), "{\"c\":\"t\"}", T0);
    die(s, "pc:a", "pc:400", NULL, T0);
    s->store = open_store(s->cfg, CS_STORE_READER, s->p);
    assert_string_equal(search(s, "al"), "1");
    assert_string_equal(causes(s, SITE), "dead pc:400=1 c=1");
    assert_string_equal(totals(s), "0,2,0,0,0,0,0,0");
    assert_string_equal(dead_of(s, NULL, NULL, 10), "pc:a");
    assert_string_equal(lines(s, 0, 0, 0, 10), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_words_of_a_title),
        UNIT_TEST(test_a_long_word_is_cut_behind_a_character),
        UNIT_TEST(test_the_journal_from_anywhere),
        UNIT_TEST(test_the_newest_change_comes_first),
        UNIT_TEST(test_a_page_has_no_documents),
        UNIT_TEST(test_cursors_are_checked),
        UNIT_TEST(test_search_by_words),
        UNIT_TEST(test_search_by_ids),
        UNIT_TEST(test_search_pages_name_each_once),
        UNIT_TEST(test_a_search_looks_at_few_rows),
        UNIT_TEST(test_totals_follow_the_deals),
        UNIT_TEST(test_causes_are_counted),
        UNIT_TEST(test_causes_page_by_page),
        UNIT_TEST(test_what_is_merged_has_no_causes_of_its_own),
        UNIT_TEST(test_what_is_undone_is_not_counted),
        UNIT_TEST(test_equal_deaths_are_one_cause),
        UNIT_TEST(test_who_wakes_is_dead_no_more),
        UNIT_TEST(test_words_of_a_death),
        UNIT_TEST(test_an_older_program_writes_beside),
        UNIT_TEST(test_a_database_of_before_is_filled),
        UNIT_TEST(test_a_large_database_of_before_is_soon_raised),
        UNIT_TEST(test_a_reader_sees_the_same),
    };

    return UNIT_RUN(tests);
}
