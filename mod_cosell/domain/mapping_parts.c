/* domain/mapping_parts.c: the small parts of a mapping: paths, columns, conditions, value tables,
 * look-ups, states. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/time.h"
#include "mapping_internal.h"

#define COND_DEPTH 8

/* ---- places in a referral ---- */

/* "attributes[type=X]" -> step. 0 when it is not written so. */
static int parse_step(cs_pc_step_t *step, char *text)
{
    char *open = strchr(text, '['), *equal, *end;

    memset(step, 0, sizeof(*step));
    step->name = text;
    if (open) {
        end = strchr(open, ']');
        equal = strchr(open, '=');
        if (!end || end[1] || !equal || equal == open + 1 || equal + 1 >= end) {
            return 0;
        }
        *open = *equal = *end = '\0';
        step->sel_name = open + 1;
        step->sel_value = equal + 1;
    }
    for (; *text; text++) {
        if (!apr_isalnum(*text) && *text != '_' && *text != '@' && *text != '.') {
            return 0;
        }
    }
    return *step->name != '\0';
}

static int parse_path(cs_pc_path_t *path, const char *text, apr_pool_t *p)
{
    char *rest = apr_pstrdup(p, text + 1), *part;

    path->text = apr_pstrdup(p, text);
    path->bare = "";
    path->steps = apr_array_make(p, 4, sizeof(cs_pc_step_t));
    for (part = rest; part; part = rest) {
        cs_pc_step_t *step = &APR_ARRAY_PUSH(path->steps, cs_pc_step_t);

        rest = strchr(part, '/');
        if (rest) {
            *rest++ = '\0';
        }
        if (!parse_step(step, part)) {
            return 0;
        }
        path->selects |= step->sel_name != NULL;
        path->bare = apr_pstrcat(p, path->bare, "/", step->name, NULL);
    }
    return 1;
}

const cs_pc_path_t *cs_load_path(cs_load_t *l, const char *text, const char *ptr)
{
    cs_pc_path_t *path = apr_pcalloc(l->p, sizeof(*path));

    if (!text) {
        return NULL;
    }
    if (!strncmp(text, "microsoft:", 10) || !strncmp(text, "invite:", 7)) {
        cs_load_error(l, ptr, "Microsoft's card (\"%s\") is not supported by this version", text);
        return NULL;
    }
    if (strstr(text, "[first]")) {
        cs_load_error(l, ptr, "the selector [first] (\"%s\") is not supported by this version",
                      text);
        return NULL;
    }
    if (*text != '/' || !parse_path(path, text, l->p)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no path of a referral; allowed: \"/details/dealValue\", "
                      "\"/customerProfile/ids[profileType=External]/id\"",
                      text);
        return NULL;
    }
    if (!cs_referral_path_fact(path->bare)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no member of a referral; the members are those of the Partner "
                      "Center referral resource, in its spelling",
                      text);
        return NULL;
    }
    return path;
}

/* ---- columns ---- */

static const char *all_names(cs_load_t *l)
{
    const char *key, *out = "";
    json_t *value;

    if (l->names) {
        json_object_foreach((json_t *)l->names, key, value) {
            out = apr_pstrcat(l->p, out, *out ? ", @" : "@", key, NULL);
        }
    }
    return *out ? out : "none, for \"names\" is empty";
}

/* "@help" -> its name; *off = 1 when that is null. NULL after a reported mistake. */
static const char *resolve_name(cs_load_t *l, const char *text, const char *ptr, int *off)
{
    const json_t *name = cs_json_get(l->names, text + 1);

    *off = 0;
    if (!name) {
        cs_load_error(l, ptr, "\"%s\" is not in \"names\"; allowed: %s", text, all_names(l));
        return NULL;
    }
    *off = json_is_null(name);
    return json_string_value(name);
}

static int column_valid(const char *text)
{
    int slashes = 0;

    if (!apr_isalpha(*text)) {
        return 0;
    }
    for (; *text; text++) {
        slashes += *text == '/';
        if (!apr_isalnum(*text) && *text != '_' && (*text != '/' || !apr_isalpha(text[1]))) {
            return 0;
        }
    }
    return slashes <= 1;
}

