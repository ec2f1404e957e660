/* A record, the shipped profile and a Partner Center in memory: referrals that are made of records.
 *
 * What the engine does around the domain is done here in the same order: "sent" is in the deal before a POST, its answer at once.
 */
#ifndef CS_TESTS_UNIT_CREATE_H
#define CS_TESTS_UNIT_CREATE_H

#include "unit_deal.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/time.h"

#define CREATE_PROFILE "conf/mapping/dynamics365.json"
#define CREATE_RECORD "5b1c9a70-0000-4000-8000-000000000001"
#define CREATE_ENGAGEMENT "65ed0000-0000-4000-8000-000000000004"
#define CREATE_MICROSOFT "0f0a4b6e-2222-4222-8333-944455566677"
#define CREATE_QUIET apr_time_from_sec(90)
#define SEC(n) apr_time_from_sec(n)

typedef enum { ANSWER_MADE = 0, ANSWER_FOUND, ANSWER_REFUSED, ANSWER_NONE, ANSWER_NOT_FOUND } answer_e;

typedef struct create_world_t {
    apr_pool_t *p;
    cs_mapping_t *mapping;
    const cs_mapping_kind_t *kind;
    json_t *row, *related, *metadata;
    int version;
    apr_time_t modified, now;
    json_t *own, *microsoft; /* documents there; NULL = none */
    answer_e answer;
    const char *refusal;
    int posts, writes, notified;
    int stopped; /* Partner Center takes no changes for a while */
    cs_deal_t deal;
    apr_array_header_t *journal;
    cs_record_t record;
    cs_card_t own_card, microsoft_card;
    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
} create_world_t;

