/* engine/symbols_make.c: rows that a look-up asks for and the CRM does not have are made. (deals 4)
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/crash.h"
#include "../base/crypto.h"
#include "../base/json.h"
#include "symbols.h"

#define STAGE apr_time_from_sec(120)

/* Of a list's item its key is part of the name, so that six contacts of one referral are six rows;
 * else the look-up's name alone, so that a customer renamed after a crash is still one row. */
static const char *derived_id(cs_batch_t *b, const cs_symbol_t *s)
{
    const char *find = cs_json_str(s->maker, "find");

    return cs_uuid5_url(apr_psprintf(b->p, "cosell:%s:%s:%s:%s%s%s", b->lane->site->name,
                                     s->item->deal->referral_id, cs_json_str(s->maker, "table"),
                                     find ? find : "", s->key ? ":" : "", s->key ? s->key : ""),
                        b->p);
}

/* Where the CRM gives ids, a repeated create finds itself by the derived one in this column. */
static const json_t *key_of(cs_batch_t *b, const cs_symbol_t *s, const char *derived)
{
    const char *column = cs_json_str(s->maker, "key");

    return column && cs_item_names_rows(b, s->item)
               ? cs_json_own(json_pack("{s:s}", column, derived), b->p)
               : NULL;
}

/* What it is found by, and what it lies within, it must have. */
static int is_needed(const cs_symbol_t *s, const char *column)
{
    size_t k;
    int i;

    for (k = 0; k < json_array_size(s->keys); ++k) {
        if (json_object_get(json_array_get(s->keys, k), column)) {
            return 1;
        }
    }
    for (i = 0; s->within && i < s->within->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(s->within, i, cs_symbol_within_t).column, column)) {
            return 1;
        }
    }
    return 0;
}

/* One bad value never blocks a row either: 1 when it is made again without the column that the
 * answer names. */
static int without_blamed(cs_batch_t *b, cs_symbol_t *s, const cs_result_t *result)
{
    const char *column;
    cs_journal_t *j;
    json_t *value;

    json_object_foreach(s->row, column, value) {
        if (result->cls != CS_CLASS_DATA || !cs_refusal_blames(result, column) ||
            is_needed(s, column)) {
            continue;
        }
        s->without = s->without ? s->without : apr_array_make(b->p, 2, sizeof(const char *));
        APR_ARRAY_PUSH(s->without, const char *) = apr_pstrdup(b->p, column);
        s->state = CS_SYMBOL_WANTED;
        j = cs_item_journal(b, s->item, "refuse", "refused",
                            apr_psprintf(b->p, "%s is made without %s: %s",
                                         cs_symbol_words(s->lookup, b->p), column,
                                         result->detail ? result->detail : "refused by the CRM"));
        j->direction = "to_crm";
        j->line = cs_json_str(s->lookup, "find");
        return 1;
    }
    return 0;
}

/* What was found in an earlier batch may be gone by now: asked again, once. */
static int stale(const cs_symbol_t *s, const cs_result_t *result)
{
    return s->recalled && s->item->work->attempts == 0 &&
           (result->cls == CS_CLASS_DATA || result->cls == CS_CLASS_GONE);
}

static void take_made(cs_batch_t *b, cs_symbol_t *s, const cs_crm_write_t *write)
{
    const char *made = cs_write_made(write), *id = made ? made : write->id;
    cs_journal_t *j;

    cs_item_account(b, s->item, write->calls, write->took, write->correlation);
    if (without_blamed(b, s, &write->result)) {
        return;
    }
    if (write->result.cls != CS_CLASS_OK) {
        s->state = CS_SYMBOL_FAILED;
        s->result = write->result;
        if (cs_write_unheard(b, s->item->crm, write)) {
            s->unheard = 1;
            cs_unheard_note(b, s->item, s->text);
        }
        if (stale(s, &write->result)) {
            cs_lane_cache_clear(b->lane);
            s->result.cls = CS_CLASS_CONFLICT;
        }
        return;
    }
    j = cs_item_journal(b, s->item, "create", "done",
                        apr_psprintf(b->p, "no %s was found", cs_symbol_words(s->lookup, b->p)));
    j->direction = "to_crm";
    j->line = cs_json_str(s->lookup, "find");
    j->to = cs_json_own(json_pack("{s:s, s:s}", "table", write->table, "id", id), b->p);
    s->made = 1;
    s->recalled = 0;
    cs_symbol_found(b, s, id);
}

