#include "signature.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "../base/crypto.h"
#include "../base/host.h"

#define BUNDLE_MAX (8 * 1024 * 1024)
#define URL_MAX_LEN 2048
#define SIGNATURE_MIN 256
#define SIGNATURE_MAX 512
#define KEY_BITS_MIN 2048
#define KEY_BITS_MAX 4096
#define SHOWN_MAX 120
/* Verifications that run at the same time without making a context. */
#define SLOTS 32

#define ORG_DEFAULT "Microsoft Corporation"

struct cs_trust_t {
    X509_STORE *store;
    STACK_OF(X509) *intermediates;
    const char *issuer_org;
    const char *subject_org;
    const apr_array_header_t *names;
    apr_array_header_t *exact;    /* const char * */
    apr_array_header_t *patterns; /* const char * */
};

struct cs_signer_t {
    EVP_PKEY *key;
    EVP_PKEY_CTX *prepared; /* never used itself, only duplicated */
    _Atomic(EVP_PKEY_CTX *) *slots;
    apr_size_t size; /* bytes of a signature */
    apr_time_t not_before;
    apr_time_t not_after;
};

/* At most SHOWN_MAX bytes of text from outside, quoted, everything unprintable as \xNN. */
static const char *show(const char *text, apr_size_t len, apr_pool_t *p)
{
    apr_size_t n = len > SHOWN_MAX ? SHOWN_MAX : len;
    char *out = apr_palloc(p, n * 4 + 8);
    char *to = out;
    apr_size_t i;

    *to++ = '"';
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
            to += apr_snprintf(to, 5, "\\x%02x", c);
        }
        else {
            *to++ = (char)c;
        }
    }
    *to++ = '"';
    *to = '\0';
    return n < len ? apr_pstrcat(p, out, "...", NULL) : out;
}

static const char *show_str(const char *text, apr_pool_t *p)
{
    return show(text, strlen(text), p);
}

/* ---- certificate URLs ---- */

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

    if (len <= before + after || memcmp(url, pattern, before)
        || memcmp(url + len - after, star + 1, after)) {
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

/* ---- bundles ---- */

static apr_status_t fail_file(const char *file, apr_status_t rv, const char *reason, apr_pool_t *p,
                              cs_result_t *res)
{
    return cs_result_set(res, p, rv, CS_CLASS_SUSPEND, "certificate:bundle",
                         "could not load \"%s\": %s", file, reason);
}

/* A bundle is PEM; nothing in it may ask for a passphrase at a terminal. */
static int no_passphrase(char *buf, int size, int writing, void *baton)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)baton;
    return -1;
}

static apr_status_t open_bundle(BIO **pbio, const char *file, apr_pool_t *p, cs_result_t *res)
{
    char text[160];
    apr_status_t rv;
    apr_off_t size;
    int fd;

    *pbio = NULL;
    fd = open(file, O_RDONLY | O_CLOEXEC);
    size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    if (fd < 0 || size < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        rv = APR_FROM_OS_ERROR(errno);
        fail_file(file, rv, cs_strerror(rv, text, sizeof(text)), p, res);
    }
    else if (size > BUNDLE_MAX) {
        rv = fail_file(file, CS_EPARSE, "it is larger than 8 MiB", p, res);
    }
    else {
        *pbio = BIO_new_fd(fd, BIO_CLOSE);
        rv = *pbio ? APR_SUCCESS : fail_file(file, APR_ENOMEM, "no memory", p, res);
    }
    if (!*pbio && fd >= 0) {
        close(fd);
    }
    return rv;
}

/* Takes what one PEM block holds: 1 taken, 0 not this kind, -1 failed. */
typedef int take_fn(void *baton, BIO *bio);

static int take_root(void *baton, BIO *bio)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    int ok = cert && X509_STORE_add_cert(baton, cert);

    X509_free(cert);
    return cert ? (ok ? 1 : -1) : 0;
}

static int take_intermediate(void *baton, BIO *bio)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);

    if (cert && !sk_X509_push(baton, cert)) {
        X509_free(cert);
        return -1;
    }
    return cert != NULL;
}

static int take_crl(void *baton, BIO *bio)
{
    X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL);
    int ok = crl && X509_STORE_add_crl(baton, crl);

    X509_CRL_free(crl);
    return crl ? (ok ? 1 : -1) : 0;
}

