/* The CRM's side of a world: its habits, its users, and what it makes of a write.
 */
#ifndef CS_TESTS_PROPERTY_WORLD_CRM_H
#define CS_TESTS_PROPERTY_WORLD_CRM_H

#include "typed.h"

/* ---- the CRM's habits ---- */

static quirk_e quirk_of(const world_t *w, const char *column)
{
    quirk_e quirk;

    if (w->knobs->no_quirks || trait(w, "quirks", "any", 3) == 0 || trait(w, "quirk", column, 5) || !strncasecmp(column, "stat", 4) ||
        !strcmp(column, "msft_sync") || (w->crm->names_rows && (!strcmp(column, w->crm->stage) || !strcmp(column, "msft_id") || !strcmp(column, "Loss__c")))) {
        return QUIRK_KEEPS;
    }
    quirk = (quirk_e)(1 + trait(w, "which-quirk", column, QUIRK_COUNT - 1));
    /* A name that is cut without a word loses a letter to each mark. */
    return quirk == QUIRK_CUTS && !strcmp(column, "name") ? QUIRK_KEEPS : quirk;
}

static json_t *nfc(const world_t *w, const char *text)
{
    char *out = apr_pstrdup(w->p, text), *at;

    while ((at = strstr(out, "e\xcc\x81")) != NULL) {
        memcpy(at, "\xc3\xa9", 2);
        memmove(at + 2, at + 3, strlen(at + 3) + 1);
    }
    return json_string(out);
}

static json_t *quirky_text(const world_t *w, quirk_e quirk, const char *text)
{
    char *out = apr_palloc(w->p, strlen(text) * 2 + 1), *to = out;
    const char *at = text;

    switch (quirk) {
    case QUIRK_CUTS:
        return json_string(cs_text_head(text, 5, w->p));
    case QUIRK_NFC:
        return nfc(w, text);
    case QUIRK_TRIMS:
        while (isspace((unsigned char)*at)) {
            at++;
        }
        return json_string(at);
    case QUIRK_UPPER:
        for (; *at; at++) {
            *to++ = (char)toupper((unsigned char)*at);
        }
        *to = '\0';
        return json_string(out);
    case QUIRK_CRLF:
        for (; *at; at++) {
            if (*at == '\n' && (at == text || at[-1] != '\r')) {
                *to++ = '\r';
            }
            *to++ = *at;
        }
        *to = '\0';
        return json_string(out);
    default:
        return json_string(text);
    }
}

static const json_t *row_of_id(const world_t *w, const char *table, const char *id)
{
    json_t *rows = json_object_get(w->tables, table), *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        if (!strcmp(cs_json_str(row, "id"), id)) {
            return row;
        }
    }
    return NULL;
}

/* Some keep no blanks at the ends, and of nothing but blanks nothing. Takes text. */
static json_t *trimmed(const world_t *w, json_t *value)
{
    const char *text = json_string_value(value), *end;
    json_t *out;

    if (!text || !w->crm->names_rows) {
        return value;
    }
    while (isspace((unsigned char)*text)) {
        text++;
    }
    for (end = text + strlen(text); end > text && isspace((unsigned char)end[-1]); end--) {
    }
    out = end > text ? json_stringn(text, (size_t)(end - text)) : json_null();
    json_decref(value);
    return out;
}

/* What follows from the stage of a row. */
static void follow_stage(const world_t *w, json_t *row)
{
    const char *name = cs_json_str(row, w->crm->stage);
    int state = 0;
    size_t i;

    if (!w->crm->names_rows) {
        return;
    }
    for (i = 0; i < STAGES; i++) {
        state = name && !strcmp(name, stages[i].name) ? stages[i].state : state;
    }
    json_object_set_new(row, "IsClosed", json_boolean(state > 0));
    json_object_set_new(row, "IsWon", json_boolean(state == 1));
    json_object_set_new(row, w->crm->state, json_integer(state));
}

static int row_state(const world_t *w)
{
    return (int)cs_json_int(w->row, w->crm->state, -1);
}

