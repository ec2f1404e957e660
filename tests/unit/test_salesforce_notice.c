/* What Salesforce posts: outbound messages and the JSON of a Flow. (crm-apis.md B12, B13) */
#include "unit.h"

#include "mod_cosell/remote/salesforce/client.h"

#define ORG "00D000000000062EAA"
#define OPP "006000000000001AAA"
#define OPP2 "006000000000002AAA"
#define MIXED "006Ab00000cDeFgIAK" /* what follows from 006Ab00000cDeFg */
#define LEAD "00Q000000000001EAA"
#define ACCOUNT "001000000000001AAA"
#define CHILD "a01000000000001AAA"
#define AT 1769853600 /* 2026-01-31T10:00:00Z */

#define MESSAGE(parts)                                                                             \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                                                 \
    "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" "               \
    "xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "                                              \
    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n"                                   \
    " <soapenv:Body>\n"                                                                            \
    "  <notifications xmlns=\"http://soap.sforce.com/2005/09/outbound\">\n" parts                  \
    "  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>"
#define HEAD(org)                                                                                  \
    "<OrganizationId>" org "</OrganizationId>\n<ActionId>04k000000000001AAA</ActionId>\n"          \
    "<SessionId xsi:nil=\"true\"/>\n<EnterpriseUrl>https://x/c/67.0</EnterpriseUrl>\n"             \
    "<PartnerUrl>https://x/u/67.0</PartnerUrl>\n"
#define NOTIFICATION(type, fields)                                                                 \
    "<Notification><Id>04l000000000001AAA</Id><sObject xsi:type=\"sf:" type                        \
    "\" xmlns:sf=\"urn:sobject.enterprise.soap.sforce.com\">" fields "</sObject></Notification>\n"
#define FIELD(name, value) "<sf:" name ">" value "</sf:" name ">"
#define ROW(type, id) NOTIFICATION(type, FIELD("Id", id))

static apr_array_header_t *watch(apr_pool_t *p)
{
    static const struct {
        const char *table;
        int record;
        const char *parent;
    } tables[] = {{"Opportunity", 1, NULL},
                  {"Lead", 1, NULL},
                  {"Account", 0, NULL},
                  {"Microsoft_Solution__c", 0, "Opportunity__c"}};
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(cs_watched_t));

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        cs_watched_t *one = apr_array_push(list);
        apr_array_header_t *parents = apr_array_make(p, 1, sizeof(const char *));

        if (tables[i].parent) {
            APR_ARRAY_PUSH(parents, const char *) = tables[i].parent;
        }
        one->table = tables[i].table;
        one->record = tables[i].record;
        one->columns = one->parents = parents;
    }
    return list;
}

static const char *header_of(void *baton, const char *name)
{
    return strcasecmp(name, "Content-Type") ? NULL : baton;
}

static apr_status_t decode(cs_crm_notice_t *n, const char *type, const char *body, cs_result_t *res,
                           apr_pool_t *p)
{
    void *exact = unit_exact(body, strlen(body));
    cs_crm_request_t request = {header_of, (void *)type, exact, strlen(body)};
    apr_status_t rv;

    memset(res, 0, sizeof(*res));
    rv = cs_sf_notice(n, &request, watch(p), p, res);
    free(exact);
    assert_true(rv == APR_SUCCESS || (res->detail && rv == CS_EPARSE && !n->rows->nelts));
    return rv;
}

/* Rows as "table id[ deleted][ @seconds]", one a line. */
static const char *rows_of(const cs_crm_notice_t *n, apr_pool_t *p)
{
    const char *text = "";

    for (int i = 0; i < n->rows->nelts; i++) {
        const cs_crm_noticed_t *row = &APR_ARRAY_IDX(n->rows, i, cs_crm_noticed_t);

        text = apr_psprintf(p, "%s%s%s %s%s", text, i ? "\n" : "", row->table, row->id,
                            row->deleted ? " deleted" : "");
        if (row->at) {
            text = apr_psprintf(p, "%s @%" APR_TIME_T_FMT, text, apr_time_sec(row->at) - AT);
            assert_int_equal(row->at % APR_USEC_PER_SEC, 0);
        }
    }
    return text;
}

