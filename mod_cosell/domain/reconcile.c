/* domain/reconcile.c: may it be compared at all, and comparing.
 *
 * The order inside a plan: what may be compared at all (a side is gone, a person must decide, the
 * seller switched it off), then the state, for a closed row takes no lines, then the lines, then
 * what the seller reads about it all, then the steps.
 */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/crypto.h"
#include "reconcile_internal.h"

#define CANDIDATES_NAMED 5

/* ---- what is stored about a deal ---- */

json_t *cs_image_side(const cs_deal_t *deal, const char *line, const char *side)
{
    return cs_json_get(cs_json_get(deal->images, line), side);
}

const char *cs_image_rest(const cs_deal_t *deal, const char *line)
{
    return cs_json_str(cs_json_get(deal->images, line), "rest");
}

const char *cs_image_waits(const cs_deal_t *deal, const char *line, const json_t *pc)
{
    const json_t *waits = cs_json_get(cs_json_get(deal->images, line), "waits");

    return pc && waits && json_equal(cs_json_get(waits, "pc"), pc) ? cs_json_str(waits, "why")
                                                                   : NULL;
}

int cs_intent_is_to_pc(const json_t *step)
{
    const char *kind = cs_json_str(step, "kind");

    return kind && (!strcmp(kind, cs_step_kind_name(CS_STEP_PATCH_PC)) ||
                    !strcmp(kind, cs_step_kind_name(CS_STEP_POST_PC)));
}

json_t *cs_intent_meant(const cs_deal_t *deal, const char *line, size_t nth, int *pto_pc)
{
    const json_t *steps = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        json_t *value = cs_json_get(cs_json_get(json_array_get(steps, i), "lines"), line);

        if (value && nth-- == 0) {
            *pto_pc = cs_intent_is_to_pc(json_array_get(steps, i));
            return value;
        }
    }
    return NULL;
}

int cs_intent_replaces(const cs_deal_t *deal, const char *line, const json_t *pc)
{
    const json_t *steps = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const json_t *from = cs_json_get(cs_json_get(step, "from"), line);

        if (cs_intent_is_to_pc(step) && from && json_equal((json_t *)from, (json_t *)pc)) {
            return 1;
        }
    }
    return 0;
}

json_t *cs_intent_value(const cs_deal_t *deal, const char *line, size_t nth)
{
    json_t *value;
    size_t i;
    int to_pc;

    for (i = 0; (value = cs_intent_meant(deal, line, i, &to_pc)) != NULL; i++) {
        if (!to_pc && nth-- == 0) {
            return value;
        }
    }
    return NULL;
}

int cs_intent_is_create(const json_t *step)
{
    const char *kind = cs_json_str(step, "kind");

    return kind && !strcmp(kind, cs_step_kind_name(CS_STEP_CREATE)) && !cs_json_get(step, "list");
}

const json_t *cs_intended_create(const cs_deal_t *deal)
{
    const json_t *steps = cs_json_get(deal->intent, "steps");
    size_t i;

    for (i = 0; i < json_array_size(steps); i++) {
        if (cs_intent_is_create(json_array_get(steps, i))) {
            return json_array_get(steps, i);
        }
    }
    return NULL;
}

int cs_intent_creates(const cs_deal_t *deal)
{
    return cs_intended_create(deal) != NULL;
}

const char *cs_deal_row_id(const cs_look_t *look, const char *referral, const char *table,
                           apr_pool_t *p)
{
    return cs_uuid5_url(apr_psprintf(p, "cosell:%s:%s:%s:", look->site, referral, table), p);
}

/* ---- plan: what may be compared at all ---- */

/* Nothing is compared: images, state and what was told stay as they are. */
static void stop(cs_plan_t *plan, const cs_look_t *look, cs_plan_e what, cs_deal_state_e state,
                 const char *why)
{
    plan->what = what;
    plan->state_after = state;
    plan->why = why;
    plan->status = state == CS_DEAL_GONE ? "Gone" : look->deal->status;
    plan->problem = state == CS_DEAL_GONE ? why : look->deal->problem;
    plan->told = look->deal->told;
}

/* cause: "candidates", text: what it is, whichever deal has it. */
static void park(cs_planning_t *pl, const char *cause, const char *text, const char *why)
{
    stop(pl->plan, pl->look, CS_PLAN_PARK, CS_DEAL_PARKED, why);
    pl->plan->status = "Needs you";
    pl->plan->problem = why;
    cs_plan_cause(pl, "parked", cause, text);
}

/* The row was seen. A new deal may have images without one: of a line that waits, when its create
 * was refused. */
