/* domain/reconcile_tell.c: what the seller reads. (deals 6)
 *
 * A level: a function of the deal's state, written where the record shows something else, never
 * part of the images. Only an audit line carries a time, and one is added only when the status or
 * the problem changes.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "create_internal.h"
#include "tell_internal.h"

#define UNTOLD_MAX 2000 /* what only the status page shows */
#define MORE_UNITS 24   /* room for "; and 9 more" */
#define DATE_LEN 11     /* of "2026-02-02 10:42", so that the hour is left */
#define AWAITED "Partner Center has not answered yet; it is looked for before it is sent again"
#define LABEL_MAX 60 /* of a choice's */
#define CLOSED "Closed; edits stay here"

/* ---- words ---- */

static const cs_line_t *line_of(const cs_planning_t *pl, const char *name)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);

        if (!strcmp(line->name, name)) {
            return line;
        }
    }
    return NULL;
}

/* "Account > Country": a column in the words of the CRM's forms. */
const char *cs_column_words(const cs_planning_t *pl, const cs_column_t *column)
{
    const json_t *metadata = pl->look->metadata, *targets;
    const char *table = pl->kind->table, *label, *target;

    label = cs_column_label(metadata, table, column->name);
    if (!column->of) {
        return label;
    }
    targets = cs_json_get(
        cs_json_get(cs_json_get(cs_json_get(cs_json_get(metadata, "tables"), table), "columns"),
                    column->name),
        "targets");
    target = json_string_value(json_array_get(targets, 0));
    return apr_pstrcat(pl->p, label, " \xe2\x80\xba ",
                       cs_column_label(metadata, target ? target : table, column->of), NULL);
}

/* What the seller calls the line: the column's label, or the list's item. */
static const char *line_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const cs_line_t *line = line_of(pl, view->line);
    const cs_list_t *list = line ? NULL : cs_list_of_line(pl->kind, view->line);

    if (list) {
        return cs_list_words(list, view, pl->p);
    }
    return line && line->crm && line->crm->text && pl->look->metadata
               ? cs_column_words(pl, line->crm)
               : view->line;
}

/* ---- values in words ---- */

/* A choice or a flag as the CRM's forms call it; NULL = they do not say. */
static const char *choice_words(const cs_planning_t *pl, const cs_line_t *line, const json_t *value)
{
    return value && line->crm && !line->crm->of
               ? cs_label_of_choice(pl->look->metadata, pl->kind->table, line->crm->name, value)
               : NULL;
}

/* What a row is found by: "Contoso, 10115". */
static const char *key_words(const json_t *key, apr_pool_t *p)
{
    const char *name, *out = NULL;
    json_t *value;

    json_object_foreach((json_t *)key, name, value) {
        const char *text = strcmp(name, "id") ? cs_scalar_text(value, p) : NULL;

        if (text) {
            out = out ? apr_pstrcat(p, out, ", ", text, NULL) : text;
        }
    }
    return out ? cs_value_words(cs_json_own(json_string(out), p), p) : cs_value_words(key, p);
}

/* One side's value of a line. */
static const char *side_words(const cs_planning_t *pl, const cs_line_view_t *view, int at_pc)
{
    const cs_line_t *line = line_of(pl, view->line);
    const json_t *value = at_pc ? view->pc : view->crm;
    const char *words = NULL;
    cs_conv_t conv;

    if (line && json_is_object(value) && line->type == CS_TYPE_LOOKUP) {
        return key_words(value, pl->p);
    }
    if (!line || !value || (line->type != CS_TYPE_CHOICE && line->type != CS_TYPE_FLAG)) {
        return cs_value_words(value, pl->p);
    }
    if (at_pc && line->values) {
        cs_line_to_crm(&conv, line, &pl->table, value, pl->p);
        if (conv.what == CS_CONV_OK && json_is_null(conv.value)) {
            return cs_value_words(conv.value, pl->p); /* nothing was chosen */
        }
        words = conv.what == CS_CONV_OK ? choice_words(pl, line, conv.value) : NULL;
    }
    else {
        words = choice_words(pl, line, value);
    }
    return words ? words : cs_value_words(value, pl->p);
}

