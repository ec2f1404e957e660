/* Both sides of one deal in memory, and everything that users, Partner Center and the CRM do to them. What the CRM makes of a write, and the order in which
 * steps are applied, are as in engine/apply.c; the refusal of single values is the engine's own (engine/refuse.c).
 */
#ifndef CS_TESTS_PROPERTY_WORLD_H
#define CS_TESTS_PROPERTY_WORLD_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <apr_strings.h>

#include "mappings.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/decimal.h"
#include "mod_cosell/domain/mapping_internal.h"
#include "mod_cosell/domain/reconcile.h"
#include "mod_cosell/domain/state.h"
#include "mod_cosell/engine/apply.h"

#define WORLD_REFERRAL "0f0a4b6e-1111-4222-8333-944455566677"
#define WORLD_NOW apr_time_from_sec(1770000000)
#define ROUNDS_MOST 6

typedef enum {
    QUIRK_KEEPS = 0,
    QUIRK_ROUNDS,
    QUIRK_CUTS,
    QUIRK_IGNORES,
    QUIRK_REFUSES,       /* and says which column */
    QUIRK_REFUSES_DUMBLY, /* and does not */
    QUIRK_REFUSES_SOME,
    QUIRK_TRIMS,
    QUIRK_NFC,
    QUIRK_UPPER,
    QUIRK_CRLF,
    QUIRK_CALCULATES,
    QUIRK_COUNT
} quirk_e;

typedef enum { FATE_GOOD = 0, FATE_FAILS, FATE_UNANSWERED, FATE_DIES_BEFORE, FATE_DIES_AFTER, FATE_DIES_AMID, FATE_RACE, FATE_LISTS_FAIL, FATE_COUNT } fate_e;

/* What is left out of a case, to make it smaller. */
typedef struct knobs_t {
    int no_quirks, no_lag, no_mask, no_fates, no_switch, no_metadata_gaps, no_notices, no_state_moves, no_lists_edits, no_meeting, no_applied_patches, no_deletes;
    int rounds; /* at most; 0 = all */
    unsigned pc_mute[ROUNDS_MOST], crm_mute[ROUNDS_MOST]; /* bits: slots */
} knobs_t;

/* A mapping and the same after an edit. */
typedef struct pair_t {
    apr_uint64_t seed;
    json_t *json[2];
    cs_mapping_t *mapping[2];
    apr_pool_t *p;
} pair_t;

typedef struct world_t {
    apr_pool_t *p;
    apr_uint64_t seed;
    unsigned round;
    const knobs_t *knobs;
    const pair_t *pair;
    int which; /* of the pair is in force */
    cs_mapping_t *mapping;
    const cs_mapping_kind_t *kind;
    json_t *doc, *ms; /* the own card; Microsoft's, NULL = none */
    json_t *row;      /* NULL = no such row */
    json_t *deleted;  /* the row while it is deleted; NULL = it is not */
    json_t *lists;    /* {"<list>": [{"id","version","row"}]} */
    json_t *tables;   /* {"<table>": [row]}: what look-ups find */
    int version, made;
    json_t *old_row, *old_lists; /* before our last writes: what a lagging read may show */
    int old_version, lags;
    int silent;   /* writes return no representation */
    int quiet;    /* nothing goes wrong now, and everything can be read */
    json_t *metadata;
    cs_deal_t deal;
    apr_array_header_t *journal;
    int journal_read;
    apr_time_t now;
    cs_card_t own, microsoft;
    cs_record_t record;
    cs_look_t look;
    cs_plan_t *plan;
    cs_applied_t *applied;
    int writes;      /* requests that wrote something, in this look */
    int line_writes; /* of them: with more than what the seller reads */
    const cs_step_t *writing;
    int refusing; /* a step is sent in parts */
    void (*saw)(struct world_t *w, const cs_step_t *step, const cs_crm_write_t *write); /* each write that takes effect, before it does */
    unsigned touched; /* bits: slots whose columns somebody else may have written since both sides agreed */
    struct checks_t *checks;
} world_t;

