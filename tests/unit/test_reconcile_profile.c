/* Random deals under random mappings: users and Partner Center edit both sides, mappings change, looks crash and fail, the CRM rounds, cuts, ignores, refuses and
 * answers too early. CASES and SEED choose how many and which; a failure names the seed of its one case. */
#include "unit_refuse.h"

#define LINE "/records/opportunity/lines/"
#define TOLD "/names/status", "\"acme_cosellstatus\"", "/names/problem", "\"acme_cosellproblem\""

/* Mappings, and what is known of the CRM under each. */
static const char *const plain[] = { TOLD, NULL };
static const char *const rising[] = { LINE "notes/max", "5", LINE "notes/cut", "\"protect\"", LINE "notes/introduce", "\"partner-center\"", LINE "close/conflict", "\"crm\"",
                                      LINE "visible", "{\"pc\":\"/consent/consentToShareReferralWithMicrosoftSellers\",\"crm\":\"@visible\",\"type\":\"flag\",\"latch\":true}",
                                      TOLD, NULL };
static const char *const together[] = { LINE "notes", "{\"pc\":\"/details/notes\",\"crm\":\"description\",\"max\":7,\"cut\":\"plain\",\"group\":\"g\",\"introduce\":\"keep\"}",
                                        LINE "program", "{\"pc\":\"/referralProgram\",\"crm\":\"@program\",\"max\":12,\"group\":\"g\"}", LINE "value/conflict",
                                        "\"partner-center\"", LINE "visible/enforce", "true", TOLD, NULL };
static const char *const elsewhere[] = { LINE "notes/introduce", "\"crm\"", LINE "value/introduce", "\"crm\"", LINE "close/introduce", "\"partner-center\"", LINE "close/zone",
                                      "\"+14:00\"", LINE "notes/conflict", "\"partner-center\"", TOLD, NULL };
#define MAPPINGS 4
static const char *const *const changes_of[MAPPINGS] = { plain, rising, together, elsewhere };
static const char *const metadata_of[MAPPINGS] = {
    NULL, "{\"description\":{\"type\":\"memo\",\"max\":4}}", "{\"estimatedvalue\":{\"type\":\"money\",\"precision\":1}}",
    "{\"estimatedvalue\":{\"type\":\"money\",\"precision\":0},\"description\":{\"type\":\"memo\",\"max\":6}}"
};

typedef struct prop_world_t {
    deal_world_t *w;
    refuse_t will;
    cs_mapping_t *const *mappings;
    json_t *const *metadata;
    unsigned now; /* which of them */
} prop_world_t;

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

