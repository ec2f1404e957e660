/* The completion for bash, made of the table of verbs: it knows no verb by itself. */
#include "ctl.h"

#include <apr_strings.h>
#include <string.h>

/* "show events register" of "webhook"; "" when the word is a verb by itself. */
static const char *seconds_of(const char *first, apr_size_t len, apr_pool_t *p)
{
    const char *out = "";
    const ctl_verb_t *v;

    for (v = ctl_verbs; v->name; v++) {
        if (!strncmp(v->name, first, len) && v->name[len] == ' ') {
            out = apr_pstrcat(p, out, *out ? " " : "", v->name + len + 1, NULL);
        }
    }
    return out;
}

/* First words, each once. */
static const char *first_words(apr_pool_t *p)
{
    const char *out = "", *last = "";
    const ctl_verb_t *v;

    for (v = ctl_verbs; v->name; v++) {
        const char *word = apr_pstrmemdup(p, v->name, strcspn(v->name, " "));

        if (strcmp(word, last)) {
            out = apr_pstrcat(p, out, *out ? " " : "", word, NULL);
        }
        last = word;
    }
    return out;
}

static const char *dashed(const char *names, apr_pool_t *p)
{
    const char *out = "";
    char *last = NULL, *name, *all = apr_pstrdup(p, names);

    for (name = apr_strtok(all, " ", &last); name; name = apr_strtok(NULL, " ", &last)) {
        out = apr_pstrcat(p, out, " --", name, NULL);
    }
    return out;
}

static const char *global_options(apr_pool_t *p)
{
    const ctl_option_t *o;
    const char *out = "";

    for (o = ctl_options; o->name; o++) {
        if (o->global) {
            out = apr_pstrcat(p, out, *out ? " --" : "--", o->name, NULL);
        }
    }
    return out;
}

static void print_values(apr_pool_t *p)
{
    const char *files = "", *others = "";
    const ctl_option_t *o;

    for (o = ctl_options; o->name; o++) {
        if (!o->value) {
            continue;
        }
        if (!strcmp(o->value, "FILE")) {
            files = apr_pstrcat(p, files, *files ? "|" : "", "--", o->name, NULL);
        }
        else if (o->words) {
            ctl_out("        --%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n",
                    o->name, o->words);
        }
        else {
            others = apr_pstrcat(p, others, *others ? "|" : "", "--", o->name, NULL);
        }
    }
    ctl_out("        %s) COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o filenames 2>/dev/null; "
            "return ;;\n",
            files);
    ctl_out("        %s) return ;;\n", others);
}

/* Options that take a value: the word behind them is no verb. */
static const char *with_value(apr_pool_t *p)
{
    const ctl_option_t *o;
    const char *out = "-n";

    for (o = ctl_options; o->name; o++) {
        if (o->value) {
            out = apr_pstrcat(p, out, "|--", o->name, NULL);
        }
    }
    return out;
}

static void print_verbs(apr_pool_t *p)
{
    const ctl_verb_t *v;

    for (v = ctl_verbs; v->name; v++) {
        const char *more = strchr(v->name, ' ') ? "" : seconds_of(v->name, strlen(v->name), p);

        ctl_out("        '%s') options='%s' words='%s'", v->name,
                *v->options ? dashed(v->options, p) + 1 : "",
                !strcmp(v->name, "completion") ? "bash"
                : !strcmp(v->name, "help")     ? first_words(p)
                                               : more);
        ctl_out("%s ;;\n", !strcmp(v->args, "FILE") ? " files=1" : "");
    }
}

int ctl_run_completion(ctl_t *c)
{
    const ctl_verb_t *v;
    const char *done = " ";

    if (strcmp(ctl_arg(c, 0), "bash")) {
        ctl_error("completion: \"%s\" is not known; allowed: bash", ctl_clean(ctl_arg(c, 0), c->p));
        return CTL_USAGE;
    }
    ctl_out("# bash completion for cosellctl; made by `cosellctl completion bash`\n"
            "_cosellctl()\n{\n"
            "    local cur prev verb='' first='' word skip='' options='' words='' files=''\n"
            "    local i\n"
            "    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
            "    COMPREPLY=()\n"
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        word=${COMP_WORDS[i]}\n"
            "        if [ -n \"$skip\" ]; then skip=''; continue; fi\n"
            "        case $word in\n"
            "        %s) skip=1 ;;\n"
            "        -*) ;;\n"
            "        *) if [ -z \"$first\" ]; then first=$word verb=$word\n"
            "           elif [ \"$verb\" = \"$first\" ]; then verb=\"$first $word\"; fi ;;\n"
            "        esac\n"
            "    done\n"
            "    case $prev in\n",
            with_value(c->p));
    print_values(c->p);
    ctl_out("    esac\n    case $verb in\n");
    ctl_out("        '') words='%s' ;;\n", first_words(c->p));
    print_verbs(c->p);
    for (v = ctl_verbs; v->name; v++) {
        apr_size_t len = strcspn(v->name, " ");
        const char *mark = apr_pstrcat(c->p, " ", apr_pstrmemdup(c->p, v->name, len), " ", NULL);

        if (v->name[len] && !ctl_verb_of(apr_pstrmemdup(c->p, v->name, len)) &&
            !strstr(done, mark)) {
            ctl_out("        '%.*s') words='%s' ;;\n", (int)len, v->name,
                    seconds_of(v->name, len, c->p));
            done = apr_pstrcat(c->p, done, mark + 1, NULL);
        }
    }
    ctl_out("    esac\n"
            "    case $cur in\n"
            "    -*) COMPREPLY=($(compgen -W \"$options %s\" -- \"$cur\")) ;;\n"
            "    *) if [ -n \"$files\" ]; then COMPREPLY=($(compgen -f -- \"$cur\")); compopt -o "
            "filenames 2>/dev/null\n"
            "       else COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); fi ;;\n"
            "    esac\n}\ncomplete -F _cosellctl cosellctl\n",
            global_options(c->p));
    return CTL_DONE;
}
