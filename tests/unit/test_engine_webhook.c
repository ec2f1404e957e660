/* The registration as the engine watches it, and traces, without a network: the Webhooks API is
 * scripted here by a server that gives prepared answers. */
#include "unit_engine.h"

#include "unit_canned.h"

#include "mod_cosell/engine/pulse.h"
#include "mod_cosell/engine/registration.h"

#define OURS "https://ours.example/partner-center"
#define GOOD                                                                                       \
    "{\"webhookUrl\":\"" OURS "\",\"webhookEvents\":[\"test-created\",\"referral-created\"]}"
#define FOREIGN                                                                                    \
    "{\"webhookUrl\":\"https://flow.example/x?sig=topsecret\",\"webhookEvents\":[\"referral-"      \
    "created\"]}"

static const char *script;
static canned_t *server;

static const char *answer(canned_t *c, const canned_op_t *op)
{
    (void)c, (void)op;
    return script;
}

/* A site that is watched, with a Webhooks API on loopback. */
static void watched_site(apr_pool_t *p)
{
    static cs_upstream_t up;
    static cs_secret_t secret = {.ref = "file:/x", .value = "s", .len = 1};

    new_world(p);
    server = canned_start(answer);
    memset(&up, 0, sizeof(up));
    up.name = "partner-center";
    up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(up.origins, const char *) = apr_pstrdup(p, server->base);
    up.concurrency = 1;
    up.timeout = apr_time_from_sec(10);
    W->site.pc.client_id = "c";
    W->site.pc.client_secret = &secret;
    W->site.pc.refresh_token = &secret;
    W->site.pc.token_url = apr_pstrcat(p, server->base, "/t/oauth2/v2.0/token", NULL);
    W->site.pc.webhooks_url = apr_pstrdup(p, server->base);
    W->site.pc.upstream = W->site.pc.login = &up;
    W->site.watch = apr_time_from_sec(45);
    W->site.pulse = CS_SITE_PULSE;
    begin_lane();
}

static json_t *webhook(void)
{
    json_t *json = NULL;

    assert_ok(cs_registration_fact(W->lane, &json, W->p, NULL));
    return json;
}

