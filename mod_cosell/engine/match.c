/* engine/match.c: before a record is created: is there one already? (deals 1, 4)
 *
 * The row that carries our referral's id is the deal's. Rows found by other keys are candidates:
 * the plan shows them to a person and makes nothing. Nothing is made here either, not even a row
 * that a candidate would have to point to. All questions of a batch go to a CRM in one call,
 * after one more for the rows that others must point to. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "batch.h"

#define STAGE apr_time_from_sec(120)
#define DEPTH_MAX 3

/* A row that others must point to: the same one for many deals. */
typedef struct pointed_t {
    const json_t *lookup;
    const char *id; /* NULL = none, or several */
    cs_result_t result;
    int open;
} pointed_t;

/* One question of one item. */
typedef struct asking_t {
    cs_item_t *item;
    int is_own; /* by the referral's id */
} asking_t;

typedef struct matching_t {
    cs_batch_t *b;
    int crm;
    apr_hash_t *pointed; /* printed look-up -> pointed_t */
    apr_array_header_t *order; /* pointed_t *: as they were met */
    cs_crm_find_t *finds;
    asking_t *askings;
    int n;
} matching_t;

static const json_t *within_of(const json_t *lookup)
{
    return json_object_get(lookup, "within");
}

static const json_t *lookup_of(const json_t *value)
{
    return json_object_get(value, "$lookup");
}

static int wants_match(const cs_item_t *item, int crm)
{
    return !item->over && item->work && item->meets && item->crm == crm &&
           item->meeting.what == CS_MEET_CREATE && item->meeting.match && !item->deal->intent;
}

/* ---- rows that others must point to ---- */

static void collect(matching_t *m, const json_t *lookup, int depth)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)within_of(lookup), column, value) {
        const json_t *inner = lookup_of(value);
        const char *text = inner ? cs_json_print(inner, m->b->p) : NULL;
        pointed_t *pointed;
        if (!text || depth > DEPTH_MAX || apr_hash_get(m->pointed, text, APR_HASH_KEY_STRING)) {
            continue;
        }
        collect(m, inner, depth + 1);
        pointed = apr_pcalloc(m->b->p, sizeof(*pointed));
        pointed->lookup = inner;
        pointed->open = 1;
        apr_hash_set(m->pointed, text, APR_HASH_KEY_STRING, pointed);
        APR_ARRAY_PUSH(m->order, pointed_t *) = pointed;
    }
}

static pointed_t *pointed_of(matching_t *m, const json_t *value)
{
    const json_t *inner = lookup_of(value);

    return inner ? apr_hash_get(m->pointed, cs_json_print(inner, m->b->p), APR_HASH_KEY_STRING)
                 : NULL;
}

typedef enum { POINTS, POINTS_NOWHERE, POINTS_LATER } points_e;

/* The conditions of a look-up with its "within" resolved. *pfailed = whose question failed. */
static points_e where_of(matching_t *m, const json_t *lookup, json_t **pwhere,
                         const pointed_t **pfailed)
{
    const json_t *where = json_object_get(lookup, "where");
    const char *column;
    json_t *value;

    *pwhere = cs_json_own(where ? json_copy((json_t *)where) : json_object(), m->b->p);
    json_object_foreach((json_t *)within_of(lookup), column, value) {
        pointed_t *pointed = pointed_of(m, value);
        if (pointed && pointed->open) {
            return POINTS_LATER;
        }
        if (!pointed || !pointed->id) {
            *pfailed = pointed && pointed->result.cls != CS_CLASS_OK ? pointed : NULL;
            return POINTS_NOWHERE;
        }
        json_object_set_new(*pwhere, column,
                            json_pack("{s:{s:s, s:s}}", "$ref", "table",
                                      cs_json_str(pointed->lookup, "table"), "id", pointed->id));
    }
    if (!json_object_size(*pwhere)) {
        *pwhere = NULL;
    }
    return POINTS;
}

static void ask(matching_t *m, cs_crm_find_t *finds, int n)
{
    const cs_lane_t *lane = m->b->lane;

    if (n) {
        lane->crm_impl[m->crm]->find(lane->crm[m->crm], finds, n, cs_time_mono() + STAGE, m->b->p);
    }
}

/* One level: those whose own "within" is resolved. Returns how many were asked for. */
static int find_pointed(matching_t *m)
{
    int i, n = 0, all = m->order->nelts;
    cs_crm_find_t *finds = apr_pcalloc(m->b->p, sizeof(*finds) * (apr_size_t)(all + 1));
    pointed_t **whose = apr_pcalloc(m->b->p, sizeof(*whose) * (apr_size_t)(all + 1));

    for (i = 0; i < all; ++i) {
        pointed_t *pointed = APR_ARRAY_IDX(m->order, i, pointed_t *);
        const pointed_t *failed = NULL;
        json_t *where;
        points_e points = pointed->open ? where_of(m, pointed->lookup, &where, &failed)
                                        : POINTS_LATER;
        if (points == POINTS_NOWHERE) {
            pointed->open = 0;
            pointed->result = failed ? failed->result : pointed->result;
        }
        if (points == POINTS) {
            finds[n].table = cs_json_str(pointed->lookup, "table");
            finds[n].keys = json_object_get(pointed->lookup, "keys");
            finds[n].where = where;
            whose[n++] = pointed;
        }
    }
    ask(m, finds, n);
    for (i = 0; i < n; ++i) {
        whose[i]->open = 0;
        whose[i]->result = finds[i].result;
        whose[i]->id =
            finds[i].result.cls == CS_CLASS_OK && finds[i].found == 1 ? finds[i].id : NULL;
    }
    return n;
}

