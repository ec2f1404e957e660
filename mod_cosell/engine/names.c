/* engine/names.c: work that names a row of a CRM. (deals 1, 7)
 *
 * A row that a deal's record shows wakes that deal; a child row its parent. A record that no deal
 * knows is asked whether it is worth one: opted in without a referral it becomes a deal, whose
 * identity is reserved here, before anything is posted; one that names a referral leaves the rest
 * to that referral's look; one that names a referral whose deal has another record is a copy. What
 * has an alias was folded into its deal when it was claimed and is not seen here. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crash.h"
#include "../base/json.h"
#include "../base/log.h"
#include "batch.h"

#define STAGE apr_time_from_sec(120)
#define WAKE_PORTION 500
/* Deals that one row wakes at once. */
#define WAKE_AT_ONCE 50

/* One name on its way to what it means. */
typedef struct naming_t {
    cs_item_t *item;
    const apr_array_header_t *tables; /* const char *: tables that may have the row */
    int table;                        /* index of the one that is asked */
    const cs_watched_t *watched;      /* of that table */
    const cs_record_t *record;
    cs_meeting_t meeting;
    cs_deal_t *rival; /* has the referral that the record names, and another record */
} naming_t;

typedef struct names_t {
    cs_batch_t *b;
    int crm;
    const cs_mapping_t *mapping;
    naming_t *names;
    int n;
} names_t;

static const char *crm_name(const names_t *t)
{
    return t->b->lane->site->crms[t->crm].cfg.name;
}

static const char *deal_name(const names_t *t, apr_int64_t id)
{
    return apr_psprintf(t->b->p, "deal:%" APR_INT64_T_FMT, id);
}

static void pass_on(const names_t *t, const naming_t *naming, const char *name)
{
    cs_batch_pass_on(t->b, name, naming->item->work->first, naming->item->trace);
}

/* ---- what shows the row ---- */

/* Of an account that thousands show the first go at once and the others when nothing else is due:
 * an edit of somebody else's deal must not wait for all of them. */
static void wake(const names_t *t, const naming_t *naming, apr_int64_t deal, int nth)
{
    cs_change_t *change;

    if (nth < WAKE_AT_ONCE) {
        pass_on(t, naming, deal_name(t, deal));
        return;
    }
    change = cs_batch_change(t->b, CS_CHANGE_NEXT_LOOK);
    change->value = deal;
    change->at = t->b->now;
}

/* Portion by portion: accepting must not wait for them. */
static apr_status_t wake_watchers(const names_t *t, const naming_t *naming, int *pwoken,
                                  cs_result_t *res)
{
    apr_array_header_t *ids = NULL;
    apr_int64_t after = 0;
    apr_status_t rv;
    int i, n = 0;

    *pwoken = 0;
    do {
        rv = cs_store_watchers(t->b->lane->store, t->b->lane->site->name, crm_name(t),
                               naming->item->asked_row, after, WAKE_PORTION, &ids, t->b->p, res);
        for (i = 0; rv == APR_SUCCESS && i < ids->nelts; ++i) {
            after = APR_ARRAY_IDX(ids, i, apr_int64_t);
            wake(t, naming, after, n++);
            *pwoken = 1;
        }
        if (rv == APR_SUCCESS && ids->nelts == WAKE_PORTION) {
            rv = cs_batch_commit(t->b, res);
        }
    } while (rv == APR_SUCCESS && ids->nelts == WAKE_PORTION);
    return rv;
}

/* ---- which tables may have it ---- */

static const cs_watched_t *watched_table(const names_t *t, const char *table)
{
    const apr_array_header_t *all = cs_mapping_watched(t->mapping);
    int i;

    for (i = 0; all && i < all->nelts; ++i) {
        const cs_watched_t *watched = &APR_ARRAY_IDX(all, i, const cs_watched_t);
        if (!strcmp(watched->table, table)) {
            return watched;
        }
    }
    return NULL;
}

static int is_worth_reading(const cs_watched_t *watched)
{
    return watched && (watched->record || (watched->parents && watched->parents->nelts));
}

