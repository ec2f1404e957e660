/* The loader of mappings: what it refuses, by exact message, and what it makes of the rest. */
#include "unit_deal.h"

#include <apr_file_info.h>

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/domain/country.h"
#include "mod_cosell/domain/mapping_internal.h"

#define WRONG "tests/unit/mapping/wrong"
#define FULL "tests/unit/mapping/full-dynamics365.json"
#define KIND "/records/opportunity/"

static cs_mapping_t *load(apr_pool_t *p, const char *path)
{
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    if (cs_mapping_load(&mapping, path, cs_crm_facts_of("dynamics365"), &errors, p, &res) != APR_SUCCESS) {
        fail_msg("%s", apr_array_pstrcat(p, errors, '\n'));
    }
    return mapping;
}

/* The full example with changes; a value NULL removes. */
static cs_mapping_t *changed(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, deal_read(p, FULL));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    for (; changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "m.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static const char *without(apr_pool_t *p, const char *text, const char *piece)
{
    char *out = apr_pstrdup(p, text), *at;

    while ((at = strstr(out, piece)) != NULL) {
        memmove(at, at + strlen(piece), strlen(at + strlen(piece)) + 1);
    }
    return out;
}

/* Each file in mapping/wrong lists its own mistakes under "$comment". */
static void check_wrong(apr_pool_t *p, const char *name)
{
    const char *path = apr_pstrcat(p, WRONG "/", name, NULL);
    json_t *expected = cs_json_get(deal_json(p, deal_read(p, path)), "$comment");
    apr_array_header_t *errors;
    cs_mapping_t *mapping;
    cs_result_t res;
    int i;

    memset(&res, 0, sizeof(res));
    assert_int_equal(cs_mapping_load(&mapping, path, cs_crm_facts_of("dynamics365"), &errors, p, &res), CS_EPARSE);
    assert_null(mapping);
    assert_string_equal(res.detail, APR_ARRAY_IDX(errors, 0, const char *));
    for (i = 0; i < errors->nelts; i++) {
        const char *wanted = json_string_value(json_array_get(expected, (size_t)i));
        const char *said = without(p, APR_ARRAY_IDX(errors, i, const char *), WRONG "/");

        if (!wanted || strcmp(wanted, said)) {
            fail_msg("%s\nsaid:     %s\nexpected: %s", path, said, wanted ? wanted : "nothing more");
        }
    }
    assert_int_equal(errors->nelts, json_array_size(expected));
}

static void test_mistakes(void **state)
{
    apr_dir_t *dir;
    apr_finfo_t info;
    int n = 0;

    assert_ok(apr_dir_open(&dir, WRONG, *state));
    while (apr_dir_read(&info, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        size_t len = strlen(info.name);

        if (len > 5 && !strcmp(info.name + len - 5, ".json")) {
            check_wrong(*state, info.name);
            n++;
        }
    }
    apr_dir_close(dir);
    assert_true(n >= 12);
}

/* ---- lists ---- */

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

static const char *joined(apr_pool_t *p, const apr_array_header_t *texts)
{
    return apr_array_pstrcat(p, texts, ' ');
}

static int reads(const cs_mapping_kind_t *kind, const char *column)
{
    int i;

    for (i = 0; i < kind->columns->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(kind->columns, i, const char *), column)) {
            return 1;
        }
    }
    return 0;
}

static const char *target_of(const cs_mapping_kind_t *kind, const char *column)
{
    int i;

    for (i = 0; i < kind->lookups->nelts; i++) {
        const cs_mapping_lookup_t *l = &APR_ARRAY_IDX(kind->lookups, i, cs_mapping_lookup_t);

        if (!strcmp(l->column, column)) {
            return l->table;
        }
    }
    return NULL;
}