static unsigned chance(const world_t *w, const char *purpose, const char *name, unsigned n)
{
    return (unsigned)(chance_of(w->seed, w->round, purpose, name) % n);
}

/* The same all life long. */
static unsigned trait(const world_t *w, const char *purpose, const char *name, unsigned n)
{
    return (unsigned)(chance_of(w->seed, 1000, purpose, name) % n);
}

static json_t *world_json(const world_t *w, const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

    if (!json) {
        fprintf(stderr, "no JSON: %s\n", text);
        abort();
    }
    return cs_json_own(json, w->p);
}

static json_t *world_copy(const world_t *w, const json_t *json)
{
    return json ? cs_json_own(json_deep_copy(json), w->p) : NULL;
}

/* ---- what people type ---- */

typedef struct pool_t {
    const char *const *words;
    unsigned n;
} pool_t;
#define POOL(words) {words, sizeof(words) / sizeof(words[0])}

static const char *const pc_texts[] = {"\"A\"", "\"B\"", "\"A \"", "\"Line\\r\\nTwo\"", "\"Line\\nTwo\"", "\"Cafe\\u0301 au lait\"", "\"Caf\\u00e9 au lait\"", "null",
                                       "\"\"", "\"\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\"", "\" lead\"", "\"A long text of some words\"", "\"+ B\"", "17"};
static const char *const pc_amounts[] = {"0", "1", "50000", "50000.004", "49999.995", "60000.5", "0.1", "99999999999.99", "12345678901234567", "null", "70000", "-5", "0.30000000000000004"};
static const char *const pc_currencies[] = {"\"USD\"", "\"EUR\"", "\"JPY\"", "\"KWD\"", "\"usd\"", "null", "\"XXX\"", "\"Euro\""};
static const char *const pc_days[] = {"\"2026-03-31T00:00:00.0000000Z\"", "\"2026-03-31T23:59:59Z\"", "\"2026-04-01T12:00:00Z\"", "\"2027-01-01T01:00:00+02:00\"",
                                      "null", "\"soon\"", "\"2026-03-31T11:00:00-12:00\""};
static const char *const pc_flags[] = {"true", "false", "null", "\"yes\""};
static const char *const pc_choices[] = {"\"One\"", "\"Two\"", "\"Three\"", "\"Four\"", "\"None\"", "null", "\"\""};
static const char *const pc_labels[] = {"\"Spring\"", "\"Autumn\"", "\"Odd\"", "\"Winter\"", "\"Unknown\"", "null"};
static const char *const pc_places[] = {"\"Berlin\"", "\"berlin \"", "\"Paris\"", "\"Nowhere\"", "null", "\"Twin\""};
static const char *const pc_countries[] = {"\"DE\"", "\"Germany\"", "\"de\"", "\"FR\"", "\"Atlantis\"", "null"};
static const pool_t pc_pools[] = {POOL(pc_texts), POOL(pc_amounts), POOL(pc_days),   POOL(pc_flags), POOL(pc_choices),
                                  POOL(pc_labels), POOL(pc_places), POOL(pc_places), POOL(pc_countries)};

static const char *const crm_texts[] = {"\"A\"", "\"B\"", "\"C\\r\\nD\"", "\"C\\nD\"", "null", "\"A long text of other words\"", "\"+ A\"", "\"\""};
static const char *const crm_amounts[] = {"0", "1", "50000", "61234.25", "70000", "null", "7.25", "0.1"};
static const char *const crm_days[] = {"\"2026-03-31\"", "\"2026-04-01\"", "\"2028-02-29\"", "null"};
static const char *const crm_flags[] = {"true", "false", "null"};
static const char *const crm_choices[] = {"1", "2", "3", "7", "null"};
static const char *const crm_labels[] = {"100", "101", "102", "null"};
static const char *const crm_places[] = {"{\"id\":\"t1\",\"tname\":\"Berlin\"}", "{\"id\":\"t2\",\"tname\":\"Paris\"}", "{\"id\":\"t3\",\"tname\":\"Rom\"}", "null"};
static const char *const crm_accounts[] = {"{\"id\":\"a1\",\"name\":\"Contoso\",\"zip\":\"10115\",\"accountnumber\":\"77\"}",
                                           "{\"id\":\"a2\",\"name\":\"Fabrikam\",\"zip\":\"20095\",\"accountnumber\":null}", "null"};
