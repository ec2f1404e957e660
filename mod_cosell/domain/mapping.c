/* domain/mapping.c: questions to a loaded mapping, and what a referral is. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/crypto.h"
#include "mapping_internal.h"
#include "state.h"

#define MICROSOFT "msft"

const char *cs_mapping_revision(const cs_mapping_t *mapping)
{
    return mapping->revision;
}

const char *cs_mapping_digest(const cs_mapping_t *mapping)
{
    return mapping->digest;
}

const cs_mapping_kind_t *cs_mapping_kind(const cs_mapping_t *mapping, const char *name)
{
    int i;

    for (i = 0; name && i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *kind = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);

        if (!strcmp(kind->name, name)) {
            return kind;
        }
    }
    return NULL;
}

const cs_mapping_kind_t *cs_mapping_kind_at(const cs_mapping_t *mapping, int i)
{
    return i >= 0 && i < mapping->kinds->nelts
               ? APR_ARRAY_IDX(mapping->kinds, i, const cs_mapping_kind_t *)
               : NULL;
}

const char *cs_mapping_kind_name(const cs_mapping_kind_t *kind)
{
    return kind->name;
}

const char *cs_mapping_kind_table(const cs_mapping_kind_t *kind)
{
    return kind->table;
}

const apr_array_header_t *cs_mapping_columns(const cs_mapping_kind_t *kind)
{
    return kind->columns;
}

const apr_array_header_t *cs_mapping_lookups(const cs_mapping_kind_t *kind)
{
    return kind->lookups;
}

const apr_array_header_t *cs_mapping_related(const cs_mapping_kind_t *kind)
{
    return kind->related;
}

const cs_mapping_kind_t *cs_mapping_becomes(const cs_mapping_kind_t *kind, const char **pvia)
{
    if (!kind->becomes) {
        return NULL;
    }
    if (pvia) {
        *pvia = kind->becomes->via->name;
    }
    return cs_mapping_kind(kind->mapping, kind->becomes->record);
}

int cs_mapping_takes_leads(const cs_mapping_kind_t *kind)
{
    return kind->leads;
}

json_t *cs_mapping_key_of(const cs_mapping_kind_t *kind, const cs_deal_t *deal, apr_pool_t *p)
{
    if (!kind->mapping->facts->names_rows || !kind->external_id || !deal->referral_id ||
        !deal->record_id || !cs_uuid_valid(deal->record_id, strlen(deal->record_id))) {
        return NULL;
    }
    return cs_json_own(json_pack("{s:s}", kind->external_id, deal->referral_id), p);
}

/* ---- what a referral is ---- */

const char *const cs_referral_kinds[] = {
    "co-sell", "p2p", "partner-led", "private", "marketplace-lead", "qualified-lead", NULL};

static int is_word(const json_t *doc, const char *name, const char *word)
{
    const char *text = cs_json_str(doc, name);

    return text && !strcasecmp(text, word);
}

static int is_lead(const char *kind)
{
    return !strcmp(kind, "marketplace-lead") || !strcmp(kind, "qualified-lead");
}

static int has_partner(const apr_array_header_t *others, const char *organization)
{
    int i;

    for (i = 0; others && i < others->nelts; i++) {
        const char *theirs = APR_ARRAY_IDX(others, i, const cs_card_t *)->organization_id;

        if (theirs && strcasecmp(theirs, MICROSOFT) &&
            (!organization || strcasecmp(theirs, organization))) {
            return 1;
        }
    }
    return 0;
}

const char *cs_referral_kind(const cs_card_t *own, const cs_card_t *microsoft,
                             const apr_array_header_t *others, const char *organization)
{
    const json_t *doc = own->doc;
    const char *inviter =
        cs_json_str(cs_json_get(cs_json_get(doc, "inviteContext"), "invitedBy"), "organizationId");
    int by_microsoft = inviter && !strcasecmp(inviter, MICROSOFT);
    const json_t *consent = cs_json_get(doc, "consent");

    if (inviter && !*inviter) {
        inviter = NULL;
    }
    if (is_word(doc, "type", "Independent") && (!inviter || by_microsoft)) {
        if (is_word(doc, "qualification", "Direct")) {
            return "marketplace-lead";
        }
        if (by_microsoft && (is_word(doc, "qualification", "SalesQualified") ||
                             is_word(doc, "qualification", "MarketingQualified"))) {
            return "qualified-lead";
        }
    }
    if (microsoft || by_microsoft) {
        return "co-sell";
    }
    if (has_partner(others, organization) ||
        (inviter && organization && strcasecmp(inviter, organization))) {
        return "p2p";
    }
    return cs_json_bool(consent, "consentToShareReferralWithMicrosoftSellers", 0) ? "partner-led"
                                                                                  : "private";
}

/* ---- which kind of record takes it ---- */

#define CAN_HOLD 1
#define CAN_FAIL 2

