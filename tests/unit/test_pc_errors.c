/* What an answer of the Referrals API means: classes, words, the member it names.
 * (partner-center-api.md 4.11) */
#include "unit_pc.h"

#include "mod_cosell/remote/partner_center/errors.h"

#define MISMATCH                                                                                   \
    "{\"error\":{\"code\":\"preconditionFailed\",\"message\":\"A precondition provided in the "    \
    "request (such as an if-match header) does not match the resource's current state.\","         \
    "\"target\":\"ETag\",\"innerError\":{\"code\":\"99918\",\"message\":\"One of the specified "   \
    "pre-condition is not met. Etag value did not Match\",\"details\":null}}}"

static const char ops[] = "[{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":1},"
                          "{\"op\":\"replace\",\"path\":\"/details/notes\",\"value\":\"x\"},"
                          "{\"op\":\"add\",\"path\":\"/team/-\",\"value\":{}},"
                          "{\"op\":\"replace\",\"path\":\"/customerProfile/team\",\"value\":[]}]";

static cs_result_t judge(int status, const char *body, cs_pc_kind_e kind, apr_pool_t *p)
{
    cs_http_request_t request = {.method = kind == CS_PC_READ    ? "GET"
                                           : kind == CS_PC_PATCH ? "PATCH"
                                                                 : "POST",
                                 .url = "https://api.partner.microsoft.com/x",
                                 .label = "the call"};
    cs_http_response_t response = {.outcome = CS_HTTP_ANSWERED, .started = 1, .status = status};
    cs_result_t res = {0};

    response.headers = apr_table_make(p, 1);
    response.body = body;
    response.body_len = strlen(body);
    response.reason = "";
    response.correlation = "client-request-id=1";
    cs_pc_classify(&res, &response, &request, kind, pc_json(ops, p), p);
    return res;
}

