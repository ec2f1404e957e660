/* Any bytes through the answer of a $batch: the first line is its Content-Type, the rest its body. Parts are bounded, terminated and in order, and
 * nothing that is cut off grows. */
#include "standalone.h"

#include <apr_general.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/remote/dynamics/multipart.h"

#define MOST 50

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static int parts_of(const char *type, const char *body, apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *parts = NULL;
    cs_result_t res = {0};
    apr_status_t rv = cs_dyn_multipart_parse(&parts, type, body, len, MOST, p, &res);
    apr_size_t sum = 0;
    int i;

    check(parts != NULL && parts->nelts <= MOST);
    check(rv == APR_SUCCESS || res.detail);
    for (i = 0; i < parts->nelts; i++) {
        const cs_dyn_part_t *part = &APR_ARRAY_IDX(parts, i, cs_dyn_part_t);

        check(part->reason && part->headers && part->body && part->body[part->body_len] == '\0');
        check(part->status == 0 || (part->status >= 100 && part->status <= 999));
        check(apr_table_elts(part->headers)->nelts <= CS_DYN_PART_HEADERS_MAX);
        sum += part->body_len;
    }
    check(sum <= len);
    return rv == APR_SUCCESS ? parts->nelts : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ready;
    const uint8_t *line = memchr(data, '\n', size);
    size_t head = line ? (size_t)(line - data) : size, rest = line ? size - head - 1 : 0;
    char *type, *body;
    apr_pool_t *p;
    int all, some;

    if (!ready) {
        ready = apr_initialize() == APR_SUCCESS;
    }
    check(apr_pool_create(&p, NULL) == APR_SUCCESS);
    type = malloc(head + 1);
    body = malloc(rest ? rest : 1);
    memcpy(type, data, head);
    type[head] = '\0';
    if (rest) {
        memcpy(body, line + 1, rest);
    }
    all = parts_of(type, body, rest, p);
    some = parts_of(type, body, rest / 2, p);
    /* A cut may end a line that was no boundary with one. */
    check(all == -1 || some <= all + 1);
    free(type);
    free(body);
    apr_pool_destroy(p);
    return 0;
}
