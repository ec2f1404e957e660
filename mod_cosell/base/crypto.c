#include "crypto.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define NONCE_LEN 12
#define TAG_LEN 16

void cs_sha256(unsigned char out[CS_SHA256_LEN], const void *data, apr_size_t len)
{
    ERR_clear_error();
    /* Fails only without memory; a digest of nothing in its place would be believed. */
    if (!SHA256(len ? data : (const void *)"", len, out)) {
        abort();
    }
    ERR_clear_error();
}

static char *hex_of(const unsigned char *bytes, apr_size_t len, apr_pool_t *p)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = apr_palloc(p, len * 2 + 1);
    apr_size_t i;

    for (i = 0; i < len; i++) {
        hex[i * 2] = digits[bytes[i] >> 4];
        hex[i * 2 + 1] = digits[bytes[i] & 15];
    }
    hex[len * 2] = '\0';
    return hex;
}

const char *cs_sha256_hex(const void *data, apr_size_t len, apr_pool_t *p)
{
    unsigned char digest[CS_SHA256_LEN];

    cs_sha256(digest, data, len);
    return hex_of(digest, sizeof(digest), p);
}

apr_status_t cs_hmac_sha256(unsigned char out[CS_SHA256_LEN], const void *key, apr_size_t keylen,
                            const void *data, apr_size_t len)
{
    unsigned int outlen = CS_SHA256_LEN;
    unsigned char *done;

    if (keylen > INT_MAX) {
        return APR_EINVAL;
    }
    ERR_clear_error();
    done = HMAC(EVP_sha256(), keylen ? key : "", (int)keylen, len ? data : (const void *)"", len,
                out, &outlen);
    ERR_clear_error();
    return done && outlen == CS_SHA256_LEN ? APR_SUCCESS : APR_EGENERAL;
}

apr_status_t cs_random(void *buf, apr_size_t len)
{
    unsigned char *to = buf;

    ERR_clear_error();
    while (len > 0) {
        int n = len > INT_MAX ? INT_MAX : (int)len;

        if (RAND_bytes(to, n) != 1) {
            ERR_clear_error();
            return APR_EGENERAL;
        }
        to += n;
        len -= (apr_size_t)n;
    }
    ERR_clear_error();
    return APR_SUCCESS;
}