/* "Partner Center USD 5, here USD 6" */
static const char *both_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const char *there = side_words(pl, view, 1), *here = side_words(pl, view, 0);

    if (!strcmp(there, here) && json_is_string(view->pc) && json_is_string(view->crm)) {
        there = cs_difference_words(view->pc, view->crm, pl->p);
        here = cs_difference_words(view->crm, view->pc, pl->p);
    }
    return apr_psprintf(pl->p, "Partner Center %s, here %s", there, here);
}

/* ---- status ---- */

/* Edited here, and a rule keeps the edit from travelling. What a condition keeps back is as the
 * mapping's author wants it. */
static int not_sent(const cs_line_t *line, const cs_line_view_t *view)
{
    return !line->off && !line->when && !line->to_pc.when && !view->rest && view->pc && view->crm &&
           view->seen_pc && view->seen_crm && cs_line_unchanged(line, view->seen_pc, view->pc) &&
           !cs_line_unchanged(line, view->seen_crm, view->crm);
}

/* The last of a list, which one side keeps. */
static const char *least_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    return apr_psprintf(pl->p, "%s stays %s: at least %d %s needed",
                        cs_text_capital(line_words(pl, view), pl->p),
                        json_is_object(view->pc) ? "in Partner Center" : "here", view->least,
                        view->least == 1 ? "is" : "are");
}

/* Partner Center's value has moved and nobody can see what it would be written over: a column that
 * we may not read, or that is not there. */
static int is_blind(const cs_line_t *line, const cs_line_view_t *view)
{
    return line && line->to_crm.on && !line->off && view->pc && !view->crm &&
           (view->seen_pc ? !cs_line_unchanged(line, view->seen_pc, view->pc)
                          : !cs_value_empty(view->pc));
}

/* Lines whose difference the seller can do something about. */
static const char *lasting(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const cs_line_t *line = line_of(pl, view->line);
    int both = line && line->to_pc.on && line->to_crm.on;
    const char *words = line_words(pl, view);

    switch (view->verdict) {
    case CS_VERDICT_REFUSED:
        return apr_psprintf(pl->p, "%s: %s", words, view->why);
    case CS_VERDICT_LATCHED:
        /* What this look restores is no difference any more. */
        return view->to_crm || view->to_pc ? NULL
                                           : apr_psprintf(pl->p, "%s cannot be taken back: %s",
                                                          words, both_words(pl, view));
    case CS_VERDICT_ONE_WAY:
        if (both && view->rest && !strcmp(view->rest, CS_REST_CUT)) {
            return apr_psprintf(pl->p,
                                "%s: Partner Center's text is too long for here; what is written "
                                "here stays here",
                                words);
        }
        return both ? apr_psprintf(pl->p, "%s cannot change in Partner Center; stays %s", words,
                                   side_words(pl, view, 1))
                    : NULL;
    case CS_VERDICT_SKIPPED:
        if (both && not_sent(line, view)) {
            return apr_psprintf(pl->p, "%s stays %s in Partner Center: %s", words,
                                side_words(pl, view, 1), view->why);
        }
        return both && view->rest ? apr_psprintf(pl->p, "%s: %s; retype the right one", words,
                                                 both_words(pl, view))
                                  : NULL;
    case CS_VERDICT_STAYS:
        return view->least ? least_words(pl, view) : NULL;
    case CS_VERDICT_UNREADABLE:
        return is_blind(line, view)
                   ? apr_psprintf(pl->p,
                                  "%s cannot be read here, so that Partner Center's %s is not "
                                  "written",
                                  words, side_words(pl, view, 1))
                   : NULL;
    default:
        return NULL;
    }
}

/* What the seller has to know, worst first; each is a text about one line. */
typedef struct news_t {
    apr_array_header_t *conflicts, *waits, *lasts; /* const char * */
} news_t;