/* Without a word about the table: those of the records, one after the other. */
static const apr_array_header_t *tables_of(const names_t *t, const char *table)
{
    const apr_array_header_t *all = cs_mapping_watched(t->mapping);
    apr_array_header_t *tables = apr_array_make(t->b->p, 4, sizeof(const char *));
    int i;

    if (table && is_worth_reading(watched_table(t, table))) {
        APR_ARRAY_PUSH(tables, const char *) = table;
    }
    for (i = 0; !table && all && i < all->nelts; ++i) {
        const cs_watched_t *watched = &APR_ARRAY_IDX(all, i, const cs_watched_t);
        if (watched->record) {
            APR_ARRAY_PUSH(tables, const char *) = watched->table;
        }
    }
    return tables;
}

/* One claim folds a bounded number of names into their deals: here may be more of them. */
static apr_status_t known_deal(const names_t *t, naming_t *naming, cs_result_t *res)
{
    cs_deal_t *deal = NULL;
    apr_status_t rv =
        cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, crm_name(t),
                           naming->item->asked_row, &deal, t->b->p, res);

    if (rv == CS_EPARSE) {
        cs_item_fail(naming->item, crm_name(t), res);
        return APR_SUCCESS;
    }
    if (rv == APR_SUCCESS && deal) {
        pass_on(t, naming, deal_name(t, deal->id));
        cs_item_finish(naming->item);
    }
    return rv;
}

static apr_status_t begin(names_t *t, cs_item_t *item, cs_result_t *res)
{
    naming_t *naming = &t->names[t->n];
    apr_status_t rv;
    int woken = 0;

    memset(naming, 0, sizeof(*naming));
    naming->item = item;
    rv = wake_watchers(t, naming, &woken, res);
    if (rv == APR_SUCCESS) {
        rv = known_deal(t, naming, res);
    }
    if (rv != APR_SUCCESS || item->over) {
        return rv;
    }
    naming->tables = woken && !item->asked_table ? apr_array_make(t->b->p, 1, sizeof(const char *))
                                                 : tables_of(t, item->asked_table);
    if (naming->tables->nelts) {
        ++t->n;
    }
    else {
        cs_item_finish(item);
    }
    return rv;
}

/* ---- reading ---- */

static void add_columns(apr_array_header_t *columns, const apr_array_header_t *more)
{
    int i, k;

    for (i = 0; more && i < more->nelts; ++i) {
        const char *column = APR_ARRAY_IDX(more, i, const char *);
        for (k = 0; k < columns->nelts && strcmp(APR_ARRAY_IDX(columns, k, const char *), column);
             ++k) {
        }
        if (k == columns->nelts) {
            APR_ARRAY_PUSH(columns, const char *) = column;
        }
    }
}

static void fill_read(const names_t *t, const naming_t *naming, cs_crm_read_t *read)
{
    const cs_mapping_kind_t *kind =
        naming->watched->record ? cs_mapping_kind_of_table(t->mapping, naming->watched->table)
                                : NULL;
    apr_array_header_t *columns = apr_array_make(t->b->p, 16, sizeof(const char *));

    if (kind) {
        add_columns(columns, cs_mapping_columns(kind));
        read->lookups = cs_lane_lookups(kind, t->b->p);
    }
    else {
        read->lookups = apr_array_make(t->b->p, 1, sizeof(cs_crm_lookup_t));
    }
    add_columns(columns, naming->watched->columns);
    add_columns(columns, naming->watched->parents);
    read->table = naming->watched->table;
    read->id = naming->item->asked_row;
    read->columns = columns;
}

static void take_read(const names_t *t, naming_t *naming, const cs_crm_read_t *read)
{
    cs_item_account(t->b, naming->item, read->calls, read->took, read->correlation);
    if (read->result.cls == CS_CLASS_OK) {
        naming->record = read->record;
    }
    else if (read->result.cls == CS_CLASS_GONE) {
        ++naming->table;
    }
    else {
        cs_item_fail(naming->item, crm_name(t), &read->result);
    }
}

