/* Changing and making referrals: what goes out, and what is believed of the answer.
 * (partner-center-api.md 4.5, 4.6, 4.11) */
#include "unit_pc.h"

#define REQUEST "0c7e1c1e-5b6e-4b55-9d5f-3a3e6f5a1b2c"
#define AFTER                                                                                      \
    "{\"id\":\"" PC_ID "\",\"engagementId\":\"" PC_ENGAGEMENT                                      \
    "\",\"organizationId\":\"" PC_ORGANIZATION "\",\"eTag\":\"\\\"2\\\"\",\"status\":\"Active\"}"

static const char ops[] =
    "[{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":{\"$number\":\"60000.00\"}},"
    "{\"op\":\"replace\",\"path\":\"/details/notes\",\"value\":\"\\u00fc \\\"q\\\"\"}]";
static const char document[] =
    "{\"name\":\"A\",\"externalReferenceId\":\"crm-1\",\"type\":\"Independent\",\"details\":{"
    "\"dealValue\":{\"$number\":\"12.50\"},\"requirements\":{\"solutions\":[{\"price\":{\"$"
    "number\":"
    "\"0.1\"},\"id\":\"SOL-1\"}]}},\"consent\":{},\"customerProfile\":{}}";

static cs_pc_write_t patch(pc_rig_t *r)
{
    cs_pc_write_t write = {.id = PC_ID, .guard = PC_TAG, .request = REQUEST};

    write.body = pc_json(ops, r->p);
    assert_ok(cs_pc_patch(r->pc, &write, 1, 0, r->p));
    return write;
}

static cs_pc_write_t post(pc_rig_t *r)
{
    cs_pc_write_t write = {.request = REQUEST};

    write.body = pc_json(document, r->p);
    assert_ok(cs_pc_post(r->pc, &write, 1, 0, r->p));
    return write;
}

static void test_patch_on_the_wire(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t write;

    pc_will(r, "200 OK\r\nrequest-id: theirs", AFTER);
    write = patch(r);
    pc_expect(&write.result, CS_CLASS_OK, NULL);
    assert_string_equal(write.card->etag, "\"2\"");
    assert_string_equal(write.card->engagement_id, PC_ENGAGEMENT);
    assert_int_equal(write.calls, 1);
    assert_true(write.took > 0);
    assert_has(write.correlation, REQUEST);
    assert_has(write.correlation, "theirs");
    assert_string_equal(r->server->ops[0].method, "PATCH");
    assert_string_equal(r->server->ops[0].path, PC_LIST "/" PC_ID);
    assert_string_equal(pc_sent(r, 0, "If-Match"), PC_TAG);
    assert_string_equal(pc_sent(r, 0, "Prefer"), "return=representation");
    assert_string_equal(pc_sent(r, 0, "Content-Type"), "application/json");
    assert_string_equal(pc_sent(r, 0, "client-request-id"), REQUEST);
    assert_string_equal(pc_sent(r, 0, "Authorization"), "Bearer t");
    assert_string_equal(
        r->server->ops[0].body,
        "[{\"op\":\"replace\",\"path\":\"/details/dealValue\",\"value\":60000},"
        "{\"op\":\"replace\",\"path\":\"/details/notes\",\"value\":\"\xc3\xbc \\\"q\\\"\"}]");
    pc_stop(r);
}

static void test_guards(void **state)
{
    static const struct {
        const char *guard, *sent;
    } table[] = {{PC_TAG, PC_TAG},
                 {"84001c9d-0000", "\"84001c9d-0000\""},
                 {"W/\"7\"", "W/\"7\""},
                 {NULL, NULL},
                 {"", NULL},
                 {"*", NULL},
                 {"\"a\r\nX: y\"", NULL},
                 {"\"\xc3\xbc\"", NULL}};
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    int n = 0;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_pc_write_t write = {.id = PC_ID, .guard = table[i].guard};

        write.body = pc_json(ops, p);
        if (table[i].sent) {
            pc_will(r, "204 No Content", "");
        }
        assert_ok(cs_pc_patch(r->pc, &write, 1, 0, p));
        if (table[i].sent) {
            pc_expect(&write.result, CS_CLASS_OK, NULL);
            assert_string_equal(pc_sent(r, n++, "If-Match"), table[i].sent);
        }
        else {
            pc_expect(&write.result, CS_CLASS_REFUSED, "pc:guard");
            assert_int_equal(write.calls, 0);
        }
    }
    assert_int_equal(r->server->n_ops, n);
    pc_stop(r);
}

