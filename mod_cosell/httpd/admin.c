/* httpd/admin.c: handler cosell-status: what this server knows, as JSON. (design 7.5)
 *
 * GET and HEAD only. A page has a reader handle of its own for as long as it is made and a
 * deadline over all its questions; when the store cannot be asked it says why with 503. A host
 * sees its own site; the main server sees all with scope=all. Secrets are never here: the store
 * holds them sealed and the configuration as references.
 */
#include "mod_cosell.h"

#include <ap_mpm.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/json.h"
#include "../base/time.h"
#include "../engine/lane.h"
#include "../engine/timers.h"

APLOG_USE_MODULE(cosell);

#define DEADLINE apr_time_from_msec(250)
#define LIST_FEW 20
#define LIST_MANY 500
#define TIMERS_MOST 64
#define JOURNAL_FEW 50
#define JOURNAL_MOST 1000

typedef struct page_t {
    request_rec *r;
    apr_pool_t *p;
    apr_table_t *query;
    const char *wrong;          /* why the query cannot be answered; NULL = it can */
    int all;                    /* scope=all on the main server */
    cosell_site_t *site;        /* of this host; NULL = none */
    cs_store_t *store;
    apr_interval_time_t started;
    cs_result_t res;            /* of the question that failed */
    int status;
    json_t *out;
} page_t;

/* ---- small things ---- */

static json_t *text_or_null(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;

    return json ? json : json_null();
}

static json_t *time_or_null(apr_time_t t, apr_pool_t *p)
{
    return t > 0 ? json_string(cs_time_format(t, p)) : json_null();
}

static void put(json_t *obj, const char *name, json_t *value)
{
    json_object_set_new(obj, name, value);
}

/* A copy: the original belongs to a pool and its reference count to one thread. */
static json_t *copy_or_null(const json_t *json)
{
    json_t *copy = json ? json_deep_copy(json) : NULL;

    return copy ? copy : json_null();
}

/* What a client wrote as text that JSON can hold and a person can read. */
static const char *shown(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrndup(p, text, 40), *c;

    for (c = out; *c; c++) {
        *c = apr_isprint(*c) && (unsigned char)*c < 0x80 ? *c : '?';
    }
    return out;
}

static int is_parameter(const char *name)
{
    static const char *const known[] = { "deal", "dead", "journal", "scope" };
    apr_size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!strcasecmp(name, known[i])) {
            return 1;
        }
    }
    return 0;
}

/* What a client may ask, decoded; names without regard to case, the last of several wins. *pwrong =
 * why it may not ask so, else NULL. */
static apr_table_t *parse_query(request_rec *r, const char **pwrong)
{
    apr_table_t *query = apr_table_make(r->pool, 4);
    char *args = r->args ? apr_pstrmemdup(r->pool, r->args, strnlen(r->args, 2000)) : NULL;
    char *last = NULL, *pair;

    for (pair = args ? apr_strtok(args, "&", &last) : NULL; pair;
         pair = apr_strtok(NULL, "&", &last)) {
        char *value = strchr(pair, '=');

        if (value) {
            *value++ = '\0';
        }
        if (ap_unescape_urlencoded(pair) != OK || !is_parameter(pair)) {
            *pwrong = apr_psprintf(r->pool, "\"%s\" is no parameter; allowed: deal, dead, journal, "
                                   "scope", shown(pair, r->pool));
        }
        else if (value && ap_unescape_urlencoded(value) != OK) {
            *pwrong = apr_psprintf(r->pool, "%s: the value is not URL-encoded text", pair);
        }
        else {
            apr_table_setn(query, pair, value ? value : "");
        }
    }
    return query;
}

/* 1 while the page may go on: no question failed and there is time. */
static int may_ask(page_t *page)
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

/* Notes how a question went; 1 if it was answered. */
static int asked(page_t *page, apr_status_t rv)
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

/* ---- rows as JSON ---- */

static const char *work_state_name(cs_work_state_e state)
{
    return state == CS_WORK_DEAD ? "dead" : state == CS_WORK_SUSPENDED ? "suspended" : "ready";
}

