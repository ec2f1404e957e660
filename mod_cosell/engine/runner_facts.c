/* engine/runner_facts.c: what the watch observes: the store's facts of each site, the disk, what
 * children and lanes met. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "../base/counter.h"
#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/time.h"
#include "lane.h"
#include "runner_watch.h"

#define CAUSES 200
#define OLDEST 50
#define PEM_MOST (64 * 1024)
#define CERTIFICATES_EVERY apr_time_from_sec(600)
#define PROBE_BYTES 4096
#define MINUTE apr_time_from_sec(60)
/* Within a round, although others were taken. */
#define MANY_REFUSED 20

/* One round, and the site of it. */
typedef struct round_t {
    const cs_node_config_t *node;
    cs_store_t *store;
    cs_watch_memory_t *memory;
    cs_alert_facts_t *facts;
    apr_pool_t *p;
    cs_result_t res;
} round_t;

void cs_watch_memory_make(cs_watch_memory_t *memory, const cs_node_config_t *node, apr_pool_t *p)
{
    apr_size_t n = (apr_size_t)node->sites->nelts;

    memset(memory, 0, sizeof(*memory));
    memory->began = cs_time_now();
    memory->upstreams = apr_pcalloc(p, sizeof(*memory->upstreams) * CS_LANE_UPSTREAMS * (n + 1));
    memory->signers = apr_pcalloc(p, sizeof(*memory->signers) * (n + 1));
}

/* ---- facts as the store has them ---- */

static json_t *fact(round_t *r, const char *site, const char *prefix, const char *name)
{
    const char *text = NULL;
    json_t *json = NULL;

    if (r->facts->store != APR_SUCCESS) {
        return NULL;
    }
    r->facts->store = cs_store_meta_get(r->store, site, apr_pstrcat(r->p, prefix, name, NULL),
                                        &text, r->p, &r->res);
    if (text && cs_json_parse(&json, text, strlen(text), NULL, r->p, NULL) == APR_SUCCESS) {
        return cs_json_own(json, r->p);
    }
    return NULL;
}

static void read_breaker(round_t *r, const char *site, cs_alert_upstream_t *up)
{
    const json_t *json = fact(r, site, CS_FACT_BREAKER, up->name);
    const char *since = cs_json_str(json, "since"), *detail = cs_json_str(json, "detail");

    if (!json) {
        return;
    }
    up->breaker = detail ? detail : cs_json_str(json, "problem");
    up->breaker = up->breaker ? up->breaker : "no detail";
    if (!since || cs_time_parse(&up->breaker_since, since) != APR_SUCCESS) {
        up->breaker_since = r->facts->now;
    }
}

static void read_quota(round_t *r, const char *site, cs_alert_upstream_t *up)
{
    const json_t *json = fact(r, site, CS_FACT_QUOTA, up->name);

    up->quota_used = cs_json_int(json, "used", 0);
    up->quota_most = cs_json_int(json, "most", 0);
    up->quota_kept = cs_json_int(json, "kept", 0);
}

static void read_misfits(round_t *r, const char *site, cs_alert_upstream_t *up)
{
    const json_t *json = fact(r, site, CS_FACT_MISFITS, up->name);

    up->misfits = (int)json_array_size(json);
    up->misfit = json_string_value(json_array_get(json, 0));
    up->misfit = up->misfit ? up->misfit : "?";
}

/* ---- notices and polls ---- */

static apr_int64_t known(apr_int64_t value)
{
    return value == CS_GAUGE_UNKNOWN ? 0 : value;
}

/* Found and heard are counted for good; what polls found since the last notice is the watch's. */
static void read_notices(round_t *r, int place, cs_watch_upstream_t *kept, cs_alert_upstream_t *up)
{
    int at = cs_gauge_upstream(place, up->name);
    apr_int64_t heard = known(cs_gauge_get(CS_GAUGE_HEARD, place, at));
    apr_int64_t found = known(cs_gauge_get(CS_GAUGE_FOUND, place, at));

    if (!kept->quiet_since || heard != kept->heard) {
        kept->heard = heard;
        kept->found = found;
        kept->quiet_since = known(cs_gauge_get(CS_GAUGE_HEARD_AT, place, at));
        kept->quiet_since = kept->quiet_since ? kept->quiet_since : r->memory->began;
    }
    up->heard_at = kept->quiet_since;
    up->found = found - kept->found;
    up->found_at = known(cs_gauge_get(CS_GAUGE_FOUND_AT, place, at));
    /* Who has never sent any and has no secret to show is not expected to. */
    up->notices |= heard > 0;
}

