/* engine/certs.c: transports signing certificates from the configured URLs into <state>/certs. */
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_proc.h>
#include <stdatomic.h>
#include <string.h>

#include "../base/counter.h"
#include "../base/crypto.h"
#include "../base/log.h"
#include "../base/pool.h"
#include "../base/time.h"
#include "../remote/certificate.h"
#include "certs.h"

#define FETCH_GAP apr_time_from_sec(60)   /* at most one fetch per URL in this time (design 7.3) */
#define FRESH apr_time_from_sec(60)       /* at start, a younger file is good enough */
#define LIFE apr_time_from_sec(24 * 3600) /* fetched again at the latest after */
#define BEFORE_EXPIRY apr_time_from_sec(7 * 24 * 3600)
#define URL_MAX 2048
#define SOURCES_MAX 256 /* a pattern allows many URLs; strangers must not make us keep them all */

typedef struct source_t {
    const char *url;
    const cs_site_config_t *site;
    int configured; /* by name; else a sender named it and it fits a pattern */
    cs_limiter_t limiter;
    apr_time_t fetched, due;
    int failures;
    cs_log_state_t log;
} source_t;

struct cs_certs_t {
    const cs_node_config_t *node;
    apr_pool_t *pool;
    cs_http_t *http;
    apr_hash_t *sources; /* URL -> source_t */
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    int woken;
    _Atomic int stop;
};

apr_status_t cs_certificate_wish(const char *state_dir, const char *url, apr_pool_t *ptemp)
{
    const char *path = apr_pstrcat(ptemp, cs_signer_path(state_dir, url, ptemp), ".wish", NULL);
    const char *tmp = apr_psprintf(ptemp, "%s.%s", path, cs_uuid4(ptemp));
    apr_size_t len = strlen(url);
    apr_file_t *file;
    apr_status_t rv;

    rv = apr_file_open(&file, tmp, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_EXCL,
                       APR_FPROT_UREAD | APR_FPROT_UWRITE, ptemp);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_file_write_full(file, url, len, NULL);
    apr_file_close(file);
    if (rv == APR_SUCCESS) {
        rv = apr_file_rename(tmp, path, ptemp);
    }
    if (rv != APR_SUCCESS) {
        apr_file_remove(tmp, ptemp);
    }
    return rv;
}

/* ---- which URLs ---- */

static source_t *source_of(cs_certs_t *c, const char *url, const cs_site_config_t *site)
{
    source_t *s = apr_hash_get(c->sources, url, APR_HASH_KEY_STRING);

    if (!s) {
        s = apr_pcalloc(c->pool, sizeof(*s));
        s->url = apr_pstrdup(c->pool, url);
        s->site = site;
        apr_hash_set(c->sources, s->url, APR_HASH_KEY_STRING, s);
    }
    return s;
}

/* The site whose configuration allows this URL; a wish is a file and could say anything. */
static const cs_site_config_t *site_allowing(cs_certs_t *c, const char *url)
{
    int i;

    for (i = 0; i < c->node->sites->nelts; ++i) {
        const cs_site_config_t *site = APR_ARRAY_IDX(c->node->sites, i, const cs_site_config_t *);
        if (site->trusted && cs_trust_url_allowed(site->trusted, url)) {
            return site;
        }
    }
    return NULL;
}

/* A file that is young enough needs no fetch at start. */
static void take_over(cs_certs_t *c, source_t *s, apr_pool_t *ptemp)
{
    const char *path = cs_signer_path(c->node->store.state_dir, s->url, ptemp);
    apr_time_t now = cs_time_now();
    apr_finfo_t info;

    if (apr_stat(&info, path, APR_FINFO_MTIME, ptemp) == APR_SUCCESS && info.mtime <= now &&
        now - info.mtime < FRESH) {
        s->fetched = info.mtime;
        s->due = info.mtime + LIFE;
    }
}

static void add_configured(cs_certs_t *c, apr_pool_t *ptemp)
{
    int i, j;

    for (i = 0; i < c->node->sites->nelts; ++i) {
        const cs_site_config_t *site = APR_ARRAY_IDX(c->node->sites, i, const cs_site_config_t *);
        const apr_array_header_t *urls = site->trusted ? cs_trust_urls(site->trusted) : NULL;

        for (j = 0; urls && j < urls->nelts; ++j) {
            source_t *s = source_of(c, APR_ARRAY_IDX(urls, j, const char *), site);
            s->configured = 1;
            take_over(c, s, ptemp);
        }
    }
}

