/* help, version, completion: what the table of verbs says of itself. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

#ifndef CS_VERSION
#define CS_VERSION "0.1.0"
#endif

#define LEFT 30

int ctl_run_version(ctl_t *c)
{
    if (c->json) {
        ctl_out("{\"version\": \"%s\"}\n", CS_VERSION);
    }
    else {
        ctl_out("cosellctl %s\n", CS_VERSION);
    }
    return CTL_DONE;
}

/* ---- help ---- */

static void print_entry(const ctl_t *c, const char *left, const char *text)
{
    apr_array_header_t *lines =
        ctl_wrap(text, c->width > LEFT + 20 ? c->width - LEFT - 4 : 70, c->p);
    int i;

    if (ctl_width(left) > LEFT) {
        ctl_out("  %s\n", left);
        left = "";
    }
    for (i = 0; i < lines->nelts; i++) {
        ctl_out("  %s  %s\n", ctl_pad(i ? "" : left, LEFT, c->p),
                APR_ARRAY_IDX(lines, i, const char *));
    }
}

static void print_option(const ctl_t *c, const ctl_option_t *o)
{
    char letter[] = {'-', o->letter, ',', ' ', '\0'};
    const char *left = apr_pstrcat(c->p, o->letter ? letter : "", "--", o->name,
                                   o->value ? " " : "", o->value ? o->value : "", NULL);

    print_entry(c, left, o->words ? apr_pstrcat(c->p, o->text, ": ", o->words, NULL) : o->text);
}

static void print_text(const ctl_t *c, const char *text)
{
    apr_array_header_t *lines = ctl_wrap(text, c->width > 40 ? c->width - 2 : 78, c->p);
    int i;

    for (i = 0; i < lines->nelts; i++) {
        ctl_out("%s\n", APR_ARRAY_IDX(lines, i, const char *));
    }
}

static void help_verb(const ctl_t *c, const ctl_verb_t *verb)
{
    const ctl_option_t *o;
    int any = 0;

    ctl_out("usage: cosellctl %s\n\n", ctl_usage_of(verb, c->p));
    print_text(c, apr_pstrcat(c->p, verb->text, ".", verb->more ? " " : "",
                              verb->more ? verb->more : "", NULL));
    for (o = ctl_options; o->name; o++) {
        if (ctl_verb_takes(verb, o->name)) {
            ctl_out("%s", any++ ? "" : "\n");
            if (!strcmp(o->name, "url")) {
                print_entry(c, "--url URL", "address that Partner Center is to call");
            }
            else {
                print_option(c, o);
            }
        }
    }
}

static void help_all(const ctl_t *c)
{
    const ctl_option_t *o;
    const ctl_verb_t *v;

    ctl_out("usage: cosellctl [options] VERB [arguments]\n\nVerbs\n");
    for (v = ctl_verbs; v->name; v++) {
        print_entry(c, apr_pstrcat(c->p, v->name, *v->args ? " " : "", v->args, NULL), v->text);
    }
    ctl_out("\nOptions of every verb\n");
    for (o = ctl_options; o->name; o++) {
        if (o->global) {
            print_option(c, o);
        }
    }
    ctl_out("\nThe address may also be in COSELL_URL, or with url=, site=, netrc=, cert=, key= and "
            "cacert=\nin ~/.config/cosell/ctl.conf or /etc/cosell/ctl.conf.\n"
            "Exit codes: 0 done, 1 failed or found something, 2 usage, 3 refused, 4 not reachable, "
            "5 not found.\n");
}

/* Every verb of the group that the word begins. */
static int help_group(const ctl_t *c, const char *word)
{
    apr_size_t len = strlen(word);
    const ctl_verb_t *v;
    int n = 0;

    for (v = ctl_verbs; v->name; v++) {
        if (!strncmp(v->name, word, len) && (!v->name[len] || v->name[len] == ' ')) {
            ctl_out("%s", n++ ? "\n" : "");
            help_verb(c, v);
        }
    }
    return n;
}

int ctl_run_help(ctl_t *c)
{
    const char *word = ctl_arg(c, 0), *second = ctl_arg(c, 1);
    const ctl_verb_t *verb;

    if (strcmp(c->verb->name, "help")) {
        help_verb(c, c->verb);
        return CTL_DONE;
    }
    if (!word) {
        help_all(c);
        return CTL_DONE;
    }
    verb = second ? ctl_verb_of(apr_pstrcat(c->p, word, " ", second, NULL)) : NULL;
    if (verb) {
        help_verb(c, verb);
        return CTL_DONE;
    }
    if (second || !help_group(c, word)) {
        ctl_error("\"%s%s%s\" is no verb; cosellctl help lists them", ctl_clean(word, c->p),
                  second ? " " : "", second ? ctl_clean(second, c->p) : "");
        return CTL_USAGE;
    }
    return CTL_DONE;
}
