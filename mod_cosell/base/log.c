#include "log.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "result.h"
#include "time.h"

#define LINE_MAX_BYTES 4096

static cs_log_print_fn *log_print;
static cs_log_enabled_fn *log_is_enabled;
static void *log_baton;

void cs_log_set(cs_log_print_fn *print, cs_log_enabled_fn *enabled, void *baton)
{
    log_print = print;
    log_is_enabled = enabled;
    log_baton = baton;
}

int cs_log_enabled(cs_log_level_e level, const char *site)
{
    if (!log_print) {
        return 0;
    }
    return log_is_enabled ? log_is_enabled(log_baton, level, site) : 1;
}

/* The largest length <= len at which text can be cut without splitting a UTF-8 sequence. */
static apr_size_t cut_utf8(const char *text, apr_size_t len)
{
    apr_size_t cut = len;
    int back = 0;

    while (cut > 0 && back < 3 && ((unsigned char)text[cut] & 0xC0) == 0x80) {
        cut--;
        back++;
    }
    return ((unsigned char)text[cut] & 0xC0) == 0x80 ? len : cut;
}

/* Control characters as \xNN, so that text from outside cannot forge lines or drive a terminal. */
static void escape(char *to, apr_size_t size, const char *from)
{
    static const char hex[] = "0123456789abcdef";
    apr_size_t n = 0;
    apr_size_t i;

    for (i = 0; from[i]; i++) {
        unsigned char c = (unsigned char)from[i];

        if (c >= 0x20 && c != 0x7f) {
            if (n + 1 >= size) {
                break;
            }
            to[n++] = (char)c;
        }
        else {
            if (n + 4 >= size) {
                break;
            }
            to[n++] = '\\';
            to[n++] = 'x';
            to[n++] = hex[c >> 4];
            to[n++] = hex[c & 15];
        }
    }
    if (from[i]) {
        to[n] = from[i];
        n = cut_utf8(to, n);
    }
    to[n] = '\0';
}

void cs_log(cs_log_level_e level, apr_status_t rv, const char *site, const char *fmt, ...)
{
    char raw[LINE_MAX_BYTES];
    char line[LINE_MAX_BYTES];
    char status[256];
    apr_size_t len;
    va_list ap;
    int n;

    if (!cs_log_enabled(level, site)) {
        return;
    }
    va_start(ap, fmt);
    n = vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    if (n < 0) {
        apr_cpystrn(raw, fmt, sizeof(raw));
    }
    len = strlen(raw);
    if (rv != APR_SUCCESS) {
        snprintf(raw + len, sizeof(raw) - len, ": %s", cs_strerror(rv, status, sizeof(status)));
    }
    escape(line, sizeof(line), raw);
    log_print(log_baton, level, rv, site, line);
}

/* Where a name stands decides whether its value is a secret: "code" is one in a form and an error
 * number in JSON. */
enum { IN_FORM = 1, IN_HEADER = 2, IN_JSON = 4, IN_XML = 8, IN_ALL = 15 };

static const struct {
    const char *name;
    int where;
} secret_names[] = {
    { "authorization", IN_ALL },
    { "proxy-authorization", IN_ALL },
    { "x-ms-signature", IN_ALL },
    { "cookie", IN_HEADER | IN_JSON },
    { "set-cookie", IN_HEADER | IN_JSON },
    { "client_secret", IN_ALL },
    { "clientsecret", IN_ALL },
    { "client-secret", IN_ALL },
    { "secret", IN_ALL },
    { "access_token", IN_ALL },
    { "accesstoken", IN_ALL },
    { "refresh_token", IN_ALL },
    { "refreshtoken", IN_ALL },
    { "id_token", IN_ALL },
    { "token", IN_FORM | IN_JSON | IN_XML },
    { "client_assertion", IN_ALL },
    { "assertion", IN_FORM | IN_JSON },
    { "code", IN_FORM },
    { "device_code", IN_ALL },
    { "code_verifier", IN_ALL },
    { "password", IN_ALL },
    { "passphrase", IN_ALL },
    { "private_key", IN_ALL },
    { "api_key", IN_ALL },
    { "apikey", IN_ALL },
    { "x-api-key", IN_ALL },
    { "sessionid", IN_ALL },
    { "sid", IN_FORM | IN_HEADER },
    { "sig", IN_FORM },
};

