/* engine/quota.c: what the CRMs tell of their quotas, for the status page: stored now and then, for
 * it moves with every request. Whether something is sent at all the client decides; it says so by
 * suspending. (deals 7) */
#include <apr_strings.h>

#include "../base/json.h"
#include "lane.h"

#define AGAIN apr_time_from_sec(60)

static int has_moved(const cs_lane_quota_t *stored, const cs_crm_usage_t *now)
{
    apr_int64_t by = now->used > stored->used ? now->used - stored->used : stored->used - now->used;

    if (!stored->stored || now->most != stored->most || now->kept != stored->kept) {
        return 1;
    }
    return by > 0 && (by >= now->most / 100 || cs_time_boot() - stored->stored >= AGAIN);
}

static const char *text_of(const cs_crm_usage_t *usage, apr_pool_t *p)
{
    return cs_json_print(cs_json_own(json_pack("{s:I, s:I, s:I, s:s}", "used",
                                               (json_int_t)usage->used, "most",
                                               (json_int_t)usage->most, "kept",
                                               (json_int_t)usage->kept, "at",
                                               cs_time_format(usage->at, p)),
                                     p),
                         p);
}

static void remember(cs_lane_quota_t *stored, const cs_crm_usage_t *usage)
{
    stored->used = usage->used;
    stored->most = usage->most;
    stored->kept = usage->kept;
    stored->stored = cs_time_boot();
}

static int usage_of(const cs_lane_t *lane, int crm, cs_crm_usage_t *usage)
{
    const cs_crm_impl_t *impl = lane->crm_impl[crm];

    *usage = (cs_crm_usage_t){0};
    if (impl && impl->usage) {
        impl->usage(lane->crm[crm], usage);
    }
    return usage->most > 0;
}

int cs_quota_is_used_up(const cs_lane_t *lane, int crm, cs_result_t *why, apr_pool_t *p)
{
    cs_crm_usage_t usage;

    if (!usage_of(lane, crm, &usage) || usage.used < usage.most - usage.kept) {
        return 0;
    }
    cs_result_set(why, p, CS_EREMOTE, CS_CLASS_SUSPEND, "quota:daily",
                  "%" APR_INT64_T_FMT " of %" APR_INT64_T_FMT " requests of the day are used, and "
                  "%" APR_INT64_T_FMT " are kept for others",
                  usage.used, usage.most, usage.kept);
    return 1;
}

apr_status_t cs_quota_store(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 2, sizeof(cs_change_t));
    cs_crm_usage_t usage[CS_SITE_CRMS_MAX];
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv;
    int crm;

    for (crm = 0; crm < lane->site->ncrms; ++crm) {
        if (usage_of(lane, crm, &usage[crm]) && has_moved(&lane->quota[crm], &usage[crm])) {
            cs_lane_fact(apr_pstrcat(ptemp, CS_FACT_QUOTA, lane->site->crms[crm].cfg.name, NULL),
                         text_of(&usage[crm], ptemp), changes);
        }
        else {
            usage[crm].most = 0;
        }
    }
    if (!changes->nelts) {
        return APR_SUCCESS;
    }
    rv = cs_store_write(lane->store, &lease, changes, ptemp, res);
    for (crm = 0; rv == APR_SUCCESS && crm < lane->site->ncrms; ++crm) {
        if (usage[crm].most) {
            remember(&lane->quota[crm], &usage[crm]);
        }
    }
    return rv;
}
