/* engine/apply.c: stage 6: symbolic look-ups become rows, then the steps are written, round by
 * round.
 *
 * A round takes from every item its next step; the steps of a round are independent of each other
 * and go out together. A symbol is resolved once per batch, and kept by the lane for ten minutes,
 * so that two referrals of one new customer in one batch make one account.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/json.h"
#include "../base/log.h"
#include "batch.h"

#define STAGE apr_time_from_sec(120)
#define ROUNDS_MAX 12
#define DEPTH_MAX 3

typedef enum { SYMBOL_OPEN, SYMBOL_FOUND, SYMBOL_HELD, SYMBOL_SKIPPED, SYMBOL_FAILED } symbol_e;

typedef struct symbol_t {
    const char *text;     /* canonical */
    const json_t *lookup; /* the member of "$lookup" */
    const json_t *keys;   /* its keys, folded */
    int recalled;         /* found in an earlier batch */
    cs_item_t *item;      /* who asked first: pays, and lends its name to a row that is made */
    symbol_e state;
    const char *id;
    const char *why;
    json_t *row; /* to be made: look-ups resolved */
    cs_result_t result;
} symbol_t;

/* One step of one item in this round. */
typedef struct turn_t {
    cs_item_t *item;
    int index;
    const cs_step_t *step;
    json_t *row; /* columns with look-ups resolved */
} turn_t;

/* A look-up of a row that has no id. */
typedef struct unresolved_t {
    symbol_t *symbol;
    const json_t *lookup; /* of this row: another row's may name other columns and another line */
} unresolved_t;

static json_t *resolve_row(cs_batch_t *b, apr_hash_t *symbols, cs_item_t *item, const json_t *row,
                           unresolved_t *bad);

/* ---- symbols ---- */

static const json_t *lookup_of(const json_t *value)
{
    return json_is_object(value) && json_object_size(value) == 1 ? json_object_get(value, "$lookup")
                                                                 : NULL;
}

