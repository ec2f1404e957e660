/* httpd/admin_server.c: what is known of the whole server, most of it without the store. */
#include "admin.h"

#include <ap_mpm.h>
#include <string.h>
#include <unistd.h>

#include "../base/gauge.h"

static json_t *counters_json(void)
{
    json_t *json = json_object();
    int i;

    for (i = 0; i < CS_COUNT_MAX; i++) {
        cosell_put(json, cs_counter_name((cs_counter_e)i),
                   json_integer((json_int_t)cs_counter_get((cs_counter_e)i)));
    }
    return json;
}

static json_t *runner_json(apr_pool_t *p)
{
    const cosell_shared_t *shared = cosell_node->shared;
    apr_interval_time_t silent;
    json_t *json = json_object();
    apr_int64_t pid;

    if (!shared) {
        return json;
    }
    pid = atomic_load_explicit(&shared->runner_pid, memory_order_relaxed);
    silent = cs_time_mono() - atomic_load_explicit(&shared->runner_beat, memory_order_relaxed);
    cosell_put(json, "alive", json_boolean(pid && silent < apr_time_from_sec(15)));
    cosell_put(json, "pid", pid ? json_integer(pid) : json_null());
    cosell_put(json, "starts", json_integer((json_int_t)cs_counter_get(CS_COUNT_RUNNER_STARTS)));
    cosell_put(json, "started",
               cosell_time_json(atomic_load_explicit(&shared->runner_start, memory_order_relaxed),
                                p));
    cosell_put(json, "silent_ms", json_integer(apr_time_as_msec(silent)));
    cosell_put(json, "workers", json_integer(cosell_node->cfg.workers));
    return json;
}

static json_t *committer_json(apr_pool_t *p)
{
    const char *reason = NULL;
    json_t *json = json_object();
    int troubled = 1;

    if (cosell_child && cosell_child->committer) {
        troubled = cs_committer_troubled(cosell_child->committer, &reason, p);
    }
    else {
        reason = cosell_child && cosell_child->why ? cosell_child->why : "not started";
    }
    cosell_put(json, "troubled", json_boolean(troubled));
    cosell_put(json, "reason", cosell_text_json(troubled ? reason : NULL));
    return json;
}

static json_t *server_json(apr_pool_t *p)
{
    json_t *json = json_object();
    int generation = 0;

    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    cosell_put(json, "pid", json_integer((json_int_t)getpid()));
    cosell_put(json, "generation", json_integer(generation));
    cosell_put(json, "time", json_string(cs_time_format(cs_time_now(), p)));
    return json;
}

/* ---- alerts and history ---- */

static json_t *alert_json(const cs_alert_t *alert, apr_pool_t *p)
{
    json_t *json = json_object();

    cosell_put(json, "site", cosell_text_json(alert->site));
    cosell_put(json, "what", cosell_text_json(alert->what));
    cosell_put(json, "level",
               json_string(alert->level == CS_ALERT_ERROR ? "error" : "warning"));
    cosell_put(json, "text", cosell_text_json(alert->text));
    cosell_put(json, "todo", cosell_text_json(alert->todo));
    cosell_put(json, "since", cosell_time_json(alert->since, p));
    return json;
}

static json_t *alerts_json(const cosell_page_t *page)
{
    const char *site = page->all ? NULL : page->site ? page->site->cfg.name : "";
    apr_array_header_t *alerts = cs_alerts_list(site, page->p);
    json_t *list = json_array();
    int i;

    for (i = 0; alerts && i < alerts->nelts; i++) {
        json_array_append_new(list,
                              alert_json(APR_ARRAY_IDX(alerts, i, cs_alert_t *), page->p));
    }
    return list;
}

static json_t *series_json(cs_history_e which, int *pn, apr_time_t *pend)
{
    double values[CS_HISTORY_MINUTES];
    json_t *json = json_object(), *list = json_array();
    int n = cs_history_read(which, values, pend), i;

    for (i = 0; i < n; i++) {
        json_array_append_new(list, values[i] < 0 ? json_null() : json_real(values[i]));
    }
    *pn = n > *pn ? n : *pn;
    cosell_put(json, "name", json_string(cs_history_name(which)));
    cosell_put(json, "unit", json_string(cs_history_unit(which)));
    cosell_put(json, "text", json_string(cs_history_text(which)));
    cosell_put(json, "values", list);
    return json;
}

static json_t *history_json(apr_pool_t *p)
{
    json_t *json = json_object(), *list = json_array();
    apr_time_t end = 0;
    int n = 0, i;

    for (i = 0; i < CS_HISTORY_MAX; i++) {
        json_array_append_new(list, series_json((cs_history_e)i, &n, &end));
    }
    cosell_put(json, "end", cosell_time_json(n ? end : 0, p));
    cosell_put(json, "minutes", json_integer(n));
    cosell_put(json, "series", list);
    return json;
}

/* ---- all of it ---- */

/* Numbers of the whole server: for hosts that may know of all its sites. */
static int may_see_server(const cosell_page_t *page)
{
    return !page->r->server->is_virtual || cosell_node->sites->nelts == 1;
}

void cosell_put_server(cosell_page_t *page)
{
    cs_store_counts_t counts = { 0 };
    json_t *store = json_object();

    cosell_put(page->out, "version", json_string(COSELL_VERSION));
    cosell_put(page->out, "server", server_json(page->p));
    cosell_put(page->out, "alerts", alerts_json(page));
    cosell_put(page->out, "runner", runner_json(page->p));
    cosell_put(page->out, "committer", committer_json(page->p));
    if (may_see_server(page)) {
        cosell_put(page->out, "history", history_json(page->p));
        cosell_put(page->out, "counters", counters_json());
        cosell_put(page->out, "lag", cosell_lag_json(page->p));
        cosell_put(store, "directory", json_string(cosell_node->cfg.store.state_dir));
    }
    cosell_put(store, "kind", json_string(cosell_node->cfg.store.kind));
    cosell_put(page->out, "store", store);
    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_counts(page->store, NULL, &counts, page->p, &page->res)) &&
        may_see_server(page)) {
        cosell_put(store, "bytes", json_integer(counts.bytes));
        cosell_put(store, "wal_bytes", json_integer(counts.wal_bytes));
    }
}
