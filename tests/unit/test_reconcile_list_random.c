/* Random lists: users and Partner Center add, remove, reorder and change items, looks die, rows are refused, lists cannot be read. CASES and SEED choose how many and
 * which; a failure names the seed of its one case. */
#include "unit_list.h"

static apr_uint64_t current; /* seed of the case that runs */

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

static const char *const solutions[] = { "sol-1", "sol-2", "sol-3", "sol-4", "sol-5" };
static const char *const people[] = { "ann@x.example", "bob@x.example", "cat@x.example", "dan@x.example" };
static const char *const team[] = { "una@own.example", "udo@own.example", "sue@own.example", "out@own.example" };
static const char *const names[] = { "A", "B", "C\\r\\nD", "E " };

typedef struct random_list_t {
    const char *name, *path, *key;
    const char *const *keys;
    unsigned n;
} random_list_t;

static const random_list_t lists[] = {
    { "solutions", LIST_SOLUTIONS, "id", solutions, 5 },
    { "contacts", LIST_CONTACTS, "email", people, 4 },
    { "team", LIST_TEAM, "email", team, 4 },
};
#define LISTS (sizeof(lists) / sizeof(lists[0]))

typedef struct case_t {
    list_world_t *l;
    dice_t d;
    int child_rows;    /* the shape that keeps everything in child rows */
    json_t *taken;     /* "<list>/<key>": a user of the CRM removed it once */
    json_t *withdrawn; /* "<list>/<key>": Partner Center removed it once */
    int keyless;       /* rows without a key */
} case_t;

/* ---- reading the two sides as a person would ---- */

