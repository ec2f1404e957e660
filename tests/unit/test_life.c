/* What happens to a deal besides its values: leads, existing records, what the seller reads, identity. */
#include "unit_deal.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/domain/reconcile_internal.h"

#define PROFILE "conf/mapping/dynamics365.json"
#define NEW_ID "33333333-0000-4000-8000-000000000003"

/* A CRM of several tables around one referral. */
typedef struct life_t {
    apr_pool_t *p;
    cs_mapping_t *mapping;
    json_t *doc, *rows; /* rows: "table/id" -> row */
    json_t *ignores;    /* columns that keep nothing: {"name": true} */
    json_t *metadata, *candidates;
    int version, writes, calls, silent;
    int die; /* the look ends: 0 = never, 1 = before the first step, 2 = after it, 3 = after all, before settle */
    cs_deal_t deal;
    apr_array_header_t *journal;
    cs_card_t card;
    cs_record_t record;
    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
} life_t;

static const char metadata_text[] =
    "{\"language\":1031,\"tables\":{\"opportunity\":{\"label\":\"Verkaufschance\",\"columns\":{"
    "\"name\":{\"label\":\"Thema\",\"type\":\"text\",\"max\":300},\"description\":{\"label\":\"Beschreibung\",\"type\":\"memo\",\"max\":2000},"
    "\"statuscode\":{\"label\":\"Statusgrund\",\"type\":\"choice\",\"options\":[{\"value\":1,\"label\":\"Offen\",\"state\":0},{\"value\":2,\"label\":\"Pausiert\",\"state\":0}]},"
    "\"estimatedvalue\":{\"label\":\"Gesch\xc3\xa4tzter Umsatz\",\"type\":\"money\",\"precision\":2},"
    "\"acme_status\":{\"label\":\"Co-Sell\",\"type\":\"text\",\"max\":100},\"acme_problem\":{\"label\":\"Problem\",\"type\":\"memo\",\"max\":2000},"
    "\"msft_referralidentifier\":{\"label\":\"Empfehlung\",\"type\":\"text\",\"max\":100},"
    "\"parentaccountid\":{\"label\":\"Firma\",\"type\":\"look-up\",\"targets\":[\"account\"]}}},"
    "\"account\":{\"label\":\"Firma\",\"columns\":{\"address1_country\":{\"label\":\"Land\",\"type\":\"text\",\"max\":80}}}}}";

static cs_mapping_t *life_mapping(apr_pool_t *p, const char *const *changes)
{
    static const char *const told[] = { "/names/status",   "\"acme_status\"",   "/names/problem", "\"acme_problem\"",
                                        "/names/expires",  "\"acme_expires\"",  "/names/synced",  "\"acme_synced\"",
                                        "/names/explain",  "\"acme_explain\"",  NULL };
    json_t *root = deal_json(p, deal_read(p, PROFILE));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;
    int i;

    for (i = 0; told[i]; i += 2) {
        assert_ok(cs_json_pointer_set(root, told[i], json_incref(deal_json(p, told[i + 1]))));
    }
    for (; changes && changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "life.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static life_t *life(apr_pool_t *p, const char *const *changes)
{
    life_t *w = apr_pcalloc(p, sizeof(*w));

    w->p = p;
    w->mapping = life_mapping(p, changes);
    w->doc = deal_json(p, "{\"id\":\"" DEAL_REFERRAL "\",\"name\":\"Contoso migration\",\"status\":\"New\",\"substatus\":\"Pending\",\"type\":\"Shared\","
                          "\"qualification\":\"SalesQualified\",\"eTag\":\"\\\"1\\\"\",\"externalReferenceId\":null,"
                          "\"expirationDateTime\":\"2026-03-03T10:00:00Z\",\"acceptedDateTime\":null,"
                          "\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}},"
                          "\"customerProfile\":{\"name\":\"Contoso\",\"address\":{\"addressLine1\":\"Am Markt 1\",\"city\":\"Berlin\",\"postalCode\":\"10115\","
                          "\"country\":\"DE\"},\"team\":[{\"firstName\":\"Ada\",\"lastName\":\"Example\",\"email\":\"ada@customer.example\",\"phoneNumber\":\"1\"}]},"
                          "\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":true},"
                          "\"details\":{\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-03-31T00:00:00.0000000Z\",\"notes\":\"First call\","
                          "\"requirements\":{\"solutions\":[]}},\"team\":[]}");
    w->rows = cs_json_own(json_object(), p);
    w->ignores = cs_json_own(json_object(), p);
    w->journal = apr_array_make(p, 16, sizeof(cs_journal_t *));
    w->deal.site = "contoso";
    w->deal.id = 7;
    w->deal.referral_id = DEAL_REFERRAL;
    w->version = 1;
    return w;
}

static void as_lead(life_t *w, const char *type, const char *qualification)
{
    json_object_set_new(w->doc, "type", json_string(type));
    json_object_set_new(w->doc, "qualification", json_string(qualification));
}

static void pc_state(life_t *w, const char *status, const char *substatus)
{
    json_object_set_new(w->doc, "status", json_string(status));
    json_object_set_new(w->doc, "substatus", json_string(substatus));
    if (!strcmp(status, "Active")) {
        json_object_set_new(w->doc, "acceptedDateTime", json_string("2026-02-01T00:00:00Z"));
    }
}

static void pc_set(life_t *w, const char *pointer, const char *value)
{
    assert_ok(cs_json_pointer_set(w->doc, pointer, json_incref(deal_json(w->p, value))));
}

/* ---- the CRM ---- */

static json_t *row_of(const life_t *w, const char *table, const char *id)
{
    return table && id ? json_object_get(w->rows, apr_pstrcat(w->p, table, "/", id, NULL)) : NULL;
}

static json_t *row(const life_t *w)
{
    return row_of(w, w->deal.table, w->deal.record_id);
}

static const char *shown(const life_t *w, const char *column)
{
    const char *text = cs_json_str(row(w), column);

    return text ? text : "";
}

static void edit(life_t *w, const char *column, const char *value)
{
    json_object_set(row(w), column, deal_json(w->p, value));
    w->version++;
}

static json_t *new_row(life_t *w, const char *kind_name, const char *id)
{
    const cs_mapping_kind_t *kind = cs_mapping_kind(w->mapping, kind_name);
    const apr_array_header_t *columns = cs_mapping_columns(kind);
    json_t *made = json_object();
    int i;

    for (i = 0; i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);

        if (!strchr(column, '/')) {
            json_object_set_new(made, column, deal_row_default(column));
        }
    }
    json_object_set_new(made, kind->key_column, json_string(id));
    json_object_set_new(w->rows, apr_pstrcat(w->p, kind->table, "/", id, NULL), made);
    return made;
}

