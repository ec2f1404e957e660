/* domain/record.c: names of states and steps. */
#include <string.h>

#include "record.h"

static const char *const deal_states[] = {
    [CS_DEAL_NEW] = "new",           [CS_DEAL_LINKED] = "linked",   [CS_DEAL_CLOSED] = "closed",
    [CS_DEAL_LEAD] = "lead",         [CS_DEAL_IGNORED] = "ignored", [CS_DEAL_PARKED] = "parked",
    [CS_DEAL_UNLINKED] = "unlinked", [CS_DEAL_GONE] = "gone",
};

static const char *const step_kinds[] = {
    [CS_STEP_CREATE] = "create",
    [CS_STEP_UPDATE] = "update",
    [CS_STEP_REOPEN] = "reopen",
    [CS_STEP_CALL] = "call",
    [CS_STEP_PATCH_PC] = "patch partner center",
    [CS_STEP_POST_PC] = "post partner center",
    [CS_STEP_DELETE] = "delete",
    [CS_STEP_JOIN] = "join",
    [CS_STEP_ENSURE] = "ensure",
};

#define COUNT_OF(a) ((int)(sizeof(a) / sizeof((a)[0])))

const char *cs_deal_state_name(cs_deal_state_e state)
{
    int i = (int)state;

    return (i >= 0 && i < COUNT_OF(deal_states)) ? deal_states[i] : "unknown";
}

cs_deal_state_e cs_deal_state_of_name(const char *name)
{
    int i;

    for (i = 0; name && i < COUNT_OF(deal_states); i++) {
        if (!strcmp(name, deal_states[i])) {
            return (cs_deal_state_e)i;
        }
    }
    /* A state nobody here knows must not start anything: a person decides. */
    return name ? CS_DEAL_PARKED : CS_DEAL_NEW;
}

const char *cs_step_kind_name(cs_step_kind_e kind)
{
    int i = (int)kind;

    return (i >= 0 && i < COUNT_OF(step_kinds)) ? step_kinds[i] : "unknown";
}
