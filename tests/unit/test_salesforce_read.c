/* Reads and searches against a canned organisation: what goes into one request, and what becomes of
 * answers that are odd. (crm-apis.md B5, B6) */
#include "unit_salesforce_parts.h"

/* ---- a canned organisation ---- */

typedef struct world_t {
    apr_pool_t *p;
    const char *refuse; /* a query that names this is answered with `refusal` */
    const char *refusal;
    const char *whole; /* answer to every composite */
    int leave_out;     /* parts of a composite that are not answered */
    int reverse;       /* the parts come in another order */
    int page;          /* rows on a page of a child query; 0 = all */
    int children;      /* of each record */
    const char *next;  /* address of further pages instead of a good one */
    int queries, composites, alone;
    int most_parts;
    const char *stranger; /* a row more in every answer */
    const char *hidden;   /* no such column */
    const char *hidden_on;
} world_t;

static const char *const times = "\"SystemModstamp\":\"2026-11-01T10:00:00.000+0000\","
                                 "\"LastModifiedDate\":\"2026-11-01T10:00:00.000+0000\"";

static const char *opp_id(int i, apr_pool_t *p)
{
    return cs_sf_id(apr_psprintf(p, "006%012d", i), p);
}

/* Every 'value' in the parentheses after IN. */
static apr_array_header_t *values_of(const char *soql, apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, 8, sizeof(const char *));
    const char *at = strstr(soql, " IN ("), *end;

    for (at = at ? at + 4 : NULL; at && (*at == '(' || *at == ','); at = end + 1) {
        assert_true(at[1] == '\'');
        end = strchr(at + 2, '\'');
        APR_ARRAY_PUSH(out, const char *) = apr_pstrmemdup(p, at + 2, (size_t)(end - at - 2));
    }
    return out;
}

static const char *page_of(const char *rows, const char *next, apr_pool_t *p)
{
    return apr_pstrcat(p, "200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n{\"done\":",
                       next ? "false,\"nextRecordsUrl\":\"" : "true", next ? next : "",
                       next ? "\"" : "", ",\"records\":[", *rows ? rows + 1 : "", "]}", NULL);
}

static const char *child_rows(world_t *w, const apr_array_header_t *parents, int from,
                              apr_pool_t *p)
{
    const char *rows = "", *next = NULL;
    int i, j, n = 0;

    for (i = 0; i < parents->nelts; i++) {
        /* the last comes first: the order is ours to make */
        for (j = w->children; j-- > 0; n++) {
            if (n >= from && (!w->page || n < from + w->page)) {
                rows = apr_psprintf(
                    p, "%s,{\"Id\":\"%s\",\"OpportunityId\":\"%s\",%s,\"Name\":\"c%d\"}", rows,
                    cs_sf_id(apr_psprintf(p, "a00%06d%06d", i, j), p),
                    APR_ARRAY_IDX(parents, i, const char *), times, j);
            }
        }
    }
    if (w->page && from + w->page < n) {
        next = w->next ? w->next
                       : apr_psprintf(p, SF_ROOT "query/%d-%s", from + w->page,
                                      apr_array_pstrcat(p, parents, '-'));
    }
    return page_of(rows, next, p);
}

static const char *further(world_t *w, const char *path, apr_pool_t *p)
{
    apr_array_header_t *parents = apr_array_make(p, 8, sizeof(const char *));
    char *copy = apr_pstrdup(p, path + 6), *last, *word = apr_strtok(copy, "-", &last);
    int from = atoi(word);

    while ((word = apr_strtok(NULL, "-", &last)) != NULL) {
        APR_ARRAY_PUSH(parents, const char *) = word;
    }
    return child_rows(w, parents, from, p);
}

