/* httpd/admin_json.c: questions to the store under the page's deadline, and rows as JSON. */
#include "admin.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/gauge.h"
#include "../engine/lane.h"
#include "../engine/remedy.h"

#define DEADLINE apr_time_from_msec(250)

int cosell_may_ask(cosell_page_t *page)
{
    if (page->status != HTTP_OK) {
        return 0;
    }
    if (cs_time_mono() - page->started > DEADLINE) {
        cs_result_set(&page->res, page->p, CS_ETIMEOUT, CS_CLASS_RETRY, "deadline",
                      "the store did not answer all questions within 250 ms");
        page->status = HTTP_SERVICE_UNAVAILABLE;
        return 0;
    }
    return 1;
}

int cosell_asked(cosell_page_t *page, apr_status_t rv)
{
    if (rv == APR_SUCCESS) {
        return 1;
    }
    if (!page->res.detail) {
        cs_result_set(&page->res, page->p, rv, CS_CLASS_RETRY, "store", "the store cannot be read");
    }
    page->status = HTTP_SERVICE_UNAVAILABLE;
    return 0;
}

/* ---- small things ---- */

json_t *cosell_text_json(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;

    return json ? json : json_null();
}

json_t *cosell_time_json(apr_time_t t, apr_pool_t *p)
{
    return t > 0 ? json_string(cs_time_format(t, p)) : json_null();
}

void cosell_put(json_t *obj, const char *name, json_t *value)
{
    json_object_set_new(obj, name, value);
}

/* A copy: the original belongs to a pool and its reference count to one thread. */
json_t *cosell_copy_json(const json_t *json)
{
    json_t *copy = json ? json_deep_copy(json) : NULL;

    return copy ? copy : json_null();
}

json_t *cosell_fact_json(cosell_page_t *page, const cosell_site_t *site, const char *fact,
                         const char *of)
{
    const char *text = NULL;
    json_t *json = NULL;

    if (cosell_may_ask(page) &&
        cosell_asked(page, cs_store_meta_get(page->store, site->cfg.name,
                                             apr_pstrcat(page->p, fact, of, NULL), &text, page->p,
                                             &page->res)) && text) {
        cs_json_parse(&json, text, strlen(text), NULL, page->p, NULL);
    }
    return json;
}

/* ---- rows ---- */

static const char *work_state_name(cs_work_state_e state)
{
    return state == CS_WORK_DEAD ? "dead" : state == CS_WORK_SUSPENDED ? "suspended" : "ready";
}

json_t *cosell_work_json(const cs_work_t *work, apr_pool_t *p)
{
    json_t *json = json_object();

    cosell_put(json, "kind", cosell_text_json(work->kind));
    cosell_put(json, "name", cosell_text_json(work->name));
    cosell_put(json, "state", json_string(work_state_name(work->state)));
    cosell_put(json, "outstanding", json_integer(work->wanted - work->done));
    cosell_put(json, "first", cosell_time_json(work->first, p));
    cosell_put(json, "due", cosell_time_json(work->due, p));
    cosell_put(json, "attempts", json_integer(work->attempts));
    cosell_put(json, "upstream", cosell_text_json(work->upstream));
    cosell_put(json, "class", cosell_text_json(work->problem_class));
    cosell_put(json, "problem", cosell_text_json(work->problem));
    cosell_put(json, "detail", cosell_text_json(work->detail));
    cosell_put(json, "todo",
               cosell_text_json(work->state == CS_WORK_DEAD ? cs_remedy_of_dead(work->problem)
                                                            : NULL));
    return json;
}

json_t *cosell_journal_json(const cs_journal_t *j, apr_pool_t *p)
{
    json_t *json = json_object();

    cosell_put(json, "id", json_integer(j->id));
    cosell_put(json, "deal", j->deal ? json_integer(j->deal) : json_null());
    cosell_put(json, "at", cosell_time_json(j->at, p));
    cosell_put(json, "direction", cosell_text_json(j->direction));
    cosell_put(json, "action", cosell_text_json(j->action));
    cosell_put(json, "line", cosell_text_json(j->line));
    cosell_put(json, "from", cosell_copy_json(j->from));
    cosell_put(json, "to", cosell_copy_json(j->to));
    cosell_put(json, "outcome", cosell_text_json(j->outcome));
    cosell_put(json, "why", cosell_text_json(j->why));
    cosell_put(json, "calls", json_integer(j->calls));
    cosell_put(json, "ms", json_integer(apr_time_as_msec(j->took)));
    cosell_put(json, "correlation", cosell_text_json(j->correlation));
    cosell_put(json, "mapping", cosell_text_json(j->mapping));
    return json;
}

