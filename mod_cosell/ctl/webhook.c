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

static void print_list(const char *indent, const json_t *list, apr_pool_t *p)
{
    json_t *event;
    size_t i;

    json_array_foreach((json_t *)list, i, event) {
        ctl_out("%s%s\n", indent, ctl_clean(json_string_value(event), p));
    }
}

static void print_registration(const char *head, const json_t *registration, apr_pool_t *p)
{
    const char *url = cs_json_str(registration, "url");

    if (!json_is_object(registration)) {
        ctl_out("%s  none\n", head);
        return;
    }
    ctl_out("%s  %s\n", head, url ? ctl_clean(url, p) : "-");
    print_list("       ", cs_json_get(registration, "events"), p);
}

static void print_result(const char *action, const json_t *result, apr_pool_t *p)
{
    const json_t *was = cs_json_get(result, "old"), *is = cs_json_get(result, "new");

    if (!strcmp(action, "events")) {
        print_list("", cs_json_get(result, "events"), p);
    }
    else if (!strcmp(action, "show")) {
        print_registration("now ", is ? is : was, p);
    }
    else if (was || is) {
        print_registration("was ", was, p);
        print_registration("now ", is, p);
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
    rc = ctl_job_run(c, wish, 1, &job);
    if (!rc && !c->json) {
        print_result(action, cs_json_get(job.job, "result"), c->p);
    }
    return rc;
}
