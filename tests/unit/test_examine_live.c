/* What each client finds of its prerequisites at the simulators, which this program starts itself:
 * a good world is all well, and each fault is named by its own check. */
#include "unit_live.h"

#include "mod_cosell/base/time.h"
#include "mod_cosell/domain/mapping.h"
#include "mod_cosell/remote/crm.h"
#include "mod_cosell/remote/partner_center/partner_center.h"

#define TENANT "7d230000-0000-4000-8000-000000000001"
#define D365_ORG "00000000-0000-4000-8000-0000000000f0"
#define SF_ORG "00D5g0000000001EAA"

static sim_t d365, sf, pc;

typedef struct rig_t {
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up, login;
    cs_secret_t secret, refresh;
    cs_crm_config_t cfg;
    cs_pc_config_t pc_cfg;
    cs_vault_t vault;
    const char *kept; /* what the vault holds */
    apr_int64_t version;
    const cs_crm_impl_t *impl;
    cs_crm_t *crm;
    cs_pc_t *pc;
    cs_mapping_t *mapping;
    const char *organization;
    apr_array_header_t *findings;
    int signed_in;
    apr_pool_t *p;
} rig_t;

static rig_t *rig(const sim_t *sim, apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->p = p;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up = upstream("sales", sim->base, p);
    r->up.reserve = -1;
    r->login = upstream("login", sim->base, p);
    r->secret = (cs_secret_t){.ref = "file:/s", .value = "sandbox-secret~1", .len = 16};
    r->cfg.name = "sales";
    r->cfg.url = sim->base;
    r->cfg.client_secret = &r->secret;
    r->cfg.upstream = &r->up;
    r->cfg.login = &r->login;
    return r;
}

static rig_t *rig_crm(const sim_t *sim, apr_pool_t *p)
{
    rig_t *r = rig(sim, p);
    int first = sim == &d365;

    r->cfg.type = first ? "dynamics365" : "salesforce";
    r->cfg.tenant = first ? "00000000-0000-4000-8000-00000000a000" : NULL;
    r->cfg.client_id =
        first ? "00000000-0000-4000-8000-0000000000c1" : "3MVG9.sandbox.consumer.key.1";
    r->cfg.token_url = sim->token;
    r->organization = first ? D365_ORG : SF_ORG;
    r->impl = cs_crm_impl_of(r->cfg.type);
    assert_null(r->impl->check(&r->cfg, p));
    assert_ok(r->impl->create(&r->crm, &r->cfg, r->http, &r->limiter, &r->login_limiter, p));
    assert_ok(cs_mapping_load(&r->mapping, apr_psprintf(p, "conf/mapping/%s.json", r->cfg.type),
                              r->impl->facts, NULL, p, NULL));
    return r;
}

static apr_status_t box_get(void *baton, const char *name, const char **pvalue,
                            apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    rig_t *r = baton;

    (void)name, (void)p, (void)res;
    *pvalue = r->kept;
    *pversion = r->version;
    return APR_SUCCESS;
}

static apr_status_t box_put(void *baton, const char *name, const char *value, apr_int64_t version,
                            apr_pool_t *ptemp, cs_result_t *res)
{
    rig_t *r = baton;

    (void)name, (void)ptemp, (void)res, (void)version;
    r->kept = apr_pstrdup(r->p, value);
    r->version++;
    return APR_SUCCESS;
}

static rig_t *rig_pc(apr_pool_t *p)
{
    rig_t *r = rig(&pc, p);

    r->secret = (cs_secret_t){.ref = "file:/s", .value = "sandbox-secret", .len = 14};
    r->refresh = (cs_secret_t){.ref = "file:/r", .value = "sandbox-refresh-token", .len = 21};
    r->vault = (cs_vault_t){r, box_get, box_put};
    r->pc_cfg.tenant = TENANT;
    r->pc_cfg.client_id = "11111111-0000-4000-8000-000000000001";
    r->pc_cfg.client_secret = &r->secret;
    r->pc_cfg.refresh_token = &r->refresh;
    r->pc_cfg.token_url = apr_pstrcat(p, pc.base, "/" TENANT "/oauth2/v2.0/token", NULL);
    r->pc_cfg.referrals_url = pc.base;
    r->pc_cfg.upstream = &r->up;
    r->pc_cfg.login = &r->login;
    assert_ok(
        cs_pc_create(&r->pc, &r->pc_cfg, &r->vault, r->http, &r->limiter, &r->login_limiter, p));
    return r;
}