json_t *cosell_suspended_json(const cs_suspended_t *s, apr_pool_t *p)
{
    int brake = !strncmp(s->upstream, CS_BRAKE, sizeof(CS_BRAKE) - 1);
    json_t *json = json_object();

    cosell_put(json, "upstream", cosell_text_json(s->upstream));
    cosell_put(json, "problem", cosell_text_json(s->problem));
    cosell_put(json, "detail", cosell_text_json(s->detail));
    cosell_put(json, "todo",
               cosell_text_json(brake ? NULL
                                      : cs_remedy_of_upstream(s->problem, s->upstream,
                                                              !strcmp(s->upstream, CS_UPSTREAM_PC),
                                                              p)));
    cosell_put(json, "since", cosell_time_json(s->since, p));
    cosell_put(json, "probe", cosell_time_json(s->probe, p));
    return json;
}

static const char *job_state_name(cs_job_state_e state)
{
    static const char *const names[] = {"waiting", "running", "done", "failed", "cancelled"};

    return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "waiting";
}

void cosell_hide_query(json_t *json, const char *name, apr_pool_t *p)
{
    const char *url = cs_json_str(json, name);
    apr_size_t len = url ? strcspn(url, "?;") : 0;

    if (url && url[len]) {
        cosell_put(json, name,
                   json_string(apr_pstrcat(p, apr_pstrmemdup(p, url, len), "...", NULL)));
    }
}

/* What a sign-in was given is good for one use, and nobody else's to see. */
static json_t *arguments_json(const json_t *arguments, apr_pool_t *p)
{
    static const char *const hidden[] = {"code", "state"};
    json_t *json = cosell_copy_json(arguments);
    apr_size_t i;

    for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (json_is_object(json) && cs_json_get(json, hidden[i])) {
            cosell_put(json, hidden[i], json_string("(not shown)"));
        }
    }
    cosell_hide_query(json, "url", p);
    cosell_hide_query(json, "here", p);
    return json;
}

/* Who knows where a sign-in goes on ends it with an account of his own: that is for those who may
 * begin one. */
static json_t *progress_json(const cs_job_t *job, int admin, apr_pool_t *p)
{
    static const char *const hidden[] = {"open", "code"};
    json_t *json = cosell_copy_json(job->progress);
    apr_int64_t looking = cs_gauge_get(CS_GAUGE_LOOKING, cs_gauge_site(job->site), -1);
    apr_size_t i;

    if (job->state == CS_JOB_WAITING && looking > 0) {
        json = json_is_object(json) ? json : json_object();
        json_object_set_new(json, "waits",
                            json_string(looking == 1
                                            ? "until the look that is under way ends"
                                            : apr_psprintf(p, "until %" APR_INT64_T_FMT
                                                              " looks that are under way end",
                                                           looking)));
    }

    for (i = 0; !admin && i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        json_object_del(json, hidden[i]);
    }
    return json;
}

json_t *cosell_job_json(const cosell_page_t *page, const cs_job_t *job)
{
    json_t *json = json_object();
    apr_pool_t *p = page->p;

    cosell_put(json, "id", cosell_text_json(job->id));
    cosell_put(json, "kind", cosell_text_json(job->kind));
    cosell_put(json, "what", cosell_text_json(cosell_job_words(job, p)));
    cosell_put(json, "user", cosell_text_json(job->user));
    cosell_put(json, "state", json_string(job_state_name(job->state)));
    cosell_put(json, "arguments", arguments_json(job->arguments, p));
    cosell_put(json, "progress", progress_json(job, page->admin, p));
    cosell_put(json, "result", cosell_copy_json(job->result));
    cosell_put(json, "created", cosell_time_json(job->created, p));
    cosell_put(json, "updated", cosell_time_json(job->updated, p));
    return json;
}

