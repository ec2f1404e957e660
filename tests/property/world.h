/* Both sides of one deal in memory, and everything that users, Partner Center and the CRM do to them. What the CRM makes of a write, and the order in which
 * steps are applied, are as in engine/apply.c; the refusal of single values is the engine's own (engine/refuse.c).
 */
#ifndef CS_TESTS_PROPERTY_WORLD_H
#define CS_TESTS_PROPERTY_WORLD_H

#include "world_apply.h"

/* ---- looking ---- */

static void world_fetch(world_t *w, int lagging)
{
    json_t *doc = lagging & LAGS_PC ? w->old_doc : w->doc;

    memset(&w->look, 0, sizeof(w->look));
    if (doc) {
        w->own = *pc_card(w, doc, lagging & LAGS_PC ? w->old_pc_version : w->pc_version);
    }
    w->microsoft.id = "msft-card";
    w->microsoft.organization_id = "msft";
    w->microsoft.doc = lagging & LAGS_PC ? w->old_ms : w->ms;
    w->look.mapping = w->mapping;
    w->look.site = "contoso";
    w->look.crm = "sales";
    w->look.organization = "own";
    w->look.deal = &w->deal;
    w->look.own = doc ? &w->own : NULL;
    w->look.microsoft = w->microsoft.doc ? &w->microsoft : NULL;
    w->look.record_read = 1;
    w->look.now = w->now;
    w->look.explain_url = "https://example.org/why";
}

/* Of each row nothing but what was asked for. */
static json_t *asked_rows(const json_t *entries, const cs_related_t *rows)
{
    json_t *out = json_deep_copy(entries), *entry, *row, *less;
    size_t i;
    int k;

    json_array_foreach(out, i, entry) {
        row = json_object_get(entry, "row");
        less = json_object();
        for (k = 0; k < rows->columns->nelts; k++) {
            const char *text = APR_ARRAY_IDX(rows->columns, k, const char *);
            json_t *name = json_stringn(text, strcspn(text, "/"));

            if (json_object_get(row, json_string_value(name))) {
                json_object_set(less, json_string_value(name), json_object_get(row, json_string_value(name)));
            }
            json_decref(name);
        }
        json_object_set_new(entry, "row", less);
    }
    return out;
}

static void read_related(world_t *w, const json_t *lists)
{
    const apr_array_header_t *related = cs_mapping_related(w->kind);
    json_t *out = cs_json_own(json_object(), w->p);
    int i;

    for (i = 0; i < related->nelts; i++) {
        const cs_related_t *rows = &APR_ARRAY_IDX(related, i, cs_related_t);
        const json_t *now = json_object_get(lists, rows->list);

        if (!is_masked(w, rows->list)) {
            json_object_set_new(out, rows->list, now ? asked_rows(now, rows) : json_array());
        }
    }
    w->record.related = out;
}

/* A row whose id nobody knows is found by its key alone. */
static int is_found(const world_t *w, const json_t *row)
{
    const json_t *key = cs_mapping_key_of(w->kind, &w->deal, w->p);
    const char *text = cs_json_str(row, "msft_id");

    return !key || (text && !strcmp(text, cs_json_str(key, "msft_id")));
}

static void world_read(world_t *w, int lagging)
{
    int old = lagging & LAGS_CRM;
    json_t *row = old ? w->old_row : w->row;

    row = row && is_found(w, row) ? row : NULL;
    world_fetch(w, lagging);
    w->lags = lagging;
    w->read_version = w->version;
    w->read_pc_version = w->pc_version;
    if (row) {
        memset(&w->record, 0, sizeof(w->record));
        w->record.table = w->crm->table;
        w->record.id = cs_json_str(row, w->crm->key);
        w->record.version = version_text(w, old ? w->old_version : w->version);
        w->record.modified = version_at(old ? w->old_version : w->version);
        w->record.order = w->crm->names_rows ? 0 : old ? w->old_version : w->version;
        w->record.row = visible_row(w, row);
        read_related(w, old ? w->old_lists : w->lists);
        w->look.record = &w->record;
    }
    if (!(trait(w, "metadata", NULL, 6) == 0) && (w->quiet || w->knobs->no_metadata_gaps || chance(w, "metadata", NULL, 8))) {
        w->look.metadata = w->metadata;
    }
    w->look.edited = w->look.record && (!w->deal.crm_version || strcmp(w->record.version, w->deal.crm_version));
}

static void world_plan(world_t *w)
{
    cs_result_t res = {0};

    if (cs_reconcile_plan(&w->plan, &w->look, w->p, w->p, &res) != APR_SUCCESS) {
        fprintf(stderr, "plan: %s\n", res.detail);
        abort();
    }
}

static void world_settle(world_t *w)
{
    cs_deal_t before = w->deal;
    cs_result_t res = {0};

    before.intent = w->earlier;
    w->look.deal = &before;
    if (cs_reconcile_settle(&w->deal, w->journal, w->plan, &w->look, w->applied, w->p, w->p, &res) != APR_SUCCESS) {
        fprintf(stderr, "settle: %s\n", res.detail);
        abort();
    }
    w->look.deal = &w->deal;
}

