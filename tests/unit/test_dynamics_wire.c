/* Neutral rows to OData and back, and the table of errors. (crm-apis.md A3, A6, A7, A9, A15) */
#include "unit.h"

#include "mod_cosell/base/json.h"
#include "mod_cosell/remote/dynamics/errors.h"
#include "mod_cosell/remote/dynamics/wire.h"

#define OPP "0f0d0000-0000-4000-8000-000000000071"
#define ACC "0f0d0000-0000-4000-8000-000000000041"

static const cs_dyn_table_t *table_of(void *baton, const char *name)
{
    (void)baton;
    return cs_dyn_table_std(name);
}

static json_t *json_of(const char *text, apr_pool_t *p)
{
    json_t *json = NULL;

    assert_ok(cs_json_parse(&json, text, strlen(text), NULL, p, NULL));
    return cs_json_own(json, p);
}

static apr_array_header_t *list(apr_pool_t *p, const char *words)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(const char *));
    char *copy = apr_pstrdup(p, words), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(out, const char *) = word;
    }
    return out;
}

static apr_array_header_t *lookups_of(apr_pool_t *p, const char *column, const char *table)
{
    apr_array_header_t *out = apr_array_make(p, 1, sizeof(cs_crm_lookup_t));
    cs_crm_lookup_t *one = apr_array_push(out);

    one->column = column;
    one->table = table;
    return out;
}

static const char *select_of(const char *words, apr_array_header_t *lookups, int expand,
                             apr_pool_t *p)
{
    const char *query = NULL;
    cs_result_t res = {0};

    assert_ok(cs_dyn_select(&query, cs_dyn_table_std("opportunity"), list(p, words), lookups,
                            expand, p, &res));
    return query;
}

static void test_select(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(select_of("name parentaccountid estimatedvalue name", NULL, 1, p),
                        "$select=modifiedon,name,_parentaccountid_value,estimatedvalue");
    assert_string_equal(
        select_of("parentaccountid/name parentaccountid/address1_city owningbusinessunit/name",
                  NULL, 1, p),
        "$select=modifiedon,_parentaccountid_value,_owningbusinessunit_value"
        "&$expand=parentaccountid($select=name,address1_city),owningbusinessunit($select=name)");
    assert_string_equal(select_of("parentaccountid/primarycontactid", NULL, 1, p),
                        "$select=modifiedon,_parentaccountid_value&$expand=parentaccountid($select="
                        "_primarycontactid_value)");
    /* $expand is ignored on PATCH: only the id is asked for */
    assert_string_equal(select_of("parentaccountid/name", NULL, 0, p),
                        "$select=modifiedon,_parentaccountid_value");
    /* which of two properties depends on the target */
    assert_string_equal(select_of("customerid/name", NULL, 1, p),
                        "$select=modifiedon,_customerid_value");
    assert_string_equal(
        select_of("customerid/name", lookups_of(p, "customerid", "account"), 1, p),
        "$select=modifiedon,_customerid_value&$expand=customerid_account($select=name)");
    assert_string_equal(
        select_of("ownerid/internalemailaddress", NULL, 1, p),
        "$select=modifiedon,_ownerid_value&$expand=owninguser($select=internalemailaddress)");
    assert_string_equal(select_of("msft_partner", lookups_of(p, "msft_partner", "account"), 1, p),
                        "$select=modifiedon,_msft_partner_value");
    assert_string_equal(select_of("msft_audit", NULL, 1, p), "$select=modifiedon,msft_audit");
}

static void test_select_refuses_what_is_no_name(void **state)
{
    static const char *const bad[] = {"a&b", "a,b", "a/b/c", "/a", "a/", "1a", "a)", "\xc3\xa4"};
    apr_pool_t *p = *state;
    const char *query;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cs_result_t res = {0};

        assert_int_equal(cs_dyn_select(&query, cs_dyn_table_std("opportunity"), list(p, bad[i]),
                                       NULL, 1, p, &res),
                         CS_EPARSE);
        assert_int_equal(res.cls, CS_CLASS_SUSPEND);
        assert_has(res.detail, bad[i]);
    }
}