static const char *const crm_countries[] = {"\"Germany\"", "\"DE\"", "\"France\"", "\"Atlantis\"", "null"};
static const char *const crm_consts[] = {"8", "9", "null"};
static const pool_t crm_pools[] = {POOL(crm_texts),  POOL(crm_amounts), POOL(crm_days),     POOL(crm_flags),    POOL(crm_choices),
                                   POOL(crm_labels), POOL(crm_places),  POOL(crm_accounts), POOL(crm_countries), POOL(crm_consts)};
static const char *const crm_currencies[] = {"{\"id\":\"usd\",\"isocurrencycode\":\"USD\"}", "{\"id\":\"eur\",\"isocurrencycode\":\"EUR\"}", "{\"id\":\"jpy\",\"isocurrencycode\":\"JPY\"}"};

static const char *const item_keys[] = {"S1", "S2", "S3", "s4"};
static const char *const mail_keys[] = {"ann@x.org", "bob@x.org", "Cid@x.org", "nobody@y.org"};
#define KEYS 4

static json_t *drawn(const world_t *w, const pool_t *pool, const char *purpose, const char *name)
{
    return json_loads(pool->words[chance(w, purpose, name, pool->n)], JSON_DECODE_ANY, NULL);
}

/* ---- Partner Center ---- */

/* Takes value. Nothing is a member that is absent or null. */
static void pc_set(world_t *w, const char *path, json_t *value)
{
    json_t *at = w->doc;
    char *rest, *part, *last = NULL, *select;

    if (!strncmp(path, "microsoft:", 10) || !strncmp(path, "invite:", 7)) {
        at = w->ms ? w->ms : w->doc;
        if (!w->ms && *path == 'm') {
            json_decref(value);
            return;
        }
    }
    rest = apr_pstrdup(w->p, strchr(path, '/') + 1);
    for (part = strsep(&rest, "/"); part; part = strsep(&rest, "/")) {
        json_t *next;

        if (!rest) {
            last = part;
            break;
        }
        select = strchr(part, '[');
        if (select) {
            *select = '\0';
        }
        next = json_object_get(at, part);
        if (!next) {
            next = select ? json_pack("[{}]") : json_object();
            json_object_set_new(at, part, next);
        }
        at = select ? json_array_get(next, 0) : next;
    }
    if (json_is_null(value) && chance(w, "null", path, 2)) {
        json_object_del(at, last);
        json_decref(value);
    }
    else {
        json_object_set_new(at, last, value);
    }
}

static const char *pc_state(const world_t *w)
{
    cs_card_t card = {.doc = w->doc};

    return cs_state_of_card(&card, w->p);
}

static void pc_moves(world_t *w)
{
    static const char *const forms[][2] = {{"Active", "Accepted"}, {"Active", "Accepted"}, {"New", "Received"},   {"Closed", "Won"},
                                           {"Closed", "Lost"},     {"Closed", "Declined"}, {"Closed", "Expired"}, {"Closed", "Error"}};
    unsigned i = chance(w, "pc-state", "form", 8);

    if (cs_state_may_move(pc_state(w), apr_pstrcat(w->p, forms[i][0], "/", forms[i][1], NULL))) {
        json_object_set_new(w->doc, "status", json_string(forms[i][0]));
        json_object_set_new(w->doc, "substatus", json_string(forms[i][1]));
    }
}

