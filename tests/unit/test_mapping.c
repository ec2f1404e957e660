#include "mod_cosell/remote/crm.h"
#include "unit_deal.h"

static cs_mapping_t *parse(const char *text, apr_array_header_t **perrors, apr_pool_t *p, cs_result_t *res)
{
    void *exact = unit_exact(text, strlen(text));
    cs_mapping_t *mapping = NULL;

    memset(res, 0, sizeof(*res));
    cs_mapping_parse(&mapping, exact, strlen(text), "m.json", cs_crm_facts_of("dynamics365"), perrors, p, res);
    free(exact);
    return mapping;
}

/* The profile with one change, and all its mistakes in one text. */
static const char *mistakes(apr_pool_t *p, const char *pointer, const char *value)
{
    json_t *root = deal_json(p, deal_read(p, DEAL_PROFILE));
    apr_array_header_t *errors;
    cs_result_t res;

    assert_ok(cs_json_pointer_set(root, pointer, json_incref(deal_json(p, value))));
    if (parse(cs_json_print(root, p), &errors, p, &res)) {
        return "";
    }
    assert_string_equal(res.detail, APR_ARRAY_IDX(errors, 0, const char *));
    return apr_array_pstrcat(p, errors, '\n');
}

static int has_column(const apr_array_header_t *columns, const char *name)
{
    int i;

    for (i = 0; i < columns->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(columns, i, const char *), name)) {
            return 1;
        }
    }
    return 0;
}

static void test_the_profile_loads(void **state)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;
    const cs_mapping_kind_t *kind;
    const apr_array_header_t *columns, *lookups;
    int i;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_load(&mapping, DEAL_PROFILE, cs_crm_facts_of("dynamics365"), &errors, *state, &res) != APR_SUCCESS) {
        fail_msg("%s", apr_array_pstrcat(*state, errors, '\n'));
    }
    assert_string_equal(cs_mapping_revision(mapping), "1");
    assert_int_equal(strlen(cs_mapping_digest(mapping)), 64);
    kind = cs_mapping_kind(mapping, "opportunity");
    assert_string_equal(cs_mapping_kind_table(kind), "opportunity");
    assert_string_equal(cs_mapping_kind_name(kind), "opportunity");
    assert_null(cs_mapping_kind(mapping, "lead"));
    columns = cs_mapping_columns(kind);
    for (i = 1; i < columns->nelts; i++) {
        assert_true(strcmp(APR_ARRAY_IDX(columns, i - 1, const char *), APR_ARRAY_IDX(columns, i, const char *)) < 0);
    }
    assert_true(has_column(columns, "estimatedvalue"));
    assert_true(has_column(columns, "transactioncurrencyid"));
    assert_true(has_column(columns, "transactioncurrencyid/isocurrencycode"));
    assert_true(has_column(columns, "isrevenuesystemcalculated"));
    assert_true(has_column(columns, "statecode"));
    assert_true(has_column(columns, "statuscode"));
    assert_true(has_column(columns, "msft_syncwithpartnercenter"));
    assert_true(has_column(columns, "msft_audit"));
    assert_true(has_column(columns, "opportunityid"));
    assert_true(has_column(columns, "parentaccountid"));
    assert_false(has_column(columns, "Status"));
    lookups = cs_mapping_lookups(kind);
    assert_int_equal(lookups->nelts, 2);
    for (i = 0; i < lookups->nelts; i++) {
        const cs_mapping_lookup_t *l = &APR_ARRAY_IDX(lookups, i, cs_mapping_lookup_t);

        assert_string_equal(l->table, !strcmp(l->column, "parentaccountid") ? "account" : "transactioncurrency");
    }
}

