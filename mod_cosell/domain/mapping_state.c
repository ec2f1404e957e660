/* domain/mapping_state.c: columns with values, and the two tables of the state. */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "mapping_internal.h"

#define CLOSE CS_CLOSE "/"

/* What is set in a row, and where. */
typedef struct place_t {
    cs_set_e what;
    const char *table;
} place_t;

static int load_constant(cs_load_t *l, cs_set_t *set, const json_t *json, const char *ptr,
                         cs_set_e what)
{
    int off;

    if (json_is_array(json) && what != CS_SET_ASKED) {
        cs_load_error(l, ptr, "%s is no constant; allowed: a number, a text, true, false",
                      cs_json_print(json, l->p));
        return 0;
    }
    set->constant = cs_load_value(l, json, ptr, &off);
    if (off && what == CS_SET_ASKED) {
        cs_load_error(l, ptr, "%s is switched off (null) and cannot be asked",
                      cs_json_print(json, l->p));
    }
    return set->constant != NULL;
}

static int load_set_text(cs_load_t *l, cs_set_t *set, const json_t *json, const char *ptr,
                         cs_set_e what)
{
    const char *text = json_string_value(json);

    if (*text == '$') {
        cs_load_error(l, ptr, "\"%s\" is not computed here; allowed: a constant%s", text,
                      what == CS_SET_SHOWN ? ", a path, a value table" : "");
        return 0;
    }
    if ((*text == '/' || !strncmp(text, "microsoft:/", 11) || !strncmp(text, "invite:/", 8)) &&
        what == CS_SET_SHOWN) {
        set->path = cs_load_path(l, text, ptr);
        return set->path != NULL;
    }
    return load_constant(l, set, json, ptr, what);
}

/* {"record_type": "Services"}: the row that says so. */
static int load_record_type(cs_load_t *l, cs_set_t *set, const json_t *json, const char *ptr,
                            const place_t *place)
{
    static const cs_member_t members[] = {{"record_type", CS_J_TEXT, NULL}, {NULL, 0, NULL}};
    const cs_crm_facts_t *facts = l->facts;
    const char *at = cs_load_ptr(l, ptr, "record_type"), *name;
    int off;

    if (!cs_load_members(l, json, ptr, members)) {
        return 0;
    }
    if (!facts->record_types) {
        cs_load_error(l, at, "records of this CRM have no types; allowed: a constant");
        return 0;
    }
    if (place->what != CS_SET_START) {
        cs_load_error(l, at,
                      "a record gets its type when it is made; allowed: in \"set\" of \"from_pc\"");
        return 0;
    }
    name = cs_load_name(l, cs_json_str(json, "record_type"), at, &off);
    if (name) {
        set->constant = cs_json_own(
            json_pack("{s:{s:s,s:s,s:[{s:s}],s:{s:s},s:s,s:s}}", "$lookup", "find", "record type",
                      "table", facts->record_types, "keys", facts->record_type_by, name, "where",
                      facts->record_type_of, place->table, "several", "hold", "none", "hold"),
            l->p);
    }
    return name != NULL;
}

static int load_set_value(cs_load_t *l, cs_set_t *set, const json_t *json, const char *ptr,
                          const place_t *place)
{
    static const cs_member_t members[] = {
        {"pc", CS_J_TEXT, NULL}, {"values", CS_J_TEXT | CS_J_OBJECT, NULL}, {NULL, 0, NULL}};

    if (json_is_string(json)) {
        return load_set_text(l, set, json, ptr, place->what);
    }
    if (!json_is_object(json)) {
        return load_constant(l, set, json, ptr, place->what);
    }
    if (cs_json_get(json, "record_type")) {
        return load_record_type(l, set, json, ptr, place);
    }
    if (place->what != CS_SET_SHOWN) {
        cs_load_error(l, ptr, "%s is no constant; allowed: a number, a text, true, false",
                      cs_json_print(json, l->p));
        return 0;
    }
    if (!cs_load_members(l, json, ptr, members)) {
        return 0;
    }
    if (!cs_json_str(json, "pc") || !cs_json_get(json, "values")) {
        cs_load_error(l, ptr,
                      "\"pc\" and \"values\" belong together; allowed: {\"pc\": \"/path\", "
                      "\"values\": \"table\"}");
        return 0;
    }
    set->path = cs_load_path(l, cs_json_str(json, "pc"), cs_load_ptr(l, ptr, "pc"));
    set->values =
        cs_load_values(l, cs_json_get(json, "values"), cs_load_ptr(l, ptr, "values"), "values");
    return set->path && set->values;
}

