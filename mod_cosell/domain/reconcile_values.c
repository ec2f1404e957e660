/* domain/reconcile_values.c: one line, two sides, two images: what is to be done. (deals 2)
 *
 *   changed(side)  := it differs from that side's own image
 *   neither        : nothing; if they differ, by the rule the image names
 *   one            : copied, if direction, events and conditions allow; else noted
 *   both           : the same -> nothing; a one-way line follows its source; a latch the side that
 * is set; a two-way line its policy no image       : reconcile_first.c
 *
 * An image counts while the line still reads the same places in the same way; else the line is new.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/decimal.h"
#include "reconcile_internal.h"

/* ---- nothing moved, or only the target of a line that goes one way ---- */

static const char *protected_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    return apr_psprintf(pl->p,
                        "Partner Center's text is too long for this column; what is written into "
                        "its shortened form stays here (%s)",
                        cs_value_words(view->crm, pl->p));
}

static const char *fixed_words(const cs_planning_t *pl, const cs_line_t *line,
                               const cs_line_view_t *view)
{
    return apr_psprintf(pl->p, "cannot change in %s; stays %s",
                        line->to_crm.on ? "Partner Center" : "the CRM",
                        cs_value_words(line->to_crm.on ? view->pc : view->crm, pl->p));
}

#define LATCH_WORDS "can be set and never taken back"

static void judge_not_kept(cs_planning_t *pl, cs_line_view_t *view)
{
    cs_view_take(view, CS_VERDICT_NOT_KEPT, CS_REST_NOT_KEPT,
                 apr_psprintf(pl->p,
                              "the CRM made it %s; sent again when Partner Center's value moves",
                              cs_value_words(view->crm, pl->p)));
}

static void judge_not_kept_there(cs_planning_t *pl, cs_line_view_t *view)
{
    cs_view_take(view, CS_VERDICT_NOT_KEPT, CS_REST_PC_NOT_KEPT,
                 apr_psprintf(pl->p,
                              "Partner Center made it %s; sent again when the value here moves",
                              cs_value_words(view->pc, pl->p)));
}

static int rests_as(const cs_planning_t *pl, const cs_line_view_t *view, const char *what)
{
    const char *rest = cs_image_rest(pl->look->deal, view->line);

    return rest && !strcmp(rest, what);
}

/* What became of the last write is seen only now: it is not undone as if a user had made it. */
static int was_unseen(const cs_planning_t *pl, const cs_line_view_t *view)
{
    return rests_as(pl, view, CS_REST_UNSEEN);
}

/* The image of a pair is the very one that the record shows now: recall() gave it, for an intent
 * knows it as ours. */
static int is_recalled(const cs_line_view_t *view)
{
    return json_is_object(view->crm) && view->seen_crm == view->crm;
}

static void judge_target(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                         const cs_sides_t *s, int back_to_crm)
{
    const cs_travel_t *back = back_to_crm ? &s->to_crm : &s->to_pc;

    if (s->shortened) {
        cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_CUT, protected_words(pl, view));
    }
    else if (back_to_crm && back->may && line->enforce && was_unseen(pl, view)) {
        judge_not_kept(pl, view);
    }
    else if (!back_to_crm && back->may && line->enforce && rests_as(pl, view, CS_REST_PC_UNSEEN)) {
        judge_not_kept_there(pl, view);
    }
    else if (line->enforce && back->may && back->holds == 1) {
        if (back_to_crm) {
            cs_view_to_crm(pl, line, view, s->pc_bad, "enforced");
        }
        else {
            cs_view_to_pc(pl, line, view, s->crm_bad, "enforced");
        }
    }
    else if (cs_line_computed(pl, line)) {
        cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY, "the CRM computes it");
    }
    else {
        cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                     line->to_crm.on && line->to_pc.on ? fixed_words(pl, line, view)
                                                       : "changed at the target of a one-way line");
    }
}

/* `enforce` that came with a new mapping undoes what was noted before. */
static int enforces_now(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_sides_t *s)
{
    int to_crm = s->to_crm.may;
    const cs_travel_t *way = to_crm ? &s->to_crm : &s->to_pc;

    if (!line->enforce || line->latch || !way->may || way->holds != 1) {
        return 0;
    }
    judge_target(pl, line, view, s, to_crm);
    view->bulk = (view->to_crm || view->to_pc) && cs_planning_remapped(pl);
    return 1;
}

/* The mapping lets it travel now either way: what once differed by its direction is no more said
 * to. */