static json_t *work_json(const cs_work_t *work, apr_pool_t *p)
{
    json_t *json = json_object();

    put(json, "kind", text_or_null(work->kind));
    put(json, "name", text_or_null(work->name));
    put(json, "state", json_string(work_state_name(work->state)));
    put(json, "outstanding", json_integer(work->wanted - work->done));
    put(json, "first", time_or_null(work->first, p));
    put(json, "due", time_or_null(work->due, p));
    put(json, "attempts", json_integer(work->attempts));
    put(json, "upstream", text_or_null(work->upstream));
    put(json, "class", text_or_null(work->problem_class));
    put(json, "problem", text_or_null(work->problem));
    put(json, "detail", text_or_null(work->detail));
    return json;
}

static json_t *journal_json(const cs_journal_t *j, apr_pool_t *p)
{
    json_t *json = json_object();

    put(json, "id", json_integer(j->id));
    put(json, "deal", j->deal ? json_integer(j->deal) : json_null());
    put(json, "at", time_or_null(j->at, p));
    put(json, "direction", text_or_null(j->direction));
    put(json, "action", text_or_null(j->action));
    put(json, "line", text_or_null(j->line));
    put(json, "from", copy_or_null(j->from));
    put(json, "to", copy_or_null(j->to));
    put(json, "outcome", text_or_null(j->outcome));
    put(json, "why", text_or_null(j->why));
    put(json, "calls", json_integer(j->calls));
    put(json, "ms", json_integer(apr_time_as_msec(j->took)));
    put(json, "correlation", text_or_null(j->correlation));
    put(json, "mapping", text_or_null(j->mapping));
    return json;
}

static json_t *suspended_json(const cs_suspended_t *s, apr_pool_t *p)
{
    json_t *json = json_object();

    put(json, "upstream", text_or_null(s->upstream));
    put(json, "problem", text_or_null(s->problem));
    put(json, "detail", text_or_null(s->detail));
    put(json, "since", time_or_null(s->since, p));
    put(json, "probe", time_or_null(s->probe, p));
    return json;
}

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

static json_t *deal_json(const cosell_site_t *site, const cs_deal_t *deal, apr_pool_t *p)
{
    json_t *json = json_object();

    put(json, "id", json_integer(deal->id));
    put(json, "site", text_or_null(deal->site));
    put(json, "state", json_string(cs_deal_state_name(deal->state)));
    put(json, "title", text_or_null(deal->title));
    put(json, "status", text_or_null(deal->status));
    put(json, "problem", text_or_null(deal->problem));
    put(json, "referral", text_or_null(deal->referral_id));
    put(json, "engagement", text_or_null(deal->engagement_id));
    put(json, "crm", text_or_null(deal->crm));
    put(json, "kind", text_or_null(deal->kind));
    put(json, "table", text_or_null(deal->table));
    put(json, "record", text_or_null(deal->record_id));
    put(json, "link", text_or_null(record_link(site, deal, p)));
    put(json, "pc_status", text_or_null(deal->pc_status));
    put(json, "pc_version", text_or_null(deal->pc_version));
    put(json, "crm_version", text_or_null(deal->crm_version));
    put(json, "mapping", text_or_null(deal->mapping));
    put(json, "images", copy_or_null(deal->images));
    put(json, "intent", copy_or_null(deal->intent));
    put(json, "told", copy_or_null(deal->told));
    put(json, "explain", copy_or_null(deal->explain));
    put(json, "next_look", time_or_null(deal->next_look, p));
    put(json, "created", time_or_null(deal->created, p));
    put(json, "updated", time_or_null(deal->updated, p));
    return json;
}

/* ---- questions ---- */

/* Polls and sweeps come back for ever; they have a list of their own. */
static int is_timer(const cs_work_t *work)
{
    return !strcmp(work->kind, CS_WORK_POLL) || !strcmp(work->kind, CS_WORK_SWEEP);
}

static json_t *list_work(page_t *page, const cosell_site_t *site, int state, int max)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (may_ask(page) && asked(page, cs_store_work_list(page->store, site->cfg.name, state,
                                                        max + TIMERS_MOST, &list, page->p,
                                                        &page->res))) {
        for (i = 0; i < list->nelts && (int)json_array_size(json) < max; i++) {
            const cs_work_t *work = APR_ARRAY_IDX(list, i, cs_work_t *);

            if (!is_timer(work)) {
                json_array_append_new(json, work_json(work, page->p));
            }
        }
    }
    return json;
}

