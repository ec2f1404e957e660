/* httpd/admin_query.c: what a page is asked for: parameters, and HTML or JSON. */
#include "admin.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARGS_MAX 2000

static const char *const known[] = {"after", "before", "cause",   "dead", "deal",     "deals",
                                    "explain", "format", "job",     "jobs", "journal",  "mapping",
                                    "max",   "problems", "scope", "search", "style"};
#define KNOWN (sizeof(known) / sizeof(known[0]))

/* What a client wrote as text that JSON can hold and a person can read. */
static const char *shown(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrndup(p, text, 40), *c;

    for (c = out; *c; c++) {
        *c = (unsigned char)*c < 0x80 && apr_isprint(*c) ? *c : '?';
    }
    return out;
}

static int is_parameter(const char *name)
{
    apr_size_t i;

    for (i = 0; i < KNOWN; i++) {
        if (!strcasecmp(name, known[i])) {
            return 1;
        }
    }
    return 0;
}

static const char *allowed(apr_pool_t *p)
{
    const char *out = known[0];
    apr_size_t i;

    for (i = 1; i < KNOWN; i++) {
        out = apr_pstrcat(p, out, ", ", known[i], NULL);
    }
    return out;
}

/* Text that the store and JSON can hold: UTF-8 without control characters. */
static int is_text(const char *value)
{
    json_t *json = json_string(value);
    const char *c;

    json_decref(json);
    for (c = value; json && *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return 0;
        }
    }
    return json != NULL;
}

/* Decoded; names without regard to case, the last of several wins. */
static void parse_pair(cosell_page_t *page, char *pair)
{
    char *value = strchr(pair, '=');

    if (value) {
        *value++ = '\0';
    }
    if (ap_unescape_urlencoded(pair) != OK || !is_parameter(pair)) {
        page->wrong = apr_psprintf(page->p, "\"%s\" is no parameter; allowed: %s",
                                   shown(pair, page->p), allowed(page->p));
    }
    else if (value && (ap_unescape_urlencoded(value) != OK || !is_text(value))) {
        page->wrong = apr_psprintf(page->p, "%s: the value is not URL-encoded text",
                                   shown(pair, page->p));
    }
    else {
        apr_table_setn(page->query, pair, value ? value : "");
    }
}

/* ---- HTML or JSON ---- */

/* The quality that an Accept header gives exactly this type; -1 = it does not name it. */
static double quality(const char *accept, const char *type)
{
    apr_size_t len = strlen(type);
    const char *at = accept;
    double best = -1;

    while (at && *at) {
        const char *end = at + strcspn(at, ","), *q;

        at += strspn(at, " \t");
        if (!strncasecmp(at, type, len) && strchr(" \t;,", at[len])) {
            q = at + len;
            while (q < end && *q != '=') {
                q++;
            }
            best = q < end && (q[-1] == 'q' || q[-1] == 'Q') ? atof(q + 1) : 1;
        }
        at = *end ? end + 1 : NULL;
    }
    return best;
}

/* A browser names text/html; what takes anything gets what it always got. */
static int wants_html(const request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    double html = accept ? quality(accept, "text/html") : -1;

    return html > 0 && html > quality(accept, "application/json");
}

static void choose_format(cosell_page_t *page)
{
    const char *format = apr_table_get(page->query, "format");

    page->html = wants_html(page->r);
    if (format && !strcmp(format, "html")) {
        page->html = 1;
    }
    else if (format && !strcmp(format, "json")) {
        page->html = 0;
    }
    else if (format) {
        page->wrong = "format: allowed are html and json";
    }
}

/* ---- which page ---- */

static const struct {
    const char *name;
    cosell_page_e what;
} pages[] = {
    /* The first that is asked for; "deal" also says of which deal the journal is. */
    {"style", COSELL_PAGE_STYLE},       {"explain", COSELL_PAGE_EXPLAIN},
    {"job", COSELL_PAGE_JOB},           {"jobs", COSELL_PAGE_JOBS},
    {"journal", COSELL_PAGE_JOURNAL},   {"dead", COSELL_PAGE_DEAD},
    {"problems", COSELL_PAGE_PROBLEMS}, {"mapping", COSELL_PAGE_MAPPING},
    {"deals", COSELL_PAGE_DEALS},       {"search", COSELL_PAGE_DEALS},
    {"cause", COSELL_PAGE_DEALS},       {"deal", COSELL_PAGE_DEAL},
};

static cosell_page_e page_of(const apr_table_t *query)
{
    apr_size_t i;

    for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (apr_table_get(query, pages[i].name)) {
            return pages[i].what;
        }
    }
    return COSELL_PAGE_OVERVIEW;
}

void cosell_query_parse(cosell_page_t *page)
{
    const char *given = page->r->args;
    char *args, *last = NULL, *pair;

    page->query = apr_table_make(page->p, 8);
    if (given && strlen(given) > ARGS_MAX) {
        page->wrong = apr_psprintf(page->p, "the query is too long: allowed are %d bytes",
                                   ARGS_MAX);
        given = NULL;
    }
    args = given ? apr_pstrdup(page->p, given) : NULL;
    for (pair = args ? apr_strtok(args, "&", &last) : NULL; pair;
         pair = apr_strtok(NULL, "&", &last)) {
        parse_pair(page, pair);
    }
    choose_format(page);
    page->what = page_of(page->query);
}

apr_int64_t cosell_query_number(cosell_page_t *page, const char *name, apr_int64_t dflt,
                                apr_int64_t least, apr_int64_t most)
{
    const char *text = cosell_query_text(page, name);
    apr_int64_t n;

    if (!text) {
        return dflt;
    }
    n = strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text) ? apr_atoi64(text) : -1;
    if (n < least || n > most) {
        page->wrong = apr_psprintf(page->p, "%s: allowed is a number from %" APR_INT64_T_FMT
                                   " to %" APR_INT64_T_FMT, name, least, most);
    }
    return n;
}

const char *cosell_query_text(const cosell_page_t *page, const char *name)
{
    const char *text = apr_table_get(page->query, name);

    return text && *text ? text : NULL;
}
