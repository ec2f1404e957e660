#include "errors.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"

#define SAID_MAX 500
#define TARGET_MAX 256
#define INNER_MAX 8
#define STEPS_MAX 16

/* What an error document says; everything NULL for a gateway's page and an empty body. */
typedef struct pc_error_t {
    const char *code, *message;
    const char *inner;  /* the innermost message */
    const char *blames; /* the first target that names a member */
} pc_error_t;

static const char *text_of(const json_t *doc, const char *name)
{
    const char *text = json_string_value(cs_json_get_nocase(doc, name));

    return text && *text ? text : NULL;
}

static const char *code_of(const json_t *error, apr_pool_t *p)
{
    json_t *code = cs_json_get_nocase(error, "code");

    return json_is_integer(code)
               ? apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(code))
               : apr_pstrdup(p, json_string_value(code));
}

/* The causes below an error: nested, or a list of details. */
static void read_inner(pc_error_t *out, const json_t *error, const json_t *sent, apr_pool_t *p)
{
    const json_t *details;
    int depth;

    for (depth = 0; json_is_object(error) && depth < INNER_MAX; depth++) {
        if (!out->blames) {
            out->blames = cs_pc_blamed(text_of(error, "target"), sent, p);
        }
        if (depth && text_of(error, "message")) {
            out->inner = apr_pstrdup(p, text_of(error, "message"));
        }
        details = cs_json_get_nocase(error, "details");
        error = cs_json_get_nocase(error, "innerError");
        if (!json_is_object(error) && json_is_array(details)) {
            error = json_array_get(details, 0);
        }
    }
}

/* {"error":{"code","message","target","innerError"}}, {"code","description"} or
 * {"statusCode","message"}. */
static void read_error(pc_error_t *out, const cs_http_response_t *response, const json_t *sent,
                       apr_pool_t *p)
{
    cs_result_t unread = {0};
    const json_t *error;
    const char *message;
    json_t *json = NULL;

    memset(out, 0, sizeof(*out));
    if (!response->body_len ||
        cs_json_parse(&json, response->body, response->body_len, NULL, p, &unread) != APR_SUCCESS) {
        return;
    }
    error = cs_json_get_nocase(json, "error");
    error = json_is_object(error) ? error : json;
    message = text_of(error, "message");
    out->code = code_of(error, p);
    out->message = apr_pstrdup(p, message ? message : text_of(error, "description"));
    read_inner(out, error, sent, p);
    json_decref(json);
}

/* ---- which member ---- */

static int is_index(const char *step)
{
    return *step && strspn(step, "0123456789") == strlen(step) && strlen(step) < 6;
}

/* Splits a path in any of its spellings, a mark before it; returns how many steps, 0 = it is no
 * path. */
static int split(char *text, const char **steps)
{
    static const char marks[] = "./[]'\"";
    int n = 0;

    for (; *text; text++) {
        if (strchr(marks, *text)) {
            *text = '\0';
        }
        else if (!apr_isalnum(*text) && *text != '_' && *text != '-') {
            return 0;
        }
        else if (text[-1] == '\0') {
            if (n == STEPS_MAX) {
                return 0;
            }
            steps[n++] = text;
        }
    }
    return n;
}

static const char *op_path(const json_t *sent, size_t at)
{
    return cs_json_str(json_array_get(sent, at), "path");
}

/* One path is the other or stands above it. */
static int is_about(const char *path, const char *other)
{
    apr_size_t a = strlen(path), b = strlen(other), n = a < b ? a : b;

    return !strncasecmp(path, other, n) && (a == b || (a < b ? other[n] : path[n]) == '/');
}

static int ends_with(const char *path, const char *end)
{
    apr_size_t a = strlen(path), b = strlen(end);

    return a >= b && !strcasecmp(path + a - b, end);
}

/* Their spelling into ours, where we changed it; a bare name into the one path that ends in it. */
static const char *spell(const char *pointer, const json_t *sent)
{
    const char *found = NULL, *path;
    size_t i;

    for (i = 0; i < json_array_size(sent); i++) {
        path = op_path(sent, i);
        if (path && is_about(path, pointer)) {
            return strlen(path) == strlen(pointer) ? path : pointer;
        }
    }
    for (i = 0; i < json_array_size(sent); i++) {
        path = op_path(sent, i);
        if (path && ends_with(path, pointer)) {
            if (found && strcmp(found, path)) {
                return pointer;
            }
            found = path;
        }
    }
    return found ? found : pointer;
}

