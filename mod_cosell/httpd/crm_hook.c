/* httpd/crm_hook.c: handler cosell-crm: what a CRM says changed. Authenticate, decode, make
 * durable, answer. (design 7.4, crm-apis.md A16, B12)
 *
 *   200  durable, in the words that the CRM wants to hear; also what is worth no look
 *   400  authentic, but no notification
 *   401  no secret of a CRM of this site is shown, or the organisation is another; a generic body,
 *        the reason goes to the log
 *   405, 413, 415
 *   503  not durable in time; Dataverse repeats once, and only after 502 to 504, Salesforce for a
 *        day
 *
 * Nobody signs a notification: a shared secret is all there is, as the value of a header or of a
 * parameter of the query, under whatever name the administrator registered it; or, for a CRM
 * without one, a client certificate that httpd has verified (SSLVerifyClient). Which CRM speaks is
 * told by its secret, before anything of the body is read, else by the organisation it names. What
 * the body says are hints: the rows that it names are read from the CRM before anything is decided.
 */
#include "mod_cosell.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <http_ssl.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/time.h"
#include "../base/trace.h"
#include "../engine/lane.h"

APLOG_USE_MODULE(cosell);

/* The service sends 256 KB of context at most and leaves parts out beyond that. Four times as much
 * leaves room for what a proxy or a newer service does, and still bounds a child's memory. */
#define BODY_MAX (1024 * 1024)
#define PAIRS_MOST 200
#define PIN_KNOWN apr_time_from_sec(60)
#define PIN_UNKNOWN apr_time_from_sec(5)

/* Which organisation a CRM is, as the runner learnt it at its first contact. */
typedef struct pin_t {
    char organization[40]; /* "" = not known (yet) */
    apr_interval_time_t asked; /* cs_time_mono(); 0 = never */
    int asking;            /* a thread is at it */
    int warned;
} pin_t;

/* Of this child. */
static struct {
    apr_thread_mutex_t *mutex; /* guards pins; NULL = there is none: nothing is kept */
    pin_t *pins;               /* by site index and CRM */
} known;

typedef struct hook_t {
    request_rec *r;
    cosell_site_t *site;
    const cs_site_crm_t *crm; /* NULL = by its certificate, it is not known yet which */
    int index; /* of crm */
    int certified; /* httpd has verified its certificate, and it shows no secret */
    char *body;
    apr_size_t len;
    cs_crm_notice_t notice;
    cs_result_t res;
} hook_t;

/* ---- secrets ---- */

/* Children and runner inherit the digest alone. */
static void load_secret(cosell_site_t *site, int k, apr_pool_t *p)
{
    cs_secret_t *secret = site->cfg.crms[k].cfg.webhook_secret;
    const char *name = site->cfg.crms[k].cfg.name;
    cs_result_t res = { 0 };
    char digest[sizeof(secret->digest)] = "";

    if (cs_secret_load(secret, p, &res) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, site->server, CSLOGNO(1070)
                     "site %s: the webhook secret of %s could not be read, its notifications are "
                     "answered 503 until the next reload: %s", site->cfg.name, name,
                     res.detail ? res.detail : secret->ref);
    }
    else if (secret->len < COSELL_WEBHOOK_SECRET_LEAST) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, site->server, CSLOGNO(1071)
                     "site %s: the webhook secret of %s has %" APR_SIZE_T_FMT " characters; "
                     "allowed are at least %d; its notifications are answered 503 until the next "
                     "reload",
                     site->cfg.name, name, secret->len, COSELL_WEBHOOK_SECRET_LEAST);
    }
    else {
        apr_cpystrn(digest, secret->digest, sizeof(digest));
    }
    cs_secret_forget(secret);
    apr_cpystrn(secret->digest, digest, sizeof(secret->digest));
}

/* A secret of two CRMs tells neither. Of files the configuration check says so. */
static void part_equal(cosell_site_t *site, int k)
{
    cs_secret_t *secret = site->cfg.crms[k].cfg.webhook_secret;
    int i;

    for (i = 0; i < k && *secret->digest; i++) {
        const cs_secret_t *other = site->cfg.crms[i].cfg.webhook_secret;

        if (other && !strcmp(other->digest, secret->digest)) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, site->server, CSLOGNO(1072)
                         "site %s: %s has the webhook secret of %s and gets no notifications; each "
                         "CRM needs one of its own", site->cfg.name, site->cfg.crms[k].cfg.name,
                         site->cfg.crms[i].cfg.name);
            *secret->digest = '\0';
        }
    }
}

