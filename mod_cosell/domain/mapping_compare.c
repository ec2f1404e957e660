/* domain/mapping_compare.c: whether the CRM's tables are as a mapping says. (domain/record.h: the
 * metadata document) */
#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "mapping_internal.h"

#define PROBLEMS_MAX 50

typedef struct compare_t {
    const cs_mapping_t *mapping;
    const json_t *tables;
    apr_array_header_t *problems;
    apr_pool_t *p;
} compare_t;

static void complain(compare_t *c, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void complain(compare_t *c, const char *pointer, const char *fmt, ...)
{
    const char *text;
    va_list ap;
    int i;

    if (c->problems->nelts >= PROBLEMS_MAX) {
        return;
    }
    va_start(ap, fmt);
    text = apr_pvsprintf(c->p, fmt, ap);
    va_end(ap);
    text = apr_pstrcat(c->p, cs_source_place(c->mapping->sources, pointer, c->p), ": ", text, NULL);
    for (i = 0; i < c->problems->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(c->problems, i, const char *), text)) {
            return;
        }
    }
    APR_ARRAY_PUSH(c->problems, const char *) = text;
}

/* The metadata of a table; NULL after a complaint. */
static const json_t *table_of(compare_t *c, const char *table, const char *pointer)
{
    const json_t *found = cs_json_get(c->tables, table);

    if (!found) {
        complain(c, pointer, "the table %s does not exist or cannot be read", table);
    }
    return found;
}

/* The metadata of a column; NULL after a complaint, or when nothing is known of the table. */
static const json_t *column_of(compare_t *c, const char *table, const char *column,
                               const char *pointer)
{
    const json_t *found = table_of(c, table, pointer), *out;

    if (!found) {
        return NULL;
    }
    out = cs_json_get(cs_json_get(found, "columns"), column);
    if (!out) {
        complain(c, pointer, "the table %s has no column %s", table, column);
    }
    return out;
}

static int is_one_of(const char *word, const char *const *words)
{
    for (; word && *words; words++) {
        if (!strcmp(*words, word)) {
            return 1;
        }
    }
    return 0;
}

static const char *joined(const char *const *words, apr_pool_t *p)
{
    const char *out = *words;

    for (words++; *words; words++) {
        out = apr_pstrcat(p, out, ", ", *words, NULL);
    }
    return out;
}

static void want_type(compare_t *c, const json_t *column, const char *name,
                      const char *const *types, const char *pointer)
{
    const char *type = cs_json_str(column, "type");

    if (type && strcmp(type, "other") && !is_one_of(type, types)) {
        complain(c, pointer, "the column %s is %s; allowed here: %s", name, type,
                 joined(types, c->p));
    }
}

static void want_right(compare_t *c, const json_t *column, const char *name, const char *right,
                       const char *what, const char *pointer)
{
    if (!cs_json_bool(column, right, 1)) {
        complain(c, pointer, "the column %s cannot be %s", name, what);
    }
}

/* A column that is read. "a/b": a look-up and a column of its target. */
static const json_t *want_column(compare_t *c, const char *table, const cs_column_t *column,
                                 const char *pointer)
{
    static const char *const lookups[] = {"look-up", NULL};
    const json_t *found = column_of(c, table, column->name, pointer), *targets;

    if (!found || !column->of) {
        return found;
    }
    want_type(c, found, column->name, lookups, pointer);
    targets = cs_json_get(found, "targets");
    if (json_array_size(targets) == 1) {
        const char *target = json_string_value(json_array_get(targets, 0));

        /* The target is described when somebody asked for it. */
        return target && cs_json_get(c->tables, target) ? column_of(c, target, column->of, pointer)
                                                        : NULL;
    }
    return NULL;
}

/* ---- choices ---- */

static int has_label(const json_t *option, const char *label)
{
    const json_t *labels = cs_json_get(option, "labels");
    const char *own = cs_json_str(option, "label");
    size_t i;

    if (own && !strcasecmp(own, label)) {
        return 1;
    }
    for (i = 0; i < json_array_size(labels); i++) {
        const char *other = json_string_value(json_array_get(labels, i));

        if (other && !strcasecmp(other, label)) {
            return 1;
        }
    }
    return 0;
}

static int has_choice(const json_t *options, const json_t *value, int label)
{
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i), *own = cs_json_get(option, "value");

        if (label
                ? json_is_string(value) && has_label(option, json_string_value(value))
                : json_equal(own, value) || (json_is_number(own) && json_is_number(value) &&
                                             json_number_value(own) == json_number_value(value))) {
            return 1;
        }
    }
    return 0;
}

