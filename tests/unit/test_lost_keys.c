/* A CRM that does not keep the key of a row that we made: nobody removed the item there, and Partner Center keeps it. */
#include "unit_list.h"

#define TABLE "Microsoft_Solution__c"
#define KEY "Solution_Identifier__c"

static list_world_t *world(apr_pool_t *p)
{
    list_world_t *l = list_world_of(p, deal_mapping(p, NULL));

    list_salesforce(l);
    list_existing(l);
    list_look(l);
    list_look(l);
    return l;
}

/* What becomes of the key, in the table and in what the writes of this look returned. */
static void lose_keys(list_world_t *l, const char *key)
{
    json_t *entry;
    size_t k;
    int i;

    json_array_foreach(list_table(l, TABLE), k, entry) {
        json_object_set(cs_json_get(entry, "row"), KEY, deal_json(l->p, key));
    }
    for (i = 0; i < l->w->plan->steps->nelts; i++) {
        const cs_record_t *after = l->w->applied[i].after;

        if (after && !strcmp(after->table, TABLE)) {
            json_object_set(after->row, KEY, deal_json(l->p, key));
        }
    }
}

static void look_losing(list_world_t *l, const char *key)
{
    list_plan(l);
    list_apply(l);
    lose_keys(l, key);
    deal_settle(l->w);
}

static size_t solutions_there(const list_world_t *l)
{
    return json_array_size(cs_json_pointer(l->w->doc, LIST_SOLUTIONS));
}

static void test_item_stays_at_partner_center(void **state)
{
    list_world_t *l = world(*state);

    deal_edit_pc(l->w, LIST_SOLUTIONS, "[{\"id\":\"S1\",\"name\":\"Backup\"}]");
    look_losing(l, "null");
    assert_int_equal(json_array_size(list_table(l, TABLE)), 1);
    list_look(l);
    assert_verdict(l->w, "solutions/s1", CS_VERDICT_NOT_KEPT);
    assert_int_equal(solutions_there(l), 1);
    list_look(l);
    assert_rests(l);
    assert_int_equal(json_array_size(list_table(l, TABLE)), 1); /* nor is it made again and again */
}

/* It goes when Partner Center removes it, and leaves nothing to remember. */
static void test_item_is_forgotten(void **state)
{
    list_world_t *l = world(*state);

    deal_edit_pc(l->w, LIST_SOLUTIONS, "[{\"id\":\"S1\",\"name\":\"Backup\"}]");
    look_losing(l, "null");
    deal_edit_pc(l->w, LIST_SOLUTIONS, "[]");
    list_look(l);
    list_look(l);
    assert_rests(l);
    assert_null(cs_json_get(l->w->deal.images, "solutions/s1"));
}

/* The same key in other letters is the same key. */
static void test_other_letters_are_the_key(void **state)
{
    list_world_t *l = world(*state);

    deal_edit_pc(l->w, LIST_SOLUTIONS, "[{\"id\":\"s1\",\"name\":\"Backup\"}]");
    look_losing(l, "\" S1\"");
    list_look(l);
    assert_verdict(l->w, "solutions/s1", CS_VERDICT_EQUAL);
    json_array_clear(list_table(l, TABLE)); /* who removes it now is a user */
    list_look(l);
    assert_int_equal(solutions_there(l), 0);
}

/* The answer of the write shows nothing: what the next look does not see was never seen, and nobody removed it. */
static void test_key_that_nobody_saw(void **state)
{
    list_world_t *l = world(*state);

    deal_edit_pc(l->w, LIST_SOLUTIONS, "[{\"id\":\"S1\",\"name\":\"Backup\"},{\"id\":\"S2\",\"name\":\"Vault\"}]");
    l->silent = 1;
    list_look(l);
    assert_int_equal(json_array_size(list_table(l, TABLE)), 2);
    json_array_remove(list_table(l, TABLE), 1);
    l->w->fetched += 10; /* whatever was written is shown by then */
    list_look(l);
    assert_verdict(l->w, "solutions/s1", CS_VERDICT_EQUAL);
    assert_verdict(l->w, "solutions/s2", CS_VERDICT_NOT_KEPT);
    assert_int_equal(solutions_there(l), 2);
    assert_rests(l);
    json_array_clear(list_table(l, TABLE)); /* of what was seen it is a removal */
    list_look(l);
    assert_int_equal(solutions_there(l), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_item_stays_at_partner_center),
        UNIT_TEST(test_item_is_forgotten),
        UNIT_TEST(test_other_letters_are_the_key),
        UNIT_TEST(test_key_that_nobody_saw),
    };

    return UNIT_RUN(tests);
}