static void test_the_digest_is_of_the_meaning(void **state)
{
    apr_pool_t *p = *state;
    const char *text = deal_read(p, DEAL_PROFILE);
    json_t *root = deal_json(p, text);
    cs_result_t res;
    const char *digest = cs_mapping_digest(parse(text, NULL, p, &res));

    assert_string_equal(cs_mapping_digest(parse(cs_json_print(root, p), NULL, p, &res)), digest);
    json_object_set_new(root, "revision", json_string("2"));
    assert_string_not_equal(cs_mapping_digest(parse(cs_json_print(root, p), NULL, p, &res)), digest);
}

static void test_mistakes_name_their_place(void **state)
{
    static const char text[] = "{\n"
                               "  \"crm\": \"dynamics365\",\n"
                               "  \"revision\": \"1\",\n"
                               "  \"records\": {\"opportunity\": {\"table\": \"opportunity\",\n"
                               "    \"lines\": {\n"
                               "      \"name\": {\"pc\": \"/name\", \"crm\": \"name\", \"directon\": \"to_crm\", \"type\": \"txt\"}\n"
                               "    }}}\n"
                               "}\n";
    apr_array_header_t *errors;
    cs_result_t res;

    assert_null(parse(text, &errors, *state, &res));
    assert_int_equal(res.cls, CS_CLASS_REFUSED);
    assert_string_equal(APR_ARRAY_IDX(errors, 0, const char *),
                        "m.json:6:58: /records/opportunity/lines/name/directon: unknown member \"directon\"; allowed: pc, crm, type, direction, events, when, const, "
                        "default, only_if_empty, required, max, conflict, enforce, enabled, values, find, zero, zone, time, to_pc, to_crm, introduce, cut, latch, group");
    assert_string_equal(APR_ARRAY_IDX(errors, 1, const char *),
                        "m.json:6:76: /records/opportunity/lines/name/type: \"txt\" is not known here; allowed: text, money, date, flag, choice, look-up, country");
    assert_null(parse("{\n \"crm\": }", &errors, *state, &res));
    assert_has(res.detail, "m.json:2:");
    assert_null(parse("[]", &errors, *state, &res));
    assert_null(parse("", &errors, *state, &res));
}

static void test_unreadable_file(void **state)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;

    assert_int_not_equal(cs_mapping_load(&mapping, "/nonexistent/m.json", cs_crm_facts_of("dynamics365"), &errors, *state, &res), APR_SUCCESS);
    assert_has(res.detail, "/nonexistent/m.json");
    assert_int_equal(errors->nelts, 1);
    assert_int_not_equal(cs_mapping_load(&mapping, "/", cs_crm_facts_of("dynamics365"), NULL, *state, &res), APR_SUCCESS);
}

/* ---- refused by name ---- */

#define LINES "/records/opportunity/lines/"

static void test_what_later_versions_bring(void **state)
{
    assert_has(mistakes(*state, LINES "close/zone", "\"Europe/Berlin\""), "named zones are not supported by this version");
    assert_has(mistakes(*state, "/records/opportunity/from_pc/set", "{\"@sync\":{\"record_type\":\"x\"}}"), "records of this CRM have no types; allowed: a constant");
    assert_has(mistakes(*state, "/records/lead", "{\"table\":\"lead\",\"surprise\":1}"), "unknown member \"surprise\"; allowed: table, key, from_pc");
}

/* Examples of the whole format are read, but for a CRM that is not built. */
static void test_the_whole_shape(void **state)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_load(&mapping, "tests/unit/mapping/full-dynamics365.json", cs_crm_facts_of("dynamics365"), &errors, *state, &res) != APR_SUCCESS) {
        fail_msg("%s", apr_array_pstrcat(*state, errors, '\n'));
    }
    assert_null(parse(deal_read(*state, "tests/unit/mapping/full-salesforce.json"), &errors, *state, &res));
    assert_has(res.detail, "\"salesforce\" is not the type of this CRM; allowed: dynamics365");
    for (int i = 0; i < errors->nelts; i++) {
        assert_has_not(APR_ARRAY_IDX(errors, i, const char *), "unknown member");
    }
}

/* ---- wrong ---- */