apr_array_header_t *cs_load_set(cs_load_t *l, const json_t *json, const char *ptr, cs_set_e what,
                                const char *table)
{
    const place_t place = {what, table};
    apr_array_header_t *out = apr_array_make(l->p, 4, sizeof(cs_set_t));
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)json, key, value) {
        const char *at = cs_load_ptr(l, ptr, key);
        const cs_column_t *column;
        cs_set_t set;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        memset(&set, 0, sizeof(set));
        column = cs_load_column(l, key, at);
        if (column && column->of) {
            cs_load_error(l, at, "\"%s\" is read through a look-up and cannot be set",
                          column->written);
        }
        else if (column && column->text && load_set_value(l, &set, value, at, &place)) {
            set.column = column->text;
            APR_ARRAY_PUSH(out, cs_set_t) = set;
        }
    }
    return out;
}

/* ---- states ---- */

static const char *const states[] = {
    "New",        "New/Pending", "New/Received",    "Active",         "Active/Accepted", "Closed",
    "Closed/Won", "Closed/Lost", "Closed/Declined", "Closed/Expired", "Closed/Error",    NULL};

static int state_known(cs_load_t *l, const char *text, const char *ptr)
{
    const char *all = "";
    int i;

    for (i = 0; states[i]; i++) {
        if (text && !strcmp(states[i], text)) {
            return 1;
        }
        all = apr_pstrcat(l->p, all, i ? ", " : "", states[i], NULL);
    }
    cs_load_error(l, ptr, "%s%s%s is no state of a referral; allowed: %s", text ? "\"" : "",
                  text ? text : "nothing", text ? "\"" : "", all);
    return 0;
}

static void push_action(cs_load_t *l, cs_hear_t *row, const json_t *json, const char *ptr)
{
    static const char *const actions[] = {"wait", "accept", "decline", "win",
                                          "lose", "stay",   "refuse",  NULL};
    const char *text = json_string_value(json);
    int i;

    for (i = 0; text && actions[i]; i++) {
        if (!strcmp(actions[i], text)) {
            APR_ARRAY_PUSH(row->actions, const char *) = actions[i];
            return;
        }
    }
    cs_load_error(l, ptr,
                  "%s is no action; allowed: wait, accept, decline, win, lose, stay, refuse",
                  cs_json_print(json, l->p));
}

static void load_actions(cs_load_t *l, cs_hear_t *row, const json_t *json, const char *ptr)
{
    size_t i;

    row->actions = apr_array_make(l->p, 2, sizeof(const char *));
    if (!json_is_array(json)) {
        push_action(l, row, json, ptr);
        return;
    }
    for (i = 0; i < json_array_size(json); i++) {
        push_action(l, row, json_array_get(json, i), cs_load_ptr_at(l, ptr, i));
    }
    if (row->actions->nelts == 0) {
        cs_load_error(l, ptr, "no action; allowed: at least one");
    }
}

