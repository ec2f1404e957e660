/* domain/reconcile_values.c: one line, two sides, two images: what is to be done. (deals 2)
 *
 *   changed(side)  := it differs from that side's own image
 *   neither        : nothing; if they differ, by the rule the image names
 *   one            : copied, if direction, events and conditions allow; else noted
 *   both           : the same -> nothing; a one-way line follows its source; a two-way line its
 * policy no image       : only an empty target is filled; other differences are noted
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/decimal.h"
#include "reconcile_internal.h"

#define WORDS_MAX 60

const char *cs_value_words(const json_t *value, apr_pool_t *p)
{
    const char *amount = cs_json_str(value, "amount"), *currency = cs_json_str(value, "currency"),
               *text;

    if (!value) {
        return "unreadable";
    }
    if (json_is_null(value)) {
        return "empty";
    }
    if (amount || currency) {
        return apr_pstrcat(p, amount ? amount : "no amount", " ",
                           currency ? currency : "without currency", NULL);
    }
    text = cs_json_print(value, p);
    if (cs_text_units(text) > WORDS_MAX) {
        return apr_pstrcat(p, cs_text_head(text, WORDS_MAX - 4, p), "...",
                           json_is_string(value) ? "\"" : "", NULL);
    }
    return text;
}

static void judge(cs_line_view_t *view, cs_verdict_e verdict, const char *why)
{
    view->verdict = verdict;
    view->why = why;
}

static void judge_taken(cs_line_view_t *view, cs_verdict_e verdict, const char *rest,
                        const char *why)
{
    judge(view, verdict, why);
    view->take = 1;
    view->rest = rest;
}

static int is_nothing(const json_t *value)
{
    return json_is_null(value);
}

/* ---- may it go that way? ---- */

typedef struct way_t {
    int may;         /* direction and event allow it */
    int holds;       /* and its conditions: 1, 0, -1 unreadable */
    const char *why; /* when they do not hold */
} way_t;

static way_t ask_way(const cs_planning_t *pl, const cs_line_t *line, const cs_way_t *way, int event)
{
    way_t out = {way->on && (way->events & event), 1, NULL};
    const cs_cond_t *conds[] = {line->when, way->when};
    int i;

    for (i = 0; i < 2 && out.holds == 1; i++) {
        out.holds = cs_cond_holds(conds[i], &pl->world);
        if (out.holds == 0) {
            out.why = apr_psprintf(pl->p, "only when %s", conds[i]->text);
        }
        else if (out.holds < 0) {
            out.why = apr_psprintf(pl->p, "a column of %s could not be read", conds[i]->text);
        }
    }
    return out;
}

static const char *no_good(const cs_planning_t *pl, const char *bad)
{
    return apr_psprintf(pl->p, "cannot travel: %s", bad);
}

static int judge_conv(cs_planning_t *pl, cs_line_view_t *view, const cs_conv_t *conv)
{
    switch (conv->what) {
    case CS_CONV_OK:
        return 1;
    case CS_CONV_SKIP:
        judge(view, CS_VERDICT_SKIPPED, conv->why);
        break;
    case CS_CONV_HOLD:
        judge(view, CS_VERDICT_HELD, conv->why);
        break;
    default:
        judge(view, CS_VERDICT_REFUSED, no_good(pl, conv->why));
        break;
    }
    return 0;
}

