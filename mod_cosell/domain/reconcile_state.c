/* domain/reconcile_state.c: what a moved state asks for. Acts on movement only. (deals 5) */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "reconcile_internal.h"

/* What an organisation's own rules make of a new record, they make of it within this time. */
#define SETTLES_WITHIN apr_time_from_sec(120)

const char *cs_state_after_action(const char *action)
{
    static const struct {
        const char *action, *state;
    } moves[] = {{"accept", "Active/Accepted"},
                 {"decline", "Closed/Declined"},
                 {"win", "Closed/Won"},
                 {"lose", "Closed/Lost"}};
    size_t i;

    for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        if (!strcmp(moves[i].action, action)) {
            return moves[i].state;
        }
    }
    return NULL;
}

json_t *cs_state_columns(const cs_mapping_kind_t *kind, const json_t *row, apr_pool_t *p)
{
    json_t *out = cs_json_own(json_object(), p);
    int i;

    for (i = 0; i < kind->state_columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(kind->state_columns, i, const char *);
        const json_t *value = cs_json_get(row, column);

        if (!value) {
            return NULL;
        }
        json_object_set_new(out, column, json_deep_copy(value));
    }
    return out;
}

const json_t *cs_row_with_close(const cs_mapping_kind_t *kind, const json_t *row,
                                const cs_record_t *record, apr_pool_t *p)
{
    const char *column = kind->mapping->facts->close_made, *last = "";
    const json_t *closes = cs_json_get(record->related, CS_CLOSE);
    json_t *newest = NULL, *copy;
    size_t i;

    for (i = 0; i < json_array_size(closes); i++) {
        json_t *close = cs_json_get(json_array_get(closes, i), "row");
        const char *made = cs_json_str(close, column);

        if (made && strcmp(made, last) >= 0) {
            newest = close;
            last = made;
        }
    }
    if (!newest) {
        return row;
    }
    copy = cs_json_own(json_copy((json_t *)row), p);
    json_object_set(copy, CS_CLOSE, newest);
    return copy;
}

int cs_planning_writable(const cs_planning_t *pl)
{
    int became = pl->kind->becomes && pl->row_state == 1;

    return pl->creating || pl->row_state == 0 || pl->reopen ||
           (pl->row_state > 0 && pl->kind->mapping->facts->closed_writes && !became);
}

static void judge(cs_planning_t *pl, cs_verdict_e verdict, int take, const char *why)
{
    pl->state->verdict = verdict;
    pl->state->take = take;
    pl->state->why = why;
}

/* Until a person has done something. */
static void hold_state(cs_planning_t *pl, const char *say)
{
    pl->say = say;
    judge(pl, CS_VERDICT_HELD, 0, say);
}

static const char *state_column(const cs_planning_t *pl)
{
    return pl->kind->mapping->facts->state_column;
}

/* What of `set` the row does not show yet; NULL = nothing. */
static json_t *missing(const cs_planning_t *pl, const json_t *set)
{
    json_t *out = cs_json_own(json_object(), pl->p);
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)set, column, value) {
        const json_t *now = cs_json_get(pl->row, column);

        if (!now || !json_equal(now, value)) {
            json_object_set_new(out, column, json_deep_copy(value));
        }
    }
    return json_object_size(out) ? out : NULL;
}

/* What shows a state at Partner Center, choices by their labels resolved; *pwhy = why one is
 * missing, NULL = none is. */
static const cs_shown_t *shown_of(const cs_planning_t *pl, const char *state, const json_t *row,
                                  const char **pwhy)
{
    const cs_shown_t *shown = cs_state_show(pl->kind, state, pl->look->own, row, pl->p);

    *pwhy =
        shown ? cs_choices_resolve(shown->set, pl->look->metadata, pl->kind->table, pl->p) : NULL;
    return shown;
}

/* ---- the referral moved ---- */

