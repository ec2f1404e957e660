/* engine/job_doctor_server.c: what the doctor asks of this machine: runner, state directory, store,
 * SELinux, clock. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "../store/store_impl.h"
#include "doctor.h"

#define FACT_DOCTOR "doctor" /* microseconds: when the doctor last wrote to the store */
#define SLOW_WRITE apr_time_from_sec(1)
#define LONG_LOG (256.0 * 1024 * 1024)
#define MEGABYTE (1024.0 * 1024)
#define LITTLE (1024 * MEGABYTE)
#define NOTHING (50 * MEGABYTE)
#define CLOCK_WARN apr_time_from_sec(120)
#define CLOCK_FAIL apr_time_from_sec(300)
#define SELINUX "/sys/fs/selinux"

/* ---- runner ---- */

static void find_runner(const cs_lane_t *lane, apr_array_header_t *findings)
{
    int n = lane->node->workers;

    cs_finding_add(findings, "server.runner", CS_FOUND_OK, NULL,
                   "the runner works (process %ld) with %d worker%s", (long)getpid(), n,
                   n == 1 ? "" : "s");
}

/* ---- state directory ---- */

static void find_state_dir(const cs_lane_t *lane, apr_array_header_t *findings)
{
    const char *dir = lane->node->store.state_dir, *kind = NULL;
    cs_finding_sum_t sum = {0};
    apr_pool_t *p = findings->pool;
    struct statfs fs;
    struct stat st;

    if (stat(dir, &st) || statfs(dir, &fs)) {
        cs_finding_add(findings, "server.state-dir", CS_FOUND_FAIL,
                       "make it again and restart httpd: it is made with the right owner at start",
                       "the state directory %s cannot be used: %s", dir, strerror(errno));
        return;
    }
    kind = cs_store_fs_refused((unsigned long)fs.f_type, NULL);
    if (kind) {
        cs_finding_sum(&sum, p, CS_FOUND_FAIL,
                       "give a directory on a local disk as CosellStateDir and restart httpd",
                       "%s is on a network file system (%s)", dir, kind);
    }
    if (cs_store_fs_volatile((unsigned long)fs.f_type)) {
        cs_finding_sum(&sum, p, CS_FOUND_WARN,
                       "give a directory on a disk as CosellStateDir and restart httpd",
                       "%s is in memory: all of it, the sign-in included, is lost when the machine "
                       "stops",
                       dir);
    }
    if (st.st_uid != geteuid()) {
        cs_finding_sum(&sum, p, CS_FOUND_FAIL,
                       apr_psprintf(p, "chown -R %ld %s", (long)geteuid(), dir),
                       "%s belongs to the user %ld, the server runs as %ld", dir, (long)st.st_uid,
                       (long)geteuid());
    }
    if (st.st_mode & 077) {
        cs_finding_sum(&sum, p, CS_FOUND_WARN, apr_psprintf(p, "chmod 700 %s", dir),
                       "%s has the mode %04o: others can read what is in it", dir,
                       (unsigned)(st.st_mode & 07777));
    }
    cs_finding_add_sum(findings, "server.state-dir", &sum,
                       apr_psprintf(p, "%s is the server's own (mode 0700)", dir));
}

/* ---- store ---- */

void cs_doctor_judge_space(cs_finding_sum_t *sum, const char *dir, double free_bytes,
                           double all_bytes, apr_pool_t *p)
{
    double share = all_bytes > 0 ? 100 * free_bytes / all_bytes : 100;

    if (free_bytes < LITTLE || (share < 5 && free_bytes < 10 * LITTLE)) {
        cs_finding_sum(sum, p, free_bytes < NOTHING ? CS_FOUND_FAIL : CS_FOUND_WARN,
                       "make room on that file system, or keep less: CosellRetention",
                       "%.0f MB (%.1f %%) are free on the file system of %s", free_bytes / MEGABYTE,
                       share, dir);
    }
}

static void find_space(const char *dir, cs_finding_sum_t *sum, apr_pool_t *p)
{
    const char *log = apr_pstrcat(p, dir, "/cosell.db-wal", NULL);
    struct statvfs fs;
    struct stat st;

    if (!statvfs(dir, &fs)) {
        cs_doctor_judge_space(sum, dir, (double)fs.f_bavail * (double)fs.f_frsize,
                              (double)fs.f_blocks * (double)fs.f_frsize, p);
    }
    if (!stat(log, &st) && (double)st.st_size > LONG_LOG) {
        cs_finding_sum(sum, p, CS_FOUND_WARN,
                       "end whatever has cosell.db open for reading (fuser cosell.db); the log "
                       "shrinks by itself then",
                       "the store's log has grown to %.0f MB: somebody reads all the time",
                       (double)st.st_size / MEGABYTE);
    }
}

/* A write as any other, which must be on the disk when it returns. */
static apr_status_t try_write(cs_lane_t *lane, apr_interval_time_t *ptook, cs_result_t *res,
                              apr_pool_t *p)
{
    apr_array_header_t *changes = apr_array_make(p, 1, sizeof(cs_change_t));
    apr_interval_time_t began = cs_time_mono();
    cs_lease_t lease = cs_lane_lease(lane);
    apr_status_t rv;

    cs_lane_fact(FACT_DOCTOR, apr_psprintf(p, "%" APR_TIME_T_FMT, cs_time_now()), changes);
    rv = cs_store_write(lane->store, &lease, changes, p, res);
    *ptook = cs_time_mono() - began;
    return rv;
}

