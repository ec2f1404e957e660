/* tests/sim/main.c: rounds of chaos, healing and checking.
 *
 *   sim walk | walk-quickly       every path of a referral instead (walk.c)
 *   sim create | create-quickly   every referral that is made of a record instead (create.c)
 *   sim --gives ...               by a CRM that gives its rows their ids
 *   sim [--seed N] [--steps N] [--rounds N] [--worlds N] [--seconds N] [--mapping FILE] [--state DIR] [--verbose]
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/pool.h"
#include "sim.h"

#define HEAL_BATCHES 3000
#define TAIL_BYTES 8000

cs_site_config_t site_config;
static cs_secret_t pc_seed; /* nobody has to sign in */
cs_node_config_t node_config;

static cs_upstream_t pc_upstream = { .name = CS_UPSTREAM_PC }, crm_upstream = { .name = CRM };
static const char *mapping_path = "tests/sim/mapping.json", *state_root;
static int steps = 100, rounds = 6, worlds = 1, seconds, walk;
static unsigned long long first_seed;
static char state_dir[400];

/* ---- the site ---- */

static void configure(apr_pool_t *p)
{
    apr_array_header_t *errors = NULL;
    cs_mapping_t *mapping = NULL;
    int i;

    if (cs_mapping_load(&mapping, mapping_path, cs_crm_facts_of("dynamics365"), &errors, p, NULL) != APR_SUCCESS) {
        for (i = 0; errors && i < errors->nelts; i++) {
            fprintf(stderr, "%s\n", APR_ARRAY_IDX(errors, i, const char *));
        }
        exit(2);
    }
    site_config.name = SITE;
    site_config.vhost = "simulated:443";
    site_config.file = "simulated";
    site_config.pc.refresh_token = &pc_seed;
    site_config.pc.upstream = &pc_upstream;
    site_config.pc.login = &pc_upstream;
    site_config.ncrms = 1;
    site_config.crms[0].cfg.name = CRM;
    site_config.crms[0].cfg.type = "dynamics365";
    site_config.crms[0].cfg.upstream = &crm_upstream;
    site_config.crms[0].mapping = mapping;
    site_config.crms[0].mapping_path = mapping_path;
    site_config.poll = apr_time_from_sec(300);
    node_config.store.kind = "sqlite";
    node_config.store.state_dir = state_dir;
    node_config.store.keep_journal = apr_time_from_sec(90 * 86400);
    node_config.store.keep_delivery = apr_time_from_sec(7 * 86400);
    node_config.sites = apr_array_make(p, 1, sizeof(cs_site_config_t *));
    APR_ARRAY_PUSH(node_config.sites, cs_site_config_t *) = &site_config;
    node_config.wake_fd = -1;
}

static void remove_state(void)
{
    static const char *const files[] = { "cosell.db", "cosell.db-wal", "cosell.db-shm", "store.lock", "node", "runner.lock", "secret.key" };
    char path[500];
    size_t i;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", state_dir, files[i]);
        unlink(path);
    }
    rmdir(state_dir);
}

static void log_line(void *baton, cs_log_level_e level, apr_status_t rv, const char *site, const char *message)
{
    (void)baton, (void)rv, (void)site;
    trace("log%d: %s", (int)level, message);
}

static int log_wanted(void *baton, cs_log_level_e level, const char *site)
{
    (void)baton, (void)site;
    return level <= CS_LOG_DEBUG;
}

/* ---- chaos ---- */

static void weather(upstream_t *upstream, const char *name)
{
    int dice = pick(20);

    upstream->weather = dice < 15 ? WEATHER_GOOD : dice < 17 ? WEATHER_DOWN : dice < 19 ? WEATHER_THROTTLED : WEATHER_SUSPENDED;
    upstream->errors = chance(500) ? 0 : pick(150);
    upstream->lost = chance(500) ? 0 : pick(200);
    trace("weather: %s %d, %d errors, %d lost of 1000", name, (int)upstream->weather, upstream->errors, upstream->lost);
}

static void jump(void)
{
    int dice = pick(100);

    if (dice < 60) {
        pass((apr_interval_time_t)pick(5000000));
    }
    else if (dice < 90) {
        pass((apr_interval_time_t)pick(600) * 1000000);
    }
    else if (dice < 97) {
        pass((apr_interval_time_t)pick(7200) * 1000000);
    }
    else {
        S->wall -= (apr_interval_time_t)pick(600) * 1000000;
        trace("clock: the wall clock goes back");
    }
}

void accept_here(void)
{
    cs_store_t *store;
    apr_pool_t *p;

    cs_pool_create_own(&p, NULL, 0, "sim-accept");
    if (cs_store_open(&store, &node_config.store, CS_STORE_WRITER, p, NULL) == APR_SUCCESS) {
        accept_events(store, 1 + pick(8), S->chaos);
        cs_store_close(store);
    }
    apr_pool_destroy(p);
}

