/* domain/reconcile_list.c: lists: what is to be done with their items, taken together. (deals 2)
 *
 * list_judge.c decides about each item by itself; here is what only the whole list shows: the last
 * one that must stay, the one that the record's look-up names, who becomes the owner.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "list_internal.h"

#define NAME_MAX_UNITS 80

static int is_in(const json_t *value)
{
    return json_is_object(value);
}

/* ---- words ---- */

static const char *full_name(const json_t *item, apr_pool_t *p)
{
    const char *name = cs_json_str(item, "name");
    const char *first = cs_json_str(item, "firstName"), *last = cs_json_str(item, "lastName");

    if (name || (!first && !last)) {
        return name;
    }
    return apr_pstrcat(p, first ? first : "", first && last ? " " : "", last ? last : "", NULL);
}

/* On one line, and not a whole novel. */
static const char *short_name(const char *name, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, cs_text_head(name, NAME_MAX_UNITS, p)), *c;

    for (c = out; *c; c++) {
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    }
    return out;
}

static const char *view_name(const cs_line_view_t *view, apr_pool_t *p)
{
    const json_t *sides[] = {view->pc, view->crm, view->seen_pc, view->seen_crm};
    const char *name = NULL;
    size_t i;

    for (i = 0; !name && i < sizeof(sides) / sizeof(sides[0]); i++) {
        name = full_name(sides[i], p);
    }
    return name ? short_name(name, p) : NULL;
}

/* "solutions" holds a solution, "team" a team member. */
const char *cs_list_one(const cs_list_t *list, apr_pool_t *p)
{
    size_t len = strlen(list->name);

    return len > 1 && list->name[len - 1] == 's' ? apr_pstrmemdup(p, list->name, len - 1)
                                                 : apr_pstrcat(p, list->name, " member", NULL);
}

static const char *view_key(const cs_list_t *list, const cs_line_view_t *view)
{
    const char *slash = strchr(view->line, '/'), *key = cs_json_str(view->pc, list->key);

    key = key ? key : cs_json_str(view->crm, list->key);
    return key ? key : slash ? slash + 1 : view->line;
}

const char *cs_list_words(const cs_list_t *list, const cs_line_view_t *view, apr_pool_t *p)
{
    const char *name = view_name(view, p), *key = view_key(list, view);

    return name ? apr_psprintf(p, "%s %s (%s)", cs_list_one(list, p), name, key)
                : apr_pstrcat(p, cs_list_one(list, p), " ", key, NULL);
}

/* ---- the list as a whole ---- */

static cs_list_item_t *item_at(const cs_listing_t *l, int i)
{
    return APR_ARRAY_IDX(l->items, i, cs_list_item_t *);
}

int cs_list_least(const cs_planning_t *pl, const cs_list_t *list)
{
    const json_t *by_kind = cs_json_get(list->min_by_kind, pl->world.kind);

    return json_is_integer(by_kind) ? (int)json_integer_value(by_kind) : list->min;
}

static int goes(const cs_list_item_t *item, cs_verdict_e way, int in)
{
    return item->view->verdict == way && is_in(item->view->value) == in;
}

/* What a side has when everything that comes has come and nothing has gone yet. */
static int count_with_new(const cs_listing_t *l, cs_verdict_e way)
{
    int n = way == CS_VERDICT_TO_PC ? l->pc_other : l->crm_other, i;

    for (i = 0; i < l->items->nelts; i++) {
        const cs_list_item_t *item = item_at(l, i);

        n += way == CS_VERDICT_TO_PC ? item->pc_item != NULL || goes(item, way, 1)
                                     : item->in_crm || goes(item, way, 1);
    }
    return n;
}

/* The last one stays until there is another. */
static void keep_least(cs_planning_t *pl, cs_listing_t *l, cs_verdict_e way)
{
    int left = count_with_new(l, way), min = cs_list_least(pl, l->list), i;

    for (i = 0; i < l->items->nelts; i++) {
        cs_list_item_t *item = item_at(l, i);

        if (!goes(item, way, 0)) {
            continue;
        }
        if (left > min) {
            left--;
            continue;
        }
        cs_view_judge(item->view, CS_VERDICT_STAYS,
                      apr_psprintf(pl->p, "%s must have at least %d; it goes when another has come",
                                   way == CS_VERDICT_TO_PC ? "Partner Center" : "the record", min));
        item->view->least = min;
        item->how = CS_HOW_NONE;
    }
}