/* A closed row is opened the way an accepted referral is shown. */
static void reopen(cs_planning_t *pl)
{
    const char *why;
    const cs_shown_t *active = shown_of(pl, "Active/Accepted", pl->row, &why);

    pl->reopen = 1;
    pl->reopen_set = active ? active->set : cs_json_own(json_object(), pl->p);
    if (!json_is_integer(cs_json_get(pl->reopen_set, state_column(pl)))) {
        json_object_set_new(pl->reopen_set, state_column(pl), json_integer(0));
    }
}

static void show_call(cs_planning_t *pl, const cs_shown_t *shown)
{
    int want = !strcmp(shown->call, pl->kind->mapping->facts->win) ? 1 : 2;

    if (pl->row_state == want) {
        judge(pl, CS_VERDICT_EQUAL, 1, "closed on both sides");
        return;
    }
    if (pl->row_state > 0) {
        reopen(pl);
    }
    pl->call = shown->call;
    pl->call_set = shown->set;
    pl->call_state = want;
    judge(pl, CS_VERDICT_TO_CRM, 0, apr_psprintf(pl->p, "Partner Center moved to %s", pl->pc_now));
}

/* An open record that does not wait for an answer; whatever its stage is, it was chosen. */
static int is_answered(const cs_planning_t *pl)
{
    const cs_shown_t *waits = cs_state_show(pl->kind, "New/Pending", pl->look->own, pl->row, pl->p);

    return !strncmp(pl->pc_now, "Active", 6) && pl->row_state == 0 &&
           (!waits || !json_object_size(waits->set) || missing(pl, waits->set));
}

/* A stage is written in the row as it is, and any stage of the right state is right. */
static void show_stage(cs_planning_t *pl, json_t *lacking, int want)
{
    const char *unknown = cs_stage_unknown(pl, lacking);

    if (want > 0 && pl->row_state == want) {
        judge(pl, CS_VERDICT_EQUAL, 1, "closed on both sides");
    }
    else if (is_answered(pl)) {
        judge(pl, CS_VERDICT_EQUAL, 1, "open on both sides");
    }
    else if (!cs_planning_writable(pl)) {
        judge(pl, CS_VERDICT_SKIPPED, 1, "the record is closed in the CRM");
    }
    else if (unknown) {
        hold_state(pl, unknown);
    }
    else {
        pl->state_set = lacking;
        judge(pl, CS_VERDICT_TO_CRM, 0,
              apr_psprintf(pl->p, "Partner Center moved to %s", pl->pc_now));
    }
}

static void show_set(cs_planning_t *pl, const cs_shown_t *shown)
{
    json_t *lacking = missing(pl, shown->set);
    int want = cs_state_of_set(pl->kind, pl->look->metadata, shown->set, pl->pc_now);

    if (!lacking) {
        judge(pl, CS_VERDICT_EQUAL, 1, NULL);
        return;
    }
    if (pl->kind->mapping->facts->state_follows) {
        show_stage(pl, lacking, want);
        return;
    }
    if (pl->row_state > 0) {
        if (want != 0) {
            judge(pl, CS_VERDICT_SKIPPED, 1, "the record is closed in the CRM");
            return;
        }
        pl->reopen = 1;
        pl->reopen_set = shown->set;
    }
    else {
        pl->state_set = lacking;
    }
    judge(pl, CS_VERDICT_TO_CRM, 0, apr_psprintf(pl->p, "Partner Center moved to %s", pl->pc_now));
}

/* Whose opportunity it becomes is decided by our own rules where there are such, else by the CRM.
 */
static json_t *qualify_parameters(const cs_planning_t *pl)
{
    const cs_find_t *account = cs_find_named(pl->kind->mapping, "account"),
                    *currency = cs_find_named(pl->kind->mapping, "currency");
    const char *code = cs_json_str(cs_json_get(pl->doc, "details"), "currency");
    json_t *customer =
        account ? cs_find_lookup(account, pl->doc, NULL, NULL, NULL, 1, pl->p) : NULL;
    json_t *money =
        currency && code ? cs_find_lookup(currency, pl->doc, NULL, code, NULL, 0, pl->p) : NULL;
    json_t *set = json_pack("{s:b,s:b,s:b,s:i}", "CreateAccount", !customer, "CreateContact",
                            !customer, "CreateOpportunity", 1, "Status",
                            pl->kind->mapping->facts->qualified);

    if (customer) {
        json_object_set(set, "OpportunityCustomerId", customer);
    }
    if (money) {
        /* Without the currency the CRM takes its own. */
        json_object_set_new(cs_json_get(money, "$lookup"), "none", json_string("skip"));
        json_object_set(set, "OpportunityCurrencyId", money);
    }
    return cs_json_own(set, pl->p);
}

