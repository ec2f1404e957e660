/* What the doctor finds at Partner Center, in mapping files and in certificates. */
#include "unit_finding.h"
#include "unit_pc.h"
#include "unit_pki.h"

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/engine/doctor.h"

#include <unistd.h>

#define SEC APR_USEC_PER_SEC
#define OK_LIST "{\"value\":[]}"

/* ---- Partner Center ---- */

/* An access token whose second part is these claims. */
static void token_says(pc_rig_t *r, const char *claims)
{
    r->server->token = apr_psprintf(
        r->p,
        "200 OK\r\n\r\n{\"access_token\":\"e30.%s.c2ln\",\"expires_in\":3600,\"token_type\":"
        "\"Bearer\"}",
        cs_base64url_encode(claims, strlen(claims), r->p));
}

static apr_array_header_t *examine(pc_rig_t *r, int wanted)
{
    apr_array_header_t *findings = cs_findings_make(r->p);

    assert_int_equal(cs_pc_examine(r->pc, findings, cs_time_mono() + 10 * SEC, r->p), wanted);
    return findings;
}

static void test_second_factors(void **state)
{
    static const struct {
        const char *claims, *header;
        cs_found_e found;
        const char *text;
    } cases[] = {
        {"{\"amr\":[\"pwd\",\"mfa\"]}", "", CS_FOUND_OK, "second factor"},
        {"{\"amr\":[\"pwd\",\"mfa\"],\"x\":1}", "", CS_FOUND_OK, "second factor"},
        {"{\"amr\":[\"pwd\",\"mfa\"],\"xy\":1}", "", CS_FOUND_OK, "second factor"},
        {"{\"amr\":[\"pwd\"]}", "", CS_FOUND_WARN, "amr has no \"mfa\"); Partner Center still"},
        {"{\"amr\":[\"pwd\"]}", "\r\nisMfaCompliant: true", CS_FOUND_OK, "second factor"},
        {"{\"amr\":[\"pwd\",\"mfa\"]}", "\r\nisMfaCompliant: false", CS_FOUND_WARN,
         "isMfaCompliant: false"},
        {"{\"ver\":\"1.0\"}", "", CS_FOUND_SKIP, "neither"},
        {"no json", "", CS_FOUND_SKIP, "neither"},
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_rig_t *r = pc_rig(*state);

        token_says(r, cases[i].claims);
        pc_will(r, apr_pstrcat(*state, "200 OK", cases[i].header, NULL), OK_LIST);
        says(examine(r, 1), "mfa", cases[i].found, cases[i].text);
        assert_string_equal(pc_sent(r, 0, "ValidateMfa"), "true");
        pc_stop(r);
    }
}

static void test_an_opaque_token_says_nothing(void **state)
{
    pc_rig_t *r = pc_rig(*state);
    apr_array_header_t *findings;

    pc_will(r, "200 OK", OK_LIST);
    findings = examine(r, 1);
    says(findings, "mfa", CS_FOUND_SKIP, "neither");
    says(findings, "role", CS_FOUND_OK, "may read");
    pc_stop(r);
}

static void test_answers_of_partner_center(void **state)
{
    static const struct {
        const char *head, *body;
        cs_found_e found;
        const char *text;
    } cases[] = {
        {"403 Forbidden", "{\"error\":{\"code\":\"accessDenied\",\"message\":\"no\"}}",
         CS_FOUND_FAIL, "may not read referrals"},
        {"404 Not Found", "", CS_FOUND_FAIL, "cannot be read"},
        {"500 Oops", "<html>", CS_FOUND_FAIL, "cannot be read"},
        {"429 Too Many\r\nRetry-After: 30", "", CS_FOUND_WARN, "cannot be read"},
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pc_rig_t *r = pc_rig(*state);

        pc_will(r, cases[i].head, cases[i].body);
        says(examine(r, 0), "role", cases[i].found, cases[i].text);
        pc_stop(r);
    }
}

/* An end that takes the request and never answers does not keep the others waiting. */
static void test_the_deadline_holds(void **state)
{
    apr_interval_time_t began = cs_time_mono();
    pc_rig_t *r = pc_rig(*state);
    apr_array_header_t *findings = cs_findings_make(*state);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    const char *base;

    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    base = apr_psprintf(*state, "http://127.0.0.1:%d", ntohs(at.sin_port));
    APR_ARRAY_PUSH(r->up.origins, const char *) = base;
    r->cfg.token_url = apr_pstrcat(*state, base, "/t/oauth2/v2.0/token", NULL);
    assert_ok(
        cs_pc_create(&r->pc, &r->cfg, &r->vault, r->http, &r->limiter, &r->login_limiter, *state));
    assert_int_equal(cs_pc_examine(r->pc, findings, cs_time_mono() + SEC / 2, *state), 0);
    assert_true(cs_time_mono() - began < 5 * SEC);
    says(findings, "token", CS_FOUND_FAIL, "no token");
    says(findings, "role", CS_FOUND_SKIP, "no token");
    close(listener);
    pc_stop(r);
}

