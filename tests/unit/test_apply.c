/* Stage 6 against a CRM in memory: what goes out together, what a failure holds up, how a bad line is found and left out, and how many calls that costs. */
#include "unit.h"

#include <strings.h>
#include <sys/wait.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/json.h"
#include "mod_cosell/domain/mapping_internal.h"
#include "mod_cosell/engine/apply.h"

#define RECORD "aaaaaaaa-0000-4000-8000-%012d"
#define CALLS_MAX 256
#define SENDS_MAX 24 /* more than the first: what is promised */

/* ---- a CRM that does what it is told ---- */

typedef struct row_t {
    const char *table, *id;
    int version;
    json_t *row;
} row_t;

typedef struct call_t {
    char what; /* 'f', 'r', 'w' */
    int n;     /* items in it */
} call_t;

struct cs_crm_t {
    apr_pool_t *p;
    apr_array_header_t *rows; /* row_t */
    json_t *bad;              /* column -> 1: refused by name, 0: refused without a name */
    json_t *fails;            /* "write <id>", "find <table>", "make <table>" ... -> {"cls", "times"} */
    int silent;               /* writes return no representation */
    int alone;                /* refuses any two of the columns "a..." together, but none alone */
    call_t calls[CALLS_MAX];
    int ncalls;
    apr_array_header_t *written; /* cs_crm_write_t, as asked for */
};

static json_t *js(apr_pool_t *p, const char *fmt, ...)
{
    va_list ap;
    char *text, *c;
    json_t *json;
    json_error_t error;

    va_start(ap, fmt);
    text = apr_pvsprintf(p, fmt, ap);
    va_end(ap);
    for (c = text; *c; ++c) {
        *c = *c == '\'' ? '"' : *c;
    }
    json = json_loads(text, JSON_DECODE_ANY, &error);
    if (!json) {
        fail_msg("%s: %s", text, error.text);
    }
    return cs_json_own(json, p);
}

static row_t *row_by_id(cs_crm_t *crm, const char *table, const char *id)
{
    int i;

    for (i = 0; i < crm->rows->nelts; ++i) {
        row_t *row = &APR_ARRAY_IDX(crm->rows, i, row_t);
        if (row->row && !strcmp(row->table, table) && !strcmp(row->id, id)) {
            return row;
        }
    }
    return NULL;
}

static row_t *put_row(cs_crm_t *crm, const char *table, const char *id, const json_t *from)
{
    row_t *row = apr_array_push(crm->rows);

    row->table = apr_pstrdup(crm->p, table);
    row->id = apr_pstrdup(crm->p, id);
    row->version = 1;
    row->row = cs_json_own(json_deep_copy(from), crm->p);
    return row;
}

static int count_rows(const cs_crm_t *crm, const char *table)
{
    int i, n = 0;

    for (i = 0; i < crm->rows->nelts; ++i) {
        const row_t *row = &APR_ARRAY_IDX(crm->rows, i, row_t);
        n += row->row && !strcmp(row->table, table);
    }
    return n;
}

static void note_call(cs_crm_t *crm, char what, int n)
{
    assert_true(crm->ncalls < CALLS_MAX);
    crm->calls[crm->ncalls].what = what;
    crm->calls[crm->ncalls++].n = n;
}

/* "f1 w2 w3": what was asked, and how many items each call had. */
static const char *calls_of(const cs_crm_t *crm)
{
    const char *text = "";
    int i;

    for (i = 0; i < crm->ncalls; ++i) {
        text = apr_psprintf(crm->p, "%s%s%c%d", text, i ? " " : "", crm->calls[i].what, crm->calls[i].n);
    }
    return text;
}

static int scripted(cs_crm_t *crm, cs_result_t *result, const char *verb, const char *name)
{
    json_t *script = json_object_get(crm->fails, apr_pstrcat(crm->p, verb, " ", name, NULL));
    int times = (int)cs_json_int(script, "times", -1);

    if (!script || !times) {
        return 0;
    }
    json_object_set_new(script, "times", json_integer(times - 1));
    cs_result_set(result, crm->p, CS_EREMOTE, cs_class_of_name(cs_json_str(script, "cls")), "fake", "%s %s: %s", verb, name,
                  cs_json_str(script, "cls"));
    return 1;
}

static int text_equal(const json_t *a, const json_t *b)
{
    const char *x = json_string_value(a), *y = json_string_value(b);
    size_t i = 0, j;

    if (!x || !y) {
        return json_equal(a, b);
    }
    for (; *x == ' '; ++x) {
    }
    for (; *y == ' '; ++y) {
    }
    for (i = strlen(x); i && x[i - 1] == ' '; --i) {
    }
    for (j = strlen(y); j && y[j - 1] == ' '; --j) {
    }
    return i == j && !strncasecmp(x, y, i);
}

static int row_fits(const json_t *row, const json_t *key)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        if (!text_equal(json_object_get(row, column), value)) {
            return 0;
        }
    }
    return 1;
}

static void find_one(cs_crm_t *crm, cs_crm_find_t *find)
{
    size_t k;
    int i;

    find->calls = 1;
    if (scripted(crm, &find->result, "find", find->table)) {
        return;
    }
    find->candidates = cs_json_own(json_array(), crm->p);
    for (k = 0; k < json_array_size(find->keys) && !find->found; ++k) {
        for (i = 0; i < crm->rows->nelts; ++i) {
            const row_t *row = &APR_ARRAY_IDX(crm->rows, i, row_t);
            if (row->row && !strcmp(row->table, find->table) && row_fits(row->row, json_array_get(find->keys, k)) && row_fits(row->row, find->where)) {
                find->found += find->found < 2;
                find->id = row->id;
                json_array_append_new(find->candidates, json_pack("{s:s,s:O?}", "id", row->id, "name", json_object_get(row->row, "name")));
            }
        }
    }
}

static apr_status_t fake_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    (void)p;
    note_call(crm, 'f', n);
    for (i = 0; i < n; ++i) {
        find_one(crm, &finds[i]);
    }
    return APR_SUCCESS;
}

static cs_record_t *record_of(cs_crm_t *crm, const row_t *row)
{
    cs_record_t *record = apr_pcalloc(crm->p, sizeof(*record));

    record->table = row->table;
    record->id = row->id;
    record->version = apr_psprintf(crm->p, "v%d", row->version);
    record->row = cs_json_own(json_deep_copy(row->row), crm->p);
    return record;
}

static apr_status_t fake_read(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    note_call(crm, 'r', n);
    for (i = 0; i < n; ++i) {
        const row_t *row = row_by_id(crm, reads[i].table, reads[i].id);
        reads[i].calls = 1;
        if (scripted(crm, &reads[i].result, "read", reads[i].id)) {
            continue;
        }
        if (row) {
            reads[i].record = record_of(crm, row);
        }
        else {
            cs_result_set(&reads[i].result, p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "no such row");
        }
    }
    return APR_SUCCESS;
}

static int refuses(cs_crm_t *crm, cs_crm_write_t *write)
{
    const char *column;
    int together = 0;
    json_t *value;

    json_object_foreach((json_t *)write->row, column, value) {
        const json_t *bad = json_object_get(crm->bad, column);
        together += column[0] == 'a';
        if (bad) {
            cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_DATA, "fake:data", "the value of %s is out of range", column);
            write->result.blames = json_integer_value(bad) ? apr_pstrdup(crm->p, column) : NULL;
            return 1;
        }
    }
    if (crm->alone && together > 1) {
        cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_DATA, "fake:data", "these do not go together");
        return 1;
    }
    return 0;
}