/* What the CRM makes of a written value; NULL = it ignores it. */
static json_t *kept(const world_t *w, const char *column, const json_t *value)
{
    quirk_e quirk = quirk_of(w, column);
    const char *number = cs_json_str(value, "$number"), *text = json_string_value(value), *rounded;
    const json_t *ref = json_object_get(value, "$ref");

    if (quirk == QUIRK_IGNORES || quirk == QUIRK_CALCULATES) {
        return NULL;
    }
    if (number) {
        if (cs_decimal_from_text(&rounded, number, quirk == QUIRK_ROUNDS ? 0 : 4, w->p) != APR_SUCCESS) {
            return json_null();
        }
        return cs_decimal_to_json(rounded);
    }
    if (ref) {
        return json_deep_copy(row_of_id(w, cs_json_str(ref, "table"), cs_json_str(ref, "id")));
    }
    return text ? trimmed(w, quirky_text(w, quirk, text)) : json_deep_copy(value);
}

static int is_refused(const world_t *w, const char *column, const json_t *value)
{
    const char *number = cs_json_str(value, "$number"), *text = json_string_value(value);

    switch (quirk_of(w, column)) {
    case QUIRK_REFUSES:
    case QUIRK_REFUSES_DUMBLY:
        return 1;
    case QUIRK_REFUSES_SOME:
        return (number && atof(number) >= 50000) || (text && strchr(text, 'B')) || (json_is_integer(value) && json_integer_value(value) == 2) || json_is_true(value);
    default:
        return 0;
    }
}

static json_t *column_default(const char *column)
{
    return !strcmp(column, "statecode")   ? json_integer(0)
           : !strcmp(column, "statuscode") ? json_integer(1)
           : !strcmp(column, "msft_sync") || !strcmp(column, "c_gate") || !strcmp(column, "c_visible") ? json_false()
           : !strcasecmp(column, "ownerid") ? json_pack("{s:s,s:s,s:s}", "id", "u9", "mail", "boss@x.org", "firstname", "Boss")
                                        : json_null();
}

/* A row with every column that either mapping reads. */
static json_t *empty_row(world_t *w, const char *id)
{
    json_t *row = cs_json_own(json_object(), w->p);
    int m, i;

    for (m = 0; m < 2; m++) {
        const apr_array_header_t *columns = cs_mapping_columns(cs_mapping_kind(w->pair->mapping[m], "opportunity"));

        for (i = 0; i < columns->nelts; i++) {
            const char *column = APR_ARRAY_IDX(columns, i, const char *);

            column = apr_pstrmemdup(w->p, column, strcspn(column, "/"));
            if (!json_object_get(row, column)) {
                json_object_set_new(row, column, column_default(column));
            }
        }
    }
    json_object_set_new(row, w->crm->key, json_string(id));
    follow_stage(w, row);
    return row;
}

/* ---- users ---- */

/* A version with a grain: what is written within the second in which somebody else wrote has the same. */
static int moves_version(const world_t *w, const char *column)
{
    return !w->crm->names_rows || chance(w, "grain", column, 3) != 0;
}

static void edit_column(world_t *w, const char *column, json_t *value)
{
    value = trimmed(w, value);
    if (json_object_get(w->row, column) && quirk_of(w, column) != QUIRK_CALCULATES) {
        json_object_set(w->row, column, value);
        w->version += moves_version(w, column);
    }
    json_decref(value);
}

static void user_edits_slot(world_t *w, const slot_t *slot)
{
    json_t *value = drawn(w, &crm_pools[slot->type], "crm-value", slot->line);

    w->touched |= 1u << (slot - slots);
    edit_column(w, slot->col, value);
    if (slot->type == SLOT_MONEY && (json_is_null(json_object_get(w->row, slot->col2)) || chance(w, "crm-money2", slot->line, 3) == 0)) {
        static const pool_t currencies = POOL(crm_currencies);

        static const pool_t codes = POOL(crm_codes);

        edit_column(w, slot->col2, drawn(w, w->crm->names_rows ? &codes : &currencies, "crm-currency", slot->line));
    }
}

