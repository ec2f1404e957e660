/* Rows by ordered key sets, many in one query. (deals 5; crm-apis.md B6) */
#include "client.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../base/json.h"
#include "../../base/text.h"

#define MAX_CANDIDATES 10
#define MOST_IN_ONE 50
#define MOST_TRIES 40
#define NAME "Name"

/* Where one search stands: key sets are tried one after the other. */
typedef struct search_t {
    cs_crm_find_t *find;
    size_t next;
    const json_t *key;     /* the set that is being tried */
    const char *condition; /* as a condition of a query */
    int done;
} search_t;

/* One query: several searches that differ in their keys' values only, or one by itself. */
typedef struct unit_t {
    const char *like;             /* what searches in one query share */
    apr_array_header_t *searches; /* search_t * */
    int single;
} unit_t;

typedef struct run_t {
    cs_crm_t *crm;
    apr_array_header_t *open; /* unit_t * */
    int tries;
    apr_interval_time_t deadline;
    apr_pool_t *p;
} run_t;

/* ---- which searches go together ---- */

static unit_t *new_unit(run_t *r, const char *like, int single)
{
    unit_t *unit = apr_pcalloc(r->p, sizeof(*unit));

    unit->like = like;
    unit->single = single;
    unit->searches = apr_array_make(r->p, 4, sizeof(search_t *));
    APR_ARRAY_PUSH(r->open, unit_t *) = unit;
    return unit;
}

static const char *likeness(const search_t *s, apr_pool_t *p)
{
    const char *text = s->find->table, *column;
    json_t *value;

    json_object_foreach((json_t *)s->key, column, value) {
        text = apr_pstrcat(p, text, "\n", column, NULL);
    }
    return apr_pstrcat(p, text, "\n", cs_json_print(s->find->where, p), NULL);
}

static void add_search(run_t *r, search_t *s)
{
    const char *like = likeness(s, r->p);
    unit_t *unit = NULL;
    int i;

    for (i = r->open->nelts; i-- > 0;) {
        unit = APR_ARRAY_IDX(r->open, i, unit_t *);
        if (!unit->single && unit->searches->nelts < MOST_IN_ONE && !strcmp(unit->like, like)) {
            break;
        }
    }
    unit = i >= 0 ? unit : new_unit(r, like, 0);
    APR_ARRAY_PUSH(unit->searches, search_t *) = s;
}

static void each_alone(run_t *r, const unit_t *unit)
{
    int i;

    for (i = 0; i < unit->searches->nelts; i++) {
        search_t *s = APR_ARRAY_IDX(unit->searches, i, search_t *);

        if (!s->done && !s->find->found) {
            APR_ARRAY_PUSH(new_unit(r, unit->like, 1)->searches, search_t *) = s;
        }
    }
}

/* The next key set that is not empty; marks the search as done when there is none. */
static void next_key(run_t *r, search_t *s)
{
    cs_crm_find_t *find = s->find;

    s->condition = NULL;
    while (!s->condition && s->next < json_array_size(find->keys)) {
        s->key = json_array_get(find->keys, s->next++);
        if (cs_sf_key(&s->condition, s->key, r->p, &find->result) != APR_SUCCESS) {
            s->done = 1;
            return;
        }
    }
    if (s->condition) {
        add_search(r, s);
    }
    s->done = !s->condition;
}

/* ---- asking ---- */

static const char *field_of(const char *column, apr_pool_t *p)
{
    const char *slash = strchr(column, '/');

    return slash ? apr_pstrcat(p, cs_sf_relation(apr_pstrmemdup(p, column, slash - column), p), ".",
                               slash + 1, NULL)
                 : column;
}

static const char *select_of(const run_t *r, const search_t *s)
{
    const char *table = s->find->table, *text = "Id", *column;
    json_t *value;

    if (!cs_sf_is_hidden(r->crm, table, NAME)) {
        text = apr_pstrcat(r->p, text, "," NAME, NULL);
    }
    json_object_foreach((json_t *)s->key, column, value) {
        if (strcmp(column, NAME) && strcmp(column, "Id")) {
            text = apr_pstrcat(r->p, text, ",", field_of(column, r->p), NULL);
        }
    }
    return text;
}

static const char *conditions_of(const unit_t *unit, apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, unit->searches->nelts, sizeof(const char *));
    int i, n = unit->searches->nelts;

    for (i = 0; i < n; i++) {
        const search_t *s = APR_ARRAY_IDX(unit->searches, i, search_t *);

        APR_ARRAY_PUSH(all, const char *) =
            apr_pstrcat(p, i ? " OR (" : "(", s->condition, ")", NULL);
    }
    return n == 1 ? APR_ARRAY_IDX(unit->searches, 0, search_t *)->condition
                  : apr_pstrcat(p, "(", apr_array_pstrcat(p, all, 0), ")", NULL);
}

