#include "names.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../base/json.h"

#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, NULL                                                                           \
    }

/* Look-ups that nearly every table has. */
static const cs_dyn_nav_t common_navs[] = {
    {"transactioncurrencyid", "transactioncurrency", "transactioncurrencyid"},
    {"ownerid", "systemuser", "ownerid"},
    {"ownerid", "team", "ownerid"},
    {"owninguser", "systemuser", "owninguser"},
    {"owningteam", "team", "owningteam"},
    {"owningbusinessunit", "businessunit", "owningbusinessunit"},
    {"createdby", "systemuser", "createdby"},
    {"modifiedby", "systemuser", "modifiedby"},
    {"createdonbehalfby", "systemuser", "createdonbehalfby"},
    {"modifiedonbehalfby", "systemuser", "modifiedonbehalfby"},
    END,
};

static const cs_dyn_nav_t opportunity_navs[] = {
    {"customerid", "account", "customerid_account"},
    {"customerid", "contact", "customerid_contact"},
    {"parentaccountid", "account", "parentaccountid"},
    {"parentcontactid", "contact", "parentcontactid"},
    {"accountid", "account", "accountid"},
    {"contactid", "contact", "contactid"},
    {"originatingleadid", "lead", "originatingleadid"},
    {"pricelevelid", "pricelevel", "pricelevelid"},
    {"campaignid", "campaign", "campaignid"},
    END,
};

static const cs_dyn_nav_t lead_navs[] = {
    {"customerid", "account", "customerid_account"},
    {"customerid", "contact", "customerid_contact"},
    {"parentaccountid", "account", "parentaccountid"},
    {"parentcontactid", "contact", "parentcontactid"},
    {"qualifyingopportunityid", "opportunity", "qualifyingopportunityid"},
    {"campaignid", "campaign", "campaignid"},
    END,
};

static const cs_dyn_nav_t account_navs[] = {
    {"primarycontactid", "contact", "primarycontactid"},
    {"parentaccountid", "account", "parentaccountid"},
    END,
};

static const cs_dyn_nav_t contact_navs[] = {
    {"parentcustomerid", "account", "parentcustomerid_account"},
    {"parentcustomerid", "contact", "parentcustomerid_contact"},
    END,
};

static const cs_dyn_nav_t close_navs[] = {
    {"opportunityid", "opportunity", "opportunityid"},
    {"competitorid", "competitor", "competitorid"},
    END,
};

static const cs_dyn_nav_t user_navs[] = {
    {"businessunitid", "businessunit", "businessunitid"},
    END,
};

static const cs_dyn_table_t tables[] = {
    {"opportunity", "opportunities", "opportunityid", "name", opportunity_navs, 0},
    {"lead", "leads", "leadid", "fullname", lead_navs, 0},
    {"account", "accounts", "accountid", "name", account_navs, 0},
    {"contact", "contacts", "contactid", "fullname", contact_navs, 0},
    {"opportunityclose", "opportunitycloses", "activityid", "subject", close_navs, 0},
    {"transactioncurrency", "transactioncurrencies", "transactioncurrencyid", "currencyname", NULL,
     0},
    {"systemuser", "systemusers", "systemuserid", "fullname", user_navs, 0},
    {"team", "teams", "teamid", "name", user_navs, 0},
    {"businessunit", "businessunits", "businessunitid", "name", NULL, 0},
    {"pricelevel", "pricelevels", "pricelevelid", "name", NULL, 0},
    {"campaign", "campaigns", "campaignid", "name", NULL, 0},
    {"competitor", "competitors", "competitorid", "name", NULL, 0},
    {"teamtemplate", "teamtemplates", "teamtemplateid", "teamtemplatename", NULL, 0},
};

const cs_dyn_table_t *cs_dyn_table_std(const char *name)
{
    apr_size_t i;

    for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (!strcmp(tables[i].name, name)) {
            return &tables[i];
        }
    }
    return NULL;
}

int cs_dyn_name_valid(const char *name, apr_size_t len)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

    return len > 0 && len <= 128 && strspn(name, letters) >= len &&
           !(name[0] >= '0' && name[0] <= '9');
}

static const char *checked(const json_t *obj, const char *member, apr_pool_t *p)
{
    const char *text = cs_json_str(obj, member);

    return text && cs_dyn_name_valid(text, strlen(text)) ? apr_pstrdup(p, text) : NULL;
}

