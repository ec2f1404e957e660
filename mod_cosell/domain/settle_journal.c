/* domain/settle_journal.c: what a look did, refused, held or newly planned, for the journal. What
 * was said before is not said again. (design 5)
 */
#include <apr_strings.h>
#include <string.h>

#include "settle_internal.h"

cs_journal_t *cs_settle_write_down(cs_settling_t *s, const char *direction, const char *action,
                                   const char *outcome, const char *why)
{
    cs_journal_t *j = apr_pcalloc(s->p, sizeof(*j));

    j->deal = s->deal->id;
    j->at = s->look->now;
    j->direction = direction;
    j->action = action;
    j->outcome = outcome;
    j->why = apr_pstrdup(s->p, why);
    j->mapping = apr_pstrdup(s->p, cs_mapping_revision(s->look->mapping));
    APR_ARRAY_PUSH(s->journal, cs_journal_t *) = j;
    return j;
}

json_t *cs_settle_copy(const cs_settling_t *s, const json_t *json)
{
    return json ? cs_json_own(json_deep_copy(json), s->p) : NULL;
}

static void add_cost(const cs_settling_t *s, cs_journal_t *j, int at)
{
    const cs_applied_t *applied = &s->applied[at];

    j->calls = applied->calls;
    j->took = applied->took;
    j->correlation = apr_pstrdup(s->p, applied->correlation);
}

/* "win" of a patch that moves the referral; NULL = it moves nothing. */
static const char *move_of(const cs_step_t *step)
{
    static const char *const actions[] = {"accept", "decline", "win", "lose"};
    size_t i, k;

    for (i = 0; step->kind == CS_STEP_PATCH_PC && i < json_array_size(step->columns); i++) {
        const json_t *op = json_array_get(step->columns, i);
        const char *path = cs_json_str(op, "path"), *sub = cs_json_str(op, "value");

        for (k = 0; path && sub && !strcmp(path, "/substatus") && k < 4; k++) {
            if (!strcmp(strchr(cs_state_after_action(actions[k]), '/') + 1, sub)) {
                return actions[k];
            }
        }
    }
    return NULL;
}

static const char *action_of(const cs_settling_t *s, const cs_step_t *step)
{
    const char *qualify = s->kind ? s->kind->mapping->facts->qualify : NULL;
    const char *move = move_of(step);

    if (move) {
        return move;
    }
    switch (step->kind) {
    case CS_STEP_CREATE:
        return "create";
    case CS_STEP_REOPEN:
        return "reopen";
    case CS_STEP_CALL:
        return qualify && !strcmp(step->call, qualify) ? "qualify" : "close";
    case CS_STEP_DELETE:
        return "remove";
    case CS_STEP_JOIN:
        return "join";
    case CS_STEP_ENSURE:
        return "ensure";
    default:
        return "update";
    }
}

static int is_left_out(const cs_settling_t *s, const char *name)
{
    const cs_line_t *line = cs_settle_line_of(s, name);

    return cs_settle_dropped(s, name) || cs_settle_refused(s, name) ||
           (line && cs_settle_partner(s, line));
}

static const char *direction_of(const cs_step_t *step)
{
    return cs_settle_is_to_pc(step) ? "to_pc" : "to_crm";
}

/* The referral was moved by what the record asked for. */
static void journal_move(cs_settling_t *s, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    const cs_line_view_t *view = cs_plan_view(s->plan, CS_LINE_STATE);
    const char *action = move_of(step);
    cs_journal_t *j;

    if (!action || !view || is_left_out(s, CS_LINE_STATE)) {
        return;
    }
    j = cs_settle_write_down(s, "to_pc", action, "done", view->why ? view->why : step->why);
    j->line = CS_LINE_STATE;
    j->from = cs_settle_copy(s, view->pc);
    j->to = cs_json_own(json_string(cs_state_after_action(action)), s->p);
}

/* One row per line of an update; the first carries the cost. */
static void journal_update(cs_settling_t *s, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    int i, first = s->journal->nelts, to_pc = cs_settle_is_to_pc(step);

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);
        cs_journal_t *j;

        if (!cs_settle_writes(step, view->line) || is_left_out(s, view->line) ||
            (to_pc && !strcmp(view->line, CS_LINE_STATE))) {
            continue;
        }
        j = cs_settle_write_down(s, direction_of(step), "update", "done",
                                 view->why ? view->why : step->why);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = cs_settle_copy(s, to_pc ? view->pc : view->crm);
        j->to = cs_settle_copy(s, view->value);
    }
    journal_move(s, at);
    if (s->journal->nelts == first && (s->applied[at].dropped || s->applied[at].refused)) {
        return; /* nothing was left to write */
    }
    if (s->journal->nelts == first) {
        cs_settle_write_down(s, direction_of(step), "update", "done", step->why)->to =
            cs_settle_copy(s, step->columns);
    }
    add_cost(s, APR_ARRAY_IDX(s->journal, first, cs_journal_t *), at);
}

