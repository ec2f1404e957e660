/* httpd/admin_site.c: one site's overview. */
#include "admin.h"

#include <apr_strings.h>
#include <string.h>

#include "../engine/lane.h"
#include "../engine/timers.h"

#define LIST_FEW 20
#define TIMERS_MOST 64
#define CAUSES_FEW 10
#define JOBS_READ 30
#define JOBS_ENDED 5

/* ---- work ---- */

/* Polls and sweeps come back for ever; they have a list of their own. */
static int is_timer(const cs_work_t *work)
{
    return !strcmp(work->kind, CS_WORK_POLL) || !strcmp(work->kind, CS_WORK_SWEEP);
}

static json_t *list_work(cosell_page_t *page, const cosell_site_t *site, int state, int max)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_work_list(page->store, site->cfg.name, state,
                                              max + TIMERS_MOST, &list, page->p, &page->res))) {
        for (i = 0; i < list->nelts && (int)json_array_size(json) < max; i++) {
            const cs_work_t *work = APR_ARRAY_IDX(list, i, cs_work_t *);

            if (!is_timer(work)) {
                json_array_append_new(json, cosell_work_json(work, page->p));
            }
        }
    }
    return json;
}

/* When it last read something, when it comes next, and what is wrong. */
static json_t *poll_json(cosell_page_t *page, const cosell_site_t *site, const cs_timer_t *timer)
{
    const char *cursor = NULL;
    cs_work_t *work = NULL;
    apr_time_t last = 0;
    json_t *json = json_object();

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_work_named(page->store, site->cfg.name, timer->kind,
                                               timer->name, &work, page->p, &page->res)) &&
        cosell_may_ask(page)) {
        cosell_asked(page, cs_store_cursor_get(page->store, site->cfg.name, timer->cursor, &cursor,
                                               &last, page->p, &page->res));
    }
    cosell_put(json, "kind", json_string(timer->kind));
    cosell_put(json, "name", json_string(timer->name));
    cosell_put(json, "every", json_integer(apr_time_sec(timer->every)));
    cosell_put(json, "last", cosell_time_json(last, page->p));
    cosell_put(json, "next", cosell_time_json(work ? work->due : 0, page->p));
    cosell_put(json, "attempts", json_integer(work ? work->attempts : 0));
    cosell_put(json, "problem", cosell_text_json(work ? work->problem : NULL));
    cosell_put(json, "detail", cosell_text_json(work ? work->detail : NULL));
    return json;
}

static json_t *polls_json(cosell_page_t *page, const cosell_site_t *site)
{
    const apr_array_header_t *timers = cs_timers_of(&site->cfg, page->p);
    json_t *list = json_array();
    int i;

    for (i = 0; i < timers->nelts && i < TIMERS_MOST; i++) {
        json_array_append_new(list, poll_json(page, site, &APR_ARRAY_IDX(timers, i, cs_timer_t)));
    }
    return list;
}

/* ---- facts ---- */

/* Members that are microseconds become times. */
static json_t *with_times(json_t *json, const char *const *names, apr_pool_t *p)
{
    for (; json && *names; names++) {
        if (cs_json_get(json, *names)) {
            cosell_put(json, *names, cosell_time_json(cs_json_int(json, *names, 0), p));
        }
    }
    return json ? json : json_null();
}

static void put_facts(cosell_page_t *page, const cosell_site_t *site, json_t *json)
{
    static const char *const paused[] = {"at", NULL}, *const token[] = {"signed_in", "rotated",
                                                                        "ends", NULL};
    static const char *const webhook[] = {"read", "delivered", NULL};

    cosell_put(json, "paused",
               with_times(cosell_fact_json(page, site, CS_FACT_PAUSED, ""), paused, page->p));
    cosell_put(json, "token",
               with_times(cosell_fact_json(page, site, CS_FACT_TOKEN, ""), token, page->p));
    cosell_put(json, "webhook",
               with_times(cosell_fact_json(page, site, CS_FACT_WEBHOOK, ""), webhook, page->p));
    cosell_hide_query(json_object_get(json, "webhook"), "url", page->p);
}

static const cs_upstream_t *upstream_of(const cosell_site_t *site, int crm)
{
    return crm < 0 ? site->cfg.pc.upstream : site->cfg.crms[crm].cfg.upstream;
}

