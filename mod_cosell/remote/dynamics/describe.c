/* What the environment says about its tables, as one document. (domain/record.h; crm-apis.md A17)
 */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"

/* A choice of all countries in forty languages is no accident. */
static const cs_json_limits_t metadata_limits = {16 * 1024 * 1024, 400000, 32};

#define CAST "/Attributes/Microsoft.Dynamics.CRM."
#define OPTIONS "?$select=LogicalName&$expand=OptionSet($select=Options)"

/* The questions about a table; the common collection of attributes cannot answer those of a type.
 */
typedef enum {
    ASK_TABLE,
    ASK_COLUMNS,
    ASK_TEXT,
    ASK_MEMO,
    ASK_MONEY,
    ASK_DECIMAL,
    ASK_DOUBLE,
    ASK_TIME,
    ASK_LOOKUP,
    ASK_CHOICE,
    ASK_CHOICES,
    ASK_STATE,
    ASK_STATUS,
    ASK_FLAG,
    ASK_COUNT
} ask_e;

static const char *const questions[ASK_COUNT] = {
    "?$select=LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,DisplayName"
    "&$expand=Keys($select=LogicalName,KeyAttributes,EntityKeyIndexStatus),"
    "ManyToOneRelationships($select=ReferencingAttribute,ReferencedEntity,"
    "ReferencingEntityNavigationPropertyName)",
    "/Attributes?$select=LogicalName,AttributeType,AttributeTypeName,AttributeOf,DisplayName,"
    "SourceType,IsValidForCreate,IsValidForUpdate,IsValidForRead",
    CAST "StringAttributeMetadata?$select=LogicalName,MaxLength",
    CAST "MemoAttributeMetadata?$select=LogicalName,MaxLength",
    CAST "MoneyAttributeMetadata?$select=LogicalName,Precision,PrecisionSource",
    CAST "DecimalAttributeMetadata?$select=LogicalName,Precision",
    CAST "DoubleAttributeMetadata?$select=LogicalName,Precision",
    CAST "DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior,Format",
    CAST "LookupAttributeMetadata?$select=LogicalName,Targets",
    CAST "PicklistAttributeMetadata" OPTIONS ",GlobalOptionSet($select=Options)",
    CAST "MultiSelectPicklistAttributeMetadata" OPTIONS ",GlobalOptionSet($select=Options)",
    CAST "StateAttributeMetadata" OPTIONS,
    CAST "StatusAttributeMetadata" OPTIONS,
    CAST "BooleanAttributeMetadata?$select=LogicalName"
         "&$expand=OptionSet($select=TrueOption,FalseOption)",
};

/* Everything that is asked about one table, and what was answered; NULL = not. */
typedef struct subject_t {
    const char *name;
    json_t *answers[ASK_COUNT];
} subject_t;

typedef struct run_t {
    json_t *organization, *caller;
    apr_int64_t language; /* 0 = not known */
    cs_result_t trouble;  /* passing: nothing is told, for it would be kept */
    int calls;
} run_t;

typedef struct question_t {
    run_t *run;
    json_t **panswer;
} question_t;

/* ---- asking ---- */

static json_t *read_answer(cs_result_t *res, const cs_http_response_t *response,
                           const cs_http_request_t *request, apr_pool_t *p)
{
    cs_result_t why = {0};
    json_t *json = NULL;

    if (cs_json_parse(&json, response->body, response->body_len, &metadata_limits, p, &why) !=
            APR_SUCCESS ||
        !json_is_object(json)) {
        json_decref(json);
        cs_dyn_unreadable(res, response, request, CS_DYN_READ,
                          why.detail ? why.detail : "the answer is not a JSON object", p);
        return NULL;
    }
    return cs_json_own(json, p);
}

/* Says nothing about the table that was asked for. */
static int is_passing(const cs_http_response_t *response, const cs_result_t *res)
{
    return response->failure || res->cls == CS_CLASS_RETRY || res->cls == CS_CLASS_THROTTLED ||
           (res->cls == CS_CLASS_SUSPEND && (response->status == 401 || response->status == 403));
}

