/* Any bytes as a text that somebody else chose: in a page, in an address, as a label of a metric, as a traceparent, as words to search by, as the reason
 * of a look that was given up. Nothing of it becomes markup, a second label or another line.
 */
#include "standalone.h"

#include "httpd_alone.h"
#include "mod_cosell/base/trace.h"
#include "mod_cosell/httpd/html.c"
#include "mod_cosell/httpd/metrics.c"
#include "mod_cosell/store/store_impl.h"

static void check_page(const char *text, apr_pool_t *p)
{
    cosell_html_t *h = cosell_html_create(p);
    const char *all, *s, *link = cosell_safe_link(text);
    apr_size_t len;

    cosell_open(h, "a");
    cosell_attr(h, "title", text);
    cosell_attr(h, "href", link);
    cosell_foreign(h, text, 100);
    cosell_close(h);
    cosell_element(h, "p", text);
    all = cosell_html_end(h, &len);
    must(strlen(all) == len && is_utf8(all));
    for (s = all; (s = strchr(s, '<')); s++) {
        must(!strncmp(s, "<!DOCTYPE html>", 15) || !strncmp(s, "<a ", 3) || !strncmp(s, "</a>", 4) || !strncmp(s, "<bdi>", 5) || !strncmp(s, "</bdi>", 6) ||
              !strncmp(s, "<p>", 3) || !strncmp(s, "</p>", 4) || !strncmp(s, "<a>", 3));
    }
    must(!link || !strncasecmp(link, "http", 4));
    s = cosell_query_escape(text, p);
    must(strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%") == strlen(s));
    all = apr_pstrdup(p, s);
    must(ap_unescape_urlencoded((char *)all) == OK && !strcmp(all, text));
}

/* As Prometheus reads it. */
static void check_label(const char *text, apr_pool_t *p)
{
    const char *s = label("site", text, p), *end = s + strlen(s) - 1;
    char *back = apr_palloc(p, strlen(s) + 1), *to = back;

    must(!strncmp(s, "site=\"", 6) && *end == '"' && end >= s + 6);
    for (s += 6; s < end; s++) {
        must(*s != '"' && *s != '\n');
        if (*s == '\\') {
            s++;
            must(s < end && (*s == '\\' || *s == '"' || *s == 'n'));
            *to++ = *s == 'n' ? '\n' : *s;
        }
        else {
            *to++ = *s;
        }
    }
    *to = '\0';
    must(!strcmp(back, text));
}

static void check_trace(const char *text, apr_pool_t *p)
{
    const char *trace = cs_trace_parse(text, p);

    if (trace) {
        must(strlen(trace) == CS_TRACE_LEN && !strcmp(cs_trace_parse(trace, p), trace));
        must(strlen(cs_trace_span(trace, p)) == CS_TRACE_LEN && strlen(cs_trace_id(trace, p)) == CS_TRACE_ID_LEN);
        must(cs_trace_parse(cs_trace_span(trace, p), p) != NULL);
    }
}

static void check_words_of(const char *text, apr_pool_t *p)
{
    static cs_words_t words; /* large */
    cs_work_t work = {.problem = text, .detail = text};
    const char *cause, *said;
    int i;

    memset(&words, 0, sizeof(words));
    cs_store_words_of_search(&words, text);
    cs_store_words_id(&words, text);
    must(words.n <= CS_WORDS_MAX);
    for (i = 0; i < words.n; i++) {
        must(words.word[i][0] && strlen(words.word[i]) <= CS_WORD_LEN);
    }
    if (is_utf8(text)) {
        for (i = 0; i < words.n; i++) {
            must(is_utf8(words.word[i]));
        }
        cs_store_cause_of_dead(&work, &cause, &said, p);
        must(strlen(cause) <= CS_CAUSE_LEN && strlen(said) <= CS_CAUSE_TEXT_LEN && is_utf8(cause) && is_utf8(said));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const char *text = apr_pstrmemdup(p, (const char *)data, size < 8192 ? size : 8192);

    check_page(text, p);
    check_label(text, p);
    check_trace(text, p);
    check_words_of(text, p);
    apr_pool_destroy(p);
    return 0;
}
