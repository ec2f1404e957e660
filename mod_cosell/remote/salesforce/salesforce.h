/* remote/salesforce/salesforce.h: Salesforce over its REST API. (crm-apis.md B) */
#ifndef CS_REMOTE_SALESFORCE_H
#define CS_REMOTE_SALESFORCE_H

#include "../crm.h"

extern const cs_crm_facts_t cs_salesforce_facts;
extern const cs_crm_impl_t cs_salesforce_impl;

#endif
