/* domain/mapping_parts.c: the small parts of a mapping: paths, columns, conditions, value tables.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mapping_typo.h"

#define COND_DEPTH 8

/* ---- places in a referral ---- */

/* "attributes[type=X]", "team[first]" -> step. 0 when it is not written so. */
static int parse_step(cs_pc_step_t *step, char *text)
{
    char *open = strchr(text, '['), *equal, *end;

    memset(step, 0, sizeof(*step));
    step->name = text;
    if (open) {
        end = strchr(open, ']');
        equal = strchr(open, '=');
        step->first = !strcmp(open, "[first]");
        if (!step->first && (!end || end[1] || !equal || equal == open + 1 || equal + 1 >= end)) {
            return 0;
        }
        *open = *end = '\0';
        if (!step->first) {
            *equal = '\0';
            step->sel_name = open + 1;
            step->sel_value = equal + 1;
        }
    }
    for (; *text; text++) {
        if (!apr_isalnum(*text) && *text != '_' && *text != '@' && *text != '.') {
            return 0;
        }
    }
    return *step->name != '\0';
}

static const struct {
    const char *prefix;
    cs_root_e root;
} roots[] = {{"microsoft:", CS_ROOT_MICROSOFT}, {"invite:", CS_ROOT_INVITE}};

/* What follows the root. */
static const char *take_root(cs_pc_path_t *path, const char *text)
{
    size_t i;

    for (i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        size_t len = strlen(roots[i].prefix);

        if (!strncmp(text, roots[i].prefix, len)) {
            path->root = roots[i].root;
            return text + len;
        }
    }
    return text;
}

static int parse_path(cs_pc_path_t *path, const char *text, apr_pool_t *p)
{
    char *rest = apr_pstrdup(p, text + 1), *part;

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
        path->selects |= step->sel_name != NULL || step->first;
        path->bare = apr_pstrcat(p, path->bare, "/", step->name, NULL);
    }
    return 1;
}

/* Selectors stand behind arrays, and nothing but a selector leads into one. */
static int check_selectors(cs_load_t *l, const cs_pc_path_t *path, const char *ptr)
{
    const char *bare = "";
    int i;

    for (i = 0; i < path->steps->nelts; i++) {
        const cs_pc_step_t *step = &APR_ARRAY_IDX(path->steps, i, cs_pc_step_t);
        int selects = step->sel_name || step->first, array;

        bare = apr_pstrcat(l->p, bare, "/", step->name, NULL);
        array = cs_referral_path_is_array(bare);
        if (selects && !array) {
            cs_load_error(l, ptr, "%s in \"%s\" is no array; allowed: no selector behind it", bare,
                          path->text);
            return 0;
        }
        if (array && !selects && i + 1 < path->steps->nelts) {
            cs_load_error(l, ptr, "%s in \"%s\" is an array; allowed: [first], [type=X] behind it",
                          bare, path->text);
            return 0;
        }
    }
    return 1;
}

const cs_pc_path_t *cs_load_path(cs_load_t *l, const char *text, const char *ptr)
{
    cs_pc_path_t *path = apr_pcalloc(l->p, sizeof(*path));
    const char *rest;

    if (!text) {
        return NULL;
    }
    path->text = apr_pstrdup(l->p, text);
    rest = take_root(path, path->text);
    if (*rest != '/' || !parse_path(path, rest, l->p)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no path of a referral; allowed: \"/details/dealValue\", "
                      "\"/customerProfile/ids[profileType=External]/id\", \"/team[first]/email\", "
                      "\"microsoft:/substatus\", \"invite:/inviteContext/notes\"",
                      text);
        return NULL;
    }
    if (!cs_referral_path_fact(path->bare)) {
        cs_load_error(l, ptr, "\"%s\" is no member of a referral%s", text,
                      cs_typo_path(path->bare, l->p));
        return NULL;
    }
    if (path->root == CS_ROOT_INVITE && strncmp(path->bare, "/inviteContext/", 15)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no part of an invitation; allowed: invite:/inviteContext/notes, "
                      "invite:/inviteContext/assistanceRequestCode",
                      text);
        return NULL;
    }
    return check_selectors(l, path, ptr) ? path : NULL;
}

/* ---- columns ---- */

/* "@help" -> its name; *off = 1 when that is null. NULL after a reported mistake. */
static const char *resolve_name(cs_load_t *l, const char *text, const char *ptr, int *off)
{
    const json_t *name = cs_json_get(l->names, text + 1);

    *off = 0;
    if (!name) {
        const char *all = cs_load_names_of(l, l->names, "@");

        cs_load_error(l, ptr, "\"%s\" is not in \"names\"; allowed: %s", text,
                      *all ? all : "none, for \"names\" is empty");
        return NULL;
    }
    *off = json_is_null(name);
    return json_string_value(name);
}

#define PREFIX "{ns}"