static void test_what_cannot_be_sent(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t writes[3] = {{.id = "x", .guard = PC_TAG},
                               {.id = PC_ID, .guard = PC_TAG},
                               {.id = PC_ID, .guard = PC_TAG}};

    writes[0].body = pc_json(ops, p);
    writes[1].body = pc_json("[]", p);
    writes[2].body = pc_json(document, p);
    assert_ok(cs_pc_patch(r->pc, writes, 3, 0, p));
    pc_expect(&writes[0].result, CS_CLASS_REFUSED, "pc:id");
    pc_expect(&writes[1].result, CS_CLASS_REFUSED, "pc:body");
    pc_expect(&writes[2].result, CS_CLASS_REFUSED, "pc:body");
    writes[0].body = pc_json("[]", p);
    writes[1].body = NULL;
    assert_ok(cs_pc_post(r->pc, writes, 2, 0, p));
    pc_expect(&writes[0].result, CS_CLASS_REFUSED, "pc:body");
    pc_expect(&writes[1].result, CS_CLASS_REFUSED, "pc:body");
    assert_ok(cs_pc_patch(r->pc, NULL, 0, 0, p));
    assert_int_equal(r->server->n_requests, 0);
    pc_stop(r);
}

/* What a 2xx shows. */
static void test_answers_to_a_patch(void **state)
{
    static const struct {
        const char *head, *body;
        cs_class_e cls;
        const char *etag; /* of the card; NULL = no card */
    } table[] = {
        {"200 OK", AFTER, CS_CLASS_OK, "\"2\""},
        {"200 OK\r\nETag: \"3\"", "{\"Id\":\"C5FB0000-0000-4000-8000-000000000001\"}", CS_CLASS_OK,
         "\"3\""},
        {"204 No Content", "", CS_CLASS_OK, NULL},
        {"200 OK", "", CS_CLASS_OK, NULL},
        {"202 Accepted", "", CS_CLASS_OK, NULL},
        {"200 OK", "<html>Sign in</html>", CS_CLASS_UNKNOWN, NULL},
        {"200 OK", "[]", CS_CLASS_UNKNOWN, NULL},
        {"200 OK", "{}", CS_CLASS_UNKNOWN, NULL},
        {"200 OK", "{\"id\":\"c5fb0000-0000-4000-8000-000000000002\"}", CS_CLASS_UNKNOWN, NULL},
        {"200 OK", "{\"id\":\"" PC_ID, CS_CLASS_UNKNOWN, NULL},
    };
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_pc_write_t write;

        pc_will(r, table[i].head, table[i].body);
        write = patch(r);
        pc_expect(&write.result, table[i].cls, table[i].cls == CS_CLASS_OK ? NULL : "pc:answer");
        assert_int_equal(write.card != NULL, table[i].etag != NULL);
        if (table[i].etag) {
            assert_string_equal(write.card->etag, table[i].etag);
        }
    }
    pc_stop(r);
}

static void test_post_on_the_wire(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t write;

    pc_will(r, "200 OK", AFTER);
    write = post(r);
    pc_expect(&write.result, CS_CLASS_OK, NULL);
    assert_string_equal(write.card->id, PC_ID);
    assert_string_equal(r->server->ops[0].method, "POST");
    assert_string_equal(r->server->ops[0].path, PC_LIST);
    assert_null(pc_sent(r, 0, "If-Match"));
    assert_string_equal(pc_sent(r, 0, "Content-Type"), "application/json");
    assert_string_equal(pc_sent(r, 0, "client-request-id"), REQUEST);
    assert_string_equal(
        r->server->ops[0].body,
        "{\"consent\":{},\"customerProfile\":{},\"details\":{\"dealValue\":12.5,\"requirements\":{"
        "\"solutions\":[{\"id\":\"SOL-1\",\"price\":0.1}]}},\"externalReferenceId\":\"crm-1\","
        "\"name\":\"A\",\"type\":\"Independent\"}");
    pc_will(r, "201 Created\r\nLocation: http://elsewhere.example/1\r\nETag: \"9\"",
            "{\"id\":\"" PC_ID "\"}");
    write = post(r);
    pc_expect(&write.result, CS_CLASS_OK, NULL);
    assert_string_equal(write.card->etag, "\"9\"");
    assert_int_equal(r->server->n_requests, 2);
    pc_stop(r);
}