static const char *each(canned_t *c, const char *method, const char *path, apr_pool_t *p)
{
    world_t *w = c->baton;
    apr_array_header_t *values = values_of(path, p);
    const char *rows = "";
    int i;

    assert_string_equal(method, "GET");
    w->queries++;
    if (!strncmp(path, "query/", 6)) {
        return further(w, path, p);
    }
    if (w->refuse && strstr(path, w->refuse)) {
        return w->refusal;
    }
    if (w->hidden && strstr(path, w->hidden)) {
        return apr_psprintf(p,
                            "400 Bad Request\r\n\r\n[{\"errorCode\":\"INVALID_FIELD\",\"message\":"
                            "\"^ ERROR at Row:1:Column:8 No such column '%s' on entity '%s'.\"}]",
                            w->hidden, w->hidden_on);
    }
    if (!strncmp(path, "queryAll", 8)) {
        return page_of(strstr(path, "FROM Lead") ? ",{\"Id\":\"00Q000000000009EAA\","
                                                   "\"MasterRecordId\":\"00Q000000000001EAA\"}"
                                                 : "",
                       NULL, p);
    }
    if (strstr(path, "FROM Child__c")) {
        return child_rows(w, values, 0, p);
    }
    for (i = 0; i < values->nelts; i++) {
        const char *value = APR_ARRAY_IDX(values, i, const char *);
        const char *id = !strncmp(value, "key", 3) ? opp_id(atoi(value + 3), p) : value;

        if (!strstr(id, "9999") && strcmp(id, "00Q000000000009EAA")) {
            /* the last comes first */
            rows =
                apr_psprintf(p, ",{\"Id\":\"%s\",%s,\"Key__c\":\" %s\",\"Name\":\"n%s\"%s}%s", id,
                             times, value, id, strstr(path, "Amount") ? ",\"Amount\":1" : "", rows);
            if (!strcmp(value, "key7")) {
                rows = apr_psprintf(p, ",{\"Id\":\"%s\",%s,\"Key__c\":\"KEY7\"}%s", opp_id(70, p),
                                    times, rows);
            }
        }
    }
    return page_of(apr_pstrcat(p, rows, w->stranger, NULL), NULL, p);
}

/* What the dispatcher answered, with parts left out or turned round. */
static const char *spoil(world_t *w, const char *answer, apr_pool_t *p)
{
    json_t *whole = sf_json(strstr(answer, "\r\n\r\n") + 4, p), *out = json_array();
    const json_t *parts = cs_json_get(whole, "compositeResponse");
    int n = (int)json_array_size(parts), i;

    for (i = 0; i < n - w->leave_out; i++) {
        json_array_append(out, json_array_get(parts, (size_t)(w->reverse ? n - 1 - i : i)));
    }
    json_object_set_new(whole, "compositeResponse", out);
    return apr_pstrcat(p, "200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n",
                       cs_json_print(whole, p), NULL);
}

static const char *organisation(canned_t *c, const canned_op_t *op)
{
    world_t *w = c->baton;
    const char *answer;
    json_t *json;
    int n;

    if (!strstr(op->path, "composite")) {
        w->alone++;
        return sf_dispatch(c, op, each, w->p);
    }
    w->composites++;
    json = sf_json(op->body, w->p);
    n = (int)json_array_size(cs_json_get(json, "compositeRequest"));
    w->most_parts = n > w->most_parts ? n : w->most_parts;
    assert_true(json_is_false(cs_json_get(json, "allOrNone")));
    assert_true(json_is_false(cs_json_get(json, "collateSubrequests")));
    if (w->whole) {
        return w->whole;
    }
    answer = sf_dispatch(c, op, each, w->p);
    return w->leave_out || w->reverse ? spoil(w, answer, w->p) : answer;
}

static sf_rig_t *world(world_t *w, apr_pool_t *p)
{
    w->p = unit_pool_apart(p);
    return sf_rig(organisation, w, p);
}