static void note(apr_array_header_t *texts, const char *text)
{
    if (text) {
        APR_ARRAY_PUSH(texts, const char *) = text;
    }
}

static const char *conflict_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    return apr_psprintf(pl->p, "Conflict in %s: %s; retype the right one", line_words(pl, view),
                        both_words(pl, view));
}

/* Why the CRM refused this very value when it was last sent: it is sent again, and until that has
 * worked it is refused. */
static const char *was_refused(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const json_t *refused = cs_json_get(cs_json_get(pl->look->deal->images, view->line), "refused");
    const json_t *pc = cs_json_get(refused, "pc");

    return refused && view->pc && (!pc || json_equal(pc, view->pc)) ? cs_json_str(refused, "why")
                                                                    : NULL;
}

/* The same of Partner Center. */
static const char *was_refused_there(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const json_t *refused = cs_json_get(cs_json_get(pl->look->deal->images, view->line), "refused");
    const json_t *crm = cs_json_get(refused, "crm");

    return crm && view->crm && json_equal(crm, view->crm) ? cs_json_str(refused, "why") : NULL;
}

/* Where the referral is once this look has sent what the record asks for. */
static const char *state_next(const cs_planning_t *pl)
{
    return pl->heard && !pl->say ? json_string_value(pl->state->value) : pl->pc_now;
}

/* Of what differs, that which is in the deal's way. */
static void cause_of_rest(cs_planning_t *pl, const cs_line_view_t *view)
{
    if (view->verdict == CS_VERDICT_REFUSED) {
        cs_plan_cause_line(pl, view, "refused", line_words(pl, view), " cannot travel as it is");
    }
    else if (view->verdict == CS_VERDICT_UNREADABLE && is_blind(line_of(pl, view->line), view)) {
        cs_plan_cause_line(pl, view, "unreadable", line_words(pl, view),
                           " cannot be read in the CRM");
    }
}

static void read_line(cs_planning_t *pl, const cs_line_view_t *view, news_t *news)
{
    const char *waits = cs_image_waits(pl->look->deal, view->line, view->pc);
    const cs_list_t *list = waits ? cs_list_of_line(pl->kind, view->line) : NULL;

    if (view->verdict == CS_VERDICT_TO_CRM && list && list->find &&
        list->find->none == CS_NONE_SKIP) {
        return; /* the CRM need not have it */
    }
    if (view->verdict == CS_VERDICT_TO_CRM && waits) {
        /* Tried again, but until that has worked it waits. */
        note(news->waits, apr_psprintf(pl->p, "Waiting for %s: %s", line_words(pl, view), waits));
        cs_plan_cause_line(pl, view, "waits", line_words(pl, view),
                           " names what is not in the CRM");
    }
    else if (view->verdict == CS_VERDICT_TO_CRM && was_refused(pl, view)) {
        note(news->lasts, apr_psprintf(pl->p, "%s: was refused by the CRM: %s",
                                       line_words(pl, view), was_refused(pl, view)));
        cs_plan_cause_line(pl, view, "refused", line_words(pl, view), " is refused by the CRM");
    }
    else if (view->to_pc && was_refused_there(pl, view)) {
        note(news->lasts, apr_psprintf(pl->p, "%s: was refused by Partner Center: %s",
                                       line_words(pl, view), was_refused_there(pl, view)));
        cs_plan_cause_line(pl, view, "refused-there", line_words(pl, view),
                           " is refused by Partner Center");
    }
    else if (view->verdict == CS_VERDICT_HELD && view->rest) {
        note(news->conflicts, conflict_words(pl, view));
        cs_plan_cause_line(pl, view, "conflict", line_words(pl, view),
                           " was changed on both sides");
    }
    else if (view->verdict == CS_VERDICT_HELD && pl->say && !strcmp(view->line, CS_LINE_STATE)) {
        return; /* is what is said of the whole record */
    }
    else if (view->verdict == CS_VERDICT_HELD) {
        note(news->waits,
             apr_psprintf(pl->p, "Waiting for %s: %s", line_words(pl, view), view->why));
        cs_plan_cause_line(pl, view, "waits", line_words(pl, view),
                           " has no value that can be used");
    }
    else if (strcmp(view->line, CS_LINE_STATE)) {
        note(news->lasts, lasting(pl, view));
        cause_of_rest(pl, view);
    }
}

