/* Overlays and kinds that are like another: what comes out, and where a mistake is said to stand.
 * Then the CRM's metadata: what is needed of it, and what does not fit. */
#include "unit_deal.h"

#include <unistd.h>

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/domain/mapping_internal.h"

static void put(apr_pool_t *p, const char *name, const char *text)
{
    FILE *f = fopen(unit_path(p, name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* All mistakes without the directory, or "". */
static const char *try(apr_pool_t *p, const char *name, cs_mapping_t **pmapping)
{
    const char *path = unit_path(p, name), *dir = apr_pstrmemdup(p, path, strlen(path) - strlen(name));
    apr_array_header_t *errors;
    cs_result_t res;
    char *out, *at;

    memset(&res, 0, sizeof(res));
    cs_mapping_load(pmapping, path, cs_crm_facts_of("dynamics365"), &errors, p, &res);
    out = apr_array_pstrcat(p, errors, '\n');
    while ((at = strstr(out, dir)) != NULL) {
        memmove(at, at + strlen(dir), strlen(at + strlen(dir)) + 1);
    }
    return out;
}

static cs_mapping_t *good(apr_pool_t *p, const char *name)
{
    cs_mapping_t *mapping;

    assert_string_equal(try(p, name, &mapping), "");
    return mapping;
}

static const cs_line_t *line_of(const cs_mapping_kind_t *kind, const char *name)
{
    int i;

    for (i = 0; kind && i < kind->lines->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->name, name)) {
            return APR_ARRAY_IDX(kind->lines, i, cs_line_t *);
        }
    }
    return NULL;
}

#define BASE                                                                                                                                                                 \
    "{\n  \"crm\": \"dynamics365\",\n  \"revision\": \"1\",\n  \"names\": {\"a\": \"acme_a\", \"b\": \"acme_b\"},\n"                                                       \
    "  \"records\": {\"opportunity\": {\n    \"table\": \"opportunity\",\n    \"from_pc\": {\"when\": true},\n    \"lines\": {\n"                                        \
    "      \"one\": {\"pc\": \"/name\", \"crm\": \"@a\", \"direction\": \"to_crm\", \"to_crm\": {\"max\": 5}},\n"                                                           \
    "      \"two\": {\"pc\": \"/campaignId\", \"crm\": \"@b\", \"direction\": \"to_crm\"}\n    }\n  }}\n}\n"

static void test_the_example(void **state)
{
    cs_result_t res;
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    const cs_mapping_kind_t *kind;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_load(&mapping, "tests/unit/mapping/full-overlay-example.json", cs_crm_facts_of("dynamics365"), &errors, *state, &res) == APR_SUCCESS) {
        fail_msg("a file that is not there was loaded");
    }
    if (cs_mapping_load(&mapping, "conf/mapping/example-overlay.json", cs_crm_facts_of("dynamics365"), &errors, *state, &res) != APR_SUCCESS) {
        fail_msg("%s", apr_array_pstrcat(*state, errors, '\n'));
    }
    kind = cs_mapping_kind(mapping, "opportunity");
    assert_has(cs_mapping_revision(mapping), "2026-02 acme + ");
    assert_string_equal(line_of(kind, "value")->crm->text, "acme_acv");
    assert_string_equal(line_of(kind, "value")->crm_currency->text, "transactioncurrencyid");
    assert_null(line_of(kind, "value")->to_crm.when);
    assert_int_equal(line_of(kind, "region")->introduce, CS_INTRODUCE_FILL_EMPTY);
    assert_int_equal(line_of(kind, "program")->off, 1);
    assert_string_equal(kind->tell.status, "acme_cosellstatus");
    assert_non_null(line_of(kind, "notes"));
}

