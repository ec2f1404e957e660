/* httpd/mod_cosell.c: the module record, the order of its hooks, and what the parent prepares
 * before it forks. (design 4) */
#include "mod_cosell.h"

#include <ap_mpm.h>
#include <apr_lib.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <http_core.h>
#include <mpm_common.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

#include "../base/time.h"
#include "../engine/lane.h"

APLOG_USE_MODULE(cosell);

#define RETAINED "mod_cosell-shared"

/* ---- the library's messages ---- */

static server_rec *server_of_site(const char *site)
{
    int i;

    for (i = 0; cosell_node && site && i < cosell_node->sites->nelts; i++) {
        const cosell_site_t *known = APR_ARRAY_IDX(cosell_node->sites, i, cosell_site_t *);

        if (!strcmp(known->cfg.name, site)) {
            return known->server;
        }
    }
    return cosell_node ? cosell_node->server : NULL;
}

/* The status is in the message already. "CS2001: text" becomes "CS2001: runner: site contoso:
 * text". */
static void print_message(void *baton, cs_log_level_e level, apr_status_t rv, const char *site,
                          const char *message)
{
    const char *text = message;
    int number = 0;

    (void)baton, (void)rv;
    if (!strncmp(message, "CS", 2) && strspn(message + 2, "0123456789") == 4
        && !strncmp(message + 6, ": ", 2)) {
        number = 8;
        text += number;
    }
    ap_log_error(APLOG_MARK, (int)level, 0, server_of_site(site), "%.*s%s%s%s%s%s", number, message,
                 cosell_is_runner ? "runner: " : "", site ? "site " : "", site ? site : "",
                 site ? ": " : "", text);
}

static int message_wanted(void *baton, cs_log_level_e level, const char *site)
{
    server_rec *s = server_of_site(site);

    (void)baton;
    return s && APLOG_IS_LEVEL(s, (int)level);
}

/* ---- what children and runner inherit ---- */

/* Counters survive reloads in memory of the server process; the layout may have changed with the
 * module, hence the size in what is retained. */
typedef struct retained_t {
    void *memory;
    apr_size_t size;
} retained_t;

/* Without it pages have no buttons. */
static void make_form_key(cosell_shared_t *shared)
{
    shared->form_keyed = cs_random(shared->form_key, sizeof(shared->form_key)) == APR_SUCCESS;
}

static void share_memory(cosell_node_t *node)
{
    retained_t *kept = ap_retained_data_get(RETAINED);
    apr_shm_t *shm;
    apr_status_t rv;

    if (!kept) {
        kept = ap_retained_data_create(RETAINED, sizeof(*kept));
    }
    if (!kept->memory || kept->size != sizeof(cosell_shared_t)) {
        rv = apr_shm_create(&shm, sizeof(cosell_shared_t), NULL, node->server->process->pool);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, rv, node->server, CSLOGNO(1010)
                         "could not create shared memory: each process counts for itself");
            return;
        }
        kept->memory = apr_shm_baseaddr_get(shm);
        kept->size = sizeof(cosell_shared_t);
        memset(kept->memory, 0, kept->size);
        make_form_key(kept->memory);
    }
    node->shared = kept->memory;
    cs_counters_use(&node->shared->counters);
    cs_gauges_use(&node->shared->gauges);
}

/* Request threads count by place, not by name. */
static void remember_places(cosell_site_t *site)
{
    int i;

    site->gauge = cs_gauge_site(site->cfg.name);
    site->gauge_pc = cs_gauge_upstream(site->gauge, CS_UPSTREAM_PC);
    for (i = 0; i < site->cfg.ncrms; i++) {
        site->gauge_crms[i] = cs_gauge_upstream(site->gauge, site->cfg.crms[i].cfg.name);
    }
}

/* Sites and upstreams keep what was measured of them over a reload. */
static void name_gauges(cosell_node_t *node, apr_pool_t *ptemp)
{
    int i, j, n = node->sites->nelts;
    cs_gauge_names_t *names = apr_pcalloc(ptemp, sizeof(*names) * (apr_size_t)(n ? n : 1));

    for (i = 0; i < n; i++) {
        const cosell_site_t *site = APR_ARRAY_IDX(node->sites, i, cosell_site_t *);

        names[i].site = site->cfg.name;
        names[i].upstreams[names[i].n++] = CS_UPSTREAM_PC;
        names[i].upstreams[names[i].n++] = "login";
        for (j = 0; j < site->cfg.ncrms; j++) {
            names[i].upstreams[names[i].n++] = site->cfg.crms[j].cfg.name;
        }
    }
    cs_gauges_layout(names, n);
    for (i = 0; i < n; i++) {
        remember_places(APR_ARRAY_IDX(node->sites, i, cosell_site_t *));
    }
}

