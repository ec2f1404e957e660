/* httpd/config.c: the directives. A setter judges its own words, with config_value.c; what concerns
 * several directives or files is config_check.c's. Setters run under -t, -S and -k as well: they
 * touch nothing but memory. */
#include "config_value.h"

#include <apr_strings.h>
#include <http_core.h>
#include <stddef.h>
#include <string.h>

#include "../base/command.h"
#include "../base/text.h"
#include "../base/time.h"

APLOG_USE_MODULE(cosell);

#define DAY apr_time_from_sec(86400)

cosell_conf_t *cosell_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &cosell_module);
}

void *cosell_conf_create(apr_pool_t *p, server_rec *s)
{
    cosell_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
#define CONF_CREATE(type, member, unset) conf->member = unset;
    COSELL_CONF_MEMBERS(CONF_CREATE)
#undef CONF_CREATE
    return conf;
}

void *cosell_conf_merge(apr_pool_t *p, void *basev, void *addv)
{
    const cosell_conf_t *base = basev, *add = addv;
    cosell_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

#define CONF_MERGE(type, member, unset)                                                            \
    conf->member = add->member != (unset) ? add->member : base->member;
    COSELL_CONF_MEMBERS(CONF_MERGE)
#undef CONF_MERGE
    return conf;
}

int cosell_reloading(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_CONFIG &&
           ap_state_query(AP_SQ_CONFIG_GEN) > 1;
}

const char *cosell_host_name(const server_rec *s, apr_pool_t *p)
{
    if (!s->is_virtual) {
        return "the main server";
    }
    return apr_psprintf(
        p, "%s%s<VirtualHost %s:%s> of %s:%u", s->server_hostname ? s->server_hostname : "",
        s->server_hostname ? ", " : "", s->addrs && s->addrs->virthost ? s->addrs->virthost : "?",
        s->addrs && s->addrs->host_port ? apr_itoa(p, s->addrs->host_port) : "*",
        s->defn_name ? s->defn_name : "?", s->defn_line_number);
}

static const char *where_of(const cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

/* The end of every setter that found a mistake. httpd itself adds file and line. While a running
 * server reads its configuration again, a returned sentence would end it: the host is degraded. */
static const char *refuse(cmd_parms *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static const char *refuse(cmd_parms *cmd, const char *fmt, ...)
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text =
        apr_psprintf(cmd->pool, "%s: %s (in %s)", cmd->cmd->name, apr_pvsprintf(cmd->pool, fmt, ap),
                     cosell_host_name(cmd->server, cmd->pool));
    va_end(ap);
    if (!cosell_reloading()) {
        return text;
    }
    conf->broken = apr_psprintf(cmd->pool, "%s: %s", where_of(cmd), text);
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, NULL, CSLOGNO(1001) "%s", conf->broken);
    return NULL;
}

/* ---- the setters ---- */

/* NULL, or why this directive may not stand here or have so many arguments. */
static const char *check_place(cmd_parms *cmd, int argc, int least, int most)
{
    const char *wrong = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);

    if (wrong) {
        return wrong;
    }
    if (cmd->cmd->cmd_data && cmd->server->is_virtual) {
        return "allowed in the main server only, not in a <VirtualHost>";
    }
    if (argc < least || argc > most) {
        return apr_psprintf(cmd->pool, "%d arguments are given; syntax: %s", argc,
                            cmd->cmd->errmsg);
    }
    return NULL;
}

#define CHECK_PLACE(least, most)                                                                   \
    do {                                                                                           \
        const char *wrong_ = check_place(cmd, argc, least, most);                                  \
        if (wrong_) {                                                                              \
            return refuse(cmd, "%s", wrong_);                                                      \
        }                                                                                          \
    } while (0)

static const char *set_engine(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);

    (void)dconf;
    CHECK_PLACE(1, 1);
    if (strcasecmp(argv[0], "on") && strcasecmp(argv[0], "off")) {
        return refuse(cmd, "\"%s\": allowed are on and off", argv[0]);
    }
    conf->engine = !strcasecmp(argv[0], "on");
    return NULL;
}

static const char *set_site(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);

    (void)dconf;
    CHECK_PLACE(1, 1);
    if (!cosell_is_name(argv[0], 64)) {
        return refuse(cmd,
                      "\"%s\": allowed are 1 to 64 letters, digits, '.', '_' and '-', first a "
                      "letter or digit",
                      argv[0]);
    }
    conf->site = argv[0];
    conf->site_where = where_of(cmd);
    return NULL;
}

