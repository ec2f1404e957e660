/* Signing in to Salesforce, the session's life, and the configuration of it. (crm-apis.md B1) */
#include "unit_pki.h"
#include "unit_salesforce_parts.h"

#include <sys/mman.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/remote/crm.h"

#define USER "cosell@contoso.example"
#define HOUR 3600

/* ---- a client ---- */

typedef struct rig_t {
    canned_t *server;
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up;
    cs_secret_t secret, key;
    cs_crm_config_t cfg;
    const cs_crm_impl_t *impl;
    cs_crm_t *crm;
} rig_t;

static const char *limits(canned_t *c, const canned_op_t *op)
{
    (void)op;
    if (c->baton) {
        return c->baton;
    }
    return "200 OK\r\nSforce-Limit-Info: api-usage=7/1000\r\n\r\n{\"DailyApiRequests\":{\"Max\":"
           "1000,\"Remaining\":993}}";
}

static void renew(rig_t *r, apr_pool_t *p)
{
    assert_ok(r->impl->create(&r->crm, &r->cfg, r->http, &r->limiter, &r->login_limiter, p));
}

static rig_t *rig(apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->server = canned_start(limits);
    r->server->endless = 1;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up.name = "force";
    r->up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(r->up.origins, const char *) = r->server->base;
    r->up.concurrency = 4;
    r->up.timeout = 20 * APR_USEC_PER_SEC;
    r->secret = (cs_secret_t){.ref = "file:/s", .value = "s&cret", .len = 6};
    r->cfg.name = "force";
    r->cfg.type = "salesforce";
    r->cfg.url = r->server->base;
    r->cfg.client_id = "3MVG9.key";
    r->cfg.client_secret = &r->secret;
    r->cfg.upstream = r->cfg.login = &r->up;
    r->impl = cs_crm_impl_of("salesforce");
    assert_non_null(r->impl);
    renew(r, p);
    return r;
}

static void use_key(rig_t *r, EVP_PKEY *key, apr_pool_t *p)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    r->key.ref = "file:/k";
    r->key.value = pki_bio_text(bio, p);
    r->key.len = strlen(r->key.value);
    r->cfg.client_secret = NULL;
    r->cfg.key = &r->key;
    r->cfg.user = USER;
    renew(r, p);
}

static cs_result_t ask(rig_t *r, apr_pool_t *p)
{
    cs_crm_whoami_t who;
    cs_result_t res = {0};

    r->impl->whoami(r->crm, &who, 0, p, &res);
    return res;
}

static const char *field_of(const char *form, const char *name, apr_pool_t *p)
{
    const char *at = strstr(form, apr_pstrcat(p, name, "=", NULL));

    return at ? sf_plain(
                    apr_pstrmemdup(p, at + strlen(name) + 1, strcspn(at + strlen(name) + 1, "&")),
                    p)
              : NULL;
}

/* ---- time ---- */

static struct {
    apr_int64_t offset, rate, since;
} * clock_words;

static int start_clock(void **state)
{
    static char path[] = "/tmp/cosell-clock-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    if (fd < 0 || ftruncate(fd, 24)) {
        return -1;
    }
    clock_words = mmap(NULL, 24, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (clock_words == MAP_FAILED) {
        return -1;
    }
    clock_words->rate = 1000;
    setenv("COSELL_TEST_CLOCK", path, 1);
    cs_time_now();
    unlink(path);
    close(fd);
    return 0;
}

static void pass(int seconds)
{
    clock_words->offset += apr_time_from_sec(seconds);
}

/* ---- grants ---- */

static void test_client_credentials(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_whoami_t who;
    cs_result_t res;
    cs_crm_usage_t usage;

    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    assert_string_equal(who.organization, "00D000000000062EAA");
    assert_string_equal(who.user, "005000000000001AAA");
    assert_string_equal(r->server->last_token_form,
                        "grant_type=client_credentials&client_id=3MVG9.key&client_secret=s%26cret");
    assert_int_equal(r->server->n_requests, 1);
    assert_string_equal(r->server->ops[0].path, "/services/data/v60.0/limits");
    r->impl->usage(r->crm, &usage);
    assert_true(usage.used == 7 && usage.most == 1000);
    canned_stop(r->server);
}