/* A lead whose referral was accepted. (deals 4) */
static int accepted_lead(const cs_planning_t *pl)
{
    return pl->kind->becomes && !strncmp(pl->pc_now, "Active", 6);
}

static void qualify(cs_planning_t *pl)
{
    const char *action = pl->kind->mapping->facts->qualify, *name = pl->kind->name;

    if (pl->row_state == 1) {
        hold_state(pl, apr_psprintf(pl->p, "this %s was %s without making an %s", name,
                                   action ? "qualified" : "converted",
                                   pl->kind->becomes->record));
        return;
    }
    if (pl->row_state == 2) {
        hold_state(pl, apr_psprintf(pl->p,
                                   "Accepted in Partner Center, and disqualified here: reopen this "
                                   "%s to go on",
                                   name));
        return;
    }
    if (!pl->kind->becomes->qualify || !action) {
        hold_state(pl, apr_psprintf(pl->p, "Accepted in Partner Center: convert this %s", name));
        return;
    }
    pl->call = action;
    pl->call_set = qualify_parameters(pl);
    pl->call_state = 1;
    judge(pl, CS_VERDICT_TO_CRM, 0, "accepted at Partner Center: the lead is qualified");
}

const char *cs_qualified_row(const cs_mapping_kind_t *kind, const cs_step_t *step,
                             const cs_applied_t *applied, const cs_mapping_kind_t **pto)
{
    const char *action = kind->mapping->facts->qualify;
    size_t i;

    *pto = kind->becomes ? cs_mapping_kind(kind->mapping, kind->becomes->record) : NULL;
    if (!*pto || !applied->done || step->kind != CS_STEP_CALL || !action ||
        strcmp(step->call, action)) {
        return NULL;
    }
    for (i = 0; i < json_array_size(applied->created); i++) {
        const json_t *row = json_array_get(applied->created, i);
        const char *table = cs_json_str(row, "table");

        if (table && !strcmp(table, (*pto)->table)) {
            return cs_json_str(row, "id");
        }
    }
    return NULL;
}

/* The state that the lead was made with by a look that was not heard to its end. */
static const char *first_meant(const cs_deal_t *deal)
{
    const json_t *value, *last = NULL;
    size_t i;

    for (i = 0; (value = cs_intent_value(deal, CS_LINE_STATE, i)) != NULL; i++) {
        last = value;
    }
    return json_string_value(last);
}

void cs_settle_move(cs_deal_t *deal, const cs_plan_t *plan, const cs_look_t *look, apr_pool_t *p)
{
    /* What happened to the referral since the lead was last looked at is still to be shown. */
    const char *state = deal->pc_status ? deal->pc_status : first_meant(look->deal);

    state = state ? apr_pstrdup(p, state) : cs_state_of_card(look->own, p);
    deal->kind = apr_pstrdup(p, plan->moved_kind);
    deal->table = apr_pstrdup(p, plan->moved_table);
    deal->record_id = apr_pstrdup(p, plan->moved_id);
    deal->crm_version = NULL;
    deal->told = NULL;
    deal->status = deal->problem = NULL;
    /* The opportunity's state is news whatever it is: an unanswered referral is heard as accepted.
     */
    deal->images = cs_json_own(json_pack("{s:{s:s,s:{},s:s}}", CS_LINE_STATE, "pc", state, "crm",
                                         "rest", CS_REST_QUALIFIED),
                               p);
    deal->pc_status = state;
}

/* Also when nobody looked while it was: the card remembers. */
static int was_accepted(const cs_planning_t *pl)
{
    const char *when = cs_json_str(pl->doc, "acceptedDateTime");

    return when && *when;
}