/* "{ns}Foo" -> "acme__Foo". In p; NULL after a reported mistake. */
static const char *with_prefix(cs_load_t *l, const char *name, const char *ptr)
{
    const char *at = strstr(name, PREFIX), *out = "";

    if (at && !l->facts->namespaces) {
        cs_load_error(l, ptr, "\"%s\": names of this CRM have no prefix; allowed: no " PREFIX,
                      name);
        return NULL;
    }
    for (; at; at = strstr(name, PREFIX)) {
        out = apr_pstrcat(l->p, out, apr_pstrmemdup(l->p, name, (apr_size_t)(at - name)), l->prefix,
                          NULL);
        name = at + strlen(PREFIX);
    }
    return apr_pstrcat(l->p, out, name, NULL);
}

const char *cs_load_name(cs_load_t *l, const char *text, const char *ptr, int *off)
{
    const char *name = text;

    *off = 0;
    if (text && *text == '@') {
        name = resolve_name(l, text, ptr, off);
    }
    if (name && !*name) {
        cs_load_error(l, ptr, "an empty text is no name");
        return NULL;
    }
    return name ? with_prefix(l, name, ptr) : NULL;
}

/* Alternatives whose names are null are none. */
static const json_t *load_alternatives(cs_load_t *l, const json_t *json, const char *ptr, int *off)
{
    json_t *out = cs_json_own(json_array(), l->p);
    int good = 1;
    size_t i;

    for (i = 0; i < json_array_size(json); i++) {
        int none = 0;
        const json_t *value =
            cs_load_value(l, json_array_get(json, i), cs_load_ptr_at(l, ptr, i), &none);

        if (value) {
            json_array_append_new(out, json_deep_copy(value));
        }
        good &= value || none;
    }
    *off = good && !json_array_size(out);
    return good && !*off ? out : NULL;
}

const json_t *cs_load_value(cs_load_t *l, const json_t *json, const char *ptr, int *off)
{
    const char *text = json_string_value(json), *name;

    *off = 0;
    if (json_is_array(json) && json_array_size(json)) {
        return load_alternatives(l, json, ptr, off);
    }
    if (!text || *text != '@') {
        return json;
    }
    name = resolve_name(l, text, ptr, off);
    return name ? cs_json_own(json_string(name), l->p) : NULL;
}

const char *cs_load_row_key(cs_load_t *l, const json_t *obj, const char *ptr)
{
    const char *text = cs_json_str(obj, "key"), *at = cs_load_ptr(l, ptr, "key");
    const cs_column_t *column;

    if (!text) {
        return NULL;
    }
    if (!l->facts->names_rows) {
        cs_load_error(l, at,
                      "rows of this CRM are made with their ids and find themselves; allowed: no "
                      "\"key\"");
        return NULL;
    }
    column = cs_load_own_column(l, text, at);
    return column ? column->text : NULL;
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

static int ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n > m && !strcmp(name + n - m, end);
}

/* The look-up column behind what a path goes through: "Account" -> "AccountId". */
static const char *lookup_of(const cs_load_t *l, const char *name)
{
    const cs_crm_relation_t *relation;

    for (relation = l->facts->relations; relation && relation->path; relation++) {
        if (ends_with(name, relation->column)) {
            return name;
        }
    }
    for (relation = l->facts->relations; relation && relation->path; relation++) {
        if (ends_with(name, relation->path)) {
            return apr_pstrcat(l->p,
                               apr_pstrmemdup(l->p, name, strlen(name) - strlen(relation->path)),
                               relation->column, NULL);
        }
    }
    return name;
}

const char *cs_load_place(cs_load_t *l, const char *text, const char *ptr)
{
    return text && *text == '@' ? cs_load_ptr(l, "/names", text + 1) : ptr;
}

const cs_column_t *cs_load_column(cs_load_t *l, const char *text, const char *ptr)
{
    cs_column_t *column = apr_pcalloc(l->p, sizeof(*column));
    const char *slash, *name;
    int off = 0;

    if (!text) {
        return NULL;
    }
    name = cs_load_name(l, text, ptr, &off);
    if (!name) {
        return off ? column : NULL;
    }
    if (!column_valid(name)) {
        cs_load_error(l, cs_load_place(l, text, ptr),
                      "\"%s\" is no column; allowed: \"name\", \"parentaccountid/name\" (one "
                      "look-up at most), \"@<one of names>\"",
                      name);
        return NULL;
    }
    slash = strchr(name, '/');
    column->written = name;
    column->name =
        slash ? lookup_of(l, apr_pstrmemdup(l->p, name, (apr_size_t)(slash - name))) : name;
    column->of = slash ? slash + 1 : NULL;
    column->text = slash ? apr_pstrcat(l->p, column->name, slash, NULL) : name;
    return column;
}

void cs_load_case(cs_load_t *l, const cs_column_t *column, const char *ptr)
{
    static const char capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    if (column && column->text && l->facts && l->facts->lower && strpbrk(column->text, capitals)) {
        cs_load_error(l, ptr,
                      "\"%s\" has capital letters; allowed: the column's logical name, in small "
                      "letters",
                      column->text);
    }
}

