/* engine/lane.h: one site's connections, tokens, limiters, caches and lease. Inside the engine
 * only.
 *
 * A lane is worked by at most one thread at a time (`busy`), so nothing inside it needs a lock,
 * except the lease, which the runner's main thread renews while a worker uses it (`lease_mutex`).
 */
#ifndef CS_ENGINE_LANE_H
#define CS_ENGINE_LANE_H

#include <apr_hash.h>
#include <apr_thread_mutex.h>
#include <stdatomic.h>
#include "../base/crypto.h"
#include "../base/log.h"
#include "../base/time.h"
#include "runner.h"
#include "../remote/partner_center/webhooks.h"

#define CS_UPSTREAM_PC "partner-center"

/* Names of per-site facts in the store; the CRM's configured name follows. */
#define CS_FACT_MISFITS "misfits:" /* JSON array: what does not fit its mapping */
#define CS_FACT_MAPPING "mapping:" /* digest under which all its deals were looked at */
#define CS_FACT_PLANNED "planned:" /* JSON: how far a changed mapping has come */
#define CS_FACT_ORGANIZATION "organization:" /* id of the CRM's organisation at first contact */
#define CS_FACT_QUOTA "quota:" /* JSON {"used", "most", "kept", "at"}: its requests of the day */
#define CS_FACT_BEGUN "begun" /* microseconds: when this store began to know the site */
#define CS_FACT_BREAKER "breaker:" /* JSON, of any upstream: why nothing is sent to it */
/* JSON array of row ids, of a deal whose number follows: which of several rows a person meant. */
#define CS_FACT_CHOSEN "chosen:"
#define CS_FACT_PAUSED "paused" /* JSON {"by", "at", "why"}: a person stopped looks and polls */
/* JSON {"account": text or absent, "signed_in": microseconds of the sign-in (absent = the token
 * came from a file: not known), "rotated": of the last rotation, "source": "login" or "file",
 * "ends": microseconds, where the answer said so (Entra does not: 90 days after `rotated`)}: of the
 * refresh token in force; absent while none was redeemed */
#define CS_FACT_TOKEN "token"
/* JSON {"url", "events": what we registered last; "found": {"url", "events"} or null as last read,
 * "read": microseconds, "drift": text for people, absent while it is as we registered it;
 * "trouble": why it could not be read since, or absent; "saved": the registration that ours
 * replaced, as it may be shown; "delivered": microseconds of the last callback}. Other people's
 * URLs are without what may be a secret. */
#define CS_FACT_WEBHOOK "webhook"
/* A brake's fact has the brake's name, followed for a mapping's by the CRM's; so has that brake
 * itself on a site that has several CRMs. */
#define CS_BRAKE_MAPPING CS_BRAKE "mapping"
#define CS_BRAKE_MISSING CS_BRAKE "missing:"
/* Its fact has the job's id as its cause. */
#define CS_BRAKE_RESYNC "resync"
/* No fact and no suspension: the deal itself says so. Its number follows. */
#define CS_BRAKE_QUARREL "quarrel:"

/* Indices of upstreams: CRMs in their order, then Partner Center. */
#define CS_LANE_PC CS_SITE_CRMS_MAX
#define CS_LANE_UPSTREAMS (CS_SITE_CRMS_MAX + 1)

#define CS_LEASE_TTL apr_time_from_sec(90)
#define CS_LEASE_RENEW apr_time_from_sec(15)

/* An upstream of this site that waits for a person; probed until it works again. Or a brake. */
typedef struct cs_lane_suspension_t {
    const char *upstream;
    apr_time_t probe; /* 0 = never: a brake */
    int failures;
    char problem[64];
} cs_lane_suspension_t;

/* An upstream that worked again by its probe and not for the work: a column that does not exist.
 * Its next pauses grow and it is not announced each time. */
typedef struct cs_lane_relapse_t {
    const char *upstream;
    char problem[64];
    apr_time_t resumed;
    int times;
} cs_lane_relapse_t;

/* What a CRM says about its tables, as last read. */
typedef struct cs_lane_metadata_t {
    apr_pool_t *pool;           /* own; NULL until it was read */
    const json_t *doc;          /* NULL until it was read */
    apr_interval_time_t read;   /* cs_time_boot() */
    apr_interval_time_t next;   /* cs_time_boot(): not asked again before */
    int failures;               /* in a row */
    int doubted; /* a write was refused for what metadata should have told; 2 = not believed */
    cs_log_state_t log;
    const char *misfits;        /* in pool: what does not fit, as stored; NULL = not compared yet */
} cs_lane_metadata_t;

