/* httpd/config_check.h: what the parts of the check share: config_check.c (the hosts and the node),
 * config_site.c (a site of a host's settings) and config_file.c (what settings name on disk).
 * Nobody else includes it. */
#ifndef COSELL_CONFIG_CHECK_H
#define COSELL_CONFIG_CHECK_H

#include "mod_cosell.h"

/* The check of one host, or of the settings of the whole server. */
typedef struct cosell_check_t {
    apr_pool_t *p, *ptemp; /* p: the configuration's */
    server_rec *s;
    cosell_conf_t *conf;
    int reloading;
    int mistakes;      /* found so far */
    const char *first; /* the first of them, why the host is degraded at a reload; NULL = none */
} cosell_check_t;

/* ---- what is said (config_check.c) ---- */

/* A mistake, which ends a start and degrades the host at a reload; a warning, said once a start.
 * where: "file:line", NULL = the host's own place. */
void cosell_mistake(cosell_check_t *ck, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void cosell_warn(const cosell_check_t *ck, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- files (config_file.c): each says what is wrong itself ---- */

/* 1 when the file can be used now. `what` is directive and option: "CosellCrm: mapping=". */
int cosell_check_file(cosell_check_t *ck, const char *where, const char *what, const char *path);
/* Only whether its file or command is there. secret may be NULL. */
void cosell_check_secret(cosell_check_t *ck, const char *where, const char *what,
                         const cs_secret_t *secret);
/* A certificate and its key, which may be NULL, as far as both can be read now. */
void cosell_check_certificate(cosell_check_t *ck, const char *where, const char *certificate,
                              const cs_secret_t *key);
/* A key that signs by itself, when it can be read now. key may be NULL. */
void cosell_check_key(cosell_check_t *ck, const char *where, const cs_secret_t *key);
/* The webhook secret of the host's CRM number k: long enough, and no other's of the host. */
void cosell_check_webhook_secret(cosell_check_t *ck, int k);
void cosell_check_command(cosell_check_t *ck, const cosell_notify_t *notify);
void cosell_check_state_dir(cosell_check_t *ck, const char *path);

/* ---- one site (config_site.c), in the configuration's pool ---- */

/* The site of a host that has all it needs; it is there with mistakes in it too. Never NULL. */
cosell_site_t *cosell_site_make(cosell_check_t *ck);
/* An upstream with these defaults, the host's CosellUpstream * and then its own put over them.
 * timeout: seconds. */
cs_upstream_t *cosell_upstream_make(cosell_check_t *ck, const char *name, double rate,
                                    int concurrency, int timeout);
/* Lets it be called at this URL. */
void cosell_upstream_origin(cosell_check_t *ck, const cs_upstream_t *up, const char *url);

#endif
