/* domain/reconcile_steps.c: what was judged becomes ordered steps with guards. (deals 2) */
#include <apr_strings.h>
#include <string.h>

#include "reconcile_internal.h"

/* ---- steps towards the CRM ---- */

static cs_step_t *add_step(cs_planning_t *pl, cs_step_kind_e kind, json_t *columns, const char *why)
{
    cs_step_t *step = apr_pcalloc(pl->p, sizeof(*step));

    step->kind = kind;
    step->send = kind != CS_STEP_PATCH_PC;
    step->table = pl->kind->table;
    step->id = pl->record_id;
    step->columns = columns;
    step->lines = apr_array_make(pl->p, 4, sizeof(const char *));
    step->after = -1;
    step->why = why;
    APR_ARRAY_PUSH(pl->plan->steps, cs_step_t *) = step;
    return step;
}

static void name_line(cs_step_t *step, const char *line)
{
    APR_ARRAY_PUSH(step->lines, const char *) = line;
}

static const cs_line_t *line_at(const cs_planning_t *pl, int i)
{
    return APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);
}

static cs_line_view_t *view_at(const cs_planning_t *pl, int i)
{
    return APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *);
}

static void merge(json_t *to, const json_t *from)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)from, name, value) {
        json_object_set_new(to, name, json_deep_copy(value));
    }
}

/* ---- what each line brings ---- */

static void add_part(json_t *parts, const char *name, const json_t *columns)
{
    json_t *list = cs_json_get(parts, name);
    const char *column;
    json_t *value;

    if (!list) {
        list = json_array();
        json_object_set_new(parts, name, list);
    }
    json_object_foreach((json_t *)columns, column, value) {
        json_array_append_new(list, json_string(column));
    }
}

/* Lines of a group are one part, named after the first of them, and a look-up of one of them holds
 * all of them. */
static const char *part_name(const cs_planning_t *pl, const cs_line_t *line)
{
    int i;

    for (i = 0; line->group && i < pl->kind->lines->nelts; i++) {
        const cs_line_t *first = line_at(pl, i);

        if (first->group && !strcmp(first->group, line->group) && view_at(pl, i)->to_crm) {
            return first->name;
        }
    }
    return line->name;
}

static void hold_together(json_t *columns, const json_t *part)
{
    size_t i;

    for (i = 0; i < json_array_size(part); i++) {
        json_t *lookup = cs_json_get(
            cs_json_get(columns, json_string_value(json_array_get(part, i))), "$lookup");

        if (cs_json_get(lookup, "columns")) {
            json_object_set_new(lookup, "columns", json_deep_copy(part));
        }
    }
}

/* The columns of every line that goes to the CRM; their names into names. */
static void add_lines(cs_planning_t *pl, json_t *columns, apr_array_header_t *names, json_t *parts)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = view_at(pl, i);
        const cs_line_t *line = line_at(pl, i);
        json_t *own;

        if (!view->to_crm) {
            continue;
        }
        own = cs_json_own(json_object(), pl->p);
        cs_line_columns(own, line, &pl->table, view->pc, pl->doc, pl->creating ? NULL : view->crm,
                        pl->p);
        merge(columns, own);
        add_part(parts, part_name(pl, line), own);
        if (line->group) {
            hold_together(columns, cs_json_get(parts, part_name(pl, line)));
        }
        APR_ARRAY_PUSH(names, const char *) = view->line;
    }
}

/* A step of several lines says whose its columns are. */
static void put_parts(const cs_planning_t *pl, cs_step_t *step, json_t *parts, const json_t *start,
                      const json_t *told)
{
    const json_t *brought[] = {start, pl->state_set};
    const char *const names[] = {CS_LINE_START, CS_LINE_STATE};
    const char *column;
    json_t *value;
    size_t i;

    for (i = 0; i < 2; i++) {
        if (json_object_size(brought[i])) {
            add_part(parts, names[i], brought[i]);
        }
    }
    /* Each text for itself: one that the CRM does not take must not cost the record its identity.
     */
    json_object_foreach((json_t *)told, column, value) {
        json_object_set_new(parts, apr_pstrcat(pl->ptemp, CS_LINE_TELL "/", column, NULL),
                            json_pack("[s]", column));
    }
    step->parts = parts;
}

/* Constants a record starts with, for one that was there before: what nobody has set. */
static void add_start(cs_planning_t *pl, json_t *columns)
{
    json_t *start = cs_json_own(json_object(), pl->p);
    const char *name;
    json_t *value;

    cs_set_apply(start, pl->kind->from_pc_set, pl->doc, pl->p);
    json_object_foreach(start, name, value) {
        const json_t *now = cs_json_get(pl->row, name);

        if (pl->creating ||
            (now && (json_is_null(now) || json_is_false(now)) && !json_equal(now, value))) {
            json_object_set_new(columns, name, json_deep_copy(value));
        }
    }
}

static void step_create(cs_planning_t *pl)
{
    json_t *columns = cs_json_own(json_object(), pl->p), *told = cs_json_own(json_object(), pl->p);
    json_t *start = cs_json_own(json_object(), pl->p), *parts = cs_json_own(json_object(), pl->p);
    cs_step_t *step = add_step(pl, CS_STEP_CREATE, columns, "the referral has no record yet");

    add_start(pl, start);
    merge(columns, start);
    if (pl->state_set) {
        merge(columns, pl->state_set);
    }
    add_lines(pl, columns, step->lines, parts);
    cs_list_columns(pl, columns, step->lines, parts);
    cs_tell_columns(pl, told, columns);
    merge(columns, told);
    put_parts(pl, step, parts, start, told);
    step->travels = cs_tell_travels(pl, columns);
    name_line(step, CS_LINE_STATE);
    name_line(step, CS_LINE_TELL);
}

