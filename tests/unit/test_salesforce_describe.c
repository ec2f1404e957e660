/* Descriptions of tables, put together from what the organisation answers. (crm-apis.md B8) */
#include "unit_salesforce_parts.h"

#define FIELD(name, type, more)                                                                    \
    "{\"name\":\"" name "\",\"label\":\"" name " label\",\"type\":\"" type                         \
    "\",\"createable\":true,\"updateable\":true" more "}"
#define PICK(value, label, active)                                                                 \
    "{\"active\":" active ",\"defaultValue\":false,\"label\":\"" label "\",\"value\":\"" value "\"}"

static const char opportunity[] =
    "200 OK\r\n\r\n{\"name\":\"Opportunity\",\"label\":\"Chance\",\"keyPrefix\":\"006\",\"fields\":["
    "{\"name\":\"Id\",\"label\":\"ID\",\"type\":\"id\",\"length\":18,\"createable\":false,"
    "\"updateable\":false,\"idLookup\":true}," FIELD(
        "Name", "string",
        ",\"nameField\":true,\"length\":120") "," FIELD("StageName", "picklist",
                                                        ",\"picklistValues\":[" PICK(
                                                            "Prospecting", "Suche",
                                                            "true") "," PICK("Old", "Alt",
                                                                             "true") "," PICK("Gone",
                                                                                              "Weg",
                                                                                              "false") ","
    PICK("Closed Won", "Gewonnen", "true") "," PICK("Closed Lost", "Verloren", "true") "," PICK(
        "Own", "Own", "true") "]") ","
    FIELD("Amount", "currency", ",\"scale\":2,\"precision\":18") ","
    FIELD("Probability", "percent", ",\"scale\":0,\"precision\":3") ","
    FIELD("Quantity", "double", ",\"scale\":3") "," FIELD("Fiscal", "int", "") ","
    FIELD("CloseDate", "date", "") "," FIELD("CreatedDate", "datetime", "") ","
    FIELD("Description", "textarea", ",\"length\":32000") ","
    FIELD("Street", "textarea", ",\"length\":255") ","
    FIELD("Mail", "email", ",\"length\":80") ","
    FIELD("AccountId", "reference", ",\"referenceTo\":[\"Account\"]") ","
    FIELD("OwnerId", "reference", ",\"referenceTo\":[\"User\",\"Group\"]") ","
    FIELD("Ref__c", "string", ",\"length\":36,\"externalId\":true,\"unique\":true") ","
    FIELD("Number__c", "string", ",\"length\":30,\"autoNumber\":true,\"unique\":true") ","
    FIELD("Sum__c", "currency", ",\"calculated\":true") ","
    FIELD("Help__c", "multipicklist", ",\"picklistValues\":[" PICK("a", "A b", "true") "]") ","
    FIELD("Where__c", "location", "") ",{\"label\":\"nameless\"},{\"name\":\"no-name\"}],"
    "\"recordTypeInfos\":[{\"active\":true,\"available\":true,\"developerName\":\"Master\",\"master\":true},"
    "{\"active\":true,\"available\":true,\"developerName\":\"Services\"},{\"active\":false,\"available\":true,"
    "\"developerName\":\"Old\"},{\"active\":true,\"available\":false,\"developerName\":\"Others\"},{\"active\":true}]}";

static const char stages[] =
    "200 OK\r\n\r\n{\"totalSize\":5,\"done\":true,\"records\":["
    "{\"ApiName\":\"Prospecting\",\"MasterLabel\":\"Searching\",\"IsActive\":true,\"IsClosed\":false,"
    "\"IsWon\":false},"
    "{\"ApiName\":\"Old\",\"MasterLabel\":\"Old\",\"IsActive\":false,\"IsClosed\":false,\"IsWon\":"
    "false},"
    "{\"ApiName\":\"Closed Won\",\"MasterLabel\":\"Closed Won\",\"IsActive\":true,\"IsClosed\":true,"
    "\"IsWon\":true},"
    "{\"ApiName\":\"Closed Lost\",\"MasterLabel\":\"Closed Lost\",\"IsActive\":true,\"IsClosed\":true,"
    "\"IsWon\":false}]}";