static void good(const char *type, const char *body, const char *event, const char *rows,
                 const char *problem, apr_pool_t *p)
{
    cs_crm_notice_t n;
    cs_result_t res;

    if (decode(&n, type, body, &res, p) != APR_SUCCESS) {
        fail_msg("%s: %s", body, res.detail);
    }
    assert_string_equal(n.event, event);
    assert_string_equal(rows_of(&n, p), rows);
    if (problem) {
        assert_string_equal(n.problem, problem);
    }
    else {
        assert_null(n.problem);
    }
}

static void soap(const char *body, const char *rows, const char *problem, apr_pool_t *p)
{
    good("text/xml; charset=UTF-8", body, "outbound-message", rows, problem, p);
}

static void flow(const char *body, const char *rows, const char *problem, apr_pool_t *p)
{
    good("application/json", body, "flow", rows, problem, p);
}

static void bad(const char *type, const char *body, const char *detail, apr_pool_t *p)
{
    cs_crm_notice_t n;
    cs_result_t res;

    assert_int_equal(decode(&n, type, body, &res, p), CS_EPARSE);
    if (!strstr(res.detail, detail)) {
        fail_msg("\"%s\", expected \"...%s...\"", res.detail, detail);
    }
    assert_int_equal(res.cls, CS_CLASS_REFUSED);
}

/* ---- outbound messages ---- */

static void test_a_message(void **state)
{
    apr_pool_t *p = *state;
    cs_crm_notice_t n;
    cs_result_t res;

    soap(MESSAGE(HEAD(ORG) NOTIFICATION(
             "Opportunity", FIELD("Id", OPP) FIELD("Amount", "1200.0")
                                FIELD("LastModifiedById", "005000000000001AAA")
                                    FIELD("LastModifiedDate", "2026-01-31T09:59:58.000Z")
                                        FIELD("SystemModstamp", "2026-01-31T10:00:01.000Z"))),
         "Opportunity " OPP " @-2", NULL, p);
    assert_ok(decode(&n, "text/xml", MESSAGE(HEAD(ORG) ROW("Opportunity", OPP)), &res, p));
    assert_string_equal(n.organization, ORG);
    assert_ok(decode(&n, "text/xml", MESSAGE(HEAD("00D000000000062") ROW("Lead", LEAD)), &res, p));
    assert_string_equal(n.organization, ORG);
    /* Without its type by how it begins. */
    good(NULL, MESSAGE(HEAD(ORG) ROW("Opportunity", OPP)), "outbound-message",
         "Opportunity " OPP, NULL, p);
    good(NULL, "\xef\xbb\xbf" MESSAGE(HEAD(ORG)), "outbound-message", "", NULL, p);
}

static void test_many_notifications(void **state)
{
    apr_pool_t *p = *state;
    const char *parts = "", *rows = "", *id;

    soap(MESSAGE(HEAD(ORG) ROW("Opportunity", OPP) ROW("Lead", LEAD) ROW("Account", ACCOUNT)
                     ROW("Opportunity", OPP)),
         "Opportunity " OPP "\nLead " LEAD "\nAccount " ACCOUNT, NULL, p);
    for (int i = 0; i < 200; i++) {
        id = cs_sf_id(apr_psprintf(p, "006%012d", i), p);
        parts = apr_psprintf(p, "%s" ROW("Opportunity", "%s"), parts, id);
        rows = apr_psprintf(p, "%s%sOpportunity %s", rows, i ? "\n" : "", id);
    }
    soap(apr_psprintf(p, MESSAGE(HEAD(ORG) "%s"), parts), rows, NULL, p);
    bad("text/xml", apr_psprintf(p, MESSAGE(HEAD(ORG) "%s" ROW("Lead", LEAD)), parts),
        "too many notifications; allowed are at most 200", p);
}

