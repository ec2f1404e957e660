/* Random deals: users and Partner Center edit both sides, looks crash and fail, the CRM has its habits. CASES and SEED choose how many and which;
 * a failure names the seed of its one case. */
#include "unit_deal.h"

static const char *const told[] = { "/names/status", "\"acme_cosellstatus\"", "/names/problem", "\"acme_cosellproblem\"", NULL };

/* A generator of its own, so that a seed means the same everywhere. */
typedef struct dice_t {
    apr_uint64_t s;
} dice_t;

static unsigned roll(dice_t *d, unsigned n)
{
    d->s ^= d->s << 13;
    d->s ^= d->s >> 7;
    d->s ^= d->s << 17;
    return (unsigned)((d->s * 0x2545F4914F6CDD1Dull) >> 33) % n;
}

static const char *pick(dice_t *d, const char *const *words, unsigned n)
{
    return words[roll(d, n)];
}
#define PICK(d, words) pick(d, words, sizeof(words) / sizeof(words[0]))

static const char *const amounts[] = { "0", "1", "50000", "50000.004", "49999.995", "60000.5", "1234567.89", "0.1", "99999999999.99", "12345678901234567",
                                       "null", "70000" };
static const char *const currencies[] = { "\"USD\"", "\"EUR\"", "\"JPY\"", "\"KWD\"", "\"usd\"", "null" };
static const char *const days[] = { "\"2026-03-31T00:00:00.0000000Z\"", "\"2026-03-31T23:59:59Z\"", "\"2026-04-01T12:00:00Z\"", "\"2027-01-01T01:00:00+02:00\"",
                                    "null", "\"soon\"" };
static const char *const texts[] = { "\"A\"", "\"B\"", "\"A \"", "\"Line\\r\\nTwo\"", "\"Line\\nTwo\"", "\"Cafe\\u0301 au lait\"", "\"Caf\\u00e9 au lait\"", "null", "\"\"",
                                     "\"\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\"" };
static const char *const flags[] = { "true", "false", "null" };
static const char *const crm_amounts[] = { "0", "1", "50000", "61234.25", "70000", "null", "7.25" };
static const char *const crm_days[] = { "\"2026-03-31\"", "\"2026-04-01\"", "\"2028-02-29\"", "null" };
static const char *const crm_texts[] = { "\"A\"", "\"B\"", "\"C\\r\\nD\"", "\"C\\nD\"", "null" };
static const char *const crm_flags[] = { "true", "false" };

typedef struct prop_line_t {
    const char *line, *column;
    const char *const *values; /* what users type */
    unsigned n;
} prop_line_t;

static const prop_line_t prop_lines[] = {
    { "name", "name", crm_texts, 5 },
    { "value", "estimatedvalue", crm_amounts, 7 },
    { "close", "estimatedclosedate", crm_days, 4 },
    { "notes", "description", crm_texts, 5 },
    { "visible", "msft_referralvisibility", crm_flags, 2 },
    { "program", "msft_referralprogram", crm_texts, 5 },
};
#define PROP_LINES (sizeof(prop_lines) / sizeof(prop_lines[0]))

static void pc_moves(deal_world_t *w, dice_t *d)
{
    static const char *const forms[][2] = { { "Active", "Accepted" }, { "Active", "Accepted" }, { "New", "Received" }, { "Closed", "Won" }, { "Closed", "Lost" },
                                            { "Closed", "Declined" }, { "Closed", "Expired" }, { "Closed", "Error" } };
    unsigned i = roll(d, 8);
    cs_card_t card = { .doc = w->doc };

    if (cs_state_may_move(cs_state_of_card(&card, w->p), apr_pstrcat(w->p, forms[i][0], "/", forms[i][1], NULL))) {
        deal_status(w, forms[i][0], forms[i][1]);
    }
}

static void pc_edits(deal_world_t *w, dice_t *d)
{
    cs_card_t card = { .doc = w->doc };

    if (cs_state_is_terminal(cs_state_of_card(&card, w->p))) {
        return;
    }
    switch (roll(d, 8)) {
    case 0:
        deal_set(w, "/name", PICK(d, texts));
        break;
    case 1:
        deal_set(w, "/details/dealValue", PICK(d, amounts));
        break;
    case 2:
        deal_set(w, "/details/currency", PICK(d, currencies));
        break;
    case 3:
        deal_set(w, "/details/closingDateTime", PICK(d, days));
        break;
    case 4:
        deal_set(w, "/details/notes", PICK(d, texts));
        break;
    case 5:
        deal_set(w, "/consent/consentToShareReferralWithMicrosoftSellers", PICK(d, flags));
        break;
    case 6:
        deal_set(w, "/referralProgram", PICK(d, texts));
        break;
    default:
        pc_moves(w, d);
        break;
    }
}