/* Blanks at both ends go, ASCII letters become small. */
static const char *fold_text(const char *text, apr_pool_t *p)
{
    char *out, *c;
    size_t len;

    while (apr_isspace(*text)) {
        ++text;
    }
    for (len = strlen(text); len > 0 && apr_isspace(text[len - 1]); --len) {
    }
    out = apr_pstrmemdup(p, text, len);
    for (c = out; *c; ++c) {
        *c = (char)apr_tolower(*c);
    }
    return out;
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

static const char *symbol_text(cs_batch_t *b, int crm, const json_t *lookup)
{
    json_t *key = cs_json_own(json_object(), b->p);

    json_object_set_new(key, "crm", json_string(b->lane->site->crms[crm].cfg.name));
    json_object_set(key, "table", json_object_get(lookup, "table"));
    json_object_set_new(key, "keys", folded(json_object_get(lookup, "keys"), b->p));
    json_object_set(key, "where", json_object_get(lookup, "where"));
    return cs_json_print(key, b->p);
}

static void collect(cs_batch_t *b, apr_hash_t *symbols, cs_item_t *item, const json_t *row)
{
    json_t *any = (json_t *)row; /* jansson's iteration takes no const */
    const char *column;
    json_t *value;

    json_object_foreach(any, column, value) {
        const json_t *lookup = lookup_of(value);
        const char *text = lookup ? symbol_text(b, item->crm, lookup) : NULL;
        symbol_t *s = text ? apr_hash_get(symbols, text, APR_HASH_KEY_STRING) : NULL;
        if (text && !s) {
            s = apr_pcalloc(b->p, sizeof(*s));
            s->text = text;
            s->lookup = lookup;
            s->item = item;
            s->keys = cs_json_own(folded(json_object_get(lookup, "keys"), b->p), b->p);
            /* A copy: the lane may empty its cache while this batch goes on. */
            s->id = apr_pstrdup(b->p, cs_lane_cache_get(b->lane, text, b->now));
            s->recalled = s->id != NULL;
            s->state = s->id ? SYMBOL_FOUND : SYMBOL_OPEN;
            apr_hash_set(symbols, text, APR_HASH_KEY_STRING, s);
        }
        item->recalled |= s && s->recalled;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp((*(symbol_t *const *)a)->text, (*(symbol_t *const *)b)->text);
}

/* In an order that does not hang on the hash. */
static apr_array_header_t *open_symbols(cs_batch_t *b, apr_hash_t *symbols, int crm, int to_be_made)
{
    apr_array_header_t *list = apr_array_make(b->p, 8, sizeof(symbol_t *));
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(b->p, symbols); hi; hi = apr_hash_next(hi)) {
        symbol_t *s = apr_hash_this_val(hi);
        if (s->state == SYMBOL_OPEN && s->item->crm == crm && !s->row == !to_be_made) {
            APR_ARRAY_PUSH(list, symbol_t *) = s;
        }
    }
    qsort(list->elts, (size_t)list->nelts, sizeof(symbol_t *), by_text);
    return list;
}

static void found(cs_batch_t *b, symbol_t *s, const char *id)
{
    s->state = SYMBOL_FOUND;
    s->id = id;
    cs_lane_cache_put(b->lane, s->text, id, b->now);
}

static const char *key_for_people(cs_batch_t *b, const symbol_t *s)
{
    return apr_psprintf(b->p, "%s %s", cs_json_str(s->lookup, "table"),
                        cs_json_print(json_object_get(s->lookup, "keys"), b->p));
}

static void hold(symbol_t *s, const char *why)
{
    s->state = SYMBOL_HELD;
    s->why = why;
}

static void nothing_found(cs_batch_t *b, symbol_t *s)
{
    const char *none = cs_json_str(s->lookup, "none");

    if (none && !strcmp(none, "skip")) {
        s->state = SYMBOL_SKIPPED;
    }
    else if (none && !strcmp(none, "create")) {
        s->row = json_object_get(s->lookup, "create");
    }
    else {
        hold(s, apr_psprintf(b->p, "the CRM has no %s", key_for_people(b, s)));
    }
}

static void several_found(cs_batch_t *b, symbol_t *s, const json_t *candidates)
{
    hold(s, apr_psprintf(b->p, "several rows fit %s: %s; leave one or link by hand",
                         key_for_people(b, s), cs_json_print(candidates, b->p)));
}

static void take_find(cs_batch_t *b, symbol_t *s, const cs_crm_find_t *find)
{
    cs_item_account(b, s->item, find->calls, find->took, find->correlation);
    if (find->result.cls != CS_CLASS_OK) {
        s->state = SYMBOL_FAILED;
        s->result = find->result;
    }
    else if (find->found == 1) {
        found(b, s, find->id);
    }
    else if (find->found > 1) {
        several_found(b, s, find->candidates);
    }
    else {
        nothing_found(b, s);
    }
}

static void find_rows(cs_batch_t *b, apr_hash_t *symbols, int crm)
{
    apr_array_header_t *list = open_symbols(b, symbols, crm, 0);
    cs_crm_find_t *finds = apr_pcalloc(b->p, sizeof(*finds) * (apr_size_t)(list->nelts + 1));
    int i;

    if (!list->nelts) {
        return;
    }
    for (i = 0; i < list->nelts; ++i) {
        symbol_t *s = APR_ARRAY_IDX(list, i, symbol_t *);
        finds[i].table = cs_json_str(s->lookup, "table");
        finds[i].keys = json_object_get(s->lookup, "keys");
        finds[i].where = json_object_get(s->lookup, "where");
    }
    b->lane->crm_impl[crm]->find(b->lane->crm[crm], finds, list->nelts, cs_time_mono() + STAGE,
                                 b->p);
    for (i = 0; i < list->nelts; ++i) {
        take_find(b, APR_ARRAY_IDX(list, i, symbol_t *), &finds[i]);
    }
}

/* ---- rows made for a look-up ---- */

static const char *derived_id(cs_batch_t *b, const symbol_t *s)
{
    return cs_uuid5_url(
        apr_psprintf(b->p, "cosell:%s:%s:%s:%s", b->lane->site->name, s->item->deal->referral_id,
                     cs_json_str(s->lookup, "table"),
                     cs_json_str(s->lookup, "find") ? cs_json_str(s->lookup, "find") : ""),
        b->p);
}

static void take_made(cs_batch_t *b, symbol_t *s, const cs_crm_write_t *write)
{
    cs_item_account(b, s->item, write->calls, write->took, write->correlation);
    if (write->result.cls == CS_CLASS_OK) {
        cs_journal_t *j =
            cs_item_journal(b, s->item, "create", "done",
                            apr_psprintf(b->p, "no %s was found", key_for_people(b, s)));
        j->direction = "to_crm";
        j->line = cs_json_str(s->lookup, "find");
        j->to = cs_json_own(json_pack("{s:s, s:s}", "table", write->table, "id", write->id), b->p);
        found(b, s, write->id);
    }
    else {
        s->state = SYMBOL_FAILED;
        s->result = write->result;
    }
}

/* A row under our own id is ours: a crash kept us from noting it. Without one it was the CRM's
 * rules that saw a duplicate, and a person must say of which row. */
static void take_twin(cs_batch_t *b, symbol_t *s, const cs_crm_read_t *read)
{
    cs_item_account(b, s->item, read->calls, read->took, read->correlation);
    if (read->result.cls == CS_CLASS_OK) {
        found(b, s, read->id);
    }
    else if (read->result.cls == CS_CLASS_GONE) {
        hold(s, apr_psprintf(b->p, "the CRM refuses another %s: %s", key_for_people(b, s),
                             s->result.detail ? s->result.detail : "it has one already"));
    }
    else {
        s->result = read->result;
    }
}

static void read_twins(cs_batch_t *b, const apr_array_header_t *list, const cs_crm_write_t *writes,
                       int crm)
{
    cs_crm_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(list->nelts + 1));
    symbol_t **twins = apr_pcalloc(b->p, sizeof(*twins) * (apr_size_t)(list->nelts + 1));
    int i, n = 0;

    for (i = 0; i < list->nelts; ++i) {
        if (writes[i].result.cls == CS_CLASS_DUPLICATE) {
            reads[n].table = writes[i].table;
            reads[n].id = writes[i].id;
            twins[n++] = APR_ARRAY_IDX(list, i, symbol_t *);
        }
    }
    if (!n) {
        return;
    }
    b->lane->crm_impl[crm]->read(b->lane->crm[crm], reads, n, cs_time_mono() + STAGE, b->p);
    for (i = 0; i < n; ++i) {
        take_twin(b, twins[i], &reads[i]);
    }
}

