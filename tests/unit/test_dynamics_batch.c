/* $batch: the multipart bodies there and back, and reads, finds and writes through it against a
 * canned server. (crm-apis.md A10) */
#include "unit_dynamics.h"

#include "mod_cosell/remote/dynamics/multipart.h"

#define ACC "0f0d0000-0000-4000-8000-000000000041"
#define TYPE "multipart/mixed; boundary=batchresponse_1"
#define PART "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
#define DELIM "--batchresponse_1\r\n"

/* ---- bodies ---- */

static apr_array_header_t *parse(const char *type, const char *body, apr_pool_t *p)
{
    apr_array_header_t *parts = NULL;
    cs_result_t res = {0};

    assert_ok(cs_dyn_multipart_parse(&parts, type, body, strlen(body), 1000, p, &res));
    return parts;
}

static const cs_dyn_part_t *part(const apr_array_header_t *parts, int at)
{
    assert_true(at < parts->nelts);
    return &APR_ARRAY_IDX(parts, at, cs_dyn_part_t);
}

#define GOOD                                                                                       \
    DELIM PART "Content-ID: 1\r\n\r\nHTTP/1.1 200 OK\r\nETag: W/\"7\"\r\nREQ_ID:  r1 "             \
               "\r\n\r\n{\"a\":1}\r\n" DELIM PART                                                  \
               "\r\nHTTP/1.1 204 No Content\r\nOData-EntityId: https://h/x(" ACC                   \
               ")\r\n\r\n\r\n" DELIM PART                                                          \
               "\r\nHTTP/1.1 404 Not "                                                             \
               "Found\r\n\r\n{\"error\":{\"code\":\"0x80040217\"}}\r\n--batchresponse_1--\r\n"

static void expect_good(const apr_array_header_t *parts)
{
    assert_int_equal(parts->nelts, 3);
    assert_int_equal(part(parts, 0)->status, 200);
    assert_int_equal(part(parts, 0)->id, 1);
    assert_string_equal(part(parts, 0)->body, "{\"a\":1}");
    assert_string_equal(apr_table_get(part(parts, 0)->headers, "etag"), "W/\"7\"");
    assert_string_equal(apr_table_get(part(parts, 0)->headers, "REQ_ID"), "r1");
    assert_int_equal(part(parts, 1)->status, 204);
    assert_string_equal(part(parts, 1)->reason, "No Content");
    assert_int_equal(part(parts, 1)->id, 0);
    assert_int_equal(part(parts, 2)->status, 404);
    assert_string_equal(part(parts, 2)->body, "{\"error\":{\"code\":\"0x80040217\"}}");
}

static void test_parse_good(void **state)
{
    apr_pool_t *p = *state;
    char *lf;

    expect_good(parse(TYPE, GOOD, p));
    expect_good(parse("Multipart/Mixed;charset=x; Boundary=\"batchresponse_1\"", GOOD, p));
    expect_good(parse("multipart/mixed; boundary = batchresponse_1 ; x=y", GOOD, p));
    /* a preamble and an epilogue are nobody's */
    expect_good(parse(TYPE, "hello\r\n" GOOD "\r\nbye\r\n--batchresponse_1\r\nmore", p));
    lf = canned_lf(apr_pstrdup(p, GOOD));
    assert_null(strchr(lf, '\r'));
    expect_good(parse(TYPE, lf, p));
    /* blanks after a boundary are transport padding */
    expect_good(parse(TYPE,
                      "--batchresponse_1 \t\r\n" PART
                      "Content-ID: 1\r\n\r\nHTTP/1.1 200 OK\r\nETag: W/\"7\"\r\nREQ_ID:  r1 "
                      "\r\n\r\n{\"a\":1}\r\n" DELIM PART
                      "\r\nHTTP/1.1 204 No Content\r\n\r\n" DELIM PART
                      "\r\nHTTP/1.1 404 Not "
                      "Found\r\n\r\n{\"error\":{\"code\":\"0x80040217\"}}\r\n--batchresponse_1--",
                      p));
}

