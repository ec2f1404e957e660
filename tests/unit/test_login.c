/* Signing a person in: what is sent, what is read out of the answers, and what is said when it goes
 * wrong; boxes that only one process can open. (partner-center-api.md 3.2; RFC 7636, 8628) */
#include "unit_sign_in.h"

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/remote/login.h"

#define CLIENT "11111111-0000-4000-8000-000000000001"
#define AUDIENCE "https://api.partner.microsoft.com"
#define BACK "https://hooks.example.com/cosell-login"
/* RFC 7636, appendix B */
#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

typedef struct rig_t {
    sign_in_t to;
    cs_login_config_t cfg;
} rig_t;

static rig_t *rig(apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    sign_in_start(&r->to, "s&cret", p);
    r->cfg.http = r->to.http;
    r->cfg.token_url = r->to.url;
    r->cfg.audience = AUDIENCE;
    r->cfg.client_id = CLIENT;
    r->cfg.client_secret = &r->to.secret;
    r->cfg.upstream = &r->to.up;
    r->cfg.limiter = &r->to.limiter;
    return r;
}

static const char *error_answer(const char *error, int code, apr_pool_t *p)
{
    return apr_psprintf(p,
                        "400 Bad Request\r\nContent-Type: application/json\r\n\r\n{\"error\":\"%s\","
                        "\"error_description\":\"AADSTS%d: It is so.\\r\\nTrace ID: 4711\\r\\n"
                        "Timestamp: 1\",\"error_codes\":[%d]}",
                        error, code, code);
}

static const char *id_token(const char *claims, apr_pool_t *p)
{
    return apr_pstrcat(p, "eyJhbGciOiJub25lIn0.", cs_base64url_encode(claims, strlen(claims), p),
                       ".c2ln", NULL);
}

static const char *good(const char *claims, apr_pool_t *p)
{
    return apr_psprintf(p,
                        "200 OK\r\nContent-Type: application/json\r\n\r\n{\"token_type\":\"Bearer\","
                        "\"expires_in\":3599,\"access_token\":\"a\",\"refresh_token\":\"r-1\""
                        "%s%s%s}",
                        claims ? ",\"id_token\":\"" : "", claims ? id_token(claims, p) : "",
                        claims ? "\"" : "");
}

/* The value of a field in the nth request's form or query; NULL = it has none. */
static const char *field(const char *form, const char *name, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, form), *last, *pair, *to, *at;
    size_t n = strlen(name);

    for (pair = apr_strtok(copy, "&", &last); pair; pair = apr_strtok(NULL, "&", &last)) {
        if (strncmp(pair, name, n) || pair[n] != '=') {
            continue;
        }
        for (at = to = pair + n + 1; *at; at++) {
            unsigned c = (unsigned char)*at;
            if (*at == '%') {
                sscanf(at + 1, "%2x", &c);
                at += 2;
            }
            *to++ = (char)c;
        }
        *to = '\0';
        return pair + n + 1;
    }
    return NULL;
}

static const char *sent(rig_t *r, int i, const char *name, apr_pool_t *p)
{
    assert_true(i < r->to.server->n_ops);
    return field(r->to.server->ops[i].body, name, p);
}

/* ---- where the browser goes ---- */

