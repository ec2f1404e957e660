/* engine/job_show.c: both sides of one deal as they are now, and what a look would do with them.
 * Nothing is written: neither to a side nor about the deal. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "diff.h"
#include "job.h"

/* ---- who ---- */

/* Nobody waits for it: what comes of it is not stored. */
static cs_work_t *new_work(const cs_job_turn_t *t, const char *name)
{
    cs_work_t *work = apr_pcalloc(t->b->p, sizeof(*work));

    work->site = t->b->lane->site->name;
    work->kind = CS_WORK_LOOK;
    work->name = name;
    work->hints = cs_json_own(json_object(), t->b->p);
    work->wanted = work->seen = 1;
    work->first = work->due = t->b->now;
    return work;
}

static apr_status_t find_item(cs_job_turn_t *t, cs_batch_t *b, const char *id, cs_item_t **pitem,
                              int *pmany, cs_result_t *res)
{
    const char *referral = cs_job_referral_of(id, b->p);
    cs_deal_t *deal = NULL;
    apr_status_t rv = cs_job_find_deal(t, id, &deal, pmany, res);

    *pitem = NULL;
    if (rv != APR_SUCCESS || (!deal && !referral)) {
        return rv;
    }
    *pitem =
        cs_item_new(b, new_work(t, deal ? apr_psprintf(b->p, "deal:%" APR_INT64_T_FMT, deal->id)
                                        : apr_pstrcat(b->p, CS_SYSTEM_PC ":", referral, NULL)));
    (*pitem)->deal = deal;
    (*pitem)->asked = deal ? NULL : referral;
    APR_ARRAY_PUSH(b->items, cs_item_t *) = *pitem;
    return rv;
}

/* ---- what a look leaves out when it ends early ---- */

/* The other side of a deal that rests, or whose referral could not be read. */
static apr_status_t read_record(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const cs_mapping_t *mapping;
    cs_item_t kept = *item;
    apr_status_t rv;

    item->crm = item->deal ? cs_lane_crm_index(b->lane, item->deal->crm) : -1;
    mapping = item->crm >= 0 ? b->lane->site->crms[item->crm].mapping : NULL;
    if (item->record_read || !mapping || !item->deal->kind || !item->deal->record_id ||
        item->fresh) {
        return APR_SUCCESS;
    }
    item->kind = cs_mapping_kind(mapping, item->deal->kind);
    item->over = item->quiet = 0;
    cs_item_wait_for_crm(b, item);
    rv = item->over ? APR_SUCCESS : cs_batch_read_records(b, res);
    if (kept.over && !kept.quiet) {
        item->upstream = kept.upstream;
        item->result = kept.result;
    }
    item->quiet = kept.quiet && !(item->over && !item->quiet);
    item->over = 1;
    return rv;
}

/* ---- the answer ---- */

