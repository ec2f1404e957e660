/* Rows that were merged into others. (crm-apis.md B6) */
#include "rows.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"

static int can_be_merged(const cs_crm_read_t *read)
{
    return !read->key && read->result.cls == CS_CLASS_GONE &&
           (!strcmp(read->table, "Account") || !strcmp(read->table, "Contact") ||
            !strcmp(read->table, "Lead"));
}

/* "SELECT Id,MasterRecordId FROM Lead WHERE IsDeleted = true AND Id IN (...)" of deleted rows. */
static void ask_masters(cs_sf_call_t *call, const char *table, const apr_array_header_t *ids,
                        apr_pool_t *p)
{
    const char *soql = apr_pstrcat(p, "SELECT Id,MasterRecordId FROM ", table,
                                   " WHERE IsDeleted = true AND Id IN (",
                                   apr_array_pstrcat(p, ids, ','), ")", NULL);

    memset(call, 0, sizeof(*call));
    call->kind = CS_SF_READ;
    call->method = "GET";
    call->path = apr_pstrcat(p, "queryAll?q=", cs_http_escape(soql, p), NULL);
    call->label = apr_psprintf(p, "GET what became of %d rows of %s", ids->nelts, table);
    call->query = 1;
}

static const char *master_in(const cs_sf_call_t *call, const char *id, apr_pool_t *p)
{
    const json_t *rows = cs_json_get(call->json, "records");
    size_t i;

    for (i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *is = cs_sf_id(cs_json_str(row, "Id"), p);

        if (is && !strcmp(is, id)) {
            return cs_sf_id(cs_json_str(row, "MasterRecordId"), p);
        }
    }
    return NULL;
}

/* 1 = it was answered, or never will be: the user may not see what became of rows. */
static int is_known(const cs_result_t *res)
{
    return res->cls == CS_CLASS_OK || res->cls == CS_CLASS_REFUSED ||
           (res->problem && (!strcmp(res->problem, "config:column") ||
                             !strcmp(res->problem, "config:table")));
}

/* Which of the rows that are gone were merged into others: masters[i], NULL = not. */
static int find_masters(cs_crm_t *crm, cs_crm_read_t *reads, int n, const char **masters,
                        apr_interval_time_t deadline, apr_pool_t *p)
{
    static const char *const tables[] = {"Account", "Contact", "Lead"};
    cs_sf_call_t calls[3];
    const char *names[3] = {NULL, NULL, NULL};
    int t, i, m = 0, found = 0;

    for (t = 0; t < 3; t++) {
        apr_array_header_t *ids = apr_array_make(p, 4, sizeof(const char *));

        for (i = 0; i < n && ids->nelts < CS_SF_MANY; i++) {
            if (can_be_merged(&reads[i]) && !strcmp(reads[i].table, tables[t])) {
                APR_ARRAY_PUSH(ids, const char *) = cs_sf_quote(cs_sf_id(reads[i].id, p), p);
            }
        }
        if (ids->nelts) {
            names[m] = tables[t];
            ask_masters(&calls[m++], tables[t], ids, p);
        }
    }
    cs_sf_send_together(crm, calls, NULL, m, deadline, p);
    for (t = 0; t < m; t++) {
        reads[0].calls += calls[t].calls;
        for (i = 0; i < n; i++) {
            if (!can_be_merged(&reads[i]) || strcmp(reads[i].table, names[t])) {
                continue;
            }
            if (!is_known(&calls[t].result)) {
                reads[i].result = calls[t].result;
            }
            else if (calls[t].result.cls == CS_CLASS_OK) {
                masters[i] = master_in(&calls[t], cs_sf_id(reads[i].id, p), p);
                found += masters[i] != NULL;
            }
        }
    }
    return found;
}

/* Reads the rows in which merged ones live on: the record has their id. */
static void read_masters(cs_crm_t *crm, cs_crm_read_t *reads, int n, const char **masters,
                         apr_interval_time_t deadline, apr_pool_t *p)
{
    cs_crm_read_t *again = apr_pcalloc(p, sizeof(*again) * (apr_size_t)(n + 1));
    int i, m = 0;

    for (i = 0; i < n; i++) {
        if (masters[i]) {
            again[m] = reads[i];
            again[m++].id = masters[i];
        }
    }
    cs_sf_read_all(crm, again, m, deadline, p);
    for (i = 0, m = 0; i < n; i++) {
        if (masters[i]) {
            reads[i].record = again[m].record;
            reads[i].result = again[m].result;
            reads[i].calls += again[m++].calls;
        }
    }
}

void cs_sf_follow_merges(cs_crm_t *crm, cs_crm_read_t *reads, int n, apr_interval_time_t deadline,
                         apr_pool_t *p)
{
    const char **masters = apr_pcalloc(p, sizeof(const char *) * (apr_size_t)(n + 1));
    int i, gone = 0;

    for (i = 0; i < n; i++) {
        gone += can_be_merged(&reads[i]);
    }
    if (gone && find_masters(crm, reads, n, masters, deadline, p)) {
        read_masters(crm, reads, n, masters, deadline, p);
    }
}
