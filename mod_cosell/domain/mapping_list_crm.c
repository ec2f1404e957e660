/* domain/mapping_list_crm.c: where the CRM keeps the items of a list: rows of a table, a column of
 * the record, or its users. */
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

static void switch_off(cs_load_t *l, cs_list_t *list, const char *name)
{
    list->off = 1;
    list->off_why =
        list->off_why ? list->off_why : apr_psprintf(l->p, "%s is null in \"names\"", name);
}

/* A plain column; 0 when the list is switched off by it or it was a mistake. */
static int take_column(cs_load_t *l, cs_list_t *list, const json_t *json, const char *ptr,
                       const char *name, const char **pout)
{
    const char *text = cs_json_str(json, name);
    const cs_column_t *column = cs_load_own_column(l, text, cs_load_ptr(l, ptr, name));

    *pout = column ? column->text : NULL;
    if (column && !column->text) {
        switch_off(l, list, text);
    }
    return *pout != NULL;
}

static int take_name(cs_load_t *l, cs_list_t *list, const json_t *json, const char *ptr,
                     const char *name, const char **pout)
{
    const char *text = cs_json_str(json, name);
    int off;

    *pout = cs_load_name(l, text, cs_load_ptr(l, ptr, name), &off);
    if (off) {
        switch_off(l, list, text);
    }
    return *pout != NULL;
}

/* NULL when there are none, and after a reported mistake. */
static const json_t *take_constants(cs_load_t *l, const json_t *json, const char *ptr,
                                    const char *name, const char **poff)
{
    const json_t *constants = cs_json_get(json, name), *out = NULL;

    *poff = NULL;
    if (constants) {
        out = cs_load_columns_are(l, constants, cs_load_ptr(l, ptr, name), 0, poff);
    }
    return json_object_size(out) ? out : NULL;
}

/* Rows of which a constant is switched off are not told from others. */
static void take_where(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr)
{
    const json_t *where = cs_json_get(crm, "where");
    const char *off, *key;
    json_t *value;

    list->where = take_constants(l, crm, ptr, "where", &off);
    json_object_foreach((json_t *)where, key, value) {
        const char *text = json_string_value(value);

        if (text && *text == '@' && json_is_null(cs_json_get(l->names, text + 1))) {
            off = text;
        }
    }
    if (off) {
        switch_off(l, list, off);
    }
}

static void load_find(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr)
{
    const char *name = cs_json_str(crm, "find");

    if (name) {
        list->find = cs_load_item_find(l, name, list->pc, cs_load_ptr(l, ptr, "find"));
    }
    if (list->find && list->find->off_why) {
        list->off = 1;
        list->off_why = list->off_why ? list->off_why : list->find->off_why;
    }
}

static void refuse_members(cs_load_t *l, const json_t *crm, const char *ptr, const char *shape,
                           const char *const *names)
{
    for (; *names; names++) {
        if (cs_json_get(crm, *names)) {
            cs_load_error(l, cs_load_ptr(l, ptr, *names), "\"%s\" has no meaning with \"%s\"",
                          *names, shape);
        }
    }
}

static void load_child(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr)
{
    const json_t *fields = cs_json_get(crm, "fields");
    const char *column;

    list->shape = CS_LIST_CHILD;
    take_name(l, list, crm, ptr, "child", &list->table);
    if (!cs_json_str(crm, "parent")) {
        cs_load_error(
            l, ptr, "\"parent\" is missing; allowed: the look-up column that points to the record");
    }
    take_column(l, list, crm, ptr, "parent", &list->parent);
    if (take_column(l, list, crm, ptr, "column", &column)) {
        list->column = cs_load_column(l, column, ptr);
    }
    if ((cs_json_get(crm, "column") != NULL) != (cs_json_get(crm, "find") != NULL)) {
        cs_load_error(
            l, ptr, "\"column\" and \"find\" belong together; allowed: both, or \"fields\" alone");
    }
    take_where(l, list, crm, ptr);
    list->row_key = cs_load_row_key(l, crm, ptr);
    if (fields) {
        list->fields = cs_load_item_members(l, list, fields, cs_load_ptr(l, ptr, "fields"));
    }
    if (!fields && !cs_json_get(crm, "find") && !cs_json_get(crm, "column")) {
        cs_load_error(l, ptr,
                      "nothing of a row is read; allowed: \"column\" and \"find\", or \"fields\"");
    }
}

static void load_shown(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr)
{
    static const char *const strange[] = {"parent", "where", "fields", "key", NULL};
    const char *column;

    list->shape = CS_LIST_COLUMN;
    refuse_members(l, crm, ptr, "column", strange);
    if (take_column(l, list, crm, ptr, "column", &column)) {
        list->column = cs_load_column(l, column, ptr);
    }
    if (!cs_json_get(crm, "find")) {
        cs_load_error(l, ptr, "\"find\" is missing; allowed: a name of \"find\"");
    }
}

