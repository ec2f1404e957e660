/* domain/create_document.c: the document of a referral that a record asks for, and what it still
 * lacks. (deals 3; partner-center-api.md 4.5, 4.10; cosell-connectors.md 3.4, 3.12)
 *
 * What is missing is no error: sellers save unfinished records. The document is made as far as it
 * goes, and each missing input is named by the column that it would come from.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/decimal.h"
#include "create_internal.h"

#define SOLUTIONS "/details/requirements/solutions"
#define TEAM "/team"
#define INTENT "CustomerMarketplaceIntent"
#define INTENT_OPEN "HaveNotDecided"
#define CODE "/inviteContext/assistanceRequestCode"

static int is_cosell(const cs_planning_t *pl)
{
    return !strcmp(pl->world.kind, "co-sell");
}

const char *cs_create_word(const cs_planning_t *pl)
{
    const apr_array_header_t *kinds = pl->kind->asked_kinds;
    int i;

    for (i = 0; i < kinds->nelts; i++) {
        const cs_asked_kind_t *asked = &APR_ARRAY_IDX(kinds, i, cs_asked_kind_t);
        int holds = cs_cond_holds(asked->when, &pl->world);

        if (holds) {
            return holds > 0 ? asked->word : NULL;
        }
    }
    return "private";
}

/* ---- places ---- */

static json_t *item_at(json_t *array, const cs_pc_step_t *step)
{
    json_t *item;
    size_t i;

    json_array_foreach(array, i, item) {
        const char *text = step->first ? NULL : cs_json_str(item, step->sel_name);

        if (step->first || (text && !strcmp(text, step->sel_value))) {
            return item;
        }
    }
    item = step->first ? json_object() : json_pack("{s:s}", step->sel_name, step->sel_value);
    json_array_append_new(array, item);
    return item;
}

/* Takes over value; what is on the way is made. */
static void put(json_t *doc, const cs_pc_path_t *path, json_t *value)
{
    json_t *at = doc, *next;
    int i;

    for (i = 0; i < path->steps->nelts && json_is_object(at); i++) {
        const cs_pc_step_t *step = &APR_ARRAY_IDX(path->steps, i, cs_pc_step_t);
        int selects = step->first || step->sel_name;

        if (i + 1 == path->steps->nelts && !selects) {
            json_object_set_new(at, step->name, value);
            return;
        }
        next = json_object_get(at, step->name);
        if (!next) {
            next = selects ? json_array() : json_object();
            json_object_set_new(at, step->name, next);
        }
        at = selects ? item_at(next, step) : next;
    }
    json_decref(value);
}

/* ---- what is missing ---- */

cs_lack_t *cs_create_lack(cs_planning_t *pl, cs_making_t *m, const char *line, const char *why)
{
    cs_lack_t *lack = apr_pcalloc(pl->p, sizeof(*lack));

    lack->line = line;
    lack->why = why;
    APR_ARRAY_PUSH(m->lacks, cs_lack_t *) = lack;
    return lack;
}

static int is_lacking(const cs_making_t *m, const char *line)
{
    int i;

    for (i = 0; i < m->lacks->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(m->lacks, i, cs_lack_t *)->line, line)) {
            return 1;
        }
    }
    return 0;
}

static void lack_column(cs_planning_t *pl, cs_making_t *m, const cs_line_t *line,
                        const cs_column_t *column, cs_line_view_t *view, const char *why)
{
    cs_create_lack(pl, m, line->name, why)->column = column && column->text ? column : NULL;
    cs_view_judge(view, CS_VERDICT_HELD, why ? why : "required, and the record has none yet");
}

/* ---- lines ---- */

/* What is wrong with an amount; NULL = nothing. *pcolumn = where. */
static const char *bad_money(const cs_line_t *line, const json_t *money,
                             const cs_column_t **pcolumn)
{
    const char *amount = cs_json_str(money, "amount");

    *pcolumn = line->crm;
    if (line->type != CS_TYPE_MONEY || line->to_pc.constant || !json_is_object(money)) {
        return NULL;
    }
    if (cs_money_is_half(money)) {
        *pcolumn = amount ? line->crm_currency : line->crm;
        return "";
    }
    return !line->zero_send && cs_decimal_is_zero(amount) ? "0" : NULL;
}

