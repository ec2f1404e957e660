/* engine/turn.c: how long one turn of a lane may take.
 *
 * A batch is large where nobody waits for its end: the CRM takes dozens of rows in one request.
 * What takes time is Partner Center, a request or two per deal at the rate that its limiter lets
 * through. So its cards are fetched in portions of a few seconds, and once somebody waits for a job
 * the batch ends with the portions it has: what is left was not asked for, and is still due. */
#include "../remote/limiter.h"
#include "apply.h"
#include "job.h"

#define CLAIM_MAX 200
/* Looks whose cards Partner Center shows in some seconds, one request after the other. */
#define CLAIM_SECONDS 20
#define PORTION apr_time_from_sec(5)
#define REQUESTS_A_LOOK 2
/* A CRM is asked a few times per batch, and once more for so many rows that are written. */
#define CRM_SECONDS 10
#define CRM_REQUESTS 3
#define ROWS_A_REQUEST 25
/* Requests that write to Partner Center in one batch: a change is one; a new referral is sought,
 * posted and shown to others. */
#define WRITE_SECONDS 20
#define WRITE_SECONDS_CALLED 5
#define REQUESTS_A_POST 4
#define JOBS_AT_ONCE 50

static int within(double n, int least, int most)
{
    return n < least ? least : n > most ? most : (int)n;
}

static double pc_pace(const cs_lane_t *lane)
{
    const cs_upstream_t *upstream = lane->site->pc.upstream;

    return cs_limiter_pace(&lane->pc_limiter, upstream ? upstream->rate : 0);
}

static int claim_for_crm(const cs_lane_t *lane, int crm)
{
    const cs_upstream_t *upstream = lane->site->crms[crm].cfg.upstream;
    double pace = cs_limiter_pace(&lane->crm_limiter[crm], upstream ? upstream->rate : 0);

    return pace > 0 ? within((pace * CRM_SECONDS - CRM_REQUESTS) * ROWS_A_REQUEST, ROWS_A_REQUEST,
                             CLAIM_MAX)
                    : CLAIM_MAX;
}

int cs_turn_claim(const cs_lane_t *lane)
{
    double pace = pc_pace(lane);
    int i, n = pace > 0 ? within(pace * CLAIM_SECONDS, 1, CLAIM_MAX) : CLAIM_MAX;

    for (i = 0; i < lane->site->ncrms; ++i) {
        int room = claim_for_crm(lane, i);
        n = room < n ? room : n;
    }
    return n;
}

/* By the rate, and by what the last portion took. */
static int portion_of(const cs_lane_t *lane)
{
    const cs_upstream_t *upstream = lane->site->pc.upstream;
    int at_once = upstream && upstream->concurrency > 0 ? upstream->concurrency : 1;
    double pace = pc_pace(lane), seconds = (double)PORTION / APR_USEC_PER_SEC;
    int n = pace > 0 ? within(pace * seconds / REQUESTS_A_LOOK, 1, CLAIM_MAX) : CLAIM_MAX;
    int m = lane->look_took > 0
                ? within((double)PORTION / (double)lane->look_took, 2 * at_once, CLAIM_MAX)
                : CLAIM_MAX;

    return m < n ? m : n;
}

void cs_turn_measure(cs_lane_t *lane, int looks, apr_interval_time_t took)
{
    lane->look_took = looks > 0 && took > 0 ? took / looks : 0;
}

apr_array_header_t *cs_turn_portion(const cs_batch_t *b, const apr_array_header_t *items, int first)
{
    int n = b->dry || b->job ? items->nelts : portion_of(b->lane);
    apr_array_header_t *out = apr_array_make(b->p, n + 1, sizeof(cs_item_t *));

    for (; first < items->nelts && n > 0; ++first) {
        cs_item_t *item = APR_ARRAY_IDX(items, first, cs_item_t *);
        APR_ARRAY_PUSH(out, cs_item_t *) = item;
        n -= !item->over;
    }
    return out;
}

int cs_turn_called(const cs_batch_t *b)
{
    return !b->dry && !b->job && cs_jobs_wait(b->lane, JOBS_AT_ONCE, b->p);
}

/* ---- what would be written ---- */

static int requests_of(const cs_item_t *item)
{
    int i, n = 0;

    for (i = 0; item->plan->what == CS_PLAN_STEPS && i < item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
        if (step->send && cs_step_is_pc(step)) {
            n += step->kind == CS_STEP_POST_PC ? REQUESTS_A_POST : 1;
        }
    }
    return n;
}

static void put_off(cs_batch_t *b, cs_item_t *item)
{
    cs_result_t why = {0};

    cs_result_set(&why, b->p, CS_ESTALE, CS_CLASS_THROTTLED, "lane:turn",
                  "its turn comes next: Partner Center lets few requests through");
    item->plan = NULL;
    cs_item_fail(item, CS_UPSTREAM_PC, &why);
    item->put_off = item->untouched = 1;
}

void cs_batch_put_off_long(cs_batch_t *b)
{
    double pace = pc_pace(b->lane), room;
    int i, n, taken = 0;

    if (pace <= 0 || b->job) {
        return;
    }
    room = pace * (cs_turn_called(b) ? WRITE_SECONDS_CALLED : WRITE_SECONDS);
    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->over || !item->work || !item->plan || item->copy_of ||
            !(n = requests_of(item))) {
            continue;
        }
        if (taken && taken + n > room) {
            put_off(b, item);
        }
        else {
            taken += n;
        }
    }
}
