/* domain/mapping.c: questions to a loaded mapping, and what a referral is. */
#include <string.h>
#include <strings.h>

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

const cs_crm_facts_t *cs_crm_facts(const char *type)
{
    static const cs_crm_facts_t facts[] = {
        {"dynamics365", "statecode", "id", "WinOpportunity", "LoseOpportunity", "QualifyLead", 3},
    };
    size_t i;

    for (i = 0; type && i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (!strcmp(facts[i].type, type)) {
            return &facts[i];
        }
    }
    return NULL;
}

/* ---- what a referral is ---- */

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

const cs_mapping_kind_t *cs_mapping_route_kind(const cs_mapping_t *mapping, const char *kind,
                                               const cs_card_t *own)
{
    const cs_cond_world_t world = {own->doc, NULL, kind};
    int i;

    for (i = 0; i < mapping->kinds->nelts; i++) {
        const cs_mapping_kind_t *k = APR_ARRAY_IDX(mapping->kinds, i, cs_mapping_kind_t *);

        if (k->from_pc_when && cs_cond_holds(k->from_pc_when, &world) == 1) {
            return k;
        }
    }
    return NULL;
}

const cs_mapping_kind_t *cs_mapping_route(const cs_mapping_t *mapping, const cs_card_t *own,
                                          const cs_card_t *microsoft, const char *organization,
                                          int *plead, apr_pool_t *ptemp)
{
    const char *kind = cs_referral_kind(own, microsoft, NULL, organization);

    (void)ptemp;
    *plead = is_lead(kind);
    return cs_mapping_route_kind(mapping, kind, own);
}

const char *cs_referral_path_fact(const char *path)
{
    static const struct {
        const char *path, *fact;
    } facts[] = {
#define CS_PATH(path, fact) {path, fact},
#include "paths.inc"
#undef CS_PATH
    };
    size_t i;

    for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (!strcmp(facts[i].path, path)) {
            return facts[i].fact;
        }
    }
    return NULL;
}