static int was_settled(const cs_deal_t *deal)
{
    return deal->state == CS_DEAL_LINKED || deal->state == CS_DEAL_CLOSED ||
           (deal->state != CS_DEAL_NEW && json_object_size(deal->images) > 0);
}

static const char *candidates_words(const cs_planning_t *pl)
{
    const json_t *candidates = pl->look->candidates;
    const char *column = pl->kind->tell.id, *names = "";
    size_t i, n = json_array_size(candidates);

    for (i = 0; i < n && i < CANDIDATES_NAMED; i++) {
        const json_t *row = json_array_get(candidates, i);
        const char *name = cs_json_str(row, "name");

        names = apr_psprintf(pl->p, "%s%s%s (%s)", names, i ? ", " : "", name ? name : "no name",
                             cs_json_str(row, "id"));
    }
    return apr_psprintf(
        pl->p,
        "%" APR_SIZE_T_FMT
        " existing record%s could be this deal's: %s%s; write %s into %s of the right one",
        n, n == 1 ? "" : "s", names, n > CANDIDATES_NAMED ? " ..." : "", pl->look->own->id,
        column ? cs_column_label(pl->look->metadata, pl->kind->table, column) : "it");
}

int cs_deal_is_ours(const cs_deal_t *deal)
{
    return deal->referral_id && cs_json_get(deal->posted, "own");
}

int cs_deal_arrived(const cs_deal_t *deal)
{
    const char *rest = cs_image_rest(deal, CS_LINE_STATE);

    return json_object_size(deal->images) == 1 && rest && !strcmp(rest, CS_REST_QUALIFIED);
}

/* By a look of which only the id is known that the CRM gave. */
static int was_made(const cs_planning_t *pl, int derived)
{
    return pl->kind->mapping->facts->names_rows && !derived && cs_intent_creates(pl->look->deal);
}

/* 1 when the plan is made already. */
static int stop_without_row(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;
    const cs_deal_t *deal = look->deal;
    int derived =
        !deal->record_id ||
        !strcmp(deal->record_id, cs_deal_row_id(look, look->own->id, pl->kind->table, pl->ptemp));

    if (deal->state == CS_DEAL_GONE) {
        stop(pl->plan, look, CS_PLAN_NOTHING, CS_DEAL_GONE,
             "the record was deleted in the CRM; it is never made again");
    }
    else if ((was_settled(deal) || was_made(pl, derived)) && look->record_read) {
        stop(pl->plan, look, CS_PLAN_GONE, CS_DEAL_GONE, "the record was deleted in the CRM");
    }
    else if ((was_settled(deal) || !derived) && !look->record_read) {
        stop(pl->plan, look, CS_PLAN_HOLD, deal->state, "the record was not read");
    }
    else if (!derived) {
        park(pl, "missing", "Partner Center names a record that does not exist",
             apr_psprintf(pl->p, "externalReferenceId names the record %s, which does not exist",
                          deal->record_id));
    }
    else if (json_array_size(look->candidates) && !cs_intent_creates(deal)) {
        park(pl, "candidates", "Existing records could be the deal's: somebody must choose",
             candidates_words(pl));
    }
    else if (pl->terminal) {
        stop(pl->plan, look, CS_PLAN_NOTHING, CS_DEAL_IGNORED,
             apr_psprintf(pl->p, "%s before a record was made", pl->pc_now));
    }
    else {
        return 0;
    }
    return 1;
}

/* A lead that was qualified: the deal goes on with what it became. (deals 4) */
static int became_another(cs_planning_t *pl)
{
    const cs_becomes_t *becomes = pl->kind->becomes;
    const cs_mapping_kind_t *kind =
        becomes ? cs_mapping_kind(pl->look->mapping, becomes->record) : NULL;
    const json_t *via =
        kind && becomes->via && becomes->via->text ? cs_column_get(becomes->via, pl->row) : NULL;
    const char *id = cs_json_str(via, "id");

    if (!id || cs_state_of_row(pl->kind, pl->row) != 1) {
        return 0;
    }
    stop(pl->plan, pl->look, CS_PLAN_NOTHING, CS_DEAL_LINKED,
         apr_psprintf(pl->p, "the %s was qualified: the deal goes on with the %s %s",
                      pl->kind->name, kind->name, id));
    pl->plan->status = pl->plan->problem = NULL; /* of the lead */
    pl->plan->moved_kind = kind->name;
    pl->plan->moved_table = kind->table;
    pl->plan->moved_id = apr_pstrdup(pl->p, id);
    return 1;
}

