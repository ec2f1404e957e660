/* base/crypto.h: digests, random, sealing, encodings. With domain/signature*.c the only user of
 * libcrypto. No global OpenSSL state is touched; the error queue is empty before and after each
 * call (httpd-and-style.md T23). Any thread. */
#ifndef CS_BASE_CRYPTO_H
#define CS_BASE_CRYPTO_H

#include <apr_pools.h>
#include "result.h"

#define CS_SHA256_LEN 32
#define CS_KEY_LEN 32

void cs_sha256(unsigned char out[CS_SHA256_LEN], const void *data, apr_size_t len);
/* lower-case hex in p */
const char *cs_sha256_hex(const void *data, apr_size_t len, apr_pool_t *p);
apr_status_t cs_hmac_sha256(unsigned char out[CS_SHA256_LEN], const void *key, apr_size_t keylen,
                            const void *data, apr_size_t len);

apr_status_t cs_random(void *buf, apr_size_t len);
/* Random (version 4) GUID, lower case, 36 characters, in p. */
const char *cs_uuid4(apr_pool_t *p);
/* Name-based (version 5, SHA-1, RFC 4122 URL namespace) GUID of name. deals 1: Dataverse row ids.
 */
const char *cs_uuid5_url(const char *name, apr_pool_t *p);
/* 1 if the len bytes at s are 8-4-4-4-12 hex. */
int cs_uuid_valid(const char *s, apr_size_t len);
/* Those bytes as a GUID in lower case, in p; NULL when they are none. s may be NULL with len 0. */
const char *cs_uuid_lower(const char *s, apr_size_t len, apr_pool_t *p);

/* 1 if equal; time depends on the lengths only. */
int cs_equal_consttime(const void *a, apr_size_t alen, const void *b, apr_size_t blen);
/* Overwrites, not optimised away. */
void cs_wipe(void *buf, apr_size_t len);
/* cs_wipe(buf, len) when p is cleared or destroyed. */
void cs_wipe_at_end(void *buf, apr_size_t len, apr_pool_t *p);

/* Strict RFC 4648 base64: canonical padding, no white space. The decoded bytes in p. APR_EINVAL
 * otherwise. max = longest allowed result. */
apr_status_t cs_base64_decode(const unsigned char **pout, apr_size_t *plen, const char *text,
                              apr_size_t textlen, apr_size_t max, apr_pool_t *p);
/* The same of base64url, padded or not, as a JWT has it. */
apr_status_t cs_base64url_decode(const unsigned char **pout, apr_size_t *plen, const char *text,
                                 apr_size_t textlen, apr_size_t max, apr_pool_t *p);
const char *cs_base64_encode(const void *data, apr_size_t len, apr_pool_t *p);
const char *cs_base64url_encode(const void *data, apr_size_t len, apr_pool_t *p);

/* AES-256-GCM with a fresh random 96-bit nonce; out = nonce | ciphertext | tag. aad binds the
 * sealed text to its place ("site\nname\nversion"). */
apr_status_t cs_seal(const unsigned char **pout, apr_size_t *plen,
                     const unsigned char key[CS_KEY_LEN], const char *aad, const void *plain,
                     apr_size_t len, apr_pool_t *p);
/* The plain bytes in p, NUL-terminated for convenience and wiped at its end. CS_EPARSE when key,
 * aad or text do not fit. */
apr_status_t cs_unseal(const unsigned char **pout, apr_size_t *plen,
                       const unsigned char key[CS_KEY_LEN], const char *aad, const void *sealed,
                       apr_size_t len, apr_pool_t *p);
/* A sealed box: anybody can put something in, only who has the private key can read it (X25519, the
 * shared secret hashed with both public keys, AES-256-GCM). For what a process without the sealing
 * key leaves for the runner. */
#define CS_BOX_KEY_LEN 32
apr_status_t cs_box_make(unsigned char public_key[CS_BOX_KEY_LEN],
                         unsigned char private_key[CS_BOX_KEY_LEN]);
apr_status_t cs_box_seal(const unsigned char **pout, apr_size_t *plen,
                         const unsigned char public_key[CS_BOX_KEY_LEN], const char *aad,
                         const void *plain, apr_size_t len, apr_pool_t *p);
/* As cs_unseal(). */
apr_status_t cs_box_open(const unsigned char **pout, apr_size_t *plen,
                         const unsigned char private_key[CS_BOX_KEY_LEN], const char *aad,
                         const void *sealed, apr_size_t len, apr_pool_t *p);
/* Key from a passphrase (scrypt, N=2^15, r=8, p=1; salt given by the caller). */
apr_status_t cs_key_derive(unsigned char key[CS_KEY_LEN], const char *passphrase, apr_size_t len,
                           const void *salt, apr_size_t saltlen);

/* The digest of the first certificate (its DER) in a PEM text: SHA-256, or SHA-1 when asked for.
 * CS_EPARSE when there is none. */
apr_status_t cs_cert_digest(unsigned char out[CS_SHA256_LEN], apr_size_t *plen, int sha1,
                            const char *pem, apr_size_t len);
/* Until when the first certificate in a PEM text is good. CS_EPARSE when there is none. */
apr_status_t cs_cert_until(apr_time_t *puntil, const char *pem, apr_size_t len);
/* 1 if the private key (PEM, without a passphrase) belongs to that certificate. */
int cs_cert_has_key(const char *pem, apr_size_t len, const char *key_pem, apr_size_t key_len);
/* A signature by an RSA key (PEM, without a passphrase) over SHA-256 in p: PKCS #1 v1.5, or PSS
 * with a salt of 32 bytes. CS_EPARSE when it is no such key. */
apr_status_t cs_rsa_sign(const unsigned char **psig, apr_size_t *plen, int pss, const char *key_pem,
                         apr_size_t key_len, const void *data, apr_size_t len, apr_pool_t *p);

#endif