static void change_row(cs_crm_t *crm, cs_crm_write_t *write, row_t *row)
{
    if (write->kind == CS_CRM_CREATE && row) {
        cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_DUPLICATE, "fake:duplicate", "it exists");
    }
    else if (write->kind == CS_CRM_CREATE) {
        if (!refuses(crm, write)) {
            row = put_row(crm, write->table, write->id, write->row);
        }
    }
    else if (!row) {
        cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_GONE, "http:404", "no such row");
    }
    else if (!write->guard) {
        fail_msg("%s %s is written without a guard", write->table, write->id);
    }
    else if (strcmp(write->guard, apr_psprintf(crm->p, "v%d", row->version))) {
        cs_result_set(&write->result, crm->p, CS_EREMOTE, CS_CLASS_CONFLICT, "fake:version", "guard %s, version v%d", write->guard, row->version);
    }
    else if (write->kind == CS_CRM_DELETE) {
        row->row = NULL;
    }
    else if (!refuses(crm, write)) {
        json_object_update(row->row, (json_t *)write->row);
        ++row->version;
    }
    if (write->result.cls == CS_CLASS_OK && write->columns && !crm->silent) {
        write->record = record_of(crm, row);
    }
}

static void write_one(cs_crm_t *crm, cs_crm_write_t *write)
{
    APR_ARRAY_PUSH(crm->written, cs_crm_write_t) = *write;
    write->calls = 1;
    write->took = 1000;
    write->correlation = apr_psprintf(crm->p, "w%d", crm->written->nelts);
    if (scripted(crm, &write->result, "write", write->id) || scripted(crm, &write->result, "make", write->table)) {
        return;
    }
    if (write->kind == CS_CRM_CALL) {
        write->created = js(crm->p, "[{'table':'opportunity','id':'made-by-%s'}]", write->call);
    }
    else if (write->kind != CS_CRM_JOIN) {
        change_row(crm, write, row_by_id(crm, write->table, write->id));
    }
}

static apr_status_t fake_write(cs_crm_t *crm, cs_crm_write_t *writes, int n, apr_interval_time_t deadline, apr_pool_t *p)
{
    int i;

    (void)deadline;
    (void)p;
    note_call(crm, 'w', n);
    for (i = 0; i < n; ++i) {
        write_one(crm, &writes[i]);
    }
    return APR_SUCCESS;
}

static const cs_crm_facts_t fake_facts = {.type = "fake"};
static const cs_crm_impl_t fake_impl = {.facts = &fake_facts, .read = fake_read, .find = fake_find, .write = fake_write};

/* ---- a batch ---- */

typedef struct world_t {
    apr_pool_t *p;
    struct cs_crm_t crm;
    cs_site_config_t site;
    cs_lane_t lane;
    cs_mapping_kind_t kind;
    cs_batch_t batch;
} world_t;

static const char *const child_columns[] = {"name", "solution"};

static void begin_batch(world_t *w)
{
    memset(&w->batch, 0, sizeof(w->batch));
    w->batch.lane = &w->lane;
    w->batch.p = w->p;
    w->batch.now = apr_time_from_sec(1770000000);
    w->batch.items = apr_array_make(w->p, 4, sizeof(cs_item_t *));
    w->batch.changes = apr_array_make(w->p, 4, sizeof(cs_change_t));
    w->crm.ncalls = 0;
    apr_array_clear(w->crm.written);
}

static world_t *new_world(apr_pool_t *p)
{
    world_t *w = apr_pcalloc(p, sizeof(*w));
    cs_related_t *related;
    size_t i;

    w->p = p;
    w->crm.p = p;
    w->crm.rows = apr_array_make(p, 512, sizeof(row_t)); /* never moves while a test holds a row */
    w->crm.bad = cs_json_own(json_object(), p);
    w->crm.fails = cs_json_own(json_object(), p);
    w->crm.written = apr_array_make(p, 16, sizeof(cs_crm_write_t));
    w->site.name = "contoso";
    w->site.ncrms = 1;
    w->site.crms[0].cfg.name = "crm";
    w->lane.site = &w->site;
    w->lane.pool = p;
    w->lane.crm_impl[0] = &fake_impl;
    w->lane.crm[0] = &w->crm;
    w->kind.name = "opportunity";
    w->kind.columns = apr_array_make(p, 1, sizeof(const char *));
    w->kind.lookups = apr_array_make(p, 1, sizeof(cs_mapping_lookup_t));
    w->kind.related = apr_array_make(p, 1, sizeof(cs_related_t));
    related = apr_array_push(w->kind.related);
    memset(related, 0, sizeof(*related));
    related->list = "solutions";
    related->table = "solutionrow";
    related->columns = apr_array_make(p, 2, sizeof(const char *));
    for (i = 0; i < 2; ++i) {
        APR_ARRAY_PUSH((apr_array_header_t *)related->columns, const char *) = child_columns[i];
    }
    begin_batch(w);
    return w;
}

static const char *record_id(world_t *w, int n)
{
    return apr_psprintf(w->p, RECORD, n);
}

static cs_item_t *add_item(world_t *w, int n)
{
    cs_item_t *item = apr_pcalloc(w->p, sizeof(*item));

    item->work = apr_pcalloc(w->p, sizeof(*item->work));
    item->deal = apr_pcalloc(w->p, sizeof(*item->deal));
    item->deal->referral_id = apr_psprintf(w->p, "referral-%d", n);
    item->kind = &w->kind;
    item->look.crm = "crm";
    item->journal = apr_array_make(w->p, 2, sizeof(cs_journal_t *));
    item->plan = apr_pcalloc(w->p, sizeof(*item->plan));
    item->plan->what = CS_PLAN_STEPS;
    item->plan->steps = apr_array_make(w->p, 8, sizeof(cs_step_t *));
    item->applied = apr_pcalloc(w->p, sizeof(cs_applied_t) * 64);
    APR_ARRAY_PUSH(w->batch.items, cs_item_t *) = item;
    return item;
}

/* Index of the new step; lines are separated by blanks. */
static int add_step(world_t *w, cs_item_t *item, cs_step_kind_e kind, const char *table, const char *id, json_t *columns, int after, const char *lines)
{
    cs_step_t *step = apr_pcalloc(w->p, sizeof(*step));
    char *state, *line;

    step->kind = kind;
    step->send = 1;
    step->table = table;
    step->id = id;
    step->columns = columns;
    step->after = after;
    step->lines = apr_array_make(w->p, 2, sizeof(const char *));
    for (line = apr_strtok(apr_pstrdup(w->p, lines), " ", &state); line; line = apr_strtok(NULL, " ", &state)) {
        APR_ARRAY_PUSH(step->lines, const char *) = line;
    }
    APR_ARRAY_PUSH(item->plan->steps, cs_step_t *) = step;
    return item->plan->steps->nelts - 1;
}

static cs_step_t *step_of(const cs_item_t *item, int i)
{
    return APR_ARRAY_IDX(item->plan->steps, i, cs_step_t *);
}

static int add_row_step(world_t *w, cs_item_t *item, cs_step_kind_e kind, const char *table, const char *id, json_t *columns, int after, const char *line)
{
    int i = add_step(w, item, kind, table, id, columns, after, line);

    step_of(item, i)->list = apr_pstrmemdup(w->p, line, strcspn(line, "/"));
    return i;
}

static int add_solution(world_t *w, cs_item_t *item, int n, int after)
{
    return add_row_step(w, item, CS_STEP_CREATE, "solutionrow", apr_psprintf(w->p, "%s-s%d", item->deal->referral_id, n), js(w->p, "{'name':'S%d'}", n), after,
                        apr_psprintf(w->p, "solutions/s%d", n));
}

static int add_update(world_t *w, cs_item_t *item, int n, json_t *columns, const char *lines)
{
    int i = add_step(w, item, CS_STEP_UPDATE, "opportunity", record_id(w, n), columns, -1, lines);

    step_of(item, i)->guard = "v1";
    return i;
}

