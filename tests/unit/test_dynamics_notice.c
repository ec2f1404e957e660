/* What Dataverse posts to a webhook, message by message. (crm-apis.md A6, A16) */
#include "unit.h"

#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/crm.h"

#define OPP "6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4a01"
#define OTHER "6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4a02"
#define CHILD "6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4b01"
#define ACCOUNT "6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4c01"
#define ORG "6F1DE1D9-8D3B-4D3A-9F0E-2D9A0E1C4D01"
#define NONE "00000000-0000-0000-0000-000000000000"
#define NS "http:\\/\\/schemas.microsoft.com\\/xrm\\/2011\\/Contracts"
#define AT 1793527200 /* 2026-11-01T10:00:00Z */

#define REF(table, id)                                                                             \
    "{\"__type\":\"EntityReference:" NS "\",\"Id\":\"" id "\",\"KeyAttributes\":[],"               \
    "\"LogicalName\":\"" table "\",\"Name\":null,\"RowVersion\":null}"
#define ENTITY(table, id, attributes)                                                              \
    "{\"__type\":\"Entity:" NS "\",\"Attributes\":[" attributes "],\"EntityState\":null,"          \
    "\"FormattedValues\":[],\"Id\":\"" id "\",\"KeyAttributes\":[],\"LogicalName\":\"" table       \
    "\",\"RelatedEntities\":[],\"RowVersion\":null}"
#define KV(key, value) "{\"key\":\"" key "\",\"value\":" value "}"
#define HEAD(message, table, id)                                                                   \
    "\"BusinessUnitId\":\"" OTHER "\",\"CorrelationId\":\"" OTHER "\",\"Depth\":1,"                \
    "\"InitiatingUserId\":\"" OTHER "\",\"IsExecutingOffline\":false,\"IsInTransaction\":false,"   \
    "\"IsOfflinePlayback\":false,\"IsolationMode\":1,\"MessageName\":\"" message "\",\"Mode\":1,"  \
    "\"OperationCreatedOn\":\"\\/Date(1793527203456-0700)\\/\",\"OperationId\":\"" OTHER "\","     \
    "\"OrganizationId\":\"" ORG "\",\"OrganizationName\":\"contoso\","                             \
    "\"OwningExtension\":" REF(                                                                    \
        "sdkmessageprocessingstep",                                                                \
        OTHER) ",\"PrimaryEntityId\":\"" id "\",\"PrimaryEntityName\":\"" table                    \
               "\",\"RequestId\":\"" OTHER "\","                                                   \
               "\"SecondaryEntityName\":\"none\",\"SharedVariables\":[" KV(                        \
                   "IsAutoTransact", "true") "],"                                                  \
                                             "\"Stage\":40,\"UserId\":\"" OTHER "\""
#define CONTEXT(message, table, id, inputs, pre, post)                                             \
    "{" HEAD(message, table, id) ",\"InputParameters\":[" inputs "],\"OutputParameters\":[],"      \
                                 "\"ParentContext\":null,\"PostEntityImages\":[" post              \
                                 "],\"PreEntityImages\":[" pre "]}"

/* ---- what is watched ---- */

typedef struct headers_t {
    const char *table, *message, *exceeded;
} headers_t;

static const char *header_of(void *baton, const char *name)
{
    const headers_t *h = baton;

    if (!strcasecmp(name, "x-ms-dynamics-entity-name")) {
        return h->table;
    }
    if (!strcasecmp(name, "x-ms-dynamics-request-name")) {
        return h->message;
    }
    return !strcasecmp(name, "x-ms-dynamics-msg-size-exceeded") ? h->exceeded : NULL;
}

static apr_array_header_t *watch(apr_pool_t *p)
{
    static const struct {
        const char *table;
        int record;
        const char *parent;
    } tables[] = {{"opportunity", 1, NULL},
                  {"lead", 1, NULL},
                  {"account", 0, NULL},
                  {"contact", 0, NULL},
                  {"msft_microsoftsolution", 0, "msft_opportunityid"},
                  {"systemuser", 0, NULL}};
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(cs_watched_t));

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        cs_watched_t *one = apr_array_push(list);
        apr_array_header_t *parents = apr_array_make(p, 1, sizeof(const char *));

        if (tables[i].parent) {
            APR_ARRAY_PUSH(parents, const char *) = tables[i].parent;
        }
        one->table = tables[i].table;
        one->record = tables[i].record;
        one->columns = one->parents = parents;
    }
    return list;
}

