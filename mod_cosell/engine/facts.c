/* engine/facts.c: what the store says about a site and its lane keeps in memory: organisations,
 * suspended upstreams and the brakes among them. */
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "../base/log.h"
#include "lane.h"

#define PROBE_FIRST apr_time_from_sec(60)
#define PROBE_MAX apr_time_from_sec(900)
#define RELAPSE apr_time_from_sec(3600)
#define PIN_AGAIN apr_time_from_sec(60)
#define PIN_PATIENCE apr_time_from_sec(30)
#define PROBLEM_PIN "config:organization"

static int is_brake(const char *upstream)
{
    return !strncmp(upstream, CS_BRAKE, sizeof(CS_BRAKE) - 1);
}

/* Few; each is kept once. */
static const char *brake_name(cs_lane_t *lane, const char *upstream)
{
    int i;

    for (i = 0; i < lane->brakes->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(lane->brakes, i, const char *), upstream)) {
            return APR_ARRAY_IDX(lane->brakes, i, const char *);
        }
    }
    return APR_ARRAY_PUSH(lane->brakes, const char *) = apr_pstrdup(lane->pool, upstream);
}

/* Names of configured upstreams outlive the lane, so that nothing is copied into its pool again and
 * again. */
static const char *configured_name(cs_lane_t *lane, const char *upstream)
{
    int crm = cs_lane_crm_index(lane, upstream);

    if (is_brake(upstream)) {
        return brake_name(lane, upstream);
    }
    return crm >= 0 ? lane->site->crms[crm].cfg.name : CS_UPSTREAM_PC;
}

static void suspension_put(cs_lane_t *lane, const char *upstream, apr_time_t probe)
{
    cs_lane_suspension_t *s = cs_lane_suspension(lane, upstream);

    if (!s) {
        s = apr_array_push(lane->suspended);
        s->upstream = configured_name(lane, upstream);
        s->failures = 0;
        s->problem[0] = '\0';
    }
    s->probe = probe;
}

static void note_reason(cs_lane_suspension_t *s, const char *problem)
{
    apr_cpystrn(s->problem, problem ? problem : "?", sizeof(s->problem));
}

static void suspension_remove(cs_lane_t *lane, cs_lane_suspension_t *s)
{
    cs_lane_suspension_t *last = apr_array_pop(lane->suspended);

    if (last != s) {
        *s = *last;
    }
}

static const char *pin_name(const cs_lane_t *lane, int crm, apr_pool_t *p)
{
    return apr_pstrcat(p, CS_FACT_ORGANIZATION, lane->site->crms[crm].cfg.name, NULL);
}

static apr_status_t load_pins(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    const char *text;
    int crm;

    for (crm = 0; rv == APR_SUCCESS && crm < lane->site->ncrms; ++crm) {
        rv = cs_store_meta_get(lane->store, lane->site->name, pin_name(lane, crm, ptemp), &text,
                               ptemp, res);
        memset(&lane->pin[crm], 0, sizeof(lane->pin[crm]));
        if (rv == APR_SUCCESS && text) {
            apr_cpystrn(lane->pin[crm].organization, text, sizeof(lane->pin[crm].organization));
        }
    }
    return rv;
}

/* What was done before it, another store knew: one that was lost, perhaps. */
static apr_status_t load_beginning(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 1, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    const char *text;
    apr_status_t rv = cs_store_meta_get(lane->store, lane->site->name, CS_FACT_BEGUN, &text, ptemp,
                                        res);

    lane->begun = rv == APR_SUCCESS && text ? apr_atoi64(text) : cs_time_now();
    if (rv == APR_SUCCESS && !text) {
        cs_lane_fact(CS_FACT_BEGUN, apr_psprintf(ptemp, "%" APR_TIME_T_FMT, lane->begun), changes);
        rv = cs_store_write(lane->store, &lease, changes, ptemp, res);
    }
    return rv;
}

static apr_status_t load_pause(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *text = NULL;
    apr_status_t rv = cs_store_meta_get(lane->store, lane->site->name, CS_FACT_PAUSED, &text, ptemp,
                                        res);

    lane->paused = rv == APR_SUCCESS && text != NULL;
    return rv;
}

