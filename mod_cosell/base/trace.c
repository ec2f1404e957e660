#include "trace.h"

#include <apr_strings.h>
#include <string.h>

#include "crypto.h"

#define SPAN_LEN 16
#define SPAN_AT 36
#define FLAGS_AT 53
/* A later version may say more; nobody needs so much. */
#define MOST 512

static int is_hex(const char *s, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len && s[i] && strchr("0123456789abcdef", s[i]); i++)
        ;
    return i == len;
}

static int is_zero(const char *s, apr_size_t len)
{
    return strspn(s, "0") >= len;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Later versions have these fields in these places, and perhaps more after another dash. */
static int has_known_length(const char *s, apr_size_t len)
{
    return len == CS_TRACE_LEN || (memcmp(s, "00", 2) && len < MOST && s[CS_TRACE_LEN] == '-');
}

const char *cs_trace_parse(const char *header, apr_pool_t *p)
{
    const char *s = header ? header : "";
    apr_size_t len = strlen(s);

    if (len < CS_TRACE_LEN || s[2] != '-' || s[SPAN_AT - 1] != '-' || s[FLAGS_AT - 1] != '-' ||
        !is_hex(s, 2) || !memcmp(s, "ff", 2) || !has_known_length(s, len) ||
        !is_hex(s + 3, CS_TRACE_ID_LEN) || is_zero(s + 3, CS_TRACE_ID_LEN) ||
        !is_hex(s + SPAN_AT, SPAN_LEN) || is_zero(s + SPAN_AT, SPAN_LEN) ||
        !is_hex(s + FLAGS_AT, 2)) {
        return NULL;
    }
    return apr_psprintf(p, "00%.*s0%d", FLAGS_AT - 2, s + 2, hex_value(s[FLAGS_AT + 1]) & 1);
}

/* Random, and never all zero. */
static const char *random_hex(apr_size_t bytes, apr_pool_t *p)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[CS_TRACE_ID_LEN / 2];
    char *out = apr_palloc(p, bytes * 2 + 1);
    apr_size_t i;

    if (cs_random(raw, bytes) != APR_SUCCESS) {
        memset(raw, 0, bytes);
    }
    raw[bytes - 1] = raw[bytes - 1] ? raw[bytes - 1] : 1;
    for (i = 0; i < bytes; i++) {
        out[2 * i] = hex[raw[i] >> 4];
        out[2 * i + 1] = hex[raw[i] & 15];
    }
    out[bytes * 2] = '\0';
    return out;
}

const char *cs_trace_new(apr_pool_t *p)
{
    return apr_pstrcat(p, "00-", random_hex(CS_TRACE_ID_LEN / 2, p), "-",
                       random_hex(SPAN_LEN / 2, p), "-00", NULL);
}

const char *cs_trace_span(const char *trace, apr_pool_t *p)
{
    return apr_psprintf(p, "%.*s%s%s", SPAN_AT, trace, random_hex(SPAN_LEN / 2, p),
                        trace + FLAGS_AT - 1);
}

const char *cs_trace_id(const char *trace, apr_pool_t *p)
{
    return apr_pstrmemdup(p, trace + 3, CS_TRACE_ID_LEN);
}
