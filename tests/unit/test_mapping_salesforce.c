/* A CRM that gives its rows their ids, names relations in paths and closes by a stage: what a mapping for it says, what is refused, and how it is compared with
 * the organisation. */
#include "mod_cosell/remote/crm.h"
#include "mod_cosell/domain/reconcile_internal.h"
#include "mod_cosell/remote/salesforce/salesforce.h"

#include "unit_deal.h"

#define PROFILE "conf/mapping/salesforce.json"
#define OVERLAY "conf/mapping/example-overlay-salesforce.json"
#define RECORD "/records/opportunity"
#define LINES RECORD "/lines/"
#define LISTS RECORD "/lists/"
#define STATE RECORD "/state/"

/* Sets a member of an object that may lie in an array. */
static void put(apr_pool_t *p, json_t *root, const char *pointer, const char *value)
{
    const char *slash = strrchr(pointer, '/'), *at = apr_pstrmemdup(p, pointer, (apr_size_t)(slash - pointer));
    json_t *object = *at ? cs_json_pointer(root, at) : root;
    char *name = apr_pstrdup(p, slash + 1), *tilde = strstr(name, "~1");

    if (tilde) {
        *tilde = '/';
        memmove(tilde + 1, tilde + 2, strlen(tilde + 2) + 1);
    }
    if (!json_is_object(object)) {
        fail_msg("there is no %s", at);
    }
    assert_int_equal(json_object_set(object, name, deal_json(p, value)), 0);
}

static cs_mapping_t *parse(apr_pool_t *p, const json_t *root, apr_array_header_t **perrors)
{
    const char *text = cs_json_print(root, p);
    cs_mapping_t *mapping = NULL;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    cs_mapping_parse(&mapping, text, strlen(text), PROFILE, &cs_salesforce_facts, perrors, p, &res);
    return mapping;
}

/* The shipped profile with changes: "/json/pointer" -> value as JSON text, pairs closed by NULL. */
static json_t *changed(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, deal_read(p, PROFILE));

    for (; changes && changes[0]; changes += 2) {
        put(p, root, changes[0], changes[1]);
    }
    return root;
}

static cs_mapping_t *good(apr_pool_t *p, const char *const *changes)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping = parse(p, changed(p, changes), &errors);

    if (!mapping) {
        fail_msg("%s", apr_array_pstrcat(p, errors, '\n'));
    }
    return mapping;
}

static const char *mistakes(apr_pool_t *p, const char *pointer, const char *value)
{
    const char *const changes[] = { pointer, value, NULL };
    apr_array_header_t *errors;

    return parse(p, changed(p, changes), &errors) ? "" : apr_array_pstrcat(p, errors, '\n');
}

static const cs_line_t *line_of(const cs_mapping_kind_t *kind, const char *name)
{
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->name, name)) {
            return APR_ARRAY_IDX(kind->lines, i, cs_line_t *);
        }
    }
    fail_msg("no line %s", name);
    return NULL;
}

static const cs_list_t *list_of(const cs_mapping_kind_t *kind, const char *name)
{
    int i;

    for (i = 0; i < kind->lists->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(kind->lists, i, cs_list_t *)->name, name)) {
            return APR_ARRAY_IDX(kind->lists, i, cs_list_t *);
        }
    }
    fail_msg("no list %s", name);
    return NULL;
}

static const cs_find_t *find_of(const cs_mapping_t *mapping, const char *name)
{
    int i;

    for (i = 0; i < mapping->finds->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(mapping->finds, i, const cs_find_t *)->name, name)) {
            return APR_ARRAY_IDX(mapping->finds, i, const cs_find_t *);
        }
    }
    fail_msg("no look-up %s", name);
    return NULL;
}

static const char *words(const apr_array_header_t *texts, apr_pool_t *p)
{
    return apr_array_pstrcat(p, texts, ' ');
}

/* ---- the profile ---- */

static void test_the_profile(void **state)
{
    cs_mapping_t *mapping = good(*state, NULL);
    const cs_mapping_kind_t *kind = cs_mapping_kind(mapping, "opportunity"), *lead = cs_mapping_kind(mapping, "lead");
    const char *via = NULL;

    assert_string_equal(kind->table, "Opportunity");
    assert_string_equal(kind->key_column, "Id");
    assert_string_equal(kind->external_id, "Referral_Identifier__c");
    assert_string_equal(lead->external_id, "Referral_Identifier__c");
    assert_string_equal(list_of(kind, "solutions")->row_key, "Row_Key__c");
    assert_null(list_of(kind, "contacts")->row_key);
    assert_null(list_of(kind, "contacts")->where);
    assert_null(list_of(kind, "team")->row_key);
    assert_string_equal(find_of(mapping, "account")->key, "Co_sell_Row_Key__c");
    assert_string_equal(find_of(mapping, "contact")->key, "Co_sell_Row_Key__c");
    assert_null(find_of(mapping, "user")->key);
    assert_ptr_equal(cs_mapping_becomes(lead, &via), kind);
    assert_string_equal(via, "ConvertedOpportunityId");
    assert_false(lead->becomes->qualify);
    assert_true(cs_mapping_takes_leads(lead));
    assert_true(cs_mapping_wants_metadata(mapping));
    assert_string_equal(words(cs_mapping_tables(mapping), *state),
                        "Account Contact Lead Microsoft_Solution__c Opportunity OpportunityContactRole OpportunityTeamMember User");
}

/* Both shipped profiles have the same lines and lists, and what a line is, it is in both. */
static void test_equal_to_the_other_profile(void **state)
{
    static const char *const kinds[] = { "opportunity", "lead" };
    cs_mapping_t *mapping = good(*state, NULL), *other = NULL;
    cs_result_t res;
    size_t k;
    int i;

    memset(&res, 0, sizeof(res));
    assert_ok(cs_mapping_load(&other, "conf/mapping/dynamics365.json", cs_crm_facts_of("dynamics365"), NULL, *state, &res));
    for (k = 0; k < 2; k++) {
        const cs_mapping_kind_t *here = cs_mapping_kind(mapping, kinds[k]), *there = cs_mapping_kind(other, kinds[k]);

        assert_int_equal(here->lines->nelts, there->lines->nelts);
        for (i = 0; i < there->lines->nelts; i++) {
            const cs_line_t *b = APR_ARRAY_IDX(there->lines, i, cs_line_t *), *a = line_of(here, b->name);

            if (!strcmp(a->name, "subject")) {
                continue; /* a lead has no subject here, unless an organisation has a field for it */
            }
            if (a->type != b->type || a->to_pc.on != b->to_pc.on || a->to_crm.on != b->to_crm.on || a->latch != b->latch || a->to_pc.required != b->to_pc.required ||
                a->to_pc.events != b->to_pc.events || a->to_crm.events != b->to_crm.events || a->to_crm.cut != b->to_crm.cut || a->introduce != b->introduce ||
                (a->pc ? strcmp(a->pc->text, b->pc->text) : b->pc != NULL)) {
                fail_msg("the line %s of the %s differs", a->name, kinds[k]);
            }
            assert_int_equal(a->off, b->off);
        }
        assert_int_equal(here->lists->nelts, there->lists->nelts);
        for (i = 0; i < there->lists->nelts; i++) {
            const cs_list_t *b = APR_ARRAY_IDX(there->lists, i, cs_list_t *), *a = list_of(here, b->name);

            assert_string_equal(a->pc->text, b->pc->text);
            assert_string_equal(a->key, b->key);
            assert_int_equal(a->min, b->min);
            assert_int_equal(a->max, b->max);
            assert_int_equal(a->to_crm_add_only, b->to_crm_add_only);
        }
        assert_true((here->owner != NULL) == (there->owner != NULL));
        assert_true((here->match != NULL) == (there->match != NULL));
        assert_int_equal(here->quiet, there->quiet);
        assert_int_equal(here->starts->nelts, there->starts->nelts);
    }
}

