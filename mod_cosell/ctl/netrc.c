/* The file in which users and passwords of machines are, as ftp and curl read it. */
#include "ctl.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

typedef struct scan_t {
    const char *at;
    const char *word;  /* NULL = the end */
    int line, started; /* of the text, of the word */
    int fresh;         /* nothing but blanks in this line yet */
    apr_pool_t *p;
} scan_t;

/* A comment is what begins a line with '#': a password may begin so, too. */
static void skip_blanks(scan_t *s)
{
    for (;; s->at++) {
        if (*s->at == '#' && s->fresh) {
            s->at += strcspn(s->at, "\n");
        }
        if (*s->at == '\n') {
            s->line++;
            s->fresh = 1;
        }
        else if (!*s->at || !apr_isspace(*s->at)) {
            s->fresh = 0;
            return;
        }
    }
}

/* "a \"quoted\" word" or any other. 0 = a quote is not closed. */
static int next(scan_t *s)
{
    char *out;

    skip_blanks(s);
    s->word = NULL;
    s->started = s->line;
    if (!*s->at) {
        return 1;
    }
    out = apr_palloc(s->p, strlen(s->at) + 1);
    s->word = out;
    if (*s->at != '"') {
        while (*s->at && !apr_isspace(*s->at)) {
            *out++ = *s->at++;
        }
        *out = '\0';
        return 1;
    }
    for (s->at++; *s->at && *s->at != '"' && *s->at != '\n'; s->at++) {
        s->at += *s->at == '\\' && s->at[1];
        *out++ = *s->at;
    }
    *out = '\0';
    return *s->at == '"' ? (s->at++, 1) : 0;
}

/* A macro ends with an empty line. */
static void skip_macro(scan_t *s)
{
    const char *end = strstr(s->at, "\n\n");

    for (; *s->at && s->at != end; s->at++) {
        s->line += *s->at == '\n';
    }
}

static const char *wrong(const scan_t *s, const char *why)
{
    return apr_psprintf(s->p, "line %d: %s", s->started, why);
}

/* The value of a word of a machine; *pvalue. */
static const char *value_of(scan_t *s, const char *name, const char **pvalue)
{
    if (!next(s)) {
        return wrong(s, "a quote is not closed");
    }
    if (!s->word) {
        return wrong(s, apr_pstrcat(s->p, "\"", name, "\" has no value", NULL));
    }
    *pvalue = s->word;
    return NULL;
}

const char *ctl_netrc_find(const char *text, const char *host, const char **plogin,
                           const char **ppassword, apr_pool_t *p)
{
    scan_t s = {text, NULL, 1, 1, 1, p};
    const char *why = NULL, *value = NULL;
    int ours = 0, found = 0, good = 1;

    *plogin = *ppassword = NULL;
    while (!why && (good = next(&s)) && s.word) {
        if (!strcmp(s.word, "machine")) {
            if (found) {
                break;
            }
            why = value_of(&s, "machine", &value);
            ours = found = !why && !strcasecmp(value, host);
        }
        else if (!strcmp(s.word, "default")) {
            if (found) {
                break;
            }
            ours = found = 1;
        }
        else if (!strcmp(s.word, "login") || !strcmp(s.word, "password") ||
                 !strcmp(s.word, "account")) {
            const char *name = s.word;

            why = value_of(&s, name, &value);
            if (ours && !why && *name != 'a') {
                *(*name == 'l' ? plogin : ppassword) = value;
            }
        }
        else if (!strcmp(s.word, "macdef")) {
            skip_macro(&s);
        }
        else {
            why = wrong(&s, "allowed are machine, default, login, password, account and macdef");
        }
    }
    if (!good) {
        why = wrong(&s, "a quote is not closed");
    }
    if (why || !*plogin || !*ppassword) {
        *plogin = *ppassword = NULL;
    }
    return why;
}