static apr_status_t close_pipe(void *baton)
{
    cosell_node_t *node = baton;

    close(node->cfg.wake_fd);
    close(node->wake_write);
    node->cfg.wake_fd = node->wake_write = -1;
    return APR_SUCCESS;
}

/* The parent keeps both ends: a runner that comes back reads the same pipe, and a child never
 * writes into one that nobody has open. */
static void make_wake_pipe(cosell_node_t *node, apr_pool_t *pconf)
{
    int fds[2];

    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, APR_FROM_OS_ERROR(errno), node->server,
                     CSLOGNO(1011) "could not make the wake pipe: work starts within a second "
                     "instead of at once");
        return;
    }
    node->cfg.wake_fd = fds[0];
    node->wake_write = fds[1];
    apr_pool_cleanup_register(pconf, node, close_pipe, apr_pool_cleanup_null);
}

static void write_wake(char why)
{
    ssize_t n;

    if (cosell_node && cosell_node->wake_write >= 0) {
        do {
            n = write(cosell_node->wake_write, &why, 1);
        } while (n < 0 && errno == EINTR);
    }
}

/* With no workers nobody looks at deals: every byte would only wake a process for nothing. */
void cosell_wake(void *unused)
{
    (void)unused;
    if (cosell_node && cosell_node->cfg.workers > 0) {
        write_wake(CS_WAKE_WORK);
    }
}

void cosell_wake_certificates(void)
{
    write_wake(CS_WAKE_CERTIFICATE);
}

/* ---- the state directory ---- */

static int is_empty(int fd)
{
    int copy = dup(fd);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *d;
    int empty = 1;

    if (!dir) {
        if (copy >= 0) {
            close(copy);
        }
        return 0;
    }
    while (empty && (d = readdir(dir)) != NULL) {
        empty = !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..");
    }
    closedir(dir);
    return empty;
}

/* Gives an open directory to the server's user, unless it is somebody else's: a slip in
 * CosellStateDir must not give /var/lib away. NULL or the reason. */
static const char *give_away(int fd, const struct stat *st, apr_pool_t *p)
{
    uid_t uid = ap_unixd_config.user_id;

    if (geteuid() != 0) {
        return st->st_uid == geteuid() ? NULL
            : apr_psprintf(p, "it belongs to user %ld, not to %ld", (long)st->st_uid,
                           (long)geteuid());
    }
    if (st->st_uid != uid && !is_empty(fd)) {
        return apr_psprintf(p, "it belongs to user %ld, not to the server's user %ld, and is not "
                            "empty", (long)st->st_uid, (long)uid);
    }
    if ((st->st_uid != uid || st->st_gid != ap_unixd_config.group_id)
        && fchown(fd, uid, ap_unixd_config.group_id) != 0) {
        return apr_psprintf(p, "could not give it to user %ld: %s", (long)uid, strerror(errno));
    }
    if ((st->st_mode & 07777) != 0700 && fchmod(fd, 0700) != 0) {
        return apr_psprintf(p, "could not set its mode to 0700: %s", strerror(errno));
    }
    return NULL;
}

/* The directory below it. It is in the hands of the server's user already, so that nothing but a
 * directory of root's own, just made or left by a start that was cut short, is given away.
 */
static const char *make_certs(int fd, apr_pool_t *p)
{
    const char *wrong = NULL;
    struct stat st;
    int certs;

    if (mkdirat(fd, "certs", 0700) != 0 && errno != EEXIST) {
        return apr_psprintf(p, "could not create certs/ in it: %s", strerror(errno));
    }
    certs = openat(fd, "certs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (certs < 0 || fstat(certs, &st) != 0) {
        wrong = apr_psprintf(p, "certs/ in it is no directory: %s", strerror(errno));
    }
    else if (geteuid() == 0 && st.st_uid == 0
             && fchownat(certs, "", ap_unixd_config.user_id, ap_unixd_config.group_id,
                         AT_EMPTY_PATH) != 0) {
        wrong = apr_psprintf(p, "could not give certs/ away: %s", strerror(errno));
    }
    if (certs >= 0) {
        close(certs);
    }
    return wrong;
}

/* Root makes the directory and opens nothing in it. NULL or the reason. */
static const char *make_state_dir(const char *path, apr_pool_t *p)
{
    const char *wrong;
    struct stat st;
    int fd;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return apr_psprintf(p, "could not create it: %s", strerror(errno));
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        wrong = apr_psprintf(p, "could not open it (a symbolic link is not followed): %s",
                             strerror(errno));
    }
    else {
        wrong = give_away(fd, &st, p);
        wrong = wrong ? wrong : make_certs(fd, p);
    }
    if (fd >= 0) {
        close(fd);
    }
    return wrong;
}

/* ---- hooks ---- */

/* A bundle that cannot be read any more is a fact of the machine: the site answers 503, all
 * others work. */
