/* The Salesforce client against the simulator, which this program starts itself. */
#include "unit_live.h"
#include "unit_pki.h"

#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/crm.h"

#define ORG "00D5g0000000001EAA"
#define USER "0055g0000000009AAA"
#define ADA "0055g0000000001AAA"
#define ACCOUNT "0015g0000000001AAA"
#define LITWARE "0015g0000000002AAA"
#define DEAL "0065g0000000001AAA"
#define OTHER "0065g0000000002AAA"
#define CONTACT "0035g0000000001AAA"
#define REFERRAL "c5fb0000-0000-4000-8000-000000000001"
#define KEY "{\"Referral_Identifier__c\":\"" REFERRAL "\"}"

static sim_t sim;

/* ---- a client ---- */

typedef struct rig_t {
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up, login;
    cs_secret_t secret, key;
    cs_crm_config_t cfg;
    const cs_crm_impl_t *impl;
    cs_crm_t *crm;
    apr_pool_t *p;
} rig_t;

static void renew(rig_t *r)
{
    assert_null(r->impl->check(&r->cfg, r->p));
    assert_ok(r->impl->create(&r->crm, &r->cfg, r->http, &r->limiter, &r->login_limiter, r->p));
}

static rig_t *rig(apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->p = p;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up = upstream("sales", sim.base, p);
    r->up.reserve = -1;
    r->login = upstream("login", sim.base, p);
    r->secret = (cs_secret_t){.ref = "file:/s", .value = "sandbox-secret~1", .len = 16};
    r->cfg.name = "sales";
    r->cfg.type = "salesforce";
    r->cfg.url = sim.base;
    r->cfg.client_id = "3MVG9.sandbox.consumer.key.1";
    r->cfg.client_secret = &r->secret;
    r->cfg.upstream = &r->up;
    r->cfg.login = &r->login;
    r->impl = cs_crm_impl_of("salesforce");
    assert_non_null(r->impl);
    renew(r);
    return r;
}

static void later(int seconds, apr_pool_t *p)
{
    const json_t *clock = control(&sim, "GET", "clock", NULL, p);
    double offset = json_number_value(cs_json_get(clock, "offset"));

    control(&sim, "POST", "clock", apr_psprintf(p, "{\"offset\":%.0f}", offset + seconds), p);
}

static int setup(void **state)
{
    apr_pool_t *p;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS) {
        return -1;
    }
    control(&sim, "DELETE", "faults", NULL, p);
    control(&sim, "DELETE", "quirks", NULL, p);
    control(&sim, "POST", "tokens", "{\"expires_in\":null,\"fail\":null}", p);
    control(&sim, "POST", "limits", "{\"used\":0,\"max\":1000000,\"concurrent\":0}", p);
    /* Later than all that was written before: nothing is young. */
    later(60, p);
    control(&sim, "DELETE", "requests", NULL, p);
    *state = p;
    return 0;
}

#define LIVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, unit_teardown)

static void expect(const cs_result_t *res, cs_class_e cls, const char *problem)
{
    if (res->cls != cls || (problem && (!res->problem || strcmp(res->problem, problem)))) {
        fail_msg("%s %s (%s), expected %s %s", cs_class_name(res->cls),
                 res->problem ? res->problem : "-", res->detail ? res->detail : "-",
                 cs_class_name(cls), problem ? problem : "");
    }
    assert_true(cls == CS_CLASS_OK || res->detail);
}

static json_t *json_of(const char *text, apr_pool_t *p)
{
    json_t *json = NULL;

    assert_ok(cs_json_parse(&json, text, strlen(text), NULL, p, NULL));
    return cs_json_own(json, p);
}

static apr_array_header_t *words_of(apr_pool_t *p, const char *words)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(const char *));
    char *copy = apr_pstrdup(p, words), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(out, const char *) = word;
    }
    return out;
}

static cs_crm_read_t read_one(rig_t *r, const char *table, const char *id, const char *columns)
{
    cs_crm_read_t read = {.table = table, .id = id, .columns = words_of(r->p, columns)};

    assert_ok(r->impl->read(r->crm, &read, 1, 0, r->p));
    return read;
}