const cs_column_t *cs_load_column(cs_load_t *l, const char *text, const char *ptr)
{
    cs_column_t *column = apr_pcalloc(l->p, sizeof(*column));
    const char *slash, *name = text;
    int off = 0;

    if (!text) {
        return NULL;
    }
    if (*text == '@') {
        name = resolve_name(l, text, ptr, &off);
        if (!name) {
            return off ? column : NULL;
        }
    }
    if (!column_valid(name)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no column; allowed: \"name\", \"parentaccountid/name\" (one "
                      "look-up at most), \"@<one of names>\"",
                      name);
        return NULL;
    }
    slash = strchr(name, '/');
    column->text = apr_pstrdup(l->p, name);
    column->name = slash ? apr_pstrmemdup(l->p, name, (apr_size_t)(slash - name)) : column->text;
    column->of = slash ? apr_pstrdup(l->p, slash + 1) : NULL;
    return column;
}

/* ---- conditions ---- */

static const cs_cond_t *load_cond(cs_load_t *l, const json_t *json, const char *ptr, int depth);

static const cs_cond_t *load_group(cs_load_t *l, cs_cond_t *cond, const json_t *json,
                                   const char *name, const char *ptr, int depth)
{
    const json_t *items = cs_json_get(json, name);
    const char *at = cs_load_ptr(l, ptr, name);
    size_t i;

    cond->items = apr_array_make(l->p, 2, sizeof(const cs_cond_t *));
    if (cond->op == CS_COND_NOT) {
        APR_ARRAY_PUSH(cond->items, const cs_cond_t *) = load_cond(l, items, at, depth + 1);
        return cond;
    }
    if (!json_is_array(items) || json_array_size(items) == 0) {
        cs_load_error(l, at, "%s is no list of conditions; allowed: an array of at least one",
                      cs_json_print(items, l->p));
        return cond;
    }
    for (i = 0; i < json_array_size(items); i++) {
        APR_ARRAY_PUSH(cond->items, const cs_cond_t *) =
            load_cond(l, json_array_get(items, i), cs_load_ptr_at(l, at, i), depth + 1);
    }
    return cond;
}

static void load_test(cs_load_t *l, cs_cond_t *cond, const json_t *json, const char *ptr)
{
    const json_t *is = cs_json_get(json, "is"), *in = cs_json_get(json, "in"),
                 *set = cs_json_get(json, "set");

    if ((is != NULL) + (in != NULL) + (set != NULL) != 1) {
        cs_load_error(l, ptr,
                      "a condition asks one thing; allowed: one of \"is\", \"in\", \"set\"");
        return;
    }
    cond->op = is ? CS_COND_IS : in ? CS_COND_IN : CS_COND_SET;
    cond->arg = is ? is : in ? in : set;
}

static void load_subject(cs_load_t *l, cs_cond_t *cond, const json_t *json, const char *ptr)
{
    const char *pc = cs_json_str(json, "pc"), *crm = cs_json_str(json, "crm");

    if ((pc != NULL) + (crm != NULL) != 1) {
        cs_load_error(l, ptr,
                      "a condition asks about one side; allowed: \"pc\" with a path or \"$kind\", "
                      "or \"crm\" with a column");
    }
    else if (crm) {
        cond->crm = cs_load_column(l, crm, cs_load_ptr(l, ptr, "crm"));
        cond->name = *crm == '@' ? apr_pstrdup(l->p, crm + 1) : NULL;
    }
    else if (!strcmp(pc, "$kind")) {
        cond->kind = 1;
    }
    else if (*pc == '$') {
        cs_load_error(l, cs_load_ptr(l, ptr, "pc"), "\"%s\" is not computed; allowed: \"$kind\"",
                      pc);
    }
    else {
        cond->pc = cs_load_path(l, pc, cs_load_ptr(l, ptr, "pc"));
    }
}

static const cs_cond_t *load_cond(cs_load_t *l, const json_t *json, const char *ptr, int depth)
{
    static const cs_member_t members[] = {
        {"pc", CS_J_TEXT, NULL},   {"crm", CS_J_TEXT, NULL},   {"is", CS_J_SCALAR, NULL},
        {"in", CS_J_ARRAY, NULL},  {"set", CS_J_BOOL, NULL},   {"all", CS_J_ARRAY, NULL},
        {"any", CS_J_ARRAY, NULL}, {"not", CS_J_OBJECT, NULL}, {NULL, 0, NULL}};
    static const struct {
        const char *name;
        cs_cond_e op;
    } groups[] = {{"all", CS_COND_ALL}, {"any", CS_COND_ANY}, {"not", CS_COND_NOT}};
    cs_cond_t *cond = apr_pcalloc(l->p, sizeof(*cond));
    size_t i;

    cond->text = cs_json_print(json, l->p);
    cond->op = CS_COND_FALSE;
    if (json_is_boolean(json)) {
        cond->op = json_is_true(json) ? CS_COND_TRUE : CS_COND_FALSE;
        return cond;
    }
    if (depth > COND_DEPTH) {
        cs_load_error(l, ptr, "conditions are nested deeper than %d levels", COND_DEPTH);
        return cond;
    }
    if (!cs_load_members(l, json, ptr, members)) {
        return cond;
    }
    for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (cs_json_get(json, groups[i].name)) {
            if (json_object_size(json) - (cs_json_get(json, "$comment") != NULL) != 1) {
                cs_load_error(l, ptr, "\"%s\" stands alone; allowed: no other member beside it",
                              groups[i].name);
            }
            cond->op = groups[i].op;
            return load_group(l, cond, json, groups[i].name, ptr, depth);
        }
    }
    load_subject(l, cond, json, ptr);
    load_test(l, cond, json, ptr);
    return cond;
}