static void test_answers_to_a_post(void **state)
{
    static const struct {
        const char *head, *body, *problem;
        cs_class_e cls;
    } table[] = {
        {"200 OK", "", "pc:answer", CS_CLASS_UNKNOWN},
        {"204 No Content", "", "pc:answer", CS_CLASS_UNKNOWN},
        {"202 Accepted", "{}", "pc:answer", CS_CLASS_UNKNOWN},
        {"201 Created", "<html>Welcome</html>", "pc:answer", CS_CLASS_UNKNOWN},
        {"200 OK", "{\"id\":\"none\"}", "pc:answer", CS_CLASS_UNKNOWN},
        {"408 Request Timeout", "", "http:408", CS_CLASS_UNKNOWN},
        {"500 Internal Server Error", "{\"error\":{\"code\":\"generalException\"}}",
         "pc:generalException", CS_CLASS_UNKNOWN},
        {"502 Bad Gateway", "<html></html>", "http:502", CS_CLASS_UNKNOWN},
        {"504 Gateway Timeout", "", "http:504", CS_CLASS_UNKNOWN},
        {"404 Not Found", "{\"error\":{\"code\":\"itemNotFound\"}}", "pc:itemNotFound",
         CS_CLASS_REFUSED},
        {"409 Conflict", "{\"error\":{\"code\":\"resourceModified\"}}", "pc:resourceModified",
         CS_CLASS_CONFLICT},
        {"422 Unprocessable", "{\"error\":{\"code\":\"invalidRequest\",\"message\":\"no\"}}",
         "pc:invalidRequest", CS_CLASS_DATA},
    };
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_pc_write_t write;

        pc_will(r, table[i].head, table[i].body);
        write = post(r);
        pc_expect(&write.result, table[i].cls, table[i].problem);
        assert_null(write.card);
        assert_int_equal(write.calls, 1);
    }
    pc_stop(r);
}

/* Nothing was done by what was answered 401, a POST included. */
static void test_one_refresh(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t write;

    pc_will(r, "401 Unauthorized", "");
    pc_will(r, "200 OK", AFTER);
    write = post(r);
    pc_expect(&write.result, CS_CLASS_OK, NULL);
    assert_int_equal(write.calls, 2);
    assert_int_equal(r->server->n_tokens, 2);
    assert_string_equal(r->server->ops[0].body, r->server->ops[1].body);
    assert_string_equal(pc_sent(r, 0, "client-request-id"), REQUEST);
    assert_string_not_equal(pc_sent(r, 1, "client-request-id"), REQUEST);
    assert_string_equal(pc_sent(r, 1, "MS-CorrelationId"), REQUEST);
    /* once and not more */
    pc_will(r, "401 Unauthorized", "");
    pc_will(r, "401 Unauthorized", "");
    write = patch(r);
    pc_expect(&write.result, CS_CLASS_SUSPEND, "pc:unauthenticated");
    assert_int_equal(write.calls, 2);
    /* the repetition decides what is known */
    pc_will(r, "401 Unauthorized", "");
    pc_will(r, "503 Service Unavailable", "");
    write = post(r);
    pc_expect(&write.result, CS_CLASS_UNKNOWN, "http:503");
    pc_stop(r);
}

static void test_throttled(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t write;

    pc_will(
        r, "429 Too Many Requests\r\nRetry-After: 57",
        "{\"statusCode\":429,\"message\":\"Rate limit is exceeded. Try again in 57 seconds.\"}");
    write = post(r);
    pc_expect(&write.result, CS_CLASS_THROTTLED, "throttled");
    assert_true(write.result.retry_at > cs_time_now() + 50 * APR_USEC_PER_SEC);
    assert_string_equal(write.result.said, "Rate limit is exceeded. Try again in 57 seconds.");
    /* while that lasts nothing leaves */
    write = post(r);
    pc_expect(&write.result, CS_CLASS_THROTTLED, "throttled");
    assert_int_equal(write.calls, 0);
    assert_int_equal(r->server->n_requests, 1);
    pc_stop(r);
}

