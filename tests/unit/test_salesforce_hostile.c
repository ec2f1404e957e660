/* What a hostile organisation, gateway or value makes of reads and writes. (crm-apis.md B2 to B5,
 * B8, B11) */
#include "unit_salesforce_parts.h"

#define OPP "006000000000001AAA"
#define LEAD "00Q000000000009EAA"
#define VERSION "2026-11-01T10:00:00Z/2026-11-01T10:00:00Z"
#define NO_RESOURCE                                                                                \
    "404 Not Found\r\n\r\n[{\"errorCode\":\"NOT_FOUND\",\"message\":"                              \
    "\"The requested resource does not exist\"}]"

typedef struct world_t {
    apr_pool_t *p;
    const char *all;       /* answer to every call */
    const char *composite; /* answer to every composite */
    const char *masters;   /* answer to queryAll */
    const char *write;     /* answer to what writes */
    int writes, early;     /* early: queries that came before the last write */
    int queries, wanted;   /* wanted: writes that are to come */
    const char *no_id;     /* refuses the query that names it */
    int expires;           /* the session ends with the next write */
    const char *inside;    /* the last composite */
} world_t;

static const char *row(const char *table, apr_pool_t *p)
{
    return apr_pstrcat(p,
                       "200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n{\"done\":true,"
                       "\"records\":[",
                       !strcmp(table, "Lead")
                           ? ""
                           : "{\"Id\":\"" OPP "\",\"Name\":\"now\",\"SystemModstamp\":"
                             "\"2026-11-01T10:00:00.000+0000\",\"LastModifiedDate\":"
                             "\"2026-11-01T10:00:00.000+0000\"}",
                       "]}", NULL);
}

static const char *each(canned_t *c, const char *method, const char *path, apr_pool_t *p)
{
    world_t *w = c->baton;

    if (w->all) {
        return w->all;
    }
    if (!strcmp(method, "GET")) {
        w->queries++;
        if (w->no_id && strstr(path, w->no_id)) {
            return "400 x\r\n\r\n[{\"errorCode\":\"INVALID_QUERY_FILTER_OPERATOR\",\"message\":"
                   "\"invalid ID field\"}]";
        }
        w->early += w->writes < w->wanted;
        return !strncmp(path, "queryAll", 8) ? w->masters
                                             : row(strstr(path, "FROM Lead") ? "Lead" : "", p);
    }
    if (w->expires) {
        w->expires = 0;
        return "401 x\r\n\r\n[{\"errorCode\":\"INVALID_SESSION_ID\",\"message\":\"x\"}]";
    }
    w->writes++;
    return w->write ? w->write : "204 No Content\r\n\r\n";
}

static const char *organisation(canned_t *c, const canned_op_t *op)
{
    world_t *w = c->baton;

    if (strstr(op->path, "composite")) {
        w->inside = apr_pstrdup(w->p, op->body);
        if (w->composite) {
            return w->composite;
        }
    }
    return sf_dispatch(c, op, each, w->p);
}

static sf_rig_t *world(world_t *w, apr_pool_t *p)
{
    w->p = unit_pool_apart(p);
    return sf_rig(organisation, w, p);
}

static cs_crm_write_t write_of(cs_crm_write_e kind, const char *row_text, apr_pool_t *p)
{
    cs_crm_write_t w = {.kind = kind, .table = "Opportunity", .id = OPP};

    w.row = sf_json(row_text, p);
    w.columns = sf_words(p, "Name");
    w.guard = kind == CS_CRM_UPDATE ? VERSION : NULL;
    return w;
}

/* ---- reads ---- */

/* A version that was retired, or a gateway in the API's words: no row is gone for that. */
static void test_a_query_that_does_not_exist_is_no_row_that_is_gone(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.all = NO_RESOURCE};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t reads[2] = {{.table = "Opportunity", .id = OPP}, {.table = "Lead", .id = LEAD}};
    cs_crm_find_t find = {.table = "Account"};
    int i;

    reads[0].columns = reads[1].columns = sf_words(p, "Name");
    assert_ok(cs_sf_read(&r->crm, reads, 1, 0, p));
    sf_expect(&reads[0].result, CS_CLASS_SUSPEND, "config:version");
    /* together, where the composite is refused as well */
    w.composite = NO_RESOURCE;
    assert_ok(cs_sf_read(&r->crm, reads, 2, 0, p));
    for (i = 0; i < 2; i++) {
        sf_expect(&reads[i].result, CS_CLASS_SUSPEND, "config:version");
        assert_null(reads[i].record);
    }
    find.keys = sf_json("[{\"Name\":\"x\"}]", p);
    assert_ok(cs_sf_find(&r->crm, &find, 1, 0, p));
    sf_expect(&find.result, CS_CLASS_SUSPEND, "config:version");
    assert_int_equal(find.found, 0);
    canned_stop(r->server);
}