/* ---- the beginning ---- */

static const char world_tables[] =
    "{\"transactioncurrency\":[{\"id\":\"usd\",\"isocurrencycode\":\"USD\"},{\"id\":\"eur\",\"isocurrencycode\":\"EUR\"},{\"id\":\"jpy\",\"isocurrencycode\":\"JPY\"},"
    "{\"id\":\"kwd\",\"isocurrencycode\":\"KWD\"}],"
    "\"place\":[{\"id\":\"t1\",\"tname\":\"Berlin\"},{\"id\":\"t2\",\"tname\":\"Paris\"},{\"id\":\"t3\",\"tname\":\"Rom\"},{\"id\":\"t4\",\"tname\":\"Twin\"},"
    "{\"id\":\"t5\",\"tname\":\"Twin\"}],"
    "\"account\":[{\"id\":\"a1\",\"name\":\"Contoso\",\"zip\":\"10115\",\"accountnumber\":\"77\"}],"
    "\"solutiondetail\":[{\"id\":\"d1\",\"sid\":\"S1\",\"sname\":\"Backup\"},{\"id\":\"d2\",\"sid\":\"s2\",\"sname\":\"Cloud\"}],"
    "\"contact\":[{\"id\":\"c1\",\"email1\":\"ann@x.org\",\"firstname\":\"Ann\"},{\"id\":\"c2\",\"email1\":\"bob@x.org\",\"firstname\":\"bob@x.org\"}],"
    "\"systemuser\":[{\"id\":\"u1\",\"mail\":\"Ann@x.org\",\"firstname\":\"Ann\"},{\"id\":\"u2\",\"mail\":\"bob@x.org\",\"firstname\":\"Bob\"},"
    "{\"id\":\"u3\",\"mail\":\"cid@x.org\",\"firstname\":\"Cid\"},{\"id\":\"u9\",\"mail\":\"boss@x.org\",\"firstname\":\"Boss\"}]}";

static void add_facts(world_t *w, json_t *columns, const slot_t *slot)
{
    static const char *const types[] = {"text", "money", "date", "flag", "choice", "choice", "look-up", "look-up", "text", "choice"};
    json_t *facts = json_pack("{s:s,s:s}", "label", apr_pstrcat(w->p, "Label of ", slot->line, NULL), "type", types[slot->type]);

    if (slot->type == SLOT_TEXT && trait(w, "facts-max", slot->line, 3) == 0) {
        json_object_set_new(facts, "max", json_integer(4 + trait(w, "facts-units", slot->line, 20)));
    }
    if (slot->type == SLOT_MONEY && trait(w, "facts-precision", slot->line, 3) == 0) {
        json_object_set_new(facts, "precision", json_integer(trait(w, "facts-digits", slot->line, 3)));
    }
    if (slot->type == SLOT_LABEL) {
        json_object_set_new(facts, "options", json_loads("[{\"value\":100,\"label\":\"Spring sale\"},{\"value\":101,\"label\":\"Autumn sale\"},"
                                                         "{\"value\":102,\"label\":\"Winter sale\"}]",
                                                         0, NULL));
    }
    if (quirk_of(w, slot->col) == QUIRK_CALCULATES && trait(w, "facts-calculated", slot->line, 2)) {
        json_object_set_new(facts, "calculated", json_true());
    }
    if (trait(w, "facts-create", slot->line, 24) == 0) {
        json_object_set_new(facts, "create", json_false());
    }
    if (trait(w, "facts-update", slot->line, 24) == 0) {
        json_object_set_new(facts, "update", json_false());
    }
    json_object_set_new(columns, slot->col, facts);
}

static json_t *stage_options(void)
{
    json_t *out = json_array();
    size_t i;

    for (i = 0; i < STAGES; i++) {
        json_array_append_new(out, json_pack("{s:s,s:s,s:i}", "value", stages[i].name, "label", stages[i].name, "state", stages[i].state));
    }
    return out;
}

static void make_metadata(world_t *w)
{
    json_t *columns = json_object();
    size_t i;

    for (i = 0; i < SLOTS; i++) {
        add_facts(w, columns, &slots[i]);
    }
    json_object_set_new(columns, "c_problem", json_pack("{s:s,s:s,s:i}", "label", "Problem", "type", "memo", "max", 60 + (int)trait(w, "facts-units", "problem", 300)));
    json_object_set_new(columns, w->crm->stage, json_pack("{s:s,s:s}", "label", "Status Reason", "type", "choice"));
    if (w->crm->names_rows) {
        json_object_set_new(json_object_get(columns, w->crm->stage), "options", stage_options());
    }
    w->metadata = cs_json_own(json_pack("{s:i,s:{s:{s:s,s:o}}}", "language", 1033, "tables", w->crm->table, "label", "Opportunity", "columns", columns), w->p);
}