static void read_lines(cs_planning_t *pl, news_t *news)
{
    int i;

    news->conflicts = apr_array_make(pl->ptemp, 2, sizeof(const char *));
    news->waits = apr_array_make(pl->ptemp, 2, sizeof(const char *));
    news->lasts = apr_array_make(pl->ptemp, 2, sizeof(const char *));
    for (i = 0; i < pl->plan->lines->nelts; i++) {
        read_line(pl, APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *), news);
    }
}

/* The mapping's bound; a column that is known to take more takes it unless the bound was narrower
 * than what is assumed of an unknown column. */
int cs_tell_max(const cs_planning_t *pl, const char *column, int max)
{
    int known = column ? cs_column_max(pl->look->metadata, pl->kind->table, column) : UNTOLD_MAX;

    return known > 0 && (known < max || max == CS_TOLD_MAX) ? known : max;
}

/* All of it, as far as the column takes whole texts. */
static const char *all_words(const cs_planning_t *pl, const char *say, const news_t *news)
{
    apr_array_header_t *texts = apr_array_make(pl->ptemp, 4, sizeof(const char *));
    const char *out = NULL, *next;
    int max = cs_tell_max(pl, pl->kind->tell.problem, pl->kind->tell.problem_max), i;

    apr_array_cat(texts, news->conflicts);
    note(texts, say);
    apr_array_cat(texts, news->waits);
    apr_array_cat(texts, news->lasts);
    for (i = 0; i < texts->nelts; i++) {
        const char *text = APR_ARRAY_IDX(texts, i, const char *);
        int left = texts->nelts - i;

        if (!out && left > 1 && cs_text_units(text) + MORE_UNITS > max && max > 2 * MORE_UNITS) {
            text = apr_pstrcat(pl->p, cs_text_head(text, max - MORE_UNITS - 3, pl->p), "...", NULL);
        }
        next = out ? apr_pstrcat(pl->p, out, "; ", text, NULL) : text;
        if (out && cs_text_units(next) + MORE_UNITS > max) {
            return apr_psprintf(pl->p, "%s; and %d more", out, left);
        }
        out = next;
    }
    return out;
}

/* The columns whose change accepts: those that `show` sets while the referral is unanswered. */
static const char *answer_column(const cs_planning_t *pl)
{
    const cs_shown_t *shown =
        cs_state_show(pl->kind, "New", pl->look->own, pl->creating ? NULL : pl->row, pl->ptemp);
    void *first = shown && !shown->call ? json_object_iter(shown->set) : NULL;

    return first ? cs_column_label(pl->look->metadata, pl->kind->table,
                                   apr_pstrdup(pl->p, json_object_iter_key(first)))
                 : NULL;
}

/* 1 when a record that is closed as lost declines the referral. */
static int hears_decline(const cs_mapping_kind_t *kind)
{
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        const cs_hear_t *hear = &APR_ARRAY_IDX(kind->hear, i, cs_hear_t);

        if (!strncmp(hear->pc, "New", 3) && hear->actions->nelts &&
            !strcmp(APR_ARRAY_IDX(hear->actions, 0, const char *), "decline")) {
            return 1;
        }
    }
    return 0;
}

/* "set Status Reason to In Progress to accept, close as lost to decline"; NULL = it is answered
 * elsewhere. */
static const char *answer_words(const cs_planning_t *pl)
{
    const char *column = answer_column(pl), *value, *how;

    if (!column || !pl->look->metadata || pl->kind->becomes || cs_state_unkept_words(pl)) {
        return NULL;
    }
    value = cs_state_accept_words(pl, &column);
    how = value ? apr_psprintf(pl->p, "set %s to %s to accept", column,
                               cs_text_head(value, LABEL_MAX, pl->p))
                : apr_psprintf(pl->p, "change %s to accept", column);
    return hears_decline(pl->kind) ? apr_pstrcat(pl->p, how, ", close as lost to decline", NULL)
                                   : how;
}