static json_t *list_of(world_t *w, const char *name)
{
    json_t *rows = json_object_get(w->lists, name);

    if (!rows) {
        rows = json_array();
        json_object_set_new(w->lists, name, rows);
    }
    return rows;
}

static json_t *found_row(const world_t *w, const char *table, const char *column, const char *key)
{
    json_t *rows = json_object_get(w->tables, table), *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        if (has_key(row, column, key)) {
            return row;
        }
    }
    return NULL;
}

static int entry_has(const json_t *entry, const char *key)
{
    const json_t *row = json_object_get(entry, "row");

    return has_key(row, "skey", key) || has_key(json_object_get(row, "detailid"), "sid", key) || has_key(json_object_get(row, "userid"), "mail", key) ||
           has_key(row, "mail", key);
}

static void bump(world_t *w, json_t *entry)
{
    json_object_set_new(entry, "version", json_string(apr_psprintf(w->p, "r%d", ++w->version)));
}

/* A user's row is like one of ours. */
static json_t *user_row(world_t *w, const char *key)
{
    json_t *detail = found_row(w, "solutiondetail", "sid", key);

    return json_pack("{s:s,s:s,s:{s:{},s:o?,s:s,s:s,s:i,s:n,s:n,s:i}}", "id", apr_psprintf(w->p, "row-%d", ++w->made), "version", "r0", "row", "oppid", "detailid",
                     json_deep_copy(detail), "skey", key, "stext", "Typed", "qty", (int)chance(w, "row-qty", key, 4), "price", "rkey", "role", 7);
}

/* It is another item's from now on. */
static void retype_row(world_t *w, json_t *row)
{
    const char *key = item_keys[chance(w, "crm-retyped", "solutions", KEYS)];
    json_t *detail = found_row(w, "solutiondetail", "sid", key);

    json_object_set_new(row, "skey", json_string(key));
    json_object_set_new(row, "detailid", detail ? json_deep_copy(detail) : json_null());
}

static void user_edits_rows(world_t *w)
{
    json_t *rows = list_of(w, "solutions"), *entry;
    const char *key = item_keys[chance(w, "crm-key", "solutions", KEYS)];
    size_t i, found = (size_t)-1;

    json_array_foreach(rows, i, entry) {
        found = entry_has(entry, key) ? i : found;
    }
    entry = json_array_get(rows, found);
    switch (chance(w, "crm-rows", "solutions", 6)) {
    case 0: /* without a key */
        entry = user_row(w, key);
        json_object_set_new(json_object_get(entry, "row"), "detailid", json_null());
        json_object_set_new(json_object_get(entry, "row"), "skey", json_null());
        json_array_append_new(rows, entry);
        break;
    case 1: /* a twin */
        json_array_append_new(rows, user_row(w, key));
        break;
    case 2:
        if (entry) {
            json_array_remove(rows, found);
        }
        break;
    case 3:
        if (entry && chance(w, "crm-retypes", "solutions", 3) == 0) {
            retype_row(w, json_object_get(entry, "row"));
            bump(w, entry);
        }
        else if (entry) {
            json_object_set_new(json_object_get(entry, "row"), "qty", json_integer(chance(w, "crm-qty", key, 4)));
            bump(w, entry);
        }
        break;
    default:
        if (!entry) {
            json_array_append_new(rows, user_row(w, key));
        }
    }
}

static void user_edits_people(world_t *w)
{
    const char *key = mail_keys[chance(w, "crm-key", "people", KEYS)];
    json_t *contact = found_row(w, "contact", "email1", key), *user = found_row(w, "systemuser", "mail", key), *rows = list_of(w, "team");

    switch (chance(w, "crm-people", "what", 5)) {
    case 0:
        edit_column(w, "parentcontactid", contact ? json_deep_copy(contact) : json_null());
        break;
    case 1:
        edit_column(w, "parentcontactid", json_null());
        break;
    case 2:
        if (user) {
            edit_column(w, w->crm->owner, json_deep_copy(user));
        }
        break;
    case 3:
        if (json_array_size(rows)) {
            json_array_remove(rows, 0);
        }
        break;
    default:
        break;
    }
}

