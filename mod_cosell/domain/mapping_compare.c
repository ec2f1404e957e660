/* domain/mapping_compare.c: whether the CRM's tables are as a mapping says. (domain/record.h: the
 * metadata document) */
#include <apr_strings.h>
#include <string.h>

#include "compare_internal.h"

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
               *const choices[] = {"choice", "choices", "flag", "integer", "text", NULL},
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

static void want_writable(cs_compare_t *c, const cs_line_t *line, const json_t *column)
{
    const char *name = line->crm->written;

    if (line->to_crm.events & CS_ON_CREATE) {
        cs_compare_right(c, column, name, "create", "written when a row is made", line->pointer);
    }
    if (line->to_crm.events & CS_ON_UPDATE) {
        cs_compare_right(c, column, name, "update", "changed", line->pointer);
    }
    if (cs_json_bool(column, "calculated", 0)) {
        cs_compare_complain(c, line->pointer,
                            "the CRM calculates the column %s itself; write \"direction\": "
                            "\"to_pc\"",
                            name);
    }
    if (line->to_crm.max && cs_json_int(column, "max", 0) > 0 &&
        line->to_crm.max > cs_json_int(column, "max", 0)) {
        cs_compare_complain(c, line->pointer,
                            "\"max\" is %d, and the column %s holds %d characters",
                            line->to_crm.max, name, (int)cs_json_int(column, "max", 0));
    }
    if (line->to_crm.constant && line->type == CS_TYPE_TEXT) {
        cs_compare_choice(c, column, name, line->to_crm.constant, 0, line->pointer);
    }
}

static void compare_line(cs_compare_t *c, const cs_mapping_kind_t *kind, const cs_line_t *line)
{
    static const char *const rows[] = {"look-up", NULL}, *const codes[] = {"text", "choice", NULL};
    const json_t *column;
    int i;

    for (i = 0; line->crm_more && i < line->crm_more->nelts; i++) {
        cs_compare_path(c, kind->table, APR_ARRAY_IDX(line->crm_more, i, const cs_column_t *),
                        line->pointer);
    }
    if (line->crm_currency && line->crm_currency->text) {
        column = cs_compare_path(c, kind->table, line->crm_currency, line->pointer);
        cs_compare_type(c, column, line->crm_currency->written, line->find ? rows : codes,
                        line->pointer);
    }
    if (!line->crm || !line->crm->text) {
        return;
    }
    column = cs_compare_path(c, kind->table, line->crm, line->pointer);
    if (!column) {
        return;
    }
    cs_compare_type(c, column, line->crm->written, types_of(line), line->pointer);
    cs_compare_right(c, column, line->crm->written, "read", "read", line->pointer);
    if (line->to_crm.on) {
        want_writable(c, line, column);
    }
    if (line->values) {
        cs_compare_values(c, column, line->crm->written, line->values, line->pointer);
    }
}

/* ---- states, what is told, lists ---- */

/* The record type of a "set": a look-up, by a name that there is. */
static void set_record_type(cs_compare_t *c, const cs_mapping_kind_t *kind, const cs_set_t *set,
                            const json_t *column, const char *pointer)
{
    static const char *const lookups[] = {"look-up", NULL};
    const cs_crm_facts_t *facts = c->mapping->facts;
    const json_t *lookup = cs_json_get(set->constant, "$lookup");
    const char *name =
        lookup ? cs_json_str(json_array_get(cs_json_get(lookup, "keys"), 0), facts->record_type_by)
               : NULL;

    if (name) {
        cs_compare_type(c, column, set->column, lookups, pointer);
        cs_compare_record_type(c, kind, name, pointer);
    }
}

static void compare_set(cs_compare_t *c, const cs_mapping_kind_t *kind,
                        const apr_array_header_t *set, const char *pointer)
{
    int i;
    size_t n;

    for (i = 0; i < set->nelts; i++) {
        const cs_set_t *s = &APR_ARRAY_IDX(set, i, cs_set_t);
        const json_t *column = cs_compare_column(c, kind->table, s->column, pointer);

        if (s->values) {
            cs_compare_values(c, column, s->column, s->values, pointer);
        }
        set_record_type(c, kind, s, column, pointer);
        if (json_is_array(s->constant)) {
            for (n = 0; n < json_array_size(s->constant); n++) {
                cs_compare_choice(c, column, s->column, json_array_get(s->constant, n), 0, pointer);
            }
        }
        else if (s->constant && !json_is_null(s->constant)) {
            cs_compare_choice(c, column, s->column, s->constant, 0, pointer);
        }
    }
}

static const char *pointer_of(const cs_compare_t *c, const cs_mapping_kind_t *kind,
                              const char *rest)
{
    return apr_pstrcat(c->p, "/records/", kind->name, rest, NULL);
}

/* What a choice of a stage leads to: 0 open, 1 won, 2 lost; -1 = nothing is known. */
static int state_of_choice(const json_t *column, const json_t *value)
{
    const json_t *options = cs_json_get(column, "options");
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);

        if (json_equal(cs_json_get(option, "value"), value)) {
            return (int)cs_json_int(option, "state", -1);
        }
    }
    return -1;
}