static void test_address(void **state)
{
    apr_pool_t *p = *state;
    cs_login_config_t cfg = {.token_url = "https://login.example/t/oauth2/v2.0/token",
                             .audience = AUDIENCE,
                             .client_id = CLIENT};
    const char *url = cs_login_url(&cfg, BACK "?", "s&1", VERIFIER, p);
    const char *query = strchr(url, '?') + 1;

    assert_null(cs_login_wrong(&cfg, p));
    assert_int_equal(strncmp(url, "https://login.example/t/oauth2/v2.0/authorize?", 46), 0);
    assert_string_equal(field(query, "client_id", p), CLIENT);
    assert_string_equal(field(query, "response_type", p), "code");
    assert_string_equal(field(query, "redirect_uri", p), BACK "?");
    assert_string_equal(field(query, "state", p), "s&1");
    assert_string_equal(field(query, "code_challenge", p), CHALLENGE);
    assert_string_equal(field(query, "code_challenge_method", p), "S256");
    assert_string_equal(field(query, "scope", p), AUDIENCE "/.default offline_access openid profile");
    assert_null(field(query, "resource", p));
    assert_null(strstr(url, VERIFIER));
    cfg.token_url = "https://login.example/t/oauth2/token";
    url = cs_login_url(&cfg, BACK, "s", VERIFIER, p);
    assert_int_equal(strncmp(url, "https://login.example/t/oauth2/authorize?", 41), 0);
    assert_string_equal(field(strchr(url, '?') + 1, "resource", p), AUDIENCE);
    assert_string_equal(field(strchr(url, '?') + 1, "scope", p), "openid");
    cfg.token_url = "https://login.example/give-me-one";
    assert_has(cs_login_wrong(&cfg, p), "/token");
}

static void test_random(void **state)
{
    apr_pool_t *p = *state;
    const char *one = cs_login_random(p), *two = cs_login_random(p);

    assert_int_equal(strlen(one), 43);
    assert_string_not_equal(one, two);
}

/* ---- code ---- */

static void test_redeem(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_answer_t a;
    cs_result_t res = {0};

    sign_in_will(&r->to, good("{\"preferred_username\":\"service@partner.example\",\"name\":\"S\"}", p));
    assert_ok(cs_login_redeem(&a, &r->cfg, "c/1", BACK, VERIFIER, 0, p, &res));
    assert_string_equal(a.refresh, "r-1");
    assert_string_equal(a.account, "service@partner.example");
    assert_false(a.is_public);
    assert_string_equal(r->to.server->ops[0].method, "POST");
    assert_string_equal(r->to.server->ops[0].path, "/t/v2.0/token");
    assert_string_equal(sent(r, 0, "grant_type", p), "authorization_code");
    assert_string_equal(sent(r, 0, "code", p), "c/1");
    assert_string_equal(sent(r, 0, "redirect_uri", p), BACK);
    assert_string_equal(sent(r, 0, "code_verifier", p), VERIFIER);
    assert_string_equal(sent(r, 0, "client_id", p), CLIENT);
    assert_string_equal(sent(r, 0, "client_secret", p), "s&cret");
    assert_has(sent(r, 0, "scope", p), "offline_access");
    canned_stop(r->to.server);
}

static void test_first_version(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_answer_t a;
    cs_result_t res = {0};

    r->cfg.token_url = apr_pstrcat(p, r->to.server->base, "/t/oauth2/token", NULL);
    r->to.server->token = good("{\"upn\":\"old@partner.example\"}", p);
    assert_ok(cs_login_redeem(&a, &r->cfg, "c", BACK, VERIFIER, 0, p, &res));
    assert_string_equal(a.account, "old@partner.example");
    assert_string_equal(field(r->to.server->last_token_form, "resource", p), AUDIENCE);
    assert_string_equal(field(r->to.server->last_token_form, "scope", p), "openid");
    canned_stop(r->to.server);
}

