/* problems, dead list: what stands in the way, of how many, and what was given up. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/json.h"

/* "why; what to do" */
static const char *with_todo(const ctl_t *c, const json_t *row, const char *text)
{
    const char *todo = cs_json_str(row, "todo");

    return !todo ? text : apr_pstrcat(c->p, text ? text : "", text ? "; " : "", todo, NULL);
}

int ctl_run_problems(ctl_t *c)
{
    static const char *const heads[] = {"DEALS", "SINCE (UTC)", "", "PROBLEM", "KEY", NULL};
    ctl_answer_t answer;
    apr_array_header_t *sites;
    int rc = ctl_get(c, "problems", &answer, c->p), i;
    size_t n;

    if (rc || c->json) {
        return rc ? rc : ctl_print_sites(c, &answer);
    }
    sites = ctl_sites(c, answer.doc, c->p);
    for (i = 0; i < sites->nelts; i++) {
        const json_t *site = APR_ARRAY_IDX(sites, i, json_t *);
        ctl_table_t *table = ctl_table_make(heads, c->p);
        json_t *cause;

        if (sites->nelts > 1) {
            ctl_out("site %s\n", ctl_clean(cs_json_str(site, "site"), c->p));
        }
        json_array_foreach(cs_json_get(site, "causes"), n, cause) {
            ctl_table_row(table,
                          apr_psprintf(c->p, "%" APR_INT64_T_FMT, cs_json_int(cause, "deals", 0)),
                          ctl_when(cs_json_get(cause, "since"), c->p),
                          cs_json_bool(cause, "dead", 0) ? "dead" : "",
                          with_todo(c, cause, cs_json_str(cause, "text")),
                          cs_json_str(cause, "cause"));
        }
        if (!json_array_size(cs_json_get(site, "causes"))) {
            ctl_note("nothing stands in the way");
        }
        ctl_out("%s", ctl_table_text(table, c->tty ? c->width : 0, c->p));
    }
    return sites->nelts ? CTL_DONE : CTL_NOT_FOUND;
}

static void print_dead(ctl_t *c, const json_t *dead)
{
    static const char *const heads[] = {"NAME", "TRIES", "SINCE (UTC)", "PROBLEM", "WHY", NULL};
    ctl_table_t *table = ctl_table_make(heads, c->p);
    json_t *work;
    size_t i;

    json_array_foreach((json_t *)dead, i, work) {
        ctl_table_row(table, cs_json_str(work, "name"),
                      apr_psprintf(c->p, "%" APR_INT64_T_FMT, cs_json_int(work, "attempts", 0)),
                      ctl_when(cs_json_get(work, "first"), c->p), cs_json_str(work, "problem"),
                      with_todo(c, work, cs_json_str(work, "detail")));
    }
    ctl_out("%s", ctl_table_text(table, c->tty ? c->width : 0, c->p));
}

/* Pages until there are `max`, each after the last name of the one before. */
static int gather(ctl_t *c, json_t *site, const char *query, int max)
{
    json_t *dead = cs_json_get(site, "dead"), *other;
    const char *next;
    ctl_answer_t answer;
    size_t i;
    int rc;

    while ((next = cs_json_str(site, "next")) != NULL && (int)json_array_size(dead) < max) {
        rc = ctl_get(c, apr_pstrcat(c->p, query, ctl_parameter("&", "after", next, c->p), NULL),
                     &answer, c->p);
        if (rc) {
            return rc;
        }
        json_object_set_new(site, "next", json_null());
        json_array_foreach(cs_json_get(answer.doc, "sites"), i, other) {
            if (json_equal(cs_json_get(site, "site"), cs_json_get(other, "site"))) {
                json_array_extend(dead, cs_json_get(other, "dead"));
                json_object_set(site, "next", cs_json_get(other, "next"));
            }
        }
    }
    while ((int)json_array_size(dead) > max) {
        json_array_remove(dead, json_array_size(dead) - 1);
    }
    return CTL_DONE;
}

int ctl_run_dead_list(ctl_t *c)
{
    const char *cause = ctl_opt(c, "cause"), *text = ctl_opt(c, "max");
    const char *query = cause ? ctl_parameter("dead=&", "cause", cause, c->p) : "dead=";
    int max = text ? atoi(text) : 50, rc, i, n = 0;
    apr_array_header_t *sites;
    ctl_answer_t answer;

    if (max < 1 || (text && (strlen(text) > 6 || strspn(text, "0123456789") != strlen(text)))) {
        ctl_error("--max %s: allowed is 1 to 999999", ctl_clean(text, c->p));
        return CTL_USAGE;
    }
    rc = ctl_get(c, query, &answer, c->p);
    if (rc) {
        return rc;
    }
    sites = ctl_sites(c, answer.doc, c->p);
    for (i = 0; !rc && i < sites->nelts; i++) {
        json_t *site = APR_ARRAY_IDX(sites, i, json_t *);

        rc = gather(c, site, query, max);
        n += (int)json_array_size(cs_json_get(site, "dead"));
        if (!rc && !c->json) {
            print_dead(c, cs_json_get(site, "dead"));
        }
    }
    if (!rc && c->json && sites->nelts) {
        ctl_out("%s\n", cs_json_pretty(answer.doc, c->p));
    }
    else if (!rc && !n && sites->nelts) {
        ctl_note("nothing is dead");
    }
    return rc ? rc : sites->nelts ? CTL_DONE : CTL_NOT_FOUND;
}
