/* base/gauge_memo.c: a text that one runner leaves to the next. Two places: a writer that dies
 * leaves the one that is read as it was. */
#include "gauge_internal.h"

#include <string.h>

apr_status_t cs_memo_put(const char *text)
{
    cs_gauges_t *g = cs_gauges_table();
    int other = atomic_load_explicit(&g->memo, memory_order_relaxed) == 1 ? 2 : 1;
    cs_memo_t *to = &g->memos[other - 1];
    apr_size_t len = strlen(text), i;
    apr_uint64_t word;
    apr_uint32_t begun;

    if (len >= CS_MEMO_MAX) {
        return APR_EINVAL;
    }
    begun = cs_words_begin(&to->seq);
    for (i = 0; i < len; i += 8) {
        word = 0;
        memcpy(&word, text + i, len - i < 8 ? len - i : 8);
        atomic_store_explicit(&to->words[i / 8], word, memory_order_relaxed);
    }
    atomic_store_explicit(&to->len, (apr_uint32_t)len, memory_order_relaxed);
    cs_words_end(&to->seq, begun);
    atomic_store_explicit(&g->memo, other, memory_order_release);
    return APR_SUCCESS;
}

static int memo_copy(const cs_memo_t *from, char *to, apr_size_t *plen)
{
    apr_uint32_t before = atomic_load_explicit(&from->seq, memory_order_acquire);
    apr_size_t len = atomic_load_explicit(&from->len, memory_order_relaxed);

    len = len < CS_MEMO_MAX ? len : CS_MEMO_MAX - 1;
    cs_words_get(to, from->words, (len + 7) / 8);
    atomic_thread_fence(memory_order_acquire);
    *plen = len;
    return before % 2 == 0 && atomic_load_explicit(&from->seq, memory_order_relaxed) == before;
}

const char *cs_memo_get(apr_pool_t *p)
{
    cs_gauges_t *g = cs_gauges_table();
    char *text = apr_palloc(p, CS_MEMO_MAX);
    apr_size_t len = 0;
    int i, which;

    for (i = 0; i < CS_WORDS_TRIES; i++) {
        which = atomic_load_explicit(&g->memo, memory_order_acquire);
        if (!which) {
            return NULL;
        }
        if (memo_copy(&g->memos[which - 1], text, &len)) {
            text[len] = '\0';
            return text;
        }
    }
    return NULL;
}
