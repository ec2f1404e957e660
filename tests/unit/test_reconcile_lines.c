/* What happens to one line: where its values come from, how they are bounded, which side counts, and what the CRM refuses. The CRM of unit_deal.h, with metadata
 * and with a will of its own. */
#include "unit_refuse.h"

#define LINE "/records/opportunity/lines/"
#define TOLD "/names/status", "\"acme_cosellstatus\"", "/names/problem", "\"acme_cosellproblem\""

typedef struct crm_t {
    deal_world_t *w;
    refuse_t will;
    const char *metadata;  /* columns of the opportunity; NULL = not known */
    const char *microsoft; /* Microsoft's card */
    int notified;
} crm_t;

static crm_t *crm_of(apr_pool_t *p, const char *const *changes)
{
    crm_t *c = apr_pcalloc(p, sizeof(*c));

    c->w = deal_world(p, changes);
    refuse_init(&c->will, p);
    deal_status(c->w, "Active", "Accepted");
    return c;
}

static cs_plan_t *plan(crm_t *c)
{
    deal_world_t *w = c->w;
    cs_card_t *microsoft = apr_pcalloc(w->p, sizeof(*microsoft));
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    if (c->metadata) {
        w->look.metadata = deal_json(w->p, apr_psprintf(w->p, "{\"language\":1033,\"tables\":{\"opportunity\":{\"columns\":%s}}}", c->metadata));
    }
    if (c->microsoft) {
        microsoft->id = "7c0c0f55-2222-4222-8333-944455566677";
        microsoft->organization_id = "msft";
        microsoft->doc = deal_json(w->p, c->microsoft);
        w->look.microsoft = microsoft;
    }
    w->look.notified = c->notified;
    if (cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return w->plan;
}

static void apply(crm_t *c)
{
    refuse_apply(&c->will, c->w);
}

static cs_plan_t *look(crm_t *c)
{
    plan(c);
    apply(c);
    deal_settle(c->w);
    return c->w->plan;
}

/* Looks until nothing more is written, which is at once or after one write of what the seller reads. */
static void quiet(crm_t *c)
{
    look(c);
    plan(c);
    if (deal_sent(c->w->plan)) {
        fail_msg("not quiet: %s", cs_json_pretty(c->w->plan->explain, c->w->p));
    }
}

/* A deal that was made, with metadata or without. */
static crm_t *settled(apr_pool_t *p, const char *const *changes, const char *metadata)
{
    crm_t *c = crm_of(p, changes);

    c->metadata = metadata;
    look(c);
    quiet(c);
    return c;
}

/* An existing row, met for the first time. */
static crm_t *met(apr_pool_t *p, const char *const *changes)
{
    crm_t *c = crm_of(p, changes);

    deal_row(c->w, "b1c3a7d2-0000-4000-8000-00000000abcd");
    c->w->deal.record_id = "b1c3a7d2-0000-4000-8000-00000000abcd";
    deal_edit(c->w, "transactioncurrencyid", "{\"id\":\"usd\",\"isocurrencycode\":\"USD\"}");
    return c;
}

static int journalled(crm_t *c, const char *line, const char *outcome)
{
    int i, n = 0;

    for (i = 0; i < c->w->journal->nelts; i++) {
        const cs_journal_t *j = APR_ARRAY_IDX(c->w->journal, i, cs_journal_t *);

        n += j->line && !strcmp(j->line, line) && !strcmp(j->outcome, outcome);
    }
    return n;
}

static const json_t *column(crm_t *c, const char *name)
{
    const cs_step_t *step = deal_find_step(c->w->plan, CS_STEP_UPDATE);

    step = step ? step : deal_find_step(c->w->plan, CS_STEP_CREATE);
    return step ? cs_json_get(step->columns, name) : NULL;
}

static const json_t *image(crm_t *c, const char *line, const char *member)
{
    return cs_json_get(cs_json_get(c->w->deal.images, line), member);
}

/* What would be sent to a place at Partner Center. */
static const json_t *operation(crm_t *c, const char *path)
{
    const cs_step_t *step = deal_find_step(c->w->plan, CS_STEP_PATCH_PC);
    size_t i;

    for (i = 0; step && i < json_array_size(step->columns); i++) {
        const json_t *op = json_array_get(step->columns, i);

        if (!strcmp(cs_json_str(op, "path"), path)) {
            return cs_json_get(op, "value");
        }
    }
    return NULL;
}

#define assert_why(c, line, text) assert_has(deal_view((c)->w->plan, (line))->why, (text))

/* ---- where values come from ---- */

static void test_cards(void **state)
{
    static const char *const changes[] = { LINE "msx", "{\"pc\":\"microsoft:/trackingInfo/microsoftMsxId\",\"crm\":\"acme_msx\",\"direction\":\"to_crm\"}",
                                           LINE "help", "{\"pc\":\"invite:/inviteContext/assistanceRequestCode\",\"crm\":\"acme_help\",\"direction\":\"to_crm\"}",
                                           LINE "first", "{\"pc\":\"/customerProfile/team[first]/firstName\",\"crm\":\"acme_first\",\"direction\":\"to_crm\"}",
                                           LINE "answer", "{\"pc\":\"/name\",\"crm\":\"acme_answer\",\"direction\":\"to_crm\","
                                                          "\"when\":{\"pc\":\"microsoft:/substatus\",\"is\":\"Accepted\"}}", TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_set(c->w, "/inviteContext/assistanceRequestCode", "\"GeneralOrOther\"");
    deal_set(c->w, "/customerProfile/team", "[{\"firstName\":\"Ada\"},{\"firstName\":\"Bob\"}]");
    deal_set(c->w, "/$microsoft", "{\"trackingInfo\":{\"microsoftMsxId\":\"forged\"}}");
    look(c);
    assert_json(c->w, deal_view(c->w->plan, "msx")->pc, "null");
    assert_json(c->w, column(c, "acme_help"), "\"GeneralOrOther\"");
    assert_json(c->w, column(c, "acme_first"), "\"Ada\"");
    assert_verdict(c->w, "answer", CS_VERDICT_SKIPPED);
    quiet(c);

    c->microsoft = "{\"substatus\":\"Accepted\",\"trackingInfo\":{\"microsoftMsxId\":\"7-ABC\"},\"inviteContext\":{\"assistanceRequestCode\":\"QuotesOrLicensing\"}}";
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_msx"), "\"7-ABC\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_help"), "\"QuotesOrLicensing\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_answer"), "\"Contoso migration\"");
    quiet(c);
    deal_set(c->w, "/customerProfile/team", "[]");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_first"), "null");
    quiet(c);
}

