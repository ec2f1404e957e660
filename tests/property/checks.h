/* What holds after every look, whatever happened before. A violation ends the case.
 */
#ifndef CS_TESTS_PROPERTY_CHECKS_H
#define CS_TESTS_PROPERTY_CHECKS_H

#include <setjmp.h>
#include <stdarg.h>

#include "mod_cosell/domain/list_internal.h"
#include "mod_cosell/domain/reconcile_internal.h"
#include "world.h"

typedef struct base_t {
    const char *pc, *crm; /* as shown when last settled; NULL = not known */
    const char *said;     /* Partner Center's, as it is compared */
    int equal;            /* and the two said the same */
} base_t;

typedef struct checks_t {
    jmp_buf out;
    const char *name; /* of the violated property */
    char words[2000];
    base_t bases[SLOTS];
    json_t *refused[2]; /* by the CRM, by Partner Center: {"<line>": {"value", "mapping"}} */
    json_t *had;        /* {"<list>/<key>": true}: items that the CRM had at any time */
    int pc_version, crm_version; /* the newest that a settled look knows */
    int differences, looks, pc_writes, pc_refusals, overwrites, writes, refusals, drops, creates, held, not_kept, lists, patches; /* for the summary */
} checks_t;

static void violate(world_t *w, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));
static void violate(world_t *w, const char *name, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(w->checks->words, sizeof(w->checks->words), fmt, args);
    va_end(args);
    w->checks->name = name;
    longjmp(w->checks->out, 1);
}

/* ---- what stands at the ends of a line ---- */

static const slot_t *slot_of(const char *line)
{
    size_t i;

    for (i = 0; i < SLOTS; i++) {
        if (!strcmp(slots[i].line, line)) {
            return &slots[i];
        }
    }
    return NULL;
}

static base_t *base_of(const world_t *w, const char *line)
{
    return &w->checks->bases[slot_of(line) - slots];
}

static const char *raw_pc_of(const world_t *w, const cs_line_t *line, const json_t *card)
{
    json_t *doc = cs_json_own(json_copy((json_t *)card), w->p);
    const char *out;

    if (w->look.microsoft) {
        json_object_set(doc, CS_DOC_MICROSOFT, w->look.microsoft->doc);
    }
    out = cs_json_print(line->pc ? cs_path_get(line->pc, doc) : NULL, w->p);

    if (line->type == CS_TYPE_LOOKUP && !line->pc) {
        out = cs_json_print(json_object_get(doc, "customerProfile"), w->p);
    }
    return line->pc_currency ? apr_pstrcat(w->p, out, "|", cs_json_print(cs_path_get(line->pc_currency, doc), w->p), NULL) : out;
}

static const char *raw_pc(const world_t *w, const cs_line_t *line)
{
    return raw_pc_of(w, line, w->look.own->doc);
}

static const char *without_marks(const world_t *w, const cs_line_t *line, const char *text)
{
    const cs_tell_t *tell = &w->kind->tell;

    if (tell->mark && !strcmp(line->crm->name, tell->mark)) {
        while (!strncmp(text, tell->mark_ok, strlen(tell->mark_ok)) || !strncmp(text, tell->mark_failed, strlen(tell->mark_failed))) {
            text += 2;
        }
    }
    return text;
}

/* NULL = it cannot be read. */
static const char *raw_column(const world_t *w, const cs_line_t *line, const cs_column_t *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->name);
    const char *text = json_string_value(value);

    if (!value) {
        return NULL;
    }
    if (text) {
        text = cs_text_canonical(without_marks(w, line, text), w->p);
        return text ? text : "null";
    }
    return cs_json_print(value, w->p);
}

/* A row that has one, or the word itself. */
static const char *currency_of(const json_t *value)
{
    return json_is_string(value) ? json_string_value(value) : cs_json_str(value, "isocurrencycode");
}

/* An amount is rounded to its currency's scale on reading (deals 2): 0.1 over 0 is no edit in JPY. */
static const char *rounded(const world_t *w, const cs_line_t *line, const json_t *row, const char *raw)
{
    const char *currency = currency_of(json_object_get(row, line->crm_currency->name)), *out;
    const json_t *amount = json_object_get(row, line->crm->name);

    return currency && json_is_number(amount) && cs_decimal_from_json(&out, amount, cs_currency_scale(currency), w->p) == APR_SUCCESS ? out : raw;
}

static const char *raw_crm(const world_t *w, const cs_line_t *line, const json_t *row)
{
    const char *out, *more;

    if (!line->crm || !line->crm->text || !row) {
        return NULL;
    }
    out = raw_column(w, line, line->crm, row);
    if (line->crm_currency && out && strcmp(out, "null")) {
        more = raw_column(w, line, line->crm_currency, row);
        out = more ? apr_pstrcat(w->p, rounded(w, line, row, out), "|", more, NULL) : NULL;
    }
    return out;
}

static int differ(const char *a, const char *b)
{
    return a && b && strcmp(a, b) != 0;
}

/* The two sides were: the deal is not switched off, gone or parked. */
static int is_compared(const world_t *w)
{
    return w->plan->lines->nelts && !(w->plan->status && !strcmp(w->plan->status, "Paused"));
}

static const cs_line_t *line_at(const world_t *w, int i)
{
    return APR_ARRAY_IDX(w->kind->lines, i, cs_line_t *);
}

static cs_line_view_t *view_at(const world_t *w, int i)
{
    return APR_ARRAY_IDX(w->plan->lines, i, cs_line_view_t *);
}

