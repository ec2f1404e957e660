/* Lists: an array of the referral and rows of the CRM, item by item. */
#include "unit_list.h"

#define PC_SOLUTIONS "[{\"id\":\"SOL-1\",\"name\":\"Backup\",\"type\":\"Name\",\"price\":1.5},{\"id\":\"sol-2\",\"name\":\"Vault\"}]"
#define PC_CONTACTS \
    "[{\"firstName\":\"Ann\",\"lastName\":\"Lee\",\"email\":\"Ann@x.example\",\"phoneNumber\":\"1\",\"contactPreference\":{\"locale\":\"en\"}}," \
    "{\"firstName\":\"Bob\",\"lastName\":\"Ray\",\"email\":\"bob@x.example\",\"phoneNumber\":\"2\"}]"
#define PC_TEAM "[{\"firstName\":\"Una\",\"email\":\"una@own.example\"},{\"firstName\":\"Udo\",\"email\":\"udo@own.example\"},{\"firstName\":\"Out\",\"email\":\"out@own.example\"}]"

#define CHILD "msft_microsoftsolution"
#define CATALOGUE "msft_microsoftsolutiondetail"

/* What a user did to a list is told to Partner Center and the user, and nothing else is written. */
static void assert_only_told(const cs_plan_t *plan)
{
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->send && step->kind != CS_STEP_PATCH_PC && (step->lines->nelts != 1 || strcmp(APR_ARRAY_IDX(step->lines, 0, const char *), CS_LINE_TELL))) {
            fail_msg("%s is sent", cs_step_kind_name(step->kind));
        }
    }
}

static void users(list_world_t *l)
{
    list_add(l, "systemuser", "user-udo", "{\"internalemailaddress\":\"Udo@own.example\",\"firstname\":\"Udo\"}");
    list_add(l, "systemuser", "user-una", "{\"internalemailaddress\":\"una@own.example\",\"firstname\":\"Una\"}");
    list_add(l, "systemuser", "user-sue", "{\"internalemailaddress\":\"sue@own.example\",\"firstname\":\"Sue\"}");
}

/* A deal whose record was made with everything. */
static list_world_t *settled(apr_pool_t *p)
{
    list_world_t *l = list_world(p);

    users(l);
    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    deal_set(l->w, LIST_CONTACTS, PC_CONTACTS);
    deal_set(l->w, LIST_TEAM, PC_TEAM);
    list_look(l);
    json_object_set(l->w->doc, "externalReferenceId", cs_json_get(l->w->row, "opportunityid"));
    list_look(l);
    assert_rests(l);
    return l;
}

/* Microsoft does not see the referral: its contacts are not fixed yet. */
static void unshared(list_world_t *l)
{
    deal_set(l->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    list_look(l);
}

static size_t count(list_world_t *l, const char *table)
{
    return json_array_size(list_table(l, table));
}

static json_t *row_at(list_world_t *l, const char *table, size_t i)
{
    return cs_json_get(json_array_get(list_table(l, table), i), "row");
}

/* The rows of the list, told by the key that is read with them. */
static const char *shown_solutions(list_world_t *l)
{
    const char *out = "";
    size_t i;

    for (i = 0; i < count(l, CHILD); i++) {
        out = apr_pstrcat(l->p, out, *out ? " " : "", cs_json_str(cs_json_get(row_at(l, CHILD, i), "msft_solutiondetailid"), "msft_solutionidentifier"), NULL);
    }
    return out;
}

static void drop_row(list_world_t *l, const char *table, size_t i)
{
    json_array_remove(list_table(l, table), i);
}

static const cs_step_t *step_of(const cs_plan_t *plan, const char *line)
{
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->list && !strcmp(APR_ARRAY_IDX(step->lines, 0, const char *), line)) {
            return step;
        }
    }
    fail_msg("no step for %s", line);
    return NULL;
}

/* What would be sent to Partner Center in place of the array; NULL = nothing. */
static const json_t *to_pc(list_world_t *l, const char *path)
{
    const cs_step_t *step = deal_find_step(l->w->plan, CS_STEP_PATCH_PC);
    json_t *op;
    size_t i;

    for (i = 0; step && i < json_array_size(step->columns); i++) {
        op = json_array_get(step->columns, i);
        if (!strcmp(cs_json_str(op, "path"), path)) {
            return cs_json_get(op, "value");
        }
    }
    return NULL;
}

/* A user adds a row for a solution of the catalogue. */
static void user_adds(list_world_t *l, const char *id)
{
    json_t *entry;

    list_add(l, CATALOGUE, apr_psprintf(l->p, "cat-%s", id), apr_psprintf(l->p, "{\"msft_solutionidentifier\":\"%s\",\"msft_solutionname\":\"%s\"}", id, id));
    list_add(l, CHILD, apr_psprintf(l->p, "own-%s", id), "{}");
    entry = row_at(l, CHILD, count(l, CHILD) - 1);
    json_object_set_new(entry, "msft_opportunityid", json_pack("{s:O}", "id", cs_json_get(l->w->row, "opportunityid")));
    json_object_set_new(entry, "msft_solutiondetailid", list_expanded(l, CATALOGUE, apr_psprintf(l->p, "cat-%s", id)));
}

/* ---- rows of a child table ---- */

