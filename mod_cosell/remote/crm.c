#include "crm.h"

#include <string.h>

#include "dynamics/dynamics.h"
#include "salesforce/salesforce.h"

static const cs_crm_impl_t *const impls[] = {&cs_dynamics_impl, &cs_salesforce_impl, NULL};

const cs_crm_impl_t *cs_crm_impl_of(const char *type)
{
    int i;

    for (i = 0; type && impls[i]; i++) {
        if (impls[i]->facts->is(type)) {
            return impls[i];
        }
    }
    return NULL;
}

const cs_crm_facts_t *cs_crm_facts_of(const char *type)
{
    const cs_crm_impl_t *impl = cs_crm_impl_of(type);

    return impl ? impl->facts : NULL;
}

const char *cs_crm_types(void)
{
    return "dynamics365, salesforce";
}
