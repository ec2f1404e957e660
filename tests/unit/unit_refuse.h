/* A CRM with a will of its own, on top of unit_deal.h: it refuses columns, finds nobody, makes something else of a value, and answers a write before it is through
 * with it. What is refused or held is left out by parts, as apply does. */
#ifndef CS_TESTS_UNIT_REFUSE_H
#define CS_TESTS_UNIT_REFUSE_H

#include "unit_deal.h"

typedef struct refuse_t {
    json_t *refuses; /* column -> why: no row with it is taken */
    json_t *holds;   /* line -> why: its look-up finds nobody */
    json_t *made;    /* column -> what the CRM makes of whatever is written there */
    json_t *lags;    /* column -> true: the answer of a write still shows the old value */
} refuse_t;

static inline void refuse_init(refuse_t *r, apr_pool_t *p)
{
    r->refuses = cs_json_own(json_object(), p);
    r->holds = cs_json_own(json_object(), p);
    r->made = cs_json_own(json_object(), p);
    r->lags = cs_json_own(json_object(), p);
}

static inline void refuse_note(deal_world_t *w, json_t **pnotes, const char *line, const json_t *why)
{
    if (!*pnotes) {
        *pnotes = cs_json_own(json_object(), w->p);
    }
    json_object_set(*pnotes, line, (json_t *)why);
}

static inline void refuse_drop(json_t *columns, const json_t *names)
{
    size_t i;

    for (i = 0; i < json_array_size(names); i++) {
        json_object_del(columns, json_string_value(json_array_get(names, i)));
    }
}

/* Why a part cannot be written; NULL = it can. */
static inline const json_t *refuse_part(const refuse_t *r, const json_t *columns, const json_t *part)
{
    size_t i;

    for (i = 0; i < json_array_size(part); i++) {
        const char *column = json_string_value(json_array_get(part, i));

        if (cs_json_get(r->refuses, column) && cs_json_get(columns, column)) {
            return cs_json_get(r->refuses, column);
        }
    }
    return NULL;
}

/* One more line left out; 0 = what is left passes. */
static inline int refuse_one(const refuse_t *r, deal_world_t *w, const cs_step_t *step, json_t *columns, cs_applied_t *applied)
{
    const char *name;
    json_t *value;

    json_object_foreach(step->parts, name, value) {
        const json_t *why = refuse_part(r, columns, value);

        if (why) {
            refuse_note(w, &applied->refused, name, why);
            refuse_drop(columns, value);
            return 1;
        }
    }
    json_object_foreach(columns, name, value) {
        const json_t *lookup = cs_json_get(value, "$lookup");
        const char *line = cs_json_str(lookup, "line");

        if (line && cs_json_get(r->holds, line)) {
            refuse_note(w, &applied->dropped, line, cs_json_get(r->holds, line));
            refuse_drop(columns, cs_json_get(lookup, "columns"));
            return 1;
        }
    }
    return 0;
}

static inline void refuse_finish(const refuse_t *r, deal_world_t *w, const json_t *columns, const json_t *before, cs_applied_t *applied)
{
    const char *column;
    json_t *value;

    json_object_foreach(r->made, column, value) {
        if (cs_json_get(columns, column)) {
            json_object_set(w->row, column, value);
            if (applied->after) {
                json_object_set(applied->after->row, column, value);
            }
        }
    }
    json_object_foreach(r->lags, column, value) {
        if (applied->after && cs_json_get(columns, column) && cs_json_get(before, column)) {
            json_object_set(applied->after->row, column, cs_json_get(before, column));
        }
    }
}

/* Stage 6. */
static inline void refuse_apply(const refuse_t *r, deal_world_t *w)
{
    int i;

    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    w->deal.intent = w->plan->intent ? w->plan->intent : w->deal.intent;
    for (i = 0; i < w->plan->steps->nelts; i++) {
        cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *), sent = *step;
        json_t *before = w->row ? cs_json_own(json_deep_copy(w->row), w->p) : NULL;

        if (!step->send || (step->after >= 0 && !w->applied[step->after].done)) {
            continue;
        }
        if (step->kind == CS_STEP_CREATE || step->kind == CS_STEP_UPDATE) {
            sent.columns = cs_json_own(json_copy(step->columns), w->p);
            while (refuse_one(r, w, step, sent.columns, &w->applied[i])) {
            }
        }
        deal_step(w, &sent, &w->applied[i]);
        if (w->applied[i].done) {
            refuse_finish(r, w, sent.columns, before, &w->applied[i]);
        }
        else {
            w->applied[i].refused = w->applied[i].dropped = NULL;
        }
    }
}

#endif
