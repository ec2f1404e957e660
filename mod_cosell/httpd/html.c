/* httpd/html.c: writes pages; see html.h. */
#include "html.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 64
#define REPLACED "\xef\xbf\xbd"
#define ELLIPSIS "\xe2\x80\xa6"

struct cosell_html_t {
    apr_pool_t *p;
    char *text;
    apr_size_t len, size;
    const char *open[DEPTH_MAX];
    int depth;
    int in_tag; /* '>' is still to be written */
};

apr_pool_t *cosell_html_pool(const cosell_html_t *h)
{
    return h->p;
}

static void put(cosell_html_t *h, const char *bytes, apr_size_t len)
{
    if (h->len + len + 1 > h->size) {
        char *larger;

        while (h->len + len + 1 > h->size) {
            h->size *= 2;
        }
        larger = apr_palloc(h->p, h->size);
        memcpy(larger, h->text, h->len);
        h->text = larger;
    }
    memcpy(h->text + h->len, bytes, len);
    h->len += len;
}

static void puts_(cosell_html_t *h, const char *text)
{
    put(h, text, strlen(text));
}

cosell_html_t *cosell_html_create(apr_pool_t *p)
{
    cosell_html_t *h = apr_pcalloc(p, sizeof(*h));

    h->p = p;
    h->size = 16384;
    h->text = apr_palloc(p, h->size);
    puts_(h, "<!DOCTYPE html>");
    return h;
}

/* ---- characters ---- */

/* The character at s: its length; 0 = these bytes are none. *pcode = which. */
static int decode(const unsigned char *s, unsigned *pcode)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3
            : s[0] < 0xf5 ? 4 : 0;
    unsigned code = n <= 1 ? s[0] : s[0] & (0x7fu >> n);
    int i;

    for (i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (s[i] & 0x3fu);
    }
    if (!n || code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return 0;
    }
    *pcode = code;
    return n;
}

/* What shows nothing and moves what is shown, or is no character at all. */
static int is_unfit(unsigned code)
{
    return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0)
           || (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e)
           || (code >= 0x2066 && code <= 0x2069) || code == 0xfeff || (code & 0xfffe) == 0xfffe
           || (code >= 0xfdd0 && code <= 0xfdef);
}

static const char *escaped(unsigned code)
{
    switch (code) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* At most n characters. */
static void put_escaped(cosell_html_t *h, const char *text, int n)
{
    const unsigned char *s = (const unsigned char *)text;

    for (; *s && n > 0; n--) {
        unsigned code = 0;
        int len = decode(s, &code);
        const char *as = !len || is_unfit(code) ? REPLACED : escaped(code);

        if (as) {
            puts_(h, as);
        }
        else {
            put(h, (const char *)s, (apr_size_t)len);
        }
        s += len ? len : 1;
    }
    if (*s) {
        puts_(h, ELLIPSIS);
    }
}

/* ---- elements ---- */

static void end_tag_start(cosell_html_t *h)
{
    if (h->in_tag) {
        put(h, ">", 1);
        h->in_tag = 0;
    }
}

/* A line of its own for what is a block; blanks beside inline elements would show. */
static int is_block(const char *tag)
{
    static const char *const blocks[] = {"html", "head", "body",    "header", "main",  "section",
                                         "nav",  "meta", "title",   "link",   "table", "tr",
                                         "ul",   "ol",   "article", "footer", "form",  "h1",
                                         "h2",   "h3",   "dl",      "div",    "li",    "thead",
                                         "tbody"};
    apr_size_t i;

    for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (!strcmp(tag, blocks[i])) {
            return 1;
        }
    }
    return 0;
}

void cosell_html_void(cosell_html_t *h, const char *tag)
{
    end_tag_start(h);
    if (h->len && is_block(tag)) {
        put(h, "\n", 1);
    }
    put(h, "<", 1);
    puts_(h, tag);
    h->in_tag = 1;
}

void cosell_html_open(cosell_html_t *h, const char *tag)
{
    cosell_html_void(h, tag);
    if (h->depth < DEPTH_MAX) {
        h->open[h->depth] = tag;
    }
    h->depth++;
}

void cosell_html_attr(cosell_html_t *h, const char *name, const char *value)
{
    if (value && h->in_tag) {
        put(h, " ", 1);
        puts_(h, name);
        put(h, "=\"", 2);
        put_escaped(h, value, COSELL_HTML_TEXT_MAX);
        put(h, "\"", 1);
    }
}

void cosell_html_flag(cosell_html_t *h, const char *name, int on)
{
    if (on && h->in_tag) {
        put(h, " ", 1);
        puts_(h, name);
    }
}

void cosell_close(cosell_html_t *h)
{
    end_tag_start(h);
    if (h->depth > 0 && --h->depth < DEPTH_MAX) {
        put(h, "</", 2);
        puts_(h, h->open[h->depth]);
        put(h, ">", 1);
    }
}

void cosell_html_element(cosell_html_t *h, const char *tag, const char *text)
{
    cosell_html_open(h, tag);
    cosell_text(h, text);
    cosell_close(h);
}

void cosell_html_classed(cosell_html_t *h, const char *tag, const char *class_, const char *text)
{
    cosell_html_open(h, tag);
    cosell_html_attr(h, "class", class_);
    cosell_text(h, text);
    cosell_close(h);
}

void cosell_text_cut(cosell_html_t *h, const char *text, int n)
{
    end_tag_start(h);
    if (text) {
        put_escaped(h, text, n);
    }
}

void cosell_text(cosell_html_t *h, const char *text)
{
    cosell_text_cut(h, text, COSELL_HTML_TEXT_MAX);
}

void cosell_textf(cosell_html_t *h, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = apr_pvsprintf(h->p, fmt, ap);
    va_end(ap);
    cosell_text(h, text);
}

void cosell_foreign(cosell_html_t *h, const char *text, int n)
{
    if (!text || !*text) {
        return;
    }
    cosell_html_open(h, "bdi");
    cosell_text_cut(h, text, n);
    cosell_close(h);
}

const char *cosell_html_end(cosell_html_t *h, apr_size_t *plen)
{
    while (h->depth > 0) {
        cosell_close(h);
    }
    put(h, "\n", 1);
    h->text[h->len] = '\0';
    *plen = h->len;
    return h->text;
}

/* ---- URLs ---- */

const char *cosell_query_escape(const char *text, apr_pool_t *p)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(p, 3 * strlen(text) + 1), *to = out;
    const unsigned char *s;

    for (s = (const unsigned char *)text; *s; s++) {
        if ((*s < 0x80 && apr_isalnum(*s)) || strchr("-._~", *s)) {
            *to++ = (char)*s;
        }
        else {
            *to++ = '%';
            *to++ = hex[*s >> 4];
            *to++ = hex[*s & 15];
        }
    }
    *to = '\0';
    return out;
}

const char *cosell_safe_link(const char *text)
{
    const unsigned char *s;

    if (!text || (strncasecmp(text, "https://", 8) && strncasecmp(text, "http://", 7))
        || strlen(text) > 2000) {
        return NULL;
    }
    for (s = (const unsigned char *)text; *s; s++) {
        if (*s <= 0x20 || *s >= 0x7f || strchr("\"'<>\\^`{|}", *s)) {
            return NULL;
        }
    }
    return text;
}
