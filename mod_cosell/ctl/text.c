/* Text for terminals: UTF-8, its width, and the values of deals as people write them. */
#include "ctl.h"

#include <apr_strings.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "../base/json.h"
#include "../base/time.h"
#include "../domain/record.h"

#define BROKEN 0xfffd

/* Bytes that continue a character, or -1. */
static int following(unsigned char c)
{
    return c < 0x80                ? 0
           : c >= 0xc2 && c < 0xe0 ? 1
           : c >= 0xe0 && c < 0xf0 ? 2
           : c >= 0xf0 && c < 0xf5 ? 3
                                   : -1;
}

unsigned ctl_char(const char *text, int *plen)
{
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    int n = following(*s), i;
    unsigned c;

    *plen = 1;
    if (n <= 0) {
        return n ? BROKEN : *s;
    }
    c = *s & (0x3fu >> n);
    for (i = 1; i <= n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return BROKEN;
        }
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return BROKEN;
    }
    *plen = n + 1;
    return c;
}

/* The widths of UTF-8 whatever the user's locale is; without that locale every letter is one. */
static int char_width(unsigned c)
{
    static locale_t utf8;
    static int asked;
    locale_t old;
    int width;

    if (!asked) {
        asked = 1;
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    }
    if (c < 0x7f || !utf8) {
        return 1;
    }
    old = uselocale(utf8);
    width = wcwidth((wchar_t)c);
    uselocale(old);
    return width < 0 ? 1 : width;
}

int ctl_width(const char *text)
{
    int width = 0, len;

    for (; *text; text += len) {
        width += char_width(ctl_char(text, &len));
    }
    return width;
}

/* Letters that turn the direction of writing, hide or end lines lie about what stands beside
 * them. */
static int is_control(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

const char *ctl_clean(const char *text, apr_pool_t *p)
{
    char *out, *to;
    int len;

    if (!text) {
        return "";
    }
    out = to = apr_palloc(p, 3 * strlen(text) + 1);
    for (; *text; text += len) {
        unsigned c = ctl_char(text, &len);

        if (c == BROKEN && len == 1) {
            memcpy(to, "\xef\xbf\xbd", 3);
            to += 3;
        }
        else if (is_control(c)) {
            *to++ = c == '\n' || c == '\t' || c == '\r' ? ' ' : '?';
        }
        else {
            memcpy(to, text, (apr_size_t)len);
            to += len;
        }
    }
    *to = '\0';
    return out;
}

const char *ctl_cut(const char *text, int width, apr_pool_t *p)
{
    const char *at = text;
    int used = 0, len;

    if (ctl_width(text) <= width) {
        return text;
    }
    while (*at) {
        int w = char_width(ctl_char(at, &len));

        if (used + w > width - 1) {
            break;
        }
        used += w;
        at += len;
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, text, (apr_size_t)(at - text)), "…", NULL);
}

const char *ctl_pad(const char *text, int width, apr_pool_t *p)
{
    int more = width - ctl_width(text);

    return more > 0 ? apr_psprintf(p, "%s%*s", text, more, "") : text;
}

/* Where the line that begins at `at` ends: the last blank that fits, or the last letter. */
static const char *line_end(const char *at, int width)
{
    const char *blank = NULL;
    int used = 0, len;

    while (*at) {
        unsigned c = ctl_char(at, &len);

        if (c == ' ') {
            blank = at;
        }
        used += char_width(c);
        if (used > width) {
            return blank ? blank : at;
        }
        at += len;
    }
    return at;
}

apr_array_header_t *ctl_wrap(const char *text, int width, apr_pool_t *p)
{
    apr_array_header_t *lines = apr_array_make(p, 4, sizeof(const char *));

    width = width > 0 && width < 20 ? 20 : width;
    do {
        const char *end = width > 0 ? line_end(text, width) : text + strlen(text);

        APR_ARRAY_PUSH(lines, const char *) = apr_pstrmemdup(p, text, (apr_size_t)(end - text));
        for (text = end; *text == ' '; text++) {
        }
    } while (*text);
    return lines;
}

/* Whoever wrote it: to the second, in UTC; NULL = it is no time of day. */
static const char *moment(const char *text, apr_pool_t *p)
{
    apr_time_t at;
    char *out;

    if (!text || strlen(text) < 19 || text[10] != 'T' || cs_time_parse(&at, text) != APR_SUCCESS) {
        return NULL;
    }
    out = apr_pstrndup(p, cs_time_format(at, p), 19);
    out[10] = ' ';
    return out;
}

