/* domain/reconcile_first.c: lines without a history: a new row, a first meeting, a line that is new
 * in the mapping. (deals 2, `introduce`)
 *
 * An empty side has nothing to say and is filled, whatever else the line's rule is; `keep` alone
 * writes nothing. Where both sides say something, the side that `introduce` names counts.
 */
#include "reconcile_internal.h"

void cs_view_missing(const cs_line_t *line, cs_line_view_t *view)
{
    cs_view_take(view, CS_VERDICT_HELD, NULL,
                 line->pc ? "required, and Partner Center has none yet"
                          : "required, and there is none yet");
}

int cs_view_unfinished(const cs_deal_t *deal, const cs_line_t *line, const cs_line_view_t *view)
{
    return cs_intent_creates(deal) && !view->seen_pc && !view->seen_crm &&
           (json_is_null(view->crm) || json_is_false(view->crm)) && line->to_crm.on &&
           ((line->to_crm.events & CS_ON_CREATE) || cs_intent_value(deal, line->name, 0));
}

static int empties(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view)
{
    cs_conv_t conv;

    cs_line_to_crm(&conv, line, &pl->table, view->pc, pl->ptemp);
    return conv.what == CS_CONV_OK && json_is_null(conv.value);
}

void cs_plan_line_created(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                          const char *bad)
{
    cs_travel_t to_crm = cs_travel(pl, line, &line->to_crm, CS_ON_CREATE);

    if (!line->to_crm.on) {
        int updates = line->to_pc.events & CS_ON_UPDATE;

        if (updates && view->crm && !json_is_null(view->crm) && json_is_null(view->pc)) {
            cs_view_to_pc(pl, line, view, NULL, "the record's value");
        }
        else {
            cs_view_judge(view, updates ? CS_VERDICT_SKIPPED : CS_VERDICT_CREATE_ONLY,
                          updates ? "goes to Partner Center once the record exists"
                                  : "fixed since the referral was made");
        }
    }
    else if (!to_crm.may) {
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                     "not written at creation; the next change is");
    }
    else if (cs_line_computed(pl, line)) {
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED, "the CRM computes it");
    }
    else if (to_crm.holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, to_crm.why);
    }
    else if (!bad && empties(pl, line, view) && line->to_crm.required) {
        cs_view_missing(line, view);
    }
    else if (!bad && empties(pl, line, view)) {
        cs_view_take(view, CS_VERDICT_EQUAL, NULL, "empty");
    }
    else {
        cs_view_to_crm(pl, line, view, bad, "new record");
    }
}

/* ---- an existing row ---- */

/* Something would arrive: a default counts, too. */
static int has_for_crm(const cs_planning_t *pl, const cs_line_t *line, const json_t *pc)
{
    cs_conv_t conv;

    cs_line_to_crm(&conv, line, &pl->table, pc, pl->ptemp);
    return conv.what != CS_CONV_OK || !json_is_null(conv.value);
}

static int has_for_pc(const cs_planning_t *pl, const cs_line_t *line, const json_t *crm)
{
    cs_conv_t conv;

    cs_line_to_pc(&conv, line, &pl->table, crm, pl->ptemp);
    return conv.what != CS_CONV_OK || !json_is_null(conv.value);
}

static void copy_to_crm(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_sides_t *s, const char *why)
{
    if (s->to_crm.holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, s->to_crm.why);
    }
    else if (cs_view_to_crm(pl, line, view, s->pc_bad, why)) {
        view->bulk = cs_planning_remapped(pl);
    }
}

static void copy_to_pc(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                       const cs_sides_t *s, const char *why)
{
    if (s->to_pc.holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, s->to_pc.why);
    }
    else if (cs_view_to_pc(pl, line, view, s->crm_bad, why)) {
        view->bulk = cs_planning_remapped(pl);
    }
}

/* The look that made the row did not live to bring this value, or to note that it waits for
 * something: what stands there is the CRM's own beginning. */
static int is_unfinished(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view)
{
    return cs_view_unfinished(pl->look->deal, line, view) && has_for_crm(pl, line, view->pc);
}

/* The record counts for a referral that was made of it, by a look that did not live to note it, and
 * still does when the first writing failed: but not over what somebody has written there since. */
static int is_made_of_it(const cs_planning_t *pl, const cs_line_view_t *view)
{
    return cs_deal_is_ours(pl->look->deal) &&
           (pl->first || cs_intent_replaces(pl->look->deal, view->line, view->pc));
}

/* Which side counts: 1 = Partner Center's, -1 = the CRM's, 0 = neither. A latch is filled where it
 * is not set, and never taken back. */
static int who_counts(const cs_planning_t *pl, const cs_line_t *line, const cs_line_view_t *view,
                      const cs_sides_t *s)
{
    cs_introduce_e introduce = is_made_of_it(pl, view) ? CS_INTRODUCE_CRM : line->introduce;

    if (s->to_crm.may && is_unfinished(pl, line, view)) {
        return 1;
    }
    if (introduce == CS_INTRODUCE_KEEP) {
        return 0;
    }
    if (line->latch) {
        int rises = cs_line_level(line, view->pc, 1, pl->ptemp) -
                    cs_line_level(line, view->crm, 0, pl->ptemp);

        if (rises) {
            return rises > 0 ? s->to_crm.may : -s->to_pc.may;
        }
    }
    if (s->to_crm.may && json_is_null(view->crm) && has_for_crm(pl, line, view->pc)) {
        return 1;
    }
    if (s->to_pc.may && json_is_null(view->pc) && has_for_pc(pl, line, view->crm)) {
        return -1;
    }
    if (introduce == CS_INTRODUCE_PC) {
        return s->to_crm.may && (!json_is_null(view->pc) || line->to_crm.constant) &&
               has_for_crm(pl, line, view->pc);
    }
    return introduce == CS_INTRODUCE_CRM && s->to_pc.may &&
                   (!json_is_null(view->crm) || line->to_pc.constant) &&
                   has_for_pc(pl, line, view->crm)
               ? -1
               : 0;
}

void cs_plan_line_first(cs_planning_t *pl, const cs_line_t *line, cs_line_view_t *view,
                        const cs_sides_t *s)
{
    switch (who_counts(pl, line, view, s)) {
    case 1:
        copy_to_crm(pl, line, view, s,
                    json_is_null(view->crm) ? "empty in the CRM"
                                            : "first compared: Partner Center's value counts");
        break;
    case -1:
        copy_to_pc(pl, line, view, s,
                   json_is_null(view->pc) ? "empty at Partner Center"
                                          : "first compared: the CRM's value counts");
        break;
    default:
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                     "differed when first compared; the next edit on either side decides");
        break;
    }
}