static void test_relations_become_look_ups(void **state)
{
    static const char *const more[] = {
        LINES "partner", "{\"pc\":\"/mpnId\",\"crm\":\"Partner__r/Location__c\",\"direction\":\"to_pc\",\"events\":[\"create\"]}",
        LINES "location", "{\"pc\":\"/campaignId\",\"crm\":\"Owner/City\",\"direction\":\"to_pc\",\"events\":[\"create\"]}",
        LINES "campaign", "{\"pc\":\"/details/notes\",\"crm\":\"Other__c/Name\",\"direction\":\"to_pc\",\"events\":[\"create\"],\"enabled\":false}", NULL
    };
    const cs_mapping_kind_t *kind = cs_mapping_kind(good(*state, more), "opportunity");
    const char *columns = apr_pstrcat(*state, " ", words(cs_mapping_columns(kind), *state), " ", NULL);

    assert_string_equal(line_of(kind, "customer")->crm->text, "AccountId/Name");
    assert_string_equal(line_of(kind, "customer")->crm->written, "Account/Name");
    assert_string_equal(line_of(kind, "customer")->crm->name, "AccountId");
    assert_string_equal(line_of(kind, "customer")->crm->of, "Name");
    assert_string_equal(line_of(kind, "partner")->crm->text, "Partner__c/Location__c");
    assert_string_equal(line_of(kind, "location")->crm->text, "OwnerId/City");
    assert_string_equal(line_of(kind, "campaign")->crm->text, "Other__c/Name"); /* it is the column already */
    assert_has(columns, " AccountId/BillingCity ");
    assert_has(columns, " OwnerId/Email ");
    assert_has(columns, " $state ");
    assert_has_not(columns, " Account/");
    /* A null name of several columns is passed over; what is left is read through the account. */
    assert_string_equal(line_of(kind, "country")->crm->text, "AccountId/BillingCountry");
    assert_int_equal(line_of(kind, "country")->crm_more->nelts, 0);
    /* What is refused is said in the words of the file. */
    assert_has(mistakes(*state, LINES "customer/direction", "\"to_crm\""), "Account/Name is read through a look-up and cannot be written");
    assert_has(mistakes(*state, LISTS "contacts/crm/column", "\"Contact/Id\""), "\"Contact/Id\" goes through a look-up; allowed here: a column of the row");
}

static void test_what_is_watched(void **state)
{
    static const char *const services[] = { RECORD "/from_crm/when", "{\"all\":[{\"crm\":\"@sync\",\"is\":true},{\"crm\":\"RecordType/DeveloperName\",\"is\":\"Services\"}]}", NULL };
    const apr_array_header_t *all = cs_mapping_watched(good(*state, services));
    const char *said = "";
    int i;

    for (i = 0; i < all->nelts; i++) {
        const cs_watched_t *w = &APR_ARRAY_IDX(all, i, cs_watched_t);

        said = apr_pstrcat(*state, said, w->table, w->record ? "*" : "", "(", words(w->columns, *state), ") ", NULL);
    }
    assert_string_equal(said, "Lead*(Referral_Identifier__c $state IsConverted Status) "
                              "Opportunity*(Sync_with_Partner_Center__c RecordTypeId/DeveloperName Referral_Identifier__c $state StageName IsClosed IsWon) "
                              "Account() User() OpportunityContactRole(OpportunityId) Contact() Microsoft_Solution__c(Opportunity__c) OpportunityTeamMember(OpportunityId) ");
}

static void test_keys(void **state)
{
    const cs_mapping_kind_t *kind = cs_mapping_kind(good(*state, NULL), "opportunity");
    cs_deal_t deal;
    const json_t *lookup;
    json_t *doc = deal_json(*state, "{\"customerProfile\":{\"name\":\"Contoso\",\"address\":{\"postalCode\":\"1\",\"city\":\"Berlin\"}}}");

    memset(&deal, 0, sizeof(deal));
    deal.referral_id = DEAL_REFERRAL;
    assert_null(cs_mapping_key_of(kind, &deal, *state));
    deal.record_id = "3f0a4b6e-1111-4222-8333-944455566677";
    assert_string_equal(cs_json_print(cs_mapping_key_of(kind, &deal, *state), *state), "{\"Referral_Identifier__c\":\"" DEAL_REFERRAL "\"}");
    deal.record_id = "006000000000001AAA";
    assert_null(cs_mapping_key_of(kind, &deal, *state));
    lookup = cs_json_get(cs_find_lookup(find_of(kind->mapping, "account"), doc, NULL, NULL, NULL, 1, *state), "$lookup");
    assert_string_equal(cs_json_str(lookup, "key"), "Co_sell_Row_Key__c");
    assert_string_equal(cs_json_print(cs_json_get(lookup, "create"), *state), "{\"BillingCity\":\"Berlin\",\"BillingPostalCode\":\"1\",\"Name\":\"Contoso\"}");
    lookup = cs_json_get(cs_find_lookup(find_of(kind->mapping, "account"), doc, NULL, NULL, NULL, 0, *state), "$lookup");
    assert_null(cs_json_get(lookup, "key")); /* nothing is made */
}