static void fail_unit(const unit_t *unit, const cs_result_t *why)
{
    int i;

    for (i = 0; i < unit->searches->nelts; i++) {
        search_t *s = APR_ARRAY_IDX(unit->searches, i, search_t *);

        s->find->result = *why;
        s->done = 1;
    }
}

/* 0 = nothing is asked: said in the results, or asked in another way. */
static int ask(run_t *r, unit_t *unit, cs_sf_call_t *call)
{
    const search_t *first = APR_ARRAY_IDX(unit->searches, 0, search_t *);
    const char *text, *table = first->find->table;
    int n = unit->searches->nelts;
    cs_result_t why = {0};

    if (cs_sf_where(&text, conditions_of(unit, r->p), first->find->where, r->p, &why) ==
        APR_SUCCESS) {
        text = apr_pstrcat(r->p, "SELECT ", select_of(r, first), " FROM ", table, " WHERE ", text,
                           n == 1 ? " LIMIT " APR_STRINGIFY(MAX_CANDIDATES) : "", NULL);
        cs_sf_query(call, text, apr_psprintf(r->p, "find %d of %s", n, table), r->p, &why);
    }
    if (why.cls == CS_CLASS_OK) {
        call->item = unit;
        return 1;
    }
    if (why.rv == CS_ELIMIT && n > 1) {
        each_alone(r, unit);
    }
    else {
        fail_unit(unit, &why);
    }
    return 0;
}

/* ---- whose row it is ---- */

static int is_ascii(const char *text)
{
    for (; *text; text++) {
        if (!apr_isascii(*text)) {
            return 0;
        }
    }
    return 1;
}

/* As the CRM compares, as far as we know how: letters beyond ASCII are its own business, and a row
 * that nobody's key seems to have makes each be asked for by itself. */
static int text_matches(const char *key, const char *is, apr_pool_t *p)
{
    key = cs_text_trimmed(key, p);
    is = cs_text_trimmed(is, p);
    return !strcmp(key, is) || (is_ascii(key) && is_ascii(is) && !strcasecmp(key, is));
}

static int value_matches(const json_t *key, const json_t *is, apr_pool_t *p)
{
    const json_t *ref = cs_json_get(key, "$ref");
    const char *number = cs_json_str(key, "$number"), *id, *text = json_string_value(is);

    if (number) {
        return json_is_number(is) && strtod(number, NULL) == json_number_value(is);
    }
    if (json_is_object(key)) {
        id = cs_sf_id(cs_json_str(ref ? ref : key, "id"), p);
        text = cs_sf_id(text, p);
        return id && text && !strcmp(id, text);
    }
    if (json_is_string(key)) {
        return text && text_matches(json_string_value(key), text, p);
    }
    if (json_is_number(key)) {
        return json_is_number(is) && json_number_value(key) == json_number_value(is);
    }
    return json_equal((json_t *)key, (json_t *)is);
}

static const json_t *value_at(const json_t *row, const char *column, apr_pool_t *p)
{
    const char *slash = strchr(column, '/');

    if (!slash) {
        return cs_json_get(row, column);
    }
    return cs_json_get(
        cs_json_get(row, cs_sf_relation(apr_pstrmemdup(p, column, slash - column), p)), slash + 1);
}

static int row_matches(const search_t *s, const json_t *row, apr_pool_t *p)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)s->key, column, value) {
        if (!value_matches(value, value_at(row, column, p), p)) {
            return 0;
        }
    }
    return 1;
}

/* ---- taking ---- */

static int add_candidate(search_t *s, const json_t *row, apr_pool_t *p)
{
    const char *id = cs_sf_id(cs_json_str(row, "Id"), p), *name = cs_json_str(row, NAME);
    cs_crm_find_t *find = s->find;

    if (!id) {
        return 0;
    }
    find->candidates = find->candidates ? find->candidates : cs_json_own(json_array(), p);
    if (json_array_size(find->candidates) < MAX_CANDIDATES) {
        json_array_append_new(find->candidates,
                              json_pack("{s:s, s:s}", "id", id, "name", name ? name : ""));
    }
    return 1;
}

/* 1 = every row is somebody's. */
static int deal_out(const unit_t *unit, const json_t *rows, apr_pool_t *p)
{
    size_t i;
    int j, taken;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);

        for (j = 0, taken = 0; j < unit->searches->nelts; j++) {
            search_t *s = APR_ARRAY_IDX(unit->searches, j, search_t *);

            if (unit->searches->nelts == 1 || row_matches(s, row, p)) {
                taken |= add_candidate(s, row, p);
            }
        }
        if (!taken) {
            return 0;
        }
    }
    return 1;
}

