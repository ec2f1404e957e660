/* domain/signature_url.c: which certificate URLs are trusted, and where a certificate of theirs is
 * kept. */
#include "signature_internal.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/host.h"

#define URL_MAX_LEN 2048

static apr_size_t host_length(const char *authority)
{
    const char *bracket = *authority == '[' ? strchr(authority, ']') : NULL;

    return bracket ? (apr_size_t)(bracket + 1 - authority) : strcspn(authority, ":/");
}

/* NULL when the URL has the one accepted form, else what is wrong with it. star: '*' may occur. */
static const char *check_url(const char *url, int star)
{
    int plain = !strncmp(url, "http://", 7);
    const char *authority, *s;

    if (strnlen(url, URL_MAX_LEN + 1) > URL_MAX_LEN) {
        return "is longer than 2048 characters";
    }
    if (!plain && strncmp(url, "https://", 8)) {
        return "is not https";
    }
    authority = strstr(url, "://") + 3;
    for (s = url; *s; s++) {
        if (*s <= 0x20 || *s >= 0x7f || strchr("@?#%\\\"<>^`{|},", *s) || (*s == '*' && !star)) {
            return "has characters other than those of a plain host and path";
        }
    }
    if (strstr(url, "..")) {
        return "contains \"..\"";
    }
    if (!host_length(authority) || !strchr(authority, '/')) {
        return "has no host or no path";
    }
    if (plain && !cs_host_is_loopback(authority, host_length(authority))) {
        return "is http and not loopback";
    }
    return NULL;
}

/* '*' once, in the last segment of the path. */
static const char *check_pattern(const char *url)
{
    const char *problem = check_url(url, 1);
    const char *star = strchr(url, '*');
    const char *authority;

    if (problem || !star) {
        return problem;
    }
    authority = strstr(url, "://") + 3;
    if (strchr(star + 1, '*') || strchr(star, '/') || star < strchr(authority, '/')) {
        return "has '*' elsewhere than once in the last path segment";
    }
    return NULL;
}

static int fits_pattern(const char *pattern, const char *url)
{
    const char *star = strchr(pattern, '*');
    apr_size_t before = (apr_size_t)(star - pattern);
    apr_size_t after = strlen(star + 1);
    apr_size_t len = strlen(url);
    apr_size_t i;

    if (len <= before + after || memcmp(url, pattern, before) ||
        memcmp(url + len - after, star + 1, after)) {
        return 0;
    }
    for (i = before; i < len - after; i++) {
        if (!apr_isalnum(url[i]) && url[i] != '.' && url[i] != '_' && url[i] != '-') {
            return 0;
        }
    }
    return 1;
}

int cs_trust_url_allowed(const cs_trust_t *trust, const char *url)
{
    int i;

    if (!url || check_url(url, 0)) {
        return 0;
    }
    for (i = 0; i < trust->exact->nelts; i++) {
        if (!strcmp(url, APR_ARRAY_IDX(trust->exact, i, const char *))) {
            return 1;
        }
    }
    for (i = 0; i < trust->patterns->nelts; i++) {
        if (fits_pattern(APR_ARRAY_IDX(trust->patterns, i, const char *), url)) {
            return 1;
        }
    }
    return 0;
}

const apr_array_header_t *cs_trust_urls(const cs_trust_t *trust)
{
    return trust->exact;
}

const char *cs_signer_path(const char *state_dir, const char *url, apr_pool_t *p)
{
    return apr_pstrcat(p, state_dir, "/certs/", cs_sha256_hex(url, strlen(url), p), NULL);
}

apr_status_t cs_trust_take_urls(cs_trust_t *trust, const apr_array_header_t *urls, apr_pool_t *p,
                                cs_result_t *res)
{
    int i;

    for (i = 0; urls && i < urls->nelts; i++) {
        const char *url = APR_ARRAY_IDX(urls, i, const char *);
        const char *problem = check_pattern(url);

        if (problem) {
            return cs_result_set(res, p, APR_EINVAL, CS_CLASS_SUSPEND, "certificate:url",
                                 "certificate URL %s %s: allowed are https URLs of a plain host "
                                 "and path, with one '*' at most in the last path segment",
                                 cs_signature_show(url, strlen(url), p), problem);
        }
        APR_ARRAY_PUSH(strchr(url, '*') ? trust->patterns : trust->exact, const char *) =
            apr_pstrdup(p, url);
    }
    return APR_SUCCESS;
}