static inline cs_mapping_t *create_mapping(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, deal_read(p, CREATE_PROFILE));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    assert_ok(cs_json_pointer_set(root, "/names/status", json_string("acme_cosellstatus")));
    assert_ok(cs_json_pointer_set(root, "/names/problem", json_string("acme_cosellproblem")));
    for (; changes && changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "test.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

#define CREATE_METADATA \
    "{\"language\":1033,\"user\":\"99999999-0000-4000-8000-000000000001\",\"tables\":{" \
    "\"opportunity\":{\"label\":\"Opportunity\",\"columns\":{" \
    "\"name\":{\"label\":\"Topic\",\"type\":\"text\",\"max\":300},\"description\":{\"label\":\"Description\",\"type\":\"memo\",\"max\":2000}," \
    "\"estimatedvalue\":{\"label\":\"Est. Revenue\",\"type\":\"money\",\"precision\":2}," \
    "\"estimatedclosedate\":{\"label\":\"Est. Close Date\",\"type\":\"date\"}," \
    "\"transactioncurrencyid\":{\"label\":\"Currency\",\"type\":\"look-up\",\"targets\":[\"transactioncurrency\"]}," \
    "\"parentaccountid\":{\"label\":\"Account\",\"type\":\"look-up\",\"targets\":[\"account\"]}," \
    "\"parentcontactid\":{\"label\":\"Contact\",\"type\":\"look-up\",\"targets\":[\"contact\"]}," \
    "\"ownerid\":{\"label\":\"Owner\",\"type\":\"look-up\",\"targets\":[\"systemuser\"]}," \
    "\"statuscode\":{\"label\":\"Status Reason\",\"type\":\"choice\",\"options\":[{\"value\":1,\"label\":\"In Progress\",\"state\":0},{\"value\":2,\"label\":\"On Hold\",\"state\":0}]}," \
    "\"msft_syncwithpartnercenter\":{\"label\":\"Sync With Partner Center\",\"type\":\"flag\"}," \
    "\"msft_referralvisibility\":{\"label\":\"Referral Visibility\",\"type\":\"flag\"}," \
    "\"msft_howcanmicrosofthelp\":{\"label\":\"How can Microsoft help?\",\"type\":\"choice\",\"options\":[" \
    "{\"value\":101,\"label\":\"Workload Specific Value Proposition\"},{\"value\":103,\"label\":\"Proof Of Concept Or Demo\"},{\"value\":106,\"label\":\"General Or Other\"}]}}}," \
    "\"account\":{\"label\":\"Account\",\"columns\":{\"name\":{\"label\":\"Account Name\"},\"address1_country\":{\"label\":\"Country\"},\"address1_city\":{\"label\":\"City\"}," \
    "\"address1_line1\":{\"label\":\"Street 1\"}}}," \
    "\"contact\":{\"label\":\"Contact\",\"columns\":{\"telephone1\":{\"label\":\"Business Phone\"}}}," \
    "\"systemuser\":{\"label\":\"User\",\"columns\":{\"address1_telephone1\":{\"label\":\"Main Phone\"}}}}}"

#define CREATE_CONTACT \
    "{\"id\":\"c0000000-0000-4000-8000-000000000001\",\"firstname\":\"Sue\",\"lastname\":\"Smith\",\"telephone1\":\"5550100\",\"emailaddress1\":\"sue@fabrikam.example\",\"jobtitle\":null}"
#define CREATE_OWNER \
    "{\"id\":\"70000000-0000-4000-8000-000000000001\",\"firstname\":\"Ann\",\"lastname\":\"Lee\",\"address1_telephone1\":\"5550101\",\"internalemailaddress\":\"ann@partner.example\"}"
#define CREATE_SOLUTIONS \
    "[{\"id\":\"50000000-0000-4000-8000-000000000001\",\"version\":\"1\",\"row\":{\"msft_solutiondetailid\":{\"id\":\"5d000000-0000-4000-8000-000000000001\",\"msft_solutionidentifier\":\"SOL-1\"}}}]"

static inline void create_edit(create_world_t *w, const char *column, const char *value)
{
    json_object_set(w->row, column, deal_json(w->p, value));
    w->version++;
    w->modified = w->now;
}

/* Complete for a private deal: every column that the mapping reads is there. */
static inline create_world_t *create_world(apr_pool_t *p, const char *const *changes)
{
    create_world_t *w = apr_pcalloc(p, sizeof(*w));
    const apr_array_header_t *columns;
    int i;

    w->p = p;
    w->mapping = create_mapping(p, changes);
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
    w->metadata = deal_json(p, CREATE_METADATA);
    w->row = cs_json_own(json_object(), p);
    columns = cs_mapping_columns(w->kind);
    for (i = 0; i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);

        if (!strchr(column, '/')) {
            json_object_set_new(w->row, column, deal_row_default(column));
        }
    }
    json_object_update(w->row,
                       deal_json(p, "{\"opportunityid\":\"" CREATE_RECORD "\",\"name\":\"Fabrikam migration\",\"description\":\"Lift and shift\",\"estimatedvalue\":50000,"
                                    "\"transactioncurrencyid\":{\"id\":\"c1000000-0000-4000-8000-000000000001\",\"isocurrencycode\":\"USD\"},\"estimatedclosedate\":\"2026-06-30\","
                                    "\"msft_syncwithpartnercenter\":true,\"parentaccountid\":{\"id\":\"ac000000-0000-4000-8000-000000000001\",\"name\":\"Fabrikam Inc\","
                                    "\"address1_line1\":\"1 Main St\",\"address1_city\":\"Redmond\",\"address1_stateorprovince\":\"WA\",\"address1_postalcode\":\"98052\","
                                    "\"address1_country\":\"United States\",\"accountnumber\":null},\"ownerid\":" CREATE_OWNER "}"));
    w->related = deal_json(p, "{\"solutions\":" CREATE_SOLUTIONS ",\"team\":[]}");
    w->journal = apr_array_make(p, 16, sizeof(cs_journal_t *));
    w->now = DEAL_NOW;
    w->modified = w->now - SEC(3600);
    w->version = 1;
    w->deal.id = 7;
    w->deal.site = "contoso";
    w->deal.crm = "sales";
    w->deal.kind = "opportunity";
    w->deal.table = "opportunity";
    w->deal.record_id = CREATE_RECORD;
    return w;
}

