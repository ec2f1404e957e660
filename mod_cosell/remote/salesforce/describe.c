/* What the organisation says about its tables, as one document. (domain/record.h; crm-apis.md B8)
 *
 * A table's own description has everything but what its stages mean, which rows of two tables say.
 * Columns that the caller may not see are not described, as if they did not exist. Labels are in
 * the caller's language; those of stages also in the organisation's. The document names no
 * language: nobody reads it, and it would have to be made of a locale.
 */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/log.h"

/* Descriptions in one answer: some have 25,000 values. */
#define TOGETHER 8
/* Values of one choice that are compared with each other; states and countries are about 800. */
#define MOST_COMPARED 1000

/* A column whose choices imply the state of a row, and the table that says how. */
typedef struct stages_t {
    const char *table, *column, *soql;
} stages_t;

static const stages_t stages[] = {
    {"Opportunity", "StageName",
     "SELECT ApiName,MasterLabel,IsActive,IsClosed,IsWon FROM OpportunityStage ORDER BY SortOrder"},
    {"Lead", "Status",
     "SELECT ApiName,MasterLabel,IsConverted FROM LeadStatus ORDER BY SortOrder"},
};

#define STAGES (sizeof(stages) / sizeof(stages[0]))

/* One table that is asked about. */
typedef struct subject_t {
    const char *name;
    const json_t *answer; /* NULL = it is not there */
    const stages_t *stages; /* NULL = it has none */
    const json_t *rows;   /* of its stages; NULL = not known */
} subject_t;

typedef struct run_t {
    cs_crm_t *crm;
    subject_t *subjects;
    int n;
    cs_result_t trouble; /* passing: nothing is told, for it would be kept */
    int calls;
    apr_pool_t *p;
} run_t;

/* ---- labels ---- */

static int has_text(const json_t *list, const char *text)
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        if (!strcasecmp(json_string_value(json_array_get(list, i)), text)) {
            return 1;
        }
    }
    return 0;
}

static void add_label(json_t *option, const char *text)
{
    json_t *labels = cs_json_get(option, "labels");

    if (text && *text && !has_text(labels, text)) {
        json_array_append_new(labels, json_string(text));
    }
}

static void set_label(json_t *out, const char *text)
{
    if (text && *text) {
        json_object_set_new(out, "label", json_string(text));
    }
}

/* A value is a name of its choice, too: the one that does not move with the language. Unless it is
 * what another choice is called. */
static void name_by_value(json_t *options)
{
    size_t i, j, n = json_array_size(options);

    for (i = 0; i < n && n <= MOST_COMPARED; i++) {
        json_t *option = json_array_get(options, i);
        const char *value = cs_json_str(option, "value");
        int taken = 0;

        for (j = 0; value && j < n && !taken; j++) {
            taken = j != i && has_text(cs_json_get(json_array_get(options, j), "labels"), value);
        }
        if (!taken) {
            add_label(option, value);
        }
    }
}

/* ---- choices ---- */

static json_t *make_option(json_t *value, const char *label)
{
    json_t *option = json_pack("{s:o, s:[]}", "value", value, "labels");

    set_label(option, label);
    add_label(option, label);
    return option;
}

static const json_t *stage_of(const json_t *rows, const char *value)
{
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = cs_json_str(row, "ApiName");

        if (name && !strcmp(name, value)) {
            return row;
        }
    }
    return NULL;
}

/* 0 open, 1 won or converted, 2 lost. */
static int state_of(const json_t *stage)
{
    if (cs_json_bool(stage, "IsConverted", 0) || cs_json_bool(stage, "IsWon", 0)) {
        return 1;
    }
    return cs_json_bool(stage, "IsClosed", 0) ? 2 : 0;
}

/* 0 when the choice is not to be offered. */
static int add_stage(json_t *option, const json_t *rows)
{
    const json_t *stage = stage_of(rows, cs_json_str(option, "value"));

    if (stage && !cs_json_bool(stage, "IsActive", 1)) {
        return 0;
    }
    if (stage) {
        add_label(option, cs_json_str(stage, "MasterLabel"));
        json_object_set_new(option, "state", json_integer(state_of(stage)));
    }
    return 1;
}

