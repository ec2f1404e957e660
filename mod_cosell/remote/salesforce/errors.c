#include "errors.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/time.h"

#define PAUSE_BASE apr_time_from_sec(4)
#define PAUSE_CAP apr_time_from_sec(20)
#define PAUSE_FLOOR apr_time_from_sec(2)
#define BLAMED_MAX 128
#define MATCHES_MAX 3

const char *const cs_sf_hopeless[] = {
    "This session is not valid for use with the REST API",
    "Connected app is not attached to Agent",
    NULL,
};

typedef struct rule_t {
    const char *code;
    cs_class_e read, write; /* of a request that reads, of one that writes */
    const char *problem;    /* NULL = "salesforce:<code>" */
    const char *plain;      /* who refused what, and what to do; NULL = by the class */
} rule_t;

#define BOTH(cls) cls, cls
#define MAPPING                                                                                    \
    "the mapping names a field that Salesforce does not have or does not show us: check the "      \
    "mapping's columns against this organisation and the user's rights, with `cosellctl doctor`"
#define ACCESS                                                                                     \
    "Salesforce does not let the integration user do this: share the record with it, or give it "  \
    "a "                                                                                           \
    "permission set that may read and edit the object and its fields"
#define DUPLICATE                                                                                  \
    "Salesforce already has such a record, by a unique field or a duplicate rule: merge the two "  \
    "there, or name the right one with `cosellctl deals link`"
#define AUTOMATION                                                                                 \
    "a flow or Apex code of this organisation said no: correct what it names, or let it pass the " \
    "integration user"
#define RULE                                                                                       \
    "a validation rule of this organisation said no: correct what it names, or let it pass the "   \
    "integration user"
#define FIELD                                                                                      \
    "Salesforce does not let the integration user write this field: give it a permission set "     \
    "that "                                                                                        \
    "may edit the field"
#define SIGN_IN                                                                                    \
    "Salesforce does not accept our sign-in, and a fresh session was refused too, or none can "    \
    "help: "                                                                                       \
    "see whether the integration user is active and the app allowed for it"
#define LOCKED                                                                                     \
    "the record is locked in Salesforce: when it lasts, see which approval or workflow holds it"