static void test_classes(void **state)
{
    static const struct {
        int status;
        cs_class_e read, patch, post;
    } table[] = {
        {200, CS_CLASS_OK, CS_CLASS_OK, CS_CLASS_OK},
        {201, CS_CLASS_OK, CS_CLASS_OK, CS_CLASS_OK},
        {302, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {400, CS_CLASS_REFUSED, CS_CLASS_DATA, CS_CLASS_DATA},
        {401, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {403, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {404, CS_CLASS_GONE, CS_CLASS_GONE, CS_CLASS_REFUSED},
        {405, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {406, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {408, CS_CLASS_RETRY, CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {409, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT},
        {410, CS_CLASS_GONE, CS_CLASS_GONE, CS_CLASS_REFUSED},
        {411, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {412, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT},
        {413, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {415, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {416, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {422, CS_CLASS_REFUSED, CS_CLASS_DATA, CS_CLASS_DATA},
        {423, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT, CS_CLASS_CONFLICT},
        {429, CS_CLASS_THROTTLED, CS_CLASS_THROTTLED, CS_CLASS_THROTTLED},
        {500, CS_CLASS_RETRY, CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {501, CS_CLASS_REFUSED, CS_CLASS_REFUSED, CS_CLASS_REFUSED},
        {502, CS_CLASS_RETRY, CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {503, CS_CLASS_RETRY, CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {504, CS_CLASS_RETRY, CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {507, CS_CLASS_RETRY, CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {509, CS_CLASS_THROTTLED, CS_CLASS_THROTTLED, CS_CLASS_THROTTLED},
    };
    static const char *const bodies[] = {"",
                                         "<html><body>Gateway</body></html>",
                                         "{\"error\":{\"code\":\"someCode\",\"message\":\"m\"}}",
                                         "{\"statusCode\":1,\"message\":\"m\"}",
                                         "[]",
                                         "null"};
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (size_t b = 0; b < sizeof(bodies) / sizeof(bodies[0]); b++) {
            cs_result_t read = judge(table[i].status, bodies[b], CS_PC_READ, p);
            cs_result_t patch = judge(table[i].status, bodies[b], CS_PC_PATCH, p);
            cs_result_t post = judge(table[i].status, bodies[b], CS_PC_POST, p);

            if (read.cls != table[i].read || patch.cls != table[i].patch ||
                post.cls != table[i].post) {
                fail_msg("%d \"%s\": %s %s %s", table[i].status, bodies[b], cs_class_name(read.cls),
                         cs_class_name(patch.cls), cs_class_name(post.cls));
            }
        }
    }
}

static void test_words(void **state)
{
    apr_pool_t *p = *state;
    cs_result_t res = judge(412, MISMATCH, CS_PC_PATCH, p);
    char *many;

    pc_expect(&res, CS_CLASS_CONFLICT, "pc:preconditionFailed");
    assert_has(res.said, "A precondition provided in the request");
    assert_has(res.said, " (One of the specified pre-condition is not met.");
    assert_null(res.blames);
    assert_string_equal(res.correlation, "client-request-id=1");
    /* the same words are said once */
    res = judge(400,
                "{\"error\":{\"code\":\"invalidRequest\",\"message\":\"No such currency.\","
                "\"innerError\":{\"message\":\"No such currency.\"}}}",
                CS_PC_PATCH, p);
    assert_string_equal(res.said, "No such currency.");
    /* nested as deep as they like; one line */
    res =
        judge(400,
              "{\"Error\":{\"Code\":\"invalidRequest\",\"InnerError\":{\"code\":\"1\",\"message\":"
              "\"one\",\"innererror\":{\"message\":\"two\\r\\nlines\"}},\"Message\":\"outer\"}}",
              CS_PC_POST, p);
    assert_string_equal(res.said, "outer (two  lines)");
    /* what gateways say */
    assert_string_equal(judge(400, "{\"statusCode\":400,\"message\":\"Bad\"}", CS_PC_PATCH, p).said,
                        "Bad");
    assert_null(judge(400, "<html>Bad</html>", CS_PC_PATCH, p).said);
    assert_null(judge(400, "", CS_PC_PATCH, p).said);
    assert_null(judge(400, "{\"error\":{\"message\":\"\"}}", CS_PC_PATCH, p).said);
    /* a read has no seller to tell */
    assert_null(judge(400, "{\"error\":{\"message\":\"Bad\"}}", CS_PC_READ, p).said);
    /* bounded, and cut between characters */
    for (int shift = 0; shift < 3; shift++) {
        many = apr_pcalloc(p, 4096);
        memset(many, 'x', (size_t)shift);
        for (int i = 0; i < 400; i++) {
            memcpy(many + shift + i * 3, "\xe2\x82\xac", 3);
        }
        res = judge(400, apr_psprintf(p, "{\"error\":{\"message\":\"%s\"}}", many), CS_PC_POST, p);
        assert_true(strlen(res.said) <= 500 && strlen(res.said) > 480);
        assert_string_equal(res.said + strlen(res.said) - 3, "\xe2\x80\xa6");
        assert_int_equal((strlen(res.said) - (size_t)shift) % 3, 0);
    }
}

static void test_problem_is_a_word(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(judge(400, "{\"error\":{\"code\":\"a b\"}}", CS_PC_PATCH, p).problem,
                        "http:400");
    assert_string_equal(judge(400, "{\"error\":{\"code\":12}}", CS_PC_PATCH, p).problem, "pc:12");
    assert_string_equal(judge(429, "{\"error\":{\"code\":\"x\"}}", CS_PC_PATCH, p).problem,
                        "throttled");
    assert_string_equal(
        judge(401, "{\"error\":{\"code\":\"900421\",\"message\":\"x\"}}", CS_PC_POST, p).problem,
        "pc:mfa");
}

static void blames(const char *target, const char *expected, apr_pool_t *p)
{
    const char *body =
        apr_psprintf(p, "{\"error\":{\"code\":\"invalidRequest\",\"target\":\"%s\"}}", target);
    const char *found = judge(400, body, CS_PC_PATCH, p).blames;

    if ((found == NULL) != (expected == NULL) || (found && strcmp(found, expected))) {
        fail_msg("\"%s\" blames %s, expected %s", target, found ? found : "nothing",
                 expected ? expected : "nothing");
    }
}

static void test_blames(void **state)
{
    apr_pool_t *p = *state;

    blames("/details/dealValue", "/details/dealValue", p);
    blames("details.dealValue", "/details/dealValue", p);
    blames("details/dealValue", "/details/dealValue", p);
    blames("$.details.dealValue", "/details/dealValue", p);
    blames("$['details']['dealValue']", "/details/dealValue", p);
    blames("#/details/dealValue", "/details/dealValue", p);
    blames("Details.DealValue", "/details/dealValue", p);
    blames("DETAILS.DEALVALUE", "/details/dealValue", p);
    blames("Referral.Details.DealValue", "/details/dealValue", p);
    blames("details.dealValue.", "/details/dealValue", p);
    /* a bare name is that of the one path that ends in it */
    blames("dealValue", "/details/dealValue", p);
    blames("Notes", "/details/notes", p);
    blames("closingDateTime", "/closingDateTime", p);
    /* not sent, but a path */
    blames("name", "/name", p);
    blames("details.requirements.solutions[0].id", "/details/requirements/solutions/0/id", p);
    blames("/team/-", "/team/-", p);
    blames("team", "/team", p);
    blames("/customerProfile/team/0/email", "/customerProfile/team/0/email", p);
    /* by the index of the operation */
    blames("[1]", "/details/notes", p);
    blames("/0/value", "/details/dealValue", p);
    blames("$[3].value[0].email", "/customerProfile/team/0/email", p);
    blames("[7].value", NULL, p);
    /* no members */
    blames("ETag", NULL, p);
    blames("If-Match", NULL, p);
    blames("", NULL, p);
    blames("/", NULL, p);
    blames("$", NULL, p);
    blames("the deal value", NULL, p);
    blames("a;b", NULL, p);
    blames("1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17", NULL, p);
    blames(apr_psprintf(p, "%0300d", 1), NULL, p);
}

static void test_blames_deeper(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(judge(400,
                              "{\"error\":{\"target\":\"The request\",\"innerError\":{\"target\":"
                              "\"details.notes\"}}}",
                              CS_PC_PATCH, p)
                            .blames,
                        "/details/notes");
    assert_string_equal(
        judge(422,
              "{\"error\":{\"details\":[{\"target\":\"Details.Notes\",\"message\":\"long\"}]}}",
              CS_PC_PATCH, p)
            .blames,
        "/details/notes");
    /* only a refused value has somebody to blame */
    assert_null(judge(409, "{\"error\":{\"target\":\"details.notes\"}}", CS_PC_PATCH, p).blames);
    assert_null(judge(500, "{\"error\":{\"target\":\"details.notes\"}}", CS_PC_POST, p).blames);
    assert_null(judge(400, "{\"error\":{\"target\":\"details.notes\"}}", CS_PC_READ, p).blames);
}

/* Depth without end is cut, not followed. */
static void test_deep_errors(void **state)
{
    apr_pool_t *p = *state;
    char *body = apr_pcalloc(p, 8192), *at = body;

    at += sprintf(at, "{\"error\":");
    for (int i = 0; i < 20; i++) {
        at += sprintf(at, "{\"message\":\"m%d\",\"innerError\":", i);
    }
    at += sprintf(at, "null");
    for (int i = 0; i < 21; i++) {
        at += sprintf(at, "}");
    }
    assert_string_equal(judge(400, body, CS_PC_PATCH, p).said, "m0 (m7)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_classes), UNIT_TEST(test_words),         UNIT_TEST(test_problem_is_a_word),
        UNIT_TEST(test_blames),  UNIT_TEST(test_blames_deeper), UNIT_TEST(test_deep_errors),
    };

    return UNIT_RUN(tests);
}