const cs_cond_t *cs_load_cond(cs_load_t *l, const json_t *json, const char *ptr)
{
    return load_cond(l, json, ptr, 0);
}

/* ---- value tables ---- */

static void load_else(cs_load_t *l, cs_else_t *out, const json_t *json, const char *name,
                      const char *ptr)
{
    static const struct {
        const char *word;
        cs_else_e what;
    } words[] = {{"skip", CS_ELSE_SKIP}, {"hold", CS_ELSE_HOLD}, {"omit", CS_ELSE_OMIT}};
    const json_t *value = cs_json_get(json, name);
    const char *text = json_string_value(value);
    size_t i;

    out->what = CS_ELSE_REFUSE;
    if (!value) {
        return;
    }
    for (i = 0; text && i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(words[i].word, text)) {
            out->what = words[i].what;
            return;
        }
    }
    if (!strcmp(name, "to_pc") && !text) {
        cs_load_error(l, cs_load_ptr(l, ptr, name),
                      "%s is no text; allowed: skip, hold, omit, or the text to send",
                      cs_json_print(value, l->p));
    }
    out->what = CS_ELSE_VALUE;
    out->value = value;
}

static void check_pairs(cs_load_t *l, const json_t *pairs, const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)pairs, key, value) {
        if (strcmp(key, "$comment") &&
            (json_is_object(value) || json_is_array(value) || json_is_null(value))) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "%s is no value of a column; allowed: a number, a text, true, false",
                          cs_json_print(value, l->p));
        }
    }
}

static const cs_values_t *values_of_name(cs_load_t *l, const char *name, const char *ptr)
{
    const char *all = "";
    int i;

    for (i = 0; i < l->values->nelts; i++) {
        const cs_values_t *v = APR_ARRAY_IDX(l->values, i, const cs_values_t *);

        if (!strcmp(v->name, name)) {
            return v;
        }
        all = apr_pstrcat(l->p, all, *all ? ", " : "", v->name, NULL);
    }
    /* A table that is there and was refused has been reported already. */
    if (!cs_json_get(l->values_json, name)) {
        cs_load_error(l, ptr, "\"%s\" is not in \"values\"; allowed: %s", name,
                      *all ? all : "none, for \"values\" is empty");
    }
    return NULL;
}

const cs_values_t *cs_load_values(cs_load_t *l, const json_t *json, const char *ptr,
                                  const char *name)
{
    static const cs_member_t members[] = {{"match_by", CS_J_TEXT, NULL},
                                          {"pairs", CS_J_OBJECT, NULL},
                                          {"empty", CS_J_ARRAY, NULL},
                                          {"else", CS_J_OBJECT, NULL},
                                          {NULL, 0, NULL}};
    static const cs_member_t elses[] = {
        {"to_crm", CS_J_SCALAR, NULL}, {"to_pc", CS_J_SCALAR, NULL}, {NULL, 0, NULL}};
    static const char *const match_bys[] = {"value", "label", NULL};
    cs_values_t *values = apr_pcalloc(l->p, sizeof(*values));
    const json_t *other = cs_json_get(json, "else");

    if (json_is_string(json)) {
        return values_of_name(l, json_string_value(json), ptr);
    }
    if (!cs_load_members(l, json, ptr, members)) {
        return NULL;
    }
    if (cs_load_word(l, json, ptr, "match_by", match_bys, 0)) {
        cs_load_error(l, cs_load_ptr(l, ptr, "match_by"),
                      "values by label are not supported by this version; allowed: value");
    }
    values->name = apr_pstrdup(l->p, name);
    values->pairs = cs_json_get(json, "pairs");
    values->empty = cs_json_get(json, "empty");
    if (values->pairs) {
        check_pairs(l, values->pairs, cs_load_ptr(l, ptr, "pairs"));
    }
    if (other && cs_load_members(l, other, cs_load_ptr(l, ptr, "else"), elses)) {
        load_else(l, &values->to_crm, other, "to_crm", cs_load_ptr(l, ptr, "else"));
        load_else(l, &values->to_pc, other, "to_pc", cs_load_ptr(l, ptr, "else"));
    }
    return values;
}

