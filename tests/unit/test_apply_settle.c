/* What apply says of its steps is what settle makes of them: both for real, with a CRM in memory between them.
 */
#include "unit.h"

#include <strings.h>

#include "mod_cosell/remote/crm.h"
#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/domain/reconcile.h"
#include "mod_cosell/engine/apply.h"

#define REFERRAL "0f0a4b6e-1111-4222-8333-944455566677"

/* ---- a CRM ---- */

struct cs_crm_t {
    apr_pool_t *p;
    json_t *rows;  /* {"<table>/<id>": row}; a row has its "$version" */
    json_t *found; /* {"<table>": {"<text of a key>": "<id>"}} */
    json_t *keys;  /* {"<table>": column of the key} */
    json_t *bad;   /* {"<column>": "how"}: refused by name */
    json_t *down;  /* {"<table>": 1}: writes of it are to be repeated */
    json_t *columns_of; /* what a row of a table shows at least: {"<table>": {column: value}} */
    int writes;
    int silent; /* writes show nothing */
};

static const char *key_of(cs_crm_t *crm, const char *table, const char *id)
{
    return apr_pstrcat(crm->p, table, "/", id, NULL);
}

static apr_status_t fake_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    const char *column;
    json_t *value;
    int i;

    (void)deadline;
    (void)p;
    for (i = 0; i < n; ++i) {
        finds[i].calls = 1;
        finds[i].candidates = cs_json_own(json_array(), crm->p);
        json_object_foreach(json_array_get(finds[i].keys, 0), column, value) {
            finds[i].id = cs_json_str(json_object_get(crm->found, finds[i].table), json_string_value(value));
            finds[i].found = finds[i].id != NULL;
        }
    }
    return APR_SUCCESS;
}

static cs_record_t *shown(cs_crm_t *crm, const char *table, const char *id)
{
    json_t *row = json_object_get(crm->rows, key_of(crm, table, id));
    cs_record_t *record;

    if (!row) {
        return NULL;
    }
    record = apr_pcalloc(crm->p, sizeof(*record));
    record->table = apr_pstrdup(crm->p, table);
    record->id = apr_pstrdup(crm->p, id);
    record->version = apr_psprintf(crm->p, "v%d", (int)cs_json_int(row, "$version", 0));
    record->row = cs_json_own(json_deep_copy(row), crm->p);
    json_object_del(record->row, "$version");
    return record;
}

static apr_status_t fake_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    for (i = 0; i < n; ++i) {
        reads[i].record = shown(crm, reads[i].table, reads[i].id);
        if (!reads[i].record) {
            cs_result_set(&reads[i].result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "no such row");
        }
    }
    return APR_SUCCESS;
}

/* A look-up shows the row's id and the column that it is found by. */
static json_t *shown_ref(cs_crm_t *crm, const json_t *ref)
{
    const char *table = cs_json_str(ref, "table"), *text;
    json_t *out = json_pack("{s:s}", "id", cs_json_str(ref, "id")), *id;

    json_object_foreach(json_object_get(crm->found, table), text, id) {
        if (json_equal(id, json_object_get(ref, "id"))) {
            json_object_set_new(out, cs_json_str(crm->keys, table), json_string(text));
        }
    }
    return out;
}

static json_t *as_shown(cs_crm_t *crm, const json_t *value)
{
    const char *number = cs_json_str(value, "$number");
    const json_t *ref = json_object_get(value, "$ref");

    return number ? json_real(atof(number)) : ref ? shown_ref(crm, ref) : json_deep_copy(value);
}

