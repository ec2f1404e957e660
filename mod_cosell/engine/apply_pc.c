/* engine/apply_pc.c: stage 6 towards Partner Center: guarded changes of referrals.
 *
 * Round by round, one step of each item; a round goes out together. What is refused for its data
 * is sent again without the lines that are to blame, all such of a round together, too. A lost
 * guard ends its item before anything is written to the CRM: what was planned there was planned
 * from what is no longer so. What depends on a step in the CRM goes out after it. */
#include <string.h>

#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crash.h"
#include "../base/json.h"
#include "apply.h"

#define ROUNDS_MAX 4
#define STAGE apr_time_from_sec(120)

/* One step of one item in this round. */
typedef struct turn_t {
    cs_item_t *item;
    const cs_step_t *step;
    cs_applied_t *applied;
    const char *guard;
    cs_pc_refusal_t *refusal;
} turn_t;

typedef struct patches_t {
    cs_batch_t *b;
    apr_array_header_t *turns; /* turn_t */
    cs_pc_write_t *writes;
    turn_t **whose;
} patches_t;

/* ---- whose turn it is ---- */

/* A step of this very look left the referral with another eTag. */
static const char *guard_now(const cs_item_t *item, int index)
{
    const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, index, cs_step_t *), *before;
    const char *guard = step->guard;
    int i;

    for (i = 0; i < index; ++i) {
        before = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        if (cs_step_is_pc(before) && item->applied[i].card && before->id && step->id &&
            !strcmp(before->id, step->id)) {
            guard = item->applied[i].card->etag;
        }
    }
    return guard;
}

static int next_step(const cs_item_t *item)
{
    int i;

    for (i = 0; !item->over && item->plan && item->plan->what == CS_PLAN_STEPS &&
                i < item->plan->steps->nelts;
         ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        if (step->send && step->kind == CS_STEP_PATCH_PC && !item->applied[i].tried &&
            cs_step_may_follow(item, step)) {
            return i;
        }
    }
    return -1;
}

static void collect(patches_t *t)
{
    int i;

    apr_array_clear(t->turns);
    for (i = 0; i < t->b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(t->b->items, i, cs_item_t *);
        int index = item->work ? next_step(item) : -1;
        if (index >= 0) {
            turn_t *turn = apr_array_push(t->turns);
            memset(turn, 0, sizeof(*turn));
            turn->item = item;
            turn->step = APR_ARRAY_IDX(item->plan->steps, index, cs_step_t *);
            turn->applied = &item->applied[index];
            turn->guard = guard_now(item, index);
        }
    }
}

/* ---- how a turn ends ---- */

static void done(patches_t *t, turn_t *turn, const cs_card_t *card)
{
    turn->applied->tried = turn->applied->done = 1;
    turn->applied->card = card;
    cs_result_clear(&turn->applied->result);
    cs_count(CS_COUNT_PC_UPDATED, 1);
    ++t->b->updated;
}

static void fail(turn_t *turn, const cs_result_t *result)
{
    turn->applied->tried = 1;
    turn->applied->result = *result;
    cs_item_fail(turn->item, CS_UPSTREAM_PC, result);
}

/* Nothing of it was taken, and no repetition helps: its lines are refused, the CRM's part goes on.
 * A step of no line lets Microsoft see the deal: without that there is no invitation. */
static void refuse(patches_t *t, turn_t *turn, const cs_result_t *result)
{
    int i;

    turn->applied->tried = 1;
    turn->applied->result = *result;
    if (!turn->step->lines || !turn->step->lines->nelts) {
        cs_posted_hidden(t->b, turn->item, turn->step, result);
        return;
    }
    for (i = 0; i < turn->step->lines->nelts; ++i) {
        const char *line = APR_ARRAY_IDX(turn->step->lines, i, const char *);
        if (!json_object_get(turn->applied->refused, line)) {
            cs_lines_add(&turn->applied->refused, line, cs_result_words(result), t->b->p);
        }
    }
}

static void fail_for_many(patches_t *t, turn_t *turn, const apr_array_header_t *left)
{
    cs_result_t result = {0};
    int i;

    for (i = 0; i < left->nelts; ++i) {
        cs_lines_add(&turn->applied->dropped, APR_ARRAY_IDX(left, i, const char *),
                     "other values were refused first: sent with the next look", t->b->p);
    }
    cs_result_set(&result, t->b->p, CS_ELIMIT, CS_CLASS_CONFLICT, "lines:many",
                  "%d values are left for the next look: too many others were refused",
                  left->nelts);
    cs_item_fail(turn->item, CS_UPSTREAM_PC, &result);
}

