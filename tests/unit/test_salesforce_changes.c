/* What changed: beginnings, lists of updated and deleted rows, tables that are polled.
 * (crm-apis.md B6, B7) */
#include "unit_salesforce_parts.h"

/* Noon of the server, whatever our clock says; lists end with the minute that is not over. */
#define DATE "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n"
#define NOON 1795348800
#define COVERED "2026-11-22T11:58:00.000+0000"

typedef struct org_t {
    apr_pool_t *p;
    int rows, page; /* of a scan: in all, on a page; 0 = all on one */
    int ids, deleted;
    const char *covered, *deleted_covered;
    struct {
        const char *at, *answer; /* a path that has this text is answered so */
        int times;               /* 0 = always */
    } instead[3];
    int odd;            /* 1 = one row of a scan is none, 2 = none is one */
    int gone;           /* the first row of a scan is deleted */
    const char *log[60]; /* plain paths */
    int n;
} org_t;

static const char *nth(const char *prefix, int i, apr_pool_t *p)
{
    return cs_sf_id(apr_psprintf(p, "%s%012d", prefix, i), p);
}

static const char *row(const org_t *org, int i, int all)
{
    return apr_psprintf(org->p,
                        "{\"attributes\":{\"type\":\"Opportunity\"},\"Id\":\"%s\",\"Name\":\"n%d\","
                        "\"OwnerId\":\"" SF_USER "\",\"IsClosed\":true,\"IsWon\":true,"
                        "\"LastModifiedDate\":\"2026-11-%02dT09:00:00.000+0000\","
                        "\"SystemModstamp\":\"2026-11-%02dT10:00:00.000+0000\"%s}",
                        nth("006", i, org->p), i, 1 + i % 20, 1 + i % 20,
                        !all ? "" : org->gone && !i ? ",\"IsDeleted\":true" : ",\"IsDeleted\":false");
}

static const char *rows_answer(const org_t *org, int from, int to, int all, const char *next)
{
    const char *text = org->odd ? "{\"Id\":\"no\"}" : "";

    for (int i = from; i < to && org->odd < 2; i++) {
        text = apr_pstrcat(org->p, text, *text ? "," : "", row(org, i, all), NULL);
    }
    return apr_psprintf(org->p,
                        "200 OK\r\n" DATE "\r\n{\"totalSize\":9,\"done\":%s%s,\"records\":[%s]}",
                        next ? "false" : "true",
                        next ? apr_pstrcat(org->p, ",\"nextRecordsUrl\":\"", next, "\"", NULL) : "",
                        text);
}

static const char *scan_answer(const org_t *org, const char *path, int all)
{
    const char *dash = strstr(path, "/01g-");
    int from = dash ? atoi(dash + 5) : 0;
    int to = org->page && from + org->page < org->rows ? from + org->page : org->rows;

    return rows_answer(org, from, to, all,
                       to < org->rows ? apr_psprintf(org->p, SF_ROOT "query/01g-%d", to) : NULL);
}

/* The rows that a query names. */
static const char *read_answer(const org_t *org, const char *path)
{
    const char *text = "", *at = strstr(path, " IN (");

    for (int i = 0; i < org->ids; i++) {
        if (strstr(at, nth("006", i, org->p))) {
            text = apr_pstrcat(org->p, text, *text ? "," : "", row(org, i, 0), NULL);
        }
    }
    return apr_psprintf(org->p, "200 OK\r\n" DATE "\r\n{\"done\":true,\"records\":[%s]}", text);
}

static const char *updated_answer(const org_t *org)
{
    const char *text = "";

    for (int i = 0; i < org->ids; i++) {
        text = apr_psprintf(org->p, "%s%s\"%s\"", text, i ? "," : "", nth("006", i, org->p));
    }
    return apr_psprintf(org->p,
                        "200 OK\r\n" DATE "\r\n{\"ids\":[%s],\"latestDateCovered\":\"%s\"}", text,
                        org->covered ? org->covered : COVERED);
}

