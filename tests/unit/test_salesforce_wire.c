/* Salesforce's rows, ids, versions and queries: there and back. (crm-apis.md B2, B6, B14, C6) */
#include "unit_salesforce_parts.h"

#include "mod_cosell/remote/salesforce/wire.h"

#define OPP "006000000000001AAA"
#define ACC "001A0000006Vm9uIAC"

/* ---- names and ids ---- */

static void test_ids(void **state)
{
    static const struct {
        const char *text, *id;
    } table[] = {
        {"001A0000006Vm9u", ACC},
        {ACC, ACC},
        {"000000000000000", "000000000000000AAA"},
        {"ABCDEABCDEABCDE", "ABCDEABCDEABCDE555"},
        {"abcdeabcdeabcde", "abcdeabcdeabcdeAAA"},
        {"aBcDeAbCdEabcdE", "aBcDeAbCdEabcdEKVQ"},
        {"001A0000006Vm9uIAB", NULL}, /* wrong last letters */
        {"001A0000006Vm9uiac", NULL},
        {"001a0000006Vm9uIAC", NULL}, /* the case of a letter is part of an id */
        {"001A0000006Vm9", NULL},
        {"001A0000006Vm9u1", NULL},
        {"001A0000006Vm'u", NULL},
        {"001A0000006Vm9\xc3\xbc", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *id = cs_sf_id(table[i].text, p);

        if (table[i].id) {
            assert_non_null(id);
            assert_string_equal(id, table[i].id);
        }
        else {
            assert_null(id);
        }
    }
}

static void test_names(void **state)
{
    static const char *const bad[] = {"",    "1a",  "_a",  "a b",      "a-b", "a.b",   "a'b",
                                      "a/b", "a,b", "a(b", "\xc3\xbc", "a\n", "$state"};
    apr_pool_t *p = *state;

    assert_true(cs_sf_name_valid("a"));
    assert_true(cs_sf_name_valid("Opportunity__c"));
    assert_true(cs_sf_name_valid("X2__Row_Key__c"));
    assert_false(cs_sf_name_valid(NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cs_sf_name_valid(bad[i]));
    }
    char *longest = apr_palloc(p, 131);

    memset(longest, 'a', 130);
    longest[128] = '\0';
    assert_true(cs_sf_name_valid(longest));
    longest[128] = 'a';
    longest[129] = '\0';
    assert_false(cs_sf_name_valid(longest));
    assert_string_equal(cs_sf_relation("AccountId", p), "Account");
    assert_string_equal(cs_sf_relation("Solution__c", p), "Solution__r");
    assert_null(cs_sf_relation("Name", p));
    assert_null(cs_sf_relation("Id", p));
    assert_null(cs_sf_relation("__c", p));
}

/* ---- queries ---- */

static void test_quote(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(cs_sf_quote("O'Brien \"&\" \\ \n\r\t\b\f", p),
                        "'O\\'Brien \\\"&\\\" \\\\ \\n\\r\\t\\b\\f'");
    assert_string_equal(cs_sf_quote("", p), "''");
    assert_string_equal(cs_sf_quote("\xc3\xbc%_", p), "'\xc3\xbc%_'");
}

static const char *fields(const char *table, const char *columns, apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, 8, sizeof(const char *));
    cs_result_t res = {0};

    if (cs_sf_fields(out, table, sf_words(p, columns), p, &res) != APR_SUCCESS) {
        sf_expect(&res, CS_CLASS_SUSPEND, "config:column");
        return NULL;
    }
    return apr_array_pstrcat(p, out, ',');
}

static void test_fields(void **state)
{
    static const char *const bad[] = {"Name,Id",    "Na me/x",       "Name/x",
                                      "AccountId/", "AccountId/a.b", "/Name",
                                      "Name)",      "a'b",           "AccountId/OwnerId/Name"};
    apr_pool_t *p = *state;
    apr_array_header_t *one, *out;
    cs_result_t res;

    assert_string_equal(fields("Opportunity", "Name AccountId/Name AccountId/Phone Name Id", p),
                        "Id,LastModifiedDate,SystemModstamp,Name,AccountId,Account.Name,"
                        "Account.Phone");
    assert_string_equal(fields("Opportunity", "$state IsWon", p),
                        "Id,LastModifiedDate,SystemModstamp,IsClosed,IsWon");
    assert_string_equal(fields("Lead", "$state", p),
                        "Id,LastModifiedDate,SystemModstamp,IsConverted");
    assert_string_equal(fields("Account", "$state", p), "Id,LastModifiedDate,SystemModstamp");
    assert_string_equal(fields("A__c", "Up__c/Code__c", p),
                        "Id,LastModifiedDate,SystemModstamp,Up__c,Up__r.Code__c");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        one = apr_array_make(p, 1, sizeof(const char *));
        out = apr_array_make(p, 1, sizeof(const char *));
        APR_ARRAY_PUSH(one, const char *) = bad[i];
        assert_int_equal(cs_sf_fields(out, "T", one, p, &res), CS_EPARSE);
        sf_expect(&res, CS_CLASS_SUSPEND, "config:column");
        assert_has(res.detail, bad[i]);
    }
}