/* ---- certificates: now and then ---- */

static const char *read_file(const char *path, apr_size_t most, apr_size_t *plen, apr_pool_t *p)
{
    apr_file_t *file;
    char *bytes;
    apr_status_t rv;

    *plen = most;
    if (apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, p) != APR_SUCCESS) {
        return NULL;
    }
    bytes = apr_palloc(p, most + 1);
    rv = apr_file_read_full(file, bytes, most, plen);
    apr_file_close(file);
    return rv == APR_SUCCESS || APR_STATUS_IS_EOF(rv) ? bytes : NULL;
}

static apr_time_t certificate_until(const char *path, apr_pool_t *p)
{
    apr_size_t len;
    const char *pem = path ? read_file(path, PEM_MOST, &len, p) : NULL;
    apr_time_t until = 0;

    return pem && cs_cert_until(&until, pem, len) == APR_SUCCESS ? until : 0;
}

/* The one that lasts the longest of those that were fetched. */
static apr_time_t signer_until(round_t *r, const cs_site_config_t *site)
{
    const apr_array_header_t *urls = site->trusted ? cs_trust_urls(site->trusted) : NULL;
    apr_time_t newest = 0;
    int i;

    for (i = 0; urls && i < urls->nelts; i++) {
        const char *url = APR_ARRAY_IDX(urls, i, const char *), *bytes;
        cs_signer_t *signer;
        apr_size_t len;
        bytes = strchr(url, '*') ? NULL
                                 : read_file(cs_signer_path(r->node->store.state_dir, url, r->p),
                                             CS_SIGNATURE_CERT_MAX, &len, r->p);
        if (bytes &&
            cs_signer_load(&signer, bytes, len, site->trusted, r->facts->now, r->p, NULL) ==
                APR_SUCCESS &&
            cs_signer_not_after(signer) > newest) {
            newest = cs_signer_not_after(signer);
        }
    }
    return newest;
}

static void read_certificates(round_t *r)
{
    cs_watch_memory_t *memory = r->memory;
    int i, crm;

    if (memory->certificates_read &&
        cs_time_boot() - memory->certificates_read < CERTIFICATES_EVERY) {
        return;
    }
    memory->certificates_read = cs_time_boot();
    for (i = 0; i < r->node->sites->nelts; i++) {
        const cs_site_config_t *site = APR_ARRAY_IDX(r->node->sites, i, const cs_site_config_t *);
        memory->signers[i] = signer_until(r, site);
        for (crm = 0; crm < site->ncrms; crm++) {
            memory->upstreams[i * CS_LANE_UPSTREAMS + crm].certificate =
                certificate_until(site->crms[crm].cfg.certificate, r->p);
        }
    }
}

/* ---- a site ---- */

static cs_alert_upstream_t *add_upstream(round_t *r, cs_alert_site_t *s, int site, int place,
                                         const char *name, int upstream)
{
    cs_watch_upstream_t *kept = &r->memory->upstreams[site * CS_LANE_UPSTREAMS + upstream];
    cs_alert_upstream_t *up = apr_array_push(s->upstreams);

    memset(up, 0, sizeof(*up));
    up->name = name;
    up->pc = upstream == CS_LANE_PC;
    up->certificate = kept->certificate;
    read_breaker(r, s->site, up);
    read_notices(r, place, kept, up);
    return up;
}

static void add_upstreams(round_t *r, cs_alert_site_t *s, int site, int place)
{
    const cs_site_config_t *cfg = APR_ARRAY_IDX(r->node->sites, site, const cs_site_config_t *);
    cs_alert_upstream_t *up;
    int i;

    s->upstreams = apr_array_make(r->p, CS_LANE_UPSTREAMS, sizeof(cs_alert_upstream_t));
    up = add_upstream(r, s, site, place, CS_UPSTREAM_PC, CS_LANE_PC);
    up->notices = 1;
    for (i = 0; i < cfg->ncrms; i++) {
        up = add_upstream(r, s, site, place, cfg->crms[i].cfg.name, i);
        up->notices |= cfg->crms[i].cfg.webhook_secret != NULL;
        read_quota(r, s->site, up);
        read_misfits(r, s->site, up);
    }
}

