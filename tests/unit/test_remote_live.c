/* The remote room against the simulators, which this program starts itself: transport, tokens,
 * Partner Center, Dynamics 365. */
#include "unit_live.h"

#include <apr_thread_proc.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/base/log.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/certificate.h"
#include "mod_cosell/remote/crm.h"
#include "mod_cosell/remote/partner_center/partner_center.h"

#define TENANT "7d230000-0000-4000-8000-000000000001"
#define CARD "c5fb0000-0000-4000-8000-000000000001"
#define ENGAGEMENT "65ed0000-0000-4000-8000-000000000001"
#define NOBODY "00000000-dead-4000-8000-000000000000"
#define ACCOUNT "00000000-0000-4000-8000-000000000041"
#define USD "00000000-0000-4000-8000-000000000021"

/* ---- simulators ---- */

static sim_t pc_sim, crm_sim, tls_sim;

/* Everything as it was, for each test. */
static int setup(void **state)
{
    apr_pool_t *p;
    sim_t *sims[] = {&pc_sim, &crm_sim};

    if (apr_pool_create(&p, NULL) != APR_SUCCESS) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        control(sims[i], "DELETE", "faults", NULL, p);
        control(sims[i], "POST", "tokens", "{\"expires_in\":3599,\"fail\":null}", p);
        control(sims[i], "DELETE", "requests", NULL, p);
    }
    control(&pc_sim, "POST", "tokens", "{\"mfa\":true,\"revoke\":false}", p);
    control(
        &pc_sim, "POST", "options",
        "{\"PageMax\":100,\"Gzip\":false,\"UnquotedGuid\":true,\"RevokeOldRefreshTokens\":false}",
        p);
    *state = p;
    return 0;
}

#define LIVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, unit_teardown)

/* ---- a vault in memory ---- */

typedef struct box_t {
    char *value;
    apr_int64_t version;
    int puts;
    const char *overtake; /* what somebody else stores right after the next get */
    apr_status_t refuse;
    apr_pool_t *p;
} box_t;

static apr_status_t box_get(void *baton, const char *name, const char **pvalue,
                            apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    box_t *box = baton;

    (void)res;
    assert_string_equal(name, "refresh-token");
    *pvalue = box->value ? apr_pstrdup(p, box->value) : NULL;
    *pversion = box->version;
    if (box->overtake) {
        box->value = apr_pstrdup(box->p, box->overtake);
        box->version++;
        box->overtake = NULL;
    }
    return APR_SUCCESS;
}

static apr_status_t box_put(void *baton, const char *name, const char *value, apr_int64_t version,
                            apr_pool_t *ptemp, cs_result_t *res)
{
    box_t *box = baton;

    (void)name;
    if (box->refuse) {
        return cs_result_set(res, ptemp, box->refuse, CS_CLASS_RETRY, "store", "no room");
    }
    if (version != box->version) {
        return CS_ESTALE;
    }
    box->value = apr_pstrdup(box->p, value);
    box->version++;
    box->puts++;
    return APR_SUCCESS;
}

/* ---- clients ---- */

typedef struct rig_t {
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up, login;
    cs_secret_t secret, refresh;
    box_t box;
    cs_vault_t vault;
    cs_pc_config_t pc_cfg;
    cs_crm_config_t crm_cfg;
    cs_pc_t *pc;
    cs_crm_t *crm;
    const cs_crm_impl_t *impl;
    apr_pool_t *p;
} rig_t;

static void set_secret(cs_secret_t *secret, const char *value, apr_pool_t *p)
{
    secret->ref = "file:/secret";
    secret->value = value;
    secret->len = strlen(value);
    apr_cpystrn(secret->digest, cs_sha256_hex(value, secret->len, p), sizeof(secret->digest));
}

static void new_pc(rig_t *r)
{
    assert_ok(
        cs_pc_create(&r->pc, &r->pc_cfg, &r->vault, r->http, &r->limiter, &r->login_limiter, r->p));
}

static rig_t *rig_pc(apr_pool_t *p, int v2)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->p = p;
    r->box.p = p;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up = upstream("partner-center", pc_sim.base, p);
    r->login = upstream("login", pc_sim.base, p);
    r->login.concurrency = 1;
    set_secret(&r->secret, "sandbox-secret", p);
    set_secret(&r->refresh, "sandbox-refresh-token", p);
    r->vault.baton = &r->box;
    r->vault.get = box_get;
    r->vault.put = box_put;
    r->pc_cfg.tenant = TENANT;
    r->pc_cfg.client_id = "11111111-0000-4000-8000-000000000001";
    r->pc_cfg.client_secret = &r->secret;
    r->pc_cfg.refresh_token = &r->refresh;
    r->pc_cfg.token_url =
        apr_pstrcat(p, pc_sim.base, "/" TENANT, v2 ? "/oauth2/v2.0/token" : "/oauth2/token", NULL);
    r->pc_cfg.referrals_url = pc_sim.base;
    r->pc_cfg.upstream = &r->up;
    r->pc_cfg.login = &r->login;
    new_pc(r);
    return r;
}

static rig_t *rig_crm(apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->p = p;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up = upstream("sales", crm_sim.base, p);
    r->login = upstream("login", crm_sim.base, p);
    set_secret(&r->secret, "sandbox-secret~1", p);
    r->crm_cfg.name = "sales";
    r->crm_cfg.type = "dynamics365";
    r->crm_cfg.url = crm_sim.base;
    r->crm_cfg.tenant = "00000000-0000-4000-8000-00000000a000";
    r->crm_cfg.client_id = "00000000-0000-4000-8000-0000000000c1";
    r->crm_cfg.client_secret = &r->secret;
    r->crm_cfg.token_url = crm_sim.token;
    r->crm_cfg.upstream = &r->up;
    r->crm_cfg.login = &r->login;
    r->impl = cs_crm_impl_of("dynamics365");
    assert_non_null(r->impl);
    assert_null(r->impl->check(&r->crm_cfg, p));
    assert_ok(r->impl->create(&r->crm, &r->crm_cfg, r->http, &r->limiter, &r->login_limiter, p));
    return r;
}

static cs_pc_read_t get_one(rig_t *r, const char *id)
{
    cs_pc_read_t read = {.id = id};

    assert_ok(cs_pc_get(r->pc, &read, 1, 0, r->p));
    return read;
}

static void expect(const cs_result_t *res, cs_class_e cls, const char *problem)
{
    if (res->cls != cls || (problem && (!res->problem || strcmp(res->problem, problem)))) {
        fail_msg("%s %s (%s), expected %s %s", cs_class_name(res->cls),
                 res->problem ? res->problem : "-", res->detail ? res->detail : "-",
                 cs_class_name(cls), problem ? problem : "");
    }
    assert_true(cls == CS_CLASS_OK || res->detail);
}

/* ---- tokens ---- */

static void test_refresh_token_rotates_through_the_vault(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    const json_t *tokens;
    json_t *stored = NULL;
    cs_pc_read_t read = get_one(r, CARD);

    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(r->box.puts, 1);
    assert_ok(cs_json_parse(&stored, r->box.value, strlen(r->box.value), NULL, p, NULL));
    cs_json_own(stored, p);
    assert_string_equal(cs_json_str(stored, "seed"), r->refresh.digest);
    assert_string_not_equal(cs_json_str(stored, "token"), "sandbox-refresh-token");
    tokens = control(&pc_sim, "GET", "tokens", NULL, p);
    assert_string_equal(
        cs_json_str(tokens, "latest_refresh_token_sha256"),
        cs_sha256_hex(cs_json_str(stored, "token"), strlen(cs_json_str(stored, "token")), p));
    /* one token for many calls */
    for (int i = 0; i < 3; i++) {
        read = get_one(r, CARD);
        assert_int_equal(read.calls, 1);
    }
    assert_int_equal(seen(&pc_sim, "POST", "/oauth2/", p), 1);
}

static void test_vault_wins_until_the_seed_changes(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read = get_one(r, CARD);
    const char *kept = r->box.value;

    expect(&read.result, CS_CLASS_OK, NULL);
    /* Only the rotated one lives: the vault's must be the one that is used. */
    control(&pc_sim, "POST", "tokens", "{\"revoke\":\"refresh\"}", p);
    json_t *stored = NULL;
    assert_ok(cs_json_parse(&stored, kept, strlen(kept), NULL, p, NULL));
    control(&pc_sim, "POST", "tokens",
            apr_psprintf(p, "{\"refresh_token\":\"%s\"}", cs_json_str(stored, "token")), p);
    json_decref(stored);
    new_pc(r);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(r->box.puts, 2);
    /* A new seed beats the vault. */
    control(&pc_sim, "POST", "tokens", "{\"revoke\":\"refresh\",\"refresh_token\":\"seed-two\"}",
            p);
    set_secret(&r->refresh, "seed-two", p);
    new_pc(r);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_has(r->box.value, r->refresh.digest);
}

static void test_expiry_as_text_and_early_renewal(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 0);
    cs_pc_read_t read;

    /* v1 says "50": less than a minute is never good for another call. */
    control(&pc_sim, "POST", "tokens", "{\"expires_in\":50}", p);
    for (int i = 0; i < 2; i++) {
        read = get_one(r, CARD);
        expect(&read.result, CS_CLASS_OK, NULL);
    }
    assert_int_equal(seen(&pc_sim, "POST", "/oauth2/token", p), 2);
    assert_int_equal(r->box.puts, 2);
}