static void keep_most(cs_planning_t *pl, cs_listing_t *l)
{
    int room = l->list->max - (int)json_array_size(l->array), i;

    for (i = 0; l->list->max && i < l->items->nelts; i++) {
        room += goes(item_at(l, i), CS_VERDICT_TO_PC, 0);
    }
    for (i = 0; l->list->max && i < l->items->nelts; i++) {
        cs_list_item_t *item = item_at(l, i);

        if (goes(item, CS_VERDICT_TO_PC, 1) && !item->pc_item && room-- <= 0) {
            cs_view_judge(item->view, CS_VERDICT_SKIPPED,
                          apr_psprintf(pl->p, "Partner Center takes at most %d", l->list->max));
        }
    }
}

/* An item whose row is found or made, and nothing more. */
static void only_ensure(cs_list_item_t *item, const char *why)
{
    item->how = CS_HOW_ENSURE;
    item->view->rest = CS_REST_STAYS;
    item->view->why = why;
}

/* The item whose row leaves the record's look-up; NULL = none. */
static cs_list_item_t *leaving(const cs_listing_t *l)
{
    int i;

    for (i = 0; i < l->items->nelts; i++) {
        if (goes(item_at(l, i), CS_VERDICT_TO_CRM, 0)) {
            return item_at(l, i);
        }
    }
    return NULL;
}

/* Nobody is there and a user took nobody away: only then somebody new may take the place. */
static int is_vacant(const cs_planning_t *pl, const cs_listing_t *l)
{
    int i;

    for (i = 0; !pl->creating && i < l->items->nelts; i++) {
        if (is_in(item_at(l, i)->view->seen_crm)) {
            return 0;
        }
    }
    return pl->creating || (!l->occupied && !l->crm_unread);
}

/* The first that may follow: of all that stay when one leaves, else of the new ones. */
static cs_list_item_t *following(cs_planning_t *pl, cs_listing_t *l, const cs_list_item_t *left)
{
    int i;

    for (i = 0; i < l->items->nelts; i++) {
        cs_list_item_t *item = item_at(l, i);

        if (goes(item, CS_VERDICT_TO_CRM, 1)) {
            return item;
        }
        if (left && item->view->verdict == CS_VERDICT_STAYS && item->pc_item && !item->in_crm &&
            !cs_image_refused(pl, item->view->line, item->view->pc)) {
            cs_line_view_t was = *item->view;

            cs_item_add_to_crm(pl, l, item, "the next one of Partner Center's");
            if (goes(item, CS_VERDICT_TO_CRM, 1)) {
                return item;
            }
            *item->view = was;
        }
    }
    return NULL;
}

/* The record's look-up shows one: who is there stays there while Partner Center has him. */
static void share_column(cs_planning_t *pl, cs_listing_t *l)
{
    cs_list_item_t *left = leaving(l);
    cs_list_item_t *next = left || is_vacant(pl, l) ? following(pl, l, left) : NULL;
    const char *why = apr_psprintf(pl->p, "the record shows one %s; this one is made beside it",
                                   cs_list_one(l->list, pl->p));
    int i;

    for (i = 0; i < l->items->nelts; i++) {
        cs_list_item_t *item = item_at(l, i);

        if (goes(item, CS_VERDICT_TO_CRM, 1) && item != next) {
            only_ensure(item, why);
        }
    }
    if (next) {
        next->how = CS_HOW_COLUMN;
    }
    if (left && next) {
        /* One column, one line: it leaves when the other one has come. */
        cs_view_judge(
            left->view, CS_VERDICT_SKIPPED,
            apr_psprintf(pl->p, "%s takes its place", cs_list_words(l->list, next->view, pl->p)));
        left->how = CS_HOW_NONE;
    }
    else if (left && cs_list_least(pl, l->list) > 0) {
        cs_view_judge(left->view, CS_VERDICT_STAYS,
                      "the record must have one; it goes when another comes");
        left->view->least = 1;
        left->how = CS_HOW_NONE;
    }
}

