/* store/sqlite_words.c: by what deals are found.
 *
 * A deal whose title or ids changed is in `unworded` (a trigger sees to it, whoever wrote it) until
 * its words are written: in the same transaction by us, by a turn of pruning after an older
 * program.
 */
#include <string.h>

#include <apr_strings.h>

#include "sqlite_impl.h"

#define PORTION 500

/* The deal's site and names; site NULL when it is gone. */
static apr_status_t read_names(cs_sqlite_t *sq, apr_int64_t id, cs_deal_t *deal, apr_pool_t *p)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_DEAL_NAMES, "i", id);

    memset(deal, 0, sizeof(*deal));
    if (st) {
        deal->site = cs_sqlite_text(st, 0, p);
        deal->title = cs_sqlite_text(st, 1, p);
        deal->referral_id = cs_sqlite_text(st, 2, p);
        deal->engagement_id = cs_sqlite_text(st, 3, p);
        deal->record_id = cs_sqlite_text(st, 4, p);
        cs_sqlite_reset(st);
    }
    return rv;
}

static apr_status_t list_words(cs_sqlite_t *sq, apr_int64_t id, apr_array_header_t **plist,
                               apr_pool_t *p)
{
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_WORDS_OF_DEAL, "i", id);

    *plist = apr_array_make(p, CS_WORDS_MAX, sizeof(const char *));
    while (st) {
        APR_ARRAY_PUSH(*plist, const char *) = cs_sqlite_text(st, 0, p);
        rv = cs_sqlite_next(sq, &st);
    }
    return rv;
}

static int has_word(const cs_words_t *words, const char *word)
{
    int i;

    for (i = 0; i < words->n && strcmp(words->word[i], word); i++) {
    }
    return i < words->n;
}

static int is_listed(const apr_array_header_t *list, const char *word)
{
    int i;

    for (i = 0; i < list->nelts && strcmp(APR_ARRAY_IDX(list, i, const char *), word); i++) {
    }
    return i < list->nelts;
}

/* What stays is not touched: most changes of a title are small. */
static apr_status_t write_words(cs_sqlite_t *sq, apr_int64_t id, apr_pool_t *p)
{
    apr_array_header_t *old;
    cs_words_t words = {0};
    cs_deal_t deal;
    const char *word;
    apr_status_t rv = read_names(sq, id, &deal, p);
    int i;

    if (rv != APR_SUCCESS || !deal.site) {
        return rv;
    }
    cs_store_words_of_deal(&words, &deal);
    rv = list_words(sq, id, &old, p);
    for (i = 0; rv == APR_SUCCESS && i < old->nelts; i++) {
        word = APR_ARRAY_IDX(old, i, const char *);
        if (!has_word(&words, word)) {
            rv = cs_sqlite_exec(sq, CS_SQL_WORD_DROP, "ssi", deal.site, word, id);
        }
    }
    for (i = 0; rv == APR_SUCCESS && i < words.n; i++) {
        if (!is_listed(old, words.word[i])) {
            rv = cs_sqlite_exec(sq, CS_SQL_WORD_ADD, "ssi", deal.site, words.word[i], id);
        }
    }
    return rv;
}

apr_status_t cs_sqlite_words_put(cs_sqlite_t *sq, apr_int64_t deal, apr_pool_t *ptemp)
{
    apr_status_t rv = cs_sqlite_exec(sq, CS_SQL_UNWORDED_DROP, "i", deal);

    return rv == APR_SUCCESS && cs_sqlite_changes(sq) ? write_words(sq, deal, ptemp) : rv;
}

/* One portion, in a pool that is empty afterwards. */
static apr_status_t fill_portion(cs_sqlite_t *sq, int max, int *pn, apr_pool_t *p)
{
    apr_array_header_t *ids = apr_array_make(p, max, sizeof(apr_int64_t));
    sqlite3_stmt *st;
    apr_status_t rv = cs_sqlite_query(sq, &st, CS_SQL_UNWORDED_LIST, "i", (apr_int64_t)max);
    int i;

    while (st) {
        APR_ARRAY_PUSH(ids, apr_int64_t) = sqlite3_column_int64(st, 0);
        rv = cs_sqlite_next(sq, &st);
    }
    for (i = 0; rv == APR_SUCCESS && i < ids->nelts; i++) {
        rv = cs_sqlite_words_put(sq, APR_ARRAY_IDX(ids, i, apr_int64_t), p);
    }
    *pn = ids->nelts;
    return rv;
}

apr_status_t cs_sqlite_words_fill(cs_sqlite_t *sq, int max, int *pleft, apr_pool_t *ptemp)
{
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *p;
    int n = 1, portion;

    *pleft = 0;
    if (apr_pool_create(&p, ptemp) != APR_SUCCESS) {
        return cs_sqlite_say(sq, APR_ENOMEM, "out of memory");
    }
    apr_pool_tag(p, "store words");
    for (; rv == APR_SUCCESS && max > 0 && n; max -= n) {
        portion = max < PORTION ? max : PORTION;
        rv = fill_portion(sq, portion, &n, p);
        n = n < portion ? 0 : n;
        apr_pool_clear(p);
    }
    *pleft = n > 0;
    apr_pool_destroy(p);
    return rv;
}
