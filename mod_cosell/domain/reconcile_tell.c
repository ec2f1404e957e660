/* domain/reconcile_tell.c: what the seller reads. (deals 6)
 *
 * A level: a function of the deal's state, written where the record shows something else, never
 * part of the images. Only an audit line carries a time, and one is added only when the status or
 * the problem changes.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "reconcile_internal.h"

/* ---- status ---- */

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

/* Lines whose difference the seller can do something about. */
static const char *lasting(const cs_planning_t *pl, const cs_line_view_t *view)
{
    const cs_line_t *line = line_of(pl, view->line);
    int both = line && line->to_pc.on && line->to_crm.on;

    switch (view->verdict) {
    case CS_VERDICT_REFUSED:
        return apr_psprintf(pl->p, "%s %s", view->line, view->why);
    case CS_VERDICT_ONE_WAY:
        return both ? apr_psprintf(pl->p, "%s cannot change in Partner Center; stays %s",
                                   view->line, cs_value_words(view->pc, pl->p))
                    : NULL;
    case CS_VERDICT_TO_PC:
        return both ? apr_psprintf(
                          pl->p, "%s stays %s in Partner Center; this version does not write there",
                          view->line, cs_value_words(view->pc, pl->p))
                    : NULL;
    case CS_VERDICT_SKIPPED:
        return both && view->rest
                   ? apr_psprintf(pl->p, "%s: Partner Center %s, here %s; retype the right one",
                                  view->line, cs_value_words(view->pc, pl->p),
                                  cs_value_words(view->crm, pl->p))
                   : NULL;
    default:
        return NULL;
    }
}

typedef struct news_t {
    const char *conflict, *waits, *lasts; /* the first of each; NULL = none */
    int conflicts, waiting, lasting;
} news_t;

static void note(const char **pfirst, int *pcount, const char *text)
{
    if (text && ++*pcount == 1) {
        *pfirst = text;
    }
}

static const char *conflict_words(const cs_planning_t *pl, const cs_line_view_t *view)
{
    return apr_psprintf(pl->p, "Conflict in %s: Partner Center %s, here %s; retype the right one",
                        view->line, cs_value_words(view->pc, pl->p),
                        cs_value_words(view->crm, pl->p));
}

static void read_line(const cs_planning_t *pl, const cs_line_view_t *view, news_t *news)
{
    const char *waits = cs_image_waits(pl->look->deal, view->line, view->pc);

    if (view->verdict == CS_VERDICT_TO_CRM && waits) {
        /* Tried again, but until that has worked it waits. */
        note(&news->waits, &news->waiting,
             apr_psprintf(pl->p, "Waiting for %s: %s", view->line, waits));
    }
    else if (view->verdict == CS_VERDICT_HELD && view->rest) {
        note(&news->conflict, &news->conflicts, conflict_words(pl, view));
    }
    else if (view->verdict == CS_VERDICT_HELD) {
        note(&news->waits, &news->waiting,
             apr_psprintf(pl->p, "Waiting for %s: %s", view->line, view->why));
    }
    else if (strcmp(view->line, CS_LINE_STATE)) {
        note(&news->lasts, &news->lasting, lasting(pl, view));
    }
}

static void read_lines(const cs_planning_t *pl, news_t *news)
{
    int i;

    memset(news, 0, sizeof(*news));
    for (i = 0; i < pl->plan->lines->nelts; i++) {
        read_line(pl, APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *), news);
    }
}

static const char *and_more(const cs_planning_t *pl, const char *text, int count)
{
    return text && count > 1 ? apr_psprintf(pl->p, "%s; and %d more", text, count - 1) : text;
}

static void decide_status(cs_planning_t *pl)
{
    cs_plan_t *plan = pl->plan;
    news_t news;

    read_lines(pl, &news);
    if (pl->terminal) {
        plan->status = "Closed";
        plan->problem =
            pl->say ? apr_psprintf(pl->p, "%s: Partner Center stays %s", pl->say, pl->pc_now)
                    : NULL;
        return;
    }
    plan->problem = and_more(pl, news.lasts, news.lasting);
    if (news.conflicts) {
        plan->status = "Needs you";
        plan->problem = and_more(pl, news.conflict, news.conflicts);
    }
    else if (pl->say) {
        plan->status = "Needs you";
        plan->problem = pl->say;
    }
    else if (news.waiting) {
        plan->status = "Waiting";
        plan->problem = and_more(pl, news.waits, news.waiting);
    }
    else if (!strncmp(pl->pc_now, "New", 3)) {
        plan->status = "Not accepted";
    }
    else {
        plan->status = news.lasts ? "In sync, not all" : "In sync";
    }
}

/* ---- audit ---- */

