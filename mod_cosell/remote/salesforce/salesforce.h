/* remote/salesforce/salesforce.h: Salesforce over its REST API. */
#ifndef CS_REMOTE_SALESFORCE_H
#define CS_REMOTE_SALESFORCE_H

#include "../crm.h"

extern const cs_crm_facts_t cs_salesforce_facts;

#endif
