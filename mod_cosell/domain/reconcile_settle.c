/* domain/reconcile_settle.c: what the steps did, turned into the deal as it is afterwards. (deals
 * 2) */
#include <apr_strings.h>
#include <string.h>

#include "settle_internal.h"

const cs_step_t *cs_settle_step(const cs_settling_t *s, int i)
{
    return APR_ARRAY_IDX(s->plan->steps, i, cs_step_t *);
}

int cs_settle_writes(const cs_step_t *step, const char *line)
{
    int i;

    for (i = 0; i < step->lines->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(step->lines, i, const char *), line)) {
            return 1;
        }
    }
    return 0;
}

int cs_settle_writer(const cs_settling_t *s, const char *line, int *pdone)
{
    int last = -1, i;

    *pdone = 1;
    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->send && cs_settle_writes(cs_settle_step(s, i), line)) {
            *pdone &= s->applied[i].done;
            last = i;
        }
    }
    return last;
}

const cs_line_t *cs_settle_line_of(const cs_settling_t *s, const char *name)
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

static const char *said_of(const cs_settling_t *s, const char *line, int refused)
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

const char *cs_settle_dropped(const cs_settling_t *s, const char *line)
{
    return said_of(s, line, 0);
}

const char *cs_settle_refused(const cs_settling_t *s, const char *line)
{
    return said_of(s, line, 1);
}

const char *cs_settle_partner(const cs_settling_t *s, const cs_line_t *line)
{
    int i;

    for (i = 0; line->group && i < s->kind->lines->nelts; i++) {
        const cs_line_t *other = APR_ARRAY_IDX(s->kind->lines, i, const cs_line_t *);

        if (other != line && other->group && !strcmp(other->group, line->group) &&
            (cs_settle_dropped(s, other->name) || cs_settle_refused(s, other->name))) {
            return other->name;
        }
    }
    return NULL;
}

/* What the seller reads is left out text by text. */
static int is_left_out(const json_t *whys, const char *line)
{
    const char *name;
    json_t *why;

    if (strcmp(line, CS_LINE_TELL)) {
        return cs_json_get(whys, line) != NULL;
    }
    json_object_foreach((json_t *)whys, name, why) {
        if (!strncmp(name, CS_LINE_TELL "/", sizeof(CS_LINE_TELL))) {
            return 1;
        }
    }
    return 0;
}

/* A group is one part of its step, named after one of its lines: all of it was left out. */
static int goes_with_left_out(const cs_settling_t *s, const cs_applied_t *applied, const char *name)
{
    const cs_line_t *line = s->kind ? cs_settle_line_of(s, name) : NULL;
    int i;

    for (i = 0; line && line->group && i < s->kind->lines->nelts; i++) {
        const cs_line_t *other = APR_ARRAY_IDX(s->kind->lines, i, const cs_line_t *);

        if (other->group && !strcmp(other->group, line->group) &&
            (cs_json_get(applied->refused, other->name) ||
             cs_json_get(applied->dropped, other->name))) {
            return 1;
        }
    }
    return 0;
}

int cs_settle_is_over(const cs_settling_t *s, int at)
{
    const cs_step_t *step = cs_settle_step(s, at);
    const cs_applied_t *applied = &s->applied[at];
    int i;

    if (!step->send || applied->done || cs_settle_post_is_over(step, applied)) {
        return 1;
    }
    for (i = 0; applied->tried && i < step->lines->nelts; i++) {
        const char *line = APR_ARRAY_IDX(step->lines, i, const char *);

        if (!is_left_out(applied->refused, line) && !is_left_out(applied->dropped, line) &&
            !goes_with_left_out(s, applied, line)) {
            return 0;
        }
    }
    return applied->tried && step->lines->nelts > 0;
}

/* An item that goes when another has come, which was left out: it stays. */
static int waits_for_left_out(const cs_settling_t *s, int at)
{
    int after = cs_settle_step(s, at)->after;
    const cs_step_t *first = after < 0 ? NULL : cs_settle_step(s, after);

    return first && first->list && !s->applied[at].tried && !s->applied[after].done &&
           cs_settle_is_over(s, after);
}

