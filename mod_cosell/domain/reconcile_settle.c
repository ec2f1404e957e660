/* domain/reconcile_settle.c: what the steps did, turned into images and journal. (deals 2)
 *
 * Written lines take the read-back, or the value decided upon when there is none; lines of steps
 * that were not done or not sent keep both images; lines that needed nothing take what both sides
 * showed.
 */
#include <apr_strings.h>
#include <string.h>

#include "reconcile_internal.h"

typedef struct settling_t {
    cs_deal_t *deal;
    apr_array_header_t *journal;
    const cs_plan_t *plan;
    const cs_look_t *look;
    const cs_mapping_kind_t *kind;
    const cs_applied_t *applied;
    const json_t *before; /* the last explanation: what is in it has been journalled */
    apr_pool_t *p, *ptemp;
    int all_done; /* every sent step */
    cs_table_t table;
} settling_t;

static const cs_step_t *step_at(const settling_t *s, int i)
{
    return APR_ARRAY_IDX(s->plan->steps, i, cs_step_t *);
}

static int writes(const cs_step_t *step, const char *line)
{
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(step->lines, i, const char *), line)) {
            return 1;
        }
    }
    return 0;
}

/* The last sent step that writes the line; -1 = none. *pdone = all of them were done. */
static int writer_of(const settling_t *s, const char *line, int *pdone)
{
    int last = -1, i;

    *pdone = 1;
    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->send && writes(step_at(s, i), line)) {
            *pdone &= s->applied[i].done;
            last = i;
        }
    }
    return last;
}

static const cs_line_t *line_of(const settling_t *s, const char *name)
{
    int i;

    for (i = 0; i < s->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(s->kind->lines, i, cs_line_t *);

        if (!strcmp(line->name, name)) {
            return line;
        }
    }
    return NULL;
}

static const char *said_of(const settling_t *s, const char *line, int refused)
{
    const char *why = NULL;
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const char *said =
            cs_json_str(refused ? s->applied[i].refused : s->applied[i].dropped, line);

        why = said ? said : why;
    }
    return why;
}

/* Why apply left the line out of the steps; NULL = it did not. */
static const char *dropped(const settling_t *s, const char *line)
{
    return said_of(s, line, 0);
}

/* Why the CRM did not take it for its data; NULL = it did, or was not asked. */
static const char *refused(const settling_t *s, const char *line)
{
    return said_of(s, line, 1);
}

/* The line of its group that was left out and took this one with it; NULL = none. */
static const char *partner_left_out(const settling_t *s, const cs_line_t *line)
{
    int i;

    for (i = 0; line->group && i < s->kind->lines->nelts; i++) {
        const cs_line_t *other = APR_ARRAY_IDX(s->kind->lines, i, const cs_line_t *);

        if (other != line && other->group && !strcmp(other->group, line->group) &&
            (dropped(s, other->name) || refused(s, other->name))) {
            return other->name;
        }
    }
    return NULL;
}

/* What is left of a step without the lines that were left out of it has taken effect. */
static int is_over(const cs_step_t *step, const cs_applied_t *applied)
{
    int i;

    if (!step->send || applied->done) {
        return 1;
    }
    for (i = 0; applied->tried && i < step->lines->nelts; i++) {
        const char *line = APR_ARRAY_IDX(step->lines, i, const char *);

        if (!cs_json_get(applied->refused, line) && !cs_json_get(applied->dropped, line)) {
            return 0;
        }
    }
    return applied->tried && step->lines->nelts > 0;
}

/* A step about the record itself, not about rows that belong to it. */
static int is_record_step(const cs_step_t *step)
{
    return step->send && !step->list && step->kind != CS_STEP_PATCH_PC;
}

/* 1 unless the row is still to be made. */
static int row_exists(const settling_t *s)
{
    int i;

    for (i = 0; !s->look->record && i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->kind == CS_STEP_CREATE && !step_at(s, i)->list) {
            return s->applied[i].done;
        }
    }
    return 1;
}

static const cs_record_t *created(const settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->kind == CS_STEP_CREATE && !step_at(s, i)->list &&
            s->applied[i].done) {
            return s->applied[i].after;
        }
    }
    return NULL;
}

