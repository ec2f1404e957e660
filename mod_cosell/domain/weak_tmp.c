/* Temporary: weak empty definitions while both directions are being built. */
#include <apr_strings.h>
#include "reconcile.h"
#define WEAK __attribute__((weak))
WEAK apr_status_t cs_reconcile_meet_record(cs_meeting_t *m, const cs_look_t *l, const char *t, apr_pool_t *p, cs_result_t *r)
{ (void)l; (void)t; (void)p; (void)r; m->what = CS_MEET_IGNORE; m->why = "not yet"; return APR_SUCCESS; }
WEAK const apr_array_header_t *cs_mapping_watched(const cs_mapping_t *m) { (void)m; return NULL; }
WEAK const cs_mapping_kind_t *cs_mapping_route_row(const cs_mapping_t *m, const char *t, const json_t *r, apr_pool_t *p)
{ (void)m; (void)t; (void)r; (void)p; return NULL; }
WEAK const cs_mapping_kind_t *cs_mapping_kind_of_table(const cs_mapping_t *m, const char *t) { (void)m; (void)t; return NULL; }
WEAK const char *cs_mapping_named_referral(const cs_mapping_kind_t *k, const json_t *r) { (void)k; (void)r; return NULL; }
WEAK json_t *cs_mapping_shown_rows(const cs_mapping_kind_t *k, const cs_record_t *r, apr_pool_t *p) { (void)k; (void)r; (void)p; return NULL; }
