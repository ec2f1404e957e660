/* A CRM that names its rows itself and whose state follows from a stage, in memory, with a referral (unit_deal.h) on the other side. (crm-apis.md B14)
 *
 * Closed rows take writes, IsClosed, IsWon and "$state" follow the stage, text is trimmed, "" is nothing, a record is made by the referral's id and gets an id of its own.
 */
#ifndef CS_TESTS_UNIT_STAGE_H
#define CS_TESTS_UNIT_STAGE_H

#include "unit_deal.h"

#include "mod_cosell/remote/salesforce/salesforce.h"

#define STAGE_HOLD "Partner Center - not accepted"
#define STAGE_ID "0065f00000ABCDeAAP" /* what the CRM calls the record */
#define STAGE_STATE "$state"

static const char stage_mapping_text[] =
    "{\"crm\":\"salesforce\",\"revision\":\"1\",\"names\":{\"sync\":\"Sync__c\",\"id\":\"Referral__c\",\"hold\":\"" STAGE_HOLD "\",\"status\":\"Status__c\","
    "\"problem\":\"Problem__c\"},\"values\":{\"loss\":{\"pairs\":{\"ProjectBudgetNotAdequate\":\"Price\"},\"else\":{\"to_pc\":\"Others\",\"to_crm\":\"Other\"}}},"
    "\"records\":{\"opportunity\":{\"table\":\"Opportunity\",\"key\":\"@id\",\"from_pc\":{\"when\":{\"pc\":\"$kind\",\"in\":[\"co-sell\",\"private\"]},"
    "\"set\":{\"@sync\":true}},\"from_crm\":{\"when\":{\"crm\":\"@sync\",\"is\":true},\"opt_out\":\"pause\"},\"state\":{\"hear\":["
    "{\"pc\":\"New\",\"crm\":{\"StageName\":\"@hold\"},\"do\":\"wait\"},"
    "{\"pc\":\"New\",\"crm\":{\"IsClosed\":false},\"do\":\"accept\"},"
    "{\"pc\":\"New\",\"crm\":{\"IsWon\":true},\"do\":[\"accept\",\"win\"]},"
    "{\"pc\":\"New\",\"crm\":{\"IsClosed\":true},\"do\":\"decline\",\"reason\":{\"crm\":\"Loss__c\",\"values\":\"loss\"}},"
    "{\"pc\":\"Active\",\"crm\":{\"StageName\":\"@hold\"},\"do\":\"refuse\",\"say\":\"hold is for unanswered referrals\"},"
    "{\"pc\":\"Active\",\"crm\":{\"StageName\":[\"Prospecting\",\"Qualification\"]},\"do\":\"stay\",\"sales_stage\":20},"
    "{\"pc\":\"Active\",\"crm\":{\"StageName\":\"Proposal\"},\"do\":\"stay\",\"sales_stage\":60},"
    "{\"pc\":\"Active\",\"crm\":{\"IsClosed\":false},\"do\":\"stay\"},"
    "{\"pc\":\"Active\",\"crm\":{\"IsWon\":true},\"do\":\"win\"},"
    "{\"pc\":\"Active\",\"crm\":{\"IsClosed\":true},\"do\":\"lose\",\"reason\":{\"crm\":\"Loss__c\",\"values\":\"loss\"}},"
    "{\"pc\":\"Closed\",\"crm\":{\"IsClosed\":false},\"do\":\"refuse\",\"say\":\"reopened here\"}],"
    "\"show\":{\"New\":{\"set\":{\"StageName\":\"@hold\"}},\"Active\":{\"set\":{\"StageName\":\"Qualification\"}},\"Closed/Won\":{\"set\":{\"StageName\":\"Closed Won\"}},"
    "\"Closed/Lost\":{\"set\":{\"StageName\":\"Closed Lost\",\"Loss__c\":{\"pc\":\"/statusReason\",\"values\":\"loss\"}}},\"Closed/Error\":{\"unlink\":true},"
    "\"Closed/Declined\":{\"set\":{\"StageName\":\"Closed Lost\",\"Loss__c\":\"Other\"}},"
    "\"Closed/Expired\":{\"if_was\":\"New\",\"set\":{\"StageName\":\"Closed Lost\",\"Loss__c\":\"Other\"}}}},"
    "\"lines\":{\"id\":{\"pc\":\"/externalReferenceId\",\"crm\":\"Id\",\"direction\":\"to_pc\"},"
    "\"name\":{\"pc\":\"/name\",\"crm\":\"Name\",\"max\":120,\"to_pc\":{\"events\":[\"create\"]}},"
    "\"notes\":{\"pc\":\"/details/notes\",\"crm\":\"Description\",\"max\":2000},"
    "\"program\":{\"pc\":\"/referralProgram\",\"crm\":\"Program__c\",\"direction\":\"to_crm\",\"max\":100}},"
    "\"lists\":{\"solutions\":{\"pc\":\"/details/requirements/solutions\",\"key\":\"id\",\"set\":{\"type\":\"Name\"},"
    "\"crm\":{\"child\":\"Solution__c\",\"parent\":\"Opportunity__c\",\"key\":\"Row_Key__c\",\"fields\":{\"id\":\"Solution_Id__c\",\"name\":\"Name\"}}}},"
    "\"tell\":{\"id\":\"@id\",\"status\":\"@status\",\"problem\":\"@problem\"}},"
    "\"lead\":{\"table\":\"Lead\",\"key\":\"@id\",\"from_pc\":{\"when\":{\"pc\":\"$kind\",\"in\":[\"marketplace-lead\",\"qualified-lead\"]}},"
    "\"becomes\":{\"record\":\"opportunity\",\"via\":\"ConvertedOpportunityId\",\"on_accept_in_pc\":\"tell-seller\"},"
    "\"state\":{\"hear\":[{\"pc\":\"New\",\"crm\":{\"IsConverted\":false},\"do\":\"wait\"}],\"show\":{\"Closed/Won\":{\"set\":{}},\"Closed/Error\":{\"unlink\":true},"
    "\"Closed/Expired\":{\"if_was\":\"New\",\"set\":{\"Status\":\"Closed - Not Converted\"}},\"Closed\":{\"set\":{\"Status\":\"Closed - Not Converted\"}}}},"
    "\"lines\":{\"company\":{\"pc\":\"/customerProfile/name\",\"crm\":\"Company\",\"direction\":\"to_crm\"}},"
    "\"tell\":{\"id\":\"@id\",\"status\":\"@status\",\"problem\":\"@problem\"}}}}";

