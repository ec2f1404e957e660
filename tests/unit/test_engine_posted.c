/* New referrals: what the deal says before a POST leaves and after its answer, what is searched for, what a crash, a silence and a refusal leave behind. */
#include "unit_engine.h"

#include <sys/wait.h>

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/counter.h"
#include "mod_cosell/engine/apply.h"

#define RECORD "bbbbbbbb-0000-4000-8000-%012d"

static cs_batch_t *batch;

/* ---- a batch of its own making ---- */

static void begin_batch(void)
{
    cs_result_t res = {0};
    const char *node;

    assert_ok(cs_store_node(W->lane->store, &node, W->p, &res));
    if (!cs_lane_leased(W->lane)) {
        assert_ok(cs_lane_lease_take(W->lane, W->lane->store, node, W->p, &res));
    }
    assert_ok(cs_lane_facts_load(W->lane, W->p, &res));
    batch = apr_pcalloc(W->p, sizeof(*batch));
    batch->lane = W->lane;
    batch->p = W->p;
    batch->now = cs_time_now();
    batch->items = apr_array_make(W->p, 4, sizeof(cs_item_t *));
    batch->changes = apr_array_make(W->p, 4, sizeof(cs_change_t));
}

static void begin(apr_pool_t *p)
{
    new_world(p);
    begin_lane();
    begin_batch();
}

static const char *record_id(int n)
{
    return apr_psprintf(W->p, RECORD, n);
}

/* A deal of record n, as it is when its record was met. */
static cs_deal_t *reserve(int n)
{
    apr_array_header_t *changes = apr_array_make(W->p, 2, sizeof(cs_change_t));
    cs_deal_t *deal = apr_pcalloc(W->p, sizeof(*deal));
    cs_change_t *change;
    cs_lease_t lease = cs_lane_lease(W->lane);

    deal->site = SITE;
    deal->crm = CRM_NAME;
    deal->kind = deal->table = "opportunity";
    deal->record_id = record_id(n);
    deal->created = deal->updated = cs_time_now();
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_DEAL;
    change->deal = deal;
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_ALIAS;
    change->deal = deal;
    change->system = CRM_NAME;
    change->name = deal->record_id;
    assert_ok(cs_store_write(W->lane->store, &lease, changes, W->p, NULL));
    put_row("opportunity", deal->record_id, "{'name':'Ours','cosell_sync':true,'statecode':0,'statuscode':1}");
    return deal;
}