static void test_who_signed_in(void **state)
{
    static const struct {
        const char *claims, *account;
    } cases[] = {{"{\"upn\":\"u\",\"name\":\"n\"}", "u"},
                 {"{\"name\":\"N N\"}", "N N"},
                 {"{\"preferred_username\":\"\",\"email\":\"e\"}", "e"},
                 {"{\"preferred_username\":\"a\\u0000b\"}", NULL},
                 {"{\"preferred_username\":\"a\\nb\"}", "a b"},
                 {"{\"preferred_username\":7}", NULL},
                 {"[]", NULL},
                 {"{", NULL},
                 {NULL, NULL}};
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_answer_t a;
    cs_result_t res = {0};
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        r->to.n = r->to.next = 0;
        sign_in_will(&r->to, good(cases[i].claims, p));
        assert_ok(cs_login_redeem(&a, &r->cfg, "c", BACK, VERIFIER, 0, p, &res));
        if (cases[i].account) {
            assert_string_equal(a.account, cases[i].account);
        }
        else {
            assert_null(a.account);
        }
    }
    /* Not a token of three parts. */
    r->to.n = r->to.next = 0;
    sign_in_will(&r->to, "200 OK\r\n\r\n{\"refresh_token\":\"r\",\"id_token\":\"a.b\"}");
    assert_ok(cs_login_redeem(&a, &r->cfg, "c", BACK, VERIFIER, 0, p, &res));
    assert_null(a.account);
    canned_stop(r->to.server);
}

static void test_answers_that_are_none(void **state)
{
    static const struct {
        const char *answer;
        cs_class_e cls;
    } cases[] = {{"200 OK\r\n\r\n{\"access_token\":\"a\"}", CS_CLASS_SUSPEND},
                 {"200 OK\r\n\r\n<html>", CS_CLASS_SUSPEND},
                 {"200 OK\r\n\r\n{\"refresh_token\":\"\"}", CS_CLASS_SUSPEND},
                 {"503 Away\r\n\r\n", CS_CLASS_RETRY},
                 {"429 Slow\r\nRetry-After: 3\r\n\r\n{}", CS_CLASS_THROTTLED},
                 {"404 Not Found\r\n\r\n", CS_CLASS_SUSPEND}};
    apr_pool_t *p = *state;
    cs_login_answer_t a;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_t *r = rig(p); /* each its own: a limiter pauses after 429 */
        cs_result_t res = {0};
        sign_in_will(&r->to, cases[i].answer);
        assert_not_ok(cs_login_redeem(&a, &r->cfg, "c", BACK, VERIFIER, 0, p, &res));
        assert_int_equal(res.cls, cases[i].cls);
        assert_non_null(res.detail);
        assert_null(a.refresh);
        canned_stop(r->to.server);
    }
}

static void test_errors_say_what_to_do(void **state)
{
    static const struct {
        const char *error;
        int code;
        const char *todo;
    } cases[] = {{"invalid_grant", 65001, "admin consent"},
                 {"invalid_grant", 50076, "multi-factor"},
                 {"interaction_required", 50079, "second factor"},
                 {"invalid_grant", 500112, "redirect URI"},
                 {"invalid_grant", 53003, "conditional access policy"},
                 {"invalid_client", 7000218, "Allow public client flows"},
                 {"invalid_client", 7000222, "has expired"},
                 {"invalid_client", 7000215, "client-secret="},
                 {"unauthorized_client", 700016, "client-id="},
                 {"invalid_grant", 54005, "used before"},
                 {"invalid_grant", 50105, "assign the account"},
                 {"invalid_grant", 99, "sign in again with cosellctl login"},
                 {"access_denied", 99, "declined"}};
    apr_pool_t *p = *state;
    cs_login_answer_t a;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_t *r = rig(p);
        cs_result_t res = {0};
        sign_in_will(&r->to, error_answer(cases[i].error, cases[i].code, p));
        assert_not_ok(cs_login_redeem(&a, &r->cfg, "the-code", BACK, VERIFIER, 0, p, &res));
        assert_int_equal(res.cls, CS_CLASS_SUSPEND);
        assert_string_equal(res.problem, apr_pstrcat(p, "oauth:", cases[i].error, NULL));
        assert_has(res.detail, cases[i].todo);
        assert_has(res.detail, apr_psprintf(p, "AADSTS%d", cases[i].code));
        assert_null(strstr(res.detail, "Trace ID"));
        assert_null(strstr(res.detail, "the-code"));
        canned_stop(r->to.server);
    }
    assert_has(cs_login_refusal("access_denied", "AADSTS65004: User\r\ndeclined.", p), "declined");
    assert_has(cs_login_refusal("x", NULL, p), "sign in again");
    assert_null(strchr(cs_login_refusal("a\nb", "c\nd", p), '\n'));
    assert_null(strstr(cs_login_refusal("x", "client_secret=abcdefgh", p), "abcdefgh"));
}

