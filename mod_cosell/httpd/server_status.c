/* httpd/server_status.c: our section of mod_status: HTML, and lines "Key: value" for ?auto.
 * (design 7.5)
 *
 * An optional hook: nothing is missing where mod_status is not loaded. It runs in any child and
 * reads shared memory alone. mod_status shows the whole server to whoever may see it, so that sites
 * are told by name.
 */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "../base/time.h"

/* What is worth a line there. */
static const cs_counter_e shown[] = {
    CS_COUNT_ACCEPTED, CS_COUNT_NOTIFIED,      CS_COUNT_POLLED,  CS_COUNT_UNAVAILABLE,
    CS_COUNT_LOOKS,    CS_COUNT_LOOKS_FAILED,  CS_COUNT_CREATED, CS_COUNT_UPDATED,
    CS_COUNT_PC_CREATED, CS_COUNT_PC_UPDATED,  CS_COUNT_CONFLICTS, CS_COUNT_CALLS_PARTNER_CENTER,
    CS_COUNT_CALLS_CRM, CS_COUNT_CALLS_FAILED
};
static const cs_gauge_e of_site[] = { CS_GAUGE_DEALS, CS_GAUGE_BACKLOG, CS_GAUGE_DEAD_LOOKS,
                                      CS_GAUGE_SUSPENDED_LOOKS, CS_GAUGE_HELD, CS_GAUGE_BLOCKED };

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* "accepted_total" becomes "CosellAcceptedTotal": keys of ?auto are one word. */
static const char *key_of(const char *prefix, const char *name, apr_pool_t *p)
{
    char *key = apr_pstrcat(p, prefix, name, NULL);
    char *from, *to = key;
    int capital = 0;

    for (from = key; *from; from++) {
        if (*from == '_' || (from == key + strlen(prefix) && *prefix)) {
            capital = 1;
        }
        if (*from != '_') {
            *to++ = capital ? (char)apr_toupper(*from) : *from;
            capital = 0;
        }
    }
    *to = '\0';
    return key;
}

static const char *number(cs_gauge_e id, int site, apr_pool_t *p)
{
    apr_int64_t value = cs_gauge_get(id, site, -1);

    return value == CS_GAUGE_UNKNOWN ? "-" : apr_psprintf(p, "%" APR_INT64_T_FMT, value);
}

/* Seconds, or "-" while nothing waits. */
static const char *oldest(int site, apr_pool_t *p)
{
    apr_int64_t since = cs_gauge_get(CS_GAUGE_BACKLOG_OLDEST, site, -1);

    return since == CS_GAUGE_UNKNOWN
               ? "-"
               : apr_psprintf(p, "%d", (int)apr_time_sec(cs_time_now() - since));
}

/* A value has one line. */
static const char *one_line(const char *text, apr_pool_t *p)
{
    char *line = apr_pstrdup(p, text), *c;

    for (c = line; *c; c++) {
        if (apr_iscntrl(*c)) {
            *c = ' ';
        }
    }
    return line;
}

static void lines(request_rec *r, const apr_array_header_t *alerts)
{
    const char *site;
    int i, j;

    ap_rprintf(r, "CosellVersion: %s\nCosellRunner: %s\n", COSELL_VERSION,
               cs_runner_is_alive() ? "alive" : "gone");
    for (i = 0; i < COUNT_OF(shown); i++) {
        ap_rprintf(r, "%s: %" APR_UINT64_T_FMT "\n",
                   key_of("Cosell", cs_counter_name(shown[i]), r->pool), cs_counter_get(shown[i]));
    }
    for (i = 0; i < CS_GAUGE_SITES; i++) {
        site = cs_gauge_site_name(i, r->pool);
        for (j = 0; site && j < COUNT_OF(of_site); j++) {
            ap_rprintf(r, "%s[%s]: %s\n", key_of("Cosell", cs_gauge_name(of_site[j]), r->pool),
                       site, number(of_site[j], i, r->pool));
        }
        if (site) {
            ap_rprintf(r, "CosellBacklogOldestSeconds[%s]: %s\n", site, oldest(i, r->pool));
        }
    }
    ap_rprintf(r, "CosellAlerts: %d\n", alerts->nelts);
    for (i = 0; i < alerts->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(alerts, i, const cs_alert_t *);

        ap_rprintf(r, "CosellAlert[%d]: %s %s %s %s\n", i + 1,
                   alert->level == CS_ALERT_ERROR ? "error" : "warning",
                   *alert->site ? alert->site : "-", one_line(alert->what, r->pool),
                   one_line(alert->text, r->pool));
    }
}

