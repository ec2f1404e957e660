/* Where the server is and who signs in: options first, then COSELL_URL, the user's file, the
 * machine's. */
#include "ctl.h"

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/crypto.h"

#define FILE_MAX (64 * 1024)
#define ETC_FILE "/etc/cosell/ctl.conf"

static const char *const settings[] = {"url", "site", "netrc", "cert", "key", "cacert", NULL};

/* ---- files ---- */

static const char *home_of(void)
{
    const char *home = getenv("HOME");

    return home && *home ? home : "/";
}

static const char *expand(const char *path, apr_pool_t *p)
{
    return strncmp(path, "~/", 2) ? path : apr_pstrcat(p, home_of(), path + 1, NULL);
}

/* *pmode = its permissions. The text is wiped at the end of p: passwords may be in it. */
static apr_status_t read_file(const char **ptext, apr_fileperms_t *pmode, const char *path,
                              apr_pool_t *p)
{
    apr_size_t len = FILE_MAX;
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv;
    char *text;

    rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_info_get(&info, APR_FINFO_PROT | APR_FINFO_TYPE, file);
    if (rv == APR_SUCCESS && info.filetype == APR_DIR) {
        rv = APR_EINVAL;
    }
    if (rv == APR_SUCCESS) {
        text = apr_pcalloc(p, FILE_MAX + 1);
        cs_wipe_at_end(text, FILE_MAX, p);
        rv = apr_file_read_full(file, text, len, &len);
        rv = APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv == APR_SUCCESS ? APR_EINVAL : rv;
        *ptext = text;
        *pmode = info.protection;
    }
    apr_file_close(file);
    return rv;
}

static const char *reason(apr_status_t rv, apr_pool_t *p)
{
    char *text = apr_palloc(p, 200);

    return rv == APR_EINVAL ? "it is no text file of at most 64 KiB" : apr_strerror(rv, text, 200);
}

static int is_setting(const char *name)
{
    int i;

    for (i = 0; settings[i] && strcmp(settings[i], name); i++) {
    }
    return settings[i] != NULL;
}

static char *trim(char *text)
{
    char *end;

    while (apr_isspace(*text)) {
        text++;
    }
    for (end = text + strlen(text); end > text && apr_isspace(end[-1]); end--) {
    }
    *end = '\0';
    return text;
}

/* Settings that nothing before has given. 0 or an exit code. */
static int take_line(apr_table_t *to, const char *path, int number, char *line)
{
    char *equals = strchr(line, '='), *name;

    line = trim(line);
    if (!*line || *line == '#') {
        return CTL_DONE;
    }
    if (equals) {
        *equals = '\0';
    }
    name = trim(line);
    if (!equals || !is_setting(name)) {
        ctl_error("%s:%d: \"%.40s\" is not known; allowed: url=, site=, netrc=, cert=, key=, "
                  "cacert= (passwords belong into the netrc file)",
                  path, number, name);
        return CTL_USAGE;
    }
    if (!apr_table_get(to, name)) {
        apr_table_set(to, name, trim(equals + 1));
    }
    return CTL_DONE;
}

static int take_file(ctl_t *c, apr_table_t *to, const char *path)
{
    apr_fileperms_t mode;
    const char *text;
    char *line, *at;
    int rc = 0, number = 0;
    apr_status_t rv = read_file(&text, &mode, path, c->p);

    /* The machine's file may be in a directory of root's. */
    if (APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_EACCES(rv) || APR_STATUS_IS_ENOTDIR(rv)) {
        return CTL_DONE;
    }
    if (rv != APR_SUCCESS) {
        ctl_error("%s cannot be read: %s", path, reason(rv, c->p));
        return CTL_USAGE;
    }
    at = apr_pstrdup(c->p, text);
    while (!rc && (line = strsep(&at, "\n")) != NULL) {
        rc = take_line(to, path, ++number, line);
    }
    return rc;
}

/* ---- the address ---- */

static int is_loopback(const char *host)
{
    return !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
           (!strncmp(host, "127.", 4) && strspn(host, "0123456789.") == strlen(host));
}

const char *ctl_url_wrong(const char *url, const char **phost, apr_pool_t *p)
{
    apr_size_t scheme = strcspn(url, ":"), len;
    const char *at = url + scheme;
    char *host;

    if (strncmp(at, "://", 3) ||
        (strncasecmp(url, "https", scheme) && strncasecmp(url, "http", scheme)) || scheme < 4) {
        return "an address begins with https://";
    }
    at += 3;
    len = strcspn(at, "/?#");
    if (memchr(at, '@', len)) {
        return "user and password do not belong into an address, where everybody on this machine "
               "can read them; put them into a netrc file";
    }
    host = apr_pstrmemdup(p, at, *at == '[' ? strcspn(at, "]/?#") + 1 : strcspn(at, ":/?#"));
    if (!*host ||
        strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") < len) {
        return "it names no host";
    }
    if (scheme == 4 && !is_loopback(host)) {
        return "http is allowed to this machine alone (127.0.0.1, localhost): passwords would "
               "travel readable; use https";
    }
    at += len;
    if (strchr(at, '#') || (strchr(at, '?') && strcmp(strchr(at, '?'), "?scope=all"))) {
        return "allowed behind '?' is scope=all";
    }
    *phost = host;
    return NULL;
}

