/* What Salesforce's answers mean. (crm-apis.md B10, B11, C1; design 6) */
#include "unit_salesforce_parts.h"

static cs_result_t classify(int status, const char *body, cs_sf_kind_e kind, apr_pool_t *p)
{
    cs_http_request_t request = {.method = kind == CS_SF_READ ? "GET" : "PATCH",
                                 .url = "https://o.my.salesforce.com/x",
                                 .label = "update Opportunity"};
    cs_http_response_t response = {.outcome = CS_HTTP_ANSWERED,
                                   .started = 1,
                                   .status = status,
                                   .headers = apr_table_make(p, 1),
                                   .body = "",
                                   .reason = ""};
    cs_result_t res = {0};

    cs_sf_classify(&res, &response, &request, body ? sf_json(body, p) : NULL, kind, p);
    return res;
}

static const char *error_of(const char *code, const char *message, const char *field, apr_pool_t *p)
{
    return apr_psprintf(p, "[{\"errorCode\":\"%s\",\"message\":\"%s\",\"fields\":[%s%s%s]}]", code,
                        message, field ? "\"" : "", field ? field : "", field ? "\"" : "");
}

/* ---- codes ---- */

static const struct {
    const char *code;
    int status;
    cs_class_e read, create, update;
    const char *problem; /* NULL = salesforce:<code> */
} codes[] = {
#define R CS_CLASS_RETRY
#define D CS_CLASS_DATA
#define F CS_CLASS_REFUSED
#define S CS_CLASS_SUSPEND
    {"SERVER_UNAVAILABLE", 503, R, R, R, NULL},
    {"UNABLE_TO_LOCK_ROW", 400, R, R, R, NULL},
    {"QUERY_TIMEOUT", 400, R, R, R, NULL},
    {"REQUEST_RUNNING_TOO_LONG", 400, R, R, R, NULL},
    {"PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", 503, R, R, R, NULL},
    {"FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", 503, R, R, R, NULL},
    {"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", 400, R, R, R, NULL},
    {"ORG_IN_MAINTENANCE", 503, R, R, R, NULL},
    {"TOO_MANY_APEX_REQUESTS", 403, R, R, R, NULL},
    {"TXN_SECURITY_METERING_ERROR", 403, R, R, R, NULL},
    {"ENTITY_IS_LOCKED", 400, R, R, R, NULL},
    {"RECORD_IN_USE_BY_WORKFLOW", 400, R, R, R, NULL},
    {"STORAGE_LIMIT_EXCEEDED", 403, R, R, R, NULL},
    {"LIMIT_EXCEEDED", 400, R, R, R, NULL},
    {"ALL_OR_NONE_OPERATION_ROLLED_BACK", 400, R, R, R, NULL},
    {"PROCESSING_HALTED", 400, R, R, R, NULL},
    {"INVALID_QUERY_LOCATOR", 400, R, R, R, NULL},
    {"UNKNOWN_EXCEPTION", 500, R, R, R, "internal:UNKNOWN_EXCEPTION"},
    {"UNKNOWN_EXCEPTION", 400, R, R, R, "internal:UNKNOWN_EXCEPTION"},
    {"APEX_ERROR", 500, R, R, R, "internal:APEX_ERROR"},
    {"DUPLICATE_VALUE", 400, F, CS_CLASS_DUPLICATE, D, NULL},
    {"DUPLICATES_DETECTED", 400, F, CS_CLASS_DUPLICATE, D, NULL},
    {"DUPLICATE_EXTERNAL_ID", 400, CS_CLASS_DUPLICATE, CS_CLASS_DUPLICATE, D, NULL},
    {"ENTITY_IS_DELETED", 404, CS_CLASS_GONE, D, CS_CLASS_GONE, NULL},
    {"ENTITY_IS_DELETED", 400, CS_CLASS_GONE, D, CS_CLASS_GONE, NULL},
    {"NOT_FOUND", 404, CS_CLASS_GONE, D, CS_CLASS_GONE, NULL},
    {"INVALID_CROSS_REFERENCE_KEY", 400, F, D, D, NULL},
    {"MALFORMED_ID", 400, F, D, D, NULL},
    {"INVALID_ID_FIELD", 400, F, D, D, NULL},
    {"CANNOT_UPDATE_CONVERTED_LEAD", 400, F, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT, NULL},
    {"REQUIRED_FIELD_MISSING", 400, F, D, D, NULL},
    {"FIELD_CUSTOM_VALIDATION_EXCEPTION", 400, F, D, D, NULL},
    {"FIELD_FILTER_VALIDATION_EXCEPTION", 400, F, D, D, NULL},
    {"FIELD_INTEGRITY_EXCEPTION", 400, F, D, D, NULL},
    {"STRING_TOO_LONG", 400, F, D, D, NULL},
    {"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", 400, F, D, D, NULL},
    {"NUMBER_OUTSIDE_VALID_RANGE", 400, F, D, D, NULL},
    {"INVALID_EMAIL_ADDRESS", 400, F, D, D, NULL},
    {"INVALID_CURRENCY_ISO", 400, F, D, D, NULL},
    {"INVALID_TYPE_ON_FIELD_IN_RECORD", 400, F, D, D, NULL},
    {"JSON_PARSER_ERROR", 400, F, D, D, NULL},
    {"SOME_CODE_OF_TOMORROW", 400, F, D, D, NULL},
    {"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", 400, F, D, D, NULL},
    {"CANNOT_EXECUTE_FLOW_TRIGGER", 400, F, D, D, NULL},
    {"INVALID_FIELD_FOR_INSERT_UPDATE", 400, S, D, D, NULL},
    {"FIELD_NOT_UPDATABLE", 400, S, D, D, NULL},
    {"INVALID_FIELD", 400, S, S, S, "config:column"},
    {"MALFORMED_QUERY", 400, S, S, S, "config:column"},
    {"INVALID_TYPE", 400, S, S, S, "config:table"},
    {"INSUFFICIENT_ACCESS", 403, F, F, F, NULL},
    {"INSUFFICIENT_ACCESS_OR_READONLY", 400, F, F, F, NULL},
    {"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", 400, F, F, F, NULL},
    {"TRANSFER_REQUIRES_READ", 400, F, F, F, NULL},
    {"API_DISABLED_FOR_ORG", 403, S, S, S, NULL},
    {"API_CURRENTLY_DISABLED", 403, S, S, S, NULL},
    {"CLIENT_NOT_ACCESSIBLE_FOR_USER", 403, S, S, S, NULL},
    {"UNSUPPORTED_API_VERSION", 404, S, S, S, "config:version"},
    {"INVALID_SESSION_ID", 401, S, S, S, NULL},
    {"INVALID_AUTH_HEADER", 401, S, S, S, NULL},
    {"REQUEST_LIMIT_EXCEEDED", 403, S, S, S, "quota:daily"},
#undef R
#undef D
#undef F
#undef S
};