/* rows: the stages behind the choices, or NULL. */
static void set_choices(json_t *out, const json_t *field, const json_t *rows)
{
    const json_t *list = cs_json_get(field, "picklistValues");
    json_t *options = json_array();
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *value = cs_json_str(one, "value"), *label = cs_json_str(one, "label");
        json_t *option;

        if (!value || !cs_json_bool(one, "active", 1)) {
            continue;
        }
        option = make_option(json_string(value), label && *label ? label : value);
        if (add_stage(option, rows)) {
            json_array_append(options, option);
        }
        json_decref(option);
    }
    name_by_value(options);
    json_object_set_new(out, "options", options);
}

/* A checkbox has no labels of its own; these are what people call its values. */
static void set_flag(json_t *out)
{
    json_t *options = json_array(), *option;

    option = make_option(json_false(), "False");
    add_label(option, "No");
    json_array_append_new(options, option);
    option = make_option(json_true(), "True");
    add_label(option, "Yes");
    json_array_append_new(options, option);
    json_object_set_new(out, "options", options);
}

/* ---- columns ---- */

static const char *type_of(const json_t *field)
{
    static const struct {
        const char *wire, *type;
    } types[] = {
        {"id", "id"},          {"reference", "look-up"}, {"string", "text"},
        {"email", "text"},     {"phone", "text"},        {"url", "text"},
        {"picklist", "choice"}, {"combobox", "choice"},  {"multipicklist", "choices"},
        {"boolean", "flag"},   {"currency", "money"},    {"double", "decimal"},
        {"percent", "decimal"}, {"int", "integer"},      {"long", "integer"},
        {"date", "date"},      {"datetime", "instant"},
    };
    const char *wire = cs_json_str(field, "type");
    size_t i;

    if (wire && !strcmp(wire, "textarea")) {
        return cs_json_int(field, "length", 0) > 255 ? "memo" : "text";
    }
    for (i = 0; wire && i < sizeof(types) / sizeof(types[0]); i++) {
        if (!strcmp(types[i].wire, wire)) {
            return types[i].type;
        }
    }
    return "other";
}

static void set_right(json_t *out, const char *name, const json_t *field, const char *member)
{
    json_object_set_new(out, name, json_boolean(cs_json_bool(field, member, 0)));
}

static void set_number(json_t *out, const char *name, const json_t *field, const char *member)
{
    apr_int64_t value = cs_json_int(field, member, -1);

    if (value >= 0) {
        json_object_set_new(out, name, json_integer(value));
    }
}

static void set_targets(json_t *out, const json_t *field)
{
    const json_t *list = cs_json_get(field, "referenceTo");
    json_t *targets = json_array();
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        if (json_is_string(json_array_get(list, i))) {
            json_array_append(targets, json_array_get(list, i));
        }
    }
    json_object_set_new(out, "targets", targets);
}

static void refine(json_t *out, const json_t *field, const char *type, const json_t *rows)
{
    if (!strcmp(type, "text") || !strcmp(type, "memo")) {
        if (cs_json_int(field, "length", 0) > 0) {
            set_number(out, "max", field, "length");
        }
    }
    else if (!strcmp(type, "money") || !strcmp(type, "decimal")) {
        set_number(out, "precision", field, "scale");
    }
    else if (!strcmp(type, "look-up")) {
        set_targets(out, field);
    }
    else if (!strcmp(type, "choice") || !strcmp(type, "choices")) {
        set_choices(out, field, rows);
    }
    else if (!strcmp(type, "flag")) {
        set_flag(out);
    }
}

static json_t *column_of(const json_t *field, const json_t *rows)
{
    const char *type = type_of(field);
    json_t *out = json_object();

    set_label(out, cs_json_str(field, "label"));
    json_object_set_new(out, "type", json_string(type));
    set_right(out, "create", field, "createable");
    set_right(out, "update", field, "updateable");
    json_object_set_new(out, "read", json_true());
    if (cs_json_bool(field, "calculated", 0) || cs_json_bool(field, "autoNumber", 0)) {
        json_object_set_new(out, "calculated", json_true());
    }
    refine(out, field, type, rows);
    return out;
}