static void load_trust(cosell_site_t *site, apr_pool_t *p)
{
    cs_result_t res = { 0 };

    if (cs_trust_load(&site->trust, &site->cfg.trust, p, &res) == APR_SUCCESS) {
        site->cfg.trusted = site->trust;
        return;
    }
    site->cfg.trusted = site->trust = NULL;
    if (!site->cfg.degraded) {
        site->cfg.degraded = res.detail ? res.detail : "the trust bundle could not be loaded";
    }
}

static void prepare_sites(cosell_node_t *node, apr_pool_t *pconf)
{
    int i;

    for (i = 0; i < node->sites->nelts; i++) {
        cosell_site_t *site = APR_ARRAY_IDX(node->sites, i, cosell_site_t *);

        load_trust(site, pconf);
        cosell_webhook_secrets_load(site, pconf);
        if (site->cfg.degraded) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, site->server, CSLOGNO(1012)
                         "site %s answers 503 until the next reload: %s", site->cfg.name,
                         site->cfg.degraded);
        }
    }
}

static void start_working(cosell_node_t *node, apr_pool_t *pconf)
{
    apr_status_t rv;

    if (node->one_process) {
        cs_runner_secrets_load(&node->cfg, pconf);
        return;
    }
    rv = cosell_runner_fork(node, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, rv, node->server, CSLOGNO(1013)
                     "could not fork the runner: notices are accepted and kept, nothing is looked "
                     "at");
    }
}

/* Forgets what a statically linked module would remember of the last configuration. */
static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf, (void)plog, (void)ptemp;
    cosell_node = NULL;
    cosell_child = NULL;
    return OK;
}

/* Never fails: at a reload that would end a running server, and at a start all else is to be
 * served. */
static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    cosell_node_t *node = cosell_node;
    const char *wrong;

    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG || !node) {
        return OK;
    }
    cs_log_set(print_message, message_wanted, NULL);
    if (node->broken) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, CSLOGNO(1014)
                     "all sites answer 503 until the next reload: %s", node->broken);
        return OK;
    }
    node->one_process = ap_exists_config_define("DEBUG") || ap_exists_config_define("ONE_PROCESS");
    share_memory(node);
    name_gauges(node, ptemp);
    wrong = make_state_dir(node->cfg.store.state_dir, ptemp);
    if (wrong) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, CSLOGNO(1015)
                     "could not prepare CosellStateDir %s: %s", node->cfg.store.state_dir, wrong);
    }
    prepare_sites(node, pconf);
    make_wake_pipe(node, pconf);
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, CSLOGNO(1016)
                 "%d site%s, store %s in %s, %d worker%s", node->sites->nelts,
                 node->sites->nelts == 1 ? "" : "s", node->cfg.store.kind,
                 node->cfg.store.state_dir, node->cfg.workers,
                 node->cfg.workers == 1 ? "" : "s");
    start_working(node, pconf);
    return OK;
}

/* How long the senders of notices waited. */
static int timed(int (*handler)(request_rec *), request_rec *r)
{
    apr_interval_time_t began = cs_time_mono();
    int status = handler(r);

    if (status == OK && r->status == HTTP_OK) {
        cs_accept_observe(CS_ACCEPT_STORED, cs_time_mono() - began);
    }
    else if (status == OK && r->status == HTTP_SERVICE_UNAVAILABLE) {
        cs_accept_observe(CS_ACCEPT_UNAVAILABLE, cs_time_mono() - began);
    }
    return status;
}

/* One hook for all: every request for something else asks it, and pays for one. */
static int handle(request_rec *r)
{
    static int (*const handlers[])(request_rec *) = {
        cosell_webhook_handler, cosell_crm_handler, cosell_status_handler, cosell_admin_handler,
        cosell_metrics_handler, cosell_login_handler
    };
    static const apr_size_t accepting = 2;
    int status = DECLINED;
    apr_size_t i;

    if (!r->handler || strncmp(r->handler, "cosell-", 7)) {
        return DECLINED;
    }
    for (i = 0; status == DECLINED && i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        status = i < accepting ? timed(handlers[i], r) : handlers[i](r);
    }
    return status;
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(cosell_config_check, NULL, NULL, APR_HOOK_MIDDLE);
    /* After all others: the runner inherits what they have made, and mod_ssl has set up OpenSSL. */
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_monitor(cosell_runner_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(cosell_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(cosell_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(cosell_crm_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handle, NULL, NULL, APR_HOOK_MIDDLE);
    cosell_mod_status_register(p);
}

module AP_MODULE_DECLARE_DATA cosell_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    cosell_conf_create,
    cosell_conf_merge,
    cosell_commands,
    register_hooks,
    AP_MODULE_FLAG_ALWAYS_MERGE
};
