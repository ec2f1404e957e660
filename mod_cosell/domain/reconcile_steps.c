/* domain/reconcile_steps.c: what was judged becomes ordered steps with guards. (deals 2) */
#include <apr_strings.h>
#include <string.h>

#include "reconcile_internal.h"

cs_step_t *cs_planning_step(cs_planning_t *pl, cs_step_kind_e kind, json_t *columns,
                            const char *why)
{
    cs_step_t *step = apr_pcalloc(pl->p, sizeof(*step));

    step->kind = kind;
    step->send = 1;
    step->columns = columns;
    step->lines = apr_array_make(pl->p, 4, sizeof(const char *));
    step->after = -1;
    step->why = why;
    APR_ARRAY_PUSH(pl->plan->steps, cs_step_t *) = step;
    return step;
}

/* ---- steps towards the CRM ---- */

/* Of the record itself. */
static cs_step_t *add_step(cs_planning_t *pl, cs_step_kind_e kind, json_t *columns, const char *why)
{
    cs_step_t *step = cs_planning_step(pl, kind, columns, why);

    step->table = pl->kind->table;
    step->id = pl->record_id;
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

json_t *cs_create_key(const cs_planning_t *pl, const char *column, const char *value)
{
    return pl->kind->mapping->facts->names_rows && column
               ? cs_json_own(json_pack("{s:s}", column, value), pl->p)
               : NULL;
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
static const char *part_name(const cs_planning_t *pl, const cs_line_t *line, int to_pc)
{
    int i;

    for (i = 0; line->group && i < pl->kind->lines->nelts; i++) {
        const cs_line_t *first = line_at(pl, i);

        if (first->group && !strcmp(first->group, line->group) &&
            (to_pc ? view_at(pl, i)->to_pc : view_at(pl, i)->to_crm)) {
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
        add_part(parts, part_name(pl, line, 0), own);
        if (line->group) {
            hold_together(columns, cs_json_get(parts, part_name(pl, line, 0)));
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

    step->key = cs_create_key(pl, pl->kind->external_id, pl->look->own->id);
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

/* ---- steps towards Partner Center ---- */

/* Never without a guard: a referral that shows no version is not written. */
static cs_step_t *patch_step(cs_planning_t *pl, const char *why, int after)
{
    cs_step_t *step = add_step(pl, CS_STEP_PATCH_PC, cs_json_own(json_array(), pl->p), why);

    step->send = pl->look->own->etag != NULL;
    step->table = NULL;
    step->id = pl->look->own->id;
    step->guard = pl->look->own->etag;
    step->parts = cs_json_own(json_object(), pl->p);
    step->after = after;
    return step;
}

/* The paths of all operations from `first` on belong to the part. */
static void add_paths(cs_step_t *step, const char *name, size_t first)
{
    json_t *part = cs_json_get(step->parts, name);
    size_t i;

    if (!part) {
        part = json_array();
        json_object_set_new(step->parts, name, part);
    }
    for (i = first; i < json_array_size(step->columns); i++) {
        json_array_append(part, cs_json_get(json_array_get(step->columns, i), "path"));
    }
}

static void set_member(const cs_planning_t *pl, json_t *ops, const char *path, const char *value)
{
    const json_t *now = cs_json_get(pl->doc, path + 1);

    if (!json_is_string(now) || strcmp(json_string_value(now), value)) {
        json_array_append_new(ops, json_pack("{s:s,s:s,s:s}", "op",
                                             now && !json_is_null(now) ? "replace" : "add", "path",
                                             path, "value", value));
    }
}

/* Status and substatus always travel together. */
static void add_move(cs_planning_t *pl, cs_step_t *step, const char *state)
{
    const char *slash = strchr(state, '/');
    size_t first = json_array_size(step->columns);

    json_array_append_new(step->columns,
                          json_pack("{s:s,s:s,s:s%}", "op", "replace", "path", "/status", "value",
                                    state, (size_t)(slash - state)));
    json_array_append_new(step->columns,
                          json_pack("{s:s,s:s,s:s}", "op",
                                    cs_json_get(pl->doc, "substatus") ? "replace" : "add", "path",
                                    "/substatus", "value", slash + 1));
    if (pl->heard->reason && cs_state_is_terminal(state) && strcmp(state, "Closed/Won")) {
        set_member(pl, step->columns, "/statusReason", pl->heard->reason);
    }
    add_paths(step, CS_LINE_STATE, first);
    name_line(step, CS_LINE_STATE);
    step->why = pl->state->why;
}

/* The values of lines and lists; what is written when Microsoft is invited goes another way. */
static void add_values(cs_planning_t *pl, cs_step_t *step)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = view_at(pl, i);
        const cs_line_t *line = line_at(pl, i);
        size_t first = json_array_size(step->columns);

        if (view->to_pc && line->pc->root == CS_ROOT_OWN) {
            cs_line_operations(step->columns, line, &pl->table, view->value, pl->doc, pl->p);
            add_paths(step, part_name(pl, line, 1), first);
            name_line(step, view->line);
        }
    }
    cs_list_operations(pl, step->columns, step->lines, step->parts);
}

/* A referral is accepted before it is edited; final values and the closing travel together. */
static void steps_to_pc(cs_planning_t *pl, int after)
{
    const char *closing = NULL;
    cs_step_t *step;
    size_t first;
    int i;

    for (i = 0; pl->heard && i < pl->heard->actions->nelts; i++) {
        const char *state =
            cs_state_after_action(APR_ARRAY_IDX(pl->heard->actions, i, const char *));

        if (cs_state_is_terminal(state)) {
            closing = state;
            continue;
        }
        add_move(pl, patch_step(pl, pl->state->why, after), state);
        after = pl->plan->steps->nelts - 1;
    }
    step = patch_step(pl, NULL, after);
    add_values(pl, step);
    if (step->lines->nelts) {
        step->why = apr_psprintf(pl->p, "%d field%s changed in the CRM", step->lines->nelts,
                                 step->lines->nelts == 1 ? "" : "s");
    }
    if (pl->stage) {
        first = json_array_size(step->columns);
        json_array_append_new(step->columns, cs_stage_operation(pl));
        add_paths(step, CS_LINE_STAGE, first);
        name_line(step, CS_LINE_STAGE);
        step->why = step->why ? step->why : "the record's stage moved";
    }
    if (closing) {
        add_move(pl, step, closing);
    }
    if (!json_array_size(step->columns)) {
        apr_array_pop(pl->plan->steps);
    }
}

void cs_plan_steps(cs_planning_t *pl)
{
    int first = -1, last = -1;

    if (pl->creating) {
        step_create(pl);
        first = last = pl->plan->steps->nelts - 1;
        /* A referral does not name a record that may never be made. */
        steps_to_pc(pl, first);
    }
    else {
        steps_to_pc(pl, -1);
        first = step_reopen(pl);
        last = step_update(pl, first);
    }
    /* Rows that belong to the record need it to be there and open, and nothing else of it. */
    cs_list_steps(pl, first);
    step_call(pl, last);
}