static void test_the_first_column_that_says_something(void **state)
{
    static const char *const changes[] = { LINE "where", "{\"pc\":\"/campaignId\",\"crm\":[\"acme_a\",\"acme_b\"],\"direction\":\"to_pc\"}", TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    deal_edit(c->w, "acme_a", "null");
    deal_edit(c->w, "acme_b", "\"second\"");
    plan(c);
    assert_json(c->w, deal_view(c->w->plan, "where")->crm, "\"second\"");
    assert_verdict(c->w, "where", CS_VERDICT_TO_PC);
    deal_edit(c->w, "acme_a", "\"first\"");
    plan(c);
    assert_json(c->w, deal_view(c->w->plan, "where")->crm, "\"first\"");
    /* an earlier one that cannot be read may say something */
    json_object_del(c->w->row, "acme_a");
    plan(c);
    assert_verdict(c->w, "where", CS_VERDICT_UNREADABLE);
}

static void test_countries(void **state)
{
    static const char *const changes[] = { LINE "country", "{\"pc\":\"/campaignId\",\"crm\":\"acme_country\",\"type\":\"country\"}", TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_set(c->w, "/campaignId", "\"DE\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_country"), "\"Germany\"");
    quiet(c);
    /* the same country in other words is no change */
    deal_edit(c->w, "acme_country", "\"deutschland\"");
    quiet(c);
    assert_verdict(c->w, "country", CS_VERDICT_EQUAL);
    deal_set(c->w, "/campaignId", "\"Austria\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_country"), "\"Austria\"");
    quiet(c);
    /* a column that shows codes is given codes */
    deal_edit(c->w, "acme_country", "\"AT\"");
    quiet(c);
    deal_set(c->w, "/campaignId", "\"CH\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_country"), "\"CH\"");
    quiet(c);
    /* and one that has no room for a name */
    deal_edit(c->w, "acme_country", "\"Switzerland\"");
    quiet(c);
    c->metadata = "{\"acme_country\":{\"type\":\"text\",\"max\":2}}";
    deal_set(c->w, "/campaignId", "\"FR\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_country"), "\"FR\"");
    quiet(c);
    deal_set(c->w, "/campaignId", "\"Atlantis\"");
    look(c);
    assert_verdict(c->w, "country", CS_VERDICT_REFUSED);
    assert_why(c, "country", "is no country");
    quiet(c);
    deal_set(c->w, "/campaignId", "\"FR\"");
    deal_edit(c->w, "acme_country", "\"Spain\"");
    plan(c);
    assert_verdict(c->w, "country", CS_VERDICT_TO_PC);
    assert_json(c->w, operation(c, "/campaignId"), "\"ES\"");
}

#define HELP_PAIRS "\"pairs\":{\"GeneralOrOther\":\"General Or Other\",\"QuotesOrLicensing\":\"Quotes Or Licensing\"},\"empty\":[\"Unknown\"]"
#define HELP_OPTIONS                                                                                                            \
    "\"options\":[{\"value\":7,\"label\":\"Quotes or licensing\"},{\"value\":9,\"label\":\"Allgemeines\",\"labels\":[\"general or other\",\"Allgemeines\"]}," \
    "{\"value\":11,\"label\":\"Something else\"}]"

static void test_values_by_label(void **state)
{
    static const char *const changes[] = { "/values/help", "{\"match_by\":\"label\"," HELP_PAIRS "}", LINE "help",
                                           "{\"pc\":\"/campaignId\",\"crm\":\"acme_help\",\"type\":\"choice\",\"values\":\"help\"}", TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_set(c->w, "/campaignId", "\"GeneralOrOther\"");
    look(c);
    assert_verdict(c->w, "help", CS_VERDICT_HELD);
    assert_why(c, "help", "not known yet");
    assert_null(column(c, "acme_help"));
    quiet(c);
    c->metadata = "{\"acme_help\":{\"type\":\"choice\"," HELP_OPTIONS "}}";
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_help"), "9");
    quiet(c);
    assert_verdict(c->w, "help", CS_VERDICT_EQUAL);

    /* what is not known any more did not change */
    c->metadata = NULL;
    quiet(c);
    assert_verdict(c->w, "help", CS_VERDICT_EQUAL);
    assert_json(c->w, image(c, "help", "crm"), "9");
    deal_edit(c->w, "acme_help", "7");
    plan(c);
    assert_verdict(c->w, "help", CS_VERDICT_HELD);
    c->metadata = "{\"acme_help\":{\"type\":\"choice\"," HELP_OPTIONS "}}";
    plan(c);
    assert_verdict(c->w, "help", CS_VERDICT_TO_PC);
    deal_edit(c->w, "acme_help", "11");
    plan(c);
    assert_verdict(c->w, "help", CS_VERDICT_REFUSED);

    c->metadata = "{\"acme_help\":{\"type\":\"choice\",\"options\":[{\"value\":9,\"label\":\"Alpha\"},{\"value\":7,\"label\":\"Beta\"}]}}";
    deal_edit(c->w, "acme_help", "9");
    deal_set(c->w, "/campaignId", "\"QuotesOrLicensing\"");
    plan(c);
    assert_verdict(c->w, "help", CS_VERDICT_REFUSED);
    assert_why(c, "help", "the CRM has no choice \"Quotes Or Licensing\" here; it has: Alpha, Beta");
}

static void test_a_state_by_label(void **state)
{
    static const char *const changes[] = { "/values/stage", "{\"match_by\":\"label\",\"pairs\":{\"IPCosell\":\"Co-sell\"},\"else\":{\"to_crm\":\"Other\"}}",
                                           "/records/opportunity/state/show/Active", "{\"set\":{\"statuscode\":1,\"acme_stage\":{\"pc\":\"/referralProgram\",\"values\":\"stage\"}}}",
                                           TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_status(c->w, "New", "Pending");
    deal_set(c->w, "/referralProgram", "\"IPCosell\"");
    look(c);
    quiet(c);
    deal_status(c->w, "Active", "Accepted");
    look(c);
    assert_verdict(c->w, CS_LINE_STATE, CS_VERDICT_HELD);
    assert_json(c->w, cs_json_get(c->w->row, "statuscode"), "2");
    c->metadata = "{\"acme_stage\":{\"options\":[{\"value\":41,\"label\":\"Other\"},{\"value\":51,\"label\":\"Gemeinsam\",\"labels\":[\"CO-SELL \",\"Gemeinsam\"]}]}}";
    look(c);
    assert_json(c->w, column(c, "acme_stage"), "51");
    assert_json(c->w, cs_json_get(c->w->row, "statuscode"), "1");
    quiet(c);
}

/* ---- bounds and rights ---- */

static const char *text_of(apr_pool_t *p, int n, const char *tail)
{
    char *text = apr_palloc(p, (apr_size_t)n + 1);

    memset(text, 'x', (apr_size_t)n);
    text[n] = '\0';
    return apr_pstrcat(p, "\"", text, tail, "\"", NULL);
}

static void test_the_smaller_bound_counts(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = settled(*state, changes, "{\"description\":{\"type\":\"memo\",\"max\":100}}");

    deal_set(c->w, "/details/notes", text_of(*state, 101, ""));
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_REFUSED);
    assert_why(c, "notes", "101 characters, and only 100 fit");
    c->metadata = "{\"description\":{\"type\":\"memo\",\"max\":100000}}";
    deal_set(c->w, "/details/notes", text_of(*state, 2001, ""));
    look(c);
    assert_why(c, "notes", "2001 characters, and only 2000 fit");
    deal_set(c->w, "/details/notes", text_of(*state, 2000, ""));
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "description"), text_of(*state, 2000, ""));
    quiet(c);
}