static void test_lists(void **state)
{
    const cs_mapping_kind_t *kind = cs_mapping_kind(load(*state, FULL), "opportunity");
    const cs_list_t *solutions = list_of(kind, "solutions"), *contacts = list_of(kind, "contacts"), *team = list_of(kind, "team");
    const apr_array_header_t *related = cs_mapping_related(kind);
    const cs_related_t *r;

    assert_int_equal(solutions->shape, CS_LIST_CHILD);
    assert_string_equal(solutions->table, "msft_microsoftsolution");
    assert_string_equal(solutions->parent, "msft_opportunityid");
    assert_string_equal(solutions->column->name, "msft_solutiondetailid");
    assert_string_equal(solutions->find->name, "solution");
    assert_string_equal(solutions->key, "id");
    assert_string_equal(solutions->key_column, "msft_solutionidentifier");
    assert_int_equal(solutions->min, 1);
    assert_int_equal(solutions->max, 50);
    assert_string_equal(cs_json_str(solutions->set, "type"), "Name");
    assert_true(solutions->to_crm && solutions->to_pc && !solutions->to_crm_add_only);

    assert_int_equal(contacts->shape, CS_LIST_COLUMN);
    assert_string_equal(contacts->column->name, "parentcontactid");
    assert_int_equal(contacts->item->nelts, 5);
    assert_string_equal(APR_ARRAY_IDX(contacts->item, 0, cs_member_column_t).member, "firstName");
    assert_int_equal(contacts->required->nelts, 4);
    assert_int_equal(cs_json_int(contacts->min_by_kind, "co-sell", 0), 1);

    assert_int_equal(team->shape, CS_LIST_USERS);
    assert_int_equal(team->users->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(team->users, 0, cs_list_users_t).column, "ownerid");
    assert_string_equal(APR_ARRAY_IDX(team->users, 1, cs_list_users_t).team, "Opportunity Sales Team");
    assert_int_equal(team->to_crm_add_only, 1);
    assert_int_equal(team->to_pc_add_only, 0);

    assert_int_equal(related->nelts, 3);
    r = &APR_ARRAY_IDX(related, 0, cs_related_t);
    assert_string_equal(r->list, "solutions");
    assert_string_equal(r->table, "msft_microsoftsolution");
    assert_string_equal(r->parent, "msft_opportunityid");
    assert_string_equal(joined(*state, r->columns), "msft_solutiondetailid/msft_solutionidentifier msft_solutiondetailid");
    r = &APR_ARRAY_IDX(related, 1, cs_related_t);
    assert_null(r->table);
    assert_string_equal(r->team, "Opportunity Sales Team");
    assert_string_equal(joined(*state, r->columns), "internalemailaddress firstname lastname address1_telephone1");
    assert_null(r->closed);
    /* what a reason's text is taken from: no list, and only of closed records */
    r = &APR_ARRAY_IDX(related, 2, cs_related_t);
    assert_string_equal(r->list, "@close");
    assert_string_equal(r->table, "opportunityclose");
    assert_string_equal(r->parent, "opportunityid");
    assert_string_equal(r->closed, "statecode");
    assert_string_equal(joined(*state, r->columns), "createdon description");
    assert_int_equal(kind->lists->nelts, 3);

    assert_true(reads(kind, "parentcontactid/emailaddress1"));
    assert_true(reads(kind, "parentcontactid/jobtitle"));
    assert_true(reads(kind, "ownerid/internalemailaddress"));
    assert_string_equal(target_of(kind, "parentcontactid"), "contact");
    assert_string_equal(target_of(kind, "ownerid"), "systemuser");
    assert_string_equal(target_of(kind, "msft_opportunityid"), "opportunity");
    assert_string_equal(target_of(kind, "msft_solutiondetailid"), "msft_microsoftsolutiondetail");
}