static void user_moves(world_t *w)
{
    static const int states[][2] = {{0, 1}, {0, 2}, {1, 3}, {2, 4}};
    unsigned s = chance(w, "crm-state", NULL, 4), at = chance(w, "crm-stage", NULL, STAGES + 1);
    const char *now = cs_json_str(w->row, w->crm->stage), *name = at < STAGES ? stages[at].name : "A stage of theirs";

    if (w->crm->names_rows) {
        w->state_typed |= !now || strcmp(now, name) != 0;
        json_object_set_new(w->row, w->crm->stage, json_string(name));
        follow_stage(w, w->row);
    }
    else {
        w->state_typed |= row_state(w) != states[s][0] || cs_json_int(w->row, w->crm->stage, -1) != states[s][1];
        json_object_set_new(w->row, w->crm->state, json_integer(states[s][0]));
        json_object_set_new(w->row, w->crm->stage, json_integer(states[s][1]));
    }
    w->version++;
}

static void user_edits(world_t *w)
{
    size_t i;

    if (!w->row) {
        return;
    }
    if (row_state(w) == 0 || w->crm->names_rows) {
        for (i = 0; i < SLOTS; i++) {
            if (chance(w, "crm-edit", slots[i].line, 6) == 0 && !is_muted(w, 0, i)) {
                user_edits_slot(w, &slots[i]);
            }
        }
        if (chance(w, "crm-edit", "c_gate", 5) == 0) {
            edit_column(w, "c_gate", json_boolean(chance(w, "crm-gate", NULL, 2)));
        }
        if (chance(w, "crm-edit", "c_notes2", 6) == 0) {
            edit_column(w, "c_notes2", drawn(w, &crm_pools[SLOT_TEXT], "crm-value", "notes2"));
        }
    }
    if (!w->knobs->no_lists_edits) {
        if (chance(w, "crm-edit", "rows", 3) == 0) {
            user_edits_rows(w);
        }
        if (chance(w, "crm-edit", "people", 3) == 0) {
            user_edits_people(w);
        }
    }
    for (i = 0; i < SLOTS; i++) {
        if (quirk_of(w, slots[i].col) == QUIRK_CALCULATES && json_object_get(w->row, slots[i].col) && chance(w, "calculates", slots[i].col, 3) == 0) {
            json_object_set_new(w->row, slots[i].col, drawn(w, &crm_pools[slots[i].type], "calculated", slots[i].line));
            w->version++;
        }
    }
    if (chance(w, "crm-edit", "state", 8) == 0 && !w->knobs->no_state_moves) {
        user_moves(w);
    }
    if (chance(w, "crm-edit", "sync", 12) == 0 && !w->knobs->no_state_moves) {
        edit_column(w, "msft_sync", json_boolean(chance(w, "crm-sync", NULL, 2)));
    }
}

/* The record is deleted, or comes back as it was. 1 = it was or did. */
static int user_deletes(world_t *w)
{
    if (w->row && chance(w, "deletes", NULL, 30) == 0) {
        w->deleted = w->row;
        w->row = NULL;
        return 1;
    }
    if (w->deleted && chance(w, "undeletes", NULL, 2) == 0) {
        w->row = w->row ? w->row : w->deleted;
        w->deleted = NULL;
        w->version++;
        return 1;
    }
    return 0;
}

/* ---- writes ---- */

static const char *version_text(const world_t *w, int version)
{
    return apr_psprintf(w->p, "W/\"%d\"", version);
}

/* Left out of what is read, all round long. */
static int is_masked(const world_t *w, const char *column)
{
    return !w->quiet && !w->knobs->no_mask && chance(w, "mask", "any", 5) == 0 && chance(w, "mask", column, 8) == 0;
}

static json_t *visible_row(const world_t *w, const json_t *row)
{
    json_t *out = cs_json_own(json_object(), w->p), *value;
    const char *column;

    json_object_foreach((json_t *)row, column, value) {
        if (!is_masked(w, column)) {
            json_object_set_new(out, column, json_deep_copy(value));
        }
    }
    return out;
}

