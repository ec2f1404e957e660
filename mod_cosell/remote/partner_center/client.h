/* remote/partner_center/client.h: what the files of this folder share. */
#ifndef CS_REMOTE_PARTNER_CENTER_CLIENT_H
#define CS_REMOTE_PARTNER_CENTER_CLIENT_H

#include "errors.h"
#include "partner_center.h"

struct cs_pc_t {
    cs_pc_config_t cfg;
    cs_token_t *token;
    cs_http_t *http;
    cs_limiter_t *limiter;
    const char *base; /* without a trailing slash: ".../v1.0/engagements/referrals" */
};

/* A request with the headers of every call. id: client-request-id, NULL = a fresh one. */
void cs_pc_request(cs_http_request_t *request, const char *method, const char *url,
                   const char *label, const char *id, apr_pool_t *p);
/* cs_token_perform() with what the client has. */
apr_status_t cs_pc_perform(cs_pc_t *pc, cs_http_request_t *requests, cs_http_response_t *responses,
                           int n, apr_interval_time_t deadline, apr_pool_t *p);

/* Adds what an answer cost to the caller's sums, and counts it. */
void cs_pc_note(int *pcalls, apr_interval_time_t *ptook, const char **pcorrelation,
                const cs_http_response_t *response);
/* 1 when text is a GUID; else 0 with the reason in res. */
int cs_pc_check_id(const char *id, cs_result_t *res, apr_pool_t *p);
void cs_pc_nothing_sent(cs_result_t *res, apr_status_t rv, apr_pool_t *p);
/* A body that is not what it should be: cls RETRY for a read, for it may be cut. */
void cs_pc_unreadable(cs_result_t *res, cs_class_e cls, const cs_http_response_t *response,
                      const cs_http_request_t *request, const char *why, apr_pool_t *p);
/* The object in an answer; NULL with the reason in res. */
json_t *cs_pc_object(cs_result_t *res, cs_class_e cls, const cs_http_response_t *response,
                     const cs_http_request_t *request, apr_pool_t *p);
/* The same of a read, which is answered 200. */
json_t *cs_pc_read_object(cs_result_t *res, const cs_http_response_t *response,
                          const cs_http_request_t *request, apr_pool_t *p);
/* Clears what comes out of a read. */
void cs_pc_read_reset(cs_pc_read_t *read);
/* The text of a member, whatever the case of its name. Borrowed. */
const char *cs_pc_member(const json_t *doc, const char *name);

/* Of m answered requests, which 403 is about the account (SUSPEND stays) and which about its
 * referral alone (REFUSED)? May ask once more. */
void cs_pc_judge_forbidden(cs_pc_t *pc, cs_result_t **results, const cs_http_response_t *responses,
                           int m, apr_interval_time_t deadline, apr_pool_t *p);

#endif
