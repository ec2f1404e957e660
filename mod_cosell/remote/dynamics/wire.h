/* remote/dynamics/wire.h: neutral rows to OData and back. Pure: no I/O, no clock. (crm-apis.md A3,
 * A6, A7, A9) */
#ifndef CS_REMOTE_DYNAMICS_WIRE_H
#define CS_REMOTE_DYNAMICS_WIRE_H

#include "names.h"

/* Finds a table by its logical name; NULL = unknown. */
typedef const cs_dyn_table_t *cs_dyn_table_fn(void *baton, const char *name);

/* "$select=...&$expand=..." for these columns; modifiedon is always in it. Paths are expanded when
 * `expand` is set; else, and when a look-up's target is not known, only the look-up's id is asked
 * for. CS_EPARSE with the offending column in res. */
apr_status_t cs_dyn_select(const char **pquery, const cs_dyn_table_t *table,
                           const apr_array_header_t *columns, const apr_array_header_t *lookups,
                           int expand, apr_pool_t *p, cs_result_t *res);

/* A row of an answer as a record of the asked columns; NULL when it has no key or no version. etag:
 * the ETag header, used when the row lacks its own. */
cs_record_t *cs_dyn_record(const json_t *row, const char *etag, const cs_dyn_table_t *table,
                           const apr_array_header_t *columns, const apr_array_header_t *lookups,
                           apr_pool_t *p);

/* The body of a create or an update: look-ups bound, $number digit by digit. CS_EPARSE with the
 * offending column in res. */
apr_status_t cs_dyn_body(const char **pbody, const json_t *row, const cs_dyn_table_t *table,
                         const apr_array_header_t *lookups, cs_dyn_table_fn *table_of, void *baton,
                         apr_pool_t *p, cs_result_t *res);

/* The body of WinOpportunity and LoseOpportunity about the opportunity `id`: Status next to
 * OpportunityClose, which takes all other columns. */
apr_status_t cs_dyn_close_body(const char **pbody, const json_t *row, const char *call,
                               const char *id, cs_dyn_table_fn *table_of, void *baton,
                               apr_pool_t *p, cs_result_t *res);

/* The body of QualifyLead: the row's members are its parameters, a look-up is an entity; what is
 * not said is: make an opportunity, no account and no contact, status Qualified. */
apr_status_t cs_dyn_qualify_body(const char **pbody, const json_t *row, cs_dyn_table_fn *table_of,
                                 void *baton, apr_pool_t *p, cs_result_t *res);
/* The body of AddUserToRecordTeam about the row `id` of table. */
apr_status_t cs_dyn_join_body(const char **pbody, const cs_dyn_table_t *table, const char *id,
                              const char *templ, apr_pool_t *p, cs_result_t *res);

/* "$filter" value (not yet escaped): text (NULL = nothing yet) and all of where (NULL = nothing),
 * whose empty values ask for empty columns. */
apr_status_t cs_dyn_where(const char **ptext, const char *text, const json_t *where,
                          const cs_dyn_table_t *table, apr_pool_t *p, cs_result_t *res);
/* "$filter" value (not yet escaped) of one key set and a where. *ptext NULL when a key is empty: an
 * empty key finds nothing, it does not find rows without one. */
apr_status_t cs_dyn_filter(const char **ptext, const json_t *key, const json_t *where,
                           const cs_dyn_table_t *table, apr_pool_t *p, cs_result_t *res);

#endif
