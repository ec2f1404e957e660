/* A CRM with tables beside the record: rows that point to it, a catalogue, contacts, users, a record team. What the tests of lists apply plans to.
 *
 * Built upon unit_deal.h: the record itself is its row; everything else lives in tables of neutral rows, each with a version.
 */
#ifndef CS_TESTS_UNIT_LIST_H
#define CS_TESTS_UNIT_LIST_H

#include "unit_deal.h"

#include "mod_cosell/domain/reconcile_internal.h"

#define LIST_SOLUTIONS "/details/requirements/solutions"
#define LIST_CONTACTS "/customerProfile/team"
#define LIST_TEAM "/team"

typedef struct list_world_t {
    deal_world_t *w;
    apr_pool_t *p;
    json_t *tables; /* table -> array of {"id","version","row"} */
    json_t *members; /* ids of the record team */
    json_t *refuse;  /* key of an item -> why its row is refused */
    json_t *unreadable; /* list -> true */
    int silent;      /* writes of rows return nothing */
    int lose;        /* the look dies before it settles */
    int made;        /* serial of rows the CRM made */
    int writes;      /* rows written, of all tables */
} list_world_t;

/* ---- lists by hand ---- */

static inline const cs_pc_path_t *list_path(apr_pool_t *p, const char *text)
{
    cs_pc_path_t *path = apr_pcalloc(p, sizeof(*path));
    char *copy = apr_pstrdup(p, text + 1), *last = NULL, *name;

    path->text = path->bare = apr_pstrdup(p, text);
    path->steps = apr_array_make(p, 4, sizeof(cs_pc_step_t));
    for (name = apr_strtok(copy, "/", &last); name; name = apr_strtok(NULL, "/", &last)) {
        cs_pc_step_t *step = apr_array_push(path->steps);

        memset(step, 0, sizeof(*step));
        step->name = name;
    }
    return path;
}

static inline const cs_column_t *list_column(apr_pool_t *p, const char *name)
{
    cs_column_t *column = apr_pcalloc(p, sizeof(*column));

    column->text = column->name = name;
    return column;
}

/* "member", "column", ..., NULL */
static inline apr_array_header_t *list_members(apr_pool_t *p, const char *const *pairs)
{
    apr_array_header_t *members = apr_array_make(p, 4, sizeof(cs_member_column_t));

    for (; pairs[0]; pairs += 2) {
        cs_member_column_t *m = apr_array_push(members);

        m->member = pairs[0];
        m->column = list_column(p, pairs[1]);
    }
    return members;
}

static inline apr_array_header_t *list_parts(apr_pool_t *p, const char *const *pairs)
{
    apr_array_header_t *parts = apr_array_make(p, 4, sizeof(cs_find_part_t));

    for (; pairs[0]; pairs += 2) {
        cs_find_part_t *part = apr_array_push(parts);

        memset(part, 0, sizeof(*part));
        part->column = pairs[0];
        part->member = pairs[1];
    }
    return parts;
}

static inline cs_find_t *list_find(apr_pool_t *p, const char *name, const char *table, const char *const *by, cs_none_e none,
                                   const char *const *create)
{
    cs_find_t *find = apr_pcalloc(p, sizeof(*find));

    find->name = name;
    find->table = table;
    find->by = apr_array_make(p, 1, sizeof(apr_array_header_t *));
    APR_ARRAY_PUSH(find->by, apr_array_header_t *) = list_parts(p, by);
    find->several = "hold";
    find->none = none;
    find->create = create ? list_parts(p, create) : NULL;
    return find;
}

static inline cs_list_t *list_make(apr_pool_t *p, const char *name, const char *path, const char *key, const char *key_column, cs_list_shape_e shape)
{
    cs_list_t *list = apr_pcalloc(p, sizeof(*list));

    list->name = name;
    list->pointer = apr_pstrcat(p, "/records/opportunity/lists/", name, NULL);
    list->pc = list_path(p, path);
    list->key = key;
    list->key_column = key_column;
    list->shape = shape;
    list->to_crm = list->to_pc = 1;
    list->events = CS_ON_CREATE | CS_ON_UPDATE;
    return list;
}