/* "@close/description": a column of the activity that closed the record. */
static const cs_column_t *load_note(cs_load_t *l, const cs_mapping_kind_t *kind, const char *text,
                                    const char *ptr)
{
    cs_column_t *column;

    if (strncmp(text, CLOSE, strlen(CLOSE))) {
        return cs_load_column(l, text, ptr);
    }
    if (!l->facts->closes || strcmp(kind->table, l->facts->closes)) {
        cs_load_error(l, ptr,
                      "closing a row of %s leaves no activity; allowed: a column of the "
                      "record",
                      kind->table);
        return NULL;
    }
    if (strcmp(text, CLOSE "description")) {
        cs_load_error(l, ptr,
                      "\"%s\" is not kept by a closing activity; allowed: %sdescription, or a "
                      "column of the record",
                      text, CLOSE);
        return NULL;
    }
    column = apr_pcalloc(l->p, sizeof(*column));
    column->text = apr_pstrdup(l->p, text);
    column->name = CS_CLOSE;
    column->of = "description";
    return column;
}

static void load_reason(cs_load_t *l, const cs_mapping_kind_t *kind, cs_hear_t *row,
                        const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {{"crm", CS_J_TEXT, NULL},
                                          {"values", CS_J_TEXT | CS_J_OBJECT, NULL},
                                          {"note", CS_J_TEXT, NULL},
                                          {NULL, 0, NULL}};

    if (!json || !cs_load_members(l, json, ptr, members)) {
        return;
    }
    if (!cs_json_str(json, "crm") || !cs_json_get(json, "values")) {
        cs_load_error(l, ptr,
                      "\"crm\" and \"values\" belong together; allowed: {\"crm\": \"column\", "
                      "\"values\": \"table\"}");
        return;
    }
    row->reason = cs_load_column(l, cs_json_str(json, "crm"), cs_load_ptr(l, ptr, "crm"));
    row->reason_values =
        cs_load_values(l, cs_json_get(json, "values"), cs_load_ptr(l, ptr, "values"), "values");
    if (cs_json_str(json, "note")) {
        row->note = load_note(l, kind, cs_json_str(json, "note"), cs_load_ptr(l, ptr, "note"));
    }
}

/* A column that is switched off would make its row match more than it says. */
static void check_asked(cs_load_t *l, const json_t *crm, const char *ptr)
{
    const char *key;
    json_t *value;
    int off;

    json_object_foreach((json_t *)crm, key, value) {
        if (*key == '@' && !cs_load_name(l, key, cs_load_ptr(l, ptr, key), &off) && off) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "\"%s\" is switched off (null) and cannot be asked", key);
        }
    }
}

/* Per cent, as Partner Center counts its stages. (cosell-connectors.md 3.8) */
static int load_stage(cs_load_t *l, const json_t *json, const char *ptr)
{
    static const int stages[] = {10, 20, 40, 60, 80, 100};
    size_t i;

    for (i = 0; json && i < sizeof(stages) / sizeof(stages[0]); i++) {
        if (json_integer_value(json) == stages[i]) {
            return stages[i];
        }
    }
    if (json) {
        cs_load_error(l, ptr, "%s is no sales stage; allowed: 10, 20, 40, 60, 80, 100",
                      cs_json_print(json, l->p));
    }
    return 0;
}

static void load_hear(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {{"pc", CS_J_TEXT, NULL},
                                          {"crm", CS_J_OBJECT, NULL},
                                          {"do", CS_J_TEXT | CS_J_ARRAY, NULL},
                                          {"reason", CS_J_OBJECT, NULL},
                                          {"not_before", CS_J_TEXT, NULL},
                                          {"say", CS_J_TEXT, NULL},
                                          {"sales_stage", CS_J_INT, NULL},
                                          {NULL, 0, NULL}};
    const char *text = cs_json_str(json, "not_before");
    cs_hear_t row;

    memset(&row, 0, sizeof(row));
    if (!cs_load_members(l, json, ptr, members)) {
        return;
    }
    if (!state_known(l, cs_json_str(json, "pc"), cs_load_ptr(l, ptr, "pc"))) {
        return;
    }
    row.pc = apr_pstrdup(l->p, cs_json_str(json, "pc"));
    row.say = apr_pstrdup(l->p, cs_json_str(json, "say"));
    row.crm = cs_load_set(l, cs_json_get(json, "crm"), cs_load_ptr(l, ptr, "crm"), CS_SET_ASKED,
                          kind->table);
    check_asked(l, cs_json_get(json, "crm"), cs_load_ptr(l, ptr, "crm"));
    if (!cs_json_get(json, "do")) {
        cs_load_error(l, ptr, "\"do\" is missing; allowed: an action or an array of actions");
        return;
    }
    load_actions(l, &row, cs_json_get(json, "do"), cs_load_ptr(l, ptr, "do"));
    load_reason(l, kind, &row, cs_json_get(json, "reason"), cs_load_ptr(l, ptr, "reason"));
    if (text && cs_interval_parse(&row.not_before, text, "s")) {
        cs_load_error(l, cs_load_ptr(l, ptr, "not_before"),
                      "\"%s\" is no time; allowed: \"90s\", \"5m\", \"72h\", \"7d\"", text);
    }
    row.sales_stage =
        load_stage(l, cs_json_get(json, "sales_stage"), cs_load_ptr(l, ptr, "sales_stage"));
    APR_ARRAY_PUSH(kind->hear, cs_hear_t) = row;
}