int cs_settle_is_record(const cs_step_t *step)
{
    return step->send && !step->list && !cs_settle_is_to_pc(step);
}

int cs_settle_is_to_pc(const cs_step_t *step)
{
    return step->kind == CS_STEP_PATCH_PC || step->kind == CS_STEP_POST_PC;
}

/* The operations of a patch, on a copy of the document: all of them set a member. */
static json_t *patched(const cs_settling_t *s, json_t *doc, const json_t *ops)
{
    json_t *out = cs_json_own(json_deep_copy(doc), s->ptemp);
    size_t i;

    for (i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        const char *path = cs_json_str(op, "path");

        if (path) {
            cs_json_pointer_set(out, path, json_deep_copy(cs_json_get(op, "value")));
        }
    }
    return out;
}

json_t *cs_settle_doc(const cs_settling_t *s, int at, int *pshown)
{
    const cs_step_t *step = cs_settle_step(s, at);
    const cs_card_t *card = s->applied[at].card;
    cs_look_t look = *s->look;

    *pshown = card != NULL;
    if (!card) {
        json_t *doc = look.own ? cs_doc_of_look(&look, s->ptemp) : NULL;

        return doc && step->kind == CS_STEP_PATCH_PC ? patched(s, doc, step->columns) : doc;
    }
    if (step->kind == CS_STEP_POST_PC && look.own) {
        look.microsoft = card;
    }
    else {
        look.own = card;
    }
    return cs_doc_of_look(&look, s->ptemp);
}

/* ---- the state ---- */

/* What the row's state is after its last write, from the read-back or from what was asked for. */
static json_t *state_after(cs_settling_t *s, int at)
{
    const cs_record_t *after = s->applied[at].after;
    json_t *seen = after ? cs_state_columns(s->kind, after->row, s->ptemp) : NULL, *row;
    const cs_step_t *step = cs_settle_step(s, at);
    const cs_crm_facts_t *facts = s->kind->mapping->facts;
    const json_t *reason =
        facts->reason_parameter ? cs_json_get(step->columns, facts->reason_parameter) : NULL;

    if (seen) {
        return seen;
    }
    /* Whether a row took the state of an unanswered referral is not guessed: a row that did not
     * would read as accepted by somebody. */
    if (!s->look->record || (step->kind != CS_STEP_CALL &&
                             !strncmp(cs_state_of_card(s->look->own, s->ptemp), "New", 3))) {
        return NULL;
    }
    if (step->kind != CS_STEP_CALL && facts->state_follows) {
        return cs_state_followed(s->kind, s->look->metadata, step->columns,
                                 cs_state_of_card(s->look->own, s->ptemp), s->ptemp);
    }
    row = cs_json_own(json_deep_copy(s->look->record->row), s->ptemp);
    if (step->kind != CS_STEP_CALL) {
        json_object_update(row, step->columns);
    }
    else {
        json_object_set_new(row, facts->state_column,
                            json_integer(strcmp(step->call, facts->lose) ? 1 : 2));
        if (json_is_integer(reason) && cs_json_get(row, facts->reason_column)) {
            json_object_set_new(row, facts->reason_column, json_deep_copy(reason));
        }
    }
    return cs_state_columns(s->kind, row, s->ptemp);
}

static void journal_unkept(cs_settling_t *s, const json_t *now, const json_t *meant,
                           const char *why)
{
    cs_journal_t *j = cs_settle_write_down(s, "to_crm", "not-kept", "refused", why);

    j->line = CS_LINE_STATE;
    j->from = cs_settle_copy(s, now);
    j->to = cs_settle_copy(s, meant);
}

/* Its stage was kept and does not close it. */
static void report_open(cs_settling_t *s, int at, const json_t *state)
{
    const char *column = s->kind->mapping->facts->state_column;
    const json_t *now = cs_json_get(state, column);
    int want = cs_state_of_set(s->kind, s->look->metadata, cs_settle_step(s, at)->columns,
                               cs_state_of_card(s->look->own, s->ptemp));

    if (s->kind->mapping->facts->state_follows && want > 0 && json_is_integer(now) &&
        json_integer_value(now) != want) {
        journal_unkept(s, now, cs_json_own(json_integer(want), s->ptemp),
                       want == 1 ? "the stage that was set does not make the record won"
                                 : "the stage that was set does not make the record lost");
    }
}