void cosell_webhook_secrets_load(cosell_site_t *site, apr_pool_t *p)
{
    int k;

    for (k = 0; k < site->cfg.ncrms; k++) {
        if (site->cfg.crms[k].cfg.webhook_secret) {
            load_secret(site, k, p);
            part_equal(site, k);
        }
    }
}

/* ---- who sends ---- */

/* Compares with all secrets each time, and digests only: how long it takes says nothing about how
 * much of a secret was right. */
static void try_value(hook_t *hook, const char *value, apr_size_t len)
{
    const cs_site_config_t *cfg = &hook->site->cfg;
    const char *digest = cs_sha256_hex(value, len, hook->r->pool);
    int k;

    for (k = 0; k < cfg->ncrms; k++) {
        const cs_secret_t *secret = cfg->crms[k].cfg.webhook_secret;

        if (secret && *secret->digest &&
            cs_equal_consttime(digest, strlen(digest), secret->digest, strlen(secret->digest))) {
            hook->crm = &cfg->crms[k];
            hook->index = k;
        }
    }
}

static int hex_of(char c)
{
    return apr_isdigit(c) ? c - '0' : apr_isxdigit(c) ? apr_tolower(c) - 'a' + 10 : -1;
}

/* %XX and, where it stands for one, '+'. A new buffer of at most len bytes. */
static char *unescape(const char *text, apr_size_t len, int plus, apr_size_t *pout, apr_pool_t *p)
{
    char *out = apr_palloc(p, len + 1), *to = out;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] == '%' && i + 2 < len && hex_of(text[i + 1]) >= 0 && hex_of(text[i + 2]) >= 0) {
            *to++ = (char)(hex_of(text[i + 1]) * 16 + hex_of(text[i + 2]));
            i += 2;
        }
        else {
            *to++ = plus && text[i] == '+' ? ' ' : text[i];
        }
    }
    *pout = (apr_size_t)(to - out);
    return out;
}

static void try_parameter(hook_t *hook, const char *value, apr_size_t len)
{
    apr_size_t n;
    char *plain;
    int plus;

    try_value(hook, value, len);
    for (plus = 0; plus < 2; plus++) {
        plain = unescape(value, len, plus, &n, hook->r->pool);
        try_value(hook, plain, n);
        cs_wipe(plain, n);
    }
}

static void try_query(hook_t *hook, const char *query)
{
    int n;

    for (n = 0; query && *query && n < PAIRS_MOST; n++) {
        apr_size_t len = strcspn(query, "&;");
        const char *value = memchr(query, '=', len);

        value = value ? value + 1 : query;
        try_parameter(hook, value, len - (apr_size_t)(value - query));
        query += len;
        query += *query != '\0';
    }
}

static int try_header(void *baton, const char *name, const char *value)
{
    (void)name;
    try_value(baton, value, strlen(value));
    return 1;
}

/* Are there secrets, and could all of them be read? */
static int have_secrets(const cosell_site_t *site, int *pall)
{
    int k, any = 0;

    *pall = 1;
    for (k = 0; k < site->cfg.ncrms; k++) {
        const cs_secret_t *secret = site->cfg.crms[k].cfg.webhook_secret;

        any |= secret != NULL;
        *pall &= !secret || *secret->digest;
    }
    return any;
}

static int without_secret(const cs_site_config_t *cfg)
{
    int k, n = 0;

    for (k = 0; k < cfg->ncrms; k++) {
        n += !cfg->crms[k].cfg.webhook_secret;
    }
    return n;
}

/* "SUCCESS" also says that the chain was verified; with SSLVerifyClient optional_no_ca it is
 * "GENEROUS". */
static int shows_certificate(const hook_t *hook)
{
    const char *verified = ap_ssl_var_lookup(hook->r->pool, hook->r->server, hook->r->connection,
                                             hook->r, "SSL_CLIENT_VERIFY");

    return verified && !strcmp(verified, "SUCCESS");
}

