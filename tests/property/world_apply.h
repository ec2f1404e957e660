/* The steps of a plan carried out, in the order and with the guards of the engine.
 */
#ifndef CS_TESTS_PROPERTY_WORLD_APPLY_H
#define CS_TESTS_PROPERTY_WORLD_APPLY_H

#include "world_crm.h"
#include "world_pc_write.h"

/* ---- the engine ---- */

static void note_line(world_t *w, json_t **pobject, const char *line, const char *why)
{
    cs_lines_add(pobject, line, why, w->p);
}

static const char *guard_of(const world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    const char *guard = step->guard;
    int i;

    for (i = 0; i < at; i++) {
        const cs_step_t *before = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);
        const cs_applied_t *applied = &w->applied[i];

        if (applied->done && applied->after && applied->after->version && before->table && step->table && before->id && step->id &&
            !strcmp(before->table, step->table) && !strcmp(before->id, step->id)) {
            guard = applied->after->version;
        }
    }
    return guard;
}

static void fill_write(world_t *w, cs_crm_write_t *write, int at, const json_t *row)
{
    static const cs_crm_write_e kinds[] = {CS_CRM_CREATE, CS_CRM_UPDATE, CS_CRM_UPDATE, CS_CRM_CALL, CS_CRM_UPDATE, CS_CRM_DELETE, CS_CRM_JOIN, CS_CRM_UPDATE};
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);

    memset(write, 0, sizeof(*write));
    write->kind = kinds[step->kind];
    write->table = step->table;
    write->id = step->id;
    write->guard = guard_of(w, at);
    write->call = step->call;
    write->row = row;
    write->key = step->key;
}

static int drop_columns(json_t *row, const json_t *lookup)
{
    json_t *columns = json_object_get(lookup, "columns"), *name;
    size_t i;

    if (!json_is_array(columns) || !cs_json_str(lookup, "line")) {
        return 0;
    }
    json_array_foreach(columns, i, name) {
        json_object_del(row, json_string_value(name));
    }
    return 1;
}

/* The answer as the engine hands it on. */
static const cs_record_t *shown(const world_t *w, const cs_step_t *step, const cs_record_t *after, const json_t *row)
{
    return cs_record_shown(after, step, row, w->look.record, w->crm->names_rows ? CS_ID_18 : CS_ID_GUID, w->p);
}

static void apply_refused(world_t *w, const cs_step_t *step, cs_applied_t *applied, cs_crm_write_t *write)
{
    cs_refusal_t *refusal = cs_refusal_begin(step, write, 0, w->p);
    cs_refusal_end_t end;
    const json_t *row = write->row;
    const char *line;
    json_t *words;
    int i;

    if (!refusal) {
        applied->result = write->result;
        return;
    }
    w->refusing = 1;
    while (cs_refusal_next(refusal, write)) {
        crm_write(w, write, step);
        applied->calls++;
        cs_refusal_take(refusal, write);
    }
    w->refusing = 0;
    cs_refusal_end(refusal, &end);
    json_object_foreach(end.refused, line, words) {
        note_line(w, &applied->refused, line, json_string_value(words));
    }
    for (i = 0; end.left && i < end.left->nelts; i++) {
        note_line(w, &applied->dropped, APR_ARRAY_IDX(end.left, i, const char *), "other values were refused first");
    }
    applied->done = end.result.cls == CS_CLASS_OK;
    applied->result = end.result;
    applied->after = end.wrote ? shown(w, step, end.after, row) : w->look.record;
    applied->made = applied->done && w->crm->names_rows ? end.id : NULL;
}

/* About the record itself. 0 = the item is over. */
static int apply_record(world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    cs_applied_t *applied = &w->applied[at];
    json_t *row = world_copy(w, step->columns);
    size_t most = json_object_size(row);
    missing_t bad = {NULL, NULL, 0};
    cs_crm_write_t write;

    applied->tried = 1;
    row = resolved_row(w, row, &bad);
    while (bad.lookup && most-- > 0 && drop_columns(row, world_copy(w, bad.lookup))) {
        note_line(w, &applied->dropped, apr_pstrdup(w->p, cs_json_str(bad.lookup, "line")), bad.why);
        memset(&bad, 0, sizeof(bad));
        row = resolved_row(w, row, &bad);
    }
    if (bad.lookup) {
        cs_result_set(&applied->result, w->p, CS_EREMOTE, CS_CLASS_REFUSED, "lookup:held", "%s", bad.why);
        return 0;
    }
    if (step->kind == CS_STEP_UPDATE && json_object_size(row) == (step->travels && json_object_get(row, step->travels))) {
        applied->done = 1;
        applied->after = w->look.record;
        return 1;
    }
    fill_write(w, &write, at, row);
    crm_write(w, &write, step);
    applied->calls++;
    if (write.result.cls == CS_CLASS_OK) {
        applied->done = 1;
        applied->after = shown(w, step, write.record, row);
        applied->made = write.made;
    }
    else if (write.result.cls == CS_CLASS_DATA && (write.kind == CS_CRM_CREATE || write.kind == CS_CRM_UPDATE)) {
        apply_refused(w, step, applied, &write);
    }
    else {
        applied->result = write.result;
    }
    return applied->done;
}

