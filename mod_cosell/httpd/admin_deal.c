/* httpd/admin_deal.c: one deal, by any of its names; and a notice that no look has made a deal of
 * yet. */
#include "admin.h"

#include <apr_strings.h>
#include <string.h>

#include "../engine/lane.h"
#include "../engine/named.h"

#define JOURNAL_OF_DEAL 100

/* What an id is that of, over all sites that the page may show. */
typedef struct cosell_deals_t {
    const char *id;
    apr_array_header_t *deals;
    const cosell_site_t *site; /* of the last of them */
} cosell_deals_t;

/* Why the upstream or brake that the work waits for is off; NULL = it waits for none. */
static json_t *suspension_json(cosell_page_t *page, const cosell_site_t *site,
                               const cs_work_t *work)
{
    apr_array_header_t *list = NULL;
    int i;

    if (work->state != CS_WORK_SUSPENDED || !work->upstream || !cosell_may_ask(page) ||
        !cosell_asked(
            page, cs_store_suspended(page->store, site->cfg.name, &list, page->p, &page->res))) {
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
        const char *name =
            apr_pstrcat(page->p, system, ":", cs_named_id(&site->cfg, i, id, page->p), NULL);

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

static int show_waiting(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    json_t *json = cosell_waiting_json(page, site, baton);

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
        cosell_asked(page, cs_store_journal_list(page->store, site->cfg.name, deal, JOURNAL_OF_DEAL,
                                                 &list, page->p, &page->res))) {
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
    cosell_put(page->out, "lines", cosell_copy_json(cs_json_get(deal->explain, "lines")));
}

static void put_whole(cosell_page_t *page, const cosell_site_t *site, const cs_deal_t *deal)
{
    json_t *suspended = NULL, *paused = cosell_fact_json(page, site, CS_FACT_PAUSED, "");
    cs_work_t *work = NULL;

    cosell_put(page->out, "deal", cosell_deal_json(site, deal, 1, page->p));
    cosell_put(page->out, "paused", paused ? paused : json_null());
    if (cosell_may_ask(page)) {
        cosell_asked(page, cs_store_work_of_deal(page->store, site->cfg.name, deal->id, &work,
                                                 page->p, &page->res));
    }
    cosell_put(page->out, "work", work ? cosell_work_json(work, page->p) : json_null());
    suspended = work ? suspension_json(page, site, work) : NULL;
    cosell_put(page->out, "suspended", suspended ? suspended : json_null());
    cosell_put(page->out, "journal", journal_of(page, site, deal->id));
}

/* ---- which it is ---- */

static int find_deals(cosell_page_t *page, cosell_site_t *site, void *baton)
{
    cosell_deals_t *found = baton;
    apr_array_header_t *list = NULL;
    int i;

    if (cosell_may_ask(page) && cosell_asked(page, cs_named_find(page->store, &site->cfg, found->id,
                                                                 &list, page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            APR_ARRAY_PUSH(found->deals, cs_deal_t *) = APR_ARRAY_IDX(list, i, cs_deal_t *);
            found->site = site;
        }
    }
    return page->status != HTTP_OK;
}

static json_t *candidate_json(cosell_page_t *page, const cs_deal_t *deal)
{
    int i;

    for (i = 0; i < cosell_node->sites->nelts; i++) {
        const cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, i, cosell_site_t *);

        if (!strcmp(site->cfg.name, deal->site)) {
            return cosell_deal_json(site, deal, 0, page->p);
        }
    }
    return json_null();
}

/* None is taken for the other: sellers are told nothing but that. */
static void put_candidates(cosell_page_t *page, const cosell_deals_t *found)
{
    json_t *list = json_array();
    int i;

    page->status = HTTP_CONFLICT;
    if (page->what == COSELL_PAGE_EXPLAIN) {
        json_decref(list);
        cosell_put(page->out, "error",
                   json_string("more than one deal has this id; ask your administrator which is "
                               "yours"));
        return;
    }
    for (i = 0; i < found->deals->nelts; i++) {
        json_array_append_new(
            list, candidate_json(page, APR_ARRAY_IDX(found->deals, i, const cs_deal_t *)));
    }
    cosell_put(page->out, "error",
               cosell_text_json(cs_named_several(found->deals, found->id, page->p)));
    cosell_put(page->out, "candidates", list);
}

int cosell_show_deal(cosell_page_t *page, const char *id)
{
    cosell_deals_t found = {id, apr_array_make(page->p, 2, sizeof(cs_deal_t *)), NULL};
    const cs_deal_t *deal;

    cosell_each_site(page, find_deals, &found);
    if (!found.deals->nelts) {
        return cosell_each_site(page, show_waiting, (void *)id);
    }
    deal = APR_ARRAY_IDX(found.deals, 0, const cs_deal_t *);
    if (page->status != HTTP_OK) {
        return 1;
    }
    if (found.deals->nelts > 1) {
        put_candidates(page, &found);
    }
    else if (page->what == COSELL_PAGE_EXPLAIN) {
        put_explained(page, found.site, deal);
    }
    else {
        put_whole(page, found.site, deal);
    }
    return 1;
}
