/* domain/list_read.c: the items of a list on both sides, by key.
 *
 * An item is known by its key, trimmed and folded; rows and array members without one are left
 * alone. A side that cannot be read in full is not read at all: a row whose key is hidden would
 * look like an item that somebody removed.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "list_internal.h"

/* ---- gathering ---- */

static cs_list_item_t *item_of(cs_planning_t *pl, cs_listing_t *l, const char *key,
                               const char *shown)
{
    cs_list_item_t *item = apr_hash_get(l->by_key, key, APR_HASH_KEY_STRING);

    if (!item) {
        item = apr_pcalloc(pl->p, sizeof(*item));
        item->key = key;
        item->shown = shown;
        item->view = apr_pcalloc(pl->p, sizeof(*item->view));
        item->view->line = apr_pstrcat(pl->p, l->list->name, "/", key, NULL);
        apr_hash_set(l->by_key, key, APR_HASH_KEY_STRING, item);
        APR_ARRAY_PUSH(l->items, cs_list_item_t *) = item;
    }
    return item;
}

/* The member is there and says null: nobody is in the list. */
static int says_null(const cs_pc_path_t *path, const json_t *doc, apr_pool_t *p)
{
    cs_pc_path_t parent = *path;
    const cs_pc_step_t *last;

    parent.steps = apr_array_copy(p, path->steps);
    last = apr_array_pop(parent.steps);
    return last && json_is_null(cs_json_get(cs_path_get(&parent, doc), last->name));
}

static void read_pc(cs_planning_t *pl, cs_listing_t *l)
{
    json_t *array = cs_path_get(l->list->pc, pl->doc), *member;
    size_t i;

    if (!json_is_array(array)) {
        if (array || !says_null(l->list->pc, pl->doc, pl->ptemp)) {
            l->pc_unread = "Partner Center did not show it";
        }
        return;
    }
    l->array = array;
    json_array_foreach(array, i, member) {
        const char *shown = cs_item_key(cs_json_get(member, l->list->key), pl->p);
        cs_list_item_t *item = shown ? item_of(pl, l, cs_item_fold(shown, pl->p), shown) : NULL;

        if (!item) {
            l->pc_other++;
        }
        else if (!item->pc_item) {
            item->pc_item = member; /* a twin goes with it */
        }
    }
}

/* The first row of a key counts: *pfirst. 0 = the key cannot be read. */
static int take_row(cs_planning_t *pl, cs_listing_t *l, const json_t *value, cs_list_item_t **pitem,
                    int *pfirst)
{
    const char *shown = value ? cs_item_key(value, pl->p) : NULL;
    cs_list_item_t *item = shown ? item_of(pl, l, cs_item_fold(shown, pl->p), shown) : NULL;

    *pitem = item;
    *pfirst = item && !item->in_crm;
    if (item) {
        item->twins += item->in_crm;
        item->in_crm = 1;
    }
    l->crm_other += value && !item;
    return value != NULL;
}

static void add_twin(cs_list_item_t *item, const json_t *entry, apr_pool_t *p)
{
    if (!item->twin_rows) {
        item->twin_rows = apr_array_make(p, 2, sizeof(const json_t *));
    }
    APR_ARRAY_PUSH(item->twin_rows, const json_t *) = entry;
}

static void take_child(cs_planning_t *pl, cs_listing_t *l, const json_t *entry, const json_t *found,
                       const json_t *key, const cs_list_users_t *place)
{
    cs_list_item_t *item;
    int first;

    if (!take_row(pl, l, key, &item, &first)) {
        l->crm_unread = "the CRM did not show what its rows stand for";
    }
    if (first) {
        item->row = cs_json_get(entry, "row");
        item->row_id = cs_json_str(entry, "id");
        item->version = cs_json_str(entry, "version");
        item->found = json_is_object(found) ? found : NULL;
        item->place = place;
    }
    else if (item && entry) {
        add_twin(item, entry, pl->p);
    }
}

/* A look-up that names nobody has no key; one whose row hides its key cannot be read. */
static const json_t *key_of_found(const json_t *found, const char *column)
{
    return json_is_object(found) ? cs_json_get(found, column) : found;
}

static void read_child(cs_planning_t *pl, cs_listing_t *l, const json_t *entry)
{
    const cs_list_t *list = l->list;
    const cs_column_t *own = cs_member_column(list->fields, list->key);
    const json_t *row = cs_json_get(entry, "row");
    const json_t *found = list->column ? cs_json_get(row, list->column->name) : NULL;

    take_child(pl, l, entry, found,
               own ? cs_column_get(own, row) : key_of_found(found, list->key_column), NULL);
}

/* Ourselves: whoever makes a record owns it unless somebody else is named, and is no member of a
 * team. */
static int is_caller(const cs_planning_t *pl, const char *id)
{
    const char *caller = cs_json_str(pl->look->metadata, "user");

    return id && caller && !strcasecmp(id, caller);
}

/* A row of a child table has the table's column that names the user; a user has not. */
static void read_user(cs_planning_t *pl, cs_listing_t *l, const json_t *entry)
{
    const apr_array_header_t *places = l->list->users;
    const cs_list_users_t *team = NULL;
    const json_t *row = cs_json_get(entry, "row"), *found;
    int i;

    for (i = 0; i < places->nelts; i++) {
        const cs_list_users_t *place = &APR_ARRAY_IDX(places, i, cs_list_users_t);

        if (place->child && (found = cs_json_get(row, place->user)) != NULL) {
            take_child(pl, l, entry, found, key_of_found(found, l->list->key_column), place);
            return;
        }
        team = place->team ? place : team;
    }
    if (!is_caller(pl, cs_json_str(entry, "id"))) {
        take_child(pl, l, NULL, row, cs_json_get(row, l->list->key_column), team);
    }
}

