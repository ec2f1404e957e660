/* A line that the CRM refused of a record which could not be made for other reasons. */
#include "unit_deal.h"

/* It stays refused once the record is there, made without it. */
static void test_refused_before_there_was_a_record(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);
    const char *refused = "{\"notes\":\"not this\"}";

    deal_plan(w);
    w->fail = 1;
    deal_apply(w);
    w->applied[0].refused = deal_json(w->p, refused);
    w->applied[0].result.cls = CS_CLASS_DATA;
    deal_settle(w);
    w->fail = 0;
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_REFUSED);
    assert_non_null(w->row);
    deal_look(w);
    assert_verdict(w, "notes", CS_VERDICT_REFUSED);
    assert_json(w, cs_json_get(w->row, "description"), "null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_refused_before_there_was_a_record)};

    return UNIT_RUN(tests);
}