static json_t *decoded(const char *text, apr_size_t len, apr_pool_t *p)
{
    char *padded = apr_pcalloc(p, len + 5);
    const unsigned char *out;
    apr_size_t n, i;

    memcpy(padded, text, len);
    for (i = 0; i < len; i++) {
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    for (; i % 4; i++) {
        padded[i] = '=';
    }
    assert_ok(cs_base64_decode(&out, &n, padded, i, 65536, p));
    return sf_json(apr_pstrmemdup(p, (const char *)out, n), p);
}

static int is_signed(EVP_PKEY *key, const char *text, apr_size_t len, const char *signature,
                     apr_pool_t *p)
{
    apr_size_t slen = strlen(signature), n, i;
    char *padded = apr_pcalloc(p, slen + 5);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const unsigned char *sig;
    int good;

    for (i = 0; i < slen; i++) {
        padded[i] = signature[i] == '-' ? '+' : signature[i] == '_' ? '/' : signature[i];
    }
    for (; i % 4; i++) {
        padded[i] = '=';
    }
    assert_ok(cs_base64_decode(&sig, &n, padded, i, 65536, p));
    good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(ctx, sig, n, (const unsigned char *)text, len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static void test_jwt_bearer(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    EVP_PKEY *key = pki_rsa(2048, p), *other = pki_rsa(2048, p);
    apr_int64_t now = apr_time_sec(cs_time_now()), exp;
    const char *form, *jwt, *dot, *second;
    json_t *claims;
    cs_result_t res;

    use_key(r, key, p);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_OK, NULL);
    form = r->server->last_token_form;
    assert_string_equal(field_of(form, "grant_type", p),
                        "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_null(strstr(form, "client_id"));
    assert_null(strstr(form, "client_secret"));
    assert_null(strstr(form, "scope"));
    jwt = field_of(form, "assertion", p);
    assert_non_null(jwt);
    dot = strchr(jwt, '.');
    second = strchr(dot + 1, '.');
    assert_json(decoded(jwt, (apr_size_t)(dot - jwt), p), "{\"alg\":\"RS256\"}", p);
    claims = decoded(dot + 1, (apr_size_t)(second - dot - 1), p);
    assert_string_equal(cs_json_str(claims, "iss"), "3MVG9.key");
    assert_string_equal(cs_json_str(claims, "sub"), USER);
    /* on loopback nobody else is meant */
    assert_string_equal(cs_json_str(claims, "aud"), r->server->base);
    exp = cs_json_int(claims, "exp", 0);
    assert_true(exp >= now + 170 && exp <= now + 190);
    assert_true(is_signed(key, jwt, (apr_size_t)(second - jwt), second + 1, p));
    assert_false(is_signed(other, jwt, (apr_size_t)(second - jwt), second + 1, p));
    canned_stop(r->server);
}

static void test_for_whom_an_assertion_is(void **state)
{
    static const struct {
        const char *url, *token_url, *asked, *addressee;
    } table[] = {
        {"https://x.my.salesforce.com", NULL, "https://x.my.salesforce.com",
         "https://login.salesforce.com"},
        {"https://x--dev.sandbox.my.salesforce.com", NULL,
         "https://x--dev.sandbox.my.salesforce.com", "https://test.salesforce.com"},
        {"https://x.my.salesforce.com", "https://test.salesforce.com/services/oauth2/token",
         "https://test.salesforce.com", "https://test.salesforce.com"},
        {"https://x.my.salesforce.com", "https://login.salesforce.com/services/oauth2/token",
         "https://login.salesforce.com", "https://login.salesforce.com"},
        {"https://x.my.salesforce.com", "https://x.my.site.com/services/oauth2/token",
         "https://x.my.site.com", "https://x.my.site.com"},
        {"https://x.my.salesforce.com", "https://evilsalesforce.com/services/oauth2/token",
         "https://evilsalesforce.com", "https://evilsalesforce.com"},
        {"http://127.0.0.1:8080", NULL, "http://127.0.0.1:8080", "http://127.0.0.1:8080"},
    };
    const cs_crm_impl_t *impl = cs_crm_impl_of("salesforce");
    apr_pool_t *p = *state;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_crm_config_t cfg = {.url = table[i].url, .token_url = table[i].token_url};

        assert_string_equal(cs_http_origin(impl->token_url(&cfg, p), p), table[i].asked);
        assert_has(impl->token_url(&cfg, p), "/services/oauth2/token");
        assert_string_equal(cs_sf_addressee(&cfg, p), table[i].addressee);
    }
}

static void test_keys_that_are_none(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res;

    use_key(r, pki_ec(p), p);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "config:certificate");
    assert_has(res.detail, "file:/k");
    r->key.value = NULL;
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "config:certificate");
    assert_int_equal(r->server->n_tokens, 0);
    canned_stop(r->server);
}

/* ---- answers ---- */

