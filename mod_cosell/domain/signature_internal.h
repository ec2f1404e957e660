/* domain/signature_internal.h: what the files signature*.c share. Nobody else includes it: it is
 * part of libcrypto's door. */
#ifndef CS_DOMAIN_SIGNATURE_INTERNAL_H
#define CS_DOMAIN_SIGNATURE_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdatomic.h>

#include "signature.h"

/* Verifications of one signer that run at the same time without making a context. */
#define CS_SIGNER_SLOTS 32

struct cs_trust_t {
    X509_STORE *store;
    STACK_OF(X509) * intermediates;
    const char *issuer_org;
    const char *subject_org;
    const apr_array_header_t *names;
    apr_array_header_t *exact;    /* const char * */
    apr_array_header_t *patterns; /* const char * */
};

struct cs_signer_t {
    EVP_PKEY *key;
    EVP_PKEY_CTX *prepared;         /* never used itself, only duplicated */
    _Atomic(EVP_PKEY_CTX *) *slots; /* contexts that no call uses now; NULL = a free place */
    apr_size_t size;                /* bytes of a signature */
    apr_time_t not_before;
    apr_time_t not_after;
};

/* signature.c: at most 120 bytes of text from outside, quoted, everything unprintable as \xNN; in
 * p. */
const char *cs_signature_show(const char *text, apr_size_t len, apr_pool_t *p);
/* signature_url.c: puts configured URLs into `exact` and `patterns`, or says which is none. */
apr_status_t cs_trust_take_urls(cs_trust_t *trust, const apr_array_header_t *urls, apr_pool_t *p,
                                cs_result_t *res);
/* signature_trust.c: a pem_password_cb that has none: nothing may ask for one at a terminal. */
int cs_pem_no_passphrase(char *buf, int size, int writing, void *baton);

#endif
