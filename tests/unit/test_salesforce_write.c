/* Writes against a canned organisation: what is sent, in how many requests, and what answers mean
 * for each of them. (crm-apis.md B3, B4, B5, C2) */
#include "unit_salesforce_parts.h"

#define VERSION "2026-11-01T10:00:00Z/2026-11-01T10:00:00Z"
#define OPP "006000000000001AAA"
#define ACC "001000000000001AAA"
#define REFERRAL "c5fb0000-0000-4000-8000-000000000001"

typedef struct world_t {
    apr_pool_t *p;
    const char *answer;     /* to a write; NULL = a good one */
    const char *answer_one; /* to the write whose path has */
    const char *one;        /* this in it */
    const char *query;      /* to a query; NULL = the rows that it names */
    const char *stamp;
    int leave_out, composites, alone, writes, queries, after; /* after: queries before a write */
    int no_composite;
} world_t;

static const char *opp_id(int i, apr_pool_t *p)
{
    return cs_sf_id(apr_psprintf(p, "006%012d", i), p);
}

static const char *rows_in(world_t *w, const char *path, apr_pool_t *p)
{
    const char *at = strstr(path, " IN ("), *rows = "", *end;
    const char *stamp = w->stamp ? w->stamp : "2026-11-22T11:59:59.000+0000";

    for (at = at ? at + 4 : NULL; at && (*at == '(' || *at == ','); at = end + 1) {
        end = strchr(at + 2, '\'');
        const char *value = apr_pstrmemdup(p, at + 2, (apr_size_t)(end - at - 2));

        rows = apr_psprintf(p,
                            "%s,{\"Id\":\"%s\",\"Key__c\":\"%s\",\"Name\":\"now\","
                            "\"SystemModstamp\":\"%s\",\"LastModifiedDate\":\"%s\"}",
                            rows, strlen(value) == 18 ? value : OPP, value, stamp, stamp);
    }
    return apr_pstrcat(p,
                       "200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n{\"done\":true,"
                       "\"records\":[",
                       *rows ? rows + 1 : "", "]}", NULL);
}

static const char *each(canned_t *c, const char *method, const char *path, apr_pool_t *p)
{
    world_t *w = c->baton;

    if (!strcmp(method, "GET")) {
        w->queries++;
        return w->query ? w->query : rows_in(w, path, p);
    }
    w->writes++;
    w->after += w->queries;
    if (w->one && strstr(path, w->one)) {
        return w->answer_one;
    }
    if (w->answer) {
        return w->answer;
    }
    return !strcmp(method, "POST") || strstr(path, "Key__c/") ? "201 Created\r\n\r\n{\"id\":\"" OPP
                                                                "\",\"success\":true,\"errors\":[]}"
                                                              : "204 No Content\r\n\r\n";
}

static const char *organisation(canned_t *c, const canned_op_t *op)
{
    world_t *w = c->baton;
    const char *answer;
    json_t *whole;

    if (!strstr(op->path, "composite")) {
        w->alone++;
        return sf_dispatch(c, op, each, w->p);
    }
    w->composites++;
    if (w->no_composite) {
        return "400 Bad Request\r\n\r\n[{\"errorCode\":\"JSON_PARSER_ERROR\"}]";
    }
    answer = sf_dispatch(c, op, each, w->p);
    if (w->leave_out) {
        whole = sf_json(strstr(answer, "\r\n\r\n") + 4, w->p);
        json_array_remove(cs_json_get(whole, "compositeResponse"), 0);
        answer = apr_pstrcat(w->p, "200 OK\r\n\r\n", cs_json_print(whole, w->p), NULL);
    }
    return answer;
}

static sf_rig_t *world(world_t *w, apr_pool_t *p)
{
    w->p = unit_pool_apart(p);
    return sf_rig(organisation, w, p);
}