static json_t *kept(life_t *w, const json_t *value)
{
    const char *number = cs_json_str(value, "$number"), *text;
    const json_t *lookup = cs_json_get(value, "$lookup");
    json_t *out;

    if (number) {
        assert_ok(cs_decimal_from_text(&text, number, 4, w->p));
        return cs_decimal_to_json(text);
    }
    if (lookup) {
        out = json_deep_copy(json_array_get(cs_json_get(lookup, "keys"), 0));
        json_object_set_new(out, "id", json_string(cs_uuid5_url(cs_json_print(lookup, w->p), w->p)));
        return out;
    }
    return json_deep_copy(value);
}

static void write_row(life_t *w, json_t *to, const json_t *columns)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)columns, column, value) {
        if (!cs_json_get(w->ignores, column)) {
            json_object_set_new(to, column, kept(w, value));
        }
    }
    w->version++;
    w->writes++;
}

static const cs_record_t *record(life_t *w, const char *table, const char *id)
{
    cs_record_t *out = apr_pcalloc(w->p, sizeof(*out));

    out->table = table;
    out->id = id;
    out->version = apr_psprintf(w->p, "W/\"%d\"", w->version);
    out->row = cs_json_own(json_deep_copy(row_of(w, table, id)), w->p);
    return out;
}

/* What QualifyLead makes of a lead. */
static void qualify(life_t *w, const char *lead)
{
    json_t *from = row_of(w, "lead", lead), *made = new_row(w, "opportunity", NEW_ID);

    assert_int_equal(cs_json_int(from, "statecode", -1), 0);
    json_object_set(made, "name", cs_json_get(from, "subject"));
    json_object_set_new(from, "statecode", json_integer(1));
    json_object_set_new(from, "statuscode", json_integer(3));
    json_object_set_new(from, "qualifyingopportunityid", json_pack("{s:s}", "id", NEW_ID));
    w->version++;
}

static void call(life_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *at = row_of(w, step->table, step->id);

    assert_int_equal(cs_json_int(at, "statecode", -1), 0);
    w->calls++;
    if (!strcmp(step->call, "QualifyLead")) {
        qualify(w, step->id);
        applied->created = w->silent ? NULL : cs_json_own(json_pack("[{s:s,s:s}]", "table", "opportunity", "id", NEW_ID), w->p);
        return;
    }
    json_object_set_new(at, "statecode", json_integer(!strcmp(step->call, "WinOpportunity") ? 1 : 2));
    json_object_set_new(at, "statuscode", json_deep_copy(cs_json_get(step->columns, "Status")));
    w->version++;
}

static void patch(life_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    cs_card_t *card = apr_pmemdup(w->p, &w->card, sizeof(*card));
    size_t i;

    for (i = 0; i < json_array_size(step->columns); i++) {
        const json_t *op = json_array_get(step->columns, i);

        assert_ok(cs_json_pointer_set(w->doc, cs_json_str(op, "path"), json_deep_copy(cs_json_get(op, "value"))));
    }
    w->writes++;
    card->doc = cs_json_own(json_deep_copy(w->doc), w->p);
    applied->card = card;
}

static void apply_step(life_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    applied->tried = applied->done = applied->calls = 1;
    if (step->kind == CS_STEP_PATCH_PC) {
        patch(w, step, applied);
        return;
    }
    if (step->list || step->kind == CS_STEP_ENSURE || step->kind == CS_STEP_JOIN) {
        return;
    }
    if (step->kind == CS_STEP_CALL) {
        call(w, step, applied);
        return;
    }
    if (step->kind == CS_STEP_CREATE) {
        assert_null(row_of(w, step->table, step->id));
        new_row(w, w->deal.kind, step->id);
    }
    else if (step->kind == CS_STEP_UPDATE) {
        assert_int_equal(cs_json_int(row_of(w, step->table, step->id), "statecode", -1), 0);
    }
    write_row(w, row_of(w, step->table, step->id), step->columns);
    applied->after = w->silent ? NULL : record(w, step->table, step->id);
}

/* ---- a look ---- */

static void fetch(life_t *w)
{
    memset(&w->look, 0, sizeof(w->look));
    memset(&w->card, 0, sizeof(w->card));
    w->card.id = DEAL_REFERRAL;
    w->card.organization_id = "own";
    w->card.etag = "\"1\"";
    w->card.doc = w->doc;
    w->look.mapping = w->mapping;
    w->look.site = "contoso";
    w->look.crm = "sales";
    w->look.organization = "own";
    w->look.deal = &w->deal;
    w->look.own = &w->card;
    w->look.record_read = 1;
    w->look.metadata = w->metadata;
    w->look.candidates = w->candidates;
    w->look.explain_url = "https://site.example/cosell/7";
    w->look.now = DEAL_NOW;
    if (row(w)) {
        w->look.record = record(w, w->deal.table, w->deal.record_id);
    }
}

static cs_meeting_t meet(life_t *w)
{
    cs_meeting_t meeting;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    fetch(w);
    assert_ok(cs_reconcile_meet(&meeting, &w->look, w->p, &res));
    return meeting;
}

/* Stage 5, as the engine does it. */
static void know(life_t *w)
{
    int unknown = w->deal.state == CS_DEAL_NEW || w->deal.state == CS_DEAL_LEAD || w->deal.state == CS_DEAL_IGNORED ||
                  (w->deal.state == CS_DEAL_PARKED && !w->deal.images);
    cs_meeting_t meeting;

    if (!unknown) {
        return;
    }
    meeting = meet(w);
    if (meeting.what == CS_MEET_CREATE || meeting.what == CS_MEET_LINK) {
        if (!w->deal.intent) {
            w->deal.state = CS_DEAL_NEW;
            w->deal.kind = meeting.kind;
            w->deal.table = meeting.table;
            w->deal.record_id = meeting.record_id;
        }
        return;
    }
    w->deal.state = meeting.what == CS_MEET_LEAD ? CS_DEAL_LEAD : CS_DEAL_IGNORED;
}

static void apply(life_t *w)
{
    int i;

    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    if (w->plan->intent) {
        w->deal.intent = w->plan->intent;
    }
    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        if (!step->send || w->die == 1 || (step->after >= 0 && !w->applied[step->after].done)) {
            continue;
        }
        apply_step(w, step, &w->applied[i]);
        if (w->die == 2) {
            return;
        }
    }
}

