/* engine/poll_rows.c: what changed in one watched table of a CRM.
 *
 * The cursor:
 *   {"next": the CRM's own cursor, opaque; absent = begin
 *    "since": microseconds        rows modified before it are of no interest while beginning
 *    "begun": microseconds        while a pass is under way: when it began
 *    "first": true                the first beginning ever is not over
 *    "more": true                 the pass has more pages
 *    "left": [name, ...]}         what the last page asks for and no transaction held yet; "show
 *                                 <row> <after>" stands for the deals that show a row
 *
 * A beginning shows every row. The first ever takes in records that name a referral or ask for one,
 * whatever their age; for everything else, and for all of a beginning that the CRM made us do
 * because it forgot where we stood, only what was modified since counts: no storm follows.
 * (deals 7, crm-apis.md A12) */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "poll.h"

#define PATIENCE apr_time_from_sec(90)
#define SHOW "show "

/* ---- what a changed row asks for ---- */

typedef struct page_t {
    cs_poll_t *t;
    const cs_site_crm_t *crm;
    const char *system; /* the CRM's name */
    const char *table;
    json_t *left;
    apr_hash_t *names; /* in left */
    int first;
    apr_time_t since;
    cs_result_t *res;
} page_t;

static void put(page_t *page, const char *name)
{
    if (!apr_hash_get(page->names, name, APR_HASH_KEY_STRING)) {
        apr_hash_set(page->names, apr_pstrdup(page->t->b->p, name), APR_HASH_KEY_STRING, "");
        json_array_append_new(page->left, json_string(name));
    }
}

static apr_status_t find(page_t *page, const char *id, cs_deal_t **pdeal)
{
    cs_batch_t *b = page->t->b;
    apr_status_t rv = cs_store_deal_find(b->lane->store, b->lane->site->name, page->system, id,
                                         pdeal, b->p, page->res);

    /* One that cannot be read has its look, which says so. */
    return rv == CS_EPARSE ? APR_SUCCESS : rv;
}

static apr_status_t put_showing(page_t *page, const char *row)
{
    cs_batch_t *b = page->t->b;
    apr_array_header_t *ids;
    apr_status_t rv = cs_store_watchers(b->lane->store, b->lane->site->name, page->system, row, 0,
                                        1, &ids, b->p, page->res);

    if (rv == APR_SUCCESS && ids->nelts) {
        put(page, apr_pstrcat(b->p, SHOW, row, " 0", NULL));
    }
    return rv;
}

/* Our own writes come by here, too: their version is the one that was settled. */
static int is_news(const cs_deal_t *deal, const cs_crm_changed_t *row)
{
    if (row->deleted) {
        return deal->state != CS_DEAL_GONE;
    }
    return !row->version || !deal->record_id || strcmp(deal->record_id, row->id) ||
           !deal->crm_version || strcmp(deal->crm_version, row->version);
}

static int asks_for_a_deal(const page_t *page, const json_t *row)
{
    const cs_mapping_t *mapping = page->crm->mapping;
    const cs_mapping_kind_t *kind;

    if (cs_mapping_route_row(mapping, page->table, row, page->t->b->p)) {
        return 1;
    }
    kind = cs_mapping_kind_of_table(mapping, page->table);
    return kind && cs_mapping_named_referral(kind, row);
}

static apr_status_t judge_record(page_t *page, const cs_crm_changed_t *row, int recent)
{
    cs_deal_t *deal;
    apr_status_t rv = find(page, row->id, &deal);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (deal) {
        if (recent && is_news(deal, row)) {
            put(page, cs_poll_deal_name(page->t, deal->id));
        }
    }
    else if (!row->deleted && (recent || page->first) && asks_for_a_deal(page, row->row)) {
        put(page, apr_pstrcat(page->t->b->p, page->system, ":", row->id, NULL));
    }
    return recent ? put_showing(page, row->id) : rv;
}

/* The record that a child row belongs to; one that nobody knows is no deal. */
static apr_status_t put_parent(page_t *page, const json_t *row, const char *column)
{
    const char *id = cs_json_str(json_object_get(row, column), "id");
    cs_deal_t *deal = NULL;
    apr_status_t rv = id ? find(page, id, &deal) : APR_SUCCESS;

    if (rv == APR_SUCCESS && deal) {
        put(page, cs_poll_deal_name(page->t, deal->id));
    }
    return rv;
}