static void test_invalid_grant_suspends(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read;

    control(&pc_sim, "POST", "tokens", "{\"revoke\":true}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_SUSPEND, "oauth:invalid_grant");
    assert_has(read.result.detail, "AADSTS");
    assert_has_not(read.result.detail, "sandbox-refresh-token");
    assert_non_null(read.result.correlation);
    assert_int_equal(seen(&pc_sim, "GET", "referrals", p), 0);
    control(&pc_sim, "POST", "tokens", "{\"revoke\":false,\"fail\":\"interaction_required\"}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_SUSPEND, "oauth:interaction_required");
}

static void test_another_node_rotated_first(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read;

    control(&pc_sim, "POST", "tokens", "{\"revoke\":true,\"refresh_token\":\"theirs\"}", p);
    r->box.overtake = apr_psprintf(p, "{\"token\":\"theirs\",\"seed\":\"%s\"}", r->refresh.digest);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(r->box.puts, 1);
    /* Overtaken between the read and the swap: theirs stays, ours is used until it ends. */
    new_pc(r);
    r->box.overtake = apr_psprintf(p, "{\"token\":\"newer\",\"seed\":\"%s\"}", r->refresh.digest);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_has(r->box.value, "newer");
}

static void test_unstored_rotation_is_not_used(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read;

    r->box.refuse = CS_EFULL;
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_RETRY, "store");
    assert_int_equal(seen(&pc_sim, "GET", "referrals", p), 0);
}

static void test_token_endpoint_faults(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read;

    fault(&pc_sim, "{\"path\":\"/oauth2/\",\"fault\":\"status\",\"status\":503,\"times\":1}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_RETRY, NULL);
    /* The next call does not ask: the endpoint is left alone for a while, which costs no attempt.
     */
    control(&pc_sim, "DELETE", "requests", NULL, p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_THROTTLED, "oauth:temporarily_unavailable");
    assert_in_range(read.result.retry_at, cs_time_now(), cs_time_now() + 2 * SEC);
    assert_int_equal(seen(&pc_sim, "POST", "/oauth2/", p), 0);
    r = rig_pc(p, 1);
    fault(&pc_sim, "{\"path\":\"/oauth2/\",\"fault\":\"reset-after\",\"times\":1}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_RETRY, "transport");
    r = rig_pc(p, 1);
    fault(&pc_sim, "{\"path\":\"/oauth2/\",\"fault\":\"html\",\"status\":200,\"times\":1}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_RETRY, "oauth:answer");
    r = rig_pc(p, 1);
    fault(
        &pc_sim,
        "{\"path\":\"/oauth2/\",\"fault\":\"status\",\"status\":429,\"retry_after\":7,\"times\":1}",
        p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_THROTTLED, NULL);
    assert_in_range(read.result.retry_at, cs_time_now() + 5 * SEC, cs_time_now() + 7 * SEC);
    /* The pause holds for the next one, which is not sent. */
    control(&pc_sim, "DELETE", "requests", NULL, p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_THROTTLED, "throttled");
    assert_int_equal(seen(&pc_sim, "POST", "/oauth2/", p), 0);
}

/* ---- Partner Center ---- */

static void test_get_many(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t reads[] = {{.id = CARD}, {.id = NOBODY}, {.id = "nonsense"}, {.id = CARD}};

    control(&pc_sim, "POST", "options", "{\"Gzip\":true}", p);
    assert_ok(cs_pc_get(r->pc, reads, 4, 0, p));
    expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_string_equal(reads[0].card->id, CARD);
    assert_string_equal(reads[0].card->engagement_id, ENGAGEMENT);
    assert_int_equal(reads[0].card->etag[0], '"');
    assert_true(reads[0].card->updated > 0);
    assert_non_null(cs_json_pointer(reads[0].card->doc, "/customerProfile/name"));
    assert_int_equal(reads[0].calls, 1);
    assert_has(reads[0].correlation, "client-request-id=");
    assert_has(reads[0].correlation, "equest-id=");
    expect(&reads[1].result, CS_CLASS_GONE, NULL);
    assert_null(reads[1].card);
    expect(&reads[2].result, CS_CLASS_REFUSED, "pc:id");
    expect(&reads[3].result, CS_CLASS_OK, NULL);
}

static void test_one_401_is_answered_by_one_refresh(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t reads[] = {{.id = CARD}, {.id = CARD}, {.id = CARD}};

    assert_ok(cs_pc_get(r->pc, reads, 3, 0, p));
    control(&pc_sim, "POST", "tokens", "{\"revoke\":\"access\"}", p);
    control(&pc_sim, "DELETE", "requests", NULL, p);
    assert_ok(cs_pc_get(r->pc, reads, 3, 0, p));
    for (int i = 0; i < 3; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_int_equal(reads[i].calls, 2);
    }
    assert_int_equal(seen(&pc_sim, "POST", "/oauth2/", p), 1);
    assert_int_equal(seen(&pc_sim, "GET", "referrals", p), 6);
}

static void test_second_401_mfa_and_403_suspend(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read;
    cs_result_t res;

    fault(&pc_sim, "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":401,\"times\":2}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_SUSPEND, NULL);
    assert_int_equal(read.calls, 2);
    control(&pc_sim, "POST", "tokens", "{\"mfa\":false,\"revoke\":\"access\"}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_SUSPEND, "pc:mfa");
    assert_has(read.result.detail, "multi-factor");
    control(&pc_sim, "POST", "tokens", "{\"mfa\":true,\"revoke\":\"access\"}", p);
    /* While the list is given, one referral that is not is its own affair. */
    fault(&pc_sim, "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":403,\"times\":1}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_REFUSED, NULL);
    fault(&pc_sim, "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":403,\"times\":3}", p);
    read = get_one(r, CARD);
    expect(&read.result, CS_CLASS_SUSPEND, NULL);
    assert_ok(cs_pc_probe(r->pc, 0, p, &res) == CS_EREMOTE ? APR_SUCCESS : APR_EGENERAL);
    expect(&res, CS_CLASS_SUSPEND, NULL);
    assert_ok(cs_pc_probe(r->pc, 0, p, &res));
}

static void test_throttling_pauses_the_rest(void **state)
{
    static const char *const faults[] = {
        "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":429,\"retry_after\":40,\"times\":"
        "1}",
        "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":429,\"retry_after\":\"http-date:"
        "41\",\"times\":1}",
        "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":429,\"times\":1,\"body\":{"
        "\"statusCode\":429,"
        "\"message\":\"Rate limit is exceeded. Try again in 41 seconds.\"}}",
    };
    apr_pool_t *p = *state;
    size_t f;

    for (f = 0; f < 3; f++) {
        rig_t *r = rig_pc(p, 1);
        cs_pc_read_t reads[] = {{.id = CARD}, {.id = CARD}, {.id = CARD}};

        r->up.concurrency = 1;
        control(&pc_sim, "DELETE", "requests", NULL, p);
        fault(&pc_sim, faults[f], p);
        assert_ok(cs_pc_get(r->pc, reads, 3, 0, p));
        for (int i = 0; i < 3; i++) {
            expect(&reads[i].result, CS_CLASS_THROTTLED, "throttled");
            assert_in_range(reads[i].result.retry_at, cs_time_now() + 35 * SEC,
                            cs_time_now() + 42 * SEC);
            assert_int_equal(reads[i].calls, i == 0);
        }
        assert_int_equal(seen(&pc_sim, "GET", "referrals", p), 1);
        assert_int_equal(r->limiter.throttled, 1);
    }
}

static void test_unreadable_answers_are_retried(void **state)
{
    static const struct {
        const char *fault, *problem;
    } table[] = {
        {"{\"path\":\"referrals\",\"fault\":\"truncate\",\"times\":1}", "transport"},
        {"{\"path\":\"referrals\",\"fault\":\"reset-before\",\"times\":9}", "transport"},
        {"{\"path\":\"referrals\",\"fault\":\"reset-after\",\"times\":9}", "transport"},
        {"{\"path\":\"referrals\",\"fault\":\"html\",\"status\":200,\"times\":1}", "pc:answer"},
        {"{\"path\":\"referrals\",\"fault\":\"html\",\"status\":502,\"times\":1}", "http:502"},
        {"{\"path\":\"referrals\",\"fault\":\"status\",\"status\":200,\"body\":{\"id\":7},"
         "\"times\":1}",
         "pc:answer"},
        {"{\"path\":\"referrals\",\"fault\":\"status\",\"status\":200,\"body\":{\"id\":\"" NOBODY
         "\"},\"times\":1}",
         "pc:answer"},
        {"{\"path\":\"referrals\",\"fault\":\"status\",\"status\":200,\"body\":[],\"times\":1}",
         "pc:answer"},
        {"{\"path\":\"referrals\",\"fault\":\"status\",\"status\":503,\"times\":1}", NULL},
    };
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_pc_read_t read;

        fault(&pc_sim, table[i].fault, p);
        read = get_one(r, CARD);
        expect(&read.result, CS_CLASS_RETRY, table[i].problem);
        assert_null(read.card);
        control(&pc_sim, "DELETE", "faults", NULL, p);
    }
}

static void test_deadline_ends_a_slow_call(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t reads[] = {{.id = CARD}, {.id = CARD}};
    apr_interval_time_t start;

    r->up.concurrency = 1;
    assert_ok(cs_pc_get(r->pc, reads, 1, 0, p));
    fault(&pc_sim, "{\"path\":\"referrals\",\"fault\":\"hold\",\"seconds\":30}", p);
    start = cs_time_mono();
    assert_ok(cs_pc_get(r->pc, reads, 2, start + SEC / 4, p));
    assert_in_range(cs_time_mono() - start, SEC / 5, 5 * SEC);
    expect(&reads[0].result, CS_CLASS_RETRY, "transport");
    /* The second never had its turn and loses no attempt. */
    expect(&reads[1].result, CS_CLASS_THROTTLED, "not-started");
}

static void test_list_follows_pages_by_token(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t reads[] = {{.id = "aaaa0000-0000-4000-8000-000000000001"}, {.id = NOBODY}};

    for (int i = 0; i < 3; i++) {
        control(&pc_sim, "POST", "referrals?silent=1",
                "{\"engagementId\":\"aaaa0000-0000-4000-8000-000000000001\",\"name\":\"paged\"}",
                p);
    }
    control(&pc_sim, "POST", "options", "{\"PageMax\":1}", p);
    assert_ok(cs_pc_list_engagement(r->pc, reads, 2, 0, p));
    expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_int_equal(reads[0].cards->nelts, 3);
    assert_int_equal(reads[0].calls, 3);
    assert_string_equal(APR_ARRAY_IDX(reads[0].cards, 2, cs_card_t *)->engagement_id,
                        "aaaa0000-0000-4000-8000-000000000001");
    expect(&reads[1].result, CS_CLASS_OK, NULL);
    assert_int_equal(reads[1].cards->nelts, 0);
    for (int i = 0; i < 3; i++) {
        control(&pc_sim, "POST", "referrals?silent=1",
                "{\"engagementId\":\"aaaa0000-0000-4000-8000-000000000001\",\"name\":\"paged\"}",
                p);
    }
    assert_ok(cs_pc_list_engagement(r->pc, reads, 1, 0, p));
    expect(&reads[0].result, CS_CLASS_REFUSED, "pc:pages");
    assert_null(reads[0].cards);
    /* the quoted form is refused: the form seen live is tried */
    control(&pc_sim, "POST", "options", "{\"PageMax\":100}", p);
    fault(&pc_sim, "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":400,\"times\":1}", p);
    assert_ok(cs_pc_list_engagement(r->pc, reads, 1, 0, p));
    expect(&reads[0].result, CS_CLASS_OK, NULL);
    assert_int_equal(reads[0].cards->nelts, 6);
    fault(&pc_sim,
          "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":200,\"times\":1,\"body\":{"
          "\"value\":[{\"id\":\"" CARD "\",\"engagementId\":\"" NOBODY "\"}]}}",
          p);
    assert_ok(cs_pc_list_engagement(r->pc, reads, 1, 0, p));
    expect(&reads[0].result, CS_CLASS_RETRY, "pc:answer");
}

/* ---- changing and making referrals ---- */

/* A referral made in the portal; its id, and its eTag in *petag. */
static const char *portal_referral(const char *body, const char **petag, apr_pool_t *p)
{
    const json_t *made = control(&pc_sim, "POST", "referrals?silent=1", body, p);

    if (petag) {
        *petag = cs_json_str(made, "eTag");
    }
    return cs_json_str(made, "id");
}

static cs_pc_write_t patch_one(rig_t *r, const char *id, const char *etag, const char *ops)
{
    cs_pc_write_t write = {.id = id, .guard = etag};
    json_t *body = NULL;

    assert_ok(cs_json_parse(&body, ops, strlen(ops), NULL, r->p, NULL));
    write.body = cs_json_own(body, r->p);
    assert_ok(cs_pc_patch(r->pc, &write, 1, 0, r->p));
    return write;
}

static cs_pc_write_t post_one(rig_t *r, const char *reference, const char *more)
{
    cs_pc_write_t write = {0};
    json_t *body = NULL;
    const char *text = apr_psprintf(
        r->p,
        "{\"name\":\"made here\",\"type\":\"Independent\",\"externalReferenceId\":\"%s\","
        "\"customerProfile\":{\"name\":\"C\"},\"details\":{\"dealValue\":5,\"currency\":\"USD\"},"
        "\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":true}%s}",
        reference, more);

    assert_ok(cs_json_parse(&body, text, strlen(text), NULL, r->p, NULL));
    write.body = cs_json_own(body, r->p);
    assert_ok(cs_pc_post(r->pc, &write, 1, 0, r->p));
    return write;
}

static cs_pc_read_t find_one(rig_t *r, const char *reference)
{
    cs_pc_read_t read = {.id = reference};

    assert_ok(cs_pc_find(r->pc, &read, 1, cs_time_now() - 3600 * SEC, 0, r->p));
    return read;
}

/* How many referrals there really are with this reference. */
static int made_with(const char *reference, apr_pool_t *p)
{
    const json_t *all_of_them = control(&pc_sim, "GET", "referrals", NULL, p), *one;
    size_t i;
    int n = 0;

    json_array_foreach((json_t *)all_of_them, i, one) {
        const char *theirs = cs_json_str(one, "externalReferenceId");

        n += theirs && !strcmp(theirs, reference);
    }
    return n;
}

static void test_a_referral_is_changed_under_guard(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    const char *etag, *id = portal_referral("{\"kind\":\"co-sell\"}", &etag, p);
    cs_pc_write_t w =
        patch_one(r, id, etag,
                  "[{\"op\":\"replace\",\"path\":\"/details/"
                  "dealValue\",\"value\":{\"$number\":\"60000.50\"}},"
                  "{\"op\":\"replace\",\"path\":\"/details/notes\",\"value\":\"\\u20ac\"}]");

    expect(&w.result, CS_CLASS_OK, NULL);
    assert_string_not_equal(w.card->etag, etag);
    assert_int_equal(w.calls, 1);
    assert_string_equal(cs_json_print(cs_json_pointer(w.card->doc, "/details/dealValue"), p),
                        "60000.5");
    /* somebody was faster */
    w = patch_one(r, id, etag, "[{\"op\":\"replace\",\"path\":\"/salesStage\",\"value\":\"40\"}]");
    expect(&w.result, CS_CLASS_CONFLICT, "pc:preconditionFailed");
    assert_has(w.result.said, "Etag value did not Match");
    assert_null(w.result.blames);
    assert_null(w.card);
}

static void test_a_change_is_refused_with_the_member_named(void **state)
{
    static const struct {
        const char *path, *value, *blames;
    } table[] = {
        {"/name", "\"B\"", "/name"},
        {"/details/currency", "\"dollars\"", "/details/currency"},
        {"/details/closingDateTime", "\"soon\"", "/details/closingDateTime"},
        {"/consent/consentToShareReferralWithMicrosoftSellers", "false",
         "/consent/consentToShareReferralWithMicrosoftSellers"},
        {"/status", "\"New\"", "/status"},
        {"/details/requirements/solutions", "7", "/details/requirements/solutions"},
    };
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    const char *etag, *id = portal_referral("{\"kind\":\"co-sell\"}", &etag, p);
    cs_pc_write_t w;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        w = patch_one(r, id, etag,
                      apr_psprintf(p, "[{\"op\":\"replace\",\"path\":\"%s\",\"value\":%s}]",
                                   table[i].path, table[i].value));
        expect(&w.result, CS_CLASS_DATA, "pc:invalidRequest");
        assert_string_equal(w.result.blames, table[i].blames);
        assert_non_null(w.result.said);
    }
    w = patch_one(r, NOBODY, etag,
                  "[{\"op\":\"replace\",\"path\":\"/salesStage\",\"value\":\"1\"}]");
    expect(&w.result, CS_CLASS_GONE, "pc:itemNotFound");
    /* Microsoft's card is nobody's here, and the site goes on */
    id = portal_referral("{\"organizationId\":\"msft\"}", &etag, p);
    w = patch_one(r, id, etag, "[{\"op\":\"replace\",\"path\":\"/salesStage\",\"value\":\"1\"}]");
    expect(&w.result, CS_CLASS_REFUSED, "pc:accessDenied");
    id = portal_referral("{\"status\":\"Closed\"}", &etag, p);
    w = patch_one(r, id, etag, "[{\"op\":\"replace\",\"path\":\"/salesStage\",\"value\":\"1\"}]");
    expect(&w.result, CS_CLASS_DATA, "pc:invalidRequest");
}

static void test_a_referral_is_made_and_connected(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_write_t w = post_one(r, "live-made", ""), second;
    cs_pc_read_t found = find_one(r, "LIVE-made"), list;

    expect(&w.result, CS_CLASS_OK, NULL);
    assert_string_equal(cs_json_str(w.card->doc, "status"), "Active");
    assert_non_null(w.card->etag);
    expect(&found.result, CS_CLASS_OK, NULL);
    assert_string_equal(found.card->id, w.card->id);
    second = post_one(
        r, "live-made",
        apr_psprintf(p,
                     ",\"engagementId\":\"%s\",\"target\":[{\"type\":\"BusinessProfileLocation\","
                     "\"id\":\"msft\"}]",
                     w.card->engagement_id));
    expect(&second.result, CS_CLASS_OK, NULL);
    assert_string_equal(second.card->organization_id, "msft");
    list = (cs_pc_read_t){.id = w.card->engagement_id};
    assert_ok(cs_pc_list_engagement(r->pc, &list, 1, 0, p));
    assert_int_equal(list.cards->nelts, 2);
    /* it is not taken for ours */
    found = find_one(r, "live-made");
    assert_string_equal(found.card->id, w.card->id);
    control(&pc_sim, "POST", "options", "{\"CreateStatus\":201}", p);
    w = post_one(r, "live-201", "");
    control(&pc_sim, "POST", "options", "{\"CreateStatus\":200}", p);
    expect(&w.result, CS_CLASS_OK, NULL);
    w = post_one(r, "live-bad", ",\"qualification\":\"Perfect\"");
    expect(&w.result, CS_CLASS_DATA, "pc:invalidRequest");
    assert_string_equal(w.result.blames, "/qualification");
}

/* Each of these leaves one referral behind or none, and the client never says which. */
static void test_a_post_without_answer_is_unknown_and_never_sent_twice(void **state)
{
    static const struct {
        const char *fault;
        int made;
    } table[] = {{"drop-after-commit", 1}, {"reset-after", 1}, {"truncate", 1},
                 {"reset-before", 0},      {"status", 0},      {"html", 0}};
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *reference = apr_psprintf(p, "live-lost-%s", table[i].fault);
        cs_pc_read_t read = get_one(r, CARD);
        cs_pc_write_t w;

        /* The connection is a kept one: libcurl would like to try again on a fresh one. */
        expect(&read.result, CS_CLASS_OK, NULL);
        fault(&pc_sim,
              apr_psprintf(
                  p, "{\"method\":\"POST\",\"path\":\"referrals\",\"fault\":\"%s\",\"times\":1}",
                  table[i].fault),
              p);
        control(&pc_sim, "DELETE", "requests", NULL, p);
        w = post_one(r, reference, "");
        expect(&w.result, CS_CLASS_UNKNOWN, NULL);
        assert_null(w.card);
        assert_int_equal(seen(&pc_sim, "POST", "/v1.0/", p), 1);
        assert_int_equal(made_with(reference, p), table[i].made);
        read = find_one(r, reference);
        expect(&read.result, CS_CLASS_OK, NULL);
        assert_int_equal(read.card != NULL, table[i].made);
    }
}

static void test_a_post_answered_401_is_made_once(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t read = get_one(r, CARD);
    cs_pc_write_t w;

    expect(&read.result, CS_CLASS_OK, NULL);
    control(&pc_sim, "POST", "tokens", "{\"revoke\":\"access\"}", p);
    w = post_one(r, "live-401", "");
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_int_equal(w.calls, 2);
    assert_int_equal(made_with("live-401", p), 1);
}

/* The list may be late: missing means nothing until it has caught up. */
static void test_find_sees_what_the_list_shows(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_read_t found;
    cs_pc_write_t w;

    control(&pc_sim, "POST", "lag", "{\"list_seconds\":2700}", p);
    w = post_one(r, "live-late", "");
    expect(&w.result, CS_CLASS_OK, NULL);
    found = find_one(r, "live-late");
    expect(&found.result, CS_CLASS_OK, NULL);
    assert_null(found.card);
    found = get_one(r, w.card->id);
    expect(&found.result, CS_CLASS_OK, NULL);
    control(&pc_sim, "POST", "clock", "{\"advance\":2701}", p);
    found = find_one(r, "live-late");
    control(&pc_sim, "POST", "clock", "{\"offset\":0}", p);
    control(&pc_sim, "POST", "lag", "{\"list_seconds\":0}", p);
    expect(&found.result, CS_CLASS_OK, NULL);
    assert_string_equal(found.card->id, w.card->id);
}

static void test_changes_come_newest_first(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_pc_page_t page = {0};
    const char *ids[5];
    apr_time_t last = 0;
    int i, n = 0;

    for (i = 0; i < 5; i++) {
        ids[i] = portal_referral("{}", NULL, p);
    }
    control(&pc_sim, "PATCH", apr_pstrcat(p, "referrals/", ids[2], NULL), "{\"salesStage\":\"80\"}",
            p);
    control(&pc_sim, "POST", "options", "{\"PageMax\":2}", p);
    do {
        page.skip = page.next;
        assert_ok(cs_pc_list_changed(r->pc, &page, 0, p));
        for (i = 0; i < page.cards->nelts; i++, n++) {
            const cs_card_t *card = APR_ARRAY_IDX(page.cards, i, cs_card_t *);

            assert_true(!last || card->updated <= last);
            last = card->updated;
            if (n < 2) {
                assert_string_equal(card->id, ids[n ? 4 : 2]);
            }
        }
    } while (page.next);
    control(&pc_sim, "POST", "options", "{\"PageMax\":100}", p);
    assert_int_equal(n, (int)json_array_size(control(&pc_sim, "GET", "referrals", NULL, p)));
}

/* ---- transport ---- */

static cs_http_request_t plain(const char *url)
{
    return (cs_http_request_t){.method = "GET", .url = url, .label = "GET plain"};
}

static void test_addresses_nobody_configured_are_not_called(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t requests[] = {
        plain("http://127.0.0.1:1/"),
        plain("http://192.0.2.1/"),
        plain("https://192.0.2.1@127.0.0.1/"),
        plain("file:///etc/passwd"),
        plain(apr_pstrcat(p, pc_sim.base, "/a b", NULL)),
        plain(apr_pstrcat(p, pc_sim.base, "/a\r\nX: y", NULL)),
        plain("gopher://127.0.0.1/"),
    };
    cs_http_response_t responses[7];
    cs_result_t res;

    APR_ARRAY_PUSH(r->up.origins, const char *) = "http://192.0.2.1";
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 7, 0, p));
    for (int i = 0; i < 7; i++) {
        assert_int_equal(responses[i].outcome, CS_HTTP_NOT_SENT);
        assert_false(responses[i].started);
        cs_http_classify(&res, &responses[i], &requests[i], p);
        expect(&res, CS_CLASS_SUSPEND, "config:origin");
    }
    assert_int_equal(r->limiter.sent, 0);
}