static void conclude(search_t *s, apr_pool_t *p)
{
    cs_crm_find_t *find = s->find;
    size_t n = json_array_size(find->candidates);

    find->found = n > 1 ? 2 : (int)n;
    if (n == 1) {
        find->id = apr_pstrdup(p, cs_json_str(json_array_get(find->candidates, 0), "id"));
    }
    if (n < 2) {
        find->candidates = NULL;
    }
    s->done = n > 0;
}

static void forget_candidates(const unit_t *unit)
{
    int i;

    for (i = 0; i < unit->searches->nelts; i++) {
        APR_ARRAY_IDX(unit->searches, i, search_t *)->find->candidates = NULL;
    }
}

static void account(const unit_t *unit, const cs_sf_call_t *call)
{
    int i;

    APR_ARRAY_IDX(unit->searches, 0, search_t *)->find->calls += call->calls;
    for (i = 0; i < unit->searches->nelts; i++) {
        cs_crm_find_t *find = APR_ARRAY_IDX(unit->searches, i, search_t *)->find;

        find->took += call->took;
        find->correlation = call->correlation ? call->correlation : find->correlation;
    }
}

static void take_unit(run_t *r, unit_t *unit, cs_sf_call_t *call)
{
    const char *table = APR_ARRAY_IDX(unit->searches, 0, search_t *)->find->table, *next;
    const json_t *rows;
    int i;

    account(unit, call);
    if (call->result.cls != CS_CLASS_OK && r->tries < MOST_TRIES &&
        cs_sf_hide(r->crm, table, &call->result)) {
        r->tries++;
        APR_ARRAY_PUSH(r->open, unit_t *) = unit;
        return;
    }
    if (call->result.cls == CS_CLASS_REFUSED && call->status == 400 && unit->searches->nelts > 1) {
        /* By one value, or for how many they are: the others are none the worse. */
        each_alone(r, unit);
        return;
    }
    rows = call->result.cls == CS_CLASS_OK ? cs_sf_rows(call, &next, r->p) : NULL;
    if (!rows) {
        fail_unit(unit, &call->result);
        return;
    }
    if (next || !deal_out(unit, rows, r->p)) {
        forget_candidates(unit);
        if (unit->searches->nelts > 1) {
            each_alone(r, unit);
            return;
        }
        cs_sf_unreadable(call, "it holds what is no row", r->p);
        fail_unit(unit, &call->result);
        return;
    }
    for (i = 0; i < unit->searches->nelts; i++) {
        search_t *s = APR_ARRAY_IDX(unit->searches, i, search_t *);

        conclude(s, r->p);
        if (!s->done) {
            next_key(r, s);
        }
    }
}

static apr_status_t round_of(run_t *r)
{
    apr_array_header_t *units = r->open;
    cs_sf_call_t *calls = apr_pcalloc(r->p, sizeof(*calls) * (apr_size_t)(units->nelts + 1));
    apr_status_t rv;
    int i, n = 0;

    r->open = apr_array_make(r->p, 4, sizeof(unit_t *));
    for (i = 0; i < units->nelts; i++) {
        n += ask(r, APR_ARRAY_IDX(units, i, unit_t *), &calls[n]);
    }
    rv = cs_sf_send_together(r->crm, calls, NULL, n, r->deadline, r->p);
    for (i = 0; i < n; i++) {
        take_unit(r, calls[i].item, &calls[i]);
    }
    return rv;
}

static void begin(run_t *r, search_t *s, cs_crm_find_t *find)
{
    s->find = find;
    find->found = 0;
    find->id = NULL;
    find->candidates = NULL;
    find->calls = 0;
    find->took = 0;
    find->correlation = NULL;
    cs_result_clear(&find->result);
    if (!cs_sf_name_valid(find->table)) {
        cs_result_set(&find->result, r->p, CS_EPARSE, CS_CLASS_SUSPEND, "config:table",
                      "\"%.128s\" is not the name of a table", find->table ? find->table : "");
        s->done = 1;
        return;
    }
    next_key(r, s);
}

apr_status_t cs_sf_find(cs_crm_t *crm, cs_crm_find_t *finds, int n, apr_interval_time_t deadline,
                        apr_pool_t *p)
{
    search_t *searches = apr_pcalloc(p, sizeof(*searches) * (apr_size_t)(n + 1));
    run_t r = {.crm = crm, .deadline = deadline, .p = p};
    apr_status_t rv = APR_SUCCESS;
    int i;

    r.open = apr_array_make(p, 8, sizeof(unit_t *));
    for (i = 0; i < n; i++) {
        begin(&r, &searches[i], &finds[i]);
    }
    while (r.open->nelts && rv == APR_SUCCESS) {
        rv = round_of(&r);
    }
    return rv;
}