static cs_step_t *step_at(const world_t *w, int i)
{
    return APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);
}

static cs_line_view_t *view_named(const world_t *w, const char *name)
{
    int i;

    for (i = 0; i < w->plan->lines->nelts; i++) {
        if (!strcmp(view_at(w, i)->line, name)) {
            return view_at(w, i);
        }
    }
    return NULL;
}

static int names(const cs_step_t *step, const char *line)
{
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(step->lines, i, const char *), line)) {
            return 1;
        }
    }
    return 0;
}

static int is_sent(const world_t *w, const char *line, int to_pc)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (step_at(w, i)->send && is_pc_step(step_at(w, i)) == to_pc && names(step_at(w, i), line)) {
            return 1;
        }
    }
    return 0;
}

/* Partner Center's side of it as it is compared. */
static const char *said_at_pc(const world_t *w, const cs_line_t *line, const json_t *card)
{
    json_t *doc = cs_json_own(json_copy((json_t *)card), w->p);
    cs_side_t side;

    if (w->ms) {
        json_object_set(doc, CS_DOC_MICROSOFT, w->ms);
    }
    cs_line_read_pc(&side, line, doc, w->p);
    if (line->type == CS_TYPE_MONEY && json_is_null(json_object_get(side.value, "amount"))) {
        return "null"; /* a currency alone is nothing */
    }
    return side.value ? cs_json_print(side.value, w->p) : NULL;
}

static const cs_line_t *line_named(const world_t *w, const char *name)
{
    int i;

    for (i = 0; i < w->kind->lines->nelts; i++) {
        if (!strcmp(line_at(w, i)->name, name)) {
            return line_at(w, i);
        }
    }
    return NULL;
}

/* ---- lines ---- */

static int is_intended(const world_t *w, const cs_line_t *line, const cs_line_view_t *view)
{
    cs_table_t table = {w->kind->table, w->look.metadata, w->look.record ? w->look.record->row : NULL};
    const json_t *meant;
    size_t i;

    for (i = 0; (meant = cs_intent_value(&w->deal, line->name, i)) != NULL; i++) {
        if (cs_line_same(line, &table, meant, view->crm, w->p)) {
            return 1;
        }
    }
    return 0;
}

static int goes_both_ways(const cs_line_t *line)
{
    return line->to_crm.on && line->to_pc.on && (line->to_crm.events & CS_ON_UPDATE) && (line->to_pc.events & CS_ON_UPDATE);
}

/* The record declines the referral in this look: nothing of it travels any more. */
static int is_declined(const world_t *w)
{
    const cs_line_view_t *state = view_named(w, CS_LINE_STATE);

    return state && state->verdict == CS_VERDICT_TO_PC && !strcmp(json_string_value(state->value), "Closed/Declined");
}

/* A user's edit that nobody has seen yet is overwritten. By which rule? */
static int may_overwrite(const world_t *w, const cs_line_t *line, const cs_line_view_t *view, int pc_edited)
{
    if (line->latch || line->group || line->enforce || is_intended(w, line, view) || json_object_get(w->checks->refused[1], line->name)) {
        return 1;
    }
    if (!view->seen_pc || !view->seen_crm) {
        return json_is_null(view->crm) || json_is_false(view->crm) || line->introduce == CS_INTRODUCE_PC;
    }
    if (!pc_edited) {
        return 0;
    }
    if (line->to_crm.cut == CS_CUT_PROTECT && cs_image_rest(&w->deal, line->name) && !strcmp(cs_image_rest(&w->deal, line->name), CS_REST_CUT)) {
        return 1; /* the record shows the head of a text */
    }
    return !goes_both_ways(line) || line->conflict == CS_POLICY_PC || cs_state_is_terminal(pc_state(w)) || is_declined(w);
}

static void check_overwriting(world_t *w, const cs_line_t *line, const cs_line_view_t *view)
{
    const base_t *base = base_of(w, line->name);
    const char *pc = raw_pc(w, line), *crm = raw_crm(w, line, w->look.record ? w->look.record->row : NULL);
    int crm_edited = differ(base->crm, crm), pc_edited = differ(base->pc, pc);

    if (w->lags || !w->look.record) {
        return;
    }
    if (view->to_crm && crm_edited && !may_overwrite(w, line, view, pc_edited)) {
        violate(w, "nothing is overwritten without direction or policy", "%s: was %s, now %s, Partner Center was %s, now %s", line->name, base->crm, crm, base->pc, pc);
    }
    if (base->equal && crm_edited && base->pc && !pc_edited && view->to_crm && !line->latch && !line->group && !line->enforce && view->seen_pc) {
        violate(w, "only the side that moved is copied", "%s: only the record moved, from %s to %s", line->name, base->crm, crm);
    }
    if (view->verdict == CS_VERDICT_HELD && view->rest && !line->group && !(w->touched >> (slot_of(line->name) - slots) & 1) &&
        quirk_of(w, line->crm->name) == QUIRK_KEEPS && trait(w, "lags", NULL, 4) && !w->which && !line->crm_more) {
        violate(w, "a write of ours is no edit", "%s: %s", line->name, crm);
    }
    if (base->equal && pc_edited && base->crm && !crm_edited && goes_both_ways(line) && !line->group && quirk_of(w, line->crm->name) != QUIRK_CALCULATES && !line->latch && view->seen_pc &&
        (view->verdict == CS_VERDICT_ONE_WAY || view->verdict == CS_VERDICT_TO_PC || view->verdict == CS_VERDICT_NOT_KEPT || (view->verdict == CS_VERDICT_HELD && view->rest))) {
        violate(w, "an edit at one side alone is no conflict", "%s: only Partner Center moved, from %s to %s: %s", line->name, base->pc, pc, cs_verdict_name(view->verdict));
    }
}

