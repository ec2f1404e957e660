/* engine/apply_write.c: the turns of a round are written: all of a CRM in one call, then, call by
 * call and all together, what has to be written without what was refused. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crash.h"
#include "../base/json.h"
#include "apply.h"

#define STAGE apr_time_from_sec(120)

/* ---- one turn ---- */

static int same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* A step of ours moved the row's version: what follows in this very look is guarded by the new one.
 */
static const char *guard_now(const cs_turn_t *turn)
{
    const char *guard = turn->step->guard;
    int i;

    for (i = 0; i < turn->index; ++i) {
        const cs_step_t *before = APR_ARRAY_IDX(turn->item->plan->steps, i, cs_step_t *);
        const cs_applied_t *applied = &turn->item->applied[i];
        if (applied->done && applied->after && applied->after->version &&
            same(before->table, turn->step->table) && same(before->id, turn->step->id)) {
            guard = applied->after->version;
        }
    }
    return guard;
}

static cs_crm_write_e write_kind(cs_step_kind_e kind)
{
    switch (kind) {
    case CS_STEP_CREATE:
        return CS_CRM_CREATE;
    case CS_STEP_CALL:
        return CS_CRM_CALL;
    case CS_STEP_DELETE:
        return CS_CRM_DELETE;
    case CS_STEP_JOIN:
        return CS_CRM_JOIN;
    default:
        return CS_CRM_UPDATE;
    }
}

/* The columns that are read of such a row; NULL = it is read by nobody. */
static const apr_array_header_t *columns_of(const cs_turn_t *turn)
{
    const apr_array_header_t *related;
    int i;

    if (turn->step->kind == CS_STEP_CALL || turn->step->kind == CS_STEP_DELETE ||
        turn->step->kind == CS_STEP_JOIN) {
        return NULL;
    }
    if (!turn->step->list) {
        return cs_mapping_columns(turn->item->kind);
    }
    related = cs_mapping_related(turn->item->kind);
    for (i = 0; related && i < related->nelts; ++i) {
        const cs_related_t *rows = &APR_ARRAY_IDX(related, i, cs_related_t);
        if (same(rows->list, turn->step->list) && same(rows->table, turn->step->table)) {
            return rows->columns;
        }
    }
    return NULL;
}

static void fill_write(cs_batch_t *b, cs_crm_write_t *write, const cs_turn_t *turn)
{
    write->kind = write_kind(turn->step->kind);
    write->table = turn->step->table;
    write->id = turn->step->id;
    write->key = turn->step->kind == CS_STEP_CREATE ? turn->step->key : NULL;
    write->guard = guard_now(turn);
    write->call = turn->step->call;
    write->row = turn->row;
    write->columns = columns_of(turn);
    write->lookups = cs_lane_lookups(turn->item->kind, b->p);
}

void cs_applied_account(cs_batch_t *b, cs_item_t *item, cs_applied_t *applied, int calls,
                        apr_interval_time_t took, const char *correlation)
{
    cs_item_account(b, item, calls, took, correlation);
    applied->calls += calls;
    applied->took += took;
    if (correlation && *correlation) {
        applied->correlation =
            applied->correlation
                ? apr_pstrcat(b->p, applied->correlation, "; ", correlation, NULL)
                : correlation;
    }
}

static void account(cs_batch_t *b, const cs_turn_t *turn, const cs_crm_write_t *write)
{
    cs_applied_account(b, turn->item, turn->applied, write->calls, write->took,
                       write->correlation);
}

/* What was found in an earlier batch may be gone by now, deleted or merged: before the value is
 * blamed, the next look asks again, once. */
static int ask_again(const cs_turn_t *turn, const cs_result_t *result)
{
    int i, blamed = !result->blames;

    for (i = 0; i < turn->recalled->nelts; ++i) {
        blamed |= cs_refusal_blames(result, APR_ARRAY_IDX(turn->recalled, i, const char *));
    }
    return blamed && turn->recalled->nelts && result->cls == CS_CLASS_DATA &&
           turn->item->work->attempts == 0;
}

static void fail_and_ask_again(cs_turn_t *turn, const cs_result_t *result)
{
    cs_result_t again = *result;

    again.cls = CS_CLASS_CONFLICT;
    cs_turn_fail(turn, &again);
}

static void aside_failed(cs_batch_t *b, cs_turn_t *turn, const cs_crm_write_t *write)
{
    if (write->kind == CS_CRM_DELETE && write->result.cls == CS_CLASS_GONE) {
        cs_turn_done(b, turn, NULL);
    }
    else if (ask_again(turn, &write->result)) {
        fail_and_ask_again(turn, &write->result);
    }
    else if (cs_result_refuses(&write->result)) {
        cs_turn_refuse(turn, &write->result, b->p);
    }
    else if (write->kind == CS_CRM_CREATE && write->result.cls == CS_CLASS_DUPLICATE) {
        /* There is no asking which row it means. */
        cs_turn_drop(turn, cs_result_words(&write->result), b->p);
    }
    else {
        cs_turn_fail(turn, &write->result);
    }
}

