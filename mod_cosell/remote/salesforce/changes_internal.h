/* remote/salesforce/changes_internal.h: one page of what changed in a table, shared by the files
 * changes*.c alone. changes.c says which way it is read, and how it all belongs together. */
#ifndef CS_REMOTE_SALESFORCE_CHANGES_INTERNAL_H
#define CS_REMOTE_SALESFORCE_CHANGES_INTERNAL_H

#include "client.h"

#define CS_SF_HIDDEN_MOST 20 /* columns that are found hidden one by one */

/* Where a cursor stands (changes_cursor.c says what each is); zero = at the very beginning. */
typedef struct cs_sf_place_t {
    apr_time_t from, seen, then, upto, asked;
    apr_interval_time_t ahead;
    const char *next;
    int scan, begin, gone, polled, lasting;
} cs_sf_place_t;

/* One call. */
typedef struct cs_sf_step_t {
    cs_crm_t *crm;
    cs_crm_changes_t *changes;
    apr_array_header_t *fields; /* const char * */
    const char *digest;         /* of them */
    cs_sf_place_t at;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} cs_sf_step_t;

/* ---- changes.c ---- */

/* Adds what calls cost, and learns how far the CRM's clock is ahead. */
void cs_sf_changes_count(cs_sf_step_t *s, const cs_sf_call_t *calls, int n);
/* The page is what this call was answered: nothing else of it counts. Returns rv. */
apr_status_t cs_sf_changes_give_up(cs_sf_step_t *s, const cs_sf_call_t *call, apr_status_t rv);
/* 1 = not allowed, not valid or not there: asking the same again has the same answer. */
int cs_sf_is_refused(const cs_sf_call_t *call);
/* 1 = refused with this error code. */
int cs_sf_has_code(const cs_sf_call_t *call, const char *code);
/* "2026-01-31T10:00:00" and what tells the zone: queries and lists are shown different forms. */
const char *cs_sf_second(apr_time_t at, const char *zone, apr_pool_t *p);
/* The time in a member; 0 = none. */
apr_time_t cs_sf_instant_of(const json_t *row, const char *name, apr_pool_t *p);

/* ---- changes_cursor.c ---- */

/* 0 when the text is no cursor of this query. */
int cs_sf_cursor_read(cs_sf_step_t *s);
const char *cs_sf_cursor_write(const cs_sf_step_t *s);

/* ---- changes_scan.c ---- */

/* "SELECT ... FROM table" with the columns that are not hidden; deleted: and whether a row went. */
const char *cs_sf_changes_select(const cs_sf_step_t *s, int deleted);
/* Adds a row that went to the page; at: when, 0 = not known. id: borrowed. */
void cs_sf_changes_deleted(cs_sf_step_t *s, const char *id, apr_time_t at);
/* Adds the rows of a query's answer to the page; 0 when it is none, said in call->result. */
int cs_sf_changes_rows(cs_sf_step_t *s, cs_sf_call_t *call, const char **pnext);
/* The page of a scan that is under way. */
apr_status_t cs_sf_scan_page(cs_sf_step_t *s);
/* The first page of a scan of the rows since `since` (0 = all), and where the lists go on once it
 * is over; 0 = from its first answer. */
apr_status_t cs_sf_scan(cs_sf_step_t *s, apr_time_t since, apr_time_t then);
/* The first page of a beginning; again: logged with the reason. */
apr_status_t cs_sf_begin(cs_sf_step_t *s);
apr_status_t cs_sf_begin_again(cs_sf_step_t *s, const char *why);
/* A turn of a table that is polled; the first time for what this call was answered. */
apr_status_t cs_sf_poll_table(cs_sf_step_t *s);
apr_status_t cs_sf_begin_polling(cs_sf_step_t *s, const cs_sf_call_t *call);

/* ---- changes_list.c ---- */

/* A page of the lists, or what takes its place where they cannot be had. */
apr_status_t cs_sf_list_page(cs_sf_step_t *s);

#endif
