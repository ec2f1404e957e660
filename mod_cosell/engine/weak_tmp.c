/* Temporary: weak empty definitions while both directions are being built. */
#include "batch.h"
#define WEAK __attribute__((weak))
WEAK apr_status_t cs_batch_name_rows(cs_batch_t *b, cs_result_t *r) { (void)b; (void)r; return APR_SUCCESS; }
WEAK apr_status_t cs_batch_apply_pc(cs_batch_t *b, cs_result_t *r) { (void)b; (void)r; return APR_SUCCESS; }
WEAK void cs_batch_poll(cs_batch_t *b, cs_work_t *w) { (void)b; (void)w; }
WEAK apr_status_t cs_batch_timers(cs_batch_t *b, cs_result_t *r) { (void)b; (void)r; return APR_SUCCESS; }
WEAK apr_status_t cs_store_deals_open(cs_store_t *s, const char *a, const char *c, int m, apr_int64_t *f, apr_array_header_t **i, int *l, apr_pool_t *p, cs_result_t *r)
{ (void)s; (void)a; (void)c; (void)m; (void)f; (void)r; *i = apr_array_make(p, 1, sizeof(apr_int64_t)); *l = 0; return APR_SUCCESS; }
WEAK apr_status_t cs_store_watchers(cs_store_t *s, const char *a, const char *c, const char *w, apr_int64_t f, int m, apr_array_header_t **i, apr_pool_t *p, cs_result_t *r)
{ (void)s; (void)a; (void)c; (void)w; (void)f; (void)m; (void)r; *i = apr_array_make(p, 1, sizeof(apr_int64_t)); return APR_SUCCESS; }
WEAK apr_status_t cs_store_cursor_get(cs_store_t *s, const char *a, const char *n, const char **t, apr_time_t *u, apr_pool_t *p, cs_result_t *r)
{ (void)s; (void)a; (void)n; (void)u; (void)p; (void)r; *t = NULL; return APR_SUCCESS; }
