/* A Partner Center client whose other end is a canned server that gives prepared answers in their
 * order. */
#ifndef CS_TESTS_UNIT_PC_H
#define CS_TESTS_UNIT_PC_H

#include "unit_canned.h"

#include "mod_cosell/base/json.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/remote/partner_center/partner_center.h"

#define PC_ID "c5fb0000-0000-4000-8000-000000000001"
#define PC_ENGAGEMENT "65ed0000-0000-4000-8000-000000000001"
#define PC_ORGANIZATION "7d230000-0000-4000-8000-000000000005"
#define PC_TAG "\"84001c9d-0000-0100-0000-6225a63e0000\""
#define PC_LIST "/v1.0/engagements/referrals"
#define PC_ANSWERS 256

typedef struct pc_rig_t {
    canned_t *server;
    cs_http_t *http;
    cs_limiter_t limiter, login_limiter;
    cs_upstream_t up;
    cs_secret_t secret, refresh;
    cs_vault_t vault;
    cs_pc_config_t cfg;
    cs_pc_t *pc;
    const char *answers[PC_ANSWERS];
    int n_answers, next;
    apr_pool_t *p;
} pc_rig_t;

static inline apr_status_t pc_box_get(void *baton, const char *name, const char **pvalue,
                                      apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    (void)baton, (void)name, (void)p, (void)res;
    *pvalue = NULL;
    *pversion = 0;
    return APR_SUCCESS;
}

static inline apr_status_t pc_box_put(void *baton, const char *name, const char *value,
                                      apr_int64_t version, apr_pool_t *ptemp, cs_result_t *res)
{
    (void)baton, (void)name, (void)value, (void)version, (void)ptemp, (void)res;
    return APR_SUCCESS;
}

static inline const char *pc_next_answer(canned_t *c, const canned_op_t *op)
{
    pc_rig_t *r = c->baton;

    (void)op;
    return r->next < r->n_answers ? r->answers[r->next++]
                                  : "500 Nobody Prepared This\r\n\r\n{\"error\":{}}";
}

static inline pc_rig_t *pc_rig(apr_pool_t *p)
{
    pc_rig_t *r = apr_pcalloc(p, sizeof(*r));

    r->p = p;
    r->server = canned_start(pc_next_answer);
    r->server->baton = r;
    assert_ok(cs_http_create(&r->http, "test", p));
    r->up.name = "partner-center";
    r->up.origins = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(r->up.origins, const char *) = apr_pstrdup(p, r->server->base);
    r->up.concurrency = 1;
    r->up.timeout = 20 * APR_USEC_PER_SEC;
    r->secret.ref = r->refresh.ref = "file:/x";
    r->secret.value = r->refresh.value = "s";
    r->secret.len = r->refresh.len = 1;
    r->vault.get = pc_box_get;
    r->vault.put = pc_box_put;
    r->cfg.tenant = "t";
    r->cfg.client_id = "11111111-0000-4000-8000-000000000001";
    r->cfg.client_secret = &r->secret;
    r->cfg.refresh_token = &r->refresh;
    r->cfg.organization = PC_ORGANIZATION;
    r->cfg.token_url = apr_pstrcat(p, r->server->base, "/t/oauth2/v2.0/token", NULL);
    r->cfg.referrals_url = r->server->base;
    r->cfg.upstream = r->cfg.login = &r->up;
    assert_ok(cs_pc_create(&r->pc, &r->cfg, &r->vault, r->http, &r->limiter, &r->login_limiter, p));
    return r;
}

/* The next answer: "200 OK\r\nETag: x" and a body. */
static inline void pc_will(pc_rig_t *r, const char *head, const char *body)
{
    assert_true(r->n_answers < PC_ANSWERS);
    r->answers[r->n_answers++] = apr_pstrcat(r->p, head, "\r\n\r\n", body, NULL);
}

static inline void pc_stop(pc_rig_t *r)
{
    /* Every prepared answer was asked for. */
    assert_int_equal(r->next, r->n_answers);
    canned_stop(r->server);
}

/* The value of a header of the nth request, NULL = absent. */
static inline const char *pc_sent(const pc_rig_t *r, int n, const char *name)
{
    const char *text = r->server->ops[n].headers, *at;
    apr_size_t len = strlen(name);

    for (at = text; at && *at; at = strstr(at, "\r\n") ? strstr(at, "\r\n") + 2 : NULL) {
        if (!strncasecmp(at, name, len) && at[len] == ':') {
            return apr_pstrmemdup(r->p, at + len + 2, strcspn(at + len + 2, "\r"));
        }
    }
    return NULL;
}

/* A path as a person reads it: the escapes that queries use, undone. */
static inline const char *pc_path(const pc_rig_t *r, int n)
{
    char *out = apr_pstrdup(r->p, r->server->ops[n].path), *to = out;

    for (const char *at = r->server->ops[n].path; *at; at++) {
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

static inline json_t *pc_json(const char *text, apr_pool_t *p)
{
    json_t *json = NULL;

    assert_ok(cs_json_parse(&json, text, strlen(text), NULL, p, NULL));
    return cs_json_own(json, p);
}

static inline void pc_expect(const cs_result_t *res, cs_class_e cls, const char *problem)
{
    if (res->cls != cls || (problem && (!res->problem || strcmp(res->problem, problem)))) {
        fail_msg("%s %s (%s), expected %s %s", cs_class_name(res->cls),
                 res->problem ? res->problem : "-", res->detail ? res->detail : "-",
                 cs_class_name(cls), problem ? problem : "");
    }
    assert_true(cls == CS_CLASS_OK || res->detail);
}

/* The nth referral of a list, made `minute` minutes after noon of a day long ago. */
static inline const char *pc_item(apr_pool_t *p, int n, int minute, const char *more)
{
    return apr_psprintf(
        p,
        "{\"id\":\"c5fb0000-0000-4000-8000-%012d\",\"organizationId\":\"" PC_ORGANIZATION
        "\",\"createdDateTime\":\"2026-01-31T12:%02d:00.1234567Z\"%s}",
        n, minute, more);
}

#endif