/* The same at Partner Center, as it is compared: spellings are no edits. */
static int may_overwrite_pc(const world_t *w, const cs_line_t *line, const cs_line_view_t *view, int crm_edited)
{
    if (line->latch || line->group || line->enforce || json_object_get(w->checks->refused[0], line->name) ||
        quirk_of(w, line->crm->name) == QUIRK_CALCULATES) {
        return 1;
    }
    if (!view->seen_pc || !view->seen_crm) {
        return json_is_null(view->pc) || json_is_false(view->pc) || line->introduce == CS_INTRODUCE_CRM;
    }
    return crm_edited && (!goes_both_ways(line) || line->conflict == CS_POLICY_CRM);
}

static void check_overwriting_pc(world_t *w, const cs_line_t *line, const cs_line_view_t *view)
{
    const base_t *base = base_of(w, line->name);
    const char *said = said_at_pc(w, line, w->look.own->doc), *crm = raw_crm(w, line, w->look.record ? w->look.record->row : NULL);
    int pc_edited = base->said && differ(base->said, said), crm_edited = !base->crm || differ(base->crm, crm) || line->crm_more || line->crm->of;

    if (w->lags || !w->look.record || !view->to_pc) {
        return;
    }
    if (pc_edited && !may_overwrite_pc(w, line, view, crm_edited)) {
        violate(w, "nothing is overwritten without direction or policy", "%s at Partner Center: was %s, now %s; the CRM was %s, now %s", line->name, base->said, said,
                base->crm, crm);
    }
    w->checks->overwrites += pc_edited;
}

static void check_group(world_t *w, const cs_line_t *line, const cs_line_view_t *view)
{
    int i;

    for (i = 0; line->group && view->to_crm && i < w->kind->lines->nelts; i++) {
        const cs_line_t *other = line_at(w, i);
        const cs_line_view_t *partner = view_at(w, i);

        if (other != line && !other->off && other->group && !strcmp(other->group, line->group) &&
            (partner->verdict == CS_VERDICT_REFUSED || partner->verdict == CS_VERDICT_UNREADABLE || (partner->verdict == CS_VERDICT_HELD && partner->rest))) {
            violate(w, "a group is never half", "%s goes while %s is %s", line->name, other->name, cs_verdict_name(partner->verdict));
        }
    }
}

static void check_refused_rest(world_t *w, const cs_line_view_t *view, int to_pc)
{
    const json_t *was = json_object_get(w->checks->refused[to_pc], view->line), *value = to_pc ? view->crm : view->pc;
    const cs_line_t *line = cs_list_of_line(w->kind, view->line) ? NULL : line_named(w, view->line);

    /* From another status another way may be open. With its group it goes again, and what waits for a row was tried with it. */
    if (!was || !strcmp(view->line, CS_LINE_STATE) || (line && line->group) || json_object_get(json_object_get(w->deal.images, view->line), "waits")) {
        return;
    }
    if (!value || !json_equal(json_object_get(was, "value"), value) || strcmp(cs_json_str(was, "mapping"), cs_mapping_digest(w->mapping)) || w->look.notified) {
        return;
    }
    if (is_sent(w, view->line, to_pc)) {
        violate(w, "a refused line is not sent again by itself", "%s with %s", view->line, cs_json_print(value, w->p));
    }
}

static void check_lines(world_t *w)
{
    int i;

    for (i = 0; i < w->kind->lines->nelts && is_compared(w); i++) {
        const cs_line_t *line = line_at(w, i);
        const cs_line_view_t *view = view_at(w, i);

        if (view->to_crm != is_sent(w, view->line, 0) || view->to_pc < is_sent(w, view->line, 1)) {
            violate(w, "a line is written when it is said so", "%s: said %d, %d", view->line, view->to_crm, view->to_pc);
        }
        if (view->verdict == CS_VERDICT_EQUAL && (view->to_crm || view->to_pc)) {
            violate(w, "equal sides cause no call", "%s", view->line);
        }
        if (view->verdict == CS_VERDICT_HELD && view->rest && !goes_both_ways(line)) {
            violate(w, "one-way lines never conflict", "%s", view->line);
        }
        if ((view->to_crm && !line->to_crm.on) || (view->to_pc && !line->to_pc.on)) {
            violate(w, "no line goes where it has no direction", "%s", view->line);
        }
        if (line->off) {
            continue;
        }
        if (line->latch && view->to_pc && cs_line_level(line, view->pc, 1, w->p) && !cs_line_level(line, view->crm, 0, w->p)) {
            violate(w, "a latch never steps down", "%s at Partner Center", view->line);
        }
        check_overwriting(w, line, view);
        check_overwriting_pc(w, line, view);
        check_group(w, line, view);
    }
    for (i = 0; is_compared(w) && i < w->plan->lines->nelts; i++) {
        check_refused_rest(w, view_at(w, i), 0);
        check_refused_rest(w, view_at(w, i), 1);
    }
}

/* ---- writes ---- */