static void test_wrong_mappings(void **state)
{
    static const struct {
        const char *pointer, *value, *says;
    } cases[] = {
        { "/crm", "\"salesforce\"", "allowed: dynamics365" },
        { "/revision", "5", "5 is a whole number; allowed: a text" },
        { "/surprise", "1", "unknown member \"surprise\"" },
        { "/records", "{}", "\"records\" is missing or empty" },
        { "/names/sync", "\"two words\"", "\"two words\" is no column" },
        { "/records/opportunity/table", "null", "\"table\" is missing" },
        { "/records/opportunity/from_pc/when", "{\"pc\":\"$kind\"}", "a condition asks one thing" },
        { "/records/opportunity/from_pc/when", "{\"pc\":\"$kind\",\"crm\":\"name\",\"is\":1}", "a condition asks about one side" },
        { "/records/opportunity/from_pc/when", "{\"pc\":\"$mood\",\"is\":\"x\"}", "allowed: \"$kind\"" },
        { "/records/opportunity/from_pc/when", "{\"any\":[]}", "allowed: an array of at least one" },
        { "/records/opportunity/from_pc/when", "{\"any\":[true],\"is\":1}", "stands alone" },
        { "/records/opportunity/from_crm/quiet", "\"soon\"", "\"soon\" is no time" },
        { LINES "name/crm", "\"@topic\"", "\"@topic\" is not in \"names\"; allowed: @audit, @expires" },
        { LINES "name/pc", "\"/nmae\"", "\"/nmae\" is no member of a referral" },
        { LINES "name/pc", "\"name\"", "\"name\" is no path of a referral" },
        { LINES "name/max", "0", "0 is out of range; allowed: 1 to" },
        { LINES "name/events", "[\"delete\"]", "\"delete\" is no event; allowed: create, update" },
        { LINES "name/conflict", "\"newest\"", "\"newest\" is not known here; allowed: hold, partner-center, crm" },
        { LINES "name/enforce", "true", "a two-way line has no target to enforce" },
        { LINES "name/const", "\"x\"", "a constant or default needs one direction" },
        { LINES "name/find", "\"nobody\"", "\"nobody\" is not among the look-ups of \"find\"; allowed: account, currency" },
        { LINES "name/values", "\"nothing\"", "\"nothing\" is not in \"values\"; allowed: lost" },
        { LINES "name/zone", "\"UTC\"", "\"zone\" and \"time\" are for dates" },
        { LINES "name/to_pc", "{\"events\":[\"create\",\"update\"]}", "write \"to_pc\": {\"events\": [\"create\"]}, or \"direction\": \"to_crm\"" },
        { LINES "close/zone", "\"+25:00\"", "\"+25:00\" is no fixed zone" },
        { LINES "close/time", "\"24:00\"", "\"24:00\" is no time of day" },
        { LINES "value/pc", "{\"amount\":\"/details/dealValue\"}", "money is never half" },
        { LINES "value/find", "\"account\"", "a currency is found by its code alone" },
        { LINES "visible/direction", "\"both\"", "can be set but never taken back" },
        { LINES "program/pc", "\"/id\"", "" },
        { LINES "cust", "{\"pc\":\"/customerProfile/name\",\"crm\":\"customername\"}", "/customerProfile/name cannot change once the referral exists; write \"to_pc\"" },
        { LINES "made", "{\"pc\":\"/createdDateTime\",\"crm\":\"made\"}", "is set by Partner Center and cannot be written; write \"direction\": \"to_crm\"" },
        { LINES "st", "{\"pc\":\"/status\",\"crm\":\"st\"}", "follows the table \"hear\"" },
        { LINES "st", "{\"pc\":\"/statusReason\",\"crm\":\"statecode\",\"direction\":\"to_crm\"}", "follows the table \"show\"" },
        { LINES "mail", "{\"pc\":\"/team[email=a]/firstName\",\"crm\":\"st\"}", "is one item of a list" },
        { LINES "mail", "{\"pc\":\"/customerProfile/team[email=a]/email\",\"crm\":\"st\"}", "belongs to a list" },
        { LINES "far", "{\"pc\":\"/campaignId\",\"crm\":\"parentaccountid/name\"}", "is read through a look-up and cannot be written" },
        { LINES "far", "{\"pc\":\"/campaignId\",\"crm\":\"a/b/c\",\"direction\":\"to_pc\"}", "is no column" },
        { LINES "own", "{\"pc\":\"/campaignId\",\"crm\":\"opportunityid\",\"direction\":\"to_crm\"}", "the row's own id" },
        { LINES "twice", "{\"pc\":\"/campaignId\",\"crm\":\"description\",\"direction\":\"to_crm\"}", "would both write description" },
        { LINES "twice", "{\"pc\":\"/details/notes\",\"crm\":\"other\",\"direction\":\"to_pc\"}", "would both write /details/notes" },
        { LINES "twice", "{\"const\":1,\"crm\":\"statuscode\",\"direction\":\"to_crm\"}", "the table \"show\" would both write statuscode" },
        { LINES "twice", "{\"const\":1,\"crm\":\"msft_audit\",\"direction\":\"to_crm\"}", "\"audit\" of \"tell\" would both write msft_audit" },
        { LINES "twice", "{\"const\":true,\"crm\":\"@sync\",\"direction\":\"to_crm\",\"events\":[\"create\"]}", "\"set\" of \"from_pc\" would both write" },
        { LINES "$odd", "{}", "is no name of a line" },
        { LINES "half", "{\"pc\":\"/campaignId\",\"direction\":\"to_crm\"}", "\"crm\" is missing" },
        { LINES "half", "{\"crm\":\"x\",\"direction\":\"to_crm\"}", "\"pc\" is missing" },
        { LINES "half", "{\"crm\":\"x\",\"pc\":\"/campaignId\",\"direction\":\"to_crm\",\"to_pc\":{}}", "the line does not go that way" },
        { LINES "account/direction", "\"both\"", "\"pc\" is missing" },
        { "/find/account/none", "\"hold\"", "belong together" },
        { "/find/account/by", "[]", "\"by\" is missing or empty" },
        { "/values/lost/pairs", "{\"a\":{}}", "is no value of a column" },
        { "/values/lost/else", "{\"to_pc\":5}", "5 is no text" },
        { "/records/opportunity/state/show/Open", "{}", "\"Open\" is no state of a referral" },
        { "/records/opportunity/state/show/Closed~1Error", "{\"call\":\"LoseOpportunity\",\"set\":{\"Status\":4}}", "Error only unlinks" },
        { "/records/opportunity/state/show/Closed~1Expired", "{\"call\":\"LoseOpportunity\",\"set\":{\"Status\":4}}", "write \"if_was\": \"New\" beside it" },
        { "/records/opportunity/state/show/Closed~1Won", "{\"call\":\"Celebrate\"}", "allowed: WinOpportunity, LoseOpportunity" },
        { "/records/opportunity/state/hear", "[{\"pc\":\"New\",\"do\":\"sleep\"}]", "\"sleep\" is no action; allowed: wait, accept" },
        { "/records/opportunity/state/hear", "[{\"pc\":\"New\"}]", "\"do\" is missing" },
        { "/records/opportunity/state/hear", "[{\"pc\":\"New\",\"crm\":{\"@status\":1},\"do\":\"stay\"}]", "switched off (null) and cannot be asked" },
        { "/records/opportunity/tell/link", "{\"column\":\"@link\"}", "\"text\" is missing" },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *said = mistakes(*state, cases[i].pointer, cases[i].value);

        if (*cases[i].says) {
            assert_has(said, cases[i].says);
        }
        else {
            assert_string_equal(said, "");
        }
    }
}

