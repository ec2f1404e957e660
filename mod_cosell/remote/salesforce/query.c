/* Queries for rows: which of them go together, and what they ask for. (crm-apis.md B6) */
#include "rows.h"

#include <apr_strings.h>
#include <string.h>

cs_sf_query_t *cs_sf_new_query(cs_sf_run_t *r, const cs_related_t *list, const char *table,
                               const char *key)
{
    cs_sf_query_t *q = apr_pcalloc(r->p, sizeof(*q));

    q->list = list;
    q->table = table;
    q->key = key;
    q->items = apr_array_make(r->p, 8, sizeof(cs_sf_item_t *));
    APR_ARRAY_PUSH(r->open, cs_sf_query_t *) = q;
    return q;
}

static int same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static int same_columns(const apr_array_header_t *a, const apr_array_header_t *b)
{
    int i;

    if (a == b || !a || !b || a->nelts != b->nelts) {
        return a == b;
    }
    for (i = 0; i < a->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(a, i, const char *), APR_ARRAY_IDX(b, i, const char *))) {
            return 0;
        }
    }
    return 1;
}

int cs_sf_same_list(const cs_related_t *a, const cs_related_t *b)
{
    return a == b ||
           (a && b && same(a->list, b->list) && same(a->table, b->table) &&
            same(a->parent, b->parent) && same_columns(a->columns, b->columns) &&
            (a->where == b->where || (a->where && b->where && json_equal(a->where, b->where))));
}

/* The query that takes one more of these, else a new one. */
void cs_sf_add_item(cs_sf_run_t *r, cs_sf_item_t *item, const cs_related_t *list)
{
    const char *table = item->read->table;
    cs_sf_query_t *q = NULL;
    int i;

    for (i = r->open->nelts; i-- > 0;) {
        q = APR_ARRAY_IDX(r->open, i, cs_sf_query_t *);
        if (!q->next && q->items->nelts < CS_SF_MANY && same(q->table, table) &&
            same(q->key, item->key) && cs_sf_same_list(q->list, list)) {
            break;
        }
    }
    q = i >= 0 ? q : cs_sf_new_query(r, list, table, item->key);
    APR_ARRAY_PUSH(q->items, cs_sf_item_t *) = item;
}

/* "Opportunity__c", or "Opportunity__r.Referral_Identifier__c"; "Id", or the key column. */
static const char *condition_column(const cs_sf_query_t *q, apr_pool_t *p)
{
    const char *relation;

    if (!q->list) {
        return q->key ? q->key : "Id";
    }
    if (!q->key) {
        return q->list->parent;
    }
    relation = cs_sf_relation(q->list->parent, p);
    return relation ? apr_pstrcat(p, relation, ".", q->key, NULL) : NULL;
}

static const char *values_of(const cs_sf_query_t *q, apr_pool_t *p)
{
    apr_array_header_t *values = apr_array_make(p, q->items->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < q->items->nelts; i++) {
        const cs_sf_item_t *item = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *);

        APR_ARRAY_PUSH(values, const char *) = cs_sf_quote(q->key ? item->value : item->id, p);
    }
    return apr_array_pstrcat(p, values, ',');
}

static const char *visible(const cs_sf_run_t *r, const char *table,
                           const apr_array_header_t *fields)
{
    apr_array_header_t *out = apr_array_make(r->p, fields->nelts, sizeof(const char *));
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const char *field = APR_ARRAY_IDX(fields, i, const char *);

        if (!cs_sf_is_hidden(r->crm, table, field)) {
            APR_ARRAY_PUSH(out, const char *) = field;
        }
    }
    return apr_array_pstrcat(r->p, out, ',');
}

/* The fields that any of its records asks for. */
static apr_status_t fields_of(const cs_sf_run_t *r, const cs_sf_query_t *q, const char **pfields,
                              cs_result_t *res)
{
    apr_array_header_t *fields = apr_array_make(r->p, 32, sizeof(const char *));
    const char *table = q->list ? q->list->table : q->table;
    const apr_array_header_t *last = NULL;
    apr_status_t rv;
    int i;

    rv = cs_sf_fields(fields, table, q->list ? q->list->columns : NULL, r->p, res);
    for (i = 0; rv == APR_SUCCESS && !q->list && i < q->items->nelts; i++) {
        const cs_crm_read_t *read = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *)->read;

        if (read->columns && read->columns != last) {
            last = read->columns;
            rv = cs_sf_fields(fields, table, last, r->p, res);
        }
    }
    if (q->list || q->key) {
        const char *more = q->list ? q->list->parent : q->key;

        for (i = 0; i < fields->nelts && strcmp(APR_ARRAY_IDX(fields, i, const char *), more); i++)
            ;
        if (i == fields->nelts) {
            APR_ARRAY_PUSH(fields, const char *) = more;
        }
    }
    *pfields = visible(r, table, fields);
    return rv;
}

const char *cs_sf_label_of(const cs_sf_query_t *q, apr_pool_t *p)
{
    const cs_sf_item_t *first = APR_ARRAY_IDX(q->items, 0, cs_sf_item_t *);
    const char *id = first->id ? first->id : first->value;
    int n = q->items->nelts;

    return apr_psprintf(p, n > 1 ? "GET %s%s %s and %d more" : "GET %s%s %s",
                        q->list ? "list of " : "", q->table, id, n - 1);
}

apr_status_t cs_sf_make_query(const cs_sf_run_t *r, const cs_sf_query_t *q, cs_sf_call_t *call,
                              cs_result_t *res)
{
    const char *fields, *column = condition_column(q, r->p), *text;
    apr_status_t rv;

    if (!column) {
        return cs_result_set(res, r->p, CS_EPARSE, CS_CLASS_SUSPEND, "config:column",
                             "column \"%.128s\" is not the name of a look-up", q->list->parent);
    }
    rv = fields_of(r, q, &fields, res);
    if (rv == APR_SUCCESS) {
        text = apr_pstrcat(r->p, column, " IN (", values_of(q, r->p), ")", NULL);
        rv = cs_sf_where(&text, text, q->list ? q->list->where : NULL, r->p, res);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    text = apr_pstrcat(r->p, "SELECT ", fields, " FROM ", q->list ? q->list->table : q->table,
                       " WHERE ", text, q->list ? " ORDER BY Id" : "", NULL);
    return cs_sf_query(call, text, cs_sf_label_of(q, r->p), r->p, res);
}

/* Too long for one address: in halves. */
int cs_sf_halve(cs_sf_run_t *r, const cs_sf_query_t *q)
{
    cs_sf_query_t *half;
    int i, n = q->items->nelts;

    if (n < 2) {
        return 0;
    }
    for (i = 0, half = NULL; i < n; i++) {
        if (i == 0 || i == n / 2) {
            half = cs_sf_new_query(r, q->list, q->table, q->key);
        }
        APR_ARRAY_PUSH(half->items, cs_sf_item_t *) = APR_ARRAY_IDX(q->items, i, cs_sf_item_t *);
    }
    return 1;
}
