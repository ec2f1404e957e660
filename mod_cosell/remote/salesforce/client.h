/* remote/salesforce/client.h: what the files of this folder share. */
#ifndef CS_REMOTE_SALESFORCE_CLIENT_H
#define CS_REMOTE_SALESFORCE_CLIENT_H

#include <apr_hash.h>

#include "errors.h"
#include "salesforce.h"
#include "wire.h"

struct cs_crm_t {
    cs_crm_config_t cfg;
    cs_http_t *http;
    cs_limiter_t *limiter;
    cs_token_t *token;
    const char *origin; /* "https://org.my.salesforce.com" */
    apr_pool_t *p;
    cs_crm_usage_t usage;
    apr_hash_t *hidden; /* "Table.Column" -> cs_time_boot() (apr_interval_time_t *) when it was
                           found not to be readable, in p */
    apr_hash_t *said;   /* what was logged already, in p */
};

/* Where all resources are, below the origin; the version is pinned. (crm-apis.md B2) */
#define CS_SF_BASE "/services/data/v60.0/"

#define CS_SF_TOGETHER 25    /* calls in one composite, */
#define CS_SF_QUERIES 5      /* of them queries */
#define CS_SF_MAX_PATH 16000 /* longest address, escaped */
#define CS_SF_MANY 150       /* values in one IN (...) */
#define CS_SF_MAX_ROUNDS 20  /* pages of one query that are followed */

/* call.c: calls with token, headers, quota, session renewal and classification. */

/* One call: alone or as a part of a composite. Zero-initialise, fill `in`. */
typedef struct cs_sf_call_t {
    /* in */
    cs_sf_kind_e kind;  /* what it is for: decides how it is classified */
    const char *method; /* "GET", "POST", "PATCH", "DELETE" */
    const char *path;  /* below CS_SF_BASE, escaped: "sobjects/Opportunity/describe", "query?q=...";
                          or as an answer named it: "/services/data/v60.0/query/01g...-2000" */
    const char *body;  /* JSON text; NULL = none */
    const char *label; /* for logs: "GET Opportunity 006..." */
    /* RFC 1123 date of If-Unmodified-Since, If-Modified-Since; NULL = not sent. Only these headers
     * may differ between calls. */
    const char *unmodified, *modified;
    int query;  /* 1 = counts as a query where calls are put together */
    int probe;  /* 1 = sent although the day's requests are used up to the reserve */
    void *item; /* the caller's */
    /* out */
    int status;      /* 0 = unanswered */
    json_t *json;    /* the body, borrowed from p; NULL = none, or not JSON */
    apr_time_t date; /* when it was answered, by the server's clock; else by ours */
    const char *reason;
    apr_table_t *headers; /* never NULL once sent */
    cs_result_t result;   /* CS_CLASS_OK for 2xx and 304 */
    int calls;            /* requests on the wire; counted at the first part of a composite */
    apr_interval_time_t took;
    const char *correlation;
} cs_sf_call_t;

/* Sends calls, each as a request of its own, at the upstream's concurrency. A result for every
 * call; the status is APR_SUCCESS unless nothing could be attempted (the results say so as well).
 */
apr_status_t cs_sf_send(cs_crm_t *crm, cs_sf_call_t *calls, int n, apr_interval_time_t deadline,
                        apr_pool_t *p);
/* composite.c: sends calls in as few composites as there can be, in order inside of each. Those of
 * `late` = 1 are answered after all others were: in the last composite. A call that is alone goes
 * out as itself. */
apr_status_t cs_sf_send_together(cs_crm_t *crm, cs_sf_call_t *calls, const char *late, int n,
                                 apr_interval_time_t deadline, apr_pool_t *p);

/* A call for a query: `soql` unescaped. CS_ELIMIT when its address gets too long. */
apr_status_t cs_sf_query(cs_sf_call_t *call, const char *soql, const char *label, apr_pool_t *p,
                         cs_result_t *res);
/* The records (borrowed array) of a query's answer; NULL with call->result set to RETRY when the
 * answer is none. *pnext is the path of the next page, NULL = it is the last one. */
const json_t *cs_sf_rows(cs_sf_call_t *call, const char **pnext, apr_pool_t *p);
/* 1 = the path of a page of a query, under whatever version an answer named: it is fetched from
 * where all is, and from nowhere else. */
