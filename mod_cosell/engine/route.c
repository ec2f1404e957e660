/* engine/route.c: which CRM a referral belongs to. (deals 1, 4)
 *
 * The first whose mapping takes it owns the deal for ever. A referral that names a record belongs
 * to the CRM that has the record: told by the form of the id, and where several CRMs write their
 * ids alike, by asking them, all referrals of a batch in one call each. */
#include <string.h>

#include <apr_strings.h>

#include "batch.h"

#define STAGE apr_time_from_sec(120)

static void fill_look(cs_batch_t *b, cs_item_t *item, int crm)
{
    cs_look_t *look = &item->look;

    memset(look, 0, sizeof(*look));
    look->mapping = b->lane->site->crms[crm].mapping;
    look->crm = b->lane->site->crms[crm].cfg.name;
    look->site = b->lane->site->name;
    look->organization = b->lane->organization;
    look->deal = item->deal;
    look->own = item->own;
    look->microsoft = item->microsoft;
    look->others = item->others;
    look->record = item->record;
    look->record_read = item->record_read;
    look->now = b->now;
}

/* ---- what the mappings say ---- */

/* A lead that this mapping does not take may be another's. */
static int takes(const cs_meeting_t *meeting)
{
    return meeting->what != CS_MEET_IGNORE && meeting->what != CS_MEET_LEAD;
}

static apr_status_t ask_all(cs_batch_t *b, cs_item_t *item, int owner, cs_result_t *res)
{
    cs_meeting_t *meetings = apr_pcalloc(b->p, sizeof(*meetings) * CS_SITE_CRMS_MAX);
    apr_status_t rv = APR_SUCCESS;
    int crm;

    for (crm = 0; rv == APR_SUCCESS && crm < b->lane->site->ncrms; ++crm) {
        meetings[crm].what = CS_MEET_IGNORE;
        if ((owner >= 0 && crm != owner) || !b->lane->site->crms[crm].mapping) {
            continue;
        }
        fill_look(b, item, crm);
        rv = cs_reconcile_meet(&meetings[crm], &item->look, b->p, res);
    }
    item->meetings = meetings;
    return rv;
}

static void choose(cs_item_t *item, int crm)
{
    item->crm = crm;
    item->meeting = item->meetings[crm];
}

/* 1 when the meeting is of the kind asked for: the first such is chosen. */
static int choose_first(const cs_batch_t *b, cs_item_t *item, int (*is)(const cs_meeting_t *))
{
    int crm;

    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        if (is(&item->meetings[crm])) {
            choose(item, crm);
            return 1;
        }
    }
    return 0;
}

static int links(const cs_meeting_t *meeting)
{
    return meeting->what == CS_MEET_LINK;
}

static int says_something(const cs_meeting_t *meeting)
{
    return meeting->what != CS_MEET_IGNORE;
}

static int count_links(const cs_batch_t *b, const cs_item_t *item)
{
    int crm, n = 0;

    for (crm = 0; item->meetings && crm < b->lane->site->ncrms; ++crm) {
        n += links(&item->meetings[crm]);
    }
    return n;
}

/* Nobody wants it: the first that was asked says why. */
static void ignore(const cs_batch_t *b, cs_item_t *item)
{
    int crm;

    memset(&item->meeting, 0, sizeof(item->meeting));
    item->meeting.what = CS_MEET_IGNORE;
    item->meeting.why = "no CRM is configured";
    for (crm = 0; crm < b->lane->site->ncrms; ++crm) {
        if (item->meetings[crm].why) {
            item->meeting = item->meetings[crm];
            return;
        }
    }
}

apr_status_t cs_meet_ask(cs_batch_t *b, cs_item_t *item, cs_result_t *res)
{
    int owner = item->deal->crm ? cs_lane_crm_index(b->lane, item->deal->crm) : -1;
    apr_status_t rv = ask_all(b, item, owner, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!choose_first(b, item, links) && !choose_first(b, item, takes) &&
        !choose_first(b, item, says_something)) {
        ignore(b, item);
    }
    return rv;
}

/* ---- who has the record ---- */

typedef struct asking_t {
    cs_item_t *item;
    int found, failed; /* index of a CRM, -1 = none */
    cs_result_t result;
} asking_t;

static int is_askable(const cs_batch_t *b, int crm)
{
    const char *name = cs_lane_upstream(b->lane, crm);

    return !cs_lane_suspension(b->lane, name) && !cs_breaker_open(b->lane, name);
}

static void take(cs_batch_t *b, asking_t *asking, int crm, const cs_crm_read_t *read)
{
    cs_item_account(b, asking->item, read->calls, read->took, read->correlation);
    if (read->result.cls == CS_CLASS_OK) {
        asking->found = asking->found < 0 ? crm : asking->found;
    }
    else if (read->result.cls != CS_CLASS_GONE && asking->failed < 0) {
        asking->failed = crm;
        asking->result = read->result;
    }
}

static void ask_crm(cs_batch_t *b, asking_t *askings, int n, int crm)
{
    cs_crm_read_t *reads = apr_pcalloc(b->p, sizeof(*reads) * (apr_size_t)(n + 1));
    asking_t **whose = apr_pcalloc(b->p, sizeof(*whose) * (apr_size_t)(n + 1));
    int i, m = 0;

    for (i = 0; i < n; ++i) {
        const cs_meeting_t *meeting = &askings[i].item->meetings[crm];
        const cs_mapping_kind_t *kind =
            links(meeting) ? cs_mapping_kind(b->lane->site->crms[crm].mapping, meeting->kind)
                           : NULL;
        if (!kind) {
            continue;
        }
        if (!is_askable(b, crm)) {
            askings[i].failed = askings[i].failed < 0 ? crm : askings[i].failed;
            continue;
        }
        reads[m].table = meeting->table;
        reads[m].id = meeting->record_id;
        reads[m].columns = cs_mapping_columns(kind);
        reads[m].lookups = cs_lane_lookups(kind, b->p);
        whose[m++] = &askings[i];
    }
    if (m) {
        b->lane->crm_impl[crm]->read(b->lane->crm[crm], reads, m, cs_time_mono() + STAGE, b->p);
    }
    for (i = 0; i < m; ++i) {
        take(b, whose[i], crm, &reads[i]);
    }
}

/* Found nowhere it stays with the first: its look says that the record does not exist. */
static void decide(cs_batch_t *b, asking_t *asking)
{
    cs_item_t *item = asking->item;

    if (asking->found >= 0) {
        choose(item, asking->found);
    }
    else if (asking->failed >= 0) {
        choose(item, asking->failed);
        cs_item_wait_for_crm(b, item);
        if (!item->over && asking->result.cls != CS_CLASS_OK) {
            cs_item_fail(item, cs_lane_upstream(b->lane, asking->failed), &asking->result);
        }
    }
}

void cs_batch_route(cs_batch_t *b)
{
    asking_t *askings = apr_pcalloc(b->p, sizeof(*askings) * (apr_size_t)(b->items->nelts + 1));
    int i, crm, n = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (!item->over && item->meets && count_links(b, item) > 1) {
            askings[n].item = item;
            askings[n].found = askings[n].failed = -1;
            ++n;
        }
    }
    for (crm = 0; n && crm < b->lane->site->ncrms; ++crm) {
        ask_crm(b, askings, n, crm);
    }
    for (i = 0; i < n; ++i) {
        decide(b, &askings[i]);
    }
}