static void test_record(void **state)
{
    apr_pool_t *p = *state;
    json_t *row = json_of(
        "{\"@odata.etag\":\"W/"
        "\\\"7\\\"\",\"opportunityid\":\"0F0D0000-0000-4000-8000-000000000071\",\"name\":\"A\","
        "\"description\":null,"
        "\"estimatedvalue\":5000000.0000,\"statecode\":0,\"modifiedon\":\"2026-01-31T10:00:00Z\","
        "\"_parentaccountid_value\":\"0F0D0000-0000-4000-8000-000000000041\",\"parentaccountid\":{"
        "\"name\":\"Fab\",\"accountid\":\"x\"},"
        "\"_ownerid_value\":\"" ACC
        "\",\"owninguser\":null,\"_parentcontactid_value\":null,\"parentcontactid\":null}",
        p);
    cs_record_t *r =
        cs_dyn_record(row, NULL, cs_dyn_table_std("opportunity"),
                      list(p, "opportunityid name description estimatedvalue statecode "
                              "parentaccountid/name parentaccountid/address1_city "
                              "ownerid/internalemailaddress parentcontactid/fullname "
                              "parentcontactid campaignid salesstage"),
                      NULL, p);

    assert_non_null(r);
    assert_string_equal(r->id, OPP);
    assert_string_equal(r->table, "opportunity");
    assert_string_equal(r->version, "W/\"7\"");
    assert_true(r->modified > 0);
    assert_string_equal(
        cs_json_print(r->row, p),
        "{\"description\":null,\"estimatedvalue\":5000000.0,\"name\":\"A\",\"opportunityid\":\"" OPP
        "\",\"ownerid\":{\"id\":\"" ACC "\"},"
        "\"parentaccountid\":{\"id\":\"" ACC
        "\",\"name\":\"Fab\"},\"parentcontactid\":null,\"statecode\":0}");
}

static void test_record_needs_key_and_version(void **state)
{
    apr_pool_t *p = *state;
    const cs_dyn_table_t *t = cs_dyn_table_std("opportunity");

    assert_null(
        cs_dyn_record(json_of("{\"opportunityid\":\"" OPP "\"}", p), NULL, t, NULL, NULL, p));
    assert_null(
        cs_dyn_record(json_of("{\"@odata.etag\":\"W/\\\"7\\\"\"}", p), NULL, t, NULL, NULL, p));
    assert_null(
        cs_dyn_record(json_of("{\"@odata.etag\":\"W/\\\"7\\\"\",\"opportunityid\":\"x\"}", p), NULL,
                      t, NULL, NULL, p));
    assert_non_null(
        cs_dyn_record(json_of("{\"opportunityid\":\"" OPP "\"}", p), "W/\"9\"", t, NULL, NULL, p));
}

static const char *body_of(const char *row, const char *table, apr_array_header_t *lookups,
                           apr_pool_t *p)
{
    const char *body = NULL;
    cs_result_t res = {0};

    assert_ok(cs_dyn_body(&body, json_of(row, p), cs_dyn_table_std(table), lookups, table_of, NULL,
                          p, &res));
    return body;
}