static void record_failed(cs_batch_t *b, cs_turn_t *turn, const cs_crm_write_t *write)
{
    if (ask_again(turn, &write->result)) {
        fail_and_ask_again(turn, &write->result);
        return;
    }
    if (write->result.cls == CS_CLASS_DATA &&
        (write->kind == CS_CRM_CREATE || write->kind == CS_CRM_UPDATE)) {
        turn->refusal = cs_refusal_begin(turn->step, write, 0, b->p);
    }
    if (!turn->refusal) {
        cs_turn_fail(turn, &write->result);
    }
}

/* The row is there, and is called what the CRM calls it. */
static void made(cs_batch_t *b, const cs_turn_t *turn, const char *id)
{
    cs_item_made(b, turn->item, turn->index, id);
}

static const char *row_words(const cs_batch_t *b, const cs_crm_write_t *write)
{
    return apr_pstrcat(b->p, write->table, " ", write->id, NULL);
}

static void note_unheard(cs_batch_t *b, const cs_turn_t *turn, const cs_crm_write_t *write)
{
    if (cs_write_unheard(b, turn->item->crm, write)) {
        cs_unheard_note(b, turn->item, row_words(b, write));
    }
}

/* A row without a key that was sent before: perhaps it is there, and cannot be seen yet. */
static int waits_unheard(cs_batch_t *b, cs_turn_t *turn, const cs_crm_write_t *write)
{
    cs_result_t why = {0};

    if (write->kind != CS_CRM_CREATE || write->key ||
        !cs_unheard_waits(b, turn->item, row_words(b, write), &why)) {
        return 0;
    }
    cs_turn_fail(turn, &why);
    return 1;
}

/* May a look-up of an earlier batch be the reason? */
static int doubts_lookups(const cs_result_t *result)
{
    return cs_result_refuses(result) || result->cls == CS_CLASS_GONE ||
           result->cls == CS_CLASS_DUPLICATE;
}

static void take_write(cs_batch_t *b, cs_turn_t *turn, const cs_crm_write_t *write)
{
    account(b, turn, write);
    if (write->result.cls == CS_CLASS_OK) {
        cs_turn_done(b, turn, write->record);
        turn->applied->created = write->created;
        made(b, turn, cs_write_made(write));
        return;
    }
    note_unheard(b, turn, write);
    if (doubts_lookups(&write->result)) {
        cs_lane_cache_clear(b->lane);
    }
    if (cs_turn_aside(turn)) {
        aside_failed(b, turn, write);
    }
    else {
        record_failed(b, turn, write);
    }
}

/* ---- a list's row that is there already ---- */

/* A row under our own id or key is ours, made by a look that was not heard to its end. Without one
 * it was the CRM's rules that saw a duplicate. */
static void take_twin(cs_batch_t *b, cs_turn_t *turn, const cs_crm_read_t *read)
{
    cs_applied_t *applied = turn->applied;

    cs_item_account(b, turn->item, read->calls, read->took, read->correlation);
    applied->calls += read->calls;
    applied->took += read->took;
    if (read->result.cls == CS_CLASS_OK) {
        cs_result_clear(&applied->result);
        cs_turn_done_already(turn, read->record);
        applied->found = 1;
        made(b, turn, read->record->id);
    }
    else if (read->result.cls == CS_CLASS_GONE) {
        cs_turn_drop(turn, cs_result_words(&applied->result), b->p);
        cs_result_clear(&applied->result);
    }
    else {
        cs_turn_fail(turn, &read->result);
    }
}

static void read_twins(cs_batch_t *b, cs_turn_t **twins, const cs_crm_write_t *writes, int n,
                       int crm)
{
    cs_crm_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(n + 1));
    int i;

    for (i = 0; i < n; ++i) {
        reads[i].table = writes[i].table;
        reads[i].id = writes[i].id;
        reads[i].key = writes[i].key;
        reads[i].columns = writes[i].columns;
        reads[i].lookups = writes[i].lookups;
    }
    b->lane->crm_impl[crm]->read(b->lane->crm[crm], reads, n, cs_time_mono() + STAGE, b->p);
    for (i = 0; i < n; ++i) {
        take_twin(b, twins[i], &reads[i]);
    }
}

static int is_twin(const cs_batch_t *b, const cs_turn_t *turn, const cs_crm_write_t *write)
{
    return turn->step->list && write->kind == CS_CRM_CREATE &&
           write->result.cls == CS_CLASS_DUPLICATE &&
           (write->key || !cs_item_names_rows(b, turn->item));
}

/* ---- without what was refused ---- */

