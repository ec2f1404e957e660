/* base/text.h: what every room does with short texts. Pure; any thread. Letters are ASCII's: what
 * others do with further ones is their business.
 */
#ifndef CS_BASE_TEXT_H
#define CS_BASE_TEXT_H

#include <apr_pools.h>
#include <apr_tables.h>

/* A copy with small letters, in p. */
char *cs_text_lower(const char *text, apr_pool_t *p);
/* Where the text begins without the blanks around it, and in *plen its length. Borrowed. */
const char *cs_text_trim(const char *text, apr_size_t *plen);
/* The same as a text of its own, in p. */
char *cs_text_trimmed(const char *text, apr_pool_t *p);
/* 1 = the word is among these, which NULL closes. */
int cs_text_is_one_of(const char *word, const char *const *words);
/* Appends the text to a list of const char *, unless it is there. Borrowed. */
void cs_text_add_once(apr_array_header_t *list, const char *text);

#endif
