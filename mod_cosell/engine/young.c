/* engine/young.c: a record that changed a moment ago.
 *
 * Where versions have a grain of a second, one read within it may stand for what somebody writes
 * later in that second, and a write guarded by it would go over that. So a look that would write
 * such a record is put off: nothing is sent, stored or said of it, and it costs no attempt. One
 * that somebody edits without a pause is written after a few of these: the guard still holds for
 * all but its last second. (deals 2) */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "apply.h"

#define PAUSE apr_time_from_sec(2)
#define PAUSES_MAX 5
#define PROBLEM "crm:young:" /* how often it was put off follows */

/* Rows that belong to the record are versions of their own. */
static int writes_young(const cs_item_t *item, const cs_step_t *step)
{
    if (step->list) {
        return (step->kind == CS_STEP_UPDATE || step->kind == CS_STEP_DELETE) && step->guard &&
               strchr(step->guard, '~');
    }
    return item->record->young && (step->kind == CS_STEP_UPDATE || step->kind == CS_STEP_REOPEN ||
                                   step->kind == CS_STEP_CALL);
}

static int must_wait(const cs_item_t *item)
{
    int i;

    for (i = 0; item->plan->what == CS_PLAN_STEPS && i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        if (step->send && writes_young(item, step)) {
            return 1;
        }
    }
    return 0;
}

static int pauses_of(const cs_work_t *work)
{
    return work->problem && !strncmp(work->problem, PROBLEM, sizeof(PROBLEM) - 1)
               ? atoi(work->problem + sizeof(PROBLEM) - 1)
               : 0;
}

static void put_off(cs_batch_t *b, cs_item_t *item, int pauses)
{
    cs_result_t why = {0};

    cs_result_set(&why, b->p, CS_ESTALE, CS_CLASS_THROTTLED,
                  apr_psprintf(b->p, PROBLEM "%d", pauses + 1),
                  "the record changed a moment ago: it is written once that second is over");
    item->plan = NULL;
    cs_item_fail(item, item->look.crm, &why);
    item->put_off = 1;
    item->work->due = cs_time_now() + PAUSE;
}

void cs_batch_put_off_young(cs_batch_t *b)
{
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over && item->work && item->plan && item->record && must_wait(item) &&
            pauses_of(item->work) < PAUSES_MAX) {
            put_off(b, item, pauses_of(item->work));
        }
    }
}
