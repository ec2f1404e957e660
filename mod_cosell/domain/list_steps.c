/* domain/list_steps.c: what the verdicts on items ask for, as columns, steps and operations.
 *
 * A step about a row of a list writes one item, so that an item that is held or refused costs
 * nobody else anything.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "list_internal.h"

#define OTHER_IDS 9 /* rows of one item that may have been turned into something else */

static cs_listing_t *listing_at(const cs_planning_t *pl, int i)
{
    return APR_ARRAY_IDX(pl->lists, i, cs_listing_t *);
}

static cs_list_item_t *item_at(const cs_listing_t *l, int i)
{
    return APR_ARRAY_IDX(l->items, i, cs_list_item_t *);
}

static int is_in(const json_t *value)
{
    return json_is_object(value);
}

/* ---- the record's own columns ---- */

static json_t *inner_of(json_t *lookup)
{
    return cs_json_get(lookup, "$lookup");
}

/* While it is held, these columns wait and the rest of the record is written. */
static void waits_alone(json_t *lookup, const char *line, const char *column)
{
    json_t *inner = inner_of(lookup);

    json_object_set_new(inner, "line", json_string(line));
    json_object_set_new(inner, "columns", json_pack("[s]", column));
}

static void add_part(json_t *parts, const char *line, const char *column)
{
    json_t *columns = json_is_object(parts) ? json_object_get(parts, line) : NULL;

    if (columns) {
        json_array_append_new(columns, json_string(column));
    }
    else if (json_is_object(parts)) {
        json_object_set_new(parts, line, json_pack("[s]", column));
    }
}

/* One key set per person, best first: the first of them who is a user owns the record. */
static void add_person(cs_planning_t *pl, json_t **pall, const json_t *person, const char *text)
{
    json_t *lookup = cs_find_lookup(pl->kind->owner->find, pl->doc, person, text, NULL, 0, pl->p);

    if (!*pall) {
        *pall = lookup;
    }
    else if (lookup) {
        json_array_extend(cs_json_get(inner_of(*pall), "keys"),
                          cs_json_get(inner_of(lookup), "keys"));
    }
}

static void add_otherwise(cs_planning_t *pl, json_t **pall)
{
    const cs_owner_t *owner = pl->kind->owner;
    const apr_array_header_t *set = APR_ARRAY_IDX(owner->find->by, 0, apr_array_header_t *);
    const char *member = APR_ARRAY_IDX(set, 0, cs_find_part_t).member;
    json_t *person = cs_json_own(json_object(), pl->p);

    if (member) {
        json_object_set_new(person, member, json_string(owner->otherwise));
    }
    add_person(pl, pall, person, owner->otherwise);
}

static json_t *owner_lookup(cs_planning_t *pl)
{
    const json_t *people = cs_path_get(pl->kind->owner->each, pl->doc);
    json_t *all = NULL;
    size_t i;

    for (i = 0; i < json_array_size(people); i++) {
        add_person(pl, &all, json_array_get(people, i), NULL);
    }
    if (pl->kind->owner->otherwise) {
        add_otherwise(pl, &all);
    }
    if (all) {
        json_object_set_new(inner_of(all), "none", json_string("skip"));
        json_object_del(inner_of(all), "create");
    }
    return all;
}

/* The line it stands for: the first person of the list it is taken from. */
static const char *owner_line(const cs_planning_t *pl)
{
    int i, j;

    for (i = 0; i < pl->lists->nelts; i++) {
        const cs_listing_t *l = listing_at(pl, i);

        for (j = 0; cs_list_gives_owner(pl, l->list) && j < l->items->nelts; j++) {
            if (item_at(l, j)->how == CS_HOW_COLUMN) {
                return item_at(l, j)->view->line;
            }
        }
    }
    return NULL;
}

static void add_owner(cs_planning_t *pl, json_t *columns, apr_array_header_t *names, json_t *parts)
{
    const char *column = pl->kind->owner->column, *line = owner_line(pl);
    json_t *lookup = owner_lookup(pl);

    if (line) {
        APR_ARRAY_PUSH(names, const char *) = line;
    }
    if (lookup) {
        waits_alone(lookup, line ? line : "$start", column);
        json_object_set(columns, column, lookup);
        add_part(parts, line ? line : "$start", column);
    }
}