/* What can become of a condition when only the kind of the referral is known. */
static int outcomes(const cs_cond_t *cond, const char *kind)
{
    const cs_cond_world_t world = {NULL, NULL, kind};
    int i, out;

    switch (cond->op) {
    case CS_COND_TRUE:
        return CAN_HOLD;
    case CS_COND_FALSE:
        return CAN_FAIL;
    case CS_COND_NOT:
        out = outcomes(APR_ARRAY_IDX(cond->items, 0, const cs_cond_t *), kind);
        return (out & CAN_HOLD ? CAN_FAIL : 0) | (out & CAN_FAIL ? CAN_HOLD : 0);
    case CS_COND_ALL:
    case CS_COND_ANY:
        out = cond->op == CS_COND_ALL ? CAN_HOLD : CAN_FAIL;
        for (i = 0; i < cond->items->nelts; i++) {
            int one = outcomes(APR_ARRAY_IDX(cond->items, i, const cs_cond_t *), kind);

            out = cond->op == CS_COND_ALL ? (out & one & CAN_HOLD) | ((out | one) & CAN_FAIL)
                                          : (out & one & CAN_FAIL) | ((out | one) & CAN_HOLD);
        }
        return out;
    default:
        if (!cond->kind) {
            return CAN_HOLD | CAN_FAIL;
        }
        return cs_cond_holds(cond, &world) == 1 ? CAN_HOLD : CAN_FAIL;
    }
}

/* The condition speaks of this kind, to whatever end. */
static int names_kind(const cs_cond_t *cond, const char *kind)
{
    size_t n;
    int i;

    for (i = 0; cond->items && i < cond->items->nelts; i++) {
        if (names_kind(APR_ARRAY_IDX(cond->items, i, const cs_cond_t *), kind)) {
            return 1;
        }
    }
    if (!cond->kind) {
        return 0;
    }
    for (n = 0; n < json_array_size(cond->arg); n++) {
        const char *word = json_string_value(json_array_get(cond->arg, n));

        if (word && !strcmp(word, kind)) {
            return 1;
        }
    }
    return json_is_string(cond->arg) && !strcmp(json_string_value(cond->arg), kind);
}

int cs_cond_takes_leads(const cs_cond_t *cond)
{
    int i;

    for (i = 0; cond && cs_referral_kinds[i]; i++) {
        const char *kind = cs_referral_kinds[i];

        if (is_lead(kind) && names_kind(cond, kind) && (outcomes(cond, kind) & CAN_HOLD)) {
            return 1;
        }
    }
    return 0;
}

/* Leads go only where they are asked for: "when": true is said by people who think of deals. */
static const cs_mapping_kind_t *route(const cs_mapping_t *mapping, const char *kind,
                                      const json_t *doc)
{
    const cs_cond_world_t world = {doc, NULL, kind};
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *k = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);

        if (k->from_pc_when && (k->leads || !is_lead(kind)) &&
            cs_cond_holds(k->from_pc_when, &world) == 1) {
            return k;
        }
    }
    return NULL;
}

const cs_mapping_kind_t *cs_mapping_route_kind(const cs_mapping_t *mapping, const char *kind,
                                               const cs_card_t *own)
{
    return route(mapping, kind, own->doc);
}

const cs_mapping_kind_t *cs_mapping_route(const cs_mapping_t *mapping, const cs_card_t *own,
                                          const cs_card_t *microsoft, const char *organization,
                                          int *plead, apr_pool_t *ptemp)
{
    const char *kind = cs_referral_kind(own, microsoft, NULL, organization);
    const json_t *doc = own->doc;

    *plead = is_lead(kind);
    if (microsoft && microsoft->doc && doc) {
        json_t *both = cs_json_own(json_copy((json_t *)doc), ptemp);

        json_object_set(both, CS_DOC_MICROSOFT, microsoft->doc);
        doc = both;
    }
    return route(mapping, kind, doc);
}

/* ---- members of a referral ---- */

typedef struct member_t {
    const char *path, *fact;
    int array;
} member_t;

static const member_t members[] = {
#define CS_PATH(path, fact) {path, fact, 0},
#define CS_ARRAY(path, fact) {path, fact, 1},
#include "paths.inc"
#undef CS_ARRAY
#undef CS_PATH
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static const member_t *member_of(const char *path)
{
    size_t i;

    for (i = 0; i < MEMBERS; i++) {
        if (!strcmp(members[i].path, path)) {
            return &members[i];
        }
    }
    return NULL;
}

const char *cs_referral_path_fact(const char *path)
{
    const member_t *member = member_of(path);

    return member ? member->fact : NULL;
}

int cs_referral_path_is_array(const char *bare)
{
    const member_t *member = member_of(bare);

    return member && member->array;
}

const char *cs_referral_members_of(const char *bare, apr_pool_t *p)
{
    size_t i, len = strlen(bare);
    const char *out = "";

    for (i = 0; i < MEMBERS; i++) {
        const char *path = members[i].path;

        if (!strncmp(path, bare, len) && path[len] == '/' && !strchr(path + len + 1, '/')) {
            out = apr_pstrcat(p, out, *out ? ", " : "", path + len + 1, NULL);
        }
    }
    return out;
}
