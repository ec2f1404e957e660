/* domain/mapping_used.c: what a mapping does in which tables: what its CRM has to allow. */
#include <stdlib.h>
#include <string.h>

#include "mapping_internal.h"

typedef struct uses_t {
    const cs_mapping_t *mapping;
    apr_array_header_t *tables; /* cs_used_t */
} uses_t;

/* Good until the next one. */
static cs_used_t *used(uses_t *u, const char *table)
{
    cs_used_t *out;
    int i;

    for (i = 0; i < u->tables->nelts; i++) {
        out = &APR_ARRAY_IDX(u->tables, i, cs_used_t);
        if (!strcmp(out->table, table)) {
            return out;
        }
    }
    out = apr_array_push(u->tables);
    memset(out, 0, sizeof(*out));
    out->table = table;
    return out;
}

/* Rows of one table are made to point to rows of another. */
static void point(uses_t *u, const char *from, const char *to)
{
    used(u, from)->append = 1;
    used(u, to)->append_to = 1;
}

static void make(uses_t *u, const char *table, const char *found)
{
    cs_used_t *t = used(u, table);

    t->create = 1;
    t->found = t->found ? t->found : found;
}

static void use_find(uses_t *u, const cs_find_t *find)
{
    int i;

    used(u, find->table);
    if (find->none != CS_NONE_CREATE) {
        return;
    }
    make(u, find->table, find->key);
    for (i = 0; find->within && i < find->within->nelts; i++) {
        point(u, find->table, APR_ARRAY_IDX(find->within, i, cs_within_t).find->table);
    }
}

/* A column of `table` shows what the look-up finds. An owner is given, not pointed to. */
static void show(uses_t *u, const char *table, const char *column, const cs_find_t *find)
{
    const char *owner = u->mapping->facts->owner_column;

    if (owner && column && !strcmp(column, owner)) {
        used(u, table)->assign = 1;
    }
    else {
        point(u, table, find->table);
    }
}

static void use_line(uses_t *u, const cs_mapping_kind_t *kind, const cs_line_t *line)
{
    const cs_column_t *column = line->type == CS_TYPE_MONEY ? line->crm_currency : line->crm;

    if (line->find && line->to_crm.on && column && column->name) {
        show(u, kind->table, column->name, line->find);
    }
}

static void use_rows(uses_t *u, const cs_list_t *list, const char *table, const char *of)
{
    cs_used_t *t;

    make(u, table, list->row_key);
    t = used(u, table);
    t->write = 1;
    t->remove = !list->to_crm_add_only;
    point(u, table, of);
}

static void use_users(uses_t *u, const cs_mapping_kind_t *kind, const cs_list_t *list)
{
    int i;

    for (i = 0; list->users && i < list->users->nelts; i++) {
        const cs_list_users_t *home = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);

        if (home->child) {
            used(u, home->child);
        }
        if (!list->to_crm) {
            continue;
        }
        if (home->column) {
            show(u, kind->table, home->column, list->find);
        }
        else if (home->team) {
            used(u, kind->table)->share = 1;
        }
        else if (home->child) {
            use_rows(u, list, home->child, kind->table);
            used(u, list->find->table)->append_to = 1;
        }
    }
}

static void use_list(uses_t *u, const cs_mapping_kind_t *kind, const cs_list_t *list)
{
    if (list->shape == CS_LIST_USERS) {
        use_users(u, kind, list);
        return;
    }
    if (list->shape == CS_LIST_CHILD) {
        used(u, list->table);
        if (list->to_crm) {
            use_rows(u, list, list->table, kind->table);
        }
    }
    if (list->to_crm && list->column && list->find) {
        show(u, list->shape == CS_LIST_CHILD ? list->table : kind->table, list->column->name,
             list->find);
    }
}

static void use_kind(uses_t *u, const cs_mapping_kind_t *kind)
{
    cs_used_t *t = used(u, kind->table);
    int i;

    t->write = 1;
    t->create |= kind->from_pc_when != NULL;
    t->key = t->key ? t->key : kind->tell.id;
    t->found = t->found ? t->found : kind->external_id;
    if (kind->owner && kind->from_pc_when) {
        t->assign = 1;
    }
    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, const cs_line_t *);

        if (!line->off) {
            use_line(u, kind, line);
        }
    }
    for (i = 0; i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, const cs_list_t *);

        if (!list->off) {
            use_list(u, kind, list);
        }
    }
}

static int by_table(const void *a, const void *b)
{
    return strcmp(((const cs_used_t *)a)->table, ((const cs_used_t *)b)->table);
}

apr_array_header_t *cs_mapping_used(const cs_mapping_t *mapping, apr_pool_t *p)
{
    uses_t u = {mapping, apr_array_make(p, 12, sizeof(cs_used_t))};
    const apr_array_header_t *watched = cs_mapping_watched(mapping);
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        use_kind(&u, APR_ARRAY_IDX(mapping->kinds, i, const cs_mapping_kind_t *));
    }
    for (i = 0; i < mapping->finds->nelts; i++) {
        const cs_find_t *find = APR_ARRAY_IDX(mapping->finds, i, const cs_find_t *);

        if (!find->off_why && find->table) {
            use_find(&u, find);
        }
    }
    for (i = 0; watched && i < watched->nelts; i++) {
        used(&u, APR_ARRAY_IDX(watched, i, cs_watched_t).table)->watched = 1;
    }
    qsort(u.tables->elts, (size_t)u.tables->nelts, sizeof(cs_used_t), by_table);
    return u.tables;
}
