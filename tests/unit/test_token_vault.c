/* The refresh token in force: which one that is, what is kept with it, how a sign-in takes its
 * place, and a public client's. */
#include "unit_sign_in.h"

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/token.h"


typedef struct rig_t {
    sign_in_t to;
    cs_secret_t seed;
    cs_vault_t vault;
    cs_token_config_t cfg;
    cs_token_t *token;
    char *kept; /* what the vault holds */
    apr_int64_t version;
    int races; /* so often somebody else stores in between */
} rig_t;

static apr_status_t get(void *baton, const char *name, const char **pvalue, apr_int64_t *pversion,
                        apr_pool_t *p, cs_result_t *res)
{
    rig_t *r = baton;

    (void)res;
    assert_string_equal(name, CS_VAULT_REFRESH);
    *pvalue = apr_pstrdup(p, r->kept);
    *pversion = r->version;
    return APR_SUCCESS;
}

static apr_status_t put(void *baton, const char *name, const char *value, apr_int64_t version,
                        apr_pool_t *ptemp, cs_result_t *res)
{
    rig_t *r = baton;

    (void)ptemp, (void)name;
    if (r->races > 0) {
        r->races--;
        r->version++;
    }
    if (version != r->version) {
        return cs_result_set(res, ptemp, CS_ESTALE, CS_CLASS_RETRY, "stale", "newer");
    }
    free(r->kept);
    r->kept = strdup(value);
    r->version++;
    return APR_SUCCESS;
}

static rig_t *rig(apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    sign_in_start(&r->to, "secret", p);
    r->seed = (cs_secret_t){.ref = "file:/r", .value = "seed-1", .len = 6, .digest = "d1"};
    r->vault = (cs_vault_t){r, get, put};
    r->cfg.grant = CS_GRANT_REFRESH_TOKEN;
    r->cfg.url = r->to.url;
    r->cfg.audience = "https://api.example";
    r->cfg.client_id = "c";
    r->cfg.client_secret = &r->to.secret;
    r->cfg.refresh_seed = &r->seed;
    r->cfg.vault = &r->vault;
    r->cfg.upstream = &r->to.up;
    assert_ok(cs_token_create(&r->token, &r->cfg, r->to.http, &r->to.limiter, p));
    return r;
}

static void end(rig_t *r)
{
    canned_stop(r->to.server);
    free(r->kept);
}

static void will(rig_t *r, const char *body, apr_pool_t *p)
{
    sign_in_will(&r->to, apr_pstrcat(p, "200 OK\r\n\r\n", body, NULL));
}

static int sent_has(rig_t *r, int i, const char *text)
{
    assert_true(i < r->to.server->n_ops);
    return strstr(r->to.server->ops[i].body, text) != NULL;
}

static void fetch(rig_t *r, apr_pool_t *p)
{
    const char *bearer;
    cs_result_t res = {0};

    cs_token_forget(r->token);
    if (cs_token_get(r->token, &bearer, 0, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
}

static const json_t *kept(rig_t *r, apr_pool_t *p)
{
    json_t *json = NULL;

    assert_non_null(r->kept);
    assert_ok(cs_json_parse(&json, r->kept, strlen(r->kept), NULL, p, NULL));
    return cs_json_own(json, p);
}

static const json_t *about(apr_pool_t *p)
{
    return cs_json_own(json_pack("{s:s, s:s, s:i}", "account", "a@b.example", "source", "login",
                                 "signed_in", 77),
                       p);
}

static void test_without_any(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    const char *bearer;
    cs_result_t res = {0};

    r->cfg.refresh_seed = NULL;
    assert_ok(cs_token_create(&r->token, &r->cfg, r->to.http, &r->to.limiter, p));
    assert_not_ok(cs_token_get(r->token, &bearer, 0, p, &res));
    assert_int_equal(res.cls, CS_CLASS_SUSPEND);
    assert_string_equal(res.problem, "config:refresh-token");
    assert_has(res.detail, "cosellctl login");
    assert_int_equal(r->to.server->n_ops, 0);
    end(r);
}

static void test_rotation_keeps_what_is_known(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res = {0};

    assert_ok(cs_token_adopt(&r->vault, &r->seed, "signed-in", about(p), p, &res));
    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"rotated\",\"refresh_token_expires_in\":60}", p);
    fetch(r, p);
    assert_true(sent_has(r, 0, "refresh_token=signed-in"));
    assert_string_equal(cs_json_str(kept(r, p), "token"), "rotated");
    assert_string_equal(cs_json_str(kept(r, p), "account"), "a@b.example");
    assert_string_equal(cs_json_str(kept(r, p), "source"), "login");
    assert_int_equal(cs_json_int(kept(r, p), "signed_in", 0), 77);
    assert_true(cs_json_int(kept(r, p), "ends", 0) > cs_time_now() + apr_time_from_sec(50));
    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"again\"}", p);
    fetch(r, p);
    assert_true(sent_has(r, 1, "refresh_token=rotated"));
    assert_int_equal(cs_json_int(kept(r, p), "ends", 0), 0);
    end(r);
}