static void test_rows_with_their_own_columns(void **state)
{
    static const char *const changes[] = {
        KIND "lists/solutions", "{\"pc\":\"/details/requirements/solutions\",\"key\":\"id\",\"crm\":{\"child\":\"acme_row\",\"parent\":\"acme_deal\","
                                "\"where\":{\"acme_kind\":1},\"fields\":{\"name\":\"acme_name\",\"id\":\"acme_id\"}}}",
        KIND "lists/team",
        "{\"pc\":\"/team\",\"key\":\"email\",\"direction\":\"to_crm\",\"when\":{\"crm\":\"acme_flag\",\"is\":true},\"crm\":{\"find\":\"user\",\"users\":[\"ownerid\","
        "{\"child\":\"acme_member\",\"parent\":\"acme_deal\",\"column\":\"acme_user\",\"set\":{\"acme_role\":\"Co-sell\"}}]},\"item\":{\"title\":\"title\"}}",
        NULL
    };
    const cs_mapping_kind_t *kind = cs_mapping_kind(changed(*state, changes), "opportunity");
    const cs_related_t *r = &APR_ARRAY_IDX(cs_mapping_related(kind), 0, cs_related_t);

    assert_string_equal(list_of(kind, "solutions")->key_column, "acme_id");
    assert_string_equal(joined(*state, r->columns), "acme_id acme_name");
    assert_int_equal(cs_json_int(r->where, "acme_kind", 0), 1);
    r = &APR_ARRAY_IDX(cs_mapping_related(kind), 1, cs_related_t);
    assert_string_equal(r->table, "acme_member");
    assert_null(r->team);
    assert_string_equal(joined(*state, r->columns), "acme_user/internalemailaddress acme_user acme_user/title");
    assert_string_equal(cs_json_str(APR_ARRAY_IDX(list_of(kind, "team")->users, 1, cs_list_users_t).set, "acme_role"), "Co-sell");
    assert_int_equal(list_of(kind, "team")->to_pc, 0);
    assert_true(reads(kind, "acme_flag"));
}

static void test_null_names_switch_off(void **state)
{
    static const char *const changes[] = {
        "/names/rows", "null", "/names/title", "null", "/names/mail", "null", "/names/template", "null",
        KIND "lists/solutions/crm/child", "\"@rows\"",
        KIND "lists/contacts/item/title", "\"@title\"",
        KIND "lists/team/crm/users", "[\"ownerid\",{\"record_team\":\"@template\"}]",
        "/find/gone", "{\"table\":\"gone\",\"by\":[{\"@mail\":\"/name\"}]}",
        "/find/near", "{\"table\":\"near\",\"by\":[{\"name\":\"/name\"}],\"within\":{\"up\":\"gone\"}}",
        KIND "lines/near", "{\"crm\":\"near\",\"find\":\"near\",\"direction\":\"to_crm\",\"events\":[\"create\"]}",
        KIND "match/by", "[{\"near\":\"near\"},{\"name\":\"/name\"}]",
        NULL
    };
    const cs_mapping_kind_t *kind = cs_mapping_kind(changed(*state, changes), "opportunity");

    assert_int_equal(list_of(kind, "solutions")->off, 1);
    assert_string_equal(list_of(kind, "solutions")->off_why, "@rows is null in \"names\"");
    assert_int_equal(list_of(kind, "contacts")->off, 0);
    assert_int_equal(list_of(kind, "contacts")->item->nelts, 4);
    assert_int_equal(list_of(kind, "team")->users->nelts, 1);
    assert_int_equal(cs_mapping_related(kind)->nelts, 1); /* what was typed when it was closed */
    assert_int_equal(line_of(kind, "near")->off, 1);
    assert_string_equal(line_of(kind, "near")->off_why, "@mail is null in \"names\"");
    assert_int_equal(kind->match->by->nelts, 1);
    assert_false(reads(kind, "near"));
}

/* ---- lines ---- */

