/* httpd/metrics.c: handler cosell-metrics: counters, gauges, lags and alerts in Prometheus' text
 * format, and the same lags for the status page. (design 7.5)
 *
 * GET and HEAD only. Shared memory alone is read: no store, no lock, whatever state those are in.
 * The numbers are of the whole server, so that only hosts that may know of all its sites tell them.
 * conf/monitoring/metrics.md lists what is told; `make lint` compares it with a live page.
 */
#include "mod_cosell.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"
#include "../base/time.h"

APLOG_USE_MODULE(cosell);

#define HANDLER "cosell-metrics"
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define LAG "cosell_lag_seconds"
#define LAG_HELP "time from a change's notice, or from when a poll found it, to the other side"
#define ACCEPT "cosell_accept_seconds"
#define ACCEPT_HELP "how long senders of notices waited for their answer"
#define CALLS "cosell_upstream_calls_total"
#define CALLS_HELP "requests to upstreams by how they ended; a batch is one request"

/* ---- lags ---- */

/* "0.25", "5": the bound of a bucket; "+Inf" of the last. */
static const char *bound_of(const double *bounds, int n, int bucket, apr_pool_t *p)
{
    char text[32];

    if (bucket >= n) {
        return "+Inf";
    }
    /* apr's %g leaves out the zero before the point. */
    snprintf(text, sizeof(text), "%g", bounds[bucket]);
    return apr_pstrdup(p, text);
}

static const char *bound_text(int bucket, apr_pool_t *p)
{
    static const double bounds[CS_LAG_BUCKETS - 1] = CS_LAG_BOUNDS;

    return bound_of(bounds, CS_LAG_BUCKETS - 1, bucket, p);
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

/* What the format wants escaped in a line of help, and in a label, which is quoted. */
static const char *escape(const char *text, int quoted, apr_pool_t *p)
{
    char *out = apr_palloc(p, 2 * strlen(text) + 1), *to = out;

    for (; *text; text++) {
        if (*text == '\\' || *text == '\n' || (quoted && *text == '"')) {
            *to++ = '\\';
        }
        *to++ = *text == '\n' ? 'n' : *text;
    }
    *to = '\0';
    return out;
}

static const char *label(const char *name, const char *value, apr_pool_t *p)
{
    return apr_pstrcat(p, name, "=\"", escape(value, 1, p), "\"", NULL);
}

static void add(apr_array_header_t *out, const char *text)
{
    APR_ARRAY_PUSH(out, const char *) = text;
}

static void add_head(apr_array_header_t *out, const char *name, const char *type, const char *text,
                     apr_pool_t *p)
{
    add(out, apr_psprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, escape(text, 0, p), name, type));
}