static int check_secret(hook_t *hook)
{
    int all, any = have_secrets(hook->site, &all);

    apr_table_do(try_header, hook, hook->r->headers_in, NULL);
    try_query(hook, hook->r->args);
    if (hook->crm) {
        return OK;
    }
    if (without_secret(&hook->site->cfg) && shows_certificate(hook)) {
        hook->certified = 1;
        return OK;
    }
    if (!all) {
        /* It may be the one that could not be read. */
        cs_result_set(&hook->res, hook->r->pool, APR_EGENERAL, CS_CLASS_RETRY, "secret",
                      "a webhook-secret of this site could not be read when the server started");
        return HTTP_SERVICE_UNAVAILABLE;
    }
    cs_result_set(&hook->res, hook->r->pool, APR_EGENERAL, CS_CLASS_REFUSED, "secret",
                  any ? "no header and no parameter of the query has the webhook-secret of a CRM "
                        "of this site"
                      : "no CRM of this site has a webhook-secret=, and no client certificate was "
                        "verified, so that the notification cannot be accepted");
    return HTTP_UNAUTHORIZED;
}

/* ---- which organisation ---- */

static pin_t *pin_of(const hook_t *hook)
{
    return known.pins + hook->site->index * CS_SITE_CRMS_MAX + hook->index;
}

/* What the store has now; "" = nothing, or it could not be asked within its 250 ms. */
static void ask_store(hook_t *hook, char *out, apr_size_t size)
{
    const char *name = apr_pstrcat(hook->r->pool, CS_FACT_ORGANIZATION, hook->crm->cfg.name, NULL);
    const char *text = NULL;
    cs_result_t res = { 0 };
    cs_store_t *store;

    if (cs_store_open(&store, &cosell_node->cfg.store, CS_STORE_READER, hook->r->pool, &res) ==
        APR_SUCCESS) {
        cs_store_meta_get(store, hook->site->cfg.name, name, &text, hook->r->pool, &res);
        cs_store_close(store);
    }
    apr_cpystrn(out, text ? text : "", size);
}

/* The organisation that this CRM is to be, "" = not known yet. The store is asked by one thread at
 * a time and rarely; the others go by what was known. */
static void expected_organization(hook_t *hook, char *out, apr_size_t size)
{
    apr_interval_time_t now = cs_time_mono();
    pin_t *pin;
    int ask;

    apr_cpystrn(out, hook->crm->cfg.organization ? hook->crm->cfg.organization : "", size);
    if (*out || !known.mutex) {
        return;
    }
    pin = pin_of(hook);
    apr_thread_mutex_lock(known.mutex);
    ask = !pin->asking && (!pin->asked || now - pin->asked >= (*pin->organization ? PIN_KNOWN
                                                                                  : PIN_UNKNOWN));
    pin->asking |= ask;
    apr_cpystrn(out, pin->organization, size);
    apr_thread_mutex_unlock(known.mutex);
    if (!ask) {
        return;
    }
    ask_store(hook, out, size);
    apr_thread_mutex_lock(known.mutex);
    if (*out) {
        apr_cpystrn(pin->organization, out, sizeof(pin->organization));
    }
    apr_cpystrn(out, pin->organization, size);
    pin->asked = now;
    pin->asking = 0;
    apr_thread_mutex_unlock(known.mutex);
}

static int first_warning(const hook_t *hook)
{
    int first = 0;

    if (known.mutex) {
        apr_thread_mutex_lock(known.mutex);
        first = !pin_of(hook)->warned;
        pin_of(hook)->warned = 1;
        apr_thread_mutex_unlock(known.mutex);
    }
    return first;
}

/* A copied sandbox keeps the registration and the secret, and speaks of rows that are not those of
 * the original any more. */
static int check_organization(hook_t *hook)
{
    const char *said = hook->notice.organization;
    char expected[sizeof(known.pins->organization)];

    expected_organization(hook, expected, sizeof(expected));
    if (!*expected || !said ||
        cs_row_id_same(cs_crm_impl_of(hook->crm->cfg.type)->facts->id_form, said, expected)) {
        return OK;
    }
    if (first_warning(hook)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, hook->r, CSLOGNO(1073)
                      "%s: a notification with the right secret comes from the organisation %s, "
                      "but %s was expected: a copy of the environment? Give the copy a "
                      "secret and a site of its own, or take its webhook away",
                      hook->crm->cfg.name, said, expected);
    }
    cs_result_set(&hook->res, hook->r->pool, APR_EGENERAL, CS_CLASS_REFUSED, "organization",
                  "%s: it comes from the organisation %s, but %s was expected",
                  hook->crm->cfg.name, said, expected);
    return HTTP_UNAUTHORIZED;
}