static apr_array_header_t *lists_of(apr_pool_t *p, int n)
{
    apr_array_header_t *lists = apr_array_make(p, n, sizeof(cs_related_t));

    for (int i = 0; i < n; i++) {
        cs_related_t *one = apr_array_push(lists);

        memset(one, 0, sizeof(*one));
        one->list = apr_psprintf(p, "l%d", i);
        one->table = "Child__c";
        one->parent = "OpportunityId";
        one->columns = sf_words(p, apr_psprintf(p, "Name X%d__c", i));
    }
    return lists;
}

static cs_crm_read_t *reads_of(int n, const apr_array_header_t *lists, apr_pool_t *p)
{
    cs_crm_read_t *reads = apr_pcalloc(p, sizeof(*reads) * (size_t)n);

    for (int i = 0; i < n; i++) {
        reads[i].table = "Opportunity";
        reads[i].id = opp_id(i, p);
        reads[i].columns = sf_words(p, "Name Amount");
        reads[i].related = lists;
    }
    return reads;
}

static int calls_of(const cs_crm_read_t *reads, int n)
{
    int i, calls = 0;

    for (i = 0; i < n; i++) {
        calls += reads[i].calls;
    }
    return calls;
}

/* ---- reads ---- */

static void test_a_batch_is_one_request(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 2, .reverse = 1};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(100, lists_of(p, 4), p);
    const json_t *rows;

    assert_ok(cs_sf_read(&r->crm, reads, 100, 0, p));
    assert_int_equal(w.composites, 1);
    assert_int_equal(w.most_parts, 5);
    assert_int_equal(w.alone, 0);
    assert_int_equal(calls_of(reads, 100), 1);
    for (int i = 0; i < 100; i++) {
        sf_expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_string_equal(reads[i].record->id, opp_id(i, p));
        assert_string_equal(cs_json_str(reads[i].record->row, "Name"),
                            apr_pstrcat(p, "n", opp_id(i, p), NULL));
        assert_int_equal(json_object_size(reads[i].record->related), 4);
        rows = cs_json_get(reads[i].record->related, "l3");
        assert_int_equal(json_array_size(rows), 2);
        assert_string_equal(cs_json_str(cs_json_get(json_array_get(rows, 0), "row"), "Name"), "c0");
        assert_string_equal(cs_json_str(json_array_get(rows, 0), "version"),
                            "2026-11-01T10:00:00Z/2026-11-01T10:00:00Z");
        assert_string_equal(cs_json_str(json_array_get(rows, 0), "id"),
                            cs_sf_id(apr_psprintf(p, "a00%06d%06d", i, 0), p));
    }
    canned_stop(r->server);
}

static void test_many_are_cut(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 0};
    sf_rig_t *r = world(&w, p);
    int n = 1000;
    cs_crm_read_t *reads = reads_of(n, NULL, p);

    assert_ok(cs_sf_read(&r->crm, reads, n, 0, p));
    for (int i = 0; i < n; i++) {
        sf_expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_string_equal(reads[i].record->id, opp_id(i, p));
        assert_null(reads[i].record->related);
    }
    assert_int_equal(w.queries, 7);
    assert_int_equal(calls_of(reads, n), 2);
    for (int i = 0; i < r->server->n_ops; i++) {
        assert_true(strlen(r->server->ops[i].path) <= CS_SF_MAX_PATH);
    }
    canned_stop(r->server);
}

static void test_long_queries_are_halved(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    apr_array_header_t *columns = sf_words(p, "Name");
    cs_crm_read_t *reads = reads_of(120, NULL, p);

    for (int i = 0; i < 180; i++) {
        APR_ARRAY_PUSH(columns, const char *) =
            apr_psprintf(p, "A_column_with_a_name_as_long_as_can_be_%030d__c", i);
    }
    for (int i = 0; i < 120; i++) {
        reads[i].columns = columns;
    }
    assert_ok(cs_sf_read(&r->crm, reads, 120, 0, p));
    for (int i = 0; i < 120; i++) {
        sf_expect(&reads[i].result, CS_CLASS_OK, NULL);
    }
    assert_true(w.queries > 1 && w.queries < 16);
    for (int i = 0; i < 150; i++) {
        APR_ARRAY_PUSH(columns, const char *) =
            apr_psprintf(p, "B_column_with_a_name_as_long_as_can_be_%030d__c", i);
    }
    assert_ok(cs_sf_read(&r->crm, reads, 1, 0, p));
    assert_int_not_equal(reads[0].result.cls, CS_CLASS_OK);
    canned_stop(r->server);
}