static void test_conditions(void **state)
{
    static const struct {
        const char *key, *text;
    } table[] = {
        {"{\"Name\":\" O'B \"}", "Name = 'O\\'B'"},
        {"{\"A__c\":1,\"B__c\":true,\"C\":{\"$number\":\"1.50\"}}",
         "A__c = 1 AND B__c = true AND C = 1.50"},
        {"{\"AccountId\":{\"$ref\":{\"table\":\"Account\",\"id\":\"001A0000006Vm9u\"}}}",
         "AccountId = '" ACC "'"},
        {"{\"AccountId\":{\"id\":\"" ACC "\",\"Name\":\"x\"}}", "AccountId = '" ACC "'"},
        {"{\"AccountId/Name\":\"x\"}", "Account.Name = 'x'"},
        {"{\"Name\":\"x\",\"Phone\":\"  \"}", NULL},
        {"{\"Name\":null}", NULL},
        {"{}", NULL},
    };
    static const char *const bad[] = {
        "{\"Na me\":\"x\"}", "{\"Name\":[1]}", "{\"Name\":{\"$number\":\"1 OR 1=1\"}}",
        "{\"Name\":{\"$ref\":{\"id\":\"' OR\"}}}", "{\"Name = 'x' OR Name\":\"x\"}"};
    apr_pool_t *p = *state;
    const char *text;
    cs_result_t res;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_ok(cs_sf_key(&text, sf_json(table[i].key, p), p, &res));
        if (table[i].text) {
            assert_string_equal(text, table[i].text);
        }
        else {
            assert_null(text);
        }
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cs_sf_key(&text, sf_json(bad[i], p), p, &res), CS_EPARSE);
        assert_null(text);
        sf_expect(&res, CS_CLASS_SUSPEND, "config:column");
    }
    assert_ok(cs_sf_where(&text, "Id = 'x'", sf_json("{\"A\":null,\"B\":false}", p), p, &res));
    assert_string_equal(text, "Id = 'x' AND A = null AND B = false");
    assert_ok(cs_sf_where(&text, NULL, NULL, p, &res));
    assert_null(text);
}

/* ---- versions ---- */

static apr_time_t at(const char *text)
{
    apr_time_t t;

    assert_ok(cs_time_parse(&t, text));
    return t;
}

#define STAMP "2026-03-31T12:00:00.000+0000"

static void test_versions(void **state)
{
    apr_pool_t *p = *state;
    json_t *row = sf_json("{\"SystemModstamp\":\"" STAMP
                          "\",\"LastModifiedDate\":\"2026-03-31T11:59:00.000+0000\"}",
                          p);
    const char *old, *young, *again;
    apr_time_t modified;
    int is_young;

    old = cs_sf_version(row, at("2026-03-31T12:00:02Z"), &is_young, &modified, p);
    assert_false(is_young);
    assert_string_equal(old, "2026-03-31T12:00:00Z/2026-03-31T11:59:00Z");
    assert_true(modified == at("2026-03-31T11:59:00Z"));
    young = cs_sf_version(row, at("2026-03-31T12:00:01Z"), &is_young, &modified, p);
    assert_true(is_young);
    assert_has(young, "~");
    again = cs_sf_version(row, at("2026-03-31T12:00:01Z"), &is_young, &modified, p);
    /* the same times again may be another version */
    assert_string_not_equal(young, again);
    assert_string_not_equal(young, old);
    /* a clock that is behind makes nothing old */
    cs_sf_version(row, at("2026-03-31T11:00:00Z"), &is_young, &modified, p);
    assert_true(is_young);
    /* the later of both times guards, whichever the server compares */
    assert_string_equal(cs_sf_guard(old, p), "Tue, 31 Mar 2026 12:00:00 GMT");
    assert_string_equal(cs_sf_guard(young, p), "Tue, 31 Mar 2026 12:00:00 GMT");
    assert_string_equal(cs_sf_guard("2026-03-31T12:00:00Z/2026-03-31T12:00:05.25Z", p),
                        "Tue, 31 Mar 2026 12:00:06 GMT");
    assert_null(cs_sf_guard("W/\"123\"", p));
    assert_null(cs_sf_guard("x/y", p));
    assert_null(cs_sf_guard("", p));
    assert_null(cs_sf_guard(NULL, p));
    assert_null(cs_sf_version(sf_json("{\"LastModifiedDate\":\"" STAMP "\"}", p), 0, &is_young,
                              &modified, p));
    assert_null(cs_sf_version(sf_json("{\"SystemModstamp\":\"yesterday\"}", p), 0, &is_young,
                              &modified, p));
    assert_non_null(cs_sf_version(sf_json("{\"SystemModstamp\":\"" STAMP "\"}", p), 0, &is_young,
                                  &modified, p));
}