/* When it last read something, when it comes next, and what is wrong. */
static json_t *poll_json(page_t *page, const cosell_site_t *site, const cs_timer_t *timer)
{
    const char *cursor = NULL;
    cs_work_t *work = NULL;
    apr_time_t last = 0;
    json_t *json = json_object();

    if (may_ask(page) && asked(page, cs_store_work_named(page->store, site->cfg.name, timer->kind,
                                                         timer->name, &work, page->p, &page->res))
        && may_ask(page)) {
        asked(page, cs_store_cursor_get(page->store, site->cfg.name, timer->cursor, &cursor, &last,
                                        page->p, &page->res));
    }
    put(json, "kind", json_string(timer->kind));
    put(json, "name", json_string(timer->name));
    put(json, "every", json_integer(apr_time_sec(timer->every)));
    put(json, "last", time_or_null(last, page->p));
    put(json, "next", time_or_null(work ? work->due : 0, page->p));
    put(json, "attempts", json_integer(work ? work->attempts : 0));
    put(json, "problem", text_or_null(work ? work->problem : NULL));
    put(json, "detail", text_or_null(work ? work->detail : NULL));
    return json;
}

static json_t *polls_json(page_t *page, const cosell_site_t *site)
{
    const apr_array_header_t *timers = cs_timers_of(&site->cfg, page->p);
    json_t *list = json_array();
    int i;

    for (i = 0; i < timers->nelts && i < TIMERS_MOST; i++) {
        json_array_append_new(list, poll_json(page, site, &APR_ARRAY_IDX(timers, i, cs_timer_t)));
    }
    return list;
}

static json_t *list_journal(page_t *page, const cosell_site_t *site, apr_int64_t deal, int max)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (may_ask(page) && asked(page, cs_store_journal_list(page->store, site->cfg.name, deal, max,
                                                           &list, page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            json_array_append_new(json, journal_json(APR_ARRAY_IDX(list, i, cs_journal_t *),
                                                     page->p));
        }
    }
    return json;
}

static json_t *list_suspended(page_t *page, const cosell_site_t *site)
{
    apr_array_header_t *list = NULL;
    json_t *json = json_array();
    int i;

    if (may_ask(page) && asked(page, cs_store_suspended(page->store, site->cfg.name, &list,
                                                        page->p, &page->res))) {
        for (i = 0; i < list->nelts; i++) {
            json_array_append_new(json, suspended_json(&APR_ARRAY_IDX(list, i, cs_suspended_t),
                                                       page->p));
        }
    }
    return json;
}

/* A fact of the site that is kept as JSON; NULL = there is none. New reference. */
static json_t *fact_json(page_t *page, const cosell_site_t *site, const char *fact,
                         const char *of)
{
    const char *text = NULL;
    json_t *json = NULL;

    if (may_ask(page) && asked(page, cs_store_meta_get(page->store, site->cfg.name,
                                                       apr_pstrcat(page->p, fact, of, NULL), &text,
                                                       page->p, &page->res)) && text) {
        cs_json_parse(&json, text, strlen(text), NULL, page->p, NULL);
    }
    return json;
}

static json_t *breakers_json(page_t *page, const cosell_site_t *site)
{
    json_t *list = json_array();
    int i;

    for (i = -1; i < site->cfg.ncrms; i++) {
        const char *upstream = i < 0 ? CS_UPSTREAM_PC : site->cfg.crms[i].cfg.name;
        json_t *json = fact_json(page, site, CS_FACT_BREAKER, upstream);

        if (json_is_object(json)) {
            put(json, "upstream", json_string(upstream));
            json_array_append(list, json);
        }
        json_decref(json);
    }
    return list;
}

/* What does not fit between mapping and CRM, how far a changed mapping has come, and how many of
 * the CRM's requests of the day are used. */