static void test_members_are_merged(void **state)
{
    cs_mapping_t *base, *over;
    const cs_mapping_kind_t *kind;

    put(*state, "base.json", BASE);
    put(*state, "over.json",
        "{\n  \"extends\": \"base.json\",\n  \"revision\": \"mine\",\n  \"names\": {\"b\": null, \"c\": \"acme_c\"},\n"
        "  \"records\": {\"opportunity\": {\"lines\": {\n    \"one\": {\"to_crm\": null, \"max\": 9},\n    \"three\": {\"pc\": \"/salesStage\", \"crm\": \"@c\", "
        "\"direction\": \"to_crm\"}}}}\n}\n");
    base = good(*state, "base.json");
    over = good(*state, "over.json");
    kind = cs_mapping_kind(over, "opportunity");
    assert_string_equal(cs_mapping_revision(over), "mine + 1");
    assert_string_equal(line_of(kind, "one")->crm->text, "acme_a");
    assert_int_equal(line_of(kind, "one")->to_crm.max, 9);
    assert_int_equal(line_of(kind, "two")->off, 1);
    assert_string_equal(line_of(kind, "three")->crm->text, "acme_c");
    assert_string_equal(APR_ARRAY_IDX(kind->lines, 0, cs_line_t *)->name, "one");
    assert_string_not_equal(cs_mapping_digest(base), cs_mapping_digest(over));

    /* The digest is of what comes out. */
    put(*state, "over2.json",
        "{\"revision\": \"mine\", \"records\": {\"opportunity\": {\"lines\": {\"three\": {\"direction\": \"to_crm\", \"pc\": \"/salesStage\", \"crm\": \"@c\"}, "
        "\"one\": {\"max\": 9, \"to_crm\": null}}}}, \"names\": {\"c\": \"acme_c\", \"b\": null}, \"extends\": \"base.json\"}");
    assert_string_equal(cs_mapping_digest(good(*state, "over2.json")), cs_mapping_digest(over));
    put(*state, "empty.json", "{\"revision\": \"x\", \"extends\": \"base.json\"}");
    assert_string_not_equal(cs_mapping_digest(good(*state, "empty.json")), cs_mapping_digest(base)); /* the revision */
}

static void test_several_levels(void **state)
{
    const cs_mapping_kind_t *kind;
    cs_mapping_t *mapping;

    put(*state, "base.json", BASE);
    put(*state, "middle.json", "{\"extends\": \"base.json\", \"revision\": \"2\", \"records\": {\"opportunity\": {\"lines\": {\"two\": null}}}}");
    put(*state, "top.json", "{\"extends\": \"middle.json\", \"revision\": \"3\", \"records\": {\"opportunity\": {\"lines\": {\"two\": {\"pc\": \"/tags[first]\", "
                            "\"crm\": \"tag\", \"direction\": \"to_crm\"}}}}}");
    kind = cs_mapping_kind(good(*state, "middle.json"), "opportunity");
    assert_null(line_of(kind, "two"));
    mapping = good(*state, "top.json");
    kind = cs_mapping_kind(mapping, "opportunity");
    assert_string_equal(cs_mapping_revision(mapping), "3 + 2 + 1");
    assert_string_equal(line_of(kind, "two")->crm->text, "tag");
}

static void test_places(void **state)
{
    cs_mapping_t *mapping;

    put(*state, "base.json", "{\n  \"crm\": \"dynamics365\",\n  \"revision\": \"1\",\n  \"records\": {\n    \"opportunity\": {\"table\": \"opportunity\", \"lines\": {\n"
                             "      \"one\": {\"pc\": \"/nmae\", \"crm\": \"a\", \"direction\": \"to_crm\"}}}\n  }\n}\n");
    put(*state, "over.json", "{\n  \"extends\": \"base.json\",\n  \"revision\": \"2\",\n  \"records\": {\"opportunity\": {\"lines\": {\n"
                             "    \"one\": {\"crm\": \"a b\"},\n    \"two\": {\"pc\": \"/name\"}\n  }}}\n}\n");
    assert_string_equal(try(*state, "over.json", &mapping),
                        "over.json:6:12: /records/opportunity/lines/two: \"two\" is no line of base.json; a new line needs \"pc\" and \"crm\"\n"
                        "base.json:6:21: /records/opportunity/lines/one/pc: \"/nmae\" is no member of a referral (did you mean \"name\"?); allowed: id, engagementId, name, externalReferenceId, createdDateTime, updatedDateTime, expirationDateTime, acceptedDateTime, closedDateTime, status, substatus, statusReason, type, qualification, direction, eTag, organizationId, organizationName, mpnId, customerProfile, consent, details, team, inviteContext, target, salesStage, referralProgram, campaignId, referralSource, callToAction, dealSensitivity, tags, quality, isSpam, favorite, lastModifiedVia, createdVia, lastRunId, registrationStatus, isAutoRegistrationEnabled, registrations, trackingInfo, links\n"
                        "over.json:5:20: /records/opportunity/lines/one/crm: \"a b\" is no column; allowed: \"name\", \"parentaccountid/name\" (one look-up at most), "
                        "\"@<one of names>\"");
}

