/* A small HTTP server on loopback that answers what a test tells it to: one thread, one connection
 * at a time, every request remembered.
 *
 * $batch is taken apart here, by other means than the code under test uses, so that a test gives
 * answers per operation.
 */
#ifndef CS_TESTS_UNIT_CANNED_H
#define CS_TESTS_UNIT_CANNED_H

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

typedef struct canned_t canned_t;

/* One operation: a request of its own or a part of a $batch. */
typedef struct canned_op_t {
    char method[16];
    char *path;    /* "/api/data/..." */
    char *headers; /* lines with CRLF */
    char *body;
    int request; /* which HTTP request it came in, from 0 */
    int in_batch;
} canned_op_t;

/* The answer to an operation: "204 No Content\r\nHeader: x\r\n\r\nbody" (the status line without
 * "HTTP/1.1 "). malloc'd or static; NULL = 404 without a body. */
typedef const char *canned_answer_fn(canned_t *c, const canned_op_t *op);
/* The answer to a whole $batch instead of a good one, in the same form; NULL = a good one. */
typedef const char *canned_batch_fn(canned_t *c);

#define CANNED_MOST 4096

struct canned_t {
    int listener, stop[2];
    pthread_t thread;
    pthread_mutex_t lock;
    char base[64];
    canned_answer_fn *answer;
    canned_batch_fn *batch;
    void *baton;
    canned_op_t ops[CANNED_MOST];
    int n_ops, n_requests, n_batches, n_tokens;
    char *last_token_form, *last_batch, *last_batch_headers;
    const char *token; /* answer to a token request instead of a good one */
    int endless;       /* tokens do not say when they end */
    int leave_out; /* parts at the end of a batch's answer that are missing */
    int cut;       /* bytes to cut off a batch's answer */
    int lf_only;   /* line ends of a batch's answer */
};

static inline char *canned_dup(const char *s, size_t n)
{
    char *out = malloc(n + 1);

    if (!out) {
        abort();
    }
    memcpy(out, s, n);
    out[n] = '\0';
    return out;
}

static inline int canned_read_all(int fd, char **phead, char **pbody)
{
    size_t size = 1 << 22, n = 0, need = 0, head = 0;
    char *buf = malloc(size + 1), *end, *at;

    for (;;) {
        ssize_t got;

        if (head && n >= head + need) {
            break;
        }
        got = n < size ? recv(fd, buf + n, size - n, 0) : -1;
        if (got <= 0) {
            free(buf);
            return 0;
        }
        n += (size_t)got;
        buf[n] = '\0';
        if (!head && (end = strstr(buf, "\r\n\r\n")) != NULL) {
            head = (size_t)(end - buf) + 4;
            at = strcasestr(buf, "\r\nContent-Length:");
            need = at && at < end ? strtoul(at + 17, NULL, 10) : 0;
        }
    }
    *phead = canned_dup(buf, head);
    *pbody = canned_dup(buf + head, need);
    free(buf);
    return 1;
}

static inline canned_op_t *canned_record(canned_t *c, const char *head, const char *body,
                                         int in_batch)
{
    canned_op_t *op = &c->ops[c->n_ops < CANNED_MOST ? c->n_ops++ : CANNED_MOST - 1];
    const char *space = strchr(head, ' '), *end = space ? strchr(space + 1, ' ') : NULL,
               *line = strstr(head, "\r\n");

    memset(op, 0, sizeof(*op));
    if (!space || !end || !line) {
        abort();
    }
    snprintf(op->method, sizeof(op->method), "%.*s", (int)(space - head), head);
    op->path = canned_dup(space + 1, (size_t)(end - space - 1));
    op->headers = canned_dup(line + 2, strlen(line + 2));
    op->body = canned_dup(body, strlen(body));
    op->request = c->n_requests;
    op->in_batch = in_batch;
    return op;
}

static inline char *canned_append(char *out, const char *format, const char *one, const char *two)
{
    size_t have = out ? strlen(out) : 0, more = strlen(format) + strlen(one) + strlen(two) + 1;

    out = realloc(out, have + more);
    snprintf(out + have, more, format, one, two);
    return out;
}

static inline char *canned_lf(char *text)
{
    char *to = text;

    for (char *at = text; *at; at++) {
        if (*at != '\r') {
            *to++ = *at;
        }
    }
    *to = '\0';
    return text;
}

/* "HTTP/1.1 200 OK..." with a body of parts. */
static inline char *canned_answer_batch(canned_t *c, const char *body)
{
    static const char sep[] = "--batchresponse_0f0d";
    char boundary[256], *out = NULL, *at;
    size_t blen = strcspn(body, "\r\n");
    int total = 0, done = 0;

    snprintf(boundary, sizeof(boundary), "%.*s", (int)blen, body);
    for (at = (char *)body; (at = strstr(at, boundary)) != NULL; at += blen) {
        total++;
    }
    total--;
    for (at = (char *)body; done < total; done++) {
        char *head = strstr(at, "\r\n\r\n"), *next = strstr(at + blen, boundary), *inner, *text;
        const char *answer;
        char *end;

        if (!head || !next) {
            abort();
        }
        head += 4;
        end = strstr(head, "\r\n\r\n");
        inner = canned_dup(head, (size_t)(end + 2 - head));
        text = canned_dup(end + 4, (size_t)(next - 2 >= end + 4 ? next - 2 - end - 4 : 0));
        answer = c->answer(c, canned_record(c, inner, text, 1));
        if (done < total - c->leave_out) {
            out =
                canned_append(out,
                              "%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: "
                              "binary\r\n\r\nHTTP/1.1 %s\r\n",
                              sep, answer ? answer : "404 Not Found\r\n\r\n");
        }
        free(inner);
        free(text);
        at = next;
    }
    out = canned_append(out, "%s--%s\r\n", sep, "");
    if (c->cut) {
        out[strlen(out) - (size_t)c->cut] = '\0';
    }
    return c->lf_only ? canned_lf(out) : out;
}

