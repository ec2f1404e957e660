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

/* ---- images ---- */

static void set_image(settling_t *s, const char *line, const json_t *pc, const json_t *crm,
                      const char *rest)
{
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
    json_object_del(s->deal->images, line);
    if (json_object_size(image)) {
        json_object_set(s->deal->images, line, image);
    }
    json_decref(image);
}

/* Both images stay; those that a stored intent gave are written down, for the intent goes. */
static void keep_image(settling_t *s, const cs_line_view_t *view)
{
    const char *rest = cs_image_rest(s->deal, view->line);

    if (!view->seen_pc && !view->seen_crm) {
        return; /* none, or a line that is switched off and keeps what it had */
    }
    set_image(s, view->line, view->seen_pc, view->seen_crm,
              rest ? apr_pstrdup(s->ptemp, rest) : NULL);
}

/* Why apply left the line out of the steps; NULL = it did not. */
static const char *dropped(const settling_t *s, const char *line)
{
    const char *why = NULL;
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const char *said = cs_json_str(s->applied[i].dropped, line);

        why = said ? said : why;
    }
    return why;
}

static void settle_dropped(settling_t *s, const cs_line_view_t *view, const char *why)
{
    json_t *image;

    keep_image(s, view);
    image = cs_json_get(s->deal->images, view->line);
    if (!image) {
        image = json_object();
        json_object_set_new(s->deal->images, view->line, image);
    }
    json_object_set_new(image, "waits", json_pack("{s:O,s:s}", "pc", view->pc, "why", why));
}

/* 1 unless the row is still to be made. */
static int row_exists(const settling_t *s)
{
    int i;

    for (i = 0; !s->look->record && i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->kind == CS_STEP_CREATE) {
            return s->applied[i].done;
        }
    }
    return 1;
}

static const cs_record_t *created(const settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->kind == CS_STEP_CREATE && s->applied[i].done) {
            return s->applied[i].after;
        }
    }
    return NULL;
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
        cs_line_read_crm(&back, line, after->row, s->ptemp);
    }
    if (back.value) {
        crm = back.value;
        kept = cs_line_same(line, view->value, crm, s->ptemp);
    }
    else {
        cs_line_to_crm(&conv, line, view->value, s->ptemp);
        crm = conv.value;
    }
    if (!kept && s->applied[at].found) {
        keep_image(s, view); /* nothing was written, so nothing was not kept */
        return;
    }
    set_image(s, view->line, view->value, crm, kept ? NULL : CS_REST_NOT_KEPT);
}

/* A new row shows what nobody wrote, too. */
static void settle_taken(settling_t *s, const cs_line_t *line, const cs_line_view_t *view)
{
    const cs_record_t *row = created(s);
    json_t *crm = view->crm;
    const char *rest = view->rest;
    cs_side_t back;

    if (row && !crm) {
        cs_line_read_crm(&back, line, row->row, s->ptemp);
        crm = back.value;
        rest = crm && view->pc && cs_line_same(line, view->pc, crm, s->ptemp) ? NULL
                                                                              : CS_REST_INTRODUCED;
    }
    if (!crm || !view->pc) {
        keep_image(s, view);
        return;
    }
    set_image(s, view->line, view->pc, crm, rest);
}