static cs_crm_write_t write_of(cs_crm_write_e kind, const char *table, const char *id,
                               const char *row, const char *columns, apr_pool_t *p)
{
    cs_crm_write_t w = {.kind = kind, .table = table, .id = id};

    w.row = row ? sf_json(row, p) : NULL;
    w.columns = columns ? sf_words(p, columns) : NULL;
    return w;
}

static const char *last_body(const sf_rig_t *r)
{
    return r->server->ops[r->server->n_ops - 1].body;
}

/* The n-th part of the last composite. */
static const json_t *part(const sf_rig_t *r, int n, apr_pool_t *p)
{
    return json_array_get(cs_json_get(sf_json(last_body(r), p), "compositeRequest"), (size_t)n);
}

/* ---- few requests ---- */

static void test_one_change_is_one_request(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one =
        write_of(CS_CRM_UPDATE, "Opportunity", "006000000000001",
                 "{\"Name\":\"n\",\"Amount\":{\"$number\":\"5.00\"}}", "Name AccountId/Name", p);

    one.guard = VERSION "~abc";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_int_equal(one.calls, 1);
    assert_int_equal(r->server->n_requests, 1);
    assert_json(part(r, 0, p),
                "{\"method\":\"PATCH\",\"url\":\"/services/data/v60.0/sobjects/Opportunity/" OPP
                "\",\"referenceId\":\"c0\",\"httpHeaders\":{\"If-Unmodified-Since\":\"Sun, 01 Nov "
                "2026 10:00:00 GMT\",\"Sforce-Auto-Assign\":\"FALSE\"},\"body\":{\"Name\":\"n\","
                "\"Amount\":5.0}}",
                p);
    assert_has(last_body(r), "\"Amount\":5.00}");
    assert_string_equal(sf_plain(cs_json_str(part(r, 1, p), "url"), p),
                        "/services/data/v60.0/query?q=SELECT Id,LastModifiedDate,SystemModstamp,"
                        "Name,AccountId,Account.Name FROM Opportunity WHERE Id IN ('" OPP "')");
    assert_has(r->server->ops[0].headers, "Sforce-Call-Options: client=");
    assert_has(r->server->ops[0].headers, "Authorization: Bearer t");
    assert_string_equal(one.record->id, OPP);
    assert_true(one.record->young);
    assert_json(one.record->row, "{\"Name\":\"now\"}", p);
    /* without columns it is a plain request */
    one.columns = NULL;
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_null(one.record);
    assert_string_equal(r->server->ops[1].method, "PATCH");
    assert_has(r->server->ops[1].headers, "If-Unmodified-Since: Sun, 01 Nov 2026 10:00:00 GMT");
    assert_string_equal(last_body(r), "{\"Name\":\"n\",\"Amount\":5.00}");
    canned_stop(r->server);
}

static void test_two_hundred_changes_are_nine_requests(void **state)
{
    static const struct {
        int n, calls;
    } table[] = {{1, 1}, {24, 1}, {25, 2}, {49, 2}, {50, 3}, {200, 9}};
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t *writes = apr_pcalloc(p, sizeof(*writes) * 200);
    size_t t;
    int i, calls;

    for (t = 0; t < sizeof(table) / sizeof(table[0]); t++) {
        for (i = 0; i < table[t].n; i++) {
            writes[i] =
                write_of(CS_CRM_UPDATE, "Opportunity", opp_id(i, p), "{\"Name\":\"n\"}", "Name", p);
            writes[i].guard = VERSION;
        }
        w.writes = w.queries = w.after = 0;
        assert_ok(cs_sf_write(&r->crm, writes, table[t].n, 0, p));
        for (i = 0, calls = 0; i < table[t].n; i++) {
            sf_expect(&writes[i].result, CS_CLASS_OK, NULL);
            assert_non_null(writes[i].record);
            assert_string_equal(writes[i].record->id, opp_id(i, p));
            calls += writes[i].calls;
        }
        assert_int_equal(calls, table[t].calls);
        assert_int_equal(w.writes, table[t].n);
        /* what is read is what all of them left behind */
        assert_int_equal(w.after, 0);
    }
    canned_stop(r->server);
}

