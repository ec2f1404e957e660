/* engine/apply.c: stage 6: the steps are written, round by round.
 *
 * A round takes from every item its next step about the record and all steps about rows of its
 * lists; what a round writes is independent of each other and goes out together, one call per CRM.
 * A list's step that fails neither ends its item nor holds up what does not depend on it.
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/json.h"
#include "apply.h"

#define ROUNDS_MAX 12

typedef struct round_t {
    cs_batch_t *b;
    cs_symbols_t *symbols;
    apr_array_header_t *turns; /* cs_turn_t */
    cs_fate_t *fates;          /* one per item */
} round_t;

/* ---- whose turn it is ---- */

static int is_aside(const cs_step_t *step)
{
    return step->list || step->kind == CS_STEP_DELETE || step->kind == CS_STEP_JOIN ||
           step->kind == CS_STEP_ENSURE;
}

int cs_step_is_pc(const cs_step_t *step)
{
    return step->kind == CS_STEP_PATCH_PC || step->kind == CS_STEP_POST_PC;
}

int cs_step_may_follow(const cs_item_t *item, const cs_step_t *step)
{
    return step->after < 0 || !APR_ARRAY_IDX(item->plan->steps, step->after, cs_step_t *)->send ||
           item->applied[step->after].done;
}

static void add_turn(round_t *r, int at, int index, const cs_step_t *step)
{
    cs_turn_t *turn = apr_array_push(r->turns);

    memset(turn, 0, sizeof(*turn));
    turn->item = APR_ARRAY_IDX(r->b->items, at, cs_item_t *);
    turn->fate = &r->fates[at];
    turn->applied = &turn->item->applied[index];
    turn->index = index;
    turn->step = step;
    turn->recalled = apr_array_make(r->b->p, 2, sizeof(const char *));
}

static void add_turns(round_t *r, int at)
{
    const cs_item_t *item = APR_ARRAY_IDX(r->b->items, at, cs_item_t *);
    int i, record = 0;

    if (item->over || !item->plan || item->plan->what != CS_PLAN_STEPS) {
        return;
    }
    for (i = 0; i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        int aside = is_aside(step);
        if (!step->send || item->applied[i].tried || cs_step_is_pc(step) || (record && !aside)) {
            continue;
        }
        record |= !aside;
        if (cs_step_may_follow(item, step)) {
            add_turn(r, at, i, step);
        }
    }
}

int cs_turn_aside(const cs_turn_t *turn)
{
    return is_aside(turn->step);
}

/* ---- how a turn ends ---- */

void cs_lines_add(json_t **pobject, const char *line, const char *why, apr_pool_t *p)
{
    if (!*pobject) {
        *pobject = cs_json_own(json_object(), p);
    }
    json_object_set_new(*pobject, line, json_string(why));
}

const char *cs_result_words(const cs_result_t *result)
{
    return result->said      ? result->said
           : result->detail  ? result->detail
           : result->problem ? result->problem
                             : "refused by the CRM";
}

static const char *only_line(const cs_step_t *step)
{
    return step->lines && step->lines->nelts ? APR_ARRAY_IDX(step->lines, 0, const char *) : NULL;
}

void cs_turn_drop(cs_turn_t *turn, const char *why, apr_pool_t *p)
{
    turn->applied->tried = 1;
    if (only_line(turn->step)) {
        cs_lines_add(&turn->applied->dropped, only_line(turn->step), why, p);
    }
}

void cs_turn_refuse(cs_turn_t *turn, const cs_result_t *result, apr_pool_t *p)
{
    turn->applied->tried = 1;
    turn->applied->result = *result;
    if (only_line(turn->step)) {
        cs_lines_add(&turn->applied->refused, only_line(turn->step), cs_result_words(result), p);
    }
}

int cs_result_everywhere(const cs_result_t *result)
{
    return result->cls == CS_CLASS_TOKEN || result->cls == CS_CLASS_SUSPEND ||
           result->cls == CS_CLASS_THROTTLED;
}

void cs_turn_fail(cs_turn_t *turn, const cs_result_t *result)
{
    int record = !is_aside(turn->step);

    turn->applied->tried = 1;
    turn->applied->result = *result;
    if (turn->fate->result.cls == CS_CLASS_OK || (record && !turn->fate->ends)) {
        turn->fate->result = *result;
    }
    turn->fate->ends |= record || cs_result_everywhere(result);
}

static void count_done(cs_batch_t *b, const cs_turn_t *turn)
{
    if (turn->step->kind == CS_STEP_CREATE && !turn->step->list) {
        cs_count(CS_COUNT_CREATED, 1);
        ++b->created;
    }
    else if (turn->step->kind == CS_STEP_UPDATE || is_aside(turn->step)) {
        cs_count(CS_COUNT_UPDATED, 1);
        ++b->updated;
    }
    else {
        cs_count(CS_COUNT_CLOSED, 1);
        ++b->closed;
    }
}

void cs_turn_done(cs_batch_t *b, cs_turn_t *turn, const cs_record_t *after)
{
    const cs_item_t *item = turn->item;

    turn->applied->tried = turn->applied->done = 1;
    turn->applied->after = cs_record_shown(after, turn->step, turn->row, item->record,
                                           b->lane->crm_impl[item->crm]->facts->id_form, b->p);
    cs_result_clear(&turn->applied->result);
    count_done(b, turn);
}

void cs_turn_done_already(cs_turn_t *turn, const cs_record_t *after)
{
    turn->applied->tried = turn->applied->done = 1;
    turn->applied->after = after;
}

/* ---- look-ups in rows ---- */