static apr_status_t judge_shown(page_t *page, const cs_crm_changed_t *row)
{
    const apr_array_header_t *parents = page->t->timer->watched->parents;
    apr_status_t rv = put_showing(page, row->id);
    cs_deal_t *deal = NULL;
    int i;

    for (i = 0; rv == APR_SUCCESS && row->row && parents && i < parents->nelts; ++i) {
        rv = put_parent(page, row->row, APR_ARRAY_IDX(parents, i, const char *));
    }
    if (rv == APR_SUCCESS) {
        rv = find(page, row->id, &deal); /* a row of a list has an alias */
    }
    if (rv == APR_SUCCESS && deal) {
        put(page, cs_poll_deal_name(page->t, deal->id));
    }
    return rv;
}

static apr_status_t judge(page_t *page, const cs_crm_changes_t *changes)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < changes->rows->nelts; ++i) {
        const cs_crm_changed_t *row = &APR_ARRAY_IDX(changes->rows, i, cs_crm_changed_t);
        int recent = !changes->beginning || row->modified >= page->since;
        if (page->t->timer->watched->record) {
            rv = judge_record(page, row, recent);
        }
        else if (recent) {
            rv = judge_shown(page, row);
        }
    }
    return rv;
}

/* ---- asking, as many at once as a transaction should hold ---- */

/* *pwhole = 0 when there are more deals that show the row: the entry says from which one on. */
static apr_status_t ask_showing(cs_poll_t *t, const char *system, const char *entry, json_t *rest,
                                cs_result_t *res)
{
    char *row = apr_pstrdup(t->b->p, entry + sizeof(SHOW) - 1), *after = strrchr(row, ' ');
    int room = CS_POLL_LOOKS - t->looks, i;
    apr_array_header_t *ids;
    apr_status_t rv;

    if (!after) {
        return APR_SUCCESS;
    }
    *after++ = '\0';
    rv = cs_store_watchers(t->b->lane->store, t->b->lane->site->name, system, row,
                           apr_strtoi64(after, NULL, 10), room, &ids, t->b->p, res);
    for (i = 0; rv == APR_SUCCESS && i < ids->nelts; ++i) {
        rv = cs_poll_look(t, cs_poll_deal_name(t, APR_ARRAY_IDX(ids, i, apr_int64_t)), NULL, 0,
                          res);
    }
    if (rv == APR_SUCCESS && ids->nelts == room) {
        json_array_append_new(rest, json_string(apr_psprintf(
                                        t->b->p, SHOW "%s %" APR_INT64_T_FMT, row,
                                        APR_ARRAY_IDX(ids, room - 1, apr_int64_t))));
    }
    return rv;
}

static apr_status_t ask(cs_poll_t *t, const char *system, const char *entry, json_t *rest,
                        cs_result_t *res)
{
    const char *hint = NULL;

    if (!strncmp(entry, SHOW, sizeof(SHOW) - 1)) {
        return ask_showing(t, system, entry, rest, res);
    }
    if (strncmp(entry, "deal:", 5)) {
        hint = apr_pstrcat(t->b->p, CS_HINT_TABLE, t->timer->watched->table, NULL);
    }
    return cs_poll_look(t, apr_pstrdup(t->b->p, entry), hint, 1, res);
}

/* Every entry counts, so that a turn ends also when all of them are waited for anyway. */
static apr_status_t drain(cs_poll_t *t, const char *system, cs_result_t *res)
{
    json_t *left = json_object_get(t->state, "left"), *rest = cs_json_own(json_array(), t->b->p);
    apr_status_t rv = APR_SUCCESS;
    json_t *entry;
    size_t i;

    json_array_foreach(left, i, entry) {
        const char *text = json_string_value(entry);
        if (i >= CS_POLL_LOOKS || t->looks >= CS_POLL_LOOKS) {
            json_array_append(rest, entry);
        }
        else if (text && rv == APR_SUCCESS) {
            rv = ask(t, system, text, rest, res);
        }
    }
    if (json_array_size(rest)) {
        json_object_set(t->state, "left", rest);
    }
    else {
        json_object_del(t->state, "left");
    }
    return rv;
}

/* ---- a page ---- */