/* The order of the list is nobody's promise: it is turned around each time. */
static const char *deleted_answer(const org_t *org)
{
    static int turn;
    const char *text = "";

    turn = !turn;
    for (int i = 0; i < org->deleted; i++) {
        int k = turn ? i : org->deleted - 1 - i;

        text = apr_psprintf(org->p,
                            "%s%s{\"id\":\"%s\",\"deletedDate\":\"2026-11-22T11:%02d:00.000+0000\"}",
                            text, i ? "," : "", nth("006", 5000 + k, org->p), k % 60);
    }
    return apr_psprintf(org->p,
                        "200 OK\r\n" DATE "\r\n{\"deletedRecords\":[%s],\"earliestDateAvailable\":"
                        "\"2026-11-07T00:00:00.000+0000\",\"latestDateCovered\":\"%s\"}",
                        text, org->deleted_covered ? org->deleted_covered : COVERED);
}

static const char *each(canned_t *c, const char *method, const char *path, apr_pool_t *p)
{
    org_t *org = c->baton;

    assert_string_equal(method, "GET");
    assert_true(org->n < 60);
    org->log[org->n++] = apr_pstrdup(p, path);
    for (int i = 0; i < 3; i++) {
        if (org->instead[i].at && strstr(path, org->instead[i].at)) {
            if (org->instead[i].times && !--org->instead[i].times) {
                org->instead[i].at = NULL;
            }
            return org->instead[i].answer;
        }
    }
    if (strstr(path, "/updated/?")) {
        return updated_answer(org);
    }
    if (strstr(path, "/deleted/?")) {
        return deleted_answer(org);
    }
    return strstr(path, " IN (") ? read_answer(org, path)
                                 : scan_answer(org, path, !strncmp(path, "queryAll", 8));
}

static const char *answer(canned_t *c, const canned_op_t *op)
{
    return sf_dispatch(c, op, each, ((org_t *)c->baton)->p);
}

static void get(sf_rig_t *r, cs_crm_changes_t *ch, const char *cursor, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 1, sizeof(cs_crm_lookup_t));

    APR_ARRAY_PUSH(list, cs_crm_lookup_t) = (cs_crm_lookup_t){"OwnerId", "User"};
    ch->table = "Opportunity";
    ch->columns = ch->columns ? ch->columns : sf_words(p, "Name OwnerId $state");
    ch->lookups = list;
    ch->cursor = cursor;
    ((org_t *)r->server->baton)->n = 0;
    assert_ok(cs_sf_changes(&r->crm, ch, 0, p));
}

static const cs_crm_changed_t *row_of(const cs_crm_changes_t *ch, int i)
{
    assert_true(i < ch->rows->nelts);
    return &APR_ARRAY_IDX(ch->rows, i, cs_crm_changed_t);
}

static void logged(const org_t *org, int i, const char *text)
{
    assert_true(i < org->n);
    if (!strstr(org->log[i], text)) {
        fail_msg("%s, expected %s", org->log[i], text);
    }
}

#define REFUSED(code, words)                                                                       \
    "400 Bad Request\r\n" DATE "\r\n[{\"errorCode\":\"" code "\",\"message\":\"" words "\"}]"
#define SELECT "SELECT Id,LastModifiedDate,SystemModstamp,Name,OwnerId,IsClosed,IsWon FROM "        \
    "Opportunity"

#define BEGIN(...)                                                                                 \
    apr_pool_t *p = *state;                                                                        \
    org_t org = {.p = unit_pool_apart(p), __VA_ARGS__};                                            \
    sf_rig_t *r = sf_rig(answer, &org, p);                                                         \
    cs_crm_changes_t ch = {0}

/* ---- beginnings ---- */

static void test_a_beginning_page_by_page(void **state)
{
    BEGIN(.rows = 5, .page = 2);

    get(r, &ch, NULL, p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.beginning && ch.more && ch.next && ch.rows->nelts == 2 && ch.calls == 1);
    assert_string_equal(org.log[0], "query?q=" SELECT " ORDER BY SystemModstamp, Id");
    get(r, &ch, ch.next, p);
    assert_true(ch.beginning && ch.more && ch.rows->nelts == 2);
    assert_string_equal(org.log[0], "query/01g-2");
    get(r, &ch, ch.next, p);
    assert_true(ch.beginning && !ch.more && ch.rows->nelts == 1 && ch.calls == 1);
    /* From ten minutes before it began on, by their clock. */
    get(r, &ch, ch.next, p);
    assert_true(!ch.beginning && !ch.more && !ch.rows->nelts && ch.calls == 1);
    logged(&org, 0, "sobjects/Opportunity/updated/?start=2026-11-22T11:50:00+00:00&end=2026-11-22T"
                    "12:01:00+00:00");
    logged(&org, 1, "sobjects/Opportunity/deleted/?start=2026-11-22T11:50:00+00:00&end=");
    canned_stop(r->server);
}

