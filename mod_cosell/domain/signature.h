/* domain/signature.h: is this callback authentic? Pure: headers, raw body, certificates and the
 * time go in, a verdict comes out.
 *
 * Source: partner-center-api.md 2.1 to 2.3; the answer for each verdict: design 7.3. Any thread; a
 * cs_trust_t is immutable once built and may be shared, a cs_signer_t too.
 */
#ifndef CS_DOMAIN_SIGNATURE_H
#define CS_DOMAIN_SIGNATURE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include "../base/result.h"

#define CS_SIGNATURE_CERT_MAX (64 * 1024) /* bytes of a certificate file */

/* What CosellSignature configures; strings live as long as the configuration. */
typedef struct cs_trust_config_t {
    apr_array_header_t *urls; /* const char *: certificate URLs, exact, or a pattern with one '*' in
                                 the last path segment */
    const char *ca_file;      /* PEM bundle of roots; NULL = the system's (OpenSSL default file) */
    const char *intermediates_file; /* PEM bundle; NULL = none */
    const char *issuer_org;         /* O of the issuer; default "Microsoft Corporation" */
    const char *subject_org;        /* O of the subject; default the same; "" = not checked */
    apr_array_header_t *names;      /* const char *: CN or DNS SAN must equal one of them
                                       (case-insensitive); empty = not checked */
    const char *crl_file; /* PEM CRLs; NULL = revocation off. No CRL of the leaf's issuer = not
                           * trusted; one past its next update still revokes what it names */
} cs_trust_config_t;

/* The bundles, parsed. Immutable; freed with p. */
typedef struct cs_trust_t cs_trust_t;
/* Reads and parses the files. APR's status or CS_EPARSE with the file's name in res->detail. */
apr_status_t cs_trust_load(cs_trust_t **ptrust, const cs_trust_config_t *cfg, apr_pool_t *p,
                           cs_result_t *res);

/* A certificate that passed chain, issuer, subject, name, key checks under a trust. Its validity
 * period is checked per request. */
typedef struct cs_signer_t cs_signer_t;
/* bytes: DER, PEM or bare base64 of DER (leaf only). The chain is checked with the time `now`, but
 * an expired or not yet valid *leaf* passes here: see cs_signature_verify. CS_EPARSE (not a
 * certificate, larger than CS_SIGNATURE_CERT_MAX, EC key, RSA below 2048 or above 4096 bits) or
 * CS_EREMOTE (not trusted: chain, issuer, subject, name, revoked) with the value seen in
 * res->detail. */
apr_status_t cs_signer_load(cs_signer_t **psigner, const void *bytes, apr_size_t len,
                            const cs_trust_t *trust, apr_time_t now, apr_pool_t *p,
                            cs_result_t *res);
apr_time_t cs_signer_not_before(const cs_signer_t *signer);
apr_time_t cs_signer_not_after(const cs_signer_t *signer);

/* What the request says about its signature, before any cryptography. */
typedef struct cs_signature_t {
    const unsigned char *bytes; /* decoded */
    apr_size_t len;
    const char *cert_url;
    int hash; /* 256 */
} cs_signature_t;

typedef enum {
    CS_SIG_OK = 0,
    CS_SIG_BAD_REQUEST, /* 400: no or both signature headers, certificate URL or algorithm header
                           missing */
    CS_SIG_REFUSED,     /* 401: scheme, base64, length, algorithm, certificate URL, signature */
    CS_SIG_NO_SIGNER    /* the certificate is not here or outside its validity: 503 or 401 by the
                           caller (design 7.3) */
} cs_sig_verdict_e;

/* Header values as received, NULL when absent (several fields of one name joined by ", " as httpd
 * does: refused by the strict forms). Checks presence, "Signature" scheme (any case, one or more
 * blanks), strict base64 of 256..512 bytes, algorithm rsa-sha256 (any case), and the URL against
 * trust. Never touches the network. The reason, with the value seen (cut, escaped), goes to
 * res->detail. An `Authorization` that carries another scheme beside an x-ms-signature is not a
 * second signature. Strings and bytes in p. */
cs_sig_verdict_e cs_signature_parse(cs_signature_t *sig, const char *authorization,
                                    const char *x_ms_signature, const char *cert_url,
                                    const char *algorithm, const cs_trust_t *trust, apr_pool_t *p,
                                    cs_result_t *res);

/* RSA PKCS#1 v1.5 with SHA-256 over the raw body. CS_SIG_NO_SIGNER when `now` is outside the
 * certificate's validity, CS_SIG_REFUSED when the length is not the key's or the signature does not
 * fit. */
cs_sig_verdict_e cs_signature_verify(const cs_signature_t *sig, const cs_signer_t *signer,
                                     const void *body, apr_size_t len, apr_time_t now,
                                     apr_pool_t *p, cs_result_t *res);

/* 1 if url is one of the configured URLs or fits a configured pattern: https, no userinfo, query,
 * fragment, "..", percent-encoding; http only to loopback. A pattern's '*' stands for one or more
 * of [A-Za-z0-9._-]. */
int cs_trust_url_allowed(const cs_trust_t *trust, const char *url);
/* The configured exact URLs, for fetching ahead. */
const apr_array_header_t *cs_trust_urls(const cs_trust_t *trust);
/* Where a certificate of this URL is kept: "<state>/certs/<sha256 of URL>", in p. */
const char *cs_signer_path(const char *state_dir, const char *url, apr_pool_t *p);

#endif
