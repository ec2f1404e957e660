/* engine/certs.h: the runner's certificate thread: fetches at start, before expiry and on wishes.
 * (design 7.3) Inside the engine only. */
#ifndef CS_ENGINE_CERTS_H
#define CS_ENGINE_CERTS_H

#include "runner.h"

typedef struct cs_certs_t cs_certs_t;

/* Starts the thread. p: the runner's pool. */
apr_status_t cs_certs_start(cs_certs_t **pcerts, const cs_node_config_t *node, apr_pool_t *p,
                            cs_result_t *res);
/* Any thread: look for wishes now. */
void cs_certs_wake(cs_certs_t *certs);
/* Aborts a transfer and joins. */
void cs_certs_stop(cs_certs_t *certs);

#endif