static void test_money_as_its_column_shows_it(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = settled(*state, changes, "{\"estimatedvalue\":{\"type\":\"money\",\"precision\":0}}");

    json_object_set_new(c->w->habits, "estimatedvalue", json_integer(HABIT_ROUNDS));
    deal_set(c->w, "/details/dealValue", "60000.50");
    look(c);
    assert_json(c->w, column(c, "estimatedvalue"), "{\"$number\":\"60001.00\"}");
    assert_null(image(c, "value", "rest"));
    quiet(c);
    assert_verdict(c->w, "value", CS_VERDICT_EQUAL);
    /* what does not show there is no change there */
    deal_set(c->w, "/details/dealValue", "60001.49");
    quiet(c);
    assert_verdict(c->w, "value", CS_VERDICT_EQUAL);
}

static void test_what_the_crm_lets_nobody_do(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    c->metadata = "{\"description\":{\"label\":\"Notes\",\"update\":false},\"estimatedvalue\":{\"calculated\":true},\"msft_referralprogram\":{\"read\":false}}";
    deal_set(c->w, "/details/notes", "\"new\"");
    deal_set(c->w, "/details/dealValue", "1");
    deal_edit(c->w, "msft_referralprogram", "null");
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_REFUSED);
    assert_why(c, "notes", "does not let mod_cosell's user write Notes");
    assert_verdict(c->w, "value", CS_VERDICT_ONE_WAY);
    assert_why(c, "value", "the CRM computes it");
    assert_verdict(c->w, "program", CS_VERDICT_UNREADABLE);
    quiet(c);
    /* what it computes goes the other way */
    deal_edit(c->w, "estimatedvalue", "75000");
    plan(c);
    assert_verdict(c->w, "value", CS_VERDICT_TO_PC);
    c->metadata = NULL;
    deal_edit(c->w, "estimatedvalue", "50000");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "description"), "\"new\"");
}

/* ---- cut ---- */

#define LONG_HEAD "0123456789012345678"

static void test_cut(void **state)
{
    static const char *const changes[] = { LINE "notes/max", "20", LINE "notes/cut", "\"plain\"", TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    /* a head that ends with a blank is kept without it */
    deal_set(c->w, "/details/notes", "\"" LONG_HEAD " and more\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "description"), "\"" LONG_HEAD "\"");
    assert_json(c->w, image(c, "notes", "rest"), "\"cut\"");
    quiet(c);
    assert_verdict(c->w, "notes", CS_VERDICT_EQUAL);
    assert_why(c, "notes", "shortened to 20 characters");
    /* behind the bound nothing shows */
    deal_set(c->w, "/details/notes", "\"" LONG_HEAD " and much more\"");
    quiet(c);
    deal_edit(c->w, "description", "\"retyped\"");
    plan(c);
    assert_verdict(c->w, "notes", CS_VERDICT_TO_PC);
    /* a character of two units is not halved */
    deal_edit(c->w, "description", "\"" LONG_HEAD "\"");
    deal_set(c->w, "/details/notes", "\"" LONG_HEAD "\\ud83d\\ude00x\"");
    quiet(c);
    assert_json(c->w, cs_json_get(c->w->row, "description"), "\"" LONG_HEAD "\"");
}

static void test_cut_protects(void **state)
{
    static const char *const changes[] = { LINE "notes/max", "20", LINE "notes/cut", "\"protect\"", TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    deal_set(c->w, "/details/notes", "\"" LONG_HEAD " and more\"");
    look(c);
    quiet(c);
    deal_edit(c->w, "description", "\"retyped\"");
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_ONE_WAY);
    assert_why(c, "notes", "stays here");
    quiet(c);
    assert_verdict(c->w, "notes", CS_VERDICT_ONE_WAY);
    deal_edit(c->w, "description", "\"retyped again\"");
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_ONE_WAY);
    /* the next text of Partner Center replaces it, even if both moved; then edits travel again */
    deal_edit(c->w, "description", "\"and again\"");
    deal_set(c->w, "/details/notes", "\"it fits\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "description"), "\"it fits\"");
    quiet(c);
    deal_edit(c->w, "description", "\"mine\"");
    plan(c);
    assert_verdict(c->w, "notes", CS_VERDICT_TO_PC);
}

/* ---- latches ---- */