static void test_redirects_are_not_followed(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t request =
        plain(apr_pstrcat(p, pc_sim.base, "/v1.0/engagements/referrals", NULL));
    cs_http_response_t response;
    cs_result_t res;

    fault(&pc_sim,
          apr_psprintf(p,
                       "{\"path\":\"referrals\",\"fault\":\"status\",\"status\":302,\"headers\":{"
                       "\"Location\":\"%s/elsewhere\"}}",
                       pc_sim.base),
          p);
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, &request, &response, 1, 0, p));
    assert_int_equal(response.status, 302);
    cs_http_classify(&res, &response, &request, p);
    expect(&res, CS_CLASS_SUSPEND, "http:302");
    assert_int_equal(seen(&pc_sim, "GET", "elsewhere", p), 0);
}

static void test_answer_is_bounded(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t requests[3];
    cs_http_response_t responses[3];
    cs_result_t res;

    for (int i = 0; i < 3; i++) {
        requests[i] = plain(apr_pstrcat(p, pc_sim.base, "/_sandbox/state", NULL));
    }
    requests[0].max_response = 100;
    /* bounded after decompression, too */
    requests[1].max_response = 100;
    requests[1].headers = apr_table_make(p, 1);
    apr_table_set(requests[1].headers, "Accept-Encoding", "gzip");
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 3, 0, p));
    for (int i = 0; i < 2; i++) {
        cs_http_classify(&res, &responses[i], &requests[i], p);
        expect(&res, CS_CLASS_REFUSED, "limit");
        assert_int_equal(res.rv, CS_ELIMIT);
    }
    assert_int_equal(responses[2].status, 200);
    assert_int_equal(strlen(responses[2].body), responses[2].body_len);
}

