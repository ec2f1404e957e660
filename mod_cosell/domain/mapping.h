/* domain/mapping.h: a mapping file, loaded, checked and asked questions. Pure but for reading the
 * file. (deals 8; conf/mapping.schema.json)
 *
 * A cs_mapping_t is immutable once loaded and lives in the pool given to load; it may be read by
 * several threads at a time as long as each uses its own pools and nobody changes the reference
 * counts of its json (functions here copy or print instead).
 */
#ifndef CS_DOMAIN_MAPPING_H
#define CS_DOMAIN_MAPPING_H

#include <apr_pools.h>
#include <apr_tables.h>
#include "../base/result.h"
#include "record.h"

typedef struct cs_mapping_t cs_mapping_t;
typedef struct cs_mapping_kind_t cs_mapping_kind_t; /* one member of "records" */

/* Loads and checks path. facts: of the CRM that the file must be for; kept.
 * CS_EPARSE with res->detail = first mistake as "file:line:column: /json/pointer: what was wrong
 * with which value and what is allowed"; all mistakes (at most 50), in that form, in *perrors
 * (const char *, in p; may be NULL). What a later version brings is refused by its name ("named
 * zones are not supported by this version"). An overlay ("extends": file name of the shipped
 * profile, looked for beside the overlay and then among the shipped profiles) is merged over its
 * profile: objects member by member, a condition ("when") and everything else replaced, null
 * removes; record kinds that it adds are asked before the profile's. Line, column and pointer of a
 * mistake are those of the file it stands in. */
apr_status_t cs_mapping_load(cs_mapping_t **pmapping, const char *path, const cs_crm_facts_t *facts,
                             apr_array_header_t **perrors, apr_pool_t *p, cs_result_t *res);
/* The same from text; name is used in messages. */
apr_status_t cs_mapping_parse(cs_mapping_t **pmapping, const char *text, apr_size_t len,
                              const char *name, const cs_crm_facts_t *facts,
                              apr_array_header_t **perrors, apr_pool_t *p, cs_result_t *res);

const char *cs_mapping_revision(const cs_mapping_t *mapping); /* "revision" of the file */
const char *cs_mapping_digest(const cs_mapping_t *mapping); /* SHA-256 hex of its canonical text */

/* The record kind a referral belongs to, first whose from_pc.when holds; NULL = none. *plead != 0
 * when the referral is a lead by cosell-connectors.md 3.2, first two rows. */
const cs_mapping_kind_t *cs_mapping_route(const cs_mapping_t *mapping, const cs_card_t *own,
                                          const cs_card_t *microsoft, const char *organization,
                                          int *plead, apr_pool_t *ptemp);
const cs_mapping_kind_t *cs_mapping_kind(const cs_mapping_t *mapping, const char *name);
/* In the mapping's order; NULL = there are no more. */
const cs_mapping_kind_t *cs_mapping_kind_at(const cs_mapping_t *mapping, int i);
const char *cs_mapping_kind_name(const cs_mapping_kind_t *kind);
const char *cs_mapping_kind_table(const cs_mapping_kind_t *kind);

/* Where the CRM gives ids (facts: names_rows) and the deal's record has none yet, only the one that
 * was reserved for it: what finds the row, {"<external id column>": value}, in p. NULL = record_id
 * is its id. */
json_t *cs_mapping_key_of(const cs_mapping_kind_t *kind, const cs_deal_t *deal, apr_pool_t *p);

/* Every column the kind reads, for $select and $expand: "name", "parentaccountid/address1_city" (at
 * most one '/'), sorted, distinct: const char * in the mapping's pool. Includes the columns of
 * tell, state, conditions and the opt-in. */
const apr_array_header_t *cs_mapping_columns(const cs_mapping_kind_t *kind);
/* Columns that are look-ups, with the table they point to: for clients without metadata.
 * cs_mapping_lookup_t. */
typedef struct cs_mapping_lookup_t {
    const char *column; /* "transactioncurrencyid" */
    const char *table;  /* "transactioncurrency"; NULL when the mapping does not say */
} cs_mapping_lookup_t;
const apr_array_header_t *cs_mapping_lookups(const cs_mapping_kind_t *kind);

