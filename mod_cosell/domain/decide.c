#include "decide.h"

#include <string.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "reconcile_internal.h"

/* What was remembered is of another record, or of none. */
static void forget(cs_deal_t *deal)
{
    deal->images = NULL;
    deal->intent = NULL;
    deal->told = NULL;
    deal->crm_version = NULL;
    deal->pc_version = NULL;
    deal->problem = NULL;
}

static void point_to(cs_deal_t *deal, const char *crm, const cs_mapping_kind_t *kind,
                     const char *record_id)
{
    forget(deal);
    deal->crm = crm;
    deal->kind = cs_mapping_kind_name(kind);
    deal->table = cs_mapping_kind_table(kind);
    deal->record_id = record_id;
}

void cs_decide_link(cs_deal_t *deal, const char *crm, const cs_mapping_kind_t *kind,
                    const char *record_id)
{
    point_to(deal, crm, kind, record_id);
    deal->state = CS_DEAL_LINKED;
}

/* As if a look had begun to make it: that is what holds against what the referral names. */
void cs_decide_create(cs_deal_t *deal, const char *crm, const cs_mapping_kind_t *kind,
                      apr_pool_t *p)
{
    const char *table = cs_mapping_kind_table(kind);
    const char *id = cs_uuid5_url(
        apr_psprintf(p, "cosell:%s:%s:%s:", deal->site, deal->referral_id, table), p);

    point_to(deal, crm, kind, id);
    deal->state = CS_DEAL_NEW;
    deal->intent = cs_json_own(json_pack("{s:[{s:s, s:{}}]}", "steps", "kind",
                                         cs_step_kind_name(CS_STEP_CREATE), "lines"),
                               p);
}

void cs_decide_rest(cs_deal_t *deal, const char *why, apr_pool_t *p)
{
    deal->state = CS_DEAL_UNLINKED;
    deal->problem = why;
    deal->intent = NULL;
    deal->next_look = 0;
    deal->causes = cs_json_own(json_object(), p);
}

static int can_be_decided(const json_t *image)
{
    const char *rest = cs_json_str(image, "rest");

    return rest && (!strcmp(rest, CS_REST_HELD) || !strcmp(rest, CS_REST_INTRODUCED)) &&
           json_object_get(image, "pc") && json_object_get(image, "crm");
}

static const char *decidable_lines(const cs_deal_t *deal, apr_pool_t *p)
{
    const char *line, *names = "";
    json_t *image;

    json_object_foreach(deal->images, line, image) {
        if (*line != '$' && can_be_decided(image)) {
            names = apr_pstrcat(p, names, *names ? ", " : "", line, NULL);
        }
    }
    return names;
}

const char *cs_decide_conflict(cs_deal_t *deal, const char *line, int for_pc, apr_pool_t *p)
{
    json_t *images = cs_json_own(deal->images ? json_deep_copy(deal->images) : json_object(), p);
    json_t *image = json_object_get(images, line);
    const char *names = decidable_lines(deal, p);

    if (*line == '$' || !can_be_decided(image)) {
        return apr_psprintf(p, "nothing of \"%.80s\" waits for a decision; %s%.400s", line,
                            *names ? "these do: " : "nothing else does", names);
    }
    /* The side that counts is compared with what the other shows: it has moved, the other has
     * not. */
    if (for_pc) {
        json_object_set(image, "pc", json_object_get(image, "crm"));
    }
    else {
        json_object_set(image, "crm", json_object_get(image, "pc"));
    }
    json_object_set_new(image, "rest", json_string(CS_REST_HELD));
    deal->images = images;
    return NULL;
}
