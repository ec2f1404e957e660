/* domain/mapping_find.c: look-ups of existing rows. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

#define FIND_DEPTH 4 /* look-ups that need look-ups */

/* What may stand for a value: in a key, in a row that is made, in a key of "match". */
typedef enum { PART_KEY, PART_CREATE, PART_MATCH } part_e;

static const cs_find_t *find_of_name(const cs_load_t *l, const char *name)
{
    int i;

    for (i = 0; i < l->finds->nelts; i++) {
        const cs_find_t *find = APR_ARRAY_IDX(l->finds, i, const cs_find_t *);

        if (!strcmp(find->name, name)) {
            return find;
        }
    }
    return NULL;
}

const cs_find_t *cs_load_find_named(cs_load_t *l, const char *name, const char *ptr)
{
    const cs_find_t *find = find_of_name(l, name);
    const char *all = "";
    int i;

    if (!find) {
        for (i = 0; i < l->finds->nelts; i++) {
            all = apr_pstrcat(l->p, all, *all ? ", " : "",
                              APR_ARRAY_IDX(l->finds, i, const cs_find_t *)->name, NULL);
        }
        cs_load_error(l, ptr, "\"%s\" is not among the look-ups of \"find\"; allowed: %s", name,
                      *all ? all : "none");
    }
    return find;
}

static int is_member(const char *text)
{
    if (!apr_isalpha(*text)) {
        return 0;
    }
    for (; *text; text++) {
        if (!apr_isalnum(*text) && *text != '_') {
            return 0;
        }
    }
    return 1;
}

static int is_path(const char *text)
{
    return *text == '/' || strchr(text, ':') != NULL;
}

/* 0 after a reported mistake. */
static int load_part(cs_load_t *l, cs_find_part_t *part, const char *text, part_e what,
                     const char *ptr)
{
    const cs_find_t *find;

    if (is_path(text)) {
        part->path = cs_load_path(l, text, ptr);
        return part->path != NULL;
    }
    if (what == PART_MATCH || *text == '$') {
        find = cs_load_find_named(l, *text == '$' ? text + 1 : text, ptr);
        part->found = find ? find->name : NULL;
        if (find && what == PART_KEY) {
            cs_load_error(l, ptr,
                          "\"%s\" is a row and no text; allowed: a path, a member of the list's "
                          "item, \".\", or the look-up in \"within\"",
                          text);
            return 0;
        }
        return find != NULL;
    }
    if (!strcmp(text, ".")) {
        return 1;
    }
    part->member = apr_pstrdup(l->p, text);
    if (!is_member(text)) {
        cs_load_error(l, ptr,
                      "\"%s\" is no source; allowed: \"/path\", a member of the list's item, "
                      "\"$<a look-up>\", \".\" for the line's own value",
                      text);
        return 0;
    }
    return 1;
}

/* *off = the name that is null: the part is left out. */
static apr_array_header_t *load_parts(cs_load_t *l, const json_t *json, part_e what,
                                      const char *ptr, const char **poff)
{
    apr_array_header_t *parts = apr_array_make(l->p, 4, sizeof(cs_find_part_t));
    const char *key;
    json_t *value;

    *poff = NULL;
    json_object_foreach((json_t *)json, key, value) {
        const char *at = cs_load_ptr(l, ptr, key), *text = json_string_value(value);
        const cs_column_t *column;
        cs_find_part_t part;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        memset(&part, 0, sizeof(part));
        if (!text) {
            cs_load_error(l, at,
                          "%s: %s; allowed: a column and a path of the referral, a member of the "
                          "list's item, or \".\" for the line's own value",
                          key, cs_json_print(value, l->p));
            continue;
        }
        column = cs_load_own_column(l, key, at);
        if (column && !column->text) {
            *poff = apr_psprintf(l->p, "%s is null in \"names\"", key);
        }
        else if (load_part(l, &part, text, what, at) && column) {
            part.column = column->text;
            APR_ARRAY_PUSH(parts, cs_find_part_t) = part;
        }
    }
    return parts;
}