static const cs_member_t user_members[] = {{"record_team", CS_J_TEXT, NULL},
                                           {"child", CS_J_TEXT, NULL},
                                           {"parent", CS_J_TEXT, NULL},
                                           {"column", CS_J_TEXT, NULL},
                                           {"set", CS_J_OBJECT, NULL},
                                           {"key", CS_J_TEXT, NULL},
                                           {NULL, 0, NULL}};

/* One place where users are kept; 0 when it is switched off or a mistake. */
static int load_home(cs_load_t *l, cs_list_t *list, cs_list_users_t *home, const json_t *json,
                     const char *ptr)
{
    cs_list_t probe; /* takes the name that is off: one place less is no list less */
    const cs_column_t *column;
    const char *off;

    memset(home, 0, sizeof(*home));
    memset(&probe, 0, sizeof(probe));
    if (json_is_string(json)) {
        column = cs_load_own_column(l, json_string_value(json), ptr);
        home->column = column ? column->text : NULL;
        return home->column != NULL;
    }
    if (!cs_load_members(l, json, ptr, user_members)) {
        return 0;
    }
    if (cs_json_str(json, "record_team")) {
        static const char *const strange[] = {"child", "parent", "column", "set", "key", NULL};

        if (!l->facts->record_teams) {
            cs_load_error(l, cs_load_ptr(l, ptr, "record_team"),
                          "records of this CRM have no teams of users; allowed: a column, "
                          "{\"child\", \"parent\", \"column\"}");
        }
        refuse_members(l, json, ptr, "record_team", strange);
        return take_name(l, &probe, json, ptr, "record_team", &home->team);
    }
    if (!cs_json_str(json, "child") || !cs_json_str(json, "parent") ||
        !cs_json_str(json, "column")) {
        cs_load_error(l, ptr,
                      "%s is no place for users; allowed: a column, {\"record_team\": name}, "
                      "{\"child\", \"parent\", \"column\"}",
                      cs_json_print(json, l->p));
        return 0;
    }
    home->set = take_constants(l, json, ptr, "set", &off);
    list->row_key = cs_load_row_key(l, json, ptr);
    return take_name(l, &probe, json, ptr, "child", &home->child) &
           take_column(l, &probe, json, ptr, "parent", &home->parent) &
           take_column(l, &probe, json, ptr, "column", &home->user);
}

static void load_users(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr)
{
    static const char *const strange[] = {"child",  "parent", "column", "where",
                                          "fields", "key",    NULL};
    const json_t *users = cs_json_get(crm, "users");
    const char *at = cs_load_ptr(l, ptr, "users");
    int columns = 0, rows = 0, errors = l->said;
    size_t i;

    list->shape = CS_LIST_USERS;
    list->users = apr_array_make(l->p, 2, sizeof(cs_list_users_t));
    refuse_members(l, crm, ptr, "users", strange);
    for (i = 0; i < json_array_size(users); i++) {
        cs_list_users_t home;

        if (load_home(l, list, &home, json_array_get(users, i), cs_load_ptr_at(l, at, i))) {
            APR_ARRAY_PUSH(list->users, cs_list_users_t) = home;
            columns += home.column != NULL;
            rows += home.column == NULL;
        }
    }
    if (columns > 1 || rows > 1) {
        cs_load_error(l, at,
                      "users are kept in one column and one team or table at most; allowed: for "
                      "example [\"ownerid\", {\"record_team\": \"Opportunity Sales Team\"}]");
    }
    if (list->users->nelts == 0 && l->said == errors) {
        if (json_array_size(users)) {
            switch_off(l, list, "every place for users");
        }
        else {
            cs_load_error(l, at, "no place for users; allowed: at least one");
        }
    }
    if (!cs_json_get(crm, "find")) {
        cs_load_error(l, ptr, "\"find\" is missing; allowed: the look-up of a user");
    }
}

static const cs_member_t crm_members[] = {
    {"child", CS_J_TEXT, NULL},  {"parent", CS_J_TEXT, NULL},  {"column", CS_J_TEXT, NULL},
    {"find", CS_J_TEXT, NULL},   {"where", CS_J_OBJECT, NULL}, {"fields", CS_J_OBJECT, NULL},
    {"users", CS_J_ARRAY, NULL}, {"key", CS_J_TEXT, NULL},     {NULL, 0, NULL}};

void cs_load_list_crm(cs_load_t *l, cs_list_t *list, const json_t *crm, const char *ptr)
{
    if (!cs_load_members(l, crm, ptr, crm_members)) {
        return;
    }
    if (cs_json_get(crm, "users")) {
        load_users(l, list, crm, ptr);
    }
    else if (cs_json_get(crm, "child")) {
        load_child(l, list, crm, ptr);
    }
    else if (cs_json_get(crm, "column")) {
        load_shown(l, list, crm, ptr);
    }
    else {
        cs_load_error(
            l, ptr,
            "no place for the items; allowed: \"child\" (rows of a table), \"column\" (one "
            "look-up of the record), \"users\"");
    }
    load_find(l, list, crm, ptr);
}