/* ---- images ---- */

static void set_image(settling_t *s, const char *line, const json_t *pc, const json_t *crm,
                      const char *rest)
{
    const cs_line_t *known = line_of(s, line);
    json_t *image = json_object();

    if (pc) {
        json_object_set_new(image, "pc", json_deep_copy(pc));
    }
    if (crm) {
        json_object_set_new(image, "crm", json_deep_copy(crm));
    }
    if (rest) {
        json_object_set_new(image, "rest", json_string(rest));
    }
    if (known) {
        json_object_set_new(image, "as", json_string(cs_line_sign(known, s->ptemp)));
    }
    json_object_set_new(s->deal->images, line, image);
}

/* Both images stay; those that a stored intent gave are written down, for the intent goes. What was
 * left out or refused stays so until the line arrives. */
static void keep_image(settling_t *s, const cs_line_view_t *view)
{
    json_t *image = cs_json_get(s->deal->images, view->line);
    json_t *waits, *was_refused;
    const char *rest = cs_image_rest(s->deal, view->line);

    if (!view->seen_pc && !view->seen_crm) {
        return; /* none, or a line that is switched off and keeps what it had */
    }
    waits = json_incref(cs_json_get(image, "waits"));
    was_refused = json_incref(cs_json_get(image, "refused"));
    set_image(s, view->line, view->seen_pc, view->seen_crm,
              rest ? apr_pstrdup(s->ptemp, rest) : NULL);
    image = cs_json_get(s->deal->images, view->line);
    if (waits) {
        json_object_set(image, "waits", waits);
    }
    if (was_refused) {
        json_object_set(image, "refused", was_refused);
    }
    json_decref(waits);
    json_decref(was_refused);
}

/* The row that a create made without this line shows what somebody may fill in by hand. */
static const json_t *left_empty(settling_t *s, const cs_line_t *line)
{
    const cs_record_t *row = created(s);
    cs_side_t back;

    if (!row || !line) {
        return NULL;
    }
    cs_line_read_crm(&back, line, &s->table, row->row, s->ptemp);
    return back.value;
}

/* name: "waits" or "refused" */
static void settle_left_out(settling_t *s, const cs_line_view_t *view, const char *name,
                            const char *why)
{
    const json_t *empty = view->seen_crm ? NULL : left_empty(s, line_of(s, view->line));
    json_t *image, *note;

    keep_image(s, view);
    image = cs_json_get(s->deal->images, view->line);
    if (!image || (empty && !cs_json_get(image, "crm"))) {
        set_image(s, view->line, NULL, empty, NULL);
        image = cs_json_get(s->deal->images, view->line);
    }
    note = json_pack("{s:s}", "why", why);
    if (view->pc) {
        json_object_set_new(note, "pc", json_deep_copy(view->pc));
    }
    if (!strcmp(name, "refused")) {
        json_object_set_new(note, "mapping",
                            json_string(cs_mapping_digest(s->look->mapping)));
    }
    json_object_del(image, "waits");
    json_object_del(image, "refused");
    json_object_set_new(image, name, note);
}

static void settle_written(settling_t *s, const cs_line_t *line, const cs_line_view_t *view, int at)
{
    const cs_record_t *after = s->applied[at].after;
    cs_side_t back;
    cs_conv_t conv;
    json_t *crm;
    int kept = 1;

    memset(&back, 0, sizeof(back));
    if (after) {
        cs_line_read_crm(&back, line, &s->table, after->row, s->ptemp);
    }
    if (back.value) {
        crm = back.value;
        kept = cs_line_same(line, &s->table, view->value, crm, s->ptemp);
    }
    else {
        cs_line_to_crm(&conv, line, &s->table, view->value, s->ptemp);
        crm = conv.value;
    }
    if (!kept && s->applied[at].found) {
        keep_image(s, view); /* nothing was written, so nothing was not kept */
        return;
    }
    set_image(s, view->line, view->value, crm,
              !kept                                                        ? CS_REST_NOT_KEPT
              : cs_line_cut(line, &s->table, view->value, s->ptemp) ? CS_REST_CUT
                                                                           : NULL);
}