static cs_crm_write_t write_one(rig_t *r, cs_crm_write_e kind, const char *table, const char *id,
                                const char *guard, const char *row, const char *columns)
{
    cs_crm_write_t w = {.kind = kind, .table = table, .id = id, .guard = guard};

    w.row = row ? json_of(row, r->p) : NULL;
    w.columns = columns ? words_of(r->p, columns) : NULL;
    assert_ok(r->impl->write(r->crm, &w, 1, 0, r->p));
    return w;
}

/* Calls of the API since the log was cleared, token requests left out. */
static int api_calls(apr_pool_t *p)
{
    const json_t *list = control(&sim, "GET", "requests?batch=false&path=/services/data", NULL, p);

    return (int)json_array_size(list);
}

/* ---- who ---- */

static void test_whoami_and_a_foreign_organisation(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_whoami_t who;
    cs_crm_usage_t usage;
    cs_result_t res = {0};

    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    assert_string_equal(who.organization, ORG);
    assert_string_equal(who.user, USER);
    r->impl->usage(r->crm, &usage);
    assert_true(usage.most == 1000000 && usage.kept == 50000 && usage.used >= 1);
    r->cfg.organization = "00D5g0000000001";
    renew(r);
    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    r->cfg.organization = "00D5g0000000002EAA";
    renew(r);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "config:organization");
    assert_has(res.detail, "00D5g0000000002EAA");
    cs_crm_read_t read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_SUSPEND, "config:organization");
}

/* Nobody has signed in, and none of the day's requests is used. */
static void test_pulse_costs_nothing(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_usage_t usage;
    cs_result_t res = {0};
    const json_t *limits;

    control(&sim, "POST", "limits", "{\"used\":10000,\"max\":10000}", p);
    assert_ok(r->impl->pulse(r->crm, cs_time_mono() + apr_time_from_sec(20), p, &res));
    expect(&res, CS_CLASS_OK, NULL);
    limits = control(&sim, "GET", "limits", NULL, p);
    assert_int_equal(cs_json_int(limits, "used", -1), 10000);
    r->impl->usage(r->crm, &usage);
    assert_true(!usage.most);
    assert_true(r->limiter.dated > 0);
    control(&sim, "POST", "faults", "{\"path\":\"^/services/data/$\",\"fault\":\"status\",\"status\":503}", p);
    assert_int_not_equal(r->impl->pulse(r->crm, cs_time_mono() + apr_time_from_sec(20), p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_RETRY, "http:503");
    control(&sim, "DELETE", "faults", NULL, p);
    r->cfg.url = "http://127.0.0.1:9";
    r->up = upstream("sales", r->cfg.url, p);
    renew(r);
    assert_int_not_equal(r->impl->pulse(r->crm, cs_time_mono() + apr_time_from_sec(20), p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_RETRY, "transport");
    assert_has(res.detail, "127.0.0.1:9");
}

static void test_another_instance_is_not_used(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_whoami_t who;
    cs_result_t res = {0};

    control(&sim, "POST", "options", "{\"InstanceUrl\":\"https://other.my.salesforce.com\"}", p);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    control(&sim, "POST", "options", "{\"InstanceUrl\":\"\"}", p);
    expect(&res, CS_CLASS_SUSPEND, "config:instance");
    assert_has(res.detail, "other.my.salesforce.com");
    assert_int_equal(api_calls(p), 0);
    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
}

static void test_sign_in_problems_suspend(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_whoami_t who;
    cs_result_t res = {0};

    r->secret.value = "wrong";
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, NULL);
    assert_has(res.problem, "oauth:invalid_client");
    control(&sim, "POST", "tokens", "{\"fail\":\"invalid_grant\"}", p);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "oauth:invalid_grant");
}

static const char *key_pem(EVP_PKEY *key, apr_pool_t *p)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    return pki_bio_text(bio, p);
}

static void test_a_key_signs_in(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    EVP_PKEY *key = pki_rsa(2048, p);
    X509 *cert = pki_cert(&(pki_spec_t){.cn = "cosell"}, key, NULL, NULL, p);
    cs_crm_whoami_t who;
    cs_result_t res = {0};
    json_t *knob = json_pack("{s:s}", "certificate", pki_pem(cert, p));

    /* An assertion says by our clock how long it is good. */
    control(&sim, "POST", "clock", "{\"offset\":0}", p);
    control(&sim, "POST", "tokens", cs_json_print(cs_json_own(knob, p), p), p);
    r->key.ref = "file:/k";
    r->key.value = key_pem(key, p);
    r->key.len = strlen(r->key.value);
    r->cfg.client_secret = NULL;
    r->cfg.key = &r->key;
    r->cfg.user = "cosell@contoso.example";
    renew(r);
    r->impl->whoami(r->crm, &who, 0, p, &res);
    expect(&res, CS_CLASS_OK, NULL);
    assert_string_equal(who.user, USER);
    r->cfg.user = "nobody@contoso.example";
    renew(r);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "oauth:invalid_grant");
}

