/* Each way in which a callback can be not authentic (the cases of the sandbox, and those of a hostile sender). */
#include "unit_pki.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>

#include "mod_cosell/base/crypto.h"
#include "mod_cosell/domain/signature.h"

#define URL "https://pc.example/cert/pcnotifications-dispatch.microsoft.com.cer"
#define MS "Microsoft Corporation"
#define LEAF_CN "pcnotifications-dispatch.microsoft.com"

/* Made once: keys are slow. */
static struct {
    apr_pool_t *p;
    EVP_PKEY *root_key, *ca_key, *key, *other_key;
    X509 *root, *ca, *leaf;
} pki;

static const char body[] = "{\"EventName\":\"referral-created\",\"ResourceUri\":\"x\"}";

static const pki_spec_t leaf_spec = { .cn = LEAF_CN, .org = MS, .dns = LEAF_CN, .serial = 7 };

static int make_pki(void **state)
{
    const pki_spec_t root = { .cn = "Test Root", .org = "DigiCert Inc", .ca = 1 };
    const pki_spec_t ca = { .cn = "Test Issuing CA", .org = MS, .ca = 1, .serial = 2 };

    (void)state;
    if (apr_pool_create(&pki.p, NULL) != APR_SUCCESS) {
        return -1;
    }
    pki.root_key = pki_ec(pki.p);
    pki.ca_key = pki_ec(pki.p);
    pki.key = pki_rsa(2048, pki.p);
    pki.other_key = pki_rsa(2048, pki.p);
    pki.root = pki_cert(&root, pki.root_key, NULL, NULL, pki.p);
    pki.ca = pki_cert(&ca, pki.ca_key, pki.root, pki.root_key, pki.p);
    pki.leaf = pki_cert(&leaf_spec, pki.key, pki.ca, pki.ca_key, pki.p);
    return 0;
}

static int drop_pki(void **state)
{
    (void)state;
    apr_pool_destroy(pki.p);
    return 0;
}

static cs_trust_config_t config(apr_pool_t *p)
{
    cs_trust_config_t cfg;
    const char *pem;

    memset(&cfg, 0, sizeof(cfg));
    cfg.urls = apr_array_make(p, 2, sizeof(const char *));
    APR_ARRAY_PUSH(cfg.urls, const char *) = URL;
    cfg.names = apr_array_make(p, 1, sizeof(const char *));
    pem = pki_pem(pki.root, p);
    cfg.ca_file = unit_write(p, "ca.pem", pem, strlen(pem));
    pem = pki_pem(pki.ca, p);
    cfg.intermediates_file = unit_write(p, "intermediates.pem", pem, strlen(pem));
    return cfg;
}

static const cs_trust_t *trust_of(const cs_trust_config_t *cfg, apr_pool_t *p)
{
    cs_trust_t *trust;
    cs_result_t res;

    if (cs_trust_load(&trust, cfg, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    assert_int_equal(res.rv, APR_SUCCESS);
    return trust;
}

static const cs_trust_t *default_trust(apr_pool_t *p)
{
    cs_trust_config_t cfg = config(p);

    return trust_of(&cfg, p);
}

static apr_status_t load(cs_signer_t **psigner, X509 *cert, const cs_trust_t *trust, apr_pool_t *p, cs_result_t *res)
{
    size_t len;
    const unsigned char *der = pki_der(cert, &len, p);
    void *exact = unit_exact(der, len);
    apr_status_t rv = cs_signer_load(psigner, exact, len, trust, apr_time_now(), p, res);

    free(exact);
    assert_int_equal(ERR_peek_error(), 0);
    return rv;
}

static cs_signer_t *good_signer(X509 *cert, const cs_trust_t *trust, apr_pool_t *p)
{
    cs_signer_t *signer;
    cs_result_t res;

    if (load(&signer, cert, trust, p, &res) != APR_SUCCESS) {
        fail_msg("%s", res.detail);
    }
    return signer;
}

static void refused_signer(X509 *cert, const cs_trust_t *trust, apr_status_t rv, const char *problem, const char *part,
                           apr_pool_t *p)
{
    cs_signer_t *signer = (cs_signer_t *)1;
    cs_result_t res;

    assert_int_equal(load(&signer, cert, trust, p, &res), rv);
    assert_null(signer);
    assert_int_equal(res.rv, rv);
    assert_string_equal(res.problem, problem);
    assert_has(res.detail, part);
}

static const char *header_of(EVP_PKEY *key, const EVP_MD *md, const void *text, size_t len, apr_pool_t *p)
{
    size_t siglen;
    const unsigned char *sig = pki_sign(key, md, text, len, &siglen, p);

    return apr_pstrcat(p, "Signature ", cs_base64_encode(sig, siglen, p), NULL);
}

static const char *good_header(apr_pool_t *p)
{
    return header_of(pki.key, EVP_sha256(), body, strlen(body), p);
}

static cs_signature_t parsed(const char *header, const cs_trust_t *trust, apr_pool_t *p)
{
    cs_signature_t sig;
    cs_result_t res;

    if (cs_signature_parse(&sig, NULL, header, URL, "rsa-sha256", trust, p, &res) != CS_SIG_OK) {
        fail_msg("%s", res.detail);
    }
    return sig;
}

static cs_sig_verdict_e verify_len(const cs_signature_t *sig, const cs_signer_t *signer, const void *text, size_t len,
                                   apr_pool_t *p, cs_result_t *res)
{
    void *exact = unit_exact(text, len);
    cs_sig_verdict_e verdict = cs_signature_verify(sig, signer, exact, len, apr_time_now(), p, res);

    free(exact);
    assert_int_equal(ERR_peek_error(), 0);
    return verdict;
}

static void test_good_callback(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    cs_signer_t *signer = good_signer(pki.leaf, trust, p);
    cs_signature_t sig = parsed(good_header(p), trust, p);
    cs_result_t res;

    assert_int_equal(sig.len, 256);
    assert_int_equal(sig.hash, 256);
    assert_string_equal(sig.cert_url, URL);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, &res), CS_SIG_OK);
    assert_int_equal(res.rv, APR_SUCCESS);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_OK);
    assert_true(cs_signer_not_before(signer) < apr_time_now());
    assert_true(cs_signer_not_after(signer) > apr_time_now() + apr_time_from_sec(29 * 86400));
}

