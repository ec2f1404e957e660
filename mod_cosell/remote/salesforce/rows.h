/* remote/salesforce/rows.h: how rows are read with what belongs to them; shared by read.c, query.c,
 * related.c and merged.c. */
#ifndef CS_REMOTE_SALESFORCE_ROWS_H
#define CS_REMOTE_SALESFORCE_ROWS_H

#include "client.h"

/* One list of one record. */
typedef struct cs_sf_entry_t {
    const cs_related_t *list;
    json_t *rows;     /* array; borrowed from p */
    apr_hash_t *seen; /* ids */
    int bad;          /* unreadable */
} cs_sf_entry_t;

/* One record that is read. */
typedef struct cs_sf_item_t {
    cs_crm_read_t *read;
    const char *id;          /* 18 characters; NULL = found by */
    const char *key, *value; /* column and trimmed text */
    int answered;            /* its query was */
    int several;
    cs_sf_entry_t *entries; /* one for each list of the read */
} cs_sf_item_t;

/* One query: some records of a table, or one list of some records. */
typedef struct cs_sf_query_t {
    const cs_related_t *list;  /* NULL = the records themselves */
    const char *table, *key;   /* key NULL = by id */
    apr_array_header_t *items; /* cs_sf_item_t * */
    const char *next;          /* path of a further page; NULL = the first */
    int rounds;
} cs_sf_query_t;

typedef struct cs_sf_run_t {
    cs_crm_t *crm;
    cs_sf_item_t *items;
    int n;
    apr_array_header_t *open; /* cs_sf_query_t * */
    int tries;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} cs_sf_run_t;

/* query.c */

cs_sf_query_t *cs_sf_new_query(cs_sf_run_t *r, const cs_related_t *list, const char *table,
                               const char *key);
int cs_sf_same_list(const cs_related_t *a, const cs_related_t *b);
/* Puts the record, or this list of it, into the query that takes one more of these, else into a new
 * one. */
void cs_sf_add_item(cs_sf_run_t *r, cs_sf_item_t *item, const cs_related_t *list);
const char *cs_sf_label_of(const cs_sf_query_t *q, apr_pool_t *p);
/* CS_ELIMIT when it is too long for one address. */
apr_status_t cs_sf_make_query(const cs_sf_run_t *r, const cs_sf_query_t *q, cs_sf_call_t *call,
                              cs_result_t *res);
/* Makes two of one that is too long; 0 = it is about one record only. */
int cs_sf_halve(cs_sf_run_t *r, const cs_sf_query_t *q);

/* related.c */

cs_sf_entry_t *cs_sf_entry_of(const cs_sf_item_t *item, const cs_related_t *list);
void cs_sf_ask_lists(cs_sf_run_t *r, cs_sf_item_t *item);
/* The record is there all the same; said once per list and reason. */
void cs_sf_give_up(const cs_sf_run_t *r, const cs_related_t *list, const char *problem,
                   const char *detail);
void cs_sf_take_list_row(const cs_sf_run_t *r, const cs_sf_query_t *q, const json_t *row,
                         apr_time_t date);
/* Hands the record what was read; at the end. */
void cs_sf_hand_over_lists(const cs_sf_run_t *r, cs_sf_item_t *item);

/* read.c */

apr_status_t cs_sf_read_all(cs_crm_t *crm, cs_crm_read_t *reads, int n,
                            apr_interval_time_t deadline, apr_pool_t *p);

/* merged.c */

/* Reads the rows in which those that are gone live on. */
void cs_sf_follow_merges(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);

#endif