static void put_crm_state(page_t *page, const cosell_site_t *site, const char *crm,
                              json_t *json)
{
    json_t *misfits = fact_json(page, site, CS_FACT_MISFITS, crm);
    json_t *planned = fact_json(page, site, CS_FACT_PLANNED, crm);
    json_t *quota = fact_json(page, site, CS_FACT_QUOTA, crm);

    put(json, "misfits", misfits ? misfits : json_array());
    put(json, "planned", planned ? planned : json_null());
    put(json, "quota", quota ? quota : json_null());
}

static json_t *crms_json(page_t *page, const cosell_site_t *site)
{
    json_t *list = json_array();
    int i;

    for (i = 0; i < site->cfg.ncrms; i++) {
        const cs_site_crm_t *crm = &site->cfg.crms[i];
        json_t *json = json_object();

        put(json, "name", json_string(crm->cfg.name));
        put(json, "type", json_string(crm->cfg.type));
        put(json, "url", json_string(crm->cfg.url));
        put(json, "mapping", text_or_null(crm->mapping_path));
        put(json, "revision",
            text_or_null(crm->mapping ? cs_mapping_revision(crm->mapping) : NULL));
        put(json, "digest", text_or_null(crm->mapping ? cs_mapping_digest(crm->mapping) : NULL));
        put_crm_state(page, site, crm->cfg.name, json);
        json_array_append_new(list, json);
    }
    return list;
}

/* The lane in a word: what keeps it from working, or what it does. */
static const char *lane_state(const cosell_site_t *site, const cs_store_counts_t *counts,
                              const json_t *suspended)
{
    if (site->cfg.degraded) {
        return "degraded";
    }
    if (cosell_node->cfg.workers == 0) {
        return "accepting only";
    }
    if (json_array_size(suspended) > 0) {
        return "suspended";
    }
    return counts->outstanding > 0 ? "working" : "idle";
}

static json_t *lane_json(const cosell_site_t *site, const cs_store_counts_t *counts,
                         const json_t *suspended, apr_pool_t *p)
{
    json_t *json = json_object();

    put(json, "state", json_string(lane_state(site, counts, suspended)));
    put(json, "outstanding", json_integer(counts->outstanding));
    put(json, "dead", json_integer(counts->dead));
    put(json, "suspended", json_integer(counts->suspended));
    put(json, "oldest", time_or_null(counts->oldest, p));
    return json;
}

static json_t *site_json(page_t *page, const cosell_site_t *site)
{
    cs_store_counts_t counts = { 0 };
    json_t *json = json_object(), *suspended;

    put(json, "site", json_string(site->cfg.name));
    put(json, "host", text_or_null(site->cfg.vhost));
    put(json, "degraded", text_or_null(site->cfg.degraded));
    put(json, "crms", crms_json(page, site));
    put(json, "breakers", breakers_json(page, site));
    if (may_ask(page) && asked(page, cs_store_counts(page->store, site->cfg.name, &counts, page->p,
                                                     &page->res))) {
        put(json, "deals", json_integer(counts.deals));
        put(json, "journal", json_integer(counts.journal));
        put(json, "deliveries", json_integer(counts.deliveries));
    }
    suspended = list_suspended(page, site);
    put(json, "lane", lane_json(site, &counts, suspended, page->p));
    put(json, "suspended", suspended);
    put(json, "polls", polls_json(page, site));
    put(json, "work", list_work(page, site, CS_WORK_READY, LIST_FEW));
    put(json, "dead", list_work(page, site, CS_WORK_DEAD, LIST_FEW));
    return json;
}

/* ---- what is known without the store ---- */

static json_t *counters_json(void)
{
    json_t *json = json_object();
    int i;

    for (i = 0; i < CS_COUNT_MAX; i++) {
        put(json, cs_counter_name((cs_counter_e)i),
            json_integer((json_int_t)cs_counter_get((cs_counter_e)i)));
    }
    return json;
}

static json_t *runner_json(apr_pool_t *p)
{
    const cosell_shared_t *shared = cosell_node->shared;
    apr_interval_time_t silent;
    json_t *json = json_object();
    apr_int64_t pid;

    if (!shared) {
        return json;
    }
    pid = atomic_load_explicit(&shared->runner_pid, memory_order_relaxed);
    silent = cs_time_mono() - atomic_load_explicit(&shared->runner_beat, memory_order_relaxed);
    put(json, "alive", json_boolean(pid && silent < apr_time_from_sec(15)));
    put(json, "pid", pid ? json_integer(pid) : json_null());
    put(json, "starts", json_integer((json_int_t)cs_counter_get(CS_COUNT_RUNNER_STARTS)));
    put(json, "started", time_or_null(atomic_load_explicit(&shared->runner_start,
                                                           memory_order_relaxed), p));
    put(json, "silent_ms", json_integer(apr_time_as_msec(silent)));
    put(json, "workers", json_integer(cosell_node->cfg.workers));
    return json;
}