static void test_body(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(body_of("{}", "opportunity", NULL, p), "{}");
    assert_string_equal(
        body_of(
            "{\"name\":\"\\u00fc \\\"q\\\"\",\"statecode\":0,\"flag\":true,\"description\":null}",
            "opportunity", NULL, p),
        "{\"name\":\"\xc3\xbc \\\"q\\\"\",\"statecode\":0,\"flag\":true,\"description\":null}");
    /* digits are never rounded, not even where a double would */
    assert_string_equal(body_of("{\"estimatedvalue\":{\"$number\":\"123456789012345.6789\"},\"x\":{"
                                "\"$number\":\"-0.10\"}}",
                                "opportunity", NULL, p),
                        "{\"estimatedvalue\":123456789012345.6789,\"x\":-0.10}");
    assert_string_equal(
        body_of("{\"parentaccountid\":{\"$ref\":{\"table\":\"account\",\"id\":\"" ACC "\"}}}",
                "opportunity", NULL, p),
        "{\"parentaccountid@odata.bind\":\"/accounts(" ACC ")\"}");
    assert_string_equal(
        body_of("{\"parentcustomerid\":{\"$ref\":{\"table\":\"account\",\"id\":\"" ACC "\"}}}",
                "contact", NULL, p),
        "{\"parentcustomerid_account@odata.bind\":\"/accounts(" ACC ")\"}");
    assert_string_equal(body_of("{\"ownerid\":{\"$ref\":{\"table\":\"team\",\"id\":\"" ACC "\"}}}",
                                "opportunity", NULL, p),
                        "{\"ownerid@odata.bind\":\"/teams(" ACC ")\"}");
    assert_string_equal(
        body_of("{\"parentcontactid\":null,\"opportunityid\":\"" OPP "\"}", "opportunity", NULL, p),
        "{\"parentcontactid\":null}");
}

static void test_body_refuses(void **state)
{
    static const char *const bad[] = {
        "{\"a\":{\"$number\":\"1e3\"}}",
        "{\"a\":{\"$number\":\"1,2\"}}",
        "{\"a\":{\"$number\":\"\"}}",
        "{\"a\":{\"$number\":\"1.\"}}",
        "{\"a\":{\"$number\":\".5\"}}",
        "{\"a\":{\"$number\":\"007\"}}",
        "{\"a\":{\"$number\":\"-\"}}",
        "{\"a\":{\"$number\":\"NaN\"}}",
        "{\"a\":{\"$number\":5}}",
        "{\"a\":{\"$number\":\"1}, \\\"b\\\":1\"}}",
        "{\"a\":{\"$lookup\":{\"find\":\"currency\",\"key\":{}}}}",
        "{\"a\":[1]}",
        "{\"a\":{}}",
        "{\"parentaccountid\":{\"$ref\":{\"table\":\"nonsense\",\"id\":\"" ACC "\"}}}",
        "{\"parentaccountid\":{\"$ref\":{\"table\":\"account\",\"id\":\"x\"}}}",
        "{\"a@odata.bind\":\"/accounts(x)\"}",
        "{\"a b\":1}",
        "{\"\":1}",
    };
    apr_pool_t *p = *state;
    const char *body;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cs_result_t res = {0};

        if (cs_dyn_body(&body, json_of(bad[i], p), cs_dyn_table_std("opportunity"), NULL, table_of,
                        NULL, p, &res) != CS_EPARSE ||
            !res.detail) {
            fail_msg("%s became %s", bad[i], body);
        }
    }
}

static void test_close_body(void **state)
{
    apr_pool_t *p = *state;
    const char *body;
    cs_result_t res = {0};

    assert_ok(cs_dyn_close_body(&body,
                                json_of("{\"Status\":3,\"actualrevenue\":{\"$number\":\"12000.00\"}"
                                        ",\"actualend\":\"2026-03-31\",\"description\":\"d\"}",
                                        p),
                                "WinOpportunity", "0F0D0000-0000-4000-8000-000000000071", table_of,
                                NULL, p, &res));
    assert_string_equal(
        body,
        "{\"Status\":3,\"OpportunityClose\":{\"opportunityid@odata.bind\":\"/opportunities(" OPP
        ")\",\"subject\":\"Won in Partner Center\","
        "\"actualrevenue\":12000.00,\"actualend\":\"2026-03-31\",\"description\":\"d\"}}");
    assert_ok(cs_dyn_close_body(&body, json_of("{\"subject\":\"s\"}", p), "LoseOpportunity", OPP,
                                table_of, NULL, p, &res));
    assert_string_equal(
        body,
        "{\"Status\":-1,\"OpportunityClose\":{\"opportunityid@odata.bind\":\"/opportunities(" OPP
        ")\",\"subject\":\"s\"}}");
    assert_int_equal(cs_dyn_close_body(&body, json_of("{\"Status\":\"3\"}", p), "LoseOpportunity",
                                       OPP, table_of, NULL, p, &res),
                     CS_EPARSE);
}

