/* domain/reconcile_meet.c: a referral without a record yet: whose is it? And a record without a
 * deal: is it worth one? (deals 1, 3, 4) */
#include <apr_strings.h>
#include <string.h>

#include "reconcile_internal.h"

static int is_lead(const char *word)
{
    return !strcmp(word, "marketplace-lead") || !strcmp(word, "qualified-lead");
}

const cs_find_t *cs_find_named(const cs_mapping_t *mapping, const char *name)
{
    int i;

    for (i = 0; mapping->finds && i < mapping->finds->nelts; i++) {
        const cs_find_t *find = APR_ARRAY_IDX(mapping->finds, i, const cs_find_t *);

        if (!strcmp(find->name, name)) {
            return find;
        }
    }
    return NULL;
}

/* Rows that another row must be found for first: {"column": look-up that never makes a row}. */
static json_t *match_within(const cs_match_t *match, const cs_mapping_kind_t *kind,
                            const json_t *doc, apr_pool_t *p)
{
    json_t *within = cs_json_own(json_object(), p);
    int i, j;

    for (i = 0; i < match->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(match->by, i, const apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            const cs_find_part_t *part = &APR_ARRAY_IDX(set, j, cs_find_part_t);
            const cs_find_t *find = part->found ? cs_find_named(kind->mapping, part->found) : NULL;
            json_t *lookup = find ? cs_find_lookup(find, doc, NULL, NULL, NULL, 0, p) : NULL;

            if (part->found && !lookup) {
                return NULL; /* what it should point to has no key */
            }
            if (lookup) {
                json_object_set(within, part->column, lookup);
            }
        }
    }
    return within;
}

static json_t *match_key(const apr_array_header_t *set, const json_t *doc, apr_pool_t *p)
{
    json_t *key = cs_json_own(json_object(), p);
    int i;

    for (i = 0; i < set->nelts; i++) {
        const cs_find_part_t *part = &APR_ARRAY_IDX(set, i, cs_find_part_t);
        const char *text = part->path ? json_string_value(cs_path_get(part->path, doc)) : NULL;

        if (part->found) {
            continue;
        }
        text = text ? cs_text_canonical(text, p) : NULL;
        if (!text) {
            return NULL;
        }
        json_object_set_new(key, part->column, json_string(text));
    }
    return json_object_size(key) ? key : NULL;
}

/* Existing rows that could be this deal's. The first key is the referral's own id in the column
 * that carries it; a row with that is no candidate but the one. */
static json_t *match_of(const cs_look_t *look, const cs_mapping_kind_t *kind, apr_pool_t *p)
{
    json_t *keys = cs_json_own(json_array(), p), *within, *doc;
    int i;

    if (kind->tell.id) {
        json_array_append_new(keys, json_pack("{s:s}", kind->tell.id, look->own->id));
    }
    doc = cs_doc_of_look(look, p);
    within = kind->match ? match_within(kind->match, kind, doc, p) : NULL;
    for (i = 0; within && i < kind->match->by->nelts; i++) {
        json_t *key =
            match_key(APR_ARRAY_IDX(kind->match->by, i, const apr_array_header_t *), doc, p);

        if (key) {
            json_array_append(keys, key);
        }
    }
    if (!kind->match || !json_array_size(keys)) {
        return NULL;
    }
    return cs_json_own(json_pack("{s:s,s:s,s:O,s:O*,s:s,s:s}", "find", "match", "table",
                                 kind->table, "keys", keys, "within",
                                 within && json_object_size(within) ? within : NULL, "several",
                                 "hold", "none", "hold"),
                       p);
}

static void refuse_meeting(cs_meeting_t *meeting, cs_meet_e what, const char *why)
{
    meeting->what = what;
    meeting->why = why;
}

