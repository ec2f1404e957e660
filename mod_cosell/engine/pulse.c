#include "pulse.h"

#define AGAIN apr_time_from_sec(2)
/* With CS_SITE_PULSE, three that are not answered and AGAIN between them leave some of a minute. */
#define PATIENCE apr_time_from_sec(6)

static int is_stopped(const cs_lane_t *lane, int upstream)
{
    const char *name = cs_lane_upstream(lane, upstream);

    return cs_lane_suspension((cs_lane_t *)lane, name) || cs_breaker_open(lane, name);
}

/* An answer to anything counts; one that has no date is only known to who asked for it. */
static int is_silent(const cs_lane_t *lane, int crm)
{
    const cs_limiter_t *limiter = &lane->crm_limiter[crm];
    apr_time_t now = cs_time_now(), heard = limiter->dated ? limiter->dated : lane->born;

    return cs_time_boot() - lane->pulse[crm].asked >= lane->site->pulse &&
           (now - heard >= lane->site->pulse || now < heard) && limiter->pause_until <= now;
}

static int is_due(const cs_lane_t *lane, int upstream)
{
    const cs_lane_pulse_t *pulse = &lane->pulse[upstream];

    if (is_stopped(lane, upstream)) {
        return 0;
    }
    return pulse->next ? cs_time_boot() >= pulse->next
                       : upstream != CS_LANE_PC && is_silent(lane, upstream);
}

static int upstream_at(const cs_lane_t *lane, int i)
{
    return i < lane->site->ncrms ? i : CS_LANE_PC;
}

int cs_pulse_due(const cs_lane_t *lane)
{
    int i;

    for (i = 0; lane->site->pulse > 0 && i <= lane->site->ncrms; ++i) {
        if (is_due(lane, upstream_at(lane, i))) {
            return 1;
        }
    }
    return 0;
}

void cs_pulse_doubt(cs_lane_t *lane, int upstream)
{
    if (lane->site->pulse > 0 && upstream >= 0 && !lane->pulse[upstream].next) {
        lane->pulse[upstream].next = cs_time_boot();
    }
}

static void ask(cs_lane_t *lane, int upstream, apr_array_header_t *changes, apr_pool_t *ptemp)
{
    cs_result_t *met = apr_pcalloc(ptemp, sizeof(*met));
    cs_lane_pulse_t *pulse = &lane->pulse[upstream];

    cs_lane_feel(lane, upstream, PATIENCE, ptemp, met);
    pulse->asked = cs_time_boot();
    pulse->next = 0;
    if (met->cls == CS_CLASS_TOKEN || met->cls == CS_CLASS_SUSPEND) {
        cs_lane_suspend(lane, cs_lane_upstream(lane, upstream), met, changes, ptemp);
    }
    else if (cs_breaker_note(lane, upstream, met, changes, ptemp)) {
        pulse->next = pulse->asked + AGAIN;
    }
}

apr_status_t cs_pulse(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 2, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv = APR_SUCCESS;
    int i;

    if (!cs_pulse_due(lane)) {
        return APR_SUCCESS;
    }
    for (i = 0; i <= lane->site->ncrms; ++i) {
        if (is_due(lane, upstream_at(lane, i))) {
            ask(lane, upstream_at(lane, i), changes, ptemp);
        }
    }
    if (changes->nelts) {
        rv = cs_store_write(lane->store, &lease, changes, ptemp, res);
    }
    if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(lane);
    }
    return rv;
}