/* A person must say of which row. */
static void hold_for_another(cs_batch_t *b, cs_symbol_t *s)
{
    cs_symbol_hold(s, apr_psprintf(b->p, "the CRM refuses another %s: %s",
                                   cs_symbol_words(s->lookup, b->p),
                                   s->result.said     ? s->result.said
                                   : s->result.detail ? s->result.detail
                                                      : "it has one already"));
}

/* A row under our own id or key is ours: a crash kept us from noting it. Without one it was the
 * CRM's rules that saw a duplicate. */
static void take_twin(cs_batch_t *b, cs_symbol_t *s, const cs_crm_read_t *read)
{
    cs_item_account(b, s->item, read->calls, read->took, read->correlation);
    if (read->result.cls == CS_CLASS_OK) {
        s->recalled = 0;
        cs_symbol_found(b, s, read->record->id);
    }
    else if (read->result.cls == CS_CLASS_GONE) {
        hold_for_another(b, s);
    }
    else {
        s->result = read->result;
    }
}

static void read_twins(cs_batch_t *b, const apr_array_header_t *list, const cs_crm_write_t *writes,
                       int crm)
{
    cs_crm_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(list->nelts + 1));
    cs_symbol_t **twins = apr_pcalloc(b->p, sizeof(*twins) * (apr_size_t)(list->nelts + 1));
    int i, n = 0;

    for (i = 0; i < list->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(list, i, cs_symbol_t *);
        if (writes[i].result.cls != CS_CLASS_DUPLICATE) {
            continue;
        }
        if (!writes[i].key && cs_item_names_rows(b, s->item)) {
            hold_for_another(b, s);
            continue;
        }
        reads[n].table = writes[i].table;
        reads[n].id = writes[i].id;
        reads[n].key = writes[i].key;
        twins[n++] = s;
    }
    if (!n) {
        return;
    }
    b->lane->crm_impl[crm]->read(b->lane->crm[crm], reads, n, cs_time_mono() + STAGE, b->p);
    for (i = 0; i < n; ++i) {
        take_twin(b, twins[i], &reads[i]);
    }
}

static void learn_nested(cs_symbols_t *t, cs_symbol_t *s)
{
    const char *column;
    json_t *value;

    s->nested = 1;
    json_object_foreach(json_object_get(s->maker, "create"), column, value) {
        const json_t *lookup = cs_symbol_lookup(value);
        if (lookup) {
            cs_symbols_collect_one(t, s->item, NULL, lookup, 1);
        }
    }
}

static int nested_settled(cs_symbols_t *t, const cs_symbol_t *s)
{
    const char *column;
    json_t *value;

    json_object_foreach(json_object_get(s->maker, "create"), column, value) {
        const json_t *lookup = cs_symbol_lookup(value);
        const cs_symbol_t *inner =
            lookup ? apr_hash_get(t->by_text, cs_symbol_text(t, s->item->crm, lookup),
                                  APR_HASH_KEY_STRING)
                   : NULL;
        if (inner && !cs_symbol_settled(inner)) {
            return 0;
        }
    }
    return 1;
}

/* Lies it within nothing, the row starts without that column only if the look-up may be skipped. */
static int add_within(cs_symbols_t *t, cs_symbol_t *s)
{
    int i;

    for (i = 0; s->within && i < s->within->nelts; ++i) {
        const cs_symbol_within_t *within = &APR_ARRAY_IDX(s->within, i, cs_symbol_within_t);
        if (within->symbol->state == CS_SYMBOL_FOUND) {
            json_object_set_new(s->row, within->column, cs_symbol_ref(within->symbol));
            s->recalled |= within->symbol->recalled;
        }
        else if (!cs_symbol_none_is(within->symbol->lookup, "skip")) {
            cs_symbol_hold(s, cs_symbol_none_words(within->symbol->lookup, t->b->p));
            return 0;
        }
    }
    return 1;
}