static void test_parse_what_is_cut(void **state)
{
    apr_pool_t *p = *state;
    size_t len = strlen(GOOD), i;
    int last = 0;

    /* Only parts that are there to their end count, however much is missing. */
    for (i = 0; i <= len; i++) {
        char *heap = unit_exact(GOOD, i);
        apr_array_header_t *parts = NULL;
        cs_result_t res = {0};
        apr_status_t rv = cs_dyn_multipart_parse(&parts, TYPE, heap, i, 1000, p, &res);

        if (rv == APR_SUCCESS) {
            assert_true(parts->nelts >= last && parts->nelts <= last + 1);
            last = parts->nelts;
        }
        else {
            assert_int_equal(rv, CS_EPARSE);
            assert_int_equal(last, 0);
            assert_non_null(res.detail);
        }
        free(heap);
    }
    assert_int_equal(last, 3);
}

static void test_parse_what_is_wrong(void **state)
{
    static const char *const types[] = {"application/json",
                                        "",
                                        "multipart/mixed",
                                        "multipart/mixed; boundary=",
                                        "multipart/mixed; boundary=\"x",
                                        "multipart/mixed; boundary=other"};
    static const char *const bad_parts[] = {
        "\r\n", "", "garbage", PART "\r\n", PART "\r\nHTTP/1.1 \r\n\r\n",
        PART "\r\nHTTP/2 200\r\n\r\n", PART "\r\nHTTP/1.1 2000 OK\r\n\r\n",
        PART "\r\nHTTP/1.1 099 Low\r\n\r\n", PART "no colon\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        PART "\r\nHTTP/1.1 200 OK\r\nno colon\r\n\r\nx",
        /* change sets were not asked for */
        "Content-Type: multipart/mixed; "
        "boundary=changesetresponse_1\r\n\r\n--changesetresponse_1\r\n" PART
        "\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--changesetresponse_1--\r\n"};
    apr_pool_t *p = *state;
    apr_array_header_t *parts;
    cs_result_t res;
    size_t i;

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        assert_int_equal(cs_dyn_multipart_parse(&parts, types[i], GOOD, strlen(GOOD), 10, p, &res),
                         CS_EPARSE);
        assert_non_null(res.detail);
        assert_int_equal(parts->nelts, 0);
    }
    assert_int_equal(cs_dyn_multipart_parse(&parts, TYPE, GOOD, strlen(GOOD), 2, p, &res),
                     CS_ELIMIT);
    assert_int_equal(cs_dyn_multipart_parse(&parts, NULL, GOOD, strlen(GOOD), 2, p, &res),
                     CS_EPARSE);
    /* a part that is none keeps its place */
    for (i = 0; i < sizeof(bad_parts) / sizeof(bad_parts[0]); i++) {
        const char *body =
            apr_pstrcat(p, DELIM, bad_parts[i], "\r\n", DELIM,
                        PART "\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--batchresponse_1--", NULL);

        parts = parse(TYPE, body, p);
        assert_int_equal(parts->nelts, 2);
        assert_int_equal(part(parts, 0)->status, 0);
        assert_int_equal(part(parts, 1)->status, 204);
    }
}

static void test_parse_bounds(void **state)
{
    apr_pool_t *p = *state;
    char *big = apr_palloc(p, 5 << 20), *lines = "";
    apr_array_header_t *parts;
    int i;

    memset(big, 'x', (5 << 20) - 1);
    big[(5 << 20) - 1] = '\0';
    parts = parse(TYPE,
                  apr_pstrcat(p, DELIM PART "\r\nHTTP/1.1 200 OK\r\n\r\n", big,
                              "\r\n--batchresponse_1--", NULL),
                  p);
    assert_int_equal(part(parts, 0)->body_len, (5 << 20) - 1);
    big[20000] = '\0';
    parts = parse(TYPE,
                  apr_pstrcat(p, DELIM PART "\r\nHTTP/1.1 200 OK\r\nX: ", big,
                              "\r\n\r\n\r\n--batchresponse_1--", NULL),
                  p);
    assert_int_equal(part(parts, 0)->status, 0);
    for (i = 0; i < CS_DYN_PART_HEADERS_MAX + 1; i++) {
        lines = apr_psprintf(p, "%sX-%d: y\r\n", lines, i);
    }
    parts = parse(TYPE,
                  apr_pstrcat(p, DELIM PART "\r\nHTTP/1.1 200 OK\r\n", lines,
                              "\r\n\r\n--batchresponse_1--", NULL),
                  p);
    assert_int_equal(part(parts, 0)->status, 0);
    /* A reason phrase is bounded, too, and a boundary that begins like ours or stands inside a line
     * is text. */
    parts = parse(TYPE,
                  apr_pstrcat(p, DELIM PART "\r\nHTTP/1.1 200 ", big,
                              "\r\n\r\n--batchresponse_12\r\n "
                              "x--batchresponse_1\r\n--batchresponse_1x\r\n--batchresponse_1--"
                              "x\r\n--batchresponse_1--",
                              NULL),
                  p);
    assert_int_equal(parts->nelts, 1);
    assert_int_equal(strlen(part(parts, 0)->reason), 128);
    assert_string_equal(
        part(parts, 0)->body,
        "--batchresponse_12\r\n x--batchresponse_1\r\n--batchresponse_1x\r\n--batchresponse_1--x");
}