static cs_alert_upstream_t *upstream_named(const cs_alert_site_t *s, const char *name)
{
    int i;

    for (i = 0; i < s->upstreams->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(s->upstreams, i, cs_alert_upstream_t).name, name)) {
            return &APR_ARRAY_IDX(s->upstreams, i, cs_alert_upstream_t);
        }
    }
    return NULL;
}

static void share_out(round_t *r, cs_alert_site_t *s, const apr_array_header_t *suspended)
{
    cs_alert_upstream_t *up;
    int i;

    s->brakes = apr_array_make(r->p, 2, sizeof(cs_suspended_t));
    for (i = 0; suspended && i < suspended->nelts; i++) {
        const cs_suspended_t *one = &APR_ARRAY_IDX(suspended, i, const cs_suspended_t);
        if (strcmp(one->site, s->site)) {
            continue;
        }
        if (!strncmp(one->upstream, CS_BRAKE, sizeof(CS_BRAKE) - 1)) {
            APR_ARRAY_PUSH(s->brakes, cs_suspended_t) = *one;
        }
        else if ((up = upstream_named(s, one->upstream)) != NULL) {
            up->suspended = one;
        }
    }
}

static void read_site_facts(round_t *r, cs_alert_site_t *s)
{
    const json_t *json = fact(r, s->site, CS_FACT_PAUSED, "");

    if (json) {
        s->paused_by = cs_json_str(json, "by");
        s->paused_why = cs_json_str(json, "why");
        s->paused_at = cs_json_int(json, "at", r->facts->now);
    }
    json = fact(r, s->site, CS_FACT_TOKEN, "");
    s->account = cs_json_str(json, "account");
    s->signed_in = cs_json_int(json, "signed_in", 0);
    s->rotated = cs_json_int(json, "rotated", 0);
    s->rotated = s->rotated ? s->rotated : s->signed_in;
    json = fact(r, s->site, CS_FACT_WEBHOOK, "");
    s->drift = cs_json_str(json, "drift");
    if (r->facts->store == APR_SUCCESS) {
        /* One that we never registered is nobody's to judge. */
        cs_gauge_set(CS_GAUGE_WEBHOOK_OK, cs_gauge_site(s->site), -1,
                     s->drift                   ? 0
                     : cs_json_str(json, "url") ? 1
                                                : CS_GAUGE_UNKNOWN);
    }
}

/* Timers and jobs wait as they should. */
static void read_oldest(round_t *r, cs_alert_site_t *s)
{
    apr_array_header_t *list;
    apr_time_t oldest = 0;
    int i;

    if (r->facts->store != APR_SUCCESS || !s->counts.oldest ||
        r->facts->now - s->counts.oldest < CS_PROMISE) {
        return;
    }
    r->facts->store =
        cs_store_work_list(r->store, s->site, CS_WORK_READY, OLDEST, &list, r->p, &r->res);
    for (i = 0; r->facts->store == APR_SUCCESS && i < list->nelts; i++) {
        const cs_work_t *work = APR_ARRAY_IDX(list, i, const cs_work_t *);
        if (!strcmp(work->kind, CS_WORK_LOOK) && work->wanted > work->done &&
            (!oldest || work->first < oldest)) {
            oldest = work->first;
            s->oldest_attempts = work->attempts;
            s->oldest_problem = work->detail ? work->detail : work->problem;
        }
    }
    if (r->facts->store == APR_SUCCESS && list->nelts < OLDEST) {
        s->counts.oldest = oldest;
    }
}

static void read_work(round_t *r, cs_alert_site_t *s)
{
    if (r->facts->store == APR_SUCCESS) {
        r->facts->store = cs_store_counts(r->store, s->site, &s->counts, r->p, &r->res);
    }
    if (r->facts->store == APR_SUCCESS) {
        r->facts->store = cs_store_causes(r->store, s->site, CAUSES, &s->causes, r->p, &r->res);
    }
    read_oldest(r, s);
}

/* ---- gauges ---- */

static apr_int64_t time_or_unknown(apr_time_t at)
{
    return at ? at : CS_GAUGE_UNKNOWN;
}

