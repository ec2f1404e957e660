/* httpd/config_check.c: what concerns several directives or files, and the node made of all
 * hosts.
 *
 * Runs from the check_config hook, so that -t and -k graceful see every mistake before a server
 * is touched (post_config would be too late: its failure ends a running server). It reads
 * mapping, secret and certificate files and opens nothing else. While a running server is
 * reloaded nothing is an error any more: the host is degraded and answers 503.
 */
#include "config_check.h"

#include <apr_strings.h>
#include <http_core.h>
#include <string.h>

APLOG_USE_MODULE(cosell);

cosell_node_t *cosell_node;

static void say(const cosell_check_t *ck, int level, const char *where, const char *text)
{
    const char *host = cosell_host_name(ck->s, ck->ptemp);

    ap_log_error(APLOG_MARK, level | (ck->reloading ? 0 : APLOG_STARTUP), 0,
                 ck->reloading ? ck->s : NULL, CSLOGNO(1002) "%s: %s (in %s)", where, text, host);
}

/* For what no directive of its own stands for. */
static const char *place_of(const cosell_check_t *ck)
{
    if (!ck->s->is_virtual || !ck->s->defn_name) {
        return "main server";
    }
    return apr_psprintf(ck->p, "%s:%u", ck->s->defn_name, ck->s->defn_line_number);
}

void cosell_mistake(cosell_check_t *ck, const char *where, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = apr_pvsprintf(ck->p, fmt, ap);
    va_end(ap);
    where = where ? where : place_of(ck);
    ck->mistakes++;
    if (!ck->first) {
        ck->first = apr_psprintf(ck->p, "%s: %s", where, text);
    }
    say(ck, APLOG_ERR, where, text);
}

/* Of the passes of a start the first speaks for all. */
static int is_first_pass(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG;
}

void cosell_warn(const cosell_check_t *ck, const char *where, const char *fmt, ...)
{
    va_list ap;

    if (!is_first_pass()) {
        return;
    }
    va_start(ap, fmt);
    say(ck, APLOG_WARNING, where ? where : place_of(ck), apr_pvsprintf(ck->p, fmt, ap));
    va_end(ap);
}

/* ---- one host ---- */

static int check_required(cosell_check_t *ck)
{
    int before = ck->mistakes;
    const char *hint = "CosellEngine on needs CosellSite, CosellPartnerCenter and CosellCrm";

    if (!ck->conf->site) {
        cosell_mistake(ck, NULL, "CosellSite is missing; %s", hint);
    }
    if (!ck->conf->pc) {
        cosell_mistake(ck, NULL, "CosellPartnerCenter is missing; %s", hint);
    }
    if (!ck->conf->crms) {
        cosell_mistake(ck, NULL, "CosellCrm is missing; %s", hint);
    }
    return ck->mistakes == before;
}

/* ---- sites of several hosts ---- */

static cosell_site_t *site_named(const cosell_node_t *node, const char *name)
{
    int i;

    for (i = 0; i < node->sites->nelts; i++) {
        cosell_site_t *site = APR_ARRAY_IDX(node->sites, i, cosell_site_t *);

        if (!strcmp(site->cfg.name, name)) {
            return site;
        }
    }
    return NULL;
}

static void share_or_add(cosell_check_t *ck, cosell_node_t *node, cosell_site_t *site)
{
    cosell_site_t *other = site_named(node, site->cfg.name);

    site->settings = cosell_settings_text(&site->cfg, ck->p);
    if (other && strcmp(other->settings, site->settings)) {
        cosell_mistake(ck, ck->conf->site_where,
                       "CosellSite \"%s\" is also the site of %s (%s) with "
                       "other settings: %s differs; allowed are equal settings, or another name",
                       site->cfg.name, cosell_host_name(other->server, ck->ptemp), other->cfg.file,
                       cosell_settings_difference(site->settings, other->settings, ck->ptemp));
        ck->conf->degraded = ck->first;
        return;
    }
    if (!other) {
        site->index = node->sites->nelts;
        site->cfg.degraded = ck->first;
        APR_ARRAY_PUSH(node->sites, cosell_site_t *) = site;
        APR_ARRAY_PUSH(node->cfg.sites, cs_site_config_t *) = &site->cfg;
        other = site;
    }
    ck->conf->degraded = ck->first;
    ck->conf->effective = other;
}

static int check_host(cosell_node_t *node, server_rec *s, int reloading, apr_pool_t *p,
                      apr_pool_t *ptemp)
{
    cosell_check_t ck = {p, ptemp, s, cosell_conf_of(s), reloading, 0, NULL};

    if (ck.conf->engine != 1) {
        return 0;
    }
    ck.first = ck.conf->broken;
    if (check_required(&ck)) {
        share_or_add(&ck, node, cosell_site_make(&ck));
    }
    else {
        ck.conf->degraded = ck.first;
    }
    return ck.mistakes;
}

