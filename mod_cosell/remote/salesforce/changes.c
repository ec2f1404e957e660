/* remote/salesforce/changes.c: what changed in a table since a cursor: lists of updated and deleted
 * rows, or the rows by their time of modification where the CRM keeps no such lists. (crm-apis.md
 * B6, B7)
 *
 * A beginning reads all rows, or those modified since a time, ordered by that time. Afterwards the
 * lists are asked for from the date that the last ones covered, which long transactions of anybody
 * may hold back for hours: what is shown twice has the version that it had. All times are the
 * CRM's; what it is there now follows from how far its clock was ahead of ours at the last answer.
 *
 * changes_scan.c reads rows by their time, changes_list.c the lists, changes_cursor.c a cursor.
 */
#include "changes_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "../../base/crypto.h"
#include "../../base/json.h"
#include "../../base/time.h"

/* An administrator may have changed meanwhile what is listed. */
#define ASK_EVERY apr_time_from_sec(86400)

/* ---- calls ---- */

void cs_sf_changes_count(cs_sf_step_t *s, const cs_sf_call_t *calls, int n)
{
    cs_crm_changes_t *changes = s->changes;
    int i;

    for (i = 0; i < n; i++) {
        changes->calls += calls[i].calls;
        changes->took += calls[i].took;
        changes->correlation = calls[i].correlation ? calls[i].correlation : changes->correlation;
        if (calls[i].status && calls[i].date) {
            s->at.ahead = calls[i].date - cs_time_now();
        }
    }
}

apr_status_t cs_sf_changes_give_up(cs_sf_step_t *s, const cs_sf_call_t *call, apr_status_t rv)
{
    s->changes->result = call->result;
    s->changes->rows->nelts = 0;
    s->changes->next = NULL;
    s->changes->more = 0;
    return rv;
}

int cs_sf_is_refused(const cs_sf_call_t *call)
{
    return call->result.cls != CS_CLASS_OK && !cs_sf_is_passing(call);
}

int cs_sf_has_code(const cs_sf_call_t *call, const char *code)
{
    return call->result.cls != CS_CLASS_OK &&
           !strcmp(cs_sf_error_code(cs_sf_error(call->json)), code);
}

const char *cs_sf_second(apr_time_t at, const char *zone, apr_pool_t *p)
{
    return apr_pstrcat(p, apr_pstrndup(p, cs_time_format(at, p), 19), zone, NULL);
}

apr_time_t cs_sf_instant_of(const json_t *row, const char *name, apr_pool_t *p)
{
    const char *text = cs_sf_instant(cs_json_str(row, name), p);
    apr_time_t at;

    return text && cs_time_parse(&at, text) == APR_SUCCESS && at > 0 ? at : 0;
}

/* ---- one page ---- */

static apr_status_t next_page(cs_sf_step_t *s)
{
    apr_interval_time_t since;

    if (!s->changes->cursor) {
        return cs_sf_begin(s);
    }
    if (!cs_sf_cursor_read(s)) {
        return cs_sf_begin_again(s, "the cursor is of another query");
    }
    if (s->at.scan) {
        return cs_sf_scan_page(s);
    }
    since = cs_time_now() - s->at.asked;
    if ((s->at.polled || s->at.lasting) && (since >= ASK_EVERY || since < 0)) {
        s->at.polled = s->at.lasting = 0;
    }
    return s->at.polled ? cs_sf_poll_table(s) : cs_sf_list_page(s);
}

static int make_fields(cs_sf_step_t *s)
{
    cs_result_t *res = &s->changes->result;

    if (!cs_sf_name_valid(s->changes->table)) {
        cs_result_set(res, s->p, CS_EPARSE, CS_CLASS_SUSPEND, "config:table",
                      "\"%.128s\" is no name of a table",
                      s->changes->table ? s->changes->table : "");
        return 0;
    }
    s->fields = apr_array_make(s->p, 16, sizeof(const char *));
    if (cs_sf_fields(s->fields, s->changes->table, s->changes->columns, s->p, res) != APR_SUCCESS) {
        return 0;
    }
    s->digest = apr_array_pstrcat(s->p, s->fields, ',');
    s->digest = apr_pstrndup(s->p, cs_sha256_hex(s->digest, strlen(s->digest), s->p), 16);
    return 1;
}

apr_status_t cs_sf_changes(cs_crm_t *crm, cs_crm_changes_t *changes, apr_interval_time_t deadline,
                           apr_pool_t *p)
{
    cs_sf_step_t s = {.crm = crm, .changes = changes, .deadline = deadline, .p = p};

    changes->rows = apr_array_make(p, 16, sizeof(cs_crm_changed_t));
    changes->next = NULL;
    changes->more = changes->beginning = changes->calls = 0;
    changes->took = 0;
    changes->correlation = NULL;
    cs_result_clear(&changes->result);
    return make_fields(&s) ? next_page(&s) : APR_SUCCESS;
}
