#include "gauge.h"

#include <apr_strings.h>
#include <string.h>

#include "counter.h"
#include "result.h"
#include "time.h"

#define TEXT_MAX 384
/* The runner gives a sign of life each second, its watch every few. */
#define SILENT apr_time_from_sec(15)
#define BLIND apr_time_from_sec(45)
/* A trouble that nobody has met again for so long is over: whoever met it may be gone. */
#define TROUBLE_LASTS apr_time_from_sec(60)
#define READ_TRIES 16
#define LAGS (CS_LAG_MAX * CS_LAG_BUCKETS)

/* What an alert is in shared memory. */
typedef struct row_t {
    apr_int64_t since;
    apr_int64_t level;
    char site[CS_GAUGE_NAME];
    char what[CS_GAUGE_NAME + 24];
    char text[TEXT_MAX + 64];
    char todo[TEXT_MAX];
} row_t;

#define ROW_WORDS ((sizeof(row_t) + 7) / 8)

_Static_assert(sizeof(row_t) % 8 == 0 && ROW_WORDS <= CS_ALERT_WORDS, "an alert has its place");
_Static_assert(LAGS <= 32, "the lags have their place");

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

static cs_gauges_t *table(void)
{
    cs_gauges_t *g = atomic_load_explicit(&current, memory_order_acquire);

    if (g == &private_gauges) {
        make_ready(g);
    }
    return g;
}

/* ---- words that are read whole ---- */

static void put_words(_Atomic apr_uint64_t *to, const void *from, apr_size_t n)
{
    apr_uint64_t word;
    apr_size_t i;

    for (i = 0; i < n; i++) {
        memcpy(&word, (const char *)from + i * 8, 8);
        atomic_store_explicit(&to[i], word, memory_order_relaxed);
    }
}

static void get_words(void *to, const _Atomic apr_uint64_t *from, apr_size_t n)
{
    apr_uint64_t word;
    apr_size_t i;

    for (i = 0; i < n; i++) {
        word = atomic_load_explicit(&from[i], memory_order_relaxed);
        memcpy((char *)to + i * 8, &word, 8);
    }
}

/* One that a dead writer left odd is begun anew. */
static apr_uint32_t begin(_Atomic apr_uint32_t *seq)
{
    apr_uint32_t now = atomic_load_explicit(seq, memory_order_relaxed);

    now = now % 2 ? now + 2 : now + 1;
    atomic_store_explicit(seq, now, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return now;
}

static void end(_Atomic apr_uint32_t *seq, apr_uint32_t begun)
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
    begun = begin(&name->seq);
    put_words(name->words, padded, CS_GAUGE_NAME / 8);
    end(&name->seq, begun);
}

