/* How far a job is: a bar that is drawn again and again on a terminal, else a line now and then. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#include "../base/json.h"
#include "../base/time.h"

#define BAR 24
#define PLAIN_EVERY apr_time_from_sec(5)

static int drawn;                    /* a bar stands on the last line */
static size_t said;                  /* lines of "say" that were printed */
static const char *said_last;        /* the last of them, malloc'd by nobody: in c->p */
static apr_interval_time_t plain_at; /* the last plain line */
static char plain_text[256];
static int mute;

void ctl_progress_clear(void)
{
    if (drawn) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        drawn = 0;
    }
}

void ctl_progress_end(void)
{
    ctl_progress_clear();
    said = 0;
    said_last = NULL;
    plain_at = 0;
    plain_text[0] = '\0';
}

void ctl_progress_mute(void)
{
    mute = 1;
}

static const char *duration(double s, apr_pool_t *p)
{
    if (s < 90) {
        return apr_psprintf(p, "%d s", (int)(s + 0.5));
    }
    if (s < 5400) {
        return apr_psprintf(p, "%d min", (int)(s / 60 + 0.5));
    }
    return apr_psprintf(p, "%d h %02d min", (int)(s / 3600), (int)(s / 60) % 60);
}

static const char *rate_text(double rate, apr_int64_t left, apr_pool_t *p)
{
    const char *out;

    if (rate <= 0) {
        return "";
    }
    out = apr_psprintf(p, rate < 10 ? ", %.1f/s" : ", %.0f/s", rate);
    return left > 0 ? apr_pstrcat(p, out, ", ", duration((double)left / rate, p), " left", NULL)
                    : out;
}

static const char *bar(apr_int64_t done, apr_int64_t of, apr_pool_t *p)
{
    char *out = apr_pcalloc(p, BAR + 4);
    int full = (int)(BAR * done / of), i;

    full = full > BAR ? BAR : full;
    out[0] = '[';
    for (i = 0; i < BAR; i++) {
        out[i + 1] = i < full ? '#' : '.';
    }
    out[BAR + 1] = ']';
    out[BAR + 2] = ' ';
    return out;
}

const char *ctl_bar_text(const json_t *progress, int width, apr_pool_t *p)
{
    apr_int64_t done = cs_json_int(progress, "done", -1), of = cs_json_int(progress, "of", -1);
    const json_t *rate = cs_json_get(progress, "rate");
    const char *waits = cs_json_str(progress, "waits");
    const char *text = waits ? apr_pstrcat(p, "waits: ", ctl_clean(waits, p), NULL)
                             : ctl_clean(cs_json_str(progress, "text"), p);
    const char *speed =
        rate_text(json_is_number(rate) ? json_number_value(rate) : 0, of > done ? of - done : 0, p);
    const char *out = "";

    if (done >= 0 && of > 0) {
        out = apr_psprintf(p, "%s%d%% %" APR_INT64_T_FMT "/%" APR_INT64_T_FMT "%s",
                           width < 60 ? "" : bar(done, of, p),
                           (int)(100 * (done > of ? of : done) / of), done, of, speed);
    }
    else if (done > 0) {
        out = apr_psprintf(p, "%" APR_INT64_T_FMT "%s", done, speed);
    }
    if (*text) {
        out = apr_pstrcat(p, out, *out ? "  " : "", text, NULL);
    }
    return width > 0 ? ctl_cut(out, width, p) : out;
}

/* The array holds the newest lines alone: those after the last one that was printed. */
static void show_say(ctl_t *c, const json_t *lines)
{
    size_t n = json_array_size(lines), from = said < n ? said : n, i;

    if (said && said_last && (said > n || n == 100)) {
        for (from = 0, i = n; i > 0; i--) {
            if (!strcmp(json_string_value(json_array_get(lines, i - 1)), said_last)) {
                from = i;
                break;
            }
        }
    }
    for (i = from; i < n; i++) {
        const char *line = json_string_value(json_array_get(lines, i));

        if (line) {
            ctl_note("%s", ctl_clean(line, c->p));
            said_last = apr_pstrdup(c->p, line);
        }
    }
    said = n;
}

/* A line for whoever draws no bar: now and then, and of a muted verb only that it waits. */
static int is_news(const json_t *progress, const char *text, apr_interval_time_t now)
{
    return *text && (!mute || cs_json_str(progress, "waits")) &&
           strncmp(text, plain_text, sizeof(plain_text) - 1) &&
           (!plain_at || now - plain_at >= PLAIN_EVERY);
}

void ctl_progress_show(ctl_t *c, const json_t *progress)
{
    apr_interval_time_t now = cs_time_mono();
    const char *text;
    apr_pool_t *ptemp;

    if (!json_is_object(progress)) {
        return;
    }
    apr_pool_create(&ptemp, c->p);
    if (!mute) {
        show_say(c, cs_json_get(progress, "say"));
    }
    text = ctl_bar_text(progress, c->bar ? (c->width > 1 ? c->width - 1 : 79) : 0, ptemp);
    if (c->bar && *text) {
        ctl_flush();
        fprintf(stderr, "\r%s\033[K", text);
        fflush(stderr);
        drawn = 1;
    }
    else if (is_news(progress, text, now)) {
        ctl_note("%s", text);
        plain_at = now;
        apr_cpystrn(plain_text, text, sizeof(plain_text));
    }
    apr_pool_destroy(ptemp);
}
