/* domain/settle_names.c: the id that the CRM gave to the record, in everything that was planned for
 * the id which stood for it. (deals 1) */
#include <apr_strings.h>
#include <string.h>

#include "settle_internal.h"

/* With every text that is `from` made `to`; json itself when there is none. */
static json_t *renamed(json_t *json, const char *from, const char *to, apr_pool_t *p)
{
    json_t *out, *value, *other;
    const char *name;
    size_t i;

    if (json_is_string(json)) {
        return strcmp(json_string_value(json), from) ? json : cs_json_own(json_string(to), p);
    }
    out = json;
    json_object_foreach(json, name, value) {
        other = renamed(value, from, to, p);
        if (other != value) {
            out = out == json ? cs_json_own(json_copy(json), p) : out;
            json_object_set(out, name, other);
        }
    }
    json_array_foreach(json, i, value) {
        other = renamed(value, from, to, p);
        if (other != value) {
            out = out == json ? cs_json_own(json_copy(json), p) : out;
            json_array_set(out, i, other);
        }
    }
    return out;
}

static void rename_views(cs_plan_t *plan, const char *from, const char *to, apr_pool_t *p)
{
    int i;

    plan->lines = apr_array_copy(p, plan->lines);
    for (i = 0; i < plan->lines->nelts; i++) {
        cs_line_view_t **slot = &APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *);
        cs_line_view_t *view = *slot = apr_pmemdup(p, *slot, sizeof(*view));

        view->pc = renamed(view->pc, from, to, p);
        view->crm = renamed(view->crm, from, to, p);
        view->seen_pc = renamed(view->seen_pc, from, to, p);
        view->seen_crm = renamed(view->seen_crm, from, to, p);
        view->value = renamed(view->value, from, to, p);
    }
}

static void rename_steps(cs_plan_t *plan, const char *from, const char *to, apr_pool_t *p)
{
    int i;

    plan->steps = apr_array_copy(p, plan->steps);
    for (i = 0; i < plan->steps->nelts; i++) {
        cs_step_t **slot = &APR_ARRAY_IDX(plan->steps, i, cs_step_t *);
        cs_step_t *step = *slot = apr_pmemdup(p, *slot, sizeof(*step));

        step->id = step->id && !strcmp(step->id, from) ? to : step->id;
        step->columns = renamed(step->columns, from, to, p);
    }
}

/* The step that made the record; -1 = none did, or the id is the one that was planned. */
static int made_at(const cs_plan_t *plan, const cs_applied_t *applied)
{
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->kind == CS_STEP_CREATE && !step->list && applied[i].done && applied[i].made &&
            step->id && strcmp(applied[i].made, step->id)) {
            return i;
        }
    }
    return -1;
}

const cs_plan_t *cs_settle_named(const cs_plan_t *plan, const cs_applied_t *applied, apr_pool_t *p)
{
    int at = made_at(plan, applied);
    const char *from, *to;
    cs_plan_t *out;

    if (at < 0) {
        return plan;
    }
    from = APR_ARRAY_IDX(plan->steps, at, cs_step_t *)->id;
    to = apr_pstrdup(p, applied[at].made);
    out = apr_pmemdup(p, plan, sizeof(*plan));
    rename_views(out, from, to, p);
    rename_steps(out, from, to, p);
    out->intent = renamed(out->intent, from, to, p);
    out->explain = renamed(out->explain, from, to, p);
    return out;
}

/* A record whose id only stood for it has its own from the first time that it is seen. */
void cs_settle_adopt(cs_deal_t *deal, const cs_plan_t *plan, const cs_look_t *look,
                     const cs_applied_t *applied, apr_pool_t *p)
{
    const cs_crm_facts_t *facts = look->mapping->facts;
    int at = made_at(plan, applied);
    const char *id = at >= 0 ? applied[at].made : look->record ? look->record->id : NULL;

    if (facts->names_rows && id &&
        (!deal->record_id || !cs_row_id(facts->id_form, deal->record_id, p))) {
        deal->record_id = apr_pstrdup(p, id);
    }
}
