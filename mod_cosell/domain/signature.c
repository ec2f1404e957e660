/* domain/signature.c: the signature of one request, on the path of every webhook: what its headers
 * say, and whether it fits the raw body. Trusts are made in signature_trust.c, signers in
 * signature_signer.c, long before. */
#include "signature_internal.h"

#include <apr_strings.h>
#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#include "../base/crypto.h"

#define SIGNATURE_MIN 256
#define SIGNATURE_MAX 512

#define SHOWN_MAX 120

const char *cs_signature_show(const char *text, apr_size_t len, apr_pool_t *p)
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

    return n <= 20 && header[n] ? cs_signature_show(header, n, p) : "none";
}

static cs_sig_verdict_e take_bytes(cs_signature_t *sig, const char *header, apr_pool_t *p,
                                   cs_result_t *res)
{
    const char *text = skip_scheme(header);
    apr_size_t len;

    if (!text) {
        return refuse(CS_SIG_REFUSED, "signature:scheme",
                      apr_psprintf(p, "the signature's scheme is %s: allowed is Signature",
                                   show_scheme(header, p)),
                      p, res);
    }
    len = strlen(text);
    if (cs_base64_decode(&sig->bytes, &sig->len, text, len, SIGNATURE_MAX, p) != APR_SUCCESS ||
        sig->len < SIGNATURE_MIN) {
        return refuse(CS_SIG_REFUSED, "signature:base64",
                      apr_psprintf(p,
                                   "the signature of %" APR_SIZE_T_FMT " characters is not the "
                                   "base64 of %d to %d bytes",
                                   len, SIGNATURE_MIN, SIGNATURE_MAX),
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
                                          : "X-MS-Certificate-Url is missing",
                      p, res);
    }
    if (strcasecmp(algorithm, "rsa-sha256")) {
        return refuse(CS_SIG_REFUSED, "signature:algorithm",
                      apr_psprintf(p, "signature algorithm %s: allowed is rsa-sha256",
                                   cs_signature_show(algorithm, strlen(algorithm), p)),
                      p, res);
    }
    if (!cs_trust_url_allowed(trust, cert_url)) {
        return refuse(CS_SIG_REFUSED, "signature:url",
                      apr_psprintf(p, "certificate URL %s is not one of those configured",
                                   cs_signature_show(cert_url, strlen(cert_url), p)),
                      p, res);
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

    for (i = 0; i < CS_SIGNER_SLOTS && !ctx; i++) {
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

    for (i = 0; i < CS_SIGNER_SLOTS; i++) {
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
                                               : "the signing certificate has expired",
                      p, res);
    }
    if (sig->len != signer->size) {
        return refuse(CS_SIG_REFUSED, "signature:length",
                      apr_psprintf(p,
                                   "the signature has %" APR_SIZE_T_FMT
                                   " bytes, the key makes %" APR_SIZE_T_FMT,
                                   sig->len, signer->size),
                      p, res);
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