static inline cs_find_t *list_user(apr_pool_t *p)
{
    static const char *const by[] = { "internalemailaddress", "email", NULL };

    return list_find(p, "user", "systemuser", by, CS_NONE_SKIP, NULL);
}

/* Solutions as rows that point to a catalogue; contacts as the record's look-up; people as owner and record team. */
static inline void list_dynamics(list_world_t *l)
{
    static const char *const solution[] = { "msft_solutionidentifier", "id", NULL };
    static const char *const solution_row[] = { "msft_solutionidentifier", "id", "msft_solutionname", "name", NULL };
    static const char *const contact[] = { "emailaddress1", "email", NULL };
    static const char *const contact_row[] = { "firstname", "firstName", "lastname", "lastName", "emailaddress1", "email", "telephone1", "phoneNumber", NULL };
    static const char *const contact_item[] = { "firstName", "firstname", "lastName", "lastname", "phoneNumber", "telephone1", "email", "emailaddress1", NULL };
    static const char *const user_item[] = { "firstName", "firstname", "email", "internalemailaddress", NULL };
    cs_mapping_kind_t *kind = (cs_mapping_kind_t *)l->w->kind;
    cs_list_t *solutions = list_make(l->p, "solutions", LIST_SOLUTIONS, "id", "msft_solutionidentifier", CS_LIST_CHILD);
    cs_list_t *contacts = list_make(l->p, "contacts", LIST_CONTACTS, "email", "emailaddress1", CS_LIST_COLUMN);
    cs_list_t *team = list_make(l->p, "team", LIST_TEAM, "email", "internalemailaddress", CS_LIST_USERS);
    cs_list_users_t *place;
    cs_owner_t *owner = apr_pcalloc(l->p, sizeof(*owner));

    solutions->table = "msft_microsoftsolution";
    solutions->parent = "msft_opportunityid";
    solutions->column = list_column(l->p, "msft_solutiondetailid");
    solutions->find = list_find(l->p, "solution", "msft_microsoftsolutiondetail", solution, CS_NONE_CREATE, solution_row);
    solutions->set = deal_json(l->p, "{\"type\":\"Name\"}");
    contacts->column = list_column(l->p, "parentcontactid");
    contacts->find = list_find(l->p, "contact", "contact", contact, CS_NONE_CREATE, contact_row);
    contacts->item = list_members(l->p, contact_item);
    team->find = list_user(l->p);
    team->item = list_members(l->p, user_item);
    team->users = apr_array_make(l->p, 2, sizeof(cs_list_users_t));
    place = memset(apr_array_push(team->users), 0, sizeof(*place));
    place->column = "ownerid";
    place = memset(apr_array_push(team->users), 0, sizeof(*place));
    place->team = "Opportunity Sales Team";
    team->to_crm_add_only = 1;
    owner->column = "ownerid";
    owner->find = team->find;
    owner->each = team->pc;
    kind->owner = owner;
    kind->lists = apr_array_make(l->p, 3, sizeof(cs_list_t *));
    APR_ARRAY_PUSH(kind->lists, cs_list_t *) = solutions;
    APR_ARRAY_PUSH(kind->lists, cs_list_t *) = contacts;
    APR_ARRAY_PUSH(kind->lists, cs_list_t *) = team;
}