static void test_nobody_listens(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t request = plain("http://127.0.0.1:1/");
    cs_http_response_t response;
    cs_result_t res;

    request.method = "PATCH";
    request.body = "{}";
    request.body_len = 2;
    APR_ARRAY_PUSH(r->up.origins, const char *) = "http://127.0.0.1:1";
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, &request, &response, 1, 0, p));
    assert_int_equal(response.outcome, CS_HTTP_NOT_SENT);
    assert_true(response.started);
    assert_int_equal(response.sent_at, 0);
    assert_int_equal(response.calls, 0);
    assert_has(response.error, "127.0.0.1:1");
    cs_http_classify(&res, &response, &request, p);
    expect(&res, CS_CLASS_RETRY, "transport");
}

static int never(void *baton, apr_interval_time_t timeout)
{
    ++*(int *)baton;
    assert_int_equal(timeout, 20 * SEC);
    return 0;
}

static void test_writes_need_the_lease(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t requests[] = {plain(apr_pstrcat(p, pc_sim.base, "/_sandbox/health", NULL)),
                                    plain(apr_pstrcat(p, pc_sim.base, "/_sandbox/health", NULL))};
    cs_http_response_t responses[2];
    cs_result_t res;
    int asked = 0;

    requests[0].write = 1;
    cs_http_guard(r->http, never, &asked);
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 2, 0, p));
    assert_int_equal(asked, 1);
    assert_int_equal(responses[0].outcome, CS_HTTP_NOT_SENT);
    cs_http_classify(&res, &responses[0], &requests[0], p);
    assert_int_equal(res.rv, CS_ELEASE);
    assert_int_equal(responses[1].status, 200);
}

static void test_environment_proxies_are_ignored(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t request = plain(apr_pstrcat(p, pc_sim.base, "/_sandbox/health", NULL));
    cs_http_response_t response;

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, &request, &response, 1, 0, p));
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    assert_int_equal(response.status, 200);
}

/* In no span of time do more requests start than the bucket and the rate allow. */
static void test_rate_is_held(void **state)
{
    enum { N = 14 };
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t requests[N];
    cs_http_response_t responses[N];

    r->up.rate = 8;
    for (int i = 0; i < N; i++) {
        requests[i] = plain(apr_pstrcat(p, pc_sim.base, "/_sandbox/health", NULL));
    }
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, N, 0, p));
    for (int i = 0; i < N; i++) {
        assert_int_equal(responses[i].status, 200);
        for (int j = 0; j < i; j++) {
            double span = (double)(responses[i].sent_at - responses[j].sent_at) / SEC;

            assert_true(span >= 0);
            assert_true(i - j <= span * 8 + 8 + 0.05);
        }
    }
    assert_true(responses[N - 1].sent_at - responses[0].sent_at >= (N - 8) * SEC / 8 - 10000);
    assert_int_equal(r->limiter.sent, N);
}

typedef struct watcher_t {
    cs_http_t *target;
    apr_pool_t *p;
    int held, most;
} watcher_t;

/* Aborts the other thread once its requests are known to be held by the server. */
static void *APR_THREAD_FUNC watch(apr_thread_t *thread, void *baton)
{
    watcher_t *w = baton;
    apr_interval_time_t end = cs_time_mono() + 30 * SEC;
    cs_http_t *http;

    (void)thread;
    if (cs_http_create(&http, "watcher", w->p) == APR_SUCCESS) {
        while (cs_time_mono() < end && w->held < w->most) {
            const json_t *faults = control_by(http, &pc_sim, "GET", "faults", NULL, w->p);

            w->held = (int)cs_json_int(json_is_array(faults)
                                           ? json_array_get(faults, 0)
                                           : json_array_get(cs_json_get(faults, "faults"), 0),
                                       "held", 0);
        }
    }
    cs_http_abort(w->target);
    return NULL;
}

static void test_abort_from_another_thread(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    cs_http_request_t requests[5];
    cs_http_response_t responses[5];
    watcher_t w = {r->http, NULL, 0, 3};
    apr_interval_time_t start = cs_time_mono();
    apr_thread_t *thread;
    apr_status_t ended;
    cs_result_t res;

    r->up.concurrency = 3;
    fault(&pc_sim, "{\"path\":\"/held\",\"fault\":\"hold\",\"seconds\":60}", p);
    for (int i = 0; i < 5; i++) {
        requests[i] = plain(apr_pstrcat(p, pc_sim.base, "/held", NULL));
        requests[i].method = "PATCH";
        requests[i].body = "{}";
        requests[i].body_len = 2;
    }
    assert_ok(apr_pool_create_unmanaged_ex(&w.p, NULL, NULL));
    assert_ok(apr_thread_create(&thread, NULL, watch, &w, p));
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 5, 0, p));
    apr_thread_join(&ended, thread);
    apr_pool_destroy(w.p);
    assert_true(cs_time_mono() - start < 30 * SEC);
    /* Three were out, not more; the others never left. */
    assert_int_equal(w.held, 3);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(responses[i].outcome, i < 3 ? CS_HTTP_UNKNOWN : CS_HTTP_NOT_SENT);
        assert_int_equal(responses[i].started, i < 3);
        cs_http_classify(&res, &responses[i], &requests[i], p);
        expect(&res, i < 3 ? CS_CLASS_UNKNOWN : CS_CLASS_THROTTLED, NULL);
    }
    /* It stays aborted. */
    assert_ok(cs_http_perform(r->http, &r->up, &r->limiter, requests, responses, 1, 0, p));
    assert_int_equal(responses[0].started, 0);
}

/* ---- certificates ---- */

static const char *read_file(const char *path, apr_pool_t *p)
{
    static char buf[8192];
    FILE *f = fopen(path, "rb");
    size_t n;

    (void)p;
    if (!f) {
        return NULL;
    }
    n = fread(buf, 1, sizeof(buf) - 1, f);
    fclose(f);
    return cs_sha256_hex(buf, n, p);
}

static void test_certificate_file(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_pc(p, 1);
    const char *dir = unit_path(p, "state"),
               *url = apr_pstrcat(p, pc_sim.base,
                                  "/cert/pcnotifications-dispatch.microsoft.com.cer", NULL);
    const char *path = apr_pstrcat(p, dir, "/certs/", cs_sha256_hex(url, strlen(url), p), NULL),
               *first;
    static const char *const faults[] = {"redirect", "oversized", "404"};
    cs_result_t res = {0};
    struct stat st;

    assert_ok(apr_dir_make(dir, APR_FPROT_OS_DEFAULT, p));
    control(&pc_sim, "POST", "certificate", "{\"file\":\"leaf\",\"fault\":null}", p);
    assert_ok(cs_certificate_fetch(r->http, &r->up, &r->limiter, dir, url, p, &res));
    first = read_file(path, p);
    assert_non_null(first);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    for (int i = 0; i < 3; i++) {
        control(&pc_sim, "POST", "certificate",
                apr_psprintf(p, "{\"file\":\"renewed\",\"fault\":\"%s\"}", faults[i]), p);
        assert_int_not_equal(cs_certificate_fetch(r->http, &r->up, &r->limiter, dir, url, p, &res),
                             APR_SUCCESS);
        assert_non_null(res.detail);
        assert_string_equal(read_file(path, p), first);
    }
    fault(&pc_sim,
          "{\"path\":\"/cert/\",\"fault\":\"status\",\"status\":200,\"body\":\"\",\"times\":1}", p);
    control(&pc_sim, "POST", "certificate", "{\"file\":\"renewed\",\"fault\":null}", p);
    assert_int_not_equal(cs_certificate_fetch(r->http, &r->up, &r->limiter, dir, url, p, &res),
                         APR_SUCCESS);
    assert_string_equal(read_file(path, p), first);
    assert_ok(cs_certificate_fetch(r->http, &r->up, &r->limiter, dir, url, p, &res));
    assert_string_not_equal(read_file(path, p), first);
    control(&pc_sim, "POST", "certificate", "{\"file\":\"leaf\",\"fault\":null}", p);
    unlink(path);
    rmdir(apr_pstrcat(p, dir, "/certs", NULL));
}

/* ---- Dynamics 365 ---- */

static json_t *row_of(const char *text, apr_pool_t *p)
{
    json_t *json = NULL;

    assert_ok(cs_json_parse(&json, text, strlen(text), NULL, p, NULL));
    return cs_json_own(json, p);
}

static apr_array_header_t *columns_of(apr_pool_t *p, const char *words)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(const char *));
    char *copy = apr_pstrdup(p, words), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(out, const char *) = word;
    }
    return out;
}

static cs_crm_write_t write_one(rig_t *r, cs_crm_write_e kind, const char *table, const char *id,
                                const char *guard, const char *row, const char *columns)
{
    cs_crm_write_t w = {
        .kind = kind, .table = table, .id = id, .guard = guard, .row = row_of(row, r->p)};

    w.columns = columns ? columns_of(r->p, columns) : NULL;
    assert_ok(r->impl->write(r->crm, &w, 1, 0, r->p));
    return w;
}