static void test_instants(void **state)
{
    static const char *const none[] = {
        "2026-03-31",          "2026-03-31 12:00:00",      "x" STAMP, STAMP "x",
        "2026-03-31T12:00:00", "2026-03-31T12:00:00+0100", ""};
    apr_pool_t *p = *state;

    assert_string_equal(cs_sf_instant(STAMP, p), "2026-03-31T12:00:00Z");
    assert_string_equal(cs_sf_instant("2026-03-31T12:00:00.120+0000", p),
                        "2026-03-31T12:00:00.12Z");
    assert_string_equal(cs_sf_instant("2026-03-31T12:00:00Z", p), "2026-03-31T12:00:00Z");
    assert_string_equal(cs_sf_instant("2026-03-31T12:00:00+00:00", p), "2026-03-31T12:00:00Z");
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_null(cs_sf_instant(none[i], p));
    }
    assert_null(cs_sf_instant(NULL, p));
}

/* ---- rows ---- */

#define TIMES "\"SystemModstamp\":\"" STAMP "\",\"LastModifiedDate\":\"" STAMP "\","

static cs_record_t *record(const char *row, const char *columns, const char *lookup, apr_pool_t *p)
{
    apr_array_header_t *lookups = apr_array_make(p, 1, sizeof(cs_crm_lookup_t));

    if (lookup) {
        APR_ARRAY_PUSH(lookups, cs_crm_lookup_t) = (cs_crm_lookup_t){lookup, NULL};
    }
    return cs_sf_record(sf_json(row, p), "Opportunity", sf_words(p, columns), lookups,
                        at("2026-04-01T00:00:00Z"), p);
}

static void test_record(void **state)
{
    apr_pool_t *p = *state;
    cs_record_t *r =
        record("{\"attributes\":{\"type\":\"Opportunity\"},\"Id\":\"006000000000001\"," TIMES
               "\"Name\":\"a\\r\\nb\\rc\",\"Amount\":50000.25,\"CloseDate\":\"2026-03-31\","
               "\"CreatedDate\":\"2026-03-31T12:00:00.000+0000\",\"IsClosed\":true,\"IsWon\":false,"
               "\"AccountId\":\"001A0000006Vm9u\",\"Account\":{\"attributes\":{},\"Name\":\"Fab\","
               "\"OwnerId\":\"005000000000001AAA\",\"BillingAddress\":{\"city\":\"x\"}},"
               "\"OwnerId\":\"005000000000001AAA\",\"Up__c\":\"" ACC "\",\"Text__c\":\"" ACC "\","
               "\"ContactId\":null,\"Contact\":null,\"BillingAddress\":{\"city\":\"x\"},"
               "\"Extra\":\"not asked for\"}",
               "Id Name Amount CloseDate CreatedDate $state IsWon AccountId/Name AccountId/OwnerId "
               "AccountId/Missing OwnerId Up__c Text__c ContactId/Email BillingAddress Gone__c",
               "Up__c", p);

    assert_non_null(r);
    assert_string_equal(r->table, "Opportunity");
    assert_string_equal(r->id, OPP);
    assert_false(r->young);
    assert_true(r->modified == at("2026-03-31T12:00:00Z"));
    assert_json(r->row,
                "{\"Id\":\"" OPP "\",\"Name\":\"a\\nb\\nc\",\"Amount\":50000.25,\"CloseDate\":"
                "\"2026-03-31\",\"CreatedDate\":\"2026-03-31T12:00:00Z\",\"$state\":2,\"IsWon\":"
                "false,\"AccountId\":{\"id\":\"" ACC "\",\"Name\":\"Fab\",\"OwnerId\":{\"id\":"
                "\"005000000000001AAA\"}},\"OwnerId\":{\"id\":\"005000000000001AAA\"},\"Up__c\":"
                "{\"id\":\"" ACC "\"},\"Text__c\":\"" ACC "\",\"ContactId\":null}",
                p);
}