/* Everything in child rows: solutions in columns of their own, contacts as roles, people as team rows. */
static inline void list_salesforce(list_world_t *l)
{
    static const char *const contact[] = { "Email", "email", NULL };
    static const char *const contact_row[] = { "Email", "email", "LastName", "lastName", NULL };
    static const char *const fields[] = { "id", "Solution_Identifier__c", "name", "Name", "price", "Price__c", NULL };
    cs_mapping_kind_t *kind = (cs_mapping_kind_t *)l->w->kind;
    cs_list_t *solutions = list_make(l->p, "solutions", LIST_SOLUTIONS, "id", "Solution_Identifier__c", CS_LIST_CHILD);
    cs_list_t *contacts = list_make(l->p, "contacts", LIST_CONTACTS, "email", "Email", CS_LIST_CHILD);
    cs_list_t *team = list_make(l->p, "team", LIST_TEAM, "email", "internalemailaddress", CS_LIST_USERS);
    cs_list_users_t *place;

    solutions->table = "Microsoft_Solution__c";
    solutions->parent = "Opportunity__c";
    solutions->fields = list_members(l->p, fields);
    contacts->table = "OpportunityContactRole";
    contacts->parent = "OpportunityId";
    contacts->column = list_column(l->p, "ContactId");
    contacts->where = deal_json(l->p, "{\"IsPrimary\":true}");
    contacts->find = list_find(l->p, "contact", "Contact", contact, CS_NONE_CREATE, contact_row);
    team->find = list_user(l->p);
    team->users = apr_array_make(l->p, 2, sizeof(cs_list_users_t));
    place = memset(apr_array_push(team->users), 0, sizeof(*place));
    place->column = "ownerid";
    place = memset(apr_array_push(team->users), 0, sizeof(*place));
    place->child = "OpportunityTeamMember";
    place->parent = "OpportunityId";
    place->user = "UserId";
    place->set = deal_json(l->p, "{\"TeamMemberRole\":\"Co-sell\"}");
    kind->owner = NULL;
    kind->lists = apr_array_make(l->p, 3, sizeof(cs_list_t *));
    APR_ARRAY_PUSH(kind->lists, cs_list_t *) = solutions;
    APR_ARRAY_PUSH(kind->lists, cs_list_t *) = contacts;
    APR_ARRAY_PUSH(kind->lists, cs_list_t *) = team;
}

static inline cs_list_t *list_of(list_world_t *l, const char *name)
{
    const apr_array_header_t *lists = l->w->kind->lists;
    int i;

    for (i = 0; i < lists->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(lists, i, cs_list_t *)->name, name)) {
            return APR_ARRAY_IDX(lists, i, cs_list_t *);
        }
    }
    fail_msg("no list %s", name);
    return NULL;
}

/* ---- the CRM's tables ---- */

static inline json_t *list_table(list_world_t *l, const char *table)
{
    json_t *rows = cs_json_get(l->tables, table);

    if (!rows) {
        rows = json_array();
        json_object_set_new(l->tables, table, rows);
    }
    return rows;
}

/* A new row; its neutral row, borrowed. */
static inline json_t *list_add(list_world_t *l, const char *table, const char *id, const char *row)
{
    json_t *entry = json_pack("{s:s,s:s,s:O}", "id", id ? id : apr_psprintf(l->p, "00000000-0000-4000-8000-%012d", ++l->made), "version", "1", "row",
                              deal_json(l->p, row));

    json_array_append_new(list_table(l, table), entry);
    return cs_json_get(entry, "row");
}

static inline json_t *list_entry(list_world_t *l, const char *table, const char *id)
{
    json_t *entry;
    size_t i;

    json_array_foreach(list_table(l, table), i, entry) {
        if (!strcmp(cs_json_str(entry, "id"), id)) {
            return entry;
        }
    }
    return NULL;
}

static inline void list_touch(json_t *entry)
{
    json_object_set_new(entry, "version", json_sprintf("%d", atoi(cs_json_str(entry, "version")) + 1));
}

/* {"id", every column of the row} */
static inline json_t *list_expanded(list_world_t *l, const char *table, const char *id)
{
    json_t *entry = list_entry(l, table, id), *out;

    assert_non_null(entry);
    out = json_deep_copy(cs_json_get(entry, "row"));
    json_object_set_new(out, "id", json_string(id));
    return out;
}

static inline int list_fits(const json_t *key, const json_t *row)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)key, column, value) {
        const char *a = json_string_value(value), *b = cs_json_str(row, column);

        if (a ? !b || strcasecmp(a, b) != 0 : !json_equal(value, cs_json_get(row, column))) {
            return 0;
        }
    }
    return 1;
}

/* The constants a look-up asks for, where the row says anything. */
static inline int list_stands(const json_t *where, const json_t *row)
{
    const char *column;
    json_t *value;

    json_object_foreach((json_t *)where, column, value) {
        const json_t *now = cs_json_get(row, column);

        if (now && !json_equal(now, value)) {
            return 0;
        }
    }
    return 1;
}

