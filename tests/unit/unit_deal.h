/* A referral, a CRM and one deal between them, all in memory: what the tests of domain/ look at.
 *
 * The CRM is a row with the habits of real ones: columns that round, cut or ignore what is written, columns with defaults, a version that moves with each write.
 */
#ifndef CS_TESTS_UNIT_DEAL_H
#define CS_TESTS_UNIT_DEAL_H

#include "unit.h"

#include <strings.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/decimal.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/domain/mapping.h"
#include "mod_cosell/domain/reconcile.h"
#include "mod_cosell/domain/state.h"

#define DEAL_PROFILE "tests/unit/mapping/deal-dynamics365.json"
#define DEAL_REFERRAL "0f0a4b6e-1111-4222-8333-944455566677"
#define DEAL_NOW apr_time_from_sec(1770000000) /* 2026-02-02 02:40 */

typedef enum { HABIT_KEEPS = 0, HABIT_ROUNDS, HABIT_CUTS, HABIT_IGNORES } habit_e;

typedef struct deal_world_t {
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
    if (cs_mapping_parse(&mapping, text, strlen(text), "test.json", "dynamics365", NULL, p, &res) != APR_SUCCESS) {
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

static inline void deal_step(deal_world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
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
    w->card.etag = "\"1\"";
    w->card.doc = w->doc;
    w->look.mapping = w->mapping;
    w->look.site = "contoso";
    w->look.crm = "sales";
    w->look.organization = "own";
    w->look.deal = &w->deal;
    w->look.own = &w->card;
    w->look.record_read = 1;
    w->look.now = DEAL_NOW;
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