static void test_names_that_are_null(void **state)
{
    static const char *const off[] = { "/names/account_key", "null", "/names/solution_key", "null", "/names/team_rows", "null", "/names/lead_source", "null",
                                       "/names/accepted",    "null", "/names/loss_reason",  "null", "/names/sync",      "null", NULL };
    cs_mapping_t *mapping = good(*state, off);
    const cs_mapping_kind_t *kind = cs_mapping_kind(mapping, "opportunity");
    const cs_list_t *team = list_of(kind, "team");
    int i;

    assert_null(find_of(mapping, "account")->key);
    assert_null(list_of(kind, "solutions")->row_key);
    assert_false(list_of(kind, "solutions")->off);
    assert_int_equal(team->users->nelts, 1); /* the owner is left */
    assert_true(line_of(cs_mapping_kind(mapping, "lead"), "source")->off);
    assert_string_equal(line_of(cs_mapping_kind(mapping, "lead"), "source")->off_why, "@lead_source is null in \"names\"");
    assert_int_equal(kind->from_pc_set->nelts, 0);
    for (i = 0; i < kind->show->nelts; i++) {
        const cs_show_t *show = &APR_ARRAY_IDX(kind->show, i, cs_show_t);

        assert_int_equal(show->set->nelts, !strcmp(show->pc, "Active") || !strcmp(show->pc, "Closed/Error") ? 0 : 1);
    }
    assert_has(mistakes(*state, "/names/hold", "null"), "\"@hold\" is switched off (null) and cannot be asked");
    assert_has(mistakes(*state, "/names/id", "null"), "\"@id\" is no column here: this CRM gives its rows their ids");
}

/* ---- prefixes ---- */

static void test_namespace(void **state)
{
    static const char *const acme[] = { "/namespace", "\"acme\"", "/names/status", "\"Co_sell_Status__c\"", NULL };
    static const char *const none[] = { "/namespace", "null", NULL };
    const cs_mapping_kind_t *kind = cs_mapping_kind(good(*state, acme), "opportunity");

    assert_string_equal(kind->external_id, "acme__Referral_Identifier__c");
    assert_string_equal(kind->tell.status, "Co_sell_Status__c");
    assert_string_equal(kind->tell.problem, "acme__Co_sell_Problem__c");
    assert_string_equal(list_of(kind, "solutions")->table, "acme__Microsoft_Solution__c");
    assert_string_equal(list_of(kind, "solutions")->parent, "acme__Opportunity__c");
    assert_string_equal(list_of(kind, "solutions")->row_key, "acme__Row_Key__c");
    assert_string_equal(list_of(kind, "solutions")->key_column, "acme__Solution_Identifier__c");
    assert_string_equal(APR_ARRAY_IDX(kind->from_pc_set, 0, cs_set_t).column, "acme__Sync_with_Partner_Center__c");
    assert_string_equal(cs_mapping_kind(good(*state, none), "opportunity")->external_id, "Referral_Identifier__c");
    assert_has(mistakes(*state, "/namespace", "\"acme__\""), "\"acme__\" is no prefix of a package; allowed: at most 15 letters");
    assert_has(mistakes(*state, "/namespace", "\"my__pack\""), "is no prefix");
    assert_has(mistakes(*state, "/namespace", "\"1st\""), "is no prefix");
    assert_has(mistakes(*state, "/namespace", "\"\""), "is no prefix");
    assert_has(mistakes(*state, "/namespace", "\"a-b\""), "is no prefix");
    assert_has(mistakes(*state, "/namespace", "\"abcdefghijklmnop\""), "is no prefix");
    assert_has(mistakes(*state, "/namespace", "5"), "5 is a whole number; allowed: a text, null");
}

/* A CRM without packages, ids of its own and so on says so. */
static void test_what_the_other_crm_refuses(void **state)
{
    static const struct {
        const char *pointer, *value, *says;
    } cases[] = {
        { "/namespace", "\"acme\"", "/namespace: names of this CRM have no prefix; allowed: null" },
        { "/names/sync", "\"{ns}sync\"", "\"{ns}sync\": names of this CRM have no prefix" },
        { "/find/account/key", "\"acme_key\"", "/find/account/key: rows of this CRM are made with their ids and find themselves" },
        { LISTS "solutions/crm/key", "\"acme_key\"", "made with their ids" },
        { RECORD "/from_pc/set", "{\"acme_type\":{\"record_type\":\"Services\"}}", "records of this CRM have no types" },
        { LINES "value/find", "null", "null is null; allowed: a text" },
        { LINES "value", "{\"pc\":{\"amount\":\"/details/dealValue\",\"currency\":\"/details/currency\"},\"crm\":{\"amount\":\"estimatedvalue\","
                         "\"currency\":\"transactioncurrencyid\"}}", "\"find\" is missing; allowed: the look-up of the currency's row" },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *root = deal_json(*state, deal_read(*state, "conf/mapping/dynamics365.json"));
        apr_array_header_t *errors;
        cs_mapping_t *mapping;
        cs_result_t res;
        const char *text;

        put(*state, root, cases[i].pointer, cases[i].value);
        text = cs_json_print(root, *state);
        memset(&res, 0, sizeof(res));
        assert_int_equal(cs_mapping_parse(&mapping, text, strlen(text), "m.json", cs_crm_facts_of("dynamics365"), &errors, *state, &res), CS_EPARSE);
        assert_has(apr_array_pstrcat(*state, errors, '\n'), cases[i].says);
    }
}

/* ---- names as values, record types ---- */

static const cs_hear_t *hear_at(const cs_mapping_kind_t *kind, int i)
{
    return &APR_ARRAY_IDX(kind->hear, i, cs_hear_t);
}

static void test_names_as_values(void **state)
{
    static const char *const more[] = {
        "/names/mine", "\"Mine\"", "/names/none", "null",
        STATE "hear/0/crm/StageName", "[\"@hold\",\"Prospecting\",\"@none\"]",
        LINES "notes/when", "{\"crm\":\"StageName\",\"in\":[\"@hold\",\"@won\"]}",
        LINES "close/when", "{\"not\":{\"crm\":\"StageName\",\"is\":\"@none\"}}",
        "/values/lost/pairs", "{\"A\":\"@mine\",\"B\":\"@none\",\"C\":\"Price\"}", "/values/lost/else/to_crm", "\"@mine\"",
        "/find/user/where", "{\"IsActive\":true,\"Division\":\"@mine\"}",
        LISTS "contacts/crm/where", "{\"Role\":\"@mine\"}", "/names/team_role", "\"Co-sell\"",
        LINES "campaign", "{\"pc\":\"/campaignId\",\"crm\":\"Campaign__c\",\"direction\":\"to_crm\",\"default\":\"@mine\"}", NULL
    };
    cs_mapping_t *mapping = good(*state, more);
    const cs_mapping_kind_t *kind = cs_mapping_kind(mapping, "opportunity");
    const json_t *row = deal_json(*state, "{\"StageName\":\"Closed Won\"}");
    const cs_cond_world_t world = { NULL, row, NULL };
    const cs_list_t *team = list_of(kind, "team");

    assert_string_equal(cs_json_print(APR_ARRAY_IDX(hear_at(kind, 0)->crm, 0, cs_set_t).constant, *state), "[\"Partner Center - not accepted\",\"Prospecting\"]");
    assert_string_equal(cs_json_print(APR_ARRAY_IDX(hear_at(kind, 4)->crm, 0, cs_set_t).constant, *state), "\"Partner Center - not accepted\"");
    assert_int_equal(cs_cond_holds(line_of(kind, "notes")->when, &world), 1);
    assert_int_equal(cs_cond_holds(line_of(kind, "close")->when, &world), 1); /* nobody is in a stage that is none */
    assert_string_equal(cs_json_print(hear_at(kind, 3)->reason_values->pairs, *state), "{\"A\":\"Mine\",\"C\":\"Price\"}");
    assert_string_equal(json_string_value(hear_at(kind, 3)->reason_values->to_crm.value), "Mine");
    assert_string_equal(cs_json_print(find_of(mapping, "user")->where, *state), "{\"Division\":\"Mine\",\"IsActive\":true}");
    assert_string_equal(cs_json_print(list_of(kind, "contacts")->where, *state), "{\"Role\":\"Mine\"}");
    assert_string_equal(cs_json_print(APR_ARRAY_IDX(team->users, 1, cs_list_users_t).set, *state), "{\"TeamMemberRole\":\"Co-sell\"}");
    assert_string_equal(json_string_value(line_of(kind, "campaign")->to_crm.dflt), "Mine");
    assert_string_equal(json_string_value(line_of(cs_mapping_kind(mapping, "lead"), "source")->to_crm.constant), "Web");
    assert_has(mistakes(*state, STATE "show/New/set/StageName", "\"@hodl\""), "\"@hodl\" is not in \"names\"");
    assert_has(mistakes(*state, "/find/user/where", "{\"IsActive\":\"@nobody\"}"), "/find/user/where/IsActive: \"@nobody\" is not in \"names\"");
    /* What nobody says is not told from what others say. */
    {
        static const char *const off[] = { "/find/user/where", "{\"Division\":\"@team_role\"}", NULL };

        mapping = good(*state, off);
        assert_string_equal(find_of(mapping, "user")->off_why, "@team_role is null in \"names\"");
        assert_true(list_of(cs_mapping_kind(mapping, "opportunity"), "team")->off);
    }
}

