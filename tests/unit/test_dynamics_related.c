/* Rows that are read with records, and the writes that go with lists: children, record teams,
 * joins, deletes, leads. (crm-apis.md A8, A9) */
#include "unit_dynamics.h"

#define TEMPLATE "0f0d0000-0000-4000-8000-00000000a001"
#define USER "0f0d0000-0000-4000-8000-00000000b001"
#define DETAIL "0f0d0000-0000-4000-8000-00000000c001"

/* ---- a canned environment ---- */

typedef struct world_t {
    int children;        /* of each record */
    int page;            /* rows on a page of a query; 0 = all */
    const char *refusal; /* of the child table */
    const char *definition;
    int old_teams; /* a team's users come only by their link */
    const char *closed; /* ids, by their last four digits, of records that are closed */
} world_t;

static const char *const good_definition =
    "200 "
    "OK\r\n\r\n{\"EntitySetName\":\"msft_solutions\",\"PrimaryIdAttribute\":\"msft_solutionid\","
    "\"PrimaryNameAttribute\":\"msft_name\","
    "\"ManyToOneRelationships\":[{\"ReferencingAttribute\":\"msft_opportunityid\","
    "\"ReferencedEntity\":\"opportunity\","
    "\"ReferencingEntityNavigationPropertyName\":\"msft_OpportunityId\"},{\"ReferencingAttribute\":"
    "\"msft_detailid\",\"ReferencedEntity\":"
    "\"msft_detail\",\"ReferencingEntityNavigationPropertyName\":\"msft_DetailId\"}]}";

static char *page_text;

static void put(const char *format, ...)
{
    size_t have = page_text ? strlen(page_text) : 0;
    va_list args;

    page_text = realloc(page_text, have + 2000);
    va_start(args, format);
    vsnprintf(page_text + have, 2000, format, args);
    va_end(args);
}

/* Rows first .. of the records that the filter names, most rows at most. */
static const char *children(canned_t *c, const world_t *w, const canned_op_t *op, const char *path)
{
    const char *at = path, *skip = strstr(path, "$skiptoken=");
    int first = skip ? atoi(skip + 11) : 0, row = 0, sent = 0, most = w->page ? w->page : 100000;

    put("200 OK\r\n\r\n{\"value\":[");
    while ((at = strstr(at, "_msft_opportunityid_value eq ")) != NULL) {
        at += strlen("_msft_opportunityid_value eq ");
        /* the last child comes first: the order is ours to make */
        for (int i = w->children; i-- > 0; row++) {
            if (row >= first && sent < most) {
                put("%s{\"@odata.etag\":\"W/"
                    "\\\"%d\\\"\",\"msft_solutionid\":\"0F0D0000-0000-4000-8000-%04d%.8s\",\"msft_"
                    "name\":\"n%d\","
                    "\"_msft_opportunityid_value\":\"%.36s\",\"_msft_detailid_value\":\"" DETAIL
                    "\",\"msft_DetailId\":{\"msft_code\":\"SOL\"}}",
                    sent++ ? "," : "", i, i, at + 28, i, at);
            }
        }
    }
    put("]");
    if (first + sent < row) {
        const char *end = strstr(op->path, "&$skiptoken=");

        put(",\"@odata.nextLink\":\"%s%.*s&$skiptoken=%d\"", c->base,
            (int)(end ? end - op->path : (long)strlen(op->path)), op->path, first + sent);
    }
    put("}");
    return page_text;
}

static const char *users_of(const char *record)
{
    static char text[1000];

    snprintf(text, sizeof(text),
             "[{\"@odata.etag\":\"W/\\\"1\\\"\",\"systemuserid\":\"" USER
             "\",\"fullname\":\"Ada\",\"internalemailaddress\":\"ada@%.8s\"}]",
             record + 28);
    return text;
}

static const char *teams(canned_t *c, const world_t *w, const char *path)
{
    const char *at = path;
    int n = 0;

    put("200 OK\r\n\r\n{\"value\":[");
    while ((at = strstr(at, "_regardingobjectid_value eq ")) != NULL) {
        at += strlen("_regardingobjectid_value eq ");
        if (at[35] == '3') {
            continue; /* has no team */
        }
        put("%s{\"teamid\":\"" TEMPLATE "\",\"_regardingobjectid_value\":\"%.36s\",",
            n++ ? "," : "", at);
        if (w->old_teams) {
            put("\"teammembership_association@odata.nextLink\":\"%s/api/data/v9.2/teams(%.36s)/"
                "teammembership_association?$select=systemuserid\"}",
                c->base, at);
        }
        else {
            put("\"teammembership_association\":%s}", users_of(at));
        }
    }
    put("]}");
    return page_text;
}