/* The last checks on the way to the CRM. */
static void send_to_crm(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const char *bad, const char *why)
{
    cs_conv_t conv;

    if (bad) {
        judge(view, CS_VERDICT_REFUSED, no_good(pl, bad));
        return;
    }
    if (line->type == CS_TYPE_MONEY && !line->to_crm.constant) {
        if (cs_money_is_half(view->pc)) {
            judge(view, CS_VERDICT_HELD,
                  json_is_null(cs_json_get(view->pc, "amount")) ? "a currency without an amount"
                                                                : "an amount without a currency");
            return;
        }
        if (is_nothing(view->pc)) {
            judge(view, CS_VERDICT_SKIPPED, "an empty amount is not copied");
            return;
        }
    }
    if (line->type == CS_TYPE_LOOKUP && is_nothing(view->pc)) {
        judge(view, CS_VERDICT_SKIPPED, "no key to look up by");
        return;
    }
    if (line->to_crm.only_if_empty && !pl->creating && !is_nothing(view->crm)) {
        judge(view, CS_VERDICT_SKIPPED, "only while the column is empty");
        return;
    }
    cs_line_to_crm(&conv, line, view->pc, pl->p);
    if (!judge_conv(pl, view, &conv)) {
        return;
    }
    if (!cs_planning_writable(pl)) {
        judge(view, CS_VERDICT_CLOSED, "the record is closed in the CRM");
        return;
    }
    judge(view, CS_VERDICT_TO_CRM, why);
    view->value = view->pc;
}

static void send_to_pc(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                       const char *bad, const char *why)
{
    cs_conv_t conv;

    if (pl->terminal) {
        judge(view, CS_VERDICT_CLOSED, "the referral is closed at Partner Center; edits stay here");
        return;
    }
    if (bad) {
        judge(view, CS_VERDICT_REFUSED, no_good(pl, bad));
        return;
    }
    if (line->type == CS_TYPE_MONEY && !line->to_pc.constant) {
        if (cs_money_is_half(view->crm)) {
            judge(view, CS_VERDICT_HELD, "an amount without a currency");
            return;
        }
        if (is_nothing(view->crm) ||
            (!line->zero_send && cs_decimal_is_zero(cs_json_str(view->crm, "amount")))) {
            judge(view, CS_VERDICT_SKIPPED, "a zero or empty amount is not sent");
            return;
        }
    }
    if (line->to_pc.only_if_empty && !is_nothing(view->pc)) {
        judge(view, CS_VERDICT_SKIPPED, "only while the member is empty");
        return;
    }
    cs_line_to_pc(&conv, line, view->crm, pl->p);
    if (judge_conv(pl, view, &conv)) {
        judge(view, CS_VERDICT_TO_PC, why);
        view->value = view->crm;
    }
}

/* ---- a new row ---- */

static void judge_create(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                         const char *bad)
{
    way_t to_crm = ask_way(pl, line, &line->to_crm, CS_ON_CREATE);
    cs_conv_t conv;

    if (!line->to_crm.on) {
        int updates = line->to_pc.events & CS_ON_UPDATE;

        if (updates && view->crm && !is_nothing(view->crm) && is_nothing(view->pc)) {
            send_to_pc(pl, line, view, NULL, "the record's value");
        }
        else {
            judge(view, updates ? CS_VERDICT_SKIPPED : CS_VERDICT_CREATE_ONLY,
                  updates ? "goes to Partner Center once the record exists"
                          : "fixed since the referral was made");
        }
        return;
    }
    if (!to_crm.may) {
        judge_taken(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                    "not written at creation; the next change is");
        return;
    }
    if (to_crm.holds != 1) {
        judge(view, CS_VERDICT_SKIPPED, to_crm.why);
        return;
    }
    cs_line_to_crm(&conv, line, view->pc, pl->p);
    if (!bad && conv.what == CS_CONV_OK && is_nothing(conv.value)) {
        judge_taken(view, CS_VERDICT_EQUAL, NULL, "empty");
        return;
    }
    send_to_crm(pl, line, view, bad, "new record");
}

/* ---- no image ---- */

/* Something would arrive: a default counts, too. */
static int has_for_crm(const cs_planning_t *pl, const cs_line_t *line, const json_t *pc)
{
    cs_conv_t conv;

    cs_line_to_crm(&conv, line, pc, pl->ptemp);
    return conv.what != CS_CONV_OK || !is_nothing(conv.value);
}

