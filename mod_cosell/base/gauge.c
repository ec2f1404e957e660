/* base/gauge.c: the table of gauges in shared memory: its places by name, their values, and the
 * calls of each upstream. */
#include "gauge_internal.h"

#include <apr_strings.h>
#include <string.h>

static cs_gauges_t private_gauges;
static cs_gauges_t *_Atomic current = &private_gauges;

static const struct {
    const char *name, *text;
    cs_gauge_scope_e scope;
    cs_gauge_form_e form;
} gauges[CS_GAUGE_MAX] = {
#define LINE(id, scope, form, name, text) {name, text, CS_GAUGE_OF_##scope, CS_GAUGE_##form},
    CS_GAUGES(LINE)
#undef LINE
};

static const char *const outcomes[CS_OUTCOME_MAX] = {
#define LABEL(id, label, text) label,
    CS_OUTCOMES(LABEL)
#undef LABEL
};

const char *cs_gauge_name(cs_gauge_e id)
{
    return (unsigned)id < CS_GAUGE_MAX ? gauges[id].name : NULL;
}

const char *cs_gauge_text(cs_gauge_e id)
{
    return (unsigned)id < CS_GAUGE_MAX ? gauges[id].text : NULL;
}

cs_gauge_scope_e cs_gauge_scope(cs_gauge_e id)
{
    return gauges[id].scope;
}

cs_gauge_form_e cs_gauge_form(cs_gauge_e id)
{
    return gauges[id].form;
}

const char *cs_outcome_name(cs_outcome_e outcome)
{
    return (unsigned)outcome < CS_OUTCOME_MAX ? outcomes[outcome] : NULL;
}

/* ---- the memory ---- */

static void reset_values(_Atomic apr_int64_t *values)
{
    int i;

    for (i = 0; i < CS_GAUGE_MAX; i++) {
        atomic_store_explicit(&values[i], gauges[i].form == CS_GAUGE_TOTAL ? 0 : CS_GAUGE_UNKNOWN,
                              memory_order_relaxed);
    }
}

static void make_ready(cs_gauges_t *g)
{
    if (!atomic_load_explicit(&g->made, memory_order_acquire)) {
        reset_values(g->values);
        atomic_store_explicit(&g->made, 1, memory_order_release);
    }
}

void cs_gauges_use(cs_gauges_t *shared)
{
    make_ready(shared ? shared : &private_gauges);
    atomic_store_explicit(&current, shared ? shared : &private_gauges, memory_order_release);
}

cs_gauges_t *cs_gauges_table(void)
{
    cs_gauges_t *g = atomic_load_explicit(&current, memory_order_acquire);

    if (g == &private_gauges) {
        make_ready(g);
    }
    return g;
}

/* ---- words that are read whole ---- */

void cs_words_put(_Atomic apr_uint64_t *to, const void *from, apr_size_t n)
{
    apr_uint64_t word;
    apr_size_t i;

    for (i = 0; i < n; i++) {
        memcpy(&word, (const char *)from + i * 8, 8);
        atomic_store_explicit(&to[i], word, memory_order_relaxed);
    }
}

void cs_words_get(void *to, const _Atomic apr_uint64_t *from, apr_size_t n)
{
    apr_uint64_t word;
    apr_size_t i;

    for (i = 0; i < n; i++) {
        word = atomic_load_explicit(&from[i], memory_order_relaxed);
        memcpy((char *)to + i * 8, &word, 8);
    }
}