static const char *environment(canned_t *c, const canned_op_t *op)
{
    world_t *w = c->baton;
    apr_pool_t *p;
    const char *path, *id = strchr(op->path, '(');

    free(page_text);
    page_text = NULL;
    if (apr_pool_create_unmanaged_ex(&p, NULL, NULL) != APR_SUCCESS) {
        abort();
    }
    path = plain_path(op, p);
    if (strstr(path, "EntityDefinitions(LogicalName='msft_solution')")) {
        put("%s", w->definition);
    }
    else if (strstr(path, "/teamtemplates?")) {
        put("200 OK\r\n\r\n{\"value\":[%s]}",
            strstr(path, "'Sales Team'") ? "{\"teamtemplateid\":\"" TEMPLATE "\"}" : "");
    }
    else if (strstr(path, "/teammembership_association?")) {
        put("200 OK\r\n\r\n{\"value\":%s}", users_of(id + 1));
    }
    else if (strstr(path, "/teams?")) {
        teams(c, w, path);
    }
    else if (strstr(path, "/msft_solutions?")) {
        if (w->refusal) {
            put("%s", w->refusal);
        }
        else {
            children(c, w, op, path);
        }
    }
    else if (id && !strcmp(op->method, "GET")) {
        put("200 "
            "OK\r\n\r\n{\"@odata.etag\":\"W/"
            "\\\"5\\\"\",\"opportunityid\":\"%.36s\",\"name\":\"x\"%s}",
            id + 1,
            !w->closed ? ""
            : strstr(w->closed, apr_pstrmemdup(p, id + 33, 4)) ? ",\"statecode\":2"
                                                               : ",\"statecode\":0");
    }
    else {
        put("500 Unexpected\r\n\r\n{}");
    }
    apr_pool_destroy(p);
    return page_text;
}

static rig_t *world(world_t *w, apr_pool_t *p)
{
    rig_t *r = rig(environment, p);

    w->definition = w->definition ? w->definition : good_definition;
    r->server->baton = w;
    return r;
}

static void add_list(apr_array_header_t *lists, const char *name, const char *table,
                     const char *parent, const char *team, const char *columns, const char *where)
{
    cs_related_t *one = apr_array_push(lists);

    memset(one, 0, sizeof(*one));
    one->list = name;
    one->table = table;
    one->parent = parent;
    one->team = team;
    one->columns = words_of(lists->pool, columns);
    one->where = where ? json_of(where, lists->pool) : NULL;
}

static apr_array_header_t *both_lists(apr_pool_t *p)
{
    apr_array_header_t *lists = apr_array_make(p, 2, sizeof(cs_related_t));

    add_list(lists, "solutions", "msft_solution", "msft_opportunityid", NULL,
             "msft_name msft_detailid/msft_code", "{\"statecode\":0}");
    add_list(lists, "team", NULL, NULL, "Sales Team", "fullname internalemailaddress", NULL);
    return lists;
}

