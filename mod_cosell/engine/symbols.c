/* engine/symbols.c: symbolic look-ups become rows: found, or made. (deals 2, 4)
 *
 * A symbol is resolved once per batch, and kept by the lane for ten minutes, so that two referrals
 * of one new customer in one batch make one account. Passes of one search and one making each go on
 * until nothing moves: a symbol waits for what it lies within and for what its row points to.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/text.h"
#include "symbols.h"

#define STAGE apr_time_from_sec(120)
#define CANDIDATES_MAX 10

/* ---- canonical text ---- */

const json_t *cs_symbol_lookup(const json_t *value)
{
    return cs_json_only(value, "$lookup");
}

/* Blanks at both ends go, ASCII letters become small. */
static const char *fold_text(const char *text, apr_pool_t *p)
{
    return cs_text_lower(cs_text_trimmed(text, p), p);
}

/* Keys as the CRM compares them, trimmed and without regard to case: two spellings of one customer
 * are one row. New reference. */
static json_t *folded(const json_t *value, apr_pool_t *p)
{
    json_t *out = json_is_object(value)  ? json_object()
                  : json_is_array(value) ? json_array()
                                         : NULL;
    const char *name;
    json_t *item;
    size_t i;

    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, name, item) {
            json_object_set_new(out, name, folded(item, p));
        }
    }
    else if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            json_array_append_new(out, folded(item, p));
        }
    }
    else if (json_is_string(value)) {
        out = json_string(fold_text(json_string_value(value), p));
    }
    else {
        out = json_incref((json_t *)value);
    }
    return out;
}

/* Table, keys, constants, and the same of what it lies within. New reference. */
static json_t *canonical(const json_t *lookup, apr_pool_t *p)
{
    const json_t *within = json_object_get(lookup, "within");
    json_t *key = json_object(), *outer;
    const char *column;
    json_t *value;

    json_object_set(key, "table", json_object_get(lookup, "table"));
    json_object_set_new(key, "keys", folded(json_object_get(lookup, "keys"), p));
    json_object_set(key, "where", json_object_get(lookup, "where"));
    if (json_object_size(within)) {
        outer = json_object();
        json_object_foreach((json_t *)within, column, value) {
            json_object_set_new(outer, column, canonical(cs_symbol_lookup(value), p));
        }
        json_object_set_new(key, "within", outer);
    }
    return key;
}

const char *cs_symbol_text(cs_symbols_t *t, int crm, const json_t *lookup)
{
    json_t *key = cs_json_own(canonical(lookup, t->b->p), t->b->p);

    json_object_set_new(key, "crm", json_string(t->b->lane->site->crms[crm].cfg.name));
    return cs_json_print(key, t->b->p);
}

/* ---- words ---- */

static const char *key_words(const json_t *key, apr_pool_t *p)
{
    const char *column, *words = "";
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        words = apr_pstrcat(
            p, words, *words ? ", " : "",
            json_is_string(value) ? json_string_value(value) : cs_json_print(value, p), NULL);
    }
    return words;
}

static const char *keys_words(const json_t *lookup, apr_pool_t *p)
{
    const json_t *keys = json_object_get(lookup, "keys");
    const char *words = "";
    size_t i;

    for (i = 0; i < json_array_size(keys); ++i) {
        words = apr_pstrcat(p, words, *words ? " or " : "", key_words(json_array_get(keys, i), p),
                            NULL);
    }
    return words;
}

/* The mapping's word for it says more to people than a table's name. */
static const char *noun(const json_t *lookup)
{
    const char *find = cs_json_str(lookup, "find");

    return find && *find ? find : cs_json_str(lookup, "table");
}

static const char *nouns(const json_t *lookup, apr_pool_t *p)
{
    const char *one = noun(lookup);
    size_t len = strlen(one);

    return len && one[len - 1] == 'y' ? apr_pstrcat(p, apr_pstrmemdup(p, one, len - 1), "ies", NULL)
                                      : apr_pstrcat(p, one, "s", NULL);
}

