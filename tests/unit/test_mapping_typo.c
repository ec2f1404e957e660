/* What the loader says about names that are nearly others. */
#include "unit_deal.h"

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/domain/mapping_typo.h"

static void put(apr_pool_t *p, const char *name, const char *text)
{
    FILE *f = fopen(unit_path(p, name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* All mistakes without the directory, or "". */
static const char *try(apr_pool_t *p, const char *name)
{
    const char *path = unit_path(p, name), *dir = apr_pstrmemdup(p, path, strlen(path) - strlen(name));
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;
    char *out, *at;

    memset(&res, 0, sizeof(res));
    cs_mapping_load(&mapping, path, cs_crm_facts_of("dynamics365"), &errors, p, &res);
    out = apr_array_pstrcat(p, errors, '\n');
    while ((at = strstr(out, dir)) != NULL) {
        memmove(at, at + strlen(dir), strlen(at + strlen(dir)) + 1);
    }
    return out;
}

#define BASE                                                                                                                                     \
    "{\"crm\": \"dynamics365\", \"revision\": \"1\", \"names\": {\"problem\": \"acme_p\", \"status\": \"acme_s\"},\n"                             \
    "  \"records\": {\"opportunity\": {\"table\": \"opportunity\", \"from_pc\": {\"when\": true}, \"tell\": {\"problem\": \"@problem\", \"status\": \"@status\"},\n" \
    "    \"lines\": {\"notes\": {\"pc\": \"/details/notes\", \"crm\": \"description\"}}},\n"                                                    \
    "   \"lead\": {\"like\": \"opportunity\", \"table\": \"lead\", \"from_pc\": {\"when\": {\"pc\": \"$kind\", \"is\": \"qualified-lead\"}}}}}\n"

static const char *over(apr_pool_t *p, const char *rest)
{
    put(p, "dynamics365.json", BASE);
    put(p, "over.json", apr_pstrcat(p, "{\"extends\": \"dynamics365.json\", \"revision\": \"2\",\n", rest, "}\n", NULL));
    return try(p, "over.json");
}

static void test_hint(void **state)
{
    apr_array_header_t *known = apr_array_make(*state, 4, sizeof(const char *));

    APR_ARRAY_PUSH(known, const char *) = "notes";
    APR_ARRAY_PUSH(known, const char *) = "note2";
    APR_ARRAY_PUSH(known, const char *) = "ab";
    assert_string_equal(cs_typo_hint("ntoes", known, *state), " (did you mean \"notes\"?)");
    assert_string_equal(cs_typo_hint("note", known, *state), " (did you mean \"notes\"?)");
    assert_string_equal(cs_typo_hint("nt2", known, *state), " (did you mean \"note2\"?)");
    assert_string_equal(cs_typo_hint("not", known, *state), " (did you mean \"notes\"?)");
    assert_string_equal(cs_typo_hint("no", known, *state), "");
    assert_string_equal(cs_typo_hint("xy", known, *state), "");
    assert_string_equal(cs_typo_hint("", known, *state), "");
    assert_string_equal(cs_typo_hint(apr_psprintf(*state, "%0100d", 5), known, *state), "");
}

static void test_line(void **state)
{
    assert_string_equal(over(*state, "\"records\": {\"opportunity\": {\"lines\": {\"notes\": {\"enabled\": false}, \"$comment\": {}}},\n"
                                     "\"lead\": {\"lines\": {\"notes\": {\"enabled\": false}}}}"),
                        "");
    assert_string_equal(over(*state, "\"records\": {\"opportunity\": {\"lines\": {\n  \"note\": {\"enabled\": false},\n  \"zone\": {\"pc\": \"/campaignId\"},\n"
                                     "  \"fixed\": {\"crm\": \"acme_fixed\", \"const\": \"x\", \"direction\": \"to_crm\"},\n"
                                     "  \"more\": {\"pc\": \"/salesStage\", \"crm\": \"acme_stage\", \"direction\": \"to_crm\"}}},\n"
                                     "\"lead\": {\"lines\": {\"nots\": {\"direction\": \"to_crm\"}}}}"),
                        "over.json:3:11: /records/opportunity/lines/note: \"note\" is no line of dynamics365.json (did you mean \"notes\"?); a new line needs \"pc\" and "
                        "\"crm\"\n"
                        "over.json:4:11: /records/opportunity/lines/zone: \"zone\" is no line of dynamics365.json; a new line needs \"pc\" and \"crm\"\n"
                        "over.json:7:28: /records/lead/lines/nots: \"nots\" is no line of dynamics365.json (did you mean \"notes\"?); a new line needs \"pc\" and "
                        "\"crm\"");
}

static void test_kind(void **state)
{
    assert_string_equal(over(*state, "\"records\": {\"oportunity\": {\"lines\": {\"notes\": {\"enabled\": false}}}}"),
                        "over.json:2:27: /records/oportunity: \"oportunity\" is no record kind of dynamics365.json (did you mean \"opportunity\"?); a new one needs \"table\" "
                        "or \"like\"");
    assert_string_equal(over(*state, "\"records\": {\"deal\": {\"like\": \"opportunity\", \"table\": \"acme_deal\", \"lines\": {\"notes\": {\"enabled\": false}}}}"), "");
}

static void test_names(void **state)
{
    assert_string_equal(over(*state, "\"names\": {\"problem\": null, \"status\": \"acme_other\", \"$comment\": \"x\"}"), "");
    assert_string_equal(over(*state, "\"names\": {\n  \"problme\": \"acme_x\",\n  \"anything\": null}"),
                        "over.json:3:14: /names/problme: nothing uses \"@problme\" (did you mean \"problem\"?)\n"
                        "over.json:4:15: /names/anything: nothing uses \"@anything\"");
    /* What the overlay switches off leaves the profile's name without a use, and says so no less. */
    assert_string_equal(over(*state, "\"names\": {\"problem\": \"acme_x\"}, \"records\": {\"opportunity\": {\"tell\": null}}"), "");
    assert_string_equal(over(*state, "\"names\": {\"mine\": \"acme_mine\"}, \"records\": {\"opportunity\": {\"lines\": {\"more\": {\"pc\": \"/salesStage\", \"crm\": \"@mine\", "
                                     "\"direction\": \"to_crm\"}}}}"),
                        "");
}

static void test_path(void **state)
{
    assert_string_equal(cs_typo_path("/details/nots", *state),
                        " (did you mean \"notes\"?); allowed in /details: notes, dealValue, currency, closingDateTime, customerRequestedContact, customerAction, "
                        "incentiveLevel, requirements");
    assert_string_equal(cs_typo_path("/inviteContext/invitedBy/name/first", *state), "; allowed in /inviteContext/invitedBy: organizationId, organizationName");
    assert_string_equal(cs_typo_path("/inviteContext/invitedBy", *state), "; allowed in /inviteContext/invitedBy: organizationId, organizationName");
    assert_has(cs_typo_path("/detials/notes", *state), " (did you mean \"details\"?); allowed: id, engagementId, name, ");
    assert_has(cs_typo_path("/nmae", *state), " (did you mean \"name\"?); allowed: id, ");
}

static void test_file(void **state)
{
    put(*state, "bad.json", "{\"revision\": \"1\",\n  \"crm\"\n}\n");
    assert_string_equal(try(*state, "bad.json"), "bad.json:3:1: ':' expected near '}'");
    put(*state, "empty.json", "");
    assert_string_equal(try(*state, "empty.json"), "empty.json:1:1: the text is empty");
    put(*state, "lone.json", "{\"revision\": \"1\", \"records\": {\"a\": {\"table\": \"a\"}}}");
    assert_string_equal(try(*state, "lone.json"), "lone.json:1:1: /: \"crm\" is missing; allowed: \"dynamics365\"; an overlay begins with \"extends\": \"dynamics365.json\"");
    put(*state, "own.json", "{\"revision\": \"1\", \"extends\": \"own.json\"}");
    assert_string_equal(try(*state, "own.json"), "own.json:1:30: /extends: own.json would extend itself, for there is no other in " CS_MAPPING_DIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_hint),
        UNIT_TEST(test_line),
        UNIT_TEST(test_kind),
        UNIT_TEST(test_names),
        UNIT_TEST(test_path),
        UNIT_TEST(test_file),
    };

    return UNIT_RUN(tests);
}
