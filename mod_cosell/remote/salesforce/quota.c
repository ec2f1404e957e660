/* The requests of a day. (crm-apis.md B9, B10) */
#include "client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/time.h"

#define RESERVE_DEFAULT 5

/* Digits at *pat; -1 = there are none, or too many. */
static apr_int64_t read_count(const char **pat)
{
    apr_size_t len = strspn(*pat, "0123456789");
    apr_int64_t n = len && len < 16 ? apr_atoi64(*pat) : -1;

    *pat += len;
    return n;
}

/* "api-usage=25/5000; per-app-api-usage=17/250(appName=sample)" */
void cs_sf_quota_take(cs_crm_t *crm, const apr_table_t *headers)
{
    static const char name[] = "api-usage=";
    const char *text = headers ? apr_table_get(headers, "Sforce-Limit-Info") : NULL, *at = text;
    apr_int64_t used, most;

    while (at && (at = strstr(at, name)) != NULL && at > text && at[-1] == '-') {
        at++;
    }
    if (!at) {
        return;
    }
    at += sizeof(name) - 1;
    used = read_count(&at);
    most = *at == '/' ? (at++, read_count(&at)) : -1;
    if (used >= 0 && most > 0) {
        cs_sf_quota_set(crm, used, most);
    }
}

void cs_sf_quota_set(cs_crm_t *crm, apr_int64_t used, apr_int64_t most)
{
    int percent = crm->cfg.upstream ? crm->cfg.upstream->reserve : -1;

    percent = percent < 0 ? RESERVE_DEFAULT : percent > 100 ? 100 : percent;
    crm->usage.used = used;
    crm->usage.most = most;
    crm->usage.kept = (most * percent + 99) / 100;
    crm->usage.at = cs_time_now();
}

int cs_sf_quota_over(const cs_crm_t *crm, cs_result_t *res, apr_pool_t *p)
{
    const cs_crm_usage_t *u = &crm->usage;

    if (u->most <= 0 || u->used < u->most - u->kept) {
        return 0;
    }
    cs_result_set(res, p, CS_ELIMIT, CS_CLASS_SUSPEND, "quota:daily",
                  "%s: %" APR_INT64_T_FMT " of %" APR_INT64_T_FMT
                  " requests of the last 24 hours are used, and the last %" APR_INT64_T_FMT
                  " are kept for others (reserve=)",
                  crm->cfg.name, u->used, u->most, u->kept);
    return 1;
}

void cs_sf_usage(const cs_crm_t *crm, cs_crm_usage_t *usage)
{
    *usage = crm->usage;
}
