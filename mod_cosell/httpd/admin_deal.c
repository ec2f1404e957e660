/* httpd/admin_deal.c: one deal, by any of its names; and a notice that no look has made a deal of
 * yet. */
#include "admin.h"

#include <apr_strings.h>
#include <string.h>

#include "../engine/lane.h"

#define JOURNAL_OF_DEAL 100

/* As the system writes its ids: Partner Center in small letters, a CRM in its own form. */
static const char *id_in(const cosell_site_t *site, int crm, const char *id, apr_pool_t *p)
{
    const cs_crm_facts_t *facts = crm < 0 ? NULL : cs_crm_facts_of(site->cfg.crms[crm].cfg.type);
    const char *folded = facts ? cs_row_id(facts->id_form, id, p) : NULL;
    char *lower;

    if (folded) {
        return folded;
    }
    lower = apr_pstrdup(p, id);
    ap_str_tolower(lower);
    return lower;
}

/* The deal that one of this site's systems knows by id. */
static cs_deal_t *find_deal(cosell_page_t *page, const cosell_site_t *site, const char *id)
{
    cs_deal_t *deal = NULL;
    int i;

    if (*id && strspn(id, "0123456789") == strlen(id) && strlen(id) < 19) {
        if (cosell_may_ask(page)) {
            cosell_asked(page, cs_store_deal_load(page->store, site->cfg.name, apr_atoi64(id),
                                                  &deal, page->p, &page->res));
        }
        return deal;
    }
    for (i = -1; !deal && i < site->cfg.ncrms && cosell_may_ask(page); i++) {
        const char *system = i < 0 ? CS_SYSTEM_PC : site->cfg.crms[i].cfg.name;

        cosell_asked(page, cs_store_deal_find(page->store, site->cfg.name, system,
                                              id_in(site, i, id, page->p), &deal, page->p,
                                              &page->res));
    }
    return deal;
}

/* Why the upstream or brake that the work waits for is off; NULL = it waits for none. */
static json_t *suspension_json(cosell_page_t *page, const cosell_site_t *site,
                               const cs_work_t *work)
{
    apr_array_header_t *list = NULL;
    int i;

    if (work->state != CS_WORK_SUSPENDED || !work->upstream || !cosell_may_ask(page) ||
        !cosell_asked(page, cs_store_suspended(page->store, site->cfg.name, &list, page->p,
                                               &page->res))) {
        return NULL;
    }
    for (i = 0; i < list->nelts; i++) {
        const cs_suspended_t *s = &APR_ARRAY_IDX(list, i, cs_suspended_t);

        if (!strcmp(s->upstream, work->upstream)) {
            return cosell_suspended_json(s, page->p);
        }
    }
    return NULL;
}

/* A notice that no look has made a deal of yet: its work goes by the name that came in. */
json_t *cosell_waiting_json(cosell_page_t *page, const cosell_site_t *site, const char *id)
{
    cs_work_t *work = NULL;
    json_t *json, *suspended;
    int i;

    for (i = -1; !work && i < site->cfg.ncrms && cosell_may_ask(page); i++) {
        const char *system = i < 0 ? CS_SYSTEM_PC : site->cfg.crms[i].cfg.name;
        const char *name = apr_pstrcat(page->p, system, ":", id_in(site, i, id, page->p), NULL);

        cosell_asked(page, cs_store_work_named(page->store, site->cfg.name, CS_WORK_LOOK, name,
                                               &work, page->p, &page->res));
    }
    if (!work) {
        return NULL;
    }
    json = cosell_work_json(work, page->p);
    cosell_put(json, "site", json_string(site->cfg.name));
    suspended = suspension_json(page, site, work);
    cosell_put(json, "suspended", suspended ? suspended : json_null());
    return json;
}

static int show_waiting(cosell_page_t *page, const cosell_site_t *site, const char *id)
{
    json_t *json = cosell_waiting_json(page, site, id);

    if (json) {
        cosell_put(page->out, "waiting", json);
    }
    return json != NULL;
}

static json_t *journal_of(cosell_page_t *page, const cosell_site_t *site, apr_int64_t deal)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_journal_list(page->store, site->cfg.name, deal,
                                                 JOURNAL_OF_DEAL, &list, page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            json_array_append_new(
                json, cosell_journal_json(APR_ARRAY_IDX(list, i, cs_journal_t *), page->p));
        }
    }
    return json;
}

/* For sellers: what the record shows, in more words, and nothing else of the site. */
static void put_explained(cosell_page_t *page, const cosell_site_t *site, const cs_deal_t *deal)
{
    cosell_put(page->out, "deal", cosell_deal_json(site, deal, 0, page->p));
    cosell_put(page->out, "lines",
               cosell_copy_json(cs_json_get(deal->explain, "lines")));
}

int cosell_show_deal(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    const char *id = baton;
    json_t *suspended = NULL, *paused;
    cs_work_t *work = NULL;
    cs_deal_t *deal = find_deal(page, site, id);

    if (!deal) {
        return show_waiting(page, site, id);
    }
    if (page->what == COSELL_PAGE_EXPLAIN) {
        put_explained(page, site, deal);
        return 1;
    }
    cosell_put(page->out, "deal", cosell_deal_json(site, deal, 1, page->p));
    paused = cosell_fact_json(page, site, CS_FACT_PAUSED, "");
    cosell_put(page->out, "paused", paused ? paused : json_null());
    if (cosell_may_ask(page)) {
        cosell_asked(page, cs_store_work_of_deal(page->store, site->cfg.name, deal->id, &work,
                                                 page->p, &page->res));
    }
    cosell_put(page->out, "work", work ? cosell_work_json(work, page->p) : json_null());
    suspended = work ? suspension_json(page, site, work) : NULL;
    cosell_put(page->out, "suspended", suspended ? suspended : json_null());
    cosell_put(page->out, "journal", journal_of(page, site, deal->id));
    return 1;
}
