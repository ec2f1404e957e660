/* store/store.c: the door to the implementations, and what they share: the node's file, kinds of
 * file systems, folding. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "store_impl.h"

#define NODE_LEN 36

/* ---- opening ---- */

apr_status_t cs_store_open(cs_store_t **pstore, const cs_store_config_t *cfg, cs_store_mode_e mode,
                           apr_pool_t *p, cs_result_t *res)
{
    cs_store_t *store = NULL;
    apr_status_t rv;

    *pstore = NULL;
    cs_result_clear(res);
    if (!cfg->kind || strcmp(cfg->kind, "sqlite")) {
        return cs_result_set(res, p, APR_ENOTIMPL, CS_CLASS_REFUSED, "store:kind",
                             "a store of kind '%s' is not available, allowed is 'sqlite'",
                             cfg->kind ? cfg->kind : "");
    }
    if (!cfg->state_dir || cfg->state_dir[0] != '/') {
        return cs_result_set(res, p, APR_EINVAL, CS_CLASS_REFUSED, "store:directory",
                             "the state directory '%s' is not an absolute path",
                             cfg->state_dir ? cfg->state_dir : "");
    }
    rv = cs_sqlite_open(&store, cfg, mode, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    store->cfg = *cfg;
    store->cfg.state_dir = apr_pstrdup(p, cfg->state_dir);
    store->mode = mode;
    store->pool = p;
    *pstore = store;
    return APR_SUCCESS;
}

void cs_store_close(cs_store_t *store)
{
    store->impl->close(store);
}

/* ---- results ---- */

const char *cs_store_problem(apr_status_t rv)
{
    switch (rv) {
    case CS_EBUSY:
        return "store:busy";
    case CS_EFULL:
        return "store:full";
    case CS_EREADONLY:
        return "store:readonly";
    case CS_EIO:
        return "store:io";
    case CS_ECORRUPT:
        return "store:corrupt";
    case CS_EMISSING:
        return "store:missing";
    case CS_ESCHEMA:
        return "store:schema";
    case CS_ETIMEOUT:
        return "store:timeout";
    case CS_ELEASE:
        return "store:lease";
    case CS_ESTALE:
        return "store:stale";
    case CS_ELIMIT:
        return "store:limit";
    case CS_EPARSE:
        return "store:row";
    case APR_EINVAL:
        return "store:value";
    case APR_EBUSY:
        return "store:leased";
    default:
        return "store:error";
    }
}

static cs_class_e class_of(apr_status_t rv)
{
    switch (rv) {
    case CS_ESTALE:
        return CS_CLASS_CONFLICT;
    case CS_ELIMIT:
    case CS_EPARSE:
    case APR_EINVAL:
        return CS_CLASS_REFUSED;
    default:
        return CS_CLASS_RETRY;
    }
}

apr_status_t cs_store_result(cs_result_t *res, apr_pool_t *p, apr_status_t rv, const char *detail)
{
    if (rv == APR_SUCCESS) {
        cs_result_clear(res);
        return rv;
    }
    return cs_result_set(res, p, rv, class_of(rv), cs_store_problem(rv), "%s", detail);
}

apr_status_t cs_store_status_of_errno(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
    case ESTALE:
        return CS_EMISSING;
    case EACCES:
    case EPERM:
    case EROFS:
        return CS_EREADONLY;
    case ENOSPC:
    case EDQUOT:
        return CS_EFULL;
    case EIO:
        return CS_EIO;
    case ENOMEM:
        return APR_ENOMEM;
    case EAGAIN:
    case EINTR:
        return CS_EBUSY;
    default:
        return err ? APR_FROM_OS_ERROR(err) : APR_EGENERAL;
    }
}

/* ---- the node's file ---- */

int cs_store_node_exists(const char *state_dir)
{
    struct stat st;
    char path[4096];

    apr_snprintf(path, sizeof(path), "%s/node", state_dir);
    return lstat(path, &st) == 0;
}

static apr_status_t write_synced(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err = 0;

    if (fd < 0) {
        return cs_store_status_of_errno(errno);
    }
    if (write(fd, text, len) != (ssize_t)len || fsync(fd)) {
        err = errno ? errno : ENOSPC;
    }
    if (close(fd) && !err) {
        err = errno;
    }
    return err ? cs_store_status_of_errno(err) : APR_SUCCESS;
}