/* A changed mapping on its way through the CRM's deals. */
typedef struct cs_lane_planned_t {
    int active;
    apr_int64_t after; /* id of the last deal that was considered */
    apr_int64_t found; /* deals that were to be looked at so far */
} cs_lane_planned_t;

typedef struct cs_lane_breaker_t {
    int in_a_row, batches; /* failures of different items, failed batches */
    int open, probes;
    apr_interval_time_t probe; /* cs_time_boot() */
} cs_lane_breaker_t;

/* What an upstream told us of itself (sign.c). */
typedef struct cs_lane_sign_t {
    apr_int64_t heard;         /* notices accepted from it when it was last looked at */
    apr_interval_time_t asked; /* cs_time_boot(): when a notice last made us ask; 0 = never */
} cs_lane_sign_t;

/* When an upstream was, and is, asked whether it answers at all (pulse.h). cs_time_boot() */
typedef struct cs_lane_pulse_t {
    apr_interval_time_t asked; /* 0 = not yet */
    apr_interval_time_t next;  /* 0 = when it has been silent for a while */
} cs_lane_pulse_t;

/* How many deals a cause has changed. */
typedef struct cs_lane_brake_t {
    char cause[72]; /* digest of the mapping, or the hour */
    apr_int64_t changed;
    apr_time_t released; /* by a person; 0 = not */
} cs_lane_brake_t;

/* A row that was sent to a CRM and not heard of, and that no key would find. */
typedef struct cs_lane_unheard_t {
    char digest[65];
    apr_interval_time_t until; /* cs_time_boot(): nobody asks for it again before */
} cs_lane_unheard_t;
#define CS_LANE_UNHEARD 64

/* What a CRM told of its quota, as last stored. */
typedef struct cs_lane_quota_t {
    apr_int64_t used, most, kept;
    apr_interval_time_t stored; /* cs_time_boot(); 0 = not yet */
} cs_lane_quota_t;

/* Which organisation of a CRM is ours: a copy of it is refused. (design 7.4) */
typedef struct cs_lane_pin_t {
    char organization[64];    /* as learnt; "" = not yet */
    int asked;                /* it was compared since the facts were loaded */
    apr_interval_time_t next; /* cs_time_boot(): not asked again before */
} cs_lane_pin_t;