static json_t *pc_item(const world_t *w, const char *key, int mail)
{
    json_t *item = mail ? json_pack("{s:s,s:s}", "email", key, "firstName", chance(w, "item-name", key, 3) ? key : "Zed")
                        : json_pack("{s:s,s:s,s:i,s:s}", "id", key, "name", chance(w, "item-name", key, 3) ? "Backup" : "Cloud", "quantity",
                                    (int)chance(w, "item-quantity", key, 4), "solutionType", "kept");

    if (!mail && chance(w, "item-price", key, 2)) {
        json_object_set_new(item, "price", json_real(chance(w, "item-real", key, 2) ? 0.1 : 0.30000000000000004));
    }
    if (mail && chance(w, "item-first", key, 6) == 0) {
        json_object_del(item, "firstName");
    }
    return item;
}

static int has_key(const json_t *item, const char *member, const char *key)
{
    const char *text = cs_json_str(item, member);
    size_t len = strlen(key);

    while (text && isspace((unsigned char)*text)) {
        text++;
    }
    return text && !strncasecmp(text, key, len) && strspn(text + len, " ") == strlen(text + len);
}

/* One thing happens to an array. */
static void pc_edits_array(world_t *w, const char *path, const char *member, const char *const *keys)
{
    int mail = !strcmp(member, "email");
    json_t *array = cs_json_pointer(w->doc, path), *item;
    const char *key = keys[chance(w, "pc-key", path, KEYS)];
    size_t i, found = (size_t)-1;

    if (!json_is_array(array)) {
        array = json_array();
        cs_json_pointer_set(w->doc, path, array);
    }
    json_array_foreach(array, i, item) {
        found = has_key(item, member, key) ? i : found;
    }
    switch (chance(w, "pc-array", path, 8)) {
    case 0: /* without a key */
        json_array_append_new(array, json_pack("{s:s}", mail ? "lastName" : "name", "Keyless"));
        break;
    case 1: /* turned round */
        if (json_array_size(array) > 1) {
            item = json_incref(json_array_get(array, 0));
            json_array_remove(array, 0);
            json_array_append_new(array, item);
        }
        break;
    case 2: /* another spelling */
        json_array_append_new(array, pc_item(w, apr_pstrcat(w->p, chance(w, "pc-blank", path, 2) ? " " : "", key, " ", NULL), mail));
        break;
    case 3:
        if (chance(w, "pc-array-null", path, 4) == 0) {
            cs_json_pointer_set(w->doc, path, json_null());
            break;
        }
        /* fall through */
    default:
        if (found == (size_t)-1) {
            json_array_append_new(array, pc_item(w, key, mail));
        }
        else if (chance(w, "pc-change", path, 2)) {
            json_array_set_new(array, found, pc_item(w, key, mail));
        }
        else {
            json_array_remove(array, found);
        }
    }
}

static int is_muted(const world_t *w, int at_pc, size_t slot)
{
    return w->round < ROUNDS_MOST && ((at_pc ? w->knobs->pc_mute : w->knobs->crm_mute)[w->round] >> slot & 1);
}

static void pc_edits_slot(world_t *w, const slot_t *slot)
{
    if (slot->type == SLOT_MONEY) {
        static const pool_t currencies = POOL(pc_currencies);

        if (chance(w, "pc-money", slot->line, 3)) {
            pc_set(w, slot->pc, drawn(w, &pc_pools[SLOT_MONEY], "pc-value", slot->line));
        }
        if (chance(w, "pc-money2", slot->line, 2)) {
            pc_set(w, slot->pc2, drawn(w, &currencies, "pc-currency", slot->line));
        }
    }
    else if (slot->pc && !strstr(slot->pc, "team[first]")) {
        pc_set(w, slot->pc, drawn(w, &pc_pools[slot->type], "pc-value", slot->line));
    }
}