/* To the CRM. */
static int plan_writes(const cs_plan_t *plan, const char *line)
{
    int i, j;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        for (j = 0; step->send && step->kind != CS_STEP_PATCH_PC && j < step->lines->nelts; j++) {
            if (!strcmp(APR_ARRAY_IDX(step->lines, j, const char *), line)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Lines that go both ways, and those of them where a user's edit never gives way to Partner Center's. */
static const char *const two_ways[MAPPINGS] = { "value close notes", "value close notes visible", "value close notes program", "value close notes" };
static const char *const stubborn[MAPPINGS] = { "value close notes", "value close", "close", "value close" };

static int is_among(const char *words, const char *line)
{
    const char *at = strstr(words, line);

    return at && (at == words || at[-1] == ' ') && (at[strlen(line)] == ' ' || !at[strlen(line)]);
}

/* The record did not take, or did not keep, the state of an unanswered referral. */
static int unkept(const deal_world_t *w, int since)
{
    for (; since < w->journal->nelts; since++) {
        if (!strcmp(APR_ARRAY_IDX(w->journal, since, cs_journal_t *)->action, "not-kept")) {
            return 1;
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

/* Lines of a group are written together, or are the same already. */
static void check_group(prop_world_t *world, apr_uint64_t seed)
{
    deal_world_t *w = world->w;
    const cs_line_view_t *a, *b;

    if (world->now != 2 || !w->plan->lines->nelts || !w->row) {
        return;
    }
    a = deal_view(w->plan, "notes");
    b = deal_view(w->plan, "program");
    check(!(a->to_crm && b->to_pc) && !(a->to_pc && b->to_crm));
    check(!a->to_crm || b->to_crm || b->verdict == CS_VERDICT_EQUAL || b->verdict == CS_VERDICT_NOT_KEPT);
    check(!b->to_crm || a->to_crm || a->verdict == CS_VERDICT_EQUAL || a->verdict == CS_VERDICT_NOT_KEPT);
    if (a->verdict == CS_VERDICT_HELD && a->rest && !cs_json_get(cs_json_get(w->deal.images, "notes"), "rest")) {
        check(b->verdict == CS_VERDICT_EQUAL || b->verdict == CS_VERDICT_HELD);
    }
}

/* What holds for every plan, whatever happened before. */
static void check_plan(prop_world_t *world, const user_t *user, int ending, apr_uint64_t seed)
{
    deal_world_t *w = world->w;
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
        check(!(view->verdict == CS_VERDICT_HELD && view->rest && !is_among(two_ways[world->now], prop_lines[i].line)));
        check(!(view->to_pc && !is_among(two_ways[world->now], prop_lines[i].line)));
        /* a user's edit is overwritten only by a side that may: the end, or a line that goes one way after all */
        if (user->edits[i] && user->before[i] && strcmp(user->edits[i], user->before[i]) && is_among(stubborn[world->now], prop_lines[i].line) &&
            !ending && w->row) {
            check(!written);
        }
    }
    check_group(world, seed);
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
        /* and what has reached Partner Center may be changed there */
        user->before[i] = plan_writes(w->plan, prop_lines[i].line) || deal_view(w->plan, prop_lines[i].line)->to_pc ? NULL : user->before[i];
    }
}

static void use(prop_world_t *world, unsigned which)
{
    world->now = which;
    world->w->mapping = world->mappings[which];
    world->w->kind = cs_mapping_kind(world->w->mapping, "opportunity");
}

static void prop_plan(prop_world_t *world)
{
    deal_world_t *w = world->w;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    w->look.metadata = world->metadata[world->now];
    if (cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
}

/* Only what the seller reads, because a line was left out of the look before. late: what the CRM makes of a value only after its answer is an edit like any
 * other. */
static int only_tells(const cs_plan_t *plan, int late)
{
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->send && !(late && step->kind == CS_STEP_PATCH_PC) && (step->lines->nelts != 1 || strcmp(APR_ARRAY_IDX(step->lines, 0, const char *), CS_LINE_TELL))) {
            return 0;
        }
    }
    return 1;
}

static int left_out(const deal_world_t *w)
{
    int i, n = 0;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        n += w->applied[i].refused || w->applied[i].dropped;
    }
    return n;
}

/* What waited or was refused is told so until it has arrived, which the next look sees. */
static int waited(const deal_world_t *w)
{
    const char *line;
    json_t *image;

    json_object_foreach(w->deal.images, line, image) {
        if (cs_json_get(image, "waits") || cs_json_get(image, "refused")) {
            return 1;
        }
    }
    return 0;
}

static void habits(prop_world_t *world, dice_t *d)
{
    static const char *const columns[] = { "name", "estimatedvalue", "estimatedclosedate", "description", "msft_referralvisibility", "msft_referralprogram", "statuscode",
                                           "msft_audit", "acme_cosellstatus" };
    unsigned i;

    world->w->silent = roll(d, 5) == 0;
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (roll(d, 6) == 0) {
            json_object_set_new(world->w->habits, columns[i], json_integer(roll(d, 4)));
        }
        if (i < 6 && roll(d, 12) == 0) {
            json_object_set_new(world->will.refuses, columns[i], json_string("not allowed"));
        }
        if (i < 6 && roll(d, 12) == 0) {
            json_object_set_new(world->will.lags, columns[i], json_true());
        }
    }
}

/* What was written has arrived, where the CRM has no will of its own. */
static void check_arrived(prop_world_t *world, const cs_plan_t *first, apr_uint64_t seed)
{
    deal_world_t *w = world->w;
    unsigned i;

    for (i = 0; i < PROP_LINES && w->plan->lines->nelts && first->lines->nelts; i++) {
        const char *column = prop_lines[i].column;

        if (deal_view(first, prop_lines[i].line)->to_crm && cs_json_int(w->habits, column, HABIT_KEEPS) == HABIT_KEEPS && !json_object_size(world->will.refuses) &&
            !cs_json_get(world->will.lags, column)) {
            check(deal_view(w->plan, prop_lines[i].line)->verdict == CS_VERDICT_EQUAL);
        }
    }
}

static void move(prop_world_t *world, dice_t *d, user_t *user)
{
    unsigned i;

    for (i = roll(d, 4); i > 0; i--) {
        pc_edits(world->w, d);
    }
    for (i = roll(d, 3); i > 0; i--) {
        user_edits(world->w, d, user);
    }
    if (roll(d, 8) == 0) {
        use(world, roll(d, MAPPINGS));
        memset(user->before, 0, sizeof(user->before)); /* other rules from now on */
    }
    if (roll(d, 8) == 0) {
        json_object_clear(world->will.refuses);
    }
}

static void remember(prop_world_t *world, user_t *user, int failed)
{
    deal_world_t *w = world->w;
    unsigned i;

    for (i = 0; i < PROP_LINES && w->row && w->plan->lines->nelts; i++) {
        const cs_line_view_t *view = deal_view(w->plan, prop_lines[i].line);

        if (view->take ? view->verdict != CS_VERDICT_HELD || !failed : view->to_crm && !failed && !w->silent) {
            user->before[i] = column_text(w, i);
            user->edits[i] = NULL;
        }
    }
    if (w->deal.intent || left_out(w)) {
        memset(user->before, 0, sizeof(user->before)); /* some of it may still be ours */
    }
}

static void one_case(apr_pool_t *p, cs_mapping_t *const *mappings, json_t *const *metadata, dice_t *d, apr_uint64_t seed)
{
    prop_world_t world = { .w = deal_world_of(p, mappings[0]), .mappings = mappings, .metadata = metadata };
    deal_world_t *w = world.w;
    unsigned rounds = 1 + roll(d, 4), k;
    user_t user;

    memset(&user, 0, sizeof(user));
    refuse_init(&world.will, p);
    use(&world, roll(d, 3) ? roll(d, MAPPINGS) : 0);
    habits(&world, d);
    for (k = 0; k < rounds; k++) {
        unsigned fate, failed;
        int waiting, lines;
        cs_plan_t *first;
        cs_card_t card = { .doc = w->doc };

        move(&world, d, &user);
        waiting = waited(w);
        prop_plan(&world);
        check_plan(&world, &user, cs_state_is_terminal(cs_state_of_card(&card, w->p)), seed);
        fate = roll(d, 8);
        w->fail = fate == 0;
        failed = w->fail && deal_sent(w->plan);
        refuse_apply(&world.will, w);
        w->fail = 0;
        if (fate == 1) {
            /* dies before settling; the identity was reserved */
            w->deal.record_id = w->row ? cs_json_str(w->row, "opportunityid") : NULL;
            forget_intended(w, &user);
            continue;
        }
        lines = w->journal->nelts;
        deal_settle(w);
        forget_intended(w, &user);
        remember(&world, &user, (int)failed);
        if (failed || (w->silent && deal_sent(w->plan))) {
            continue; /* not settled, or not seen what the CRM made of it */
        }
        first = w->plan;
        if (waiting || left_out(w) || json_object_size(world.will.lags) || unkept(w, lines)) {
            /* that something was left out, became another value after the answer, or that the record did not stay unanswered, is told with the next look, once */
            prop_plan(&world);
            check(only_tells(w->plan, json_object_size(world.will.lags) > 0));
            refuse_apply(&world.will, w);
            deal_settle(w);
        }
        /* a second look writes nothing, and what was written has arrived */
        prop_plan(&world);
        check(deal_sent(w->plan) == 0);
        check_arrived(&world, first, seed);
        refuse_apply(&world.will, w);
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
    cs_mapping_t *mappings[MAPPINGS];
    json_t *metadata[MAPPINGS];
    int i;

    for (i = 0; i < MAPPINGS; i++) {
        mappings[i] = deal_mapping(*state, changes_of[i]);
        metadata[i] = metadata_of[i] ? deal_json(*state, apr_psprintf(*state, "{\"tables\":{\"opportunity\":{\"columns\":%s}}}", metadata_of[i])) : NULL;
    }
    printf("test_properties: CASES=%lu SEED=%" APR_UINT64_T_FMT "\n", count, seed);
    fflush(stdout);
    apr_pool_create(&p, *state);
    for (n = 0; n < count; n++) {
        dice_t d = { (seed + n) * 0x9E3779B97F4A7C15ull + 1 };

        roll(&d, 2);
        one_case(p, mappings, metadata, &d, seed + n);
        apr_pool_clear(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { UNIT_TEST(test_properties) };

    return UNIT_RUN(tests);
}