static cs_crm_read_t *reads_of(int n, const apr_array_header_t *lists, apr_pool_t *p)
{
    cs_crm_read_t *reads = apr_pcalloc(p, sizeof(*reads) * (size_t)n);

    for (int i = 0; i < n; i++) {
        reads[i].table = "opportunity";
        reads[i].id = nth_id(i, p);
        reads[i].columns = words_of(p, "name");
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

/* ---- reading ---- */

static void test_lists_ride_with_their_records(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 2};
    rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(60, both_lists(p), p);
    const canned_op_t *op;
    int i;

    assert_ok(r->impl->read(r->crm, reads, 60, 0, p));
    /* the definition, the template, and 60 rows with 3 + 3 queries in one batch */
    assert_int_equal(r->server->n_requests, 3);
    assert_int_equal(calls_of(reads, 60), 3);
    assert_int_equal(r->server->n_ops, 2 + 66);
    for (i = 0; i < 60; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_json(
            reads[i].record->related,
            apr_psprintf(
                p,
                "{\"solutions\":[{\"id\":\"0f0d0000-0000-4000-8000-0000%.8s\",\"version\":"
                "\"W/\\\"0\\\"\",\"row\":{\"msft_name\":\"n0\","
                "\"msft_detailid\":{\"id\":\"" DETAIL "\",\"msft_code\":\"SOL\"}}},"
                "{\"id\":\"0f0d0000-0000-4000-8000-0001%.8s\",\"version\":\"W/"
                "\\\"1\\\"\",\"row\":{\"msft_name\":\"n1\","
                "\"msft_detailid\":{\"id\":\"" DETAIL "\",\"msft_code\":\"SOL\"}}}],\"team\":[%s]}",
                reads[i].id + 28, reads[i].id + 28,
                i % 10 == 3 ? ""
                            : apr_psprintf(p,
                                           "{\"id\":\"" USER "\",\"row\":{\"fullname\":\"Ada\","
                                           "\"internalemailaddress\":\"ada@%.8s\"}}",
                                           reads[i].id + 28)),
            p);
    }
    /* The second time nothing has to be learnt. */
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 1, 0, p));
    assert_int_equal(r->server->n_requests, 1);
    op = &r->server->ops[1];
    assert_string_equal(plain_path(op, p),
                        apr_psprintf(p,
                                     "/api/data/v9.2/"
                                     "msft_solutions?$select=modifiedon,msft_name,_msft_detailid_"
                                     "value,_msft_opportunityid_value"
                                     "&$expand=msft_DetailId($select=msft_code)&$filter=_msft_"
                                     "opportunityid_value eq %s and statecode eq 0"
                                     "&$orderby=msft_solutionid",
                                     reads[0].id));
    assert_non_null(strstr(op->headers, "Prefer: odata.maxpagesize="));
    op = &r->server->ops[2];
    assert_string_equal(
        plain_path(op, p),
        apr_psprintf(
            p,
            "/api/data/v9.2/teams?$select=teamid,_regardingobjectid_value"
            "&$expand=teammembership_association($select=modifiedon,fullname,internalemailaddress,"
            "systemuserid)"
            "&$filter=_regardingobjectid_value eq %s and _teamtemplateid_value eq " TEMPLATE
            "&$orderby=teamid",
            reads[0].id));
    canned_stop(r->server);
}

static size_t rows_of(const cs_crm_read_t *read, const char *list)
{
    const json_t *rows = cs_json_get(read->record->related, list);

    assert_true(json_is_array(rows));
    return json_array_size(rows);
}

static void test_pages_are_followed(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 500, .page = 120};
    rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(3, both_lists(p), p);
    int i;

    /* together they do not fit, one by one they do */
    assert_ok(r->impl->read(r->crm, reads, 3, 0, p));
    for (i = 0; i < 3; i++) {
        assert_int_equal(rows_of(&reads[i], "solutions"), 500);
        assert_int_equal(rows_of(&reads[i], "team"), 1);
    }
    /* one more is too many: unreadable, and the record is there */
    w.children = 501;
    assert_ok(r->impl->read(r->crm, reads, 3, 0, p));
    for (i = 0; i < 3; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_null(cs_json_get(reads[i].record->related, "solutions"));
        assert_int_equal(rows_of(&reads[i], "team"), 1);
    }
    /* a team's users behind their own link */
    w.children = 0;
    w.old_teams = 1;
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    for (i = 0; i < 2; i++) {
        assert_int_equal(rows_of(&reads[i], "solutions"), 0);
        assert_int_equal(rows_of(&reads[i], "team"), 1);
    }
    canned_stop(r->server);
}

static void test_lists_of_closed_records(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 1, .closed = "0001 0003"};
    rig_t *r = world(&w, p);
    apr_array_header_t *lists = both_lists(p);
    cs_crm_read_t *reads = reads_of(5, lists, p);
    const char *path;
    int i;

    APR_ARRAY_IDX(lists, 0, cs_related_t).closed = "statecode";
    for (i = 0; i < 5; i++) {
        reads[i].columns = words_of(p, "name statecode");
    }
    assert_ok(r->impl->read(r->crm, reads, 5, 0, p));
    for (i = 0; i < 5; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_int_equal(cs_json_get(reads[i].record->related, "solutions") != NULL,
                         i == 1 || i == 3);
        assert_non_null(cs_json_get(reads[i].record->related, "team"));
    }
    assert_int_equal(rows_of(&reads[3], "solutions"), 1);
    /* one query for all of them, once it is known which */
    path = plain_path(&r->server->ops[r->server->n_ops - 1], p);
    assert_non_null(strstr(path, reads[1].id));
    assert_non_null(strstr(path, reads[3].id));
    assert_null(strstr(path, reads[0].id));
    /* Open records cost nothing more. */
    w.closed = "none";
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 5, 0, p));
    assert_int_equal(r->server->n_requests, 1);
    /* Trouble on the way: the record is read again with them. */
    w.closed = "0002";
    w.refusal = "503 Later\r\n\r\n";
    assert_ok(r->impl->read(r->crm, reads, 5, 0, p));
    expect(&reads[2].result, CS_CLASS_RETRY, NULL);
    assert_null(reads[2].record);
    expect(&reads[1].result, CS_CLASS_OK, NULL);
    canned_stop(r->server);
}