static void show_now(cs_planning_t *pl)
{
    const char *why;
    const cs_shown_t *shown = shown_of(pl, pl->pc_now, pl->row, &why);

    if (!strcmp(pl->pc_now, "Closed/Error") || (shown && shown->unlink)) {
        pl->unlink = 1;
        judge(pl, CS_VERDICT_SKIPPED, 1, apr_psprintf(pl->p, "%s only unlinks", pl->pc_now));
    }
    else if (!shown) {
        judge(pl, CS_VERDICT_SKIPPED, 1,
              apr_psprintf(pl->p, "the mapping shows nothing for %s", pl->pc_now));
    }
    else if (shown->if_was &&
             (!pl->pc_was || strncmp(pl->pc_was, shown->if_was, strlen(shown->if_was)) ||
              (!strcmp(shown->if_was, "New") && was_accepted(pl)))) {
        judge(pl, CS_VERDICT_SKIPPED, 1,
              apr_psprintf(pl->p, "%s is shown only after %s", pl->pc_now, shown->if_was));
    }
    else if (why) {
        judge(pl, CS_VERDICT_HELD, 0, why);
    }
    else if (shown->call) {
        show_call(pl, shown);
    }
    else {
        show_set(pl, shown);
    }
}

static const cs_heard_t *hear_of(const cs_planning_t *pl, const char *pc)
{
    return cs_state_hear(pl->kind, pc, pl->row, pl->look->metadata, pl->p);
}

/* hear, with the state before the move, gives the action that leads to the new one: the record is
 * where the referral went. */
static int led_there(cs_planning_t *pl)
{
    const cs_heard_t *heard =
        pl->pc_was ? hear_of(pl, pl->pc_was) : NULL;
    const char *to;

    if (!heard || !heard->actions->nelts) {
        return 0;
    }
    to = cs_state_after_action(
        APR_ARRAY_IDX(heard->actions, heard->actions->nelts - 1, const char *));
    return to && (!strcmp(to, pl->pc_now) ||
                  (!strchr(pl->pc_now, '/') && !strncmp(to, pl->pc_now, strlen(pl->pc_now))));
}

/* ---- the record moved ---- */

/* Whether it waits or goes on in the CRM is nobody's business once the referral is closed. */
static int still_open(const cs_planning_t *pl)
{
    const json_t *was = cs_json_get(pl->state->seen_crm, state_column(pl));

    return was && pl->row_state == 0 && json_equal(was, cs_json_get(pl->row, state_column(pl)));
}

static void refuse(cs_planning_t *pl, const char *say)
{
    pl->say = say;
    judge(pl, CS_VERDICT_REFUSED, 0, say);
}

/* "Closed (Won)" */
static const char *state_words(const char *state, apr_pool_t *p)
{
    const char *slash = strchr(state, '/');

    return slash ? apr_psprintf(p, "%.*s (%s)", (int)(slash - state), state, slash + 1) : state;
}

/* Where the actions lead; NULL = nowhere, which has been judged. */
static const char *heard_state(cs_planning_t *pl, const cs_heard_t *heard)
{
    const char *from = pl->pc_now, *to;
    int i;

    for (i = 0; i < heard->actions->nelts; i++) {
        const char *action = APR_ARRAY_IDX(heard->actions, i, const char *);

        if (!strcmp(action, "refuse")) {
            refuse(pl, heard->say ? heard->say : "not possible at Partner Center");
            return NULL;
        }
        to = cs_state_after_action(action);
        if (!to) {
            judge(pl, CS_VERDICT_EQUAL, 1, action);
            return NULL;
        }
        if (!cs_state_may_move(from, to)) {
            refuse(pl, apr_psprintf(pl->p, "a referral that is %s cannot become %s",
                                    state_words(from, pl->p), state_words(to, pl->p)));
            return NULL;
        }
        from = to;
    }
    return from;
}

