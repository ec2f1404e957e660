/* What a world of one deal is made of, and its chance.
 */
#ifndef CS_TESTS_PROPERTY_WORLD_BASE_H
#define CS_TESTS_PROPERTY_WORLD_BASE_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <apr_strings.h>

#include "mappings.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/decimal.h"
#include "mod_cosell/domain/mapping_internal.h"
#include "mod_cosell/domain/reconcile.h"
#include "mod_cosell/domain/state.h"
#include "mod_cosell/engine/apply.h"

#define WORLD_REFERRAL "0f0a4b6e-1111-4222-8333-944455566677"
#define WORLD_NOW apr_time_from_sec(1770000000)
#define ROUNDS_MOST 6

typedef enum {
    QUIRK_KEEPS = 0,
    QUIRK_ROUNDS,
    QUIRK_CUTS,
    QUIRK_IGNORES,
    QUIRK_REFUSES,       /* and says which column */
    QUIRK_REFUSES_DUMBLY, /* and does not */
    QUIRK_REFUSES_SOME,
    QUIRK_TRIMS,
    QUIRK_NFC,
    QUIRK_UPPER,
    QUIRK_CRLF,
    QUIRK_CALCULATES,
    QUIRK_COUNT
} quirk_e;

typedef enum { FATE_GOOD = 0, FATE_FAILS, FATE_UNANSWERED, FATE_DIES_BEFORE, FATE_DIES_AFTER, FATE_DIES_AMID, FATE_RACE, FATE_LISTS_FAIL, FATE_COUNT,
               FATE_PC_FAILS = FATE_COUNT, FATE_PC_UNANSWERED, FATE_PC_RACE, FATE_BOTH_COUNT } fate_e;

#define LAGS_CRM 1
#define LAGS_PC 2
#define LAG_MOST apr_time_from_sec(600)

/* What is left out of a case, to make it smaller. */
typedef struct knobs_t {
    int no_quirks, no_lag, no_mask, no_fates, no_switch, no_metadata_gaps, no_notices, no_state_moves, no_lists_edits, no_meeting, no_applied_patches, no_deletes, no_pc_quirks, no_pc_lag;
    int both;   /* Partner Center has habits of its own, and everything else that can happen there happens */
    int rounds; /* at most; 0 = all */
    unsigned pc_mute[ROUNDS_MOST], crm_mute[ROUNDS_MOST]; /* bits: slots */
} knobs_t;

/* A mapping and the same after an edit. */
typedef struct pair_t {
    const crm_t *crm;
    apr_uint64_t seed;
    json_t *json[2];
    cs_mapping_t *mapping[2];
    apr_pool_t *p;
} pair_t;

typedef struct world_t {
    const crm_t *crm;
    apr_pool_t *p;
    apr_uint64_t seed;
    unsigned round;
    const knobs_t *knobs;
    const pair_t *pair;
    int which; /* of the pair is in force */
    cs_mapping_t *mapping;
    const cs_mapping_kind_t *kind;
    json_t *doc, *ms; /* the own card; Microsoft's, NULL = none */
    json_t *row;      /* NULL = no such row */
    json_t *deleted;  /* the row while it is deleted; NULL = it is not */
    json_t *lists;    /* {"<list>": [{"id","version","row"}]} */
    json_t *tables;   /* {"<table>": [row]}: what look-ups find */
    int version, made;
    int row_version; /* after our last write to the row itself */
    json_t *old_row, *old_lists; /* before our last writes: what a lagging read may show */
    int old_version, lags;
    int silent;   /* writes return no representation */
    int quiet;    /* nothing goes wrong now, and everything can be read */
    json_t *metadata;
    cs_deal_t deal;
    apr_array_header_t *journal;
    int journal_read;
    apr_time_t now;
    cs_card_t own, microsoft;
    cs_record_t record;
    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
    int pc_version, old_pc_version; /* its eTag */
    int read_version, read_pc_version; /* when they were read, if nothing lagged */
    int pc_silent;                  /* a patch is answered without a representation */
    json_t *old_doc, *old_ms;
    apr_time_t old_at; /* nothing lags longer than LAG_MOST */
    int state_typed; /* somebody moved the record's state since a look has heard of it */
    int pc_writes;   /* patches that took effect, in this look */
    fate_e fate;
    json_t *earlier; /* the intent that this look found */
    void (*saw_patch)(struct world_t *w, const cs_step_t *step, const json_t *ops); /* each patch whose guard holds, before it does anything */
    int writes;      /* requests that wrote something, in this look */
    int line_writes; /* of them: with more than what the seller reads */
    const cs_step_t *writing;
    int refusing; /* a step is sent in parts */
    void (*saw)(struct world_t *w, const cs_step_t *step, const cs_crm_write_t *write); /* each write that takes effect, before it does */
    unsigned touched; /* bits: slots whose columns somebody else may have written since both sides agreed */
    struct checks_t *checks;
} world_t;

static unsigned chance(const world_t *w, const char *purpose, const char *name, unsigned n)
{
    return (unsigned)(chance_of(w->seed, w->round, purpose, name) % n);
}

/* The same all life long. */
static unsigned trait(const world_t *w, const char *purpose, const char *name, unsigned n)
{
    return (unsigned)(chance_of(w->seed, 1000, purpose, name) % n);
}

static json_t *world_json(const world_t *w, const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    if (!json) {
        fprintf(stderr, "no JSON: %s\n", text);
        abort();
    }
    return cs_json_own(json, w->p);
}

static json_t *world_copy(const world_t *w, const json_t *json)
{
    return json ? cs_json_own(json_deep_copy(json), w->p) : NULL;
}

/* When that version was made, as both sides say it of themselves. */
static apr_time_t version_at(int version)
{
    return WORLD_NOW + apr_time_from_sec(version);
}

#endif
