/* The one table that usage, help and completion are made of, and that the man page is checked
 * against. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#define WHICH                                                                                      \
    "Exactly one of ID, --cause and --all says which. ID is a deal's number or any id of it, or "  \
    "the "                                                                                         \
    "name that `dead list` shows."
#define STATES "new linked closed lead ignored parked unlinked gone"

const ctl_option_t ctl_options[] = {
    {"url", "URL", "address of the handler cosell-admin, https (or http to loopback)", NULL, 0, 1},
    {"site", "SITE", "which site, where the host shows several", NULL, 0, 1},
    {"netrc", "FILE", "where user and password are; default ~/.netrc", NULL, 0, 1},
    {"cert", "FILE", "client certificate to sign in with (PEM)", NULL, 0, 1},
    {"key", "FILE", "its private key (PEM, without a passphrase); default the same file", NULL, 0,
     1},
    {"cacert", "FILE", "certificates that the server's is checked with; default the system's", NULL,
     0, 1},
    {"json", NULL, "print the server's document as it is", NULL, 0, 1},
    {"no-progress", NULL, "no bar, only lines", NULL, 0, 1},
    {"help", NULL, "say what the verb does", NULL, 'h', 1},
    {"device", NULL, "sign in with a code on another device instead of a redirect", NULL, 0, 0},
    {"redirect-uri", "URL",
     "where Microsoft sends the browser back; default cosell-login beside the handler", NULL, 0, 0},
    {"events", "LIST", "events to register, separated by commas", NULL, 0, 0},
    {"overwrite", NULL, "replace a registration that goes elsewhere", NULL, 0, 0},
    {"state", "STATE", "only deals in this state", STATES, 0, 0},
    {"search", "TEXT", "only deals with these words, or with this id", NULL, 0, 0},
    {"cause", "KEY", "only those with this cause, as `problems` names it", NULL, 0, 0},
    {"max", "N", "at most so many; default 50", NULL, 0, 0},
    {"offline", NULL, "what is stored, without asking either side", NULL, 0, 0},
    {"follow", NULL, "go on until interrupted, or until it ends", NULL, 'f', 0},
    {"lines", "N", "how many lines of the journal; default 50, with `show` 10", NULL, 'n', 0},
    {"deal", "ID", "only of this deal, by any of its ids", NULL, 0, 0},
    {"all", NULL, "all of them", NULL, 0, 0},
    {"id", "ID", "this one, by any of its ids", NULL, 0, 0},
    {"since", "WHEN", "those changed since a day (2026-11-01) or for a time (3d, 12h)", NULL, 0, 0},
    {"dry-run", NULL, "say what would change and change nothing", NULL, 0, 0},
    {"why", "TEXT", "the reason, for the journal", NULL, 0, 0},
    {NULL, NULL, NULL, NULL, 0, 0}};

const ctl_verb_t ctl_verbs[] = {
    {"login", "", "device redirect-uri", "sign in to Partner Center; prints the address to open",
     "The account needs the role Referrals admin and multi-factor authentication. The token is "
     "kept sealed by the server and never shown.",
     ctl_run_login, 0, 0, 0},
    {"doctor", "", "", "check everything that must be so, and say how to mend what is not", NULL,
     ctl_run_doctor, 0, 0, 0},
    {"status", "", "", "what needs a person, what the server does, how its sites stand", NULL,
     ctl_run_status, 0, 0, 0},
    {"webhook show", "", "", "the registration at Partner Center", NULL, ctl_run_webhook, 0, 0, 0},
    {"webhook events", "", "", "the events that Partner Center offers", NULL, ctl_run_webhook, 0, 0,
     0},
    {"webhook register", "", "url events overwrite", "let Partner Center call this server",
     "Without --url the address is that of the host's only cosell-webhook. After the verb --url is "
     "the address to be called; the handler's own then stands before the verb, in COSELL_URL or in "
     "a file. What was registered is kept for `webhook restore`.",
     ctl_run_webhook, 0, 0, 0},
    {"webhook restore", "", "overwrite", "register again what `webhook register` replaced", NULL,
     ctl_run_webhook, 0, 0, 0},
    {"webhook test", "", "", "have Partner Center send a test event and wait for it", NULL,
     ctl_run_webhook, 0, 0, 0},
    {"deals", "", "state search cause max", "the deals, those that changed last first",
     "Where a DEAL is to be named, its number does, and any id of it: the referral's, the "
     "engagement's, the record's.",
     ctl_run_deals, 0, 0, 0},
    {"deals link", "DEAL RECORD", "", "this record of the CRM belongs to the deal", NULL,
     ctl_run_deal, 2, 2, 0},
    {"deals unlink", "DEAL", "", "the record no longer belongs to the deal; both live on", NULL,
     ctl_run_deal, 1, 1, 0},
    {"deals create", "DEAL", "", "make the record of a deal that waits for a person", NULL,
     ctl_run_deal, 1, 1, 0},
    {"deals ignore", "DEAL", "", "leave the deal alone", NULL, ctl_run_deal, 1, 1, 0},
    {"deals choose", "DEAL ROW", "", "of several rows found, this one is meant",
     "ROW is one of the ids that the deal's problem names.", ctl_run_deal, 2, 2, 0},
    {"deals resolve", "DEAL LINE SIDE", "",
     "whose value counts in a conflict: partner-center, crm or the CRM's name",
     "LINE is one of those that `show` says are held.", ctl_run_deal, 3, 3, 0},
    {"show", "ID", "offline lines",
     "one deal: both sides, what was last seen, the plan and why, its history",
     "ID is the deal's number, the referral's, the engagement's or the record's id. Both sides are "
     "read and nothing is written.",
     ctl_run_show, 1, 1, 0},
    {"journal", "", "follow lines deal", "what was done and refused, and why",
     "The last lines, oldest first; with -f it goes on as things happen.", ctl_run_journal, 0, 0,
     0},
    {"problems", "", "", "what stands in the way, by cause, and of how many deals",
     "KEY is what --cause of `deals`, `dead list`, `dead retry` and `dead drop` takes.",
     ctl_run_problems, 0, 0, 0},
    {"dead list", "", "cause max", "looks that were given up, and why",
     "What no repetition helps is given up until somebody has mended the cause. A new notice of "
     "the "
     "deal, a changed mapping or `dead retry` looks again.",
     ctl_run_dead_list, 0, 0, 0},
    {"dead retry", "[ID]", "cause all", "look again where it was given up", WHICH, ctl_run_dead, 0,
     1, 0},
    {"dead drop", "[ID]", "cause all",
     "forget looks that were given up; the next notice or sweep looks again", WHICH, ctl_run_dead,
     0, 1, 0},
    {"resync", "", "all id since dry-run", "look at deals again, and say what changed",
     "Exactly one of --all, --id and --since says which. With --dry-run it says what would change, "
     "line by line, and writes nothing. It goes on in the server when cosellctl ends.",
     ctl_run_resync, 0, 0, 0},
    {"pause", "", "why", "stop looks and polls of the site; notices are still accepted", NULL,
     ctl_run_brief, 0, 0, 0},
    {"resume", "", "", "let the site go on", NULL, ctl_run_brief, 0, 0, 0},
    {"look", "ID", "", "look at one deal now", NULL, ctl_run_brief, 1, 1, 0},
    {"release", "BRAKE", "", "let a bulk change go on that a brake has stopped",
     "`status` names it: mapping (a changed mapping), missing:CRM (records that are gone), resync, "
     "quarrel:DEAL.",
     ctl_run_brief, 1, 1, 0},
    {"jobs", "", "", "long work: what runs and what ended", NULL, ctl_run_jobs, 0, 0, 0},
    {"job", "JOB", "follow", "one job", NULL, ctl_run_job, 1, 1, 0},
    {"cancel", "JOB", "", "end a job; what it did stays done", NULL, ctl_run_brief, 1, 1, 0},
    {"map check", "FILE", "", "every mistake in a mapping file; asks no server", NULL,
     ctl_run_map_check, 1, 1, 1},
    {"completion", "bash", "", "print the completion for a shell", NULL, ctl_run_completion, 1, 1,
     1},
    {"version", "", "", "print the version", NULL, ctl_run_version, 0, 0, 1},
    {"help", "[VERB]", "", "print the verbs, or what one does", NULL, ctl_run_help, 0, 2, 1},
    {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0}};

const ctl_option_t *ctl_option_of(const char *name, apr_size_t len)
{
    const ctl_option_t *o = ctl_options;

    while (o->name && (strlen(o->name) != len || memcmp(o->name, name, len))) {
        o++;
    }
    return o->name ? o : NULL;
}

const ctl_verb_t *ctl_verb_of(const char *name)
{
    const ctl_verb_t *v = ctl_verbs;

    while (v->name && strcmp(v->name, name)) {
        v++;
    }
    return v->name ? v : NULL;
}

static int has_word(const char *words, const char *word)
{
    apr_size_t len = strlen(word);
    const char *at = words;

    while ((at = strstr(at, word)) != NULL) {
        if ((at == words || at[-1] == ' ') && (!at[len] || at[len] == ' ')) {
            return 1;
        }
        at += len;
    }
    return 0;
}

int ctl_verb_takes(const ctl_verb_t *verb, const char *option)
{
    return has_word(verb->options, option);
}

static const char *option_usage(const ctl_option_t *o, apr_pool_t *p)
{
    return apr_pstrcat(p, "--", o->name, o->value ? " " : "", o->value ? o->value : "", NULL);
}

const char *ctl_usage_of(const ctl_verb_t *verb, apr_pool_t *p)
{
    const char *out = apr_pstrcat(p, verb->name, *verb->args ? " " : "", verb->args, NULL);
    const ctl_option_t *o;

    for (o = ctl_options; o->name; o++) {
        if (ctl_verb_takes(verb, o->name)) {
            out = apr_pstrcat(p, out, " [", option_usage(o, p), "]", NULL);
        }
    }
    return out;
}