static void test_a_flag_only_rises(void **state)
{
    static const char *const changes[] = { LINE "visible", "{\"pc\":\"/consent/consentToShareReferralWithMicrosoftSellers\",\"crm\":\"@visible\",\"type\":\"flag\",\"latch\":true}",
                                           TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_set(c->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    look(c);
    quiet(c);
    deal_set(c->w, "/consent/consentToShareReferralWithMicrosoftSellers", "true");
    look(c);
    assert_verdict(c->w, "visible", CS_VERDICT_TO_CRM);
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralvisibility"), "true");
    quiet(c);
    deal_edit(c->w, "msft_referralvisibility", "false");
    look(c);
    assert_verdict(c->w, "visible", CS_VERDICT_LATCHED);
    assert_why(c, "visible", "never taken back; restored");
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralvisibility"), "true");
    assert_int_equal(journalled(c, "visible", "done"), 2);
    quiet(c);
    assert_verdict(c->w, "visible", CS_VERDICT_EQUAL);
    /* a step down at Partner Center is not followed */
    deal_set(c->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    look(c);
    assert_verdict(c->w, "visible", CS_VERDICT_LATCHED);
    assert_true(deal_view(c->w->plan, "visible")->to_pc);
    assert_null(column(c, "msft_referralvisibility"));
    assert_json(c->w, operation(c, "/consent/consentToShareReferralWithMicrosoftSellers"), "true");
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralvisibility"), "true");
}

static void test_a_latch_that_cannot_be_restored(void **state)
{
    static const char *const changes[] = { LINE "visible", "{\"pc\":\"/consent/consentToShareReferralWithMicrosoftSellers\",\"crm\":\"@visible\",\"type\":\"flag\",\"latch\":true,"
                                                           "\"direction\":\"to_crm\",\"enforce\":true}", TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    deal_set(c->w, "/consent/consentToShareReferralWithMicrosoftSellers", "false");
    look(c);
    assert_verdict(c->w, "visible", CS_VERDICT_LATCHED);
    assert_json(c->w, image(c, "visible", "rest"), "\"latched\"");
    quiet(c);
    assert_verdict(c->w, "visible", CS_VERDICT_LATCHED);
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralvisibility"), "true");
}

static void test_a_choice_only_rises(void **state)
{
    static const char *const changes[] = { "/values/help", "{\"pairs\":{\"GeneralOrOther\":9,\"QuotesOrLicensing\":7},\"empty\":[\"Unknown\",\"NoHelpNeededFromMicrosoft\"]}",
                                           LINE "help", "{\"pc\":\"/campaignId\",\"crm\":\"acme_help\",\"type\":\"choice\",\"values\":\"help\",\"latch\":true}", TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_set(c->w, "/campaignId", "\"Unknown\"");
    look(c);
    quiet(c);
    /* set wins over the policy, though both moved */
    deal_set(c->w, "/campaignId", "\"NoHelpNeededFromMicrosoft\"");
    deal_edit(c->w, "acme_help", "9");
    plan(c);
    assert_verdict(c->w, "help", CS_VERDICT_TO_PC);
    deal_set(c->w, "/campaignId", "\"GeneralOrOther\"");
    look(c);
    assert_verdict(c->w, "help", CS_VERDICT_EQUAL);
    deal_edit(c->w, "acme_help", "null");
    look(c);
    assert_verdict(c->w, "help", CS_VERDICT_LATCHED);
    assert_json(c->w, cs_json_get(c->w->row, "acme_help"), "9");
    quiet(c);
    /* between two set values the ordinary rules apply */
    deal_edit(c->w, "acme_help", "7");
    plan(c);
    assert_verdict(c->w, "help", CS_VERDICT_TO_PC);
    deal_set(c->w, "/campaignId", "\"QuotesOrLicensing\"");
    quiet(c);
    deal_set(c->w, "/campaignId", "\"GeneralOrOther\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_help"), "9");
}

/* ---- introduce ---- */

static void test_introduce_at_a_first_meeting(void **state)
{
    static const struct {
        const char *rule, *crm;
        cs_verdict_e verdict;
    } cases[] = {
        { "\"fill-empty\"", "null", CS_VERDICT_TO_CRM }, { "\"fill-empty\"", "\"theirs\"", CS_VERDICT_SKIPPED }, { "\"keep\"", "null", CS_VERDICT_SKIPPED },
        { "\"keep\"", "\"theirs\"", CS_VERDICT_SKIPPED }, { "\"crm\"", "\"theirs\"", CS_VERDICT_TO_PC },         { "\"crm\"", "null", CS_VERDICT_TO_CRM },
        { "\"partner-center\"", "\"theirs\"", CS_VERDICT_TO_CRM },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const changes[] = { LINE "notes/introduce", cases[i].rule, TOLD, NULL };
        crm_t *c = met(*state, changes);

        deal_edit(c->w, "description", cases[i].crm);
        look(c);
        assert_verdict(c->w, "notes", cases[i].verdict);
        assert_json(c->w, cs_json_get(c->w->row, "description"), cases[i].verdict == CS_VERDICT_TO_CRM ? "\"First call\"" : cases[i].crm);
        assert_int_equal(c->w->plan->crm_writes, 0);
        quiet(c);
    }
}

/* Another mapping takes over a deal that was settled. */
static void remap(crm_t *c, const char *const *changes)
{
    c->w->mapping = deal_mapping(c->w->p, changes);
    c->w->kind = cs_mapping_kind(c->w->mapping, "opportunity");
}

static void test_introduce_a_new_line(void **state)
{
    static const struct {
        const char *rule, *crm;
        cs_verdict_e verdict;
    } cases[] = {
        { "fill-empty", "null", CS_VERDICT_TO_CRM },      { "fill-empty", "\"theirs\"", CS_VERDICT_SKIPPED },
        { "keep", "null", CS_VERDICT_SKIPPED },           { "crm", "\"theirs\"", CS_VERDICT_TO_PC },
        { "partner-center", "\"theirs\"", CS_VERDICT_TO_CRM },
    };
    static const char *const before[] = { TOLD, NULL };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *line = apr_psprintf(*state, "{\"pc\":\"/campaignId\",\"crm\":\"acme_new\",\"introduce\":\"%s\"}", cases[i].rule);
        const char *const after[] = { LINE "new", line, TOLD, NULL };
        crm_t *c;

        c = settled(*state, before, NULL);
        deal_set(c->w, "/campaignId", "\"ours\"");
        deal_edit(c->w, "acme_new", cases[i].crm);
        remap(c, after);
        /* a write that failed is done by the next look just the same */
        plan(c);
        c->w->fail = 1;
        apply(c);
        deal_settle(c->w);
        c->w->fail = 0;
        assert_int_equal(c->w->plan->crm_writes, cases[i].verdict == CS_VERDICT_TO_CRM || cases[i].verdict == CS_VERDICT_TO_PC);
        look(c);
        if (cases[i].verdict == CS_VERDICT_TO_CRM || cases[i].verdict == CS_VERDICT_TO_PC) {
            assert_verdict(c->w, "new", cases[i].verdict);
        }
        assert_json(c->w, cs_json_get(c->w->row, "acme_new"), cases[i].verdict == CS_VERDICT_TO_CRM ? "\"ours\"" : cases[i].crm);
        quiet(c);
        /* and from now on it is a line like any other */
        if (cases[i].verdict != CS_VERDICT_TO_PC) {
            deal_set(c->w, "/campaignId", "\"moved\"");
            look(c);
            assert_json(c->w, cs_json_get(c->w->row, "acme_new"), "\"moved\"");
            assert_int_equal(c->w->plan->crm_writes, 0);
            quiet(c);
        }
    }
}

static void test_a_line_that_reads_otherwise_is_new(void **state)
{
    static const char *const before[] = { TOLD, NULL };
    static const char *const zone[] = { LINE "close/zone", "\"+14:00\"", TOLD, NULL };
    static const char *const counts[] = { LINE "close/zone", "\"+14:00\"", LINE "close/introduce", "\"partner-center\"", TOLD, NULL };
    static const char *const moved[] = { LINE "program/pc", "\"/campaignId\"", TOLD, NULL };
    crm_t *c = crm_of(*state, before);

    deal_set(c->w, "/details/closingDateTime", "\"2026-03-31T12:00:00Z\"");
    look(c);
    quiet(c);
    assert_json(c->w, cs_json_get(c->w->row, "estimatedclosedate"), "\"2026-03-31\"");
    remap(c, zone);
    look(c);
    assert_verdict(c->w, "close", CS_VERDICT_SKIPPED);
    assert_null(column(c, "estimatedclosedate"));
    quiet(c);
    deal_set(c->w, "/details/closingDateTime", "\"2026-05-01T12:00:00Z\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "estimatedclosedate"), "\"2026-05-02\"");
    quiet(c);

    c = settled(*state, before, NULL);
    deal_set(c->w, "/details/closingDateTime", "\"2026-03-31T12:00:00Z\"");
    quiet(c);
    remap(c, counts);
    look(c);
    assert_int_equal(c->w->plan->crm_writes, 1);
    assert_json(c->w, cs_json_get(c->w->row, "estimatedclosedate"), "\"2026-04-01\"");
    quiet(c);

    c = crm_of(*state, before);
    deal_set(c->w, "/referralProgram", "\"IPCosell\"");
    look(c);
    deal_set(c->w, "/campaignId", "\"Spring\"");
    remap(c, moved);
    look(c);
    assert_verdict(c->w, "program", CS_VERDICT_SKIPPED);
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralprogram"), "\"IPCosell\"");
    quiet(c);
}

/* ---- groups ---- */

#define GROUP(policy)                                                                                                                             \
    LINE "a", "{\"pc\":\"/campaignId\",\"crm\":\"acme_a\",\"group\":\"ab\",\"conflict\":" policy "}", LINE "b",                                    \
        "{\"pc\":\"/salesStage\",\"crm\":\"acme_b\",\"group\":\"ab\",\"max\":10}"

static crm_t *grouped(apr_pool_t *p, const char *const *changes)
{
    crm_t *c = crm_of(p, changes);

    deal_set(c->w, "/campaignId", "\"a1\"");
    deal_set(c->w, "/salesStage", "\"b1\"");
    look(c);
    quiet(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_b"), "\"b1\"");
    return c;
}

static void test_a_group_conflicts_as_one(void **state)
{
    static const char *const hold[] = { GROUP("\"hold\""), TOLD, NULL };
    crm_t *c = grouped(*state, hold);

    /* different lines of it, on different sides */
    deal_set(c->w, "/campaignId", "\"a2\"");
    deal_edit(c->w, "acme_b", "\"b9\"");
    look(c);
    assert_verdict(c->w, "a", CS_VERDICT_HELD);
    assert_verdict(c->w, "b", CS_VERDICT_HELD);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a1\"");
    quiet(c);
    assert_verdict(c->w, "a", CS_VERDICT_HELD);
    /* the next edit decides, and takes all of them along */
    deal_set(c->w, "/campaignId", "\"a3\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a3\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_b"), "\"b1\"");
    quiet(c);
}