static void put_record(world_t *w, int n)
{
    put_row(&w->crm, "opportunity", record_id(w, n), js(w->p, "{}"));
}

/* Lines "l0".."l<n-1>" of one column each, "c0".."c<n-1>". */
static void add_lines(json_t *columns, json_t *parts, int n)
{
    char line[16], column[16];
    int i;

    for (i = 0; i < n; ++i) {
        snprintf(line, sizeof(line), "l%d", i);
        snprintf(column, sizeof(column), "c%d", i);
        json_object_set_new(columns, column, json_integer(i));
        json_object_set_new(parts, line, json_pack("[s]", column));
    }
}

static void apply(world_t *w)
{
    cs_batch_apply(&w->batch);
}

static void assert_calls(world_t *w, const char *calls)
{
    assert_string_equal(calls_of(&w->crm), calls);
}

static void assert_done(const cs_item_t *item, int i)
{
    assert_int_equal(item->applied[i].tried, 1);
    if (!item->applied[i].done) {
        fail_msg("step %d is not done: %s", i, item->applied[i].result.detail ? item->applied[i].result.detail : "no reason");
    }
}

static void assert_not_done(const cs_item_t *item, int i)
{
    assert_int_equal(item->applied[i].tried, 1);
    assert_int_equal(item->applied[i].done, 0);
}

static const cs_crm_write_t *written(const world_t *w, int i)
{
    return &APR_ARRAY_IDX(w->crm.written, i, cs_crm_write_t);
}

static void bad_column(world_t *w, const char *column, int named)
{
    json_object_set_new(w->crm.bad, column, json_integer(named));
}

static void fails(world_t *w, const char *what, const char *cls, int times)
{
    json_object_set_new(w->crm.fails, what, json_pack("{s:s,s:i}", "cls", cls, "times", times));
}

static json_t *lookup(world_t *w, const char *fmt, ...)
{
    va_list ap;
    const char *text;

    va_start(ap, fmt);
    text = apr_pvsprintf(w->p, fmt, ap);
    va_end(ap);
    return js(w->p, "{'$lookup':%s}", text);
}

/* An account that is made when it is not there. */
static json_t *account(world_t *w, const char *name, const char *none)
{
    return lookup(w,
                  "{'find':'account','table':'account','keys':[{'name':'%s'}],'where':{'statecode':0},'several':'hold','none':'%s',"
                  "'create':{'name':'%s','statecode':0}}",
                  name, none, name);
}

/* A contact of that account. */
static json_t *contact(world_t *w, const char *mail, const char *customer, const char *none)
{
    json_t *out = lookup(w,
                         "{'find':'contact','table':'contact','keys':[{'mail':'%s'}],'several':'hold','none':'%s',"
                         "'create':{'name':'%s','mail':'%s'}}",
                         mail, none, mail, mail);
    json_t *found = account(w, customer, "create");

    json_object_set_new(json_object_get(out, "$lookup"), "within", json_pack("{s:O}", "parent", found));
    json_object_set_new(json_object_get(json_object_get(out, "$lookup"), "create"), "parent", json_deep_copy(found));
    return out;
}

static json_t *one_column(world_t *w, const char *column, json_t *value)
{
    json_t *columns = cs_json_own(json_object(), w->p);

    json_object_set(columns, column, value);
    return columns;
}

static int add_ensure(world_t *w, cs_item_t *item, json_t *value, int after, const char *line)
{
    return add_row_step(w, item, CS_STEP_ENSURE, "contact", NULL, one_column(w, "row", value), after, line);
}

/* ---- rounds ---- */

static void test_lists_of_a_new_record_are_one_round(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int i, create = add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), js(w->p, "{'name':'D'}"), -1, "name");

    for (i = 0; i < 23; ++i) {
        add_solution(w, item, i, create);
    }
    apply(w);
    assert_calls(w, "w1 w23");
    for (i = 0; i < 24; ++i) {
        assert_done(item, i);
        assert_int_equal(item->applied[i].calls, 1);
    }
    assert_int_equal(item->calls, 24);
    assert_int_equal(item->over, 0);
    assert_int_equal(count_rows(&w->crm, "solutionrow"), 23);
    assert_int_equal(written(w, 1)->columns->nelts, 2); /* those the list reads */
    assert_non_null(item->applied[1].after);
}

static void test_lists_go_out_with_the_record(void **state)
{
    world_t *w = new_world(*state);
    int i, k;

    for (i = 0; i < 200; ++i) {
        cs_item_t *item = add_item(w, i);
        put_record(w, i);
        add_update(w, item, i, js(w->p, "{'name':'D'}"), "name");
        for (k = 0; k < 2; ++k) {
            add_solution(w, item, k, -1);
        }
    }
    apply(w);
    assert_calls(w, "w600");
    assert_int_equal(w->batch.failed, 0);
}

static void test_a_row_that_is_refused_holds_up_nothing(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int update, close, s1, s2, dependent;

    put_record(w, 1);
    update = add_update(w, item, 1, js(w->p, "{'name':'D'}"), "name");
    s1 = add_solution(w, item, 1, -1);
    s2 = add_solution(w, item, 2, -1);
    dependent = add_solution(w, item, 3, s1);
    close = add_step(w, item, CS_STEP_CALL, "opportunity", record_id(w, 1), js(w->p, "{}"), update, "$state");
    step_of(item, close)->call = "WinOpportunity";
    fails(w, "write referral-1-s1", "refused", -1);
    apply(w);
    assert_calls(w, "w3 w1");
    assert_not_done(item, s1);
    assert_string_equal(cs_json_str(item->applied[s1].refused, "solutions/s1"), "write referral-1-s1: refused");
    assert_done(item, s2);
    assert_int_equal(item->applied[dependent].tried, 0);
    assert_done(item, close);
    assert_int_equal(item->over, 0);
}

static void test_data_of_a_row_is_refused_without_more_sends(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int s1 = add_solution(w, item, 1, -1);

    bad_column(w, "name", 0);
    apply(w);
    assert_calls(w, "w1");
    assert_not_done(item, s1);
    assert_has(cs_json_str(item->applied[s1].refused, "solutions/s1"), "the value of name");
    assert_int_equal(item->over, 0);
}

static void test_guards_are_of_the_same_row(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int reopen, update, other;

    put_record(w, 1);
    put_record(w, 2);
    APR_ARRAY_IDX(w->crm.rows, 1, row_t).version = 7;
    reopen = add_step(w, item, CS_STEP_REOPEN, "opportunity", record_id(w, 1), js(w->p, "{'statecode':0}"), -1, "$state");
    step_of(item, reopen)->guard = "v1";
    update = add_update(w, item, 1, js(w->p, "{'name':'D'}"), "name");
    step_of(item, update)->after = reopen;
    other = add_row_step(w, item, CS_STEP_UPDATE, "opportunity", record_id(w, 2), js(w->p, "{'name':'E'}"), reopen, "others/2");
    step_of(item, other)->guard = "v7";
    apply(w);
    assert_calls(w, "w1 w2");
    assert_done(item, update);
    assert_done(item, other);
    assert_string_equal(written(w, 1)->guard, "v2");
    assert_string_equal(written(w, 2)->guard, "v7");
}

/* ---- kinds ---- */