static cs_crm_read_t read_one(rig_t *r, const char *table, const char *id, const char *columns)
{
    cs_crm_read_t read = {.table = table, .id = id, .columns = columns_of(r->p, columns)};

    assert_ok(r->impl->read(r->crm, &read, 1, 0, r->p));
    return read;
}

static void test_whoami_and_a_foreign_organisation(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_whoami_t who;
    cs_result_t res;

    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    assert_string_equal(who.organization, "00000000-0000-4000-8000-0000000000f0");
    assert_string_equal(who.user, "00000000-0000-4000-8000-00000000001f");
    r->crm_cfg.organization = NOBODY;
    assert_ok(r->impl->create(&r->crm, &r->crm_cfg, r->http, &r->limiter, &r->login_limiter, p));
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "config:organization");
    assert_has(res.detail, NOBODY);
}

static void test_sign_in_problems_suspend(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_whoami_t who;
    cs_result_t res;

    set_secret(&r->secret, "wrong", p);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "oauth:invalid_client");
    assert_has(res.detail, "AADSTS7000215");
    /* a good token of an application that is nobody in the environment */
    set_secret(&r->secret, "not-a-member", p);
    r->crm_cfg.client_id = "00000000-0000-4000-8000-0000000000c2";
    assert_ok(r->impl->create(&r->crm, &r->crm_cfg, r->http, &r->limiter, &r->login_limiter, p));
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "dataverse:0x80072560");
}

#define COLUMNS                                                                                    \
    "name estimatedvalue estimatedclosedate statecode parentaccountid/name "                       \
    "parentaccountid/address1_city transactioncurrencyid ownerid/internalemailaddress"

static void test_create_read_update_close(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    const char *id = cs_uuid4(p);
    const char *row =
        "{\"name\":\"Fab & 'Co' "
        "\\u00fc\",\"estimatedvalue\":{\"$number\":\"50000.25\"},\"estimatedclosedate\":\"2031-03-"
        "31\","
        "\"parentaccountid\":{\"$ref\":{\"table\":\"account\",\"id\":\"" ACCOUNT
        "\"}},\"parentcontactid\":null,"
        "\"transactioncurrencyid\":{\"$ref\":{\"table\":\"transactioncurrency\",\"id\":\"" USD
        "\"}}}";
    cs_crm_write_t w = write_one(r, CS_CRM_CREATE, "opportunity", id, NULL, row, COLUMNS);
    cs_crm_read_t read;
    const char *version;

    expect(&w.result, CS_CLASS_OK, NULL);
    assert_non_null(w.record);
    assert_string_equal(w.record->id, id);
    assert_string_equal(cs_json_print(cs_json_get(w.record->row, "parentaccountid"), p),
                        "{\"id\":\"" ACCOUNT "\"}");
    assert_true(w.record->modified > 0);
    /* the same again never changes anything */
    w = write_one(r, CS_CRM_CREATE, "opportunity", id, NULL, "{\"name\":\"other\"}", COLUMNS);
    expect(&w.result, CS_CLASS_DUPLICATE, "dataverse:0x80040237");

    read = read_one(r, "opportunity", id, COLUMNS);
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_string_equal(cs_json_str(read.record->row, "name"), "Fab & 'Co' \xc3\xbc");
    assert_true(json_number_value(cs_json_get(read.record->row, "estimatedvalue")) == 50000.25);
    assert_string_equal(cs_json_str(read.record->row, "estimatedclosedate"), "2031-03-31");
    assert_string_equal(cs_json_str(cs_json_get(read.record->row, "parentaccountid"), "name"),
                        "Fabrikam Ltd");
    assert_string_equal(
        cs_json_str(cs_json_get(read.record->row, "parentaccountid"), "address1_city"), "London");
    assert_non_null(cs_json_str(cs_json_get(read.record->row, "ownerid"), "internalemailaddress"));
    assert_has(read.correlation, "x-ms-client-request-id=");
    version = read.record->version;

    w = write_one(r, CS_CRM_UPDATE, "opportunity", id, version,
                  "{\"name\":\"renamed\",\"parentaccountid\":null}", "name parentaccountid");
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_string_equal(cs_json_print(w.record->row, p),
                        "{\"name\":\"renamed\",\"parentaccountid\":null}");
    assert_string_not_equal(w.record->version, version);
    w = write_one(r, CS_CRM_UPDATE, "opportunity", id, version, "{\"name\":\"late\"}", NULL);
    expect(&w.result, CS_CLASS_CONFLICT, "dataverse:0x80060882");
    assert_null(w.record);

    w = write_one(r, CS_CRM_CALL, "opportunity", id, NULL,
                  "{\"Status\":3,\"actualrevenue\":{\"$number\":\"12000.00\"},\"actualend\":\"2026-"
                  "03-31\",\"description\":\"x\"}",
                  NULL);
    w.call = NULL;
    expect(&w.result, CS_CLASS_SUSPEND, "config:call");
    w = (cs_crm_write_t){.kind = CS_CRM_CALL,
                         .table = "opportunity",
                         .id = id,
                         .call = "WinOpportunity",
                         .row = row_of("{\"Status\":3,\"actualrevenue\":{\"$number\":\"12000.00\"},"
                                       "\"actualend\":\"2026-03-31\",\"description\":\"x\"}",
                                       p)};
    assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
    expect(&w.result, CS_CLASS_OK, NULL);
    read = read_one(r, "opportunity", id, "statecode statuscode");
    assert_string_equal(cs_json_print(read.record->row, p), "{\"statecode\":1,\"statuscode\":3}");
    w = write_one(r, CS_CRM_UPDATE, "opportunity", id, read.record->version,
                  "{\"name\":\"closed\"}", NULL);
    expect(&w.result, CS_CLASS_DATA, NULL);
    w = write_one(r, CS_CRM_UPDATE, "opportunity", id, read.record->version,
                  "{\"statecode\":0,\"statuscode\":1}", NULL);
    expect(&w.result, CS_CLASS_OK, NULL);
}

static void test_rows_that_are_not_there(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_read_t read = read_one(r, "opportunity", NOBODY, "name");
    cs_crm_write_t w;

    expect(&read.result, CS_CLASS_GONE, "dataverse:0x80040217");
    assert_null(read.record);
    /* never re-created */
    w = write_one(r, CS_CRM_UPDATE, "opportunity", NOBODY, "W/\"1\"", "{\"name\":\"x\"}", NULL);
    expect(&w.result, CS_CLASS_GONE, NULL);
    read = read_one(r, "opportunity", NOBODY, "name");
    expect(&read.result, CS_CLASS_GONE, NULL);
    w = write_one(r, CS_CRM_CREATE, "opportunity", cs_uuid4(p), NULL,
                  "{\"parentaccountid\":{\"$ref\":{\"table\":\"account\",\"id\":\"" NOBODY "\"}}}",
                  NULL);
    expect(&w.result, CS_CLASS_DATA, NULL);
    read = read_one(r, "opportunity", "not a guid", "name");
    expect(&read.result, CS_CLASS_REFUSED, "dataverse:id");
}

static void test_refused_values_and_columns(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    char *longer = apr_palloc(p, 400);
    cs_crm_read_t read;
    cs_crm_write_t w;

    memset(longer, 'x', 399);
    longer[399] = '\0';
    w = write_one(r, CS_CRM_CREATE, "opportunity", cs_uuid4(p), NULL,
                  apr_psprintf(p, "{\"name\":\"%s\"}", longer), NULL);
    expect(&w.result, CS_CLASS_DATA, "dataverse:0x80044331");
    assert_true(strlen(w.result.detail) < 450);
    w = write_one(r, CS_CRM_CREATE, "opportunity", cs_uuid4(p), NULL, "{\"salesstage\":77}", NULL);
    expect(&w.result, CS_CLASS_DATA, "dataverse:0x8004431a");
    w = write_one(r, CS_CRM_CREATE, "opportunity", cs_uuid4(p), NULL, "{\"nosuchcolumn\":1}", NULL);
    expect(&w.result, CS_CLASS_SUSPEND, "config:column");
    read = read_one(r, "opportunity", "00000000-0000-4000-8000-000000000071", "nosuchcolumn");
    expect(&read.result, CS_CLASS_SUSPEND, "config:column");
    read = read_one(r, "nosuchtable", NOBODY, "name");
    expect(&read.result, CS_CLASS_SUSPEND, "config:table");
}

static void test_find_by_ordered_keys(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_find_t finds[7] = {{0}};
    static const char *const keys[][3] = {
        {"transactioncurrency", "[{\"isocurrencycode\":\" usd \"}]", NULL},
        {"systemuser", "[{\"internalemailaddress\":\"ADA.seller@contoso.example\"}]",
         "{\"isdisabled\":false}"},
        {"systemuser", "[{\"internalemailaddress\":\"cleo.gone@contoso.example\"}]",
         "{\"isdisabled\":false}"},
        {"account",
         "[{\"accountnumber\":\"\"},{\"accountnumber\":\"NONE\"},{\"name\":\"fabrikam "
         "ltd\",\"address1_postalcode\":\"EC1A 1BB\"}]",
         "{\"statecode\":0}"},
        {"contact",
         "[{\"emailaddress1\":\"dora@fabrikam.example\",\"parentcustomerid\":{\"$ref\":{\"table\":"
         "\"account\",\"id\":\"" ACCOUNT "\"}}}]",
         NULL},
        {"account", "[{\"accountnumber\":\" \"}]", NULL},
        {"account", "[{\"name\":\"O'Twins & Co\"}]", NULL},
    };

    if (!json_array_size(control(&crm_sim, "GET", "accounts", NULL, p))) {
        fail_msg("the simulator has no accounts");
    }
    control(&crm_sim, "POST", "accounts", "{\"name\":\"O'Twins & Co\"}", p);
    control(&crm_sim, "POST", "accounts", "{\"name\":\"o'twins & co\"}", p);
    for (int i = 0; i < 7; i++) {
        finds[i].table = keys[i][0];
        finds[i].keys = row_of(keys[i][1], p);
        finds[i].where = keys[i][2] ? row_of(keys[i][2], p) : NULL;
    }
    assert_ok(r->impl->find(r->crm, finds, 7, 0, p));
    for (int i = 0; i < 7; i++) {
        static const int found[] = {1, 1, 0, 1, 1, 0, 2};

        expect(&finds[i].result, CS_CLASS_OK, NULL);
        assert_int_equal(finds[i].found, found[i]);
    }
    assert_string_equal(finds[0].id, USD);
    assert_string_equal(finds[1].id, "00000000-0000-4000-8000-000000000011");
    assert_string_equal(finds[3].id, ACCOUNT);
    /* one request for all first keys and one for what is left, counted where they belong */
    assert_int_equal(finds[0].calls, 1);
    assert_int_equal(finds[3].calls, 1);
    assert_string_equal(finds[4].id, "00000000-0000-4000-8000-000000000051");
    assert_int_equal(finds[5].calls, 0);
    assert_in_range(json_array_size(finds[6].candidates), 2, 10);
    assert_int_equal(
        strcasecmp(cs_json_str(json_array_get(finds[6].candidates, 0), "name"), "O'Twins & Co"), 0);
}

