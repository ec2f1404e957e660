/* What people read when something refuses: who refused what and what to do first, the vendor's own words behind;
 * and what to do about each problem that is found here. */
#include "unit.h"

#include <string.h>

#include "mod_cosell/base/json.h"
#include "mod_cosell/domain/record.h"
#include "mod_cosell/engine/remedy.h"
#include "mod_cosell/remote/dynamics/errors.h"
#include "mod_cosell/remote/partner_center/errors.h"
#include "mod_cosell/remote/salesforce/errors.h"

#define WORDS "the vendor's own words"

static const cs_http_request_t request = {.method = "PATCH", .url = "https://h.example/x", .label = "the call"};

static cs_http_response_t answered(int status, const char *body, apr_pool_t *p)
{
    cs_http_response_t r = {.outcome = CS_HTTP_ANSWERED, .started = 1, .status = status, .reason = "Reason"};

    r.headers = apr_table_make(p, 1);
    r.body = body;
    r.body_len = strlen(body);
    return r;
}

/* What stops a look or an upstream: somebody reads it. */
static int is_read(cs_class_e cls)
{
    return cls == CS_CLASS_SUSPEND || cls == CS_CLASS_REFUSED || cls == CS_CLASS_DATA || cls == CS_CLASS_DUPLICATE;
}

static void assert_plain(const cs_result_t *res, const char *who, int status, const char *said)
{
    const char *open;

    if (!is_read(res->cls)) {
        return;
    }
    open = strstr(res->detail, " (the call: h.example answered ");
    if (!open || open - res->detail < 40 || res->detail[strlen(res->detail) - 1] != ')' || !memchr(res->detail, ':', (size_t)(open - res->detail))) {
        fail_msg("%s %d %s: %s", who, status, said, res->detail);
    }
    if (*said && !strstr(open, WORDS)) {
        fail_msg("%s %d: the vendor's words are not behind: %s", who, status, res->detail);
    }
}

static void test_every_status_of_partner_center(void **state)
{
    static const char *const bodies[] = {"", "{\"error\":{\"code\":\"accessDenied\",\"message\":\"" WORDS "\"}}"};
    apr_pool_t *p = *state;
    cs_result_t res;
    int status, kind, i;

    for (status = 300; status < 500; status++) {
        for (kind = CS_PC_READ; kind <= CS_PC_HOOK; kind++) {
            for (i = 0; i < 2; i++) {
                cs_http_response_t r = answered(status, bodies[i], p);
                memset(&res, 0, sizeof(res));
                cs_pc_classify(&res, &r, &request, (cs_pc_kind_e)kind, NULL, p);
                assert_plain(&res, "Partner Center", status, bodies[i]);
            }
        }
    }
}

static void test_every_status_of_dynamics(void **state)
{
    static const char *const codes[] = {"0x80072560", "0x80040220", "0x80040237", "0x8004F502", "0x80060890", "0x80060888", "0x80048d19", "0x8006088a",
                                        "0x80040265", "0x80044331", "0x80040333", "0x80049999", NULL};
    apr_pool_t *p = *state;
    cs_result_t res;
    int status, kind, i;

    for (status = 300; status < 500; status++) {
        for (kind = CS_DYN_READ; kind <= CS_DYN_CALL; kind++) {
            for (i = 0; codes[i]; i++) {
                const char *body = apr_psprintf(p, "{\"error\":{\"code\":\"%s\",\"message\":\"" WORDS "\"}}", codes[i]);
                cs_http_response_t r = answered(status, body, p);
                memset(&res, 0, sizeof(res));
                cs_dyn_classify(&res, &r, &request, (cs_dyn_kind_e)kind, NULL, p);
                assert_plain(&res, "Dynamics", status, body);
            }
        }
    }
}