static const char lead[] =
    "200 OK\r\n\r\n{\"label\":\"Lead\",\"fields\":[" FIELD(
        "Status", "picklist",
        ",\"picklistValues\":[" PICK("Open", "Open", "true") "," PICK("Qualified", "Open",
                                                                       "true") "," PICK("Done", "Qualified",
                                                                                        "true") "]") "]}";

static const char statuses[] =
    "200 OK\r\n\r\n{\"totalSize\":3,\"done\":true,\"records\":["
    "{\"ApiName\":\"Open\",\"MasterLabel\":\"Open\",\"IsConverted\":false},"
    "{\"ApiName\":\"Done\",\"MasterLabel\":\"Done\",\"IsConverted\":true}]}";

static const char plain[] = "200 OK\r\n\r\n{\"label\":\"Plain\",\"fields\":[" FIELD(
    "On__c", "boolean", "") "]}";

/* What some paths are answered instead. */
typedef struct org_t {
    const char *at, *answer;
    apr_pool_t *p;
} org_t;

static const char *each(canned_t *c, const char *method, const char *path, apr_pool_t *p)
{
    const org_t *org = c->baton;

    (void)p;
    assert_string_equal(method, "GET");
    if (org->at && strstr(path, org->at)) {
        return org->answer;
    }
    if (!strcmp(path, "sobjects/Opportunity/describe")) {
        return opportunity;
    }
    if (!strcmp(path, "sobjects/Lead/describe")) {
        return lead;
    }
    if (!strncmp(path, "sobjects/Plain", 14)) {
        return plain;
    }
    return strstr(path, " FROM OpportunityStage ")  ? stages
           : strstr(path, " FROM LeadStatus ") ? statuses
                                               : NULL;
}

static const char *answer(canned_t *c, const canned_op_t *op)
{
    return sf_dispatch(c, op, each, ((org_t *)c->baton)->p);
}

