/* What has to be right in the environment before anything can be kept the same.
 * (crm-apis.md A1, A5, A12, A17; cosell-connectors.md 1.2) */
#include "client.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"

#define TABLES_MOST 64
#define NAMED 5 /* of many, so many are named */

static const char *const checks[] = {"organization", "api",     "roles", "key",
                                     "duplicates",   "changes", "flows", NULL};

/* What was answered to one question. */
typedef struct answer_t {
    const json_t *json; /* NULL = nothing useful, */
    cs_result_t why;    /* and why */
    int status;
} answer_t;

/* A table that the mapping uses. */
typedef struct subject_t {
    const cs_used_t *used;
    answer_t definition, doubles;
    const char *key; /* status of the key that its referrals are unique by; NULL = there is none */
} subject_t;

typedef struct run_t {
    cs_crm_t *crm;
    cs_crm_examination_t *exam;
    subject_t *subjects;
    int n;
    const char *user, *name;
    answer_t privileges, flows;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} run_t;

/* ---- asking ---- */

static void take(const cs_dyn_batch_t *batch, int at)
{
    answer_t *answer = batch->calls[at].item;
    const cs_http_response_t *response = &batch->responses[at];

    cs_dyn_classify(&answer->why, response, &batch->requests[at], CS_DYN_READ, NULL, batch->p);
    answer->status = response->status;
    if (answer->why.cls == CS_CLASS_OK) {
        answer->json =
            cs_dyn_object(&answer->why, response, &batch->requests[at], CS_DYN_READ, batch->p);
    }
}

static void ask(cs_dyn_batch_t *batch, answer_t *answer, const char *path, const char *label)
{
    cs_dyn_call_t call = {
        .item = answer, .take = take, .result = &answer->why, .kind = CS_DYN_READ};

    cs_dyn_batch_add(batch, "GET", path, label, &call);
}

static void dispatch(run_t *r, cs_dyn_batch_t *batch)
{
    apr_status_t rv = batch->n ? cs_dyn_batch_send(batch, r->deadline) : APR_SUCCESS;
    int i;

    cs_dyn_batch_take(batch, rv);
    for (i = 0; rv == APR_SUCCESS && i < batch->n; i++) {
        r->exam->calls += batch->responses[i].calls;
    }
}

static const char *why(const answer_t *answer)
{
    return answer->why.detail ? answer->why.detail : "there was no useful answer";
}

/* ---- who we are ---- */

static const char *sign_in_fix(const run_t *r, const cs_result_t *res)
{
    const char *what =
        apr_psprintf(r->p, "%s of CosellCrm %s",
                     r->crm->cfg.certificate ? "certificate=" : "client-secret=", r->crm->cfg.name);
    const char *fix = cs_finding_entra_fix(res->problem, what, r->p);

    if (!fix && res->problem && strstr(res->problem, "80072560")) {
        fix = apr_psprintf(r->p,
                           "Power Platform admin centre > Environments > this one > Settings > "
                           "Users + permissions > Application users: add an application user for "
                           "the application %s and give it a security role",
                           r->crm->cfg.client_id);
    }
    if (!fix && res->problem && !strcmp(res->problem, "config:organization")) {
        fix = "compare the address in CosellCrm with the environment's; a copy has an identity of "
              "its own";
    }
    fix = fix ? fix : cs_finding_way_fix(res);
    return fix ? fix
               : apr_psprintf(r->p,
                              "compare tenant=, client-id= and the address of CosellCrm %s with "
                              "the application in the Entra admin centre",
                              r->crm->cfg.name);
}

static void refuse_sign_in(run_t *r, const cs_result_t *res)
{
    cs_finding_add(r->exam->findings, "sign-in", cs_finding_state(res), sign_in_fix(r, res),
                   "cannot sign in to %s: %s", r->crm->cfg.url,
                   res->detail ? res->detail : "no detail");
    cs_findings_skip(r->exam->findings, checks, "the sign-in does not work");
}

static const char *guid_of(const json_t *json, const char *name)
{
    const char *text = cs_json_str(json, name);

    return text && cs_uuid_valid(text, strlen(text)) ? text : NULL;
}

static void find_organization(run_t *r, const char *organization)
{
    const char *wanted = r->exam->organization;

    if (!wanted || !strcasecmp(wanted, organization)) {
        cs_finding_add(r->exam->findings, "organization", CS_FOUND_OK, NULL,
                       "it is the organisation %s%s", organization,
                       wanted ? ", as before" : ", met for the first time");
        return;
    }
    cs_finding_add(r->exam->findings, "organization", CS_FOUND_FAIL,
                   "give the address of the environment that it was; if this really is its "
                   "successor, name it as organization= in CosellCrm and reload httpd",
                   "%s is the organisation %s, ours was %s: nothing is written to a copy",
                   r->crm->cfg.url, organization, wanted);
}