/* A new row that does not show the referral as unanswered is no acceptance, and somebody should
 * know why it does not. */
static void report_unkept(cs_settling_t *s, int at, const json_t *state)
{
    const char *column;
    json_t *value;

    if (at < 0 || cs_settle_step(s, at)->kind == CS_STEP_CALL || !state) {
        return;
    }
    json_object_foreach(cs_settle_step(s, at)->columns, column, value) {
        const json_t *now = cs_json_get(state, column);

        if (now && !json_equal(now, value)) {
            journal_unkept(s, now, value, apr_psprintf(s->p, "the CRM did not keep %s", column));
        }
    }
    report_open(s, at, state);
}

/* What only an intent said of the row is written down, for the intent goes. */
static void keep_state(cs_settling_t *s, const cs_line_view_t *view)
{
    if (!s->deal->pc_status && view->seen_pc && s->all_done) {
        json_t *note =
            json_incref(cs_json_get(cs_json_get(s->deal->images, CS_LINE_STATE), "refused"));

        cs_settle_image(s, CS_LINE_STATE, view->seen_pc, view->seen_crm, NULL);
        if (note) {
            json_object_set_new(cs_json_get(s->deal->images, CS_LINE_STATE), "refused", note);
        }
        s->deal->pc_status = apr_pstrdup(s->p, json_string_value(view->seen_pc));
    }
}

/* The referral did not go where the record asked it to. */
static void refuse_state(cs_settling_t *s, const cs_line_view_t *view, const char *why)
{
    const json_t *row = cs_row_with_close(s->kind, s->look->record->row, s->look->record, s->ptemp);
    const cs_heard_t *heard =
        cs_state_hear(s->kind, json_string_value(view->pc), row, s->look->metadata, s->ptemp);
    json_t *note = cs_settle_refused_there(s, view, why);

    if (heard && heard->reason) {
        json_object_set_new(note, "reason", json_string(heard->reason));
    }
}

/* What the record asked for, and where that led. */
static void settle_heard(cs_settling_t *s, const cs_line_view_t *view)
{
    int done, at = cs_settle_writer(s, CS_LINE_STATE, &done);
    const char *no = cs_settle_refused(s, CS_LINE_STATE), *state;

    if (no) {
        refuse_state(s, view, no);
        return;
    }
    if (at < 0 || !done) {
        keep_state(s, view);
        return;
    }
    state = s->applied[at].card ? cs_state_of_card(s->applied[at].card, s->ptemp)
                                : json_string_value(view->value);
    if (strcmp(state, json_string_value(view->value))) {
        refuse_state(s, view, apr_psprintf(s->ptemp, "it made it %s", state));
        return;
    }
    cs_settle_image(s, CS_LINE_STATE, view->value, view->crm, NULL);
    s->deal->pc_status = apr_pstrdup(s->p, state);
}

/* An unanswered record that our own write, of something else, moved: a rule of the organisation's
 * did that, which accepts nothing. NULL = nothing of the kind. */
static json_t *moved_by_write(cs_settling_t *s, const cs_line_view_t *view)
{
    json_t *state = NULL;
    int i;

    if (strncmp(json_string_value(view->pc), "New", 3)) {
        return NULL;
    }
    for (i = 0; i < s->plan->steps->nelts; i++) {
        const cs_record_t *after = s->applied[i].after;

        if (cs_settle_is_record(cs_settle_step(s, i)) && s->applied[i].done && after &&
            cs_state_of_row(s->kind, after->row) == 0) {
            state = cs_state_columns(s->kind, after->row, s->ptemp);
        }
    }
    return state && view->crm && !json_equal(state, view->crm) ? state : NULL;
}

/* By the CRM's clock: when the row was made to show the state, or was first seen to. */
static void note_made(cs_settling_t *s, int at)
{
    json_t *image = cs_json_get(s->deal->images, CS_LINE_STATE);
    const cs_record_t *row = at >= 0                             ? s->applied[at].after
                             : cs_json_get(image, CS_IMAGE_MADE) ? NULL
                                                                 : s->look->record;

    if (row && row->modified) {
        json_object_set_new(image, CS_IMAGE_MADE, json_integer((json_int_t)row->modified));
    }
}