/* ---- rows ---- */

#define COLUMNS                                                                                    \
    "Name Amount CloseDate $state StageName AccountId/Name AccountId/BillingCity OwnerId/Email "   \
    "Referral_Identifier__c CreatedDate HasOpportunityLineItem NextStep Description"

static void test_create_read_update(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_write_t w = {.kind = CS_CRM_CREATE,
                        .table = "Opportunity",
                        .id = "11111111-0000-5000-8000-000000000001",
                        .key = json_of(KEY, p),
                        .columns = words_of(p, COLUMNS)};
    cs_crm_read_t read;
    const char *made, *version, *later_version;

    w.row = json_of("{\"Name\":\"Fab & 'Co' \\\\ \\u00fc\",\"Amount\":{\"$number\":\"50000.25\"},"
                    "\"CloseDate\":\"2031-03-31\",\"StageName\":\"Prospecting\","
                    "\"Description\":\"a\\nb\",\"Referral_Identifier__c\":\"" REFERRAL "\","
                    "\"AccountId\":{\"$ref\":{\"table\":\"Account\",\"id\":\"" ACCOUNT "\"}}}",
                    p);
    assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_int_equal(w.calls, 1);
    assert_non_null(w.made);
    assert_int_equal(strlen(w.made), 18);
    assert_non_null(w.record);
    assert_string_equal(w.record->id, w.made);
    assert_true(w.record->young);
    assert_has(w.record->version, "~");
    made = w.made;
    /* the same again finds itself */
    assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_string_equal(w.made, made);
    control(&sim, "POST", "options", "{\"UpsertNoContent\":true}", p);
    w.columns = NULL;
    assert_ok(r->impl->write(r->crm, &w, 1, 0, p));
    control(&sim, "POST", "options", "{\"UpsertNoContent\":false}", p);
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_string_equal(w.made, made);

    later(5, p);
    read = read_one(r, "Opportunity", apr_pstrmemdup(p, made, 15), COLUMNS);
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(read.calls, 1);
    assert_string_equal(read.record->id, made);
    assert_false(read.record->young);
    assert_has_not(read.record->version, "~");
    assert_true(read.record->modified > 0);
    assert_string_equal(cs_json_str(read.record->row, "Name"), "Fab & 'Co' \\ \xc3\xbc");
    assert_string_equal(cs_json_str(read.record->row, "Description"), "a\nb");
    assert_true(json_number_value(cs_json_get(read.record->row, "Amount")) == 50000.25);
    assert_string_equal(cs_json_str(read.record->row, "CloseDate"), "2031-03-31");
    assert_int_equal(cs_json_int(read.record->row, "$state", -1), 0);
    assert_true(json_is_false(cs_json_get(read.record->row, "HasOpportunityLineItem")));
    assert_string_equal(cs_json_print(cs_json_get(read.record->row, "AccountId"), p),
                        "{\"BillingCity\":\"London\",\"Name\":\"Fabrikam Ltd\",\"id\":\"" ACCOUNT
                        "\"}");
    assert_string_equal(cs_json_str(cs_json_get(read.record->row, "OwnerId"), "Email"),
                        "cosell@contoso.example");
    assert_has(cs_json_str(read.record->row, "CreatedDate"), "Z");
    version = read.record->version;

    w = write_one(r, CS_CRM_UPDATE, "Opportunity", made, version,
                  "{\"StageName\":\"Closed Won\",\"NextStep\":\"none\"}", "$state NextStep");
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_int_equal(w.calls, 1);
    assert_string_equal(cs_json_print(w.record->row, p), "{\"$state\":1,\"NextStep\":\"none\"}");
    assert_string_not_equal(w.record->version, version);
    /* the version of a write guards the next one */
    w = write_one(r, CS_CRM_UPDATE, "Opportunity", made, w.record->version,
                  "{\"StageName\":\"Closed Lost\"}", "$state");
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_string_equal(cs_json_print(w.record->row, p), "{\"$state\":2}");
    /* what was read before guards against it */
    w = write_one(r, CS_CRM_UPDATE, "Opportunity", made, version, "{\"NextStep\":\"late\"}",
                  "NextStep");
    expect(&w.result, CS_CLASS_CONFLICT, NULL);
    assert_null(w.record);
    later(5, p);
    read = read_one(r, "Opportunity", made, "NextStep");
    assert_string_equal(cs_json_print(read.record->row, p), "{\"NextStep\":\"none\"}");
    later_version = read.record->version;
    w = write_one(r, CS_CRM_DELETE, "Opportunity", made, version, NULL, NULL);
    expect(&w.result, CS_CLASS_CONFLICT, NULL);
    w = write_one(r, CS_CRM_DELETE, "Opportunity", made, later_version, NULL, NULL);
    expect(&w.result, CS_CLASS_OK, NULL);
    w = write_one(r, CS_CRM_DELETE, "Opportunity", made, later_version, NULL, NULL);
    expect(&w.result, CS_CLASS_OK, NULL);
    w = write_one(r, CS_CRM_UPDATE, "Opportunity", made, later_version, "{\"Name\":\"x\"}", NULL);
    expect(&w.result, CS_CLASS_GONE, NULL);
    read = read_one(r, "Opportunity", made, "Name");
    expect(&read.result, CS_CLASS_GONE, NULL);
    assert_null(read.record);
}

