/* domain/mapping_check.c: what only a whole record kind shows: directions its paths do not allow,
 * and targets that two would write. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mapping_internal.h"

/* Somebody who writes a target at an event. */
typedef struct writer_t {
    const char *target;
    int events;
    const char *who;
} writer_t;

static void claim(cs_load_t *l, apr_array_header_t *writers, const char *target, int events,
                  const char *who, const char *ptr)
{
    writer_t *writer;
    int i;

    for (i = 0; i < writers->nelts; i++) {
        writer_t *w = &APR_ARRAY_IDX(writers, i, writer_t);

        if ((w->events & events) && !strcmp(w->target, target)) {
            cs_load_error(
                l, ptr,
                "%s and %s would both write %s; allowed: one writer for each direction and event",
                w->who, who, target);
            return;
        }
    }
    writer = &APR_ARRAY_PUSH(writers, writer_t);
    writer->target = target;
    writer->events = events;
    writer->who = who;
}

static const char *line_name(cs_load_t *l, const cs_line_t *line)
{
    return apr_psprintf(l->p, "the line \"%s\"", line->name);
}

/* ---- directions ---- */

static int is_state(const char *path)
{
    return !strcmp(path, "/status") || !strcmp(path, "/substatus") ||
           !strcmp(path, "/statusReason");
}

static void check_to_pc(cs_load_t *l, const cs_line_t *line, const cs_pc_path_t *path)
{
    const char *fact = cs_referral_path_fact(path->bare);
    int updates = (line->to_pc.events & CS_ON_UPDATE) != 0;
    const char *instead =
        line->to_crm.on
            ? "write \"to_pc\": {\"events\": [\"create\"]}, or \"direction\": \"to_crm\""
            : "write \"events\": [\"create\"]";

    if (!fact) {
        return;
    }
    if (!strcmp(fact, "server")) {
        cs_load_error(
            l, line->pointer,
            "%s is set by Partner Center and cannot be written; write \"direction\": \"to_crm\"",
            path->text);
    }
    else if (is_state(path->bare)) {
        cs_load_error(l, line->pointer,
                      "%s follows the table \"hear\"; write \"direction\": \"to_crm\"", path->text);
    }
    else if (updates && !strcmp(fact, "latch")) {
        cs_load_error(l, line->pointer,
                      "%s can be set but never taken back, and latches are not supported by this "
                      "version; write \"direction\": \"to_crm\"",
                      path->text);
    }
    else if (updates && !strcmp(fact, "create")) {
        cs_load_error(l, line->pointer, "%s cannot change once the referral exists; %s", path->text,
                      instead);
    }
    else if (updates && !strcmp(fact, "unproven")) {
        cs_load_error(l, line->pointer,
                      "%s is not known to be changeable once the referral exists; %s", path->text,
                      instead);
    }
    else if (updates && path->selects) {
        cs_load_error(l, line->pointer, "%s is one item of a list and cannot be written alone; %s",
                      path->text, instead);
    }
    if (updates && !strcmp(fact, "patch-until-shared")) {
        cs_load_error(l, line->pointer,
                      "%s belongs to a list, and lists are not supported by this version; write "
                      "\"direction\": \"to_crm\"",
                      path->text);
    }
}

static int key_is_own_value(const cs_find_t *find)
{
    const apr_array_header_t *set;

    if (!find || find->by->nelts != 1) {
        return 0;
    }
    set = APR_ARRAY_IDX(find->by, 0, apr_array_header_t *);
    return set->nelts == 1 && !APR_ARRAY_IDX(set, 0, cs_find_part_t).path;
}

static int uses_own_value(const cs_find_t *find)
{
    int i, j;

    for (i = 0; find && i < find->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(find->by, i, apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            if (!APR_ARRAY_IDX(set, j, cs_find_part_t).path) {
                return 1;
            }
        }
    }
    return 0;
}

static void check_ends(cs_load_t *l, const cs_line_t *line)
{
    int computed = line->type == CS_TYPE_LOOKUP && !uses_own_value(line->find);

    if (line->to_crm.on && !line->crm) {
        cs_load_error(l, line->pointer, "\"crm\" is missing; allowed: the column to write");
    }
    if (line->to_pc.on && !line->pc) {
        cs_load_error(l, line->pointer, "\"pc\" is missing; allowed: the path to write%s",
                      line->type == CS_TYPE_LOOKUP ? ", or \"direction\": \"to_crm\"" : "");
    }
    if (line->to_crm.on && !line->pc && !line->to_crm.constant && !line->to_crm.dflt && !computed) {
        cs_load_error(l, line->pointer, "\"pc\" is missing; allowed: a path to read, or \"const\"");
    }
    if (line->to_pc.on && !line->crm && !line->to_pc.constant && !line->to_pc.dflt) {
        cs_load_error(l, line->pointer,
                      "\"crm\" is missing; allowed: a column to read, or \"const\"");
    }
    if (line->to_pc.on && line->type == CS_TYPE_LOOKUP && line->find &&
        !key_is_own_value(line->find)) {
        cs_load_error(l, line->pointer,
                      "a look-up travels to Partner Center only by one key that is the line's own "
                      "value (\".\"); write \"direction\": \"to_crm\"");
    }
}