static void refuse_write(const world_t *w, cs_crm_write_t *write, cs_class_e cls, const char *column, int dumb)
{
    cs_result_set(&write->result, w->p, CS_EREMOTE, cls, "crm:refused", "the CRM does not take %s", dumb ? "this" : column);
    write->result.blames = dumb ? NULL : column;
}

static int check_columns(const world_t *w, cs_crm_write_t *write)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)write->row, column, value) {
        if (is_refused(w, column, value)) {
            refuse_write(w, write, CS_CLASS_DATA, column, quirk_of(w, column) == QUIRK_REFUSES_DUMBLY);
            return 0;
        }
    }
    return 1;
}

static void take_columns(const world_t *w, json_t *row, const json_t *columns)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)columns, column, value) {
        json_t *now = kept(w, column, value);

        if (now) {
            json_object_set_new(row, column, now);
        }
    }
}

/* An answer to a write names the rows of look-ups by their ids alone. */
static json_t *by_ids(json_t *row)
{
    const char *column;
    json_t *value, *id;
    void *next;

    json_object_foreach_safe(row, next, column, value)
    {
        id = json_is_object(value) ? json_object_get(value, "id") : NULL;
        if (id) {
            json_object_set_new(row, column, json_pack("{s:O}", "id", id));
        }
    }
    return row;
}

static cs_record_t *representation(world_t *w, const char *table, const char *id, const char *version, const json_t *row)
{
    cs_record_t *after = apr_pcalloc(w->p, sizeof(*after));

    int record = !strcmp(table, w->crm->table);

    if (w->silent && record && w->round) {
        return NULL;
    }
    after->table = table;
    after->id = id;
    after->version = version;
    after->modified = record ? version_at(w->version) : 0;
    after->order = record && !w->crm->names_rows ? w->version : 0;
    after->row = w->crm->names_rows || !record ? visible_row(w, row) : by_ids(visible_row(w, row));
    return after;
}

/* By the key that the create carries, where the CRM gives the id. */
static void make_row(world_t *w, cs_crm_write_t *write)
{
    const char *column;
    json_t *value;

    if (!w->crm->names_rows) {
        w->row = empty_row(w, write->id);
        return;
    }
    write->made = cs_row_id(CS_ID_18, apr_psprintf(w->p, "0065f0000Rec%03d", ++w->made), w->p);
    w->row = empty_row(w, write->made);
    json_object_foreach((json_t *)write->key, column, value) {
        json_object_set(w->row, column, value);
    }
}

static void write_record(world_t *w, cs_crm_write_t *write)
{
    if (write->kind == CS_CRM_CREATE && w->row) {
        refuse_write(w, write, CS_CLASS_DUPLICATE, "a second row", 0);
        return;
    }
    if (write->kind != CS_CRM_CREATE && !w->row) {
        refuse_write(w, write, CS_CLASS_GONE, "a row that is gone", 0);
        return;
    }
    if (write->guard && strcmp(write->guard, version_text(w, w->version))) {
        refuse_write(w, write, CS_CLASS_CONFLICT, "an older version", 0);
        return;
    }
    if (write->kind == CS_CRM_CALL) {
        if (row_state(w) != 0) {
            refuse_write(w, write, CS_CLASS_REFUSED, "a closed record", 0);
            return;
        }
        w->saw(w, w->writing, write);
        json_object_set_new(w->row, "statecode", json_integer(!strcmp(write->call, "WinOpportunity") ? 1 : 2));
        json_object_set(w->row, "statuscode", json_object_get(write->row, "Status"));
    }
    else {
        if (!check_columns(w, write)) {
            return;
        }
        w->saw(w, w->writing, write);
        if (write->kind == CS_CRM_CREATE) {
            make_row(w, write);
        }
        take_columns(w, w->row, write->row);
        follow_stage(w, w->row);
        if (json_is_null(json_object_get(w->row, "transactioncurrencyid"))) {
            json_object_set_new(w->row, "transactioncurrencyid",
                                w->crm->names_rows ? json_string("USD") : json_pack("{s:s,s:s}", "id", "usd", "isocurrencycode", "USD"));
        }
    }
    w->row_version = ++w->version;
    w->writes++;
    write->record = write->kind == CS_CRM_CALL ? NULL : representation(w, w->crm->table, cs_json_str(w->row, w->crm->key), version_text(w, w->version), w->row);
}

