/* httpd/config.c: the directives. A setter judges one value; what concerns several directives or
 * files is config_check.c's. Setters run under -t, -S and -k as well: they touch nothing but
 * memory. */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <http_core.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../base/command.h"
#include "../base/crypto.h"
#include "../base/host.h"
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

#define CONF_MERGE(type, member, unset) \
    conf->member = add->member != (unset) ? add->member : base->member;
    COSELL_CONF_MEMBERS(CONF_MERGE)
#undef CONF_MERGE
    return conf;
}

int cosell_reloading(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_CONFIG
        && ap_state_query(AP_SQ_CONFIG_GEN) > 1;
}

const char *cosell_host_name(const server_rec *s, apr_pool_t *p)
{
    if (!s->is_virtual) {
        return "the main server";
    }
    return apr_psprintf(p, "%s%s<VirtualHost %s:%s> of %s:%u",
                        s->server_hostname ? s->server_hostname : "",
                        s->server_hostname ? ", " : "",
                        s->addrs && s->addrs->virthost ? s->addrs->virthost : "?",
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
    text = apr_psprintf(cmd->pool, "%s: %s (in %s)", cmd->cmd->name,
                        apr_pvsprintf(cmd->pool, fmt, ap),
                        cosell_host_name(cmd->server, cmd->pool));
    va_end(ap);
    if (!cosell_reloading()) {
        return text;
    }
    conf->broken = apr_psprintf(cmd->pool, "%s: %s", where_of(cmd), text);
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, NULL, CSLOGNO(1001) "%s", conf->broken);
    return NULL;
}

/* ---- values: each parser stores into *field and returns NULL, or says what is allowed ---- */

typedef const char *value_fn(cmd_parms *cmd, void *field, const char *value);

static int is_name(const char *text, apr_size_t max)
{
    apr_size_t len = strlen(text), i;

    if (!len || len > max || !apr_isalnum(text[0])) {
        return 0;
    }
    for (i = 1; i < len; i++) {
        if (!apr_isalnum(text[i]) && !strchr("._-", text[i])) {
            return 0;
        }
    }
    return 1;
}

static const char *take_id(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (!is_name(value, 128)) {
        return "allowed are 1 to 128 letters, digits, '.', '_' and '-', first a letter or digit";
    }
    *(const char **)field = value;
    return NULL;
}

static const char *take_guid(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (!cs_uuid_valid(value, strlen(value))) {
        return "allowed is the application's id, a GUID such as "
               "11111111-2222-3333-4444-555555555555";
    }
    *(const char **)field = value;
    return NULL;
}

static const char *take_text(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (strlen(value) > 256) {
        return "allowed are at most 256 characters";
    }
    *(const char **)field = strcasecmp(value, "off") ? value : "";
    return NULL;
}

static const char *take_texts(cmd_parms *cmd, void *field, const char *value)
{
    apr_array_header_t **plist = field;

    if (!*value || strlen(value) > 256) {
        return "allowed are 1 to 256 characters";
    }
    if (!*plist) {
        *plist = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*plist, const char *) = value;
    return NULL;
}

static const char *take_file(cmd_parms *cmd, void *field, const char *value)
{
    const char *path = *value ? ap_server_root_relative(cmd->pool, value) : NULL;

    if (!path) {
        return "allowed is the path of a file, absolute or relative to ServerRoot";
    }
    *(const char **)field = path;
    return NULL;
}

static const char *take_secret(cmd_parms *cmd, void *field, const char *value)
{
    return cs_secret_ref_parse(field, value, cmd->pool);
}

static int is_host(const char *host)
{
    apr_size_t len = strlen(host);

    return len && len <= 253
        && (strspn(host, "0123456789abcdefABCDEF:.") == len
            || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
                   == len);
}

/* Where a '*' may stand: once, in the last segment of the path. */
static int star_fits(const char *url, const char *path, int allowed)
{
    const char *star = strchr(url, '*');

    return !star || (allowed && path && strchr(path, '*') && strrchr(url, '*') == star
                     && !strchr(star, '/'));
}

