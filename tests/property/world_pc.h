/* Partner Center's side of a world.
 */
#ifndef CS_TESTS_PROPERTY_WORLD_PC_H
#define CS_TESTS_PROPERTY_WORLD_PC_H

#include "typed.h"

/* ---- Partner Center ---- */

/* Takes value. Nothing is a member that is absent or null. */
static void pc_set(world_t *w, const char *path, json_t *value)
{
    json_t *at = w->doc;
    char *rest, *part, *last = NULL, *select;

    if (!strncmp(path, "microsoft:", 10) || !strncmp(path, "invite:", 7)) {
        at = w->ms ? w->ms : w->doc;
        if (!w->ms && *path == 'm') {
            json_decref(value);
            return;
        }
    }
    rest = apr_pstrdup(w->p, strchr(path, '/') + 1);
    for (part = strsep(&rest, "/"); part; part = strsep(&rest, "/")) {
        json_t *next;

        if (!rest) {
            last = part;
            break;
        }
        select = strchr(part, '[');
        if (select) {
            *select = '\0';
        }
        next = json_object_get(at, part);
        if (!next) {
            next = select ? json_pack("[{}]") : json_object();
            json_object_set_new(at, part, next);
        }
        at = select ? json_array_get(next, 0) : next;
    }
    if (json_is_null(value) && chance(w, "null", path, 2)) {
        json_object_del(at, last);
        json_decref(value);
    }
    else {
        json_object_set_new(at, last, value);
    }
}

static const char *pc_state(const world_t *w)
{
    cs_card_t card = {.doc = w->doc};

    return cs_state_of_card(&card, w->p);
}

static void pc_moves(world_t *w)
{
    static const char *const forms[][2] = {{"Active", "Accepted"}, {"Active", "Accepted"}, {"New", "Received"},   {"Closed", "Won"},
                                           {"Closed", "Lost"},     {"Closed", "Declined"}, {"Closed", "Expired"}, {"Closed", "Error"}};
    unsigned i = chance(w, "pc-state", "form", 8);

    if (cs_state_may_move(pc_state(w), apr_pstrcat(w->p, forms[i][0], "/", forms[i][1], NULL))) {
        json_object_set_new(w->doc, "status", json_string(forms[i][0]));
        json_object_set_new(w->doc, "substatus", json_string(forms[i][1]));
    }
}

static json_t *pc_item(const world_t *w, const char *key, int mail)
{
    json_t *item = mail ? json_pack("{s:s,s:s}", "email", key, "firstName", chance(w, "item-name", key, 3) ? key : "Zed")
                        : json_pack("{s:s,s:s,s:i,s:s}", "id", key, "name", chance(w, "item-name", key, 3) ? "Backup" : "Cloud", "quantity",
                                    (int)chance(w, "item-quantity", key, 4), "solutionType", "kept");

    if (!mail && chance(w, "item-price", key, 2)) {
        json_object_set_new(item, "price", json_real(chance(w, "item-real", key, 2) ? 0.1 : 0.30000000000000004));
    }
    if (mail && chance(w, "item-first", key, 6) == 0) {
        json_object_del(item, "firstName");
    }
    return item;
}

/* One thing happens to an array. */
static void pc_edits_array(world_t *w, const char *path, const char *member, const char *const *keys)
{
    int mail = !strcmp(member, "email");
    json_t *array = cs_json_pointer(w->doc, path), *item;
    const char *key = keys[chance(w, "pc-key", path, KEYS)];
    size_t i, found = (size_t)-1;

    if (!json_is_array(array)) {
        array = json_array();
        cs_json_pointer_set(w->doc, path, array);
    }
    json_array_foreach(array, i, item) {
        found = has_key(item, member, key) ? i : found;
    }
    switch (chance(w, "pc-array", path, 8)) {
    case 0: /* without a key */
        json_array_append_new(array, json_pack("{s:s}", mail ? "lastName" : "name", "Keyless"));
        break;
    case 1: /* turned round */
        if (json_array_size(array) > 1) {
            item = json_incref(json_array_get(array, 0));
            json_array_remove(array, 0);
            json_array_append_new(array, item);
        }
        break;
    case 2: /* another spelling */
        json_array_append_new(array, pc_item(w, apr_pstrcat(w->p, chance(w, "pc-blank", path, 2) ? " " : "", key, " ", NULL), mail));
        break;
    case 3:
        if (chance(w, "pc-array-null", path, 4) == 0) {
            cs_json_pointer_set(w->doc, path, json_null());
            break;
        }
        /* fall through */
    default:
        if (found == (size_t)-1) {
            json_array_append_new(array, pc_item(w, key, mail));
        }
        else if (chance(w, "pc-change", path, 2)) {
            json_array_set_new(array, found, pc_item(w, key, mail));
        }
        else {
            json_array_remove(array, found);
        }
    }
}

/* Consent is never taken back, there no more than here. */
static int is_fixed_there(const world_t *w, const slot_t *slot)
{
    return w->knobs->both && slot->type == SLOT_FLAG && json_is_true(cs_json_pointer(w->doc, slot->pc));
}

static void pc_edits_slot(world_t *w, const slot_t *slot)
{
    if (slot->type == SLOT_MONEY) {
        static const pool_t currencies = POOL(pc_currencies);

        if (chance(w, "pc-money", slot->line, 3)) {
            pc_set(w, slot->pc, drawn(w, &pc_pools[SLOT_MONEY], "pc-value", slot->line));
        }
        if (chance(w, "pc-money2", slot->line, 2)) {
            pc_set(w, slot->pc2, drawn(w, &currencies, "pc-currency", slot->line));
        }
    }
    else if (slot->pc && !strstr(slot->pc, "team[first]") && !is_fixed_there(w, slot)) {
        pc_set(w, slot->pc, drawn(w, &pc_pools[slot->type], "pc-value", slot->line));
    }
}

/* Somebody at work in the portal. */
static void pc_edits(world_t *w)
{
    const json_t *before = world_copy(w, w->doc);
    size_t i;

    if (!cs_state_is_terminal(pc_state(w))) {
        for (i = 0; i < SLOTS; i++) {
            if (chance(w, "pc-edit", slots[i].line, 5) == 0 && !is_muted(w, 1, i)) {
                pc_edits_slot(w, &slots[i]);
            }
        }
        if (!w->knobs->no_lists_edits) {
            if (chance(w, "pc-edit", "solutions", 2) == 0) {
                pc_edits_array(w, "/details/requirements/solutions", "id", item_keys);
            }
            if (chance(w, "pc-edit", "contacts", 3) == 0) {
                pc_edits_array(w, "/customerProfile/team", "email", mail_keys);
            }
            if (chance(w, "pc-edit", "team", 3) == 0) {
                pc_edits_array(w, "/team", "email", mail_keys);
            }
        }
    }
    if (chance(w, "pc-state", "moves", 6) == 0 && !w->knobs->no_state_moves) {
        pc_moves(w);
    }
    w->pc_version += !json_equal(before, w->doc);
}

/* One value, while a look is under way. */
static void pc_interferes(world_t *w)
{
    size_t i = chance(w, "interferes", NULL, SLOTS);

    if (w->doc && !cs_state_is_terminal(pc_state(w)) && !is_muted(w, 1, i)) {
        w->doc = world_copy(w, w->doc);
        pc_edits_slot(w, &slots[i]);
        w->pc_version++;
    }
}

#endif