static const cs_dyn_nav_t *learn_navs(const json_t *definition, const char *name, apr_pool_t *p)
{
    const json_t *relations = cs_json_get(definition, "ManyToOneRelationships");
    apr_array_header_t *navs = apr_array_make(p, 16, sizeof(cs_dyn_nav_t));
    const cs_dyn_table_t *std = cs_dyn_table_std(name);
    const cs_dyn_nav_t *known;
    cs_dyn_nav_t nav;
    size_t i;

    for (i = 0; i < json_array_size(relations) && i < 1000; i++) {
        const json_t *one = json_array_get(relations, i);

        nav.column = checked(one, "ReferencingAttribute", p);
        nav.target = checked(one, "ReferencedEntity", p);
        nav.nav = checked(one, "ReferencingEntityNavigationPropertyName", p);
        if (nav.column && nav.target && nav.nav) {
            APR_ARRAY_PUSH(navs, cs_dyn_nav_t) = nav;
        }
    }
    for (known = std ? std->navs : NULL; known && known->column; known++) {
        APR_ARRAY_PUSH(navs, cs_dyn_nav_t) = *known;
    }
    memset(apr_array_push(navs), 0, sizeof(cs_dyn_nav_t));
    return (const cs_dyn_nav_t *)navs->elts;
}

const cs_dyn_table_t *cs_dyn_table_of(const json_t *definition, const char *name, apr_pool_t *p)
{
    cs_dyn_table_t *table = apr_pcalloc(p, sizeof(*table));

    table->name = apr_pstrdup(p, name);
    table->set = checked(definition, "EntitySetName", p);
    table->key = checked(definition, "PrimaryIdAttribute", p);
    table->title = checked(definition, "PrimaryNameAttribute", p);
    if (!table->set || !table->key) {
        return NULL;
    }
    table->navs = learn_navs(definition, name, p);
    table->whole = 1;
    return table;
}

static const cs_dyn_nav_t *find_nav(const cs_dyn_nav_t *navs, const char *column,
                                    const char *target)
{
    for (; navs && navs->column; navs++) {
        if (!strcmp(navs->column, column) && (!target || !strcmp(navs->target, target))) {
            return navs;
        }
    }
    return NULL;
}

static const cs_dyn_nav_t *any_nav(const cs_dyn_table_t *table, const char *column,
                                   const char *target)
{
    const cs_dyn_nav_t *nav = table ? find_nav(table->navs, column, target) : NULL;

    return nav ? nav : find_nav(common_navs, column, target);
}

const char *cs_dyn_target(const apr_array_header_t *lookups, const char *column)
{
    int i;

    for (i = 0; lookups && i < lookups->nelts; i++) {
        const cs_crm_lookup_t *one = &APR_ARRAY_IDX(lookups, i, cs_crm_lookup_t);

        if (one->column && !strcmp(one->column, column)) {
            return one->table;
        }
    }
    return NULL;
}

int cs_dyn_is_lookup(const cs_dyn_table_t *table, const char *column,
                     const apr_array_header_t *lookups)
{
    int i;

    for (i = 0; lookups && i < lookups->nelts; i++) {
        if (APR_ARRAY_IDX(lookups, i, cs_crm_lookup_t).column &&
            !strcmp(APR_ARRAY_IDX(lookups, i, cs_crm_lookup_t).column, column)) {
            /* A table's own key may be named where look-ups are listed; it never is one. */
            return !table || strcmp(table->key, column) != 0;
        }
    }
    return (!table || strcmp(table->key, column)) && any_nav(table, column, NULL) != NULL;
}

const char *cs_dyn_nav(const cs_dyn_table_t *table, const char *column, const char *target)
{
    const cs_dyn_nav_t *nav = any_nav(table, column, target);

    /* A learnt table may have its owner relationship under a name of its own, and a caller's target
     * may be a table that the definition does not list. */
    return nav ? nav->nav : NULL;
}

const char *cs_dyn_expand(const cs_dyn_table_t *table, const char *column, const char *target)
{
    const cs_dyn_nav_t *nav = any_nav(table, column, target), *more;

    if (!strcmp(column, "ownerid")) {
        /* ownerid leads to a principal, which has hardly any columns. */
        return target && !strcmp(target, "team") ? "owningteam" : "owninguser";
    }
    if (!nav) {
        return NULL;
    }
    more = nav + 1;
    if (!target && find_nav(more, column, NULL) &&
        strcmp(find_nav(more, column, NULL)->nav, nav->nav)) {
        return NULL;
    }
    return nav->nav;
}

static const cs_dyn_nav_t *nav_named(const cs_dyn_nav_t *navs, const char *name)
{
    for (; navs && navs->column && strcasecmp(navs->nav, name); navs++)
        ;
    return navs && navs->column ? navs : NULL;
}

const char *cs_dyn_column_of(const cs_dyn_table_t *table, const char *name, apr_pool_t *p)
{
    apr_size_t len = strlen(name);
    const cs_dyn_nav_t *nav = table ? nav_named(table->navs, name) : NULL;
    char *out;

    nav = nav ? nav : nav_named(common_navs, name);
    if (nav) {
        return nav->column;
    }
    if (len > 7 && name[0] == '_' && !strcmp(name + len - 6, "_value")) {
        return apr_pstrmemdup(p, name + 1, len - 7);
    }
    out = apr_pstrdup(p, name);
    for (char *at = out; *at; at++) {
        *at = (char)apr_tolower(*at);
    }
    return out;
}