static cs_item_t *add_item(cs_deal_t *deal, const char *call, json_t *document)
{
    cs_item_t *item = apr_pcalloc(W->p, sizeof(*item));
    cs_step_t *step = apr_pcalloc(W->p, sizeof(*step));

    item->work = apr_pcalloc(W->p, sizeof(*item->work));
    item->work->name = apr_psprintf(W->p, "deal:%d", (int)deal->id);
    item->work->hints = cs_json_own(json_object(), W->p);
    item->deal = deal;
    item->journal = apr_array_make(W->p, 2, sizeof(cs_journal_t *));
    item->plan = apr_pcalloc(W->p, sizeof(*item->plan));
    item->plan->what = CS_PLAN_STEPS;
    item->plan->steps = apr_array_make(W->p, 2, sizeof(cs_step_t *));
    item->plan->intent = js(W->p, "{'steps':[]}");
    item->applied = apr_pcalloc(W->p, sizeof(cs_applied_t) * 4);
    step->kind = CS_STEP_POST_PC;
    step->send = 1;
    step->call = call;
    step->columns = document;
    step->after = -1;
    step->lines = apr_array_make(W->p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(item->plan->steps, cs_step_t *) = step;
    APR_ARRAY_PUSH(batch->items, cs_item_t *) = item;
    return item;
}

static json_t *document_of(const cs_deal_t *deal)
{
    return js(W->p, apr_psprintf(W->p, "{'name':'Ours','externalReferenceId':'%s'}", deal->record_id));
}

static cs_item_t *add_own(cs_deal_t *deal)
{
    return add_item(deal, "own", document_of(deal));
}

static apr_status_t apply(void)
{
    cs_result_t res = {0};

    return cs_batch_apply_pc(batch, &res);
}

static cs_deal_t *stored(int n)
{
    return deal_of_row(record_id(n));
}

static json_t *entry(int n, const char *which)
{
    return json_object_get(stored(n)->posted, which);
}

static const char *state_of(int n, const char *which)
{
    return cs_json_str(entry(n, which), "state");
}

static referral_t *made(int i)
{
    assert_true(i < W->referrals);
    return &W->referral[i];
}

/* ---- made ---- */

static const char *state_meanwhile, *request_meanwhile;

static void look_at_the_store(void)
{
    state_meanwhile = state_of(1, "own");
    request_meanwhile = cs_json_str(entry(1, "own"), "request");
    assert_non_null(stored(1)->intent);
}

static void test_it_is_said_before_it_leaves_and_known_at_once(void **state)
{
    cs_item_t *item;

    begin(*state);
    item = add_own(reserve(1));
    W->meanwhile_post = look_at_the_store;
    assert_ok(apply());
    assert_string_equal(state_meanwhile, "sent");
    assert_non_null(request_meanwhile);
    assert_int_equal(W->searches, 1);
    assert_int_equal(W->posts, 1);
    assert_true(item->applied[0].done && !item->applied[0].found);
    assert_string_equal(item->applied[0].card->id, made(0)->id);
    assert_string_equal(stored(1)->referral_id, made(0)->id);
    assert_string_equal(stored(1)->engagement_id, made(0)->engagement);
    assert_int_equal(deal_of(made(0))->id, stored(1)->id);
    assert_string_equal(state_of(1, "own"), "done");
    assert_string_equal(cs_json_str(entry(1, "own"), "id"), made(0)->id);
    assert_string_equal(cs_json_str(entry(1, "own"), "request"), request_meanwhile);
    assert_non_null(stored(1)->intent); /* until it is settled */
    assert_true(item->posted);
    assert_false(item->over);
}

static void test_what_is_there_is_not_made_again(void **state)
{
    cs_deal_t *deal;
    referral_t *r;
    cs_item_t *item;

    begin(*state);
    deal = reserve(1);
    r = new_referral();
    set_member(r, "/externalReferenceId", apr_psprintf(W->p, "'%s'", deal->record_id));
    item = add_own(deal);
    assert_ok(apply());
    assert_int_equal(W->posts, 0);
    assert_true(item->applied[0].done && item->applied[0].found);
    assert_string_equal(stored(1)->referral_id, r->id);
    assert_string_equal(state_of(1, "own"), "done");
}

static void test_many_are_made_in_portions(void **state)
{
    int i;

    begin(*state);
    for (i = 0; i < 20; i++) {
        add_own(reserve(i));
    }
    assert_ok(apply());
    assert_int_equal(W->posts, 20);
    for (i = 0; i < 20; i++) {
        assert_string_equal(state_of(i, "own"), "done");
        assert_non_null(referral_by_id(stored(i)->referral_id));
    }
}

static void test_microsofts_card_is_made_once(void **state)
{
    json_t *document;
    cs_deal_t *deal;
    cs_item_t *item;
    int i;

    begin(*state);
    add_own(deal = reserve(1));
    assert_ok(apply());
    document = js(W->p, apr_psprintf(W->p, "{'engagementId':'%s'}", made(0)->engagement));
    for (i = 0; i < 2; i++) {
        begin_batch();
        item = add_item(deal, "connected", document);
        assert_ok(apply());
        assert_int_equal(W->posts, 2); /* the own one and Microsoft's */
        assert_int_equal(item->applied[0].found, i);
        assert_string_equal(item->applied[0].card->organization_id, "msft");
        assert_string_equal(state_of(1, "connected"), "done");
        assert_string_equal(stored(1)->referral_id, made(0)->id);
        assert_int_equal(deal_of(made(1))->id, stored(1)->id);
    }
}

/* ---- not heard of ---- */

static void test_sharing_that_is_refused_refuses_the_invitation_alone(void **state)
{
    cs_item_t *item;
    cs_step_t *share;
    referral_t *r;

    begin(*state);
    r = new_referral();
    item = add_item(reserve(1), "connected", js(W->p, "{'name':'Ours','engagementId':'eeeeeeee-0000-4000-8000-000000000077'}"));
    item->deal->engagement_id = "eeeeeeee-0000-4000-8000-000000000077";
    item->deal->referral_id = r->id;
    share = apr_pcalloc(W->p, sizeof(*share));
    share->kind = CS_STEP_PATCH_PC;
    share->send = 1;
    share->id = r->id;
    share->guard = "\"1\"";
    share->columns = js(W->p, "[{'op':'replace','path':'/consent/consentToShareReferralWithMicrosoftSellers','value':true}]");
    share->after = -1;
    share->lines = apr_array_make(W->p, 1, sizeof(const char *));
    APR_ARRAY_IDX(item->plan->steps, 0, cs_step_t *)->after = 1;
    APR_ARRAY_PUSH(item->plan->steps, cs_step_t *) = share;
    W->pc_refuses = "/consent/consentToShareReferralWithMicrosoftSellers";
    assert_ok(apply());
    assert_int_equal(W->posts, 0);
    assert_false(item->over); /* the CRM's part goes on */
    assert_true(item->posted);
    assert_string_equal(cs_json_str(json_object_get(item->deal->posted, "connected"), "state"), "refused");
}

/* Two referrals of ours may be in one engagement. */
static void test_microsoft_is_invited_once_by_two_referrals(void **state)
{
    static const char document[] = "{'name':'Ours','engagementId':'eeeeeeee-0000-4000-8000-000000000077'}";
    cs_item_t *first, *second;
    cs_card_t *card;

    begin(*state);
    first = add_item(reserve(1), "connected", js(W->p, document));
    second = add_item(reserve(2), "connected", js(W->p, document));
    first->deal->engagement_id = second->deal->engagement_id = "eeeeeeee-0000-4000-8000-000000000077";
    first->deal->referral_id = "0f0a4b6e-0000-4000-8000-000000000901";
    second->deal->referral_id = "0f0a4b6e-0000-4000-8000-000000000902";
    assert_ok(apply());
    assert_int_equal(W->posts, 1);
    assert_true(second->over && !second->quiet);
    assert_int_equal(second->result.cls, CS_CLASS_THROTTLED);
    /* Later, and lists do not show its card yet. */
    W->list_lags = 1;
    begin_batch();
    second = add_item(stored(2), "connected", js(W->p, document));
    second->deal->engagement_id = "eeeeeeee-0000-4000-8000-000000000077";
    card = apr_pcalloc(W->p, sizeof(*card));
    card->id = "0f0a4b6e-0000-4000-8000-000000000901";
    second->siblings = apr_array_make(W->p, 1, sizeof(cs_card_t *));
    APR_ARRAY_PUSH(second->siblings, cs_card_t *) = card;
    first->deal = stored(1);
    {
        apr_array_header_t *changes = apr_array_make(W->p, 1, sizeof(cs_change_t));
        cs_change_t *change = apr_array_push(changes);
        cs_lease_t lease = cs_lane_lease(W->lane);

        memset(change, 0, sizeof(*change));
        change->kind = CS_CHANGE_ALIAS;
        change->deal = first->deal;
        change->system = CS_SYSTEM_PC;
        change->name = card->id;
        assert_ok(cs_store_write(W->lane->store, &lease, changes, W->p, NULL));
    }
    assert_ok(apply());
    assert_int_equal(W->posts, 1);
    assert_null(state_of(2, "connected"));
}

static void pass_ten_minutes(void)
{
    pass_seconds(600);
}

/* The waiting begins when it was not answered, however long it took to leave. */
static void test_silence_begins_with_the_answer_that_fails(void **state)
{
    begin(*state);
    add_own(reserve(1));
    W->posts_end = CS_CLASS_UNKNOWN;
    W->meanwhile_post = pass_ten_minutes;
    assert_ok(apply());
    assert_string_equal(state_of(1, "own"), "sent");
    assert_true(cs_json_int(entry(1, "own"), "at", 0) > cs_time_now() - 60 * SEC);
}

/* What both find has one deal; a transaction that says otherwise would fail again and again. */
static void test_microsofts_card_is_found_by_two_referrals(void **state)
{
    static const char engagement[] = "eeeeeeee-0000-4000-8000-000000000077";
    cs_item_t *items[2];
    int i;

    begin(*state);
    new_referral_of("msft", engagement);
    for (i = 0; i < 2; i++) {
        items[i] = add_item(reserve(i + 1), "find-connected", js(W->p, apr_psprintf(W->p, "{'engagementId':'%s'}", engagement)));
        items[i]->deal->engagement_id = engagement;
        items[i]->deal->referral_id = apr_psprintf(W->p, "0f0a4b6e-0000-4000-8000-00000000090%d", i);
        items[i]->deal->posted = js(W->p, "{'connected':{'state':'sent','at':1}}");
    }
    assert_ok(apply());
    assert_string_equal(state_of(1, "connected"), "done");
    assert_string_equal(state_of(2, "connected"), "done");
}

/* Microsoft's card is an alias of the deal that met it first: that one is no part of this. */
static void test_a_neighbour_that_knows_microsofts_card_stays_a_deal(void **state)
{
    static const char engagement[] = "eeeeeeee-0000-4000-8000-000000000077";
    apr_array_header_t *changes;
    cs_change_t *change;
    cs_lease_t lease;
    cs_deal_t *other;
    cs_item_t *item;
    referral_t *card;

    begin(*state);
    card = new_referral_of("msft", engagement);
    lease = cs_lane_lease(W->lane);
    other = apr_pcalloc(W->p, sizeof(*other));
    other->site = SITE;
    other->state = CS_DEAL_IGNORED;
    other->referral_id = "0f0a4b6e-0000-4000-8000-000000000901";
    changes = apr_array_make(W->p, 2, sizeof(cs_change_t));
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_DEAL;
    change->deal = other;
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_ALIAS;
    change->deal = other;
    change->system = CS_SYSTEM_PC;
    change->name = card->id;
    assert_ok(cs_store_write(W->lane->store, &lease, changes, W->p, NULL));
    item = add_item(reserve(1), "find-connected", js(W->p, apr_psprintf(W->p, "{'engagementId':'%s'}", engagement)));
    item->deal->engagement_id = engagement;
    item->deal->referral_id = "0f0a4b6e-0000-4000-8000-000000000902";
    item->deal->posted = js(W->p, "{'connected':{'state':'sent','at':1}}");
    assert_ok(apply());
    assert_string_equal(state_of(1, "connected"), "done");
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 2);
    assert_string_equal(deal_of(card)->referral_id, other->referral_id);
}

