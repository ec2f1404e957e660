/* Pages of referrals: what changed, ours among the newest. (partner-center-api.md 4.3, 4.5) */
#include "unit_pc.h"

#define NEXT                                                                                       \
    ",\"@odata.nextLink\":\"http://api.partner.microsoft.com/v1.0/referrals?$skiptoken=%s\""

/* Minutes after noon of the day of pc_item(). */
static apr_time_t at(int minute, apr_pool_t *p)
{
    apr_time_t t;

    assert_ok(cs_time_parse(&t, apr_psprintf(p, "2026-01-31T12:%02d:00Z", minute)));
    return t;
}

static const char *page_of(apr_pool_t *p, const char *items, const char *next)
{
    return apr_pstrcat(p, "{\"@odata.count\":7,\"value\":[", items, "]",
                       next ? apr_psprintf(p, NEXT, next) : "", "}", NULL);
}

/* n entries, the newest first, the first made `minute` minutes after noon. */
static const char *items_of(apr_pool_t *p, int from, int n, int minute)
{
    const char *out = "";

    for (int i = 0; i < n; i++) {
        out = apr_pstrcat(p, out, i ? "," : "",
                          pc_item(p, from + i, minute - i > 0 ? minute - i : 0, ""), NULL);
    }
    return out;
}

static void test_changed_page_by_page(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_page_t page = {0};

    pc_will(r, "200 OK", page_of(p, items_of(p, 1, 2, 50), "abc%3D%26x"));
    pc_will(r, "200 OK", page_of(p, items_of(p, 3, 1, 40), NULL));
    assert_ok(cs_pc_list_changed(r->pc, &page, 0, p));
    assert_int_equal(page.cards->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(page.cards, 1, cs_card_t *)->id,
                        "c5fb0000-0000-4000-8000-000000000002");
    assert_string_equal(page.next, "abc=&x");
    assert_string_equal(pc_path(r, 0), PC_LIST "?$orderby=updatedDateTime desc&$top=100");
    page.skip = page.next;
    assert_ok(cs_pc_list_changed(r->pc, &page, 0, p));
    assert_int_equal(page.cards->nelts, 1);
    assert_null(page.next);
    assert_int_equal(page.calls, 1);
    /* on our own base, with our own query; only the token is theirs */
    assert_string_equal(r->server->ops[1].path,
                        PC_LIST "?$orderby=updatedDateTime%20desc&$top=100&$skiptoken=abc%3D%26x");
    pc_stop(r);
}

static void test_odd_entries_hide_nothing(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_page_t page = {0};

    pc_will(r, "200 OK",
            apr_pstrcat(p, "{\"Value\":[null,{},{\"id\":\"x\"},7,", pc_item(p, 1, 1, ""),
                        ",{\"Id\":\"C5FB0000-0000-4000-8000-000000000009\",\"ETag\":\"\\\"1\\\"\","
                        "\"UpdatedDateTime\":\"2026-01-31T12:00:00Z\"}],"
                        "\"@OData.NextLink\":\"?$skiptoken=q\"}",
                        NULL));
    assert_ok(cs_pc_list_changed(r->pc, &page, 0, p));
    assert_int_equal(page.cards->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(page.cards, 1, cs_card_t *)->id,
                        "c5fb0000-0000-4000-8000-000000000009");
    assert_int_equal(APR_ARRAY_IDX(page.cards, 1, cs_card_t *)->updated, at(0, p));
    assert_string_equal(page.next, "q");
    pc_stop(r);
}

static void test_what_is_no_page(void **state)
{
    static const struct {
        const char *head, *body;
        cs_class_e cls;
    } table[] = {
        {"200 OK", "", CS_CLASS_RETRY},
        {"200 OK", "[]", CS_CLASS_RETRY},
        {"200 OK", "{}", CS_CLASS_RETRY},
        {"200 OK", "{\"value\":{}}", CS_CLASS_RETRY},
        {"200 OK", "<html>", CS_CLASS_RETRY},
        {"204 No Content", "", CS_CLASS_RETRY},
        {"200 OK", "{\"value\":[{\"id\":\"" PC_ID "\"}],\"@odata.nextLink\":\"http://x/y\"}",
         CS_CLASS_RETRY},
        {"200 OK", "{\"value\":[],\"@odata.nextLink\":\"http://x/y?$skiptoken=\"}", CS_CLASS_RETRY},
        {"200 OK", "{\"value\":[],\"@odata.nextLink\":\"http://x/y?$skiptoken=%00\"}",
         CS_CLASS_RETRY},
        {"200 OK", "{\"value\":[],\"@odata.nextLink\":\"http://x/y?$skiptoken=a%00b\"}",
         CS_CLASS_RETRY},
        /* a page that leads to itself */
        {"200 OK", "{\"value\":[],\"@odata.nextLink\":\"?a=b&%24skiptoken=the%20same\"}",
         CS_CLASS_RETRY},
        {"404 Not Found", "", CS_CLASS_RETRY},
        {"400 Bad Request", "{\"error\":{\"code\":\"invalidRequest\"}}", CS_CLASS_REFUSED},
        {"500 Oh", "", CS_CLASS_RETRY},
        {"403 Forbidden", "", CS_CLASS_SUSPEND},
    };
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_pc_page_t page = {.skip = "the same"};

        pc_will(r, table[i].head, table[i].body);
        assert_int_not_equal(cs_pc_list_changed(r->pc, &page, 0, p), APR_SUCCESS);
        pc_expect(&page.result, table[i].cls, NULL);
        assert_int_equal(page.cards->nelts, 0);
        assert_null(page.next);
    }
    pc_stop(r);
}

