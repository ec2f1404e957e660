/* engine/apply.c: stage 6: the steps are written, round by round.
 *
 * A round takes from every item its next step about the record and all steps about rows of its
 * lists; what a round writes is independent of each other and goes out together, one call per CRM.
 * A list's step that fails neither ends its item nor holds up what does not depend on it.
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/json.h"
#include "../base/log.h"
#include "apply.h"

#define STAGE apr_time_from_sec(120)
#define ROUNDS_MAX 12

/* How an item fared so far. Nothing ends an item before the answers of its whole round are taken. */
typedef struct fate_t {
    cs_result_t result; /* the first failure that is to be repeated, or what ended it; cls OK = none */
    int ends;
} fate_t;

/* One step of one item in this round. */
typedef struct turn_t {
    cs_item_t *item;
    fate_t *fate;
    int index;
    const cs_step_t *step;
    json_t *row;                  /* columns with look-ups resolved */
    apr_array_header_t *recalled; /* const char *: columns whose row was found in an earlier batch */
    cs_refusal_t *refusal;        /* written again without what was refused */
} turn_t;

typedef struct round_t {
    cs_batch_t *b;
    cs_symbols_t *symbols;
    apr_array_header_t *turns; /* turn_t */
    fate_t *fates;             /* one per item */
} round_t;

static cs_applied_t *applied_of(const turn_t *turn)
{
    return &turn->item->applied[turn->index];
}

/* ---- whose turn it is ---- */

/* About a row of a list: nothing depends on it. */
static int is_aside(const cs_step_t *step)
{
    return step->list || step->kind == CS_STEP_DELETE || step->kind == CS_STEP_JOIN ||
           step->kind == CS_STEP_ENSURE;
}

static int may_follow(const cs_item_t *item, const cs_step_t *step)
{
    return step->after < 0 || !APR_ARRAY_IDX(item->plan->steps, step->after, cs_step_t *)->send ||
           item->applied[step->after].done;
}

static void add_turn(round_t *r, int at, int index, const cs_step_t *step)
{
    turn_t *turn = apr_array_push(r->turns);

    memset(turn, 0, sizeof(*turn));
    turn->item = APR_ARRAY_IDX(r->b->items, at, cs_item_t *);
    turn->fate = &r->fates[at];
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
        if (!step->send || item->applied[i].tried || step->kind == CS_STEP_PATCH_PC ||
            (record && !aside)) {
            continue;
        }
        record |= !aside;
        if (may_follow(item, step)) {
            add_turn(r, at, i, step);
        }
    }
}

/* ---- how a turn ends ---- */

static void add_line(json_t **pobject, const char *line, const char *why, apr_pool_t *p)
{
    if (!*pobject) {
        *pobject = cs_json_own(json_object(), p);
    }
    json_object_set_new(*pobject, line, json_string(why));
}

static const char *words_of(const cs_result_t *result)
{
    return result->detail    ? result->detail
           : result->problem ? result->problem
                             : "refused by the CRM";
}

static const char *only_line(const cs_step_t *step)
{
    return step->lines && step->lines->nelts ? APR_ARRAY_IDX(step->lines, 0, const char *) : NULL;
}

/* Its one line waits: the step is not sent, and the item goes on. */
static void drop_step(round_t *r, turn_t *turn, const char *why)
{
    applied_of(turn)->tried = 1;
    if (only_line(turn->step)) {
        add_line(&applied_of(turn)->dropped, only_line(turn->step), why, r->b->p);
    }
}

static void refuse_step(round_t *r, turn_t *turn, const cs_result_t *result)
{
    applied_of(turn)->tried = 1;
    applied_of(turn)->result = *result;
    if (only_line(turn->step)) {
        add_line(&applied_of(turn)->refused, only_line(turn->step), words_of(result), r->b->p);
    }
}

/* Not about a row, but about whether the CRM can be asked at all. */
static int is_everywhere(const cs_result_t *result)
{
    return result->cls == CS_CLASS_TOKEN || result->cls == CS_CLASS_SUSPEND ||
           result->cls == CS_CLASS_THROTTLED;
}

/* What holds for the whole CRM ends the item; what holds for one row of a list is repeated later,
 * when everything else was tried. */
static void fail_step(turn_t *turn, const cs_result_t *result)
{
    int record = !is_aside(turn->step);

    applied_of(turn)->tried = 1;
    applied_of(turn)->result = *result;
    if (turn->fate->result.cls == CS_CLASS_OK || (record && !turn->fate->ends)) {
        turn->fate->result = *result;
    }
    turn->fate->ends |= record || is_everywhere(result);
}

static void count_done(cs_batch_t *b, const turn_t *turn)
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