/* 0 when it is free, or being changed. */
static int name_get(const cs_gauge_label_t *name, char text[CS_GAUGE_NAME])
{
    apr_uint32_t before;
    int i;

    for (i = 0; i < READ_TRIES; i++) {
        before = atomic_load_explicit(&name->seq, memory_order_acquire);
        get_words(text, name->words, CS_GAUGE_NAME / 8);
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
    cs_gauges_t *g = table();
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
    return site_of(table(), site);
}

int cs_gauge_upstream(int site, const char *upstream)
{
    return site >= 0 && site < CS_GAUGE_SITES ? upstream_of(&table()->sites[site], upstream) : -1;
}

static const char *name_of(const cs_gauge_label_t *name, apr_pool_t *p)
{
    char own[CS_GAUGE_NAME];

    return name_get(name, own) ? apr_pstrdup(p, own) : NULL;
}

const char *cs_gauge_site_name(int site, apr_pool_t *p)
{
    return site >= 0 && site < CS_GAUGE_SITES ? name_of(&table()->sites[site].name, p) : NULL;
}

const char *cs_gauge_upstream_name(int site, int upstream, apr_pool_t *p)
{
    return site >= 0 && site < CS_GAUGE_SITES && upstream >= 0 && upstream < CS_GAUGE_UPSTREAMS
               ? name_of(&table()->sites[site].upstreams[upstream].name, p)
               : NULL;
}

/* ---- values ---- */

static _Atomic apr_int64_t *value_at(cs_gauge_e id, int site, int upstream)
{
    cs_gauges_t *g = table();

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
    cs_gauges_t *g = table();
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
    return atomic_load_explicit(&table()->sites[site].upstreams[upstream].calls[outcome],
                                memory_order_relaxed);
}

/* ---- signs of life and trouble ---- */

void cs_trouble_note(cs_trouble_e who, apr_status_t rv)
{
    cs_gauges_t *g = table();

    if ((unsigned)who >= CS_TROUBLE_MAX) {
        return;
    }
    if (rv == APR_SUCCESS) {
        if (atomic_load_explicit(&g->trouble[who], memory_order_relaxed)) {
            atomic_store_explicit(&g->trouble[who], 0, memory_order_relaxed);
        }
        return;
    }
    atomic_store_explicit(&g->trouble_at[who], cs_time_mono(), memory_order_relaxed);
    atomic_store_explicit(&g->trouble[who], (apr_int32_t)rv, memory_order_relaxed);
}

apr_status_t cs_trouble_get(cs_trouble_e who, apr_time_t *pat)
{
    cs_gauges_t *g = table();
    apr_status_t rv = (unsigned)who < CS_TROUBLE_MAX
                          ? atomic_load_explicit(&g->trouble[who], memory_order_relaxed)
                          : APR_SUCCESS;
    apr_interval_time_t ago =
        rv ? cs_time_mono() - atomic_load_explicit(&g->trouble_at[who], memory_order_relaxed) : 0;

    if (pat) {
        *pat = rv ? cs_time_now() - ago : 0;
    }
    return ago > TROUBLE_LASTS ? APR_SUCCESS : rv;
}

void cs_runner_beat(void)
{
    cs_gauges_t *g = table();
    apr_int64_t now = cs_time_mono();
    apr_int64_t last = atomic_load_explicit(&g->beat, memory_order_relaxed);

    /* How long a runner has been without a watch begins anew with each. */
    if (!last || now - last > SILENT) {
        atomic_store_explicit(&g->began, now, memory_order_relaxed);
    }
    atomic_store_explicit(&g->beat, now, memory_order_relaxed);
}

void cs_watch_beat(void)
{
    atomic_store_explicit(&table()->watched, cs_time_mono(), memory_order_relaxed);
}

static apr_interval_time_t age_of(const _Atomic apr_int64_t *at)
{
    return cs_time_mono() - atomic_load_explicit(at, memory_order_relaxed);
}

int cs_runner_is_alive(void)
{
    cs_gauges_t *g = table();

    return atomic_load_explicit(&g->beat, memory_order_relaxed) && age_of(&g->beat) <= SILENT;
}

/* ---- alerts ---- */

static void write_row(_Atomic apr_uint64_t *to, const cs_alert_t *alert)
{
    row_t row;

    memset(&row, 0, sizeof(row));
    row.since = alert->since;
    row.level = alert->level;
    apr_cpystrn(row.site, alert->site ? alert->site : "", sizeof(row.site));
    apr_cpystrn(row.what, alert->what ? alert->what : "", sizeof(row.what));
    apr_cpystrn(row.text, alert->text ? alert->text : "", sizeof(row.text));
    apr_cpystrn(row.todo, alert->todo ? alert->todo : "", sizeof(row.todo));
    put_words(to, &row, ROW_WORDS);
}

void cs_alerts_publish(const cs_alert_t *const *alerts, int n)
{
    cs_gauges_t *g = table();
    int i, other = !atomic_load_explicit(&g->table, memory_order_relaxed);
    cs_alert_table_t *to = &g->tables[other];
    apr_uint32_t begun = begin(&to->seq);

    n = n < CS_ALERTS_MAX ? n : CS_ALERTS_MAX;
    for (i = 0; i < n; i++) {
        write_row(to->words[i], alerts[i]);
    }
    atomic_store_explicit(&to->n, n, memory_order_relaxed);
    end(&to->seq, begun);
    atomic_store_explicit(&g->table, other, memory_order_release);
}

/* Text that was cut may end within a character. */
static char *text_of(char *text, apr_size_t size, apr_pool_t *p)
{
    apr_size_t len;

    text[size - 1] = '\0';
    len = strlen(text);
    if (len == size - 1) {
        while (len && ((unsigned char)text[len - 1] & 0xC0) == 0x80) {
            len--;
        }
        len -= len && ((unsigned char)text[len - 1] & 0x80);
    }
    return apr_pstrmemdup(p, text, len);
}

static cs_alert_t *read_row(row_t *row, apr_pool_t *p)
{
    cs_alert_t *alert = apr_pcalloc(p, sizeof(*alert));

    alert->site = text_of(row->site, sizeof(row->site), p);
    alert->what = text_of(row->what, sizeof(row->what), p);
    alert->level = row->level == CS_ALERT_ERROR ? CS_ALERT_ERROR : CS_ALERT_WARNING;
    alert->text = text_of(row->text, sizeof(row->text), p);
    alert->todo = text_of(row->todo, sizeof(row->todo), p);
    alert->since = row->since;
    return alert;
}

/* How many rows were copied, all of one moment; -1 = it changed meanwhile. */
static int copy_rows(const cs_gauges_t *g, row_t *rows)
{
    const cs_alert_table_t *from =
        &g->tables[atomic_load_explicit(&g->table, memory_order_acquire) != 0];
    apr_uint32_t before = atomic_load_explicit(&from->seq, memory_order_acquire);
    int i, n = atomic_load_explicit(&from->n, memory_order_relaxed);

    n = n < 0 ? 0 : n > CS_ALERTS_MAX ? CS_ALERTS_MAX : n;
    for (i = 0; i < n; i++) {
        get_words(&rows[i], from->words[i], ROW_WORDS);
    }
    atomic_thread_fence(memory_order_acquire);
    return before % 2 == 0 && atomic_load_explicit(&from->seq, memory_order_relaxed) == before ? n
                                                                                               : -1;
}

static void push_own(apr_array_header_t *list, const char *what, const char *text, const char *todo,
                     apr_interval_time_t age, apr_pool_t *p)
{
    cs_alert_t *alert = apr_pcalloc(p, sizeof(*alert));

    alert->site = "";
    alert->what = what;
    alert->level = CS_ALERT_ERROR;
    alert->text = text;
    alert->todo = todo;
    alert->since = cs_time_now() - age;
    APR_ARRAY_PUSH(list, cs_alert_t *) = alert;
}

/* What the runner cannot say of itself. */
static void push_missing(const cs_gauges_t *g, apr_array_header_t *list, apr_pool_t *p)
{
    apr_int64_t beat = atomic_load_explicit(&g->beat, memory_order_relaxed);
    apr_int64_t watched = atomic_load_explicit(&g->watched, memory_order_relaxed);
    apr_int64_t began = atomic_load_explicit(&g->began, memory_order_relaxed);
    apr_interval_time_t silent = cs_time_mono() - beat;
    apr_interval_time_t blind = cs_time_mono() - (watched > began ? watched : began);

    if (beat && silent > SILENT) {
        push_own(list, "runner",
                 apr_psprintf(p,
                              "the runner has given no sign of life for %d s: notices are "
                              "accepted and nothing is looked at",
                              (int)apr_time_sec(silent)),
                 "look for the lines of the runner in the error log, and at the disk of "
                 "CosellStateDir; a runner that ended is started again by itself",
                 silent, p);
    }
    else if (beat && blind > BLIND) {
        push_own(list, "watch",
                 apr_psprintf(p,
                              "the runner works, and could not look at its state for %d s: the "
                              "store could not be opened, or its disk does not answer",
                              (int)apr_time_sec(blind)),
                 "look for the lines of the runner in the error log, and at the disk of "
                 "CosellStateDir",
                 blind, p);
    }
}

apr_array_header_t *cs_alerts_list(const char *site, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(cs_alert_t *));
    cs_gauges_t *g = table();
    row_t *rows = apr_palloc(p, sizeof(*rows) * CS_ALERTS_MAX);
    int i, n = -1;

    push_missing(g, list, p);
    for (i = 0; i < READ_TRIES && n < 0; i++) {
        n = copy_rows(g, rows);
    }
    for (i = 0; i < n; i++) {
        if (!site || !rows[i].site[0] || !strncmp(rows[i].site, site, CS_GAUGE_NAME - 1)) {
            APR_ARRAY_PUSH(list, cs_alert_t *) = read_row(&rows[i], p);
        }
    }
    return list;
}

