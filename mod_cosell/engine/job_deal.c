/* engine/job_deal.c: what a person decides about one deal: link, choose, create, ignore, unlink,
 * resolve. (deals 1; design 7.6)
 *
 * A decision changes the deal's row and asks for a look; nothing is written outside by it. */
#include <string.h>

#include <apr_strings.h>

#include "../base/json.h"
#include "../domain/decide.h"
#include "job.h"

#define PATIENCE apr_time_from_sec(30)
#define CHOICES_MAX 20

/* ---- what all have ---- */

/* *pdeal NULL: there is none, and the job has failed saying so. */
static apr_status_t load(cs_job_turn_t *t, cs_deal_t **pdeal, cs_result_t *res)
{
    const char *id = cs_json_str(t->arguments, "deal");
    int many;
    apr_status_t rv = cs_job_find_deal(t, id, pdeal, &many, res);

    if (rv == APR_SUCCESS && !*pdeal && !many) {
        cs_job_no_deal(t, id);
    }
    return rv;
}

static void add_look(cs_job_turn_t *t, const cs_deal_t *deal)
{
    cs_job_look_at(t, apr_psprintf(t->b->p, "deal:%" APR_INT64_T_FMT, deal->id));
}

static void change_alias(cs_job_turn_t *t, cs_change_e kind, cs_deal_t *deal, const char *crm,
                         const char *record)
{
    cs_change_t *change = cs_batch_change(t->b, kind);

    change->deal = deal;
    change->system = crm;
    change->name = record;
}

static void decided(cs_job_turn_t *t, cs_deal_t *deal, const char *text)
{
    deal->updated = t->b->now;
    cs_batch_change(t->b, CS_CHANGE_DEAL)->deal = deal;
    cs_job_journal(t, deal->id, "done", text);
    cs_job_done(t, json_pack("{s:s, s:I}", "text", text, "deal", (json_int_t)deal->id));
}

static int is_linked(const cs_deal_t *deal)
{
    return deal->state == CS_DEAL_LINKED || deal->state == CS_DEAL_CLOSED;
}

/* 1 when the deal may get another record; else the job has failed. */
static int may_point(cs_job_turn_t *t, const cs_deal_t *deal)
{
    if (!deal->referral_id) {
        cs_job_failed(t, "deal %" APR_INT64_T_FMT " has no referral yet: it is its record's own",
                      deal->id);
        return 0;
    }
    if (is_linked(deal)) {
        cs_job_failed(t, "deal %" APR_INT64_T_FMT " has the record %s; unlink it first", deal->id,
                      deal->record_id ? deal->record_id : "?");
        return 0;
    }
    return 1;
}

/* ---- link {deal, record} ---- */

typedef struct found_t {
    int crm;
    const cs_mapping_kind_t *kind;
    const char *id;
} found_t;

static apr_status_t read_row(cs_job_turn_t *t, int crm, const cs_mapping_kind_t *kind,
                             const char *id, cs_crm_read_t *read)
{
    cs_lane_t *lane = t->b->lane;

    memset(read, 0, sizeof(*read));
    read->table = cs_mapping_kind_table(kind);
    read->id = id;
    read->columns = cs_mapping_columns(kind);
    read->lookups = cs_lane_lookups(kind, t->b->p);
    return lane->crm_impl[crm]->read(lane->crm[crm], read, 1, cs_time_mono() + PATIENCE, t->b->p);
}

/* The kind whose table has the row. 1 = found; 0 = it has not; -1 = it could not be asked, and the
 * turn has ended. */