/* A referral is declined or lost for a reason. */
static int has_reason(cs_planning_t *pl, const cs_heard_t *heard, const char *to)
{
    const char *what = state_words(to, pl->p);

    if (!cs_state_is_terminal(to) || !strcmp(to, "Closed/Won") || heard->reason) {
        return 1;
    }
    if (heard->waits) {
        judge(pl, CS_VERDICT_HELD, 0, heard->lacking);
    }
    else if (!heard->column) {
        refuse(pl, apr_psprintf(pl->p, "%s needs a reason, and %s", what, heard->lacking));
    }
    else {
        refuse(pl, apr_psprintf(pl->p, "%s needs a reason; choose another %s: %s", what,
                                cs_column_label(pl->look->metadata, pl->kind->table,
                                                heard->column->name),
                                heard->lacking));
    }
    return 0;
}

/* Partner Center refused this very movement of the record. Where it is asked again, that is what
 * the seller reads until it has worked. */
static int was_refused(cs_planning_t *pl, const cs_heard_t *heard)
{
    const json_t *refused =
        cs_json_get(cs_json_get(pl->look->deal->images, CS_LINE_STATE), "refused");
    const char *reason = cs_json_str(refused, "reason"), *why = cs_json_str(refused, "why");

    if (!why || !json_equal(cs_json_get(refused, "crm"), pl->state->crm) ||
        (reason && heard->reason ? strcmp(reason, heard->reason) != 0
                                 : reason != heard->reason)) {
        return 0;
    }
    pl->say = apr_psprintf(pl->p, "was refused by Partner Center: %s", why);
    if (!cs_image_refused_there(pl, CS_LINE_STATE, pl->state->crm)) {
        return 0;
    }
    refuse(pl, pl->say);
    return 1;
}

/* The mapping wants a referral to be of some age first. */
static int is_early(cs_planning_t *pl, const cs_heard_t *heard, const char *to)
{
    const char *text = cs_json_str(pl->doc, "createdDateTime");
    apr_time_t created, due;

    if (!heard->not_before || !text || cs_time_parse(&created, text) != APR_SUCCESS) {
        return 0;
    }
    due = created + heard->not_before;
    if (due <= pl->look->now) {
        return 0;
    }
    pl->later = apr_psprintf(pl->p, "%s in Partner Center at %s UTC", state_words(to, pl->p),
                             cs_time_format_minute(due, pl->p));
    pl->plan->look_at = !pl->plan->look_at || due < pl->plan->look_at ? due : pl->plan->look_at;
    judge(pl, CS_VERDICT_SKIPPED, 0, pl->later);
    return 1;
}

static int accepts(const cs_planning_t *pl, const cs_heard_t *heard)
{
    return pl->row_state == 0 && !strncmp(pl->pc_now, "New", 3) && heard && heard->actions->nelts &&
           !strcmp(APR_ARRAY_IDX(heard->actions, 0, const char *), "accept");
}

/* What moves right after we made the row show an unanswered referral is moved by a workflow. A
 * record that was closed, or came of a lead that was qualified, was by a person. */
static int moved_by_itself(const cs_planning_t *pl)
{
    const json_t *image = cs_json_get(pl->look->deal->images, CS_LINE_STATE);
    const char *rest = cs_json_str(image, "rest");
    apr_time_t made =
        (apr_time_t)cs_json_int(image, CS_IMAGE_MADE, (apr_int64_t)pl->look->deal->created);

    return !(rest && !strcmp(rest, CS_REST_QUALIFIED)) && made && pl->look->record->modified &&
           pl->look->record->modified <= made + SETTLES_WITHIN;
}

/* "Status Reason", and "In Progress" of it, as the state shows it; NULL = it sets nothing else. */
static const char *shown_words(const cs_planning_t *pl, const char *state, const char **pcolumn)
{
    const char *why, *column, *label;
    const cs_shown_t *shown = shown_of(pl, state, pl->row, &why);
    json_t *value;

    json_object_foreach(shown && !shown->call ? shown->set : NULL, column, value) {
        if (!strcmp(column, state_column(pl)) || (*pcolumn && strcmp(column, *pcolumn))) {
            continue;
        }
        *pcolumn = apr_pstrdup(pl->p, column);
        label = cs_label_of_choice(pl->look->metadata, pl->kind->table, column, value);
        return label ? apr_pstrdup(pl->p, label) : cs_value_words(value, pl->p);
    }
    return NULL;
}

