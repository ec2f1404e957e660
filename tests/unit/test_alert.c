/* What needs a person, judged from facts, and when an alert comes and goes. */
#include "unit.h"

#include <string.h>

#include "mod_cosell/base/time.h"
#include "mod_cosell/engine/alert.h"
#include "mod_cosell/engine/lane.h"
#include "mod_cosell/engine/remedy.h"

#define SEC(n) apr_time_from_sec(n)
#define DAY SEC(86400)
#define NOW (SEC(1900000000))

typedef struct world_t {
    apr_pool_t *p;
    cs_alert_facts_t facts;
    cs_alert_site_t *site;
    cs_alert_upstream_t *pc, *crm;
} world_t;

/* A site where all is well. */
static world_t *well(apr_pool_t *p)
{
    world_t *w = apr_pcalloc(p, sizeof(*w));

    w->p = p;
    w->facts.now = NOW;
    w->facts.state_dir = "/var/lib/cosell";
    w->facts.free_bytes = (apr_int64_t)10 << 30;
    w->facts.sites = apr_array_make(p, 1, sizeof(cs_alert_site_t *));
    w->site = apr_pcalloc(p, sizeof(*w->site));
    APR_ARRAY_PUSH(w->facts.sites, cs_alert_site_t *) = w->site;
    w->site->site = "contoso";
    w->site->known = 1;
    w->site->upstreams = apr_array_make(p, 2, sizeof(cs_alert_upstream_t));
    w->pc = apr_array_push(w->site->upstreams);
    w->crm = apr_array_push(w->site->upstreams);
    memset(w->pc, 0, sizeof(*w->pc));
    memset(w->crm, 0, sizeof(*w->crm));
    w->pc->name = "partner-center";
    w->pc->pc = w->pc->notices = 1;
    w->crm->name = "sales";
    w->pc->heard_at = w->crm->heard_at = NOW;
    w->site->brakes = apr_array_make(p, 1, sizeof(cs_suspended_t));
    w->site->causes = apr_array_make(p, 1, sizeof(cs_cause_t *));
    w->site->rotated = w->site->signed_in = NOW - DAY;
    w->site->signer = NOW + 60 * DAY;
    return w;
}

static void cause(world_t *w, const char *key, const char *text, apr_int64_t n, int dead)
{
    cs_cause_t *c = apr_pcalloc(w->p, sizeof(*c));

    c->cause = key;
    c->text = text;
    c->n = n;
    c->dead = dead;
    c->since = NOW - SEC(100);
    APR_ARRAY_PUSH(w->site->causes, cs_cause_t *) = c;
}

static const cs_concern_t *found(world_t *w, const char *what)
{
    apr_array_header_t *list = cs_alerts_judge(&w->facts, w->p);
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list, i, cs_concern_t *)->alert.what, what)) {
            return APR_ARRAY_IDX(list, i, cs_concern_t *);
        }
    }
    return NULL;
}

/* Found, of this level, its text and what to do have these words; nothing else is found. */
static const cs_concern_t *only(world_t *w, const char *what, cs_alert_level_e level, const char *text, const char *todo)
{
    apr_array_header_t *list = cs_alerts_judge(&w->facts, w->p);
    const cs_concern_t *c;

    if (list->nelts != 1) {
        fail_msg("%d are found, the first is %s", list->nelts, list->nelts ? APR_ARRAY_IDX(list, 0, cs_concern_t *)->alert.what : "none");
    }
    c = APR_ARRAY_IDX(list, 0, cs_concern_t *);
    assert_string_equal(c->alert.what, what);
    assert_int_equal(c->alert.level, level);
    if (!strstr(c->alert.text, text)) {
        fail_msg("\"%s\" is not in \"%s\"", text, c->alert.text);
    }
    if (!strstr(c->alert.todo, todo)) {
        fail_msg("\"%s\" is not in \"%s\"", todo, c->alert.todo);
    }
    return c;
}

