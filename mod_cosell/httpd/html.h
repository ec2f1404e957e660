/* httpd/html.h: the one way in which a page is written.
 *
 * Markup comes from the source alone: names of elements and attributes are string literals, which
 * the compiler sees to, and there is no function that writes text as markup. Whatever else is
 * written is escaped, and made fit for a page: what is no UTF-8, and what controls instead of
 * showing, becomes U+FFFD. Elements are closed by name-less calls in the order of their opening.
 *
 * Knows nothing of httpd. In the writer's pool; one thread.
 */
#ifndef COSELL_HTML_H
#define COSELL_HTML_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct cosell_html_t cosell_html_t;

/* A text longer than this is cut, wherever it came from. */
#define COSELL_HTML_TEXT_MAX 20000

cosell_html_t *cosell_html_create(apr_pool_t *p);
apr_pool_t *cosell_html_pool(const cosell_html_t *h);

/* <tag>; its attributes follow at once. */
#define cosell_open(h, tag) cosell_html_open((h), "" tag "")
/* <tag> of an element that has no end: input, meta, link. */
#define cosell_void(h, tag) cosell_html_void((h), "" tag "")
/* name="value"; value NULL = no such attribute. Must follow open, void or another attribute. */
#define cosell_attr(h, name, value) cosell_html_attr((h), "" name "", (value))
/* An attribute that is there when `on` is not 0. */
#define cosell_flag(h, name, on) cosell_html_flag((h), "" name "", (on))
/* <tag>text</tag>; text NULL = empty. */
#define cosell_element(h, tag, text) cosell_html_element((h), "" tag "", (text))
/* <tag class="class">text</tag> */
#define cosell_classed(h, tag, class_, text) \
    cosell_html_classed((h), "" tag "", "" class_ "", (text))

void cosell_html_open(cosell_html_t *h, const char *tag);
void cosell_html_void(cosell_html_t *h, const char *tag);
void cosell_html_attr(cosell_html_t *h, const char *name, const char *value);
void cosell_html_flag(cosell_html_t *h, const char *name, int on);
void cosell_html_element(cosell_html_t *h, const char *tag, const char *text);
void cosell_html_classed(cosell_html_t *h, const char *tag, const char *class_, const char *text);
/* Ends the element that was opened last and is still open. */
void cosell_close(cosell_html_t *h);
void cosell_text(cosell_html_t *h, const char *text);
/* At most n characters of it, with an ellipsis when there were more. */
void cosell_text_cut(cosell_html_t *h, const char *text, int n);
void cosell_textf(cosell_html_t *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text from outside: its direction does not reach what stands around it. */
void cosell_foreign(cosell_html_t *h, const char *text, int n);
/* The document so far, every element closed, with its length. */
const char *cosell_html_end(cosell_html_t *h, apr_size_t *plen);

/* text as part of a URL's query: everything but letters, digits and -._~ as %XX. In p. */
const char *cosell_query_escape(const char *text, apr_pool_t *p);
/* text if it is an http or https URL without anything that a page must not have in a link; else
 * NULL. */
const char *cosell_safe_link(const char *text);

#endif
