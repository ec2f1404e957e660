/* domain/mapping_watch.c: rows of the CRM that are worth looking at when they change, and what a
 * row that changed says of itself. (deals 7)
 *
 * A record shows rows of other tables: those that its paths go through, those of its lists. A row
 * that is only found by a key (a currency, an entry of a catalogue) shows nothing but the key and
 * is not watched: its other columns move for reasons of their own.
 */
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

/* ---- through which look-ups a record is read ---- */

/* Called for each; table NULL = the mapping does not say where it points to. */
typedef void cs_through_f(void *baton, const char *column, const char *table);

typedef struct walk_t {
    const cs_mapping_kind_t *kind;
    cs_through_f *each;
    void *baton;
} walk_t;

static const char *target_of(const cs_mapping_kind_t *kind, const char *column)
{
    int i;

    for (i = 0; i < kind->lookups->nelts; i++) {
        const cs_mapping_lookup_t *lookup = &APR_ARRAY_IDX(kind->lookups, i, cs_mapping_lookup_t);

        if (!strcmp(lookup->column, column)) {
            return lookup->table;
        }
    }
    return NULL;
}

static void through_column(const walk_t *w, const cs_column_t *column)
{
    if (column && column->text && column->of) {
        w->each(w->baton, column->name, target_of(w->kind, column->name));
    }
}

static void through_cond(const walk_t *w, const cs_cond_t *cond)
{
    int i;

    if (!cond) {
        return;
    }
    through_column(w, cond->crm);
    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        through_cond(w, APR_ARRAY_IDX(cond->items, i, const cs_cond_t *));
    }
}

static void through_line(const walk_t *w, const cs_line_t *line)
{
    int i;

    through_column(w, line->crm);
    through_column(w, line->crm_currency);
    for (i = 0; line->crm_more && i < line->crm_more->nelts; i++) {
        through_column(w, APR_ARRAY_IDX(line->crm_more, i, const cs_column_t *));
    }
    through_cond(w, line->when);
    through_cond(w, line->to_pc.when);
    through_cond(w, line->to_crm.when);
}

/* The row found says more of an item than its key. */
static int shows_found(const cs_list_t *list)
{
    return list->find && list->item && list->item->nelts > 0;
}

static void through_list(const walk_t *w, const cs_list_t *list)
{
    int i;

    through_cond(w, list->when);
    if (!shows_found(list)) {
        return;
    }
    if (list->shape == CS_LIST_COLUMN) {
        w->each(w->baton, list->column->name, list->find->table);
    }
    for (i = 0; list->users && i < list->users->nelts; i++) {
        const char *column = APR_ARRAY_IDX(list->users, i, cs_list_users_t).column;

        if (column) {
            w->each(w->baton, column, list->find->table);
        }
    }
}

static void walk(const walk_t *w)
{
    int i;

    for (i = 0; i < w->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(w->kind->lines, i, cs_line_t *);

        if (!line->off) {
            through_line(w, line);
        }
    }
    through_cond(w, w->kind->from_crm_when);
    for (i = 0; i < w->kind->asked_kinds->nelts; i++) {
        through_cond(w, APR_ARRAY_IDX(w->kind->asked_kinds, i, cs_asked_kind_t).when);
    }
    for (i = 0; i < w->kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(w->kind->lists, i, cs_list_t *);

        if (!list->off) {
            through_list(w, list);
        }
    }
}

/* ---- the tables to watch ---- */

typedef struct gather_t {
    apr_pool_t *p;
    apr_array_header_t *watched; /* cs_watched_t */
} gather_t;

static cs_watched_t *table_of(gather_t *g, const char *table)
{
    cs_watched_t *watched;
    int i;

    for (i = 0; i < g->watched->nelts; i++) {
        watched = &APR_ARRAY_IDX(g->watched, i, cs_watched_t);
        if (!strcmp(watched->table, table)) {
            return watched;
        }
    }
    watched = &APR_ARRAY_PUSH(g->watched, cs_watched_t);
    watched->table = table;
    watched->record = 0;
    watched->columns = apr_array_make(g->p, 4, sizeof(const char *));
    watched->parents = apr_array_make(g->p, 1, sizeof(const char *));
    return watched;
}

static void add_text(const apr_array_header_t *texts, const char *text)
{
    int i;

    for (i = 0; text && i < texts->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(texts, i, const char *), text)) {
            return;
        }
    }
    if (text) {
        APR_ARRAY_PUSH((apr_array_header_t *)texts, const char *) = text;
    }
}

/* A CRM whose paths name relations tells what lies behind one with what changed. */
static void add_asked(const cs_mapping_kind_t *kind, const apr_array_header_t *columns,
                      const cs_cond_t *cond)
{
    int i;

    if (!cond) {
        return;
    }
    if (cond->crm && cond->crm->text) {
        add_text(columns, kind->mapping->facts->relations ? cond->crm->text : cond->crm->name);
    }
    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        add_asked(kind, columns, APR_ARRAY_IDX(cond->items, i, const cs_cond_t *));
    }
}

static void add_records(gather_t *g, const cs_mapping_kind_t *kind)
{
    cs_watched_t *watched = table_of(g, kind->table);
    int i;

    watched->record = 1;
    add_asked(kind, watched->columns, kind->from_crm_when);
    add_text(watched->columns, kind->tell.id);
    for (i = 0; i < kind->state_columns->nelts; i++) {
        add_text(watched->columns, APR_ARRAY_IDX(kind->state_columns, i, const char *));
    }
}