static int has_for_pc(const cs_planning_t *pl, const cs_line_t *line, const json_t *crm)
{
    cs_conv_t conv;

    cs_line_to_pc(&conv, line, crm, pl->ptemp);
    return conv.what != CS_CONV_OK || !is_nothing(conv.value);
}

static void judge_first(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_side_t *pc, const cs_side_t *crm, way_t to_crm, way_t to_pc)
{
    if (to_crm.may && is_nothing(view->crm) && has_for_crm(pl, line, view->pc)) {
        if (to_crm.holds != 1) {
            judge(view, CS_VERDICT_SKIPPED, to_crm.why);
            return;
        }
        send_to_crm(pl, line, view, pc->bad, "empty in the CRM");
        return;
    }
    if (to_pc.may && is_nothing(view->pc) && has_for_pc(pl, line, view->crm)) {
        if (to_pc.holds != 1) {
            judge(view, CS_VERDICT_SKIPPED, to_pc.why);
            return;
        }
        send_to_pc(pl, line, view, crm->bad, "empty at Partner Center");
        return;
    }
    judge_taken(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                "differed when first compared; the next edit on either side decides");
}

/* ---- images on both sides ---- */

static void judge_resting(cs_planning_t *pl, cs_line_view_t *view)
{
    const char *rest = cs_image_rest(pl->look->deal, view->line);

    if (rest && !strcmp(rest, CS_REST_HELD)) {
        judge_taken(view, CS_VERDICT_HELD, CS_REST_HELD,
                    "both sides changed; the next edit on either side decides");
    }
    else if (rest && !strcmp(rest, CS_REST_NOT_KEPT)) {
        judge_taken(view, CS_VERDICT_NOT_KEPT, CS_REST_NOT_KEPT,
                    apr_psprintf(pl->p,
                                 "the CRM made it %s; sent again when Partner Center's value moves",
                                 cs_value_words(view->crm, pl->p)));
    }
    else if (rest && !strcmp(rest, CS_REST_ONE_WAY)) {
        judge_taken(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                    "changed at the target of a one-way line");
    }
    else {
        judge_taken(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                    "differed when first compared; the next edit on either side decides");
    }
}

static const char *fixed_words(const cs_planning_t *pl, const cs_line_t *line,
                               const cs_line_view_t *view)
{
    return apr_psprintf(pl->p, "cannot change in %s; stays %s",
                        line->to_crm.on ? "Partner Center" : "the CRM",
                        cs_value_words(line->to_crm.on ? view->pc : view->crm, pl->p));
}

/* Only the target of a line that goes one way has moved. */
static void judge_target(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                         const cs_side_t *source, int back_to_crm, way_t back)
{
    if (line->enforce && back.may && back.holds == 1) {
        if (back_to_crm) {
            send_to_crm(pl, line, view, source->bad, "enforced");
        }
        else {
            send_to_pc(pl, line, view, source->bad, "enforced");
        }
        return;
    }
    judge_taken(view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                line->to_crm.on && line->to_pc.on ? fixed_words(pl, line, view)
                                                  : "changed at the target of a one-way line");
}

static void judge_pc_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                           const cs_side_t *pc, const cs_side_t *crm, way_t to_crm, way_t to_pc)
{
    if (!to_crm.may) {
        judge_target(pl, line, view, crm, 0, to_pc);
    }
    else if (to_crm.holds != 1) {
        judge(view, CS_VERDICT_SKIPPED, to_crm.why);
    }
    else {
        send_to_crm(pl, line, view, pc->bad, "changed at Partner Center");
    }
}

static void judge_crm_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                            const cs_side_t *pc, const cs_side_t *crm, way_t to_crm, way_t to_pc)
{
    if (!to_pc.may) {
        judge_target(pl, line, view, pc, 1, to_crm);
    }
    else if (to_pc.holds != 1) {
        judge(view, CS_VERDICT_SKIPPED, to_pc.why);
    }
    else {
        send_to_pc(pl, line, view, crm->bad, "changed in the CRM");
    }
}

