/* What Partner Center makes of a change of a referral: add and replace of the paths it documents, the whole patch or nothing, guarded by the eTag; then its
 * habits with single values. (partner-center-api.md 4.6, 4.7, 4.10)
 */
#ifndef CS_TESTS_PROPERTY_WORLD_PC_WRITE_H
#define CS_TESTS_PROPERTY_WORLD_PC_WRITE_H

#include "world_pc.h"

#define PATH_VISIBLE "/consent/consentToShareReferralWithMicrosoftSellers"

/* Why a patch is refused, and the path that the answer names; NULL = it names none. */
typedef struct pc_no_t {
    const char *why, *target;
} pc_no_t;

static quirk_e pc_quirk_of(const world_t *w, const char *path)
{
    if (!w->knobs->both || w->knobs->no_pc_quirks || trait(w, "pc-quirks", "any", 3) == 0 || trait(w, "pc-quirk", path, 5) || !strcmp(path, "/substatus") ||
        !strcmp(path, "/statusReason") || !strcmp(path, "/externalReferenceId")) {
        return QUIRK_KEEPS;
    }
    return (quirk_e)(1 + trait(w, "which-pc-quirk", path, QUIRK_COUNT - 1));
}

static int is_among(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (!strcmp(text, *words)) {
            return 1;
        }
    }
    return 0;
}

static int is_array_path(const char *path)
{
    static const char *const arrays[] = {"/details/requirements/solutions", "/team", "/customerProfile/team", NULL};

    return is_among(path, arrays);
}

/* The paths that are known to be taken; others may fail. */
static int is_listed(const char *path)
{
    static const char *const listed[] = {"/status", "/substatus", "/statusReason", "/salesStage", "/details/dealValue", "/details/currency",
                                         "/details/closingDateTime", "/details/notes", PATH_VISIBLE, "/externalReferenceId", "/campaignId", "/referralProgram",
                                         NULL};

    return is_among(path, listed) || is_array_path(path);
}

static json_t *parent_of(const world_t *w, json_t *doc, const char *path, const char **plast)
{
    const char *slash = strrchr(path, '/');

    *plast = slash + 1;
    return slash == path ? doc : cs_json_pointer(doc, apr_pstrmemdup(w->p, path, (apr_size_t)(slash - path)));
}

static int is_shared(const json_t *doc)
{
    return json_is_true(cs_json_pointer((json_t *)doc, PATH_VISIBLE));
}

/* ---- rules ---- */

static int breaks_rule(const world_t *w, json_t *doc, const char *path, const json_t *value, pc_no_t *no)
{
    const json_t *now = cs_json_pointer(doc, path);

    no->target = path;
    if (!is_listed(path)) {
        no->why = "not a path that can be changed";
    }
    else if (!strcmp(path, PATH_VISIBLE) && json_is_true(now) && !json_is_true(value)) {
        no->why = "consent cannot be taken back";
    }
    else if (!strcmp(path, "/customerProfile/team") && is_shared(doc) && w->knobs->both && trait(w, "frozen", NULL, 2)) {
        no->why = "shown to Microsoft already";
    }
    else if (!strcmp(path, "/details/dealValue") && !json_is_number(value)) {
        no->why = "no number";
    }
    else if (!strcmp(path, "/details/currency") && !json_is_string(value)) {
        no->why = "no currency";
    }
    else {
        return 0;
    }
    return 1;
}

static int item_is_disliked(const json_t *array)
{
    json_t *item;
    size_t i;

    json_array_foreach((json_t *)array, i, item) {
        const char *key = cs_json_str(item, "id") ? cs_json_str(item, "id") : cs_json_str(item, "email");

        if (key && (!strcasecmp(key, "S3") || !strcasecmp(key, "cid@x.org"))) {
            return 1;
        }
    }
    return 0;
}

/* Some do not take what others take. */
static int is_disliked(const world_t *w, const char *path, const json_t *value, pc_no_t *no)
{
    const char *text = json_string_value(value);
    quirk_e quirk = pc_quirk_of(w, path);

    no->why = "a value that this service does not take";
    no->target = quirk == QUIRK_REFUSES_DUMBLY ? NULL : path;
    switch (quirk) {
    case QUIRK_REFUSES:
    case QUIRK_REFUSES_DUMBLY:
        return 1;
    case QUIRK_REFUSES_SOME:
        return json_is_array(value) ? item_is_disliked(value)
                                    : (json_is_number(value) && json_number_value(value) >= 50000) || (text && strpbrk(text, "BW4")) || json_is_true(value);
    default:
        return 0;
    }
}

/* ---- habits ---- */

static json_t *quirky_text(const world_t *w, quirk_e quirk, const char *text);

static json_t *kept_array(const world_t *w, const char *path, const json_t *value)
{
    json_t *out = json_deep_copy(value), *item;
    const char *member = strstr(path, "team") ? "email" : "id", *key;
    quirk_e quirk = pc_quirk_of(w, path);
    size_t i;

    json_array_foreach(out, i, item) {
        key = cs_json_str(item, member);
        if (quirk == QUIRK_UPPER && key) {
            json_object_set_new(item, member, quirky_text(w, quirk, key));
        }
        else if (quirk == QUIRK_ROUNDS) {
            json_object_set_new(item, "emailValidationStatus", json_string("Unknown"));
        }
    }
    if (quirk == QUIRK_CUTS && json_array_size(out) > 2) {
        json_array_remove(out, 2);
    }
    if (quirk == QUIRK_TRIMS && json_array_size(out) > 1) {
        item = json_incref(json_array_get(out, 0));
        json_array_remove(out, 0);
        json_array_append_new(out, item);
    }
    return out;
}

