/* Temporary: weak empty definitions while both directions are being built. */
#include "partner_center/partner_center.h"
#define WEAK __attribute__((weak))
static apr_status_t none(cs_result_t *r, apr_pool_t *p) { return cs_result_set(r, p, APR_ENOTIMPL, CS_CLASS_REFUSED, "pc:later", "later"); }
WEAK apr_status_t cs_pc_patch(cs_pc_t *pc, cs_pc_write_t *w, int n, apr_interval_time_t d, apr_pool_t *p) { (void)pc; (void)d; while (n--) none(&w[n].result, p); return APR_SUCCESS; }
WEAK apr_status_t cs_pc_post(cs_pc_t *pc, cs_pc_write_t *w, int n, apr_interval_time_t d, apr_pool_t *p) { (void)pc; (void)d; while (n--) none(&w[n].result, p); return APR_SUCCESS; }
WEAK apr_status_t cs_pc_find(cs_pc_t *pc, cs_pc_read_t *r, int n, apr_time_t s, apr_interval_time_t d, apr_pool_t *p) { (void)pc; (void)s; (void)d; while (n--) none(&r[n].result, p); return APR_SUCCESS; }
WEAK apr_status_t cs_pc_list_changed(cs_pc_t *pc, cs_pc_page_t *g, apr_interval_time_t d, apr_pool_t *p) { (void)pc; (void)d; none(&g->result, p); return APR_SUCCESS; }
