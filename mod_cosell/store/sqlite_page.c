/* store/sqlite_page.c: deals and journal page by page.
 *
 * A page of deals walks one index: the word's, the cause's, the state's or that of all, and tells
 * by the row what else is asked for. It looks at PAGE_SCAN rows at most; where it stands then is
 * the next page's beginning.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "sqlite_impl.h"

#define PAGE_SCAN 1000
#define PAGE_MAX 500
/* Sorts behind all that begins so. */
#define LAST_SIGN "\xf4\x8f\xbf\xbf"

/* ---- journal ---- */

static apr_status_t row_of_journal(cs_sqlite_t *sq, sqlite3_stmt *st, apr_array_header_t *list,
                                   apr_pool_t *p)
{
    cs_journal_t *j = apr_pcalloc(p, sizeof(*j));
    apr_status_t rv;

    APR_ARRAY_PUSH(list, cs_journal_t *) = j;
    j->id = sqlite3_column_int64(st, 0);
    j->deal = sqlite3_column_int64(st, 1);
    j->at = sqlite3_column_int64(st, 2);
    j->direction = cs_sqlite_text(st, 3, p);
    j->action = cs_sqlite_text(st, 4, p);
    j->line = cs_sqlite_text(st, 5, p);
    j->outcome = cs_sqlite_text(st, 8, p);
    j->why = cs_sqlite_text(st, 9, p);
    j->calls = sqlite3_column_int(st, 10);
    j->took = sqlite3_column_int64(st, 11);
    j->correlation = cs_sqlite_text(st, 12, p);
    j->mapping = cs_sqlite_text(st, 13, p);
    rv = cs_sqlite_json(sq, st, 6, &j->from, p);
    return rv != APR_SUCCESS ? rv : cs_sqlite_json(sq, st, 7, &j->to, p);
}

static apr_status_t query_journal(cs_sqlite_t *sq, sqlite3_stmt **pst, const char *site,
                                  apr_int64_t deal, apr_int64_t after, apr_int64_t before,
                                  apr_int64_t max)
{
    if (after) {
        return deal ? cs_sqlite_query(sq, pst, CS_SQL_JOURNAL_DEAL_ABOVE, "siii", site, deal, after,
                                      max)
                    : cs_sqlite_query(sq, pst, CS_SQL_JOURNAL_SITE_ABOVE, "sii", site, after, max);
    }
    before = before ? before : INT64_MAX;
    return deal ? cs_sqlite_query(sq, pst, CS_SQL_JOURNAL_DEAL_BELOW, "siii", site, deal, before,
                                  max)
                : cs_sqlite_query(sq, pst, CS_SQL_JOURNAL_SITE_BELOW, "sii", site, before, max);
}

apr_status_t cs_sqlite_journal_page(cs_store_t *store, const char *site, apr_int64_t deal,
                                    apr_int64_t after, apr_int64_t before, int max,
                                    apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, p);

    *plist = apr_array_make(p, 16, sizeof(cs_journal_t *));
    if (rv == APR_SUCCESS) {
        rv = query_journal(sq, &st, site, deal, after, before, (apr_int64_t)max);
    }
    while (rv == APR_SUCCESS && st) {
        rv = row_of_journal(sq, st, *plist, p);
        if (rv == APR_SUCCESS) {
            rv = cs_sqlite_next(sq, &st);
        }
    }
    if (st) {
        cs_sqlite_reset(st);
    }
    return cs_sqlite_done(sq, rv, p, res);
}

apr_status_t cs_sqlite_journal_list(cs_store_t *store, const char *site, apr_int64_t deal, int max,
                                    apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return cs_sqlite_journal_page(store, site, deal, 0, 0, max, plist, p, res);
}

/* ---- totals ---- */