/* 0 when nothing more can be asked. */
static int find_caller(run_t *r)
{
    const char *bearer, *organization;
    cs_result_t res = {0};
    answer_t whoami = {0};
    cs_dyn_batch_t batch;

    if (cs_token_renew(r->crm->token, r->deadline, r->p, &res) != APR_SUCCESS ||
        cs_token_get(r->crm->token, &bearer, r->deadline, r->p, &res) != APR_SUCCESS) {
        refuse_sign_in(r, &res);
        return 0;
    }
    cs_dyn_batch_init(&batch, r->crm, 1, r->p);
    ask(&batch, &whoami, "WhoAmI", "GET WhoAmI");
    dispatch(r, &batch);
    if (whoami.status == 404 || whoami.status == 410) {
        cs_finding_add(r->exam->findings, "sign-in", CS_FOUND_OK, NULL,
                       "the application gets a token");
        cs_finding_add(r->exam->findings, "api", CS_FOUND_FAIL,
                       "give the environment's address in CosellCrm: Power Platform admin centre > "
                       "Environments > this one > Environment URL",
                       "there is no Web API v9.2 at %s: %s", r->crm->cfg.url, why(&whoami));
        cs_findings_skip(r->exam->findings, checks, "the Web API is not there");
        return 0;
    }
    r->user = guid_of(whoami.json, "UserId");
    organization = guid_of(whoami.json, "OrganizationId");
    if (!r->user || !organization) {
        refuse_sign_in(r, &whoami.why);
        return 0;
    }
    find_organization(r, organization);
    return 1;
}

static void find_name(run_t *r, const answer_t *user)
{
    const char *name = cs_json_str(user->json, "fullname");

    r->name = name && *name ? apr_psprintf(r->p, "%.200s", name) : r->user;
    cs_finding_add(r->exam->findings, "sign-in", CS_FOUND_OK, NULL, "signed in to %s as %s",
                   r->crm->cfg.url, r->name);
    cs_finding_add(r->exam->findings, "api", CS_FOUND_OK, NULL, "the Web API v9.2 answers");
}

/* ---- what we may do ---- */

typedef enum { DEPTH_NONE = 0, DEPTH_USER, DEPTH_UNIT, DEPTH_UNITS, DEPTH_ALL } depth_e;

static depth_e depth_of(const run_t *r, const char *privilege)
{
    static const char *const words[] = {"", "Basic", "Local", "Deep", "Global"};
    const json_t *list = cs_json_get(r->privileges.json, "RolePrivileges");
    depth_e best = DEPTH_NONE;
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *id = cs_json_str(one, "PrivilegeId"), *depth = cs_json_str(one, "Depth");
        depth_e is = DEPTH_ALL;

        if (!id || strcasecmp(id, privilege)) {
            continue;
        }
        /* A word, or the number behind it; of what is neither nothing is made. */
        if (!depth) {
            apr_int64_t number = cs_json_int(one, "Depth", -1);

            is = number >= 0 && number < 3 ? (depth_e)(DEPTH_USER + number) : DEPTH_ALL;
        }
        for (; depth && is > DEPTH_USER && strcasecmp(words[is], depth); is--)
            ;
        best = is > best ? is : best;
    }
    return best;
}

static void want(run_t *r, cs_finding_sum_t *sum, const subject_t *s, const char *type,
                 depth_e least)
{
    static const char *const levels[] = {"", "user", "business unit",
                                         "parent: child business units", "organisation"};
    const json_t *list = cs_json_get(s->definition.json, "Privileges");
    const char *fix = "Power Platform admin centre > Environments > this one > Settings > Users + "
                      "permissions > Application users: give the user a security role with these "
                      "privileges";
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *is = cs_json_str(one, "PrivilegeType"), *id = cs_json_str(one, "PrivilegeId"),
                   *name = cs_json_str(one, "Name");
        depth_e depth;

        if (!is || !id || strcasecmp(is, type)) {
            continue;
        }
        depth = depth_of(r, id);
        if (depth == DEPTH_NONE) {
            cs_finding_sum(sum, r->p, CS_FOUND_FAIL, fix, "%.100s (%s) is missing",
                           name ? name : type, s->used->table);
        }
        else if (depth < least) {
            cs_finding_sum(sum, r->p, CS_FOUND_WARN, fix, "%.100s (%s) is of the level %s, not %s",
                           name ? name : type, s->used->table, levels[depth], levels[least]);
        }
        return;
    }
}

