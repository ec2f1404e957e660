/* engine/planned.c: looks that no notice asks for: deals whose next look is due, and all deals
 * of a CRM whose mapping has changed.
 *
 * Both go into the work table in portions, and only while nothing else is due, so that a live
 * edit waits for one portion at most. A portion and how far it came are one transaction: a
 * runner that is killed, or stopped for a week, goes on where it was. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "lane.h"

/* ---- what the store says ---- */

static const char *fact_of(const cs_lane_t *lane, const char *fact, int crm, apr_pool_t *p)
{
    return apr_pstrcat(p, fact, lane->site->crms[crm].cfg.name, NULL);
}

static apr_status_t get_fact(cs_lane_t *lane, const char *fact, int crm, const char **ptext,
                             apr_pool_t *p, cs_result_t *res)
{
    return cs_store_meta_get(lane->store, lane->site->name, fact_of(lane, fact, crm, p), ptext, p,
                             res);
}

static json_t *parse_fact(const char *text, apr_pool_t *p)
{
    json_t *fact = NULL;

    if (text) {
        cs_json_parse(&fact, text, strlen(text), NULL, p, NULL);
    }
    return fact ? cs_json_own(fact, p) : NULL;
}

static int same(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static apr_status_t load_one(cs_lane_t *lane, int crm, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *digest = cs_mapping_digest(lane->site->crms[crm].mapping);
    cs_lane_planned_t *planned = &lane->planned[crm];
    const char *done, *text = NULL;
    apr_status_t rv = get_fact(lane, CS_FACT_MAPPING, crm, &done, ptemp, res);
    const json_t *fact;

    if (rv == APR_SUCCESS) {
        rv = get_fact(lane, CS_FACT_PLANNED, crm, &text, ptemp, res);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    memset(planned, 0, sizeof(*planned));
    fact = parse_fact(text, ptemp);
    planned->active = text || !same(done, digest);
    if (fact && same(cs_json_str(fact, "digest"), digest)) {
        planned->after = cs_json_int(fact, "after", 0);
        planned->found = cs_json_int(fact, "found", 0);
    }
    else if (planned->active && done) {
        cs_log(CS_LOG_NOTICE, 0, lane->site->name,
               CSLOGNO(2070) "the mapping of %s has changed: its deals are looked at under it",
               lane->site->crms[crm].cfg.name);
    }
    return rv;
}

apr_status_t cs_planned_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int crm;

    for (crm = 0; rv == APR_SUCCESS && crm < lane->site->ncrms; ++crm) {
        if (lane->site->crms[crm].mapping) {
            rv = load_one(lane, crm, ptemp, res);
        }
    }
    return rv;
}

/* ---- portions ---- */

static int may_go_on(cs_lane_t *lane, int crm)
{
    const char *name = lane->site->crms[crm].cfg.name;

    return lane->planned[crm].active && !cs_brake_holds_mapping(lane, crm) &&
           !cs_lane_suspension(lane, CS_UPSTREAM_PC) && !cs_lane_suspension(lane, name) &&
           !cs_breaker_open(lane, CS_UPSTREAM_PC) && !cs_breaker_open(lane, name);
}

int cs_planned_active(cs_lane_t *lane)
{
    int crm;

    for (crm = 0; crm < lane->site->ncrms; ++crm) {
        if (may_go_on(lane, crm)) {
            return 1;
        }
    }
    return 0;
}

static void add_look(cs_lane_t *lane, apr_int64_t deal, const char *cause, apr_time_t now,
                     apr_array_header_t *changes, apr_pool_t *p)
{
    cs_change_t *change = apr_array_push(changes);
    cs_work_t *work = apr_pcalloc(p, sizeof(*work));

    work->site = lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = apr_psprintf(p, "deal:%" APR_INT64_T_FMT, deal);
    work->hints = cs_json_own(json_object(), p);
    json_object_set_new(work->hints, cause, json_integer(1));
    work->first = work->due = now;
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_WORK_ADD;
    change->work = work;
    change->at = now;
}

static apr_status_t add_due(cs_lane_t *lane, apr_time_t now, int room, apr_array_header_t *changes,
                            int *padded, apr_pool_t *p, cs_result_t *res)
{
    apr_array_header_t *ids;
    apr_status_t rv = cs_store_deals_due(lane->store, lane->site->name, now, room, &ids, p, res);
    int i;

    for (i = 0; rv == APR_SUCCESS && i < ids->nelts; ++i) {
        cs_change_t *change;
        add_look(lane, APR_ARRAY_IDX(ids, i, apr_int64_t), CS_CAUSE_AGAIN, now, changes, p);
        change = apr_array_push(changes);
        memset(change, 0, sizeof(*change));
        change->kind = CS_CHANGE_NEXT_LOOK;
        change->value = APR_ARRAY_IDX(ids, i, apr_int64_t);
        ++*padded;
    }
    return rv;
}

static const char *progress_text(const cs_lane_planned_t *planned, const char *digest,
                                 apr_pool_t *p)
{
    return cs_json_print(cs_json_own(json_pack("{s:s, s:I, s:I}", "digest", digest, "after",
                                               (json_int_t)planned->after, "found",
                                               (json_int_t)planned->found),
                                     p),
                         p);
}

static void finish(cs_lane_t *lane, int crm, const char *digest, apr_array_header_t *changes,
                   apr_pool_t *p)
{
    cs_lane_planned_t *planned = &lane->planned[crm];

    planned->active = 0;
    cs_lane_fact(fact_of(lane, CS_FACT_MAPPING, crm, p), digest, changes);
    cs_lane_fact(fact_of(lane, CS_FACT_PLANNED, crm, p), NULL, changes);
    cs_log(planned->found ? CS_LOG_NOTICE : CS_LOG_DEBUG, 0, lane->site->name,
           CSLOGNO(2071) "all deals of %s are or will be looked at under the mapping in force: "
                         "%" APR_INT64_T_FMT " were met under another one",
           lane->site->crms[crm].cfg.name, planned->found);
}

static apr_status_t add_of_mapping(cs_lane_t *lane, int crm, apr_time_t now, int room,
                                   apr_array_header_t *changes, int *padded, apr_pool_t *p,
                                   cs_result_t *res)
{
    const cs_site_crm_t *site = &lane->site->crms[crm];
    const char *digest = cs_mapping_digest(site->mapping);
    cs_lane_planned_t *planned = &lane->planned[crm];
    apr_array_header_t *ids;
    int i, left = 0;
    apr_status_t rv = cs_store_deals_of_mapping(lane->store, lane->site->name, site->cfg.name,
                                                digest, room, &planned->after, &ids, &left, p, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (i = 0; i < ids->nelts; ++i) {
        add_look(lane, APR_ARRAY_IDX(ids, i, apr_int64_t), CS_CAUSE_MAPPING, now, changes, p);
    }
    planned->found += ids->nelts;
    *padded += ids->nelts;
    if (!left) {
        finish(lane, crm, digest, changes, p);
        return rv;
    }
    *padded += !ids->nelts;
    cs_lane_fact(fact_of(lane, CS_FACT_PLANNED, crm, p), progress_text(planned, digest, p),
                 changes);
    cs_log(CS_LOG_INFO, 0, lane->site->name,
           CSLOGNO(2072) "mapping of %s: %" APR_INT64_T_FMT " deals looked at so far",
           site->cfg.name, planned->found);
    return rv;
}

apr_status_t cs_planned_portion(cs_lane_t *lane, apr_time_t now, int room, int *pmore,
                                apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 16, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv;
    int crm, added = 0;

    rv = add_due(lane, now, room, changes, &added, ptemp, res);
    for (crm = 0; rv == APR_SUCCESS && crm < lane->site->ncrms && added < room; ++crm) {
        if (may_go_on(lane, crm)) {
            rv = add_of_mapping(lane, crm, now, room - added, changes, &added, ptemp, res);
        }
    }
    if (rv == APR_SUCCESS && changes->nelts) {
        rv = cs_store_write(lane->store, &lease, changes, ptemp, res);
    }
    if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(lane);
    }
    *pmore |= rv == APR_SUCCESS && added > 0;
    return rv == APR_SUCCESS ? cs_poll_turn(lane, pmore, ptemp, res) : rv;
}
