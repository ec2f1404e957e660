/* remote/assertion.h: the signed statement by which a client with a key signs in. (crm-apis.md A1,
 * B1) */
#ifndef CS_REMOTE_ASSERTION_H
#define CS_REMOTE_ASSERTION_H

#include "token.h"

/* A JSON Web Token about cfg's client for cfg's token endpoint, good for ten minutes; with
 * CS_GRANT_JWT_BEARER about cfg's user for cfg's addressee, good for three. In ptemp and wiped at
 * its end. CS_CLASS_SUSPEND "config:certificate" when certificate or key cannot be used. */
apr_status_t cs_assertion_make(const char **ptext, const cs_token_config_t *cfg, apr_pool_t *ptemp,
                               cs_result_t *res);

#endif