static int goes_both_ways_now(const cs_line_t *line, const cs_sides_t *s)
{
    return !line->latch && s->to_crm.may && s->to_pc.may;
}

static void judge_resting(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                          const cs_sides_t *s)
{
    const char *rest = cs_image_rest(pl->look->deal, view->line);
    int held = rest && !strcmp(rest, CS_REST_HELD);

    if (is_recalled(view)) {
        judge_not_kept(pl, view); /* what the intent meant, and not all of it */
        return;
    }
    /* A line that goes one way from now on has no conflict any more. */
    if (held && s->to_crm.may && s->to_pc.may) {
        cs_view_take(view, CS_VERDICT_HELD, CS_REST_HELD,
                     "both sides changed; the next edit on either side decides");
    }
    else if (rest && !strcmp(rest, CS_REST_NOT_KEPT)) {
        judge_not_kept(pl, view);
    }
    else if (rest && !strcmp(rest, CS_REST_PC_NOT_KEPT)) {
        judge_not_kept_there(pl, view);
    }
    else if (rest && !strcmp(rest, CS_REST_CUT) && line->to_crm.cut == CS_CUT_PROTECT) {
        cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_CUT, protected_words(pl, view));
    }
    else if (rest && !strcmp(rest, CS_REST_LATCHED)) {
        cs_view_take(view, CS_VERDICT_LATCHED, CS_REST_LATCHED, LATCH_WORDS);
    }
    else if (held || (rest && !strcmp(rest, CS_REST_ONE_WAY) && !goes_both_ways_now(line, s))) {
        if (!enforces_now(pl, line, view, s)) {
            cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                         line->to_crm.on && line->to_pc.on
                             ? fixed_words(pl, line, view)
                             : "changed at the target of a one-way line");
        }
    }
    else {
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                     "differed when first compared; the next edit on either side decides");
    }
}

/* ---- one side moved, or both ---- */

/* Why the value goes, and what it goes over. */
static const char *moved_words(const cs_planning_t *pl, const cs_line_view_t *view,
                               const cs_sides_t *s, int from_pc)
{
    const char *who = from_pc ? "Partner Center's" : "the CRM's";

    if (s->pc_moved && s->crm_moved) {
        return apr_psprintf(pl->p, "both sides changed%s: %s value counts",
                            from_pc && cs_planning_ended(pl) ? ", and the referral is closed" : "",
                            who);
    }
    if (rests_as(pl, view, CS_REST_HELD)) {
        return apr_psprintf(pl->p, "changed %s, which settles the conflict",
                            from_pc ? "at Partner Center" : "in the CRM");
    }
    return from_pc ? "changed at Partner Center" : "changed in the CRM";
}

static void judge_pc_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                           const cs_sides_t *s)
{
    if (!s->to_crm.may) {
        judge_target(pl, line, view, s, 0);
    }
    else if (s->to_crm.holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, s->to_crm.why);
    }
    else {
        cs_view_to_crm(pl, line, view, s->pc_bad, moved_words(pl, view, s, 1));
    }
}

static void judge_crm_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                            const cs_sides_t *s)
{
    if (!s->to_pc.may) {
        judge_target(pl, line, view, s, 1);
    }
    else if (s->to_pc.holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, s->to_pc.why);
    }
    else {
        cs_view_to_pc(pl, line, view, s->crm_bad, moved_words(pl, view, s, 0));
    }
}

/* Closed on both sides, or about to be: what a seller has typed is not written over. */
static int stays_here(const cs_planning_t *pl, const cs_line_t *line, const cs_sides_t *s)
{
    return s->to_pc.may && s->to_crm.may && line->conflict != CS_POLICY_PC && pl->row_state > 0 &&
           cs_planning_ended(pl);
}

/* Where one side refuses the other's value, what a person writes there instead is no conflict. */
static void judge_both_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                             const cs_sides_t *s)
{
    if (stays_here(pl, line, s)) {
        cs_view_ended(pl, view);
    }
    else if (!s->to_pc.may ||
             (s->to_crm.may && (cs_planning_ended(pl) || line->conflict == CS_POLICY_PC ||
                                cs_image_refused_there(pl, line->name, view->crm)))) {
        judge_pc_moved(pl, line, view, s);
    }
    else if (!s->to_crm.may || line->conflict == CS_POLICY_CRM ||
             cs_image_refused(pl, line->name, view->pc)) {
        judge_crm_moved(pl, line, view, s);
    }
    else {
        cs_view_take(view, CS_VERDICT_HELD, CS_REST_HELD,
                     "both sides changed; the next edit on either side decides");
    }
}

