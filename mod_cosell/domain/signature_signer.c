/* domain/signature_signer.c: a signing certificate: its bytes, whether a trust vouches for it, and
 * the prepared key that signatures are verified with. */
#include "signature_internal.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "../base/crypto.h"

#define KEY_BITS_MIN 2048
#define KEY_BITS_MAX 4096

static X509 *parse_der(const unsigned char *bytes, apr_size_t len)
{
    const unsigned char *end = bytes;
    X509 *cert = d2i_X509(NULL, &end, (long)len);

    if (cert && end != bytes + len) {
        X509_free(cert);
        cert = NULL;
    }
    return cert;
}

static X509 *parse_pem(const void *bytes, apr_size_t len)
{
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, cs_pem_no_passphrase, NULL) : NULL;

    BIO_free(bio);
    return cert;
}

static X509 *parse_base64(const char *text, apr_size_t len, apr_pool_t *p)
{
    char *tight = apr_palloc(p, len + 1);
    const unsigned char *der;
    apr_size_t i, n = 0;

    for (i = 0; i < len; i++) {
        if (!apr_isspace(text[i])) {
            tight[n++] = text[i];
        }
    }
    if (cs_base64_decode(&der, &len, tight, n, CS_SIGNATURE_CERT_MAX, p) != APR_SUCCESS) {
        return NULL;
    }
    return parse_der(der, len);
}

static X509 *parse_certificate(const void *bytes, apr_size_t len, apr_pool_t *p)
{
    X509 *cert;

    if (!bytes || len == 0 || len > CS_SIGNATURE_CERT_MAX) {
        return NULL;
    }
    cert = parse_der(bytes, len);
    if (!cert) {
        cert = parse_pem(bytes, len);
    }
    if (!cert) {
        cert = parse_base64(bytes, len, p);
    }
    return cert;
}

static const char *show_name(X509_NAME *name, apr_pool_t *p)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const char *shown = "\"\"";
    char *text;
    long len;

    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE) >= 0) {
        len = BIO_get_mem_data(bio, &text);
        shown = cs_signature_show(text, len > 0 ? (apr_size_t)len : 0, p);
    }
    BIO_free(bio);
    return shown;
}

/* Only the leaf may be outside its dates, for they are looked at with each request. A CRL past its
 * next update still revokes what it names. */
static int forgive(int ok, X509_STORE_CTX *ctx)
{
    int err = X509_STORE_CTX_get_error(ctx);
    int leaf = X509_STORE_CTX_get_error_depth(ctx) == 0;

    if (ok || err == X509_V_ERR_CRL_HAS_EXPIRED) {
        return 1;
    }
    return leaf && (err == X509_V_ERR_CERT_HAS_EXPIRED || err == X509_V_ERR_CERT_NOT_YET_VALID);
}

static apr_status_t check_chain(X509 *cert, const cs_trust_t *trust, apr_time_t now, apr_pool_t *p,
                                cs_result_t *res)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    apr_status_t rv = APR_SUCCESS;
    X509_VERIFY_PARAM *param;
    X509 *bad;
    int err;

    if (!ctx || !X509_STORE_CTX_init(ctx, trust->store, cert, trust->intermediates)) {
        rv = cs_result_set(res, p, APR_ENOMEM, CS_CLASS_RETRY, "memory", "no memory");
        goto leave;
    }
    param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)apr_time_sec(now));
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
    /* 112 bits: no SHA-1 and no small key anywhere in the chain. */
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    X509_STORE_CTX_set_verify_cb(ctx, forgive);
    if (X509_verify_cert(ctx) <= 0) {
        err = X509_STORE_CTX_get_error(ctx);
        bad = X509_STORE_CTX_get_current_cert(ctx);
        rv = cs_result_set(
            res, p, CS_EREMOTE, CS_CLASS_REFUSED,
            err == X509_V_ERR_CERT_REVOKED ? "certificate:revoked" : "certificate:chain",
            "the signing certificate is not trusted: %s, at %s", X509_verify_cert_error_string(err),
            show_name(X509_get_subject_name(bad ? bad : cert), p));
    }

leave:
    X509_STORE_CTX_free(ctx);
    return rv;
}

/* Exactly one organization, and that one: a second could say what the certificate's owner likes. */
static int has_org(X509_NAME *name, const char *org)
{
    int i = X509_NAME_get_index_by_NID(name, NID_organizationName, -1);
    unsigned char *text = NULL;
    int len, same;

    if (i < 0 || X509_NAME_get_index_by_NID(name, NID_organizationName, i) >= 0) {
        return 0;
    }
    len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
    same = len >= 0 && (apr_size_t)len == strlen(org) && !memcmp(text, org, (apr_size_t)len);
    OPENSSL_free(text);
    return same;
}

static int is_listed(const ASN1_STRING *string, const apr_array_header_t *names)
{
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, string);
    int i, found = 0;

    for (i = 0; len > 0 && i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        found = found || (strlen(name) == (apr_size_t)len &&
                          !strncasecmp(name, (const char *)text, (apr_size_t)len));
    }
    OPENSSL_free(text);
    return found;
}

static int has_listed_name(X509 *cert, const apr_array_header_t *names)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int i, found = 0;

    for (i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);

        found = found || is_listed(X509_NAME_ENTRY_get_data(entry), names);
    }
    for (i = 0; i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);

        found = found || (san->type == GEN_DNS && is_listed(san->d.dNSName, names));
    }
    GENERAL_NAMES_free(sans);
    return found;
}