/* ---- credentials ---- */

static int take_netrc(ctl_t *c, const char *named, const char *host)
{
    const char *path = named ? expand(named, c->p) : apr_pstrcat(c->p, home_of(), "/.netrc", NULL);
    const char *text, *login, *password, *why;
    apr_fileperms_t mode;
    char *both;
    apr_status_t rv = read_file(&text, &mode, path, c->p);

    if (!named && (APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_ENOTDIR(rv))) {
        return CTL_DONE;
    }
    if (rv != APR_SUCCESS) {
        ctl_error("%s cannot be read: %s", path, reason(rv, c->p));
        return CTL_USAGE;
    }
    if (mode & (APR_FPROT_WREAD | APR_FPROT_WWRITE)) {
        ctl_error("%s holds passwords and everybody may read it: chmod 600 %s", path, path);
        return CTL_USAGE;
    }
    why = ctl_netrc_find(text, host, &login, &password, c->p);
    if (why) {
        ctl_error("%s: %s", path, why);
        return CTL_USAGE;
    }
    if (login) {
        both = apr_pstrcat(c->p, login, ":", password, NULL);
        c->basic = cs_base64_encode(both, strlen(both), c->p);
        cs_wipe(both, strlen(both));
        cs_wipe((char *)password, strlen(password));
        cs_wipe_at_end((char *)c->basic, strlen(c->basic), c->p);
    }
    return CTL_DONE;
}

static int check_readable(ctl_t *c, const char *option, const char *path)
{
    const char *text;
    apr_fileperms_t mode;
    apr_status_t rv = path ? read_file(&text, &mode, path, c->p) : APR_SUCCESS;

    if (rv != APR_SUCCESS && rv != APR_EINVAL) {
        ctl_error("--%s: %s cannot be read: %s", option, path, reason(rv, c->p));
        return CTL_USAGE;
    }
    return CTL_DONE;
}

static const char *path_setting(ctl_t *c, const apr_table_t *all, const char *name)
{
    const char *path = apr_table_get(all, name);

    return path && *path ? expand(path, c->p) : NULL;
}

static int take_certificates(ctl_t *c, const apr_table_t *all)
{
    int rc;

    c->up.cert = path_setting(c, all, "cert");
    c->up.key = path_setting(c, all, "key");
    c->up.ca = path_setting(c, all, "cacert");
    if (c->up.key && !c->up.cert) {
        ctl_error("--key belongs to a certificate: --cert FILE");
        return CTL_USAGE;
    }
    rc = check_readable(c, "cert", c->up.cert);
    rc = rc ? rc : check_readable(c, "key", c->up.key);
    return rc ? rc : check_readable(c, "cacert", c->up.ca);
}

/* ---- all of it ---- */

static int gather(ctl_t *c, apr_table_t *all)
{
    const char *env = getenv("COSELL_URL"), *config = getenv("XDG_CONFIG_HOME");
    const char *client = ctl_opt(c, "client");
    int rc, i;

    if (client) {
        apr_table_setn(all, "url", client);
    }
    else if (env && *env) {
        apr_table_setn(all, "url", env);
    }
    for (i = 1; settings[i]; i++) {
        if (ctl_opt(c, settings[i])) {
            apr_table_setn(all, settings[i], ctl_opt(c, settings[i]));
        }
    }
    config = config && *config == '/' ? config : apr_pstrcat(c->p, home_of(), "/.config", NULL);
    rc = take_file(c, all, apr_pstrcat(c->p, config, "/cosell/ctl.conf", NULL));
    return rc ? rc : take_file(c, all, ETC_FILE);
}

int ctl_configure(ctl_t *c)
{
    apr_table_t *all = apr_table_make(c->p, 8);
    const char *url, *why, *host, *site;
    char *query;
    int rc = gather(c, all);

    if (rc) {
        return rc;
    }
    url = apr_table_get(all, "url");
    if (!url) {
        ctl_error("which server? Give the address of its cosell-admin: --url "
                  "https://hooks.example.com/cosell-admin, the environment variable COSELL_URL, or "
                  "url= in ~/.config/cosell/ctl.conf or " ETC_FILE);
        return CTL_USAGE;
    }
    why = ctl_url_wrong(url, &host, c->p);
    if (why) {
        /* What is wrong may be a password in it. */
        ctl_error("%s%s%s", strchr(url, '@') ? "the address" : url, ": ", why);
        return CTL_USAGE;
    }
    c->url = apr_pstrdup(c->p, url);
    query = strchr(c->url, '?');
    c->scope = query ? "scope=all" : "";
    if (query) {
        *query = '\0';
    }
    site = apr_table_get(all, "site");
    c->site = site && *site ? site : NULL;
    rc = take_certificates(c, all);
    return rc ? rc : take_netrc(c, apr_table_get(all, "netrc"), host);
}
