/* One request and what its answer means. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"

#define ANSWER_MAX ((apr_size_t)32 * 1024 * 1024)
#define NODES_MAX 2000000
#define TIMEOUT apr_time_from_sec(30)

const char *ctl_parameter(const char *prefix, const char *name, const char *value, apr_pool_t *p)
{
    return apr_pstrcat(p, prefix, name, "=", cs_http_escape(value, p), NULL);
}

static apr_status_t connect_to(ctl_t *c)
{
    const char *origin = cs_http_origin(c->url, c->p);

    if (c->http) {
        return APR_SUCCESS;
    }
    c->up.name = "cosellctl";
    c->up.origins = apr_array_make(c->p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(c->up.origins, const char *) = origin ? origin : "";
    c->up.timeout = TIMEOUT;
    c->up.concurrency = 1;
    c->up.reserve = -1;
    c->up.hint = "; is httpd running, and is this its address?";
    return cs_http_create(&c->http, "cosellctl", c->p);
}

static const char *address(const ctl_t *c, const char *query, apr_pool_t *p)
{
    const char *all = query && *c->scope ? apr_pstrcat(p, query, "&", c->scope, NULL)
                      : query            ? query
                                         : c->scope;

    return apr_pstrcat(p, c->url, *all ? "?" : "", all, NULL);
}

static void fail(ctl_answer_t *answer, int code, const char *why)
{
    answer->code = code;
    answer->why = why;
}

/* ---- what an answer means ---- */

static void explain_401(const ctl_t *c, ctl_answer_t *answer, apr_pool_t *p)
{
    fail(answer, CTL_REFUSED,
         apr_psprintf(p, "%s answered 401: %s", c->url,
                      c->basic ? "user or password of the netrc file are not accepted"
                      : c->up.cert
                          ? "the client certificate alone is not accepted here; put a user "
                            "and a password into ~/.netrc"
                          : "it wants a user: put \"machine HOST login USER password "
                            "PASSWORD\" into ~/.netrc (chmod 600), or name a netrc file "
                            "with --netrc or a client certificate with --cert"));
}

static void explain_403(const ctl_t *c, ctl_answer_t *answer, const char *said, apr_pool_t *p)
{
    fail(answer, CTL_REFUSED,
         said ? said
              : apr_psprintf(p,
                             "%s answered 403: this user may not; see the Require lines of the "
                             "<Location> of cosell-admin in httpd's configuration",
                             c->url));
}

static void explain_404(const ctl_t *c, ctl_answer_t *answer, const char *said, apr_pool_t *p)
{
    if (said) {
        fail(answer, CTL_NOT_FOUND, said);
        return;
    }
    fail(answer, CTL_AWAY,
         apr_psprintf(p,
                      "there is no cosell-admin at %s (404): the virtual host needs <Location "
                      "\"/cosell-admin\"> with SetHandler cosell-admin, or the address is another",
                      c->url));
}

static void explain(const ctl_t *c, ctl_answer_t *answer, const char *reason, apr_pool_t *p)
{
    const char *said = cs_json_str(answer->doc, "error");
    int status = answer->status;

    said = said ? ctl_clean(said, p) : NULL;
    if (status == 401) {
        explain_401(c, answer, p);
    }
    else if (status == 403) {
        explain_403(c, answer, said, p);
    }
    else if (status == 404) {
        explain_404(c, answer, said, p);
    }
    else if (status == 409 && said) {
        fail(answer, CTL_REFUSED, said);
    }
    else if (status >= 300 && status < 400) {
        fail(answer, CTL_AWAY,
             apr_psprintf(p,
                          "%s answered %d: it sends elsewhere, which is not followed; give the "
                          "final address",
                          c->url, status));
    }
    else {
        fail(answer, status >= 500 ? CTL_AWAY : CTL_REFUSED,
             apr_psprintf(p, "%s answered %d: %s", c->url, status,
                          said      ? said
                          : *reason ? ctl_clean(reason, p)
                                    : "no reason given"));
    }
}

static void explain_silence(const ctl_t *c, ctl_answer_t *answer,
                            const cs_http_response_t *response, apr_pool_t *p)
{
    const char *why = response->error ? ctl_clean(response->error, p) : "no answer";
    int tls = response->failure && response->failure->problem &&
              !strcmp(response->failure->problem, "tls:certificate");

    fail(answer, CTL_AWAY,
         tls ? apr_pstrcat(p, why,
                           c->up.ca ? ""
                                    : "; a file with the CA's certificate is named by "
                                      "--cacert",
                           NULL)
             : why);
}