/* All blocks of the file; the end shows as "no start line", anything else is damage. */
static apr_status_t read_bundle(const char *file, take_fn *take, void *baton, const char *what,
                                apr_pool_t *p, cs_result_t *res)
{
    unsigned long err;
    apr_status_t rv;
    BIO *bio;
    int n = 0, got;

    rv = open_bundle(&bio, file, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    ERR_clear_error();
    while ((got = take(baton, bio)) > 0) {
        n++;
    }
    err = ERR_peek_last_error();
    if (got < 0 || ERR_GET_LIB(err) != ERR_LIB_PEM || ERR_GET_REASON(err) != PEM_R_NO_START_LINE) {
        rv = fail_file(file, CS_EPARSE, apr_psprintf(p, "%s number %d is damaged", what, n + 1), p,
                       res);
    }
    else if (n == 0) {
        rv = fail_file(file, CS_EPARSE, apr_psprintf(p, "it holds no PEM %s", what), p, res);
    }
    BIO_free(bio);
    ERR_clear_error();
    return rv;
}

/* Debian's OpenSSL names a default file that is not there, hence the distributions' bundles. */
static const char *system_roots(void)
{
    static const char *const files[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    };
    const char *file = X509_get_default_cert_file();
    apr_size_t i;

    for (i = 0; access(file, R_OK) && i < sizeof(files) / sizeof(files[0]); i++) {
        file = files[i];
    }
    return file;
}

static apr_status_t trust_cleanup(void *data)
{
    cs_trust_t *trust = data;

    X509_STORE_free(trust->store);
    sk_X509_pop_free(trust->intermediates, X509_free);
    return APR_SUCCESS;
}

static apr_status_t take_urls(cs_trust_t *trust, const apr_array_header_t *urls, apr_pool_t *p,
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
                                 show_str(url, p), problem);
        }
        APR_ARRAY_PUSH(strchr(url, '*') ? trust->patterns : trust->exact, const char *)
            = apr_pstrdup(p, url);
    }
    return APR_SUCCESS;
}

static apr_status_t take_files(cs_trust_t *trust, const cs_trust_config_t *cfg, apr_pool_t *p,
                               cs_result_t *res)
{
    apr_status_t rv;

    rv = read_bundle(cfg->ca_file ? cfg->ca_file : system_roots(), take_root, trust->store,
                     "certificate", p, res);
    if (rv == APR_SUCCESS && cfg->intermediates_file) {
        rv = read_bundle(cfg->intermediates_file, take_intermediate, trust->intermediates,
                         "certificate", p, res);
    }
    if (rv == APR_SUCCESS && cfg->crl_file) {
        rv = read_bundle(cfg->crl_file, take_crl, trust->store, "CRL", p, res);
        X509_STORE_set_flags(trust->store, X509_V_FLAG_CRL_CHECK);
    }
    return rv;
}

