/* The whole deal with both sides applied, in memory: Partner Center and the CRM are both written to, and both have habits: they round, cut, trim, spell
 * otherwise, ignore, refuse with and without a name, answer late, answer with something old, or not at all; people edit on both sides meanwhile, also between a
 * read and a write, and looks die at any step.
 *
 * A second look writes nothing on either side, and what still differs is explained by a rule; nothing is overwritten without direction or policy. SEED,
 * CASES and CRM as in test_reconcile_properties.c.
 */
#include "unit.h"

#include "tests/property/lives.h"

static void test_both(void **state)
{
    knobs_t knobs = {.both = 1};

    knobs.no_lag = knobs.no_pc_lag = getenv("NO_LAG") != NULL;
    live_all(state, &knobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_both)};

    return UNIT_RUN(tests);
}
