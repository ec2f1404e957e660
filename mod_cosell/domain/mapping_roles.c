/* domain/mapping_roles.c: who owns a new record, which existing one could be it, what it turns
 * into.
 */
#include <apr_strings.h>
#include <string.h>

#include "mapping_internal.h"

/* The key a user can be named by: the one member of the first key set. */
static int has_plain_key(const cs_find_t *find)
{
    const apr_array_header_t *set;

    if (!find->by->nelts) {
        return 0;
    }
    set = APR_ARRAY_IDX(find->by, 0, apr_array_header_t *);
    return set->nelts == 1 && APR_ARRAY_IDX(set, 0, cs_find_part_t).member;
}

const cs_owner_t *cs_load_owner(cs_load_t *l, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {{"find", CS_J_TEXT, NULL},
                                          {"each", CS_J_TEXT, NULL},
                                          {"else", CS_J_TEXT | CS_J_NULL, NULL},
                                          {NULL, 0, NULL}};
    cs_owner_t *owner = apr_pcalloc(l->p, sizeof(*owner));
    const char *find = cs_json_str(json, "find"), *each = cs_json_str(json, "each");

    if (!cs_load_members(l, json, ptr, members)) {
        return NULL;
    }
    if (!find || !each) {
        cs_load_error(
            l, ptr,
            "\"find\" and \"each\" belong together; allowed: the look-up of a user and an "
            "array of people, for example \"/team\"");
        return NULL;
    }
    owner->column = l->facts->owner_column;
    owner->each = cs_load_array(l, each, cs_load_ptr(l, ptr, "each"));
    owner->find = cs_load_item_find(l, find, owner->each, cs_load_ptr(l, ptr, "find"));
    owner->otherwise = apr_pstrdup(l->p, cs_json_str(json, "else"));
    if (owner->find && !owner->find->off_why && !has_plain_key(owner->find)) {
        cs_load_error(
            l, cs_load_ptr(l, ptr, "find"),
            "\"%s\" does not find a user by one member; allowed: a look-up whose first key "
            "is one column and one member, for example {\"internalemailaddress\": "
            "\"email\"}",
            find);
    }
    return owner->find && owner->each && !owner->find->off_why ? owner : NULL;
}

/* A key that asks for a row which is switched off is no key. */
static int is_off(const cs_load_t *l, const apr_array_header_t *set)
{
    int i, j;

    for (i = 0; i < set->nelts; i++) {
        const char *found = APR_ARRAY_IDX(set, i, cs_find_part_t).found;

        for (j = 0; found && j < l->finds->nelts; j++) {
            const cs_find_t *find = APR_ARRAY_IDX(l->finds, j, const cs_find_t *);

            if (find->off_why && !strcmp(find->name, found)) {
                return 1;
            }
        }
    }
    return 0;
}

static void check_match_set(cs_load_t *l, const apr_array_header_t *set, const char *ptr)
{
    int i, j;

    for (i = 0; i < set->nelts; i++) {
        const char *found = APR_ARRAY_IDX(set, i, cs_find_part_t).found;

        for (j = 0; found && j < l->finds->nelts; j++) {
            const cs_find_t *find = APR_ARRAY_IDX(l->finds, j, const cs_find_t *);
            int same = !strcmp(find->name, found);

            if (same && (cs_find_asks_member(find) || cs_find_asks_own(find))) {
                cs_load_error(l, ptr,
                              "\"%s\" asks for an item of a list or a line's own value; allowed: a "
                              "look-up by paths",
                              found);
            }
        }
    }
}

const cs_match_t *cs_load_match(cs_load_t *l, const json_t *json, const char *ptr)
{
    static const cs_member_t members[] = {
        {"by", CS_J_ARRAY, NULL}, {"then", CS_J_TEXT, NULL}, {NULL, 0, NULL}};
    static const char *const thens[] = {"propose", NULL};
    cs_match_t *match = apr_pcalloc(l->p, sizeof(*match));
    apr_array_header_t *all;
    int i;

    if (!cs_load_members(l, json, ptr, members)) {
        return NULL;
    }
    cs_load_word(l, json, ptr, "then", thens, 0);
    all = cs_load_match_sets(l, cs_json_get(json, "by"), cs_load_ptr(l, ptr, "by"));
    match->by = apr_array_make(l->p, 2, sizeof(apr_array_header_t *));
    for (i = 0; i < all->nelts; i++) {
        apr_array_header_t *set = APR_ARRAY_IDX(all, i, apr_array_header_t *);

        check_match_set(l, set, cs_load_ptr(l, ptr, "by"));
        if (!is_off(l, set)) {
            APR_ARRAY_PUSH(match->by, apr_array_header_t *) = set;
        }
    }
    return match->by->nelts ? match : NULL;
}

const cs_becomes_t *cs_load_becomes(cs_load_t *l, const char *kind, const json_t *json,
                                    const json_t *records, const char *ptr)
{
    static const cs_member_t members[] = {{"record", CS_J_TEXT, NULL},
                                          {"via", CS_J_TEXT, NULL},
                                          {"on_accept_in_pc", CS_J_TEXT, NULL},
                                          {NULL, 0, NULL}};
    static const char *const actions[] = {"tell-seller", "qualify", NULL};
    cs_becomes_t *becomes = apr_pcalloc(l->p, sizeof(*becomes));
    const char *record = cs_json_str(json, "record"), *via = cs_json_str(json, "via");

    if (!cs_load_members(l, json, ptr, members)) {
        return NULL;
    }
    if (!record || !via) {
        cs_load_error(l, ptr,
                      "\"record\" and \"via\" belong together; allowed: a record kind, and the "
                      "column that names the new row");
        return NULL;
    }
    if (!json_is_object(cs_json_get(records, record)) || !strcmp(record, kind)) {
        cs_load_error(l, cs_load_ptr(l, ptr, "record"),
                      "\"%s\" is no other record kind; allowed: %s", record,
                      cs_load_names_of(l, records, ""));
        return NULL;
    }
    becomes->record = apr_pstrdup(l->p, record);
    becomes->via = cs_load_own_column(l, via, cs_load_ptr(l, ptr, "via"));
    becomes->qualify = cs_load_word(l, json, ptr, "on_accept_in_pc", actions, 0);
    if (becomes->qualify && !l->facts->qualify) {
        cs_load_error(l, cs_load_ptr(l, ptr, "on_accept_in_pc"),
                      "this CRM has no such action; allowed: tell-seller");
    }
    return becomes->via && becomes->via->text ? becomes : NULL;
}