static int stop_with_row(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;
    const char *column = pl->kind->tell.id;
    const char *theirs = column ? cs_json_str(look->record->row, column) : NULL;
    const cs_cond_world_t world = {pl->doc, look->record->row, NULL};

    if (pl->first && theirs && *theirs && strcasecmp(theirs, look->own->id)) {
        park(pl, "linked", "The record is linked to another referral already",
             apr_psprintf(pl->p, "the record %s is already linked to the referral %s",
                          look->record->id, theirs));
        return 1;
    }
    if (became_another(pl)) {
        return 1;
    }
    pl->paused = !pl->first && pl->kind->pauses && pl->kind->opt_in &&
                 cs_cond_holds(pl->kind->opt_in, &world) == 0;
    return 0;
}

static int stop_by_state(cs_plan_t *plan, const cs_look_t *look)
{
    const cs_deal_t *deal = look->deal;

    switch (deal->state) {
    case CS_DEAL_LEAD:
        stop(plan, look, CS_PLAN_NOTHING, CS_DEAL_LEAD, "lead, not synchronised yet");
        return 1;
    case CS_DEAL_IGNORED:
        stop(plan, look, CS_PLAN_NOTHING, CS_DEAL_IGNORED, "this referral does not belong here");
        return 1;
    case CS_DEAL_UNLINKED:
        stop(plan, look, CS_PLAN_NOTHING, CS_DEAL_UNLINKED,
             "closed as Error at Partner Center; the record lives on alone");
        return 1;
    default:
        break;
    }
    if (!look->own && deal->referral_id) {
        stop(plan, look, CS_PLAN_GONE, CS_DEAL_GONE, "the referral is no longer at Partner Center");
        return 1;
    }
    return 0;
}

/* ---- plan ---- */

/* A row that is about to be made: every column empty, but for the constants it starts with. */
static json_t *start_row(cs_planning_t *pl)
{
    json_t *row = cs_json_own(json_object(), pl->p);
    int i;

    for (i = 0; i < pl->kind->columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(pl->kind->columns, i, const char *);

        json_object_set_new(row, apr_pstrmemdup(pl->p, column, strcspn(column, "/")), json_null());
    }
    cs_set_apply(row, pl->kind->from_pc_set, pl->doc, pl->p);
    return row;
}

static void see_row(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;

    pl->creating = !look->record;
    pl->first = look->record && !cs_intent_creates(look->deal) &&
                (!was_settled(look->deal) || cs_deal_arrived(look->deal));
    pl->record_id = look->record ? look->record->id
                    : look->deal->record_id
                        ? look->deal->record_id
                        : cs_deal_row_id(look, look->own->id, pl->kind->table, pl->p);
    pl->row = pl->creating ? start_row(pl)
                           : cs_row_with_close(
                                 pl->kind,
                                 cs_row_unmarked(pl->kind, look->record->row, &pl->marked, pl->p),
                                 look->record, pl->p);
    pl->table.name = pl->kind->table;
    pl->table.metadata = look->metadata;
    pl->table.row = pl->creating ? NULL : pl->row;
    pl->row_state = pl->creating ? 0 : cs_state_of_row(pl->kind, pl->row);
    pl->world.doc = pl->doc;
    pl->world.row = pl->row;
    pl->world.kind = cs_referral_kind(look->own, look->microsoft, look->others, look->organization);
    pl->pc_was = look->deal->pc_status;
    if (!pl->pc_was && look->record && !pl->first) {
        /* What the row was made to show; a later state may have been meant and never written. */
        pl->pc_was = json_string_value(
            cs_json_get(cs_json_get(cs_intended_create(look->deal), "lines"), CS_LINE_STATE));
    }
}

/* A tombstone whose row is there again is none, and a row that our own create made is there. With
 * both sides closed the deal is at its end, switched off or not. */
static cs_deal_state_e state_while_paused(const cs_planning_t *pl)
{
    cs_deal_state_e was = pl->look->deal->state;

    if (pl->terminal && pl->row_state > 0 && !pl->look->held) {
        return CS_DEAL_CLOSED;
    }
    return was == CS_DEAL_GONE || was == CS_DEAL_NEW ? CS_DEAL_LINKED : was;
}