/* "Expires Mon 3 Mar; set Status Reason to In Progress to accept" */
static const char *unanswered_words(const cs_planning_t *pl)
{
    const char *expires = cs_json_str(pl->doc, "expirationDateTime"), *how = answer_words(pl);
    apr_time_t at = 0;
    const char *when = expires && cs_time_parse(&at, expires) == APR_SUCCESS
                           ? apr_pstrcat(pl->p, "Expires ", cs_time_format_day(at, pl->p), NULL)
                           : NULL;

    return when && how ? apr_pstrcat(pl->p, when, "; ", how, NULL) : when ? when : how;
}

/* Before what only differs. */
static void put_first(news_t *news, const char *text)
{
    apr_array_header_t *lasts = news->lasts;

    if (text) {
        news->lasts = apr_array_make(lasts->pool, lasts->nelts + 1, sizeof(const char *));
        note(news->lasts, text);
        apr_array_cat(news->lasts, lasts);
    }
}

/* A record without a referral. */
static void create_status(cs_planning_t *pl)
{
    const cs_making_t *m = pl->making;
    cs_plan_t *plan = pl->plan;

    plan->problem = NULL;
    switch (m->what) {
    case CS_MAKING_PAUSED:
        plan->status = "Paused";
        plan->problem = "Switched off before it was sent; Partner Center has nothing of it";
        break;
    case CS_MAKING_WAITS:
        plan->status = "Waiting";
        plan->problem = cs_create_words(pl, m);
        break;
    case CS_MAKING_QUIET:
        plan->status = "Sending";
        plan->problem = apr_pstrcat(pl->p, "Sends at ",
                                    cs_time_format_minute(m->due, pl->p) + DATE_LEN, " UTC", NULL);
        break;
    case CS_MAKING_REFUSED:
        plan->status = "Needs you";
        plan->problem = cs_create_refused_words(m->why, pl->p);
        break;
    default:
        plan->status = "Sending";
        plan->problem = AWAITED;
        break;
    }
}

/* A deal that Microsoft is asked into. 1 = its answer is awaited. */
static int connect_news(const cs_planning_t *pl, news_t *news)
{
    const cs_making_t *m = pl->making;

    if (!m || !m->connected) {
        return 0;
    }
    switch (m->what) {
    case CS_MAKING_WAITS:
        note(news->waits, cs_create_words(pl, m));
        return 0;
    case CS_MAKING_REFUSED:
        note(news->conflicts,
             apr_pstrcat(pl->p, "In Partner Center, not yet with Microsoft: ", m->why, NULL));
        return 0;
    case CS_MAKING_AWAITS:
    case CS_MAKING_FIND:
        note(news->lasts, "Microsoft is invited; " AWAITED);
        return 1;
    default:
        note(news->lasts, m->why);
        return 0;
    }
}

/* The seller switched it off, or it is held: neither side follows the other. */
static void paused_status(cs_planning_t *pl)
{
    const char *kind = pl->world.kind;
    int seen = !strcmp(kind, "co-sell") || !strcmp(kind, "partner-led");

    pl->plan->status = "Paused";
    if (pl->look->held) {
        pl->plan->problem = pl->look->held;
        return;
    }
    pl->plan->problem = pl->terminal
                            ? "Switched off here: nothing is copied; the referral is closed"
                        : seen ? "Switched off here: nothing is copied, and Microsoft still sees "
                                 "the deal"
                               : "Switched off here: nothing is copied, and Partner Center still "
                                 "has the deal";
}

static void closed_status(cs_planning_t *pl)
{
    cs_plan_t *plan = pl->plan;

    plan->status = "Closed";
    plan->problem =
        pl->say ? apr_psprintf(pl->p, "%s: Partner Center stays %s", pl->say, pl->pc_now)
        : pl->unlink
            ? "Partner Center closed the referral as an error; this record goes on without it"
            : CLOSED;
}