/* A new row shows what nobody wrote, too. */
static void settle_taken(settling_t *s, const cs_line_t *line, const cs_line_view_t *view)
{
    const cs_record_t *row = created(s);
    json_t *crm = view->crm;
    const char *rest = view->rest;
    cs_side_t back;

    if (row && !crm) {
        cs_line_read_crm(&back, line, &s->table, row->row, s->ptemp);
        crm = back.value;
        rest = crm && view->pc && cs_line_same(line, &s->table, view->pc, crm, s->ptemp)
                   ? NULL
                   : CS_REST_INTRODUCED;
    }
    if (!crm || !view->pc) {
        keep_image(s, view);
        return;
    }
    set_image(s, view->line, view->pc, crm, rest);
}

/* A row was made without it, for now: the line is not new at the next look. */
static int is_still_to_come(const cs_line_t *line, const cs_line_view_t *view)
{
    return line->to_crm.on && !line->off && !view->take &&
           (view->verdict == CS_VERDICT_HELD || view->verdict == CS_VERDICT_REFUSED ||
            view->verdict == CS_VERDICT_SKIPPED);
}

static void settle_line(settling_t *s, const cs_line_t *line, const cs_line_view_t *view)
{
    int done, at = writer_of(s, view->line, &done);
    const char *waits = dropped(s, view->line), *no = refused(s, view->line);
    const char *partner = view->to_crm ? partner_left_out(s, line) : NULL;

    if (no) {
        settle_left_out(s, view, "refused", no);
    }
    else if (waits || partner) {
        settle_left_out(s, view, "waits",
                        waits ? waits
                              : apr_psprintf(s->ptemp, "travels only together with %s", partner));
    }
    else if (view->to_crm && at >= 0 && done) {
        settle_written(s, line, view, at);
    }
    else if (view->take && row_exists(s) &&
             (view->verdict != CS_VERDICT_HELD || !view->rest || s->all_done)) {
        /* A hold counts once the seller was told, for the next edit ends it. */
        settle_taken(s, line, view);
    }
    else if (!view->seen_pc && is_still_to_come(line, view) && created(s)) {
        set_image(s, view->line, NULL, left_empty(s, line), NULL);
    }
    else {
        keep_image(s, view);
    }
}

/* An item of a list knows itself what it becomes. */
static void settle_item(settling_t *s, const cs_list_t *list, const cs_line_view_t *view)
{
    int done, at = writer_of(s, view->line, &done);
    const char *waits = dropped(s, view->line), *no = refused(s, view->line), *rest = NULL;
    json_t *pc = NULL, *crm = NULL;

    if (no || waits) {
        settle_left_out(s, view, no ? "refused" : "waits", no ? no : waits);
        return;
    }
    switch (cs_list_settled(list, view, at < 0 ? -1 : done, s->all_done,
                            at < 0 ? NULL : &s->applied[at], &pc, &crm, &rest, s->ptemp)) {
    case 1:
        set_image(s, view->line, pc, crm, rest);
        break;
    case -1:
        json_object_del(s->deal->images, view->line);
        break;
    default:
        keep_image(s, view);
        break;
    }
}

static void settle_view(settling_t *s, const cs_line_view_t *view)
{
    const cs_line_t *line = line_of(s, view->line);
    const cs_list_t *list = line ? NULL : cs_list_of_line(s->kind, view->line);

    if (line) {
        settle_line(s, line, view);
    }
    else if (list) {
        settle_item(s, list, view);
    }
}