static const cosell_option_t pc_options[] = {
    {"tenant", cosell_take_id, offsetof(cosell_pc_t, tenant), REQUIRED},
    {"client-id", cosell_take_guid, offsetof(cosell_pc_t, client_id), REQUIRED},
    {"client-secret", cosell_take_secret, offsetof(cosell_pc_t, client_secret), REQUIRED | SECRET},
    {"refresh-token", cosell_take_secret, offsetof(cosell_pc_t, refresh_token), SECRET},
    {"organization", cosell_take_id, offsetof(cosell_pc_t, organization), OPTIONAL},
    {"token-url", cosell_take_url, offsetof(cosell_pc_t, token_url), OPTIONAL},
    {"webhooks-url", cosell_take_url, offsetof(cosell_pc_t, webhooks_url), OPTIONAL},
    {"referrals-url", cosell_take_url, offsetof(cosell_pc_t, referrals_url), OPTIONAL},
    {NULL, NULL, 0, 0}};

static const char *set_partner_center(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    cosell_pc_t *pc = apr_pcalloc(cmd->pool, sizeof(*pc));
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 64);
    if (conf->pc) {
        return refuse(cmd, "it is given twice, first at %s; allowed is once per host",
                      conf->pc->where);
    }
    pc->where = where_of(cmd);
    wrong = cosell_take_options(cmd, pc_options, pc, argc, argv);
    if (wrong) {
        return refuse(cmd, "%s", wrong);
    }
    conf->pc = pc;
    return NULL;
}

/* Of all types; which of them a type takes is its client's word. */
static const cosell_option_t crm_options[] = {
    {"mapping", cosell_take_file, offsetof(cosell_crm_t, mapping), OPTIONAL},
    {"tenant", cosell_take_id, offsetof(cosell_crm_t, tenant), OPTIONAL},
    {"client-id", cosell_take_id, offsetof(cosell_crm_t, client_id), OPTIONAL},
    {"client-secret", cosell_take_secret, offsetof(cosell_crm_t, client_secret), SECRET},
    {"user", cosell_take_text, offsetof(cosell_crm_t, user), OPTIONAL},
    {"organization", cosell_take_id, offsetof(cosell_crm_t, organization), OPTIONAL},
    {"token-url", cosell_take_url, offsetof(cosell_crm_t, token_url), OPTIONAL},
    {"certificate", cosell_take_file, offsetof(cosell_crm_t, certificate), OPTIONAL},
    {"key", cosell_take_secret, offsetof(cosell_crm_t, key), SECRET},
    {"webhook-secret", cosell_take_secret, offsetof(cosell_crm_t, webhook_secret), SECRET},
    {NULL, NULL, 0, 0}};

static const cosell_option_t *options_of(const cs_crm_impl_t *impl, apr_pool_t *p)
{
    cosell_option_t *options = apr_pcalloc(p, sizeof(crm_options)), *to = options;
    const cosell_option_t *from;

    for (from = crm_options; from->key; from++) {
        if (cs_text_is_one_of(from->key, impl->takes)) {
            *to = *from;
            to->flags |= cs_text_is_one_of(from->key, impl->needs) ? REQUIRED : 0;
            to++;
        }
    }
    return options;
}

/* NULL, or why a CRM cannot have this name: it is part of names in the store and a word of
 * CosellUpstream. */
static const char *crm_name_wrong(const cosell_conf_t *conf, const char *name, apr_pool_t *p)
{
    static const char *const taken[] = {"partner-center", "login", "certificate", "pc", "deal"};
    apr_size_t i;
    int k;

    if (!cosell_is_name(name, 64)) {
        return "allowed are 1 to 64 letters, digits, '.', '_' and '-', first a letter or digit";
    }
    for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (!strcasecmp(name, taken[i])) {
            return "the names partner-center, login, certificate, pc and deal are taken";
        }
    }
    for (k = 0; conf->crms && k < conf->crms->nelts; k++) {
        const cosell_crm_t *other = APR_ARRAY_IDX(conf->crms, k, const cosell_crm_t *);

        if (!strcasecmp(name, other->name)) {
            return apr_psprintf(p, "it is given twice, first at %s; allowed is once per host",
                                other->where);
        }
    }
    return NULL;
}