apr_uint32_t cs_words_begin(_Atomic apr_uint32_t *seq)
{
    apr_uint32_t now = atomic_load_explicit(seq, memory_order_relaxed);

    now = now % 2 ? now + 2 : now + 1;
    atomic_store_explicit(seq, now, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return now;
}

void cs_words_end(_Atomic apr_uint32_t *seq, apr_uint32_t begun)
{
    atomic_store_explicit(seq, begun + 1, memory_order_release);
}

/* ---- names ---- */

static void name_put(cs_gauge_label_t *name, const char *text)
{
    char padded[CS_GAUGE_NAME];
    apr_uint32_t begun;

    memset(padded, 0, sizeof(padded));
    apr_cpystrn(padded, text, sizeof(padded));
    begun = cs_words_begin(&name->seq);
    cs_words_put(name->words, padded, CS_GAUGE_NAME / 8);
    cs_words_end(&name->seq, begun);
}

/* 0 when it is free, or being changed. */
static int name_get(const cs_gauge_label_t *name, char text[CS_GAUGE_NAME])
{
    apr_uint32_t before;
    int i;

    for (i = 0; i < CS_WORDS_TRIES; i++) {
        before = atomic_load_explicit(&name->seq, memory_order_acquire);
        cs_words_get(text, name->words, CS_GAUGE_NAME / 8);
        atomic_thread_fence(memory_order_acquire);
        if (before % 2 == 0 && atomic_load_explicit(&name->seq, memory_order_relaxed) == before) {
            text[CS_GAUGE_NAME - 1] = '\0';
            return *text != '\0';
        }
    }
    return 0;
}

static int name_is(const cs_gauge_label_t *name, const char *text)
{
    char own[CS_GAUGE_NAME];

    return name_get(name, own) && !strncmp(own, text, CS_GAUGE_NAME - 1);
}

static int site_of(cs_gauges_t *g, const char *site)
{
    int i;

    for (i = 0; site && *site && i < CS_GAUGE_SITES; i++) {
        if (name_is(&g->sites[i].name, site)) {
            return i;
        }
    }
    return -1;
}

static int upstream_of(const cs_gauge_site_t *site, const char *upstream)
{
    int i;

    for (i = 0; upstream && *upstream && i < CS_GAUGE_UPSTREAMS; i++) {
        if (name_is(&site->upstreams[i].name, upstream)) {
            return i;
        }
    }
    return -1;
}

static int is_among(const char *name, const char *const *names, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        if (!strncmp(names[i], name, CS_GAUGE_NAME - 1)) {
            return 1;
        }
    }
    return 0;
}

static void upstream_clear(cs_gauge_upstream_t *upstream, const char *name)
{
    int i;

    name_put(&upstream->name, name);
    reset_values(upstream->values);
    for (i = 0; i < CS_OUTCOME_MAX; i++) {
        atomic_store_explicit(&upstream->calls[i], 0, memory_order_relaxed);
    }
}

static void layout_upstreams(cs_gauge_site_t *site, const cs_gauge_names_t *names)
{
    char own[CS_GAUGE_NAME];
    int i, free;

    for (i = 0; i < CS_GAUGE_UPSTREAMS; i++) {
        if (name_get(&site->upstreams[i].name, own) && !is_among(own, names->upstreams, names->n)) {
            upstream_clear(&site->upstreams[i], "");
        }
    }
    for (i = 0; i < names->n; i++) {
        for (free = 0; upstream_of(site, names->upstreams[i]) < 0 && free < CS_GAUGE_UPSTREAMS;
             free++) {
            if (!name_get(&site->upstreams[free].name, own)) {
                upstream_clear(&site->upstreams[free], names->upstreams[i]);
            }
        }
    }
}

static void site_clear(cs_gauge_site_t *site, const char *name)
{
    int i;

    reset_values(site->values);
    for (i = 0; i < CS_GAUGE_UPSTREAMS; i++) {
        upstream_clear(&site->upstreams[i], "");
    }
    name_put(&site->name, name);
}

static int place_of(cs_gauges_t *g, const char *site)
{
    char own[CS_GAUGE_NAME];
    int i = site_of(g, site);

    if (i >= 0) {
        return i;
    }
    for (i = 0; i < CS_GAUGE_SITES; i++) {
        if (!name_get(&g->sites[i].name, own)) {
            site_clear(&g->sites[i], site);
            return i;
        }
    }
    return -1;
}