/* What is refused stays unknown; what did not work this time is a reason to come again. */
static void take_metadata(const cs_dyn_batch_t *batch, int at)
{
    question_t *q = batch->calls[at].item;
    const cs_http_response_t *response = &batch->responses[at];
    cs_result_t res = {0};

    q->run->calls += response->calls;
    cs_dyn_classify(&res, response, &batch->requests[at], CS_DYN_READ, NULL, batch->p);
    if (res.cls == CS_CLASS_OK) {
        *q->panswer = read_answer(&res, response, &batch->requests[at], batch->p);
    }
    if (res.cls == CS_CLASS_OK) {
        return;
    }
    if (is_passing(response, &res)) {
        q->run->trouble = q->run->trouble.cls == CS_CLASS_OK ? res : q->run->trouble;
    }
    else if (cs_dyn_say_once(batch->crm,
                             apr_pstrcat(batch->p, "describe ", batch->requests[at].label, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL, CSLOGNO(4104) "%s: metadata cannot be read: %s",
               batch->crm->cfg.name, res.detail);
    }
}

static void ask(cs_dyn_batch_t *batch, run_t *run, json_t **panswer, const char *name,
                const char *path)
{
    question_t *q = apr_palloc(batch->p, sizeof(*q));
    cs_dyn_call_t call = {
        .item = q, .take = take_metadata, .result = &run->trouble, .kind = CS_DYN_READ};

    q->run = run;
    q->panswer = panswer;
    cs_dyn_batch_add(batch, "GET", path,
                     apr_psprintf(batch->p, "GET metadata of %s, %d", name, batch->n), &call);
}

static apr_status_t ask_all(cs_crm_t *crm, run_t *run, subject_t *subjects, int n,
                            apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_dyn_batch_t batch;
    apr_status_t rv;
    int i, j;

    cs_dyn_batch_init(&batch, crm, n * ASK_COUNT + 2, p);
    ask(&batch, run, &run->organization, "the organisation", "organizations?$select=languagecode");
    ask(&batch, run, &run->caller, "the caller", "WhoAmI");
    for (i = 0; i < n; i++) {
        for (j = 0; j < ASK_COUNT; j++) {
            ask(&batch, run, &subjects[i].answers[j], subjects[i].name,
                apr_pstrcat(p, "EntityDefinitions(LogicalName='", subjects[i].name, "')",
                            questions[j], NULL));
        }
    }
    rv = cs_dyn_batch_send(&batch, deadline);
    cs_dyn_batch_take(&batch, rv);
    return rv;
}

/* ---- labels ---- */

static const char *label_text(const json_t *localized)
{
    const char *text = cs_json_str(localized, "Label");

    return text && *text ? text : NULL;
}

/* In the organisation's language, else in the caller's, else any. */
static const char *label_of(const run_t *run, const json_t *label)
{
    const json_t *all = cs_json_get(label, "LocalizedLabels");
    const char *text;
    size_t i;

    for (i = 0; run->language && i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);

        if (cs_json_int(one, "LanguageCode", 0) == run->language && label_text(one)) {
            return label_text(one);
        }
    }
    text = label_text(cs_json_get(label, "UserLocalizedLabel"));
    for (i = 0; !text && i < json_array_size(all); i++) {
        text = label_text(json_array_get(all, i));
    }
    return text;
}

static void set_label(const run_t *run, json_t *out, const json_t *label)
{
    const char *text = label_of(run, label);

    if (text) {
        json_object_set_new(out, "label", json_string(text));
    }
}

static void add_once(json_t *list, const char *text)
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        if (!strcmp(json_string_value(json_array_get(list, i)), text)) {
            return;
        }
    }
    json_array_append_new(list, json_string(text));
}