static const char *set_crm(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    cosell_crm_t *crm = apr_pcalloc(cmd->pool, sizeof(*crm));
    const cs_crm_impl_t *impl;
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(4, 64);
    crm->where = where_of(cmd);
    crm->name = argv[0];
    crm->type = argv[1];
    wrong = crm_name_wrong(conf, crm->name, cmd->pool);
    if (wrong) {
        return refuse(cmd, "name \"%s\": %s", crm->name, wrong);
    }
    impl = cs_crm_impl_of(crm->type);
    if (!impl) {
        return refuse(cmd, "type \"%s\": allowed are %s in this version", crm->type,
                      cs_crm_types());
    }
    wrong = cosell_take_url(cmd, &crm->url, argv[2]);
    if (wrong) {
        return refuse(cmd, "URL \"%s\": %s", argv[2], wrong);
    }
    wrong = cosell_take_options(cmd, options_of(impl, cmd->pool), crm, argc - 3, argv + 3);
    if (wrong) {
        return refuse(cmd, "%s", wrong);
    }
    if (!conf->crms) {
        conf->crms = apr_array_make(cmd->pool, 2, sizeof(cosell_crm_t *));
    }
    if (conf->crms->nelts == CS_SITE_CRMS_MAX) {
        return refuse(cmd, "\"%s\" is one too many; allowed are %d per host", crm->name,
                      CS_SITE_CRMS_MAX);
    }
    APR_ARRAY_PUSH(conf->crms, cosell_crm_t *) = crm;
    return NULL;
}

static const cosell_option_t signature_options[] = {
    {"url", cosell_take_cert_url, offsetof(cosell_signature_t, urls), MANY},
    {"ca", cosell_take_file, offsetof(cosell_signature_t, ca), OPTIONAL},
    {"intermediates", cosell_take_file, offsetof(cosell_signature_t, intermediates), OPTIONAL},
    {"issuer", cosell_take_text, offsetof(cosell_signature_t, issuer), OPTIONAL},
    {"subject", cosell_take_text, offsetof(cosell_signature_t, subject), OPTIONAL},
    {"name", cosell_take_texts, offsetof(cosell_signature_t, names), MANY},
    {"revocation", cosell_take_revocation, offsetof(cosell_signature_t, crl), OPTIONAL},
    {NULL, NULL, 0, 0}};

static const char *set_signature(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    cosell_signature_t *sig = apr_pcalloc(cmd->pool, sizeof(*sig));
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 64);
    if (conf->signature) {
        return refuse(cmd, "it is given twice, first at %s; allowed is once per host",
                      conf->signature->where);
    }
    sig->where = where_of(cmd);
    wrong = cosell_take_options(cmd, signature_options, sig, argc, argv);
    if (!wrong && sig->issuer && !*sig->issuer) {
        wrong = "issuer=: allowed is the organization (O) of the issuer; it is always checked";
    }
    if (wrong) {
        return refuse(cmd, "%s", wrong);
    }
    conf->signature = sig;
    return NULL;
}

static const cosell_option_t upstream_options[] = {
    {"ca", cosell_take_file, offsetof(cosell_upstream_t, ca), OPTIONAL},
    {"rate", cosell_take_rate, offsetof(cosell_upstream_t, rate), OPTIONAL},
    {"concurrency", cosell_take_concurrency, offsetof(cosell_upstream_t, concurrency), OPTIONAL},
    {"timeout", cosell_take_timeout, offsetof(cosell_upstream_t, timeout), OPTIONAL},
    {"proxy", cosell_take_proxy, offsetof(cosell_upstream_t, proxy), OPTIONAL},
    {"reserve", cosell_take_reserve, offsetof(cosell_upstream_t, reserve), OPTIONAL},
    {NULL, NULL, 0, 0}};

static const char *set_upstream(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    cosell_upstream_t *up = apr_pcalloc(cmd->pool, sizeof(*up));
    const char *wrong;
    int i;

    (void)dconf;
    CHECK_PLACE(2, 64);
    up->where = where_of(cmd);
    up->name = argv[0];
    up->rate = up->concurrency = up->reserve = -1;
    up->timeout = -1;
    wrong = cosell_take_options(cmd, upstream_options, up, argc - 1, argv + 1);
    if (wrong) {
        return refuse(cmd, "%s: %s", up->name, wrong);
    }
    if (!conf->upstreams) {
        conf->upstreams = apr_array_make(cmd->pool, 4, sizeof(cosell_upstream_t *));
    }
    for (i = 0; i < conf->upstreams->nelts; i++) {
        const cosell_upstream_t *other = APR_ARRAY_IDX(conf->upstreams, i, cosell_upstream_t *);

        if (!strcmp(other->name, up->name)) {
            return refuse(cmd, "\"%s\" is given twice, first at %s; allowed is once per host",
                          up->name, other->where);
        }
    }
    APR_ARRAY_PUSH(conf->upstreams, cosell_upstream_t *) = up;
    return NULL;
}

