/* remote/salesforce/errors.h: what an answer of Salesforce means. Pure but for the clock in
 * retry_at. (crm-apis.md B11, C1; design 6) */
#ifndef CS_REMOTE_SALESFORCE_ERRORS_H
#define CS_REMOTE_SALESFORCE_ERRORS_H

#include <jansson.h>

#include "../http.h"

typedef enum {
    CS_SF_READ,   /* rows, queries: a refusal of a name is the configuration's */
    CS_SF_CREATE, /* a row, or one found by its key */
    CS_SF_UPDATE, /* a row by its id */
    CS_SF_DELETE
} cs_sf_kind_e;

/* Texts in the body of a 401 against which no new session helps. Closed by NULL. */
extern const char *const cs_sf_hopeless[];

/* What a response means whose body is `body` (NULL = none, or not JSON). 2xx and 304 are
 * CS_CLASS_OK; the body is judged by who reads it. Problem words: "salesforce:<errorCode>",
 * "http:503", "quota:daily", "config:column" ...; an unexplained failure of the server is
 * "internal:<errorCode>". `said` = the CRM's words, `blames` = the first of fields. Strings in p.
 */
void cs_sf_classify(cs_result_t *res, const cs_http_response_t *response,
                    const cs_http_request_t *request, const json_t *body, cs_sf_kind_e kind,
                    apr_pool_t *p);

/* The first error object of a body: {"errorCode" or "statusCode", "message", "fields"}; NULL when
 * the body holds none. Borrowed. */
const json_t *cs_sf_error(const json_t *body);
/* Its code; "" when it has none. Borrowed. */
const char *cs_sf_error_code(const json_t *error);

#endif