int cs_result_refuses(const cs_result_t *result)
{
    return result->cls == CS_CLASS_DATA || result->cls == CS_CLASS_REFUSED;
}

/* Money whose currency is unknown is held as a pair. 0 = the look-up stands for no line. */
static int drop_columns(json_t *row, const json_t *lookup)
{
    const json_t *columns = json_object_get(lookup, "columns");
    size_t i;

    if (!json_is_array(columns) || !cs_json_str(lookup, "line")) {
        return 0;
    }
    for (i = 0; i < json_array_size(columns); ++i) {
        json_object_del(row, json_string_value(json_array_get(columns, i)));
    }
    return 1;
}

static void hold_record(round_t *r, cs_turn_t *turn, const cs_unresolved_t *bad)
{
    cs_result_t result = {0};

    if (bad->failed) {
        result = *bad->failed;
    }
    else {
        cs_result_set(&result, r->b->p, CS_EREMOTE, CS_CLASS_REFUSED, "lookup:held", "%s",
                      bad->why);
    }
    cs_turn_fail(turn, &result);
}

/* Nothing is left, or only what is no reason for a write. */
static int is_nothing(const cs_turn_t *turn)
{
    const char *travels = turn->step->travels;

    return json_object_size(turn->row) == (travels && json_object_get(turn->row, travels));
}

/* A line that is held, or whose row the CRM refused to make, leaves the rest to be written. */
static void resolve_record(round_t *r, cs_turn_t *turn)
{
    size_t most = json_object_size(turn->step->columns);
    cs_unresolved_t bad = {0};

    turn->row = cs_symbols_row(r->symbols, turn->item, turn->step->columns, &bad, turn->recalled);
    while (bad.lookup && (!bad.failed || cs_result_refuses(bad.failed)) && most-- > 0 &&
           drop_columns(turn->row, bad.lookup)) {
        const char *line = cs_json_str(bad.lookup, "line");
        if (bad.failed) {
            cs_lines_add(&turn->applied->refused, line, cs_result_words(bad.failed), r->b->p);
        }
        else {
            cs_lines_add(&turn->applied->dropped, line, bad.why, r->b->p);
        }
        memset(&bad, 0, sizeof(bad));
        turn->row = cs_symbols_row(r->symbols, turn->item, turn->row, &bad, turn->recalled);
    }
    if (bad.lookup) {
        hold_record(r, turn, &bad);
    }
    else if (turn->step->kind == CS_STEP_UPDATE && is_nothing(turn)) {
        cs_turn_done_already(turn, turn->item->record);
    }
}

static void resolve_aside(round_t *r, cs_turn_t *turn)
{
    cs_unresolved_t bad = {0};

    turn->row = cs_symbols_row(r->symbols, turn->item, turn->step->columns, &bad, turn->recalled);
    if (bad.lookup && bad.failed && cs_result_refuses(bad.failed)) {
        cs_turn_refuse(turn, bad.failed, r->b->p);
    }
    else if (bad.lookup && bad.failed) {
        cs_turn_fail(turn, bad.failed);
    }
    else if (bad.lookup) {
        cs_turn_drop(turn, bad.why, r->b->p);
    }
    else if (bad.skipped) {
        /* A row of a list without what it is about would be about nothing. */
        cs_turn_drop(turn, bad.skipped, r->b->p);
    }
    else if (turn->step->kind == CS_STEP_ENSURE) {
        cs_turn_done_already(turn, NULL);
    }
}

static void resolve_turn(round_t *r, cs_turn_t *turn)
{
    if (is_aside(turn->step)) {
        resolve_aside(r, turn);
    }
    else {
        resolve_record(r, turn);
    }
    turn->item->recalled |= turn->recalled->nelts > 0;
}

/* ---- a round ---- */

static void conclude(round_t *r)
{
    int i;

    for (i = 0; i < r->b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(r->b->items, i, cs_item_t *);
        if (!item->over && r->fates[i].ends) {
            cs_item_fail(item, item->look.crm, &r->fates[i].result);
        }
    }
}

static int play_round(round_t *r)
{
    int i, crm;

    r->turns = apr_array_make(r->b->p, r->b->items->nelts + 1, sizeof(cs_turn_t));
    for (i = 0; i < r->b->items->nelts; ++i) {
        add_turns(r, i);
    }
    for (i = 0; i < r->turns->nelts; ++i) {
        const cs_turn_t *turn = &APR_ARRAY_IDX(r->turns, i, cs_turn_t);
        cs_symbols_collect(r->symbols, turn->item, turn->step);
    }
    for (crm = 0; crm < r->b->lane->site->ncrms; ++crm) {
        cs_symbols_resolve(r->symbols, crm);
    }
    for (i = 0; i < r->turns->nelts; ++i) {
        resolve_turn(r, &APR_ARRAY_IDX(r->turns, i, cs_turn_t));
    }
    for (crm = 0; crm < r->b->lane->site->ncrms; ++crm) {
        cs_turns_write(r->b, r->turns, crm);
    }
    conclude(r);
    return r->turns->nelts;
}

void cs_batch_apply(cs_batch_t *b)
{
    round_t r = {b, cs_symbols_make(b), NULL, NULL};
    int rounds = 0, i;

    r.fates = apr_pcalloc(b->p, sizeof(*r.fates) * (apr_size_t)(b->items->nelts + 1));
    while (rounds++ < ROUNDS_MAX && play_round(&r)) {
    }
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over && r.fates[i].result.cls != CS_CLASS_OK) {
            cs_item_fail(item, item->look.crm, &r.fates[i].result);
        }
    }
}