static inline void canned_send(int fd, const char *status, const char *headers, const char *body)
{
    size_t len = strlen(body), total = len + strlen(status) + strlen(headers) + 128, n;
    char *out = malloc(total);

    n = (size_t)snprintf(out, total,
                         "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         status, headers, len, body);
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, out + at, n - at, MSG_NOSIGNAL);

        if (sent <= 0) {
            break;
        }
        at += (size_t)sent;
    }
    free(out);
}

/* Takes an answer in the form of canned_answer_fn apart and sends it. */
static inline void canned_send_answer(int fd, const char *answer)
{
    const char *text = answer ? answer : "404 Not Found\r\n\r\n", *line = strstr(text, "\r\n"),
               *end = strstr(text, "\r\n\r\n");
    char *status = canned_dup(text, (size_t)(line - text));
    char *headers =
        end > line ? canned_dup(line + 2, (size_t)(end + 2 - line - 2)) : canned_dup("", 0);

    canned_send(fd, status, headers, end + 4);
    free(status);
    free(headers);
}

/* With everything that any of the servers says of a token. */
static inline void canned_send_token(canned_t *c, int fd)
{
    char body[512];

    snprintf(body, sizeof(body),
             "{\"access_token\":\"t\",%s\"instance_url\":\"%s\",\"id\":"
             "\"https://login.example/id/00D000000000062EAA/005000000000001AAA\"}",
             c->endless ? "" : "\"expires_in\":3599,", c->base);
    if (c->token) {
        canned_send_answer(fd, c->token);
    }
    else {
        canned_send(fd, "200 OK", "Content-Type: application/json\r\n", body);
    }
}

static inline void canned_serve(canned_t *c, int fd)
{
    char *head, *body, *good;
    const char *bad;

    if (!canned_read_all(fd, &head, &body)) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    if (strstr(head, "/oauth2/")) {
        c->n_tokens++;
        free(c->last_token_form);
        c->last_token_form = canned_dup(body, strlen(body));
        canned_send_token(c, fd);
    }
    else if (strstr(head, "/$batch ")) {
        c->n_batches++;
        free(c->last_batch);
        free(c->last_batch_headers);
        c->last_batch = canned_dup(body, strlen(body));
        c->last_batch_headers = canned_dup(head, strlen(head));
        good = canned_answer_batch(c, body);
        bad = c->batch ? c->batch(c) : NULL;
        c->n_requests++;
        if (bad) {
            canned_send_answer(fd, bad);
        }
        else {
            canned_send(fd, "200 OK",
                        "Content-Type: multipart/mixed; boundary=batchresponse_0f0d\r\nREQ_ID: "
                        "outer-req\r\n",
                        good);
        }
        free(good);
    }
    else {
        bad = c->answer(c, canned_record(c, head, body, 0));
        c->n_requests++;
        canned_send_answer(fd, bad);
    }
    pthread_mutex_unlock(&c->lock);
    free(head);
    free(body);
}

static inline void *canned_run(void *baton)
{
    canned_t *c = baton;
    struct pollfd fds[2] = {{c->listener, POLLIN, 0}, {c->stop[0], POLLIN, 0}};

    while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
        int fd = accept(c->listener, NULL, NULL);

        if (fd >= 0) {
            canned_serve(c, fd);
            shutdown(fd, SHUT_WR);
            close(fd);
        }
    }
    return NULL;
}

static inline canned_t *canned_start(canned_answer_fn *answer)
{
    canned_t *c = calloc(1, sizeof(*c));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    assert_non_null(c);
    c->answer = answer;
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->listener >= 0 && !bind(c->listener, (struct sockaddr *)&a, sizeof(a)) &&
                !listen(c->listener, 64) &&
                !getsockname(c->listener, (struct sockaddr *)&a, &len) && !pipe(c->stop));
    snprintf(c->base, sizeof(c->base), "http://127.0.0.1:%d", ntohs(a.sin_port));
    pthread_mutex_init(&c->lock, NULL);
    assert_int_equal(pthread_create(&c->thread, NULL, canned_run, c), 0);
    return c;
}

static inline void canned_forget(canned_t *c)
{
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->n_ops; i++) {
        free(c->ops[i].path);
        free(c->ops[i].headers);
        free(c->ops[i].body);
    }
    c->n_ops = c->n_requests = c->n_batches = c->n_tokens = 0;
    pthread_mutex_unlock(&c->lock);
}

static inline void canned_stop(canned_t *c)
{
    assert_int_equal(write(c->stop[1], "x", 1), 1);
    pthread_join(c->thread, NULL);
    canned_forget(c);
    close(c->listener);
    close(c->stop[0]);
    close(c->stop[1]);
    free(c->last_token_form);
    free(c->last_batch);
    free(c->last_batch_headers);
    free(c);
}

#endif