/* ---- creates ---- */

static void test_creates(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one = write_of(CS_CRM_CREATE, "Opportunity", "x",
                                  "{\"Name\":\"n\",\"Key__c\":\"k/1 &\"}", "Name", p);

    one.key = sf_json("{\"Key__c\":\"k/1 &\"}", p);
    /* the last one answered is what is on record */
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_string_equal(one.made, OPP);
    assert_string_equal(cs_json_str(part(r, 0, p), "url"),
                        "/services/data/v60.0/sobjects/Opportunity/Key__c/k%2F1%20%26");
    /* the address names the key, and the body must not */
    assert_json(cs_json_get(part(r, 0, p), "body"), "{\"Name\":\"n\"}", p);
    assert_int_equal(one.calls, 1);
    /* found, and changed: an older way to say so names no id */
    one.key = sf_json("{\"Key__c\":\"" REFERRAL "\"}", p);
    w.answer = "204 No Content\r\n\r\n";
    one.columns = NULL;
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_string_equal(one.made, OPP);
    assert_int_equal(one.calls, 2);
    w.query = "200 OK\r\n\r\n{\"done\":true,\"records\":[]}";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_UNKNOWN, NULL);
    w.query = NULL;
    w.answer = "200 OK\r\n\r\n{\"id\":\"006000000000001\",\"success\":true,\"created\":false}";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_string_equal(one.made, OPP);
    w.answer = "300 Multiple Choices\r\n\r\n[\"/services/data/v60.0/sobjects/Opportunity/" OPP
               "\",\"/services/data/v60.0/sobjects/Opportunity/006000000000002AAA\"]";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_DUPLICATE, NULL);
    assert_has(one.result.said, OPP);
    assert_null(one.made);
    canned_stop(r->server);
}

static void test_creates_without_a_key(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one = write_of(CS_CRM_CREATE, "Contact", "x", "{\"LastName\":\"n\"}", NULL, p);

    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_string_equal(r->server->ops[0].method, "POST");
    assert_string_equal(r->server->ops[0].path, SF_ROOT "sobjects/Contact");
    assert_string_equal(one.made, OPP);
    assert_int_equal(one.calls, 1);
    w.answer = "201 Created\r\n\r\n{}";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_UNKNOWN, "salesforce:answer");
    w.answer = "201 Created\r\n\r\n<html>";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_UNKNOWN, "salesforce:answer");
    /* what looks like an id and is none is not stored */
    w.answer = "201 Created\r\n\r\n{\"id\":\"006000000000001AAB\"}";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_UNKNOWN, "salesforce:answer");
    canned_stop(r->server);
}

/* ---- answers ---- */