static void test_record_types(void **state)
{
    static const char *const services[] = { RECORD "/from_pc/set", "{\"@sync\":true,\"RecordTypeId\":{\"record_type\":\"Services\"}}", NULL };
    const cs_mapping_kind_t *kind = cs_mapping_kind(good(*state, services), "opportunity");
    json_t *row = cs_json_own(json_object(), *state);

    cs_set_apply(row, kind->from_pc_set, NULL, *state);
    assert_string_equal(cs_json_print(row, *state),
                        "{\"RecordTypeId\":{\"$lookup\":{\"find\":\"record type\",\"keys\":[{\"DeveloperName\":\"Services\"}],\"none\":\"hold\",\"several\":\"hold\","
                        "\"table\":\"RecordType\",\"where\":{\"SobjectType\":\"Opportunity\"}}},\"Sync_with_Partner_Center__c\":true}");
    assert_has(mistakes(*state, STATE "show/New/set", "{\"RecordTypeId\":{\"record_type\":\"Services\"}}"), "a record gets its type when it is made");
    assert_has(mistakes(*state, STATE "hear/0/crm", "{\"RecordTypeId\":{\"record_type\":\"Services\"}}"), "a record gets its type when it is made");
    assert_has(mistakes(*state, RECORD "/from_pc/set", "{\"RecordTypeId\":{\"record_type\":5}}"), "5 is a whole number; allowed: a text");
    assert_has(mistakes(*state, RECORD "/from_pc/set", "{\"RecordTypeId\":{\"record_type\":\"A\",\"pc\":\"/name\"}}"), "unknown member \"pc\"; allowed: record_type");
}

/* ---- mistakes ---- */

static void test_wrong_mappings(void **state)
{
    static const struct {
        const char *pointer, *value, *says;
    } cases[] = {
        { "/crm", "\"dynamics365\"", "allowed: salesforce" },
        { RECORD "/keey", "\"@id\"", "unknown member \"keey\"; allowed: table, key" },
        { RECORD "/key", "{\"derived\":true}", "{\"derived\":true}: this CRM gives its rows their ids, and one that was made is found again by the referral's id" },
        { RECORD "/key", "\"Account/Name\"", "goes through a look-up" },
        { "/find/account/key", "5", "5 is a whole number; allowed: a text" },
        { "/find/user/key", "\"@account_key\"", "/find/user/key: nothing is made here; allowed: \"key\" beside \"create\"" },
        { LISTS "solutions/crm/kye", "\"@solution_key\"", "unknown member \"kye\"; allowed: child, parent" },
        { LISTS "solutions/crm/key", "\"@nothing\"", "\"@nothing\" is not in \"names\"" },
        { LISTS "team/crm/key", "\"@solution_key\"", "\"key\" has no meaning with \"users\"" },
        { LISTS "team/crm/users", "[\"OwnerId\",{\"record_team\":\"Sales\"}]", "/users/1/record_team: records of this CRM have no teams of users" },
        { STATE "show/Closed~1Won", "{\"call\":\"WinOpportunity\"}", "this CRM has no actions that close; allowed: \"set\" with the column that the state follows from" },
        { STATE "show/Closed~1Expired", "{\"set\":{\"StageName\":\"@lost\"}}", "write \"if_was\": \"New\" beside it" },
        { "/names/hold", "\"Qualification\"", "/state/show/Active: it shows what New shows, so that nobody could accept a referral" },
        { STATE "show/Closed~1Error", "{\"set\":{\"StageName\":\"@lost\"}}", "Error only unlinks" },
        { STATE "show/New/set/StageName", "[\"a\",\"b\"]", "[\"a\",\"b\"] is no constant" },
        { STATE "hear/3/reason/note", "\"@close/description\"", "closing a row of Opportunity leaves no activity" },
        { "/records/lead/becomes/on_accept_in_pc", "\"qualify\"", "this CRM has no such action; allowed: tell-seller" },
        { LINES "value/crm", "{\"amount\":\"Amount\",\"currency\":{\"const\":\"usd\"}}", "{\"const\":\"usd\"} is no currency; allowed: {\"const\": \"USD\"}" },
        { LINES "value/crm", "{\"amount\":\"Amount\",\"currency\":{\"cosnt\":\"USD\"}}", "unknown member \"cosnt\"; allowed: const" },
        { LINES "value/crm", "{\"amount\":\"Amount\",\"currency\":5}", "5 is a whole number; allowed: an object, a text" },
        { LINES "value/pc/currency", "{\"const\":\"USD\"}", "is an object; allowed: a text" },
        { LINES "value/find", "\"account\"", "a currency is found by its code alone" },
        { LINES "key", "{\"pc\":\"/campaignId\",\"crm\":\"@id\",\"direction\":\"to_crm\"}", "would both write Referral_Identifier__c" },
        { LINES "key", "{\"const\":\"@nothing\",\"crm\":\"X__c\",\"direction\":\"to_crm\"}", "\"@nothing\" is not in \"names\"" },
        { LINES "far", "{\"pc\":\"/campaignId\",\"crm\":\"Account/Parent/Name\",\"direction\":\"to_pc\"}", "is no column" },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *said = mistakes(*state, cases[i].pointer, cases[i].value);

        if (!strstr(said, cases[i].says)) {
            fail_msg("%s = %s: \"%s\" is not said, but: %s", cases[i].pointer, cases[i].value, cases[i].says, said);
        }
    }
    {
        json_t *root = changed(*state, NULL);
        apr_array_header_t *errors;

        json_object_del(cs_json_get(cs_json_get(root, "records"), "lead"), "key");
        assert_null(parse(*state, root, &errors));
        assert_has(apr_array_pstrcat(*state, errors, '\n'), "/records/lead/key: \"key\" is missing: this CRM gives its rows their ids");
        root = changed(*state, NULL);
        json_object_set_new(cs_json_get(cs_json_get(cs_json_get(root, "records"), "opportunity"), "tell"), "id", json_string("Other__c"));
        json_object_set_new(cs_json_get(cs_json_get(cs_json_get(root, "records"), "opportunity"), "lines"), "key",
                            json_pack("{s:s,s:s,s:s}", "pc", "/campaignId", "crm", "@id", "direction", "to_crm"));
        assert_null(parse(*state, root, &errors));
        assert_has(apr_array_pstrcat(*state, errors, '\n'), "the line \"key\" and \"key\" would both write Referral_Identifier__c");
    }
}

