/* What has to be right in the organisation before anything can be kept the same.
 * (crm-apis.md B1, B2, B8, B10) */
#include "client.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"

#define TOGETHER 8 /* descriptions in one answer: some have 25,000 values */
#define TABLES_MOST 64
#define NAMED 5
#define LOW 20 /* per cent of the day's requests left */

static const char *const checks[] = {"organization", "api",      "roles", "key",
                                     "duplicates",   "requests", NULL};

/* A table that the mapping uses. */
typedef struct subject_t {
    const cs_used_t *used;
    const cs_sf_call_t *described, *doubles; /* NULL = not asked */
} subject_t;

typedef struct run_t {
    cs_crm_t *crm;
    cs_crm_examination_t *exam;
    subject_t *subjects;
    int n;
    const char *name;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} run_t;

static const char *why(const cs_sf_call_t *call)
{
    return call && call->result.detail ? call->result.detail : "there was no useful answer";
}

/* ---- who we are ---- */

static int is(const char *problem, const char *word)
{
    return problem && !strcmp(problem, word);
}

static const char *sign_in_fix(const run_t *r, const cs_result_t *res)
{
    const char *app = "Setup > App Manager > the connected app", *way;

    if (is(res->problem, "oauth:invalid_grant")) {
        return r->crm->cfg.key
                   ? apr_psprintf(r->p,
                                  "%s: approve the user %s (Manage > Permitted Users: admin "
                                  "approved; add its profile or permission set) and upload the "
                                  "certificate that belongs to key=",
                                  app, r->crm->cfg.user)
                   : apr_psprintf(r->p,
                                  "%s > Manage > Client Credentials Flow: name an active "
                                  "\"run as\" user",
                                  app);
    }
    if (is(res->problem, "config:client-secret") || is(res->problem, "config:certificate") ||
        is(res->problem, "oauth:invalid_client") || is(res->problem, "oauth:invalid_client_id")) {
        return apr_psprintf(r->p,
                            "compare client-id= and %s of CosellCrm %s with the consumer key and "
                            "secret (%s > Manage Consumer Details), and reload httpd",
                            r->crm->cfg.key ? "key=" : "client-secret=", r->crm->cfg.name, app);
    }
    if (is(res->problem, "config:organization") || is(res->problem, "config:instance")) {
        return "give the organisation's own My Domain in CosellCrm; a copy has an id of its own";
    }
    way = cs_finding_way_fix(res);
    return way ? way
               : apr_psprintf(r->p,
                              "%s: look at its OAuth policies, and at the user's permission \"API "
                              "Enabled\"",
                              app);
}

static void refuse_sign_in(run_t *r, const cs_result_t *res)
{
    cs_finding_add(r->exam->findings, "sign-in", cs_finding_state(res), sign_in_fix(r, res),
                   "cannot sign in to %s: %s", r->crm->cfg.url,
                   res->detail ? res->detail : "no detail");
    cs_findings_skip(r->exam->findings, checks, "the sign-in does not work");
}

static void find_organization(run_t *r, const char *organization)
{
    const char *wanted = cs_sf_id(r->exam->organization, r->p);

    if (!wanted || !strcmp(wanted, organization)) {
        cs_finding_add(r->exam->findings, "organization", CS_FOUND_OK, NULL,
                       "it is the organisation %s%s", organization,
                       wanted ? ", as before" : ", met for the first time");
        return;
    }
    cs_finding_add(r->exam->findings, "organization", CS_FOUND_FAIL,
                   "give the address of the organisation that it was; if this really is its "
                   "successor, name it as organization= in CosellCrm and reload httpd",
                   "%s is the organisation %s, ours was %s: nothing is written to a copy",
                   r->crm->cfg.url, organization, wanted);
}

/* ---- the day's requests ---- */

static void find_requests(run_t *r)
{
    const cs_crm_usage_t *u = &r->crm->usage;
    apr_int64_t left = u->most - u->used;

    if (u->most <= 0) {
        cs_finding_add(r->exam->findings, "requests", CS_FOUND_SKIP, NULL,
                       "the organisation does not say how many requests are left");
        return;
    }
    cs_finding_add(
        r->exam->findings, "requests",
        left <= u->kept              ? CS_FOUND_FAIL
        : left * 100 < u->most * LOW ? CS_FOUND_WARN
                                     : CS_FOUND_OK,
        left * 100 >= u->most * LOW && left > u->kept
            ? NULL
            : "Setup > Company Information > API Requests shows who uses them; buy more, "
              "or slow the others down; reserve= of CosellUpstream is what is kept for "
              "them",
        "%" APR_INT64_T_FMT " of %" APR_INT64_T_FMT
        " requests of the last 24 hours are left; %" APR_INT64_T_FMT " are kept for others",
        left, u->most, u->kept);
}

