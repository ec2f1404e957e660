/* tests/sim/life.c: the senders of events, and the lives of runners: each a child process that may be killed at any instant. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mod_cosell/base/pool.h"
#include "sim.h"

#define OTHER_NODE "bbbbbbbb-0000-4000-8000-000000000002"
#define LIFE_SECONDS 60
#define EXIT_VIOLATION 10
#define NOTICES_MAX 8

static cs_lane_t *outer;          /* the lane under way in this process */
static int interfering;

/* ---- events ---- */

static cs_notice_t *notice_of(const event_t *e, apr_pool_t *p)
{
    cs_notice_t *notice = apr_pcalloc(p, sizeof(*notice));
    int own = e->row || e->referral < 0 || S->referral[e->referral].org == ORG_OWN;
    const char *id = e->row ? S->row[e->row - 1].id : e->referral < 0 ? "deadbeef-0000-4000-8000-000000000000" : S->referral[e->referral].id;

    notice->site = SITE;
    notice->source = CS_SYSTEM_PC;
    notice->event = own ? "referral-updated" : "related-referral-updated";
    notice->received = cs_time_now();
    notice->digest = apr_psprintf(p, "%064d", e->serial);
    notice->kind = CS_WORK_LOOK;
    notice->names = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(notice->names, const char *) = apr_pstrcat(p, e->row ? CRM ":" : "pc:", id, NULL);
    notice->system = e->row ? CRM : own ? CS_SYSTEM_PC : "pc-related";
    notice->hint = e->hint;
    if (e->row) {
        notice->source = CRM;
        notice->event = "Update";
        notice->tables = apr_array_make(p, 1, sizeof(const char *));
        APR_ARRAY_PUSH(notice->tables, const char *) = apr_pstrdup(p, S->row[e->row - 1].table);
    }
    return notice;
}

/* A sender forgets an event only when it was answered; now and then the answer is lost and it sends again. */
void accept_events(cs_store_t *store, int max, int lossy)
{
    const cs_notice_t *notices[NOTICES_MAX];
    event_t *events[NOTICES_MAX];
    cs_result_t res = {0};
    apr_pool_t *p;
    int i, n = 0;

    apr_pool_create(&p, NULL);
    max = max < NOTICES_MAX ? max : NOTICES_MAX;
    for (i = 0; i < EVENTS_MAX && n < max; i++) {
        event_t *e = &S->event[i];
        if (e->used && e->due <= S->boot) {
            events[n] = e;
            notices[n++] = notice_of(e, p);
        }
    }
    if (n && cs_store_accept(store, notices, n, p, &res) == APR_SUCCESS) {
        instant("accepted");
        for (i = 0; i < n; i++) {
            trace("event: %s about %s accepted", notices[i]->event, APR_ARRAY_IDX(notices[i]->names, 0, const char *));
            if (lossy && chance(60)) {
                events[i]->due = S->boot + (apr_interval_time_t)pick(60) * 1000000;
            }
            else {
                events[i]->used = 0;
            }
        }
        S->accepts += n;
    }
    else if (n) {
        violation("events were not accepted: %s", res.detail ? res.detail : "?");
    }
    apr_pool_destroy(p);
}

static void with_store(void (*act)(cs_store_t *store))
{
    cs_store_t *store;
    apr_pool_t *p;

    cs_pool_create_own(&p, NULL, 0, "sim-store");
    if (cs_store_open(&store, &node_config.store, CS_STORE_WRITER, p, NULL) == APR_SUCCESS) {
        act(store);
        cs_store_close(store);
    }
    apr_pool_destroy(p);
}

static void accept_some(cs_store_t *store)
{
    accept_events(store, 1 + pick(NOTICES_MAX), 1);
}

/* ---- a life ---- */

