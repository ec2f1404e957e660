/* remote/finding.h: what a check of a prerequisite found: one line for people, and what to do about
 * it. The clients append theirs, the engine those of the server. (engine/job_doctor.c)
 */
#ifndef CS_REMOTE_FINDING_H
#define CS_REMOTE_FINDING_H

#include <apr_tables.h>
#include "../base/result.h"

typedef enum {
    CS_FOUND_OK = 0,
    CS_FOUND_WARN, /* it works, but not as it should, or not for long */
    CS_FOUND_FAIL, /* something does not work because of it */
    CS_FOUND_SKIP  /* could not be checked; the text says why */
} cs_found_e;

typedef struct cs_finding_t {
    const char *check; /* stable key: "sign-in" */
    cs_found_e state;
    const char *text; /* what is the case, with the value */
    const char *fix;  /* what to do; NULL = nothing */
} cs_finding_t;

/* An empty array for findings, in p. */
apr_array_header_t *cs_findings_make(apr_pool_t *p);
/* Appends; check is static or as long-lived as the array, fix is copied (NULL = nothing to do). A
 * text is one line. */
void cs_finding_add(apr_array_header_t *findings, const char *check, cs_found_e state,
                    const char *fix, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* The same for several checks (closed by NULL) that could not be made, all for one reason; those
 * that the array has already are left as they are. */
void cs_findings_skip(apr_array_header_t *findings, const char *const *checks, const char *why);
/* One finding made of several places: the worst state decides, with its first advice; the places
 * that are as bad are named, a few of them. Zero-initialise. */
typedef struct cs_finding_sum_t {
    cs_found_e state;
    int said;
    const char *text, *fix;
} cs_finding_sum_t;
void cs_finding_sum(cs_finding_sum_t *sum, apr_pool_t *p, cs_found_e state, const char *fix,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Appends it; `fine` is the text when nothing was said. */
void cs_finding_add_sum(apr_array_header_t *findings, const char *check,
                        const cs_finding_sum_t *sum, const char *fine);

/* "ok", "warn", "fail", "skip" */
const char *cs_found_name(cs_found_e state);

/* What to do about a sign-in at Microsoft Entra ID that failed with this problem (NULL is allowed);
 * `what`: "client-secret= of CosellPartnerCenter". In p. */
const char *cs_finding_entra_fix(const char *problem, const char *what, apr_pool_t *p);
/* FAIL, or WARN when the other end only asks to come later. */
cs_found_e cs_finding_state(const cs_result_t *res);
/* What to do about an answer that never came, or that says to come later; NULL = the problem is of
 * another kind. */
const char *cs_finding_way_fix(const cs_result_t *res);

#endif
