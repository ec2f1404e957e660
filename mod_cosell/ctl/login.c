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

int ctl_run_login(ctl_t *c)
{
    json_t *wish = ctl_wish(c, "login");
    ctl_job_t job;

    ctl_wish_text(wish, "method", ctl_opt(c, "device") ? "device" : "code");
    ctl_wish_text(wish, "redirect_uri", ctl_opt(c, "redirect-uri"));
    ctl_job_watch(show_address);
    return ctl_job_run(c, wish, 1, &job);
}