static int step_reopen(cs_planning_t *pl)
{
    cs_step_t *step;

    if (!pl->reopen) {
        return -1;
    }
    step = add_step(pl, CS_STEP_REOPEN, cs_json_own(json_deep_copy(pl->reopen_set), pl->p),
                    pl->state->why);
    step->guard = pl->look->record->version;
    name_line(step, CS_LINE_STATE);
    return pl->plan->steps->nelts - 1;
}

static int step_update(cs_planning_t *pl, int after)
{
    json_t *columns = cs_json_own(json_object(), pl->p), *told = cs_json_own(json_object(), pl->p);
    json_t *start = cs_json_own(json_object(), pl->p), *parts = cs_json_own(json_object(), pl->p);
    apr_array_header_t *names = apr_array_make(pl->p, 4, sizeof(const char *));
    const char *why = "only what the seller reads";
    cs_step_t *step;
    int i;

    if (!cs_planning_writable(pl)) {
        return after;
    }
    add_lines(pl, columns, names, parts);
    cs_list_columns(pl, columns, names, parts);
    if (names->nelts) {
        why = apr_psprintf(pl->p, "%d field%s changed at Partner Center", names->nelts,
                           names->nelts == 1 ? "" : "s");
    }
    if (pl->first) {
        add_start(pl, start);
        merge(columns, start);
    }
    if (pl->state_set) {
        merge(columns, pl->state_set);
        why = pl->state->why;
    }
    cs_tell_columns(pl, told, columns);
    if (!json_object_size(columns) && !json_object_size(told)) {
        return after;
    }
    merge(columns, told);
    step = add_step(pl, CS_STEP_UPDATE, columns, why);
    put_parts(pl, step, parts, start, told);
    step->travels = cs_tell_travels(pl, columns);
    step->guard = pl->look->record->version;
    step->after = after;
    for (i = 0; i < names->nelts; i++) {
        name_line(step, APR_ARRAY_IDX(names, i, const char *));
    }
    if (pl->state_set) {
        name_line(step, CS_LINE_STATE);
    }
    if (json_object_size(told)) {
        name_line(step, CS_LINE_TELL);
    }
    return pl->plan->steps->nelts - 1;
}

static void step_call(cs_planning_t *pl, int after)
{
    cs_step_t *step;

    if (!pl->call) {
        return;
    }
    step = add_step(pl, CS_STEP_CALL, cs_json_own(json_deep_copy(pl->call_set), pl->p),
                    pl->state->why);
    step->call = pl->call;
    step->after = after;
    name_line(step, CS_LINE_STATE);
}

/* ---- steps towards Partner Center, shown only ---- */

static cs_step_t *patch_step(cs_planning_t *pl, const char *why)
{
    cs_step_t *step = add_step(pl, CS_STEP_PATCH_PC, cs_json_own(json_array(), pl->p), why);

    step->table = NULL;
    step->id = pl->look->own->id;
    step->guard = pl->look->own->etag;
    return step;
}

static void replace(json_t *ops, const char *path, const char *value)
{
    json_array_append_new(
        ops, json_pack("{s:s,s:s,s:s}", "op", "replace", "path", path, "value", value));
}

static void add_move(cs_planning_t *pl, cs_step_t *step, const char *state)
{
    const char *slash = strchr(state, '/');

    replace(step->columns, "/status", apr_pstrmemdup(pl->p, state, (apr_size_t)(slash - state)));
    replace(step->columns, "/substatus", slash + 1);
    if (pl->heard->reason && cs_state_is_terminal(state) && strcmp(state, "Closed/Won")) {
        replace(step->columns, "/statusReason", pl->heard->reason);
    }
    name_line(step, CS_LINE_STATE);
}

static const char values_why[] = "the record's values, not sent by this version";

/* A referral is accepted before it is edited; final values and the closing travel together. */
static void steps_to_pc(cs_planning_t *pl)
{
    json_t *arrays = cs_json_own(json_array(), pl->p);
    apr_array_header_t *items = apr_array_make(pl->p, 4, sizeof(const char *));
    cs_step_t *step = NULL;
    int actions = pl->heard ? pl->heard->actions->nelts : 0, i, after = -1;

    for (i = 0; i + 1 < actions; i++) {
        step = patch_step(pl, pl->state->why);
        step->after = after;
        add_move(pl, step,
                 cs_state_after_action(APR_ARRAY_IDX(pl->heard->actions, i, const char *)));
        after = pl->plan->steps->nelts - 1;
    }
    step = NULL;
    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = view_at(pl, i);

        if (view->to_pc) {
            step = step ? step : patch_step(pl, values_why);
            cs_line_operations(step->columns, line_at(pl, i), &pl->table, view->value, pl->doc,
                               pl->p);
            name_line(step, view->line);
        }
    }
    cs_list_operations(pl, arrays, items);
    if (items->nelts) {
        step = step ? step : patch_step(pl, values_why);
        json_array_extend(step->columns, arrays);
        apr_array_cat(step->lines, items);
    }
    if (actions) {
        step = step ? step : patch_step(pl, pl->state->why);
        add_move(
            pl, step,
            cs_state_after_action(APR_ARRAY_IDX(pl->heard->actions, actions - 1, const char *)));
        step->why = pl->state->why;
    }
    if (step) {
        step->after = after;
    }
}

void cs_plan_steps(cs_planning_t *pl)
{
    int first = -1, last = -1;

    if (pl->creating) {
        step_create(pl);
        first = last = pl->plan->steps->nelts - 1;
    }
    else {
        first = step_reopen(pl);
        last = step_update(pl, first);
    }
    /* Rows that belong to the record need it to be there and open, and nothing else of it. */
    cs_list_steps(pl, first);
    step_call(pl, last);
    steps_to_pc(pl);
}
