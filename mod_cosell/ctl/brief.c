/* Verbs that are one wish with few members: what they have in common is all they do. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

int ctl_run_brief(ctl_t *c)
{
    static const struct {
        const char *verb, *member;
    } members[] = {{"look", "id"}, {"release", "brake"}, {"cancel", "job"}};
    json_t *wish = ctl_wish(c, c->verb->name);
    ctl_job_t job;
    size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (!strcmp(c->verb->name, members[i].verb)) {
            ctl_wish_text(wish, members[i].member, ctl_arg(c, 0));
        }
    }
    ctl_wish_text(wish, "why", ctl_opt(c, "why"));
    return ctl_job_run(c, wish, 1, &job);
}

/* "deals link DEAL RECORD" and its like. */
int ctl_run_deal(ctl_t *c)
{
    const char *verb = strchr(c->verb->name, ' ') + 1;
    json_t *wish = ctl_wish(c, verb);
    ctl_job_t job;

    ctl_wish_text(wish, "deal", ctl_arg(c, 0));
    if (!strcmp(verb, "link")) {
        ctl_wish_text(wish, "record", ctl_arg(c, 1));
    }
    else if (!strcmp(verb, "choose")) {
        ctl_wish_text(wish, "row", ctl_arg(c, 1));
    }
    else if (!strcmp(verb, "resolve")) {
        ctl_wish_text(wish, "line", ctl_arg(c, 1));
        ctl_wish_text(wish, "side", ctl_arg(c, 2));
    }
    return ctl_job_run(c, wish, 1, &job);
}

/* dead retry, dead drop: one, those of a cause, or all; never all by leaving something out. */
int ctl_run_dead(ctl_t *c)
{
    const char *verb = strchr(c->verb->name, ' ') + 1, *id = ctl_arg(c, 0);
    const char *cause = ctl_opt(c, "cause");
    int all = ctl_opt(c, "all") != NULL;
    json_t *wish = ctl_wish(c, verb);
    ctl_job_t job;

    if ((id != NULL) + (cause != NULL) + all != 1) {
        ctl_error("%s: say which: ID, --cause KEY, or --all", c->verb->name);
        return CTL_USAGE;
    }
    if (id) {
        ctl_wish_text(wish, strchr(id, ':') ? "name" : "deal", id);
    }
    ctl_wish_text(wish, "cause", cause);
    if (all) {
        json_object_set_new(wish, "all", json_true());
    }
    return ctl_job_run(c, wish, 1, &job);
}
