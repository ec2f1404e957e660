/* Keys, certificates, CRLs and signatures made in the test by libcrypto. Everything is freed with the pool. */
#ifndef CS_TESTS_UNIT_PKI_H
#define CS_TESTS_UNIT_PKI_H

#include "unit.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

static inline apr_status_t pki_free_key(void *key)
{
    EVP_PKEY_free(key);
    return APR_SUCCESS;
}

static inline apr_status_t pki_free_cert(void *cert)
{
    X509_free(cert);
    return APR_SUCCESS;
}

static inline EVP_PKEY *pki_own_key(EVP_PKEY *key, apr_pool_t *p)
{
    assert_non_null(key);
    apr_pool_cleanup_register(p, key, pki_free_key, apr_pool_cleanup_null);
    return key;
}

static inline EVP_PKEY *pki_rsa(unsigned bits, apr_pool_t *p)
{
    return pki_own_key(EVP_RSA_gen(bits), p);
}

static inline EVP_PKEY *pki_ec(apr_pool_t *p)
{
    return pki_own_key(EVP_EC_gen("P-256"), p);
}

/* What a certificate says. Zero members mean: no attribute, now - 1 day, now + 30 days, SHA-256. */
typedef struct pki_spec_t {
    const char *cn;
    const char *org;
    const char *org2;
    const char *dns;
    long from; /* seconds relative to now */
    long to;
    int ca;
    long serial;
    const EVP_MD *md;
} pki_spec_t;

static inline void pki_add(X509_NAME *name, const char *field, const char *text)
{
    if (text) {
        assert_int_equal(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                                    (const unsigned char *)text, -1, -1, 0), 1);
    }
}

static inline void pki_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *ext;
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer ? issuer : cert, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

/* issuer NULL = self-signed by key, which is then also issuer_key. */
static inline X509 *pki_cert(const pki_spec_t *spec, EVP_PKEY *key, X509 *issuer,
                             EVP_PKEY *issuer_key, apr_pool_t *p)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    assert_non_null(cert);
    apr_pool_cleanup_register(p, cert, pki_free_cert, apr_pool_cleanup_null);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), spec->serial ? spec->serial : 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), spec->from ? spec->from : -86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), spec->to ? spec->to : 30 * 86400L);
    pki_add(name, "CN", spec->cn);
    pki_add(name, "O", spec->org);
    pki_add(name, "O", spec->org2);
    X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name);
    X509_set_pubkey(cert, key);
    if (spec->ca) {
        pki_extend(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
        pki_extend(cert, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    if (spec->dns) {
        pki_extend(cert, issuer, NID_subject_alt_name, apr_pstrcat(p, "DNS:", spec->dns, NULL));
    }
    assert_true(X509_sign(cert, issuer ? issuer_key : key, spec->md ? spec->md : EVP_sha256()) > 0);
    return cert;
}

static inline const unsigned char *pki_der(X509 *cert, size_t *plen, apr_pool_t *p)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    void *copy;

    assert_true(len > 0);
    copy = apr_pmemdup(p, der, (size_t)len);
    OPENSSL_free(der);
    *plen = (size_t)len;
    return copy;
}

static inline const char *pki_bio_text(BIO *bio, apr_pool_t *p)
{
    char *text;
    long len = BIO_get_mem_data(bio, &text);
    const char *copy = apr_pstrmemdup(p, text, (size_t)len);

    BIO_free(bio);
    return copy;
}

static inline const char *pki_pem(X509 *cert, apr_pool_t *p)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    return pki_bio_text(bio, p);
}

/* PEM CRL that revokes `serial` (0 = nothing); from and to in seconds relative to now. */
static inline const char *pki_crl(X509 *issuer, EVP_PKEY *key, long serial, long from, long to,
                                  apr_pool_t *p)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    X509_REVOKED *revoked = X509_REVOKED_new();
    BIO *bio = BIO_new(BIO_s_mem());

    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
    X509_gmtime_adj(t, from);
    X509_CRL_set1_lastUpdate(crl, t);
    if (serial) {
        ASN1_INTEGER_set(number, serial);
        X509_REVOKED_set_serialNumber(revoked, number);
        X509_REVOKED_set_revocationDate(revoked, t);
        X509_CRL_add0_revoked(crl, revoked);
    }
    else {
        X509_REVOKED_free(revoked);
    }
    X509_gmtime_adj(t, to);
    X509_CRL_set1_nextUpdate(crl, t);
    X509_CRL_sort(crl);
    assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509_CRL(bio, crl), 1);
    X509_CRL_free(crl);
    ASN1_TIME_free(t);
    ASN1_INTEGER_free(number);
    return pki_bio_text(bio, p);
}

static inline const unsigned char *pki_sign(EVP_PKEY *key, const EVP_MD *md, const void *body,
                                            size_t len, size_t *psiglen, apr_pool_t *p)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *sig;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, NULL, psiglen, body, len), 1);
    sig = apr_palloc(p, *psiglen);
    assert_int_equal(EVP_DigestSign(ctx, sig, psiglen, body, len), 1);
    EVP_MD_CTX_free(ctx);
    return sig;
}

#endif
