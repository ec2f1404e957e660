#include "oauth.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/json.h"

#define ERROR_MAX 60
#define WORDS_MAX 300

/* ---- the request ---- */

int cs_oauth_is_v1(const char *url)
{
    static const char v1[] = "/oauth2/token";
    apr_size_t len = strcspn(url, "?#"), n = sizeof(v1) - 1;

    return len >= n && !memcmp(url + len - n, v1, n);
}

const char *cs_oauth_keep(const char *text, apr_pool_t *p)
{
    char *copy = text ? apr_pstrdup(p, text) : NULL;

    if (copy) {
        cs_wipe_at_end(copy, strlen(copy), p);
    }
    return copy;
}

const char *cs_oauth_form(const apr_table_t *form, apr_pool_t *p)
{
    const char *text = cs_http_form(form, p);

    cs_wipe_at_end((char *)text, strlen(text), p);
    return text;
}

void cs_oauth_request(cs_http_request_t *request, const char *url, const char *body,
                      const char *label, apr_pool_t *p)
{
    memset(request, 0, sizeof(*request));
    request->method = "POST";
    request->url = url;
    request->headers = apr_table_make(p, 4);
    apr_table_setn(request->headers, "Accept", "application/json");
    apr_table_setn(request->headers, "Content-Type", "application/x-www-form-urlencoded");
    apr_table_setn(request->headers, "client-request-id", cs_uuid4(p));
    request->body = body;
    request->body_len = strlen(body);
    request->secret_body = 1;
    request->max_response = CS_OAUTH_MAX_ANSWER;
    request->label = label;
}

/* ---- what to do about an error ---- */

#define AGAIN "sign in again with cosellctl login"
#define MFA                                                                                        \
    "multi-factor authentication is demanded: " AGAIN " and complete it, with an account that "    \
    "has a second factor"
#define POLICY                                                                                     \
    "a conditional access policy of the tenant forbids this sign-in: where it forbids device "     \
    "codes, sign in with the browser; else except the account or the application from the policy"
#define PERMISSIONS                                                                                \
    "add the delegated permissions of Partner Center to the application (Entra ID, App "           \
    "registrations, API permissions) and grant admin consent"
#define REDIRECT                                                                                   \
    "register the redirect URI exactly as it was sent (Entra ID, App registrations, "              \
    "Authentication, platform Web)"
#define SECRET "put a valid client secret of the application into the file of client-secret="
#define TENANT "check tenant= and client-id= of CosellPartnerCenter"
#define STRANGER "sign in with an account of the configured tenant"
#define ACCOUNT "see to the account in Entra ID, or sign in with another one"

static const struct {
    int code;
    const char *todo;
} advices[] = {
    {65001, "an administrator of the tenant must grant admin consent to the application's "
            "permissions (Entra ID, App registrations, API permissions)"},
    {65004, "the consent was declined: " AGAIN " and accept, or let an administrator grant it"},
    {90094, "an administrator of the tenant must grant admin consent to the application"},
    {650052, PERMISSIONS},
    {650056, PERMISSIONS},
    {650057, PERMISSIONS},
    {500011, PERMISSIONS},
    {70011, PERMISSIONS},
    {50072, MFA},
    {50074, MFA},
    {50076, MFA},
    {50079, MFA},
    {50158, MFA},
    {53004, MFA},
    {53000, POLICY},
    {53001, POLICY},
    {53002, POLICY},
    {53003, POLICY},
    {530032, POLICY},
    {530034, POLICY},
    {7000218, "device codes need \"Allow public client flows\" = Yes (Entra ID, App "
              "registrations, Authentication); or sign in with the browser"},
    {700025, "the application is a public client: register the redirect URI under the platform "
             "Web"},
    {9002326, "register the redirect URI under the platform Web, not as a single-page application"},
    {50011, REDIRECT},
    {500112, REDIRECT},
    {50020, STRANGER},
    {90072, STRANGER},
    {50034, STRANGER},
    {50053, ACCOUNT},
    {50055, ACCOUNT},
    {50057, ACCOUNT},
    {50126, ACCOUNT},
    {50105, "assign the account to the application (Entra ID, Enterprise applications, Users and "
            "groups)"},
    {7000215, SECRET},
    {7000222, "the client secret has expired: " SECRET},
    {700016, TENANT},
    {90002, TENANT},
    {900023, TENANT},
    {54005, "the code was used before: " AGAIN},
    {70008, "what the sign-in gave is too old: " AGAIN},
    {70019, "the code was not entered in time: " AGAIN},
    {70020, "the code was not entered in time: " AGAIN},
    {501481, "the answer belongs to another sign-in: " AGAIN},
    {0, NULL}};

static const struct {
    const char *error, *todo;
} words[] = {{"access_denied", "the sign-in was declined: " AGAIN},
             {"authorization_declined", "the sign-in was declined: " AGAIN},
             {"expired_token", "the code was not entered in time: " AGAIN},
             {"code_expired", "the code was not entered in time: " AGAIN},
             {"invalid_client", SECRET},
             {"unauthorized_client", TENANT},
             {"invalid_scope", PERMISSIONS},
             {"invalid_resource", PERMISSIONS},
             {NULL, NULL}};

static int code_in(const char *text)
{
    const char *at = text ? strstr(text, "AADSTS") : NULL;

    return at && strspn(at + 6, "0123456789") <= 9 ? atoi(at + 6) : 0;
}