static void test_rows_are_neutral(void **state)
{
    const cs_crm_changed_t *one;
    BEGIN(.rows = 1);

    get(r, &ch, NULL, p);
    one = row_of(&ch, 0);
    assert_string_equal(one->id, "006000000000000AAA");
    assert_string_equal(one->version, "2026-11-01T10:00:00Z/2026-11-01T09:00:00Z");
    assert_true(one->modified == apr_time_from_sec(1793523600) && !one->deleted);
    assert_json(one->row, "{\"Name\":\"n0\",\"OwnerId\":{\"id\":\"" SF_USER "\"},\"$state\":1}", p);
    canned_stop(r->server);
}

static void test_a_beginning_since(void **state)
{
    BEGIN(.rows = 1);

    ch.since = apr_time_from_sec(NOON) + 999;
    get(r, &ch, NULL, p);
    assert_true(ch.beginning);
    logged(&org, 0, " WHERE SystemModstamp >= 2026-11-22T12:00:00Z ORDER BY");
    canned_stop(r->server);
}

/* Another query goes on where the page before ended. */
static void test_a_page_that_is_not_held_any_more(void **state)
{
    static const char *const refusals[] = {
        REFUSED("INVALID_QUERY_LOCATOR", "invalid query locator"),
        "404 Not Found\r\n\r\n[{\"errorCode\":\"NOT_FOUND\"}]",
    };
    const char *cursor;
    BEGIN(.rows = 4, .page = 2);

    get(r, &ch, NULL, p);
    cursor = ch.next;
    for (size_t i = 0; i < 2; i++) {
        org.instead[0].at = "/01g-2";
        org.instead[0].answer = refusals[i];
        get(r, &ch, cursor, p);
        sf_expect(&ch.result, CS_CLASS_OK, NULL);
        assert_true(ch.beginning && ch.calls == 2);
        logged(&org, 1, " WHERE SystemModstamp >= 2026-11-02T10:00:00Z ORDER BY");
    }
    canned_stop(r->server);
}