/* What a user did to a column since the row was last settled; NULL = nothing. */
typedef struct user_t {
    const char *edits[PROP_LINES];  /* as the column shows it afterwards */
    const char *before[PROP_LINES]; /* as it was when last settled */
} user_t;

/* Line ends are no edit. */
static const char *column_text(deal_world_t *w, unsigned i)
{
    const json_t *value = cs_json_get(w->row, prop_lines[i].column);
    char *text = apr_pstrdup(w->p, cs_json_print(value, w->p)), *at;

    while ((at = strstr(text, "\\r\\n")) != NULL) {
        memmove(at, at + 2, strlen(at + 2) + 1);
    }
    return text;
}

static void user_edits(deal_world_t *w, dice_t *d, user_t *user)
{
    unsigned i = roll(d, PROP_LINES + 2);

    if (!w->row) {
        return;
    }
    if (i == PROP_LINES) {
        static const int states[][2] = { { 0, 1 }, { 0, 2 }, { 1, 3 }, { 2, 4 } };
        unsigned s = roll(d, 4);

        json_object_set_new(w->row, "statecode", json_integer(states[s][0]));
        json_object_set_new(w->row, "statuscode", json_integer(states[s][1]));
        w->version++;
        return;
    }
    if (i > PROP_LINES || cs_json_int(w->row, "statecode", 0) != 0) {
        return;
    }
    deal_edit(w, prop_lines[i].column, pick(d, prop_lines[i].values, prop_lines[i].n));
    if (i == 1 && json_is_null(cs_json_get(w->row, "transactioncurrencyid"))) {
        deal_edit(w, "transactioncurrencyid", "{\"id\":\"usd\",\"isocurrencycode\":\"USD\"}");
    }
    user->edits[i] = column_text(w, i);
}

static int plan_writes(const cs_plan_t *plan, const char *line)
{
    int i, j;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        for (j = 0; step->send && j < step->lines->nelts; j++) {
            if (!strcmp(APR_ARRAY_IDX(step->lines, j, const char *), line)) {
                return 1;
            }
        }
    }
    return 0;
}

static void say(deal_world_t *w, const char *what, apr_uint64_t seed)
{
    fprintf(stderr, "plan: %s\nrow: %s\nreferral: %s\nimages: %s\nhabits: %s\n", cs_json_pretty(w->plan->explain, w->p), cs_json_print(w->row, w->p),
            cs_json_print(w->doc, w->p), cs_json_print(w->deal.images, w->p), cs_json_print(w->habits, w->p));
    fail_msg("SEED=%" APR_UINT64_T_FMT " CASES=1: %s", seed, what);
}