static void settle(life_t *w)
{
    cs_deal_t before = w->deal;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    w->look.deal = &before;
    assert_ok(cs_reconcile_settle(&w->deal, w->journal, w->plan, &w->look, w->applied, w->p, w->p, &res));
}

static cs_plan_t *plan(life_t *w)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    fetch(w);
    if (cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return w->plan;
}

static cs_plan_t *look(life_t *w)
{
    know(w);
    plan(w);
    apply(w);
    if (!w->die) {
        settle(w);
    }
    w->die = 0;
    return w->plan;
}

/* Looks until nothing is written and the deal stays what it is: at most five. */
static void rest(life_t *w)
{
    int i;

    for (i = 0; i < 5; i++) {
        int writes = w->writes + w->calls, lines;
        const char *id = w->deal.record_id;

        lines = w->journal->nelts;
        look(w);
        if (writes == w->writes + w->calls && lines == w->journal->nelts && id == w->deal.record_id) {
            return;
        }
    }
    fail_msg("it does not come to rest: %s", cs_json_print(w->plan->explain, w->p));
}

static int journalled(const life_t *w, const char *action)
{
    int n = 0, i;

    for (i = 0; i < w->journal->nelts; i++) {
        n += !strcmp(APR_ARRAY_IDX(w->journal, i, cs_journal_t *)->action, action);
    }
    return n;
}

static int statecode(const life_t *w)
{
    return cs_json_int(row(w), "statecode", -1);
}

static int statuscode(const life_t *w)
{
    return cs_json_int(row(w), "statuscode", -1);
}

static life_t *linked(apr_pool_t *p, const char *const *changes)
{
    life_t *w = life(p, changes);

    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    return w;
}

/* Text of whole characters. */
static int is_whole(const char *text)
{
    json_t *json = json_string(text);

    json_decref(json);
    return json != NULL;
}

static const cs_step_t *sent_patch(const life_t *w)
{
    const cs_step_t *step = deal_find_step(w->plan, CS_STEP_PATCH_PC);

    assert_true(!step || step->send);
    return step;
}

/* ---- leads ---- */

static life_t *lead(apr_pool_t *p, const char *const *changes)
{
    life_t *w = life(p, changes);

    as_lead(w, "Independent", "MarketingQualified");
    rest(w);
    assert_string_equal(w->deal.kind, "lead");
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_non_null(row(w));
    return w;
}

static void test_a_lead_becomes_a_lead(void **state)
{
    life_t *w = lead(*state, NULL);

    assert_string_equal(shown(w, "subject"), "Contoso migration");
    assert_string_equal(shown(w, "companyname"), "Contoso");
    assert_string_equal(shown(w, "lastname"), "Example");
    assert_int_equal(statecode(w), 0);
    assert_string_equal(w->deal.record_id, cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":lead:", w->p));

    w = life(*state, NULL);
    as_lead(w, "Independent", "Direct");
    rest(w);
    assert_string_equal(w->deal.kind, "lead");
}

static void test_an_accepted_lead_is_qualified_once(void **state)
{
    life_t *w = lead(*state, NULL);
    const char *lead_id = w->deal.record_id;
    const cs_step_t *step;
    int lines = w->journal->nelts;

    pc_state(w, "Active", "Accepted");
    look(w);
    step = deal_find_step(w->plan, CS_STEP_CALL);
    assert_string_equal(step->call, "QualifyLead");
    assert_json(w, cs_json_get(step->columns, "CreateAccount"), "false");
    assert_json(w, cs_json_get(step->columns, "CreateOpportunity"), "true");
    assert_json(w, cs_json_get(step->columns, "Status"), "3");
    assert_non_null(cs_json_get(cs_json_get(step->columns, "OpportunityCustomerId"), "$lookup"));
    assert_string_equal(cs_json_str(cs_json_get(cs_json_get(step->columns, "OpportunityCurrencyId"), "$lookup"), "none"), "skip");
    /* The answer names the opportunity: the deal is there already. */
    assert_string_equal(w->deal.kind, "opportunity");
    assert_string_equal(w->deal.table, "opportunity");
    assert_string_equal(w->deal.record_id, NEW_ID);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_int_equal(journalled(w, "qualify"), 1);
    assert_int_equal(journalled(w, "move"), 1);
    rest(w);
    assert_int_equal(w->calls, 1);
    assert_int_equal(cs_json_int(row_of(w, "lead", lead_id), "statecode", -1), 1);
    assert_int_equal(statecode(w), 0);
    assert_int_equal(statuscode(w), 1);
    assert_json(w, cs_json_get(row(w), "estimatedvalue"), "50000");
    assert_true(json_is_true(cs_json_get(row(w), "msft_syncwithpartnercenter")));
    assert_string_equal(shown(w, "msft_referralidentifier"), DEAL_REFERRAL);
    assert_string_equal(shown(w, "acme_status"), "In sync");
    assert_true(w->journal->nelts > lines);
    assert_int_equal(journalled(w, "create"), 1);
}

static void test_a_crash_around_the_qualification(void **state)
{
    int die;

    for (die = 1; die <= 3; die++) {
        life_t *w = lead(*state, NULL);

        pc_state(w, "Active", "Accepted");
        w->die = die;
        look(w);
        rest(w);
        assert_int_equal(w->calls, 1);
        assert_string_equal(w->deal.kind, "opportunity");
        assert_string_equal(w->deal.record_id, NEW_ID);
        assert_int_equal(journalled(w, "move"), 1);
        assert_int_equal(statuscode(w), 1);
        assert_null(w->deal.intent);
    }
}

static void test_an_answer_that_does_not_name_the_opportunity(void **state)
{
    life_t *w = lead(*state, NULL);

    w->silent = 1;
    pc_state(w, "Active", "Accepted");
    look(w);
    assert_string_equal(w->deal.kind, "lead");
    rest(w);
    assert_string_equal(w->deal.kind, "opportunity");
    assert_int_equal(w->calls, 1);
    assert_int_equal(journalled(w, "move"), 1);
}