const char *cs_symbol_words(const json_t *lookup, apr_pool_t *p)
{
    return apr_pstrcat(p, noun(lookup), " ", keys_words(lookup, p), NULL);
}

const char *cs_symbol_none_words(const json_t *lookup, apr_pool_t *p)
{
    return apr_psprintf(p, "the CRM has no %s", cs_symbol_words(lookup, p));
}

static const char *several_words(const json_t *lookup, const json_t *candidates, apr_pool_t *p)
{
    const char *names = "";
    size_t i, n = json_array_size(candidates);

    for (i = 0; i < n; ++i) {
        const json_t *row = json_array_get(candidates, i);
        const char *name = cs_json_str(row, "name"), *id = cs_json_str(row, "id");
        names = apr_pstrcat(p, names, i ? ", " : "", name ? name : "(no name)", " (", id ? id : "?",
                            ")", NULL);
    }
    return apr_psprintf(p, "%s%s %s match %s: %s; choose one in the CRM or merge them",
                        n >= CANDIDATES_MAX ? "at least " : "", n ? apr_itoa(p, (int)n) : "several",
                        nouns(lookup, p), keys_words(lookup, p), names);
}

/* ---- collecting ---- */

int cs_symbol_none_is(const json_t *lookup, const char *word)
{
    const char *none = cs_json_str(lookup, "none");

    return none && !strcmp(none, word);
}

static cs_symbol_t *new_symbol(cs_symbols_t *t, cs_item_t *item, const char *text,
                               const json_t *lookup, const char *key)
{
    cs_batch_t *b = t->b;
    cs_symbol_t *s = apr_pcalloc(b->p, sizeof(*s));

    s->text = text;
    s->lookup = lookup;
    s->item = item;
    s->key = key;
    s->keys = cs_json_own(folded(json_object_get(lookup, "keys"), b->p), b->p);
    /* A copy: the lane may empty its cache while this batch goes on. */
    s->id = apr_pstrdup(b->p, cs_lane_cache_get(b->lane, text, b->now));
    s->recalled = s->id != NULL;
    s->state = s->id ? CS_SYMBOL_FOUND : CS_SYMBOL_OPEN;
    apr_hash_set(t->by_text, text, APR_HASH_KEY_STRING, s);
    APR_ARRAY_PUSH(t->all, cs_symbol_t *) = s;
    return s;
}

/* Who makes the row lends its name to it; what was not there for others is asked for again. */
static void may_make(cs_symbol_t *s, cs_item_t *item, const json_t *lookup, const char *key)
{
    if (s->maker || !cs_symbol_none_is(lookup, "create")) {
        return;
    }
    s->maker = lookup;
    s->item = item;
    s->key = key;
    s->state = s->state == CS_SYMBOL_NONE ? CS_SYMBOL_OPEN : s->state;
}

cs_symbol_t *cs_symbols_collect_one(cs_symbols_t *t, cs_item_t *item, const char *key,
                                    const json_t *lookup, int make)
{
    const char *text = cs_symbol_text(t, item->crm, lookup), *column;
    cs_symbol_t *s = apr_hash_get(t->by_text, text, APR_HASH_KEY_STRING);
    int first = !s, row;
    json_t *value;

    s = s ? s : new_symbol(t, item, text, lookup, key);
    if (make) {
        may_make(s, item, lookup, key);
    }
    if (s->state == CS_SYMBOL_FOUND) {
        return s;
    }
    /* What lies within a row that nobody makes is not made either, and makes nothing. */
    row = s->maker != NULL;
    json_object_foreach(json_object_get(lookup, "within"), column, value) {
        cs_symbol_t *outer =
            cs_symbol_lookup(value)
                ? cs_symbols_collect_one(t, item, NULL, cs_symbol_lookup(value), row)
                : NULL;
        if (first && outer) {
            s->within =
                s->within ? s->within : apr_array_make(t->b->p, 1, sizeof(cs_symbol_within_t));
            APR_ARRAY_PUSH(s->within, cs_symbol_within_t) = (cs_symbol_within_t){column, outer};
        }
    }
    return s;
}

