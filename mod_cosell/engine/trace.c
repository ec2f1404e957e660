/* engine/trace.c: which trace the requests of a batch belong to.
 *
 * A notice may come with a trace; its look goes on in it, or in one of its own. What is asked for
 * one deal bears its look's trace. What is asked for several at once bears theirs when it is one
 * and the same, else the batch's own. */
#include <string.h>

#include <apr_strings.h>

#include "../base/trace.h"
#include "batch.h"

void cs_item_trace(cs_batch_t *b, cs_item_t *item)
{
    const char *trace = cs_trace_parse(item->work->trace, b->p);

    item->trace = trace ? trace : cs_trace_new(b->p);
}

/* The same trace may have come with notices of several spans. */
static int is_same(const char *a, const char *b)
{
    return !strncmp(a + 3, b + 3, CS_TRACE_ID_LEN);
}

const char *cs_trace_shared(cs_batch_t *b, const char *so_far, const cs_item_t *item)
{
    if (!item->trace || !so_far) {
        return item->trace ? item->trace : so_far;
    }
    if (is_same(so_far, item->trace)) {
        return so_far;
    }
    b->trace = b->trace ? b->trace : cs_trace_new(b->p);
    return b->trace;
}

void cs_batch_trace(cs_batch_t *b)
{
    const char *trace = NULL;
    int i;

    for (i = 0; i < b->items->nelts; ++i) {
        trace = cs_trace_shared(b, trace, APR_ARRAY_IDX(b->items, i, cs_item_t *));
    }
    cs_batch_trace_is(b, trace);
}

void cs_batch_trace_is(cs_batch_t *b, const char *trace)
{
    if (b->lane->http) {
        cs_http_trace(b->lane->http, trace);
    }
}

const char *cs_item_correlation(cs_batch_t *b, const cs_item_t *item, const char *ids)
{
    const char *trace =
        item->trace ? apr_pstrcat(b->p, "trace=", cs_trace_id(item->trace, b->p), NULL) : NULL;

    return ids && trace ? apr_pstrcat(b->p, ids, "; ", trace, NULL) : ids ? ids : trace;
}