static void test_child_create(void **state)
{
    list_world_t *l = list_world(*state);
    const cs_step_t *step;

    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    list_plan(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_TO_CRM);
    step = step_of(l->w->plan, "solutions/sol-1");
    assert_int_equal(step->kind, CS_STEP_CREATE);
    assert_string_equal(step->table, CHILD);
    assert_string_equal(step->list, "solutions");
    assert_int_equal(step->lines->nelts, 1);
    assert_int_equal(step->after, 0);
    assert_string_equal(step->id, cs_uuid5_url("cosell:contoso:" DEAL_REFERRAL ":" CHILD ":sol-1", l->p));
    assert_string_equal(step->why, "solution Backup (SOL-1): new record");
    assert_json(l->w, cs_json_get(step->columns, "msft_opportunityid"),
                apr_psprintf(l->p, "{\"$ref\":{\"table\":\"opportunity\",\"id\":\"%s\"}}", APR_ARRAY_IDX(l->w->plan->steps, 0, cs_step_t *)->id));
    assert_json(l->w, cs_json_get(cs_json_get(cs_json_get(step->columns, "msft_solutiondetailid"), "$lookup"), "keys"), "[{\"msft_solutionidentifier\":\"SOL-1\"}]");
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-1 sol-2");
    assert_int_equal(count(l, CATALOGUE), 2);
    assert_json(l->w, cs_json_get(cs_json_get(l->w->deal.images, "solutions/sol-1"), "crm"), "{\"id\":\"SOL-1\"}");
    assert_rests(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_EQUAL);
}

static void test_child_moves_at_partner_center(void **state)
{
    list_world_t *l = settled(*state);
    int writes = l->writes;

    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\" SOL-2 \"},{\"id\":\"sol-1\",\"name\":\"Backup\"}]");
    assert_rests(l); /* another order, another case, blanks */
    assert_int_equal(l->writes, writes);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-3\",\"name\":\"New\"},{\"id\":\"SOL-1\"}]");
    list_look(l);
    assert_verdict(l->w, "solutions/sol-2", CS_VERDICT_TO_CRM);
    assert_int_equal(step_of(l->w->plan, "solutions/sol-2")->kind, CS_STEP_DELETE);
    assert_string_equal(step_of(l->w->plan, "solutions/sol-2")->guard, "1");
    assert_string_equal(shown_solutions(l), "SOL-1 SOL-3");
    assert_null(cs_json_get(l->w->deal.images, "solutions/sol-2"));
    assert_rests(l);
}

static void test_child_moves_in_the_crm(void **state)
{
    list_world_t *l = settled(*state);
    const cs_step_t *step;

    drop_row(l, CHILD, 0);
    user_adds(l, "SOL-9");
    list_look(l);
    assert_only_told(l->w->plan);
    assert_string_equal(l->w->deal.status, "In sync");
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_TO_PC);
    assert_verdict(l->w, "solutions/sol-9", CS_VERDICT_TO_PC);
    step = deal_find_step(l->w->plan, CS_STEP_PATCH_PC);
    assert_non_null(step);
    assert_json(l->w, json_array_get(step->columns, 0),
                "{\"op\":\"replace\",\"path\":\"/details/requirements/solutions\",\"value\":[{\"id\":\"sol-2\",\"name\":\"Vault\"},"
                "{\"id\":\"SOL-9\",\"type\":\"Name\"}]}");
    assert_int_equal(json_array_size(step->columns), 1);
    assert_int_equal(step->lines->nelts, 2);
    /* Somebody does it by hand. */
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-9\",\"name\":\"Nine\"},{\"id\":\"sol-2\",\"name\":\"Vault\"}]");
    list_look(l);
    assert_only_told(l->w->plan);
    assert_null(to_pc(l, LIST_SOLUTIONS));
    assert_rests(l);
}

static void test_child_both(void **state)
{
    list_world_t *l = settled(*state);

    drop_row(l, CHILD, 1);
    user_adds(l, "SOL-3");
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\"},{\"id\":\"SOL-3\"}]");
    list_look(l); /* both removed the one and added the other */
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-2", CS_VERDICT_EQUAL);
    assert_verdict(l->w, "solutions/sol-3", CS_VERDICT_EQUAL);
    assert_null(cs_json_get(l->w->deal.images, "solutions/sol-2"));
    assert_rests(l);
}

static void test_child_first_meeting(void **state)
{
    list_world_t *l = list_world(*state);

    list_existing(l);
    user_adds(l, "SOL-2");
    user_adds(l, "SOL-7");
    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-2 SOL-7 SOL-1"); /* united, nothing removed */
    assert_verdict(l->w, "solutions/sol-7", CS_VERDICT_TO_PC);
    assert_rests(l);
    assert_json(l->w, cs_json_pointer(l->w->doc, LIST_SOLUTIONS "/2/id"), "\"SOL-7\"");
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\"}]");
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-1"); /* SOL-7 had come there, and was taken away there */
    assert_rests(l);
}

static void test_child_min(void **state)
{
    list_world_t *l = settled(*state);

    list_of(l, "solutions")->min = 1;
    deal_set(l->w, LIST_SOLUTIONS, "[]");
    list_look(l);
    assert_string_equal(shown_solutions(l), "sol-2");
    assert_verdict(l->w, "solutions/sol-2", CS_VERDICT_STAYS);
    assert_rests(l);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-5\"}]");
    list_look(l); /* another has come: now it goes */
    assert_string_equal(shown_solutions(l), "SOL-5");
    assert_rests(l);
    drop_row(l, CHILD, 0);
    list_look(l);
    assert_verdict(l->w, "solutions/sol-5", CS_VERDICT_STAYS);
    assert_null(to_pc(l, LIST_SOLUTIONS));
    list_of(l, "solutions")->min_by_kind = deal_json(l->p, "{\"co-sell\":0}");
    list_plan(l);
    assert_verdict(l->w, "solutions/sol-5", CS_VERDICT_TO_PC);
}

static void test_child_max(void **state)
{
    list_world_t *l = settled(*state);

    list_of(l, "solutions")->max = 3;
    user_adds(l, "SOL-8");
    user_adds(l, "SOL-9");
    list_look(l);
    assert_verdict(l->w, "solutions/sol-8", CS_VERDICT_TO_PC);
    assert_verdict(l->w, "solutions/sol-9", CS_VERDICT_SKIPPED);
    assert_int_equal(json_array_size(to_pc(l, LIST_SOLUTIONS)), 3);
}