/* The item of a list that this look-up is of. */
static const char *key_of(const cs_step_t *step, const json_t *lookup, apr_pool_t *p)
{
    const char *line = step->list && step->lines && step->lines->nelts
                           ? APR_ARRAY_IDX(step->lines, 0, const char *)
                           : cs_json_str(lookup, "line");
    const char *slash = line ? strchr(line, '/') : NULL;

    return slash ? fold_text(slash + 1, p) : NULL;
}

void cs_symbols_collect(cs_symbols_t *t, cs_item_t *item, const cs_step_t *step)
{
    const char *column;
    json_t *value;

    json_object_foreach(step->columns, column, value) {
        const json_t *lookup = cs_symbol_lookup(value);
        if (lookup) {
            cs_symbols_collect_one(t, item, key_of(step, lookup, t->b->p), lookup, 1);
        }
    }
}

cs_symbols_t *cs_symbols_make(cs_batch_t *b)
{
    cs_symbols_t *t = apr_pcalloc(b->p, sizeof(*t));

    t->b = b;
    t->by_text = apr_hash_make(b->p);
    t->all = apr_array_make(b->p, 32, sizeof(cs_symbol_t *));
    return t;
}

/* ---- finding ---- */

int cs_symbol_settled(const cs_symbol_t *s)
{
    return s->state != CS_SYMBOL_OPEN && s->state != CS_SYMBOL_WANTED;
}

static int by_text(const void *a, const void *b)
{
    return strcmp((*(cs_symbol_t *const *)a)->text, (*(cs_symbol_t *const *)b)->text);
}

/* In an order that does not hang on who asked first. */
apr_array_header_t *cs_symbols_of(cs_symbols_t *t, int crm, cs_symbol_e state)
{
    apr_array_header_t *list = apr_array_make(t->b->p, 8, sizeof(cs_symbol_t *));
    int i;

    for (i = 0; i < t->all->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(t->all, i, cs_symbol_t *);
        if (s->state == state && s->item->crm == crm) {
            APR_ARRAY_PUSH(list, cs_symbol_t *) = s;
        }
    }
    qsort(list->elts, (size_t)list->nelts, sizeof(cs_symbol_t *), by_text);
    return list;
}

void cs_symbol_found(cs_batch_t *b, cs_symbol_t *s, const char *id)
{
    s->state = CS_SYMBOL_FOUND;
    s->id = id;
    cs_lane_cache_put(b->lane, s->text, id, b->now);
}

void cs_symbol_hold(cs_symbol_t *s, const char *why)
{
    s->state = CS_SYMBOL_HELD;
    s->why = why;
}

static void nothing_found(cs_symbol_t *s)
{
    s->state = s->maker ? CS_SYMBOL_WANTED : CS_SYMBOL_NONE;
}

void cs_symbol_fail_like(cs_symbol_t *s, const cs_symbol_t *other)
{
    s->state = other->state;
    s->why = other->why;
    s->unheard = other->unheard;
    s->result = other->result;
}

typedef enum { WITHIN_WAITS, WITHIN_NOTHING, WITHIN_KNOWN, WITHIN_BAD } within_e;

/* What points to a row that is not there, or that was made just now, cannot be there either. */
static within_e judge_within(cs_symbol_t *s)
{
    within_e judged = WITHIN_KNOWN;
    int i;

    for (i = 0; s->within && i < s->within->nelts; ++i) {
        const cs_symbol_t *outer = APR_ARRAY_IDX(s->within, i, cs_symbol_within_t).symbol;
        if (!cs_symbol_settled(outer)) {
            return WITHIN_WAITS;
        }
        if (outer->state == CS_SYMBOL_HELD || outer->state == CS_SYMBOL_FAILED) {
            cs_symbol_fail_like(s, outer);
            return WITHIN_BAD;
        }
        if (outer->state == CS_SYMBOL_NONE || outer->made) {
            judged = WITHIN_NOTHING;
        }
    }
    return judged;
}

