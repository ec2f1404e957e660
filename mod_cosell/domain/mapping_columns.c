/* domain/mapping_columns.c: what is read with a record of a kind: its columns, which of them are
 * look-ups, and the rows that belong to it. Only of a mapping without mistakes.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mapping_internal.h"

typedef struct reads_t {
    apr_pool_t *p;
    apr_array_header_t *columns;
    apr_array_header_t *lookups;
} reads_t;

static void add_column(reads_t *r, const char *text)
{
    int i;

    for (i = 0; i < r->columns->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(r->columns, i, const char *), text)) {
            return;
        }
    }
    APR_ARRAY_PUSH(r->columns, const char *) = text;
}

static void add_lookup(reads_t *r, const char *column, const char *table)
{
    cs_mapping_lookup_t *lookup;
    int i;

    for (i = 0; i < r->lookups->nelts; i++) {
        lookup = &APR_ARRAY_IDX(r->lookups, i, cs_mapping_lookup_t);
        if (!strcmp(lookup->column, column)) {
            lookup->table = lookup->table ? lookup->table : table;
            return;
        }
    }
    lookup = &APR_ARRAY_PUSH(r->lookups, cs_mapping_lookup_t);
    lookup->column = column;
    lookup->table = table;
}

static void add_read(reads_t *r, const cs_column_t *column)
{
    if (column && column->text) {
        add_column(r, column->text);
        if (column->of) {
            add_lookup(r, column->name, NULL);
        }
    }
}

static void add_set(reads_t *r, const apr_array_header_t *set)
{
    int i;

    for (i = 0; i < set->nelts; i++) {
        add_column(r, APR_ARRAY_IDX(set, i, cs_set_t).column);
    }
}

static void add_cond(reads_t *r, const cs_cond_t *cond)
{
    int i;

    if (!cond) {
        return;
    }
    add_read(r, cond->crm);
    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        add_cond(r, APR_ARRAY_IDX(cond->items, i, const cs_cond_t *));
    }
}

/* A look-up is compared by its key, so the key comes along. */
static void add_found(reads_t *r, const cs_column_t *column, const cs_find_t *find)
{
    int i, j;

    add_lookup(r, column->name, find->table);
    add_column(r, column->name);
    for (i = 0; i < find->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(find->by, i, apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            add_column(r, apr_pstrcat(r->p, column->name, "/",
                                      APR_ARRAY_IDX(set, j, cs_find_part_t).column, NULL));
        }
    }
}

/* The row that a look-up of a list shows: its key and the columns of the item. */
static void add_shown(reads_t *r, const char *column, const cs_list_t *list)
{
    int i;

    add_column(r, apr_pstrcat(r->p, column, "/", list->key_column, NULL));
    add_column(r, column);
    for (i = 0; list->item && i < list->item->nelts; i++) {
        add_column(r, apr_pstrcat(r->p, column, "/",
                                  APR_ARRAY_IDX(list->item, i, cs_member_column_t).column->name,
                                  NULL));
    }
}

static void add_members(reads_t *r, const apr_array_header_t *members)
{
    int i;

    for (i = 0; members && i < members->nelts; i++) {
        add_column(r, APR_ARRAY_IDX(members, i, cs_member_column_t).column->name);
    }
}

static cs_related_t *add_related(cs_mapping_kind_t *kind, const char *list, reads_t *child)
{
    cs_related_t *related = &APR_ARRAY_PUSH(kind->related, cs_related_t);

    child->columns = apr_array_make(child->p, 4, sizeof(const char *));
    memset(related, 0, sizeof(*related));
    related->list = list;
    related->columns = child->columns;
    return related;
}

static int key_is_field(const cs_list_t *list)
{
    int i;

    for (i = 0; list->fields && i < list->fields->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list->fields, i, cs_member_column_t).member, list->key)) {
            return 1;
        }
    }
    return 0;
}

/* A row of ours that somebody made another item's is known by it. */
static void add_row_key(reads_t *r, const cs_list_t *list)
{
    if (list->row_key) {
        add_column(r, list->row_key);
    }
}

static void add_children(reads_t *r, cs_mapping_kind_t *kind, const cs_list_t *list)
{
    reads_t child = *r;
    cs_related_t *related = add_related(kind, list->name, &child);

    related->table = list->table;
    related->parent = list->parent;
    related->where = list->where;
    add_lookup(r, list->parent, kind->table);
    add_row_key(&child, list);
    if (key_is_field(list)) {
        add_column(&child, list->key_column);
    }
    if (list->column && list->find) {
        if (!key_is_field(list)) {
            add_shown(&child, list->column->name, list);
        }
        else {
            add_column(&child, list->column->name);
        }
        add_lookup(r, list->column->name, list->find->table);
    }
    add_members(&child, list->fields);
}

static void add_users(reads_t *r, cs_mapping_kind_t *kind, const cs_list_t *list)
{
    int i;

    for (i = 0; i < list->users->nelts; i++) {
        const cs_list_users_t *home = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);
        reads_t child = *r;
        cs_related_t *related;

        if (home->column) {
            add_shown(r, home->column, list);
            add_lookup(r, home->column, list->find->table);
            continue;
        }
        related = add_related(kind, list->name, &child);
        related->team = home->team;
        related->table = home->child;
        related->parent = home->parent;
        if (home->team) {
            add_column(&child, list->key_column);
            add_members(&child, list->item);
            continue;
        }
        add_row_key(&child, list);
        add_shown(&child, home->user, list);
        add_lookup(r, home->user, list->find->table);
        add_lookup(r, home->parent, kind->table);
    }
}