static const char *format_uuid(unsigned char id[16], int version, apr_pool_t *p)
{
    const char *hex;

    id[6] = (unsigned char)((id[6] & 0x0f) | (version << 4));
    id[8] = (unsigned char)((id[8] & 0x3f) | 0x80);
    hex = hex_of(id, 16, p);
    return apr_psprintf(p, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

const char *cs_uuid4(apr_pool_t *p)
{
    unsigned char id[16];

    /* An id that is not unique would join two deals: better no process than that. */
    if (cs_random(id, sizeof(id)) != APR_SUCCESS &&
        apr_generate_random_bytes(id, sizeof(id)) != APR_SUCCESS) {
        abort();
    }
    return format_uuid(id, 4, p);
}

const char *cs_uuid5_url(const char *name, apr_pool_t *p)
{
    static const unsigned char url_namespace[16] = {0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1,
                                                    0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
    unsigned char digest[SHA_DIGEST_LENGTH];
    apr_size_t len = strlen(name);
    unsigned char *text = apr_palloc(p, sizeof(url_namespace) + len);

    memcpy(text, url_namespace, sizeof(url_namespace));
    memcpy(text + sizeof(url_namespace), name, len);
    ERR_clear_error();
    if (!SHA1(text, sizeof(url_namespace) + len, digest)) {
        abort();
    }
    ERR_clear_error();
    return format_uuid(digest, 5, p);
}

int cs_uuid_valid(const char *s, apr_size_t len)
{
    apr_size_t i;

    if (!s || len != 36) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        char c = s[i];
        int hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

        if (i == 8 || i == 13 || i == 18 || i == 23 ? c != '-' : !hex) {
            return 0;
        }
    }
    return 1;
}

const char *cs_uuid_lower(const char *s, apr_size_t len, apr_pool_t *p)
{
    return cs_uuid_valid(s, len) ? cs_text_lower(apr_pstrmemdup(p, s, len), p) : NULL;
}

int cs_equal_consttime(const void *a, apr_size_t alen, const void *b, apr_size_t blen)
{
    if (alen != blen) {
        return 0;
    }
    return alen == 0 || CRYPTO_memcmp(a, b, alen) == 0;
}

void cs_wipe(void *buf, apr_size_t len)
{
    if (buf && len) {
        OPENSSL_cleanse(buf, len);
    }
}

typedef struct wipe_t {
    void *buf;
    apr_size_t len;
} wipe_t;

static apr_status_t wipe_cleanup(void *data)
{
    wipe_t *w = data;

    cs_wipe(w->buf, w->len);
    return APR_SUCCESS;
}

void cs_wipe_at_end(void *buf, apr_size_t len, apr_pool_t *p)
{
    wipe_t *w = apr_palloc(p, sizeof(*w));

    w->buf = buf;
    w->len = len;
    apr_pool_cleanup_register(p, w, wipe_cleanup, apr_pool_cleanup_null);
}

/* Values of the alphabet plus 1, so that 0 is no character of it. A table: on random text every
 * branch would be guessed wrong half the time. */
static const unsigned char value_plus_1[256] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  63,
    0,  0,  0,  64, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 0,  0,  0,  0,  0,  0,  0,  1,
    2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    24, 25, 26, 0,  0,  0,  0,  0,  0,  27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
    40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 0,  0,  0,  0,  0,
};

/* Four characters of which the last `pad` are '='; 24 bits or -1. */
static int value_of_quad(const char *s, int pad)
{
    int bits = 0;
    int i;

    for (i = 0; i < 4; i++) {
        int v = i >= 4 - pad ? 1 : value_plus_1[(unsigned char)s[i]];

        if (!v) {
            return -1;
        }
        bits = bits << 6 | (v - 1);
    }
    /* Bits that reach no byte must be 0, or one signature would have several spellings. */
    return bits & ((1 << pad * 8) - 1) ? -1 : bits;
}

apr_status_t cs_base64_decode(const unsigned char **pout, apr_size_t *plen, const char *text,
                              apr_size_t textlen, apr_size_t max, apr_pool_t *p)
{
    apr_size_t i, n, len, pad = 0;
    unsigned char *out;

    *pout = NULL;
    *plen = 0;
    if (!text || textlen % 4) {
        return APR_EINVAL;
    }
    while (pad < 2 && pad < textlen && text[textlen - 1 - pad] == '=') {
        pad++;
    }
    len = textlen / 4 * 3 - pad;
    if (len > max) {
        return APR_EINVAL;
    }
    out = apr_palloc(p, textlen / 4 * 3 + 1);
    for (i = 0, n = 0; i < textlen; i += 4) {
        int bits = value_of_quad(text + i, i + 4 == textlen ? (int)pad : 0);

        if (bits < 0) {
            return APR_EINVAL;
        }
        out[n++] = (unsigned char)(bits >> 16);
        out[n++] = (unsigned char)(bits >> 8);
        out[n++] = (unsigned char)bits;
    }
    out[len] = '\0';
    *pout = out;
    *plen = len;
    return APR_SUCCESS;
}

#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static char *encode(const unsigned char *s, apr_size_t len, const char *alphabet, int padded,
                    apr_pool_t *p)
{
    char *out = apr_palloc(p, len / 3 * 4 + 5);
    apr_size_t n = 0;

    while (len > 0) {
        unsigned bits = (unsigned)s[0] << 16;

        bits |= len > 1 ? (unsigned)s[1] << 8 : 0;
        bits |= len > 2 ? s[2] : 0;
        out[n++] = alphabet[bits >> 18];
        out[n++] = alphabet[bits >> 12 & 63];
        if (len > 1) {
            out[n++] = alphabet[bits >> 6 & 63];
        }
        if (len > 2) {
            out[n++] = alphabet[bits & 63];
        }
        s += len > 3 ? 3 : len;
        len -= len > 3 ? 3 : len;
    }
    while (padded && n % 4) {
        out[n++] = '=';
    }
    out[n] = '\0';
    return out;
}

const char *cs_base64_encode(const void *data, apr_size_t len, apr_pool_t *p)
{
    return encode(data, len, ALPHANUMERIC "+/", 1, p);
}

