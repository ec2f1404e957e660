/* domain/reconcile_causes.c: what stands in a deal's way, so that it can be counted with that of
 * other deals: "Account > Country is empty". (design 7.5, store/store.h: cs_cause_t)
 *
 * A key is made of the mapping's names alone, so that it stays while labels and values move; a text
 * names no deal, row or value, for it stands for all deals that have the cause. What only rests, by
 * a rule or because the seller wants it, is no cause.
 */
#include <apr_strings.h>
#include <string.h>

#include "../base/time.h"
#include "create_internal.h"

#define TEXT_UNITS 200

void cs_plan_cause(cs_planning_t *pl, const char *what, const char *of, const char *text)
{
    const char *key = of ? apr_pstrcat(pl->p, what, " ", of, NULL) : what;

    if (!pl->plan->causes) {
        cs_plan_no_causes(pl->plan, pl->p);
    }
    json_object_set_new(pl->plan->causes, key,
                        json_string(cs_text_head(text, TEXT_UNITS, pl->p)));
}

void cs_plan_no_causes(cs_plan_t *plan, apr_pool_t *p)
{
    plan->causes = cs_json_own(json_object(), p);
}

void cs_plan_cause_line(cs_planning_t *pl, const cs_line_view_t *view, const char *what,
                        const char *words, const char *text)
{
    const cs_list_t *list = cs_list_of_line(pl->kind, view->line);

    cs_plan_cause(pl, what, list ? list->name : view->line,
                  apr_pstrcat(pl->p, list ? cs_text_capital(list->name, pl->p) : words, text,
                              NULL));
}

/* The day is part of the key, so that those of a day are counted together and whoever looks at the
 * clock knows which are urgent. */
void cs_plan_cause_expires(cs_planning_t *pl)
{
    const char *expires = cs_json_str(pl->doc, "expirationDateTime");
    apr_time_t at = 0;

    if (expires && cs_time_parse(&at, expires) == APR_SUCCESS) {
        cs_plan_cause(pl, "expires", cs_time_format_date(at, pl->p),
                      apr_pstrcat(pl->p, "Nobody has answered; it expires ",
                                  cs_time_format_day(at, pl->p), NULL));
    }
}

/* ---- a referral in the making ---- */

static const char *lack_key(const cs_planning_t *pl, const cs_lack_t *lack)
{
    return lack->list && lack->member
               ? apr_pstrcat(pl->p, lack->list->name, ">", lack->member, NULL)
           : lack->list ? lack->list->name
                        : lack->line;
}

void cs_plan_causes_create(cs_planning_t *pl)
{
    const cs_making_t *m = pl->making;
    int i;

    if (m->what == CS_MAKING_REFUSED) {
        cs_plan_cause(pl, "refused", m->connected ? "invitation" : "referral",
                      m->connected ? "Microsoft could not be invited"
                                   : "Partner Center refused to make the referral");
    }
    for (i = 0; m->what == CS_MAKING_WAITS && i < m->lacks->nelts; i++) {
        const cs_lack_t *lack = APR_ARRAY_IDX(m->lacks, i, cs_lack_t *);
        const char *words = cs_create_lack_words(pl, lack);
        const cs_column_t *none = cs_create_no_row(pl, lack);

        if (!cs_create_is_named(pl, m, i)) {
            cs_plan_cause(pl, "waits", none ? none->name : lack_key(pl, lack),
                          apr_pstrcat(pl->p, words,
                                      lack->why && *lack->why && !none ? " is not complete"
                                                                       : " is empty",
                                      NULL));
        }
    }
}