static const char *filter_of(const char *key, const char *where, const char *table, apr_pool_t *p)
{
    const char *text = NULL;
    cs_result_t res = {0};

    assert_ok(cs_dyn_filter(&text, json_of(key, p), where ? json_of(where, p) : NULL,
                            cs_dyn_table_std(table), p, &res));
    return text;
}

static void test_filter(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(filter_of("{\"name\":\"  O'Brien \\t\",\"address1_postalcode\":\"98052\"}",
                                  "{\"statecode\":0}", "account", p),
                        "name eq 'O''Brien' and address1_postalcode eq '98052' and statecode eq 0");
    assert_string_equal(filter_of("{\"internalemailaddress\":\"a@b\"}",
                                  "{\"isdisabled\":false,\"title\":null}", "systemuser", p),
                        "internalemailaddress eq 'a@b' and isdisabled eq false and title eq null");
    /* a GUID is a GUID only where the column is one */
    assert_string_equal(
        filter_of("{\"parentcustomerid\":{\"$ref\":{\"table\":\"account\",\"id\":\"" ACC
                  "\"}},\"emailaddress1\":\"x\"}",
                  NULL, "contact", p),
        "_parentcustomerid_value eq " ACC " and emailaddress1 eq 'x'");
    assert_string_equal(filter_of("{\"parentaccountid\":\"" ACC "\"}", NULL, "opportunity", p),
                        "_parentaccountid_value eq " ACC);
    assert_string_equal(filter_of("{\"opportunityid\":\"" OPP "\"}", NULL, "opportunity", p),
                        "opportunityid eq " OPP);
    assert_string_equal(
        filter_of("{\"msft_referralidentifier\":\"" OPP "\"}", NULL, "opportunity", p),
        "msft_referralidentifier eq '" OPP "'");
    assert_string_equal(
        filter_of("{\"estimatedvalue\":{\"$number\":\"12.50\"}}", NULL, "opportunity", p),
        "estimatedvalue eq 12.50");
    /* an empty key finds nothing instead of rows without one */
    assert_null(filter_of("{\"accountnumber\":\"  \"}", "{\"statecode\":0}", "account", p));
    assert_null(filter_of("{\"name\":\"x\",\"accountnumber\":null}", NULL, "account", p));
    assert_null(filter_of("{}", NULL, "account", p));
}

static void test_filter_cannot_be_escaped_from(void **state)
{
    apr_pool_t *p = *state;
    const char *text;
    cs_result_t res = {0};

    assert_string_equal(filter_of("{\"name\":\"x' or name ne '\"}", NULL, "account", p),
                        "name eq 'x'' or name ne '''");
    assert_int_equal(cs_dyn_filter(&text, json_of("{\"name eq 1 or name\":\"x\"}", p), NULL,
                                   cs_dyn_table_std("account"), p, &res),
                     CS_EPARSE);
    assert_int_equal(cs_dyn_filter(&text, json_of("{\"name\":[1]}", p), NULL,
                                   cs_dyn_table_std("account"), p, &res),
                     CS_EPARSE);
    assert_int_equal(cs_dyn_filter(&text, json_of("{\"parentaccountid\":\"no guid\"}", p), NULL,
                                   cs_dyn_table_std("opportunity"), p, &res),
                     CS_EPARSE);
}

