/* The command line against the table of verbs.c. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

/* Where an option stood: how many words were before it. */
typedef struct given_t {
    const ctl_option_t *option;
    const char *value;
    int words;
} given_t;

static const char *option_names(const ctl_verb_t *verb, apr_pool_t *p)
{
    const ctl_option_t *o;
    const char *out = "";

    for (o = ctl_options; o->name; o++) {
        if (o->global || (verb && ctl_verb_takes(verb, o->name))) {
            out = apr_pstrcat(p, out, *out ? ", " : "", "--", o->name, NULL);
        }
    }
    return out;
}

static const char *verb_names(apr_pool_t *p)
{
    const char *out = "";
    const ctl_verb_t *v;

    for (v = ctl_verbs; v->name; v++) {
        out = apr_pstrcat(p, out, *out ? ", " : "", v->name, NULL);
    }
    return out;
}

/* Everybody on the machine may read the arguments of a process. */
static int is_credential(const char *text)
{
    static const char *const names[] = {"-u", "--user", "--password", "--token", "--secret"};
    apr_size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        apr_size_t len = strlen(names[i]);

        if (!strncmp(text, names[i], len) &&
            (!text[len] || text[len] == '=' || (i == 0 && text[1] != '-'))) {
            return 1;
        }
    }
    return 0;
}

static const ctl_option_t *find_option(const char *text, const char **pvalue)
{
    const ctl_option_t *o = ctl_options;
    const char *equals = strchr(text, '=');

    *pvalue = NULL;
    if (text[1] == '-') {
        o = ctl_option_of(text + 2, equals ? (apr_size_t)(equals - text - 2) : strlen(text + 2));
        *pvalue = equals ? equals + 1 : NULL;
        return o;
    }
    while (o->name && (!o->letter || o->letter != text[1])) {
        o++;
    }
    if (o->name && text[2]) {
        *pvalue = text + 2;
    }
    return o->name ? o : NULL;
}

/* One option; *pat moves over its value. */
static int take_option(const char *const *argv, int argc, int *pat, given_t *given, apr_pool_t *p)
{
    const char *text = argv[*pat], *value;
    const ctl_option_t *o = find_option(text, &value);

    if (!o && is_credential(text)) {
        ctl_error("credentials do not belong on the command line, where everybody on this machine "
                  "can read them; put them into a netrc file (--netrc FILE), or sign in with a "
                  "client certificate (--cert FILE)");
        return CTL_USAGE;
    }
    if (!o) {
        ctl_error("there is no option %s; options of every verb: %s",
                  apr_pstrndup(p, text, strcspn(text, "=")), option_names(NULL, p));
        return CTL_USAGE;
    }
    if (!o->value && value) {
        ctl_error("--%s takes no value", o->name);
        return CTL_USAGE;
    }
    if (o->value && !value) {
        if (*pat + 1 >= argc) {
            ctl_error("--%s needs a value: --%s %s", o->name, o->name, o->value);
            return CTL_USAGE;
        }
        value = argv[++*pat];
    }
    given->option = o;
    given->value = o->value ? value : "";
    return CTL_DONE;
}

static int split(ctl_t *c, int argc, const char *const *argv, apr_array_header_t *given)
{
    int i, rc, ended = 0;

    for (i = 1; i < argc; i++) {
        given_t one = {NULL, NULL, c->args->nelts};

        if (!ended && !strcmp(argv[i], "--")) {
            ended = 1;
        }
        else if (ended || argv[i][0] != '-' || !argv[i][1]) {
            APR_ARRAY_PUSH(c->args, const char *) = argv[i];
        }
        else {
            rc = take_option(argv, argc, &i, &one, c->p);
            if (rc) {
                return rc;
            }
            APR_ARRAY_PUSH(given, given_t) = one;
        }
    }
    return CTL_DONE;
}

/* The verb is the first word, or the first two; they leave the arguments. Returns how many. */
static int find_verb(ctl_t *c)
{
    const char *first = c->args->nelts ? ctl_arg(c, 0) : "help";
    const ctl_verb_t *verb = NULL;
    int words = 2, i;

    if (c->args->nelts > 1) {
        verb = ctl_verb_of(apr_pstrcat(c->p, first, " ", ctl_arg(c, 1), NULL));
    }
    if (!verb) {
        verb = ctl_verb_of(first);
        words = 1;
    }
    c->verb = verb;
    for (i = 0; verb && i < words && c->args->nelts; i++) {
        memmove(c->args->elts, c->args->elts + c->args->elt_size,
                (apr_size_t)(--c->args->nelts * c->args->elt_size));
    }
    return verb ? words : 0;
}