apr_status_t cs_sqlite_deal_totals(cs_store_t *store, const char *site,
                                   apr_int64_t totals[CS_DEAL_STATES], apr_pool_t *ptemp,
                                   cs_result_t *res)
{
    cs_sqlite_t *sq = (cs_sqlite_t *)store;
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_read(sq, 0, ptemp);
    const char *what;
    int state;

    memset(totals, 0, sizeof(totals[0]) * CS_DEAL_STATES);
    if (rv == APR_SUCCESS) {
        rv = cs_sqlite_query(sq, &st, CS_SQL_TALLY_GET, "s", site);
    }
    while (st) {
        what = (const char *)sqlite3_column_text(st, 0);
        state = what && !strncmp(what, "deal:", 5) ? atoi(what + 5) : -1;
        if (state >= 0 && state < CS_DEAL_STATES) {
            totals[state] = sqlite3_column_int64(st, 1);
        }
        rv = cs_sqlite_next(sq, &st);
    }
    return cs_sqlite_done(sq, rv, ptemp, res);
}

/* ---- deals ---- */

/* Where a walk stands: behind this row. */
typedef struct place_t {
    char walk; /* 'u' all, 's' of a state, 'c' of a cause, 'w' of a word */
    apr_int64_t updated, id;
    const char *word;
} place_t;

typedef struct walk_t {
    cs_sqlite_t *sq;
    const char *site;
    const cs_deal_query_t *query;
    cs_words_t words;   /* that are searched */
    const char *main;   /* the one whose rows are walked */
    apr_int64_t number; /* of a deal, when that is searched; 0 = it is not */
    place_t at;
    int max, looked, full;
    apr_array_header_t *deals;
    apr_pool_t *p;
} walk_t;

/* Rows that may still be looked at. */
static apr_int64_t left_of(const walk_t *w)
{
    return PAGE_SCAN - w->looked;
}

/* ---- cursors ---- */

static const char *print_place(const place_t *at, apr_pool_t *p)
{
    const char *hex = "";
    const unsigned char *s;

    if (at->walk == 'c') {
        return apr_psprintf(p, "c.%" APR_INT64_T_FMT, at->id);
    }
    if (at->walk != 'w') {
        return apr_psprintf(p, "%c.%" APR_INT64_T_FMT ".%" APR_INT64_T_FMT, at->walk, at->updated,
                            at->id);
    }
    for (s = (const unsigned char *)at->word; *s; s++) {
        hex = apr_psprintf(p, "%s%02x", hex, *s);
    }
    return apr_psprintf(p, "w.%s.%" APR_INT64_T_FMT, hex, at->id);
}

/* A number without sign, and what follows it in *ptext; -1 = there is none. */
static apr_int64_t read_number(const char **ptext)
{
    char *end;
    apr_int64_t n;

    if (**ptext < '0' || **ptext > '9' || strspn(*ptext, "0123456789") > 19) {
        return -1;
    }
    n = apr_strtoi64(*ptext, &end, 10);
    *ptext = end;
    return n;
}

static const char *read_word(const char **ptext, apr_pool_t *p)
{
    size_t len = strspn(*ptext, "0123456789abcdef"), i;
    char *word = apr_pcalloc(p, CS_WORD_LEN + 1);
    char two[3] = "";

    if (!len || len % 2 || len > 2 * CS_WORD_LEN) {
        return NULL;
    }
    for (i = 0; i < len; i += 2) {
        memcpy(two, *ptext + i, 2);
        word[i / 2] = (char)strtol(two, NULL, 16);
        if (!word[i / 2]) {
            return NULL;
        }
    }
    *ptext += len;
    return word;
}

/* 0 when the text is no cursor of this walk. */
static int read_place(const char *text, place_t *at, apr_pool_t *p)
{
    if (text[0] != at->walk || text[1] != '.') {
        return 0;
    }
    text += 2;
    if (at->walk == 'w') {
        at->word = read_word(&text, p);
    }
    else if (at->walk != 'c') {
        at->updated = read_number(&text);
    }
    if (at->walk != 'c' && ((at->walk == 'w' && !at->word) || at->updated < 0 || *text++ != '.')) {
        return 0;
    }
    at->id = read_number(&text);
    return at->id >= 0 && !*text;
}

/* ---- one deal ---- */

