/* domain/signature_trust.c: a trust: roots, intermediates and revocation lists out of their
 * bundles, and the names that a signer must have. */
#include "signature_internal.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <unistd.h>

#define BUNDLE_MAX (8 * 1024 * 1024)

#define ORG_DEFAULT "Microsoft Corporation"

static apr_status_t fail_file(const char *file, apr_status_t rv, const char *reason, apr_pool_t *p,
                              cs_result_t *res)
{
    return cs_result_set(res, p, rv, CS_CLASS_SUSPEND, "certificate:bundle",
                         "could not load \"%s\": %s", file, reason);
}

int cs_pem_no_passphrase(char *buf, int size, int writing, void *baton)
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
    X509 *cert = PEM_read_bio_X509(bio, NULL, cs_pem_no_passphrase, NULL);
    int ok = cert && X509_STORE_add_cert(baton, cert);

    X509_free(cert);
    return cert ? (ok ? 1 : -1) : 0;
}

static int take_intermediate(void *baton, BIO *bio)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, cs_pem_no_passphrase, NULL);

    if (cert && !sk_X509_push(baton, cert)) {
        X509_free(cert);
        return -1;
    }
    return cert != NULL;
}

static int take_crl(void *baton, BIO *bio)
{
    X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, cs_pem_no_passphrase, NULL);
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
    trust->names =
        cfg->names ? apr_array_copy(p, cfg->names) : apr_array_make(p, 1, sizeof(const char *));
    trust->exact = apr_array_make(p, 4, sizeof(const char *));
    trust->patterns = apr_array_make(p, 4, sizeof(const char *));
    rv = cs_trust_take_urls(trust, cfg->urls, p, res);
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