/* One time into *field, which stays unset when it is none of low..high. */
static const char *set_time(cmd_parms *cmd, apr_interval_time_t *field, const char *value,
                            apr_interval_time_t low, apr_interval_time_t high, const char *allowed)
{
    if (cosell_take_span(field, value, low, high)) {
        return NULL;
    }
    *field = -1;
    return refuse(cmd, "\"%s\": allowed are %s", value, allowed);
}

static const char *set_poll(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    (void)dconf;
    CHECK_PLACE(1, 1);
    return set_time(cmd, &cosell_conf_of(cmd->server)->poll, argv[0], apr_time_from_sec(10), DAY,
                    "10s to 1d");
}

static const char *set_sweep(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    (void)dconf;
    CHECK_PLACE(1, 1);
    return set_time(cmd, &cosell_conf_of(cmd->server)->sweep, argv[0], apr_time_from_sec(60),
                    30 * DAY, "1m to 30d");
}

static const char *set_state_dir(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    const char *path = argc == 1 ? ap_server_root_relative(cmd->pool, argv[0]) : NULL;
    apr_size_t len;

    (void)dconf;
    CHECK_PLACE(1, 1);
    len = path ? strlen(path) : 0;
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len < 2 || path[0] != '/' || len > 3000) {
        return refuse(cmd,
                      "\"%s\": allowed is the path of a directory of the module's own, "
                      "absolute or relative to ServerRoot",
                      argv[0]);
    }
    cosell_conf_of(cmd->server)->state_dir = apr_pstrmemdup(cmd->pool, path, len);
    cosell_conf_of(cmd->server)->state_dir_where = where_of(cmd);
    return NULL;
}

static const char *set_store(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    (void)dconf;
    CHECK_PLACE(1, 1);
    if (!strcasecmp(argv[0], "sqlite")) {
        cosell_conf_of(cmd->server)->store = "sqlite";
        return NULL;
    }
    if (!strncasecmp(argv[0], "pgsql", 5)) {
        if (ap_strcasestr(argv[0], "password")) {
            return refuse(cmd, "pgsql with a password in the conninfo: a literal secret is never "
                               "allowed; and PostgreSQL is not built into this version: allowed is "
                               "sqlite");
        }
        return refuse(cmd, "\"%s\": PostgreSQL is not built into this version; allowed is sqlite",
                      argv[0]);
    }
    return refuse(cmd, "\"%s\": allowed is sqlite", argv[0]);
}

static const char *set_workers(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    (void)dconf;
    CHECK_PLACE(1, 1);
    if (!cosell_take_whole(&cosell_conf_of(cmd->server)->workers, argv[0], 0, 64)) {
        return refuse(cmd, "\"%s\": allowed are 0 (accept only) to 64 threads", argv[0]);
    }
    return NULL;
}

static const cosell_option_t retention_options[] = {
    {"journal", cosell_take_retention, offsetof(cosell_conf_t, keep_journal), OPTIONAL},
    {"delivery", cosell_take_retention, offsetof(cosell_conf_t, keep_delivery), OPTIONAL},
    {NULL, NULL, 0, 0}};

static const char *set_retention(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 2);
    wrong = cosell_take_options(cmd, retention_options, cosell_conf_of(cmd->server), argc, argv);
    return wrong ? refuse(cmd, "%s", wrong) : NULL;
}

static const char *set_passphrase(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 1);
    conf->passphrase_where = where_of(cmd);
    wrong = cosell_take_secret(cmd, &conf->passphrase, argv[0]);
    return wrong ? refuse(cmd, "%s", wrong) : NULL;
}

typedef struct notify_options_t {
    const char *level;
    apr_interval_time_t every;
} notify_options_t;

static const char *take_level(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (strcasecmp(value, "error") && strcasecmp(value, "warning")) {
        return "allowed are error (errors alone) and warning (errors and warnings)";
    }
    *(const char **)field = value;
    return NULL;
}

static const char *take_every(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (!strcasecmp(value, "off")) {
        *(apr_interval_time_t *)field = 0;
        return NULL;
    }
    return cosell_take_span(field, value, apr_time_from_sec(3600), 30 * DAY)
               ? NULL
               : "allowed are 1h to 30d, and off";
}