static void add_shown_table(void *baton, const char *column, const char *table)
{
    (void)column;
    if (table) {
        table_of(baton, table);
    }
}

static void add_child(gather_t *g, const char *table, const char *parent)
{
    cs_watched_t *watched = table_of(g, table);

    add_text(watched->columns, parent);
    add_text(watched->parents, parent);
}

static void add_children(gather_t *g, const cs_list_t *list)
{
    int i;

    if (list->shape == CS_LIST_CHILD) {
        add_child(g, list->table, list->parent);
    }
    for (i = 0; list->users && i < list->users->nelts; i++) {
        const cs_list_users_t *home = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);

        if (home->child) {
            add_child(g, home->child, home->parent);
        }
    }
    if (shows_found(list)) {
        table_of(g, list->find->table);
    }
}

void cs_load_watched(cs_load_t *l)
{
    gather_t g = {l->p, apr_array_make(l->p, 8, sizeof(cs_watched_t))};
    int i, j;

    for (i = 0; i < l->mapping->kinds->nelts; i++) {
        add_records(&g, APR_ARRAY_IDX(l->mapping->kinds, i, cs_mapping_kind_t *));
    }
    for (i = 0; i < l->mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *kind = APR_ARRAY_IDX(l->mapping->kinds, i, cs_mapping_kind_t *);
        const walk_t w = {kind, add_shown_table, &g};

        walk(&w);
        for (j = 0; j < kind->lists->nelts; j++) {
            const cs_list_t *list = APR_ARRAY_IDX(kind->lists, j, cs_list_t *);

            if (!list->off) {
                add_children(&g, list);
            }
        }
    }
    l->mapping->watched = g.watched;
}

const apr_array_header_t *cs_mapping_watched(const cs_mapping_t *mapping)
{
    return mapping->watched;
}

/* ---- a row that changed ---- */

const cs_mapping_kind_t *cs_mapping_route_row(const cs_mapping_t *mapping, const char *table,
                                              const json_t *row, apr_pool_t *ptemp)
{
    const cs_cond_world_t world = {NULL, row, NULL};
    int i;

    (void)ptemp;
    for (i = 0; i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *kind = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);

        if (!strcmp(kind->table, table) && kind->from_crm_when &&
            cs_cond_holds(kind->from_crm_when, &world) == 1) {
            return kind;
        }
    }
    return NULL;
}

const cs_mapping_kind_t *cs_mapping_kind_of_table(const cs_mapping_t *mapping, const char *table)
{
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *kind = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);

        if (!strcmp(kind->table, table)) {
            return kind;
        }
    }
    return NULL;
}

const char *cs_mapping_named_referral(const cs_mapping_kind_t *kind, const json_t *row)
{
    const char *text = kind->tell.id ? cs_json_str(row, kind->tell.id) : NULL;

    return text && *text ? text : NULL;
}

/* ---- the rows that a record shows ---- */

typedef struct show_t {
    const cs_record_t *record;
    json_t *out;
} show_t;

static void add_row(json_t *out, const char *id, const char *table)
{
    if (id && *id && table) {
        json_object_set_new(out, id, json_string(table));
    }
}

static void add_pointed(void *baton, const char *column, const char *table)
{
    show_t *s = baton;

    add_row(s->out, cs_json_str(cs_json_get(s->record->row, column), "id"), table);
}

/* The row that an entry of a list points to. */
static void add_found(json_t *out, const cs_list_t *list, const json_t *row)
{
    int i;

    if (list->column) {
        add_row(out, cs_json_str(cs_json_get(row, list->column->name), "id"), list->find->table);
    }
    for (i = 0; list->users && i < list->users->nelts; i++) {
        const char *user = APR_ARRAY_IDX(list->users, i, cs_list_users_t).user;

        if (user) {
            add_row(out, cs_json_str(cs_json_get(row, user), "id"), list->find->table);
        }
    }
}

/* A member of a record team is a user; every other row of a list is one of its child table. */
static const char *table_of_entry(const cs_list_t *list, const json_t *row)
{
    int i;

    if (list->shape == CS_LIST_CHILD) {
        return list->table;
    }
    for (i = 0; list->users && i < list->users->nelts; i++) {
        const cs_list_users_t *home = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);

        if (home->child && cs_json_get(row, home->user)) {
            return home->child;
        }
    }
    return list->find ? list->find->table : NULL;
}

static void add_rows_of(show_t *s, const cs_list_t *list)
{
    const json_t *rows = cs_json_get(s->record->related, list->name);
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *entry = json_array_get(rows, i), *row = cs_json_get(entry, "row");

        add_row(s->out, cs_json_str(entry, "id"), table_of_entry(list, row));
        if (shows_found(list)) {
            add_found(s->out, list, row);
        }
    }
}

json_t *cs_mapping_shown_rows(const cs_mapping_kind_t *kind, const cs_record_t *record,
                              apr_pool_t *p)
{
    show_t s = {record, cs_json_own(json_object(), p)};
    const walk_t w = {kind, add_pointed, &s};
    int i;

    walk(&w);
    for (i = 0; i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, cs_list_t *);

        if (!list->off) {
            add_rows_of(&s, list);
        }
    }
    return s.out;
}