static void step_done(cs_batch_t *b, turn_t *turn, const cs_record_t *after)
{
    applied_of(turn)->tried = applied_of(turn)->done = 1;
    applied_of(turn)->after = after;
    cs_result_clear(&applied_of(turn)->result);
    count_done(b, turn);
}

/* Nothing of it had to be written. */
static void step_done_already(turn_t *turn, const cs_record_t *after)
{
    applied_of(turn)->tried = applied_of(turn)->done = 1;
    applied_of(turn)->after = after;
}

/* ---- look-ups in rows ---- */

static int is_refusal(const cs_result_t *result)
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

static void hold_record(round_t *r, turn_t *turn, const cs_unresolved_t *bad)
{
    cs_result_t result = {0};

    if (bad->failed) {
        result = bad->symbol->result;
    }
    else {
        cs_result_set(&result, r->b->p, CS_EREMOTE, CS_CLASS_REFUSED, "lookup:held", "%s",
                      bad->why);
    }
    fail_step(turn, &result);
}

/* A line that is held, or whose row the CRM refused to make, leaves the rest to be written. */
static void resolve_record(round_t *r, turn_t *turn)
{
    size_t most = json_object_size(turn->step->columns);
    cs_unresolved_t bad = {0};

    turn->row = cs_symbols_row(r->symbols, turn->item, turn->step->columns, &bad, turn->recalled);
    while (bad.lookup && (!bad.failed || is_refusal(&bad.symbol->result)) && most-- > 0 &&
           drop_columns(turn->row, bad.lookup)) {
        const char *line = cs_json_str(bad.lookup, "line");
        if (bad.failed) {
            add_line(&applied_of(turn)->refused, line, words_of(&bad.symbol->result), r->b->p);
        }
        else {
            add_line(&applied_of(turn)->dropped, line, bad.why, r->b->p);
        }
        memset(&bad, 0, sizeof(bad));
        turn->row = cs_symbols_row(r->symbols, turn->item, turn->row, &bad, turn->recalled);
    }
    if (bad.lookup) {
        hold_record(r, turn, &bad);
    }
    else if (turn->step->kind == CS_STEP_UPDATE && !json_object_size(turn->row)) {
        step_done_already(turn, turn->item->record);
    }
}

static void resolve_aside(round_t *r, turn_t *turn)
{
    cs_unresolved_t bad = {0};

    turn->row = cs_symbols_row(r->symbols, turn->item, turn->step->columns, &bad, turn->recalled);
    if (bad.lookup && bad.failed && is_refusal(&bad.symbol->result)) {
        refuse_step(r, turn, &bad.symbol->result);
    }
    else if (bad.lookup && bad.failed) {
        fail_step(turn, &bad.symbol->result);
    }
    else if (bad.lookup) {
        drop_step(r, turn, bad.why);
    }
    else if (bad.skipped) {
        /* A row of a list without what it is about would be about nothing. */
        drop_step(r, turn, bad.skipped);
    }
    else if (turn->step->kind == CS_STEP_ENSURE) {
        step_done_already(turn, NULL);
    }
}

static void resolve_turn(round_t *r, turn_t *turn)
{
    if (is_aside(turn->step)) {
        resolve_aside(r, turn);
    }
    else {
        resolve_record(r, turn);
    }
    turn->item->recalled |= turn->recalled->nelts > 0;
}

/* ---- writing ---- */

static int same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

/* A step of ours moved the row's version: what follows in this very look is guarded by the new one.
 */
static const char *guard_now(const turn_t *turn)
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
static const apr_array_header_t *columns_of(const turn_t *turn)
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

static void fill_write(round_t *r, cs_crm_write_t *write, const turn_t *turn)
{
    write->kind = write_kind(turn->step->kind);
    write->table = turn->step->table;
    write->id = turn->step->id;
    write->guard = guard_now(turn);
    write->call = turn->step->call;
    write->row = turn->row;
    write->columns = columns_of(turn);
    write->lookups = cs_lane_lookups(turn->item->kind, r->b->p);
}

static void account(round_t *r, const turn_t *turn, const cs_crm_write_t *write)
{
    cs_applied_t *applied = applied_of(turn);

    cs_item_account(r->b, turn->item, write->calls, write->took, write->correlation);
    applied->calls += write->calls;
    applied->took += write->took;
    if (write->correlation && *write->correlation) {
        applied->correlation = applied->correlation
                                   ? apr_pstrcat(r->b->p, applied->correlation, "; ",
                                                 write->correlation, NULL)
                                   : write->correlation;
    }
}

/* What was found in an earlier batch may be gone by now, deleted or merged: before the value is
 * blamed, the next look asks again, once. */
static int ask_again(const turn_t *turn, const cs_result_t *result)
{
    int i, blamed = !result->blames;

    for (i = 0; i < turn->recalled->nelts; ++i) {
        blamed |= cs_refusal_blames(result, APR_ARRAY_IDX(turn->recalled, i, const char *));
    }
    return blamed && turn->recalled->nelts && result->cls == CS_CLASS_DATA &&
           turn->item->work->attempts == 0;
}

