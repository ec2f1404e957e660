/* tests/sim/crm.c: a model of the tables of a Dataverse environment that the engine uses.
 *
 * It judges what it is told: an update without a guard, a row made again after a user deleted it, a second row for one referral, a write after the lane was overtaken are violations, not answers.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#include "mod_cosell/remote/dynamics/dynamics.h"
#include "mod_cosell/base/decimal.h"
#include "sim.h"

#define WRITE_TIME apr_time_from_sec(30)
#define NAME_MAX_LEN 300
#define SELLERS_CUSTOMER "Litware GmbH"
#define CHANGES_PAGE 10
#define NOTES_MAX_LEN 2000

struct cs_http_t {
    cs_may_write_fn *may_write;
    void *baton;
    int overtaken;
};

struct cs_crm_t {
    cs_http_t *http;
};

/* ---- the transport, as far as the engine itself sees it ---- */

apr_status_t cs_http_create(cs_http_t **phttp, const char *site, apr_pool_t *p)
{
    (void)site;
    *phttp = apr_pcalloc(p, sizeof(**phttp));
    return APR_SUCCESS;
}

void cs_http_guard(cs_http_t *http, cs_may_write_fn *may_write, void *baton)
{
    http->may_write = may_write;
    http->baton = baton;
}

void cs_http_abort(cs_http_t *http)
{
    (void)http;
}

/* ---- rows ---- */

row_t *row_by_id(const char *table, const char *id)
{
    int i;

    for (i = 0; table && id && i < S->rows; i++) {
        if (!strcmp(S->row[i].id, id) && !strcmp(S->row[i].table, table)) {
            return &S->row[i];
        }
    }
    return NULL;
}

/* With --gives the CRM gives its rows their ids. */
int crm_gives;

static void make_row_id(char out[40])
{
    char guid[40];

    make_guid(guid);
    if (!crm_gives) {
        snprintf(out, 40, "%s", guid);
        return;
    }
    /* No capitals: what tells the case of 15 characters is AAA. */
    snprintf(out, 40, "006%.8s%.4sAAA", guid, guid + 9);
}

static row_t *row_new(const char *table, const char *id)
{
    row_t *row = row_by_id(table, id);

    if (!row) {
        if (S->rows == ROWS_MAX) {
            fprintf(stderr, "sim: too many rows\n");
            abort();
        }
        row = &S->row[S->rows++];
        memset(row, 0, sizeof(*row));
        snprintf(row->table, sizeof(row->table), "%s", table);
        snprintf(row->id, sizeof(row->id), "%s", id);
    }
    row->exists = 1;
    row->deleted = 0;
    return row;
}

/* What the CRM tells by itself: one time in ten nothing, now and then the same again, in any order. */
static void announce_row(const row_t *row)
{
    int n = S->mute || (strcmp(row->table, "opportunity") && strcmp(row->table, "lead")) ? 0 : S->chaos && chance(100) ? 0 : chance(80) ? 3 : chance(200) ? 2 : 1;

    while (n-- > 0) {
        event_push_row(row, some_delay());
    }
}

static void changed(row_t *row)
{
    row->sequence = ++S->sequence;
    announce_row(row);
}

static void store_row(row_t *row, json_t *columns)
{
    print(row->text, sizeof(row->text), columns);
    row->version++;
    row->modified = apr_time_from_sec(apr_time_sec(START_WALL + S->boot)); /* their clock never goes back */
    changed(row);
}

static void seed(const char *table, json_t *columns)
{
    char id[40];
    row_t *row;

    make_row_id(id);
    row = row_new(table, id);
    row->seeded = 1;
    store_row(row, columns);
    json_decref(columns);
}

void crm_seed(void)
{
    int i;

    seed("transactioncurrency", json_pack("{s:s, s:s, s:i}", "isocurrencycode", "USD", "currencyname", "US Dollar", "statecode", 0));
    seed("transactioncurrency", json_pack("{s:s, s:s, s:i}", "isocurrencycode", "EUR", "currencyname", "Euro", "statecode", 0));
    seed("transactioncurrency", json_pack("{s:s, s:s, s:i}", "isocurrencycode", "JPY", "currencyname", "Yen", "statecode", 0));
    seed("account", json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "name", SELLERS_CUSTOMER, "address1_line1", "5 High St", "address1_city", "Berlin", "address1_postalcode", "10115",
                              "address1_country", "Germany", "statecode", 0));
    seed("account", json_pack("{s:s, s:s, s:i}", "name", "Adatum Corporation", "accountnumber", "cust-0007", "statecode", 0));
    seed("account", json_pack("{s:s, s:s, s:i}", "name", "Northwind Traders", "address1_postalcode", "10115", "statecode", 1));
    for (i = 0; i < 2; i++) {
        seed("account", json_pack("{s:s, s:s, s:i}", "name", "Twin Peaks Ltd", "address1_postalcode", "99999", "statecode", 0));
    }
}