static void test_rows_by_key(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 1};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t reads[5];

    memset(reads, 0, sizeof(reads));
    for (int i = 0; i < 5; i++) {
        reads[i].table = "Opportunity";
        reads[i].id = "11111111-0000-5000-8000-000000000001";
        reads[i].columns = sf_words(p, "Name");
    }
    reads[0].key = sf_json("{\"Key__c\":\"Key3\"}", p);
    reads[1].key = sf_json("{\"Key__c\":\"key7\"}", p);
    reads[2].key = sf_json("{\"Key__c\":\"key99999\"}", p);
    reads[3].key = sf_json("{\"Key__c\":\"a\",\"B\":\"b\"}", p);
    assert_ok(cs_sf_read(&r->crm, reads, 5, 0, p));
    sf_expect(&reads[1].result, CS_CLASS_DUPLICATE, NULL);
    assert_null(reads[1].record);
    sf_expect(&reads[2].result, CS_CLASS_GONE, "salesforce:NOT_FOUND");
    sf_expect(&reads[3].result, CS_CLASS_SUSPEND, "config:key");
    /* an id that only stands for a row is none */
    sf_expect(&reads[4].result, CS_CLASS_REFUSED, "salesforce:id");
    assert_int_equal(calls_of(reads, 5), 1);
    canned_stop(r->server);
}

static void test_a_key_is_matched_without_case(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 0};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t read = {.table = "Opportunity", .id = "x"};

    read.columns = sf_words(p, "Name");
    read.key = sf_json("{\"Key__c\":\" key3\"}", p);
    assert_ok(cs_sf_read(&r->crm, &read, 1, 0, p));
    sf_expect(&read.result, CS_CLASS_OK, NULL);
    assert_string_equal(read.record->id, opp_id(3, p));
    canned_stop(r->server);
}

static void test_lists_with_pages(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 30, .page = 20};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(3, lists_of(p, 1), p);

    assert_ok(cs_sf_read(&r->crm, reads, 3, 0, p));
    for (int i = 0; i < 3; i++) {
        sf_expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_int_equal(json_array_size(cs_json_get(reads[i].record->related, "l0")), 30);
    }
    /* pages come from where they were configured, and from nowhere else */
    w.next = "https://evil.example/services/data/v60.0/query/1";
    assert_ok(cs_sf_read(&r->crm, reads, 3, 0, p));
    for (int i = 0; i < 3; i++) {
        sf_expect(&reads[i].result, CS_CLASS_RETRY, "salesforce:answer");
        assert_null(reads[i].record);
    }
    /* pages without end */
    w.next = SF_ROOT "query/20-006000000000000AAA-006000000000001AAA";
    w.children = 2000;
    assert_ok(cs_sf_read(&r->crm, reads, 1, 0, p));
    assert_true(calls_of(reads, 1) <= CS_SF_MAX_ROUNDS + 2);
    sf_expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_null(cs_json_get(reads[0].record->related, "l0"));
    canned_stop(r->server);
}

