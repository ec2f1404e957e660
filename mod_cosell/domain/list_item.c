/* domain/list_item.c: an item of a list in canonical form, and when two of them say the same.
 *
 * The canonical item holds its key as it is written (folded it is the end of the line's name), the
 * members of the child row's own columns and those of the row found. Partner Center's side has
 * every one of them; the CRM's leaves out what it does not show, and what is left out says nothing.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "list_internal.h"
#include "../base/text.h"

#define KEY_MAX 512

/* ---- values ---- */

json_t *cs_item_value(const json_t *value, apr_pool_t *p)
{
    const char *text = json_string_value(value);

    if (text) {
        text = cs_text_canonical(text, p);
        return text ? json_string(text) : json_null();
    }
    if (json_is_real(value)) {
        /* 0.1 + 0.2 is 0.3: the digits that are printed, and no more. */
        return json_real(strtod(cs_json_print(value, p), NULL));
    }
    return json_is_integer(value) || json_is_boolean(value) ? json_deep_copy(value) : json_null();
}

int cs_item_value_same(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        return json_number_value(a) == json_number_value(b);
    }
    return json_equal(a, b);
}

const cs_column_t *cs_member_column(const apr_array_header_t *members, const char *member)
{
    int i;

    for (i = 0; members && i < members->nelts; i++) {
        const cs_member_column_t *m = &APR_ARRAY_IDX(members, i, cs_member_column_t);

        if (!strcmp(m->member, member)) {
            return m->column && m->column->text ? m->column : NULL;
        }
    }
    return NULL;
}

const char *cs_item_key(const json_t *value, apr_pool_t *p)
{
    const char *text = json_string_value(value);
    apr_size_t len;

    if (!text) {
        return json_is_integer(value) ? cs_json_print(value, p) : NULL;
    }
    text = cs_text_trim(text, &len);
    return len && len <= KEY_MAX ? apr_pstrmemdup(p, text, len) : NULL;
}

const char *cs_item_fold(const char *text, apr_pool_t *p)
{
    return cs_text_lower(text, p);
}

/* ---- which members and columns ---- */

const char *cs_item_found_key(const cs_list_t *list, const json_t *found, apr_pool_t *p)
{
    const char *text = cs_item_key(cs_json_get(found, list->key_column), p);

    return text ? cs_item_fold(text, p) : NULL;
}

static void add_member(json_t *out, const json_t *from, const char *member, apr_pool_t *p)
{
    if (!json_object_get(out, member)) {
        json_object_set_new(out, member, cs_item_value(cs_json_get(from, member), p));
    }
}

static void add_columns_of(json_t *out, const json_t *from, const apr_array_header_t *members,
                           apr_pool_t *p)
{
    int i;

    for (i = 0; members && i < members->nelts; i++) {
        add_member(out, from, APR_ARRAY_IDX(members, i, cs_member_column_t).member, p);
    }
}

static void add_parts_of(json_t *out, const json_t *from, const apr_array_header_t *parts,
                         apr_pool_t *p)
{
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        const char *member = APR_ARRAY_IDX(parts, i, cs_find_part_t).member;

        if (member) {
            add_member(out, from, member, p);
        }
    }
}

/* ---- items in canonical form ---- */

static json_t *start_item(const cs_list_t *list, const cs_list_item_t *item, apr_pool_t *p)
{
    return cs_json_own(json_pack("{s:s}", list->key, item->shown), p);
}

json_t *cs_item_of_pc(const cs_list_t *list, const cs_list_item_t *item, apr_pool_t *p)
{
    json_t *out = start_item(list, item, p);
    int i;

    add_columns_of(out, item->pc_item, list->fields, p);
    add_columns_of(out, item->pc_item, list->item, p);
    for (i = 0; list->find && i < list->find->by->nelts; i++) {
        add_parts_of(out, item->pc_item, APR_ARRAY_IDX(list->find->by, i, apr_array_header_t *), p);
    }
    if (list->find) {
        add_parts_of(out, item->pc_item, list->find->create, p);
    }
    return out;
}

/* What cannot be read is left out. */
static void add_shown(json_t *out, const char *member, const json_t *value, apr_pool_t *p)
{
    if (value && !json_object_get(out, member)) {
        json_object_set_new(out, member, cs_item_value(value, p));
    }
}

void cs_item_fields(json_t *item, const cs_list_t *list, const json_t *row, apr_pool_t *p)
{
    int i;

    for (i = 0; row && list->fields && i < list->fields->nelts; i++) {
        const cs_member_column_t *m = &APR_ARRAY_IDX(list->fields, i, cs_member_column_t);

        if (m->column && m->column->text) {
            add_shown(item, m->member, cs_column_get(m->column, row), p);
        }
    }
}

json_t *cs_item_of_crm(const cs_list_t *list, const cs_list_item_t *item, apr_pool_t *p)
{
    json_t *out = start_item(list, item, p);
    int i;

    cs_item_fields(out, list, item->row, p);
    for (i = 0; item->found && list->item && i < list->item->nelts; i++) {
        const cs_member_column_t *m = &APR_ARRAY_IDX(list->item, i, cs_member_column_t);

        if (m->column && m->column->text) {
            add_shown(out, m->member, cs_column_get(m->column, item->found), p);
        }
    }
    return out;
}

/* ---- comparing ---- */

/* 1 = both show the member, and something else in it. */
static int member_differs(const cs_list_t *list, const char *member, const json_t *a,
                          const json_t *b)
{
    const json_t *x = cs_json_get(a, member), *y = cs_json_get(b, member);

    return x && y && strcmp(member, list->key) && !cs_item_value_same(x, y);
}

int cs_item_fields_differ(const cs_list_t *list, const json_t *a, const json_t *b)
{
    int i;

    for (i = 0; list->fields && i < list->fields->nelts; i++) {
        if (member_differs(list, APR_ARRAY_IDX(list->fields, i, cs_member_column_t).member, a, b)) {
            return 1;
        }
    }
    return 0;
}

int cs_item_only_gaps(const cs_list_t *list, const json_t *item, const json_t *other)
{
    int i;

    for (i = 0; list->fields && i < list->fields->nelts; i++) {
        const char *member = APR_ARRAY_IDX(list->fields, i, cs_member_column_t).member;

        if (member_differs(list, member, item, other) && !json_is_null(cs_json_get(item, member))) {
            return 0;
        }
    }
    return 1;
}

const char *cs_item_found_differs(const cs_list_t *list, const cs_line_view_t *view, int *pmoved)
{
    const char *first = NULL;
    int i;

    *pmoved = 0;
    for (i = 0; list->item && i < list->item->nelts; i++) {
        const char *member = APR_ARRAY_IDX(list->item, i, cs_member_column_t).member;

        if (member_differs(list, member, view->pc, view->crm)) {
            first = first ? first : member;
            *pmoved |= cs_json_get(view->seen_pc, member) &&
                       !member_differs(list, member, view->seen_pc, view->pc) &&
                       member_differs(list, member, view->seen_crm, view->crm) &&
                       !json_is_null(cs_json_get(view->crm, member));
        }
    }
    return first;
}