static const char *lower(apr_pool_t *p, const char *text)
{
    char *out = apr_pstrdup(p, text + strspn(text, " ")), *c;

    for (c = out; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    return out;
}

static int at_pc(case_t *c, const random_list_t *r, const char *key)
{
    json_t *item;
    size_t i;

    json_array_foreach(cs_json_pointer(c->l->w->doc, r->path), i, item) {
        const char *text = cs_json_str(item, r->key);

        if (text && !strcmp(lower(c->l->p, text), key)) {
            return 1;
        }
    }
    return 0;
}

static const char *child_table(const case_t *c, const random_list_t *r)
{
    if (!strcmp(r->name, "solutions")) {
        return c->child_rows ? "Microsoft_Solution__c" : "msft_microsoftsolution";
    }
    if (!c->child_rows) {
        return NULL;
    }
    return !strcmp(r->name, "contacts") ? "OpportunityContactRole" : "OpportunityTeamMember";
}

static const char *row_key(const case_t *c, const random_list_t *r, const json_t *row)
{
    if (!strcmp(r->name, "solutions")) {
        return c->child_rows ? cs_json_str(row, "Solution_Identifier__c") : cs_json_str(cs_json_get(row, "msft_solutiondetailid"), "msft_solutionidentifier");
    }
    return !strcmp(r->name, "contacts") ? cs_json_str(cs_json_get(row, "ContactId"), "Email")
                                        : cs_json_str(cs_json_get(row, "UserId"), "internalemailaddress");
}

static int is_row_of(case_t *c, const random_list_t *r, const json_t *entry, const char *key)
{
    const char *text = row_key(c, r, cs_json_get(entry, "row"));

    return text && !strcmp(lower(c->l->p, text), key);
}

static int in_crm(case_t *c, const random_list_t *r, const char *key)
{
    const char *table = child_table(c, r), *text;
    json_t *entry;
    size_t i;

    if (table) {
        json_array_foreach(list_table(c->l, table), i, entry) {
            if (is_row_of(c, r, entry, key)) {
                return 1;
            }
        }
    }
    text = !strcmp(r->name, "contacts") ? cs_json_str(cs_json_get(c->l->w->row, "parentcontactid"), "emailaddress1")
                                        : cs_json_str(cs_json_get(c->l->w->row, "ownerid"), "internalemailaddress");
    if (strcmp(r->name, "solutions") && (c->child_rows ? !strcmp(r->name, "team") : 1) && text && !strcmp(lower(c->l->p, text), key)) {
        return 1;
    }
    for (i = 0; !strcmp(r->name, "team") && i < json_array_size(c->l->members); i++) {
        json_t *user = list_entry(c->l, "systemuser", json_string_value(json_array_get(c->l->members, i)));

        if (!strcmp(lower(c->l->p, cs_json_str(cs_json_get(user, "row"), "internalemailaddress")), key)) {
            return 1;
        }
    }
    return 0;
}

static void mark(json_t *set, case_t *c, const random_list_t *r, const char *key)
{
    json_object_set_new(set, apr_pstrcat(c->l->p, r->name, "/", key, NULL), json_true());
}

static int marked(const json_t *set, case_t *c, const random_list_t *r, const char *key)
{
    return cs_json_get(set, apr_pstrcat(c->l->p, r->name, "/", key, NULL)) != NULL;
}

/* ---- Partner Center edits ---- */

static json_t *pc_item(case_t *c, const random_list_t *r, const char *key)
{
    char *text = apr_pstrdup(c->l->p, key);
    json_t *item = json_object();

    if (roll(&c->d, 3) == 0) {
        text[0] = (char)(text[0] - 32);
    }
    if (roll(&c->d, 9) == 0) {
        text = apr_pstrcat(c->l->p, " ", text, NULL);
    }
    json_object_set_new(item, r->key, json_string(text));
    if (!strcmp(r->name, "solutions")) {
        json_object_set(item, "name", deal_json(c->l->p, apr_psprintf(c->l->p, "\"%s\"", names[roll(&c->d, 4)])));
        if (roll(&c->d, 3) == 0) {
            json_object_set_new(item, "price", json_real(0.1 + 0.2));
        }
    }
    else {
        json_object_set_new(item, "firstName", json_string("N"));
        json_object_set_new(item, "phoneNumber", json_string(names[roll(&c->d, 2)]));
    }
    return item;
}

/* Of two members with one key the first counts, so that their order does mean something. */
static int has_twins(case_t *c, const json_t *array, const char *name)
{
    json_t *seen = cs_json_own(json_object(), c->l->p);
    size_t i;

    for (i = 0; i < json_array_size(array); i++) {
        const char *key = cs_json_str(json_array_get(array, i), name);

        if (key && cs_json_get(seen, lower(c->l->p, key))) {
            return 1;
        }
        if (key) {
            json_object_set_new(seen, lower(c->l->p, key), json_true());
        }
    }
    return 0;
}

static void shuffle(case_t *c, const random_list_t *r)
{
    json_t *array = cs_json_pointer(c->l->w->doc, r->path);
    size_t i;

    if (has_twins(c, array, r->key)) {
        return;
    }
    for (i = json_array_size(array); i > 1; i--) {
        size_t j = roll(&c->d, (unsigned)i);
        json_t *a = json_incref(json_array_get(array, i - 1)), *b = json_incref(json_array_get(array, j));

        json_array_set_new(array, i - 1, b);
        json_array_set_new(array, j, a);
    }
}

static json_t *array_of(case_t *c, const random_list_t *r)
{
    json_t *array = cs_json_pointer(c->l->w->doc, r->path);

    if (!json_is_array(array)) {
        array = json_array();
        assert_ok(cs_json_pointer_set(c->l->w->doc, r->path, array));
    }
    return array;
}

static void pc_removes(case_t *c, const random_list_t *r, const char *key)
{
    json_t *array = array_of(c, r);
    size_t i;

    for (i = json_array_size(array); i-- > 0;) {
        const char *text = cs_json_str(json_array_get(array, i), r->key);

        if (text && !strcmp(lower(c->l->p, text), key)) {
            json_array_remove(array, i);
            mark(c->withdrawn, c, r, key);
        }
    }
}

static void pc_edits(case_t *c)
{
    const random_list_t *r = &lists[roll(&c->d, LISTS)];
    const char *key = r->keys[roll(&c->d, r->n)];

    switch (roll(&c->d, 6)) {
    case 0:
        pc_removes(c, r, key);
        break;
    case 1:
        shuffle(c, r);
        break;
    case 2:
        json_array_append_new(array_of(c, r), json_pack("{s:s}", "name", "no key"));
        break;
    default:
        json_array_insert_new(array_of(c, r), roll(&c->d, (unsigned)json_array_size(array_of(c, r)) + 1), pc_item(c, r, key));
        break;
    }
}

/* ---- users of the CRM edit ---- */

static void add_row(case_t *c, const random_list_t *r, const char *key)
{
    list_world_t *l = c->l;
    const char *table = child_table(c, r), *kind = !strcmp(r->name, "contacts") ? "Contact" : "systemuser", *id = apr_pstrcat(l->p, r->name, "-", key, NULL);
    json_t *row, *entry;
    size_t i;

    if (!strcmp(r->name, "solutions") && c->child_rows) {
        row = list_add(l, table, NULL, apr_psprintf(l->p, "{\"Solution_Identifier__c\":\"%s\",\"Name\":\"%s\",\"Price__c\":null}", key, names[roll(&c->d, 2)]));
        json_object_set_new(row, "Opportunity__c", json_pack("{s:O}", "id", cs_json_get(l->w->row, "opportunityid")));
        return;
    }
    if (!strcmp(r->name, "solutions")) {
        kind = "msft_microsoftsolutiondetail";
    }
    json_array_foreach(list_table(l, kind), i, entry) {
        const char *text = cs_json_str(cs_json_get(entry, "row"), strcmp(r->name, "contacts") ? "msft_solutionidentifier" : "Email");

        id = text && !strcmp(lower(l->p, text), key) ? cs_json_str(entry, "id") : id;
    }
    if (strcmp(r->name, "team") && !list_entry(l, kind, id)) {
        list_add(l, kind, id, apr_psprintf(l->p, "{\"Email\":\"%s\",\"msft_solutionidentifier\":\"%s\"}", key, key));
    }
    if (!strcmp(r->name, "team")) {
        id = apr_pstrcat(l->p, "user-", apr_pstrmemdup(l->p, key, 3), NULL);
    }
    row = list_add(l, table, NULL, "{}");
    json_object_set_new(row, !strcmp(r->name, "solutions") ? "msft_opportunityid" : "OpportunityId", json_pack("{s:O}", "id", cs_json_get(l->w->row, "opportunityid")));
    json_object_set_new(row, !strcmp(r->name, "solutions") ? "msft_solutiondetailid" : !strcmp(r->name, "contacts") ? "ContactId" : "UserId",
                        list_expanded(l, kind, id));
    if (!strcmp(r->name, "contacts")) {
        json_object_set_new(row, "IsPrimary", json_true());
    }
}

static void remove_rows(case_t *c, const random_list_t *r, const char *key)
{
    json_t *rows = list_table(c->l, child_table(c, r));
    size_t i;

    for (i = json_array_size(rows); i-- > 0;) {
        if (is_row_of(c, r, json_array_get(rows, i), key)) {
            json_array_remove(rows, i);
            mark(c->taken, c, r, key);
        }
    }
}

static void change_row(case_t *c, const random_list_t *r, const char *key)
{
    json_t *rows = list_table(c->l, child_table(c, r));
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        json_t *entry = json_array_get(rows, i);

        if (is_row_of(c, r, entry, key) && cs_json_get(cs_json_get(entry, "row"), "Solution_Identifier__c")) {
            json_object_set_new(cs_json_get(entry, "row"), "Name", json_string(names[roll(&c->d, 2)]));
            list_touch(entry);
        }
    }
}