static void test_child_ways(void **state)
{
    list_world_t *l = settled(*state);

    list_of(l, "solutions")->to_pc = 0;
    user_adds(l, "SOL-9");
    drop_row(l, CHILD, 0);
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-9", CS_VERDICT_ONE_WAY);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_ONE_WAY);
    assert_rests(l);
    list_of(l, "solutions")->to_pc = 1;
    list_of(l, "solutions")->to_crm_add_only = list_of(l, "solutions")->to_pc_add_only = 1;
    drop_row(l, CHILD, 0);
    list_look(l); /* the record lost sol-2, Partner Center keeps it */
    assert_verdict(l->w, "solutions/sol-2", CS_VERDICT_STAYS);
    assert_null(to_pc(l, LIST_SOLUTIONS));
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-4\"}]");
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-9 SOL-4");
    assert_rests(l);
    deal_set(l->w, LIST_SOLUTIONS, "[]");
    list_look(l);
    assert_verdict(l->w, "solutions/sol-4", CS_VERDICT_STAYS);
    assert_string_equal(shown_solutions(l), "SOL-9 SOL-4");
    assert_rests(l);
}

static void test_child_events(void **state)
{
    list_world_t *l = list_world(*state);

    list_of(l, "solutions")->events = CS_ON_CREATE;
    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-1 sol-2");
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-3\"}]");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-3", CS_VERDICT_CREATE_ONLY);
    assert_string_equal(shown_solutions(l), "SOL-1 sol-2");
}

static void test_child_when(void **state)
{
    list_world_t *l = settled(*state);
    cs_cond_t *cond = apr_pcalloc(l->p, sizeof(*cond));

    cond->op = CS_COND_FALSE;
    cond->text = "never";
    list_of(l, "solutions")->when = cond;
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-3\"}]");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-3", CS_VERDICT_SKIPPED);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_SKIPPED);
    assert_string_equal(deal_view(l->w->plan, "solutions/sol-3")->why, "only when never");
    cond->op = CS_COND_TRUE;
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-3");
}

static void test_unreadable(void **state)
{
    list_world_t *l = settled(*state);

    json_object_set_new(l->unreadable, "solutions", json_true());
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-3\"}]");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_UNREADABLE);
    assert_verdict(l->w, "solutions/sol-3", CS_VERDICT_UNREADABLE);
    assert_non_null(cs_json_get(l->w->deal.images, "solutions/sol-1"));
    json_object_clear(l->unreadable);
    /* Rows whose catalogue cannot be read say nothing either. */
    json_object_del(cs_json_get(row_at(l, CHILD, 0), "msft_solutiondetailid"), "msft_solutionidentifier");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-2", CS_VERDICT_UNREADABLE);
    /* And an answer without the array has removed nothing. */
    json_object_set_new(cs_json_get(row_at(l, CHILD, 0), "msft_solutiondetailid"), "msft_solutionidentifier", json_string("SOL-1"));
    json_object_del(cs_json_pointer(l->w->doc, "/details/requirements"), "solutions");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_UNREADABLE);
    json_object_set_new(cs_json_pointer(l->w->doc, "/details/requirements"), "solutions", json_null());
    list_look(l); /* null says that there is none */
    assert_string_equal(shown_solutions(l), "");
    assert_rests(l);
}

static void test_items_without_a_key(void **state)
{
    list_world_t *l = settled(*state);
    const json_t *value;

    deal_set(l->w, LIST_SOLUTIONS, "[{\"name\":\"no key\"},{\"id\":\"\"},7,{\"id\":\"SOL-1\"},{\"id\":\"sol-1\",\"name\":\"twin\"},{\"id\":\"SOL-2\"}]");
    json_object_set_new(row_at(l, CHILD, 1), "msft_solutiondetailid", json_null());
    user_adds(l, "sol-1");
    list_look(l);
    assert_only_told(l->w->plan);
    assert_has(deal_view(l->w->plan, "solutions/sol-1")->why, "1 more row");
    value = to_pc(l, LIST_SOLUTIONS);
    assert_json(l->w, value, "[{\"name\":\"no key\"},{\"id\":\"\"},7,{\"id\":\"SOL-1\"},{\"id\":\"sol-1\",\"name\":\"twin\"}]");
}

static void test_closed_record(void **state)
{
    list_world_t *l = settled(*state);

    deal_edit(l->w, "statecode", "2");
    deal_edit(l->w, "statuscode", "4");
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-3\"}]");
    list_look(l);
    assert_verdict(l->w, "solutions/sol-3", CS_VERDICT_CLOSED);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_CLOSED);
    assert_string_equal(shown_solutions(l), "SOL-1 sol-2");
    deal_edit(l->w, "statecode", "0");
    deal_edit(l->w, "statuscode", "1");
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-3");
    assert_rests(l);
}

static void test_items_before_the_close(void **state)
{
    list_world_t *l = settled(*state);
    int i, child = -1, call = -1;

    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-3\"}]");
    deal_status(l->w, "Closed", "Won");
    list_plan(l);
    for (i = 0; i < l->w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(l->w->plan->steps, i, cs_step_t *);

        child = step->list ? i : child;
        call = step->kind == CS_STEP_CALL ? i : call;
    }
    assert_true(child >= 0 && call > child);
}

static void test_refused_item(void **state)
{
    list_world_t *l = list_world(*state);

    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    json_object_set_new(l->refuse, "sol-1", json_string("too long"));
    list_look(l);
    assert_string_equal(shown_solutions(l), "sol-2");
    list_look(l); /* which says so */
    assert_rests(l); /* not sent again until something moves */
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_REFUSED);
    assert_has(deal_view(l->w->plan, "solutions/sol-1")->why, "too long");
    list_look(l);
    json_object_clear(l->refuse);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Short\"},{\"id\":\"sol-2\"}]");
    list_look(l);
    assert_string_equal(shown_solutions(l), "sol-2 SOL-1");
    list_look(l);
    assert_rests(l);
}

