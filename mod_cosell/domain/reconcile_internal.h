/* domain/reconcile_internal.h: one planning in progress. Inside domain/ only. */
#ifndef CS_DOMAIN_RECONCILE_INTERNAL_H
#define CS_DOMAIN_RECONCILE_INTERNAL_H

#include "mapping_internal.h"
#include "reconcile.h"
#include "state.h"

/* Why a resting difference may rest: members "rest" of images. */
#define CS_REST_HELD "held"
#define CS_REST_NOT_KEPT "not-kept"
#define CS_REST_INTRODUCED "introduced"
#define CS_REST_ONE_WAY "one-way"

typedef struct cs_planning_t {
    const cs_look_t *look;
    const cs_mapping_kind_t *kind;
    cs_plan_t *plan;
    apr_pool_t *p, *ptemp;
    const json_t *doc;     /* the own card */
    const json_t *row;     /* the row; at a create what it will start from, every column present */
    cs_cond_world_t world; /* for conditions */
    const char *record_id;
    const char *pc_now; /* "Active/Accepted" */
    const char *pc_was; /* when last settled; NULL = never */
    int creating;
    int first;     /* an existing row, met for the first time */
    int terminal;  /* at Partner Center */
    int row_state; /* 0 open, 1 won, 2 lost, -1 unreadable */
    /* what the state asks for (reconcile_state.c) */
    cs_line_view_t *state;
    int reopen; /* the row must be opened before anything else */
    json_t *reopen_set;
    json_t *state_set; /* columns, merged into the update; NULL = none */
    const char *call;  /* closing action; NULL = none */
    json_t *call_set;
    int call_state; /* what the row is after it */
    int unlink;
    const cs_heard_t *heard; /* actions for Partner Center; NULL = none */
    const char *say;         /* refused: for people */
} cs_planning_t;

/* 1 while the row takes writes, if need be after a reopening. */
int cs_planning_writable(const cs_planning_t *pl);

/* Image of a line as stored: a side, or its "rest". NULL = none. Borrowed. */
json_t *cs_image_side(const cs_deal_t *deal, const char *line, const char *side);
const char *cs_image_rest(const cs_deal_t *deal, const char *line);
/* Why apply left the line out when Partner Center showed this very value; NULL = it did not. */
const char *cs_image_waits(const cs_deal_t *deal, const char *line, const json_t *pc);
/* The nth value that the stored intent has for a line, the newest first; NULL = no more. Borrowed.
 */
json_t *cs_intent_value(const cs_deal_t *deal, const char *line, size_t nth);
/* 1 when the stored intent makes this row. */
int cs_intent_creates(const cs_deal_t *deal);

/* reconcile_state.c: decides the state first; the lines depend on it. */
void cs_plan_state(cs_planning_t *pl);
/* The state columns of a row; NULL when one could not be read. In p. */
json_t *cs_state_columns(const cs_mapping_kind_t *kind, const json_t *row, apr_pool_t *p);
/* "Active" for accept and so on; NULL for actions that move nothing. */
const char *cs_state_after_action(const char *action);

/* reconcile_values.c: one line. */
void cs_plan_line(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view);
/* A value in words, at most some 60 characters. */
const char *cs_value_words(const json_t *value, apr_pool_t *p);

/* reconcile_tell.c: status, problem and audit of the plan from its lines; then the columns that
 * differ. */
void cs_plan_tell(cs_planning_t *pl);
void cs_tell_columns(const cs_planning_t *pl, json_t *columns);
/* Remembers in told what the CRM made of the texts it was given. */
void cs_tell_keep(json_t *told, const cs_mapping_kind_t *kind, const json_t *wrote,
                  const json_t *after, apr_pool_t *ptemp);

#endif
