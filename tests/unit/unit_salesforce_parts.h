/* A Salesforce client, put together by hand, whose organisation is a canned server. */
#ifndef CS_TESTS_UNIT_SALESFORCE_PARTS_H
#define CS_TESTS_UNIT_SALESFORCE_PARTS_H

#include "unit_canned.h"

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/salesforce/client.h"

#define SF_ROOT "/services/data/v60.0/"
#define SF_USER "005000000000001AAA"

typedef struct sf_rig_t {
    canned_t *server;
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up;
    cs_secret_t secret;
    cs_crm_t crm;
} sf_rig_t;

static inline sf_rig_t *sf_rig(canned_answer_fn *answer, void *baton, apr_pool_t *p)
{
    sf_rig_t *r = apr_pcalloc(p, sizeof(*r));
    cs_token_config_t token = {.grant = CS_GRANT_CLIENT_CREDENTIALS, .bare = 1};

    r->server = canned_start(answer);
    r->server->baton = baton;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up.name = "force";
    r->up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(r->up.origins, const char *) = r->server->base;
    r->up.concurrency = 4;
    r->up.timeout = 20 * APR_USEC_PER_SEC;
    r->secret.ref = "file:/x";
    r->secret.value = "s";
    r->secret.len = 1;
    token.url = apr_pstrcat(p, r->server->base, "/services/oauth2/token", NULL);
    token.audience = r->server->base;
    token.client_id = "key";
    token.client_secret = &r->secret;
    token.upstream = &r->up;
    r->crm.cfg.name = "force";
    r->crm.cfg.type = "salesforce";
    r->crm.cfg.url = r->server->base;
    r->crm.cfg.upstream = r->crm.cfg.login = &r->up;
    r->crm.http = r->http;
    r->crm.limiter = &r->limiter;
    r->crm.origin = r->server->base;
    r->crm.p = p;
    r->crm.hidden = apr_hash_make(p);
    r->crm.said = apr_hash_make(p);
    assert_ok(cs_token_create(&r->crm.token, &token, r->http, &r->login_limiter, p));
    return r;
}

static inline apr_array_header_t *sf_words(apr_pool_t *p, const char *words)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(const char *));
    char *copy = apr_pstrdup(p, words), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(out, const char *) = word;
    }
    return out;
}

static inline json_t *sf_json(const char *text, apr_pool_t *p)
{
    json_t *json = NULL;
    cs_result_t res;

    if (cs_json_parse(&json, text, strlen(text), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s: %s", res.detail, text);
    }
    return cs_json_own(json, p);
}

/* The same JSON, however written. */
#define assert_json(json, text, p)                                                                 \
    assert_string_equal(cs_json_print(json, p), cs_json_print(sf_json(text, p), p))

/* A path as a person reads it: escapes undone. */
static inline const char *sf_plain(const char *path, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, path), *to = out;

    for (; *path; path++) {
        if (*path == '%' && path[1] && path[2]) {
            char hex[3] = {path[1], path[2], '\0'};

            *to++ = (char)strtol(hex, NULL, 16);
            path += 2;
        }
        else {
            *to++ = *path;
        }
    }
    *to = '\0';
    return out;
}

static inline void sf_expect(const cs_result_t *res, cs_class_e cls, const char *problem)
{
    if (res->cls != cls || (problem && (!res->problem || strcmp(res->problem, problem)))) {
        fail_msg("%s %s (%s), expected %s %s", cs_class_name(res->cls),
                 res->problem ? res->problem : "-", res->detail ? res->detail : "-",
                 cs_class_name(cls), problem ? problem : "");
    }
    assert_true(cls == CS_CLASS_OK || res->detail);
}

/* ---- composites: the parts of one are answered one by one ---- */

/* The answer to one part or one call: "200 OK\r\n...\r\n\r\nbody". Its path without the root. */
typedef const char *sf_answer_fn(canned_t *c, const char *method, const char *path,
                                 apr_pool_t *p);

/* The answer to a request, whose parts, if it is a composite, `each` answers. */
static inline const char *sf_dispatch(canned_t *c, const canned_op_t *op, sf_answer_fn *each,
                                      apr_pool_t *p)
{
    json_t *json, *parts, *part, *out;
    const char *text;
    size_t i;

    if (strcmp(op->path, SF_ROOT "composite")) {
        assert_true(!strncmp(op->path, SF_ROOT, sizeof(SF_ROOT) - 1));
        return each(c, op->method, sf_plain(op->path + sizeof(SF_ROOT) - 1, p), p);
    }
    json = sf_json(op->body, p);
    parts = cs_json_get(json, "compositeRequest");
    out = cs_json_own(json_array(), p);
    json_array_foreach(parts, i, part) {
        const char *path = cs_json_str(part, "url"), *answer;
        const char *body;

        assert_true(!strncmp(path, SF_ROOT, sizeof(SF_ROOT) - 1));
        answer = each(c, cs_json_str(part, "method"), sf_plain(path + sizeof(SF_ROOT) - 1, p), p);
        answer = answer ? answer : "404 Not Found\r\n\r\n[{\"errorCode\":\"NOT_FOUND\"}]";
        body = strstr(answer, "\r\n\r\n") + 4;
        json_array_append_new(
            out, json_pack("{s:O?, s:{}, s:i, s:s}", "body", *body ? sf_json(body, p) : NULL,
                           "httpHeaders", "httpStatusCode", atoi(answer), "referenceId",
                           cs_json_str(part, "referenceId")));
    }
    text = cs_json_print(out, p);
    return apr_psprintf(p, "200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n"
                           "{\"compositeResponse\":%s}",
                        text);
}

#endif