const cs_column_t *cs_load_own_column(cs_load_t *l, const char *text, const char *ptr)
{
    const cs_column_t *column = cs_load_column(l, text, ptr);

    if (column && column->of) {
        cs_load_error(l, ptr, "\"%s\" goes through a look-up; allowed here: a column of the row",
                      column->written);
        return NULL;
    }
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

static void check_kind_word(cs_load_t *l, const json_t *word, const char *ptr)
{
    const char *text = json_string_value(word), *all = "";
    int i;

    for (i = 0; cs_referral_kinds[i]; i++) {
        if (text && !strcmp(cs_referral_kinds[i], text)) {
            return;
        }
        all = apr_pstrcat(l->p, all, i ? ", " : "", cs_referral_kinds[i], NULL);
    }
    cs_load_error(l, ptr, "%s is no kind of a referral; allowed: %s", cs_json_print(word, l->p),
                  all);
}

static void check_kind_words(cs_load_t *l, const cs_cond_t *cond, const char *ptr)
{
    size_t i;

    if (cond->op == CS_COND_IS) {
        check_kind_word(l, cond->arg, cs_load_ptr(l, ptr, "is"));
    }
    for (i = 0; cond->op == CS_COND_IN && i < json_array_size(cond->arg); i++) {
        check_kind_word(l, json_array_get(cond->arg, i),
                        cs_load_ptr_at(l, cs_load_ptr(l, ptr, "in"), i));
    }
}

/* Nobody has a value whose name is null. */
static void load_asked(cs_load_t *l, cs_cond_t *cond, const char *ptr)
{
    int off;
    const json_t *value = cs_load_value(l, cond->arg, ptr, &off);

    if (off) {
        cond->op = CS_COND_FALSE;
        cond->crm = NULL;
    }
    cond->arg = value ? value : cond->arg;
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
    if (cond->crm && !set) {
        load_asked(l, cond, cs_load_ptr(l, ptr, is ? "is" : "in"));
    }
    if (cond->kind) {
        check_kind_words(l, cond, ptr);
    }
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
    int off = 0;
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
    if (!strcmp(name, "to_crm")) {
        out->value = cs_load_value(l, value, cs_load_ptr(l, ptr, name), &off);
        out->what = off ? CS_ELSE_REFUSE : out->what;
    }
}

/* By label a pair names its choice in words. */
static void check_pairs(cs_load_t *l, const cs_values_t *values, const json_t *pairs,
                        const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)pairs, key, value) {
        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (values->by_label && !(json_is_string(value) && *json_string_value(value))) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "%s is no label; allowed: a text, or \"match_by\": \"value\"",
                          cs_json_print(value, l->p));
        }
        else if (json_is_object(value) || json_is_array(value) || json_is_null(value)) {
            cs_load_error(l, cs_load_ptr(l, ptr, key),
                          "%s is no value of a column; allowed: a number, a text, true, false",
                          cs_json_print(value, l->p));
        }
    }
}

/* With their names put in; a value whose name is null is nobody's. */
static const json_t *load_pairs(cs_load_t *l, const cs_values_t *values, const json_t *pairs,
                                const char *ptr)
{
    json_t *out = cs_json_own(json_object(), l->p), *value;
    const char *key;

    check_pairs(l, values, pairs, ptr);
    json_object_foreach((json_t *)pairs, key, value) {
        const json_t *own;
        int off;

        if (strcmp(key, "$comment")) {
            own = cs_load_value(l, value, cs_load_ptr(l, ptr, key), &off);
            if (own) {
                json_object_set_new(out, key, json_deep_copy(own));
            }
        }
    }
    return out;
}

static void check_empty(cs_load_t *l, const json_t *empty, const char *ptr)
{
    size_t i;

    for (i = 0; i < json_array_size(empty); i++) {
        if (!json_is_string(json_array_get(empty, i))) {
            cs_load_error(l, cs_load_ptr_at(l, ptr, i),
                          "%s is no text; allowed: Partner Center's texts that mean nothing",
                          cs_json_print(json_array_get(empty, i), l->p));
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
    values->by_label = cs_load_word(l, json, ptr, "match_by", match_bys, 0);
    values->name = apr_pstrdup(l->p, name);
    values->empty = cs_json_get(json, "empty");
    if (cs_json_get(json, "pairs")) {
        values->pairs =
            load_pairs(l, values, cs_json_get(json, "pairs"), cs_load_ptr(l, ptr, "pairs"));
    }
    check_empty(l, values->empty, cs_load_ptr(l, ptr, "empty"));
    if (other && cs_load_members(l, other, cs_load_ptr(l, ptr, "else"), elses)) {
        load_else(l, &values->to_crm, other, "to_crm", cs_load_ptr(l, ptr, "else"));
        load_else(l, &values->to_pc, other, "to_pc", cs_load_ptr(l, ptr, "else"));
    }
    return values;
}