static int one_batch(cs_lane_t *lane, int *pmore)
{
    cs_result_t res = {0};
    apr_status_t rv;
    apr_pool_t *p;
    char why[120];
    int i, number;

    cs_pool_create_own(&p, NULL, 0, "sim-batch");
    number = ++S->batch;
    rv = cs_look_batch(lane, pmore, p, &res);
    if (rv != APR_SUCCESS) {
        trace("batch failed: %s: %s", cs_strerror(rv, why, sizeof(why)), res.detail ? res.detail : "-");
        if (rv != CS_ELEASE) {
            violation("a batch could not be carried through: %s: %s", cs_strerror(rv, why, sizeof(why)), res.detail ? res.detail : "-");
        }
        cs_lane_lease_drop(lane);
    }
    for (i = 0; rv == APR_SUCCESS && i < S->rows; i++) {
        S->row[i].known |= S->row[i].answered == number;
    }
    apr_pool_destroy(p);
    instant("batch-end");
    return rv == APR_SUCCESS;
}

static int probe_due(const cs_lane_t *lane)
{
    apr_time_t probe = cs_lane_next_probe(lane);

    return probe && probe <= S->wall;
}

static void live(const char *node, int batches)
{
    unsigned char key[CS_KEY_LEN] = {1};
    cs_lane_t *lane = NULL, *before = outer;
    cs_result_t res = {0};
    apr_pool_t *p;
    int more = 1;

    cs_pool_create_own(&p, NULL, 1, "sim-life");
    if (cs_lane_create(&lane, &node_config, &site_config, key, p, &res) != APR_SUCCESS) {
        violation("no lane: %s", res.detail ? res.detail : "?");
    }
    else if ((node || cs_store_node(lane->store, &node, p, &res) == APR_SUCCESS) && cs_lane_lease_take(lane, lane->store, node, p, &res) == APR_SUCCESS) {
        outer = lane;
        while (batches-- > 0 && (more || probe_due(lane)) && !*S->violation) {
            if (!cs_lane_leased(lane) || !one_batch(lane, &more)) {
                break;
            }
            S->began = 1;
            if (chance(100)) {
                cs_lane_lease_renew(lane, lane->store, p);
            }
            if (S->chaos && chance(20)) {
                int left;
                cs_lease_t lease = cs_lane_lease(lane);
                cs_store_prune(lane->store, &lease, S->wall, 500, &left, p, NULL);
            }
        }
        outer = before;
    }
    apr_pool_destroy(p);
}

/* The lease of the lane under way is over: another node takes it and works, then the first one wakes up again. */
void run_nested(void)
{
    cs_lane_t *lane = outer;

    S->nested++;
    trace("another node takes the lane");
    live(OTHER_NODE, 1 + pick(3));
    crm_overtaken(lane->http);
    trace("the first node goes on");
}

int nested_now(void)
{
    return outer && S->wall >= outer->lease.until && S->boot >= outer->lease_boot;
}

void interfere(void)
{
    int dice = S->chaos && !interfering ? pick(1000) : 1000;

    if (dice >= 130) {
        return;
    }
    interfering = 1;
    if (dice < 40) {
        referral_edit(1);
        if (chance(600)) {
            with_store(accept_some);
        }
    }
    else if (dice < 85) {
        crm_edit();
    }
    else if (dice < 105) {
        with_store(accept_some);
    }
    else if (dice < 113) {
        pass((apr_interval_time_t)pick(40) * 1000000);
    }
    else if (dice < 118) {
        pass((apr_interval_time_t)(60 + pick(120)) * 1000000);
    }
    else if (nested_now() || chance(400)) {
        pass(nested_now() ? 0 : CS_LEASE_TTL + 1000000);
        if (nested_now()) {
            run_nested();
        }
    }
    interfering = 0;
}