apr_status_t cs_store_node_make(const char *state_dir, apr_pool_t *ptemp)
{
    const char *path = apr_pstrcat(ptemp, state_dir, "/node", NULL);
    const char *id = cs_uuid4(ptemp);
    const char *tmp = apr_pstrcat(ptemp, path, ".", id, NULL);
    const char *text = apr_pstrcat(ptemp, id, "\n", NULL);
    apr_status_t rv;
    int dir;

    rv = write_synced(tmp, text, NODE_LEN + 1);
    /* link, not rename: of two who make it at once, the first one's id stays. */
    if (rv == APR_SUCCESS && link(tmp, path) && errno != EEXIST) {
        rv = cs_store_status_of_errno(errno);
    }
    unlink(tmp);
    dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        if (fsync(dir) && rv == APR_SUCCESS) {
            rv = cs_store_status_of_errno(errno);
        }
        close(dir);
    }
    return rv;
}

static apr_status_t read_node(const char **pnode, const char *path, apr_pool_t *p)
{
    char buf[NODE_LEN + 2];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0) {
        return cs_store_status_of_errno(errno);
    }
    n = read(fd, buf, sizeof(buf));
    close(fd);
    if (n != NODE_LEN + 1 || buf[NODE_LEN] != '\n' || !cs_uuid_valid(buf, NODE_LEN)) {
        return CS_ECORRUPT;
    }
    *pnode = apr_pstrmemdup(p, buf, NODE_LEN);
    return APR_SUCCESS;
}

apr_status_t cs_store_node(cs_store_t *store, const char **pnode, apr_pool_t *p, cs_result_t *res)
{
    const char *path = apr_pstrcat(p, store->cfg.state_dir, "/node", NULL);
    apr_status_t rv = APR_SUCCESS;
    char why[120];

    *pnode = NULL;
    if (!store->node) {
        rv = read_node(&store->node, path, store->pool);
        if (rv == CS_EMISSING && store->mode == CS_STORE_WRITER) {
            rv = store->impl->check(store, p, res);
            if (rv != APR_SUCCESS) {
                return rv;
            }
            rv = read_node(&store->node, path, store->pool);
        }
    }
    *pnode = store->node;
    return cs_store_result(res, p, rv,
                           rv == APR_SUCCESS
                               ? NULL
                               : apr_psprintf(p, "could not read the node's id in %s: %s", path,
                                              cs_strerror(rv, why, sizeof(why))));
}

/* ---- file systems ---- */

/* Values of statfs(2). Their locks and shared memory are not, or not surely, those of one machine.
 */
static const struct {
    unsigned long magic;
    const char *name;
} network_fs[] = {
    {0x6969, "nfs"},      {0x517B, "smb"},       {0xFF534D42, "cifs"},  {0xFE534D42, "smb2"},
    {0x73757245, "coda"}, {0x5346414F, "afs"},   {0x6B414653, "afs"},   {0x01021997, "9p"},
    {0x00C36400, "ceph"}, {0x01161970, "gfs2"},  {0x7461636F, "ocfs2"}, {0x0BD00BD0, "lustre"},
    {0x564C, "ncp"},      {0x19830326, "fhgfs"}, {0x47504653, "gpfs"},
};

/* FUSE also carries local file systems; only these are known to be remote. */
static const char *const network_fuse[] = {
    "fuse.sshfs",    "fuse.glusterfs", "fuse.ceph",      "fuse.ceph-fuse", "fuse.s3fs",
    "fuse.gcsfuse",  "fuse.rclone",    "fuse.davfs",     "fuse.davfs2",    "fuse.curlftpfs",
    "fuse.blobfuse", "fuse.blobfuse2", "fuse.goofys",    "fuse.juicefs",   "fuse.moosefs",
    "fuse.mfs",      "fuse.lizardfs",  "fuse.seaweedfs", "fuse.beegfs",    "fuse.vmhgfs-fuse",
};

const char *cs_store_fs_refused(unsigned long magic, const char *type)
{
    size_t i;

    /* f_type is signed on some machines; the kinds above fit 32 bits. */
    magic &= 0xFFFFFFFFul;
    for (i = 0; i < sizeof(network_fs) / sizeof(network_fs[0]); i++) {
        if (magic == network_fs[i].magic) {
            return network_fs[i].name;
        }
    }
    for (i = 0; type && i < sizeof(network_fuse) / sizeof(network_fuse[0]); i++) {
        if (!strcmp(type, network_fuse[i])) {
            return network_fuse[i];
        }
    }
    return NULL;
}