static void add_counter(apr_array_header_t *out, cs_counter_e id, apr_pool_t *p)
{
    const char *name = apr_pstrcat(p, "cosell_", cs_counter_name(id), "_total", NULL);

    add_head(out, name, "counter", cs_counter_text(id), p);
    add(out, apr_psprintf(p, "%s %" APR_UINT64_T_FMT "\n", name, cs_counter_get(id)));
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

static void add_accept(apr_array_header_t *out, cs_accept_e which, apr_pool_t *p)
{
    static const double bounds[CS_ACCEPT_BUCKETS - 1] = CS_ACCEPT_BOUNDS;
    const char *outcome = cs_accept_name(which);
    double sum = (double)cs_accept_sum(which) / APR_USEC_PER_SEC;
    apr_uint64_t n = 0;
    int bucket;

    for (bucket = 0; bucket < CS_ACCEPT_BUCKETS; bucket++) {
        n = cs_accept_get(which, bucket);
        add(out, apr_psprintf(p,
                              ACCEPT "_bucket{outcome=\"%s\",le=\"%s\"} %" APR_UINT64_T_FMT "\n",
                              outcome, bound_of(bounds, CS_ACCEPT_BUCKETS - 1, bucket, p), n));
    }
    add(out, apr_psprintf(p,
                          ACCEPT "_sum{outcome=\"%s\"} %.6f\n" ACCEPT "_count{outcome=\"%s\"} "
                                 "%" APR_UINT64_T_FMT "\n",
                          outcome, sum, outcome, n));
}

/* ---- gauges ---- */

/* A place among the gauges that has a name. */
typedef struct place_t {
    int site, upstream; /* -1 = the site itself */
    const char *labels; /* "site=\"contoso\",upstream=\"sales\"" */
} place_t;

static void add_places_of(apr_array_header_t *places, int site, apr_pool_t *p)
{
    const char *name = cs_gauge_site_name(site, p), *upstream;
    place_t *place;
    int i;

    if (!name) {
        return;
    }
    place = apr_array_push(places);
    place->site = site;
    place->upstream = -1;
    place->labels = label("site", name, p);
    for (i = 0; i < CS_GAUGE_UPSTREAMS; i++) {
        upstream = cs_gauge_upstream_name(site, i, p);
        if (upstream) {
            place = apr_array_push(places);
            place->site = site;
            place->upstream = i;
            place->labels = apr_pstrcat(p, label("site", name, p), ",",
                                        label("upstream", upstream, p), NULL);
        }
    }
}

static apr_array_header_t *all_places(apr_pool_t *p)
{
    apr_array_header_t *places = apr_array_make(p, 16, sizeof(place_t));
    int i;

    for (i = 0; i < CS_GAUGE_SITES; i++) {
        add_places_of(places, i, p);
    }
    return places;
}

/* "" while nobody has measured it. */
static const char *value_text(cs_gauge_e id, int site, int upstream, apr_pool_t *p)
{
    apr_int64_t value = cs_gauge_get(id, site, upstream);
    apr_int64_t age;

    if (id == CS_GAUGE_RUNNER_UP) {
        value = cs_runner_is_alive();
    }
    if (value == CS_GAUGE_UNKNOWN) {
        return "";
    }
    switch (cs_gauge_form(id)) {
    case CS_GAUGE_AGE:
        age = cs_time_now() - value;
        return apr_psprintf(p, "%.3f", age > 0 ? (double)age / APR_USEC_PER_SEC : 0.0);
    case CS_GAUGE_TIME:
        return apr_psprintf(p, "%.3f", (double)value / APR_USEC_PER_SEC);
    default:
        return apr_psprintf(p, "%" APR_INT64_T_FMT, value);
    }
}

static void add_value(apr_array_header_t *out, const char *name, const char *labels,
                      const char *value, apr_pool_t *p)
{
    if (*value) {
        add(out, labels ? apr_pstrcat(p, name, "{", labels, "} ", value, "\n", NULL)
                        : apr_pstrcat(p, name, " ", value, "\n", NULL));
    }
}

static void add_gauge(apr_array_header_t *out, cs_gauge_e id, const apr_array_header_t *places,
                      apr_pool_t *p)
{
    const char *name = apr_pstrcat(p, "cosell_", cs_gauge_name(id), NULL);
    cs_gauge_scope_e scope = cs_gauge_scope(id);
    int i;

    add_head(out, name, cs_gauge_form(id) == CS_GAUGE_TOTAL ? "counter" : "gauge",
             cs_gauge_text(id), p);
    if (scope == CS_GAUGE_OF_SERVER) {
        add_value(out, name, NULL, value_text(id, -1, -1, p), p);
        return;
    }
    for (i = 0; i < places->nelts; i++) {
        const place_t *place = &APR_ARRAY_IDX(places, i, place_t);

        if ((place->upstream >= 0) == (scope == CS_GAUGE_OF_UPSTREAM)) {
            add_value(out, name, place->labels, value_text(id, place->site, place->upstream, p),
                      p);
        }
    }
}

static void add_calls(apr_array_header_t *out, const apr_array_header_t *places, apr_pool_t *p)
{
    int i, outcome;

    add_head(out, CALLS, "counter", CALLS_HELP, p);
    for (i = 0; i < places->nelts; i++) {
        const place_t *place = &APR_ARRAY_IDX(places, i, place_t);

        for (outcome = 0; place->upstream >= 0 && outcome < CS_OUTCOME_MAX; outcome++) {
            add(out, apr_psprintf(p, CALLS "{%s,%s} %" APR_UINT64_T_FMT "\n", place->labels,
                                  label("outcome", cs_outcome_name((cs_outcome_e)outcome), p),
                                  cs_call_get(place->site, place->upstream,
                                              (cs_outcome_e)outcome)));
        }
    }
}

/* ---- alerts ---- */

static const char *level_name(cs_alert_level_e level)
{
    return level == CS_ALERT_ERROR ? "error" : "warning";
}

static void add_alerts(apr_array_header_t *out, apr_pool_t *p)
{
    const apr_array_header_t *list = cs_alerts_list(NULL, p);
    int i, n[2] = { 0, 0 };

    add_head(out, "cosell_alert", "gauge",
             "1 for each alert that is on; the status page has its text and what to do", p);
    for (i = 0; i < list->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(list, i, const cs_alert_t *);

        n[alert->level == CS_ALERT_ERROR]++;
        add(out, apr_psprintf(p, "cosell_alert{%s,%s,%s} 1\n", label("site", alert->site, p),
                              label("what", alert->what, p),
                              label("level", level_name(alert->level), p)));
    }
    add_head(out, "cosell_alerts", "gauge", "alerts that are on, by level", p);
    add(out, apr_psprintf(p, "cosell_alerts{level=\"error\"} %d\n"
                             "cosell_alerts{level=\"warning\"} %d\n", n[1], n[0]));
}

static const char *metrics_text(apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, 256, sizeof(const char *));
    const apr_array_header_t *places = all_places(p);
    int i;

    add_head(out, "cosell_build_info", "gauge", "always 1; the version is its label", p);
    add(out, apr_psprintf(p, "cosell_build_info{%s} 1\n", label("version", COSELL_VERSION, p)));
    for (i = 0; i < CS_COUNT_MAX; i++) {
        add_counter(out, (cs_counter_e)i, p);
    }
    add_head(out, ACCEPT, "histogram", ACCEPT_HELP, p);
    for (i = 0; i < CS_ACCEPT_MAX; i++) {
        add_accept(out, (cs_accept_e)i, p);
    }
    add_head(out, LAG, "histogram", LAG_HELP, p);
    for (i = 0; i < CS_LAG_MAX; i++) {
        add_lag(out, (cs_lag_e)i, p);
    }
    add_calls(out, places, p);
    for (i = 0; i < CS_GAUGE_MAX; i++) {
        add_gauge(out, (cs_gauge_e)i, places, p);
    }
    add_alerts(out, p);
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