static void test_public_client(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_answer_t a;
    cs_result_t res = {0};

    sign_in_will(&r->to, error_answer("invalid_client", 700025, p));
    sign_in_will(&r->to, good(NULL, p));
    assert_ok(cs_login_redeem(&a, &r->cfg, "c", BACK, VERIFIER, 0, p, &res));
    assert_true(a.is_public);
    assert_non_null(sent(r, 0, "client_secret", p));
    assert_null(sent(r, 1, "client_secret", p));
    assert_string_equal(sent(r, 1, "code", p), "c");
    /* Who knows it does not ask in vain. */
    r->cfg.is_public = 1;
    sign_in_will(&r->to, good(NULL, p));
    assert_ok(cs_login_redeem(&a, &r->cfg, "c", BACK, VERIFIER, 0, p, &res));
    assert_true(a.is_public);
    assert_int_equal(r->to.server->n_ops, 3);
    assert_null(sent(r, 2, "client_secret", p));
    canned_stop(r->to.server);
}

/* ---- device code ---- */

static void test_device(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_device_t d;
    cs_login_answer_t a;
    cs_login_state_e how;
    cs_result_t res = {0};

    sign_in_will(&r->to, "200 OK\r\n\r\n{\"user_code\":\"ABCD-EFGH\",\"device_code\":\"d&1\",\"verification_uri\":"
            "\"https://microsoft.com/devicelogin\",\"expires_in\":900,\"interval\":7}");
    assert_ok(cs_login_device(&d, &r->cfg, 0, p, &res));
    assert_string_equal(r->to.server->ops[0].path, "/t/v2.0/devicecode");
    assert_null(sent(r, 0, "client_secret", p));
    assert_has(sent(r, 0, "scope", p), AUDIENCE "/.default");
    assert_string_equal(d.user_code, "ABCD-EFGH");
    assert_string_equal(d.open, "https://microsoft.com/devicelogin");
    assert_true(d.interval == apr_time_from_sec(7) && d.life == apr_time_from_sec(900));
    sign_in_will(&r->to, error_answer("authorization_pending", 70016, p));
    sign_in_will(&r->to, error_answer("slow_down", 70016, p));
    sign_in_will(&r->to, good("{\"upn\":\"d@partner.example\"}", p));
    assert_ok(cs_login_device_ask(&a, &how, &r->cfg, d.device_code, 0, p, &res));
    assert_int_equal(how, CS_LOGIN_PENDING);
    assert_null(a.refresh);
    assert_ok(cs_login_device_ask(&a, &how, &r->cfg, d.device_code, 0, p, &res));
    assert_int_equal(how, CS_LOGIN_SLOW_DOWN);
    assert_ok(cs_login_device_ask(&a, &how, &r->cfg, d.device_code, 0, p, &res));
    assert_int_equal(how, CS_LOGIN_SIGNED_IN);
    assert_string_equal(a.account, "d@partner.example");
    assert_string_equal(sent(r, 3, "grant_type", p), "urn:ietf:params:oauth:grant-type:device_code");
    assert_string_equal(sent(r, 3, "device_code", p), "d&1");
    canned_stop(r->to.server);
}

