/* engine/diff.c: what a plan would change, line by line. */
#include "diff.h"

#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "apply.h"

#define NAMED 4

static const cs_step_t *step_at(const cs_plan_t *plan, int i)
{
    return APR_ARRAY_IDX(plan->steps, i, const cs_step_t *);
}

int cs_item_would_change(const cs_item_t *item)
{
    const cs_plan_t *plan = item->plan;
    int i;

    if (!plan || plan->stale) {
        return 0;
    }
    for (i = 0; plan->what == CS_PLAN_STEPS && i < plan->steps->nelts; ++i) {
        if (step_at(plan, i)->send) {
            return 1;
        }
    }
    return (plan->what == CS_PLAN_PARK || plan->what == CS_PLAN_GONE) &&
           plan->state_after != item->deal->state;
}

/* ---- changes ---- */

static json_t *copy(const json_t *value)
{
    return value ? json_deep_copy(value) : json_null();
}

static void add(json_t *list, const char *line, int to_pc, json_t *from, json_t *to,
                const char *why)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:s*}", "line", line, "direction",
                                          to_pc ? "to_pc" : "to_crm", "from", from, "to", to, "why",
                                          why));
}

static void add_view(json_t *list, const cs_line_view_t *view, const cs_step_t *step)
{
    int to_pc = cs_step_is_pc(step);
    const json_t *from = to_pc ? view->pc : view->crm, *to = to_pc ? view->crm : view->pc;

    add(list, view->line, to_pc, step->kind == CS_STEP_CREATE ? json_null() : copy(from),
        copy(step->kind == CS_STEP_DELETE ? NULL
             : view->value                ? view->value
                                          : to),
        view->why ? view->why : step->why);
}

static json_t *told(const char *status, const char *problem)
{
    return status || problem ? json_pack("{s:s*, s:s*}", "status", status, "problem", problem)
                             : json_null();
}

static const char *step_name(const cs_step_t *step)
{
    switch (step->kind) {
    case CS_STEP_CREATE:
        return "$record";
    case CS_STEP_POST_PC:
        return "$referral";
    default:
        return step->call ? step->call : cs_step_kind_name(step->kind);
    }
}

static void add_line(json_t *list, const cs_item_t *item, const cs_step_t *step, const char *line)
{
    const cs_line_view_t *view = cs_plan_view(item->plan, line);

    if (view) {
        add_view(list, view, step);
    }
    else if (!strcmp(line, CS_LINE_TELL)) {
        add(list, line, 0, told(item->deal->status, item->deal->problem),
            told(item->plan->status, item->plan->problem), step->why);
    }
    else {
        add(list, line, cs_step_is_pc(step), json_null(), json_null(), step->why);
    }
}

static void add_step(json_t *list, const cs_item_t *item, const cs_step_t *step)
{
    int i, whole = step->kind == CS_STEP_CREATE && !step->list;

    if (whole || !step->lines->nelts || step->kind == CS_STEP_POST_PC ||
        step->kind == CS_STEP_CALL) {
        add(list, step_name(step), cs_step_is_pc(step), json_null(), copy(step->columns),
            step->why);
    }
    for (i = 0; i < step->lines->nelts; ++i) {
        add_line(list, item, step, APR_ARRAY_IDX(step->lines, i, const char *));
    }
}

json_t *cs_item_changes(const cs_item_t *item, apr_pool_t *p)
{
    json_t *list = cs_json_own(json_array(), p);
    const cs_plan_t *plan = item->plan;
    int i;

    for (i = 0; plan && plan->what == CS_PLAN_STEPS && i < plan->steps->nelts; ++i) {
        if (step_at(plan, i)->send) {
            add_step(list, item, step_at(plan, i));
        }
    }
    if (plan && (plan->what == CS_PLAN_PARK || plan->what == CS_PLAN_GONE) &&
        plan->state_after != item->deal->state) {
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:s*}", "line", "$deal", "direction",
                                        "", "from", cs_deal_state_name(item->deal->state), "to",
                                        cs_deal_state_name(plan->state_after), "why", plan->why));
    }
    return list;
}

/* ---- in words ---- */

/* "3 to the CRM (name, notes, value)" */
static const char *count_words(const json_t *changes, int to_pc, apr_pool_t *p)
{
    const char *names = "", *to = to_pc ? "to_pc" : "to_crm";
    const json_t *change;
    size_t i;
    int n = 0;

    json_array_foreach((json_t *)changes, i, change) {
        if (strcmp(cs_json_str(change, "direction"), to)) {
            continue;
        }
        if (n++ < NAMED) {
            names = apr_pstrcat(p, names, *names ? ", " : "", cs_json_str(change, "line"), NULL);
        }
    }
    return n ? apr_psprintf(p, "%d %s (%s%s)", n, to_pc ? "to Partner Center" : "to the CRM", names,
                            n > NAMED ? ", ..." : "")
             : NULL;
}

static const char *change_words(const cs_item_t *item, apr_pool_t *p)
{
    const json_t *changes = cs_item_changes(item, p);
    const char *crm = count_words(changes, 0, p), *pc = count_words(changes, 1, p);

    if (!crm && !pc) {
        return apr_pstrcat(p, "it would become ", cs_deal_state_name(item->plan->state_after), ": ",
                           item->plan->why, NULL);
    }
    return apr_pstrcat(p, "a look would write ", crm ? crm : pc, crm && pc ? " and " : "",
                       crm && pc ? pc : "", NULL);
}

static const char *rest_words(const cs_item_t *item, apr_pool_t *p)
{
    const cs_deal_t *deal = item->deal;

    if (!deal) {
        return "no deal comes of it";
    }
    return apr_pstrcat(p, "the deal is ", cs_deal_state_name(deal->state),
                       deal->problem ? ": " : "", deal->problem ? deal->problem : "", NULL);
}

const char *cs_item_words(const cs_item_t *item, apr_pool_t *p)
{
    if (item->over && !item->quiet) {
        return apr_pstrcat(p, item->upstream ? item->upstream : "", item->upstream ? ": " : "",
                           item->result.detail ? item->result.detail : "no reason given", NULL);
    }
    if (item->plan && item->plan->stale) {
        return "a side answered with something older than what was settled: read again later";
    }
    if (cs_item_would_change(item)) {
        return change_words(item, p);
    }
    if (item->plan && item->plan->what == CS_PLAN_NOTHING) {
        return apr_pstrcat(p, "nothing is to be written: ", item->plan->why, NULL);
    }
    if (item->plan) {
        return item->plan->why;
    }
    return rest_words(item, p);
}
