#include "decimal.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "result.h"

#define SCALE_MAX 4
/* Integer digits, fraction digits, and one more to round by. */
#define KEPT_MAX (CS_DECIMAL_DIGITS + SCALE_MAX + 1)
#define EXPONENT_MAX 100000

/* digits[0] is the first that is not 0; value = 0.d0d1d2... * 10^point. More digits than KEPT_MAX
 * cannot change the result: they only follow one that is rounded away. */
typedef struct number_t {
    int negative;
    int n;
    long point;
    char digits[KEPT_MAX];
} number_t;

/* Reads digits; after the point they move it left while nothing but 0 was seen. 1 if there was any.
 */
static long take_digits(const char **ps, number_t *num, int fraction)
{
    const char *s = *ps;

    for (; apr_isdigit(*s); s++) {
        if (num->n == 0 && *s == '0') {
            num->point -= fraction;
            continue;
        }
        if (num->n < KEPT_MAX) {
            num->digits[num->n++] = (char)(*s - '0');
        }
        num->point += !fraction;
    }
    fraction = s > *ps;
    *ps = s;
    return fraction;
}

static int take_exponent(const char **ps, number_t *num)
{
    const char *s = *ps + 1;
    int negative = *s == '-';
    long e = 0;

    if (*s == '-' || *s == '+') {
        s++;
    }
    if (!apr_isdigit(*s)) {
        return 0;
    }
    for (; apr_isdigit(*s); s++) {
        e = e >= EXPONENT_MAX ? e : e * 10 + (*s - '0');
    }
    num->point += negative ? -e : e;
    *ps = s;
    return 1;
}

static int read_number(number_t *num, const char *s)
{
    long seen;

    memset(num, 0, sizeof(*num));
    num->negative = *s == '-';
    if (*s == '-' || *s == '+') {
        s++;
    }
    seen = take_digits(&s, num, 0);
    if (*s == '.') {
        s++;
        seen += take_digits(&s, num, 1);
    }
    if (!seen || ((*s == 'e' || *s == 'E') && !take_exponent(&s, num))) {
        return 0;
    }
    return *s == '\0';
}

/* Half away from zero: keeps point + scale digits and carries into them. */
static void cut_at(number_t *num, long keep)
{
    int up = num->digits[keep] >= 5;
    int i;

    num->n = (int)keep;
    for (i = num->n - 1; up && i >= 0; i--) {
        num->digits[i] = (char)((num->digits[i] + 1) % 10);
        up = num->digits[i] == 0;
    }
    if (up) {
        /* All nines, or nothing kept: one unit of the next place. */
        memmove(num->digits + 1, num->digits, (size_t)num->n);
        num->digits[0] = 1;
        num->n++;
        num->point++;
    }
}

static void round_to(number_t *num, int scale)
{
    long keep = num->point + scale;

    if (keep < 0) {
        num->n = 0;
    }
    else if (keep < num->n) {
        cut_at(num, keep);
    }
    while (num->n > 0 && num->digits[num->n - 1] == 0) {
        num->n--;
    }
}

static char digit_at(const number_t *num, long place)
{
    return place >= 0 && place < num->n ? (char)('0' + num->digits[place]) : '0';
}

static const char *print_number(const number_t *num, int scale, apr_pool_t *p)
{
    long whole = num->n && num->point > 0 ? num->point : 0;
    char *out = apr_palloc(p, (apr_size_t)whole + SCALE_MAX + 4);
    char *to = out;
    long i;

    if (num->negative && num->n) {
        *to++ = '-';
    }
    if (whole == 0) {
        *to++ = '0';
    }
    for (i = 0; i < whole; i++) {
        *to++ = digit_at(num, i);
    }
    if (scale > 0) {
        *to++ = '.';
    }
    for (i = 0; i < scale; i++) {
        *to++ = digit_at(num, num->point + i);
    }
    *to = '\0';
    return out;
}

apr_status_t cs_decimal_from_text(const char **pout, const char *text, int scale, apr_pool_t *p)
{
    number_t num;

    *pout = NULL;
    if (!text || scale < 0 || scale > SCALE_MAX || !read_number(&num, text)) {
        return APR_EINVAL;
    }
    if (num.n && num.point > CS_DECIMAL_DIGITS) {
        return CS_ELIMIT;
    }
    round_to(&num, scale);
    if (num.n && (num.point > CS_DECIMAL_DIGITS || num.n > CS_DECIMAL_DIGITS)) {
        return CS_ELIMIT;
    }
    *pout = print_number(&num, scale, p);
    return APR_SUCCESS;
}

apr_status_t cs_decimal_from_json(const char **pout, const json_t *json, int scale, apr_pool_t *p)
{
    char buf[64];
    size_t len;

    *pout = NULL;
    if (json_is_string(json)) {
        if (strlen(json_string_value(json)) != json_string_length(json)) {
            return APR_EINVAL;
        }
        return cs_decimal_from_text(pout, json_string_value(json), scale, p);
    }
    if (!json_is_number(json)) {
        return APR_EINVAL;
    }
    /* jansson rather than printf: its decimal point does not follow the locale. */
    len = json_dumpb(json, buf, sizeof(buf) - 1,
                     JSON_ENCODE_ANY | JSON_REAL_PRECISION(CS_DECIMAL_DIGITS));
    if (len == 0 || len >= sizeof(buf)) {
        return APR_EINVAL;
    }
    buf[len] = '\0';
    return cs_decimal_from_text(pout, buf, scale, p);
}

json_t *cs_decimal_to_json(const char *decimal)
{
    apr_size_t len = decimal ? strlen(decimal) : 0;
    const char *dot = decimal ? strchr(decimal, '.') : NULL;

    if (dot && strspn(dot + 1, "0") == strlen(dot + 1)) {
        len = (apr_size_t)(dot - decimal);
    }
    if (len == 0 || strspn(decimal, "-.0123456789") != strlen(decimal)) {
        return NULL;
    }
    return json_loadb(decimal, len, JSON_DECODE_ANY, NULL);
}

int cs_decimal_is_plain(const char *text)
{
    apr_size_t whole, fraction = 0, len = text ? strlen(text) : 0;
    const char *at = text;

    if (len == 0 || len > 40) {
        return 0;
    }
    at += *at == '-';
    whole = strspn(at, "0123456789");
    if (at[0] == '0' && whole > 1) {
        return 0;
    }
    at += whole;
    if (*at == '.') {
        fraction = strspn(at + 1, "0123456789");
        at += 1 + fraction;
        whole = fraction ? whole : 0;
    }
    return whole > 0 && !*at;
}

int cs_decimal_is_zero(const char *decimal)
{
    return !decimal || decimal[strspn(decimal, "-0.")] == '\0';
}

int cs_currency_scale(const char *iso)
{
    static const char none[] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV "
                               "XAF XOF XPF ";
    static const char three[] = "BHD IQD JOD KWD LYD OMR TND ";
    static const char four[] = "CLF UYW ";
    static const struct {
        const char *list;
        int scale;
    } tables[] = {{none, 0}, {three, 3}, {four, 4}};
    apr_size_t i;

    if (!iso || strlen(iso) != 3) {
        return 2;
    }
    for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        const char *s;

        for (s = tables[i].list; *s; s += 4) {
            if (!strncasecmp(s, iso, 3)) {
                return tables[i].scale;
            }
        }
    }
    return 2;
}
