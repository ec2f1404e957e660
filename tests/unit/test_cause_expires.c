/* Referrals that nobody has answered are counted by the day they expire. */
#include "unit_create.h"

static create_world_t *unanswered(apr_pool_t *p, const char *expires)
{
    create_world_t *w = create_world(p, NULL);

    create_look(w);
    create_look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    json_object_set_new(w->own, "status", json_string("New"));
    json_object_set_new(w->own, "substatus", json_string("Pending"));
    json_object_set_new(w->own, "expirationDateTime", expires ? json_string(expires) : json_null());
    create_look(w);
    return w;
}

static void test_the_day_is_the_key(void **state)
{
    create_world_t *w = unanswered(*state, "2026-03-03T23:30:00.1234567Z");

    assert_string_equal(cs_json_str(w->deal.causes, "expires 2026-03-03"), "Nobody has answered; it expires Tue 3 Mar");
    assert_int_equal(json_object_size(w->deal.causes), 1);
}

static void test_without_a_day_there_is_none(void **state)
{
    assert_int_equal(json_object_size(unanswered(*state, NULL)->deal.causes), 0);
    assert_int_equal(json_object_size(unanswered(*state, "some day")->deal.causes), 0);
}

static void test_answered_it_is_gone(void **state)
{
    create_world_t *w = unanswered(*state, "2026-03-03T00:00:00Z");

    json_object_set_new(w->own, "status", json_string("Active"));
    json_object_set_new(w->own, "substatus", json_string("Accepted"));
    create_look(w);
    assert_int_equal(json_object_size(w->deal.causes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_day_is_the_key), UNIT_TEST(test_without_a_day_there_is_none), UNIT_TEST(test_answered_it_is_gone),
    };

    return UNIT_RUN(tests);
}
