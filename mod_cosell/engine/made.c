/* engine/made.c: rows whose ids the CRM gives.
 *
 * Until such a row is there a reserved id stands for it: in the deal, in the plan's steps, in what
 * is about to be written to Partner Center. Once its own id is known it takes that place: at once
 * in what is left of the plan, and with the next transaction in the deal and its aliases. A look
 * that was not heard to its end leaves the reserved id behind; the next one reads the row by its
 * key, and the row says who it is. (deals 1) */
#include <string.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "apply.h"

static int is(const json_t *value, const char *text)
{
    return json_is_string(value) && !strcmp(json_string_value(value), text);
}

/* In the document itself: whoever shares it means the same row. */
static void replace(json_t *doc, const char *reserved, const char *made)
{
    const char *name;
    json_t *value;
    size_t i;

    if (json_is_object(doc)) {
        json_object_foreach(doc, name, value) {
            if (is(value, reserved)) {
                json_string_set(value, made);
            }
            replace(value, reserved, made);
        }
    }
    else if (json_is_array(doc)) {
        json_array_foreach(doc, i, value) {
            if (is(value, reserved)) {
                json_string_set(value, made);
            }
            replace(value, reserved, made);
        }
    }
}

/* A value that is the id alone, and not part of a document. */
static json_t *replaced(json_t *value, const char *reserved, const char *made, apr_pool_t *p)
{
    if (is(value, reserved)) {
        return cs_json_own(json_string(made), p);
    }
    replace(value, reserved, made);
    return value;
}

static void replace_in_steps(cs_plan_t *plan, const char *reserved, const char *made)
{
    int i;

    for (i = 0; i < plan->steps->nelts; ++i) {
        cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);
        if (step->id && !strcmp(step->id, reserved)) {
            step->id = made;
        }
        replace(step->columns, reserved, made);
    }
}

/* What settle and the explanation go by. */
static void replace_in_views(cs_plan_t *plan, const char *reserved, const char *made, apr_pool_t *p)
{
    int i;

    for (i = 0; i < plan->lines->nelts; ++i) {
        cs_line_view_t *view = APR_ARRAY_IDX(plan->lines, i, cs_line_view_t *);
        view->value = replaced(view->value, reserved, made, p);
        view->crm = replaced(view->crm, reserved, made, p);
    }
    replace(plan->explain, reserved, made);
    replace(plan->intent, reserved, made);
    replace(plan->told, reserved, made);
}

const char *cs_write_made(const cs_crm_write_t *write)
{
    const cs_record_t *record = write->record;

    if (write->kind != CS_CRM_CREATE || write->result.cls != CS_CLASS_OK) {
        return NULL;
    }
    return write->made ? write->made : record && record->id ? record->id : NULL;
}

void cs_item_made(cs_batch_t *b, cs_item_t *item, int index, const char *made)
{
    cs_step_t *step = APR_ARRAY_IDX(item->plan->steps, index, cs_step_t *);
    const char *reserved = step->id;

    if (!made || !reserved || step->kind != CS_STEP_CREATE || !strcmp(made, reserved) ||
        !cs_item_names_rows(b, item)) {
        return;
    }
    made = apr_pstrdup(b->p, made);
    item->applied[index].made = made;
    replace_in_steps(item->plan, reserved, made);
    if (!step->list) {
        replace_in_views(item->plan, reserved, made, b->p);
        item->deal->record_id = made;
        item->adopted = 1;
    }
}

int cs_item_names_rows(const cs_batch_t *b, const cs_item_t *item)
{
    return item->crm >= 0 && b->lane->crm_impl[item->crm] &&
           b->lane->crm_impl[item->crm]->facts->names_rows;
}

int cs_deal_is_reserved(const cs_batch_t *b, int crm, const cs_deal_t *deal)
{
    return b->lane->crm_impl[crm]->facts->names_rows && deal->record_id &&
           cs_uuid_valid(deal->record_id, strlen(deal->record_id));
}

/* ---- the next look ---- */

static void adopt(cs_batch_t *b, cs_item_t *item)
{
    cs_change_t *change;

    cs_batch_change(b, CS_CHANGE_DEAL)->deal = item->deal;
    change = cs_batch_change(b, CS_CHANGE_ALIAS);
    change->deal = item->deal;
    change->system = item->deal->crm;
    change->name = item->deal->record_id;
}

apr_status_t cs_item_adopt(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const char *reserved = item->deal->record_id;
    apr_status_t rv;
    int parked;

    if (!item->record || item->over || !cs_deal_is_reserved(b, item->crm, item->deal) ||
        !strcmp(item->record->id, reserved)) {
        return APR_SUCCESS;
    }
    item->deal->record_id = item->record->id;
    rv = cs_settle_holder(b, item, &parked, res);
    if (rv == APR_SUCCESS && parked) {
        /* It has no row: should it go on, it asks again. */
        item->deal->record_id = reserved;
        cs_batch_change(b, CS_CHANGE_DEAL)->deal = item->deal;
    }
    else if (rv == APR_SUCCESS) {
        adopt(b, item);
    }
    return rv;
}