apr_status_t cs_trust_load(cs_trust_t **ptrust, const cs_trust_config_t *cfg, apr_pool_t *p,
                           cs_result_t *res)
{
    cs_trust_t *trust = apr_pcalloc(p, sizeof(*trust));
    apr_status_t rv;

    *ptrust = NULL;
    trust->issuer_org = apr_pstrdup(p, cfg->issuer_org ? cfg->issuer_org : ORG_DEFAULT);
    trust->subject_org = apr_pstrdup(p, cfg->subject_org ? cfg->subject_org : ORG_DEFAULT);
    trust->names = cfg->names ? apr_array_copy(p, cfg->names)
                              : apr_array_make(p, 1, sizeof(const char *));
    trust->exact = apr_array_make(p, 4, sizeof(const char *));
    trust->patterns = apr_array_make(p, 4, sizeof(const char *));
    rv = take_urls(trust, cfg->urls, p, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    trust->store = X509_STORE_new();
    trust->intermediates = sk_X509_new_null();
    apr_pool_cleanup_register(p, trust, trust_cleanup, apr_pool_cleanup_null);
    if (!trust->store || !trust->intermediates) {
        return cs_result_set(res, p, APR_ENOMEM, CS_CLASS_RETRY, "memory", "no memory");
    }
    rv = take_files(trust, cfg, p, res);
    if (rv == APR_SUCCESS) {
        *ptrust = trust;
        cs_result_clear(res);
    }
    return rv;
}

/* ---- one certificate ---- */

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
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

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
        shown = show(text, len > 0 ? (apr_size_t)len : 0, p);
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
        rv = cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED,
                           err == X509_V_ERR_CERT_REVOKED ? "certificate:revoked"
                                                          : "certificate:chain",
                           "the signing certificate is not trusted: %s, at %s",
                           X509_verify_cert_error_string(err),
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

        found = found || (strlen(name) == (apr_size_t)len
                          && !strncasecmp(name, (const char *)text, (apr_size_t)len));
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
                             "allowed", bits, KEY_BITS_MIN, KEY_BITS_MAX);
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

    for (i = 0; i < SLOTS; i++) {
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
    signer->slots = apr_pcalloc(p, SLOTS * sizeof(*signer->slots));
    signer->size = (apr_size_t)EVP_PKEY_get_size(key);
    signer->prepared = EVP_PKEY_CTX_new(key, NULL);
    apr_pool_cleanup_register(p, signer, signer_cleanup, apr_pool_cleanup_null);
    if (!signer->prepared || EVP_PKEY_verify_init(signer->prepared) <= 0
        || EVP_PKEY_CTX_set_rsa_padding(signer->prepared, RSA_PKCS1_PADDING) <= 0
        || EVP_PKEY_CTX_set_signature_md(signer->prepared, EVP_sha256()) <= 0
        || !read_time(&signer->not_before, X509_get0_notBefore(cert))
        || !read_time(&signer->not_after, X509_get0_notAfter(cert))) {
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
                           "and base64 of at most %d bytes", len, CS_SIGNATURE_CERT_MAX);
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

/* ---- one request ---- */

static cs_sig_verdict_e refuse(cs_sig_verdict_e verdict, const char *problem, const char *detail,
                               apr_pool_t *p, cs_result_t *res)
{
    cs_result_set(res, p, CS_EREMOTE, CS_CLASS_REFUSED, problem, "%s", detail);
    return verdict;
}

static int has_value(const char *header)
{
    return header && *header;
}

/* After "Signature" and its blanks, or NULL for another scheme. */
static const char *skip_scheme(const char *header)
{
    const char *s = header + 9;

    if (strncasecmp(header, "Signature", 9) || (*s && *s != ' ' && *s != '\t')) {
        return NULL;
    }
    return s + strspn(s, " \t");
}

/* The one header that carries a signature; NULL and the verdict when there is none or two. */
static const char *choose_header(const char *authorization, const char *x_ms_signature,
                                 apr_pool_t *p, cs_result_t *res)
{
    int ours = has_value(x_ms_signature);
    int other = has_value(authorization);

    if (ours && other && skip_scheme(authorization)) {
        refuse(CS_SIG_BAD_REQUEST, "signature:header",
               "both Authorization and X-MS-Signature carry a signature: one is allowed", p, res);
        return NULL;
    }
    if (!ours && !other) {
        refuse(CS_SIG_BAD_REQUEST, "signature:header",
               "neither X-MS-Signature nor Authorization is present", p, res);
        return NULL;
    }
    return ours ? x_ms_signature : authorization;
}

/* Neither header's value may reach a log; the scheme may when it looks like one. */
static const char *show_scheme(const char *header, apr_pool_t *p)
{
    apr_size_t n = strcspn(header, " \t");

    return n <= 20 && header[n] ? show(header, n, p) : "none";
}

static cs_sig_verdict_e take_bytes(cs_signature_t *sig, const char *header, apr_pool_t *p,
                                   cs_result_t *res)
{
    const char *text = skip_scheme(header);
    apr_size_t len;

    if (!text) {
        return refuse(CS_SIG_REFUSED, "signature:scheme",
                      apr_psprintf(p, "the signature's scheme is %s: allowed is Signature",
                                   show_scheme(header, p)), p, res);
    }
    len = strlen(text);
    if (cs_base64_decode(&sig->bytes, &sig->len, text, len, SIGNATURE_MAX, p) != APR_SUCCESS
        || sig->len < SIGNATURE_MIN) {
        return refuse(CS_SIG_REFUSED, "signature:base64",
                      apr_psprintf(p, "the signature of %" APR_SIZE_T_FMT " characters is not the "
                                   "base64 of %d to %d bytes", len, SIGNATURE_MIN, SIGNATURE_MAX),
                      p, res);
    }
    return CS_SIG_OK;
}

cs_sig_verdict_e cs_signature_parse(cs_signature_t *sig, const char *authorization,
                                    const char *x_ms_signature, const char *cert_url,
                                    const char *algorithm, const cs_trust_t *trust, apr_pool_t *p,
                                    cs_result_t *res)
{
    const char *header;
    cs_sig_verdict_e verdict;

    memset(sig, 0, sizeof(*sig));
    header = choose_header(authorization, x_ms_signature, p, res);
    if (!header) {
        return CS_SIG_BAD_REQUEST;
    }
    if (!has_value(cert_url) || !has_value(algorithm)) {
        return refuse(CS_SIG_BAD_REQUEST, "signature:header",
                      has_value(cert_url) ? "X-MS-Signature-Algorithm is missing"
                                          : "X-MS-Certificate-Url is missing", p, res);
    }
    if (strcasecmp(algorithm, "rsa-sha256")) {
        return refuse(CS_SIG_REFUSED, "signature:algorithm",
                      apr_psprintf(p, "signature algorithm %s: allowed is rsa-sha256",
                                   show_str(algorithm, p)), p, res);
    }
    if (!cs_trust_url_allowed(trust, cert_url)) {
        return refuse(CS_SIG_REFUSED, "signature:url",
                      apr_psprintf(p, "certificate URL %s is not one of those configured",
                                   show_str(cert_url, p)), p, res);
    }
    verdict = take_bytes(sig, header, p, res);
    if (verdict != CS_SIG_OK) {
        return verdict;
    }
    sig->cert_url = apr_pstrdup(p, cert_url);
    sig->hash = 256;
    cs_result_clear(res);
    return CS_SIG_OK;
}

/* A context for this call alone: one that another gave back, else a copy of the prepared one. */
static EVP_PKEY_CTX *take_context(const cs_signer_t *signer)
{
    EVP_PKEY_CTX *ctx = NULL;
    int i;

    for (i = 0; i < SLOTS && !ctx; i++) {
        if (atomic_load_explicit(&signer->slots[i], memory_order_relaxed)) {
            ctx = atomic_exchange_explicit(&signer->slots[i], NULL, memory_order_acq_rel);
        }
    }
    return ctx ? ctx : EVP_PKEY_CTX_dup(signer->prepared);
}

static void give_context(const cs_signer_t *signer, EVP_PKEY_CTX *ctx)
{
    EVP_PKEY_CTX *empty;
    int i;

    for (i = 0; i < SLOTS; i++) {
        empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&signer->slots[i], &empty, ctx,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            return;
        }
    }
    EVP_PKEY_CTX_free(ctx);
}

