/* The loader and conf/mapping.schema.json know the same members, place by place: what one of them allows the other one understands. */
#include "mod_cosell/remote/dynamics/dynamics.h"
#include "mod_cosell/remote/salesforce/salesforce.h"
#include "unit_deal.h"

#define PROFILE "conf/mapping/dynamics365.json"
#define SALESFORCE "conf/mapping/salesforce.json"
#define SCHEMA "conf/mapping.schema.json"
#define RECORD "/records/opportunity"
#define LISTS RECORD "/lists"

typedef struct place_t {
    const char *at;     /* an object of the mapping */
    const char *schema; /* what the schema says of it */
    const char *other;  /* stands there instead; NULL = what the profile has */
} place_t;

static const place_t places[] = {
    { "", "", NULL },
    { "/values/help", "/$defs/values", NULL },
    { "/values/help/else", "/$defs/values/properties/else", NULL },
    { "/find/account", "/$defs/find", NULL },
    { RECORD, "/$defs/record", NULL },
    { RECORD "/key", "/$defs/record/properties/key/anyOf/1", "{}" },
    { RECORD "/from_pc", "/$defs/record/properties/from_pc", NULL },
    { RECORD "/from_pc/owner", "/$defs/record/properties/from_pc/properties/owner", NULL },
    { RECORD "/from_crm", "/$defs/record/properties/from_crm", NULL },
    { RECORD "/match", "/$defs/record/properties/match", NULL },
    { "/records/lead/becomes", "/$defs/record/properties/becomes", NULL },
    { RECORD "/state", "/$defs/record/properties/state", NULL },
    { RECORD "/state/hear/0", "/$defs/hear", NULL },
    { RECORD "/state/hear/3/reason", "/$defs/hear/properties/reason", NULL },
    { RECORD "/state/show/New", "/$defs/show", NULL },
    { RECORD "/lines/notes", "/$defs/line", NULL },
    { RECORD "/lines/notes/to_pc", "/$defs/way", "{}" },
    { RECORD "/lines/notes/to_crm", "/$defs/way", "{}" },
    { RECORD "/lines/value/pc", "/$defs/line/properties/pc/anyOf/1", NULL },
    { RECORD "/lines/value/crm", "/$defs/line/properties/crm/anyOf/2", NULL },
    { LISTS "/solutions", "/$defs/list", NULL },
    { LISTS "/solutions/crm", "/$defs/list/properties/crm", NULL },
    { RECORD "/tell", "/$defs/record/properties/tell", NULL },
    { RECORD "/tell/status", "/$defs/told/anyOf/1", "{\"column\":\"acme_status\"}" },
    { RECORD "/tell/link", "/$defs/linked", NULL },
    { RECORD "/tell/explain", "/$defs/linked", "{\"column\":\"acme_explain\"}" },
    { RECORD "/tell/audit", "/$defs/record/properties/tell/properties/audit/anyOf/1", NULL },
    { RECORD "/tell/mark", "/$defs/record/properties/tell/properties/mark", NULL },
};

/* What only rows whose ids the CRM gives, and a CRM of one currency, bring. */
static const place_t other_places[] = {
    { "", "", NULL },
    { "/find/account", "/$defs/find", NULL },
    { RECORD, "/$defs/record", NULL },
    { RECORD "/from_pc/set/RecordTypeId", "/$defs/set/additionalProperties/anyOf/3", "{\"record_type\":\"Services\"}" },
    { RECORD "/state/hear/3/reason", "/$defs/hear/properties/reason", NULL },
    { RECORD "/lines/value/crm", "/$defs/line/properties/crm/anyOf/2", NULL },
    { RECORD "/lines/value/crm/currency", "/$defs/line/properties/crm/anyOf/2/properties/currency/anyOf/1", "{\"const\":\"USD\"}" },
    { LISTS "/solutions/crm", "/$defs/list/properties/crm", NULL },
    { "/records/lead/tell", "/$defs/record/properties/tell", NULL },
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *sorted(apr_array_header_t *names, apr_pool_t *p)
{
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_name);
    return apr_array_pstrcat(p, names, ' ');
}

static const char *schema_members(const json_t *schema, const char *pointer, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 8, sizeof(const char *));
    const json_t *at = *pointer ? cs_json_pointer((json_t *)schema, pointer) : schema;
    const json_t *properties = cs_json_get(at, "properties");
    const char *name;
    json_t *value;

    if (!json_is_object(properties)) {
        fail_msg("the schema has nothing at %s", pointer);
    }
    if (!json_is_false(cs_json_get(at, "additionalProperties"))) {
        fail_msg("the schema takes anything at %s", pointer);
    }
    json_object_foreach((json_t *)properties, name, value) {
        if (strcmp(name, "$comment")) {
            APR_ARRAY_PUSH(names, const char *) = name;
        }
    }
    return sorted(names, p);
}

/* Sets a member of an object that may lie in an array. */
static void put(json_t *root, const char *pointer, const json_t *value, apr_pool_t *p)
{
    const char *slash = strrchr(pointer, '/'), *at = apr_pstrmemdup(p, pointer, (apr_size_t)(slash - pointer));
    json_t *object = *at ? cs_json_pointer(root, at) : root;

    assert_true(json_is_object(object));
    assert_int_equal(json_object_set(object, slash + 1, (json_t *)value), 0);
}