/* The example of the whole shape is read. */
static void test_the_whole_shape(void **state)
{
    json_t *root = deal_json(*state, deal_read(*state, "tests/unit/mapping/full-salesforce.json")), *profile = deal_json(*state, deal_read(*state, PROFILE));
    apr_array_header_t *errors;
    cs_mapping_t *mapping;

    json_object_set_new(root, "find", json_deep_copy(json_object_get(profile, "find")));
    json_object_update_missing(json_object_get(root, "names"), json_object_get(profile, "names"));
    mapping = parse(*state, root, &errors);
    if (!mapping) {
        fail_msg("%s", apr_array_pstrcat(*state, errors, '\n'));
    }
    assert_string_equal(cs_mapping_kind(mapping, "opportunity_services")->external_id, "Referral_Identifier__c");
    assert_int_equal(hear_at(cs_mapping_kind(mapping, "opportunity"), 6)->sales_stage, 60);
}

/* ---- the overlay ---- */

static void test_the_example_overlay(void **state)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    const cs_mapping_kind_t *services, *kind;
    cs_result_t res;
    cs_card_t card = { .organization_id = "own" };
    int lead;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_load(&mapping, OVERLAY, &cs_salesforce_facts, &errors, *state, &res) != APR_SUCCESS) {
        fail_msg("%s", apr_array_pstrcat(*state, errors, '\n'));
    }
    assert_string_equal(cs_mapping_revision(mapping), "2026-02 acme + 1");
    services = APR_ARRAY_IDX(mapping->kinds, 0, cs_mapping_kind_t *); /* asked before the kind that would take all */
    assert_string_equal(services->name, "opportunity_services");
    assert_string_equal(services->external_id, "acme__Referral_Identifier__c");
    assert_int_equal(services->from_pc_set->nelts, 2);
    kind = cs_mapping_kind(mapping, "opportunity");
    card.doc = deal_json(*state, "{\"type\":\"Shared\",\"details\":{\"requirements\":{\"additionalRequirements\":{\"attributes\":[{\"type\":\"SolutionArea\",\"id\":\"x\"}]}}}}");
    assert_ptr_equal(cs_mapping_route(mapping, &card, NULL, "own", &lead, *state), services);
    card.doc = deal_json(*state, "{\"type\":\"Shared\"}");
    assert_ptr_equal(cs_mapping_route(mapping, &card, NULL, "own", &lead, *state), kind);
    assert_ptr_equal(cs_mapping_route_row(mapping, "Opportunity",
                                          deal_json(*state, "{\"acme__Sync_with_Partner_Center__c\":true,\"RecordTypeId\":{\"id\":\"012\",\"DeveloperName\":\"Services\"}}"), *state),
                     services);
    assert_ptr_equal(
        cs_mapping_route_row(mapping, "Opportunity", deal_json(*state, "{\"acme__Sync_with_Partner_Center__c\":true,\"RecordTypeId\":null}"), *state), kind);
    assert_string_equal(line_of(kind, "value")->currency, "USD");
    assert_null(line_of(kind, "value")->crm_currency);
    assert_string_equal(line_of(kind, "country")->crm->text, "AccountId/BillingCountryCode");
    assert_string_equal(APR_ARRAY_IDX(line_of(kind, "country")->crm_more, 0, const cs_column_t *)->text, "AccountId/BillingCountry");
    assert_string_equal(line_of(kind, "notes")->crm->text, "Microsoft_Notes__c");
    assert_true(line_of(kind, "program")->off);
}

/* ---- money ---- */

#define MONEY(amount, currency) "{\"amount\":\"" amount "\",\"currency\":\"" currency "\"}"

static void test_a_currency_that_is_a_text(void **state)
{
    const cs_line_t *line = line_of(cs_mapping_kind(good(*state, NULL), "opportunity"), "value");
    const json_t *row = deal_json(*state, "{\"Amount\":50000.5,\"CurrencyIsoCode\":\"EUR\"}");
    json_t *columns = cs_json_own(json_object(), *state);
    cs_side_t side;

    assert_null(line->find);
    cs_line_read_crm(&side, line, NULL, row, *state);
    assert_string_equal(cs_json_print(side.value, *state), MONEY("50000.50", "EUR"));
    cs_line_columns(columns, line, NULL, deal_json(*state, MONEY("70.00", "USD")), NULL, side.value, *state);
    assert_string_equal(cs_json_print(columns, *state), "{\"Amount\":{\"$number\":\"70.00\"},\"CurrencyIsoCode\":\"USD\"}");
    columns = cs_json_own(json_object(), *state);
    cs_line_columns(columns, line, NULL, deal_json(*state, MONEY("70.00", "EUR")), NULL, side.value, *state);
    assert_string_equal(cs_json_print(columns, *state), "{\"Amount\":{\"$number\":\"70.00\"}}");
    columns = cs_json_own(json_object(), *state);
    cs_line_columns(columns, line, NULL, deal_json(*state, MONEY("70.00", "EUR")), NULL, NULL, *state);
    assert_string_equal(cs_json_print(columns, *state), "{\"Amount\":{\"$number\":\"70.00\"},\"CurrencyIsoCode\":\"EUR\"}");
    cs_line_read_crm(&side, line, NULL, deal_json(*state, "{\"Amount\":null,\"CurrencyIsoCode\":\"EUR\"}"), *state);
    assert_true(json_is_null(side.value));
    cs_line_read_crm(&side, line, NULL, deal_json(*state, "{\"Amount\":1}"), *state);
    assert_null(side.value); /* unreadable */
}