static void test_a_list_that_cannot_be_read_is_absent(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 1,
                 .refuse = "X1__c",
                 .refusal = "400 Bad Request\r\n\r\n[{\"errorCode\":\"INVALID_TYPE\",\"message\":"
                            "\"sObject type 'Child__c' is not supported.\"}]"};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(2, lists_of(p, 3), p);

    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    for (int i = 0; i < 2; i++) {
        sf_expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_non_null(cs_json_get(reads[i].record->related, "l0"));
        assert_null(cs_json_get(reads[i].record->related, "l1"));
        assert_non_null(cs_json_get(reads[i].record->related, "l2"));
    }
    /* trouble that passes is the whole record's */
    w.refusal = "503 x\r\n\r\n[{\"errorCode\":\"SERVER_UNAVAILABLE\"}]";
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    for (int i = 0; i < 2; i++) {
        sf_expect(&reads[i].result, CS_CLASS_RETRY, NULL);
        assert_null(reads[i].record);
    }
    w.refuse = NULL;
    w.children = 501;
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_null(cs_json_get(reads[0].record->related, "l0"));
    canned_stop(r->server);
}

static void test_columns_that_are_hidden(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.hidden = "Amount", .hidden_on = "Opportunity"};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(2, NULL, p);

    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    assert_int_equal(calls_of(reads, 2), 2);
    sf_expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_null(cs_json_get(reads[0].record->row, "Amount"));
    assert_non_null(cs_json_get(reads[0].record->row, "Name"));
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    assert_int_equal(calls_of(reads, 2), 1);
    /* that of another table is not this one's */
    w.hidden = "Account.Name";
    w.hidden_on = "Account";
    assert_true(cs_sf_is_hidden(&r->crm, "Opportunity", "Amount"));
    assert_false(cs_sf_is_hidden(&r->crm, "Opportunity", "Account.Amount"));
    assert_false(cs_sf_is_hidden(&r->crm, "Lead", "Amount"));
    canned_stop(r->server);
}

static void test_what_is_hidden(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_result_t res = {.rv = CS_EREMOTE, .cls = CS_CLASS_SUSPEND, .problem = "config:column"};

    res.said = "No such column 'Name' on entity 'Account'.";
    assert_true(cs_sf_hide(&r->crm, "Opportunity", &res));
    assert_false(cs_sf_hide(&r->crm, "Opportunity", &res));
    assert_true(cs_sf_is_hidden(&r->crm, "Opportunity", "Account.Name"));
    assert_false(cs_sf_is_hidden(&r->crm, "Opportunity", "Name"));
    res.said = "Didn't understand relationship 'Foo__r' in field path.";
    assert_true(cs_sf_hide(&r->crm, "Opportunity", &res));
    assert_true(cs_sf_is_hidden(&r->crm, "Opportunity", "Foo__r.Bar"));
    assert_false(cs_sf_is_hidden(&r->crm, "Opportunity", "Bar"));
    res.said = "something else is wrong";
    assert_false(cs_sf_hide(&r->crm, "Opportunity", &res));
    res.said = "No such column 'a b; DROP' on entity 'Opportunity'";
    assert_false(cs_sf_hide(&r->crm, "Opportunity", &res));
    res.said = "No such column 'X'";
    res.cls = CS_CLASS_DATA;
    assert_false(cs_sf_hide(&r->crm, "Opportunity", &res));
    canned_stop(r->server);
}

static void test_answers_with_parts_missing(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 1, .leave_out = 1};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(2, lists_of(p, 2), p);

    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    for (int i = 0; i < 2; i++) {
        sf_expect(&reads[i].result, CS_CLASS_RETRY, "salesforce:answer");
        assert_null(reads[i].record);
    }
    w.leave_out = 0;
    w.whole = "200 OK\r\n\r\n<html>maintenance</html>";
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_RETRY, "salesforce:answer");
    w.whole =
        "200 OK\r\n\r\n{\"compositeResponse\":[{\"referenceId\":\"c0\"},{\"referenceId\":7},3]}";
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_RETRY, "salesforce:answer");
    /* refused as a whole: each by itself */
    w.whole = "400 Bad Request\r\n\r\n[{\"errorCode\":\"JSON_PARSER_ERROR\",\"message\":\"x\"}]";
    w.alone = 0;
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_OK, NULL);
    sf_expect(&reads[1].result, CS_CLASS_OK, NULL);
    assert_int_equal(w.alone, 3);
    assert_int_equal(calls_of(reads, 2), 4);
    /* what concerns all of them is not asked for again */
    w.whole = "503 x\r\n\r\n<html>";
    w.alone = 0;
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_RETRY, "http:503");
    assert_int_equal(w.alone, 0);
    canned_stop(r->server);
}