static void find_roles(run_t *r)
{
    cs_finding_sum_t sum = {0};
    int i;

    if (!json_is_array(cs_json_get(r->privileges.json, "RolePrivileges"))) {
        cs_finding_add(r->exam->findings, "roles", CS_FOUND_SKIP, NULL,
                       "the privileges of %s cannot be read: %s", r->name, why(&r->privileges));
        return;
    }
    for (i = 0; i < r->n; i++) {
        const subject_t *s = &r->subjects[i];
        const cs_used_t *u = s->used;
        const struct {
            int on;
            const char *type;
            depth_e least;
        } wants[] = {{1, "Read", u->watched ? DEPTH_ALL : DEPTH_USER},
                     {u->create, "Create", DEPTH_USER},
                     {u->write, "Write", DEPTH_UNIT},
                     {u->remove, "Delete", DEPTH_USER},
                     {u->append, "Append", DEPTH_USER},
                     {u->append_to, "AppendTo", DEPTH_USER},
                     {u->assign, "Assign", DEPTH_USER},
                     {u->share, "Share", DEPTH_USER}};
        size_t j;

        for (j = 0; j < sizeof(wants) / sizeof(wants[0]); j++) {
            if (wants[j].on) {
                want(r, &sum, s, wants[j].type, wants[j].least);
            }
        }
    }
    cs_finding_add_sum(r->exam->findings, "roles", &sum,
                       apr_psprintf(r->p, "%s has all privileges that the mapping needs", r->name));
}

/* ---- keys and duplicates ---- */

static const char *key_status(const json_t *definition, const char *column)
{
    const json_t *keys = cs_json_get(definition, "Keys");
    size_t i;

    for (i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i), *names = cs_json_get(key, "KeyAttributes");
        const char *one = json_string_value(json_array_get(names, 0)),
                   *status = cs_json_str(key, "EntityKeyIndexStatus");

        if (json_array_size(names) == 1 && one && !strcmp(one, column)) {
            return status ? status : "unknown";
        }
    }
    return NULL;
}

static void judge_key(run_t *r, cs_finding_sum_t *sum, const subject_t *s)
{
    const char *table = s->used->table, *column = s->used->key;

    if (!s->key) {
        cs_finding_sum(sum, r->p, CS_FOUND_WARN,
                       apr_psprintf(r->p,
                                    "Power Apps > Tables > %s > Keys > New key with the column %s, "
                                    "and wait until it is active",
                                    table, column),
                       "%s has no alternate key on %s: nothing but us keeps two rows from one "
                       "referral",
                       table, column);
    }
    else if (!strcmp(s->key, "Failed")) {
        cs_finding_sum(sum, r->p, CS_FOUND_FAIL,
                       apr_psprintf(r->p,
                                    "remove the rows of %s that have the same %s (check "
                                    "\"duplicates\"), then Power Apps > Tables > %s > Keys > "
                                    "Reactivate",
                                    table, column, table),
                       "the index of %s's alternate key on %s could not be built", table, column);
    }
    else if (strcmp(s->key, "Active")) {
        cs_finding_sum(sum, r->p, CS_FOUND_FAIL,
                       "nothing but patience: Dataverse builds the index in the background; if it "
                       "stays so for hours, look at the system jobs",
                       "%s's alternate key on %s is not active yet (%.40s)", table, column, s->key);
    }
}

static void find_keys(run_t *r)
{
    cs_finding_sum_t sum = {0};
    const char *fine = "", *unread = NULL;
    int i;

    for (i = 0; i < r->n; i++) {
        subject_t *s = &r->subjects[i];

        if (!s->used->key) {
            continue;
        }
        if (!s->definition.json) {
            unread = why(&s->definition);
            continue;
        }
        s->key = key_status(s->definition.json, s->used->key);
        judge_key(r, &sum, s);
        fine = apr_pstrcat(r->p, fine, *fine ? ", " : "", s->used->table, ".", s->used->key, NULL);
    }
    if (!sum.text && (unread || !*fine)) {
        cs_finding_add(r->exam->findings, "key", CS_FOUND_SKIP, NULL, "not checked: %s",
                       unread ? unread : "the mapping tells no referral id");
        return;
    }
    cs_finding_add_sum(r->exam->findings, "key", &sum,
                       apr_pstrcat(r->p, "the alternate key is active: ", fine, NULL));
}

/* A key that is active lets no two rows in. */
static int may_double(const subject_t *s)
{
    return s->used->key && s->definition.json && (!s->key || strcmp(s->key, "Active"));
}