/* ---- fetching ---- */

static apr_time_t not_after_of(cs_certs_t *c, const source_t *s, apr_pool_t *ptemp)
{
    const char *path = cs_signer_path(c->node->store.state_dir, s->url, ptemp);
    cs_signer_t *signer;
    apr_file_t *file;
    apr_size_t len = CS_SIGNATURE_CERT_MAX;
    char *bytes = apr_palloc(ptemp, len);
    apr_status_t rv;

    if (apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, ptemp) != APR_SUCCESS) {
        return 0;
    }
    rv = apr_file_read_full(file, bytes, len, &len);
    apr_file_close(file);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return 0;
    }
    rv = cs_signer_load(&signer, bytes, len, s->site->trusted, cs_time_now(), ptemp, NULL);
    return rv == APR_SUCCESS ? cs_signer_not_after(signer) : 0;
}

/* A file that was kept may run out before its time has come again. */
static void heed_expiry(cs_certs_t *c, apr_pool_t *ptemp)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(ptemp, c->sources); hi; hi = apr_hash_next(hi)) {
        source_t *s = apr_hash_this_val(hi);
        apr_time_t not_after = s->fetched ? not_after_of(c, s, ptemp) : 0;
        if (not_after && not_after - BEFORE_EXPIRY < s->due) {
            s->due = not_after - BEFORE_EXPIRY;
        }
    }
}

static void plan_next(cs_certs_t *c, source_t *s, apr_time_t now, apr_pool_t *ptemp)
{
    apr_time_t not_after = not_after_of(c, s, ptemp);

    s->due = now + LIFE;
    if (not_after && not_after - BEFORE_EXPIRY < s->due) {
        s->due = not_after - BEFORE_EXPIRY;
    }
    if (s->due < now + apr_time_from_sec(3600)) {
        s->due = now + apr_time_from_sec(3600);
    }
}

static void fetch(cs_certs_t *c, source_t *s, apr_pool_t *ptemp)
{
    apr_time_t now = cs_time_now();
    cs_result_t res = {0};
    apr_status_t rv;
    unsigned long suppressed;

    s->fetched = now;
    rv = cs_certificate_fetch(c->http, s->site->certificate, &s->limiter, c->node->store.state_dir,
                              s->url, ptemp, &res);
    if (rv == APR_SUCCESS) {
        s->failures = 0;
        plan_next(c, s, now, ptemp);
        if (cs_log_state_changed(&s->log, NULL, 0, NULL)) {
            cs_log(CS_LOG_NOTICE, 0, s->site->name,
                   CSLOGNO(2011) "signing certificate %s could be fetched again", s->url);
        }
        return;
    }
    ++s->failures;
    s->due = now + FETCH_GAP +
             cs_backoff(s->failures, apr_time_from_sec(30), apr_time_from_sec(3600), 0);
    if (!atomic_load(&c->stop) && cs_log_state_changed(&s->log, res.detail ? res.detail : "failed",
                                                       apr_time_from_sec(3600), &suppressed)) {
        cs_log(s->configured ? CS_LOG_WARNING : CS_LOG_INFO, 0, s->site->name,
               CSLOGNO(2012) "could not fetch signing certificate %s: %s", s->url,
               res.detail ? res.detail : "no detail");
    }
}

static void fetch_due(cs_certs_t *c, apr_pool_t *ptemp)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(ptemp, c->sources); hi && !atomic_load(&c->stop);
         hi = apr_hash_next(hi)) {
        source_t *s = apr_hash_this_val(hi);
        /* What only a sender named is fetched when it is wished for. */
        if (s->configured && s->due <= cs_time_now()) {
            fetch(c, s, ptemp);
        }
    }
}

/* ---- wishes ---- */

static const char *read_wish(const char *path, apr_pool_t *ptemp)
{
    char *text = apr_pcalloc(ptemp, URL_MAX + 1);
    apr_size_t len = URL_MAX;
    apr_file_t *file;

    if (apr_file_open(&file, path, APR_FOPEN_READ, 0, ptemp) != APR_SUCCESS) {
        return NULL;
    }
    apr_file_read_full(file, text, len, &len);
    apr_file_close(file);
    text[len] = '\0';
    return len ? text : NULL;
}