static void test_all_is_well(void **state)
{
    world_t *w = well(*state);

    assert_int_equal(cs_alerts_judge(&w->facts, w->p)->nelts, 0);
}

static void test_store(void **state)
{
    static const struct {
        apr_status_t rv;
        const char *todo;
    } all[] = {{CS_EFULL, "free space on the disk of /var/lib/cosell"}, {CS_EREADONLY, "writable"}, {CS_EIO, "kernel's log"},
               {CS_ECORRUPT, "backup"}, {CS_EMISSING, "cosell.db"}, {CS_ESCHEMA, "version"}, {CS_EBUSY, "locked"}};
    world_t *w = well(*state);
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        w->facts.accept = all[i].rv;
        w->facts.look = w->facts.store = APR_SUCCESS;
        only(w, "store", CS_ALERT_ERROR, "answered 503", all[i].todo);
        w->facts.accept = APR_SUCCESS;
        w->facts.look = all[i].rv;
        only(w, "store", CS_ALERT_ERROR, "work waits", all[i].todo);
    }
    w->facts.look = APR_SUCCESS;
    w->facts.store = CS_EMISSING;
    w->facts.store_detail = "the file vanished";
    w->site->known = 0;
    /* Not at once: at the very first start it is missing until it is made. */
    assert_true(only(w, "store", CS_ALERT_ERROR, "the file vanished", "cosell.db")->hold > 0);
}

static void test_disk(void **state)
{
    world_t *w = well(*state);

    w->facts.free_bytes = CS_FREE_WARN - 1;
    only(w, "disk", CS_ALERT_WARNING, "99 MB are free", "free space");
    w->facts.free_bytes = CS_FREE_ERROR - 1;
    only(w, "disk", CS_ALERT_ERROR, "15 MB", "free space");
    w->facts.free_bytes = -1;
    assert_null(found(w, "disk"));
    w->facts.free_bytes = CS_FREE_WARN;
    w->facts.refused = 3;
    only(w, "unavailable", CS_ALERT_ERROR, "3 notices were answered 503 lately", "error log");
    w->facts.refused = 1;
    only(w, "unavailable", CS_ALERT_ERROR, "one notice was", "error log");
}

/* The words for each problem that an upstream is suspended for. */
static void test_suspended(void **state)
{
    static const struct {
        const char *problem;
        int pc;
        const char *todo;
    } all[] = {{"oauth:invalid_grant", 1, "cosellctl login"},
               {"oauth:interaction_required", 1, "second factor"},
               {"pc:mfa", 1, "second factor"},
               {"http:403", 1, "role"},
               {"http:401", 1, "cosellctl login"},
               {"config:refresh-token", 1, "cosellctl login"},
               {"oauth:invalid_client", 0, "CosellCrm sales"},
               {"oauth:unauthorized_client", 0, "CosellCrm sales"},
               {"http:403", 0, "security role"},
               {"quota:daily", 0, "quota"},
               {"config:organization", 0, "another organisation"},
               {"config:column", 0, "mapping"},
               {"config:certificate", 0, "certificate"},
               {"tls:certificate", 0, "ca="},
               {"secret", 0, "reload"},
               {"config:what-comes-later", 0, "configuration"},
               {"something:new", 0, "doctor"}};
    world_t *w = well(*state);
    cs_suspended_t why = {"contoso", "?", NULL, "it says no", NOW - SEC(500), NOW};
    apr_size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        cs_alert_upstream_t *up = all[i].pc ? w->pc : w->crm;
        w->pc->suspended = w->crm->suspended = NULL;
        up->suspended = &why;
        why.problem = all[i].problem;
        assert_int_equal(only(w, all[i].pc ? "suspended:partner-center" : "suspended:sales", CS_ALERT_ERROR, all[i].problem, all[i].todo)->alert.since,
                         why.since);
    }
    why.problem = why.detail = NULL;
    only(w, "suspended:sales", CS_ALERT_ERROR, "no detail", "doctor");
    assert_string_equal(cs_remedy_of_upstream("config:instance", "50%s", 0, w->p), "change the URL of CosellCrm 50%s to the one that the sign-in names");
}