static void add_list(apr_array_header_t *lists, const char *name, const char *table,
                     const char *parent, const char *columns, const char *where)
{
    cs_related_t *one = apr_array_push(lists);

    memset(one, 0, sizeof(*one));
    one->list = name;
    one->table = table;
    one->parent = parent;
    one->columns = words_of(lists->pool, columns);
    one->where = where ? json_of(where, lists->pool) : NULL;
}

static void test_lists_are_read_in_the_same_request(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    apr_array_header_t *lists = apr_array_make(p, 3, sizeof(cs_related_t));
    cs_crm_read_t reads[2] = {{.table = "Opportunity", .id = DEAL},
                              {.table = "Opportunity", .id = OTHER}};
    const json_t *rows;
    int i;

    add_list(lists, "contacts", "OpportunityContactRole", "OpportunityId",
             "ContactId/Email ContactId/LastName IsPrimary", "{\"IsPrimary\":true}");
    add_list(lists, "team", "OpportunityTeamMember", "OpportunityId", "UserId/Email", NULL);
    add_list(lists, "odd", "Nothing__c", "OpportunityId", "Name", NULL);
    for (i = 0; i < 2; i++) {
        reads[i].columns = words_of(p, "Name");
        reads[i].related = lists;
    }
    assert_ok(r->impl->read(r->crm, reads, 2, 0, p));
    assert_int_equal(reads[0].calls + reads[1].calls, 1);
    for (i = 0; i < 2; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        rows = cs_json_get(reads[i].record->related, "contacts");
        assert_int_equal(json_array_size(rows), 1);
        assert_string_equal(
            cs_json_str(cs_json_get(cs_json_get(json_array_get(rows, 0), "row"), "ContactId"),
                        "Email"),
            i ? "eli@litware.example" : "dora@fabrikam.example");
        assert_int_equal(json_array_size(cs_json_get(reads[i].record->related, "team")), 0);
        assert_non_null(cs_json_get(reads[i].record->related, "team"));
        assert_null(cs_json_get(reads[i].record->related, "odd"));
    }
}