/* ---- latches ---- */

/* One side is set and the other is not: up it goes, whoever moved. */
static void judge_latch(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_sides_t *s, int pc_is_set)
{
    const cs_travel_t *up = pc_is_set ? &s->to_crm : &s->to_pc;
    const json_t *was = pc_is_set ? view->seen_crm : view->seen_pc;
    int fell =
        (pc_is_set ? s->crm_moved : s->pc_moved) && cs_line_level(line, was, !pc_is_set, pl->ptemp);
    const char *why = fell        ? LATCH_WORDS "; restored"
                      : pc_is_set ? "set at Partner Center"
                                  : "set in the CRM";

    if (!s->pc_moved && !s->crm_moved) {
        judge_resting(pl, line, view, s);
    }
    else if (pc_is_set && !s->pc_moved && was_unseen(pl, view)) {
        judge_not_kept(pl, view);
    }
    else if (!pc_is_set && !s->crm_moved && rests_as(pl, view, CS_REST_PC_UNSEEN)) {
        judge_not_kept_there(pl, view);
    }
    else if (!up->may) {
        cs_view_take(view, fell ? CS_VERDICT_LATCHED : CS_VERDICT_ONE_WAY,
                     fell ? CS_REST_LATCHED : CS_REST_ONE_WAY,
                     fell ? LATCH_WORDS : "changed at the target of a one-way line");
    }
    else if (up->holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, up->why);
    }
    else if ((pc_is_set ? cs_view_to_crm(pl, line, view, s->pc_bad, why)
                        : cs_view_to_pc(pl, line, view, s->crm_bad, why)) &&
             fell) {
        view->verdict = CS_VERDICT_LATCHED;
    }
}

/* ---- a value that never arrived ---- */

/* What was refused went the other way. */
static int was_for_pc(const json_t *image)
{
    return cs_json_get(cs_json_get(image, "refused"), "crm") != NULL;
}

/* Left out of the step that made the row, or refused there. */
static int is_left_out(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const json_t *image = cs_json_get(pl->look->deal->images, view->line);

    return !view->seen_pc && !cs_json_get(image, "pc") && !was_for_pc(image) &&
           (cs_json_get(image, "waits") || cs_json_get(image, "refused"));
}

/* That, or it could not travel when the row was made: still to be brought, unless somebody has
 * filled the column by hand. A line that the mapping did not have then has no image at all. */
static int is_pending(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view)
{
    const json_t *image = cs_json_get(pl->look->deal->images, view->line);
    const char *sign = cs_json_str(image, "as");

    return is_left_out(pl, view) ||
           (!view->seen_pc && sign && !cs_json_get(image, "pc") && !was_for_pc(image) &&
            !strcmp(sign, cs_line_sign(line, pl->ptemp)));
}

static void judge_pending(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                          const cs_sides_t *s)
{
    int filled = view->seen_crm ? !cs_line_unchanged(line, view->seen_crm, view->crm)
                                : !json_is_null(view->crm) && !json_is_false(view->crm);

    if (!filled) {
        judge_pc_moved(pl, line, view, s);
    }
    else if (!s->to_pc.may && line->enforce) {
        judge_target(pl, line, view, s, 1);
    }
    else if (!s->to_pc.may) {
        cs_view_take(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY, "filled in the CRM by hand");
    }
    else if (view->seen_crm) {
        judge_crm_moved(pl, line, view, s);
    }
    else {
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                     "filled in the CRM before it arrived; the next edit on either side decides");
    }
}

/* ---- two readable sides ---- */

static void judge_same(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    int cut = cs_line_cut(line, &pl->table, view->pc, pl->ptemp);

    if (line->to_crm.on && line->to_crm.required && json_is_null(view->pc) &&
        json_is_null(view->crm)) {
        cs_view_missing(line, view);
    }
    else {
        cs_view_take(view, CS_VERDICT_EQUAL, cut ? CS_REST_CUT : NULL,
                     cut ? apr_psprintf(pl->p, "shortened to %d characters", cut) : NULL);
    }
}