/* An action's parameters have no labels of their own. */
static void check_call_values(cs_load_t *l, const cs_show_t *show, const char *ptr)
{
    int i;

    for (i = 0; show->call && i < show->set->nelts; i++) {
        const cs_set_t *set = &APR_ARRAY_IDX(show->set, i, cs_set_t);

        if (set->values && set->values->by_label) {
            cs_load_error(l, cs_load_ptr(l, cs_load_ptr(l, ptr, "set"), set->column),
                          "a parameter of %s has no labels; allowed: values with \"match_by\": "
                          "\"value\"",
                          show->call);
        }
    }
}

/* Where the state follows from another column, that may be any. */
static int sets_state(const cs_load_t *l, const cs_show_t *show)
{
    int i;

    if (l->facts->state_follows) {
        return show->set->nelts > 0;
    }
    for (i = 0; i < show->set->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(show->set, i, cs_set_t).column, l->facts->state_column)) {
            return 1;
        }
    }
    return 0;
}

/* A live opportunity is never lost because someone tidied up a duplicate or a referral ran out.
 * (deals 5) */
static void check_show(cs_load_t *l, const cs_show_t *show, const char *ptr)
{
    int closes = show->call != NULL || sets_state(l, show);

    if (!strcmp(show->pc, "Closed/Error") && (closes || show->set->nelts)) {
        cs_load_error(l, ptr, "Error only unlinks; allowed: {\"unlink\": true}");
    }
    if (!strcmp(show->pc, "Closed/Expired") && closes &&
        (!show->if_was || strcmp(show->if_was, "New"))) {
        cs_load_error(l, ptr,
                      "what expired is closed only if it was never accepted; write \"if_was\": "
                      "\"New\" beside it");
    }
    if (show->call && !l->facts->win) {
        cs_load_error(l, cs_load_ptr(l, ptr, "call"),
                      "this CRM has no actions that close; allowed: \"set\" with the column that "
                      "the state follows from");
    }
    else if (show->call && strcmp(show->call, l->facts->win) &&
             strcmp(show->call, l->facts->lose)) {
        cs_load_error(l, cs_load_ptr(l, ptr, "call"),
                      "\"%s\" is no action that closes; allowed: %s, %s", show->call, l->facts->win,
                      l->facts->lose);
    }
}

static void load_show(cs_load_t *l, cs_mapping_kind_t *kind, const char *state, const json_t *json,
                      const char *ptr)
{
    static const cs_member_t members[] = {{"set", CS_J_OBJECT, NULL},
                                          {"call", CS_J_TEXT, NULL},
                                          {"unlink", CS_J_BOOL, NULL},
                                          {"if_was", CS_J_TEXT, NULL},
                                          {NULL, 0, NULL}};
    cs_show_t show;

    memset(&show, 0, sizeof(show));
    if (!state_known(l, state, ptr) || !cs_load_members(l, json, ptr, members)) {
        return;
    }
    show.pc = apr_pstrdup(l->p, state);
    show.call = apr_pstrdup(l->p, cs_json_str(json, "call"));
    show.unlink = cs_json_bool(json, "unlink", 0);
    show.if_was = apr_pstrdup(l->p, cs_json_str(json, "if_was"));
    if (show.if_was) {
        state_known(l, show.if_was, cs_load_ptr(l, ptr, "if_was"));
    }
    show.set = cs_load_set(l, cs_json_get(json, "set"), cs_load_ptr(l, ptr, "set"), CS_SET_SHOWN,
                           kind->table);
    check_show(l, &show, ptr);
    check_call_values(l, &show, ptr);
    APR_ARRAY_PUSH(kind->show, cs_show_t) = show;
}