static void add_column(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                       json_t *columns, apr_array_header_t *names, json_t *parts)
{
    const char *column = l->list->column->name, *line = item->view->line;

    (void)pl;
    if (is_in(item->view->value)) {
        waits_alone(item->lookup, line, column);
        json_object_set(columns, column, item->lookup);
    }
    else {
        json_object_set_new(columns, column, json_null());
    }
    APR_ARRAY_PUSH(names, const char *) = line;
    add_part(parts, line, column);
}

void cs_list_columns(cs_planning_t *pl, json_t *columns, apr_array_header_t *names, json_t *parts)
{
    int i, j;

    if (pl->creating && pl->kind->owner) {
        add_owner(pl, columns, names, parts);
    }
    for (i = 0; i < pl->lists->nelts; i++) {
        const cs_listing_t *l = listing_at(pl, i);

        for (j = 0; l->list->shape == CS_LIST_COLUMN && j < l->items->nelts; j++) {
            if (item_at(l, j)->how == CS_HOW_COLUMN) {
                add_column(pl, l, item_at(l, j), columns, names, parts);
            }
        }
    }
}

/* ---- rows ---- */

static cs_step_t *add_step(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                           cs_step_kind_e kind, int after)
{
    const char *words = cs_list_words(l->list, item->view, pl->p);
    cs_step_t *step = cs_planning_step(pl, kind, cs_json_own(json_object(), pl->p),
                                       apr_pstrcat(pl->p, words, ": ", item->view->why, NULL));

    APR_ARRAY_PUSH(step->lines, const char *) = item->view->line;
    step->list = l->list->name;
    step->after = after;
    return step;
}

static json_t *to_write(const json_t *value, apr_pool_t *p)
{
    return json_is_real(value) ? json_pack("{s:s}", "$number", cs_json_print(value, p))
                               : json_deep_copy(value);
}

/* The key as Partner Center writes it; what the row shows already stays out. */
static void add_fields(cs_planning_t *pl, json_t *columns, const cs_list_t *list,
                       const cs_list_item_t *item, const json_t *now)
{
    int i;

    for (i = 0; list->fields && i < list->fields->nelts; i++) {
        const cs_member_column_t *m = &APR_ARRAY_IDX(list->fields, i, cs_member_column_t);
        const json_t *value = cs_json_get(item->view->value, m->member);
        const json_t *shown = cs_json_get(now, m->member);
        int key = !strcmp(m->member, list->key);

        if (!value || !m->column || !m->column->text || m->column->of ||
            (now ? key || !shown || cs_item_value_same(value, shown) : json_is_null(value))) {
            continue;
        }
        json_object_set_new(columns, m->column->name,
                            key ? json_string(item->shown) : to_write(value, pl->p));
    }
}

static void add_constants(json_t *columns, const json_t *constants)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)constants, column, value) {
        if (strcmp(column, "$comment")) {
            json_object_set_new(columns, column, json_deep_copy(value));
        }
    }
}

static int is_taken(const cs_planning_t *pl, const cs_list_t *list, const char *id)
{
    json_t *rows = pl->creating ? NULL : cs_json_get(pl->look->record->related, list->name);
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *other = list->row_key ? cs_json_str(cs_json_get(row, "row"), list->row_key)
                                          : cs_json_str(row, "id");

        if (other && !strcasecmp(other, id)) {
            return 1;
        }
    }
    return 0;
}

/* A repeated create finds itself (deals 1). Our row may be another item's by now, made so by a
 * user: then there is a next id. */
static const char *row_id(const cs_planning_t *pl, const cs_list_t *list, const char *table,
                          const char *key)
{
    const char *name = apr_psprintf(pl->ptemp, "cosell:%s:%s:%s:%s", pl->look->site,
                                    pl->look->own->id, table, key);
    const char *id = cs_uuid5_url(name, pl->p);
    int i;

    for (i = 2; is_taken(pl, list, id) && i <= OTHER_IDS; i++) {
        id = cs_uuid5_url(apr_psprintf(pl->ptemp, "%s:%d", name, i), pl->p);
    }
    return id;
}

static void step_row(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                     int after)
{
    const cs_list_t *list = l->list;
    const cs_list_users_t *place = list->shape == CS_LIST_USERS ? item->place : NULL;
    const char *column = place ? place->user : list->column ? list->column->name : NULL;
    cs_step_t *step = add_step(pl, l, item, CS_STEP_CREATE, after);

    step->table = place ? place->child : list->table;
    step->id = row_id(pl, list, step->table, item->key);
    step->key = cs_create_key(pl, list->row_key, step->id);
    add_constants(step->columns, place ? place->set : list->where);
    json_object_set_new(
        step->columns, place ? place->parent : list->parent,
        json_pack("{s:{s:s,s:s}}", "$ref", "table", pl->kind->table, "id", pl->record_id));
    if (item->lookup && column) {
        json_object_set(step->columns, column, item->lookup);
    }
    add_fields(pl, step->columns, list, item, NULL);
}