static void test_stale_errors_of_others_do_not_matter(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    cs_signer_t *signer = good_signer(pki.leaf, trust, p);
    cs_signature_t sig = parsed(good_header(p), trust, p);

    ERR_raise(ERR_LIB_USER, 1);
    assert_int_equal(cs_signature_verify(&sig, signer, body, strlen(body), apr_time_now(), p, NULL), CS_SIG_OK);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_bodies_of_any_bytes(void **state)
{
    static const char utf8[] = "{\"name\":\"\xc3\x9c\xe2\x82\xac\xf0\x9f\x98\x80\"}";
    static const char odd[] = "\xff\xfe\0\x80 not UTF-8";
    static const char bom[] = "\xEF\xBB\xBF{}";
    static const struct {
        const char *text;
        size_t len;
    } bodies[] = { { utf8, sizeof(utf8) - 1 }, { odd, sizeof(odd) - 1 }, { bom, sizeof(bom) - 1 }, { "", 0 } };
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    cs_signer_t *signer = good_signer(pki.leaf, trust, p);
    apr_size_t i;

    for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        cs_signature_t sig = parsed(header_of(pki.key, EVP_sha256(), bodies[i].text, bodies[i].len, p), trust, p);

        assert_int_equal(verify_len(&sig, signer, bodies[i].text, bodies[i].len, p, NULL), CS_SIG_OK);
        assert_int_equal(verify_len(&sig, signer, "x", 1, p, NULL), CS_SIG_REFUSED);
    }
}

static void test_every_flipped_byte_is_refused(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    cs_signer_t *signer = good_signer(pki.leaf, trust, p);
    cs_signature_t sig = parsed(good_header(p), trust, p);
    char copy[sizeof(body)];
    cs_result_t res;
    apr_size_t i;

    for (i = 0; i < sizeof(body) - 1; i++) {
        memcpy(copy, body, sizeof(body));
        copy[i] ^= 0x01;
        assert_int_equal(verify_len(&sig, signer, copy, sizeof(body) - 1, p, &res), CS_SIG_REFUSED);
        assert_string_equal(res.problem, "signature:mismatch");
    }
    assert_int_equal(verify_len(&sig, signer, body, strlen(body) - 1, p, &res), CS_SIG_REFUSED);
    for (i = 0; i < 256; i += 5) {
        unsigned char *bad = apr_pmemdup(p, sig.bytes, sig.len);
        cs_signature_t other = sig;

        bad[i] ^= 0x40;
        other.bytes = bad;
        assert_int_equal(verify_len(&other, signer, body, strlen(body), p, &res), CS_SIG_REFUSED);
    }
    /* and the good one still is after all those */
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, &res), CS_SIG_OK);
}

static void test_wrong_key_hash_and_padding(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    cs_signer_t *signer = good_signer(pki.leaf, trust, p);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char pss[256];
    size_t len = sizeof(pss);
    EVP_PKEY_CTX *pctx;
    cs_signature_t sig;

    sig = parsed(header_of(pki.other_key, EVP_sha256(), body, strlen(body), p), trust, p);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_REFUSED);
    sig = parsed(header_of(pki.key, EVP_sha1(), body, strlen(body), p), trust, p);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_REFUSED);
    sig = parsed(header_of(pki.key, EVP_sha512(), body, strlen(body), p), trust, p);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_REFUSED);
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, pki.key), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_DigestSign(ctx, pss, &len, (const unsigned char *)body, strlen(body)), 1);
    EVP_MD_CTX_free(ctx);
    sig.bytes = pss;
    sig.len = len;
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_REFUSED);
}

