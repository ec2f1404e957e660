/* Delta links, deletions, cursors that are not known any more, tables without change tracking.
 * (crm-apis.md A12) */
#include "unit_dynamics.h"

#define ROOT "/api/data/v9.2/"
#define GONE_ID "0F0D0000-0000-4000-8000-00000000D001"

/* ---- a canned table ---- */

typedef struct table_t {
    int rows, page;      /* in all, on a page; 0 = all on one */
    int untracked;       /* 1 = says so, 2 = passes the preference over */
    const char *refusal; /* of links */
    const char *link;    /* instead of the right one */
    int deleted;         /* the answer to a delta link shows it */
    int cut;             /* a beginning ends with its second page */
    int odd;             /* a delta has entries that are no rows: 1 = some, 2 = all */
} table_t;

static char text[200000];

static void put(const char *format, ...)
{
    size_t have = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + have, sizeof(text) - have, format, args);
    va_end(args);
}

static void put_rows(int from, int to)
{
    for (int i = from; i < to; i++) {
        put("%s{\"@odata.etag\":\"W/"
            "\\\"%d\\\"\",\"opportunityid\":\"0F0D0000-0000-4000-8000-%012d\","
            "\"name\":\"n%d\",\"modifiedon\":\"2026-11-%02dT10:00:00Z\",\"statuscode\":1,"
            "\"_parentaccountid_value\":null,\"_ownerid_value\":\"0F0D0000-0000-4000-8000-"
            "00000000B001\"}",
            i > from ? "," : "", 100 + i, i, i, 1 + i);
    }
}

static void put_link(canned_t *c, const table_t *t, const char *name, const char *query)
{
    if (t->link) {
        put(",\"@odata.%s\":\"%s\"", name, t->link);
    }
    else {
        put(",\"@odata.%s\":\"%s" ROOT "opportunities?%s\"", name, c->base, query);
    }
}

static const char *answer(canned_t *c, const canned_op_t *op)
{
    table_t *t = c->baton;
    const char *skip = strstr(op->path, "$skiptoken="), *delta = strstr(op->path, "$deltatoken=");
    int track = strstr(op->headers, "odata.track-changes") != NULL,
        from = skip ? atoi(skip + 11) : 0;
    int to = t->page && from + t->page < t->rows ? from + t->page : t->rows;

    text[0] = '\0';
    if ((skip || delta) && t->refusal) {
        return t->refusal;
    }
    if (skip && t->cut) {
        return "400 Bad Request\r\n\r\n{\"error\":{\"code\":\"0x80040203\",\"message\":\"Malformed "
               "skip token.\"}}";
    }
    if (track && t->untracked == 1) {
        return "400 Bad Request\r\n\r\n{\"error\":{\"code\":\"0x80044351\",\"message\":\"The "
               "entity "
               "'opportunity' does not have change tracking enabled.\"}}";
    }
    put("200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n%s\r\n{\"value\":[",
        track && !t->untracked
            ? "Preference-Applied: odata.track-changes,odata.maxpagesize=1000\r\n"
            : "");
    if (delta && t->odd) {
        put("%s7,{\"@odata.context\":\"x/$metadata#opportunities/$deletedEntity\",\"id\":\"x\"}",
            t->odd > 1 ? "" : "null,");
        if (t->odd > 1) {
            put("]");
        }
    }
    if (delta && t->odd < 2) {
        put("%s", t->odd ? "," : "");
        put_rows(0, 1);
        if (t->deleted) {
            put(",{\"@odata.context\":\"x/$metadata#opportunities/"
                "$deletedEntity\",\"id\":\"" GONE_ID "\",\"reason\":\"deleted\"}");
        }
    }
    else if (!delta) {
        put_rows(from, to);
    }
    if (!delta || t->odd < 2) {
        put("]");
    }
    if (!delta && to < t->rows) {
        char query[64];

        snprintf(query, sizeof(query), "$select=name&$skiptoken=%d", to);
        put_link(c, t, "nextLink", query);
    }
    else if (track || delta || skip) {
        if (!t->untracked) {
            put_link(c, t, "deltaLink", "$select=name&$deltatoken=919042%2108%2f22%2f2017");
        }
    }
    put("}");
    return text;
}