static void test_refused_sign_ins(void **state)
{
    static const struct {
        const char *answer;
        cs_class_e cls;
        const char *problem;
    } table[] = {
        {"400 Bad Request\r\n\r\n{\"error\":\"invalid_grant\",\"error_description\":\"user hasn't "
         "approved this consumer\"}",
         CS_CLASS_SUSPEND, "oauth:invalid_grant"},
        {"400 Bad Request\r\n\r\n{\"error\":\"invalid_client_id\",\"error_description\":\"client "
         "identifier invalid\"}",
         CS_CLASS_SUSPEND, "oauth:invalid_client_id"},
        {"400 Bad Request\r\n\r\n{\"error\":\"inactive_user\"}", CS_CLASS_SUSPEND,
         "oauth:inactive_user"},
        {"401 Unauthorized\r\n\r\n{\"error\":\"invalid_app_access\"}", CS_CLASS_SUSPEND,
         "oauth:invalid_app_access"},
        {"400 Bad Request\r\n\r\n{\"error\":\"unknown_error\",\"error_description\":\"retry your "
         "request\"}",
         CS_CLASS_RETRY, "oauth:unknown_error"},
        {"400 Bad Request\r\n\r\n{\"error\":\"invalid_grant\",\"error_description\":\"login rate "
         "exceeded\"}",
         CS_CLASS_RETRY, "oauth:invalid_grant"},
        {"503 x\r\n\r\n<html>", CS_CLASS_RETRY, "http:503"},
        {"200 OK\r\n\r\n{}", CS_CLASS_RETRY, "oauth:answer"},
        {"200 OK\r\n\r\n{\"access_token\":\"t\"}", CS_CLASS_SUSPEND, "config:instance"},
        {"200 OK\r\n\r\n{\"access_token\":\"t\",\"instance_url\":\"https://evil.example\"}",
         CS_CLASS_SUSPEND, "config:instance"},
        {"200 OK\r\n\r\n{\"access_token\":\"t\",\"instance_url\":\"no url\"}", CS_CLASS_SUSPEND,
         "config:instance"},
    };
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        r->server->token = table[i].answer;
        renew(r, p);
        res = ask(r, p);
        sf_expect(&res, table[i].cls, table[i].problem);
        assert_has_not(res.detail, "s&cret");
    }
    assert_int_equal(r->server->n_requests, 0);
    canned_stop(r->server);
}

static void test_a_session_without_identity(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res;

    r->server->token = apr_psprintf(
        p,
        "200 OK\r\n\r\n{\"access_token\":\"t\",\"instance_url\":\"%s\",\"id\":\"https://x/id/00D/"
        "005\"}",
        r->server->base);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "salesforce:answer");
    /* where an organisation is expected, none is not it: nothing is sent */
    r->cfg.organization = "00D000000000062";
    renew(r, p);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "config:organization");
    assert_int_equal(r->server->n_requests, 1);
    r->server->token = NULL;
    renew(r, p);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_OK, NULL);
    r->cfg.organization = "00d000000000062";
    renew(r, p);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "config:organization");
    canned_stop(r->server);
}

/* ---- the session's life ---- */

static void test_a_session_lasts_half_a_day(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res = ask(r, p);

    sf_expect(&res, CS_CLASS_OK, NULL);
    pass(12 * HOUR - 60);
    res = ask(r, p);
    assert_int_equal(r->server->n_tokens, 1);
    pass(120);
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_OK, NULL);
    assert_int_equal(r->server->n_tokens, 2);
    canned_stop(r->server);
}

static void test_a_session_is_renewed_once(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res;

    r->server->baton = "401 Unauthorized\r\n\r\n[{\"message\":\"Session expired or invalid\","
                       "\"errorCode\":\"INVALID_SESSION_ID\"}]";
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "salesforce:INVALID_SESSION_ID");
    assert_int_equal(r->server->n_tokens, 2);
    assert_int_equal(r->server->n_requests, 2);
    for (int i = 0; cs_sf_hopeless[i]; i++) {
        r->server->baton =
            apr_psprintf(p,
                         "401 Unauthorized\r\n\r\n[{\"message\":\"%s\",\"errorCode\":"
                         "\"INVALID_SESSION_ID\"}]",
                         cs_sf_hopeless[i]);
        renew(r, p);
        canned_forget(r->server);
        res = ask(r, p);
        sf_expect(&res, CS_CLASS_SUSPEND, "salesforce:INVALID_SESSION_ID");
        assert_has(res.detail, cs_sf_hopeless[i]);
        assert_int_equal(r->server->n_tokens, 1);
        assert_int_equal(r->server->n_requests, 1);
    }
    canned_stop(r->server);
}

