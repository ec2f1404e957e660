/* domain/reconcile_sum.c: what a plan comes to: its kind, the intent to be stored, and itself in
 * words. */
#include <string.h>

#include "reconcile_internal.h"

#define INTENT_STEPS 24 /* newest first; beyond it only the create is kept */

/* ---- names ---- */

const char *cs_verdict_name(cs_verdict_e verdict)
{
    static const char *const names[] = {"equal",      "to crm",      "to partner center", "held",
                                        "one way",    "create only", "not kept",          "closed",
                                        "unreadable", "skipped",     "refused",           "latched",
                                        "stays"};

    return (unsigned)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}

static const char *plan_name(cs_plan_e what)
{
    static const char *const names[] = {"nothing", "steps", "hold", "park", "gone"};

    return names[what];
}

/* ---- summing up ---- */

static int count_sent(const cs_plan_t *plan)
{
    int n = 0, i;

    for (i = 0; i < plan->steps->nelts; i++) {
        n += APR_ARRAY_IDX(plan->steps, i, cs_step_t *)->send;
    }
    return n;
}

static const char *last_why(const cs_plan_t *plan)
{
    const char *why = NULL;
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        why = step->send ? step->why : why;
    }
    return why;
}

static int is_held(const cs_plan_t *plan)
{
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        if (APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *)->verdict == CS_VERDICT_HELD) {
            return 1;
        }
    }
    return 0;
}

/* It writes over what is there. */
static int is_over(const cs_step_t *step)
{
    return step->kind == CS_STEP_PATCH_PC || step->kind == CS_STEP_UPDATE ||
           step->kind == CS_STEP_REOPEN || step->list;
}

/* What it brings, and what it writes over: for the journal, should this look not live to say so. */
static json_t *intent_of(const cs_planning_t *pl, const cs_step_t *step)
{
    json_t *lines = json_object(), *from = json_object();
    int to_pc = step->kind == CS_STEP_PATCH_PC, i;

    for (i = 0; i < step->lines->nelts; i++) {
        const char *line = APR_ARRAY_IDX(step->lines, i, const char *);
        const cs_line_view_t *view = cs_plan_view(pl->plan, line);
        const json_t *was = !view ? NULL : to_pc ? view->pc : view->crm;

        if (view && view->value) {
            json_object_set_new(lines, view->line, json_deep_copy(view->value));
        }
        if (view && view->value && was && is_over(step)) {
            json_object_set_new(from, view->line, json_deep_copy(was));
        }
    }
    return json_pack("{s:s,s:s?,s:s?,s:s*,s:o,s:o}", "kind", cs_step_kind_name(step->kind), "table",
                     step->table, "id", step->id, "list", step->list, "lines", lines, "from", from);
}

static int holds(const json_t *steps, const json_t *step)
{
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        if (json_equal(json_array_get(steps, i), step)) {
            return 1;
        }
    }
    return 0;
}

/* What earlier looks meant and never heard of may stand in the row, too: it is known as ours until
 * something is settled. */
static void add_earlier(json_t *steps, const cs_deal_t *deal)
{
    const json_t *earlier = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(earlier); i++) {
        json_t *step = json_array_get(earlier, i);

        if (!holds(steps, step) &&
            (json_array_size(steps) < INTENT_STEPS || cs_intent_is_create(step))) {
            json_array_append_new(steps, json_deep_copy(step));
        }
    }
}

void cs_plan_intent(cs_planning_t *pl)
{
    json_t *steps;
    int i;

    if (!count_sent(pl->plan)) {
        return;
    }
    steps = json_array();
    for (i = 0; i < pl->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(pl->plan->steps, i, cs_step_t *);

        if (step->send) {
            json_array_append_new(steps, intent_of(pl, step));
        }
    }
    add_earlier(steps, pl->look->deal);
    pl->plan->intent = cs_json_own(json_pack("{s:o}", "steps", steps), pl->p);
}

/* Values are written, and each of them only because the mapping changed. */
static int is_bulk(const cs_planning_t *pl)
{
    int written = 0, i;

    for (i = 0; i < pl->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *);

        if ((view->to_crm || view->to_pc) && !view->bulk) {
            return 0;
        }
        written |= view->to_crm || view->to_pc;
    }
    return written && !pl->state_set && !pl->call && !pl->heard && !pl->stage;
}

void cs_plan_decide(cs_planning_t *pl)
{
    cs_plan_t *plan = pl->plan;
    int sent = count_sent(plan);

    plan->crm_writes = sent && is_bulk(pl);
    plan->state_after = pl->unlink     ? CS_DEAL_UNLINKED
                        : pl->terminal ? CS_DEAL_CLOSED
                                       : CS_DEAL_LINKED;
    if (sent) {
        plan->what = CS_PLAN_STEPS;
        plan->why = last_why(plan);
    }
    else if (is_held(plan)) {
        plan->what = CS_PLAN_HOLD;
        plan->why = plan->problem ? plan->problem : "a value waits";
    }
    else {
        plan->what = CS_PLAN_NOTHING;
        plan->why = plan->problem ? plan->problem : "both sides are as the rules want them";
    }
}

static void put(json_t *to, const char *name, const json_t *value)
{
    if (value) {
        json_object_set_new(to, name, json_deep_copy(value));
    }
}

static json_t *explain_view(const cs_line_view_t *view)
{
    json_t *out = json_pack("{s:s,s:s,s:s*}", "line", view->line, "verdict",
                            cs_verdict_name(view->verdict), "why", view->why);

    put(out, "pc", view->pc);
    put(out, "crm", view->crm);
    put(out, "seen_pc", view->seen_pc);
    put(out, "seen_crm", view->seen_crm);
    put(out, "value", view->value);
    return out;
}

static json_t *explain_step(const cs_step_t *step)
{
    json_t *lines = json_array();
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        json_array_append_new(lines, json_string(APR_ARRAY_IDX(step->lines, i, const char *)));
    }
    return json_pack("{s:s,s:b,s:s*,s:s*,s:s*,s:s*,s:o,s:o,s:i,s:s*}", "kind",
                     cs_step_kind_name(step->kind), "send", step->send, "table", step->table, "id",
                     step->id, "guard", step->guard, "call", step->call, "columns",
                     json_deep_copy(step->columns), "lines", lines, "after", step->after, "why",
                     step->why);
}

void cs_plan_explain(cs_plan_t *plan, const cs_look_t *look, apr_pool_t *p)
{
    json_t *lines = json_array(), *steps = json_array();
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        json_array_append_new(lines, explain_view(APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *)));
    }
    for (i = 0; i < plan->steps->nelts; i++) {
        json_array_append_new(steps, explain_step(APR_ARRAY_IDX(plan->steps, i, cs_step_t *)));
    }
    plan->explain = cs_json_own(
        json_pack("{s:s,s:s,s:s,s:s*,s:s*,s:s*,s:s*,s:o,s:o}", "what", plan_name(plan->what), "why",
                  plan->why, "state", cs_deal_state_name(plan->state_after), "status", plan->status,
                  "problem", plan->problem, "partner_center",
                  look->own ? cs_state_of_card(look->own, p) : NULL, "mapping",
                  cs_mapping_revision(look->mapping), "lines", lines, "steps", steps),
        p);
}