const char *cosell_url_wrong(const char *url, int star, apr_pool_t *p)
{
    apr_uri_t uri;
    const char *c;

    for (c = url; *c; c++) {
        if (*c <= ' ' || *c > '~' || strchr("%\\\"<>^`{|}", *c)) {
            return "blanks, percent-encoding and special characters are not allowed";
        }
    }
    if (c - url > 512 || apr_uri_parse(p, url, &uri) != APR_SUCCESS || !uri.scheme
        || !uri.hostname || !is_host(uri.hostname)) {
        return "allowed is https://host[:port][/path]";
    }
    if (strcmp(uri.scheme, "https") && strcmp(uri.scheme, "http")) {
        return "allowed are https: and, to loopback, http:";
    }
    if (!strcmp(uri.scheme, "http") && !cs_host_is_loopback(uri.hostname, strlen(uri.hostname))) {
        return "http: is allowed to loopback only (127.0.0.1, [::1], localhost); use https:";
    }
    if (uri.user || uri.password || uri.query || uri.fragment || strstr(url, "..")
        || strchr(url, '@') || strchr(url, '?') || strchr(url, '#')) {
        return "user, password, query, fragment and '..' are not allowed";
    }
    if (!star_fits(url, uri.path, star)) {
        return star ? "'*' is allowed once and in the last segment of the path only"
                    : "'*' is not allowed";
    }
    return NULL;
}

static const char *take_url(cmd_parms *cmd, void *field, const char *value)
{
    const char *wrong = cosell_url_wrong(value, 0, cmd->pool);
    apr_size_t len = strlen(value);

    if (wrong) {
        return wrong;
    }
    while (len && value[len - 1] == '/') {
        len--;
    }
    *(const char **)field = apr_pstrmemdup(cmd->pool, value, len);
    return NULL;
}

static const char *take_cert_url(cmd_parms *cmd, void *field, const char *value)
{
    const char *wrong = cosell_url_wrong(value, 1, cmd->pool);

    return wrong ? wrong : take_texts(cmd, field, value);
}