static apr_status_t decode(cs_crm_notice_t *n, const char *body, const headers_t *headers,
                           apr_pool_t *p)
{
    static const headers_t none;
    cs_crm_request_t request = {header_of, (void *)(headers ? headers : &none), body, strlen(body)};
    cs_result_t res = {0};
    apr_status_t rv = cs_crm_impl_of("dynamics365")->notice(n, &request, watch(p), p, &res);

    assert_true(rv == APR_SUCCESS || (res.detail && rv == CS_EPARSE));
    return rv;
}

/* Rows as "table id[ deleted][ @seconds]", one a line. */
static const char *rows_of(const cs_crm_notice_t *n, apr_pool_t *p)
{
    const char *text = "";
    int i;

    for (i = 0; i < n->rows->nelts; i++) {
        const cs_crm_noticed_t *row = &APR_ARRAY_IDX(n->rows, i, cs_crm_noticed_t);

        text = apr_psprintf(p, "%s%s%s %s%s", text, i ? "\n" : "", row->table, row->id,
                            row->deleted ? " deleted" : "");
        if (row->at) {
            text = apr_psprintf(p, "%s @%" APR_TIME_T_FMT, text, apr_time_sec(row->at) - AT);
            assert_int_equal(row->at % APR_USEC_PER_SEC, 0);
        }
    }
    return text;
}

static void check(const char *body, const char *event, const char *rows, apr_pool_t *p)
{
    cs_crm_notice_t n;

    assert_ok(decode(&n, body, NULL, p));
    assert_string_equal(n.event, event);
    assert_string_equal(n.organization, "6f1de1d9-8d3b-4d3a-9f0e-2d9a0e1c4d01");
    assert_string_equal(rows_of(&n, p), rows);
    assert_null(n.problem);
}

/* ---- messages ---- */

static void test_update(void **state)
{
    check(
        CONTEXT(
            "Update", "opportunity", OPP,
            KV("Target",
               ENTITY(
                   "opportunity", OPP,
                   KV("statuscode", "{\"__type\":\"OptionSetValue:" NS "\",\"Value\":3}") "," KV(
                       "estimatedvalue",
                       "{\"__type\":\"Money:" NS
                       "\",\"Value\":5000.0}") "," KV("parentaccountid",
                                                      REF("account",
                                                          ACCOUNT)) "," KV("modifiedon",
                                                                           "\"\\/"
                                                                           "Date(1793527201000)\\/"
                                                                           "\"") "," KV("opportunit"
                                                                                        "yid",
                                                                                        "\"" OPP
                                                                                        "\""))) "," KV("ConcurrencyBehavior",
                                                                                                       "0"),
            "", KV("image", ENTITY("opportunity", OPP, KV("name", "\"x\"")))),
        "Update", "opportunity " OPP " @1", *state);
}

static void test_time_without_modifiedon(void **state)
{
    check(CONTEXT("Update", "opportunity", OPP,
                  KV("Target", ENTITY("opportunity", OPP, KV("name", "\"x\""))), "", ""),
          "Update", "opportunity " OPP " @3", *state);
    check(CONTEXT("Update", "opportunity", OPP,
                  KV("Target", ENTITY("opportunity", OPP, KV("name", "\"x\""))), "",
                  KV("image", ENTITY("opportunity", OPP,
                                     KV("modifiedon", "\"\\/Date(1793527202000+0100)\\/\"")))),
          "Update", "opportunity " OPP " @2", *state);
}

static void test_create(void **state)
{
    check("{" HEAD("Create", "opportunity", NONE) ",\"InputParameters\":[" KV(
              "Target",
              ENTITY("opportunity", NONE,
                     KV("name",
                        "\"x\""))) "],\"OutputParameters\":[" KV("id",
                                                                 "\"" OPP
                                                                 "\"") "],\"ParentContext\":null,"
                                                                       "\"PostEntityImages\":[],"
                                                                       "\"PreEntityImages\":[]}",
          "Create", "opportunity " OPP " @3", *state);
    check(CONTEXT("Create", "msft_microsoftsolution", CHILD,
                  KV("Target", ENTITY("msft_microsoftsolution", CHILD,
                                      KV("msft_opportunityid", REF("opportunity", OPP)))),
                  "", ""),
          "Create", "msft_microsoftsolution " CHILD " @3\nopportunity " OPP, *state);
}