static json_t *committer_json(apr_pool_t *p)
{
    const char *reason = NULL;
    json_t *json = json_object();
    int troubled = 1;

    if (cosell_child && cosell_child->committer) {
        troubled = cs_committer_troubled(cosell_child->committer, &reason, p);
    }
    else {
        reason = cosell_child && cosell_child->why ? cosell_child->why : "not started";
    }
    put(json, "troubled", json_boolean(troubled));
    put(json, "reason", text_or_null(troubled ? reason : NULL));
    return json;
}

static json_t *server_json(apr_pool_t *p)
{
    json_t *json = json_object();
    int generation = 0;

    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    put(json, "pid", json_integer((json_int_t)getpid()));
    put(json, "generation", json_integer(generation));
    put(json, "time", json_string(cs_time_format(cs_time_now(), p)));
    return json;
}

/* Numbers of the whole server: for hosts that may know of all its sites. */
static int may_see_server(const page_t *page)
{
    return !page->r->server->is_virtual || cosell_node->sites->nelts == 1;
}

static void put_server(page_t *page)
{
    cs_store_counts_t counts = { 0 };
    json_t *store = json_object();

    put(page->out, "version", json_string(COSELL_VERSION));
    put(page->out, "server", server_json(page->p));
    put(page->out, "runner", runner_json(page->p));
    put(page->out, "committer", committer_json(page->p));
    if (may_see_server(page)) {
        put(page->out, "counters", counters_json());
        put(page->out, "lag", cosell_lag_json(page->p));
        put(store, "directory", json_string(cosell_node->cfg.store.state_dir));
    }
    put(store, "kind", json_string(cosell_node->cfg.store.kind));
    put(page->out, "store", store);
    if (may_ask(page) && asked(page, cs_store_counts(page->store, NULL, &counts, page->p,
                                                     &page->res))
        && may_see_server(page)) {
        put(store, "bytes", json_integer(counts.bytes));
        put(store, "wal_bytes", json_integer(counts.wal_bytes));
    }
}

/* ---- pages ---- */

/* Calls fn for each site this page may show, until it returns 1. */
typedef int site_fn(page_t *page, cosell_site_t *site, void *baton);

static int each_site(page_t *page, site_fn *fn, void *baton)
{
    int i;

    for (i = 0; i < cosell_node->sites->nelts; i++) {
        cosell_site_t *site = APR_ARRAY_IDX(cosell_node->sites, i, cosell_site_t *);

        if ((page->all || site == page->site) && fn(page, site, baton)) {
            return 1;
        }
    }
    return 0;
}

static int add_site(page_t *page, cosell_site_t *site, void *baton)
{
    json_array_append_new(baton, site_json(page, site));
    return 0;
}

static int add_dead(page_t *page, cosell_site_t *site, void *baton)
{
    json_t *json = json_object();

    put(json, "site", json_string(site->cfg.name));
    put(json, "dead", list_work(page, site, CS_WORK_DEAD, LIST_MANY));
    json_array_append_new(baton, json);
    return 0;
}

static int add_journal(page_t *page, cosell_site_t *site, void *baton)
{
    int max = atoi(apr_table_get(page->query, "journal"));
    json_t *json = json_object();

    max = max ? max : JOURNAL_FEW;
    put(json, "site", json_string(site->cfg.name));
    put(json, "journal", list_journal(page, site, 0, max));
    json_array_append_new(baton, json);
    return 0;
}

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
static cs_deal_t *find_deal(page_t *page, const cosell_site_t *site, const char *id)
{
    cs_deal_t *deal = NULL;
    int i;

    if (*id && strspn(id, "0123456789") == strlen(id) && strlen(id) < 19) {
        if (may_ask(page)) {
            asked(page, cs_store_deal_load(page->store, site->cfg.name, apr_atoi64(id), &deal,
                                           page->p, &page->res));
        }
        return deal;
    }
    for (i = -1; !deal && i < site->cfg.ncrms && may_ask(page); i++) {
        const char *system = i < 0 ? CS_SYSTEM_PC : site->cfg.crms[i].cfg.name;

        asked(page, cs_store_deal_find(page->store, site->cfg.name, system,
                                       id_in(site, i, id, page->p), &deal, page->p, &page->res));
    }
    return deal;
}