static void judge_both_moved(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                             const cs_side_t *pc, const cs_side_t *crm, way_t to_crm, way_t to_pc)
{
    if (!to_pc.may || (to_crm.may && (pl->terminal || line->conflict == CS_POLICY_PC))) {
        judge_pc_moved(pl, line, view, pc, crm, to_crm, to_pc);
    }
    else if (!to_crm.may || line->conflict == CS_POLICY_CRM) {
        judge_crm_moved(pl, line, view, pc, crm, to_crm, to_pc);
    }
    else {
        judge_taken(view, CS_VERDICT_HELD, CS_REST_HELD,
                    "both sides changed; the next edit on either side decides");
    }
}

static void judge_known(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_side_t *pc, const cs_side_t *crm)
{
    way_t to_crm = ask_way(pl, line, &line->to_crm, CS_ON_UPDATE);
    way_t to_pc = ask_way(pl, line, &line->to_pc, CS_ON_UPDATE);
    int pc_moved, crm_moved;

    if (!to_crm.may && !to_pc.may) {
        judge(view, CS_VERDICT_CREATE_ONLY, "written once, not compared afterwards");
        return;
    }
    if (!view->pc || !view->crm) {
        judge(view, CS_VERDICT_UNREADABLE,
              view->pc ? "the CRM did not show it" : "Partner Center did not show it");
        return;
    }
    if (cs_line_same(line, view->pc, view->crm, pl->ptemp)) {
        judge_taken(view, CS_VERDICT_EQUAL, NULL, NULL);
        return;
    }
    if (!view->seen_pc || !view->seen_crm) {
        judge_first(pl, line, view, pc, crm, to_crm, to_pc);
        return;
    }
    pc_moved = !cs_line_unchanged(line, view->seen_pc, view->pc);
    crm_moved = !cs_line_unchanged(line, view->seen_crm, view->crm);
    if (pc_moved && crm_moved) {
        judge_both_moved(pl, line, view, pc, crm, to_crm, to_pc);
    }
    else if (pc_moved) {
        judge_pc_moved(pl, line, view, pc, crm, to_crm, to_pc);
    }
    else if (crm_moved) {
        judge_crm_moved(pl, line, view, pc, crm, to_crm, to_pc);
    }
    else {
        judge_resting(pl, view);
    }
}

/* ---- one line ---- */

/* A value that equals what we meant to write is ours: a crash between write and settle is no edit
 * of a user's. */
static void recall(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view)
{
    const cs_deal_t *deal = pl->look->deal;
    json_t *meant;
    size_t i;

    view->seen_pc = cs_image_side(deal, line->name, "pc");
    view->seen_crm = cs_image_side(deal, line->name, "crm");
    for (i = 0; view->crm && (meant = cs_intent_value(deal, line->name, i)) != NULL; i++) {
        if (cs_line_same(line, meant, view->crm, pl->ptemp)) {
            view->seen_pc = meant;
            view->seen_crm = view->crm;
            break;
        }
    }
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
        judge(view, CS_VERDICT_SKIPPED, line->off_why);
        return;
    }
    cs_line_read_pc(&pc, line, pl->doc, pl->p);
    cs_line_read_crm(&crm, line, pl->creating ? NULL : pl->row, pl->p);
    if (is_own_key(pl, line)) {
        crm.value = cs_json_own(json_string(pl->record_id), pl->p);
    }
    view->pc = pc.value;
    view->crm = crm.value;
    if (pl->unlink) {
        judge(view, CS_VERDICT_SKIPPED, "unlinked: the record lives on alone");
        return;
    }
    if (pl->creating) {
        judge_create(pl, line, view, pc.bad);
        return;
    }
    recall(pl, line, view);
    judge_known(pl, line, view, &pc, &crm);
}