/* Texts for the seller that the CRM does not take: they are not sent again until they change. */
static void journal_untold(cs_settling_t *s, int at)
{
    const char *name;
    json_t *why;

    json_object_foreach(s->applied[at].refused, name, why) {
        int stage = !strcmp(name, CS_LINE_STAGE);

        if (stage || !strncmp(name, CS_LINE_TELL "/", sizeof(CS_LINE_TELL))) {
            cs_settle_write_down(s, stage ? "to_pc" : "to_crm", "refuse", "refused",
                                 json_string_value(why))
                ->line = apr_pstrdup(s->p, name);
        }
    }
}

/* A row of a list. */
static void journal_aside(cs_settling_t *s, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    const char *line = step->lines->nelts ? APR_ARRAY_IDX(step->lines, 0, const char *) : NULL;
    const cs_line_view_t *view = line ? cs_plan_view(s->plan, line) : NULL;
    cs_journal_t *j =
        cs_settle_write_down(s, "to_crm", action_of(s, step), "done",
                             s->applied[at].found ? "the row was there already" : step->why);

    j->line = apr_pstrdup(s->p, line);
    j->from = view ? cs_settle_copy(s, view->crm) : NULL;
    j->to = view && view->value ? cs_settle_copy(s, view->value) : cs_settle_copy(s, step->columns);
    add_cost(s, j, at);
}

static void journal_done(cs_settling_t *s, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    cs_journal_t *j;

    if (step->list) {
        journal_aside(s, at);
        return;
    }
    if (step->kind == CS_STEP_UPDATE || step->kind == CS_STEP_PATCH_PC) {
        journal_update(s, at);
        return;
    }
    j = cs_settle_write_down(s, "to_crm", action_of(s, step), "done",
                             s->applied[at].found ? "the record was there already" : step->why);
    j->to =
        step->kind == CS_STEP_CALL
            ? cs_json_own(json_pack("{s:s,s:O}", "call", step->call, "with", step->columns), s->p)
            : cs_settle_copy(s, step->columns);
    add_cost(s, j, at);
}

/* What will be tried again by itself is no news. */
static int is_news(const cs_result_t *result)
{
    return result->cls == CS_CLASS_DATA || result->cls == CS_CLASS_REFUSED ||
           result->cls == CS_CLASS_DUPLICATE;
}

static int was_planned(const cs_settling_t *s, const cs_step_t *step)
{
    const json_t *steps = cs_json_get(s->before, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        const json_t *old = json_array_get(steps, i);
        const char *kind = cs_json_str(old, "kind");

        if (kind && !strcmp(kind, cs_step_kind_name(step->kind)) &&
            json_equal(cs_json_get(old, "columns"), step->columns)) {
            return 1;
        }
    }
    return 0;
}

/* The look that made the row did not live to say so, or never heard that it was made. */
static void journal_found(cs_settling_t *s)
{
    const cs_record_t *record = s->look->record;
    cs_journal_t *j;

    if (record && s->look->deal->state == CS_DEAL_NEW && cs_intent_creates(s->look->deal)) {
        j = cs_settle_write_down(s, "to_crm", "create", "done",
                                 "made by an earlier look that was not heard to its end");
        j->to = cs_json_own(json_pack("{s:s,s:s}", "table", record->table, "id", record->id), s->p);
    }
}

/* A tombstone whose row is there again. */
static void journal_resumed(cs_settling_t *s)
{
    if (s->look->record && s->look->deal->state == CS_DEAL_GONE) {
        cs_settle_write_down(s, "", "resume", "done", "both sides are there again");
    }
}

static void journal_steps(cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const cs_step_t *step = cs_settle_step(s, i);
        const cs_applied_t *applied = &s->applied[i];

        journal_untold(s, i);
        if (step->kind == CS_STEP_POST_PC) {
            continue; /* create_settle.c */
        }
        if (step->send && applied->done) {
            journal_done(s, i);
        }
        else if (step->send && applied->tried && !cs_settle_is_over(s, i) &&
                 is_news(&applied->result)) {
            int to_pc = cs_settle_is_to_pc(step);
            cs_journal_t *j = cs_settle_write_down(
                s, direction_of(step), action_of(s, step),
                applied->result.cls == CS_CLASS_DUPLICATE ? "held" : "refused",
                applied->result.detail ? applied->result.detail
                : to_pc                ? "refused by Partner Center"
                                       : "refused by the CRM");

            j->to = cs_settle_copy(s, step->columns);
            add_cost(s, j, i);
        }
        else if (!step->send && !was_planned(s, step)) {
            cs_settle_write_down(s, "to_pc", "planned", "planned", step->why)->to =
                cs_settle_copy(s, step->columns);
        }
    }
}