static int is_instant(const char *text)
{
    return strlen(text) >= 20 && text[4] == '-' && text[10] == 'T';
}

/* What is stored of a value; NULL = it is ignored. */
static json_t *pc_kept(const world_t *w, const char *path, const json_t *value)
{
    quirk_e quirk = pc_quirk_of(w, path);
    const char *text = json_string_value(value), *rounded;

    if (!strcmp(path, "/status") || quirk == QUIRK_KEEPS) {
        return json_deep_copy(value);
    }
    if (quirk == QUIRK_IGNORES || quirk == QUIRK_CALCULATES) {
        return NULL;
    }
    if (json_is_array(value)) {
        return kept_array(w, path, value);
    }
    if (json_is_number(value) && quirk == QUIRK_ROUNDS &&
        cs_decimal_from_json(&rounded, (json_t *)value, 0, w->p) == APR_SUCCESS) {
        return cs_decimal_to_json(rounded);
    }
    if (text && is_instant(text)) {
        return json_string(quirk == QUIRK_ROUNDS ? apr_pstrcat(w->p, apr_pstrndup(w->p, text, 10), "T00:00:00Z", NULL) : text);
    }
    return text && strcmp(path, "/details/currency") ? quirky_text(w, quirk, text) : json_deep_copy(value);
}

/* ---- one patch ---- */

static int takes_op(const world_t *w, json_t *doc, const json_t *op, pc_no_t *no)
{
    const char *path = cs_json_str(op, "path"), *word = cs_json_str(op, "op"), *last;
    const json_t *value = json_object_get(op, "value");
    json_t *parent = parent_of(w, doc, path, &last), *kept_value;

    no->target = path;
    if (breaks_rule(w, doc, path, value, no) || is_disliked(w, path, value, no)) {
        return 0;
    }
    if (!json_is_object(parent) || (!strcmp(word, "replace") && !json_object_get(parent, last))) {
        no->why = "the target of a replace is not there";
        return 0;
    }
    kept_value = pc_kept(w, path, value);
    if (kept_value) {
        json_object_set_new(parent, last, kept_value);
    }
    return 1;
}

static int takes_state(const world_t *w, const json_t *doc, const json_t *next, pc_no_t *no)
{
    cs_card_t before = {.doc = (json_t *)doc}, after = {.doc = (json_t *)next};
    const char *from = cs_state_of_card(&before, w->p), *to = cs_state_of_card(&after, w->p);

    no->target = "/status";
    no->why = "not a way from this status";
    return !strcmp(from, to) || cs_state_may_move(from, to);
}

static const char *pc_etag(const world_t *w, int version)
{
    return apr_psprintf(w->p, "\"%d\"", version);
}

static cs_card_t *pc_card(const world_t *w, json_t *doc, int version)
{
    cs_card_t *card = apr_pcalloc(w->p, sizeof(*card));

    card->id = WORLD_REFERRAL;
    card->organization_id = "own";
    card->etag = pc_etag(w, version);
    card->updated = version_at(version);
    card->doc = world_copy(w, doc);
    return card;
}

static void pc_refuse(const world_t *w, cs_pc_write_t *write, cs_class_e cls, const char *why, const char *target)
{
    cs_result_set(&write->result, w->p, CS_EREMOTE, cls, "pc:refused", "Partner Center: %s", why);
    write->result.said = apr_pstrdup(w->p, why);
    write->result.blames = target;
}

/* The service without the network before it. */
static void pc_patch(world_t *w, cs_pc_write_t *write, const cs_step_t *step)
{
    json_t *doc = world_copy(w, w->doc), *op;
    pc_no_t no = {NULL, NULL};
    size_t i;

    cs_result_clear(&write->result);
    write->card = NULL;
    if (!doc) {
        pc_refuse(w, write, CS_CLASS_GONE, "there is no such referral", NULL);
        return;
    }
    if (!write->guard || strcmp(write->guard, pc_etag(w, w->pc_version))) {
        pc_refuse(w, write, CS_CLASS_CONFLICT, "the eTag does not match", "ETag");
        return;
    }
    w->saw_patch(w, step, write->body);
    if (cs_state_is_terminal(pc_state(w))) {
        pc_refuse(w, write, CS_CLASS_DATA, "a closed referral cannot be changed", NULL);
        return;
    }
    json_array_foreach((json_t *)write->body, i, op) {
        if (!takes_op(w, doc, op, &no)) {
            pc_refuse(w, write, CS_CLASS_DATA, no.why, no.target);
            return;
        }
    }
    if (!takes_state(w, w->doc, doc, &no)) {
        pc_refuse(w, write, CS_CLASS_DATA, no.why, no.target);
        return;
    }
    w->doc = doc;
    w->pc_version++;
    w->pc_writes++;
    write->card = w->pc_silent ? NULL : pc_card(w, w->doc, w->pc_version);
}

#endif