/* The look that wrote dies before it settles; a user removes one of its rows before the next. */
static void test_crash(void **state)
{
    list_world_t *l = settled(*state);

    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\"},{\"id\":\"SOL-3\"},{\"id\":\"SOL-4\"}]");
    l->lose = 1;
    list_look(l);
    l->lose = 0;
    assert_string_equal(shown_solutions(l), "SOL-1 SOL-3 SOL-4");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_null(to_pc(l, LIST_SOLUTIONS));
    assert_non_null(cs_json_get(l->w->deal.images, "solutions/sol-3"));
    assert_null(cs_json_get(l->w->deal.images, "solutions/sol-2"));
    assert_rests(l);
}

/* A user turned our row into another solution's: its id is not used a second time. */
static void test_own_row_turned(void **state)
{
    list_world_t *l = settled(*state);
    const char *first = cs_json_str(json_array_get(list_table(l, CHILD), 0), "id");

    user_adds(l, "SOL-6");
    json_object_set_new(row_at(l, CHILD, 0), "msft_solutiondetailid", json_deep_copy(cs_json_get(row_at(l, CHILD, 2), "msft_solutiondetailid")));
    drop_row(l, CHILD, 2);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-6\"},{\"id\":\"SOL-2\"}]");
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-6\"},{\"id\":\"SOL-2\"},{\"id\":\"SOL-1\"}]");
    list_look(l);
    assert_string_equal(shown_solutions(l), "SOL-6 sol-2 SOL-1");
    assert_string_not_equal(step_of(l->w->plan, "solutions/sol-1")->id, first);
    assert_rests(l);
}

/* ---- columns of the child row itself ---- */

static list_world_t *fields_world(apr_pool_t *p)
{
    list_world_t *l = list_world_of(p, deal_mapping(p, NULL));

    list_salesforce(l);
    users(l);
    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    deal_set(l->w, LIST_CONTACTS, PC_CONTACTS);
    deal_set(l->w, LIST_TEAM, PC_TEAM);
    list_look(l);
    json_object_set(l->w->doc, "externalReferenceId", cs_json_get(l->w->row, "opportunityid"));
    list_look(l);
    assert_rests(l);
    return l;
}

static void test_fields(void **state)
{
    list_world_t *l = fields_world(*state);
    const cs_step_t *step;

    assert_json(l->w, cs_json_get(row_at(l, "Microsoft_Solution__c", 0), "Name"), "\"Backup\"");
    assert_json(l->w, cs_json_get(row_at(l, "Microsoft_Solution__c", 0), "Solution_Identifier__c"), "\"SOL-1\"");
    assert_json(l->w, cs_json_get(row_at(l, "Microsoft_Solution__c", 0), "Price__c"), "1.5");
    assert_json(l->w, cs_json_get(row_at(l, "OpportunityContactRole", 0), "IsPrimary"), "true");
    assert_int_equal(count(l, "OpportunityContactRole"), 2);
    assert_int_equal(count(l, "OpportunityTeamMember"), 2); /* the third is no user */
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Backup 2\",\"price\":1.5},{\"id\":\"sol-2\",\"name\":\"Vault\"}]");
    list_look(l);
    step = step_of(l->w->plan, "solutions/sol-1");
    assert_int_equal(step->kind, CS_STEP_UPDATE);
    assert_json(l->w, step->columns, "{\"Name\":\"Backup 2\"}");
    assert_string_equal(step->guard, "1");
    assert_rests(l);
    /* Removed on one side and changed on the other: it is kept. */
    json_object_set_new(row_at(l, "Microsoft_Solution__c", 0), "Name", json_string("Mine"));
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"sol-2\",\"name\":\"Vault\"}]");
    list_look(l);
    assert_only_told(l->w->plan);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_TO_PC);
    assert_json(l->w, to_pc(l, LIST_SOLUTIONS),
                "[{\"id\":\"sol-2\",\"name\":\"Vault\"},{\"id\":\"SOL-1\",\"name\":\"Mine\",\"price\":1.5}]");
}

static void test_fields_conflict(void **state)
{
    list_world_t *l = fields_world(*state);

    json_object_set_new(row_at(l, "Microsoft_Solution__c", 0), "Name", json_string("Mine"));
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Theirs\",\"price\":1.5},{\"id\":\"sol-2\",\"name\":\"Vault\"}]");
    list_look(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_HELD);
    list_look(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_HELD);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Theirs indeed\",\"price\":1.5},{\"id\":\"sol-2\",\"name\":\"Vault\"}]");
    list_look(l); /* the next edit decides */
    assert_json(l->w, cs_json_get(row_at(l, "Microsoft_Solution__c", 0), "Name"), "\"Theirs indeed\"");
    assert_rests(l);
    list_of(l, "solutions")->conflict = CS_POLICY_CRM;
    json_object_set_new(row_at(l, "Microsoft_Solution__c", 0), "Name", json_string("Mine"));
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Theirs\",\"price\":1.5},{\"id\":\"sol-2\",\"name\":\"Vault\"}]");
    list_plan(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_TO_PC);
    list_of(l, "solutions")->conflict = CS_POLICY_PC;
    list_look(l);
    assert_json(l->w, cs_json_get(row_at(l, "Microsoft_Solution__c", 0), "Name"), "\"Theirs\"");
    assert_rests(l);
}

static void test_user_rows(void **state)
{
    list_world_t *l = fields_world(*state);

    assert_verdict(l->w, "team/una@own.example", CS_VERDICT_EQUAL);
    assert_verdict(l->w, "team/out@own.example", CS_VERDICT_STAYS);
    deal_set(l->w, LIST_TEAM, "[{\"email\":\"una@own.example\"},{\"email\":\"sue@own.example\"}]");
    list_look(l);
    assert_int_equal(step_of(l->w->plan, "team/udo@own.example")->kind, CS_STEP_DELETE);
    assert_int_equal(count(l, "OpportunityTeamMember"), 2);
    assert_rests(l);
}

