/* Tables for people: columns as wide as they must be, the widest cut where the terminal ends. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>

#define COLUMNS_MAX 12
#define GAP 2
#define LEAST 6

struct ctl_table_t {
    apr_pool_t *p;
    int n;
    const char *heads[COLUMNS_MAX];
    apr_array_header_t *cells; /* const char *, row by row */
};

ctl_table_t *ctl_table_make(const char *const *heads, apr_pool_t *p)
{
    ctl_table_t *table = apr_pcalloc(p, sizeof(*table));

    table->p = p;
    while (table->n < COLUMNS_MAX && heads[table->n]) {
        table->heads[table->n] = heads[table->n];
        table->n++;
    }
    table->cells = apr_array_make(p, 64, sizeof(const char *));
    return table;
}

void ctl_table_row(ctl_table_t *table, ...)
{
    va_list ap;
    int i;

    va_start(ap, table);
    for (i = 0; i < table->n; i++) {
        APR_ARRAY_PUSH(table->cells, const char *) = ctl_clean(va_arg(ap, const char *), table->p);
    }
    va_end(ap);
}

static int sum_of(const int *widths, int n)
{
    int sum = (n - 1) * GAP, i;

    for (i = 0; i < n; i++) {
        sum += widths[i];
    }
    return sum;
}

/* Takes from the widest column until all fit. */
static void squeeze(int *widths, int n, int width)
{
    int i, widest;

    while (sum_of(widths, n) > width) {
        for (widest = 0, i = 1; i < n; i++) {
            widest = widths[i] > widths[widest] ? i : widest;
        }
        if (widths[widest] <= LEAST) {
            return;
        }
        widths[widest]--;
    }
}

static void measure(const ctl_table_t *table, int *widths)
{
    int i;

    for (i = 0; i < table->n; i++) {
        widths[i] = ctl_width(table->heads[i]);
    }
    for (i = 0; i < table->cells->nelts; i++) {
        int w = ctl_width(APR_ARRAY_IDX(table->cells, i, const char *));

        widths[i % table->n] = w > widths[i % table->n] ? w : widths[i % table->n];
    }
}

static void add_line(const ctl_table_t *table, const char *const *cells, const int *widths,
                     apr_array_header_t *parts, apr_pool_t *p)
{
    char *line = "", *end;
    int i;

    for (i = 0; i < table->n; i++) {
        const char *cell = ctl_cut(cells[i], widths[i], p);

        line = apr_pstrcat(p, line, i ? "  " : "", ctl_pad(cell, widths[i], p), NULL);
    }
    for (end = line + strlen(line); end > line && end[-1] == ' '; end--) {
    }
    *end = '\0';
    APR_ARRAY_PUSH(parts, const char *) = line;
    APR_ARRAY_PUSH(parts, const char *) = "\n";
}

const char *ctl_table_text(const ctl_table_t *table, int width, apr_pool_t *p)
{
    apr_array_header_t *parts = apr_array_make(p, 64, sizeof(const char *));
    const char *const *cells = (const char *const *)table->cells->elts;
    int widths[COLUMNS_MAX], i;

    if (!table->cells->nelts) {
        return "";
    }
    measure(table, widths);
    if (width > 0) {
        squeeze(widths, table->n, width);
    }
    add_line(table, table->heads, widths, parts, p);
    for (i = 0; i < table->cells->nelts; i += table->n) {
        add_line(table, cells + i, widths, parts, p);
    }
    return apr_array_pstrcat(p, parts, 0);
}