/* The child's exit: 0 it ended by itself, 1 it was killed, -1 something is wrong. */
int runner_life_until(int batches, long instants)
{
    pid_t pid;
    int status;

    S->lives++;
    S->crash_left = instants;
    pid = fork();
    if (pid == 0) {
        alarm(LIFE_SECONDS);
        live(S->chaos && chance(100) ? OTHER_NODE : NULL, batches);
        _exit(*S->violation ? EXIT_VIOLATION : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        violation("no life: fork or wait failed");
        return -1;
    }
    S->spared = S->crash_left;
    S->crash_left = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && instants) {
        S->kills++;
        return 1;
    }
    if (!WIFEXITED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) != EXIT_VIOLATION)) {
        violation("a life ended with status 0x%x", (unsigned)status);
        return -1;
    }
    return *S->violation ? -1 : 0;
}

int runner_life(int batches, int may_die)
{
    long doom = S->doom;
    int ended;

    if (doom > 0) {
        ended = runner_life_until(batches, doom);
        S->doom = ended == 1 ? 0 : S->spared;
        return ended;
    }
    return runner_life_until(batches, may_die ? 1 + pick(chance(700) ? 10 : 40) : 0);
}

/* ---- is there anything to do? ---- */

static apr_time_t next_due;
static int due_now;

static void due_at(apr_time_t at)
{
    next_due = next_due && next_due < at ? next_due : at;
    due_now |= at <= S->wall;
}

static int is_sent(const cs_deal_t *deal, const char *which)
{
    const char *state = cs_json_str(cs_json_get(deal->posted, which), "state");

    return state && !strcmp(state, "sent");
}

/* What is about to be posted, and what was posted without an answer, ends some time. */
static void ask_postings(cs_store_t *store, apr_pool_t *p)
{
    apr_array_header_t *deals = NULL;
    int i;

    if (cs_store_deal_list(store, SITE, 10000, &deals, p, NULL) != APR_SUCCESS) {
        violation("the deals cannot be listed");
    }
    for (i = 0; deals && i < deals->nelts; i++) {
        const cs_deal_t *deal = APR_ARRAY_IDX(deals, i, cs_deal_t *);
        int sending = !deal->referral_id && deal->status && !strcmp(deal->status, "Sending");
        /* Searched for in vain, and lacks something now for being sent again: waits for its seller. */
        int waits = deal->status && !strcmp(deal->status, "Waiting");
        if (deal->next_look && !waits && (sending || is_sent(deal, "own") || is_sent(deal, "connected"))) {
            due_at(deal->next_look);
        }
    }
}

/* What waits in the CRM is looked at again for ever, and polls are kept for ever: neither is unrest. */
static void ask_due(cs_store_t *store)
{
    apr_array_header_t *works = NULL, *suspended = NULL;
    cs_result_t res = {0};
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, NULL);
    next_due = 0;
    due_now = 0;
    if (cs_store_work_list(store, SITE, CS_WORK_READY, 1000, &works, p, &res) != APR_SUCCESS ||
        cs_store_suspended(store, SITE, &suspended, p, &res) != APR_SUCCESS) {
        violation("the store cannot be asked: %s", res.detail ? res.detail : "?");
    }
    for (i = 0; works && i < works->nelts && !next_due; i++) {
        const cs_work_t *work = APR_ARRAY_IDX(works, i, cs_work_t *);
        if (!strcmp(work->kind, CS_WORK_LOOK)) {
            next_due = work->due;
            due_now = work->due <= S->wall;
        }
    }
    ask_postings(store, p);
    for (i = 0; suspended && i < suspended->nelts; i++) {
        apr_time_t probe = APR_ARRAY_IDX(suspended, i, cs_suspended_t).probe;
        if (!probe) {
            continue; /* a brake: a person's or a notice's */
        }
        due_now |= probe <= S->wall;
        next_due = next_due && next_due < probe ? next_due : probe;
    }
    apr_pool_destroy(p);
}

int work_is_due(void)
{
    with_store(ask_due);
    return due_now;
}

apr_time_t work_next(void)
{
    return next_due;
}