static const char stage_metadata_text[] =
    "{\"tables\":{\"Opportunity\":{\"columns\":{\"StageName\":{\"label\":\"Stage\",\"type\":\"choice\",\"options\":["
    "{\"value\":\"Prospecting\",\"label\":\"Prospecting\",\"state\":0},{\"value\":\"Qualification\",\"label\":\"Qualification\",\"state\":0},"
    "{\"value\":\"Proposal\",\"label\":\"Proposal\",\"state\":0},{\"value\":\"" STAGE_HOLD "\",\"label\":\"" STAGE_HOLD "\",\"state\":0},"
    "{\"value\":\"Closed Won\",\"label\":\"Closed Won\",\"state\":1},{\"value\":\"Won by Partner\",\"label\":\"Won by Partner\",\"state\":1},"
    "{\"value\":\"Closed Lost\",\"label\":\"Closed Lost\",\"state\":2},{\"value\":\"Dead\",\"label\":\"Dead\",\"state\":2}]},"
    "\"Loss__c\":{\"label\":\"Loss Reason\",\"type\":\"choice\",\"options\":[{\"value\":\"Price\",\"label\":\"Price\"},{\"value\":\"Other\",\"label\":\"Other\"}]},"
    "\"IsClosed\":{\"label\":\"Closed\",\"type\":\"flag\",\"calculated\":true},\"IsWon\":{\"label\":\"Won\",\"type\":\"flag\",\"calculated\":true}}}}}";

typedef struct stage_t {
    deal_world_t *w;
    json_t *metadata; /* NULL = nobody has asked yet */
    const char *table;
    const char *given;   /* the id that the next record gets */
    const char *rule;    /* the stage that a rule of the organisation makes of every new record; NULL */
    apr_time_t now, modified;
    int silent;          /* writes show nothing */
    int made;            /* records made so far */
    json_t *refuses;     /* path at Partner Center -> why */
} stage_t;

static inline cs_mapping_t *stage_mapping(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, stage_mapping_text);
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    for (; changes && changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "stages.json", &cs_salesforce_facts, NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static inline stage_t *stage_world(apr_pool_t *p, const char *kind, const char *const *changes)
{
    stage_t *s = apr_pcalloc(p, sizeof(*s));

    s->w = deal_world_of(p, stage_mapping(p, changes));
    s->w->kind = cs_mapping_kind(s->w->mapping, kind);
    s->table = cs_mapping_kind_table(s->w->kind);
    s->metadata = deal_json(p, stage_metadata_text);
    s->given = STAGE_ID;
    s->now = DEAL_NOW;
    s->modified = DEAL_NOW;
    return s;
}

/* What the row makes of its stage. A stage that nobody knows is an open one. */
static inline void stage_follow(stage_t *s)
{
    const json_t *options = cs_json_pointer(deal_json(s->w->p, stage_metadata_text), "/tables/Opportunity/columns/StageName/options");
    const char *stage = cs_json_str(s->w->row, "StageName");
    int state = 0;
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);

        if (stage && !strcmp(stage, cs_json_str(option, "value"))) {
            state = (int)cs_json_int(option, "state", 0);
        }
    }
    if (!strcmp(s->table, "Lead")) {
        state = cs_json_bool(s->w->row, "IsConverted", 0);
    }
    else {
        json_object_set_new(s->w->row, "IsClosed", json_boolean(state > 0));
        json_object_set_new(s->w->row, "IsWon", json_boolean(state == 1));
    }
    json_object_set_new(s->w->row, STAGE_STATE, json_integer(state));
}

