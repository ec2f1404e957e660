/* domain/mapping_list.c: lists of items: the array at Partner Center, the members of an item and
 * the bounds. */
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

#define ITEMS_MOST 1000

/* ---- the array at Partner Center ---- */

static int check_member(cs_load_t *l, const cs_pc_path_t *array, const char *member,
                        const char *ptr)
{
    if (!array || cs_referral_path_fact(apr_pstrcat(l->p, array->bare, "/", member, NULL))) {
        return 1;
    }
    cs_load_error(l, ptr, "\"%s\" is no member of an item of %s; allowed: %s", member, array->text,
                  cs_referral_members_of(array->bare, l->p));
    return 0;
}

const cs_pc_path_t *cs_load_array(cs_load_t *l, const char *text, const char *ptr)
{
    const cs_pc_path_t *path = cs_load_path(l, text, ptr);

    if (!path) {
        return NULL;
    }
    if (path->selects || !cs_referral_path_is_array(path->bare) ||
        !*cs_referral_members_of(path->bare, l->p)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no array of items; allowed: for example /team, "
                      "/customerProfile/team, /details/requirements/solutions",
                      text);
        return NULL;
    }
    return path;
}

static void check_direction(cs_load_t *l, const cs_list_t *list)
{
    const char *fact = cs_referral_path_fact(list->pc->bare);
    int updates = (list->events & CS_ON_UPDATE) != 0;

    if (!list->to_pc) {
        return;
    }
    if (list->pc->root != CS_ROOT_OWN) {
        cs_load_error(l, list->pointer,
                      "%s is another's card, which is only read; write \"direction\": \"to_crm\"",
                      list->pc->text);
    }
    else if (!strcmp(fact, "server")) {
        cs_load_error(
            l, list->pointer,
            "%s is set by Partner Center and cannot be written; write \"direction\": \"to_crm\"",
            list->pc->text);
    }
    else if (updates && (!strcmp(fact, "create") || !strcmp(fact, "unproven"))) {
        cs_load_error(l, list->pointer,
                      "%s cannot change once the referral exists; write \"events\": [\"create\"], "
                      "or \"direction\": \"to_crm\"",
                      list->pc->text);
    }
}

static void load_pc(cs_load_t *l, cs_list_t *list, const json_t *json, const char *ptr)
{
    const char *pc = cs_json_str(json, "pc"), *key = cs_json_str(json, "key");

    if (!pc) {
        cs_load_error(l, ptr, "\"pc\" is missing; allowed: the path of an array");
    }
    list->pc = cs_load_array(l, pc, cs_load_ptr(l, ptr, "pc"));
    if (!key || !*key) {
        cs_load_error(l, ptr, "\"key\" is missing; allowed: the member that names an item");
        return;
    }
    list->key = apr_pstrdup(l->p, key);
    check_member(l, list->pc, key, cs_load_ptr(l, ptr, "key"));
    if (list->pc) {
        check_direction(l, list);
    }
}

static int check_writable(cs_load_t *l, const cs_list_t *list, const char *member, const char *ptr)
{
    const char *fact =
        list->pc && list->to_pc
            ? cs_referral_path_fact(apr_pstrcat(l->p, list->pc->bare, "/", member, NULL))
            : NULL;

    if (fact && !strcmp(fact, "server")) {
        cs_load_error(
            l, ptr,
            "\"%s\" is set by Partner Center and cannot be written; allowed: in a list with "
            "\"direction\": \"to_crm\"",
            member);
        return 0;
    }
    return 1;
}

apr_array_header_t *cs_load_item_members(cs_load_t *l, const cs_list_t *list, const json_t *json,
                                         const char *ptr)
{
    apr_array_header_t *out = apr_array_make(l->p, 4, sizeof(cs_member_column_t));
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)json, key, value) {
        const char *at = cs_load_ptr(l, ptr, key);
        const cs_column_t *column;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (!json_is_string(value)) {
            cs_load_error(l, at, "%s is no column; allowed: a text", cs_json_print(value, l->p));
            continue;
        }
        column = cs_load_own_column(l, json_string_value(value), at);
        if (check_member(l, list->pc, key, at) && check_writable(l, list, key, at) && column &&
            column->text) {
            cs_member_column_t *m = &APR_ARRAY_PUSH(out, cs_member_column_t);

            m->member = apr_pstrdup(l->p, key);
            m->column = column;
        }
    }
    return out;
}