static void test_a_lead_first_met_accepted(void **state)
{
    /* A marketplace lead is a lead whatever its state; it is qualified in the look that makes it. */
    static const char *const accepted[] = { "/records/opportunity/from_pc/when", "{\"pc\":\"$kind\",\"in\":[\"co-sell\",\"qualified-lead\"]}", NULL };
    life_t *w = life(*state, NULL);
    int die;

    as_lead(w, "Independent", "Direct");
    pc_state(w, "Active", "Accepted");
    look(w);
    assert_string_equal(w->deal.kind, "opportunity");
    rest(w);
    assert_int_equal(w->calls, 1);
    assert_int_equal(statecode(w), 0);
    for (die = 1; die <= 3; die++) {
        w = life(*state, NULL);
        as_lead(w, "Independent", "Direct");
        pc_state(w, "Active", "Accepted");
        w->die = die;
        look(w);
        rest(w);
        assert_int_equal(w->calls, 1);
        assert_string_equal(w->deal.kind, "opportunity");
        assert_int_equal(statuscode(w), 1);
    }
    /* A qualified lead that somebody accepted before it was met is an opportunity. */
    w = life(*state, accepted);
    as_lead(w, "Independent", "MarketingQualified");
    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_string_equal(w->deal.kind, "opportunity");
    assert_int_equal(w->calls, 0);
}

static void test_a_lead_qualified_in_the_crm(void **state)
{
    life_t *w = lead(*state, NULL);
    const cs_step_t *sent;
    int creates;

    qualify(w, w->deal.record_id);
    look(w);
    assert_string_equal(w->plan->moved_id, NEW_ID);
    assert_string_equal(w->deal.kind, "opportunity");
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    creates = journalled(w, "create");
    look(w);
    /* It was qualified, so it is no unanswered one; Partner Center would be told to accept. */
    assert_int_equal(statuscode(w), 1);
    assert_verdict(w, CS_LINE_STATE, CS_VERDICT_TO_PC);
    sent = sent_patch(w);
    assert_non_null(sent);
    assert_has(cs_json_print(sent->columns, w->p), "\"Active\"");
    assert_true(json_is_true(cs_json_get(row(w), "msft_syncwithpartnercenter")));
    rest(w);
    assert_int_equal(statuscode(w), 1);
    assert_int_equal(journalled(w, "create"), creates);
    assert_int_equal(journalled(w, "move"), 1);
    /* The opt-in is set once: what the seller switches off stays off. */
    edit(w, "msft_syncwithpartnercenter", "false");
    rest(w);
    assert_true(json_is_false(cs_json_get(row(w), "msft_syncwithpartnercenter")));
    assert_int_equal(w->plan->what, CS_PLAN_HOLD);
    edit(w, "msft_syncwithpartnercenter", "true");
    /* Accepted there meanwhile: both sides went the same way. */
    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_int_equal(statuscode(w), 1);
    assert_string_equal(w->deal.status, "In sync");
    assert_null(sent_patch(w) && strstr(cs_json_print(sent_patch(w)->columns, w->p), "/status") ? "asks for a state" : NULL);
}

static void test_crashes_after_the_move(void **state)
{
    int die;

    for (die = 1; die <= 3; die++) {
        life_t *w = lead(*state, NULL);

        qualify(w, w->deal.record_id);
        look(w);
        w->die = die;
        look(w);
        rest(w);
        assert_int_equal(statuscode(w), 1);
        assert_true(json_is_true(cs_json_get(row(w), "msft_syncwithpartnercenter")));
        assert_string_equal(cs_json_str(w->doc, "status"), "Active");
    }
}

/* What the referral did while nobody looked is shown by what the lead became. */
static void test_a_referral_that_ended_while_its_lead_was_qualified(void **state)
{
    static const struct {
        const char *sub;
        int statecode;
        cs_deal_state_e state;
    } ends[] = { { "Declined", 2, CS_DEAL_CLOSED }, { "Won", 1, CS_DEAL_CLOSED }, { "Lost", 2, CS_DEAL_CLOSED }, { "Expired", 2, CS_DEAL_CLOSED }, { "Error", 0, CS_DEAL_UNLINKED } };
    size_t i;

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        life_t *w = lead(*state, NULL);

        qualify(w, w->deal.record_id);
        pc_state(w, "Closed", ends[i].sub);
        rest(w);
        assert_string_equal(w->deal.kind, "opportunity");
        assert_int_equal(statecode(w), ends[i].statecode);
        assert_int_equal(w->deal.state, ends[i].state);
    }
}

static void test_how_a_lead_ends(void **state)
{
    static const struct {
        const char *sub;
        int statecode, accepted;
        cs_deal_state_e state;
    } ends[] = { { "Declined", 2, 0, CS_DEAL_CLOSED }, { "Expired", 2, 0, CS_DEAL_CLOSED }, { "Lost", 2, 0, CS_DEAL_CLOSED },
                 { "Won", 0, 0, CS_DEAL_CLOSED },      { "Error", 0, 0, CS_DEAL_UNLINKED }, { "Expired", 0, 1, CS_DEAL_CLOSED } };
    size_t i;

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        life_t *w = lead(*state, NULL);

        if (ends[i].accepted) {
            pc_set(w, "/acceptedDateTime", "\"2026-02-01T00:00:00Z\"");
        }
        pc_state(w, "Closed", ends[i].sub);
        if (ends[i].state == CS_DEAL_UNLINKED) {
            look(w);
        }
        else {
            rest(w);
        }
        assert_int_equal(statecode(w), ends[i].statecode);
        assert_int_equal(w->deal.state, ends[i].state);
        assert_int_equal(w->calls, 0);
    }
}

static void test_a_lead_that_was_disqualified_here(void **state)
{
    static const char *const told[] = { "/records/lead/tell", "{\"status\":\"acme_status\",\"problem\":\"acme_problem\"}", NULL };
    life_t *w = lead(*state, told);
    const cs_step_t *sent;

    assert_string_equal(shown(w, "acme_status"), "Not accepted");
    edit(w, "statecode", "2");
    edit(w, "statuscode", "4");
    plan(w);
    sent = sent_patch(w);
    assert_has(cs_json_print(sent->columns, w->p), "\"Declined\"");
    assert_has(cs_json_print(sent->columns, w->p), "\"NotACustomer\"");
    /* Accepted there all the same: nothing is done to a lead that a person has closed. */
    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_int_equal(statecode(w), 2);
    assert_int_equal(w->calls, 0);
    assert_int_equal(w->plan->what, CS_PLAN_HOLD);
    assert_string_equal(w->deal.status, "Needs you");
    assert_has(w->deal.problem, "reopen this lead to go on");
    edit(w, "statecode", "0");
    edit(w, "statuscode", "1");
    rest(w);
    assert_int_equal(w->calls, 1);
    assert_string_equal(w->deal.kind, "opportunity");
}