json_t *cosell_cause_json(const cs_cause_t *cause, apr_pool_t *p)
{
    json_t *json = json_object();

    cosell_put(json, "cause", cosell_text_json(cause->cause));
    cosell_put(json, "text", cosell_text_json(cause->text));
    cosell_put(json, "todo", cosell_text_json(cs_remedy_of_cause(cause->cause, p)));
    cosell_put(json, "deals", json_integer(cause->n));
    cosell_put(json, "since", cosell_time_json(cause->since, p));
    cosell_put(json, "dead", json_boolean(cause->dead));
    return json;
}

/* ---- a deal ---- */

static const cs_site_crm_t *crm_named(const cosell_site_t *site, const char *name)
{
    int i;

    for (i = 0; name && i < site->cfg.ncrms; i++) {
        if (!strcmp(site->cfg.crms[i].cfg.name, name)) {
            return &site->cfg.crms[i];
        }
    }
    return NULL;
}

static const char *record_link(const cosell_site_t *site, const cs_deal_t *deal, apr_pool_t *p)
{
    const cs_site_crm_t *crm = crm_named(site, deal->crm);
    const cs_crm_impl_t *impl = crm ? cs_crm_impl_of(crm->cfg.type) : NULL;

    if (!impl || !impl->link || !deal->table || !deal->record_id) {
        return NULL;
    }
    if (impl->facts->names_rows && !cs_row_id(impl->facts->id_form, deal->record_id, p)) {
        return NULL; /* it only stands for the row */
    }
    return impl->link(&crm->cfg, deal->table, deal->record_id, p);
}

static const char *referral_link(const cosell_site_t *site, const cs_deal_t *deal, apr_pool_t *p)
{
    const cs_site_crm_t *crm = crm_named(site, deal->crm);

    return crm && crm->mapping && deal->kind
               ? cs_mapping_referral_link(cs_mapping_kind(crm->mapping, deal->kind),
                                          deal->referral_id, p)
               : NULL;
}

static void put_whole(json_t *json, const cs_deal_t *deal)
{
    cosell_put(json, "pc_version", cosell_text_json(deal->pc_version));
    cosell_put(json, "crm_version", cosell_text_json(deal->crm_version));
    cosell_put(json, "mapping", cosell_text_json(deal->mapping));
    cosell_put(json, "images", cosell_copy_json(deal->images));
    cosell_put(json, "intent", cosell_copy_json(deal->intent));
    cosell_put(json, "told", cosell_copy_json(deal->told));
    cosell_put(json, "explain", cosell_copy_json(deal->explain));
    cosell_put(json, "quarrels", json_boolean(cs_deal_quarrels(deal, cs_time_now())));
}

json_t *cosell_deal_json(const cosell_site_t *site, const cs_deal_t *deal, int whole,
                         apr_pool_t *p)
{
    json_t *json = json_object();

    cosell_put(json, "id", json_integer(deal->id));
    cosell_put(json, "site", cosell_text_json(site->cfg.name));
    cosell_put(json, "state", json_string(cs_deal_state_name(deal->state)));
    cosell_put(json, "title", cosell_text_json(deal->title));
    cosell_put(json, "status", cosell_text_json(deal->status));
    cosell_put(json, "problem", cosell_text_json(deal->problem));
    cosell_put(json, "referral", cosell_text_json(deal->referral_id));
    cosell_put(json, "referral_link", cosell_text_json(referral_link(site, deal, p)));
    cosell_put(json, "engagement", cosell_text_json(deal->engagement_id));
    cosell_put(json, "crm", cosell_text_json(deal->crm));
    cosell_put(json, "kind", cosell_text_json(deal->kind));
    cosell_put(json, "table", cosell_text_json(deal->table));
    cosell_put(json, "record", cosell_text_json(deal->record_id));
    cosell_put(json, "link", cosell_text_json(record_link(site, deal, p)));
    cosell_put(json, "pc_status", cosell_text_json(deal->pc_status));
    if (whole) {
        put_whole(json, deal);
    }
    cosell_put(json, "next_look", cosell_time_json(deal->next_look, p));
    cosell_put(json, "created", cosell_time_json(deal->created, p));
    cosell_put(json, "updated", cosell_time_json(deal->updated, p));
    return json;
}