/* Bytes that are nearly an answer: nothing is read beyond them, nothing is invented. */
static void test_parse_random(void **state)
{
    static const char *const words[] = {"--batchresponse_1",
                                        "\r\n",
                                        "\n",
                                        "\r",
                                        "--",
                                        "HTTP/1.1 200 OK",
                                        "Content-Type: application/http",
                                        ": ",
                                        "Content-ID: 3",
                                        "\r\n\r\n",
                                        "{}",
                                        "\x00\x01",
                                        "x",
                                        ":",
                                        "HTTP/1.1 ",
                                        "204"};
    unsigned seed = 7;
    int round, i;

    for (round = 0; round < 20000; round++) {
        apr_array_header_t *parts = NULL;
        cs_result_t res = {0};
        char text[2000], *heap;
        size_t n = 0;
        apr_pool_t *p;

        assert_ok(apr_pool_create(&p, *state));
        for (i = rand_r(&seed) % 60; i > 0; i--) {
            const char *word = words[(size_t)rand_r(&seed) % (sizeof(words) / sizeof(words[0]))];
            size_t len = strlen(word) ? strlen(word) : 2;

            memcpy(text + n, word, len);
            n += len;
        }
        heap = unit_exact(text, n);
        if (cs_dyn_multipart_parse(&parts, TYPE, heap, n, 20, p, &res) == APR_SUCCESS) {
            for (i = 0; i < parts->nelts; i++) {
                const cs_dyn_part_t *one = part(parts, i);

                assert_true(one->status == 0 || (one->status >= 100 && one->status <= 999));
                assert_true(one->body_len <= n && one->body[one->body_len] == '\0' &&
                            one->headers && one->reason);
            }
        }
        free(heap);
        apr_pool_destroy(p);
    }
}

static cs_http_request_t request_of(const char *method, const char *url, const char *body,
                                    apr_pool_t *p)
{
    cs_http_request_t r = {.method = method,
                           .url = url,
                           .label = "x",
                           .body = body,
                           .body_len = body ? strlen(body) : 0};

    r.headers = apr_table_make(p, 4);
    return r;
}

static void test_make(void **state)
{
    apr_pool_t *p = *state;
    cs_http_request_t r[2] = {
        request_of("GET", "https://org.example/api/data/v9.2/accounts?$top=1", NULL, p),
        request_of("PATCH", "https://org.example/api/data/v9.2/accounts(1)", "{\"name\":\"x\"}",
                   p)};
    apr_size_t len = 0;
    const char *text;

    apr_table_set(r[0].headers, "Accept", "application/json");
    apr_table_set(r[0].headers, "OData-Version", "4.0");
    apr_table_set(r[0].headers, "If-None-Match", "null");
    apr_table_set(r[1].headers, "If-Match", "W/\"7\"");
    apr_table_set(r[1].headers, "Content-Type", "application/json; charset=utf-8");
    text = cs_dyn_multipart_make(r, 2, "batch_1", &len, p);
    assert_string_equal(
        text, "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: "
              "binary\r\nContent-ID: 1\r\n\r\n"
              "GET /api/data/v9.2/accounts?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n"
              "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: "
              "binary\r\nContent-ID: 2\r\n\r\n"
              "PATCH /api/data/v9.2/accounts(1) HTTP/1.1\r\nIf-Match: W/\"7\"\r\n"
              "Content-Type: application/json; type=entry\r\nContent-Length: "
              "12\r\n\r\n{\"name\":\"x\"}\r\n--batch_1--\r\n");
    assert_int_equal(len, strlen(text));
    assert_true(cs_dyn_part_fits(&r[0]) && cs_dyn_part_fits(&r[1]));
    /* nothing of a part may end its line */
    apr_table_set(r[1].headers, "If-Match", "x\r\nX: y");
    assert_false(cs_dyn_part_fits(&r[1]));
    r[0].url = "https://org.example/a b";
    assert_false(cs_dyn_part_fits(&r[0]));
    r[0].url = "https://org.example/a\r\nb";
    assert_false(cs_dyn_part_fits(&r[0]));
}