static void test_kinds_of_rows(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int join, gone, drop, change, there;

    put_row(&w->crm, "systemuser", "u1", js(w->p, "{'mail':'ann@contoso.com'}"));
    put_row(&w->crm, "solutionrow", "s1", js(w->p, "{'name':'old'}"));
    put_row(&w->crm, "solutionrow", "s2", js(w->p, "{'name':'old'}"));
    put_row(&w->crm, "contact", "k1", js(w->p, "{'mail':'bob@contoso.com'}"));
    join = add_row_step(w, item, CS_STEP_JOIN, "opportunity", record_id(w, 1),
                        one_column(w, "user", lookup(w, "{'find':'user','table':'systemuser','keys':[{'mail':' Ann@Contoso.com'}],'none':'skip'}")), -1, "team/ann");
    step_of(item, join)->call = "Sales Team";
    gone = add_row_step(w, item, CS_STEP_DELETE, "solutionrow", "s9", NULL, -1, "solutions/9");
    drop = add_row_step(w, item, CS_STEP_DELETE, "solutionrow", "s1", NULL, -1, "solutions/1");
    step_of(item, drop)->guard = "v1";
    change = add_row_step(w, item, CS_STEP_UPDATE, "solutionrow", "s2", js(w->p, "{'name':'new'}"), -1, "solutions/2");
    step_of(item, change)->guard = "v1";
    there = add_ensure(w, item, lookup(w, "{'find':'contact','table':'contact','keys':[{'mail':'bob@contoso.com'}],'none':'create','create':{'mail':'bob@contoso.com'}}"),
                       -1, "contacts/bob@contoso.com");
    apply(w);
    assert_calls(w, "f2 w4");
    assert_done(item, join);
    assert_done(item, gone);
    assert_done(item, drop);
    assert_done(item, change);
    assert_done(item, there);
    assert_int_equal(written(w, 0)->kind, CS_CRM_JOIN);
    assert_string_equal(written(w, 0)->call, "Sales Team");
    assert_string_equal(cs_json_str(cs_json_pointer(written(w, 0)->row, "/user/$ref"), "id"), "u1");
    assert_int_equal(written(w, 2)->kind, CS_CRM_DELETE);
    assert_int_equal(count_rows(&w->crm, "solutionrow"), 1);
    assert_int_equal(item->applied[there].calls, 0);
}

static void test_a_user_that_is_none_is_not_joined(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int join = add_row_step(w, item, CS_STEP_JOIN, "opportunity", record_id(w, 1),
                            one_column(w, "user", lookup(w, "{'find':'user','table':'systemuser','keys':[{'mail':'ann@contoso.com'}],'none':'skip'}")), -1, "team/ann");

    apply(w);
    assert_calls(w, "f1");
    assert_not_done(item, join);
    assert_string_equal(cs_json_str(item->applied[join].dropped, "team/ann"), "the CRM has no user ann@contoso.com");
    assert_int_equal(item->over, 0);
}

static void test_a_row_of_ours_that_is_there_already_is_done(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int ours = add_solution(w, item, 1, -1), theirs = add_solution(w, item, 2, -1), fresh = add_solution(w, item, 3, -1);

    put_row(&w->crm, "solutionrow", "referral-1-s1", js(w->p, "{'name':'S1'}"));
    fails(w, "write referral-1-s2", "duplicate", -1);
    apply(w);
    assert_calls(w, "w3 r2");
    assert_done(item, ours);
    assert_int_equal(item->applied[ours].found, 1);
    assert_non_null(item->applied[ours].after);
    assert_int_equal(item->applied[ours].calls, 2);
    assert_not_done(item, theirs);
    assert_has(cs_json_str(item->applied[theirs].dropped, "solutions/s2"), "duplicate");
    assert_int_equal(item->applied[theirs].result.cls, CS_CLASS_OK);
    assert_done(item, fresh);
    assert_int_equal(item->applied[fresh].found, 0);
    assert_int_equal(item->over, 0);
}

static void test_a_record_that_is_there_already_is_looked_at_again(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int create = add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), js(w->p, "{'name':'D'}"), -1, "name");

    put_record(w, 1);
    apply(w);
    assert_calls(w, "w1");
    assert_not_done(item, create);
    assert_int_equal(item->over, 1);
    assert_int_equal(item->result.cls, CS_CLASS_DUPLICATE);
}

static void test_rows_that_an_action_made_are_told(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int call = add_step(w, item, CS_STEP_CALL, "lead", record_id(w, 1), js(w->p, "{}"), -1, "$state");

    step_of(item, call)->call = "QualifyLead";
    apply(w);
    assert_done(item, call);
    assert_string_equal(cs_json_str(json_array_get(item->applied[call].created, 0), "id"), "made-by-QualifyLead");
}

/* ---- look-ups ---- */

static void test_contacts_of_a_new_customer_are_made_without_a_search(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    const char *account_id, *name;
    json_t *columns = cs_json_own(json_object(), w->p);
    int i, create;

    json_object_set(columns, "parentaccountid", account(w, "Contoso", "create"));
    create = add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), columns, -1, "account");
    for (i = 0; i < 6; ++i) {
        name = apr_psprintf(w->p, "P%d@contoso.com", i);
        add_ensure(w, item, contact(w, name, "Contoso", "create"), create, apr_psprintf(w->p, "contacts/p%d@contoso.com", i));
    }
    apply(w);
    /* account looked for and made, record, then all contacts at once */
    assert_calls(w, "f1 w1 w1 w6");
    assert_int_equal(item->over, 0);
    account_id = cs_uuid5_url("cosell:contoso:referral-1:account:account", w->p);
    assert_non_null(row_by_id(&w->crm, "account", account_id));
    for (i = 0; i < 6; ++i) {
        const row_t *row =
            row_by_id(&w->crm, "contact", cs_uuid5_url(apr_psprintf(w->p, "cosell:contoso:referral-1:contact:contact:p%d@contoso.com", i), w->p));
        assert_done(item, 1 + i);
        assert_non_null(row);
        assert_string_equal(cs_json_str(cs_json_pointer(row->row, "/parent/$ref"), "id"), account_id);
    }
    assert_int_equal(item->journal->nelts, 7);
}

static void test_contacts_are_looked_for_within_their_customer(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int ours, fresh;

    put_row(&w->crm, "account", "a1", js(w->p, "{'name':'Contoso','statecode':0}"));
    put_row(&w->crm, "contact", "k1", js(w->p, "{'mail':'ann@contoso.com','parent':{'$ref':{'table':'account','id':'a1'}}}"));
    put_row(&w->crm, "contact", "k2", js(w->p, "{'mail':'bob@contoso.com','parent':{'$ref':{'table':'account','id':'a2'}}}"));
    ours = add_ensure(w, item, contact(w, "Ann@contoso.com ", " CONTOSO", "create"), -1, "contacts/ann@contoso.com");
    fresh = add_ensure(w, item, contact(w, "bob@contoso.com", "Contoso", "create"), -1, "contacts/bob@contoso.com");
    apply(w);
    assert_calls(w, "f1 f2 w1");
    assert_done(item, ours);
    assert_done(item, fresh);
    assert_int_equal(count_rows(&w->crm, "contact"), 3);
    assert_int_equal(count_rows(&w->crm, "account"), 1);
    /* What was found is kept for the next batch, with what it lies within. */
    begin_batch(w);
    item = add_item(w, 2);
    add_ensure(w, item, contact(w, "bob@contoso.com", "Contoso", "create"), -1, "contacts/bob@contoso.com");
    add_ensure(w, item, contact(w, "bob@contoso.com", "Fabrikam", "create"), -1, "contacts/bob@contoso.com");
    apply(w);
    assert_calls(w, "f1 w1 w1");
    assert_int_equal(count_rows(&w->crm, "contact"), 4);
}