/* What the record's stage stands for is still to be told. */
static int stage_waits(const cs_settling_t *s)
{
    int done, at = cs_settle_writer(s, CS_LINE_STAGE, &done);

    return at >= 0 && !done && !cs_settle_refused(s, CS_LINE_STAGE);
}

static void settle_state(cs_settling_t *s, const cs_line_view_t *view)
{
    json_t *state;
    int done, at = cs_settle_writer(s, CS_LINE_STATE, &done);

    if (view->verdict == CS_VERDICT_TO_PC) {
        settle_heard(s, view);
        return;
    }
    if (view->verdict == CS_VERDICT_TO_CRM ? !(at >= 0 && done) : !view->take || stage_waits(s)) {
        keep_state(s, view);
        return; /* the referral's move is still to be shown, or the record's to be told */
    }
    state = at >= 0 ? state_after(s, at) : moved_by_write(s, view);
    report_unkept(s, at, state);
    if (at < 0 && state) {
        journal_unkept(s, state, view->crm, "a write of ours moved the record's state");
    }
    else if (view->verdict == CS_VERDICT_NOT_KEPT && view->seen_crm &&
             !json_equal(view->seen_crm, view->crm)) {
        journal_unkept(s, view->crm, view->seen_crm, view->why);
    }
    cs_settle_image(s, CS_LINE_STATE, view->pc, at < 0 && !state ? view->crm : state, NULL);
    note_made(s, at);
    s->deal->pc_status = apr_pstrdup(s->p, json_string_value(view->pc));
}

/* ---- the deal ---- */

void cs_settle_keep_told(cs_settling_t *s, int at)
{
    const json_t *told = s->plan->told;
    const cs_record_t *after = at >= 0 ? s->applied[at].after : NULL;

    s->deal->told = cs_json_own(json_is_object(told) ? json_deep_copy(told) : json_object(), s->p);
    s->deal->status = apr_pstrdup(s->p, s->plan->status);
    s->deal->problem = apr_pstrdup(s->p, s->plan->problem);
    if (at >= 0) {
        cs_tell_keep(s->deal->told, s->kind, cs_settle_step(s, at)->columns,
                     after ? after->row : NULL, s->ptemp);
    }
}

static void settle_told(cs_settling_t *s)
{
    int done, at = cs_settle_writer(s, CS_LINE_TELL, &done);

    /* Else the seller still reads the old text. */
    if (at < 0 ? s->all_done : done) {
        cs_settle_keep_told(s, at);
    }
}

/* The version the row has now; NULL when the last write told none. */
static const char *crm_version(const cs_settling_t *s)
{
    const char *version = s->look->record ? s->look->record->version : NULL;
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_is_record(cs_settle_step(s, i)) && s->applied[i].done) {
            version = s->applied[i].after ? s->applied[i].after->version : NULL;
        }
    }
    return version;
}

/* The version the referral has now; NULL when the last write told none. */
static const char *pc_version(const cs_settling_t *s)
{
    const char *version = s->look->own ? s->look->own->etag : NULL;
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_step(s, i)->kind == CS_STEP_PATCH_PC && s->applied[i].done) {
            version = s->applied[i].card ? s->applied[i].card->etag : NULL;
        }
    }
    return version;
}

static int any_done(const cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        if (cs_settle_is_record(cs_settle_step(s, i)) && s->applied[i].done) {
            return 1;
        }
    }
    return 0;
}