static void find_twin(world_t *w, const cs_step_t *step, const json_t *row, cs_applied_t *applied)
{
    cs_crm_write_t write = {.id = step->id, .key = step->key, .row = row};
    json_t *entry = twin_of(w, step->list, &write);

    cs_result_clear(&applied->result);
    applied->done = applied->found = 1;
    applied->made = w->crm->names_rows ? apr_pstrdup(w->p, cs_json_str(entry, "id")) : NULL;
    applied->after = representation(w, step->table, applied->made ? applied->made : step->id, apr_pstrdup(w->p, cs_json_str(entry, "version")), json_object_get(entry, "row"));
}

static void apply_aside(world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    cs_applied_t *applied = &w->applied[at];
    const char *line = APR_ARRAY_IDX(step->lines, 0, const char *);
    missing_t bad = {NULL, NULL, 0};
    json_t *row = resolved_row(w, step->columns, &bad);
    cs_crm_write_t write;

    applied->tried = 1;
    if (bad.lookup || bad.skipped) {
        note_line(w, &applied->dropped, line, bad.why);
        return;
    }
    if (step->kind == CS_STEP_ENSURE) {
        applied->done = 1;
        return;
    }
    fill_write(w, &write, at, row);
    crm_write(w, &write, step);
    applied->calls++;
    applied->result = write.result;
    if (write.result.cls == CS_CLASS_OK || (write.kind == CS_CRM_DELETE && write.result.cls == CS_CLASS_GONE)) {
        cs_result_clear(&applied->result);
        applied->done = 1;
        applied->after = write.record;
        applied->made = write.made;
    }
    else if (write.result.cls == CS_CLASS_DUPLICATE && w->crm->names_rows && !step->key) {
        note_line(w, &applied->dropped, line, write.result.detail); /* there is no asking which row it means */
    }
    else if (write.result.cls == CS_CLASS_DUPLICATE) {
        find_twin(w, step, row, applied);
    }
    else if (write.result.cls == CS_CLASS_DATA || write.result.cls == CS_CLASS_REFUSED) {
        note_line(w, &applied->refused, line, write.result.detail);
    }
}

static void fail_step(world_t *w, cs_applied_t *applied)
{
    applied->tried = 1;
    applied->done = 0;
    applied->after = NULL;
    applied->made = NULL;
    applied->card = NULL;
    applied->refused = applied->dropped = NULL;
    cs_result_set(&applied->result, w->p, CS_EREMOTE, CS_CLASS_RETRY, "http:503", "try later");
}

/* ---- towards Partner Center: as engine/apply_pc.c ---- */

static int is_pc_step(const cs_step_t *step)
{
    return step->kind == CS_STEP_PATCH_PC || step->kind == CS_STEP_POST_PC;
}

static const char *pc_guard_of(const world_t *w, int at)
{
    const char *guard = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *)->guard;
    int i;

    for (i = 0; i < at; i++) {
        guard = is_pc_step(APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *)) && w->applied[i].card ? w->applied[i].card->etag : guard;
    }
    return guard;
}

/* The answer that shows nothing is followed by a read. */
static void pc_send(world_t *w, cs_pc_write_t *write, const cs_step_t *step)
{
    pc_patch(w, write, step);
    if (write->result.cls == CS_CLASS_OK && !write->card && trait(w, "reads-back", NULL, 2)) {
        write->card = pc_card(w, w->doc, w->pc_version);
    }
}

static void refuse_lines(world_t *w, const cs_step_t *step, cs_applied_t *applied, const char *why)
{
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        note_line(w, &applied->refused, APR_ARRAY_IDX(step->lines, i, const char *), why);
    }
}

static int end_pc_refusal(world_t *w, cs_applied_t *applied, cs_pc_refusal_t *refusal)
{
    cs_refusal_end_t end;
    int i;

    cs_pc_refusal_end(refusal, &end, &applied->card);
    applied->refused = end.refused;
    applied->result = end.result;
    applied->done = end.result.cls == CS_CLASS_OK && end.wrote;
    for (i = 0; end.left && i < end.left->nelts; i++) {
        note_line(w, &applied->dropped, APR_ARRAY_IDX(end.left, i, const char *), "other values were refused first");
    }
    return end.result.cls == CS_CLASS_OK && !end.left;
}

static int apply_pc_refused(world_t *w, const cs_step_t *step, cs_applied_t *applied, cs_pc_write_t *write)
{
    cs_pc_refusal_t *refusal = cs_pc_refusal_begin(step, write, w->p);

    w->refusing = 1;
    while (cs_pc_refusal_next(refusal, write)) {
        pc_send(w, write, step);
        applied->calls++;
        cs_pc_refusal_take(refusal, write);
    }
    w->refusing = 0;
    return end_pc_refusal(w, applied, refusal);
}