static void test_one_currency(void **state)
{
    static const char *const usd[] = { LINES "value/crm/currency", "{\"const\":\"USD\"}", NULL };
    const cs_mapping_kind_t *kind = cs_mapping_kind(good(*state, usd), "opportunity");
    const cs_line_t *line = line_of(kind, "value");
    const char *columns = apr_pstrcat(*state, " ", words(cs_mapping_columns(kind), *state), " ", NULL);
    json_t *written = cs_json_own(json_object(), *state);
    cs_side_t side;
    cs_conv_t conv;

    assert_has(columns, " Amount ");
    assert_has_not(columns, "Currency");
    cs_line_read_crm(&side, line, NULL, deal_json(*state, "{\"Amount\":50000}"), *state);
    assert_string_equal(cs_json_print(side.value, *state), MONEY("50000.00", "USD"));
    cs_line_to_crm(&conv, line, NULL, deal_json(*state, MONEY("7.00", "USD")), *state);
    assert_int_equal(conv.what, CS_CONV_OK);
    cs_line_columns(written, line, NULL, deal_json(*state, MONEY("7.00", "USD")), NULL, NULL, *state);
    assert_string_equal(cs_json_print(written, *state), "{\"Amount\":{\"$number\":\"7.00\"}}");
    cs_line_to_crm(&conv, line, NULL, deal_json(*state, MONEY("7.00", "EUR")), *state);
    assert_int_equal(conv.what, CS_CONV_HOLD);
    assert_string_equal(conv.why, "the referral is in EUR, and the CRM counts in USD alone");
    assert_false(cs_line_same(line, NULL, deal_json(*state, MONEY("7.00", "EUR")), deal_json(*state, MONEY("7.00", "USD")), *state));
    assert_true(cs_line_same(line, NULL, deal_json(*state, MONEY("7.00", "USD")), deal_json(*state, MONEY("7.00", "USD")), *state));
}

/* In both directions, in a whole look. */
static void test_another_currency_holds_the_pair(void **state)
{
    static const char *const usd[] = { LINES "value", "{\"pc\":{\"amount\":\"/details/dealValue\",\"currency\":\"/details/currency\"},"
                                                      "\"crm\":{\"amount\":\"estimatedvalue\",\"currency\":{\"const\":\"USD\"}}}", NULL };
    deal_world_t *w = deal_world(*state, usd);

    deal_set(w, "/details/currency", "\"EUR\"");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_HELD);
    assert_true(json_is_null(json_object_get(w->row, "estimatedvalue")));
    deal_status(w, "Active", "Accepted");
    w->pc_version++;
    deal_edit(w, "estimatedvalue", "700");
    deal_look(w);
    assert_verdict(w, "value", CS_VERDICT_HELD);
    assert_string_equal(cs_json_print(cs_json_get(cs_json_get(w->doc, "details"), "dealValue"), *state), "50000");
    /* In its own currency it travels. */
    deal_edit_pc(w, "/details/currency", "\"USD\"");
    deal_edit_pc(w, "/details/dealValue", "900");
    deal_look(w);
    deal_edit(w, "estimatedvalue", "750");
    deal_look(w);
    deal_look(w);
    assert_string_equal(cs_json_print(cs_json_get(cs_json_get(w->doc, "details"), "currency"), *state), "\"USD\"");
    assert_int_equal(cs_json_int(cs_json_get(w->doc, "details"), "dealValue", 0), (int)json_number_value(json_object_get(w->row, "estimatedvalue")));
}

/* ---- several choices in one column ---- */

static void test_several_choices(void **state)
{
    static const char *const areas[] = { LINES "area", "{\"pc\":\"/campaignId\",\"crm\":\"Areas__c\"}", LINES "campaign/enabled", "false",
                                         LINES "program", "{\"pc\":\"/referralProgram\",\"crm\":\"Areas__c\",\"direction\":\"to_crm\",\"enabled\":false,\"values\":"
                                                          "{\"pairs\":{\"Two\":\"B;A\",\"One\":\"A\"}}}", NULL };
    const cs_mapping_kind_t *kind = cs_mapping_kind(good(*state, areas), "opportunity");
    const json_t *metadata = deal_json(*state, "{\"tables\":{\"Opportunity\":{\"columns\":{\"Areas__c\":{\"type\":\"choices\",\"options\":[{\"value\":\"A\"},{\"value\":\"B\"}]}}}}}");
    const cs_table_t table = { "Opportunity", metadata, NULL };
    const cs_line_t *line = line_of(kind, "area");
    cs_side_t side;
    cs_conv_t conv;

    cs_line_read_crm(&side, line, &table, deal_json(*state, "{\"Areas__c\":\"B;A;B\"}"), *state);
    assert_string_equal(json_string_value(side.value), "A;B");
    assert_true(cs_line_same(line, &table, deal_json(*state, "\"B;A\""), side.value, *state));
    assert_false(cs_line_same(line, &table, deal_json(*state, "\"B\""), side.value, *state));
    cs_line_to_crm(&conv, line, &table, deal_json(*state, "\"B;A\""), *state);
    assert_string_equal(json_string_value(conv.value), "A;B");
    line = line_of(kind, "program");
    cs_values_to_pc(&conv, line->values, &table, line->crm, deal_json(*state, "\"A;B\""), *state);
    assert_int_equal(conv.what, CS_CONV_OK);
    assert_string_equal(json_string_value(conv.value), "Two");
}

/* A country goes where codes are kept as its code, where names are kept as its name. */
static void test_country_in_a_picklist(void **state)
{
    static const struct {
        const char *column, *written;
    } cases[] = {
        { "{\"type\":\"choice\",\"max\":10,\"options\":[{\"value\":\"DE\",\"label\":\"Germany\"},{\"value\":\"AT\",\"label\":\"Austria\"}]}", "\"DE\"" },
        { "{\"type\":\"choice\",\"max\":80,\"options\":[{\"value\":\"Germany\",\"label\":\"Germany\"}]}", "\"Germany\"" },
        { "{\"type\":\"text\",\"max\":80}", "\"Germany\"" },
        { "{\"type\":\"text\",\"max\":2}", "\"DE\"" },
    };
    const cs_line_t *line = line_of(cs_mapping_kind(good(*state, NULL), "lead"), "country");
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const json_t *metadata = deal_json(*state, apr_psprintf(*state, "{\"tables\":{\"Lead\":{\"columns\":{\"%s\":%s}}}}", line->crm->name, cases[i].column));
        const cs_table_t table = { "Lead", metadata, NULL };
        json_t *row = cs_json_own(json_object(), *state);

        cs_line_columns(row, line, &table, deal_json(*state, "\"DE\""), NULL, NULL, *state);
        assert_string_equal(cs_json_print(json_object_get(row, line->crm->name), *state), cases[i].written);
    }
}

/* ---- the organisation ---- */

