/* domain/list_internal.h: a list in one planning. Inside reconcile_list.c and list_*.c only. */
#ifndef CS_DOMAIN_LIST_INTERNAL_H
#define CS_DOMAIN_LIST_INTERNAL_H

#include <apr_hash.h>

#include "reconcile_internal.h"

/* How an item gets to the CRM, or out of it. */
typedef enum {
    CS_HOW_NONE = 0,
    CS_HOW_ROW,    /* a child row of its own */
    CS_HOW_CHANGE, /* columns of its child row */
    CS_HOW_REMOVE, /* its child row goes */
    CS_HOW_COLUMN, /* the record's column names it, or names nobody any more */
    CS_HOW_ENSURE, /* its row exists; the record does not show it */
    CS_HOW_JOIN    /* a member of the record team */
} cs_list_how_e;

typedef struct cs_list_item_t {
    cs_line_view_t *view;
    const char *key;       /* trimmed and folded */
    const char *shown;     /* as the side that has it writes it, Partner Center first */
    const json_t *pc_item; /* the first of this key in the array; NULL = none */
    const json_t *row;     /* the first child row of this key; NULL = none or no child row */
    const char *row_id, *version;
    const json_t *found;           /* the row found: its columns; NULL = none */
    const cs_list_users_t *place;  /* USERS: where it is, or where it goes */
    int in_crm, twins;             /* twins: further rows of this key, */
    apr_array_header_t *twin_rows; /* const json_t *: as far as they are child rows; NULL = none */
    cs_list_how_e how;
    json_t *lookup;  /* "$lookup" of the row found; NULL = none needed */
    json_t *changes; /* CHANGE: columns */
} cs_list_item_t;

typedef struct cs_listing_t {
    const cs_list_t *list;
    const json_t *array;    /* Partner Center's; NULL = none */
    const char *pc_unread;  /* why what an image has is not to be taken for removed; NULL = it is */
    const char *crm_unread; /* why nothing is known of the CRM's side; NULL = it is known */
    const char *owner_unread;  /* the same of the record's own look-up alone */
    int pc_other, crm_other;   /* items without a key of their own */
    int occupied;              /* COLUMN: the record's look-up names a row */
    apr_array_header_t *items; /* cs_list_item_t * */
    apr_hash_t *by_key;
} cs_listing_t;

/* list_read.c: every item that either side or an image knows, both sides and both images filled in,
 * nothing judged. In pl->p. */
cs_listing_t *cs_listing_read(cs_planning_t *pl, const cs_list_t *list);

/* list_item.c */

/* A value in canonical form, new reference. */
json_t *cs_item_value(const json_t *value, apr_pool_t *p);
int cs_item_value_same(const json_t *a, const json_t *b);
/* A key without blanks around it, in p; NULL = none. And folded, as identity. */
const char *cs_item_key(const json_t *value, apr_pool_t *p);
const char *cs_item_fold(const char *text, apr_pool_t *p);
/* The column that holds a member; NULL = none, or its name is switched off. */
const cs_column_t *cs_member_column(const apr_array_header_t *members, const char *member);
/* The key of a row found; NULL = it has none or it cannot be read. In p. */
const char *cs_item_found_key(const cs_list_t *list, const json_t *found, apr_pool_t *p);
/* The canonical item of each side, owned by p. */
json_t *cs_item_of_pc(const cs_list_t *list, const cs_list_item_t *item, apr_pool_t *p);
json_t *cs_item_of_crm(const cs_list_t *list, const cs_list_item_t *item, apr_pool_t *p);
/* Adds what the row shows of the child row's own columns. */
void cs_item_fields(json_t *item, const cs_list_t *list, const json_t *row, apr_pool_t *p);
/* 1 = a column of the child row itself says something else. */
int cs_item_fields_differ(const cs_list_t *list, const json_t *a, const json_t *b);
/* 1 = every such column that differs is empty in item. */
int cs_item_only_gaps(const cs_list_t *list, const json_t *item, const json_t *other);
/* The first member of the row found in which the sides differ; NULL = none. *pmoved = the CRM's is
 * another than it was, and Partner Center's is not. */
const char *cs_item_found_differs(const cs_list_t *list, const cs_line_view_t *view, int *pmoved);

/* list_judge.c */

/* The verdict on one item by itself. */
void cs_item_decide(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item);
/* Its last part for an item that the CRM lacks: TO_CRM, or why not. */
void cs_item_add_to_crm(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item, const char *why);

/* reconcile_list.c: how many items a side keeps at least. */
int cs_list_least(const cs_planning_t *pl, const cs_list_t *list);
/* 1 = the new record's owner is one of this list's people. */
int cs_list_gives_owner(const cs_planning_t *pl, const cs_list_t *list);

#endif