/* ---- a client and its canned environment ---- */

/* Rows exist but those ending in 7; writes: 2 is stale, 3 is throttled, 4 answers about another
 * row. */
static const char *environment(canned_t *c, const canned_op_t *op)
{
    static char text[1000];
    const char *id = strchr(op->path, '(');
    char last = id ? id[36] : '0';

    (void)c;
    id = id ? id + 1 : "";
    if (!strcmp(op->method, "GET") && last == '7') {
        snprintf(text, sizeof(text),
                 "404 Not Found\r\nREQ_ID: "
                 "part-req\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"account With "
                 "Id = %.36s Does Not Exist\"}}",
                 id);
    }
    else if (!strcmp(op->method, "GET")) {
        snprintf(text, sizeof(text),
                 "200 OK\r\nETag: W/\"5\"\r\n\r\n{\"accountid\":\"%.36s\",\"name\":\"%.36s\"}", id,
                 id);
    }
    else if (last == '2') {
        return "412 Precondition "
               "Failed\r\n\r\n{\"error\":{\"code\":\"0x80060882\",\"message\":\"version\"}}";
    }
    else if (last == '3') {
        return "429 Too Many\r\nRetry-After: "
               "33\r\n\r\n{\"error\":{\"code\":\"0x80072322\",\"message\":\"Number of requests\"}}";
    }
    else {
        snprintf(text, sizeof(text),
                 "204 No Content\r\nOData-EntityId: https://h/accounts(%s%.*s)\r\n\r\n",
                 last == '4' ? "9" : "", last == '4' ? 35 : 36, last == '4' ? id + 1 : id);
    }
    return text;
}

static cs_crm_read_t *make_reads(int n, apr_pool_t *p)
{
    cs_crm_read_t *reads = apr_pcalloc(p, sizeof(*reads) * (size_t)n);
    int i;

    for (i = 0; i < n; i++) {
        reads[i].table = "account";
        reads[i].id = nth_id(i, p);
        reads[i].columns = words_of(p, "name");
    }
    return reads;
}

static void test_200_reads_are_2_requests(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_crm_read_t *reads = make_reads(200, p);
    int i, calls = 0;

    assert_ok(r->impl->read(r->crm, reads, 200, 0, p));
    assert_int_equal(r->server->n_requests, 2);
    assert_int_equal(r->server->n_batches, 2);
    for (i = 0; i < 200; i++) {
        calls += reads[i].calls;
        assert_non_null(strstr(reads[i].correlation, "x-ms-client-request-id="));
        assert_non_null(strstr(reads[i].correlation, "outer-req"));
        if (i % 10 == 7) {
            assert_int_equal(reads[i].result.cls, CS_CLASS_GONE);
            assert_null(reads[i].record);
            assert_non_null(strstr(reads[i].correlation, "part-req"));
            continue;
        }
        assert_int_equal(reads[i].result.cls, CS_CLASS_OK);
        assert_string_equal(reads[i].record->id, nth_id(i, p));
        assert_string_equal(reads[i].record->version, "W/\"5\"");
        assert_string_equal(cs_json_str(reads[i].record->row, "name"), nth_id(i, p));
    }
    assert_int_equal(calls, 2);
    assert_non_null(strstr(r->server->last_batch_headers, "Prefer: odata.continue-on-error"));
    assert_non_null(
        strstr(r->server->last_batch_headers, "Content-Type: multipart/mixed; boundary=\"batch_"));
    assert_non_null(strstr(r->server->last_batch_headers, "OData-Version: 4.0"));
    assert_null(strstr(r->server->last_batch, "If-None-Match"));
    /* one alone needs no batch */
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 1, 0, p));
    assert_int_equal(r->server->n_batches, 0);
    assert_non_null(strstr(r->server->ops[0].headers, "If-None-Match: null"));
    canned_stop(r->server);
}