static void test_length_is_that_of_the_key(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    cs_signer_t *signer = good_signer(pki.leaf, trust, p);
    unsigned char *longer = apr_pcalloc(p, 384);
    cs_signature_t sig = parsed(good_header(p), trust, p);
    cs_result_t res;

    memcpy(longer, sig.bytes, 256);
    sig.bytes = longer;
    sig.len = 384;
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, &res), CS_SIG_REFUSED);
    assert_string_equal(res.problem, "signature:length");
    sig.len = 255;
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, &res), CS_SIG_REFUSED);
}

/* ---- validity of the leaf: with each request, not when it is loaded ---- */

static void test_leaf_outside_its_dates(void **state)
{
    apr_pool_t *p = *state;
    pki_spec_t expired = leaf_spec, early = leaf_spec;
    const cs_trust_t *trust = default_trust(p);
    cs_signature_t sig = parsed(good_header(p), trust, p);
    cs_signer_t *signer;
    cs_result_t res;

    expired.from = -86400 * 2;
    expired.to = -60;
    signer = good_signer(pki_cert(&expired, pki.key, pki.ca, pki.ca_key, p), trust, p);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, &res), CS_SIG_NO_SIGNER);
    assert_has(res.detail, "expired");
    assert_int_equal(cs_signature_verify(&sig, signer, body, strlen(body), apr_time_now() - apr_time_from_sec(3600), p, &res), CS_SIG_OK);
    early.from = 3600;
    signer = good_signer(pki_cert(&early, pki.key, pki.ca, pki.ca_key, p), trust, p);
    assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, &res), CS_SIG_NO_SIGNER);
    assert_has(res.detail, "not valid yet");
    assert_int_equal(cs_signature_verify(&sig, signer, body, strlen(body), cs_signer_not_before(signer), p, &res), CS_SIG_OK);
    assert_int_equal(cs_signature_verify(&sig, signer, body, strlen(body), cs_signer_not_after(signer), p, &res), CS_SIG_OK);
    assert_int_equal(cs_signature_verify(&sig, signer, body, strlen(body), cs_signer_not_after(signer) + 1, p, &res), CS_SIG_NO_SIGNER);
}

/* ---- the chain ---- */

static void test_untrusted_root_and_missing_intermediate(void **state)
{
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    const pki_spec_t foreign = { .cn = "Foreign Root", .org = MS, .ca = 1 };
    EVP_PKEY *key = pki_ec(p);
    X509 *root = pki_cert(&foreign, key, NULL, NULL, p);

    refused_signer(pki_cert(&leaf_spec, pki.key, root, key, p), trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "issuer", p);
    refused_signer(pki_cert(&leaf_spec, pki.key, NULL, NULL, p), trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "self", p);
    cfg.intermediates_file = NULL;
    refused_signer(pki.leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "issuer", p);
}

/* Same name as the real CA, another key. */
static void test_impostor_of_the_issuing_ca(void **state)
{
    apr_pool_t *p = *state;
    const pki_spec_t ca = { .cn = "Test Issuing CA", .org = MS, .ca = 1, .serial = 2 };
    EVP_PKEY *key = pki_ec(p);
    X509 *impostor = pki_cert(&ca, key, NULL, NULL, p);

    refused_signer(pki_cert(&leaf_spec, pki.key, impostor, key, p), default_trust(p), CS_EREMOTE, "certificate:chain", LEAF_CN, p);
}

static void test_issuer_must_be_a_ca_in_its_time(void **state)
{
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    pki_spec_t ca = { .cn = "Not A CA", .org = MS, .serial = 9 };
    EVP_PKEY *key = pki_ec(p);
    const char *pem;
    X509 *issuer = pki_cert(&ca, key, pki.root, pki.root_key, p);

    pem = pki_pem(issuer, p);
    cfg.intermediates_file = unit_write(p, "not-ca.pem", pem, strlen(pem));
    refused_signer(pki_cert(&leaf_spec, pki.key, issuer, key, p), trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "CA", p);
    ca.ca = 1;
    ca.from = -7200;
    ca.to = -3600;
    issuer = pki_cert(&ca, key, pki.root, pki.root_key, p);
    pem = pki_pem(issuer, p);
    cfg.intermediates_file = unit_write(p, "old-ca.pem", pem, strlen(pem));
    refused_signer(pki_cert(&leaf_spec, pki.key, issuer, key, p), trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "expired", p);
}

static void test_sha1_in_the_chain_is_refused(void **state)
{
    apr_pool_t *p = *state;
    pki_spec_t spec = leaf_spec;

    spec.md = EVP_sha1();
    refused_signer(pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p), default_trust(p), CS_EREMOTE, "certificate:chain", "weak", p);
}

/* ---- identity ---- */