static json_t *entry_of(world_t *w, const char *list, const char *id, size_t *pat)
{
    json_t *rows = list_of(w, list), *entry;
    size_t i;

    json_array_foreach(rows, i, entry) {
        if (!strcmp(cs_json_str(entry, "id"), id)) {
            *pat = i;
            return entry;
        }
    }
    return NULL;
}

/* The row that a create finds there already: by its key, or the user that is a member; NULL = none. */
static json_t *twin_of(world_t *w, const char *list, const cs_crm_write_t *write)
{
    const char *key = cs_json_str(write->key, "rkey"), *user = cs_json_str(json_object_get(json_object_get(write->row, "userid"), "$ref"), "id"), *text;
    json_t *rows = list_of(w, list), *entry, *row;
    size_t i;

    if (!w->crm->names_rows) {
        return entry_of(w, list, write->id, &i);
    }
    json_array_foreach(rows, i, entry) {
        row = json_object_get(entry, "row");
        text = key ? cs_json_str(row, "rkey") : cs_json_str(json_object_get(row, "userid"), "id");
        if (text && (key || user) && !strcmp(text, key ? key : user)) {
            return entry;
        }
    }
    return NULL;
}

static json_t *new_entry(world_t *w, const cs_crm_write_t *write)
{
    json_t *row = json_loads("{\"oppid\":null,\"detailid\":null,\"skey\":null,\"stext\":null,\"qty\":null,\"price\":null,\"role\":7}", 0, NULL), *entry;

    if (!strcmp(write->table, "oppuser")) {
        json_decref(row);
        row = json_pack("{s:n,s:n}", "oppid", "userid");
    }
    json_object_del(row, "oppid");
    take_columns(w, row, write->row);
    if (w->crm->names_rows) {
        json_object_set_new(row, "rkey", json_null());
        json_object_update(row, (json_t *)write->key);
    }
    entry = json_pack("{s:s,s:s,s:o}", "id", w->crm->names_rows ? apr_psprintf(w->p, "row-%d", ++w->made) : write->id, "version", "r0", "row", row);
    bump(w, entry);
    return entry;
}

static void write_entry(world_t *w, cs_crm_write_t *write, const char *list)
{
    size_t at = 0;
    json_t *entry = write->kind == CS_CRM_CREATE ? twin_of(w, list, write) : entry_of(w, list, write->id, &at);

    if (write->kind == CS_CRM_CREATE && entry) {
        refuse_write(w, write, CS_CLASS_DUPLICATE, "a second row", 0);
        return;
    }
    if (write->kind != CS_CRM_CREATE && !entry) {
        refuse_write(w, write, CS_CLASS_GONE, "a row that is gone", 0);
        return;
    }
    if (write->guard && strcmp(write->guard, cs_json_str(entry, "version"))) {
        refuse_write(w, write, CS_CLASS_CONFLICT, "an older version", 0);
        return;
    }
    if (write->kind != CS_CRM_DELETE && !check_columns(w, write)) {
        return;
    }
    w->saw(w, w->writing, write);
    if (write->kind == CS_CRM_DELETE) {
        json_array_remove(list_of(w, list), at);
    }
    else if (write->kind == CS_CRM_CREATE) {
        entry = new_entry(w, write);
        json_array_append_new(list_of(w, list), entry);
    }
    else {
        take_columns(w, json_object_get(entry, "row"), write->row);
        bump(w, entry);
    }
    w->writes++;
    w->line_writes++;
    if (write->kind != CS_CRM_DELETE) {
        write->made = w->crm->names_rows && write->kind == CS_CRM_CREATE ? apr_pstrdup(w->p, cs_json_str(entry, "id")) : NULL;
        write->record = representation(w, write->table, write->made ? write->made : write->id, apr_pstrdup(w->p, cs_json_str(entry, "version")), json_object_get(entry, "row"));
    }
}