/* A server that takes $top for the length of the whole list must not hide the rest. */
static void test_a_full_last_page_is_doubted(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_page_t page = {0};

    pc_will(r, "200 OK", page_of(p, items_of(p, 1, 100, 59), NULL));
    pc_will(r, "200 OK", page_of(p, items_of(p, 1, 130, 59), NULL));
    assert_ok(cs_pc_list_changed(r->pc, &page, 0, p));
    assert_int_equal(page.cards->nelts, 130);
    assert_int_equal(page.calls, 2);
    assert_string_equal(pc_path(r, 1), PC_LIST "?$orderby=updatedDateTime desc");
    pc_stop(r);
}

/* ---- find ---- */

static cs_pc_read_t find(pc_rig_t *r, const char *reference, apr_time_t since)
{
    cs_pc_read_t read = {.id = reference};

    assert_ok(cs_pc_find(r->pc, &read, 1, since, 0, r->p));
    return read;
}

static void test_find(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t read;

    pc_will(r, "200 OK", page_of(p, items_of(p, 1, 2, 50), "2"));
    pc_will(r, "200 OK",
            page_of(p,
                    apr_pstrcat(p, pc_item(p, 3, 48, ",\"externalReferenceId\":\"CRM-00A\""), ",",
                                pc_item(p, 4, 47, ",\"externalReferenceId\":\"crm-00a\""), NULL),
                    "3"));
    read = find(r, "crm-00a", at(10, p));
    pc_expect(&read.result, CS_CLASS_OK, NULL);
    /* the newest of two, and no further page */
    assert_string_equal(read.card->id, "c5fb0000-0000-4000-8000-000000000003");
    assert_int_equal(read.calls, 2);
    assert_string_equal(pc_path(r, 0), PC_LIST
                        "?$filter=direction eq 'Outgoing'&$orderby=createdDateTime desc&$top=100");
    assert_string_equal(pc_path(r, 1), PC_LIST "?$filter=direction eq 'Outgoing'"
                                               "&$orderby=createdDateTime desc&$top=100"
                                               "&$skiptoken=2");
    assert_null(strpbrk(r->server->ops[0].path, " '"));
    pc_stop(r);
}

static void test_find_stops_at_what_is_older(void **state)
{
    static const char ours[] = ",\"externalReferenceId\":\"crm-1\"";
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t read;
    const char *page =
        page_of(p, apr_pstrcat(p, items_of(p, 1, 2, 50), ",", pc_item(p, 3, 20, ours), NULL), "2");

    pc_will(r, "200 OK", page);
    read = find(r, "crm-1", at(30, p));
    pc_expect(&read.result, CS_CLASS_OK, NULL);
    assert_null(read.card);
    assert_int_equal(read.calls, 1);
    /* made at that very time it counts */
    pc_will(r, "200 OK", page);
    read = find(r, "crm-1", at(20, p));
    assert_non_null(read.card);
    pc_stop(r);
}

static void test_find_none(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t read;

    pc_will(r, "200 OK", page_of(p, items_of(p, 1, 3, 50), NULL));
    read = find(r, "crm-1", at(1, p));
    pc_expect(&read.result, CS_CLASS_OK, NULL);
    assert_null(read.card);
    pc_will(r, "200 OK", page_of(p, "", NULL));
    read = find(r, "crm-1", 0);
    pc_expect(&read.result, CS_CLASS_OK, NULL);
    assert_null(read.card);
    pc_stop(r);
}

/* Microsoft's card may carry our reference, and so may another partner's. */
static void test_find_takes_only_ours(void **state)
{
    static const char theirs[] =
        "{\"id\":\"c5fb0000-0000-4000-8000-00000000000%d\",\"organizationId\":\"%s\","
        "\"createdDateTime\":\"2026-01-31T12:50:00Z\",\"externalReferenceId\":\"crm-1\"}";
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t read;
    const char *others =
        apr_pstrcat(p, apr_psprintf(p, theirs, 1, "msft"), ",",
                    apr_psprintf(p, theirs, 2, "7d230000-0000-4000-8000-0000000000b1"), NULL);

    pc_will(r, "200 OK", page_of(p, others, NULL));
    read = find(r, "crm-1", 0);
    pc_expect(&read.result, CS_CLASS_OK, NULL);
    assert_null(read.card);
    pc_will(r, "200 OK",
            page_of(p,
                    apr_pstrcat(p, others, ",", apr_psprintf(p, theirs, 3, PC_ORGANIZATION), NULL),
                    NULL));
    read = find(r, "crm-1", 0);
    assert_string_equal(read.card->id, "c5fb0000-0000-4000-8000-000000000003");
    pc_stop(r);
}

