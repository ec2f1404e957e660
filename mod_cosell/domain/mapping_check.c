/* domain/mapping_check.c: what only a whole record kind shows: directions its paths do not allow,
 * and targets that two would write. */
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

/* Somebody who writes a target at an event; whole = with everything beneath it. */
typedef struct writer_t {
    const char *target;
    int whole;
    int events;
    const char *who;
} writer_t;

/* 1 when `path`, selectors left aside, lies beneath the array. */
static int is_beneath(const char *array, const char *path)
{
    size_t len = strlen(array);

    return !strncmp(array, path, len) && (path[len] == '/' || path[len] == '[');
}

static int meet(const writer_t *a, const writer_t *b)
{
    return (a->events & b->events) &&
           (!strcmp(a->target, b->target) || (a->whole && is_beneath(a->target, b->target)) ||
            (b->whole && is_beneath(b->target, a->target)));
}

static void claim_all(cs_load_t *l, apr_array_header_t *writers, const writer_t *writer,
                      const char *ptr)
{
    int i;

    for (i = 0; i < writers->nelts; i++) {
        const writer_t *w = &APR_ARRAY_IDX(writers, i, writer_t);

        if (meet(w, writer)) {
            cs_load_error(
                l, ptr,
                "%s and %s would both write %s; allowed: one writer for each direction and event",
                w->who, writer->who, w->whole ? writer->target : w->target);
            return;
        }
    }
    APR_ARRAY_PUSH(writers, writer_t) = *writer;
}

static void claim(cs_load_t *l, apr_array_header_t *writers, const char *target, int events,
                  const char *who, const char *ptr)
{
    const writer_t writer = {target, 0, events, who};

    claim_all(l, writers, &writer, ptr);
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

static const char *instead_of_update(const cs_line_t *line)
{
    return line->to_crm.on
               ? "write \"to_pc\": {\"events\": [\"create\"]}, or \"direction\": \"to_crm\""
               : "write \"events\": [\"create\"]";
}

/* Other cards than the own one. */
static void check_root(cs_load_t *l, const cs_line_t *line, const cs_pc_path_t *path)
{
    if (path->root == CS_ROOT_MICROSOFT) {
        cs_load_error(l, line->pointer,
                      "%s is Microsoft's card, which is only read; write \"direction\": \"to_crm\"",
                      path->text);
    }
    else if (!strcmp(cs_referral_path_fact(path->bare), "server")) {
        cs_load_error(
            l, line->pointer,
            "%s is set by Partner Center and cannot be written; write \"direction\": \"to_crm\"",
            path->text);
    }
    else if ((line->to_pc.events & CS_ON_UPDATE) && !line->latch) {
        cs_load_error(l, line->pointer,
                      "%s is written once, when Microsoft is invited; %s, or \"latch\": true",
                      path->text, instead_of_update(line));
    }
}

/* Why an update may not write the path, and what to write instead; NULL when it may. */
static const char *refused_update(const cs_line_t *line, const cs_pc_path_t *path, const char *fact,
                                  const char **pinstead)
{
    *pinstead = instead_of_update(line);
    if (!strcmp(fact, "latch") && !line->latch) {
        *pinstead = "write \"latch\": true, or \"direction\": \"to_crm\"";
        return "can be set but never taken back";
    }
    if (!strcmp(fact, "create")) {
        return "cannot change once the referral exists";
    }
    if (!strcmp(fact, "unproven")) {
        return "is not known to be changeable once the referral exists";
    }
    if (!strcmp(fact, "patch-until-shared")) {
        *pinstead = "write it into \"lists\", or \"direction\": \"to_crm\"";
        return "belongs to a list";
    }
    return path->selects ? "is one item of a list and cannot be written alone" : NULL;
}

static void check_to_pc(cs_load_t *l, const cs_line_t *line, const cs_pc_path_t *path)
{
    const char *fact = cs_referral_path_fact(path->bare), *why = NULL, *instead = "";

    if (path->root != CS_ROOT_OWN) {
        check_root(l, line, path);
    }
    else if (!strcmp(fact, "server")) {
        cs_load_error(
            l, line->pointer,
            "%s is set by Partner Center and cannot be written; write \"direction\": \"to_crm\"",
            path->text);
    }
    else if (is_state(path->bare)) {
        cs_load_error(l, line->pointer,
                      "%s follows the table \"hear\"; write \"direction\": \"to_crm\"", path->text);
    }
    else if (!strncmp(path->bare, "/registrations", 14)) {
        cs_load_error(l, line->pointer,
                      "%s belongs to a deal registration, which is made in Partner Center and only "
                      "read here; write \"direction\": \"to_crm\"",
                      path->text);
    }
    else if (line->to_pc.events & CS_ON_UPDATE) {
        why = refused_update(line, path, fact, &instead);
    }
    if (why) {
        cs_load_error(l, line->pointer, "%s %s; %s", path->text, why, instead);
    }
}

/* The last step is an array and no item of it. */
static void check_scalar(cs_load_t *l, const cs_line_t *line, const cs_pc_path_t *path)
{
    const cs_pc_step_t *last = &APR_ARRAY_IDX(path->steps, path->steps->nelts - 1, cs_pc_step_t);

    if (cs_referral_path_is_array(path->bare) && !last->sel_name && !last->first) {
        cs_load_error(l, line->pointer,
                      "%s is an array; allowed: a member of one item, [first] behind it, or a list "
                      "in \"lists\"",
                      path->text);
    }
}

static void check_ends(cs_load_t *l, const cs_line_t *line)
{
    int computed = line->type == CS_TYPE_LOOKUP && !cs_find_asks_own(line->find);

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
        !cs_find_own_key(line->find)) {
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
            column->written);
    }
    else if (!strcmp(column->name, kind->key_column)) {
        cs_load_error(
            l, line->pointer,
            "%s is the row's own id and cannot be written; write \"direction\": \"to_pc\"",
            column->written);
    }
    else if (!strcmp(column->name, l->facts->state_column)) {
        cs_load_error(l, line->pointer,
                      "%s follows the table \"show\" and cannot be written by a line",
                      column->written);
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
        if (paths[i]) {
            check_scalar(l, line, paths[i]);
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
    } told[] = {{"id", tell->id},           {"link", tell->link},   {"status", tell->status},
                {"problem", tell->problem}, {"audit", tell->audit}, {"synced", tell->synced},
                {"explain", tell->explain}};
    size_t i;

    for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        if (told[i].column) {
            claim(l, writers, told[i].column, CS_ON_CREATE | CS_ON_UPDATE,
                  apr_psprintf(l->p, "\"%s\" of \"tell\"", told[i].name),
                  apr_psprintf(l->p, "%s/tell/%s", ptr, told[i].name));
        }
    }
}