static void test_nothing_is_made_for_what_is_only_looked_for(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1), *maker;
    int step = add_ensure(w, item, contact(w, "ann@contoso.com", "Contoso", "hold"), -1, "contacts/ann@contoso.com");

    apply(w);
    assert_calls(w, "f1");
    assert_not_done(item, step);
    assert_has(cs_json_str(item->applied[step].dropped, "contacts/ann@contoso.com"), "the CRM has no contact ann@contoso.com");
    assert_int_equal(count_rows(&w->crm, "account"), 0);
    /* Somebody else of the batch may make it: then it is there for both. */
    begin_batch(w);
    item = add_item(w, 1);
    maker = add_item(w, 2);
    step = add_ensure(w, item, contact(w, "ann@contoso.com", "Contoso", "hold"), -1, "contacts/ann@contoso.com");
    add_ensure(w, maker, contact(w, "ann@contoso.com", "Contoso", "create"), -1, "contacts/ann@contoso.com");
    apply(w);
    assert_calls(w, "f1 w1 w1");
    assert_done(item, step);
    assert_done(maker, 0);
    assert_non_null(row_by_id(&w->crm, "contact", cs_uuid5_url("cosell:contoso:referral-2:contact:contact:ann@contoso.com", w->p)));
}

static void test_new_rows_are_shared_by_a_batch(void **state)
{
    world_t *w = new_world(*state);
    int i, k;

    for (i = 0; i < 100; ++i) {
        cs_item_t *item = add_item(w, i);
        for (k = 0; k < 3; ++k) {
            json_t *columns = js(w->p, "{'name':'S'}");
            json_object_set(columns, "solution",
                            lookup(w, "{'find':'solution','table':'catalogue','keys':[{'code':'%s%d%s'}],'none':'create','create':{'code':'S%d'}}",
                                   i % 2 ? "s" : " S", k, i % 2 ? "" : " ", k));
            add_row_step(w, item, CS_STEP_CREATE, "solutionrow", apr_psprintf(w->p, "row-%d-%d", i, k), columns, -1, apr_psprintf(w->p, "solutions/s%d", k));
        }
    }
    apply(w);
    assert_calls(w, "f3 w3 w300");
    assert_int_equal(count_rows(&w->crm, "catalogue"), 3);
}

static void test_kin_is_made_once(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *one = add_item(w, 1), *two = add_item(w, 2);

    add_ensure(w, one, lookup(w, "{'find':'account','table':'account','keys':[{'number':'7'},{'name':'Contoso'}],'none':'create','create':{'number':'7','name':'Contoso'}}"),
               -1, "contacts/a");
    add_ensure(w, two, lookup(w, "{'find':'account','table':'account','keys':[{'name':'contoso'}],'none':'create','create':{'name':'contoso'}}"), -1, "contacts/b");
    apply(w);
    assert_calls(w, "f2 w1 f1");
    assert_int_equal(count_rows(&w->crm, "account"), 1);
    assert_done(one, 0);
    assert_done(two, 0);
}

static void test_one_address_at_two_customers_is_no_kin(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);

    put_row(&w->crm, "account", "a1", js(w->p, "{'name':'Contoso','statecode':0}"));
    put_row(&w->crm, "account", "a2", js(w->p, "{'name':'Fabrikam','statecode':0}"));
    add_ensure(w, item, contact(w, "info@example.com", "Contoso", "create"), -1, "contacts/info@example.com");
    item = add_item(w, 2);
    add_ensure(w, item, contact(w, "info@example.com", "Fabrikam", "create"), -1, "contacts/info@example.com");
    apply(w);
    assert_calls(w, "f2 f2 w2");
    assert_int_equal(count_rows(&w->crm, "contact"), 2);
}

static void test_look_ups_that_point_at_each_other_are_held(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *outer = lookup(w, "{'find':'account','table':'account','keys':[{'name':'A'}],'none':'create','create':{'name':'A'}}");
    json_t *inner = cs_json_own(json_deep_copy(outer), w->p);
    int step;

    json_object_set(json_object_get(json_object_get(outer, "$lookup"), "create"), "parent", inner);
    step = add_ensure(w, item, outer, -1, "contacts/a");
    apply(w);
    assert_calls(w, "f1");
    assert_not_done(item, step);
    assert_has(cs_json_str(item->applied[step].dropped, "contacts/a"), "point at each other");
}

static void test_candidates_are_named(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *columns = js(w->p, "{'name':'D'}"), *held = lookup(w, "{'find':'contact','table':'contact','keys':[{'mail':'ann@contoso.com'}],'several':'hold','none':'create',"
                                                                  "'create':{},'line':'contacts/ann@contoso.com','columns':['parentcontactid']}");
    int update, row, fine;

    put_record(w, 1);
    put_row(&w->crm, "contact", "k1", js(w->p, "{'name':'Ann A','mail':'ann@contoso.com'}"));
    put_row(&w->crm, "contact", "k2", js(w->p, "{'name':'Ann B','mail':'ANN@contoso.com'}"));
    json_object_set(columns, "parentcontactid", held);
    update = add_update(w, item, 1, columns, "name contacts/ann@contoso.com");
    row = add_ensure(w, item, held, -1, "contacts/ann@contoso.com");
    fine = add_solution(w, item, 1, -1);
    apply(w);
    assert_calls(w, "f1 w2");
    assert_done(item, update);
    assert_null(json_object_get(written(w, 0)->row, "parentcontactid"));
    assert_string_equal(cs_json_str(item->applied[update].dropped, "contacts/ann@contoso.com"),
                        "2 contacts match ann@contoso.com: Ann A (k1), Ann B (k2); choose one in the CRM or merge them");
    assert_not_done(item, row);
    assert_has(cs_json_str(item->applied[row].dropped, "contacts/ann@contoso.com"), "Ann B (k2)");
    assert_done(item, fine);
    assert_int_equal(item->over, 0);
}

static void test_a_constant_that_is_held_holds_the_record(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int fine;

    put_record(w, 1);
    add_update(w, item, 1, one_column(w, "unit", lookup(w, "{'find':'unit','table':'unit','keys':[{'name':'HQ'}],'none':'hold'}")), "");
    fine = add_solution(w, item, 1, -1);
    apply(w);
    assert_calls(w, "f1 w1");
    assert_not_done(item, 0);
    assert_done(item, fine);
    assert_int_equal(item->over, 1);
    assert_int_equal(item->result.cls, CS_CLASS_REFUSED);
    assert_string_equal(item->result.detail, "the CRM has no unit HQ");
}

static void test_a_line_whose_row_cannot_be_made_is_refused(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *columns = js(w->p, "{'name':'D'}"), *made = account(w, "Contoso", "create");

    json_object_set_new(json_object_get(made, "$lookup"), "line", json_string("account"));
    json_object_set_new(json_object_get(made, "$lookup"), "columns", json_pack("[s]", "parentaccountid"));
    json_object_set(columns, "parentaccountid", made);
    add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), columns, -1, "name account");
    fails(w, "make account", "data", -1);
    apply(w);
    assert_calls(w, "f1 w1 w1");
    assert_done(item, 0);
    assert_has(cs_json_str(item->applied[0].refused, "account"), "make account: data");
    assert_int_equal(item->over, 0);
}

static void test_a_row_is_made_without_what_is_blamed(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *value = lookup(w, "{'find':'contact','table':'contact','keys':[{'mail':'ann@contoso.com'}],'none':'create',"
                              "'create':{'mail':'ann@contoso.com','title':'x','phone':'y'}}");
    int step = add_ensure(w, item, value, -1, "contacts/ann@contoso.com");

    bad_column(w, "title", 1);
    bad_column(w, "phone", 1);
    apply(w);
    assert_calls(w, "f1 w1 w1 w1");
    assert_done(item, step);
    assert_int_equal(json_object_size(APR_ARRAY_IDX(w->crm.rows, 0, row_t).row), 1);
    assert_int_equal(item->journal->nelts, 3);
    assert_has(APR_ARRAY_IDX(item->journal, 0, cs_journal_t *)->why, "contact ann@contoso.com is made without title");
    /* but never without what it is found by */
    bad_column(w, "mail", 1);
    begin_batch(w);
    item = add_item(w, 2);
    value = lookup(w, "{'find':'contact','table':'contact','keys':[{'mail':'bob@contoso.com'}],'none':'create','create':{'mail':'bob@contoso.com'}}");
    add_ensure(w, item, value, -1, "contacts/bob@contoso.com");
    apply(w);
    assert_calls(w, "f1 w1");
    assert_has(cs_json_str(item->applied[0].refused, "contacts/bob@contoso.com"), "the value of mail");
}

