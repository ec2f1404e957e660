/* domain/list_judge.c: one item of a list, two sides, two images: what is to be done. (deals 2)
 *
 * An item is in a side's list or not, and its own image of each side says whether it was. What is
 * compared is that, and the columns of the child row itself; the row found (a contact, a solution
 * of the catalogue, a user) belongs to others, too, and is never changed because a list says
 * something else. An item without images is new or not settled yet: both lists are united.
 */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "list_internal.h"

/* ---- verdicts ---- */

static int is_in(const json_t *value)
{
    return json_is_object(value);
}

/* 1 when the list's own condition holds; else the item is left out, with the reason. */
static int condition_holds(const cs_planning_t *pl, const cs_listing_t *l, cs_line_view_t *view)
{
    int holds = cs_cond_holds(l->list->when, &pl->world);

    if (holds != 1) {
        cs_view_judge(view, CS_VERDICT_SKIPPED,
                      apr_psprintf(pl->p,
                                   holds ? "a column of %s could not be read" : "only when %s",
                                   l->list->when->text));
    }
    return holds == 1;
}

static int has_moved(const cs_list_t *list, const json_t *before, const json_t *now)
{
    return is_in(before) != is_in(now) || cs_item_fields_differ(list, before, now);
}

/* ---- to the CRM ---- */

/* The last checks on the way to the CRM. 1 = it may go. */
static int may_reach_crm(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;
    const char *refused;

    if (!condition_holds(pl, l, view)) {
        return 0;
    }
    if (cs_view_shut(pl, view)) {
        return 0;
    }
    refused = cs_image_refused(pl, view->line, view->pc);
    if (refused) {
        cs_view_judge(view, CS_VERDICT_REFUSED,
                      apr_psprintf(pl->p, "was refused by the CRM: %s", refused));
        return 0;
    }
    return 1;
}

static int has_lookup(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    if (!l->list->find) {
        return 1;
    }
    item->lookup = cs_find_lookup(l->list->find, pl->doc, item->pc_item, item->shown,
                                  item->view->line, 1, pl->p);
    if (!item->lookup) {
        cs_view_judge(item->view, CS_VERDICT_HELD,
                      apr_psprintf(pl->p, "it lacks what a %s is found by", l->list->find->name));
    }
    return item->lookup != NULL;
}

static void send_to_crm(cs_list_item_t *item, cs_list_how_e how, json_t *value, const char *why)
{
    cs_view_judge(item->view, CS_VERDICT_TO_CRM, why);
    item->view->to_crm = 1;
    item->view->value = value;
    item->how = how;
}

/* Nobody is waited for whom the CRM need not have: asked for again when something moves. */
static const char *is_missing(const cs_planning_t *pl, const cs_listing_t *l,
                              const cs_line_view_t *view)
{
    return l->list->find && l->list->find->none == CS_NONE_SKIP && !pl->look->notified
               ? cs_image_waits(pl->look->deal, view->line, view->pc)
               : NULL;
}

void cs_item_add_to_crm(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item, const char *why)
{
    const char *missing = is_missing(pl, l, item->view);

    if (missing) {
        cs_view_judge(item->view, CS_VERDICT_STAYS, missing);
    }
    else if (may_reach_crm(pl, l, item) && has_lookup(pl, l, item)) {
        send_to_crm(item, CS_HOW_ROW, item->view->pc, why);
        if (l->list->find && l->list->find->none == CS_NONE_SKIP) {
            item->view->rest = CS_REST_STAYS; /* unless the CRM shows it */
        }
    }
}

static void change_in_crm(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item, const char *why)
{
    if (!item->row_id) {
        cs_view_take(item->view, CS_VERDICT_STAYS, CS_REST_STAYS, "the CRM has no column for it");
    }
    else if (may_reach_crm(pl, l, item)) {
        send_to_crm(item, CS_HOW_CHANGE, item->view->pc, why);
    }
}

/* Only a row that stood for the item when both sides had it: images say so. */
static void remove_from_crm(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    int users = l->list->shape == CS_LIST_USERS;

    if (l->list->to_crm_add_only || (users && !(item->place && item->place->child))) {
        cs_view_take(item->view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     "removed at Partner Center; the record keeps it");
    }
    else if (may_reach_crm(pl, l, item)) {
        send_to_crm(item, l->list->shape == CS_LIST_COLUMN ? CS_HOW_COLUMN : CS_HOW_REMOVE,
                    cs_json_own(json_null(), pl->p), "removed at Partner Center");
    }
}

/* ---- to Partner Center ---- */