static void test_device_of_the_first_version(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_device_t d;
    cs_login_answer_t a;
    cs_login_state_e how;
    cs_result_t res = {0};

    r->cfg.token_url = apr_pstrcat(p, r->to.server->base, "/t/oauth2/token", NULL);
    r->to.server->token = "200 OK\r\n\r\n{\"user_code\":\"ABCDEFGHJ\",\"device_code\":\"d1\","
                       "\"verification_url\":\"https://aka.ms/devicelogin\",\"expires_in\":\"600\","
                       "\"interval\":\"5\"}";
    assert_ok(cs_login_device(&d, &r->cfg, 0, p, &res));
    assert_string_equal(field(r->to.server->last_token_form, "resource", p), AUDIENCE);
    assert_true(d.interval == apr_time_from_sec(5) && d.life == apr_time_from_sec(600));
    r->to.server->token = good(NULL, p);
    assert_ok(cs_login_device_ask(&a, &how, &r->cfg, d.device_code, 0, p, &res));
    assert_string_equal(field(r->to.server->last_token_form, "grant_type", p), "device_code");
    assert_string_equal(field(r->to.server->last_token_form, "code", p), "d1");
    assert_string_equal(field(r->to.server->last_token_form, "resource", p), AUDIENCE);
    canned_stop(r->to.server);
}

static void test_device_codes_that_are_none(void **state)
{
    static const char *const bodies[] = {
        "{}",
        "{\"user_code\":\"A\",\"device_code\":\"d\"}",
        "{\"user_code\":\"<b>\",\"device_code\":\"d\",\"verification_uri\":\"https://a.example\"}",
        "{\"user_code\":\"A\",\"device_code\":\"\",\"verification_uri\":\"https://a.example\"}",
        "{\"user_code\":\"A\",\"device_code\":\"d\",\"verification_uri\":\"javascript:alert(1)\"}",
        "{\"user_code\":\"A\",\"device_code\":\"d\",\"verification_uri\":\"https://a.example/\\\"x\"}"};
    apr_pool_t *p = *state;
    cs_login_device_t d;
    size_t i;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        rig_t *r = rig(p);
        cs_result_t res = {0};
        sign_in_will(&r->to, apr_pstrcat(p, "200 OK\r\n\r\n", bodies[i], NULL));
        assert_not_ok(cs_login_device(&d, &r->cfg, 0, p, &res));
        assert_int_equal(res.cls, CS_CLASS_SUSPEND);
        canned_stop(r->to.server);
    }
}

static void test_device_intervals_are_bounded(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_login_device_t d;
    cs_result_t res = {0};

    sign_in_will(&r->to, "200 OK\r\n\r\n{\"user_code\":\"A\",\"device_code\":\"d\",\"verification_uri\":"
            "\"https://a.example\",\"expires_in\":99999999,\"interval\":0}");
    assert_ok(cs_login_device(&d, &r->cfg, 0, p, &res));
    assert_true(d.interval == apr_time_from_sec(1) && d.life == apr_time_from_sec(900));
    sign_in_will(&r->to, "200 OK\r\n\r\n{\"user_code\":\"A\",\"device_code\":\"d\",\"verification_uri\":"
            "\"https://a.example\"}");
    assert_ok(cs_login_device(&d, &r->cfg, 0, p, &res));
    assert_true(d.interval == apr_time_from_sec(5) && d.life == apr_time_from_sec(900));
    canned_stop(r->to.server);
}

static void test_device_ends_badly(void **state)
{
    static const struct {
        const char *error;
        int code;
        const char *todo;
    } cases[] = {{"authorization_declined", 70017, "declined"},
                 {"access_denied", 70017, "declined"},
                 {"expired_token", 70020, "not entered in time"},
                 {"bad_verification_code", 70018, "sign in again"},
                 {"invalid_grant", 53003, "browser"}};
    apr_pool_t *p = *state;
    cs_login_answer_t a;
    cs_login_state_e how;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_t *r = rig(p);
        cs_result_t res = {0};
        sign_in_will(&r->to, error_answer(cases[i].error, cases[i].code, p));
        assert_not_ok(cs_login_device_ask(&a, &how, &r->cfg, "d", 0, p, &res));
        assert_int_equal(res.cls, CS_CLASS_SUSPEND);
        assert_has(res.detail, cases[i].todo);
        canned_stop(r->to.server);
    }
}

/* ---- boxes, and base64url ---- */