/* ---- the memo ---- */

apr_status_t cs_memo_put(const char *text)
{
    cs_gauges_t *g = table();
    int other = atomic_load_explicit(&g->memo, memory_order_relaxed) == 1 ? 2 : 1;
    cs_memo_t *to = &g->memos[other - 1];
    apr_size_t len = strlen(text), i;
    apr_uint64_t word;
    apr_uint32_t begun;

    if (len >= CS_MEMO_MAX) {
        return APR_EINVAL;
    }
    begun = begin(&to->seq);
    for (i = 0; i < len; i += 8) {
        word = 0;
        memcpy(&word, text + i, len - i < 8 ? len - i : 8);
        atomic_store_explicit(&to->words[i / 8], word, memory_order_relaxed);
    }
    atomic_store_explicit(&to->len, (apr_uint32_t)len, memory_order_relaxed);
    end(&to->seq, begun);
    atomic_store_explicit(&g->memo, other, memory_order_release);
    return APR_SUCCESS;
}

static int memo_copy(const cs_memo_t *from, char *to, apr_size_t *plen)
{
    apr_uint32_t before = atomic_load_explicit(&from->seq, memory_order_acquire);
    apr_size_t len = atomic_load_explicit(&from->len, memory_order_relaxed);

    len = len < CS_MEMO_MAX ? len : CS_MEMO_MAX - 1;
    get_words(to, from->words, (len + 7) / 8);
    atomic_thread_fence(memory_order_acquire);
    *plen = len;
    return before % 2 == 0 && atomic_load_explicit(&from->seq, memory_order_relaxed) == before;
}