static int same_as_shown(const world_t *w, const json_t *now, const json_t *value)
{
    const char *number = cs_json_str(value, "$number"), *text = json_string_value(value), *shown = json_string_value(now);
    const json_t *ref = json_object_get(value, "$ref");

    if (!now) {
        return 0;
    }
    if (number) {
        return json_is_number(now) && json_number_value(now) == strtod(number, NULL);
    }
    if (ref) {
        return json_is_object(now) && !strcmp(cs_json_str(now, "id"), cs_json_str(ref, "id"));
    }
    if (text && shown) {
        text = cs_text_canonical(text, w->p);
        shown = cs_text_canonical(shown, w->p);
        return !differ(text ? text : "", shown ? shown : "");
    }
    if ((text && !*text && json_is_null(now)) || (shown && !*shown && json_is_null(value))) {
        return 1;
    }
    return json_equal(now, value);
}

static void check_money(world_t *w, const cs_line_t *line, const json_t *row)
{
    const char *theirs = currency_of(json_object_get(w->row, line->crm_currency->name));
    json_t *doc = cs_doc_of_look(&w->look, w->p);
    const char *ours = json_string_value(cs_path_get(line->pc_currency, doc));

    if (json_object_get(row, line->crm_currency->name) && !json_object_get(row, line->crm->name)) {
        violate(w, "money is never half", "%s: a currency alone", line->name);
    }
    if (json_object_get(row, line->crm->name) && !json_is_null(json_object_get(row, line->crm->name)) && !json_object_get(row, line->crm_currency->name) &&
        (!theirs || !ours || strcasecmp(theirs, ours))) {
        violate(w, "money is never half", "%s: an amount of %s into %s", line->name, ours, theirs ? theirs : "no currency");
    }
}

static void check_latch(world_t *w, const cs_line_t *line, const json_t *row)
{
    const json_t *value = json_object_get(row, line->crm->name), *now = json_object_get(w->row, line->crm->name);

    if (value && (json_is_null(value) || json_is_false(value)) && now && !json_is_null(now) && !json_is_false(now)) {
        violate(w, "a latch never steps down", "%s: %s over %s", line->name, cs_json_print(value, w->p), cs_json_print(now, w->p));
    }
}

/* A name that begins like our mark cannot be told from a marked one. */
static int has_marks(const world_t *w, const char *column, const json_t *value)
{
    const char *text = json_string_value(value);

    return text && w->kind->tell.mark && !strcmp(column, w->kind->tell.mark) && (!strncmp(text, "+ + ", 4) || !strncmp(text, "! + ", 4) || !strncmp(text, "+ B", 3));
}

/* What follows from a stage is never written, and a stage only where the state is another, or nobody has accepted yet. */
static void check_stage(world_t *w, const cs_step_t *step, const cs_crm_write_t *write)
{
    static const char *const made_up[] = {"IsClosed", "IsWon", "$state", "Id"};
    const char *to = cs_json_str(write->row, w->crm->stage), *now = cs_json_str(w->row, w->crm->stage), *id;
    size_t i;

    for (i = 0; i < 4; i++) {
        if (json_object_get(write->row, made_up[i])) {
            violate(w, "what the CRM makes up is not written", "%s: %s", made_up[i], cs_json_print(write->row, w->p));
        }
    }
    if (step->kind != CS_STEP_CREATE && step->kind != CS_STEP_UPDATE) {
        violate(w, "a state that follows is written as any column", "%s", cs_step_kind_name(step->kind));
    }
    if (write->kind == CS_CRM_CREATE && !write->key) {
        violate(w, "a record is made by the referral's id", "%s", write->id);
    }
    id = w->row ? cs_json_str(w->row, w->crm->key) : NULL;
    if (write->kind == CS_CRM_UPDATE && strcmp(write->id, id)) {
        violate(w, "a record goes by its own id", "%s is %s", write->id, id);
    }
    for (i = 0; to && now && i < STAGES; i++) {
        if (!strcmp(stages[i].name, to) && stages[i].state == row_state(w) && strcmp(now, STAGE_WAITS) && strcmp(to, STAGE_WAITS)) {
            violate(w, "a stage of the right state is left as it is", "%s over %s", to, now);
        }
    }
}

static void check_record_write(world_t *w, const cs_step_t *step, const cs_crm_write_t *write)
{
    const char *column;
    json_t *value;
    int i, told = 1;

    if (write->kind == CS_CRM_UPDATE && step->kind == CS_STEP_UPDATE && row_state(w) != 0 && !w->crm->names_rows) {
        violate(w, "a closed record is not written", "%s", cs_json_print(write->row, w->p));
    }
    if (w->crm->names_rows) {
        check_stage(w, step, write);
    }
    json_object_foreach((json_t *)write->row, column, value) {
        const json_t *now = w->row ? json_object_get(w->row, column) : NULL;
        json_t *amount = NULL;

        for (i = 0; i < w->kind->lines->nelts; i++) {
            const cs_line_t *line = line_at(w, i);

            if (line->type == CS_TYPE_MONEY && line->crm && (!strcmp(line->crm->name, column) || !strcmp(line->crm_currency->name, column))) {
                amount = json_object_get(write->row, line->crm->name) ? json_object_get(write->row, line->crm_currency->name) : NULL;
            }
        }
        told &= !strncmp(column, "c_syn", 5) || !strcmp(column, "c_status") || !strcmp(column, "c_problem") || !strcmp(column, "c_audit") || !strcmp(column, "c_link") ||
                !strcmp(column, "c_explain") || !strcmp(column, "msft_id") || (!strcmp(column, "name") && !names(step, "name"));
        if (write->kind == CS_CRM_UPDATE && !w->refusing && strcmp(column, "c_synced") && !has_marks(w, column, value) &&
            same_as_shown(w, now, value) && !amount && !is_masked(w, column)) {
            violate(w, "only what differs is written", "%s: %s over %s", column, cs_json_print(value, w->p), cs_json_print(now, w->p));
        }
    }
    if (json_object_size(write->row) == 1 && json_object_get(write->row, "c_synced")) {
        violate(w, "the time of a write is no reason for one", "%s", cs_json_print(write->row, w->p));
    }
    for (i = 0; i < w->kind->lines->nelts && write->kind != CS_CRM_CALL; i++) {
        const cs_line_t *line = line_at(w, i);

        if (line->off || !line->crm || !line->to_crm.on) {
            continue;
        }
        if (line->type == CS_TYPE_MONEY && write->kind == CS_CRM_UPDATE) {
            check_money(w, line, write->row);
        }
        if (line->latch && w->row) {
            check_latch(w, line, write->row);
        }
    }
    w->line_writes += !told;
    w->checks->creates += write->kind == CS_CRM_CREATE;
}

