/* base/trace.h: the W3C trace context: where a request belongs to, across systems. (traceparent of
 * the recommendation of 23 November 2021)
 *
 * Inside, a trace is the text "00-<trace id>-<span id>-<flags>" of 55 characters: as it came with a
 * notice, or our own. Of its flags only "sampled" is passed on. Pure but for randomness.
 */
#ifndef CS_BASE_TRACE_H
#define CS_BASE_TRACE_H

#include <apr_pools.h>

#define CS_TRACE_HEADER "traceparent"
#define CS_TRACE_LEN 55
#define CS_TRACE_ID_LEN 32

/* What a header says, in the form above, in p: strictly version 00, of later versions what they
 * have in common with it. NULL for anything else, NULL included: then it says nothing. */
const char *cs_trace_parse(const char *header, apr_pool_t *p);
/* A trace of its own, not sampled; in p. */
const char *cs_trace_new(apr_pool_t *p);
/* The same trace with a span of its own, for one request that belongs to it; in p. */
const char *cs_trace_span(const char *trace, apr_pool_t *p);
/* The trace id alone, in p. */
const char *cs_trace_id(const char *trace, apr_pool_t *p);

#endif