static int may_reach_pc(cs_planning_t *pl, cs_listing_t *l, cs_line_view_t *view)
{
    if (!condition_holds(pl, l, view)) {
        return 0;
    }
    if (cs_view_ended(pl, view)) {
        return 0;
    }
    if (!strcmp(cs_referral_path_fact(l->list->pc->bare), "patch-until-shared") &&
        cs_planning_shared(pl)) {
        cs_view_judge(view, CS_VERDICT_REFUSED,
                      "cannot change in Partner Center any more, for Microsoft sees the deal");
        return 0;
    }
    return 1;
}

/* Partner Center did not take this very item before. */
static int was_refused_there(cs_planning_t *pl, cs_line_view_t *view)
{
    const char *refused = cs_image_refused_there(pl, view->line, view->crm);

    if (refused) {
        cs_view_judge(view, CS_VERDICT_REFUSED,
                      apr_psprintf(pl->p, "was refused by Partner Center: %s", refused));
    }
    return refused != NULL;
}

static const json_t *either(const json_t *a, const json_t *b)
{
    return a && !json_is_null(a) ? a : b;
}

/* The first required member that neither side has; NULL = none. */
static const char *lacks(const cs_list_t *list, const cs_line_view_t *view)
{
    int i;

    for (i = 0; list->required && i < list->required->nelts; i++) {
        const char *member = APR_ARRAY_IDX(list->required, i, const char *);
        const json_t *value =
            either(cs_json_get(view->crm, member),
                   either(cs_json_get(list->set, member), cs_json_get(view->pc, member)));

        if (!value || json_is_null(value)) {
            return member;
        }
    }
    return NULL;
}

/* A member as the forms call the column it is kept in. */
static const char *member_words(const cs_planning_t *pl, const cs_list_t *list, const char *member)
{
    const apr_array_header_t *kept[] = {list->item, list->fields};
    const char *const tables[] = {list->find ? list->find->table : NULL, list->table};
    int i, j;

    for (i = 0; i < 2; i++) {
        for (j = 0; tables[i] && kept[i] && j < kept[i]->nelts; j++) {
            const cs_member_column_t *m = &APR_ARRAY_IDX(kept[i], j, cs_member_column_t);
            const char *name = m->column->name,
                       *label = cs_column_label(pl->look->metadata, tables[i], name);

            if (!strcmp(m->member, member)) {
                return strcmp(label, name) ? label : member;
            }
        }
    }
    return member;
}

static void send_to_pc(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item, const char *why)
{
    cs_line_view_t *view = item->view;
    const char *missing = is_in(view->crm) ? lacks(l->list, view) : NULL;

    if (!may_reach_pc(pl, l, view)) {
        return;
    }
    if (missing) {
        cs_view_judge(view, CS_VERDICT_HELD,
                      apr_psprintf(pl->p, "%s is missing", member_words(pl, l->list, missing)));
        return;
    }
    if (was_refused_there(pl, view)) {
        return;
    }
    cs_view_judge(view, CS_VERDICT_TO_PC, why);
    view->to_pc = 1;
    view->value = view->crm;
}

static int stands_in(const cs_planning_t *pl, const cs_listing_t *l, const cs_list_item_t *item)
{
    const char *otherwise = pl->kind->owner ? pl->kind->owner->otherwise : NULL;

    return l->list->shape == CS_LIST_USERS && otherwise && !strcasecmp(otherwise, item->key);
}

static void add_to_pc(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item, const char *why)
{
    if (stands_in(pl, l, item)) {
        cs_view_take(item->view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     "owns records of which nobody else is a user");
    }
    else {
        send_to_pc(pl, l, item, why);
    }
}

static void remove_from_pc(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    if (l->list->to_pc_add_only) {
        cs_view_take(item->view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     "removed in the CRM; Partner Center keeps it");
    }
    else {
        send_to_pc(pl, l, item, "removed in the CRM");
    }
}

/* ---- one item ---- */

static void judge_create(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;

    if (!is_in(view->pc)) {
        cs_view_take(view, CS_VERDICT_EQUAL, NULL, NULL);
    }
    else if (!l->list->to_crm) {
        cs_view_judge(view, CS_VERDICT_SKIPPED, "goes to Partner Center once the record exists");
    }
    else if (!(l->list->events & CS_ON_CREATE)) {
        cs_view_take(view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                     "not written at creation; the next change is");
    }
    else {
        cs_item_add_to_crm(pl, l, item, "new record");
    }
}