/* A 2xx without a document of ours is somebody else's page. */
static void understand(const ctl_t *c, ctl_answer_t *answer, const cs_http_response_t *response,
                       apr_pool_t *p)
{
    const cs_json_limits_t limits = {ANSWER_MAX, NODES_MAX, 64};
    cs_result_t res = {0};

    answer->status = response->status;
    answer->text = response->body;
    if (cs_json_parse(&answer->doc, response->body, response->body_len, &limits, p, &res) !=
        APR_SUCCESS) {
        answer->doc = NULL;
    }
    cs_json_own(answer->doc, p);
    if (response->status < 200 || response->status >= 300) {
        explain(c, answer, response->reason, p);
    }
    else if (!json_is_object(answer->doc)) {
        fail(answer, CTL_AWAY,
             apr_psprintf(p,
                          "%s answered %d, but not with a document of cosell-admin: is the "
                          "address right?",
                          c->url, response->status));
    }
}

void ctl_ask(ctl_t *c, const char *query, const json_t *post, ctl_answer_t *answer, apr_pool_t *p)
{
    cs_http_request_t request = {0};
    cs_http_response_t response = {0};
    cs_limiter_t limiter = {0};

    memset(answer, 0, sizeof(*answer));
    if (connect_to(c) != APR_SUCCESS) {
        fail(answer, CTL_AWAY, "libcurl cannot be used");
        return;
    }
    request.method = post ? "POST" : "GET";
    request.url = address(c, query, p);
    request.label = request.method;
    request.basic = c->basic;
    request.max_response = ANSWER_MAX;
    request.headers = apr_table_make(p, 4);
    apr_table_setn(request.headers, "Accept", "application/json");
    if (post) {
        request.body = cs_json_print(post, p);
        request.body_len = strlen(request.body);
        apr_table_setn(request.headers, "Content-Type", "application/json");
        apr_table_setn(request.headers, "X-Cosell-Request", "1");
    }
    cs_http_perform(c->http, &c->up, &limiter, &request, &response, 1, 0, p);
    if (response.outcome != CS_HTTP_ANSWERED) {
        explain_silence(c, answer, &response, p);
        return;
    }
    understand(c, answer, &response, p);
}

int ctl_get(ctl_t *c, const char *query, ctl_answer_t *answer, apr_pool_t *p)
{
    ctl_ask(c, query, NULL, answer, p);
    if (answer->code) {
        ctl_error("%s", answer->why);
    }
    return answer->code;
}

void ctl_print_json(const ctl_answer_t *answer)
{
    apr_size_t len = strlen(answer->text);

    ctl_out("%s%s", answer->text, len && answer->text[len - 1] == '\n' ? "" : "\n");
}

apr_array_header_t *ctl_sites(ctl_t *c, const json_t *doc, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 2, sizeof(json_t *));
    const json_t *sites = cs_json_get(doc, "sites");
    const char *there = "";
    json_t *site;
    size_t i;

    json_array_foreach((json_t *)sites, i, site) {
        const char *name = cs_json_str(site, "site");

        if (name && (!c->site || !strcmp(c->site, name))) {
            APR_ARRAY_PUSH(list, json_t *) = site;
        }
        there = apr_pstrcat(p, there, *there ? ", " : "", name ? ctl_clean(name, p) : "?", NULL);
    }
    if (!list->nelts && c->site && *there) {
        ctl_error("there is no site \"%s\" at %s; there: %s%s", ctl_clean(c->site, c->p), c->url,
                  there, *c->scope ? "" : " (the main server shows all with ?scope=all)");
    }
    else if (!list->nelts) {
        ctl_error("no site is shown at %s%s", c->url,
                  *c->scope ? "" : " (the main server shows all with ?scope=all)");
    }
    return list;
}

int ctl_print_sites(ctl_t *c, const ctl_answer_t *answer)
{
    if (c->site && !ctl_sites(c, answer->doc, c->p)->nelts) {
        return CTL_NOT_FOUND;
    }
    ctl_print_json(answer);
    return CTL_DONE;
}

int ctl_is_of_site(const ctl_t *c, const json_t *alert)
{
    const char *site = cs_json_str(alert, "site");

    return !c->site || !site || !strcmp(site, c->site);
}