static json_t *shown(const row_t *row, const json_t *text, const char *column)
{
    const json_t *value = cs_json_get(text, column);
    char key[60];

    snprintf(key, sizeof(key), "%sid", row->table);
    if (!strcmp(column, key)) {
        return json_string(row->id);
    }
    if (json_is_object(value)) {
        return json_pack("{s:s}", "id", cs_json_str(value, "id"));
    }
    return value ? json_deep_copy(value) : json_null();
}

static void show_path(json_t *out, const row_t *row, const json_t *text, const char *path, int expand, apr_pool_t *p)
{
    const char *slash = strchr(path, '/'), *base = apr_pstrmemdup(p, path, (apr_size_t)(slash - path));
    const json_t *ref = cs_json_get(text, base);
    const row_t *target = json_is_object(ref) ? row_by_id(cs_json_str(ref, "table"), cs_json_str(ref, "id")) : NULL;
    json_t *into = json_object_get(out, base), *inner;

    if (!into) {
        into = shown(row, text, base);
        json_object_set_new(out, base, into);
    }
    if (expand && target && json_is_object(into)) {
        inner = parse(target->text);
        json_object_set_new(into, slash + 1, shown(target, inner, slash + 1));
        json_decref(inner);
    }
}

cs_record_t *record_of(const row_t *row, const apr_array_header_t *columns, const apr_array_header_t *lookups, int expand, apr_pool_t *p)
{
    cs_record_t *record = apr_pcalloc(p, sizeof(*record));
    json_t *text = cs_json_own(parse(row->text), p);
    int i;

    record->table = apr_pstrdup(p, row->table);
    record->id = apr_pstrdup(p, row->id);
    record->version = apr_psprintf(p, "W/\"%ld\"", row->version);
    record->modified = row->modified;
    record->row = cs_json_own(json_object(), p);
    for (i = 0; columns && i < columns->nelts; i++) {
        const char *column = APR_ARRAY_IDX(columns, i, const char *);
        if (strchr(column, '/')) {
            show_path(record->row, row, text, column, expand, p);
        }
        else if (!json_object_get(record->row, column)) {
            json_object_set_new(record->row, column, shown(row, text, column));
        }
    }
    (void)lookups;
    return record;
}

/* ---- what becomes of a lead ---- */

static row_t *qualify_row(row_t *lead, json_t *text, const char *by)
{
    char id[40];
    json_t *made;
    row_t *row;

    make_row_id(id);
    row = row_new("opportunity", id);
    made = json_pack("{s:i, s:i, s:b, s:O?, s:b}", "statecode", 0, "statuscode", 1, "isrevenuesystemcalculated", 0, "name",
                     json_object_get(text, "subject"), "cosell_sync", 0);
    store_row(row, made);
    json_decref(made);
    json_object_set_new(text, "statecode", json_integer(1));
    json_object_set_new(text, "statuscode", json_integer(3));
    json_object_set_new(text, "qualifyingopportunityid", json_pack("{s:s, s:s}", "table", "opportunity", "id", id));
    S->qualified++;
    trace("crm: lead %s is qualified %s: opportunity %s", lead->id, by, id);
    return row;
}

/* ---- what users do ---- */

static json_t *ref_of(const char *table, const char *word)
{
    int i;

    for (i = 0; i < S->rows; i++) {
        if (!strcmp(S->row[i].table, table) && strstr(S->row[i].text, word)) {
            return json_pack("{s:s, s:s}", "table", table, "id", S->row[i].id);
        }
    }
    return json_null();
}

void row_changes(row_t *row, json_t *text)
{
    store_row(row, text);
    trace("user: %s is now %s", row->id, row->text);
}

/* A seller's own deal; now and then it is not complete yet, or not opted in. */
row_t *crm_new(int help, int visible)
{
    char id[40], name[60];
    row_t *row;
    json_t *text;

    make_row_id(id);
    snprintf(name, sizeof(name), "Seller's deal %d", S->rows);
    text = json_pack("{s:i, s:i, s:b, s:s, s:i, s:s, s:o, s:o, s:b, s:b}", "statecode", 0, "statuscode", 1, "isrevenuesystemcalculated", 0, "name", name, "estimatedvalue",
                     1000 + pick(5000), "estimatedclosedate", "2026-11-30", "transactioncurrencyid", ref_of("transactioncurrency", "EUR"), "parentaccountid",
                     ref_of("account", SELLERS_CUSTOMER), "cosell_sync", 1, "cosell_visible", visible);
    if (help) {
        json_object_set_new(text, "cosell_help", json_integer(6));
    }
    if (S->chaos && chance(200)) {
        json_object_set_new(text, chance(500) ? "estimatedvalue" : "estimatedclosedate", json_null());
    }
    if (S->chaos && chance(200)) {
        json_object_set_new(text, "cosell_sync", json_false());
    }
    row = row_new("opportunity", id);
    row->seller = 1;
    store_row(row, text);
    json_decref(text);
    trace("user: new opportunity %s: %s", id, row->text);
    return row;
}