static void test_breaker(void **state)
{
    world_t *w = well(*state);
    cs_suspended_t why = {"contoso", "sales", "secret", "no secret", NOW, NOW};

    w->crm->breaker = "no answer";
    w->crm->breaker_since = NOW - SEC(14);
    assert_null(found(w, "breaker:sales"));
    w->crm->breaker_since = NOW - SEC(15);
    only(w, "breaker:sales", CS_ALERT_ERROR, "no answer", "can be reached");
    w->crm->suspended = &why;
    only(w, "suspended:sales", CS_ALERT_ERROR, "no secret", "secret");
}

static void test_work(void **state)
{
    world_t *w = well(*state);

    w->site->counts.dead = 37;
    cause(w, "dead crm:a", "few", 3, 1);
    cause(w, "dead crm:b", "Account is locked", 34, 1);
    only(w, "dead", CS_ALERT_ERROR, "37 looks were given up; most often (34): Account is locked", "retry");
    w->site->counts.dead = 0;
    apr_array_clear(w->site->causes);
    cause(w, "waits country", "Country is empty", 500, 0);
    assert_int_equal(cs_alerts_judge(&w->facts, w->p)->nelts, 0);
    cause(w, "parked candidates", "somebody must choose", 2, 0);
    cause(w, "parked missing", "it does not exist", 1, 0);
    only(w, "parked", CS_ALERT_WARNING, "3 deals wait for somebody's decision; most often (2): somebody must choose", "choose");
    apr_array_clear(w->site->causes);
    cause(w, "held", "Held", 1, 0);
    only(w, "held", CS_ALERT_WARNING, "one deal is held", "workflow");
}

static void test_brake(void **state)
{
    world_t *w = well(*state);
    cs_suspended_t *brake = apr_array_push(w->site->brakes);

    memset(brake, 0, sizeof(*brake));
    brake->site = "contoso";
    brake->upstream = CS_BRAKE_MAPPING;
    brake->detail = "the new mapping would change 40 of 100 deals";
    brake->since = NOW - SEC(9);
    assert_int_equal(only(w, "brake:mapping", CS_ALERT_ERROR, "40 of 100", "`cosellctl release mapping`")->alert.since, brake->since);
}

static void test_lag(void **state)
{
    world_t *w = well(*state);

    w->site->counts.oldest = NOW - CS_PROMISE + SEC(1);
    assert_null(found(w, "lag"));
    w->site->counts.oldest = NOW - SEC(1500);
    only(w, "lag", CS_ALERT_ERROR, "25 minutes", "CosellWorkers");
    w->site->oldest_attempts = 7;
    w->site->oldest_problem = "http:503";
    only(w, "lag", CS_ALERT_WARNING, "http:503", "tried again");
    w->crm->breaker = "away";
    w->crm->breaker_since = NOW - SEC(5);
    assert_null(found(w, "lag"));
    w->crm->breaker = NULL;
    w->site->paused_at = NOW - SEC(3600);
    w->site->paused_by = "ada";
    only(w, "paused", CS_ALERT_WARNING, "ada has paused the site", "resume");
}