static void test_names_that_are_none(void **state)
{
    static const char *const tables[] = {"Opportunity WHERE", "", "a'b", NULL};
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(4, NULL, p);

    for (int i = 0; i < 4; i++) {
        reads[i].table = tables[i];
    }
    assert_ok(cs_sf_read(&r->crm, reads, 4, 0, p));
    for (int i = 0; i < 4; i++) {
        sf_expect(&reads[i].result, CS_CLASS_SUSPEND, "config:table");
    }
    reads[0].table = "Opportunity";
    reads[0].columns = sf_words(p, "Name,(SELECT");
    assert_ok(cs_sf_read(&r->crm, reads, 1, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_SUSPEND, "config:column");
    assert_int_equal(w.queries, 0);
    canned_stop(r->server);
}

static void test_merged_rows_are_followed(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t reads[2] = {{.table = "Lead", .id = "00Q000000000009EAA"},
                              {.table = "Opportunity", .id = opp_id(99991, p)}};

    reads[0].columns = reads[1].columns = sf_words(p, "Name");
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_string_equal(reads[0].record->id, "00Q000000000001EAA");
    sf_expect(&reads[1].result, CS_CLASS_GONE, NULL);
    assert_int_equal(calls_of(reads, 2), 3);
    canned_stop(r->server);
}

/* ---- the day's quota ---- */

static void test_quota(void **state)
{
    static const struct {
        const char *header;
        apr_int64_t used, most;
    } table[] = {
        {"api-usage=18/5000", 18, 5000},
        {"api-usage=25/5000; per-app-api-usage=17/250(appName=sample)", 25, 5000},
        {"per-app-api-usage=17/250(appName=x); api-usage=26/5000", 26, 5000},
        {"per-app-api-usage=17/250", 26, 5000},
        {"api-usage=x/5000", 26, 5000},
        {"api-usage=5/0", 26, 5000},
        {"api-usage=99999999999999999999/5000", 26, 5000},
        {"api-usage=7", 26, 5000},
    };
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    apr_table_t *headers = apr_table_make(p, 1);
    cs_crm_read_t *reads = reads_of(1, NULL, p);
    cs_crm_usage_t usage;
    cs_result_t res = {0};

    r->up.reserve = 10;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        apr_table_setn(headers, "Sforce-Limit-Info", table[i].header);
        cs_sf_quota_take(&r->crm, headers);
        cs_sf_usage(&r->crm, &usage);
        assert_int_equal(usage.used, table[i].used);
        assert_int_equal(usage.most, table[i].most);
        assert_int_equal(usage.kept, 500);
    }
    cs_sf_quota_set(&r->crm, 4499, 5000);
    assert_false(cs_sf_quota_over(&r->crm, &res, p));
    cs_sf_quota_set(&r->crm, 4500, 5000);
    assert_true(cs_sf_quota_over(&r->crm, &res, p));
    sf_expect(&res, CS_CLASS_SUSPEND, "quota:daily");
    assert_ok(cs_sf_read(&r->crm, reads, 1, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_SUSPEND, "quota:daily");
    assert_int_equal(w.queries, 0);
    r->up.reserve = -1;
    cs_sf_quota_set(&r->crm, 0, 1001);
    cs_sf_usage(&r->crm, &usage);
    assert_int_equal(usage.kept, 51);
    canned_stop(r->server);
}

/* ---- searches ---- */

static void test_searches_go_together(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_find_t finds[120];
    int calls = 0;

    memset(finds, 0, sizeof(finds));
    for (int i = 0; i < 120; i++) {
        finds[i].table = "Account";
        finds[i].keys = sf_json(apr_psprintf(p, "[{\"Name\":\"none %d\"}]", i), p);
        finds[i].where = sf_json("{\"IsActive\":true}", p);
    }
    assert_ok(cs_sf_find(&r->crm, finds, 120, 0, p));
    for (int i = 0; i < 120; i++) {
        sf_expect(&finds[i].result, CS_CLASS_OK, NULL);
        assert_int_equal(finds[i].found, 0);
        calls += finds[i].calls;
    }
    assert_int_equal(calls, 1);
    assert_int_equal(w.queries, 3);
    canned_stop(r->server);
}

static void test_a_row_that_is_nobodys(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.stranger = ",{\"Id\":\"001000000000005AAA\",\"Name\":\"STRA\\u00dfE\"}"};
    sf_rig_t *r = world(&w, p);
    cs_crm_find_t finds[2];

    memset(finds, 0, sizeof(finds));
    finds[0].table = finds[1].table = "Account";
    finds[0].keys = sf_json("[{\"Name\":\"stra\\u00dfe\"}]", p);
    finds[1].keys = sf_json("[{\"Name\":\"other\"}]", p);
    assert_ok(cs_sf_find(&r->crm, finds, 2, 0, p));
    /* each was asked for by itself, and the CRM decided */
    assert_int_equal(w.queries, 3);
    assert_int_equal(finds[0].found, 1);
    assert_string_equal(finds[0].id, "001000000000005AAA");
    canned_stop(r->server);
}