const char *cs_base64url_encode(const void *data, apr_size_t len, apr_pool_t *p)
{
    return encode(data, len, ALPHANUMERIC "-_", 0, p);
}

apr_status_t cs_base64url_decode(const unsigned char **pout, apr_size_t *plen, const char *text,
                                 apr_size_t textlen, apr_size_t max, apr_pool_t *p)
{
    apr_size_t i;
    char *copy;

    *pout = NULL;
    *plen = 0;
    while (textlen && text[textlen - 1] == '=') {
        textlen--;
    }
    if (textlen / 4 * 3 > max + 3) {
        return APR_EINVAL;
    }
    copy = apr_palloc(p, textlen + 4);
    for (i = 0; i < textlen; i++) {
        if (text[i] == '+' || text[i] == '/') {
            return APR_EINVAL;
        }
        copy[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    while (i % 4) {
        copy[i++] = '=';
    }
    return cs_base64_decode(pout, plen, copy, i, max, p);
}

/* The whole of an AES-256-GCM operation but the tag: 1 when good. */
static int run_gcm(EVP_CIPHER_CTX *ctx, int seal, const unsigned char *key,
                   const unsigned char *nonce, const char *aad, unsigned char *out,
                   const unsigned char *in, apr_size_t len)
{
    apr_size_t aadlen = aad ? strlen(aad) : 0;
    int n;

    return aadlen <= INT_MAX && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal) &&
           (!aadlen || EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)aad, (int)aadlen)) &&
           (!len || EVP_CipherUpdate(ctx, out, &n, in, (int)len));
}

apr_status_t cs_seal(const unsigned char **pout, apr_size_t *plen,
                     const unsigned char key[CS_KEY_LEN], const char *aad, const void *plain,
                     apr_size_t len, apr_pool_t *p)
{
    apr_status_t rv = APR_EGENERAL;
    EVP_CIPHER_CTX *ctx;
    unsigned char *out;
    int n;

    *pout = NULL;
    *plen = 0;
    if (len > INT_MAX - NONCE_LEN - TAG_LEN) {
        return APR_EINVAL;
    }
    out = apr_palloc(p, NONCE_LEN + len + TAG_LEN);
    rv = cs_random(out, NONCE_LEN);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    ERR_clear_error();
    ctx = EVP_CIPHER_CTX_new();
    if (ctx && run_gcm(ctx, 1, key, out, aad, out + NONCE_LEN, plain, len) &&
        EVP_CipherFinal_ex(ctx, out + NONCE_LEN + len, &n) &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + NONCE_LEN + len)) {
        *pout = out;
        *plen = NONCE_LEN + len + TAG_LEN;
    }
    else {
        rv = APR_EGENERAL;
    }
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return rv;
}

apr_status_t cs_unseal(const unsigned char **pout, apr_size_t *plen,
                       const unsigned char key[CS_KEY_LEN], const char *aad, const void *sealed,
                       apr_size_t len, apr_pool_t *p)
{
    const unsigned char *in = sealed;
    unsigned char tag[TAG_LEN];
    apr_status_t rv = CS_EPARSE;
    EVP_CIPHER_CTX *ctx;
    unsigned char *out;
    int n;

    *pout = NULL;
    *plen = 0;
    if (!in || len < NONCE_LEN + TAG_LEN || len > INT_MAX) {
        return CS_EPARSE;
    }
    len -= NONCE_LEN + TAG_LEN;
    memcpy(tag, in + NONCE_LEN + len, TAG_LEN);
    out = apr_palloc(p, len + 1);
    cs_wipe_at_end(out, len, p);
    out[len] = '\0';
    ERR_clear_error();
    ctx = EVP_CIPHER_CTX_new();
    if (ctx && run_gcm(ctx, 0, key, in, aad, out, in + NONCE_LEN, len) &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) &&
        EVP_CipherFinal_ex(ctx, out + len, &n) > 0) {
        *pout = out;
        *plen = len;
        rv = APR_SUCCESS;
    }
    else {
        cs_wipe(out, len);
    }
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return rv;
}

/* ---- boxes ---- */

