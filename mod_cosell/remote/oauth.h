/* remote/oauth.h: what all requests to a token endpoint share: their forms, their errors, and what
 * a person does about an error. Inside remote/ only. (partner-center-api.md 3; RFC 6749, 8628) */
#ifndef CS_REMOTE_OAUTH_H
#define CS_REMOTE_OAUTH_H

#include <jansson.h>

#include "http.h"
#include "../base/secret.h"

#define CS_OAUTH_MAX_ANSWER ((apr_size_t)64 * 1024)

/* 1 = an endpoint of Entra's first version, by its path: it wants `resource` instead of `scope`. */
int cs_oauth_is_v1(const char *url);
/* The form as text, wiped at the end of p. */
const char *cs_oauth_form(const apr_table_t *form, apr_pool_t *p);
/* A copy that is wiped at the end of p. */
const char *cs_oauth_keep(const char *text, apr_pool_t *p);
/* A POST of this form whose body reaches no log. */
void cs_oauth_request(cs_http_request_t *request, const char *url, const char *body,
                      const char *label, apr_pool_t *p);

/* What an answer other than 200 means; json: its document or NULL. CS_CLASS_SUSPEND for what needs
 * a person (problem "oauth:invalid_grant", detail with the AADSTS code and, where `person` signs
 * in, what to do about it), RETRY / THROTTLED otherwise. Returns res->rv, never APR_SUCCESS. */
apr_status_t cs_oauth_refused(const cs_http_response_t *response, const cs_http_request_t *request,
                              const json_t *json, int person, apr_pool_t *p, cs_result_t *res);
/* 1 = the error is this AADSTS code. */
int cs_oauth_is_code(const json_t *json, int code);
/* What a person does about an error of a person's sign-in: one sentence without its end. text: what
 * Entra said with it, may be NULL. Never NULL. Static. */
const char *cs_oauth_advice(const char *error, const char *text);
/* "invalid_grant: AADSTS50173: The provided ..." on one line, bounded, without the trace ids behind
 * it. */
const char *cs_oauth_words(const char *error, const char *text, apr_pool_t *p);

#endif