typedef struct cs_lane_t {
    cs_runner_t *runner;
    const cs_node_config_t *node;
    const cs_site_config_t *site;
    apr_pool_t *pool; /* own allocator; lives as long as the lane */
    _Atomic int busy; /* a worker has it */
    int touched;      /* worked on since the last renewal (main thread) */
    apr_interval_time_t
        lease_refused; /* cs_time_boot() when another node was seen to hold it (main thread) */

    cs_store_t *store;
    cs_http_t *http;
    cs_limiter_t pc_limiter, login_limiter;
    cs_limiter_t crm_limiter[CS_SITE_CRMS_MAX];
    cs_pc_t *pc;
    cs_pc_hooks_t *hooks;
    const cs_crm_impl_t *crm_impl[CS_SITE_CRMS_MAX];
    cs_crm_t *crm[CS_SITE_CRMS_MAX];
    cs_vault_t vault;
    unsigned char key[CS_KEY_LEN];

    const char *organization;      /* configured or learnt; NULL = not yet */
    char learnt[64];               /* the bytes of a learnt one */
    int facts_loaded;              /* what follows was read from the store */
    apr_time_t begun;              /* when this store began to know the site */
    apr_array_header_t *suspended; /* cs_lane_suspension_t */
    apr_array_header_t *relapses;  /* cs_lane_relapse_t, at most one per upstream */
    apr_array_header_t *brakes;    /* const char *: names of brakes, each once */
    int paused;                    /* by a person: looks and polls wait */
    int token_asked;               /* whether there is a refresh token at all */
    apr_time_t token_rotated;      /* when the one in force came; 0 = not known */
    apr_time_t keepalive_at;       /* not redeemed for its own sake before */
    apr_time_t watch_at;           /* when the registration is read next; 0 = not known yet */
    apr_time_t watch_set;          /* when that was said */
    int timers_set;                /* the rows of polls and sweeps are there */
    apr_interval_time_t look_took; /* what fetching took per look, the last time; 0 = not known */
    int narrow;                    /* batches to come that are of one look each */
    char stuck[160];               /* the work whose transaction the store would not take alone */
    apr_time_t born;
    cs_lane_unheard_t unheard[CS_LANE_UNHEARD];
    cs_lane_quota_t quota[CS_SITE_CRMS_MAX];
    cs_lane_pin_t pin[CS_SITE_CRMS_MAX];
    cs_lane_planned_t planned[CS_SITE_CRMS_MAX];
    cs_lane_brake_t brake_mapping[CS_SITE_CRMS_MAX];
    cs_lane_brake_t brake_missing[CS_LANE_UPSTREAMS];
    cs_lane_brake_t brake_job;
    struct cs_ahead_t *ahead; /* cards read ahead for a resync (ahead.h); NULL = none */
    cs_lane_breaker_t breaker[CS_LANE_UPSTREAMS];
    cs_lane_pulse_t pulse[CS_LANE_UPSTREAMS];
    cs_lane_sign_t sign[CS_LANE_UPSTREAMS];
    cs_lane_metadata_t metadata[CS_SITE_CRMS_MAX];
    apr_pool_t *cache_pool;        /* resolved look-ups: symbol -> row id */
    apr_hash_t *cache;
    apr_time_t cache_since;
    apr_pool_t *watched_pool;      /* what records show, as last stored: deal id -> digest */
    apr_hash_t *watched;
    apr_interval_time_t pruned_at; /* cs_time_boot() of the last pruning; 0 = there is more */
    cs_log_state_t log_batch;      /* the worker's: batches that could not be carried through */

    apr_thread_mutex_t *lease_mutex;
    cs_lease_t lease; /* site and owner never change */
    int leased;
    apr_interval_time_t lease_boot; /* cs_time_boot() until which the lease is surely ours */
} cs_lane_t;

/* Opens nothing outside but the store handle (lazily). seal_key: CS_KEY_LEN bytes, copied. */
apr_status_t cs_lane_create(cs_lane_t **plane, const cs_node_config_t *node,
                            const cs_site_config_t *site, const unsigned char *seal_key,
                            apr_pool_t *parent, cs_result_t *res);
void cs_lane_destroy(cs_lane_t *lane);

/* The lease, by any thread. */
int cs_lane_leased(cs_lane_t *lane);
/* A consistent copy for the store's guarded calls. */
cs_lease_t cs_lane_lease(cs_lane_t *lane);
apr_status_t cs_lane_lease_take(cs_lane_t *lane, cs_store_t *store, const char *node,
                                apr_pool_t *ptemp, cs_result_t *res);
void cs_lane_lease_renew(cs_lane_t *lane, cs_store_t *store, apr_pool_t *ptemp);
void cs_lane_lease_drop(cs_lane_t *lane);
/* cs_may_write_fn: the lease outlives a write that takes at most timeout. */
int cs_lane_may_write(void *lane, apr_interval_time_t timeout);

/* ---- facts.c ---- */

/* Facts of the store that the lane keeps in memory: organisation, suspensions, brakes, breakers,
 * how far a changed mapping has come. Idempotent. */
apr_status_t cs_lane_facts_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);
/* After a transaction that failed: what memory says must be what the store says. The next batch
 * loads again. */
void cs_lane_facts_forget(cs_lane_t *lane);
/* NULL = not suspended. */
cs_lane_suspension_t *cs_lane_suspension(cs_lane_t *lane, const char *upstream);
/* Remembers and appends the change to be stored. The same upstream twice is one suspension. */
void cs_lane_suspend(cs_lane_t *lane, const char *upstream, const cs_result_t *why,
                     apr_array_header_t *changes, apr_pool_t *p);
/* Ends a suspension of any kind; its work is due now. */
void cs_lane_resume(cs_lane_t *lane, const char *upstream, apr_array_header_t *changes,
                    apr_pool_t *p);