static void step(void)
{
    int dice = pick(100);

    S->steps++;
    if (dice < 5) {
        for (dice = 1 + pick(3); dice > 0; dice--) {
            referral_new();
        }
    }
    else if (dice < 8) {
        if (S->rows < S->crowd + 20 && S->sellers++ < CROWD_MAX) {
            crm_new(chance(400), chance(400));
        }
    }
    else if (dice < 24) {
        referral_edit(0);
    }
    else if (dice < 32) {
        crm_edit();
    }
    else if (dice < 52) {
        accept_here();
    }
    else if (dice < 70) {
        jump();
    }
    else if (dice < 72) {
        weather(chance(500) ? &S->pc : &S->crm, S->pc.weather ? "upstream" : "upstream");
    }
    else if (dice == 72 && chance(100)) {
        event_push(-1, 0, 1);
    }
    else {
        runner_life(1 + pick(6), chance(600));
    }
}

/* ---- healing ---- */

/* Until nothing is due that somebody asked for. */
static void rest(int *pleft)
{
    int batches;

    while (!*S->violation) {
        apr_time_t event = events_next(), next;
        if (events_due(S->boot)) {
            accept_here();
            continue;
        }
        if (work_is_due()) {
            if ((*pleft)-- <= 0) {
                violation("work does not come to rest");
            }
            batches = S->batch;
            if (runner_life(20, 0)) {
                return;
            }
            /* Another node has the lane: a runner asks again later. */
            pass(S->batch == batches ? apr_time_from_sec(10) : 0);
            continue;
        }
        next = work_next();
        if (!event && !next) {
            return;
        }
        if (next && (!event || next - S->wall < event - S->boot)) {
            pass(next > S->wall ? next - S->wall : 1);
        }
        else {
            pass(event > S->boot ? event - S->boot : 1);
        }
    }
}

/* Long enough for a poll to be due. */
static void poll_once(int *pleft)
{
    pass(site_config.poll + apr_time_from_sec(1));
    if (!*S->violation && !runner_life(60, 0)) {
        rest(pleft);
    }
}

void heal(void)
{
    int left = HEAL_BATCHES, i;

    S->chaos = S->late = 0;
    memset(&S->pc, 0, sizeof(S->pc));
    memset(&S->crm, 0, sizeof(S->crm));
    trace("heal");
    rest(&left);
    /* What no notice told is found by asking. */
    for (i = 0; i < 2 && S->asks && !*S->violation; i++) {
        poll_once(&left);
    }
}

/* A notice for each referral of ours that brings nothing new. */
static void touch_all(void)
{
    int i;

    for (i = 0; i < S->rows; i++) {
        if (!strcmp(S->row[i].table, "opportunity")) {
            event_push_row(&S->row[i], 1);
        }
    }
    for (i = 0; i < S->referrals; i++) {
        if (S->referral[i].org == ORG_OWN) {
            event_push(i, 0, 1);
        }
    }
    heal();
}

static void one_round(void)
{
    long writes, pc_writes, lines, again;
    int i;

    S->chaos = S->asks = 1;
    S->lag = chance(600);
    S->late = chance(600);
    for (i = 0; i < steps && !*S->violation; i++) {
        step();
    }
    heal();
    if (!*S->violation) {
        check_versions();
    }
    /* The first look may find edits that nobody announced; what it had to leave out is told by the second. */
    touch_all();
    touch_all();
    if (*S->violation) {
        return;
    }
    check_world();
    writes = S->crm_writes;
    pc_writes = S->pc_writes;
    lines = journal_lines();
    touch_all();
    if (*S->violation) {
        return;
    }
    if (S->crm_writes != writes || S->pc_writes != pc_writes) {
        violation("a further look at everything made %ld writes in the CRM and %ld at Partner Center", S->crm_writes - writes, S->pc_writes - pc_writes);
    }
    again = journal_lines();
    if (again != lines) {
        violation("a further look at everything wrote %ld lines into the journal", again - lines);
    }
}

/* ---- worlds ---- */

void begin_world(unsigned long long seed)
{
    /* What no world has used yet is zero. */
    memset(S->referral, 0, sizeof(referral_t) * (size_t)S->referrals);
    memset(S->row, 0, sizeof(row_t) * (size_t)S->rows);
    memset(S->event, 0, sizeof(S->event));
    memset(S, 0, offsetof(sim_t, referral));
    S->trace[0] = '\0';
    S->seed = seed;
    S->random = seed * 0x2545F4914F6CDD1Dull + 1;
    S->boot = 1000000000;
    S->wall = START_WALL + S->boot;
    S->crowd = chance(400) ? 1 + pick(6) : chance(500) ? 20 : CROWD_MAX;
    pc_upstream.rate = chance(300) ? 0.1 : 0;
    remove_state();
    mkdir(state_dir, 0700);
    S->mute = 1;
    crm_seed();
    S->mute = 0;
    if (chance(700)) {
        site_config.pc.organization = OWN_ORGANIZATION;
    }
    else {
        site_config.pc.organization = NULL;
    }
}