static void fail_and_ask_again(turn_t *turn, const cs_result_t *result)
{
    cs_result_t again = *result;

    again.cls = CS_CLASS_CONFLICT;
    fail_step(turn, &again);
}

static void aside_failed(round_t *r, turn_t *turn, const cs_crm_write_t *write)
{
    if (write->kind == CS_CRM_DELETE && write->result.cls == CS_CLASS_GONE) {
        step_done(r->b, turn, NULL);
    }
    else if (ask_again(turn, &write->result)) {
        fail_and_ask_again(turn, &write->result);
    }
    else if (is_refusal(&write->result)) {
        refuse_step(r, turn, &write->result);
    }
    else {
        fail_step(turn, &write->result);
    }
}

static void record_failed(round_t *r, turn_t *turn, const cs_crm_write_t *write)
{
    if (ask_again(turn, &write->result)) {
        fail_and_ask_again(turn, &write->result);
        return;
    }
    if (write->result.cls == CS_CLASS_DATA &&
        (write->kind == CS_CRM_CREATE || write->kind == CS_CRM_UPDATE)) {
        turn->refusal = cs_refusal_begin(turn->step, write, r->b->p);
    }
    if (!turn->refusal) {
        fail_step(turn, &write->result);
    }
}

/* May a look-up of an earlier batch be the reason? */
static int doubts_lookups(const cs_result_t *result)
{
    return is_refusal(result) || result->cls == CS_CLASS_GONE || result->cls == CS_CLASS_DUPLICATE;
}

static void take_write(round_t *r, turn_t *turn, const cs_crm_write_t *write)
{
    account(r, turn, write);
    if (write->result.cls == CS_CLASS_OK) {
        step_done(r->b, turn, write->record);
        applied_of(turn)->created = write->created;
        return;
    }
    if (doubts_lookups(&write->result)) {
        cs_lane_cache_clear(r->b->lane);
    }
    if (is_aside(turn->step)) {
        aside_failed(r, turn, write);
    }
    else {
        record_failed(r, turn, write);
    }
}

/* ---- a list's row that is there already ---- */

/* A row under our own id is ours, made by a look that was not heard to its end. Without one it was
 * the CRM's rules that saw a duplicate. */
static void take_twin(round_t *r, turn_t *turn, const cs_crm_read_t *read)
{
    cs_applied_t *applied = applied_of(turn);

    cs_item_account(r->b, turn->item, read->calls, read->took, read->correlation);
    applied->calls += read->calls;
    applied->took += read->took;
    if (read->result.cls == CS_CLASS_OK) {
        cs_result_clear(&applied->result);
        step_done_already(turn, read->record);
        applied->found = 1;
    }
    else if (read->result.cls == CS_CLASS_GONE) {
        drop_step(r, turn, words_of(&applied->result));
        cs_result_clear(&applied->result);
    }
    else {
        fail_step(turn, &read->result);
    }
}

static void read_twins(round_t *r, turn_t **twins, const cs_crm_write_t *writes, int n, int crm)
{
    cs_crm_read_t *reads = apr_pcalloc(r->b->p, sizeof(*reads) * (apr_size_t)(n + 1));
    int i;

    for (i = 0; i < n; ++i) {
        reads[i].table = writes[i].table;
        reads[i].id = writes[i].id;
        reads[i].columns = writes[i].columns;
        reads[i].lookups = writes[i].lookups;
    }
    r->b->lane->crm_impl[crm]->read(r->b->lane->crm[crm], reads, n, cs_time_mono() + STAGE,
                                    r->b->p);
    for (i = 0; i < n; ++i) {
        take_twin(r, twins[i], &reads[i]);
    }
}

static int is_twin(const turn_t *turn, const cs_crm_write_t *write)
{
    return turn->step->list && write->kind == CS_CRM_CREATE &&
           write->result.cls == CS_CLASS_DUPLICATE;
}

/* ---- without what was refused ---- */

/* What follows in this look waits: a record must not be closed before its last values are in it. */
static void drop_left(round_t *r, turn_t *turn, const apr_array_header_t *left)
{
    cs_result_t result = {0};
    int i;

    for (i = 0; i < left->nelts; ++i) {
        add_line(&applied_of(turn)->dropped, APR_ARRAY_IDX(left, i, const char *),
                 "other values were refused first: sent with the next look", r->b->p);
    }
    cs_result_set(&result, r->b->p, CS_ELIMIT, CS_CLASS_CONFLICT, "lines:many",
                  "%d values are left for the next look: too many others were refused",
                  left->nelts);
    if (turn->fate->result.cls == CS_CLASS_OK) {
        turn->fate->result = result;
    }
    turn->fate->ends = 1;
}