/* What the row's state is after its last write, from the read-back or from what was asked for. */
static json_t *state_after(settling_t *s, int at)
{
    const cs_record_t *after = s->applied[at].after;
    json_t *seen = after ? cs_state_columns(s->kind, after->row, s->ptemp) : NULL, *row;
    const cs_step_t *step = step_at(s, at);
    const cs_crm_facts_t *facts = cs_crm_facts(s->kind->mapping->crm);
    const json_t *status = cs_json_get(step->columns, "Status");

    if (seen) {
        return seen;
    }
    /* Whether a row took the state of an unanswered referral is not guessed: a row that did not
     * would read as accepted by somebody. */
    if (!s->look->record ||
        (step->kind != CS_STEP_CALL && !strncmp(cs_state_of_card(s->look->own, s->ptemp), "New", 3))) {
        return NULL;
    }
    row = cs_json_own(json_deep_copy(s->look->record->row), s->ptemp);
    if (step->kind != CS_STEP_CALL) {
        json_object_update(row, step->columns);
    }
    else {
        json_object_set_new(row, facts->state_column,
                            json_integer(strcmp(step->call, facts->lose) ? 1 : 2));
        if (json_is_integer(status) && cs_json_get(row, "statuscode")) {
            json_object_set_new(row, "statuscode", json_deep_copy(status));
        }
    }
    return cs_state_columns(s->kind, row, s->ptemp);
}

static cs_journal_t *write_down(settling_t *s, const char *direction, const char *action,
                                const char *outcome, const char *why);
static json_t *copy(const settling_t *s, const json_t *json);

/* A new row that does not show the referral as unanswered is no acceptance, and somebody should know
 * why it does not. */
static void report_unkept(settling_t *s, int at, const json_t *state)
{
    const char *column;
    json_t *value;

    if (at < 0 || step_at(s, at)->kind == CS_STEP_CALL || !state) {
        return;
    }
    json_object_foreach(step_at(s, at)->columns, column, value) {
        const json_t *now = cs_json_get(state, column);

        if (now && !json_equal(now, value)) {
            cs_journal_t *j = write_down(s, "to_crm", "not-kept", "refused",
                                         apr_psprintf(s->p, "the CRM did not keep %s", column));

            j->line = CS_LINE_STATE;
            j->from = copy(s, now);
            j->to = copy(s, value);
        }
    }
}

static void settle_state(settling_t *s, const cs_line_view_t *view)
{
    json_t *state;
    int done, at = writer_of(s, CS_LINE_STATE, &done);

    if (view->verdict == CS_VERDICT_TO_CRM ? !(at >= 0 && done) : !view->take) {
        return; /* the referral's move is still to be shown, or the record's to be told */
    }
    state = at >= 0 ? state_after(s, at) : view->crm;
    report_unkept(s, at, state);
    set_image(s, CS_LINE_STATE, view->pc, state, NULL);
    s->deal->pc_status = apr_pstrdup(s->p, json_string_value(view->pc));
}

/* ---- journal ---- */

static const cs_line_view_t *view_of(const settling_t *s, const char *name)
{
    int i;

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);

        if (!strcmp(view->line, name)) {
            return view;
        }
    }
    return NULL;
}

static cs_journal_t *write_down(settling_t *s, const char *direction, const char *action,
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

static json_t *copy(const settling_t *s, const json_t *json)
{
    return json ? cs_json_own(json_deep_copy(json), s->p) : NULL;
}

static void add_cost(const settling_t *s, cs_journal_t *j, int at)
{
    const cs_applied_t *applied = &s->applied[at];

    j->calls = applied->calls;
    j->took = applied->took;
    j->correlation = apr_pstrdup(s->p, applied->correlation);
}

static const char *action_of(const settling_t *s, const cs_step_t *step)
{
    const char *qualify = s->kind ? cs_crm_facts(s->kind->mapping->crm)->qualify : NULL;

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

static int is_left_out(const settling_t *s, const char *name)
{
    const cs_line_t *line = line_of(s, name);

    return dropped(s, name) || refused(s, name) || (line && partner_left_out(s, line));
}

/* One row per line of an update; the first carries the cost. */
static void journal_update(settling_t *s, int at)
{
    const cs_step_t *step = step_at(s, at);
    int i, first = s->journal->nelts;

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);
        cs_journal_t *j;

        if (!writes(step, view->line) || is_left_out(s, view->line)) {
            continue;
        }
        j = write_down(s, "to_crm", "update", "done", view->why ? view->why : step->why);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = copy(s, view->crm);
        j->to = copy(s, view->value);
    }
    if (s->journal->nelts == first && (s->applied[at].dropped || s->applied[at].refused)) {
        return; /* nothing was left to write */
    }
    if (s->journal->nelts == first) {
        write_down(s, "to_crm", "update", "done", step->why)->to = copy(s, step->columns);
    }
    add_cost(s, APR_ARRAY_IDX(s->journal, first, cs_journal_t *), at);
}