static void test_a_group_follows_one_policy(void **state)
{
    static const char *const pc[] = { GROUP("\"partner-center\""), LINE "b/conflict", "\"partner-center\"", TOLD, NULL };
    static const char *const theirs[] = { GROUP("\"crm\""), LINE "b/conflict", "\"crm\"", TOLD, NULL };
    crm_t *c = grouped(*state, pc);

    deal_set(c->w, "/campaignId", "\"a2\"");
    deal_edit(c->w, "acme_b", "\"b9\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a2\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_b"), "\"b1\"");
    quiet(c);

    c = grouped(*state, theirs);
    deal_set(c->w, "/campaignId", "\"a2\"");
    deal_edit(c->w, "acme_b", "\"b9\"");
    plan(c);
    assert_verdict(c->w, "a", CS_VERDICT_TO_PC);
    assert_verdict(c->w, "b", CS_VERDICT_TO_PC);
}

static void test_a_group_is_never_half(void **state)
{
    static const char *const hold[] = { GROUP("\"hold\""), TOLD, NULL };
    crm_t *c = grouped(*state, hold);

    /* one cannot travel */
    deal_set(c->w, "/campaignId", "\"a2\"");
    deal_set(c->w, "/salesStage", "\"far too long for it\"");
    look(c);
    assert_verdict(c->w, "b", CS_VERDICT_REFUSED);
    assert_verdict(c->w, "a", CS_VERDICT_HELD);
    assert_why(c, "a", "only together with b");
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a1\"");
    quiet(c);
    deal_set(c->w, "/salesStage", "\"b2\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a2\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_b"), "\"b2\"");
    quiet(c);
    /* one is not taken */
    json_object_set_new(c->will.refuses, "acme_b", json_string("b is wrong"));
    deal_set(c->w, "/campaignId", "\"a3\"");
    deal_set(c->w, "/salesStage", "\"b3\"");
    look(c);
    assert_json(c->w, cs_json_get(deal_find_step(c->w->plan, CS_STEP_UPDATE)->parts, "a"), "[\"acme_a\",\"acme_b\"]");
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a2\"");
    look(c);
    quiet(c);
    assert_verdict(c->w, "a", CS_VERDICT_REFUSED);
    assert_verdict(c->w, "b", CS_VERDICT_HELD);
    json_object_clear(c->will.refuses);
    c->notified = 1;
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a3\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_b"), "\"b3\"");
    look(c);
    quiet(c);
    /* one cannot be read */
    deal_set(c->w, "/campaignId", "\"a4\"");
    json_object_del(c->w->row, "acme_b");
    plan(c);
    assert_verdict(c->w, "b", CS_VERDICT_UNREADABLE);
    assert_verdict(c->w, "a", CS_VERDICT_HELD);
}

static void test_a_group_is_introduced_as_one(void **state)
{
    static const char *const hold[] = { GROUP("\"hold\""), TOLD, NULL };
    crm_t *c = met(*state, hold);

    deal_set(c->w, "/campaignId", "\"a1\"");
    deal_set(c->w, "/salesStage", "\"b1\"");
    deal_edit(c->w, "acme_b", "\"b9\"");
    look(c);
    assert_verdict(c->w, "a", CS_VERDICT_SKIPPED);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "null");
    quiet(c);
    c = met(*state, hold);
    deal_set(c->w, "/campaignId", "\"a1\"");
    deal_set(c->w, "/salesStage", "\"b1\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_a"), "\"a1\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_b"), "\"b1\"");
    quiet(c);
}