static void test_sign_in_wins_until_the_file_changes(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res = {0};

    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"of-the-file\"}", p);
    fetch(r, p);
    assert_true(sent_has(r, 0, "refresh_token=seed-1"));
    assert_null(cs_json_str(kept(r, p), "source"));
    assert_ok(cs_token_adopt(&r->vault, &r->seed, "signed-in", about(p), p, &res));
    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"rotated\"}", p);
    fetch(r, p);
    assert_true(sent_has(r, 1, "refresh_token=signed-in"));
    r->seed.value = "seed-2";
    strcpy(r->seed.digest, "d2");
    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"newest\"}", p);
    fetch(r, p);
    assert_true(sent_has(r, 2, "refresh_token=seed-2"));
    assert_string_equal(cs_json_str(kept(r, p), "token"), "newest");
    assert_null(cs_json_str(kept(r, p), "account"));
    assert_null(cs_json_str(kept(r, p), "source"));
    end(r);
}

static void test_seed_that_is_not_replaced_is_kept(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);

    will(r, "{\"access_token\":\"a\"}", p);
    will(r, "{\"access_token\":\"a\"}", p);
    fetch(r, p);
    assert_string_equal(cs_json_str(kept(r, p), "token"), "seed-1");
    assert_int_equal(r->version, 1);
    fetch(r, p);
    assert_int_equal(r->version, 1);
    end(r);
}

static void test_adoption_wins_over_a_rotation(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_result_t res = {0};

    r->races = 3;
    assert_ok(cs_token_adopt(&r->vault, NULL, "signed-in", NULL, p, &res));
    assert_string_equal(cs_json_str(kept(r, p), "token"), "signed-in");
    assert_string_equal(cs_json_str(kept(r, p), "seed"), "");
    r->races = 100;
    assert_int_equal(cs_token_adopt(&r->vault, NULL, "other", NULL, p, &res), CS_ESTALE);
    assert_not_ok(cs_token_adopt(&r->vault, NULL, "no \xff text", NULL, p, &res));
    assert_string_equal(cs_json_str(kept(r, p), "token"), "signed-in");
    end(r);
}

static void test_public_client_is_learnt(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);

    sign_in_will(&r->to, "401 Unauthorized\r\n\r\n{\"error\":\"invalid_client\",\"error_codes\":[700025],"
                         "\"error_description\":\"AADSTS700025: Client is public\"}");
    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"r2\"}", p);
    fetch(r, p);
    assert_true(sent_has(r, 0, "client_secret=secret"));
    assert_false(sent_has(r, 1, "client_secret"));
    assert_true(sent_has(r, 1, "refresh_token=seed-1"));
    will(r, "{\"access_token\":\"a\",\"refresh_token\":\"r3\"}", p);
    fetch(r, p);
    assert_false(sent_has(r, 2, "client_secret"));
    assert_int_equal(r->to.server->n_ops, 3);
    assert_true(cs_json_bool(kept(r, p), "public", 0));
    end(r);
}

static void test_renewal_redeems_though_a_token_is_good(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    const char *bearer;
    cs_result_t res = {0};

    will(r, "{\"access_token\":\"one\",\"refresh_token\":\"r1\",\"expires_in\":3599}", p);
    will(r, "{\"access_token\":\"two\",\"refresh_token\":\"r2\",\"expires_in\":3599}", p);
    fetch(r, p);
    assert_ok(cs_token_renew(r->token, 0, p, &res));
    assert_ok(cs_token_get(r->token, &bearer, 0, p, &res));
    assert_string_equal(bearer, "two");
    assert_int_equal(r->to.server->n_ops, 2);
    assert_string_equal(cs_json_str(kept(r, p), "token"), "r2");
    assert_not_ok(cs_token_renew(r->token, 0, p, &res));
    assert_int_equal(res.cls, CS_CLASS_RETRY);
    end(r);
}

/* What Entra says of a person's token comes with what to do; a machine's does not. */
static void test_advice_is_for_persons(void **state)
{
    static const char dead[] = "400 Bad Request\r\n\r\n{\"error\":\"invalid_grant\",\"error_description\":"
                               "\"AADSTS700082: The refresh token has expired due to inactivity.\"}";
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    const char *bearer;
    cs_result_t res = {0};

    sign_in_will(&r->to, dead);
    assert_not_ok(cs_token_get(r->token, &bearer, 0, p, &res));
    assert_string_equal(res.problem, "oauth:invalid_grant");
    assert_has(res.detail, "AADSTS700082");
    assert_has(res.detail, "sign in again with cosellctl login");
    r->cfg.grant = CS_GRANT_CLIENT_CREDENTIALS;
    assert_ok(cs_token_create(&r->token, &r->cfg, r->to.http, &r->to.limiter, p));
    sign_in_will(&r->to, dead);
    assert_not_ok(cs_token_get(r->token, &bearer, 0, p, &res));
    assert_has_not(res.detail, "cosellctl");
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_without_any),
        UNIT_TEST(test_rotation_keeps_what_is_known),
        UNIT_TEST(test_sign_in_wins_until_the_file_changes),
        UNIT_TEST(test_seed_that_is_not_replaced_is_kept),
        UNIT_TEST(test_adoption_wins_over_a_rotation),
        UNIT_TEST(test_public_client_is_learnt),
        UNIT_TEST(test_renewal_redeems_though_a_token_is_good),
        UNIT_TEST(test_advice_is_for_persons),
    };

    return UNIT_RUN(tests);
}
