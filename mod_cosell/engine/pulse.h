/* engine/pulse.h: an upstream that nothing is asked of is asked now and then whether it answers at
 * all, so that a CRM that is gone is named within a minute on a silent site, too. Inside the
 * engine only.
 *
 * A CRM is asked when it has answered nothing for CS_SITE_PULSE, by the cheapest request that its
 * client has (crm.h: `pulse`). Partner Center is not: its registration is read every CS_SITE_WATCH.
 * Whatever fails without being a look (a poll, the registration) only raises a doubt; the pulse
 * then asks whether it is the upstream or that one request, and a breaker opens, or an upstream is
 * suspended, for the pulse's own answer. */
#ifndef CS_ENGINE_PULSE_H
#define CS_ENGINE_PULSE_H

#include "lane.h"

/* A request of no look failed in a way that may mean that nothing works: ask soon. */
void cs_pulse_doubt(cs_lane_t *lane, int upstream);
/* 1 when an upstream wants to be asked. Only while no worker has the lane, or by that worker. */
int cs_pulse_due(const cs_lane_t *lane);
/* Asks those that are due, each with one request of some seconds at most, and stores in one
 * transaction what follows. An error is the store's. */
apr_status_t cs_pulse(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);

#endif