/* ---- one-way lines ---- */

static void test_enforce(void **state)
{
    static const char *const noted[] = { TOLD, NULL };
    static const char *const enforced[] = { LINE "program/enforce", "true", TOLD, NULL };
    crm_t *c = settled(*state, noted, NULL);

    deal_set(c->w, "/referralProgram", "\"IPCosell\"");
    look(c);
    quiet(c);
    deal_edit(c->w, "msft_referralprogram", "\"mine\"");
    look(c);
    assert_verdict(c->w, "program", CS_VERDICT_ONE_WAY);
    quiet(c);
    /* both moved: never a conflict */
    deal_edit(c->w, "msft_referralprogram", "\"mine again\"");
    deal_set(c->w, "/referralProgram", "\"Other\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralprogram"), "\"Other\"");
    quiet(c);
    deal_edit(c->w, "msft_referralprogram", "\"mine\"");
    quiet(c);
    remap(c, enforced);
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralprogram"), "\"Other\"");
    assert_int_equal(c->w->plan->crm_writes, 1);
    quiet(c);
    deal_edit(c->w, "msft_referralprogram", "\"mine\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "msft_referralprogram"), "\"Other\"");
    quiet(c);
    /* a column that does not keep it is not fought with */
    json_object_set_new(c->w->habits, "msft_referralprogram", json_integer(HABIT_IGNORES));
    deal_edit(c->w, "msft_referralprogram", "\"mine\"");
    look(c);
    quiet(c);
    assert_verdict(c->w, "program", CS_VERDICT_NOT_KEPT);
}

static void test_constants_and_defaults(void **state)
{
    static const char *const changes[] = { LINE "const", "{\"const\":\"fixed\",\"crm\":\"acme_const\",\"direction\":\"to_crm\"}", LINE "source",
                                           "{\"const\":8,\"crm\":\"acme_source\",\"direction\":\"to_crm\",\"enforce\":true}", LINE "default",
                                           "{\"pc\":\"/campaignId\",\"crm\":\"acme_default\",\"direction\":\"to_crm\",\"default\":\"none\"}", LINE "once",
                                           "{\"pc\":\"/salesStage\",\"crm\":\"acme_once\",\"direction\":\"to_crm\",\"only_if_empty\":true}", TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    assert_json(c->w, cs_json_get(c->w->row, "acme_const"), "\"fixed\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_default"), "\"none\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_source"), "8");
    assert_verdict(c->w, "source", CS_VERDICT_EQUAL);
    deal_edit(c->w, "acme_source", "9");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_source"), "8");
    deal_set(c->w, "/campaignId", "\"Spring\"");
    deal_set(c->w, "/salesStage", "\"20\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_default"), "\"Spring\"");
    assert_json(c->w, cs_json_get(c->w->row, "acme_once"), "\"20\"");
    quiet(c);
    deal_set(c->w, "/campaignId", "null");
    deal_set(c->w, "/salesStage", "\"40\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "acme_default"), "\"none\"");
    assert_verdict(c->w, "once", CS_VERDICT_SKIPPED);
    assert_json(c->w, cs_json_get(c->w->row, "acme_once"), "\"20\"");
    quiet(c);
}

static void test_required(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    deal_set(c->w, "/details/closingDateTime", "null");
    look(c);
    assert_non_null(c->w->row);
    assert_verdict(c->w, "close", CS_VERDICT_HELD);
    assert_why(c, "close", "required");
    assert_string_equal(c->w->deal.status, "Waiting");
    quiet(c);
    assert_verdict(c->w, "close", CS_VERDICT_HELD);
    assert_int_equal(journalled(c, "close", "held"), 1);
    deal_set(c->w, "/details/closingDateTime", "\"2026-03-31T12:00:00Z\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "estimatedclosedate"), "\"2026-03-31\"");
    quiet(c);
    assert_string_equal(c->w->deal.status, "In sync");
    /* emptiness is not copied over it */
    deal_set(c->w, "/details/closingDateTime", "null");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "estimatedclosedate"), "\"2026-03-31\"");
    quiet(c);
}

/* ---- refused by the CRM ---- */

static void test_refused_at_creation(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    json_object_set_new(c->will.refuses, "description", json_string("a forbidden word"));
    look(c);
    assert_int_equal(c->w->deal.state, CS_DEAL_LINKED);
    assert_null(c->w->deal.intent);
    assert_json(c->w, image(c, "notes", "refused"),
                apr_psprintf(*state, "{\"pc\":\"First call\",\"why\":\"a forbidden word\",\"mapping\":\"%s\"}", cs_mapping_digest(c->w->mapping)));
    assert_json(c->w, cs_json_get(c->w->row, "name"), "\"Contoso migration\"");
    assert_int_equal(journalled(c, "notes", "refused"), 1);
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_REFUSED);
    assert_why(c, "notes", "a forbidden word");
    assert_string_equal(c->w->deal.status, "In sync, not all");
    assert_has(c->w->deal.problem, "a forbidden word");
    quiet(c);
    assert_int_equal(journalled(c, "notes", "refused"), 1);
    /* a notice asks again, and is answered the same */
    c->notified = 1;
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_TO_CRM);
    c->notified = 0;
    look(c);
    quiet(c);
    assert_int_equal(journalled(c, "notes", "refused"), 1);
    /* another value is sent */
    json_object_clear(c->will.refuses);
    deal_set(c->w, "/details/notes", "\"Second call\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "description"), "\"Second call\"");
    assert_null(image(c, "notes", "refused"));
    look(c);
    quiet(c);
    assert_string_equal(c->w->deal.status, "In sync");
}