static int is_name_char(char c)
{
    return apr_isalnum(c) || c == '_' || c == '-';
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* End of a quoted value; s is after the opening quote. An escaped opening quote means JSON within a
 * JSON string, whose next quote ends it. */
static const char *quoted_end(const char *s, int escaped)
{
    while (*s && *s != '"') {
        if (*s == '\\' && s[1] && (!escaped || s[1] != '"')) {
            s++;
        }
        else if (*s == '\\' && escaped) {
            return s;
        }
        s++;
    }
    return s;
}

static const char *end_of(const char *s, const char *stops)
{
    return s + strcspn(s, stops);
}

/* Value after ':' : a header's goes to the end of its line, a JSON member's to its end. */
static const char *colon_value(const char **pstart, const char *s, int quoted, int where)
{
    int escaped;

    while (is_blank(*s) || (quoted && (*s == '\r' || *s == '\n'))) {
        s++;
    }
    escaped = s[0] == '\\' && s[1] == '"';
    if (s[escaped] == '"' && (where & (IN_JSON | IN_HEADER))) {
        *pstart = s + escaped + 1;
        return quoted_end(*pstart, escaped);
    }
    *pstart = s;
    if (quoted && (where & IN_JSON)) {
        return *s == '[' || *s == '{' ? end_of(s, "\r\n") : end_of(s, ",}] \t\r\n");
    }
    return where & IN_HEADER ? end_of(s, "\r\n") : NULL;
}

/* s stands after a secret name: the value's start in *pstart and its end, or NULL when no value
 * follows in a place where this name is secret. */
static const char *find_value(const char **pstart, const char *s, int where)
{
    int quoted = 0;

    if (*s == '>' && (where & IN_XML)) {
        *pstart = s + 1;
        return end_of(s + 1, "<");
    }
    while (*s == '\\') {
        s++;
    }
    if (*s == '"' || *s == '\'') {
        quoted = 1;
        s++;
    }
    while (is_blank(*s)) {
        s++;
    }
    if (*s == ':') {
        return colon_value(pstart, s + 1, quoted, where);
    }
    if ((where & IN_FORM) && (*s == '=' || !strncasecmp(s, "%3d", 3))) {
        s += *s == '=' ? 1 : 3;
        while (is_blank(*s)) {
            s++;
        }
        if (*s == '"') {
            *pstart = s + 1;
            return quoted_end(s + 1, 0);
        }
        *pstart = s;
        return end_of(s, "& \t\r\n\"'<>;,");
    }
    return NULL;
}

static const char *match_scheme(const char **pstart, const char *s, apr_size_t len)
{
    if ((len == 6 && !strncasecmp(s, "bearer", 6)) || (len == 5 && !strncasecmp(s, "basic", 5))) {
        s += len;
        if (is_blank(*s)) {
            *pstart = s + strspn(s, " \t");
            return end_of(*pstart, " \t\r\n\"',;<>\\");
        }
    }
    return NULL;
}

/* s is at the start of a word of len bytes. The end of the secret value that follows it or NULL. */
static const char *match_secret(const char **pstart, const char *s, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
        if (strlen(secret_names[i].name) == len && !strncasecmp(s, secret_names[i].name, len)) {
            return find_value(pstart, s + len, secret_names[i].where);
        }
    }
    return match_scheme(pstart, s, len);
}

typedef struct redact_t {
    char *out;
    apr_size_t n;
    apr_size_t max;
} redact_t;

static void put(redact_t *r, const char *s, apr_size_t len)
{
    apr_size_t room = r->max - r->n;

    if (len > room) {
        len = cut_utf8(s, room);
        r->max = r->n + len;
    }
    memcpy(r->out + r->n, s, len);
    r->n += len;
}

const char *cs_log_redact(const char *text, apr_size_t max, apr_pool_t *p)
{
    static const char mark[] = "[redacted]";
    const char *s = text ? text : "";
    apr_size_t len = strlen(s);
    redact_t r = { NULL, 0, max };

    /* A value of one byte becomes ten; more than ten times the text cannot be needed. */
    if (max / (sizeof(mark) + 1) > len) {
        r.max = (len + 1) * (sizeof(mark) + 1);
    }
    r.out = apr_palloc(p, r.max + 1);
    while (*s && r.n < r.max) {
        const char *start = s, *end = NULL;
        apr_size_t word = 0;

        while (is_name_char(s[word])) {
            word++;
        }
        if (word) {
            end = match_secret(&start, s, word);
        }
        if (end && end > start) {
            put(&r, s, (apr_size_t)(start - s));
            put(&r, mark, sizeof(mark) - 1);
            s = end;
        }
        else {
            /* A whole UTF-8 sequence, so that put() can see where not to cut. */
            for (word = word ? word : 1; ((unsigned char)s[word] & 0xC0) == 0x80;) {
                word++;
            }
            put(&r, s, word);
            s += word;
        }
    }
    r.out[r.n] = '\0';
    return r.out;
}

int cs_log_state_changed(cs_log_state_t *st, const char *reason, apr_interval_time_t interval,
                         unsigned long *psuppressed)
{
    /* The boot clock: a wall clock set back must not silence a problem. */
    apr_time_t now = cs_time_boot();
    char cut[sizeof(st->reason)];
    int changed;

    apr_cpystrn(cut, reason ? reason : "", sizeof(cut));
    changed = st->bad != (reason != NULL) || strcmp(cut, st->reason) != 0;
    if (!changed && (!reason || now - st->logged_at < interval)) {
        st->suppressed += reason != NULL;
        return 0;
    }
    if (psuppressed) {
        *psuppressed = st->suppressed;
    }
    st->bad = reason != NULL;
    memcpy(st->reason, cut, sizeof(cut));
    st->logged_at = now;
    st->suppressed = 0;
    return 1;
}