static void test_expiring(void **state)
{
    world_t *w = well(*state);

    cause(w, apr_pstrcat(w->p, CS_CAUSE_EXPIRES, cs_time_format_date(NOW + 4 * DAY, w->p), NULL), "later", 9, 0);
    cause(w, apr_pstrcat(w->p, CS_CAUSE_EXPIRES, cs_time_format_date(NOW - 2 * DAY, w->p), NULL), "over", 9, 0);
    cause(w, CS_CAUSE_EXPIRES "some day", "no date", 9, 0);
    assert_null(found(w, "expiring"));
    cause(w, apr_pstrcat(w->p, CS_CAUSE_EXPIRES, cs_time_format_date(NOW, w->p), NULL), "today", 2, 0);
    cause(w, apr_pstrcat(w->p, CS_CAUSE_EXPIRES, cs_time_format_date(NOW + 2 * DAY, w->p), NULL), "soon", 3, 0);
    only(w, "expiring", CS_ALERT_WARNING, "5 referrals expire within three days", "accept or decline");
    assert_int_equal(cs_alert_expiring(w->site, NOW), 5);
}

static void test_token(void **state)
{
    world_t *w = well(*state);

    w->site->account = "ada@contoso.example";
    w->site->rotated = NOW - 75 * DAY;
    assert_null(found(w, "token"));
    w->site->rotated = NOW - 77 * DAY;
    only(w, "token", CS_ALERT_WARNING, "of ada@contoso.example was last used 77 days ago and dies in 13 days", "service account");
    w->site->rotated = NOW - 91 * DAY;
    only(w, "token", CS_ALERT_ERROR, "has died", "cosellctl login");
    w->site->rotated = 0;
    assert_null(found(w, "token"));
}

static void test_silence(void **state)
{
    world_t *w = well(*state);

    w->pc->heard_at = NOW - CS_SILENCE;
    w->pc->found = CS_SILENCE_FOUND - 1;
    w->pc->found_at = NOW - SEC(60);
    assert_null(found(w, "silence:partner-center"));
    w->pc->found = CS_SILENCE_FOUND;
    assert_int_equal(only(w, "silence:partner-center", CS_ALERT_WARNING, "no notice of partner-center for 30 minutes, while polls found 3 changes",
                          "cosellctl webhook")
                         ->alert.since,
                     w->pc->heard_at);
    w->pc->found_at = NOW - 2 * DAY;
    assert_null(found(w, "silence:partner-center"));
    w->pc->found_at = NOW;
    w->pc->notices = 0;
    assert_null(found(w, "silence:partner-center"));
    w->pc->notices = 1;
    w->pc->heard_at = NOW - CS_SILENCE + SEC(1);
    assert_null(found(w, "silence:partner-center"));
    w->crm->found = 10;
    w->crm->heard_at = NOW - DAY;
    w->crm->found_at = NOW;
    w->crm->notices = 1;
    only(w, "silence:sales", CS_ALERT_WARNING, "24 hours", "sales still sends");
}

static void test_site(void **state)
{
    world_t *w = well(*state);

    w->site->drift = "it points to https://other.example/";
    only(w, "webhook:drift", CS_ALERT_ERROR, "other.example", "--overwrite");
    w->site->drift = NULL;
    w->site->degraded = "the mapping could not be loaded";
    w->site->known = 0;
    w->pc->breaker = "away";
    only(w, "degraded", CS_ALERT_ERROR, "the mapping could not be loaded", "configtest");
}

static void test_certificates_quota_and_mapping(void **state)
{
    world_t *w = well(*state);

    w->crm->certificate = NOW + 29 * DAY;
    only(w, "certificate:sales", CS_ALERT_WARNING, "expires in 29 days", "CosellCrm");
    w->crm->certificate = NOW - 1;
    only(w, "certificate:sales", CS_ALERT_ERROR, "has expired", "CosellCrm");
    w->crm->certificate = 0;
    w->site->signer = NOW + 2 * DAY;
    only(w, "certificate", CS_ALERT_WARNING, "expires in 2 days", "error log");
    w->site->signer = NOW - SEC(1);
    only(w, "certificate", CS_ALERT_ERROR, "refused", "error log");
    w->site->signer = 0;
    w->crm->quota_most = 100000;
    w->crm->quota_kept = 5000;
    w->crm->quota_used = 75999;
    assert_null(found(w, "quota:sales"));
    w->crm->quota_used = 76000;
    only(w, "quota:sales", CS_ALERT_WARNING, "76000 of 100000", "integration");
    w->crm->quota_most = 0;
    w->crm->misfits = 2;
    w->crm->misfit = "the column x does not exist";
    only(w, "mapping:sales", CS_ALERT_WARNING, "2 lines do not fit the columns of sales: the column x", "doctor");
}