/* What both ends know: the shared point alone is not evenly distributed, and the key belongs to
 * these two public keys. 1 when good. */
static int agree(unsigned char key[CS_KEY_LEN], EVP_PKEY *own, EVP_PKEY *other,
                 const unsigned char *ephemeral, const unsigned char *lasting)
{
    unsigned char text[3 * CS_BOX_KEY_LEN];
    size_t len = CS_BOX_KEY_LEN;
    EVP_PKEY_CTX *ctx = own && other ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    int good = ctx && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, other) > 0 &&
               EVP_PKEY_derive(ctx, text, &len) > 0 && len == CS_BOX_KEY_LEN;

    if (good) {
        memcpy(text + CS_BOX_KEY_LEN, ephemeral, CS_BOX_KEY_LEN);
        memcpy(text + 2 * CS_BOX_KEY_LEN, lasting, CS_BOX_KEY_LEN);
        cs_sha256(key, text, sizeof(text));
    }
    cs_wipe(text, sizeof(text));
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static EVP_PKEY *private_of(const unsigned char *key)
{
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, key, CS_BOX_KEY_LEN);
}

static EVP_PKEY *public_of(const unsigned char *key)
{
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, key, CS_BOX_KEY_LEN);
}

static int print_public(EVP_PKEY *key, unsigned char *out)
{
    size_t len = CS_BOX_KEY_LEN;

    return key && EVP_PKEY_get_raw_public_key(key, out, &len) > 0 && len == CS_BOX_KEY_LEN;
}

apr_status_t cs_box_make(unsigned char public_key[CS_BOX_KEY_LEN],
                         unsigned char private_key[CS_BOX_KEY_LEN])
{
    apr_status_t rv = cs_random(private_key, CS_BOX_KEY_LEN);
    EVP_PKEY *key;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    ERR_clear_error();
    key = private_of(private_key);
    rv = print_public(key, public_key) ? APR_SUCCESS : APR_EGENERAL;
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rv;
}

apr_status_t cs_box_seal(const unsigned char **pout, apr_size_t *plen,
                         const unsigned char public_key[CS_BOX_KEY_LEN], const char *aad,
                         const void *plain, apr_size_t len, apr_pool_t *p)
{
    unsigned char once[CS_BOX_KEY_LEN], shown[CS_BOX_KEY_LEN], key[CS_KEY_LEN];
    const unsigned char *sealed = NULL;
    apr_size_t n = 0;
    EVP_PKEY *own, *other;
    unsigned char *out;
    apr_status_t rv = cs_box_make(shown, once);

    *pout = NULL;
    *plen = 0;
    if (rv != APR_SUCCESS) {
        return rv;
    }
    own = private_of(once);
    other = public_of(public_key);
    rv = agree(key, own, other, shown, public_key) ? cs_seal(&sealed, &n, key, aad, plain, len, p)
                                                   : APR_EGENERAL;
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
    cs_wipe(once, sizeof(once));
    cs_wipe(key, sizeof(key));
    ERR_clear_error();
    if (rv == APR_SUCCESS) {
        out = apr_palloc(p, CS_BOX_KEY_LEN + n);
        memcpy(out, shown, CS_BOX_KEY_LEN);
        memcpy(out + CS_BOX_KEY_LEN, sealed, n);
        *pout = out;
        *plen = CS_BOX_KEY_LEN + n;
    }
    return rv;
}

apr_status_t cs_box_open(const unsigned char **pout, apr_size_t *plen,
                         const unsigned char private_key[CS_BOX_KEY_LEN], const char *aad,
                         const void *sealed, apr_size_t len, apr_pool_t *p)
{
    unsigned char lasting[CS_BOX_KEY_LEN], key[CS_KEY_LEN];
    EVP_PKEY *own, *other;
    apr_status_t rv = CS_EPARSE;

    *pout = NULL;
    *plen = 0;
    if (!sealed || len < CS_BOX_KEY_LEN) {
        return rv;
    }
    ERR_clear_error();
    own = private_of(private_key);
    other = public_of(sealed);
    if (print_public(own, lasting) && agree(key, own, other, sealed, lasting)) {
        rv = cs_unseal(pout, plen, key, aad, (const unsigned char *)sealed + CS_BOX_KEY_LEN,
                       len - CS_BOX_KEY_LEN, p);
    }
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
    cs_wipe(key, sizeof(key));
    ERR_clear_error();
    return rv;
}