static X509 *leaf_by(const char *issuer_org, const char *org2, cs_trust_config_t *cfg, apr_pool_t *p)
{
    const pki_spec_t ca = { .cn = "Other CA", .org = issuer_org, .org2 = org2, .ca = 1, .serial = 3 };
    EVP_PKEY *key = pki_ec(p);
    X509 *issuer = pki_cert(&ca, key, pki.root, pki.root_key, p);
    const char *pem = pki_pem(issuer, p);

    cfg->intermediates_file = unit_write(p, "other-ca.pem", pem, strlen(pem));
    return pki_cert(&leaf_spec, pki.key, issuer, key, p);
}

static void test_issuer_organization(void **state)
{
    static const char *const wrong[] = { "Contoso", "Microsoft Corporation Ltd", "microsoft corporation", "Microsoft", NULL };
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    X509 *leaf;
    int i;

    for (i = 0; i < 5; i++) {
        leaf = leaf_by(wrong[i], NULL, &cfg, p);
        refused_signer(leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:issuer", "Other CA", p);
    }
    /* the words elsewhere in the name, or a second organization, do not help */
    leaf = leaf_by("Contoso, O = Microsoft Corporation", NULL, &cfg, p);
    refused_signer(leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:issuer", "Contoso", p);
    leaf = leaf_by(MS, "Contoso", &cfg, p);
    refused_signer(leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:issuer", "Contoso", p);
    cfg.issuer_org = "Contoso";
    leaf = leaf_by("Contoso", NULL, &cfg, p);
    good_signer(leaf, trust_of(&cfg, p), p);
}

static void test_subject_organization(void **state)
{
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    pki_spec_t spec = leaf_spec;
    X509 *leaf;

    spec.org = "Contoso";
    leaf = pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p);
    refused_signer(leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:subject", "Contoso", p);
    cfg.subject_org = "";
    good_signer(leaf, trust_of(&cfg, p), p);
    cfg.subject_org = "Contoso";
    good_signer(leaf, trust_of(&cfg, p), p);
}

static void test_names(void **state)
{
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    pki_spec_t spec = leaf_spec;
    const cs_trust_t *trust;

    APR_ARRAY_PUSH(cfg.names, const char *) = "PCNotifications-Dispatch.microsoft.com";
    APR_ARRAY_PUSH(cfg.names, const char *) = "second.example";
    trust = trust_of(&cfg, p);
    good_signer(pki.leaf, trust, p);
    spec.dns = NULL;
    good_signer(pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p), trust, p);
    spec.cn = "x";
    spec.dns = "second.example";
    good_signer(pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p), trust, p);
    spec.dns = "*.example";
    refused_signer(pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p), trust, CS_EREMOTE, "certificate:name", "second.example", p);
    spec.dns = "a.second.example";
    refused_signer(pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p), trust, CS_EREMOTE, "certificate:name", "second.example", p);
    spec.dns = NULL;
    spec.cn = NULL;
    refused_signer(pki_cert(&spec, pki.key, pki.ca, pki.ca_key, p), trust, CS_EREMOTE, "certificate:name", "second.example", p);
}

/* ---- revocation ---- */

