/* httpd/config_value.c: what one word of a directive may be, and words of the form key=value. They
 * touch nothing but memory. */
#include "config_value.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <stdlib.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/host.h"
#include "../base/time.h"

#define DAY apr_time_from_sec(86400)

int cosell_is_name(const char *text, apr_size_t max)
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

const char *cosell_take_id(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (!cosell_is_name(value, 128)) {
        return "allowed are 1 to 128 letters, digits, '.', '_' and '-', first a letter or digit";
    }
    *(const char **)field = value;
    return NULL;
}

const char *cosell_take_guid(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (!cs_uuid_valid(value, strlen(value))) {
        return "allowed is the application's id, a GUID such as "
               "11111111-2222-3333-4444-555555555555";
    }
    *(const char **)field = value;
    return NULL;
}

const char *cosell_take_text(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    if (strlen(value) > 256) {
        return "allowed are at most 256 characters";
    }
    *(const char **)field = strcasecmp(value, "off") ? value : "";
    return NULL;
}

const char *cosell_take_texts(cmd_parms *cmd, void *field, const char *value)
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

const char *cosell_take_file(cmd_parms *cmd, void *field, const char *value)
{
    const char *path = *value ? ap_server_root_relative(cmd->pool, value) : NULL;

    if (!path) {
        return "allowed is the path of a file, absolute or relative to ServerRoot";
    }
    *(const char **)field = path;
    return NULL;
}

const char *cosell_take_secret(cmd_parms *cmd, void *field, const char *value)
{
    return cs_secret_ref_parse(field, value, cmd->pool);
}

static int is_host(const char *host)
{
    apr_size_t len = strlen(host);

    return len && len <= 253 &&
           (strspn(host, "0123456789abcdefABCDEF:.") == len ||
            strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
                len);
}

/* Where a '*' may stand: once, in the last segment of the path. */
static int star_fits(const char *url, const char *path, int allowed)
{
    const char *star = strchr(url, '*');

    return !star || (allowed && path && strchr(path, '*') && strrchr(url, '*') == star &&
                     !strchr(star, '/'));
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
    if (c - url > 512 || apr_uri_parse(p, url, &uri) != APR_SUCCESS || !uri.scheme ||
        !uri.hostname || !is_host(uri.hostname)) {
        return "allowed is https://host[:port][/path]";
    }
    if (strcmp(uri.scheme, "https") && strcmp(uri.scheme, "http")) {
        return "allowed are https: and, to loopback, http:";
    }
    if (!strcmp(uri.scheme, "http") && !cs_host_is_loopback(uri.hostname, strlen(uri.hostname))) {
        return "http: is allowed to loopback only (127.0.0.1, [::1], localhost); use https:";
    }
    if (uri.user || uri.password || uri.query || uri.fragment || strstr(url, "..") ||
        strchr(url, '@') || strchr(url, '?') || strchr(url, '#')) {
        return "user, password, query, fragment and '..' are not allowed";
    }
    if (!star_fits(url, uri.path, star)) {
        return star ? "'*' is allowed once and in the last segment of the path only"
                    : "'*' is not allowed";
    }
    return NULL;
}

const char *cosell_take_url(cmd_parms *cmd, void *field, const char *value)
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

const char *cosell_take_cert_url(cmd_parms *cmd, void *field, const char *value)
{
    const char *wrong = cosell_url_wrong(value, 1, cmd->pool);

    return wrong ? wrong : cosell_take_texts(cmd, field, value);
}

const char *cosell_take_proxy(cmd_parms *cmd, void *field, const char *value)
{
    apr_uri_t uri;

    if (apr_uri_parse(cmd->pool, value, &uri) != APR_SUCCESS || !uri.scheme || !uri.hostname ||
        strcmp(uri.scheme, "http") || !is_host(uri.hostname) || !uri.port || uri.user ||
        uri.query || (uri.path && strcmp(uri.path, "/"))) {
        return "allowed is http://host:port, without user and password";
    }
    *(const char **)field = apr_psprintf(cmd->pool, "http://%s", uri.hostinfo);
    return NULL;
}

const char *cosell_take_revocation(cmd_parms *cmd, void *field, const char *value)
{
    if (!strcasecmp(value, "off")) {
        *(const char **)field = NULL;
        return NULL;
    }
    if (strncmp(value, "crl:", 4) || cosell_take_file(cmd, field, value + 4)) {
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

int cosell_take_whole(int *pnumber, const char *value, int low, int high)
{
    double d;

    if (strchr(value, '.') || !number(&d, value, low, high)) {
        return 0;
    }
    *pnumber = (int)d;
    return 1;
}

const char *cosell_take_rate(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    return number(field, value, 0, 10000)
               ? NULL
               : "allowed are requests per second, 0 (no limit) to 10000, fractions too";
}

const char *cosell_take_concurrency(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    return cosell_take_whole(field, value, 1, 64) ? NULL : "allowed are 1 to 64 requests at once";
}

const char *cosell_take_reserve(cmd_parms *cmd, void *field, const char *value)
{
    (void)cmd;
    return cosell_take_whole(field, value, 0, 90)
               ? NULL
               : "allowed are 0 to 90 percent of the daily quota";
}

int cosell_take_span(apr_interval_time_t *ptime, const char *value, apr_interval_time_t low,
                     apr_interval_time_t high)
{
    return cs_interval_parse(ptime, value, "s") == APR_SUCCESS && *ptime >= low && *ptime <= high;
}

/* A write may only start while the lease, 90 s and renewed every 15 s, outlives it. */
const char *cosell_take_timeout(cmd_parms *cmd, void *field, const char *value)
{
    apr_interval_time_t i;

    (void)cmd;
    if (!cosell_take_span(&i, value, apr_time_from_sec(1), apr_time_from_sec(60))) {
        return "allowed are 1s to 60s";
    }
    *(apr_interval_time_t *)field = i;
    return NULL;
}

const char *cosell_take_retention(cmd_parms *cmd, void *field, const char *value)
{
    apr_interval_time_t i;

    (void)cmd;
    if (!cosell_take_span(&i, value, apr_time_from_sec(3600), 3650 * DAY)) {
        return "allowed are 1h to 3650d";
    }
    *(apr_interval_time_t *)field = i;
    return NULL;
}

static const char *keys_of(const cosell_option_t *options, apr_pool_t *p)
{
    const char *text = "";

    for (; options->key; options++) {
        text = apr_pstrcat(p, text, *text ? ", " : "", options->key, "=", NULL);
    }
    return text;
}

/* One "key=value" into target. Sets its bit in *pseen. */
static const char *take_option(cmd_parms *cmd, const cosell_option_t *options, void *target,
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

const char *cosell_take_options(cmd_parms *cmd, const cosell_option_t *options, void *target,
                                int argc, char *const argv[])
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