static void test_lines(void **state)
{
    static const char *const changes[] = {
        "/names/none", "null",
        KIND "lines/where", "{\"pc\":\"/customerProfile/address/region\",\"crm\":[\"@none\",\"acme_one\",\"parentaccountid/acme_two\"],\"type\":\"country\","
                            "\"direction\":\"to_pc\",\"events\":[\"create\"]}",
        KIND "lines/first", "{\"pc\":\"/team[first]/email\",\"crm\":\"acme_mail\",\"direction\":\"to_crm\",\"group\":\"people\",\"introduce\":\"keep\","
                            "\"to_crm\":{\"max\":10,\"cut\":\"plain\",\"required\":true,\"when\":{\"pc\":\"microsoft:/status\",\"is\":\"Active\"}}}",
        NULL
    };
    const cs_mapping_kind_t *kind = cs_mapping_kind(changed(*state, changes), "opportunity");
    const cs_line_t *line = line_of(kind, "where");

    assert_int_equal(line->type, CS_TYPE_COUNTRY);
    assert_string_equal(line->crm->text, "acme_one");
    assert_int_equal(line->crm_more->nelts, 1);
    assert_true(reads(kind, "acme_one") && reads(kind, "parentaccountid/acme_two"));
    line = line_of(kind, "first");
    assert_int_equal(APR_ARRAY_IDX(line->pc->steps, 0, cs_pc_step_t).first, 1);
    assert_string_equal(line->pc->bare, "/team/email");
    assert_int_equal(line->pc->selects, 1);
    assert_string_equal(line->group, "people");
    assert_int_equal(line->introduce, CS_INTRODUCE_KEEP);
    assert_int_equal(line->to_crm.max, 10);
    assert_int_equal(line->to_crm.cut, CS_CUT_PLAIN);
    assert_int_equal(line->to_crm.required, 1);
    assert_int_equal(line->to_crm.when->pc->root, CS_ROOT_MICROSOFT);
    line = line_of(kind, "notes");
    assert_int_equal(line->to_crm.cut, CS_CUT_PROTECT);
    line = line_of(kind, "help");
    assert_int_equal(line->latch, 1);
    assert_int_equal(line->pc->root, CS_ROOT_INVITE);
    assert_string_equal(line->pc->bare, "/inviteContext/assistanceRequestCode");
    assert_int_equal(line->values->by_label, 1);
    assert_true(line->to_pc.on && line->to_crm.on);
    line = line_of(kind, "msx");
    assert_int_equal(line->pc->root, CS_ROOT_MICROSOFT);
    assert_string_equal(line->pc->text, "microsoft:/trackingInfo/microsoftMsxId");
}

static void test_roles_and_tables(void **state)
{
    static const char *const changes[] = { KIND "tell/mark/enabled", "true", "/names/synced", "\"acme_synced\"", "/names/explain", "\"acme_explain\"", NULL };
    cs_mapping_t *mapping = changed(*state, changes);
    const cs_mapping_kind_t *kind = cs_mapping_kind(mapping, "opportunity"), *lead = cs_mapping_kind(mapping, "lead");
    const cs_find_part_t *part;
    const cs_hear_t *lose;
    const char *via;

    assert_string_equal(kind->owner->column, "ownerid");
    assert_string_equal(kind->owner->find->name, "user");
    assert_string_equal(kind->owner->each->bare, "/team");
    assert_null(kind->owner->otherwise);
    part = &APR_ARRAY_IDX(APR_ARRAY_IDX(kind->match->by, 0, apr_array_header_t *), 1, cs_find_part_t);
    assert_string_equal(part->found, "account");
    assert_string_equal(part->column, "parentaccountid");
    assert_ptr_equal(cs_mapping_becomes(lead, &via), kind);
    assert_string_equal(via, "qualifyingopportunityid");
    assert_int_equal(lead->becomes->qualify, 1);
    assert_true(reads(lead, via));
    assert_string_equal(target_of(lead, via), "opportunity");
    assert_null(cs_mapping_becomes(kind, &via));
    lose = &APR_ARRAY_IDX(kind->hear, 6, cs_hear_t);
    assert_string_equal(lose->note->name, "@close");
    assert_string_equal(lose->note->of, "description");
    assert_false(reads(kind, "@close/description"));
    assert_string_equal(kind->tell.mark, "name");
    assert_string_equal(kind->tell.mark_ok, "\xE2\x9C\x94 ");
    assert_string_equal(kind->tell.synced, "acme_synced");
    assert_string_equal(kind->tell.explain, "acme_explain");
    assert_null(kind->tell.explain_text);
    assert_true(reads(kind, "acme_synced") && reads(kind, "acme_explain"));
    assert_string_equal(joined(*state, cs_mapping_tables(mapping)),
                        "account contact lead msft_microsoftsolution msft_microsoftsolutiondetail opportunity systemuser transactioncurrency");
}

