/* What the doctor makes of what it is told: the parts that ask nobody, and both clients against
 * answers that no simulator gives. */
#include "unit_dynamics.h"
#include "unit_finding.h"

#include "mod_cosell/domain/mapping.h"
#include "mod_cosell/engine/doctor.h"
#include "mod_cosell/remote/partner_center/partner_center.h"

#include <sys/stat.h>

#define SEC APR_USEC_PER_SEC
#define DAY (86400 * SEC)
#define NOW (APR_INT64_C(1795000000) * SEC)
#define GB (1024.0 * 1024 * 1024)

/* ---- findings ---- */

static void test_findings_are_one_line(void **state)
{
    apr_array_header_t *findings = cs_findings_make(*state);
    static const char *const checks[] = {"a", "b", NULL};

    cs_finding_add(findings, "a", CS_FOUND_FAIL, "do\nthis", "it says \"%s\"", "x\r\ny\t\x7fz");
    cs_findings_skip(findings, checks, "no answer");
    assert_int_equal(findings->nelts, 2);
    assert_string_equal(one(findings, "a")->text, "it says \"x  y  z\"");
    assert_string_equal(one(findings, "a")->fix, "do this");
    says(findings, "b", CS_FOUND_SKIP, "no answer");
}

static void test_the_worst_place_decides(void **state)
{
    apr_array_header_t *findings = cs_findings_make(*state);
    cs_finding_sum_t sum = {0}, none = {0}, many = {0};
    int i;

    cs_finding_sum(&sum, *state, CS_FOUND_SKIP, NULL, "s");
    cs_finding_sum(&sum, *state, CS_FOUND_WARN, "wf", "w");
    cs_finding_sum(&sum, *state, CS_FOUND_FAIL, "f1", "one");
    cs_finding_sum(&sum, *state, CS_FOUND_WARN, "wf", "w");
    cs_finding_sum(&sum, *state, CS_FOUND_FAIL, "f2", "two");
    for (i = 0; i < 20; i++) {
        cs_finding_sum(&many, *state, CS_FOUND_WARN, "f", "<%d>", i);
    }
    cs_finding_add_sum(findings, "bad", &sum, "fine");
    cs_finding_add_sum(findings, "good", &none, "fine");
    cs_finding_add_sum(findings, "many", &many, "fine");
    assert_string_equal(one(findings, "bad")->text, "one; two");
    assert_string_equal(one(findings, "bad")->fix, "f1");
    says(findings, "good", CS_FOUND_OK, "fine");
    says(findings, "many", CS_FOUND_WARN, "<5>; and 14 more");
    assert_null(strstr(one(findings, "many")->text, "<6>"));
}

/* ---- this machine ---- */

static void test_clocks(void **state)
{
    static const struct {
        int ahead;
        cs_found_e found;
        const char *text;
    } cases[] = {{0, CS_FOUND_OK, NULL},
                 {119, CS_FOUND_OK, NULL},
                 {-120, CS_FOUND_OK, NULL},
                 {121, CS_FOUND_WARN, "121 s behind that of X"},
                 {-300, CS_FOUND_WARN, "300 s ahead of that of X"},
                 {301, CS_FOUND_FAIL, "301 s behind"},
                 {-90000, CS_FOUND_FAIL, "90000 s ahead of"}};
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cs_finding_sum_t sum = {0};

        cs_doctor_judge_clock(&sum, "X", cases[i].ahead * SEC, *state);
        assert_int_equal(sum.state, cases[i].found);
        assert_true(cases[i].text ? sum.text && strstr(sum.text, cases[i].text) : !sum.text);
    }
}

static void test_space(void **state)
{
    static const struct {
        double left, all;
        cs_found_e found;
    } cases[] = {{100 * GB, 200 * GB, CS_FOUND_OK},
                 {20 * GB, 2000 * GB, CS_FOUND_OK},
                 {4 * GB, 100 * GB, CS_FOUND_WARN},
                 {0.9 * GB, 2 * GB, CS_FOUND_WARN},
                 {6 * GB, 100 * GB, CS_FOUND_OK},
                 {0.01 * GB, 100 * GB, CS_FOUND_FAIL},
                 {0, 0, CS_FOUND_FAIL}};
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cs_finding_sum_t sum = {0};

        cs_doctor_judge_space(&sum, "/s", cases[i].left, cases[i].all, *state);
        if (sum.state != cases[i].found) {
            fail_msg("%.2f of %.2f GB: %s", cases[i].left / GB, cases[i].all / GB,
                     cs_found_name(sum.state));
        }
    }
}