/* The rows that are read with a record of this kind: cs_related_t in the mapping's pool, one per
 * enabled list, then the activities that closed it when a reason takes its text from them, which
 * are no list. */
const apr_array_header_t *cs_mapping_related(const cs_mapping_kind_t *kind);
/* The tables to watch for changes: cs_watched_t, each table once, in the mapping's pool: those of
 * the record kinds first, then what their paths, lists and owner show. (deals 7) */
const apr_array_header_t *cs_mapping_watched(const cs_mapping_t *mapping);
/* The first kind of this table whose from_crm.when holds for the row; NULL = none. */
const cs_mapping_kind_t *cs_mapping_route_row(const cs_mapping_t *mapping, const char *table,
                                              const json_t *row, apr_pool_t *ptemp);
/* The first kind of this table, whatever the row. */
const cs_mapping_kind_t *cs_mapping_kind_of_table(const cs_mapping_t *mapping, const char *table);
/* The referral a row names in its identity column; NULL = none. Borrowed. */
const char *cs_mapping_named_referral(const cs_mapping_kind_t *kind, const json_t *row);
/* Ids of rows other than the record itself that it shows: {"<id>": "<table>"}: look-ups that paths
 * go through, child rows, users. For store.h, watch. In p. */
json_t *cs_mapping_shown_rows(const cs_mapping_kind_t *kind, const cs_record_t *record,
                              apr_pool_t *p);
/* 1 when something in the mapping needs the CRM's metadata: values by label, a told text whose
 * words come from labels, a text without a bound of its own. */
int cs_mapping_wants_metadata(const cs_mapping_t *mapping);
/* The tables whose metadata that is: const char *, sorted, distinct. */
const apr_array_header_t *cs_mapping_tables(const cs_mapping_t *mapping);
/* What it does in which tables: cs_used_t, each table once, by name; in p. */
apr_array_header_t *cs_mapping_used(const cs_mapping_t *mapping, apr_pool_t *p);
/* The kind a record of `kind` turns into ("becomes"), and the column that then names the new row;
 * NULL = it stays what it is. */
const cs_mapping_kind_t *cs_mapping_becomes(const cs_mapping_kind_t *kind, const char **pvia);
/* 1 when the kind takes leads (deals 4). */
int cs_mapping_takes_leads(const cs_mapping_kind_t *kind);
/* What does not fit together between the mapping and the CRM's metadata, each named with its place:
 * a column that does not exist or is of another type, a choice without such a value or label, a
 * stage that leads to another state than it is shown for, a record type that there is not, a key by
 * which no row is found.
 * const char * in p; empty when all fits. */
apr_array_header_t *cs_mapping_compare(const cs_mapping_t *mapping, const json_t *metadata,
                                       apr_pool_t *p);

/* The record kinds with their lines and lists as a document, for people: array of {"kind", "table",
 * "from_pc", "from_crm": conditions or null, "lines": [{"line", "pc", "crm", "direction": "both",
 * "to_crm", "to_pc" or "none", "type", "conflict", "on", "required", "when", "off": why or null}],
 * "lists": [{"list", "pc", "table", "column", "key", "direction", "when", "off"}]}. New
 * reference. */
json_t *cs_mapping_document(const cs_mapping_t *mapping);
/* Where people see the referral ("tell": link); NULL = the mapping does not say. In p. */
const char *cs_mapping_referral_link(const cs_mapping_kind_t *kind, const char *referral,
                                     apr_pool_t *p);

/* "co-sell", "p2p", "partner-led", "private", "marketplace-lead", "qualified-lead": what a referral
 * is. (deals 3, cosell-connectors.md 3.2; leads by its first two rows) */
const char *cs_referral_kind(const cs_card_t *own, const cs_card_t *microsoft,
                             const apr_array_header_t *others /* cs_card_t*, may be NULL */,
                             const char *organization);

/* What may be done with a path of a referral: "create", "patch", "patch-until-shared", "latch",
 * "server", "unproven"; NULL for a path nobody knows. From the data table domain/paths.inc
 * (partner-center-api.md 4.6, 4.10; cosell-connectors.md 3.12, 3.13). */
const char *cs_referral_path_fact(const char *path);

#endif