static int share_a_key(const symbol_t *one, const symbol_t *other)
{
    const json_t *ours = one->keys, *theirs = other->keys;
    size_t i, j;

    if (strcmp(cs_json_str(one->lookup, "table"), cs_json_str(other->lookup, "table"))) {
        return 0;
    }
    for (i = 0; i < json_array_size(ours); ++i) {
        for (j = 0; j < json_array_size(theirs); ++j) {
            if (json_equal(json_array_get(ours, i), json_array_get(theirs, j))) {
                return 1;
            }
        }
    }
    return 0;
}

/* What one row of this list may turn out to be is looked for again once that is made. */
static apr_array_header_t *without_kin(cs_batch_t *b, const apr_array_header_t *list, int *pagain)
{
    apr_array_header_t *out = apr_array_make(b->p, list->nelts + 1, sizeof(symbol_t *));
    int i, j;

    for (i = 0; i < list->nelts; ++i) {
        symbol_t *s = APR_ARRAY_IDX(list, i, symbol_t *);
        for (j = 0; j < out->nelts; ++j) {
            if (share_a_key(s, APR_ARRAY_IDX(out, j, symbol_t *))) {
                break;
            }
        }
        if (j == out->nelts) {
            APR_ARRAY_PUSH(out, symbol_t *) = s;
        }
        else {
            s->row = NULL;
            *pagain = 1;
        }
    }
    return out;
}