int cs_store_fs_volatile(unsigned long magic)
{
    magic &= 0xFFFFFFFFul;
    return magic == 0x01021994ul /* tmpfs */ || magic == 0x858458F6ul /* ramfs */;
}

/* ---- folding ---- */

void cs_store_hint_merge(json_t *hints, const char *system, apr_time_t t)
{
    json_t *old;

    if (t <= 0 || !system) {
        return;
    }
    old = json_object_get(hints, system);
    if (!old || json_integer_value(old) < t) {
        json_object_set_new(hints, system, json_integer(t));
    }
}

int cs_store_is_table_hint(const char *name)
{
    return !strncmp(name, CS_HINT_TABLE, sizeof(CS_HINT_TABLE) - 1);
}

int cs_work_notified(const cs_work_t *work)
{
    return work->wanted > (work->seen > work->done ? work->seen : work->done);
}

void cs_store_causes_drop(cs_work_t *work)
{
    const char *name;
    json_t *value;
    void *next;

    if (!cs_work_notified(work)) {
        return;
    }
    json_object_foreach_safe(work->hints, next, name, value)
    {
        if (!strncmp(name, CS_CAUSE, sizeof(CS_CAUSE) - 1)) {
            json_object_del(work->hints, name);
        }
    }
}

int cs_store_is_braked(const cs_work_t *work)
{
    return work->state == CS_WORK_SUSPENDED && work->upstream &&
           !strncmp(work->upstream, CS_BRAKE, sizeof(CS_BRAKE) - 1);
}

const char *cs_store_deal_name(apr_int64_t id, apr_pool_t *p)
{
    return apr_psprintf(p, "deal:%" APR_INT64_T_FMT, id);
}

static apr_int64_t unseen_of(const cs_work_t *work)
{
    return cs_work_notified(work)
               ? work->wanted - (work->seen > work->done ? work->seen : work->done)
               : 0;
}

static void fold_times(cs_work_t *own, const cs_work_t *name, apr_int64_t outstanding)
{
    int idle = own->wanted <= own->done;
    int went_well = own->problem_class && cs_class_of_name(own->problem_class) == CS_CLASS_OK;
    int waits = own->state == CS_WORK_READY && own->attempts > 0 && !idle && !went_well;
    int stopped = own->state == CS_WORK_DEAD || cs_store_is_braked(own);

    if (outstanding > 0 && (idle || stopped)) {
        own->due = name->due;
        own->attempts = 0;
        own->problem_class = own->problem = own->detail = NULL;
        own->upstream = stopped ? NULL : own->upstream;
        own->state = stopped ? CS_WORK_READY : own->state;
    }
    else if (!waits && name->due < own->due) {
        own->due = name->due;
    }
    if (outstanding > 0 && (idle || name->first < own->first)) {
        own->first = name->first;
    }
}

/* What a name's row brings into the deal's: its table is known there. */
static json_t *hints_of_name(const cs_work_t *name, apr_pool_t *p)
{
    json_t *hints = cs_json_own(json_object(), p);
    const char *member;
    json_t *value;

    json_object_foreach(name->hints, member, value)
    {
        if (!cs_store_is_table_hint(member)) {
            json_object_set(hints, member, value);
        }
    }
    return hints;
}

void cs_store_fold(cs_work_t *own, const cs_work_t *name, apr_int64_t deal, apr_pool_t *p)
{
    apr_int64_t outstanding = name->wanted > name->done ? name->wanted - name->done : 0;
    apr_int64_t unseen = unseen_of(own) + unseen_of(name);
    json_t *value, *hints = hints_of_name(name, p);
    const char *system;

    if (!own->name) {
        /* The first name of a deal brings its history along. */
        *own = *name;
        own->hints = hints;
        own->wanted = outstanding;
        own->done = 0;
        own->seen = outstanding - unseen;
        own->name = cs_store_deal_name(deal, p);
        if (own->state == CS_WORK_DEAD) {
            own->state = CS_WORK_READY;
            own->attempts = 0;
        }
        return;
    }
    fold_times(own, name, outstanding);
    own->wanted += outstanding;
    own->seen = own->wanted - unseen;
    own->trace = name->trace ? name->trace : own->trace;
    json_object_foreach(hints, system, value)
    {
        cs_store_hint_merge(own->hints, system, json_integer_value(value));
    }
    cs_store_causes_drop(own);
}