/* Help is asked, and there is somebody to call. */
static inline void create_asks_help(create_world_t *w)
{
    create_edit(w, "msft_howcanmicrosofthelp", "106");
    create_edit(w, "parentcontactid", CREATE_CONTACT);
}

static inline void create_see(create_world_t *w)
{
    const char *version = apr_psprintf(w->p, "W/\"%d\"", w->version);

    memset(&w->look, 0, sizeof(w->look));
    w->look.mapping = w->mapping;
    w->look.site = "contoso";
    w->look.crm = "sales";
    w->look.organization = "own";
    w->look.deal = &w->deal;
    w->look.metadata = w->metadata;
    w->look.now = w->now;
    w->look.notified = w->notified;
    w->look.record_read = 1;
    w->look.edited = w->deal.crm_version && strcmp(w->deal.crm_version, version);
    if (w->row) {
        w->record.table = "opportunity";
        w->record.id = CREATE_RECORD;
        w->record.version = version;
        w->record.modified = w->modified;
        w->record.row = w->row;
        w->record.related = w->related;
        w->look.record = &w->record;
    }
    if (w->own && w->deal.referral_id) {
        memset(&w->own_card, 0, sizeof(w->own_card));
        w->own_card.id = DEAL_REFERRAL;
        w->own_card.engagement_id = CREATE_ENGAGEMENT;
        w->own_card.organization_id = "own";
        w->own_card.etag = "\"1\"";
        w->own_card.doc = w->own;
        w->look.own = &w->own_card;
    }
    if (w->microsoft && w->deal.referral_id) {
        memset(&w->microsoft_card, 0, sizeof(w->microsoft_card));
        w->microsoft_card.id = CREATE_MICROSOFT;
        w->microsoft_card.engagement_id = CREATE_ENGAGEMENT;
        w->microsoft_card.organization_id = "msft";
        w->microsoft_card.etag = "\"1\"";
        w->microsoft_card.doc = w->microsoft;
        w->look.microsoft = &w->microsoft_card;
    }
}

static inline cs_plan_t *create_plan(create_world_t *w)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    create_see(w);
    if (cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return w->plan;
}

static inline void create_write_row(create_world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    cs_record_t *after = apr_pcalloc(w->p, sizeof(*after));
    const char *column;
    json_t *value;

    assert_string_equal(step->guard, w->record.version);
    json_object_foreach(step->columns, column, value) {
        json_object_set(w->row, column, value);
    }
    w->version++;
    w->modified = w->now; /* our own writes move the clock of the record, too */
    w->writes++;
    after->table = "opportunity";
    after->id = CREATE_RECORD;
    after->version = apr_psprintf(w->p, "W/\"%d\"", w->version);
    after->row = cs_json_own(json_deep_copy(w->row), w->p);
    applied->after = after;
    applied->done = 1;
}

/* What Partner Center makes of a posted document. */
static inline json_t *create_made(create_world_t *w, const json_t *document, int connected)
{
    json_t *doc = cs_json_own(json_deep_copy(document), w->p);

    json_object_set_new(doc, "id", json_string(connected ? CREATE_MICROSOFT : DEAL_REFERRAL));
    json_object_set_new(doc, "engagementId", json_string(CREATE_ENGAGEMENT));
    json_object_set_new(doc, "status", json_string(connected ? "New" : "Active"));
    json_object_set_new(doc, "substatus", json_string(connected ? "Pending" : "Accepted"));
    json_object_set_new(doc, "organizationId", json_string(connected ? "msft" : "own"));
    return doc;
}

static inline const cs_card_t *create_card(create_world_t *w, json_t *doc)
{
    cs_card_t *card = apr_pcalloc(w->p, sizeof(*card));

    card->id = cs_json_str(doc, "id");
    card->engagement_id = CREATE_ENGAGEMENT;
    card->organization_id = cs_json_str(doc, "organizationId");
    card->etag = "\"1\"";
    card->doc = doc;
    return card;
}