static void test_a_hidden_column_is_unreadable(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_read_t read;
    cs_crm_write_t w;

    control(&sim, "POST", "quirks",
            "[{\"table\":\"Opportunity\",\"column\":\"NextStep\",\"quirk\":\"unreadable\"},"
            "{\"table\":\"Account\",\"column\":\"Phone\",\"quirk\":\"unreadable\"}]",
            p);
    read = read_one(r, "Opportunity", DEAL, "Name NextStep AccountId/Phone AccountId/Name Nope__c");
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_string_equal(cs_json_print(read.record->row, p),
                        "{\"AccountId\":{\"Name\":\"Fabrikam Ltd\",\"id\":\"" ACCOUNT
                        "\"},\"Name\":\"Fabrikam data platform\"}");
    /* asked for in vain once */
    read = read_one(r, "Opportunity", DEAL, "Name NextStep AccountId/Phone");
    assert_int_equal(read.calls, 1);
    w = write_one(r, CS_CRM_UPDATE, "Opportunity", DEAL, NULL, "{\"Nope__c\":\"x\"}", NULL);
    expect(&w.result, CS_CLASS_DATA, "config:column");
    assert_string_equal(w.result.blames, "Nope__c");
    control(&sim, "DELETE", "quirks", NULL, p);
}

static void test_find_by_ordered_keys(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_find_t finds[6];
    int i, calls = 0;

    control(&sim, "POST", "bulk/Account",
            "[{\"Name\":\"Twin\"},{\"Name\":\"twin \"},{\"Name\":\"\\u00c4rger\"}]", p);
    memset(finds, 0, sizeof(finds));
    for (i = 0; i < 6; i++) {
        finds[i].table = i == 3 ? "Contact" : "Account";
    }
    finds[0].keys = json_of("[{\"Name\":\" fabrikam LTD \"}]", p);
    finds[1].keys = json_of("[{\"AccountNumber\":\"none\"},{\"Name\":\"Litware\"}]", p);
    finds[2].keys = json_of("[{\"Name\":\"TWIN\"}]", p);
    finds[3].keys = json_of("[{\"Email\":\"DORA@fabrikam.example\"}]", p);
    finds[3].where =
        json_of("{\"AccountId\":{\"$ref\":{\"table\":\"Account\",\"id\":\"" ACCOUNT "\"}}}", p);
    finds[4].keys = json_of("[{\"Name\":\"nobody's \\\\\"}]", p);
    finds[5].keys = json_of("[{\"Name\":\"\\u00e4rger\"},{\"AccountNumber\":\"\"}]", p);
    assert_ok(r->impl->find(r->crm, finds, 6, 0, p));
    for (i = 0; i < 6; i++) {
        expect(&finds[i].result, CS_CLASS_OK, NULL);
        calls += finds[i].calls;
    }
    assert_int_equal(finds[0].found, 1);
    assert_string_equal(finds[0].id, ACCOUNT);
    assert_int_equal(finds[1].found, 1);
    assert_string_equal(finds[1].id, LITWARE);
    assert_int_equal(finds[2].found, 2);
    assert_int_equal(json_array_size(finds[2].candidates), 2);
    assert_int_equal(finds[3].found, 1);
    assert_string_equal(finds[3].id, CONTACT);
    assert_int_equal(finds[4].found, 0);
    assert_int_equal(finds[5].found, 1);
    assert_in_range(calls, 2, 4);
}

/* ---- few calls ---- */

static const char **many_deals(int n, apr_pool_t *p)
{
    const char **ids = apr_palloc(p, sizeof(*ids) * (size_t)n), *body = "[";
    const json_t *rows;
    int i;

    for (i = 0; i < n; i++) {
        body = apr_psprintf(p,
                            "%s%s{\"Name\":\"d%d\",\"StageName\":\"Prospecting\",\"CloseDate\":"
                            "\"2030-01-01\"}",
                            body, i ? "," : "", i);
    }
    rows = control(&sim, "POST", "bulk/Opportunity", apr_pstrcat(p, body, "]", NULL), p);
    for (i = 0; i < n; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);

        ids[i] = cs_json_str(row, "Id") ? cs_json_str(row, "Id") : json_string_value(row);
        assert_non_null(ids[i]);
    }
    return ids;
}