static void test_the_probe(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res;

    r->server->baton = "200 OK\r\n\r\n[]";
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_RETRY, "salesforce:answer");
    r->server->baton = "404 x\r\n\r\n[{\"errorCode\":\"NOT_FOUND\"}]";
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, NULL);
    r->up.reserve = 5;
    r->server->baton = "200 OK\r\n\r\n{\"DailyApiRequests\":{\"Max\":1000,\"Remaining\":50}}";
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_SUSPEND, "quota:daily");
    r->server->baton = "200 OK\r\n\r\n{\"DailyApiRequests\":{\"Max\":1000,\"Remaining\":51}}";
    res = ask(r, p);
    sf_expect(&res, CS_CLASS_OK, NULL);
    canned_stop(r->server);
}

/* ---- configuration ---- */

static void test_check_of_the_configuration(void **state)
{
    apr_pool_t *p = *state;
    cs_secret_t secret = {.ref = "file:/s"}, key = {.ref = "file:/k"};
    cs_crm_config_t cfg = {.name = "force", .url = "https://o.my.salesforce.com"};
    const cs_crm_impl_t *impl = cs_crm_impl_of("salesforce");

    assert_has(impl->check(&cfg, p), "client-id=");
    cfg.client_id = "3MVG9";
    assert_has(impl->check(&cfg, p), "key=file:/path");
    cfg.key = &key;
    assert_has(impl->check(&cfg, p), "no user=");
    cfg.user = USER;
    assert_null(impl->check(&cfg, p));
    cfg.client_secret = &secret;
    assert_has(impl->check(&cfg, p), "not both");
    cfg.key = NULL;
    assert_has(impl->check(&cfg, p), "user=\"" USER "\"");
    cfg.user = NULL;
    assert_null(impl->check(&cfg, p));
    cfg.token_url = "https://login.salesforce.com/services/oauth2/token";
    assert_has(impl->check(&cfg, p), "token-url=");
    cfg.token_url = NULL;
    cfg.organization = "00D000000000062";
    assert_null(impl->check(&cfg, p));
    cfg.organization = "00D000000000062EAA";
    assert_null(impl->check(&cfg, p));
    cfg.organization = "006000000000062";
    assert_has(impl->check(&cfg, p), "00D");
    cfg.organization = NULL;
    cfg.url = "https://o.my.salesforce.com/home";
    assert_has(impl->check(&cfg, p), "/home");
    cfg.url = "https://o.lightning.force.com";
    assert_has(impl->check(&cfg, p), "my.salesforce.com");
    cfg.url = "https://login.salesforce.com";
    assert_has(impl->check(&cfg, p), "My Domain");
    cfg.url = "https://TEST.salesforce.com/";
    assert_has(impl->check(&cfg, p), "My Domain");
    cfg.client_secret = NULL;
    cfg.key = &key;
    cfg.user = USER;
    assert_has(impl->check(&cfg, p), "My Domain");
    cfg.url = "o.my.salesforce.com";
    assert_has(impl->check(&cfg, p), "https://");
}

static void test_links(void **state)
{
    apr_pool_t *p = *state;
    cs_crm_config_t cfg = {.name = "force", .url = "https://O.my.salesforce.com/"};
    const cs_crm_impl_t *impl = cs_crm_impl_of("salesforce");

    assert_string_equal(
        impl->link(&cfg, "Opportunity", "006000000000001", p),
        "https://o.my.salesforce.com/lightning/r/Opportunity/006000000000001AAA/view");
    assert_null(impl->link(&cfg, "Opp/x", "006000000000001", p));
    assert_null(impl->link(&cfg, "Opportunity", "11111111-0000-5000-8000-000000000001", p));
    assert_null(impl->link(&cfg, "Opportunity", NULL, p));
    assert_string_equal(cs_crm_types(), "dynamics365, salesforce");
    assert_ptr_equal(cs_crm_facts_of("salesforce"), impl->facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_client_credentials),
        UNIT_TEST(test_jwt_bearer),
        UNIT_TEST(test_for_whom_an_assertion_is),
        UNIT_TEST(test_keys_that_are_none),
        UNIT_TEST(test_refused_sign_ins),
        UNIT_TEST(test_a_session_without_identity),
        UNIT_TEST(test_a_session_lasts_half_a_day),
        UNIT_TEST(test_a_session_is_renewed_once),
        UNIT_TEST(test_the_probe),
        UNIT_TEST(test_check_of_the_configuration),
        UNIT_TEST(test_links),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, start_clock, NULL));
}