static inline json_t *create_posted(create_world_t *w, const char *which)
{
    if (!w->deal.posted) {
        w->deal.posted = cs_json_own(json_object(), w->p);
    }
    w->deal.posted = cs_json_own(json_deep_copy(w->deal.posted), w->p);
    if (!json_object_get(w->deal.posted, which)) {
        json_object_set_new(w->deal.posted, which, json_object());
    }
    return json_object_get(w->deal.posted, which);
}

static inline void create_post(create_world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    int connected = strstr(step->call, "connected") != NULL, search = !strncmp(step->call, "find", 4);
    const char *which = connected ? "connected" : "own", *text = cs_json_print(step->columns, w->p);
    json_t *posted = create_posted(w, which), **there = connected ? &w->microsoft : &w->own;

    applied->tried = 1;
    applied->calls = 1;
    if (!search) {
        json_object_update(posted, deal_json(w->p, apr_psprintf(w->p, "{\"state\":\"sent\",\"at\":%" APR_TIME_T_FMT ",\"tries\":0,\"digest\":\"%s\",\"mapping\":\"%s\"}", w->now,
                                                                cs_sha256_hex(text, strlen(text), w->p), cs_mapping_digest(w->mapping))));
        w->posts += w->answer != ANSWER_FOUND;
    }
    switch (w->answer) {
    case ANSWER_MADE:
        *there = create_made(w, step->columns, connected);
        break;
    case ANSWER_REFUSED:
        applied->result.cls = CS_CLASS_DATA;
        applied->result.said = w->refusal;
        return;
    case ANSWER_NONE:
        applied->result.cls = CS_CLASS_UNKNOWN;
        return;
    case ANSWER_NOT_FOUND:
        applied->done = 1;
        json_object_set_new(posted, "tries", json_integer(cs_json_int(posted, "tries", 0) + 1));
        return;
    default:
        applied->found = 1;
        break;
    }
    assert_non_null(*there);
    applied->done = 1;
    applied->card = create_card(w, *there);
    json_object_set_new(posted, "state", json_string("done"));
    if (!connected) {
        w->deal.referral_id = DEAL_REFERRAL;
        w->deal.engagement_id = CREATE_ENGAGEMENT;
    }
}

static inline void create_patch(create_world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *op;
    size_t i;

    applied->tried = 1;
    if (w->stopped) {
        applied->result.cls = CS_CLASS_RETRY;
        return;
    }
    json_array_foreach(step->columns, i, op) {
        assert_ok(cs_json_pointer_set(w->own, cs_json_str(op, "path"), json_incref(cs_json_get(op, "value"))));
    }
    applied->done = 1;
    applied->card = create_card(w, w->own);
}

/* A whole look. */
static inline cs_plan_t *create_look(create_world_t *w)
{
    cs_deal_t before;
    cs_result_t res;
    int i;

    create_plan(w);
    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        if (!step->send || (step->after >= 0 && !w->applied[step->after].done)) {
            continue;
        }
        w->applied[i].tried = 1;
        if (step->kind == CS_STEP_POST_PC) {
            create_post(w, step, &w->applied[i]);
        }
        else if (step->kind == CS_STEP_PATCH_PC) {
            create_patch(w, step, &w->applied[i]);
        }
        else if (step->list) {
            w->applied[i].done = 1;
        }
        else {
            create_write_row(w, step, &w->applied[i]);
        }
    }
    before = w->deal;
    w->look.deal = &before;
    memset(&res, 0, sizeof(res));
    if (cs_reconcile_settle(&w->deal, w->journal, w->plan, &w->look, w->applied, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    w->look.deal = &w->deal;
    return w->plan;
}

static inline const cs_step_t *create_post_step(create_world_t *w, const char *call)
{
    const cs_step_t *step = deal_find_step(w->plan, CS_STEP_POST_PC);

    if (!step) {
        fail_msg("nothing is posted: %s", w->plan->why);
    }
    assert_string_equal(step->call, call);
    return step;
}

#define assert_told(w, status_, problem_) \
    do { \
        assert_string_equal((w)->deal.status ? (w)->deal.status : "", (status_)); \
        assert_string_equal((w)->deal.problem ? (w)->deal.problem : "", (problem_)); \
    } while (0)

#endif
