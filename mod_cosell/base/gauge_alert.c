/* base/gauge_alert.c: signs of life, trouble, and alerts: what the runner tells, and what a reader
 * finds out about a runner that tells nothing. */
#include "gauge_internal.h"

#include <apr_strings.h>
#include <string.h>

#include "time.h"

#define TEXT_MAX 384
/* The runner gives a sign of life each second, its watch every few. */
#define SILENT apr_time_from_sec(15)
#define BLIND apr_time_from_sec(45)
/* A trouble that nobody has met again for so long is over: whoever met it may be gone. */
#define TROUBLE_LASTS apr_time_from_sec(60)

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

void cs_trouble_note(cs_trouble_e who, apr_status_t rv)
{
    cs_gauges_t *g = cs_gauges_table();

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
    cs_gauges_t *g = cs_gauges_table();
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
    cs_gauges_t *g = cs_gauges_table();
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
    atomic_store_explicit(&cs_gauges_table()->watched, cs_time_mono(), memory_order_relaxed);
}

static apr_interval_time_t age_of(const _Atomic apr_int64_t *at)
{
    return cs_time_mono() - atomic_load_explicit(at, memory_order_relaxed);
}

int cs_runner_is_alive(void)
{
    cs_gauges_t *g = cs_gauges_table();

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
    cs_words_put(to, &row, ROW_WORDS);
}

void cs_alerts_publish(const cs_alert_t *const *alerts, int n)
{
    cs_gauges_t *g = cs_gauges_table();
    int i, other = !atomic_load_explicit(&g->table, memory_order_relaxed);
    cs_alert_table_t *to = &g->tables[other];
    apr_uint32_t begun = cs_words_begin(&to->seq);

    n = n < CS_ALERTS_MAX ? n : CS_ALERTS_MAX;
    for (i = 0; i < n; i++) {
        write_row(to->words[i], alerts[i]);
    }
    atomic_store_explicit(&to->n, n, memory_order_relaxed);
    cs_words_end(&to->seq, begun);
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
        cs_words_get(&rows[i], from->words[i], ROW_WORDS);
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
    cs_gauges_t *g = cs_gauges_table();
    row_t *rows = apr_palloc(p, sizeof(*rows) * CS_ALERTS_MAX);
    int i, n = -1;

    push_missing(g, list, p);
    for (i = 0; i < CS_WORDS_TRIES && n < 0; i++) {
        n = copy_rows(g, rows);
    }
    for (i = 0; i < n; i++) {
        if (!site || !rows[i].site[0] || !strncmp(rows[i].site, site, CS_GAUGE_NAME - 1)) {
            APR_ARRAY_PUSH(list, cs_alert_t *) = read_row(&rows[i], p);
        }
    }
    return list;
}
