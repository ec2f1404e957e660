/* What the status page alone knows of the server's health: asked before any job, and when none can
 * be taken. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

typedef struct checks_t {
    ctl_t *c;
    ctl_check_fn *fn;
    apr_pool_t *p;
} checks_t;

static const char *text_of(const json_t *obj, const char *name, apr_pool_t *p)
{
    const char *text = cs_json_str(obj, name);

    return text ? ctl_clean(text, p) : NULL;
}

static void check_runner(const checks_t *k, const json_t *overview)
{
    const json_t *runner = cs_json_get(overview, "runner");
    apr_int64_t workers = cs_json_int(runner, "workers", -1);

    if (workers == 0) {
        k->fn(k->c, "fail", "runner", "CosellWorkers is 0: notices are accepted, nothing is done",
              "set CosellWorkers to 1 or more and reload httpd");
    }
    else if (!cs_json_bool(runner, "alive", 0)) {
        k->fn(k->c, "fail", "runner",
              "the runner process gives no sign of life: nothing is looked at, no job begins",
              "the error log says why it ended (grep CS10 and CS20); httpd starts it again by "
              "itself, a restart of httpd does so at once");
    }
    else {
        k->fn(k->c, "ok", "runner",
              apr_psprintf(k->p, "alive, %" APR_INT64_T_FMT " workers, pid %" APR_INT64_T_FMT,
                           workers, cs_json_int(runner, "pid", 0)),
              NULL);
    }
}

static void check_store(const checks_t *k, const json_t *overview)
{
    const json_t *committer = cs_json_get(overview, "committer");
    const char *why = text_of(overview, "error", k->p);
    const char *reason = text_of(committer, "reason", k->p);

    if (why) {
        k->fn(k->c, "fail", "store", why, "see that the disk of CosellStateDir works and has room");
    }
    else if (cs_json_bool(committer, "troubled", 0)) {
        k->fn(k->c, "fail", "store",
              apr_pstrcat(k->p, "notices cannot be made durable: ", reason ? reason : "?", NULL),
              "see that the disk of CosellStateDir works and has room; Partner Center repeats "
              "what is refused meanwhile");
    }
    else {
        k->fn(k->c, "ok", "store", "it takes and answers", NULL);
    }
}

static void check_site(const checks_t *k, const json_t *site)
{
    const json_t *paused = cs_json_get(site, "paused");
    const char *degraded = text_of(site, "degraded", k->p);
    const char *name = text_of(site, "site", k->p);

    if (degraded) {
        k->fn(k->c, "fail", "site",
              apr_pstrcat(k->p, "site ", name ? name : "?", " does not work: ", degraded, NULL),
              "correct httpd's configuration (apachectl configtest) and reload");
    }
    if (json_is_object(paused)) {
        const char *by = text_of(paused, "by", k->p), *why = text_of(paused, "why", k->p);

        k->fn(k->c, "warn", "paused",
              apr_pstrcat(k->p, "site ", name ? name : "?", " is paused by ", by ? by : "?",
                          " since ", ctl_when(cs_json_get(paused, "at"), k->p), why ? ": " : "",
                          why ? why : "", NULL),
              "cosellctl resume");
    }
}

static void check_alerts(const checks_t *k, const json_t *overview)
{
    json_t *alert;
    size_t i;

    json_array_foreach((json_t *)cs_json_get(overview, "alerts"), i, alert) {
        const char *level = cs_json_str(alert, "level"), *todo = text_of(alert, "todo", k->p);
        const char *what = text_of(alert, "what", k->p), *text = text_of(alert, "text", k->p);

        if (!ctl_is_of_site(k->c, alert)) {
            continue;
        }
        k->fn(k->c, level && !strcmp(level, "error") ? "fail" : "warn", what ? what : "alert",
              text ? text : "?", todo && *todo ? todo : NULL);
    }
}

void ctl_overview_checks(ctl_t *c, const json_t *overview, ctl_check_fn *fn, apr_pool_t *p)
{
    const checks_t k = {c, fn, p};
    json_t *site;
    size_t i;

    check_runner(&k, overview);
    check_store(&k, overview);
    json_array_foreach((json_t *)cs_json_get(overview, "sites"), i, site) {
        const char *name = cs_json_str(site, "site");

        if (!c->site || (name && !strcmp(name, c->site))) {
            check_site(&k, site);
        }
    }
    check_alerts(&k, overview);
}