/* What the loader names as allowed where it meets a member that nobody knows. */
static const char *loader_members(const place_t *place, const char *profile, const cs_crm_facts_t *facts, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, 8, sizeof(const char *)), *errors;
    json_t *root = deal_json(p, deal_read(p, profile));
    const char *text, *said = NULL, *at = apr_pstrcat(p, place->at, "/zzz: unknown member", NULL);
    char *allowed, *last = NULL, *name;
    cs_mapping_t *mapping;
    cs_result_t res;
    int i;

    if (place->other) {
        put(root, place->at, deal_json(p, place->other), p);
    }
    put(root, apr_pstrcat(p, place->at, "/zzz", NULL), deal_json(p, "true"), p);
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    assert_int_not_equal(cs_mapping_parse(&mapping, text, strlen(text), profile, facts, &errors, p, &res), APR_SUCCESS);
    for (i = 0; i < errors->nelts && !said; i++) {
        said = strstr(APR_ARRAY_IDX(errors, i, const char *), at) ? strstr(APR_ARRAY_IDX(errors, i, const char *), "allowed: ") : NULL;
    }
    if (!said) {
        fail_msg("%s takes anything, or the place is wrong: %s", place->at, apr_array_pstrcat(p, errors, '\n'));
    }
    allowed = apr_pstrdup(p, said + strlen("allowed: "));
    for (name = apr_strtok(allowed, ", ", &last); name; name = apr_strtok(NULL, ", ", &last)) {
        APR_ARRAY_PUSH(names, const char *) = name;
    }
    return sorted(names, p);
}

static void members(const place_t *all, size_t n, const char *profile, const cs_crm_facts_t *facts, apr_pool_t *p)
{
    const json_t *schema = deal_json(p, deal_read(p, SCHEMA));
    int bad = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        const char *loader = loader_members(&all[i], profile, facts, p), *says = schema_members(schema, all[i].schema, p);

        if (strcmp(loader, says)) {
            print_error("%s\n  schema: %s\n  loader: %s\n", all[i].at, says, loader);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

static void test_members(void **state)
{
    members(places, sizeof(places) / sizeof(places[0]), PROFILE, &cs_dynamics_facts, *state);
    members(other_places, sizeof(other_places) / sizeof(other_places[0]), SALESFORCE, &cs_salesforce_facts, *state);
}

/* Where a word is one of a few: each word of the schema is taken, and none besides. */
static const place_t words[] = {
    { RECORD "/lines/notes/direction", "/$defs/line/properties/direction", NULL },
    { RECORD "/lines/notes/conflict", "/$defs/line/properties/conflict", NULL },
    { RECORD "/lines/notes/introduce", "/$defs/line/properties/introduce", NULL },
    { RECORD "/lines/notes/cut", "/$defs/line/properties/cut", NULL },
    { RECORD "/lines/notes/type", "/$defs/line/properties/type", NULL },
    { RECORD "/lines/value/zero", "/$defs/line/properties/zero", NULL },
    { LISTS "/solutions/conflict", "/$defs/list/properties/conflict", NULL },
    { LISTS "/solutions/direction", "/$defs/list/properties/direction", NULL },
    { LISTS "/solutions/to_crm", "/$defs/list/properties/to_crm", NULL },
    { RECORD "/from_crm/opt_out", "/$defs/record/properties/from_crm/properties/opt_out", NULL },
    { RECORD "/from_crm/gone", "/$defs/record/properties/from_crm/properties/gone", NULL },
    { RECORD "/match/then", "/$defs/record/properties/match/properties/then", NULL },
    { "/records/lead/becomes/on_accept_in_pc", "/$defs/record/properties/becomes/properties/on_accept_in_pc", NULL },
    { "/find/account/none", "/$defs/find/properties/none", NULL },
    { "/find/account/several", "/$defs/find/properties/several", NULL },
    { "/values/help/match_by", "/$defs/values/properties/match_by", NULL },
    { RECORD "/state/hear/0/do", "/$defs/actions", NULL },
};

/* The mistakes at the place itself that call it a word nobody knows, or "". */
static const char *mistakes(const char *at, const char *word, apr_pool_t *p)
{
    json_t *root = deal_json(p, deal_read(p, PROFILE));
    const char *text, *out = "", *place = apr_pstrcat(p, ": ", at, NULL);
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;
    int i;

    put(root, at, cs_json_own(json_string(word), p), p);
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    cs_mapping_parse(&mapping, text, strlen(text), PROFILE, &cs_dynamics_facts, &errors, p, &res);
    for (i = 0; i < errors->nelts; i++) {
        const char *error = APR_ARRAY_IDX(errors, i, const char *);

        if (strstr(error, place) && strstr(error, "allowed: ") && (strstr(error, "is not known here") || strstr(error, "is no "))) {
            out = apr_pstrcat(p, out, error, "\n", NULL);
        }
    }
    return out;
}

static void test_words(void **state)
{
    const json_t *schema = deal_json(*state, deal_read(*state, SCHEMA)), *all;
    size_t i, j;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        all = cs_json_get(cs_json_pointer((json_t *)schema, words[i].schema), "enum");
        assert_true(json_array_size(all) > 0);
        for (j = 0; j < json_array_size(all); j++) {
            const char *word = json_string_value(json_array_get(all, j));
            const char *said = word ? mistakes(words[i].at, word, *state) : "";

            if (*said) {
                fail_msg("the schema allows %s at %s: %s", word, words[i].at, said);
            }
        }
        if (!*mistakes(words[i].at, "zzz", *state)) {
            fail_msg("any word is taken at %s", words[i].at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_members),
        UNIT_TEST(test_words),
    };

    return UNIT_RUN(tests);
}