/* awaits: an answer of Partner Center's. */
static void open_status(cs_planning_t *pl, news_t *news, int is_new, int awaits)
{
    cs_plan_t *plan = pl->plan;

    put_first(news, cs_state_unkept_words(pl));
    plan->problem = all_words(pl, pl->say, news);
    if (news->conflicts->nelts || pl->say) {
        plan->status = "Needs you";
    }
    else if (news->waits->nelts) {
        plan->status = "Waiting";
    }
    else if (pl->later) {
        plan->status = "Sending";
        put_first(news, pl->later);
        plan->problem = all_words(pl, NULL, news);
    }
    else if (is_new) {
        plan->status = "Not accepted";
        put_first(news, unanswered_words(pl));
        plan->problem = all_words(pl, NULL, news);
    }
    else {
        plan->problem = all_words(pl, NULL, news);
        plan->status = awaits ? "Sending" : news->lasts->nelts ? "In sync, not all" : "In sync";
    }
}

static void decide_status(cs_planning_t *pl)
{
    const char *next = state_next(pl);
    int awaits, is_new;
    news_t news;

    cs_plan_no_causes(pl->plan, pl->p);
    if (pl->making && !pl->look->own) {
        create_status(pl);
        cs_plan_causes_create(pl);
        return;
    }
    if (pl->paused) {
        paused_status(pl);
        if (pl->look->held) {
            cs_plan_cause(pl, "held", NULL, "Held: somebody else writes against it");
        }
        return;
    }
    read_lines(pl, &news);
    awaits = connect_news(pl, &news);
    is_new = !strncmp(next, "New", 3);
    if (cs_state_is_terminal(next)) {
        cs_plan_no_causes(pl->plan, pl->p);
        closed_status(pl);
        return;
    }
    if (pl->making && pl->making->connected) {
        cs_plan_causes_create(pl);
    }
    if (pl->say) {
        cs_plan_cause(pl, "state", NULL, "The record's state asks for what may not be sent");
    }
    if (is_new) {
        cs_plan_cause_expires(pl);
    }
    open_status(pl, &news, is_new, awaits);
}

/* ---- audit ---- */

int cs_tell_differs(const char *a, const char *b)
{
    return !a || !b ? a != b : strcmp(a, b) != 0;
}

static const char *audit_text(const cs_planning_t *pl)
{
    const cs_plan_t *plan = pl->plan;
    const char *next = state_next(pl);
    const char *sub = cs_state_is_terminal(next) ? strchr(next, '/') : NULL;
    const char *problem = plan->problem && strcmp(plan->problem, CLOSED) ? plan->problem : NULL;

    if (problem && !strncmp(problem, plan->status, strlen(plan->status))) {
        return problem; /* "Waiting for: Account" says that it waits */
    }
    return apr_pstrcat(pl->p, plan->status, sub ? " (" : "", sub ? sub + 1 : "", sub ? ")" : "",
                       problem ? ": " : "", problem ? problem : "", NULL);
}

/* Newest first, whole lines while they fit. */
const char *cs_tell_join(const json_t *audit, int max, apr_pool_t *p)
{
    const char *out = "";
    size_t i;

    for (i = 0; i < json_array_size(audit); i++) {
        const char *line = json_string_value(json_array_get(audit, i));
        const char *next = apr_pstrcat(p, out, i ? "\n" : "", line, NULL);

        if (cs_text_units(next) > max) {
            return i ? out : cs_text_head(next, max, p);
        }
        out = next;
    }
    return out;
}

const char *cs_tell_shown(const cs_planning_t *pl, const char *column)
{
    const char *text = column && !pl->creating ? cs_json_str(pl->row, column) : NULL;

    text = text ? cs_text_canonical(text, pl->p) : NULL;
    return text;
}