/* A child that moved belongs to two records. */
static void test_child_rows(void **state)
{
    check(CONTEXT("Update", "msft_microsoftsolution", CHILD,
                  KV("Target", ENTITY("msft_microsoftsolution", CHILD,
                                      KV("msft_opportunityid", REF("opportunity", OPP)))),
                  KV("before", ENTITY("msft_microsoftsolution", CHILD,
                                      KV("msft_opportunityid", REF("opportunity", OTHER)))),
                  ""),
          "Update", "msft_microsoftsolution " CHILD " @3\nopportunity " OPP "\nopportunity " OTHER,
          *state);
    /* Not sent, but shown by the image. */
    check(CONTEXT("Update", "msft_microsoftsolution", CHILD,
                  KV("Target", ENTITY("msft_microsoftsolution", CHILD, KV("msft_name", "\"1\""))),
                  "",
                  KV("after", ENTITY("msft_microsoftsolution", CHILD,
                                     KV("msft_opportunityid", REF("opportunity", OPP))))),
          "Update", "msft_microsoftsolution " CHILD " @3\nopportunity " OPP, *state);
    /* Emptied. */
    check(CONTEXT("Update", "msft_microsoftsolution", CHILD,
                  KV("Target",
                     ENTITY("msft_microsoftsolution", CHILD, KV("msft_opportunityid", "null"))),
                  "", ""),
          "Update", "msft_microsoftsolution " CHILD " @3", *state);
}

static void test_delete(void **state)
{
    check(CONTEXT("Delete", "opportunity", OPP, KV("Target", REF("opportunity", OPP)), "", ""),
          "Delete", "opportunity " OPP " deleted @3", *state);
    check(CONTEXT("Delete", "msft_microsoftsolution", CHILD,
                  KV("Target", REF("msft_microsoftsolution", CHILD)),
                  KV("before", ENTITY("msft_microsoftsolution", CHILD,
                                      KV("msft_opportunityid", REF("opportunity", OPP)))),
                  ""),
          "Delete", "msft_microsoftsolution " CHILD " deleted @3\nopportunity " OPP, *state);
}

static void test_win_and_lose(void **state)
{
    apr_pool_t *p = *state;

#define CLOSE                                                                                      \
    KV("OpportunityClose",                                                                         \
       ENTITY("opportunityclose", OTHER,                                                           \
              KV("subject", "\"Won\"") "," KV("opportunityid", REF("opportunity", OPP)) "," KV(    \
                  "actualrevenue", "{\"__type\":\"Money:" NS "\",\"Value\":1.5}")))                \
    "," KV("Status", "{\"__type\":\"OptionSetValue:" NS "\",\"Value\":3}")
    check(CONTEXT("Win", "opportunity", OPP, CLOSE, "", ""), "Win", "opportunity " OPP " @3", p);
    check(CONTEXT("Lose", "opportunity", NONE, CLOSE, "", ""), "Lose", "opportunity " OPP " @3", p);
    check(CONTEXT("Win", "", NONE, CLOSE, "", ""), "Win", "opportunity " OPP " @3", p);
}

static void test_assign_and_state(void **state)
{
    apr_pool_t *p = *state;

    /* The user is watched and does not change. */
    check(CONTEXT(
              "Assign", "opportunity", OPP,
              KV("Target", REF("opportunity", OPP)) "," KV("Assignee", REF("systemuser", ACCOUNT)),
              "", ""),
          "Assign", "opportunity " OPP " @3", p);
    check(CONTEXT("SetState", "opportunity", NONE,
                  KV("EntityMoniker", REF("opportunity", OPP)) "," KV("State", "{\"Value\":0}"), "",
                  ""),
          "SetState", "opportunity " OPP " @3", p);
    check(CONTEXT("QualifyLead", "lead", NONE, KV("LeadId", REF("lead", OTHER)), "", ""),
          "QualifyLead", "lead " OTHER " @3", p);
}