/* All of them, without repetitions, the one to be shown first. */
static json_t *labels_of(const run_t *run, const json_t *label)
{
    const json_t *all = cs_json_get(label, "LocalizedLabels");
    const char *text = label_of(run, label);
    json_t *out = json_array();
    size_t i;

    if (text) {
        add_once(out, text);
    }
    for (i = 0; i < json_array_size(all); i++) {
        text = label_text(json_array_get(all, i));
        if (text) {
            add_once(out, text);
        }
    }
    text = label_text(cs_json_get(label, "UserLocalizedLabel"));
    if (text) {
        add_once(out, text);
    }
    return out;
}

/* Without the organisation's word the language of the labels that it shows us. */
static apr_int64_t language_of(const run_t *run, const subject_t *subjects, int n)
{
    const json_t *row = json_array_get(cs_json_get(run->organization, "value"), 0);
    apr_int64_t language = cs_json_int(row, "languagecode", 0);
    int i;

    for (i = 0; !language && i < n; i++) {
        language =
            cs_json_int(cs_json_get(cs_json_get(subjects[i].answers[ASK_TABLE], "DisplayName"),
                                    "UserLocalizedLabel"),
                        "LanguageCode", 0);
    }
    return language;
}

/* ---- columns ---- */

static const char *type_of(const json_t *column)
{
    static const struct {
        const char *wire, *type;
    } types[] = {
        {"String", "text"},       {"Memo", "memo"},           {"Integer", "integer"},
        {"BigInt", "integer"},    {"Decimal", "decimal"},     {"Double", "decimal"},
        {"Money", "money"},       {"Picklist", "choice"},     {"State", "choice"},
        {"Status", "choice"},     {"Boolean", "flag"},        {"DateTime", "instant"},
        {"Lookup", "look-up"},    {"Customer", "look-up"},    {"Owner", "look-up"},
        {"PartyList", "look-up"}, {"Uniqueidentifier", "id"},
    };
    const char *wire = cs_json_str(column, "AttributeType");
    const char *name = cs_json_str(cs_json_get(column, "AttributeTypeName"), "Value");
    size_t i;

    if (name && !strcmp(name, "MultiSelectPicklistType")) {
        return "choices";
    }
    for (i = 0; wire && i < sizeof(types) / sizeof(types[0]); i++) {
        if (!strcmp(types[i].wire, wire)) {
            return types[i].type;
        }
    }
    return "other";
}

static void set_flag(json_t *out, const char *name, const json_t *value)
{
    json_object_set_new(out, name, json_boolean(!json_is_false(value)));
}

static void add_column(const run_t *run, json_t *columns, const json_t *column)
{
    const char *name = cs_json_str(column, "LogicalName");
    apr_int64_t source = cs_json_int(column, "SourceType", 0);
    json_t *out;

    /* The texts that come along with a look-up or a choice are columns to nobody. */
    if (!name || !cs_dyn_name_valid(name, strlen(name)) || cs_json_str(column, "AttributeOf")) {
        return;
    }
    out = json_object();
    json_object_set_new(columns, name, out);
    set_label(run, out, cs_json_get(column, "DisplayName"));
    json_object_set_new(out, "type", json_string(type_of(column)));
    set_flag(out, "create", cs_json_get(column, "IsValidForCreate"));
    set_flag(out, "update", cs_json_get(column, "IsValidForUpdate"));
    set_flag(out, "read", cs_json_get(column, "IsValidForRead"));
    if (source == 1 || source == 2) {
        json_object_set_new(out, "calculated", json_true());
    }
}

static void set_number(json_t *out, const char *name, const json_t *from, const char *member)
{
    const json_t *value = cs_json_get(from, member);

    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        json_object_set_new(out, name, json_integer(json_integer_value(value)));
    }
}

/* Precision 0 = the column's own; else the organisation's or the currency's, which it does not say.
 */
static void set_precision(json_t *out, const json_t *typed, ask_e kind)
{
    if (kind != ASK_MONEY || cs_json_int(typed, "PrecisionSource", 0) == 0) {
        set_number(out, "precision", typed, "Precision");
    }
}

/* Only a column that behaves as a date travels as one; others are instants that show no time. */
static void set_time(json_t *out, const json_t *typed)
{
    const char *behaviour = cs_json_str(cs_json_get(typed, "DateTimeBehavior"), "Value");
    const char *text = behaviour ? behaviour : cs_json_str(typed, "Format");

    if (text && !strcmp(text, "DateOnly")) {
        json_object_set_new(out, "type", json_string("date"));
    }
}