static void test_leads(void **state)
{
    static const struct {
        const char *when;
        int leads;
    } cases[] = {
        { "true", 0 },
        { "{\"pc\":\"/status\",\"is\":\"New\"}", 0 },
        { "{\"pc\":\"$kind\",\"is\":\"co-sell\"}", 0 },
        { "{\"pc\":\"$kind\",\"is\":\"marketplace-lead\"}", 1 },
        { "{\"pc\":\"$kind\",\"in\":[\"private\",\"qualified-lead\"]}", 1 },
        { "{\"not\":{\"pc\":\"$kind\",\"in\":[\"marketplace-lead\",\"qualified-lead\"]}}", 0 },
        { "{\"all\":[{\"pc\":\"$kind\",\"is\":\"qualified-lead\"},false]}", 0 },
        { "{\"any\":[{\"pc\":\"$kind\",\"is\":\"qualified-lead\"},false]}", 1 },
        { "{\"all\":[{\"pc\":\"$kind\",\"is\":\"qualified-lead\"},{\"pc\":\"/status\",\"is\":\"New\"}]}", 1 },
    };
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const changes[] = { KIND "from_pc/when", cases[i].when, NULL };

        if (cs_mapping_takes_leads(cs_mapping_kind(changed(*state, changes), "opportunity")) != cases[i].leads) {
            fail_msg("%s", cases[i].when);
        }
    }
}

static void test_routing(void **state)
{
    apr_pool_t *p = *state;
    static const char *const seen[] = { KIND "from_pc/when", "{\"any\":[{\"pc\":\"microsoft:/status\",\"is\":\"Active\"},{\"pc\":\"$kind\",\"is\":\"private\"}]}", NULL };
    static const char *const everything[] = { KIND "from_pc/when", "true", NULL };
    cs_mapping_t *mapping = load(p, FULL);
    cs_card_t lead = { .organization_id = "own", .doc = deal_json(p, "{\"type\":\"Independent\",\"qualification\":\"Direct\"}") };
    cs_card_t deal = { .organization_id = "own", .doc = deal_json(p, "{\"type\":\"Shared\",\"qualification\":\"SalesQualified\"}") };
    cs_card_t microsoft = { .organization_id = "msft", .doc = deal_json(p, "{\"status\":\"Active\"}") };
    int is_lead;

    assert_string_equal(cs_mapping_kind_name(cs_mapping_route(mapping, &lead, NULL, "own", &is_lead, p)), "lead");
    assert_int_equal(is_lead, 1);
    assert_string_equal(cs_mapping_kind_name(cs_mapping_route(mapping, &deal, NULL, "own", &is_lead, p)), "opportunity");
    assert_int_equal(is_lead, 0);
    /* "when": true does not ask for leads. */
    assert_string_equal(cs_mapping_kind_name(cs_mapping_route(changed(p, everything), &lead, NULL, "own", &is_lead, p)), "lead");
    mapping = changed(p, seen);
    assert_string_equal(cs_mapping_kind_name(cs_mapping_route(mapping, &deal, &microsoft, "own", &is_lead, p)), "opportunity");
    json_object_set_new(microsoft.doc, "status", json_string("New"));
    assert_null(cs_mapping_route(mapping, &deal, &microsoft, "own", &is_lead, p));
}

/* ---- damage ---- */

static unsigned next(unsigned *s)
{
    *s = *s * 1103515245u + 12345u;
    return *s >> 12;
}

