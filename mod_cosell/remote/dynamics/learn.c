/* What a client learns about its environment and keeps: tables, team templates. (crm-apis.md A17)
 */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/text.h"
#include "../../base/time.h"

/* A mapping may name a table that this environment lacks: it is not asked for with each batch. */
#define REFUSED_PAUSE apr_time_from_sec(60)
#define MOST_SAID 200

typedef struct refusal_t {
    apr_interval_time_t at;
    cs_class_e cls;
    char problem[64], detail[400];
} refusal_t;

int cs_dyn_say_once(cs_crm_t *crm, const char *what)
{
    if (apr_hash_get(crm->said, what, APR_HASH_KEY_STRING) ||
        apr_hash_count(crm->said) >= MOST_SAID) {
        return 0;
    }
    apr_hash_set(crm->said, apr_pstrdup(crm->p, what), APR_HASH_KEY_STRING, crm);
    return 1;
}

/* ---- refusals ---- */

static void remember(cs_crm_t *crm, const char *name, const cs_result_t *why)
{
    refusal_t *refusal = apr_hash_get(crm->refused, name, APR_HASH_KEY_STRING);

    if (why->cls != CS_CLASS_SUSPEND && why->cls != CS_CLASS_REFUSED) {
        return;
    }
    if (!refusal) {
        refusal = apr_pcalloc(crm->p, sizeof(*refusal));
        apr_hash_set(crm->refused, apr_pstrdup(crm->p, name), APR_HASH_KEY_STRING, refusal);
    }
    refusal->at = cs_time_boot();
    refusal->cls = why->cls;
    apr_cpystrn(refusal->problem, why->problem ? why->problem : "", sizeof(refusal->problem));
    apr_cpystrn(refusal->detail, why->detail ? why->detail : "", sizeof(refusal->detail));
}

static void fail(apr_hash_t *failures, const char *name, const cs_result_t *why, apr_pool_t *p)
{
    cs_result_t *copy = apr_palloc(p, sizeof(*copy));

    cs_result_copy(copy, why, p);
    apr_hash_set(failures, apr_pstrdup(p, name), APR_HASH_KEY_STRING, copy);
}

/* 1 when it was refused a moment ago: so it still is. */
static int still_refused(cs_crm_t *crm, const char *name, apr_hash_t *failures, apr_pool_t *p)
{
    const refusal_t *refusal = apr_hash_get(crm->refused, name, APR_HASH_KEY_STRING);
    cs_result_t res;

    if (!refusal || cs_time_boot() - refusal->at > REFUSED_PAUSE) {
        return 0;
    }
    cs_result_set(&res, p, CS_EREMOTE, refusal->cls, apr_pstrdup(p, refusal->problem), "%s",
                  refusal->detail);
    fail(failures, name, &res, p);
    return 1;
}

/* ---- asking ---- */

/* One thing that is learnt: takes its answer apart, or says why it cannot. */
typedef struct lesson_t {
    const char *name;
    apr_hash_t *failures;
    int (*take)(cs_crm_t *crm, const char *name, const json_t *json, const char **pwhy,
                cs_result_t *res, apr_pool_t *p);
    int *pcalls;
    cs_result_t unsent;
} lesson_t;

static void take_lesson(const cs_dyn_batch_t *batch, int at)
{
    lesson_t *lesson = batch->calls[at].item;
    const cs_http_response_t *response = &batch->responses[at];
    const cs_http_request_t *request = &batch->requests[at];
    const char *why = NULL;
    cs_result_t res = {0};
    json_t *json;

    *lesson->pcalls += response->calls;
    cs_dyn_classify(&res, response, request, CS_DYN_READ, NULL, batch->p);
    if (res.cls == CS_CLASS_GONE || (res.cls == CS_CLASS_SUSPEND && response->status == 404)) {
        res.cls = CS_CLASS_SUSPEND;
        res.problem = "config:table";
    }
    if (res.cls == CS_CLASS_OK &&
        (json = cs_dyn_object(&res, response, request, CS_DYN_READ, batch->p)) != NULL) {
        if (lesson->take(batch->crm, lesson->name, json, &why, &res, batch->p)) {
            return;
        }
        if (why) {
            cs_dyn_unreadable(&res, response, request, CS_DYN_READ, why, batch->p);
        }
    }
    remember(batch->crm, lesson->name, &res);
    fail(lesson->failures, lesson->name, &res, batch->p);
}

static apr_status_t send_lessons(cs_dyn_batch_t *batch, apr_interval_time_t deadline)
{
    apr_status_t rv = cs_dyn_batch_send(batch, deadline);
    int i;

    cs_dyn_batch_take(batch, rv);
    for (i = 0; rv != APR_SUCCESS && i < batch->n; i++) {
        lesson_t *lesson = batch->calls[i].item;

        fail(lesson->failures, lesson->name, &lesson->unsent, batch->p);
    }
    return rv;
}

static void add_lesson(cs_dyn_batch_t *batch, const lesson_t *form, const char *path,
                       const char *label)
{
    lesson_t *lesson = apr_pmemdup(batch->p, form, sizeof(*form));
    cs_dyn_call_t call = {
        .item = lesson, .take = take_lesson, .result = &lesson->unsent, .kind = CS_DYN_READ};

    cs_dyn_batch_add(batch, "GET", path, label, &call);
}

/* ---- tables ---- */

const cs_dyn_table_t *cs_dyn_table(void *baton, const char *name)
{
    cs_crm_t *crm = baton;
    const cs_dyn_table_t *table = apr_hash_get(crm->learnt, name, APR_HASH_KEY_STRING);

    return table ? table : cs_dyn_table_std(name);
}

