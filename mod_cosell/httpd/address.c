/* httpd/address.c: where Partner Center can call this host, as far as the configuration says. */
#include "mod_cosell.h"

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/host.h"

APLOG_USE_MODULE(cosell);

#define HANDLER "cosell-webhook"

/* SetHandler keeps an expression. */
static int has_handler(request_rec *r, const core_dir_config *dir)
{
    const char *why = NULL,
               *name = dir->expr_handler ? ap_expr_str_exec(r, dir->expr_handler, &why)
                                         : dir->handler;

    return name && !why && !strcmp(name, HANDLER);
}

/* The path of a <Location> that is one place and not a pattern; NULL. */
static const char *place_of(request_rec *r, const core_dir_config *dir)
{
    return dir->d && dir->d[0] == '/' && !dir->r && !dir->d_is_fnmatch && has_handler(r, dir)
               ? dir->d
               : NULL;
}

/* NULL when there are none, or several. */
static const char *only_place(request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    const char *found = NULL;
    int i;

    for (i = 0; core->sec_url && i < core->sec_url->nelts; i++) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(core->sec_url, i, ap_conf_vector_t *);
        const char *place = place_of(r, ap_get_core_module_config(section));

        if (place && found && strcmp(place, found)) {
            return NULL;
        }
        found = place ? place : found;
    }
    return found;
}

const char *cosell_webhook_url(request_rec *r)
{
    const server_rec *s = r->server;
    const char *scheme = ap_http_scheme(r), *place = only_place(r), *host = s->server_hostname;
    apr_port_t port = s->port ? s->port : r->connection->local_addr->port;

    /* Without TLS of our own somebody else's is before us, at an address that only a person knows.
     */
    if (!place || !host || (strcmp(scheme, "https") && !cs_host_is_loopback(host, strlen(host)))) {
        return NULL;
    }
    host = strchr(host, ':') ? apr_pstrcat(r->pool, "[", host, "]", NULL) : host;
    if (port == ap_run_default_port(r)) {
        return apr_pstrcat(r->pool, scheme, "://", host, place, NULL);
    }
    return apr_psprintf(r->pool, "%s://%s:%u%s", scheme, host, (unsigned)port, place);
}