static void choose_contact(case_t *c, const char *key)
{
    list_world_t *l = c->l;
    json_t *entry;
    size_t i;

    mark(c->taken, c, &lists[1], key);
    for (i = 0; i < lists[1].n; i++) {
        mark(c->taken, c, &lists[1], people[i]);
    }
    l->w->version++;
    json_object_set_new(l->w->row, "parentcontactid", json_null());
    json_array_foreach(list_table(l, "contact"), i, entry) {
        const char *text = cs_json_str(cs_json_get(entry, "row"), "emailaddress1");

        if (text && !strcmp(lower(l->p, text), key) && roll(&c->d, 3)) {
            json_object_set_new(l->w->row, "parentcontactid", list_expanded(l, "contact", cs_json_str(entry, "id")));
            return;
        }
    }
}

static void change_team(case_t *c, const char *key)
{
    list_world_t *l = c->l;
    const char *id = apr_pstrcat(l->p, "user-", apr_pstrmemdup(l->p, key, 3), NULL);
    size_t i;

    for (i = 0; i < lists[2].n; i++) {
        mark(c->taken, c, &lists[2], team[i]);
    }
    if (!list_entry(l, "systemuser", id)) {
        return;
    }
    l->w->version++;
    switch (roll(&c->d, 3)) {
    case 0:
        json_object_set_new(l->w->row, "ownerid", list_expanded(l, "systemuser", id));
        break;
    case 1:
        json_array_clear(l->members);
        break;
    default:
        if (!list_is_member(l, id)) {
            json_array_append_new(l->members, json_string(id));
        }
        break;
    }
}