apr_status_t cs_reconcile_meet(cs_meeting_t *meeting, const cs_look_t *look, apr_pool_t *p,
                               cs_result_t *res)
{
    const cs_mapping_kind_t *kind;
    const char *word, *state, *linked;

    memset(meeting, 0, sizeof(*meeting));
    if (!look->own) {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "deal:no referral",
                             "a deal is met by its referral, and none was read");
    }
    word = cs_referral_kind(look->own, look->microsoft, look->others, look->organization);
    state = cs_state_of_card(look->own, p);
    kind = cs_mapping_route_kind(look->mapping, word, look->own);
    if (is_lead(word) && (!kind || !kind->leads)) {
        refuse_meeting(meeting, CS_MEET_LEAD,
                       apr_psprintf(p,
                                    "a lead (%s, %s), and no record kind of the mapping takes it",
                                    word, state));
        return APR_SUCCESS;
    }
    if (!kind) {
        refuse_meeting(meeting, CS_MEET_IGNORE,
                       apr_psprintf(p, "no record kind of the mapping takes this referral (%s, %s)",
                                    word, state));
        return APR_SUCCESS;
    }
    meeting->kind = kind->name;
    meeting->table = kind->table;
    /* A row that a crashed look may have made is not forgotten, nor the record that it was made
     * of. */
    if (cs_state_is_terminal(state) && !cs_intent_creates(look->deal) &&
        !cs_deal_is_ours(look->deal)) {
        refuse_meeting(meeting, CS_MEET_CLOSED,
                       apr_psprintf(p, "first met %s: no record is made", state));
        return APR_SUCCESS;
    }
    linked = cs_row_id(look->mapping->facts->id_form,
                       cs_json_str(look->own->doc, "externalReferenceId"), p);
    meeting->what = linked ? CS_MEET_LINK : CS_MEET_CREATE;
    meeting->record_id = linked ? linked : cs_deal_row_id(look, look->own->id, kind->table, p);
    meeting->match = linked ? NULL : match_of(look, kind, p);
    meeting->why =
        linked ? "externalReferenceId names a record" : "no record carries this referral";
    return APR_SUCCESS;
}

/* ---- a record that no deal knows ---- */

static const char *asks_words(const cs_mapping_t *mapping, const char *table, apr_pool_t *p)
{
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *kind = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);

        if (!strcmp(kind->table, table) && kind->from_crm_when) {
            return apr_psprintf(p, "a referral is made of it only when %s",
                                kind->from_crm_when->text);
        }
    }
    return apr_psprintf(p, "no record kind makes referrals of the table %s", table);
}

static void meet_opted_in(cs_meeting_t *meeting, const cs_look_t *look,
                          const cs_mapping_kind_t *kind, const char *text, apr_pool_t *p)
{
    meeting->kind = kind->name;
    meeting->table = kind->table;
    if (cs_state_of_row(kind, look->record->row) > 0) {
        refuse_meeting(meeting, CS_MEET_IGNORE,
                       "the record is closed in the CRM: no referral is made of it");
        return;
    }
    meeting->what = CS_MEET_CREATE;
    meeting->record_id = apr_pstrdup(p, look->record->id);
    meeting->why = text
                       ? apr_psprintf(p, "opted in; \"%s\" in %s is no referral id and is replaced",
                                      text, kind->tell.id)
                       : "opted in, and it has no referral yet";
}

apr_status_t cs_reconcile_meet_record(cs_meeting_t *meeting, const cs_look_t *look,
                                      const char *table, apr_pool_t *p, cs_result_t *res)
{
    const cs_mapping_kind_t *any = cs_mapping_kind_of_table(look->mapping, table), *kind;
    const char *text, *referral;

    memset(meeting, 0, sizeof(*meeting));
    if (!look->record) {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "deal:no record",
                             "a record is met by its row, and none was read");
    }
    if (!any) {
        refuse_meeting(meeting, CS_MEET_IGNORE,
                       apr_psprintf(p, "no record kind of the mapping has the table %s", table));
        return APR_SUCCESS;
    }
    kind = cs_mapping_route_row(look->mapping, table, look->record->row, p);
    text = cs_mapping_named_referral(kind ? kind : any, look->record->row);
    referral = cs_row_id(CS_ID_GUID, text, p);
    if (referral) {
        meeting->what = CS_MEET_LINK;
        meeting->kind = (kind ? kind : any)->name;
        meeting->table = any->table;
        meeting->record_id = referral;
        meeting->why = "the record names a referral";
    }
    else if (!kind) {
        refuse_meeting(meeting, CS_MEET_IGNORE, asks_words(look->mapping, table, p));
    }
    else {
        meet_opted_in(meeting, look, kind, text, p);
    }
    return APR_SUCCESS;
}