/* ---- the board ---- */

static apr_array_header_t *one(apr_pool_t *p, const char *site, const char *what, apr_interval_time_t hold, apr_interval_time_t clear)
{
    apr_array_header_t *list = apr_array_make(p, 1, sizeof(cs_concern_t *));
    cs_concern_t *c = apr_pcalloc(p, sizeof(*c));

    c->alert.site = site;
    c->alert.what = what;
    c->alert.level = CS_ALERT_WARNING;
    c->alert.text = "text";
    c->alert.todo = "todo";
    c->hold = hold;
    c->clear = clear;
    APR_ARRAY_PUSH(list, cs_concern_t *) = c;
    return list;
}

static int on(const cs_board_t *board, apr_pool_t *p)
{
    return cs_board_list(board, p)->nelts;
}

static void test_board_holds_and_clears(void **state)
{
    apr_pool_t *p = *state;
    cs_board_t *board = apr_pcalloc(p, sizeof(*board));
    apr_array_header_t *none = apr_array_make(p, 1, sizeof(cs_concern_t *));
    apr_array_header_t *list = one(p, "a", "x", SEC(10), SEC(8));

    cs_board_take(board, list, 1, NOW, SEC(100));
    assert_int_equal(on(board, p), 0);
    cs_board_take(board, list, 1, NOW + SEC(5), SEC(105));
    assert_int_equal(on(board, p), 0);
    /* Away for a round before it held: it begins anew. */
    cs_board_take(board, none, 1, NOW + SEC(8), SEC(108));
    cs_board_take(board, list, 1, NOW + SEC(10), SEC(110));
    assert_int_equal(on(board, p), 0);
    cs_board_take(board, list, 1, NOW + SEC(20), SEC(120));
    assert_int_equal(on(board, p), 1);
    assert_int_equal(APR_ARRAY_IDX(cs_board_list(board, p), 0, cs_alert_t *)->since, NOW + SEC(10));
    /* Away for a moment: it stays, with its beginning. */
    cs_board_take(board, none, 1, NOW + SEC(25), SEC(125));
    assert_int_equal(on(board, p), 1);
    cs_board_take(board, list, 1, NOW + SEC(26), SEC(126));
    assert_int_equal(APR_ARRAY_IDX(cs_board_list(board, p), 0, cs_alert_t *)->since, NOW + SEC(10));
    cs_board_take(board, none, 1, NOW + SEC(133), SEC(133));
    assert_int_equal(on(board, p), 1);
    cs_board_take(board, none, 1, NOW + SEC(134), SEC(134));
    assert_int_equal(on(board, p), 0);
}

/* While the store cannot be asked nothing of a site is over; what is the server's may be. */
static void test_board_without_knowledge(void **state)
{
    apr_pool_t *p = *state;
    cs_board_t *board = apr_pcalloc(p, sizeof(*board));
    apr_array_header_t *none = apr_array_make(p, 1, sizeof(cs_concern_t *));

    cs_board_take(board, one(p, "a", "x", 0, SEC(1)), 1, NOW, SEC(100));
    cs_board_take(board, one(p, "", "disk", 0, SEC(1)), 0, NOW, SEC(101));
    assert_int_equal(on(board, p), 2);
    cs_board_take(board, none, 0, NOW, SEC(200));
    assert_int_equal(on(board, p), 1);
    cs_board_take(board, none, 1, NOW, SEC(201));
    assert_int_equal(on(board, p), 0);
}

