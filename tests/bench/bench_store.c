/* tests/bench/bench_store.c: how many notices a second can be accepted, and what one costs.
 *
 * bench_store <empty directory> [notices per line] [referrals]
 * One line per group size: notices, accepts per second, microseconds of wall clock and of CPU per
 * notice, syncs per notice. Then the same for names that have no work yet, as after a look has
 * settled them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/base/time.h"
#include "mod_cosell/store/store.h"

#define GROUP_MAX 128

static double cpu_seconds(void)
{
    struct rusage ru;

    getrusage(RUSAGE_SELF, &ru);
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static cs_notice_t *make_notice(int i, const char *guid, apr_pool_t *p)
{
    cs_notice_t *n = apr_pcalloc(p, sizeof(*n));
    char body[32];

    apr_snprintf(body, sizeof(body), "body %d", i);
    n->site = "main";
    n->source = CS_SYSTEM_PC;
    n->event = "referral-updated";
    n->received = cs_time_now() + i;
    n->digest = cs_sha256_hex(body, strlen(body), p);
    n->kind = CS_WORK_LOOK;
    n->names = apr_array_make(p, 1, sizeof(const char *));
    APR_ARRAY_PUSH(n->names, const char *) = apr_pstrcat(p, "pc:", guid, NULL);
    n->system = CS_SYSTEM_PC;
    n->hint = n->received;
    return n;
}

static cs_notice_t **make_notices(int count, int referrals, apr_pool_t *p)
{
    const char **guids = apr_palloc(p, sizeof(*guids) * (size_t)(referrals + 1));
    cs_notice_t **notices = apr_palloc(p, sizeof(*notices) * (size_t)count);
    unsigned int random = 12345;
    int i;

    for (i = 0; i < referrals; i++) {
        guids[i] = cs_uuid4(p);
    }
    for (i = 0; i < count; i++) {
        random = random * 1664525u + 1013904223u;
        notices[i] = make_notice(
            i, referrals ? guids[(random >> 8) % (unsigned int)referrals] : cs_uuid4(p), p);
    }
    return notices;
}

static void run(cs_store_t *store, cs_notice_t **notices, int count, int group, apr_pool_t *p)
{
    apr_interval_time_t begin = cs_time_mono(), took;
    double cpu = cpu_seconds();
    int i, n, groups = 0;
    apr_pool_t *ptemp;
    cs_result_t res;

    apr_pool_create(&ptemp, p);
    for (i = 0; i < count; i += n, groups++) {
        n = count - i < group ? count - i : group;
        if (cs_store_accept(store, (const cs_notice_t *const *)(notices + i), n, ptemp, &res)) {
            fprintf(stderr, "%s\n", res.detail);
            exit(1);
        }
        apr_pool_clear(ptemp);
    }
    took = cs_time_mono() - begin;
    cpu = cpu_seconds() - cpu;
    printf("%6d %12.0f %12.2f %12.2f %10.3f\n", group, count / ((double)took / 1e6),
           (double)took / count, cpu * 1e6 / count, (double)groups / count);
    apr_pool_destroy(ptemp);
}

/* Of as many referrals, none of which anybody has heard of. */
static void run_new(cs_store_t *store, int count, int group, apr_pool_t *p)
{
    apr_pool_t *ptemp;

    apr_pool_create(&ptemp, p);
    run(store, make_notices(count, 0, ptemp), count, group, ptemp);
    apr_pool_destroy(ptemp);
}

int main(int argc, char **argv)
{
    static const int groups[] = {1, 8, 32, 128};
    int count = argc > 2 ? atoi(argv[2]) : 20000;
    int referrals = argc > 3 ? atoi(argv[3]) : 1000;
    cs_store_config_t cfg = {"sqlite", NULL, NULL, 0, 0};
    cs_notice_t **notices;
    cs_store_t *store;
    cs_result_t res;
    apr_pool_t *p;
    size_t i;

    if (argc < 2 || argv[1][0] != '/' || count < 1 || referrals < 1) {
        fprintf(stderr, "usage: bench_store /empty/directory [notices] [referrals]\n");
        return 2;
    }
    apr_initialize();
    apr_pool_create(&p, NULL);
    cfg.state_dir = argv[1];
    notices = make_notices(count, referrals, p);
    if (cs_store_open(&store, &cfg, CS_STORE_WRITER, p, &res) || cs_store_check(store, p, &res)) {
        fprintf(stderr, "%s\n", res.detail);
        return 1;
    }
    run(store, notices, count < GROUP_MAX * 40 ? count : GROUP_MAX * 40, GROUP_MAX, p);
    printf("%6s %12s %12s %12s %10s\n", "group", "accepts/s", "us each", "CPU us each",
           "syncs each");
    for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        run(store, notices, groups[i] == 1 && count > 4000 ? 4000 : count, groups[i], p);
    }
    printf("new names\n");
    for (i = 1; i < sizeof(groups) / sizeof(groups[0]); i++) {
        run_new(store, count, groups[i], p);
    }
    apr_pool_destroy(p);
    apr_terminate();
    return 0;
}