static void test_silence_stays_sent_and_is_searched_for(void **state)
{
    cs_item_t *item;
    cs_deal_t *deal;

    begin(*state);
    W->posts_end = CS_CLASS_UNKNOWN;
    W->list_lags = 1;
    item = add_own(deal = reserve(1));
    assert_ok(apply());
    assert_string_equal(state_of(1, "own"), "sent");
    assert_null(stored(1)->referral_id);
    assert_false(item->applied[0].done);
    assert_false(item->over); /* not a failure that is repeated: it waits for its time */
    assert_true(item->posted);
    begin_batch();
    item = add_item(deal, "find", document_of(deal));
    assert_ok(apply());
    assert_int_equal(cs_json_int(entry(1, "own"), "tries", -1), 1);
    assert_string_equal(state_of(1, "own"), "sent");
    assert_true(item->applied[0].done);
    assert_null(item->applied[0].card);
    W->list_lags = 0;
    begin_batch();
    item = add_item(deal, "find", document_of(deal));
    assert_ok(apply());
    assert_int_equal(W->posts, 1);
    assert_string_equal(state_of(1, "own"), "done");
    assert_string_equal(stored(1)->referral_id, made(0)->id);
}

static void test_search_that_fails_counts_for_nothing(void **state)
{
    cs_item_t *item;
    cs_deal_t *deal;

    begin(*state);
    W->posts_end = CS_CLASS_UNKNOWN;
    W->nothing_made = 1;
    add_own(deal = reserve(1));
    assert_ok(apply());
    W->pc_fails = CS_CLASS_RETRY;
    begin_batch();
    item = add_item(deal, "find", document_of(deal));
    assert_ok(apply());
    assert_true(item->over);
    assert_int_equal(cs_json_int(entry(1, "own"), "tries", -1), 0);
    assert_string_equal(state_of(1, "own"), "sent");
}