static void test_states(void **state)
{
    static const struct {
        const char *row, *out;
    } table[] = {
        {"\"IsClosed\":false,\"IsWon\":false", "{\"$state\":0}"},
        {"\"IsClosed\":true,\"IsWon\":true", "{\"$state\":1}"},
        {"\"IsClosed\":true,\"IsWon\":false", "{\"$state\":2}"},
        {"\"IsClosed\":true", "{}"},
        {"\"IsWon\":true", "{}"},
        {"\"IsConverted\":true", "{\"$state\":1}"},
        {"\"IsConverted\":false", "{\"$state\":0}"},
        {"\"IsConverted\":\"yes\"", "{}"},
        {"\"X\":1", "{}"},
    };
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_record_t *r =
            record(apr_pstrcat(p, "{\"Id\":\"" OPP "\"," TIMES, table[i].row, "}", NULL), "$state",
                   NULL, p);

        assert_json(r->row, table[i].out, p);
    }
    assert_null(record("{" TIMES "\"Name\":\"x\"}", "Name", NULL, p));
    assert_null(record("{\"Id\":\"006\"," TIMES "\"Name\":\"x\"}", "Name", NULL, p));
    assert_null(record("{\"Id\":\"" OPP "\"}", "Name", NULL, p));
}

/* ---- bodies ---- */

static void test_bodies(void **state)
{
    static const struct {
        const char *row, *body;
    } table[] = {
        {"{}", "{}"},
        {"{\"Name\":\"a\\nb\\\"\",\"Amount\":{\"$number\":\"50000.00\"},\"A\":null,\"B\":true}",
         "{\"Name\":\"a\\nb\\\"\",\"Amount\":50000.00,\"A\":null,\"B\":true}"},
        {"{\"AccountId\":{\"$ref\":{\"table\":\"Account\",\"id\":\"001A0000006Vm9u\"}}}",
         "{\"AccountId\":\"" ACC "\"}"},
        {"{\"Id\":\"x\",\"Key__c\":\"k\",\"Name\":\"n\"}", "{\"Name\":\"n\"}"},
    };
    static const char *const bad[] = {
        "{\"Na\\\"me\":1}",
        "{\"$state\":1}",
        "{\"AccountId/Name\":\"x\"}",
        "{\"A\":{\"$number\":\"1e5\"}}",
        "{\"A\":{\"$number\":\"1,\\\"x\\\":2\"}}",
        "{\"A\":{\"$number\":1}}",
        "{\"A\":{\"$number\":\"01\"}}",
        "{\"A\":{\"$ref\":{\"table\":\"Account\",\"id\":\"00000000-dead-4000-8000-000000000000\"}}"
        "}",
        "{\"A\":{\"$choice\":\"x\"}}",
        "{\"A\":[1]}",
    };
    apr_pool_t *p = *state;
    json_t *key = sf_json("{\"Key__c\":\"k\"}", p);
    const char *body;
    cs_result_t res;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_ok(cs_sf_body(&body, sf_json(table[i].row, p), key, p, &res));
        assert_string_equal(body, table[i].body);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cs_sf_body(&body, sf_json(bad[i], p), NULL, p, &res), CS_EPARSE);
        sf_expect(&res, CS_CLASS_SUSPEND, "config:column");
        assert_null(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_ids),      UNIT_TEST(test_names),      UNIT_TEST(test_quote),
        UNIT_TEST(test_fields),   UNIT_TEST(test_conditions), UNIT_TEST(test_versions),
        UNIT_TEST(test_instants), UNIT_TEST(test_record),     UNIT_TEST(test_states),
        UNIT_TEST(test_bodies),
    };

    return UNIT_RUN(tests);
}