static int find_in(cs_job_turn_t *t, int crm, const char *id, found_t *found)
{
    const cs_mapping_t *mapping = t->b->lane->site->crms[crm].mapping;
    const char *own = cs_row_id(t->b->lane->crm_impl[crm]->facts->id_form, id, t->b->p);
    const cs_mapping_kind_t *kind;
    cs_crm_read_t read;
    int i;

    for (i = 0; own && mapping && (kind = cs_mapping_kind_at(mapping, i)) != NULL; ++i) {
        read_row(t, crm, kind, own, &read);
        if (read.record) {
            *found = (found_t){crm, kind, read.record->id ? read.record->id : own};
            return 1;
        }
        if (read.result.cls != CS_CLASS_GONE && read.result.cls != CS_CLASS_OK) {
            cs_job_trouble(t, cs_lane_upstream(t->b->lane, crm), &read.result);
            return -1;
        }
    }
    return 0;
}

static int find_row(cs_job_turn_t *t, const char *id, found_t *found)
{
    int crm, got = 0;

    for (crm = 0; !got && crm < t->b->lane->site->ncrms; ++crm) {
        got = find_in(t, crm, id, found);
    }
    if (!got) {
        cs_job_failed(t, "no record that the mapping knows has the id \"%.80s\"", id);
    }
    return got == 1;
}

/* The row is nobody's, or of a deal that rests: then it changes hands. 0 = the job has failed. */
static apr_status_t take_alias(cs_job_turn_t *t, cs_deal_t *deal, const found_t *found, int *pmay,
                               cs_result_t *res)
{
    const char *crm = t->b->lane->site->crms[found->crm].cfg.name;
    cs_deal_t *holder = NULL;
    apr_status_t rv = cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, crm, found->id,
                                         &holder, t->b->p, res);

    *pmay = 1;
    if (rv != APR_SUCCESS || (holder && holder->id == deal->id)) {
        return rv;
    }
    if (holder && holder->state != CS_DEAL_UNLINKED && holder->state != CS_DEAL_GONE) {
        cs_job_failed(t, "the record is deal %" APR_INT64_T_FMT "'s; unlink that first",
                      holder->id);
        *pmay = 0;
        return rv;
    }
    if (holder) {
        change_alias(t, CS_CHANGE_ALIAS_DROP, holder, crm, found->id);
    }
    change_alias(t, CS_CHANGE_ALIAS, deal, crm, found->id);
    return rv;
}

static void drop_former(cs_job_turn_t *t, cs_deal_t *deal, const char *record)
{
    if (deal->crm && deal->record_id && (!record || strcmp(deal->record_id, record))) {
        change_alias(t, CS_CHANGE_ALIAS_DROP, deal, deal->crm, deal->record_id);
    }
}

static apr_status_t link_to(cs_job_turn_t *t, cs_deal_t *deal, const char *record,
                            cs_result_t *res)
{
    found_t found;
    apr_status_t rv;
    int may = 0;

    if (!may_point(t, deal) || !find_row(t, record, &found)) {
        return APR_SUCCESS;
    }
    rv = take_alias(t, deal, &found, &may, res);
    if (rv == APR_SUCCESS && may) {
        drop_former(t, deal, found.id);
        cs_decide_link(deal, t->b->lane->site->crms[found.crm].cfg.name, found.kind, found.id);
        add_look(t, deal);
        decided(t, deal,
                apr_psprintf(t->b->p, "linked to the record %s; both are compared now", found.id));
    }
    return rv;
}

static apr_status_t link_deal(cs_job_turn_t *t, cs_result_t *res)
{
    cs_deal_t *deal;
    apr_status_t rv = load(t, &deal, res);

    return rv == APR_SUCCESS && deal ? link_to(t, deal, cs_json_str(t->arguments, "record"), res)
                                     : rv;
}

static const char *const link_members[] = {"deal:s", "record:s", NULL};
static const char *const link_required[] = {"deal", "record", NULL};
const cs_job_kind_t cs_job_link = {"link", link_members, link_required, NULL, link_deal, 1, 0};

/* ---- choose {deal, row} ---- */