/* A name that an overlay gives wrongly is wrong there, and not where the profile uses it. */
static void test_place_of_a_wrong_name(void **state)
{
    cs_mapping_t *mapping;
    const char *said;

    put(*state, "base.json", BASE);
    put(*state, "over.json", "{\n  \"extends\": \"base.json\",\n  \"revision\": \"2\",\n  \"names\": {\n    \"b\": \"acme b\"\n  }\n}\n");
    said = try(*state, "over.json", &mapping);
    assert_has(said, "over.json:5:10: /names/b: \"acme b\" is no column");
    assert_null(strstr(said, "base.json"));
    put(*state, "over.json", "{\n  \"extends\": \"base.json\",\n  \"revision\": \"2\",\n  \"names\": {\n    \"b\": \"Acme_B\"\n  }\n}\n");
    said = try(*state, "over.json", &mapping);
    assert_has(said, "over.json:5:10: /names/b: \"Acme_B\" has capital letters");
    assert_null(strstr(said, "base.json"));
}

static void test_a_file_of_the_same_name(void **state)
{
    cs_mapping_t *mapping;

    /* An overlay that is named like its profile does not extend itself. */
    put(*state, "dynamics365.json", "{\"extends\": \"dynamics365.json\", \"revision\": \"2\"}");
    if (access(CS_MAPPING_DIR "/dynamics365.json", R_OK)) {
        assert_string_equal(try(*state, "dynamics365.json", &mapping),
                            "dynamics365.json:1:13: /extends: dynamics365.json would extend itself, for there is no other in " CS_MAPPING_DIR);
    }
    else {
        good(*state, "dynamics365.json");
    }
    assert_int_equal(unlink(unit_path(*state, "dynamics365.json")), 0);
}

/* ---- like ---- */

static void test_like(void **state)
{
    const cs_mapping_kind_t *kind;
    cs_mapping_t *mapping;
    const char *said;

    put(*state, "like.json",
        "{\n  \"crm\": \"dynamics365\",\n  \"revision\": \"1\",\n  \"records\": {\n"
        "    \"services\": {\"like\": \"big\", \"from_pc\": {\"when\": {\"pc\": \"/tags[first]\", \"is\": \"s\"}}, \"lines\": {\"two\": null}},\n"
        "    \"big\": {\"like\": \"plain\", \"lines\": {\"one\": {\"max\": 7}, \"two\": {\"pc\": \"/campaignId\", \"crm\": \"two\", \"direction\": \"to_crm\"}}},\n"
        "    \"plain\": {\"table\": \"opportunity\", \"from_pc\": {\"when\": true}, \"lines\": {\n"
        "      \"one\": {\"pc\": \"/name\", \"crm\": \"one\", \"direction\": \"to_crm\"}}}\n  }\n}\n");
    mapping = good(*state, "like.json");
    assert_string_equal(APR_ARRAY_IDX(mapping->kinds, 0, cs_mapping_kind_t *)->name, "services");
    kind = cs_mapping_kind(mapping, "services");
    assert_string_equal(kind->table, "opportunity");
    assert_null(line_of(kind, "two"));
    assert_int_equal(line_of(kind, "one")->to_crm.max, 7);
    assert_int_equal(kind->from_pc_when->op, CS_COND_IS);
    kind = cs_mapping_kind(mapping, "big");
    assert_non_null(line_of(kind, "two"));
    assert_int_equal(kind->from_pc_when->op, CS_COND_TRUE);
    assert_int_equal(line_of(cs_mapping_kind(mapping, "plain"), "one")->to_crm.max, 0);

    /* An overlay removes from a kind what that kind gets from another; a mistake is said once, where it stands. */
    put(*state, "unlike.json", "{\"extends\": \"like.json\", \"revision\": \"2\", \"records\": {\"big\": {\"lines\": {\"one\": null}}, \"services\": {\"lines\": {\"two\": "
                               "{\"crm\": \"two\"}}}}}");
    mapping = good(*state, "unlike.json");
    assert_null(line_of(cs_mapping_kind(mapping, "big"), "one"));
    assert_null(line_of(cs_mapping_kind(mapping, "services"), "one"));
    assert_string_equal(line_of(cs_mapping_kind(mapping, "services"), "two")->pc->text, "/campaignId");
    put(*state, "wrong.json", "{\"extends\": \"like.json\", \"revision\": \"2\",\n\"records\": {\"plain\": {\"lines\": {\"one\": {\"pc\": \"/nmae\"}}}}}");
    said = try(*state, "wrong.json", &mapping);
    assert_has(said, "wrong.json:2:47: /records/plain/lines/one/pc: ");
    assert_has_not(said, "\n");
}

/* ---- metadata ---- */

