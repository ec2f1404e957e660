/* Items of lists on their way to Partner Center: one replaced array, item by item. (deals 2) */
#include "unit_list.h"

#define CHILD "msft_microsoftsolution"
#define CATALOGUE "msft_microsoftsolutiondetail"
#define SOLUTIONS "[{\"id\":\"SOL-1\",\"name\":\"Backup\",\"price\":9,\"solutionType\":\"3P\"},{\"name\":\"no key\"},{\"id\":\"SOL-2\",\"name\":\"Vault\"}]"

static list_world_t *settled(apr_pool_t *p)
{
    list_world_t *l = list_world(p);

    deal_status(l->w, "Active", "Accepted");
    deal_set(l->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    deal_set(l->w, LIST_SOLUTIONS, SOLUTIONS);
    list_look(l);
    list_look(l);
    list_plan(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    return l;
}

static json_t *there(list_world_t *l)
{
    return cs_json_pointer(l->w->doc, LIST_SOLUTIONS);
}

static const char *keys_there(list_world_t *l)
{
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(there(l)); i++) {
        const char *key = cs_json_str(json_array_get(there(l), i), "id");

        out = apr_pstrcat(l->p, out, *out ? " " : "", key ? key : "-", NULL);
    }
    return out;
}

static void user_adds(list_world_t *l, const char *id)
{
    const char *cat = apr_psprintf(l->p, "cat-%s", id);
    json_t *row;

    list_add(l, CATALOGUE, cat, apr_psprintf(l->p, "{\"msft_solutionidentifier\":\"%s\",\"msft_solutionname\":\"%s\"}", id, id));
    list_add(l, CHILD, apr_psprintf(l->p, "own-%s", id), "{}");
    row = cs_json_get(json_array_get(list_table(l, CHILD), json_array_size(list_table(l, CHILD)) - 1), "row");
    json_object_set_new(row, "msft_opportunityid", json_pack("{s:O}", "id", cs_json_get(l->w->row, "opportunityid")));
    json_object_set_new(row, "msft_solutiondetailid", list_expanded(l, CATALOGUE, cat));
}

static void user_removes(list_world_t *l, size_t i)
{
    json_array_remove(list_table(l, CHILD), i);
}

static const json_t *image(list_world_t *l, const char *line)
{
    return cs_json_get(l->w->deal.images, line);
}

/* The next look writes nothing, but perhaps for the seller to read; the one after it nothing at all. */
static void rest(list_world_t *l)
{
    int patches = l->w->pc_writes;

    list_look(l);
    list_plan(l);
    assert_int_equal(deal_sent(l->w->plan), 0);
    assert_int_equal(l->w->pc_writes, patches);
}

static void test_items_come_and_go(void **state)
{
    list_world_t *l = settled(*state);
    const cs_step_t *step;

    user_adds(l, "SOL-9");
    user_removes(l, 1);
    list_plan(l);
    step = deal_find_step(l->w->plan, CS_STEP_PATCH_PC);
    assert_json(l->w, step->parts, "{\"solutions/sol-2\":[\"/details/requirements/solutions\"],\"solutions/sol-9\":[\"/details/requirements/solutions\"]}");
    assert_int_equal(json_array_size(step->columns), 1);
    list_look(l);
    /* Members and items that the CRM cannot show are as they were. */
    assert_json(l->w, json_array_get(there(l), 0), "{\"id\":\"SOL-1\",\"name\":\"Backup\",\"price\":9,\"solutionType\":\"3P\"}");
    assert_json(l->w, json_array_get(there(l), 1), "{\"name\":\"no key\"}");
    assert_string_equal(keys_there(l), "SOL-1 - SOL-9");
    assert_null(image(l, "solutions/sol-2"));
    assert_true(json_is_object(cs_json_get(image(l, "solutions/sol-9"), "pc")));
    rest(l);
}

static void test_the_last_one_stays(void **state)
{
    list_world_t *l = settled(*state);

    deal_set(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Backup\"}]");
    list_look(l);
    list_of(l, "solutions")->min_by_kind = deal_json(l->p, "{\"co-sell\":1}");
    rest(l);
    user_removes(l, 0);
    list_look(l);
    assert_verdict(l->w, "solutions/sol-1", CS_VERDICT_STAYS);
    assert_string_equal(keys_there(l), "SOL-1");
    user_adds(l, "SOL-5");
    list_look(l); /* another one comes, and now it goes */
    assert_string_equal(keys_there(l), "SOL-5");
    rest(l);
}

static void test_no_more_than_it_takes(void **state)
{
    list_world_t *l = settled(*state);

    list_of(l, "solutions")->max = 4;
    user_adds(l, "SOL-8");
    user_adds(l, "SOL-9");
    list_look(l);
    assert_int_equal(json_array_size(there(l)), 4);
    assert_has(deal_view(l->w->plan, "solutions/sol-9")->why, "Partner Center takes at most 4");
    rest(l);
}

/* Removed here and removed there is agreed; changed at one side it is kept. */
static void test_remove_against_remove(void **state)
{
    list_world_t *l = settled(*state);

    user_removes(l, 1);
    deal_edit_pc(l->w, LIST_SOLUTIONS, "[{\"id\":\"SOL-1\",\"name\":\"Backup\"}]");
    list_look(l);
    assert_string_equal(keys_there(l), "SOL-1");
    assert_null(deal_find_step(l->w->plan, CS_STEP_PATCH_PC));
    rest(l);
}

static void test_a_refused_array(void **state)
{
    list_world_t *l = settled(*state);
    int i, refused = 0;

    json_object_set_new(l->w->pc_refuses, LIST_SOLUTIONS, json_string("unknown solution"));
    user_adds(l, "SOL-9");
    deal_edit(l->w, "description", "\"mine\"");
    list_look(l);
    assert_json(l->w, cs_json_pointer(l->w->doc, "/details/notes"), "\"mine\"");
    assert_string_equal(keys_there(l), "SOL-1 - SOL-2");
    assert_true(json_is_object(cs_json_get(cs_json_get(image(l, "solutions/sol-9"), "refused"), "crm")));
    for (i = 0; i < l->w->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(l->w->journal, i, cs_journal_t *);

        refused += j->line && !strcmp(j->line, "solutions/sol-9") && !strcmp(j->outcome, "refused") && !strcmp(j->direction, "to_pc");
    }
    assert_int_equal(refused, 1);
    list_look(l);
    assert_verdict(l->w, "solutions/sol-9", CS_VERDICT_REFUSED);
    assert_has(l->w->deal.problem, "was refused by Partner Center: unknown solution");
    rest(l);
    /* It goes, and with it the trouble. */
    user_removes(l, 2);
    list_look(l);
    rest(l);
    assert_string_equal(l->w->deal.status, "In sync");
}

static void test_an_item_that_is_not_kept(void **state)
{
    list_world_t *l = settled(*state);

    json_object_set(l->w->pc_habits, LIST_SOLUTIONS, deal_json(l->p, SOLUTIONS));
    user_adds(l, "SOL-9");
    list_look(l);
    assert_json(l->w, cs_json_get(image(l, "solutions/sol-9"), "rest"), "\"pc-not-kept\"");
    rest(l);
    assert_verdict(l->w, "solutions/sol-9", CS_VERDICT_NOT_KEPT);
    assert_int_equal(json_array_size(list_table(l, CHILD)), 3); /* and it does not vanish here */
}

static void test_a_crash_between_patch_and_settle(void **state)
{
    list_world_t *l = settled(*state);

    user_adds(l, "SOL-9");
    user_removes(l, 1);
    l->lose = 1;
    list_look(l);
    l->lose = 0;
    assert_string_equal(keys_there(l), "SOL-1 - SOL-9");
    /* The seller takes it back before anybody looks. */
    user_removes(l, 1);
    list_look(l);
    assert_string_equal(keys_there(l), "SOL-1 -");
    assert_int_equal(json_array_size(list_table(l, CHILD)), 1);
    rest(l);
}

/* Contacts are fixed once Microsoft sees them. */
static void test_shared_contacts_are_fixed(void **state)
{
    list_world_t *l = settled(*state);

    deal_set(l->w, LIST_CONTACTS, "[{\"firstName\":\"Ann\",\"lastName\":\"Lee\",\"email\":\"ann@x.example\",\"phoneNumber\":\"1\"}]");
    list_look(l);
    list_look(l);
    list_add(l, "contact", "dan", "{\"firstname\":\"Dan\",\"lastname\":\"Fox\",\"emailaddress1\":\"dan@x.example\",\"telephone1\":\"4\"}");
    deal_set(l->w, "/consent/consentToShareReferralWithMicrosoftSellers", "true");
    json_object_set_new(l->w->row, "parentcontactid", list_expanded(l, "contact", "dan"));
    l->w->version++;
    list_look(l);
    assert_verdict(l->w, "contacts/dan@x.example", CS_VERDICT_REFUSED);
    assert_has(l->w->deal.problem, "contact Dan Fox (dan@x.example): cannot change in Partner Center any more, for Microsoft sees the deal");
    assert_int_equal(json_array_size(cs_json_pointer(l->w->doc, LIST_CONTACTS)), 1);
    rest(l);
    /* Not shared they would go. */
    deal_set(l->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    list_look(l);
    assert_int_equal(json_array_size(cs_json_pointer(l->w->doc, LIST_CONTACTS)), 2);
    rest(l);
}

static void test_closed_or_declined_takes_none(void **state)
{
    list_world_t *l = settled(*state);

    deal_status(l->w, "Closed", "Won");
    user_adds(l, "SOL-9");
    list_look(l);
    assert_verdict(l->w, "solutions/sol-9", CS_VERDICT_CLOSED);
    assert_null(deal_find_step(l->w->plan, CS_STEP_PATCH_PC));
    assert_string_equal(keys_there(l), "SOL-1 - SOL-2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_items_come_and_go),
        UNIT_TEST(test_the_last_one_stays),
        UNIT_TEST(test_no_more_than_it_takes),
        UNIT_TEST(test_remove_against_remove),
        UNIT_TEST(test_a_refused_array),
        UNIT_TEST(test_an_item_that_is_not_kept),
        UNIT_TEST(test_a_crash_between_patch_and_settle),
        UNIT_TEST(test_shared_contacts_are_fixed),
        UNIT_TEST(test_closed_or_declined_takes_none),
    };

    return UNIT_RUN(tests);
}