static cs_crm_write_t *make_writes(int n, apr_pool_t *p)
{
    cs_crm_write_t *writes = apr_pcalloc(p, sizeof(*writes) * (size_t)n);
    int i;

    for (i = 0; i < n; i++) {
        writes[i].kind = i % 2 ? CS_CRM_UPDATE : CS_CRM_CREATE;
        writes[i].table = "account";
        writes[i].id = nth_id(i, p);
        writes[i].guard = i % 2 ? "W/\"1\"" : NULL;
        writes[i].row = json_of("{\"name\":\"x\"}", p);
    }
    return writes;
}

static void test_writes_are_judged_one_by_one(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_crm_write_t *writes = make_writes(10, p);
    int i, calls = 0;

    assert_ok(r->impl->write(r->crm, writes, 10, 0, p));
    assert_int_equal(r->server->n_requests, 1);
    for (i = 0; i < 10; i++) {
        calls += writes[i].calls;
        if (i == 2) {
            assert_int_equal(writes[i].result.cls, CS_CLASS_CONFLICT);
        }
        else if (i == 3) {
            assert_int_equal(writes[i].result.cls, CS_CLASS_THROTTLED);
            assert_in_range(writes[i].result.retry_at, cs_time_now() + 30 * APR_USEC_PER_SEC,
                            cs_time_now() + 33 * APR_USEC_PER_SEC);
        }
        else if (i == 4) {
            assert_int_equal(writes[i].result.cls, CS_CLASS_UNKNOWN);
        }
        else {
            assert_int_equal(writes[i].result.cls, CS_CLASS_OK);
        }
    }
    assert_int_equal(calls, 1);
    /* what one part was told holds for all that comes */
    assert_true(r->limiter.pause_until > cs_time_now() + 20 * APR_USEC_PER_SEC);
    for (i = 0; i < 10; i++) {
        const canned_op_t *op = &r->server->ops[i];

        assert_string_equal(op->method, "PATCH");
        assert_string_equal(op->body, "{\"name\":\"x\"}");
        assert_non_null(strstr(op->headers, "Content-Length: 12\r\n"));
        assert_non_null(strstr(op->headers, i % 2 ? "If-Match: W/\"1\"" : "If-None-Match: *"));
        assert_int_equal(strstr(op->headers, "MSCRM.SuppressDuplicateDetection: false") != NULL,
                         i % 2 == 0);
    }
    canned_stop(r->server);
}

static void test_parts_that_are_missing(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_crm_read_t *reads = make_reads(6, p);
    cs_crm_write_t *writes;
    int i;

    r->server->leave_out = 2;
    assert_ok(r->impl->read(r->crm, reads, 6, 0, p));
    for (i = 0; i < 6; i++) {
        assert_int_equal(reads[i].result.cls, i < 4 ? CS_CLASS_OK : CS_CLASS_RETRY);
    }
    r->server->leave_out = 0;
    r->server->cut = 40;
    r->server->lf_only = 1;
    writes = make_writes(2, p);
    assert_ok(r->impl->write(r->crm, writes, 2, 0, p));
    assert_int_equal(writes[0].result.cls, CS_CLASS_OK);
    assert_int_equal(writes[1].result.cls, CS_CLASS_UNKNOWN);
    assert_string_equal(writes[1].result.problem, "dataverse:answer");
    assert_non_null(writes[1].result.correlation);
    canned_stop(r->server);
}

static const char *whole_answer(canned_t *c)
{
    return c->baton;
}