static void set_targets(json_t *out, const json_t *typed)
{
    const json_t *targets = cs_json_get(typed, "Targets");
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < json_array_size(targets); i++) {
        if (json_is_string(json_array_get(targets, i))) {
            json_array_append(list, json_array_get(targets, i));
        }
    }
    json_object_set_new(out, "targets", list);
}

/* value: what the column holds; takes it over. */
static void add_option(const run_t *run, json_t *options, const json_t *option, json_t *value)
{
    const json_t *label = cs_json_get(option, "Label");
    json_t *out;

    if (!value) {
        return;
    }
    out = json_object();
    json_object_set_new(out, "value", value);
    set_label(run, out, label);
    json_object_set_new(out, "labels", labels_of(run, label));
    if (json_is_integer(cs_json_get(option, "State"))) {
        json_object_set(out, "state", cs_json_get(option, "State"));
    }
    json_array_append_new(options, out);
}

static void set_options(const run_t *run, json_t *out, const json_t *typed)
{
    const json_t *list = cs_json_get(cs_json_get(typed, "OptionSet"), "Options");
    json_t *options = json_array();
    size_t i;

    if (!json_array_size(list) && cs_json_get(typed, "GlobalOptionSet")) {
        list = cs_json_get(cs_json_get(typed, "GlobalOptionSet"), "Options");
    }
    for (i = 0; i < json_array_size(list); i++) {
        const json_t *option = json_array_get(list, i), *value = cs_json_get(option, "Value");

        add_option(run, options, option,
                   json_is_integer(value) ? json_copy((json_t *)value) : NULL);
    }
    json_object_set_new(out, "options", options);
}

static void set_flag_options(const run_t *run, json_t *out, const json_t *typed)
{
    const json_t *set = cs_json_get(typed, "OptionSet");
    json_t *options = json_array();

    if (json_is_object(cs_json_get(set, "FalseOption"))) {
        add_option(run, options, cs_json_get(set, "FalseOption"), json_false());
    }
    if (json_is_object(cs_json_get(set, "TrueOption"))) {
        add_option(run, options, cs_json_get(set, "TrueOption"), json_true());
    }
    json_object_set_new(out, "options", options);
}

static void refine(const run_t *run, json_t *out, const json_t *typed, ask_e kind)
{
    switch (kind) {
    case ASK_TEXT:
    case ASK_MEMO:
        set_number(out, "max", typed, "MaxLength");
        break;
    case ASK_MONEY:
    case ASK_DECIMAL:
    case ASK_DOUBLE:
        set_precision(out, typed, kind);
        break;
    case ASK_TIME:
        set_time(out, typed);
        break;
    case ASK_LOOKUP:
        set_targets(out, typed);
        break;
    case ASK_CHOICES:
        /* Its common type says no more than "virtual". */
        json_object_set_new(out, "type", json_string("choices"));
        set_options(run, out, typed);
        break;
    case ASK_CHOICE:
    case ASK_STATE:
    case ASK_STATUS:
        set_options(run, out, typed);
        break;
    case ASK_FLAG:
        set_flag_options(run, out, typed);
        break;
    default:
        break;
    }
}

static json_t *columns_of(const run_t *run, const subject_t *subject)
{
    const json_t *list = cs_json_get(subject->answers[ASK_COLUMNS], "value"), *typed;
    json_t *columns = json_object(), *out;
    size_t i;
    int kind;

    for (i = 0; i < json_array_size(list); i++) {
        add_column(run, columns, json_array_get(list, i));
    }
    for (kind = ASK_TEXT; kind < ASK_COUNT; kind++) {
        list = cs_json_get(subject->answers[kind], "value");
        for (i = 0; i < json_array_size(list); i++) {
            typed = json_array_get(list, i);
            out = cs_json_get(columns, cs_json_str(typed, "LogicalName")
                                           ? cs_json_str(typed, "LogicalName")
                                           : "");
            if (out) {
                refine(run, out, typed, (ask_e)kind);
            }
        }
    }
    return columns;
}

