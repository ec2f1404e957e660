/* Temporary: weak empty definitions while both directions are being built. */
#include "batch.h"
#define WEAK __attribute__((weak))
WEAK apr_status_t cs_batch_name_rows(cs_batch_t *b, cs_result_t *r) { (void)b; (void)r; return APR_SUCCESS; }
WEAK apr_status_t cs_batch_apply_pc(cs_batch_t *b, cs_result_t *r) { (void)b; (void)r; return APR_SUCCESS; }
