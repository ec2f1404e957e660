/* engine/site.h: a site's configuration, and its lane: one site's connections, tokens, limiters and
 * lease.
 *
 * Configuration is made by the module (or a test) before any process starts and never changes; a
 * reload makes a new one. Secrets in it are empty except in the process that loads them (the
 * runner).
 */
#ifndef CS_ENGINE_SITE_H
#define CS_ENGINE_SITE_H

#include "../domain/mapping.h"
#include "../domain/signature.h"
#include "../remote/crm.h"
#include "../remote/partner_center/partner_center.h"
#include "../store/store.h"

#define CS_SITE_CRMS_MAX 8

typedef struct cs_site_crm_t {
    cs_crm_config_t cfg;
    const char *mapping_path;
    const cs_mapping_t *mapping; /* NULL when it could not be loaded */
} cs_site_crm_t;

/* How often the registration of the webhook is read: a take-over is named within a minute. */
#define CS_SITE_WATCH apr_time_from_sec(40)
/* How long a CRM may be silent before it is asked whether it answers. */
#define CS_SITE_PULSE apr_time_from_sec(20)

typedef struct cs_site_config_t {
    const char *name;         /* CosellSite */
    const char *vhost, *file; /* for messages: "name:port", "file:line" */
    cs_pc_config_t pc;
    int ncrms;
    cs_site_crm_t crms[CS_SITE_CRMS_MAX];
    cs_trust_config_t trust;
    const cs_trust_t *trusted; /* the bundles of `trust`, parsed while they could be read (as root);
                                * NULL = they could not, and no certificate is fetched */
    const cs_upstream_t *certificate; /* upstream of certificate fetches */
    apr_interval_time_t poll, sweep;
    apr_interval_time_t watch; /* of the webhook's registration: CS_SITE_WATCH; 0 = never */
    apr_interval_time_t pulse; /* of a silent CRM: CS_SITE_PULSE; 0 = never */
    const char *degraded; /* why this site answers 503; NULL = it does not */
} cs_site_config_t;

#endif