/* The last look said the same of this line. */
static int was_said(const cs_settling_t *s, const cs_line_view_t *view)
{
    const json_t *lines = cs_json_get(s->before, "lines");
    size_t i;

    for (i = 0; i < json_array_size(lines); i++) {
        const json_t *old = json_array_get(lines, i);
        const char *line = cs_json_str(old, "line"), *verdict = cs_json_str(old, "verdict");

        if (line && verdict && !strcmp(line, view->line)) {
            const json_t *pc = cs_json_get(old, "pc"), *crm = cs_json_get(old, "crm");

            return !strcmp(verdict, cs_verdict_name(view->verdict)) &&
                   (pc ? json_equal(pc, view->pc) : !view->pc) &&
                   (crm ? json_equal(crm, view->crm) : !view->crm || json_is_null(view->crm));
        }
    }
    return 0;
}

/* The note that an earlier look made of the same value, "waits" or "refused"; NULL = there is none.
 */
static const json_t *noted(const cs_settling_t *s, const cs_line_view_t *view, const char *name)
{
    const json_t *note = cs_json_get(cs_json_get(s->look->deal->images, view->line), name);

    if (cs_json_get(note, "crm")) {
        return view->crm && json_equal(cs_json_get(note, "crm"), view->crm) ? note : NULL;
    }
    return note && view->pc && json_equal(cs_json_get(note, "pc"), view->pc) ? note : NULL;
}

/* What apply left out: told when it is new. */
static int journal_left_out(cs_settling_t *s, const cs_line_view_t *view)
{
    const char *waits = cs_settle_dropped(s, view->line), *no = cs_settle_refused(s, view->line),
               *said;
    int to_pc = view->to_pc || (!strcmp(view->line, CS_LINE_STATE) &&
                                view->verdict == CS_VERDICT_TO_PC);
    cs_journal_t *j;

    if (!waits && !no) {
        return 0;
    }
    said = cs_json_str(noted(s, view, no ? "refused" : "waits"), "why");
    if (!said || (no && strcmp(said, no))) {
        j = cs_settle_write_down(s, !no ? "" : to_pc ? "to_pc" : "to_crm", no ? "refuse" : "hold",
                                 no ? "refused" : "held", no ? no : waits);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = cs_settle_copy(s, to_pc ? view->pc : view->crm);
        j->to = cs_settle_copy(s, view->value ? view->value : view->pc);
    }
    return 1;
}

static void journal_lines(cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);
        int held = view->verdict == CS_VERDICT_HELD;
        cs_journal_t *j;

        if (journal_left_out(s, view) || (!held && view->verdict != CS_VERDICT_REFUSED) ||
            noted(s, view, "refused") || was_said(s, view)) {
            continue;
        }
        j = cs_settle_write_down(s, "", held ? "hold" : "refuse", held ? "held" : "refused",
                                 view->why);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = cs_settle_copy(s, view->crm);
        j->to = cs_settle_copy(s, view->pc);
    }
}

/* The referral ended without an action on the record, which would have said so. */
static int ended_quietly(const cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_CALL) {
            return 0;
        }
    }
    return s->all_done && s->plan->state_after != s->deal->state &&
           s->plan->state_after != CS_DEAL_LINKED;
}

/* A deal that stops says so once. */
static void journal_stop(cs_settling_t *s)
{
    const char *what = cs_json_str(s->plan->explain, "what"), *was = cs_json_str(s->before, "what");
    const char *why = cs_json_str(s->before, "why");

    if (was && what && !strcmp(was, what) && why && !strcmp(why, s->plan->why)) {
        return;
    }
    if (s->plan->what == CS_PLAN_PARK) {
        cs_settle_write_down(s, "", "park", "held", s->plan->why);
    }
    else if (s->plan->what == CS_PLAN_GONE) {
        cs_settle_write_down(s, "", "gone", "done", s->plan->why);
    }
    else if (s->plan->what == CS_PLAN_HOLD && s->plan->lines->nelts == 0) {
        cs_settle_write_down(s, "", "hold", "held", s->plan->why);
    }
    else if (ended_quietly(s)) {
        cs_settle_write_down(s, "", cs_deal_state_name(s->plan->state_after), "done", s->plan->why);
    }
}

void cs_settle_journal(cs_settling_t *s)
{
    if (s->plan->lines->nelts) {
        journal_found(s);
        journal_resumed(s);
    }
    journal_steps(s);
    journal_lines(s);
    journal_stop(s);
}