/* ---- the node ---- */

static cosell_node_t *make_node(const cosell_conf_t *conf, server_rec *s, apr_pool_t *p)
{
    cosell_node_t *node = apr_pcalloc(p, sizeof(*node));

    node->server = s;
    node->sites = apr_array_make(p, 4, sizeof(cosell_site_t *));
    node->wake_write = -1;
    node->broken = conf->broken;
    node->cfg.sites = apr_array_make(p, 4, sizeof(cs_site_config_t *));
    node->cfg.store.kind = conf->store ? conf->store : "sqlite";
    node->cfg.store.state_dir = conf->state_dir ? conf->state_dir : COSELL_STATE_DIR;
    node->cfg.store.keep_journal =
        conf->keep_journal > 0 ? conf->keep_journal : apr_time_from_sec(90 * 86400);
    node->cfg.store.keep_delivery =
        conf->keep_delivery > 0 ? conf->keep_delivery : apr_time_from_sec(7 * 86400);
    node->cfg.workers = conf->workers >= 0 ? conf->workers : 4;
    node->cfg.passphrase = conf->passphrase;
    node->cfg.wake_fd = -1;
    node->cfg.user_agent = "mod_cosell/" COSELL_VERSION;
    return node;
}

static void make_notify(cosell_check_t *ck, cosell_node_t *node)
{
    const apr_array_header_t *list = ck->conf->notify;
    int i;

    node->cfg.notify = apr_array_make(ck->p, 2, sizeof(cs_notify_target_t *));
    for (i = 0; list && i < list->nelts; i++) {
        cosell_notify_t *notify = APR_ARRAY_IDX(list, i, cosell_notify_t *);
        cs_notify_target_t *target = apr_pmemdup(ck->p, &notify->target, sizeof(*target));
        cs_upstream_t *up = cosell_upstream_make(ck, "notify", 0, 1, 10);

        if (i >= CS_NOTIFY_TARGETS) {
            cosell_mistake(ck, notify->where, "CosellNotify: allowed are at most %d of them",
                           CS_NOTIFY_TARGETS);
            break;
        }
        if (target->url) {
            cosell_upstream_origin(ck, up, target->url);
        }
        else {
            cosell_check_command(ck, notify);
        }
        target->upstream = up;
        APR_ARRAY_PUSH(node->cfg.notify, cs_notify_target_t *) = target;
    }
}

/* What a host says of its own, and not by inheritance. */
static int says_something(const cosell_conf_t *conf, const cosell_conf_t *base)
{
    return (conf->site && conf->site != base->site) || (conf->pc && conf->pc != base->pc) ||
           (conf->crms && conf->crms != base->crms) ||
           (conf->signature && conf->signature != base->signature);
}

/* Directives that do nothing are more often forgotten to be switched on than meant so; who writes
 * CosellEngine off means it. */
static void check_switch(const cosell_check_t *ck, const cosell_conf_t *main_conf, int hosts)
{
    static const cosell_conf_t nothing;
    int is_main = ck->conf == main_conf;

    if (!is_first_pass() || ck->conf->engine != -1 || (is_main && hosts) ||
        !says_something(ck->conf, is_main ? &nothing : main_conf)) {
        return;
    }
    say(ck, APLOG_NOTICE, place_of(ck),
        "this host has Cosell directives and no CosellEngine on: they do nothing here");
}

int cosell_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    cosell_node_t *node = make_node(cosell_conf_of(s), s, pconf);
    cosell_check_t ck = {pconf, ptemp, s, cosell_conf_of(s), cosell_reloading(), 0, NULL};
    int mistakes = 0, hosts = 0;
    server_rec *host;

    (void)plog;
    for (host = s; host; host = host->next) {
        hosts += cosell_conf_of(host)->engine == 1;
        mistakes += check_host(node, host, ck.reloading, pconf, ptemp);
    }
    for (host = s; host; host = host->next) {
        cosell_check_t of_host = {pconf, ptemp, host, cosell_conf_of(host), ck.reloading, 0, NULL};

        check_switch(&of_host, ck.conf, hosts);
    }
    if (hosts) {
        cosell_check_state_dir(&ck, node->cfg.store.state_dir);
        make_notify(&ck, node);
        cosell_check_secret(&ck, ck.conf->passphrase_where, "CosellCryptoPassphrase ",
                            node->cfg.passphrase);
        cosell_node = node;
    }
    mistakes += ck.mistakes;
    return mistakes && !ck.reloading ? HTTP_INTERNAL_SERVER_ERROR : OK;
}