static void test_a_row_about_nobody_is_not_made(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *columns = js(w->p, "{'name':'x'}");

    json_object_set(columns, "user", lookup(w, "{'find':'user','table':'systemuser','keys':[{'mail':'ann@contoso.com'}],'none':'skip'}"));
    add_row_step(w, item, CS_STEP_CREATE, "solutionrow", "r1", columns, -1, "team/ann@contoso.com");
    apply(w);
    assert_calls(w, "f1");
    assert_not_done(item, 0);
    assert_int_equal(count_rows(&w->crm, "solutionrow"), 0);
}

/* ---- refused values ---- */

static void test_what_the_answer_names_is_left_out(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *parts = js(w->p, "{'$state':['statuscode']}"), *columns = js(w->p, "{'statuscode':1}");

    put_record(w, 1);
    add_lines(columns, parts, 20);
    add_update(w, item, 1, columns, "l3 l7");
    step_of(item, 0)->parts = parts;
    bad_column(w, "c3", 1);
    bad_column(w, "c7", 1);
    apply(w);
    assert_calls(w, "w1 w1 w1");
    assert_done(item, 0);
    assert_int_equal(item->applied[0].calls, 3);
    assert_string_equal(item->applied[0].correlation, "w1; w2; w3");
    assert_int_equal(json_object_size(item->applied[0].refused), 2);
    assert_string_equal(cs_json_str(item->applied[0].refused, "l3"), "the value of c3 is out of range");
    assert_int_equal(json_object_size(row_by_id(&w->crm, "opportunity", record_id(w, 1))->row), 19);
    assert_int_equal(item->over, 0);
}

static int log2_up(int n)
{
    int k = 0;

    while ((1 << k) < n) {
        ++k;
    }
    return k;
}

/* One step with n lines of which some are bad: what is in the row and what is refused must be exactly that. */
static void try_halves(apr_pool_t *parent, int n, unsigned bad, int creates, int with_state, int named)
{
    apr_pool_t *p;
    world_t *w;
    cs_item_t *item;
    json_t *columns, *parts;
    const row_t *row;
    char name[16];
    int i, nbad = 0, sends, nothing_passes;

    apr_pool_create(&p, parent);
    w = new_world(p);
    item = add_item(w, 1);
    columns = js(p, with_state ? "{'statuscode':1,'start':2}" : "{}");
    parts = js(p, with_state ? "{'$state':['statuscode'],'$start':['start']}" : "{}");
    add_lines(columns, parts, n);
    if (creates) {
        add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), columns, -1, "l0");
    }
    else {
        put_record(w, 1);
        add_update(w, item, 1, columns, "l0");
    }
    step_of(item, 0)->parts = parts;
    for (i = 0; i < n; ++i) {
        if (bad & (1u << i)) {
            snprintf(name, sizeof(name), "c%d", i);
            bad_column(w, name, named && i % 2);
            ++nbad;
        }
    }
    apply(w);
    sends = w->crm.ncalls - 1;
    row = row_by_id(&w->crm, "opportunity", record_id(w, 1));
    if (!nbad) {
        assert_int_equal(sends, 0);
    }
    if (sends > SENDS_MAX || sends > nbad * (2 * log2_up(n) + 4)) {
        fail_msg("%d sends for %d bad of %d", sends, nbad, n);
    }
    assert_int_equal(item->applied[0].calls, w->crm.ncalls);
    /* The record itself is the problem then. */
    nothing_passes = !creates && !with_state && nbad == n && n > 1;
    assert_int_equal(item->applied[0].done, !nothing_passes);
    if (!item->applied[0].done) {
        assert_int_equal(item->result.cls, CS_CLASS_DATA);
        assert_int_equal(row->version, 1);
        apr_pool_destroy(p);
        return;
    }
    for (i = 0; i < n; ++i) {
        const char *line = apr_psprintf(p, "l%d", i);
        int in_row, refused = cs_json_str(item->applied[0].refused, line) != NULL, left = cs_json_str(item->applied[0].dropped, line) != NULL;
        snprintf(name, sizeof(name), "c%d", i);
        in_row = json_object_get(row->row, name) != NULL;
        assert_int_equal(in_row + refused + left, 1);
        if (refused || in_row) {
            assert_int_equal(refused, (bad >> i) & 1);
        }
        if (left) {
            assert_int_equal(sends, SENDS_MAX);
            assert_int_equal(item->result.cls, CS_CLASS_CONFLICT);
        }
        if (refused) {
            assert_has(cs_json_str(item->applied[0].refused, line), name);
        }
    }
    assert_int_equal(item->over, item->applied[0].dropped != NULL);
    assert_true(!with_state || (json_object_get(row->row, "statuscode") && json_object_get(row->row, "start")));
    if (row->version > 1 || creates) {
        assert_non_null(item->applied[0].after);
        assert_string_equal(item->applied[0].after->version, apr_psprintf(p, "v%d", row->version));
    }
    apr_pool_destroy(p);
}

static void test_halves_find_every_bad_line(void **state)
{
    unsigned bad;
    int n, creates, with_state;

    for (n = 1; n <= 6; ++n) {
        for (bad = 0; bad < (1u << n); ++bad) {
            for (creates = 0; creates < 2; ++creates) {
                for (with_state = 0; with_state < 2; ++with_state) {
                    try_halves(*state, n, bad, creates, with_state, 0);
                    try_halves(*state, n, bad, creates, with_state, 1);
                }
            }
        }
    }
}

static void test_halves_of_many_lines_are_bounded(void **state)
{
    apr_uint64_t dice = 88172645463325252ull;
    unsigned bad;
    int i, n, few;

    for (i = 0; i < 400; ++i) {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        n = 8 + (int)(dice % 24);
        bad = (unsigned)(dice >> 16) & ((1u << n) - 1);
        for (few = (int)((dice >> 56) % 4); few > 0; --few) {
            bad &= (unsigned)(dice >> (8 + few));
        }
        try_halves(*state, n, bad, i & 1, (i >> 1) & 1, (i >> 2) & 1);
    }
    for (i = 0; i < 31; ++i) {
        try_halves(*state, 31, 1u << i, i & 1, 1, 0);
    }
}

/* Sixteen lines, one bad: state, then halves. */
static void test_one_of_sixteen_costs_what_is_promised(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *parts = js(w->p, "{'$state':['statuscode']}"), *columns = js(w->p, "{'statuscode':1}");

    put_record(w, 1);
    add_lines(columns, parts, 16);
    add_update(w, item, 1, columns, "l15");
    step_of(item, 0)->parts = parts;
    bad_column(w, "c15", 0);
    apply(w);
    /* everything, state, 8, 4, 2 and 1 that pass, then the last one alone */
    assert_calls(w, "w1 w1 w1 w1 w1 w1 w1");
    assert_int_equal(json_object_size(written(w, 1)->row), 1);
    assert_int_equal(json_object_size(written(w, 2)->row), 8);
    assert_int_equal(json_object_size(written(w, 6)->row), 1);
    assert_string_equal(written(w, 2)->guard, "v2");
    assert_int_equal(row_by_id(&w->crm, "opportunity", record_id(w, 1))->version, 6);
}