static void test_crl(void **state)
{
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    const char *crl;

    crl = pki_crl(pki.ca, pki.ca_key, 8, -60, 3600, p);
    cfg.crl_file = unit_write(p, "crl.pem", crl, strlen(crl));
    good_signer(pki.leaf, trust_of(&cfg, p), p);
    crl = pki_crl(pki.ca, pki.ca_key, 7, -60, 3600, p);
    cfg.crl_file = unit_write(p, "crl.pem", crl, strlen(crl));
    refused_signer(pki.leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:revoked", "revoked", p);
    /* past its next update it still says what it said */
    crl = pki_crl(pki.ca, pki.ca_key, 7, -7200, -3600, p);
    cfg.crl_file = unit_write(p, "crl.pem", crl, strlen(crl));
    refused_signer(pki.leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:revoked", "revoked", p);
    crl = pki_crl(pki.ca, pki.ca_key, 8, -7200, -3600, p);
    cfg.crl_file = unit_write(p, "crl.pem", crl, strlen(crl));
    good_signer(pki.leaf, trust_of(&cfg, p), p);
    /* of another issuer: nothing is known about this certificate */
    crl = pki_crl(pki.root, pki.root_key, 8, -60, 3600, p);
    cfg.crl_file = unit_write(p, "crl.pem", crl, strlen(crl));
    refused_signer(pki.leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "CRL", p);
    /* with a signature that is not the issuer's */
    crl = pki_crl(pki.ca, pki.root_key, 8, -60, 3600, p);
    cfg.crl_file = unit_write(p, "crl.pem", crl, strlen(crl));
    refused_signer(pki.leaf, trust_of(&cfg, p), CS_EREMOTE, "certificate:chain", "CRL", p);
}

/* ---- forms, sizes and keys ---- */

static apr_status_t load_bytes(const void *bytes, size_t len, const cs_trust_t *trust, apr_pool_t *p)
{
    void *exact = unit_exact(bytes, len);
    cs_signer_t *signer;
    cs_result_t res;
    apr_status_t rv = cs_signer_load(&signer, exact, len, trust, apr_time_now(), p, &res);

    free(exact);
    assert_int_equal(signer != NULL, rv == APR_SUCCESS);
    assert_int_equal(ERR_peek_error(), 0);
    return rv;
}

static void test_certificate_forms(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    const char *pem = pki_pem(pki.leaf, p), *base64, *lines;
    size_t len, i;
    const unsigned char *der = pki_der(pki.leaf, &len, p);
    char *big;

    assert_ok(load_bytes(der, len, trust, p));
    assert_ok(load_bytes(pem, strlen(pem), trust, p));
    pem = apr_pstrcat(p, "Bag Attributes\n", pem, pki_pem(pki.ca, p), NULL);
    assert_ok(load_bytes(pem, strlen(pem), trust, p));
    base64 = cs_base64_encode(der, len, p);
    assert_ok(load_bytes(base64, strlen(base64), trust, p));
    lines = apr_psprintf(p, " %.64s\r\n%s\n", base64, base64 + 64);
    assert_ok(load_bytes(lines, strlen(lines), trust, p));
    for (i = 0; i < len; i++) {
        assert_int_equal(load_bytes(der, i, trust, p), CS_EPARSE);
    }
    assert_int_equal(load_bytes(apr_pstrmemdup(p, (const char *)der, len), len + 1, trust, p), CS_EPARSE);
    assert_int_equal(load_bytes("", 0, trust, p), CS_EPARSE);
    assert_int_equal(load_bytes("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 60, trust, p), CS_EPARSE);
    assert_int_equal(load_bytes("<html>not here</html>", 21, trust, p), CS_EPARSE);
    big = apr_palloc(p, CS_SIGNATURE_CERT_MAX + 2);
    memset(big, '\n', CS_SIGNATURE_CERT_MAX + 1);
    memcpy(big, pem, strlen(pem));
    assert_ok(load_bytes(big, CS_SIGNATURE_CERT_MAX, trust, p));
    assert_int_equal(load_bytes(big, CS_SIGNATURE_CERT_MAX + 1, trust, p), CS_EPARSE);
}

static void test_every_changed_byte_of_a_certificate_is_survived(void **state)
{
    apr_pool_t *p = *state, *sub;
    const cs_trust_t *trust = default_trust(p);
    size_t len, i;
    const unsigned char *der = pki_der(pki.leaf, &len, p);
    unsigned char *copy;

    for (i = 0; i < len; i += 3) {
        assert_ok(apr_pool_create(&sub, p));
        copy = apr_pmemdup(sub, der, len);
        copy[i] ^= 0xff;
        assert_int_not_equal(load_bytes(copy, len, trust, sub), APR_SUCCESS);
        apr_pool_destroy(sub);
    }
}

static void test_keys_that_are_refused(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);

    refused_signer(pki_cert(&leaf_spec, pki_ec(p), pki.ca, pki.ca_key, p), trust, CS_EPARSE, "certificate:key", "EC", p);
    refused_signer(pki_cert(&leaf_spec, pki_rsa(1024, p), pki.ca, pki.ca_key, p), trust, CS_EPARSE, "certificate:key", "1024 bits", p);
    refused_signer(pki_cert(&leaf_spec, pki_own_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), p), pki.ca, pki.ca_key, p), trust,
                   CS_EPARSE, "certificate:key", "ED25519", p);
}

/* Larger keys are made under a sanitizer in a second; memcheck would need minutes and learn nothing new. */
static void test_larger_keys(void **state)
{
    static const unsigned bits[] = { 3072, 4096 };
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    const char *preload = getenv("LD_PRELOAD");
    cs_signature_t sig;
    EVP_PKEY *key;
    int i;

    if (preload && strstr(preload, "vgpreload")) {
        skip();
    }
    for (i = 0; i < 2; i++) {
        cs_signer_t *signer;

        key = pki_rsa(bits[i], p);
        signer = good_signer(pki_cert(&leaf_spec, key, pki.ca, pki.ca_key, p), trust, p);
        sig = parsed(header_of(key, EVP_sha256(), body, strlen(body), p), trust, p);
        assert_int_equal(sig.len, bits[i] / 8);
        assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_OK);
        assert_int_equal(verify_len(&sig, signer, body, strlen(body) - 1, p, NULL), CS_SIG_REFUSED);
        sig = parsed(good_header(p), trust, p);
        assert_int_equal(verify_len(&sig, signer, body, strlen(body), p, NULL), CS_SIG_REFUSED);
    }
}

/* ---- headers ---- */

static void expect_parse(const char *authorization, const char *x_ms, const char *url, const char *algorithm,
                         cs_sig_verdict_e want, const char *problem, apr_pool_t *p)
{
    cs_signature_t sig;
    cs_result_t res;
    cs_sig_verdict_e got = cs_signature_parse(&sig, authorization, x_ms, url, algorithm, default_trust(p), p, &res);

    if (got != want || (problem && (!res.problem || strcmp(res.problem, problem)))) {
        fail_msg("verdict %d, problem %s (%s), not %d, %s", got, res.problem, res.detail, want, problem);
    }
    if (want != CS_SIG_OK) {
        assert_non_null(res.detail);
        assert_has_not(res.detail, "AAAA");
    }
}