static void get(rig_t *r, cs_crm_changes_t *ch, const char *cursor, apr_pool_t *p)
{
    static cs_crm_lookup_t lookups[] = {{"ownerid", "systemuser"}, {"parentaccountid", "account"}};
    apr_array_header_t *list = apr_array_make(p, 2, sizeof(cs_crm_lookup_t));

    APR_ARRAY_PUSH(list, cs_crm_lookup_t) = lookups[0];
    APR_ARRAY_PUSH(list, cs_crm_lookup_t) = lookups[1];
    ch->table = "opportunity";
    ch->columns =
        ch->columns ? ch->columns : words_of(p, "name statuscode ownerid parentaccountid");
    ch->lookups = list;
    ch->cursor = cursor;
    assert_ok(r->impl->changes(r->crm, ch, 0, p));
}

static const cs_crm_changed_t *row_of(const cs_crm_changes_t *ch, int i)
{
    assert_true(i < ch->rows->nelts);
    return &APR_ARRAY_IDX(ch->rows, i, cs_crm_changed_t);
}

static canned_op_t *op_of(rig_t *r, int i)
{
    assert_true(i < r->server->n_ops);
    return &r->server->ops[i];
}

#define BEGIN(t)                                                                                   \
    apr_pool_t *p = *state;                                                                        \
    rig_t *r = rig(answer, p);                                                                     \
    cs_crm_changes_t ch = {0};                                                                     \
    r->server->baton = &(t)

/* ---- tests ---- */

static void test_beginning_pages_and_delta(void **state)
{
    table_t t = {.rows = 5, .page = 2, .deleted = 1};
    BEGIN(t);

    get(r, &ch, NULL, p);
    expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.beginning && ch.more && ch.next && ch.rows->nelts == 2 && ch.calls == 1);
    assert_non_null(
        strstr(op_of(r, 0)->headers, "Prefer: odata.track-changes,odata.maxpagesize=1000"));
    assert_string_equal(
        plain_path(op_of(r, 0), p), ROOT
        "opportunities?$select=modifiedon,name,statuscode,_ownerid_value,_parentaccountid_value");
    get(r, &ch, ch.next, p);
    assert_true(ch.beginning && ch.more && ch.rows->nelts == 2);
    assert_non_null(strstr(op_of(r, 1)->path, "$skiptoken=2"));
    get(r, &ch, ch.next, p);
    assert_true(ch.beginning && !ch.more && ch.rows->nelts == 1);
    get(r, &ch, ch.next, p);
    assert_true(!ch.beginning && !ch.more && ch.rows->nelts == 2);
    assert_non_null(strstr(op_of(r, 3)->path, "$deltatoken=919042%2108%2f22%2f2017"));
    assert_null(strstr(op_of(r, 3)->headers, "track-changes"));
    assert_int_equal(r->server->n_ops, 4);
    canned_stop(r->server);
}

static void test_rows_are_neutral(void **state)
{
    table_t t = {.rows = 1, .deleted = 1};
    const cs_crm_changed_t *row;
    BEGIN(t);

    get(r, &ch, NULL, p);
    row = row_of(&ch, 0);
    assert_string_equal(row->id, "0f0d0000-0000-4000-8000-000000000000");
    assert_string_equal(row->version, "W/\"100\"");
    assert_true(row->modified == apr_time_from_sec(1793527200) && !row->deleted);
    assert_json(row->row,
                "{\"name\":\"n0\",\"statuscode\":1,\"ownerid\":{\"id\":\"0f0d0000-0000-4000-8000-"
                "00000000b001\"},"
                "\"parentaccountid\":null}",
                p);
    get(r, &ch, ch.next, p);
    row = row_of(&ch, 1);
    assert_string_equal(row->id, "0f0d0000-0000-4000-8000-00000000d001");
    assert_true(row->deleted && !row->version && !row->row);
    canned_stop(r->server);
}

/* One that comes again with every repetition must not hide the others. */
static void test_what_is_no_row_is_left_out(void **state)
{
    table_t t = {.rows = 1, .odd = 1};
    const char *cursor;
    BEGIN(t);

    get(r, &ch, NULL, p);
    cursor = ch.next;
    get(r, &ch, cursor, p);
    expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.rows->nelts == 1 && ch.next);
    t.odd = 2;
    get(r, &ch, cursor, p);
    expect(&ch.result, CS_CLASS_RETRY, "dataverse:answer");
    assert_true(!ch.rows->nelts && !ch.next);
    canned_stop(r->server);
}

static void test_since_hides_old_rows_of_a_beginning_only(void **state)
{
    table_t t = {.rows = 5};
    BEGIN(t);

    ch.since = apr_time_from_sec(1793527200 + 3 * 86400);
    get(r, &ch, NULL, p);
    assert_true(ch.beginning && ch.rows->nelts == 2);
    assert_string_equal(cs_json_str(row_of(&ch, 0)->row, "name"), "n3");
    get(r, &ch, ch.next, p);
    assert_true(!ch.beginning && ch.rows->nelts == 1);
    assert_string_equal(cs_json_str(row_of(&ch, 0)->row, "name"), "n0");
    canned_stop(r->server);
}