static void test_merge(void **state)
{
    check(CONTEXT(
              "Merge", "account", ACCOUNT,
              KV("Target", REF("account", ACCOUNT)) "," KV("SubordinateId", "\"" OTHER "\"") "," KV(
                  "UpdateContent", ENTITY("account", NONE, "")) "," KV("PerformParentingChecks",
                                                                       "false"),
              "", ""),
          "Merge", "account " ACCOUNT " @3\naccount " OTHER " @3", *state);
}

static void test_membership(void **state)
{
    apr_pool_t *p = *state;

    check(CONTEXT("AddUserToRecordTeam", "opportunity", NONE,
                  KV("Record", REF("opportunity", OPP)) "," KV(
                      "TeamTemplateId", "\"" OTHER "\"") "," KV("SystemUserId", "\"" ACCOUNT "\""),
                  "", ""),
          "AddUserToRecordTeam", "opportunity " OPP, p);
    check(CONTEXT(
              "Associate", "none", NONE,
              KV("Target", REF("opportunity", OPP)) "," KV(
                  "Relationship", "{\"SchemaName\":\"contactopportunities\",\"PrimaryEntityRole\":"
                                  "null}") "," KV("RelatedEntities",
                                                  "[" REF("contact", OTHER) "," REF("competitor",
                                                                                    ACCOUNT) "]"),
              "", ""),
          "Associate", "opportunity " OPP "\ncontact " OTHER, p);
}

static void test_many_targets(void **state)
{
    check(CONTEXT("UpdateMultiple", "opportunity", NONE,
                  KV("Targets",
                     "{\"__type\":\"EntityCollection:" NS
                     "\",\"EntityName\":\"opportunity\",\"Entities\":[" ENTITY(
                         "opportunity", OPP, "") "," ENTITY("opportunity", OTHER, "") "]}"),
                  "", ""),
          "UpdateMultiple", "opportunity " OPP " @3\nopportunity " OTHER " @3", *state);
}

static void test_too_many_targets(void **state)
{
    apr_pool_t *p = *state;
    cs_crm_notice_t n;
    apr_array_header_t *parts = apr_array_make(p, 300, sizeof(const char *));
    int i;

    for (i = 0; i < 300; i++) {
        APR_ARRAY_PUSH(parts, const char *) = apr_psprintf(
            p, "{\"LogicalName\":\"opportunity\",\"Id\":\"6f1de1d9-8d3b-4d3a-9f0e-%012d\"}", i);
    }
    assert_ok(decode(
        &n,
        apr_pstrcat(p,
                    "{\"MessageName\":\"UpdateMultiple\",\"InputParameters\":[{\"key\":\"Targets\","
                    "\"value\":[",
                    apr_array_pstrcat(p, parts, ','), "]}]}", NULL),
        NULL, p));
    assert_int_equal(n.rows->nelts, 200);
    assert_non_null(strstr(n.problem, "200 rows"));
}

/* What is in a context around it is another message's. */
static void test_nested_contexts(void **state)
{
    apr_pool_t *p = *state;
    const char *inner =
        CONTEXT("Update", "account", ACCOUNT, KV("Target", ENTITY("account", ACCOUNT, "")), "", "");
    int i;

    for (i = 0; i < 8; i++) {
        inner = apr_pstrcat(p,
                            "{" HEAD("Update", "opportunity", OPP) ",\"InputParameters\":[" KV(
                                "Target", ENTITY("opportunity", OPP, "")) "],\"ParentContext\":",
                            inner, "}", NULL);
    }
    check(inner, "Update", "opportunity " OPP " @3", p);
}

static void test_other_tables(void **state)
{
    check(CONTEXT(
              "Update", "task", OTHER,
              KV("Target", ENTITY("task", OTHER, KV("regardingobjectid", REF("opportunity", OPP)))),
              "", ""),
          "Update", "", *state);
    check(CONTEXT("Create", "opportunityclose", OTHER,
                  KV("Target", ENTITY("opportunityclose", OTHER,
                                      KV("opportunityid", REF("opportunity", OPP)))),
                  "", ""),
          "Create", "", *state);
    /* A look-up of a child that leads to what is no record. */
    check(CONTEXT("Update", "msft_microsoftsolution", CHILD,
                  KV("Target", ENTITY("msft_microsoftsolution", CHILD,
                                      KV("msft_opportunityid", REF("account", ACCOUNT)))),
                  "", ""),
          "Update", "msft_microsoftsolution " CHILD " @3", *state);
}

/* ---- the short form, headers ---- */