const char *cs_state_accept_words(const cs_planning_t *pl, const char **pcolumn)
{
    const char *why, *column, *label;
    const cs_shown_t *shown = shown_of(pl, "Active/Accepted", pl->row, &why);
    json_t *value;

    json_object_foreach(shown && !shown->call ? shown->set : NULL, column, value) {
        label = strcmp(column, state_column(pl))
                    ? cs_label_of_choice(pl->look->metadata, pl->kind->table, column, value)
                    : NULL;
        if (label) {
            *pcolumn = cs_column_label(pl->look->metadata, pl->kind->table,
                                       apr_pstrdup(pl->p, column));
            return apr_pstrdup(pl->p, label);
        }
    }
    return NULL;
}

const char *cs_state_unkept_words(const cs_planning_t *pl)
{
    const char *column = NULL, *label, *waits, *accepted;

    if (pl->state->verdict != CS_VERDICT_NOT_KEPT) {
        return NULL;
    }
    waits = shown_words(pl, "New/Pending", &column);
    if (!waits) {
        return "the record did not stay unanswered; accept in Partner Center";
    }
    accepted = shown_words(pl, "Active/Accepted", &column);
    label = cs_column_label(pl->look->metadata, pl->kind->table, column);
    return apr_psprintf(pl->p, "%s did not stay %s; set it to %s and then to %s to accept", label,
                        waits, waits, accepted ? accepted : "something else");
}

static void not_kept(cs_planning_t *pl)
{
    judge(pl, CS_VERDICT_NOT_KEPT, 1, "");
    pl->state->why = cs_state_unkept_words(pl);
}

static void hear_now(cs_planning_t *pl)
{
    const cs_heard_t *heard = hear_of(pl, pl->pc_now);
    const char *to;

    if (!heard || (pl->terminal && still_open(pl))) {
        judge(pl, CS_VERDICT_EQUAL, 1, NULL);
        return;
    }
    if (accepts(pl, heard) && moved_by_itself(pl)) {
        not_kept(pl);
        return;
    }
    to = heard_state(pl, heard);
    if (!to && pl->state->take) {
        cs_plan_stage(pl, heard);
    }
    if (!to || !has_reason(pl, heard, to) || was_refused(pl, heard) || is_early(pl, heard, to)) {
        return;
    }
    pl->heard = heard;
    cs_plan_stage(pl, heard->sales_stage ? heard : hear_of(pl, to));
    pl->state->value = cs_json_own(json_string(to), pl->p);
    judge(pl, CS_VERDICT_TO_PC, 0,
          apr_psprintf(pl->p, "the record asks for %s", state_words(to, pl->p)));
}

/* ---- both ---- */

/* An existing row met for the first time: it is not accepted, closed or opened, only shown as
 * unanswered or active. */
static void meet_row(cs_planning_t *pl)
{
    const char *why;
    const cs_shown_t *shown = pl->terminal ? NULL : shown_of(pl, pl->pc_now, pl->row, &why);

    if (shown && !shown->call && !shown->unlink && pl->row_state == 0) {
        show_set(pl, shown);
    }
    else {
        judge(pl, CS_VERDICT_EQUAL, 1, "first compared");
    }
}

static void plan_created(cs_planning_t *pl)
{
    const char *why;
    const cs_shown_t *shown = shown_of(pl, pl->pc_now, NULL, &why);

    if (shown && !shown->call && !shown->unlink) {
        pl->state_set = shown->set;
        /* A new row is open by itself, and its state is not valid for create. */
        json_object_del(pl->state_set, state_column(pl));
    }
    judge(pl, CS_VERDICT_TO_CRM, 0, "new record");
    if (accepted_lead(pl)) {
        qualify(pl);
    }
}

