/* remote/dynamics/errors.h: what an answer of Dataverse means. Pure but for the clock in retry_at.
 * (crm-apis.md A15, C1; design 6) */
#ifndef CS_REMOTE_DYNAMICS_ERRORS_H
#define CS_REMOTE_DYNAMICS_ERRORS_H

#include "../http.h"

typedef enum { CS_DYN_READ, CS_DYN_CREATE, CS_DYN_UPDATE, CS_DYN_CALL } cs_dyn_kind_e;

/* id: the row the request is about, NULL = none. An answer of 2xx is CS_CLASS_OK here; its body is
 * judged by who reads it. A refused write says in blames which column the message names. */
void cs_dyn_classify(cs_result_t *res, const cs_http_response_t *response,
                     const cs_http_request_t *request, cs_dyn_kind_e kind, const char *id,
                     apr_pool_t *p);

/* The column or property that a message names as the culprit, as it spells it; NULL when it names
 * none. In p. */
const char *cs_dyn_blamed(const char *message, apr_pool_t *p);

/* "0x80060882", "0X80060882", "-2147088254" as 32 bits; 0 for an empty code and all else. */
apr_uint32_t cs_dyn_code(const char *text);

#endif