/* ---- look-ups ---- */

static apr_array_header_t *load_parts(cs_load_t *l, const json_t *json, const char *ptr)
{
    apr_array_header_t *parts = apr_array_make(l->p, 4, sizeof(cs_find_part_t));
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)json, key, value) {
        const char *at = cs_load_ptr(l, ptr, key), *text = json_string_value(value);
        const cs_column_t *column;
        cs_find_part_t *part;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        column = cs_load_column(l, key, at);
        if (!text || !column || column->of || !column->text) {
            cs_load_error(l, at,
                          "%s: %s; allowed: a column and a path of the referral, or \".\" for the "
                          "line's own value",
                          key, cs_json_print(value, l->p));
            continue;
        }
        if (strcmp(text, ".") && *text != '/') {
            cs_load_error(l, at,
                          "\"%s\" is relative to an item of a list, and lists are not supported by "
                          "this version; allowed: \"/path\", \".\"",
                          text);
            continue;
        }
        part = &APR_ARRAY_PUSH(parts, cs_find_part_t);
        part->column = column->text;
        part->path = *text == '/' ? cs_load_path(l, text, at) : NULL;
    }
    return parts;
}

static void check_where(cs_load_t *l, const json_t *where, const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)where, key, value) {
        if (json_is_object(value) || json_is_array(value)) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "%s is no constant; allowed: a number, a text, true, false",
                          cs_json_print(value, l->p));
        }
    }
}

static void load_by(cs_load_t *l, cs_find_t *find, const json_t *by, const char *ptr)
{
    size_t i;

    find->by = apr_array_make(l->p, 2, sizeof(apr_array_header_t *));
    for (i = 0; i < json_array_size(by); i++) {
        const json_t *set = json_array_get(by, i);

        if (!json_is_object(set) || json_object_size(set) == 0) {
            cs_load_error(l, cs_load_ptr_at(l, ptr, i),
                          "%s is no key; allowed: an object from columns to paths",
                          cs_json_print(set, l->p));
            continue;
        }
        APR_ARRAY_PUSH(find->by, apr_array_header_t *) =
            load_parts(l, set, cs_load_ptr_at(l, ptr, i));
    }
    if (!json_is_array(by) || json_array_size(by) == 0) {
        cs_load_error(l, ptr,
                      "\"by\" is missing or empty; allowed: an array of keys, the best one first");
    }
}

const cs_find_t *cs_load_find(cs_load_t *l, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {
        {"table", CS_J_TEXT, NULL},
        {"by", CS_J_ARRAY, NULL},
        {"where", CS_J_OBJECT, NULL},
        {"several", CS_J_TEXT, NULL},
        {"none", CS_J_TEXT, NULL},
        {"create", CS_J_OBJECT, NULL},
        {"within", CS_J_OBJECT, "\"within\" (a look-up among the rows of another) is"},
        {NULL, 0, NULL}};
    static const char *const severals[] = {"hold", NULL};
    static const char *const nones[] = {"hold", "skip", "create", NULL};
    cs_find_t *find = apr_pcalloc(l->p, sizeof(*find));
    const json_t *create = cs_json_get(json, "create");

    if (!cs_load_members(l, json, ptr, members)) {
        return NULL;
    }
    if (!cs_json_str(json, "table")) {
        cs_load_error(
            l, ptr,
            "\"table\" is missing; allowed: the logical name of a table, for example \"account\"");
        return NULL;
    }
    find->table = apr_pstrdup(l->p, cs_json_str(json, "table"));
    find->where = cs_json_get(json, "where");
    find->several = severals[cs_load_word(l, json, ptr, "several", severals, 0)];
    find->none = (cs_none_e)cs_load_word(l, json, ptr, "none", nones, CS_NONE_HOLD);
    load_by(l, find, cs_json_get(json, "by"), cs_load_ptr(l, ptr, "by"));
    if (find->where) {
        check_where(l, find->where, cs_load_ptr(l, ptr, "where"));
    }
    if ((find->none == CS_NONE_CREATE) != (create != NULL)) {
        cs_load_error(l, ptr,
                      "\"none\": \"create\" and the member \"create\" belong together; allowed: "
                      "both or neither");
    }
    else if (create) {
        find->create = load_parts(l, create, cs_load_ptr(l, ptr, "create"));
    }
    return find;
}

