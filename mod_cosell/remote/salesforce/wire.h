/* remote/salesforce/wire.h: neutral rows to JSON and SOQL, and back. Pure: no I/O, no clock.
 * (crm-apis.md B2, B3, B6, B14, C6) */
#ifndef CS_REMOTE_SALESFORCE_WIRE_H
#define CS_REMOTE_SALESFORCE_WIRE_H

#include "../crm.h"

#define CS_SF_STATE "$state"

/* ---- names and ids ---- */

/* [A-Za-z][A-Za-z0-9_]*, at most 128: the only names that enter an address or a query. */
int cs_sf_name_valid(const char *name);
/* The 18 characters of an id of 15 or 18; NULL when it is none, or when the last three are not
 * those that follow from the others. */
const char *cs_sf_id(const char *text, apr_pool_t *p);

/* CS_EPARSE: this column cannot be written, read or searched for, and why. */
apr_status_t cs_sf_refuse(cs_result_t *res, apr_pool_t *p, const char *column, const char *why);

/* ---- queries (soql.c) ---- */

/* 'text' with what must be escaped in it. */
const char *cs_sf_quote(const char *text, apr_pool_t *p);
/* The fields of a query for these columns (const char *): "Id", "Name", "Account.Name", with Id,
 * LastModifiedDate and SystemModstamp first; added to `fields` (const char *) unless there.
 * CS_EPARSE with the offending column in res. */
apr_status_t cs_sf_fields(apr_array_header_t *fields, const char *table,
                          const apr_array_header_t *columns, apr_pool_t *p, cs_result_t *res);
/* "Account" of "AccountId", "Foo__r" of "Foo__c"; NULL when the column is no look-up's name. */
const char *cs_sf_relation(const char *column, apr_pool_t *p);
/* "Column = value" of a neutral value; *ptext NULL = the value is empty. */
apr_status_t cs_sf_compare(const char **ptext, const char *column, const json_t *value,
                           apr_pool_t *p, cs_result_t *res);
/* text (NULL = nothing yet) and all of where (NULL = nothing), whose empty values ask for empty
 * columns. */
apr_status_t cs_sf_where(const char **ptext, const char *text, const json_t *where, apr_pool_t *p,
                         cs_result_t *res);
/* One key set; *ptext NULL when a key is empty: an empty key finds nothing. */
apr_status_t cs_sf_key(const char **ptext, const json_t *key, apr_pool_t *p, cs_result_t *res);

/* ---- reading ---- */

/* Version of a row that was answered at `answered`: both times of it, and when it is so young that
 * another change may yet get the same times, something that no other version has. NULL when the
 * row lacks them. (deals 2) */
const char *cs_sf_version(const json_t *row, apr_time_t answered, int *pyoung,
                          apr_time_t *pmodified, apr_pool_t *p);
/* The date of If-Unmodified-Since that guards a write by this version; NULL when it is none. */
const char *cs_sf_guard(const char *version, apr_pool_t *p);
/* "2026-03-31T12:00:00.000+0000" as "2026-03-31T12:00:00Z"; NULL when the text is no instant. */
const char *cs_sf_instant(const char *text, apr_pool_t *p);
/* A row of an answer as a record of the asked columns; NULL when it has no id or no version. */
cs_record_t *cs_sf_record(const json_t *row, const char *table, const apr_array_header_t *columns,
                          const apr_array_header_t *lookups, apr_time_t answered, apr_pool_t *p);

/* ---- writing ---- */

/* The body of a create or an update: look-ups as ids, $number digit by digit, without what is in
 * `key` (the address names it). CS_EPARSE with the offending column in res. */
apr_status_t cs_sf_body(const char **pbody, const json_t *row, const json_t *key, apr_pool_t *p,
                        cs_result_t *res);

#endif
