#include "errors.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"

#define GUID_LEN 36

typedef struct rule_t {
    apr_uint32_t code;
    cs_class_e cls;
    const char *problem; /* NULL = "dataverse:<code>" */
    const char *plain;   /* who refused what, and what to do; NULL = by the class */
} rule_t;

#define PRIVILEGE                                                                                  \
    "the CRM does not let our application user do this: give its security role the privilege "     \
    "that "                                                                                        \
    "the CRM's words name"
#define DUPLICATE                                                                                  \
    "the CRM already has such a row, by a key or a duplicate detection rule: merge the two "       \
    "there, or "                                                                                   \
    "name the right one with `cosellctl deals link`"
#define COLUMN_SECURITY                                                                            \
    "column security keeps our application user out: give it a column security profile that may "  \
    "read and write the column"
#define PLUG_IN                                                                                    \
    "a plug-in or a workflow of this organisation said no: correct what it names, or let it pass " \
    "our application user"

/* The code decides over the status: the same code has been seen under several. */
static const rule_t rules[] = {
    {0x80072560, CS_CLASS_SUSPEND, NULL,
     "the CRM does not know our application: the application needs an application user with a "
     "security role in this environment"},
    {0x80072321, CS_CLASS_THROTTLED, NULL, NULL},
    {0x80072322, CS_CLASS_THROTTLED, NULL, NULL},
    {0x80072326, CS_CLASS_THROTTLED, NULL, NULL},
    {0x80060882, CS_CLASS_CONFLICT, NULL, NULL},
    {0x80040237, CS_CLASS_DUPLICATE, NULL, DUPLICATE},
    {0x80060892, CS_CLASS_DUPLICATE, NULL, DUPLICATE},
    {0x80040333, CS_CLASS_DUPLICATE, NULL, DUPLICATE},
    {0x80044331, CS_CLASS_DATA, NULL, NULL}, /* text too long */
    {0x80044330, CS_CLASS_DATA, NULL, NULL}, /* number too large */
    {0x8004432F, CS_CLASS_DATA, NULL, NULL}, /* number too small */
    {0x8004431A, CS_CLASS_DATA, NULL, NULL}, /* no such choice */
    {0x80040203, CS_CLASS_DATA, NULL, NULL}, /* invalid argument */
    {0x80048408, CS_CLASS_DATA, NULL, NULL}, /* status not of this state */
    {0x8004F01F, CS_CLASS_DATA, NULL, NULL},
    {0x80044410, CS_CLASS_DATA, NULL, NULL},
    {0x8004700C, CS_CLASS_DATA, NULL, NULL},
    {0x80041D33, CS_CLASS_DATA, NULL, NULL},
    {0x80041D67, CS_CLASS_DATA, NULL, NULL},
    {0x80040800, CS_CLASS_DATA, NULL, NULL},
    {0x8004F502, CS_CLASS_DATA, NULL, COLUMN_SECURITY}, /* column security: may not create, */
    {0x8004F504, CS_CLASS_DATA, NULL, COLUMN_SECURITY}, /* read, */
    {0x8004F507, CS_CLASS_DATA, NULL, COLUMN_SECURITY}, /* update this column */
    {0x80048d19, CS_CLASS_SUSPEND, "config:column",
     "the mapping names a column that the CRM does not have or does not show us: check the "
     "mapping's "
     "columns against this environment, with `cosellctl doctor`"},
    {0x80060888, CS_CLASS_SUSPEND, "config:column",
     "the mapping names a column that the CRM does not have or does not show us: check the "
     "mapping's "
     "columns against this environment, with `cosellctl doctor`"},
    {0x80060890, CS_CLASS_SUSPEND, "config:key",
     "the CRM has no alternate key that the mapping uses: make it (Power Apps > Tables > Keys) and "
     "wait until it is active"},
    {0x8006088a, CS_CLASS_SUSPEND, "config:table",
     "the mapping names a table that the CRM does not have or does not show us: check the "
     "mapping's "
     "tables against this environment, with `cosellctl doctor`"},
    /* A plug-in of this organisation said no: to one of the values, as likely as not. */
    {0x80040265, CS_CLASS_DATA, NULL, PLUG_IN},
    {0x80040217, CS_CLASS_GONE, NULL, NULL},
    {0x80060891, CS_CLASS_GONE, NULL, NULL},
    {0x80044150, CS_CLASS_RETRY, NULL, NULL}, /* SQL error: deadlock */
    {0x80044151, CS_CLASS_RETRY, NULL, NULL}, /* SQL timeout */
};

static const rule_t bad_value = {0x80048d19, CS_CLASS_DATA, NULL, NULL};