static json_t *text_of(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *time_of(apr_time_t at, apr_pool_t *p)
{
    return at ? json_string(cs_time_format(at, p)) : json_null();
}

static json_t *copy_of(const json_t *json)
{
    return json ? json_deep_copy(json) : json_null();
}

static json_t *deal_json(const cs_deal_t *deal, apr_pool_t *p)
{
    json_t *json;

    if (!deal) {
        return json_null();
    }
    json = json_object();
    json_object_set_new(json, "id", deal->id ? json_integer(deal->id) : json_null());
    json_object_set_new(json, "state", json_string(cs_deal_state_name(deal->state)));
    json_object_set_new(json, "title", text_of(deal->title));
    json_object_set_new(json, "status", text_of(deal->status));
    json_object_set_new(json, "problem", text_of(deal->problem));
    json_object_set_new(json, "referral", text_of(deal->referral_id));
    json_object_set_new(json, "engagement", text_of(deal->engagement_id));
    json_object_set_new(json, "crm", text_of(deal->crm));
    json_object_set_new(json, "kind", text_of(deal->kind));
    json_object_set_new(json, "table", text_of(deal->table));
    json_object_set_new(json, "record", text_of(deal->record_id));
    json_object_set_new(json, "pc_status", text_of(deal->pc_status));
    json_object_set_new(json, "images", copy_of(deal->images));
    json_object_set_new(json, "intent", copy_of(deal->intent));
    json_object_set_new(json, "next_look", time_of(deal->next_look, p));
    json_object_set_new(json, "updated", time_of(deal->updated, p));
    return json;
}

static json_t *record_json(const cs_record_t *record, apr_pool_t *p)
{
    return record ? json_pack("{s:s, s:s, s:s*, s:o, s:O, s:o}", "table", record->table, "id",
                              record->id, "version", record->version, "modified",
                              time_of(record->modified, p), "row", record->row, "related",
                              copy_of(record->related))
                  : json_null();
}

static json_t *cards_json(const apr_array_header_t *cards)
{
    json_t *list = json_array();
    int i;

    for (i = 0; cards && i < cards->nelts; ++i) {
        json_array_append(list, APR_ARRAY_IDX(cards, i, const cs_card_t *)->doc);
    }
    return list;
}

/* Before the plan's words: what is so however the sides compare. */
static const char *state_words(const cs_deal_t *before, const cs_item_t *item, apr_pool_t *p)
{
    if (!before) {
        return item->deal ? "no look has met this referral yet; " : "";
    }
    switch (before->state) {
    case CS_DEAL_CLOSED:
        return "the deal is closed; ";
    case CS_DEAL_NEW:
        return before->status ? apr_pstrcat(p, "the deal waits for its other side (",
                                            before->status, "); ", NULL)
                              : "the deal waits for its other side; ";
    case CS_DEAL_GONE:
        return "the record was deleted; ";
    default:
        return "";
    }
}

static int has_failed(const cs_item_t *item)
{
    return item->over && !item->quiet;
}

static json_t *result_json(const cs_item_t *item, const cs_deal_t *before, apr_pool_t *p)
{
    const char *words = apr_pstrcat(p, state_words(before, item, p), cs_item_words(item, p), NULL);
    json_t *json =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "text", words, "deal",
                  deal_json(before ? before : item->deal, p), "partner_center",
                  copy_of(item->own ? item->own->doc : NULL), "microsoft",
                  copy_of(item->microsoft ? item->microsoft->doc : NULL), "others",
                  cards_json(item->others), "record", record_json(item->record, p), "plan",
                  copy_of(item->plan ? item->plan->explain : NULL), "calls", item->calls);

    json_object_set_new(json, "changes", copy_of(cs_item_changes(item, p)));
    if (item->meets && item->meeting.why) {
        json_object_set_new(json, "meeting", json_string(item->meeting.why));
    }
    if (has_failed(item)) {
        json_object_set_new(json, "problem",
                            json_pack("{s:s*, s:s*, s:s*}", "upstream", item->upstream, "problem",
                                      item->result.problem, "text", item->result.detail));
    }
    return json;
}

/* ---- the turn ---- */

static apr_status_t look(cs_job_turn_t *t, cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    const cs_deal_t *before =
        item->deal ? apr_pmemdup(b->p, item->deal, sizeof(*item->deal)) : NULL;
    apr_status_t rv;

    cs_batch_trace(b);
    rv = cs_batch_see(b, res);
    apr_array_cat(t->b->changes, b->changes);
    apr_array_clear(b->changes);
    if (rv == APR_SUCCESS && item->over) {
        rv = read_record(b, item, res);
        apr_array_clear(b->changes);
    }
    cs_batch_trace_is(b, NULL);
    if (rv == APR_SUCCESS) {
        cs_job_done(t, result_json(item, before, b->p));
    }
    return rv;
}

static apr_status_t show(cs_job_turn_t *t, cs_result_t *res)
{
    const char *id = cs_json_str(t->arguments, "id");
    cs_batch_t *b = cs_batch_new(t->b->lane, t->b->p);
    cs_item_t *item;
    apr_status_t rv;
    int many;

    b->dry = 1;
    rv = find_item(t, b, id, &item, &many, res);
    if (rv != APR_SUCCESS || many) {
        return rv;
    }
    if (!item) {
        cs_job_not_found(t,
                         "no deal has the number, referral, engagement or record id \"%.80s\", and "
                         "it is no referral id that could be asked for",
                         id);
        return rv;
    }
    cs_batch_pin_crms(t->b);
    return look(t, b, item, res);
}

static const char *const members[] = {"id:s", NULL};
static const char *const required[] = {"id", NULL};
const cs_job_kind_t cs_job_show = {"show", members, required, NULL, show, 0, 0};