/* Without a key it was sent before, for whichever deal: perhaps it is there, and cannot be seen
 * yet. */
static int waits_unheard(cs_symbols_t *t, cs_symbol_t *s)
{
    if (cs_json_str(s->maker, "key") || !cs_unheard_waits(t->b, s->item, s->text, &s->result)) {
        return 0;
    }
    s->state = CS_SYMBOL_FAILED;
    return 1;
}

/* 1 when the row can be sent. */
static int prepare_row(cs_symbols_t *t, cs_symbol_t *s)
{
    apr_array_header_t *recalled = apr_array_make(t->b->p, 2, sizeof(const char *));
    cs_unresolved_t bad = {0};
    int i;

    s->row = cs_symbols_row(t, s->item, json_object_get(s->maker, "create"), &bad, recalled);
    s->recalled = recalled->nelts > 0;
    for (i = 0; s->without && i < s->without->nelts; ++i) {
        json_object_del(s->row, APR_ARRAY_IDX(s->without, i, const char *));
    }
    if (bad.lookup && bad.failed) {
        cs_symbol_fail_like(s, bad.symbol);
        return 0;
    }
    if (bad.lookup) {
        cs_symbol_hold(s, bad.why);
        return 0;
    }
    return add_within(t, s);
}

/* What two symbols that may turn out to be one row have in common. */
static apr_array_header_t *kin_texts(cs_symbols_t *t, const cs_symbol_t *s)
{
    apr_array_header_t *texts = apr_array_make(t->b->p, 2, sizeof(const char *));
    const char *place = cs_json_str(s->lookup, "table");
    size_t i;
    int k;

    for (k = 0; s->within && k < s->within->nelts; ++k) {
        const cs_symbol_within_t *within = &APR_ARRAY_IDX(s->within, k, cs_symbol_within_t);
        place = apr_pstrcat(t->b->p, place, "\n", within->column, "=",
                            within->symbol->id ? within->symbol->id : "", NULL);
    }
    for (i = 0; i < json_array_size(s->keys); ++i) {
        APR_ARRAY_PUSH(texts, const char *) = apr_pstrcat(
            t->b->p, place, "\n", cs_json_print(json_array_get(s->keys, i), t->b->p), NULL);
    }
    return texts;
}

static int is_kin(cs_symbols_t *t, apr_hash_t *taken, const cs_symbol_t *s)
{
    const apr_array_header_t *texts = kin_texts(t, s);
    int i;

    for (i = 0; i < texts->nelts; ++i) {
        if (apr_hash_get(taken, APR_ARRAY_IDX(texts, i, const char *), APR_HASH_KEY_STRING)) {
            return 1;
        }
    }
    return 0;
}

static void take_keys(cs_symbols_t *t, apr_hash_t *taken, const cs_symbol_t *s)
{
    const apr_array_header_t *texts = kin_texts(t, s);
    int i;

    for (i = 0; i < texts->nelts; ++i) {
        apr_hash_set(taken, APR_ARRAY_IDX(texts, i, const char *), APR_HASH_KEY_STRING, s);
    }
}

/* Of rows that may be one, one. */
static apr_array_header_t *to_make(cs_symbols_t *t, int crm, apr_hash_t *taken, int *pmoved)
{
    apr_array_header_t *wanted = cs_symbols_of(t, crm, CS_SYMBOL_WANTED);
    apr_array_header_t *list = apr_array_make(t->b->p, wanted->nelts + 1, sizeof(cs_symbol_t *));
    int i;

    for (i = 0; i < wanted->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(wanted, i, cs_symbol_t *);
        if (!s->nested) {
            *pmoved = 1;
            learn_nested(t, s);
        }
        if (!nested_settled(t, s) || is_kin(t, taken, s)) {
            continue;
        }
        *pmoved = 1;
        if (!waits_unheard(t, s) && prepare_row(t, s)) {
            take_keys(t, taken, s);
            APR_ARRAY_PUSH(list, cs_symbol_t *) = s;
        }
    }
    return list;
}

