/* httpd/page_plot.c: a series of the last hours as a small picture, with the same in words. */
#include "page.h"

#include <apr_strings.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"

#define WIDTH 240
#define HEIGHT 56

static const char *number(double n, apr_pool_t *p)
{
    char text[32];

    snprintf(text, sizeof(text), n >= 100 || n == floor(n) ? "%.0f" : "%.3g", n);
    return apr_pstrdup(p, text);
}

/* Points of a line, broken where nothing was observed: "M0 1L2 3M...". */
static const char *path_of(const json_t *values, double most, apr_pool_t *p)
{
    size_t n = json_array_size(values), i;
    char *path = apr_palloc(p, n * 24 + 1), *to = path;
    int broken = 1;

    for (i = 0; i < n; i++) {
        const json_t *value = json_array_get(values, i);

        if (json_is_number(value)) {
            double x = n > 1 ? (double)i * WIDTH / (double)(n - 1) : 0;
            double y = HEIGHT - 2 - (most > 0 ? json_number_value(value) / most : 0) * (HEIGHT - 6);

            to += snprintf(to, 24, "%c%.1f %.1f", broken ? 'M' : 'L', x, y);
            if (broken) {
                to += snprintf(to, 4, "h0"); /* a point alone shows, too */
            }
        }
        broken = !json_is_number(value);
    }
    *to = '\0';
    return path;
}

/* The largest and the last; 0 = there is none. */
static int extremes(const json_t *values, double *pmost, double *plast)
{
    size_t i;
    int n = 0;

    *pmost = *plast = 0;
    for (i = 0; i < json_array_size(values); i++) {
        const json_t *value = json_array_get(values, i);

        if (json_is_number(value)) {
            *plast = json_number_value(value);
            *pmost = n && *pmost > *plast ? *pmost : *plast;
            n++;
        }
    }
    return n;
}

static void picture(cosell_html_t *h, const char *words, const char *path)
{
    cosell_open(h, "svg");
    cosell_attr(h, "viewBox", "0 0 240 56");
    cosell_attr(h, "role", "img");
    cosell_attr(h, "aria-label", words);
    cosell_attr(h, "preserveAspectRatio", "none");
    cosell_open(h, "path");
    cosell_attr(h, "class", "base");
    cosell_attr(h, "d", "M0 54h240");
    cosell_close(h);
    cosell_open(h, "path");
    cosell_attr(h, "class", "line");
    cosell_attr(h, "d", path);
    cosell_close(h);
    cosell_close(h);
}

void cosell_plot(cosell_html_t *h, const cosell_view_t *v, const json_t *series)
{
    const json_t *values = cs_json_get(series, "values");
    const char *unit = cs_json_str(series, "unit"), *text = cs_json_str(series, "text");
    double most, last;
    int n = extremes(values, &most, &last);

    cosell_open(h, "div");
    cosell_attr(h, "class", "plot");
    cosell_classed(h, "p", "of", text);
    cosell_open(h, "p");
    if (n) {
        cosell_element(h, "strong", number(last, v->p));
        cosell_textf(h, "%s%s, at most %s", unit && *unit ? " " : "", unit ? unit : "",
                     number(most, v->p));
    }
    else {
        cosell_text(h, "nothing observed yet");
    }
    cosell_close(h);
    if (n) {
        picture(h, apr_psprintf(v->p, "%s: %s %s now, at most %s in %d minutes", text,
                                number(last, v->p), unit, number(most, v->p),
                                (int)json_array_size(values)),
                path_of(values, most, v->p));
    }
    cosell_close(h);
}