static const cs_list_t *list_named(const world_t *w, const char *name)
{
    int i;

    for (i = 0; i < w->kind->lists->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(w->kind->lists, i, cs_list_t *)->name, name)) {
            return APR_ARRAY_IDX(w->kind->lists, i, cs_list_t *);
        }
    }
    return NULL;
}

static int least_of(const world_t *w, const cs_list_t *list)
{
    const json_t *by_kind = cs_json_get(list->min_by_kind, cs_referral_kind(&w->own, w->look.microsoft, NULL, "own"));

    return json_is_integer(by_kind) ? (int)json_integer_value(by_kind) : list->min;
}

static int array_has(const json_t *array, const char *member, const char *key)
{
    json_t *item;
    size_t i;

    json_array_foreach((json_t *)array, i, item) {
        if (has_key(item, member, key)) {
            return 1;
        }
    }
    return 0;
}

/* The record's own column holds one of the list, too. */
static int has_owner(const world_t *w, const cs_list_t *list)
{
    int i;

    for (i = 0; list->users && i < list->users->nelts; i++) {
        const char *column = APR_ARRAY_IDX(list->users, i, cs_list_users_t).column;

        if (column && json_is_object(json_object_get(w->row, column))) {
            return 1;
        }
    }
    return 0;
}

/* The referral as the look may take it: an answer that is newer than all that was settled cannot be told from the newest. */
static json_t *doc_known(const world_t *w)
{
    return w->lags & LAGS_PC && w->old_pc_version >= w->checks->pc_version ? w->look.own->doc : w->doc;
}

static int crm_has(world_t *w, const cs_list_t *list, const char *key)
{
    json_t *entry;
    size_t i;

    if (has_key(json_object_get(w->row, "parentcontactid"), "email1", key) || has_key(json_object_get(w->row, w->crm->owner), "mail", key)) {
        return 1;
    }
    json_array_foreach(list_of(w, list->name), i, entry) {
        if (entry_has(entry, key)) {
            return 1;
        }
    }
    return 0;
}

static void learn_items(world_t *w)
{
    static const char *const keys[] = {"S1", "S2", "S3", "s4", "ann@x.org", "bob@x.org", "Cid@x.org", "nobody@y.org", "boss@x.org"};
    size_t k;
    int i;

    for (i = 0; i < w->kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(w->kind->lists, i, cs_list_t *);

        for (k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
            if (crm_has(w, list, keys[k])) {
                json_object_set_new(w->checks->had, apr_pstrcat(w->p, list->name, "/", cs_item_fold(keys[k], w->p), NULL), json_true());
            }
        }
    }
}

/* Only a row that stood for an item of Partner Center's, which Partner Center has removed. */
static void check_removal(world_t *w, const cs_step_t *step, const cs_crm_write_t *write)
{
    const cs_list_t *list = list_named(w, step->list);
    const char *line = APR_ARRAY_IDX(step->lines, 0, const char *), *key = strchr(line, '/') + 1;
    const json_t *image = json_object_get(w->deal.images, line);
    json_t *entry, *array;
    size_t at;

    entry = entry_of(w, step->list, write->id, &at);
    array = cs_path_get(list->pc, doc_known(w));
    if (!list->to_crm || list->to_crm_add_only) {
        violate(w, "a list removes only where it may", "%s", line);
    }
    if (!entry_has(entry, key)) {
        violate(w, "a row the other side cannot represent stays", "%s removes %s", line, cs_json_print(entry, w->p));
    }
    if (array_has(array, list->key, key)) {
        violate(w, "an item that Partner Center has stays", "%s", line);
    }
    if (!json_is_object(json_object_get(image, "pc")) && !w->deal.intent) {
        violate(w, "only what both sides had is removed", "%s: %s", line, cs_json_print(image, w->p));
    }
    if ((int)json_array_size(list_of(w, step->list)) + has_owner(w, list) <= least_of(w, list) && !w->lags) {
        violate(w, "the last one stays", "%s: %d of %d", line, (int)json_array_size(list_of(w, step->list)), least_of(w, list));
    }
}

static void saw_write(world_t *w, const cs_step_t *step, const cs_crm_write_t *write)
{
    w->checks->writes++;
    if (!step->list) {
        check_record_write(w, step, write);
        return;
    }
    w->checks->lists++;
    if (write->kind == CS_CRM_DELETE) {
        check_removal(w, step, write);
    }
    if (write->kind == CS_CRM_UPDATE && !json_object_size(write->row)) {
        violate(w, "only what differs is written", "%s: nothing", APR_ARRAY_IDX(step->lines, 0, const char *));
    }
}