static void test_who_qualifies_by_hand_is_told(void **state)
{
    static const char *const changes[] = { "/records/lead/becomes/on_accept_in_pc", "\"tell-seller\"", "/records/lead/tell",
                                           "{\"status\":\"acme_status\",\"problem\":\"acme_problem\"}", NULL };
    life_t *w = lead(*state, changes);

    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_int_equal(w->calls, 0);
    assert_string_equal(shown(w, "acme_status"), "Needs you");
    assert_has(shown(w, "acme_problem"), "Accepted in Partner Center: convert this lead");
    qualify(w, w->deal.record_id);
    rest(w);
    assert_string_equal(w->deal.kind, "opportunity");
    assert_string_equal(shown(w, "acme_status"), "In sync");
}

static void test_no_kind_takes_leads(void **state)
{
    static const char *const changes[] = { "/records/lead/from_pc/when", "{\"pc\":\"$kind\",\"is\":\"private\"}", "/records/opportunity/from_pc/when",
                                           "{\"pc\":\"$kind\",\"in\":[\"co-sell\"]}", NULL };
    life_t *w = life(*state, changes);
    cs_meeting_t m;

    as_lead(w, "Independent", "MarketingQualified");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_LEAD);
    assert_has(m.why, "a lead (qualified-lead, New/Pending)");
}

/* ---- existing records ---- */

static void test_what_is_asked_before_a_record_is_made(void **state)
{
    life_t *w = life(*state, NULL);
    cs_meeting_t m = meet(w);

    assert_int_equal(m.what, CS_MEET_CREATE);
    assert_string_equal(cs_json_str(m.match, "table"), "opportunity");
    assert_json(w, cs_json_get(m.match, "keys"), "[{\"msft_referralidentifier\":\"" DEAL_REFERRAL "\"},{\"name\":\"Contoso migration\"}]");
    assert_string_equal(cs_json_str(m.match, "none"), "hold");
    assert_string_equal(cs_json_str(cs_json_get(cs_json_get(cs_json_get(m.match, "within"), "parentaccountid"), "$lookup"), "table"), "account");
    assert_null(strstr(cs_json_print(m.match, w->p), "create"));
    /* A name with no letters in it asks for nothing; the id is still asked for. */
    pc_set(w, "/name", "\"  \"");
    assert_json(w, cs_json_get(meet(w).match, "keys"), "[{\"msft_referralidentifier\":\"" DEAL_REFERRAL "\"}]");
    /* Without a customer nobody can be within it. */
    pc_set(w, "/customerProfile", "{}");
    assert_json(w, cs_json_get(meet(w).match, "keys"), "[{\"msft_referralidentifier\":\"" DEAL_REFERRAL "\"}]");
    pc_set(w, "/externalReferenceId", "\"" NEW_ID "\"");
    assert_null(meet(w).match);
}

static const char two[] = "[{\"id\":\"aaaa\",\"name\":\"Contoso migration\"},{\"id\":\"bbbb\"}]";

static void test_candidates_are_proposed(void **state)
{
    life_t *w = life(*state, NULL);

    w->candidates = deal_json(w->p, two);
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_PARKED);
    assert_int_equal(w->writes, 0);
    assert_has(w->deal.problem, "2 existing records could be this deal's: Contoso migration (aaaa), no name (bbbb)");
    assert_has(w->deal.problem, "write " DEAL_REFERRAL " into msft_referralidentifier of the right one");
    assert_int_equal(journalled(w, "park"), 1);
    look(w);
    assert_int_equal(journalled(w, "park"), 1);
    /* A person has said which: the engine finds it by the first key and links. */
    w->candidates = NULL;
    new_row(w, "opportunity", NEW_ID);
    json_object_set_new(row_of(w, "opportunity", NEW_ID), "msft_referralidentifier", json_string(DEAL_REFERRAL));
    know(w);
    w->deal.record_id = NEW_ID;
    plan(w);
    apply(w);
    settle(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_string_equal(w->deal.record_id, NEW_ID);
    rest(w);
    assert_int_equal(json_object_size(w->rows), 1);
    /* It is unanswered, and met so: nobody has accepted. */
    assert_int_equal(statuscode(w), 2);
    assert_string_equal(w->deal.status, "Not accepted");
}

static void test_many_candidates_in_the_crms_words(void **state)
{
    life_t *w = life(*state, NULL);

    w->metadata = deal_json(w->p, metadata_text);
    w->candidates = deal_json(w->p, "[{\"id\":\"1\"},{\"id\":\"2\"},{\"id\":\"3\"},{\"id\":\"4\"},{\"id\":\"5\"},{\"id\":\"6\"}]");
    look(w);
    assert_has(w->deal.problem, "6 existing records");
    assert_has(w->deal.problem, "(5) ...; write");
    assert_has(w->deal.problem, "into Empfehlung of");
    assert_null(strstr(w->deal.problem, "(6)"));
}

static void test_a_record_under_way_is_no_candidate_for_itself(void **state)
{
    life_t *w = life(*state, NULL);

    w->die = 2;
    look(w);
    assert_non_null(row(w));
    w->candidates = deal_json(w->p, two);
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    w = life(*state, NULL);
    w->die = 1;
    look(w);
    w->candidates = deal_json(w->p, two);
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
}

/* ---- identity ---- */

static void test_ids_at_partner_center(void **state)
{
    static const char *const texts[] = { "\"see Mrs Smith\"", "\"12345678-1234\"", "\"\"", "\"{}\"", "42", "null", "\"0f0a4b6e-1111-4222-8333-9444555666zz\"" };
    life_t *w = life(*state, NULL);
    cs_meeting_t m;
    size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        pc_set(w, "/externalReferenceId", texts[i]);
        assert_int_equal(meet(w).what, CS_MEET_CREATE);
    }
    pc_set(w, "/externalReferenceId", "\"see Mrs Smith\"");
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);

    w = life(*state, NULL);
    pc_set(w, "/externalReferenceId", "\"{33333333-0000-4000-8000-000000000003}\"");
    m = meet(w);
    assert_int_equal(m.what, CS_MEET_LINK);
    assert_string_equal(m.record_id, NEW_ID);
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_PARKED);
    assert_has(w->deal.problem, "names the record " NEW_ID ", which does not exist");
    assert_int_equal(w->writes, 0);
    /* It comes into being after all. */
    new_row(w, "opportunity", NEW_ID);
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_int_equal(json_object_size(w->rows), 1);
}