static const cs_column_t *column_of_member(const apr_array_header_t *members, const char *member)
{
    int i;

    for (i = 0; members && member && i < members->nelts; i++) {
        const cs_member_column_t *m = &APR_ARRAY_IDX(members, i, cs_member_column_t);

        if (!strcmp(m->member, member)) {
            return m->column;
        }
    }
    return NULL;
}

static const char *parts_unknown(cs_load_t *l, const apr_array_header_t *parts,
                                 const cs_pc_path_t *array)
{
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        const char *member = APR_ARRAY_IDX(parts, i, cs_find_part_t).member;

        if (member && !cs_referral_path_fact(apr_pstrcat(l->p, array->bare, "/", member, NULL))) {
            return member;
        }
    }
    return NULL;
}

const cs_find_t *cs_load_item_find(cs_load_t *l, const char *name, const cs_pc_path_t *array,
                                   const char *ptr)
{
    const cs_find_t *find = cs_load_find_named(l, name, ptr);
    const char *unknown = NULL;
    int i;

    if (!find || !array) {
        return find;
    }
    if (cs_find_asks_own(find)) {
        cs_load_error(
            l, ptr,
            "\"%s\" asks for a line's own value (\".\"), and an item has none; allowed: a "
            "look-up by members of the item",
            name);
    }
    for (i = 0; !unknown && i < find->by->nelts; i++) {
        unknown = parts_unknown(l, APR_ARRAY_IDX(find->by, i, apr_array_header_t *), array);
    }
    unknown = unknown ? unknown : parts_unknown(l, find->create, array);
    if (unknown) {
        cs_load_error(l, ptr,
                      "\"%s\" asks for \"%s\", which is no member of an item of %s; "
                      "allowed: %s",
                      name, unknown, array->text, cs_referral_members_of(array->bare, l->p));
    }
    return find;
}

/* ---- members of an item ---- */

/* The key has a column of its own, or the items of the two sides cannot be told apart. */
static void take_key_column(cs_load_t *l, cs_list_t *list, const char *ptr, int good)
{
    const cs_column_t *column = column_of_member(list->fields, list->key);

    if (!list->key || list->off) {
        return;
    }
    if (!column && list->find) {
        list->key_column = cs_find_member_column(list->find, list->key);
        column = list->key_column ? NULL : column_of_member(list->item, list->key);
    }
    if (column) {
        list->key_column = column->text;
    }
    if (!list->key_column && good) {
        cs_load_error(l, cs_load_ptr(l, ptr, "key"),
                      "no column holds the key \"%s\"; allowed: one in the look-up's \"by\", in "
                      "\"item\" or in \"fields\"",
                      list->key);
    }
}

static int is_mapped(const cs_list_t *list, const char *member)
{
    return (list->key && !strcmp(list->key, member)) || column_of_member(list->item, member) ||
           column_of_member(list->fields, member);
}

static void load_required(cs_load_t *l, cs_list_t *list, const json_t *json, const char *ptr)
{
    size_t i;

    list->required = apr_array_make(l->p, 4, sizeof(const char *));
    for (i = 0; i < json_array_size(json); i++) {
        const char *member = json_string_value(json_array_get(json, i));

        if (!member || !(is_mapped(list, member) || cs_json_get(list->set, member))) {
            cs_load_error(l, cs_load_ptr_at(l, ptr, i),
                          "%s is not among the members of this list and would never be there; "
                          "allowed: the key, members of \"item\", \"fields\" and \"set\"",
                          cs_json_print(json_array_get(json, i), l->p));
            continue;
        }
        APR_ARRAY_PUSH(list->required, const char *) = apr_pstrdup(l->p, member);
    }
}