static void test_at_most_fifty_mistakes(void **state)
{
    apr_array_header_t *errors;
    cs_result_t res;
    json_t *root = deal_json(*state, deal_read(*state, DEAL_PROFILE));
    int i;

    for (i = 0; i < 80; i++) {
        json_object_set_new(root, apr_psprintf(*state, "extra%d", i), json_null());
    }
    assert_null(parse(cs_json_print(root, *state), &errors, *state, &res));
    assert_int_equal(errors->nelts, 50);
}

/* ---- damage ---- */

static unsigned next(unsigned *s)
{
    *s = *s * 1103515245u + 12345u;
    return *s >> 12;
}

/* Goes down a random way and puts something else there. */
static void damage(json_t *at, unsigned *s, apr_pool_t *p)
{
    static const char *const things[] = { "null", "true", "0", "-1", "1.5", "\"\"", "\"@\"", "\"/\"", "\"[\"", "\"/a[b=c\"", "\"$account\"", "\"@sync\"", "[]", "[null]",
                                          "{}", "{\"pc\":{}}", "{\"all\":[{}]}", "{\"not\":{}}", "\"/details/notes\"", "\"a/b\"", "\"currency\"", "\"lost\"" };
    json_t *value = deal_json(p, things[next(s) % (sizeof(things) / sizeof(things[0]))]);

    for (;;) {
        size_t n = json_is_object(at) ? json_object_size(at) : json_array_size(at), i;
        json_t *child;

        if (n == 0) {
            return;
        }
        i = next(s) % n;
        if (json_is_object(at)) {
            void *iter = json_object_iter(at);

            for (; i > 0; i--) {
                iter = json_object_iter_next(at, iter);
            }
            child = json_object_iter_value(iter);
            if (next(s) % 4 == 0 || !(json_is_object(child) || json_is_array(child))) {
                json_object_set(at, json_object_iter_key(iter), value);
                return;
            }
        }
        else {
            child = json_array_get(at, i);
            if (next(s) % 4 == 0 || !(json_is_object(child) || json_is_array(child))) {
                json_array_set(at, i, value);
                return;
            }
        }
        at = child;
    }
}