static void test_a_clone_carries_another_referral(void **state)
{
    life_t *w = life(*state, NULL);

    pc_set(w, "/externalReferenceId", "\"" NEW_ID "\"");
    new_row(w, "opportunity", NEW_ID);
    json_object_set_new(row_of(w, "opportunity", NEW_ID), "msft_referralidentifier", json_string("99999999-0000-4000-8000-000000000009"));
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_PARKED);
    assert_has(w->deal.problem, "already linked to the referral 99999999");
    assert_int_equal(w->writes, 0);
    /* The id in another case is the same id. */
    json_object_set_new(row_of(w, "opportunity", NEW_ID), "msft_referralidentifier", json_string("0F0A4B6E-1111-4222-8333-944455566677"));
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
}

static void test_a_relink_is_ignored(void **state)
{
    life_t *w = linked(*state, NULL);
    const char *id = w->deal.record_id;
    int writes = w->writes;

    new_row(w, "opportunity", NEW_ID);
    pc_set(w, "/externalReferenceId", "\"" NEW_ID "\"");
    rest(w);
    assert_string_equal(w->deal.record_id, id);
    assert_int_equal(w->writes, writes);
    assert_json(w, cs_json_get(row_of(w, "opportunity", NEW_ID), "name"), "null");
}

static void test_what_is_ours_is_restored(void **state)
{
    life_t *w = linked(*state, NULL);
    const char *audit = apr_pstrdup(w->p, shown(w, "msft_audit")), *link = apr_pstrdup(w->p, shown(w, "msft_referrallink"));
    int lines = w->journal->nelts;

    edit(w, "msft_referralidentifier", "\"99999999-0000-4000-8000-000000000009\"");
    edit(w, "msft_referrallink", "null");
    edit(w, "msft_audit", "\"nothing happened\"");
    edit(w, "acme_status", "\"all well\"");
    edit(w, "acme_problem", "\"none\"");
    edit(w, "acme_explain", "\"https://elsewhere.example\"");
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_string_equal(shown(w, "msft_referralidentifier"), DEAL_REFERRAL);
    assert_string_equal(shown(w, "msft_referrallink"), link);
    assert_string_equal(shown(w, "msft_audit"), audit);
    assert_string_equal(shown(w, "acme_status"), "In sync");
    assert_string_equal(shown(w, "acme_problem"), "");
    assert_string_equal(shown(w, "acme_explain"), "https://site.example/cosell/7");
    assert_int_equal(w->journal->nelts, lines + 1);
    rest(w);
}

static void test_deleted_and_undeleted(void **state)
{
    life_t *w = linked(*state, NULL);
    const char *key = apr_pstrcat(w->p, "opportunity/", w->deal.record_id, NULL);
    json_t *binned = cs_json_own(json_deep_copy(row(w)), w->p);
    int writes = w->writes;

    json_object_del(w->rows, key);
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    pc_set(w, "/details/notes", "\"after the deletion\"");
    rest(w);
    assert_int_equal(w->writes, writes);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    assert_int_equal(journalled(w, "gone"), 1);
    json_object_set(w->rows, key, binned);
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_string_equal(shown(w, "description"), "after the deletion");
    assert_int_equal(journalled(w, "resume"), 1);
    assert_int_equal(journalled(w, "create"), 1);
}

static void test_both_sides_gone(void **state)
{
    life_t *w = linked(*state, NULL);

    json_object_clear(w->rows);
    know(w);
    fetch(w);
    w->look.own = NULL;
    assert_ok(cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, NULL));
    assert_int_equal(w->plan->what, CS_PLAN_GONE);
    assert_int_equal(deal_sent(w->plan), 0);
    apply(w);
    settle(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
}

static void test_a_lead_that_was_deleted(void **state)
{
    life_t *w = lead(*state, NULL);

    json_object_clear(w->rows);
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_GONE);
    assert_int_equal(json_object_size(w->rows), 0);
}

/* ---- the end ---- */

static void test_what_is_closed_stays_quiet(void **state)
{
    life_t *w = linked(*state, NULL);
    int lines, writes;

    pc_state(w, "Closed", "Expired");
    rest(w);
    assert_int_equal(statecode(w), 0);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    assert_string_equal(shown(w, "acme_status"), "Closed");
    lines = w->journal->nelts;
    writes = w->writes;
    edit(w, "description", "\"still working on it\"");
    edit(w, "statuscode", "2");
    look(w);
    assert_verdict(w, "notes", CS_VERDICT_CLOSED);
    assert_null(sent_patch(w));
    rest(w);
    assert_int_equal(w->writes, writes);
    assert_int_equal(w->journal->nelts, lines);
    assert_string_equal(shown(w, "description"), "still working on it");

    w = linked(*state, NULL);
    pc_state(w, "Closed", "Error");
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_UNLINKED);
    assert_int_equal(statecode(w), 0);
    writes = w->writes;
    edit(w, "description", "\"still working on it\"");
    pc_set(w, "/details/notes", "\"theirs\"");
    rest(w);
    assert_int_equal(w->writes, writes);
    assert_string_equal(shown(w, "description"), "still working on it");
}

static void test_expired_between_two_looks(void **state)
{
    life_t *w = life(*state, NULL);

    rest(w);
    assert_int_equal(statuscode(w), 2);
    pc_state(w, "Active", "Accepted");
    pc_state(w, "Closed", "Expired"); /* nobody looked in between */
    rest(w);
    assert_int_equal(statecode(w), 0);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);

    w = life(*state, NULL);
    rest(w);
    pc_state(w, "Closed", "Expired");
    rest(w);
    assert_int_equal(statecode(w), 2);
    assert_int_equal(w->calls, 1);
}

static void test_reasons_both_ways(void **state)
{
    static const char *const note[] = { "/records/opportunity/state/hear",
                                        "[{\"pc\":\"Active\",\"crm\":{\"statecode\":2},\"do\":\"lose\",\"reason\":{\"crm\":\"statuscode\","
                                        "\"values\":\"lost\",\"note\":\"closecomment\"}}]", NULL };
    life_t *w = linked(*state, note);
    const cs_step_t *sent;

    pc_state(w, "Closed", "Lost");
    pc_set(w, "/statusReason", "\"ChoseAnotherVendor:cheaper elsewhere\"");
    rest(w);
    assert_int_equal(statuscode(w), 5);
    w = linked(*state, note);
    pc_state(w, "Closed", "Lost");
    pc_set(w, "/statusReason", "\"NobodyKnows\"");
    rest(w);
    assert_int_equal(statuscode(w), 4);

    w = linked(*state, note);
    edit(w, "statecode", "2");
    edit(w, "statuscode", "5");
    edit(w, "closecomment", "\"cheaper elsewhere\\r\\n \"");
    look(w);
    sent = sent_patch(w);
    assert_json(w, sent->columns,
                "[{\"op\":\"replace\",\"path\":\"/status\",\"value\":\"Closed\"},{\"op\":\"replace\",\"path\":\"/substatus\",\"value\":\"Lost\"},"
                "{\"op\":\"add\",\"path\":\"/statusReason\",\"value\":\"ChoseAnotherVendor:cheaper elsewhere\"}]");
    rest(w);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
    /* The referral is closed there with another word: nothing more to do. */
    pc_state(w, "Closed", "Lost");
    pc_set(w, "/statusReason", "\"Others\"");
    rest(w);
    assert_int_equal(statuscode(w), 5);
    assert_int_equal(w->deal.state, CS_DEAL_CLOSED);
}