/* A key with a column that is switched off is no key. */
static apr_array_header_t *load_sets(cs_load_t *l, const json_t *by, part_e what, const char *ptr,
                                     const char **poff)
{
    apr_array_header_t *sets = apr_array_make(l->p, 2, sizeof(apr_array_header_t *));
    const char *off = NULL;
    size_t i;

    *poff = NULL;
    for (i = 0; i < json_array_size(by); i++) {
        const json_t *set = json_array_get(by, i);
        apr_array_header_t *parts;

        if (!json_is_object(set) ||
            json_object_size(set) - (cs_json_get(set, "$comment") != NULL) == 0) {
            cs_load_error(l, cs_load_ptr_at(l, ptr, i),
                          "%s is no key; allowed: an object from columns to paths",
                          cs_json_print(set, l->p));
            continue;
        }
        parts = load_parts(l, set, what, cs_load_ptr_at(l, ptr, i), &off);
        if (off) {
            *poff = off;
        }
        else if (parts->nelts) {
            APR_ARRAY_PUSH(sets, apr_array_header_t *) = parts;
        }
    }
    if (!json_is_array(by) || json_array_size(by) == 0) {
        cs_load_error(l, ptr,
                      "\"by\" is missing or empty; allowed: an array of keys, the best one first");
    }
    if (sets->nelts) {
        *poff = NULL;
    }
    return sets;
}

apr_array_header_t *cs_load_match_sets(cs_load_t *l, const json_t *by, const char *ptr)
{
    const char *off;

    return load_sets(l, by, PART_MATCH, ptr, &off);
}

static void load_within(cs_load_t *l, cs_find_t *find, const json_t *within, const char *ptr)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)within, key, value) {
        const char *at = cs_load_ptr(l, ptr, key), *text = json_string_value(value);
        const cs_column_t *column;
        const cs_find_t *other;

        if (!strcmp(key, "$comment")) {
            continue;
        }
        if (!text) {
            cs_load_error(l, at, "%s is no look-up; allowed: a name of \"find\"",
                          cs_json_print(value, l->p));
            continue;
        }
        column = cs_load_own_column(l, key, at);
        other = cs_load_find_named(l, *text == '$' ? text + 1 : text, at);
        if (column && !column->text) {
            /* Without it rows of strangers would fit. */
            find->off_why = apr_psprintf(l->p, "%s is null in \"names\"", key);
        }
        else if (column && other) {
            cs_within_t *w = &APR_ARRAY_PUSH(find->within, cs_within_t);

            w->column = column->text;
            w->find = other;
        }
    }
}

static const cs_member_t find_members[] = {
    {"table", CS_J_TEXT, NULL},    {"by", CS_J_ARRAY, NULL},  {"where", CS_J_OBJECT, NULL},
    {"several", CS_J_TEXT, NULL},  {"none", CS_J_TEXT, NULL}, {"create", CS_J_OBJECT, NULL},
    {"within", CS_J_OBJECT, NULL}, {"key", CS_J_TEXT, NULL},  {NULL, 0, NULL}};

static void load_table(cs_load_t *l, cs_find_t *find, const json_t *json, const char *ptr)
{
    const char *text = cs_json_str(json, "table");
    int off = 0;

    if (!text || !*text) {
        cs_load_error(
            l, ptr,
            "\"table\" is missing; allowed: the logical name of a table, for example \"account\"");
        return;
    }
    text = cs_load_name(l, text, cs_load_ptr(l, ptr, "table"), &off);
    find->table = text ? text : "";
    if (off) {
        find->off_why = apr_psprintf(l->p, "%s is null in \"names\"", cs_json_str(json, "table"));
    }
}

/* Without a constant it asks for, rows of strangers would fit. */
static void load_where(cs_load_t *l, cs_find_t *find, const json_t *where, const char *ptr)
{
    const char *off, *key;
    json_t *value;

    find->where = cs_load_columns_are(l, where, ptr, 1, &off);
    json_object_foreach((json_t *)where, key, value) {
        const char *text = json_string_value(value);

        if (text && *text == '@' && json_is_null(cs_json_get(l->names, text + 1))) {
            off = text;
        }
    }
    if (off) {
        find->off_why = apr_psprintf(l->p, "%s is null in \"names\"", off);
    }
}

