/* login: shows where to sign in and waits until somebody did. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static int shown;

/* To stdout, unless that is the document's. */
static void show_address(ctl_t *c, const json_t *progress)
{
    const char *open = cs_json_str(progress, "open"), *code = cs_json_str(progress, "code");
    const json_t *expires = cs_json_get(progress, "expires");

    if (shown || !open) {
        return;
    }
    shown = 1;
    open = ctl_clean(open, c->p);
    code = code ? ctl_clean(code, c->p) : NULL;
    if (c->json) {
        ctl_note("open %s%s%s", open, code ? " and enter the code " : "", code ? code : "");
        return;
    }
    ctl_out("Open this address in a browser and sign in as the account that works with "
            "referrals:\n\n  %s\n\n",
            open);
    if (code) {
        ctl_out("and enter the code %s\n\n", ctl_paint(c, 'b', code, c->p));
    }
    if (json_is_string(expires)) {
        ctl_out("It is valid until %s UTC.\n", ctl_when(expires, c->p));
    }
    ctl_flush();
}

/* cosell-login beside cosell-admin, as every example has it. */
static const char *login_of(const ctl_t *c)
{
    const char *slash = strrchr(c->url, '/');
    const char *host = strstr(c->url, "://") + 3;

    return slash < host
               ? apr_pstrcat(c->p, c->url, "/cosell-login", NULL)
               : apr_pstrcat(c->p, apr_pstrmemdup(c->p, c->url, (apr_size_t)(slash - c->url)),
                             "/cosell-login", NULL);
}

int ctl_run_login(ctl_t *c)
{
    const char *redirect = ctl_opt(c, "redirect-uri");
    json_t *wish = ctl_wish(c, "login");
    ctl_job_t job;

    if (ctl_opt(c, "device")) {
        ctl_wish_text(wish, "method", "device");
    }
    else {
        ctl_wish_text(wish, "method", "code");
        ctl_wish_text(wish, "redirect_uri", redirect ? redirect : login_of(c));
    }
    if (redirect && ctl_opt(c, "device")) {
        ctl_error("login: --redirect-uri is for signing in without --device");
        return CTL_USAGE;
    }
    ctl_job_watch(show_address);
    return ctl_job_run(c, wish, 1, &job);
}
