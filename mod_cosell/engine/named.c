/* engine/named.c: the deals that a person means. */
#include "named.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define SYSTEM_ENGAGEMENT "pc-engagement"
#define NUMBER_MOST 18

static const char *lower_case(const char *text, apr_pool_t *p)
{
    char *lower = apr_pstrdup(p, text), *c;

    for (c = lower; *c; ++c) {
        *c = (char)apr_tolower(*c);
    }
    return lower;
}

const char *cs_named_id(const cs_site_config_t *site, int crm, const char *id, apr_pool_t *p)
{
    const cs_crm_facts_t *facts = crm < 0 ? NULL : cs_crm_facts_of(site->crms[crm].cfg.type);
    const char *own = facts ? cs_row_id(facts->id_form, id, p) : NULL;

    return own ? own : lower_case(id, p);
}

static int is_number(const char *id)
{
    return *id && strlen(id) <= NUMBER_MOST && strspn(id, "0123456789") == strlen(id);
}

static apr_array_header_t *names_of(const cs_site_config_t *site, const char *id, apr_pool_t *p)
{
    apr_array_header_t *names = apr_array_make(p, CS_STORE_NAMES_MAX, sizeof(const char *));
    const char *lower = lower_case(id, p);
    int i;

    APR_ARRAY_PUSH(names, const char *) = apr_pstrcat(p, CS_SYSTEM_PC ":", lower, NULL);
    APR_ARRAY_PUSH(names, const char *) = apr_pstrcat(p, SYSTEM_ENGAGEMENT ":", lower, NULL);
    for (i = 0; i < site->ncrms; ++i) {
        APR_ARRAY_PUSH(names, const char *) =
            apr_pstrcat(p, site->crms[i].cfg.name, ":", cs_named_id(site, i, id, p), NULL);
    }
    return names;
}

apr_status_t cs_named_find(cs_store_t *store, const cs_site_config_t *site, const char *id,
                           apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    cs_deal_t *deal = NULL;
    apr_status_t rv;

    if (!is_number(id)) {
        return cs_store_deals_named(store, site->name, names_of(site, id, p), plist, p, res);
    }
    *plist = apr_array_make(p, 1, sizeof(cs_deal_t *));
    rv = cs_store_deal_load(store, site->name, apr_atoi64(id), &deal, p, res);
    if (deal) {
        APR_ARRAY_PUSH(*plist, cs_deal_t *) = deal;
    }
    return rv;
}

const char *cs_named_said(const cs_deal_t *deal, apr_pool_t *p)
{
    return apr_psprintf(p, "deal %" APR_INT64_T_FMT "%s%s%s%s%s", deal->id, deal->crm ? " (" : "",
                        deal->crm && deal->kind ? deal->kind : "",
                        deal->crm && deal->kind ? " of " : "", deal->crm ? deal->crm : "",
                        deal->crm ? ")" : "");
}

const char *cs_named_several(const apr_array_header_t *list, const char *id, apr_pool_t *p)
{
    const char *out = "";
    int i;

    for (i = 0; i < list->nelts; ++i) {
        out = apr_pstrcat(p, out,
                          !i                    ? ""
                          : i + 1 < list->nelts ? ", "
                                                : " and ",
                          cs_named_said(APR_ARRAY_IDX(list, i, const cs_deal_t *), p), NULL);
    }
    return apr_psprintf(p, "the id \"%.80s\" is that of %s; say which by its number", id, out);
}