/* The id a look-up ends at. NULL with *pwhy: held; NULL without: skipped. */
static inline const char *list_resolve(list_world_t *l, const json_t *lookup, const char **pwhy)
{
    const char *table = cs_json_str(lookup, "table"), *none = cs_json_str(lookup, "none");
    json_t *key, *entry;
    size_t i, j;

    *pwhy = NULL;
    json_array_foreach(cs_json_get(lookup, "keys"), i, key) {
        const char *found = NULL;
        int n = 0;

        json_array_foreach(list_table(l, table), j, entry) {
            if (list_fits(key, cs_json_get(entry, "row")) && list_stands(cs_json_get(lookup, "where"), cs_json_get(entry, "row"))) {
                found = cs_json_str(entry, "id");
                n++;
            }
        }
        if (n > 1) {
            *pwhy = "several rows fit";
            return NULL;
        }
        if (found) {
            return found;
        }
    }
    if (!strcmp(none, "skip")) {
        return NULL;
    }
    if (strcmp(none, "create")) {
        *pwhy = "there is none";
        return NULL;
    }
    l->writes++;
    list_add(l, table, NULL, cs_json_print(cs_json_get(lookup, "create"), l->p));
    entry = json_array_get(list_table(l, table), json_array_size(list_table(l, table)) - 1);
    return cs_json_str(entry, "id");
}

/* The columns of a row as the CRM shows them; a held look-up drops what it stands for. NULL = the row is not written. */
static inline json_t *list_written(list_world_t *l, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *out = cs_json_own(json_deep_copy(step->columns), l->p), *value;
    const char *column, *why, *id;
    void *next;

    json_object_foreach_safe(out, next, column, value) {
        const json_t *lookup = cs_json_get(value, "$lookup");

        if (cs_json_get(value, "$ref")) {
            json_object_set_new(out, column, json_pack("{s:O}", "id", cs_json_get(cs_json_get(value, "$ref"), "id")));
            continue;
        }
        if (step->list && cs_json_get(value, "$number")) {
            json_object_set_new(out, column, json_real(atof(cs_json_str(value, "$number"))));
            continue;
        }
        if (!lookup || (!step->list && strcmp(column, "parentcontactid") && strcmp(column, "ownerid"))) {
            continue;
        }
        id = list_resolve(l, lookup, &why);
        if (why) {
            applied->dropped = applied->dropped ? applied->dropped : cs_json_own(json_object(), l->p);
            json_object_set_new(applied->dropped, cs_json_str(lookup, "line"), json_string(why));
        }
        if (id) {
            json_object_set_new(out, column, list_expanded(l, cs_json_str(lookup, "table"), id));
            continue;
        }
        json_object_del(out, column);
        if (step->list && !why) {
            applied->dropped = cs_json_own(json_pack("{s:s}", APR_ARRAY_IDX(step->lines, 0, const char *), "the CRM has none"), l->p);
        }
        if (step->list) {
            applied->tried = 1;
            return NULL;
        }
    }
    return out;
}

/* ---- applying ---- */

static inline const char *list_key(const cs_step_t *step)
{
    return strchr(APR_ARRAY_IDX(step->lines, 0, const char *), '/') + 1;
}

static inline void list_after(list_world_t *l, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *entry = list_entry(l, step->table, step->id);
    cs_record_t *after = apr_pcalloc(l->p, sizeof(*after));

    if (l->silent || !entry) {
        return;
    }
    after->table = step->table;
    after->id = step->id;
    after->version = apr_pstrdup(l->p, cs_json_str(entry, "version"));
    after->row = cs_json_own(json_deep_copy(cs_json_get(entry, "row")), l->p);
    applied->after = after;
}