static void test_custom_tables_are_learnt(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    const char *id = cs_uuid4(p);
    cs_crm_find_t find = {.table = "msft_microsoftsolutiondetail",
                          .keys = row_of("[{\"msft_solutionidentifier\":\"SOL-24100-GWB\"}]", p)};
    cs_crm_write_t w;
    cs_crm_read_t read;

    assert_ok(r->impl->find(r->crm, &find, 1, 0, p));
    expect(&find.result, CS_CLASS_OK, NULL);
    assert_int_equal(find.found, 1);
    assert_int_equal(find.calls, 2);
    w = write_one(r, CS_CRM_CREATE, "msft_microsoftsolution", id, NULL,
                  "{\"msft_name\":\"n\",\"msft_opportunityid\":{\"$ref\":{\"table\":"
                  "\"opportunity\",\"id\":\"00000000-0000-4000-8000-000000000071\"}},"
                  "\"msft_solutiondetailid\":{\"$ref\":{\"table\":\"msft_microsoftsolutiondetail\","
                  "\"id\":\"00000000-0000-4000-8000-000000000061\"}}}",
                  "msft_name msft_opportunityid");
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_has(cs_json_print(w.record->row, p),
               "\"msft_opportunityid\":{\"id\":\"00000000-0000-4000-8000-000000000071\"}");
    read = read_one(r, "msft_microsoftsolution", id, "msft_name msft_opportunityid/name");
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(read.calls, 1);
    assert_has(cs_json_print(read.record->row, p), "\"name\":\"Fabrikam data platform\"");
    assert_int_equal(seen(&crm_sim, "GET", "EntityDefinitions", p), 2);
}

static void test_writes_without_answer_are_unknown_and_never_sent_twice(void **state)
{
    static const char *const kinds[] = {"drop-after-commit", "reset-after", "truncate"};
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);

    for (int i = 0; i < 3; i++) {
        const char *id = cs_uuid4(p);
        cs_crm_read_t read =
            read_one(r, "opportunity", "00000000-0000-4000-8000-000000000071", "name");
        cs_crm_write_t w;

        /* The connection is a kept one: libcurl would like to try again on a fresh one. */
        expect(&read.result, CS_CLASS_OK, NULL);
        fault(&crm_sim,
              apr_psprintf(
                  p,
                  "{\"method\":\"PATCH\",\"path\":\"opportunities\",\"fault\":\"%s\",\"times\":1}",
                  kinds[i]),
              p);
        control(&crm_sim, "DELETE", "requests", NULL, p);
        w = write_one(r, CS_CRM_CREATE, "opportunity", id, NULL, "{\"name\":\"lost answer\"}",
                      "name");
        expect(&w.result, CS_CLASS_UNKNOWN, NULL);
        assert_non_null(w.result.correlation);
        assert_int_equal(seen(&crm_sim, "PATCH", "opportunities", p), 1);
        /* settled by the same again */
        w = write_one(r, CS_CRM_CREATE, "opportunity", id, NULL, "{\"name\":\"lost answer\"}",
                      "name");
        expect(&w.result, CS_CLASS_DUPLICATE, NULL);
    }
    control(&crm_sim, "DELETE", "faults", NULL, p);
    fault(&crm_sim,
          "{\"method\":\"PATCH\",\"path\":\"opportunities\",\"fault\":\"html\",\"status\":200,"
          "\"times\":1}",
          p);
    cs_crm_write_t w = write_one(r, CS_CRM_CREATE, "opportunity", cs_uuid4(p), NULL,
                                 "{\"name\":\"page\"}", "name");
    expect(&w.result, CS_CLASS_UNKNOWN, "dataverse:answer");
}

static void test_crm_faults(void **state)
{
    static const struct {
        const char *fault;
        cs_class_e cls;
        const char *problem;
    } table[] = {
        {"\"status\":429,\"code\":\"0x80072322\",\"retry_after\":\"33\"", CS_CLASS_THROTTLED,
         "dataverse:0x80072322"},
        {"\"status\":500,\"code\":\"0x80044150\"", CS_CLASS_RETRY, "dataverse:0x80044150"},
        {"\"status\":500,\"code\":\"0x80040216\"", CS_CLASS_RETRY, "internal:0x80040216"},
        {"\"status\":503", CS_CLASS_RETRY, NULL},
        {"\"status\":403,\"code\":\"0x80040220\"", CS_CLASS_REFUSED, "dataverse:0x80040220"},
        {"\"status\":403,\"code\":\"0x80072560\"", CS_CLASS_SUSPEND, "dataverse:0x80072560"},
        {"\"status\":404,\"fault\":\"html\"", CS_CLASS_RETRY, "http:404"},
        {"\"status\":400,\"code\":\"0x80040265\"", CS_CLASS_DATA, "dataverse:0x80040265"},
        {"\"fault\":\"truncate\"", CS_CLASS_RETRY, "transport"},
    };
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        rig_t *r = rig_crm(p);
        cs_crm_read_t read;

        control(&crm_sim, "DELETE", "faults", NULL, p);
        fault(&crm_sim,
              apr_psprintf(p, "{\"path\":\"opportunities\",\"times\":1,%s}", table[i].fault), p);
        read = read_one(r, "opportunity", "00000000-0000-4000-8000-000000000071", "name");
        expect(&read.result, table[i].cls, table[i].problem);
        if (read.result.cls == CS_CLASS_THROTTLED) {
            assert_in_range(read.result.retry_at, cs_time_now() + 30 * SEC,
                            cs_time_now() + 33 * SEC);
        }
    }
}

static void test_crm_401_is_refreshed_once(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_read_t read = read_one(r, "opportunity", "00000000-0000-4000-8000-000000000071", "name");
    cs_crm_write_t w;

    expect(&read.result, CS_CLASS_OK, NULL);
    control(&crm_sim, "POST", "tokens", "{\"revoke\":true}", p);
    w = write_one(r, CS_CRM_CREATE, "opportunity", cs_uuid4(p), NULL, "{\"name\":\"after 401\"}",
                  NULL);
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_int_equal(w.calls, 2);
    fault(&crm_sim, "{\"path\":\"opportunities\",\"fault\":\"status\",\"status\":401}", p);
    read = read_one(r, "opportunity", "00000000-0000-4000-8000-000000000071", "name");
    expect(&read.result, CS_CLASS_SUSPEND, NULL);
    assert_int_equal(read.calls, 2);
}

/* ---- Dynamics 365: batches, lists, leads, metadata, certificates ---- */

#define OPPORTUNITY "00000000-0000-4000-8000-000000000071"
#define SELLER "00000000-0000-4000-8000-000000000011"

static int calls_of(const int *first, size_t step, int n)
{
    int i, calls = 0;

    for (i = 0; i < n; i++) {
        calls += *(const int *)((const char *)first + step * (size_t)i);
    }
    return calls;
}

static int batches(apr_pool_t *p)
{
    const json_t *by = cs_json_get(control(&crm_sim, "GET", "requests/summary", NULL, p), "by");
    const char *what, *status;
    json_t *counts, *count;
    int n = 0;

    json_object_foreach((json_t *)by, what, counts) {
        if (strlen(what) > 7 && !strcmp(what + strlen(what) - 7, "/$batch")) {
            json_object_foreach(counts, status, count) {
                n += (int)json_integer_value(count);
            }
        }
    }
    return n;
}

static void test_a_burst_is_few_requests(void **state)
{
    enum { N = 1000 };
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_write_t *writes = apr_pcalloc(p, sizeof(*writes) * N);
    cs_crm_read_t *reads = apr_pcalloc(p, sizeof(*reads) * N);
    int i, calls;

    for (i = 0; i < N; i++) {
        writes[i].kind = CS_CRM_CREATE;
        writes[i].table = "opportunity";
        writes[i].id = cs_uuid4(p);
        writes[i].row = row_of(apr_psprintf(p, "{\"name\":\"burst %d\"}", i), p);
        reads[i].table = "opportunity";
        reads[i].id = writes[i].id;
        reads[i].columns = columns_of(p, COLUMNS);
    }
    assert_ok(r->impl->write(r->crm, writes, N, 0, p));
    assert_ok(r->impl->read(r->crm, reads, N, 0, p));
    calls = calls_of(&writes[0].calls, sizeof(*writes), N) +
            calls_of(&reads[0].calls, sizeof(*reads), N);
    assert_int_equal(calls, 20);
    for (i = 0; i < N; i++) {
        expect(&writes[i].result, CS_CLASS_OK, NULL);
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        writes[i].kind = CS_CRM_UPDATE;
        /* every tenth is stale */
        writes[i].guard = i % 10 ? reads[i].record->version : "W/\"1\"";
        writes[i].row = row_of("{\"description\":\"changed\"}", p);
        writes[i].columns = columns_of(p, "description");
    }
    assert_ok(r->impl->write(r->crm, writes, N, 0, p));
    for (i = 0; i < N; i++) {
        expect(&writes[i].result, i % 10 ? CS_CLASS_OK : CS_CLASS_CONFLICT, NULL);
        if (i % 10) {
            assert_string_equal(cs_json_str(writes[i].record->row, "description"), "changed");
        }
    }
    assert_int_equal(batches(p), 30);
}

static void test_parts_have_faults_of_their_own(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_write_t writes[5] = {{0}};
    cs_crm_read_t reads[2] = {{0}};
    char *longer = apr_palloc(p, 400);
    int i;

    memset(longer, 'x', 399);
    longer[399] = '\0';
    for (i = 0; i < 5; i++) {
        writes[i].kind = CS_CRM_CREATE;
        writes[i].table = "opportunity";
        writes[i].id = cs_uuid4(p);
        writes[i].row = row_of("{\"name\":\"n\"}", p);
    }
    writes[1].row = cs_json_own(json_pack("{s:s}", "name", longer), p);
    writes[2].row = row_of("{\"salesstage\":77}", p);
    writes[3].row = row_of("{\"nosuchcolumn\":1}", p);
    writes[4].kind = CS_CRM_UPDATE;
    assert_ok(r->impl->write(r->crm, writes, 5, 0, p));
    expect(&writes[0].result, CS_CLASS_OK, NULL);
    expect(&writes[1].result, CS_CLASS_DATA, "dataverse:0x80044331");
    assert_string_equal(writes[1].result.blames, "name");
    expect(&writes[2].result, CS_CLASS_DATA, "dataverse:0x8004431a");
    assert_string_equal(writes[2].result.blames, "salesstage");
    expect(&writes[3].result, CS_CLASS_SUSPEND, "config:column");
    assert_string_equal(writes[3].result.blames, "nosuchcolumn");
    expect(&writes[4].result, CS_CLASS_GONE, NULL);
    assert_int_equal(batches(p), 1);
    /* one of two is throttled inside of an answer that is good */
    fault(&crm_sim,
          "{\"method\":\"GET\",\"path\":\"opportunities\",\"status\":429,\"code\":\"0x80072321\","
          "\"retry_after\":\"20\",\"times\":1}",
          p);
    for (i = 0; i < 2; i++) {
        reads[i].table = "opportunity";
        reads[i].id = OPPORTUNITY;
        reads[i].columns = columns_of(p, "name");
    }
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    expect(&reads[0].result, CS_CLASS_THROTTLED, "dataverse:0x80072321");
    assert_true(reads[0].result.retry_at > cs_time_now() + 15 * SEC);
    expect(&reads[1].result, CS_CLASS_OK, NULL);
}