static void test_ids_are_folded(void **state)
{
    apr_pool_t *p = *state;

    soap(MESSAGE(HEAD(ORG) ROW("Opportunity", "006Ab00000cDeFg") ROW("Opportunity", MIXED)),
         "Opportunity " MIXED, NULL, p);
    /* The case of an id was lost: it would be another row's. */
    bad("text/xml", MESSAGE(HEAD(ORG) ROW("Opportunity", "006ab00000cdefgIAK")),
        "Id is \"006ab00000cdefgIAK\"; allowed are the 15 or 18 characters", p);
    bad("text/xml", MESSAGE(HEAD(ORG) ROW("Opportunity", "x\"&lt;\xc3\xa4>")),
        "Id is \"x?<\?\?>\"; allowed", p);
    bad("text/xml", MESSAGE(HEAD("00D") ROW("Opportunity", OPP)), "OrganizationId is \"00D\"", p);
}

static void test_times(void **state)
{
    apr_pool_t *p = *state;

    soap(MESSAGE(HEAD(ORG) NOTIFICATION(
             "Opportunity",
             FIELD("Id", OPP) FIELD("LastModifiedDate", "2026-01-31T10:00:05.999Z"))),
         "Opportunity " OPP " @5", NULL, p);
    soap(MESSAGE(HEAD(ORG) NOTIFICATION(
             "Opportunity", FIELD("Id", OPP) FIELD("SystemModstamp", "yesterday"))),
         "Opportunity " OPP, NULL, p);
    /* Of two messages about a row the newer one counts. */
    soap(MESSAGE(HEAD(ORG) NOTIFICATION(
             "Opportunity", FIELD("Id", OPP) FIELD("SystemModstamp", "2026-01-31T10:00:09.000Z"))
                     NOTIFICATION("Opportunity",
                                  FIELD("Id", OPP)
                                      FIELD("SystemModstamp", "2026-01-31T10:00:07.000Z"))),
         "Opportunity " OPP " @9", NULL, p);
}

static void test_prefixes_are_the_senders_choice(void **state)
{
    soap("<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Header><a/></e:Header>"
         "<e:Body><n:notifications xmlns:n='http://soap.sforce.com/2005/09/outbound'>"
         "<n:OrganizationId>" ORG "</n:OrganizationId><n:Notification><n:sObject "
         "xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:type='o:Opportunity' "
         "xmlns:o='urn:sobject.partner.soap.sforce.com'><o:Id>" OPP "</o:Id><n:Id>" OPP2
         "</n:Id></n:sObject></n:Notification></n:notifications></e:Body></e:Envelope>",
         "Opportunity " OPP, NULL, *state);
}

static void test_parents(void **state)
{
    apr_pool_t *p = *state;

    soap(MESSAGE(HEAD(ORG) NOTIFICATION("Microsoft_Solution__c",
                                        FIELD("Id", CHILD) FIELD("Opportunity__c", OPP)
                                            FIELD("SystemModstamp", "2026-01-31T10:00:02.000Z"))),
         "Microsoft_Solution__c " CHILD " @2\nOpportunity " OPP, NULL, p);
    /* Not a record of ours; moved to nobody; a look-up of another table. */
    soap(MESSAGE(HEAD(ORG) NOTIFICATION("Microsoft_Solution__c", FIELD("Id", CHILD) FIELD(
                                                                     "Opportunity__c", ACCOUNT))),
         "Microsoft_Solution__c " CHILD, NULL, p);
    soap(MESSAGE(HEAD(ORG) NOTIFICATION("Microsoft_Solution__c",
                                        FIELD("Id", CHILD) "<sf:Opportunity__c/>")),
         "Microsoft_Solution__c " CHILD, NULL, p);
    soap(MESSAGE(HEAD(ORG)
                     NOTIFICATION("Account", FIELD("Id", ACCOUNT) FIELD("Opportunity__c", OPP))),
         "Account " ACCOUNT, NULL, p);
    bad("text/xml",
        MESSAGE(HEAD(ORG) NOTIFICATION("Microsoft_Solution__c",
                                       FIELD("Id", CHILD) FIELD("Opportunity__c", "none"))),
        "Opportunity__c is \"none\"", p);
}

