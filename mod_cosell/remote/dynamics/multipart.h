/* remote/dynamics/multipart.h: the bodies of $batch, there and back. Pure: no I/O, no clock.
 * (crm-apis.md A10)
 *
 * One part per operation and no change sets: each operation stands alone and has an answer of its
 * own.
 */
#ifndef CS_REMOTE_DYNAMICS_MULTIPART_H
#define CS_REMOTE_DYNAMICS_MULTIPART_H

#include "../http.h"

#define CS_DYN_PARTS_MAX 1000      /* operations in one request */
#define CS_DYN_PART_URL_MAX 65536  /* longest address in a part */
#define CS_DYN_PART_HEADERS_MAX 64 /* header lines of a part and of the message in it, each */
#define CS_DYN_PART_LINE_MAX 16384 /* bytes of one of them */

/* One operation's answer. */
typedef struct cs_dyn_part_t {
    int status;           /* 0 = there is a part, but no HTTP message that can be read */
    int id;               /* its Content-ID; 0 = none */
    const char *reason;   /* never NULL */
    apr_table_t *headers; /* of the message; never NULL */
    const char *body;     /* NUL-terminated; never NULL */
    apr_size_t body_len;
} cs_dyn_part_t;

/* 1 if the request can be a part: nothing in its address and headers that would end a line. */
int cs_dyn_part_fits(const cs_http_request_t *request);
/* The body of a batch of these requests in this order, numbered from 1 by Content-ID; in p.
 * boundary must not occur in them. Headers that are the envelope's own are left out of the parts.
 */
const char *cs_dyn_multipart_make(const cs_http_request_t *requests, int n, const char *boundary,
                                  apr_size_t *plen, apr_pool_t *p);

/* 1 if this is the Content-Type of a multipart body. */
int cs_dyn_is_multipart(const char *content_type);
/* Reads an answer: cs_dyn_part_t in p, in order, only those that are there to their end. CRLF and
 * LF are understood, a boundary with and without quotes. CS_EPARSE when it is no multipart body,
 * CS_ELIMIT when it has more than max parts. */
apr_status_t cs_dyn_multipart_parse(apr_array_header_t **pparts, const char *content_type,
                                    const char *body, apr_size_t len, int max, apr_pool_t *p,
                                    cs_result_t *res);

#endif