#include "checks_pc.h"

/* ---- a plan ---- */

/* Deleted in the CRM is deleted. */
static void check_tombstone(world_t *w)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (step_at(w, i)->send && w->deal.state == CS_DEAL_GONE && !w->look.record) {
            violate(w, "a deleted record is never made again", "%s", cs_step_kind_name(step_at(w, i)->kind));
        }
    }
}

static void check_plan(world_t *w)
{
    w->checks->looks++;
    learn_items(w);
    check_stale(w);
    check_tombstone(w);
    check_lines(w);
    check_patches(w);
}

/* ---- after a look ---- */

/* Sent again, for a notice or another mapping wakes what was refused, and taken: from then on it is no refused line, and `enforce` may bring it again. So it is when the
 * other side's value went over it: who brings the refused one back types it anew. (deals 2) */
static int was_taken(const world_t *w, const char *line, int to_pc)
{
    int i, taken = 0;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (step_at(w, i)->send && is_pc_step(step_at(w, i)) == to_pc && names(step_at(w, i), line)) {
            if (!w->applied[i].done || json_object_get(w->applied[i].refused, line) || json_object_get(w->applied[i].dropped, line)) {
                return 0;
            }
            taken = 1;
        }
    }
    return taken;
}

static void forget_taken(world_t *w, int to_pc)
{
    const char *line;
    json_t *was;
    void *next;

    json_object_foreach_safe(w->checks->refused[to_pc], next, line, was) {
        const cs_line_view_t *view = view_named(w, line);
        const json_t *value = !view ? NULL : to_pc ? view->crm : view->pc;

        if (value && (!json_equal(value, json_object_get(was, "value")) || view->verdict == CS_VERDICT_EQUAL || was_taken(w, line, to_pc) || was_taken(w, line, !to_pc))) {
            json_object_del(w->checks->refused[to_pc], line);
        }
    }
}

static void remember_refused(world_t *w)
{
    const char *line;
    json_t *why;
    int i;

    forget_taken(w, 0);
    forget_taken(w, 1);
    for (i = 0; i < w->plan->steps->nelts; i++) {
        int to_pc = is_pc_step(step_at(w, i));

        json_object_foreach(w->applied[i].refused, line, why) {
            const cs_line_view_t *view = view_named(w, line);
            json_t *value = !view ? NULL : to_pc ? view->crm : view->pc;

            w->checks->refusals += !to_pc;
            w->checks->pc_refusals += to_pc;
            if (value) {
                json_object_set_new(w->checks->refused[to_pc], line, json_pack("{s:O,s:s}", "value", value, "mapping", cs_mapping_digest(w->mapping)));
            }
        }
        w->checks->drops += w->applied[i].dropped != NULL;
    }
}

/* One bad line never blocks a deal (deals 2): a step of which every line was refused or left out is over, and so is the removal that waits for it. */
static int is_over(const world_t *w, int at)
{
    const cs_step_t *step = step_at(w, at);
    const cs_applied_t *applied = &w->applied[at];
    int i, left = 0;

    if (!step->send || applied->done || (applied->tried && applied->result.cls == CS_CLASS_OK)) {
        return 1;
    }
    for (i = 0; applied->tried && i < step->lines->nelts; i++) {
        const char *line = APR_ARRAY_IDX(step->lines, i, const char *);

        left += json_object_get(applied->refused, line) || json_object_get(applied->dropped, line);
    }
    return applied->tried ? left > 0 && left == step->lines->nelts : step->list && step->after >= 0 && step_at(w, step->after)->list && is_over(w, step->after);
}

static int is_done(const world_t *w)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (!is_over(w, i)) {
            return 0;
        }
    }
    return 1;
}

/* With its group. */
static int is_left_out(const world_t *w, const cs_line_t *line)
{
    int i, k;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        for (k = 0; k < w->kind->lines->nelts; k++) {
            const cs_line_t *other = line_at(w, k);

            if ((other == line || (line->group && other->group)) &&
                (json_object_get(w->applied[i].dropped, other->name) || json_object_get(w->applied[i].refused, other->name))) {
                return 1;
            }
        }
    }
    return 0;
}

static void learn_sent(const world_t *w, const cs_line_t *line, base_t *base, const json_t *row)
{
    base->pc = is_done(w) && !w->pc_silent ? raw_pc_of(w, line, w->doc) : NULL;
    base->crm = base->pc ? raw_crm(w, line, row) : NULL;
    base->equal = base->pc && base->crm && said_at_pc(w, line, w->doc) && pc_quirk_of(w, line->pc->text) == QUIRK_KEEPS &&
                  (!line->pc_currency || pc_quirk_of(w, line->pc_currency->text) == QUIRK_KEEPS);
}

/* A hold counts once the seller was told. */
static int was_held(const world_t *w, const cs_line_t *line)
{
    const char *rest = cs_image_rest(&w->deal, line->name);

    return rest && !strcmp(rest, CS_REST_HELD);
}

