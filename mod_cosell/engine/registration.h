/* engine/registration.h: where Partner Center sends its events, as we registered it and as it is:
 * the fact CS_FACT_WEBHOOK, and the watch that keeps it true. Inside the engine only.
 *
 * The watch reads the registration every CS_SITE_WATCH (site.h), so that a page, doctor and
 * CosellNotify name a take-over within a minute; that is some two thousand small requests a day,
 * one fortieth of what CosellUpstream's default rate allows. It repairs nothing: somebody did that
 * on purpose, and a person decides. A site that never registered through us is compared with
 * nothing. It goes on while the site is paused. */
#ifndef CS_ENGINE_REGISTRATION_H
#define CS_ENGINE_REGISTRATION_H

#include "batch.h"
#include "../remote/partner_center/webhooks.h"

/* Name of the watch's work row. */
#define CS_REGISTRATION "registration"

/* The site's fact, an object of p; empty when there is none. */
apr_status_t cs_registration_fact(cs_lane_t *lane, json_t **pfact, apr_pool_t *p, cs_result_t *res);
/* {"url", "events"} as it may be shown; null for NULL. A new reference. */
json_t *cs_registration_json(const cs_pc_hook_t *hook, apr_pool_t *p);
/* What was read just now (NULL = nothing is registered): "found", "read" and "drift" of the fact,
 * which goes into the changes. A drift that comes or goes is logged and journalled. */
void cs_registration_note(cs_lane_t *lane, json_t *fact, const cs_pc_hook_t *found, apr_time_t now,
                          apr_array_header_t *changes, apr_pool_t *p);
/* The watch's turn, when its time has come: at most one request, and one transaction. What goes
 * wrong at Partner Center is in the fact ("trouble") and in the row; an error is the store's. */
apr_status_t cs_registration_watch(cs_lane_t *lane, apr_pool_t *p, cs_result_t *res);

#endif