static void take_limits(run_t *r, const json_t *limits)
{
    const json_t *daily = cs_json_get(limits, "DailyApiRequests");
    apr_int64_t most = cs_json_int(daily, "Max", 0), left = cs_json_int(daily, "Remaining", -1);

    if (most > 0 && left >= 0 && left <= most) {
        cs_sf_quota_set(r->crm, most - left, most);
    }
}

/* 0 when nothing more can be asked. */
static int find_caller(run_t *r)
{
    cs_sf_call_t call = {
        .kind = CS_SF_READ, .method = "GET", .path = "limits", .label = "GET limits", .probe = 1};
    cs_result_t res = {0};
    const char *organization;

    if (cs_token_renew(r->crm->token, r->deadline, r->p, &res) != APR_SUCCESS) {
        refuse_sign_in(r, &res);
        return 0;
    }
    cs_sf_send(r->crm, &call, 1, r->deadline, r->p);
    r->exam->calls += call.calls;
    if (call.status == 404 || call.status == 410) {
        cs_finding_add(r->exam->findings, "sign-in", CS_FOUND_OK, NULL, "the app gets a session");
        cs_finding_add(
            r->exam->findings, "api", CS_FOUND_FAIL,
            "give the organisation's My Domain in CosellCrm; if it is that, this version "
            "of the module is too old for the organisation",
            "there is no REST API v60.0 at %s: %s", r->crm->cfg.url, why(&call));
        cs_findings_skip(r->exam->findings, checks, "the API is not there");
        return 0;
    }
    organization = cs_sf_organization(r->crm, r->p);
    if (call.result.cls != CS_CLASS_OK || !json_is_object(call.json) || !organization) {
        refuse_sign_in(r, &call.result);
        return 0;
    }
    take_limits(r, call.json);
    find_organization(r, organization);
    cs_finding_add(r->exam->findings, "api", CS_FOUND_OK, NULL, "the REST API v60.0 answers");
    find_requests(r);
    return 1;
}

static const json_t *first_row(cs_sf_call_t *call, apr_pool_t *p)
{
    const char *next;

    return call->result.cls == CS_CLASS_OK ? json_array_get(cs_sf_rows(call, &next, p), 0) : NULL;
}

static void find_name(run_t *r)
{
    const char *id = cs_sf_user(r->crm, r->p), *name = NULL, *login = NULL;
    const json_t *row;
    cs_sf_call_t call;

    if (id && cs_sf_query(&call,
                          apr_pstrcat(r->p, "SELECT Name,Username FROM User WHERE Id=",
                                      cs_sf_quote(id, r->p), NULL),
                          "GET the caller's name", r->p, &call.result) == APR_SUCCESS) {
        cs_sf_send(r->crm, &call, 1, r->deadline, r->p);
        r->exam->calls += call.calls;
        row = first_row(&call, r->p);
        name = cs_json_str(row, "Name");
        login = cs_json_str(row, "Username");
    }
    r->name = name && login ? apr_psprintf(r->p, "%.120s (%.120s)", name, login)
                            : apr_psprintf(r->p, "the user %s", id ? id : "that it does not name");
    cs_finding_add(r->exam->findings, "sign-in", CS_FOUND_OK, NULL, "signed in to %s as %s",
                   r->crm->cfg.url, r->name);
}

/* ---- what we may do ---- */

static void want(run_t *r, cs_finding_sum_t *sum, const subject_t *s, const char *member,
                 const char *word)
{
    if (!cs_json_bool(s->described->json, member, 0)) {
        cs_finding_sum(sum, r->p, CS_FOUND_FAIL,
                       apr_psprintf(r->p,
                                    "Setup > Permission Sets (or Profiles) > %s's > Object "
                                    "Settings: tick what is missing",
                                    r->name),
                       "rows of %s cannot be %s", s->used->table, word);
    }
}

static int is_described(const subject_t *s)
{
    return s->described && s->described->result.cls == CS_CLASS_OK &&
           json_is_array(cs_json_get(s->described->json, "fields"));
}