static void test_an_answer_for_the_whole_batch(void **state)
{
    static const struct {
        const char *answer;
        cs_class_e read, write;
    } table[] = {
        {"429 Too Many\r\nRetry-After: "
         "7\r\n\r\n{\"error\":{\"code\":\"0x80072322\",\"message\":\"x\"}}",
         CS_CLASS_THROTTLED, CS_CLASS_THROTTLED},
        {"503 Unavailable\r\n\r\n<html>", CS_CLASS_RETRY, CS_CLASS_RETRY},
        {"401 Unauthorized\r\n\r\n", CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {"403 Forbidden\r\n\r\n{\"error\":{\"code\":\"0x80072560\",\"message\":\"x\"}}",
         CS_CLASS_SUSPEND, CS_CLASS_SUSPEND},
        {"200 OK\r\nContent-Type: text/html\r\n\r\n<html>", CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {"204 No Content\r\n\r\n", CS_CLASS_RETRY, CS_CLASS_UNKNOWN},
        {"500 Internal\r\n\r\n{\"error\":{\"code\":\"0x80044151\",\"message\":\"x\"}}",
         CS_CLASS_RETRY, CS_CLASS_RETRY},
    };
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        rig_t *r = rig(environment, p);
        cs_crm_read_t *reads = make_reads(3, p);
        cs_crm_write_t *writes = make_writes(3, p);
        int j;

        r->server->batch = whole_answer;
        r->server->baton = (void *)table[i].answer;
        assert_ok(r->impl->read(r->crm, reads, 3, 0, p));
        memset(&r->limiter, 0, sizeof(r->limiter));
        assert_ok(r->impl->create(&r->crm, &r->cfg, r->http, &r->limiter, &r->login_limiter, p));
        assert_ok(r->impl->write(r->crm, writes, 3, 0, p));
        for (j = 0; j < 3; j++) {
            if (reads[j].result.cls != table[i].read || writes[j].result.cls != table[i].write) {
                fail_msg("%s: %s, %s", table[i].answer, cs_class_name(reads[j].result.cls),
                         cs_class_name(writes[j].result.cls));
            }
        }
        assert_int_equal(reads[1].calls + reads[2].calls + writes[1].calls, 0);
        canned_stop(r->server);
    }
}

static apr_interval_time_t longest_write;

static int note_timeout(void *baton, apr_interval_time_t timeout)
{
    (void)baton;
    longest_write = timeout > longest_write ? timeout : longest_write;
    return 1;
}

/* Where parts are numbered their place says nothing, and one without a number is nobody's. */
static void test_parts_in_another_order(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_crm_write_t *writes = make_writes(3, p);

    r->server->batch = whole_answer;
    r->server->baton =
        "200 OK\r\nContent-Type: " TYPE "\r\n\r\n" DELIM PART
        "\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n" DELIM PART
        "Content-ID: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n" DELIM PART
        "Content-ID: 1\r\n\r\nHTTP/1.1 412 Precondition Failed\r\n\r\n"
        "{\"error\":{\"code\":\"0x80060892\",\"message\":\"x\"}}\r\n--batchresponse_1--\r\n";
    assert_ok(r->impl->write(r->crm, writes, 3, 0, p));
    assert_int_equal(writes[0].result.cls, CS_CLASS_DUPLICATE);
    assert_int_equal(writes[1].result.cls, CS_CLASS_OK);
    assert_int_equal(writes[2].result.cls, CS_CLASS_UNKNOWN);
    canned_stop(r->server);
}

/* The lane's lease, 90 s and renewed every 15 s, must outlive the largest batch. */
static void test_no_batch_takes_longer_than_a_lease(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_crm_write_t *writes = make_writes(100, p);
    int i;

    cs_http_guard(r->http, note_timeout, NULL);
    for (i = 1; i <= 60; i += 59) {
        longest_write = 0;
        memset(&r->limiter, 0, sizeof(r->limiter)); /* a part of each is throttled */
        r->up.timeout = apr_time_from_sec(i);
        assert_ok(r->impl->write(r->crm, writes, 100, 0, p));
        assert_in_range(longest_write, apr_time_from_sec(i == 1 ? 26 : 60), apr_time_from_sec(70));
    }
    canned_stop(r->server);
}

static void test_a_refused_batch_goes_one_by_one(void **state)
{
    static const char *const answers[] = {
        "404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"no\"}}",
        "400 Bad\r\n\r\n{}", "413 Too Large\r\n\r\n", "405 Not Allowed\r\n\r\n<html>"};
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        rig_t *r = rig(environment, p);
        cs_crm_read_t *reads = make_reads(8, p);
        int j, calls = 0;

        r->server->batch = whole_answer;
        r->server->baton = (void *)answers[i];
        assert_ok(r->impl->read(r->crm, reads, 8, 0, p));
        for (j = 0; j < 8; j++) {
            calls += reads[j].calls;
            assert_int_equal(reads[j].result.cls, j == 7 ? CS_CLASS_GONE : CS_CLASS_OK);
        }
        assert_int_equal(calls, 9);
        /* and is not tried again at once */
        canned_forget(r->server);
        assert_ok(r->impl->read(r->crm, reads, 3, 0, p));
        assert_int_equal(r->server->n_batches, 0);
        assert_int_equal(r->server->n_requests, 3);
        canned_stop(r->server);
    }
}

