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
    apr_hash_t *learnt;             /* logical name -> cs_dyn_table_t *, in p */
    int size;                       /* operations in one $batch: halved when one takes too long */
    apr_interval_time_t refused_at; /* cs_time_boot() when a $batch was refused; 0 = never */
    apr_hash_t *refused;            /* logical name -> why it could not be learnt, in p */
    apr_hash_t *templates;          /* name of a team template -> its id, in p */
    apr_hash_t *said;               /* what was logged already, in p */
};

#define CS_DYN_BATCH_MOST 100

/* batch.c */

typedef struct cs_dyn_batch_t cs_dyn_batch_t;

/* One item of a batch: its request, its answer and where they belong. */
typedef struct cs_dyn_call_t {
    void *item;
    /* Judges the answer at this place. */
    void (*take)(const cs_dyn_batch_t *batch, int at);
    cs_result_t *result; /* of the item: says so when nothing could be sent; NULL = nobody asks */
    const cs_dyn_table_t *table;
    const char *id;
    cs_dyn_kind_e kind;
} cs_dyn_call_t;

/* A batch in the making. */
struct cs_dyn_batch_t {
    cs_crm_t *crm;
    cs_dyn_call_t *calls;
    cs_http_request_t *requests;
    cs_http_response_t *responses;
    int n;
    apr_pool_t *p;
};

void cs_dyn_batch_init(cs_dyn_batch_t *batch, cs_crm_t *crm, int max, apr_pool_t *p);
/* Adds a request with the headers of every call; path is relative to the root, label for logs. The
 * caller adds what else it needs to the returned request. */
cs_http_request_t *cs_dyn_batch_add(cs_dyn_batch_t *batch, const char *method, const char *path,
                                    const char *label, const cs_dyn_call_t *call);
/* Sends all: an operation that is alone as itself, several as parts of $batch requests. Each
 * response is what its operation was answered, whatever the way there; calls is counted at the
 * first operation of a request. After a status other than APR_SUCCESS no response is filled. */
apr_status_t cs_dyn_batch_send(cs_dyn_batch_t *batch, apr_interval_time_t deadline);

/* Deals out the responses of a batch that was sent: calls each item's `take`, or says in its result
 * that nothing could be sent. */
void cs_dyn_batch_take(cs_dyn_batch_t *batch, apr_status_t rv);

/* learn.c */

/* Finds a table built in or learnt; usable as cs_dyn_table_fn. */
const cs_dyn_table_t *cs_dyn_table(void *crm, const char *name);
/* Adds name to the tables to learn when it, or a look-up column of it, is not known. column NULL =
 * only the table matters. */
void cs_dyn_want(cs_crm_t *crm, apr_array_header_t *names, const char *name, const char *column);
/* Reads the definitions of these tables (const char *). After that cs_dyn_table() knows them, or
 * failures has why not: name -> cs_result_t *. What was refused is not asked for again for a
 * minute. *pcalls counts requests. */
apr_status_t cs_dyn_learn(cs_crm_t *crm, const apr_array_header_t *names,
                          apr_interval_time_t deadline, int *pcalls, apr_hash_t *failures,
                          apr_pool_t *p);
/* Says in res why the first of these tables is not known. */
void cs_dyn_unknown(cs_result_t *res, const apr_array_header_t *names, apr_hash_t *failures,
                    apr_pool_t *p);
/* Takes the names of a table from its definition; NULL when it lacks them. */
const cs_dyn_table_t *cs_dyn_keep(cs_crm_t *crm, const json_t *definition, const char *name);

/* The ids of these team templates (const char *: names), asked for once per client.
 * After that cs_dyn_template() knows them, or failures has why not: name -> cs_result_t *. */
apr_status_t cs_dyn_templates(cs_crm_t *crm, const apr_array_header_t *names,
                              apr_interval_time_t deadline, int *pcalls, apr_hash_t *failures,
                              apr_pool_t *p);
/* NULL when it is not known. */
const char *cs_dyn_template(const cs_crm_t *crm, const char *name);

/* 1 the first time that something is said about this client, then 0. */
int cs_dyn_say_once(cs_crm_t *crm, const char *what);

/* A JSON object of an answer; NULL with the reason in res: RETRY for a read, else UNKNOWN. */
json_t *cs_dyn_object(cs_result_t *res, const cs_http_response_t *response,
                      const cs_http_request_t *request, cs_dyn_kind_e kind, apr_pool_t *p);
void cs_dyn_unreadable(cs_result_t *res, const cs_http_response_t *response,
                       const cs_http_request_t *request, cs_dyn_kind_e kind, const char *why,
                       apr_pool_t *p);

apr_status_t cs_dyn_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);

/* related.c: the rows that are read with records. */
typedef struct cs_dyn_lists_t cs_dyn_lists_t;
/* Adds the tables and templates that the lists of this read need. */
void cs_dyn_lists_want(cs_crm_t *crm, const cs_crm_read_t *read, apr_array_header_t *names,
                       apr_array_header_t *templates);
/* The queries for the lists of all these reads. */
cs_dyn_lists_t *cs_dyn_lists_make(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_hash_t *failures,
                                  apr_pool_t *p);
/* How many queries are open; each is one item of a batch. */
int cs_dyn_lists_open(const cs_dyn_lists_t *lists);
void cs_dyn_lists_ask(cs_dyn_lists_t *lists, cs_dyn_batch_t *batch);
/* Adds what is read of closed records alone; once the records themselves were read. */
void cs_dyn_lists_of_closed(cs_dyn_lists_t *lists, cs_crm_read_t *reads, int n,
                            apr_hash_t *failures);
/* Hands each record what was read; after the last round. */
void cs_dyn_lists_finish(cs_dyn_lists_t *lists);

apr_status_t cs_dyn_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline,
                         apr_pool_t *p);
apr_status_t cs_dyn_write(cs_crm_t *crm, cs_crm_write_t *writes, int n,
                          apr_interval_time_t deadline, apr_pool_t *p);

apr_status_t cs_dyn_describe(cs_crm_t *crm, const apr_array_header_t *tables, json_t **pmetadata,
                             int *pcalls, apr_interval_time_t deadline, apr_pool_t *p,
                             cs_result_t *res);

/* examine.c */
void cs_dyn_examine(cs_crm_t *crm, cs_crm_examination_t *exam, apr_interval_time_t deadline,
                    apr_pool_t *p);

/* notice.c: pure, any thread. */
apr_status_t cs_dyn_notice(cs_crm_notice_t *notice, const cs_crm_request_t *request,
                           const apr_array_header_t *watched, apr_pool_t *p, cs_result_t *res);
/* changes.c */
apr_status_t cs_dyn_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline,
                            apr_pool_t *p);

#endif