static void load_key(cs_load_t *l, cs_find_t *find, const json_t *json, const char *ptr)
{
    find->key = cs_load_row_key(l, json, ptr);
    if (cs_json_get(json, "key") && !cs_json_get(json, "create")) {
        cs_load_error(l, cs_load_ptr(l, ptr, "key"),
                      "nothing is made here; allowed: \"key\" beside \"create\"");
    }
}

static void load_find(cs_load_t *l, cs_find_t *find, const json_t *json, const char *ptr)
{
    static const char *const severals[] = {"hold", NULL};
    static const char *const nones[] = {"hold", "skip", "create", NULL};
    const json_t *create = cs_json_get(json, "create"), *where = cs_json_get(json, "where");
    const json_t *within = cs_json_get(json, "within");
    const char *off = NULL;

    if (!cs_load_members(l, json, ptr, find_members)) {
        return;
    }
    load_table(l, find, json, ptr);
    find->several = severals[cs_load_word(l, json, ptr, "several", severals, 0)];
    find->none = (cs_none_e)cs_load_word(l, json, ptr, "none", nones, CS_NONE_HOLD);
    find->by = load_sets(l, cs_json_get(json, "by"), PART_KEY, cs_load_ptr(l, ptr, "by"), &off);
    find->off_why = find->off_why ? find->off_why : off;
    if (where) {
        load_where(l, find, where, cs_load_ptr(l, ptr, "where"));
    }
    load_key(l, find, json, ptr);
    if (within && json_object_size(within)) {
        find->within = apr_array_make(l->p, 1, sizeof(cs_within_t));
        load_within(l, find, within, cs_load_ptr(l, ptr, "within"));
    }
    if ((find->none == CS_NONE_CREATE) != (create != NULL)) {
        cs_load_error(l, ptr,
                      "\"none\": \"create\" and the member \"create\" belong together; allowed: "
                      "both or neither");
        find->none = CS_NONE_HOLD;
    }
    else if (create) {
        find->create = load_parts(l, create, PART_CREATE, cs_load_ptr(l, ptr, "create"), &off);
    }
}

/* The look-ups that one leads to: within, and "$account" in what it makes. */
static const cs_find_t *led_to(const cs_load_t *l, const cs_find_t *find, int n)
{
    int i, within = find->within ? find->within->nelts : 0;

    if (n < within) {
        return APR_ARRAY_IDX(find->within, n, cs_within_t).find;
    }
    n -= within;
    for (i = 0; find->create && i < find->create->nelts; i++) {
        const char *found = APR_ARRAY_IDX(find->create, i, cs_find_part_t).found;

        if (found && n-- == 0) {
            return find_of_name(l, found);
        }
    }
    return NULL;
}

/* The longest way of look-ups that need look-ups, up to one more than is allowed; a ring is
 * endless.
 */
static int *measure(const cs_load_t *l)
{
    int *depth = apr_pcalloc(l->p, sizeof(*depth) * (apr_size_t)(l->finds->nelts + 1));
    const cs_find_t *next;
    int round, i, j, n;

    for (round = 0; round <= FIND_DEPTH; round++) {
        for (i = 0; i < l->finds->nelts; i++) {
            const cs_find_t *find = APR_ARRAY_IDX(l->finds, i, const cs_find_t *);

            for (n = 0; (next = led_to(l, find, n)) != NULL; n++) {
                for (j = 0; APR_ARRAY_IDX(l->finds, j, const cs_find_t *) != next; j++) {
                }
                depth[i] = depth[j] >= depth[i] ? depth[j] + 1 : depth[i];
            }
        }
    }
    return depth;
}

/* One that needs a row which is switched off is switched off. */
static void take_off(const cs_load_t *l, cs_find_t *find)
{
    const cs_find_t *next;
    int n;

    for (n = 0; !find->off_why && (next = led_to(l, find, n)) != NULL; n++) {
        find->off_why = next->off_why;
    }
}