/* ---- what the seller reads ---- */

static void test_the_texts(void **state)
{
    life_t *w = life(*state, NULL);
    int writes;

    w->metadata = deal_json(w->p, metadata_text);
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Not accepted");
    assert_string_equal(shown(w, "acme_problem"), "Expires Tue 3 Mar; set Statusgrund to Offen to accept, close as lost to decline");
    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "In sync");
    assert_string_equal(shown(w, "acme_problem"), "");
    /* Partner Center takes no new name. */
    edit(w, "name", "\"Contoso Umzug\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "In sync, not all");
    assert_string_equal(shown(w, "acme_problem"), "Thema cannot change in Partner Center; stays \"Contoso migration\"");
    /* A conflict comes before it, and is told with what was there already. */
    edit(w, "description", "\"ours\"");
    pc_set(w, "/details/notes", "\"theirs\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Needs you");
    assert_string_equal(shown(w, "acme_problem"), "Conflict in Beschreibung: Partner Center \"theirs\", here \"ours\"; retype the right one; "
                                                  "Thema cannot change in Partner Center; stays \"Contoso migration\"");
    writes = w->writes;
    look(w);
    assert_int_equal(w->writes, writes);
    pc_set(w, "/details/notes", "\"the right one\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "In sync, not all");
    edit(w, "name", "\"Contoso migration\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "In sync");
    assert_string_equal(shown(w, "acme_problem"), "");
    pc_state(w, "Closed", "Lost");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Closed");
    /* Opened again by the seller. */
    edit(w, "statecode", "0");
    edit(w, "statuscode", "1");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Closed");
    assert_has(shown(w, "acme_problem"), "Partner Center stays Closed/Lost");
}

/* Waiting is told before what rests, and after what needs a person. */
static void test_waiting(void **state)
{
    static const char *const changes[] = { "/records/opportunity/lines/value/zero", "\"hold\"", NULL };
    life_t *w = life(*state, changes);

    w->metadata = deal_json(w->p, metadata_text);
    pc_state(w, "Active", "Accepted");
    pc_set(w, "/details/currency", "null");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Waiting");
    assert_has(shown(w, "acme_problem"), "Waiting for Gesch\xc3\xa4tzter Umsatz: ");
    edit(w, "name", "\"Contoso Umzug\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Waiting");
    assert_has(shown(w, "acme_problem"), "; Thema cannot change");
    edit(w, "description", "\"ours\"");
    pc_set(w, "/details/notes", "\"theirs\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "Needs you");
    assert_has(shown(w, "acme_problem"), "Conflict in Beschreibung");
    pc_set(w, "/details/currency", "\"USD\"");
    pc_set(w, "/details/notes", "\"right\"");
    edit(w, "name", "\"Contoso migration\"");
    rest(w);
    assert_string_equal(shown(w, "acme_status"), "In sync");
}

/* Without the CRM's words a text in them stays, unless it would say something else. */
static void test_words_that_come_and_go(void **state)
{
    life_t *w = linked(*state, NULL);
    int writes;

    edit(w, "name", "\"Contoso Umzug\"");
    rest(w);
    assert_string_equal(shown(w, "acme_problem"), "name cannot change in Partner Center; stays \"Contoso migration\"");
    w->metadata = deal_json(w->p, metadata_text);
    rest(w);
    assert_string_equal(shown(w, "acme_problem"), "Thema cannot change in Partner Center; stays \"Contoso migration\"");
    writes = w->writes;
    w->metadata = NULL;
    rest(w);
    w->metadata = deal_json(w->p, metadata_text);
    rest(w);
    assert_int_equal(w->writes, writes);
    w->metadata = NULL;
    pc_set(w, "/name", "\"Contoso move\"");
    rest(w);
    assert_null(strstr(shown(w, "acme_problem"), "Thema"));
}

static void test_the_audit(void **state)
{
    life_t *w = life(*state, NULL);
    const char *audit;
    int i;

    rest(w);
    for (i = 0; i < 40; i++) {
        pc_set(w, "/details/notes", i % 2 ? "\"odd\"" : "\"even\"");
        rest(w);
    }
    /* Values change, what the seller reads does not. */
    assert_string_equal(shown(w, "msft_audit"), "2026-02-02 02:40 - Not accepted: Expires Tue 3 Mar");
    pc_state(w, "Active", "Accepted");
    rest(w);
    assert_string_equal(shown(w, "msft_audit"), "2026-02-02 02:40 - In sync\n2026-02-02 02:40 - Not accepted: Expires Tue 3 Mar");
    for (i = 0; i < 60; i++) {
        edit(w, "name", i % 2 ? "\"Contoso migration\"" : "\"Contoso \xf0\x9f\x9a\x80\"");
        rest(w);
    }
    audit = shown(w, "msft_audit");
    assert_true(json_array_size(cs_json_get(w->deal.told, "audit")) <= 30);
    assert_true(cs_text_units(audit) <= 2000);
    assert_int_equal(strncmp(audit, "2026-02-02 02:40 - In sync\n", 27), 0);
}

static void test_texts_fit_their_columns(void **state)
{
    static const char *const changes[] = { "/records/opportunity/tell/problem", "{\"column\":\"@problem\",\"max\":90}", "/records/opportunity/tell/audit",
                                           "{\"column\":\"@audit\",\"keep\":3,\"max\":60}", NULL };
    life_t *w = linked(*state, changes);
    const char *problem;

    edit(w, "name", "\"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\"");
    edit(w, "description", "\"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80 ours\"");
    pc_set(w, "/details/notes", "\"\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80\xf0\x9f\x9a\x80 theirs\"");
    pc_set(w, "/details/closingDateTime", "\"2026-05-01T00:00:00Z\"");
    edit(w, "estimatedclosedate", "\"2026-06-01\"");
    rest(w);
    problem = shown(w, "acme_problem");
    assert_true(cs_text_units(problem) <= 90);
    assert_has(problem, "Conflict in ");
    assert_has(problem, "; and 2 more");
    assert_true(cs_text_units(shown(w, "msft_audit")) <= 60);
    assert_true(cs_text_units(shown(w, "msft_audit")) > 50);
    assert_true(is_whole(shown(w, "msft_audit")));
}

static const char *const marks[] = { "/records/opportunity/tell/mark/enabled", "true", NULL };

static void test_the_mark(void **state)
{
    life_t *w = linked(*state, marks);

    assert_string_equal(shown(w, "name"), "\xe2\x9c\x94 Contoso migration");
    assert_verdict(w, "name", CS_VERDICT_EQUAL);
    pc_set(w, "/name", "\"Contoso move\"");
    rest(w);
    assert_string_equal(shown(w, "name"), "\xe2\x9c\x94 Contoso move");
    edit(w, "description", "\"ours\"");
    pc_set(w, "/details/notes", "\"theirs\"");
    rest(w);
    assert_string_equal(shown(w, "name"), "\xe2\x9c\x98 Contoso move");
    assert_string_equal(shown(w, "acme_status"), "Needs you");
    pc_set(w, "/details/notes", "\"right\"");
    rest(w);
    assert_string_equal(shown(w, "name"), "\xe2\x9c\x94 Contoso move");
    /* Wiped, or copied in twice, by the seller. */
    edit(w, "name", "\"Contoso move\"");
    rest(w);
    assert_string_equal(shown(w, "name"), "\xe2\x9c\x94 Contoso move");
    edit(w, "name", "\"\xe2\x9c\x98 \xe2\x9c\x94 Contoso move\"");
    rest(w);
    assert_string_equal(shown(w, "name"), "\xe2\x9c\x94 Contoso move");
    assert_string_equal(shown(w, "acme_status"), "In sync");
}

static void test_a_mark_at_the_columns_limit(void **state)
{
    char name[400];
    life_t *w = life(*state, marks);
    int n, writes;

    for (n = 297; n <= 300; n++) {
        memset(name, 'x', sizeof(name));
        name[0] = name[n + 1] = '"';
        name[n + 2] = '\0';
        w = life(*state, marks);
        w->metadata = n % 2 ? deal_json(w->p, metadata_text) : NULL;
        pc_set(w, "/name", name);
        pc_state(w, "Active", "Accepted");
        rest(w);
        /* Two characters more fit, or the name goes without. */
        assert_int_equal(cs_text_units(shown(w, "name")), n + 2 <= 300 ? n + 2 : n);
        assert_verdict(w, "name", CS_VERDICT_EQUAL);
        writes = w->writes;
        look(w);
        assert_int_equal(w->writes, writes);
    }
}

static void test_a_mark_that_is_not_kept(void **state)
{
    life_t *w = linked(*state, marks);
    int writes;

    json_object_set_new(w->ignores, "name", json_true());
    edit(w, "name", "\"Contoso migration\"");
    rest(w);
    writes = w->writes;
    rest(w);
    assert_int_equal(w->writes, writes);
    assert_string_equal(shown(w, "name"), "Contoso migration");
    /* Written with the next name, and kept now. */
    json_object_del(w->ignores, "name");
    pc_set(w, "/name", "\"Contoso move\"");
    rest(w);
    assert_string_equal(shown(w, "name"), "\xe2\x9c\x94 Contoso move");
}

static void test_the_time_travels_along(void **state)
{
    life_t *w = linked(*state, NULL);
    int writes;

    assert_string_equal(shown(w, "acme_synced"), "2026-02-02T02:40:00.000Z");
    edit(w, "acme_synced", "\"2020-01-01T00:00:00Z\"");
    writes = w->writes;
    rest(w);
    assert_int_equal(w->writes, writes);
    pc_set(w, "/details/notes", "\"new\"");
    rest(w);
    assert_string_equal(shown(w, "acme_synced"), "2026-02-02T02:40:00.000Z");
}

static void test_names_of_verdicts(void **state)
{
    int i;

    (void)state;
    for (i = CS_VERDICT_EQUAL; i <= CS_VERDICT_STAYS; i++) {
        assert_string_not_equal(cs_verdict_name((cs_verdict_e)i), "unknown");
    }
    assert_string_equal(cs_verdict_name((cs_verdict_e)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_a_lead_becomes_a_lead),
        UNIT_TEST(test_an_accepted_lead_is_qualified_once),
        UNIT_TEST(test_a_crash_around_the_qualification),
        UNIT_TEST(test_an_answer_that_does_not_name_the_opportunity),
        UNIT_TEST(test_a_lead_first_met_accepted),
        UNIT_TEST(test_a_lead_qualified_in_the_crm),
        UNIT_TEST(test_crashes_after_the_move),
        UNIT_TEST(test_a_referral_that_ended_while_its_lead_was_qualified),
        UNIT_TEST(test_how_a_lead_ends),
        UNIT_TEST(test_a_lead_that_was_disqualified_here),
        UNIT_TEST(test_who_qualifies_by_hand_is_told),
        UNIT_TEST(test_no_kind_takes_leads),
        UNIT_TEST(test_what_is_asked_before_a_record_is_made),
        UNIT_TEST(test_candidates_are_proposed),
        UNIT_TEST(test_many_candidates_in_the_crms_words),
        UNIT_TEST(test_a_record_under_way_is_no_candidate_for_itself),
        UNIT_TEST(test_ids_at_partner_center),
        UNIT_TEST(test_a_clone_carries_another_referral),
        UNIT_TEST(test_a_relink_is_ignored),
        UNIT_TEST(test_what_is_ours_is_restored),
        UNIT_TEST(test_deleted_and_undeleted),
        UNIT_TEST(test_both_sides_gone),
        UNIT_TEST(test_a_lead_that_was_deleted),
        UNIT_TEST(test_what_is_closed_stays_quiet),
        UNIT_TEST(test_expired_between_two_looks),
        UNIT_TEST(test_reasons_both_ways),
        UNIT_TEST(test_the_texts),
        UNIT_TEST(test_waiting),
        UNIT_TEST(test_words_that_come_and_go),
        UNIT_TEST(test_the_audit),
        UNIT_TEST(test_texts_fit_their_columns),
        UNIT_TEST(test_the_mark),
        UNIT_TEST(test_a_mark_at_the_columns_limit),
        UNIT_TEST(test_a_mark_that_is_not_kept),
        UNIT_TEST(test_the_time_travels_along),
        UNIT_TEST(test_names_of_verdicts),
    };

    return UNIT_RUN(tests);
}