static cs_crm_write_t create(rig_t *r, const char *table, const char *row)
{
    cs_crm_write_t w = write_one(r, CS_CRM_CREATE, table, cs_uuid4(r->p), NULL, row, NULL);

    expect(&w.result, CS_CLASS_OK, NULL);
    return w;
}

static void test_lists_and_teams(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    const char *id = create(r, "opportunity", "{\"name\":\"with lists\"}").id, *child;
    const char *other = create(r, "opportunity", "{\"name\":\"without\"}").id;
    cs_related_t lists[3] = {
        {"solutions", "msft_microsoftsolution", "msft_opportunityid", NULL, NULL, NULL, NULL},
        {"team", NULL, NULL, NULL, NULL, "Opportunity Sales Team", NULL},
        {"none", "msft_nosuchtable", "msft_opportunityid", NULL, NULL, NULL, NULL}};
    apr_array_header_t *related = apr_array_make(p, 3, sizeof(cs_related_t));
    cs_crm_write_t w = {
        .kind = CS_CRM_JOIN, .table = "opportunity", .id = id, .call = "Opportunity Sales Team"};
    cs_crm_read_t reads[2] = {{.table = "opportunity", .id = id},
                              {.table = "opportunity", .id = other}};
    const json_t *rows;
    int i;

    lists[0].columns = columns_of(p, "msft_name msft_solutiondetailid/msft_solutionidentifier");
    lists[1].columns = columns_of(p, "fullname internalemailaddress");
    lists[2].columns = columns_of(p, "msft_name");
    child =
        create(r, "msft_microsoftsolution",
               apr_psprintf(p,
                            "{\"msft_name\":\"n\",\"msft_opportunityid\":{\"$ref\":{\"table\":"
                            "\"opportunity\",\"id\":\"%s\"}},\"msft_solutiondetailid\":{\"$ref\":"
                            "{\"table\":\"msft_microsoftsolutiondetail\",\"id\":"
                            "\"00000000-0000-4000-8000-000000000061\"}}}",
                            id))
            .id;
    w.row = row_of("{\"user\":{\"$ref\":{\"table\":\"systemuser\",\"id\":\"" SELLER "\"}}}", p);
    for (i = 0; i < 2; i++) {
        /* the second time the user is a member already */
        assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
        expect(&w.result, CS_CLASS_OK, NULL);
    }
    for (i = 0; i < 3; i++) {
        APR_ARRAY_PUSH(related, cs_related_t) = lists[i];
    }
    for (i = 0; i < 2; i++) {
        reads[i].columns = columns_of(p, "name");
        reads[i].related = related;
    }
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    for (i = 0; i < 2; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_null(cs_json_get(reads[i].record->related, "none"));
    }
    rows = cs_json_get(reads[0].record->related, "solutions");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(cs_json_str(json_array_get(rows, 0), "id"), child);
    assert_non_null(cs_json_str(json_array_get(rows, 0), "version"));
    assert_string_equal(cs_json_str(cs_json_pointer(rows, "/0/row/msft_solutiondetailid"),
                                    "msft_solutionidentifier"),
                        "SOL-24100-GWB");
    rows = cs_json_get(reads[0].record->related, "team");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(cs_json_str(json_array_get(rows, 0), "id"), SELLER);
    assert_non_null(cs_json_str(cs_json_pointer(rows, "/0/row"), "internalemailaddress"));
    assert_int_equal(json_array_size(cs_json_get(reads[1].record->related, "solutions")), 0);
    assert_int_equal(json_array_size(cs_json_get(reads[1].record->related, "team")), 0);
    /* a child that somebody changed meanwhile stays; without a guard it goes, and once is enough */
    w = write_one(r, CS_CRM_DELETE, "msft_microsoftsolution", child, "W/\"1\"", "{}", NULL);
    expect(&w.result, CS_CLASS_CONFLICT, NULL);
    for (i = 0; i < 2; i++) {
        w = write_one(r, CS_CRM_DELETE, "msft_microsoftsolution", child, NULL, "{}", NULL);
        expect(&w.result, CS_CLASS_OK, NULL);
    }
}

static void test_a_lead_is_qualified(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_write_t w = {.kind = CS_CRM_CALL, .table = "lead", .call = "QualifyLead"};
    const char *made;
    cs_crm_read_t read;

    w.id = create(r, "lead", "{\"subject\":\"s\",\"lastname\":\"l\",\"companyname\":\"c\"}").id;
    w.row =
        row_of("{\"Status\":3,\"OpportunityCurrencyId\":{\"$ref\":{\"table\":"
               "\"transactioncurrency\",\"id\":\"" USD "\"}},\"OpportunityCustomerId\":{\"$ref\":{"
               "\"table\":\"account\",\"id\":\"" ACCOUNT "\"}}}",
               p);
    assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_int_equal(json_array_size(w.created), 1);
    assert_string_equal(cs_json_str(json_array_get(w.created, 0), "table"), "opportunity");
    made = cs_json_str(json_array_get(w.created, 0), "id");
    read = read_one(r, "lead", w.id, "statecode qualifyingopportunityid");
    assert_string_equal(
        cs_json_print(read.record->row, p),
        apr_psprintf(p, "{\"qualifyingopportunityid\":{\"id\":\"%s\"},\"statecode\":1}", made));
    read = read_one(r, "opportunity", made, "parentaccountid");
    expect(&read.result, CS_CLASS_OK, NULL);
    /* once is enough */
    assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
    assert_int_not_equal(w.result.cls, CS_CLASS_OK);
}

static void test_duplicate_rules_are_respected(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    cs_crm_write_t w;

    control(&crm_sim, "POST", "duplicate-rules", "{\"table\":\"account\",\"rules\":[[\"name\"]]}",
            p);
    create(r, "account", "{\"name\":\"Only One GmbH\"}");
    w = write_one(r, CS_CRM_CREATE, "account", cs_uuid4(p), NULL, "{\"name\":\"Only One GmbH\"}",
                  NULL);
    expect(&w.result, CS_CLASS_DUPLICATE, "dataverse:0x80040333");
    assert_has(w.result.detail, "duplicate");
    control(&crm_sim, "POST", "duplicate-rules", "{\"table\":\"account\",\"rules\":[]}", p);
}

static void test_metadata(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    apr_array_header_t *tables =
        columns_of(p, "opportunity lead account contact msft_microsoftsolution nosuchtable");
    const json_t *column;
    json_t *d = NULL;
    cs_result_t res;
    int calls = 0;

    assert_ok(r->impl->describe(r->crm, tables, &d, &calls, 0, p, &res));
    assert_int_equal(calls, 1);
    assert_int_equal(cs_json_int(d, "language", 0), 1033);
    assert_int_equal(json_object_size(cs_json_get(d, "tables")), 5);
    assert_string_equal(cs_json_str(cs_json_pointer(d, "/tables/opportunity"), "key"),
                        "opportunityid");
    column = cs_json_pointer(d, "/tables/opportunity/columns/name");
    assert_string_equal(cs_json_str(column, "type"), "text");
    assert_int_equal(cs_json_int(column, "max", 0), 300);
    column = cs_json_pointer(d, "/tables/opportunity/columns/estimatedclosedate");
    assert_string_equal(cs_json_str(column, "type"), "date");
    column = cs_json_pointer(d, "/tables/opportunity/columns/statuscode");
    assert_string_equal(cs_json_str(column, "type"), "choice");
    assert_true(json_array_size(cs_json_get(column, "options")) >= 5);
    assert_true(json_is_integer(cs_json_pointer(column, "/options/0/state")));
    assert_non_null(cs_json_str(cs_json_pointer(column, "/options/0"), "label"));
    column = cs_json_pointer(d, "/tables/opportunity/columns/parentaccountid");
    assert_string_equal(cs_json_print(cs_json_get(column, "targets"), p), "[\"account\"]");
    column = cs_json_pointer(d, "/tables/opportunity/columns/isrevenuesystemcalculated");
    assert_string_equal(cs_json_str(column, "type"), "flag");
    assert_int_equal(json_array_size(cs_json_get(column, "options")), 2);
    assert_string_equal(
        cs_json_str(cs_json_pointer(d, "/tables/opportunity/columns/modifiedon"), "type"),
        "instant");
    /* the child table's names came along */
    control(&crm_sim, "DELETE", "requests", NULL, p);
    assert_int_equal(
        read_one(r, "msft_microsoftsolution", NOBODY, "msft_name msft_opportunityid/name").calls,
        1);
}

static const char *pem_file(const char *name, const char **ptext)
{
    const char *path = unit_path(all, apr_pstrcat(all, "pki/", name, NULL));
    char *text = apr_pcalloc(all, 16384);
    FILE *f = fopen(path, "rb");

    assert_non_null(f);
    assert_true(fread(text, 1, 16383, f) > 0);
    fclose(f);
    *ptext = text;
    return path;
}

static void test_a_certificate_signs_in(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    const char *pem, *key;
    cs_crm_whoami_t who;
    cs_secret_t secret;
    cs_result_t res;
    json_t *app;
    int rs256;

    r->crm_cfg.certificate = pem_file("server.pem", &pem);
    pem_file("server.key", &key);
    set_secret(&secret, key, p);
    r->crm_cfg.client_secret = NULL;
    r->crm_cfg.key = &secret;
    assert_null(r->impl->check(&r->crm_cfg, p));
    /* not known to the directory yet */
    assert_ok(r->impl->create(&r->crm, &r->crm_cfg, r->http, &r->limiter, &r->login_limiter, p));
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "oauth:invalid_client");
    assert_has(res.detail, "AADSTS700027");
    app = cs_json_own(
        json_pack("{s:s, s:s}", "client_id", r->crm_cfg.client_id, "certificate", pem), p);
    control(&crm_sim, "POST", "tokens", cs_json_print(app, p), p);
    for (rs256 = 0; rs256 < 2; rs256++) {
        r->crm_cfg.assertion_rs256 = rs256;
        assert_ok(
            r->impl->create(&r->crm, &r->crm_cfg, r->http, &r->limiter, &r->login_limiter, p));
        assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    }
}

/* ---- TLS ---- */

