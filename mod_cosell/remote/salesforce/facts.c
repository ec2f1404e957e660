/* remote/salesforce/facts.c: what is known of Salesforce without asking it. (crm-apis.md B3, B14)
 */
#include <string.h>

#include "salesforce.h"

/* "Account/Name" goes through AccountId, "Solution__r/Name" through Solution__c. */
static const cs_crm_relation_t relations[] = {{"__r", "__c"}, {"", "Id"}, {NULL, NULL}};

static int is(const char *word)
{
    return !strcmp(word, "salesforce");
}

const cs_crm_facts_t cs_salesforce_facts = {
    .type = "salesforce",
    .is = is,
    .state_column = "$state",
    .state_follows = 1,
    .closed_writes = 1,
    .trims = 1,
    .names_rows = 1,
    .id_form = CS_ID_18,
    .key_column = "Id",
    .relations = relations,
    .namespaces = "__",
    .owner_column = "OwnerId",
    .record_types = "RecordType",
    .record_type_by = "DeveloperName",
    .record_type_of = "SobjectType",
};