/* A row of a list. */
static void journal_aside(settling_t *s, int at)
{
    const cs_step_t *step = step_at(s, at);
    const char *line = step->lines->nelts ? APR_ARRAY_IDX(step->lines, 0, const char *) : NULL;
    const cs_line_view_t *view = line ? view_of(s, line) : NULL;
    cs_journal_t *j =
        write_down(s, "to_crm", action_of(s, step), "done",
                   s->applied[at].found ? "the row was there already" : step->why);

    j->line = apr_pstrdup(s->p, line);
    j->from = view ? copy(s, view->crm) : NULL;
    j->to = view && view->value ? copy(s, view->value) : copy(s, step->columns);
    add_cost(s, j, at);
}

static void journal_done(settling_t *s, int at)
{
    const cs_step_t *step = step_at(s, at);
    cs_journal_t *j;

    if (step->list) {
        journal_aside(s, at);
        return;
    }
    if (step->kind == CS_STEP_UPDATE) {
        journal_update(s, at);
        return;
    }
    j = write_down(s, "to_crm", action_of(s, step), "done",
                   s->applied[at].found ? "the record was there already" : step->why);
    j->to =
        step->kind == CS_STEP_CALL
            ? cs_json_own(json_pack("{s:s,s:O}", "call", step->call, "with", step->columns), s->p)
            : copy(s, step->columns);
    add_cost(s, j, at);
}

/* What will be tried again by itself is no news. */
static int is_news(const cs_result_t *result)
{
    return result->cls == CS_CLASS_DATA || result->cls == CS_CLASS_REFUSED ||
           result->cls == CS_CLASS_DUPLICATE;
}

static int was_planned(const settling_t *s, const cs_step_t *step)
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
static void journal_found(settling_t *s)
{
    const cs_record_t *record = s->look->record;
    cs_journal_t *j;

    if (record && s->look->deal->state == CS_DEAL_NEW && cs_intent_creates(s->look->deal)) {
        j = write_down(s, "to_crm", "create", "done",
                       "made by an earlier look that was not heard to its end");
        j->to = cs_json_own(json_pack("{s:s,s:s}", "table", record->table, "id", record->id), s->p);
    }
}

/* A tombstone whose row is there again. */
static void journal_resumed(settling_t *s)
{
    if (s->look->record && s->look->deal->state == CS_DEAL_GONE) {
        write_down(s, "", "resume", "done", "both sides are there again");
    }
}

static void journal_steps(settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const cs_step_t *step = step_at(s, i);
        const cs_applied_t *applied = &s->applied[i];

        if (step->send && applied->done) {
            journal_done(s, i);
        }
        else if (step->send && applied->tried && !is_over(step, applied) &&
                 is_news(&applied->result)) {
            cs_journal_t *j =
                write_down(s, "to_crm", action_of(s, step),
                           applied->result.cls == CS_CLASS_DUPLICATE ? "held" : "refused",
                           applied->result.detail ? applied->result.detail : "refused by the CRM");

            j->to = copy(s, step->columns);
            add_cost(s, j, i);
        }
        else if (!step->send && !was_planned(s, step)) {
            write_down(s, "to_pc", "planned", "planned", step->why)->to = copy(s, step->columns);
        }
    }
}

/* The last look said the same of this line. */
static int was_said(const settling_t *s, const cs_line_view_t *view)
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

/* The note that an earlier look made of the same value, "waits" or "refused"; NULL = there is none. */
static const json_t *noted(const settling_t *s, const cs_line_view_t *view, const char *name)
{
    const json_t *note =
        cs_json_get(cs_json_get(s->look->deal->images, view->line), name);

    return note && view->pc && json_equal(cs_json_get(note, "pc"), view->pc) ? note : NULL;
}

