/* httpd/page.h: views: pure functions from JSON documents to pages. They know nothing of httpd, of
 * the store, or of the time but what the view says. (design 7.5)
 *
 * No scripts; one stylesheet; every address is a query of the page's own address, so that a handler
 * may be anywhere.
 */
#ifndef COSELL_PAGE_H
#define COSELL_PAGE_H

#include <apr_time.h>
#include <jansson.h>

#include "html.h"

typedef struct cosell_view_t {
    apr_pool_t *p;
    const char *version;
    const char *style; /* the stylesheet's sign, for its address */
    apr_time_t now;
    int all;     /* links carry scope=all */
    int status;  /* of the answer */
    int sellers; /* no way from here to what is the administrator's */
    const char *state, *search, *cause, *after, *before, *deal; /* as asked; NULL = not */
    /* Of an administrator; NULL = the page has no buttons. */
    const char *user;
    const json_t *verbs;  /* {"retry": true, ...}: what can be asked for */
    const json_t *tokens; /* {"<site>": against forgery} */
} cosell_view_t;

typedef void cosell_view_fn(cosell_html_t *h, const cosell_view_t *v, const json_t *doc);
cosell_view_fn cosell_view_overview, cosell_view_deals, cosell_view_deal, cosell_view_problems,
    cosell_view_dead, cosell_view_journal, cosell_view_jobs, cosell_view_job, cosell_view_mapping,
    cosell_view_explain, cosell_view_error;
/* {"do", "site", "text", "arguments": {...}}: is that what is meant? */
cosell_view_fn cosell_view_confirm;

const char *cosell_page_style(void);

/* ---- page_frame.c ---- */

/* Everything up to the content; refresh: seconds after which the page asks again, 0 = never. */
void cosell_frame_begin(cosell_html_t *h, const cosell_view_t *v, const char *title, int refresh);
void cosell_frame_end(cosell_html_t *h, const cosell_view_t *v);
/* "?name=value&...": pairs of names and values, closed by NULL; pairs whose value is NULL are left
 * out. */
#define cosell_url(v, ...) cosell_url_of((v), (const char *const[]){__VA_ARGS__, NULL})
const char *cosell_url_of(const cosell_view_t *v, const char *const *pairs);
/* <a href="url">text</a> */
void cosell_link(cosell_html_t *h, const char *url, const char *text);
/* The same to another place; url is anybody's. */
void cosell_link_out(cosell_html_t *h, const char *url, const char *text);
/* The name of a site, where a page shows several. */
void cosell_site_heading(cosell_html_t *h, const cosell_view_t *v, const json_t *doc,
                         const json_t *site);

/* A section's heading: one deeper where the page shows several sites. */
void cosell_heading(cosell_html_t *h, const cosell_view_t *v, const char *text);

/* ---- tables: cells become lines with their column's name where a page is narrow ---- */

/* columns: NULL-terminated. */
void cosell_table_begin(cosell_html_t *h, const char *caption, const char *const *columns);
void cosell_table_end(cosell_html_t *h);
/* A cell of this column; closed by cosell_close(). */
void cosell_cell(cosell_html_t *h, const char *column);
void cosell_cell_text(cosell_html_t *h, const char *column, const char *text);

/* ---- page_words.c ---- */

/* A time of a document with how long ago or ahead; `none` when there is none. */
void cosell_time(cosell_html_t *h, const cosell_view_t *v, const char *iso, const char *none);
/* "3 min ago", "in 2 h"; in p. */
const char *cosell_ago(apr_time_t at, apr_time_t now, apr_pool_t *p);
/* Text from outside in which `...` is what to type. */
void cosell_ticked(cosell_html_t *h, const char *text);
/* A message with a capital at its beginning and a full stop at its end. In p. */
const char *cosell_sentence(const char *text, apr_pool_t *p);
/* A value of a mapping's line in words. In p. */
const char *cosell_value(const json_t *value, apr_pool_t *p);
/* A line of the mapping, or one of those that are none, by name. */
const char *cosell_line_name(const char *line);
/* What a deal's state is, in a word and in a sentence. */
const char *cosell_state_word(const char *state);
const char *cosell_state_text(const char *state);
/* "1,234" */
const char *cosell_count(json_int_t n, apr_pool_t *p);
/* Class and word of a state of anything: "good", "bad", "wait", "". */
void cosell_badge(cosell_html_t *h, const char *class_of, const char *text);
const char *cosell_tone(const char *status);

/* ---- page_forms.c: buttons, for whoever may ---- */

/* 1 when the page has buttons for this. */
int cosell_may(const cosell_view_t *v, const char *site, const char *verb);
/* <form> with verb, site and token; closed by cosell_form_end(), which writes the button. */
void cosell_form_begin(cosell_html_t *h, const cosell_view_t *v, const char *site,
                       const char *verb);
void cosell_form_hidden(cosell_html_t *h, const char *name, const char *value);
/* A labelled line of text. */
void cosell_form_text(cosell_html_t *h, const cosell_view_t *v, const char *name,
                      const char *label, const char *value, int required);
void cosell_form_end(cosell_html_t *h, const char *button, const char *class_of);
/* A button alone; name NULL = no argument. Writes nothing when it may not be asked for. */
void cosell_button(cosell_html_t *h, const cosell_view_t *v, const char *site, const char *verb,
                   const char *name, const char *value, const char *button);

/* ---- pieces that several pages show ---- */

/* page_problems.c */
void cosell_causes(cosell_html_t *h, const cosell_view_t *v, const char *site,
                   const json_t *causes);
void cosell_stops(cosell_html_t *h, const cosell_view_t *v, const char *site,
                  const json_t *suspended);
/* page_jobs.c */
void cosell_jobs(cosell_html_t *h, const cosell_view_t *v, const char *site, const json_t *jobs);
/* page_journal.c: rows of journal, newest first, as a table; deal 0 = with the deals' numbers. */
void cosell_journal(cosell_html_t *h, const cosell_view_t *v, const json_t *journal, int deals);
/* page_upstreams.c: of a site's overview. */
void cosell_upstreams(cosell_html_t *h, const cosell_view_t *v, const json_t *site);
void cosell_sign_in(cosell_html_t *h, const cosell_view_t *v, const json_t *site);
void cosell_registration(cosell_html_t *h, const cosell_view_t *v, const json_t *site);
void cosell_polls(cosell_html_t *h, const cosell_view_t *v, const json_t *list);
/* page_lines.c: both sides of a deal, line by line, as its last look saw them. */
void cosell_deal_lines(cosell_html_t *h, const cosell_view_t *v, const json_t *deal);
/* page_timeline.c: what happened to it, newest first. */
void cosell_timeline(cosell_html_t *h, const cosell_view_t *v, const json_t *deal,
                     const json_t *journal);
/* page_plot.c: a series of the history as a small picture with its words. */
void cosell_plot(cosell_html_t *h, const cosell_view_t *v, const json_t *series);

#endif