/* "Table: column=type[:max] ...": a type that stands in <> is a look-up. */
static const char *const organisation[] = {
    "Opportunity Id=id Name=text:120 Amount=money CurrencyIsoCode=choice CloseDate=date Description=memo:32000 StageName=choice IsClosed=flag IsWon=flag "
    "HasOpportunityLineItem=flag AccountId=<Account> OwnerId=<User> RecordTypeId=<RecordType> Sync_with_Partner_Center__c=flag Referral_Identifier__c=text:36 "
    "Referral_Link__c=text:255 How_can_Microsoft_help__c=choice Referral_Visibility__c=flag Audit__c=memo:2000 Microsoft_CRM_Identifier__c=text:100 "
    "Referral_Program__c=text:100 Loss_Reason__c=choice Co_sell_Status__c=text:255 Co_sell_Problem__c=text:255",
    "Lead Id=id LastName=text:80 FirstName=text:40 Company=text:255 Title=text:128 Email=text:80 Phone=text:40 Street=text:255 City=text:40 State=text:80 "
    "PostalCode=text:20 Country=text:80 Description=memo:32000 LeadSource=choice Status=choice IsConverted=flag ConvertedOpportunityId=<Opportunity> OwnerId=<User> "
    "Referral_Identifier__c=text:36 Referral_Link__c=text:255 Audit__c=memo:2000 Loss_Reason__c=choice Co_sell_Status__c=text:255 Co_sell_Problem__c=text:255",
    "Account Id=id Name=text:255 AccountNumber=text:40 BillingStreet=text:255 BillingCity=text:40 BillingState=text:80 BillingPostalCode=text:20 "
    "BillingCountry=text:80 Co_sell_Row_Key__c=text:36",
    "Contact Id=id FirstName=text:40 LastName=text:80 Email=text:80 Phone=text:40 Title=text:128 AccountId=<Account> Co_sell_Row_Key__c=text:36",
    "User Id=id FirstName=text:40 LastName=text:80 Email=text:80 Phone=text:40 IsActive=flag",
    "OpportunityContactRole Id=id OpportunityId=<Opportunity> ContactId=<Contact> Role=choice IsPrimary=flag",
    "OpportunityTeamMember Id=id OpportunityId=<Opportunity> UserId=<User> TeamMemberRole=choice",
    "Microsoft_Solution__c Id=id Name=text:80 Opportunity__c=<Opportunity> Solution_Identifier__c=text:100 Row_Key__c=text:36",
};

static json_t *column_of(const char *spec, apr_pool_t *p)
{
    char *type = apr_pstrdup(p, spec), *max = strchr(type, ':');

    if (*type == '<') {
        return json_pack("{s:s,s:[s#]}", "type", "look-up", "targets", type + 1, strlen(type) - 2);
    }
    if (max) {
        *max++ = '\0';
    }
    return max ? json_pack("{s:s,s:i}", "type", type, "max", atoi(max)) : json_pack("{s:s}", "type", type);
}

static json_t *metadata_of(apr_pool_t *p)
{
    static const char *const more[] = {
        "/Opportunity/columns/StageName/options", "[{\"value\":\"Prospecting\",\"state\":0},{\"value\":\"Qualification\",\"state\":0},{\"value\":\"Needs Analysis\",\"state\":0},"
        "{\"value\":\"Partner Center - not accepted\",\"state\":0},{\"value\":\"Closed Won\",\"state\":1},{\"value\":\"Closed Lost\",\"state\":2}]",
        "/Opportunity/columns/Loss_Reason__c/options", "[{\"value\":\"Price\"},{\"value\":\"Competition\"},{\"value\":\"No Decision\"},{\"value\":\"Other\"}]",
        "/Lead/columns/Loss_Reason__c/options", "[{\"value\":\"Price\"},{\"value\":\"Competition\"},{\"value\":\"No Decision\"},{\"value\":\"Other\"}]",
        "/Lead/columns/Status/options", "[{\"value\":\"Open - Not Contacted\",\"state\":0},{\"value\":\"Closed - Not Converted\",\"state\":0},"
        "{\"value\":\"Closed - Converted\",\"state\":1}]",
        "/Lead/columns/LeadSource/options", "[{\"value\":\"Web\"},{\"value\":\"Phone\"}]",
        "/Opportunity/columns/CurrencyIsoCode/options", "[{\"value\":\"USD\"},{\"value\":\"EUR\"}]",
        "/Opportunity/columns/How_can_Microsoft_help__c/options", "[{\"value\":\"Workload Specific Value Proposition\",\"label\":\"Workload Specific Value Proposition\"},"
        "{\"value\":\"Customer Technical Architecture\",\"label\":\"Customer Technical Architecture\"},{\"value\":\"Proof Of Concept Or Demo\",\"label\":\"Proof Of Concept Or Demo\"},"
        "{\"value\":\"Quotes Or Licensing\",\"label\":\"Quotes Or Licensing\"},{\"value\":\"Post Sales Customer Success\",\"label\":\"Post Sales Customer Success\"},"
        "{\"value\":\"General Or Other\",\"label\":\"General Or Other\"}]",
        "/Opportunity/keys", "[{\"columns\":[\"Referral_Identifier__c\"],\"active\":true}]", "/Lead/keys", "[{\"columns\":[\"Referral_Identifier__c\"],\"active\":true}]",
        "/Account/keys", "[{\"columns\":[\"Co_sell_Row_Key__c\"],\"active\":true}]", "/Contact/keys", "[{\"columns\":[\"Co_sell_Row_Key__c\"],\"active\":true}]",
        "/Microsoft_Solution__c/keys", "[{\"columns\":[\"Row_Key__c\"],\"active\":true}]", "/Opportunity/record_types", "[\"Products\",\"Services\"]", NULL
    };
    json_t *tables = cs_json_own(json_object(), p);
    size_t i;

    for (i = 0; i < sizeof(organisation) / sizeof(organisation[0]); i++) {
        char *text = apr_pstrdup(p, organisation[i]), *last, *word = apr_strtok(text, " ", &last), *equal;
        json_t *table = json_pack("{s:{}}", "columns");

        json_object_set_new(tables, word, table);
        while ((word = apr_strtok(NULL, " ", &last)) != NULL) {
            equal = strchr(word, '=');
            *equal = '\0';
            json_object_set_new(cs_json_get(table, "columns"), word, column_of(equal + 1, p));
        }
    }
    for (i = 0; more[i]; i += 2) {
        put(p, tables, more[i], more[i + 1]);
    }
    return cs_json_own(json_pack("{s:O}", "tables", tables), p);
}

/* What is said of the profile with a change, in an organisation with a change; NULL = none; "-" = a member that is not there. */
static const char *compared(apr_pool_t *p, const char *const *changes, const char *pointer, const char *value)
{
    json_t *metadata = metadata_of(p);

    if (pointer && !strcmp(value, "-")) {
        const char *slash = strrchr(pointer, '/');

        assert_int_equal(json_object_del(cs_json_pointer(metadata, apr_pstrmemdup(p, pointer, (apr_size_t)(slash - pointer))), slash + 1), 0);
    }
    else if (pointer) {
        put(p, metadata, pointer, value);
    }
    return apr_array_pstrcat(p, cs_mapping_compare(good(p, changes), metadata, p), '\n');
}