/* ---- what it says ---- */

static const char *header_of(void *baton, const char *name)
{
    const hook_t *hook = baton;

    return apr_table_get(hook->r->headers_in, name);
}

static int is_record(const apr_array_header_t *watched, const char *table)
{
    int i;

    for (i = 0; watched && i < watched->nelts; i++) {
        const cs_watched_t *one = &APR_ARRAY_IDX(watched, i, cs_watched_t);

        if (!strcmp(one->table, table)) {
            return one->record;
        }
    }
    return 0;
}

/* The version that the notice speaks of, when all its rows are records and it is about themselves;
 * the oldest of several, for one hint counts for all names. */
static apr_time_t hint_of(const cs_crm_notice_t *said, const apr_array_header_t *watched)
{
    apr_time_t hint = 0;
    int i;

    for (i = 0; i < said->rows->nelts; i++) {
        const cs_crm_noticed_t *row = &APR_ARRAY_IDX(said->rows, i, cs_crm_noticed_t);

        if (!row->at || !is_record(watched, row->table)) {
            return 0;
        }
        hint = !hint || row->at < hint ? row->at : hint;
    }
    return hint;
}

static void fill_notice(cs_notice_t *notice, hook_t *hook, const apr_array_header_t *watched)
{
    const cs_crm_notice_t *said = &hook->notice;
    apr_pool_t *p = hook->r->pool;
    int i;

    memset(notice, 0, sizeof(*notice));
    notice->site = hook->site->cfg.name;
    notice->source = hook->crm->cfg.name;
    notice->event = said->event;
    notice->received = cs_time_now();
    notice->digest = cs_sha256_hex(hook->body, hook->len, p);
    notice->problem = said->problem;
    notice->system = hook->crm->cfg.name;
    notice->hint = hint_of(said, watched);
    notice->kind = said->rows->nelts ? CS_WORK_LOOK : NULL;
    notice->trace = cs_trace_parse(apr_table_get(hook->r->headers_in, CS_TRACE_HEADER), p);
    notice->names = apr_array_make(p, said->rows->nelts + 1, sizeof(const char *));
    notice->tables = apr_array_make(p, said->rows->nelts + 1, sizeof(const char *));
    for (i = 0; i < said->rows->nelts; i++) {
        const cs_crm_noticed_t *row = &APR_ARRAY_IDX(said->rows, i, cs_crm_noticed_t);

        APR_ARRAY_PUSH(notice->names, const char *) =
            apr_pstrcat(p, hook->crm->cfg.name, ":", row->id, NULL);
        APR_ARRAY_PUSH(notice->tables, const char *) = row->table;
    }
}

static int decode_as(hook_t *hook, cs_notice_t *notice)
{
    const cs_crm_impl_t *impl = cs_crm_impl_of(hook->crm->cfg.type);
    const apr_array_header_t *watched =
        hook->crm->mapping ? cs_mapping_watched(hook->crm->mapping) : NULL;
    cs_crm_request_t request = { header_of, hook, hook->body, hook->len };
    int status;

    if (!impl || !impl->notice ||
        impl->notice(&hook->notice, &request, watched, hook->r->pool, &hook->res) != APR_SUCCESS) {
        return HTTP_BAD_REQUEST;
    }
    status = check_organization(hook);
    if (status == OK) {
        fill_notice(notice, hook, watched);
    }
    return status;
}

/* By its certificate: the first CRM without a secret that it can be from. Where there are several,
 * the organisation must say which. */
static int decode_certified(hook_t *hook, cs_notice_t *notice)
{
    const cs_site_config_t *cfg = &hook->site->cfg;
    int k, status = HTTP_UNAUTHORIZED, several = without_secret(cfg) > 1;

    for (k = 0; k < cfg->ncrms; k++) {
        char expected[sizeof(known.pins->organization)];

        if (cfg->crms[k].cfg.webhook_secret) {
            continue;
        }
        hook->crm = &cfg->crms[k];
        hook->index = k;
        expected_organization(hook, expected, sizeof(expected));
        status = decode_as(hook, notice);
        if (status == OK && (!several || (*expected && hook->notice.organization))) {
            return OK;
        }
    }
    if (status == OK) {
        cs_result_set(&hook->res, hook->r->pool, APR_EGENERAL, CS_CLASS_REFUSED, "organization",
                      "it does not say of which organisation it is, or the CRMs are not known yet; "
                      "with several CRMs give each a webhook-secret= or organization=");
        status = HTTP_UNAUTHORIZED;
    }
    return status;
}

