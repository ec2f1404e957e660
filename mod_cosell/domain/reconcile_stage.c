/* domain/reconcile_stage.c: a CRM whose state follows from a stage that is written as any column.
 * (deals 5)
 *
 * The stages of one state are all the same to Partner Center: which one a seller has chosen is his
 * business, and only a movement to another state sets one. The per cent that some of them stand for
 * travel along.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "reconcile_internal.h"

/* ---- the state behind a stage ---- */

static const json_t *option_of(const json_t *facts, const json_t *value)
{
    const json_t *options = cs_json_get(facts, "options");
    size_t i;

    for (i = 0; i < json_array_size(options); i++) {
        const json_t *option = json_array_get(options, i);

        if (cs_value_equal(cs_json_get(option, "value"), value)) {
            return option;
        }
    }
    return NULL;
}

static const json_t *facts_of(const cs_mapping_kind_t *kind, const json_t *metadata,
                              const char *column)
{
    const cs_table_t table = {kind->table, metadata, NULL};
    const cs_column_t own = {.text = column, .name = column};

    return cs_column_facts(&table, &own);
}

int cs_state_of_set(const cs_mapping_kind_t *kind, const json_t *metadata, const json_t *set,
                    const char *pc)
{
    const char *column;
    json_t *value;

    if (!kind->mapping->facts->state_follows) {
        value = cs_json_get(set, kind->mapping->facts->state_column);
        return json_is_integer(value) ? (int)json_integer_value(value) : -1;
    }
    json_object_foreach((json_t *)set, column, value) {
        const json_t *state =
            cs_json_get(option_of(facts_of(kind, metadata, column), value), "state");

        if (json_is_integer(state)) {
            return (int)json_integer_value(state);
        }
    }
    if (kind->becomes) {
        return -1; /* that it became something is all that such a row shows */
    }
    return !cs_state_is_terminal(pc) ? 0 : !strcmp(pc, "Closed/Won") ? 1 : 2;
}

json_t *cs_state_followed(const cs_mapping_kind_t *kind, const json_t *metadata, const json_t *set,
                          const char *pc, apr_pool_t *p)
{
    json_t *out = cs_json_own(json_object(), p);
    int state = cs_state_of_set(kind, metadata, set, pc), i;

    for (i = 0; i < kind->state_columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(kind->state_columns, i, const char *);

        if (cs_json_get(set, column)) {
            json_object_set_new(out, column, json_deep_copy(cs_json_get(set, column)));
        }
    }
    if (state >= 0) {
        json_object_set_new(out, kind->mapping->facts->state_column, json_integer(state));
    }
    return out;
}

const char *cs_stage_unknown(const cs_planning_t *pl, const json_t *set)
{
    const json_t *metadata = pl->look->metadata;
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)set, column, value) {
        const json_t *facts = facts_of(pl->kind, metadata, column);
        const json_t *first = json_array_get(cs_json_get(facts, "options"), 0);

        /* Of a stage only: elsewhere the CRM takes what is in no list. */
        if (cs_json_get(first, "state") && json_is_string(value) && !option_of(facts, value)) {
            return apr_psprintf(
                pl->p, "%s has no choice \"%s\"; it has: %s",
                cs_column_label(metadata, pl->kind->table, apr_pstrdup(pl->p, column)),
                json_string_value(value), cs_facts_labels(facts, pl->p));
        }
    }
    return NULL;
}

/* ---- the per cent of a stage ---- */

/* Partner Center writes it as a number, as a text, or as one of its own words. */
static int shown_stage(const json_t *value)
{
    static const struct {
        const char *word;
        int stage;
    } words[] = {{"Qualify", 20}, {"Develop", 40}, {"Propose", 60}, {"Close", 100}};
    const char *text = json_string_value(value);
    size_t i;

    if (json_is_number(value)) {
        return (int)json_number_value(value);
    }
    for (i = 0; text && i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(words[i].word, text)) {
            return words[i].stage;
        }
    }
    return text ? (int)strtol(text, NULL, 10) : 0;
}

void cs_plan_stage(cs_planning_t *pl, const cs_heard_t *heard)
{
    int stage = heard ? heard->sales_stage : 0;

    if (stage && !pl->terminal && stage != shown_stage(cs_json_get(pl->doc, "salesStage"))) {
        pl->stage = stage;
    }
}

json_t *cs_stage_operation(const cs_planning_t *pl)
{
    return json_pack("{s:s,s:s,s:o}", "op", cs_json_get(pl->doc, "salesStage") ? "replace" : "add",
                     "path", CS_STAGE_PATH, "value",
                     json_string(apr_psprintf(pl->ptemp, "%d", pl->stage)));
}