const char *ctl_when(const json_t *time, apr_pool_t *p)
{
    const char *text = json_string_value(time), *said = moment(text, p);

    return said ? said : text ? ctl_clean(text, p) : "-";
}

const char *ctl_since(const json_t *time, apr_time_t now, apr_pool_t *p)
{
    const char *text = json_string_value(time);
    apr_int64_t s;
    apr_time_t t;

    if (!text || cs_time_parse(&t, text) != APR_SUCCESS) {
        return NULL;
    }
    s = apr_time_sec(now - t);
    s = s < 0 ? 0 : s;
    if (s < 120) {
        return apr_psprintf(p, "%d s", (int)s);
    }
    if (s < 2 * 3600) {
        return apr_psprintf(p, "%d min", (int)(s / 60));
    }
    if (s < 2 * 86400) {
        return apr_psprintf(p, "%d h", (int)(s / 3600));
    }
    return apr_psprintf(p, "%" APR_INT64_T_FMT " d", s / 86400);
}

const char *ctl_count(apr_int64_t n, const char *one, const char *many, apr_pool_t *p)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT " %s", n, n == 1 ? one : many);
}

static const char *join(const char *a, const char *between, const char *b, apr_pool_t *p)
{
    return !*a ? b : *b ? apr_pstrcat(p, a, between, b, NULL) : a;
}

static const char *text_of(const json_t *obj, const char *name)
{
    const char *text = cs_json_str(obj, name);

    return text ? text : "";
}

/* People and rows by what they are called; what has no name is the document itself. */
/* A row that is to be written, rather than something that has a name. */
static int has_wrappers(const json_t *value)
{
    const char *key;
    json_t *member;

    json_object_foreach((json_t *)value, key, member) {
        if (json_is_object(member)) {
            return 1;
        }
    }
    return 0;
}

static const char *members_said(const json_t *value, apr_pool_t *p)
{
    const char *out = "", *key;
    json_t *member;

    json_object_foreach((json_t *)value, key, member) {
        out = apr_pstrcat(p, out, *out ? "; " : "", key, ": ", ctl_value(member, p), NULL);
    }
    return out;
}

static const char *object_value(const json_t *value, apr_pool_t *p)
{
    const char *name = cs_json_str(value, "name"), *key, *out;
    json_t *member;

    if (cs_json_str(value, "amount")) {
        return join(text_of(value, "amount"), " ", text_of(value, "currency"), p);
    }
    if (cs_json_str(value, "email")) {
        out = join(text_of(value, "firstName"), " ", text_of(value, "lastName"), p);
        return join(out, " ", apr_pstrcat(p, "<", text_of(value, "email"), ">", NULL), p);
    }
    if (cs_json_str(value, "table") && cs_json_str(value, "id") && json_object_size(value) == 2) {
        return join(text_of(value, "table"), " ", text_of(value, "id"), p);
    }
    if (!name || has_wrappers(value)) {
        return members_said(value, p);
    }
    out = name;
    json_object_foreach((json_t *)value, key, member) {
        if (strcmp(key, "name") && strcmp(key, "id") && json_string_length(member)) {
            out = join(out, ", ", json_string_value(member), p);
        }
    }
    return out;
}

const char *ctl_value(const json_t *value, apr_pool_t *p)
{
    if (!value) {
        return "";
    }
    if (json_is_null(value) || (json_is_string(value) && !*json_string_value(value))) {
        return "(empty)";
    }
    if (json_is_string(value)) {
        const char *text = json_string_value(value), *time = moment(text, p);

        return time ? apr_pstrcat(p, time, " UTC", NULL) : ctl_clean(text, p);
    }
    if (json_is_boolean(value)) {
        return json_is_true(value) ? "yes" : "no";
    }
    if (cs_wrapper_words(value, p)) {
        return ctl_clean(cs_wrapper_words(value, p), p);
    }
    if (json_is_object(value) && json_object_size(value) == 1) {
        return ctl_value(json_object_iter_value(json_object_iter((json_t *)value)), p);
    }
    return ctl_clean(json_is_object(value) ? object_value(value, p) : cs_json_print(value, p), p);
}