static apr_status_t check_identity(X509 *cert, const cs_trust_t *trust, apr_pool_t *p,
                                   cs_result_t *res)
{
    X509_NAME *issuer = X509_get_issuer_name(cert);
    X509_NAME *subject = X509_get_subject_name(cert);

    if (!has_org(issuer, trust->issuer_org)) {
        return cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, "certificate:issuer",
                             "the signing certificate's issuer %s is not of organization \"%s\"",
                             show_name(issuer, p), trust->issuer_org);
    }
    if (*trust->subject_org && !has_org(subject, trust->subject_org)) {
        return cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, "certificate:subject",
                             "the signing certificate's subject %s is not of organization \"%s\"",
                             show_name(subject, p), trust->subject_org);
    }
    if (trust->names->nelts && !has_listed_name(cert, trust->names)) {
        return cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, "certificate:name",
                             "the signing certificate's subject %s has none of the names %s",
                             show_name(subject, p), apr_array_pstrcat(p, trust->names, ' '));
    }
    return APR_SUCCESS;
}

static apr_status_t check_key(EVP_PKEY *key, apr_pool_t *p, cs_result_t *res)
{
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
    int bits = key ? EVP_PKEY_get_bits(key) : 0;

    if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "certificate:key",
                             "the signing certificate has a key of type %s: only RSA is allowed",
                             type ? type : "unknown");
    }
    if (bits < KEY_BITS_MIN || bits > KEY_BITS_MAX) {
        return cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "certificate:key",
                             "the signing certificate has an RSA key of %d bits: %d to %d are "
                             "allowed",
                             bits, KEY_BITS_MIN, KEY_BITS_MAX);
    }
    return APR_SUCCESS;
}

static int read_time(apr_time_t *pt, const ASN1_TIME *asn1)
{
    struct tm tm;

    if (!ASN1_TIME_to_tm(asn1, &tm)) {
        return 0;
    }
    *pt = apr_time_from_sec((apr_int64_t)timegm(&tm));
    return 1;
}

static apr_status_t signer_cleanup(void *data)
{
    cs_signer_t *signer = data;
    int i;

    for (i = 0; i < CS_SIGNER_SLOTS; i++) {
        EVP_PKEY_CTX_free(atomic_exchange(&signer->slots[i], NULL));
    }
    EVP_PKEY_CTX_free(signer->prepared);
    EVP_PKEY_free(signer->key);
    return APR_SUCCESS;
}

/* Takes over key. The prepared context costs as much as a verification itself, hence made once. */
static cs_signer_t *make_signer(X509 *cert, EVP_PKEY *key, apr_pool_t *p)
{
    cs_signer_t *signer = apr_pcalloc(p, sizeof(*signer));

    signer->key = key;
    signer->slots = apr_pcalloc(p, CS_SIGNER_SLOTS * sizeof(*signer->slots));
    signer->size = (apr_size_t)EVP_PKEY_get_size(key);
    signer->prepared = EVP_PKEY_CTX_new(key, NULL);
    apr_pool_cleanup_register(p, signer, signer_cleanup, apr_pool_cleanup_null);
    if (!signer->prepared || EVP_PKEY_verify_init(signer->prepared) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(signer->prepared, RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(signer->prepared, EVP_sha256()) <= 0 ||
        !read_time(&signer->not_before, X509_get0_notBefore(cert)) ||
        !read_time(&signer->not_after, X509_get0_notAfter(cert))) {
        return NULL;
    }
    return signer;
}

apr_status_t cs_signer_load(cs_signer_t **psigner, const void *bytes, apr_size_t len,
                            const cs_trust_t *trust, apr_time_t now, apr_pool_t *p,
                            cs_result_t *res)
{
    apr_status_t rv = APR_SUCCESS;
    EVP_PKEY *key = NULL;
    X509 *cert;

    *psigner = NULL;
    ERR_clear_error();
    cert = parse_certificate(bytes, len, p);
    if (!cert) {
        rv = cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "certificate:form",
                           "the %" APR_SIZE_T_FMT " bytes are no certificate: allowed are DER, PEM "
                           "and base64 of at most %d bytes",
                           len, CS_SIGNATURE_CERT_MAX);
        goto leave;
    }
    key = X509_get_pubkey(cert);
    rv = check_key(key, p, res);
    if (rv == APR_SUCCESS) {
        rv = check_chain(cert, trust, now, p, res);
    }
    if (rv == APR_SUCCESS) {
        rv = check_identity(cert, trust, p, res);
    }
    if (rv != APR_SUCCESS) {
        goto leave;
    }
    *psigner = make_signer(cert, key, p);
    key = NULL;
    if (*psigner) {
        cs_result_clear(res);
    }
    else {
        rv = cs_result_set(res, p, CS_EPARSE, CS_CLASS_REFUSED, "certificate:form",
                           "the signing certificate's key or dates cannot be used");
    }

leave:
    EVP_PKEY_free(key);
    X509_free(cert);
    ERR_clear_error();
    return rv;
}

apr_time_t cs_signer_not_before(const cs_signer_t *signer)
{
    return signer->not_before;
}

apr_time_t cs_signer_not_after(const cs_signer_t *signer)
{
    return signer->not_after;
}
