/* domain/mapping_metadata.c: what a mapping needs to know of the CRM's tables. */
#include <stdlib.h>
#include <string.h>

#include "mapping_internal.h"

/* ---- what is needed ---- */

static int by_label(const cs_values_t *values)
{
    return values && values->by_label;
}

static int state_by_label(const cs_mapping_kind_t *kind)
{
    int i, j;

    for (i = 0; i < kind->hear->nelts; i++) {
        if (by_label(APR_ARRAY_IDX(kind->hear, i, cs_hear_t).reason_values)) {
            return 1;
        }
    }
    for (i = 0; i < kind->show->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(kind->show, i, cs_show_t).set;

        for (j = 0; j < set->nelts; j++) {
            if (by_label(APR_ARRAY_IDX(set, j, cs_set_t).values)) {
                return 1;
            }
        }
    }
    return 0;
}

/* How long the column is only the CRM knows. */
static int is_boundless(const cs_line_t *line)
{
    return line->type == CS_TYPE_TEXT && line->to_crm.on && line->crm && !line->to_crm.max;
}

/* Who we are is told with the metadata. */
static int lists_users(const cs_mapping_kind_t *kind)
{
    int i;

    for (i = 0; i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, cs_list_t *);

        if (!list->off && list->shape == CS_LIST_USERS) {
            return 1;
        }
    }
    return 0;
}

static int kind_wants(const cs_mapping_kind_t *kind)
{
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (!line->off && (by_label(line->values) || is_boundless(line))) {
            return 1;
        }
    }
    return kind->mapping->facts->state_follows || kind->tell.status || kind->tell.problem ||
           state_by_label(kind) || lists_users(kind);
}

int cs_mapping_wants_metadata(const cs_mapping_t *mapping)
{
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        if (kind_wants(APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *))) {
            return 1;
        }
    }
    return 0;
}

static void add_table(apr_array_header_t *tables, const char *table)
{
    int i;

    for (i = 0; table && i < tables->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(tables, i, const char *), table)) {
            return;
        }
    }
    if (table && *table) {
        APR_ARRAY_PUSH(tables, const char *) = table;
    }
}

static void add_tables_of(apr_array_header_t *tables, const cs_mapping_kind_t *kind)
{
    int i, j;

    add_table(tables, kind->table);
    for (i = 0; i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, cs_list_t *);

        add_table(tables, list->off ? NULL : list->table);
        for (j = 0; !list->off && list->users && j < list->users->nelts; j++) {
            add_table(tables, APR_ARRAY_IDX(list->users, j, cs_list_users_t).child);
        }
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void cs_load_tables(cs_load_t *l)
{
    apr_array_header_t *tables = apr_array_make(l->p, 8, sizeof(const char *));
    int i;

    for (i = 0; i < l->mapping->kinds->nelts; i++) {
        add_tables_of(tables, APR_ARRAY_IDX(l->mapping->kinds, i, cs_mapping_kind_t *));
    }
    for (i = 0; i < l->finds->nelts; i++) {
        const cs_find_t *find = APR_ARRAY_IDX(l->finds, i, const cs_find_t *);

        add_table(tables, find->off_why ? NULL : find->table);
    }
    qsort(tables->elts, (size_t)tables->nelts, sizeof(const char *), by_text);
    l->mapping->tables = tables;
}

const apr_array_header_t *cs_mapping_tables(const cs_mapping_t *mapping)
{
    return mapping->tables;
}