static void test_certificates_that_end(void **state)
{
    cs_finding_sum_t sum = {0};

    cs_doctor_judge_until(&sum, "it", NOW + 40 * DAY, NOW, 30 * DAY, "renew", *state);
    assert_null(sum.text);
    cs_doctor_judge_until(&sum, "it", NOW + 29 * DAY, NOW, 30 * DAY, "renew", *state);
    assert_int_equal(sum.state, CS_FOUND_WARN);
    cs_doctor_judge_until(&sum, "it", NOW - SEC, NOW, 30 * DAY, "renew", *state);
    assert_int_equal(sum.state, CS_FOUND_FAIL);
    assert_string_equal(sum.fix, "renew");
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void selinux_is(const char *root, const char *enforce, const char *allowed, cs_found_e found,
                       const char *text, apr_pool_t *p)
{
    apr_array_header_t *findings = cs_findings_make(p);
    const char *boolean = apr_pstrcat(p, root, "/booleans/httpd_can_network_connect", NULL);

    put(apr_pstrcat(p, root, "/enforce", NULL), enforce);
    unlink(boolean);
    if (allowed) {
        put(boolean, allowed);
    }
    cs_doctor_selinux(root, findings);
    says(findings, "server.selinux", found, text);
}

static void test_selinux(void **state)
{
    apr_array_header_t *findings = cs_findings_make(*state);
    char root[] = "/tmp/cosell-selinux-XXXXXX";

    cs_doctor_selinux("/nowhere/selinux", findings);
    says(findings, "server.selinux", CS_FOUND_SKIP, "not on this machine");
    assert_non_null(mkdtemp(root));
    assert_int_equal(mkdir(apr_pstrcat(*state, root, "/booleans", NULL), 0700), 0);
    selinux_is(root, "0", "0 0", CS_FOUND_OK, "permissive", *state);
    selinux_is(root, "1", "0 0", CS_FOUND_FAIL, "httpd_can_network_connect", *state);
    selinux_is(root, "1", "1 1", CS_FOUND_OK, "lets httpd connect", *state);
    selinux_is(root, "1", NULL, CS_FOUND_SKIP, "cannot be read", *state);
    unlink(apr_pstrcat(*state, root, "/enforce", NULL));
    rmdir(apr_pstrcat(*state, root, "/booleans", NULL));
    rmdir(root);
}

/* ---- the site ---- */

static void account(const char *fact, cs_found_e found, const char *text, apr_pool_t *p)
{
    apr_array_header_t *findings = cs_findings_make(p);

    cs_doctor_account(fact ? json_of(fact, p) : NULL, NOW, findings);
    says(findings, "partner-center.account", found, text);
}

static void test_accounts(void **state)
{
    account(NULL, CS_FOUND_SKIP, "not known", *state);
    account("{\"source\":\"file\",\"rotated\":1794990000000000}", CS_FOUND_OK,
            "came from a file, renewed today", *state);
    account("{\"account\":\"a@b.example\",\"source\":\"login\",\"signed_in\":1792400000000000,"
            "\"rotated\":1794900000000000}",
            CS_FOUND_OK, "signed in as a@b.example on 2026-10-19 (30 days ago), renewed 1 day ago",
            *state);
    account("{\"account\":\"a@b.example\",\"rotated\":1789000000000000}", CS_FOUND_WARN,
            "renewed 69 days ago", *state);
}

static void webhook(const char *fact, const char *url, const char *events, cs_found_e found,
                    const char *text, apr_pool_t *p)
{
    apr_array_header_t *findings = cs_findings_make(p);

    cs_doctor_webhook(fact ? json_of(fact, p) : NULL, url, events ? words_of(p, events) : NULL,
                      findings);
    says(findings, "partner-center.webhook", found, text);
    assert_null(strstr(one(findings, "partner-center.webhook")->text, "secret"));
}

static void test_registrations(void **state)
{
    static const char ours[] = "{\"url\":\"https://h.example/hook?k=secret\"}";
    static const char all[] =
        "referral-created referral-updated related-referral-created related-referral-updated";

    webhook(NULL, NULL, NULL, CS_FOUND_FAIL, "nothing is registered", *state);
    webhook(ours, NULL, NULL, CS_FOUND_FAIL, "nothing is registered", *state);
    webhook(NULL, "https://h.example/hook?k=secret", all, CS_FOUND_WARN, "not by us", *state);
    webhook(ours, "https://evil.example/hook?k=secret", all, CS_FOUND_FAIL, "taken over", *state);
    webhook(ours, "https://h.example/hook?k=secret", "referral-created", CS_FOUND_FAIL,
            "out of our registration: referral-updated", *state);
    webhook("{\"url\":\"https://h.example/hook\",\"events\":[\"referral-created\"]}",
            "https://h.example/hook", "referral-created", CS_FOUND_WARN,
            "without these events, which are seen by polling only: referral-updated", *state);
    webhook(ours, "https://H.example:443/hook?k=secret", all, CS_FOUND_OK, "4 events", *state);
}

static void test_misfits(void **state)
{
    apr_array_header_t *findings = cs_findings_make(*state),
                       *misfits = apr_array_make(*state, 4, sizeof(const char *));
    int i;

    cs_doctor_columns("good", misfits, 7, findings);
    says(findings, "good.columns", CS_FOUND_OK, "of 7 tables fit");
    APR_ARRAY_PUSH(misfits, const char *) = "no column x";
    cs_doctor_columns("bad", misfits, 7, findings);
    says(findings, "bad.columns", CS_FOUND_FAIL, "1 thing does not fit: no column x");
    for (i = 0; i < 9; i++) {
        APR_ARRAY_PUSH(misfits, const char *) = "y";
    }
    cs_doctor_columns("worse", misfits, 7, findings);
    says(findings, "worse.columns", CS_FOUND_FAIL,
         "10 things do not fit: no column x; y; y; y; y; "
         "y; and 4 more");
}

/* ---- what a mapping uses ---- */

static const cs_used_t *used_of(const apr_array_header_t *used, const char *table)
{
    int i;

    for (i = 0; i < used->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(used, i, cs_used_t).table, table)) {
            return &APR_ARRAY_IDX(used, i, cs_used_t);
        }
    }
    fail_msg("%s is not used", table);
    return NULL;
}