static void check_to_crm(cs_load_t *l, const cs_mapping_kind_t *kind, const cs_line_t *line,
                         const cs_column_t *column)
{
    if (column->of) {
        cs_load_error(
            l, line->pointer,
            "%s is read through a look-up and cannot be written; write \"direction\": \"to_pc\"",
            column->text);
    }
    else if (!strcmp(column->name, kind->key_column)) {
        cs_load_error(
            l, line->pointer,
            "%s is the row's own id and cannot be written; write \"direction\": \"to_pc\"",
            column->text);
    }
    else if (!strcmp(column->name, l->facts->state_column)) {
        cs_load_error(l, line->pointer,
                      "%s follows the table \"show\" and cannot be written by a line",
                      column->text);
    }
}

static void check_line(cs_load_t *l, const cs_mapping_kind_t *kind, const cs_line_t *line,
                       apr_array_header_t *crm_writers, apr_array_header_t *pc_writers)
{
    const cs_column_t *columns[] = {line->crm, line->crm_currency};
    const cs_pc_path_t *paths[] = {line->pc, line->pc_currency};
    int i;

    check_ends(l, line);
    for (i = 0; i < 2; i++) {
        if (line->to_crm.on && columns[i]) {
            check_to_crm(l, kind, line, columns[i]);
            claim(l, crm_writers, columns[i]->text, line->to_crm.events, line_name(l, line),
                  line->pointer);
        }
        if (line->to_pc.on && paths[i]) {
            check_to_pc(l, line, paths[i]);
            claim(l, pc_writers, paths[i]->text, line->to_pc.events, line_name(l, line),
                  line->pointer);
        }
    }
}

static void claim_shown(cs_load_t *l, const cs_mapping_kind_t *kind, apr_array_header_t *writers,
                        const char *ptr)
{
    apr_array_header_t *seen = apr_array_make(l->p, 4, sizeof(const char *));
    int i, j, k;

    for (i = 0; i < kind->show->nelts; i++) {
        const cs_show_t *show = &APR_ARRAY_IDX(kind->show, i, cs_show_t);

        for (j = 0; !show->call && j < show->set->nelts; j++) {
            const char *column = APR_ARRAY_IDX(show->set, j, cs_set_t).column;

            for (k = 0; k < seen->nelts && strcmp(APR_ARRAY_IDX(seen, k, const char *), column);
                 k++) {
            }
            if (k == seen->nelts) {
                APR_ARRAY_PUSH(seen, const char *) = column;
                claim(l, writers, column, CS_ON_CREATE | CS_ON_UPDATE, "the table \"show\"",
                      apr_pstrcat(l->p, ptr, "/state/show", NULL));
            }
        }
    }
}

static void claim_told(cs_load_t *l, const cs_mapping_kind_t *kind, apr_array_header_t *writers,
                       const char *ptr)
{
    const cs_tell_t *tell = &kind->tell;
    const struct {
        const char *name, *column;
    } told[] = {{"id", tell->id},
                {"link", tell->link},
                {"status", tell->status},
                {"problem", tell->problem},
                {"audit", tell->audit}};
    size_t i;

    for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        if (told[i].column) {
            claim(l, writers, told[i].column, CS_ON_CREATE | CS_ON_UPDATE,
                  apr_psprintf(l->p, "\"%s\" of \"tell\"", told[i].name),
                  apr_psprintf(l->p, "%s/tell/%s", ptr, told[i].name));
        }
    }
}

void cs_load_check_kind(cs_load_t *l, const cs_mapping_kind_t *kind, const char *ptr)
{
    apr_array_header_t *crm = apr_array_make(l->p, 16, sizeof(writer_t));
    apr_array_header_t *pc = apr_array_make(l->p, 16, sizeof(writer_t));
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (!line->off && !line->broken) {
            check_line(l, kind, line, crm, pc);
        }
    }
    for (i = 0; i < kind->from_pc_set->nelts; i++) {
        claim(l, crm, APR_ARRAY_IDX(kind->from_pc_set, i, cs_set_t).column, CS_ON_CREATE,
              "\"set\" of \"from_pc\"", apr_pstrcat(l->p, ptr, "/from_pc/set", NULL));
    }
    claim_shown(l, kind, crm, ptr);
    claim_told(l, kind, crm, ptr);
}