static void test_answers_of_one_among_many(void **state)
{
    static const struct {
        const char *answer;
        cs_class_e cls;
        const char *problem;
    } table[] = {
        {"412 Precondition Failed\r\n\r\n", CS_CLASS_CONFLICT, "http:412"},
        {"400 x\r\n\r\n[{\"errorCode\":\"UNABLE_TO_LOCK_ROW\"}]", CS_CLASS_RETRY,
         "salesforce:UNABLE_TO_LOCK_ROW"},
        {"400 x\r\n\r\n[{\"errorCode\":\"PROCESSING_HALTED\"}]", CS_CLASS_RETRY,
         "salesforce:PROCESSING_HALTED"},
        {"400 x\r\n\r\n[{\"errorCode\":\"STRING_TOO_LONG\",\"fields\":[\"Name\"]}]", CS_CLASS_DATA,
         "salesforce:STRING_TOO_LONG"},
        {"404 x\r\n\r\n[{\"errorCode\":\"NOT_FOUND\",\"message\":\"x\"}]", CS_CLASS_GONE,
         "salesforce:NOT_FOUND"},
        {"403 x\r\n\r\n[{\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\",\"message\":"
         "\"ConcurrentRequests Limit exceeded.\"}]",
         CS_CLASS_THROTTLED, "throttled"},
    };
    apr_pool_t *p = *state;
    world_t w = {.one = "006000000000001AAA"};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t writes[3];
    size_t t;
    int i;

    for (t = 0; t < sizeof(table) / sizeof(table[0]); t++) {
        w.answer_one = table[t].answer;
        for (i = 0; i < 3; i++) {
            writes[i] =
                write_of(CS_CRM_UPDATE, "Opportunity", opp_id(i, p), "{\"Name\":\"n\"}", "Name", p);
            writes[i].guard = VERSION;
        }
        assert_ok(cs_sf_write(&r->crm, writes, 3, 0, p));
        sf_expect(&writes[0].result, CS_CLASS_OK, NULL);
        sf_expect(&writes[1].result, table[t].cls, table[t].problem);
        assert_null(writes[1].record);
        sf_expect(&writes[2].result, CS_CLASS_OK, NULL);
        assert_non_null(writes[2].record);
    }
    assert_true(r->limiter.throttled == 1);
    canned_stop(r->server);
}

static void test_a_missing_part_is_unknown(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.leave_out = 1};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t writes[2];

    for (int i = 0; i < 2; i++) {
        writes[i] =
            write_of(CS_CRM_UPDATE, "Opportunity", opp_id(i, p), "{\"Name\":\"n\"}", "Name", p);
    }
    assert_ok(cs_sf_write(&r->crm, writes, 2, 0, p));
    sf_expect(&writes[0].result, CS_CLASS_UNKNOWN, "salesforce:answer");
    assert_null(writes[0].record);
    sf_expect(&writes[1].result, CS_CLASS_OK, NULL);
    canned_stop(r->server);
}

static void test_what_was_written_but_cannot_be_read(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.query = "503 x\r\n\r\n"};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one = write_of(CS_CRM_UPDATE, "Opportunity", OPP, "{\"Name\":\"n\"}", "Name", p);

    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_null(one.record);
    assert_int_equal(w.writes, 1);
    canned_stop(r->server);
}

static void test_a_refused_composite_is_sent_one_by_one(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.no_composite = 1};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t writes[2];

    for (int i = 0; i < 2; i++) {
        writes[i] =
            write_of(CS_CRM_UPDATE, "Opportunity", opp_id(i, p), "{\"Name\":\"n\"}", "Name", p);
        writes[i].guard = VERSION;
    }
    assert_ok(cs_sf_write(&r->crm, writes, 2, 0, p));
    sf_expect(&writes[0].result, CS_CLASS_OK, NULL);
    sf_expect(&writes[1].result, CS_CLASS_OK, NULL);
    assert_int_equal(w.alone, 3);
    assert_int_equal(w.writes, 2);
    assert_has(r->server->ops[1].headers, "If-Unmodified-Since:");
    canned_stop(r->server);
}

/* ---- deletes ---- */

static void test_deletes(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.stamp = "2026-11-01T10:00:00.000+0000"};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one = write_of(CS_CRM_DELETE, "Child__c", "a00000000000001", NULL, NULL, p);

    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_string_equal(r->server->ops[0].method, "DELETE");
    assert_has_not(r->server->ops[0].headers, "If-Unmodified-Since");
    one.guard = VERSION "~12345678";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_int_equal(w.writes, 2);
    w.stamp = "2026-11-01T10:00:01.000+0000";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_CONFLICT, NULL);
    assert_int_equal(w.writes, 2);
    w.query = "200 OK\r\n\r\n{\"done\":true,\"records\":[]}";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    assert_int_equal(w.writes, 2);
    one.guard = NULL;
    w.answer =
        "404 x\r\n\r\n[{\"errorCode\":\"ENTITY_IS_DELETED\",\"message\":\"entity is deleted\"}]";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_OK, NULL);
    w.query = "503 x\r\n\r\n";
    one.guard = VERSION;
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_RETRY, NULL);
    canned_stop(r->server);
}