#define check(cond) \
    do { \
        if (!(cond)) { \
            say(w, #cond, seed); \
        } \
    } while (0)

static int is_two_way(const char *line)
{
    return !strcmp(line, "value") || !strcmp(line, "close") || !strcmp(line, "notes");
}

/* What holds for every plan, whatever happened before. */
static void check_plan(deal_world_t *w, const user_t *user, int ending, apr_uint64_t seed)
{
    const cs_step_t *update = deal_find_step(w->plan, CS_STEP_UPDATE);
    const char *column;
    json_t *value;
    unsigned i;

    for (i = 0; i < PROP_LINES && w->plan->lines->nelts; i++) {
        const cs_line_view_t *view = deal_view(w->plan, prop_lines[i].line);
        int written = plan_writes(w->plan, prop_lines[i].line);

        /* equal sides cause no step */
        check(!(view->verdict == CS_VERDICT_EQUAL && written && w->row));
        check(written == view->to_crm);
        /* one-way lines never conflict */
        check(!(view->verdict == CS_VERDICT_HELD && view->rest && !is_two_way(prop_lines[i].line)));
        check(!(view->verdict == CS_VERDICT_TO_PC && !is_two_way(prop_lines[i].line)));
        /* a user's edit is overwritten only by a side that may: the end, or a line that goes one way after all */
        if (user->edits[i] && user->before[i] && strcmp(user->edits[i], user->before[i]) && is_two_way(prop_lines[i].line) && !ending && w->row) {
            check(!written);
        }
    }
    if (!update || !w->row) {
        return;
    }
    /* only what differs is written */
    json_object_foreach(update->columns, column, value) {
        const json_t *now = cs_json_get(w->row, column);

        if (!cs_json_get(value, "$lookup") && !cs_json_get(value, "$number")) {
            check(!now || !json_equal(now, value));
        }
    }
    /* money is never half */
    check(!cs_json_get(update->columns, "transactioncurrencyid") || cs_json_get(update->columns, "estimatedvalue"));
    if (cs_json_get(update->columns, "estimatedvalue") && !cs_json_get(update->columns, "transactioncurrencyid")) {
        const char *theirs = cs_json_str(cs_json_get(w->row, "transactioncurrencyid"), "isocurrencycode");
        const char *ours = cs_json_str(cs_json_get(w->doc, "details"), "currency");

        check(theirs && ours && !strcasecmp(theirs, ours));
    }
}

/* What equals a stored intent counts as ours, whoever typed it. */
static void forget_intended(deal_world_t *w, user_t *user)
{
    unsigned i;

    for (i = 0; i < PROP_LINES && w->plan->lines->nelts; i++) {
        user->before[i] = plan_writes(w->plan, prop_lines[i].line) ? NULL : user->before[i];
    }
}

static void one_case(apr_pool_t *p, cs_mapping_t *mapping, dice_t *d, apr_uint64_t seed)
{
    static const char *const columns[] = { "name", "estimatedvalue", "estimatedclosedate", "description", "msft_referralvisibility", "msft_referralprogram", "statuscode",
                                           "msft_audit", "acme_cosellstatus" };
    deal_world_t *w = deal_world_of(p, mapping);
    unsigned rounds = 1 + roll(d, 4), i, k;
    user_t user;

    memset(&user, 0, sizeof(user));
    w->silent = roll(d, 5) == 0;
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (roll(d, 6) == 0) {
            json_object_set_new(w->habits, columns[i], json_integer(roll(d, 4)));
        }
    }
    for (k = 0; k < rounds; k++) {
        unsigned fate, failed;
        cs_plan_t *first;
        cs_card_t card = { .doc = w->doc };

        for (i = roll(d, 4); i > 0; i--) {
            pc_edits(w, d);
        }
        for (i = roll(d, 3); i > 0; i--) {
            user_edits(w, d, &user);
        }
        deal_plan(w);
        check_plan(w, &user, cs_state_is_terminal(cs_state_of_card(&card, w->p)), seed);
        fate = roll(d, 8);
        w->fail = fate == 0;
        failed = w->fail && deal_sent(w->plan);
        deal_apply(w);
        w->fail = 0;
        if (fate == 1) {
            /* dies before settling; the identity was reserved */
            w->deal.record_id = w->row ? cs_json_str(w->row, "opportunityid") : NULL;
            forget_intended(w, &user);
            continue;
        }
        deal_settle(w);
        forget_intended(w, &user);
        for (i = 0; i < PROP_LINES && w->row && w->plan->lines->nelts; i++) {
            const cs_line_view_t *view = deal_view(w->plan, prop_lines[i].line);

            if (view->take ? view->verdict != CS_VERDICT_HELD || !failed : view->verdict == CS_VERDICT_TO_CRM && !failed && !w->silent) {
                user.before[i] = column_text(w, i);
                user.edits[i] = NULL;
            }
        }
        if (w->deal.intent) {
            memset(user.before, 0, sizeof(user.before)); /* some of it may still be ours */
        }
        if (failed || (w->silent && deal_sent(w->plan))) {
            continue; /* not settled, or not seen what the CRM made of it */
        }
        first = w->plan;
        /* a second look writes nothing, and what was written has arrived */
        deal_plan(w);
        check(deal_sent(w->plan) == 0);
        for (i = 0; i < PROP_LINES && w->plan->lines->nelts && first->lines->nelts; i++) {
            if (deal_view(first, prop_lines[i].line)->verdict == CS_VERDICT_TO_CRM && cs_json_int(w->habits, prop_lines[i].column, HABIT_KEEPS) == HABIT_KEEPS) {
                check(deal_view(w->plan, prop_lines[i].line)->verdict == CS_VERDICT_EQUAL);
            }
        }
        deal_apply(w);
        deal_settle(w);
        check(w->deal.intent == NULL);
    }
}

static void test_properties(void **state)
{
    const char *cases = getenv("CASES"), *from = getenv("SEED");
    unsigned long count = cases ? strtoul(cases, NULL, 10) : 20000, n;
    apr_uint64_t seed = from ? strtoull(from, NULL, 10) : (apr_uint64_t)apr_time_now();
    apr_pool_t *p;
    cs_mapping_t *mapping = deal_mapping(*state, told);

    printf("test_properties: CASES=%lu SEED=%" APR_UINT64_T_FMT "\n", count, seed);
    fflush(stdout);
    apr_pool_create(&p, *state);
    for (n = 0; n < count; n++) {
        dice_t d = { (seed + n) * 0x9E3779B97F4A7C15ull + 1 };

        roll(&d, 2);
        one_case(p, mapping, &d, seed + n);
        apr_pool_clear(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { UNIT_TEST(test_properties) };

    return UNIT_RUN(tests);
}