static void test_truncated(void **state)
{
    apr_pool_t *p = *state;
    headers_t headers = {"msft_microsoftsolution", "Delete", "true"};
    cs_crm_notice_t n;

    assert_ok(
        decode(&n, "{" HEAD("Delete", "msft_microsoftsolution", CHILD) ",\"OutputParameters\":[]}",
               &headers, p));
    assert_string_equal(rows_of(&n, p), "msft_microsoftsolution " CHILD " deleted @3");
    assert_non_null(n.problem);
    headers.table = "opportunity";
    headers.message = "Update";
    assert_ok(decode(&n, "{" HEAD("Update", "opportunity", OPP) ",\"OutputParameters\":[]}",
                     &headers, p));
    assert_string_equal(rows_of(&n, p), "opportunity " OPP " @3");
}

static void test_headers_that_disagree(void **state)
{
    apr_pool_t *p = *state;
    headers_t headers = {"account", "Update", NULL};
    cs_crm_notice_t n;
    const char *body =
        CONTEXT("Update", "opportunity", OPP, KV("Target", ENTITY("opportunity", OPP, "")), "", "");

    assert_ok(decode(&n, body, &headers, p));
    assert_string_equal(rows_of(&n, p), "opportunity " OPP " @3");
    assert_string_equal(
        n.problem, "the header names the table account, the body opportunity; the body counts");
    headers.table = "Opportunity";
    headers.message = "Cre\nate";
    assert_ok(decode(&n, body, &headers, p));
    assert_string_equal(n.event, "Update");
    assert_string_equal(n.problem,
                        "the header names the message Cre?ate, the body Update; the body counts");
    headers.message = "update";
    assert_ok(decode(&n, body, &headers, p));
    assert_null(n.problem);
}

static void test_event_is_bounded(void **state)
{
    apr_pool_t *p = *state;
    headers_t headers = {NULL, "Create", NULL};
    cs_crm_notice_t n;
    char name[300];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    name[3] = ' ';
    assert_ok(decode(&n, apr_pstrcat(p, "{\"MessageName\":\"", name, "\"}", NULL), NULL, p));
    assert_int_equal(strlen(n.event), 64);
    assert_true(n.event[3] == '?' && !n.organization && !n.rows->nelts);
    assert_ok(decode(&n, "{\"PrimaryEntityName\":\"opportunity\",\"PrimaryEntityId\":\"" OPP "\"}",
                     &headers, p));
    assert_string_equal(n.event, "Create");
    assert_string_equal(rows_of(&n, p), "opportunity " OPP);
}

/* ---- dates and nonsense ---- */

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        apr_int64_t seconds; /* since 1970; 0 = none */
    } cases[] = {
        {"\\/Date(1793527203456)\\/", AT + 3},
        {"\\/Date(1793527203456-0700)\\/", AT + 3},
        {"\\/Date(1793527203456+1400)\\/", AT + 3},
        {"2026-11-01T10:00:09Z", AT + 9},
        {"\\/Date(-62135596800000)\\/", 0},
        {"\\/Date(0)\\/", 0},
        {"\\/Date()\\/", 0},
        {"\\/Date(1793527203456", 0},
        {"\\/Date(1793527203456 )\\/", 0},
        {"\\/Date(99999999999999999999999)\\/", 0},
        {"\\/Date(253402300800000)\\/", 0},
        {"\\/Date(1793527203456-07x0)\\/", 0},
        {"yesterday", 0},
        {"", 0},
    };
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cs_crm_notice_t n;

        assert_ok(
            decode(&n,
                   apr_pstrcat(p,
                               "{\"MessageName\":\"Update\",\"PrimaryEntityName\":\"opportunity\","
                               "\"PrimaryEntityId\":\"" OPP "\",\"OperationCreatedOn\":\"",
                               cases[i].text, "\"}", NULL),
                   NULL, p));
        assert_int_equal(apr_time_sec(APR_ARRAY_IDX(n.rows, 0, cs_crm_noticed_t).at),
                         cases[i].seconds);
    }
}

static void test_no_notice(void **state)
{
    static const char *const bodies[] = {
        "",
        "null",
        "[]",
        "\"x\"",
        "{",
        "{}",
        "\xef\xbb\xbf{}",
        "{\"MessageName\":1}",
        "{\"MessageName\":null}",
        "{\"a\":1,\"a\":2}",
        "{\"MessageName\":\"Update\"} x",
    };
    apr_pool_t *p = *state;
    cs_crm_notice_t n;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(decode(&n, bodies[i], NULL, p), CS_EPARSE);
    }
}