/* The choices that lead to a state. */
static const char *choices_of_state(const json_t *column, int state, apr_pool_t *p)
{
    const json_t *options = cs_json_get(column, "options");
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);

        if (cs_json_int(option, "state", -1) == state) {
            out = apr_pstrcat(p, out, *out ? ", " : "",
                              cs_json_print(cs_json_get(option, "value"), p), NULL);
        }
    }
    return out;
}

/* A choice of a stage that is won where a lost one is meant closes the deal the other way. */
static void want_state(cs_compare_t *c, const json_t *column, const char *name, const json_t *value,
                       int want, const char *where)
{
    static const char *const words[] = {"open", "won", "lost"};
    int is = json_is_string(value) ? state_of_choice(column, value) : -1;

    /* Some records end without being lost. */
    want = want == 2 && !*choices_of_state(column, 2, c->p) ? 0 : want;
    if (is >= 0 && is <= 2 && is != want) {
        cs_compare_complain(
            c, where, "the choice %s of the column %s is %s; allowed here: one that is %s: %s",
            cs_json_print(value, c->p), name, words[is], words[want],
            choices_of_state(column, want, c->p));
    }
}

/* want: the state that all of it leads to; -1 = any. */
static void compare_stages(cs_compare_t *c, const cs_mapping_kind_t *kind,
                           const apr_array_header_t *set, int want, const char *pointer)
{
    int i;
    size_t n;

    for (i = 0; c->mapping->facts->state_follows && want >= 0 && i < set->nelts; i++) {
        const cs_set_t *s = &APR_ARRAY_IDX(set, i, cs_set_t);
        const json_t *table = cs_json_get(c->tables, kind->table);
        const json_t *column = cs_json_get(cs_json_get(table, "columns"), s->column);

        for (n = 0; n < json_array_size(s->constant); n++) {
            want_state(c, column, s->column, json_array_get(s->constant, n), want, pointer);
        }
        want_state(c, column, s->column, s->constant, want, pointer);
    }
}

static int state_shown(const char *pc)
{
    return strncmp(pc, "Closed", 6) ? 0 : !strcmp(pc, "Closed/Won") ? 1 : 2;
}

/* What a record is like that asks for an action. */
static int state_heard(const cs_hear_t *hear)
{
    static const struct {
        const char *action;
        int state;
    } states[] = {{"wait", 0}, {"accept", 0}, {"win", 1}, {"decline", 2}, {"lose", 2}};
    const char *last = hear->actions->nelts
                           ? APR_ARRAY_IDX(hear->actions, hear->actions->nelts - 1, const char *)
                           : "";
    size_t i;

    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (!strcmp(states[i].action, last)) {
            return states[i].state;
        }
    }
    return -1;
}

static void compare_state(cs_compare_t *c, const cs_mapping_kind_t *kind)
{
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        const cs_hear_t *hear = &APR_ARRAY_IDX(kind->hear, i, cs_hear_t);
        const char *at = pointer_of(c, kind, apr_psprintf(c->p, "/state/hear/%d", i));

        compare_set(c, kind, hear->crm, apr_pstrcat(c->p, at, "/crm", NULL));
        compare_stages(c, kind, hear->crm, state_heard(hear), apr_pstrcat(c->p, at, "/crm", NULL));
        if (hear->reason && hear->reason->text) {
            const char *reason = apr_pstrcat(c->p, at, "/reason", NULL);
            const json_t *column = cs_compare_path(c, kind->table, hear->reason, reason);

            if (hear->reason_values) {
                cs_compare_values(c, column, hear->reason->written, hear->reason_values, reason);
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
            const char *at = pointer_of(c, kind, apr_pstrcat(c->p, "/state/show/", name, NULL));

            compare_set(c, kind, show->set, at);
            compare_stages(c, kind, show->set, state_shown(show->pc), at);
        }
    }
}

static void compare_told(cs_compare_t *c, const cs_mapping_kind_t *kind)
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
            told[i].column ? cs_compare_column(c, kind->table, told[i].column, at) : NULL;

        if (column) {
            cs_compare_type(c, column, told[i].column, told[i].types, at);
            cs_compare_right(c, column, told[i].column, "update", "changed", at);
        }
    }
}

static void compare_members(cs_compare_t *c, const char *table, const apr_array_header_t *members,
                            const char *pointer)
{
    int i;

    for (i = 0; members && i < members->nelts; i++) {
        cs_compare_column(c, table, APR_ARRAY_IDX(members, i, cs_member_column_t).column->name,
                          pointer);
    }
}

/* Columns of a table and what they are to be. */
static void compare_constants(cs_compare_t *c, const char *table, const json_t *constants,
                              const char *pointer)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)constants, key, value) {
        const json_t *column = cs_compare_column(c, table, key, pointer);

        if (column && !json_is_null(value)) {
            cs_compare_choice(c, column, key, value, 0, pointer);
        }
    }
}