void cs_load_finds(cs_load_t *l, const json_t *finds)
{
    const char *key;
    json_t *value;
    int i, n, far = 0;
    int *depth;

    /* Names first, for they refer to each other. */
    json_object_foreach((json_t *)finds, key, value) {
        if (strcmp(key, "$comment")) {
            cs_find_t *find = apr_pcalloc(l->p, sizeof(*find));

            find->name = apr_pstrdup(l->p, key);
            find->table = "";
            find->several = "hold";
            find->by = apr_array_make(l->p, 1, sizeof(apr_array_header_t *));
            APR_ARRAY_PUSH(l->finds, const cs_find_t *) = find;
        }
    }
    for (i = 0; i < l->finds->nelts; i++) {
        cs_find_t *find = APR_ARRAY_IDX(l->finds, i, cs_find_t *);

        load_find(l, find, cs_json_get(finds, find->name), cs_load_ptr(l, "/find", find->name));
    }
    depth = measure(l);
    for (i = 0; i < l->finds->nelts; i++) {
        cs_find_t *find = APR_ARRAY_IDX(l->finds, i, cs_find_t *);

        if (depth[i] > FIND_DEPTH) {
            cs_load_error(l, cs_load_ptr(l, "/find", find->name),
                          "\"%s\" needs itself, or more than %d look-ups one after the other",
                          find->name, FIND_DEPTH);
            far = 1;
        }
    }
    for (n = 0; !far && n <= FIND_DEPTH; n++) {
        for (i = 0; i < l->finds->nelts; i++) {
            take_off(l, APR_ARRAY_IDX(l->finds, i, cs_find_t *));
        }
    }
}

/* ---- questions ---- */

static const char *parts_ask_member(const apr_array_header_t *parts)
{
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        const char *member = APR_ARRAY_IDX(parts, i, cs_find_part_t).member;

        if (member) {
            return member;
        }
    }
    return NULL;
}

static const char *asks_member(const cs_find_t *find, int depth)
{
    const char *member = parts_ask_member(find->create);
    int i;

    for (i = 0; !member && i < find->by->nelts; i++) {
        member = parts_ask_member(APR_ARRAY_IDX(find->by, i, apr_array_header_t *));
    }
    for (i = 0; !member && find->within && depth <= FIND_DEPTH && i < find->within->nelts; i++) {
        member = asks_member(APR_ARRAY_IDX(find->within, i, cs_within_t).find, depth + 1);
    }
    return member;
}

const char *cs_find_asks_member(const cs_find_t *find)
{
    return asks_member(find, 0);
}

static int is_own(const cs_find_part_t *part)
{
    return !part->path && !part->member && !part->found;
}

static int parts_ask_own(const apr_array_header_t *parts)
{
    int i;

    for (i = 0; parts && i < parts->nelts; i++) {
        if (is_own(&APR_ARRAY_IDX(parts, i, cs_find_part_t))) {
            return 1;
        }
    }
    return 0;
}

int cs_find_asks_own(const cs_find_t *find)
{
    int i;

    for (i = 0; find && i < find->by->nelts; i++) {
        if (parts_ask_own(APR_ARRAY_IDX(find->by, i, apr_array_header_t *))) {
            return 1;
        }
    }
    return 0;
}

const char *cs_find_own_key(const cs_find_t *find)
{
    const apr_array_header_t *set;

    if (!find || find->by->nelts != 1) {
        return NULL;
    }
    set = APR_ARRAY_IDX(find->by, 0, apr_array_header_t *);
    return set->nelts == 1 && is_own(&APR_ARRAY_IDX(set, 0, cs_find_part_t))
               ? APR_ARRAY_IDX(set, 0, cs_find_part_t).column
               : NULL;
}

const char *cs_find_member_column(const cs_find_t *find, const char *member)
{
    int i, j;

    for (i = 0; i < find->by->nelts; i++) {
        const apr_array_header_t *set = APR_ARRAY_IDX(find->by, i, apr_array_header_t *);

        for (j = 0; j < set->nelts; j++) {
            const cs_find_part_t *part = &APR_ARRAY_IDX(set, j, cs_find_part_t);

            if (part->member && !strcmp(part->member, member)) {
                return part->column;
            }
        }
    }
    return NULL;
}