/* Both have it, and the child row says the same. */
static void judge_same(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;
    int moved = 0;
    const char *member = is_in(view->pc) ? cs_item_found_differs(l->list, view, &moved) : NULL;

    if (member && moved && l->list->to_pc && !l->list->to_pc_add_only && !pl->terminal) {
        send_to_pc(pl, l, item, "changed in the CRM");
    }
    else if (member) {
        cs_view_take(
            view, CS_VERDICT_STAYS, CS_REST_STAYS,
            apr_psprintf(pl->p, "%s differs; a row that others use, too, is not changed",
                         member_words(pl, l->list, member)));
    }
    else {
        cs_view_take(view, CS_VERDICT_EQUAL, NULL,
                     item->twins ? apr_psprintf(pl->p, "%d more row%s of it; the first counts",
                                                item->twins, item->twins == 1 ? "" : "s")
                                 : NULL);
    }
}

static void judge_one_way(cs_list_item_t *item)
{
    cs_view_take(item->view, CS_VERDICT_ONE_WAY, CS_REST_ONE_WAY,
                 "changed at the target of a one-way list");
}

static void judge_introduced(cs_list_item_t *item)
{
    cs_view_take(item->view, CS_VERDICT_SKIPPED, CS_REST_INTRODUCED,
                 "differed when first compared; the next edit on either side decides");
}

static void judge_first(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    const cs_list_t *list = l->list;
    cs_line_view_t *view = item->view;

    if (!is_in(view->crm)) {
        if (list->to_crm) {
            cs_item_add_to_crm(pl, l, item, "not in the CRM");
        }
        else {
            judge_one_way(item);
        }
    }
    else if (!is_in(view->pc)) {
        if (list->to_pc) {
            add_to_pc(pl, l, item, "not at Partner Center");
        }
        else {
            judge_one_way(item);
        }
    }
    else if (list->to_crm && !list->to_crm_add_only &&
             cs_item_only_gaps(list, view->crm, view->pc)) {
        change_in_crm(pl, l, item, "empty in the CRM");
    }
    else if (list->to_pc && !list->to_pc_add_only && cs_item_only_gaps(list, view->pc, view->crm)) {
        send_to_pc(pl, l, item, "empty at Partner Center");
    }
    else {
        judge_introduced(item);
    }
    view->bulk = (view->to_crm || view->to_pc) && cs_planning_remapped(pl);
}

static void judge_resting(cs_planning_t *pl, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;
    const char *rest = cs_image_rest(pl->look->deal, view->line);

    if (rest && !strcmp(rest, CS_REST_HELD)) {
        cs_view_take(view, CS_VERDICT_HELD, CS_REST_HELD,
                     "both sides changed; the next edit on either side decides");
    }
    else if (rest && !strcmp(rest, CS_REST_ONE_WAY)) {
        judge_one_way(item);
    }
    else if (rest && (!strcmp(rest, CS_REST_NOT_KEPT) || !strcmp(rest, CS_REST_UNSEEN))) {
        cs_view_take(view, CS_VERDICT_NOT_KEPT, CS_REST_NOT_KEPT,
                     "the CRM made something else of it; sent again when Partner Center's moves");
    }
    else if (rest && !strcmp(rest, CS_REST_PC_NOT_KEPT)) {
        cs_view_take(view, CS_VERDICT_NOT_KEPT, CS_REST_PC_NOT_KEPT,
                     "Partner Center made something else of it; sent again when it changes here");
    }
    else if (rest && !strcmp(rest, CS_REST_STAYS)) {
        cs_view_take(view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     is_in(view->pc) ? "the record does not show it; it stays at Partner Center"
                                     : "not at Partner Center; the record keeps it");
    }
    else {
        judge_introduced(item);
    }
}

static void judge_pc_moved(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;

    if (!l->list->to_crm) {
        judge_one_way(item);
    }
    else if (!is_in(view->pc)) {
        remove_from_crm(pl, l, item);
    }
    else if (!is_in(view->crm)) {
        cs_item_add_to_crm(pl, l, item, "added at Partner Center");
    }
    else if (l->list->to_crm_add_only) {
        cs_view_take(view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     "changed at Partner Center; what the record has stays");
    }
    else {
        change_in_crm(pl, l, item, "changed at Partner Center");
    }
}

static void judge_crm_moved(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;

    if (!l->list->to_pc) {
        judge_one_way(item);
    }
    else if (!is_in(view->crm)) {
        remove_from_pc(pl, l, item);
    }
    else if (!is_in(view->pc)) {
        add_to_pc(pl, l, item, "added in the CRM");
    }
    else if (l->list->to_pc_add_only) {
        cs_view_take(view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     "changed in the CRM; what Partner Center has stays");
    }
    else {
        send_to_pc(pl, l, item, "changed in the CRM");
    }
}

/* Of an item that travels over another one. */
static void says_why(cs_line_view_t *view, const char *why)
{
    if (why && (view->to_crm || view->to_pc)) {
        view->why = why;
    }
}