static void test_a_burst_is_few_requests(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    int n = 200, i, calls = 0;
    const char **ids = many_deals(n, p);
    cs_crm_read_t *reads = apr_pcalloc(p, sizeof(*reads) * (size_t)n);
    cs_crm_write_t *writes = apr_pcalloc(p, sizeof(*writes) * (size_t)n);
    apr_array_header_t *lists = apr_array_make(p, 2, sizeof(cs_related_t));
    apr_array_header_t *columns = words_of(p, COLUMNS);

    later(5, p);
    add_list(lists, "contacts", "OpportunityContactRole", "OpportunityId", "ContactId/Email", NULL);
    add_list(lists, "team", "OpportunityTeamMember", "OpportunityId", "UserId/Email", NULL);
    for (i = 0; i < n; i++) {
        reads[i].table = "Opportunity";
        reads[i].id = ids[i];
        reads[i].columns = columns;
        reads[i].related = lists;
    }
    control(&sim, "DELETE", "requests", NULL, p);
    assert_ok(r->impl->read(r->crm, reads, n, 0, p));
    for (i = 0; i < n; i++) {
        expect(&reads[i].result, CS_CLASS_OK, NULL);
        assert_string_equal(cs_json_str(reads[i].record->row, "Name"), apr_psprintf(p, "d%d", i));
        calls += reads[i].calls;
    }
    assert_int_equal(calls, 2);
    assert_int_equal(api_calls(p), 2);
    for (i = 0; i < n; i++) {
        writes[i].kind = CS_CRM_UPDATE;
        writes[i].table = "Opportunity";
        writes[i].id = ids[i];
        writes[i].guard = reads[i].record->version;
        writes[i].row = json_of(apr_psprintf(p, "{\"NextStep\":\"n%d\"}", i), p);
        writes[i].columns = columns;
    }
    control(&sim, "DELETE", "requests", NULL, p);
    assert_ok(r->impl->write(r->crm, writes, n, 0, p));
    for (i = 0, calls = 0; i < n; i++) {
        expect(&writes[i].result, CS_CLASS_OK, NULL);
        assert_non_null(writes[i].record);
        assert_string_equal(cs_json_str(writes[i].record->row, "NextStep"),
                            apr_psprintf(p, "n%d", i));
        calls += writes[i].calls;
    }
    assert_int_equal(calls, 9);
    assert_int_equal(api_calls(p), 9);
}

/* ---- trouble ---- */

static void test_faults(void **state)
{
    static const struct {
        const char *fault;
        cs_class_e read, write;
        const char *problem;
    } table[] = {
        {"\"fault\":\"status\",\"status\":400,\"code\":\"UNABLE_TO_LOCK_ROW\"", CS_CLASS_RETRY,
         CS_CLASS_RETRY, "salesforce:UNABLE_TO_LOCK_ROW"},
        {"\"fault\":\"status\",\"status\":500", CS_CLASS_RETRY, CS_CLASS_RETRY,
         "internal:UNKNOWN_EXCEPTION"},
        {"\"fault\":\"status\",\"status\":503", CS_CLASS_RETRY, CS_CLASS_RETRY,
         "salesforce:SERVER_UNAVAILABLE"},
        {"\"fault\":\"html\",\"status\":502", CS_CLASS_RETRY, CS_CLASS_RETRY, "http:502"},
        {"\"fault\":\"html\",\"status\":404", CS_CLASS_RETRY, CS_CLASS_RETRY, "http:404"},
        {"\"fault\":\"reset-before\"", CS_CLASS_RETRY, CS_CLASS_UNKNOWN, NULL},
        {"\"fault\":\"drop-after-commit\"", CS_CLASS_RETRY, CS_CLASS_UNKNOWN, NULL},
    };
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_read_t read;
    cs_crm_write_t w;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        fault(&sim,
              apr_psprintf(p, "{\"path\":\"/query|/sobjects\",%s,\"times\":0}", table[i].fault), p);
        read = read_one(r, "Opportunity", DEAL, "Name");
        expect(&read.result, table[i].read, table[i].problem);
        w = write_one(r, CS_CRM_UPDATE, "Opportunity", DEAL, NULL, "{\"NextStep\":\"f\"}", NULL);
        expect(&w.result, table[i].write, table[i].problem);
        w = write_one(r, CS_CRM_UPDATE, "Opportunity", DEAL, NULL, "{\"NextStep\":\"f\"}",
                      "NextStep");
        expect(&w.result, table[i].write, table[i].problem);
        control(&sim, "DELETE", "faults", NULL, p);
    }
}