/* ---- files ---- */

static const char *write_file(const char *text, apr_pool_t *p)
{
    char *path = apr_pstrdup(p, "/tmp/cosell-doctor-XXXXXX");
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static const char *read_profile(apr_pool_t *p)
{
    char *text = apr_pcalloc(p, 1 << 20);
    FILE *f = fopen("conf/mapping/dynamics365.json", "r");

    assert_non_null(f);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 1000);
    fclose(f);
    return text;
}

static void mapping_is(const cs_site_crm_t *crm, cs_found_e found, const char *text, apr_pool_t *p)
{
    apr_array_header_t *findings = cs_findings_make(p);

    cs_doctor_mapping(crm, cs_crm_facts_of("dynamics365"), findings);
    says(findings, "sales.mapping", found, text);
}

static void test_a_mapping_that_was_edited(void **state)
{
    cs_site_crm_t crm = {.cfg.name = "sales"};
    const char *text = read_profile(*state);
    cs_mapping_t *mapping;
    FILE *f;

    mapping_is(&crm, CS_FOUND_FAIL, "could not be loaded", *state);
    crm.mapping_path = write_file(text, *state);
    assert_ok(cs_mapping_load(&mapping, crm.mapping_path, cs_crm_facts_of("dynamics365"), NULL,
                              *state, NULL));
    crm.mapping = mapping;
    mapping_is(&crm, CS_FOUND_OK, crm.mapping_path, *state);
    f = fopen(crm.mapping_path, "w");
    fputs("{\"crm\":", f);
    fclose(f);
    mapping_is(&crm, CS_FOUND_WARN, "has a mistake now", *state);
    f = fopen(crm.mapping_path, "w");
    fprintf(f, "%.*s\"revision\": \"edited\"%s", (int)(strstr(text, "\"revision\"") - text), text,
            strstr(strstr(text, "\"revision\""), ","));
    fclose(f);
    mapping_is(&crm, CS_FOUND_WARN, "was changed (revision edited)", *state);
    unlink(crm.mapping_path);
    mapping_is(&crm, CS_FOUND_OK, "revision", *state);
}

static void certificate_is(const char *text, cs_found_e found, const char *says_so, apr_pool_t *p)
{
    cs_site_crm_t crm = {.cfg.name = "sales"};
    apr_array_header_t *findings = cs_findings_make(p);

    crm.cfg.certificate = text ? write_file(text, p) : "/nowhere/cosell.pem";
    cs_doctor_certificate(&crm, cs_time_now(), findings);
    says(findings, "sales.certificate", found, says_so);
    unlink(crm.cfg.certificate);
}

static void test_client_certificates(void **state)
{
    cs_site_crm_t none = {.cfg.name = "sales"};
    apr_array_header_t *findings = cs_findings_make(*state);
    EVP_PKEY *key = pki_rsa(2048, *state);
    pki_spec_t spec = {.cn = "cosell", .to = 400L * 86400};

    cs_doctor_certificate(&none, cs_time_now(), findings);
    assert_int_equal(findings->nelts, 0);
    certificate_is(NULL, CS_FOUND_FAIL, "/nowhere/cosell.pem", *state);
    certificate_is("no certificate", CS_FOUND_FAIL, "no certificate in it", *state);
    certificate_is(pki_pem(pki_cert(&spec, key, NULL, NULL, *state), *state), CS_FOUND_OK,
                   "good until", *state);
    spec.to = 20L * 86400;
    certificate_is(pki_pem(pki_cert(&spec, key, NULL, NULL, *state), *state), CS_FOUND_WARN, "only",
                   *state);
    spec.to = -60;
    certificate_is(pki_pem(pki_cert(&spec, key, NULL, NULL, *state), *state), CS_FOUND_FAIL,
                   "was good until", *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_second_factors),
        UNIT_TEST(test_an_opaque_token_says_nothing),
        UNIT_TEST(test_answers_of_partner_center),
        UNIT_TEST(test_the_deadline_holds),
        UNIT_TEST(test_a_mapping_that_was_edited),
        UNIT_TEST(test_client_certificates),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, NULL, NULL));
}
