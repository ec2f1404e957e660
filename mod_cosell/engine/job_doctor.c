/* engine/job_doctor.c: every prerequisite, asked for now: a step a turn, so that live work goes on
 * in between. (design 7.6)
 *
 * The cursor holds the step, when it began and what was found. Upstreams are asked whatever the
 * lane thinks of them: what they answer is what a person wants to know. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../base/log.h"
#include "doctor.h"
#include "registration.h"

/* All of it ends within two minutes: this is left for the upstreams. */
#define PATIENCE apr_time_from_sec(100)
#define STEP_MOST apr_time_from_sec(18)
#define STEPS_FIXED 3 /* server, Partner Center, clock; each CRM has two */
#define STEPS_CRM 2

static int steps_of(const cs_lane_t *lane)
{
    return STEPS_FIXED + STEPS_CRM * lane->site->ncrms;
}

static apr_interval_time_t deadline_of(const cs_lane_t *lane, int part)
{
    apr_interval_time_t each = PATIENCE / (1 + STEPS_CRM * lane->site->ncrms);

    return cs_time_mono() + (each < STEP_MOST ? each : STEP_MOST) / part;
}

/* ---- what was found ---- */

static json_t *kept(cs_job_turn_t *t)
{
    json_t *list = json_object_get(t->cursor, "checks");

    if (!list) {
        list = json_array();
        json_object_set_new(t->cursor, "checks", list);
    }
    return list;
}

static void keep(cs_job_turn_t *t, const cs_finding_t *f)
{
    json_t *one = json_pack("{s:s, s:s, s:s}", "check", f->check, "state", cs_found_name(f->state),
                            "text", f->text),
           *fix;

    /* What others said need not be text. */
    one = one ? one
              : json_pack("{s:s, s:s, s:s}", "check", f->check, "state", cs_found_name(f->state),
                          "text", "(the answer cannot be shown)");
    fix = f->fix ? json_string(f->fix) : NULL;
    json_object_set_new(one, "fix", fix ? fix : json_null());
    json_array_append_new(kept(t), one);
    cs_job_say(t, "%-4s %s: %s", cs_found_name(f->state), f->check, f->text);
}

/* prefix NULL: the checks are whole keys. */
static void keep_all(cs_job_turn_t *t, const apr_array_header_t *findings, const char *prefix)
{
    int i;

    for (i = 0; i < findings->nelts; ++i) {
        cs_finding_t f = APR_ARRAY_IDX(findings, i, cs_finding_t);

        f.check = prefix ? cs_doctor_key(prefix, f.check, t->b->p) : f.check;
        keep(t, &f);
    }
}

/* ---- Partner Center ---- */

static json_t *fact(cs_job_turn_t *t, const char *name, cs_result_t *res, apr_status_t *prv)
{
    json_t *json = NULL;
    const char *text;

    *prv = cs_store_meta_get(t->b->lane->store, t->b->lane->site->name, name, &text, t->b->p, res);
    if (*prv != APR_SUCCESS || !text ||
        cs_json_parse(&json, text, strlen(text), NULL, t->b->p, NULL) != APR_SUCCESS) {
        return NULL;
    }
    return cs_json_own(json, t->b->p);
}

static const char *hook_fix(const cs_result_t *res)
{
    const char *way = cs_finding_way_fix(res);

    return way ? way
               : "give the application the permission Microsoft Partner Center > "
                 "user_impersonation "
                 "and the account a role that may register webhooks, then: cosellctl webhook show";
}

/* What was read is as good as what the watch reads. */
static void ask_webhook(cs_job_turn_t *t, json_t *known, apr_interval_time_t deadline,
                        apr_array_header_t *findings)
{
    cs_lane_t *lane = t->b->lane;
    cs_pc_hook_t *hook = NULL;
    cs_result_t res = {0};

    if (cs_pc_hooks_read(lane->hooks, &hook, deadline, t->b->p, &res) != APR_SUCCESS) {
        cs_finding_add(findings, "partner-center.webhook", CS_FOUND_FAIL, hook_fix(&res),
                       "the registration cannot be read: %s",
                       res.detail ? res.detail : "no detail");
        return;
    }
    cs_doctor_webhook(known, hook ? hook->url : NULL, hook ? hook->events : NULL, findings);
    if (json_object_size(known)) {
        cs_registration_note(lane, known, hook, t->b->now, t->b->changes, t->b->p);
    }
}