static void crm_edits(case_t *c)
{
    const random_list_t *r = &lists[roll(&c->d, LISTS)];
    const char *key = r->keys[roll(&c->d, r->n)];

    if (!c->l->w->row) {
        return;
    }
    if (!child_table(c, r)) {
        if (!strcmp(r->name, "contacts")) {
            choose_contact(c, key);
        }
        else {
            change_team(c, key);
        }
        return;
    }
    switch (roll(&c->d, 4)) {
    case 0:
        remove_rows(c, r, key);
        break;
    case 1:
        change_row(c, r, key);
        break;
    default:
        if (strcmp(key, "out@own.example")) {
            add_row(c, r, key);
        }
        break;
    }
}

/* ---- what must hold ---- */

static const random_list_t *list_named(const char *line)
{
    size_t i, len = strcspn(line, "/");

    for (i = 0; i < LISTS; i++) {
        if (strlen(lists[i].name) == len && !strncmp(lists[i].name, line, len)) {
            return &lists[i];
        }
    }
    fail_msg("%s is of no list", line);
    return NULL;
}

/* Before the steps are applied. */
static void check_steps(case_t *c)
{
    const cs_plan_t *plan = c->l->w->plan;
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);
        const char *line = step->list ? APR_ARRAY_IDX(step->lines, 0, const char *) : NULL;
        const random_list_t *r = line ? list_named(line) : NULL;

        if (!line) {
            continue;
        }
        assert_int_equal(step->lines->nelts, 1);
        if (step->kind == CS_STEP_DELETE && (at_pc(c, r, list_key(step)) || !in_crm(c, r, list_key(step)) || !marked(c->withdrawn, c, r, list_key(step)))) {
            fail_msg("%s is removed from the CRM", line);
        }
        if (step->kind == CS_STEP_CREATE && (in_crm(c, r, list_key(step)) || !at_pc(c, r, list_key(step)))) {
            fail_msg("%s is made in the CRM", line);
        }
        if (cs_json_get(c->l->unreadable, r->name) && c->l->w->row && (child_table(c, r) || !strcmp(r->name, "team"))) {
            fail_msg("%s is written without having been read", line);
        }
    }
}

typedef struct shown_t {
    int pc[LISTS][8], crm[LISTS][8];
} shown_t;

static void show(case_t *c, shown_t *s)
{
    size_t i, j;

    for (i = 0; i < LISTS; i++) {
        for (j = 0; j < lists[i].n; j++) {
            s->pc[i][j] = at_pc(c, &lists[i], lists[i].keys[j]);
            s->crm[i][j] = in_crm(c, &lists[i], lists[i].keys[j]);
        }
    }
}