/* The verbs that begin with the same word: "dead list, dead retry". */
static const char *relatives(const char *first, apr_pool_t *p)
{
    apr_size_t len = strlen(first);
    const char *out = NULL;
    const ctl_verb_t *v;

    for (v = ctl_verbs; v->name; v++) {
        if (!strncmp(v->name, first, len) && v->name[len] == ' ') {
            out = out ? apr_pstrcat(p, out, ", ", v->name, NULL) : v->name;
        }
    }
    return out;
}

static int unknown_verb(ctl_t *c)
{
    const char *more = relatives(ctl_arg(c, 0), c->p);

    if (more) {
        ctl_error("\"%s%s%s\" is no verb; there are: %s", ctl_clean(ctl_arg(c, 0), c->p),
                  c->args->nelts > 1 ? " " : "",
                  c->args->nelts > 1 ? ctl_clean(ctl_arg(c, 1), c->p) : "", more);
    }
    else {
        ctl_error("\"%s\" is no verb of this version; there are: %s",
                  ctl_clean(ctl_arg(c, 0), c->p), verb_names(c->p));
    }
    return CTL_USAGE;
}

static void keep(ctl_t *c, const char *name, const char *value)
{
    const char *old = apr_table_get(c->options, name);

    if (old && !strcmp(name, "events")) {
        value = apr_pstrcat(c->p, old, ",", value, NULL);
    }
    apr_table_setn(c->options, name, value);
}

/* An address after a verb that has one of its own is the verb's, any other the client's. */
static int sort_options(ctl_t *c, const apr_array_header_t *given, int words)
{
    int i;

    for (i = 0; i < given->nelts; i++) {
        const given_t *one = &APR_ARRAY_IDX(given, i, given_t);
        int own = ctl_verb_takes(c->verb, one->option->name);

        if (!strcmp(one->option->name, "url")) {
            keep(c, own && one->words >= words ? "url" : "client", one->value);
        }
        else if (own || one->option->global) {
            keep(c, one->option->name, one->value);
        }
        else {
            ctl_error("%s: there is no option --%s; allowed: %s", c->verb->name, one->option->name,
                      option_names(c->verb, c->p));
            return CTL_USAGE;
        }
    }
    return CTL_DONE;
}

static int check_args(ctl_t *c)
{
    int n = c->args->nelts;

    if (ctl_opt(c, "help") || (n >= c->verb->min && n <= c->verb->max)) {
        return CTL_DONE;
    }
    if (n > 0 && c->verb->max == 0 && relatives(c->verb->name, c->p)) {
        ctl_error("\"%s %s\" is no verb; there are: %s, %s", c->verb->name,
                  ctl_clean(ctl_arg(c, 0), c->p), c->verb->name, relatives(c->verb->name, c->p));
    }
    else {
        ctl_error("usage: cosellctl %s", ctl_usage_of(c->verb, c->p));
    }
    return CTL_USAGE;
}

int ctl_parse(ctl_t *c, int argc, const char *const *argv)
{
    apr_array_header_t *given = apr_array_make(c->p, 8, sizeof(given_t));
    int rc, words;

    c->options = apr_table_make(c->p, 8);
    c->args = apr_array_make(c->p, 8, sizeof(const char *));
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        c->verb = ctl_verb_of("version");
        return CTL_DONE;
    }
    rc = split(c, argc, argv, given);
    if (rc) {
        return rc;
    }
    words = find_verb(c);
    if (!words) {
        return unknown_verb(c);
    }
    rc = sort_options(c, given, words);
    return rc ? rc : check_args(c);
}

const char *ctl_opt(const ctl_t *c, const char *name)
{
    return apr_table_get(c->options, name);
}

const char *ctl_arg(const ctl_t *c, int at)
{
    return at < c->args->nelts ? APR_ARRAY_IDX(c->args, at, const char *) : NULL;
}