/* A value that cannot travel: what must be there waits, the rest goes without it. */
static void refuse_value(cs_planning_t *pl, cs_making_t *m, const cs_line_t *line,
                         cs_line_view_t *view, const char *why)
{
    if (line->to_pc.required) {
        lack_column(pl, m, line, line->crm, view, why);
    }
    else {
        cs_view_judge(view, CS_VERDICT_REFUSED, apr_psprintf(pl->p, "not copied: %s", why));
    }
}

static void put_line(cs_planning_t *pl, cs_making_t *m, json_t *doc, const cs_line_t *line,
                     cs_line_view_t *view)
{
    const cs_pc_path_t *paths[] = {line->pc, line->pc_currency};
    json_t *ops = cs_json_own(json_array(), pl->ptemp),
           *none = cs_json_own(json_object(), pl->ptemp);
    size_t i;

    cs_line_operations(ops, line, &pl->table, view->crm, none, pl->p);
    for (i = 0; i < json_array_size(ops) && i < 2 && paths[i]; i++) {
        json_t *value = cs_json_get(json_array_get(ops, i), "value");

        if (value) {
            put(doc, paths[i], json_deep_copy(value));
        }
    }
    cs_view_judge(view, CS_VERDICT_TO_PC, "new referral");
    view->value = view->crm;
    APR_ARRAY_PUSH(m->lines, const char *) = line->name;
}

static void take_line(cs_planning_t *pl, cs_making_t *m, json_t *doc, const cs_line_t *line,
                      cs_line_view_t *view, const cs_side_t *crm)
{
    const cs_column_t *column;
    const char *money = bad_money(line, crm->value, &column);
    cs_conv_t conv;

    if (!crm->value) {
        lack_column(pl, m, line, line->crm, view, "the CRM did not show it");
        return;
    }
    if (crm->bad) {
        refuse_value(pl, m, line, view, crm->bad);
        return;
    }
    if (money) {
        lack_column(pl, m, line, column, view, *money ? money : NULL);
        return;
    }
    cs_line_to_pc(&conv, line, &pl->table, crm->value, pl->p);
    if (conv.what == CS_CONV_HOLD) {
        lack_column(pl, m, line, line->crm, view, conv.why);
    }
    else if (conv.what == CS_CONV_REFUSE) {
        refuse_value(pl, m, line, view, conv.why);
    }
    else if (conv.what == CS_CONV_SKIP) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, conv.why);
    }
    else if (!json_is_null(conv.value)) {
        put_line(pl, m, doc, line, view);
    }
    else if (line->to_pc.required) {
        lack_column(pl, m, line, line->crm, view, NULL);
    }
    else {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "empty");
    }
}

static int is_own_key(const cs_planning_t *pl, const cs_line_t *line)
{
    return line->crm && line->crm->text && !line->crm->of &&
           !strcmp(line->crm->name, pl->kind->key_column);
}

static void add_line(cs_planning_t *pl, cs_making_t *m, json_t *doc, const cs_line_t *line,
                     cs_line_view_t *view)
{
    cs_travel_t travel = cs_travel(pl, line, &line->to_pc, CS_ON_CREATE);
    cs_side_t crm;

    cs_line_read_crm(&crm, line, &pl->table, pl->row, pl->p);
    if (is_own_key(pl, line)) {
        crm.value = cs_json_own(json_string(pl->record_id), pl->p);
    }
    view->crm = crm.value;
    if (travel.holds < 0) {
        lack_column(pl, m, line, line->crm, view, travel.why);
    }
    else if (!travel.may || !travel.holds) {
        cs_view_judge(view, CS_VERDICT_SKIPPED,
                      travel.may ? travel.why : "is no part of a new referral");
    }
    else {
        take_line(pl, m, doc, line, view, &crm);
    }
}

/* The lines of one card into doc. */
static void add_lines(cs_planning_t *pl, cs_making_t *m, json_t *doc, cs_root_e root, int views)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);
        cs_line_view_t *view;

        if (line->off || !line->pc || line->pc->root != root || !line->to_pc.on) {
            continue;
        }
        view = apr_pcalloc(pl->p, sizeof(*view));
        view->line = line->name;
        add_line(pl, m, doc, line, view);
        if (views) {
            APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = view;
        }
    }
}