static inline void list_row_step(list_world_t *l, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *entry = list_entry(l, step->table, step->id), *row;

    applied->tried = 1;
    if (step->kind != CS_STEP_CREATE && entry && strcmp(step->guard, cs_json_str(entry, "version"))) {
        applied->result.cls = CS_CLASS_CONFLICT;
        return;
    }
    row = step->kind == CS_STEP_DELETE ? NULL : list_written(l, step, applied);
    if (step->kind != CS_STEP_DELETE && !row) {
        return;
    }
    if (cs_json_get(l->refuse, list_key(step))) {
        applied->refused = cs_json_own(json_pack("{s:O}", APR_ARRAY_IDX(step->lines, 0, const char *), cs_json_get(l->refuse, list_key(step))), l->p);
        applied->result.cls = CS_CLASS_DATA;
        return;
    }
    l->writes++;
    applied->done = 1;
    if (step->kind == CS_STEP_DELETE) {
        size_t i;

        for (i = 0; entry && i < json_array_size(list_table(l, step->table)); i++) {
            if (json_array_get(list_table(l, step->table), i) == entry) {
                json_array_remove(list_table(l, step->table), i);
                return;
            }
        }
    }
    else if (step->kind == CS_STEP_CREATE && entry) {
        applied->found = 1;
    }
    else if (step->kind == CS_STEP_CREATE) {
        list_add(l, step->table, step->id, cs_json_print(row, l->p));
    }
    else {
        json_object_update(cs_json_get(entry, "row"), row);
        list_touch(entry);
    }
    list_after(l, step, applied);
}

static inline int list_is_member(list_world_t *l, const char *id)
{
    size_t i;

    for (i = 0; i < json_array_size(l->members); i++) {
        if (!strcmp(json_string_value(json_array_get(l->members, i)), id)) {
            return 1;
        }
    }
    return 0;
}

static inline void list_lookup_step(list_world_t *l, const cs_step_t *step, cs_applied_t *applied)
{
    json_t *row = list_written(l, step, applied);
    const char *id = row && step->kind == CS_STEP_JOIN ? cs_json_str(cs_json_get(row, "user"), "id") : NULL;

    applied->tried = 1;
    applied->done = !applied->dropped;
    if (id && !list_is_member(l, id)) {
        json_array_append_new(l->members, json_string(id));
        l->writes++;
    }
}

static inline void list_record_step(list_world_t *l, const cs_step_t *step, cs_applied_t *applied)
{
    cs_step_t copy = *step;

    if (step->kind == CS_STEP_PATCH_PC) {
        deal_step(l->w, step, applied);
        return;
    }
    copy.columns = list_written(l, step, applied);
    deal_step(l->w, &copy, applied);
    if (step->kind == CS_STEP_CREATE) {
        const char *const columns[] = { "parentcontactid", "ownerid" };
        size_t i;

        for (i = 0; i < 2; i++) {
            if (!cs_json_get(l->w->row, columns[i])) {
                json_object_set_new(l->w->row, columns[i], json_null());
            }
        }
    }
}

static inline void list_apply(list_world_t *l)
{
    deal_world_t *w = l->w;
    int i;

    w->applied = apr_pcalloc(l->p, sizeof(cs_applied_t) * (size_t)(w->plan->steps->nelts + 1));
    if (w->plan->intent) {
        w->deal.intent = cs_json_own(json_deep_copy(w->plan->intent), l->p);
    }
    for (i = 0; i < w->plan->steps->nelts; i++) {
        const cs_step_t *step = APR_ARRAY_IDX(w->plan->steps, i, cs_step_t *);

        if (!step->send || (step->after >= 0 && !w->applied[step->after].done)) {
            continue;
        }
        if (!step->list) {
            list_record_step(l, step, &w->applied[i]);
        }
        else if (step->kind == CS_STEP_JOIN || step->kind == CS_STEP_ENSURE) {
            list_lookup_step(l, step, &w->applied[i]);
        }
        else {
            list_row_step(l, step, &w->applied[i]);
        }
    }
}

/* ---- looking ---- */

static inline int by_row_id(const void *a, const void *b)
{
    return strcmp(cs_json_str(*(json_t *const *)a, "id"), cs_json_str(*(json_t *const *)b, "id"));
}