static void test_lists_that_cannot_be_read(void **state)
{
    static const struct {
        const char *refusal;
        cs_class_e cls;
    } table[] = {
        {"403 Forbidden\r\n\r\n{\"error\":{\"code\":\"0x80040220\",\"message\":\"SecLib\"}}",
         CS_CLASS_OK},
        {"404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x8006088a\",\"message\":\"segment\"}}",
         CS_CLASS_OK},
        {"400 Bad\r\n\r\n{\"error\":{\"code\":\"0x80060888\",\"message\":\"property\"}}",
         CS_CLASS_OK},
        {"500 Error\r\n\r\n{\"error\":{\"code\":\"0x80040216\",\"message\":\"unexpected\"}}",
         CS_CLASS_OK},
        {"200 OK\r\n\r\n{\"value\":7}", CS_CLASS_OK},
        {"200 OK\r\n\r\n<html>", CS_CLASS_OK},
        {"200 OK\r\n\r\n{\"value\":[{\"msft_solutionid\":\"no "
         "guid\",\"_msft_opportunityid_value\":\"0f0d0000-0000-4000-8000-000000000000\"}]}",
         CS_CLASS_OK},
        {"200 "
         "OK\r\n\r\n{\"value\":[],\"@odata.nextLink\":\"https://elsewhere.example/api/data/v9.2/"
         "x\"}",
         CS_CLASS_OK},
        {"200 OK\r\n\r\n{\"value\":[],\"@odata.nextLink\":\"http://127.0.0.1/api/data/v9.2/a b\"}",
         CS_CLASS_OK},
        /* trouble on the way is no property of the list */
        {"429 Busy\r\n\r\n{\"error\":{\"code\":\"0x80072322\",\"message\":\"x\"}}",
         CS_CLASS_THROTTLED},
        {"503 Gone fishing\r\n\r\n", CS_CLASS_RETRY},
    };
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        world_t w = {.children = 1, .refusal = table[i].refusal};
        rig_t *r = world(&w, p);
        cs_crm_read_t *reads = reads_of(1, both_lists(p), p);

        assert_ok(r->impl->read(r->crm, reads, 1, 0, p));
        expect(&reads[0].result, table[i].cls, NULL);
        if (table[i].cls == CS_CLASS_OK) {
            assert_non_null(reads[0].record);
            assert_null(cs_json_get(reads[0].record->related, "solutions"));
            assert_int_equal(rows_of(&reads[0], "team"), 1);
        }
        else {
            assert_null(reads[0].record);
        }
        canned_stop(r->server);
    }
}

static void test_tables_and_templates_that_are_not_there(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 1,
                 .definition =
                     "404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x80060888\",\"message\":\"no "
                     "such entity\"}}"};
    rig_t *r = world(&w, p);
    apr_array_header_t *lists = both_lists(p);
    cs_crm_read_t *reads = reads_of(2, lists, p);

    APR_ARRAY_IDX(lists, 1, cs_related_t).team = "Nobody's Team";
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_json(reads[0].record->related, "{}", p);
    assert_int_equal(r->server->n_requests, 3);
    /* What was refused is not asked for with every batch. */
    canned_forget(r->server);
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    expect(&reads[1].result, CS_CLASS_OK, NULL);
    assert_int_equal(r->server->n_requests, 1);
    /* without lists there is nothing to say about them */
    reads[0].related = NULL;
    assert_ok(r->impl->read(r->crm, reads, 1, 0, p));
    assert_null(reads[0].record->related);
    canned_stop(r->server);
}