static void add_list(reads_t *r, cs_mapping_kind_t *kind, const cs_list_t *list)
{
    add_cond(r, list->when);
    if (list->shape == CS_LIST_CHILD) {
        add_children(r, kind, list);
    }
    else if (list->shape == CS_LIST_USERS) {
        add_users(r, kind, list);
    }
    else {
        add_shown(r, list->column->name, list);
        add_lookup(r, list->column->name, list->find->table);
    }
}

static void add_line(reads_t *r, const cs_line_t *line)
{
    int compared = (line->to_pc.on && (line->to_pc.events & CS_ON_UPDATE)) ||
                   (line->to_crm.on && (line->to_crm.events & CS_ON_UPDATE));
    int i;

    add_read(r, line->crm);
    add_read(r, line->crm_currency);
    for (i = 0; line->crm_more && i < line->crm_more->nelts; i++) {
        add_read(r, APR_ARRAY_IDX(line->crm_more, i, const cs_column_t *));
    }
    add_cond(r, line->when);
    add_cond(r, line->to_pc.when);
    add_cond(r, line->to_crm.when);
    if (line->type == CS_TYPE_MONEY && line->crm_currency && line->find) {
        add_found(r, line->crm_currency, line->find);
    }
    else if (line->type == CS_TYPE_LOOKUP && line->crm && line->find) {
        if (compared) {
            add_found(r, line->crm, line->find);
        }
        else {
            add_lookup(r, line->crm->name, line->find->table);
        }
    }
}

static void add_told(reads_t *r, const cs_tell_t *tell)
{
    const char *columns[] = {tell->id,    tell->link,   tell->status,  tell->problem,
                             tell->audit, tell->synced, tell->explain, tell->mark};
    size_t i;

    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (columns[i]) {
            add_column(r, columns[i]);
        }
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_state(reads_t *r, const cs_mapping_kind_t *kind)
{
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        const cs_hear_t *hear = &APR_ARRAY_IDX(kind->hear, i, cs_hear_t);

        add_read(r, hear->reason);
        if (hear->note && hear->note->text && strcmp(hear->note->name, CS_CLOSE)) {
            add_read(r, hear->note);
        }
    }
    for (i = 0; i < kind->show->nelts; i++) {
        if (!APR_ARRAY_IDX(kind->show, i, cs_show_t).call) {
            add_set(r, APR_ARRAY_IDX(kind->show, i, cs_show_t).set);
        }
    }
    for (i = 0; i < kind->state_columns->nelts; i++) {
        add_column(r, APR_ARRAY_IDX(kind->state_columns, i, const char *));
    }
}

/* What was typed when the record was closed, for a reason that asks for it. */
static void add_closing(reads_t *r, cs_mapping_kind_t *kind, const cs_crm_facts_t *facts)
{
    cs_related_t *related = NULL;
    reads_t child = *r;
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        const cs_column_t *note = APR_ARRAY_IDX(kind->hear, i, cs_hear_t).note;

        if (!note || !note->text || strcmp(note->name, CS_CLOSE)) {
            continue;
        }
        if (!related) {
            related = add_related(kind, CS_CLOSE, &child);
            related->table = facts->close_table;
            related->parent = facts->close_parent;
            related->closed = facts->state_column;
            add_column(&child, facts->close_made);
        }
        add_column(&child, note->of);
    }
}

static void add_roles(cs_load_t *l, reads_t *r, const cs_mapping_kind_t *kind,
                      const json_t *records)
{
    const char *table;
    int off;

    if (kind->owner) {
        add_column(r, kind->owner->column);
        add_lookup(r, kind->owner->column, kind->owner->find->table);
    }
    if (kind->becomes) {
        table = cs_json_str(cs_json_get(records, kind->becomes->record), "table");
        add_column(r, kind->becomes->via->name);
        add_lookup(r, kind->becomes->via->name, cs_load_name(l, table, "/records", &off));
    }
}

void cs_load_columns(cs_load_t *l, cs_mapping_kind_t *kind, const json_t *records)
{
    reads_t r = {l->p, apr_array_make(l->p, 32, sizeof(const char *)),
                 apr_array_make(l->p, 4, sizeof(cs_mapping_lookup_t))};
    int i;

    kind->related = apr_array_make(l->p, 4, sizeof(cs_related_t));
    for (i = 0; i < kind->lines->nelts; i++) {
        if (!APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->off) {
            add_line(&r, APR_ARRAY_IDX(kind->lines, i, cs_line_t *));
        }
    }
    add_cond(&r, kind->from_crm_when);
    for (i = 0; i < kind->asked_kinds->nelts; i++) {
        add_cond(&r, APR_ARRAY_IDX(kind->asked_kinds, i, cs_asked_kind_t).when);
    }
    add_set(&r, kind->from_pc_set);
    add_told(&r, &kind->tell);
    add_state(&r, kind);
    add_roles(l, &r, kind, records);
    for (i = 0; i < kind->lists->nelts; i++) {
        if (!APR_ARRAY_IDX(kind->lists, i, cs_list_t *)->off) {
            add_list(&r, kind, APR_ARRAY_IDX(kind->lists, i, cs_list_t *));
        }
    }
    add_closing(&r, kind, l->facts);
    qsort(r.columns->elts, (size_t)r.columns->nelts, sizeof(const char *), by_text);
    kind->columns = r.columns;
    kind->lookups = r.lookups;
}