static apr_status_t get_short(walk_t *w, apr_int64_t id, cs_deal_t **pdeal)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(w->sq, &st, CS_SQL_DEAL_SHORT, "is", id, w->site);

    *pdeal = NULL;
    if (st) {
        rv = cs_sqlite_deal_of_row(w->sq, st, pdeal, w->p);
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t has_cause(walk_t *w, apr_int64_t id, int *phas)
{
    sqlite3_stmt *st;
    apr_status_t rv =
        cs_sqlite_query(w->sq, &st, CS_SQL_CAUSE_HAS, "ssi", w->site, w->query->cause, id);

    *phas = st != NULL;
    if (st) {
        cs_sqlite_reset(st);
    }
    return rv;
}

/* A deal is shown under the first of its words that begins as the one that is walked. */
static int has_words(const walk_t *w, const cs_deal_t *deal)
{
    cs_words_t own = {0};
    const char *first;
    int i;

    cs_store_words_of_deal(&own, deal);
    for (i = 0; i < w->words.n; i++) {
        if (!cs_store_words_first(&own, w->words.word[i])) {
            return 0;
        }
    }
    first = w->at.word ? cs_store_words_first(&own, w->main) : NULL;
    return !first || strcmp(first, w->at.word) >= 0;
}

/* The row that the walk is at: looks whether it is one of the page. by_number: it need not have the
 * words. */
static apr_status_t take_row(walk_t *w, apr_int64_t id, int by_number)
{
    const cs_deal_query_t *q = w->query;
    int has = 1;
    cs_deal_t *deal;
    apr_status_t rv;

    w->looked++;
    if (!by_number && id == w->number) {
        return APR_SUCCESS; /* it was the first of all */
    }
    rv = get_short(w, id, &deal);
    if (rv != APR_SUCCESS || !deal || (q->state >= 0 && (int)deal->state != q->state) ||
        (!by_number && w->words.n && !has_words(w, deal))) {
        return rv;
    }
    if (q->cause && w->at.walk != 'c') {
        rv = has_cause(w, id, &has);
    }
    if (rv == APR_SUCCESS && has) {
        APR_ARRAY_PUSH(w->deals, cs_deal_t *) = deal;
        w->full = w->deals->nelts >= w->max;
    }
    return rv;
}

/* ---- walks ---- */

/* Rows of a statement whose first column is a deal; the second, if any, when it changed. Ends with
 * *pmore = 1 where the page does. */
static apr_status_t walk_rows(walk_t *w, apr_status_t rv, sqlite3_stmt *st, int *pmore)
{
    while (rv == APR_SUCCESS && st) {
        if (w->full || left_of(w) <= 0) {
            *pmore = 1;
            break;
        }
        w->at.id = sqlite3_column_int64(st, 0);
        w->at.updated = w->at.walk == 'u' || w->at.walk == 's' ? sqlite3_column_int64(st, 1) : 0;
        rv = take_row(w, w->at.id, 0);
        if (rv == APR_SUCCESS) {
            rv = cs_sqlite_next(w->sq, &st);
        }
    }
    if (st) {
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t walk_newest(walk_t *w, int *pmore)
{
    sqlite3_stmt *st = NULL;
    apr_int64_t max = left_of(w) + 1;
    apr_status_t rv = w->at.walk == 'u' ? cs_sqlite_query(w->sq, &st, CS_SQL_DEALS_NEWEST, "siii",
                                                          w->site, w->at.updated, w->at.id, max)
                                        : cs_sqlite_query(w->sq, &st, CS_SQL_DEALS_STATE, "siiii",
                                                          w->site, (apr_int64_t)w->query->state,
                                                          w->at.updated, w->at.id, max);

    return walk_rows(w, rv, st, pmore);
}

static apr_status_t walk_cause(walk_t *w, int *pmore)
{
    sqlite3_stmt *st = NULL;
    apr_status_t rv = cs_sqlite_query(w->sq, &st, CS_SQL_CAUSE_DEALS, "ssii", w->site,
                                      w->query->cause, w->at.id, left_of(w) + 1);

    return walk_rows(w, rv, st, pmore);
}

/* To the next word; at.word NULL behind the last one. */
static apr_status_t next_word(walk_t *w, const char *end)
{
    sqlite3_stmt *st;
    apr_status_t rv =
        cs_sqlite_query(w->sq, &st, CS_SQL_WORD_NEXT, "sss", w->site, w->at.word, end);

    w->at.word = NULL;
    w->at.id = INT64_MAX;
    if (st) {
        w->at.word = cs_sqlite_text(st, 0, w->p);
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t walk_words(walk_t *w, int *pmore)
{
    const char *end = apr_pstrcat(w->p, w->main, LAST_SIGN, NULL);
    apr_status_t rv = APR_SUCCESS;
    sqlite3_stmt *st;

    while (rv == APR_SUCCESS && w->at.word && !*pmore) {
        st = NULL;
        rv = cs_sqlite_query(w->sq, &st, CS_SQL_WORD_SAME, "ssii", w->site, w->at.word, w->at.id,
                             left_of(w) + 1);
        rv = walk_rows(w, rv, st, pmore);
        if (rv == APR_SUCCESS && !*pmore) {
            w->looked++;
            rv = next_word(w, end);
            *pmore = w->at.word && (w->full || left_of(w) <= 0);
        }
    }
    return rv;
}

/* ---- what is asked for ---- */

/* "17", "#17", "deal:17"; 0 = it is no number. */
static apr_int64_t number_of(const char *text)
{
    apr_int64_t n;

    text += strspn(text, " \t\r\n");
    text += !strncmp(text, "deal:", 5) ? 5 : *text == '#';
    n = strspn(text, "0123456789") > 18 ? -1 : read_number(&text);
    return n > 0 && !text[strspn(text, " \t\r\n")] ? n : 0;
}

static const char *longest(const cs_words_t *words)
{
    const char *best = NULL;
    int i;

    for (i = 0; i < words->n; i++) {
        if (!best || strlen(words->word[i]) > strlen(best)) {
            best = words->word[i];
        }
    }
    return best;
}

/* *pnothing = 1: nothing can be found by that. */
static apr_status_t prepare(walk_t *w, int *pnothing)
{
    const cs_deal_query_t *q = w->query;
    int searches = q->search && q->search[strspn(q->search, " \t\r\n")];

    if (searches) {
        cs_store_words_of_search(&w->words, q->search);
        w->number = number_of(q->search);
        w->main = longest(&w->words);
    }
    *pnothing = searches && !w->main;
    w->at.walk = searches ? 'w' : q->cause ? 'c' : q->state >= 0 ? 's' : 'u';
    w->at.id = w->at.updated = INT64_MAX;
    w->at.word = w->main;
    if (!q->after) {
        return APR_SUCCESS;
    }
    w->at.updated = 0;
    if (!read_place(q->after, &w->at, w->p) ||
        (w->main && strncmp(w->at.word, w->main, strlen(w->main)))) {
        return cs_sqlite_say(w->sq, APR_EINVAL, "\"%.60s\" is no place in this list of deals",
                             q->after);
    }
    return APR_SUCCESS;
}

static apr_status_t walk(walk_t *w, int *pmore)
{
    apr_status_t rv = APR_SUCCESS;

    if (w->number && !w->query->after) {
        rv = take_row(w, w->number, 1);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    switch (w->at.walk) {
    case 'w':
        return walk_words(w, pmore);
    case 'c':
        return walk_cause(w, pmore);
    default:
        return walk_newest(w, pmore);
    }
}

apr_status_t cs_sqlite_deal_page(cs_store_t *store, const char *site, const cs_deal_query_t *query,
                                 cs_deal_page_t *page, apr_pool_t *p, cs_result_t *res)
{
    walk_t w = {0};
    int more = 0, nothing = 0;
    apr_status_t rv;

    w.sq = (cs_sqlite_t *)store;
    w.site = site;
    w.query = query;
    w.p = p;
    w.max = query->max < 1 ? 1 : query->max > PAGE_MAX ? PAGE_MAX : query->max;
    w.deals = apr_array_make(p, 16, sizeof(cs_deal_t *));
    rv = cs_sqlite_read(w.sq, 1, p);
    if (rv == APR_SUCCESS) {
        rv = prepare(&w, &nothing);
    }
    if (rv == APR_SUCCESS && !nothing) {
        rv = walk(&w, &more);
    }
    page->deals = w.deals;
    page->next = rv == APR_SUCCESS && more ? print_place(&w.at, p) : NULL;
    return cs_sqlite_done(w.sq, rv, p, res);
}