static void learn_bases(world_t *w)
{
    const json_t *row = w->look.record ? w->look.record->row : NULL;
    int i;

    for (i = 0; i < w->kind->lines->nelts && is_compared(w); i++) {
        const cs_line_t *line = line_at(w, i);
        const cs_line_view_t *view = view_at(w, i);
        base_t *base = base_of(w, line->name);
        const char *before = base->pc;

        base->equal = 0;
        if (is_left_out(w, line)) {
            continue; /* as if nobody had looked */
        }
        if (w->lags) {
            base->pc = base->crm = NULL;
        }
        else if (view->to_crm && is_done(w)) {
            base->pc = raw_pc(w, line);
            base->crm = w->silent ? NULL : raw_crm(w, line, visible_row(w, w->row));
            base->equal = quirk_of(w, line->crm->name) == QUIRK_KEEPS && base->crm != NULL;
        }
        else if (view->to_crm) {
            base->pc = was_taken(w, view->line, 0) ? raw_pc(w, line) : base->pc; /* another step was not done */
            base->crm = NULL;
        }
        else if (view->to_pc && is_sent(w, view->line, 1)) {
            learn_sent(w, line, base, row);
        }
        else if (view->take && (w->look.record || is_done(w)) && ((is_done(w) && was_held(w, line)) || view->verdict != CS_VERDICT_HELD || !view->rest)) {
            base->pc = raw_pc(w, line);
            base->crm = raw_crm(w, line, row);
            base->equal = view->verdict == CS_VERDICT_EQUAL && json_object_get(w->deal.images, line->name);
        }
        if (base->pc != before) {
            base->said = base->pc ? said_at_pc(w, line, w->doc) : NULL;
        }
        if (base->equal) {
            w->touched &= ~(1u << (slot_of(line->name) - slots));
        }
    }
    w->checks->held += w->plan->what == CS_PLAN_HOLD;
}

static void forget_bases(world_t *w)
{
    memset(w->checks->bases, 0, sizeof(w->checks->bases));
}

static int item_exists(world_t *w, const cs_list_t *list, const char *key)
{
    return array_has(cs_path_get(list->pc, w->doc), list->key, key) || crm_has(w, list, key);
}

/* Nothing is remembered of what is not there. */
static void check_images(world_t *w)
{
    const char *name;
    json_t *image;

    json_object_foreach(w->deal.images, name, image) {
        const char *slash = strchr(name, '/');
        const cs_list_t *list = slash ? cs_list_of_line(w->kind, name) : NULL;

        if (strlen(cs_json_print(image, w->p)) > 4000) {
            violate(w, "images stay bounded", "%s", name);
        }
        if (list && !list->off && is_compared(w) && !item_exists(w, list, slash + 1)) {
            violate(w, "an item that neither side has is forgotten", "%s: %s", name, cs_json_print(image, w->p));
        }
        if (!slash && strcmp(name, CS_LINE_STATE) && !slot_of(name)) {
            violate(w, "images stay bounded", "%s is no line", name);
        }
    }
}

static void check_truth(world_t *w)
{
    int i;

    for (i = 0; i < w->kind->lines->nelts && is_compared(w); i++) {
        const cs_line_t *line = line_at(w, i);
        const cs_line_view_t *view = view_at(w, i);
        const char *pc, *crm;

        if (line->off || view->verdict != CS_VERDICT_EQUAL || line->type != CS_TYPE_TEXT || line->to_crm.max || line->to_pc.max || line->to_crm.constant ||
            line->to_pc.constant || line->to_crm.dflt || line->to_pc.dflt || line->crm_more || line->crm->of || !w->look.record ||
            (w->look.metadata && cs_json_int(cs_json_pointer(w->metadata, apr_psprintf(w->p, "/tables/%s/columns/%s", w->crm->table, line->crm->name)), "max", 0))) {
            continue;
        }
        pc = cs_scalar_text(cs_path_get(line->pc, cs_doc_of_look(&w->look, w->p)), w->p);
        pc = pc ? cs_text_canonical(pc, w->p) : NULL;
        pc = pc && w->crm->names_rows ? pc + strspn(pc, " ") : pc;
        crm = raw_crm(w, line, w->look.record->row);
        if (strcmp(pc ? pc : "null", crm)) {
            violate(w, "equal is equal", "%s: %s and %s", line->name, pc, crm);
        }
    }
}

/* The record's state was heard of, or what it became was. */
static void learn_state(world_t *w)
{
    const cs_line_view_t *view = view_named(w, CS_LINE_STATE);
    int moves = view && (view->verdict == CS_VERDICT_TO_CRM || view->verdict == CS_VERDICT_TO_PC);

    if (view && view->crm && !w->lags && (moves ? is_done(w) && was_taken(w, CS_LINE_STATE, view->verdict == CS_VERDICT_TO_PC) : view->take)) {
        w->state_typed = 0;
    }
}

/* What the referral, or the row, is after what was written was shown. */
static int knows_writes(const world_t *w, int to_pc)
{
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        if (is_pc_step(step_at(w, i)) == to_pc && !step_at(w, i)->list && w->applied[i].tried &&
            !(w->applied[i].done && (to_pc ? w->applied[i].card != NULL : w->applied[i].after != NULL))) {
            return 0;
        }
    }
    return 1;
}

static void learn_versions(world_t *w)
{
    int pc = w->lags & LAGS_PC ? w->old_pc_version : w->read_pc_version, crm = w->lags & LAGS_CRM ? w->old_version : w->read_version;

    crm = w->writes && knows_writes(w, 0) && w->row_version > crm ? w->row_version : crm;
    pc = w->pc_writes && knows_writes(w, 1) ? w->pc_version : pc;
    if (is_compared(w)) {
        w->checks->pc_version = pc > w->checks->pc_version ? pc : w->checks->pc_version;
        w->checks->crm_version = crm > w->checks->crm_version ? crm : w->checks->crm_version;
    }
}

