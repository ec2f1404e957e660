/* tests/sim/world.c: chance, time, the trace, and the instants at which a life may end.
 *
 * The linker sends the library's calls of clocks, random numbers and crash points here (-Wl,--wrap).
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"
#include "mod_cosell/engine/job.h"

/* Nothing here asks for the others, which need the remote ends that are modelled. */
const cs_job_kind_t *const cs_job_kinds[] = {&cs_job_cancel, &cs_job_look, &cs_job_pause, &cs_job_release, &cs_job_resume, NULL};
/* Known by its name to whoever asks whether one waits. */
const cs_job_kind_t cs_job_resync = {.name = "resync"};

sim_t *S;
int verbose;

unsigned long long rnd(void)
{
    unsigned long long z = (S->random += 0x9E3779B97F4A7C15ull);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

int pick(int n)
{
    return (int)(rnd() % (unsigned long long)n);
}

int chance(int permille)
{
    return pick(1000) < permille;
}

void pass(apr_interval_time_t us)
{
    S->wall += us;
    S->boot += us;
}

void trace(const char *fmt, ...)
{
    va_list ap;
    size_t left = TRACE_MAX - S->traced;
    int n;

    if (left < 4096) {
        S->traced = 0;
        left = TRACE_MAX;
    }
    n = snprintf(S->trace + S->traced, left, "%10.3f %5d ", (double)S->boot / 1e6, S->batch);
    S->traced += (size_t)n;
    left -= (size_t)n;
    va_start(ap, fmt);
    n = vsnprintf(S->trace + S->traced, left - 2, fmt, ap);
    va_end(ap);
    n = n < 0 ? 0 : n > 2000 ? 2000 : n;
    S->traced += (size_t)n;
    S->trace[S->traced++] = '\n';
    S->trace[S->traced] = '\0';
}

void violation(const char *fmt, ...)
{
    va_list ap;

    if (!*S->violation) {
        va_start(ap, fmt);
        vsnprintf(S->violation, sizeof(S->violation), fmt, ap);
        va_end(ap);
        trace("VIOLATION %s", S->violation);
    }
}

void instant(const char *name)
{
    if (S->crash_left > 0 && --S->crash_left == 0) {
        trace("killed at %s", name);
        kill(getpid(), SIGKILL);
    }
}

void make_guid(char *out)
{
    unsigned long long a = rnd(), b = rnd();

    snprintf(out, 40, "%08llx-%04llx-4%03llx-8%03llx-%012llx", a & 0xffffffff, (a >> 32) & 0xffff, (a >> 48) & 0xfff, b & 0xfff, (b >> 12) & 0xffffffffffffull);
}

json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

    if (!json) {
        fprintf(stderr, "sim: cannot parse its own text: %s: %s\n", error.text, text);
        abort();
    }
    return json;
}

void print(char *out, size_t size, const json_t *json)
{
    size_t n = json_dumpb(json, out, size - 1, JSON_COMPACT | JSON_REAL_PRECISION(15));

    if (n >= size) {
        fprintf(stderr, "sim: a document of %zu bytes is too large\n", n);
        abort();
    }
    out[n] = '\0';
}

/* ---- what the library gets instead ---- */

apr_time_t __wrap_cs_time_now(void);
apr_interval_time_t __wrap_cs_time_boot(void);
apr_interval_time_t __wrap_cs_time_mono(void);
apr_status_t __wrap_cs_random(void *buf, apr_size_t len);
const char *__wrap_cs_uuid4(apr_pool_t *p);
void __wrap_cs_crash_point(const char *name);

apr_time_t __wrap_cs_time_now(void)
{
    pass(20);
    return S->wall;
}

apr_interval_time_t __wrap_cs_time_boot(void)
{
    pass(20);
    return S->boot;
}

apr_interval_time_t __wrap_cs_time_mono(void)
{
    pass(20);
    return S->boot;
}

apr_status_t __wrap_cs_random(void *buf, apr_size_t len)
{
    unsigned char *at = buf;

    while (len-- > 0) {
        *at++ = (unsigned char)rnd();
    }
    return APR_SUCCESS;
}

const char *__wrap_cs_uuid4(apr_pool_t *p)
{
    char *out = apr_palloc(p, 40);

    make_guid(out);
    return out;
}

void __wrap_cs_crash_point(const char *name)
{
    instant(name);
}
