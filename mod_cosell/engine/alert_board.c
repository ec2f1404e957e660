/* engine/alert_board.c: findings become alerts when they hold, and end when they stay away. */
#include <apr_strings.h>
#include <string.h>

#include "alert.h"

void cs_alert_copy(char *to, const char *from, apr_size_t size)
{
    apr_size_t len = strlen(from), cut = len < size ? len : size - 1;

    /* A byte that goes on with a character cannot begin what is left out. */
    while (cut < len && cut > 0 && ((unsigned char)from[cut] & 0xC0) == 0x80) {
        cut--;
    }
    memcpy(to, from, cut);
    to[cut] = '\0';
}

static cs_board_entry_t *entry_of(cs_board_t *board, const cs_alert_t *alert)
{
    int i;

    for (i = 0; i < board->n; i++) {
        cs_board_entry_t *entry = &board->entries[i];
        if (!strncmp(entry->site, alert->site, sizeof(entry->site) - 1) &&
            !strncmp(entry->what, alert->what, sizeof(entry->what) - 1)) {
            return entry;
        }
    }
    return NULL;
}

static cs_board_entry_t *entry_make(cs_board_t *board, const cs_alert_t *alert)
{
    cs_board_entry_t *entry = entry_of(board, alert);

    if (entry || board->n == CS_BOARD_MAX) {
        return entry;
    }
    entry = &board->entries[board->n++];
    memset(entry, 0, sizeof(*entry));
    cs_alert_copy(entry->site, alert->site, sizeof(entry->site));
    cs_alert_copy(entry->what, alert->what, sizeof(entry->what));
    return entry;
}

static void entry_fill(cs_board_entry_t *entry, const cs_alert_t *alert)
{
    entry->level = alert->level;
    cs_alert_copy(entry->text, alert->text ? alert->text : "", sizeof(entry->text));
    cs_alert_copy(entry->todo, alert->todo ? alert->todo : "", sizeof(entry->todo));
}

static void take(cs_board_t *board, const cs_concern_t *finding, apr_time_t now,
                 apr_interval_time_t steady)
{
    cs_board_entry_t *entry = entry_make(board, &finding->alert);

    if (!entry) {
        return;
    }
    if (!entry->since) {
        entry->since = finding->alert.since ? finding->alert.since : now;
        entry->first = steady;
    }
    /* What began anew while the alert stayed on is the same trouble to whoever was told of it. */
    entry_fill(entry, &finding->alert);
    entry->last = steady;
    entry->clear = finding->clear;
    entry->on |= steady - entry->first >= finding->hold;
}

/* One that never came on was nothing. */
static int is_over(const cs_board_entry_t *entry, int known, apr_interval_time_t steady)
{
    if (entry->last == steady || (!known && entry->site[0])) {
        return 0;
    }
    return !entry->on || steady - entry->last >= entry->clear;
}

void cs_board_take(cs_board_t *board, const apr_array_header_t *findings, int known, apr_time_t now,
                   apr_interval_time_t steady)
{
    int i;

    for (i = 0; i < findings->nelts; i++) {
        take(board, APR_ARRAY_IDX(findings, i, const cs_concern_t *), now, steady);
    }
    for (i = board->n - 1; i >= 0; i--) {
        if (is_over(&board->entries[i], known, steady)) {
            board->entries[i] = board->entries[--board->n];
        }
    }
}

void cs_board_restore(cs_board_t *board, const cs_alert_t *alert, apr_interval_time_t clear,
                      apr_interval_time_t steady)
{
    cs_board_entry_t *entry = entry_make(board, alert);

    if (entry) {
        entry_fill(entry, alert);
        entry->since = alert->since;
        entry->first = entry->last = steady;
        entry->clear = clear;
        entry->on = 1;
    }
}

static int before(const cs_alert_t *a, const cs_alert_t *b)
{
    return a->level != b->level ? a->level < b->level : a->since < b->since;
}

static void insert(apr_array_header_t *list, cs_alert_t *alert)
{
    int i;

    APR_ARRAY_PUSH(list, cs_alert_t *) = alert;
    for (i = list->nelts - 1; i > 0 && before(alert, APR_ARRAY_IDX(list, i - 1, cs_alert_t *));
         i--) {
        APR_ARRAY_IDX(list, i, cs_alert_t *) = APR_ARRAY_IDX(list, i - 1, cs_alert_t *);
        APR_ARRAY_IDX(list, i - 1, cs_alert_t *) = alert;
    }
}

apr_array_header_t *cs_board_list(const cs_board_t *board, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, board->n + 1, sizeof(cs_alert_t *));
    int i;

    for (i = 0; i < board->n; i++) {
        const cs_board_entry_t *entry = &board->entries[i];
        cs_alert_t *alert;
        if (!entry->on) {
            continue;
        }
        alert = apr_pcalloc(p, sizeof(*alert));
        alert->site = entry->site;
        alert->what = entry->what;
        alert->level = entry->level;
        alert->text = entry->text;
        alert->todo = entry->todo;
        alert->since = entry->since;
        insert(list, alert);
    }
    return list;
}