cs_sig_verdict_e cs_signature_verify(const cs_signature_t *sig, const cs_signer_t *signer,
                                     const void *body, apr_size_t len, apr_time_t now,
                                     apr_pool_t *p, cs_result_t *res)
{
    unsigned char digest[CS_SHA256_LEN];
    EVP_PKEY_CTX *ctx;
    int good;

    if (now < signer->not_before || now > signer->not_after) {
        return refuse(CS_SIG_NO_SIGNER, "signature:validity",
                      now < signer->not_before ? "the signing certificate is not valid yet"
                                               : "the signing certificate has expired", p, res);
    }
    if (sig->len != signer->size) {
        return refuse(CS_SIG_REFUSED, "signature:length",
                      apr_psprintf(p, "the signature has %" APR_SIZE_T_FMT " bytes, the key makes %"
                                   APR_SIZE_T_FMT, sig->len, signer->size), p, res);
    }
    cs_sha256(digest, body, len);
    ERR_clear_error();
    ctx = take_context(signer);
    good = ctx ? EVP_PKEY_verify(ctx, sig->bytes, sig->len, digest, sizeof(digest)) : -1;
    if (ctx) {
        give_context(signer, ctx);
    }
    ERR_clear_error();
    if (good != 1) {
        return refuse(CS_SIG_REFUSED, "signature:mismatch", "the signature does not fit the body",
                      p, res);
    }
    cs_result_clear(res);
    return CS_SIG_OK;
}