/* ---- the record's look-up ---- */

static const char *shown_contact(list_world_t *l)
{
    return cs_json_str(cs_json_get(l->w->row, "parentcontactid"), "emailaddress1");
}

static void show_contact(list_world_t *l, const char *id)
{
    if (id) {
        json_object_set_new(l->w->row, "parentcontactid", list_expanded(l, "contact", id));
    }
    else {
        json_object_set_new(l->w->row, "parentcontactid", json_null());
    }
    l->w->version++;
}

static void test_column_create(void **state)
{
    list_world_t *l = list_world(*state);
    const cs_step_t *create, *ensure;

    deal_set(l->w, LIST_CONTACTS, PC_CONTACTS);
    list_plan(l);
    create = deal_find_step(l->w->plan, CS_STEP_CREATE);
    assert_json(l->w, cs_json_get(cs_json_get(cs_json_get(create->columns, "parentcontactid"), "$lookup"), "columns"), "[\"parentcontactid\"]");
    assert_json(l->w, cs_json_get(cs_json_get(cs_json_get(create->columns, "parentcontactid"), "$lookup"), "line"), "\"contacts/ann@x.example\"");
    ensure = step_of(l->w->plan, "contacts/bob@x.example");
    assert_int_equal(ensure->kind, CS_STEP_ENSURE);
    assert_string_equal(ensure->why, "contact Bob Ray (bob@x.example): the record shows one contact; this one is made beside it");
    list_look(l);
    assert_string_equal(shown_contact(l), "Ann@x.example");
    assert_int_equal(count(l, "contact"), 2);
    assert_rests(l);
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_EQUAL);
    assert_verdict(l->w, "contacts/bob@x.example", CS_VERDICT_STAYS);
    assert_null(to_pc(l, LIST_CONTACTS));
}

static void test_column_moves_at_partner_center(void **state)
{
    list_world_t *l = settled(*state);

    deal_set(l->w, LIST_CONTACTS, "[{\"firstName\":\"Cat\",\"email\":\"cat@x.example\"},{\"email\":\"bob@x.example\"},{\"email\":\"ann@x.example\"}]");
    list_look(l); /* who is there stays there */
    assert_int_equal(step_of(l->w->plan, "contacts/cat@x.example")->kind, CS_STEP_ENSURE);
    assert_string_equal(shown_contact(l), "Ann@x.example");
    assert_int_equal(count(l, "contact"), 3);
    assert_rests(l);
    deal_set(l->w, LIST_CONTACTS, "[{\"email\":\"bob@x.example\"},{\"firstName\":\"Cat\",\"email\":\"cat@x.example\"}]");
    list_look(l);
    assert_string_equal(shown_contact(l), "bob@x.example");
    assert_rests(l);
    list_look(l);
    assert_null(cs_json_get(l->w->deal.images, "contacts/ann@x.example"));
    deal_set(l->w, LIST_CONTACTS, "[{\"email\":\"dan@x.example\"}]");
    list_look(l);
    assert_string_equal(shown_contact(l), "dan@x.example");
    list_look(l);
    deal_set(l->w, LIST_CONTACTS, "[]");
    list_look(l);
    assert_null(shown_contact(l));
    assert_int_equal(count(l, "contact"), 4); /* no contact is ever removed */
    assert_rests(l);
    deal_set(l->w, LIST_CONTACTS, "[{\"email\":\"ann@x.example\"}]");
    list_look(l); /* a vacant place is filled */
    assert_string_equal(shown_contact(l), "Ann@x.example");
    assert_rests(l);
}

static void test_column_min(void **state)
{
    list_world_t *l = settled(*state);

    list_of(l, "contacts")->min_by_kind = deal_json(l->p, "{\"co-sell\":1}");
    deal_set(l->w, LIST_CONTACTS, "[]");
    list_look(l);
    assert_string_equal(shown_contact(l), "Ann@x.example");
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_STAYS);
    deal_set(l->w, LIST_CONTACTS, "[{\"email\":\"eve@x.example\"}]");
    list_look(l);
    assert_string_equal(shown_contact(l), "eve@x.example");
    assert_rests(l);
}

static void test_column_moves_in_the_crm(void **state)
{
    list_world_t *l = settled(*state);
    const json_t *value;

    unshared(l);
    show_contact(l, cs_json_str(json_array_get(list_table(l, "contact"), 1), "id"));
    list_look(l); /* the other contact of the referral: nothing has gone */
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_null(to_pc(l, LIST_CONTACTS));
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_STAYS);
    list_add(l, "contact", "dan", "{\"firstname\":\"Dan\",\"lastname\":\"Fox\",\"emailaddress1\":\"Dan@x.example\",\"telephone1\":\"4\"}");
    show_contact(l, "dan");
    list_look(l);
    assert_only_told(l->w->plan);
    value = to_pc(l, LIST_CONTACTS);
    assert_int_equal(json_array_size(value), 3);
    assert_json(l->w, cs_json_get(json_array_get(value, 0), "contactPreference"), "{\"locale\":\"en\"}");
    assert_json(l->w, json_array_get(value, 2), "{\"firstName\":\"Dan\",\"lastName\":\"Fox\",\"email\":\"Dan@x.example\",\"phoneNumber\":\"4\"}");
    deal_set(l->w, LIST_CONTACTS, cs_json_print(value, l->p));
    list_look(l);
    show_contact(l, NULL);
    list_look(l); /* nobody: he has been removed */
    assert_only_told(l->w->plan);
    assert_verdict(l->w, "contacts/dan@x.example", CS_VERDICT_TO_PC);
    assert_true(json_is_null(deal_view(l->w->plan, "contacts/dan@x.example")->value));
    assert_null(shown_contact(l));
    assert_rests(l);
}