/* ---- what is not sent at all ---- */

static void test_what_is_not_sent(void **state)
{
    static const struct {
        cs_crm_write_e kind;
        const char *table, *id, *guard, *row, *key;
        cs_class_e cls;
        const char *problem;
    } table[] = {
        {CS_CRM_UPDATE, "Opp/../x", OPP, NULL, "{}", NULL, CS_CLASS_SUSPEND, "config:table"},
        {CS_CRM_UPDATE, "Opportunity", "006/x", NULL, "{}", NULL, CS_CLASS_REFUSED,
         "salesforce:id"},
        {CS_CRM_UPDATE, "Opportunity", "11111111-0000-5000-8000-000000000001", NULL, "{}", NULL,
         CS_CLASS_REFUSED, "salesforce:id"},
        {CS_CRM_DELETE, "Opportunity", NULL, NULL, NULL, NULL, CS_CLASS_REFUSED, "salesforce:id"},
        {CS_CRM_UPDATE, "Opportunity", OPP, "W/\"1\"", "{}", NULL, CS_CLASS_CONFLICT,
         "salesforce:version"},
        {CS_CRM_UPDATE, "Opportunity", OPP, NULL, "{\"$state\":1}", NULL, CS_CLASS_SUSPEND,
         "config:column"},
        {CS_CRM_UPDATE, "Opportunity", OPP, NULL, "{\"AccountId\":{\"$ref\":{\"id\":\"x\"}}}", NULL,
         CS_CLASS_SUSPEND, "config:column"},
        {CS_CRM_CREATE, "Opportunity", "x", NULL, "{}", "{\"a\":\"b\",\"c\":\"d\"}",
         CS_CLASS_SUSPEND, "config:key"},
        {CS_CRM_CREATE, "Opportunity", "x", NULL, "{}", "{\"a/b\":\"b\"}", CS_CLASS_SUSPEND,
         "config:key"},
        {CS_CRM_CREATE, "Opportunity", "x", NULL, "{}", "{\"a\":\"\"}", CS_CLASS_SUSPEND,
         "config:key"},
        {CS_CRM_CREATE, "Opportunity", "x", NULL, "{}", "{\"a\":1}", CS_CLASS_SUSPEND,
         "config:key"},
        {CS_CRM_CALL, "Lead", OPP, NULL, "{}", NULL, CS_CLASS_REFUSED, "config:call"},
        {CS_CRM_JOIN, "Opportunity", OPP, NULL, "{}", NULL, CS_CLASS_REFUSED, "config:call"},
    };
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_crm_write_t one =
            write_of(table[i].kind, table[i].table, table[i].id, table[i].row, "Name", p);

        one.guard = table[i].guard;
        one.key = table[i].key ? sf_json(table[i].key, p) : NULL;
        one.call = "WinOpportunity";
        assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
        sf_expect(&one.result, table[i].cls, table[i].problem);
        assert_int_equal(one.calls, 0);
    }
    assert_int_equal(r->server->n_requests, 0);
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_one_change_is_one_request),
        UNIT_TEST(test_two_hundred_changes_are_nine_requests),
        UNIT_TEST(test_creates),
        UNIT_TEST(test_creates_without_a_key),
        UNIT_TEST(test_answers_of_one_among_many),
        UNIT_TEST(test_a_missing_part_is_unknown),
        UNIT_TEST(test_what_was_written_but_cannot_be_read),
        UNIT_TEST(test_a_refused_composite_is_sent_one_by_one),
        UNIT_TEST(test_deletes),
        UNIT_TEST(test_what_is_not_sent),
    };

    return UNIT_RUN(tests);
}