apr_status_t cs_key_derive(unsigned char key[CS_KEY_LEN], const char *passphrase, apr_size_t len,
                           const void *salt, apr_size_t saltlen)
{
    int ok;

    ERR_clear_error();
    /* N * r * 128 bytes are 32 MiB, just above OpenSSL's own limit. */
    ok = EVP_PBE_scrypt(len ? passphrase : "", len, salt, saltlen, 1 << 15, 8, 1, 64 * 1024 * 1024,
                        key, CS_KEY_LEN);
    ERR_clear_error();
    return ok ? APR_SUCCESS : APR_EGENERAL;
}

/* ---- certificates and signatures ---- */

static BIO *bio_of(const char *pem, apr_size_t len)
{
    return len > 0 && len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
}

/* A key with a passphrase would ask the terminal for it. */
static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return 0;
}

static X509 *read_certificate(const char *pem, apr_size_t len)
{
    BIO *bio = bio_of(pem, len);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_key(const char *pem, apr_size_t len)
{
    BIO *bio = bio_of(pem, len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    return key;
}

apr_status_t cs_cert_digest(unsigned char out[CS_SHA256_LEN], apr_size_t *plen, int sha1,
                            const char *pem, apr_size_t len)
{
    unsigned int n = 0;
    X509 *cert;
    int ok;

    *plen = 0;
    ERR_clear_error();
    cert = read_certificate(pem, len);
    ok = cert && X509_digest(cert, sha1 ? EVP_sha1() : EVP_sha256(), out, &n) && n <= CS_SHA256_LEN;
    X509_free(cert);
    ERR_clear_error();
    *plen = ok ? n : 0;
    return ok ? APR_SUCCESS : CS_EPARSE;
}

apr_status_t cs_cert_until(apr_time_t *puntil, const char *pem, apr_size_t len)
{
    struct tm tm;
    X509 *cert;
    int ok;

    *puntil = 0;
    ERR_clear_error();
    cert = read_certificate(pem, len);
    ok = cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1;
    if (ok) {
        *puntil = apr_time_from_sec((apr_time_t)timegm(&tm));
    }
    X509_free(cert);
    ERR_clear_error();
    return ok ? APR_SUCCESS : CS_EPARSE;
}

int cs_cert_has_key(const char *pem, apr_size_t len, const char *key_pem, apr_size_t key_len)
{
    EVP_PKEY *key;
    X509 *cert;
    int fits;

    ERR_clear_error();
    cert = read_certificate(pem, len);
    key = read_key(key_pem, key_len);
    fits = cert && key && X509_check_private_key(cert, key) == 1;
    EVP_PKEY_free(key);
    X509_free(cert);
    ERR_clear_error();
    return fits;
}

/* The salt is as long as the digest, as JWS asks for it. */
static int use_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

apr_status_t cs_rsa_sign(const unsigned char **psig, apr_size_t *plen, int pss, const char *key_pem,
                         apr_size_t key_len, const void *data, apr_size_t len, apr_pool_t *p)
{
    EVP_PKEY_CTX *how = NULL;
    EVP_MD_CTX *ctx = NULL;
    unsigned char *sig = NULL;
    size_t n = 0;
    EVP_PKEY *key;
    int ok;

    *psig = NULL;
    *plen = 0;
    ERR_clear_error();
    key = read_key(key_pem, key_len);
    ok = key && EVP_PKEY_base_id(key) == EVP_PKEY_RSA && (ctx = EVP_MD_CTX_new()) != NULL &&
         EVP_DigestSignInit(ctx, &how, EVP_sha256(), NULL, key) == 1 && (!pss || use_pss(how)) &&
         EVP_DigestSign(ctx, NULL, &n, data, len) == 1;
    if (ok) {
        sig = apr_palloc(p, n + 1);
        ok = EVP_DigestSign(ctx, sig, &n, data, len) == 1;
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!ok) {
        return CS_EPARSE;
    }
    *psig = sig;
    *plen = n;
    return APR_SUCCESS;
}
