/* A referral, a CRM and one deal between them, all in memory: what the tests of domain/ look at.
 *
 * The CRM is a row with the habits of real ones: columns that round, cut or ignore what is written, columns with defaults, a version that moves with each write.
 */
#ifndef CS_TESTS_UNIT_DEAL_H
#define CS_TESTS_UNIT_DEAL_H

#include "unit.h"

#include <strings.h>

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/decimal.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/domain/mapping.h"
#include "mod_cosell/domain/reconcile.h"
#include "mod_cosell/domain/state.h"

#define DEAL_PROFILE "tests/unit/mapping/deal-dynamics365.json"
#define DEAL_REFERRAL "0f0a4b6e-1111-4222-8333-944455566677"
#define DEAL_NOW apr_time_from_sec(1770000000) /* 2026-02-02 02:40 */
#define DEAL_PAUSE 21                          /* between two looks: what was written is shown by then */

typedef enum { HABIT_KEEPS = 0, HABIT_ROUNDS, HABIT_CUTS, HABIT_IGNORES } habit_e;

typedef struct deal_world_t {
    int fetched; /* looks so far */
    apr_pool_t *p;
    cs_mapping_t *mapping;
    const cs_mapping_kind_t *kind;
    json_t *doc;      /* the own card */
    json_t *row;      /* the CRM's row; NULL = none */
    json_t *habits;   /* column -> habit_e */
    int version;
    int writes;       /* rows written so far */
    cs_deal_t deal;
    apr_array_header_t *journal;
    cs_card_t card;
    cs_record_t record;
    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
    json_t *pc_habits;  /* path at Partner Center -> what it makes of every value written there */
    json_t *pc_refuses; /* path -> why Partner Center does not take what is written there */
    int pc_version;
    int pc_writes;    /* patches that took effect */
    int pc_silent;    /* patches return no representation */
    int pc_fail;      /* no patch is done */
    int fail;         /* no step is done */
    int silent;       /* writes return no representation */
} deal_world_t;