static void read_related(cs_planning_t *pl, cs_listing_t *l)
{
    json_t *rows = cs_json_get(pl->look->record->related, l->list->name), *entry;
    size_t i;

    if (!json_is_array(rows)) {
        l->crm_unread = "the CRM did not show its rows";
        return;
    }
    json_array_foreach(rows, i, entry) {
        if (l->list->shape == CS_LIST_CHILD) {
            read_child(pl, l, entry);
        }
        else {
            read_user(pl, l, entry);
        }
    }
}

/* The record's own look-up: one item or none. */
static void read_own(cs_planning_t *pl, cs_listing_t *l, const char *name,
                     const cs_list_users_t *place)
{
    const json_t *found = cs_json_get(pl->row, name);
    cs_list_item_t *item = NULL;
    int first = 0;

    l->occupied = json_is_object(found);
    if (is_caller(pl, cs_json_str(found, "id"))) {
        return;
    }
    if (!found ||
        (l->occupied && !take_row(pl, l, cs_json_get(found, l->list->key_column), &item, &first))) {
        l->owner_unread = "the CRM did not show whom the record names";
    }
    if (first) {
        item->found = found;
        item->place = place;
    }
}

static void read_users(cs_planning_t *pl, cs_listing_t *l)
{
    int i, rows = 0;

    for (i = 0; i < l->list->users->nelts; i++) {
        const cs_list_users_t *place = &APR_ARRAY_IDX(l->list->users, i, cs_list_users_t);

        if (place->column) {
            read_own(pl, l, place->column, place);
        }
        rows |= place->team || place->child;
    }
    if (rows) {
        read_related(pl, l);
    }
}

static void read_crm(cs_planning_t *pl, cs_listing_t *l)
{
    if (pl->creating) {
        return;
    }
    switch (l->list->shape) {
    case CS_LIST_CHILD:
        read_related(pl, l);
        break;
    case CS_LIST_COLUMN:
        read_own(pl, l, l->list->column->name, NULL);
        l->crm_unread = l->owner_unread;
        break;
    default:
        read_users(pl, l);
        break;
    }
}

static void read_images(cs_planning_t *pl, cs_listing_t *l)
{
    size_t len = strlen(l->list->name);
    const char *line;
    json_t *image;

    json_object_foreach(pl->look->deal->images, line, image) {
        if (!strncmp(line, l->list->name, len) && line[len] == '/') {
            const char *key = apr_pstrdup(pl->p, line + len + 1);

            item_of(pl, l, key, key);
        }
    }
}

/* ---- both sides and both images of each ---- */

static int says_same(const cs_list_t *list, const json_t *a, const json_t *b)
{
    return json_is_null(a) ? json_is_null(b)
                           : json_is_object(b) && !cs_item_fields_differ(list, a, b);
}

/* What a side shows and a stored intent meant is ours, not a user's edit. */
static void recall(cs_planning_t *pl, const cs_list_t *list, cs_line_view_t *view)
{
    const cs_deal_t *deal = pl->look->deal;
    json_t *meant;
    size_t i;
    int to_pc;

    view->seen_pc = cs_image_side(deal, view->line, "pc");
    view->seen_crm = cs_image_side(deal, view->line, "crm");
    for (i = 0; (meant = cs_intent_meant(deal, view->line, i, &to_pc)) != NULL; i++) {
        json_t *now = to_pc ? view->pc : view->crm;

        if (now && says_same(list, meant, now)) {
            view->seen_pc = to_pc ? now : meant;
            view->seen_crm = to_pc ? meant : now;
            return;
        }
    }
}

static void fill_view(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;

    if (!pl->creating) {
        view->seen_crm = cs_image_side(pl->look->deal, view->line, "crm");
        view->seen_pc = cs_image_side(pl->look->deal, view->line, "pc");
    }
    view->pc = item->pc_item                                   ? cs_item_of_pc(l->list, item, pl->p)
               : l->pc_unread && json_is_object(view->seen_pc) ? NULL
                                                               : json_null();
    view->crm = l->crm_unread  ? NULL
                : item->in_crm ? cs_item_of_crm(l->list, item, pl->p)
                : l->owner_unread && json_is_object(view->seen_crm) ? NULL
                                                                    : json_null();
    if (!pl->creating) {
        recall(pl, l->list, view);
    }
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(cs_list_item_t *const *)a)->key, (*(cs_list_item_t *const *)b)->key);
}

cs_listing_t *cs_listing_read(cs_planning_t *pl, const cs_list_t *list)
{
    cs_listing_t *l = apr_pcalloc(pl->p, sizeof(*l));
    int i, first;

    l->list = list;
    l->items = apr_array_make(pl->p, 8, sizeof(cs_list_item_t *));
    l->by_key = apr_hash_make(pl->p);
    read_pc(pl, l);
    first = l->items->nelts;
    read_crm(pl, l);
    read_images(pl, l);
    qsort((cs_list_item_t **)l->items->elts + first, (size_t)(l->items->nelts - first),
          sizeof(cs_list_item_t *), by_key);
    for (i = 0; i < l->items->nelts; i++) {
        fill_view(pl, l, APR_ARRAY_IDX(l->items, i, cs_list_item_t *));
    }
    return l;
}