static void end_refusal(round_t *r, turn_t *turn)
{
    cs_refusal_end_t end;
    const char *line;
    json_t *words;

    cs_refusal_end(turn->refusal, &end);
    turn->refusal = NULL;
    json_object_foreach(end.refused, line, words) {
        add_line(&applied_of(turn)->refused, line, json_string_value(words), r->b->p);
    }
    if (end.result.cls != CS_CLASS_OK) {
        fail_step(turn, &end.result);
    }
    else if (end.after) {
        step_done(r->b, turn, end.after);
    }
    else {
        step_done_already(turn, turn->item->record);
    }
    if (end.left) {
        drop_left(r, turn, end.left);
    }
}

/* The next send of every step that is being halved, together. */
static int halve(round_t *r, turn_t **turns, cs_crm_write_t *writes, int n, int crm)
{
    int i, left = 0;

    for (i = 0; i < n; ++i) {
        if (cs_refusal_next(turns[i]->refusal, &writes[left])) {
            turns[left++] = turns[i];
        }
        else {
            end_refusal(r, turns[i]);
        }
    }
    if (!left) {
        return 0;
    }
    r->b->lane->crm_impl[crm]->write(r->b->lane->crm[crm], writes, left, cs_time_mono() + STAGE,
                                     r->b->p);
    CS_CRASH_POINT("apply-halved");
    for (i = 0; i < left; ++i) {
        account(r, turns[i], &writes[i]);
        cs_refusal_take(turns[i]->refusal, &writes[i]);
    }
    return left;
}

/* ---- a round ---- */

static int fill_writes(round_t *r, cs_crm_write_t *writes, turn_t **mine, int crm, int *plists)
{
    int i, n = 0;

    for (i = 0; i < r->turns->nelts; ++i) {
        turn_t *turn = &APR_ARRAY_IDX(r->turns, i, turn_t);
        if (turn->item->crm == crm && !applied_of(turn)->tried &&
            !is_everywhere(&turn->fate->result)) {
            fill_write(r, &writes[n], turn);
            mine[n++] = turn;
            *plists |= is_aside(turn->step);
        }
    }
    return n;
}

static void write_turns(round_t *r, int crm)
{
    apr_size_t room = (apr_size_t)r->turns->nelts + 1;
    cs_crm_write_t *writes = apr_pcalloc(r->b->p, sizeof(*writes) * room);
    turn_t **mine = apr_pcalloc(r->b->p, sizeof(*mine) * room);
    int lists = 0, n = fill_writes(r, writes, mine, crm, &lists), i, twins = 0, halving = 0;

    if (!n) {
        return;
    }
    r->b->lane->crm_impl[crm]->write(r->b->lane->crm[crm], writes, n, cs_time_mono() + STAGE,
                                     r->b->p);
    CS_CRASH_POINT("apply-written");
    if (lists) {
        CS_CRASH_POINT("apply-list-written");
    }
    /* Both kinds of leftovers are gathered at the front, behind what was taken already. */
    for (i = 0; i < n; ++i) {
        if (is_twin(mine[i], &writes[i])) {
            account(r, mine[i], &writes[i]);
            applied_of(mine[i])->result = writes[i].result;
            writes[twins] = writes[i];
            mine[twins++] = mine[i];
        }
        else {
            take_write(r, mine[i], &writes[i]);
        }
    }
    if (twins) {
        cs_lane_cache_clear(r->b->lane);
        read_twins(r, mine, writes, twins, crm);
    }
    for (i = 0; i < r->turns->nelts; ++i) {
        turn_t *turn = &APR_ARRAY_IDX(r->turns, i, turn_t);
        if (turn->item->crm == crm && turn->refusal) {
            mine[halving++] = turn;
        }
    }
    while (halving) {
        halving = halve(r, mine, writes, halving, crm);
    }
}

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

    r->turns = apr_array_make(r->b->p, r->b->items->nelts + 1, sizeof(turn_t));
    for (i = 0; i < r->b->items->nelts; ++i) {
        add_turns(r, i);
    }
    for (i = 0; i < r->turns->nelts; ++i) {
        const turn_t *turn = &APR_ARRAY_IDX(r->turns, i, turn_t);
        cs_symbols_collect(r->symbols, turn->item, turn->step);
    }
    for (crm = 0; crm < r->b->lane->site->ncrms; ++crm) {
        cs_symbols_resolve(r->symbols, crm);
    }
    for (i = 0; i < r->turns->nelts; ++i) {
        resolve_turn(r, &APR_ARRAY_IDX(r->turns, i, turn_t));
    }
    for (crm = 0; crm < r->b->lane->site->ncrms; ++crm) {
        write_turns(r, crm);
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