static void registered(const char *url)
{
    apr_array_header_t *changes = apr_array_make(W->p, 2, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(W->lane);

    cs_lane_fact(CS_FACT_WEBHOOK,
                 apr_psprintf(W->p, "{\"url\":\"%s\",\"events\":[\"test-created\",\"referral-"
                                    "created\"]}",
                              url),
                 changes);
    assert_ok(cs_store_write(W->store, &lease, changes, W->p, NULL));
}

/* What is answered from now on, and a turn of the watch. */
static json_t *turn(const char *head, const char *body)
{
    script = apr_pstrcat(W->p, head, "\r\n\r\n", body, NULL);
    W->lane->watch_at = 1;
    W->lane->watch_set = 0;
    assert_ok(cs_registration_watch(W->lane, W->p, NULL));
    return webhook();
}

static cs_work_t *row(void)
{
    cs_work_t *work = NULL;

    assert_ok(cs_store_work_named(W->store, SITE, CS_WORK_WATCH, CS_REGISTRATION, &work, W->p,
                                  NULL));
    return work;
}

static void test_drift_comes_and_goes(void **state)
{
    apr_pool_t *p = *state;
    json_t *f;

    watched_site(p);
    work();
    registered(OURS);
    assert_null(cs_json_str(turn("200 OK", GOOD), "drift"));
    assert_int_equal(journal_lines("webhook"), 0);
    f = turn("200 OK", FOREIGN);
    assert_non_null(strstr(cs_json_str(f, "drift"), "taken over"));
    assert_non_null(strstr(cs_json_str(f, "drift"), "https://flow.example/x..."));
    assert_null(strstr(fact(CS_FACT_WEBHOOK), "topsecret"));
    assert_int_equal(journal_lines("webhook"), 1);
    /* said once */
    turn("200 OK", FOREIGN);
    assert_int_equal(journal_lines("webhook"), 1);
    f = turn("200 OK", "{\"webhookUrl\":\"" OURS "\",\"webhookEvents\":[\"Test-Created\"]}");
    assert_non_null(strstr(cs_json_str(f, "drift"), "not registered any more: referral-created"));
    f = turn("404 Not Found", "");
    assert_non_null(strstr(cs_json_str(f, "drift"), "nothing is registered"));
    assert_true(json_is_null(json_object_get(f, "found")));
    assert_int_equal(journal_lines("webhook"), 3);
    f = turn("200 OK", GOOD);
    assert_null(cs_json_str(f, "drift"));
    assert_int_equal(journal_lines("webhook"), 4);
    canned_stop(server);
}

static void test_never_registered_is_compared_with_nothing(void **state)
{
    apr_pool_t *p = *state;
    json_t *f;

    watched_site(p);
    work();
    f = turn("200 OK", FOREIGN);
    assert_null(cs_json_str(f, "drift"));
    assert_string_equal(cs_json_str(json_object_get(f, "found"), "url"),
                        "https://flow.example/x...");
    f = turn("404 Not Found", "");
    assert_null(cs_json_str(f, "drift"));
    assert_int_equal(journal_lines("webhook"), 0);
    canned_stop(server);
}

static void test_what_cannot_be_read_stops_nothing(void **state)
{
    apr_pool_t *p = *state;
    json_t *f;

    watched_site(p);
    work();
    registered(OURS);
    turn("200 OK", GOOD);
    f = turn("403 Forbidden", "{\"code\":\"2001\",\"description\":\"No role.\"}");
    assert_non_null(strstr(cs_json_str(f, "trouble"), "Referrals admin"));
    assert_null(cs_json_str(f, "drift"));
    assert_string_equal(cs_json_str(json_object_get(f, "found"), "url"), OURS);
    assert_null(suspended("partner-center"));
    assert_non_null(strstr(row()->detail, "Referrals admin"));
    assert_int_equal(row()->attempts, 1);
    assert_false(cs_pulse_due(W->lane)); /* a role that is missing for this alone */
    turn("503 Unavailable", "");
    assert_int_equal(row()->attempts, 2);
    assert_true(cs_pulse_due(W->lane)); /* or nothing works: that is asked for */
    work();
    assert_int_equal(W->pc_probes, 1);
    assert_null(suspended("partner-center"));
    f = turn("200 OK", GOOD);
    assert_null(cs_json_str(f, "trouble"));
    assert_int_equal(row()->attempts, 0);
    assert_null(row()->problem);
    canned_stop(server);
}

/* Nothing else is asked on a silent site: the registration's trouble leads to the pulse. */
static void test_dead_sign_in_is_found(void **state)
{
    apr_pool_t *p = *state;

    watched_site(p);
    work();
    W->pc_fails = CS_CLASS_SUSPEND;
    W->pc_problem = "oauth:invalid_grant";
    turn("400 Bad Request", "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS50173: revoked\"}");
    assert_true(cs_pulse_due(W->lane));
    work();
    assert_non_null(suspended("partner-center"));
    assert_string_equal(suspended("partner-center")->problem, "oauth:invalid_grant");
    assert_false(cs_pulse_due(W->lane));
    canned_stop(server);
}

/* The row is a timer: nobody waits for it, and it goes where nothing is watched. */
static void test_the_row_of_the_watch(void **state)
{
    apr_pool_t *p = *state;
    apr_time_t due;

    watched_site(p);
    script = "404 Not Found\r\n\r\n";
    work();
    due = row()->due;
    assert_in_range(due - cs_time_now(), apr_time_from_sec(35), apr_time_from_sec(46));
    assert_int_equal(counts_of(W->store, SITE, p).outstanding, 0);
    assert_int_equal(server->n_requests, 0);
    turn("404 Not Found", "");
    assert_int_equal(server->n_requests, 1);
    /* not before its time; a clock that went back does not silence it */
    assert_ok(cs_registration_watch(W->lane, p, NULL));
    assert_int_equal(server->n_requests, 1);
    W->lane->watch_set = cs_time_now() + apr_time_from_sec(3600);
    assert_ok(cs_registration_watch(W->lane, p, NULL));
    assert_int_equal(server->n_requests, 2);
    W->site.watch = 0;
    begin_lane();
    work();
    assert_null(row());
    canned_stop(server);
}

static void test_deliveries_are_found(void **state)
{
    apr_pool_t *p = *state;
    apr_time_t now = cs_time_now();
    apr_array_header_t *list;
    int i;

    new_world(p);
    begin_lane();
    for (i = 0; i < 3; i++) {
        cs_notice_t *n = make_notice(p, NULL, now + i);
        const cs_notice_t *notices[1] = {n};

        n->source = i < 2 ? "pc" : "sales";
        n->event = i ? "test-created" : "referral-updated";
        n->kind = NULL;
        n->digest = apr_psprintf(p, "%064d", i);
        n->names = apr_array_make(p, 2, sizeof(const char *));
        APR_ARRAY_PUSH(n->names, const char *) = apr_psprintf(p, CS_NAME_TEST "%d", i);
        APR_ARRAY_PUSH(n->names, const char *) = CS_NAME_HEADER "x-ms-signature";
        assert_ok(cs_store_accept(W->store, notices, 1, p, NULL));
    }
    assert_ok(cs_store_deliveries(W->store, SITE, "pc", NULL, 0, 10, &list, p, NULL));
    assert_int_equal(list->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(list, 0, cs_delivery_t *)->names,
                        CS_NAME_TEST "1\n" CS_NAME_HEADER "x-ms-signature");
    assert_ok(cs_store_deliveries(W->store, SITE, "pc", "test-created", now, 10, &list, p, NULL));
    assert_int_equal(list->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(list, 0, cs_delivery_t *)->received, now + 1);
    assert_ok(cs_store_deliveries(W->store, SITE, "pc", NULL, now + 2, 10, &list, p, NULL));
    assert_int_equal(list->nelts, 0);
    assert_ok(cs_store_deliveries(W->store, "elsewhere", "pc", NULL, 0, 10, &list, p, NULL));
    assert_int_equal(list->nelts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_drift_comes_and_goes),
        UNIT_TEST(test_never_registered_is_compared_with_nothing),
        UNIT_TEST(test_what_cannot_be_read_stops_nothing),
        UNIT_TEST(test_dead_sign_in_is_found),
        UNIT_TEST(test_the_row_of_the_watch),
        UNIT_TEST(test_deliveries_are_found),
    };

    return UNIT_RUN(tests);
}