static void test_what_surely_did_not_leave_is_not_sent(void **state)
{
    static const cs_class_e classes[] = {CS_CLASS_RETRY, CS_CLASS_THROTTLED, CS_CLASS_SUSPEND, CS_CLASS_TOKEN};
    size_t i;

    begin(*state);
    for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        cs_item_t *item;
        begin_batch();
        W->posts_end = classes[i];
        item = add_own(reserve((int)i));
        assert_ok(apply());
        assert_null(entry((int)i, "own"));
        assert_true(item->over);
        assert_int_equal(item->result.cls, classes[i]);
        assert_string_equal(item->upstream, CS_UPSTREAM_PC);
    }
    assert_int_equal(W->referrals, 0);
}

static void test_refusal_is_kept_with_its_words(void **state)
{
    cs_item_t *item;

    begin(*state);
    W->posts_end = CS_CLASS_DATA;
    item = add_own(reserve(1));
    assert_ok(apply());
    assert_string_equal(state_of(1, "own"), "refused");
    assert_has(cs_json_str(entry(1, "own"), "why"), "no referral for you");
    assert_non_null(cs_json_str(entry(1, "own"), "digest"));
    assert_non_null(cs_json_str(entry(1, "own"), "mapping"));
    assert_false(item->over);
    assert_false(item->applied[0].done);
}