static apr_array_header_t *used_by(const char *type, apr_pool_t *p)
{
    cs_mapping_t *mapping;

    assert_ok(cs_mapping_load(&mapping, apr_psprintf(p, "conf/mapping/%s.json", type),
                              cs_crm_facts_of(type), NULL, p, NULL));
    return cs_mapping_used(mapping, p);
}

static void test_what_the_profiles_use(void **state)
{
    const apr_array_header_t *d365 = used_by("dynamics365", *state);
    const apr_array_header_t *sf = used_by("salesforce", *state);
    const cs_used_t *u = used_of(d365, "opportunity");

    assert_true(u->create && u->write && !u->remove && u->append && u->assign && u->share &&
                u->watched);
    assert_string_equal(u->key, "msft_referralidentifier");
    assert_null(u->found);
    u = used_of(d365, "transactioncurrency");
    assert_true(!u->create && !u->write && u->append_to);
    u = used_of(d365, "systemuser");
    assert_true(!u->create && !u->write && !u->remove);
    u = used_of(d365, "msft_microsoftsolution");
    assert_true(u->create && u->write && u->remove && u->append && !u->key);
    u = used_of(d365, "account");
    assert_true(u->create && !u->write && u->append_to);
    u = used_of(sf, "Opportunity");
    assert_true(u->create && u->write && u->assign && !u->share);
    assert_string_equal(u->found, "Referral_Identifier__c");
    assert_string_equal(used_of(sf, "Account")->found, "Co_sell_Row_Key__c");
    assert_string_equal(used_of(sf, "Microsoft_Solution__c")->found, "Row_Key__c");
    assert_int_equal(used_of(sf, "OpportunityTeamMember")->remove, 0);
}

/* ---- a CRM that answers oddly ---- */

#define USER "00000000-0000-4000-8000-00000000001f"
#define ORG "00000000-0000-4000-8000-0000000000f0"

static const char *odd_user = "200 OK\r\n\r\n{\"fullname\":\"Eve\\nl\"}", *odd_privileges,
                  *odd_flows, *odd_definition;

static const char *odd(canned_t *c, const canned_op_t *op)
{
    (void)c;
    if (strstr(op->path, "WhoAmI")) {
        return "200 OK\r\n\r\n{\"UserId\":\"" USER "\",\"OrganizationId\":\"" ORG "\"}";
    }
    if (strstr(op->path, "RetrieveUserPrivileges")) {
        return odd_privileges;
    }
    if (strstr(op->path, "workflows")) {
        return odd_flows;
    }
    return strstr(op->path, "systemusers(") ? odd_user : odd_definition;
}