/* Nothing comes or goes at Partner Center that the plan did not send there. */
static void check_sent(case_t *c, const random_list_t *r, const char *key, int there)
{
    const cs_line_view_t *view = deal_view(c->l->w->plan, apr_psprintf(c->l->p, "%s/%s", r->name, key));

    if (!view->to_pc || json_is_object(view->value) != there) {
        fail_msg("a look changed %s/%s at Partner Center", r->name, key);
    }
    if (!there) {
        mark(c->withdrawn, c, r, key);
    }
}

/* What nobody removed is still there, and what came has come. */
static void check_sides(case_t *c, const shown_t *before)
{
    shown_t now;
    size_t i, j;

    show(c, &now);
    for (i = 0; i < LISTS; i++) {
        const random_list_t *r = &lists[i];
        int exact = child_table(c, r) != NULL && strcmp(r->name, "team") && !json_object_size(c->l->unreadable);

        for (j = 0; j < r->n; j++) {
            const char *key = r->keys[j];

            if (now.pc[i][j] != before->pc[i][j]) {
                check_sent(c, r, key, now.pc[i][j]);
            }
            if (before->crm[i][j] && !now.crm[i][j] && (before->pc[i][j] || !marked(c->withdrawn, c, r, key))) {
                fail_msg("%s/%s was lost in the CRM", r->name, key);
            }
            if (exact && now.pc[i][j] && !now.crm[i][j] && !marked(c->taken, c, r, key) && !cs_json_get(c->l->refuse, key)) {
                fail_msg("%s/%s did not arrive in the CRM", r->name, key);
            }
        }
    }
}

/* Somebody does by hand what the plan would send. */
static void follow_by_hand(case_t *c)
{
    const cs_step_t *step = deal_find_step(c->l->w->plan, CS_STEP_PATCH_PC);
    json_t *op;
    size_t i, j;

    for (i = 0; step && i < json_array_size(step->columns); i++) {
        op = json_array_get(step->columns, i);
        for (j = 0; j < LISTS; j++) {
            if (!strcmp(lists[j].path, cs_json_str(op, "path"))) {
                assert_ok(cs_json_pointer_set(c->l->w->doc, lists[j].path, json_deep_copy(cs_json_get(op, "value"))));
            }
        }
    }
    for (i = 0; i < LISTS; i++) {
        for (j = 0; j < lists[i].n; j++) {
            if (!at_pc(c, &lists[i], lists[i].keys[j])) {
                mark(c->withdrawn, c, &lists[i], lists[i].keys[j]);
            }
        }
    }
    list_look(c->l);
    assert_rests(c->l);
    step = deal_find_step(c->l->w->plan, CS_STEP_PATCH_PC);
    if (step) {
        fail_msg("still to be sent: %s", cs_json_print(step->columns, c->l->p));
    }
}

static void look(case_t *c)
{
    shown_t before;
    json_t *images;
    int lost = roll(&c->d, 8) == 0;

    c->l->lose = lost;
    list_plan(c->l);
    check_steps(c);
    show(c, &before);
    list_apply(c->l);
    if (!lost) {
        deal_settle(c->l->w);
    }
    check_sides(c, &before);
    c->l->lose = 0;
    list_look(c->l); /* after a lost look; and where something was refused, the record is told so */
    if (lost) {
        list_look(c->l);
    }
    assert_rests(c->l);
    /* Order and case are no change, and looking changes no image. */
    images = json_deep_copy(c->l->w->deal.images);
    shuffle(c, &lists[0]);
    shuffle(c, &lists[2]);
    assert_rests(c->l);
    deal_settle(c->l->w);
    /* But when a row was last written is forgotten in time. */
    json_object_del(cs_json_get(images, "$state"), "read");
    json_object_del(cs_json_get(c->l->w->deal.images, "$state"), "read");
    if (!json_equal(images, c->l->w->deal.images)) {
        fail_msg("%s became %s", cs_json_print(images, c->l->p), cs_json_print(c->l->w->deal.images, c->l->p));
    }
    json_decref(images);
}

/* ---- cases ---- */