/* ---- killed ---- */

/* A process of its own makes it and dies there; what it made is there all the same. Where to die is read at the first such instant: not by the caller. */
static int killed_at(const char *point, int n)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        setenv("COSELL_TEST_CRASH", point, 1);
        begin_lane();
        begin_batch();
        add_own(reserve(n));
        apply();
        _exit(0);
    }
    assert_true(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void test_killed_at_each_instant(void **state)
{
    static const struct {
        const char *point, *state;
    } points[] = {{"post-intended:1", "sent"}, {"post-sent:1", "sent"}, {"post-known:1", "done"}};
    size_t i;

    for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        new_world(*state);
        assert_true(killed_at(points[i].point, 1));
        assert_string_equal(state_of(1, "own"), points[i].state);
        assert_int_equal(stored(1)->referral_id != NULL, !strcmp(points[i].state, "done"));
    }
}

static void test_lost_lease_posts_nothing(void **state)
{
    cs_lease_t lease = {0};

    begin(*state);
    add_own(reserve(1));
    assert_ok(cs_store_lease_take(W->store, SITE, cs_lane_lease(W->lane).owner, 60 * SEC, cs_time_now(), &lease, W->p, NULL));
    assert_int_equal(apply(), CS_ELEASE);
    assert_int_equal(W->posts + W->searches, 0);
    assert_null(stored(1)->posted);
}

/* ---- its own notice ---- */

/* The answer was lost, and Partner Center's notice of the referral comes in: it is the deal's. */
static void test_notice_of_what_was_made_joins_the_deal(void **state)
{
    apr_int64_t id;
    referral_t *r;

    begin(*state);
    W->posts_end = CS_CLASS_UNKNOWN;
    add_own(reserve(1));
    assert_ok(apply());
    id = stored(1)->id;
    r = made(0);
    set_member(r, "/status", "'New'");
    set_member(r, "/substatus", "'Pending'");
    set_member(r, "/inviteContext", "{'invitedBy':{'organizationId':'msft'}}");
    set_member(r, "/customerProfile", "{'name':'Customer'}");
    set_member(r, "/type", "'Shared'");
    set_member(r, "/qualification", "'SalesQualified'");
    W->posts_end = CS_CLASS_OK;
    notify(r);
    work();
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
    assert_int_equal(stored(1)->id, id);
    assert_string_equal(stored(1)->referral_id, r->id);
    assert_string_equal(state_of(1, "own"), "done");
    assert_string_equal(cs_json_str(entry(1, "own"), "id"), r->id);
    assert_int_equal(W->posts, 1);
    assert_int_equal(count_rows("opportunity"), 1);
}

/* Both are claimed together: the record's look must not make what its referral's look brings. */
static void test_notices_of_both_in_one_batch_make_nothing(void **state)
{
    referral_t *r;

    begin(*state);
    r = new_referral();
    set_member(r, "/externalReferenceId", apr_psprintf(W->p, "'%s'", record_id(1)));
    reserve(1);
    notify(r);
    notify_row("opportunity", record_id(1), cs_time_now());
    work();
    assert_int_equal(W->posts, 0);
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
    assert_string_equal(stored(1)->referral_id, r->id);
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
}