static void write_one(cs_crm_t *crm, cs_crm_write_t *write)
{
    const char *key = key_of(crm, write->table, write->id), *column;
    json_t *row = json_object_get(crm->rows, key), *value;

    write->calls = 1;
    crm->writes++;
    if (json_object_get(crm->down, write->table)) {
        cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_RETRY, "http:503", "try later");
        return;
    }
    json_object_foreach((json_t *)write->row, column, value) {
        if (json_object_get(crm->bad, column)) {
            cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_DATA, "fake:data", "%s", cs_json_str(crm->bad, column));
            write->result.blames = apr_pstrdup(crm->p, column);
            return;
        }
    }
    if (write->kind == CS_CRM_DELETE) {
        json_object_del(crm->rows, key);
        return;
    }
    if (!row) {
        row = json_deep_copy(json_object_get(crm->columns_of, write->table));
        row = row ? row : json_object();
        json_object_set_new(crm->rows, key, row);
    }
    json_object_foreach((json_t *)write->row, column, value) {
        json_object_set_new(row, column, as_shown(crm, value));
    }
    json_object_set_new(row, "$version", json_integer(cs_json_int(row, "$version", 0) + 1));
    write->record = write->columns && !crm->silent ? shown(crm, write->table, write->id) : NULL;
}

static apr_status_t fake_write(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    (void)p;
    for (i = 0; i < n; ++i) {
        write_one(crm, &writes[i]);
    }
    return APR_SUCCESS;
}

static const cs_crm_facts_t fake_facts = {.type = "fake"};
static const cs_crm_impl_t fake_impl = {.facts = &fake_facts, .read = fake_read, .find = fake_find, .write = fake_write};

/* ---- a deal ---- */

static const char mapping_text[] =
    "{\"crm\":\"dynamics365\",\"revision\":\"1\",\"names\":{\"id\":\"refid\"},"
    "\"find\":{\"currency\":{\"table\":\"transactioncurrency\",\"by\":[{\"isocurrencycode\":\".\"}],\"none\":\"hold\"},"
    "\"solution\":{\"table\":\"detail\",\"by\":[{\"sid\":\"id\"}],\"none\":\"hold\"},"
    "\"user\":{\"table\":\"systemuser\",\"by\":[{\"mail\":\"email\"}],\"none\":\"skip\"}},"
    "\"records\":{\"opportunity\":{\"table\":\"opportunity\",\"key\":\"@id\","
    "\"from_pc\":{\"when\":true,\"owner\":{\"find\":\"user\",\"each\":\"/team\",\"else\":null},\"set\":{\"origin\":\"cosell\"}},"
    "\"state\":{\"show\":{\"New\":{\"set\":{\"statuscode\":2}}}},"
    "\"lines\":{"
    "\"notes\":{\"pc\":\"/details/notes\",\"crm\":\"description\",\"direction\":\"to_crm\"},"
    "\"program\":{\"pc\":\"/referralProgram\",\"crm\":\"program\",\"direction\":\"to_crm\"},"
    "\"value\":{\"pc\":{\"amount\":\"/details/dealValue\",\"currency\":\"/details/currency\"},"
    "\"crm\":{\"amount\":\"amount\",\"currency\":\"transactioncurrencyid\"},\"find\":\"currency\",\"direction\":\"to_crm\"}},"
    "\"lists\":{\"solutions\":{\"pc\":\"/details/requirements/solutions\",\"key\":\"id\",\"direction\":\"to_crm\","
    "\"crm\":{\"child\":\"row\",\"parent\":\"oppid\",\"find\":\"solution\",\"column\":\"detailid\",\"fields\":{\"quantity\":\"qty\"}}}},"
    "\"tell\":{\"status\":\"said\",\"problem\":\"problem\",\"synced\":\"synced\"}}}}";

typedef struct world_t {
    apr_pool_t *p;
    struct cs_crm_t crm;
    cs_site_config_t site;
    cs_lane_t lane;
    cs_batch_t batch;
    cs_mapping_t *mapping;
    json_t *doc;
    cs_card_t own;
    cs_deal_t deal;
    cs_item_t *item;
} world_t;

static json_t *js(apr_pool_t *p, const char *text)
{
    char *copy = apr_pstrdup(p, text), *c;
    json_t *json;

    for (c = copy; *c; ++c) {
        *c = *c == '\'' ? '"' : *c;
    }
    json = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return cs_json_own(json, p);
}