/* Rows of the table that point to the record, in the order of their ids. */
static inline json_t *list_rows(list_world_t *l, const char *table, const char *parent)
{
    json_t *rows[64], *entry, *out = json_array();
    size_t i, n = 0;

    json_array_foreach(list_table(l, table), i, entry) {
        const char *of = cs_json_str(cs_json_get(cs_json_get(entry, "row"), parent), "id");

        if (of && !strcmp(of, cs_json_str(l->w->row, "opportunityid")) && n < 64) {
            rows[n++] = entry;
        }
    }
    qsort(rows, n, sizeof(rows[0]), by_row_id);
    for (i = 0; i < n; i++) {
        json_array_append_new(out, json_deep_copy(rows[i]));
    }
    return out;
}

static inline json_t *list_team(list_world_t *l)
{
    json_t *out = json_array();
    size_t i;

    for (i = 0; i < json_array_size(l->members); i++) {
        const char *id = json_string_value(json_array_get(l->members, i));

        json_array_append_new(out, json_pack("{s:s,s:o}", "id", id, "row", list_expanded(l, "systemuser", id)));
    }
    return out;
}

static inline json_t *list_related(list_world_t *l)
{
    json_t *out = cs_json_own(json_object(), l->p);
    int i, j;

    for (i = 0; l->w->kind->lists && i < l->w->kind->lists->nelts; i++) {
        const cs_list_t *list = APR_ARRAY_IDX(l->w->kind->lists, i, cs_list_t *);
        json_t *rows = list->shape == CS_LIST_CHILD && list->table ? list_rows(l, list->table, list->parent) : NULL;

        for (j = 0; list->users && j < list->users->nelts; j++) {
            const cs_list_users_t *place = &APR_ARRAY_IDX(list->users, j, cs_list_users_t);

            rows = place->child ? list_rows(l, place->child, place->parent) : place->team ? list_team(l) : rows;
        }
        if (rows && !cs_json_get(l->unreadable, list->name)) {
            json_object_set(out, list->name, rows);
        }
        json_decref(rows);
    }
    return out;
}

static inline cs_plan_t *list_plan(list_world_t *l)
{
    cs_result_t res;

    memset(&res, 0, sizeof(res));
    deal_fetch(l->w);
    if (l->w->row) {
        l->w->record.related = list_related(l);
    }
    if (cs_reconcile_plan(&l->w->plan, &l->w->look, l->p, l->p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return l->w->plan;
}

static inline cs_plan_t *list_look(list_world_t *l)
{
    list_plan(l);
    list_apply(l);
    if (!l->lose) {
        deal_settle(l->w);
    }
    return l->w->plan;
}

/* Nothing is left to do. */
#define assert_rests(l) \
    do { \
        cs_plan_t *plan_ = list_plan(l); \
        if (deal_sent(plan_)) { \
            fail_msg("a second look writes: %s", cs_json_print(cs_json_get(plan_->explain, "steps"), (l)->p)); \
        } \
    } while (0)

static inline list_world_t *list_world_of(apr_pool_t *p, cs_mapping_t *mapping)
{
    list_world_t *l = apr_pcalloc(p, sizeof(*l));

    l->p = p;
    l->w = deal_world_of(p, mapping);
    l->tables = cs_json_own(json_object(), p);
    l->members = cs_json_own(json_array(), p);
    l->refuse = cs_json_own(json_object(), p);
    l->unreadable = cs_json_own(json_object(), p);
    deal_status(l->w, "Active", "Accepted");
    return l;
}

static inline list_world_t *list_world(apr_pool_t *p)
{
    list_world_t *l = list_world_of(p, deal_mapping(p, NULL));

    list_dynamics(l);
    return l;
}

/* A record that was there before, not linked yet. */
static inline void list_existing(list_world_t *l)
{
    deal_row(l->w, "11111111-2222-4333-8444-555566667777");
    json_object_set_new(l->w->row, "parentcontactid", json_null());
    json_object_set_new(l->w->row, "ownerid", json_null());
    deal_set(l->w, "/externalReferenceId", "\"11111111-2222-4333-8444-555566667777\"");
    l->w->deal.record_id = "11111111-2222-4333-8444-555566667777";
}

#endif