static void test_which_header(void **state)
{
    apr_pool_t *p = *state;
    const char *h = good_header(p);

    expect_parse(NULL, h, URL, "rsa-sha256", CS_SIG_OK, NULL, p);
    expect_parse(h, NULL, URL, "rsa-sha256", CS_SIG_OK, NULL, p);
    expect_parse("", h, URL, "rsa-sha256", CS_SIG_OK, NULL, p);
    expect_parse("Bearer AAAA", h, URL, "rsa-sha256", CS_SIG_OK, NULL, p);
    expect_parse("Basic dXNlcjpw", h, URL, "rsa-sha256", CS_SIG_OK, NULL, p);
    expect_parse(h, h, URL, "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse("signature x", h, URL, "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse("Signature", h, URL, "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse(NULL, NULL, URL, "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse("", "", URL, "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse("Bearer AAAA", NULL, URL, "rsa-sha256", CS_SIG_REFUSED, "signature:scheme", p);
    expect_parse(NULL, h, NULL, "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse(NULL, h, "", "rsa-sha256", CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse(NULL, h, URL, NULL, CS_SIG_BAD_REQUEST, "signature:header", p);
    expect_parse(NULL, h, URL, "", CS_SIG_BAD_REQUEST, "signature:header", p);
}

static void test_scheme_and_algorithm(void **state)
{
    apr_pool_t *p = *state;
    const char *h = good_header(p);
    const char *text = h + 10;

    expect_parse(NULL, apr_pstrcat(p, "SIGNATURE ", text, NULL), URL, "RSA-SHA256", CS_SIG_OK, NULL, p);
    expect_parse(NULL, apr_pstrcat(p, "signature \t  ", text, NULL), URL, "Rsa-Sha256", CS_SIG_OK, NULL, p);
    expect_parse(NULL, text, URL, "rsa-sha256", CS_SIG_REFUSED, "signature:scheme", p);
    expect_parse(NULL, apr_pstrcat(p, "Signature", text, NULL), URL, "rsa-sha256", CS_SIG_REFUSED, "signature:scheme", p);
    expect_parse(NULL, apr_pstrcat(p, "Sig ", text, NULL), URL, "rsa-sha256", CS_SIG_REFUSED, "signature:scheme", p);
    expect_parse(NULL, apr_pstrcat(p, " ", h, NULL), URL, "rsa-sha256", CS_SIG_REFUSED, "signature:scheme", p);
    expect_parse(NULL, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x", URL, "rsa-sha256", CS_SIG_REFUSED, "signature:scheme", p);
    expect_parse(NULL, h, URL, "rsa-sha1", CS_SIG_REFUSED, "signature:algorithm", p);
    expect_parse(NULL, h, URL, "sha1", CS_SIG_REFUSED, "signature:algorithm", p);
    expect_parse(NULL, h, URL, "rsa-sha512", CS_SIG_REFUSED, "signature:algorithm", p);
    expect_parse(NULL, h, URL, "rsa-sha256, rsa-sha1", CS_SIG_REFUSED, "signature:algorithm", p);
    expect_parse(NULL, h, URL, "none\n", CS_SIG_REFUSED, "signature:algorithm", p);
}

static void test_base64_of_the_signature(void **state)
{
    apr_pool_t *p = *state;
    const char *h = good_header(p);
    char *loose = apr_pstrdup(p, h);
    size_t len = strlen(h);
    unsigned char bytes[600] = { 0 };
    size_t n;

    /* 256 bytes end in "x==" whose last digit carries 4 unused bits */
    assert_string_equal(h + len - 2, "==");
    loose[len - 3] = (char)(loose[len - 3] + 1);
    expect_parse(NULL, loose, URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    expect_parse(NULL, apr_pstrndup(p, h, len - 2), URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    expect_parse(NULL, apr_pstrcat(p, h, " ", NULL), URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    expect_parse(NULL, apr_pstrcat(p, h, ", ", h, NULL), URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    expect_parse(NULL, "Signature ", URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    expect_parse(NULL, "Signature", URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    expect_parse(NULL, "Signature ====", URL, "rsa-sha256", CS_SIG_REFUSED, "signature:base64", p);
    for (n = 254; n <= 258; n++) {
        expect_parse(NULL, apr_pstrcat(p, "Signature ", cs_base64_encode(bytes, n, p), NULL), URL, "rsa-sha256",
                     n < 256 ? CS_SIG_REFUSED : CS_SIG_OK, n < 256 ? "signature:base64" : NULL, p);
    }
    for (n = 511; n <= 514; n++) {
        expect_parse(NULL, apr_pstrcat(p, "Signature ", cs_base64_encode(bytes, n, p), NULL), URL, "rsa-sha256",
                     n > 512 ? CS_SIG_REFUSED : CS_SIG_OK, n > 512 ? "signature:base64" : NULL, p);
    }
}

static void test_url_in_the_request(void **state)
{
    static const char *const bad[] = {
        "http://pc.example/cert/pcnotifications-dispatch.microsoft.com.cer", "https://evil.example/cert/pcnotifications-dispatch.microsoft.com.cer",
        URL "?x", URL "#x", URL "/", URL " ", URL ", " URL, "https://u@pc.example/cert/pcnotifications-dispatch.microsoft.com.cer",
        "https://pc.example:443/cert/pcnotifications-dispatch.microsoft.com.cer", "https://pc.example/cert/../cert/pcnotifications-dispatch.microsoft.com.cer",
        "https://pc.example/cert/pcnotifications%2ddispatch.microsoft.com.cer", "HTTPS://pc.example/cert/pcnotifications-dispatch.microsoft.com.cer",
        "https://PC.example/cert/pcnotifications-dispatch.microsoft.com.cer", "https:/pc.example", "https://", "x", "file:///etc/passwd",
        "https://pc.example\\@evil.example/cert/pcnotifications-dispatch.microsoft.com.cer", "https://pc.example/cert/\x01\n\xff",
    };
    apr_pool_t *p = *state;
    const char *h = good_header(p);
    apr_size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_parse(NULL, h, bad[i], "rsa-sha256", CS_SIG_REFUSED, "signature:url", p);
    }
}

static const cs_trust_t *trust_with_url(const char *url, apr_pool_t *p)
{
    cs_trust_config_t cfg = config(p);

    apr_array_clear(cfg.urls);
    APR_ARRAY_PUSH(cfg.urls, const char *) = url;
    return trust_of(&cfg, p);
}

static void test_url_patterns(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = trust_with_url("https://pc.example/cert/pc*.cer", p);
    static const char *const bad[] = {
        "https://pc.example/cert/pc.cer", "https://pc.example/cert/pc*.cer", "https://pc.example/cert/pcx.cerx", "https://pc.example/cert/pcx/y.cer",
        "https://pc.example/cert/pc?y.cer", "https://pc.example/cert/pc..cer", "https://pc.example/cert/pc%2e.cer", "https://pc.example/x/pcx.cer",
        "https://pc.example/cert/pc~.cer", "https://pc.example/cert/pcx.cer#", "https://evil.example/cert/pcx.cer", "https://pc.example/cert/pc\xc3\xa4.cer",
        "https://pc.example/cert/xpcx.cer", "http://pc.example/cert/pcx.cer", "",
    };
    apr_size_t i;

    assert_int_equal(cs_trust_urls(trust)->nelts, 0);
    assert_true(cs_trust_url_allowed(trust, "https://pc.example/cert/pcx.cer"));
    assert_true(cs_trust_url_allowed(trust, "https://pc.example/cert/pc-A_9.b.cer"));
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (cs_trust_url_allowed(trust, bad[i])) {
            fail_msg("%s is allowed", bad[i]);
        }
    }
    assert_false(cs_trust_url_allowed(trust, NULL));
    trust = default_trust(p);
    assert_int_equal(cs_trust_urls(trust)->nelts, 1);
    assert_string_equal(APR_ARRAY_IDX(cs_trust_urls(trust), 0, const char *), URL);
}

static void test_http_only_to_loopback(void **state)
{
    static const char *const good[] = { "http://127.0.0.1:8080/c.cer", "http://localhost/c.cer", "http://[::1]:1/c.cer", "https://any.example/c.cer" };
    static const char *const bad[] = {
        "http://example.com/c.cer", "http://127.evil.example/c.cer", "http://localhost.evil/c.cer", "http://127.0.0.1.evil/c.cer", "http://[::2]/c.cer", "http:///c.cer",
        "https:///c.cer", "https://h", "ftp://h/c", "https://h/c*/x.cer", "https://*.h/x.cer", "https://h/**", "https://h/a%41", "https://h/a?b", "https://h/../a", "https://u:p@h/a", "",
    };
    apr_pool_t *p = *state;
    cs_trust_config_t cfg;
    cs_trust_t *trust;
    cs_result_t res;
    apr_size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(cs_trust_url_allowed(trust_with_url(good[i], p), good[i]));
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cfg = config(p);
        apr_array_clear(cfg.urls);
        APR_ARRAY_PUSH(cfg.urls, const char *) = bad[i];
        if (cs_trust_load(&trust, &cfg, p, &res) != APR_EINVAL || trust) {
            fail_msg("%s is allowed", bad[i]);
        }
        assert_has(res.detail, "certificate URL");
    }
}

/* ---- files ---- */

static void expect_bundle(cs_trust_config_t *cfg, apr_status_t rv, const char *file, const char *part, apr_pool_t *p)
{
    cs_trust_t *trust;
    cs_result_t res;

    assert_int_equal(cs_trust_load(&trust, cfg, p, &res), rv);
    assert_null(trust);
    assert_has(res.detail, file);
    assert_has(res.detail, part);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_bundles_that_cannot_be_read(void **state)
{
    apr_pool_t *p = *state;
    cs_trust_config_t cfg = config(p);
    const char *two = apr_pstrcat(p, pki_pem(pki.root, p), "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n", NULL);

    cfg.ca_file = unit_path(p, "nothing.pem");
    expect_bundle(&cfg, ENOENT, "nothing.pem", "No such file", p);
    cfg.ca_file = unit_write(p, "empty.pem", "", 0);
    expect_bundle(&cfg, CS_EPARSE, "empty.pem", "no PEM certificate", p);
    cfg.ca_file = unit_write(p, "text.pem", "hello\n", 6);
    expect_bundle(&cfg, CS_EPARSE, "text.pem", "no PEM certificate", p);
    cfg.ca_file = unit_write(p, "two.pem", two, strlen(two));
    expect_bundle(&cfg, CS_EPARSE, "two.pem", "certificate number 2 is damaged", p);
    cfg = config(p);
    cfg.intermediates_file = unit_path(p, "nothing.pem");
    expect_bundle(&cfg, ENOENT, "nothing.pem", "No such file", p);
    cfg = config(p);
    cfg.crl_file = cfg.ca_file;
    expect_bundle(&cfg, CS_EPARSE, "ca.pem", "no PEM CRL", p);
    cfg = config(p);
    cfg.ca_file = unit_dir(p);
    expect_bundle(&cfg, CS_EPARSE, "", "", p);
}

static void test_signer_path(void **state)
{
    apr_pool_t *p = *state;

    assert_string_equal(cs_signer_path("/var/lib/cosell", "abc", p),
                        "/var/lib/cosell/certs/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- many threads, one signer ---- */

typedef struct shared_t {
    const cs_signer_t *signer;
    cs_signature_t good, bad;
    int rounds;
} shared_t;

static void *verify_often(void *data)
{
    shared_t *s = data;
    apr_pool_t *p;
    long wrong = 0;
    int i;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS) {
        return (void *)-1;
    }
    for (i = 0; i < s->rounds; i++) {
        wrong += cs_signature_verify(&s->good, s->signer, body, strlen(body), apr_time_now(), p, NULL) != CS_SIG_OK;
        wrong += cs_signature_verify(&s->bad, s->signer, body, strlen(body), apr_time_now(), p, NULL) != CS_SIG_REFUSED;
    }
    apr_pool_destroy(p);
    return (void *)wrong;
}

static void test_many_threads_share_a_signer(void **state)
{
    apr_pool_t *p = *state;
    const cs_trust_t *trust = default_trust(p);
    pthread_t threads[40];
    shared_t shared;
    void *wrong;
    int i;

    shared.signer = good_signer(pki.leaf, trust, p);
    shared.good = parsed(good_header(p), trust, p);
    shared.bad = parsed(header_of(pki.other_key, EVP_sha256(), body, strlen(body), p), trust, p);
    shared.rounds = 20;
    for (i = 0; i < 40; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &shared), 0);
    }
    for (i = 0; i < 40; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_good_callback),
        UNIT_TEST(test_stale_errors_of_others_do_not_matter),
        UNIT_TEST(test_bodies_of_any_bytes),
        UNIT_TEST(test_every_flipped_byte_is_refused),
        UNIT_TEST(test_wrong_key_hash_and_padding),
        UNIT_TEST(test_length_is_that_of_the_key),
        UNIT_TEST(test_leaf_outside_its_dates),
        UNIT_TEST(test_untrusted_root_and_missing_intermediate),
        UNIT_TEST(test_impostor_of_the_issuing_ca),
        UNIT_TEST(test_issuer_must_be_a_ca_in_its_time),
        UNIT_TEST(test_sha1_in_the_chain_is_refused),
        UNIT_TEST(test_issuer_organization),
        UNIT_TEST(test_subject_organization),
        UNIT_TEST(test_names),
        UNIT_TEST(test_crl),
        UNIT_TEST(test_certificate_forms),
        UNIT_TEST(test_every_changed_byte_of_a_certificate_is_survived),
        UNIT_TEST(test_keys_that_are_refused),
        UNIT_TEST(test_larger_keys),
        UNIT_TEST(test_which_header),
        UNIT_TEST(test_scheme_and_algorithm),
        UNIT_TEST(test_base64_of_the_signature),
        UNIT_TEST(test_url_in_the_request),
        UNIT_TEST(test_url_patterns),
        UNIT_TEST(test_http_only_to_loopback),
        UNIT_TEST(test_bundles_that_cannot_be_read),
        UNIT_TEST(test_signer_path),
        UNIT_TEST(test_many_threads_share_a_signer),
    };

    if (apr_initialize() != APR_SUCCESS) {
        return 2;
    }
    return unit_finish(cmocka_run_group_tests(tests, make_pki, drop_pki));
}
