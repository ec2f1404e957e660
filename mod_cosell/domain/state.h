/* domain/state.h: status is a machine, not a value table. Pure. (deals 5;
 * partner-center-api.md 4.7) */
#ifndef CS_DOMAIN_STATE_H
#define CS_DOMAIN_STATE_H

#include "mapping.h"

/* "New/Pending", "Active/Accepted", "Closed/Won"; in p. Parts that are absent are left out:
 * "Active". */
const char *cs_state_of_card(const cs_card_t *card, apr_pool_t *p);
/* 1 for Closed in any form. */
int cs_state_is_terminal(const char *state);
/* 1 when Partner Center's machine allows from -> to (from NULL = anything). */
int cs_state_may_move(const char *from, const char *to);

/* hear: what the CRM's record asks of a referral in state `pc`: first row that matches, NULL =
 * none. (statuses, condition columns of the mapping) */
typedef struct cs_heard_t {
    apr_array_header_t *actions; /* const char *: wait accept decline win lose stay refuse */
    const char *reason;          /* Code:free text; NULL = none */
    const char *lacking;         /* why there is none: for people */
    const struct cs_column_t *column; /* where the reason stands; NULL = nowhere */
    int waits;                   /* there may be one once the CRM's choices are known */
    const char *say;             /* refuse: for people */
    apr_interval_time_t not_before;
    int sales_stage; /* per cent that the record stands for; 0 = the mapping does not say */
} cs_heard_t;
const cs_heard_t *cs_state_hear(const cs_mapping_kind_t *kind, const char *pc, const json_t *row,
                                const json_t *metadata, apr_pool_t *p);

/* show: what a referral in state `pc` wants set or called in the CRM: the most specific entry
 * ("Closed/Won" before "Closed"). */
typedef struct cs_shown_t {
    json_t *set;      /* neutral columns; for a call its parameters; empty object when none */
    const char *call; /* "WinOpportunity"; NULL = plain PATCH */
    int unlink;
    const char *if_was; /* only when the previous state at Partner Center began so; NULL = always */
} cs_shown_t;
const cs_shown_t *cs_state_show(const cs_mapping_kind_t *kind, const char *pc, const cs_card_t *own,
                                const json_t *row, apr_pool_t *p);

/* open, won or lost: what the CRM's row is now by its state columns; 0 open, 1 won, 2 lost, -1
 * unreadable. */
int cs_state_of_row(const cs_mapping_kind_t *kind, const json_t *row);

#endif
