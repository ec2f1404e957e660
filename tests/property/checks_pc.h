/* What holds for everything that is sent to Partner Center. Belongs to checks.h.
 */
#ifndef CS_TESTS_PROPERTY_CHECKS_PC_H
#define CS_TESTS_PROPERTY_CHECKS_PC_H

/* ---- lists ---- */

static const cs_list_t *list_of_path(const world_t *w, const char *path)
{
    int i;

    for (i = 0; i < w->kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(w->kind->lists, i, cs_list_t *);

        if (!list->off && !strcmp(list->pc->text, path)) {
            return list;
        }
    }
    return NULL;
}

static int keeps_members(const json_t *before, const json_t *after)
{
    return !json_object_get(before, "solutionType") || json_equal(json_object_get(before, "solutionType"), json_object_get(after, "solutionType"));
}

static const char *line_of_item(const world_t *w, const cs_list_t *list, const char *key)
{
    return apr_pstrcat(w->p, list->name, "/", cs_item_fold(key, w->p), NULL);
}

static void check_array(world_t *w, const cs_list_t *list, const json_t *array)
{
    json_t *before = cs_path_get(list->pc, w->look.own->doc), *item, *other;
    size_t i, j, had = json_array_size(before), least = (size_t)least_of(w, list);

    json_array_foreach(before, i, item) {
        const char *key = cs_item_key(json_object_get(item, list->key), w->p);
        int found = 0, kept_all = 0;

        json_array_foreach((json_t *)array, j, other) {
            int same = key ? has_key(other, list->key, key) : json_equal(item, other);

            found |= same;
            kept_all |= same && keeps_members(item, other);
        }
        if (found && !kept_all) {
            violate(w, "members the other side cannot represent stay", "%s of %s", key, list->name);
        }
        if (key && !found && !json_object_get(w->checks->had, line_of_item(w, list, key))) {
            violate(w, "only what both sides had is removed", "%s of %s at Partner Center", key, list->name);
        }
        if (!key && !found) {
            violate(w, "items the other side cannot represent stay", "%s of %s", cs_json_print(item, w->p), list->name);
        }
    }
    if (json_array_size(array) < least && json_array_size(array) < had) {
        violate(w, "the last one stays", "%d of %s at Partner Center", (int)json_array_size(array), list->name);
    }
    if (!list->to_pc) {
        violate(w, "no list goes where it has no direction", "%s", list->name);
    }
}

static void check_patches(world_t *w)
{
    int i;
    size_t k;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = step_at(w, i);
        json_t *op;

        if (step->kind != CS_STEP_PATCH_PC) {
            continue;
        }
        w->checks->patches++;
        json_array_foreach(step->columns, k, op) {
            const cs_list_t *list = list_of_path(w, cs_json_str(op, "path"));

            if (list) {
                check_array(w, list, json_object_get(op, "value"));
            }
        }
    }
}

/* As if a person had typed it there. */
static void apply_patches(world_t *w)
{
    json_t *op;
    size_t k;
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = step_at(w, i);

        if (step->kind != CS_STEP_PATCH_PC || step->send) {
            continue;
        }
        json_array_foreach(step->columns, k, op) {
            pc_set(w, cs_json_str(op, "path"), json_deep_copy(json_object_get(op, "value")));
        }
    }
}

/* ---- one patch ---- */

/* The referral as the patch means it, whatever becomes of it. */
static json_t *meant_doc(const world_t *w, const json_t *ops)
{
    json_t *doc = world_copy(w, w->doc), *op, *parent;
    const char *last;
    size_t i;

    json_array_foreach((json_t *)ops, i, op) {
        parent = parent_of(w, doc, cs_json_str(op, "path"), &last);
        if (json_is_object(parent)) {
            json_object_set(parent, last, json_object_get(op, "value"));
        }
    }
    return doc;
}

static const json_t *op_of(const json_t *ops, const char *path)
{
    json_t *op;
    size_t i;

    json_array_foreach((json_t *)ops, i, op) {
        if (!strcmp(cs_json_str(op, "path"), path)) {
            return op;
        }
    }
    return NULL;
}

/* What a server may take for granted of a JSON Patch, and the documented paths. */
static void check_form(world_t *w, const json_t *op)
{
    const char *path = cs_json_str(op, "path"), *word = cs_json_str(op, "op"), *last;
    const json_t *parent, *value = json_object_get(op, "value");

    if (!path || *path != '/' || strchr(path, '[') || !is_listed(path)) {
        violate(w, "only paths that can change are patched", "%s", path ? path : "no path");
    }
    parent = parent_of(w, w->doc, path, &last);
    if (!word || (strcmp(word, "add") && strcmp(word, "replace")) || !value || !json_is_object(parent) ||
        (!strcmp(word, "replace") && !json_object_get(parent, last))) {
        violate(w, "a patch is one that can be applied", "%s", cs_json_print(op, w->p));
    }
    if ((!strcmp(path, "/details/dealValue") && !json_is_number(value)) || (!strcmp(path, "/details/currency") && !json_is_string(value)) ||
        (!strcmp(path, PATH_VISIBLE) && !json_is_boolean(value) && !json_is_null(value)) || (is_array_path(path) && !json_is_array(value))) {
        violate(w, "what is sent has the type of its path", "%s", cs_json_print(op, w->p));
    }
    if (!strcmp(path, PATH_VISIBLE) && json_is_true(cs_json_pointer(w->doc, path)) && !json_is_true(value)) {
        violate(w, "a latch never steps down", "%s", cs_json_print(op, w->p));
    }
}