/* Why the upstream or brake that the work waits for is off; NULL = it waits for none. */
static json_t *suspension_json(page_t *page, const cosell_site_t *site, const cs_work_t *work)
{
    apr_array_header_t *list = NULL;
    int i;

    if (work->state != CS_WORK_SUSPENDED || !work->upstream || !may_ask(page) ||
        !asked(page, cs_store_suspended(page->store, site->cfg.name, &list, page->p,
                                        &page->res))) {
        return NULL;
    }
    for (i = 0; i < list->nelts; i++) {
        const cs_suspended_t *s = &APR_ARRAY_IDX(list, i, cs_suspended_t);

        if (!strcmp(s->upstream, work->upstream)) {
            return suspended_json(s, page->p);
        }
    }
    return NULL;
}

/* A notice that no look has made a deal of yet: its work goes by the name that came in. */
static int show_waiting(page_t *page, cosell_site_t *site, const char *id)
{
    cs_work_t *work = NULL;
    json_t *json, *suspended;
    int i;

    for (i = -1; !work && i < site->cfg.ncrms && may_ask(page); i++) {
        const char *system = i < 0 ? CS_SYSTEM_PC : site->cfg.crms[i].cfg.name;
        const char *name =
            apr_pstrcat(page->p, system, ":", id_in(site, i, id, page->p), NULL);

        asked(page, cs_store_work_named(page->store, site->cfg.name, CS_WORK_LOOK, name, &work,
                                        page->p, &page->res));
    }
    if (!work) {
        return 0;
    }
    json = work_json(work, page->p);
    put(json, "site", json_string(site->cfg.name));
    suspended = suspension_json(page, site, work);
    put(json, "suspended", suspended ? suspended : json_null());
    put(page->out, "waiting", json);
    return 1;
}

static int show_deal(page_t *page, cosell_site_t *site, void *baton)
{
    const char *id = baton;
    json_t *suspended = NULL;
    cs_work_t *work = NULL;
    cs_deal_t *deal = find_deal(page, site, id);

    if (!deal) {
        return show_waiting(page, site, id);
    }
    put(page->out, "deal", deal_json(site, deal, page->p));
    if (may_ask(page)) {
        asked(page, cs_store_work_of_deal(page->store, site->cfg.name, deal->id, &work, page->p,
                                          &page->res));
    }
    put(page->out, "work", work ? work_json(work, page->p) : json_null());
    suspended = work ? suspension_json(page, site, work) : NULL;
    put(page->out, "suspended", suspended ? suspended : json_null());
    put(page->out, "journal", list_journal(page, site, deal->id, 100));
    return 1;
}

static void make_list(page_t *page, site_fn *fn)
{
    json_t *list = json_array();

    each_site(page, fn, list);
    put(page->out, "sites", list);
}

static void make_journal(page_t *page)
{
    const char *max = apr_table_get(page->query, "journal");

    int given = *max != '\0';

    if (strspn(max, "0123456789") != strlen(max) || strlen(max) > 9 ||
        (given && (atoi(max) < 1 || atoi(max) > JOURNAL_MOST))) {
        page->status = HTTP_BAD_REQUEST;
        put(page->out, "error",
            json_string("journal: allowed is how many lines, 1 to 1000, or nothing"));
        return;
    }
    make_list(page, add_journal);
}

static void make_page(page_t *page)
{
    const char *deal = apr_table_get(page->query, "deal");

    if (deal) {
        if (!each_site(page, show_deal, (void *)deal) && page->status == HTTP_OK) {
            page->status = HTTP_NOT_FOUND;
            put(page->out, "error",
                json_string("no deal has this number, referral id or record id, and no notice "
                            "about it waits"));
        }
    }
    else if (apr_table_get(page->query, "dead")) {
        make_list(page, add_dead);
    }
    else if (apr_table_get(page->query, "journal")) {
        make_journal(page);
    }
    else {
        put_server(page);
        make_list(page, add_site);
    }
}