/* An object of the customer's own whose ids tell nothing, but no other record can be meant. */
static void test_a_parent_of_the_customers_own(void **state)
{
    apr_pool_t *p = *state;
    apr_array_header_t *parents = apr_array_make(p, 1, sizeof(const char *)),
                       *list = apr_array_make(p, 2, sizeof(cs_watched_t));
    const char *body = MESSAGE(
        HEAD(ORG) NOTIFICATION("Part__c", FIELD("Id", CHILD) FIELD("Deal__c", "a02000000000001")));
    cs_crm_request_t request = {header_of, "text/xml", body, strlen(body)};
    cs_crm_notice_t n;
    cs_result_t res;

    APR_ARRAY_PUSH(parents, const char *) = "Deal__c";
    APR_ARRAY_PUSH(list, cs_watched_t) = (cs_watched_t){"Opportunity", 1, NULL, NULL};
    APR_ARRAY_PUSH(list, cs_watched_t) = (cs_watched_t){"Deal__c", 1, NULL, NULL};
    APR_ARRAY_PUSH(list, cs_watched_t) = (cs_watched_t){"Part__c", 0, parents, parents};
    assert_ok(cs_sf_notice(&n, &request, list, p, &res));
    assert_string_equal(rows_of(&n, p), "Part__c " CHILD "\nDeal__c a02000000000001AAA");
    APR_ARRAY_PUSH(list, cs_watched_t) = (cs_watched_t){"Order__c", 1, NULL, NULL};
    assert_ok(cs_sf_notice(&n, &request, list, p, &res));
    assert_string_equal(rows_of(&n, p), "Part__c " CHILD);
    assert_ok(cs_sf_notice(&n, &request, NULL, p, &res));
    assert_string_equal(n.problem, "1 row of tables that no deal shows left out: Part__c");
}

static void test_tables_that_nobody_watches(void **state)
{
    apr_pool_t *p = *state;

    soap(MESSAGE(HEAD(ORG) ROW("Task", "00T000000000001AAA") ROW("Opportunity", OPP)
                     ROW("Task", "00T000000000002AAA") ROW("Case", "500000000000001AAA")),
         "Opportunity " OPP, "3 rows of tables that no deal shows left out: Task,Case", p);
    flow("[{\"id\":\"" OPP "\"},{\"id\":\"005000000000001AAA\"}]", "Opportunity " OPP,
         "1 row of tables that no deal shows left out: User", p);
}

static void test_sessions_are_not_looked_at(void **state)
{
    apr_pool_t *p = *state;

    soap(MESSAGE("<SessionId>00D!secret</SessionId>" HEAD(ORG) ROW("Opportunity", OPP)),
         "Opportunity " OPP, NULL, p);
    soap(MESSAGE("<SessionId><x>00D!secret</x></SessionId>" HEAD(ORG) ROW("Opportunity", OPP)),
         "Opportunity " OPP, NULL, p);
}