static void test_every_status_of_salesforce(void **state)
{
    static const char *const codes[] = {"INVALID_SESSION_ID", "INSUFFICIENT_ACCESS", "FIELD_NOT_UPDATABLE", "INVALID_FIELD", "INVALID_TYPE", "REQUEST_LIMIT_EXCEEDED",
                                        "API_CURRENTLY_DISABLED", "API_DISABLED_FOR_ORG", "CLIENT_NOT_ACCESSIBLE_FOR_USER", "UNSUPPORTED_API_VERSION", "DUPLICATES_DETECTED",
                                        "REQUIRED_FIELD_MISSING", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "CANNOT_EXECUTE_FLOW_TRIGGER", "EXCEEDED_ID_LIMIT", "NOBODY_KNOWS_IT", NULL};
    apr_pool_t *p = *state;
    cs_result_t res;
    int status, kind, i;

    for (status = 300; status < 500; status++) {
        for (kind = CS_SF_READ; kind <= CS_SF_UPDATE; kind++) {
            for (i = 0; codes[i]; i++) {
                json_t *body = json_pack("[{s:s, s:s}]", "errorCode", codes[i], "message", WORDS);
                cs_http_response_t r = answered(status, "", p);
                memset(&res, 0, sizeof(res));
                if (status != 304) {
                    cs_sf_classify(&res, &r, &request, cs_json_own(body, p), (cs_sf_kind_e)kind, p);
                    assert_plain(&res, "Salesforce", status, status == 300 ? "" : WORDS);
                }
                else {
                    json_decref(body);
                }
            }
        }
    }
}

/* ---- what is found here ---- */

static void test_every_problem_of_a_dead_look_has_a_remedy(void **state)
{
    static const char *const ours[] = {"config:crm", "config:team", "config:call", "config:column", "mapping:kind", "lookup:held", "too-many", "pc:pages", "pc:id", "pc:guard",
                                       "pc:body", "store:row", "store:conflict", "work:name", "deal:no record", "deal:no referral", "dataverse:id", "dataverse:key", "salesforce:id",
                                       "salesforce:query", "transport", "unknown", NULL};
    apr_pool_t *p = *state;
    int i;

    for (i = 0; ours[i]; i++) {
        if (!cs_remedy_of_dead(ours[i])) {
            fail_msg("nothing says what to do about %s", ours[i]);
        }
    }
    assert_null(cs_remedy_of_dead("pc:accessDenied"));
    assert_null(cs_remedy_of_dead("salesforce:INSUFFICIENT_ACCESS"));
    assert_null(cs_remedy_of_dead(NULL));
    assert_string_equal(cs_remedy_of_cause("dead config:crm 1a2b3c4d", p), cs_remedy_of_dead("config:crm"));
    assert_string_equal(cs_remedy_of_cause("dead too-many", p), cs_remedy_of_dead("too-many"));
    assert_null(cs_remedy_of_cause("waits country", p));
    assert_null(cs_remedy_of_cause(NULL, p));
}

static const char *words(const char *text, apr_pool_t *p)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(json);
    return cs_wrapper_words(cs_json_own(json, p), p);
}

static void test_what_a_row_to_be_written_says(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(words("{\"$lookup\":{\"find\":\"user\",\"table\":\"systemuser\",\"keys\":[{\"internalemailaddress\":\"ann@p.example\"},{\"internalemailaddress\":\"bob@p.example\"}],"
                              "\"several\":\"hold\",\"none\":\"skip\",\"columns\":[\"ownerid\"]}}",
                              p),
                        "the user whose e-mail is ann@p.example, or whose e-mail is bob@p.example");
    assert_string_equal(words("{\"$lookup\":{\"find\":\"account\",\"table\":\"account\",\"keys\":[{\"name\":\"Fabrikam\",\"x\":1}],\"none\":\"create\",\"create\":{}}}", p),
                        "the account whose name is Fabrikam and x is 1, made if there is none");
    assert_string_equal(words("{\"$ref\":{\"table\":\"account\",\"id\":\"a-1\"}}", p), "account a-1");
    assert_string_equal(words("{\"$number\":\"12.50\"}", p), "12.50");
    assert_string_equal(words("{\"$choice\":\"Price\"}", p), "Price");
    assert_null(words("{\"$lookup\":1}", p));
    assert_null(words("{\"name\":\"x\"}", p));
    assert_null(words("\"x\"", p));
    assert_null(cs_wrapper_words(NULL, p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_every_status_of_partner_center),
        UNIT_TEST(test_every_status_of_dynamics),
        UNIT_TEST(test_every_status_of_salesforce),
        UNIT_TEST(test_every_problem_of_a_dead_look_has_a_remedy),
        UNIT_TEST(test_what_a_row_to_be_written_says),
    };

    return UNIT_RUN(tests);
}
