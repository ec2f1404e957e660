/* What has to be right at Partner Center: a token, its second factor, the role.
 * (partner-center-api.md 3) */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/counter.h"
#include "../../base/crypto.h"
#include "../../base/json.h"

static const char *const checks[] = {"mfa", "role", NULL};

static const char *token_fix(const cs_pc_t *pc, const cs_result_t *res, apr_pool_t *p)
{
    const char *fix;

    if (res->problem && (!strcmp(res->problem, "oauth:invalid_grant") ||
                         !strcmp(res->problem, "oauth:interaction_required") ||
                         !strncmp(res->problem, "config:refresh", 14))) {
        return "sign in again as the account for Partner Center, with multi-factor authentication: "
               "cosellctl login";
    }
    fix = cs_finding_entra_fix(res->problem, "client-secret= of CosellPartnerCenter", p);
    fix = fix ? fix : cs_finding_way_fix(res);
    return fix ? fix
               : apr_psprintf(p,
                              "compare tenant= and client-id=%s of CosellPartnerCenter with the "
                              "application in the Entra admin centre",
                              pc->cfg.client_id ? pc->cfg.client_id : "");
}

/* 1 = the token names a second factor, 0 = it names none, -1 = it does not say, or cannot be read.
 * Only its issuer can vouch for it; it is asked for nothing but advice. */
static int says_mfa(const char *bearer, apr_pool_t *p)
{
    const char *dot = strchr(bearer, '.'), *end = dot ? strchr(dot + 1, '.') : NULL;
    const unsigned char *bytes;
    const json_t *amr;
    apr_size_t len;
    json_t *json = NULL;
    char *text;
    size_t i;
    int found = -1;

    if (!end || end - dot > 8192) {
        return -1;
    }
    text = apr_pstrcat(p, apr_pstrmemdup(p, dot + 1, (apr_size_t)(end - dot - 1)), "===", NULL);
    text[strlen(text) - 3 + (4 - (end - dot - 1) % 4) % 4] = '\0';
    for (char *c = text; *c; c++) {
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    }
    if (cs_base64_decode(&bytes, &len, text, strlen(text), 8192, p) == APR_SUCCESS &&
        cs_json_parse(&json, (const char *)bytes, len, NULL, p, NULL) == APR_SUCCESS) {
        amr = cs_json_get(json, "amr");
        found = json_is_array(amr) ? 0 : -1;
        for (i = 0; i < json_array_size(amr); i++) {
            const char *one = json_string_value(json_array_get(amr, i));

            found |= one && !strcmp(one, "mfa");
        }
        json_decref(json);
    }
    cs_wipe(text, strlen(text));
    return found;
}

#define MFA_FIX                                                                                    \
    "require multi-factor authentication for the account in the Entra admin centre, then sign in " \
    "again: cosellctl login"

static void find_mfa(apr_array_header_t *findings, const cs_http_response_t *response, int claim)
{
    const char *told = apr_table_get(response->headers, "isMfaCompliant");

    if ((told && !strcasecmp(told, "false")) || (!told && !claim)) {
        cs_finding_add(findings, "mfa", response->status / 100 == 2 ? CS_FOUND_WARN : CS_FOUND_FAIL,
                       MFA_FIX, "the account signed in without a second factor (%s)%s",
                       told ? "Partner Center answers isMfaCompliant: false"
                            : "the token's amr has no \"mfa\"",
                       response->status / 100 == 2 ? "; Partner Center still takes that, and will "
                                                     "refuse it"
                                                   : "");
    }
    else if (told || claim > 0) {
        cs_finding_add(findings, "mfa", CS_FOUND_OK, NULL, "signed in with a second factor");
    }
    else {
        cs_finding_add(
            findings, "mfa", CS_FOUND_SKIP, NULL,
            "neither Partner Center nor the token says whether a second factor was used");
    }
}

static const char *role_fix(const cs_result_t *res)
{
    const char *way = cs_finding_way_fix(res);

    return way ? way
               : "compare referrals-url= of CosellPartnerCenter with https://api.partner."
                 "microsoft.com";
}

static void judge(apr_array_header_t *findings, const cs_http_response_t *response, int claim,
                  const cs_result_t *res)
{
    if (response->status == 401 && res->problem && !strcmp(res->problem, "pc:mfa")) {
        cs_finding_add(findings, "mfa", CS_FOUND_FAIL, MFA_FIX,
                       "Partner Center asks for multi-factor authentication: %s", res->detail);
        cs_findings_skip(findings, checks, "the token is refused for want of a second factor");
        return;
    }
    if (response->status != 0 && response->status != 401) {
        find_mfa(findings, response, claim);
    }
    if (response->status == 403) {
        cs_finding_add(findings, "role", CS_FOUND_FAIL,
                       "Partner Center > Account settings > User management > the account: give it "
                       "the role Referrals admin, for all locations",
                       "the account may not read referrals: %s", res->detail);
    }
    else if (res->cls != CS_CLASS_OK) {
        cs_finding_add(findings, "role", cs_finding_state(res), role_fix(res),
                       "referrals cannot be read: %s", res->detail ? res->detail : "no detail");
    }
    else {
        cs_finding_add(findings, "role", CS_FOUND_OK, NULL, "the account may read referrals");
    }
    cs_findings_skip(findings, checks, "there was no useful answer");
}

int cs_pc_examine(cs_pc_t *pc, apr_array_header_t *findings, apr_interval_time_t deadline,
                  apr_pool_t *p)
{
    cs_http_request_t request;
    cs_http_response_t response;
    cs_result_t res = {0};
    const char *bearer;
    apr_status_t rv;
    int claim;

    if (cs_token_renew(pc->token, deadline, p, &res) != APR_SUCCESS ||
        cs_token_get(pc->token, &bearer, deadline, p, &res) != APR_SUCCESS) {
        cs_finding_add(findings, "token", cs_finding_state(&res), token_fix(pc, &res, p),
                       "no token for Partner Center can be had: %s",
                       res.detail ? res.detail : "no detail");
        cs_findings_skip(findings, checks, "there is no token");
        return 0;
    }
    cs_finding_add(findings, "token", CS_FOUND_OK, NULL, "a token for Partner Center can be had");
    claim = says_mfa(bearer, p);
    cs_pc_request(&request, "GET", apr_pstrcat(p, pc->base, "?$top=1", NULL),
                  "examination of Partner Center", NULL, p);
    apr_table_setn(request.headers, "ValidateMfa", "true");
    rv = cs_pc_perform(pc, &request, &response, 1, deadline, p);
    if (rv != APR_SUCCESS) {
        cs_findings_skip(findings, checks, "no request could be sent");
        return 0;
    }
    cs_count(CS_COUNT_CALLS_PARTNER_CENTER, (apr_uint64_t)response.calls);
    cs_pc_classify(&res, &response, &request, CS_PC_READ, NULL, p);
    judge(findings, &response, claim, &res);
    return res.cls == CS_CLASS_OK;
}