static json_t *inside(json_t *at, unsigned *s, json_t **pparent, const char **pkey, size_t *pindex)
{
    for (;;) {
        size_t n = json_is_object(at) ? json_object_size(at) : json_array_size(at), i;
        json_t *child;

        if (n == 0) {
            return at;
        }
        i = next(s) % n;
        *pparent = at;
        if (json_is_object(at)) {
            void *iter = json_object_iter(at);

            for (*pindex = i; i > 0; i--) {
                iter = json_object_iter_next(at, iter);
            }
            *pkey = json_object_iter_key(iter);
            child = json_object_iter_value(iter);
        }
        else {
            *pkey = NULL;
            *pindex = i;
            child = json_array_get(at, i);
        }
        if (next(s) % 4 == 0 || !(json_is_object(child) || json_is_array(child))) {
            return child;
        }
        at = child;
    }
}

/* Another part of the same mapping comes where one was: shapes that are right elsewhere. */
static void graft(json_t *root, unsigned *s)
{
    json_t *from = NULL, *to = NULL, *value;
    const char *key;
    size_t index;

    value = json_deep_copy(inside(root, s, &from, &key, &index));
    inside(root, s, &to, &key, &index);
    if (to && key) {
        json_object_set_new(to, key, value);
    }
    else if (to) {
        json_array_set_new(to, index, value);
    }
    else {
        json_decref(value);
    }
}

static void walk(const cs_mapping_t *mapping, const json_t *metadata, apr_pool_t *p)
{
    int i, j, k;

    cs_mapping_wants_metadata(mapping);
    cs_mapping_compare(mapping, metadata, p);
    for (i = 0; i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *kind = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);
        const char *via;

        cs_mapping_becomes(kind, &via);
        for (j = 0; j < cs_mapping_related(kind)->nelts; j++) {
            const cs_related_t *r = &APR_ARRAY_IDX(cs_mapping_related(kind), j, cs_related_t);

            assert_true(r->columns->nelts > 0);
            assert_true((r->table != NULL) != (r->team != NULL));
        }
        for (j = 0; j < kind->lists->nelts; j++) {
            const cs_list_t *list = APR_ARRAY_IDX(kind->lists, j, cs_list_t *);

            assert_true(list->off || (list->pc && list->key && list->key_column));
            assert_true(list->off || list->shape == CS_LIST_CHILD || list->find);
        }
        for (k = 1; k < kind->columns->nelts; k++) {
            assert_true(strcmp(APR_ARRAY_IDX(kind->columns, k - 1, const char *), APR_ARRAY_IDX(kind->columns, k, const char *)) < 0);
        }
    }
}

static void test_grafts(void **state)
{
    const char *cases = getenv("CASES"), *from = getenv("SEED");
    unsigned long count = cases ? strtoul(cases, NULL, 10) / 10 : 2000, n;
    unsigned seed = from ? (unsigned)strtoul(from, NULL, 10) : (unsigned)apr_time_now();
    unsigned refused = 0;
    const char *text = deal_read(*state, FULL);
    apr_pool_t *p;

    printf("test_grafts: CASES=%lu SEED=%u\n", count * 10, seed);
    fflush(stdout);
    apr_pool_create(&p, *state);
    for (n = 0; n < count; n++) {
        json_t *root = deal_json(p, text), *metadata = deal_json(p, "{\"tables\":{\"opportunity\":{\"columns\":{\"name\":{\"type\":\"text\"}}}}}");
        unsigned s = seed + (unsigned)n, i;
        apr_array_header_t *errors;
        cs_mapping_t *mapping;
        cs_result_t res;
        void *exact;
        const char *print;

        for (i = 1 + next(&s) % 2; i > 0; i--) {
            graft(root, &s);
        }
        print = cs_json_print(root, p);
        exact = unit_exact(print, strlen(print));
        memset(&res, 0, sizeof(res));
        cs_mapping_parse(&mapping, exact, strlen(print), "m.json", cs_crm_facts_of("dynamics365"), &errors, p, &res);
        free(exact);
        assert_true((mapping != NULL) == (errors->nelts == 0));
        refused += mapping == NULL;
        if (mapping) {
            walk(mapping, metadata, p);
        }
        apr_pool_clear(p);
    }
    assert_true(refused > count / 2);
    assert_true(refused < count);
}