static void test_refused_later(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    static const char *const other[] = { TOLD, "/revision", "\"2\"", NULL };
    crm_t *c = settled(*state, changes, NULL);

    json_object_set_new(c->will.refuses, "description", json_string("a forbidden word"));
    deal_set(c->w, "/details/notes", "\"Second call\"");
    deal_set(c->w, "/details/closingDateTime", "\"2026-06-30T00:00:00Z\"");
    look(c);
    assert_json(c->w, cs_json_get(c->w->row, "estimatedclosedate"), "\"2026-06-30\"");
    assert_json(c->w, image(c, "notes", "pc"), "\"First call\"");
    look(c);
    quiet(c);
    assert_verdict(c->w, "notes", CS_VERDICT_REFUSED);
    /* a line that failed for another reason keeps it */
    deal_set(c->w, "/details/closingDateTime", "\"2026-07-31T00:00:00Z\"");
    plan(c);
    c->w->fail = 1;
    apply(c);
    deal_settle(c->w);
    c->w->fail = 0;
    assert_non_null(image(c, "notes", "refused"));
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_REFUSED);
    /* a mapping that changed asks again */
    remap(c, other);
    plan(c);
    assert_verdict(c->w, "notes", CS_VERDICT_TO_CRM);
    look(c);
    look(c);
    quiet(c);
    assert_int_equal(journalled(c, "notes", "refused"), 1);
    /* what a person writes there instead is no conflict */
    deal_edit(c->w, "description", "\"Another word\"");
    plan(c);
    assert_verdict(c->w, "notes", CS_VERDICT_TO_PC);
    deal_edit(c->w, "description", "\"Second call\"");
    look(c);
    assert_verdict(c->w, "notes", CS_VERDICT_EQUAL);
    assert_null(image(c, "notes", "refused"));
}

static void test_all_of_a_step_refused(void **state)
{
    static const char *const changes[] = { NULL };
    crm_t *c = settled(*state, changes, NULL);

    json_object_set_new(c->will.refuses, "description", json_string("a forbidden word"));
    deal_set(c->w, "/details/notes", "\"Second call\"");
    plan(c);
    apply(c);
    /* apply may find nothing left to write and call that not done */
    memset(&c->w->applied[0].result, 0, sizeof(cs_result_t));
    c->w->applied[0].done = 0;
    c->w->applied[0].after = NULL;
    if (deal_find_step(c->w->plan, CS_STEP_UPDATE)->lines->nelts > 1) {
        json_object_set_new(c->w->applied[0].refused, CS_LINE_TELL "/acme_cosellstatus", json_string("a forbidden word"));
    }
    deal_settle(c->w);
    assert_null(c->w->deal.intent);
    look(c);
    quiet(c);
    assert_verdict(c->w, "notes", CS_VERDICT_REFUSED);
}

static void test_a_look_up_that_finds_nobody(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = crm_of(*state, changes);

    json_object_set_new(c->will.holds, "account", json_string("2 accounts: Contoso A, Contoso B"));
    look(c);
    assert_json(c->w, cs_json_get(cs_json_get(deal_find_step(c->w->plan, CS_STEP_CREATE)->columns, "parentaccountid"), "$lookup"),
                "{\"find\":\"account\",\"table\":\"account\",\"keys\":[{\"name\":\"Contoso\",\"address1_postalcode\":\"10115\"}],\"where\":{\"statecode\":0},"
                "\"several\":\"hold\",\"none\":\"create\",\"create\":{\"name\":\"Contoso\",\"address1_city\":\"Berlin\",\"address1_postalcode\":\"10115\","
                "\"address1_country\":\"DE\"},\"line\":\"account\",\"columns\":[\"parentaccountid\"]}");
    assert_non_null(c->w->row);
    assert_json(c->w, image(c, "account", "waits"), "{\"pc\":{\"name\":\"Contoso\",\"address1_postalcode\":\"10115\"},\"why\":\"2 accounts: Contoso A, Contoso B\"}");
    /* asked again at every look, told once; no row is made later */
    look(c);
    assert_json(c->w, cs_json_get(cs_json_get(column(c, "parentaccountid"), "$lookup"), "none"), "\"hold\"");
    look(c);
    look(c);
    assert_int_equal(journalled(c, "account", "held"), 1);
    assert_string_equal(c->w->deal.status, "Waiting");
    /* a person chooses */
    deal_edit(c->w, "parentaccountid", "{\"id\":\"a1\",\"name\":\"Contoso A\",\"address1_postalcode\":\"1\"}");
    look(c);
    look(c);
    quiet(c);
    assert_json(c->w, cs_json_get(cs_json_get(c->w->row, "parentaccountid"), "id"), "\"a1\"");
    assert_string_equal(c->w->deal.status, "In sync");

    /* or there is only one any more */
    c = crm_of(*state, changes);
    json_object_set_new(c->will.holds, "account", json_string("2 accounts"));
    look(c);
    look(c);
    json_object_clear(c->will.holds);
    look(c);
    assert_non_null(cs_json_get(cs_json_get(c->w->row, "parentaccountid"), "id"));
    look(c);
    quiet(c);
    assert_verdict(c->w, "account", CS_VERDICT_CREATE_ONLY);
}

static void test_parts(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = crm_of(*state, changes);
    const cs_step_t *step;
    const char *name;
    json_t *part;
    size_t n = 0;

    plan(c);
    step = deal_find_step(c->w->plan, CS_STEP_CREATE);
    assert_json(c->w, cs_json_get(step->parts, "value"), "[\"estimatedvalue\",\"transactioncurrencyid\"]");
    assert_json(c->w, cs_json_get(step->parts, "$start"), "[\"msft_syncwithpartnercenter\"]");
    assert_json(c->w, cs_json_get(step->parts, "$state"), "[\"statuscode\"]");
    assert_json(c->w, cs_json_get(step->parts, "$tell/acme_cosellstatus"), "[\"acme_cosellstatus\"]");
    /* every column is somebody's, once */
    json_object_foreach(step->parts, name, part) {
        n += json_array_size(part);
    }
    assert_int_equal(n, json_object_size(step->columns));
    apply(c);
    deal_settle(c->w);
    deal_set(c->w, "/details/notes", "\"moved\"");
    plan(c);
    assert_json(c->w, deal_find_step(c->w->plan, CS_STEP_UPDATE)->parts, "{\"notes\":[\"description\"]}");
}

/* ---- values chosen to break naive comparison ---- */

static void trap(void **state, const char *pointer, const char *value, const char *line, const char *wrote, const char *made, cs_verdict_e verdict)
{
    static const char *const changes[] = { LINE "name/max", "120", LINE "name/cut", "\"plain\"", TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);
    int i;

    if (made) {
        json_object_set(c->will.made, wrote, deal_json(*state, made));
    }
    deal_set(c->w, pointer, value);
    look(c);
    look(c); /* the seller is told once, where there is something to tell */
    for (i = 0; i < 10; i++) {
        plan(c);
        if (deal_sent(c->w->plan)) {
            fail_msg("%s at %s is written again: %s", value, pointer, cs_json_pretty(c->w->plan->explain, *state));
        }
        apply(c);
        deal_settle(c->w);
    }
    assert_verdict(c->w, line, verdict);
}

