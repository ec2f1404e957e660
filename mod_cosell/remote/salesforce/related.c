/* Rows that belong to records. (deals 5) */
#include "rows.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"

#define MOST_ROWS 500 /* of one list of one record */

static int lists_of(const cs_crm_read_t *read)
{
    return read->related ? read->related->nelts : 0;
}

static const cs_related_t *list_of(const cs_crm_read_t *read, int at)
{
    return &APR_ARRAY_IDX(read->related, at, cs_related_t);
}

cs_sf_entry_t *cs_sf_entry_of(const cs_sf_item_t *item, const cs_related_t *list)
{
    int i;

    for (i = 0; i < lists_of(item->read); i++) {
        if (cs_sf_same_list(list_of(item->read, i), list)) {
            return &item->entries[i];
        }
    }
    return NULL;
}

void cs_sf_give_up(const cs_sf_run_t *r, const cs_related_t *list, const char *problem,
                   const char *detail)
{
    if (cs_sf_say_once(r->crm, apr_pstrcat(r->p, list->list, " ", problem, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL,
               CSLOGNO(4123) "%s: the rows of list \"%s\" (%s) cannot be read: %s",
               r->crm->cfg.name, list->list, list->table ? list->table : list->team, detail);
    }
}

/* ---- asking ---- */

void cs_sf_ask_lists(cs_sf_run_t *r, cs_sf_item_t *item)
{
    int i;

    for (i = 0; i < lists_of(item->read); i++) {
        const cs_related_t *list = list_of(item->read, i);
        cs_sf_entry_t *entry = &item->entries[i];

        entry->list = list;
        entry->rows = cs_json_own(json_array(), r->p);
        entry->seen = apr_hash_make(r->p);
        if (!list->table) {
            entry->bad = 1;
            cs_sf_give_up(r, list, "config:team", "there are no record teams here");
        }
        else if (!cs_sf_name_valid(list->table) || !cs_sf_name_valid(list->parent)) {
            entry->bad = 1;
            cs_sf_give_up(r, list, "config:table", "its table or its column has no usable name");
        }
        else {
            cs_sf_add_item(r, item, list);
        }
    }
}

/* ---- taking ---- */

/* Lists of records that are found by key come before it is known whose they are: then the record's
 * own id decides at the end. */
void cs_sf_take_list_row(const cs_sf_run_t *r, const cs_sf_query_t *q, const json_t *row,
                         apr_time_t date)
{
    const char *parent = cs_sf_id(cs_json_str(row, q->list->parent), r->p);
    cs_record_t *record = cs_sf_record(row, q->list->table, q->list->columns, NULL, date, r->p);
    json_t *out;
    int i;

    for (i = 0; i < q->items->nelts; i++) {
        cs_sf_item_t *item = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *);
        cs_sf_entry_t *entry = cs_sf_entry_of(item, q->list);

        if (!record || !parent) {
            entry->bad = 1;
            cs_sf_give_up(r, q->list, "salesforce:answer", "the answer holds what is no row");
            continue;
        }
        if ((item->id && strcmp(parent, item->id)) ||
            apr_hash_get(entry->seen, record->id, APR_HASH_KEY_STRING)) {
            continue;
        }
        apr_hash_set(entry->seen, record->id, APR_HASH_KEY_STRING, record);
        out = json_pack("{s:s, s:s, s:s, s:O}", "id", record->id, "version", record->version,
                        "parent", parent, "row", record->row);
        json_array_append_new(entry->rows, out);
        if (json_array_size(entry->rows) > MOST_ROWS && item->id && !entry->bad) {
            entry->bad = 1;
            cs_sf_give_up(
                r, q->list, "too-many",
                apr_psprintf(r->p, "%s %s has more than %d of them", q->table, parent, MOST_ROWS));
        }
    }
}

/* ---- at the end ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(cs_json_str(*(json_t *const *)a, "id"), cs_json_str(*(json_t *const *)b, "id"));
}

/* The rows of this record in the order of their ids. New reference. */
static json_t *rows_of(const cs_sf_entry_t *entry, const char *record, apr_pool_t *p)
{
    size_t n = json_array_size(entry->rows), i, m = 0;
    json_t **rows = apr_palloc(p, sizeof(*rows) * (n + 1)), *out = json_array();

    for (i = 0; i < n; i++) {
        json_t *row = json_array_get(entry->rows, i);

        if (!strcmp(cs_json_str(row, "parent"), record)) {
            rows[m++] = row;
        }
    }
    qsort(rows, m, sizeof(*rows), by_id);
    for (i = 0; i < m; i++) {
        json_array_append_new(out, json_pack("{s:O, s:O, s:O}", "id", cs_json_get(rows[i], "id"),
                                             "version", cs_json_get(rows[i], "version"), "row",
                                             cs_json_get(rows[i], "row")));
    }
    return out;
}

/* Read of closed records alone. */
static int is_left_out(const cs_related_t *list, const cs_record_t *record)
{
    const json_t *value = list->closed ? cs_json_get(record->row, list->closed) : NULL;

    return list->closed && !json_is_true(value) && json_integer_value(value) == 0;
}

void cs_sf_hand_over_lists(const cs_sf_run_t *r, cs_sf_item_t *item)
{
    cs_record_t *record = item->read->record;
    int i;

    if (!record || !item->read->related) {
        return;
    }
    record->related = cs_json_own(json_object(), r->p);
    for (i = 0; i < lists_of(item->read); i++) {
        const cs_sf_entry_t *entry = &item->entries[i];
        json_t *rows = entry->bad || is_left_out(entry->list, record)
                           ? NULL
                           : rows_of(entry, record->id, r->p);

        if (rows && json_array_size(rows) <= MOST_ROWS) {
            json_object_set(record->related, entry->list->list, rows);
        }
        json_decref(rows);
    }
}