/* Whether a row was merged is not known until that was answered. */
static void test_what_became_of_a_row_is_asked_again(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.masters = "503 x\r\n\r\n[{\"errorCode\":\"SERVER_UNAVAILABLE\"}]"};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t read = {.table = "Lead", .id = LEAD};

    read.columns = sf_words(p, "Name");
    assert_ok(cs_sf_read(&r->crm, &read, 1, 0, p));
    sf_expect(&read.result, CS_CLASS_RETRY, "salesforce:SERVER_UNAVAILABLE");
    /* a user who may not see that: it is as good as gone */
    w.masters = "400 x\r\n\r\n[{\"errorCode\":\"INVALID_FIELD\",\"message\":"
                "\"No such column 'MasterRecordId' on entity 'Lead'.\"}]";
    assert_ok(cs_sf_read(&r->crm, &read, 1, 0, p));
    sf_expect(&read.result, CS_CLASS_GONE, NULL);
    canned_stop(r->server);
}

/* A number that an order has elsewhere may look like an id: its neighbours are none the worse. */
static void test_what_only_looks_like_an_id(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.no_id = "012345678901234"};
    sf_rig_t *r = world(&w, p);
    cs_crm_read_t *reads = apr_pcalloc(p, sizeof(*reads) * 100);
    int i, calls = 0;

    for (i = 0; i < 100; i++) {
        reads[i].table = "Opportunity";
        reads[i].id = i == 61 ? "012345678901234" : OPP;
        reads[i].columns = sf_words(p, "Name");
    }
    assert_ok(cs_sf_read(&r->crm, reads, 100, 0, p));
    for (i = 0; i < 100; i++) {
        sf_expect(&reads[i].result, i == 61 ? CS_CLASS_GONE : CS_CLASS_OK, NULL);
        calls += reads[i].calls;
    }
    assert_true(calls <= 9);
    canned_stop(r->server);
}

static void test_a_search_that_is_refused_is_refused_alone(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.no_id = "poison"};
    sf_rig_t *r = world(&w, p);
    cs_crm_find_t finds[3];
    int i;

    memset(finds, 0, sizeof(finds));
    for (i = 0; i < 3; i++) {
        finds[i].table = "Account";
        finds[i].keys = sf_json(i == 1 ? "[{\"Name\":\"poison\"}]" : "[{\"Name\":\"now\"}]", p);
    }
    assert_ok(cs_sf_find(&r->crm, finds, 3, 0, p));
    for (i = 0; i < 3; i++) {
        sf_expect(&finds[i].result, i == 1 ? CS_CLASS_REFUSED : CS_CLASS_OK, NULL);
        assert_int_equal(finds[i].found, i == 1 ? 0 : 1);
    }
    canned_stop(r->server);
}

/* ---- writes ---- */

/* Calls of a refused composite go out one by one: what is read is what they left behind. */
static void test_what_was_written_is_read_after_it(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.composite = "400 x\r\n\r\n[{\"errorCode\":\"JSON_PARSER_ERROR\"}]"};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t *writes = apr_pcalloc(p, sizeof(*writes) * 20);
    int i;

    for (i = 0; i < 20; i++) {
        writes[i] = write_of(CS_CRM_UPDATE, "{\"Name\":\"n\"}", p);
        writes[i].id = i ? cs_sf_id(apr_psprintf(p, "006%012d", i + 1), p) : OPP;
    }
    w.wanted = 20;
    w.expires = 1;
    assert_ok(cs_sf_write(&r->crm, writes, 20, 0, p));
    sf_expect(&writes[0].result, CS_CLASS_OK, NULL);
    assert_non_null(writes[0].record);
    assert_int_equal(w.early, 0);
    canned_stop(r->server);
}

