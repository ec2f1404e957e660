/* remote/dynamics/facts.c: what is known of Dynamics 365 without asking it. */
#include <string.h>

#include "dynamics.h"

static int is(const char *word)
{
    return !strcmp(word, "dynamics365");
}

const cs_crm_facts_t cs_dynamics_facts = {
    .type = "dynamics365",
    .is = is,
    .state_column = "statecode",
    .key_suffix = "id",
    .win = "WinOpportunity",
    .lose = "LoseOpportunity",
    .lower = 1,
    .currencies = "transactioncurrency",
    .qualify = "QualifyLead",
    .qualified = 3,
    .owner_column = "ownerid",
    .record_teams = 1,
    .reason_column = "statuscode",
    .reason_parameter = "Status",
    .closes = "opportunity",
    .close_table = "opportunityclose",
    .close_parent = "opportunityid",
    .close_made = "createdon",
};
