#include "multipart.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define BOUNDARY_MAX 200
#define EOL "\r\n"

/* ---- making ---- */

/* The envelope says these for all its parts. */
static int is_of_envelope(const char *name, const char *value)
{
    static const char *const names[] = {"Accept-Encoding", "OData-MaxVersion",
                                        "OData-Version",   "x-ms-client-request-id",
                                        "Content-Type",    "Content-Length"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcasecmp(name, names[i])) {
            return 1;
        }
    }
    /* It keeps the answer of a GET out of caches, which never see a part. */
    return !strcasecmp(name, "If-None-Match") && !strcmp(value, "null");
}

static int is_clean(const char *text, int blanks)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f || (*text == ' ' && !blanks)) {
            return 0;
        }
    }
    return 1;
}

/* "/api/data/..." of an address; NULL when it has none. */
static const char *path_of(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? strchr(host + 3, '/') : NULL;
}

int cs_dyn_part_fits(const cs_http_request_t *request)
{
    const apr_array_header_t *elts = apr_table_elts(request->headers);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)elts->elts;
    const char *path = path_of(request->url);
    int i;

    if (!path || strlen(path) > CS_DYN_PART_URL_MAX || !is_clean(path, 0)) {
        return 0;
    }
    for (i = 0; i < elts->nelts; i++) {
        if (!is_clean(entry[i].val, 1)) {
            return 0;
        }
    }
    return 1;
}

static void add(apr_array_header_t *out, const char *text, apr_size_t len)
{
    struct iovec *v = apr_array_push(out);

    v->iov_base = (void *)text;
    v->iov_len = len;
}

static void add_text(apr_array_header_t *out, const char *text)
{
    add(out, text, strlen(text));
}

static const char *headers_text(const cs_http_request_t *request, apr_pool_t *p)
{
    const apr_array_header_t *elts = apr_table_elts(request->headers);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)elts->elts;
    const char *text = "";
    int i;

    for (i = 0; i < elts->nelts; i++) {
        if (!is_of_envelope(entry[i].key, entry[i].val)) {
            text = apr_pstrcat(p, text, entry[i].key, ": ", entry[i].val, EOL, NULL);
        }
    }
    if (request->body) {
        /* A write without a length has been refused as a stream that cannot be read. */
        text = apr_psprintf(p,
                            "%sContent-Type: application/json; type=entry" EOL
                            "Content-Length: %" APR_SIZE_T_FMT EOL,
                            text, request->body_len);
    }
    return text;
}

const char *cs_dyn_multipart_make(const cs_http_request_t *requests, int n, const char *boundary,
                                  apr_size_t *plen, apr_pool_t *p)
{
    apr_array_header_t *out = apr_array_make(p, n * 4 + 1, sizeof(struct iovec));
    int i;

    for (i = 0; i < n; i++) {
        const cs_http_request_t *one = &requests[i];
        const char *path = path_of(one->url);

        add_text(out, apr_psprintf(p,
                                   "--%s" EOL "Content-Type: application/http" EOL
                                   "Content-Transfer-Encoding: binary" EOL "Content-ID: %d" EOL EOL
                                   "%s %s HTTP/1.1" EOL "%s" EOL,
                                   boundary, i + 1, one->method, path ? path : "/",
                                   headers_text(one, p)));
        if (one->body) {
            add(out, one->body, one->body_len);
        }
        add_text(out, EOL);
    }
    add_text(out, apr_pstrcat(p, "--", boundary, "--" EOL, NULL));
    return apr_pstrcatv(p, (const struct iovec *)out->elts, (apr_size_t)out->nelts, plen);
}

/* ---- reading ---- */

int cs_dyn_is_multipart(const char *content_type)
{
    static const char type[] = "multipart/";

    while (content_type && apr_isspace(*content_type)) {
        content_type++;
    }
    return content_type && !strncasecmp(content_type, type, sizeof(type) - 1);
}

