/* tests/sim/sim.h: a deterministic simulation of one site: the real engine, domain and store against modelled ends.
 *
 * Everything that is "outside" (Partner Center, one CRM, the clock, the senders of events, chance itself) lives in one shared mapping, so that it survives the runner's death: a runner's
 * life is a forked child that may be killed between any two modelled instants. All randomness and all time come from here; the same seed gives the same run.
 */
#ifndef SIM_H
#define SIM_H

#include <apr_pools.h>
#include <jansson.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/base/log.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/domain/reconcile.h"
#include "mod_cosell/domain/state.h"
#include "mod_cosell/engine/lane.h"

#define SITE "simulated"
#define CRM "crm"
#define OWN_ORGANIZATION "7d230000-0000-4000-8000-000000000005"
#define PARTNER_ORGANIZATION "7d230000-0000-4000-8000-000000000009"

#define START_WALL 1772442000000000ll /* 2026-03-02T09:00:00Z */
#define REFERRALS_MAX 400
#define CROWD_MAX 118           /* referrals that people make */
#define VERSIONS 24
#define DOC_MAX 3072
#define ROWS_MAX 400
#define ROW_MAX 4096
#define EVENTS_MAX 4096
#define TRACE_MAX (16 << 20)

typedef enum { ORG_OWN, ORG_MICROSOFT, ORG_PARTNER } org_e;

/* What somebody wrote last into a line that both sides have. */
typedef enum { LINE_VALUE, LINE_CLOSE, LINE_NOTES, LINES } line_e;
typedef struct wrote_t {
    char text[LINES][80];        /* "" = nothing, or emptied it */
} wrote_t;

typedef struct version_t {
    char text[DOC_MAX];
    apr_time_t made_at;          /* on S->boot, as the next two */
    apr_time_t get_at, list_at;  /* not shown before */
} version_t;

typedef struct referral_t {
    char id[40], engagement[40];
    org_e org;
    int customer;
    int posted;                  /* by us */
    unsigned early;              /* TOUCHED_*: written there by people after it was posted and before its record knew of it */
    int versions;                /* made so far; the newest is versions - 1 */
    apr_time_t moved_at;         /* S->boot when the status last changed */
    wrote_t wrote;               /* people in the portal */
    version_t version[VERSIONS];
} referral_t;

/* What a user of the CRM touched in a row. */
enum {
    TOUCHED_NAME = 1,
    TOUCHED_VALUE = 2,
    TOUCHED_CLOSE = 4,
    TOUCHED_NOTES = 8,
    TOUCHED_STATE = 16,
    TOUCHED_PROGRAM = 32,
    TOUCHED_OURS = 64,
    TOUCHED_STAGE = 128,
    TOUCHED_VISIBLE = 256,
    TOUCHED_EXPIRES = 512,
    TOUCHED_SYNC = 1024,
    TOUCHED_HELP = 2048
};

typedef struct row_t {
    char table[24], id[40];
    int exists, seeded;
    int deleted;                 /* by a user; may never come back */
    long version, sequence;
    int seller;                  /* a seller made it */
    apr_time_t modified;
    unsigned touched;
    apr_time_t state_touched_at;
    wrote_t wrote;               /* users */
    int batch;                   /* of the last guarded write */
    int answered;                /* the batch that last heard of it */
    int known;                   /* a batch that heard of it came to its end */
    char text[ROW_MAX];
} row_t;

typedef struct event_t {
    int used;
    int referral;                /* index; -1 = names a referral that does not exist */
    int row;                     /* of the CRM instead: its index + 1; 0 = none */
    int serial;                  /* same serial = the same body again */
    apr_time_t hint;
    apr_time_t due;              /* on S->boot */
} event_t;

typedef enum { WEATHER_GOOD, WEATHER_DOWN, WEATHER_THROTTLED, WEATHER_SUSPENDED } weather_e;

typedef struct upstream_t {
    weather_e weather;
    int errors;                  /* of thousand calls */
    int lost;                    /* of thousand writes: done, but the answer never comes */
} upstream_t;