static inline void stage_write(stage_t *s, const json_t *columns)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)columns, column, value) {
        const char *text = json_string_value(value);
        size_t from = 0, to = text ? strlen(text) : 0;

        if (!strcmp(column, STAGE_STATE) || !strcmp(column, "IsClosed") || !strcmp(column, "IsWon") || !strcmp(column, "Id")) {
            fail_msg("%s is written, and cannot be: %s", column, cs_json_print(columns, s->w->p));
        }
        while (from < to && text[from] == ' ') {
            from++;
        }
        while (to > from && (text[to - 1] == ' ' || text[to - 1] == '\n')) {
            to--;
        }
        json_object_set_new(s->w->row, column, !text ? json_deep_copy(value) : to == from ? json_null() : json_stringn(text + from, to - from));
    }
    stage_follow(s);
    s->w->version++;
    s->w->writes++;
    s->modified = s->now;
}

/* A user writes a column. */
static inline void stage_edit(stage_t *s, const char *column, const char *value)
{
    json_t *columns = cs_json_own(json_object(), s->w->p);

    json_object_set_new(columns, column, json_string(value));
    stage_write(s, columns);
    s->w->writes--;
}

static inline void stage_row(stage_t *s, const char *id)
{
    const apr_array_header_t *columns = cs_mapping_columns(s->w->kind);
    int i;

    s->w->row = cs_json_own(json_object(), s->w->p);
    for (i = 0; i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);

        json_object_set_new(s->w->row, apr_pstrmemdup(s->w->p, column, strcspn(column, "/")),
                            !strcmp(column, "Sync__c") || !strcmp(column, "IsConverted") ? json_false() : json_null());
    }
    json_object_set_new(s->w->row, "Id", json_string(id));
    stage_follow(s);
}

static inline const cs_record_t *stage_shown(stage_t *s)
{
    cs_record_t *record = apr_pcalloc(s->w->p, sizeof(*record));

    record->table = s->table;
    record->id = cs_json_str(s->w->row, "Id");
    record->version = deal_version(s->w);
    record->modified = s->modified;
    record->row = cs_json_own(json_deep_copy(s->w->row), s->w->p);
    return record;
}