/* By label, and nobody has told us the labels yet. */
static void judge_unlabelled(const cs_line_t *line, cs_line_view_t *view)
{
    int still = view->seen_pc && view->seen_crm &&
                cs_line_unchanged(line, view->seen_pc, view->pc) &&
                cs_line_unchanged(line, view->seen_crm, view->crm);

    if (json_is_null(view->pc) && json_is_null(view->crm)) {
        cs_view_take(view, CS_VERDICT_EQUAL, NULL, NULL);
        return;
    }
    cs_view_judge(view, still ? CS_VERDICT_EQUAL : CS_VERDICT_HELD,
                  still ? "neither side changed"
                        : "the choices of the CRM's column are not known yet");
}

/* The record shows the head of a text, and what is written there is not the text. */
static int is_shortened(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view)
{
    const char *rest = cs_image_rest(pl->look->deal, view->line);

    return line->to_crm.cut == CS_CUT_PROTECT && rest && !strcmp(rest, CS_REST_CUT) &&
           cs_line_cut(line, &pl->table, view->seen_pc, pl->ptemp);
}

static void judge_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        cs_sides_t *s)
{
    int level_pc = line->latch ? cs_line_level(line, view->pc, 1, pl->ptemp) : 0;
    int level_crm = line->latch ? cs_line_level(line, view->crm, 0, pl->ptemp) : 0;

    s->pc_moved = !cs_line_unchanged(line, view->seen_pc, view->pc);
    s->crm_moved = !cs_line_unchanged(line, view->seen_crm, view->crm);
    s->shortened = s->to_crm.may && is_shortened(pl, line, view);
    s->to_pc.may &= !s->shortened;
    if (level_pc != level_crm) {
        judge_latch(pl, line, view, s, level_pc);
    }
    else if (s->pc_moved && s->crm_moved) {
        judge_both_moved(pl, line, view, s);
    }
    else if (s->pc_moved && s->to_crm.may && rests_as(pl, view, CS_REST_PC_UNSEEN)) {
        judge_not_kept_there(pl, view);
    }
    else if (s->crm_moved && s->to_pc.may && was_unseen(pl, view)) {
        judge_not_kept(pl, view);
    }
    else if (s->pc_moved) {
        judge_pc_moved(pl, line, view, s);
    }
    else if (s->crm_moved) {
        judge_crm_moved(pl, line, view, s);
    }
    else {
        judge_resting(pl, line, view, s);
    }
}

static void judge_known(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_side_t *pc, const cs_side_t *crm)
{
    int late = is_left_out(pl, view) ? CS_ON_CREATE : 0;
    cs_sides_t s = {.to_crm = cs_travel(pl, line, &line->to_crm, late | CS_ON_UPDATE),
                    .to_pc = cs_travel(pl, line, &line->to_pc, CS_ON_UPDATE),
                    .pc_bad = pc->bad,
                    .crm_bad = crm->bad};

    if (!s.to_crm.may && !s.to_pc.may) {
        cs_view_judge(view, CS_VERDICT_CREATE_ONLY, "written once, not compared afterwards");
        return;
    }
    s.to_crm.may &= !cs_line_computed(pl, line);
    if (!view->pc || !view->crm) {
        cs_view_judge(view, CS_VERDICT_UNREADABLE,
                      view->pc ? "the CRM did not show it" : "Partner Center did not show it");
    }
    else if (!cs_line_labels_known(line, &pl->table)) {
        judge_unlabelled(line, view);
    }
    else if (cs_line_same(line, &pl->table, view->pc, view->crm, pl->ptemp)) {
        judge_same(pl, line, view);
    }
    else if (is_pending(pl, line, view)) {
        judge_pending(pl, line, view, &s);
    }
    else if (!view->seen_pc || !view->seen_crm) {
        cs_plan_line_first(pl, line, view, &s);
    }
    else {
        judge_moved(pl, line, view, &s);
    }
}

/* ---- one line ---- */

static int is_pair(const cs_planning_t *pl, const cs_line_t *line, const json_t *amount_of,
                   const json_t *currency_of, const json_t *crm)
{
    const char *amount = cs_json_str(amount_of, "amount"),
               *currency = cs_json_str(currency_of, "currency"), *scaled;
    json_t *pair;

    if (amount && currency &&
        cs_decimal_from_text(&scaled, amount, cs_currency_scale(currency), pl->ptemp) ==
            APR_SUCCESS) {
        amount = scaled;
    }
    pair = cs_json_own(json_pack("{s:s?,s:s?}", "amount", amount, "currency", currency), pl->ptemp);

    return cs_line_same(line, &pl->table, pair, crm, pl->ptemp);
}