json_t *cs_symbol_ref(const cs_symbol_t *s)
{
    return json_pack("{s:{s:s, s:s}}", "$ref", "table", cs_json_str(s->lookup, "table"), "id",
                     s->id);
}

static const json_t *where_of(cs_symbols_t *t, const cs_symbol_t *s)
{
    const json_t *where = json_object_get(s->lookup, "where");
    json_t *all;
    int i;

    if (!s->within) {
        return where;
    }
    all = cs_json_own(where ? json_copy((json_t *)where) : json_object(), t->b->p);
    for (i = 0; i < s->within->nelts; ++i) {
        const cs_symbol_within_t *within = &APR_ARRAY_IDX(s->within, i, cs_symbol_within_t);
        json_object_set_new(all, within->column, cs_symbol_ref(within->symbol));
    }
    return all;
}

/* The candidate that a person has chosen for the deal that asks; NULL = none. */
static const char *chosen_of(cs_batch_t *b, const cs_symbol_t *s, const json_t *candidates)
{
    const cs_deal_t *deal = s->item->deal;
    const char *text = NULL, *id = NULL;
    json_t *chosen = NULL, *row;
    apr_size_t i, j;

    if (!deal || !deal->id ||
        cs_store_meta_get(b->lane->store, b->lane->site->name, cs_chosen_fact(deal->id, b->p),
                          &text, b->p, NULL) != APR_SUCCESS ||
        !text || cs_json_parse(&chosen, text, strlen(text), NULL, b->p, NULL) != APR_SUCCESS) {
        return NULL;
    }
    cs_json_own(chosen, b->p);
    json_array_foreach((json_t *)candidates, i, row) {
        for (j = 0; !id && j < json_array_size(chosen); ++j) {
            const char *wish = json_string_value(json_array_get(chosen, j));
            id = wish && cs_row_id_same(b->lane->crm_impl[s->item->crm]->facts->id_form, wish,
                                        cs_json_str(row, "id"))
                     ? cs_json_str(row, "id")
                     : NULL;
        }
    }
    return id;
}

static void take_several(cs_batch_t *b, cs_symbol_t *s, const json_t *candidates)
{
    const char *chosen = chosen_of(b, s, candidates);

    if (chosen) {
        s->item->chosen = 1;
        cs_symbol_found(b, s, chosen);
    }
    else {
        cs_symbol_hold(s, several_words(s->lookup, candidates, b->p));
    }
}

static void take_find(cs_batch_t *b, cs_symbol_t *s, const cs_crm_find_t *find)
{
    cs_item_account(b, s->item, find->calls, find->took, find->correlation);
    if (find->result.cls != CS_CLASS_OK) {
        s->state = CS_SYMBOL_FAILED;
        s->result = find->result;
    }
    else if (find->found == 1) {
        cs_symbol_found(b, s, find->id);
    }
    else if (find->found > 1) {
        take_several(b, s, find->candidates);
    }
    else {
        nothing_found(s);
    }
}

/* What can be looked for now; the rest moves on without a request, or waits. */
static apr_array_header_t *to_find(cs_symbols_t *t, int crm, int *pmoved)
{
    apr_array_header_t *open = cs_symbols_of(t, crm, CS_SYMBOL_OPEN);
    apr_array_header_t *list = apr_array_make(t->b->p, open->nelts + 1, sizeof(cs_symbol_t *));
    int i;

    for (i = 0; i < open->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(open, i, cs_symbol_t *);
        within_e judged = judge_within(s);
        if (judged == WITHIN_KNOWN) {
            APR_ARRAY_PUSH(list, cs_symbol_t *) = s;
        }
        if (judged == WITHIN_NOTHING) {
            nothing_found(s);
        }
        *pmoved |= judged != WITHIN_WAITS;
    }
    return list;
}