/* 1 when symbols are left that must be looked for again. */
static int make_rows(cs_batch_t *b, apr_hash_t *symbols, int crm)
{
    int i, again = 0;
    apr_array_header_t *list = without_kin(b, open_symbols(b, symbols, crm, 1), &again);
    cs_crm_write_t *writes = apr_pcalloc(b->p, sizeof(*writes) * (apr_size_t)(list->nelts + 1));

    if (!list->nelts) {
        return 0;
    }
    for (i = 0; i < list->nelts; ++i) {
        symbol_t *s = APR_ARRAY_IDX(list, i, symbol_t *);
        writes[i].kind = CS_CRM_CREATE;
        writes[i].table = cs_json_str(s->lookup, "table");
        writes[i].id = derived_id(b, s);
        writes[i].row = s->row;
    }
    b->lane->crm_impl[crm]->write(b->lane->crm[crm], writes, list->nelts, cs_time_mono() + STAGE,
                                  b->p);
    CS_CRASH_POINT("lookup-made");
    for (i = 0; i < list->nelts; ++i) {
        take_made(b, APR_ARRAY_IDX(list, i, symbol_t *), &writes[i]);
    }
    read_twins(b, list, writes, crm);
    return again;
}

/* A row to be made may itself point at rows that must be found or made first. */
static void resolve_symbols(cs_batch_t *b, apr_hash_t *symbols, int crm, int depth)
{
    apr_array_header_t *made;
    apr_hash_t *inner = apr_hash_make(b->p);
    int i;

    find_rows(b, symbols, crm);
    made = open_symbols(b, symbols, crm, 1);
    for (i = 0; i < made->nelts; ++i) {
        collect(b, inner, APR_ARRAY_IDX(made, i, symbol_t *)->item,
                APR_ARRAY_IDX(made, i, symbol_t *)->row);
    }
    if (apr_hash_count(inner) && depth < DEPTH_MAX) {
        resolve_symbols(b, inner, crm, depth + 1);
    }
    for (i = 0; i < made->nelts; ++i) {
        symbol_t *s = APR_ARRAY_IDX(made, i, symbol_t *);
        unresolved_t bad = {0};
        json_t *row = resolve_row(b, inner, s->item, s->row, &bad);
        if (bad.symbol) {
            s->state = bad.symbol->state == SYMBOL_OPEN ? SYMBOL_HELD : bad.symbol->state;
            s->why = bad.symbol->why ? bad.symbol->why : "its own look-ups are nested too deeply";
            s->result = bad.symbol->result;
        }
        s->row = row;
    }
    if (make_rows(b, symbols, crm)) {
        resolve_symbols(b, symbols, crm, depth);
    }
}

/* ---- putting ids into rows ---- */

/* Money whose currency is unknown is held as a pair; everything else holds the deal. (deals 2) */
static int drop_with_line(json_t *row, const json_t *lookup)
{
    const json_t *columns = json_object_get(lookup, "columns");
    size_t i;

    if (!json_is_array(columns)) {
        return 0;
    }
    for (i = 0; i < json_array_size(columns); ++i) {
        json_object_del(row, json_string_value(json_array_get(columns, i)));
    }
    return 1;
}

static json_t *ref_of(const symbol_t *s)
{
    return json_pack("{s:{s:s, s:s}}", "$ref", "table", cs_json_str(s->lookup, "table"), "id",
                     s->id);
}

static json_t *resolve_row(cs_batch_t *b, apr_hash_t *symbols, cs_item_t *item, const json_t *row,
                           unresolved_t *bad)
{
    json_t *out = cs_json_own(json_copy((json_t *)row), b->p);
    const char *column;
    json_t *value;
    void *next;

    json_object_foreach_safe(out, next, column, value) {
        const json_t *lookup = lookup_of(value);
        symbol_t *s =
            lookup ? apr_hash_get(symbols, symbol_text(b, item->crm, lookup), APR_HASH_KEY_STRING)
                   : NULL;
        if (!lookup) {
            continue;
        }
        if (s && s->state == SYMBOL_FOUND) {
            json_object_set_new(out, column, ref_of(s));
        }
        else if (s && s->state == SYMBOL_SKIPPED) {
            json_object_del(out, column);
        }
        else {
            bad->symbol = s;
            bad->lookup = lookup;
        }
    }
    return out;
}