static void test_searches_that_fail(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.refuse = "FROM", .refusal = "503 x\r\n\r\n"};
    sf_rig_t *r = world(&w, p);
    cs_crm_find_t finds[3];

    memset(finds, 0, sizeof(finds));
    finds[0].table = finds[1].table = "Account";
    finds[2].table = "Acc ount";
    finds[0].keys = finds[2].keys = sf_json("[{\"Name\":\"x\"}]", p);
    finds[1].keys = sf_json("[{\"Na me\":\"x\"}]", p);
    assert_ok(cs_sf_find(&r->crm, finds, 3, 0, p));
    sf_expect(&finds[0].result, CS_CLASS_RETRY, "http:503");
    sf_expect(&finds[1].result, CS_CLASS_SUSPEND, "config:column");
    sf_expect(&finds[2].result, CS_CLASS_SUSPEND, "config:table");
    w.refusal = "200 OK\r\n\r\n{\"records\":7}";
    assert_ok(cs_sf_find(&r->crm, finds, 1, 0, p));
    sf_expect(&finds[0].result, CS_CLASS_RETRY, "salesforce:answer");
    w.refusal = "200 OK\r\n\r\n{\"records\":[{\"Name\":\"x\"}]}";
    assert_ok(cs_sf_find(&r->crm, finds, 1, 0, p));
    sf_expect(&finds[0].result, CS_CLASS_RETRY, "salesforce:answer");
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_batch_is_one_request),
        UNIT_TEST(test_many_are_cut),
        UNIT_TEST(test_long_queries_are_halved),
        UNIT_TEST(test_rows_by_key),
        UNIT_TEST(test_a_key_is_matched_without_case),
        UNIT_TEST(test_lists_with_pages),
        UNIT_TEST(test_a_list_that_cannot_be_read_is_absent),
        UNIT_TEST(test_columns_that_are_hidden),
        UNIT_TEST(test_what_is_hidden),
        UNIT_TEST(test_answers_with_parts_missing),
        UNIT_TEST(test_names_that_are_none),
        UNIT_TEST(test_merged_rows_are_followed),
        UNIT_TEST(test_quota),
        UNIT_TEST(test_searches_go_together),
        UNIT_TEST(test_a_row_that_is_nobodys),
        UNIT_TEST(test_searches_that_fail),
    };

    return UNIT_RUN(tests);
}
