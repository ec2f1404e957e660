/* Temporary: a weak definition until the domain takes copies. */
#include "batch.h"
__attribute__((weak)) apr_status_t cs_reconcile_clone(cs_plan_t **pplan, const cs_look_t *look,
                                                      apr_pool_t *p, apr_pool_t *ptemp,
                                                      cs_result_t *res)
{
    (void)look, (void)ptemp;
    *pplan = NULL;
    return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "clone", "copies are left alone");
}