/* Every value that was written over another says so and why. */
static void check_journal(world_t *w)
{
    int i, k, j;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = step_at(w, i);

        if (!step->send || !w->applied[i].done || (step->kind != CS_STEP_UPDATE && step->kind != CS_STEP_PATCH_PC)) {
            continue;
        }
        for (k = 0; k < step->lines->nelts; k++) {
            const char *line = APR_ARRAY_IDX(step->lines, k, const char *);
            int found = *line == '$' || json_object_get(w->applied[i].refused, line) || json_object_get(w->applied[i].dropped, line);

            for (j = w->journal_read; j < w->journal->nelts && !found; j++) {
                const cs_journal_t *said = APR_ARRAY_IDX(w->journal, j, const cs_journal_t *);

                found = said->line && !strcmp(said->line, line) && !strcmp(said->outcome, "done") && said->why && *said->why &&
                        !strcmp(said->direction, is_pc_step(step) ? "to_pc" : "to_crm");
            }
            if (!found && !(line_named(w, line) && line_named(w, line)->group)) {
                violate(w, "each overwriting is in the journal", "%s by step %d", line, i);
            }
        }
    }
    w->journal_read = w->journal->nelts;
}

static int is_open(const world_t *w)
{
    return row_state(w) == 0 || (w->row && w->crm->names_rows);
}

/* A rule of the mapping, or one for this kind of value, that keeps a line out. */
static int may_skip(const world_t *w, const cs_line_t *line, const cs_line_view_t *view)
{
    const char *rest = cs_image_rest(&w->deal, line->name);
    int i;

    for (i = 0; line->group && i < w->kind->lines->nelts; i++) {
        if (line_at(w, i) != line && line_at(w, i)->group) {
            return 1; /* its group */
        }
    }
    return line->when || line->to_crm.when || line->to_pc.when || line->to_crm.only_if_empty || line->to_pc.only_if_empty || line->type == CS_TYPE_MONEY ||
           line->type == CS_TYPE_LOOKUP || (line->values && (line->values->to_crm.what == CS_ELSE_SKIP || line->values->to_pc.what == CS_ELSE_SKIP || line->values->to_crm.what == CS_ELSE_OMIT || line->values->to_pc.what == CS_ELSE_OMIT)) ||
           !(line->to_crm.events & CS_ON_UPDATE) || !(line->to_pc.events & CS_ON_UPDATE) || (rest && !strcmp(rest, CS_REST_INTRODUCED)) || (view->why && strstr(view->why, "unlink"));
}

static int may_be_one_way(const world_t *w, const cs_line_t *line)
{
    return !goes_both_ways(line) || line->latch || line->group || line->to_crm.cut == CS_CUT_PROTECT || quirk_of(w, line->crm->name) == QUIRK_CALCULATES;
}

/* What still differs when all is quiet has a word that a person can look up, and the word is true. */
static void check_explained(world_t *w)
{
    cs_table_t table = {w->kind->table, w->look.metadata, w->look.record ? w->look.record->row : NULL};
    int i;

    for (i = 0; i < w->kind->lines->nelts && is_compared(w) && w->look.record; i++) {
        const cs_line_t *line = line_at(w, i);
        const cs_line_view_t *view = view_at(w, i);
        int same = line->off || !view->pc || !view->crm || cs_line_same(line, &table, view->pc, view->crm, w->p);

        w->checks->differences += !same;
        if (same) {
            continue;
        }
        if (view->verdict == CS_VERDICT_EQUAL && (!line->values || w->look.metadata)) {
            violate(w, "equal is equal", "%s: %s and %s", line->name, cs_json_print(view->pc, w->p), cs_json_print(view->crm, w->p));
        }
        if (is_left_out(w, line)) {
            continue; /* waits for a row, or was refused just now */
        }
        if ((view->to_crm && is_open(w)) || (view->to_pc && !cs_state_is_terminal(pc_state(w)))) {
            violate(w, "what can travel has travelled", "%s is %s", line->name, cs_verdict_name(view->verdict));
        }
        if ((view->verdict == CS_VERDICT_SKIPPED && !may_skip(w, line, view)) || (view->verdict == CS_VERDICT_ONE_WAY && !may_be_one_way(w, line)) ||
            (view->verdict != CS_VERDICT_EQUAL && !view->why)) {
            violate(w, "what still differs is explained by a rule that is there", "%s is %s: %s", line->name, cs_verdict_name(view->verdict), view->why);
        }
    }
}

/* The record that was made or read is the deal's. */
static void check_name(world_t *w)
{
    const char *id = w->look.record ? w->look.record->id : NULL;
    int i;

    for (i = 0; i < w->plan->steps->nelts; i++) {
        id = !step_at(w, i)->list && w->applied[i].made ? w->applied[i].made : id;
    }
    if (id && is_compared(w) && strcmp(id, w->deal.record_id)) {
        violate(w, "a record goes by its own id", "%s and the deal has %s", id, w->deal.record_id);
    }
}

static void check_settled(world_t *w)
{
    check_journal(w);
    learn_items(w);
    check_name(w);
    learn_state(w);
    learn_versions(w);
    remember_refused(w);
    learn_bases(w);
    if (is_done(w) && is_compared(w) && w->quiet && w->look.metadata && w->deal.intent) {
        violate(w, "no intent outlives its look", "%s", cs_json_print(w->deal.intent, w->p));
    }
}

#endif