static const cosell_option_t notify_options[] = {
    {"level", take_level, offsetof(notify_options_t, level), OPTIONAL},
    {"every", take_every, offsetof(notify_options_t, every), OPTIONAL},
    {NULL, NULL, 0, 0}};

/* NULL, or what is wrong with it. */
static const char *take_target(cs_notify_target_t *target, const char *word, apr_pool_t *p)
{
    if (!strncasecmp(word, "exec:", 5)) {
        const char *command = word + 5 + strspn(word + 5, " \t");

        target->command = command;
        if (*command != '/') {
            return "the command needs an absolute path: exec:/path/to/program arguments";
        }
        return cs_command_split(command, p) ? NULL : "allowed are at most 31 arguments";
    }
    if (!strncasecmp(word, "url:", 4)) {
        target->url = word + 4;
        return cosell_url_wrong(target->url, 0, p);
    }
    return "allowed are exec:/path/to/program arguments, and url:https://host/path";
}

static const char *set_notify(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    cosell_notify_t *notify = apr_pcalloc(cmd->pool, sizeof(*notify));
    notify_options_t options = {NULL, CS_NOTIFY_EVERY};
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 3);
    notify->where = where_of(cmd);
    notify->target.name = argv[0];
    wrong = take_target(&notify->target, argv[0], cmd->pool);
    if (wrong) {
        return refuse(cmd, "\"%s\": %s", argv[0], wrong);
    }
    wrong = cosell_take_options(cmd, notify_options, &options, argc - 1, argv + 1);
    if (wrong) {
        return refuse(cmd, "%s", wrong);
    }
    notify->target.errors_only = options.level && !strcasecmp(options.level, "error");
    notify->target.every = options.every;
    if (!conf->notify) {
        conf->notify = apr_array_make(cmd->pool, 2, sizeof(cosell_notify_t *));
    }
    APR_ARRAY_PUSH(conf->notify, cosell_notify_t *) = notify;
    return NULL;
}

/* Every directive takes a list of words and counts them itself, so that a wrong number of them
 * is no error of httpd's at reload. The second pointer marks those of the main server. */
#define HOST(name, set, syntax) AP_INIT_TAKE_ARGV(name, set, NULL, RSRC_CONF, syntax)
#define SERVER(name, set, syntax)                                                                  \
    AP_INIT_TAKE_ARGV(name, set, (void *)&cosell_commands, RSRC_CONF, syntax)

const command_rec cosell_commands[] = {
    HOST("CosellEngine", set_engine, "CosellEngine on|off"),
    HOST("CosellSite", set_site, "CosellSite name"),
    HOST("CosellPartnerCenter", set_partner_center,
         "CosellPartnerCenter tenant=ID client-id=ID client-secret=REF [refresh-token=REF] "
         "[organization=ID] [token-url=URL] [webhooks-url=URL] [referrals-url=URL]"),
    HOST("CosellCrm", set_crm,
         "CosellCrm name dynamics365 URL mapping=FILE tenant=ID client-id=ID client-secret=REF | "
         "certificate=FILE key=REF [webhook-secret=REF] [organization=ID] [token-url=URL], or "
         "CosellCrm name salesforce URL mapping=FILE client-id=KEY client-secret=REF | "
         "key=REF user=NAME [webhook-secret=REF] [organization=ID] [token-url=URL]"),
    HOST("CosellSignature", set_signature,
         "CosellSignature [url=URL]... [ca=FILE] [intermediates=FILE] [issuer=O] [subject=O] "
         "[name=HOST]... [revocation=off|crl:FILE]"),
    HOST("CosellUpstream", set_upstream,
         "CosellUpstream partner-center|CRM-name|login|certificate|* [ca=FILE] [rate=N] "
         "[concurrency=N] [timeout=TIME] [proxy=URL] [reserve=PERCENT]"),
    HOST("CosellPoll", set_poll, "CosellPoll time"),
    HOST("CosellSweep", set_sweep, "CosellSweep time"),
    SERVER("CosellStateDir", set_state_dir, "CosellStateDir directory"),
    SERVER("CosellStore", set_store, "CosellStore sqlite"),
    SERVER("CosellWorkers", set_workers, "CosellWorkers number"),
    SERVER("CosellRetention", set_retention, "CosellRetention [journal=TIME] [delivery=TIME]"),
    SERVER("CosellCryptoPassphrase", set_passphrase,
           "CosellCryptoPassphrase file:/path|exec:command"),
    SERVER("CosellNotify", set_notify,
           "CosellNotify exec:/path|url:URL [level=error|warning] [every=TIME|off]"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