/* Appends the change of a site's fact; text NULL removes it. */
void cs_lane_fact(const char *name, const char *text, apr_array_header_t *changes);
/* "partner-center" or the CRM's name, and back (-1 = neither). */
const char *cs_lane_upstream(const cs_lane_t *lane, int index);
int cs_lane_upstream_index(const cs_lane_t *lane, const char *name);
/* A cheap authenticated call. A CRM that answers as another organisation is SUSPEND. */
apr_status_t cs_lane_ask(cs_lane_t *lane, int upstream, apr_pool_t *ptemp, cs_result_t *res);
/* The cheapest request that shows whether it answers at all, which need not be authenticated; at
 * most `patience`. */
apr_status_t cs_lane_feel(cs_lane_t *lane, int upstream, apr_interval_time_t patience,
                          apr_pool_t *ptemp, cs_result_t *res);
/* CS_FACT_CHOSEN of this deal. */
const char *cs_chosen_fact(apr_int64_t deal, apr_pool_t *p);
/* Remembers the own organisation; text in memory of the lane's own. */
const char *cs_lane_learn(cs_lane_t *lane, const char *organization);
/* Earliest probe, 0 = none. */
apr_time_t cs_lane_next_probe(const cs_lane_t *lane);
/* A person wants to know: whoever is suspended, or behind an open breaker, is asked at the next
 * batch, and pauses begin anew. Brakes stay. */
void cs_lane_ask_again(cs_lane_t *lane);
/* "sales", "partner-center, sales": what keeps looks from being done now, brakes left out; NULL =
 * nothing. In p. */
const char *cs_lane_waits_for(const cs_lane_t *lane, apr_pool_t *p);
/* Asks each suspended upstream whose probe is due; resumes or postpones it in the store. */
apr_status_t cs_lane_probe(cs_lane_t *lane, apr_time_t now, apr_pool_t *ptemp);

/* ---- keep_alive.c: the refresh token, when nothing else redeems it ---- */

apr_status_t cs_keep_alive_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);
/* 1 when there is something to be done: it was not redeemed for nearly a week, or it was not yet
 * looked whether there is one. */
int cs_keep_alive_due(const cs_lane_t *lane, apr_time_t now);
/* Does that. Without a token Partner Center is suspended until somebody signs in. */
apr_status_t cs_keep_alive(cs_lane_t *lane, apr_time_t now, apr_pool_t *ptemp, cs_result_t *res);
/* The vault holds another refresh token: value as there. The fact CS_FACT_TOKEN says so. */
void cs_keep_alive_note(cs_lane_t *lane, const char *value, apr_pool_t *ptemp);

/* ---- site.c ---- */

/* Look-ups of a kind in the CRM's form. */
const apr_array_header_t *cs_lane_lookups(const cs_mapping_kind_t *kind, apr_pool_t *p);
/* Index of a CRM by its configured name, -1 = not configured (any more). */
int cs_lane_crm_index(const cs_lane_t *lane, const char *name);

/* Resolved look-ups, kept for ten minutes. */
const char *cs_lane_cache_get(cs_lane_t *lane, const char *symbol, apr_time_t now);
void cs_lane_cache_put(cs_lane_t *lane, const char *symbol, const char *id, apr_time_t now);
void cs_lane_cache_clear(cs_lane_t *lane);

/* Asks a CRM who it is unless that was done since the facts were loaded: the first answer is
 * remembered for good; another one later suspends the CRM. */
void cs_lane_pin(cs_lane_t *lane, int crm, apr_array_header_t *changes, apr_pool_t *p);

/* ---- poll.c ---- */

/* Makes the timers' rows once, and takes one page of the poll that is due the longest, or a portion
 * of a sweep when nothing else is due. One transaction each. *pmore != 0: look again. */
apr_status_t cs_poll_turn(cs_lane_t *lane, int *pmore, apr_pool_t *ptemp, cs_result_t *res);
/* The upstream works again: its polls that had a problem have none and are due. */
void cs_poll_resume(cs_lane_t *lane, const char *upstream, apr_array_header_t *changes,
                    apr_pool_t *ptemp);

/* ---- planned.c ---- */

/* What the store says about changed mappings; a digest that differs begins anew. */
apr_status_t cs_planned_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);
/* 1 while a changed mapping has deals before it and nothing holds it. */
int cs_planned_active(cs_lane_t *lane);
/* Asks for looks at most `room` deals: first those whose next look is due, then those of a changed
 * mapping. One transaction, so that a kill loses and repeats nothing. Then a turn of what is
 * polled. *pmore != 0: look again. */
