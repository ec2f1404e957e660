/* httpd/mod_cosell.h: what the files of the module share. Only httpd/ includes httpd's headers.
 *
 * Three lifetimes. cosell_conf_t is a host's configuration: made by the directives, merged,
 * read-only afterwards. cosell_node_t is what check_config and post_config make of all hosts:
 * one per configuration, in pconf, inherited by the children and the runner over the fork.
 * cosell_child_t lives in one child.
 */
#ifndef MOD_COSELL_H
#define MOD_COSELL_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <stdatomic.h>

#include "../base/counter.h"
#include "../base/crypto.h"
#include "../base/gauge.h"
#include "../base/log.h"
#include "../base/secret.h"
#include "../engine/commit.h"
#include "../engine/job.h"
#include "../engine/runner.h"
#include "../engine/site.h"

#ifdef CS_VERSION
#define COSELL_VERSION CS_VERSION
#else
#define COSELL_VERSION "0.1.0"
#endif
#define COSELL_STATE_DIR "/var/lib/cosell"
#define COSELL_CERT_URL \
    "https://3psostorageacct.blob.core.windows.net/cert/pcnotifications-dispatch.microsoft.com.cer"

extern module AP_MODULE_DECLARE_DATA cosell_module;

/* ---- directives (config.c, config_value.c). `where` is "file:line" of the directive. ---- */

typedef struct cosell_pc_t {
    const char *where;
    const char *tenant, *client_id, *organization;
    cs_secret_t *client_secret;
    cs_secret_t *refresh_token; /* NULL = somebody signs in */
    const char *token_url, *webhooks_url, *referrals_url;
} cosell_pc_t;

typedef struct cosell_crm_t {
    const char *where;
    const char *name, *type, *url;
    const char *mapping, *tenant, *client_id, *user, *organization, *token_url;
    cs_secret_t *client_secret; /* or these two: */
    const char *certificate;
    cs_secret_t *key;
    cs_secret_t *webhook_secret; /* NULL = its notifications are not accepted */
} cosell_crm_t;

typedef struct cosell_signature_t {
    const char *where;
    apr_array_header_t *urls, *names; /* const char * */
    const char *ca, *intermediates, *issuer, *subject, *crl;
} cosell_signature_t;

/* Numbers are -1 and pointers NULL where the directive says nothing. */
typedef struct cosell_upstream_t {
    const char *where, *name;
    const char *ca, *proxy;
    double rate;
    int concurrency, reserve;
    apr_interval_time_t timeout;
} cosell_upstream_t;

typedef struct cosell_notify_t {
    const char *where;
    cs_notify_target_t target; /* upstream is made by config_check.c */
} cosell_notify_t;

/* X(type, member, value while unset): the one list of what a host is told. Merging takes the
 * host's own value where it is set, so lists replace. */
#define COSELL_CONF_MEMBERS(X) \
    X(int, engine, -1) \
    X(const char *, site, NULL) \
    X(const char *, site_where, NULL) \
    X(cosell_pc_t *, pc, NULL) \
    X(apr_array_header_t *, crms, NULL) \
    X(cosell_signature_t *, signature, NULL) \
    X(apr_array_header_t *, upstreams, NULL) \
    X(apr_interval_time_t, poll, -1) \
    X(apr_interval_time_t, sweep, -1) \
    X(const char *, state_dir, NULL) \
    X(const char *, state_dir_where, NULL) \
    X(const char *, store, NULL) \
    X(int, workers, -1) \
    X(apr_interval_time_t, keep_journal, -1) \
    X(apr_interval_time_t, keep_delivery, -1) \
    X(cs_secret_t *, passphrase, NULL) \
    X(const char *, passphrase_where, NULL) \
    X(apr_array_header_t *, notify, NULL) \
    X(const char *, broken, NULL)

struct cosell_site_t;

typedef struct cosell_conf_t {
#define COSELL_CONF_STRUCT(type, member, unset) type member;
    COSELL_CONF_MEMBERS(COSELL_CONF_STRUCT)
#undef COSELL_CONF_STRUCT
    /* Made by check_config for hosts whose engine is on; not a setting, never merged. */
    struct cosell_site_t *effective; /* NULL when there is no usable site */
    const char *degraded; /* why this host answers 503 though its site may be good; NULL = none */
} cosell_conf_t;

