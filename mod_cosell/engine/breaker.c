/* engine/breaker.c: an upstream that does not work at all is left alone, so that no deal's
 * patience is used up by it. (design 6)
 *
 * Closed: every batch says what it met. Open: the lane claims nothing that needs the upstream,
 * so no attempt is burnt and the work stays due; a probe after 5 s, then after pauses that
 * double up to a minute, closes it. A problem that the other end names by a code of its own is
 * an answer. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "apply.h"

#define ITEMS_IN_A_ROW 5
#define BATCHES_IN_A_ROW 3
#define PROBE_FIRST apr_time_from_sec(5)
#define PROBE_MAX apr_time_from_sec(60)
#define PROBE_FLOOR apr_time_from_sec(1)

static const char *fact_name(const cs_lane_t *lane, int upstream, apr_pool_t *p)
{
    return apr_pstrcat(p, CS_FACT_BREAKER, cs_lane_upstream(lane, upstream), NULL);
}

static int is_configured(const cs_lane_t *lane, int upstream)
{
    return upstream == CS_LANE_PC || upstream < lane->site->ncrms;
}

apr_status_t cs_breaker_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    const char *text;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < CS_LANE_UPSTREAMS; ++i) {
        if (!is_configured(lane, i)) {
            continue;
        }
        rv = cs_store_meta_get(lane->store, lane->site->name, fact_name(lane, i, ptemp), &text,
                               ptemp, res);
        memset(&lane->breaker[i], 0, sizeof(lane->breaker[i]));
        /* A new runner asks at once. */
        lane->breaker[i].open = rv == APR_SUCCESS && text;
    }
    return rv;
}

int cs_breaker_open(const cs_lane_t *lane, const char *upstream)
{
    int i = cs_lane_upstream_index(lane, upstream);

    return i >= 0 && lane->breaker[i].open;
}

apr_time_t cs_breaker_probe_at(const cs_lane_t *lane, const char *upstream, apr_time_t now)
{
    int i = cs_lane_upstream_index(lane, upstream);
    apr_interval_time_t left = i >= 0 ? lane->breaker[i].probe - cs_time_boot() : 0;

    return now + (left > PROBE_FLOOR ? left : PROBE_FLOOR);
}

int cs_breaker_stops_lane(const cs_lane_t *lane)
{
    int i, open = 0;

    for (i = 0; i < lane->site->ncrms; ++i) {
        open += lane->breaker[i].open;
    }
    return lane->breaker[CS_LANE_PC].open || (open && open == lane->site->ncrms);
}

int cs_breaker_probe_due(const cs_lane_t *lane)
{
    int i;

    for (i = 0; i < CS_LANE_UPSTREAMS; ++i) {
        if (lane->breaker[i].open && cs_time_boot() >= lane->breaker[i].probe) {
            return 1;
        }
    }
    return 0;
}

/* ---- opening and closing ---- */

static const char *open_text(const cs_result_t *why, apr_pool_t *p)
{
    return cs_json_print(cs_json_own(json_pack("{s:s, s:s, s:s*, s:s*}", "state", "open", "since",
                                               cs_time_format(cs_time_now(), p), "problem",
                                               why->problem, "detail", why->detail),
                                     p),
                         p);
}

static void open_breaker(cs_lane_t *lane, int upstream, const cs_result_t *why,
                         apr_array_header_t *changes, apr_pool_t *p)
{
    cs_lane_breaker_t *breaker = &lane->breaker[upstream];

    breaker->open = 1;
    breaker->probes = 0;
    breaker->probe = cs_time_boot() + PROBE_FIRST;
    cs_lane_fact(fact_name(lane, upstream, p), open_text(why, p), changes);
    cs_log(CS_LOG_WARNING, 0, lane->site->name,
           CSLOGNO(2080) "%s does not work: %s (%s); its work waits until a probe succeeds",
           cs_lane_upstream(lane, upstream), why->detail ? why->detail : "no detail",
           why->problem ? why->problem : "?");
}

static void close_breaker(cs_lane_t *lane, int upstream, apr_array_header_t *changes, apr_pool_t *p)
{
    memset(&lane->breaker[upstream], 0, sizeof(lane->breaker[upstream]));
    cs_lane_fact(fact_name(lane, upstream, p), NULL, changes);
    cs_log(CS_LOG_NOTICE, 0, lane->site->name, CSLOGNO(2081) "%s answers again",
           cs_lane_upstream(lane, upstream));
}

/* A write that we did not begin, for our own lease would not have outlived it, says nothing about
 * the other end. */