/* ---- lists ---- */

const char *const cs_create_person[] = {"firstName", "lastName", "phoneNumber", "email", NULL};

static int is_people(const cs_planning_t *pl, const char *bare)
{
    return !strcmp(bare, TEAM) || (!strcmp(bare, CS_CREATE_CUSTOMERS) && is_cosell(pl));
}

static int says(const json_t *item, const json_t *set, const char *member)
{
    return !cs_value_empty(cs_json_get(item, member)) || !cs_value_empty(cs_json_get(set, member));
}

/* The first member that an item must have and has not; NULL = it is complete. */
const char *cs_create_lacks_member(const cs_planning_t *pl, const cs_list_t *list,
                                   const json_t *item)
{
    int i;

    for (i = 0; list->required && i < list->required->nelts; i++) {
        const char *member = APR_ARRAY_IDX(list->required, i, const char *);

        if (!says(item, list->set, member)) {
            return member;
        }
    }
    for (i = 0; is_people(pl, list->pc->bare) && cs_create_person[i]; i++) {
        if (!says(item, list->set, cs_create_person[i])) {
            return cs_create_person[i];
        }
    }
    return NULL;
}

static json_t *member_of(const cs_list_t *list, const cs_list_item_t *item)
{
    json_t *out = json_object(), *value;
    const char *member;

    json_object_foreach((json_t *)list->set, member, value) {
        if (strcmp(member, "$comment")) {
            json_object_set_new(out, member, json_deep_copy(value));
        }
    }
    json_object_foreach(item->view->crm, member, value) {
        if (!json_is_null(value)) {
            json_object_set_new(out, member, json_deep_copy(value));
        }
    }
    json_object_set_new(out, list->key, json_string(item->shown));
    return out;
}

static int least_of(const cs_planning_t *pl, const cs_list_t *list)
{
    int least = cs_list_least(pl, list), rule = 0;

    rule = !strcmp(list->pc->bare, SOLUTIONS) || is_people(pl, list->pc->bare);
    return least > rule ? least : rule;
}

/* Whoever owns what nobody else can own is no member of a team. */
static int stands_in(const cs_planning_t *pl, const cs_list_t *list, const cs_list_item_t *item)
{
    const char *otherwise = pl->kind->owner ? pl->kind->owner->otherwise : NULL;

    return list->shape == CS_LIST_USERS && otherwise && !strcasecmp(otherwise, item->key);
}

/* One item into the array, if it is complete and there is room. */
static void add_item(cs_planning_t *pl, cs_making_t *m, const cs_list_t *list, json_t *array,
                     const cs_list_item_t *item, cs_lack_t *first)
{
    cs_line_view_t *view = item->view;
    const char *member = cs_create_lacks_member(pl, list, view->crm);

    if (stands_in(pl, list, item)) {
        cs_view_judge(view, CS_VERDICT_STAYS, "owns records of which nobody else is a user");
    }
    else if (member) {
        cs_view_judge(view, CS_VERDICT_HELD, apr_psprintf(pl->p, "%s is missing", member));
        first->item = first->item ? first->item : view;
        first->member = first->member ? first->member : member;
    }
    else if (list->max && (int)json_array_size(array) >= list->max) {
        cs_view_judge(view, CS_VERDICT_SKIPPED,
                      apr_psprintf(pl->p, "Partner Center takes at most %d", list->max));
    }
    else {
        cs_view_judge(view, CS_VERDICT_TO_PC, "new referral");
        view->value = view->crm;
        json_array_append_new(array, member_of(list, item));
        APR_ARRAY_PUSH(m->lines, const char *) = view->line;
    }
}

/* Why the list cannot be sent at all; NULL = it can. */
static const char *shut_list(cs_planning_t *pl, const cs_list_t *list, int *punknown)
{
    int holds = cs_cond_holds(list->when, &pl->world);

    *punknown = holds < 0;
    return holds < 0 ? apr_psprintf(pl->p, "a column of %s could not be read", list->when->text)
           : holds   ? NULL
                     : "its condition does not hold";
}