/* ---- countries ---- */

static void test_countries(void **state)
{
    static const char *const cases[][2] = {
        { "DE", "DE" }, { " de ", "DE" }, { "deu", "DE" }, { "Germany", "DE" }, { "DEUTSCHLAND", "DE" }, { "Federal Republic of Germany", "DE" },
        { "C\xC3\xB4te d'Ivoire", "CI" }, { "C\xC3\x94TE D\xE2\x80\x99IVOIRE", "CI" }, { "Co\xCC\x82te d\x27Ivoire", "CI" }, { "cote divoire", "CI" }, { "Ivory Coast", "CI" },
        { "U.S.A.", "US" }, { "u.s.", "US" }, { "The United States", "US" }, { "United States of America", "US" }, { "UK", "GB" }, { "Great Britain", "GB" },
        { "the Netherlands", "NL" }, { "Trinidad & Tobago", "TT" }, { "Trinidad&Tobago", "TT" }, { "Bosnia & Herzegovina", "BA" }, { "Korea, Republic of", "KR" },
        { "Republic of Korea", "KR" }, { "T\xC3\xBCrkiye", "TR" }, { "Turkey", "TR" }, { "\xC3\x96sterreich", "AT" }, { "\xC4\x8C" "esko", "CZ" }, { "Polska", "PL" }, { "D\xC3\xA4nemark", "DK" }, { "NIEDERLANDE", "NL" }, { "T\xC3\xBCrkei", "TR" }, { "Guinea-Bissau", "GW" },
        { "Virgin Islands (U.S.)", "VI" }, { "Hong Kong SAR", "HK" }, { "Viet Nam", "VN" }, { "Vietnam", "VN" }, { "Czech Republic", "CZ" },
        { "Germany\xC2\xA0", "DE" }, { "United  Kingdom", "GB" }, { "A\xCC\x8Aland Islands", "AX" },
        { "", NULL }, { "  ", NULL }, { "XX", NULL }, { "Atlantis", NULL }, { "Germ", NULL }, { "the", NULL }, { "&&", NULL }, { "\xE4\xB8\xAD\xE5\x9B\xBD", NULL }, { "\xC3", NULL }, { "D|E", NULL },
        { "a very long text that is certainly no country at all because it goes on and on and on and on and on", NULL },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        void *exact = unit_exact(cases[i][0], strlen(cases[i][0]) + 1);
        const char *code = cs_country_code(exact);

        if (!code != !cases[i][1] || (code && strcmp(code, cases[i][1]))) {
            fail_msg("\"%s\": %s", cases[i][0], code ? code : "nothing");
        }
        free(exact);
    }
    assert_null(cs_country_code(NULL));
    assert_string_equal(cs_country_name("FR"), "France");
    assert_null(cs_country_name("fr"));
    assert_null(cs_country_name(NULL));
}

/* Every code leads to a name that leads back. */
static void test_every_country(void **state)
{
    char code[3] = "";
    int n = 0;

    (void)state;
    for (code[0] = 'A'; code[0] <= 'Z'; code[0]++) {
        for (code[1] = 'A'; code[1] <= 'Z'; code[1]++) {
            const char *name = cs_country_name(code);

            if (name) {
                n++;
                if (!cs_country_code(name)) {
                    fail_msg("%s", name);
                }
                assert_string_equal(cs_country_code(name), code);
                assert_string_equal(cs_country_code(code), code);
            }
        }
    }
    assert_int_equal(n, 249);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_mistakes),
        UNIT_TEST(test_lists),
        UNIT_TEST(test_rows_with_their_own_columns),
        UNIT_TEST(test_null_names_switch_off),
        UNIT_TEST(test_lines),
        UNIT_TEST(test_roles_and_tables),
        UNIT_TEST(test_leads),
        UNIT_TEST(test_routing),
        UNIT_TEST(test_grafts),
        UNIT_TEST(test_countries),
        UNIT_TEST(test_every_country),
    };

    return UNIT_RUN(tests);
}