static void find_store(cs_lane_t *lane, apr_array_header_t *findings)
{
    const char *dir = lane->node->store.state_dir;
    apr_interval_time_t took = 0;
    cs_finding_sum_t sum = {0};
    cs_result_t res = {0};
    apr_pool_t *p = findings->pool;

    if (try_write(lane, &took, &res, p) != APR_SUCCESS) {
        cs_finding_sum(&sum, p, CS_FOUND_FAIL,
                       apr_psprintf(p,
                                    "look at the disk of %s (df, dmesg) and at the rights of "
                                    "what is in it",
                                    dir),
                       "the store takes no write: %s", res.detail ? res.detail : "no detail");
    }
    else if (took > SLOW_WRITE) {
        cs_finding_sum(&sum, p, CS_FOUND_WARN,
                       apr_psprintf(p, "look what else writes to the disk of %s", dir),
                       "a write to the store took %.1f s", (double)took / APR_USEC_PER_SEC);
    }
    find_space(dir, &sum, p);
    cs_finding_add_sum(
        findings, "server.store", &sum,
        apr_psprintf(p, "a write was on the disk after %.1f ms", (double)took / 1000));
}

/* ---- SELinux ---- */

/* The first character of a small file; 0 = it cannot be read. */
static char first_of(const char *root, const char *name, apr_pool_t *p)
{
    apr_file_t *file;
    char c = '\0';

    if (apr_file_open(&file, apr_pstrcat(p, root, "/", name, NULL), APR_FOPEN_READ, 0, p) ==
        APR_SUCCESS) {
        apr_file_getc(&c, file);
        apr_file_close(file);
    }
    return c;
}

void cs_doctor_selinux(const char *root, apr_array_header_t *findings)
{
    static const char boolean[] = "httpd_can_network_connect";
    char enforce = first_of(root, "enforce", findings->pool);
    char allowed =
        first_of(root, apr_pstrcat(findings->pool, "booleans/", boolean, NULL), findings->pool);

    if (!enforce) {
        cs_finding_add(findings, "server.selinux", CS_FOUND_SKIP, NULL,
                       "SELinux is not on this machine");
    }
    else if (enforce == '0') {
        cs_finding_add(findings, "server.selinux", CS_FOUND_OK, NULL,
                       "SELinux is permissive: it stops nothing");
    }
    else if (allowed == '0') {
        cs_finding_add(findings, "server.selinux", CS_FOUND_FAIL,
                       "setsebool -P httpd_can_network_connect on",
                       "SELinux keeps httpd from connecting to anybody (%s is off)", boolean);
    }
    else {
        cs_finding_add(findings, "server.selinux", allowed ? CS_FOUND_OK : CS_FOUND_SKIP, NULL,
                       allowed
                           ? "SELinux lets httpd connect (%s is on)"
                           : "SELinux is enforcing, and whether it lets httpd connect cannot be "
                             "read (%s)",
                       boolean);
    }
}

/* ---- clock ---- */

void cs_doctor_judge_clock(cs_finding_sum_t *sum, const char *upstream, apr_interval_time_t ahead,
                           apr_pool_t *p)
{
    apr_interval_time_t off = ahead < 0 ? -ahead : ahead;

    if (off > CLOCK_WARN) {
        cs_finding_sum(sum, p, off > CLOCK_FAIL ? CS_FOUND_FAIL : CS_FOUND_WARN,
                       "keep this machine's time by NTP (timedatectl set-ntp true); if all others "
                       "agree with it, it is the other end's",
                       "this machine's clock is %" APR_TIME_T_FMT " s %s that of %s",
                       apr_time_sec(off), ahead < 0 ? "ahead of" : "behind", upstream);
    }
}

static void take_clock(const cs_limiter_t *limiter, const char *upstream, apr_time_t since,
                       cs_finding_sum_t *sum, const char **pnames, apr_pool_t *p)
{
    if (limiter->dated < since) {
        return;
    }
    *pnames = apr_pstrcat(p, *pnames, **pnames ? ", " : "", upstream, NULL);
    cs_doctor_judge_clock(sum, upstream, limiter->ahead, p);
}

void cs_doctor_clock(const cs_lane_t *lane, apr_time_t since, apr_array_header_t *findings)
{
    cs_finding_sum_t sum = {0};
    const char *names = "";
    apr_pool_t *p = findings->pool;
    int i;

    take_clock(&lane->login_limiter, "the login", since, &sum, &names, p);
    take_clock(&lane->pc_limiter, "Partner Center", since, &sum, &names, p);
    for (i = 0; i < lane->site->ncrms; ++i) {
        take_clock(&lane->crm_limiter[i], lane->site->crms[i].cfg.name, since, &sum, &names, p);
    }
    if (!*names) {
        cs_finding_add(findings, "server.clock", CS_FOUND_SKIP, NULL,
                       "not checked: nobody answered whose clock could be compared");
        return;
    }
    cs_finding_add_sum(findings, "server.clock", &sum,
                       apr_psprintf(p, "the clock agrees with %s", names));
}

void cs_doctor_server(cs_job_turn_t *t, apr_array_header_t *findings)
{
    cs_lane_t *lane = t->b->lane;

    find_runner(lane, findings);
    find_state_dir(lane, findings);
    find_store(lane, findings);
    cs_doctor_selinux(SELINUX, findings);
}