/* The column that is made up of what a row says about its stage. */
static void add_state(json_t *columns, const subject_t *subject)
{
    if (subject->stages) {
        json_object_set_new(columns, CS_SF_STATE,
                            json_pack("{s:s, s:b, s:b, s:b}", "type", "integer", "create", 0,
                                      "update", 0, "read", 1));
    }
}

/* ---- tables ---- */

/* By these a row can be found in one call. */
static int is_key(const json_t *field)
{
    return cs_json_bool(field, "unique", 0) || cs_json_bool(field, "externalId", 0);
}

/* Those that the caller may give to a row. */
static void set_record_types(json_t *out, const json_t *infos)
{
    json_t *types = json_array();
    size_t i;

    for (i = 0; i < json_array_size(infos); i++) {
        const json_t *info = json_array_get(infos, i);
        const char *name = cs_json_str(info, "developerName");

        if (name && cs_json_bool(info, "active", 1) && cs_json_bool(info, "available", 1)) {
            json_array_append_new(types, json_string(name));
        }
    }
    if (json_array_size(types)) {
        json_object_set(out, "record_types", types);
    }
    json_decref(types);
}

static json_t *table_of(const subject_t *subject)
{
    const json_t *fields = cs_json_get(subject->answer, "fields");
    json_t *out = json_object(), *columns = json_object(), *keys = json_array();
    size_t i;

    set_label(out, cs_json_str(subject->answer, "label"));
    json_object_set_new(out, "key", json_string("Id"));
    for (i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = cs_json_str(field, "name");

        if (!cs_sf_name_valid(name)) {
            continue;
        }
        json_object_set_new(columns, name,
                            column_of(field, subject->stages &&
                                                     !strcmp(name, subject->stages->column)
                                                 ? subject->rows
                                                 : NULL));
        if (cs_json_bool(field, "nameField", 0)) {
            json_object_set_new(out, "name", json_string(name));
        }
        if (is_key(field)) {
            json_array_append_new(keys, json_pack("{s:[s], s:b}", "columns", name, "active", 1));
        }
    }
    add_state(columns, subject);
    set_record_types(out, cs_json_get(subject->answer, "recordTypeInfos"));
    json_object_set_new(out, "keys", keys);
    json_object_set_new(out, "columns", columns);
    return out;
}

static json_t *document_of(const run_t *run)
{
    json_t *document = json_object(), *tables = json_object();
    const char *user = cs_sf_user(run->crm, run->p);
    int i;

    if (user) {
        json_object_set_new(document, "user", json_string(user));
    }
    for (i = 0; i < run->n; i++) {
        if (run->subjects[i].answer) {
            json_object_set_new(tables, run->subjects[i].name, table_of(&run->subjects[i]));
        }
    }
    json_object_set_new(document, "tables", tables);
    return document;
}

/* ---- asking ---- */

/* What is refused stays unknown; what did not work this time is a reason to come again. */
static void judge(run_t *run, const cs_sf_call_t *call)
{
    if (call->result.cls == CS_CLASS_OK) {
        return;
    }
    if (cs_sf_is_passing(call)) {
        run->trouble = run->trouble.cls == CS_CLASS_OK ? call->result : run->trouble;
    }
    else if (cs_sf_say_once(run->crm, apr_pstrcat(run->p, "describe ", call->label, NULL))) {
        cs_log(CS_LOG_INFO, 0, NULL, CSLOGNO(4160) "%s: metadata cannot be read: %s",
               run->crm->cfg.name, call->result.detail ? call->result.detail : call->label);
    }
}

static void take_table(run_t *run, cs_sf_call_t *call)
{
    subject_t *subject = call->item;

    if (call->result.cls == CS_CLASS_OK && !json_is_array(cs_json_get(call->json, "fields"))) {
        cs_sf_unreadable(call, "the answer describes no fields", run->p);
    }
    if (call->result.cls == CS_CLASS_OK) {
        subject->answer = call->json;
    }
    judge(run, call);
}