static void user_value(json_t *text)
{
    static const char *const isos[] = { "USD", "EUR", "JPY" };
    const char *iso = isos[pick(3)];
    int i;

    if (!chance(300)) {
        json_object_set_new(text, "estimatedvalue", chance(60) ? json_null() : json_integer(500 + pick(90000)));
        return;
    }
    for (i = 0; i < S->rows; i++) {
        if (strstr(S->row[i].text, iso) && !strcmp(S->row[i].table, "transactioncurrency")) {
            json_object_set_new(text, "transactioncurrencyid", json_pack("{s:s, s:s}", "table", "transactioncurrency", "id", S->row[i].id));
            json_object_set_new(text, "estimatedvalue", json_integer(500 + pick(90000)));
        }
    }
}

static unsigned user_closes(json_t *text)
{
    if (json_integer_value(cs_json_get(text, "statecode")) == 0) {
        int won = chance(500);
        json_object_set_new(text, "statecode", json_integer(won ? 1 : 2));
        json_object_set_new(text, "statuscode", json_integer(won ? 3 : 4 + pick(2)));
    }
    else {
        json_object_set_new(text, "statecode", json_integer(0));
        json_object_set_new(text, "statuscode", json_integer(1));
    }
    return TOUCHED_STATE;
}

static unsigned user_edits_ours(json_t *text)
{
    switch (pick(4)) {
    case 0:
        json_object_set_new(text, "cosell_referral", chance(500) ? json_null() : json_string("typed by hand"));
        break;
    case 1:
        json_object_set_new(text, "cosell_link", json_string("https://example.test/"));
        break;
    case 2:
        json_object_set_new(text, "cosell_audit", json_string("nothing happened"));
        break;
    default:
        json_object_set_new(text, "cosell_status", json_string("I like it"));
    }
    return TOUCHED_OURS;
}

static unsigned user_edits(json_t *text, wrote_t *wrote)
{
    char line[200];
    int dice = pick(100), open = json_integer_value(cs_json_get(text, "statecode")) == 0;

    snprintf(line, sizeof(line), "user text %d%s%s", pick(1000), chance(30) ? " BALK" : "", chance(200) ? "  " : "");
    if (!open && dice < 80) {
        return 0; /* a closed row is read-only for users too */
    }
    if (dice < 20) {
        user_value(text);
        wrote_crm(wrote, text, LINE_VALUE);
        return TOUCHED_VALUE;
    }
    if (dice < 35) {
        snprintf(line, sizeof(line), "2026-%02d-%02d", 4 + pick(8), 1 + pick(28));
        json_object_set_new(text, "estimatedclosedate", json_string(line));
        wrote_crm(wrote, text, LINE_CLOSE);
        return TOUCHED_CLOSE;
    }
    if (dice < 50) {
        json_object_set_new(text, "description", chance(100) ? json_null() : json_string(line));
        wrote_crm(wrote, text, LINE_NOTES);
        return TOUCHED_NOTES;
    }
    if (dice < 60) {
        json_object_set_new(text, "name", json_string(line));
        return TOUCHED_NAME;
    }
    if (dice < 62) {
        json_object_set_new(text, "cosell_visible", json_boolean(!json_is_true(cs_json_get(text, "cosell_visible"))));
        return TOUCHED_VISIBLE;
    }
    if (dice < 64) {
        json_object_set_new(text, "cosell_help", chance(800) ? json_integer(6) : json_null());
        return TOUCHED_HELP;
    }
    if (dice < 66) {
        json_object_set_new(text, "cosell_program", json_string("by hand"));
        return TOUCHED_PROGRAM;
    }
    if (dice < 72) {
        json_object_set_new(text, "cosell_stage", json_integer(1 + pick(5)));
        return TOUCHED_STAGE;
    }
    if (dice < 80) {
        return user_edits_ours(text);
    }
    if (dice < 82 || (dice < 90 && json_is_false(cs_json_get(text, "cosell_sync")))) {
        json_object_set_new(text, "cosell_sync", json_boolean(!json_is_true(cs_json_get(text, "cosell_sync"))));
        return TOUCHED_SYNC;
    }
    if (dice < 86 && open) {
        json_object_set_new(text, "statuscode", json_integer(1 + pick(2)));
        return TOUCHED_STATE;
    }
    return user_closes(text);
}

/* What a seller does on purpose. 0 = the row does not allow it. */
int user_does(row_t *row, act_e act)
{
    json_t *text = parse(row->text);
    int state = (int)json_integer_value(cs_json_get(text, "statecode")), lead = !strcmp(row->table, "lead");
    int open = act == ACT_OPEN, ok = state == 0 || open || act == ACT_DELETE;

    ok = ok && !(lead && (act == ACT_HOLD || (open && state == 0)));
    if (ok && act == ACT_DELETE) {
        row->exists = 0;
        row->deleted = 1;
        changed(row);
    }
    else if (ok && lead && act == ACT_WIN) {
        qualify_row(row, text, "by hand");
    }
    else if (ok && act == ACT_EDIT) {
        json_object_set_new(text, "description", json_string("edited by the seller"));
    }
    else if (ok) {
        json_object_set_new(text, "statecode", json_integer(act == ACT_WIN ? 1 : act == ACT_LOSE ? 2 : 0));
        json_object_set_new(text, "statuscode", json_integer(act == ACT_WIN ? 3 : act == ACT_LOSE ? 4 : act == ACT_HOLD ? 2 : 1));
    }
    if (ok) {
        if (row->exists) {
            store_row(row, text);
        }
        trace("user: act %d on %s %s: %s", (int)act, row->table, row->id, row->text);
    }
    json_decref(text);
    return ok;
}