static void test_forgotten_link_begins_again(void **state)
{
    static const char *const refusals[] = {
        "400 Bad Request\r\n\r\n{\"error\":{\"code\":\"0x80044352\",\"message\":\"Version stamp "
        "associated with the "
        "client has expired. Please perform a full sync.\"}}",
        "410 Gone\r\n\r\n",
        "404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"no such token\"}}",
    };
    table_t t = {.rows = 2};
    const char *cursor;
    BEGIN(t);

    get(r, &ch, NULL, p);
    cursor = ch.next;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        t.refusal = refusals[i];
        get(r, &ch, cursor, p);
        expect(&ch.result, CS_CLASS_OK, NULL);
        assert_true(ch.beginning && !ch.more && ch.rows->nelts == 2 && ch.calls == 2);
    }
    canned_stop(r->server);
}

static void test_trouble_of_the_moment_keeps_the_cursor(void **state)
{
    static const struct {
        const char *answer;
        cs_class_e cls;
    } cases[] = {
        {"503 Service Unavailable\r\n\r\n", CS_CLASS_RETRY},
        {"404 Not Found\r\n\r\n<html>gateway</html>", CS_CLASS_RETRY},
        {"403 Forbidden\r\n\r\n{\"error\":{\"code\":\"0x80040220\",\"message\":\"no read\"}}",
         CS_CLASS_REFUSED},
        {"429 Too Many Requests\r\nRetry-After: "
         "1\r\n\r\n{\"error\":{\"code\":\"0x80072322\",\"message\":\"slow\"}}",
         CS_CLASS_THROTTLED},
    };
    table_t t = {.rows = 2};
    const char *cursor;
    BEGIN(t);

    get(r, &ch, NULL, p);
    cursor = ch.next;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        t.refusal = cases[i].answer;
        memset(&r->limiter, 0, sizeof(r->limiter));
        get(r, &ch, cursor, p);
        expect(&ch.result, cases[i].cls, NULL);
        assert_true(!ch.next && !ch.more && !ch.rows->nelts);
    }
    canned_stop(r->server);
}

static void test_beginning_that_is_always_cut_off(void **state)
{
    table_t t = {.rows = 4, .page = 2, .cut = 1};
    const char *cursor = NULL;
    int i;
    BEGIN(t);

    for (i = 0; i < 10; i++) {
        get(r, &ch, cursor, p);
        expect(&ch.result, CS_CLASS_OK, NULL);
        cursor = ch.next;
        if (strstr(op_of(r, r->server->n_ops - 1)->path, "orderby")) {
            break;
        }
    }
    assert_int_equal(i, 4);
    canned_stop(r->server);
}

static void poll_twice(rig_t *r, apr_pool_t *p)
{
    cs_crm_changes_t ch = {.since = apr_time_from_sec(1793527200)};
    const char *path;

    get(r, &ch, NULL, p);
    expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.beginning && ch.more && ch.rows->nelts == 2 && ch.calls == 2);
    path = plain_path(op_of(r, 1), p);
    assert_non_null(strstr(path, "&$orderby=modifiedon asc,opportunityid asc"));
    assert_non_null(strstr(path, "&$filter=modifiedon ge 2026-11-01T10:00:00.000Z"));
    get(r, &ch, ch.next, p);
    assert_true(ch.beginning && !ch.more && ch.rows->nelts == 1);
    get(r, &ch, ch.next, p);
    assert_true(!ch.beginning && ch.calls == 1);
    path = plain_path(op_of(r, 3), p);
    /* Ten minutes before the pass before began, by their clock. */
    assert_non_null(strstr(path, "modifiedon ge 2026-11-22T11:50:00.000Z"));
    assert_int_equal(r->server->n_ops, 4);
}

static void test_table_without_tracking_is_polled(void **state)
{
    table_t t = {.rows = 3, .page = 2, .untracked = 1};
    BEGIN(t);

    (void)ch;
    poll_twice(r, p);
    canned_stop(r->server);
}

static void test_preference_passed_over(void **state)
{
    table_t t = {.rows = 3, .page = 2, .untracked = 2};
    BEGIN(t);

    (void)ch;
    poll_twice(r, p);
    canned_stop(r->server);
}