static const char *take_proxy(cmd_parms *cmd, void *field, const char *value)
{
    apr_uri_t uri;

    if (apr_uri_parse(cmd->pool, value, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname
        || strcmp(uri.scheme, "http") || !is_host(uri.hostname) || !uri.port || uri.user
        || uri.query || (uri.path && strcmp(uri.path, "/"))) {
        return "allowed is http://host:port, without user and password";
    }
    *(const char **)field = apr_psprintf(cmd->pool, "http://%s", uri.hostinfo);
    return NULL;
}

static const char *take_revocation(cmd_parms *cmd, void *field, const char *value)
{
    if (!strcasecmp(value, "off")) {
        *(const char **)field = NULL;
        return NULL;
    }
    if (strncmp(value, "crl:", 4) || take_file(cmd, field, value + 4)) {
        return "allowed are off and crl:FILE";
    }
    return NULL;
}

/* 1 when the whole text is a number of low..high. */
static int number(double *pvalue, const char *value, double low, double high)
{
    char *end;

    if (!*value || strspn(value, "0123456789.") != strlen(value)) {
        return 0;
    }
    *pvalue = strtod(value, &end);
    return !*end && *pvalue >= low && *pvalue <= high;
}

static int whole(int *pvalue, const char *value, int low, int high)
{
    double d;

    if (strchr(value, '.') || !number(&d, value, low, high)) {
        return 0;
    }
    *pvalue = (int)d;
    return 1;
}

static const char *take_rate(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    return number(field, value, 0, 10000) ? NULL
        : "allowed are requests per second, 0 (no limit) to 10000, fractions too";
}

static const char *take_concurrency(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    return whole(field, value, 1, 64) ? NULL : "allowed are 1 to 64 requests at once";
}

static const char *take_reserve(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    return whole(field, value, 0, 90) ? NULL : "allowed are 0 to 90 percent of the daily quota";
}

static int span(apr_interval_time_t *pi, const char *value, apr_interval_time_t low,
                apr_interval_time_t high)
{
    return cs_interval_parse(pi, value, "s") == APR_SUCCESS && *pi >= low && *pi <= high;
}

/* A write may only start while the lease, 90 s and renewed every 15 s, outlives it. */
static const char *take_timeout(cmd_parms *cmd, void *field, const char *value)
{
    apr_interval_time_t i;

    (void)cmd;
    if (!span(&i, value, apr_time_from_sec(1), apr_time_from_sec(60))) {
        return "allowed are 1s to 60s";
    }
    *(apr_interval_time_t *)field = i;
    return NULL;
}

static const char *take_retention(cmd_parms *cmd, void *field, const char *value)
{
    apr_interval_time_t i;

    (void)cmd;
    if (!span(&i, value, apr_time_from_sec(3600), 3650 * DAY)) {
        return "allowed are 1h to 3650d";
    }
    *(apr_interval_time_t *)field = i;
    return NULL;
}

/* ---- key=value ---- */

enum { OPTIONAL = 0, REQUIRED = 1, MANY = 2, SECRET = 4 };

typedef struct option_t {
    const char *key;
    value_fn *take;
    apr_size_t offset;
    int flags;
} option_t;

static const char *keys_of(const option_t *options, apr_pool_t *p)
{
    const char *text = "";

    for (; options->key; options++) {
        text = apr_pstrcat(p, text, *text ? ", " : "", options->key, "=", NULL);
    }
    return text;
}

/* One "key=value" into target. Sets its bit in *pseen. */
static const char *take_option(cmd_parms *cmd, const option_t *options, void *target,
                               const char *arg, unsigned *pseen)
{
    const char *eq = strchr(arg, '=');
    apr_size_t len = eq ? (apr_size_t)(eq - arg) : 0;
    const char *wrong;
    int i;

    for (i = 0; options[i].key; i++) {
        if (eq && strlen(options[i].key) == len && !strncasecmp(options[i].key, arg, len)) {
            break;
        }
    }
    if (!options[i].key) {
        /* Without '=' the word may be a secret that lost its key: its place is said, not itself. */
        return apr_psprintf(cmd->pool, "\"%s\" is no option; allowed are %s",
                            eq ? apr_pstrmemdup(cmd->pool, arg, len + 1) : arg,
                            keys_of(options, cmd->pool));
    }
    if ((*pseen & (1u << i)) && !(options[i].flags & MANY)) {
        return apr_psprintf(cmd->pool, "%s= is given twice; allowed is once", options[i].key);
    }
    *pseen |= 1u << i;
    wrong = options[i].take(cmd, (char *)target + options[i].offset, eq + 1);
    if (wrong && (options[i].flags & SECRET)) {
        return apr_psprintf(cmd->pool, "%s=: %s", options[i].key, wrong);
    }
    return wrong ? apr_psprintf(cmd->pool, "%s=\"%s\": %s", options[i].key, eq + 1, wrong) : NULL;
}

static const char *take_options(cmd_parms *cmd, const option_t *options, void *target, int argc,
                                char *const argv[])
{
    unsigned seen = 0;
    int i;

    for (i = 0; i < argc; i++) {
        const char *wrong = take_option(cmd, options, target, argv[i], &seen);

        if (wrong) {
            return wrong;
        }
    }
    for (i = 0; options[i].key; i++) {
        if ((options[i].flags & REQUIRED) && !(seen & (1u << i))) {
            return apr_psprintf(cmd->pool, "%s= is missing; required are%s", options[i].key,
                                apr_pstrcat(cmd->pool, " all of ", keys_of(options, cmd->pool),
                                            " but the optional ones", NULL));
        }
    }
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

#define CHECK_PLACE(least, most) \
    do { \
        const char *wrong_ = check_place(cmd, argc, least, most); \
        if (wrong_) { \
            return refuse(cmd, "%s", wrong_); \
        } \
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
    if (!is_name(argv[0], 64)) {
        return refuse(cmd, "\"%s\": allowed are 1 to 64 letters, digits, '.', '_' and '-', first a "
                      "letter or digit", argv[0]);
    }
    conf->site = argv[0];
    conf->site_where = where_of(cmd);
    return NULL;
}

static const option_t pc_options[] = {
    { "tenant", take_id, offsetof(cosell_pc_t, tenant), REQUIRED },
    { "client-id", take_guid, offsetof(cosell_pc_t, client_id), REQUIRED },
    { "client-secret", take_secret, offsetof(cosell_pc_t, client_secret), REQUIRED | SECRET },
    { "refresh-token", take_secret, offsetof(cosell_pc_t, refresh_token), SECRET },
    { "organization", take_id, offsetof(cosell_pc_t, organization), OPTIONAL },
    { "token-url", take_url, offsetof(cosell_pc_t, token_url), OPTIONAL },
    { "webhooks-url", take_url, offsetof(cosell_pc_t, webhooks_url), OPTIONAL },
    { "referrals-url", take_url, offsetof(cosell_pc_t, referrals_url), OPTIONAL },
    { NULL, NULL, 0, 0 }
};

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
    wrong = take_options(cmd, pc_options, pc, argc, argv);
    if (wrong) {
        return refuse(cmd, "%s", wrong);
    }
    conf->pc = pc;
    return NULL;
}

/* Of all types; which of them a type takes is its client's word. */
static const option_t crm_options[] = {
    { "mapping", take_file, offsetof(cosell_crm_t, mapping), OPTIONAL },
    { "tenant", take_id, offsetof(cosell_crm_t, tenant), OPTIONAL },
    { "client-id", take_id, offsetof(cosell_crm_t, client_id), OPTIONAL },
    { "client-secret", take_secret, offsetof(cosell_crm_t, client_secret), SECRET },
    { "user", take_text, offsetof(cosell_crm_t, user), OPTIONAL },
    { "organization", take_id, offsetof(cosell_crm_t, organization), OPTIONAL },
    { "token-url", take_url, offsetof(cosell_crm_t, token_url), OPTIONAL },
    { "certificate", take_file, offsetof(cosell_crm_t, certificate), OPTIONAL },
    { "key", take_secret, offsetof(cosell_crm_t, key), SECRET },
    { "webhook-secret", take_secret, offsetof(cosell_crm_t, webhook_secret), SECRET },
    { NULL, NULL, 0, 0 }
};

static int is_one_of(const char *const *words, const char *word)
{
    for (; *words; words++) {
        if (!strcmp(*words, word)) {
            return 1;
        }
    }
    return 0;
}

static const option_t *options_of(const cs_crm_impl_t *impl, apr_pool_t *p)
{
    option_t *options = apr_pcalloc(p, sizeof(crm_options)), *to = options;
    const option_t *from;

    for (from = crm_options; from->key; from++) {
        if (is_one_of(impl->takes, from->key)) {
            *to = *from;
            to->flags |= is_one_of(impl->needs, from->key) ? REQUIRED : 0;
            to++;
        }
    }
    return options;
}

/* NULL, or why a CRM cannot have this name: it is part of names in the store and a word of
 * CosellUpstream. */
static const char *crm_name_wrong(const cosell_conf_t *conf, const char *name, apr_pool_t *p)
{
    static const char *const taken[] = { "partner-center", "login", "certificate", "pc", "deal" };
    apr_size_t i;
    int k;

    if (!is_name(name, 64)) {
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
    wrong = take_url(cmd, &crm->url, argv[2]);
    if (wrong) {
        return refuse(cmd, "URL \"%s\": %s", argv[2], wrong);
    }
    wrong = take_options(cmd, options_of(impl, cmd->pool), crm, argc - 3, argv + 3);
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

static const option_t signature_options[] = {
    { "url", take_cert_url, offsetof(cosell_signature_t, urls), MANY },
    { "ca", take_file, offsetof(cosell_signature_t, ca), OPTIONAL },
    { "intermediates", take_file, offsetof(cosell_signature_t, intermediates), OPTIONAL },
    { "issuer", take_text, offsetof(cosell_signature_t, issuer), OPTIONAL },
    { "subject", take_text, offsetof(cosell_signature_t, subject), OPTIONAL },
    { "name", take_texts, offsetof(cosell_signature_t, names), MANY },
    { "revocation", take_revocation, offsetof(cosell_signature_t, crl), OPTIONAL },
    { NULL, NULL, 0, 0 }
};

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
    wrong = take_options(cmd, signature_options, sig, argc, argv);
    if (!wrong && sig->issuer && !*sig->issuer) {
        wrong = "issuer=: allowed is the organization (O) of the issuer; it is always checked";
    }
    if (wrong) {
        return refuse(cmd, "%s", wrong);
    }
    conf->signature = sig;
    return NULL;
}

static const option_t upstream_options[] = {
    { "ca", take_file, offsetof(cosell_upstream_t, ca), OPTIONAL },
    { "rate", take_rate, offsetof(cosell_upstream_t, rate), OPTIONAL },
    { "concurrency", take_concurrency, offsetof(cosell_upstream_t, concurrency), OPTIONAL },
    { "timeout", take_timeout, offsetof(cosell_upstream_t, timeout), OPTIONAL },
    { "proxy", take_proxy, offsetof(cosell_upstream_t, proxy), OPTIONAL },
    { "reserve", take_reserve, offsetof(cosell_upstream_t, reserve), OPTIONAL },
    { NULL, NULL, 0, 0 }
};

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
    wrong = take_options(cmd, upstream_options, up, argc - 1, argv + 1);
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

static const char *set_poll(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    (void)dconf;
    CHECK_PLACE(1, 1);
    if (!span(&cosell_conf_of(cmd->server)->poll, argv[0], apr_time_from_sec(10), DAY)) {
        cosell_conf_of(cmd->server)->poll = -1;
        return refuse(cmd, "\"%s\": allowed are 10s to 1d", argv[0]);
    }
    return NULL;
}

static const char *set_sweep(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    (void)dconf;
    CHECK_PLACE(1, 1);
    if (!span(&cosell_conf_of(cmd->server)->sweep, argv[0], apr_time_from_sec(60), 30 * DAY)) {
        cosell_conf_of(cmd->server)->sweep = -1;
        return refuse(cmd, "\"%s\": allowed are 1m to 30d", argv[0]);
    }
    return NULL;
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
        return refuse(cmd, "\"%s\": allowed is the path of a directory of the module's own, "
                      "absolute or relative to ServerRoot", argv[0]);
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
    if (!whole(&cosell_conf_of(cmd->server)->workers, argv[0], 0, 64)) {
        return refuse(cmd, "\"%s\": allowed are 0 (accept only) to 64 threads", argv[0]);
    }
    return NULL;
}

static const option_t retention_options[] = {
    { "journal", take_retention, offsetof(cosell_conf_t, keep_journal), OPTIONAL },
    { "delivery", take_retention, offsetof(cosell_conf_t, keep_delivery), OPTIONAL },
    { NULL, NULL, 0, 0 }
};

static const char *set_retention(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 2);
    wrong = take_options(cmd, retention_options, cosell_conf_of(cmd->server), argc, argv);
    return wrong ? refuse(cmd, "%s", wrong) : NULL;
}

static const char *set_passphrase(cmd_parms *cmd, void *dconf, int argc, char *const argv[])
{
    cosell_conf_t *conf = cosell_conf_of(cmd->server);
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 1);
    conf->passphrase_where = where_of(cmd);
    wrong = take_secret(cmd, &conf->passphrase, argv[0]);
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
    return span(field, value, apr_time_from_sec(3600), 30 * DAY)
               ? NULL
               : "allowed are 1h to 30d, and off";
}