static void read_page(cs_poll_t *t, cs_crm_changes_t *changes)
{
    cs_lane_t *lane = t->b->lane;
    const cs_watched_t *watched = t->timer->watched;
    const cs_site_crm_t *crm = &lane->site->crms[t->timer->crm];
    const cs_mapping_kind_t *kind = cs_mapping_kind_of_table(crm->mapping, watched->table);
    apr_array_header_t *lookups;
    int i;

    memset(changes, 0, sizeof(*changes));
    changes->table = watched->table;
    changes->columns = watched->columns;
    lookups = kind ? apr_array_copy(t->b->p, cs_lane_lookups(kind, t->b->p))
                   : apr_array_make(t->b->p, 2, sizeof(cs_crm_lookup_t));
    for (i = 0; !kind && watched->parents && i < watched->parents->nelts; ++i) {
        cs_crm_lookup_t *lookup = apr_array_push(lookups);
        lookup->column = APR_ARRAY_IDX(watched->parents, i, const char *);
        lookup->table = NULL;
    }
    changes->lookups = lookups;
    changes->cursor = cs_json_str(t->state, "next");
    changes->since = watched->record && cs_json_bool(t->state, "first", 0)
                         ? 0
                         : cs_json_int(t->state, "since", 0);
    lane->crm_impl[t->timer->crm]->changes(lane->crm[t->timer->crm], changes,
                                           cs_time_mono() + PATIENCE, t->b->p);
}

static apr_status_t take_page(cs_poll_t *t, const cs_crm_changes_t *changes, cs_result_t *res)
{
    page_t page;
    apr_status_t rv;

    memset(&page, 0, sizeof(page));
    page.t = t;
    page.crm = &t->b->lane->site->crms[t->timer->crm];
    page.system = page.crm->cfg.name;
    page.table = t->timer->watched->table;
    page.left = json_array();
    json_object_set_new(t->state, "left", page.left);
    page.names = apr_hash_make(t->b->p);
    page.first = cs_json_bool(t->state, "first", 0);
    page.since = cs_json_int(t->state, "since", 0);
    page.res = res;
    rv = judge(&page, changes);
    if (rv == APR_SUCCESS) {
        json_object_set_new(t->state, "next", json_string(changes->next));
        json_object_set_new(t->state, "more", json_boolean(changes->more));
    }
    return rv;
}

/* Where the next beginning, should there have to be one, may skip what this pass has seen. */
static void end_pass(cs_poll_t *t)
{
    apr_time_t begun = cs_json_int(t->state, "begun", 0);

    if (begun) {
        json_object_set_new(t->state, "since", json_integer(begun - CS_POLL_OVERLAP));
    }
    json_object_del(t->state, "begun");
    json_object_del(t->state, "first");
    json_object_del(t->state, "more");
    cs_poll_over(t);
}

static apr_status_t next_page(cs_poll_t *t, cs_result_t *res)
{
    cs_crm_changes_t changes;
    int whole;

    if (!cs_json_int(t->state, "begun", 0)) {
        json_object_set_new(t->state, "begun", json_integer(t->b->now));
    }
    read_page(t, &changes);
    whole = changes.result.cls == CS_CLASS_OK && changes.rows && changes.next;
    if (changes.result.cls == CS_CLASS_OK && !whole) {
        cs_result_set(&changes.result, t->b->p, CS_EPARSE, CS_CLASS_RETRY, "crm:changes",
                      "the changes of %s have no rows or no cursor", t->timer->name);
    }
    if (!whole) {
        t->result = changes.result;
        cs_poll_failed(t);
        return CS_EREMOTE;
    }
    return take_page(t, &changes, res);
}

apr_status_t cs_poll_rows(cs_poll_t *t, cs_result_t *res)
{
    const cs_lane_t *lane = t->b->lane;
    apr_status_t rv = APR_SUCCESS;

    if (!lane->crm_impl[t->timer->crm]->changes) {
        cs_poll_over(t);
        return rv;
    }
    if (!json_array_size(json_object_get(t->state, "left"))) {
        rv = next_page(t, res);
        if (rv == CS_EREMOTE) {
            return APR_SUCCESS;
        }
    }
    if (rv == APR_SUCCESS) {
        rv = drain(t, lane->site->crms[t->timer->crm].cfg.name, res);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (json_object_get(t->state, "left") || cs_json_bool(t->state, "more", 0)) {
        cs_poll_more(t);
    }
    else {
        end_pass(t);
    }
    return rv;
}
