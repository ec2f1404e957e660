/* cosellctl: what an administrator asks a running server, and what it answers. */
#include "ctl.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What stdout and stderr can show. */
static void look_around(ctl_t *c)
{
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM"), *columns = getenv("COLUMNS");
    int dumb = !term || !*term || !strcmp(term, "dumb");
    struct winsize size;

    c->tty = isatty(STDOUT_FILENO);
    c->color = c->tty && !dumb && !(none && *none) && !c->json;
    c->bar = isatty(STDERR_FILENO) && !dumb && !ctl_opt(c, "no-progress");
    if ((c->tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) ||
        (c->bar && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0)) {
        c->width = size.ws_col;
    }
    if (c->tty && columns && atoi(columns) >= 20 && atoi(columns) < 10000) {
        c->width = atoi(columns);
    }
    if (!c->tty && !c->bar) {
        c->width = 0;
    }
}

static int run(ctl_t *c)
{
    int rc;

    c->json = ctl_opt(c, "json") != NULL;
    look_around(c);
    if (ctl_opt(c, "help")) {
        return ctl_run_help(c);
    }
    rc = c->verb->offline ? CTL_DONE : ctl_configure(c);
    return rc ? rc : c->verb->run(c);
}

int main(int argc, const char *const *argv)
{
    ctl_t c;
    int rc;

    if (apr_initialize() != APR_SUCCESS) {
        return CTL_FAILED;
    }
    memset(&c, 0, sizeof(c));
    apr_pool_create(&c.p, NULL);
    signal(SIGPIPE, SIG_IGN); /* a connection that breaks is an answer, too */
    rc = ctl_parse(&c, argc, argv);
    if (!rc) {
        rc = run(&c);
    }
    else {
        ctl_note("cosellctl help says more");
    }
    ctl_flush();
    apr_pool_destroy(c.p);
    apr_terminate();
    return rc;
}