/* The audit with its first line replaced by the one the record shows. */
static json_t *with_shown_line(const json_t *audit, const char *shown, apr_pool_t *p)
{
    json_t *other = cs_json_own(json_deep_copy(audit), p);

    json_array_set_new(other, 0, json_stringn(shown, strcspn(shown, "\n")));
    return other;
}

/* A line that a crashed look already wrote keeps the minute it was written with. */
static json_t *with_line(const cs_planning_t *pl, const json_t *old, const char *text)
{
    const cs_tell_t *tell = &pl->kind->tell;
    const char *shown = cs_tell_shown(pl, tell->audit);
    const char *minute = cs_time_format_minute(pl->look->now, pl->p);
    const char *tail = apr_pstrcat(pl->p, " - ", text, NULL);
    json_t *audit = cs_json_own(json_array(), pl->p), *other;
    size_t i;

    json_array_append_new(audit, json_string(apr_pstrcat(pl->p, minute, tail, NULL)));
    for (i = 0; i < json_array_size(old) && i + 1 < (size_t)tell->audit_keep; i++) {
        json_array_append_new(audit, json_deep_copy(json_array_get(old, i)));
    }
    if (!shown || strlen(shown) < strlen(minute) ||
        strncmp(shown + strlen(minute), tail, strlen(tail))) {
        return audit;
    }
    other = with_shown_line(audit, shown, pl->p);
    return strcmp(cs_tell_join(other, tell->audit_max, pl->p), shown) ? audit : other;
}

/* The same without the words of the CRM's forms. While those cannot be read, a text that says
 * nothing else stays as it is. */
static void decide_words(cs_planning_t *pl)
{
    const cs_deal_t *deal = pl->look->deal;
    const char *was = cs_json_str(deal->told, "plain"), *plain;
    cs_look_t unlabelled = *pl->look;
    const cs_look_t *look = pl->look;

    unlabelled.metadata = NULL;
    pl->look = &unlabelled;
    decide_status(pl);
    pl->look = look;
    plain = pl->plan->problem;
    if (look->metadata) {
        decide_status(pl);
    }
    else if (plain && was && !strcmp(was, plain) && deal->problem && deal->status &&
             !strcmp(deal->status, pl->plan->status)) {
        pl->plan->problem = deal->problem;
    }
    pl->plan->told =
        cs_json_own(json_is_object(deal->told) ? json_deep_copy(deal->told) : json_object(), pl->p);
    if (plain && pl->plan->problem && strcmp(plain, pl->plan->problem)) {
        json_object_set_new(pl->plan->told, "plain", json_string(plain));
    }
    else {
        json_object_del(pl->plan->told, "plain");
    }
}

/* "Referral visibility stays on: once set, it cannot be taken back" */
static const char *restored_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const char *words = side_words(pl, view, view->to_crm);

    return apr_psprintf(pl->p, "%s stays %s: once set, it cannot be taken back",
                        line_words(pl, view), strcmp(words, "true") ? words : "on");
}

/* What this look sets again is seen nowhere afterwards: the audit alone keeps it. */
static const json_t *audit_restored(cs_planning_t *pl, const json_t *audit)
{
    int i;

    for (i = 0; i < pl->plan->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *);

        if (view->verdict == CS_VERDICT_LATCHED && (view->to_crm || view->to_pc)) {
            audit = with_line(pl, audit, restored_words(pl, view));
            json_object_set(pl->plan->told, "audit", (json_t *)audit);
        }
    }
    return audit;
}

void cs_plan_tell(cs_planning_t *pl)
{
    const cs_deal_t *deal = pl->look->deal;
    cs_plan_t *plan = pl->plan;
    const json_t *old;

    decide_words(pl);
    old = audit_restored(pl, cs_json_get(deal->told, "audit"));
    /* That something is about to be sent is no event: it moves with every edit. */
    if (strcmp(plan->status, "Sending") && (cs_tell_differs(plan->status, deal->status) ||
                                            cs_tell_differs(plan->problem, deal->problem))) {
        json_object_set(plan->told, "audit", with_line(pl, old, audit_text(pl)));
    }
}
