/* webhook show, events, register, restore, test. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static json_t *events_of(const char *list, apr_pool_t *p)
{
    json_t *out = json_array();
    char *last = NULL, *event, *all = apr_pstrdup(p, list);

    for (event = apr_strtok(all, ", ", &last); event; event = apr_strtok(NULL, ", ", &last)) {
        json_array_append_new(out, json_string(event));
    }
    return out;
}

static void print_list(const json_t *list, apr_pool_t *p)
{
    json_t *event;
    size_t i;

    json_array_foreach((json_t *)list, i, event) {
        ctl_out("%s\n", ctl_clean(json_string_value(event), p));
    }
}

int ctl_run_webhook(ctl_t *c)
{
    const char *action = strchr(c->verb->name, ' ') + 1;
    const char *url = ctl_opt(c, "url"), *events = ctl_opt(c, "events");
    json_t *wish = ctl_wish(c, "webhook");
    ctl_job_t job;
    int rc;

    if (url && !strcmp(url, c->url)) {
        ctl_error("webhook register: --url is the address that Partner Center is to call, that of "
                  "your cosell-webhook, not of cosell-admin");
        return CTL_USAGE;
    }
    ctl_wish_text(wish, "action", action);
    ctl_wish_text(wish, "url", url);
    if (events) {
        json_object_set_new(wish, "events", events_of(events, c->p));
    }
    if (ctl_opt(c, "overwrite")) {
        json_object_set_new(wish, "overwrite", json_true());
    }
    rc = ctl_job_run(c, wish, strcmp(action, "events"), &job);
    if (!rc && !c->json && !strcmp(action, "events")) {
        print_list(cs_json_get(cs_json_get(job.job, "result"), "events"), c->p);
    }
    return rc;
}