/* ---- the handler ---- */

static void set_headers(request_rec *r)
{
    apr_table_t *out = r->headers_out;

    apr_table_setn(out, "Cache-Control", "no-store");
    apr_table_setn(out, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    apr_table_setn(out, "X-Frame-Options", "DENY");
    apr_table_setn(out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(out, "Referrer-Policy", "no-referrer");
    ap_set_content_type(r, "application/json");
}

static int send_page(page_t *page)
{
    request_rec *r = page->r;
    const char *text;

    if (page->status == HTTP_SERVICE_UNAVAILABLE) {
        if (page->res.detail) {
            put(page->out, "error", json_string(page->res.detail));
        }
        apr_table_setn(r->headers_out, "Retry-After", "5");
    }
    text = apr_pstrcat(page->p, cs_json_pretty(page->out, page->p), "\n", NULL);
    r->status = page->status;
    set_headers(r);
    ap_set_content_length(r, (apr_off_t)strlen(text));
    if (!r->header_only) {
        ap_rputs(text, r);
    }
    return OK;
}

static int refuse(page_t *page, int status, const char *why)
{
    page->status = status;
    put(page->out, "error", json_string(why));
    return send_page(page);
}

/* DECLINED when the page may be made, or what the refusal returned. */
static int check_query(page_t *page)
{
    const char *scope = apr_table_get(page->query, "scope");

    if (page->wrong) {
        return refuse(page, HTTP_BAD_REQUEST, page->wrong);
    }
    if (scope && strcmp(scope, "all")) {
        return refuse(page, HTTP_BAD_REQUEST, "scope: allowed is all");
    }
    if (scope && page->r->server->is_virtual) {
        return refuse(page, HTTP_FORBIDDEN, "scope=all is allowed on the main server only");
    }
    page->all = scope != NULL;
    if (!cosell_node) {
        return refuse(page, HTTP_NOT_FOUND, "no host has CosellEngine on");
    }
    if (!page->all && !page->site && page->r->server->is_virtual) {
        return refuse(page, HTTP_NOT_FOUND, "this host has no usable site");
    }
    return DECLINED;
}

static int answer(page_t *page)
{
    int status;

    cs_json_own(page->out, page->p);
    status = check_query(page);
    if (status != DECLINED) {
        return status;
    }
    if (cosell_node->broken) {
        /* Which store was meant is not known. */
        return refuse(page, HTTP_SERVICE_UNAVAILABLE, cosell_node->broken);
    }
    asked(page, cs_store_open(&page->store, &cosell_node->cfg.store, CS_STORE_READER, page->p,
                              &page->res));
    make_page(page);
    return send_page(page);
}

/* A disk that hangs holds the page that asks it: never more than a quarter of the threads. */
static int answer_bounded(page_t *page)
{
    cosell_child_t *child = cosell_child;
    int status;

    if (!child) {
        return answer(page);
    }
    if (atomic_fetch_add(&child->pages, 1) < child->wait_max) {
        status = answer(page);
    }
    else {
        cs_json_own(page->out, page->p);
        status = refuse(page, HTTP_SERVICE_UNAVAILABLE, "too many status pages at once");
    }
    atomic_fetch_sub(&child->pages, 1);
    return status;
}

int cosell_status_handler(request_rec *r)
{
    page_t page = { 0 };

    if (!r->handler || strcmp(r->handler, "cosell-status")) {
        return DECLINED;
    }
    page.r = r;
    page.p = r->pool;
    page.status = HTTP_OK;
    page.started = cs_time_mono();
    page.out = json_object();
    if (r->method_number != M_GET) {
        cs_json_own(page.out, page.p);
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return refuse(&page, HTTP_METHOD_NOT_ALLOWED, "allowed are GET and HEAD");
    }
    page.query = parse_query(r, &page.wrong);
    page.site = cosell_conf_of(r->server)->effective;
    return answer_bounded(&page);
}