/* The row was meant to show an unanswered referral, and never did: nobody has accepted anything. */
static int looks_answered(const cs_planning_t *pl)
{
    const cs_shown_t *shown = cs_state_show(pl->kind, pl->pc_now, pl->look->own, pl->row, pl->p);

    return shown && !shown->call && missing(pl, shown->set) &&
           accepts(pl, hear_of(pl, pl->pc_now));
}

/* Pending to Received is no movement; which kind of closing is. */
static int moved(const char *was, const char *now)
{
    size_t len = strcspn(now, "/");

    if (!was || cs_state_is_terminal(now)) {
        return !was || strcmp(was, now) != 0;
    }
    return strncmp(was, now, len) || (was[len] != '/' && was[len] != '\0');
}

/* What we last wrote and did not see was open: a row that we made or set to wait, and the record
 * that a referral was made of. */
static int was_open(const cs_planning_t *pl)
{
    const cs_deal_t *deal = pl->look->deal;

    return cs_deal_is_ours(deal) ||
           (!pl->first && (cs_intent_creates(deal) || cs_image_side(deal, CS_LINE_STATE, "pc")));
}

/* Who closed it since is a person. */
static const json_t *seen_state(const cs_planning_t *pl, const json_t *now)
{
    const json_t *seen = cs_image_side(pl->look->deal, CS_LINE_STATE, "crm");
    json_t *open;

    if (seen || pl->creating || pl->row_state <= 0 || !now || !was_open(pl)) {
        return seen;
    }
    open = cs_json_own(json_deep_copy(now), pl->p);
    json_object_set_new(open, state_column(pl), json_integer(0));
    return open;
}

/* Columns of which one of them says nothing have not moved: a mapping may ask for others than it
 * did, and what a write made of some is not known when it showed nothing. Of a row with no history
 * at all everything is news. */
static int row_moved(const json_t *seen, const json_t *now)
{
    int known = 0;
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)seen, column, value) {
        const json_t *other = cs_json_get(now, column);

        if (other && !json_equal(value, other)) {
            return 1;
        }
        known |= other != NULL;
    }
    return !known;
}

void cs_plan_state(cs_planning_t *pl)
{
    json_t *now = pl->creating ? NULL : cs_state_columns(pl->kind, pl->row, pl->p);
    const json_t *seen = seen_state(pl, now);
    int meets = pl->first && !cs_deal_arrived(pl->look->deal);
    int ours = meets && cs_deal_is_ours(pl->look->deal);
    /* One that was made of a record begins open. */
    int pc_moved = ours ? pl->terminal : moved(pl->pc_was, pl->pc_now);
    int crm_moved = seen && now && row_moved(seen, now);

    pl->state = apr_pcalloc(pl->p, sizeof(*pl->state));
    pl->state->line = CS_LINE_STATE;
    pl->state->pc = cs_json_own(json_string(pl->pc_now), pl->p);
    pl->state->crm = now;
    pl->state->seen_pc = pl->pc_was ? cs_json_own(json_string(pl->pc_was), pl->p) : NULL;
    pl->state->seen_crm = (json_t *)seen;
    if (pl->creating) {
        plan_created(pl);
    }
    else if (!now || pl->row_state < 0) {
        judge(pl, CS_VERDICT_UNREADABLE, 0, "the CRM did not show its state");
    }
    else if (accepted_lead(pl)) {
        qualify(pl);
    }
    else if (meets && !ours) {
        meet_row(pl);
    }
    else if (pc_moved && led_there(pl)) {
        judge(pl, CS_VERDICT_EQUAL, 1, "both sides went the same way");
    }
    else if (pc_moved && (pl->terminal || !crm_moved || pl->row_state == 0)) {
        show_now(pl);
    }
    else if (crm_moved) {
        hear_now(pl);
    }
    else if (!ours && !pl->terminal && looks_answered(pl)) {
        not_kept(pl);
    }
    else {
        judge(pl, CS_VERDICT_EQUAL, 1, ours ? "the referral was made of this record" : NULL);
    }
    pl->state->value = pl->state->verdict == CS_VERDICT_TO_CRM ? pl->state->pc : pl->state->value;
}