static void ask_doubles(run_t *r)
{
    cs_dyn_batch_t batch;
    int i;

    cs_dyn_batch_init(&batch, r->crm, r->n, r->p);
    for (i = 0; i < r->n; i++) {
        subject_t *s = &r->subjects[i];
        const char *set = cs_json_str(s->definition.json, "EntitySetName"), *key = s->used->key;

        if (!may_double(s) || !set || !cs_dyn_name_valid(set, strlen(set)) ||
            !cs_dyn_name_valid(key, strlen(key))) {
            continue;
        }
        ask(&batch, &s->doubles,
            apr_pstrcat(r->p, set, "?$apply=",
                        cs_http_escape(apr_psprintf(r->p,
                                                    "filter(%s ne null)/groupby((%s),aggregate("
                                                    "$count as rows))",
                                                    key, key),
                                       r->p),
                        NULL),
            apr_pstrcat(r->p, "GET duplicates of ", s->used->table, NULL));
    }
    dispatch(r, &batch);
}

static void judge_doubles(run_t *r, cs_finding_sum_t *sum, const subject_t *s)
{
    const json_t *rows = cs_json_get(s->doubles.json, "value");
    const char *named = "";
    int found = 0;
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *value = cs_json_str(row, s->used->key);
        apr_int64_t n = cs_json_int(row, "rows", 0);

        if (n > 1 && value && *value && found++ < NAMED) {
            named = apr_psprintf(r->p, "%s%s%.60s (%" APR_INT64_T_FMT " rows)", named,
                                 *named ? ", " : "", value, n);
        }
    }
    if (found) {
        cs_finding_sum(sum, r->p, CS_FOUND_FAIL,
                       "keep the row that the referral belongs to and empty the column in the "
                       "others (a copied record takes the id along)",
                       "%d value%s of %s.%s stand%s in several rows: %s%s", found,
                       found == 1 ? "" : "s", s->used->table, s->used->key, found == 1 ? "s" : "",
                       named, found > NAMED ? ", ..." : "");
    }
    else if (!s->doubles.json) {
        cs_finding_sum(sum, r->p, CS_FOUND_SKIP, NULL, "duplicates of %s.%s cannot be counted: %s",
                       s->used->table, s->used->key, why(&s->doubles));
    }
}

static void find_doubles(run_t *r)
{
    cs_finding_sum_t sum = {0};
    int i, keyed = 0, held = 0, open = 0;

    ask_doubles(r);
    for (i = 0; i < r->n; i++) {
        const subject_t *s = &r->subjects[i];

        keyed += s->used->key != NULL;
        held += s->used->key && s->definition.json && !may_double(s);
        if (may_double(s)) {
            open++;
            judge_doubles(r, &sum, s);
        }
    }
    if (!keyed || (!held && !open)) {
        cs_finding_add(r->exam->findings, "duplicates", CS_FOUND_SKIP, NULL, "not checked: %s",
                       keyed ? "the table cannot be read" : "the mapping tells no referral id");
        return;
    }
    cs_finding_add_sum(r->exam->findings, "duplicates", &sum,
                       open ? "no two rows name one referral"
                            : "no two rows can name one referral: the key keeps them apart");
}

/* ---- tracking of changes ---- */

static void find_tracking(run_t *r)
{
    cs_finding_sum_t sum = {0};
    int i, asked = 0;

    for (i = 0; i < r->n; i++) {
        const subject_t *s = &r->subjects[i];

        if (!s->used->watched || !s->definition.json) {
            continue;
        }
        asked++;
        if (!cs_json_bool(s->definition.json, "ChangeTrackingEnabled", 0)) {
            cs_finding_sum(&sum, r->p, CS_FOUND_WARN,
                           "Power Apps > Tables > the table > Properties > Advanced options: Track "
                           "changes",
                           "%s does not track changes: it is polled by its time of modification, "
                           "and deleted rows are not seen",
                           s->used->table);
        }
    }
    if (!asked) {
        cs_finding_add(r->exam->findings, "changes", CS_FOUND_SKIP, NULL,
                       "not checked: no table that is polled could be read");
        return;
    }
    cs_finding_add_sum(r->exam->findings, "changes", &sum,
                       "change tracking is on for every table that is polled");
}

/* ---- the vendor's own connector ---- */

/* What its flows are called, whatever stands before and after. (cosell-connectors.md 1.2) */
static const char *const flow_names[] = {
    "Partner Center Webhook Registration",
    "Partner Center to Dynamics 365",
    "Partner Center Microsoft Co-sell Referral Updates",
    "Create or Get Details from Dynamics 365",
    "Dynamics 365 Opportunity to Partner Center",
    "Dynamics 365 Leads to Partner Center",
    "Dynamics 365 Microsoft Solution",
    "Create Co-sell Referral",
    "Dynamics 365 to Partner Center",
    "Auto-heal of Microsoft Partner Center",
};

