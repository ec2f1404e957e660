/* engine/job_webhook.h: what the parts of job "webhook" share. Inside engine/job_webhook*.c only.
 */
#ifndef CS_ENGINE_JOB_WEBHOOK_H
#define CS_ENGINE_JOB_WEBHOOK_H

#include "job.h"
#include "registration.h"

/* What a turn works with. */
typedef struct cs_hook_turn_t {
    cs_job_turn_t *t;
    cs_lane_t *lane;
    apr_pool_t *p;
    json_t *fact;        /* CS_FACT_WEBHOOK */
    cs_pc_hook_t *found; /* as just read; NULL = nothing is registered */
    apr_interval_time_t deadline;
} cs_hook_turn_t;

/* Reads what is registered; 0 = it could not be read, and the turn is over. */
int cs_hook_read(cs_hook_turn_t *h);
/* What was read goes into the fact, and that into the turn's changes. */
void cs_hook_note(cs_hook_turn_t *h);
/* What the job is at, for people. */
void cs_hook_say(cs_hook_turn_t *h, const char *text);
/* A call failed: the job is repeated or failed. */
apr_status_t cs_hook_trouble(cs_hook_turn_t *h, const cs_result_t *why);

/* job_webhook_test.c: asks for a test event, and waits until it came in or surely will not. */
apr_status_t cs_hook_test(cs_hook_turn_t *h, cs_result_t *res);

#endif
