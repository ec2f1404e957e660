/* domain/create_connected.c: Microsoft's card of an engagement: the own one as it will be, and what
 * is said to Microsoft. (deals 3 (f); partner-center-api.md 4.5)
 *
 * What the engagement is about comes from the own card and not from the record: customer and
 * address are fixed there, and both cards must say the same.
 */
#include <apr_strings.h>
#include <string.h>

#include "create_internal.h"

static void copy_member(json_t *to, const json_t *from, const char *name)
{
    const json_t *value = cs_json_get(from, name);

    if (value && !json_is_null(value)) {
        json_object_set_new(to, name, json_deep_copy(value));
    }
}

static json_t *copy_members(const json_t *from, const char *const *names)
{
    json_t *to = json_object();

    for (; *names; names++) {
        copy_member(to, from, *names);
    }
    return to;
}

/* Without what Partner Center itself found out about them. */
static void strip_people(json_t *people)
{
    json_t *one;
    size_t i;

    json_array_foreach(people, i, one) {
        json_object_del(one, "emailValidationStatus");
        json_object_del(one, "phoneValidationStatus");
    }
}

/* The own card as it is when everything planned has arrived there. */
static json_t *own_to_be(cs_planning_t *pl)
{
    json_t *doc = cs_json_own(json_deep_copy(pl->look->own->doc), pl->ptemp);
    json_t *ops = cs_json_own(json_array(), pl->ptemp), *op;
    apr_array_header_t *names = apr_array_make(pl->ptemp, 4, sizeof(const char *));
    size_t n;
    int i;

    for (i = 0; i < pl->kind->lines->nelts; i++) {
        const cs_line_view_t *view = APR_ARRAY_IDX(pl->plan->lines, i, cs_line_view_t *);

        if (view->to_pc) {
            cs_line_operations(ops, APR_ARRAY_IDX(pl->kind->lines, i, cs_line_t *), &pl->table,
                               view->value, pl->doc, pl->p);
        }
    }
    cs_list_operations(pl, ops, names, NULL);
    json_array_foreach(ops, n, op) {
        cs_json_pointer_set(doc, cs_json_str(op, "path"), json_incref(cs_json_get(op, "value")));
    }
    return doc;
}

static int is_complete(const json_t *one)
{
    int i;

    for (i = 0; cs_create_person[i]; i++) {
        if (cs_value_empty(cs_json_get(one, cs_create_person[i]))) {
            return 0;
        }
    }
    return 1;
}

/* Microsoft calls somebody. */
static void check_customer(cs_planning_t *pl, cs_making_t *m)
{
    const json_t *people = cs_json_pointer(m->doc, CS_CREATE_CUSTOMERS);
    cs_lack_t *lack;
    size_t i;
    int j;

    for (i = 0; i < json_array_size(people); i++) {
        if (is_complete(json_array_get(people, i))) {
            return;
        }
    }
    lack = cs_create_lack(pl, m, CS_CREATE_CUSTOMERS, NULL);
    for (j = 0; j < pl->lists->nelts; j++) {
        const cs_listing_t *l = APR_ARRAY_IDX(pl->lists, j, cs_listing_t *);
        int k;

        if (strcmp(l->list->pc->bare, CS_CREATE_CUSTOMERS) || !l->list->to_pc) {
            continue;
        }
        lack->line = l->list->name;
        lack->list = l->list;
        for (k = 0; k < l->items->nelts && !lack->item; k++) {
            const cs_line_view_t *view = APR_ARRAY_IDX(l->items, k, cs_list_item_t *)->view;

            if (json_is_object(view->crm)) {
                lack->item = view;
                lack->member = cs_create_lacks_member(pl, l->list, view->crm);
            }
        }
    }
}

void cs_create_connected(cs_planning_t *pl, cs_making_t *m)
{
    static const char *const top[] = {"name", "qualification", "team", NULL};
    static const char *const customer[] = {"name", "size", "address", "team", "ids", NULL};
    static const char *const details[] = {"notes",           "dealValue",    "currency",
                                          "closingDateTime", "requirements", NULL};
    json_t *own = own_to_be(pl);

    m->lines = apr_array_make(pl->p, 4, sizeof(const char *));
    m->lacks = apr_array_make(pl->p, 2, sizeof(cs_lack_t *));
    m->doc = cs_json_own(copy_members(own, top), pl->p);
    json_object_set_new(m->doc, "customerProfile",
                        copy_members(cs_json_get(own, "customerProfile"), customer));
    json_object_set_new(m->doc, "details", copy_members(cs_json_get(own, "details"), details));
    strip_people(cs_json_get(m->doc, "team"));
    strip_people(cs_json_get(cs_json_get(m->doc, "customerProfile"), "team"));
    copy_member(m->doc, own, "consent");
    json_object_set_new(cs_create_object(m->doc, "consent"), CS_CREATE_SHARE, json_true());
    json_object_set_new(m->doc, "type", json_string("Shared"));
    json_object_set_new(m->doc, "engagementId", json_string(pl->look->own->engagement_id));
    json_object_set_new(m->doc, "target",
                        json_pack("[{s:s,s:s}]", "type", "BusinessProfileLocation", "id", "msft"));
    cs_create_invite(pl, m, m->doc);
    check_customer(pl, m);
    cs_create_finish(pl, m);
}