static void tell_failure(void)
{
    size_t from = verbose || S->traced < TAIL_BYTES ? 0 : S->traced - TAIL_BYTES;

    fputs(S->trace + from, stdout);
    printf("\nseed %llu: %s\n(sim --seed %llu --steps %d --rounds %d --verbose shows everything)\n", S->seed, S->violation, S->seed, steps, rounds);
}

static int run_world(unsigned long long seed)
{
    int i;

    begin_world(seed);
    for (i = 0; i < rounds && !*S->violation; i++) {
        one_round();
    }
    if (*S->violation) {
        tell_failure();
        return 0;
    }
    if (verbose) {
        fputs(S->trace, stdout);
    }
    printf("seed %llu: %ld steps, %ld lives (%ld killed, %ld overtaken), %ld events, %d referrals, %ld created, %ld CRM writes, %ld posted, %ld Partner Center writes, %ld conflicts, %ld closed without a guarded write\n", seed,
           S->steps, S->lives, S->kills, S->nested, S->accepts, S->referrals, S->creates, S->crm_writes, S->posts, S->pc_writes, S->conflicts, S->unguarded_calls);
    return 1;
}

static void read_arguments(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(name, "--verbose")) {
            verbose = 1;
            continue;
        }
        if (!strcmp(name, "--gives")) {
            crm_gives = 1;
            continue;
        }
        if (!strcmp(name, "create") || !strcmp(name, "create-quickly")) {
            walk = strcmp(name, "create") ? 4 : 3;
            continue;
        }
        if (!strcmp(name, "walk") || !strcmp(name, "walk-quickly")) {
            walk = strcmp(name, "walk") ? 2 : 1;
            mapping_path = "tests/sim/walk.json";
            continue;
        }
        i++;
        if (!value) {
            fprintf(stderr, "sim: %s needs a value\n", name);
            exit(2);
        }
        if (!strcmp(name, "--seed")) {
            first_seed = strtoull(value, NULL, 10);
        }
        else if (!strcmp(name, "--steps")) {
            steps = atoi(value);
        }
        else if (!strcmp(name, "--rounds")) {
            rounds = atoi(value);
        }
        else if (!strcmp(name, "--worlds")) {
            worlds = atoi(value);
        }
        else if (!strcmp(name, "--seconds")) {
            seconds = atoi(value);
        }
        else if (!strcmp(name, "--mapping")) {
            mapping_path = value;
        }
        else if (!strcmp(name, "--state")) {
            state_root = value;
        }
        else {
            fprintf(stderr, "sim: unknown option %s\n", name);
            exit(2);
        }
    }
}

/* Linked without the wraps it would run on the real clock. */
static void check_wraps(void)
{
    S->wall = START_WALL;
    if (cs_time_now() - START_WALL > apr_time_from_sec(1)) {
        fprintf(stderr, "sim: not linked with its own clock (SIM_WRAP in the Makefile)\n");
        exit(2);
    }
}

static void find_place(void)
{
    const char *root = state_root ? state_root : access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(state_dir, sizeof(state_dir), "%s/cosell-sim-%ld", root, (long)getpid());
}

int main(int argc, char **argv)
{
    time_t began = time(NULL);
    int i, good = 0, bad = 0;
    apr_pool_t *p;

    read_arguments(argc, argv);
    if (!first_seed) {
        first_seed = (unsigned long long)began * 1000 + (unsigned long long)getpid() % 1000;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    apr_initialize();
    S = mmap(NULL, sizeof(*S), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (S == MAP_FAILED) {
        perror("sim: mmap");
        return 2;
    }
    check_wraps();
    apr_pool_create(&p, NULL);
    find_place();
    configure(p);
    cs_log_set(log_line, log_wanted, NULL);
    if (walk) {
        good = walk > 2 ? create_all(walk == 4) : walk_all(walk == 2);
        bad = !good;
    }
    for (i = 0; !walk && (i < worlds || (seconds && time(NULL) - began < seconds)) && !bad; i++) {
        if (run_world(first_seed + (unsigned long long)i)) {
            good++;
        }
        else {
            bad++;
        }
    }
    remove_state();
    printf("%d passed, %d failed\n", good, bad);
    return bad ? 1 : 0;
}