static void examine(rig_t *r)
{
    cs_crm_examination_t exam = {0};

    r->findings = exam.findings = cs_findings_make(r->p);
    if (r->pc) {
        r->signed_in = cs_pc_examine(r->pc, r->findings, cs_time_mono() + 20 * SEC, r->p);
        return;
    }
    exam.organization = r->organization;
    exam.used = cs_mapping_used(r->mapping, r->p);
    r->impl->examine(r->crm, &exam, cs_time_mono() + 20 * SEC, r->p);
    r->signed_in = exam.signed_in;
    assert_true(!exam.signed_in || exam.calls > 0);
}

static const cs_finding_t *finding(const rig_t *r, const char *check)
{
    const cs_finding_t *found = NULL;
    int i;

    for (i = 0; i < r->findings->nelts; i++) {
        const cs_finding_t *f = &APR_ARRAY_IDX(r->findings, i, cs_finding_t);

        if (!strcmp(f->check, check)) {
            assert_null(found); /* one line a check */
            found = f;
        }
    }
    if (!found) {
        fail_msg("nothing says %s", check);
    }
    return found;
}

/* "check: state text / fix" lines of all that are not well. */
static const char *ills(const rig_t *r)
{
    const char *out = "";
    int i;

    for (i = 0; i < r->findings->nelts; i++) {
        const cs_finding_t *f = &APR_ARRAY_IDX(r->findings, i, cs_finding_t);

        assert_true(*f->text && !strpbrk(f->text, "\r\n"));
        assert_true(f->state == CS_FOUND_OK || f->state == CS_FOUND_SKIP || (f->fix && *f->fix));
        if (f->state == CS_FOUND_WARN || f->state == CS_FOUND_FAIL) {
            out = apr_psprintf(r->p, "%s%s: %s %s / %s\n", out, f->check, cs_found_name(f->state),
                               f->text, f->fix);
        }
    }
    return out;
}

/* Only this check is not well; its text and its fix say these. */
static void only(const rig_t *r, const char *check, cs_found_e state, const char *text,
                 const char *fix)
{
    const cs_finding_t *f = finding(r, check);
    const char *ill = ills(r);

    if (f->state != state || !strstr(f->text, text) || !strstr(f->fix, fix) ||
        strchr(ill, '\n') != ill + strlen(ill) - 1) {
        fail_msg("expected %s %s ... %s ... %s, got:\n%s(%s: %s %s / %s)", check,
                 cs_found_name(state), text, fix, ill, f->check, cs_found_name(f->state), f->text,
                 f->fix ? f->fix : "-");
    }
}

static void fine(const rig_t *r)
{
    if (*ills(r)) {
        fail_msg("not all is well:\n%s", ills(r));
    }
}

#define KEY(status)                                                                                \
    "{\"table\":\"opportunity\",\"name\":\"t_key\",\"columns\":[\"msft_referralidentifier\"],"     \
    "\"status\":\"" status "\"}"
#define UNIQUE(more)                                                                               \
    "{\"table\":\"Opportunity\",\"name\":\"Referral_Identifier__c\",\"type\":\"string\","          \
    "\"length\":36" more "}"

static int setup(void **state)
{
    apr_pool_t *p;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS) {
        return -1;
    }
    control(&d365, "DELETE", "faults", NULL, p);
    control(&sf, "DELETE", "faults", NULL, p);
    control(&pc, "DELETE", "faults", NULL, p);
    control(&d365, "POST", "keys", KEY("Active"), p);
    control(&sf, "POST", "columns", UNIQUE(",\"external\":true,\"unique\":true"), p);
    *state = p;
    return 0;
}

#define LIVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, unit_teardown)

/* ---- Dynamics ---- */

static void test_a_good_environment(void **state)
{
    rig_t *r = rig_crm(&d365, *state);

    examine(r);
    fine(r);
    assert_int_equal(r->signed_in, 1);
    assert_non_null(strstr(finding(r, "sign-in")->text, "Co-sell Connector"));
    assert_int_equal(finding(r, "roles")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "key")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "changes")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "flows")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "api")->state, CS_FOUND_OK);
    assert_non_null(strstr(finding(r, "organization")->text, D365_ORG));
    /* Their clock is ours: told by every answer. */
    assert_true(r->limiter.dated > 0 && r->limiter.ahead > -3 * SEC && r->limiter.ahead < 3 * SEC);
}