static row_t *some_opportunity(void)
{
    row_t *found = NULL;
    int i, seen = 0;

    for (i = 0; i < S->rows; i++) {
        if (S->row[i].exists && !strcmp(S->row[i].table, "opportunity") && pick(++seen) == 0) {
            found = &S->row[i];
        }
    }
    return found;
}

static void edit_row(row_t *row)
{
    unsigned touched;
    json_t *text;

    if (chance(6)) {
        row->exists = 0;
        row->deleted = 1;
        changed(row);
        trace("user: deletes %s", row->id);
        return;
    }
    text = parse(row->text);
    touched = user_edits(text, &row->wrote);
    if (touched) {
        row->touched |= touched;
        if (touched & TOUCHED_STATE) {
            row->state_touched_at = S->boot;
        }
        store_row(row, text);
        trace("user: edits %s (0x%x) to version %ld: %s", row->id, touched, row->version, row->text);
    }
    json_decref(text);
}

void crm_edit(void)
{
    row_t *row = some_opportunity();

    if (row) {
        edit_row(row);
    }
}

/* ---- answers ---- */

typedef enum { GOES_ON, REFUSED, LOST } fate_e;

static void fail(cs_result_t *res, apr_pool_t *p, cs_class_e cls, const char *problem, const char *detail)
{
    cs_result_set(res, p, CS_EREMOTE, cls, problem, "the CRM says: %s", detail);
}

static fate_e fate(cs_result_t *res, int *pcalls, int write, apr_pool_t *p)
{
    weather_e weather = S->crm.weather;

    pass(1000 + pick(50000));
    *pcalls = 1;
    if (weather == WEATHER_SUSPENDED) {
        fail(res, p, CS_CLASS_SUSPEND, "dataverse:0x80072560", "the user is not a member of the organization");
    }
    else if (weather == WEATHER_THROTTLED || (weather == WEATHER_GOOD && chance(S->crm.errors / 4))) {
        fail(res, p, CS_CLASS_THROTTLED, "dataverse:0x80072322", "429");
        res->retry_at = chance(800) ? S->wall + (apr_time_t)(1 + pick(300)) * 1000000 : 0;
        *pcalls = chance(500);
    }
    else if (weather == WEATHER_DOWN || chance(S->crm.errors)) {
        fail(res, p, write && chance(300) ? CS_CLASS_UNKNOWN : CS_CLASS_RETRY, "http:503", "503");
        *pcalls = res->cls == CS_CLASS_UNKNOWN ? 1 : chance(700);
    }
    if (res->cls != CS_CLASS_OK) {
        return REFUSED;
    }
    return write && chance(S->crm.lost) ? LOST : GOES_ON;
}

static void lose_answer(cs_result_t *res, apr_pool_t *p)
{
    if (chance(700)) {
        fail(res, p, CS_CLASS_UNKNOWN, "unknown", "the connection was closed");
    }
    else {
        fail(res, p, CS_CLASS_RETRY, "http:502", "502 from a gateway, though it was done");
    }
}

static apr_status_t crm_create(cs_crm_t **pcrm, const cs_crm_config_t *cfg, cs_http_t *http, cs_limiter_t *limiter, cs_limiter_t *login_limiter,
                               apr_pool_t *p)
{
    (void)cfg, (void)limiter, (void)login_limiter;
    *pcrm = apr_pcalloc(p, sizeof(**pcrm));
    (*pcrm)->http = http;
    return APR_SUCCESS;
}

static apr_status_t crm_whoami(cs_crm_t *crm, cs_crm_whoami_t *who, apr_interval_time_t deadline, apr_pool_t *p, cs_result_t *res)
{
    cs_result_t result = {0};
    int calls;

    (void)crm, (void)deadline;
    memset(who, 0, sizeof(*who));
    if (fate(&result, &calls, 0, p) == GOES_ON) {
        return APR_SUCCESS;
    }
    if (res) {
        *res = result;
    }
    return result.rv;
}

static row_t *row_by_key(const char *table, const json_t *key, int existing);