static void test_a_session_that_ended_is_renewed_once(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_read_t read = read_one(r, "Opportunity", DEAL, "Name");

    expect(&read.result, CS_CLASS_OK, NULL);
    control(&sim, "POST", "tokens", "{\"revoke\":true}", p);
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(read.calls, 2);
    assert_int_equal(seen(&sim, "POST", "/services/oauth2/token", p), 2);
    fault(&sim, "{\"path\":\"/services/data\",\"fault\":\"status\",\"status\":401,\"times\":0}", p);
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_SUSPEND, "salesforce:INVALID_SESSION_ID");
    assert_int_equal(seen(&sim, "POST", "/services/oauth2/token", p), 3);
    control(&sim, "DELETE", "faults", NULL, p);
    fault(&sim,
          "{\"path\":\"/services/data\",\"fault\":\"status\",\"status\":401,\"times\":0,\"body\":"
          "[{\"errorCode\":\"INVALID_SESSION_ID\",\"message\":\"This session is not valid for use "
          "with the REST API\"}]}",
          p);
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_SUSPEND, "salesforce:INVALID_SESSION_ID");
    assert_int_equal(read.calls, 1);
    assert_int_equal(seen(&sim, "POST", "/services/oauth2/token", p), 3);
}

static void test_the_reserve_of_the_day_is_kept(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_whoami_t who;
    cs_result_t res = {0};
    cs_crm_read_t read;

    control(&sim, "POST", "limits", "{\"used\":9499,\"max\":10000}", p);
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_OK, NULL);
    control(&sim, "DELETE", "requests", NULL, p);
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_SUSPEND, "quota:daily");
    assert_true(read.result.retry_at == 0);
    assert_has(read.result.detail, "9500 of 10000");
    assert_has(read.result.detail, "500 are kept");
    assert_int_equal(api_calls(p), 0);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "quota:daily");
    control(&sim, "POST", "limits", "{\"used\":9000,\"max\":10000}", p);
    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_OK, NULL);
    /* and when it says so itself */
    r->up.reserve = 0;
    control(&sim, "POST", "limits", "{\"used\":10000,\"max\":10000}", p);
    read = read_one(r, "Opportunity", DEAL, "Name");
    expect(&read.result, CS_CLASS_SUSPEND, "quota:daily");
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_SUSPEND, "quota:daily");
    control(&sim, "POST", "limits", "{\"used\":0,\"max\":1000000,\"concurrent\":1}", p);
    assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
    expect(&res, CS_CLASS_THROTTLED, "throttled");
    assert_true(res.retry_at > cs_time_now());
}

static void test_refused_values(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_write_t w;

    control(&sim, "POST", "quirks",
            "{\"table\":\"Opportunity\",\"column\":\"NextStep\",\"quirk\":\"refuse\",\"values\":["
            "\"bad\"],\"message\":\"not like this\"}",
            p);
    w = write_one(r, CS_CRM_UPDATE, "Opportunity", DEAL, NULL, "{\"NextStep\":\"bad\"}", "Name");
    expect(&w.result, CS_CLASS_DATA, "salesforce:FIELD_CUSTOM_VALIDATION_EXCEPTION");
    assert_string_equal(w.result.blames, "NextStep");
    assert_string_equal(w.result.said, "not like this");
    w = write_one(
        r, CS_CRM_UPDATE, "Opportunity", DEAL, NULL,
        apr_pstrcat(
            p, "{\"Name\":\"",
            apr_pstrcat(p, "0123456789012345678901234567890123456789012345678901234567890123456789",
                        "0123456789012345678901234567890123456789012345678901234567890123456789",
                        NULL),
            "\"}", NULL),
        NULL);
    expect(&w.result, CS_CLASS_DATA, "salesforce:STRING_TOO_LONG");
    assert_string_equal(w.result.blames, "Name");
    w = write_one(r, CS_CRM_UPDATE, "Opportunity", DEAL, NULL, "{\"IsWon\":true}", NULL);
    expect(&w.result, CS_CLASS_DATA, NULL);
    assert_string_equal(w.result.blames, "IsWon");
    w = write_one(r, CS_CRM_CREATE, "Opportunity", "x", NULL, "{\"Name\":\"x\"}", NULL);
    expect(&w.result, CS_CLASS_DATA, "salesforce:REQUIRED_FIELD_MISSING");
    control(&sim, "DELETE", "quirks", NULL, p);
    w = write_one(r, CS_CRM_CALL, "Opportunity", DEAL, NULL, "{}", NULL);
    expect(&w.result, CS_CLASS_REFUSED, "config:call");
}

