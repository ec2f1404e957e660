/* engine/doctor.h: what job_doctor.c asks of this machine and of the site. Inside the engine only.
 *
 * Each function appends findings whose `check` is the whole key ("server.store"). Nothing here asks
 * an upstream.
 */
#ifndef CS_ENGINE_DOCTOR_H
#define CS_ENGINE_DOCTOR_H

#include "job.h"

/* ---- job_doctor_server.c: this machine ---- */

/* server.runner, server.state-dir, server.store (which it writes to), server.selinux. */
void cs_doctor_server(cs_job_turn_t *t, apr_array_header_t *findings);
/* server.clock: how far the clocks of those that answered since `since` are ahead of ours. */
void cs_doctor_clock(const cs_lane_t *lane, apr_time_t since, apr_array_header_t *findings);

/* Pure. */

/* Judges how far an upstream's clock is ahead of ours. */
void cs_doctor_judge_clock(cs_finding_sum_t *sum, const char *upstream, apr_interval_time_t ahead,
                           apr_pool_t *p);
/* Judges what is left of a file system. */
void cs_doctor_judge_space(cs_finding_sum_t *sum, const char *dir, double free_bytes,
                           double all_bytes, apr_pool_t *p);
/* Judges how long a certificate is still good; what: "the client certificate /etc/x.pem". */
void cs_doctor_judge_until(cs_finding_sum_t *sum, const char *what, apr_time_t until,
                           apr_time_t now, apr_interval_time_t early, const char *fix,
                           apr_pool_t *p);
/* server.selinux by the files below root ("/sys/fs/selinux"). */
void cs_doctor_selinux(const char *root, apr_array_header_t *findings);

/* ---- job_doctor_site.c: what is known of the site ---- */

/* partner-center.signature: bundles and certificates that callbacks are checked with. */
void cs_doctor_signature(const cs_lane_t *lane, apr_time_t now, apr_array_header_t *findings);
/* partner-center.account by the fact (NULL = there is none). Pure. */
void cs_doctor_account(const json_t *fact, apr_time_t now, apr_array_header_t *findings);
/* partner-center.webhook: what is registered (NULL = nothing), against what the fact says that we
 * registered (NULL = nothing yet). Pure. */
void cs_doctor_webhook(const json_t *fact, const char *url, const apr_array_header_t *events,
                       apr_array_header_t *findings);
/* "<crm>.mapping": the one in force, and whether its file says the same; "<crm>.certificate" (of
 * those that sign in by one). */
void cs_doctor_mapping(const cs_site_crm_t *crm, const cs_crm_facts_t *facts,
                       apr_array_header_t *findings);
void cs_doctor_certificate(const cs_site_crm_t *crm, apr_time_t now, apr_array_header_t *findings);
/* "<crm>.columns": what does not fit the mapping (const char *). Pure. */
void cs_doctor_columns(const char *crm, const apr_array_header_t *misfits, int tables,
                       apr_array_header_t *findings);
/* "<crm>.<check>", in the findings' pool. */
const char *cs_doctor_key(const char *who, const char *check, apr_pool_t *p);

#endif