static void test_tls_trusts_only_what_is_configured(void **state)
{
    apr_pool_t *p = *state;
    cs_http_t *http;
    cs_limiter_t limiter = {0};
    cs_upstream_t up = upstream("sales", tls_sim.base, p);
    cs_http_request_t request = plain(apr_pstrcat(p, tls_sim.base, "/_sandbox/health", NULL));
    cs_http_response_t response;
    cs_result_t res;

    assert_ok(cs_http_create(&http, "tls", p));
    assert_ok(cs_http_perform(http, &up, &limiter, &request, &response, 1, 0, p));
    assert_int_equal(response.outcome, CS_HTTP_NOT_SENT);
    cs_http_classify(&res, &response, &request, p);
    expect(&res, CS_CLASS_SUSPEND, "tls:certificate");
    up.ca = unit_path(p, "pki/server-ca.pem");
    assert_ok(cs_http_perform(http, &up, &limiter, &request, &response, 1, 0, p));
    if (response.outcome != CS_HTTP_ANSWERED) {
        fail_msg("%s", response.error);
    }
    assert_int_equal(response.status, 200);
    up.ca = "/nonexistent/ca.pem";
    assert_ok(cs_http_perform(http, &up, &limiter, &request, &response, 1, 0, p));
    cs_http_classify(&res, &response, &request, p);
    expect(&res, CS_CLASS_SUSPEND, "config:ca");
    /* a proxy that is not there is named */
    up.ca = NULL;
    up.proxy = "http://127.0.0.1:1";
    assert_ok(cs_http_perform(http, &up, &limiter, &request, &response, 1, 0, p));
    assert_int_equal(response.outcome, CS_HTTP_NOT_SENT);
    assert_has(response.error, "proxy http://127.0.0.1:1");
}

/* ---- all of it ---- */

static void print_log(void *baton, cs_log_level_e level, apr_status_t rv, const char *site,
                      const char *message)
{
    (void)baton;
    (void)rv;
    (void)site;
    assert_true(level >= CS_LOG_INFO);
    assert_has_not(message, "sandbox-secret");
    assert_has_not(message, "sandbox-refresh-token");
    assert_has_not(message, "Bearer");
}

static int log_everything(void *baton, cs_log_level_e level, const char *site)
{
    (void)baton;
    (void)level;
    (void)site;
    return 1;
}

static int make_pki(void)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        int fd = open("/dev/null", O_WRONLY);

        dup2(fd, 1);
        execl("tests/sandbox/pki", "pki", unit_path(all, "pki"), (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int start_all(void **state)
{
    const char *dir;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    if (apr_pool_create(&all, NULL) != APR_SUCCESS || make_pki()) {
        fprintf(stderr, "cannot make the certificates\n");
        return -1;
    }
    dir = unit_path(all, "pki");
    cs_log_set(print_log, log_everything, NULL);
    const char *const pc_args[] = {"partner-center",
                                   "--with-stdin",
                                   "--pki",
                                   dir,
                                   "--seed",
                                   "tests/sandbox/seed-partner-center.json",
                                   NULL};
    const char *const crm_args[] = {"dynamics365", "--with-stdin", NULL};
    const char *const tls_args[] = {"dynamics365",
                                    "--with-stdin",
                                    "--tls",
                                    unit_path(all, "pki/server.pem"),
                                    unit_path(all, "pki/server.key"),
                                    NULL};

    return start_sim(&pc_sim, "tests/sandbox/partner-center", pc_args) ||
           start_sim(&crm_sim, "tests/sandbox/dynamics365", crm_args) ||
           start_sim(&tls_sim, "tests/sandbox/dynamics365", tls_args) ||
           cs_http_create(&control_http, "control", all);
}

/* ---- changes ---- */

/* All pages from a cursor on; *prows counts rows, *pgone those deleted. */
static cs_crm_changes_t changes_from(rig_t *r, const char *cursor, int *ppages, int *prows,
                                     int *pgone)
{
    cs_crm_changes_t ch = {.table = "account", .columns = columns_of(r->p, "name ownerid")};

    *ppages = *prows = *pgone = 0;
    do {
        ch.cursor = *ppages ? ch.next : cursor;
        assert_ok(r->impl->changes(r->crm, &ch, 0, r->p));
        expect(&ch.result, CS_CLASS_OK, NULL);
        for (int i = 0; i < ch.rows->nelts; i++) {
            const cs_crm_changed_t *row = &APR_ARRAY_IDX(ch.rows, i, cs_crm_changed_t);

            *pgone += row->deleted;
            assert_true(row->deleted || (row->version && row->modified > 0 && row->row));
        }
        *prows += ch.rows->nelts;
        ++*ppages;
    } while (ch.more);
    return ch;
}

static const char *new_account(apr_pool_t *p)
{
    return cs_json_str(control(&crm_sim, "POST", "accounts", "{\"name\":\"Changing\"}", p),
                       "accountid");
}

static void many_accounts(int n, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, n, sizeof(const char *));

    while (list->nelts < n) {
        APR_ARRAY_PUSH(list, const char *) = "{\"name\":\"One of many\"}";
    }
    control(&crm_sim, "POST", "bulk/accounts",
            apr_pstrcat(p, "[", apr_array_pstrcat(p, list, ','), "]", NULL), p);
}

static void test_changes_follow_a_table(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    const char *one = new_account(p), *other = new_account(p);
    int pages, rows, gone, all_rows;
    cs_crm_changes_t ch;

    many_accounts(1500, p);
    ch = changes_from(r, NULL, &pages, &all_rows, &gone);
    assert_true(ch.beginning && pages == 2 && all_rows >= 1502 && gone == 0);
    ch = changes_from(r, ch.next, &pages, &rows, &gone);
    assert_true(!ch.beginning && pages == 1 && rows == 0);
    control(&crm_sim, "PATCH", apr_pstrcat(p, "accounts/", one, NULL), "{\"name\":\"Changed\"}", p);
    control(&crm_sim, "DELETE", apr_pstrcat(p, "accounts/", other, NULL), NULL, p);
    ch = changes_from(r, ch.next, &pages, &rows, &gone);
    assert_true(!ch.beginning && rows == 2 && gone == 1);
    many_accounts(1100, p);
    ch = changes_from(r, ch.next, &pages, &rows, &gone);
    assert_true(!ch.beginning && pages == 2 && rows == 1100);
    /* Eight days later the link is too old. */
    control(&crm_sim, "POST", "clock", "{\"offset\":691200}", p);
    r = rig_crm(p);
    ch = changes_from(r, ch.next, &pages, &rows, &gone);
    control(&crm_sim, "POST", "clock", "{\"offset\":0}", p);
    assert_true(ch.beginning && rows == all_rows + 1100 - 1 && gone == 0);
    control(&crm_sim, "DELETE", apr_pstrcat(p, "accounts/", one, NULL), NULL, p);
}

static void test_changes_of_a_table_that_keeps_no_track(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig_crm(p);
    const char *one;
    int pages, rows, gone;
    cs_crm_changes_t ch;

    control(&crm_sim, "POST", "table-options",
            "{\"table\":\"account\",\"change_tracking\":false}", p);
    many_accounts(1100, p);
    ch = changes_from(r, NULL, &pages, &rows, &gone);
    assert_true(ch.beginning && pages >= 2 && rows >= 1100);
    /* Twenty minutes later what came before is no news. */
    control(&crm_sim, "POST", "clock", "{\"offset\":1200}", p);
    ch = changes_from(r, ch.next, &pages, &rows, &gone);
    assert_true(!ch.beginning);
    one = new_account(p);
    control(&crm_sim, "POST", "clock", "{\"offset\":1500}", p);
    ch = changes_from(r, ch.next, &pages, &rows, &gone);
    assert_true(!ch.beginning && rows == 1 && pages == 1);
    assert_string_equal(APR_ARRAY_IDX(ch.rows, 0, cs_crm_changed_t).id, one);
    control(&crm_sim, "POST", "clock", "{\"offset\":0}", p);
    control(&crm_sim, "POST", "table-options",
            "{\"table\":\"account\",\"change_tracking\":true}", p);
}

static int stop_all(void **state)
{
    const char *dir = unit_path(all, "pki");
    apr_finfo_t info;
    apr_dir_t *d;

    (void)state;
    stop_sim(&pc_sim);
    stop_sim(&crm_sim);
    stop_sim(&tls_sim);
    if (apr_dir_open(&d, dir, all) == APR_SUCCESS) {
        while (apr_dir_read(&info, APR_FINFO_NAME, d) == APR_SUCCESS) {
            apr_file_remove(apr_pstrcat(all, dir, "/", info.name, NULL), all);
        }
        apr_dir_close(d);
    }
    apr_dir_remove(dir, all);
    apr_dir_remove(unit_path(all, "state"), all);
    apr_pool_destroy(all);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_TEST(test_refresh_token_rotates_through_the_vault),
        LIVE_TEST(test_vault_wins_until_the_seed_changes),
        LIVE_TEST(test_expiry_as_text_and_early_renewal),
        LIVE_TEST(test_invalid_grant_suspends),
        LIVE_TEST(test_another_node_rotated_first),
        LIVE_TEST(test_unstored_rotation_is_not_used),
        LIVE_TEST(test_token_endpoint_faults),
        LIVE_TEST(test_get_many),
        LIVE_TEST(test_one_401_is_answered_by_one_refresh),
        LIVE_TEST(test_second_401_mfa_and_403_suspend),
        LIVE_TEST(test_throttling_pauses_the_rest),
        LIVE_TEST(test_unreadable_answers_are_retried),
        LIVE_TEST(test_deadline_ends_a_slow_call),
        LIVE_TEST(test_list_follows_pages_by_token),
        LIVE_TEST(test_a_referral_is_changed_under_guard),
        LIVE_TEST(test_a_change_is_refused_with_the_member_named),
        LIVE_TEST(test_a_referral_is_made_and_connected),
        LIVE_TEST(test_a_post_without_answer_is_unknown_and_never_sent_twice),
        LIVE_TEST(test_a_post_answered_401_is_made_once),
        LIVE_TEST(test_find_sees_what_the_list_shows),
        LIVE_TEST(test_changes_come_newest_first),
        LIVE_TEST(test_addresses_nobody_configured_are_not_called),
        LIVE_TEST(test_redirects_are_not_followed),
        LIVE_TEST(test_answer_is_bounded),
        LIVE_TEST(test_nobody_listens),
        LIVE_TEST(test_writes_need_the_lease),
        LIVE_TEST(test_environment_proxies_are_ignored),
        LIVE_TEST(test_rate_is_held),
        LIVE_TEST(test_abort_from_another_thread),
        LIVE_TEST(test_certificate_file),
        LIVE_TEST(test_whoami_and_a_foreign_organisation),
        LIVE_TEST(test_sign_in_problems_suspend),
        LIVE_TEST(test_create_read_update_close),
        LIVE_TEST(test_rows_that_are_not_there),
        LIVE_TEST(test_refused_values_and_columns),
        LIVE_TEST(test_find_by_ordered_keys),
        LIVE_TEST(test_custom_tables_are_learnt),
        LIVE_TEST(test_writes_without_answer_are_unknown_and_never_sent_twice),
        LIVE_TEST(test_crm_faults),
        LIVE_TEST(test_crm_401_is_refreshed_once),
        LIVE_TEST(test_a_burst_is_few_requests),
        LIVE_TEST(test_parts_have_faults_of_their_own),
        LIVE_TEST(test_lists_and_teams),
        LIVE_TEST(test_a_lead_is_qualified),
        LIVE_TEST(test_duplicate_rules_are_respected),
        LIVE_TEST(test_metadata),
        LIVE_TEST(test_changes_follow_a_table),
        LIVE_TEST(test_changes_of_a_table_that_keeps_no_track),
        LIVE_TEST(test_a_certificate_signs_in),
        LIVE_TEST(test_tls_trusts_only_what_is_configured),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, start_all, stop_all));
}