static void test_what_is_no_row_is_left_out(void **state)
{
    BEGIN(.rows = 2, .odd = 1);

    get(r, &ch, NULL, p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_int_equal(ch.rows->nelts, 2);
    org.odd = 2;
    get(r, &ch, NULL, p);
    sf_expect(&ch.result, CS_CLASS_RETRY, "salesforce:answer");
    assert_true(!ch.rows->nelts && !ch.next && !ch.more);
    canned_stop(r->server);
}

static void test_a_column_that_may_not_be_seen(void **state)
{
    const cs_crm_changed_t *one;
    BEGIN(.rows = 1, .ids = 1);

    org.instead[0].at = ",Name,";
    org.instead[0].answer = REFUSED("INVALID_FIELD", "\\nSELECT Name FROM\\n^\\nERROR at Row:1:"
                                                     "Column:8\\nNo such column 'Name' on entity "
                                                     "'Opportunity'.");
    get(r, &ch, NULL, p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_int_equal(ch.calls, 2);
    one = row_of(&ch, 0);
    get(r, &ch, ch.next, p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.calls == 2 && ch.rows->nelts == 1 && one);
    logged(&org, 2, "SystemModstamp,OwnerId,");
    canned_stop(r->server);
}

/* ---- lists ---- */

/* A cursor of lists that go on from 11:50. */
static const char *begun(sf_rig_t *r, apr_pool_t *p)
{
    cs_crm_changes_t ch = {0};
    org_t *org = r->server->baton;
    int rows = org->rows;

    org->rows = 0;
    get(r, &ch, NULL, p);
    org->rows = rows;
    assert_true(ch.next && !ch.more);
    return ch.next;
}

static void test_what_changed(void **state)
{
    const char *cursor;
    BEGIN(.ids = 3, .deleted = 2);

    cursor = begun(r, p);
    get(r, &ch, cursor, p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(!ch.beginning && !ch.more && ch.calls == 2 && ch.rows->nelts == 5);
    assert_string_equal(org.log[2], "query?q=" SELECT " WHERE Id IN ('006000000000000AAA','"
                                    "006000000000001AAA','006000000000002AAA')");
    assert_string_equal(cs_json_str(row_of(&ch, 2)->row, "Name"), "n2");
    assert_string_equal(row_of(&ch, 3)->id, "006000000005000AAA");
    assert_true(row_of(&ch, 3)->deleted && !row_of(&ch, 3)->row && !row_of(&ch, 3)->version);
    assert_true(row_of(&ch, 3)->modified == apr_time_from_sec(NOON - 3600));
    org.ids = org.deleted = 0;
    get(r, &ch, ch.next, p);
    assert_true(ch.calls == 1 && !ch.rows->nelts && ch.next);
    /* Where the lists ended, not where they were asked to end. */
    logged(&org, 0, "?start=2026-11-22T11:58:00+00:00&end=2026-11-22T12:01:00+00:00");
    canned_stop(r->server);
}

static void test_the_older_end_counts(void **state)
{
    BEGIN(.deleted_covered = "2026-11-22T11:55:00.000+0000");

    get(r, &ch, begun(r, p), p);
    get(r, &ch, ch.next, p);
    logged(&org, 0, "?start=2026-11-22T11:55:00+00:00&");
    /* A long transaction may hold an end back: it never goes back itself. */
    org.covered = "2026-11-22T09:00:00.000+0000";
    get(r, &ch, ch.next, p);
    get(r, &ch, ch.next, p);
    logged(&org, 0, "?start=2026-11-22T11:55:00+00:00&");
    canned_stop(r->server);
}

static void test_rows_that_came_back(void **state)
{
    BEGIN(.ids = 5001, .deleted = 1);

    org.instead[0].at = "/updated/";
    org.instead[0].answer = "200 OK\r\n" DATE "\r\n{\"ids\":[\"006000000005000AAA\"],"
                            "\"latestDateCovered\":\"" COVERED "\"}";
    get(r, &ch, begun(r, p), p);
    assert_int_equal(ch.rows->nelts, 1);
    assert_false(row_of(&ch, 0)->deleted);
    canned_stop(r->server);
}

static void test_many_changed(void **state)
{
    BEGIN(.ids = 750);

    get(r, &ch, begun(r, p), p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(ch.rows->nelts == 750 && ch.calls == 2 && org.n == 7 && !ch.more);
    canned_stop(r->server);
}

/* Too many to be named: they are read by their time, after the deleted ones were told. */
static void test_very_many_changed(void **state)
{
    BEGIN(.ids = 751, .rows = 3, .page = 2, .deleted = 1);

    get(r, &ch, begun(r, p), p);
    assert_true(ch.rows->nelts == 1 && row_of(&ch, 0)->deleted && ch.more && !ch.beginning);
    get(r, &ch, ch.next, p);
    assert_true(ch.rows->nelts == 2 && ch.more && !ch.beginning && ch.calls == 1);
    logged(&org, 0, " WHERE SystemModstamp >= 2026-11-22T11:50:00Z ORDER BY");
    get(r, &ch, ch.next, p);
    assert_true(ch.rows->nelts == 1 && !ch.more && !ch.beginning);
    get(r, &ch, ch.next, p);
    logged(&org, 0, "?start=2026-11-22T11:58:00+00:00&");
    org.deleted = 0;
    get(r, &ch, begun(r, p), p);
    assert_true(ch.rows->nelts == 2 && ch.more && !ch.beginning && ch.calls == 2);
    canned_stop(r->server);
}

static void test_very_many_deleted(void **state)
{
    apr_hash_t *seen;
    const char *cursor;
    int pages = 0;
    BEGIN(.ids = 2, .deleted = 2500);

    seen = apr_hash_make(p);
    cursor = begun(r, p);
    do {
        get(r, &ch, cursor, p);
        sf_expect(&ch.result, CS_CLASS_OK, NULL);
        assert_true(ch.rows->nelts <= 1002 && !ch.beginning);
        logged(&org, 0, "start=2026-11-22T11:50:00+00:00&end=2026-11-22T12:01:00+00:00");
        for (int i = 0; i < ch.rows->nelts; i++) {
            apr_hash_set(seen, row_of(&ch, i)->id, APR_HASH_KEY_STRING, "");
        }
        cursor = ch.next;
        pages++;
    } while (ch.more);
    assert_int_equal(pages, 3);
    assert_int_equal(apr_hash_count(seen), 2502);
    org.deleted = 0;
    get(r, &ch, cursor, p);
    logged(&org, 0, "start=2026-11-22T11:58:00+00:00&end=2026-11-22T12:01:00+00:00");
    canned_stop(r->server);
}

static void test_lists_that_do_not_reach_back(void **state)
{
    static const struct {
        const char *at, *answer;
    } cases[] = {
        {"/updated/", REFUSED("EXCEEDED_ID_LIMIT", "too many ids")},
        {"/updated/", REFUSED("INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days")},
        {"/deleted/", REFUSED("INVALID_REPLICATION_DATE", "startDate before org replication")},
        {"/deleted/", REFUSED("EXCEEDED_ID_LIMIT", "too many ids")},
    };
    const char *cursor;
    BEGIN(.rows = 2);

    cursor = begun(r, p);
    ch.since = apr_time_from_sec(NOON);
    for (size_t i = 0; i < 4; i++) {
        org.instead[0].at = cases[i].at;
        org.instead[0].answer = cases[i].answer;
        get(r, &ch, cursor, p);
        sf_expect(&ch.result, CS_CLASS_OK, NULL);
        assert_true(ch.beginning && ch.rows->nelts == 2 && ch.next && ch.calls == 2);
        logged(&org, 2, "WHERE SystemModstamp >= 2026-11-22T12:00:00Z");
    }
    canned_stop(r->server);
}

/* Too old to be asked for at all. */
static void test_an_old_cursor(void **state)
{
    json_t *cursor;
    BEGIN(.rows = 2);

    cursor = json_copy(sf_json(begun(r, p), p));
    json_object_set_new(cursor, "from",
                        json_integer(apr_time_from_sec(NOON) - apr_time_from_sec(15 * 86400)));
    get(r, &ch, cs_json_print(cursor, p), p);
    assert_true(ch.beginning && ch.rows->nelts == 2 && ch.calls == 1);
    json_decref(cursor);
    canned_stop(r->server);
}

/* Our clock was set since the last answer: what the CRM thinks of that is not held against it. */
static void test_a_clock_that_was_set(void **state)
{
    json_t *cursor;
    BEGIN(.ids = 1);

    cursor = json_copy(sf_json(begun(r, p), p));
    json_object_set_new(cursor, "ahead",
                        json_integer(json_integer_value(json_object_get(cursor, "ahead")) +
                                     apr_time_from_sec(3 * 86400)));
    org.instead[0].at = "end=2026-11-25";
    org.instead[0].answer = REFUSED("INVALID_REPLICATION_DATE", "endDate is in the future");
    get(r, &ch, cs_json_print(cursor, p), p);
    assert_true(!ch.beginning && ch.rows->nelts == 1 && ch.calls == 3);
    logged(&org, 2, "end=2026-11-22T12:01:00+00:00");
    json_decref(cursor);
    canned_stop(r->server);
}

static void test_trouble_of_the_moment_keeps_the_cursor(void **state)
{
    static const struct {
        const char *at, *answer;
        cs_class_e cls;
    } cases[] = {
        {"/updated/", "503 Service Unavailable\r\n\r\n", CS_CLASS_RETRY},
        {"/deleted/", "503 Service Unavailable\r\n\r\n", CS_CLASS_RETRY},
        {" IN (", "503 Service Unavailable\r\n\r\n", CS_CLASS_RETRY},
        {"/updated/", "200 OK\r\n\r\n{\"ids\":[]}", CS_CLASS_RETRY},
        {"/deleted/", "200 OK\r\n\r\n{\"latestDateCovered\":\"" COVERED "\"}", CS_CLASS_RETRY},
        {" IN (", REFUSED("INVALID_TYPE", "no such type"), CS_CLASS_SUSPEND},
        {"/updated/",
         "403 Forbidden\r\n\r\n[{\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\",\"message\":"
         "\"TotalRequests Limit exceeded.\"}]",
         CS_CLASS_SUSPEND},
    };
    const char *cursor;
    BEGIN(.ids = 1, .deleted = 1);

    cursor = begun(r, p);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        org.instead[0].at = cases[i].at;
        org.instead[0].answer = cases[i].answer;
        memset(&r->limiter, 0, sizeof(r->limiter));
        get(r, &ch, cursor, p);
        sf_expect(&ch.result, cases[i].cls, NULL);
        assert_true(!ch.next && !ch.more && !ch.rows->nelts);
    }
    canned_stop(r->server);
}

/* ---- tables without lists ---- */

static void test_a_table_that_is_not_listed(void **state)
{
    BEGIN(.rows = 3, .page = 2, .gone = 1);

    org.instead[0].at = "/updated/";
    org.instead[0].answer = REFUSED("INVALID_TYPE", "sObject type is not replicateable");
    get(r, &ch, begun(r, p), p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    /* Together, each alone (it might have been the composite), and the rows. */
    assert_true(!ch.beginning && ch.more && ch.rows->nelts == 2 && ch.calls == 4);
    logged(&org, 4, "queryAll?q=SELECT Id,LastModifiedDate,SystemModstamp,Name,OwnerId,IsClosed,"
                    "IsWon,IsDeleted FROM Opportunity WHERE SystemModstamp >= 2026-11-22T11:50:00Z");
    assert_true(row_of(&ch, 0)->deleted && !row_of(&ch, 1)->deleted);
    get(r, &ch, ch.next, p);
    assert_true(!ch.beginning && !ch.more && ch.rows->nelts == 1 && ch.calls == 1);
    get(r, &ch, ch.next, p);
    assert_true(!ch.beginning && ch.more && ch.calls == 1);
    logged(&org, 0, "queryAll?q=");
    logged(&org, 0, "WHERE SystemModstamp >= 2026-11-22T11:50:00Z");
    canned_stop(r->server);
}

static void test_a_table_that_has_no_mark_of_deletion(void **state)
{
    BEGIN(.rows = 2);

    org.instead[0].at = "/updated/";
    org.instead[0].answer = REFUSED("INVALID_TYPE", "sObject type is not replicateable");
    org.instead[1].at = ",IsDeleted ";
    org.instead[1].answer =
        REFUSED("INVALID_FIELD", "No such column 'IsDeleted' on entity 'Opportunity'.");
    get(r, &ch, begun(r, p), p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_int_equal(ch.rows->nelts, 2);
    logged(&org, 5, "query?q=" SELECT " WHERE");
    canned_stop(r->server);
}

/* Lists of the one kind only. */
static void test_a_table_whose_rows_last(void **state)
{
    BEGIN(.ids = 1);

    org.instead[0].at = "/deleted/";
    org.instead[0].answer = REFUSED("INVALID_TYPE", "not here");
    get(r, &ch, begun(r, p), p);
    sf_expect(&ch.result, CS_CLASS_OK, NULL);
    assert_true(!ch.beginning && ch.rows->nelts == 1 && ch.calls == 2);
    org.ids = 0;
    get(r, &ch, ch.next, p);
    assert_true(ch.calls == 1 && org.n == 1);
    canned_stop(r->server);
}

/* Somebody may have changed that: it is asked for again after a day. */
static void test_lists_are_asked_for_again(void **state)
{
    json_t *cursor;
    BEGIN(.rows = 1);

    org.instead[0].at = "/updated/";
    org.instead[0].answer = REFUSED("INVALID_TYPE", "sObject type is not replicateable");
    get(r, &ch, begun(r, p), p);
    cursor = json_copy(sf_json(ch.next, p));
    org.instead[0].at = NULL;
    get(r, &ch, ch.next, p);
    logged(&org, 0, "queryAll?q=");
    json_object_set_new(cursor, "asked", json_integer(cs_time_now() - apr_time_from_sec(86401)));
    get(r, &ch, cs_json_print(cursor, p), p);
    logged(&org, 0, "/updated/");
    assert_true(!ch.rows->nelts && ch.calls == 1);
    json_decref(cursor);
    canned_stop(r->server);
}

/* ---- cursors ---- */

static void test_cursors_of_something_else(void **state)
{
    static const char *const cursors[] = {
        "", "{", "[]", "{}", "{\"v\":1}", "{\"v\":1,\"query\":\"0\",\"from\":1}", "null",
    };
    const char *cursor;
    BEGIN(.rows = 1, .page = 1);

    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        get(r, &ch, cursors[i], p);
        sf_expect(&ch.result, CS_CLASS_OK, NULL);
        assert_true(ch.beginning && ch.rows->nelts == 1);
    }
    cursor = begun(r, p);
    ch.columns = sf_words(p, "Name");
    get(r, &ch, cursor, p);
    assert_true(ch.beginning && ch.rows->nelts == 1);
    canned_stop(r->server);
}

/* The address in a cursor leads to a page of a query, or nowhere. */
static void test_addresses_in_cursors(void **state)
{
    static const char *const paths[] = {
        "https://evil.example/services/data/v60.0/query/01g",
        "/services/data/v60.0/../../x",
        "/services/data/v60.0/query/01g 2",
        "/setup",
    };
    json_t *cursor;
    BEGIN(.rows = 4, .page = 2);

    get(r, &ch, NULL, p);
    cursor = json_copy(sf_json(ch.next, p));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        json_object_set_new(cursor, "next", json_string(paths[i]));
        get(r, &ch, cs_json_print(cursor, p), p);
        assert_true(ch.beginning && ch.rows->nelts == 2);
        logged(&org, 0, "query?q=");
    }
    json_decref(cursor);
    canned_stop(r->server);
}

static void test_columns_and_tables_that_are_none(void **state)
{
    BEGIN(.rows = 1);

    ch.columns = sf_words(p, "Na'me");
    get(r, &ch, NULL, p);
    sf_expect(&ch.result, CS_CLASS_SUSPEND, "config:column");
    ch.columns = sf_words(p, "Name");
    ch.table = "x y";
    assert_ok(cs_sf_changes(&r->crm, &ch, 0, p));
    sf_expect(&ch.result, CS_CLASS_SUSPEND, "config:table");
    assert_int_equal(r->server->n_requests, 0);
    canned_stop(r->server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_beginning_page_by_page),
        UNIT_TEST(test_rows_are_neutral),
        UNIT_TEST(test_a_beginning_since),
        UNIT_TEST(test_a_page_that_is_not_held_any_more),
        UNIT_TEST(test_what_is_no_row_is_left_out),
        UNIT_TEST(test_a_column_that_may_not_be_seen),
        UNIT_TEST(test_what_changed),
        UNIT_TEST(test_the_older_end_counts),
        UNIT_TEST(test_rows_that_came_back),
        UNIT_TEST(test_many_changed),
        UNIT_TEST(test_very_many_changed),
        UNIT_TEST(test_very_many_deleted),
        UNIT_TEST(test_lists_that_do_not_reach_back),
        UNIT_TEST(test_an_old_cursor),
        UNIT_TEST(test_a_clock_that_was_set),
        UNIT_TEST(test_trouble_of_the_moment_keeps_the_cursor),
        UNIT_TEST(test_a_table_that_is_not_listed),
        UNIT_TEST(test_a_table_that_has_no_mark_of_deletion),
        UNIT_TEST(test_a_table_whose_rows_last),
        UNIT_TEST(test_lists_are_asked_for_again),
        UNIT_TEST(test_cursors_of_something_else),
        UNIT_TEST(test_addresses_in_cursors),
        UNIT_TEST(test_columns_and_tables_that_are_none),
    };

    UNIT_RUN(tests);
}