static const char *all_choices(const json_t *options, int label, apr_pool_t *p)
{
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);
        const char *text = cs_json_str(option, "label"),
                   *value = cs_json_print(cs_json_get(option, "value"), p);

        out = apr_pstrcat(p, out, *out ? ", " : "", label && text ? text : value,
                          !label && text ? " " : "", !label && text ? text : "", NULL);
    }
    return out;
}

static void want_choice(compare_t *c, const json_t *column, const char *name, const json_t *value,
                        int label, const char *pointer)
{
    const json_t *options = cs_json_get(column, "options");

    if (json_is_boolean(value)) {
        return; /* a flag has both */
    }
    if (json_array_size(options) && !has_choice(options, value, label)) {
        complain(c, pointer, "the column %s has no choice %s; it has: %s", name,
                 cs_json_print(value, c->p), all_choices(options, label, c->p));
    }
}

static void want_values(compare_t *c, const json_t *column, const char *name,
                        const cs_values_t *values, const char *pointer)
{
    const char *key;
    json_t *value;

    if (!json_array_size(cs_json_get(column, "options"))) {
        if (values->by_label && column) {
            complain(c, pointer, "the column %s has no choices, and \"%s\" names them by label",
                     name, values->name);
        }
        return;
    }
    json_object_foreach((json_t *)values->pairs, key, value) {
        if (strcmp(key, "$comment")) {
            want_choice(c, column, name, value, values->by_label, pointer);
        }
    }
    if (values->to_crm.what == CS_ELSE_VALUE) {
        want_choice(c, column, name, values->to_crm.value, values->by_label, pointer);
    }
}

/* ---- lines ---- */

/* A text that is written stays a text; what is read, or a constant, may be of any plain type. */
static const char *const *types_of(const cs_line_t *line)
{
    static const char
        *const texts[] = {"text", "memo", NULL},
               *const kept[] = {"text", "memo", "integer", "decimal", NULL},
               *const any[] = {"text", "memo",    "integer", "decimal", "money", "choice",
                               "flag", "choices", "date",    "instant", "id",    NULL},
               *const money[] = {"money", "decimal", "integer", NULL},
               *const dates[] = {"date", "instant", NULL}, *const flags[] = {"flag", NULL},
               *const choices[] = {"choice", "flag", "integer", "text", NULL},
               *const lookups[] = {"look-up", NULL};

    switch (line->type) {
    case CS_TYPE_MONEY:
        return money;
    case CS_TYPE_DATE:
        return dates;
    case CS_TYPE_FLAG:
        return flags;
    case CS_TYPE_CHOICE:
        return choices;
    case CS_TYPE_LOOKUP:
        return lookups;
    case CS_TYPE_COUNTRY:
        return texts;
    default:
        return line->to_crm.on && !line->to_crm.constant ? kept : any;
    }
}

static void want_writable(compare_t *c, const cs_line_t *line, const json_t *column)
{
    const char *name = line->crm->text;

    if (line->to_crm.events & CS_ON_CREATE) {
        want_right(c, column, name, "create", "written when a row is made", line->pointer);
    }
    if (line->to_crm.events & CS_ON_UPDATE) {
        want_right(c, column, name, "update", "changed", line->pointer);
    }
    if (cs_json_bool(column, "calculated", 0)) {
        complain(c, line->pointer,
                 "the CRM calculates the column %s itself; write \"direction\": "
                 "\"to_pc\"",
                 name);
    }
    if (line->to_crm.max && cs_json_int(column, "max", 0) > 0 &&
        line->to_crm.max > cs_json_int(column, "max", 0)) {
        complain(c, line->pointer, "\"max\" is %d, and the column %s holds %d characters",
                 line->to_crm.max, name, (int)cs_json_int(column, "max", 0));
    }
    if (line->to_crm.constant && line->type == CS_TYPE_TEXT) {
        want_choice(c, column, name, line->to_crm.constant, 0, line->pointer);
    }
}