static int decode(hook_t *hook, cs_notice_t *notice)
{
    return hook->certified ? decode_certified(hook, notice) : decode_as(hook, notice);
}

/* ---- stages: OK or the status to answer; the reason is in hook->res ---- */

static int receive(hook_t *hook)
{
    cs_notice_t notice;
    int status = check_secret(hook);

    if (status == OK) {
        status = cosell_body_read(hook->r, BODY_MAX, &hook->body, &hook->len, &hook->res);
    }
    if (status != OK) {
        return status;
    }
    cs_committer_expect(cosell_child->committer);
    status = decode(hook, &notice);
    cs_committer_unexpect(cosell_child->committer);
    if (status == OK && cs_committer_submit(cosell_child->committer, &notice, hook->r->pool,
                                            &hook->res) != APR_SUCCESS) {
        status = HTTP_SERVICE_UNAVAILABLE;
    }
    return status;
}

void cosell_crm_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)s;
    memset(&known, 0, sizeof(known));
    if (!cosell_node || cosell_node->broken) {
        return;
    }
    known.pins = apr_pcalloc(pchild, sizeof(*known.pins) * CS_SITE_CRMS_MAX *
                                         (apr_size_t)(cosell_node->sites->nelts + 1));
    if (apr_thread_mutex_create(&known.mutex, APR_THREAD_MUTEX_DEFAULT, pchild) != APR_SUCCESS) {
        known.mutex = NULL;
    }
}

/* What any CRM of the site may send. */
static const char *const *media_types(const cosell_conf_t *conf)
{
    static const char *const json[] = { "application/json", NULL };
    const char *const *types = json;
    int k;

    for (k = 0; conf->effective && k < conf->effective->cfg.ncrms; k++) {
        const cs_crm_impl_t *impl = cs_crm_impl_of(conf->effective->cfg.crms[k].cfg.type);

        if (impl && impl->media_types) {
            types = impl->media_types;
        }
    }
    return types;
}

static int acknowledge(const hook_t *hook)
{
    const cs_crm_impl_t *impl = cs_crm_impl_of(hook->crm->cfg.type);
    cs_crm_answer_t answer = { NULL, "" };

    if (impl->acknowledge) {
        impl->acknowledge(&answer, &hook->notice);
    }
    return answer.type ? cosell_answer_as(hook->r, HTTP_OK, answer.type, answer.body)
                       : cosell_answer(hook->r, HTTP_OK, "");
}

int cosell_crm_handler(request_rec *r)
{
    const cosell_conf_t *conf;
    const char *why;
    hook_t hook;
    int status;

    if (!r->handler || strcmp(r->handler, "cosell-crm")) {
        return DECLINED;
    }
    conf = cosell_conf_of(r->server);
    if (conf->engine != 1 && !conf->broken) {
        return HTTP_NOT_FOUND;
    }
    status = cosell_request_check(r, BODY_MAX, media_types(conf));
    if (status != OK) {
        return cosell_refuse(r, status, "method, content type or length");
    }
    why = cosell_unusable(conf);
    if (why) {
        return cosell_refuse(r, HTTP_SERVICE_UNAVAILABLE, why);
    }
    memset(&hook, 0, sizeof(hook));
    hook.r = r;
    hook.site = conf->effective;
    status = receive(&hook);
    if (status != OK) {
        return cosell_end(r, status, &hook.res);
    }
    cs_count(CS_COUNT_NOTIFIED, 1);
    cs_gauge_add(CS_GAUGE_HEARD, hook.site->gauge, hook.site->gauge_crms[hook.index], 1);
    cs_gauge_set(CS_GAUGE_HEARD_AT, hook.site->gauge, hook.site->gauge_crms[hook.index],
                 cs_time_now());
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, CSLOGNO(1074) "accepted %s of %s: %d rows",
                  hook.notice.event, hook.crm->cfg.name, hook.notice.rows->nelts);
    return acknowledge(&hook);
}