/* Whatever the file says, loading ends with a mapping that can be used, or with mistakes. */
static void test_damage(void **state)
{
    const char *cases = getenv("CASES"), *from = getenv("SEED");
    unsigned long count = cases ? strtoul(cases, NULL, 10) / 10 : 2000, n;
    unsigned seed = from ? (unsigned)strtoul(from, NULL, 10) : (unsigned)apr_time_now();
    unsigned refused = 0;
    const char *text = deal_read(*state, DEAL_PROFILE);
    apr_pool_t *p;

    printf("test_damage: CASES=%lu SEED=%u\n", count * 10, seed);
    fflush(stdout);
    apr_pool_create(&p, *state);
    for (n = 0; n < count; n++) {
        json_t *root = deal_json(p, text);
        unsigned s = seed + (unsigned)n, i;
        apr_array_header_t *errors;
        cs_mapping_t *mapping;
        cs_result_t res;

        for (i = 1 + next(&s) % 3; i > 0; i--) {
            damage(root, &s, p);
        }
        mapping = parse(cs_json_print(root, p), &errors, p, &res);
        assert_true((mapping != NULL) == (errors->nelts == 0));
        refused += mapping == NULL;
        if (mapping && cs_mapping_kind(mapping, "opportunity")) {
            deal_world_t *w = deal_world_of(p, mapping);

            if (cs_mapping_route(mapping, &(cs_card_t){ .doc = w->doc }, NULL, "own", &(int){ 0 }, p)) {
                deal_look(w);
            }
        }
        apr_pool_clear(p);
    }
    if (count >= 500) { /* of fewer, chance may refuse all */
        assert_true(refused > count / 2);
        assert_true(refused < count);
    }
}