static int is_connector(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(flow_names) / sizeof(flow_names[0]); i++) {
        if (strcasestr(name, flow_names[i])) {
            return 1;
        }
    }
    return 0;
}

static void find_flows(run_t *r)
{
    const json_t *rows = cs_json_get(r->flows.json, "value");
    const char *named = "";
    int found = 0;
    size_t i;

    if (!json_is_array(rows)) {
        cs_finding_add(r->exam->findings, "flows", CS_FOUND_SKIP, NULL,
                       "whether Microsoft's connector is still on cannot be seen: %s",
                       why(&r->flows));
        return;
    }
    for (i = 0; i < json_array_size(rows); i++) {
        const char *name = cs_json_str(json_array_get(rows, i), "name");

        if (name && is_connector(name) && found++ < NAMED) {
            named = apr_psprintf(r->p, "%s%s\"%.100s\"", named, *named ? ", " : "", name);
        }
    }
    if (!found) {
        cs_finding_add(r->exam->findings, "flows", CS_FOUND_OK, NULL,
                       "no flow of Microsoft's connector is on");
        return;
    }
    cs_finding_add(r->exam->findings, "flows", CS_FOUND_FAIL,
                   "Power Automate > Solutions > the connector's solution > Cloud flows: turn them "
                   "off; two at once write against each other",
                   "%d flow%s of Microsoft's own connector %s still on: %s%s", found,
                   found == 1 ? "" : "s", found == 1 ? "is" : "are", named,
                   found > NAMED ? ", ..." : "");
}

/* ---- all of it ---- */

#define FLOWS                                                                                      \
    "workflows?$select=name,category,statecode&$filter=category%20eq%205%20and%20statecode%20eq%"  \
    "201%20and%20type%20eq%201%20and%20(contains(name,%27Partner%20Center%27)%20or%20contains("    \
    "name,%27Co-sell%27)%20or%20contains(name,%27Dynamics%20365%27))"
#define DEFINITION                                                                                 \
    "')?$select=LogicalName,EntitySetName,ChangeTrackingEnabled,Privileges&$expand=Keys($select="  \
    "LogicalName,KeyAttributes,EntityKeyIndexStatus)"

static void ask_all(run_t *r)
{
    answer_t user = {0};
    cs_dyn_batch_t batch;
    int i;

    cs_dyn_batch_init(&batch, r->crm, r->n + 3, r->p);
    ask(&batch, &user, apr_pstrcat(r->p, "systemusers(", r->user, ")?$select=fullname", NULL),
        "GET the caller's name");
    ask(&batch, &r->privileges,
        apr_pstrcat(r->p, "systemusers(", r->user,
                    ")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()", NULL),
        "GET the caller's privileges");
    ask(&batch, &r->flows, FLOWS, "GET active flows");
    for (i = 0; i < r->n; i++) {
        ask(&batch, &r->subjects[i].definition,
            apr_pstrcat(r->p, "EntityDefinitions(LogicalName='", r->subjects[i].used->table,
                        DEFINITION, NULL),
            apr_pstrcat(r->p, "GET prerequisites of ", r->subjects[i].used->table, NULL));
    }
    dispatch(r, &batch);
    find_name(r, &user);
}

static void take_used(run_t *r, const apr_array_header_t *used)
{
    int i;

    r->subjects = apr_pcalloc(r->p, sizeof(*r->subjects) * TABLES_MOST);
    for (i = 0; used && i < used->nelts && r->n < TABLES_MOST; i++) {
        const cs_used_t *one = &APR_ARRAY_IDX(used, i, cs_used_t);

        if (cs_dyn_name_valid(one->table, strlen(one->table))) {
            r->subjects[r->n++].used = one;
        }
    }
}

void cs_dyn_examine(cs_crm_t *crm, cs_crm_examination_t *exam, apr_interval_time_t deadline,
                    apr_pool_t *p)
{
    run_t r = {.crm = crm, .exam = exam, .deadline = deadline, .p = p};

    exam->signed_in = 0;
    exam->calls = 0;
    take_used(&r, exam->used);
    if (!find_caller(&r)) {
        return;
    }
    exam->signed_in = 1;
    ask_all(&r);
    find_flows(&r);
    if (!exam->used) {
        cs_findings_skip(exam->findings, checks, "no mapping is loaded");
        return;
    }
    find_roles(&r);
    find_keys(&r);
    find_doubles(&r);
    find_tracking(&r);
}