/* The column by which a record is made is told by it. */
static void claim_key(cs_load_t *l, const cs_mapping_kind_t *kind, apr_array_header_t *writers,
                      const char *ptr)
{
    const char *key = kind->external_id;

    if (key && (!kind->tell.id || strcmp(kind->tell.id, key))) {
        claim(l, writers, key, CS_ON_CREATE | CS_ON_UPDATE, "\"key\"",
              apr_pstrcat(l->p, ptr, "/key", NULL));
    }
}

/* ---- lists ---- */

static void claim_list_columns(cs_load_t *l, const cs_mapping_kind_t *kind, const cs_list_t *list,
                               apr_array_header_t *writers, const char *who)
{
    const char *column = list->shape == CS_LIST_COLUMN && list->column ? list->column->text : NULL;
    int i;

    for (i = 0; list->users && i < list->users->nelts; i++) {
        const char *home = APR_ARRAY_IDX(list->users, i, cs_list_users_t).column;

        /* Who owns a new record is one of the people of the same list. */
        column = home && kind->owner && !strcmp(home, kind->owner->column) ? column
                 : home                                                    ? home
                                                                           : column;
    }
    if (column) {
        claim(l, writers, column, list->events, who, list->pointer);
    }
    if (list->shape == CS_LIST_CHILD && list->table) {
        claim(l, writers,
              apr_pstrcat(l->p, "rows of ", list->table, list->where ? " where " : "",
                          list->where ? cs_json_print(list->where, l->p) : "", NULL),
              list->events, who, list->pointer);
    }
}

