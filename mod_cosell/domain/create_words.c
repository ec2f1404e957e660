/* domain/create_words.c: what a referral in the making waits for, as the CRM's forms call it.
 * (deals 6) */
#include <apr_strings.h>
#include <string.h>

#include "create_internal.h"

const char *cs_text_capital(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrdup(p, text);

    if (*out >= 'a' && *out <= 'z') {
        *out = (char)(*out - 'a' + 'A');
    }
    return out;
}

/* What the forms call the member of a person or of a solution. */
static const char *member_words(const cs_planning_t *pl, const cs_list_t *list, const char *member)
{
    const apr_array_header_t *const kept[] = {list->item, list->fields};
    const char *const tables[] = {list->find ? list->find->table : NULL, list->table};
    int i;

    for (i = 0; i < 2; i++) {
        const cs_column_t *column = cs_member_column(kept[i], member);

        if (column && tables[i]) {
            const char *label = cs_column_label(pl->look->metadata, tables[i], column->name);

            return strcmp(label, column->name) ? label : member;
        }
    }
    return member;
}

/* item 0 = of whatever item. */
static const char *list_words(const cs_planning_t *pl, const cs_lack_t *lack, int item)
{
    const cs_list_t *list = lack->list;
    const char *words = cs_text_capital(cs_list_one(list, pl->p), pl->p);

    if (list->shape == CS_LIST_COLUMN && pl->look->metadata) {
        words = cs_column_words(pl, list->column);
    }
    else if (lack->item && item) {
        words = cs_text_capital(cs_list_words(list, lack->item, pl->p), pl->p);
    }
    return lack->member ? apr_pstrcat(pl->p, words, " \xe2\x80\xba ",
                                      member_words(pl, list, lack->member), NULL)
                        : words;
}

static const char *name_words(const cs_planning_t *pl, const cs_lack_t *lack, int item)
{
    return lack->list                           ? list_words(pl, lack, item)
           : lack->column && pl->look->metadata ? cs_column_words(pl, lack->column)
                                                : lack->line;
}

static const char *lack_words(const cs_planning_t *pl, const cs_lack_t *lack)
{
    const char *words = name_words(pl, lack, 1);

    return lack->why && *lack->why ? apr_psprintf(pl->p, "%s (%s)", words, lack->why) : words;
}

const cs_column_t *cs_create_no_row(const cs_planning_t *pl, const cs_lack_t *lack)
{
    const cs_column_t *column = lack->column;

    return column && column->of && !lack->list && json_is_null(cs_json_get(pl->row, column->name))
               ? column
               : NULL;
}

int cs_create_is_named(const cs_planning_t *pl, const cs_making_t *m, int at)
{
    const cs_column_t *column = cs_create_no_row(pl, APR_ARRAY_IDX(m->lacks, at, cs_lack_t *));
    const cs_column_t *other;
    int i;

    for (i = 0; column && i < at; i++) {
        other = cs_create_no_row(pl, APR_ARRAY_IDX(m->lacks, i, cs_lack_t *));
        if (other && !strcmp(other->name, column->name)) {
            return 1;
        }
    }
    return 0;
}

const char *cs_create_lack_words(const cs_planning_t *pl, const cs_lack_t *lack)
{
    const cs_column_t *none = cs_create_no_row(pl, lack);

    return none ? cs_column_label(pl->look->metadata, pl->kind->table, none->name)
                : name_words(pl, lack, 0);
}

const char *cs_create_words(const cs_planning_t *pl, const cs_making_t *m)
{
    const char *out = NULL;
    int i;

    for (i = 0; i < m->lacks->nelts; i++) {
        const cs_lack_t *lack = APR_ARRAY_IDX(m->lacks, i, cs_lack_t *);
        const cs_column_t *none = cs_create_no_row(pl, lack);
        const char *words;

        if (cs_create_is_named(pl, m, i)) {
            continue;
        }
        words = none ? cs_create_lack_words(pl, lack) : lack_words(pl, lack);
        out = out ? apr_pstrcat(pl->p, out, ", ", words, NULL) : words;
    }
    return apr_pstrcat(pl->p, "Waiting for: ", out, NULL);
}

const char *cs_create_refused_words(const char *why, apr_pool_t *p)
{
    return apr_pstrcat(p, "Partner Center refused it: ", why, NULL);
}