extern const command_rec cosell_commands[];
void *cosell_conf_create(apr_pool_t *p, server_rec *s);
void *cosell_conf_merge(apr_pool_t *p, void *basev, void *addv);
cosell_conf_t *cosell_conf_of(const server_rec *s);
/* 1 while the configuration of a running server is read again: nothing may stop it then. */
int cosell_reloading(void);
/* "name, <VirtualHost *:443> of file:line" or "the main server", for messages. */
const char *cosell_host_name(const server_rec *s, apr_pool_t *p);
/* NULL, or what is wrong with a URL in words: https, or http to loopback; host; no user, query,
 * fragment, dots or escapes. star: one '*' in the last segment may stand. */
const char *cosell_url_wrong(const char *url, int star, apr_pool_t *p);

/* ---- the node (config_check.c, config_site.c, mod_cosell.c) ---- */

typedef struct cosell_site_t {
    cs_site_config_t cfg;
    int index;                     /* in cosell_node_t.sites and cosell_child_t.signers */
    int gauge, gauge_pc;           /* places among the gauges; -1 = it is not measured */
    int gauge_crms[CS_SITE_CRMS_MAX];
    server_rec *server;            /* the first host with this site: its log */
    const char *settings;          /* all effective settings as text, to compare hosts */
    cs_trust_t *trust;             /* NULL when cfg.degraded says why */
} cosell_site_t;

/* In anonymous shared memory that outlives reloads, so that counters go on. */
typedef struct cosell_shared_t {
    cs_counters_t counters;
    cs_gauges_t gauges;
    _Atomic apr_int64_t runner_pid;   /* 0 = none */
    _Atomic apr_int64_t runner_start; /* cs_time_now() */
    _Atomic apr_int64_t runner_beat;  /* cs_time_mono() of the last sign of life */
    unsigned char form_key[CS_KEY_LEN]; /* random: signs the pages' forms (forms.c) */
    int form_keyed;                     /* written before the first fork */
} cosell_shared_t;

typedef struct cosell_node_t {
    cs_node_config_t cfg;          /* cfg.sites: the usable names only; what the runner gets */
    apr_array_header_t *sites;     /* cosell_site_t * */
    server_rec *server;            /* the main server */
    int one_process;               /* -X */
    int wake_write;                /* write end of the wake pipe; -1 = none */
    cosell_shared_t *shared;       /* NULL when there is no shared memory */
    const char *broken;            /* a server-wide setting is bad: nothing is started; or NULL */
} cosell_node_t;

/* NULL while no host has CosellEngine on. */
extern cosell_node_t *cosell_node;

/* Hook: finds every mistake in the settings and makes the node. */
int cosell_config_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);
/* Everything that makes one site differ from another, one setting a line, and the name of the first
 * line in which two such texts differ, without its values. (config_text.c) */
const char *cosell_settings_text(const cs_site_config_t *cfg, apr_pool_t *p);
const char *cosell_settings_difference(const char *a, const char *b, apr_pool_t *p);
/* Wakes the runner; any process and thread, never blocks. */
void cosell_wake(void *unused);
void cosell_wake_certificates(void);

/* ---- the runner process (runner_main.c) ---- */

/* Forks it and sees to its return. Parent, post_config's real pass. */
apr_status_t cosell_runner_fork(cosell_node_t *node, apr_pool_t *pconf);
/* Parent's maintenance: forks it when a fork has failed before. */
int cosell_runner_monitor(apr_pool_t *p, server_rec *s);
/* With -X: the same work in a thread of this process, from child_init to the end of pchild. */
typedef struct cosell_runner_thread_t cosell_runner_thread_t;
apr_status_t cosell_runner_thread_start(cosell_runner_thread_t **pt, cosell_node_t *node,
                                        apr_pool_t *pchild);
void cosell_runner_thread_stop(cosell_runner_thread_t *t);
/* Log lines of this process say so. */
extern int cosell_is_runner;

/* ---- one child (child.c) ---- */

typedef struct cosell_signers_t cosell_signers_t;

typedef struct cosell_child_t {
    cs_committer_t *committer;     /* NULL: could not be started, `why` says */
    const char *why;
    cosell_signers_t **signers;    /* by site index */
    cosell_runner_thread_t *runner; /* -X */
    int wait_max;                  /* a quarter of the request threads, at least 1 */
    atomic_int waiting;            /* requests that wait for a certificate */
    atomic_int pages;              /* status pages being made */
    atomic_int stopping;
    atomic_int wishes;             /* wishes of the current minute, see signers.c */
    _Atomic apr_int64_t wish_minute;
} cosell_child_t;

