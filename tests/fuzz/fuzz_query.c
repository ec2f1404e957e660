/* Any bytes as the query of a page, their first line as what the browser accepts: what comes out is text, bounded, and of a page that there is. */
#include "standalone.h"

#include "httpd_alone.h"
#include "mod_cosell/httpd/admin_query.c"

static int is_good(void *baton, const char *name, const char *value)
{
    (void)baton;
    must(is_parameter(name));
    must(!*value || is_text(value));
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const numbers[] = {"max", "journal", "after", "before", "deal"};
    apr_pool_t *p = fuzz_pool();
    const char *text = apr_pstrmemdup(p, (const char *)data, size), *line = strchr(text, '\n');
    cosell_page_t *page = apr_pcalloc(p, sizeof(*page));
    size_t i;

    page->r = fuzz_request(p);
    page->p = p;
    page->r->args = (char *)(line ? line + 1 : text);
    if (line) {
        apr_table_setn(page->r->headers_in, "Accept", apr_pstrndup(p, text, (apr_size_t)(line - text)));
    }
    cosell_query_parse(page);
    must(page->what <= COSELL_PAGE_STYLE && page->html >= 0 && page->html <= 1);
    if (!page->wrong) {
        apr_table_do(is_good, NULL, page->query, NULL);
        for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            apr_int64_t n = cosell_query_number(page, numbers[i], 7, 1, 200);

            must(page->wrong || (n >= 1 && n <= 200));
        }
    }
    if (page->wrong) {
        check_words(page->wrong);
    }
    apr_pool_destroy(p);
    return 0;
}