/* One table of every name that has not been found. Returns how many were asked for. */
static int read_round(names_t *t)
{
    cs_crm_read_t *reads = apr_pcalloc(t->b->p, sizeof(*reads) * (apr_size_t)(t->n + 1));
    naming_t **whose = apr_pcalloc(t->b->p, sizeof(*whose) * (apr_size_t)(t->n + 1));
    int i, n = 0;

    for (i = 0; i < t->n; ++i) {
        naming_t *naming = &t->names[i];
        if (naming->item->over || naming->record) {
            continue;
        }
        if (naming->table >= naming->tables->nelts) {
            /* Deleted, or none of ours: whoever showed it was woken. */
            cs_item_finish(naming->item);
            continue;
        }
        naming->watched =
            watched_table(t, APR_ARRAY_IDX(naming->tables, naming->table, const char *));
        fill_read(t, naming, &reads[n]);
        whose[n++] = naming;
    }
    if (n) {
        t->b->lane->crm_impl[t->crm]->read(t->b->lane->crm[t->crm], reads, n,
                                           cs_time_mono() + STAGE, t->b->p);
    }
    for (i = 0; i < n; ++i) {
        take_read(t, whose[i], &reads[i]);
    }
    return n;
}

/* ---- a child row ---- */

static void ask_parents(const names_t *t, naming_t *naming)
{
    int i;

    for (i = 0; naming->watched->parents && i < naming->watched->parents->nelts; ++i) {
        const char *column = APR_ARRAY_IDX(naming->watched->parents, i, const char *);
        const char *id = cs_json_str(json_object_get(naming->record->row, column), "id");
        if (id && *id) {
            pass_on(t, naming, apr_pstrcat(t->b->p, crm_name(t), ":", id, NULL));
        }
    }
}

/* ---- a record ---- */

static void new_deal(const names_t *t, naming_t *naming)
{
    cs_deal_t *deal = apr_pcalloc(t->b->p, sizeof(*deal));

    deal->site = t->b->lane->site->name;
    deal->crm = crm_name(t);
    deal->state = CS_DEAL_NEW;
    deal->created = deal->updated = t->b->now;
    deal->kind = naming->meeting.kind;
    deal->table = naming->meeting.table ? naming->meeting.table : naming->watched->table;
    deal->record_id = naming->meeting.record_id && naming->meeting.what == CS_MEET_CREATE
                          ? naming->meeting.record_id
                          : naming->record->id;
    naming->item->deal = deal;
    naming->item->fresh = 1;
}

/* What follows in this very batch, and what comes in meanwhile, finds the deal by its record. */
static void reserve(const names_t *t, naming_t *naming)
{
    cs_change_t *change;

    new_deal(t, naming);
    cs_batch_change(t->b, CS_CHANGE_DEAL)->deal = naming->item->deal;
    change = cs_batch_change(t->b, CS_CHANGE_ALIAS);
    change->deal = naming->item->deal;
    change->system = crm_name(t);
    change->name = naming->item->deal->record_id;
    change = cs_batch_change(t->b, CS_CHANGE_FOLD);
    change->deal = naming->item->deal;
    change->work = naming->item->work;
}

static apr_status_t meet_record(const names_t *t, naming_t *naming)
{
    cs_deal_t none = {0};
    cs_look_t look = {0};
    cs_result_t result = {0};

    none.site = t->b->lane->site->name;
    look.mapping = t->mapping;
    look.site = none.site;
    look.crm = crm_name(t);
    look.organization = t->b->lane->organization;
    look.deal = &none;
    look.record = naming->record;
    look.record_read = 1;
    look.metadata = cs_metadata_of(t->b->lane, t->crm);
    look.notified = 1;
    look.now = t->b->now;
    naming->meeting.what = CS_MEET_IGNORE;
    if (cs_reconcile_meet_record(&naming->meeting, &look, naming->watched->table, t->b->p,
                                 &result) != APR_SUCCESS) {
        cs_item_fail(naming->item, crm_name(t), &result);
    }
    return APR_SUCCESS;
}

/* What a deal's record turns into (a lead that is qualified) takes the referral's id along: the
 * deal's own look finds it. */
static int may_have_become(const names_t *t, const naming_t *naming, const cs_deal_t *deal)
{
    const cs_mapping_kind_t *was = deal->kind ? cs_mapping_kind(t->mapping, deal->kind) : NULL;
    const char *via;
    const cs_mapping_kind_t *is = was ? cs_mapping_becomes(was, &via) : NULL;

    return is && !strcmp(cs_mapping_kind_table(is), naming->watched->table);
}