static cs_mapping_t *changed(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, deal_read(p, "tests/unit/mapping/full-dynamics365.json"));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    for (; changes && changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "m.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static void test_who_wants_metadata(void **state)
{
    apr_pool_t *p = *state;
    cs_mapping_t *base;

    put(p, "base.json", BASE);
    put(p, "told.json", "{\"extends\": \"base.json\", \"revision\": \"2\", \"records\": {\"opportunity\": {\"lines\": {\"two\": {\"max\": 3}}, \"tell\": {\"status\": \"s\"}}}}");
    put(p, "sized.json", "{\"extends\": \"base.json\", \"revision\": \"2\", \"records\": {\"opportunity\": {\"lines\": {\"two\": {\"max\": 3}}}}}");
    base = good(p, "base.json");
    assert_int_equal(cs_mapping_wants_metadata(base), 1); /* a text of unknown length */
    assert_int_equal(cs_mapping_wants_metadata(good(p, "told.json")), 1);
    assert_int_equal(cs_mapping_wants_metadata(good(p, "sized.json")), 0);
    assert_int_equal(cs_mapping_wants_metadata(changed(p, NULL)), 1); /* by label */
    assert_string_equal(apr_array_pstrcat(p, cs_mapping_tables(base), ' '), "opportunity");
}

static const char *metadata_text =
    "{\"language\":1033,\"tables\":{"
    "\"opportunity\":{\"columns\":{\"name\":{\"type\":\"text\",\"max\":120},\"estimatedvalue\":{\"type\":\"money\"},\"transactioncurrencyid\":{\"type\":\"look-up\","
    "\"targets\":[\"transactioncurrency\"]},\"isrevenuesystemcalculated\":{\"type\":\"flag\",\"options\":[{\"value\":0,\"label\":\"No\"},{\"value\":1,\"label\":\"Yes\"}]},"
    "\"estimatedclosedate\":{\"type\":\"text\"},\"description\":{\"type\":\"memo\",\"max\":2000,\"update\":false},"
    "\"msft_howcanmicrosofthelp\":{\"type\":\"choice\",\"options\":[{\"value\":1,\"label\":\"Wertversprechen\",\"labels\":[\"Workload Specific Value Proposition\"]},"
    "{\"value\":2,\"label\":\"customer technical architecture\"},{\"value\":3,\"label\":\"Proof Of Concept Or Demo\"},{\"value\":4,\"label\":\"Quotes Or Licensing\"},"
    "{\"value\":5,\"label\":\"Post Sales Customer Success\"}]},"
    "\"msft_referralvisibility\":{\"type\":\"flag\"},\"parentaccountid\":{\"type\":\"look-up\",\"targets\":[\"account\"]},\"opportunityid\":{\"type\":\"id\"},"
    "\"owningbusinessunit\":{\"type\":\"look-up\",\"targets\":[\"businessunit\"]},\"msft_referralprogram\":{\"type\":\"text\",\"calculated\":true},"
    "\"msft_microsoftcrmidentifier\":{\"type\":\"choice\"},\"msft_referralidentifier\":{\"type\":\"text\",\"update\":false},\"msft_referrallink\":{\"type\":\"text\"},"
    "\"msft_audit\":{\"type\":\"memo\"},\"msft_syncwithpartnercenter\":{\"type\":\"flag\"},\"statecode\":{\"type\":\"choice\",\"options\":[{\"value\":0},{\"value\":1},{\"value\":2}]},"
    "\"statuscode\":{\"type\":\"choice\",\"options\":[{\"value\":1,\"label\":\"In Progress\"},{\"value\":3,\"label\":\"Won\"},{\"value\":4,\"label\":\"Canceled\"}]},"
    "\"ownerid\":{\"type\":\"look-up\",\"targets\":[\"systemuser\",\"team\"]},\"parentcontactid\":{\"type\":\"text\"}}},"
    "\"account\":{\"columns\":{\"name\":{\"type\":\"text\"},\"address1_line1\":{\"type\":\"text\"},\"address1_city\":{\"type\":\"text\"},\"address1_stateorprovince\":{\"type\":\"text\"},"
    "\"address1_postalcode\":{\"type\":\"text\"},\"statecode\":{\"type\":\"choice\",\"options\":[{\"value\":0},{\"value\":1}]},\"accountnumber\":{\"type\":\"text\"}}},"
    "\"transactioncurrency\":{\"columns\":{\"isocurrencycode\":{\"type\":\"text\"}}},"
    "\"systemuser\":{\"columns\":{\"internalemailaddress\":{\"type\":\"text\"},\"isdisabled\":{\"type\":\"flag\",\"options\":[{\"value\":0},{\"value\":1}]},\"firstname\":{\"type\":\"text\"},"
    "\"lastname\":{\"type\":\"text\"}}},"
    "\"contact\":{\"columns\":{\"emailaddress1\":{\"type\":\"text\"},\"firstname\":{\"type\":\"text\"},\"lastname\":{\"type\":\"text\"},\"telephone1\":{\"type\":\"text\"},"
    "\"jobtitle\":{\"type\":\"text\"},\"parentcustomerid\":{\"type\":\"look-up\"}}},"
    "\"msft_microsoftsolution\":{\"columns\":{\"msft_opportunityid\":{\"type\":\"look-up\"}}}"
    "}}";

static void test_what_does_not_fit(void **state)
{
    static const char *const says[] = {
        "/find/solution: the table msft_microsoftsolutiondetail does not exist or cannot be read",
        "/find/account: the table account has no column address1_country",
        "lines/name: \"max\" is 300, and the column name holds 120 characters",
        "lines/close: the column estimatedclosedate is text; allowed here: date, instant",
        "lines/notes: the column description cannot be changed",
        "lines/help: the column msft_howcanmicrosofthelp has no choice \"General Or Other\"; it has: Wertversprechen, customer technical architecture, Proof Of Concept Or Demo, "
        "Quotes Or Licensing, Post Sales Customer Success",
        "lines/country: the table account has no column address1_country",
        "lines/program: the CRM calculates the column msft_referralprogram itself; write \"direction\": \"to_pc\"",
        "lines/msx: the column msft_microsoftcrmidentifier is choice; allowed here: text, memo, integer, decimal",
        "lists/solutions: the table msft_microsoftsolution has no column msft_solutiondetailid",
        "lists/contacts: the column parentcontactid is text; allowed here: look-up",
        "lists/team: the table systemuser has no column address1_telephone1",
        "state/hear/0/crm: the column statuscode has no choice 2; it has: 1 In Progress, 3 Won, 4 Canceled",
        "state/hear/3/reason: the column statuscode has no choice 5; it has: 1 In Progress, 3 Won, 4 Canceled",
        "state/show/New: the column statuscode has no choice 2; it has: 1 In Progress, 3 Won, 4 Canceled",
        "state/hear/6/reason: the column statuscode has no choice 5; it has: 1 In Progress, 3 Won, 4 Canceled",
        "tell/id: the column msft_referralidentifier cannot be changed",
        "/records/lead: the table lead does not exist or cannot be read",
    };
    const json_t *metadata = deal_json(*state, metadata_text);
    apr_array_header_t *problems;
    cs_mapping_t *mapping;
    cs_result_t res;
    const char *all;
    size_t i;

    assert_ok(cs_mapping_load(&mapping, "tests/unit/mapping/full-dynamics365.json", cs_crm_facts_of("dynamics365"), NULL, *state, &res));
    problems = cs_mapping_compare(mapping, metadata, *state);
    all = apr_array_pstrcat(*state, problems, '\n');
    for (i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        assert_has(all, says[i]);
    }
    if (problems->nelts != (int)(sizeof(says) / sizeof(says[0]))) {
        fail_msg("%s", all);
    }
    assert_has(all, "tests/unit/mapping/full-dynamics365.json:136:18: /records/opportunity/lines/close: ");
}

static void test_what_fits(void **state)
{
    cs_mapping_t *mapping;
    const json_t *metadata = deal_json(*state, "{\"tables\":{\"opportunity\":{\"columns\":{\"acme_a\":{\"type\":\"text\",\"max\":5},\"acme_b\":{\"type\":\"memo\"},"
                                               "\"statecode\":{\"type\":\"choice\"}}}}}");

    put(*state, "base.json", BASE);
    mapping = good(*state, "base.json");
    assert_int_equal(cs_mapping_compare(mapping, metadata, *state)->nelts, 0);
    assert_has(APR_ARRAY_IDX(cs_mapping_compare(mapping, deal_json(*state, "{}"), *state), 0, const char *), "the table opportunity does not exist or cannot be read");
    assert_has(APR_ARRAY_IDX(cs_mapping_compare(mapping, NULL, *state), 0, const char *), "the table opportunity does not exist");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_the_example),
        UNIT_TEST(test_members_are_merged),
        UNIT_TEST(test_several_levels),
        UNIT_TEST(test_places),
        UNIT_TEST(test_place_of_a_wrong_name),
        UNIT_TEST(test_a_file_of_the_same_name),
        UNIT_TEST(test_like),
        UNIT_TEST(test_who_wants_metadata),
        UNIT_TEST(test_what_does_not_fit),
        UNIT_TEST(test_what_fits),
    };

    return UNIT_RUN(tests);
}