static void end_refusal(patches_t *t, turn_t *turn)
{
    cs_refusal_end_t end;
    const cs_card_t *card;

    cs_pc_refusal_end(turn->refusal, &end, &card);
    turn->refusal = NULL;
    turn->applied->refused = end.refused;
    if (end.result.cls != CS_CLASS_OK) {
        fail(turn, &end.result);
    }
    else if (end.wrote) {
        done(t, turn, card);
    }
    else {
        cs_result_t why = turn->applied->result;
        refuse(t, turn, &why);
    }
    if (end.result.cls == CS_CLASS_OK && end.left) {
        fail_for_many(t, turn, end.left);
    }
}

static void take(patches_t *t, turn_t *turn, const cs_pc_write_t *write)
{
    cs_applied_account(t->b, turn->item, turn->applied, write->calls, write->took,
                       write->correlation);
    if (turn->refusal) {
        cs_pc_refusal_take(turn->refusal, write);
        return;
    }
    switch (write->result.cls) {
    case CS_CLASS_OK:
        done(t, turn, write->card);
        break;
    case CS_CLASS_DATA:
        turn->applied->result = write->result;
        turn->refusal = cs_pc_refusal_begin(turn->step, write, t->b->p);
        break;
    case CS_CLASS_REFUSED:
        refuse(t, turn, &write->result);
        break;
    default:
        fail(turn, &write->result);
    }
}

/* ---- sending ---- */

/* Where the answer of a change showed nothing, the referral is read: what follows is guarded by
 * what it is now. */
static void read_back(patches_t *t, int n)
{
    cs_pc_read_t *reads = apr_pcalloc(t->b->p, sizeof(*reads) * (apr_size_t)(n + 1));
    int *which = apr_pcalloc(t->b->p, sizeof(*which) * (apr_size_t)(n + 1));
    int i, m = 0;

    for (i = 0; i < n; ++i) {
        if (t->writes[i].result.cls == CS_CLASS_OK && !t->writes[i].card) {
            reads[m].id = t->writes[i].id;
            reads[m].trace = t->writes[i].trace;
            which[m++] = i;
        }
    }
    if (!m) {
        return;
    }
    cs_pc_get(t->b->lane->pc, reads, m, cs_time_mono() + STAGE, t->b->p);
    for (i = 0; i < m; ++i) {
        t->writes[which[i]].card = reads[i].result.cls == CS_CLASS_OK ? reads[i].card : NULL;
        cs_applied_account(t->b, t->whose[which[i]]->item, t->whose[which[i]]->applied,
                           reads[i].calls, reads[i].took, reads[i].correlation);
    }
}

static void send_all(patches_t *t, int n)
{
    int i;

    cs_pc_patch(t->b->lane->pc, t->writes, n, cs_time_mono() + STAGE, t->b->p);
    CS_CRASH_POINT("patch-sent");
    read_back(t, n);
    for (i = 0; i < n; ++i) {
        take(t, t->whose[i], &t->writes[i]);
    }
}

/* The next send of every step that is being halved, together. */
static int halve(patches_t *t)
{
    int i, n = 0;

    for (i = 0; i < t->turns->nelts; ++i) {
        turn_t *turn = &APR_ARRAY_IDX(t->turns, i, turn_t);
        if (!turn->refusal) {
            continue;
        }
        if (cs_pc_refusal_next(turn->refusal, &t->writes[n])) {
            t->whose[n++] = turn;
        }
        else {
            end_refusal(t, turn);
        }
    }
    if (n) {
        send_all(t, n);
    }
    return n;
}

static int play_round(patches_t *t)
{
    int i;

    collect(t);
    for (i = 0; i < t->turns->nelts; ++i) {
        turn_t *turn = &APR_ARRAY_IDX(t->turns, i, turn_t);
        memset(&t->writes[i], 0, sizeof(t->writes[i]));
        t->writes[i].id = turn->step->id;
        t->writes[i].guard = turn->guard;
        t->writes[i].trace = turn->item->trace;
        t->writes[i].body = turn->step->columns;
        t->whose[i] = turn;
    }
    if (t->turns->nelts) {
        send_all(t, t->turns->nelts);
        while (halve(t)) {
        }
    }
    return t->turns->nelts;
}

static void play(cs_batch_t *b)
{
    apr_size_t room = (apr_size_t)b->items->nelts + 1;
    patches_t t = {b, apr_array_make(b->p, b->items->nelts + 1, sizeof(turn_t)),
                   apr_pcalloc(b->p, sizeof(cs_pc_write_t) * room),
                   apr_pcalloc(b->p, sizeof(turn_t *) * room)};
    int rounds = 0;

    while (rounds++ < ROUNDS_MAX && play_round(&t)) {
    }
}

apr_status_t cs_batch_apply_pc(cs_batch_t *b, cs_result_t *res)
{
    play(b);
    return cs_batch_post(b, res);
}

void cs_batch_apply_pc_after(cs_batch_t *b)
{
    play(b);
}