/* ---- the table ---- */

apr_status_t cs_store_check(cs_store_t *store, apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->check(store, ptemp, res);
}

apr_status_t cs_store_accept(cs_store_t *store, const cs_notice_t *const *notices, int n,
                             apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->accept(store, notices, n, ptemp, res);
}

apr_status_t cs_store_lease_take(cs_store_t *store, const char *site, const char *owner,
                                 apr_interval_time_t ttl, apr_time_t now, cs_lease_t *lease,
                                 apr_pool_t *p, cs_result_t *res)
{
    return store->impl->lease_take(store, site, owner, ttl, now, lease, p, res);
}

apr_status_t cs_store_lease_renew(cs_store_t *store, cs_lease_t *lease, apr_interval_time_t ttl,
                                  apr_time_t now, apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->lease_renew(store, lease, ttl, now, ptemp, res);
}

apr_status_t cs_store_lease_release(cs_store_t *store, const cs_lease_t *lease, apr_pool_t *ptemp,
                                    cs_result_t *res)
{
    return store->impl->lease_release(store, lease, ptemp, res);
}

apr_status_t cs_store_sites_due(cs_store_t *store, const apr_array_header_t *sites, apr_time_t now,
                                apr_array_header_t **pdue, apr_time_t *pnext, apr_pool_t *p,
                                cs_result_t *res)
{
    return store->impl->sites_due(store, sites, now, pdue, pnext, p, res);
}

apr_status_t cs_store_claim(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                            apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->claim(store, lease, now, max, pworks, p, res);
}

apr_status_t cs_store_jobs_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                               apr_array_header_t **pworks, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->jobs_due(store, site, now, max, pworks, p, res);
}

apr_status_t cs_store_refresh(cs_store_t *store, apr_array_header_t *works, apr_pool_t *p,
                              cs_result_t *res)
{
    return store->impl->refresh(store, works, p, res);
}

apr_status_t cs_store_deal_find(cs_store_t *store, const char *site, const char *system,
                                const char *external_id, cs_deal_t **pdeal, apr_pool_t *p,
                                cs_result_t *res)
{
    return store->impl->deal_find(store, site, system, external_id, pdeal, p, res);
}

apr_status_t cs_store_deals_named(cs_store_t *store, const char *site,
                                  const apr_array_header_t *names, apr_array_header_t **plist,
                                  apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deals_named(store, site, names, plist, p, res);
}

apr_status_t cs_store_deal_load(cs_store_t *store, const char *site, apr_int64_t id,
                                cs_deal_t **pdeal, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deal_load(store, site, id, pdeal, p, res);
}

apr_status_t cs_store_deals_of_mapping(cs_store_t *store, const char *site, const char *crm,
                                       const char *digest, int max, apr_int64_t *pafter,
                                       apr_array_header_t **pids, int *pleft, apr_pool_t *p,
                                       cs_result_t *res)
{
    return store->impl->deals_of_mapping(store, site, crm, digest, max, pafter, pids, pleft, p,
                                         res);
}

apr_status_t cs_store_deals_open(cs_store_t *store, const char *site, const char *crm, int max,
                                 apr_int64_t *pafter, apr_array_header_t **pids, int *pleft,
                                 apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deals_open(store, site, crm, max, pafter, pids, pleft, p, res);
}

apr_status_t cs_store_watchers(cs_store_t *store, const char *site, const char *crm,
                               const char *row, apr_int64_t after, int max,
                               apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->watchers(store, site, crm, row, after, max, pids, p, res);
}

apr_status_t cs_store_cursor_get(cs_store_t *store, const char *site, const char *name,
                                 const char **ptext, apr_time_t *pupdated, apr_pool_t *p,
                                 cs_result_t *res)
{
    return store->impl->cursor_get(store, site, name, ptext, pupdated, p, res);
}

apr_status_t cs_store_deals_due(cs_store_t *store, const char *site, apr_time_t now, int max,
                                apr_array_header_t **pids, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deals_due(store, site, now, max, pids, p, res);
}

apr_status_t cs_store_write(cs_store_t *store, const cs_lease_t *lease,
                            const apr_array_header_t *changes, apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->write(store, lease, changes, ptemp, res);
}

apr_status_t cs_store_meta_get(cs_store_t *store, const char *site, const char *name,
                               const char **ptext, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->meta_get(store, site, name, ptext, p, res);
}