static void test_privileges(void **state)
{
    rig_t *r = rig_crm(&d365, *state);

    control(&d365, "POST", "privileges",
            "{\"table\":\"opportunity\",\"deny\":[\"write\",\"share\"]}", r->p);
    examine(r);
    only(r, "roles", CS_FOUND_FAIL, "prvWriteOpportunity", "security role");
    assert_non_null(strstr(finding(r, "roles")->text, "prvShareOpportunity"));
    control(&d365, "POST", "privileges",
            "{\"table\":\"opportunity\",\"deny\":[],\"depth\":{\"read\":\"Basic\"}}", r->p);
    examine(r);
    only(r, "roles", CS_FOUND_WARN, "prvReadOpportunity (opportunity) is of the level user",
         "role");
    control(&d365, "POST", "privileges", "{\"table\":\"opportunity\",\"deny\":[]}", r->p);
}

static void test_the_key_of_referrals(void **state)
{
    rig_t *r = rig_crm(&d365, *state);

    control(&d365, "POST", "keys", KEY("Failed"), r->p);
    examine(r);
    only(r, "key", CS_FOUND_FAIL, "could not be built", "Reactivate");
    control(&d365, "POST", "keys", KEY("Pending"), r->p);
    examine(r);
    only(r, "key", CS_FOUND_FAIL, "not active yet (Pending)", "patience");
    control(&d365, "DELETE", "keys/opportunity.t_key", NULL, r->p);
    examine(r);
    only(r, "key", CS_FOUND_WARN, "no alternate key", "New key");
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_OK);
}

static void test_duplicates_of_a_referral(void **state)
{
    rig_t *r = rig_crm(&d365, *state);
    const char *ids[2];
    int i;

    control(&d365, "POST", "keys", KEY("Failed"), r->p);
    for (i = 0; i < 2; i++) {
        ids[i] = apr_pstrdup(r->p, cs_json_str(control(&d365, "POST", "opportunities",
                                                       "{\"name\":\"twice\","
                                                       "\"msft_referralidentifier\":\"twice-1\"}",
                                                       r->p),
                                               "opportunityid"));
    }
    examine(r);
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_FAIL);
    assert_non_null(strstr(finding(r, "duplicates")->text, "twice-1 (2 rows)"));
    control(&d365, "POST", "options", "{\"AggregateLimit\":1}", r->p);
    examine(r);
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_SKIP);
    assert_non_null(strstr(finding(r, "duplicates")->text, "maximum record limit"));
    control(&d365, "POST", "options", "{\"AggregateLimit\":50000}", r->p);
    for (i = 0; i < 2; i++) {
        control(&d365, "DELETE", apr_pstrcat(r->p, "opportunities/", ids[i], NULL), NULL, r->p);
    }
}

static void test_tracking_is_off(void **state)
{
    rig_t *r = rig_crm(&d365, *state);

    control(&d365, "POST", "table-options", "{\"table\":\"contact\",\"change_tracking\":false}",
            r->p);
    examine(r);
    only(r, "changes", CS_FOUND_WARN, "contact", "Track changes");
    control(&d365, "POST", "table-options", "{\"table\":\"contact\",\"change_tracking\":true}",
            r->p);
}

static void test_flows_of_the_connector(void **state)
{
    rig_t *r = rig_crm(&d365, *state);
    const char *ids[3];
    int i;
    static const char *const flows[] = {
        "{\"name\":\"Partner Center to Dynamics 365 (Insider Preview)\",\"statecode\":1}",
        "{\"name\":\"Dynamics 365 to Partner Center\",\"statecode\":0}",
        "{\"name\":\"Tell Partner Center people a joke\",\"statecode\":1}"};

    for (i = 0; i < 3; i++) {
        ids[i] = apr_pstrdup(
            r->p, cs_json_str(control(&d365, "POST", "workflows", flows[i], r->p), "workflowid"));
    }
    examine(r);
    only(r, "flows", CS_FOUND_FAIL,
         "1 flow of Microsoft's own connector is still on: \"Partner "
         "Center to Dynamics 365",
         "turn them off");
    assert_null(strstr(finding(r, "flows")->text, "joke"));
    for (i = 0; i < 3; i++) {
        control(&d365, "DELETE", apr_pstrcat(r->p, "workflows/", ids[i], NULL), NULL, r->p);
    }
}

/* One line says so; the others say that they were not asked. */
static void dead(rig_t *r, const char *text, const char *fix)
{
    static const char *const others[] = {"organization", "api", "roles", "key", "duplicates"};
    size_t i;

    examine(r);
    only(r, "sign-in", CS_FOUND_FAIL, text, fix);
    assert_int_equal(r->signed_in, 0);
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(finding(r, others[i])->state, CS_FOUND_SKIP);
    }
}