static void test_a_new_record_starts_with_what_passes(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *parts = js(w->p, "{'$state':['statuscode'],'$start':['sync'],'account':['accountid']}");
    json_t *columns = js(w->p, "{'statuscode':2,'sync':true}");

    put_row(&w->crm, "account", "a1", js(w->p, "{'name':'Contoso','statecode':0}"));
    json_object_set(columns, "accountid", account(w, "Contoso", "create"));
    add_lines(columns, parts, 4);
    add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), columns, -1, "account l0 l1 l2 l3");
    step_of(item, 0)->parts = parts;
    bad_column(w, "c1", 0);
    apply(w);
    assert_done(item, 0);
    assert_int_equal(written(w, 1)->kind, CS_CRM_CREATE);
    assert_int_equal(json_object_size(written(w, 1)->row), 3);
    assert_non_null(cs_json_pointer(written(w, 1)->row, "/accountid/$ref"));
    assert_int_equal(written(w, 2)->kind, CS_CRM_UPDATE);
    assert_string_equal(written(w, 2)->guard, "v1");
    assert_int_equal(json_object_size(item->applied[0].refused), 1);
    assert_int_equal(item->applied[0].found, 0);
    assert_int_equal(w->batch.created, 1);
    /* all, start, c0 + c1, c0, c1, c2 + c3 */
    assert_calls(w, "f1 w1 w1 w1 w1 w1 w1");
    assert_int_equal(json_object_size(written(w, 2)->row), 2);
}

static void test_a_new_record_may_start_without_what_it_points_to(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *parts = js(w->p, "{'$start':['sync'],'account':['accountid']}"), *columns = js(w->p, "{'sync':true}");

    put_row(&w->crm, "account", "a1", js(w->p, "{'name':'Contoso','statecode':0}"));
    json_object_set(columns, "accountid", account(w, "Contoso", "create"));
    add_lines(columns, parts, 2);
    add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), columns, -1, "account l0 l1");
    step_of(item, 0)->parts = parts;
    bad_column(w, "accountid", 0);
    apply(w);
    assert_done(item, 0);
    assert_int_equal(json_object_size(written(w, 2)->row), 1); /* sync alone makes the row */
    assert_non_null(cs_json_str(item->applied[0].refused, "account"));
    assert_int_equal(json_object_size(row_by_id(&w->crm, "opportunity", record_id(w, 1))->row), 3);
}

static void test_the_state_is_never_given_up(void **state)
{
    int creates, named;

    for (creates = 0; creates < 2; ++creates) {
        for (named = 0; named < 2; ++named) {
            world_t *w = new_world(*state);
            cs_item_t *item = add_item(w, 1);
            json_t *parts = js(w->p, "{'$state':['statuscode']}"), *columns = js(w->p, "{'statuscode':1}");

            add_lines(columns, parts, 8);
            if (creates) {
                add_step(w, item, CS_STEP_CREATE, "opportunity", record_id(w, 1), columns, -1, "l0");
            }
            else {
                put_record(w, 1);
                add_update(w, item, 1, columns, "l0");
            }
            step_of(item, 0)->parts = parts;
            bad_column(w, "statuscode", named);
            apply(w);
            assert_calls(w, named ? "w1" : "w1 w1");
            assert_not_done(item, 0);
            assert_int_equal(item->over, 1);
            assert_int_equal(item->result.cls, CS_CLASS_DATA);
            assert_null(item->applied[0].refused);
            assert_int_equal(count_rows(&w->crm, "opportunity"), !creates);
        }
    }
}

static void test_a_single_bad_line_is_refused_at_once(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *parts = js(w->p, "{}"), *columns = js(w->p, "{}");
    cs_record_t record = {.version = "v1"};

    put_record(w, 1);
    item->record = &record;
    add_lines(columns, parts, 1);
    add_update(w, item, 1, columns, "l0");
    step_of(item, 0)->parts = parts;
    bad_column(w, "c0", 0);
    apply(w);
    assert_calls(w, "w1");
    assert_done(item, 0);
    assert_ptr_equal(item->applied[0].after, &record);
    assert_non_null(cs_json_str(item->applied[0].refused, "l0"));
    assert_int_equal(item->over, 0);
    assert_int_equal(w->batch.updated, 0);
}

static void test_values_that_do_not_go_together_are_not_both_refused(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);

    put_record(w, 1);
    add_update(w, item, 1, js(w->p, "{'a1':1,'a2':2,'b':3}"), "x y z");
    step_of(item, 0)->parts = js(w->p, "{'x':['a1'],'y':['a2'],'z':['b']}");
    w->crm.alone = 1;
    apply(w);
    assert_done(item, 0);
    assert_null(item->applied[0].refused);
    assert_int_equal(json_object_size(row_by_id(&w->crm, "opportunity", record_id(w, 1))->row), 3);
}

static void test_steps_without_parts_fail_as_a_whole(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);

    put_record(w, 1);
    add_update(w, item, 1, js(w->p, "{'c0':1}"), "$state");
    bad_column(w, "c0", 0);
    apply(w);
    assert_calls(w, "w1");
    assert_not_done(item, 0);
    assert_int_equal(item->result.cls, CS_CLASS_DATA);
}

/* Without its version the row cannot be written under guard any more. */
static void test_an_interrupted_search_is_looked_at_again(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    json_t *parts = js(w->p, "{}"), *columns = js(w->p, "{}");
    int fine;

    put_record(w, 1);
    add_lines(columns, parts, 8);
    add_update(w, item, 1, columns, "l0");
    step_of(item, 0)->parts = parts;
    fine = add_solution(w, item, 1, -1);
    bad_column(w, "c0", 0);
    w->crm.silent = 1;
    apply(w);
    assert_not_done(item, 0);
    assert_done(item, fine);
    assert_int_equal(item->over, 1);
    assert_int_equal(item->result.cls, CS_CLASS_CONFLICT);
}

static void test_bad_lines_of_many_deals_are_searched_together(void **state)
{
    world_t *w = new_world(*state);
    int i;

    for (i = 0; i < 50; ++i) {
        cs_item_t *item = add_item(w, i);
        json_t *parts = js(w->p, "{'$state':['statuscode']}"), *columns = js(w->p, "{'statuscode':1}");
        put_record(w, i);
        add_lines(columns, parts, 8);
        add_update(w, item, i, columns, "l0");
        step_of(item, 0)->parts = parts;
    }
    bad_column(w, "c5", 0);
    apply(w);
    assert_calls(w, "w50 w50 w50 w50 w50 w50 w50");
    for (i = 0; i < 50; ++i) {
        const cs_item_t *item = APR_ARRAY_IDX(w->batch.items, i, cs_item_t *);
        assert_done(item, 0);
        assert_int_equal(json_object_size(item->applied[0].refused), 1);
        assert_int_equal(item->over, 0);
    }
}