static void test_trouble_in_learning_is_no_answer(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.children = 1, .definition = "503 Later\r\n\r\n"};
    rig_t *r = world(&w, p);
    cs_crm_read_t *reads = reads_of(2, both_lists(p), p);

    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    expect(&reads[0].result, CS_CLASS_RETRY, "http:503");
    assert_null(reads[0].record);
    /* and is not remembered */
    w.definition = good_definition;
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    expect(&reads[1].result, CS_CLASS_OK, NULL);
    assert_int_equal(rows_of(&reads[1], "solutions"), 1);
    canned_stop(r->server);
}

/* ---- writing ---- */

static const char *writes(canned_t *c, const canned_op_t *op)
{
    static char text[1000];
    const char *id = strchr(op->path, '(');
    char last = id ? id[36] : '0';

    (void)c;
    if (strstr(op->path, "teamtemplates?")) {
        return strstr(op->path, "Sales%20Team")
                   ? "200 OK\r\n\r\n{\"value\":[{\"teamtemplateid\":\"" TEMPLATE "\"}]}"
                   : "200 OK\r\n\r\n{\"value\":[{\"teamtemplateid\":\"" TEMPLATE
                     "\"},{\"teamtemplateid\":\"" USER "\"}]}";
    }
    if (!strcmp(op->method, "DELETE")) {
        snprintf(text, sizeof(text),
                 "404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"contact "
                 "With Id = %.36s Does Not Exist\"}}",
                 id + 1);
        return last == '0'   ? "204 No Content\r\n\r\n"
               : last == '1' ? text
               : last == '2'
                   ? "412 Precondition "
                     "Failed\r\n\r\n{\"error\":{\"code\":\"0x80060882\",\"message\":\"v\"}}"
               : last == '3'
                   ? "404 Not Found\r\n\r\n<html>"
                   : "405 "
                     "No\r\n\r\n{\"error\":{\"code\":\"0x80040227\",\"message\":\"associated\"}}";
    }
    if (strstr(op->path, "AddUserToRecordTeam")) {
        return last == '1'
                   ? "412 Exists\r\n\r\n{\"error\":{\"code\":\"0x80040237\",\"message\":\"A record "
                     "with matching key values already exists.\"}}"
               : last == '2'
                   ? "404 Not "
                     "Found\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"systemuser "
                     "With Id = 0f0d0000-0000-4000-8000-000000000002 Does Not Exist\"}}"
                   : "200 OK\r\n\r\n{\"AccessTeamId\":\"" USER "\"}";
    }
    if (strstr(op->path, "QualifyLead")) {
        return last == '1'   ? "204 No Content\r\n\r\n"
               : last == '2' ? "200 OK\r\n\r\nnonsense"
                             : "200 "
                               "OK\r\n\r\n{\"value\":[{\"@odata.type\":\"#Microsoft.Dynamics.CRM."
                               "opportunity\",\"opportunityid\":\"" DETAIL
                               "\"},{\"@odata.type\":\"#Microsoft.Dynamics.CRM.account\","
                               "\"accountid\":\"" USER "\"},{\"x\":1}]}";
    }
    return NULL;
}

static void test_delete(void **state)
{
    static const cs_class_e classes[] = {CS_CLASS_OK, CS_CLASS_OK, CS_CLASS_CONFLICT,
                                         CS_CLASS_RETRY, CS_CLASS_REFUSED};
    apr_pool_t *p = *state;
    rig_t *r = rig(writes, p);
    cs_crm_write_t w[5] = {{0}};

    for (int i = 0; i < 5; i++) {
        w[i].kind = CS_CRM_DELETE;
        w[i].table = "contact";
        w[i].id = nth_id(i, p);
        w[i].guard = i == 2 ? "W/\"1\"" : NULL;
    }
    assert_ok(r->impl->write(r->crm, w, 5, 0, p));
    assert_int_equal(r->server->n_requests, 1);
    for (int i = 0; i < 5; i++) {
        expect(&w[i].result, classes[i], NULL);
        assert_string_equal(r->server->ops[i].method, "DELETE");
        assert_int_equal(strstr(r->server->ops[i].headers, "If-Match: W/\"1\"") != NULL, i == 2);
        assert_null(strstr(r->server->ops[i].headers, "Content-Type"));
    }
    canned_stop(r->server);
}