static void test_find_prefers_what_lives(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t read;
    const char *over = pc_item(p, 3, 48, ",\"status\":\"Closed\",\"externalReferenceId\":\"crm-1\"");

    pc_will(r, "200 OK", page_of(p, over, "2"));
    pc_will(r, "200 OK",
            page_of(p,
                    apr_pstrcat(p, pc_item(p, 4, 47, ",\"externalReferenceId\":\"crm-1\""), ",",
                                pc_item(p, 5, 46, ",\"externalReferenceId\":\"crm-1\""), NULL),
                    NULL));
    read = find(r, "crm-1", at(10, p));
    assert_string_equal(read.card->id, "c5fb0000-0000-4000-8000-000000000004");
    pc_will(r, "200 OK", page_of(p, over, NULL));
    read = find(r, "crm-1", at(10, p));
    assert_string_equal(read.card->id, "c5fb0000-0000-4000-8000-000000000003");
    pc_stop(r);
}

/* Missing is said only by who has seen all there is. */
static void test_find_is_sure_or_says_so(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t read;

    for (int i = 0; i < 100; i++) {
        pc_will(r, "200 OK", page_of(p, items_of(p, i * 2, 2, 59 - i / 2), apr_itoa(p, i + 1)));
    }
    read = find(r, "crm-1", at(5, p));
    pc_expect(&read.result, CS_CLASS_REFUSED, "pc:pages");
    assert_has(read.result.detail, "2026-01-31T12:05:00");
    assert_int_equal(read.calls, 100);
    /* without a time it is a look at the newest */
    for (int i = 0; i < 100; i++) {
        pc_will(r, "200 OK", page_of(p, items_of(p, i * 2, 2, 59 - i / 2), apr_itoa(p, i + 1)));
    }
    read = find(r, "crm-1", 0);
    pc_expect(&read.result, CS_CLASS_OK, NULL);
    /* a page that fails: who was found is found, who was not is not known */
    cs_pc_read_t two[3] = {{.id = "crm-1"}, {.id = "crm-2"}, {.id = ""}};
    pc_will(r, "200 OK", page_of(p, pc_item(p, 1, 50, ",\"externalReferenceId\":\"crm-2\""), "2"));
    pc_will(r, "503 Service Unavailable", "");
    assert_ok(cs_pc_find(r->pc, two, 3, 0, 0, p));
    pc_expect(&two[0].result, CS_CLASS_RETRY, "http:503");
    pc_expect(&two[1].result, CS_CLASS_OK, NULL);
    assert_non_null(two[1].card);
    pc_expect(&two[2].result, CS_CLASS_REFUSED, "pc:id");
    assert_int_equal(two[0].calls, 2);
    assert_int_equal(two[1].calls, 0);
    pc_stop(r);
}

static void test_find_shares_one_run(void **state)
{
    apr_pool_t *p = *state;
    pc_rig_t *r = pc_rig(p);
    cs_pc_read_t reads[4] = {{.id = "crm-1"}, {.id = "crm-2"}, {.id = "crm-3"}, {.id = "crm-4"}};

    pc_will(r, "200 OK", page_of(p, pc_item(p, 2, 50, ",\"externalReferenceId\":\"crm-2\""), "2"));
    pc_will(r, "200 OK",
            page_of(p,
                    apr_pstrcat(p, pc_item(p, 4, 49, ",\"externalReferenceId\":\"crm-4\""), ",",
                                pc_item(p, 1, 48, ",\"externalReferenceId\":\"crm-1\""), NULL),
                    NULL));
    assert_ok(cs_pc_find(r->pc, reads, 4, at(1, p), 0, p));
    for (int i = 0; i < 4; i++) {
        pc_expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_int_equal(reads[i].card != NULL, i != 2);
    }
    assert_has(reads[3].card->id, "000000000004");
    assert_int_equal(r->server->n_requests, 2);
    assert_ok(cs_pc_find(r->pc, NULL, 0, 0, 0, p));
    assert_int_equal(r->server->n_requests, 2);
    pc_stop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_changed_page_by_page),
        UNIT_TEST(test_odd_entries_hide_nothing),
        UNIT_TEST(test_what_is_no_page),
        UNIT_TEST(test_a_full_last_page_is_doubted),
        UNIT_TEST(test_find),
        UNIT_TEST(test_find_stops_at_what_is_older),
        UNIT_TEST(test_find_none),
        UNIT_TEST(test_find_takes_only_ours),
        UNIT_TEST(test_find_prefers_what_lives),
        UNIT_TEST(test_find_is_sure_or_says_so),
        UNIT_TEST(test_find_shares_one_run),
    };

    return UNIT_RUN(tests);
}