static void pc_edits(world_t *w)
{
    size_t i;

    if (!cs_state_is_terminal(pc_state(w))) {
        for (i = 0; i < SLOTS; i++) {
            if (chance(w, "pc-edit", slots[i].line, 5) == 0 && !is_muted(w, 1, i)) {
                pc_edits_slot(w, &slots[i]);
            }
        }
        if (!w->knobs->no_lists_edits) {
            if (chance(w, "pc-edit", "solutions", 2) == 0) {
                pc_edits_array(w, "/details/requirements/solutions", "id", item_keys);
            }
            if (chance(w, "pc-edit", "contacts", 3) == 0) {
                pc_edits_array(w, "/customerProfile/team", "email", mail_keys);
            }
            if (chance(w, "pc-edit", "team", 3) == 0) {
                pc_edits_array(w, "/team", "email", mail_keys);
            }
        }
    }
    if (chance(w, "pc-state", "moves", 6) == 0 && !w->knobs->no_state_moves) {
        pc_moves(w);
    }
}

/* ---- the CRM's habits ---- */

static quirk_e quirk_of(const world_t *w, const char *column)
{
    quirk_e quirk;

    if (w->knobs->no_quirks || trait(w, "quirks", "any", 3) == 0 || trait(w, "quirk", column, 5) || !strncmp(column, "state", 5) ||
        !strcmp(column, "msft_sync")) {
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
    return text ? quirky_text(w, quirk, text) : json_deep_copy(value);
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
           : !strcmp(column, "ownerid") ? json_pack("{s:s,s:s,s:s}", "id", "u9", "mail", "boss@x.org", "firstname", "Boss")
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
    json_object_set_new(row, "opportunityid", json_string(id));
    return row;
}

/* ---- users ---- */

static void edit_column(world_t *w, const char *column, json_t *value)
{
    if (json_object_get(w->row, column) && quirk_of(w, column) != QUIRK_CALCULATES) {
        json_object_set(w->row, column, value);
        w->version++;
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

        edit_column(w, slot->col2, drawn(w, &currencies, "crm-currency", slot->line));
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

    return json_pack("{s:s,s:s,s:{s:{},s:o?,s:s,s:s,s:i,s:n,s:i}}", "id", apr_psprintf(w->p, "row-%d", ++w->made), "version", "r0", "row", "oppid", "detailid",
                     json_deep_copy(detail), "skey", key, "stext", "Typed", "qty", (int)chance(w, "row-qty", key, 4), "price", "role", 7);
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
        if (entry) {
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
            edit_column(w, "ownerid", json_deep_copy(user));
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

static void user_edits(world_t *w)
{
    static const int states[][2] = {{0, 1}, {0, 2}, {1, 3}, {2, 4}};
    size_t i;

    if (!w->row) {
        return;
    }
    if (cs_json_int(w->row, "statecode", 0) == 0) {
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
        unsigned s = chance(w, "crm-state", NULL, 4);

        json_object_set_new(w->row, "statecode", json_integer(states[s][0]));
        json_object_set_new(w->row, "statuscode", json_integer(states[s][1]));
        w->version++;
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

static cs_record_t *representation(world_t *w, const char *table, const char *id, const char *version, const json_t *row)
{
    cs_record_t *after = apr_pcalloc(w->p, sizeof(*after));

    if (w->silent && !strcmp(table, "opportunity") && w->round) {
        return NULL;
    }
    after->table = table;
    after->id = id;
    after->version = version;
    after->row = visible_row(w, row);
    return after;
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
        if (cs_json_int(w->row, "statecode", 0) != 0) {
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
            w->row = empty_row(w, write->id);
        }
        take_columns(w, w->row, write->row);
        if (json_is_null(json_object_get(w->row, "transactioncurrencyid"))) {
            json_object_set_new(w->row, "transactioncurrencyid", json_pack("{s:s,s:s}", "id", "usd", "isocurrencycode", "USD"));
        }
    }
    w->version++;
    w->writes++;
    write->record = write->kind == CS_CRM_CALL ? NULL : representation(w, "opportunity", write->id, version_text(w, w->version), w->row);
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

static json_t *new_entry(world_t *w, const cs_crm_write_t *write)
{
    json_t *row = json_loads("{\"oppid\":null,\"detailid\":null,\"skey\":null,\"stext\":null,\"qty\":null,\"price\":null,\"role\":7}", 0, NULL), *entry;

    if (!strcmp(write->table, "oppuser")) {
        json_decref(row);
        row = json_pack("{s:n,s:n}", "oppid", "userid");
    }
    json_object_del(row, "oppid");
    take_columns(w, row, write->row);
    entry = json_pack("{s:s,s:s,s:o}", "id", write->id, "version", "r0", "row", row);
    bump(w, entry);
    return entry;
}

static void write_entry(world_t *w, cs_crm_write_t *write, const char *list)
{
    size_t at = 0;
    json_t *entry = entry_of(w, list, write->id, &at);

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
        write->record = representation(w, write->table, write->id, apr_pstrdup(w->p, cs_json_str(entry, "version")), json_object_get(entry, "row"));
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

/* ---- the engine ---- */

static void note_line(world_t *w, json_t **pobject, const char *line, const char *why)
{
    cs_lines_add(pobject, line, why, w->p);
}

static const char *guard_of(const world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    const char *guard = step->guard;
    int i;

    for (i = 0; i < at; i++) {
        const cs_step_t *before = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);
        const cs_applied_t *applied = &w->applied[i];

        if (applied->done && applied->after && applied->after->version && before->table && step->table && before->id && step->id &&
            !strcmp(before->table, step->table) && !strcmp(before->id, step->id)) {
            guard = applied->after->version;
        }
    }
    return guard;
}

static void fill_write(world_t *w, cs_crm_write_t *write, int at, const json_t *row)
{
    static const cs_crm_write_e kinds[] = {CS_CRM_CREATE, CS_CRM_UPDATE, CS_CRM_UPDATE, CS_CRM_CALL, CS_CRM_UPDATE, CS_CRM_DELETE, CS_CRM_JOIN, CS_CRM_UPDATE};
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);

    memset(write, 0, sizeof(*write));
    write->kind = kinds[step->kind];
    write->table = step->table;
    write->id = step->id;
    write->guard = guard_of(w, at);
    write->call = step->call;
    write->row = row;
}

static int drop_columns(json_t *row, const json_t *lookup)
{
    json_t *columns = json_object_get(lookup, "columns"), *name;
    size_t i;

    if (!json_is_array(columns) || !cs_json_str(lookup, "line")) {
        return 0;
    }
    json_array_foreach(columns, i, name) {
        json_object_del(row, json_string_value(name));
    }
    return 1;
}

static void apply_refused(world_t *w, const cs_step_t *step, cs_applied_t *applied, cs_crm_write_t *write)
{
    cs_refusal_t *refusal = cs_refusal_begin(step, write, w->p);
    cs_refusal_end_t end;
    const char *line;
    json_t *words;
    int i;

    if (!refusal) {
        applied->result = write->result;
        return;
    }
    w->refusing = 1;
    while (cs_refusal_next(refusal, write)) {
        crm_write(w, write, step);
        applied->calls++;
        cs_refusal_take(refusal, write);
    }
    w->refusing = 0;
    cs_refusal_end(refusal, &end);
    json_object_foreach(end.refused, line, words) {
        note_line(w, &applied->refused, line, json_string_value(words));
    }
    for (i = 0; end.left && i < end.left->nelts; i++) {
        note_line(w, &applied->dropped, APR_ARRAY_IDX(end.left, i, const char *), "other values were refused first");
    }
    applied->done = end.result.cls == CS_CLASS_OK;
    applied->result = end.result;
    applied->after = end.wrote ? end.after : w->look.record;
}

/* About the record itself. 0 = the item is over. */
static int apply_record(world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    cs_applied_t *applied = &w->applied[at];
    json_t *row = world_copy(w, step->columns);
    size_t most = json_object_size(row);
    missing_t bad = {NULL, NULL, 0};
    cs_crm_write_t write;

    applied->tried = 1;
    row = resolved_row(w, row, &bad);
    while (bad.lookup && most-- > 0 && drop_columns(row, world_copy(w, bad.lookup))) {
        note_line(w, &applied->dropped, apr_pstrdup(w->p, cs_json_str(bad.lookup, "line")), bad.why);
        memset(&bad, 0, sizeof(bad));
        row = resolved_row(w, row, &bad);
    }
    if (bad.lookup) {
        cs_result_set(&applied->result, w->p, CS_EREMOTE, CS_CLASS_REFUSED, "lookup:held", "%s", bad.why);
        return 0;
    }
    if (step->kind == CS_STEP_UPDATE && json_object_size(row) == (step->travels && json_object_get(row, step->travels))) {
        applied->done = 1;
        applied->after = w->look.record;
        return 1;
    }
    fill_write(w, &write, at, row);
    crm_write(w, &write, step);
    applied->calls++;
    if (write.result.cls == CS_CLASS_OK) {
        applied->done = 1;
        applied->after = write.record;
    }
    else if (write.result.cls == CS_CLASS_DATA && (write.kind == CS_CRM_CREATE || write.kind == CS_CRM_UPDATE)) {
        apply_refused(w, step, applied, &write);
    }
    else {
        applied->result = write.result;
    }
    return applied->done;
}

static void find_twin(world_t *w, const cs_step_t *step, cs_applied_t *applied)
{
    size_t at;
    json_t *entry = entry_of(w, step->list, step->id, &at);

    cs_result_clear(&applied->result);
    applied->done = applied->found = 1;
    applied->after = representation(w, step->table, step->id, apr_pstrdup(w->p, cs_json_str(entry, "version")), json_object_get(entry, "row"));
}

static void apply_aside(world_t *w, int at)
{
    const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, at, cs_step_t *);
    cs_applied_t *applied = &w->applied[at];
    const char *line = APR_ARRAY_IDX(step->lines, 0, const char *);
    missing_t bad = {NULL, NULL, 0};
    json_t *row = resolved_row(w, step->columns, &bad);
    cs_crm_write_t write;

    applied->tried = 1;
    if (bad.lookup || bad.skipped) {
        note_line(w, &applied->dropped, line, bad.why);
        return;
    }
    if (step->kind == CS_STEP_ENSURE) {
        applied->done = 1;
        return;
    }
    fill_write(w, &write, at, row);
    crm_write(w, &write, step);
    applied->calls++;
    applied->result = write.result;
    if (write.result.cls == CS_CLASS_OK || (write.kind == CS_CRM_DELETE && write.result.cls == CS_CLASS_GONE)) {
        cs_result_clear(&applied->result);
        applied->done = 1;
        applied->after = write.record;
    }
    else if (write.result.cls == CS_CLASS_DUPLICATE) {
        find_twin(w, step, applied);
    }
    else if (write.result.cls == CS_CLASS_DATA || write.result.cls == CS_CLASS_REFUSED) {
        note_line(w, &applied->refused, line, write.result.detail);
    }
}

static void fail_step(world_t *w, cs_applied_t *applied)
{
    applied->tried = 1;
    applied->done = 0;
    applied->after = NULL;
    applied->refused = applied->dropped = NULL;
    cs_result_set(&applied->result, w->p, CS_EREMOTE, CS_CLASS_RETRY, "http:503", "try later");
}

/* Stage 6. */
static void world_apply(world_t *w, fate_e fate)
{
    int i, over = 0, steps = 0;

    w->writes = w->line_writes = w->refusing = 0;
    w->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    if (w->plan->intent) {
        w->deal.intent = w->plan->intent;
    }
    if (fate == FATE_DIES_BEFORE) {
        return;
    }
    w->old_row = w->row ? world_copy(w, w->row) : NULL;
    w->old_lists = world_copy(w, w->lists);
    w->old_version = w->version;
    for (i = 0; i < w->plan->steps->nelts && w->plan->what == CS_PLAN_STEPS; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);
        int aside = step->list || step->kind == CS_STEP_DELETE || step->kind == CS_STEP_JOIN || step->kind == CS_STEP_ENSURE;

        if (!step->send || (!aside && over) ||
            (step->after >= 0 && APR_ARRAY_IDX(w->plan->steps, step->after, cs_step_t *)->send && !w->applied[step->after].done)) {
            continue;
        }
        if (fate == FATE_DIES_AMID && steps++ > 0) {
            break;
        }
        if ((fate == FATE_FAILS && !aside) || (fate == FATE_LISTS_FAIL && aside)) {
            fail_step(w, &w->applied[i]);
            over |= !aside;
        }
        else if (aside) {
            apply_aside(w, i);
        }
        else {
            over |= !apply_record(w, i);
            if (fate == FATE_UNANSWERED) {
                fail_step(w, &w->applied[i]);
                over = 1;
            }
        }
    }
}

/* ---- looking ---- */

static void world_fetch(world_t *w)
{
    memset(&w->look, 0, sizeof(w->look));
    w->own.id = WORLD_REFERRAL;
    w->own.organization_id = "own";
    w->own.etag = "\"1\"";
    w->own.doc = w->doc;
    w->microsoft.id = "msft-card";
    w->microsoft.organization_id = "msft";
    w->microsoft.doc = w->ms;
    w->look.mapping = w->mapping;
    w->look.site = "contoso";
    w->look.crm = "sales";
    w->look.organization = "own";
    w->look.deal = &w->deal;
    w->look.own = &w->own;
    w->look.microsoft = w->ms ? &w->microsoft : NULL;
    w->look.record_read = 1;
    w->look.now = w->now;
    w->look.explain_url = "https://example.org/why";
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
            json_object_set_new(out, rows->list, now ? json_deep_copy(now) : json_array());
        }
    }
    w->record.related = out;
}

static void world_read(world_t *w, int lagging)
{
    json_t *row = lagging ? w->old_row : w->row;

    world_fetch(w);
    w->lags = lagging;
    if (row) {
        memset(&w->record, 0, sizeof(w->record));
        w->record.table = "opportunity";
        w->record.id = cs_json_str(row, "opportunityid");
        w->record.version = version_text(w, lagging ? w->old_version : w->version);
        w->record.row = visible_row(w, row);
        read_related(w, lagging ? w->old_lists : w->lists);
        w->look.record = &w->record;
    }
    if (!(trait(w, "metadata", NULL, 6) == 0) && (w->quiet || w->knobs->no_metadata_gaps || chance(w, "metadata", NULL, 8))) {
        w->look.metadata = w->metadata;
    }
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

static void make_metadata(world_t *w)
{
    json_t *columns = json_object();
    size_t i;

    for (i = 0; i < SLOTS; i++) {
        add_facts(w, columns, &slots[i]);
    }
    json_object_set_new(columns, "c_problem", json_pack("{s:s,s:s,s:i}", "label", "Problem", "type", "memo", "max", 60 + (int)trait(w, "facts-units", "problem", 300)));
    json_object_set_new(columns, "statuscode", json_pack("{s:s,s:s}", "label", "Status Reason", "type", "choice"));
    w->metadata = cs_json_own(json_pack("{s:i,s:{s:{s:s,s:o}}}", "language", 1033, "tables", "opportunity", "label", "Opportunity", "columns", columns), w->p);
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

    w->row = empty_row(w, "99999999-1111-4222-8333-944455566677");
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
    w->deal.record_id = "99999999-1111-4222-8333-944455566677";
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
    w->version = 1;
    w->now = WORLD_NOW;
    w->journal = apr_array_make(p, 16, sizeof(cs_journal_t *));
    w->silent = trait(w, "silent", NULL, 12) == 0 && !knobs->no_quirks;
    w->deal.id = 7;
    w->deal.site = "contoso";
    w->deal.referral_id = WORLD_REFERRAL;
    w->deal.crm = "sales";
    w->deal.kind = "opportunity";
    w->deal.table = "opportunity";
    use_mapping(w, 0);
    make_sides(w);
    if (trait(w, "meeting", NULL, 3) == 0 && !knobs->no_meeting) {
        make_record(w);
    }
    else {
        w->deal.record_id = cs_uuid5_url("cosell:contoso:" WORLD_REFERRAL ":opportunity:", p);
    }
    make_metadata(w);
    w->round = 0;
}

#endif