static void test_codes(void **state)
{
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const char *body = error_of(codes[i].code, "words of it", NULL, p);
        const char *problem = codes[i].problem ? codes[i].problem
                                               : apr_pstrcat(p, "salesforce:", codes[i].code, NULL);
        cs_result_t read = classify(codes[i].status, body, CS_SF_READ, p),
                    create = classify(codes[i].status, body, CS_SF_CREATE, p),
                    update = classify(codes[i].status, body, CS_SF_UPDATE, p);

        sf_expect(&read, codes[i].read, problem);
        sf_expect(&create, codes[i].create, problem);
        sf_expect(&update, codes[i].update, problem);
        assert_string_equal(update.said, "words of it");
        assert_has(update.detail, "words of it");
        assert_has(update.detail, "update Opportunity");
        assert_null(read.blames);
        assert_null(update.blames);
    }
}

static void test_statuses_without_a_code(void **state)
{
    static const struct {
        int status;
        cs_class_e read, update;
    } table[] = {
        {300, CS_CLASS_DUPLICATE, CS_CLASS_DATA},
        {302, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {400, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {401, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {403, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {404, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {405, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {408, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {409, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT},
        {410, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {412, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT},
        {414, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {415, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {420, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {428, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {429, CS_CLASS_THROTTLED, CS_CLASS_THROTTLED},
        {431, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {500, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {501, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {502, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {503, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {504, CS_CLASS_RETRY, CS_CLASS_RETRY},
        {200, CS_CLASS_OK, CS_CLASS_OK},
        {204, CS_CLASS_OK, CS_CLASS_OK},
        {304, CS_CLASS_OK, CS_CLASS_OK},
    };
    /* What gateways and sign-in pages send instead. */
    static const char *const bodies[] = {NULL,
                                         "{}",
                                         "[]",
                                         "[1]",
                                         "\"x\"",
                                         "{\"error\":\"x\"}",
                                         "[{\"message\":\"no code\"}]",
                                         "[{\"errorCode\":\"<b>not a word</b>\"}]"};
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (size_t j = 0; j < sizeof(bodies) / sizeof(bodies[0]); j++) {
            cs_result_t read = classify(table[i].status, bodies[j], CS_SF_READ, p),
                        update = classify(table[i].status, bodies[j], CS_SF_UPDATE, p);

            sf_expect(&read, table[i].read, NULL);
            sf_expect(&update, table[i].update, NULL);
            if (read.cls != CS_CLASS_OK) {
                assert_string_equal(read.problem, apr_psprintf(p, "http:%d", table[i].status));
            }
        }
    }
}

static void test_who_is_to_blame(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t res = classify(400, error_of("STRING_TOO_LONG", "x", "Name", p), CS_SF_UPDATE, p);

    assert_string_equal(res.blames, "Name");
    res = classify(400,
                   error_of("DUPLICATE_VALUE",
                            "duplicate value found: Ref__c duplicates value on record with id: "
                            "006000000000001",
                            NULL, p),
                   CS_SF_UPDATE, p);
    assert_string_equal(res.blames, "Ref__c");
    res = classify(
        400,
        error_of("INVALID_FIELD", "No such column 'X__c' on sobject of type Opportunity", NULL, p),
        CS_SF_UPDATE, p);
    assert_string_equal(res.blames, "X__c");
    res = classify(400, error_of("STRING_TOO_LONG", "x", "Na me", p), CS_SF_UPDATE, p);
    assert_null(res.blames);
    /* a look-up's target that the user may not see is that column's matter */
    res = classify(400,
                   error_of("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "x", "AccountId", p),
                   CS_SF_UPDATE, p);
    sf_expect(&res, CS_CLASS_DATA, NULL);
    res = classify(400, error_of("ENTITY_IS_DELETED", "entity is deleted", "AccountId", p),
                   CS_SF_UPDATE, p);
    sf_expect(&res, CS_CLASS_DATA, NULL);
    assert_string_equal(res.blames, "AccountId");
    /* collections name the code otherwise */
    res =
        classify(400, "[{\"statusCode\":\"STRING_TOO_LONG\",\"message\":\"m\",\"fields\":[\"A\"]}]",
                 CS_SF_UPDATE, p);
    sf_expect(&res, CS_CLASS_DATA, "salesforce:STRING_TOO_LONG");
    res = classify(400,
                   "{\"success\":false,\"errors\":[{\"statusCode\":\"STRING_TOO_LONG\",\"message\":"
                   "\"m\",\"fields\":[\"A\"]}]}",
                   CS_SF_UPDATE, p);
    assert_string_equal(res.blames, "A");
}

static void test_limits(void **state)
{
    apr_pool_t *p = *state;
    apr_time_t now = cs_time_now();
    cs_result_t res =
        classify(403,
                 error_of("REQUEST_LIMIT_EXCEEDED",
                          "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", NULL, p),
                 CS_SF_READ, p);

    sf_expect(&res, CS_CLASS_THROTTLED, "throttled");
    assert_true(res.retry_at >= now + 1 * APR_USEC_PER_SEC &&
                res.retry_at <= now + 60 * APR_USEC_PER_SEC);
    res =
        classify(403, error_of("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", NULL, p),
                 CS_SF_UPDATE, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "quota:daily");
    assert_true(res.retry_at == 0);
}

static void test_what_apex_and_flows_hide(void **state)
{
    static const char *const codes_of_code[] = {"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                                                "CANNOT_EXECUTE_FLOW_TRIGGER"};
    apr_pool_t *p = *state;

    for (size_t i = 0; i < 2; i++) {
        const char *code = codes_of_code[i];
        cs_result_t res = classify(
            400,
            error_of(code, "T: execution of AfterUpdate caused by: UNABLE_TO_LOCK_ROW, ...", "Name",
                     p),
            CS_SF_UPDATE, p);

        sf_expect(&res, CS_CLASS_RETRY, "salesforce:UNABLE_TO_LOCK_ROW");
        res = classify(400,
                       error_of(code, "unable to obtain exclusive access to this record", NULL, p),
                       CS_SF_CREATE, p);
        sf_expect(&res, CS_CLASS_RETRY, "salesforce:UNABLE_TO_LOCK_ROW");
        res = classify(400,
                       error_of(code, "System.LimitException: Too many SOQL queries: 101", NULL, p),
                       CS_SF_UPDATE, p);
        sf_expect(&res, CS_CLASS_RETRY, apr_pstrcat(p, "salesforce:", code, NULL));
        res = classify(400, error_of(code, "the amount is too low", NULL, p), CS_SF_UPDATE, p);
        sf_expect(&res, CS_CLASS_DATA, NULL);
    }
}

static void test_duplicates(void **state)
{
    static const char *const spellings[] = {"duplicateResut", "duplicateResult"};
    apr_pool_t *p = *state;
    cs_result_t res;

    for (size_t i = 0; i < 2; i++) {
        res = classify(
            400,
            apr_psprintf(
                p,
                "[{\"errorCode\":\"DUPLICATES_DETECTED\",\"message\":\"Use one of these "
                "records?\",\"%s\":{\"matchResults\":[{\"matchRecords\":[{\"record\":{"
                "\"Id\":\"00Q000000000001AAA\"}},{\"record\":{\"Id\":\"00Q000000000002AAA\""
                "}}]}]}}]",
                spellings[i]),
            CS_SF_CREATE, p);
        sf_expect(&res, CS_CLASS_DUPLICATE, "salesforce:DUPLICATES_DETECTED");
        assert_has(res.detail, "00Q000000000001AAA, 00Q000000000002AAA");
        assert_string_equal(res.said, "Use one of these records?");
    }
    res = classify(300,
                   "[\"/services/data/v60.0/sobjects/Opportunity/006000000000001AAA\","
                   "\"/services/data/v60.0/sobjects/Opportunity/006000000000002AAA\"]",
                   CS_SF_CREATE, p);
    sf_expect(&res, CS_CLASS_DUPLICATE, "http:300");
    assert_has(res.said, "006000000000001AAA, 006000000000002AAA");
}

static void test_no_answer(void **state)
{
    apr_pool_t *p = *state;
    cs_http_request_t request = {.method = "PATCH", .url = "https://o.my.salesforce.com/x"};
    cs_http_response_t response = {.outcome = CS_HTTP_UNKNOWN,
                                   .started = 1,
                                   .headers = apr_table_make(p, 1),
                                   .body = "",
                                   .error = "reset"};
    cs_result_t res = {0};

    cs_sf_classify(&res, &response, &request, NULL, CS_SF_UPDATE, p);
    sf_expect(&res, CS_CLASS_UNKNOWN, NULL);
    request.method = "GET";
    cs_sf_classify(&res, &response, &request, NULL, CS_SF_READ, p);
    sf_expect(&res, CS_CLASS_RETRY, "transport");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_codes),
        UNIT_TEST(test_statuses_without_a_code),
        UNIT_TEST(test_who_is_to_blame),
        UNIT_TEST(test_limits),
        UNIT_TEST(test_what_apex_and_flows_hide),
        UNIT_TEST(test_duplicates),
        UNIT_TEST(test_no_answer),
    };

    return UNIT_RUN(tests);
}