/* ---- the deals' own questions ---- */

/* 1 when the key set is the referral's id. */
static int is_own_key(const cs_item_t *item, const json_t *key)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        const char *text = json_string_value(value);
        if (!text || strcasecmp(text, item->own->id)) {
            return 0;
        }
    }
    return json_object_size(key) > 0;
}

static void add_question(matching_t *m, cs_item_t *item, json_t *keys, const json_t *where,
                         int is_own)
{
    cs_crm_find_t *find = &m->finds[m->n];

    find->table = cs_json_str(item->meeting.match, "table");
    find->keys = cs_json_own(keys, m->b->p);
    find->where = where;
    m->askings[m->n].item = item;
    m->askings[m->n++].is_own = is_own;
}

static void add_questions(matching_t *m, cs_item_t *item)
{
    const json_t *keys = json_object_get(item->meeting.match, "keys");
    json_t *own = json_array(), *others = json_array(), *key, *where;
    const pointed_t *failed = NULL;
    points_e points;
    size_t i;

    json_array_foreach((json_t *)keys, i, key) {
        json_array_append(is_own_key(item, key) ? own : others, key);
    }
    if (json_array_size(own)) {
        add_question(m, item, json_incref(own), NULL, 1);
    }
    points = json_array_size(others) ? where_of(m, item->meeting.match, &where, &failed)
                                     : POINTS_NOWHERE;
    if (points == POINTS) {
        add_question(m, item, json_incref(others), where, 0);
    }
    if (failed) {
        cs_item_fail(item, cs_lane_upstream(m->b->lane, m->crm), &failed->result);
    }
    json_decref(own);
    json_decref(others);
}

/* A row that another deal has is no candidate for this one. */
static int is_free(matching_t *m, const cs_item_t *item, const char *id)
{
    cs_deal_t *holder = NULL;

    return cs_store_deal_find(m->b->lane->store, m->b->lane->site->name,
                              cs_lane_upstream(m->b->lane, m->crm), id, &holder, m->b->p,
                              NULL) == APR_SUCCESS &&
           (!holder || holder->id == item->deal->id);
}

static void add_candidate(matching_t *m, cs_item_t *item, json_t *row)
{
    const char *id = cs_json_str(row, "id");

    if (!id || !is_free(m, item, id)) {
        return;
    }
    if (!item->candidates) {
        item->candidates = cs_json_own(json_array(), m->b->p);
    }
    json_array_append(item->candidates, row);
}

static void take_candidates(matching_t *m, cs_item_t *item, const cs_crm_find_t *find)
{
    json_t *row;
    size_t i;

    json_array_foreach(find->candidates, i, row) {
        add_candidate(m, item, row);
    }
    if (find->found == 1 && !json_array_size(find->candidates)) {
        row = json_pack("{s:s}", "id", find->id);
        add_candidate(m, item, row);
        json_decref(row);
    }
}

static void take_answer(matching_t *m, const asking_t *asking, const cs_crm_find_t *find)
{
    cs_item_t *item = asking->item;

    cs_item_account(m->b, item, find->calls, find->took, find->correlation);
    if (item->over) {
        return;
    }
    if (find->result.cls != CS_CLASS_OK) {
        cs_item_fail(item, cs_lane_upstream(m->b->lane, m->crm), &find->result);
    }
    else if (asking->is_own && find->found == 1) {
        item->meeting.what = CS_MEET_LINK;
        item->meeting.record_id = find->id;
        item->meeting.why = "a record carries the referral's id";
    }
    else if (find->found) {
        take_candidates(m, item, find);
    }
}

static void match_of_crm(cs_batch_t *b, int crm)
{
    apr_size_t most = (apr_size_t)b->items->nelts * 2 + 1;
    matching_t m = {b,
                    crm,
                    apr_hash_make(b->p),
                    apr_array_make(b->p, 8, sizeof(pointed_t *)),
                    apr_pcalloc(b->p, sizeof(cs_crm_find_t) * most),
                    apr_pcalloc(b->p, sizeof(asking_t) * most),
                    0};
    int i, rounds = 0, wanted = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (wants_match(item, crm)) {
            collect(&m, item->meeting.match, 0);
            wanted = 1;
        }
    }
    if (!wanted) {
        return;
    }
    while (rounds++ <= DEPTH_MAX && find_pointed(&m)) {
    }
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (wants_match(item, crm)) {
            add_questions(&m, item);
        }
    }
    ask(&m, m.finds, m.n);
    for (i = 0; i < m.n; ++i) {
        take_answer(&m, &m.askings[i], &m.finds[i]);
    }
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->meeting.what == CS_MEET_LINK) {
            item->candidates = NULL;
        }
    }
}

void cs_batch_match(cs_batch_t *b)
{
    int crm;

    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        match_of_crm(b, crm);
    }
}