static void test_column_required(void **state)
{
    list_world_t *l = settled(*state);

    unshared(l);
    list_of(l, "contacts")->required = apr_array_make(l->p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(list_of(l, "contacts")->required, const char *) = "phoneNumber";
    list_add(l, "contact", "dan", "{\"firstname\":\"Dan\",\"lastname\":\"Fox\",\"emailaddress1\":\"Dan@x.example\",\"telephone1\":null}");
    show_contact(l, "dan");
    list_look(l);
    assert_verdict(l->w, "contacts/dan@x.example", CS_VERDICT_HELD);
    assert_string_equal(deal_view(l->w->plan, "contacts/dan@x.example")->why, "phoneNumber is missing");
    assert_null(to_pc(l, LIST_CONTACTS));
}

/* Rows that others use, too, are read and not written. */
static void test_column_members(void **state)
{
    list_world_t *l = settled(*state);
    const json_t *value;

    unshared(l);
    json_object_set_new(cs_json_pointer(l->w->doc, LIST_CONTACTS "/0"), "phoneNumber", json_string("99"));
    list_look(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_STAYS);
    assert_has(deal_view(l->w->plan, "contacts/ann@x.example")->why, "phoneNumber differs");
    json_object_set_new(cs_json_pointer(l->w->doc, LIST_CONTACTS "/0"), "phoneNumber", json_string("1"));
    list_look(l);
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_EQUAL);
    json_object_set_new(row_at(l, "contact", 0), "telephone1", json_string("55"));
    show_contact(l, cs_json_str(json_array_get(list_table(l, "contact"), 0), "id"));
    list_look(l);
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_TO_PC);
    value = to_pc(l, LIST_CONTACTS);
    assert_json(l->w, cs_json_get(json_array_get(value, 0), "phoneNumber"), "\"55\"");
    assert_json(l->w, cs_json_get(json_array_get(value, 0), "contactPreference"), "{\"locale\":\"en\"}");
}

/* Two rows fit one contact: he waits, everything else is written. */
static void test_column_held(void **state)
{
    list_world_t *l = list_world(*state);

    deal_set(l->w, LIST_CONTACTS, PC_CONTACTS);
    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    list_add(l, "contact", "ann-1", "{\"emailaddress1\":\"ann@x.example\"}");
    list_add(l, "contact", "ann-2", "{\"emailaddress1\":\"ann@x.example\"}");
    list_look(l);
    assert_non_null(l->w->row);
    assert_null(shown_contact(l));
    assert_string_equal(shown_solutions(l), "SOL-1 sol-2");
    assert_int_equal(count(l, "contact"), 3); /* Bob's is there */
    list_look(l);
    assert_verdict(l->w, "contacts/ann@x.example", CS_VERDICT_TO_CRM); /* tried again */
    assert_verdict(l->w, "contacts/bob@x.example", CS_VERDICT_STAYS);
    assert_null(shown_contact(l));
    drop_row(l, "contact", 0);
    list_look(l);
    assert_string_equal(shown_contact(l), "ann@x.example");
    list_look(l);
    assert_rests(l);
}

