/* httpd/metrics.c: handler cosell-metrics: counters and lags in Prometheus' text format, and the
 * same lags for the status page. (design 7.5)
 *
 * GET and HEAD only. Shared memory alone is read: no store, no lock, whatever state those are in.
 * The numbers are of the whole server, so that only hosts that may know of all its sites tell them.
 */
#include "mod_cosell.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"

APLOG_USE_MODULE(cosell);

#define HANDLER "cosell-metrics"
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define LAG "cosell_lag_seconds"
#define LAG_HELP "time from a change's notice, or from when a poll found it, to the other side"

/* ---- lags ---- */

/* "0.25", "5": the bound of a bucket; "+Inf" of the last. */
static const char *bound_text(int bucket, apr_pool_t *p)
{
    static const double bounds[CS_LAG_BUCKETS - 1] = CS_LAG_BOUNDS;
    char text[32];

    if (bucket >= CS_LAG_BUCKETS - 1) {
        return "+Inf";
    }
    /* apr's %g leaves out the zero before the point. */
    snprintf(text, sizeof(text), "%g", bounds[bucket]);
    return apr_pstrdup(p, text);
}

static double lag_seconds(cs_lag_e which)
{
    return (double)cs_lag_sum(which) / APR_USEC_PER_SEC;
}

json_t *cosell_lag_json(apr_pool_t *p)
{
    json_t *all = json_object();
    int i, bucket;

    for (i = 0; i < CS_LAG_MAX; i++) {
        json_t *lag = json_object(), *buckets = json_object();
        json_int_t n = 0;

        for (bucket = 0; bucket < CS_LAG_BUCKETS; bucket++) {
            n = (json_int_t)cs_lag_get((cs_lag_e)i, bucket);
            json_object_set_new(buckets, bound_text(bucket, p), json_integer(n));
        }
        json_object_set_new(lag, "buckets", buckets);
        json_object_set_new(lag, "sum", json_real(lag_seconds((cs_lag_e)i)));
        json_object_set_new(lag, "count", json_integer(n));
        json_object_set_new(all, cs_lag_name((cs_lag_e)i), lag);
    }
    return all;
}

/* ---- the text ---- */

/* What the format wants escaped in a line of help. */
static const char *help_text(const char *text, apr_pool_t *p)
{
    char *out = apr_palloc(p, 2 * strlen(text) + 1), *to = out;

    for (; *text; text++) {
        if (*text == '\\' || *text == '\n') {
            *to++ = '\\';
        }
        *to++ = *text == '\n' ? 'n' : *text;
    }
    *to = '\0';
    return out;
}

static void add(apr_array_header_t *out, const char *text)
{
    APR_ARRAY_PUSH(out, const char *) = text;
}

static void add_counter(apr_array_header_t *out, cs_counter_e id, apr_pool_t *p)
{
    const char *name = cs_counter_name(id);

    add(out, apr_psprintf(p,
                          "# HELP cosell_%s_total %s\n# TYPE cosell_%s_total counter\n"
                          "cosell_%s_total %" APR_UINT64_T_FMT "\n",
                          name, help_text(cs_counter_text(id), p), name, name,
                          cs_counter_get(id)));
}

/* The counts grow while they are read, in the order of the buckets: none falls below the one before
 * it, and the last is the count. */
static void add_lag(apr_array_header_t *out, cs_lag_e which, apr_pool_t *p)
{
    const char *direction = cs_lag_name(which);
    double sum = lag_seconds(which);
    apr_uint64_t n = 0;
    int bucket;

    for (bucket = 0; bucket < CS_LAG_BUCKETS; bucket++) {
        n = cs_lag_get(which, bucket);
        add(out, apr_psprintf(p,
                              LAG "_bucket{direction=\"%s\",le=\"%s\"} %" APR_UINT64_T_FMT "\n",
                              direction, bound_text(bucket, p), n));
    }
    add(out, apr_psprintf(p,
                          LAG "_sum{direction=\"%s\"} %.6f\n" LAG "_count{direction=\"%s\"} "
                              "%" APR_UINT64_T_FMT "\n",
                          direction, sum, direction, n));
}

static const char *metrics_text(apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, 64, sizeof(const char *));
    int i;

    for (i = 0; i < CS_COUNT_MAX; i++) {
        add_counter(out, (cs_counter_e)i, p);
    }
    add(out, "# HELP " LAG " " LAG_HELP "\n# TYPE " LAG " histogram\n");
    for (i = 0; i < CS_LAG_MAX; i++) {
        add_lag(out, (cs_lag_e)i, p);
    }
    return apr_array_pstrcat(p, out, 0);
}

/* ---- the handler ---- */

static int send_text(request_rec *r, int status, const char *text)
{
    apr_table_t *out = r->headers_out;

    apr_table_setn(out, "Cache-Control", "no-store");
    apr_table_setn(out, "X-Content-Type-Options", "nosniff");
    r->status = status;
    ap_set_content_type(r, status == HTTP_OK ? CONTENT_TYPE : "text/plain; charset=utf-8");
    ap_set_content_length(r, (apr_off_t)strlen(text));
    if (!r->header_only) {
        ap_rputs(text, r);
    }
    return OK;
}

int cosell_metrics_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, HANDLER)) {
        return DECLINED;
    }
    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return send_text(r, HTTP_METHOD_NOT_ALLOWED, "allowed are GET and HEAD\n");
    }
    if (!cosell_node) {
        return send_text(r, HTTP_NOT_FOUND, "no host has CosellEngine on\n");
    }
    if (r->server->is_virtual && cosell_node->sites->nelts != 1) {
        return send_text(r, HTTP_FORBIDDEN,
                         "these numbers are of all sites: the main server tells them\n");
    }
    return send_text(r, HTTP_OK, metrics_text(r->pool));
}