/* In a composite "@{c0.id}" stands for another answer, and there is no way to mean the text. */
static void test_a_text_that_looks_like_a_reference(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t writes[3];

    writes[0] = write_of(CS_CRM_UPDATE, "{\"Name\":\"n\"}", p);
    writes[1] = write_of(CS_CRM_UPDATE, "{\"Description\":\"ask @{c0.id} about it\"}", p);
    writes[2] = write_of(CS_CRM_UPDATE, "{\"Name\":\"m\"}", p);
    w.wanted = 3;
    assert_ok(cs_sf_write(&r->crm, writes, 3, 0, p));
    assert_int_equal(w.writes, 3);
    assert_int_equal(w.early, 0);
    sf_expect(&writes[1].result, CS_CLASS_OK, NULL);
    assert_non_null(writes[1].record);
    assert_non_null(w.inside);
    assert_null(strstr(w.inside, "@{"));
    assert_has(w.inside, "\"m\"");
    canned_stop(r->server);
}

/* A gateway that waited too long does not know what became of a row that nobody can find again. */
static void test_a_gateway_does_not_know_whether_a_row_was_made(void **state)
{
    static const char *const answers[] = {"504 x\r\n\r\n<html>", "502 x\r\n\r\n<html>",
                                          "500 x\r\n\r\n", "503 x\r\n\r\n<html>", NULL};
    apr_pool_t *p = *state;
    world_t w = {0};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one;
    int i;

    for (i = 0; answers[i]; i++) {
        w.write = answers[i];
        one = write_of(CS_CRM_CREATE, "{\"Name\":\"n\"}", p);
        one.columns = NULL;
        assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
        sf_expect(&one.result, CS_CLASS_UNKNOWN, NULL);
        /* what has a key finds itself, what has an id is there */
        one.key = sf_json("{\"Key__c\":\"k\"}", p);
        assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
        sf_expect(&one.result, CS_CLASS_RETRY, NULL);
        one = write_of(CS_CRM_UPDATE, "{\"Name\":\"n\"}", p);
        one.columns = NULL;
        assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
        sf_expect(&one.result, CS_CLASS_RETRY, NULL);
    }
    /* the organisation itself knows */
    w.write = "503 x\r\n\r\n[{\"errorCode\":\"SERVER_UNAVAILABLE\",\"message\":\"x\"}]";
    one = write_of(CS_CRM_CREATE, "{\"Name\":\"n\"}", p);
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_RETRY, "salesforce:SERVER_UNAVAILABLE");
    canned_stop(r->server);
}

/* A field that was deployed and given to no profile looks as if it did not exist: one line. */
static void test_a_column_that_may_not_be_seen_stops_one_line(void **state)
{
    apr_pool_t *p = *state;
    world_t w = {.write = "400 x\r\n\r\n[{\"errorCode\":\"INVALID_FIELD\",\"message\":\"No such "
                          "column 'X__c' on sobject of type Opportunity\",\"fields\":[]}]"};
    sf_rig_t *r = world(&w, p);
    cs_crm_write_t one = write_of(CS_CRM_UPDATE, "{\"Name\":\"n\",\"X__c\":1}", p);

    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_DATA, "config:column");
    assert_string_equal(one.result.blames, "X__c");
    one.kind = CS_CRM_CREATE;
    one.guard = NULL;
    one.key = sf_json("{\"Key__c\":\"k\"}", p);
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_DATA, "config:column");
    /* of which nobody says what it is about: nothing of it can be right */
    w.write = "400 x\r\n\r\n[{\"errorCode\":\"INVALID_FIELD\",\"message\":\"x\"}]";
    assert_ok(cs_sf_write(&r->crm, &one, 1, 0, p));
    sf_expect(&one.result, CS_CLASS_SUSPEND, "config:column");
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_query_that_does_not_exist_is_no_row_that_is_gone),
        UNIT_TEST(test_what_became_of_a_row_is_asked_again),
        UNIT_TEST(test_what_only_looks_like_an_id),
        UNIT_TEST(test_a_search_that_is_refused_is_refused_alone),
        UNIT_TEST(test_what_was_written_is_read_after_it),
        UNIT_TEST(test_a_text_that_looks_like_a_reference),
        UNIT_TEST(test_a_gateway_does_not_know_whether_a_row_was_made),
        UNIT_TEST(test_a_column_that_may_not_be_seen_stops_one_line),
    };

    return UNIT_RUN(tests);
}