static void compare_line(compare_t *c, const cs_mapping_kind_t *kind, const cs_line_t *line)
{
    static const char *const currencies[] = {"look-up", "text", "choice", NULL};
    const json_t *column;
    int i;

    for (i = 0; line->crm_more && i < line->crm_more->nelts; i++) {
        want_column(c, kind->table, APR_ARRAY_IDX(line->crm_more, i, const cs_column_t *),
                    line->pointer);
    }
    if (line->crm_currency && line->crm_currency->text) {
        column = want_column(c, kind->table, line->crm_currency, line->pointer);
        want_type(c, column, line->crm_currency->text, currencies, line->pointer);
    }
    if (!line->crm || !line->crm->text) {
        return;
    }
    column = want_column(c, kind->table, line->crm, line->pointer);
    if (!column) {
        return;
    }
    want_type(c, column, line->crm->text, types_of(line), line->pointer);
    want_right(c, column, line->crm->text, "read", "read", line->pointer);
    if (line->to_crm.on) {
        want_writable(c, line, column);
    }
    if (line->values) {
        want_values(c, column, line->crm->text, line->values, line->pointer);
    }
}

/* ---- states, what is told, lists ---- */

static void compare_set(compare_t *c, const cs_mapping_kind_t *kind, const apr_array_header_t *set,
                        const char *pointer)
{
    int i;
    size_t n;

    for (i = 0; i < set->nelts; i++) {
        const cs_set_t *s = &APR_ARRAY_IDX(set, i, cs_set_t);
        const json_t *column = column_of(c, kind->table, s->column, pointer);

        if (s->values) {
            want_values(c, column, s->column, s->values, pointer);
        }
        if (json_is_array(s->constant)) {
            for (n = 0; n < json_array_size(s->constant); n++) {
                want_choice(c, column, s->column, json_array_get(s->constant, n), 0, pointer);
            }
        }
        else if (s->constant && !json_is_null(s->constant)) {
            want_choice(c, column, s->column, s->constant, 0, pointer);
        }
    }
}

static const char *pointer_of(const compare_t *c, const cs_mapping_kind_t *kind, const char *rest)
{
    return apr_pstrcat(c->p, "/records/", kind->name, rest, NULL);
}

static void compare_state(compare_t *c, const cs_mapping_kind_t *kind)
{
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        const cs_hear_t *hear = &APR_ARRAY_IDX(kind->hear, i, cs_hear_t);
        const char *at = pointer_of(c, kind, apr_psprintf(c->p, "/state/hear/%d", i));

        compare_set(c, kind, hear->crm, apr_pstrcat(c->p, at, "/crm", NULL));
        if (hear->reason && hear->reason->text) {
            const char *reason = apr_pstrcat(c->p, at, "/reason", NULL);
            const json_t *column = want_column(c, kind->table, hear->reason, reason);

            if (hear->reason_values) {
                want_values(c, column, hear->reason->text, hear->reason_values, reason);
            }
        }
    }
    for (i = 0; i < kind->show->nelts; i++) {
        const cs_show_t *show = &APR_ARRAY_IDX(kind->show, i, cs_show_t);
        char *name = apr_pstrdup(c->p, show->pc), *slash = strchr(name, '/');

        if (slash) {
            *slash = '\0';
            name = apr_pstrcat(c->p, name, "~1", slash + 1, NULL);
        }
        /* An action's parameters are no columns. */
        if (!show->call) {
            compare_set(c, kind, show->set,
                        pointer_of(c, kind, apr_pstrcat(c->p, "/state/show/", name, NULL)));
        }
    }
}

static void compare_told(compare_t *c, const cs_mapping_kind_t *kind)
{
    static const char *const texts[] = {"text", "memo", NULL}, *const times[] = {"instant", "date",
                                                                                 "text", "memo",
                                                                                 NULL};
    const cs_tell_t *tell = &kind->tell;
    const struct {
        const char *name, *column;
        const char *const *types;
    } told[] = {{"id", tell->id, texts},           {"link", tell->link, texts},
                {"status", tell->status, texts},   {"problem", tell->problem, texts},
                {"audit", tell->audit, texts},     {"synced", tell->synced, times},
                {"explain", tell->explain, texts}, {"mark", tell->mark, texts}};
    size_t i;

    for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        const char *at = pointer_of(c, kind, apr_pstrcat(c->p, "/tell/", told[i].name, NULL));
        const json_t *column =
            told[i].column ? column_of(c, kind->table, told[i].column, at) : NULL;

        if (column) {
            want_type(c, column, told[i].column, told[i].types, at);
            want_right(c, column, told[i].column, "update", "changed", at);
        }
    }
}

static void compare_members(compare_t *c, const char *table, const apr_array_header_t *members,
                            const char *pointer)
{
    int i;

    for (i = 0; members && i < members->nelts; i++) {
        column_of(c, table, APR_ARRAY_IDX(members, i, cs_member_column_t).column->name, pointer);
    }
}