/* ---- columns to read ---- */

typedef struct reads_t {
    apr_pool_t *p;
    apr_array_header_t *columns;
    apr_array_header_t *lookups;
} reads_t;

static void add_column(reads_t *r, const char *text)
{
    int i;

    for (i = 0; i < r->columns->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(r->columns, i, const char *), text)) {
            return;
        }
    }
    APR_ARRAY_PUSH(r->columns, const char *) = text;
}

static void add_lookup(reads_t *r, const char *column, const char *table)
{
    cs_mapping_lookup_t *lookup;
    int i;

    for (i = 0; i < r->lookups->nelts; i++) {
        lookup = &APR_ARRAY_IDX(r->lookups, i, cs_mapping_lookup_t);
        if (!strcmp(lookup->column, column)) {
            lookup->table = lookup->table ? lookup->table : table;
            return;
        }
    }
    lookup = &APR_ARRAY_PUSH(r->lookups, cs_mapping_lookup_t);
    lookup->column = column;
    lookup->table = table;
}

static void add_read(reads_t *r, const cs_column_t *column)
{
    if (column && column->text) {
        add_column(r, column->text);
        if (column->of) {
            add_lookup(r, column->name, NULL);
        }
    }
}

static void add_set(reads_t *r, const apr_array_header_t *set)
{
    int i;

    for (i = 0; i < set->nelts; i++) {
        add_column(r, APR_ARRAY_IDX(set, i, cs_set_t).column);
    }
}

static void add_cond(reads_t *r, const cs_cond_t *cond)
{
    int i;

    if (!cond) {
        return;
    }
    add_read(r, cond->crm);
    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        add_cond(r, APR_ARRAY_IDX(cond->items, i, const cs_cond_t *));
    }
}

/* A look-up is compared by its key, so the key comes along. */
static void add_found(reads_t *r, const cs_column_t *column, const cs_find_t *find)
{
    int i, j;

    add_lookup(r, column->name, find->table);
    add_column(r, column->name);
    for (i = 0; i < find->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(find->by, i, apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            add_column(r, apr_pstrcat(r->p, column->name, "/",
                                      APR_ARRAY_IDX(set, j, cs_find_part_t).column, NULL));
        }
    }
}

static void add_line(reads_t *r, const cs_line_t *line)
{
    int compared = (line->to_pc.on && (line->to_pc.events & CS_ON_UPDATE)) ||
                   (line->to_crm.on && (line->to_crm.events & CS_ON_UPDATE));

    add_read(r, line->crm);
    add_read(r, line->crm_currency);
    add_cond(r, line->when);
    add_cond(r, line->to_pc.when);
    add_cond(r, line->to_crm.when);
    if (line->type == CS_TYPE_MONEY && line->crm_currency && line->find) {
        add_found(r, line->crm_currency, line->find);
    }
    else if (line->type == CS_TYPE_LOOKUP && line->crm && line->find) {
        if (compared) {
            add_found(r, line->crm, line->find);
        }
        else {
            add_lookup(r, line->crm->name, line->find->table);
        }
    }
}

static void add_told(reads_t *r, const cs_tell_t *tell)
{
    const char *columns[] = {tell->id, tell->link, tell->status, tell->problem, tell->audit};
    size_t i;

    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (columns[i]) {
            add_column(r, columns[i]);
        }
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void cs_load_columns(cs_load_t *l, cs_mapping_kind_t *kind)
{
    reads_t r = {l->p, apr_array_make(l->p, 32, sizeof(const char *)),
                 apr_array_make(l->p, 4, sizeof(cs_mapping_lookup_t))};
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        if (!APR_ARRAY_IDX(kind->lines, i, cs_line_t *)->off) {
            add_line(&r, APR_ARRAY_IDX(kind->lines, i, cs_line_t *));
        }
    }
    add_cond(&r, kind->from_crm_when);
    add_set(&r, kind->from_pc_set);
    add_told(&r, &kind->tell);
    for (i = 0; i < kind->hear->nelts; i++) {
        add_read(&r, APR_ARRAY_IDX(kind->hear, i, cs_hear_t).reason);
    }
    for (i = 0; i < kind->show->nelts; i++) {
        if (!APR_ARRAY_IDX(kind->show, i, cs_show_t).call) {
            add_set(&r, APR_ARRAY_IDX(kind->show, i, cs_show_t).set);
        }
    }
    for (i = 0; i < kind->state_columns->nelts; i++) {
        add_column(&r, APR_ARRAY_IDX(kind->state_columns, i, const char *));
    }
    qsort(r.columns->elts, (size_t)r.columns->nelts, sizeof(const char *), by_text);
    kind->columns = r.columns;
    kind->lookups = r.lookups;
}
