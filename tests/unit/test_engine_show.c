/* Both sides of one deal and what a look would do: read, and nothing written. */
#include "unit_engine.h"

static const json_t *show(const char *what)
{
    const char *id = ask_for("show", apr_psprintf(W->p, "{'id':'%s'}", what));
    const cs_job_t *job;

    work();
    job = job_of(id);
    if (job->state != CS_JOB_DONE) {
        fail_msg("state %d: %s", job->state, cs_json_print(job->result, W->p));
    }
    return job->result;
}

static const char *member(const json_t *result, const char *object, const char *name)
{
    const char *text = cs_json_str(json_object_get(result, object), name);

    return text ? text : "";
}

static const json_t *change_of(const json_t *result, const char *line)
{
    const json_t *changes = json_object_get(result, "changes"), *change;
    size_t i;

    json_array_foreach((json_t *)changes, i, change) {
        if (!strcmp(cs_json_str(change, "line"), line)) {
            return change;
        }
    }
    fail_msg("no change of %s in %s", line, cs_json_print(changes, W->p));
    return NULL;
}

typedef struct untouched_t {
    int writes, patches, posts, journal;
    apr_int64_t deals;
} untouched_t;

static int journal_of_all(void)
{
    apr_array_header_t *list;

    assert_ok(cs_store_journal_list(W->store, SITE, 0, 2000, &list, W->p, NULL));
    return list->nelts;
}

static untouched_t now(void)
{
    untouched_t u = {W->writes, W->patches, W->posts, journal_of_all(), counts_of(W->store, SITE, W->p).deals};

    return u;
}

static void assert_untouched(const untouched_t *before)
{
    untouched_t after = now();

    assert_int_equal(after.writes, before->writes);
    assert_int_equal(after.patches, before->patches);
    assert_int_equal(after.posts, before->posts);
    assert_int_equal(after.journal, before->journal);
    assert_true(after.deals == before->deals);
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
}

static void test_deal_in_sync_by_each_of_its_names(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    const cs_deal_t *deal;
    untouched_t before;
    const char *names[4];
    int i;

    new_world(p);
    live_with(3);
    deal = deal_of(&W->referral[1]);
    names[0] = apr_psprintf(p, "%d", (int)deal->id);
    names[1] = W->referral[1].id;
    names[2] = W->referral[1].engagement;
    names[3] = deal->record_id;
    before = now();
    for (i = 0; i < 4; i++) {
        result = show(names[i]);
        assert_has(cs_json_str(result, "text"), "nothing is to be written");
        assert_int_equal(cs_json_int(json_object_get(result, "deal"), "id", 0), deal->id);
        assert_string_equal(member(result, "deal", "state"), "linked");
        assert_string_equal(member(result, "partner_center", "name"), "Deal 1");
        assert_string_equal(member(result, "record", "id"), deal->record_id);
        assert_string_equal(cs_json_str(json_object_get(json_object_get(result, "record"), "row"), "name"), "Deal 1");
        assert_true(json_is_null(json_object_get(result, "microsoft")));
        assert_string_equal(member(result, "plan", "what"), "nothing");
        assert_int_equal(json_array_size(json_object_get(result, "changes")), 0);
        assert_true(cs_json_int(result, "calls", 0) >= 2);
    }
    assert_untouched(&before);
    assert_true(deal_of(&W->referral[1])->updated == deal->updated);
}

static void test_what_would_change(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    untouched_t before;
    int gets;

    new_world(p);
    live_with(1);
    new_referral_of("msft", W->referral[0].engagement);
    set_member(&W->referral[0], "/name", "'Another name'");
    before = now();
    gets = W->gets;
    result = show(W->referral[0].id);
    assert_has(cs_json_str(result, "text"), "would write 1 to the CRM (name)");
    assert_string_equal(cs_json_str(change_of(result, "name"), "to"), "Another name");
    assert_string_equal(cs_json_str(change_of(result, "name"), "from"), "Deal 0");
    assert_string_equal(cs_json_str(change_of(result, "name"), "direction"), "to_crm");
    assert_string_equal(member(result, "microsoft", "organizationId"), "msft");
    assert_string_equal(member(result, "plan", "what"), "steps");
    assert_true(W->gets > gets);
    assert_null(deal_of(&W->referral[0])->intent);
    assert_untouched(&before);
    notify(&W->referral[0]); /* and a look does just that */
    work();
    assert_string_equal(cs_json_str(row_by_id("opportunity", deal_of(&W->referral[0])->record_id)->row, "name"), "Another name");
}