static void check_state_op(world_t *w, const json_t *ops)
{
    const json_t *status = op_of(ops, "/status"), *sub = op_of(ops, "/substatus");
    const char *to = cs_json_str(sub, "value");

    if (!status != !sub) {
        violate(w, "status and substatus travel together", "%s", cs_json_print(ops, w->p));
    }
    if (!status) {
        return;
    }
    if (to && (!strcmp(to, "Lost") || !strcmp(to, "Declined")) && !op_of(ops, "/statusReason") && w->knobs->both) {
        violate(w, "declined or lost for a reason", "%s", cs_json_print(ops, w->p));
    }
    if (!w->state_typed && !(w->lags & LAGS_CRM)) {
        violate(w, "the state acts on movement only", "%s", cs_json_print(ops, w->p));
    }
}

static void check_sent_line(world_t *w, const cs_line_t *line, const cs_line_view_t *view, const json_t *meant)
{
    cs_table_t table = {w->kind->table, w->look.metadata, w->look.record ? w->look.record->row : NULL};
    json_t *doc = cs_json_own(json_copy((json_t *)meant), w->p);
    const char *before = said_at_pc(w, line, w->doc), *after = said_at_pc(w, line, doc);
    cs_side_t side;

    if (!line->to_pc.constant && !line->group && before && after && !strcmp(before, after)) {
        violate(w, "only what differs is written", "%s: %s at Partner Center", line->name, after);
    }
    if (line->latch && cs_line_level(line, view->pc, 1, w->p)) {
        cs_line_read_pc(&side, line, doc, w->p);
        if (!cs_line_level(line, side.value, 1, w->p)) {
            violate(w, "a latch never steps down", "%s: %s becomes %s", line->name, before, after);
        }
    }
    if (line->type != CS_TYPE_MONEY || line->to_pc.constant) {
        return;
    }
    cs_line_read_pc(&side, line, doc, w->p);
    if (!line->zero_send && cs_decimal_is_zero(cs_json_str(side.value, "amount"))) {
        violate(w, "no zero amount is sent", "%s: %s", line->name, after);
    }
    if (cs_money_is_half(side.value) || !cs_line_same(line, &table, side.value, view->crm, w->p)) {
        violate(w, "money is never half", "%s: the record has %s, Partner Center gets %s", line->name, cs_json_print(view->crm, w->p), after);
    }
}

/* The operations of the line, or of the group it belongs to, are in this sending. */
static int is_in_ops(const cs_line_t *line, const json_t *ops)
{
    return line->pc && op_of(ops, line->pc->text) && (!line->pc_currency || op_of(ops, line->pc_currency->text));
}

static void saw_patch(world_t *w, const cs_step_t *step, const json_t *ops)
{
    const json_t *meant;
    json_t *op;
    size_t k;
    int i;

    w->checks->pc_writes++;
    if (cs_state_is_terminal(pc_state(w))) {
        violate(w, "a closed referral is never patched", "%s", cs_json_print(ops, w->p));
    }
    if (!json_array_size(ops)) {
        violate(w, "only what differs is written", "nothing at all");
    }
    json_array_foreach((json_t *)ops, k, op) {
        check_form(w, op);
        if (is_array_path(cs_json_str(op, "path")) && json_equal(json_object_get(op, "value"), cs_json_pointer(w->doc, cs_json_str(op, "path")))) {
            violate(w, "only what differs is written", "%s", cs_json_str(op, "path"));
        }
    }
    check_state_op(w, ops);
    meant = meant_doc(w, ops);
    for (i = 0; i < w->kind->lines->nelts && is_compared(w); i++) {
        if (names(step, line_at(w, i)->name) && is_in_ops(line_at(w, i), ops)) {
            check_sent_line(w, line_at(w, i), view_at(w, i), meant);
        }
    }
}

/* ---- stale answers ---- */

/* Older than what a look has settled: nobody went back to it. What it is written from is guarded, the other side is not. */
static void check_stale(world_t *w)
{
    int pc = w->lags & LAGS_PC && w->old_pc_version < w->checks->pc_version, crm = w->lags & LAGS_CRM && w->old_version < w->checks->crm_version, i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = step_at(w, i);

        if (step->send && is_pc_step(step) && pc) {
            return; /* its guard is lost, which ends the look */
        }
        if (step->send && (is_pc_step(step) ? crm : pc && !crm)) {
            violate(w, "an old answer is no edit", "read %d and %d, settled %d and %d", w->lags & LAGS_PC ? w->old_pc_version : w->pc_version,
                    w->lags & LAGS_CRM ? w->old_version : w->version, w->checks->pc_version, w->checks->crm_version);
        }
    }
}

#endif