static void test_null_names_switch_lines_off(void **state)
{
    static const char *const changes[] = { "/names/program", "null", LINES "intent", "{\"pc\":\"/campaignId\",\"crm\":\"@program\",\"default\":\"X\",\"direction\":\"to_pc\"}",
                                           NULL };
    deal_world_t *w = deal_world(*state, changes);

    deal_look(w);
    deal_look(w);
    assert_verdict(w, "program", CS_VERDICT_SKIPPED);
    assert_has(deal_view(w->plan, "program")->why, "@program is null");
    /* A default is said all the same. */
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "\"path\":\"/campaignId\"");
}

/* ---- lines of every kind ---- */

static void test_constants_defaults_and_only_if_empty(void **state)
{
    static const char *const changes[] = { LINES "source", "{\"const\":8,\"crm\":\"leadsourcecode\",\"direction\":\"to_crm\",\"events\":[\"create\"]}",
                                           LINES "campaign", "{\"pc\":\"/campaignId\",\"crm\":\"campaign\",\"direction\":\"to_crm\",\"default\":\"none\"}",
                                           LINES "quality", "{\"pc\":\"/quality\",\"crm\":\"quality\",\"direction\":\"to_crm\",\"only_if_empty\":true}", NULL };
    deal_world_t *w = deal_world(*state, changes);
    const cs_step_t *step = deal_find_step(deal_look(w), CS_STEP_CREATE);

    assert_json(w, cs_json_get(step->columns, "leadsourcecode"), "8");
    assert_json(w, cs_json_get(step->columns, "campaign"), "\"none\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    deal_edit(w, "leadsourcecode", "3");
    deal_set(w, "/campaignId", "\"C1\"");
    deal_set(w, "/quality", "\"Good\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "leadsourcecode"), "3");
    assert_json(w, cs_json_get(w->row, "campaign"), "\"C1\"");
    assert_json(w, cs_json_get(w->row, "quality"), "\"Good\"");
    deal_set(w, "/quality", "\"Bad\"");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_json(w, cs_json_get(w->row, "quality"), "\"Good\"");
}

static void test_choices(void **state)
{
    static const char *const changes[] = {
        LINES "stage",
        "{\"pc\":\"/salesStage\",\"crm\":\"salesstage\",\"values\":{\"pairs\":{\"20\":0,\"40\":1},\"empty\":[\"None\"],\"else\":{\"to_crm\":\"hold\",\"to_pc\":\"skip\"}}}", NULL
    };
    deal_world_t *w = deal_world(*state, changes);

    deal_set(w, "/salesStage", "\"40\"");
    assert_json(w, cs_json_get(deal_find_step(deal_look(w), CS_STEP_CREATE)->columns, "salesstage"), "1");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    deal_set(w, "/salesStage", "\"60\"");
    deal_look(w);
    assert_verdict(w, "stage", CS_VERDICT_HELD);
    assert_has(deal_view(w->plan, "stage")->why, "\"60\" has no counterpart");
    deal_set(w, "/salesStage", "\"None\"");
    deal_look(w);
    assert_json(w, cs_json_get(w->row, "salesstage"), "null");
    deal_edit(w, "salesstage", "0");
    deal_look(w);
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "{\"op\":\"replace\",\"path\":\"/salesStage\",\"value\":\"20\"}");
    deal_edit(w, "salesstage", "7");
    deal_look(w);
    assert_verdict(w, "stage", CS_VERDICT_SKIPPED);
}

static void test_a_choice_without_a_pair_is_refused(void **state)
{
    static const char *const changes[] = { LINES "stage", "{\"pc\":\"/salesStage\",\"crm\":\"salesstage\",\"values\":{\"pairs\":{\"20\":0}}}", NULL };
    deal_world_t *w = deal_world(*state, changes);

    deal_set(w, "/salesStage", "\"Odd\"");
    deal_look(w);
    assert_verdict(w, "stage", CS_VERDICT_REFUSED);
    assert_null(cs_json_get(deal_find_step(w->plan, CS_STEP_CREATE)->columns, "salesstage"));
}

static void test_lookups_are_compared_by_key(void **state)
{
    static const char *const changes[] = {
        "/find/program", "{\"table\":\"campaign\",\"by\":[{\"codename\":\".\"}],\"none\":\"skip\"}",
        LINES "program", "{\"pc\":\"/referralProgram\",\"crm\":\"campaignid\",\"find\":\"program\"}", NULL
    };
    deal_world_t *w = deal_world(*state, changes);
    const cs_step_t *step;

    assert_true(has_column(cs_mapping_columns(w->kind), "campaignid/codename"));
    deal_set(w, "/referralProgram", "\" Spring \"");
    step = deal_find_step(deal_look(w), CS_STEP_CREATE);
    assert_json(w, cs_json_get(step->columns, "campaignid"),
                "{\"$lookup\":{\"find\":\"program\",\"table\":\"campaign\",\"keys\":[{\"codename\":\" Spring\"}],\"several\":\"hold\",\"none\":\"skip\","
                "\"line\":\"program\",\"columns\":[\"campaignid\"]}}");
    deal_edit(w, "campaignid", "{\"id\":\"1\",\"codename\":\"SPRING\"}");
    assert_int_equal(deal_sent(deal_look(w)), 0);
    assert_verdict(w, "program", CS_VERDICT_EQUAL);
    deal_edit(w, "campaignid", "{\"id\":\"2\",\"codename\":\"Autumn\"}");
    deal_look(w);
    assert_verdict(w, "program", CS_VERDICT_TO_PC);
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "\"Autumn\"");
}