const char *cs_memo_get(apr_pool_t *p)
{
    cs_gauges_t *g = table();
    char *text = apr_palloc(p, CS_MEMO_MAX);
    apr_size_t len = 0;
    int i, which;

    for (i = 0; i < READ_TRIES; i++) {
        which = atomic_load_explicit(&g->memo, memory_order_acquire);
        if (!which) {
            return NULL;
        }
        if (memo_copy(&g->memos[which - 1], text, &len)) {
            text[len] = '\0';
            return text;
        }
    }
    return NULL;
}

/* ---- history ---- */

static const struct {
    const char *name, *unit, *text;
} histories[CS_HISTORY_MAX] = {
#define HISTORY(id, name, unit, text) {name, unit, text},
    CS_HISTORIES(HISTORY)
#undef HISTORY
};

const char *cs_history_name(cs_history_e which)
{
    return (unsigned)which < CS_HISTORY_MAX ? histories[which].name : NULL;
}

const char *cs_history_unit(cs_history_e which)
{
    return (unsigned)which < CS_HISTORY_MAX ? histories[which].unit : NULL;
}

const char *cs_history_text(cs_history_e which)
{
    return (unsigned)which < CS_HISTORY_MAX ? histories[which].text : NULL;
}

static apr_uint64_t grown(cs_history_e which)
{
    switch (which) {
    case CS_HISTORY_ACCEPTED:
        return cs_counter_get(CS_COUNT_ACCEPTED) + cs_counter_get(CS_COUNT_NOTIFIED);
    case CS_HISTORY_LOOKS:
        return cs_counter_get(CS_COUNT_LOOKS);
    case CS_HISTORY_CALLS:
        return cs_counter_get(CS_COUNT_CALLS_PARTNER_CENTER) + cs_counter_get(CS_COUNT_CALLS_CRM) +
               cs_counter_get(CS_COUNT_CALLS_TOKEN);
    case CS_HISTORY_FAILED:
        return cs_counter_get(CS_COUNT_CALLS_FAILED);
    default:
        return 0;
    }
}

static void take_lags(apr_uint64_t now[CS_LAG_BUCKETS], cs_gauges_t *g)
{
    apr_uint64_t all;
    int which, bucket, at;

    memset(now, 0, sizeof(*now) * CS_LAG_BUCKETS);
    for (which = 0; which < CS_LAG_MAX; which++) {
        for (bucket = 0; bucket < CS_LAG_BUCKETS; bucket++) {
            at = which * CS_LAG_BUCKETS + bucket;
            all = cs_lag_get((cs_lag_e)which, bucket);
            now[bucket] += all - atomic_load_explicit(&g->lags[at], memory_order_relaxed);
            atomic_store_explicit(&g->lags[at], all, memory_order_relaxed);
        }
    }
}

