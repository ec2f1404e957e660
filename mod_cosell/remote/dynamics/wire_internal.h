/* remote/dynamics/wire_internal.h: what the files behind wire.h share. */
#ifndef CS_REMOTE_DYNAMICS_WIRE_INTERNAL_H
#define CS_REMOTE_DYNAMICS_WIRE_INTERNAL_H

#include "wire.h"

/* CS_EPARSE: this column cannot be written, read or searched for, and why. */
apr_status_t cs_wire_refuse(cs_result_t *res, apr_pool_t *p, const char *column, const char *why);
int cs_wire_is_guid(const char *text);
/* "_column_value": the id a look-up points to. In p. */
const char *cs_wire_value_name(const char *column, apr_pool_t *p);

#endif