static apr_status_t crm_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)crm, (void)deadline;
    for (i = 0; i < n; i++) {
        row_t *row;
        reads[i].record = NULL;
        reads[i].took = 1000;
        reads[i].correlation = "sim";
        cs_result_clear(&reads[i].result);
        interfere();
        S->crm_reads++;
        if (fate(&reads[i].result, &reads[i].calls, 0, p) != GOES_ON) {
            continue;
        }
        if (crm_gives && !reads[i].key && strlen(reads[i].id) != 18) {
            violation("%s %s is asked for by an id that no row can have", reads[i].table, reads[i].id);
        }
        row = reads[i].key ? row_by_key(reads[i].table, reads[i].key, 1) : row_by_id(reads[i].table, reads[i].id);
        if (row && row->exists) {
            row->answered = S->batch;
            reads[i].record = record_of(row, reads[i].columns, reads[i].lookups, 1, p);
        }
        else {
            fail(&reads[i].result, p, CS_CLASS_GONE, "dataverse:0x80040217", "does not exist");
        }
    }
    instant("crm-read");
    return APR_SUCCESS;
}

static int same_text(const char *a, const char *b)
{
    apr_size_t la, lb;

    while (isspace((unsigned char)*a)) {
        a++;
    }
    while (isspace((unsigned char)*b)) {
        b++;
    }
    for (la = strlen(a); la && isspace((unsigned char)a[la - 1]); la--) {
    }
    for (lb = strlen(b); lb && isspace((unsigned char)b[lb - 1]); lb--) {
    }
    return la == lb && !strncasecmp(a, b, la);
}

static int row_fits(const row_t *row, const json_t *key)
{
    json_t *text = parse(row->text), *want;
    const char *column;
    int fits = json_object_size(key) > 0;

    json_object_foreach((json_t *)key, column, want) {
        const json_t *value = cs_json_get(text, column);
        fits = fits && (json_is_string(want) && json_is_string(value) ? same_text(json_string_value(want), json_string_value(value)) : json_equal(want, (json_t *)value));
    }
    json_decref(text);
    return fits;
}

static row_t *row_by_key(const char *table, const json_t *key, int existing)
{
    row_t *found = NULL;
    int i;

    for (i = 0; i < S->rows; i++) {
        row_t *row = &S->row[i];
        if (!strcmp(row->table, table) && (row->exists || !existing) && row_fits(row, key) && (!found || row->exists)) {
            found = row;
        }
    }
    return found;
}

static void find_one(cs_crm_find_t *find, apr_pool_t *p)
{
    size_t k;
    int i;

    find->candidates = cs_json_own(json_array(), p);
    for (k = 0; k < json_array_size(find->keys) && !find->found; k++) {
        for (i = 0; i < S->rows; i++) {
            const row_t *row = &S->row[i];
            if (row->exists && !strcmp(row->table, find->table) && row_fits(row, json_array_get(find->keys, k)) &&
                (!json_object_size(find->where) || row_fits(row, find->where))) {
                find->found = find->found ? 2 : 1;
                find->id = apr_pstrdup(p, row->id);
                json_array_append_new(find->candidates, json_pack("{s:s, s:s}", "id", row->id, "name", row->id));
            }
        }
    }
    find->id = find->found == 1 ? find->id : NULL;
}

static apr_status_t crm_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)crm, (void)deadline;
    for (i = 0; i < n; i++) {
        finds[i].found = 0;
        finds[i].id = NULL;
        finds[i].candidates = NULL;
        finds[i].took = 1000;
        finds[i].correlation = "sim";
        cs_result_clear(&finds[i].result);
        interfere();
        if (fate(&finds[i].result, &finds[i].calls, 0, p) == GOES_ON) {
            find_one(&finds[i], p);
        }
    }
    instant("crm-found");
    return APR_SUCCESS;
}

/* ---- writes ---- */

static const char *iso_of(const json_t *text)
{
    const json_t *ref = cs_json_get(text, "transactioncurrencyid");
    const row_t *row = json_is_object(ref) ? row_by_id("transactioncurrency", cs_json_str(ref, "id")) : NULL;

    return !row ? "USD" : strstr(row->text, "JPY") ? "JPY" : strstr(row->text, "EUR") ? "EUR" : "USD";
}

static int put_column(json_t *text, const char *column, const json_t *value, apr_pool_t *p, const char **pwhy)
{
    const json_t *ref = json_is_object(value) ? json_object_get(value, "$ref") : NULL;
    const json_t *number = json_is_object(value) ? json_object_get(value, "$number") : NULL;
    const row_t *target;
    const char *decimal;

    if (ref) {
        target = row_by_id(cs_json_str(ref, "table"), cs_json_str(ref, "id"));
        *pwhy = "the target of the look-up does not exist";
        json_object_set(text, column, (json_t *)ref);
        return target && target->exists;
    }
    if (number) {
        *pwhy = "no number";
        if (cs_decimal_from_text(&decimal, json_string_value(number), 4, p) != APR_SUCCESS) {
            return 0;
        }
        json_object_set_new(text, column, cs_decimal_to_json(decimal));
        return 1;
    }
    if (json_is_object(value) || json_is_array(value)) {
        violation("a write sends %s for column %s", cs_json_print(value, p), column);
        return 0;
    }
    if (S->no_hold && !strcmp(column, "statuscode") && json_integer_value(value) == 2) {
        return 1; /* the organisation has a rule of its own against it */
    }
    *pwhy = "the value was refused";
    if (json_is_string(value) && strncmp(column, "cosell_", 7) && strstr(json_string_value(value), "REFUSE")) { /* not what the seller reads about it */
        return 0;
    }
    *pwhy = "the text is too long";
    if (json_is_string(value) && strlen(json_string_value(value)) > (strcmp(column, "name") ? NOTES_MAX_LEN : NAME_MAX_LEN)) {
        return 0;
    }
    json_object_set_new(text, column, json_deep_copy(value));
    return 1;
}