static void alerts_html(request_rec *r, const apr_array_header_t *alerts)
{
    int i;

    if (!alerts->nelts) {
        ap_rputs("<p>Nothing needs anybody.</p>\n", r);
        return;
    }
    ap_rputs("<ul>\n", r);
    for (i = 0; i < alerts->nelts; i++) {
        const cs_alert_t *alert = APR_ARRAY_IDX(alerts, i, const cs_alert_t *);

        ap_rprintf(r, "<li><b>%s</b> %s%s%s, since %s%s%s</li>\n",
                   alert->level == CS_ALERT_ERROR ? "Error:" : "Warning:",
                   ap_escape_html(r->pool, alert->site), *alert->site ? ": " : "",
                   ap_escape_html(r->pool, alert->text),
                   cs_time_format_minute(alert->since, r->pool), *alert->todo ? ". To do: " : "",
                   ap_escape_html(r->pool, alert->todo));
    }
    ap_rputs("</ul>\n", r);
}

static void sites_html(request_rec *r)
{
    const char *site;
    int i, j;

    ap_rputs("<table border=\"0\"><tr><th>Site</th>", r);
    for (j = 0; j < COUNT_OF(of_site); j++) {
        ap_rprintf(r, "<th>%s</th>", cs_gauge_name(of_site[j]));
    }
    ap_rputs("<th>oldest, s</th></tr>\n", r);
    for (i = 0; i < CS_GAUGE_SITES; i++) {
        site = cs_gauge_site_name(i, r->pool);
        if (!site) {
            continue;
        }
        ap_rprintf(r, "<tr><td>%s</td>", ap_escape_html(r->pool, site));
        for (j = 0; j < COUNT_OF(of_site); j++) {
            ap_rprintf(r, "<td>%s</td>", number(of_site[j], i, r->pool));
        }
        ap_rprintf(r, "<td>%s</td></tr>\n", oldest(i, r->pool));
    }
    ap_rputs("</table>\n", r);
}

static void html(request_rec *r, int flags, const apr_array_header_t *alerts)
{
    int i;

    ap_rprintf(r, "<hr>\n<h2>Co-sell synchronisation</h2>\n<p>mod_cosell %s; the runner is %s.",
               COSELL_VERSION, cs_runner_is_alive() ? "alive" : "<b>gone</b>");
    for (i = 0; i < COUNT_OF(shown); i++) {
        ap_rprintf(r, "%s %s %" APR_UINT64_T_FMT, i ? "," : " Since the server started:",
                   cs_counter_name(shown[i]), cs_counter_get(shown[i]));
    }
    ap_rputs(".</p>\n", r);
    alerts_html(r, alerts);
    if (!(flags & AP_STATUS_NOTABLE)) {
        sites_html(r);
    }
}

static int section(request_rec *r, int flags)
{
    const apr_array_header_t *alerts;

    if (!cosell_node) {
        return DECLINED;
    }
    alerts = cs_alerts_list(NULL, r->pool);
    if (flags & AP_STATUS_SHORT) {
        lines(r, alerts);
    }
    else {
        html(r, flags, alerts);
    }
    return OK;
}

void cosell_mod_status_register(apr_pool_t *p)
{
    (void)p;
    APR_OPTIONAL_HOOK(ap, status_hook, section, NULL, NULL, APR_HOOK_MIDDLE);
}