static int find_rows(cs_symbols_t *t, int crm)
{
    cs_batch_t *b = t->b;
    int i, moved = 0;
    apr_array_header_t *list = to_find(t, crm, &moved);
    cs_crm_find_t *finds = apr_pcalloc(b->p, sizeof(*finds) * (apr_size_t)(list->nelts + 1));

    if (!list->nelts) {
        return moved;
    }
    for (i = 0; i < list->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(list, i, cs_symbol_t *);
        finds[i].table = cs_json_str(s->lookup, "table");
        finds[i].keys = json_object_get(s->lookup, "keys");
        finds[i].where = where_of(t, s);
    }
    b->lane->crm_impl[crm]->find(b->lane->crm[crm], finds, list->nelts, cs_time_mono() + STAGE,
                                 b->p);
    for (i = 0; i < list->nelts; ++i) {
        take_find(b, APR_ARRAY_IDX(list, i, cs_symbol_t *), &finds[i]);
    }
    return 1;
}

/* A row whose making waits for itself. */
static void hold_rest(cs_symbols_t *t, int crm, cs_symbol_e state)
{
    apr_array_header_t *rest = cs_symbols_of(t, crm, state);
    int i;

    for (i = 0; i < rest->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(rest, i, cs_symbol_t *);
        cs_symbol_hold(
            s, apr_psprintf(t->b->p, "the look-ups of %s point at each other", noun(s->lookup)));
    }
}

void cs_symbols_resolve(cs_symbols_t *t, int crm)
{
    int moved;

    do {
        moved = find_rows(t, crm);
        moved |= cs_symbols_make_rows(t, crm);
    } while (moved);
    hold_rest(t, crm, CS_SYMBOL_OPEN);
    hold_rest(t, crm, CS_SYMBOL_WANTED);
}

/* ---- putting ids into rows ---- */

static void name_bad(cs_symbols_t *t, cs_unresolved_t *bad, const cs_symbol_t *s,
                     const json_t *lookup)
{
    bad->symbol = s;
    bad->lookup = lookup;
    bad->failed = s && s->state == CS_SYMBOL_FAILED ? &s->result : NULL;
    bad->why = s && s->why ? s->why : cs_symbol_none_words(lookup, t->b->p);
}

json_t *cs_symbols_row(cs_symbols_t *t, cs_item_t *item, const json_t *row, cs_unresolved_t *bad,
                       apr_array_header_t *recalled)
{
    json_t *out = cs_json_own(row ? json_copy((json_t *)row) : json_object(), t->b->p);
    const char *column;
    json_t *value;
    void *next;

    json_object_foreach_safe(out, next, column, value) {
        const json_t *lookup = cs_symbol_lookup(value);
        const cs_symbol_t *s = lookup
                                   ? apr_hash_get(t->by_text, cs_symbol_text(t, item->crm, lookup),
                                                  APR_HASH_KEY_STRING)
                                   : NULL;
        if (!lookup) {
            continue;
        }
        if (s && s->state == CS_SYMBOL_FOUND) {
            if (s->recalled && recalled) {
                APR_ARRAY_PUSH(recalled, const char *) = apr_pstrdup(t->b->p, column);
            }
            json_object_set_new(out, column, cs_symbol_ref(s));
        }
        else if (s && s->state == CS_SYMBOL_NONE && cs_symbol_none_is(lookup, "skip")) {
            bad->skipped = cs_symbol_none_words(lookup, t->b->p);
            json_object_del(out, column);
        }
        else {
            name_bad(t, bad, s, lookup);
            item->unheard |= s && s->unheard;
        }
    }
    return out;
}