static void test_what_is_no_message(void **state)
{
    apr_pool_t *p = *state;

    bad("text/xml", "", "no element found", p);
    bad("text/xml", "{\"id\":\"" OPP "\"}", "line 1, column 1", p);
    bad("text/xml", "<notifications/>", "no SOAP envelope of an outbound message", p);
    bad("text/xml", "<Envelope xmlns='http://www.w3.org/2003/05/soap-envelope'/>",
        "no SOAP envelope", p);
    bad("text/xml", "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body/></Envelope>",
        "the envelope holds no notifications", p);
    bad("text/xml",
        "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body><Fault/></Body>"
        "</Envelope>",
        "the envelope holds \"Fault\"; allowed is notifications of http://soap.sforce.com/", p);
    bad("text/xml", MESSAGE(ROW("Opportunity", OPP)), "the message has no OrganizationId", p);
    bad("text/xml", MESSAGE(HEAD(ORG) NOTIFICATION("Opportunity", "")), "the sObject has no Id", p);
    bad("text/xml", MESSAGE(HEAD(ORG) "<Notification><sObject/></Notification>"),
        "the sObject's xsi:type is \"\"", p);
    bad("text/xml",
        MESSAGE(HEAD(ORG) "<Notification><sObject xsi:type=\"Opportunity\"/></Notification>"),
        "the sObject's xsi:type is \"Opportunity\"; allowed is a name of urn:sobject.*", p);
    bad("text/xml", MESSAGE(HEAD(ORG) "<Notification><sObject xsi:type=\"zz:A\"/></Notification>"),
        "xsi:type is \"zz:A\"", p);
    bad("text/xml", MESSAGE(HEAD(ORG) ROW("Opportunity", OPP) "<x>"), "mismatched tag", p);
    bad("text/xml", MESSAGE(HEAD(ORG) ROW("Opportunity", OPP)) "<x/>", "junk after document", p);
    bad("text/xml", "<!DOCTYPE x [<!ENTITY y 'z'>]>" MESSAGE(HEAD(ORG)), "a DOCTYPE is not", p);
    bad("text/xml",
        MESSAGE(HEAD(ORG) NOTIFICATION("Opportunity", FIELD("Id", "<sf:x/>" OPP))),
        "an element where only text is expected", p);
}