/* What apply left out: told when it is new. */
static int journal_left_out(settling_t *s, const cs_line_view_t *view)
{
    const char *waits = dropped(s, view->line), *no = refused(s, view->line), *said;
    cs_journal_t *j;

    if (!waits && !no) {
        return 0;
    }
    said = cs_json_str(noted(s, view, no ? "refused" : "waits"), "why");
    if (!said || (no && strcmp(said, no))) {
        j = write_down(s, no ? "to_crm" : "", no ? "refuse" : "hold", no ? "refused" : "held",
                       no ? no : waits);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = copy(s, view->crm);
        j->to = copy(s, view->value ? view->value : view->pc);
    }
    return 1;
}

static void journal_lines(settling_t *s)
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
        j = write_down(s, "", held ? "hold" : "refuse", held ? "held" : "refused", view->why);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = copy(s, view->crm);
        j->to = copy(s, view->pc);
    }
}

/* The referral ended without an action on the record, which would have said so. */
static int ended_quietly(const settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->kind == CS_STEP_CALL) {
            return 0;
        }
    }
    return s->all_done && s->plan->state_after != s->deal->state &&
           s->plan->state_after != CS_DEAL_LINKED;
}

/* A deal that stops says so once. */
static void journal_stop(settling_t *s)
{
    const char *what = cs_json_str(s->plan->explain, "what"), *was = cs_json_str(s->before, "what");
    const char *why = cs_json_str(s->before, "why");

    if (was && what && !strcmp(was, what) && why && !strcmp(why, s->plan->why)) {
        return;
    }
    if (s->plan->what == CS_PLAN_PARK) {
        write_down(s, "", "park", "held", s->plan->why);
    }
    else if (s->plan->what == CS_PLAN_GONE) {
        write_down(s, "", "gone", "done", s->plan->why);
    }
    else if (s->plan->what == CS_PLAN_HOLD && s->plan->lines->nelts == 0) {
        write_down(s, "", "hold", "held", s->plan->why);
    }
    else if (ended_quietly(s)) {
        write_down(s, "", cs_deal_state_name(s->plan->state_after), "done", s->plan->why);
    }
}

/* ---- the deal ---- */

static void settle_told(settling_t *s)
{
    int done, at = writer_of(s, CS_LINE_TELL, &done);
    json_t *told = json_deep_copy(s->plan->told);

    if (at < 0 ? !s->all_done : !done) {
        json_decref(told);
        return; /* the seller still reads the old text */
    }
    s->deal->told = cs_json_own(told ? told : json_object(), s->p);
    s->deal->status = apr_pstrdup(s->p, s->plan->status);
    s->deal->problem = apr_pstrdup(s->p, s->plan->problem);
    if (at >= 0 && s->applied[at].after) {
        cs_tell_keep(s->deal->told, s->kind, step_at(s, at)->columns, s->applied[at].after->row,
                     s->ptemp);
    }
}

/* The version the row has now; NULL when the last write told none. */
static const char *crm_version(const settling_t *s)
{
    const char *version = s->look->record ? s->look->record->version : NULL;
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (is_record_step(step_at(s, i)) && s->applied[i].done) {
            version = s->applied[i].after ? s->applied[i].after->version : NULL;
        }
    }
    return version;
}

static int any_done(const settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (is_record_step(step_at(s, i)) && s->applied[i].done) {
            return 1;
        }
    }
    return 0;
}

static void settle_compared(settling_t *s)
{
    cs_deal_t *deal = s->deal;
    int i;

    deal->images = cs_json_own(
        json_is_object(deal->images) ? json_deep_copy(deal->images) : json_object(), s->p);
    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);

        if (strcmp(view->line, CS_LINE_STATE)) {
            settle_view(s, view);
        }
        else {
            settle_state(s, view);
        }
    }
    settle_told(s);
    deal->crm_version = apr_pstrdup(s->p, crm_version(s));
    deal->pc_version = apr_pstrdup(s->p, s->look->own->etag);
    deal->title = apr_pstrdup(s->p, cs_json_str(s->look->own->doc, "name"));
    if (s->all_done) {
        deal->state = s->plan->state_after;
    }
    else if (s->look->record || any_done(s)) {
        deal->state = CS_DEAL_LINKED;
    }
}

