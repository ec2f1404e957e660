/* domain/reconcile_clone.c: a record that was copied from a linked one, referral id and all. (deals
 * 1)
 *
 * The referral has its record, which is not this one. The copy is set free and becomes a referral
 * of its own only when somebody asks for that again.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "reconcile_internal.h"

/* What the opt-in's column is while it is off. */
static json_t *off_value(const cs_cond_t *opt_in)
{
    return opt_in->op == CS_COND_IS && json_is_true(opt_in->arg) ? json_false() : json_null();
}

/* Only what the row shows otherwise, and shows at all. */
static void set(const cs_planning_t *pl, json_t *columns, json_t *parts, const char *column,
                json_t *value)
{
    const json_t *now = column ? cs_json_get(pl->row, column) : NULL;

    if (now && !json_equal(now, value)) {
        json_object_set(columns, column, value);
        json_object_set_new(parts, apr_pstrcat(pl->ptemp, CS_LINE_TELL "/", column, NULL),
                            json_pack("[s]", column));
    }
    json_decref(value);
}

static json_t *text(const cs_planning_t *pl, const char *words, int max)
{
    return json_string(cs_text_head(words, max, pl->ptemp));
}

static json_t *columns_of(cs_planning_t *pl, json_t *parts)
{
    const cs_tell_t *tell = &pl->kind->tell;
    const cs_cond_t *opt_in = pl->kind->opt_in;
    json_t *columns = cs_json_own(json_object(), pl->p);
    const char *line = apr_pstrcat(pl->p, cs_time_format_minute(pl->look->now, pl->ptemp), " - ",
                                   pl->plan->problem, NULL);

    set(pl, columns, parts, opt_in->crm->name, off_value(opt_in));
    set(pl, columns, parts, tell->id, json_null());
    set(pl, columns, parts, tell->link, json_null());
    set(pl, columns, parts, tell->explain, json_null());
    set(pl, columns, parts, tell->status, text(pl, pl->plan->status, tell->status_max));
    set(pl, columns, parts, tell->problem, text(pl, pl->plan->problem, tell->problem_max));
    set(pl, columns, parts, tell->audit, text(pl, line, tell->audit_max));
    return columns;
}

static void add_step(cs_planning_t *pl)
{
    json_t *parts = cs_json_own(json_object(), pl->p), *columns = columns_of(pl, parts);
    cs_step_t *step;

    if (!json_object_size(columns)) {
        return;
    }
    step = cs_planning_step(pl, CS_STEP_UPDATE, columns, pl->plan->why);
    step->table = pl->kind->table;
    step->id = pl->look->record->id;
    step->guard = pl->look->record->version;
    step->parts = parts;
    APR_ARRAY_PUSH(step->lines, const char *) = CS_LINE_TELL;
}

apr_status_t cs_reconcile_clone(cs_plan_t **pplan, const cs_look_t *look, apr_pool_t *p,
                                apr_pool_t *ptemp, cs_result_t *res)
{
    cs_planning_t pl = {.look = look, .p = p, .ptemp = ptemp};
    cs_plan_t *plan = pl.plan = apr_pcalloc(p, sizeof(*plan));

    *pplan = NULL;
    if (!look->record) {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "deal:no record",
                             "a copy is set free by its row, and none was read");
    }
    pl.kind = cs_mapping_route_row(look->mapping, look->record->table, look->record->row, ptemp);
    pl.kind = pl.kind ? pl.kind : cs_mapping_kind_of_table(look->mapping, look->record->table);
    if (!pl.kind) {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "mapping:kind",
                             "no record kind of the mapping has the table %s", look->record->table);
    }
    *pplan = plan;
    pl.row = look->record->row;
    pl.row_state = cs_state_of_row(pl.kind, pl.row);
    plan->steps = apr_array_make(p, 1, sizeof(cs_step_t *));
    plan->lines = apr_array_make(p, 1, sizeof(cs_line_view_t *));
    plan->clone = 1;
    plan->what = CS_PLAN_HOLD;
    plan->state_after = look->deal->state;
    plan->status = "Paused";
    plan->why = "copied from a record that has a referral: the copy has none";
    if (!pl.kind->opt_in) {
        plan->problem = plan->why = "Copied from another record, and nothing on it says whether it "
                                    "is to be shared: take the referral's id off to share it";
    }
    else if (!cs_planning_writable(&pl)) {
        plan->problem = "Copied from another record, and closed";
    }
    else {
        plan->problem = apr_psprintf(
            p, "Copied from another record; switch %s on again to share it",
            cs_column_label(look->metadata, pl.kind->table, pl.kind->opt_in->crm->name));
        add_step(&pl);
        plan->what = plan->steps->nelts ? CS_PLAN_STEPS : CS_PLAN_HOLD;
    }
    cs_plan_explain(plan, look, p);
    return APR_SUCCESS;
}