apr_status_t cs_planned_portion(cs_lane_t *lane, apr_time_t now, int room, int *pmore,
                                apr_pool_t *ptemp, cs_result_t *res);

/* ---- breaker.c ---- */

apr_status_t cs_breaker_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);
/* 1 while nothing is sent to the upstream. */
int cs_breaker_open(const cs_lane_t *lane, const char *upstream);
/* When it will be asked next (cs_time_now() scale). */
apr_time_t cs_breaker_probe_at(const cs_lane_t *lane, const char *upstream, apr_time_t now);
/* 1 when no look can succeed: Partner Center's breaker is open, or those of all CRMs. */
int cs_breaker_stops_lane(const cs_lane_t *lane);
/* 1 when one of the open ones wants to be asked. */
int cs_breaker_probe_due(const cs_lane_t *lane);
/* What a request that is of no look came to, which counts as a batch of its own: the breaker may
 * open. 1 = it failed as if nothing worked, and the breaker is still closed. */
int cs_breaker_note(cs_lane_t *lane, int upstream, const cs_result_t *met,
                    apr_array_header_t *changes, apr_pool_t *p);
/* Asks the open ones that are due; closes or postpones them in the store. */
apr_status_t cs_breaker_probe(cs_lane_t *lane, apr_pool_t *ptemp);

/* sign.c: an upstream behind an open breaker that has sent a notice is asked at once, at most every
 * ten seconds. */
void cs_lane_take_signs(cs_lane_t *lane);

/* ---- brake.c ---- */

apr_status_t cs_brake_load(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);
/* 1 while the CRM's mapping is held for changing too much. */
int cs_brake_holds_mapping(const cs_lane_t *lane, int crm);

/* A person lets the cause go on: `brake` is "mapping", of several CRMs "mapping:<name>", or
 * "missing:<upstream>". Returns
 * 0 when there is no such brake. */
int cs_brake_release(cs_lane_t *lane, const char *brake, apr_time_t now,
                     apr_array_header_t *changes, apr_pool_t *p);

/* What the job changes is counted from now on; another job's count and pause are over. */
void cs_brake_begin_job(cs_lane_t *lane, const char *job, apr_array_header_t *changes,
                        apr_pool_t *p);
/* The job is over, or nobody wants it any more: it is not paused either. */
void cs_brake_end_job(cs_lane_t *lane, const char *job, apr_array_header_t *changes, apr_pool_t *p);
/* 1 while the job is paused for changing too much. */
int cs_brake_holds_job(cs_lane_t *lane);

/* The deal is held for writing against somebody else. */
int cs_deal_quarrels(const cs_deal_t *deal, apr_time_t now);

/* ---- quota.c ---- */

/* 1 = by what the CRM last told nothing is left but what is kept for others; why says so. */
int cs_quota_is_used_up(const cs_lane_t *lane, int crm, cs_result_t *why, apr_pool_t *p);
/* What the CRMs told, into the store when it moved by a hundredth or a minute has passed. */
apr_status_t cs_quota_store(cs_lane_t *lane, apr_pool_t *ptemp, cs_result_t *res);

/* ---- metadata.c ---- */

/* Borrowed until the next refresh; NULL = not wanted or not known (yet). */
const json_t *cs_metadata_of(const cs_lane_t *lane, int crm);
/* Between two batches' uses: reads it when the mapping wants it and it is old or doubted. Compares
 * it with the mapping; what does not fit is logged once, and appended to changes as the site's fact
 * "misfits:<crm>" (JSON array of text). Failing to read it leaves the former one. */
void cs_metadata_refresh(cs_lane_t *lane, int crm, apr_array_header_t *changes, apr_pool_t *ptemp);
/* A write was refused for its data: perhaps a column or a choice has changed. */
void cs_metadata_doubt(cs_lane_t *lane, int crm);
/* A person has mended something there: it is read again before it is used next. */
void cs_metadata_expire(cs_lane_t *lane, int crm);

/* ---- look.c ---- */

/* One batch: claim, fetch, plan, apply, settle. *pmore != 0: there may be more due work right now.
 * An error means that the batch could not be carried through (store, lease): nothing is lost, the
 * work is still due. */
apr_status_t cs_look_batch(cs_lane_t *lane, int *pmore, apr_pool_t *p, cs_result_t *res);

#endif