static void test_referral_nobody_knows(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    untouched_t before;
    const char *id;
    referral_t *r;

    new_world(p);
    live_with(1);
    r = new_referral();
    before = now();
    result = show(r->id);
    assert_has(cs_json_str(result, "text"), "no look has met this referral yet");
    assert_has(cs_json_str(result, "text"), "to the CRM");
    assert_true(json_is_null(json_object_get(json_object_get(result, "deal"), "id")));
    assert_string_equal(member(result, "partner_center", "id"), r->id);
    assert_true(json_is_null(json_object_get(result, "record")));
    change_of(result, "$record");
    assert_untouched(&before);
    assert_null(deal_of(r));
    set_member(r, "/inviteContext", "null");
    set_member(r, "/qualification", "'Direct'");
    set_member(r, "/type", "'Independent'");
    result = show(r->id);
    assert_true(json_is_null(json_object_get(result, "plan"))); /* it is left alone */
    assert_non_null(cs_json_str(result, "meeting"));
    assert_untouched(&before);
    result = show("0f0a4b6e-0000-4000-8000-999999999999");
    assert_has(cs_json_str(result, "text"), "no such referral");
    id = ask_for("show", "{'id':'nonsense'}");
    work();
    assert_int_equal(job_of(id)->state, CS_JOB_FAILED);
    assert_has(cs_json_str(job_of(id)->result, "error"), "nonsense");
    assert_untouched(&before);
}

/* Before anybody was met it is not known who we are: asking does not decide it. */
static void test_own_organization_is_not_learnt_by_asking(void **state)
{
    apr_pool_t *p = *state;
    referral_t *r;

    new_world(p);
    W->site.pc.organization = NULL;
    begin_lane();
    r = new_referral();
    change_of(show(r->id), "$record");
    assert_null(W->lane->organization);
    assert_null(fact("organization"));
}

static void test_upstream_that_does_not_answer(void **state)
{
    apr_pool_t *p = *state;
    const json_t *result;
    untouched_t before;

    new_world(p);
    live_with(1);
    before = now();
    W->crm_fails = CS_CLASS_RETRY;
    result = show(W->referral[0].id);
    assert_has(cs_json_str(result, "text"), "sales: the CRM is down");
    assert_string_equal(member(result, "problem", "upstream"), CRM_NAME);
    assert_string_equal(member(result, "partner_center", "name"), "Deal 0");
    assert_true(json_is_null(json_object_get(result, "record")));
    W->crm_fails = CS_CLASS_OK;
    W->pc_fails = CS_CLASS_RETRY;
    result = show(W->referral[0].id);
    assert_has(cs_json_str(result, "text"), "partner-center: Partner Center is down");
    assert_string_equal(member(result, "problem", "upstream"), "partner-center");
    assert_true(json_is_null(json_object_get(result, "partner_center")));
    assert_string_equal(cs_json_str(json_object_get(json_object_get(result, "record"), "row"), "name"), "Deal 0");
    W->pc_fails = CS_CLASS_OK;
    assert_untouched(&before);
    assert_null(suspended(CS_UPSTREAM_PC));
}

static void test_deals_that_rest_say_so(void **state)
{
    static const char closed[] = "'Closed'", won[] = "'Error'";
    apr_pool_t *p = *state;
    const json_t *result;
    untouched_t before;

    new_world(p);
    live_with(2);
    set_member(&W->referral[0], "/status", closed);
    set_member(&W->referral[0], "/substatus", won);
    notify(&W->referral[0]);
    work();
    assert_int_equal(deal_of(&W->referral[0])->state, CS_DEAL_UNLINKED);
    before = now();
    result = show(W->referral[0].id);
    assert_has(cs_json_str(result, "text"), "the deal is unlinked");
    assert_string_equal(member(result, "partner_center", "status"), "Closed");
    assert_string_equal(cs_json_str(json_object_get(json_object_get(result, "record"), "row"), "name"), "Deal 0");
    assert_true(json_is_null(json_object_get(result, "plan")));
    row_by_id("opportunity", deal_of(&W->referral[1])->record_id)->row = NULL;
    result = show(W->referral[1].id);
    assert_has(cs_json_str(result, "text"), "it would become gone");
    assert_int_equal(deal_of(&W->referral[1])->state, CS_DEAL_LINKED);
    assert_untouched(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_deal_in_sync_by_each_of_its_names),
        UNIT_TEST(test_what_would_change),
        UNIT_TEST(test_referral_nobody_knows),
        UNIT_TEST(test_own_organization_is_not_learnt_by_asking),
        UNIT_TEST(test_upstream_that_does_not_answer),
        UNIT_TEST(test_deals_that_rest_say_so),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
