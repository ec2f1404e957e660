/* Which rows of a CRM are worth a look. (deals 7) */
#include "unit_create.h"

static const cs_watched_t *watched(const cs_mapping_t *mapping, const char *table)
{
    const apr_array_header_t *all = cs_mapping_watched(mapping);
    const cs_watched_t *found = NULL;
    int i;

    for (i = 0; i < all->nelts; i++) {
        const cs_watched_t *one = &APR_ARRAY_IDX(all, i, cs_watched_t);

        if (!strcmp(one->table, table)) {
            assert_null(found); /* each table once */
            found = one;
        }
    }
    return found;
}

static int names(const apr_array_header_t *texts, const char *text)
{
    int i;

    for (i = 0; i < texts->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(texts, i, const char *), text)) {
            return 1;
        }
    }
    return 0;
}

static void test_the_shipped_profile(void **state)
{
    cs_mapping_t *mapping = create_mapping(*state, NULL);
    const cs_watched_t *one = watched(mapping, "opportunity");

    assert_non_null(one);
    assert_true(one->record);
    assert_true(names(one->columns, "msft_syncwithpartnercenter"));
    assert_true(names(one->columns, "msft_referralidentifier"));
    assert_true(names(one->columns, "statecode"));
    assert_int_equal(one->parents->nelts, 0);
    assert_true(watched(mapping, "lead")->record);
    one = watched(mapping, "account");
    assert_non_null(one);
    assert_false(one->record);
    assert_int_equal(one->parents->nelts, 0);
    assert_non_null(watched(mapping, "contact"));
    assert_non_null(watched(mapping, "systemuser"));
    one = watched(mapping, "msft_microsoftsolution");
    assert_false(one->record);
    assert_int_equal(one->parents->nelts, 1);
    assert_true(names(one->parents, "msft_opportunityid"));
    assert_true(names(one->columns, "msft_opportunityid"));
    /* Rates move daily, and the catalogue has its own life: only their keys are of interest. */
    assert_null(watched(mapping, "transactioncurrency"));
    assert_null(watched(mapping, "msft_microsoftsolutiondetail"));
    assert_true(APR_ARRAY_IDX(cs_mapping_watched(mapping), 0, cs_watched_t).record);
}

static void test_what_is_switched_off_is_not_watched(void **state)
{
    static const char *const null_name[] = { "/names/solution_rows", "null", NULL };
    static const char *const no_lists[] = { "/records/opportunity/lists", "{}", NULL };
    cs_mapping_t *mapping = create_mapping(*state, null_name);

    assert_null(watched(mapping, "msft_microsoftsolution"));
    mapping = create_mapping(*state, no_lists);
    assert_null(watched(mapping, "msft_microsoftsolution"));
    assert_null(watched(mapping, "contact"));
    assert_null(watched(mapping, "systemuser"));
    assert_non_null(watched(mapping, "account"));
}

static void test_rows_find_their_kind(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    assert_string_equal(cs_mapping_kind_name(cs_mapping_route_row(w->mapping, "opportunity", w->row, w->p)), "opportunity");
    create_edit(w, "msft_syncwithpartnercenter", "false");
    assert_null(cs_mapping_route_row(w->mapping, "opportunity", w->row, w->p));
    json_object_del(w->row, "msft_syncwithpartnercenter");
    assert_null(cs_mapping_route_row(w->mapping, "opportunity", w->row, w->p));
    assert_null(cs_mapping_route_row(w->mapping, "lead", w->row, w->p));
    assert_null(cs_mapping_route_row(w->mapping, "quote", w->row, w->p));
    assert_string_equal(cs_mapping_kind_name(cs_mapping_kind_of_table(w->mapping, "lead")), "lead");
    assert_null(cs_mapping_kind_of_table(w->mapping, "quote"));
}

static void test_two_kinds_of_one_table(void **state)
{
    static const char *const changes[] = { "/records/big", "{\"like\":\"opportunity\",\"from_crm\":{\"when\":{\"crm\":\"statuscode\",\"is\":7}}}", NULL };
    create_world_t *w = create_world(*state, changes);

    create_edit(w, "msft_syncwithpartnercenter", "false");
    create_edit(w, "statuscode", "7");
    assert_string_equal(cs_mapping_kind_name(cs_mapping_route_row(w->mapping, "opportunity", w->row, w->p)), "big");
    assert_non_null(watched(w->mapping, "opportunity"));
}

static void test_the_referral_a_row_names(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    assert_null(cs_mapping_named_referral(w->kind, w->row));
    create_edit(w, "msft_referralidentifier", "\"\"");
    assert_null(cs_mapping_named_referral(w->kind, w->row));
    create_edit(w, "msft_referralidentifier", "\"x\"");
    assert_string_equal(cs_mapping_named_referral(w->kind, w->row), "x");
    assert_null(cs_mapping_named_referral(cs_mapping_kind(w->mapping, "lead"), w->row));
}

static void test_rows_that_a_record_shows(void **state)
{
    create_world_t *w = create_world(*state, NULL);

    create_edit(w, "parentcontactid", CREATE_CONTACT);
    json_object_set(w->related, "team",
                    deal_json(w->p, "[{\"id\":\"70000000-0000-4000-8000-000000000002\",\"row\":{\"firstname\":\"Bob\",\"internalemailaddress\":\"bob@partner.example\"}}]"));
    create_see(w);
    assert_json(w, cs_mapping_shown_rows(w->kind, &w->record, w->p),
                "{\"ac000000-0000-4000-8000-000000000001\":\"account\",\"c0000000-0000-4000-8000-000000000001\":\"contact\","
                "\"70000000-0000-4000-8000-000000000001\":\"systemuser\",\"70000000-0000-4000-8000-000000000002\":\"systemuser\","
                "\"50000000-0000-4000-8000-000000000001\":\"msft_microsoftsolution\"}");
    create_edit(w, "parentaccountid", "null");
    create_edit(w, "parentcontactid", "null");
    json_object_clear(w->related);
    create_see(w);
    assert_json(w, cs_mapping_shown_rows(w->kind, &w->record, w->p), "{\"70000000-0000-4000-8000-000000000001\":\"systemuser\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_shipped_profile),
        UNIT_TEST(test_what_is_switched_off_is_not_watched),
        UNIT_TEST(test_rows_find_their_kind),
        UNIT_TEST(test_two_kinds_of_one_table),
        UNIT_TEST(test_the_referral_a_row_names),
        UNIT_TEST(test_rows_that_a_record_shows),
    };

    return UNIT_RUN(tests);
}