static void settle_compared(cs_settling_t *s)
{
    cs_deal_t *deal = s->deal;
    int i;

    deal->images = cs_json_own(
        json_is_object(deal->images) ? json_deep_copy(deal->images) : json_object(), s->p);
    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);

        if (strcmp(view->line, CS_LINE_STATE)) {
            cs_settle_view(s, view);
        }
        else {
            settle_state(s, view);
        }
    }
    settle_told(s);
    if (cs_look_went_back(s->look)) {
        cs_settle_write_down(s, "", "stale", "done", cs_look_went_back(s->look));
    }
    cs_settle_age(deal->images, s->look, s->plan, s->applied);
    deal->crm_version = apr_pstrdup(s->p, crm_version(s));
    deal->pc_version = apr_pstrdup(s->p, pc_version(s));
    if (s->look->own) {
        deal->title = apr_pstrdup(s->p, cs_json_str(s->look->own->doc, "name"));
    }
    if (s->all_done) {
        deal->state = s->plan->state_after;
    }
    else if (s->look->record || any_done(s)) {
        deal->state = CS_DEAL_LINKED;
    }
}

static void settle_stopped(cs_settling_t *s)
{
    if (s->plan->moved_id) {
        cs_settle_write_down(s, "", "move", "done", s->plan->why);
        cs_settle_move(s->deal, s->plan, s->look, s->p);
    }
    s->deal->state = s->plan->state_after;
    s->deal->status = apr_pstrdup(s->p, s->plan->status);
    s->deal->problem = apr_pstrdup(s->p, s->plan->problem);
}

/* The answer of the call says what the lead became: the deal goes on with that at once. */
static void settle_qualified(cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        const cs_mapping_kind_t *to;
        const char *id = cs_qualified_row(s->kind, cs_settle_step(s, i), &s->applied[i], &to);
        cs_plan_t moved = *s->plan;

        if (id) {
            moved.moved_kind = to->name;
            moved.moved_table = to->table;
            moved.moved_id = id;
            cs_settle_write_down(
                s, "", "move", "done",
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
    return plan->paused || (!plan->lines->nelts && !plan->posted &&
                            (plan->what == CS_PLAN_HOLD || plan->what == CS_PLAN_PARK));
}

/* A side did not show it, or by labels that are not known: it may yet prove to be ours. */
static int is_uncompared(const cs_settling_t *s, const char *name)
{
    const cs_line_t *line = cs_settle_line_of(s, name);
    int i;

    for (i = 0; i < s->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(s->plan->lines, i, cs_line_view_t *);

        if (!strcmp(view->line, name)) {
            return strcmp(name, CS_LINE_STATE) &&
                   (!view->crm || !view->pc || (line && !cs_line_labels_known(line, &s->table)));
        }
    }
    return 0;
}

/* Of what earlier looks meant, the lines that nobody could look at now; NULL = none. */
static json_t *still_meant(const cs_settling_t *s)
{
    const json_t *earlier = cs_json_get(s->look->deal->intent, "steps");
    json_t *steps = json_array(), *value;
    const char *name;
    size_t i;

    for (i = 0; s->look->record && i < json_array_size(earlier); i++) {
        const json_t *step = json_array_get(earlier, i);
        json_t *lines = json_object(), *from = json_object();

        json_object_foreach(cs_json_get(step, "lines"), name, value) {
            if (is_uncompared(s, name)) {
                json_object_set_new(lines, name, json_deep_copy(value));
                json_object_set(from, name, cs_json_get(cs_json_get(step, "from"), name));
            }
        }
        if (json_object_size(lines)) {
            json_array_append_new(
                steps, json_pack("{s:s,s:O,s:O}", "kind",
                                 cs_step_kind_name(cs_intent_is_to_pc(step) ? CS_STEP_PATCH_PC
                                                                            : CS_STEP_UPDATE),
                                 "lines", lines, "from", from));
        }
        json_decref(lines);
        json_decref(from);
    }
    if (!json_array_size(steps)) {
        json_decref(steps);
        return NULL;
    }
    return cs_json_own(json_pack("{s:o}", "steps", steps), s->p);
}

/* What is meant while a step is still to be done. Of a line that was settled since, nothing earlier
 * is ours any more: who brings it back is a user. */
static json_t *not_learnt(const cs_settling_t *s)
{
    json_t *intent = cs_json_own(json_deep_copy(s->plan->intent), s->p), *value;
    json_t *steps = cs_json_get(intent, "steps");
    const char *name;
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        json_object_foreach(s->learnt, name, value) {
            json_object_del(cs_json_get(json_array_get(steps, i), "lines"), name);
        }
    }
    return intent;
}

/* What was read back, names without their mark. */
static const cs_applied_t *unmarked(const cs_settling_t *s)
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

/* A record whose id only stood for it has its own from the first time that it is seen. */
static void adopt(cs_deal_t *deal, const cs_plan_t *plan, const cs_look_t *look,
                  const cs_applied_t *applied, apr_pool_t *p)
{
    const cs_crm_facts_t *facts = look->mapping->facts;
    const char *id = look->record ? look->record->id : NULL;
    int i;

    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->kind == CS_STEP_CREATE && !step->list && applied[i].done && applied[i].made) {
            id = applied[i].made;
        }
    }
    if (facts->names_rows && id &&
        (!deal->record_id || !cs_row_id(facts->id_form, deal->record_id, p))) {
        deal->record_id = apr_pstrdup(p, id);
    }
}