/* The deal's record may be this one: a look that made it was not heard to its end. */
static int is_being_made(const names_t *t, const cs_deal_t *deal)
{
    return deal->crm && !strcmp(deal->crm, crm_name(t)) && cs_deal_is_reserved(t->b, t->crm, deal);
}

/* It names a referral. */
static apr_status_t follow_link(const names_t *t, naming_t *naming, cs_result_t *res)
{
    const char *referral = naming->meeting.record_id;
    cs_deal_t *deal = NULL;
    apr_status_t rv = cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, CS_SYSTEM_PC,
                                         referral, &deal, t->b->p, res);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!deal) {
        pass_on(t, naming, apr_pstrcat(t->b->p, "pc:", referral, NULL));
        cs_item_finish(naming->item);
    }
    else if (!deal->record_id || !strcmp(deal->record_id, naming->record->id) ||
             is_being_made(t, deal) || may_have_become(t, naming, deal)) {
        pass_on(t, naming, deal_name(t, deal->id));
        cs_item_finish(naming->item);
    }
    else {
        naming->rival = deal;
    }
    return rv;
}

/* A row may be asked for under another spelling of its id: two deals of one row would stop the
 * lane, for no transaction takes them. */
static apr_status_t take_in(const names_t *t, naming_t *naming, cs_result_t *res)
{
    const char *id = naming->meeting.record_id ? naming->meeting.record_id : naming->record->id;
    cs_deal_t *deal = NULL;
    apr_status_t rv = cs_store_deal_find(t->b->lane->store, t->b->lane->site->name, crm_name(t), id,
                                         &deal, t->b->p, res);

    if (rv == CS_EPARSE) {
        cs_item_fail(naming->item, crm_name(t), res);
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (deal) {
        pass_on(t, naming, deal_name(t, deal->id));
        cs_item_finish(naming->item);
    }
    else if (cs_batch_alias_taken(t->b, NULL, crm_name(t), id)) {
        pass_on(t, naming, apr_pstrcat(t->b->p, crm_name(t), ":", id, NULL));
        cs_item_finish(naming->item);
    }
    else {
        reserve(t, naming);
    }
    return rv;
}

static apr_status_t judge(const names_t *t, naming_t *naming, cs_result_t *res)
{
    if (!naming->watched->record) {
        ask_parents(t, naming);
        cs_item_finish(naming->item);
        return APR_SUCCESS;
    }
    meet_record(t, naming);
    if (naming->item->over) {
        return APR_SUCCESS;
    }
    switch (naming->meeting.what) {
    case CS_MEET_CREATE:
        return take_in(t, naming, res);
    case CS_MEET_LINK:
        return follow_link(t, naming, res);
    default:
        cs_log(CS_LOG_DEBUG, 0, t->b->lane->site->name, "%s %s is left alone: %s",
               naming->watched->table, naming->record->id,
               naming->meeting.why ? naming->meeting.why : "no reason");
        cs_item_finish(naming->item);
        return APR_SUCCESS;
    }
}

/* ---- two records of one referral ---- */

/* The deal's own record is there: this one is a copy of it, and is told so; no deal is kept of it.
 */
static void take_off(const names_t *t, naming_t *naming)
{
    new_deal(t, naming);
    if (!naming->item->deal->kind) {
        const cs_mapping_kind_t *kind =
            cs_mapping_kind_of_table(t->mapping, naming->watched->table);
        naming->item->deal->kind = kind ? cs_mapping_kind_name(kind) : NULL;
    }
    naming->item->copy_of = naming->rival;
}

static int is_elsewhere(const names_t *t, const cs_deal_t *deal)
{
    return deal->crm && strcmp(deal->crm, crm_name(t));
}

/* The deal's own record is gone, or another CRM has it: whether this one takes its place is for a
 * person to say. */
static void ask_person(const names_t *t, naming_t *naming)
{
    cs_deal_t *deal = naming->rival;
    const char *why = apr_psprintf(
        t->b->p,
        "the %s %s names referral %s, whose own record %s %s: link them, or take the "
        "referral's id off the %s",
        naming->watched->table, naming->record->id, deal->referral_id, deal->record_id,
        is_elsewhere(t, deal) ? apr_pstrcat(t->b->p, "is in ", deal->crm, NULL) : "is gone",
        naming->watched->table);
    cs_journal_t *journal;
    cs_change_t *change;

    cs_item_finish(naming->item);
    if (deal->problem && !strcmp(deal->problem, why)) {
        return;
    }
    deal->problem = why;
    cs_deal_cause(deal, "relink", "Another record names the deal's referral", t->b->p);
    cs_batch_change(t->b, CS_CHANGE_DEAL)->deal = deal;
    journal = apr_pcalloc(t->b->p, sizeof(*journal));
    journal->at = t->b->now;
    journal->direction = "";
    journal->action = "relink";
    journal->outcome = "held";
    journal->why = why;
    journal->mapping = cs_mapping_revision(t->mapping);
    change = cs_batch_change(t->b, CS_CHANGE_JOURNAL);
    change->journal = journal;
    change->deal = deal;
}

static void take_rival(const names_t *t, naming_t *naming, const cs_crm_read_t *read)
{
    cs_item_account(t->b, naming->item, read->calls, read->took, read->correlation);
    if (read->result.cls == CS_CLASS_OK) {
        take_off(t, naming);
    }
    else if (read->result.cls == CS_CLASS_GONE) {
        ask_person(t, naming);
    }
    else {
        cs_item_fail(naming->item, crm_name(t), &read->result);
    }
}

static void read_rivals(names_t *t)
{
    cs_crm_read_t *reads = apr_pcalloc(t->b->p, sizeof(*reads) * (apr_size_t)(t->n + 1));
    naming_t **whose = apr_pcalloc(t->b->p, sizeof(*whose) * (apr_size_t)(t->n + 1));
    int i, n = 0;

    for (i = 0; i < t->n; ++i) {
        naming_t *naming = &t->names[i];
        if (naming->item->over || !naming->rival) {
            continue;
        }
        if (!naming->rival->crm || is_elsewhere(t, naming->rival)) {
            ask_person(t, naming);
            continue;
        }
        fill_read(t, naming, &reads[n]);
        reads[n].table = naming->rival->table;
        reads[n].id = naming->rival->record_id;
        whose[n++] = naming;
    }
    if (n) {
        t->b->lane->crm_impl[t->crm]->read(t->b->lane->crm[t->crm], reads, n,
                                           cs_time_mono() + STAGE, t->b->p);
    }
    for (i = 0; i < n; ++i) {
        take_rival(t, whose[i], &reads[i]);
    }
}

/* ---- together ---- */

static apr_status_t name_rows_of(cs_batch_t *b, int crm, cs_result_t *res)
{
    names_t t = {b, crm, b->lane->site->crms[crm].mapping,
                 apr_pcalloc(b->p, sizeof(naming_t) * (apr_size_t)(b->items->nelts + 1)), 0};
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < b->items->nelts; ++i) {
        cs_item_t *item = APR_ARRAY_IDX(b->items, i, cs_item_t *);
        if (item->over || !item->asked_row || item->crm != crm) {
            continue;
        }
        cs_item_wait_for_crm(b, item);
        if (!item->over) {
            rv = begin(&t, item, res);
        }
    }
    while (rv == APR_SUCCESS && read_round(&t)) {
    }
    for (i = 0; rv == APR_SUCCESS && i < t.n; ++i) {
        if (!t.names[i].item->over && t.names[i].record) {
            rv = judge(&t, &t.names[i], res);
        }
    }
    if (rv == APR_SUCCESS) {
        read_rivals(&t);
        rv = cs_batch_commit(t.b, res);
    }
    return rv;
}

apr_status_t cs_batch_name_rows(cs_batch_t *b, cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    int crm, i, any = 0;

    for (i = 0; i < b->items->nelts; ++i) {
        any |= APR_ARRAY_IDX(b->items, i, cs_item_t *)->asked_row != NULL;
    }
    for (crm = 0; any && rv == APR_SUCCESS && crm < b->lane->site->ncrms; ++crm) {
        rv = name_rows_of(b, crm, res);
    }
    if (any && rv == APR_SUCCESS) {
        CS_CRASH_POINT("look-named");
    }
    return rv;
}