void cs_dyn_want(cs_crm_t *crm, apr_array_header_t *names, const char *name, const char *column)
{
    const cs_dyn_table_t *table = name ? cs_dyn_table(crm, name) : NULL;

    if (!name || (table && (!column || table->whole || cs_dyn_nav(table, column, NULL) ||
                            !strcmp(table->key, column)))) {
        return;
    }
    cs_text_add_once(names, name);
}

const cs_dyn_table_t *cs_dyn_keep(cs_crm_t *crm, const json_t *definition, const char *name)
{
    const cs_dyn_table_t *table = apr_hash_get(crm->learnt, name, APR_HASH_KEY_STRING);

    if (!table && (table = cs_dyn_table_of(definition, name, crm->p)) != NULL) {
        apr_hash_set(crm->learnt, table->name, APR_HASH_KEY_STRING, table);
    }
    return table;
}

static int take_definition(cs_crm_t *crm, const char *name, const json_t *json, const char **pwhy,
                           cs_result_t *res, apr_pool_t *p)
{
    (void)res;
    (void)p;
    if (cs_dyn_keep(crm, json, name)) {
        return 1;
    }
    *pwhy = "the definition names no entity set or key";
    return 0;
}

apr_status_t cs_dyn_learn(cs_crm_t *crm, const apr_array_header_t *names,
                          apr_interval_time_t deadline, int *pcalls, apr_hash_t *failures,
                          apr_pool_t *p)
{
    static const char options[] = "?$select=EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute&$"
                                  "expand=ManyToOneRelationships($select=ReferencingAttribute,"
                                  "ReferencedEntity,ReferencingEntityNavigationPropertyName)";
    lesson_t lesson = {NULL, failures, take_definition, pcalls, {0}};
    cs_dyn_batch_t batch;
    int i;

    *pcalls = 0;
    cs_dyn_batch_init(&batch, crm, names->nelts, p);
    for (i = 0; i < names->nelts; i++) {
        lesson.name = APR_ARRAY_IDX(names, i, const char *);
        if (cs_dyn_name_valid(lesson.name, strlen(lesson.name)) &&
            !still_refused(crm, lesson.name, failures, p)) {
            add_lesson(
                &batch, &lesson,
                apr_pstrcat(p, "EntityDefinitions(LogicalName='", lesson.name, "')", options, NULL),
                apr_pstrcat(p, "GET definition of ", lesson.name, NULL));
        }
    }
    return send_lessons(&batch, deadline);
}

void cs_dyn_unknown(cs_result_t *res, const apr_array_header_t *names, apr_hash_t *failures,
                    apr_pool_t *p)
{
    const char *name = names->nelts ? APR_ARRAY_IDX(names, 0, const char *) : "";
    const cs_result_t *why = apr_hash_get(failures, name, APR_HASH_KEY_STRING);

    if (why) {
        cs_result_copy(res, why, p);
        return;
    }
    cs_result_set(res, p, CS_EPARSE, CS_CLASS_SUSPEND, "config:table",
                  "\"%.128s\" is not a table of this environment", name);
}

/* ---- team templates ---- */

const char *cs_dyn_template(const cs_crm_t *crm, const char *name)
{
    return apr_hash_get(crm->templates, name, APR_HASH_KEY_STRING);
}

static int take_template(cs_crm_t *crm, const char *name, const json_t *json, const char **pwhy,
                         cs_result_t *res, apr_pool_t *p)
{
    const json_t *value = cs_json_get(json, "value");
    const char *id = cs_json_str(json_array_get(value, 0), "teamtemplateid");

    if (!json_is_array(value)) {
        *pwhy = "the answer is not a list of rows";
        return 0;
    }
    if (json_array_size(value) == 1 && id && cs_uuid_valid(id, strlen(id))) {
        apr_hash_set(crm->templates, apr_pstrdup(crm->p, name), APR_HASH_KEY_STRING,
                     apr_pstrdup(crm->p, id));
        return 1;
    }
    /* Not a reason to stop everything: only what wants the team waits. */
    cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, "config:team",
                  json_array_size(value) ? "there are several team templates named \"%.128s\""
                                         : "there is no team template named \"%.128s\"",
                  name);
    return 0;
}

apr_status_t cs_dyn_templates(cs_crm_t *crm, const apr_array_header_t *names,
                              apr_interval_time_t deadline, int *pcalls, apr_hash_t *failures,
                              apr_pool_t *p)
{
    lesson_t lesson = {NULL, failures, take_template, pcalls, {0}};
    cs_dyn_batch_t batch;
    cs_result_t res = {0};
    const char *filter;
    int i;

    *pcalls = 0;
    cs_dyn_batch_init(&batch, crm, names->nelts, p);
    for (i = 0; i < names->nelts; i++) {
        json_t *key;

        lesson.name = APR_ARRAY_IDX(names, i, const char *);
        key = cs_json_own(json_pack("{s:s}", "teamtemplatename", lesson.name), p);
        if (cs_dyn_template(crm, lesson.name) || still_refused(crm, lesson.name, failures, p) ||
            cs_dyn_filter(&filter, key, NULL, cs_dyn_table_std("teamtemplate"), p, &res) !=
                APR_SUCCESS ||
            !filter) {
            continue;
        }
        add_lesson(&batch, &lesson,
                   apr_pstrcat(p, "teamtemplates?$select=teamtemplateid,teamtemplatename&$filter=",
                               cs_http_escape(filter, p), NULL),
                   apr_psprintf(p, "find team template \"%.64s\"", lesson.name));
    }
    return send_lessons(&batch, deadline);
}