static void test_forbidden(void **state)
{
    static const char denied[] =
        "{\"error\":{\"code\":\"accessDenied\",\"message\":\"Not yours\"}}";
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t write,
        two[2] = {{.id = PC_ID, .guard = PC_TAG},
                  {.id = "c5fb0000-0000-4000-8000-000000000002", .guard = "\"1\""}};

    /* the list is given: it is this referral */
    pc_will(r, "403 Forbidden", denied);
    pc_will(r, "200 OK", "{\"value\":[]}");
    write = patch(r);
    pc_expect(&write.result, CS_CLASS_REFUSED, "pc:accessDenied");
    assert_string_equal(write.result.said, "Not yours");
    /* it is not: the account */
    pc_will(r, "403 Forbidden", denied);
    pc_will(r, "403 Forbidden", denied);
    write = post(r);
    pc_expect(&write.result, CS_CLASS_SUSPEND, "pc:accessDenied");
    /* another change worked: nobody has to be asked */
    two[0].body = two[1].body = pc_json(ops, p);
    pc_will(r, "200 OK", AFTER);
    pc_will(r, "403 Forbidden", denied);
    assert_ok(cs_pc_patch(r->pc, two, 2, 0, p));
    pc_expect(&two[0].result, CS_CLASS_OK, NULL);
    pc_expect(&two[1].result, CS_CLASS_REFUSED, "pc:accessDenied");
    pc_stop(r);
}

static int never(void *baton, apr_interval_time_t timeout)
{
    (void)timeout;
    ++*(int *)baton;
    return 0;
}

/* Whoever loses the lane must not write any more; reading does no harm. */
static void test_the_lease_guards_writes(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_page_t page = {0};
    cs_pc_write_t write;
    int asked = 0;

    cs_http_guard(r->http, never, &asked);
    write = patch(r);
    pc_expect(&write.result, CS_CLASS_RETRY, "lease");
    write = post(r);
    pc_expect(&write.result, CS_CLASS_RETRY, "lease");
    assert_int_equal(write.calls, 0);
    assert_int_equal(asked, 2);
    assert_int_equal(r->server->n_requests, 0);
    pc_will(r, "200 OK", "{\"value\":[]}");
    assert_ok(cs_pc_list_changed(r->pc, &page, 0, p));
    pc_stop(r);
}

static void test_nobody_there(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t write;

    pc_will(r, "200 OK", AFTER);
    post(r);
    pc_stop(r);
    write = post(r);
    pc_expect(&write.result, CS_CLASS_RETRY, "transport");
    assert_int_equal(write.calls, 0);
}

static void test_many_at_once(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_write_t writes[5] = {{0}};

    for (int i = 0; i < 5; i++) {
        const char *id = apr_psprintf(p, "c5fb0000-0000-4000-8000-%012d", i);

        writes[i].id = i == 2 ? "broken" : id;
        writes[i].guard = PC_TAG;
        writes[i].body = pc_json(ops, p);
        if (i != 2) {
            pc_will(r, i == 3 ? "412 Precondition Failed" : "200 OK",
                    i == 3 ? "{}" : apr_psprintf(p, "{\"id\":\"%s\",\"eTag\":\"%d\"}", id, i));
        }
    }
    assert_ok(cs_pc_patch(r->pc, writes, 5, 0, p));
    for (int i = 0; i < 5; i++) {
        pc_expect(&writes[i].result,
                  i == 2   ? CS_CLASS_REFUSED
                  : i == 3 ? CS_CLASS_CONFLICT
                           : CS_CLASS_OK,
                  NULL);
        assert_int_equal(writes[i].card != NULL, i != 2 && i != 3);
        if (writes[i].card) {
            assert_string_equal(writes[i].card->id, writes[i].id);
        }
    }
    pc_stop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_patch_on_the_wire),   UNIT_TEST(test_guards),
        UNIT_TEST(test_what_cannot_be_sent), UNIT_TEST(test_answers_to_a_patch),
        UNIT_TEST(test_post_on_the_wire),    UNIT_TEST(test_answers_to_a_post),
        UNIT_TEST(test_one_refresh),         UNIT_TEST(test_throttled),
        UNIT_TEST(test_forbidden),           UNIT_TEST(test_the_lease_guards_writes),
        UNIT_TEST(test_nobody_there),        UNIT_TEST(test_many_at_once),
    };

    return UNIT_RUN(tests);
}