static void add_list(cs_planning_t *pl, cs_making_t *m, const cs_list_t *list)
{
    json_t *array = cs_json_own(json_array(), pl->p);
    cs_lack_t first = {list->name, NULL, list, NULL, NULL, NULL};
    int unknown, i;
    const char *shut = shut_list(pl, list, &unknown);
    cs_listing_t *l;

    if (shut) {
        if (unknown) {
            cs_create_lack(pl, m, list->name, shut)->list = list;
        }
        return;
    }
    l = cs_listing_read(pl, list);
    for (i = 0; i < l->items->nelts; i++) {
        const cs_list_item_t *item = APR_ARRAY_IDX(l->items, i, cs_list_item_t *);

        if (item->in_crm && json_is_object(item->view->crm)) {
            add_item(pl, m, list, array, item, &first);
            APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = item->view;
        }
    }
    if (l->crm_unread || l->owner_unread) {
        first.why = l->crm_unread ? l->crm_unread : l->owner_unread;
    }
    if (first.why || (int)json_array_size(array) < least_of(pl, list)) {
        *cs_create_lack(pl, m, list->name, NULL) = first;
    }
    if (json_array_size(array)) {
        put(m->doc, list->pc, json_incref(array));
    }
}

static void add_lists(cs_planning_t *pl, cs_making_t *m)
{
    int i;

    for (i = 0; i < pl->kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(pl->kind->lists, i, cs_list_t *);

        if (!list->off && list->to_pc && (list->events & CS_ON_CREATE)) {
            add_list(pl, m, list);
        }
    }
}

/* ---- what every referral has ---- */

static int is_invite(const cs_pc_path_t *path)
{
    return path->root == CS_ROOT_INVITE || !strncmp(path->bare, "/inviteContext/", 15);
}

static void add_starts(cs_planning_t *pl, json_t *doc, int invite)
{
    int i;

    for (i = 0; i < pl->kind->starts->nelts; i++) {
        const cs_start_t *start = &APR_ARRAY_IDX(pl->kind->starts, i, cs_start_t);

        if (is_invite(start->path) == invite) {
            put(doc, start->path, json_deep_copy(start->value));
        }
    }
}

json_t *cs_create_object(json_t *doc, const char *name)
{
    json_t *object = json_object_get(doc, name);

    if (!json_is_object(object)) {
        object = json_object();
        json_object_set_new(doc, name, object);
    }
    return object;
}

static void set_default(json_t *object, const char *name, json_t *value)
{
    if (!json_object_get(object, name)) {
        json_object_set(object, name, value);
    }
    json_decref(value);
}

/* Asked for with every new referral; nobody has decided yet unless the record says so. */
static void add_intent(json_t *doc)
{
    json_t *at =
        cs_create_object(cs_create_object(cs_create_object(doc, "details"), "requirements"),
                         "additionalRequirements");
    json_t *attributes = json_object_get(at, "attributes"), *item;
    size_t i;

    if (!attributes) {
        attributes = json_array();
        json_object_set_new(at, "attributes", attributes);
    }
    json_array_foreach(attributes, i, item) {
        const char *type = cs_json_str(item, "type");

        if (type && !strcmp(type, INTENT)) {
            return;
        }
    }
    json_array_append_new(attributes, json_pack("{s:s,s:s}", "type", INTENT, "id", INTENT_OPEN));
}

static void add_kind(cs_planning_t *pl, json_t *doc)
{
    const char *solution = cs_json_str(json_array_get(cs_json_pointer(doc, SOLUTIONS), 0), "id");

    json_object_set_new(doc, "type", json_string(is_cosell(pl) ? "Shared" : "Independent"));
    set_default(doc, "qualification", json_string("SalesQualified"));
    json_object_set_new(cs_create_object(doc, "consent"), CS_CREATE_SHARE,
                        json_boolean(strcmp(pl->world.kind, "private") != 0));
    if (is_cosell(pl) && solution) {
        set_default(doc, "target",
                    json_pack("[{s:s,s:s}]", "type", "SolutionProfile", "id", solution));
    }
    json_object_set_new(doc, "externalReferenceId", json_string(pl->record_id));
}

/* The line that writes a place; NULL = none. *pcolumn = from where. */
static const cs_line_t *line_at(const cs_planning_t *pl, const char *bare, cs_root_e root,
                                const cs_column_t **pcolumn)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);

        if (line->off || !line->to_pc.on || !line->pc || line->pc->root != root) {
            continue;
        }
        if (!strcmp(line->pc->bare, bare)) {
            *pcolumn = line->crm;
            return line;
        }
        if (line->pc_currency && !strcmp(line->pc_currency->bare, bare)) {
            *pcolumn = line->crm_currency;
            return line;
        }
    }
    return NULL;
}