/* Removed on one side and changed on the other: it is kept, and comes back where it was removed. */
static void judge_both_moved(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    const cs_list_t *list = l->list;
    cs_line_view_t *view = item->view;
    int removed_pc = !is_in(view->pc), removed_crm = !is_in(view->crm);

    if (!list->to_pc || removed_crm) {
        judge_pc_moved(pl, l, item);
        says_why(view, removed_crm ? "removed in the CRM and changed at Partner Center: it is kept"
                                   : NULL);
    }
    else if (!list->to_crm || removed_pc) {
        judge_crm_moved(pl, l, item);
        says_why(view, removed_pc ? "removed at Partner Center and changed in the CRM: it is kept"
                                  : NULL);
    }
    else if (pl->terminal || list->conflict == CS_POLICY_PC) {
        judge_pc_moved(pl, l, item);
        says_why(view, "both sides changed: Partner Center's item counts");
    }
    else if (list->conflict == CS_POLICY_CRM) {
        judge_crm_moved(pl, l, item);
        says_why(view, "both sides changed: the CRM's item counts");
    }
    else {
        cs_view_take(view, CS_VERDICT_HELD, CS_REST_HELD,
                     "both sides changed; the next edit on either side decides");
    }
}

/* The record shows one row: another one there is no removal of this one. */
static int is_hidden(const cs_listing_t *l, const cs_line_view_t *view)
{
    return l->list->shape == CS_LIST_COLUMN && l->occupied && is_in(view->pc) &&
           !is_in(view->crm) && is_in(view->seen_pc) && is_in(view->seen_crm);
}

/* The CRM shows something else of the item than we have just made it: it may not show that yet. */
static int is_settling(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;
    int had = is_in(view->seen_crm), has = is_in(view->crm);
    apr_time_t until;

    if ((had == has && !cs_item_fields_differ(l->list, view->seen_crm, view->crm)) ||
        !cs_item_settles(pl->look, view->line, &until)) {
        return 0;
    }
    cs_view_judge(view, CS_VERDICT_UNREADABLE, "written a moment ago: it may not be shown yet");
    pl->plan->look_at = !pl->plan->look_at || until < pl->plan->look_at ? until : pl->plan->look_at;
    return 1;
}

/* Nobody has seen the row that was made for it: what is not there was not removed. */
static void mind_unseen(cs_planning_t *pl, cs_line_view_t *view)
{
    const char *rest = cs_image_rest(pl->look->deal, view->line);

    if (rest && !strcmp(rest, CS_REST_UNSEEN) && !is_in(view->crm)) {
        view->seen_crm = view->crm;
    }
}

static void judge_known(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    cs_line_view_t *view = item->view;
    int pc_moved, crm_moved;

    if (!view->pc || !view->crm) {
        cs_view_judge(view, CS_VERDICT_UNREADABLE,
                      view->pc ? l->crm_unread ? l->crm_unread : l->owner_unread : l->pc_unread);
        return;
    }
    if (is_settling(pl, l, item)) {
        return;
    }
    mind_unseen(pl, view);
    if (is_in(view->pc) == is_in(view->crm) &&
        !cs_item_fields_differ(l->list, view->pc, view->crm)) {
        judge_same(pl, l, item);
        return;
    }
    if (!(l->list->events & CS_ON_UPDATE)) {
        cs_view_judge(view, CS_VERDICT_CREATE_ONLY, "written once, not compared afterwards");
        return;
    }
    if (!view->seen_pc || !view->seen_crm) {
        judge_first(pl, l, item);
        return;
    }
    pc_moved = has_moved(l->list, view->seen_pc, view->pc);
    crm_moved = has_moved(l->list, view->seen_crm, view->crm);
    if (is_hidden(l, view)) {
        cs_view_take(view, CS_VERDICT_STAYS, CS_REST_STAYS,
                     "the record shows another one; it stays at Partner Center");
    }
    else if (pc_moved && crm_moved) {
        judge_both_moved(pl, l, item);
    }
    else if (pc_moved) {
        judge_pc_moved(pl, l, item);
    }
    else if (crm_moved) {
        judge_crm_moved(pl, l, item);
    }
    else {
        judge_resting(pl, item);
    }
}

void cs_item_decide(cs_planning_t *pl, cs_listing_t *l, cs_list_item_t *item)
{
    if (pl->unlink) {
        cs_view_judge(item->view, CS_VERDICT_SKIPPED, "unlinked: the record lives on alone");
    }
    else if (pl->creating) {
        judge_create(pl, l, item);
    }
    else {
        judge_known(pl, l, item);
    }
}