static void test_odd_shapes(void **state)
{
    static const char *const bodies[] = {
        "{\"MessageName\":\"Update\",\"InputParameters\":{}}",
        "{\"MessageName\":\"Update\",\"InputParameters\":[1,null,{\"key\":2},{\"key\":\"Target\"}]"
        "}",
        "{\"MessageName\":\"Update\",\"InputParameters\":[{\"key\":\"Target\",\"value\":{"
        "\"Attributes\":7,\"LogicalName\":"
        "\"opportunity\",\"Id\":5}}]}",
        "{\"MessageName\":\"Update\",\"PrimaryEntityName\":\"opportunity\",\"PrimaryEntityId\":"
        "\"x\"}",
        "{\"MessageName\":\"Update\",\"PrimaryEntityName\":\"opportunity\",\"PrimaryEntityId\":"
        "\"{" OPP "}\"}",
        "{\"MessageName\":\"Update\",\"PrimaryEntityName\":[],\"PrimaryEntityId\":\"" OPP "\"}",
        "{\"MessageName\":\"Update\",\"PreEntityImages\":[{}],\"PostEntityImages\":[[],{\"value\":["
        "]}]}",
        "{\"MessageName\":\"Merge\",\"InputParameters\":[{\"key\":\"SubordinateId\",\"value\":"
        "\"" OPP "\"}]}",
    };
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        cs_crm_notice_t n;

        assert_ok(decode(&n, bodies[i], NULL, p));
        assert_int_equal(n.rows->nelts, 0);
    }
}

/* 256 KB of the smallest attributes there are. */
static void test_largest_body(void **state)
{
    apr_pool_t *p = *state;
    char *body = apr_palloc(p, 300 * 1024), *at = body;
    cs_crm_notice_t n;

    at += sprintf(at, "{\"MessageName\":\"Update\",\"PrimaryEntityName\":\"opportunity\","
                      "\"PrimaryEntityId\":\"" OPP
                      "\",\"InputParameters\":[{\"key\":\"Target\",\"value\":{\"Attributes\":[");
    while (at - body < 256 * 1024) {
        at += sprintf(at, "{\"key\":\"a\",\"value\":1},");
    }
    sprintf(at - 1, "]}}]}");
    assert_ok(decode(&n, body, NULL, p));
    assert_int_equal(n.rows->nelts, 1);
}

static void test_bounded(void **state)
{
    apr_pool_t *p = *state;
    char *body = apr_palloc(p, 1024 * 1024), *at = body;
    cs_crm_notice_t n;

    at += sprintf(at, "{\"MessageName\":\"Update\",\"x\":[");
    while (at - body < 512 * 1024) {
        at += sprintf(at, "[],");
    }
    sprintf(at - 1, "]}");
    assert_int_equal(decode(&n, body, NULL, p), CS_EPARSE);
    at = body + sprintf(body, "{\"MessageName\":\"Update\",\"x\":");
    memset(at, '[', 500);
    memset(at + 500, ']', 500);
    strcpy(at + 1000, "}");
    assert_int_equal(decode(&n, body, NULL, p), CS_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_update),
        UNIT_TEST(test_time_without_modifiedon),
        UNIT_TEST(test_create),
        UNIT_TEST(test_child_rows),
        UNIT_TEST(test_delete),
        UNIT_TEST(test_win_and_lose),
        UNIT_TEST(test_assign_and_state),
        UNIT_TEST(test_merge),
        UNIT_TEST(test_membership),
        UNIT_TEST(test_many_targets),
        UNIT_TEST(test_too_many_targets),
        UNIT_TEST(test_nested_contexts),
        UNIT_TEST(test_other_tables),
        UNIT_TEST(test_truncated),
        UNIT_TEST(test_headers_that_disagree),
        UNIT_TEST(test_event_is_bounded),
        UNIT_TEST(test_dates),
        UNIT_TEST(test_no_notice),
        UNIT_TEST(test_odd_shapes),
        UNIT_TEST(test_largest_body),
        UNIT_TEST(test_bounded),
    };

    return UNIT_RUN(tests);
}