static const cs_list_users_t *place_of_rows(const cs_list_t *list)
{
    int i;

    for (i = 0; i < list->users->nelts; i++) {
        const cs_list_users_t *place = &APR_ARRAY_IDX(list->users, i, cs_list_users_t);

        if (place->team || place->child) {
            return place;
        }
    }
    return NULL;
}

int cs_list_gives_owner(const cs_planning_t *pl, const cs_list_t *list)
{
    const cs_owner_t *owner = pl->kind->owner;
    int i;

    if (!pl->creating || !owner || list->shape != CS_LIST_USERS ||
        strcmp(owner->each->text, list->pc->text)) {
        return 0;
    }
    for (i = 0; i < list->users->nelts; i++) {
        const char *column = APR_ARRAY_IDX(list->users, i, cs_list_users_t).column;

        if (column && !strcmp(column, owner->column)) {
            return 1;
        }
    }
    return 0;
}

/* Who becomes the owner is known when users are looked up: the first of them who is one. Whether
 * the others are users at all is known then, too: nothing is said of the CRM's side until it shows
 * them. */
static void place_users(cs_planning_t *pl, cs_listing_t *l)
{
    const cs_list_users_t *rows = place_of_rows(l->list);
    int owner = cs_list_gives_owner(pl, l->list), i;

    for (i = 0; i < l->items->nelts; i++) {
        cs_list_item_t *item = item_at(l, i);

        if (!goes(item, CS_VERDICT_TO_CRM, 1) || item->how != CS_HOW_ROW) {
            continue;
        }
        item->view->rest = CS_REST_STAYS;
        if (owner) {
            item->how = CS_HOW_COLUMN;
            owner = 0;
        }
        else if (rows) {
            item->place = rows;
            item->how = rows->team ? CS_HOW_JOIN : CS_HOW_ROW;
        }
        else {
            item->how = CS_HOW_NONE;
            cs_view_take(item->view, CS_VERDICT_STAYS, CS_REST_STAYS,
                         "the record shows its owner and nobody else");
        }
    }
}

static void judge_list(cs_planning_t *pl, cs_listing_t *l)
{
    int i;

    for (i = 0; i < l->items->nelts; i++) {
        cs_item_decide(pl, l, item_at(l, i));
    }
    if (l->list->shape == CS_LIST_COLUMN) {
        share_column(pl, l);
    }
    else {
        if (l->list->shape == CS_LIST_USERS) {
            place_users(pl, l);
        }
        keep_least(pl, l, CS_VERDICT_TO_CRM);
    }
    keep_least(pl, l, CS_VERDICT_TO_PC);
    keep_most(pl, l);
}

static int by_line(const void *a, const void *b)
{
    return strcmp((*(cs_line_view_t *const *)a)->line, (*(cs_line_view_t *const *)b)->line);
}

/* By key, not as the array has them: what the seller reads must not move because the array did. */
static void push_views(cs_planning_t *pl, const cs_listing_t *l)
{
    int first = pl->plan->lines->nelts, i;

    for (i = 0; i < l->items->nelts; i++) {
        APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = item_at(l, i)->view;
    }
    qsort((cs_line_view_t **)pl->plan->lines->elts + first, (size_t)l->items->nelts,
          sizeof(cs_line_view_t *), by_line);
}

void cs_plan_lists(cs_planning_t *pl)
{
    int i;

    pl->lists = apr_array_make(pl->p, 4, sizeof(cs_listing_t *));
    for (i = 0; pl->kind->lists && i < pl->kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(pl->kind->lists, i, cs_list_t *);
        cs_listing_t *l;

        if (list->off) {
            continue;
        }
        l = cs_listing_read(pl, list);
        judge_list(pl, l);
        APR_ARRAY_PUSH(pl->lists, cs_listing_t *) = l;
        push_views(pl, l);
    }
}

const cs_list_t *cs_list_of_line(const cs_mapping_kind_t *kind, const char *line)
{
    const char *slash = strchr(line, '/');
    int i;

    for (i = 0; slash && kind->lists && i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, cs_list_t *);

        if (strlen(list->name) == (size_t)(slash - line) &&
            !strncmp(list->name, line, (size_t)(slash - line))) {
            return list;
        }
    }
    return NULL;
}

/* ---- afterwards ---- */

/* What the CRM has of an item that was written: the key, and its row's own columns as they came
 * back. Of the row found nothing is known, for it may have been there before. */