/* ---- the whole way ---- */

static const char both_text[] =
    "{'crm':'dynamics365','revision':'2','names':{'sync':'cosell_sync','id':'cosell_referral','status':'cosell_status','problem':'cosell_problem'},"
    "'find':{'account':{'table':'account','by':[{'name':'/customerProfile/name'}],'none':'create','create':{'name':'/customerProfile/name'}}},"
    "'records':{'opportunity':{'table':'opportunity','key':'@id',"
    "'from_pc':{'when':{'pc':'$kind','in':['co-sell','private']},'set':{'@sync':true}},'from_crm':{'when':{'crm':'@sync','is':true},'opt_out':'pause','quiet':'90s',"
    "'set':{'/customerProfile/name':'Customer','/customerProfile/address/addressLine1':'Street 1','/customerProfile/address/city':'Redmond',"
    "'/customerProfile/address/country':'US','/details/dealValue':1000,'/details/currency':'USD','/details/closingDateTime':'2030-01-01T12:00:00Z',"
    "'/consent/consentToToShareInfoWithOthers':true,'/consent/consentToContact':true,'/details/requirements/solutions[first]/id':'SOL-1',"
    "'/team[first]/email':'seller@example.com'}},"
    "'state':{'hear':[{'pc':'New','crm':{'statecode':0},'do':'wait'},{'pc':'Active','crm':{'statecode':0},'do':'stay'}],"
    "'show':{'New':{'set':{'statuscode':2}},'Active':{'set':{'statecode':0,'statuscode':1}},'Closed/Error':{'unlink':true}}},"
    "'lines':{'name':{'pc':'/name','crm':'name','type':'text','max':300,'required':true,'to_pc':{'events':['create']}},"
    "'notes':{'pc':'/details/notes','crm':'description','type':'text','max':2000},"
    "'account':{'crm':'parentaccountid','find':'account','direction':'to_crm','events':['create']}},"
    "'tell':{'id':'@id','status':'@status','problem':'@problem'}}}}";