static void test_selected_items(void **state)
{
    deal_world_t *w = deal_world(*state, NULL);
    const json_t *lookup;

    deal_set(w, "/customerProfile/ids", "[{\"profileType\":\"Duns\",\"id\":\"1\"},{\"profileType\":\"External\",\"id\":\"9-ABC\"}]");
    lookup = cs_json_get(cs_json_get(deal_find_step(deal_look(w), CS_STEP_CREATE)->columns, "parentaccountid"), "$lookup");
    assert_json(w, cs_json_get(lookup, "keys"), "[{\"accountnumber\":\"9-ABC\"},{\"name\":\"Contoso\",\"address1_postalcode\":\"10115\"}]");
    w = deal_world(*state, NULL);
    deal_set(w, "/customerProfile/address/postalCode", "\"  \"");
    deal_look(w);
    assert_verdict(w, "account", CS_VERDICT_EQUAL);
    assert_null(cs_json_get(deal_find_step(w->plan, CS_STEP_CREATE)->columns, "parentaccountid"));
}

static void test_dates_in_a_zone(void **state)
{
    static const char *const changes[] = { LINES "close/zone", "\"+13:00\"", NULL };
    deal_world_t *w = deal_world(*state, changes);

    deal_set(w, "/details/closingDateTime", "\"2026-03-31T12:00:00Z\"");
    assert_json(w, cs_json_get(deal_find_step(deal_look(w), CS_STEP_CREATE)->columns, "estimatedclosedate"), "\"2026-04-01\"");
    deal_edit(w, "estimatedclosedate", "\"2026-06-01\"");
    deal_look(w);
    assert_has(cs_json_print(deal_find_step(w->plan, CS_STEP_PATCH_PC)->columns, w->p), "\"2026-05-31T23:00:00Z\"");
    /* What we would send reads as the same day. */
    deal_set(w, "/details/closingDateTime", "\"2026-05-31T23:00:00Z\"");
    deal_look(w);
    assert_verdict(w, "close", CS_VERDICT_EQUAL);
}