/* Amount and currency are two columns, and the CRM may have kept one of them: the other is what it
 * was, or, where there was no amount, the currency that the CRM gave the record. */
static int is_half_kept(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view,
                        const json_t *meant)
{
    const json_t *was = view->seen_crm;

    if (line->type != CS_TYPE_MONEY || !json_is_object(meant) || !json_is_object(view->crm)) {
        return 0;
    }
    if (!json_is_object(was)) {
        return is_pair(pl, line, meant, view->crm, view->crm);
    }
    return !cs_line_unchanged(line, was, view->crm) &&
           (is_pair(pl, line, meant, was, view->crm) || is_pair(pl, line, was, meant, view->crm));
}

/* It was shortened to what the column takes, and that is not known now. */
static int is_head(const cs_planning_t *pl, const cs_line_t *line, const json_t *meant,
                   const json_t *crm)
{
    const char *whole = json_string_value(meant), *head = json_string_value(crm);

    return line->type == CS_TYPE_TEXT && !pl->table.metadata && line->to_crm.on &&
           line->to_crm.cut != CS_CUT_REFUSE && whole && head && *head &&
           !strncmp(whole, head, strlen(head));
}

/* A side shows what an earlier look meant to bring there. */
static int is_ours(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view, json_t *meant,
                   int to_pc)
{
    if (to_pc ? !cs_line_same(line, &pl->table, view->pc, meant, pl->ptemp)
              : !cs_line_same(line, &pl->table, meant, view->crm, pl->ptemp) &&
                    !is_head(pl, line, meant, view->crm)) {
        return 0;
    }
    view->seen_pc = to_pc ? view->pc : meant;
    view->seen_crm = to_pc ? meant : view->crm;
    return 1;
}

/* A value that equals what we meant to write is ours: a crash between write and settle is no edit
 * of a user's. */
static void recall(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    const cs_deal_t *deal = pl->look->deal;
    const char *sign = cs_json_str(cs_json_get(deal->images, line->name), "as");
    json_t *meant, *half = NULL;
    size_t i;
    int to_pc;

    if (!sign || !strcmp(sign, cs_line_sign(line, pl->ptemp))) {
        view->seen_pc = cs_image_side(deal, line->name, "pc");
        view->seen_crm = cs_image_side(deal, line->name, "crm");
    }
    for (i = 0; (meant = cs_intent_meant(deal, line->name, i, &to_pc)) != NULL; i++) {
        if (!(to_pc ? view->pc : view->crm)) {
            continue;
        }
        if (is_ours(pl, line, view, meant, to_pc)) {
            return;
        }
        half = to_pc || half || !is_half_kept(pl, line, view, meant) ? half : meant;
    }
    if (half) {
        view->seen_pc = half;
        view->seen_crm = view->crm;
    }
}

/* Microsoft's card never goes: without it the engagement was not shown completely. */
static int is_hidden(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view)
{
    return line->pc && line->pc->root == CS_ROOT_MICROSOFT && !pl->look->microsoft &&
           view->seen_pc && !json_is_null(view->seen_pc);
}

static int is_own_key(const cs_planning_t *pl, const cs_line_t *line)
{
    return line->crm && line->crm->text && !line->crm->of &&
           !strcmp(line->crm->name, pl->kind->key_column);
}

void cs_plan_line(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    cs_side_t pc, crm;

    view->line = line->name;
    if (line->off) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, line->off_why);
        return;
    }
    cs_line_read_pc(&pc, line, pl->doc, pl->p);
    cs_line_read_crm(&crm, line, &pl->table, pl->creating ? NULL : pl->row, pl->p);
    if (is_own_key(pl, line)) {
        crm.value = cs_json_own(json_string(pl->record_id), pl->p);
        if (cs_row_id_same(pl->kind->mapping->facts->id_form, json_string_value(pc.value),
                           pl->record_id)) {
            pc.value = crm.value; /* one row, and two spellings of its id */
        }
    }
    view->pc = pc.value;
    view->crm = crm.value;
    if (!pl->creating) {
        recall(pl, line, view);
    }
    if (pl->unlink) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "unlinked: the record lives on alone");
        return;
    }
    if (pl->creating) {
        cs_plan_line_created(pl, line, view, pc.bad);
        return;
    }
    view->pc = is_hidden(pl, line, view) ? NULL : view->pc;
    judge_known(pl, line, view, &pc, &crm);
    cs_plan_invited(pl, line, view);
}