static int means_down(const cs_result_t *res)
{
    return (res->cls == CS_CLASS_RETRY || res->cls == CS_CLASS_UNKNOWN) && !res->of_row &&
           !(res->problem &&
             (!strncmp(res->problem, "internal:", 9) || !strcmp(res->problem, "lease")));
}

static void ask_again(cs_lane_t *lane, int upstream, apr_array_header_t *changes, apr_pool_t *ptemp)
{
    cs_lane_breaker_t *breaker = &lane->breaker[upstream];
    cs_result_t res = {0};

    /* Also a refusal is an answer: the work itself will meet it and wait for a person. */
    if (cs_lane_ask(lane, upstream, ptemp, &res) == APR_SUCCESS || !means_down(&res)) {
        close_breaker(lane, upstream, changes, ptemp);
        return;
    }
    ++breaker->probes;
    breaker->probe =
        cs_time_boot() + cs_backoff(breaker->probes, PROBE_FIRST, PROBE_MAX, PROBE_FLOOR);
}

apr_status_t cs_breaker_probe(cs_lane_t *lane, apr_pool_t *ptemp)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 2, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < CS_LANE_UPSTREAMS; ++i) {
        if (lane->breaker[i].open && cs_time_boot() >= lane->breaker[i].probe) {
            ask_again(lane, i, changes, ptemp);
        }
    }
    if (changes->nelts) {
        rv = cs_store_write(lane->store, &lease, changes, ptemp, NULL);
        if (rv != APR_SUCCESS) {
            cs_lane_facts_forget(lane);
        }
    }
    return rv;
}

/* ---- what a batch met ---- */

typedef enum { MET_NOTHING, MET_ANSWER, MET_FAILURE } met_e;

static int was_written(const cs_item_t *item)
{
    int i;

    for (i = 0; item->plan && i < item->plan->steps->nelts; ++i) {
        if (item->applied[i].done &&
            !cs_step_is_pc(APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *))) {
            return 1;
        }
    }
    return 0;
}

static met_e met(const cs_lane_t *lane, const cs_item_t *item, int upstream)
{
    const char *name = cs_lane_upstream(lane, upstream);
    int failed = item->over && !item->quiet && item->upstream && !strcmp(item->upstream, name);

    if (failed && means_down(&item->result)) {
        return MET_FAILURE;
    }
    if (failed && item->result.cls != CS_CLASS_OK) {
        return item->result.cls == CS_CLASS_THROTTLED || item->result.cls == CS_CLASS_SUSPEND
                   ? MET_NOTHING
                   : MET_ANSWER;
    }
    if (upstream == CS_LANE_PC) {
        return (item->asked_card || item->listed) && !item->ahead ? MET_ANSWER : MET_NOTHING;
    }
    return item->crm == upstream && (item->record_read || was_written(item)) ? MET_ANSWER
                                                                             : MET_NOTHING;
}

int cs_breaker_note(cs_lane_t *lane, int upstream, const cs_result_t *met,
                    apr_array_header_t *changes, apr_pool_t *p)
{
    cs_lane_breaker_t *breaker = &lane->breaker[upstream];

    if (!means_down(met)) {
        breaker->in_a_row = breaker->batches = 0;
        return 0;
    }
    ++breaker->batches;
    if (!breaker->open && breaker->batches >= BATCHES_IN_A_ROW) {
        open_breaker(lane, upstream, met, changes, p);
    }
    return !breaker->open;
}

static void note_batch(cs_batch_t *b, int upstream)
{
    cs_lane_breaker_t *breaker = &b->lane->breaker[upstream];
    const cs_result_t *why = NULL;
    int i, worst = 0, answers = 0, failures = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        met_e what = item->work ? met(b->lane, item, upstream) : MET_NOTHING;
        if (what == MET_FAILURE) {
            why = &item->result;
            ++failures;
            ++breaker->in_a_row;
        }
        else if (what == MET_ANSWER) {
            ++answers;
            breaker->in_a_row = 0;
        }
        worst = breaker->in_a_row > worst ? breaker->in_a_row : worst;
    }
    breaker->batches = answers ? 0 : breaker->batches + (failures > 0);
    if (!breaker->open && why && failures > answers &&
        (worst >= ITEMS_IN_A_ROW || breaker->batches >= BATCHES_IN_A_ROW)) {
        open_breaker(b->lane, upstream, why, b->changes, b->p);
    }
}

void cs_batch_breakers(cs_batch_t *b)
{
    int i;

    for (i = 0; i < CS_LANE_UPSTREAMS; ++i) {
        if (is_configured(b->lane, i)) {
            note_batch(b, i);
        }
    }
}
