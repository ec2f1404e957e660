#include "host.h"

#include <apr_lib.h>
#include <string.h>
#include <strings.h>

static int is(const char *host, apr_size_t len, const char *word)
{
    return len == strlen(word) && !strncasecmp(host, word, len);
}

/* Reads "0" to "255" and moves *pat behind it. */
static int take_byte(const char **pat, const char *end)
{
    const char *at = *pat;
    int value = 0;

    while (at < end && at - *pat < 3 && apr_isdigit(*at)) {
        value = value * 10 + (*at++ - '0');
    }
    if (at == *pat || value > 255) {
        return 0;
    }
    *pat = at;
    return 1;
}

int cs_host_is_loopback(const char *host, apr_size_t len)
{
    const char *at = host + 3, *end = host + len;
    int i;

    if (is(host, len, "localhost") || is(host, len, "::1") || is(host, len, "[::1]")) {
        return 1;
    }
    if (len < 3 || memcmp(host, "127", 3)) {
        return 0;
    }
    for (i = 0; i < 3; i++) {
        if (at == end || *at++ != '.' || !take_byte(&at, end)) {
            return 0;
        }
    }
    return at == end;
}