/* Switched off by the seller, or held: both images stay, and only what he reads may differ. */
static void plan_paused(cs_planning_t *pl)
{
    const char *why = pl->look->held ? "held for a while" : "switched off in the CRM";
    cs_plan_t *plan = pl->plan;
    int i;

    pl->state = apr_pcalloc(pl->p, sizeof(*pl->state));
    pl->state->line = CS_LINE_STATE;
    pl->lists = apr_array_make(pl->p, 1, sizeof(struct cs_listing_t *));
    for (i = 0; i < pl->kind->lines->nelts; i++) {
        cs_line_view_t *view = apr_pcalloc(pl->p, sizeof(*view));

        view->line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *)->name;
        cs_view_judge(view, CS_VERDICT_SKIPPED, why);
        APR_ARRAY_PUSH(plan->lines, cs_line_view_t *) = view;
    }
    cs_view_judge(pl->state, CS_VERDICT_SKIPPED, why);
    APR_ARRAY_PUSH(plan->lines, cs_line_view_t *) = pl->state;
    cs_plan_tell(pl);
    cs_plan_steps(pl);
    plan->what = plan->steps->nelts ? CS_PLAN_STEPS : CS_PLAN_HOLD;
    plan->state_after = state_while_paused(pl);
    plan->paused = 1;
    plan->why = plan->problem;
    cs_plan_intent(pl);
}

static void compare(cs_planning_t *pl)
{
    int i;

    cs_plan_state(pl);
    for (i = 0; i < pl->kind->lines->nelts; i++) {
        cs_line_view_t *view = apr_pcalloc(pl->p, sizeof(*view));

        cs_plan_line(pl, APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *), view);
        APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = view;
    }
    cs_plan_groups(pl);
    cs_plan_lists(pl);
    APR_ARRAY_PUSH(pl->plan->lines, cs_line_view_t *) = pl->state;
    cs_plan_connect(pl);
    cs_plan_tell(pl);
    cs_plan_steps(pl);
    cs_plan_connect_step(pl);
    cs_plan_decide(pl);
    cs_plan_intent(pl);
}

static const cs_mapping_kind_t *kind_of(const cs_look_t *look, apr_pool_t *ptemp)
{
    int lead = 0;

    if (look->deal->kind) {
        return cs_mapping_kind(look->mapping, look->deal->kind);
    }
    if (look->own) {
        return cs_mapping_route(look->mapping, look->own, look->microsoft, look->organization,
                                &lead, ptemp);
    }
    return look->record ? cs_mapping_kind_of_table(look->mapping, look->record->table) : NULL;
}

/* Whoever writes the other side from an old answer undoes what came after it. */
static int stop_stale(cs_planning_t *pl)
{
    apr_time_t again = 0;
    const char *why = cs_look_stale(pl->look, &again, pl->p);

    if (!why) {
        return 0;
    }
    stop(pl->plan, pl->look, CS_PLAN_HOLD, pl->look->deal->state, why);
    pl->plan->stale = 1;
    pl->plan->look_at = again;
    return 1;
}

static void plan_both(cs_planning_t *pl)
{
    const cs_look_t *look = pl->look;

    if (stop_stale(pl)) {
        return;
    }
    pl->doc = cs_doc_of_look(look, pl->p);
    pl->pc_now = cs_state_of_card(look->own, pl->p);
    pl->terminal = cs_state_is_terminal(pl->pc_now);
    see_row(pl);
    if (look->record ? stop_with_row(pl) : stop_without_row(pl)) {
        return;
    }
    pl->paused |= look->record && look->held;
    if (pl->paused) {
        plan_paused(pl);
    }
    else {
        compare(pl);
    }
}

apr_status_t cs_reconcile_plan(cs_plan_t **pplan, const cs_look_t *look, apr_pool_t *p,
                               apr_pool_t *ptemp, cs_result_t *res)
{
    cs_planning_t pl = {.look = look, .p = p, .ptemp = ptemp};
    cs_plan_t *plan = pl.plan = apr_pcalloc(p, sizeof(*plan));

    plan->steps = apr_array_make(p, 4, sizeof(cs_step_t *));
    plan->lines = apr_array_make(p, 16, sizeof(cs_line_view_t *));
    *pplan = plan;
    if (!stop_by_state(plan, look)) {
        pl.kind = kind_of(look, ptemp);
        if (!pl.kind) {
            *pplan = NULL;
            return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "mapping:kind",
                                 "the mapping has no record kind \"%s\"",
                                 look->deal->kind ? look->deal->kind : "for this referral");
        }
        if (look->own) {
            plan_both(&pl);
        }
        else {
            cs_plan_create(&pl);
        }
    }
    if (!plan->causes && plan->what != CS_PLAN_HOLD) {
        cs_plan_no_causes(plan, p); /* what holds without having compared knows no better */
    }
    cs_plan_explain(plan, look, p);
    return APR_SUCCESS;
}

const cs_line_view_t *cs_plan_view(const cs_plan_t *plan, const char *line)
{
    int i;

    for (i = 0; i < plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *);

        if (!strcmp(view->line, line)) {
            return view;
        }
    }
    return NULL;
}