static void take_stages(run_t *run, cs_sf_call_t *call)
{
    subject_t *subject = call->item;
    const char *next;

    if (call->result.cls == CS_CLASS_OK) {
        subject->rows = cs_sf_rows(call, &next, run->p);
    }
    judge(run, call);
}

static int ask_table(cs_sf_call_t *calls, int n, subject_t *subject, apr_pool_t *p)
{
    calls[n].kind = CS_SF_READ;
    calls[n].method = "GET";
    calls[n].path = apr_pstrcat(p, "sobjects/", subject->name, "/describe", NULL);
    calls[n].label = apr_pstrcat(p, "GET description of ", subject->name, NULL);
    calls[n].item = subject;
    return n + 1;
}

static int ask_stages(cs_sf_call_t *calls, int n, subject_t *subject, apr_pool_t *p)
{
    size_t i;

    for (i = 0; i < STAGES; i++) {
        if (!strcmp(stages[i].table, subject->name)) {
            subject->stages = &stages[i];
        }
    }
    if (!subject->stages ||
        cs_sf_query(&calls[n], subject->stages->soql,
                    apr_pstrcat(p, "GET stages of ", subject->name, NULL), p,
                    &calls[n].result) != APR_SUCCESS) {
        return n;
    }
    calls[n].item = subject;
    return n + 1;
}

/* The stages go with the last of the descriptions. */
static apr_status_t send_all(run_t *run, cs_sf_call_t *calls, int n, int tables,
                             apr_interval_time_t deadline)
{
    apr_status_t rv = APR_SUCCESS;
    int i, end;

    for (i = 0; rv == APR_SUCCESS && i < n; i = end) {
        end = i + TOGETHER < tables ? i + TOGETHER : n;
        rv = cs_sf_send_together(run->crm, calls + i, NULL, end - i, deadline, run->p);
    }
    return rv;
}

static apr_status_t ask_all(run_t *run, apr_interval_time_t deadline)
{
    cs_sf_call_t *calls = apr_pcalloc(run->p, sizeof(*calls) * (size_t)(run->n * 2 + 1));
    apr_status_t rv;
    int i, n = 0, tables;

    for (i = 0; i < run->n; i++) {
        n = ask_table(calls, n, &run->subjects[i], run->p);
    }
    tables = n;
    for (i = 0; i < run->n; i++) {
        n = ask_stages(calls, n, &run->subjects[i], run->p);
    }
    rv = send_all(run, calls, n, tables, deadline);
    for (i = 0; i < n; i++) {
        run->calls += calls[i].calls;
        if (i < tables) {
            take_table(run, &calls[i]);
        }
        else {
            take_stages(run, &calls[i]);
        }
    }
    return rv;
}

apr_status_t cs_sf_describe(cs_crm_t *crm, const apr_array_header_t *tables, json_t **pmetadata,
                            int *pcalls, apr_interval_time_t deadline, apr_pool_t *p,
                            cs_result_t *res)
{
    run_t run = {.crm = crm};
    apr_status_t rv;
    int i;

    *pmetadata = NULL;
    cs_result_clear(res);
    apr_pool_create(&run.p, p);
    run.subjects = apr_pcalloc(run.p, sizeof(*run.subjects) *
                                          (apr_size_t)(tables ? tables->nelts + 1 : 1));
    for (i = 0; tables && i < tables->nelts; i++) {
        const char *name = APR_ARRAY_IDX(tables, i, const char *);

        if (cs_sf_name_valid(name)) {
            run.subjects[run.n++].name = name;
        }
    }
    rv = ask_all(&run, deadline);
    if (pcalls) {
        *pcalls = run.calls;
    }
    if (rv == APR_SUCCESS && run.trouble.cls == CS_CLASS_OK) {
        *pmetadata = cs_json_own(document_of(&run), p);
    }
    else {
        cs_result_copy(res, &run.trouble, p);
        rv = res->rv != APR_SUCCESS ? res->rv : rv;
    }
    apr_pool_destroy(run.p);
    return rv;
}