static const rule_t *rule_of(apr_uint32_t code)
{
    apr_size_t i;

    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].code == code) {
            return &rules[i];
        }
    }
    return NULL;
}

apr_uint32_t cs_dyn_code(const char *text)
{
    apr_int64_t value;
    char *end = NULL;
    int hex;

    while (text && apr_isspace(*text)) {
        text++;
    }
    if (!text || !*text || strlen(text) > 16) {
        return 0;
    }
    hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    value = apr_strtoi64(text, &end, hex ? 16 : 10);
    if (!end || *end || value > (apr_int64_t)0xffffffff || value < -(apr_int64_t)0x80000000) {
        return 0;
    }
    return (apr_uint32_t)value;
}

/* The message and the code; returns 1 when the body is an error document of this API, 0 for a
 * gateway's page, an empty body and everything else. */
static int read_error(const cs_http_response_t *response, apr_uint32_t *pcode,
                      const char **pmessage, apr_pool_t *p)
{
    cs_result_t unread = {0};
    const json_t *error, *code;
    json_t *json = NULL;
    int found;

    *pcode = 0;
    *pmessage = NULL;
    if (!response->body_len ||
        cs_json_parse(&json, response->body, response->body_len, NULL, p, &unread) != APR_SUCCESS) {
        return 0;
    }
    error = cs_json_get_nocase(json, "error");
    found = json_is_object(error);
    code = cs_json_get(error, "code");
    *pcode = json_is_integer(code) ? (apr_uint32_t)json_integer_value(code)
                                   : cs_dyn_code(json_string_value(code));
    *pmessage = apr_pstrdup(p, cs_json_str(error, "message"));
    json_decref(json);
    return found;
}

/* "account With Id = <guid> Does Not Exist" can mean the target of a look-up that we wrote: then it
 * is not our row that is gone. */
static int names_other_row(const char *message, const char *id)
{
    const char *at = message;
    apr_size_t len = message ? strlen(message) : 0;
    int other = 0;

    for (; len >= GUID_LEN; at++, len--) {
        if (cs_uuid_valid(at, GUID_LEN)) {
            if (id && !strncasecmp(at, id, GUID_LEN)) {
                return 0;
            }
            other = 1;
        }
    }
    return other;
}

/* ---- which column ---- */

#define BLAMED_MAX 128

/* Where messages put the name of a column: between `before` and `after`. The more precise first: an
 * entity or a value may be quoted as well. */
static const struct {
    const char *before, *after;
} blame_forms[] = {
    {"The length of the '", "' attribute"},
    {"' of '", "' on record of type"},
    {" of '", "' on record of type"},
    {"undeclared property '", "'"},
    {"property named '", "'"},
    {"The property '", "'"},
    {"property '", "'"},
    {"ttribute '", "'"},
    {"olumn '", "'"},
    {"ield '", "'"},
    {" '", "' attribute"},
    {" '", "' column"},
    {" '", "' field"},
    {"ttribute: ", ""},
    {"for attribute ", ""},
};

static apr_size_t word_len(const char *text)
{
    apr_size_t n = 0;

    while (n <= BLAMED_MAX && (apr_isalnum(text[n]) || text[n] == '_')) {
        n++;
    }
    return n <= BLAMED_MAX ? n : 0;
}

const char *cs_dyn_blamed(const char *message, apr_pool_t *p)
{
    const char *at, *word;
    apr_size_t i, n;

    for (i = 0; message && i < sizeof(blame_forms) / sizeof(blame_forms[0]); i++) {
        const char *before = blame_forms[i].before, *after = blame_forms[i].after;

        for (at = message; (at = strstr(at, before)) != NULL; at++) {
            word = at + strlen(before);
            n = word_len(word);
            /* "new_partner@odata.bind" is told by the look-up. */
            if (n && (!strncmp(word + n, after, strlen(after)) ||
                      (*after == '\'' && !after[1] && word[n] == '@'))) {
                return apr_pstrmemdup(p, word, n);
            }
        }
    }
    return NULL;
}

/* A value that cannot be read as its column's type comes under the code of an unknown column. */
static int is_bad_value(apr_uint32_t code, const char *message)
{
    return code == 0x80048d19 && message &&
           (strstr(message, "annot convert") || strstr(message, "node was found when reading")) &&
           !strstr(message, "ndeclared property") && !strstr(message, "does not exist on type");
}

