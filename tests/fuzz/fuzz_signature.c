/* A hostile callback: headers, certificate and body.
 *
 * Input: four lines (Authorization, X-MS-Signature, X-MS-Certificate-Url, X-MS-Signature-Algorithm; empty = absent), a line with the length of
 * the certificate in decimal, the certificate's bytes, the body. Roots: tests/fuzz/ca.pem, or the file named by CS_FUZZ_CA.
 */
#include "standalone.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mod_cosell/domain/signature.h"

#define NOW apr_time_from_sec(1800000000)

static const cs_trust_t *trust;

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static void begin(void)
{
    cs_trust_config_t cfg;
    cs_trust_t *loaded;
    apr_pool_t *p;
    const char *ca = getenv("CS_FUZZ_CA");
    cs_result_t res;

    /* The trust lives in APR memory, where a leak checker does not look. */
    check(apr_initialize() == APR_SUCCESS && !atexit(apr_terminate) && apr_pool_create(&p, NULL) == APR_SUCCESS);
    memset(&cfg, 0, sizeof(cfg));
    cfg.ca_file = ca ? ca : "tests/fuzz/ca.pem";
    cfg.urls = apr_array_make(p, 2, sizeof(const char *));
    APR_ARRAY_PUSH(cfg.urls, const char *) = "https://pc.example/cert/leaf.cer";
    APR_ARRAY_PUSH(cfg.urls, const char *) = "https://pc.example/cert/x-*.cer";
    if (cs_trust_load(&loaded, &cfg, p, &res) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", res.detail);
        exit(2);
    }
    trust = loaded;
}

/* The next line, NUL-terminated in p; "" is NULL. */
static const char *take_line(const char **pat, const char *end, apr_pool_t *p)
{
    const char *from = *pat;
    const char *nl = memchr(from, '\n', (size_t)(end - from));
    size_t len = nl ? (size_t)(nl - from) : (size_t)(end - from);

    *pat = nl ? nl + 1 : end;
    return len ? apr_pstrmemdup(p, from, len) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    const char *line[4], *number;
    cs_sig_verdict_e verdict;
    cs_signer_t *signer;
    cs_signature_t sig;
    cs_result_t res;
    apr_status_t rv;
    apr_pool_t *p;
    size_t len;
    int i;

    if (!trust) {
        begin();
    }
    check(apr_pool_create(&p, NULL) == APR_SUCCESS);
    for (i = 0; i < 4; i++) {
        line[i] = take_line(&at, end, p);
    }
    number = take_line(&at, end, p);
    len = number ? strtoul(number, NULL, 10) : 0;
    len = len > (size_t)(end - at) ? (size_t)(end - at) : len;
    verdict = cs_signature_parse(&sig, line[0], line[1], line[2], line[3], trust, p, &res);
    check(verdict != CS_SIG_OK || (sig.len >= 256 && sig.len <= 512 && sig.cert_url && sig.hash == 256));
    check(verdict == CS_SIG_OK || res.detail);
    rv = cs_signer_load(&signer, at, len, trust, NOW, p, &res);
    check((rv == APR_SUCCESS) == (signer != NULL) && (rv == APR_SUCCESS || res.detail));
    if (verdict == CS_SIG_OK && signer) {
        verdict = cs_signature_verify(&sig, signer, at + len, (size_t)(end - at) - len, NOW, p, &res);
        check(verdict == CS_SIG_OK || res.detail);
    }
    check(ERR_peek_error() == 0);
    apr_pool_destroy(p);
    return 0;
}