static apr_array_header_t *examine(rig_t *r, int *psigned, apr_pool_t *p)
{
    cs_crm_examination_t exam = {0};

    exam.findings = cs_findings_make(p);
    exam.used = used_by("dynamics365", p);
    r->impl->examine(r->crm, &exam, cs_time_mono() + 20 * SEC, p);
    *psigned = exam.signed_in;
    return exam.findings;
}

#define FORBIDDEN                                                                                  \
    "403 Forbidden\r\nContent-Type: application/json\r\n\r\n{\"error\":{\"code\":\"0x80040220\","  \
    "\"message\":\"missing prvReadWorkflow\"}}"

static void test_checks_that_are_refused_are_skipped(void **state)
{
    rig_t *r = rig(odd, *state);
    apr_array_header_t *findings;
    int signed_in;

    odd_privileges = odd_flows = odd_definition = FORBIDDEN;
    findings = examine(r, &signed_in, *state);
    assert_int_equal(signed_in, 1);
    says(findings, "sign-in", CS_FOUND_OK, "as Eve l");
    says(findings, "organization", CS_FOUND_OK, "for the first time");
    says(findings, "roles", CS_FOUND_SKIP, "prvReadWorkflow");
    says(findings, "flows", CS_FOUND_SKIP, "prvReadWorkflow");
    says(findings, "key", CS_FOUND_SKIP, "prvReadWorkflow");
    says(findings, "duplicates", CS_FOUND_SKIP, "cannot be read");
    says(findings, "changes", CS_FOUND_SKIP, "not checked");
    canned_stop(r->server);
}

static void test_answers_of_other_shapes(void **state)
{
    rig_t *r = rig(odd, *state);
    apr_array_header_t *findings;
    int signed_in;

    odd_user = "200 OK\r\n\r\n{\"fullname\":7}";
    odd_privileges = "200 OK\r\n\r\n{\"RolePrivileges\":[7,{\"PrivilegeId\":null},{\"PrivilegeId\":"
                     "\"ABC\",\"Depth\":0}]}";
    odd_flows = "200 OK\r\n\r\n{\"value\":[7,{\"name\":null},{\"name\":\"x\"}]}";
    odd_definition = "200 OK\r\n\r\n{\"EntitySetName\":\"x/../y\",\"ChangeTrackingEnabled\":true,"
                     "\"Privileges\":[7,{\"PrivilegeType\":\"Read\",\"PrivilegeId\":\"abc\"}],"
                     "\"Keys\":[7,{\"KeyAttributes\":[\"a\",\"b\"]},{\"KeyAttributes\":[]}]}";
    findings = examine(r, &signed_in, *state);
    assert_int_equal(signed_in, 1);
    says(findings, "sign-in", CS_FOUND_OK, USER);
    says(findings, "flows", CS_FOUND_OK, "no flow");
    says(findings, "roles", CS_FOUND_WARN, "of the level user");
    says(findings, "key", CS_FOUND_WARN, "no alternate key");
    says(findings, "duplicates", CS_FOUND_SKIP, "cannot be counted");
    says(findings, "changes", CS_FOUND_OK, "on for every table");
    canned_stop(r->server);
}

static const char *gone(canned_t *c, const canned_op_t *op)
{
    (void)c, (void)op;
    return "404 Not Found\r\n\r\n<html>";
}

static void test_no_api_at_this_address(void **state)
{
    rig_t *r = rig(gone, *state);
    apr_array_header_t *findings;
    int signed_in;

    findings = examine(r, &signed_in, *state);
    assert_int_equal(signed_in, 0);
    says(findings, "sign-in", CS_FOUND_OK, "gets a token");
    says(findings, "api", CS_FOUND_FAIL, "there is no Web API");
    says(findings, "roles", CS_FOUND_SKIP, "not there");
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_findings_are_one_line),
        UNIT_TEST(test_the_worst_place_decides),
        UNIT_TEST(test_clocks),
        UNIT_TEST(test_space),
        UNIT_TEST(test_certificates_that_end),
        UNIT_TEST(test_selinux),
        UNIT_TEST(test_accounts),
        UNIT_TEST(test_registrations),
        UNIT_TEST(test_misfits),
        UNIT_TEST(test_what_the_profiles_use),
        UNIT_TEST(test_checks_that_are_refused_are_skipped),
        UNIT_TEST(test_answers_of_other_shapes),
        UNIT_TEST(test_no_api_at_this_address),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, NULL, NULL));
}
