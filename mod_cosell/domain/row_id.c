/* domain/row_id.c: what an id of a row looks like. (deals 1; crm-apis.md B15) */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "../base/crypto.h"
#include "record.h"

#define SHORT_LEN 15
#define LONG_LEN 18

static const char *guid_of(const char *text, size_t len, apr_pool_t *p)
{
    if (len == 38 && text[0] == '{' && text[37] == '}') {
        text++;
        len = 36;
    }
    return cs_uuid_lower(text, len, p);
}

/* Tables that come with the CRM have prefixes that begin with 0, a customer's own with a and a
 * digit; any other word of 15 letters is a word. */
static int has_prefix(const char *text)
{
    return text[0] == '0' || (text[0] == 'a' && apr_isdigit(text[1]));
}

/* 15 digits are the number of an order or a customer, filled up with noughts, far sooner than a
 * short id without a letter; such an id is one when its tail says so. */
static int is_number(const char *text)
{
    return strspn(text, "0123456789") == SHORT_LEN && !text[SHORT_LEN];
}

/* Five characters at a time: which of them are capitals, the first one in the lowest bit. */
static void put_case(char out[4], const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    int i, k;

    for (i = 0; i < 3; i++) {
        int bits = 0;

        for (k = 0; k < 5; k++) {
            bits |= (text[5 * i + k] >= 'A' && text[5 * i + k] <= 'Z') << k;
        }
        out[i] = digits[bits];
    }
    out[3] = '\0';
}

static const char *long_of(const char *text, size_t len, apr_pool_t *p)
{
    char tail[4];
    size_t i;

    if (len != SHORT_LEN && len != LONG_LEN) {
        return NULL;
    }
    for (i = 0; i < len; i++) {
        if (!apr_isalnum(text[i])) {
            return NULL;
        }
    }
    if (!has_prefix(text) || is_number(text)) {
        return NULL;
    }
    put_case(tail, text);
    if (len == LONG_LEN && strcasecmp(text + SHORT_LEN, tail)) {
        return NULL;
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, text, SHORT_LEN), tail, NULL);
}

const char *cs_row_id(cs_id_form_e form, const char *text, apr_pool_t *p)
{
    size_t len = text ? strlen(text) : 0;

    return form == CS_ID_18 ? long_of(text, len, p) : guid_of(text, len, p);
}

/* Those whose case was lost on the way are no ids any more, and equal nothing. */
int cs_row_id_same(cs_id_form_e form, const char *a, const char *b)
{
    size_t m = a ? strlen(a) : 0, n = b ? strlen(b) : 0;

    if (form != CS_ID_18) {
        return m == n && m && !strcasecmp(a, b);
    }
    return (m == SHORT_LEN || m == LONG_LEN) && (n == SHORT_LEN || n == LONG_LEN) &&
           !strncmp(a, b, SHORT_LEN);
}