static void show_upstream(int place, const cs_alert_upstream_t *up)
{
    int at = cs_gauge_upstream(place, up->name);

    cs_gauge_set(CS_GAUGE_SUSPENDED, place, at, up->suspended != NULL);
    cs_gauge_set(CS_GAUGE_BREAKER, place, at, up->breaker != NULL);
    if (up->quota_most > 0) {
        cs_gauge_set(CS_GAUGE_QUOTA_USED, place, at, up->quota_used);
        cs_gauge_set(CS_GAUGE_QUOTA_MOST, place, at, up->quota_most);
        cs_gauge_set(CS_GAUGE_QUOTA_KEPT, place, at, up->quota_kept);
    }
}

static void show_causes(int place, const cs_alert_site_t *s)
{
    apr_int64_t deals = 0, expiring = 0;
    int i;

    for (i = 0; s->causes && i < s->causes->nelts; i++) {
        const cs_cause_t *cause = APR_ARRAY_IDX(s->causes, i, const cs_cause_t *);
        deals += cause->dead ? 0 : cause->n;
    }
    expiring = cs_alert_expiring(s, cs_time_now());
    cs_gauge_set(CS_GAUGE_CAUSES, place, -1, s->causes ? s->causes->nelts : 0);
    cs_gauge_set(CS_GAUGE_BLOCKED, place, -1, deals);
    cs_gauge_set(CS_GAUGE_EXPIRING, place, -1, expiring);
}

static void show_site(const cs_alert_site_t *s, int place)
{
    int i;

    cs_gauge_set(CS_GAUGE_DEGRADED, place, -1, s->degraded != NULL);
    if (!s->known) {
        return;
    }
    cs_gauge_set(CS_GAUGE_BACKLOG, place, -1, s->counts.outstanding);
    cs_gauge_set(CS_GAUGE_BACKLOG_OLDEST, place, -1, time_or_unknown(s->counts.oldest));
    cs_gauge_set(CS_GAUGE_DEAD_LOOKS, place, -1, s->counts.dead);
    cs_gauge_set(CS_GAUGE_SUSPENDED_LOOKS, place, -1, s->counts.suspended);
    cs_gauge_set(CS_GAUGE_HELD, place, -1, s->brakes->nelts);
    cs_gauge_set(CS_GAUGE_DEALS, place, -1, s->counts.deals);
    cs_gauge_set(CS_GAUGE_JOURNAL, place, -1, s->counts.journal);
    cs_gauge_set(CS_GAUGE_PAUSED, place, -1, s->paused_at != 0);
    cs_gauge_set(CS_GAUGE_TOKEN_SIGNED_IN, place, -1, time_or_unknown(s->signed_in));
    cs_gauge_set(CS_GAUGE_TOKEN_ROTATED, place, -1, time_or_unknown(s->rotated));
    show_causes(place, s);
    for (i = 0; i < s->upstreams->nelts; i++) {
        show_upstream(place, &APR_ARRAY_IDX(s->upstreams, i, const cs_alert_upstream_t));
    }
}

static void observe_site(round_t *r, int at, const apr_array_header_t *suspended)
{
    const cs_site_config_t *cfg = APR_ARRAY_IDX(r->node->sites, at, const cs_site_config_t *);
    cs_alert_site_t *s = apr_pcalloc(r->p, sizeof(*s));
    int place = cs_gauge_site(cfg->name);

    s->site = cfg->name;
    s->degraded = cfg->degraded;
    s->signer = r->memory->signers[at];
    add_upstreams(r, s, at, place);
    share_out(r, s, suspended);
    read_site_facts(r, s);
    read_work(r, s);
    s->known = r->facts->store == APR_SUCCESS;
    show_site(s, place);
    APR_ARRAY_PUSH(r->facts->sites, cs_alert_site_t *) = s;
}

/* ---- the server ---- */

/* Whether what failed for want of space would succeed now: when nobody tries, nobody would say that
 * it is over. */
static apr_status_t try_to_write(const char *dir, apr_pool_t *p)
{
    const char *path = apr_pstrcat(p, dir, "/watch.probe", NULL);
    char page[PROBE_BYTES];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err = fd < 0 ? errno : 0;

    memset(page, 0, sizeof(page));
    if (!err && write(fd, page, sizeof(page)) != (ssize_t)sizeof(page)) {
        err = errno ? errno : ENOSPC;
    }
    if (!err && fsync(fd)) {
        err = errno;
    }
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    return err == ENOSPC || err == EDQUOT  ? CS_EFULL
           : err == EROFS || err == EACCES ? CS_EREADONLY
           : err                           ? CS_EIO
                                           : APR_SUCCESS;
}

