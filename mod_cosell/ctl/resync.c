/* resync: looks at many deals again; with --dry-run a diff of each instead of a write. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static const char *way_of(const json_t *change)
{
    const char *direction = cs_json_str(change, "direction");

    return !direction                     ? ""
           : !strcmp(direction, "to_pc")  ? " at Partner Center"
           : !strcmp(direction, "to_crm") ? " in the CRM"
                                          : "";
}

/* What is no line of the mapping. */
static const char *line_said(const char *line)
{
    return !line                      ? ""
           : !strcmp(line, "$record") ? "the record itself"
           : !strcmp(line, "$tell")   ? "what the seller reads"
                                      : line;
}

static void print_value(ctl_t *c, char color, const char *sign, const json_t *value)
{
    if (value) {
        ctl_out("    %s\n",
                ctl_paint(c, color, apr_pstrcat(c->p, sign, ctl_value(value, c->p), NULL), c->p));
    }
}

/* - the old value, + the new one. */
static void print_change(ctl_t *c, const json_t *change)
{
    const char *why = cs_json_str(change, "why");

    ctl_out("  %s%s%s%s%s\n", ctl_clean(line_said(cs_json_str(change, "line")), c->p),
            way_of(change), why ? "  (" : "", ctl_clean(why, c->p), why ? ")" : "");
    print_value(c, 'r', "- ", cs_json_get(change, "from"));
    print_value(c, 'g', "+ ", cs_json_get(change, "to"));
}

static void print_row(ctl_t *c, const json_t *outer)
{
    const json_t *row = cs_json_get(outer, "row");
    const char *title, *error, *referral;
    apr_int64_t deal;
    json_t *change;
    size_t i;

    row = json_is_object(row) ? row : outer;
    title = cs_json_str(row, "title");
    error = cs_json_str(row, "error");
    referral = cs_json_str(row, "referral");
    deal = cs_json_int(row, "deal", cs_json_int(outer, "deal", 0));
    ctl_out("%s\n", ctl_paint(c, 'b',
                              apr_psprintf(c->p, "deal %" APR_INT64_T_FMT "  %s  %s", deal,
                                           title ? ctl_clean(title, c->p) : "-",
                                           referral ? ctl_clean(referral, c->p) : ""),
                              c->p));
    if (error) {
        ctl_out("  %s\n", ctl_paint(c, 'r', ctl_clean(error, c->p), c->p));
    }
    json_array_foreach(cs_json_get(row, "changes"), i, change) {
        print_change(c, change);
    }
}

/* The sum, and how often which line would be written. */
static void print_sum(ctl_t *c, const json_t *result)
{
    const char *name, *out = "";
    json_t *n;

    ctl_out("%s\n", ctl_clean(cs_json_str(result, "text"), c->p));
    json_object_foreach(cs_json_get(result, "lines"), name, n) {
        out = apr_psprintf(c->p, "%s%s%s %" APR_INT64_T_FMT, out, *out ? ", " : "",
                           ctl_clean(line_said(name), c->p), (apr_int64_t)json_integer_value(n));
    }
    if (*out) {
        ctl_out("lines: %s\n", out);
    }
}

int ctl_run_resync(ctl_t *c)
{
    const char *id = ctl_opt(c, "id"), *since = ctl_opt(c, "since");
    int all = ctl_opt(c, "all") != NULL, rc;
    json_t *wish = ctl_wish(c, "resync"), *row;
    const json_t *result;
    ctl_job_t job;
    size_t i;

    if ((id != NULL) + (since != NULL) + all != 1) {
        ctl_error("resync: say which: --all, --id ID, or --since WHEN; with --dry-run nothing is "
                  "written");
        return CTL_USAGE;
    }
    ctl_wish_text(wish, "id", id);
    ctl_wish_text(wish, "since", since);
    if (all) {
        json_object_set_new(wish, "all", json_true());
    }
    if (ctl_opt(c, "dry-run")) {
        json_object_set_new(wish, "dry_run", json_true());
    }
    rc = ctl_job_run(c, wish, 0, &job);
    result = cs_json_get(job.job, "result");
    if (c->json || !job.job) {
        return rc;
    }
    json_array_foreach(job.rows, i, row) {
        print_row(c, row);
    }
    if (!rc) {
        print_sum(c, result);
    }
    return rc;
}