const char *cs_oauth_advice(const char *error, const char *text)
{
    int code = code_in(text), i;

    for (i = 0; code && advices[i].code; i++) {
        if (advices[i].code == code) {
            return advices[i].todo;
        }
    }
    for (i = 0; error && words[i].error; i++) {
        if (!strcmp(words[i].error, error)) {
            return words[i].todo;
        }
    }
    return AGAIN;
}

/* At most `most` bytes of it, whole letters. */
static apr_size_t cut_of(const char *text, apr_size_t len, apr_size_t most)
{
    apr_size_t cut = len > most ? most : len;

    while (cut < len && cut && ((unsigned char)text[cut] & 0xc0) == 0x80) {
        cut--;
    }
    return cut;
}

const char *cs_oauth_words(const char *error, const char *text, apr_pool_t *p)
{
    const char *end = text ? strstr(text, "Trace ID:") : NULL;
    apr_size_t len = end ? (apr_size_t)(end - text) : text ? strlen(text) : 0, cut;
    char *out, *c;

    while (len && apr_isspace(text[len - 1])) {
        len--;
    }
    cut = cut_of(text, len, WORDS_MAX);
    error = error ? error : "no error code";
    out = apr_psprintf(p, "%.*s%s%.*s%s", (int)cut_of(error, strlen(error), ERROR_MAX), error,
                       cut ? ": " : "", (int)cut, text ? text : "", cut < len ? "..." : "");
    for (c = out; *c; c++) {
        *c = apr_iscntrl(*c) ? ' ' : *c;
    }
    return out;
}

/* ---- errors ---- */

static int needs_person(const char *error)
{
    static const char *const known[] = {
        "invalid_grant",  "interaction_required",  "invalid_client",         "unauthorized_client",
        "invalid_scope",  "invalid_request",       "invalid_resource",       "consent_required",
        "login_required", "access_denied",         "authorization_declined", "expired_token",
        "code_expired",   "bad_verification_code", "unsupported_grant_type", NULL};
    int i;

    for (i = 0; known[i] && strcmp(known[i], error); i++)
        ;
    return known[i] != NULL;
}

/* Errors that pass, though their status or their word does not say so. */
static int passes(const char *error, const char *text)
{
    return !strcmp(error, "temporarily_unavailable") || !strcmp(error, "unknown_error") ||
           (text && strcasestr(text, "rate exceeded"));
}

int cs_oauth_is_code(const json_t *json, int code)
{
    const json_t *first = json_array_get(cs_json_get(json, "error_codes"), 0);

    return json_is_integer(first) ? json_integer_value(first) == code
                                  : code_in(cs_json_str(json, "error_description")) == code;
}

/* "AADSTS700082: The refresh token has expired" and, where the text lacks it, the number. */
static const char *description_of(const json_t *json, apr_pool_t *p)
{
    const char *text = cs_json_str(json, "error_description");
    const json_t *code = json_array_get(cs_json_get(json, "error_codes"), 0);

    text = text ? text : "";
    if (json_is_integer(code) && !strstr(text, "AADSTS")) {
        text = apr_psprintf(p, "AADSTS%" APR_INT64_T_FMT " %s",
                            (apr_int64_t)json_integer_value(code), text);
    }
    return text;
}

static apr_status_t describe(const cs_http_response_t *response, const cs_http_request_t *request,
                             const json_t *json, cs_class_e cls, int person, apr_pool_t *p,
                             cs_result_t *res)
{
    const char *error = cs_json_str(json, "error"), *text = description_of(json, p);
    const char *detail = cs_http_describe(response, request, cs_oauth_words(error, text, p), p);
    int advise = person && cls == CS_CLASS_SUSPEND;
    apr_time_t retry_at = res->retry_at;
    const char *plain =
        advise ? apr_pstrcat(p, "the sign-in was refused: ", cs_oauth_advice(error, text), NULL)
               : NULL;

    cs_result_set(res, p, CS_EREMOTE, cls, apr_pstrcat(p, "oauth:", error, NULL), "%s",
                  cs_http_plainly(plain, detail, p));
    res->retry_at = retry_at;
    res->correlation = response->correlation;
    return res->rv;
}

apr_status_t cs_oauth_refused(const cs_http_response_t *response, const cs_http_request_t *request,
                              const json_t *json, int person, apr_pool_t *p, cs_result_t *res)
{
    const char *error = cs_json_str(json, "error");
    int status = response->status;
    cs_class_e cls;

    cs_http_classify(res, response, request, p);
    if (response->failure || response->outcome != CS_HTTP_ANSWERED) {
        /* A token request changes nothing that matters: it is simply asked again. */
        if (res->cls == CS_CLASS_UNKNOWN) {
            res->cls = CS_CLASS_RETRY;
            res->problem = "transport";
        }
        return res->rv;
    }
    if (error && res->cls != CS_CLASS_THROTTLED &&
        passes(error, cs_json_str(json, "error_description"))) {
        cls = CS_CLASS_RETRY;
    }
    else if (error && needs_person(error) && status < 500 && status != 429) {
        cls = CS_CLASS_SUSPEND;
    }
    else if (res->cls == CS_CLASS_THROTTLED || res->cls == CS_CLASS_SUSPEND) {
        return res->rv;
    }
    else {
        cls = status >= 500 || status == 408 ? CS_CLASS_RETRY : CS_CLASS_SUSPEND;
    }
    if (error) {
        return describe(response, request, json, cls, person, p, res);
    }
    res->cls = cls;
    return res->rv;
}