static void test_the_acknowledgement(void **state)
{
    static const char ack[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\">"
        "<soapenv:Body><notificationsResponse "
        "xmlns=\"http://soap.sforce.com/2005/09/outbound\"><Ack>true</Ack></notificationsResponse>"
        "</soapenv:Body></soapenv:Envelope>";
    apr_pool_t *p = *state;
    cs_crm_answer_t answer;
    cs_crm_notice_t n;
    cs_result_t res;

    assert_ok(decode(&n, "text/xml", MESSAGE(HEAD(ORG) ROW("Opportunity", OPP)), &res, p));
    cs_sf_acknowledge(&answer, &n);
    assert_string_equal(answer.type, "text/xml; charset=UTF-8");
    assert_string_equal(answer.body, ack);
    assert_ok(decode(&n, "application/json", "{\"id\":\"" OPP "\"}", &res, p));
    cs_sf_acknowledge(&answer, &n);
    assert_null(answer.type);
    assert_null(answer.body);
}

/* ---- JSON ---- */

static void test_json(void **state)
{
    apr_pool_t *p = *state;
    cs_crm_notice_t n;
    cs_result_t res;

    flow("{\"id\":\"" OPP "\"}", "Opportunity " OPP, NULL, p);
    flow("{\"id\":\"00Q000000000001\",\"mine\":[1]}", "Lead " LEAD, NULL, p);
    flow("{\"id\":\"" OPP "\",\"object\":\"opportunity\",\"deleted\":true}",
         "Opportunity " OPP " deleted", NULL, p);
    flow("{\"id\":\"" CHILD "\",\"table\":\"Microsoft_Solution__c\",\"deleted\":false}",
         "Microsoft_Solution__c " CHILD, NULL, p);
    flow("{\"id\":\"" OPP "\",\"object\":\"Opportunity\",\"table\":\"Opportunity\"}",
         "Opportunity " OPP, NULL, p);
    flow("[{\"id\":\"" OPP "\"},{\"id\":\"" ACCOUNT "\"},{\"id\":\"" OPP "\"}]",
         "Opportunity " OPP "\nAccount " ACCOUNT, NULL, p);
    flow("{\"id\":\"" OPP "\",\"object\":null,\"deleted\":null,\"organization\":null}",
         "Opportunity " OPP, NULL, p);
    flow("[]", "", NULL, p);
    good(NULL, " {\"id\":\"" OPP "\"}", "flow", "Opportunity " OPP, NULL, p);
    assert_ok(decode(&n, "application/json",
                     "[{\"id\":\"" OPP "\"},{\"id\":\"" OPP
                     "\",\"organization\":\"00D000000000062\"},{\"id\":\"" LEAD
                     "\",\"organization\":\"" ORG "\"}]",
                     &res, p));
    assert_string_equal(n.organization, ORG);
    assert_ok(decode(&n, "application/json", "{\"id\":\"" OPP "\"}", &res, p));
    assert_null(n.organization);
}

static void test_json_that_is_refused(void **state)
{
    apr_pool_t *p = *state;
    const char *many = "", *type = "application/json";

    bad(type, "", "", p);
    bad(type, "\xef\xbb\xbf{\"id\":\"" OPP "\"}", "line 1, column 1", p);
    bad(type, MESSAGE(HEAD(ORG)), "line 1, column 1", p);
    bad(type, "\"" OPP "\"", "object 1: it is no object; allowed is {\"id\"", p);
    bad(type, "[{\"id\":\"" OPP "\"},[]]", "object 2: it is no object", p);
    bad(type, "{}", "object 1: \"id\" is missing or no text", p);
    bad(type, "{\"id\":7}", "\"id\" is missing or no text", p);
    bad(type, "{\"id\":\"6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4a01\"}",
        "object 1: \"id\" is \"6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4a01\"; allowed are the 15 or 18", p);
    bad(type, "{\"id\":\"006000000000001AAB\"}", "\"id\" is \"006000000000001AAB\"", p);
    bad(type, "{\"id\":\"" OPP "\",\"deleted\":1}", "\"deleted\" is neither true nor false", p);
    bad(type, "{\"id\":\"" OPP "\",\"object\":1}", "\"object\" and \"table\" are texts", p);
    bad(type, "{\"id\":\"" OPP "\",\"object\":\"Opportunity\",\"table\":\"Lead\"}", "differ", p);
    bad(type, "{\"id\":\"" OPP "\",\"object\":\"Lead\"}",
        "\"object\" is \"Lead\", but " OPP " is no id of one", p);
    bad(type, "{\"id\":\"" CHILD "\",\"object\":\"Lead\"}", "is no id of one", p);
    bad(type, "{\"id\":\"" CHILD "\"}", "\"object\" is needed unless they are 006, 00Q, 001, 003 or",
        p);
    bad(type, "{\"id\":\"" OPP "\",\"organization\":5}", "\"organization\" is no text", p);
    bad(type, "{\"id\":\"" OPP "\",\"organization\":\"Contoso\"}",
        "\"organization\" is \"Contoso\"; allowed are", p);
    bad(type,
        "[{\"id\":\"" OPP "\",\"organization\":\"" ORG "\"},{\"id\":\"" OPP
        "\",\"organization\":\"00D000000000063\"}]",
        "object 2: \"organization\" is 00D000000000063EAA, that of another object " ORG, p);
    for (int i = 0; i < 201; i++) {
        many = apr_psprintf(p, "%s%s{\"id\":\"" OPP "\"}", many, i ? "," : "");
    }
    bad(type, apr_psprintf(p, "[%s]", many), "an array of 201 objects; allowed are at most 200", p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_message),
        UNIT_TEST(test_many_notifications),
        UNIT_TEST(test_ids_are_folded),
        UNIT_TEST(test_times),
        UNIT_TEST(test_prefixes_are_the_senders_choice),
        UNIT_TEST(test_parents),
        UNIT_TEST(test_a_parent_of_the_customers_own),
        UNIT_TEST(test_tables_that_nobody_watches),
        UNIT_TEST(test_sessions_are_not_looked_at),
        UNIT_TEST(test_what_is_no_message),
        UNIT_TEST(test_the_acknowledgement),
        UNIT_TEST(test_json),
        UNIT_TEST(test_json_that_is_refused),
    };

    UNIT_RUN(tests);
}
