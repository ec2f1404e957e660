/* domain/tell_columns.c: the columns that the seller reads, where they differ, and the mark before
 * the name. (deals 6)
 *
 * A text is compared with what the record shows. What the CRM made of one it was given is
 * remembered, so that the same is not written for ever.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "tell_internal.h"

#define SHOWN_MARK                                                                                 \
    "$mark" /* in an unmarked row: the mark it shows; in "kept": what became of one */

/* The CRM makes `shown` of this very text. What a write that showed nothing, or was refused, left
 * behind is seen now. */
static int is_kept(json_t *kept, const char *text, const char *shown)
{
    if (!kept || cs_tell_differs(cs_json_str(kept, "wrote"), text)) {
        return 0;
    }
    if (!cs_json_get(kept, "read")) {
        json_object_set_new(kept, "read", shown ? json_string(shown) : json_null());
    }
    return !cs_tell_differs(cs_json_str(kept, "read"), shown);
}

static void tell_column(const cs_planning_t *pl, json_t *columns, const char *column,
                        const char *text)
{
    json_t *kept = column ? cs_json_get(cs_json_get(pl->plan->told, "kept"), column) : NULL;
    const char *shown = cs_tell_shown(pl, column),
               *canonical = text ? cs_text_canonical(text, pl->p) : NULL;

    if (!column || (!pl->creating && !cs_json_get(pl->row, column))) {
        return; /* not told, or not readable: then nobody knows whether it differs */
    }
    if (!cs_tell_differs(canonical, shown)) {
        if (kept) {
            /* It was kept after all: what it shows later is somebody else's doing. */
            json_object_del(cs_json_get(pl->plan->told, "kept"), column);
        }
        return;
    }
    if (is_kept(kept, canonical, shown)) {
        return; /* the CRM does not keep it as written; the same again would end the same */
    }
    json_object_set_new(columns, column, canonical ? json_string(canonical) : json_null());
}

/* text with the first `name` in it replaced. */
static const char *filled(const cs_planning_t *pl, const char *text, const char *name,
                          const char *value)
{
    const char *at = text && value ? strstr(text, name) : NULL;

    return at ? apr_pstrcat(pl->p, apr_pstrmemdup(pl->p, text, (apr_size_t)(at - text)), value,
                            at + strlen(name), NULL)
              : text;
}

static const char *explain_text(const cs_planning_t *pl, const char *id)
{
    const char *text = pl->kind->tell.explain_text;
    const char *deal = apr_psprintf(pl->p, "%" APR_INT64_T_FMT, pl->look->deal->id);

    return text ? filled(pl, filled(pl, text, "{id}", id), "{deal}", deal) : pl->look->explain_url;
}

/* ---- the mark before the name ---- */

static int begins(const char *text, const char *mark)
{
    return text && mark && *mark && !strncmp(text, mark, strlen(mark));
}

/* A seller may have copied the name, mark and all: every mark in front goes. */
static const char *after_marks(const cs_tell_t *tell, const char *text, const char **pmark)
{
    const char *mark = NULL;

    do {
        mark = begins(text, tell->mark_ok)       ? tell->mark_ok
               : begins(text, tell->mark_failed) ? tell->mark_failed
                                                 : NULL;
        if (mark) {
            *pmark = *pmark ? *pmark : mark;
            text += strlen(mark);
        }
    } while (mark);
    return text;
}

const json_t *cs_row_unmarked(const cs_mapping_kind_t *kind, const json_t *row, const char **pmark,
                              apr_pool_t *p)
{
    const char *shown = kind->tell.mark ? cs_json_str(row, kind->tell.mark) : NULL, *text;
    json_t *copy;

    *pmark = NULL;
    text = shown ? after_marks(&kind->tell, shown, pmark) : NULL;
    if (!*pmark) {
        return row;
    }
    copy = cs_json_own(json_copy((json_t *)row), p);
    json_object_set_new(copy, kind->tell.mark, json_string(text));
    json_object_set_new(copy, SHOWN_MARK, json_string(*pmark));
    return copy;
}

static const char *wanted_mark(const cs_planning_t *pl)
{
    const char *status = pl->plan->status;
    int failed = status && (!strcmp(status, "Needs you") || !strcmp(status, "Needs admin") ||
                            !strcmp(status, "Waiting"));

    return failed ? pl->kind->tell.mark_failed : pl->kind->tell.mark_ok;
}

int cs_column_max(const json_t *metadata, const char *table, const char *column)
{
    const json_t *columns =
        cs_json_get(cs_json_get(cs_json_get(metadata, "tables"), table), "columns");

    return (int)json_integer_value(cs_json_get(cs_json_get(columns, column), "max"));
}

/* What the line that writes the column takes it to hold; 0 = there is none. */
static int line_max(const cs_planning_t *pl, const char *column)
{
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *);

        if (line->to_crm.on && line->crm && line->crm->text && !strcmp(line->crm->text, column)) {
            return line->to_crm.max;
        }
    }
    return 0;
}