/* What one row of these may turn out to be is looked for again now that it is made. */
static void look_again(cs_symbols_t *t, int crm, apr_hash_t *taken)
{
    apr_array_header_t *wanted = cs_symbols_of(t, crm, CS_SYMBOL_WANTED);
    int i;

    for (i = 0; i < wanted->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(wanted, i, cs_symbol_t *);
        if (!s->without && is_kin(t, taken, s)) {
            s->state = CS_SYMBOL_OPEN;
        }
    }
}

/* A look that was not settled may have made it, and a person may have changed it since: found by
 * none of its values, it would be written over. What was refused in this look is not there. */
static int may_be_there(const cs_batch_t *b, const cs_symbol_t *s)
{
    const json_t *intent = s->item->deal->intent;

    return intent && cs_json_int(intent, "at", 0) != b->now && !s->without;
}

static void take_begun(cs_batch_t *b, cs_symbol_t *s, const cs_crm_read_t *read)
{
    cs_item_account(b, s->item, read->calls, read->took, read->correlation);
    if (read->result.cls == CS_CLASS_OK) {
        s->recalled = 0;
        cs_symbol_found(b, s, read->record->id);
    }
    else if (read->result.cls != CS_CLASS_GONE) {
        s->state = CS_SYMBOL_FAILED;
        s->result = read->result;
    }
}

/* Rows that would be made by a key: those that are there by it are taken as they are. What is still
 * to be made. */
static apr_array_header_t *take_there(cs_batch_t *b, apr_array_header_t *list, int crm)
{
    apr_array_header_t *rest = apr_array_make(b->p, list->nelts + 1, sizeof(cs_symbol_t *));
    cs_crm_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(list->nelts + 1));
    cs_symbol_t **begun = apr_pcalloc(b->p, sizeof(*begun) * (apr_size_t)(list->nelts + 1));
    int i, n = 0;

    for (i = 0; i < list->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(list, i, cs_symbol_t *);
        const char *derived = derived_id(b, s);
        const json_t *key = may_be_there(b, s) ? key_of(b, s, derived) : NULL;
        if (key) {
            reads[n].table = cs_json_str(s->maker, "table");
            reads[n].id = derived;
            reads[n].key = key;
            begun[n++] = s;
        }
    }
    if (!n) {
        return list;
    }
    b->lane->crm_impl[crm]->read(b->lane->crm[crm], reads, n, cs_time_mono() + STAGE, b->p);
    for (i = 0; i < n; ++i) {
        take_begun(b, begun[i], &reads[i]);
    }
    for (i = 0; i < list->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(list, i, cs_symbol_t *);
        if (s->state == CS_SYMBOL_WANTED) {
            APR_ARRAY_PUSH(rest, cs_symbol_t *) = s;
        }
    }
    return rest;
}

static void write_rows(cs_batch_t *b, const apr_array_header_t *list, int crm)
{
    cs_crm_write_t *writes = apr_pcalloc(b->p, sizeof(*writes) * (apr_size_t)(list->nelts + 1));
    int i;

    for (i = 0; i < list->nelts; ++i) {
        cs_symbol_t *s = APR_ARRAY_IDX(list, i, cs_symbol_t *);
        writes[i].kind = CS_CRM_CREATE;
        writes[i].table = cs_json_str(s->maker, "table");
        writes[i].id = derived_id(b, s);
        writes[i].key = key_of(b, s, writes[i].id);
        writes[i].row = s->row;
    }
    b->lane->crm_impl[crm]->write(b->lane->crm[crm], writes, list->nelts, cs_time_mono() + STAGE,
                                  b->p);
    CS_CRASH_POINT("lookup-made");
    for (i = 0; i < list->nelts; ++i) {
        take_made(b, APR_ARRAY_IDX(list, i, cs_symbol_t *), &writes[i]);
    }
    read_twins(b, list, writes, crm);
}

int cs_symbols_make_rows(cs_symbols_t *t, int crm)
{
    apr_hash_t *taken = apr_hash_make(t->b->p);
    int moved = 0;
    apr_array_header_t *list = to_make(t, crm, taken, &moved);

    if (!list->nelts) {
        return moved;
    }
    list = take_there(t->b, list, crm);
    if (list->nelts) {
        write_rows(t->b, list, crm);
    }
    look_again(t, crm, taken);
    return 1;
}