/* ---- turns ---- */

static int may_follow(const cs_item_t *item, const cs_step_t *step)
{
    return step->after < 0 || !APR_ARRAY_IDX(item->plan->steps, step->after, cs_step_t *)->send ||
           item->applied[step->after].done;
}

static int next_turn(cs_item_t *item, turn_t *turn)
{
    int i;

    for (i = 0; !item->over && i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        if (step->send && !item->applied[i].tried) {
            if (!may_follow(item, step)) {
                return 0;
            }
            turn->item = item;
            turn->index = i;
            turn->step = step;
            return 1;
        }
    }
    return 0;
}

/* A step of ours moved the row's version: what follows in this very look is guarded by the new one.
 */
static const char *guard_now(const cs_item_t *item, const turn_t *turn)
{
    const char *guard = turn->step->guard;
    int i;

    for (i = 0; i < turn->index; ++i) {
        const cs_step_t *before = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        const cs_applied_t *applied = &item->applied[i];
        if (applied->done && applied->after && applied->after->version && before->table &&
            turn->step->table && !strcmp(before->table, turn->step->table)) {
            guard = applied->after->version;
        }
    }
    return guard;
}

static cs_crm_write_e write_kind(cs_step_kind_e kind)
{
    return kind == CS_STEP_CREATE ? CS_CRM_CREATE
           : kind == CS_STEP_CALL ? CS_CRM_CALL
                                  : CS_CRM_UPDATE;
}

static void fill_write(cs_batch_t *b, cs_crm_write_t *write, const turn_t *turn)
{
    write->kind = write_kind(turn->step->kind);
    write->table = turn->step->table;
    write->id = turn->step->id;
    write->guard = guard_now(turn->item, turn);
    write->call = turn->step->call;
    write->row = turn->row;
    write->columns = turn->step->kind == CS_STEP_CALL ? NULL : cs_mapping_columns(turn->item->kind);
    write->lookups = cs_lane_lookups(turn->item->kind, b->p);
}

static void count_done(cs_batch_t *b, const turn_t *turn)
{
    switch (turn->step->kind) {
    case CS_STEP_CREATE:
        cs_count(CS_COUNT_CREATED, 1);
        ++b->created;
        break;
    case CS_STEP_UPDATE:
        cs_count(CS_COUNT_UPDATED, 1);
        ++b->updated;
        break;
    default:
        cs_count(CS_COUNT_CLOSED, 1);
        ++b->closed;
    }
}

static void take_write(cs_batch_t *b, const turn_t *turn, const cs_crm_write_t *write)
{
    cs_item_t *item = turn->item;
    cs_applied_t *applied = &item->applied[turn->index];

    cs_item_account(b, item, write->calls, write->took, write->correlation);
    applied->tried = 1;
    applied->result = write->result;
    applied->calls = write->calls;
    applied->took = write->took;
    applied->correlation = write->correlation;
    applied->after = write->record;
    applied->done = write->result.cls == CS_CLASS_OK;
    if (applied->done) {
        count_done(b, turn);
        return;
    }
    /* What was found once may be gone by now, deleted or merged: the next look asks again, and a
     * write refused for its data has one. */
    cs_lane_cache_clear(b->lane);
    if (item->recalled && write->result.cls == CS_CLASS_DATA && item->work->attempts == 0) {
        applied->result.cls = CS_CLASS_CONFLICT;
    }
    cs_item_fail(item, item->look.crm, &applied->result);
}