static apr_status_t remember_choice(cs_job_turn_t *t, cs_deal_t *deal, const char *row,
                                    cs_result_t *res)
{
    const char *name = cs_chosen_fact(deal->id, t->b->p), *text = NULL;
    json_t *rows = NULL;
    apr_status_t rv = cs_store_meta_get(t->b->lane->store, t->b->lane->site->name, name, &text,
                                        t->b->p, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (text) {
        cs_json_parse(&rows, text, strlen(text), NULL, t->b->p, NULL);
    }
    rows = cs_json_own(json_is_array(rows) ? rows : json_array(), t->b->p);
    json_array_append_new(rows, json_string(row));
    while (json_array_size(rows) > CHOICES_MAX) {
        json_array_remove(rows, 0);
    }
    cs_lane_fact(name, cs_json_print(rows, t->b->p), t->b->changes);
    add_look(t, deal);
    decided(t, deal, apr_psprintf(t->b->p, "%s chosen where several rows match", row));
    return rv;
}

/* What the last look found several rows for names them all. */
static int was_proposed(cs_job_turn_t *t, const cs_deal_t *deal, const char *row)
{
    return strlen(row) >= 15 && ((deal->problem && strstr(deal->problem, row)) ||
                                 strstr(cs_json_print(deal->images, t->b->p), row));
}

/* Of a parked deal its record is meant; else the row of one of its look-ups, by being among the
 * candidates. */
static apr_status_t choose_row(cs_job_turn_t *t, cs_result_t *res)
{
    const char *row = cs_json_str(t->arguments, "row");
    cs_deal_t *deal;
    apr_status_t rv = load(t, &deal, res);

    if (rv != APR_SUCCESS || !deal) {
        return rv;
    }
    if (deal->state == CS_DEAL_PARKED) {
        return link_to(t, deal, row, res);
    }
    if (!was_proposed(t, deal, row)) {
        cs_job_failed(t, "deal %" APR_INT64_T_FMT " waits for no choice among rows of which one is "
                      "\"%.80s\"", deal->id, row);
        return rv;
    }
    return remember_choice(t, deal, row, res);
}

static const char *const choose_members[] = {"deal:s", "row:s", NULL};
static const char *const choose_required[] = {"deal", "row", NULL};
const cs_job_kind_t cs_job_choose = {"choose", choose_members, choose_required, NULL, choose_row, 1,
                                     0};

/* ---- create {deal} ---- */

/* What the meeting said; of a site with one CRM and one kind there is nothing to be asked. */
static const cs_mapping_kind_t *kind_of(cs_job_turn_t *t, const cs_deal_t *deal, int *pcrm)
{
    const cs_site_config_t *site = t->b->lane->site;
    int crm = deal->crm ? cs_lane_crm_index(t->b->lane, deal->crm) : -1;

    *pcrm = crm;
    return crm >= 0 && deal->kind && site->crms[crm].mapping
               ? cs_mapping_kind(site->crms[crm].mapping, deal->kind)
               : NULL;
}

static apr_status_t create_record(cs_job_turn_t *t, cs_result_t *res)
{
    const cs_mapping_kind_t *kind;
    cs_deal_t *deal;
    apr_status_t rv = load(t, &deal, res);
    int crm;

    if (rv != APR_SUCCESS || !deal || !may_point(t, deal)) {
        return rv;
    }
    kind = kind_of(t, deal, &crm);
    if (!kind) {
        cs_job_failed(t, "no record kind of the mapping takes this referral%s%s",
                      deal->problem ? ": " : "", deal->problem ? deal->problem : "");
        return rv;
    }
    drop_former(t, deal, NULL);
    cs_decide_create(deal, t->b->lane->site->crms[crm].cfg.name, kind, t->b->p);
    change_alias(t, CS_CHANGE_ALIAS, deal, deal->crm, deal->record_id);
    add_look(t, deal);
    decided(t, deal, "it gets a record of its own now");
    return rv;
}

static const char *const deal_members[] = {"deal:s", NULL};
static const char *const deal_required[] = {"deal", NULL};
const cs_job_kind_t cs_job_create = {"create", deal_members, deal_required, NULL, create_record, 1,
                                     1};

/* ---- unlink {deal}, ignore {deal} ---- */

static apr_status_t rest(cs_job_turn_t *t, int linked, const char *word, cs_result_t *res)
{
    cs_deal_t *deal;
    apr_status_t rv = load(t, &deal, res);

    if (rv != APR_SUCCESS || !deal) {
        return rv;
    }
    if (is_linked(deal) != linked) {
        cs_job_failed(t, "deal %" APR_INT64_T_FMT " is %s: %s", deal->id,
                      cs_deal_state_name(deal->state),
                      linked ? "it has no record to be unlinked from"
                             : "it has a record; unlink it");
        return rv;
    }
    cs_decide_rest(deal, apr_psprintf(t->b->p, "%s by %s: neither side is changed; link or create "
                                      "brings it back", word, t->user), t->b->p);
    cs_lane_fact(cs_chosen_fact(deal->id, t->b->p), NULL, t->b->changes);
    decided(t, deal, apr_psprintf(t->b->p, "%s: both sides stay as they are", word));
    return rv;
}

static apr_status_t unlink_deal(cs_job_turn_t *t, cs_result_t *res)
{
    return rest(t, 1, "unlinked", res);
}

static apr_status_t ignore_deal(cs_job_turn_t *t, cs_result_t *res)
{
    return rest(t, 0, "ignored", res);
}

const cs_job_kind_t cs_job_unlink = {"unlink", deal_members, deal_required, NULL, unlink_deal, 0,
                                     1};
const cs_job_kind_t cs_job_ignore = {"ignore", deal_members, deal_required, NULL, ignore_deal, 0,
                                     1};

/* ---- resolve {deal, line, side} ---- */

static int is_pc(const char *side)
{
    return !strcmp(side, CS_UPSTREAM_PC);
}

/* 0 = it is none of the deal's, and the job has failed saying so. */
static int is_side(cs_job_turn_t *t, const cs_deal_t *deal, const char *side)
{
    if (is_pc(side) || !strcmp(side, "crm") || (deal->crm && !strcmp(side, deal->crm))) {
        return 1;
    }
    cs_job_failed(t, "side=\"%.40s\": allowed are partner-center, crm%s%s", side,
                  deal->crm ? " and " : "", deal->crm ? deal->crm : "");
    return 0;
}

static apr_status_t resolve(cs_job_turn_t *t, cs_result_t *res)
{
    const char *line = cs_json_str(t->arguments, "line"), *side = cs_json_str(t->arguments, "side");
    const char *wrong;
    cs_deal_t *deal;
    apr_status_t rv = load(t, &deal, res);

    if (rv != APR_SUCCESS || !deal) {
        return rv;
    }
    if (deal->state != CS_DEAL_LINKED) {
        cs_job_failed(t, "deal %" APR_INT64_T_FMT " is %s: nothing of it is in conflict", deal->id,
                      cs_deal_state_name(deal->state));
        return rv;
    }
    if (!is_side(t, deal, side)) {
        return rv;
    }
    wrong = cs_decide_conflict(deal, line, is_pc(side), t->b->p);
    if (wrong) {
        cs_job_failed(t, "%s", wrong);
        return rv;
    }
    add_look(t, deal);
    decided(t, deal, apr_psprintf(t->b->p, "conflict of %s decided for %s", line,
                                  is_pc(side) ? "Partner Center" : "the CRM"));
    return rv;
}

static const char *const resolve_members[] = {"deal:s", "line:s", "side:s", NULL};
static const char *const resolve_required[] = {"deal", "line", "side", NULL};
const cs_job_kind_t cs_job_resolve = {"resolve", resolve_members, resolve_required, NULL,
                                      resolve,   0,               1};