static void find_roles(run_t *r)
{
    cs_finding_sum_t sum = {0};
    int i, asked = 0;

    for (i = 0; i < r->n; i++) {
        const subject_t *s = &r->subjects[i];

        if (!is_described(s)) {
            continue;
        }
        asked++;
        want(r, &sum, s, "queryable", "read");
        if (s->used->create) {
            want(r, &sum, s, "createable", "made");
        }
        if (s->used->write) {
            want(r, &sum, s, "updateable", "changed");
        }
        if (s->used->remove) {
            want(r, &sum, s, "deletable", "removed");
        }
    }
    if (!asked) {
        cs_finding_add(r->exam->findings, "roles", CS_FOUND_SKIP, NULL, "not checked: %s",
                       r->n ? why(r->subjects[0].described) : "the mapping uses no table");
        return;
    }
    cs_finding_add_sum(
        r->exam->findings, "roles", &sum,
        apr_psprintf(r->p, "%s may do in all tables what the mapping does", r->name));
}

/* ---- external ids and duplicates ---- */

static const json_t *field_of(const subject_t *s, const char *name)
{
    const json_t *fields = is_described(s) ? cs_json_get(s->described->json, "fields") : NULL;
    size_t i;

    for (i = 0; name && i < json_array_size(fields); i++) {
        const char *is_name = cs_json_str(json_array_get(fields, i), "name");

        if (is_name && !strcasecmp(is_name, name)) {
            return json_array_get(fields, i);
        }
    }
    return NULL;
}

/* A column that is not there the comparison of columns names. 1 = it is there. */
static int judge_key(run_t *r, cs_finding_sum_t *sum, const subject_t *s, const char *name)
{
    const json_t *field = field_of(s, name);
    int external = cs_json_bool(field, "externalId", 0), unique = cs_json_bool(field, "unique", 0);

    if (field && (!external || !unique)) {
        cs_finding_sum(sum, r->p, CS_FOUND_FAIL,
                       apr_psprintf(r->p,
                                    "Setup > Object Manager > %s > Fields & Relationships > %s > "
                                    "Edit: tick \"%s\"%s (rows that have the same value must go "
                                    "first)",
                                    s->used->table, name, external ? "Unique" : "External ID",
                                    external || unique ? "" : " and \"Unique\""),
                       "%s.%s is %s: rows are made and found again by it", s->used->table, name,
                       external ? "not unique"
                       : unique ? "no external id"
                                : "no external id and not unique");
    }
    return field != NULL;
}

static void find_keys(run_t *r)
{
    cs_finding_sum_t sum = {0};
    int i, seen = 0;

    for (i = 0; i < r->n; i++) {
        const subject_t *s = &r->subjects[i];

        seen += judge_key(r, &sum, s, s->used->key);
        if (s->used->found && (!s->used->key || strcmp(s->used->key, s->used->found))) {
            seen += judge_key(r, &sum, s, s->used->found);
        }
    }
    if (!seen) {
        cs_finding_add(r->exam->findings, "key", CS_FOUND_SKIP, NULL,
                       "not checked: no external id of the mapping can be seen");
        return;
    }
    cs_finding_add_sum(r->exam->findings, "key", &sum,
                       apr_psprintf(r->p, "all %d external ids are there and unique", seen));
}

/* A field that is unique lets no two rows in. */
static int may_double(const subject_t *s)
{
    const json_t *field = field_of(s, s->used->key);

    return field && !cs_json_bool(field, "unique", 0);
}

static int ask_doubles(run_t *r, cs_sf_call_t *calls)
{
    int i, n = 0;

    for (i = 0; i < r->n; i++) {
        subject_t *s = &r->subjects[i];
        const char *key = s->used->key;

        if (may_double(s) && cs_sf_name_valid(key) &&
            cs_sf_query(&calls[n],
                        apr_pstrcat(r->p, "SELECT ", key, ",COUNT(Id) doubles FROM ",
                                    s->used->table, " WHERE ", key, "!=null GROUP BY ", key,
                                    " HAVING COUNT(Id)>1 LIMIT 100", NULL),
                        apr_pstrcat(r->p, "GET duplicates of ", s->used->table, NULL), r->p,
                        &calls[n].result) == APR_SUCCESS) {
            s->doubles = &calls[n++];
        }
    }
    return n;
}