static void compare_list(compare_t *c, const cs_mapping_kind_t *kind, const cs_list_t *list)
{
    static const char *const lookups[] = {"look-up", NULL};
    const char *table = list->shape == CS_LIST_CHILD ? list->table : kind->table;
    int i;

    if (list->parent) {
        want_type(c, column_of(c, table, list->parent, list->pointer), list->parent, lookups,
                  list->pointer);
    }
    if (list->column) {
        want_type(c, column_of(c, table, list->column->name, list->pointer), list->column->name,
                  lookups, list->pointer);
    }
    compare_members(c, table, list->fields, list->pointer);
    if (list->find) {
        compare_members(c, list->find->table, list->item, list->pointer);
    }
    for (i = 0; list->users && i < list->users->nelts; i++) {
        const cs_list_users_t *home = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);

        if (home->column) {
            column_of(c, kind->table, home->column, list->pointer);
        }
        if (home->child) {
            column_of(c, home->child, home->parent, list->pointer);
            column_of(c, home->child, home->user, list->pointer);
        }
    }
}

static void compare_parts(compare_t *c, const cs_find_t *find, const apr_array_header_t *parts,
                          const char *pointer)
{
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        column_of(c, find->table, APR_ARRAY_IDX(parts, i, cs_find_part_t).column, pointer);
    }
}

static void compare_find(compare_t *c, const cs_find_t *find)
{
    const char *at = apr_pstrcat(c->p, "/find/", find->name, NULL), *key;
    json_t *value;
    int i;

    if (!table_of(c, find->table, at)) {
        return;
    }
    for (i = 0; i < find->by->nelts; i++) {
        compare_parts(c, find, APR_ARRAY_IDX(find->by, i, apr_array_header_t *), at);
    }
    compare_parts(c, find, find->create, at);
    json_object_foreach((json_t *)find->where, key, value) {
        if (strcmp(key, "$comment")) {
            const json_t *column = column_of(c, find->table, key, at);

            if (column && !json_is_null(value)) {
                want_choice(c, column, key, value, 0, at);
            }
        }
    }
    for (i = 0; find->within && i < find->within->nelts; i++) {
        column_of(c, find->table, APR_ARRAY_IDX(find->within, i, cs_within_t).column, at);
    }
}

static void compare_cond(compare_t *c, const cs_mapping_kind_t *kind, const cs_cond_t *cond,
                         const char *pointer)
{
    int i;

    if (!cond) {
        return;
    }
    if (cond->crm && cond->crm->text) {
        want_column(c, kind->table, cond->crm, pointer);
    }
    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        compare_cond(c, kind, APR_ARRAY_IDX(cond->items, i, const cs_cond_t *), pointer);
    }
}

static void compare_kind(compare_t *c, const cs_mapping_kind_t *kind)
{
    const char *at = pointer_of(c, kind, "");
    int i;

    if (!table_of(c, kind->table, at)) {
        return;
    }
    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (!line->off) {
            compare_line(c, kind, line);
            compare_cond(c, kind, line->when, line->pointer);
            compare_cond(c, kind, line->to_pc.when, line->pointer);
            compare_cond(c, kind, line->to_crm.when, line->pointer);
        }
    }
    for (i = 0; i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, cs_list_t *);

        if (!list->off) {
            compare_list(c, kind, list);
            compare_cond(c, kind, list->when, list->pointer);
        }
    }
    compare_state(c, kind);
    compare_told(c, kind);
    compare_set(c, kind, kind->from_pc_set, pointer_of(c, kind, "/from_pc/set"));
    compare_cond(c, kind, kind->from_crm_when, pointer_of(c, kind, "/from_crm/when"));
    if (kind->becomes) {
        want_column(c, kind->table, kind->becomes->via, pointer_of(c, kind, "/becomes/via"));
    }
}

apr_array_header_t *cs_mapping_compare(const cs_mapping_t *mapping, const json_t *metadata,
                                       apr_pool_t *p)
{
    compare_t c = {mapping, cs_json_get(metadata, "tables"),
                   apr_array_make(p, 8, sizeof(const char *)), p};
    int i;

    for (i = 0; i < mapping->finds->nelts; i++) {
        const cs_find_t *find = APR_ARRAY_IDX(mapping->finds, i, const cs_find_t *);

        if (!find->off_why) {
            compare_find(&c, find);
        }
    }
    for (i = 0; i < mapping->kinds->nelts; i++) {
        compare_kind(&c, APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *));
    }
    return c.problems;
}