/* The code decides over the status: the same code has been seen under several. */
static const rule_t rules[] = {
    {"INVALID_SESSION_ID", BOTH(CS_CLASS_SUSPEND), NULL, SIGN_IN},
    {"INVALID_AUTH_HEADER", BOTH(CS_CLASS_SUSPEND), NULL, SIGN_IN},
    {"SERVER_UNAVAILABLE", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"UNABLE_TO_LOCK_ROW", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"QUERY_TIMEOUT", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"REQUEST_RUNNING_TOO_LONG", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"FUNCTIONALITY_TEMPORARILY_UNAVAILABLE", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"ORG_IN_MAINTENANCE", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"TOO_MANY_APEX_REQUESTS", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"TXN_SECURITY_METERING_ERROR", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"INVALID_QUERY_LOCATOR", BOTH(CS_CLASS_RETRY), NULL, NULL},
    /* Innocent neighbours of something that failed. */
    {"ALL_OR_NONE_OPERATION_ROLLED_BACK", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"PROCESSING_HALTED", BOTH(CS_CLASS_RETRY), NULL, NULL},
    /* Over when somebody approves, or frees space. */
    {"ENTITY_IS_LOCKED", BOTH(CS_CLASS_RETRY), NULL, LOCKED},
    {"RECORD_IN_USE_BY_WORKFLOW", BOTH(CS_CLASS_RETRY), NULL, LOCKED},
    {"STORAGE_LIMIT_EXCEEDED", BOTH(CS_CLASS_RETRY), NULL,
     "Salesforce has no storage left: free some, or buy more"},
    {"LIMIT_EXCEEDED", BOTH(CS_CLASS_RETRY), NULL, NULL},
    {"DUPLICATE_VALUE", CS_CLASS_REFUSED, CS_CLASS_DUPLICATE, NULL, DUPLICATE},
    {"DUPLICATE_EXTERNAL_ID", CS_CLASS_DUPLICATE, CS_CLASS_DUPLICATE, NULL, DUPLICATE},
    {"DUPLICATES_DETECTED", CS_CLASS_REFUSED, CS_CLASS_DUPLICATE, NULL, DUPLICATE},
    {"ENTITY_IS_DELETED", BOTH(CS_CLASS_GONE), NULL, NULL},
    {"NOT_FOUND", BOTH(CS_CLASS_GONE), NULL, NULL},
    {"INVALID_CROSS_REFERENCE_KEY", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"MALFORMED_ID", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"INVALID_ID_FIELD", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    /* The lead became an opportunity since it was read. */
    {"CANNOT_UPDATE_CONVERTED_LEAD", CS_CLASS_REFUSED, CS_CLASS_CONFLICT, NULL, NULL},
    {"REQUIRED_FIELD_MISSING", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL,
     "Salesforce wants a field that is not written: give it a value in the mapping, or make it "
     "optional there"},
    {"FIELD_CUSTOM_VALIDATION_EXCEPTION", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, RULE},
    {"FIELD_FILTER_VALIDATION_EXCEPTION", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, RULE},
    {"FIELD_INTEGRITY_EXCEPTION", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"STRING_TOO_LONG", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"NUMBER_OUTSIDE_VALID_RANGE", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"INVALID_EMAIL_ADDRESS", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"INVALID_CURRENCY_ISO", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"INVALID_TYPE_ON_FIELD_IN_RECORD", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    {"JSON_PARSER_ERROR", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, NULL},
    /* Apex and flows of this organisation said no: to one of the values, as likely as not. */
    {"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, AUTOMATION},
    {"CANNOT_EXECUTE_FLOW_TRIGGER", CS_CLASS_REFUSED, CS_CLASS_DATA, NULL, AUTOMATION},
    /* The user may not write this column: the line is refused, the deal goes on. */
    {"INVALID_FIELD_FOR_INSERT_UPDATE", CS_CLASS_SUSPEND, CS_CLASS_DATA, NULL, FIELD},
    {"FIELD_NOT_UPDATABLE", CS_CLASS_SUSPEND, CS_CLASS_DATA, NULL, FIELD},
    {"INVALID_FIELD", BOTH(CS_CLASS_SUSPEND), "config:column", MAPPING},
    {"MALFORMED_QUERY", BOTH(CS_CLASS_SUSPEND), "config:column", MAPPING},
    {"INVALID_TYPE", BOTH(CS_CLASS_SUSPEND), "config:table",
     "the mapping names an object that Salesforce does not have or does not show us: check the "
     "mapping's tables against this organisation and the user's rights, with `cosellctl doctor`"},
    {"INSUFFICIENT_ACCESS", BOTH(CS_CLASS_REFUSED), NULL, ACCESS},
    {"INSUFFICIENT_ACCESS_OR_READONLY", BOTH(CS_CLASS_REFUSED), NULL, ACCESS},
    {"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", BOTH(CS_CLASS_REFUSED), NULL, ACCESS},
    {"TRANSFER_REQUIRES_READ", BOTH(CS_CLASS_REFUSED), NULL, ACCESS},
    {"API_DISABLED_FOR_ORG", BOTH(CS_CLASS_SUSPEND), NULL,
     "Salesforce does not let the integration user use the API: the user needs the permission "
     "\"API "
     "Enabled\", the organisation an edition with the API"},
    {"API_CURRENTLY_DISABLED", BOTH(CS_CLASS_SUSPEND), NULL,
     "the API of this organisation is switched off: its administrator, or Salesforce, switches it "
     "on"},
    {"CLIENT_NOT_ACCESSIBLE_FOR_USER", BOTH(CS_CLASS_SUSPEND), NULL,
     "Salesforce does not let the integration user use our app: the connected app must be allowed "
     "for "
     "the user"},
    {"UNSUPPORTED_API_VERSION", BOTH(CS_CLASS_SUSPEND), "config:version",
     "Salesforce has retired this version of its API: install a newer version of mod_cosell"},
    {"EXCEEDED_ID_LIMIT", BOTH(CS_CLASS_REFUSED), NULL, NULL},
    {"INVALID_REPLICATION_DATE", BOTH(CS_CLASS_REFUSED), NULL, NULL},
};

static const rule_t *rule_of(const char *code)
{
    apr_size_t i;

    for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (!strcmp(rules[i].code, code)) {
            return &rules[i];
        }
    }
    return NULL;
}

/* ---- the body ---- */

const char *cs_sf_error_code(const json_t *error)
{
    const char *code = cs_json_str(error, "errorCode");

    code = code ? code : cs_json_str(error, "statusCode");
    return code ? code : "";
}

/* Arrays are usual; an object of its own and {"errors": [...]} have been seen. */
const json_t *cs_sf_error(const json_t *body)
{
    const json_t *errors = cs_json_get(body, "errors");
    const json_t *error = json_is_array(body)     ? json_array_get(body, 0)
                          : json_is_array(errors) ? json_array_get(errors, 0)
                                                  : body;

    return *cs_sf_error_code(error) ? error : NULL;
}

static int is_word(const char *text)
{
    apr_size_t n;

    for (n = 0; n < BLAMED_MAX && text[n]; n++) {
        if (!apr_isalnum(text[n]) && text[n] != '_') {
            return 0;
        }
    }
    return n > 0 && !text[n];
}

/* The word between `before` and `after`. */
static const char *word_in(const char *message, const char *before, const char *after,
                           apr_pool_t *p)
{
    const char *at = message ? strstr(message, before) : NULL, *end, *word;

    if (!at) {
        return NULL;
    }
    at += strlen(before);
    end = strstr(at, after);
    if (!end || end - at > BLAMED_MAX) {
        return NULL;
    }
    word = apr_pstrmemdup(p, at, (apr_size_t)(end - at));
    return is_word(word) ? word : NULL;
}

/* The first column that is named, else the one that the words name. */
static const char *blamed(const json_t *error, const char *message, apr_pool_t *p)
{
    const json_t *fields = cs_json_get(error, "fields");
    const char *name = json_string_value(json_array_get(fields, 0));

    if (name && is_word(name)) {
        return apr_pstrdup(p, name);
    }
    name = word_in(message, "No such column '", "'", p);
    return name ? name : word_in(message, "duplicate value found: ", " duplicates value", p);
}

/* ---- duplicates ---- */

/* The word is misspelt where it is sent. */
static const json_t *matches_of(const json_t *error)
{
    const json_t *result = cs_json_get(error, "duplicateResut");

    result = result ? result : cs_json_get(error, "duplicateResult");
    return cs_json_get(json_array_get(cs_json_get(result, "matchResults"), 0), "matchRecords");
}

/* "; it found 00Q..., 00Q..." */
static const char *matched_rows(const json_t *error, apr_pool_t *p)
{
    const json_t *matches = matches_of(error);
    const char *text = "", *id;
    size_t i;

    for (i = 0; i < json_array_size(matches) && i < MATCHES_MAX; i++) {
        id = cs_json_str(cs_json_get(json_array_get(matches, i), "record"), "Id");
        if (id && is_word(id)) {
            text = apr_pstrcat(p, text, *text ? ", " : "; its duplicate rules found ", id, NULL);
        }
    }
    return text;
}

/* ---- classes ---- */

static cs_class_e class_of_status(int status, int documented, cs_sf_kind_e kind)
{
    switch (status) {
    case 300:
        return CS_CLASS_DUPLICATE;
    case 400:
        /* Most of the hundreds of codes are about a value. */
        return documented && kind != CS_SF_READ ? CS_CLASS_DATA : CS_CLASS_REFUSED;
    case 401:
        return CS_CLASS_SUSPEND;
    case 404:
        /* A gateway answers 404 too; believing it would bury a living record. */
        return documented ? CS_CLASS_GONE : CS_CLASS_RETRY;
    case 408:
    case 420:
    case 423:
    case 425:
        return CS_CLASS_RETRY;
    case 409:
    case 412:
        return CS_CLASS_CONFLICT;
    case 410:
        return documented ? CS_CLASS_SUSPEND : CS_CLASS_RETRY;
    case 429:
    case 509:
        return CS_CLASS_THROTTLED;
    case 501:
    case 505:
        return CS_CLASS_REFUSED;
    default:
        return status >= 500 ? CS_CLASS_RETRY : status >= 400 ? CS_CLASS_REFUSED : CS_CLASS_SUSPEND;
    }
}

/* Apex and flows pass on what failed in them; what passes by itself is not their last word. */
static int hides_passing(const char *code, const char *message)
{
    static const char *const words[] = {"UNABLE_TO_LOCK_ROW",     "exclusive access",
                                        "QUERY_TIMEOUT",          "LimitException",
                                        "REQUEST_LIMIT_EXCEEDED", "LIMIT_EXCEEDED",
                                        "Too many SOQL queries",  "Apex CPU time limit",
                                        "SERVER_UNAVAILABLE",     NULL};
    int i;

    if (!message || (strcmp(code, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY") &&
                     strcmp(code, "CANNOT_EXECUTE_FLOW_TRIGGER"))) {
        return 0;
    }
    for (i = 0; words[i]; i++) {
        if (strstr(message, words[i])) {
            return i < 2 ? 2 : 1;
        }
    }
    return 0;
}

/* What the rule says of a row can be meant of one that it points to. */
static cs_class_e about_another(cs_class_e cls, cs_sf_kind_e kind, const char *blames)
{
    if (kind == CS_SF_CREATE && cls == CS_CLASS_GONE) {
        return CS_CLASS_DATA;
    }
    if (kind == CS_SF_UPDATE && (cls == CS_CLASS_GONE || cls == CS_CLASS_REFUSED) && blames) {
        return CS_CLASS_DATA;
    }
    if (kind == CS_SF_CREATE && cls == CS_CLASS_REFUSED && blames) {
        return CS_CLASS_DATA;
    }
    /* Its value belongs to another row: that is this column's matter. */
    return kind == CS_SF_UPDATE && cls == CS_CLASS_DUPLICATE ? CS_CLASS_DATA : cls;
}

/* A key that several rows have is answered with where they are. */
static const char *several_rows(const json_t *body, apr_pool_t *p)
{
    const char *text = "several rows have this key", *path, *id;
    size_t i;

    for (i = 0; json_is_array(body) && i < json_array_size(body) && i < MATCHES_MAX; i++) {
        path = json_string_value(json_array_get(body, i));
        id = path ? strrchr(path, '/') : NULL;
        if (id && is_word(id + 1)) {
            text = apr_pstrcat(p, text, i ? ", " : ": ", id + 1, NULL);
        }
    }
    return text;
}

typedef struct reading_t {
    const char *code, *message, *blames, *problem, *plain;
    cs_class_e cls;
    apr_time_t retry_at;
} reading_t;

static void read_limit(reading_t *r)
{
    if (r->message && strcasestr(r->message, "concurrent")) {
        r->cls = CS_CLASS_THROTTLED;
        r->problem = "throttled";
        r->retry_at = cs_time_now() + cs_backoff(0, PAUSE_BASE, PAUSE_CAP, PAUSE_FLOOR);
    }
    else {
        r->cls = CS_CLASS_SUSPEND;
        r->problem = "quota:daily";
        r->plain =
            "Salesforce answers no more for now: the requests of the last 24 hours are used up; "
            "work resumes by itself when there are some again";
    }
}

static void read_rule(reading_t *r, int status, cs_sf_kind_e kind, apr_pool_t *p)
{
    const rule_t *rule = rule_of(r->code);
    int hidden = hides_passing(r->code, r->message);

    r->problem = *r->code ? apr_pstrcat(p, "salesforce:", r->code, NULL)
                          : apr_psprintf(p, "http:%d", status);
    r->cls = rule ? kind == CS_SF_READ ? rule->read : rule->write
                  : class_of_status(status, *r->code != 0, kind);
    if (rule && rule->problem) {
        r->problem = rule->problem;
    }
    if (rule && rule->plain) {
        r->plain = rule->plain;
    }
    if (hidden) {
        r->cls = CS_CLASS_RETRY;
        r->problem = hidden == 2 ? "salesforce:UNABLE_TO_LOCK_ROW" : r->problem;
    }
    else if (!strcmp(r->code, "REQUEST_LIMIT_EXCEEDED")) {
        read_limit(r);
    }
    else if (*r->code && (!strcmp(r->code, "UNKNOWN_EXCEPTION") || (!rule && status == 500))) {
        /* The engine counts these: the same one again and again is a refusal. (design 6) */
        r->cls = CS_CLASS_RETRY;
        r->problem = apr_pstrcat(p, "internal:", r->code, NULL);
    }
    else if (!strcmp(r->code, "INVALID_FIELD") && r->blames) {
        /* Of a write: the user may not see that one, and the others can do without it. */
        r->cls = CS_CLASS_DATA;
    }
    r->cls = about_another(r->cls, kind, r->blames);
}

/* Who refused what, and what to do about it; NULL = what was answered says it all. */
static const char *plain_of(const reading_t *r, int status)
{
    if (status < 400 && status != 300) {
        return "Salesforce sends us elsewhere, which is not followed: correct its address in "
               "CosellCrm "
               "(the organisation's My Domain), or the proxy on the way";
    }
    if (r->plain && r->cls != CS_CLASS_CONFLICT) {
        return r->plain;
    }
    if (!strncmp(r->problem, "internal:", 9)) {
        return "Salesforce fails inside: when it lasts, its administrator finds more in the debug "
               "log "
               "of the integration user";
    }
    switch (r->cls) {
    case CS_CLASS_REFUSED:
        return status == 403 ? ACCESS
                             : "Salesforce does not take such a request, however often it is sent: "
                               "correct what it names, or report it with this line";
    case CS_CLASS_DUPLICATE:
        return DUPLICATE;
    case CS_CLASS_SUSPEND:
        return "Salesforce turns us away: see what it names, with `cosellctl doctor`";
    case CS_CLASS_DATA:
        return "Salesforce does not take what was written: correct what it names, at Partner "
               "Center "
               "or in Salesforce's rules";
    default:
        return NULL;
    }
}

void cs_sf_classify(cs_result_t *res, const cs_http_response_t *response,
                    const cs_http_request_t *request, const json_t *body, cs_sf_kind_e kind,
                    apr_pool_t *p)
{
    const json_t *error = cs_sf_error(body);
    reading_t r = {0};
    apr_time_t retry_at;

    if (!response->failure && response->outcome == CS_HTTP_ANSWERED && response->status == 304) {
        cs_result_clear(res);
        return;
    }
    cs_http_classify(res, response, request, p);
    if (response->failure || response->outcome != CS_HTTP_ANSWERED || res->cls == CS_CLASS_OK) {
        return;
    }
    r.code = is_word(cs_sf_error_code(error)) ? cs_sf_error_code(error) : "";
    r.message = cs_json_str(error, "message");
    if (response->status == 300) {
        r.message = several_rows(body, p);
    }
    r.blames = kind == CS_SF_READ ? NULL : blamed(error, r.message, p);
    if (response->status == 401) {
        r.plain = SIGN_IN;
    }
    read_rule(&r, response->status, kind, p);
    retry_at = r.retry_at ? r.retry_at : res->retry_at;
    cs_result_set(res, p, CS_EREMOTE, r.cls, r.problem, "%s",
                  cs_http_plainly(plain_of(&r, response->status),
                                  apr_pstrcat(p, cs_http_describe(response, request, r.message, p),
                                              matched_rows(error, p), NULL),
                                  p));
    res->retry_at = retry_at;
    res->correlation = response->correlation;
    res->said = r.message && *r.message ? apr_pstrdup(p, r.message) : NULL;
    res->blames = r.blames;
    res->of_row = r.cls == CS_CLASS_RETRY && response->status == 400;
}