static void test_column_first_meeting(void **state)
{
    list_world_t *l = list_world(*state);

    deal_set(l->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    list_existing(l);
    list_add(l, "contact", "dan", "{\"firstname\":\"Dan\",\"lastname\":\"Fox\",\"emailaddress1\":\"Dan@x.example\",\"telephone1\":\"4\"}");
    show_contact(l, "dan");
    deal_set(l->w, LIST_CONTACTS, PC_CONTACTS);
    list_look(l);
    assert_string_equal(shown_contact(l), "Dan@x.example");
    assert_int_equal(count(l, "contact"), 3);
    assert_verdict(l->w, "contacts/dan@x.example", CS_VERDICT_TO_PC);
    assert_rests(l);
}

/* ---- users ---- */

static void test_users_create(void **state)
{
    list_world_t *l = list_world(*state);
    const cs_step_t *create;
    const json_t *lookup;

    users(l);
    deal_set(l->w, LIST_TEAM, PC_TEAM);
    ((cs_owner_t *)l->w->kind->owner)->otherwise = "desk@own.example";
    list_plan(l);
    create = deal_find_step(l->w->plan, CS_STEP_CREATE);
    lookup = cs_json_get(cs_json_get(create->columns, "ownerid"), "$lookup");
    assert_json(l->w, cs_json_get(lookup, "keys"),
                "[{\"internalemailaddress\":\"una@own.example\"},{\"internalemailaddress\":\"udo@own.example\"},"
                "{\"internalemailaddress\":\"out@own.example\"},{\"internalemailaddress\":\"desk@own.example\"}]");
    assert_json(l->w, cs_json_get(lookup, "none"), "\"skip\"");
    assert_json(l->w, cs_json_get(lookup, "columns"), "[\"ownerid\"]");
    assert_int_equal(step_of(l->w->plan, "team/udo@own.example")->kind, CS_STEP_JOIN);
    assert_string_equal(step_of(l->w->plan, "team/udo@own.example")->call, "Opportunity Sales Team");
    list_look(l);
    assert_json(l->w, cs_json_get(cs_json_get(l->w->row, "ownerid"), "id"), "\"user-una\"");
    assert_json(l->w, l->members, "[\"user-udo\"]");
    assert_rests(l);
    assert_verdict(l->w, "team/una@own.example", CS_VERDICT_EQUAL);
    assert_verdict(l->w, "team/udo@own.example", CS_VERDICT_EQUAL);
    assert_verdict(l->w, "team/out@own.example", CS_VERDICT_STAYS);
    assert_null(to_pc(l, LIST_TEAM));
}

static void test_users_otherwise(void **state)
{
    list_world_t *l = list_world(*state);

    ((cs_owner_t *)l->w->kind->owner)->otherwise = "sue@own.example";
    users(l);
    deal_set(l->w, LIST_TEAM, "[{\"email\":\"out@own.example\"},{\"firstName\":\"nobody\"}]");
    list_look(l);
    assert_json(l->w, cs_json_get(cs_json_get(l->w->row, "ownerid"), "id"), "\"user-sue\"");
    list_look(l);
    assert_verdict(l->w, "team/sue@own.example", CS_VERDICT_STAYS); /* stands in, and is not sent as one of the team */
    assert_verdict(l->w, "team/out@own.example", CS_VERDICT_STAYS);
    assert_rests(l);
    assert_null(to_pc(l, LIST_TEAM));
}

static void test_users_later(void **state)
{
    list_world_t *l = settled(*state);

    deal_set(l->w, LIST_TEAM, "[{\"firstName\":\"Sue\",\"email\":\"sue@own.example\"},{\"email\":\"una@own.example\"}]");
    list_look(l);
    assert_json(l->w, cs_json_get(cs_json_get(l->w->row, "ownerid"), "id"), "\"user-una\""); /* the owner stays */
    assert_json(l->w, l->members, "[\"user-udo\",\"user-sue\"]");                            /* and nobody leaves the team */
    assert_verdict(l->w, "team/udo@own.example", CS_VERDICT_STAYS);
    assert_rests(l);
    list_look(l);
    json_object_set_new(l->w->row, "ownerid", list_expanded(l, "systemuser", "user-sue"));
    json_array_clear(l->members);
    l->w->version++;
    list_look(l);
    assert_only_told(l->w->plan);
    assert_verdict(l->w, "team/una@own.example", CS_VERDICT_TO_PC);
    assert_true(json_is_null(deal_view(l->w->plan, "team/una@own.example")->value));
    assert_verdict(l->w, "team/sue@own.example", CS_VERDICT_EQUAL);
}

/* A team owns the record: it shows no e-mail, and nobody is removed because of that. */
static void test_users_team_owned(void **state)
{
    list_world_t *l = settled(*state);

    json_object_set_new(l->w->row, "ownerid", json_pack("{s:s}", "id", "a-team"));
    deal_set(l->w, LIST_TEAM, "[{\"email\":\"una@own.example\"},{\"email\":\"udo@own.example\"},{\"email\":\"sue@own.example\"}]");
    list_look(l);
    assert_verdict(l->w, "team/una@own.example", CS_VERDICT_UNREADABLE);
    assert_json(l->w, l->members, "[\"user-udo\",\"user-sue\"]");
    assert_null(to_pc(l, LIST_TEAM));
    assert_rests(l);
}

static void test_owner_without_list(void **state)
{
    list_world_t *l = list_world(*state);

    users(l);
    deal_set(l->w, LIST_TEAM, PC_TEAM);
    ((cs_mapping_kind_t *)l->w->kind)->lists = NULL;
    list_plan(l);
    assert_json(l->w, cs_json_get(cs_json_get(cs_json_get(deal_find_step(l->w->plan, CS_STEP_CREATE)->columns, "ownerid"), "$lookup"), "line"), "\"$start\"");
}

/* ---- as a mapping says it ---- */

static const char *const loaded[] = {
    "/find/solution",
    "{\"table\":\"msft_microsoftsolutiondetail\",\"by\":[{\"msft_solutionidentifier\":\"id\"}],\"none\":\"create\","
    "\"create\":{\"msft_solutionidentifier\":\"id\",\"msft_solutionname\":\"name\"}}",
    "/find/contact",
    "{\"table\":\"contact\",\"by\":[{\"emailaddress1\":\"email\"}],\"none\":\"create\",\"create\":{\"firstname\":\"firstName\",\"lastname\":\"lastName\","
    "\"emailaddress1\":\"email\",\"telephone1\":\"phoneNumber\"}}",
    "/find/user",
    "{\"table\":\"systemuser\",\"by\":[{\"internalemailaddress\":\"email\"}],\"none\":\"skip\"}",
    "/records/opportunity/from_pc/owner",
    "{\"find\":\"user\",\"each\":\"/team\",\"else\":null}",
    "/records/opportunity/lists",
    "{\"solutions\":{\"pc\":\"/details/requirements/solutions\",\"key\":\"id\",\"min\":1,\"max\":50,\"set\":{\"type\":\"Name\"},"
    "\"crm\":{\"child\":\"msft_microsoftsolution\",\"parent\":\"msft_opportunityid\",\"find\":\"solution\",\"column\":\"msft_solutiondetailid\"}},"
    "\"contacts\":{\"pc\":\"/customerProfile/team\",\"key\":\"email\",\"crm\":{\"column\":\"parentcontactid\",\"find\":\"contact\"},\"min\":{\"co-sell\":1},"
    "\"item\":{\"firstName\":\"firstname\",\"lastName\":\"lastname\",\"phoneNumber\":\"telephone1\",\"email\":\"emailaddress1\"},"
    "\"required\":[\"firstName\",\"lastName\",\"email\"]},"
    "\"team\":{\"pc\":\"/team\",\"key\":\"email\",\"min\":1,\"max\":50,\"crm\":{\"users\":[\"ownerid\",{\"record_team\":\"Opportunity Sales Team\"}],\"find\":\"user\"},"
    "\"item\":{\"firstName\":\"firstname\",\"email\":\"internalemailaddress\"},\"to_crm\":\"add-only\"}}",
    NULL
};

static void append(list_world_t *l, const char *path, int n, const char *format)
{
    json_t *array = json_array();
    int i;

    for (i = 1; i <= n; i++) {
        char text[256];

        snprintf(text, sizeof(text), format, i, i, i);
        json_array_append(array, deal_json(l->p, text));
    }
    assert_ok(cs_json_pointer_set(l->w->doc, path, array));
}

/* 12 solutions, 6 contacts, 5 people; one solution is refused, one contact is ambiguous, one of the people is no user. */
static void test_whole_deal(void **state)
{
    list_world_t *l = list_world_of(*state, deal_mapping(*state, loaded));
    int i;

    append(l, LIST_SOLUTIONS, 12, "{\"id\":\"SOL-%d\",\"name\":\"Solution %d\"}");
    append(l, LIST_CONTACTS, 6, "{\"firstName\":\"C%d\",\"lastName\":\"L\",\"email\":\"c%d@x.example\"}");
    append(l, LIST_TEAM, 5, "{\"firstName\":\"P%d\",\"email\":\"p%d@own.example\"}");
    for (i = 1; i <= 4; i++) {
        list_add(l, "systemuser", apr_psprintf(l->p, "u%d", i), apr_psprintf(l->p, "{\"internalemailaddress\":\"p%d@own.example\",\"firstname\":\"P%d\"}", i, i));
    }
    list_add(l, "contact", "twin-1", "{\"emailaddress1\":\"c3@x.example\"}");
    list_add(l, "contact", "twin-2", "{\"emailaddress1\":\"c3@x.example\"}");
    json_object_set_new(l->refuse, "sol-5", json_string("too long"));
    list_look(l);
    json_object_set(l->w->doc, "externalReferenceId", cs_json_get(l->w->row, "opportunityid"));
    assert_int_equal(count(l, CHILD), 11);
    assert_int_equal(count(l, "contact"), 2 + 5);
    assert_int_equal(json_array_size(l->members), 3);
    assert_string_equal(shown_contact(l), "c1@x.example");
    list_look(l);
    list_look(l);
    assert_verdict(l->w, "solutions/sol-5", CS_VERDICT_REFUSED);
    assert_verdict(l->w, "contacts/c3@x.example", CS_VERDICT_TO_CRM); /* waits, and is asked for again */
    assert_verdict(l->w, "team/p5@own.example", CS_VERDICT_STAYS);
    assert_has(l->w->plan->problem, "solution Solution 5 (SOL-5)");
    assert_has(l->w->plan->problem, "contact C3 L (c3@x.example)");
    /* Each is cured by the obvious action. */
    drop_row(l, "contact", 0);
    json_object_clear(l->refuse);
    json_object_set_new(cs_json_pointer(l->w->doc, LIST_SOLUTIONS "/4"), "name", json_string("Short"));
    list_look(l);
    list_look(l);
    assert_int_equal(count(l, CHILD), 12);
    assert_rests(l);
    assert_null(l->w->plan->problem);
    assert_string_equal(l->w->plan->status, "In sync");
}

/* A list that a new mapping brings is a bulk cause, what a user did is none. */
static void test_new_list(void **state)
{
    list_world_t *l = list_world_of(*state, deal_mapping(*state, NULL));
    cs_mapping_t *with = deal_mapping(*state, loaded);

    deal_set(l->w, LIST_SOLUTIONS, PC_SOLUTIONS);
    list_look(l);
    list_look(l);
    l->w->mapping = with;
    l->w->kind = cs_mapping_kind(with, "opportunity");
    list_plan(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_TO_CRM);
    assert_true(deal_view(l->w->plan, "solutions/sol-1")->bulk);
    list_look(l);
    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\"},{\"id\":\"SOL-2\"},{\"id\":\"SOL-3\"}]");
    list_plan(l);
    assert_verdict(l->w, "solutions/sol-3", CS_VERDICT_TO_CRM);
    assert_false(deal_view(l->w->plan, "solutions/sol-3")->bulk);
}