static void test_sign_in(void **state)
{
    rig_t *r = rig_crm(&d365, *state);

    control(&d365, "POST", "tokens", "{\"fail\":\"invalid_client\"}", r->p);
    dead(r, "AADSTS", "Certificates & secrets");
    control(&d365, "POST", "tokens", "{\"fail\":null}", r->p);
    control(&d365, "POST", "options", "{\"NotAMember\":true}", r->p);
    dead(r, "not a member", "application user");
    control(&d365, "POST", "options", "{\"NotAMember\":false}", r->p);
    fault(&d365, "{\"method\":\"*\",\"path\":\"/api/data\",\"fault\":\"reset-before\"}", r->p);
    dead(r, "GET WhoAmI", "reached");
    control(&d365, "DELETE", "faults", NULL, r->p);
    examine(r);
    fine(r);
}

/* What the limiter and a broken sign-in before it remember does not matter: it is asked. */
static void test_a_former_failure_is_asked_again(void **state)
{
    rig_t *r = rig_crm(&d365, *state);
    cs_crm_whoami_t who;
    cs_result_t res = {0};

    fault(&d365, "{\"method\":\"POST\",\"path\":\"/oauth2/\",\"fault\":\"status\",\"status\":500}",
          r->p);
    r->impl->whoami(r->crm, &who, cs_time_mono() + 5 * SEC, r->p, &res);
    assert_int_not_equal(res.cls, CS_CLASS_OK);
    control(&d365, "DELETE", "faults", NULL, r->p);
    examine(r);
    fine(r);
}

static void test_another_organisation(void **state)
{
    rig_t *r = rig_crm(&d365, *state);

    r->organization = "00000000-0000-4000-8000-0000000000ff";
    examine(r);
    only(r, "organization", CS_FOUND_FAIL, "ours was 00000000-0000-4000-8000-0000000000ff",
         "organization=");
    r = rig_crm(&sf, *state);
    r->organization = "00D5g0000000002EAA";
    examine(r);
    only(r, "organization", CS_FOUND_FAIL, "ours was 00D5g0000000002EAA", "organization=");
}

/* ---- Salesforce ---- */

static void test_a_good_organisation(void **state)
{
    rig_t *r = rig_crm(&sf, *state);

    examine(r);
    fine(r);
    assert_int_equal(r->signed_in, 1);
    assert_non_null(strstr(finding(r, "sign-in")->text, "@"));
    assert_int_equal(finding(r, "roles")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "key")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "requests")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "flows")->state, CS_FOUND_SKIP);
    assert_non_null(finding(r, "flows")->fix);
}

static void test_object_permissions(void **state)
{
    rig_t *r = rig_crm(&sf, *state);

    control(&sf, "POST", "privileges",
            "{\"table\":\"Opportunity\",\"deny\":[\"write\",\"create\"]}", r->p);
    examine(r);
    only(r, "roles", CS_FOUND_FAIL, "rows of Opportunity cannot be made", "Permission Sets");
    assert_non_null(strstr(finding(r, "roles")->text, "rows of Opportunity cannot be changed"));
    control(&sf, "POST", "privileges", "{\"table\":\"Opportunity\",\"deny\":[]}", r->p);
}

static void test_external_ids(void **state)
{
    rig_t *r = rig_crm(&sf, *state);
    const char *ids[2];
    int i;

    control(&sf, "POST", "columns", UNIQUE(",\"external\":true"), r->p);
    examine(r);
    only(r, "key", CS_FOUND_FAIL, "Opportunity.Referral_Identifier__c is not unique",
         "tick \"Unique\"");
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_OK);
    for (i = 0; i < 2; i++) {
        ids[i] = apr_pstrdup(
            r->p, cs_json_str(control(&sf, "POST", "Opportunity",
                                      "{\"Name\":\"twice\",\"StageName\":\"Prospecting\","
                                      "\"CloseDate\":\"2030-01-31\","
                                      "\"Referral_Identifier__c\":\"twice-1\"}",
                                      r->p),
                              "Id"));
    }
    examine(r);
    assert_int_equal(finding(r, "duplicates")->state, CS_FOUND_FAIL);
    assert_non_null(strstr(finding(r, "duplicates")->text, "twice-1 (2 rows)"));
    for (i = 0; i < 2; i++) {
        control(&sf, "DELETE", apr_pstrcat(r->p, "Opportunity/", ids[i], NULL), NULL, r->p);
    }
}