static void round_money(json_t *text, apr_pool_t *p)
{
    const json_t *value = cs_json_get(text, "estimatedvalue");
    const char *decimal;

    if (json_is_number(value) && cs_decimal_from_json(&decimal, value, cs_currency_scale(iso_of(text)), p) == APR_SUCCESS) {
        json_object_set_new(text, "estimatedvalue", cs_decimal_to_json(decimal));
    }
}

/* An organisation's plug-in that rewrites what it is given. Who never hears of it (the answer was lost) takes it for a user's edit, and cannot know better. */
static void plug_in(row_t *row, json_t *text, const json_t *written)
{
    const char *notes = cs_json_str(text, "description"), *name = cs_json_str(text, "name");
    char shout[NOTES_MAX_LEN + 1];
    size_t i;

    if (!json_object_get(written, "description") || !notes || !name || !strstr(name, "7") || strlen(notes) > 100) {
        return;
    }
    for (i = 0; notes[i]; i++) {
        shout[i] = notes[i] > 0 ? (char)toupper((unsigned char)notes[i]) : notes[i];
    }
    shout[i] = '\0';
    if (strcmp(shout, notes)) {
        row->touched |= TOUCHED_NOTES;
        json_object_set_new(text, "description", json_string(shout));
    }
}

static int put_columns(json_t *text, const json_t *row, apr_pool_t *p, cs_result_t *res)
{
    const char *column, *why = "";
    json_t *value;

    json_object_foreach((json_t *)row, column, value) {
        if (!put_column(text, column, value, p, &why)) {
            cs_result_set(res, p, CS_EREMOTE, CS_CLASS_DATA, "dataverse:0x80040203", "the CRM refuses column %s: %s", column, why);
            return 0;
        }
    }
    round_money(text, p);
    return 1;
}

/* Exactly one row and one account per key: judged where they come into being. */
static void judge_create(const cs_crm_write_t *write, const json_t *text)
{
    const char *what = !strcmp(write->table, "account") ? "name" : "cosell_referral";
    const char *said = cs_json_str(text, what), *postal = cs_json_str(text, "address1_postalcode");
    int i;

    for (i = 0; i < S->rows; i++) {
        json_t *other = !S->row[i].exists || strcmp(S->row[i].table, write->table) ? NULL : parse(S->row[i].text);
        const char *theirs = cs_json_str(other, what), *p2 = cs_json_str(other, "address1_postalcode");
        if (other && said && theirs && same_text(said, theirs) && json_integer_value(cs_json_get(other, "statecode")) == 0 &&
            (strcmp(what, "name") || (postal && p2 && same_text(postal, p2)))) {
            violation("a second %s is made for \"%s\": %s beside %s", write->table, said, write->id, S->row[i].id);
        }
        json_decref(other);
    }
}

static row_t *twin_of(const cs_crm_write_t *write)
{
    if (!crm_gives) {
        return row_by_id(write->table, write->id);
    }
    return write->key ? row_by_key(write->table, write->key, 0) : NULL;
}

static void create_row(cs_crm_write_t *write, apr_pool_t *p)
{
    char given[40];
    row_t *row = twin_of(write);
    json_t *text = cs_json_own(json_pack("{s:i, s:i, s:b}", "statecode", 0, "statuscode", 1, "isrevenuesystemcalculated", 0), p);

    if (row && row->exists) {
        fail(&write->result, p, CS_CLASS_DUPLICATE, "dataverse:0x80060892", "a record with matching key values exists");
        return;
    }
    if (row && row->deleted && row->known) {
        violation("%s %s was deleted by a user and is made again", write->table, write->id);
        return;
    }
    if (json_object_get(write->row, "statecode")) {
        violation("statecode is sent with a create");
    }
    if (!put_columns(text, write->row, p, &write->result)) {
        return;
    }
    judge_create(write, text);
    if (crm_gives) {
        make_row_id(given);
        write->made = apr_pstrdup(p, given);
    }
    row = row_new(write->table, write->made ? write->made : write->id);
    plug_in(row, text, write->row);
    row->batch = S->batch;
    store_row(row, text);
    S->creates++;
    S->crm_writes++;
    trace("crm: created %s %s: %s", write->table, write->id, row->text);
}

/* "Only the changed columns are sent." */
static void judge_changes(const cs_crm_write_t *write, const json_t *before, const json_t *after)
{
    const char *column;
    json_t *value;
    int changed = 0;

    json_object_foreach((json_t *)write->row, column, value) {
        int same = json_equal(cs_json_get(before, column), cs_json_get(after, column)) ||
                   (!cs_json_get(before, column) && json_is_null(cs_json_get(after, column)));
        changed += !same || (S->no_hold && !strcmp(column, "statuscode"));
        (void)value;
    }
    if (!changed) {
        violation("an update of %s %s changes nothing: %s", write->table, write->id, json_dumps(write->row, JSON_COMPACT));
    }
}