/* ---- columns with values ---- */

static const json_t *own_text(cs_load_t *l, const char *text)
{
    return cs_json_own(json_string(text), l->p);
}

static int load_set_text(cs_load_t *l, cs_set_t *set, const char *text, const json_t *json,
                         const char *ptr, int plain)
{
    int off = 0;

    if (*text == '@') {
        const char *name = resolve_name(l, text, ptr, &off);

        set->constant = name ? own_text(l, name) : NULL;
        return name != NULL;
    }
    if (*text == '$') {
        cs_load_error(l, ptr, "\"%s\" is not computed here; allowed: a constant%s", text,
                      plain ? "" : ", a path, a value table");
        return 0;
    }
    if (*text == '/' && !plain) {
        set->path = cs_load_path(l, text, ptr);
        return set->path != NULL;
    }
    set->constant = json;
    return 1;
}

static int load_set_value(cs_load_t *l, cs_set_t *set, const json_t *json, const char *ptr,
                          int plain)
{
    static const cs_member_t members[] = {{"pc", CS_J_TEXT, NULL},
                                          {"values", CS_J_TEXT | CS_J_OBJECT, NULL},
                                          {"record_type", CS_J_TEXT, "a record type is"},
                                          {NULL, 0, NULL}};

    if (json_is_string(json)) {
        return load_set_text(l, set, json_string_value(json), json, ptr, plain);
    }
    if (!json_is_object(json)) {
        set->constant = json;
        return 1;
    }
    if (plain && !cs_json_get(json, "record_type")) {
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

apr_array_header_t *cs_load_set(cs_load_t *l, const json_t *json, const char *ptr, int plain)
{
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
                          column->text);
        }
        else if (column && column->text && load_set_value(l, &set, value, at, plain)) {
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

static void load_reason(cs_load_t *l, cs_hear_t *row, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {
        {"crm", CS_J_TEXT, NULL},
        {"values", CS_J_TEXT | CS_J_OBJECT, NULL},
        {"note", CS_J_TEXT, "\"note\" (the text of a closing activity) is"},
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
}

/* A column that is switched off would make its row match more than it says. */
static void check_asked(cs_load_t *l, const json_t *crm, const char *ptr)
{
    const char *key;
    json_t *value;
    int off;

    json_object_foreach((json_t *)crm, key, value) {
        if (*key == '@' && !resolve_name(l, key, cs_load_ptr(l, ptr, key), &off) && off) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "\"%s\" is switched off (null) and cannot be asked", key);
        }
    }
}

static void load_hear(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {
        {"pc", CS_J_TEXT, NULL},
        {"crm", CS_J_OBJECT, NULL},
        {"do", CS_J_TEXT | CS_J_ARRAY, NULL},
        {"reason", CS_J_OBJECT, NULL},
        {"not_before", CS_J_TEXT, NULL},
        {"say", CS_J_TEXT, NULL},
        {"sales_stage", CS_J_INT, "\"sales_stage\" (a sales stage that follows the state) is"},
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
    row.crm = cs_load_set(l, cs_json_get(json, "crm"), cs_load_ptr(l, ptr, "crm"), 1);
    check_asked(l, cs_json_get(json, "crm"), cs_load_ptr(l, ptr, "crm"));
    if (!cs_json_get(json, "do")) {
        cs_load_error(l, ptr, "\"do\" is missing; allowed: an action or an array of actions");
        return;
    }
    load_actions(l, &row, cs_json_get(json, "do"), cs_load_ptr(l, ptr, "do"));
    load_reason(l, &row, cs_json_get(json, "reason"), cs_load_ptr(l, ptr, "reason"));
    if (text && cs_interval_parse(&row.not_before, text, "s")) {
        cs_load_error(l, cs_load_ptr(l, ptr, "not_before"),
                      "\"%s\" is no time; allowed: \"90s\", \"5m\", \"72h\", \"7d\"", text);
    }
    APR_ARRAY_PUSH(kind->hear, cs_hear_t) = row;
}

static int sets_state(const cs_load_t *l, const cs_show_t *show)
{
    int i;

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
    if (show->call && strcmp(show->call, l->facts->win) && strcmp(show->call, l->facts->lose)) {
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
    show.set = cs_load_set(l, cs_json_get(json, "set"), cs_load_ptr(l, ptr, "set"), 0);
    check_show(l, &show, ptr);
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
    }
    collect_state_columns(l, kind);
}