/* 0 = the item is over. */
static int apply_patch(world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    cs_applied_t *applied = &w->applied[at];
    cs_pc_write_t write;

    memset(&write, 0, sizeof(write));
    write.id = step->id;
    write.guard = pc_guard_of(w, at);
    write.body = step->columns;
    applied->tried = applied->calls = 1;
    pc_send(w, &write, step);
    applied->result = write.result;
    switch (write.result.cls) {
    case CS_CLASS_OK:
        applied->done = 1;
        applied->card = write.card;
        return 1;
    case CS_CLASS_DATA:
        return apply_pc_refused(w, step, applied, &write);
    case CS_CLASS_REFUSED:
        refuse_lines(w, step, applied, write.result.detail);
        return 1;
    default:
        return 0;
    }
}

/* ---- stage 6 ---- */

static int is_aside(const cs_step_t *step)
{
    return step->list || step->kind == CS_STEP_DELETE || step->kind == CS_STEP_JOIN || step->kind == CS_STEP_ENSURE;
}

static int may_follow(const world_t *w, const cs_step_t *step)
{
    return step->after < 0 || !APR_ARRAY_IDX(w->plan->steps, step->after, cs_step_t *)->send || w->applied[step->after].done;
}

/* 0 = nothing more is sent. */
static int apply_to_pc(world_t *w, int at, fate_e fate)
{
    if (fate == FATE_PC_FAILS) {
        fail_step(w, &w->applied[at]);
        return 0;
    }
    if (fate == FATE_PC_RACE) {
        pc_interferes(w);
    }
    if (!apply_patch(w, at)) {
        return 0;
    }
    if (fate == FATE_PC_UNANSWERED) {
        fail_step(w, &w->applied[at]);
        w->applied[at].result.cls = CS_CLASS_UNKNOWN;
        return 0;
    }
    return 1;
}

static json_t *named(const world_t *w, json_t *json, const char *from, const char *to)
{
    const char *text = json ? cs_json_print(json, w->p) : "", *at;
    int found = 0;

    while ((at = strstr(text, from)) != NULL) {
        text = apr_pstrcat(w->p, apr_pstrmemdup(w->p, text, (apr_size_t)(at - text)), to, at + strlen(from), NULL);
        found = 1;
    }
    return found ? world_json(w, text) : json;
}

/* As engine/made.c: the id that the CRM gave takes the place of the one that stood for it. */
static void name_record(world_t *w, int at)
{
    const char *from = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *)->id, *to = w->applied[at].made;
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        step->id = step->id && !strcmp(step->id, from) ? to : step->id;
        step->columns = named(w, step->columns, from, to);
    }
    for (i = 0; i < w->plan->lines->nelts; i++) {
        cs_line_view_t *view = APR_ARRAY_IDX(w->plan->lines, i, cs_line_view_t *);

        view->crm = named(w, view->crm, from, to);
        view->value = named(w, view->value, from, to);
    }
    w->plan->intent = named(w, w->plan->intent, from, to);
    w->deal.intent = w->plan->intent ? w->plan->intent : w->deal.intent;
}

static int apply_to_crm(world_t *w, int at, fate_e fate)
{
    int aside = is_aside(APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *)), goes_on = 1;

    if ((fate == FATE_FAILS && !aside) || (fate == FATE_LISTS_FAIL && aside)) {
        fail_step(w, &w->applied[at]);
        return aside;
    }
    if (aside) {
        apply_aside(w, at);
        return 1;
    }
    goes_on = apply_record(w, at);
    if (w->applied[at].made && strcmp(w->applied[at].made, APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *)->id)) {
        name_record(w, at);
    }
    if (fate == FATE_UNANSWERED) {
        fail_step(w, &w->applied[at]);
        return 0;
    }
    return goes_on;
}

static void remember_old(world_t *w)
{
    w->old_row = w->row ? world_copy(w, w->row) : NULL;
    w->old_lists = world_copy(w, w->lists);
    w->old_version = w->version;
    w->old_doc = world_copy(w, w->doc);
    w->old_ms = world_copy(w, w->ms);
    w->old_pc_version = w->pc_version;
    w->old_at = w->now;
}

/* What Partner Center did not take ends the item; rows of lists depend on nothing. */
static void world_apply(world_t *w, fate_e fate)
{
    int to_pc, i, over = 0, ended = 0, steps = 0;

    w->fate = fate;
    w->writes = w->line_writes = w->pc_writes = w->refusing = 0;
    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    w->earlier = w->deal.intent;
    if (w->plan->intent) {
        w->deal.intent = w->plan->intent;
    }
    if (fate == FATE_DIES_BEFORE) {
        return;
    }
    remember_old(w);
    for (to_pc = 1; to_pc >= 0 && w->plan->what == CS_PLAN_STEPS; to_pc--) {
        for (i = 0; i < w->plan->steps->nelts && !ended; i++) {
            const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

            if (is_pc_step(step) != to_pc || !step->send || (!is_aside(step) && over) || !may_follow(w, step)) {
                continue;
            }
            if (fate == FATE_DIES_AMID && steps++ > 0) {
                return;
            }
            if (to_pc) {
                ended = !apply_to_pc(w, i, fate);
            }
            else {
                over |= !apply_to_crm(w, i, fate);
            }
        }
    }
}

#endif