static void test_slow_servers_get_smaller_batches(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_crm_read_t *reads = make_reads(100, p);

    r->server->batch = whole_answer;
    r->server->baton = (void *)"504 Timeout\r\n\r\n";
    assert_ok(r->impl->read(r->crm, reads, 100, 0, p));
    assert_int_equal(r->server->n_batches, 1);
    r->server->batch = NULL;
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 100, 0, p));
    assert_int_equal(r->server->n_batches, 2);
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 100, 0, p));
    assert_int_equal(r->server->n_batches, 1);
    /* down to one at a time, and up again */
    r->server->batch = whole_answer;
    for (int i = 0; i < 7; i++) {
        memset(&r->limiter, 0, sizeof(r->limiter));
        assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    }
    r->server->batch = NULL;
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    assert_int_equal(r->server->n_batches, 0);
    assert_ok(r->impl->read(r->crm, reads, 100, 0, p));
    assert_int_equal(r->server->n_batches, 25);
    canned_stop(r->server);
}

static const char *no_rows(canned_t *c, const canned_op_t *op)
{
    (void)c;
    return strstr(op->path, "bbb") ? "200 OK\r\n\r\n{\"value\":[{\"accountid\":\"" ACC
                                     "\",\"name\":\"bbb\"}]}"
                                   : "200 OK\r\n\r\n{\"value\":[]}";
}

static void test_finds_ride_together(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(no_rows, p);
    cs_crm_find_t finds[3] = {
        {.table = "account", .keys = json_of("[{\"name\":\"aaa\"},{\"name\":\"bbb\"}]", p)},
        {.table = "account", .keys = json_of("[{\"name\":\"bbb\"}]", p)},
        {.table = "account", .keys = json_of("[{\"name\":\"ccc\"}]", p)}};
    cs_crm_find_t longest = {.table = "account"};
    char *text = apr_palloc(p, 20001);

    assert_ok(r->impl->find(r->crm, finds, 3, 0, p));
    assert_int_equal(finds[0].found, 1);
    assert_int_equal(finds[1].found, 1);
    assert_int_equal(finds[2].found, 0);
    assert_string_equal(finds[0].id, ACC);
    assert_int_equal(r->server->n_requests, 2);
    assert_int_equal(finds[0].calls + finds[1].calls + finds[2].calls, 2);
    /* What is too long for an address of its own is a part, alone. */
    memset(text, 'z', 20000);
    text[20000] = '\0';
    longest.keys = cs_json_own(json_pack("[{s:s}]", "name", text), p);
    assert_ok(r->impl->find(r->crm, &longest, 1, 0, p));
    assert_int_equal(longest.result.cls, CS_CLASS_OK);
    assert_int_equal(r->server->n_batches, 2);
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_parse_good),
        UNIT_TEST(test_parse_what_is_cut),
        UNIT_TEST(test_parse_what_is_wrong),
        UNIT_TEST(test_parse_bounds),
        UNIT_TEST(test_parse_random),
        UNIT_TEST(test_make),
        UNIT_TEST(test_200_reads_are_2_requests),
        UNIT_TEST(test_writes_are_judged_one_by_one),
        UNIT_TEST(test_parts_that_are_missing),
        UNIT_TEST(test_parts_in_another_order),
        UNIT_TEST(test_no_batch_takes_longer_than_a_lease),
        UNIT_TEST(test_an_answer_for_the_whole_batch),
        UNIT_TEST(test_a_refused_batch_goes_one_by_one),
        UNIT_TEST(test_slow_servers_get_smaller_batches),
        UNIT_TEST(test_finds_ride_together),
    };

    return UNIT_RUN(tests);
}
