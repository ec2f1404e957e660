/* domain/reconcile_age.c: answers that are older than what was settled. (deals 2)
 *
 * Both ends may answer with what was so some time ago. A guard protects the side that was read so,
 * not the other one: an old answer of Partner Center would pass for an edit there and be copied
 * over what the seller has written since. So the state's image remembers how new what was settled
 * is, and nothing is made of what is older. After a while that is no lagging replica but a side
 * that went back, restored from a backup: what it shows is compared value by value, and how new
 * that is counts from then on. A list has no version of its own: what was just written there is
 * given time to appear.
 */
#include <string.h>

#include <apr_strings.h>

#include "../base/time.h"
#include "reconcile_internal.h"

#define STALE_MAX apr_time_from_sec(900)
#define STALE_PAUSE apr_time_from_sec(5)
#define ROWS_SETTLE apr_time_from_sec(20)

static const json_t *read_of(const cs_deal_t *deal)
{
    return cs_json_get(cs_json_get(deal->images, CS_LINE_STATE), CS_IMAGE_READ);
}

static int is_older(const cs_record_t *record, const json_t *read)
{
    const char *of = cs_json_str(read, "of");
    apr_int64_t order = cs_json_int(read, "order", 0);

    if (!of || !record->id || strcmp(of, record->id)) {
        return 0;
    }
    return record->order && order
               ? record->order < order
               : record->modified && record->modified < cs_json_int(read, "crm", 0);
}

static int is_pc_older(const cs_look_t *look, const json_t *read)
{
    return look->own && look->own->updated && look->own->updated < cs_json_int(read, "pc", 0);
}

static int is_crm_older(const cs_look_t *look, const json_t *read)
{
    return look->record && is_older(look->record, read);
}

static apr_time_t stale_until(const json_t *read)
{
    return (apr_time_t)cs_json_int(read, "at", 0) + STALE_MAX;
}

const char *cs_look_stale(const cs_look_t *look, apr_time_t *pagain, apr_pool_t *p)
{
    const json_t *read = read_of(look->deal);
    apr_time_t until = stale_until(read);
    apr_interval_time_t pause = (look->now - (until - STALE_MAX)) / 2;
    int pc = is_pc_older(look, read);

    if (look->now >= until || (!pc && !is_crm_older(look, read))) {
        return NULL;
    }
    *pagain = look->now + (pause > STALE_PAUSE ? pause : STALE_PAUSE);
    *pagain = *pagain < until ? *pagain : until;
    return apr_psprintf(p, "%s answered with an older version than before: it is read again, and "
                           "counts from %s on",
                        pc ? "Partner Center" : "the CRM", cs_time_format(until, p));
}

const char *cs_look_went_back(const cs_look_t *look)
{
    const json_t *read = read_of(look->deal);

    if (look->now < stale_until(read)) {
        return NULL;
    }
    return is_pc_older(look, read)
               ? "Partner Center shows an older version for good: what it shows counts, value by "
                 "value"
           : is_crm_older(look, read)
               ? "the CRM shows an older version for good, as after a restore: what it shows "
                 "counts, value by value"
               : NULL;
}

int cs_item_settles(const cs_look_t *look, const char *line, apr_time_t *puntil)
{
    apr_int64_t at = cs_json_int(cs_json_get(read_of(look->deal), "rows"), line, 0);

    *puntil = at + ROWS_SETTLE;
    return at && look->now < *puntil;
}

/* ---- settling ---- */

static int put_newest(json_t *read, const char *name, apr_int64_t now)
{
    if (now <= cs_json_int(read, name, 0)) {
        return 0;
    }
    json_object_set_new(read, name, json_integer((json_int_t)now));
    return 1;
}

static int add_record(json_t *read, const cs_record_t *record)
{
    const char *of = cs_json_str(read, "of");
    int later, newer;

    if (!record || !record->id) {
        return 0;
    }
    if (!of || strcmp(of, record->id)) {
        json_object_del(read, "crm");
        json_object_del(read, "order");
        json_object_set_new(read, "of", json_string(record->id));
    }
    later = put_newest(read, "crm", record->modified);
    newer = put_newest(read, "order", record->order);
    return later || newer;
}

/* What went back is as new as it shows itself. */
static void forget_newer(json_t *read, const cs_look_t *look)
{
    if (is_pc_older(look, read)) {
        json_object_del(read, "pc");
    }
    if (is_crm_older(look, read)) {
        json_object_del(read, "of");
    }
}

/* What a write left behind that showed nothing is later than what was read. */
static int add_unseen(json_t *read, const cs_look_t *look, int to_pc)
{
    if (to_pc) {
        return look->own && look->own->updated && put_newest(read, "pc", look->own->updated + 1);
    }
    return look->record && look->record->order &&
           put_newest(read, "order", look->record->order + 1);
}

static int add_step(json_t *read, const cs_look_t *look, const cs_step_t *step,
                    const cs_applied_t *applied)
{
    if (!applied->done || step->list) {
        return 0;
    }
    if (step->kind == CS_STEP_PATCH_PC) {
        return applied->card ? put_newest(read, "pc", applied->card->updated)
                             : add_unseen(read, look, 1);
    }
    if (!step->table || applied->found) {
        return 0;
    }
    return applied->after ? add_record(read, applied->after) : add_unseen(read, look, 0);
}

/* The items written now, and those of which it may still matter. */
static void put_rows(json_t *read, const cs_look_t *look, const cs_plan_t *plan,
                     const cs_applied_t *applied)
{
    json_t *rows = json_object(), *at;
    const char *line;
    int i;

    json_object_foreach(cs_json_get(read, "rows"), line, at) {
        if (look->now < (apr_time_t)json_integer_value(at) + ROWS_SETTLE) {
            json_object_set(rows, line, at);
        }
    }
    for (i = 0; i < plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(plan->steps, i, cs_step_t *);

        if (step->list && step->lines->nelts && applied[i].done) {
            json_object_set_new(rows, APR_ARRAY_IDX(step->lines, 0, const char *),
                                json_integer((json_int_t)look->now));
        }
    }
    json_object_del(read, "rows");
    if (json_object_size(rows)) {
        json_object_set(read, "rows", rows);
    }
    json_decref(rows);
}

void cs_settle_age(json_t *images, const cs_look_t *look, const cs_plan_t *plan,
                   const cs_applied_t *applied)
{
    const json_t *was = read_of(look->deal);
    json_t *state = cs_json_get(images, CS_LINE_STATE), *read;
    int newer, i;

    if (!state && !look->record) {
        return;
    }
    if (!state) {
        state = json_object();
        json_object_set_new(images, CS_LINE_STATE, state);
    }
    read = was ? json_deep_copy(was) : json_object();
    if (cs_look_went_back(look)) {
        forget_newer(read, look);
    }
    newer = look->own && put_newest(read, "pc", look->own->updated);
    newer |= add_record(read, look->record);
    for (i = 0; i < plan->steps->nelts; i++) {
        newer |= add_step(read, look, APR_ARRAY_IDX(plan->steps, i, cs_step_t *), &applied[i]);
    }
    if (newer) {
        json_object_set_new(read, "at", json_integer((json_int_t)look->now));
    }
    put_rows(read, look, plan, applied);
    if (json_object_size(read)) {
        json_object_set(state, CS_IMAGE_READ, read);
    }
    json_decref(read);
}
