/* The shipped profile against the simulated organisation: it fits, and a record is read by it. */
#include "unit_live.h"

#include "mod_cosell/domain/mapping_internal.h"
#include "mod_cosell/remote/crm.h"
#include "mod_cosell/remote/salesforce/salesforce.h"

#define DEAL "0065g0000000001AAA"

static sim_t sim;

static const cs_mapping_t *profile(const char *path, apr_pool_t *p)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_load(&mapping, path, &cs_salesforce_facts, &errors, p, &res) != APR_SUCCESS) {
        fail_msg("%s", apr_array_pstrcat(p, errors, '\n'));
    }
    return mapping;
}

typedef struct rig_t {
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up, login;
    cs_secret_t secret;
    cs_crm_config_t cfg;
    const cs_crm_impl_t *impl;
    cs_crm_t *crm;
} rig_t;

static rig_t *rig(apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

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
    assert_ok(r->impl->create(&r->crm, &r->cfg, r->http, &r->limiter, &r->login_limiter, p));
    return r;
}

static json_t *metadata_of(rig_t *r, const cs_mapping_t *mapping, apr_pool_t *p)
{
    json_t *metadata = NULL;
    cs_result_t res;
    int calls;

    memset(&res, 0, sizeof(res));
    if (r->impl->describe(r->crm, cs_mapping_tables(mapping), &metadata, &calls, 0, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return metadata;
}

/* Nothing is missing in an organisation that was prepared as the README says. */
static void test_the_profile_fits(void **state)
{
    const cs_mapping_t *mapping = profile("conf/mapping/salesforce.json", *state);
    const apr_array_header_t *problems = cs_mapping_compare(mapping, metadata_of(rig(*state), mapping, *state), *state);

    if (problems->nelts) {
        fail_msg("%s", apr_array_pstrcat(*state, problems, '\n'));
    }
}

/* One that was prepared otherwise is told, name by name. */
static void test_another_organisation_is_told(void **state)
{
    const cs_mapping_t *mapping = profile("conf/mapping/example-overlay-salesforce.json", *state);
    const char *said = apr_array_pstrcat(*state, cs_mapping_compare(mapping, metadata_of(rig(*state), mapping, *state), *state), '\n');

    assert_has(said, "the table Opportunity has no column acme__Referral_Identifier__c");
    assert_has(said, "the table acme__Microsoft_Solution__c does not exist or cannot be read");
    assert_has(said, "the column StageName has no choice \"Offered by Microsoft\"");
    assert_has_not(said, "record type"); /* it has one for services */
}

static apr_array_header_t *lookups_of(const cs_mapping_kind_t *kind, apr_pool_t *p)
{
    const apr_array_header_t *lookups = cs_mapping_lookups(kind);
    apr_array_header_t *out = apr_array_make(p, lookups->nelts + 1, sizeof(cs_crm_lookup_t));
    int i;

    for (i = 0; i < lookups->nelts; i++) {
        const cs_mapping_lookup_t *lookup = &APR_ARRAY_IDX(lookups, i, cs_mapping_lookup_t);
        cs_crm_lookup_t *one = &APR_ARRAY_PUSH(out, cs_crm_lookup_t);

        one->column = lookup->column;
        one->table = lookup->table;
    }
    return out;
}

/* Every column that the profile asks for is in the answer, and what lies behind the look-ups, too. */
static void test_a_record_is_read(void **state)
{
    const cs_mapping_kind_t *kind = cs_mapping_kind(profile("conf/mapping/salesforce.json", *state), "opportunity");
    const apr_array_header_t *columns = cs_mapping_columns(kind);
    cs_crm_read_t read = { .table = "Opportunity", .id = DEAL, .columns = columns, .related = cs_mapping_related(kind) };
    rig_t *r = rig(*state);
    cs_side_t side;
    int i;

    read.lookups = lookups_of(kind, *state);
    assert_ok(r->impl->read(r->crm, &read, 1, 0, *state));
    if (!read.record) {
        fail_msg("%s", read.result.detail);
    }
    for (i = 0; i < columns->nelts; i++) {
        const char *text = APR_ARRAY_IDX(columns, i, const char *), *slash = strchr(text, '/');
        json_t *value = cs_json_get(read.record->row, slash ? apr_pstrmemdup(*state, text, (apr_size_t)(slash - text)) : text);

        if (!value || (slash && !json_is_null(value) && !cs_json_get(value, slash + 1))) {
            fail_msg("%s is not in %s", text, cs_json_print(read.record->row, *state));
        }
    }
    for (i = 0; i < kind->related->nelts; i++) {
        const char *list = APR_ARRAY_IDX(kind->related, i, cs_related_t).list;

        if (!json_is_array(cs_json_get(read.record->related, list))) {
            fail_msg("the rows of %s are not in %s", list, cs_json_print(read.record->related, *state));
        }
    }
    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (!line->off) {
            cs_line_read_crm(&side, line, NULL, read.record->row, *state);
            if (!side.value || side.bad) {
                fail_msg("the line %s cannot be read: %s", line->name, side.bad ? side.bad : cs_json_print(read.record->row, *state));
            }
        }
    }
}

static int start_all(void **state)
{
    const char *const args[] = { "salesforce", "--with-stdin", NULL };

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return apr_pool_create(&all, NULL) || start_sim(&sim, "tests/sandbox/salesforce", args) || cs_http_create(&control_http, "control", all);
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
        UNIT_TEST(test_the_profile_fits),
        UNIT_TEST(test_another_organisation_is_told),
        UNIT_TEST(test_a_record_is_read),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, start_all, stop_all));
}
