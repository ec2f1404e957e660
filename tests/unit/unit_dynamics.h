/* A Dynamics client whose environment is a canned server. */
#ifndef CS_TESTS_UNIT_DYNAMICS_H
#define CS_TESTS_UNIT_DYNAMICS_H

#include "unit_canned.h"

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/crm.h"

typedef struct rig_t {
    canned_t *server;
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up;
    cs_secret_t secret, key;
    cs_crm_config_t cfg;
    const cs_crm_impl_t *impl;
    cs_crm_t *crm;
} rig_t;

static inline void rig_renew(rig_t *r, apr_pool_t *p)
{
    assert_ok(r->impl->create(&r->crm, &r->cfg, r->http, &r->limiter, &r->login_limiter, p));
}

static inline rig_t *rig(canned_answer_fn *answer, apr_pool_t *p)
{
    rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->server = canned_start(answer);
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up.name = "sales";
    r->up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(r->up.origins, const char *) = r->server->base;
    r->up.concurrency = 4;
    r->up.timeout = 20 * APR_USEC_PER_SEC;
    r->secret.ref = "file:/x";
    r->secret.value = "s";
    r->secret.len = 1;
    r->cfg.name = "sales";
    r->cfg.type = "dynamics365";
    r->cfg.url = r->server->base;
    r->cfg.tenant = "t";
    r->cfg.client_id = "0f0d0000-0000-4000-8000-0000000000c1";
    r->cfg.client_secret = &r->secret;
    r->cfg.token_url = apr_pstrcat(p, r->server->base, "/t/oauth2/v2.0/token", NULL);
    r->cfg.upstream = r->cfg.login = &r->up;
    r->impl = cs_crm_impl_of("dynamics365");
    assert_non_null(r->impl);
    rig_renew(r, p);
    return r;
}

static inline const char *nth_id(int i, apr_pool_t *p)
{
    return apr_psprintf(p, "0f0d0000-0000-4000-8000-%012d", i);
}

static inline apr_array_header_t *words_of(apr_pool_t *p, const char *words)
{
    apr_array_header_t *out = apr_array_make(p, 4, sizeof(const char *));
    char *copy = apr_pstrdup(p, words), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word; word = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(out, const char *) = word;
    }
    return out;
}

static inline json_t *json_of(const char *text, apr_pool_t *p)
{
    json_t *json = NULL;

    assert_ok(cs_json_parse(&json, text, strlen(text), NULL, p, NULL));
    return cs_json_own(json, p);
}

/* The same JSON, however written. */
#define assert_json(json, text, p)                                                                 \
    assert_string_equal(cs_json_print(json, p), cs_json_print(json_of(text, p), p))

/* A path as a person reads it: the escapes that queries use, undone. */
static inline const char *plain_path(const canned_op_t *op, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, op->path), *to = out;

    for (const char *at = op->path; *at; at++) {
        if (*at == '%' && at[1] && at[2]) {
            char hex[3] = {at[1], at[2], '\0'};

            *to++ = (char)strtol(hex, NULL, 16);
            at += 2;
        }
        else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return out;
}

static inline void expect(const cs_result_t *res, cs_class_e cls, const char *problem)
{
    if (res->cls != cls || (problem && (!res->problem || strcmp(res->problem, problem)))) {
        fail_msg("%s %s (%s), expected %s %s", cs_class_name(res->cls),
                 res->problem ? res->problem : "-", res->detail ? res->detail : "-",
                 cs_class_name(cls), problem ? problem : "");
    }
    assert_true(cls == CS_CLASS_OK || res->detail);
}

#endif