extern cosell_child_t *cosell_child;

void cosell_child_init(apr_pool_t *pchild, server_rec *s);
void cosell_child_stopping(apr_pool_t *pchild, int graceful);

/* ---- certificates as one child knows them (signers.c) ---- */

apr_status_t cosell_signers_create(cosell_signers_t **psigners, const cosell_site_t *site,
                                   cosell_child_t *child, apr_pool_t *p);
/* Any request thread. CS_SIG_OK; CS_SIG_REFUSED: 401; CS_SIG_NO_SIGNER: 503. May wait up to 2 s
 * for the runner to fetch a certificate, but never in the good case. */
cs_sig_verdict_e cosell_signers_verify(cosell_signers_t *signers, const cs_signature_t *sig,
                                       const void *body, apr_size_t len, apr_pool_t *p,
                                       cs_result_t *res);

/* ---- what handlers that take notices share (receive.c) ---- */

/* OK, or the status of what is wrong before anything is read: method, type, announced length.
 * types: media types that are taken, closed by NULL. */
int cosell_request_check(const request_rec *r, apr_size_t most, const char *const *types);
/* Why nothing can be accepted on this host now; NULL = it can. */
const char *cosell_unusable(const cosell_conf_t *conf);
/* The raw body, unchanged and NUL-terminated, in the request's pool. OK, a status with its reason
 * in res, or AP_FILTER_ERROR. */
int cosell_body_read(request_rec *r, apr_size_t most, char **pbody, apr_size_t *plen,
                     cs_result_t *res);
/* Each sends an answer and returns OK. A refusal is counted and logged; its body is generic. */
int cosell_answer(request_rec *r, int status, const char *text);
int cosell_answer_as(request_rec *r, int status, const char *type, const char *text);
int cosell_refuse(request_rec *r, int status, const char *reason);
/* The end of a handler whose stages ended in `status`: refuses an HTTP error with the reason in
 * res, hands anything else on. */
int cosell_end(request_rec *r, int status, const cs_result_t *res);

/* ---- notifications of CRMs (crm_hook.c) ---- */

/* The shortest secret that is accepted: any header or parameter may carry it, and it must not be
 * like what any request carries. */
#define COSELL_WEBHOOK_SECRET_LEAST 16

/* Reads the secrets of a site's CRMs, keeps their digests and wipes them. As root. */
void cosell_webhook_secrets_load(cosell_site_t *site, apr_pool_t *p);
void cosell_crm_child_init(apr_pool_t *pchild, server_rec *s);

/* ---- handlers (webhook.c, crm_hook.c, admin.c, control.c, metrics.c) ---- */

/* control.c: stores the wish of the request's authenticated user for a job, durably; arguments were
 * judged by cs_job_wrong(). *pid = the job's id, in the request's pool. Not durable: the reason in
 * res. */
apr_status_t cosell_job_submit(request_rec *r, const cosell_site_t *site,
                               const cs_job_kind_t *kind, json_t *arguments, const char **pid,
                               cs_result_t *res);
/* address.c: the URL of the only place of this host that has the handler cosell-webhook; NULL when
 * the configuration does not say it: several places, none, or TLS that ends elsewhere. */
const char *cosell_webhook_url(request_rec *r);
int cosell_webhook_handler(request_rec *r);
int cosell_crm_handler(request_rec *r);
int cosell_status_handler(request_rec *r);
int cosell_admin_handler(request_rec *r);
int cosell_metrics_handler(request_rec *r);
int cosell_login_handler(request_rec *r); /* login.c */
int cosell_admin_get(request_rec *r);     /* GET and HEAD of cosell-admin: admin.c */
int cosell_form_post(request_rec *r);     /* POST of a page's form: forms.c */
/* 1 = the request comes from a page of another host, which may not use the user's sign-in. */
int cosell_is_foreign(const request_rec *r);
/* Section of mod_status, and its optional hook. */
void cosell_mod_status_register(apr_pool_t *p);
/* {"to_crm": {"buckets": {"0.25": n, ... "+Inf": n}, "sum": seconds, "count": n}, ...}: cumulative.
 * New reference. */
json_t *cosell_lag_json(apr_pool_t *p);

#endif