static void load_set(cs_load_t *l, cs_list_t *list, const json_t *set, const char *ptr)
{
    const char *key;
    json_t *value;

    if (!cs_load_constants(l, set, ptr, 0)) {
        return;
    }
    json_object_foreach((json_t *)set, key, value) {
        const char *at = cs_load_ptr(l, ptr, key);

        if (!strcmp(key, "$comment") || !check_member(l, list->pc, key, at)) {
            continue;
        }
        if (is_mapped(list, key)) {
            cs_load_error(l, at, "\"%s\" comes from the CRM already; allowed: one source", key);
        }
    }
    list->set = set;
}

/* Once in `item` or once in `fields`. */
static void check_once(cs_load_t *l, const cs_list_t *list, const char *ptr)
{
    int i;

    for (i = 0; list->fields && i < list->fields->nelts; i++) {
        const char *member = APR_ARRAY_IDX(list->fields, i, cs_member_column_t).member;

        if (column_of_member(list->item, member)) {
            cs_load_error(l, cs_load_ptr(l, cs_load_ptr(l, ptr, "item"), member),
                          "\"%s\" is among \"fields\" already; allowed: one column", member);
        }
    }
}

/* ---- bounds ---- */

static void load_min(cs_load_t *l, cs_list_t *list, const json_t *min, const char *ptr)
{
    const char *key;
    json_t *value;
    int i;

    list->min_by_kind = min;
    json_object_foreach((json_t *)min, key, value) {
        for (i = 0; cs_referral_kinds[i] && strcmp(cs_referral_kinds[i], key); i++) {
        }
        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (!cs_referral_kinds[i]) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "\"%s\" is no kind of a referral; allowed: co-sell, p2p, partner-led, "
                          "private, marketplace-lead, qualified-lead",
                          key);
        }
        else if (!json_is_integer(value) || json_integer_value(value) < 0 ||
                 json_integer_value(value) > ITEMS_MOST) {
            cs_load_error(l, cs_load_ptr(l, ptr, key), "%s is out of range; allowed: 0 to %d",
                          cs_json_print(value, l->p), ITEMS_MOST);
        }
    }
}

static void load_bounds(cs_load_t *l, cs_list_t *list, const json_t *json, const char *ptr)
{
    const json_t *min = cs_json_get(json, "min");

    list->max = cs_load_int(l, json, ptr, "max", 1, ITEMS_MOST, 0);
    if (json_is_object(min)) {
        load_min(l, list, min, cs_load_ptr(l, ptr, "min"));
        return;
    }
    list->min = cs_load_int(l, json, ptr, "min", 0, ITEMS_MOST, 0);
    if (list->max && list->min > list->max) {
        cs_load_error(l, cs_load_ptr(l, ptr, "min"), "%d is more than \"max\"; allowed: 0 to %d",
                      list->min, list->max);
    }
}

/* ---- a list ---- */

static const cs_member_t list_members[] = {{"pc", CS_J_TEXT, NULL},
                                           {"key", CS_J_TEXT, NULL},
                                           {"crm", CS_J_OBJECT, NULL},
                                           {"item", CS_J_OBJECT, NULL},
                                           {"set", CS_J_OBJECT, NULL},
                                           {"required", CS_J_ARRAY, NULL},
                                           {"min", CS_J_INT | CS_J_OBJECT, NULL},
                                           {"max", CS_J_INT, NULL},
                                           {"direction", CS_J_TEXT, NULL},
                                           {"to_crm", CS_J_TEXT, NULL},
                                           {"to_pc", CS_J_TEXT, NULL},
                                           {"events", CS_J_ARRAY, NULL},
                                           {"when", CS_J_OBJECT | CS_J_BOOL, NULL},
                                           {"conflict", CS_J_TEXT, NULL},
                                           {"enabled", CS_J_BOOL, NULL},
                                           {NULL, 0, NULL}};

