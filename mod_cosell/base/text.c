#include "text.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

char *cs_text_lower(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, text);

    for (char *c = out; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    return out;
}

const char *cs_text_trim(const char *text, apr_size_t *plen)
{
    apr_size_t len;

    while (apr_isspace(*text)) {
        text++;
    }
    len = strlen(text);
    while (len > 0 && apr_isspace(text[len - 1])) {
        len--;
    }
    *plen = len;
    return text;
}

char *cs_text_trimmed(const char *text, apr_pool_t *p)
{
    apr_size_t len;

    text = cs_text_trim(text, &len);
    return apr_pstrmemdup(p, text, len);
}

int cs_text_is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (!strcmp(*words, word)) {
            return 1;
        }
    }
    return 0;
}

void cs_text_add_once(apr_array_header_t *list, const char *text)
{
    int i;

    for (i = 0; i < list->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list, i, const char *), text)) {
            return;
        }
    }
    APR_ARRAY_PUSH(list, const char *) = text;
}