static world_t *new_world(apr_pool_t *p)
{
    world_t *w = apr_pcalloc(p, sizeof(*w));
    cs_result_t res = {0};

    w->p = w->crm.p = p;
    w->crm.rows = cs_json_own(json_object(), p);
    w->crm.bad = cs_json_own(json_object(), p);
    w->crm.down = cs_json_own(json_object(), p);
    w->crm.found = js(p, "{'transactioncurrency':{'USD':'usd'},'detail':{'S1':'d1','S2':'d2'},'systemuser':{'ann@x.org':'u1'}}");
    w->crm.keys = js(p, "{'transactioncurrency':'isocurrencycode','detail':'sid','systemuser':'mail','opportunity':'id'}");
    w->crm.columns_of = js(p, "{'opportunity':{'statecode':0,'statuscode':1,'description':null,'program':null,'amount':null,'transactioncurrencyid':null,"
                              "'said':null,'problem':null,'synced':null,'ownerid':null,'origin':null},'row':{'qty':null,'detailid':null,'oppid':null}}");
    w->site.name = "contoso";
    w->site.ncrms = 1;
    w->site.crms[0].cfg.name = "sales";
    w->lane.site = &w->site;
    w->lane.pool = p;
    w->lane.crm_impl[0] = &fake_impl;
    w->lane.crm[0] = &w->crm;
    if (cs_mapping_parse(&w->mapping, mapping_text, strlen(mapping_text), "test.json", cs_crm_facts_of("dynamics365"), NULL, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    w->doc = js(p, "{'id':'" REFERRAL "','name':'Contoso','status':'New','substatus':'Pending','type':'Shared','qualification':'SalesQualified',"
                   "'details':{'notes':'First call','dealValue':5,'currency':'USD','requirements':{'solutions':[{'id':'S1','quantity':2},{'id':'S2','quantity':1}]}},"
                   "'referralProgram':'Spring','team':[{'email':'ann@x.org'}]}");
    w->deal.site = "contoso";
    w->deal.referral_id = REFERRAL;
    w->deal.kind = "opportunity";
    w->deal.table = "opportunity";
    w->deal.record_id = cs_uuid5_url("cosell:contoso:" REFERRAL ":opportunity:", p);
    return w;
}

/* The record and its rows as they are now. */
static cs_record_t *read_record(world_t *w)
{
    cs_record_t *record = shown(&w->crm, "opportunity", w->deal.record_id);
    json_t *rows = json_array(), *row;
    const char *name;

    if (!record) {
        json_decref(rows);
        return NULL;
    }
    json_object_foreach(w->crm.rows, name, row) {
        if (!strncmp(name, "row/", 4)) {
            json_t *entry = json_pack("{s:s,s:s,s:O}", "id", name + 4, "version", apr_psprintf(w->p, "v%d", (int)cs_json_int(row, "$version", 0)), "row", row);

            json_array_append_new(rows, entry);
        }
    }
    record->related = cs_json_own(json_pack("{s:o}", "solutions", rows), w->p);
    return record;
}

static void plan(world_t *w)
{
    cs_result_t res = {0};
    cs_item_t *item = apr_pcalloc(w->p, sizeof(*item));
    cs_card_t own = {.id = REFERRAL, .organization_id = "own", .etag = "\"1\"", .doc = w->doc};

    w->own = own;
    memset(&w->batch, 0, sizeof(w->batch));
    w->batch.lane = &w->lane;
    w->batch.p = w->p;
    w->batch.now = apr_time_from_sec(1770000000);
    w->batch.items = apr_array_make(w->p, 1, sizeof(cs_item_t *));
    w->batch.changes = apr_array_make(w->p, 1, sizeof(cs_change_t));
    APR_ARRAY_PUSH(w->batch.items, cs_item_t *) = item;
    item->work = apr_pcalloc(w->p, sizeof(*item->work));
    item->deal = &w->deal;
    item->kind = cs_mapping_kind(w->mapping, "opportunity");
    item->journal = apr_array_make(w->p, 4, sizeof(cs_journal_t *));
    item->record = read_record(w);
    item->look.mapping = w->mapping;
    item->look.site = "contoso";
    item->look.crm = "sales";
    item->look.organization = "own";
    item->look.deal = &w->deal;
    item->look.own = &w->own;
    item->look.record = item->record;
    item->look.record_read = 1;
    item->look.now = w->batch.now;
    if (cs_reconcile_plan(&item->plan, &item->look, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    item->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * (apr_size_t)(item->plan->steps->nelts + 1));
    w->item = item;
}

static void look(world_t *w)
{
    cs_deal_t before;
    cs_result_t res = {0};

    plan(w);
    w->crm.writes = 0;
    if (w->item->plan->intent) {
        w->deal.intent = w->item->plan->intent;
    }
    cs_batch_apply(&w->batch);
    before = w->deal;
    w->item->look.deal = &before;
    if (cs_reconcile_settle(&w->deal, w->item->journal, w->item->plan, &w->item->look, w->item->applied, w->p, w->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
}

static const cs_applied_t *applied_to(world_t *w, const char *line)
{
    int i, k;

    for (i = 0; i < w->item->plan->steps->nelts; ++i) {
        const cs_step_t *step = APR_ARRAY_IDX(w->item->plan->steps, i, cs_step_t *);

        for (k = 0; step->send && k < step->lines->nelts; ++k) {
            if (!strcmp(APR_ARRAY_IDX(step->lines, k, const char *), line)) {
                return &w->item->applied[i];
            }
        }
    }
    return NULL;
}

static json_t *note_of(world_t *w, const char *line, const char *note)
{
    return json_object_get(json_object_get(w->deal.images, line), note);
}

static json_t *column(world_t *w, const char *name)
{
    return json_object_get(json_object_get(w->crm.rows, apr_pstrcat(w->p, "opportunity/", w->deal.record_id, NULL)), name);
}

static int journalled(world_t *w, const char *action, const char *line)
{
    int i, n = 0;

    for (i = 0; i < w->item->journal->nelts; ++i) {
        const cs_journal_t *j = APR_ARRAY_IDX(w->item->journal, i, cs_journal_t *);

        n += !strcmp(j->action, action) && (!line || (j->line && !strcmp(j->line, line)));
    }
    return n;
}

static void bad_column(world_t *w, const char *name)
{
    json_object_set_new(w->crm.bad, name, json_string("out of range"));
}

/* ---- the record ---- */

static void test_all_is_done(void **state)
{
    world_t *w = new_world(*state);

    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_null(w->deal.intent);
    assert_string_equal(json_string_value(column(w, "description")), "First call");
    assert_string_equal(cs_json_str(column(w, "ownerid"), "id"), "u1");
    look(w);
    assert_int_equal(w->crm.writes, 0);
    assert_int_equal(w->item->journal->nelts, 0);
}

/* One step, done, with one line that was refused and one that waits for a row. */
static void test_done_with_refused_and_dropped(void **state)
{
    world_t *w = new_world(*state);

    look(w);
    json_object_set_new(json_object_get(w->doc, "details"), "notes", json_string("Second call"));
    json_object_set_new(json_object_get(w->doc, "details"), "currency", json_string("CHF"));
    json_object_set_new(w->doc, "referralProgram", json_string("Autumn"));
    bad_column(w, "description");
    look(w);
    assert_int_equal(applied_to(w, "notes")->done, 1);
    assert_non_null(json_object_get(applied_to(w, "notes")->refused, "notes"));
    assert_non_null(json_object_get(applied_to(w, "notes")->dropped, "value"));
    assert_string_equal(json_string_value(column(w, "program")), "Autumn");
    assert_non_null(note_of(w, "notes", "refused"));
    assert_non_null(note_of(w, "value", "waits"));
    assert_string_equal(json_string_value(note_of(w, "notes", "crm")), "First call");
    assert_null(w->deal.intent);
    assert_int_equal(journalled(w, "refuse", "notes"), 1);
    assert_int_equal(journalled(w, "hold", "value"), 1);
    look(w); /* tells it, and tries only what waits for a row */
    assert_true(json_is_string(column(w, "problem")));
    look(w);
    assert_int_equal(w->crm.writes, 0);
    assert_int_equal(w->item->journal->nelts, 0);
}

/* A step that is not done may still say what was refused: that is kept, and the rest is repeated. */
static void test_failed_with_refused(void **state)
{
    world_t *w = new_world(*state);
    const cs_applied_t *applied;
    cs_result_t res = {0};
    cs_deal_t before;

    look(w);
    json_object_set_new(json_object_get(w->doc, "details"), "notes", json_string("Second call"));
    json_object_set_new(w->doc, "referralProgram", json_string("Autumn"));
    plan(w);
    w->deal.intent = w->item->plan->intent;
    before = w->deal;
    applied = applied_to(w, "notes");
    ((cs_applied_t *)applied)->tried = 1;
    ((cs_applied_t *)applied)->refused = js(w->p, "{'notes':'out of range'}");
    ((cs_applied_t *)applied)->result.cls = CS_CLASS_RETRY;
    w->item->look.deal = &before;
    assert_ok(cs_reconcile_settle(&w->deal, w->item->journal, w->item->plan, &w->item->look, w->item->applied, w->p, w->p, &res));
    assert_non_null(note_of(w, "notes", "refused"));
    assert_non_null(w->deal.intent);
    assert_string_equal(json_string_value(note_of(w, "program", "pc")), "Spring");
    look(w);
    assert_string_equal(json_string_value(column(w, "program")), "Autumn");
    assert_string_equal(json_string_value(column(w, "description")), "First call");
    assert_null(w->deal.intent);
}

/* The row that was read says nothing of a write that showed nothing. */
static void test_refused_and_not_shown(void **state)
{
    world_t *w = new_world(*state);

    look(w);
    json_object_set_new(json_object_get(w->doc, "details"), "notes", json_string("Second call"));
    json_object_set_new(w->doc, "referralProgram", json_string("Autumn"));
    bad_column(w, "description");
    w->crm.silent = 1;
    look(w);
    assert_int_equal(applied_to(w, "program")->done, 1);
    assert_null(applied_to(w, "program")->after);
    assert_string_equal(json_string_value(note_of(w, "program", "crm")), "Autumn");
    assert_null(note_of(w, "program", "rest"));
}

/* What the seller reads may be refused, too: nothing is sent again and again. */
static void test_told_is_refused(void **state)
{
    world_t *w = new_world(*state);

    look(w);
    bad_column(w, "problem");
    json_object_set_new(json_object_get(w->doc, "details"), "currency", json_string("CHF"));
    look(w);
    look(w);
    assert_non_null(json_object_get(applied_to(w, CS_LINE_TELL)->refused, CS_LINE_TELL "/problem"));
    assert_true(json_is_null(column(w, "problem")));
    assert_string_equal(json_string_value(column(w, "said")), w->deal.status); /* the other text arrives */
    look(w);
    assert_int_equal(w->crm.writes, 0);
    json_object_del(w->crm.bad, "problem");
    json_object_set_new(json_object_get(w->doc, "details"), "currency", json_string("SEK"));
    json_object_set_new(json_object_get(w->doc, "details"), "notes", json_null());
    look(w);
    json_object_set_new(json_object_get(w->doc, "details"), "currency", json_string("USD"));
    look(w);
    look(w);
    assert_true(json_is_null(column(w, "problem")));
    assert_int_equal(w->crm.writes, 0);
}

/* Columns of no line that a new record starts with: an owner who is no user leaves the record to the caller. */
static void test_start_columns(void **state)
{
    world_t *w = new_world(*state);
    const cs_step_t *create;

    json_object_set_new(w->doc, "team", js(w->p, "[{'email':'nobody@y.org'}]"));
    json_incref(json_object_get(w->doc, "team"));
    plan(w);
    create = APR_ARRAY_IDX(w->item->plan->steps, 0, cs_step_t *);
    assert_int_equal(json_array_size(json_object_get(create->parts, "$start")), 2); /* origin and the owner */
    look(w);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_true(json_is_null(column(w, "ownerid")));
    assert_string_equal(json_string_value(column(w, "origin")), "cosell");
    look(w);
    assert_int_equal(w->crm.writes, 0);
}

/* ---- rows of lists ---- */

static void test_list_step_held(void **state)
{
    world_t *w = new_world(*state);

    json_object_del(json_object_get(w->crm.found, "detail"), "S2");
    look(w);
    assert_int_equal(applied_to(w, "solutions/s2")->done, 0);
    assert_int_equal(applied_to(w, "solutions/s2")->result.cls, CS_CLASS_OK);
    assert_non_null(json_object_get(applied_to(w, "solutions/s2")->dropped, "solutions/s2"));
    assert_non_null(note_of(w, "solutions/s2", "waits"));
    assert_int_equal(journalled(w, "hold", "solutions/s2"), 1);
    assert_null(w->deal.intent);
    assert_int_equal(w->item->over, 0);
    look(w); /* says so */
    look(w);
    assert_int_equal(w->crm.writes, 0);
    assert_int_equal(journalled(w, "hold", NULL), 0);
    json_object_set_new(json_object_get(w->crm.found, "detail"), "S2", json_string("d2"));
    look(w);
    assert_int_equal(applied_to(w, "solutions/s2")->done, 1);
    assert_null(note_of(w, "solutions/s2", "waits"));
}

static void test_list_step_refused(void **state)
{
    world_t *w = new_world(*state);

    bad_column(w, "qty");
    look(w);
    assert_int_equal(applied_to(w, "solutions/s1")->done, 0);
    assert_int_equal(applied_to(w, "solutions/s1")->result.cls, CS_CLASS_DATA);
    assert_non_null(json_object_get(applied_to(w, "solutions/s1")->refused, "solutions/s1"));
    assert_non_null(note_of(w, "solutions/s1", "refused"));
    assert_int_equal(journalled(w, "refuse", "solutions/s1"), 1);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_null(w->deal.intent);
    look(w);
    assert_null(applied_to(w, "solutions/s1")); /* not sent again */
    look(w);
    assert_int_equal(w->crm.writes, 0);
    assert_int_equal(w->item->journal->nelts, 0);
    /* another value is another question */
    json_object_del(w->crm.bad, "qty");
    json_object_set_new(json_array_get(cs_json_pointer(w->doc, "/details/requirements/solutions"), 0), "quantity", json_integer(9));
    look(w);
    assert_int_equal(applied_to(w, "solutions/s1")->done, 1);
    assert_null(applied_to(w, "solutions/s2"));
}

/* Neither held nor refused: it is repeated, and the item with it. */
static void test_list_step_fails(void **state)
{
    world_t *w = new_world(*state);

    json_object_set_new(w->crm.down, "row", json_integer(1));
    look(w);
    assert_int_equal(applied_to(w, "solutions/s1")->done, 0);
    assert_null(applied_to(w, "solutions/s1")->dropped);
    assert_null(applied_to(w, "solutions/s1")->refused);
    assert_int_equal(w->item->over, 1);
    assert_int_equal(w->item->result.cls, CS_CLASS_RETRY);
    assert_non_null(w->deal.intent);
    assert_int_equal(w->deal.state, CS_DEAL_LINKED);
    assert_int_equal(journalled(w, "refuse", NULL), 0);
    json_object_clear(w->crm.down);
    look(w);
    assert_int_equal(applied_to(w, "solutions/s1")->done, 1);
    assert_int_equal(applied_to(w, "solutions/s2")->done, 1);
    assert_null(w->deal.intent);
    look(w);
    assert_int_equal(w->crm.writes, 0);
}

/* Nothing but the time of a write would be written: then nothing is. */
static void test_time_is_no_reason(void **state)
{
    world_t *w = new_world(*state);
    const char *was;

    look(w);
    was = apr_pstrdup(w->p, json_string_value(column(w, "synced")));
    json_object_set_new(json_object_get(w->doc, "details"), "currency", json_string("CHF"));
    look(w);
    assert_int_equal(w->crm.writes, 0);
    assert_int_equal(applied_to(w, "value")->done, 1);
    assert_string_equal(json_string_value(column(w, "synced")), was);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT_TEST(test_all_is_done),     UNIT_TEST(test_done_with_refused_and_dropped), UNIT_TEST(test_failed_with_refused),
                                       UNIT_TEST(test_refused_and_not_shown),
                                       UNIT_TEST(test_told_is_refused), UNIT_TEST(test_start_columns),                 UNIT_TEST(test_list_step_held),
                                       UNIT_TEST(test_list_step_refused), UNIT_TEST(test_list_step_fails),             UNIT_TEST(test_time_is_no_reason)};

    return UNIT_RUN(tests);
}