static void check_list(cs_load_t *l, const cs_mapping_kind_t *kind, const cs_list_t *list,
                       apr_array_header_t *crm, apr_array_header_t *pc)
{
    const char *who = apr_psprintf(l->p, "the list \"%s\"", list->name);

    if (list->to_crm) {
        claim_list_columns(l, kind, list, crm, who);
    }
    if (list->to_pc && list->pc && list->pc->root == CS_ROOT_OWN) {
        const writer_t writer = {list->pc->bare, 1, list->events, who};

        claim_all(l, pc, &writer, list->pointer);
    }
}

/* ---- groups ---- */

/* Lines that conflict and travel together do so by one rule. */
static void check_group(cs_load_t *l, const cs_mapping_kind_t *kind, const cs_line_t *line)
{
    int i;

    for (i = 0; line->group && i < kind->lines->nelts; i++) {
        const cs_line_t *first = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (first == line) {
            return;
        }
        if (first->off || !first->group || strcmp(first->group, line->group)) {
            continue;
        }
        if (first->conflict != line->conflict || first->to_pc.on != line->to_pc.on ||
            first->to_crm.on != line->to_crm.on) {
            cs_load_error(
                l, line->pointer,
                "the lines \"%s\" and \"%s\" of the group \"%s\" differ in \"direction\" or "
                "\"conflict\"; allowed: the same for all lines of a group",
                first->name, line->name, line->group);
        }
        return;
    }
}

/* ---- a kind ---- */

static void claim_created(cs_load_t *l, const json_t *set, apr_array_header_t *writers,
                          const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)set, key, value) {
        if (strcmp(key, "$comment")) {
            claim(l, writers, key, CS_ON_CREATE, "\"set\" of \"from_crm\"",
                  apr_pstrcat(l->p, ptr, "/from_crm/set", NULL));
        }
    }
}

static void claim_stages(cs_load_t *l, const cs_mapping_kind_t *kind, apr_array_header_t *writers,
                         const char *ptr)
{
    int i;

    for (i = 0; i < kind->hear->nelts; i++) {
        if (APR_ARRAY_IDX(kind->hear, i, cs_hear_t).sales_stage) {
            claim(l, writers, "/salesStage", CS_ON_CREATE | CS_ON_UPDATE,
                  "\"sales_stage\" of \"hear\"", apr_pstrcat(l->p, ptr, "/state/hear", NULL));
            return;
        }
    }
}

void cs_load_check_kind(cs_load_t *l, const cs_mapping_kind_t *kind, const json_t *json,
                        const char *ptr)
{
    apr_array_header_t *crm = apr_array_make(l->p, 16, sizeof(writer_t));
    apr_array_header_t *pc = apr_array_make(l->p, 16, sizeof(writer_t));
    int i;

    for (i = 0; i < kind->lines->nelts; i++) {
        const cs_line_t *line = APR_ARRAY_IDX(kind->lines, i, cs_line_t *);

        if (!line->off && !line->broken) {
            check_line(l, kind, line, crm, pc);
            check_group(l, kind, line);
        }
    }
    for (i = 0; i < kind->from_pc_set->nelts; i++) {
        claim(l, crm, APR_ARRAY_IDX(kind->from_pc_set, i, cs_set_t).column, CS_ON_CREATE,
              "\"set\" of \"from_pc\"", apr_pstrcat(l->p, ptr, "/from_pc/set", NULL));
    }
    if (kind->owner) {
        claim(l, crm, kind->owner->column, CS_ON_CREATE, "\"owner\" of \"from_pc\"",
              apr_pstrcat(l->p, ptr, "/from_pc/owner", NULL));
    }
    for (i = 0; i < kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(kind->lists, i, cs_list_t *);

        if (!list->off) {
            check_list(l, kind, list, crm, pc);
        }
    }
    claim_created(l, cs_json_get(cs_json_get(json, "from_crm"), "set"), pc, ptr);
    claim_stages(l, kind, pc, ptr);
    claim_shown(l, kind, crm, ptr);
    claim_told(l, kind, crm, ptr);
    claim_key(l, kind, crm, ptr);
}