static void test_box(void **state)
{
    apr_pool_t *p = *state;
    unsigned char pub[CS_BOX_KEY_LEN], key[CS_BOX_KEY_LEN], other[CS_BOX_KEY_LEN],
        stranger[CS_BOX_KEY_LEN], *bad;
    const unsigned char *one, *two, *plain;
    apr_size_t n, m, len, i;

    assert_ok(cs_box_make(pub, key));
    assert_ok(cs_box_make(other, stranger));
    assert_ok(cs_box_seal(&one, &n, pub, "place", "the code", 8, p));
    assert_ok(cs_box_seal(&two, &m, pub, "place", "the code", 8, p));
    assert_int_equal(n, m);
    assert_memory_not_equal(one, two, CS_BOX_KEY_LEN);
    assert_ok(cs_box_open(&plain, &len, key, "place", one, n, p));
    assert_int_equal(len, 8);
    assert_memory_equal(plain, "the code", 8);
    assert_int_equal(cs_box_open(&plain, &len, stranger, "place", one, n, p), CS_EPARSE);
    assert_int_equal(cs_box_open(&plain, &len, key, "elsewhere", one, n, p), CS_EPARSE);
    for (i = 0; i < n; i++) {
        assert_int_equal(cs_box_open(&plain, &len, key, "place", one, i, p), CS_EPARSE);
        bad = apr_pmemdup(p, one, n);
        /* The highest bit of a point does not count (RFC 7748, 5), but the key hangs on it here. */
        bad[i] ^= 0x80;
        assert_int_equal(cs_box_open(&plain, &len, key, "place", bad, n, p), CS_EPARSE);
    }
    /* A point of small order gives no secret. */
    bad = apr_pmemdup(p, one, n);
    memset(bad, 0, CS_BOX_KEY_LEN);
    assert_int_equal(cs_box_open(&plain, &len, key, "place", bad, n, p), CS_EPARSE);
    assert_int_equal(cs_box_open(&plain, &len, key, "place", "", 0, p), CS_EPARSE);
}

static void test_base64url(void **state)
{
    apr_pool_t *p = *state;
    const unsigned char *out;
    apr_size_t len;

    assert_ok(cs_base64url_decode(&out, &len, "-_-_", 4, 10, p));
    assert_memory_equal(out, "\xfb\xff\xbf", 3);
    assert_ok(cs_base64url_decode(&out, &len, "QQ", 2, 10, p));
    assert_int_equal(len, 1);
    assert_ok(cs_base64url_decode(&out, &len, "QQ==", 4, 10, p));
    assert_ok(cs_base64url_decode(&out, &len, "", 0, 10, p));
    assert_int_equal(len, 0);
    assert_not_ok(cs_base64url_decode(&out, &len, "Q", 1, 10, p));
    assert_not_ok(cs_base64url_decode(&out, &len, "+/+/", 4, 10, p));
    assert_not_ok(cs_base64url_decode(&out, &len, "QR", 2, 10, p));
    assert_not_ok(cs_base64url_decode(&out, &len, "QUFBQUFB", 8, 3, p));
    assert_not_ok(cs_base64url_decode(&out, &len, "A B=", 4, 10, p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_address),
        UNIT_TEST(test_random),
        UNIT_TEST(test_redeem),
        UNIT_TEST(test_first_version),
        UNIT_TEST(test_who_signed_in),
        UNIT_TEST(test_answers_that_are_none),
        UNIT_TEST(test_errors_say_what_to_do),
        UNIT_TEST(test_public_client),
        UNIT_TEST(test_device),
        UNIT_TEST(test_device_of_the_first_version),
        UNIT_TEST(test_device_codes_that_are_none),
        UNIT_TEST(test_device_intervals_are_bounded),
        UNIT_TEST(test_device_ends_badly),
        UNIT_TEST(test_box),
        UNIT_TEST(test_base64url),
    };

    return UNIT_RUN(tests);
}