static void test_an_organisation_that_fits(void **state)
{
    static const char *const services[] = { RECORD "/from_pc/set/RecordTypeId", "{\"record_type\":\"Services\"}",
                                            RECORD "/from_crm/when", "{\"all\":[{\"crm\":\"@sync\",\"is\":true},{\"crm\":\"RecordType/DeveloperName\",\"in\":[\"Services\"]}]}", NULL };

    assert_string_equal(compared(*state, NULL, NULL, NULL), "");
    assert_string_equal(compared(*state, services, NULL, NULL), "");
}

static void test_an_organisation_that_does_not_fit(void **state)
{
#define COLUMNS(table) "/tables/" table "/columns/"
    static const struct {
        const char *pointer, *value, *says;
    } cases[] = {
        { "/tables/Microsoft_Solution__c", "-", "lists/solutions: the table Microsoft_Solution__c does not exist or cannot be read" },
        { "/tables/OpportunityTeamMember", "-", "lists/team: the table OpportunityTeamMember does not exist or cannot be read" },
        { COLUMNS("Opportunity") "Loss_Reason__c", "-", "the table Opportunity has no column Loss_Reason__c" },
        { COLUMNS("Account") "Co_sell_Row_Key__c", "-", "/find/account/key: the table Account has no column Co_sell_Row_Key__c" },
        { COLUMNS("Account") "BillingCity", "-", "lines/city: the table Account has no column BillingCity" },
        { "/tables/Opportunity/keys", "[]", "/key: the column Referral_Identifier__c of the table Opportunity is no external id, and rows are made by it" },
        { "/tables/Contact/keys", "[{\"columns\":[\"Email\"],\"active\":true}]", "/find/contact/key: the column Co_sell_Row_Key__c of the table Contact is no external id" },
        { "/tables/Microsoft_Solution__c/keys", "[]", "lists/solutions: the column Row_Key__c of the table Microsoft_Solution__c is no external id" },
        { COLUMNS("Lead") "Referral_Identifier__c/max", "18", "the column Referral_Identifier__c holds 18 characters; allowed here: at least 36" },
        { COLUMNS("Opportunity") "StageName/options/4/state", "0", "state/show/Closed~1Won: the choice \"Closed Won\" of the column StageName is open; allowed here: one that is won: " },
        { COLUMNS("Opportunity") "StageName/options/3/state", "2", "state/show/New: the choice \"Partner Center - not accepted\" of the column StageName is lost; allowed here: one that is open: "
          "\"Prospecting\", \"Qualification\", \"Needs Analysis\"" },
        { COLUMNS("Opportunity") "StageName/options/3/state", "1", "state/hear/0/crm: the choice \"Partner Center - not accepted\" of the column StageName is won" },
        { COLUMNS("Opportunity") "StageName/options/1/state", "1", "state/show/Active: the choice \"Qualification\" of the column StageName is won; allowed here: one that is open" },
        { COLUMNS("Opportunity") "StageName/options/5/value", "\"Lost\"", "state/show/Closed~1Lost: the column StageName has no choice \"Closed Lost\"; it has: " },
        { COLUMNS("Lead") "Status/options/1/state", "1", "/records/lead/state/show/Closed: the choice \"Closed - Not Converted\" of the column Status is won; allowed here: one that is open" },
        { COLUMNS("Lead") "Status/options/0/value", "\"New\"", "/records/lead/state/show/New: the column Status has no choice \"Open - Not Contacted\"; it has: " },
        { COLUMNS("Opportunity") "CurrencyIsoCode", "-", "lines/value: the table Opportunity has no column CurrencyIsoCode" },
        { COLUMNS("Opportunity") "CurrencyIsoCode", "{\"type\":\"look-up\"}", "lines/value: the column CurrencyIsoCode is look-up; allowed here: text, choice" },
        { COLUMNS("Opportunity") "AccountId/type", "\"text\"", "lines/customer: the column AccountId is text; allowed here: look-up" },
        { COLUMNS("Opportunity") "Name/max", "80", "lines/name: \"max\" is 120, and the column Name holds 80 characters" },
        { COLUMNS("OpportunityContactRole") "ContactId/type", "\"text\"", "lists/contacts: the column ContactId is text; allowed here: look-up" },
    };
    static const char *const services[] = { RECORD "/from_pc/set/RecordTypeId", "{\"record_type\":\"Servcies\"}",
                                            LINES "notes/when", "{\"crm\":\"RecordType/DeveloperName\",\"is\":\"Product\"}", "/names/team_role", "\"Co-sell\"", NULL };
    const char *said;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        said = compared(*state, NULL, cases[i].pointer, cases[i].value);
        if (!strstr(said, cases[i].says)) {
            fail_msg("%s: \"%s\" is not said, but: %s", cases[i].pointer, cases[i].says, said);
        }
    }
    said = compared(*state, services, COLUMNS("OpportunityTeamMember") "TeamMemberRole/options", "[{\"value\":\"Sales Rep\"}]");
    assert_has(said, "from_pc/set: the table Opportunity has no record type \"Servcies\"; it has: Products, Services");
    assert_has(said, "lines/notes: the table Opportunity has no record type \"Product\"; it has: Products, Services");
    assert_has(said, "lists/team: the column TeamMemberRole has no choice \"Co-sell\"; it has: \"Sales Rep\"");
    /* Where nothing is known of types and keys, nothing is said. */
    said = compared(*state, services, "/tables/Opportunity/record_types", "-");
    assert_has_not(said, "record type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_profile),
        UNIT_TEST(test_equal_to_the_other_profile),
        UNIT_TEST(test_relations_become_look_ups),
        UNIT_TEST(test_what_is_watched),
        UNIT_TEST(test_keys),
        UNIT_TEST(test_names_that_are_null),
        UNIT_TEST(test_namespace),
        UNIT_TEST(test_what_the_other_crm_refuses),
        UNIT_TEST(test_names_as_values),
        UNIT_TEST(test_record_types),
        UNIT_TEST(test_wrong_mappings),
        UNIT_TEST(test_the_whole_shape),
        UNIT_TEST(test_the_example_overlay),
        UNIT_TEST(test_a_currency_that_is_a_text),
        UNIT_TEST(test_one_currency),
        UNIT_TEST(test_another_currency_holds_the_pair),
        UNIT_TEST(test_several_choices),
        UNIT_TEST(test_country_in_a_picklist),
        UNIT_TEST(test_an_organisation_that_fits),
        UNIT_TEST(test_an_organisation_that_does_not_fit),
    };

    return UNIT_RUN(tests);
}