int cs_sf_is_page(const char *path);
/* 1 = the call failed for a reason that says nothing about what was asked for: the way there, the
 * load, the session, the quota. */
int cs_sf_is_passing(const cs_sf_call_t *call);
/* Says in call->result that the answer is none: RETRY for a read, else UNKNOWN. */
void cs_sf_unreadable(cs_sf_call_t *call, const char *why, apr_pool_t *p);

/* For composite.c: the request that a call is when it is alone, and what a response makes of a
 * call; body: of the call's own, borrowed, or NULL to read it from the response. */
void cs_sf_request(const cs_crm_t *crm, const cs_sf_call_t *call, cs_http_request_t *request,
                   apr_pool_t *p);
void cs_sf_take(cs_crm_t *crm, cs_sf_call_t *call, const cs_http_request_t *request,
                const cs_http_response_t *response, json_t *body, apr_pool_t *p);
/* Sends requests with the token; 0 when nothing may be sent, said in every call. */
int cs_sf_may_send(cs_crm_t *crm, cs_sf_call_t *calls, int n, apr_interval_time_t deadline,
                   apr_pool_t *p);
apr_status_t cs_sf_perform(cs_crm_t *crm, cs_http_request_t *requests,
                           cs_http_response_t *responses, int n, apr_interval_time_t deadline,
                           apr_pool_t *p);
/* JSON of an answer, at most what a client takes; NULL = it is none. Borrowed from p. */
json_t *cs_sf_json(const cs_http_response_t *response, apr_pool_t *p, cs_result_t *why);

/* quota.c */
/* Takes Sforce-Limit-Info of an answer. */
void cs_sf_quota_take(cs_crm_t *crm, const apr_table_t *headers);
void cs_sf_quota_set(cs_crm_t *crm, apr_int64_t used, apr_int64_t most);
/* 1 when nothing but the probe may be sent; says so in res. */
int cs_sf_quota_over(const cs_crm_t *crm, cs_result_t *res, apr_pool_t *p);
void cs_sf_usage(const cs_crm_t *crm, cs_crm_usage_t *usage);

/* 1 the first time that something is said about this client, then 0. */
int cs_sf_say_once(cs_crm_t *crm, const char *what);

/* hidden.c: columns that the user may not see look as if they did not exist. (crm-apis.md B8) */
/* 1 when the refused query named a column or relation as such, which is left out from now on for a
 * while: ask again. */
int cs_sf_hide(cs_crm_t *crm, const char *table, const cs_result_t *refused);
/* 1 = leave "Name" or "Account.Name" out of queries of the table. */
int cs_sf_is_hidden(const cs_crm_t *crm, const char *table, const char *field);

/* read.c, find.c, write.c */
apr_status_t cs_sf_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                        apr_pool_t *p);
apr_status_t cs_sf_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline,
                        apr_pool_t *p);
apr_status_t cs_sf_write(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);

/* describe.c */
apr_status_t cs_sf_describe(cs_crm_t *crm, const apr_array_header_t *tables, json_t **pmetadata,
                            int *pcalls, apr_interval_time_t deadline, apr_pool_t *p,
                            cs_result_t *res);
/* examine.c */
void cs_sf_examine(cs_crm_t *crm, cs_crm_examination_t *exam, apr_interval_time_t deadline,
                   apr_pool_t *p);
/* notice.c: pure, any thread. */
apr_status_t cs_sf_notice(cs_crm_notice_t *notice, const cs_crm_request_t *request,
                          const apr_array_header_t *watched, apr_pool_t *p, cs_result_t *res);
void cs_sf_acknowledge(cs_crm_answer_t *answer, const cs_crm_notice_t *notice);
/* changes.c */
apr_status_t cs_sf_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline,
                           apr_pool_t *p);

/* For whom an assertion is: the login server that the organisation belongs to, whichever of its
 * addresses is asked; any other address for itself. */
const char *cs_sf_addressee(const cs_crm_config_t *cfg, apr_pool_t *p);
/* The caller's own user, from the token's identity address; NULL until there is a token. */
const char *cs_sf_user(const cs_crm_t *crm, apr_pool_t *p);
const char *cs_sf_organization(const cs_crm_t *crm, apr_pool_t *p);

#endif