static void test_foreign_links_are_not_followed(void **state)
{
    static const char *const links[] = {
        "http://127.0.0.1:1" ROOT "opportunities?$deltatoken=1",
        "https://evil.example" ROOT "opportunities?$deltatoken=1",
        ROOT "opportunities?$deltatoken=1",
        "BASE" ROOT "systemusers?$deltatoken=1",
        "BASE" ROOT "opportunities/../WhoAmI?$deltatoken=1",
        "BASE/other/opportunities?$deltatoken=1",
        "BASE" ROOT "opportunities?$deltatoken=1 HTTP/1.1",
        "BASE@evil.example" ROOT "opportunities?$deltatoken=1",
    };
    table_t t = {.rows = 1};
    BEGIN(t);

    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        t.link = !strncmp(links[i], "BASE", 4) ? apr_pstrcat(p, r->server->base, links[i] + 4, NULL)
                                               : links[i];
        get(r, &ch, NULL, p);
        expect(&ch.result, CS_CLASS_RETRY, "dataverse:answer");
        assert_true(!ch.next && !ch.rows->nelts);
    }
    canned_stop(r->server);
}

static void test_strange_cursors_begin_anew(void **state)
{
    static const char *const cursors[] = {
        "",
        "x",
        "{}",
        "[]",
        "{\"v\":1}",
        "{\"v\":2,\"query\":\"QUERY\",\"path\":\"opportunities?$deltatoken=1\"}",
        "{\"v\":1,\"query\":\"0000000000000000\",\"path\":\"opportunities?$deltatoken=1\"}",
        "{\"v\":1,\"query\":\"QUERY\"}",
        "{\"v\":1,\"query\":\"QUERY\",\"path\":\"systemusers?$deltatoken=1\"}",
        "{\"v\":1,\"query\":\"QUERY\",\"path\":\"opportunities(1)?x\"}",
        "{\"v\":1,\"query\":\"QUERY\",\"path\":\"opportunities?a b\"}",
    };
    table_t t = {.rows = 1};
    const char *query;
    BEGIN(t);

    get(r, &ch, NULL, p);
    query = cs_json_str(json_of(ch.next, p), "query");
    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        const char *at = strstr(cursors[i], "QUERY"), *cursor = cursors[i];

        if (at) {
            cursor = apr_psprintf(p, "%.*s%s%s", (int)(at - cursors[i]), cursors[i], query, at + 5);
        }
        get(r, &ch, cursor, p);
        expect(&ch.result, CS_CLASS_OK, NULL);
        assert_true(ch.beginning && ch.rows->nelts == 1);
    }
    canned_stop(r->server);
}

/* Other columns: rows that were not shown yet. */
static void test_changed_columns_begin_anew(void **state)
{
    table_t t = {.rows = 1};
    const char *cursor;
    BEGIN(t);

    get(r, &ch, NULL, p);
    cursor = ch.next;
    ch.columns = words_of(p, "name");
    get(r, &ch, cursor, p);
    assert_true(ch.beginning);
    canned_stop(r->server);
}

static void test_wrong_columns(void **state)
{
    table_t t = {.rows = 1};
    BEGIN(t);

    ch.columns = words_of(p, "name parentaccountid/name");
    get(r, &ch, NULL, p);
    expect(&ch.result, CS_CLASS_SUSPEND, "config:column");
    ch.columns = words_of(p, "name $top");
    get(r, &ch, NULL, p);
    expect(&ch.result, CS_CLASS_SUSPEND, "config:column");
    assert_int_equal(r->server->n_ops, 0);
    canned_stop(r->server);
}

static void test_dates_that_are_none(void **state)
{
    table_t t = {.rows = 100}; /* months have fewer days, which is no harm */
    BEGIN(t);

    get(r, &ch, NULL, p);
    expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.rows->nelts == 100 && row_of(&ch, 99)->modified == 0);
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_beginning_pages_and_delta),
        UNIT_TEST(test_rows_are_neutral),
        UNIT_TEST(test_what_is_no_row_is_left_out),
        UNIT_TEST(test_since_hides_old_rows_of_a_beginning_only),
        UNIT_TEST(test_forgotten_link_begins_again),
        UNIT_TEST(test_trouble_of_the_moment_keeps_the_cursor),
        UNIT_TEST(test_beginning_that_is_always_cut_off),
        UNIT_TEST(test_table_without_tracking_is_polled),
        UNIT_TEST(test_preference_passed_over),
        UNIT_TEST(test_foreign_links_are_not_followed),
        UNIT_TEST(test_strange_cursors_begin_anew),
        UNIT_TEST(test_changed_columns_begin_anew),
        UNIT_TEST(test_wrong_columns),
        UNIT_TEST(test_dates_that_are_none),
    };

    return UNIT_RUN(tests);
}