/* A look-up of an earlier batch is asked again before the value is blamed, and once only. */
static void test_what_was_found_earlier_is_asked_again_first(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item;
    json_t *parts = js(w->p, "{'account':['accountid'],'l0':['c0']}"), *columns;
    int attempt;

    put_row(&w->crm, "account", "a1", js(w->p, "{'name':'Contoso','statecode':0}"));
    put_record(w, 1);
    item = add_item(w, 9);
    add_ensure(w, item, account(w, "Contoso", "create"), -1, "contacts/x");
    apply(w);
    assert_calls(w, "f1");
    bad_column(w, "accountid", 0);
    for (attempt = 0; attempt < 2; ++attempt) {
        begin_batch(w);
        item = add_item(w, 1);
        item->work->attempts = attempt;
        columns = js(w->p, "{'c0':1}");
        json_object_set(columns, "accountid", account(w, "Contoso", "create"));
        add_update(w, item, 1, columns, "account l0");
        step_of(item, 0)->parts = parts;
        apply(w);
        if (!attempt) {
            assert_calls(w, "w1");
            assert_int_equal(item->result.cls, CS_CLASS_CONFLICT);
            assert_null(item->applied[0].refused);
        }
        else {
            assert_calls(w, "f1 w1 w1 w1");
            assert_done(item, 0);
            assert_non_null(cs_json_str(item->applied[0].refused, "account"));
        }
    }
    /* Not a second time, although another deal has found it meanwhile. */
    begin_batch(w);
    item = add_item(w, 9);
    add_ensure(w, item, account(w, "Contoso", "create"), -1, "contacts/x");
    apply(w);
    begin_batch(w);
    item = add_item(w, 1);
    item->work->attempts = 1;
    columns = js(w->p, "{'c0':1}");
    json_object_set(columns, "accountid", account(w, "Contoso", "create"));
    add_update(w, item, 1, columns, "account l0");
    step_of(item, 0)->guard = "v2";
    step_of(item, 0)->parts = parts;
    apply(w);
    assert_calls(w, "w1 w1 w1");
    assert_non_null(cs_json_str(item->applied[0].refused, "account"));
    /* An answer that names another column needs no second look. */
    begin_batch(w);
    json_object_clear(w->crm.bad);
    bad_column(w, "c0", 1);
    item = add_item(w, 9);
    add_ensure(w, item, account(w, "Contoso", "create"), -1, "contacts/x");
    apply(w);
    begin_batch(w);
    item = add_item(w, 1);
    columns = js(w->p, "{'c0':1}");
    json_object_set(columns, "accountid", account(w, "Contoso", "create"));
    add_update(w, item, 1, columns, "account l0");
    step_of(item, 0)->guard = apr_psprintf(w->p, "v%d", row_by_id(&w->crm, "opportunity", record_id(w, 1))->version);
    step_of(item, 0)->parts = parts;
    apply(w);
    assert_calls(w, "w1 w1");
    assert_non_null(cs_json_str(item->applied[0].refused, "l0"));
}

/* ---- failures that are repeated ---- */

static void test_a_row_that_must_be_repeated_repeats_the_item_at_its_end(void **state)
{
    static const char *const classes[] = {"retry", "throttled", "token", "conflict", "suspend", "unknown", "gone"};
    size_t i;

    for (i = 0; i < sizeof(classes) / sizeof(classes[0]); ++i) {
        world_t *w = new_world(*state);
        cs_item_t *item = add_item(w, 1);
        int everywhere = i == 1 || i == 2 || i == 4, update, s1, s2, s3, close;

        put_record(w, 1);
        s1 = add_solution(w, item, 1, -1);
        s2 = add_solution(w, item, 2, -1);
        update = add_update(w, item, 1, js(w->p, "{'name':'D'}"), "name");
        s3 = add_solution(w, item, 3, -1);
        close = add_step(w, item, CS_STEP_CALL, "opportunity", record_id(w, 1), js(w->p, "{}"), update, "$state");
        step_of(item, close)->call = "WinOpportunity";
        fails(w, "write referral-1-s1", classes[i], 1);
        fails(w, "write referral-1-s2", "retry", 1);
        apply(w);
        assert_not_done(item, s1);
        assert_not_done(item, s2);
        assert_done(item, update);
        assert_done(item, s3);
        assert_int_equal(item->applied[close].tried, !everywhere);
        assert_int_equal(item->over, 1);
        assert_string_equal(cs_class_name(item->result.cls), classes[i]);
        assert_string_equal(item->upstream, "crm");
        assert_null(item->applied[s1].refused);
    }
}

static void test_a_failed_search_is_no_refusal(void **state)
{
    world_t *w = new_world(*state);
    cs_item_t *item = add_item(w, 1);
    int one = add_ensure(w, item, contact(w, "ann@contoso.com", "Contoso", "create"), -1, "contacts/ann@contoso.com"), two = add_solution(w, item, 1, -1);

    fails(w, "find account", "retry", 1);
    apply(w);
    assert_calls(w, "f1 w1");
    assert_not_done(item, one);
    assert_null(item->applied[one].dropped);
    assert_done(item, two);
    assert_int_equal(item->over, 1);
    assert_int_equal(item->result.cls, CS_CLASS_RETRY);
}

/* ---- instants of death ---- */

static int dies_at(apr_pool_t *p, const char *point)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (!pid) {
        world_t *w = new_world(p);
        cs_item_t *item = add_item(w, 1);
        json_t *parts = js(p, "{}"), *columns = js(p, "{}");

        setenv("COSELL_TEST_CRASH", apr_pstrcat(p, point, ":1", NULL), 1);
        put_record(w, 1);
        add_lines(columns, parts, 4);
        add_update(w, item, 1, columns, "l0");
        step_of(item, 0)->parts = parts;
        add_solution(w, item, 1, -1);
        bad_column(w, "c0", 0);
        apply(w);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void test_crash_points(void **state)
{
    assert_true(dies_at(*state, "apply-written"));
    assert_true(dies_at(*state, "apply-list-written"));
    assert_true(dies_at(*state, "apply-halved"));
    assert_false(dies_at(*state, "apply-nowhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_crash_points), /* first: the environment is read once */
        UNIT_TEST(test_lists_of_a_new_record_are_one_round),
        UNIT_TEST(test_lists_go_out_with_the_record),
        UNIT_TEST(test_a_row_that_is_refused_holds_up_nothing),
        UNIT_TEST(test_data_of_a_row_is_refused_without_more_sends),
        UNIT_TEST(test_guards_are_of_the_same_row),
        UNIT_TEST(test_kinds_of_rows),
        UNIT_TEST(test_a_user_that_is_none_is_not_joined),
        UNIT_TEST(test_a_row_of_ours_that_is_there_already_is_done),
        UNIT_TEST(test_a_record_that_is_there_already_is_looked_at_again),
        UNIT_TEST(test_rows_that_an_action_made_are_told),
        UNIT_TEST(test_contacts_of_a_new_customer_are_made_without_a_search),
        UNIT_TEST(test_contacts_are_looked_for_within_their_customer),
        UNIT_TEST(test_nothing_is_made_for_what_is_only_looked_for),
        UNIT_TEST(test_new_rows_are_shared_by_a_batch),
        UNIT_TEST(test_kin_is_made_once),
        UNIT_TEST(test_one_address_at_two_customers_is_no_kin),
        UNIT_TEST(test_look_ups_that_point_at_each_other_are_held),
        UNIT_TEST(test_candidates_are_named),
        UNIT_TEST(test_a_constant_that_is_held_holds_the_record),
        UNIT_TEST(test_a_line_whose_row_cannot_be_made_is_refused),
        UNIT_TEST(test_a_row_is_made_without_what_is_blamed),
        UNIT_TEST(test_a_row_about_nobody_is_not_made),
        UNIT_TEST(test_what_the_answer_names_is_left_out),
        UNIT_TEST(test_halves_find_every_bad_line),
        UNIT_TEST(test_halves_of_many_lines_are_bounded),
        UNIT_TEST(test_one_of_sixteen_costs_what_is_promised),
        UNIT_TEST(test_a_new_record_starts_with_what_passes),
        UNIT_TEST(test_a_new_record_may_start_without_what_it_points_to),
        UNIT_TEST(test_the_state_is_never_given_up),
        UNIT_TEST(test_a_single_bad_line_is_refused_at_once),
        UNIT_TEST(test_values_that_do_not_go_together_are_not_both_refused),
        UNIT_TEST(test_steps_without_parts_fail_as_a_whole),
        UNIT_TEST(test_an_interrupted_search_is_looked_at_again),
        UNIT_TEST(test_bad_lines_of_many_deals_are_searched_together),
        UNIT_TEST(test_what_was_found_earlier_is_asked_again_first),
        UNIT_TEST(test_a_row_that_must_be_repeated_repeats_the_item_at_its_end),
        UNIT_TEST(test_a_failed_search_is_no_refusal),
    };

    return UNIT_RUN(tests);
}