typedef struct sim_t {
    unsigned long long seed, random;
    apr_time_t wall;             /* what cs_time_now() says */
    apr_interval_time_t boot;    /* what cs_time_boot() and cs_time_mono() say; never goes back */
    int chaos;                   /* 0 while the world heals */
    int lag;                     /* reads may be old */
    int hot;                     /* the referral that was read last */
    int crowd;                   /* no new referrals beyond */
    upstream_t pc, crm;
    long crash_left;             /* passages of any instant until this life ends; 0 = lives on */
    long spared;                 /* what was left of them */
    int batch;                   /* counts cs_look_batch() */
    int serial;
    int referrals, rows, names;
    int late;                    /* lists show what we posted only after a while, 45 minutes at most */
    int mute;                    /* the CRM tells nothing by itself */
    int deaf;                    /* nor does Partner Center */
    int stays_late;              /* lists are as late as they can be, healing or not */
    long doom;                   /* instants until some life ends, whichever; 0 = none */
    long lose;                   /* answers of Partner Center to writes until one is lost; 0 = none */
    int asks;                    /* healing includes polls */
    int began;                   /* polls find what changes from now on */
    int sellers;                 /* their own deals */
    long sequence;               /* of changes in the CRM */
    long pc_writes, posts;
    long pc_reads, crm_reads, crm_writes, creates, kills, lives, accepts, nested, conflicts, unguarded_calls, steps;
    int no_hold;                 /* the CRM does not keep an opportunity on hold */
    int qualified;               /* leads that became opportunities */
    apr_int64_t told;            /* the newest journal line that was traced */
    char violation[1000];
    size_t traced;
    referral_t referral[REFERRALS_MAX];
    row_t row[ROWS_MAX];
    event_t event[EVENTS_MAX];
    char trace[TRACE_MAX];
} sim_t;

/* What a seller does in a walk. */
typedef enum { ACT_NONE, ACT_HOLD, ACT_OPEN, ACT_WIN, ACT_LOSE, ACT_DELETE, ACT_EDIT, ACTS } act_e;

extern sim_t *S;
extern cs_site_config_t site_config;
extern cs_node_config_t node_config;
extern int verbose;

/* world.c: chance, time, trace, crash instants */
unsigned long long rnd(void);
int pick(int n);                 /* 0 .. n-1 */
int chance(int permille);
void pass(apr_interval_time_t us);
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void violation(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void instant(const char *name);
void make_guid(char *out);
extern int crm_gives;
json_t *parse(const char *text);
void print(char *out, size_t size, const json_t *json);

/* partner.c: Partner Center */
void referral_new(void);
void referral_edit(int hot);
json_t *referral_doc(const referral_t *r);      /* the newest; new reference */
cs_card_t *card_of(json_t *doc, apr_pool_t *p);
referral_t *referral_by_id(const char *id);
referral_t *referral_walk(int lead, const char *status, const char *substatus);
void referral_moves(referral_t *r, const char *status, const char *substatus);
int customer_is_ambiguous(int customer);
const char *customer_name(int customer);
const char *customer_postal(int customer);
void event_push(int referral, apr_time_t hint, apr_interval_time_t within);
void event_push_row(const row_t *row, apr_interval_time_t within);
apr_interval_time_t some_delay(void);
int events_due(apr_time_t boot);
apr_time_t events_next(void);

/* crm.c: the CRM */
void crm_seed(void);
void crm_edit(void);
int user_does(row_t *row, act_e act);
row_t *row_by_id(const char *table, const char *id);
cs_record_t *record_of(const row_t *row, const apr_array_header_t *columns, const apr_array_header_t *lookups, int expand, apr_pool_t *p);
int crm_overtaken(void *http);
row_t *crm_new(int help, int visible);          /* a seller's own opportunity, complete and opted in */
void row_changes(row_t *row, json_t *text);     /* by a user */
int lane_may_write(cs_http_t *http, cs_result_t *res, int *pcalls, apr_pool_t *p);

/* life.c: accepting, and a runner's life */
void accept_events(cs_store_t *store, int max, int lossy);
void interfere(void);            /* somebody else acts while a call is under way */
int runner_life(int batches, int may_die);
int runner_life_until(int batches, long instants);   /* dies at that instant; 0 = lives on */
void run_nested(void);
int nested_now(void);
int work_is_due(void);
apr_time_t work_next(void);      /* earliest due time on the wall clock, 0 = none */

/* main.c */
void begin_world(unsigned long long seed);
void accept_here(void);
void heal(void);

/* walk.c: every path of Partner Center's machine. 1 = all of them end as they should. */
int walk_all(int quick);

/* create.c: every referral that a seller asks for. 1 = all of them are there once. */
int create_all(int quick);

/* check.c */
void wrote_pc(wrote_t *wrote, const json_t *doc, int line);      /* -1 = all of them */
void wrote_crm(wrote_t *wrote, const json_t *text, int line);
void check_world(void);
void check_versions(void);
long journal_lines(void);

#endif