static void load_rules(cs_load_t *l, cs_list_t *list, const json_t *json, const char *ptr)
{
    static const char *const directions[] = {"both", "to_pc", "to_crm", NULL};
    static const char *const policies[] = {"hold", "partner-center", "crm", NULL};
    static const char *const add_only[] = {"add-only", NULL};
    int direction = cs_load_word(l, json, ptr, "direction", directions, 0);

    list->to_pc = direction != 2;
    list->to_crm = direction != 1;
    list->to_crm_add_only =
        cs_json_get(json, "to_crm") && cs_load_word(l, json, ptr, "to_crm", add_only, 0) == 0;
    list->to_pc_add_only =
        cs_json_get(json, "to_pc") && cs_load_word(l, json, ptr, "to_pc", add_only, 0) == 0;
    if ((list->to_crm_add_only && !list->to_crm) || (list->to_pc_add_only && !list->to_pc)) {
        const char *name = list->to_crm ? "to_pc" : "to_crm";

        cs_load_error(l, cs_load_ptr(l, ptr, name),
                      "the list does not go that way; allowed: no \"%s\" beside \"direction\": "
                      "\"%s\"",
                      name, directions[direction]);
    }
    list->events = cs_load_events(l, json, ptr, CS_ON_CREATE | CS_ON_UPDATE);
    list->conflict = (cs_policy_e)cs_load_word(l, json, ptr, "conflict", policies, CS_POLICY_HOLD);
    if (cs_json_get(json, "when")) {
        list->when = cs_load_cond(l, cs_json_get(json, "when"), cs_load_ptr(l, ptr, "when"));
    }
}

static cs_list_t *load_list(cs_load_t *l, const char *name, const json_t *json, const char *ptr)
{
    cs_list_t *list = apr_pcalloc(l->p, sizeof(*list));
    const json_t *item = cs_json_get(json, "item"), *set = cs_json_get(json, "set");
    int errors = l->said;

    list->name = apr_pstrdup(l->p, name);
    list->pointer = ptr;
    if (!cs_load_members(l, json, ptr, list_members)) {
        return NULL;
    }
    if (!cs_json_bool(json, "enabled", 1)) {
        list->off = 1;
        list->off_why = "it is disabled";
    }
    load_rules(l, list, json, ptr);
    load_pc(l, list, json, ptr);
    if (!cs_json_get(json, "crm")) {
        cs_load_error(l, ptr, "\"crm\" is missing; allowed: where the CRM keeps the items");
        return NULL;
    }
    cs_load_list_crm(l, list, cs_json_get(json, "crm"), cs_load_ptr(l, ptr, "crm"));
    if (item) {
        list->item = cs_load_item_members(l, list, item, cs_load_ptr(l, ptr, "item"));
        if (!list->find && !list->off) {
            cs_load_error(l, cs_load_ptr(l, ptr, "item"),
                          "\"item\" has columns of the row found; allowed: with \"find\"");
        }
    }
    check_once(l, list, ptr);
    take_key_column(l, list, ptr, l->said == errors);
    if (set) {
        load_set(l, list, set, cs_load_ptr(l, ptr, "set"));
    }
    if (cs_json_get(json, "required")) {
        load_required(l, list, cs_json_get(json, "required"), cs_load_ptr(l, ptr, "required"));
    }
    load_bounds(l, list, json, ptr);
    return list;
}

void cs_load_lists(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr)
{
    const char *key;
    json_t *value;
    int i;

    json_object_foreach((json_t *)json, key, value) {
        const char *at = cs_load_ptr(l, ptr, key);
        cs_list_t *list;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (!*key || strchr("$@", *key) || strchr(key, '/')) {
            cs_load_error(l, at,
                          "\"%s\" is no name of a list; allowed: a text without / that begins with "
                          "neither $ nor @",
                          key);
            continue;
        }
        for (i = 0; i < kind->lines->nelts; i++) {
            if (!strcmp(APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->name, key)) {
                cs_load_error(l, at, "\"%s\" is the name of a line already", key);
            }
        }
        list = load_list(l, key, value, at);
        if (list) {
            APR_ARRAY_PUSH(kind->lists, cs_list_t *) = list;
        }
    }
}