static void test_traps(void **state)
{
    trap(state, "/details/dealValue", "0.30000000000000004", "value", "estimatedvalue", "0.3", CS_VERDICT_EQUAL);
    trap(state, "/details/dealValue", "0.30000000000000004", "value", "estimatedvalue", "0.30000000000000004", CS_VERDICT_EQUAL);
    trap(state, "/details/dealValue", "1.005", "value", "estimatedvalue", "1.00", CS_VERDICT_NOT_KEPT);
    trap(state, "/details/dealValue", "1.005", "value", "estimatedvalue", "1.01", CS_VERDICT_EQUAL);
    trap(state, "/details/dealValue", "1.005", "value", "estimatedvalue", "1.0100", CS_VERDICT_EQUAL);
    trap(state, "/details/dealValue", "9999999999999.99", "value", "estimatedvalue", "9999999999999.99", CS_VERDICT_EQUAL);
    trap(state, "/details/dealValue", "9999999999999.99", "value", "estimatedvalue", "9999999999999.9902", CS_VERDICT_EQUAL);
    trap(state, "/details/dealValue", "99999999999999999", "value", "estimatedvalue", NULL, CS_VERDICT_REFUSED);
    trap(state, "/details/closingDateTime", "\"2026-03-31T23:59:59.9999999Z\"", "close", "estimatedclosedate", "\"2026-03-31\"", CS_VERDICT_EQUAL);
    trap(state, "/details/closingDateTime", "\"2026-04-01T13:00:00+14:00\"", "close", "estimatedclosedate", "\"2026-03-31T23:00:00Z\"", CS_VERDICT_EQUAL);
    trap(state, "/details/notes", "\"Cafe\\u0301\"", "notes", "description", "\"Caf\\u00e9\"", CS_VERDICT_NOT_KEPT);
    trap(state, "/details/notes", "\"Caf\\u00e9  \\t\\n\"", "notes", "description", "\"Caf\\u00e9\"", CS_VERDICT_EQUAL);
    trap(state, "/details/notes", "\"Caf\\u00e9\"", "notes", "description", "\"Caf\\u00e9  \"", CS_VERDICT_EQUAL);
    trap(state, "/details/notes", "\"one\\ntwo\\r\\nthree\\rfour\"", "notes", "description", "\"one\\r\\ntwo\\r\\nthree\\r\\nfour\\r\\n\"", CS_VERDICT_EQUAL);
    trap(state, "/details/notes", "\"   \"", "notes", "description", "\"\"", CS_VERDICT_EQUAL);
    trap(state, "/details/notes", "\"a workflow says otherwise\"", "notes", "description", "\"so it does\"", CS_VERDICT_NOT_KEPT);
    trap(state, "/name", text_of(*state, 200, ""), "name", "name", NULL, CS_VERDICT_EQUAL);
    trap(state, "/name", text_of(*state, 119, " and more of it"), "name", "name", NULL, CS_VERDICT_EQUAL);
    trap(state, "/name", text_of(*state, 200, ""), "name", "name", text_of(*state, 100, ""), CS_VERDICT_NOT_KEPT);
    trap(state, "/name", text_of(*state, 119, "\\ud83d\\ude00\\ud83d\\ude00"), "name", "name", NULL, CS_VERDICT_EQUAL);
}

static void test_zones_at_the_edge(void **state)
{
    static const char *const zones[] = { "\"+14:00\"", "\"-12:00\"", "\"+05:45\"", "\"UTC\"" };
    static const char *const instants[] = { "\"2026-03-31T00:00:00Z\"", "\"2026-03-31T09:59:59Z\"", "\"2026-03-31T10:00:00Z\"", "\"2026-03-31T11:59:59Z\"",
                                            "\"2026-03-31T12:00:00Z\"", "\"2026-03-31T23:59:59.9999999Z\"", "\"2026-02-28T23:30:00-00:30\"" };
    size_t z, i;

    for (z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
        const char *const changes[] = { LINE "close/zone", zones[z], TOLD, NULL };
        crm_t *c = settled(*state, changes, z & 1 ? "{\"estimatedclosedate\":{\"type\":\"instant\"}}" : NULL);

        for (i = 0; i < sizeof(instants) / sizeof(instants[0]); i++) {
            deal_set(c->w, "/details/closingDateTime", instants[i]);
            look(c);
            quiet(c);
            assert_verdict(c->w, "close", CS_VERDICT_EQUAL);
        }
    }
}

static void test_a_calculated_column(void **state)
{
    static const char *const changes[] = { TOLD, NULL };
    crm_t *c = settled(*state, changes, NULL);

    json_object_set_new(c->w->habits, "estimatedvalue", json_integer(HABIT_IGNORES));
    deal_edit(c->w, "estimatedvalue", "123.45");
    deal_set(c->w, "/details/dealValue", "123.45");
    quiet(c);
    deal_set(c->w, "/details/dealValue", "99");
    look(c);
    look(c);
    quiet(c);
    assert_verdict(c->w, "value", CS_VERDICT_NOT_KEPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_cards),
        UNIT_TEST(test_the_first_column_that_says_something),
        UNIT_TEST(test_countries),
        UNIT_TEST(test_values_by_label),
        UNIT_TEST(test_a_state_by_label),
        UNIT_TEST(test_the_smaller_bound_counts),
        UNIT_TEST(test_money_as_its_column_shows_it),
        UNIT_TEST(test_what_the_crm_lets_nobody_do),
        UNIT_TEST(test_cut),
        UNIT_TEST(test_cut_protects),
        UNIT_TEST(test_a_flag_only_rises),
        UNIT_TEST(test_a_latch_that_cannot_be_restored),
        UNIT_TEST(test_a_choice_only_rises),
        UNIT_TEST(test_introduce_at_a_first_meeting),
        UNIT_TEST(test_introduce_a_new_line),
        UNIT_TEST(test_a_line_that_reads_otherwise_is_new),
        UNIT_TEST(test_a_group_conflicts_as_one),
        UNIT_TEST(test_a_group_follows_one_policy),
        UNIT_TEST(test_a_group_is_never_half),
        UNIT_TEST(test_a_group_is_introduced_as_one),
        UNIT_TEST(test_enforce),
        UNIT_TEST(test_constants_and_defaults),
        UNIT_TEST(test_required),
        UNIT_TEST(test_refused_at_creation),
        UNIT_TEST(test_refused_later),
        UNIT_TEST(test_all_of_a_step_refused),
        UNIT_TEST(test_a_look_up_that_finds_nobody),
        UNIT_TEST(test_parts),
        UNIT_TEST(test_traps),
        UNIT_TEST(test_zones_at_the_edge),
        UNIT_TEST(test_a_calculated_column),
    };

    return UNIT_RUN(tests);
}