static void collect_state_columns(cs_load_t *l, cs_mapping_kind_t *kind)
{
    int i, j, k;

    APR_ARRAY_PUSH(kind->state_columns, const char *) = l->facts->state_column;
    for (i = 0; i < kind->hear->nelts; i++) {
        const apr_array_header_t *crm = APR_ARRAY_IDX(kind->hear, i, cs_hear_t).crm;

        for (j = 0; j < crm->nelts; j++) {
            const char *column = APR_ARRAY_IDX(crm, j, cs_set_t).column;

            for (k = 0; k < kind->state_columns->nelts; k++) {
                if (!strcmp(APR_ARRAY_IDX(kind->state_columns, k, const char *), column)) {
                    break;
                }
            }
            if (k == kind->state_columns->nelts) {
                APR_ARRAY_PUSH(kind->state_columns, const char *) = column;
            }
        }
    }
}

static const cs_show_t *show_of(const cs_mapping_kind_t *kind, const char *pc)
{
    int i;

    for (i = 0; i < kind->show->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(kind->show, i, cs_show_t).pc, pc)) {
            return &APR_ARRAY_IDX(kind->show, i, cs_show_t);
        }
    }
    return NULL;
}

static int sets_same(const cs_set_t *set, const apr_array_header_t *other)
{
    int i;

    for (i = 0; i < other->nelts; i++) {
        const cs_set_t *theirs = &APR_ARRAY_IDX(other, i, cs_set_t);

        if (!strcmp(theirs->column, set->column)) {
            return set->constant && theirs->constant &&
                   cs_value_equal(set->constant, theirs->constant);
        }
    }
    return 0;
}

/* An acceptance is heard by what the record shows. */
static void check_answered(cs_load_t *l, const cs_mapping_kind_t *kind, const char *ptr)
{
    const cs_show_t *unanswered = show_of(kind, "New"), *accepted = show_of(kind, "Active");
    int i, same = 0;

    if (!unanswered || !accepted || !unanswered->set->nelts) {
        return;
    }
    for (i = 0; i < unanswered->set->nelts; i++) {
        same += sets_same(&APR_ARRAY_IDX(unanswered->set, i, cs_set_t), accepted->set);
    }
    if (same == unanswered->set->nelts) {
        cs_load_error(l, cs_load_ptr(l, ptr, "Active"),
                      "it shows what New shows, so that nobody could accept a referral; allowed: "
                      "another value in one of them");
    }
}

void cs_load_state(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {
        {"hear", CS_J_ARRAY, NULL}, {"show", CS_J_OBJECT, NULL}, {NULL, 0, NULL}};
    const json_t *hear = cs_json_get(json, "hear"), *show = cs_json_get(json, "show");
    const char *at = cs_load_ptr(l, ptr, "hear"), *key;
    json_t *value;
    size_t i;

    if (json && cs_load_members(l, json, ptr, members)) {
        for (i = 0; i < json_array_size(hear); i++) {
            load_hear(l, kind, json_array_get(hear, i), cs_load_ptr_at(l, at, i));
        }
        at = cs_load_ptr(l, ptr, "show");
        json_object_foreach((json_t *)show, key, value) {
            if (strcmp(key, "$comment")) {
                load_show(l, kind, key, value, cs_load_ptr(l, at, key));
            }
        }
        check_answered(l, kind, at);
    }
    collect_state_columns(l, kind);
}