/* The value of the parameter `boundary`; NULL when there is none or it cannot be one. */
static const char *boundary_of(const char *content_type, apr_pool_t *p)
{
    static const char name[] = "boundary";
    const char *at = content_type, *end;
    apr_size_t len;

    while ((at = strchr(at, ';')) != NULL) {
        for (at++; apr_isspace(*at); at++)
            ;
        if (strncasecmp(at, name, sizeof(name) - 1)) {
            continue;
        }
        for (at += sizeof(name) - 1; apr_isspace(*at); at++)
            ;
        if (*at != '=') {
            continue;
        }
        for (at++; apr_isspace(*at); at++)
            ;
        if (*at == '"') {
            at++;
            end = strchr(at, '"');
            len = end ? (apr_size_t)(end - at) : 0;
        }
        else {
            len = strcspn(at, "; \t");
        }
        return len > 0 && len <= BOUNDARY_MAX ? apr_pstrmemdup(p, at, len) : NULL;
    }
    return NULL;
}

typedef struct span_t {
    const char *at, *end;
} span_t;

/* The next line without its end; 0 = there is none. *pend (may be NULL) = 1 when it had one. */
static int take_line(span_t *in, span_t *line, int *pended)
{
    const char *lf;

    if (in->at >= in->end) {
        return 0;
    }
    lf = memchr(in->at, '\n', (apr_size_t)(in->end - in->at));
    line->at = in->at;
    line->end = lf ? lf : in->end;
    in->at = lf ? lf + 1 : in->end;
    if (line->end > line->at && line->end[-1] == '\r') {
        line->end--;
    }
    if (pended) {
        *pended = lf != NULL;
    }
    return 1;
}

typedef enum { LINE_OTHER, LINE_DELIMITER, LINE_CLOSE } line_e;