static int differs(const char *a, const char *b)
{
    return !a || !b ? a != b : strcmp(a, b) != 0;
}

static const char *audit_text(const cs_planning_t *pl)
{
    const cs_plan_t *plan = pl->plan;
    const char *sub = pl->terminal ? strchr(pl->pc_now, '/') : NULL;

    return apr_pstrcat(pl->p, plan->status, sub ? " (" : "", sub ? sub + 1 : "", sub ? ")" : "",
                       plan->problem ? ": " : "", plan->problem ? plan->problem : "", NULL);
}

/* Newest first, whole lines while they fit. */
static const char *join(const json_t *audit, int max, apr_pool_t *p)
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

static const char *shown_text(const cs_planning_t *pl, const char *column)
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
    const char *shown = shown_text(pl, tell->audit);
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
    return strcmp(join(other, tell->audit_max, pl->p), shown) ? audit : other;
}

void cs_plan_tell(cs_planning_t *pl)
{
    const cs_deal_t *deal = pl->look->deal;
    cs_plan_t *plan = pl->plan;
    const json_t *old = cs_json_get(deal->told, "audit");

    decide_status(pl);
    plan->told = json_is_object(deal->told) ? json_deep_copy(deal->told) : json_object();
    cs_json_own(plan->told, pl->p);
    if (differs(plan->status, deal->status) || differs(plan->problem, deal->problem)) {
        json_object_set(plan->told, "audit", with_line(pl, old, audit_text(pl)));
    }
}

/* ---- columns ---- */

static void tell_column(const cs_planning_t *pl, json_t *columns, const char *column,
                        const char *text)
{
    const json_t *kept = column ? cs_json_get(cs_json_get(pl->plan->told, "kept"), column) : NULL;
    const char *shown = shown_text(pl, column),
               *canonical = text ? cs_text_canonical(text, pl->p) : NULL;

    if (!column || (!pl->creating && !cs_json_get(pl->row, column))) {
        return; /* not told, or not readable: then nobody knows whether it differs */
    }
    if (!differs(canonical, shown)) {
        return;
    }
    if (kept && !differs(cs_json_str(kept, "wrote"), canonical) &&
        !differs(cs_json_str(kept, "read"), shown)) {
        return; /* the CRM does not keep it as written; the same again would end the same */
    }
    json_object_set_new(columns, column, canonical ? json_string(canonical) : json_null());
}

static const char *link_text(const cs_planning_t *pl, const char *id)
{
    const char *text = pl->kind->tell.link_text, *at = text ? strstr(text, "{id}") : NULL;

    return at ? apr_pstrcat(pl->p, apr_pstrmemdup(pl->p, text, (apr_size_t)(at - text)), id, at + 4,
                            NULL)
              : text;
}

void cs_tell_columns(const cs_planning_t *pl, json_t *columns)
{
    const cs_tell_t *tell = &pl->kind->tell;
    const cs_plan_t *plan = pl->plan;
    const char *id = pl->look->own->id;

    tell_column(pl, columns, tell->id, id);
    tell_column(pl, columns, tell->link, link_text(pl, id));
    tell_column(pl, columns, tell->status, cs_text_head(plan->status, tell->status_max, pl->p));
    tell_column(pl, columns, tell->problem,
                plan->problem ? cs_text_head(plan->problem, tell->problem_max, pl->p) : NULL);
    tell_column(pl, columns, tell->audit,
                join(cs_json_get(plan->told, "audit"), tell->audit_max, pl->p));
}

void cs_tell_keep(json_t *told, const cs_mapping_kind_t *kind, const json_t *wrote,
                  const json_t *after, apr_pool_t *ptemp)
{
    const char *columns[] = {kind->tell.id, kind->tell.link, kind->tell.status, kind->tell.problem,
                             kind->tell.audit};
    json_t *kept = cs_json_get(told, "kept");
    size_t i;

    if (!json_is_object(kept)) {
        kept = json_object();
        json_object_set_new(told, "kept", kept);
    }
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        const char *meant = columns[i] ? cs_json_str(wrote, columns[i]) : NULL;
        const json_t *value = columns[i] ? cs_json_get(after, columns[i]) : NULL;
        const char *shown;

        if (!columns[i] || !cs_json_get(wrote, columns[i]) || !value) {
            continue;
        }
        shown = json_is_string(value) ? cs_text_canonical(json_string_value(value), ptemp) : NULL;
        if (differs(meant, shown)) {
            json_object_set_new(kept, columns[i],
                                json_pack("{s:s?,s:s?}", "wrote", meant, "read", shown));
        }
        else {
            json_object_del(kept, columns[i]);
        }
    }
    if (json_object_size(kept) == 0) {
        json_object_del(told, "kept");
    }
}