static inline json_t *deal_json(apr_pool_t *p, const char *text)
{
    json_t *json;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    if (cs_json_parse(&json, text, strlen(text), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s: %s", text, res.detail);
    }
    return cs_json_own(json, p);
}

static inline const char *deal_read(apr_pool_t *p, const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = apr_pcalloc(p, 1 << 18);
    size_t n;

    if (!f) {
        fail_msg("%s cannot be read", path);
    }
    n = fread(text, 1, (1 << 18) - 1, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

/* The profile with changes: "/json/pointer" -> value as JSON text, pairs closed by NULL. */
static inline cs_mapping_t *deal_mapping(apr_pool_t *p, const char *const *changes)
{
    json_t *root = deal_json(p, deal_read(p, DEAL_PROFILE));
    cs_mapping_t *mapping = NULL;
    cs_result_t res;
    const char *text;

    for (; changes && changes[0]; changes += 2) {
        assert_ok(cs_json_pointer_set(root, changes[0], json_incref(deal_json(p, changes[1]))));
    }
    text = cs_json_print(root, p);
    memset(&res, 0, sizeof(res));
    if (cs_mapping_parse(&mapping, text, strlen(text), "test.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return mapping;
}

static inline void deal_set(deal_world_t *w, const char *pointer, const char *value)
{
    assert_ok(cs_json_pointer_set(w->doc, pointer, json_incref(deal_json(w->p, value))));
}

static inline void deal_status(deal_world_t *w, const char *status, const char *substatus)
{
    json_object_set_new(w->doc, "status", json_string(status));
    json_object_set_new(w->doc, "substatus", json_string(substatus));
}

/* A user edits the record. */
static inline void deal_edit(deal_world_t *w, const char *column, const char *value)
{
    json_object_set(w->row, column, deal_json(w->p, value));
    w->version++;
}

static inline deal_world_t *deal_world_of(apr_pool_t *p, cs_mapping_t *mapping)
{
    deal_world_t *w = apr_pcalloc(p, sizeof(*w));

    w->p = p;
    w->mapping = mapping;
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
    w->doc = deal_json(p, "{\"id\":\"" DEAL_REFERRAL "\",\"name\":\"Contoso migration\",\"status\":\"New\",\"substatus\":\"Pending\","
                          "\"type\":\"Shared\",\"qualification\":\"SalesQualified\",\"eTag\":\"\\\"1\\\"\",\"externalReferenceId\":null,"
                          "\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}},"
                          "\"customerProfile\":{\"name\":\"Contoso\",\"address\":{\"city\":\"Berlin\",\"postalCode\":\"10115\",\"country\":\"DE\"}},"
                          "\"consent\":{\"consentToShareReferralWithMicrosoftSellers\":true},"
                          "\"details\":{\"dealValue\":50000,\"currency\":\"USD\",\"closingDateTime\":\"2026-03-31T00:00:00.0000000Z\",\"notes\":\"First call\"}}");
    w->habits = cs_json_own(json_object(), p);
    w->pc_habits = cs_json_own(json_object(), p);
    w->pc_refuses = cs_json_own(json_object(), p);
    w->pc_version = 1;
    w->journal = apr_array_make(p, 16, sizeof(cs_journal_t *));
    w->deal.site = "contoso";
    w->deal.referral_id = DEAL_REFERRAL;
    w->version = 1;
    return w;
}

static inline deal_world_t *deal_world(apr_pool_t *p, const char *const *changes)
{
    return deal_world_of(p, deal_mapping(p, changes));
}

static inline const char *deal_version(deal_world_t *w)
{
    return apr_psprintf(w->p, "W/\"%d\"", w->version);
}

static inline json_t *deal_row_default(const char *column)
{
    if (!strcmp(column, "statecode")) {
        return json_integer(0);
    }
    if (!strcmp(column, "statuscode")) {
        return json_integer(1);
    }
    if (!strcmp(column, "isrevenuesystemcalculated") || !strcmp(column, "msft_syncwithpartnercenter") || !strcmp(column, "msft_referralvisibility")) {
        return json_false();
    }
    return json_null();
}

static inline json_t *deal_lookup(deal_world_t *w, const json_t *lookup)
{
    json_t *key = json_array_get(cs_json_get(lookup, "keys"), 0);
    json_t *out = json_deep_copy(key);

    assert_non_null(out);
    json_object_set_new(out, "id", json_string(cs_uuid5_url(cs_json_print(key, w->p), w->p)));
    return out;
}

/* What the CRM makes of a written value; NULL = it ignores it. */
static inline json_t *deal_kept(deal_world_t *w, const char *column, const json_t *value)
{
    habit_e habit = (habit_e)cs_json_int(w->habits, column, HABIT_KEEPS);
    const char *number = cs_json_str(value, "$number"), *text = json_string_value(value), *rounded;

    if (habit == HABIT_IGNORES) {
        return NULL;
    }
    if (number) {
        assert_ok(cs_decimal_from_text(&rounded, number, habit == HABIT_ROUNDS ? 0 : 4, w->p));
        return cs_decimal_to_json(rounded);
    }
    if (cs_json_get(value, "$lookup")) {
        return deal_lookup(w, cs_json_get(value, "$lookup"));
    }
    if (text && habit == HABIT_CUTS && strlen(text) > 5) {
        return json_stringn(text, 5);
    }
    return json_deep_copy(value);
}

static inline void deal_write(deal_world_t *w, const json_t *columns)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)columns, column, value) {
        json_t *kept = deal_kept(w, column, value);

        if (kept) {
            json_object_set_new(w->row, column, kept);
        }
    }
    w->version++;
    w->writes++;
}

/* A row with every column the mapping reads. */
static inline void deal_row(deal_world_t *w, const char *id)
{
    const apr_array_header_t *columns = cs_mapping_columns(w->kind);
    int i;

    w->row = cs_json_own(json_object(), w->p);
    for (i = 0; i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);

        if (!strchr(column, '/')) {
            json_object_set_new(w->row, column, deal_row_default(column));
        }
    }
    json_object_set_new(w->row, "opportunityid", json_string(id));
}

static inline const char *deal_etag(deal_world_t *w)
{
    return apr_psprintf(w->p, "\"%d\"", w->pc_version);
}

/* A person in the portal edits the referral. */
static inline void deal_edit_pc(deal_world_t *w, const char *pointer, const char *value)
{
    deal_set(w, pointer, value);
    w->pc_version++;
}

/* The line a path of a patch belongs to. */
static inline const char *deal_part_of(const cs_step_t *step, const char *path)
{
    const char *line;
    json_t *paths, *one;
    size_t i;

    json_object_foreach(step->parts, line, paths) {
        json_array_foreach(paths, i, one) {
            if (!strcmp(json_string_value(one), path)) {
                return line;
            }
        }
    }
    fail_msg("%s belongs to no line", path);
    return NULL;
}

/* Every path that is refused takes the lines with it that share it, as the engine leaves them out. */
static inline json_t *deal_refused_parts(deal_world_t *w, const cs_step_t *step, json_t **refused)
{
    json_t *out = cs_json_own(json_object(), w->p), *paths, *one;
    const char *line;
    size_t i;

    json_object_foreach(step->parts, line, paths) {
        json_array_foreach(paths, i, one) {
            const char *why = cs_json_str(w->pc_refuses, json_string_value(one));

            if (why) {
                *refused = *refused ? *refused : cs_json_own(json_object(), w->p);
                json_object_set_new(*refused, line, json_string(why));
                json_object_set(out, line, paths);
            }
        }
    }
    return out;
}

static inline void deal_patch(deal_world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *left_out = deal_refused_parts(w, step, &applied->refused);
    cs_card_t *card;
    size_t i, done = 0;

    applied->tried = applied->calls = 1;
    if (w->pc_fail) {
        applied->result.cls = CS_CLASS_RETRY;
        return;
    }
    if (step->after < 0 && strcmp(step->guard, deal_etag(w))) {
        fail_msg("a patch with the guard %s, and the referral is %s", step->guard, deal_etag(w));
    }
    for (i = 0; i < json_array_size(step->columns); i++) {
        const json_t *op = json_array_get(step->columns, i);
        const char *path = cs_json_str(op, "path"), *what = cs_json_str(op, "op");
        json_t *now = cs_json_pointer(w->doc, path), *habit = cs_json_get(w->pc_habits, path);

        assert_true(!strcmp(what, "add") || !strcmp(what, "replace"));
        if (!strcmp(what, "replace") && !now) {
            fail_msg("%s is replaced, and is not there", path);
        }
        if (cs_json_get(left_out, deal_part_of(step, path))) {
            continue;
        }
        assert_ok(cs_json_pointer_set(w->doc, path, json_deep_copy(habit ? habit : cs_json_get(op, "value"))));
        done++;
    }
    if (!done) {
        return;
    }
    w->pc_version++;
    w->pc_writes++;
    applied->done = 1;
    if (!w->pc_silent) {
        card = apr_pmemdup(w->p, &w->card, sizeof(*card));
        card->etag = deal_etag(w);
        card->doc = cs_json_own(json_deep_copy(w->doc), w->p);
        applied->card = card;
    }
}

static inline void deal_step(deal_world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    if (step->kind == CS_STEP_PATCH_PC && !w->fail) {
        deal_patch(w, step, applied);
        return;
    }
    applied->tried = 1;
    applied->calls = 1;
    if (w->fail) {
        applied->result.cls = CS_CLASS_RETRY;
        return;
    }
    applied->done = 1;
    if (step->list) {
        return; /* rows of lists are the test's own */
    }
    if (step->kind == CS_STEP_CALL) {
        json_object_set_new(w->row, "statecode", json_integer(!strcmp(step->call, "WinOpportunity") ? 1 : 2));
        json_object_set_new(w->row, "statuscode", json_deep_copy(cs_json_get(step->columns, "Status")));
        w->version++;
        w->writes++;
        return;
    }
    if (step->kind == CS_STEP_CREATE) {
        deal_row(w, step->id);
    }
    else if (step->kind == CS_STEP_UPDATE && cs_json_int(w->row, "statecode", -1) != 0) {
        fail_msg("a closed row was written: %s", cs_json_print(step->columns, w->p));
    }
    deal_write(w, step->columns);
    if (!w->silent) {
        cs_record_t *after = apr_pcalloc(w->p, sizeof(*after));

        after->table = "opportunity";
        after->id = step->id;
        after->version = deal_version(w);
        after->row = cs_json_own(json_deep_copy(w->row), w->p);
        applied->after = after;
    }
}

/* Stage 4. */
static inline void deal_fetch(deal_world_t *w)
{
    memset(&w->look, 0, sizeof(w->look));
    memset(&w->card, 0, sizeof(w->card));
    w->card.id = DEAL_REFERRAL;
    w->card.organization_id = "own";
    w->card.etag = deal_etag(w);
    w->card.doc = w->doc;
    w->look.mapping = w->mapping;
    w->look.site = "contoso";
    w->look.crm = "sales";
    w->look.organization = "own";
    w->look.deal = &w->deal;
    w->look.own = &w->card;
    w->look.record_read = 1;
    w->look.now = DEAL_NOW + apr_time_from_sec(DEAL_PAUSE) * w->fetched++;
    if (w->row) {
        w->record.table = "opportunity";
        w->record.id = cs_json_str(w->row, "opportunityid");
        w->record.version = deal_version(w);
        w->record.row = w->row;
        w->look.record = &w->record;
    }
}

/* And 5. */
static inline cs_plan_t *deal_plan(deal_world_t *w)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(w);
    if (cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return w->plan;
}

/* Stage 6. */
static inline void deal_apply(deal_world_t *w)
{
    int i;

    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    if (w->plan->intent) {
        w->deal.intent = w->plan->intent;
    }
    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        if (step->send && (step->after < 0 || w->applied[step->after].done)) {
            deal_step(w, step, &w->applied[i]);
        }
    }
}