/* Of a deal that is new, as the plan chose it; NULL = the mapping has none. */
static const cs_mapping_kind_t *kind_of(const cs_settling_t *s)
{
    const cs_look_t *look = s->look;
    int lead;

    if (s->deal->kind) {
        return cs_mapping_kind(look->mapping, s->deal->kind);
    }
    return s->plan->posted ? cs_mapping_kind_of_table(look->mapping, look->record->table)
                           : cs_mapping_route(look->mapping, look->own, look->microsoft,
                                              look->organization, &lead, s->ptemp);
}

static apr_status_t take_kind(cs_settling_t *s, cs_result_t *res)
{
    s->kind = kind_of(s);
    if (!s->kind) {
        return cs_result_set(res, s->p, APR_EINVAL, CS_CLASS_REFUSED, "mapping:kind",
                             "the mapping has no record kind \"%s\"",
                             s->deal->kind ? s->deal->kind : "for this referral");
    }
    s->table.name = s->kind->table;
    s->table.metadata = s->look->metadata;
    s->table.row = s->look->record ? s->look->record->row : NULL;
    s->applied = unmarked(s);
    return APR_SUCCESS;
}

static void settle_sides(cs_settling_t *s)
{
    int i;

    for (i = 0; i < s->plan->steps->nelts; i++) {
        s->all_done &= cs_settle_is_over(s, i) || waits_for_left_out(s, i);
    }
    if (s->plan->posted) {
        cs_settle_create(s);
        return;
    }
    cs_settle_journal(s);
    if (s->plan->lines->nelts) {
        settle_compared(s);
        cs_settle_connect(s);
        settle_qualified(s);
    }
    else {
        settle_stopped(s);
    }
}

static void settle_intent(cs_settling_t *s)
{
    if (s->all_done && !waits_uncompared(s->plan)) {
        s->deal->intent = s->plan->lines->nelts && !s->plan->posted ? still_meant(s) : NULL;
    }
    else if (s->plan->intent) {
        s->deal->intent = not_learnt(s);
    }
}

apr_status_t cs_reconcile_settle(cs_deal_t *deal, apr_array_header_t *journal,
                                 const cs_plan_t *plan, const cs_look_t *look,
                                 const cs_applied_t *applied, apr_pool_t *p, apr_pool_t *ptemp,
                                 cs_result_t *res)
{
    cs_settling_t s = {.deal = deal,
                       .journal = journal,
                       .plan = plan,
                       .look = look,
                       .applied = applied,
                       .before = look->deal->explain,
                       .p = p,
                       .ptemp = ptemp,
                       .all_done = 1,
                       .learnt = cs_json_own(json_object(), ptemp)};
    apr_status_t rv;

    if (plan->stale) {
        return APR_SUCCESS;
    }
    adopt(deal, plan, look, applied, p);
    rv = plan->lines->nelts || plan->posted ? take_kind(&s, res) : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    settle_sides(&s);
    deal->explain = cs_json_own(json_deep_copy(plan->explain), p);
    deal->causes = cs_json_own(json_deep_copy(plan->causes), p);
    deal->mapping = apr_pstrdup(p, cs_mapping_digest(look->mapping));
    settle_intent(&s);
    if (plan->lines->nelts && !plan->posted) {
        cs_settle_late(&s);
    }
    return APR_SUCCESS;
}
