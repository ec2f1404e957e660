/* remote/dynamics/dynamics.h: Dynamics 365 Sales over the Dataverse Web API v9.2. */
#ifndef CS_REMOTE_DYNAMICS_H
#define CS_REMOTE_DYNAMICS_H

#include "../crm.h"

extern const cs_crm_impl_t cs_dynamics_impl;
extern const cs_crm_facts_t cs_dynamics_facts;

#endif