static int may_update(cs_crm_write_t *write, const row_t *row, const json_t *text, const char *version, apr_pool_t *p)
{
    int closed = json_integer_value(cs_json_get(text, "statecode")) != 0;
    const json_t *state = cs_json_get(write->row, "statecode");

    if (!write->guard) {
        violation("an update of %s %s carries no guard", write->table, write->id);
        return 0;
    }
    if (strcmp(write->guard, version)) {
        fail(&write->result, p, CS_CLASS_CONFLICT, "dataverse:0x80060882", "the version of the existing record doesn't match");
        S->conflicts++;
        return 0;
    }
    if (closed && (!json_is_integer(state) || json_integer_value(state) != 0)) {
        fail(&write->result, p, CS_CLASS_REFUSED, "http:400", "the opportunity is closed");
        violation("a closed row is written to: %s %s", row->id, json_dumps(write->row, JSON_COMPACT));
        return 0;
    }
    if (json_is_integer(state) && json_integer_value(state) != 0 && strcmp(row->table, "lead")) {
        violation("a row is closed by an update: %s", json_dumps(write->row, JSON_COMPACT));
        return 0;
    }
    return 1;
}

static void update_row(cs_crm_write_t *write, apr_pool_t *p)
{
    row_t *row = row_by_id(write->table, write->id);
    json_t *text, *before;

    if (!row || !row->exists) {
        fail(&write->result, p, CS_CLASS_GONE, "dataverse:0x80040217", "does not exist");
        return;
    }
    before = cs_json_own(parse(row->text), p);
    if (!may_update(write, row, before, apr_psprintf(p, "W/\"%ld\"", row->version), p)) {
        return;
    }
    text = cs_json_own(json_deep_copy(before), p);
    if (!put_columns(text, write->row, p, &write->result)) {
        return;
    }
    judge_changes(write, before, text);
    plug_in(row, text, write->row);
    store_row(row, text);
    row->batch = S->batch;
    S->crm_writes++;
    trace("crm: updated %s to version %ld with %s", write->id, row->version, cs_json_print(write->row, p));
}

static void call_action(cs_crm_write_t *write, apr_pool_t *p)
{
    row_t *row = row_by_id(write->table, write->id);
    int win = !strcmp(write->call, "WinOpportunity"), status = (int)cs_json_int(write->row, "Status", -1);
    json_t *text;

    if (!row || !row->exists) {
        fail(&write->result, p, CS_CLASS_GONE, "dataverse:0x80040217", "does not exist");
        return;
    }
    text = cs_json_own(parse(row->text), p);
    if (json_integer_value(cs_json_get(text, "statecode")) != 0) {
        fail(&write->result, p, CS_CLASS_REFUSED, "http:400", "the opportunity is closed already");
        return;
    }
    if (!strcmp(write->call, "QualifyLead")) {
        const row_t *made = qualify_row(row, text, "by us");
        write->created = cs_json_own(json_pack("[{s:s, s:s}]", "table", "opportunity", "id", made->id), p);
        store_row(row, text);
        S->crm_writes++;
        return;
    }
    status = status == -1 ? (win ? 3 : 4) : status;
    if (win ? status != 3 : status != 4 && status != 5) {
        fail(&write->result, p, CS_CLASS_DATA, "dataverse:0x80048408", "not a status of this state");
        violation("%s with status %d", write->call, status);
        return;
    }
    S->unguarded_calls += row->batch != S->batch;
    json_object_set_new(text, "statecode", json_integer(win ? 1 : 2));
    json_object_set_new(text, "statuscode", json_integer(status));
    store_row(row, text);
    S->crm_writes++;
    trace("crm: %s of %s to version %ld with %s", write->call, write->id, row->version, cs_json_print(write->row, p));
}

int lane_may_write(cs_http_t *http, cs_result_t *res, int *pcalls, apr_pool_t *p)
{
    if (!http->may_write(http->baton, WRITE_TIME)) {
        cs_result_set(res, p, CS_ELEASE, CS_CLASS_RETRY, "lease", "the lease does not outlive the write");
        *pcalls = 0;
        return 0;
    }
    if (http->overtaken) {
        violation("a write starts though another node has the lane");
    }
    return 1;
}