static void vary(case_t *c)
{
    cs_list_t *list = list_of(c->l, "solutions");

    c->l->silent = roll(&c->d, 3) == 0;
    list->conflict = (cs_policy_e)roll(&c->d, 3);
    if (roll(&c->d, 6) == 0) {
        list->to_pc = 0;
    }
    if (roll(&c->d, 6) == 0) {
        list->to_crm_add_only = 1;
    }
}

static void start(case_t *c)
{
    unsigned i, n = roll(&c->d, 12);

    list_add(c->l, "systemuser", "user-udo", "{\"internalemailaddress\":\"Udo@own.example\",\"firstname\":\"N\"}");
    list_add(c->l, "systemuser", "user-una", "{\"internalemailaddress\":\"una@own.example\",\"firstname\":\"N\"}");
    list_add(c->l, "systemuser", "user-sue", "{\"internalemailaddress\":\"sue@own.example\",\"firstname\":\"N\"}");
    for (i = 0; i < LISTS; i++) {
        array_of(c, &lists[i]);
    }
    for (i = 0; i < n; i++) {
        pc_edits(c);
    }
    if (roll(&c->d, 3) == 0) {
        list_existing(c->l);
        for (i = 0; i < n; i++) {
            crm_edits(c);
        }
    }
}

static void run_case(apr_pool_t *p, cs_mapping_t *mapping, apr_uint64_t seed)
{
    case_t c;
    unsigned rounds, i, n;

    memset(&c, 0, sizeof(c));
    c.d.s = seed * 0x9E3779B97F4A7C15ull + 1;
    roll(&c.d, 2);
    c.l = list_world_of(p, mapping);
    c.taken = cs_json_own(json_object(), p);
    c.withdrawn = cs_json_own(json_object(), p);
    c.child_rows = (int)roll(&c.d, 2);
    if (c.child_rows) {
        list_salesforce(c.l);
    }
    else {
        list_dynamics(c.l);
    }
    vary(&c);
    start(&c);
    look(&c);
    for (rounds = 1 + roll(&c.d, 3); rounds > 0; rounds--) {
        for (i = 0, n = roll(&c.d, 5); i < n; i++) {
            pc_edits(&c);
        }
        for (i = 0, n = roll(&c.d, 4); i < n; i++) {
            crm_edits(&c);
        }
        json_object_clear(c.l->refuse);
        if (roll(&c.d, 4) == 0) {
            const char *key = solutions[roll(&c.d, 5)];

            json_object_set_new(c.l->refuse, key, json_string("refused"));
            mark(c.taken, &c, &lists[0], key); /* not sent again for nothing */
        }
        if (roll(&c.d, 8) == 0) {
            json_object_set_new(c.l->unreadable, lists[roll(&c.d, LISTS)].name, json_true());
        }
        look(&c);
        json_object_clear(c.l->unreadable);
    }
    json_object_clear(c.l->refuse);
    c.l->w->deal.mapping = NULL;
    list_look(c.l);
    follow_by_hand(&c);
}

static void test_random(void **state)
{
    const char *cases = getenv("CASES"), *seed = getenv("SEED");
    long n = cases ? atol(cases) : 20000, i;
    apr_uint64_t first = seed ? strtoull(seed, NULL, 10) : 1;
    cs_mapping_t *mapping = deal_mapping(*state, NULL);
    cs_mapping_kind_t *kind = (cs_mapping_kind_t *)cs_mapping_kind(mapping, "opportunity");
    apr_pool_t *p;

    kind->lines = apr_array_make(*state, 1, sizeof(cs_line_t *));
    assert_ok(apr_pool_create(&p, *state));
    for (i = 0; i < n; i++) {
        current = first + (apr_uint64_t)i;
        run_case(p, mapping, current);
        apr_pool_clear(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { UNIT_TEST(test_random) };

    int failed = UNIT_RUN(tests);

    if (failed) {
        fprintf(stderr, "SEED=%" APR_UINT64_T_FMT " CASES=1\n", current);
    }
    return failed;
}
