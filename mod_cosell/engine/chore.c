/* engine/chore.c: work that is no look at a deal.
 *
 * Jobs, polls and sweeps have turns of their own (job.c, poll.c). Kinds that this version accepts
 * and does not do stay outstanding and are shown. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "batch.h"
#include "poll.h"

/* Ids that a poll remembers why it was asked for. */
#define POLL_REASONS 200

/* ---- later ---- */

static void keep_for_later(cs_batch_t *b, cs_work_t *work)
{
    cs_result_t *why = apr_pcalloc(b->p, sizeof(*why));
    cs_change_t *change;

    cs_result_set(why, b->p, APR_ENOTIMPL, CS_CLASS_RETRY, "work:kind",
                  "a %s is asked for; this version does none", work->kind);
    work->problem_class = cs_class_name(why->cls);
    work->problem = why->problem;
    work->detail = why->detail;
    change = cs_batch_change(b, CS_CHANGE_WORK_LATER);
    change->work = work;
    change->result = why;
    change->at = work->due =
        b->now + (b->lane->site->poll > 0 ? b->lane->site->poll : apr_time_from_sec(300));
}

void cs_batch_pin_crms(cs_batch_t *b)
{
    int crm;

    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        cs_lane_pin(b->lane, crm, b->changes, b->p);
    }
}

void cs_batch_chores(cs_batch_t *b, const apr_array_header_t *works)
{
    int i;

    cs_batch_pin_crms(b);
    for (i = 0; i < works->nelts; ++i) {
        cs_work_t *work = APR_ARRAY_IDX(works, i, cs_work_t *);
        if (strcmp(work->kind, CS_WORK_LOOK) && strcmp(work->kind, CS_WORK_POLL) &&
            strcmp(work->kind, CS_WORK_SWEEP) && strcmp(work->kind, CS_WORK_WATCH)) {
            keep_for_later(b, work);
        }
    }
}

/* ---- asking for a list ---- */

/* The poll's own row remembers for whom it was asked, so that one id is journalled once. */
static int is_new_reason(cs_batch_t *b, cs_work_t *poll, const char *reason)
{
    apr_array_header_t *rows = apr_array_make(b->p, 1, sizeof(cs_work_t *));
    int i;

    for (i = 0; i < b->changes->nelts; ++i) {
        const cs_change_t *change = &APR_ARRAY_IDX(b->changes, i, cs_change_t);
        if (change->kind == CS_CHANGE_WORK_ADD && !strcmp(change->work->kind, CS_WORK_POLL) &&
            json_object_get(change->work->hints, reason)) {
            return 0;
        }
    }
    APR_ARRAY_PUSH(rows, cs_work_t *) = poll;
    return cs_store_refresh(b->lane->store, rows, b->p, NULL) == APR_SUCCESS &&
           !json_object_get(poll->hints, reason) && json_object_size(poll->hints) < POLL_REASONS;
}

void cs_batch_ask_for_list(cs_batch_t *b, cs_item_t *item)
{
    const char *reason = apr_pstrcat(b->p, CS_POLL_REASON, item->asked, NULL);
    cs_work_t *poll = apr_pcalloc(b->p, sizeof(*poll));

    poll->site = b->lane->site->name;
    poll->kind = CS_WORK_POLL;
    poll->name = CS_POLL_REFERRALS;
    poll->hints = cs_json_own(json_object(), b->p);
    if (!is_new_reason(b, poll, reason) || cs_poll_is_answered(b, item->asked)) {
        return;
    }
    poll->hints = cs_json_own(json_object(), b->p);
    json_object_set_new(poll->hints, reason, json_integer(1));
    poll->first = poll->due = b->now;
    cs_batch_change(b, CS_CHANGE_WORK_ADD)->work = poll;
    cs_item_journal(b, item, "related", "refused",
                    apr_psprintf(b->p, "the related referral %s cannot be read (%s); a list of all "
                                 "referrals is asked for",
                                 item->asked,
                                 item->result.problem ? item->result.problem : "no reason"));
}