static void test_learnt_table(void **state)
{
    apr_pool_t *p = *state;
    const cs_dyn_table_t *t = cs_dyn_table_of(
        json_of("{\"EntitySetName\":\"msft_microsoftsolutions\",\"PrimaryIdAttribute\":\"msft_"
                "microsoftsolutionid\",\"PrimaryNameAttribute\":\"msft_name\","
                "\"ManyToOneRelationships\":[{\"ReferencingAttribute\":\"msft_opportunityid\","
                "\"ReferencedEntity\":\"opportunity\","
                "\"ReferencingEntityNavigationPropertyName\":\"msft_OpportunityId\"},{"
                "\"ReferencingAttribute\":\"a b\",\"ReferencedEntity\":\"x\","
                "\"ReferencingEntityNavigationPropertyName\":\"y\"}]}",
                p),
        "msft_microsoftsolution", p);

    assert_non_null(t);
    assert_string_equal(t->set, "msft_microsoftsolutions");
    assert_string_equal(cs_dyn_nav(t, "msft_opportunityid", "opportunity"), "msft_OpportunityId");
    assert_true(cs_dyn_is_lookup(t, "msft_opportunityid", NULL));
    assert_false(cs_dyn_is_lookup(t, "msft_name", NULL));
    assert_true(cs_dyn_is_lookup(t, "createdby", NULL));
    assert_null(cs_dyn_table_of(
        json_of("{\"EntitySetName\":\"a(b\",\"PrimaryIdAttribute\":\"c\"}", p), "x", p));
}

static void test_code(void **state)
{
    (void)state;
    assert_int_equal(cs_dyn_code("0x80060882"), 0x80060882);
    assert_int_equal(cs_dyn_code("0X80060882"), 0x80060882);
    assert_int_equal(cs_dyn_code("-2147088254"), 0x80060882);
    assert_int_equal(cs_dyn_code("2147879042"), 0x80060882);
    assert_int_equal(cs_dyn_code(""), 0);
    assert_int_equal(cs_dyn_code(NULL), 0);
    assert_int_equal(cs_dyn_code("DuplicateRecord"), 0);
    assert_int_equal(cs_dyn_code("0x8006088200000000"), 0);
    assert_int_equal(cs_dyn_code("0x"), 0);
}

static void answer(cs_http_response_t *r, int status, const char *body, apr_pool_t *p)
{
    memset(r, 0, sizeof(*r));
    r->outcome = CS_HTTP_ANSWERED;
    r->started = 1;
    r->status = status;
    r->headers = apr_table_make(p, 1);
    r->body = body;
    r->body_len = strlen(body);
    r->reason = "";
    r->correlation = "x-ms-client-request-id=q";
}

#define ERR(code, message) "{\"error\":{\"code\":\"" code "\",\"message\":\"" message "\"}}"