static void write_member(world_t *w, cs_crm_write_t *write, const char *list)
{
    const json_t *ref = json_object_get(json_object_get(write->row, "user"), "$ref");
    json_t *user = json_deep_copy(row_of_id(w, "systemuser", cs_json_str(ref, "id")));
    size_t at;

    if (entry_of(w, list, cs_json_str(user, "id"), &at)) {
        json_decref(user);
        return;
    }
    w->saw(w, w->writing, write);
    json_array_append_new(list_of(w, list), json_pack("{s:s,s:o}", "id", cs_json_str(user, "id"), "row", user));
    w->writes++;
    w->line_writes++;
}

static void crm_write(world_t *w, cs_crm_write_t *write, const cs_step_t *step)
{
    w->writing = step;
    write->record = NULL;
    cs_result_clear(&write->result);
    if (write->kind == CS_CRM_JOIN) {
        write_member(w, write, step->list);
    }
    else if (step->list) {
        write_entry(w, write, step->list);
    }
    else {
        write_record(w, write);
    }
}

/* ---- look-ups ---- */

typedef struct missing_t {
    const json_t *lookup;
    const char *why;
    int skipped;
} missing_t;

static int matches(const json_t *row, const json_t *key)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        if (!has_key(row, column, json_string_value(value))) {
            return 0;
        }
    }
    return 1;
}

/* The row's id; NULL = it is held, or (skip) there is none. */
static const char *resolve(world_t *w, const json_t *lookup, missing_t *bad)
{
    const char *table = cs_json_str(lookup, "table"), *none = cs_json_str(lookup, "none");
    json_t *keys = json_object_get(lookup, "keys"), *rows = json_object_get(w->tables, table), *key, *row, *inner;
    const char *column, *id;
    size_t k, i;

    json_object_foreach(json_object_get(lookup, "within"), column, inner) {
        if (!resolve(w, json_object_get(inner, "$lookup"), bad)) {
            bad->lookup = lookup;
            bad->skipped = 0;
            return NULL;
        }
    }
    json_array_foreach(keys, k, key) {
        const json_t *found = NULL;
        int n = 0;

        json_array_foreach(rows, i, row) {
            if (matches(row, key)) {
                found = row;
                n++;
            }
        }
        if (n == 1) {
            return cs_json_str(found, "id");
        }
        if (n > 1) {
            bad->lookup = lookup;
            bad->why = "several fit";
            return NULL;
        }
    }
    if (!strcmp(none, "create")) {
        row = json_deep_copy(json_object_get(lookup, "create"));
        id = apr_psprintf(w->p, "made-%d", ++w->made);
        json_object_set_new(row, "id", json_string(id));
        json_array_append_new(rows, row);
        return id;
    }
    bad->why = "there is none";
    bad->skipped = !strcmp(none, "skip");
    bad->lookup = bad->skipped ? NULL : lookup;
    return NULL;
}

static json_t *resolved_row(world_t *w, const json_t *columns, missing_t *bad)
{
    json_t *out = cs_json_own(json_object(), w->p), *value;
    const char *column;

    json_object_foreach((json_t *)columns, column, value) {
        const json_t *lookup = json_is_object(value) ? json_object_get(value, "$lookup") : NULL;
        missing_t one = {NULL, NULL, 0};
        const char *id = lookup ? resolve(w, lookup, &one) : NULL;

        if (!lookup) {
            json_object_set_new(out, column, json_deep_copy(value));
        }
        else if (id) {
            json_object_set_new(out, column, json_pack("{s:{s:s,s:s}}", "$ref", "table", cs_json_str(lookup, "table"), "id", id));
        }
        else if (one.skipped) {
            bad->skipped = 1;
            bad->why = one.why;
        }
        else {
            json_object_set_new(out, column, json_deep_copy(value));
            bad->lookup = bad->lookup ? bad->lookup : lookup;
            bad->why = one.why;
        }
    }
    return out;
}

#endif