/* A name too long for its column with a mark goes without. */
static const char *marked_name(const cs_planning_t *pl, const char *mark, const char *name)
{
    int known = cs_column_max(pl->look->metadata, pl->kind->table, pl->kind->tell.mark);
    int max = known > 0 ? known : line_max(pl, pl->kind->tell.mark);
    const char *text = apr_pstrcat(pl->p, mark, name, NULL);

    return max > 0 && cs_text_units(text) > max ? name : text;
}

/* The CRM made something else of this very mark; the same again would end the same. */
static int mark_not_kept(const cs_planning_t *pl, const char *mark)
{
    return is_kept(cs_json_get(cs_json_get(pl->plan->told, "kept"), SHOWN_MARK), mark, pl->marked);
}

static void tell_mark(const cs_planning_t *pl, json_t *columns, const json_t *written)
{
    const char *column = pl->kind->tell.mark, *mark = wanted_mark(pl), *name, *now;

    if (!column || !mark || json_is_null(cs_json_get(written, column))) {
        return; /* there is no name to stand before */
    }
    name = cs_json_str(written, column);
    now = pl->creating ? NULL : cs_json_str(pl->row, column);
    if (!name && (!now || !strcmp(pl->marked ? pl->marked : "", mark) || mark_not_kept(pl, mark))) {
        return;
    }
    name = marked_name(pl, mark, name ? name : now);
    if (cs_json_get(written, column) || pl->creating || pl->marked || strcmp(name, now)) {
        json_object_set_new(columns, column, json_string(name));
    }
}

const char *cs_tell_travels(const cs_planning_t *pl, json_t *columns)
{
    const char *column = pl->kind->tell.synced;

    if (!column || (!pl->creating && !cs_json_get(pl->row, column))) {
        return NULL;
    }
    json_object_set_new(columns, column, json_string(cs_time_format(pl->look->now, pl->ptemp)));
    return column;
}

void cs_tell_columns(const cs_planning_t *pl, json_t *columns, const json_t *written)
{
    const cs_tell_t *tell = &pl->kind->tell;
    const cs_plan_t *plan = pl->plan;
    const char *id = pl->look->own ? pl->look->own->id : NULL;

    if (id) {
        tell_column(pl, columns, tell->id, id);
        tell_column(pl, columns, tell->link, filled(pl, tell->link_text, "{id}", id));
        tell_column(pl, columns, tell->explain, explain_text(pl, id));
        tell_mark(pl, columns, written);
    }
    tell_column(pl, columns, tell->status, cs_text_head(plan->status, tell->status_max, pl->p));
    tell_column(
        pl, columns, tell->problem,
        plan->problem
            ? cs_text_head(plan->problem, cs_tell_max(pl, tell->problem, tell->problem_max), pl->p)
            : NULL);
    tell_column(pl, columns, tell->audit,
                cs_tell_join(cs_json_get(plan->told, "audit"), tell->audit_max, pl->p));
}

static void keep_text(json_t *kept, const char *name, const char *meant, const char *shown)
{
    if (cs_tell_differs(meant, shown)) {
        json_object_set_new(kept, name, json_pack("{s:s?,s:s?}", "wrote", meant, "read", shown));
    }
    else {
        json_object_del(kept, name);
    }
}

static void keep_mark(json_t *kept, const cs_mapping_kind_t *kind, const json_t *wrote,
                      const json_t *after)
{
    const char *name = kind->tell.mark ? cs_json_str(wrote, kind->tell.mark) : NULL, *mark = NULL;

    if (name && !after) {
        after_marks(&kind->tell, name, &mark);
        json_object_set_new(kept, SHOWN_MARK, json_pack("{s:s?}", "wrote", mark));
    }
    else if (name && cs_json_get(after, kind->tell.mark)) {
        after_marks(&kind->tell, name, &mark);
        keep_text(kept, SHOWN_MARK, mark, cs_json_str(after, SHOWN_MARK));
    }
}

void cs_tell_keep(json_t *told, const cs_mapping_kind_t *kind, const json_t *wrote,
                  const json_t *after, apr_pool_t *ptemp)
{
    const char *columns[] = {kind->tell.id,      kind->tell.link,  kind->tell.status,
                             kind->tell.problem, kind->tell.audit, kind->tell.explain};
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

        if (!columns[i] || !cs_json_get(wrote, columns[i]) || (after && !value)) {
            continue;
        }
        if (!after) {
            json_object_set_new(kept, columns[i], json_pack("{s:s?}", "wrote", meant));
            continue;
        }
        shown = json_is_string(value) ? cs_text_canonical(json_string_value(value), ptemp) : NULL;
        keep_text(kept, columns[i], meant, shown);
    }
    keep_mark(kept, kind, wrote, after);
    if (json_object_size(kept) == 0) {
        json_object_del(told, "kept");
    }
}
