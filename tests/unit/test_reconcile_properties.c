/* Random deals under random mappings: users and Partner Center edit both sides, looks crash and fail, the CRM has its habits. What must hold after every look
 * is in tests/property/checks.h.
 *
 * CASES and SEED choose how many lives and which, CRM (dynamics365, salesforce) for which CRM: without it each mapping is for one or the other, and so are its
 * lives. A violation prints its seed and the smallest case it shrank to. `make property` runs a million for each.
 */
#include "unit.h"

#include "tests/property/lives.h"

static void test_properties(void **state)
{
    static const knobs_t knobs = {0};

    live_all(state, &knobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_properties)};

    return UNIT_RUN(tests);
}