static void test_duplicates(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    cs_crm_write_t w;

    control(&sim, "POST", "duplicate-rules",
            "{\"table\":\"Account\",\"rules\":[[\"Name\"]],\"allowSave\":true,\"message\":\"Use "
            "one of these?\"}",
            p);
    w = write_one(r, CS_CRM_CREATE, "Account", "x", NULL, "{\"Name\":\"Litware\"}", "Name");
    expect(&w.result, CS_CLASS_DUPLICATE, "salesforce:DUPLICATES_DETECTED");
    assert_has(w.result.detail, LITWARE);
    assert_string_equal(w.result.said, "Use one of these?");
    control(&sim, "POST", "duplicate-rules", "{\"table\":\"Account\",\"rules\":[]}", p);
    w = write_one(r, CS_CRM_CREATE, "Account", "x", NULL, "{\"Name\":\"Litware 2\"}", "Name");
    expect(&w.result, CS_CLASS_OK, NULL);
    assert_non_null(w.record);
    assert_int_equal(w.calls, 2);
}

static void test_merged_and_converted(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(p);
    const json_t *rows = control(&sim, "POST", "bulk/Lead",
                                 "[{\"LastName\":\"One\",\"Company\":\"C\"},{\"LastName\":\"Two\","
                                 "\"Company\":\"C\"}]",
                                 p);
    const char *one = cs_json_str(json_array_get(rows, 0), "Id"),
               *two = cs_json_str(json_array_get(rows, 1), "Id");
    cs_crm_read_t read;
    cs_crm_write_t w;

    later(5, p);
    control(
        &sim, "POST", "merge",
        apr_psprintf(p, "{\"table\":\"Lead\",\"target\":\"%s\",\"subordinate\":\"%s\"}", one, two),
        p);
    read = read_one(r, "Lead", two, "LastName $state");
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_string_equal(read.record->id, one);
    assert_string_equal(cs_json_print(read.record->row, p), "{\"$state\":0,\"LastName\":\"One\"}");
    w = write_one(r, CS_CRM_UPDATE, "Lead", two, NULL, "{\"LastName\":\"x\"}", NULL);
    expect(&w.result, CS_CLASS_GONE, NULL);
    control(&sim, "POST", "convert", apr_psprintf(p, "{\"lead\":\"%s\",\"opportunity\":true}", one),
            p);
    read = read_one(r, "Lead", one, "ConvertedOpportunityId $state");
    expect(&read.result, CS_CLASS_OK, NULL);
    assert_int_equal(cs_json_int(read.record->row, "$state", -1), 1);
    assert_non_null(cs_json_str(cs_json_get(read.record->row, "ConvertedOpportunityId"), "id"));
    w = write_one(r, CS_CRM_UPDATE, "Lead", one, NULL, "{\"LastName\":\"x\"}", NULL);
    expect(&w.result, CS_CLASS_CONFLICT, "salesforce:CANNOT_UPDATE_CONVERTED_LEAD");
}

/* ---- all ---- */

static int start_all(void **state)
{
    const char *const args[] = {"salesforce", "--with-stdin", NULL};

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return apr_pool_create(&all, NULL) || start_sim(&sim, "tests/sandbox/salesforce", args) ||
           cs_http_create(&control_http, "control", all);
}

static int stop_all(void **state)
{
    (void)state;
    stop_sim(&sim);
    apr_pool_destroy(all);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_TEST(test_whoami_and_a_foreign_organisation),
        LIVE_TEST(test_pulse_costs_nothing),
        LIVE_TEST(test_another_instance_is_not_used),
        LIVE_TEST(test_sign_in_problems_suspend),
        LIVE_TEST(test_a_key_signs_in),
        LIVE_TEST(test_create_read_update),
        LIVE_TEST(test_lists_are_read_in_the_same_request),
        LIVE_TEST(test_a_hidden_column_is_unreadable),
        LIVE_TEST(test_find_by_ordered_keys),
        LIVE_TEST(test_a_burst_is_few_requests),
        LIVE_TEST(test_faults),
        LIVE_TEST(test_a_session_that_ended_is_renewed_once),
        LIVE_TEST(test_the_reserve_of_the_day_is_kept),
        LIVE_TEST(test_refused_values),
        LIVE_TEST(test_duplicates),
        LIVE_TEST(test_merged_and_converted),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, start_all, stop_all));
}