static cs_class_e gone_or(const cs_http_response_t *response, int documented, const char *message,
                          cs_dyn_kind_e kind, const char *id)
{
    if (!documented && response->status != 410) {
        /* A gateway answers 404 too; believing it would bury a living record. */
        return CS_CLASS_RETRY;
    }
    if (kind != CS_DYN_READ && (kind == CS_DYN_CREATE || names_other_row(message, id))) {
        return CS_CLASS_DATA;
    }
    return CS_CLASS_GONE;
}

static cs_class_e class_of_status(const cs_http_response_t *response, cs_class_e general,
                                  cs_dyn_kind_e kind)
{
    switch (response->status) {
    case 401:
        return CS_CLASS_SUSPEND;
    case 403:
        return CS_CLASS_REFUSED;
    case 412:
        return kind == CS_DYN_CREATE ? CS_CLASS_DUPLICATE : CS_CLASS_CONFLICT;
    default:
        return general;
    }
}

static cs_class_e decide(const cs_http_response_t *response, const rule_t *rule, cs_class_e general,
                         int documented, const char *message, cs_dyn_kind_e kind, const char *id)
{
    cs_class_e cls = class_of_status(response, general, kind);

    if (rule && response->status != 401 && response->status != 429) {
        cls = rule->cls;
    }
    return cls == CS_CLASS_GONE ? gone_or(response, documented, message, kind, id) : cls;
}

static const char *problem_of(const cs_http_response_t *response, const rule_t *rule,
                              apr_uint32_t code, apr_pool_t *p)
{
    if (rule && rule->problem) {
        return rule->problem;
    }
    if (!rule && code && response->status == 500) {
        /* The engine counts these: the same one again and again is a refusal. (design 6) A page
         * without a code is a gateway's and only a reason to wait. */
        return apr_psprintf(p, "internal:0x%08x", code);
    }
    return code ? apr_psprintf(p, "dataverse:0x%08x", code)
                : apr_psprintf(p, "http:%d", response->status);
}

/* Who refused what, and what to do about it; NULL = what was answered says it all. */
static const char *plain_of(const cs_http_response_t *response, const rule_t *rule, cs_class_e cls,
                            const char *problem)
{
    if (response->status == 401) {
        return "the CRM does not accept our sign-in, and a fresh token was refused too: see "
               "whether "
               "the application user is still there and enabled";
    }
    if (response->status < 400) {
        return "the CRM sends us elsewhere, which is not followed: correct its address in "
               "CosellCrm, "
               "or the proxy on the way";
    }
    if (rule && rule->plain) {
        return rule->plain;
    }
    if (!strncmp(problem, "internal:", 9)) {
        return "the CRM fails inside: when it lasts, its administrator finds more in the plug-in "
               "trace log, by the ids of the request";
    }
    switch (cls) {
    case CS_CLASS_REFUSED:
        return response->status == 403
                   ? PRIVILEGE
                   : "the CRM does not take such a request, however often it is "
                     "sent: correct what it names, or report it with this line";
    case CS_CLASS_DUPLICATE:
        return DUPLICATE;
    case CS_CLASS_SUSPEND:
        return "the CRM turns us away: see what it names, with `cosellctl doctor`";
    case CS_CLASS_DATA:
        return "the CRM does not take what was written: correct what it names, at Partner Center "
               "or "
               "in the CRM's rules";
    default:
        return NULL;
    }
}

void cs_dyn_classify(cs_result_t *res, const cs_http_response_t *response,
                     const cs_http_request_t *request, cs_dyn_kind_e kind, const char *id,
                     apr_pool_t *p)
{
    const char *message, *problem;
    const rule_t *rule;
    apr_uint32_t code;
    apr_time_t retry_at;
    cs_class_e cls;
    int documented;

    cs_http_classify(res, response, request, p);
    if (response->failure || response->outcome != CS_HTTP_ANSWERED || res->cls == CS_CLASS_OK) {
        return;
    }
    documented = read_error(response, &code, &message, p);
    rule = code ? rule_of(code) : NULL;
    if (kind != CS_DYN_READ && is_bad_value(code, message)) {
        rule = &bad_value;
    }
    cls = decide(response, rule, res->cls, documented, message, kind, id);
    problem = problem_of(response, rule, code, p);
    retry_at = res->retry_at;
    cs_result_set(res, p, CS_EREMOTE, cls, problem, "%s",
                  cs_http_plainly(plain_of(response, rule, cls, problem),
                                  cs_http_describe(response, request, message, p), p));
    res->retry_at = retry_at;
    res->correlation = response->correlation;
    res->said = message && *message ? message : NULL;
    if (kind != CS_DYN_READ && response->status < 500 && response->status != 401 && code) {
        res->blames = cs_dyn_blamed(message, p);
    }
}