static void test_join(void **state)
{
    static const cs_class_e classes[] = {CS_CLASS_OK, CS_CLASS_OK, CS_CLASS_DATA, CS_CLASS_REFUSED};
    apr_pool_t *p = *state;
    rig_t *r = rig(writes, p);
    cs_crm_write_t w[4] = {{0}};

    for (int i = 0; i < 4; i++) {
        w[i].kind = CS_CRM_JOIN;
        w[i].table = "opportunity";
        w[i].id = DETAIL;
        w[i].call = i == 3 ? "Two of a kind" : "Sales Team";
        w[i].row = json_of(
            apr_psprintf(p, "{\"user\":{\"$ref\":{\"table\":\"systemuser\",\"id\":\"%s\"}}}",
                         nth_id(i, p)),
            p);
    }
    assert_ok(r->impl->write(r->crm, w, 4, 0, p));
    for (int i = 0; i < 4; i++) {
        expect(&w[i].result, classes[i], i == 3 ? "config:team" : NULL);
    }
    assert_has(w[3].result.detail, "several team templates named \"Two of a kind\"");
    assert_int_equal(r->server->n_requests, 2);
    assert_string_equal(r->server->ops[2].path,
                        apr_pstrcat(p, "/api/data/v9.2/systemusers(", nth_id(0, p),
                                    ")/Microsoft.Dynamics.CRM.AddUserToRecordTeam", NULL));
    assert_json(json_of(r->server->ops[2].body, p),
                "{\"Record\":{\"opportunityid\":\"" DETAIL
                "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.opportunity\"},"
                "\"TeamTemplate\":{\"teamtemplateid\":\"" TEMPLATE
                "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.teamtemplate\"}}",
                p);
    /* the template is known from now on */
    canned_forget(r->server);
    assert_ok(r->impl->write(r->crm, w, 1, 0, p));
    assert_int_equal(r->server->n_requests, 1);
    canned_stop(r->server);
}

static void test_qualify(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(writes, p);
    cs_crm_write_t w[3] = {{0}};

    for (int i = 0; i < 3; i++) {
        w[i].kind = CS_CRM_CALL;
        w[i].call = "QualifyLead";
        w[i].table = "lead";
        w[i].id = nth_id(i, p);
        w[i].row = json_of(
            "{\"CreateAccount\":true,\"Status\":3,\"SourceCampaignId\":null,"
            "\"OpportunityCurrencyId\":{\"$ref\":{\"table\":\"transactioncurrency\",\"id\":\"" USER
            "\"}},"
            "\"OpportunityCustomerId\":{\"$ref\":{\"table\":\"account\",\"id\":\"" DETAIL "\"}}}",
            p);
    }
    assert_ok(r->impl->write(r->crm, w, 3, 0, p));
    expect(&w[0].result, CS_CLASS_OK, NULL);
    assert_json(w[0].created,
                "[{\"table\":\"opportunity\",\"id\":\"" DETAIL
                "\"},{\"table\":\"account\",\"id\":\"" USER "\"}]",
                p);
    expect(&w[1].result, CS_CLASS_OK, NULL);
    assert_null(w[1].created);
    /* done, but what was made is not known */
    expect(&w[2].result, CS_CLASS_UNKNOWN, "dataverse:answer");
    assert_string_equal(r->server->ops[0].path,
                        apr_pstrcat(p, "/api/data/v9.2/leads(", nth_id(0, p),
                                    ")/Microsoft.Dynamics.CRM.QualifyLead", NULL));
    assert_json(
        json_of(r->server->ops[0].body, p),
        "{\"CreateAccount\":true,\"CreateContact\":false,\"CreateOpportunity\":true,\"Status\":3,"
        "\"OpportunityCurrencyId\":{\"transactioncurrencyid\":\"" USER
        "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.transactioncurrency\"},"
        "\"OpportunityCustomerId\":{\"accountid\":\"" DETAIL
        "\",\"@odata.type\":\"Microsoft.Dynamics.CRM.account\"}}",
        p);
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_lists_ride_with_their_records),
        UNIT_TEST(test_pages_are_followed),
        UNIT_TEST(test_lists_of_closed_records),
        UNIT_TEST(test_lists_that_cannot_be_read),
        UNIT_TEST(test_tables_and_templates_that_are_not_there),
        UNIT_TEST(test_trouble_in_learning_is_no_answer),
        UNIT_TEST(test_delete),
        UNIT_TEST(test_join),
        UNIT_TEST(test_qualify),
    };

    return UNIT_RUN(tests);
}
