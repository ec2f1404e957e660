/* remote/partner_center/errors.h: what an answer of the Referrals API means, and of the Webhooks
 * API. Pure but for the clock in retry_at. (partner-center-api.md 1.2, 4.11; design 6) */
#ifndef CS_REMOTE_PARTNER_CENTER_ERRORS_H
#define CS_REMOTE_PARTNER_CENTER_ERRORS_H

#include <jansson.h>

#include "../http.h"

/* CS_PC_HOOK: of the Webhooks API, whose answers mean the same as those to a read. */
typedef enum { CS_PC_READ, CS_PC_PATCH, CS_PC_POST, CS_PC_HOOK } cs_pc_kind_e;

/* sent: what a write sent (operations or document), NULL = nothing. An answer of 2xx is CS_CLASS_OK
 * here; its body is judged by who reads it. `said` and `blames` are filled for writes only: the
 * outer message and, when it says more, the innermost one, on one line of at most 500 bytes. */
void cs_pc_classify(cs_result_t *res, const cs_http_response_t *response,
                    const cs_http_request_t *request, cs_pc_kind_e kind, const json_t *sent,
                    apr_pool_t *p);

/* What error.target names, as a JSON pointer: "details.dealValue", "/details/dealValue",
 * "$.Details.DealValue" and, where `sent` changes it, "dealValue" are "/details/dealValue"; "[2]"
 * is the path of the operation with this index. NULL when it names no member ("ETag", prose). */
const char *cs_pc_blamed(const char *target, const json_t *sent, apr_pool_t *p);

#endif
