/* A token endpoint that gives prepared answers, one after the other, and what a client needs to ask it. */
#ifndef CS_TESTS_UNIT_SIGN_IN_H
#define CS_TESTS_UNIT_SIGN_IN_H

#include "unit_canned.h"

#include "mod_cosell/base/secret.h"
#include "mod_cosell/remote/http.h"

#define ANSWERS 8
#define assert_not_ok(rv) assert_int_not_equal(rv, APR_SUCCESS)

typedef struct sign_in_t {
    canned_t *server;
    cs_http_t *http;
    cs_limiter_t limiter;
    cs_upstream_t up;
    cs_secret_t secret; /* of the client */
    const char *url;    /* the canned server keeps tokens of addresses with "/oauth2/" apart: this has none in its path */
    const char *answers[ANSWERS];
    int n, next;
} sign_in_t;

static inline const char *sign_in_answer(canned_t *c, const canned_op_t *op)
{
    sign_in_t *s = c->baton;

    (void)op;
    return s->next < s->n ? s->answers[s->next++] : "500 Nobody Prepared This\r\n\r\n{}";
}

static inline void sign_in_start(sign_in_t *s, const char *secret, apr_pool_t *p)
{
    s->server = canned_start(sign_in_answer);
    s->server->baton = s;
    assert_ok(cs_http_create(&s->http, "test", p));
    s->up.name = "login";
    s->up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(s->up.origins, const char *) = apr_pstrdup(p, s->server->base);
    s->up.concurrency = 1;
    s->up.timeout = 20 * APR_USEC_PER_SEC;
    s->secret = (cs_secret_t){.ref = "file:/s", .value = secret, .len = strlen(secret)};
    s->url = apr_pstrcat(p, s->server->base, "/t/v2.0/token", NULL);
}

/* The next answer, in the server's form; as long-lived as the server. */
static inline void sign_in_will(sign_in_t *s, const char *answer)
{
    assert_true(s->n < ANSWERS);
    s->answers[s->n++] = answer;
}

#endif