static void test_conditions(void **state)
{
    static const struct {
        const char *when;
        int holds;
    } cases[] = {
        { "true", 1 }, { "false", 0 },
        { "{\"pc\":\"/status\",\"is\":\"New\"}", 1 },
        { "{\"pc\":\"/status\",\"in\":[\"Active\",\"Closed\"]}", 0 },
        { "{\"pc\":\"/campaignId\",\"set\":false}", 1 },
        { "{\"pc\":\"/details/notes\",\"set\":true}", 1 },
        { "{\"pc\":\"$kind\",\"is\":\"co-sell\"}", 1 },
        { "{\"crm\":\"@sync\",\"is\":true}", 1 },
        { "{\"crm\":\"isrevenuesystemcalculated\",\"is\":false}", 1 },
        { "{\"not\":{\"pc\":\"/status\",\"is\":\"New\"}}", 0 },
        { "{\"all\":[{\"pc\":\"/status\",\"is\":\"New\"},{\"crm\":\"name\",\"set\":true}]}", 0 },
        { "{\"any\":[{\"pc\":\"/status\",\"is\":\"New\"},{\"crm\":\"name\",\"set\":true}]}", 1 },
        { "{\"pc\":\"/details/dealValue\",\"is\":50000.0}", 1 },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *changes[] = { LINES "program/when", cases[i].when, NULL };
        deal_world_t *w = deal_world(*state, changes);

        deal_set(w, "/referralProgram", "\"P\"");
        deal_look(w);
        if (deal_view(w->plan, "program")->verdict != (cases[i].holds ? CS_VERDICT_TO_CRM : CS_VERDICT_SKIPPED)) {
            fail_msg("%s: %s", cases[i].when, cs_verdict_name(deal_view(w->plan, "program")->verdict));
        }
    }
}

static void test_routing(void **state)
{
    apr_pool_t *p = *state;
    cs_mapping_t *mapping = deal_mapping(p, NULL);
    cs_card_t own = { .organization_id = "own", .doc = deal_json(p, "{\"type\":\"Independent\",\"qualification\":\"SalesQualified\"}") };
    cs_card_t lead = { .organization_id = "own", .doc = deal_json(p, "{\"type\":\"Independent\",\"qualification\":\"Direct\"}") };
    int is_lead;

    assert_string_equal(cs_mapping_kind_name(cs_mapping_route(mapping, &own, NULL, "own", &is_lead, p)), "opportunity");
    assert_int_equal(is_lead, 0);
    assert_null(cs_mapping_route(mapping, &lead, NULL, "own", &is_lead, p));
    assert_int_equal(is_lead, 1);
}

static void test_path_facts(void **state)
{
    (void)state;
    assert_string_equal(cs_referral_path_fact("/details/notes"), "patch");
    assert_string_equal(cs_referral_path_fact("/name"), "unproven");
    assert_string_equal(cs_referral_path_fact("/customerProfile/name"), "create");
    assert_string_equal(cs_referral_path_fact("/customerProfile/team"), "patch-until-shared");
    assert_string_equal(cs_referral_path_fact("/consent/consentToShareReferralWithMicrosoftSellers"), "latch");
    assert_string_equal(cs_referral_path_fact("/eTag"), "server");
    assert_null(cs_referral_path_fact("/nothing"));
    assert_null(cs_referral_path_fact(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_profile_loads),
        UNIT_TEST(test_the_digest_is_of_the_meaning),
        UNIT_TEST(test_mistakes_name_their_place),
        UNIT_TEST(test_unreadable_file),
        UNIT_TEST(test_what_later_versions_bring),
        UNIT_TEST(test_the_whole_shape),
        UNIT_TEST(test_wrong_mappings),
        UNIT_TEST(test_damage),
        UNIT_TEST(test_at_most_fifty_mistakes),
        UNIT_TEST(test_null_names_switch_lines_off),
        UNIT_TEST(test_constants_defaults_and_only_if_empty),
        UNIT_TEST(test_choices),
        UNIT_TEST(test_a_choice_without_a_pair_is_refused),
        UNIT_TEST(test_lookups_are_compared_by_key),
        UNIT_TEST(test_selected_items),
        UNIT_TEST(test_dates_in_a_zone),
        UNIT_TEST(test_conditions),
        UNIT_TEST(test_routing),
        UNIT_TEST(test_path_facts),
    };

    return UNIT_RUN(tests);
}