static const char *join(const char *pointer, const char *const *steps, int n, apr_pool_t *p)
{
    char *step;
    int i;

    for (i = 0; i < n; i++) {
        step = apr_pstrdup(p, steps[i]);
        *step = (char)apr_tolower(*step);
        pointer = apr_pstrcat(p, pointer, "/", step, NULL);
    }
    return pointer;
}

const char *cs_pc_blamed(const char *target, const json_t *sent, apr_pool_t *p)
{
    const char *steps[STEPS_MAX], *path;
    char *copy;
    int n, from = 0;

    if (!target || strlen(target) > TARGET_MAX) {
        return NULL;
    }
    copy = apr_pstrcat(p, ".", target, NULL);
    if (copy[1] == '$' || copy[1] == '#') {
        copy[1] = '.';
    }
    n = split(copy, steps);
    if (n == 0 ||
        (n == 1 && (!strcasecmp(steps[0], "etag") || !strcasecmp(steps[0], "if-match")))) {
        return NULL;
    }
    if (json_is_array(sent) && is_index(steps[0])) {
        path = op_path(sent, (size_t)apr_atoi64(steps[0]));
        from = n > 1 && (!strcasecmp(steps[1], "value") || !strcasecmp(steps[1], "path") ||
                         !strcasecmp(steps[1], "op"))
                   ? 2
                   : 1;
        return path ? join(path, steps + from, n - from, p) : NULL;
    }
    from = n > 1 && !strcasecmp(steps[0], "referral");
    return apr_pstrdup(p, spell(join("", steps + from, n - from, p), sent));
}

/* ---- classes ---- */

static int lacks_mfa(const cs_http_response_t *response, const pc_error_t *error)
{
    return (error->code && !strcmp(error->code, "900421")) ||
           strstr(response->reason, "MFA required") ||
           (error->message && strstr(error->message, "MFA required"));
}

/* What a status means to a write. A POST may have been done unless the answer excludes it. */
static cs_class_e class_of_write(const cs_http_response_t *response, cs_class_e general,
                                 cs_pc_kind_e kind)
{
    switch (response->status) {
    case 400:
    case 422:
        return CS_CLASS_DATA;
    case 404:
    case 410:
        return kind == CS_PC_POST ? CS_CLASS_REFUSED : CS_CLASS_GONE;
    default:
        return kind == CS_PC_POST && general == CS_CLASS_RETRY ? CS_CLASS_UNKNOWN : general;
    }
}

static cs_class_e class_of(const cs_http_response_t *response, cs_class_e general,
                           cs_pc_kind_e kind)
{
    switch (response->status) {
    case 401:
    case 403:
        return CS_CLASS_SUSPEND;
    case 405:
    case 406:
    case 411:
    case 413:
    case 415:
        return CS_CLASS_REFUSED;
    case 423:
        return CS_CLASS_CONFLICT;
    default:
        return kind == CS_PC_READ || kind == CS_PC_HOOK ? general
                                                        : class_of_write(response, general, kind);
    }
}