/* What follows in this look waits: a record must not be closed before its last values are in it. */
static void drop_left(cs_batch_t *b, cs_turn_t *turn, const apr_array_header_t *left)
{
    cs_result_t result = {0};
    int i;

    for (i = 0; i < left->nelts; ++i) {
        cs_lines_add(&turn->applied->dropped, APR_ARRAY_IDX(left, i, const char *),
                     "other values were refused first: sent with the next look", b->p);
    }
    cs_result_set(&result, b->p, CS_ELIMIT, CS_CLASS_CONFLICT, "lines:many",
                  "%d values are left for the next look: too many others were refused",
                  left->nelts);
    if (turn->fate->result.cls == CS_CLASS_OK) {
        turn->fate->result = result;
    }
    turn->fate->ends = 1;
}

static void end_refusal(cs_batch_t *b, cs_turn_t *turn)
{
    cs_refusal_end_t end;
    const char *line;
    json_t *words;

    cs_refusal_end(turn->refusal, &end);
    turn->refusal = NULL;
    made(b, turn, end.id);
    json_object_foreach(end.refused, line, words) {
        cs_lines_add(&turn->applied->refused, line, json_string_value(words), b->p);
    }
    if (end.result.cls != CS_CLASS_OK) {
        turn->item->made |= end.made;
        cs_turn_fail(turn, &end.result);
    }
    else if (end.wrote) {
        cs_turn_done(b, turn, end.after);
    }
    else {
        cs_turn_done_already(turn, turn->item->record);
    }
    if (end.left) {
        drop_left(b, turn, end.left);
    }
}

static void write_now(cs_batch_t *b, cs_turn_t *const *turns, cs_crm_write_t *writes, int n,
                      int crm)
{
    const char *trace = NULL;
    int i;

    for (i = 0; i < n; ++i) {
        trace = cs_trace_shared(b, trace, turns[i]->item);
    }
    cs_batch_trace_is(b, trace);
    b->lane->crm_impl[crm]->write(b->lane->crm[crm], writes, n, cs_time_mono() + STAGE, b->p);
    cs_batch_trace(b);
}

/* The next send of every step that is being halved, together. */
static int halve(cs_batch_t *b, cs_turn_t **turns, cs_crm_write_t *writes, int n, int crm)
{
    int i, left = 0;

    for (i = 0; i < n; ++i) {
        if (cs_refusal_next(turns[i]->refusal, &writes[left])) {
            turns[left++] = turns[i];
        }
        else {
            end_refusal(b, turns[i]);
        }
    }
    if (!left) {
        return 0;
    }
    write_now(b, turns, writes, left, crm);
    CS_CRASH_POINT("apply-halved");
    for (i = 0; i < left; ++i) {
        account(b, turns[i], &writes[i]);
        note_unheard(b, turns[i], &writes[i]);
        cs_refusal_take(turns[i]->refusal, &writes[i]);
    }
    return left;
}

/* ---- together ---- */

static int fill_writes(cs_batch_t *b, apr_array_header_t *turns, cs_crm_write_t *writes,
                       cs_turn_t **mine, int crm, int *plists)
{
    int i, n = 0;

    for (i = 0; i < turns->nelts; ++i) {
        cs_turn_t *turn = &APR_ARRAY_IDX(turns, i, cs_turn_t);
        if (turn->item->crm == crm && !turn->applied->tried &&
            !cs_result_everywhere(&turn->fate->result)) {
            fill_write(b, &writes[n], turn);
            if (waits_unheard(b, turn, &writes[n])) {
                memset(&writes[n], 0, sizeof(writes[n]));
                continue;
            }
            mine[n++] = turn;
            *plists |= cs_turn_aside(turn);
        }
    }
    return n;
}

void cs_turns_write(cs_batch_t *b, apr_array_header_t *turns, int crm)
{
    apr_size_t room = (apr_size_t)turns->nelts + 1;
    cs_crm_write_t *writes = apr_pcalloc(b->p, sizeof(*writes) * room);
    cs_turn_t **mine = apr_pcalloc(b->p, sizeof(*mine) * room);
    int lists = 0, n = fill_writes(b, turns, writes, mine, crm, &lists), i, twins = 0, halving = 0;

    if (!n) {
        return;
    }
    write_now(b, mine, writes, n, crm);
    CS_CRASH_POINT("apply-written");
    if (lists) {
        CS_CRASH_POINT("apply-list-written");
    }
    /* Both kinds of leftovers are gathered at the front, behind what was taken already. */
    for (i = 0; i < n; ++i) {
        if (is_twin(b, mine[i], &writes[i])) {
            account(b, mine[i], &writes[i]);
            mine[i]->applied->result = writes[i].result;
            writes[twins] = writes[i];
            mine[twins++] = mine[i];
        }
        else {
            take_write(b, mine[i], &writes[i]);
        }
    }
    if (twins) {
        cs_lane_cache_clear(b->lane);
        read_twins(b, mine, writes, twins, crm);
    }
    for (i = 0; i < turns->nelts; ++i) {
        cs_turn_t *turn = &APR_ARRAY_IDX(turns, i, cs_turn_t);
        if (turn->item->crm == crm && turn->refusal) {
            mine[halving++] = turn;
        }
    }
    while (halving) {
        halving = halve(b, mine, writes, halving, crm);
    }
}