static inline cs_plan_t *stage_plan(stage_t *s)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(s->w);
    s->w->look.now = s->now;
    s->w->look.metadata = s->metadata;
    s->w->look.record = s->w->row ? stage_shown(s) : NULL;
    if (cs_reconcile_plan(&s->w->plan, &s->w->look, s->w->p, s->w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return s->w->plan;
}

/* A value with one id in the place of another. */
static inline json_t *stage_named(stage_t *s, json_t *value, const char *from, const char *to)
{
    const char *text = value ? cs_json_print(value, s->w->p) : "", *at;
    int found = 0;

    while ((at = strstr(text, from)) != NULL) {
        text = apr_pstrcat(s->w->p, apr_pstrmemdup(s->w->p, text, (apr_size_t)(at - text)), to, at + strlen(from), NULL);
        found = 1;
    }
    return found ? deal_json(s->w->p, text) : value;
}

/* The id that the CRM gave takes the place of the one that stood for it in all of the plan, as the engine does it. */
static inline void stage_rename(stage_t *s, const char *from, const char *to)
{
    int i;

    for (i = 0; i < s->w->plan->steps->nelts; i++) {
        cs_step_t *step = APR_ARRAY_IDX(s->w->plan->steps, i, cs_step_t *);

        step->id = step->id && !strcmp(step->id, from) ? to : step->id;
        step->columns = stage_named(s, step->columns, from, to);
    }
    for (i = 0; i < s->w->plan->lines->nelts; i++) {
        cs_line_view_t *view = APR_ARRAY_IDX(s->w->plan->lines, i, cs_line_view_t *);

        view->crm = stage_named(s, view->crm, from, to);
        view->value = stage_named(s, view->value, from, to);
    }
    s->w->plan->intent = stage_named(s, s->w->plan->intent, from, to);
}

static inline void stage_create(stage_t *s, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *columns = json_copy(step->columns);

    assert_non_null(step->key);
    assert_string_equal(cs_json_str(step->key, "Referral__c"), DEAL_REFERRAL);
    stage_row(s, s->given);
    stage_write(s, columns);
    stage_write(s, step->key);
    s->w->writes--;
    if (s->rule) {
        stage_edit(s, "StageName", s->rule);
    }
    s->made++;
    applied->made = s->given;
    json_decref(columns);
}

static inline void stage_step(stage_t *s, cs_step_t *step, cs_applied_t *applied)
{
    if (step->kind == CS_STEP_PATCH_PC && !s->w->fail) {
        deal_patch(s->w, step, applied);
        return;
    }
    applied->tried = applied->calls = 1;
    if (s->w->fail) {
        applied->result.cls = CS_CLASS_RETRY;
        return;
    }
    applied->done = 1;
    if (step->list) {
        return;
    }
    if (step->kind == CS_STEP_CREATE) {
        stage_create(s, step, applied);
    }
    else if (step->kind == CS_STEP_UPDATE) {
        assert_string_equal(step->id, cs_json_str(s->w->row, "Id"));
        stage_write(s, step->columns);
    }
    else {
        fail_msg("a step %s", cs_step_kind_name(step->kind));
    }
    applied->after = s->silent ? NULL : stage_shown(s);
}

static inline void stage_apply(stage_t *s)
{
    int i;

    s->w->applied = apr_pcalloc(s->w->p, sizeof(cs_applied_t) * (size_t)(s->w->plan->steps->nelts + 1));
    s->w->deal.intent = s->w->plan->intent ? s->w->plan->intent : s->w->deal.intent;
    for (i = 0; i < s->w->plan->steps->nelts; i++) {
        cs_step_t *step = APR_ARRAY_IDX(s->w->plan->steps, i, cs_step_t *);

        if (step->send && (step->after < 0 || s->w->applied[step->after].done)) {
            stage_step(s, step, &s->w->applied[i]);
        }
        if (s->w->applied[i].made) {
            stage_rename(s, step->id, s->w->applied[i].made);
        }
    }
}

static inline void stage_settle(stage_t *s)
{
    cs_deal_t before = s->w->deal;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    s->w->look.deal = &before;
    if (cs_reconcile_settle(&s->w->deal, s->w->journal, s->w->plan, &s->w->look, s->w->applied, s->w->p, s->w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    s->w->look.deal = &s->w->deal;
}

static inline cs_plan_t *stage_look(stage_t *s)
{
    stage_plan(s);
    stage_apply(s);
    stage_settle(s);
    return s->w->plan;
}

/* A second look writes nothing. */
static inline void stage_rests(stage_t *s)
{
    int writes = s->w->writes + s->w->pc_writes;

    s->now += apr_time_from_sec(DEAL_PAUSE);
    stage_look(s);
    if (s->w->writes + s->w->pc_writes != writes) {
        fail_msg("a second look writes: %s", cs_json_print(s->w->plan->explain, s->w->p));
    }
}

static inline const char *stage_of(stage_t *s)
{
    return cs_json_str(s->w->row, "StageName");
}

static inline const char *stage_pc(stage_t *s)
{
    return apr_pstrcat(s->w->p, cs_json_str(s->w->doc, "status"), "/", cs_json_str(s->w->doc, "substatus"), NULL);
}

/* A person moves the referral. */
static inline void stage_move_pc(stage_t *s, const char *status, const char *substatus)
{
    deal_status(s->w, status, substatus);
    s->w->pc_version++;
}

/* A deal whose record was made while the referral was unanswered, some time ago; or accepted at Partner Center since. */
static inline stage_t *stage_deal(apr_pool_t *p, const char *status, const char *const *changes)
{
    stage_t *s = stage_world(p, "opportunity", changes);

    s->w->deal.created = s->now;
    stage_look(s);
    s->now += apr_time_from_sec(3600);
    if (!strcmp(status, "Active")) {
        stage_move_pc(s, "Active", "Accepted");
    }
    stage_look(s);
    stage_rests(s);
    assert_int_equal(s->w->deal.state, CS_DEAL_LINKED);
    s->now += apr_time_from_sec(3600);
    return s;
}

static inline int stage_journalled(const stage_t *s, const char *action)
{
    int i, n = 0;

    for (i = 0; i < s->w->journal->nelts; i++) {
        n += !strcmp(APR_ARRAY_IDX(s->w->journal, i, cs_journal_t *)->action, action);
    }
    return n;
}

#endif