static void test_board_restores(void **state)
{
    apr_pool_t *p = *state;
    cs_board_t *board = apr_pcalloc(p, sizeof(*board));
    apr_array_header_t *none = apr_array_make(p, 1, sizeof(cs_concern_t *));
    cs_alert_t alert = {"a", "x", CS_ALERT_ERROR, "text", "todo", NOW - DAY};

    cs_board_restore(board, &alert, SEC(40), SEC(100));
    cs_board_take(board, none, 1, NOW, SEC(139));
    assert_int_equal(on(board, p), 1);
    cs_board_take(board, one(p, "a", "x", SEC(30), SEC(8)), 1, NOW, SEC(139));
    assert_int_equal(APR_ARRAY_IDX(cs_board_list(board, p), 0, cs_alert_t *)->since, NOW - DAY);
    cs_board_take(board, none, 1, NOW, SEC(147));
    assert_int_equal(on(board, p), 0);
}

/* Errors first, then the oldest; more than there is room for does no harm. */
static void test_board_order_and_room(void **state)
{
    apr_pool_t *p = *state;
    cs_board_t *board = apr_pcalloc(p, sizeof(*board));
    apr_array_header_t *list = apr_array_make(p, 1, sizeof(cs_concern_t *));
    const cs_alert_t *before, *alert;
    int i;

    for (i = 0; i < CS_BOARD_MAX + 50; i++) {
        apr_array_header_t *single = one(p, "a", apr_psprintf(p, "x%d", i), 0, 0);
        cs_concern_t *c = APR_ARRAY_IDX(single, 0, cs_concern_t *);
        c->alert.level = i % 2 ? CS_ALERT_ERROR : CS_ALERT_WARNING;
        c->alert.since = NOW - SEC(i * 37 % 101);
        apr_array_cat(list, single);
    }
    cs_board_take(board, list, 1, NOW, SEC(1));
    list = cs_board_list(board, p);
    assert_int_equal(list->nelts, CS_BOARD_MAX);
    for (i = 1; i < list->nelts; i++) {
        before = APR_ARRAY_IDX(list, i - 1, const cs_alert_t *);
        alert = APR_ARRAY_IDX(list, i, const cs_alert_t *);
        assert_true(before->level < alert->level || (before->level == alert->level && before->since <= alert->since));
    }
}

static void test_copy_keeps_characters_whole(void **state)
{
    char to[6];

    (void)state;
    cs_alert_copy(to, "abcd\xc3\xa4", sizeof(to));
    assert_string_equal(to, "abcd");
    cs_alert_copy(to, "abc\xc3\xa4", sizeof(to));
    assert_string_equal(to, "abc\xc3\xa4");
    cs_alert_copy(to, "ab\xe2\x82\xac\xe2\x82\xac", sizeof(to));
    assert_string_equal(to, "ab\xe2\x82\xac");
    cs_alert_copy(to, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80", sizeof(to));
    assert_string_equal(to, "\xf0\x9f\x98\x80");
    cs_alert_copy(to, "", sizeof(to));
    assert_string_equal(to, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_all_is_well), UNIT_TEST(test_store), UNIT_TEST(test_disk), UNIT_TEST(test_suspended), UNIT_TEST(test_breaker),
        UNIT_TEST(test_work), UNIT_TEST(test_brake), UNIT_TEST(test_lag), UNIT_TEST(test_expiring), UNIT_TEST(test_token), UNIT_TEST(test_silence),
        UNIT_TEST(test_site), UNIT_TEST(test_certificates_quota_and_mapping), UNIT_TEST(test_board_holds_and_clears),
        UNIT_TEST(test_board_without_knowledge), UNIT_TEST(test_board_restores), UNIT_TEST(test_board_order_and_room),
        UNIT_TEST(test_copy_keeps_characters_whole),
    };

    return UNIT_RUN(tests);
}