static void judge_doubles(run_t *r, cs_finding_sum_t *sum, const subject_t *s)
{
    const json_t *rows = cs_json_get(s->doubles->json, "records");
    const char *named = "";
    int found = (int)json_array_size(rows);
    size_t i;

    if (s->doubles->result.cls != CS_CLASS_OK || !json_is_array(rows)) {
        cs_finding_sum(sum, r->p, CS_FOUND_SKIP, NULL, "duplicates of %s.%s cannot be counted: %s",
                       s->used->table, s->used->key, why(s->doubles));
        return;
    }
    for (i = 0; i < json_array_size(rows) && i < NAMED; i++) {
        const char *value = cs_json_str(json_array_get(rows, i), s->used->key);

        named =
            apr_psprintf(r->p, "%s%s%.60s (%" APR_INT64_T_FMT " rows)", named, *named ? ", " : "",
                         value ? value : "?", cs_json_int(json_array_get(rows, i), "doubles", 0));
    }
    if (found) {
        cs_finding_sum(
            sum, r->p, CS_FOUND_FAIL,
            "keep the row that the referral belongs to and empty the field in the others "
            "(a cloned record takes the id along); then make the field unique",
            "%d%s value%s of %s.%s stand%s in several rows: %s%s", found,
            found == 100 ? " or more" : "", found == 1 ? "" : "s", s->used->table, s->used->key,
            found == 1 ? "s" : "", named, found > NAMED ? ", ..." : "");
    }
}

static void find_doubles(run_t *r)
{
    cs_sf_call_t *calls = apr_pcalloc(r->p, sizeof(*calls) * (apr_size_t)(r->n + 1));
    cs_finding_sum_t sum = {0};
    int i, keyed = 0, n = ask_doubles(r, calls);

    if (n) {
        cs_sf_send(r->crm, calls, n, r->deadline, r->p);
    }
    for (i = 0; i < r->n; i++) {
        const subject_t *s = &r->subjects[i];

        keyed += field_of(s, s->used->key) != NULL;
        if (s->doubles) {
            r->exam->calls += s->doubles->calls;
            judge_doubles(r, &sum, s);
        }
    }
    if (!keyed) {
        cs_finding_add(r->exam->findings, "duplicates", CS_FOUND_SKIP, NULL,
                       "not checked: the field with the referral's id cannot be seen");
        return;
    }
    cs_finding_add_sum(r->exam->findings, "duplicates", &sum,
                       n ? "no two rows name one referral"
                         : "no two rows can name one referral: the field is unique");
}

/* ---- all of it ---- */

static void describe(run_t *r)
{
    cs_sf_call_t *calls = apr_pcalloc(r->p, sizeof(*calls) * (apr_size_t)(r->n + 1));
    int i, end;

    for (i = 0; i < r->n; i++) {
        calls[i].kind = CS_SF_READ;
        calls[i].method = "GET";
        calls[i].path =
            apr_pstrcat(r->p, "sobjects/", r->subjects[i].used->table, "/describe", NULL);
        calls[i].label = apr_pstrcat(r->p, "GET description of ", r->subjects[i].used->table, NULL);
        r->subjects[i].described = &calls[i];
    }
    for (i = 0; i < r->n; i = end) {
        end = i + TOGETHER < r->n ? i + TOGETHER : r->n;
        cs_sf_send_together(r->crm, calls + i, NULL, end - i, r->deadline, r->p);
    }
    for (i = 0; i < r->n; i++) {
        r->exam->calls += calls[i].calls;
    }
}

static void take_used(run_t *r, const apr_array_header_t *used)
{
    int i;

    r->subjects = apr_pcalloc(r->p, sizeof(*r->subjects) * TABLES_MOST);
    for (i = 0; used && i < used->nelts && r->n < TABLES_MOST; i++) {
        const cs_used_t *one = &APR_ARRAY_IDX(used, i, cs_used_t);

        if (cs_sf_name_valid(one->table)) {
            r->subjects[r->n++].used = one;
        }
    }
}

void cs_sf_examine(cs_crm_t *crm, cs_crm_examination_t *exam, apr_interval_time_t deadline,
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
    find_name(&r);
    cs_finding_add(exam->findings, "flows", CS_FOUND_SKIP,
                   "look in Power Automate, in the environment that Microsoft's connector was "
                   "installed in, and turn its flows off; two at once write against each other",
                   "whether Microsoft's own connector is still on cannot be seen from Salesforce");
    if (!exam->used) {
        cs_findings_skip(exam->findings, checks, "no mapping is loaded");
        return;
    }
    describe(&r);
    find_roles(&r);
    find_keys(&r);
    find_doubles(&r);
}
