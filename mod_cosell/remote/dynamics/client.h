/* remote/dynamics/client.h: what the files of this folder share. */
#ifndef CS_REMOTE_DYNAMICS_CLIENT_H
#define CS_REMOTE_DYNAMICS_CLIENT_H

#include <apr_hash.h>

#include "dynamics.h"
#include "errors.h"
#include "wire.h"

struct cs_crm_t {
    cs_crm_config_t cfg;
    cs_http_t *http;
    cs_limiter_t *limiter;
    cs_token_t *token;
    const char *root; /* ends with "/api/data/v9.2/" */
    apr_pool_t *p;
    apr_hash_t *learnt; /* logical name -> cs_dyn_table_t *, in p */
};

/* One item of a batch: its request, its answer and where they belong. */
typedef struct cs_dyn_call_t {
    void *item;
    const cs_dyn_table_t *table;
    const char *id;
    cs_dyn_kind_e kind;
} cs_dyn_call_t;

/* A batch in the making. */
typedef struct cs_dyn_batch_t {
    cs_crm_t *crm;
    cs_dyn_call_t *calls;
    cs_http_request_t *requests;
    cs_http_response_t *responses;
    int n;
    apr_pool_t *p;
} cs_dyn_batch_t;

void cs_dyn_batch_init(cs_dyn_batch_t *batch, cs_crm_t *crm, int max, apr_pool_t *p);
/* Adds a request with the headers of every call; path is relative to the root, label for logs. The
 * caller adds what else it needs to the returned request. */
cs_http_request_t *cs_dyn_batch_add(cs_dyn_batch_t *batch, const char *method, const char *path,
                                    const char *label, const cs_dyn_call_t *call);
/* Sends all. After a status other than APR_SUCCESS no response is filled. */
apr_status_t cs_dyn_batch_send(cs_dyn_batch_t *batch, apr_interval_time_t deadline);

/* Finds a table built in or learnt; usable as cs_dyn_table_fn. */
const cs_dyn_table_t *cs_dyn_table(void *crm, const char *name);
/* Reads the definitions of these tables (const char *) unless they are known. After that
 * cs_dyn_table() knows them, or the result of the last failure is in res. *pcalls counts
 * requests. */
apr_status_t cs_dyn_learn(cs_crm_t *crm, const apr_array_header_t *names,
                          apr_interval_time_t deadline, int *pcalls, apr_pool_t *p,
                          cs_result_t *res);
/* Adds name to the tables to learn when it, or a look-up column of it, is not known. column NULL =
 * only the table matters. */
void cs_dyn_want(cs_crm_t *crm, apr_array_header_t *names, const char *name, const char *column);

/* A JSON object of an answer; NULL with the reason in res: RETRY for a read, else UNKNOWN. */
json_t *cs_dyn_object(cs_result_t *res, const cs_http_response_t *response,
                      const cs_http_request_t *request, cs_dyn_kind_e kind, apr_pool_t *p);
void cs_dyn_unreadable(cs_result_t *res, const cs_http_response_t *response,
                       const cs_http_request_t *request, cs_dyn_kind_e kind, const char *why,
                       apr_pool_t *p);

apr_status_t cs_dyn_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);
apr_status_t cs_dyn_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);
apr_status_t cs_dyn_write(cs_crm_t *crm, cs_crm_write_t *writes, int n,
                          apr_interval_time_t deadline, apr_pool_t *p);

#endif
