/* What is printed, and where. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void say(const char *prefix, const char *fmt, va_list ap)
{
    ctl_progress_clear();
    ctl_flush();
    fputs(prefix, stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void ctl_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("cosellctl: ", fmt, ap);
    va_end(ap);
}

void ctl_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
}

void ctl_flush(void)
{
    if (fflush(stdout) || ferror(stdout)) {
        _exit(CTL_FAILED); /* `cosellctl journal -f | head` has seen enough */
    }
}

void ctl_out(const char *fmt, ...)
{
    va_list ap;

    ctl_progress_clear();
    va_start(ap, fmt);
    vfprintf(stdout, fmt, ap);
    va_end(ap);
    if (ferror(stdout)) {
        ctl_flush();
    }
}

const char *ctl_paint(const ctl_t *c, char color, const char *text, apr_pool_t *p)
{
    const char *code = color == 'r' ? "31" : color == 'g' ? "32" : color == 'y' ? "33" : "1";

    return c->color ? apr_pstrcat(p, "\033[", code, "m", text, "\033[0m", NULL) : text;
}