static void test_errors(void **state)
{
    static const struct {
        int status;
        const char *body;
        cs_dyn_kind_e kind;
        cs_class_e cls;
        const char *problem;
    } table[] = {
        {200, "{}", CS_DYN_READ, CS_CLASS_OK, NULL},
        {204, "", CS_DYN_UPDATE, CS_CLASS_OK, NULL},
        {403, ERR("0x80072560", "The user is not a member"), CS_DYN_READ, CS_CLASS_SUSPEND,
         "dataverse:0x80072560"},
        {403, ERR("0x80040220", "SecLib::AccessCheckEx failed"), CS_DYN_READ, CS_CLASS_REFUSED,
         "dataverse:0x80040220"},
        {401, "", CS_DYN_READ, CS_CLASS_SUSPEND, "http:401"},
        {400, ERR("0x80044331", "too long"), CS_DYN_UPDATE, CS_CLASS_DATA, "dataverse:0x80044331"},
        {400, ERR("0x8004431a", "choice"), CS_DYN_UPDATE, CS_CLASS_DATA, "dataverse:0x8004431a"},
        {400, ERR("0x80044330", "range"), CS_DYN_UPDATE, CS_CLASS_DATA, "dataverse:0x80044330"},
        {400, ERR("0x8004432F", "range"), CS_DYN_UPDATE, CS_CLASS_DATA, "dataverse:0x8004432f"},
        {400, ERR("0x80048d19", "undeclared"), CS_DYN_UPDATE, CS_CLASS_SUSPEND, "config:column"},
        {400, ERR("0x80060888", "no property"), CS_DYN_READ, CS_CLASS_SUSPEND, "config:column"},
        {400, ERR("0x80040265", "plug-in says no"), CS_DYN_UPDATE, CS_CLASS_DATA,
         "dataverse:0x80040265"},
        {400, ERR("0x80049999", "new"), CS_DYN_UPDATE, CS_CLASS_REFUSED, "dataverse:0x80049999"},
        {404, ERR("0x80040217", "opportunity With Id = " OPP " Does Not Exist"), CS_DYN_READ,
         CS_CLASS_GONE, "dataverse:0x80040217"},
        {404, ERR("0x80040217", "opportunity With Id = " OPP " Does Not Exist"), CS_DYN_UPDATE,
         CS_CLASS_GONE, "dataverse:0x80040217"},
        {404, ERR("", "not found"), CS_DYN_UPDATE, CS_CLASS_GONE, "http:404"},
        /* the row is there; the account it should point to is not */
        {404, ERR("0x80040217", "account With Id = " ACC " Does Not Exist"), CS_DYN_UPDATE,
         CS_CLASS_DATA, "dataverse:0x80040217"},
        {404, ERR("0x80040217", "account With Id = " ACC " Does Not Exist"), CS_DYN_CREATE,
         CS_CLASS_DATA, "dataverse:0x80040217"},
        {404, ERR("0x8006088a", "Resource not found for the segment"), CS_DYN_READ,
         CS_CLASS_SUSPEND, "config:table"},
        /* a gateway's page buries nothing */
        {404, "<html>not here</html>", CS_DYN_READ, CS_CLASS_RETRY, "http:404"},
        {404, "", CS_DYN_UPDATE, CS_CLASS_RETRY, "http:404"},
        {405, ERR("0x80040227", "no"), CS_DYN_UPDATE, CS_CLASS_REFUSED, "dataverse:0x80040227"},
        {413, "", CS_DYN_UPDATE, CS_CLASS_REFUSED, "http:413"},
        {412, ERR("0x80060882", "version"), CS_DYN_UPDATE, CS_CLASS_CONFLICT,
         "dataverse:0x80060882"},
        {412, ERR("", "version"), CS_DYN_UPDATE, CS_CLASS_CONFLICT, "http:412"},
        {412, ERR("0x80040237", "exists"), CS_DYN_CREATE, CS_CLASS_DUPLICATE,
         "dataverse:0x80040237"},
        {412, ERR("0x80060892", "key"), CS_DYN_UPDATE, CS_CLASS_DUPLICATE, "dataverse:0x80060892"},
        {412, "", CS_DYN_CREATE, CS_CLASS_DUPLICATE, "http:412"},
        {500, ERR("0x80040333", "duplicate"), CS_DYN_CREATE, CS_CLASS_DUPLICATE,
         "dataverse:0x80040333"},
        {429, ERR("0x80072322", "Number of requests"), CS_DYN_READ, CS_CLASS_THROTTLED,
         "dataverse:0x80072322"},
        {429, "", CS_DYN_READ, CS_CLASS_THROTTLED, "http:429"},
        {500, ERR("0x80044150", "Generic SQL error"), CS_DYN_UPDATE, CS_CLASS_RETRY,
         "dataverse:0x80044150"},
        {500, ERR("0x80040216", "unexpected"), CS_DYN_UPDATE, CS_CLASS_RETRY,
         "internal:0x80040216"},
        {500, "<html>oops</html>", CS_DYN_UPDATE, CS_CLASS_RETRY, "http:500"},
        {500, ERR("-2147204783", "SQL timeout"), CS_DYN_UPDATE, CS_CLASS_RETRY,
         "dataverse:0x80044151"},
        {503, "<html>gateway</html>", CS_DYN_READ, CS_CLASS_RETRY, "http:503"},
    };
    cs_http_request_t request = {
        .method = "PATCH", .url = "https://h.example/x", .label = "update x"};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_http_response_t r;
        cs_result_t res;

        answer(&r, table[i].status, table[i].body, p);
        cs_dyn_classify(&res, &r, &request, table[i].kind, OPP, p);
        if (res.cls != table[i].cls ||
            (table[i].problem && strcmp(res.problem, table[i].problem))) {
            fail_msg("%d %s is %s %s", table[i].status, table[i].body, cs_class_name(res.cls),
                     res.problem ? res.problem : "");
        }
        assert_string_equal(res.correlation, "x-ms-client-request-id=q");
        assert_true(res.cls == CS_CLASS_OK || strlen(res.detail) < 500);
    }
}