/* ---- tables ---- */

static json_t *keys_of(const json_t *definition)
{
    const json_t *list = cs_json_get(definition, "Keys"), *names;
    json_t *keys = json_array(), *columns;
    const char *status;
    size_t i, j;

    for (i = 0; i < json_array_size(list); i++) {
        names = cs_json_get(json_array_get(list, i), "KeyAttributes");
        status = cs_json_str(json_array_get(list, i), "EntityKeyIndexStatus");
        columns = json_array();
        for (j = 0; j < json_array_size(names); j++) {
            if (json_is_string(json_array_get(names, j))) {
                json_array_append(columns, json_array_get(names, j));
            }
        }
        json_array_append_new(keys, json_pack("{s:o, s:b}", "columns", columns, "active",
                                              status && !strcmp(status, "Active")));
    }
    return keys;
}

static json_t *table_of(const run_t *run, const subject_t *subject)
{
    const json_t *definition = subject->answers[ASK_TABLE];
    const char *key = cs_json_str(definition, "PrimaryIdAttribute");
    const char *name = cs_json_str(definition, "PrimaryNameAttribute");
    json_t *out;

    if (!key || !json_is_array(cs_json_get(subject->answers[ASK_COLUMNS], "value"))) {
        return NULL;
    }
    out = json_object();
    set_label(run, out, cs_json_get(definition, "DisplayName"));
    json_object_set_new(out, "key", json_string(key));
    if (name && *name) {
        json_object_set_new(out, "name", json_string(name));
    }
    json_object_set_new(out, "keys", keys_of(definition));
    json_object_set_new(out, "columns", columns_of(run, subject));
    return out;
}

static json_t *document_of(cs_crm_t *crm, run_t *run, const subject_t *subjects, int n)
{
    json_t *document = json_object(), *tables = json_object(), *table;
    int i;

    run->language = language_of(run, subjects, n);
    if (run->language) {
        json_object_set_new(document, "language", json_integer(run->language));
    }
    if (cs_json_str(run->caller, "UserId")) {
        json_object_set_new(document, "user", json_string(cs_json_str(run->caller, "UserId")));
    }
    for (i = 0; i < n; i++) {
        table = table_of(run, &subjects[i]);
        if (table) {
            json_object_set_new(tables, subjects[i].name, table);
            /* The same answer saves asking for the names alone. */
            cs_dyn_keep(crm, subjects[i].answers[ASK_TABLE], subjects[i].name);
        }
    }
    json_object_set_new(document, "tables", tables);
    return document;
}

apr_status_t cs_dyn_describe(cs_crm_t *crm, const apr_array_header_t *tables, json_t **pmetadata,
                             int *pcalls, apr_interval_time_t deadline, apr_pool_t *p,
                             cs_result_t *res)
{
    subject_t *subjects =
        apr_pcalloc(p, sizeof(*subjects) * (apr_size_t)(tables ? tables->nelts + 1 : 1));
    run_t run = {0};
    apr_pool_t *ptemp;
    apr_status_t rv;
    int i, n = 0;

    *pmetadata = NULL;
    cs_result_clear(res);
    apr_pool_create(&ptemp, p);
    for (i = 0; tables && i < tables->nelts; i++) {
        const char *name = APR_ARRAY_IDX(tables, i, const char *);

        if (cs_dyn_name_valid(name, strlen(name))) {
            subjects[n++].name = name;
        }
    }
    rv = ask_all(crm, &run, subjects, n, deadline, ptemp);
    if (pcalls) {
        *pcalls = run.calls;
    }
    if (rv == APR_SUCCESS && run.trouble.cls == CS_CLASS_OK) {
        *pmetadata = cs_json_own(document_of(crm, &run, subjects, n), p);
    }
    else {
        cs_result_copy(res, &run.trouble, p);
        rv = res->rv;
    }
    apr_pool_destroy(ptemp);
    return rv;
}