/* The 90th percentile of what has been observed since the last point: within its bucket by the
 * share of it. -1 = nothing was observed. */
static double slow_tenth(const apr_uint64_t cumulative[CS_LAG_BUCKETS])
{
    static const double bounds[CS_LAG_BUCKETS - 1] = CS_LAG_BOUNDS;
    double want = (double)cumulative[CS_LAG_BUCKETS - 1] * 0.9;
    double low = 0, below = 0;
    int i;

    if (!cumulative[CS_LAG_BUCKETS - 1]) {
        return -1;
    }
    for (i = 0; i < CS_LAG_BUCKETS - 1; i++) {
        double upto = (double)cumulative[i];
        if (upto >= want) {
            return upto > below ? low + (bounds[i] - low) * (want - below) / (upto - below) : low;
        }
        low = bounds[i];
        below = upto;
    }
    return low;
}

static void put_point(cs_gauges_t *g, cs_history_e which, apr_int64_t at, double value)
{
    atomic_store_explicit(&g->points[which][at % CS_HISTORY_SLOTS], value, memory_order_relaxed);
}

/* Minutes that nobody saw end share evenly in what happened since the last one. */
static void make_points(cs_gauges_t *g, apr_int64_t passed, apr_int64_t backlog)
{
    apr_uint64_t lags[CS_LAG_BUCKETS], now;
    apr_int64_t made = atomic_load_explicit(&g->minutes, memory_order_relaxed);
    double share[CS_HISTORY_MAX];
    apr_int64_t i, n = passed < CS_HISTORY_MINUTES ? passed : CS_HISTORY_MINUTES;
    int which;

    for (which = 0; which < CS_HISTORY_MAX; which++) {
        now = grown((cs_history_e)which);
        share[which] = (double)(now - atomic_load_explicit(&g->base[which], memory_order_relaxed)) /
                       (double)passed;
        atomic_store_explicit(&g->base[which], now, memory_order_relaxed);
    }
    take_lags(lags, g);
    for (i = 0; i < n; i++) {
        for (which = 0; which < CS_HISTORY_MAX; which++) {
            put_point(g, (cs_history_e)which, made + i, share[which]);
        }
        put_point(g, CS_HISTORY_BACKLOG, made + i, (double)(backlog > 0 ? backlog : 0));
        put_point(g, CS_HISTORY_LAG, made + i, i == n - 1 ? slow_tenth(lags) : -1);
    }
    atomic_store_explicit(&g->minutes, made + n, memory_order_release);
}

void cs_history_tick(apr_time_t now, apr_int64_t backlog)
{
    cs_gauges_t *g = table();
    apr_int64_t minute = apr_time_sec(now) / 60;
    apr_int64_t last = atomic_load_explicit(&g->minute, memory_order_relaxed);
    apr_uint64_t ignored[CS_LAG_BUCKETS];
    int which;

    /* At first, and when the clock went back, there is nothing to compare with. */
    if (!last || minute < last) {
        for (which = 0; which < CS_HISTORY_MAX; which++) {
            atomic_store_explicit(&g->base[which], grown((cs_history_e)which),
                                  memory_order_relaxed);
        }
        take_lags(ignored, g);
    }
    else if (minute > last) {
        make_points(g, minute - last, backlog);
    }
    atomic_store_explicit(&g->minute, minute, memory_order_relaxed);
}

int cs_history_read(cs_history_e which, double *values, apr_time_t *pend)
{
    cs_gauges_t *g = table();
    apr_int64_t made = atomic_load_explicit(&g->minutes, memory_order_acquire);
    apr_int64_t i, n = made < CS_HISTORY_MINUTES ? made : CS_HISTORY_MINUTES;

    if ((unsigned)which >= CS_HISTORY_MAX) {
        return 0;
    }
    for (i = 0; i < n; i++) {
        values[i] = atomic_load_explicit(&g->points[which][(made - n + i) % CS_HISTORY_SLOTS],
                                         memory_order_relaxed);
    }
    *pend = apr_time_from_sec(atomic_load_explicit(&g->minute, memory_order_relaxed) * 60);
    return (int)n;
}
