/* Signing in with a certificate: what is signed, by which key, and what is said when it cannot be.
 * (crm-apis.md A1) */
#include "unit_dynamics.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "mod_cosell/base/crypto.h"

/* ---- keys ---- */

typedef struct identity_t {
    EVP_PKEY *key;
    X509 *cert;
    const char *cert_file, *key_pem;
} identity_t;

static const char *text_of(BIO *bio, apr_pool_t *p)
{
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    const char *text = apr_pstrmemdup(p, data, (apr_size_t)n);

    BIO_free(bio);
    return text;
}

static apr_status_t free_identity(void *baton)
{
    identity_t *id = baton;

    X509_free(id->cert);
    EVP_PKEY_free(id->key);
    return APR_SUCCESS;
}

static identity_t *make_identity(const char *name, int ec, apr_pool_t *p)
{
    identity_t *id = apr_pcalloc(p, sizeof(*id));
    BIO *bio = BIO_new(BIO_s_mem());
    const char *pem;

    id->key = ec ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                 : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    id->cert = X509_new();
    assert_non_null(id->key);
    ASN1_INTEGER_set(X509_get_serialNumber(id->cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(id->cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(id->cert), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id->cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(id->cert, id->key);
    assert_true(X509_sign(id->cert, id->key, EVP_sha256()) > 0);
    assert_true(PEM_write_bio_X509(bio, id->cert));
    pem = text_of(bio, p);
    id->cert_file = unit_write(p, name, pem, strlen(pem));
    bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PKCS8PrivateKey(bio, id->key, NULL, NULL, 0, NULL, NULL));
    id->key_pem = text_of(bio, p);
    apr_pool_cleanup_register(p, id, free_identity, apr_pool_cleanup_null);
    return id;
}

static int is_signed_by(const identity_t *id, int pss, const char *text, size_t len,
                        const unsigned char *sig, size_t slen)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how;
    int good = EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, id->key) == 1;

    if (pss) {
        good = good && EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 32) > 0;
    }
    good = good && EVP_DigestVerify(ctx, sig, slen, (const unsigned char *)text, len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* ---- the functions ---- */

static void test_sign(void **state)
{
    apr_pool_t *p = *state;
    identity_t *id = make_identity("one", 0, p), *other = make_identity("two", 0, p),
               *ec = make_identity("ec", 1, p);
    unsigned char digest[CS_SHA256_LEN], expected[EVP_MAX_MD_SIZE];
    const unsigned char *sig;
    char *pem = apr_palloc(p, 8192);
    apr_size_t len, dlen;
    unsigned n;
    FILE *f = fopen(id->cert_file, "rb");

    len = fread(pem, 1, 8191, f);
    fclose(f);
    for (int pss = 0; pss < 2; pss++) {
        assert_ok(cs_rsa_sign(&sig, &dlen, pss, id->key_pem, strlen(id->key_pem), "data", 4, p));
        assert_int_equal(dlen, 256);
        assert_true(is_signed_by(id, pss, "data", 4, sig, dlen));
        assert_false(is_signed_by(id, !pss, "data", 4, sig, dlen));
        assert_false(is_signed_by(id, pss, "dato", 4, sig, dlen));
        assert_false(is_signed_by(other, pss, "data", 4, sig, dlen));
        assert_ok(cs_cert_digest(digest, &dlen, pss, pem, len));
        assert_true(X509_digest(id->cert, pss ? EVP_sha1() : EVP_sha256(), expected, &n));
        assert_int_equal(dlen, n);
        assert_memory_equal(digest, expected, n);
    }
    assert_true(cs_cert_has_key(pem, len, id->key_pem, strlen(id->key_pem)));
    assert_false(cs_cert_has_key(pem, len, other->key_pem, strlen(other->key_pem)));
    assert_int_equal(cs_rsa_sign(&sig, &dlen, 1, ec->key_pem, strlen(ec->key_pem), "data", 4, p),
                     CS_EPARSE);
    assert_int_equal(cs_rsa_sign(&sig, &dlen, 1, "rubbish", 7, "data", 4, p), CS_EPARSE);
    assert_int_equal(cs_rsa_sign(&sig, &dlen, 1, "", 0, "data", 4, p), CS_EPARSE);
    assert_int_equal(cs_cert_digest(digest, &dlen, 0, id->key_pem, strlen(id->key_pem)), CS_EPARSE);
}

/* ---- the assertion ---- */

static const char *nothing(canned_t *c, const canned_op_t *op)
{
    (void)c;
    (void)op;
    return "200 "
           "OK\r\n\r\n{\"OrganizationId\":\"0f0d0000-0000-4000-8000-0000000000f0\",\"UserId\":"
           "\"0f0d0000-0000-4000-8000-00000000001f\"}";
}

static const char *field_of(const char *form, const char *name, apr_pool_t *p)
{
    const char *at = strstr(form, apr_pstrcat(p, name, "=", NULL));
    canned_op_t op = {
        .path = at ? apr_pstrmemdup(p, at + strlen(name) + 1, strcspn(at + strlen(name) + 1, "&"))
                   : NULL};

    return at ? plain_path(&op, p) : NULL;
}

static const unsigned char *base64url(const char *text, size_t len, size_t *plen, apr_pool_t *p)
{
    char *copy = apr_pstrcat(p, apr_pstrmemdup(p, text, len), &"==="[3 - (4 - len % 4) % 4], NULL);
    const unsigned char *out;

    for (char *c = copy; *c; c++) {
        *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
    }
    assert_ok(cs_base64_decode(&out, plen, copy, strlen(copy), 8192, p));
    return out;
}

static const json_t *json_part(const char *text, size_t len, apr_pool_t *p)
{
    size_t n;

    return json_of((const char *)base64url(text, len, &n, p), p);
}

static void check_assertion(const rig_t *r, const identity_t *id, int rs256, apr_pool_t *p)
{
    const char *form = r->server->last_token_form, *jwt = field_of(form, "client_assertion", p),
               *dot, *sig_at;
    apr_int64_t now = apr_time_sec(cs_time_now()), nbf;
    const json_t *header, *claims;
    const unsigned char *sig;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n;
    size_t len;

    assert_string_equal(field_of(form, "grant_type", p), "client_credentials");
    assert_string_equal(field_of(form, "client_assertion_type", p),
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert_null(strstr(form, "client_secret"));
    assert_non_null(jwt);
    dot = strchr(jwt, '.');
    sig_at = strrchr(jwt, '.');
    assert_true(dot && sig_at > dot);
    header = json_part(jwt, (size_t)(dot - jwt), p);
    claims = json_part(dot + 1, (size_t)(sig_at - dot - 1), p);
    sig = base64url(sig_at + 1, strlen(sig_at + 1), &len, p);
    assert_true(is_signed_by(id, !rs256, jwt, (size_t)(sig_at - jwt), sig, len));
    X509_digest(id->cert, rs256 ? EVP_sha1() : EVP_sha256(), digest, &n);
    assert_json(header,
                apr_psprintf(p, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"%s\":\"%s\"}",
                             rs256 ? "RS256" : "PS256", rs256 ? "x5t" : "x5t#S256",
                             cs_base64url_encode(digest, n, p)),
                p);
    assert_string_equal(cs_json_str(claims, "aud"), r->cfg.token_url);
    assert_string_equal(cs_json_str(claims, "iss"), r->cfg.client_id);
    assert_string_equal(cs_json_str(claims, "sub"), r->cfg.client_id);
    assert_true(cs_uuid_valid(cs_json_str(claims, "jti"), 36));
    nbf = cs_json_int(claims, "nbf", 0);
    assert_true(nbf <= now && nbf >= now - 60);
    assert_int_equal(cs_json_int(claims, "exp", 0) - nbf, 600);
}

static void test_assertion(void **state)
{
    apr_pool_t *p = *state;
    identity_t *id = make_identity("client", 0, p);
    rig_t *r = rig(nothing, p);
    cs_crm_whoami_t who;
    cs_result_t res;
    const char *first;

    r->cfg.client_secret = NULL;
    r->cfg.certificate = id->cert_file;
    r->cfg.key = &r->key;
    r->key.ref = "file:/key";
    r->key.value = id->key_pem;
    r->key.len = strlen(id->key_pem);
    assert_null(r->impl->check(&r->cfg, p));
    rig_renew(r, p);
    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    check_assertion(r, id, 0, p);
    first = field_of(r->server->last_token_form, "client_assertion", p);
    r->cfg.assertion_rs256 = 1;
    rig_renew(r, p);
    assert_ok(r->impl->whoami(r->crm, &who, 0, p, &res));
    check_assertion(r, id, 1, p);
    assert_string_not_equal(first, field_of(r->server->last_token_form, "client_assertion", p));
    canned_stop(r->server);
}

static void test_assertions_that_cannot_be_made(void **state)
{
    apr_pool_t *p = *state;
    identity_t *id = make_identity("mine", 0, p), *other = make_identity("theirs", 0, p),
               *ec = make_identity("curve", 1, p);
    rig_t *r = rig(nothing, p);
    const struct {
        const char *file, *key, *says;
    } table[] = {
        {"/nonexistent/cert.pem", id->key_pem, "/nonexistent/cert.pem: "},
        {unit_write(p, "empty", "", 0), id->key_pem, "no certificate in this file"},
        {unit_write(p, "keyonly", id->key_pem, strlen(id->key_pem)), id->key_pem,
         "no certificate in this file"},
        {id->cert_file, other->key_pem, "file:/key does not belong to the certificate"},
        {ec->cert_file, ec->key_pem, "file:/key: this is not an RSA private key"},
        {id->cert_file, "nonsense", "file:/key: this is not an RSA private key"},
        {id->cert_file, NULL, "file:/key is not loaded"},
    };
    size_t i;

    r->cfg.client_secret = NULL;
    r->cfg.key = &r->key;
    r->key.ref = "file:/key";
    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cs_crm_whoami_t who;
        cs_result_t res;

        r->cfg.certificate = table[i].file;
        r->key.value = table[i].key;
        r->key.len = table[i].key ? strlen(table[i].key) : 0;
        rig_renew(r, p);
        assert_int_not_equal(r->impl->whoami(r->crm, &who, 0, p, &res), APR_SUCCESS);
        expect(&res, CS_CLASS_SUSPEND, "config:certificate");
        assert_has(res.detail, table[i].says);
        assert_has_not(res.detail, "PRIVATE KEY");
    }
    assert_int_equal(r->server->n_tokens, 0);
    canned_stop(r->server);
}

static void test_check_of_the_configuration(void **state)
{
    apr_pool_t *p = *state;
    cs_secret_t secret = {.ref = "file:/s"}, key = {.ref = "file:/k"};
    cs_crm_config_t cfg = {
        .name = "sales",
        .url = "https://org.crm4.dynamics.com",
        .tenant = "t",
        .client_id = "7fe8a18c-5b6e-4b1f-9f3e-0c1d2e3f4a5b"};
    const cs_crm_impl_t *impl = cs_crm_impl_of("dynamics365");

    cfg.certificate = "/c.pem";
    assert_has(impl->check(&cfg, p), "no key=");
    cfg.key = &key;
    assert_null(impl->check(&cfg, p));
    cfg.certificate = "c.pem";
    assert_has(impl->check(&cfg, p), "\"c.pem\"");
    cfg.certificate = NULL;
    assert_has(impl->check(&cfg, p), "no certificate=");
    cfg.client_secret = &secret;
    assert_has(impl->check(&cfg, p), "client-secret= and key=");
    cfg.certificate = "/c.pem";
    assert_has(impl->check(&cfg, p), "not both");
    cfg.key = NULL;
    cfg.certificate = NULL;
    cfg.client_secret = NULL;
    assert_has(impl->check(&cfg, p), "client-secret=file:/path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_sign),
        UNIT_TEST(test_assertion),
        UNIT_TEST(test_assertions_that_cannot_be_made),
        UNIT_TEST(test_check_of_the_configuration),
    };

    return UNIT_RUN(tests);
}