static json_t *describe(sf_rig_t *r, const char *tables, int calls, apr_pool_t *p)
{
    json_t *document;
    cs_result_t res;
    int n;

    if (cs_sf_describe(&r->crm, sf_words(p, tables), &document, &n, 0, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    assert_int_equal(n, calls);
    return document;
}

static json_t *column(json_t *document, const char *table, const char *name)
{
    json_t *all = cs_json_get(cs_json_get(cs_json_get(document, "tables"), table), "columns");
    json_t *one = cs_json_get(all, name);

    if (!one) {
        fail_msg("no column %s of %s", name, table);
    }
    return one;
}

#define RIGHTS "\"create\":true,\"update\":true,\"read\":true"

static void test_a_table(void **state)
{
    apr_pool_t *p = *state;
    org_t org = {.p = unit_pool_apart(p)};
    sf_rig_t *r = sf_rig(answer, &org, p);
    json_t *d = describe(r, "Opportunity", 1, p), *t;

    assert_int_equal(r->server->n_requests, 1);
    assert_string_equal(cs_json_str(d, "user"), SF_USER);
    t = cs_json_get(cs_json_get(d, "tables"), "Opportunity");
    assert_string_equal(cs_json_str(t, "label"), "Chance");
    assert_string_equal(cs_json_str(t, "key"), "Id");
    assert_string_equal(cs_json_str(t, "name"), "Name");
    assert_json(cs_json_get(t, "keys"),
                "[{\"columns\":[\"Ref__c\"],\"active\":true},{\"columns\":[\"Number__c\"],"
                "\"active\":true}]",
                p);
    assert_json(cs_json_get(t, "record_types"), "[\"Master\",\"Services\"]", p);
    assert_int_equal(json_object_size(cs_json_get(t, "columns")), 20);
    canned_stop(r->server);
}

static void test_columns(void **state)
{
    static const struct {
        const char *name, *json;
    } expected[] = {
        {"Id", "{\"label\":\"ID\",\"type\":\"id\",\"create\":false,\"update\":false,\"read\":true}"},
        {"Name", "{\"label\":\"Name label\",\"type\":\"text\",\"max\":120," RIGHTS "}"},
        {"Amount", "{\"label\":\"Amount label\",\"type\":\"money\",\"precision\":2," RIGHTS "}"},
        {"Probability",
         "{\"label\":\"Probability label\",\"type\":\"decimal\",\"precision\":0," RIGHTS "}"},
        {"Quantity",
         "{\"label\":\"Quantity label\",\"type\":\"decimal\",\"precision\":3," RIGHTS "}"},
        {"Fiscal", "{\"label\":\"Fiscal label\",\"type\":\"integer\"," RIGHTS "}"},
        {"CloseDate", "{\"label\":\"CloseDate label\",\"type\":\"date\"," RIGHTS "}"},
        {"CreatedDate", "{\"label\":\"CreatedDate label\",\"type\":\"instant\"," RIGHTS "}"},
        {"Description",
         "{\"label\":\"Description label\",\"type\":\"memo\",\"max\":32000," RIGHTS "}"},
        {"Street", "{\"label\":\"Street label\",\"type\":\"text\",\"max\":255," RIGHTS "}"},
        {"Mail", "{\"label\":\"Mail label\",\"type\":\"text\",\"max\":80," RIGHTS "}"},
        {"AccountId",
         "{\"label\":\"AccountId label\",\"type\":\"look-up\",\"targets\":[\"Account\"]," RIGHTS "}"},
        {"OwnerId", "{\"label\":\"OwnerId label\",\"type\":\"look-up\",\"targets\":[\"User\","
                    "\"Group\"]," RIGHTS "}"},
        {"Number__c", "{\"label\":\"Number__c label\",\"type\":\"text\",\"max\":30,\"calculated\":"
                      "true," RIGHTS "}"},
        {"Sum__c", "{\"label\":\"Sum__c label\",\"type\":\"money\",\"calculated\":"
                   "true," RIGHTS "}"},
        {"Help__c", "{\"label\":\"Help__c label\",\"type\":\"choices\",\"options\":[{\"value\":\"a\","
                    "\"label\":\"A b\",\"labels\":[\"A b\",\"a\"]}]," RIGHTS "}"},
        {"Where__c", "{\"label\":\"Where__c label\",\"type\":\"other\"," RIGHTS "}"},
        {"$state", "{\"type\":\"integer\",\"create\":false,\"update\":false,\"read\":true}"},
    };
    apr_pool_t *p = *state;
    org_t org = {.p = unit_pool_apart(p)};
    sf_rig_t *r = sf_rig(answer, &org, p);
    json_t *d = describe(r, "Opportunity Plain", 1, p);

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_json(column(d, "Opportunity", expected[i].name), expected[i].json, p);
    }
    assert_json(column(d, "Plain", "On__c"),
                "{\"label\":\"On__c label\",\"type\":\"flag\",\"options\":[{\"value\":false,"
                "\"label\":\"False\",\"labels\":[\"False\",\"No\"]},{\"value\":true,\"label\":\"True\","
                "\"labels\":[\"True\",\"Yes\"]}]," RIGHTS "}",
                p);
    assert_null(cs_json_pointer(d, "/tables/Plain/columns/$state"));
    canned_stop(r->server);
}

static void test_stages_have_states(void **state)
{
    apr_pool_t *p = *state;
    org_t org = {.p = unit_pool_apart(p)};
    sf_rig_t *r = sf_rig(answer, &org, p);
    json_t *d = describe(r, "Opportunity Lead", 1, p);

    /* What is not active is not offered, be it of the column or of the stages. */
    assert_json(cs_json_get(column(d, "Opportunity", "StageName"), "options"),
                "[{\"value\":\"Prospecting\",\"label\":\"Suche\",\"labels\":[\"Suche\",\"Searching\","
                "\"Prospecting\"],\"state\":0},"
                "{\"value\":\"Closed Won\",\"label\":\"Gewonnen\",\"labels\":[\"Gewonnen\",\"Closed "
                "Won\"],\"state\":1},"
                "{\"value\":\"Closed Lost\",\"label\":\"Verloren\",\"labels\":[\"Verloren\",\"Closed "
                "Lost\"],\"state\":2},"
                "{\"value\":\"Own\",\"label\":\"Own\",\"labels\":[\"Own\"]}]",
                p);
    /* A value is no name of its choice where another choice is called that. */
    assert_json(cs_json_get(column(d, "Lead", "Status"), "options"),
                "[{\"value\":\"Open\",\"label\":\"Open\",\"labels\":[\"Open\"],\"state\":0},"
                "{\"value\":\"Qualified\",\"label\":\"Open\",\"labels\":[\"Open\"]},"
                "{\"value\":\"Done\",\"label\":\"Qualified\",\"labels\":[\"Qualified\",\"Done\"],"
                "\"state\":1}]",
                p);
    canned_stop(r->server);
}

static void test_stages_that_cannot_be_read(void **state)
{
    apr_pool_t *p = *state;
    org_t org = {"FROM OpportunityStage",
                 "400 Bad Request\r\n\r\n[{\"errorCode\":\"INVALID_TYPE\",\"message\":\"sObject type "
                 "'OpportunityStage' is not supported.\"}]",
                 p};
    sf_rig_t *r = sf_rig(answer, &org, p);
    json_t *options = cs_json_get(column(describe(r, "Opportunity", 1, p), "Opportunity",
                                         "StageName"),
                                  "options");

    assert_int_equal(json_array_size(options), 5);
    assert_null(cs_json_get(json_array_get(options, 0), "state"));
    canned_stop(r->server);
}

static void test_tables_that_are_not_there(void **state)
{
    apr_pool_t *p = *state;
    org_t org = {.p = unit_pool_apart(p)};
    sf_rig_t *r = sf_rig(answer, &org, p);
    json_t *d = describe(r, "Nothing__c Plain bad-name", 1, p), *tables = cs_json_get(d, "tables");

    assert_int_equal(json_object_size(tables), 1);
    assert_non_null(cs_json_get(tables, "Plain"));
    d = describe(r, "", 0, p);
    assert_json(cs_json_get(d, "tables"), "{}", p);
    canned_stop(r->server);
}

/* Descriptions are long: eight go together. */
static void test_many_tables(void **state)
{
    apr_pool_t *p = *state;
    org_t org = {.p = unit_pool_apart(p)};
    sf_rig_t *r = sf_rig(answer, &org, p);
    json_t *d = describe(r, "Plain1 Plain2 Plain3 Plain4 Plain5 Plain6 Plain7 Plain8 Opportunity", 2, p);

    assert_int_equal(json_object_size(cs_json_get(d, "tables")), 9);
    assert_int_equal(r->server->n_requests, 2);
    assert_non_null(strstr(r->server->ops[1].body, "OpportunityStage"));
    assert_null(strstr(r->server->ops[0].body, "OpportunityStage"));
    canned_stop(r->server);
}

static void test_trouble_of_the_moment_tells_nothing(void **state)
{
    static const struct {
        const char *at, *answer;
        cs_class_e cls;
    } cases[] = {
        {"Plain", "503 Service Unavailable\r\n\r\n[{\"errorCode\":\"SERVER_UNAVAILABLE\"}]",
         CS_CLASS_RETRY},
        {"Plain",
         "403 Forbidden\r\n\r\n[{\"errorCode\":\"REQUEST_LIMIT_EXCEEDED\",\"message\":"
         "\"TotalRequests Limit exceeded.\"}]",
         CS_CLASS_SUSPEND},
        {"Plain", "200 OK\r\n\r\n{\"label\":\"x\"}", CS_CLASS_RETRY},
        {"FROM OpportunityStage", "200 OK\r\n\r\n{}", CS_CLASS_RETRY},
    };
    apr_pool_t *p = *state;
    json_t *document;
    cs_result_t res;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        org_t org = {cases[i].at, cases[i].answer, p};
        sf_rig_t *r = sf_rig(answer, &org, p);
        int n;

        assert_true(cs_sf_describe(&r->crm, sf_words(p, "Opportunity Plain"), &document, &n, 0, p,
                                   &res) != APR_SUCCESS);
        sf_expect(&res, cases[i].cls, NULL);
        assert_null(document);
        canned_stop(r->server);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_table),
        UNIT_TEST(test_columns),
        UNIT_TEST(test_stages_have_states),
        UNIT_TEST(test_stages_that_cannot_be_read),
        UNIT_TEST(test_tables_that_are_not_there),
        UNIT_TEST(test_many_tables),
        UNIT_TEST(test_trouble_of_the_moment_tells_nothing),
    };

    UNIT_RUN(tests);
}