static void find_organization(const cs_lane_t *lane, apr_array_header_t *findings)
{
    if (lane->organization) {
        cs_finding_add(findings, "partner-center.organization", CS_FOUND_OK, NULL,
                       "we are the organisation %s%s", lane->organization,
                       lane->site->pc.organization ? "" : " (by the first referral that was ours)");
        return;
    }
    cs_finding_add(findings, "partner-center.organization", CS_FOUND_WARN,
                   "name it as organization= of CosellPartnerCenter (Partner Center > Account "
                   "settings > Identifiers), or wait for the first event",
                   "which organisation we are is not known yet");
}

static apr_status_t ask_partner_center(cs_job_turn_t *t, cs_result_t *res)
{
    cs_lane_t *lane = t->b->lane;
    apr_array_header_t *asked = cs_findings_make(t->b->p), *findings = cs_findings_make(t->b->p);
    json_t *hook, *token;
    apr_status_t rv;
    int answers = cs_pc_examine(lane->pc, asked, deadline_of(lane, 2), t->b->p);

    keep_all(t, asked, CS_UPSTREAM_PC);
    /* After the token was asked for, which may have renewed it. */
    token = fact(t, CS_FACT_TOKEN, res, &rv);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = cs_registration_fact(lane, &hook, t->b->p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    cs_doctor_account(token, t->b->now, findings);
    find_organization(lane, findings);
    if (answers) {
        ask_webhook(t, hook, deadline_of(lane, 2), findings);
    }
    else {
        cs_finding_add(findings, "partner-center.webhook", CS_FOUND_SKIP, NULL,
                       "not checked: the account cannot be used");
    }
    cs_doctor_signature(lane, t->b->now, findings);
    keep_all(t, findings, NULL);
    return APR_SUCCESS;
}

/* ---- a CRM ---- */

static void examine_crm(cs_job_turn_t *t, int crm)
{
    cs_lane_t *lane = t->b->lane;
    const cs_site_crm_t *site = &lane->site->crms[crm];
    const char *learnt = lane->pin[crm].organization;
    cs_crm_examination_t exam = {0};

    exam.findings = cs_findings_make(t->b->p);
    exam.organization = site->cfg.organization ? site->cfg.organization : *learnt ? learnt : NULL;
    exam.used = site->mapping ? cs_mapping_used(site->mapping, t->b->p) : NULL;
    if (lane->crm_impl[crm]->examine) {
        lane->crm_impl[crm]->examine(lane->crm[crm], &exam, deadline_of(lane, 1), t->b->p);
    }
    keep_all(t, exam.findings, site->cfg.name);
    json_object_set_new(t->cursor, "signed_in", json_boolean(exam.signed_in));
}

static void compare_columns(cs_job_turn_t *t, int crm, apr_array_header_t *findings)
{
    cs_lane_t *lane = t->b->lane;
    const cs_site_crm_t *site = &lane->site->crms[crm];
    const apr_array_header_t *tables = cs_mapping_tables(site->mapping);
    cs_result_t res = {0};
    json_t *doc = NULL;
    int calls = 0;

    if (lane->crm_impl[crm]->describe(lane->crm[crm], tables, &doc, &calls, deadline_of(lane, 1),
                                      t->b->p, &res) != APR_SUCCESS ||
        !doc) {
        cs_finding_add(findings, cs_doctor_key(site->cfg.name, "columns", t->b->p), CS_FOUND_SKIP,
                       NULL, "not checked: the CRM does not describe its tables: %s",
                       res.detail ? res.detail : "no detail");
        return;
    }
    cs_doctor_columns(site->cfg.name, cs_mapping_compare(site->mapping, doc, t->b->p),
                      tables->nelts, findings);
}

static void check_crm(cs_job_turn_t *t, int crm)
{
    const cs_site_crm_t *site = &t->b->lane->site->crms[crm];
    apr_array_header_t *findings = cs_findings_make(t->b->p);

    cs_doctor_certificate(site, t->b->now, findings);
    cs_doctor_mapping(site, t->b->lane->crm_impl[crm]->facts, findings);
    if (site->mapping && cs_json_bool(t->cursor, "signed_in", 0)) {
        compare_columns(t, crm, findings);
    }
    else {
        cs_finding_add(findings, cs_doctor_key(site->cfg.name, "columns", t->b->p), CS_FOUND_SKIP,
                       NULL, "not checked: %s",
                       site->mapping ? "the sign-in does not work" : "no mapping is loaded");
    }
    keep_all(t, findings, NULL);
}

/* ---- the end ---- */

static int count(const json_t *list, cs_found_e state)
{
    const char *is;
    size_t i;
    int n = 0;

    for (i = 0; i < json_array_size(list); ++i) {
        is = cs_json_str(json_array_get(list, i), "state");
        n += is && !strcmp(is, cs_found_name(state));
    }
    return n;
}

static void end(cs_job_turn_t *t)
{
    json_t *list = kept(t);
    int fail = count(list, CS_FOUND_FAIL), warn = count(list, CS_FOUND_WARN);
    const char *text =
        apr_psprintf(t->b->p, "%d checks: %d ok, %d to be warned of, %d failed, %d not made",
                     (int)json_array_size(list), count(list, CS_FOUND_OK), warn, fail,
                     count(list, CS_FOUND_SKIP));

    cs_log(CS_LOG_INFO, 0, t->b->lane->site->name, CSLOGNO(2360) "doctor, asked for by %s: %s",
           t->user, text);
    /* What it found mended need not wait for its next probe. */
    cs_lane_ask_again(t->b->lane);
    cs_job_done(t, json_pack("{s:s, s:O}", "text", text, "checks", list));
}

/* ---- turns ---- */

static apr_status_t take_step(cs_job_turn_t *t, int step, cs_result_t *res)
{
    cs_lane_t *lane = t->b->lane;
    apr_array_header_t *findings = cs_findings_make(t->b->p);
    int crm = (step - 2) / STEPS_CRM;

    if (step == 0) {
        cs_doctor_server(t, findings);
    }
    else if (step == 1) {
        return ask_partner_center(t, res);
    }
    else if (crm < lane->site->ncrms) {
        if ((step - 2) % STEPS_CRM == 0) {
            examine_crm(t, crm);
        }
        else {
            check_crm(t, crm);
        }
    }
    else {
        cs_doctor_clock(lane, cs_json_int(t->cursor, "began", t->b->now), findings);
    }
    keep_all(t, findings, NULL);
    return APR_SUCCESS;
}

/* What the next step is at, for people. */
static const char *step_text(const cs_lane_t *lane, int step)
{
    int crm = (step - 2) / STEPS_CRM;

    return step == 0                 ? "this server"
           : step == 1               ? "Partner Center"
           : crm < lane->site->ncrms ? lane->site->crms[crm].cfg.name
                                     : "clocks";
}

static apr_status_t turn(cs_job_turn_t *t, cs_result_t *res)
{
    cs_lane_t *lane = t->b->lane;
    int step = (int)cs_json_int(t->cursor, "step", 0), steps = steps_of(lane);
    apr_status_t rv;

    if (!json_object_get(t->cursor, "began")) {
        json_object_set_new(t->cursor, "began", json_integer(t->b->now));
    }
    rv = take_step(t, step, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json_object_set_new(t->cursor, "step", json_integer(++step));
    json_object_set_new(t->progress, "done", json_integer(step < steps ? step : steps));
    json_object_set_new(t->progress, "of", json_integer(steps));
    json_object_set_new(t->progress, "text", json_string(step_text(lane, step)));
    if (step >= steps) {
        end(t);
    }
    return APR_SUCCESS;
}

static const char *const no_members[] = {NULL};
const cs_job_kind_t cs_job_doctor = {"doctor", no_members, NULL, NULL, turn, 0, 0};