static void write_one(cs_crm_t *crm, cs_crm_write_t *write, apr_pool_t *p)
{
    row_t *row = row_by_id(write->table, write->id);
    fate_e what;

    interfere();
    if (S->chaos && row && row->exists && !strcmp(row->table, "opportunity") && chance(150)) {
        edit_row(row);
    }
    if (!lane_may_write(crm->http, &write->result, &write->calls, p)) {
        return;
    }
    what = fate(&write->result, &write->calls, 1, p);
    if (what == REFUSED) {
        return;
    }
    instant("crm-before-write");
    switch (write->kind) {
    case CS_CRM_CREATE:
        create_row(write, p);
        break;
    case CS_CRM_UPDATE:
        update_row(write, p);
        break;
    default:
        call_action(write, p);
    }
    instant("crm-after-write");
    if (write->result.cls != CS_CLASS_OK) {
        trace("crm: %s of %s answered %s", write->kind == CS_CRM_CREATE ? "create" : write->kind == CS_CRM_UPDATE ? "update" : "call", write->id,
              write->result.detail);
        return;
    }
    if (what == LOST) {
        trace("crm: the answer is lost");
        write->made = NULL;
        lose_answer(&write->result, p);
        return;
    }
    row = row_by_id(write->table, write->made ? write->made : write->id);
    if (row) {
        row->answered = S->batch;
    }
    if (write->columns && row && write->kind != CS_CRM_CALL && !chance(50)) {
        write->record = record_of(row, write->columns, write->lookups, 0, p);
    }
}

static apr_status_t crm_write(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    for (i = 0; i < n; i++) {
        writes[i].record = NULL;
        writes[i].calls = 0;
        writes[i].took = 1000;
        writes[i].correlation = "sim";
        cs_result_clear(&writes[i].result);
        write_one(crm, &writes[i], p);
    }
    return APR_SUCCESS;
}

/* ---- what changed ---- */

static row_t *next_change(const char *table, long after, int beginning)
{
    row_t *next = NULL;
    int i;

    for (i = 0; i < S->rows; i++) {
        row_t *row = &S->row[i];
        if (!strcmp(row->table, table) && row->sequence > after && (row->exists || !beginning) && (!next || row->sequence < next->sequence)) {
            next = row;
        }
    }
    return next;
}

static void add_change(cs_crm_changes_t *changes, const row_t *row, apr_pool_t *p)
{
    cs_crm_changed_t *one = apr_array_push(changes->rows);
    cs_record_t *record = record_of(row, changes->columns, changes->lookups, 0, p);

    memset(one, 0, sizeof(*one));
    one->id = record->id;
    one->deleted = !row->exists;
    if (row->exists) {
        one->version = record->version;
        one->modified = record->modified;
        one->row = record->row;
    }
}

/* A cursor is 'b' (beginning) or 'c' and the last change that was shown; now and then the CRM has forgotten it. */
static apr_status_t crm_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline, apr_pool_t *p)
{
    int forgotten = S->chaos && chance(30);
    long after = changes->cursor && !forgotten ? atol(changes->cursor + 1) : 0;
    row_t *row;

    (void)crm, (void)deadline;
    changes->rows = apr_array_make(p, 4, sizeof(cs_crm_changed_t));
    changes->next = NULL;
    changes->more = 0;
    changes->took = 1000;
    changes->correlation = "sim";
    cs_result_clear(&changes->result);
    interfere();
    if (fate(&changes->result, &changes->calls, 0, p) != GOES_ON) {
        return APR_SUCCESS;
    }
    changes->beginning = !changes->cursor || forgotten || *changes->cursor == 'b';
    for (row = next_change(changes->table, after, changes->beginning); row && changes->rows->nelts < CHANGES_PAGE;
         row = next_change(changes->table, after, changes->beginning)) {
        add_change(changes, row, p);
        after = row->sequence;
    }
    changes->more = row != NULL;
    changes->next = apr_psprintf(p, "%c%ld", changes->beginning && row ? 'b' : 'c', after);
    instant("crm-changes");
    return APR_SUCCESS;
}

static const char *crm_check(const cs_crm_config_t *cfg, apr_pool_t *p)
{
    (void)cfg, (void)p;
    return NULL;
}

static const char *crm_link(const cs_crm_config_t *cfg, const char *table, const char *id, apr_pool_t *p)
{
    (void)cfg;
    return apr_psprintf(p, "https://crm.test/%s/%s", table, id);
}

const cs_crm_facts_t *cs_crm_facts_of(const char *type)
{
    const cs_crm_impl_t *impl = cs_crm_impl_of(type);

    return impl ? impl->facts : NULL;
}

const cs_crm_impl_t *cs_crm_impl_of(const char *type)
{
    static cs_crm_facts_t facts;
    static const cs_crm_impl_t impl = {
        .facts = &facts,
        .create = crm_create,
        .whoami = crm_whoami,
        .read = crm_read,
        .find = crm_find,
        .write = crm_write,
        .check = crm_check,
        .link = crm_link,
        .changes = crm_changes,
    };

    if (!facts.type) {
        facts = cs_dynamics_facts;
        facts.names_rows = crm_gives;
        facts.id_form = crm_gives ? CS_ID_18 : CS_ID_GUID;
    }
    return !strcmp(type, facts.type) ? &impl : NULL;
}

const char *cs_crm_types(void)
{
    return "dynamics365";
}

/* Another node worked meanwhile: what this handle still sends is a violation. */
int crm_overtaken(void *http)
{
    return ((cs_http_t *)http)->overtaken = 1;
}