static void make_sides(world_t *w)
{
    size_t i;

    w->doc = world_json(w, "{\"id\":\"" WORLD_REFERRAL "\",\"name\":\"Contoso\",\"status\":\"New\",\"substatus\":\"Pending\",\"type\":\"Shared\","
                           "\"qualification\":\"SalesQualified\",\"eTag\":\"\\\"1\\\"\",\"inviteContext\":{\"invitedBy\":{\"organizationId\":\"msft\"}},"
                           "\"customerProfile\":{\"name\":\"Contoso\",\"ids\":[{\"profileType\":\"External\",\"id\":\"77\"}],\"address\":{\"postalCode\":\"10115\"},\"team\":[]},"
                           "\"consent\":{},\"details\":{\"requirements\":{\"solutions\":[]}},\"team\":[]}");
    w->ms = trait(w, "microsoft", NULL, 2) ? world_json(w, "{\"id\":\"m\",\"status\":\"Active\",\"substatus\":\"Accepted\",\"inviteContext\":{}}") : NULL;
    if (trait(w, "number", NULL, 2)) {
        json_array_clear(cs_json_pointer(w->doc, "/customerProfile/ids"));
    }
    if (trait(w, "zip", NULL, 3) == 0) {
        json_object_del(cs_json_pointer(w->doc, "/customerProfile/address"), "postalCode");
    }
    w->tables = world_json(w, world_tables);
    w->lists = cs_json_own(json_object(), w->p);
    for (i = 0; i < SLOTS; i++) {
        if (trait(w, "starts", slots[i].line, 2)) {
            pc_edits_slot(w, &slots[i]);
        }
    }
    for (i = 0; i < KEYS; i++) {
        if (trait(w, "starts", item_keys[i], 2)) {
            json_array_append_new(cs_json_pointer(w->doc, "/details/requirements/solutions"), pc_item(w, item_keys[i], 0));
        }
        if (trait(w, "starts-team", mail_keys[i], 2)) {
            json_array_append_new(cs_json_pointer(w->doc, "/team"), pc_item(w, mail_keys[i], 1));
        }
        if (trait(w, "starts-contact", mail_keys[i], 3) == 0) {
            json_array_append_new(cs_json_pointer(w->doc, "/customerProfile/team"), pc_item(w, mail_keys[i], 1));
        }
    }
}

/* A record that was there before. */
static void make_record(world_t *w)
{
    size_t i;
    const char *id = w->crm->names_rows ? cs_row_id(CS_ID_18, "0065f00000There", w->p) : "99999999-1111-4222-8333-944455566677";

    w->row = empty_row(w, id);
    if (w->crm->names_rows) {
        json_object_set_new(w->row, w->crm->stage, json_string(stages[trait(w, "starts-stage", NULL, STAGES)].name));
        follow_stage(w, w->row);
    }
    for (i = 0; i < SLOTS; i++) {
        if (trait(w, "starts-crm", slots[i].line, 2)) {
            user_edits_slot(w, &slots[i]);
        }
    }
    for (i = 0; i < KEYS; i++) {
        if (trait(w, "starts-row", item_keys[i], 3) == 0) {
            json_array_append_new(list_of(w, "solutions"), user_row(w, item_keys[i]));
        }
    }
    w->deal.record_id = id;
}

static void use_mapping(world_t *w, int which)
{
    w->which = which;
    w->mapping = w->pair->mapping[which];
    w->kind = cs_mapping_kind(w->mapping, "opportunity");
}

static void world_make(world_t *w, const pair_t *pair, apr_uint64_t seed, const knobs_t *knobs, apr_pool_t *p)
{
    memset(w, 0, sizeof(*w));
    w->p = p;
    w->seed = seed;
    w->round = 999;
    w->knobs = knobs;
    w->pair = pair;
    w->crm = pair->crm;
    w->version = w->pc_version = 1;
    w->now = WORLD_NOW;
    w->journal = apr_array_make(p, 16, sizeof(cs_journal_t *));
    w->pc_silent = knobs->both && trait(w, "pc-silent", NULL, 8) == 0;
    w->silent = trait(w, "silent", NULL, 12) == 0 && !knobs->no_quirks;
    w->deal.id = 7;
    w->deal.site = "contoso";
    w->deal.referral_id = WORLD_REFERRAL;
    w->deal.crm = "sales";
    w->deal.kind = "opportunity";
    w->deal.table = w->crm->table;
    use_mapping(w, 0);
    make_sides(w);
    if (trait(w, "meeting", NULL, 3) == 0 && !knobs->no_meeting) {
        make_record(w);
    }
    else {
        w->deal.record_id = cs_uuid5_url(apr_pstrcat(p, "cosell:contoso:" WORLD_REFERRAL ":", w->crm->table, ":", NULL), p);
    }
    make_metadata(w);
    w->round = 0;
}

#endif