static const cs_mapping_t *both_mapping(apr_pool_t *p)
{
    const char *text = double_quoted(p, both_text);
    cs_mapping_t *mapping = NULL;
    cs_result_t res = {0};

    if (cs_mapping_parse(&mapping, text, strlen(text), "both.json", cs_crm_facts_of("dynamics365"), NULL, p, &res)) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

/* An opted-in record that nobody knows. */
static row_t *both_world(apr_pool_t *p)
{
    row_t *row;

    new_world(p);
    W->site.crms[0].mapping = both_mapping(p);
    begin_lane();
    row = put_row("opportunity", record_id(1), "{'name':'Ours','description':'From the CRM','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    return row;
}

static const char *shown(const row_t *row, const char *column)
{
    return cs_json_str(row->row, column);
}

static void settled(void)
{
    assert_int_equal(counts_of(W->store, SITE, W->p).outstanding, 0);
    assert_int_equal(counts_of(W->store, SITE, W->p).dead, 0);
}

static void test_record_waits_for_quiet_and_becomes_a_referral(void **state)
{
    row_t *row = both_world(*state);
    int writes;

    assert_int_equal(stored(1)->state, CS_DEAL_NEW);
    assert_int_equal(W->posts, 0);
    assert_true(stored(1)->next_look > cs_time_now() + 60 * SEC && stored(1)->next_look <= cs_time_now() + 91 * SEC);
    assert_string_equal(shown(row, "cosell_status"), "Sending");
    settled();
    pass_seconds(60);
    work();
    assert_int_equal(W->posts, 0);
    pass_seconds(32);
    work();
    assert_int_equal(W->posts, 1);
    assert_string_equal(shown(row, "cosell_referral"), made(0)->id);
    assert_string_equal(cs_json_str(made(0)->doc, "name"), "Ours");
    assert_string_equal(cs_json_str(made(0)->doc, "externalReferenceId"), row->id);
    assert_int_equal(stored(1)->state, CS_DEAL_LINKED);
    assert_string_equal(stored(1)->status, "In sync");
    settled();
    writes = W->writes;
    notify(made(0));
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_int_equal(W->writes, writes); /* echoes find nothing to do */
    assert_int_equal(W->posts + W->patches, 1);
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
    settled();
}

static void test_silence_on_the_whole_way(void **state)
{
    static const int waits[] = {5 * 60, 10 * 60, 45 * 60};
    row_t *row = both_world(*state);
    int i;

    W->posts_end = CS_CLASS_UNKNOWN;
    W->list_lags = 1;
    pass_seconds(92);
    work();
    assert_int_equal(W->posts, 1);
    assert_string_equal(state_of(1, "own"), "sent");
    settled();
    for (i = 0; i < 3; i++) {
        int searches = W->searches;
        pass_seconds(waits[i] - 20);
        work();
        assert_int_equal(W->searches, searches);
        if (i == 2) {
            W->list_lags = 0;
        }
        pass_seconds(25);
        work();
        assert_int_equal(W->searches, searches + 1);
    }
    assert_int_equal(W->posts, 1);
    assert_int_equal(W->referrals, 1);
    assert_string_equal(shown(row, "cosell_referral"), made(0)->id);
    assert_int_equal(stored(1)->state, CS_DEAL_LINKED);
    settled();
}

static void test_nothing_was_made_and_it_is_made_again(void **state)
{
    both_world(*state);
    W->posts_end = CS_CLASS_UNKNOWN;
    W->nothing_made = 1;
    pass_seconds(92);
    work();
    W->posts_end = CS_CLASS_OK;
    pass_seconds(59 * 60);
    work();
    assert_int_equal(W->posts, 1);
    pass_seconds(2 * 60);
    work();
    assert_int_equal(W->posts, 2);
    assert_int_equal(W->referrals, 1);
    assert_string_equal(stored(1)->referral_id, made(0)->id);
    settled();
}

static void test_refused_is_posted_again_when_it_has_changed(void **state)
{
    row_t *row = both_world(*state);

    W->posts_end = CS_CLASS_DATA;
    pass_seconds(92);
    work();
    assert_int_equal(W->posts, 1);
    assert_has(shown(row, "cosell_problem"), "no referral for you");
    pass_seconds(24 * 3600);
    work();
    assert_int_equal(W->posts, 1);
    W->posts_end = CS_CLASS_OK;
    edit_row(row, "{'name':'Ours, better'}");
    work();
    pass_seconds(92);
    work();
    assert_int_equal(W->posts, 2);
    assert_string_equal(shown(row, "cosell_referral"), made(0)->id);
    settled();
}

/* The version that our own write was answered with equals no other: what it was of is known all the same. */
static void test_own_young_write_is_no_edit(void **state)
{
    apr_pool_t *p = *state;
    row_t *row;
    apr_time_t due;
    int writes;

    new_world(p);
    W->young_writes = 1;
    W->site.crms[0].mapping = both_mapping(p);
    begin_lane();
    row = put_row("opportunity", record_id(1), "{'name':'Ours','description':'From the CRM','cosell_sync':true,'statecode':0,'statuscode':1}");
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_has(stored(1)->crm_version, "~");
    assert_string_equal(shown(row, "cosell_status"), "Sending");
    due = stored(1)->next_look;
    writes = W->writes;
    pass_seconds(40);
    row->modified = cs_time_now() - 39 * SEC;
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_true(stored(1)->next_look <= due + SEC);
    assert_int_equal(W->writes, writes);
    /* Refused: the notice of what we told of it does not ask for it again. */
    W->posts_end = CS_CLASS_DATA;
    pass_seconds(60);
    work();
    assert_int_equal(W->posts, 1);
    assert_has(shown(row, "cosell_problem"), "no referral for you");
    assert_has(stored(1)->crm_version, "~");
    notify_row("opportunity", row->id, row->modified);
    work();
    assert_int_equal(W->posts, 1);
    /* An edit does. */
    W->posts_end = CS_CLASS_OK;
    edit_row(row, "{'name':'Ours, better'}");
    work();
    pass_seconds(92);
    work();
    assert_int_equal(W->posts, 2);
}

/* And then both ways. */
static void test_edit_of_the_record_reaches_the_referral(void **state)
{
    row_t *row = both_world(*state);

    pass_seconds(92);
    work();
    edit_row(row, "{'description':'Edited by the seller'}");
    work();
    if (W->patches) {
        assert_int_equal(W->patches, 1);
        assert_string_equal(json_string_value(cs_json_pointer(made(0)->doc, "/details/notes")), "Edited by the seller");
        assert_true(cs_lag_get(CS_LAG_TO_PC, CS_LAG_BUCKETS - 1) > 0);
    }
    settled();
}

/* ---- copies ---- */

static void test_copy_of_a_record_loses_the_referrals_id(void **state)
{
    row_t *row = both_world(*state), *copy;

    pass_seconds(92);
    work();
    copy = put_row("opportunity", record_id(2), cs_json_print(row->row, W->p));
    notify_row("opportunity", copy->id, copy->modified);
    work();
    assert_null(shown(copy, "cosell_referral"));
    assert_true(json_is_false(json_object_get(copy->row, "cosell_sync")));
    assert_null(deal_of_row(copy->id));
    assert_int_equal(counts_of(W->store, SITE, W->p).deals, 1);
    assert_int_equal(journal_lines("copy"), 1);
    assert_string_equal(shown(row, "cosell_referral"), made(0)->id);
    settled();
    /* Switched on again it is a deal of its own. */
    edit_row(copy, "{'cosell_sync':true}");
    work();
    pass_seconds(92);
    work();
    assert_int_equal(W->posts, 2);
    assert_string_equal(shown(copy, "cosell_referral"), made(1)->id);
    settled();
}

static void test_record_that_takes_a_deleted_ones_place_is_for_a_person(void **state)
{
    row_t *row = both_world(*state), *other;
    int i;

    pass_seconds(92);
    work();
    other = put_row("opportunity", record_id(2), cs_json_print(row->row, W->p));
    row = row_by_id("opportunity", record_id(1));
    row->row = NULL;
    for (i = 0; i < 2; i++) {
        notify_row("opportunity", other->id, other->modified);
        work();
    }
    assert_int_equal(journal_lines("relink"), 1);
    assert_has(stored(1)->problem, other->id);
    assert_string_equal(shown(other, "cosell_referral"), made(0)->id);
    settled();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_killed_at_each_instant), /* before anything passes such an instant in this process */
        UNIT_TEST(test_it_is_said_before_it_leaves_and_known_at_once),
        UNIT_TEST(test_what_is_there_is_not_made_again),
        UNIT_TEST(test_many_are_made_in_portions),
        UNIT_TEST(test_microsofts_card_is_made_once),
        UNIT_TEST(test_sharing_that_is_refused_refuses_the_invitation_alone),
        UNIT_TEST(test_microsoft_is_invited_once_by_two_referrals),
        UNIT_TEST(test_silence_begins_with_the_answer_that_fails),
        UNIT_TEST(test_microsofts_card_is_found_by_two_referrals),
        UNIT_TEST(test_a_neighbour_that_knows_microsofts_card_stays_a_deal),
        UNIT_TEST(test_silence_stays_sent_and_is_searched_for),
        UNIT_TEST(test_search_that_fails_counts_for_nothing),
        UNIT_TEST(test_what_surely_did_not_leave_is_not_sent),
        UNIT_TEST(test_refusal_is_kept_with_its_words),
        UNIT_TEST(test_lost_lease_posts_nothing),
        UNIT_TEST(test_notice_of_what_was_made_joins_the_deal),
        UNIT_TEST(test_notices_of_both_in_one_batch_make_nothing),
        UNIT_TEST(test_record_waits_for_quiet_and_becomes_a_referral),
        UNIT_TEST(test_silence_on_the_whole_way),
        UNIT_TEST(test_nothing_was_made_and_it_is_made_again),
        UNIT_TEST(test_refused_is_posted_again_when_it_has_changed),
        UNIT_TEST(test_own_young_write_is_no_edit),
        UNIT_TEST(test_edit_of_the_record_reaches_the_referral),
        UNIT_TEST(test_copy_of_a_record_loses_the_referrals_id),
        UNIT_TEST(test_record_that_takes_a_deleted_ones_place_is_for_a_person),
    };

    return clock_setup() ? 2 : UNIT_RUN(tests);
}
