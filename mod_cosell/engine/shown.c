/* engine/shown.c: what a CRM's answer to a write says of look-ups.
 *
 * An answer to a write may name the row that a look-up points to by its id alone. What that row is
 * known by stands in the look-up by which it was found for this very write, or in the record as it
 * was read before: with it the answer shows what became of the value, and a later difference is
 * somebody's edit and nothing that the CRM did not keep. (deals 2)
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "symbols.h"

typedef struct shown_t {
    const cs_record_t *after;
    cs_record_t *filled; /* a copy of it; NULL = there was nothing to add */
    cs_id_form_e form;
    apr_pool_t *p;
} shown_t;

static json_t *look_up_of(shown_t *s, const char *column)
{
    if (!s->filled) {
        s->filled = apr_pmemdup(s->p, s->after, sizeof(*s->after));
        s->filled->row = cs_json_own(json_deep_copy(s->after->row), s->p);
    }
    return json_object_get(s->filled->row, column);
}

/* What the answer does not say itself. */
static void add(shown_t *s, const char *column, const json_t *known)
{
    const json_t *shown = json_object_get(s->after->row, column);
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)known, name, value) {
        if (!json_object_get(shown, name)) {
            json_object_set(look_up_of(s, column), name, value);
        }
    }
}

/* The columns that the row was found by; NULL = it is not known which they were. */
static const json_t *found_by(const json_t *value)
{
    const json_t *keys = json_object_get(cs_symbol_lookup(value), "keys");
    const json_t *key = json_array_size(keys) == 1 ? json_array_get(keys, 0) : NULL;
    const char *column, *text;
    json_t *says;

    json_object_foreach((json_t *)key, column, says) {
        text = json_string_value(says);
        if (!text || !*text) {
            return NULL;
        }
    }
    return key;
}

const cs_record_t *cs_record_shown(const cs_record_t *after, const cs_step_t *step,
                                   const json_t *row, const cs_record_t *before, cs_id_form_e form,
                                   apr_pool_t *p)
{
    shown_t s = {after, NULL, form, p};
    const json_t *sent, *was;
    const char *column, *id;
    json_t *value;

    if (!after || step->list) {
        return after;
    }
    json_object_foreach(after->row, column, value) {
        id = json_is_object(value) ? cs_json_str(value, "id") : NULL;
        sent = json_object_get(json_object_get(row, column), "$ref");
        was = before ? json_object_get(before->row, column) : NULL;
        if (!id) {
            continue;
        }
        if (cs_row_id_same(form, id, cs_json_str(sent, "id"))) {
            add(&s, column, found_by(json_object_get(step->columns, column)));
        }
        if (cs_row_id_same(form, id, cs_json_str(was, "id"))) {
            add(&s, column, was);
        }
    }
    return s.filled ? s.filled : after;
}