static void grant_wish(cs_certs_t *c, const char *path, apr_pool_t *ptemp)
{
    const char *url = read_wish(path, ptemp);
    const cs_site_config_t *site = url ? site_allowing(c, url) : NULL;
    source_t *s;

    apr_file_remove(path, ptemp);
    if (!site || (apr_hash_count(c->sources) >= SOURCES_MAX &&
                  !apr_hash_get(c->sources, url, APR_HASH_KEY_STRING))) {
        return;
    }
    s = source_of(c, url, site);
    if (!s->fetched || cs_time_now() - s->fetched >= FETCH_GAP || cs_time_now() < s->fetched) {
        fetch(c, s, ptemp);
    }
}

static void grant_wishes(cs_certs_t *c, apr_pool_t *ptemp)
{
    const char *dir = apr_pstrcat(ptemp, c->node->store.state_dir, "/certs", NULL);
    apr_array_header_t *paths = apr_array_make(ptemp, 4, sizeof(const char *));
    apr_finfo_t info;
    apr_dir_t *d;
    int i;

    if (apr_dir_open(&d, dir, ptemp) != APR_SUCCESS) {
        return;
    }
    while (paths->nelts < 64 && apr_dir_read(&info, APR_FINFO_NAME, d) == APR_SUCCESS) {
        apr_size_t len = strlen(info.name);
        if (len == 64 + 5 && !strcmp(info.name + 64, ".wish")) {
            APR_ARRAY_PUSH(paths, const char *) = apr_pstrcat(ptemp, dir, "/", info.name, NULL);
        }
    }
    apr_dir_close(d);
    for (i = 0; i < paths->nelts && !atomic_load(&c->stop); ++i) {
        grant_wish(c, APR_ARRAY_IDX(paths, i, const char *), ptemp);
    }
}

/* ---- the thread ---- */

static void wait_for_something(cs_certs_t *c)
{
    apr_thread_mutex_lock(c->mutex);
    if (!c->woken && !atomic_load(&c->stop)) {
        apr_thread_cond_timedwait(c->cond, c->mutex, cs_time_wait(apr_time_from_sec(1)));
    }
    c->woken = 0;
    apr_thread_mutex_unlock(c->mutex);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    cs_certs_t *c = baton;
    apr_pool_t *ptemp;

    (void)thread;
    apr_pool_create(&ptemp, c->pool);
    add_configured(c, ptemp);
    heed_expiry(c, ptemp);
    while (!atomic_load(&c->stop)) {
        fetch_due(c, ptemp);
        grant_wishes(c, ptemp);
        apr_pool_clear(ptemp);
        wait_for_something(c);
    }
    return NULL;
}

apr_status_t cs_certs_start(cs_certs_t **pcerts, const cs_node_config_t *node, apr_pool_t *p,
                            cs_result_t *res)
{
    apr_pool_t *pool;
    cs_certs_t *c;
    apr_status_t rv;

    rv = cs_pool_create_own(&pool, p, 1, "cosell-certificates");
    if (rv != APR_SUCCESS) {
        return rv;
    }
    c = apr_pcalloc(pool, sizeof(*c));
    c->node = node;
    c->pool = pool;
    c->sources = apr_hash_make(pool);
    rv = cs_http_create(&c->http, NULL, pool);
    if (rv == APR_SUCCESS) {
        rv = apr_thread_mutex_create(&c->mutex, APR_THREAD_MUTEX_DEFAULT, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&c->cond, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_thread_create(&c->thread, NULL, run, c, pool);
    }
    if (rv != APR_SUCCESS) {
        return cs_result_set(res, p, rv, CS_CLASS_RETRY, "thread",
                             "could not start the certificate thread");
    }
    *pcerts = c;
    return APR_SUCCESS;
}

void cs_certs_wake(cs_certs_t *c)
{
    apr_thread_mutex_lock(c->mutex);
    c->woken = 1;
    apr_thread_cond_signal(c->cond);
    apr_thread_mutex_unlock(c->mutex);
}

void cs_certs_stop(cs_certs_t *c)
{
    apr_status_t rv;

    atomic_store(&c->stop, 1);
    cs_http_abort(c->http);
    cs_certs_wake(c);
    apr_thread_join(&rv, c->thread);
}