static int is_of_the_disk(apr_status_t rv)
{
    return rv == CS_EFULL || rv == CS_EREADONLY || rv == CS_EIO;
}

static apr_status_t trouble_of(cs_trouble_e who, apr_status_t *ptried, const char *dir,
                               apr_pool_t *p)
{
    apr_status_t rv = cs_trouble_get(who, NULL);

    if (!is_of_the_disk(rv)) {
        return rv;
    }
    if (*ptried == APR_EINIT) {
        *ptried = try_to_write(dir, p);
    }
    cs_trouble_note(who, *ptried);
    return *ptried;
}

static void observe_disk(round_t *r)
{
    const char *dir = r->node->store.state_dir;
    apr_status_t tried = APR_EINIT;
    struct statvfs fs;

    r->facts->free_bytes =
        statvfs(dir, &fs) == 0 ? (apr_int64_t)fs.f_bavail * (apr_int64_t)fs.f_frsize : -1;
    cs_gauge_set(CS_GAUGE_STORE_FREE_BYTES, -1, -1,
                 r->facts->free_bytes < 0 ? CS_GAUGE_UNKNOWN : r->facts->free_bytes);
    r->facts->accept = trouble_of(CS_TROUBLE_ACCEPT, &tried, dir, r->p);
    r->facts->look = trouble_of(CS_TROUBLE_RUNNER, &tried, dir, r->p);
}

/* Notices answered 503 since one was taken; those of a start, whose certificate comes at once, are
 * none. Forgotten when nobody sends any more. */
static apr_int64_t refused_lately(cs_watch_memory_t *memory)
{
    apr_int64_t unavailable = (apr_int64_t)cs_counter_get(CS_COUNT_UNAVAILABLE);
    apr_int64_t taken =
        (apr_int64_t)(cs_counter_get(CS_COUNT_ACCEPTED) + cs_counter_get(CS_COUNT_NOTIFIED));
    apr_int64_t more = memory->counted ? unavailable - memory->unavailable : 0;
    int some = memory->counted && taken != memory->taken;

    memory->counted = 1;
    memory->unavailable = unavailable;
    memory->taken = taken;
    if (more > 0 && (!some || more >= MANY_REFUSED)) {
        memory->refused += more;
        memory->refused_at = cs_time_boot();
    }
    else if (some || cs_time_boot() - memory->refused_at > MINUTE) {
        memory->refused = 0;
    }
    return memory->refused;
}

static void show_server(round_t *r)
{
    cs_store_counts_t all;
    int usable = r->facts->store == APR_SUCCESS;

    if (usable && cs_store_counts(r->store, NULL, &all, r->p, NULL) == APR_SUCCESS) {
        cs_gauge_set(CS_GAUGE_STORE_BYTES, -1, -1, all.bytes);
        cs_gauge_set(CS_GAUGE_STORE_WAL_BYTES, -1, -1, all.wal_bytes);
    }
    cs_gauge_set(CS_GAUGE_STORE_UP, -1, -1, usable && !r->facts->accept && !r->facts->look);
    cs_gauge_set(CS_GAUGE_WATCHED, -1, -1, r->facts->now);
}

cs_alert_facts_t *cs_watch_observe(const cs_node_config_t *node, cs_store_t *store,
                                   cs_watch_memory_t *memory, apr_pool_t *p)
{
    cs_alert_facts_t *facts = apr_pcalloc(p, sizeof(*facts));
    round_t r = {node, store, memory, facts, p, {0}};
    apr_array_header_t *suspended = NULL;
    int i;

    facts->now = cs_time_now();
    facts->state_dir = node->store.state_dir;
    facts->sites = apr_array_make(p, node->sites->nelts + 1, sizeof(cs_alert_site_t *));
    observe_disk(&r);
    facts->refused = refused_lately(memory);
    read_certificates(&r);
    facts->store = cs_store_suspended(store, NULL, &suspended, p, &r.res);
    for (i = 0; i < node->sites->nelts; i++) {
        observe_site(&r, i, suspended);
    }
    facts->store_detail = facts->store == APR_SUCCESS ? NULL : r.res.detail;
    show_server(&r);
    return facts;
}