apr_status_t cs_store_suspended(cs_store_t *store, const char *site, apr_array_header_t **plist,
                                apr_pool_t *p, cs_result_t *res)
{
    return store->impl->suspended(store, site, plist, p, res);
}

apr_status_t cs_store_secret_get(cs_store_t *store, const char *site, const char *name,
                                 const unsigned char **psealed, apr_size_t *plen,
                                 apr_int64_t *pversion, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->secret_get(store, site, name, psealed, plen, pversion, p, res);
}

apr_status_t cs_store_secret_put(cs_store_t *store, const char *site, const char *name,
                                 const unsigned char *sealed, apr_size_t len, apr_int64_t version,
                                 apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->secret_put(store, site, name, sealed, len, version, ptemp, res);
}

apr_status_t cs_store_prune(cs_store_t *store, const cs_lease_t *lease, apr_time_t now, int max,
                            int *pleft, apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->prune(store, lease, now, max, pleft, ptemp, res);
}

apr_status_t cs_store_counts(cs_store_t *store, const char *site, cs_store_counts_t *counts,
                             apr_pool_t *ptemp, cs_result_t *res)
{
    return store->impl->counts(store, site, counts, ptemp, res);
}

apr_status_t cs_store_work_list(cs_store_t *store, const char *site, int state, int max,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->work_list(store, site, state, max, plist, p, res);
}

apr_status_t cs_store_deal_list(cs_store_t *store, const char *site, int max,
                                apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deal_list(store, site, max, plist, p, res);
}

apr_status_t cs_store_journal_list(cs_store_t *store, const char *site, apr_int64_t deal, int max,
                                   apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->journal_list(store, site, deal, max, plist, p, res);
}

apr_status_t cs_store_work_of_deal(cs_store_t *store, const char *site, apr_int64_t deal,
                                   cs_work_t **pwork, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->work_of_deal(store, site, deal, pwork, p, res);
}

apr_status_t cs_store_work_named(cs_store_t *store, const char *site, const char *kind,
                                 const char *name, cs_work_t **pwork, apr_pool_t *p,
                                 cs_result_t *res)
{
    return store->impl->work_named(store, site, kind, name, pwork, p, res);
}

apr_status_t cs_store_deliveries(cs_store_t *store, const char *site, const char *source,
                                 const char *event, apr_time_t since, int max,
                                 apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deliveries(store, site, source, event, since, max, plist, p, res);
}

apr_status_t cs_store_job_get(cs_store_t *store, const char *site, const char *id, cs_job_t **pjob,
                              apr_pool_t *p, cs_result_t *res)
{
    return store->impl->job_get(store, site, id, pjob, p, res);
}

apr_status_t cs_store_job_list(cs_store_t *store, const char *site, int max,
                               apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->job_list(store, site, max, plist, p, res);
}

apr_status_t cs_store_job_rows(cs_store_t *store, const char *site, const char *id,
                               apr_int64_t after, int max, apr_array_header_t **plist,
                               apr_pool_t *p, cs_result_t *res)
{
    return store->impl->job_rows(store, site, id, after, max, plist, p, res);
}

apr_status_t cs_store_journal_page(cs_store_t *store, const char *site, apr_int64_t deal,
                                   apr_int64_t after, apr_int64_t before, int max,
                                   apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->journal_page(store, site, deal, after, before, max, plist, p, res);
}

apr_status_t cs_store_deal_page(cs_store_t *store, const char *site, const cs_deal_query_t *query,
                                cs_deal_page_t *page, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->deal_page(store, site, query, page, p, res);
}

apr_status_t cs_store_deal_totals(cs_store_t *store, const char *site,
                                  apr_int64_t totals[CS_DEAL_STATES], apr_pool_t *ptemp,
                                  cs_result_t *res)
{
    return store->impl->deal_totals(store, site, totals, ptemp, res);
}

apr_status_t cs_store_causes(cs_store_t *store, const char *site, int max,
                             apr_array_header_t **plist, apr_pool_t *p, cs_result_t *res)
{
    return store->impl->causes(store, site, max, plist, p, res);
}

apr_status_t cs_store_dead(cs_store_t *store, const char *site, const char *cause,
                           const char *after, int max, apr_array_header_t **plist, apr_pool_t *p,
                           cs_result_t *res)
{
    return store->impl->dead(store, site, cause, after, max, plist, p, res);
}
