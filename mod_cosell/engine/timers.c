/* engine/timers.c: the polls and sweeps that follow from a site's configuration and mappings. */
#include <string.h>

#include <apr_strings.h>

#include "timers.h"

static cs_timer_t *add(apr_array_header_t *list, const char *kind, const char *name,
                       apr_interval_time_t every, apr_pool_t *p)
{
    cs_timer_t *timer = apr_array_push(list);

    memset(timer, 0, sizeof(*timer));
    timer->kind = kind;
    timer->name = name;
    timer->cursor = apr_pstrcat(p, kind, ":", name, NULL);
    timer->every = every;
    timer->crm = -1;
    return timer;
}

static void add_tables(apr_array_header_t *list, const cs_site_config_t *site, int crm,
                       apr_pool_t *p)
{
    const apr_array_header_t *watched =
        site->crms[crm].mapping ? cs_mapping_watched(site->crms[crm].mapping) : NULL;
    int i;

    for (i = 0; watched && i < watched->nelts; ++i) {
        const cs_watched_t *w = &APR_ARRAY_IDX(watched, i, cs_watched_t);
        cs_timer_t *timer =
            add(list, CS_WORK_POLL, apr_pstrcat(p, site->crms[crm].cfg.name, "/", w->table, NULL),
                site->poll, p);
        timer->crm = crm;
        timer->watched = w;
    }
}

apr_array_header_t *cs_timers_of(const cs_site_config_t *site, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 16, sizeof(cs_timer_t));
    int crm;

    add(list, CS_WORK_POLL, CS_POLL_REFERRALS, site->poll, p);
    for (crm = 0; crm < site->ncrms; ++crm) {
        add_tables(list, site, crm, p);
    }
    add(list, CS_WORK_SWEEP, CS_SWEEP_DEALS, site->sweep, p);
    return list;
}

const cs_timer_t *cs_timer_named(const cs_site_config_t *site, const char *kind, const char *name,
                                 apr_pool_t *p)
{
    const apr_array_header_t *list = cs_timers_of(site, p);
    int i;

    for (i = 0; i < list->nelts; ++i) {
        const cs_timer_t *timer = &APR_ARRAY_IDX(list, i, cs_timer_t);
        if (!strcmp(timer->kind, kind) && !strcmp(timer->name, name)) {
            return timer;
        }
    }
    return NULL;
}