static void settle_line(settling_t *s, const cs_line_view_t *view)
{
    const cs_line_t *line = line_of(s, view->line);
    int done, at = writer_of(s, view->line, &done);
    const char *waits = dropped(s, view->line);

    if (!line) {
        return;
    }
    if (waits) {
        settle_dropped(s, view, waits);
    }
    else if (view->verdict == CS_VERDICT_TO_CRM && at >= 0 && done) {
        settle_written(s, line, view, at);
    }
    else if (view->take && row_exists(s) && (view->verdict != CS_VERDICT_HELD || s->all_done)) {
        /* A hold counts once the seller was told, for the next edit ends it. */
        settle_taken(s, line, view);
    }
    else {
        keep_image(s, view);
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
    if (!s->look->record) {
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

static void settle_state(settling_t *s, const cs_line_view_t *view)
{
    int done, at = writer_of(s, CS_LINE_STATE, &done);

    if (view->verdict == CS_VERDICT_TO_CRM ? !(at >= 0 && done) : !view->take) {
        return; /* the referral's move is still to be shown, or the record's to be told */
    }
    set_image(s, CS_LINE_STATE, view->pc, at >= 0 ? state_after(s, at) : view->crm, NULL);
    s->deal->pc_status = apr_pstrdup(s->p, json_string_value(view->pc));
}

/* ---- journal ---- */

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

static const char *action_of(const cs_step_t *step)
{
    switch (step->kind) {
    case CS_STEP_CREATE:
        return "create";
    case CS_STEP_REOPEN:
        return "reopen";
    case CS_STEP_CALL:
        return "close";
    default:
        return "update";
    }
}

/* One row per line of an update; the first carries the cost. */
static void journal_update(settling_t *s, int at)
{
    const cs_step_t *step = step_at(s, at);
    int i, first = s->journal->nelts;

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);
        cs_journal_t *j;

        if (!writes(step, view->line) || cs_json_get(s->applied[at].dropped, view->line)) {
            continue;
        }
        j = write_down(s, "to_crm", "update", "done", view->why ? view->why : step->why);
        j->line = apr_pstrdup(s->p, view->line);
        j->from = copy(s, view->crm);
        j->to = copy(s, view->value);
    }
    if (s->journal->nelts == first && s->applied[at].dropped) {
        return; /* nothing was left to write */
    }
    if (s->journal->nelts == first) {
        write_down(s, "to_crm", "update", "done", step->why)->to = copy(s, step->columns);
    }
    add_cost(s, APR_ARRAY_IDX(s->journal, first, cs_journal_t *), at);
}

static void journal_done(settling_t *s, int at)
{
    const cs_step_t *step = step_at(s, at);
    cs_journal_t *j;

    if (step->kind == CS_STEP_UPDATE) {
        journal_update(s, at);
        return;
    }
    j = write_down(s, "to_crm", action_of(step), "done",
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

static void journal_steps(settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const cs_step_t *step = step_at(s, i);
        const cs_applied_t *applied = &s->applied[i];

        if (step->send && applied->done) {
            journal_done(s, i);
        }
        else if (step->send && applied->tried && is_news(&applied->result)) {
            cs_journal_t *j =
                write_down(s, "to_crm", action_of(step),
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
                   (crm ? json_equal(crm, view->crm) : !view->crm);
        }
    }
    return 0;
}

static void journal_lines(settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);
        const char *waits = dropped(s, view->line);
        int held = waits || view->verdict == CS_VERDICT_HELD;
        cs_journal_t *j;

        if ((!held && view->verdict != CS_VERDICT_REFUSED) ||
            (waits ? cs_image_waits(s->look->deal, view->line, view->pc) != NULL
                   : was_said(s, view))) {
            continue;
        }
        j = write_down(s, "", held ? "hold" : "refuse", held ? "held" : "refused",
                       waits ? waits : view->why);
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
        if (step_at(s, i)->send && s->applied[i].done) {
            version = s->applied[i].after ? s->applied[i].after->version : NULL;
        }
    }
    return version;
}

static int any_done(const settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (step_at(s, i)->send && s->applied[i].done) {
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
            settle_line(s, view);
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
    settling_t s = {deal, journal, plan, look, NULL, applied, look->deal->explain, p, ptemp, 1};
    int i, lead;

    for (i = 0; i < plan->steps->nelts; i++) {
        s.all_done &= !APR_ARRAY_IDX(plan->steps, i, cs_step_t *)->send || applied[i].done;
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
        s.applied = unmarked(&s);
        journal_found(&s);
    }
    journal_steps(&s);
    journal_lines(&s);
    journal_stop(&s);
    if (plan->lines->nelts) {
        settle_compared(&s);
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