static const char *problem_of(const cs_http_response_t *response, const pc_error_t *error,
                              apr_pool_t *p)
{
    const char *code = error->code;

    if (response->status == 401) {
        return lacks_mfa(response, error) ? "pc:mfa" : "pc:unauthenticated";
    }
    /* The code goes into a stable word for grouping: only what looks like one. */
    if (code && *code && strlen(code) <= 40 &&
        strspn(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
            strlen(code)) {
        return apr_psprintf(p, "pc:%s", code);
    }
    return apr_psprintf(p, "http:%d", response->status);
}

/* Who refused what, and what to do about it; NULL = what was answered says it all. */
static const char *refused_words(cs_pc_kind_e kind)
{
    switch (kind) {
    case CS_PC_HOOK:
        return "Partner Center does not let our account register webhooks: to register webhooks "
               "the "
               "account needs the role Referrals admin, or, where that is refused, Admin agent, "
               "Sales agent, Helpdesk agent or Billing admin";
    case CS_PC_READ:
        return "Partner Center does not let our account read this: the account needs the role "
               "Referrals admin, and the referral must be this organisation's";
    case CS_PC_POST:
        return "Partner Center does not let our account create referrals: the account needs the "
               "role Referrals admin";
    default:
        return "Partner Center does not let our account change this referral: the account needs "
               "the "
               "role Referrals admin, and the referral must be this organisation's";
    }
}

static const char *plain_of(const cs_http_response_t *response, const char *problem, cs_class_e cls,
                            cs_pc_kind_e kind)
{
    if (!strcmp(problem, "pc:mfa")) {
        return "Partner Center takes only sign-ins with a second factor: the account must sign in "
               "with multi-factor authentication, by `cosellctl login`";
    }
    if (response->status == 401) {
        return "Partner Center does not accept our sign-in, and a fresh token was refused too: "
               "sign "
               "in again with `cosellctl login`";
    }
    if (response->status == 403) {
        return refused_words(kind);
    }
    if (response->status < 400) {
        return "Partner Center sends us elsewhere, which is not followed: correct its address in "
               "CosellPartnerCenter (referrals-url=, webhooks-url=), or the proxy on the way";
    }
    if (cls == CS_CLASS_REFUSED && (response->status == 404 || response->status == 410)) {
        return "Partner Center has no such place: see the address referrals-url= of "
               "CosellPartnerCenter";
    }
    if (cls == CS_CLASS_REFUSED || cls == CS_CLASS_SUSPEND) {
        return "Partner Center does not take such a request, however often it is sent: see whether "
               "a proxy on the way changes requests; if not, report it with this line";
    }
    if (cls == CS_CLASS_DATA) {
        return "Partner Center does not take what was written: correct in the CRM what it names";
    }
    return NULL;
}

/* One line, cut between two characters. */
static const char *tidy(const char *text, apr_pool_t *p)
{
    apr_size_t n = strlen(text), cut = n;
    char *out;

    if (n > SAID_MAX) {
        for (cut = SAID_MAX - 3; cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80; cut--)
            ;
    }
    out = apr_pstrmemdup(p, text, cut);
    for (char *c = out; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = ' ';
        }
    }
    return cut < n ? apr_pstrcat(p, out, "\xe2\x80\xa6", NULL) : out;
}

/* The outer message often says only that the request is bad, and the inner one why. */
static const char *words_of(const pc_error_t *error, apr_pool_t *p)
{
    if (error->message && error->inner && !strstr(error->message, error->inner)) {
        return tidy(apr_pstrcat(p, error->message, " (", error->inner, ")", NULL), p);
    }
    return error->message ? tidy(error->message, p) : error->inner ? tidy(error->inner, p) : NULL;
}

void cs_pc_classify(cs_result_t *res, const cs_http_response_t *response,
                    const cs_http_request_t *request, cs_pc_kind_e kind, const json_t *sent,
                    apr_pool_t *p)
{
    const char *problem, *words;
    apr_time_t retry_at;
    cs_class_e cls;
    pc_error_t error;

    cs_http_classify(res, response, request, p);
    if (response->failure && res->rv == CS_ELEASE) {
        /* Whoever has the lease now sends it. */
        res->cls = CS_CLASS_RETRY;
    }
    if (response->failure || response->outcome != CS_HTTP_ANSWERED || res->cls == CS_CLASS_OK) {
        return;
    }
    read_error(&error, response, sent, p);
    words = words_of(&error, p);
    cls = class_of(response, res->cls, kind);
    problem = cls == CS_CLASS_THROTTLED ? "throttled" : problem_of(response, &error, p);
    retry_at = res->retry_at;
    cs_result_set(res, p, CS_EREMOTE, cls, problem, "%s",
                  cs_http_plainly(plain_of(response, problem, cls, kind),
                                  cs_http_describe(response, request, words, p), p));
    res->retry_at = retry_at;
    res->correlation = response->correlation;
    if (kind != CS_PC_READ && kind != CS_PC_HOOK) {
        res->said = words;
        res->blames = cls == CS_CLASS_DATA ? error.blames : NULL;
    }
}