static void write_turns(cs_batch_t *b, apr_array_header_t *turns, int crm)
{
    cs_crm_write_t *writes = apr_pcalloc(b->p, sizeof(*writes) * (apr_size_t)(turns->nelts + 1));
    turn_t **mine = apr_pcalloc(b->p, sizeof(*mine) * (apr_size_t)(turns->nelts + 1));
    int i, n = 0;

    for (i = 0; i < turns->nelts; ++i) {
        turn_t *turn = &APR_ARRAY_IDX(turns, i, turn_t);
        if (turn->item->crm == crm && !turn->item->over &&
            !turn->item->applied[turn->index].tried) {
            fill_write(b, &writes[n], turn);
            mine[n++] = turn;
        }
    }
    if (!n) {
        return;
    }
    b->lane->crm_impl[crm]->write(b->lane->crm[crm], writes, n, cs_time_mono() + STAGE, b->p);
    CS_CRASH_POINT("apply-written");
    for (i = 0; i < n; ++i) {
        take_write(b, mine[i], &writes[i]);
    }
}

static void hold_item(cs_batch_t *b, turn_t *turn, const symbol_t *bad)
{
    cs_applied_t *applied = &turn->item->applied[turn->index];

    applied->tried = 1;
    if (bad->state == SYMBOL_FAILED) {
        applied->result = bad->result;
    }
    else {
        cs_result_set(&applied->result, b->p, CS_EREMOTE, CS_CLASS_REFUSED, "lookup:held", "%s",
                      bad->why ? bad->why : "a look-up could not be resolved");
    }
    cs_item_fail(turn->item, turn->item->look.crm, &applied->result);
}

/* All its lines are held: the row is as it was read. */
static void nothing_left(turn_t *turn)
{
    cs_applied_t *applied = &turn->item->applied[turn->index];

    applied->tried = applied->done = 1;
    applied->after = turn->item->record;
}

static void note_dropped(cs_batch_t *b, turn_t *turn, const unresolved_t *bad)
{
    cs_applied_t *applied = &turn->item->applied[turn->index];

    if (!applied->dropped) {
        applied->dropped = cs_json_own(json_object(), b->p);
    }
    json_object_set_new(applied->dropped, cs_json_str(bad->lookup, "line"),
                        json_string(bad->symbol->why));
}

/* A line that is held leaves the rest of its row to be written. */
static void resolve_turn(cs_batch_t *b, apr_hash_t *symbols, turn_t *turn)
{
    size_t left = json_object_size(turn->step->columns);
    unresolved_t bad = {0};

    turn->row = resolve_row(b, symbols, turn->item, turn->step->columns, &bad);
    while (bad.symbol && bad.symbol->state == SYMBOL_HELD && left-- > 0 &&
           drop_with_line(turn->row, bad.lookup)) {
        note_dropped(b, turn, &bad);
        memset(&bad, 0, sizeof(bad));
        turn->row = resolve_row(b, symbols, turn->item, turn->row, &bad);
    }
    if (bad.symbol) {
        hold_item(b, turn, bad.symbol);
    }
    else if (turn->step->kind == CS_STEP_UPDATE && !json_object_size(turn->row)) {
        nothing_left(turn);
    }
}

static int play_round(cs_batch_t *b)
{
    apr_array_header_t *turns = apr_array_make(b->p, b->items->nelts + 1, sizeof(turn_t));
    apr_hash_t *symbols = apr_hash_make(b->p);
    int i, crm;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        turn_t turn = {0};
        if (!item->over && item->plan && item->plan->what == CS_PLAN_STEPS &&
            next_turn(item, &turn)) {
            APR_ARRAY_PUSH(turns, turn_t) = turn;
            collect(b, symbols, item, turn.step->columns);
        }
    }
    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        resolve_symbols(b, symbols, crm, 0);
    }
    for (i = 0; i < turns->nelts; ++i) {
        resolve_turn(b, symbols, &APR_ARRAY_IDX(turns, i, turn_t));
    }
    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        write_turns(b, turns, crm);
    }
    return turns->nelts;
}

void cs_batch_apply(cs_batch_t *b)
{
    int rounds = 0;

    while (rounds++ < ROUNDS_MAX && play_round(b)) {
    }
}