/* Another boundary may begin with ours: what follows decides. */
static line_e kind_of(const span_t *line, const char *boundary, apr_size_t len)
{
    const char *at = line->at;
    line_e kind = LINE_DELIMITER;

    if ((apr_size_t)(line->end - at) < len + 2 || memcmp(at, "--", 2) ||
        memcmp(at + 2, boundary, len)) {
        return LINE_OTHER;
    }
    at += len + 2;
    if (line->end - at >= 2 && !memcmp(at, "--", 2)) {
        kind = LINE_CLOSE;
        at += 2;
    }
    while (at < line->end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    return at == line->end ? kind : LINE_OTHER;
}

/* Header lines up to the empty one. 0 when they break a bound or a line is no header. */
static int take_headers(span_t *in, apr_table_t *headers, apr_pool_t *p)
{
    const char *colon, *value;
    span_t line;
    int n;

    for (n = 0; take_line(in, &line, NULL); n++) {
        if (line.at == line.end) {
            return 1;
        }
        colon = memchr(line.at, ':', (apr_size_t)(line.end - line.at));
        if (n >= CS_DYN_PART_HEADERS_MAX || line.end - line.at > CS_DYN_PART_LINE_MAX || !colon ||
            colon == line.at) {
            return 0;
        }
        for (value = colon + 1; value < line.end && apr_isspace(*value); value++)
            ;
        while (line.end > value && apr_isspace(line.end[-1])) {
            line.end--;
        }
        apr_table_setn(headers, apr_pstrmemdup(p, line.at, (apr_size_t)(colon - line.at)),
                       apr_pstrmemdup(p, value, (apr_size_t)(line.end - value)));
    }
    /* A message without a body may end with its headers. */
    return 1;
}

/* "HTTP/1.1 204 No Content". */
static int take_status(span_t *in, cs_dyn_part_t *part, apr_pool_t *p)
{
    const char *at, *end;
    span_t line;
    char *to;

    do {
        if (!take_line(in, &line, NULL)) {
            return 0;
        }
    } while (line.at == line.end);
    at = line.at;
    end = line.end;
    if (end - at < 12 || memcmp(at, "HTTP/1.", 7) || !apr_isdigit(at[7]) || at[8] != ' ' ||
        !apr_isdigit(at[9]) || !apr_isdigit(at[10]) || !apr_isdigit(at[11]) ||
        (end - at > 12 && at[12] != ' ')) {
        return 0;
    }
    part->status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
    at += end - at > 12 ? 13 : 12;
    part->reason = to = apr_pcalloc(p, 129);
    for (; at < end && to - part->reason < 128; at++) {
        if ((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f) {
            *to++ = *at;
        }
    }
    return part->status >= 100;
}

static int number_of(const char *text)
{
    int value = 0, digits = 0;

    for (; text && apr_isdigit(*text) && digits < 6; text++, digits++) {
        value = value * 10 + (*text - '0');
    }
    return text && digits && !*text ? value : 0;
}

/* What stands between two delimiters. */
static void read_part(cs_dyn_part_t *part, span_t in, apr_pool_t *p)
{
    apr_table_t *outer = apr_table_make(p, 4);
    const char *type;
    int good;

    part->headers = apr_table_make(p, 8);
    part->reason = part->body = "";
    good = take_headers(&in, outer, p);
    part->id = number_of(apr_table_get(outer, "Content-ID"));
    type = apr_table_get(outer, "Content-Type");
    if (!good || (type && strncasecmp(type, "application/http", 16)) ||
        !take_status(&in, part, p) || !take_headers(&in, part->headers, p)) {
        part->status = 0;
        return;
    }
    part->body_len = (apr_size_t)(in.end - in.at);
    part->body = apr_pstrmemdup(p, in.at, part->body_len);
}

/* The line end before a delimiter belongs to the delimiter. */
static const char *before(const char *delimiter, const char *start)
{
    if (delimiter > start && delimiter[-1] == '\n') {
        delimiter--;
    }
    if (delimiter > start && delimiter[-1] == '\r') {
        delimiter--;
    }
    return delimiter;
}

static apr_status_t refuse(cs_result_t *res, apr_pool_t *p, apr_status_t rv, const char *why)
{
    return cs_result_set(res, p, rv, CS_CLASS_RETRY, "dataverse:answer", "%s", why);
}

apr_status_t cs_dyn_multipart_parse(apr_array_header_t **pparts, const char *content_type,
                                    const char *body, apr_size_t len, int max, apr_pool_t *p,
                                    cs_result_t *res)
{
    const char *boundary = cs_dyn_is_multipart(content_type) ? boundary_of(content_type, p) : NULL;
    span_t in = {body, body + len}, line, part;
    const char *start = NULL;
    line_e kind = LINE_OTHER;
    apr_size_t blen;
    int ended;

    *pparts = apr_array_make(p, 16, sizeof(cs_dyn_part_t));
    if (!boundary) {
        return refuse(res, p, CS_EPARSE, "the answer is not a multipart body with a boundary");
    }
    blen = strlen(boundary);
    while (kind != LINE_CLOSE && take_line(&in, &line, &ended)) {
        kind = kind_of(&line, boundary, blen);
        if (kind == LINE_OTHER || (kind == LINE_DELIMITER && !ended)) {
            continue;
        }
        if (start) {
            if ((*pparts)->nelts >= max) {
                return refuse(res, p, CS_ELIMIT, "the answer has more parts than were asked for");
            }
            part.at = start;
            part.end = before(line.at, start);
            memset(apr_array_push(*pparts), 0, sizeof(cs_dyn_part_t));
            read_part(&APR_ARRAY_IDX(*pparts, (*pparts)->nelts - 1, cs_dyn_part_t), part, p);
        }
        start = in.at;
    }
    if (!start) {
        return refuse(res, p, CS_EPARSE, "the answer lacks the boundary that it names");
    }
    return APR_SUCCESS;
}