/* What may be sent where, as configured. */
static json_t *upstreams_json(const cosell_site_t *site)
{
    json_t *list = json_array();
    int i;

    for (i = -1; i < site->cfg.ncrms; i++) {
        const cs_upstream_t *upstream = upstream_of(site, i);
        json_t *json = json_object();

        cosell_put(json, "name",
                   json_string(i < 0 ? CS_UPSTREAM_PC : site->cfg.crms[i].cfg.name));
        cosell_put(json, "url", cosell_text_json(i < 0 ? NULL : site->cfg.crms[i].cfg.url));
        cosell_put(json, "rate", json_real(upstream ? upstream->rate : 0));
        cosell_put(json, "concurrency", json_integer(upstream ? upstream->concurrency : 0));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *breakers_json(cosell_page_t *page, const cosell_site_t *site)
{
    json_t *list = json_array();
    int i;

    for (i = -1; i < site->cfg.ncrms; i++) {
        const char *upstream = i < 0 ? CS_UPSTREAM_PC : site->cfg.crms[i].cfg.name;
        json_t *json = cosell_fact_json(page, site, CS_FACT_BREAKER, upstream);

        if (json_is_object(json)) {
            cosell_put(json, "upstream", json_string(upstream));
            json_array_append(list, json);
        }
        json_decref(json);
    }
    return list;
}

/* What does not fit between mapping and CRM, how far a changed mapping has come, and how many of
 * the CRM's requests of the day are used. */
static void put_crm_state(cosell_page_t *page, const cosell_site_t *site, const char *crm,
                          json_t *json)
{
    json_t *misfits = cosell_fact_json(page, site, CS_FACT_MISFITS, crm);
    json_t *planned = cosell_fact_json(page, site, CS_FACT_PLANNED, crm);
    json_t *quota = cosell_fact_json(page, site, CS_FACT_QUOTA, crm);

    cosell_put(json, "misfits", misfits ? misfits : json_array());
    cosell_put(json, "planned", planned ? planned : json_null());
    cosell_put(json, "quota", quota ? quota : json_null());
}

static json_t *crms_json(cosell_page_t *page, const cosell_site_t *site)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < site->cfg.ncrms; i++) {
        const cs_site_crm_t *crm = &site->cfg.crms[i];
        json_t *json = json_object();

        cosell_put(json, "name", json_string(crm->cfg.name));
        cosell_put(json, "type", json_string(crm->cfg.type));
        cosell_put(json, "url", json_string(crm->cfg.url));
        cosell_put(json, "mapping", cosell_text_json(crm->mapping_path));
        cosell_put(json, "revision",
                   cosell_text_json(crm->mapping ? cs_mapping_revision(crm->mapping) : NULL));
        cosell_put(json, "digest",
                   cosell_text_json(crm->mapping ? cs_mapping_digest(crm->mapping) : NULL));
        put_crm_state(page, site, crm->cfg.name, json);
        json_array_append_new(list, json);
    }
    return list;
}

/* ---- the lane ---- */

/* In a word: what keeps it from working, or what it does. */
static const char *lane_state(const cosell_site_t *site, const cs_store_counts_t *counts,
                              const json_t *suspended, const json_t *paused)
{
    if (site->cfg.degraded) {
        return "degraded";
    }
    if (cosell_node->cfg.workers == 0) {
        return "accepting only";
    }
    if (json_is_object(paused)) {
        return "paused";
    }
    if (json_array_size(suspended) > 0) {
        return "suspended";
    }
    return counts->outstanding > 0 ? "working" : "idle";
}

static json_t *lane_json(const cosell_site_t *site, const cs_store_counts_t *counts,
                         const json_t *suspended, const json_t *paused, apr_pool_t *p)
{
    json_t *json = json_object();

    cosell_put(json, "state", json_string(lane_state(site, counts, suspended, paused)));
    cosell_put(json, "outstanding", json_integer(counts->outstanding));
    cosell_put(json, "dead", json_integer(counts->dead));
    cosell_put(json, "suspended", json_integer(counts->suspended));
    cosell_put(json, "oldest", cosell_time_json(counts->oldest, p));
    return json;
}

static void put_counts(cosell_page_t *page, const cosell_site_t *site, json_t *json,
                       cs_store_counts_t *counts)
{
    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_counts(page->store, site->cfg.name, counts, page->p,
                                           &page->res))) {
        cosell_put(json, "deals", json_integer(counts->deals));
        cosell_put(json, "journal", json_integer(counts->journal));
        cosell_put(json, "deliveries", json_integer(counts->deliveries));
    }
}

int cosell_add_site(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    cs_store_counts_t counts = { 0 };
    json_t *json = json_object(), *suspended;

    cosell_put(json, "site", json_string(site->cfg.name));
    cosell_put(json, "host", cosell_text_json(site->cfg.vhost));
    cosell_put(json, "degraded", cosell_text_json(site->cfg.degraded));
    put_facts(page, site, json);
    cosell_put(json, "crms", crms_json(page, site));
    cosell_put(json, "upstreams", upstreams_json(site));
    cosell_put(json, "breakers", breakers_json(page, site));
    put_counts(page, site, json, &counts);
    suspended = cosell_suspensions_json(page, site);
    cosell_put(json, "lane", lane_json(site, &counts, suspended, cs_json_get(json, "paused"),
                                       page->p));
    cosell_put(json, "suspended", suspended);
    cosell_put(json, "totals", cosell_totals_json(page, site));
    cosell_put(json, "causes", cosell_causes_json(page, site, CAUSES_FEW));
    cosell_put(json, "jobs", cosell_jobs_json(page, site, JOBS_READ, JOBS_ENDED));
    cosell_put(json, "polls", polls_json(page, site));
    cosell_put(json, "work", list_work(page, site, CS_WORK_READY, LIST_FEW));
    cosell_put(json, "dead", list_work(page, site, CS_WORK_DEAD, LIST_FEW));
    json_array_append_new(baton, json);
    return 0;
}