void cs_gauges_layout(const cs_gauge_names_t *sites, int n)
{
    cs_gauges_t *g = cs_gauges_table();
    char own[CS_GAUGE_NAME];
    int i, j, found, place;

    for (i = 0; i < CS_GAUGE_SITES; i++) {
        if (!name_get(&g->sites[i].name, own)) {
            continue;
        }
        for (found = 0, j = 0; j < n && !found; j++) {
            found = is_among(own, &sites[j].site, 1);
        }
        if (!found) {
            site_clear(&g->sites[i], "");
        }
    }
    for (i = 0; i < n; i++) {
        place = place_of(g, sites[i].site);
        if (place >= 0) {
            layout_upstreams(&g->sites[place], &sites[i]);
        }
    }
}

int cs_gauge_site(const char *site)
{
    return site_of(cs_gauges_table(), site);
}

int cs_gauge_upstream(int site, const char *upstream)
{
    return site >= 0 && site < CS_GAUGE_SITES
               ? upstream_of(&cs_gauges_table()->sites[site], upstream)
               : -1;
}

static const char *name_of(const cs_gauge_label_t *name, apr_pool_t *p)
{
    char own[CS_GAUGE_NAME];

    return name_get(name, own) ? apr_pstrdup(p, own) : NULL;
}

const char *cs_gauge_site_name(int site, apr_pool_t *p)
{
    return site >= 0 && site < CS_GAUGE_SITES ? name_of(&cs_gauges_table()->sites[site].name, p)
                                              : NULL;
}

const char *cs_gauge_upstream_name(int site, int upstream, apr_pool_t *p)
{
    return site >= 0 && site < CS_GAUGE_SITES && upstream >= 0 && upstream < CS_GAUGE_UPSTREAMS
               ? name_of(&cs_gauges_table()->sites[site].upstreams[upstream].name, p)
               : NULL;
}

/* ---- values ---- */

static _Atomic apr_int64_t *value_at(cs_gauge_e id, int site, int upstream)
{
    cs_gauges_t *g = cs_gauges_table();

    if ((unsigned)id >= CS_GAUGE_MAX) {
        return NULL;
    }
    if (gauges[id].scope == CS_GAUGE_OF_SERVER) {
        return &g->values[id];
    }
    if (site < 0 || site >= CS_GAUGE_SITES) {
        return NULL;
    }
    if (gauges[id].scope == CS_GAUGE_OF_SITE) {
        return &g->sites[site].values[id];
    }
    return upstream >= 0 && upstream < CS_GAUGE_UPSTREAMS
               ? &g->sites[site].upstreams[upstream].values[id]
               : NULL;
}

void cs_gauge_set(cs_gauge_e id, int site, int upstream, apr_int64_t value)
{
    _Atomic apr_int64_t *at = value_at(id, site, upstream);

    if (at) {
        atomic_store_explicit(at, value, memory_order_relaxed);
    }
}

void cs_gauge_add(cs_gauge_e id, int site, int upstream, apr_int64_t n)
{
    _Atomic apr_int64_t *at = value_at(id, site, upstream);

    if (at) {
        atomic_fetch_add_explicit(at, n, memory_order_relaxed);
    }
}

apr_int64_t cs_gauge_get(cs_gauge_e id, int site, int upstream)
{
    const _Atomic apr_int64_t *at = value_at(id, site, upstream);

    return at ? atomic_load_explicit(at, memory_order_relaxed) : CS_GAUGE_UNKNOWN;
}

void cs_call_count(const char *site, const char *upstream, cs_outcome_e outcome)
{
    cs_gauges_t *g = cs_gauges_table();
    int i = site_of(g, site);
    int j = i >= 0 ? upstream_of(&g->sites[i], upstream) : -1;

    if (j >= 0 && (unsigned)outcome < CS_OUTCOME_MAX) {
        atomic_fetch_add_explicit(&g->sites[i].upstreams[j].calls[outcome], 1,
                                  memory_order_relaxed);
    }
}

apr_uint64_t cs_call_get(int site, int upstream, cs_outcome_e outcome)
{
    if (site < 0 || site >= CS_GAUGE_SITES || upstream < 0 || upstream >= CS_GAUGE_UPSTREAMS ||
        (unsigned)outcome >= CS_OUTCOME_MAX) {
        return 0;
    }
    return atomic_load_explicit(&cs_gauges_table()->sites[site].upstreams[upstream].calls[outcome],
                                memory_order_relaxed);
}