/* Stage 7. */
static inline void deal_settle(deal_world_t *w)
{
    cs_deal_t before = w->deal;
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    w->look.deal = &before;
    if (cs_reconcile_settle(&w->deal, w->journal, w->plan, &w->look, w->applied, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    if (w->row && !w->deal.record_id) {
        w->deal.record_id = apr_pstrdup(w->p, cs_json_str(w->row, "opportunityid"));
    }
    w->look.deal = &w->deal;
}

static inline cs_plan_t *deal_look(deal_world_t *w)
{
    deal_plan(w);
    deal_apply(w);
    deal_settle(w);
    return w->plan;
}

static inline int deal_sent(const cs_plan_t *plan)
{
    int n = 0, i;

    for (i = 0; i < plan->steps->nelts; i++) {
        n += APR_ARRAY_IDX(plan->steps, i, cs_step_t *)->send;
    }
    return n;
}

static inline const cs_step_t *deal_find_step(const cs_plan_t *plan, cs_step_kind_e kind)
{
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        if (APR_ARRAY_IDX(plan->steps, i, cs_step_t *)->kind == kind) {
            return APR_ARRAY_IDX(plan->steps, i, cs_step_t *);
        }
    }
    return NULL;
}

static inline const cs_line_view_t *deal_view(const cs_plan_t *plan, const char *line)
{
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *);

        if (!strcmp(view->line, line)) {
            return view;
        }
    }
    fail_msg("no line %s", line);
    return NULL;
}

#define assert_json(w, json, text) \
    do { \
        const char *shown_ = cs_json_print((json), (w)->p), *meant_ = cs_json_print(deal_json((w)->p, (text)), (w)->p); \
        if (strcmp(shown_, meant_)) { \
            fail_msg("%s is not %s", shown_, meant_); \
        } \
    } while (0)

#define assert_verdict(w, line, want) \
    do { \
        const cs_line_view_t *view_ = deal_view((w)->plan, (line)); \
        if (view_->verdict != (want)) { \
            fail_msg("%s is \"%s\" (%s), not \"%s\"", (line), cs_verdict_name(view_->verdict), view_->why ? view_->why : "", cs_verdict_name(want)); \
        } \
    } while (0)

#endif