static const option_t notify_options[] = {
    { "level", take_level, offsetof(notify_options_t, level), OPTIONAL },
    { "every", take_every, offsetof(notify_options_t, every), OPTIONAL },
    { NULL, NULL, 0, 0 }
};

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
    notify_options_t options = { NULL, CS_NOTIFY_EVERY };
    const char *wrong;

    (void)dconf;
    CHECK_PLACE(1, 3);
    notify->where = where_of(cmd);
    notify->target.name = argv[0];
    wrong = take_target(&notify->target, argv[0], cmd->pool);
    if (wrong) {
        return refuse(cmd, "\"%s\": %s", argv[0], wrong);
    }
    wrong = take_options(cmd, notify_options, &options, argc - 1, argv + 1);
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
#define SERVER(name, set, syntax) \
    AP_INIT_TAKE_ARGV(name, set, (void *)&cosell_commands, RSRC_CONF, syntax)

const command_rec cosell_commands[] = {
    HOST("CosellEngine", set_engine, "CosellEngine on|off"),
    HOST("CosellSite", set_site, "CosellSite name"),
    HOST("CosellPartnerCenter", set_partner_center,
         "CosellPartnerCenter tenant=ID client-id=ID client-secret=REF [refresh-token=REF] "
         "[organization=ID] [token-url=URL] [webhooks-url=URL] [referrals-url=URL]"),
    HOST("CosellCrm", set_crm,
         "CosellCrm name dynamics365 URL mapping=FILE tenant=ID client-id=ID client-secret=REF | "
         "certificate=FILE key=REF [webhook-secret=REF] [organization=ID] [token-url=URL]"),
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
    { NULL, { NULL }, NULL, 0, RAW_ARGS, NULL }
};