static void compare_list(cs_compare_t *c, const cs_mapping_kind_t *kind, const cs_list_t *list)
{
    static const char *const lookups[] = {"look-up", NULL};
    const char *table = list->shape == CS_LIST_CHILD ? list->table : kind->table;
    int i;

    if (list->parent) {
        cs_compare_type(c, cs_compare_column(c, table, list->parent, list->pointer), list->parent,
                        lookups, list->pointer);
    }
    if (list->column) {
        cs_compare_type(c, cs_compare_column(c, table, list->column->name, list->pointer),
                        list->column->name, lookups, list->pointer);
    }
    compare_members(c, table, list->fields, list->pointer);
    if (list->find) {
        compare_members(c, list->find->table, list->item, list->pointer);
    }
    for (i = 0; list->users && i < list->users->nelts; i++) {
        const cs_list_users_t *home = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);

        if (home->column) {
            cs_compare_column(c, kind->table, home->column, list->pointer);
        }
        if (home->child) {
            cs_compare_column(c, home->child, home->parent, list->pointer);
            cs_compare_column(c, home->child, home->user, list->pointer);
            compare_constants(c, home->child, home->set, list->pointer);
            table = home->child;
        }
    }
    compare_constants(c, table, list->where, list->pointer);
    cs_compare_key(c, table, list->row_key, list->pointer);
}

static void compare_parts(cs_compare_t *c, const cs_find_t *find, const apr_array_header_t *parts,
                          const char *pointer)
{
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        cs_compare_column(c, find->table, APR_ARRAY_IDX(parts, i, cs_find_part_t).column, pointer);
    }
}

static void compare_find(cs_compare_t *c, const cs_find_t *find)
{
    const char *at = apr_pstrcat(c->p, "/find/", find->name, NULL);
    int i;

    if (!cs_compare_table(c, find->table, at)) {
        return;
    }
    for (i = 0; i < find->by->nelts; i++) {
        compare_parts(c, find, APR_ARRAY_IDX(find->by, i, apr_array_header_t *), at);
    }
    compare_parts(c, find, find->create, at);
    compare_constants(c, find->table, find->where, at);
    cs_compare_key(c, find->table, find->key, apr_pstrcat(c->p, at, "/key", NULL));
    for (i = 0; find->within && i < find->within->nelts; i++) {
        cs_compare_column(c, find->table, APR_ARRAY_IDX(find->within, i, cs_within_t).column, at);
    }
}

/* A condition on the name of a record type. */
static void asks_record_type(cs_compare_t *c, const cs_mapping_kind_t *kind, const cs_cond_t *cond,
                             const char *pointer)
{
    const cs_crm_facts_t *facts = c->mapping->facts;
    const json_t *table = cs_json_get(c->tables, kind->table), *targets;
    const char *target;
    size_t i;

    targets = cs_json_get(cs_json_get(cs_json_get(table, "columns"), cond->crm->name), "targets");
    target = json_string_value(json_array_get(targets, 0));
    if (!facts->record_types || !target || strcmp(target, facts->record_types) || !cond->crm->of ||
        strcmp(cond->crm->of, facts->record_type_by)) {
        return;
    }
    if (json_is_string(cond->arg)) {
        cs_compare_record_type(c, kind, json_string_value(cond->arg), pointer);
    }
    for (i = 0; i < json_array_size(cond->arg); i++) {
        const char *name = json_string_value(json_array_get(cond->arg, i));

        if (name) {
            cs_compare_record_type(c, kind, name, pointer);
        }
    }
}

static void compare_cond(cs_compare_t *c, const cs_mapping_kind_t *kind, const cs_cond_t *cond,
                         const char *pointer)
{
    int i;

    if (!cond) {
        return;
    }
    if (cond->crm && cond->crm->text) {
        cs_compare_path(c, kind->table, cond->crm, pointer);
        asks_record_type(c, kind, cond, pointer);
    }
    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        compare_cond(c, kind, APR_ARRAY_IDX(cond->items, i, const cs_cond_t *), pointer);
    }
}

static void compare_kind(cs_compare_t *c, const cs_mapping_kind_t *kind)
{
    const char *at = pointer_of(c, kind, "");
    int i;

    if (!cs_compare_table(c, kind->table, at)) {
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
    cs_compare_key(c, kind->table, kind->external_id, pointer_of(c, kind, "/key"));
    compare_set(c, kind, kind->from_pc_set, pointer_of(c, kind, "/from_pc/set"));
    compare_cond(c, kind, kind->from_crm_when, pointer_of(c, kind, "/from_crm/when"));
    if (kind->becomes) {
        cs_compare_path(c, kind->table, kind->becomes->via, pointer_of(c, kind, "/becomes/via"));
    }
}

apr_array_header_t *cs_mapping_compare(const cs_mapping_t *mapping, const json_t *metadata,
                                       apr_pool_t *p)
{
    cs_compare_t c = {mapping, cs_json_get(metadata, "tables"),
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