static void step_change(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                        int after)
{
    cs_step_t *step = add_step(pl, l, item, CS_STEP_UPDATE, after);

    step->table = l->list->table;
    step->id = item->row_id;
    step->guard = item->version;
    add_fields(pl, step->columns, l->list, item, item->view->crm);
}

static void remove_row(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                       int after, const char *id, const char *version)
{
    cs_step_t *step = add_step(pl, l, item, CS_STEP_DELETE, after);

    step->table = item->place ? item->place->child : l->list->table;
    step->id = id;
    step->guard = version;
}

/* With its twins, or one of them would come back as new. */
static void step_remove(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                        int after)
{
    int i;

    remove_row(pl, l, item, after, item->row_id, item->version);
    for (i = 0; item->twin_rows && i < item->twin_rows->nelts; i++) {
        const json_t *twin = APR_ARRAY_IDX(item->twin_rows, i, const json_t *);

        remove_row(pl, l, item, after, cs_json_str(twin, "id"), cs_json_str(twin, "version"));
    }
}

static void step_ensure(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                        int after)
{
    cs_step_t *step = add_step(pl, l, item, CS_STEP_ENSURE, after);

    step->table = l->list->find->table;
    json_object_set(step->columns, "row", item->lookup);
}

static void step_join(cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item,
                      int after)
{
    cs_step_t *step = add_step(pl, l, item, CS_STEP_JOIN, after);

    step->table = pl->kind->table;
    step->id = pl->record_id;
    step->call = item->place->team;
    json_object_set(step->columns, "user", item->lookup);
}

/* How many may go before another has come. */
static int spare(const cs_planning_t *pl, const cs_listing_t *l)
{
    int n = l->crm_other, i;

    for (i = 0; i < l->items->nelts; i++) {
        n += item_at(l, i)->in_crm;
    }
    return n - cs_list_least(pl, l->list);
}

/* The next step from *pat on that brings an item; last = the first step behind them. */
static int next_coming(const cs_planning_t *pl, int *pat, int last)
{
    while (*pat < last) {
        cs_step_kind_e kind = APR_ARRAY_IDX(pl->plan->steps, (*pat)++, cs_step_t *)->kind;

        if (kind == CS_STEP_CREATE || kind == CS_STEP_JOIN) {
            return *pat - 1;
        }
    }
    return -1;
}

/* What has to stay until another is there waits for one that comes: that one may be refused. */
static void removals_wait(cs_planning_t *pl, const cs_listing_t *l, int from)
{
    int left = spare(pl, l), at = from, last = pl->plan->steps->nelts, i;

    for (i = from; i < last; i++) {
        cs_step_t *step = APR_ARRAY_IDX(pl->plan->steps, i, cs_step_t *);

        if (step->kind == CS_STEP_DELETE && left-- <= 0) {
            int coming = next_coming(pl, &at, last);

            step->after = coming >= 0 ? coming : step->after;
        }
    }
}

/* What comes, before what goes: a list is not empty in between. */
static void list_steps(cs_planning_t *pl, const cs_listing_t *l, int after)
{
    static const struct {
        cs_list_how_e how;
        void (*step)(cs_planning_t *, const cs_listing_t *, const cs_list_item_t *, int);
    } steps[] = {{CS_HOW_ROW, step_row},
                 {CS_HOW_CHANGE, step_change},
                 {CS_HOW_ENSURE, step_ensure},
                 {CS_HOW_JOIN, step_join},
                 {CS_HOW_REMOVE, step_remove}};
    int i, from = pl->plan->steps->nelts;
    size_t k;

    for (k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
        for (i = 0; i < l->items->nelts; i++) {
            if (item_at(l, i)->how == steps[k].how) {
                steps[k].step(pl, l, item_at(l, i), after);
            }
        }
    }
    removals_wait(pl, l, from);
}

void cs_list_steps(cs_planning_t *pl, int after)
{
    int i;

    for (i = 0; i < pl->lists->nelts; i++) {
        list_steps(pl, listing_at(pl, i), after);
    }
}

/* ---- towards Partner Center ---- */

static int goes_to_pc(const cs_list_item_t *item)
{
    return item->view->verdict == CS_VERDICT_TO_PC;
}

