/* Removed once lines and lists are in. */
#include "reconcile_internal.h"
#define WEAK __attribute__((weak))
WEAK const apr_array_header_t *cs_mapping_related(const cs_mapping_kind_t *kind) { return kind->related; }
WEAK int cs_mapping_wants_metadata(const cs_mapping_t *mapping) { (void)mapping; return 0; }
WEAK const apr_array_header_t *cs_mapping_tables(const cs_mapping_t *mapping) { (void)mapping; return NULL; }
WEAK const cs_mapping_kind_t *cs_mapping_becomes(const cs_mapping_kind_t *kind, const char **pvia) { (void)kind; (void)pvia; return NULL; }
WEAK int cs_mapping_takes_leads(const cs_mapping_kind_t *kind) { return kind->leads; }
WEAK apr_array_header_t *cs_mapping_compare(const cs_mapping_t *mapping, const json_t *metadata, apr_pool_t *p) { (void)mapping; (void)metadata; return apr_array_make(p, 1, sizeof(const char *)); }