static void test_requests_of_the_day(void **state)
{
    rig_t *r = rig_crm(&sf, *state);

    control(&sf, "POST", "limits", "{\"used\":85000,\"max\":100000}", r->p);
    examine(r);
    only(r, "requests", CS_FOUND_WARN, " of 100000 requests", "Company Information");
    control(&sf, "POST", "limits", "{\"used\":99000,\"max\":100000}", r->p);
    examine(r);
    assert_int_equal(finding(r, "requests")->state, CS_FOUND_FAIL);
    assert_int_equal(finding(r, "roles")->state, CS_FOUND_SKIP);
    control(&sf, "POST", "limits", "{\"used\":0,\"max\":1000000}", r->p);
}

static void test_sign_in_of_an_app(void **state)
{
    rig_t *r = rig_crm(&sf, *state);

    control(&sf, "POST", "tokens", "{\"fail\":\"invalid_client\"}", r->p);
    dead(r, "cannot sign in", "consumer key");
    control(&sf, "POST", "tokens", "{\"fail\":null}", r->p);
    fault(&sf, "{\"method\":\"*\",\"path\":\"/services/oauth2\",\"fault\":\"reset-before\"}", r->p);
    dead(r, "cannot sign in", "reached");
}

/* ---- Partner Center ---- */

static void test_a_good_account(void **state)
{
    rig_t *r = rig_pc(*state);

    examine(r);
    fine(r);
    assert_int_equal(finding(r, "token")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "mfa")->state, CS_FOUND_OK);
    assert_int_equal(finding(r, "role")->state, CS_FOUND_OK);
}

static void test_an_account_without_role_or_second_factor(void **state)
{
    rig_t *r = rig_pc(*state);

    control(&pc, "POST", "tokens", "{\"role\":\"none\"}", r->p);
    examine(r);
    only(r, "role", CS_FOUND_FAIL, "may not read referrals", "Referrals admin");
    control(&pc, "POST", "tokens", "{\"role\":\"referrals-admin\",\"mfa\":false}", r->p);
    examine(r);
    only(r, "mfa", CS_FOUND_FAIL, "multi-factor", "cosellctl login");
    assert_int_equal(finding(r, "role")->state, CS_FOUND_SKIP);
    control(&pc, "POST", "tokens", "{\"mfa\":true}", r->p);
}

/* A refresh token that died shows at once, and the access token that is still good is not lost. */
static void test_a_refresh_token_that_died(void **state)
{
    rig_t *r = rig_pc(*state);
    cs_result_t res = {0};

    examine(r);
    control(&pc, "POST", "tokens", "{\"fail\":\"invalid_grant\"}", r->p);
    examine(r);
    only(r, "token", CS_FOUND_FAIL, "AADSTS", "cosellctl login");
    assert_int_equal(finding(r, "role")->state, CS_FOUND_SKIP);
    assert_ok(cs_pc_probe(r->pc, cs_time_mono() + 5 * SEC, r->p, &res));
    control(&pc, "POST", "tokens", "{\"fail\":null}", r->p);
    examine(r);
    fine(r);
}

static int start_all(void **state)
{
    const char *const crm_args[] = {"dynamics365", "--with-stdin", NULL};
    const char *const sf_args[] = {"salesforce", "--with-stdin", NULL};
    const char *const pc_args[] = {"partner-center", "--with-stdin", "--tenant", TENANT, NULL};

    (void)state;
    apr_pool_create(&all, NULL);
    return start_sim(&d365, "tests/sandbox/dynamics365", crm_args) ||
           start_sim(&sf, "tests/sandbox/salesforce", sf_args) ||
           start_sim(&pc, "tests/sandbox/partner-center", pc_args) ||
           cs_http_create(&control_http, "control", all) != APR_SUCCESS;
}

static int stop_all(void **state)
{
    (void)state;
    stop_sim(&d365);
    stop_sim(&sf);
    stop_sim(&pc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_TEST(test_a_good_environment),
        LIVE_TEST(test_privileges),
        LIVE_TEST(test_the_key_of_referrals),
        LIVE_TEST(test_duplicates_of_a_referral),
        LIVE_TEST(test_tracking_is_off),
        LIVE_TEST(test_flows_of_the_connector),
        LIVE_TEST(test_sign_in),
        LIVE_TEST(test_a_former_failure_is_asked_again),
        LIVE_TEST(test_another_organisation),
        LIVE_TEST(test_a_good_organisation),
        LIVE_TEST(test_object_permissions),
        LIVE_TEST(test_external_ids),
        LIVE_TEST(test_requests_of_the_day),
        LIVE_TEST(test_sign_in_of_an_app),
        LIVE_TEST(test_a_good_account),
        LIVE_TEST(test_an_account_without_role_or_second_factor),
        LIVE_TEST(test_a_refresh_token_that_died),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, start_all, stop_all));
}