static int goes_any(const cs_listing_t *l)
{
    int i;

    for (i = 0; i < l->items->nelts; i++) {
        if (goes_to_pc(item_at(l, i))) {
            return 1;
        }
    }
    return 0;
}

static void set_members(json_t *out, const cs_list_t *list, const json_t *from, const json_t *but)
{
    const char *member;
    json_t *value;

    json_object_foreach((json_t *)from, member, value) {
        if (!json_is_null(value) && strcmp(member, list->key) && !cs_json_get(but, member)) {
            json_object_set_new(out, member, json_deep_copy(value));
        }
    }
}

/* What Partner Center once had of it and the CRM does not show comes back, too. */
static json_t *new_member(const cs_list_t *list, const cs_list_item_t *item)
{
    json_t *out = json_object();

    add_constants(out, list->set);
    set_members(out, list, item->view->seen_pc, item->view->value);
    set_members(out, list, item->view->value, NULL);
    json_object_set_new(out, list->key, json_string(item->shown));
    return out;
}

/* Of the row's own columns what differs; of the row found what moved. */
static json_t *changed_member(const cs_list_t *list, const cs_list_item_t *item)
{
    const cs_line_view_t *view = item->view;
    json_t *out = json_deep_copy(item->pc_item), *value;
    const char *member;

    json_object_foreach(view->crm, member, value) {
        const json_t *was = cs_json_get(view->seen_crm, member);
        int own = cs_member_column(list->fields, member) != NULL;

        if (strcmp(member, list->key) &&
            !cs_item_value_same(value, cs_json_get(view->pc, member)) &&
            (own || (was && !cs_item_value_same(value, was) && !json_is_null(value)))) {
            json_object_set_new(out, member, json_deep_copy(value));
        }
    }
    return out;
}

/* In Partner Center's order, then what is new; members without a key and those that the CRM cannot
 * show as they were. */
static json_t *whole_array(cs_planning_t *pl, const cs_listing_t *l)
{
    json_t *out = json_array(), *member;
    size_t i;
    int j;

    json_array_foreach((json_t *)l->array, i, member) {
        const char *key = cs_item_key(cs_json_get(member, l->list->key), pl->ptemp);
        const cs_list_item_t *item =
            key ? apr_hash_get(l->by_key, cs_item_fold(key, pl->ptemp), APR_HASH_KEY_STRING) : NULL;

        if (item && goes_to_pc(item) && !is_in(item->view->value)) {
            continue; /* and its twins, or one of them would take its place */
        }
        json_array_append_new(out, item && item->pc_item == member && goes_to_pc(item)
                                       ? changed_member(l->list, item)
                                       : json_deep_copy(member));
    }
    for (j = 0; j < l->items->nelts; j++) {
        if (goes_to_pc(item_at(l, j)) && !item_at(l, j)->pc_item) {
            json_array_append_new(out, new_member(l->list, item_at(l, j)));
        }
    }
    return out;
}

json_t *cs_list_item_at_pc(const cs_list_t *list, const char *line, const json_t *doc,
                           apr_pool_t *p)
{
    const json_t *array = cs_path_get(list->pc, doc);
    const char *wanted = strchr(line, '/') + 1;
    size_t i;

    for (i = 0; i < json_array_size(array); i++) {
        cs_list_item_t item = {.pc_item = json_array_get(array, i)};
        const char *key = cs_item_key(cs_json_get(item.pc_item, list->key), p);

        if (key && !strcmp(cs_item_fold(key, p), wanted)) {
            item.key = wanted;
            item.shown = key;
            return cs_item_of_pc(list, &item, p);
        }
    }
    return json_null();
}

void cs_list_operations(cs_planning_t *pl, json_t *ops, apr_array_header_t *names, json_t *parts)
{
    int i, j;

    for (i = 0; i < pl->lists->nelts; i++) {
        const cs_listing_t *l = listing_at(pl, i);

        if (!goes_any(l)) {
            continue;
        }
        json_array_append_new(ops,
                              json_pack("{s:s,s:s,s:o}", "op", l->array ? "replace" : "add", "path",
                                        l->list->pc->text, "value", whole_array(pl, l)));
        for (j = 0; j < l->items->nelts; j++) {
            if (goes_to_pc(item_at(l, j))) {
                APR_ARRAY_PUSH(names, const char *) = item_at(l, j)->view->line;
                add_part(parts, item_at(l, j)->view->line, l->list->pc->text);
            }
        }
    }
}