/* Messages as services have answered them, and the column that each blames. */
static void test_blames(void **state)
{
    static const struct {
        int status;
        const char *code, *message, *blames;
        cs_class_e cls;
    } table[] = {
        {400, "0x80044331",
         "A validation error occurred. The length of the 'subject' attribute of the 'task' entity "
         "exceeded the maximum allowed length of '200'.",
         "subject", CS_CLASS_DATA},
        {400, "0x8004431A",
         "A validation error occurred. The value 5 of 'msdyn_paymentterms' on record of type "
         "'msdyn_rule' is outside the valid range. Accepted Values: 1,2,3,192350001.",
         "msdyn_paymentterms", CS_CLASS_DATA},
        {400, "0x80044330",
         "A validation error occurred. The value of 'estimatedvalue' on record of type "
         "'opportunity' is outside the valid range.",
         "estimatedvalue", CS_CLASS_DATA},
        {400, "0x80048d19",
         "Error identified in Payload provided by the user for Entity :'opportunities', For more "
         "information on this error please follow this help link "
         "https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : "
         "Microsoft.OData.ODataException: An undeclared property 'New_Partner' which only has "
         "property annotations in the payload but no property value was found in the payload.",
         "New_Partner", CS_CLASS_SUSPEND},
        {400, "0x80048d19",
         "The property 'nosuch' does not exist on type 'Microsoft.Dynamics.CRM.account'. Make sure "
         "to only use property names that are defined by the type.",
         "nosuch", CS_CLASS_SUSPEND},
        {400, "0x80060888",
         "Could not find a property named 'nosuch' on type 'Microsoft.Dynamics.CRM.account'.",
         "nosuch", CS_CLASS_SUSPEND},
        {400, "0x80048d19", "Cannot convert the literal 'abc' to the expected type 'Edm.Decimal'.",
         NULL, CS_CLASS_DATA},
        {400, "0x80048d19",
         "An unexpected 'StartObject' node was found when reading from the JSON reader. A "
         "'PrimitiveValue' node was expected.",
         NULL, CS_CLASS_DATA},
        {403, "0x8004f507",
         "Caller user with Id x does not have update permissions for the 'creditlimit' attribute.",
         "creditlimit", CS_CLASS_DATA},
        {400, "0x80040203", "Attribute 'customerid' cannot be null.", "customerid", CS_CLASS_DATA},
        {400, "0x80040203", "Something is wrong with 'it'", NULL, CS_CLASS_DATA},
        {400, "0x80040265", "The discount of 'Fabrikam' is too high.", NULL, CS_CLASS_DATA},
        {412, "0x80060882", "The version of the existing record doesn't match", NULL,
         CS_CLASS_CONFLICT},
    };
    cs_http_request_t request = {
        .method = "PATCH", .url = "https://h.example/x", .label = "update x"};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_http_response_t r;
        cs_result_t res;

        answer(&r, table[i].status,
               apr_psprintf(p, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}", table[i].code,
                            table[i].message),
               p);
        cs_dyn_classify(&res, &r, &request, CS_DYN_UPDATE, OPP, p);
        assert_int_equal(res.cls, table[i].cls);
        if (table[i].blames) {
            assert_non_null(res.blames);
            assert_string_equal(res.blames, table[i].blames);
        }
        else {
            assert_null(res.blames);
        }
        /* nobody is to blame for a question */
        cs_dyn_classify(&res, &r, &request, CS_DYN_READ, OPP, p);
        assert_null(res.blames);
    }
    assert_null(cs_dyn_blamed(NULL, p));
    assert_null(cs_dyn_blamed("", p));
    assert_null(cs_dyn_blamed("property named '", p));
    assert_null(cs_dyn_blamed("property named 'a b' and attribute ''", p));
}