/* ---- names ---- */

static void test_list_of_line(void **state)
{
    list_world_t *l = list_world(*state);

    assert_ptr_equal(cs_list_of_line(l->w->kind, "solutions/a/b"), list_of(l, "solutions"));
    assert_ptr_equal(cs_list_of_line(l->w->kind, "team/x@y"), list_of(l, "team"));
    assert_null(cs_list_of_line(l->w->kind, "solutions"));
    assert_null(cs_list_of_line(l->w->kind, "solution/x"));
    assert_null(cs_list_of_line(l->w->kind, "name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_child_create),
        UNIT_TEST(test_child_moves_at_partner_center),
        UNIT_TEST(test_child_moves_in_the_crm),
        UNIT_TEST(test_child_both),
        UNIT_TEST(test_child_first_meeting),
        UNIT_TEST(test_child_min),
        UNIT_TEST(test_child_max),
        UNIT_TEST(test_child_ways),
        UNIT_TEST(test_child_events),
        UNIT_TEST(test_child_when),
        UNIT_TEST(test_unreadable),
        UNIT_TEST(test_items_without_a_key),
        UNIT_TEST(test_closed_record),
        UNIT_TEST(test_items_before_the_close),
        UNIT_TEST(test_refused_item),
        UNIT_TEST(test_crash),
        UNIT_TEST(test_own_row_turned),
        UNIT_TEST(test_fields),
        UNIT_TEST(test_fields_conflict),
        UNIT_TEST(test_user_rows),
        UNIT_TEST(test_column_create),
        UNIT_TEST(test_column_moves_at_partner_center),
        UNIT_TEST(test_column_min),
        UNIT_TEST(test_column_moves_in_the_crm),
        UNIT_TEST(test_column_required),
        UNIT_TEST(test_column_members),
        UNIT_TEST(test_column_held),
        UNIT_TEST(test_column_first_meeting),
        UNIT_TEST(test_users_create),
        UNIT_TEST(test_users_otherwise),
        UNIT_TEST(test_users_later),
        UNIT_TEST(test_users_team_owned),
        UNIT_TEST(test_owner_without_list),
        UNIT_TEST(test_whole_deal),
        UNIT_TEST(test_new_list),
        UNIT_TEST(test_list_of_line),
    };

    return UNIT_RUN(tests);
}
