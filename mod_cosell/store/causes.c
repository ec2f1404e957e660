/* store/causes.c: what dead looks have in common. */
#include <string.h>

#include <apr_strings.h>

#include "../base/crypto.h"
#include "store_impl.h"

#define ELLIPSIS "\xe2\x80\xa6"
/* A quotation of so many words is a sentence, not a name. */
#define SENTENCE 4

const char *cs_store_cut(const char *text, apr_size_t len, apr_pool_t *p)
{
    apr_size_t n = strlen(text);

    if (n <= len) {
        return text;
    }
    for (n = len; n && ((unsigned char)text[n] & 0xC0) == 0x80; n--) {
    }
    return apr_pstrmemdup(p, text, n);
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int has_digit(const char *s, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        if (s[i] >= '0' && s[i] <= '9') {
            return 1;
        }
    }
    return 0;
}

static int words_in(const char *s, apr_size_t len)
{
    int n = 0;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        n += !is_blank(s[i]) && (i + 1 == len || is_blank(s[i + 1]));
    }
    return n;
}

/* Length of the quotation that begins here with its marks; 0 = none does. */
static apr_size_t quoted(const char *s)
{
    const char *end = *s == '"' ? strchr(s + 1, '"') : NULL;

    return end ? (apr_size_t)(end - s) + 1 : 0;
}

/* Signs that may close a word and say nothing about it. */
static apr_size_t without_tail(const char *s, apr_size_t len)
{
    while (len && strchr(".,;:!?)]}'", s[len - 1])) {
        len--;
    }
    return len;
}

typedef struct skeleton_t {
    char text[CS_CAUSE_TEXT_LEN];
    apr_size_t len;
    const char *close; /* where the sentence that was quoted ends */
} skeleton_t;

static void append(skeleton_t *sk, const char *s, apr_size_t len)
{
    if (sk->len + len < sizeof(sk->text)) {
        memcpy(sk->text + sk->len, s, len);
        sk->len += len;
    }
}

static void append_gap(skeleton_t *sk)
{
    static const char gap[] = ELLIPSIS;
    apr_size_t n = sizeof(gap) - 1;

    if (sk->len >= n + 1 && !memcmp(sk->text + sk->len - n - 1, ELLIPSIS " ", n + 1)) {
        sk->len--; /* one gap is enough */
        return;
    }
    append(sk, gap, n);
}

/* What begins here goes in, or a gap in its place; its length in the text. */
static apr_size_t take(skeleton_t *sk, const char *s)
{
    apr_size_t len = s == sk->close ? 0 : quoted(s), core;

    if (s == sk->close || (len && words_in(s, len) >= SENTENCE)) {
        sk->close = s == sk->close ? NULL : s + len - 1;
        append(sk, s, 1);
        return 1;
    }
    if (len) {
        append_gap(sk);
        return len;
    }
    for (len = 0; s[len] && !is_blank(s[len]) && s + len != sk->close && (!len || !quoted(s + len));
         len++) {
    }
    core = without_tail(s, len);
    if (has_digit(s, core)) {
        append_gap(sk);
        append(sk, s + core, len - core);
        return len;
    }
    append(sk, s, len);
    return len;
}

static void describe(skeleton_t *sk, const char *detail)
{
    const char *s = detail;

    for (sk->len = 0; *s && sk->len < sizeof(sk->text) - 8;) {
        if (is_blank(*s)) {
            if (sk->len && sk->text[sk->len - 1] != ' ') {
                append(sk, " ", 1);
            }
            s++;
            continue;
        }
        s += take(sk, s);
    }
    while (sk->len && sk->text[sk->len - 1] == ' ') {
        sk->len--;
    }
    sk->text[sk->len] = '\0';
}

void cs_store_cause_of_dead(const cs_work_t *work, const char **pcause, const char **ptext,
                            apr_pool_t *p)
{
    const char *problem = work->problem && *work->problem ? work->problem : "unknown";
    skeleton_t sk = {"", 0, NULL};

    problem = cs_store_cut(problem, CS_CAUSE_LEN - 20, p);
    describe(&sk, work->detail ? work->detail : "");
    *pcause = apr_pstrcat(p, CS_CAUSE_DEAD, problem, NULL);
    *ptext = problem;
    if (sk.len) {
        *pcause = apr_psprintf(p, "%s %.8s", *pcause, cs_sha256_hex(sk.text, sk.len, p));
        *ptext = apr_pstrdup(p, sk.text);
    }
}