static void settle_stopped(settling_t *s)
{
    if (s->plan->moved_id) {
        write_down(s, "", "move", "done", s->plan->why);
        cs_settle_move(s->deal, s->plan, s->look, s->p);
    }
    s->deal->state = s->plan->state_after;
    s->deal->status = apr_pstrdup(s->p, s->plan->status);
    s->deal->problem = apr_pstrdup(s->p, s->plan->problem);
}

/* The answer of the call says what the lead became: the deal goes on with that at once. */
static void settle_qualified(settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const cs_mapping_kind_t *to;
        const char *id = cs_qualified_row(s->kind, step_at(s, i), &s->applied[i], &to);
        cs_plan_t moved = *s->plan;

        if (id) {
            moved.moved_kind = to->name;
            moved.moved_table = to->table;
            moved.moved_id = id;
            write_down(s, "", "move", "done",
                       apr_psprintf(s->p, "the %s was qualified: the deal goes on with the %s %s",
                                    s->kind->name, to->name, id));
            cs_settle_move(s->deal, &moved, s->look, s->p);
            s->deal->state = CS_DEAL_LINKED;
        }
    }
}

/* Nothing was compared, and later it will be: then it must still be known what is ours. */
static int waits_uncompared(const cs_plan_t *plan)
{
    return !plan->lines->nelts && (plan->what == CS_PLAN_HOLD || plan->what == CS_PLAN_PARK);
}

/* What was read back, names without their mark. */
static const cs_applied_t *unmarked(const settling_t *s)
{
    int n = s->plan->steps->nelts, i;
    cs_applied_t *out;
    const char *mark;

    if (!s->kind->tell.mark || !n) {
        return s->applied;
    }
    out = apr_pmemdup(s->ptemp, s->applied, sizeof(*out) * (apr_size_t)n);
    for (i = 0; i < n; i++) {
        if (out[i].after && out[i].after->row) {
            cs_record_t *record = apr_pmemdup(s->ptemp, out[i].after, sizeof(*record));

            record->row = (json_t *)cs_row_unmarked(s->kind, record->row, &mark, s->p);
            out[i].after = record;
        }
    }
    return out;
}

apr_status_t cs_reconcile_settle(cs_deal_t *deal, apr_array_header_t *journal,
                                 const cs_plan_t *plan, const cs_look_t *look,
                                 const cs_applied_t *applied, apr_pool_t *p, apr_pool_t *ptemp,
                                 cs_result_t *res)
{
    settling_t s = {deal, journal, plan, look, NULL, applied, look->deal->explain, p, ptemp, 1,
                    {NULL, NULL, NULL}};
    int i, lead;

    for (i = 0; i < plan->steps->nelts; i++) {
        s.all_done &= is_over(APR_ARRAY_IDX(plan->steps, i, cs_step_t *), &applied[i]);
    }
    if (plan->lines->nelts) {
        s.kind = deal->kind ? cs_mapping_kind(look->mapping, deal->kind)
                            : cs_mapping_route(look->mapping, look->own, look->microsoft,
                                               look->organization, &lead, ptemp);
        if (!s.kind) {
            return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "mapping:kind",
                                 "the mapping has no record kind \"%s\"",
                                 deal->kind ? deal->kind : "for this referral");
        }
    }
    if (plan->lines->nelts) {
        s.table.name = s.kind->table;
        s.table.metadata = look->metadata;
        s.table.row = look->record ? look->record->row : NULL;
        s.applied = unmarked(&s);
        journal_found(&s);
        journal_resumed(&s);
    }
    journal_steps(&s);
    journal_lines(&s);
    journal_stop(&s);
    if (plan->lines->nelts) {
        settle_compared(&s);
        settle_qualified(&s);
    }
    else {
        settle_stopped(&s);
    }
    deal->explain = cs_json_own(json_deep_copy(plan->explain), p);
    deal->mapping = apr_pstrdup(p, cs_mapping_digest(look->mapping));
    if (s.all_done && !waits_uncompared(plan)) {
        deal->intent = NULL;
    }
    else if (plan->intent) {
        deal->intent = cs_json_own(json_deep_copy(plan->intent), p);
    }
    return APR_SUCCESS;
}