static void lack_place(cs_planning_t *pl, cs_making_t *m, const char *bare, cs_root_e root)
{
    const cs_column_t *column = NULL;
    const cs_line_t *line = line_at(pl, bare, root, &column);
    const char *name = line ? line->name : bare;

    if (!is_lacking(m, name)) {
        cs_create_lack(pl, m, name, line ? NULL : "the mapping has no line for it")->column =
            column && column->text ? column : NULL;
    }
}

/* Whatever the mapping requires, without these there is no referral. */
static void check_rules(cs_planning_t *pl, cs_making_t *m)
{
    static const char *const texts[] = {"/name",
                                        "/customerProfile/name",
                                        "/customerProfile/address/addressLine1",
                                        "/customerProfile/address/city",
                                        "/customerProfile/address/country",
                                        "/details/dealValue",
                                        "/details/currency",
                                        "/details/closingDateTime",
                                        NULL};
    static const char *const consents[] = {"/consent/consentToToShareInfoWithOthers",
                                           "/consent/consentToContact", NULL};
    static const char *const arrays[] = {SOLUTIONS, TEAM, CS_CREATE_CUSTOMERS, NULL};
    int i;

    for (i = 0; texts[i]; i++) {
        if (cs_value_empty(cs_json_pointer(m->doc, texts[i]))) {
            lack_place(pl, m, texts[i], CS_ROOT_OWN);
        }
    }
    for (i = 0; consents[i]; i++) {
        if (!json_is_true(cs_json_pointer(m->doc, consents[i]))) {
            lack_place(pl, m, consents[i], CS_ROOT_OWN);
        }
    }
    for (i = 0; arrays[i]; i++) {
        int needed = strcmp(arrays[i], CS_CREATE_CUSTOMERS) || is_cosell(pl), j, mapped = 0;

        for (j = 0; j < pl->kind->lists->nelts; j++) {
            const cs_list_t *list = APR_ARRAY_IDX(pl->kind->lists, j, cs_list_t *);

            mapped |= !list->off && list->to_pc && (list->events & CS_ON_CREATE) &&
                      !strcmp(list->pc->bare, arrays[i]);
        }
        if (needed && !mapped && !json_array_size(cs_json_pointer(m->doc, arrays[i]))) {
            lack_place(pl, m, arrays[i], CS_ROOT_OWN);
        }
    }
}

/* ---- what is said to Microsoft ---- */

void cs_create_invite(cs_planning_t *pl, cs_making_t *m, json_t *doc)
{
    const char *code;

    add_starts(pl, doc, 1);
    add_lines(pl, m, doc, CS_ROOT_INVITE, 0);
    code = json_string_value(cs_json_pointer(doc, CODE));
    if (!code || !*code || !strcmp(code, "Unknown")) {
        lack_place(pl, m, CODE, CS_ROOT_INVITE);
    }
}

void cs_create_finish(cs_planning_t *pl, cs_making_t *m)
{
    const char *text = cs_json_print(m->doc, pl->ptemp);

    m->digest = cs_sha256_hex(text, strlen(text), pl->p);
}

void cs_create_document(cs_planning_t *pl, cs_making_t *m)
{
    apr_array_header_t *carried;

    m->lines = apr_array_make(pl->p, 16, sizeof(const char *));
    m->lacks = apr_array_make(pl->p, 4, sizeof(cs_lack_t *));
    add_lines(pl, m, m->doc, CS_ROOT_OWN, 1);
    add_lists(pl, m);
    add_starts(pl, m->doc, 0);
    add_intent(m->doc);
    add_kind(pl, m->doc);
    check_rules(pl, m);
    if (is_cosell(pl)) {
        /* Said once Microsoft is invited; but what it needs must be there. */
        carried = m->lines;
        m->lines = apr_array_make(pl->ptemp, 2, sizeof(const char *));
        cs_create_invite(pl, m, cs_json_own(json_object(), pl->ptemp));
        m->lines = carried;
    }
    cs_create_finish(pl, m);
}