static json_t *written_item(const cs_list_t *list, const json_t *value, const cs_record_t *after,
                            apr_pool_t *p)
{
    json_t *out = cs_json_own(json_object(), p);
    int i;

    json_object_set(out, list->key, cs_json_get(value, list->key));
    if (after && after->table && list->table && !strcmp(after->table, list->table)) {
        cs_item_fields(out, list, after->row, p);
    }
    for (i = 0; list->fields && i < list->fields->nelts; i++) {
        const char *member = APR_ARRAY_IDX(list->fields, i, cs_member_column_t).member;

        if (!json_object_get(out, member) && cs_json_get(value, member)) {
            json_object_set(out, member, cs_json_get(value, member));
        }
    }
    return out;
}

/* 1 = the record's look-up came back and names another row or none. */
static int column_names_another(const cs_list_t *list, const cs_line_view_t *view,
                                const cs_record_t *after, apr_pool_t *p)
{
    const json_t *found = after ? cs_json_get(after->row, list->column->name) : NULL;
    const char *key = json_is_object(found) ? cs_item_found_key(list, found, p) : NULL;

    return json_is_null(found) || (key && strcmp(key, strchr(view->line, '/') + 1));
}

/* 1 = the row came back as another item's, or as nobody's: a CRM that does not keep the key has not
 * got the item, and nobody has removed it there when it is not shown. -1 = nothing showed the key.
 */
static int row_lost_key(const cs_list_t *list, const cs_line_view_t *view, const cs_record_t *after,
                        apr_pool_t *p)
{
    const cs_column_t *own = cs_member_column(list->fields, list->key);
    const json_t *value;
    const char *key;

    if (list->shape == CS_LIST_USERS) {
        return 0;
    }
    value = !after         ? NULL
            : own          ? cs_column_get(own, after->row)
            : list->column ? cs_json_get(after->row, list->column->name)
                           : NULL;
    if (!own && json_is_object(value)) {
        value = cs_json_get(value, list->key_column);
    }
    if (!value) {
        return -1;
    }
    key = cs_item_key(value, p);
    return !key || strcmp(cs_item_fold(key, p), strchr(view->line, '/') + 1);
}

static int settle_written(const cs_list_t *list, const cs_line_view_t *view,
                          const cs_applied_t *applied, json_t **ppc, json_t **pcrm,
                          const char **prest, apr_pool_t *p)
{
    const cs_record_t *after = applied ? applied->after : NULL;
    int lost = is_in(view->crm) ? 0 : row_lost_key(list, view, after, p);

    if (applied && applied->found && !view->rest && !after) {
        return 0; /* the row was there before: the next look compares */
    }
    if (!is_in(view->value)) {
        return -1;
    }
    *ppc = view->value;
    if (view->rest ||
        (list->shape == CS_LIST_COLUMN && column_names_another(list, view, after, p))) {
        *pcrm = cs_json_own(json_null(), p);
        *prest = CS_REST_STAYS;
        return 1;
    }
    if (lost > 0) {
        *pcrm = cs_json_own(json_null(), p);
        *prest = CS_REST_NOT_KEPT;
        return 1;
    }
    *pcrm = written_item(list, view->value, after, p);
    *prest = lost                                       ? CS_REST_UNSEEN
             : cs_item_fields_differ(list, *ppc, *pcrm) ? CS_REST_NOT_KEPT
                                                        : NULL;
    return 1;
}

int cs_list_differs(const cs_list_t *list, const json_t *a, const json_t *b)
{
    return cs_item_fields_differ(list, a, b);
}

int cs_list_settled(const cs_list_t *list, const cs_line_view_t *view, int written, int all_done,
                    const cs_applied_t *applied, json_t **ppc, json_t **pcrm, const char **prest,
                    apr_pool_t *p)
{
    if (written == 1 && view->verdict == CS_VERDICT_TO_CRM) {
        return settle_written(list, view, applied, ppc, pcrm, prest, p);
    }
    if (!view->take || !view->pc || !view->crm || (view->verdict == CS_VERDICT_HELD && !all_done)) {
        return 0;
    }
    if (!is_in(view->pc) && !is_in(view->crm)) {
        return -1;
    }
    *ppc = view->pc;
    *pcrm = view->crm;
    *prest = view->rest;
    return 1;
}
