#include "assertion.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/crypto.h"
#include "../base/json.h"
#include "../base/time.h"

#define CERTIFICATE_MAX ((apr_size_t)64 * 1024)
#define ASSERTION_LIFE 600
#define BEARER_LIFE 180 /* the most that is taken */

static apr_status_t no_certificate(cs_result_t *res, apr_pool_t *p, apr_status_t rv,
                                   const char *file, const char *why)
{
    char text[128];

    return cs_result_set(res, p, rv, CS_CLASS_SUSPEND, "config:certificate", "%s: %s", file,
                         why ? why : cs_strerror(rv, text, sizeof(text)));
}

static apr_status_t read_certificate(const char **ppem, apr_size_t *plen, const char *file,
                                     apr_pool_t *ptemp, cs_result_t *res)
{
    char *pem = apr_palloc(ptemp, CERTIFICATE_MAX + 1);
    apr_file_t *f;
    apr_status_t rv = apr_file_open(&f, file, APR_FOPEN_READ | APR_FOPEN_BINARY, 0, ptemp);

    *ppem = pem;
    *plen = 0;
    /* The file may hold the key as well. */
    cs_wipe_at_end(pem, CERTIFICATE_MAX, ptemp);
    if (rv != APR_SUCCESS) {
        return no_certificate(res, ptemp, rv, file, NULL);
    }
    rv = apr_file_read_full(f, pem, CERTIFICATE_MAX, plen);
    apr_file_close(f);
    if (rv != APR_SUCCESS && rv != APR_EOF) {
        return no_certificate(res, ptemp, rv, file, NULL);
    }
    pem[*plen] = '\0';
    return APR_SUCCESS;
}

static const char *base64url_json(json_t *json, apr_pool_t *p)
{
    const char *text = cs_json_print(json, p);

    json_decref(json);
    return cs_base64url_encode(text, strlen(text), p);
}

/* "header.claims": what is signed. */
static const char *assertion_text(const cs_token_config_t *cfg, const unsigned char *digest,
                                  apr_size_t len, apr_pool_t *ptemp)
{
    apr_int64_t now = apr_time_sec(cs_time_now());
    json_t *header =
        json_pack("{s:s, s:s, s:s}", "alg", cfg->rs256 ? "RS256" : "PS256", "typ", "JWT",
                  cfg->rs256 ? "x5t" : "x5t#S256", cs_base64url_encode(digest, len, ptemp));
    json_t *claims =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "aud", cfg->url, "iss", cfg->client_id,
                  "sub", cfg->client_id, "jti", cs_uuid4(ptemp), "nbf", (json_int_t)now, "iat",
                  (json_int_t)now, "exp", (json_int_t)(now + ASSERTION_LIFE));

    return apr_pstrcat(ptemp, base64url_json(header, ptemp), ".", base64url_json(claims, ptemp),
                       NULL);
}

/* "header.claims" of an assertion that is a grant itself. */
static const char *bearer_text(const cs_token_config_t *cfg, apr_pool_t *ptemp)
{
    apr_int64_t now = apr_time_sec(cs_time_now());
    json_t *header = json_pack("{s:s}", "alg", "RS256");
    json_t *claims = json_pack("{s:s, s:s, s:s, s:I}", "iss", cfg->client_id, "sub", cfg->user,
                               "aud", cfg->addressee, "exp", (json_int_t)(now + BEARER_LIFE));

    return apr_pstrcat(ptemp, base64url_json(header, ptemp), ".", base64url_json(claims, ptemp),
                       NULL);
}

static void sign_off(const char **ptext, const char *text, const unsigned char *sig, apr_size_t len,
                     apr_pool_t *ptemp)
{
    *ptext = apr_pstrcat(ptemp, text, ".", cs_base64url_encode(sig, len, ptemp), NULL);
    cs_wipe_at_end((char *)*ptext, strlen(*ptext), ptemp);
}

/* No certificate goes along: the server has it on file. */
static apr_status_t make_bearer(const char **ptext, const cs_token_config_t *cfg, apr_pool_t *ptemp,
                                cs_result_t *res)
{
    const char *text = bearer_text(cfg, ptemp);
    const unsigned char *sig;
    apr_size_t len;

    if (cs_rsa_sign(&sig, &len, 0, cfg->key->value, cfg->key->len, text, strlen(text), ptemp) !=
        APR_SUCCESS) {
        return no_certificate(res, ptemp, CS_EPARSE, cfg->key->ref,
                              "this is not an RSA private key (PEM without a passphrase)");
    }
    sign_off(ptext, text, sig, len, ptemp);
    return APR_SUCCESS;
}

apr_status_t cs_assertion_make(const char **ptext, const cs_token_config_t *cfg, apr_pool_t *ptemp,
                               cs_result_t *res)
{
    unsigned char digest[CS_SHA256_LEN];
    const unsigned char *sig;
    apr_size_t len, dlen, slen;
    const char *pem, *text;
    apr_status_t rv;

    if (!cfg->key || !cfg->key->value) {
        return cs_result_set(res, ptemp, APR_EINVAL, CS_CLASS_SUSPEND, "config:certificate",
                             "the certificate's key %s is not loaded",
                             cfg->key ? cfg->key->ref : "(none)");
    }
    if (cfg->grant == CS_GRANT_JWT_BEARER) {
        return make_bearer(ptext, cfg, ptemp, res);
    }
    rv = read_certificate(&pem, &len, cfg->certificate, ptemp, res);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (cs_cert_digest(digest, &dlen, cfg->rs256, pem, len) != APR_SUCCESS) {
        return no_certificate(res, ptemp, CS_EPARSE, cfg->certificate,
                              "there is no certificate in this file (PEM is expected)");
    }
    text = assertion_text(cfg, digest, dlen, ptemp);
    if (cs_rsa_sign(&sig, &slen, !cfg->rs256, cfg->key->value, cfg->key->len, text, strlen(text),
                    ptemp) != APR_SUCCESS) {
        return no_certificate(res, ptemp, CS_EPARSE, cfg->key->ref,
                              "this is not an RSA private key (PEM without a passphrase)");
    }
    if (!cs_cert_has_key(pem, len, cfg->key->value, cfg->key->len)) {
        return cs_result_set(res, ptemp, CS_EPARSE, CS_CLASS_SUSPEND, "config:certificate",
                             "the key %s does not belong to the certificate %s", cfg->key->ref,
                             cfg->certificate);
    }
    sign_off(ptext, text, sig, slen, ptemp);
    return APR_SUCCESS;
}
