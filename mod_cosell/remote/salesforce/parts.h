/* remote/salesforce/parts.h: what describe.c and changes.c share. */
#ifndef CS_REMOTE_SALESFORCE_PARTS_H
#define CS_REMOTE_SALESFORCE_PARTS_H

#include "client.h"

/* 1 = the call failed for a reason that says nothing about what was asked for: the way there, the
 * load, the session, the quota. */
int cs_sf_is_passing(const cs_sf_call_t *call);

#endif