apr_status_t cs_lane_facts_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res)
{
    apr_array_header_t *list;
    const char *organization;
    apr_status_t rv;
    int i;

    if (lane->facts_loaded) {
        return APR_SUCCESS;
    }
    rv =
        cs_store_meta_get(lane->store, lane->site->name, "organization", &organization, ptemp, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!lane->organization && organization) {
        cs_lane_learn(lane, organization);
    }
    rv = cs_store_suspended(lane->store, lane->site->name, &list, ptemp, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* A new runner may have new secrets: ask at once whether what was suspended works again. */
    for (i = 0; i < list->nelts; ++i) {
        const cs_suspended_t *known = &APR_ARRAY_IDX(list, i, cs_suspended_t);
        suspension_put(lane, known->upstream, is_brake(known->upstream) ? 0 : cs_time_now());
        note_reason(cs_lane_suspension(lane, known->upstream), known->problem);
    }
    rv = cs_breaker_load(lane, ptemp, res);
    if (rv == APR_SUCCESS) {
        rv = cs_brake_load(lane, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_planned_load(lane, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        rv = load_pins(lane, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        rv = load_beginning(lane, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        rv = load_pause(lane, ptemp, res);
    }
    if (rv == APR_SUCCESS) {
        rv = cs_keep_alive_load(lane, ptemp, res);
    }
    lane->facts_loaded = rv == APR_SUCCESS;
    return rv;
}

const char *cs_chosen_fact(apr_int64_t deal, apr_pool_t *p)
{
    return apr_psprintf(p, CS_FACT_CHOSEN "%" APR_INT64_T_FMT, deal);
}

void cs_lane_facts_forget(cs_lane_t *lane)
{
    int i;

    lane->facts_loaded = lane->timers_set = 0;
    lane->organization = lane->site->pc.organization;
    apr_array_clear(lane->suspended);
    for (i = 0; i < lane->site->ncrms; ++i) {
        lane->metadata[i].misfits = NULL;
        lane->metadata[i].doubted = 1;
    }
}

const char *cs_lane_learn(cs_lane_t *lane, const char *organization)
{
    apr_cpystrn(lane->learnt, organization, sizeof(lane->learnt));
    lane->organization = lane->learnt;
    return lane->organization;
}

cs_lane_suspension_t *cs_lane_suspension(cs_lane_t *lane, const char *upstream)
{
    int i;

    for (i = 0; i < lane->suspended->nelts; ++i) {
        cs_lane_suspension_t *s = &APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t);
        if (!strcmp(s->upstream, upstream)) {
            return s;
        }
    }
    return NULL;
}

static void suspend_change(cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                           apr_time_t probe, apr_array_header_t *changes)
{
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_SUSPEND;
    change->system = upstream;
    change->result = why;
    change->at = probe;
    suspension_put(lane, upstream, probe);
}

static cs_lane_relapse_t *relapse_of(cs_lane_t *lane, const char *upstream)
{
    cs_lane_relapse_t *r;
    int i;

    for (i = 0; i < lane->relapses->nelts; ++i) {
        r = &APR_ARRAY_IDX(lane->relapses, i, cs_lane_relapse_t);
        if (!strcmp(r->upstream, upstream)) {
            return r;
        }
    }
    r = apr_array_push(lane->relapses);
    memset(r, 0, sizeof(*r));
    r->upstream = configured_name(lane, upstream);
    return r;
}

/* How often in a row this upstream stopped for the same reason soon after its probe had been good.
 */
static int count_relapse(cs_lane_t *lane, const char *upstream, const char *problem)
{
    cs_lane_relapse_t *r = relapse_of(lane, upstream);
    int same = r->resumed && cs_time_now() - r->resumed < RELAPSE && !strcmp(r->problem, problem);

    r->times = same ? r->times + 1 : 0;
    return r->times;
}

static apr_interval_time_t probe_wait(int failures)
{
    apr_interval_time_t wait = PROBE_FIRST << (failures < 4 ? failures : 4);

    return wait < PROBE_MAX ? wait : PROBE_MAX;
}

static void log_suspended(const cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                          apr_interval_time_t wait, cs_log_level_e level)
{
    cs_log(level, 0, lane->site->name,
           CSLOGNO(2003) "%s is suspended: %s (%s); it is asked again in %d s, then more and more "
                         "rarely until it is every %d minutes, and at once with cosellctl resume; "
                         "its work resumes by itself",
           upstream, why->detail ? why->detail : "no detail", why->problem ? why->problem : "?",
           (int)apr_time_sec(wait + APR_USEC_PER_SEC - 1),
           (int)(apr_time_sec(PROBE_MAX) / 60));
}

void cs_lane_suspend(cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                     apr_array_header_t *changes, apr_pool_t *p)
{
    apr_interval_time_t wait;
    cs_result_t *kept;
    int relapses;

    if (cs_lane_suspension(lane, upstream)) {
        return;
    }
    kept = apr_pcalloc(p, sizeof(*kept));
    cs_result_copy(kept, why, p);
    if (is_brake(upstream)) {
        suspend_change(lane, brake_name(lane, upstream), kept, 0, changes);
        cs_log(CS_LOG_ERR, 0, lane->site->name, CSLOGNO(2005) "%s: %s", upstream,
               kept->detail ? kept->detail : "no detail");
        return;
    }
    relapses = count_relapse(lane, upstream, kept->problem ? kept->problem : "?");
    wait = probe_wait(relapses);
    suspend_change(lane, upstream, kept, cs_time_now() + wait, changes);
    note_reason(cs_lane_suspension(lane, upstream), kept->problem);
    log_suspended(lane, upstream, kept, wait, relapses ? CS_LOG_INFO : CS_LOG_ERR);
}

void cs_lane_ask_again(cs_lane_t *lane)
{
    apr_time_t now = cs_time_now();
    int i;

    for (i = 0; i < lane->suspended->nelts; ++i) {
        cs_lane_suspension_t *s = &APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t);
        if (!is_brake(s->upstream)) {
            s->probe = now;
            s->failures = 0;
        }
    }
    for (i = 0; i < CS_LANE_UPSTREAMS; ++i) {
        lane->breaker[i].probe = 0;
        lane->breaker[i].probes = 0;
    }
    apr_array_clear(lane->relapses);
}

const char *cs_lane_waits_for(const cs_lane_t *lane, apr_pool_t *p)
{
    const char *names = NULL;
    int i;

    for (i = 0; i <= lane->site->ncrms; ++i) {
        const char *name = cs_lane_upstream(lane, i < lane->site->ncrms ? i : CS_LANE_PC);
        if (cs_lane_suspension((cs_lane_t *)lane, name) || cs_breaker_open(lane, name)) {
            names = names ? apr_pstrcat(p, names, ", ", name, NULL) : name;
        }
    }
    return names;
}

apr_time_t cs_lane_next_probe(const cs_lane_t *lane)
{
    apr_time_t next = 0;
    int i;

    for (i = 0; i < lane->suspended->nelts; ++i) {
        apr_time_t probe = APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t).probe;
        if (probe && (!next || probe < next)) {
            next = probe;
        }
    }
    return next;
}

const char *cs_lane_upstream(const cs_lane_t *lane, int index)
{
    return index == CS_LANE_PC ? CS_UPSTREAM_PC : lane->site->crms[index].cfg.name;
}

int cs_lane_upstream_index(const cs_lane_t *lane, const char *name)
{
    return name && !strcmp(name, CS_UPSTREAM_PC) ? CS_LANE_PC : cs_lane_crm_index(lane, name);
}

/* ---- which organisation a CRM is ---- */

static const char *pinned(const cs_lane_t *lane, int crm)
{
    const char *configured = lane->site->crms[crm].cfg.organization;
    const char *learnt = lane->pin[crm].organization;

    return configured ? configured : *learnt ? learnt : NULL;
}

static apr_status_t ask_who(cs_lane_t *lane, int crm, cs_crm_whoami_t *who,
                            apr_interval_time_t patience, apr_pool_t *ptemp, cs_result_t *res)
{
    const char *wanted = pinned(lane, crm);
    apr_status_t rv = lane->crm_impl[crm]->whoami(lane->crm[crm], who, cs_time_mono() + patience,
                                                  ptemp, res);

    if (rv != APR_SUCCESS || !wanted || !who->organization ||
        cs_row_id_same(lane->crm_impl[crm]->facts->id_form, wanted, who->organization)) {
        return rv;
    }
    return cs_result_set(res, ptemp, CS_EREMOTE, CS_CLASS_SUSPEND, PROBLEM_PIN,
                         "%s answers as the organisation %s, ours is %s: a copy of it is not "
                         "written to",
                         lane->site->crms[crm].cfg.name, who->organization, wanted);
}

apr_status_t cs_lane_ask(cs_lane_t *lane, int upstream, apr_pool_t *ptemp, cs_result_t *res)
{
    cs_crm_whoami_t who;

    memset(&who, 0, sizeof(who));
    if (upstream != CS_LANE_PC) {
        apr_status_t rv = ask_who(lane, upstream, &who, PIN_PATIENCE, ptemp, res);
        /* It answers a probe, and would be asked for nothing else. */
        return rv == APR_SUCCESS && cs_quota_is_used_up(lane, upstream, res, ptemp) ? res->rv : rv;
    }
    return cs_pc_probe(lane->pc, cs_time_mono() + PIN_PATIENCE, ptemp, res);
}

apr_status_t cs_lane_feel(cs_lane_t *lane, int upstream, apr_interval_time_t patience,
                          apr_pool_t *ptemp, cs_result_t *res)
{
    cs_crm_whoami_t who;

    if (upstream == CS_LANE_PC) {
        return cs_pc_probe(lane->pc, cs_time_mono() + patience, ptemp, res);
    }
    if (lane->crm_impl[upstream]->pulse) {
        return lane->crm_impl[upstream]->pulse(lane->crm[upstream], cs_time_mono() + patience,
                                               ptemp, res);
    }
    memset(&who, 0, sizeof(who));
    return ask_who(lane, upstream, &who, patience, ptemp, res);
}

static void learn_pin(cs_lane_t *lane, int crm, const char *organization,
                      apr_array_header_t *changes, apr_pool_t *p)
{
    cs_lane_pin_t *pin = &lane->pin[crm];

    if (pin->organization[0] || !organization) {
        return;
    }
    apr_cpystrn(pin->organization, organization, sizeof(pin->organization));
    cs_lane_fact(pin_name(lane, crm, p), apr_pstrdup(p, organization), changes);
    cs_log(CS_LOG_NOTICE, 0, lane->site->name, CSLOGNO(2006) "%s is the organisation %s",
           lane->site->crms[crm].cfg.name, organization);
}

void cs_lane_pin(cs_lane_t *lane, int crm, apr_array_header_t *changes, apr_pool_t *p)
{
    const char *name = lane->site->crms[crm].cfg.name;
    cs_lane_pin_t *pin = &lane->pin[crm];
    cs_result_t res = {0};
    cs_crm_whoami_t who;

    if (pin->asked || cs_time_boot() < pin->next || cs_lane_suspension(lane, name) ||
        cs_breaker_open(lane, name)) {
        return;
    }
    memset(&who, 0, sizeof(who));
    if (ask_who(lane, crm, &who, PIN_PATIENCE, p, &res) == APR_SUCCESS) {
        pin->asked = 1;
        learn_pin(lane, crm, who.organization, changes, p);
        return;
    }
    /* Whatever else is wrong the work itself will meet. */
    pin->next = cs_time_boot() + PIN_AGAIN;
    if (res.cls == CS_CLASS_SUSPEND && res.problem && !strcmp(res.problem, PROBLEM_PIN)) {
        cs_lane_suspend(lane, name, &res, changes, p);
    }
}

void cs_lane_fact(const char *name, const char *text, apr_array_header_t *changes)
{
    cs_change_t *change = apr_array_push(changes);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_META;
    change->name = name;
    change->text = text;
}

void cs_lane_resume(cs_lane_t *lane, const char *upstream, apr_array_header_t *changes,
                    apr_pool_t *p)
{
    cs_lane_suspension_t *s = cs_lane_suspension(lane, upstream);
    cs_change_t *change;

    if (!s) {
        return;
    }
    change = apr_array_push(changes);
    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_RESUME;
    change->system = apr_pstrdup(p, upstream);
    change->at = cs_time_now();
    suspension_remove(lane, s);
}

static void resume(cs_lane_t *lane, cs_lane_suspension_t *s, apr_time_t now,
                   apr_array_header_t *changes, apr_pool_t *ptemp)
{
    cs_change_t *change = apr_array_push(changes);
    cs_lane_relapse_t *r = relapse_of(lane, s->upstream);

    memset(change, 0, sizeof(*change));
    change->kind = CS_CHANGE_RESUME;
    change->system = apr_pstrdup(ptemp, s->upstream);
    change->at = now;
    apr_cpystrn(r->problem, s->problem, sizeof(r->problem));
    r->resumed = now;
    cs_poll_resume(lane, change->system, changes, ptemp);
    if (cs_lane_crm_index(lane, change->system) >= 0) {
        cs_metadata_expire(lane, cs_lane_crm_index(lane, change->system));
    }
    cs_log(r->times ? CS_LOG_INFO : CS_LOG_NOTICE, 0, lane->site->name,
           CSLOGNO(2004) "%s works again; its work resumes", s->upstream);
    suspension_remove(lane, s);
}

/* Another reason asks something else of a person, perhaps after a reload with what was to mend the
 * first; a moment's trouble is none. */
static void say_new_reason(const cs_lane_t *lane, cs_lane_suspension_t *s, const cs_result_t *why,
                           apr_interval_time_t wait)
{
    const char *problem = why->problem ? why->problem : "?";

    if ((why->cls == CS_CLASS_SUSPEND || why->cls == CS_CLASS_TOKEN) &&
        strncmp(s->problem, problem, sizeof(s->problem) - 1)) {
        note_reason(s, problem);
        log_suspended(lane, s->upstream, why, wait, CS_LOG_ERR);
    }
}

static void postpone(cs_lane_t *lane, cs_lane_suspension_t *s, apr_time_t now,
                     const cs_result_t *why, apr_array_header_t *changes)
{
    apr_interval_time_t wait = probe_wait(s->failures);

    ++s->failures;
    wait = wait / 2 + cs_backoff(0, wait / 2, wait / 2, 0);
    say_new_reason(lane, s, why, wait);
    suspend_change(lane, s->upstream, why, now + wait, changes);
}

apr_status_t cs_lane_probe(cs_lane_t *lane, apr_time_t now, apr_pool_t *ptemp)
{
    apr_array_header_t *changes = apr_array_make(ptemp, 2, sizeof(cs_change_t));
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv;
    int i;

    for (i = lane->suspended->nelts - 1; i >= 0; --i) {
        cs_lane_suspension_t *s = &APR_ARRAY_IDX(lane->suspended, i, cs_lane_suspension_t);
        cs_result_t *why = apr_pcalloc(ptemp, sizeof(*why));
        int upstream = cs_lane_upstream_index(lane, s->upstream);
        if (!s->probe || s->probe > now) {
            continue;
        }
        /* One that is not configured any more has nobody to ask: Partner Center stands for it. */
        rv = cs_lane_ask(lane, upstream >= 0 ? upstream : CS_LANE_PC, ptemp, why);
        if (rv == APR_SUCCESS) {
            resume(lane, s, now, changes, ptemp);
        }
        else {
            postpone(lane, s, now, why, changes);
        }
    }
    if (!changes->nelts) {
        return APR_SUCCESS;
    }
    rv = cs_store_write(lane->store, &lease, changes, ptemp, NULL);
    if (rv != APR_SUCCESS) {
        cs_lane_facts_forget(lane);
    }
    return rv;
}
