/* httpd/admin_job.c: what a job was asked for, in people's words: "look at deal 12", "webhook
 * register". Made of arguments that anybody who sees the list may know: no address, no code. */
#include "admin.h"

#include <apr_strings.h>
#include <string.h>

#define ID_MOST 60

/* A member as text, not longer than a line can be, and cut between characters. */
static const char *said(const json_t *arguments, const char *name, apr_pool_t *p)
{
    const char *text = cs_json_str(arguments, name);
    apr_size_t len = text ? strlen(text) : 0;

    if (len <= ID_MOST) {
        return text ? text : "?";
    }
    for (len = ID_MOST; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--) {
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, text, len), "...", NULL);
}

/* "deal 12", or what else the id is of. */
static const char *deal_said(const json_t *arguments, const char *name, apr_pool_t *p)
{
    return apr_pstrcat(p, "deal ", said(arguments, name, p), NULL);
}

static const char *dead_said(const json_t *arguments, const char *verb, apr_pool_t *p)
{
    if (cs_json_str(arguments, "deal")) {
        return apr_pstrcat(p, verb, " the dead look at ", deal_said(arguments, "deal", p), NULL);
    }
    if (cs_json_str(arguments, "name")) {
        return apr_pstrcat(p, verb, " the dead look at ", said(arguments, "name", p), NULL);
    }
    if (cs_json_str(arguments, "cause")) {
        return apr_pstrcat(p, verb, " what is dead with \"", said(arguments, "cause", p), "\"",
                           NULL);
    }
    return apr_pstrcat(p, verb, " all dead looks", NULL);
}

static const char *resync_said(const json_t *arguments, apr_pool_t *p)
{
    const char *what = cs_json_str(arguments, "id")      ? deal_said(arguments, "id", p)
                       : cs_json_str(arguments, "since") ? "deals changed since "
                                                         : "all deals";

    return apr_pstrcat(p, "resync ", what,
                       cs_json_str(arguments, "since") ? said(arguments, "since", p) : "",
                       cs_json_bool(arguments, "dry_run", 0) ? ", dry run" : "", NULL);
}

static const char *login_said(const json_t *arguments)
{
    const char *method = cs_json_str(arguments, "method");

    return !method                     ? "login"
           : !strcmp(method, "device") ? "login with a device code"
                                       : "login in a browser";
}

/* Verbs that are done with a deal: the words before its id, and those before the other member. */
static const struct {
    const char *kind, *before, *member, *between, *other;
} verbs[] = {
    {"look", "look at ", "id", NULL, NULL},
    {"show", "show ", "id", NULL, NULL},
    {"link", "link ", "deal", " to record ", "record"},
    {"unlink", "unlink ", "deal", NULL, NULL},
    {"create", "create the record of ", "deal", NULL, NULL},
    {"ignore", "ignore ", "deal", NULL, NULL},
    {"choose", "choose for ", "deal", " row ", "row"},
    {"resolve", "resolve in ", "deal", " line ", "line"},
};

static const char *verb_said(const cs_job_t *job, apr_pool_t *p)
{
    apr_size_t i;

    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (!strcmp(job->kind, verbs[i].kind)) {
            return apr_pstrcat(p, verbs[i].before, deal_said(job->arguments, verbs[i].member, p),
                               verbs[i].between ? verbs[i].between : "",
                               verbs[i].other ? said(job->arguments, verbs[i].other, p) : "", NULL);
        }
    }
    return job->kind;
}

const char *cosell_job_words(const cs_job_t *job, apr_pool_t *p)
{
    const json_t *arguments = job->arguments;

    if (!strcmp(job->kind, "retry") || !strcmp(job->kind, "drop")) {
        return dead_said(arguments, !strcmp(job->kind, "drop") ? "drop" : "try again", p);
    }
    if (!strcmp(job->kind, "resync")) {
        return resync_said(arguments, p);
    }
    if (!strcmp(job->kind, "login")) {
        return login_said(arguments);
    }
    if (!strcmp(job->kind, "webhook")) {
        return apr_pstrcat(p, "webhook ", said(arguments, "action", p), NULL);
    }
    if (!strcmp(job->kind, "release")) {
        return apr_pstrcat(p, "release ", said(arguments, "brake", p), NULL);
    }
    if (!strcmp(job->kind, "cancel")) {
        return apr_pstrcat(p, "cancel job ", said(arguments, "job", p), NULL);
    }
    return verb_said(job, p);
}