static void test_names_of_columns(void **state)
{
    apr_pool_t *p = *state;
    const cs_dyn_table_t *t = cs_dyn_table_of(
        json_of(
            "{\"EntitySetName\":\"xs\",\"PrimaryIdAttribute\":\"xid\",\"ManyToOneRelationships\":"
            "[{\"ReferencingAttribute\":\"new_partner\",\"ReferencedEntity\":\"account\","
            "\"ReferencingEntityNavigationPropertyName\":\"new_Partner\"}]}",
            p),
        "x", p);

    assert_string_equal(cs_dyn_column_of(t, "new_Partner", p), "new_partner");
    assert_string_equal(cs_dyn_column_of(t, "_new_partner_value", p), "new_partner");
    assert_string_equal(cs_dyn_column_of(t, "Name", p), "name");
    assert_string_equal(cs_dyn_column_of(t, "ownerid", p), "ownerid");
    assert_string_equal(cs_dyn_column_of(cs_dyn_table_std("opportunity"), "customerid_account", p),
                        "customerid");
    assert_string_equal(cs_dyn_column_of(NULL, "_value", p), "_value");
}

static void test_config_check(void **state)
{
    apr_pool_t *p = *state;
    cs_secret_t secret = {.ref = "file:/x"};
    cs_crm_config_t cfg = {.name = "sales",
                           .url = "https://org.crm4.dynamics.com",
                           .tenant = "t",
                           .client_id = "7fe8a18c-5b6e-4b1f-9f3e-0c1d2e3f4a5b",
                           .client_secret = &secret};
    const cs_crm_impl_t *impl = cs_crm_impl_of("dynamics365");

    assert_non_null(impl);
    assert_null(cs_crm_impl_of("other"));
    assert_null(cs_crm_impl_of(NULL));
    assert_null(impl->check(&cfg, p));
    assert_string_equal(
        impl->link(&cfg, "opportunity", OPP, p),
        "https://org.crm4.dynamics.com/main.aspx?pagetype=entityrecord&etn=opportunity&id=" OPP);
    assert_null(impl->link(&cfg, "oppo&x", OPP, p));
    cfg.url = "https://org.crm4.dynamics.com/api/data";
    assert_has(impl->check(&cfg, p), "https://org.crm4.dynamics.com/api/data");
    cfg.url = "org.crm4.dynamics.com";
    assert_has(impl->check(&cfg, p), "https://organisation.crm.dynamics.com");
    cfg.url = "https://org.crm4.dynamics.com/";
    cfg.client_secret = NULL;
    assert_has(impl->check(&cfg, p), "client-secret=");
    cfg.certificate = "/x";
    assert_has(impl->check(&cfg, p), "certificate=");
    cfg.tenant = NULL;
    assert_has(impl->check(&cfg, p), "tenant=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_select),
        UNIT_TEST(test_select_refuses_what_is_no_name),
        UNIT_TEST(test_record),
        UNIT_TEST(test_record_needs_key_and_version),
        UNIT_TEST(test_body),
        UNIT_TEST(test_body_refuses),
        UNIT_TEST(test_close_body),
        UNIT_TEST(test_filter),
        UNIT_TEST(test_filter_cannot_be_escaped_from),
        UNIT_TEST(test_learnt_table),
        UNIT_TEST(test_code),
        UNIT_TEST(test_errors),
        UNIT_TEST(test_blames),
        UNIT_TEST(test_names_of_columns),
        UNIT_TEST(test_config_check),
    };

    return UNIT_RUN(tests);
}
